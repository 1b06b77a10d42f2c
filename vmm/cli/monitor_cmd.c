/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cli/commands.h"
#include "vmm/cli/control_cmd.h"
#include "vmm/cli/control_find.h"
#include "vmm/cli/options.h"
#include "vmm/control/client.h"
#include "vmm/host/line_edit.h"

/* `disco monitor`: commands for a machine, one by one. */

enum { ANSWER_WAIT_S = 30 };

struct monitor_client {
	struct control_client *c;
	const char *machine;
	unsigned cpu;
};

/* False: it could not be asked, which is said. */
static bool ask(const struct monitor_client *m, const char *line)
{
	struct control_error err;
	json_t *answer = control_client_ask(
	    m->c, "human-monitor-command",
	    json_pack("{s:s, s:i, s:s}", "command-line", line, "cpu-index", (int)m->cpu, "machine", m->machine),
	    ANSWER_WAIT_S, &err);

	if (answer)
		fputs(json_string_value(answer) ? json_string_value(answer) : "", stdout);
	else
		fprintf(stderr, "disco monitor: %s\n", err.text);
	json_decref(answer);
	return answer != NULL;
}

static const struct line_edit_word words[] = {
#define INSPECT(name, arguments, fn, help)     {NULL, name},
#define INSPECT_MACHINE(name, alias, fn, help) {NULL, name},
#define INSPECT_INFO(name, fn, help)           {"info", name},
#include "vmm/debug/inspect.def"
    {NULL, "quit"}, {NULL, NULL}};

static bool is_end(const char *line)
{
	return strcmp(line, "q") == 0 || strcmp(line, "quit") == 0 || strcmp(line, "exit") == 0;
}

/* Until the user leaves, or the machine is gone. */
static int lines(const struct monitor_client *m)
{
	char prompt[FOUND_NAME_BYTES + 8], *line;
	struct line_edit *edit;
	bool good = true;

	snprintf(prompt, sizeof(prompt), "(%s) ", m->machine);
	edit = line_edit_open(prompt, words);
	if (!edit) {
		fprintf(stderr, "disco monitor: the host has no memory left\n");
		return STATUS_FAILED;
	}
	while (good && (line = line_edit_read(edit)) != NULL) {
		if (is_end(line))
			break;
		good = !*line || ask(m, line);
		fflush(stdout);
	}
	line_edit_close(edit);
	return good ? STATUS_OK : STATUS_FAILED;
}

/* The words of one command as a line. */
static char *joined(int argc, char **argv)
{
	size_t bytes = 1;
	char *line;

	for (int i = 0; i < argc; i++)
		bytes += strlen(argv[i]) + 1;
	line = calloc(1, bytes);
	for (int i = 0; line && i < argc; i++) {
		strcat(line, i ? " " : "");
		strcat(line, argv[i]);
	}
	return line;
}

static int monitor(const struct found_machine *f, const struct control_options *opt, int argc, char **argv)
{
	struct monitor_client m = {.machine = f->name, .cpu = opt->cpu_index};
	int status = STATUS_FAILED;
	char *line = NULL;

	if (control_client_open(&m.c, f->monitor)) {
		fprintf(stderr, "disco monitor: %s: its monitor is gone\n", f->name);
		return STATUS_FAILED;
	}
	if (!argc) {
		status = lines(&m);
	} else {
		line = joined(argc, argv);
		status = line && ask(&m, line) ? STATUS_OK : STATUS_FAILED;
	}
	free(line);
	control_client_close(m.c);
	return status;
}

int control_monitor(int argc, char **argv) { return control_with_machine(argc, argv, monitor); }
