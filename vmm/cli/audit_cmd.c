/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/cli/commands.h"
#include "vmm/cli/control_cmd.h"
#include "vmm/cli/control_find.h"
#include "vmm/cli/options.h"
#include "vmm/control/client.h"
#include "vmm/control/control.h"

/* `disco audit`: this user's monitors look at themselves, at random moments of their machines. */

enum { LONGEST_PAUSE_MS = 20, WAIT_S = 120 };

/* All stops of one monitor. */
struct audited {
	uint64_t stops, longest_wait_us;
	struct control_audit sum; /* first: of all */
	bool ended;               /* before that many; why: */
	struct control_error why;
};

static uint64_t figure(const json_t *answer, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(answer, name));
}

static void add(struct audited *a, const json_t *answer)
{
	const char *first = json_string_value(json_object_get(answer, "first"));
	uint64_t wait_us = figure(answer, "wait-us");

	if (first && !a->sum.errors)
		snprintf(a->sum.first, sizeof(a->sum.first), "%s", first);
	a->stops++;
	a->longest_wait_us = wait_us > a->longest_wait_us ? wait_us : a->longest_wait_us;
#define CONTROL_AUDITED(field, name) a->sum.field += figure(answer, name);
#include "vmm/control/commands.def"
}

static struct audited audit(const char *monitor, uint64_t stops, unsigned moves)
{
	struct audited a = {0};
	struct control_client *c;

	if (control_client_open(&c, monitor)) {
		a.ended = true;
		snprintf(a.why.text, sizeof(a.why.text), "the monitor is gone");
		return a;
	}
	for (uint64_t i = 0; i < stops && !a.ended; i++) {
		const struct timespec pause = {.tv_nsec = random() % (LONGEST_PAUSE_MS * 1000000)};
		json_t *answer;

		if (i)
			nanosleep(&pause, NULL);
		answer = control_client_ask(c, "x-audit", json_pack("{s:i}", "moves", (int)moves), WAIT_S, &a.why);
		a.ended = !answer;
		if (answer)
			add(&a, answer);
		json_decref(answer);
	}
	control_client_close(c);
	return a;
}

static void print(const char *monitor, const struct audited *a)
{
	printf("%s: %" PRIu64 " stops, %" PRIu64
	       " errors; %.1f ms until all were stopped (at most %.1f), %.1f ms each; "
	       "%" PRIu64 " machine pages, %" PRIu64 " L2TLB entries, %" PRIu64 " translations looked at\n",
	       monitor, a->stops, a->sum.errors, a->stops ? (double)a->sum.wait_us / 1000 / (double)a->stops : 0,
	       (double)a->longest_wait_us / 1000, a->stops ? (double)a->sum.audit_us / 1000 / (double)a->stops : 0,
	       a->sum.pages, a->sum.entries, a->sum.translations);
	if (a->sum.moved)
		printf("%s: %" PRIu64 " pages moved to other nodes\n", monitor, a->sum.moved);
	if (a->sum.errors)
		printf("%s: the first one: %s\n", monitor, a->sum.first);
}

static json_t *object(const char *monitor, const struct audited *a)
{
	json_t *one = json_pack("{s:s, s:I, s:I}", "monitor", monitor, "stops", (json_int_t)a->stops, "longest-wait-us",
				(json_int_t)a->longest_wait_us);

#define CONTROL_AUDITED(field, name) json_object_set_new(one, name, json_integer((json_int_t)a->sum.field));
#include "vmm/control/commands.def"
	if (a->sum.errors)
		json_object_set_new(one, "first", json_string(a->sum.first));
	return one;
}

static int audit_all(uint64_t stops, unsigned moves, bool json)
{
	struct machine_list l = control_find_all();
	json_t *list = json_array();
	int status = STATUS_OK;

	for (unsigned i = 0; i < l.n_monitors; i++) {
		const char *monitor = l.monitor[i].name;
		struct audited a = audit(monitor, stops, moves);

		if (json)
			json_array_append_new(list, object(monitor, &a));
		else if (a.stops)
			print(monitor, &a);
		if (a.ended) {
			fprintf(stderr, "disco audit: %s: after %" PRIu64 " stops: %s\n", monitor, a.stops, a.why.text);
			status = STATUS_FAILED;
		}
		if (a.sum.errors)
			status = STATUS_FAILED;
	}
	if (json) {
		json_dumpf(list, stdout, JSON_INDENT(1));
		putchar('\n');
	} else if (!l.n_monitors) {
		printf("no machine runs\n");
	}
	json_decref(list);
	control_found_free(&l);
	return status;
}

int control_audit(int argc, char **argv)
{
	struct control_options opt;
	int status;

	if (control_arguments(&argc, &argv, &opt, &status))
		return status;
	srandom((unsigned)time(NULL));
	return audit_all(opt.stops ? opt.stops : 1, opt.moves, opt.json);
}
