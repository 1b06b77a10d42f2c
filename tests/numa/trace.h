/* SPDX-License-Identifier: MIT */
#ifndef TESTS_NUMA_TRACE_H
#define TESTS_NUMA_TRACE_H

/*
 * Accesses of several processors, made up: each processor does one thing for some dozens to thousands of accesses, and then
 * another.  A function of the seed.
 */
#include "numa/flash/flash.h"

enum trace_pattern {
	TRACE_RANDOM,    /* anything anywhere */
	TRACE_STREAM,    /* through memory of its own, in order */
	TRACE_LOOP,      /* a loop of code over a few pages of data */
	TRACE_MIGRATORY, /* what one changes, the next one changes */
	TRACE_PIPE,      /* one writes, the others read */
	TRACE_READERS,   /* all read the same pages */
	TRACE_FALSE,     /* all write to words of their own in the same lines */
	NUM_TRACE_PATTERNS
};

struct trace_cpu {
	enum trace_pattern pattern;
	uint32_t left; /* accesses of it */
	uint64_t at;
};

struct trace {
	uint64_t rng;
	uint64_t bytes; /* accesses are below that */
	unsigned cpus;
	struct trace_cpu cpu[NUMA_MAX_CPUS];
	uint64_t accesses[NUM_TRACE_PATTERNS], kinds[3];
};

struct trace_access {
	enum flash_access kind;
	uint64_t addr;
	uint32_t cycles; /* executed before it */
};

uint64_t random_next(uint64_t *rng);
/* Below n. */
uint64_t random_below(uint64_t *rng, uint64_t n);

void trace_init(struct trace *t, uint64_t seed, uint64_t bytes, unsigned cpus);
struct trace_access trace_next(struct trace *t, unsigned cpu);

#endif
