/* SPDX-License-Identifier: MIT */
#ifndef VMM_CLI_CONTROL_FIND_H
#define VMM_CLI_CONTROL_FIND_H

/* Which machines this user has running: all monitors are asked by their control sockets. */
#include "base/footprint.h"
#include "base/types.h"
#include "numa/watch.h"

enum { FOUND_NAME_BYTES = 256 };

/* A machine of some monitor of this user's. */
struct found_machine {
	char monitor[FOUND_NAME_BYTES], name[FOUND_NAME_BYTES], status[32];
	uint64_t memory, up_ms, processor_ms, private_bytes, shared_bytes;
	uint64_t insns[3]; /* by enum tier; 0: not counted */
	unsigned vcpus;
	unsigned at; /* among those of its monitor */
};

/* A page that was hot lately. */
struct found_page {
	char machine[FOUND_NAME_BYTES], symbol[FOUND_NAME_BYTES], class[32];
	uint64_t address, heat, moves;
	unsigned node, copies;
};

/* A monitor's simulated nodes. */
struct found_nodes {
	char mode[32];
	bool counted; /* misses are */
	unsigned n, n_hot;
	struct numa_node node[NUMA_MAX_NODES];
	struct found_page hot[NUMA_HOT_PAGES];
};

/* All of its machines together. */
struct found_monitor {
	char name[FOUND_NAME_BYTES];
	uint64_t processors, running, queued, machine_bytes, shared_bytes;
	struct found_nodes *nodes; /* or NULL: it has none */
	struct footprint process;
};

struct machine_list {
	unsigned n, n_monitors;
	struct found_machine *machine;
	struct found_monitor *monitor;
	unsigned n_silent;             /* monitors that do not answer */
	char silent[FOUND_NAME_BYTES]; /* one of them */
	bool no_memory, with_nodes;
};

/* Sorted by monitor; within one in its own order. */
struct machine_list control_find_all(void);
/* The same, and monitors are asked for their nodes as well. */
struct machine_list control_find_with_nodes(void);
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
/* The same of those that run, and what may be NULL: the only one. */
const struct found_machine *control_find_only(const struct machine_list *l, const char *command, const char *what);

#endif
