/* SPDX-License-Identifier: MIT */
#ifndef JIT_FPU_ROWS_H
#define JIT_FPU_ROWS_H

/*
 * How the rows of ir/fpu_helpers.def are done in line, for both tiers.
 *
 * The host computes what MIPS does but for three things, and those go to the row's helper: whatever has to do with a NaN,
 * conversions to integers that are out of range, and roundings that SSE2 has no instruction for.  Everything else that
 * an operation signals is left in MXCSR, and the operation in guest_state.fpu_last: see HELPER_FPU_SETTLE.
 */
#include "ir/ir.h"
#include "jit/x86_sse.h"

/* Of enum fpu_rounding (frontend/fpu.h); BY_RM is NEAREST where there is no MODE_FPX. */
enum fpu_row_rounding { ROUND_NEAREST = 0, ROUND_ZERO = 1, ROUND_BY_RM = 4 };

enum fpu_form {
	FORM_NONE, /* always by the helper */
	FORM_BINARY,
	FORM_SQRT,
	FORM_ABS,
	FORM_NEG,
	FORM_RECIP,
	FORM_RSQRT,
	FORM_MADD,
	FORM_FROM_INT,
	FORM_TO_INT,
	FORM_OTHER, /* the other floating-point format */
	FORM_COMPARE,
};

struct fpu_row {
	uint8_t form;   /* enum fpu_form */
	uint8_t op;     /* enum x86_sse, of BINARY and of MADD's second step */
	bool d;         /* operand a is a double (FROM_INT: the result) */
	bool wide;      /* the integer has 64 bits */
	bool negates;   /* MADD: the result */
	bool exact;     /* no exception is left once the helper is not needed */
	uint8_t n_args; /* that fpu_last needs */
};
extern const struct fpu_row fpu_rows[NUM_HELPERS];

/* The argument that must be a constant to be done in line, or -1. */
static inline int fpu_row_constant(const struct fpu_row *row)
{
	return row->form == FORM_TO_INT ? 1 : row->form == FORM_COMPARE ? 2 : -1;
}

/* k: that constant. */
static inline bool fpu_row_in_line(const struct fpu_row *row, uint32_t k)
{
	if (row->form == FORM_TO_INT)
		return k == ROUND_NEAREST || k == ROUND_ZERO || k == ROUND_BY_RM;
	return row->form != FORM_NONE;
}

/* A comparison's constant: condition code << 4 | condition, whose bits are 1 unordered, 2 equal, 4 less, 8 signalling. */
enum { COND_EQUAL = 2, COND_LESS = 4 };
static inline unsigned fpu_row_cc_shift(uint32_t k) { return k >> 4 & 7 ? 24 + (k >> 4 & 7) : 23; } /* in FCSR */

#endif
