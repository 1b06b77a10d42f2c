/* SPDX-License-Identifier: MIT */
#ifndef TESTS_GUEST_EXC_RUN_H
#define TESTS_GUEST_EXC_RUN_H

#include "tests/guest/exc_cases.h"

/* Where an instruction stands: its virtual address, and the branch in whose delay slot it is. */
enum exc_branch {
	BRANCH_NONE,
	BRANCH_BEQ,
	BRANCH_BNE_NOT, /* not taken */
	BRANCH_J,
	BRANCH_JAL,
	BRANCH_JR,
	BRANCH_JALR,
	BRANCH_BEQL,
	BRANCH_BEQL_NOT, /* not taken: the slot is not executed */
	BRANCH_BGEZAL,
};
struct exc_place {
	const char *name;
	uint32_t va; /* 0: KSEG0 */
	enum exc_branch branch;
};
extern const struct exc_place exc_places[];
extern const unsigned exc_num_places;

/* Pages for cases: mapped at CODE_VA (even and odd page). */
extern uint32_t exc_even_page[PAGE / 4], exc_odd_page[PAGE / 4];

/* The TLB as exc_cases.h tells; the odd code page with these EntryLo flags (LO_V | LO_D). */
void exc_map(uint32_t odd_flags);
/* A word at CODE_VA + 0..0x1fff or in KSEG0. */
void exc_put_word(uint32_t va, uint32_t word);
uint32_t exc_branch_word(enum exc_branch kind, uint32_t at, uint32_t target);
/* The registers of exc_cases.h; f20, f21, FCSR and the other FPRs are set by exc_run. */
void exc_set_registers(uint32_t gpr[32], uint32_t t8, uint32_t t9);
/* Run from va until an exception, and print it as one line. */
void exc_run(const struct exc_case *c, const char *place, uint32_t va, uint32_t t9);
/* A case at a place. */
void exc_run_at(const struct exc_case *c, const struct exc_place *p);

#endif
