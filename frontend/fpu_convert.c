/* SPDX-License-Identifier: MIT */
/*
 * CVT, ROUND, TRUNC, CEIL and FLOOR.  MIPS32 PRA volume II, the instructions by name; volume I-A, table "FPU default
 * results for Invalid": an integer that is out of range, or that a NaN was to become, is the largest positive one.
 */
#include "frontend/fpu_host.h"

#define W_INVALID 0x7fffffffu
#define L_INVALID 0x7fffffffffffffffull

/* A NaN of the other format keeps sign and the fraction's top bits. */
static uint64_t s_nan_of_d(struct fpu_op *op, uint64_t a)
{
	if (d_is_snan(a)) {
		op->exc |= FPU_V;
		return S_DEFAULT;
	}
	uint64_t v = (a >> 32 & S_SIGN) | S_INF | (a >> 29 & (S_NORMAL - 1));
	return s_is_nan(v) ? v : S_DEFAULT; /* all of the fraction was in the low bits */
}

static uint64_t d_nan_of_s(struct fpu_op *op, uint64_t a)
{
	if (s_is_snan(a)) {
		op->exc |= FPU_V;
		return D_DEFAULT;
	}
	return (a & S_SIGN) << 32 | D_INF | (a & (S_NORMAL - 1)) << 29;
}

static uint64_t s_host_of_d(struct fpu_op *op, uint64_t a)
{
	if (UNLIKELY(d_is_nan(a)))
		return s_nan_of_d(op, a);
	float r = 0;
	uint32_t csr;
	__asm__ volatile("ldmxcsr %2\n\tcvtsd2ss %3, %0\n\tstmxcsr %1"
			 : "+x"(r), "=m"(csr)
			 : "m"(op->mxcsr), "x"(d_of_bits(a)));
	return s_settle(op, r, csr);
}

static uint64_t d_host_of_s(struct fpu_op *op, uint64_t a)
{
	if (UNLIKELY(s_is_nan(a)))
		return d_nan_of_s(op, a);
	double r = 0;
	uint32_t csr;
	__asm__ volatile("ldmxcsr %2\n\tcvtss2sd %3, %0\n\tstmxcsr %1"
			 : "+x"(r), "=m"(csr)
			 : "m"(op->mxcsr), "x"(s_of_bits(a)));
	return d_settle(op, r, csr);
}

static uint64_t s_host_of_l(struct fpu_op *op, int64_t a)
{
	float r = 0;
	uint32_t csr;
	__asm__ volatile("ldmxcsr %2\n\tcvtsi2ssq %3, %0\n\tstmxcsr %1" : "+x"(r), "=m"(csr) : "m"(op->mxcsr), "r"(a));
	return s_settle(op, r, csr);
}

static uint64_t d_host_of_l(struct fpu_op *op, int64_t a)
{
	double r = 0;
	uint32_t csr;
	__asm__ volatile("ldmxcsr %2\n\tcvtsi2sdq %3, %0\n\tstmxcsr %1" : "+x"(r), "=m"(csr) : "m"(op->mxcsr), "r"(a));
	return d_settle(op, r, csr);
}

static uint64_t l_host_of_s(struct fpu_op *op, uint64_t a)
{
	int64_t r;
	uint32_t csr;
	__asm__ volatile("ldmxcsr %2\n\tcvtss2siq %3, %0\n\tstmxcsr %1"
			 : "=r"(r), "=m"(csr)
			 : "m"(op->mxcsr), "x"(s_of_bits(a)));
	fpu_mxcsr_restore(op);
	fpu_note(op, csr);
	return csr & MXCSR_IE ? L_INVALID : (uint64_t)r;
}

static uint64_t l_host_of_d(struct fpu_op *op, uint64_t a)
{
	int64_t r;
	uint32_t csr;
	__asm__ volatile("ldmxcsr %2\n\tcvtsd2siq %3, %0\n\tstmxcsr %1"
			 : "=r"(r), "=m"(csr)
			 : "m"(op->mxcsr), "x"(d_of_bits(a)));
	fpu_mxcsr_restore(op);
	fpu_note(op, csr);
	return csr & MXCSR_IE ? L_INVALID : (uint64_t)r;
}

#define CONVERT(NAME, expr)                                                                                            \
	uint64_t fpu_helper_##NAME(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)                         \
	{                                                                                                              \
		(void)b, (void)c;                                                                                      \
		struct fpu_op op = fpu_begin(gs);                                                                      \
		uint64_t r = (expr);                                                                                   \
		return fpu_retire(gs, &op, r);                                                                         \
	}
CONVERT(FPU_CVT_S_D, s_host_of_d(&op, a))
CONVERT(FPU_CVT_D_S, d_host_of_s(&op, a))
CONVERT(FPU_CVT_S_W, s_host_of_l(&op, (int32_t)a))
CONVERT(FPU_CVT_D_W, d_host_of_l(&op, (int32_t)a))
CONVERT(FPU_CVT_S_L, s_host_of_l(&op, (int64_t)a))
CONVERT(FPU_CVT_D_L, d_host_of_l(&op, (int64_t)a))

static struct fpu_op begin_to_integer(struct guest_state *gs, uint64_t rounding)
{
	struct fpu_op op = fpu_begin(gs);
	if (rounding < FPU_BY_RM)
		op.mxcsr = (op.mxcsr & ~MXCSR_RC) | mxcsr_rounding((uint32_t)rounding);
	return op;
}

/* The host converted to 64 bits, so only its inexact flag is right where a word overflows, and Invalid replaces it. */
static uint64_t narrow_to_w(struct fpu_op *op, uint64_t l)
{
	if ((int64_t)l == (int32_t)l)
		return (uint32_t)l;
	op->exc = FPU_V;
	fpu_mxcsr_clear(); /* its inexact flag must not be taken for the guest's */
	return W_INVALID;
}

/* IE is set by the host for NaNs as for values out of range, and for both the result is the same. */
#define CONVERT_TO_INTEGER(NAME, expr)                                                                                 \
	uint64_t fpu_helper_##NAME(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)                         \
	{                                                                                                              \
		(void)c;                                                                                               \
		struct fpu_op op = begin_to_integer(gs, b);                                                            \
		uint64_t r = (expr);                                                                                   \
		return fpu_retire(gs, &op, r);                                                                         \
	}
CONVERT_TO_INTEGER(FPU_CVT_L_S, l_host_of_s(&op, a))
CONVERT_TO_INTEGER(FPU_CVT_L_D, l_host_of_d(&op, a))
CONVERT_TO_INTEGER(FPU_CVT_W_S, narrow_to_w(&op, l_host_of_s(&op, a)))
CONVERT_TO_INTEGER(FPU_CVT_W_D, narrow_to_w(&op, l_host_of_d(&op, a)))
