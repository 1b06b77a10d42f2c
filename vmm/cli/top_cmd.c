/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/host_clock.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/control_cmd.h"
#include "vmm/cli/control_find.h"
#include "vmm/cli/options.h"
#include "vmm/host/tty.h"

/* `disco top`: what this user's machines did between two looks at them. */

enum { PERIOD_MS = 1000 };

struct top {
	bool once, json, is_tty;
};

/* One machine's doings. */
struct doing {
	double cpu, mips;     /* percent of a processor; 0 mips: not counted */
	unsigned tier2_share; /* percent of the instructions */
};

static const struct found_machine *before(const struct machine_list *l, const struct found_machine *f)
{
	for (unsigned i = 0; i < l->n; i++)
		if (strcmp(l->machine[i].monitor, f->monitor) == 0 && strcmp(l->machine[i].name, f->name) == 0)
			return &l->machine[i];
	return f;
}

/* It begins at 0 again with a reset. */
static uint64_t since(uint64_t was, uint64_t is) { return is > was ? is - was : 0; }

static struct doing doing_of(const struct machine_list *was, const struct found_machine *f, uint64_t ms)
{
	const struct found_machine *b = before(was, f);
	uint64_t insns = 0, tier2 = since(b->insns[2], f->insns[2]);

	for (unsigned i = 0; i < ARRAY_LEN(f->insns); i++)
		insns += since(b->insns[i], f->insns[i]);
	return (struct doing){.cpu = 100.0 * (double)since(b->processor_ms, f->processor_ms) / (double)ms,
			      .mips = (double)insns / 1000.0 / (double)ms,
			      .tier2_share = insns ? (unsigned)(100 * tier2 / insns) : 0};
}

static void print_table(const struct machine_list *was, const struct machine_list *l, uint64_t ms)
{
	for (unsigned i = 0; i < l->n_monitors; i++) {
		const struct found_monitor *m = &l->monitor[i];
		uint64_t memory = 0;

		for (unsigned k = 0; k < l->n; k++)
			if (strcmp(l->machine[k].monitor, m->name) == 0)
				memory += l->machine[k].private_bytes + l->machine[k].shared_bytes;
		printf("%s: %" PRIu64 " processors, %" PRIu64 " vCPUs run, %" PRIu64 " wait for one; memory: %" PRIu64
		       "M of machines in %" PRIu64 "M, %" PRIu64 "M of it shared\n",
		       m->name, m->processors, m->running, m->queued, memory >> 20, m->machine_bytes >> 20,
		       m->shared_bytes >> 20);
	}
	if (l->n)
		printf("\n%-16s %-16s %-14s %6s %8s %6s %9s %9s %9s\n", "MONITOR", "MACHINE", "STATUS", "CPU%", "MIPS",
		       "TIER2", "MEMORY", "PRIVATE", "SHARED");
	else
		printf("no machine runs\n");
	for (unsigned i = 0; i < l->n; i++) {
		const struct found_machine *f = &l->machine[i];
		struct doing d = doing_of(was, f, ms);
		char mips[16] = "-", tier2[16] = "-";

		if (d.mips > 0) {
			snprintf(mips, sizeof(mips), "%.1f", d.mips);
			snprintf(tier2, sizeof(tier2), "%u%%", d.tier2_share);
		}
		printf("%-16s %-16s %-14s %6.1f %8s %6s %8" PRIu64 "M %8" PRIu64 "M %8" PRIu64 "M\n", f->monitor,
		       f->name, f->status, d.cpu, mips, tier2, f->memory >> 20, f->private_bytes >> 20,
		       f->shared_bytes >> 20);
	}
}

static json_t *machine_object(const struct machine_list *was, const struct found_machine *f, uint64_t ms)
{
	struct doing d = doing_of(was, f, ms);
	json_t *one = json_pack("{s:s, s:s, s:s, s:f, s:I, s:I, s:I}", "monitor", f->monitor, "machine", f->name,
				"status", f->status, "cpu-percent", d.cpu, "memory", (json_int_t)f->memory, "private",
				(json_int_t)f->private_bytes, "shared", (json_int_t)f->shared_bytes);

	if (d.mips > 0) {
		json_object_set_new(one, "mips", json_real(d.mips));
		json_object_set_new(one, "tier2-percent", json_integer((json_int_t)d.tier2_share));
	}
	return one;
}

static void print_json(const struct machine_list *was, const struct machine_list *l, uint64_t ms)
{
	json_t *monitors = json_array(), *machines = json_array(), *all;

	for (unsigned i = 0; i < l->n_monitors; i++) {
		const struct found_monitor *m = &l->monitor[i];

		json_array_append_new(monitors,
				      json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "monitor", m->name, "processors",
						(json_int_t)m->processors, "running", (json_int_t)m->running, "queued",
						(json_int_t)m->queued, "machine-memory", (json_int_t)m->machine_bytes,
						"shared", (json_int_t)m->shared_bytes));
	}
	for (unsigned i = 0; i < l->n; i++)
		json_array_append_new(machines, machine_object(was, &l->machine[i], ms));
	all = json_pack("{s:o, s:o}", "monitors", monitors, "machines", machines);
	json_dumpf(all, stdout, JSON_COMPACT | JSON_REAL_PRECISION(4));
	putchar('\n');
	json_decref(all);
}

/* False: the user pressed q. */
static bool wait_a_while(const struct top *t)
{
	struct pollfd p = {.fd = t->is_tty ? STDIN_FILENO : -1, .events = POLLIN};
	char key = 0;

	if (poll(&p, 1, PERIOD_MS) > 0 && read(STDIN_FILENO, &key, 1) <= 0)
		return false;
	return key != 'q' && key != 3 /* Ctrl-C */;
}

static int watch(const struct top *t)
{
	struct machine_list was = control_find_all(), now;
	uint64_t was_ms = host_now_ns() / 1000000, now_ms;
	bool on = true;

	while (on && wait_a_while(t)) {
		now_ms = host_now_ns() / 1000000;
		now = control_find_all();
		if (t->is_tty)
			fputs("\033[H\033[J", stdout);
		if (t->json)
			print_json(&was, &now, now_ms - was_ms);
		else
			print_table(&was, &now, now_ms - was_ms);
		on = !t->once && !fflush(stdout);
		control_found_free(&was);
		was = now;
		was_ms = now_ms;
	}
	control_found_free(&was);
	return STATUS_OK;
}

int control_top(int argc, char **argv)
{
	struct control_options opt;
	struct top t = {0};
	int err, status;

	if (control_arguments(&argc, &argv, &opt, &status))
		return status;
	t.once = opt.once;
	t.json = opt.json;
	t.is_tty = !t.once && !t.json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	err = t.is_tty ? tty_enter(STDIN_FILENO, TTY_OUTPUT_COOKED) : 0;
	if (err) {
		fprintf(stderr, "disco top: the terminal: %s\n", strerror(-err));
		return STATUS_FAILED;
	}
	status = watch(&t);
	if (t.is_tty)
		tty_leave();
	return status;
}
