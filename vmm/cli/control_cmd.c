/* SPDX-License-Identifier: MIT */
#include "vmm/cli/control_cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/cli/commands.h"
#include "vmm/cli/control_find.h"
#include "vmm/control/client.h"

enum { STOP_WAIT_S = 60 };

/* ---- disco ps ---- */

static void print_table(const struct machine_list *l)
{
	if (l->n)
		printf("%-20s %-20s %-14s %8s %10s\n", "MONITOR", "MACHINE", "STATUS", "MEMORY", "UP");
	for (unsigned i = 0; i < l->n; i++) {
		const struct found_machine *f = &l->machine[i];

		printf("%-20s %-20s %-14s %7" PRIu64 "M %6" PRIu64 ".%" PRIu64 " s\n", f->monitor, f->name, f->status,
		       f->memory >> 20, f->up_ms / 1000, f->up_ms / 100 % 10);
	}
}

static void print_json(const struct machine_list *l)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < l->n; i++) {
		const struct found_machine *f = &l->machine[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:I}", "monitor", f->monitor, "machine",
						      f->name, "status", f->status, "memory", (json_int_t)f->memory,
						      "up-ms", (json_int_t)f->up_ms));
	}
	json_dumpf(list, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(list);
}

int control_ps(int argc, char **argv)
{
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	struct machine_list l;

	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		control_help("ps", stdout);
		return STATUS_OK;
	}
	if (argc > 1 && !json) {
		fprintf(stderr, "disco ps: '%.200s': no such option; there is --json\n", argv[1]);
		return STATUS_USAGE;
	}
	l = control_find_all();
	if (json)
		print_json(&l);
	else
		print_table(&l);
	control_found_free(&l);
	return STATUS_OK;
}

/* ---- disco stop, kill, pause, resume, reset ---- */

static const struct action {
	const char *name, *command, *help;
	bool wait; /* for its end */
} actions[] = {
    {"stop", "system_powerdown",
     "Have it switch itself off, as its user would, and wait for that. A command in it gets\n"
     "SIGTERM; else the agent of Disco's initramfs calls poweroff (with disco up, or with\n"
     "--control NAME: the Malta has no power button that Linux listens to).\n",
     true},
    {"kill", "quit", "Switch it off at once, and wait for that. What it has flushed to its disks is there.\n", true},
    {"pause", "stop", "Let it stand still; its time does not pass.\n", false},
    {"resume", "cont", "Let it go on after a pause.\n", false},
    {"reset", "system_reset", "Press its reset button.\n", false},
};

static const struct action *action_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
	return NULL;
}

static const char top_text[] = "Usage: disco top [--once] [--json]\n"
			       "What this user's machines do, each second anew; q leaves. --once: one look, over a\n"
			       "second; --json: an object on a line for each look. MIPS and the share of tier 2 need\n"
			       "a monitor that counts instructions: --stats.\n";

static const char console_text[] =
    "Usage: disco console NAME\n"
    "Come to the console of a machine that runs: its last output, then what comes, and what\n"
    "is typed goes there. Ctrl-A x leaves; the machine goes on. NAME as 'disco ps' has it,\n"
    "or MONITOR/MACHINE.\n";

static const char audit_text[] =
    "Usage: disco audit [--stops N] [--json]\n"
    "Have this user's monitors stop all of their machines for a moment and compare what they\n"
    "know in more than one place: maps of memory, TLBs, translations. --stops: so often, at\n"
    "random moments. Status 1 if something does not agree, which is a bug of Disco's.\n";

bool control_help(const char *topic, FILE *out)
{
	const struct action *a = action_of(topic);
	bool console = strcmp(topic, "console") == 0, top = strcmp(topic, "top") == 0;
	bool audit = strcmp(topic, "audit") == 0;

	if (strcmp(topic, "ps") == 0)
		fputs("Usage: disco ps [--json]\n"
		      "List this user's machines, by the control sockets of their monitors (--control).\n",
		      out);
	else if (a)
		fprintf(out,
			"Usage: disco %s NAME...\n%s"
			"NAME is a machine's, or MONITOR/MACHINE if there are several of that name; 'disco ps'\n"
			"lists them.\n",
			a->name, a->help);
	else if (console || top || audit)
		fputs(console ? console_text : top ? top_text : audit_text, out);
	return a || console || top || audit || strcmp(topic, "ps") == 0;
}

static int bad(const struct action *a, const char *what, const char *why)
{
	fprintf(stderr, "disco %s: %.200s: %s\n", a->name, what, why);
	return STATUS_FAILED;
}

/* Until it has ended, or its monitor is gone. */
static int wait_for_end(const struct action *a, struct control_client *c, const struct found_machine *f)
{
	const struct timespec tick = {0, 50000000};
	struct control_error err;

	for (unsigned i = 0; i < STOP_WAIT_S * 20; i++) {
		json_t *status = control_client_call(c, "query-status", f->name, &err);
		const char *text = json_string_value(json_object_get(status, "status"));
		bool ended = !text || strcmp(text, "shutdown") == 0 || strcmp(text, "guest-panicked") == 0;

		json_decref(status);
		if (ended)
			return STATUS_OK;
		nanosleep(&tick, NULL);
	}
	return bad(a, f->name, "has not ended after a minute; 'disco kill' ends it at once");
}

static int act_on(const struct action *a, const struct found_machine *f)
{
	struct control_client *c;
	struct control_error err;
	json_t *answer;
	int status = STATUS_OK;

	if (control_client_open(&c, f->monitor))
		return bad(a, f->name, "its monitor is gone");
	answer = control_client_call(c, a->command, f->name, &err);
	if (!answer)
		status = bad(a, f->monitor, err.text);
	else if (a->wait)
		status = wait_for_end(a, c, f);
	json_decref(answer);
	control_client_close(c);
	return status;
}

static int act_on_name(const struct action *a, const struct machine_list *l, const char *what)
{
	const struct found_machine *meant = control_find(l, a->name, what);

	return meant ? act_on(a, meant) : STATUS_FAILED;
}

int control_machine(int argc, char **argv)
{
	const struct action *a = action_of(argv[0]);
	int status = STATUS_OK;
	struct machine_list l;

	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		control_help(a->name, stdout);
		return STATUS_OK;
	}
	if (argc < 2 || argv[1][0] == '-') {
		fprintf(stderr, "disco %s: %s%.200s%sthe name of a machine is wanted\n", a->name, argc < 2 ? "" : "'",
			argc < 2 ? "" : argv[1], argc < 2 ? "" : "': ");
		return STATUS_USAGE;
	}
	l = control_find_all();
	for (int i = 1; i < argc; i++) {
		int one = act_on_name(a, &l, argv[i]);

		status = status ? status : one;
	}
	control_found_free(&l);
	return status;
}
