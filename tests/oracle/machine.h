/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ORACLE_MACHINE_H
#define TESTS_ORACLE_MACHINE_H

/*
 * Who executes programs: Unicorn, and virtual machines of ours that differ in their tiers.  What each leaves behind
 * has the same form.
 */
#include "tests/oracle/guest.h"

enum executor { EXEC_INTERP, EXEC_TIER1, EXEC_TIER2, EXEC_TIERS12, NUM_EXECUTORS };
extern const char *const executor_name[NUM_EXECUTORS];

struct oracle_outcome {
	struct oracle_result result[MAX_CASES];
	uint8_t data[DATA_BYTES], block[BLOCK_BYTES]; /* memory, as bytes */
	uint64_t insns;      /* setup.icount: instructions executed, the driver's too; else 0 */
	uint64_t hash;       /* setup.kernel, ours: of the whole machine; else 0 */
	uint64_t regions;    /* ours: what tier 2 compiled for it */
	const char *trouble; /* it did not come to an end: why; else NULL */
};

struct machine_vm;
/* NULL if the host will not give what it needs. */
struct machine_vm *machine_vm_new(const struct oracle_setup *s, enum executor e);
void machine_vm_free(struct machine_vm *m);
void machine_vm_run(struct machine_vm *m, const struct oracle_program *p, struct oracle_outcome *out);

struct unicorn;
struct unicorn *unicorn_new(const struct oracle_setup *s);
void unicorn_free(struct unicorn *u);
void unicorn_run(struct unicorn *u, const struct oracle_program *p, struct oracle_outcome *out);
/* Instructions of blocks executed so far. */
uint64_t unicorn_insns(const struct unicorn *u);

#endif
