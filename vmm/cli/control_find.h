/* SPDX-License-Identifier: MIT */
#ifndef VMM_CLI_CONTROL_FIND_H
#define VMM_CLI_CONTROL_FIND_H

/* Which machines this user has running: all monitors are asked by their control sockets. */
#include "base/types.h"

enum { FOUND_NAME_BYTES = 256 };

/* A machine of some monitor of this user's. */
struct found_machine {
	char monitor[FOUND_NAME_BYTES], name[FOUND_NAME_BYTES], status[32];
	uint64_t memory, up_ms, processor_ms, private_bytes, shared_bytes;
	uint64_t insns[3]; /* by enum tier; 0: not counted */
	unsigned vcpus;
	unsigned at; /* among those of its monitor */
};

/* All of its machines together. */
struct found_monitor {
	char name[FOUND_NAME_BYTES];
	uint64_t processors, running, queued, machine_bytes, shared_bytes;
};

struct machine_list {
	unsigned n, n_monitors;
	struct found_machine *machine;
	struct found_monitor *monitor;
	unsigned n_silent;             /* monitors that do not answer */
	char silent[FOUND_NAME_BYTES]; /* one of them */
	bool no_memory;
};

/* Sorted by monitor; within one in its own order. */
struct machine_list control_find_all(void);
void control_found_free(struct machine_list *l);
/* A line on standard error, as of `disco COMMAND`, if there are monitors that do not answer: what is listed is not all. */
void control_found_complain(const struct machine_list *l, const char *command);
bool control_has_ended(const struct found_machine *f);
/*
 * The one that runs (also_ended: or has ended) and is called so: NAME, or MONITOR/NAME. NULL: there is none, or several, which is
 * said as of `disco COMMAND`.
 */
const struct found_machine *control_find(const struct machine_list *l, const char *command, const char *what,
					 bool also_ended);

#endif
