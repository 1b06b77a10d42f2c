/* SPDX-License-Identifier: MIT */
#ifndef TESTS_NUMA_REPLAY_H
#define TESTS_NUMA_REPLAY_H

/* One trace through the model and through the slow one, and what differs. */
#include "numa/config.h"

struct replay {
	const char *settings; /* as --numa takes them */
	uint64_t seed, accesses;
	uint64_t bytes;    /* of memory that the trace uses */
	uint64_t forgets;  /* pages that are forgotten on the way, one in so many accesses; 0: none */
	uint64_t sabotage; /* the access before which the model is disturbed, to see that it is noticed; 0: none */
};

struct replay_result {
	uint64_t accesses, differences, hot, intervals, rows; /* rows: counters of pages compared */
	uint64_t misses, dirty, upgrades, invalidations, writebacks, waited;
	char first[256]; /* of the differences */
};

/* Stops at the first difference. */
struct replay_result replay(const struct replay *r);

#endif
