/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/shootdown.h"

#include <errno.h>

#include "numa/share.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/vm.h"

static bool is_of_machine(void *arg, const struct rendezvous_member *m) { return m->vm == arg; }

static bool uses_page(void *arg, const struct rendezvous_member *m)
{
	const struct page_users *of = arg;

	return page_is_of(of->memory, of->page, m->vm->ram);
}

struct rendezvous_set rendezvous_set_machine(struct vm *vm) { return (struct rendezvous_set){is_of_machine, vm}; }

struct rendezvous_set rendezvous_set_users(struct page_users *of) { return (struct rendezvous_set){uses_page, of}; }

struct shootdown {
	struct page_users of;
	unsigned users;
	void (*act)(void *arg);
	void *arg;
};

static void unmap_all(void *arg)
{
	struct shootdown *s = arg;

	s->users = page_unmap_users(s->of.memory, s->of.page);
	if (s->act)
		s->act(s->arg);
}

int monitor_shootdown(struct monitor *mon, struct rendezvous_member *self, struct machine_page *page,
		      void (*act)(void *arg), void *arg)
{
	struct shootdown s = {.of = {mon->memory, page}, .act = act, .arg = arg};
	struct rendezvous_set set = rendezvous_set_users(&s.of);

	if (!act)
		(void)rendezvous(mon->rendezvous, self, set, unmap_all, &s);
	else if (!rendezvous_at_rest(mon->rendezvous, self, set, unmap_all, &s))
		return -EAGAIN;
	return (int)s.users;
}
