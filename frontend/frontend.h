/* SPDX-License-Identifier: MIT */
#ifndef FRONTEND_FRONTEND_H
#define FRONTEND_FRONTEND_H

/*
 * Guest words to IR.  A word is decoded once by Capstone (memoised), its id leads to a row of insn.def, and the
 * row's match/mask and lifter settle the rest (design.md section 3, "Capstone decodes, the row decides").
 */
#include "base/types.h"
#include "ir/ir.h"

/* ISA levels of insn.def rows; a CPU model (frontend/cpu.def) has a set of them. */
enum isa { ISA_MIPS32R1 = 1, ISA_MIPS32R2 = 2, ISA_FPU = 4 };

enum insn_flags {
	INSN_BRANCH = 1,     /* has a delay slot */
	INSN_LIKELY = 2,     /* and nullifies it when not taken */
	INSN_PRIV = 4,       /* coprocessor 0: CpU in user mode without CU0 */
	INSN_CP1 = 8,        /* CpU unless CU1 */
	INSN_ENDS = 16,      /* last instruction of its block */
	INSN_FR_PAIR = 32,   /* FR=0: odd FPR numbers are reserved (UNPREDICTABLE; RI here) */
	INSN_ORACLE_NO = 64, /* excluded from the oracle; the row says why */
};

struct frontend; /* Capstone handle + decode memo. Not thread-safe: one per thread. */

struct insn; /* a row of insn.def, frontend/insn.h */

/* isa: set of enum isa. Words are in host order everywhere here. NULL: no host memory, or Capstone cannot be opened. */
struct frontend *frontend_new(unsigned isa);
void frontend_free(struct frontend *f);

/* The row for a word, or NULL: reserved instruction. Cost: one hash probe when the word was seen before. */
const struct insn *frontend_decode(struct frontend *f, uint32_t word);
/* Capstone's text for a word at pc, "mnemonic operands"; our own for words that only a row knows. */
void frontend_disasm(struct frontend *f, uint64_t pc, uint32_t word, char *out, size_t out_bytes);

struct lift_request {
	uint32_t mode;         /* enum ir_mode */
	uint64_t abs_page;     /* MODE_ABS: gva of the page; else 0 */
	uint32_t off;          /* first instruction, offset into its page */
	const uint32_t *words; /* guest words from off on, in host order */
	uint32_t n_words;      /* up to the end of the page (a block never runs past it) ... */
	const uint32_t *slot;  /* ... except for the delay slot of a branch in the last word: its word in the
				  next page, or NULL if not known */
	uint32_t line;         /* bytes of a line of the simulated caches (op FETCH); 0: none */
	uint32_t max_guest;    /* stop after this many guest instructions (a branch and its slot are never cut); 0:
				  IR_MAX_GUEST */
};

enum lift_status {
	LIFT_OK,
	LIFT_NEEDS_SLOT, /* the block is a branch in the last word of the page and slot is NULL */
};

/*
 * Lift one block.  Never fails on any words: reserved ones raise RI when executed.
 * A branch in the last word is a block of its own with its slot: the instructions before it form a block that ends
 * by falling through to it, so only one-branch blocks straddle pages.
 */
enum lift_status frontend_lift(struct frontend *f, struct arena *a, const struct lift_request *rq,
			       struct ir_block **out);

#endif
