/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic and comparisons of COP1 and COP1X in S and D.  MIPS32 PRA volume II, the instructions by name.
 *
 * Most operations do not come here: the tiers compute them inline (ir/README.md, "Floating point").
 *
 * Cost: 16 ns where the host computes (loading and reading MXCSR is nearly all of it), 2 ns for ABS, NEG and C.cond;
 * measured on a 2 GHz Sapphire Rapids, calls in a dependent chain.
 */
#include "frontend/fpu_host.h"

#define BINARY(NAME, f, verb)                                                                                          \
	uint64_t fpu_helper_##NAME(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)                         \
	{                                                                                                              \
		(void)c;                                                                                               \
		struct fpu_op op = fpu_begin(gs);                                                                      \
		uint64_t r = f##_host_##verb(&op, a, b);                                                               \
		return fpu_retire(gs, &op, r);                                                                         \
	}
BINARY(FPU_ADD_S, s, add)
BINARY(FPU_SUB_S, s, sub)
BINARY(FPU_MUL_S, s, mul)
BINARY(FPU_DIV_S, s, div)
BINARY(FPU_ADD_D, d, add)
BINARY(FPU_SUB_D, d, sub)
BINARY(FPU_MUL_D, d, mul)
BINARY(FPU_DIV_D, d, div)

#define UNARY(NAME, expr)                                                                                              \
	uint64_t fpu_helper_##NAME(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)                         \
	{                                                                                                              \
		(void)b, (void)c;                                                                                      \
		struct fpu_op op = fpu_begin(gs);                                                                      \
		uint64_t r = (expr);                                                                                   \
		return fpu_retire(gs, &op, r);                                                                         \
	}
UNARY(FPU_SQRT_S, s_host_sqrt(&op, a))
UNARY(FPU_SQRT_D, d_host_sqrt(&op, a))

/*
 * ABS and NEG are arithmetic on a CPU without FCSR.ABS2008: a signalling NaN is Invalid, a quiet one comes back as it
 * is.  Everything else is its sign bit: no rounding, no flush, no other exception.
 */
UNARY(FPU_ABS_S, UNLIKELY(s_is_nan(a)) ? s_nan(&op, a, a) : a & ~(uint64_t)S_SIGN)
UNARY(FPU_ABS_D, UNLIKELY(d_is_nan(a)) ? d_nan(&op, a, a) : a & ~D_SIGN)
UNARY(FPU_NEG_S, UNLIKELY(s_is_nan(a)) ? s_nan(&op, a, a) : a ^ S_SIGN)
UNARY(FPU_NEG_D, UNLIKELY(d_is_nan(a)) ? d_nan(&op, a, a) : a ^ D_SIGN)

/*
 * "The numeric accuracy of this operation is implementation dependent": here 1/x is exactly rounded, and 1/sqrt(x) is
 * a square root and a division, each rounded.
 */
UNARY(FPU_RECIP_S, s_host_div(&op, S_ONE, a))
UNARY(FPU_RECIP_D, d_host_div(&op, D_ONE, a))
UNARY(FPU_RSQRT_S, s_host_div(&op, S_ONE, s_host_sqrt(&op, a)))
UNARY(FPU_RSQRT_D, d_host_div(&op, D_ONE, d_host_sqrt(&op, a)))

/*
 * Unfused: the product is rounded, then the sum; the exceptions of both count.  NMADD and NMSUB flip the sign of what
 * comes out, a NaN's too.
 */
#define MULTIPLY_ADD(NAME, f, verb, flip)                                                                              \
	uint64_t fpu_helper_##NAME(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)                         \
	{                                                                                                              \
		struct fpu_op op = fpu_begin(gs);                                                                      \
		uint64_t product = f##_host_mul(&op, a, b);                                                            \
		uint64_t r = f##_host_##verb(&op, product, c) ^ (flip);                                                \
		return fpu_retire(gs, &op, r);                                                                         \
	}
MULTIPLY_ADD(FPU_MADD_S, s, add, 0)
MULTIPLY_ADD(FPU_MSUB_S, s, sub, 0)
MULTIPLY_ADD(FPU_NMADD_S, s, add, S_SIGN)
MULTIPLY_ADD(FPU_NMSUB_S, s, sub, S_SIGN)
MULTIPLY_ADD(FPU_MADD_D, d, add, 0)
MULTIPLY_ADD(FPU_MSUB_D, d, sub, 0)
MULTIPLY_ADD(FPU_NMADD_D, d, add, D_SIGN)
MULTIPLY_ADD(FPU_NMSUB_D, d, sub, D_SIGN)

/* Bits of the condition field: what makes it true, and whether a quiet NaN is Invalid. */
enum { COND_UNORDERED = 1, COND_EQUAL = 2, COND_LESS = 4, COND_SIGNALS = 8 };

/* rel: the one of COND_UNORDERED, COND_EQUAL, COND_LESS that holds, or 0 for greater. */
static uint64_t compare_retire(struct guest_state *gs, uint32_t rel, bool snan, uint64_t cc_cond)
{
	struct fpu_op op = {.exc = 0};
	fpu_settle(gs);
	uint32_t cc = (uint32_t)cc_cond >> 4 & 7;
	if (snan || (rel == COND_UNORDERED && (cc_cond & COND_SIGNALS)))
		op.exc = FPU_V;
	if (!fpu_retire(gs, &op, 1))
		return 0; /* FPE: the condition code keeps its value */
	if (rel & cc_cond)
		gs->fcr31 |= FCSR_FCC(cc);
	else
		gs->fcr31 &= ~FCSR_FCC(cc);
	return 0;
}

/* Sign and magnitude to two's complement, so that integers order as the floats do and the zeros are equal. */
static int32_t s_order(uint64_t v)
{
	int32_t magnitude = (int32_t)(v & ~(uint64_t)S_SIGN);
	return v & S_SIGN ? -magnitude : magnitude;
}

static int64_t d_order(uint64_t v)
{
	int64_t magnitude = (int64_t)(v & ~D_SIGN);
	return v & D_SIGN ? -magnitude : magnitude;
}

uint64_t fpu_helper_FPU_C_S(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)
{
	int32_t x = s_order(a), y = s_order(b);
	uint32_t rel = x < y ? COND_LESS : x == y ? COND_EQUAL : 0;
	if (s_is_nan(a) || s_is_nan(b))
		rel = COND_UNORDERED;
	return compare_retire(gs, rel, s_is_snan(a) || s_is_snan(b), c);
}

uint64_t fpu_helper_FPU_C_D(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)
{
	int64_t x = d_order(a), y = d_order(b);
	uint32_t rel = x < y ? COND_LESS : x == y ? COND_EQUAL : 0;
	if (d_is_nan(a) || d_is_nan(b))
		rel = COND_UNORDERED;
	return compare_retire(gs, rel, d_is_snan(a) || d_is_snan(b), c);
}
