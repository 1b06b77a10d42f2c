/* SPDX-License-Identifier: MIT */
#ifndef FRONTEND_FPU_H
#define FRONTEND_FPU_H

/*
 * COP1 at run time: what the rows of ir/fpu_helpers.def do.
 *
 * Values are bit patterns: a single or a word in the low half of a uint64_t (high half zero), a double or a longword
 * in all of it.  NaNs are MIPS's legacy ones: the top fraction bit is 1 in a signalling NaN.
 *
 *	FCSR (MIPS32 PRA volume I-A, "Floating Point Control and Status Register")
 *	31      25 24  23  22    18 17           12 11          7 6           2 1  0
 *	+---------+---+---+--------+---------------+-------------+-------------+----+
 *	| FCC7..1 |FS |FCC0|   0   | Cause EVZOUI  |Enables VZOUI| Flags VZOUI | RM |
 *	+---------+---+---+--------+---------------+-------------+-------------+----+
 */
#include "ir/ir.h"

/* One exception, as a bit of FCSR.Flags, Enables and (with E above V) Cause. */
enum fpu_exc { FPU_I = 1, FPU_U = 2, FPU_O = 4, FPU_Z = 8, FPU_V = 16, FPU_E = 32 };

#define FCSR_RM            3u
#define FCSR_FLAGS_SHIFT   2
#define FCSR_ENABLES_SHIFT 7
#define FCSR_CAUSE_SHIFT   12
#define FCSR_FLAGS         (31u << FCSR_FLAGS_SHIFT)
#define FCSR_ENABLES       (31u << FCSR_ENABLES_SHIFT)
#define FCSR_CAUSE         (63u << FCSR_CAUSE_SHIFT)
#define FCSR_FCC0          (1u << 23)
#define FCSR_FS            (1u << 24)
#define FCSR_WRITABLE      0xff83ffffu /* bits 22:18 read as zero: neither FO/FN nor the 2008 modes */
/* The bit of condition code cc, 0 to 7. */
#define FCSR_FCC(cc) ((cc) ? 1u << (24 + (cc)) : FCSR_FCC0)

/* Rounding of a conversion to an integer: FCSR.RM's coding, or whatever FCSR.RM says. */
enum fpu_rounding { FPU_ROUND, FPU_TRUNC, FPU_CEIL, FPU_FLOOR, FPU_BY_RM };

/* Control registers of CFC1 and CTC1. */
enum fpu_control { FPU_FIR = 0, FPU_FCCR = 25, FPU_FEXR = 26, FPU_FENR = 28, FPU_FCSR = 31 };

/*
 * Fill in the entries of a helper table that belong to ir/fpu_helpers.def.
 *
 * table    guest_state.helpers of the vCPU to be; other entries are left alone
 *
 * Context  any thread; the helpers themselves run on the vCPU's thread, with MXCSR at its default, and leave it so.
 *          Its sticky flags belong to generated code between two calls of HELPER_FPU_SETTLE: a helper adds none that
 *          FCSR.Flags does not get too.  They call table[HELPER_RAISE] for an enabled exception.
 */
void fpu_helpers_fill(helper_fn **table);

/* The part of guest_state.mode that FCSR decides: MODE_FPX or 0.  Pure. */
uint32_t fpu_fcsr_mode(uint32_t fcr31);

#define HELPER(name, ...) helper_fn fpu_helper_##name;
#include "ir/fpu_helpers.def"
#undef HELPER

#endif
