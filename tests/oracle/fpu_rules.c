/* SPDX-License-Identifier: MIT */
/*
 * The manual where Unicorn's engine (QEMU 5) says otherwise, each derived from what Unicorn computes without the difference.
 * MIPS32 volume I-A: "Underflow Exception", "FCSR", "Quiet NaN"; volume II: ABS.fmt, NEG.fmt.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "frontend/fpu.h"
#include "tests/oracle/fpu_case.h"

enum { OP_COP1X = 0x13, FMT_D = 17, FN_ABS = 5, FN_NEG = 7, FN_CVT_S = 32 };

static const uint64_t default_nan[2] = {0x7fbfffff, 0x7ff7ffffffffffff};
static uint64_t sign_bit(bool wide) { return wide ? 1ull << 63 : 1ull << 31; }
static uint64_t infinity(bool wide) { return wide ? 0x7ffull << 52 : 0xffull << 23; }
static bool is_nan(uint64_t v, bool wide) { return (v & (sign_bit(wide) - 1)) > infinity(wide); }
static bool is_signalling(uint64_t v, bool wide) { return is_nan(v, wide) && v & (wide ? 1ull << 51 : 1ull << 22); }
static bool is_denormal(uint64_t v, bool wide)
{
	v &= sign_bit(wide) - 1;
	return v && v < (wide ? 1ull << 52 : 1ull << 23);
}

/* The operation ends with these exceptions: a trap, or the result and Flags. */
static void finish(const struct fpu_regs *in, struct fpu_regs *out, unsigned cause, unsigned fd, bool wide, bool fr,
		   uint64_t v)
{
	uint32_t fcc = out->fcsr & (0xfe000000u | FCSR_FCC0);

	memcpy(out->fpr, in->fpr, sizeof(out->fpr));
	out->fcsr = fcc | (in->fcsr & (FCSR_FS | FCSR_FLAGS | FCSR_ENABLES | FCSR_RM)) | cause << FCSR_CAUSE_SHIFT;
	out->exc = cause & in->fcsr >> FCSR_ENABLES_SHIFT ? EXC_FPE << 2 : 0;
	if (out->exc)
		return;
	out->fcsr |= cause << FCSR_FLAGS_SHIFT;
	fpu_put(out, fd, wide, fr, v);
}

/* ABS and NEG are arithmetic without FCSR.ABS2008; QEMU only changes the sign bit, and leaves Cause. */
static void sign_operation(const struct insn *row, uint32_t word, bool fr, const struct fpu_regs *in,
			   struct fpu_regs *out)
{
	bool wide = fpu_row_wide(row);
	uint64_t v = fpu_get(in, insn_fs(word), wide, fr), sign = sign_bit(wide);

	if (is_signalling(v, wide))
		finish(in, out, FPU_V, insn_fd(word), wide, fr, default_nan[wide]);
	else
		finish(in, out, 0, insn_fd(word), wide, fr,
		       is_nan(v, wide)                       ? v
		       : insn_function(row->match) == FN_ABS ? v & ~sign
							     : v ^ sign);
}

/* A multiplication whose product, or the sum on it, may be tiny by itself: Unicorn tells of both together. */
static bool product_tiny(const struct insn *row, uint32_t word, bool fr, const struct fpu_regs *in)
{
	bool wide = fpu_row_wide(row);
	uint64_t x = fpu_get(in, insn_fs(word), wide, fr), y = fpu_get(in, insn_ft(word), wide, fr);
	double a, b;
	float s, t;

	memcpy(&a, &x, 8);
	memcpy(&b, &y, 8);
	memcpy(&s, &x, 4);
	memcpy(&t, &y, 4);
	return wide ? fabs(a * b) <= DBL_MIN : fabs((double)s * t) <= FLT_MIN;
}

bool fpu_rules_apply(const struct insn *row, uint32_t word, bool fr, const struct fpu_regs *in, struct fpu_regs *out)
{
	unsigned enables = in->fcsr >> FCSR_ENABLES_SHIFT & 31, fd = insn_fd(word), fn = insn_function(row->match),
		 cause;
	bool cop1x = insn_opcode(row->match) == OP_COP1X, wide, is_float = fpu_row_float(row, &wide), tiny;
	bool flushes = in->fcsr & FCSR_FS;
	uint64_t fs, v;

	if (!fpu_row_arithmetic(row)) {
		out->fcsr |= in->fcsr & FCSR_FS;
		return true;
	}
	if (out->exc && out->exc != EXC_FPE << 2) /* reserved */
		return true;
	cause = out->fcsr >> FCSR_CAUSE_SHIFT & 63;
	if (is_float && !cop1x && (fn == FN_ABS || fn == FN_NEG)) {
		sign_operation(row, word, fr, in, out);
		return true;
	}
	if (!is_float) { /* conditions and integers: a word or longword in fd, if any */
		if (out->exc || fn >= 48) {
			struct fpu_regs kept = *out;

			finish(in, out, cause, fd, true, true, 0);
			memcpy(out->fpr, kept.fpr, sizeof(kept.fpr));
			return true;
		}
		wide = fn == 37 || (fn >= 8 && fn <= 11);
		finish(in, out, cause, fd, wide, fr, fpu_get(out, fd, wide, fr));
		return true;
	}
	/* a trap for the product hides a sum that is tiny and exact */
	if (cop1x && (flushes || enables & FPU_U) && (out->exc || product_tiny(row, word, fr, in)))
		return false;
	v = fpu_get(out, fd, wide, fr);
	fs = fpu_get(in, insn_fs(word), fpu_row_wide(row), fr);
	/* QEMU makes infinity of a quiet NaN whose fraction a single cannot hold; it stays a NaN. */
	if (!cop1x && fn == FN_CVT_S && insn_fmt(row->match) == FMT_D && is_nan(fs, true) && !(fs >> 29 & 0x7fffff)) {
		finish(in, out, 0, fd, false, fr, default_nan[0]);
		return true;
	}
	/* Tiny: inexact, which Unicorn signals, or an exact denormal, which is an underflow if it is enabled. */
	tiny = cause & FPU_U || (!out->exc && is_denormal(v, wide));
	if (tiny && flushes) {
		cause |= FPU_U | FPU_I;
		v &= sign_bit(wide);
	} else if (tiny && enables & FPU_U) {
		cause |= FPU_U;
	}
	finish(in, out, cause, fd, wide, fr, v);
	return true;
}
