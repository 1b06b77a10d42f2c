/* SPDX-License-Identifier: MIT */
#ifndef JIT_X86_SSE_H
#define JIT_X86_SSE_H

/*
 * The SSE2 part of the encoder: scalars only.  xmm registers are 0 to 15.  d: doubles (64 bits), else singles.
 * Encodings: Intel SDM volume 2.
 */
#include "jit/x86.h"

enum x86_sse { SSE_SQRT = 0x51, SSE_ADD = 0x58, SSE_MUL = 0x59, SSE_SUB = 0x5c, SSE_DIV = 0x5e };

static inline unsigned x86_sse_scalar(bool d) { return X_0F | (d ? X_F2 : X_F3); }

static inline void x86_sse_load(struct x86 *x, bool d, int dst, struct x86_mem m)
{
	x86_ins_mem(x, 0x10 | x86_sse_scalar(d), (unsigned)dst, m, 0);
}
static inline void x86_sse_store(struct x86 *x, bool d, struct x86_mem m, int src)
{
	x86_ins_mem(x, 0x11 | x86_sse_scalar(d), (unsigned)src, m, 0);
}
/* All of the register; no alignment. */
static inline void x86_sse_save(struct x86 *x, struct x86_mem m, int src)
{
	x86_ins_mem(x, 0x11 | X_0F, (unsigned)src, m, 0);
}
static inline void x86_sse_restore(struct x86 *x, int dst, struct x86_mem m)
{
	x86_ins_mem(x, 0x10 | X_0F, (unsigned)dst, m, 0);
}
/* All of the register: no dependence on what dst held. */
static inline void x86_sse_mov(struct x86 *x, int dst, int src)
{
	x86_ins_reg(x, 0x28 | X_0F, (unsigned)dst, (unsigned)src);
}
static inline void x86_sse_from_gpr(struct x86 *x, bool w, int xmm, int gpr)
{
	x86_ins_reg(x, 0x6e | X_0F | X_66 | x86_w(w), (unsigned)xmm, (unsigned)gpr);
}
static inline void x86_sse_to_gpr(struct x86 *x, bool w, int gpr, int xmm)
{
	x86_ins_reg(x, 0x7e | X_0F | X_66 | x86_w(w), (unsigned)xmm, (unsigned)gpr);
}
static inline void x86_sse_zero(struct x86 *x, int dst) { x86_ins_reg(x, 0x57 | X_0F, (unsigned)dst, (unsigned)dst); }
static inline void x86_sse_op(struct x86 *x, bool d, enum x86_sse op, int dst, int src)
{
	x86_ins_reg(x, (unsigned)op | x86_sse_scalar(d), (unsigned)dst, (unsigned)src);
}
/* Unordered: ZF, PF, CF = 1.  Less: CF.  Equal: ZF. */
static inline void x86_sse_compare(struct x86 *x, bool d, int a, int b)
{
	x86_ins_reg(x, 0x2e | X_0F | (d ? X_66 : 0u), (unsigned)a, (unsigned)b);
}
static inline void x86_sse_and(struct x86 *x, int dst, int src)
{
	x86_ins_reg(x, 0x54 | X_0F, (unsigned)dst, (unsigned)src);
}
static inline void x86_sse_xor(struct x86 *x, int dst, int src)
{
	x86_ins_reg(x, 0x57 | X_0F, (unsigned)dst, (unsigned)src);
}
/* Each half of dst = ones shifted left, then right, as a 64-bit number. */
static inline void x86_sse_mask(struct x86 *x, int dst, unsigned left, unsigned right)
{
	x86_ins_reg(x, 0x76 | X_0F | X_66, (unsigned)dst, (unsigned)dst);
	if (left) {
		x86_ins_reg(x, 0x73 | X_0F | X_66, 6, (unsigned)dst);
		x86_u8(x, left);
	}
	if (right) {
		x86_ins_reg(x, 0x73 | X_0F | X_66, 2, (unsigned)dst);
		x86_u8(x, right);
	}
}
/* From the other format; the rest of dst stays. */
static inline void x86_sse_narrow(struct x86 *x, int dst, int src) /* double to single */
{
	x86_ins_reg(x, 0x5a | X_0F | X_F2, (unsigned)dst, (unsigned)src);
}
static inline void x86_sse_widen(struct x86 *x, int dst, int src) /* single to double */
{
	x86_ins_reg(x, 0x5a | X_0F | X_F3, (unsigned)dst, (unsigned)src);
}
/* w: the integer has 64 bits. */
static inline void x86_sse_from_int(struct x86 *x, bool d, bool w, int xmm, int gpr)
{
	x86_ins_reg(x, 0x2a | x86_sse_scalar(d) | x86_w(w), (unsigned)xmm, (unsigned)gpr);
}
static inline void x86_sse_to_int(struct x86 *x, bool d, bool w, bool truncate, int gpr, int xmm)
{
	x86_ins_reg(x, (truncate ? 0x2cu : 0x2du) | x86_sse_scalar(d) | x86_w(w), (unsigned)gpr, (unsigned)xmm);
}

#endif
