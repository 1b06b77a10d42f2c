/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ORACLE_GENERATE_H
#define TESTS_ORACLE_GENERATE_H

/* Inside the generator: what rows.c (one instruction) and generate.c (blocks, cases) share. */
#include "tests/oracle/program.h"

struct generator {
	struct rng rng;
	struct oracle_program *p;
	const struct generate_options *o;
	uint8_t hot_gpr[4], hot_fpr[4]; /* used more often, so that instructions feed each other */
	uint16_t group;
	bool in_function;         /* $31 is in use */
	int16_t jumped;           /* last instruction that goes through role.target, or -1 */
	uint8_t ahead[MAX_INSNS]; /* of branches without a target yet: how far, roughly */
};

#define AHEAD_NONE 0

/* Append an instruction; returns its index. */
uint32_t generator_put(struct generator *g, uint32_t word, unsigned flags);
/* Is the register one that addresses, counts or jumps, which nothing else may change? */
bool generator_has_role(const struct generator *g, unsigned r);
unsigned generator_dest(struct generator *g); /* a GPR that instructions may write */
unsigned generator_gpr(struct generator *g);  /* one that they may read */
/* The row with what it needs; what follows must be a possible branch target. */
void generator_put_row(struct generator *g, const struct insn *row);
/* A single instruction for a delay slot. */
void generator_put_slot(struct generator *g);
/* A row of one of the classes in the set (bits 1 << enum row_class), by weight. */
const struct insn *generator_pick_row(struct generator *g, uint32_t classes);

/* rows.c: random operands for a row. */
uint32_t generator_word(struct generator *g, const struct insn *row);

#endif
