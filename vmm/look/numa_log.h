/* SPDX-License-Identifier: MIT */
#ifndef VMM_NUMA_LOG_H
#define VMM_NUMA_LOG_H

/*
 * What --numa-log has written (numa/watch.h; the format: docs/disco-numa.1), read and summed up for `disco numa`.  The file is not
 * trusted: what is not as it must be is said, with its line.
 */
#include "base/option.h"
#include "numa/watch.h"

enum { NUMA_LOG_MACHINES = 1001, NUMA_LOG_NAME_BYTES = 64, NUMA_LOG_PARAMETER_BYTES = 2048 };

struct numa_log_event {
	uint64_t at_ns, page;
	uint64_t misses; /* of all processors; 0: not known */
	uint64_t cost_ns;
	uint32_t writes;
	uint16_t machine;
	uint8_t event, reason, class, node, from, copies;
};

/* One of figures for each node; used: pages in use; the others: misses until then. */
struct numa_log_nodes {
	uint64_t at_ns;
	struct numa_node node[]; /* [numa_log.nodes] */
};

struct numa_log_guest {
	uint64_t at_ns, near, far; /* pages */
	unsigned machine, node;
};

struct numa_log_machine {
	unsigned number;
	uint64_t pages; /* of memory; 0: it is not said */
	char name[NUMA_LOG_NAME_BYTES];
};

struct numa_log {
	char mode[16];
	bool simulated; /* misses are counted, and time is not the host's */
	unsigned nodes, cpus_per_node;
	char parameters[NUMA_LOG_PARAMETER_BYTES]; /* "nodes=2 migrate=on ..." */
	bool ended;                                /* it has its last line */
	uint64_t last_ns;
	uint64_t lines;

	size_t n_events, n_states, n_guests;
	struct numa_log_event *event;
	struct numa_log_nodes **state;
	struct numa_log_guest *guest;
	unsigned n_machines;
	struct numa_log_machine *machine; /* in the order in which they were named */
};

/* 0, or -EINVAL with *err filled: one line. Free in any case. */
MUST_CHECK int numa_log_read(struct numa_log *out, const char *path, struct options_error *err);
void numa_log_free(struct numa_log *l);
/* "vm1"; "machine 3" if it was not named. */
const char *numa_log_name(const struct numa_log *l, unsigned machine, char *text, size_t bytes);

/* ---- summed up ---- */
struct numa_page_sum {
	unsigned machine, node; /* where it was at last */
	uint64_t page, misses;
	unsigned class;
	uint64_t event[NUM_NUMA_EVENTS], events;
};

struct numa_machine_sum {
	const struct numa_log_machine *machine; /* NULL: it was not named */
	unsigned number;
	uint64_t event[NUM_NUMA_EVENTS], pages; /* that events are about */
	uint64_t near, far;                     /* at last, pages */
};

struct numa_sum {
	const struct numa_log *log;
	uint64_t event[NUM_NUMA_EVENTS], reason[NUM_NUMA_EVENTS][NUM_POLICY_REASONS];
	uint64_t cost_ns[NUM_NUMA_EVENTS]; /* of all of them together, where it is known */
	unsigned n_machines;
	struct numa_machine_sum *machine; /* by number */
	uint64_t n_pages;
	struct numa_page_sum *page; /* those with most misses first, or most events where misses are not known */
	struct numa_node node[NUMA_MAX_NODES]; /* .pages: the most that were in use; the others as at last */
};

/* 0 or -ENOMEM. */
MUST_CHECK int numa_log_sum(struct numa_sum *out, const struct numa_log *l);
void numa_sum_free(struct numa_sum *s);
void numa_sum_print(const struct numa_sum *s, const char *file, FILE *out);
void numa_sum_print_json(const struct numa_sum *s, FILE *out);
/* Time lines and maps of pages by time. */
void numa_sum_draw(const struct numa_sum *s, const char *file, FILE *out);

#endif
