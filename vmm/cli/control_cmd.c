/* SPDX-License-Identifier: MIT */
#include "vmm/cli/control_cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/cli/commands.h"
#include "vmm/cli/control_find.h"
#include "vmm/cli/options.h"
#include "vmm/control/client.h"

enum { STOP_WAIT_S = 60 };

/* ---- disco ps ---- */

static int wider(int width, const char *text) { return (int)strlen(text) > width ? (int)strlen(text) : width; }

static void print_table(const struct machine_list *l)
{
	int monitor = 12, machine = 12, status = 10;

	for (unsigned i = 0; i < l->n; i++) {
		monitor = wider(monitor, l->machine[i].monitor);
		machine = wider(machine, l->machine[i].name);
		status = wider(status, l->machine[i].status);
	}
	if (l->n)
		printf("%-*s  %-*s  %-*s  %7s  %9s\n", monitor, "MONITOR", machine, "MACHINE", status, "STATUS",
		       "MEMORY", "UP");
	for (unsigned i = 0; i < l->n; i++) {
		const struct found_machine *f = &l->machine[i];

		printf("%-*s  %-*s  %-*s  %6" PRIu64 "M  %5" PRIu64 ".%" PRIu64 " s\n", monitor, f->monitor, machine,
		       f->name, status, f->status, f->memory >> 20, f->up_ms / 1000, f->up_ms / 100 % 10);
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

int control_with_machine(int argc, char **argv,
			 int (*fn)(const struct found_machine *f, const struct control_options *opt, int argc,
				   char **argv))
{
	const char *command = argv[0];
	const struct found_machine *f;
	struct control_options opt;
	struct machine_list l;
	int status;

	if (control_arguments(&argc, &argv, &opt, &status))
		return status;
	l = control_find_all();
	f = control_find(&l, command, argv[0], false);
	status = f ? fn(f, &opt, argc - 1, argv + 1) : STATUS_FAILED;
	control_found_free(&l);
	return status;
}

int control_ps(int argc, char **argv)
{
	struct control_options opt;
	struct machine_list l;
	int status;

	if (control_arguments(&argc, &argv, &opt, &status))
		return status;
	l = control_find_all();
	if (opt.json)
		print_json(&l);
	else
		print_table(&l);
	control_found_complain(&l, "ps");
	status = l.n_silent || l.no_memory ? STATUS_FAILED : STATUS_OK;
	control_found_free(&l);
	return status;
}

/* ---- disco stop, kill, pause, resume, reset ---- */

static const struct action {
	const char *name, *command;
	bool wait; /* for its end */
} actions[] = {
    {"stop", "system_powerdown", true}, {"kill", "quit", true},           {"pause", "stop", false},
    {"resume", "cont", false},          {"reset", "system_reset", false},
};

static const struct action *action_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
	return NULL;
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
	const struct found_machine *meant = control_find(l, a->name, what, false);

	return meant ? act_on(a, meant) : STATUS_FAILED;
}

int control_machine(int argc, char **argv)
{
	const struct action *a = action_of(argv[0]);
	struct control_options opt;
	int status = STATUS_OK;
	struct machine_list l;

	if (control_arguments(&argc, &argv, &opt, &status))
		return status;
	l = control_find_all();
	for (int i = 0; i < argc; i++) {
		int one = act_on_name(a, &l, argv[i]);

		status = status ? status : one;
	}
	control_found_free(&l);
	return status;
}
