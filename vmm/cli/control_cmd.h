/* SPDX-License-Identifier: MIT */
#ifndef VMM_CLI_CONTROL_CMD_H
#define VMM_CLI_CONTROL_CMD_H

/* Commands that ask other monitors by their control sockets (vmm/control/). argv[0] is the command's own name. */
#include <stdio.h>

#include "base/types.h"

/* `disco ps [--json]`. enum exit_status. */
int control_ps(int argc, char **argv);
/* `disco stop|kill|pause|resume|reset NAME...`. enum exit_status. */
int control_machine(int argc, char **argv);
/* `disco console NAME`. enum exit_status. */
int control_console(int argc, char **argv);
/* `disco top [--once] [--json]`. enum exit_status. */
int control_top(int argc, char **argv);
/* `disco audit [--stops N] [--json]`. enum exit_status. */
int control_audit(int argc, char **argv);
/* False: none of these. */
bool control_help(const char *topic, FILE *out);

#endif
