/* SPDX-License-Identifier: MIT */
#ifndef TESTS_NUMA_SIM_H
#define TESTS_NUMA_SIM_H

/*
 * The simulated machine and the policy without a guest: pages that processors access by number, a copy of each on some nodes, and
 * the least that can be done about hot ones: shoot down, copy through the caches, collapse.
 */
#include "numa/flash/flash.h"
#include "numa/policy.h"

struct sim;

/* What pages went through, of all; times in cycles of the processor that did it. */
struct sim_stats {
	uint64_t migrations, migration_cycles, replications, replication_cycles, collapses, collapse_cycles;
	uint64_t refused[NUM_POLICY_REASONS]; /* hot pages that were left alone, by the reason */
	uint64_t replicas, most_replicas;     /* now; at most */
	uint64_t dropped;                     /* replicas given up as a node was full */
	uint64_t stale;                       /* reads that found something else than what was written last */
};

/* pages: how many there are.  NULL: no memory. */
struct sim *sim_new(const struct numa_config *cfg, uint32_t pages);
void sim_free(struct sim *s);
struct flash *sim_machine(struct sim *s);
const struct sim_stats *sim_stats(const struct sim *s);

/* Put an untouched page on a node. */
void sim_place(struct sim *s, uint32_t page, unsigned node);
/* One access, and what follows from it. */
void sim_access(struct sim *s, unsigned cpu, enum flash_access kind, uint32_t page, uint32_t offset);
/* Where the page is for a processor's node; false: on another. */
bool sim_page_is_local(const struct sim *s, uint32_t page, unsigned node);
unsigned sim_copies(const struct sim *s, uint32_t page);
uint64_t sim_pages_used(const struct sim *s, unsigned node);

/* What the processors' programs did, of all of them: what the monitor did for them is under `monitor`, misses and stalls included. */
struct flash_stats sim_totals(const struct sim *s);
/* The latest clock. */
uint64_t sim_time(const struct sim *s);

#endif
