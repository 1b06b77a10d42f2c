/* SPDX-License-Identifier: MIT */
#ifndef VMM_CLI_CONTROL_CMD_H
#define VMM_CLI_CONTROL_CMD_H

/* Commands that ask other monitors by their control sockets (vmm/control/). argv[0] is the command's own name. */
#include <stdio.h>

#include "base/panic.h"
#include "base/types.h"

struct control_options;

/* `disco ps [--json]`. enum exit_status. */
int control_ps(int argc, char **argv);
/* `disco stop|kill|pause|resume|reset NAME...`. enum exit_status. */
int control_machine(int argc, char **argv);
/* `disco console NAME`. enum exit_status. */
int control_console(int argc, char **argv);
/* `disco monitor NAME [COMMAND...]`. enum exit_status. */
int control_monitor(int argc, char **argv);
/* `disco gdb [NAME] [-- ARGUMENT...]`. enum exit_status. */
int control_gdb(int argc, char **argv);
/* `disco top [--once] [--json]`, `disco top --functions [NAME]`. enum exit_status. */
int control_top(int argc, char **argv);
/* `disco audit [--stops N] [--moves N] [--json]`. enum exit_status. */
int control_audit(int argc, char **argv);
/* `disco add [--control NAME] FILE`, `disco rm [--force] NAME...`. enum exit_status. */
int control_add(int argc, char **argv);
int control_rm(int argc, char **argv);
/* False: none of these. */
bool control_help(const char *topic, FILE *out);
/*
 * The options of the command that (*argv)[0] names; behind it *argc and *argv are the arguments that are left.  -1: the command is
 * over with *status, and help or what is wrong has been shown.
 */
MUST_CHECK int control_arguments(int *argc, char ***argv, struct control_options *out, int *status);

struct found_machine;
/*
 * A command about one machine: its options, the machine that the first argument names, and fn for that, with the arguments behind it.  The
 * status of fn, or of what was wrong before.
 */
int control_with_machine(int argc, char **argv,
			 int (*fn)(const struct found_machine *f, const struct control_options *opt, int argc,
				   char **argv));

#endif
