/* SPDX-License-Identifier: MIT */
#ifndef TESTS_NUMA_WORKLOAD_H
#define TESTS_NUMA_WORKLOAD_H

/*
 * Synthetic programs: each processor runs one process, which accesses lines of regions by chance, and executes for a while in
 * between.  A function of the seed.
 */
#include "tests/numa/sim.h"

enum region_place { PLACE_FIRST_TOUCH, PLACE_SPREAD, PLACE_NODE_0, PLACE_NEXT_NODE };

struct region {
	uint32_t pages;  /* of all, or of each processor (own) */
	bool own;        /* each processor has one */
	bool code;       /* is fetched */
	unsigned share;  /* of the accesses, in a thousand */
	unsigned writes; /* of these, in a thousand */
	unsigned skew;   /* 1: all pages alike; 2, 3: more and more the first ones */
	enum region_place place;
};

struct workload {
	const char *name, *settings; /* of the machine */
	uint32_t cycles;             /* executed between two accesses: 0 to twice that */
	struct region region[6];     /* shares add up to 1000; share 0: the end */
};

/* The figures of a run; ns are means. */
struct workload_result {
	uint64_t cycles;                                   /* of the run */
	double executed, local, remote, monitor, l2, idle; /* shares of all processors' time */
	double local_share;                                /* of the misses */
	double local_ns, remote_ns;                        /* a miss */
	double hottest;                                    /* requests of the busiest controller, by the mean */
	double migrate_us, replicate_us;                   /* a move */
	uint64_t misses;
	struct sim_stats sim;
};

/* The processors make that many accesses each, on average.  more: settings over the workload's, or NULL. */
struct workload_result workload_run(const struct workload *w, const char *more, uint32_t accesses, uint64_t seed);

/* As the paper's two (5.5): what misses where is theirs, what they compute is not. */
extern const struct workload engineering, raytrace;

#endif
