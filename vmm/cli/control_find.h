/* SPDX-License-Identifier: MIT */
#ifndef VMM_CLI_CONTROL_FIND_H
#define VMM_CLI_CONTROL_FIND_H

/* Which machines this user has running: all monitors are asked by their control sockets. */
#include "base/types.h"

enum { FOUND_NAME_BYTES = 256 };

/* A machine of some monitor of this user's. */
struct found_machine {
	char monitor[FOUND_NAME_BYTES], name[FOUND_NAME_BYTES], status[32];
	uint64_t memory, up_ms;
	unsigned at; /* among those of its monitor */
};

struct machine_list {
	unsigned n;
	struct found_machine *machine;
	bool no_memory;
};

/* Sorted by monitor; within one in its own order. Free l.machine. */
struct machine_list control_find_all(void);
/* The one that runs and is called so: NAME, or MONITOR/NAME. NULL: there is none, or several, which is said as of `disco COMMAND`. */
const struct found_machine *control_find(const struct machine_list *l, const char *command, const char *what);

#endif
