/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ORACLE_PROGRAM_H
#define TESTS_ORACLE_PROGRAM_H

/* A generated guest program, the states it is run from, and what must come out the same everywhere. */
#include <stdint.h>
#include <stdio.h>

#include "frontend/insn.h"

/* ---- random numbers: a program is a function of its seed ---- */

struct rng {
	uint64_t s;
};

struct rng rng_seed(uint64_t seed);
uint64_t rng_next(struct rng *r);
static inline uint32_t rng_below(struct rng *r, uint32_t n) { return (uint32_t)((rng_next(r) >> 32) * n >> 32); }
/* True once in n. */
static inline bool rng_one_in(struct rng *r, uint32_t n) { return rng_below(r, n) == 0; }
/* Values where things go wrong, more often than their share. fpr: a double, or two singles or words. */
uint32_t rng_gpr(struct rng *r);
uint64_t rng_fpr(struct rng *r);
uint32_t rng_single(struct rng *r);
uint64_t rng_double(struct rng *r);

/* ---- where everything is ---- */

/*
 * Guest-physical layout, the same in Unicorn and in our VMs.  Virtual addresses are these plus setup_base().
 * The block may be anywhere in the first of its pages, so that some straddle two; the program also stores into the
 * pages that it runs from, behind itself.
 */
enum {
	PA_VECTORS = 0,
	PA_DRIVER = 0x100000,
	PA_BLOCK = 0x110000,
	BLOCK_BYTES = 3 * PAGE_BYTES,
	PA_DATA = 0x120000,
	DATA_BYTES = 4 * PAGE_BYTES,
	PA_CASES = 0x130000,
	MAX_CASES = 64,
	MAX_INSNS = 96,
	REG_CASE = 26, /* k0 points at the case; programs read it, but never write it */
};

/* How the machine is set up; constant over the programs of a test. */
struct oracle_setup {
	bool big_endian;
	bool mapped; /* kuseg, user mode, through the TLB; else KSEG0, kernel mode */
	bool fr;     /* Status.FR */
	bool cu1;    /* Status.CU1 */
	bool fp;     /* the FPU's registers are loaded and compared too; needs cu1 */
	bool icount; /* our machines count instructions exactly */
	bool kernel; /* privileged rows: the driver puts Status back after each case */
};

static inline uint32_t setup_base(const struct oracle_setup *s) { return s->mapped ? 0 : 0x80000000u; }
uint32_t setup_status(const struct oracle_setup *s);

/* ---- programs ---- */

enum { TARGET_NONE = -1, TARGET_TAIL = -2 };

enum program_insn_flags {
	PI_SLOT = 1,   /* delay slot of the instruction before it */
	PI_GLUED = 2,  /* inside a sequence: never a branch target */
	PI_KEEP = 4,   /* the reducer leaves it alone */
	PI_LINK_T = 8, /* a JR or JALR through role.target: its address is in that register */
};

struct program_insn {
	uint32_t word;
	int16_t target; /* index of the instruction it goes to, TARGET_NONE, TARGET_TAIL */
	uint16_t group; /* dropped together */
	uint8_t flags;
};

/* Registers with a duty, which ordinary instructions only read. */
struct program_roles {
	uint8_t pointer[2]; /* into the data pages, and into the data or the block's own pages */
	uint8_t wild;       /* anywhere in mapped segments: TLB refill */
	uint8_t index;      /* small; index of LWXC1 and its like */
	uint8_t count;      /* of loops */
	uint8_t target;     /* of JR and JALR */
	uint8_t code;       /* the block's first instruction */
};

struct oracle_state {
	uint32_t gpr[32], hi, lo, fcsr;
	uint64_t fpr[32]; /* as guest_state.fpr */
};

struct oracle_result {
	struct oracle_state s;
	/* cause: NO_EXCEPTION, or Cause with ExcCode, BD and CE only; the rest is 0 without an exception */
	uint32_t cause, epc, badvaddr, status, refill, entryhi, context;
};
#define NO_EXCEPTION 0xffffffffu

struct oracle_program {
	uint64_t seed;
	uint32_t off; /* of the block in its first page */
	uint32_t n, n_cases;
	struct program_insn insn[MAX_INSNS];
	struct program_roles role;
	int16_t target; /* what role.target points at */
	struct oracle_state in[MAX_CASES];
	uint8_t data[DATA_BYTES];
};

/* The words of the block, in host order, as they stand at PA_BLOCK + off. */
void program_encode(const struct oracle_program *p, const struct oracle_setup *s, uint32_t *words);
uint32_t program_va(const struct oracle_program *p, const struct oracle_setup *s, uint32_t insn);
/* Give role.target and role.code their values in every case.  After anything moved. */
void program_link(struct oracle_program *p, const struct oracle_setup *s);
/* Take one instruction, which must not be a delay slot or have one, out. */
void program_remove(struct oracle_program *p, uint32_t insn);
/* May a branch go there? */
bool program_target_ok(const struct oracle_program *p, uint32_t insn);

/* ---- generate.c ---- */

/* What a row needs around it; ROW_NONE: not for random blocks. */
enum row_class {
	ROW_NONE,
	ROW_ALU,
	ROW_TRAPS,
	ROW_DIVIDE,
	ROW_MEMORY,
	ROW_INDEXED,
	ROW_LINKED,
	ROW_BRANCH,
	ROW_JUMP,
	ROW_FP,
	ROW_FP_GUARDED,
	ROW_FP_CONTROL,
	ROW_PRIVILEGED,
	ROW_PLAIN, /* excluded from the oracle: random fields */
	NUM_ROW_CLASSES
};
enum row_class row_class(const struct insn *row);
/* The longword format, LUXC1, SUXC1: nothing but RI with FR=0. */
bool row_needs_fr(const struct insn *row);

struct generate_options {
	const struct oracle_setup *setup;
	bool beyond_unicorn; /* also what Unicorn gets wrong: FCSR bits, NaN operands, odd addresses */
	uint32_t n_cases;
	uint32_t max_insns; /* of a random block */
};
/* A block of random instructions. */
void program_generate(struct oracle_program *p, const struct generate_options *o, uint64_t seed);
/* One instruction of the row, with what it needs around it. */
void program_generate_row(struct oracle_program *p, const struct generate_options *o, const struct insn *row,
			  uint64_t seed);

/* Guest disassembly of the block and the case that differs. */
void program_print(FILE *out, const struct oracle_program *p, const struct oracle_setup *s);

#endif
