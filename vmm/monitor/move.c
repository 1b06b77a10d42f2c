/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/move.h"

#include <errno.h>

#include "numa/move.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/shootdown.h"

struct act {
	struct machine_memory *memory;
	struct machine_page *page;
	unsigned node;
	int err;
};

static void act(void *arg)
{
	struct act *a = arg;

	a->err = page_move(a->memory, a->page, a->node);
}

int monitor_move(struct monitor *mon, struct rendezvous_member *self, uint32_t mpn, unsigned node)
{
	struct act a = {.memory = mon->memory, .node = node};
	int err = page_move_begin(mon->memory, mpn, node, &a.page);

	if (err)
		return err;
	err = monitor_shootdown(mon, self, a.page, act, &a);
	page_move_end(mon->memory);
	return err < 0 ? err : a.err;
}
