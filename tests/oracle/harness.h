/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ORACLE_HARNESS_H
#define TESTS_ORACLE_HARNESS_H

/*
 * A run over many programs, in a child process: a crash or a hang of an executor is a finding like a difference.
 * What fails is reduced (each attempt in a process of its own) and printed with how to run it again.
 *
 * Environment: DISCO_SEED  seed of the first program (default: the test's); program i has this seed + i
 *              DISCO_COUNT how many programs (default: the test's)
 */
#include "tests/oracle/machine.h"
#include "tests/slower.h"

/* A number from the environment, 0x understood; `otherwise` if it is not there. */
uint64_t oracle_environment(const char *name, uint64_t otherwise);

typedef void generate_fn(struct oracle_program *p, const struct generate_options *o, uint64_t seed);

struct oracle_test {
	const char *name; /* suite/test, as Criterion's --filter takes it */
	struct oracle_setup setup;
	bool unicorn;       /* is the reference; else the first executor is */
	unsigned executors; /* bits 1 << enum executor */
	generate_fn *generate;
	uint32_t n_cases, max_insns;
	bool beyond_unicorn;
	uint64_t seed;
	uint32_t count;
};

struct oracle_stats {
	uint64_t programs, blocks,
	    insns;        /* blocks: executions of one, per executor; insns: Unicorn's count of theirs */
	uint64_t regions; /* compiled by tier 2 */
	uint64_t exceptions[32];
	uint64_t rows[NUM_INSNS]; /* instructions generated */
};

/* Runs; prints what it did, or what failed. False if anything failed. Adds to *stats. */
bool oracle_test_run(const struct oracle_test *t, struct oracle_stats *stats);
/* The row that a word belongs to; NULL: reserved. */
const struct insn *oracle_row(uint32_t word);

/* ---- rig.c: the executors of a test, side by side ---- */

struct rig;
struct rig *rig_new(const struct oracle_test *t, unsigned executors);
void rig_free(struct rig *r);
/*
 * Run p everywhere. EXEC_* of the first that differs from the reference, -1 if none, NUM_EXECUTORS if the reference
 * itself fails. report: where differences are printed, or NULL. stats: may be NULL.
 */
int rig_check(struct rig *r, const struct oracle_program *p, FILE *report, struct oracle_stats *stats);

/* ---- reduce.c ---- */
/* Make p smaller as long as the executors still fail on it. */
void oracle_reduce(const struct oracle_test *t, unsigned executors, struct oracle_program *p);
/* Does p fail (differ, crash, hang), in a process of its own? */
bool oracle_fails(const struct oracle_test *t, unsigned executors, const struct oracle_program *p, FILE *report);

#endif
