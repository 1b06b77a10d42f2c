/* SPDX-License-Identifier: MIT */
#ifndef VMM_CLI_NUMA_CMD_H
#define VMM_CLI_NUMA_CMD_H

#include <stdio.h>

/* `disco numa FILE [--json] [--svg FILE]`. argv[0] is the command's own name. enum exit_status. */
int numa_command(int argc, char **argv);
void numa_help(FILE *out);

#endif
