/* SPDX-License-Identifier: MIT */
#include "vmm/cli/control_cmd.h"

#include <getopt.h>
#include <string.h>

#include "base/profile.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/options_internal.h"
#include "vmm/control/control.h"
#include "vmm/monitor/vm.h"

/* Arguments and help of the commands that ask monitors. */

const struct option_row options_ps_rows[] = {
#define PS_OPTION(...) OPTION_ROW(struct control_options, __VA_ARGS__),
#include "vmm/cli/options.def"
    OPTION_END};

OPTION_TYPE(profile_seconds, unsigned);
static int option_profile_seconds(void *field, const struct option_value *v)
{
	return option_number(v, 1, PROFILE_MAX_MS / 1000, field);
}

const struct option_row options_top_rows[] = {
#define TOP_OPTION(...) OPTION_ROW(struct control_options, __VA_ARGS__),
#include "vmm/cli/options.def"
    OPTION_END};

OPTION_TYPE(stops, unsigned);
static int option_stops(void *field, const struct option_value *v)
{
	enum { MOST_STOPS = 1000000 };

	return option_number(v, 1, MOST_STOPS, field);
}

OPTION_TYPE(moves, unsigned);
static int option_moves(void *field, const struct option_value *v)
{
	return option_number(v, 1, CONTROL_MAX_MOVES, field);
}

const struct option_row options_audit_rows[] = {
#define AUDIT_OPTION(...) OPTION_ROW(struct control_options, __VA_ARGS__),
#include "vmm/cli/options.def"
    OPTION_END};

const struct option_row options_add_rows[] = {
#define ADD_OPTION(...) OPTION_ROW(struct control_options, __VA_ARGS__),
#include "vmm/cli/options.def"
    OPTION_END};

const struct option_row options_rm_rows[] = {
#define RM_OPTION(...) OPTION_ROW(struct control_options, __VA_ARGS__),
#include "vmm/cli/options.def"
    OPTION_END};

OPTION_TYPE(cpu_index, unsigned);
static int option_cpu_index(void *field, const struct option_value *v)
{
	return option_number(v, 0, VM_MAX_VCPUS - 1, field);
}

const struct option_row options_monitor_rows[] = {
#define MONITOR_OPTION(...) OPTION_ROW(struct control_options, __VA_ARGS__),
#include "vmm/cli/options.def"
    OPTION_END};

const struct option_row options_gdb_rows[] = {
#define GDB_OPTION(...) OPTION_ROW(struct control_options, __VA_ARGS__),
#include "vmm/cli/options.def"
    OPTION_END};

static const struct option_row no_rows[] = {OPTION_END};

#define NAMES                                                                                                          \
	"NAME is a machine's, or MONITOR/MACHINE if there are several of that name; 'disco ps'\n"                      \
	"lists them.\n"

static const struct command {
	const char *name;
	const struct option_row *rows;
	int least, most;  /* arguments; most < 0: any number */
	const char *want; /* if there are too few, or too many */
	const char *head, *examples;
} commands[] = {
    {"ps", options_ps_rows, 0, 0, "no argument is wanted",
     "Usage: disco ps [--json]\n"
     "List this user's machines, by the control sockets of their monitors (--control).\n",
     "Example:\n  disco ps\n"},
    {"top", options_top_rows, 0, 1, "the name of one machine at most is wanted",
     "Usage: disco top [--once] [--json]\n"
     "       disco top --functions [--seconds N] [--symbols FILE] [--files DIR]\n"
     "                 [--json|--folded] [--svg FILE] [NAME]\n"
     "What this user's machines do, each second anew. Keys: P by processor time, M by memory,\n"
     "N as listed, O nodes (--numa), arrows for more, q leaves. MIPS and the shares of the tiers\n"
     "need a monitor that counts instructions: --stats.\n"
     "--functions: where a machine spends its time, found out by looking some 500 times a\n"
     "second where its vCPUs are. NAME can be left out if there is one machine only.\n",
     "Examples:\n  disco top\n  disco top --once --json\n"
     "  disco top --functions --seconds 10 --files rootfs/usr --svg flames.svg web1\n"},
    {"audit", options_audit_rows, 0, 0, "no argument is wanted",
     "Usage: disco audit [--stops N] [--moves N] [--json]\n"
     "Have this user's monitors stop all of their machines for a moment and compare what they\n"
     "know in more than one place: maps of memory, TLBs, translations. Status 1 if something\n"
     "does not agree, which is a bug of Disco's.\n",
     "Examples:\n  disco audit\n  disco audit --stops 1000\n"},
    {"console", no_rows, 1, 1, "the name of one machine is wanted",
     "Usage: disco console NAME\n"
     "Come to the console of a machine that runs: its last output, then what comes, and what\n"
     "is typed goes there. Ctrl-A x leaves; the machine goes on. NAME as 'disco ps' has it,\n"
     "or MONITOR/MACHINE.\n",
     "Examples:\n  disco console web1\n  disco console lab/web1\n"},
    {"monitor", options_monitor_rows, 1, -1, "the name of one machine is wanted",
     "Usage: disco monitor [--vcpu N] NAME [COMMAND...]\n"
     "Look into a machine that runs, or stands still: one COMMAND, or, without any, lines of\n"
     "them, on a terminal with history and completion. The command help lists them.\n",
     "Examples:\n  disco monitor web1 info registers\n  disco monitor web1 x/8iw 80100000\n"
     "  disco monitor web1\n"},
    {"gdb", options_gdb_rows, 0, -1, "the name of one machine is wanted",
     "Usage: disco gdb [--symbols FILE] [--gdb PROGRAM] [NAME] [-- ARGUMENT...]\n"
     "Begin gdb for a machine that runs, with byte order, architecture and the names of its\n"
     "kernel set up. It stands still until gdb lets it go on; when gdb is gone it runs on. gdb\n"
     "gets the ARGUMENTs. NAME can be left out if there is one machine only.\n",
     "Examples:\n  disco gdb web1\n  disco gdb web1 -- -ex 'break do_exit' -ex continue\n"
     "  gdb-multiarch -ex 'target remote | disco gdb --stdio web1'\n"},
    {"add", options_add_rows, 1, 1, "the name of one configuration file is wanted",
     "Usage: disco add [--control NAME] FILE\n"
     "Have a monitor that runs several machines (or was begun with --several) boot one more,\n"
     "which FILE describes as for 'disco up', with a section machines, and defaults if need be.\n"
     "If it cannot be, one line says why, and the others are as they were.\n",
     "Examples:\n  disco add web4.yaml\n  disco add --control lab web4.yaml\n"},
    {"rm", options_rm_rows, 1, -1, "the name of a machine is wanted",
     "Usage: disco rm [--force] NAME...\n"
     "Forget machines that have ended: what they had is given back, and their names and numbers\n"
     "can be used again. The others go on.\n" NAMES,
     "Examples:\n  disco stop web4 && disco rm web4\n  disco rm --force web4\n"},
    {"stop", no_rows, 1, -1, "the name of a machine is wanted",
     "Usage: disco stop NAME...\n"
     "Have it switch itself off, as its user would, and wait for that. A command in it gets\n"
     "SIGTERM; else the agent of Disco's initramfs calls poweroff (with disco up, or with\n"
     "--control NAME: the Malta has no power button that Linux listens to).\n" NAMES,
     "Example:\n  disco stop web1\n"},
    {"kill", no_rows, 1, -1, "the name of a machine is wanted",
     "Usage: disco kill NAME...\n"
     "Switch it off at once, and wait for that. What it has flushed to its disks is there.\n" NAMES,
     "Example:\n  disco kill web1\n"},
    {"pause", no_rows, 1, -1, "the name of a machine is wanted",
     "Usage: disco pause NAME...\n"
     "Let it stand still; its time does not pass.\n" NAMES,
     "Example:\n  disco pause web1 web2\n"},
    {"resume", no_rows, 1, -1, "the name of a machine is wanted",
     "Usage: disco resume NAME...\n"
     "Let it go on after a pause.\n" NAMES,
     "Example:\n  disco resume web1 web2\n"},
    {"reset", no_rows, 1, -1, "the name of a machine is wanted",
     "Usage: disco reset NAME...\n"
     "Press its reset button.\n" NAMES,
     "Example:\n  disco reset web1\n"},
};

static const struct command *command_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

bool control_help(const char *topic, FILE *out)
{
	const struct command *c = command_of(topic);

	if (c)
		help_print_command(c->head, c->rows, NULL, c->examples, out);
	return c != NULL;
}

int control_arguments(int *argc, char ***argv, struct control_options *out, int *status)
{
	const struct command *c = command_of((*argv)[0]);
	struct options_error err = {{0}};
	int n, r;

	*out = (struct control_options){0};
	r = options_parse(c->rows, true, *argc, *argv, out, NULL, &err);
	if (r == OPTIONS_HELP) {
		(void)control_help(c->name, stdout);
		*status = STATUS_OK;
		return -1;
	}
	n = *argc - optind;
	if (!r && (n < c->least || (c->most >= 0 && n > c->most)))
		r = options_bad(&err, "%s", c->want);
	if (r) {
		fprintf(stderr, "disco %s: %s\n", c->name, err.text);
		*status = STATUS_USAGE;
		return -1;
	}
	*argc = n;
	*argv += optind;
	return 0;
}
