/* SPDX-License-Identifier: MIT */
#ifndef FRONTEND_FPU_HOST_H
#define FRONTEND_FPU_HOST_H

/*
 * One MIPS floating-point operation on the host's SSE unit; private to frontend/fpu_*.c.
 *
 * fpu_begin -> one or more fpu_host_* steps -> fpu_retire.  Each step loads MXCSR with the guest's rounding mode and
 * clear flags, does one instruction, and reads the flags back, all in one asm statement: no compiler can move
 * arithmetic in or out of it.  NaN operands never reach the host, whose quiet bit means the opposite; without them
 * MXCSR.IE is exactly MIPS's Invalid, and a NaN result is always MIPS's default one.
 */
#include <string.h>

#include "frontend/fpu.h"

#define LIKELY(c)   __builtin_expect(!!(c), 1)
#define UNLIKELY(c) __builtin_expect(!!(c), 0)

/* FCSR up to date: see guest_state.fpu_last. Every helper starts with it. */
void fpu_settle_now(struct guest_state *gs);
static inline void fpu_settle(struct guest_state *gs)
{
	if (UNLIKELY(gs->fpu_last))
		fpu_settle_now(gs);
}

#define MXCSR_DEFAULT  0x1f80u /* all masked, round to nearest */
#define MXCSR_RC_SHIFT 13
#define MXCSR_RC       (3u << MXCSR_RC_SHIFT)
#define MXCSR_FTZ      (1u << 15)
enum { MXCSR_IE = 1, MXCSR_ZE = 4, MXCSR_OE = 8, MXCSR_UE = 16, MXCSR_PE = 32 };

#define S_SIGN    0x80000000u
#define S_INF     0x7f800000u
#define S_QUIET   0x00400000u /* set in a legacy signalling NaN */
#define S_DEFAULT 0x7fbfffffu
#define S_ONE     0x3f800000u
#define S_NORMAL  0x00800000u /* smallest normal */
#define D_SIGN    (1ull << 63)
#define D_INF     0x7ff0000000000000ull
#define D_QUIET   0x0008000000000000ull
#define D_DEFAULT 0x7ff7ffffffffffffull
#define D_ONE     0x3ff0000000000000ull
#define D_NORMAL  0x0010000000000000ull

static inline bool s_is_nan(uint64_t v) { return (v & ~(uint64_t)S_SIGN) > S_INF; }
static inline bool d_is_nan(uint64_t v) { return (v & ~D_SIGN) > D_INF; }
static inline bool s_is_snan(uint64_t v) { return s_is_nan(v) && (v & S_QUIET); }
static inline bool d_is_snan(uint64_t v) { return d_is_nan(v) && (v & D_QUIET); }
static inline bool s_is_denormal(uint64_t v) { return (v & ~(uint64_t)S_SIGN) - 1 < S_NORMAL - 1; }
static inline bool d_is_denormal(uint64_t v) { return (v & ~D_SIGN) - 1 < D_NORMAL - 1; }

static inline float s_of_bits(uint64_t v)
{
	uint32_t w = (uint32_t)v;
	float f;
	memcpy(&f, &w, sizeof(f));
	return f;
}

static inline uint64_t s_bits(float f)
{
	uint32_t w;
	memcpy(&w, &f, sizeof(w));
	return w;
}

static inline double d_of_bits(uint64_t v)
{
	double d;
	memcpy(&d, &v, sizeof(d));
	return d;
}

static inline uint64_t d_bits(double d)
{
	uint64_t v;
	memcpy(&v, &d, sizeof(v));
	return v;
}

struct fpu_op {
	uint32_t mxcsr; /* to compute under: rounding mode, flush to zero */
	uint32_t exc;   /* enum fpu_exc, so far */
	bool u_enabled; /* FCSR.Enables.U: an exact denormal is an underflow too */
};

/* MXCSR.RC for a rounding in FCSR.RM's coding: nearest, zero, up, down. */
static inline uint32_t mxcsr_rounding(uint32_t rm)
{
	return ((0u - rm) & 3u) << MXCSR_RC_SHIFT; /* 0 0, 1 3, 2 2, 3 1 */
}

/* MXCSR at its default, with clear flags. */
static inline void fpu_mxcsr_clear(void)
{
	static const uint32_t csr = MXCSR_DEFAULT;
	__asm__ volatile("ldmxcsr %0" : : "m"(csr));
}

static inline struct fpu_op fpu_begin(struct guest_state *gs)
{
	fpu_settle(gs);
	uint32_t csr = MXCSR_DEFAULT | mxcsr_rounding(gs->fcr31 & FCSR_RM);
	if (gs->fcr31 & FCSR_FS)
		csr |= MXCSR_FTZ;
	return (struct fpu_op){.mxcsr = csr, .u_enabled = gs->fcr31 >> FCSR_ENABLES_SHIFT & FPU_U};
}

/* Add MXCSR's sticky flags to the operation's exceptions. */
static inline void fpu_note(struct fpu_op *op, uint32_t csr)
{
	op->exc |= (csr & MXCSR_PE ? FPU_I : 0u) | (csr & MXCSR_UE ? FPU_U : 0u) | (csr & MXCSR_OE ? FPU_O : 0u) |
		   (csr & MXCSR_ZE ? FPU_Z : 0u) | (csr & MXCSR_IE ? FPU_V : 0u);
}

static inline void fpu_mxcsr_restore(const struct fpu_op *op)
{
	if (UNLIKELY(op->mxcsr != MXCSR_DEFAULT))
		fpu_mxcsr_clear();
}

/*
 * After a step without NaN operands.  "When an underflow trap is enabled, an underflow exception is signaled when
 * tininess is detected regardless of loss of accuracy" (volume I-A, "Underflow Exception"); a masked MXCSR shows only
 * the inexact ones.
 */
static inline uint64_t s_settle(struct fpu_op *op, float r, uint32_t csr)
{
	uint64_t v = s_bits(r);
	fpu_mxcsr_restore(op);
	fpu_note(op, csr);
	if (UNLIKELY(op->u_enabled) && s_is_denormal(v))
		op->exc |= FPU_U;
	return csr & MXCSR_IE ? S_DEFAULT : v;
}

static inline uint64_t d_settle(struct fpu_op *op, double r, uint32_t csr)
{
	uint64_t v = d_bits(r);
	fpu_mxcsr_restore(op);
	fpu_note(op, csr);
	if (UNLIKELY(op->u_enabled) && d_is_denormal(v))
		op->exc |= FPU_U;
	return csr & MXCSR_IE ? D_DEFAULT : v;
}

/*
 * The result of an operation with NaN operands: Invalid and the default NaN if one signals, else the first NaN
 * (volume I-A, "Invalid Operation Exception" and "Quiet NaN").
 */
static inline uint64_t s_nan(struct fpu_op *op, uint64_t a, uint64_t b)
{
	if (s_is_snan(a) || s_is_snan(b)) {
		op->exc |= FPU_V;
		return S_DEFAULT;
	}
	return s_is_nan(a) ? a : b;
}

static inline uint64_t d_nan(struct fpu_op *op, uint64_t a, uint64_t b)
{
	if (d_is_snan(a) || d_is_snan(b)) {
		op->exc |= FPU_V;
		return D_DEFAULT;
	}
	return d_is_nan(a) ? a : b;
}

#define FPU_HOST_BINARY(f, type, verb, insn)                                                                           \
	static inline uint64_t f##_host_##verb(struct fpu_op *op, uint64_t a, uint64_t b)                              \
	{                                                                                                              \
		if (UNLIKELY(f##_is_nan(a) || f##_is_nan(b)))                                                          \
			return f##_nan(op, a, b);                                                                      \
		type r = f##_of_bits(a);                                                                               \
		uint32_t csr;                                                                                          \
		__asm__ volatile("ldmxcsr %2\n\t" insn " %3, %0\n\tstmxcsr %1"                                         \
				 : "+x"(r), "=m"(csr)                                                                  \
				 : "m"(op->mxcsr), "x"(f##_of_bits(b)));                                               \
		return f##_settle(op, r, csr);                                                                         \
	}
FPU_HOST_BINARY(s, float, add, "addss")
FPU_HOST_BINARY(s, float, sub, "subss")
FPU_HOST_BINARY(s, float, mul, "mulss")
FPU_HOST_BINARY(s, float, div, "divss")
FPU_HOST_BINARY(d, double, add, "addsd")
FPU_HOST_BINARY(d, double, sub, "subsd")
FPU_HOST_BINARY(d, double, mul, "mulsd")
FPU_HOST_BINARY(d, double, div, "divsd")
#undef FPU_HOST_BINARY

#define FPU_HOST_SQRT(f, type, insn)                                                                                   \
	static inline uint64_t f##_host_sqrt(struct fpu_op *op, uint64_t a)                                            \
	{                                                                                                              \
		if (UNLIKELY(f##_is_nan(a)))                                                                           \
			return f##_nan(op, a, a);                                                                      \
		type r = 0;                                                                                            \
		uint32_t csr;                                                                                          \
		__asm__ volatile("ldmxcsr %2\n\t" insn " %3, %0\n\tstmxcsr %1"                                         \
				 : "+x"(r), "=m"(csr)                                                                  \
				 : "m"(op->mxcsr), "x"(f##_of_bits(a)));                                               \
		return f##_settle(op, r, csr);                                                                         \
	}
FPU_HOST_SQRT(s, float, "sqrtss")
FPU_HOST_SQRT(d, double, "sqrtsd")
#undef FPU_HOST_SQRT

/*
 * End the operation: FCSR.Cause is this operation's alone.  An enabled exception is raised and leaves Flags and the
 * destination as they were (volume I-A, "Exception conditions: precise exception mode").
 */
static inline uint64_t fpu_retire(struct guest_state *gs, const struct fpu_op *op, uint64_t v)
{
	uint32_t fcr31 = (gs->fcr31 & ~FCSR_CAUSE) | op->exc << FCSR_CAUSE_SHIFT;
	gs->fcr31 = fcr31;
	if (UNLIKELY(op->exc & fcr31 >> FCSR_ENABLES_SHIFT)) {
		gs->helpers[HELPER_RAISE](gs, EXC_FPE, 0, 0);
		return 0;
	}
	gs->fcr31 = fcr31 | op->exc << FCSR_FLAGS_SHIFT;
	return v;
}

#endif
