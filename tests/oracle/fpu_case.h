/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ORACLE_FPU_CASE_H
#define TESTS_ORACLE_FPU_CASE_H

/*
 * Floating point by the hundred thousand: one instruction (or a chain of some), in a guest loop that takes operands and FCSR from
 * memory and puts results and FCSR back.  LLVM compiles the loop once; Unicorn, whose engine is SoftFloat, runs the same words.
 */
#include "tests/oracle/machine.h"

#define FPU_FPRS 4 /* 2, 4, 6, 8: fd, fs, ft, fr of the word; or 3, 5, 7, 9 (struct fpu_setup.odd) */
#define FPU_GPRS 3 /* 4, 6, 8: rd, rt, rs; or 5, 7, 9 */

struct fpu_regs {
	uint64_t fpr[FPU_FPRS];
	uint32_t gpr[FPU_GPRS];
	uint32_t fcsr;
	uint32_t exc; /* of an exception: Cause's ExcCode where it stands in Cause; 0: none */
	uint32_t pad;
};

struct fpu_case {
	struct fpu_regs in, out;
};
_Static_assert(sizeof(struct fpu_case) == 112, "known to the guest program");

enum { FPU_MAX_WORDS = 12, FPU_MAX_CASES = 16384 };

struct fpu_program {
	uint32_t words[FPU_MAX_WORDS], n_words;
	bool fr, odd;
	/* Bits of struct fpu_regs that are loaded before, and stored behind the words: each costs LLVM as much as an instruction. */
	uint8_t fpr_in, fpr_out, gpr_in, gpr_out;
	/* FCSR is loaded once, from the first case, and gathers Flags: the loop is one region.  Else for each case. */
	bool gathers;
};

/* ---- fpu_rows.c: which instructions, with which operands ---- */

/* Rows that only read and write registers: those that are tested. CTC1 is not one. */
bool fpu_row_tested(const struct insn *row);
/* It computes: sets FCSR.Cause. */
bool fpu_row_arithmetic(const struct insn *row);
/* A word with the registers of struct fpu_regs; cc, cond and what else is free from `random`. */
uint32_t fpu_row_word(const struct insn *row, bool odd, uint64_t random);
/* Fill in what p->words[0] of this row reads and writes.  all: everything is loaded and stored. */
void fpu_row_registers(const struct insn *row, bool all, struct fpu_program *p);
/* FPR n of the word, a double or what a single is. */
uint64_t fpu_get(const struct fpu_regs *r, unsigned n, bool wide, bool fr);
void fpu_put(struct fpu_regs *r, unsigned n, bool wide, bool fr, uint64_t v);
/* Operand format and result format of an arithmetic row: double (or longword), else single (or word). */
bool fpu_row_wide(const struct insn *row);
/* The result is a floating-point number. */
bool fpu_row_float(const struct insn *row, bool *wide);

/*
 * Operands: exponents at the formats' borders, fractions with few bits set or cleared, equal and opposite ones, sums that cancel,
 * and results near halfway between two numbers.
 */
void fpu_random_operands(struct rng *r, const struct insn *row, uint32_t word, bool fr, struct fpu_regs *out);

/* ---- fpu_rules.c: where the manual differs from Unicorn ---- */

/*
 * in: what our side was given.  *out: what Unicorn made of it with FCSR.FS clear; it becomes what
 * the manual says.  False: this case's outcome does not follow from Unicorn's.
 */
bool fpu_rules_apply(const struct insn *row, uint32_t word, bool fr, const struct fpu_regs *in, struct fpu_regs *out);

/* ---- fpu_rig.c: who executes ---- */

struct fpu_unicorn;
struct fpu_unicorn *fpu_unicorn_new(void);
void fpu_unicorn_free(struct fpu_unicorn *u);
/* NULL, or what went wrong. */
const char *fpu_unicorn_run(struct fpu_unicorn *u, const struct fpu_program *p, struct fpu_case *cases, uint32_t n);

struct fpu_vm;
struct fpu_vm *fpu_vm_new(enum executor e);
void fpu_vm_free(struct fpu_vm *m);
const char *fpu_vm_run(struct fpu_vm *m, const struct fpu_program *p, struct fpu_case *cases, uint32_t n);
/* Guest instructions executed by tier 2's code. */
uint64_t fpu_vm_tier2_insns(const struct fpu_vm *m);
/* What LLVM compiled so far. */
uint64_t fpu_vm_regions(const struct fpu_vm *m);

#endif
