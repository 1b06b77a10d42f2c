/* SPDX-License-Identifier: MIT */
#ifndef JIT_X86_H
#define JIT_X86_H

/*
 * An x86-64 encoder: only the forms that jit/ emits.  Encodings: Intel SDM volume 2, chapters 2 and 3.
 * Writes through the writable alias; rip-relative operands and jumps are computed for the executable one.
 */
#include <string.h>

#include "base/panic.h"
#include "base/types.h"

enum x86_reg { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NO_REG = -1 };
enum x86_alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
enum x86_shift { SH_ROL = 0, SH_ROR = 1, SH_SHL = 4, SH_SHR = 5, SH_SAR = 7 };
enum x86_cc { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE, CC_LE, CC_G };

/*
 * Four bytes of code that depend on where code and data are: a displacement, or a number that is to be another one elsewhere.  Noted
 * for who wants to place the code somewhere else (stored_block.h).
 */
struct x86_fixup {
	uint8_t *at;   /* writable address */
	uint8_t after; /* from there to what a displacement is relative to: the instruction's end; 0: no displacement */
};
#define X86_MAX_FIXUPS 4096u
struct x86_fixups {
	uint32_t n; /* more than X86_MAX_FIXUPS: some are missing */
	struct x86_fixup fix[X86_MAX_FIXUPS];
};

struct x86 {
	uint8_t *p, *start, *end;
	ptrdiff_t to_rx;           /* executable minus writable address */
	bool overflow;             /* ran out of room: what was written is garbage */
	struct x86_fixups *fixups; /* or NULL: nobody wants them */
};

struct x86_mem {
	int8_t base, index; /* NO_REG: none */
	uint8_t scale_log2;
	int32_t disp;
	const void *rip; /* not NULL: this address, rip-relative; the rest is ignored */
};

/* Opcode byte, with what goes around it. */
enum {
	X_0F = 0x100,
	X_W = 0x200,    /* REX.W */
	X_66 = 0x400,   /* 16-bit operand */
	X_B = 0x800,    /* the reg operand is a byte register */
	X_BRM = 0x1000, /* the r/m operand is */
	X_F2 = 0x2000,  /* mandatory prefixes of SSE */
	X_F3 = 0x4000
};

static inline struct x86_mem x86_at(int base, int32_t disp)
{
	return (struct x86_mem){.base = (int8_t)base, .index = NO_REG, .disp = disp};
}
static inline struct x86_mem x86_at_index(int base, int index, unsigned scale_log2, int32_t disp)
{
	return (struct x86_mem){(int8_t)base, (int8_t)index, (uint8_t)scale_log2, disp, NULL};
}
static inline struct x86_mem x86_rip(const void *address) { return (struct x86_mem){.rip = address}; }

static inline uint8_t *x86_here(const struct x86 *x) { return x->p + x->to_rx; }

/* Room for one more instruction (at most 15 bytes); if not, start over: the caller looks at overflow at the end. */
static inline void x86_reserve(struct x86 *x)
{
	if (__builtin_expect(x->end - x->p < 16, 0)) {
		x->overflow = true;
		x->p = x->start;
	}
}
static inline void x86_u8(struct x86 *x, unsigned v) { *x->p++ = (uint8_t)v; }
static inline void x86_u32(struct x86 *x, uint32_t v)
{
	memcpy(x->p, &v, 4);
	x->p += 4;
}
static inline void x86_u64(struct x86 *x, uint64_t v)
{
	memcpy(x->p, &v, 8);
	x->p += 8;
}
static inline void x86_note_fixup(struct x86 *x, uint8_t *at, unsigned after)
{
	if (__builtin_expect(!x->fixups, 1))
		return;
	if (x->fixups->n < X86_MAX_FIXUPS)
		x->fixups->fix[x->fixups->n] = (struct x86_fixup){at, (uint8_t)after};
	x->fixups->n++;
}
static inline bool x86_is_s8(int64_t v) { return v == (int8_t)v; }
static inline bool x86_is_s32(int64_t v) { return v == (int32_t)v; }

static inline void x86_prefix_opcode(struct x86 *x, unsigned enc, unsigned reg, unsigned index, unsigned base)
{
	x86_reserve(x);
	unsigned rex = (enc & X_W ? 8u : 0) | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3;
	/* spl, bpl, sil and dil exist only with a REX prefix */
	bool force = ((enc & X_B) && reg >= 4) || ((enc & X_BRM) && base >= 4);
	if (enc & X_66)
		x86_u8(x, 0x66);
	if (enc & (X_F2 | X_F3))
		x86_u8(x, enc & X_F2 ? 0xf2 : 0xf3);
	if (rex || force)
		x86_u8(x, 0x40 | rex);
	if (enc & X_0F)
		x86_u8(x, 0x0f);
	x86_u8(x, enc & 0xff);
}

/* reg may be an opcode extension. */
static inline void x86_ins_reg(struct x86 *x, unsigned enc, unsigned reg, unsigned rm)
{
	ASSERT(reg < 16 && rm < 16);
	x86_prefix_opcode(x, enc, reg, 0, rm);
	x86_u8(x, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

/* imm_bytes: how many follow, which rip-relative addressing needs to know. */
static inline void x86_ins_mem(struct x86 *x, unsigned enc, unsigned reg, struct x86_mem m, unsigned imm_bytes)
{
	ASSERT(reg < 16 && m.index != RSP);
	enc &= ~(unsigned)X_BRM;
	if (m.rip) {
		x86_prefix_opcode(x, enc, reg, 0, 0);
		x86_u8(x, (reg & 7) << 3 | 5);
		const uint8_t *after = x86_here(x) + 4 + imm_bytes;
		int64_t rel = (const uint8_t *)m.rip - after;
		ASSERT(x86_is_s32(rel));
		x86_note_fixup(x, x->p, 4 + imm_bytes);
		x86_u32(x, (uint32_t)rel);
		return;
	}
	unsigned base = (unsigned)m.base, index = m.index == NO_REG ? 0 : (unsigned)m.index;
	x86_prefix_opcode(x, enc, reg, index, base);
	bool sib = m.index != NO_REG || (base & 7) == RSP;
	unsigned mod = m.disp == 0 && (base & 7) != RBP ? 0 : x86_is_s8(m.disp) ? 1 : 2;
	x86_u8(x, mod << 6 | (reg & 7) << 3 | (sib ? 4 : (base & 7)));
	if (sib)
		x86_u8(x, (unsigned)m.scale_log2 << 6 | (m.index == NO_REG ? 4u : index & 7) << 3 | (base & 7));
	if (mod == 1)
		x86_u8(x, (uint8_t)m.disp);
	else if (mod == 2)
		x86_u32(x, (uint32_t)m.disp);
}

/* ---- moves. w: 64-bit; else 32-bit, which clears the upper half of a destination register ---- */
static inline unsigned x86_w(bool w) { return w ? X_W : 0; }

static inline void x86_mov(struct x86 *x, bool w, int dst, int src)
{
	x86_ins_reg(x, 0x8b | x86_w(w), (unsigned)dst, (unsigned)src);
}
static inline void x86_load(struct x86 *x, bool w, int dst, struct x86_mem m)
{
	x86_ins_mem(x, 0x8b | x86_w(w), (unsigned)dst, m, 0);
}
static inline void x86_store(struct x86 *x, bool w, struct x86_mem m, int src)
{
	x86_ins_mem(x, 0x89 | x86_w(w), (unsigned)src, m, 0);
}
/* Does not touch the flags. */
static inline void x86_mov_imm(struct x86 *x, int dst, uint64_t v)
{
	if (v <= UINT32_MAX) {
		x86_prefix_opcode(x, 0xb8 | (dst & 7), 0, 0, (unsigned)dst);
		x86_u32(x, (uint32_t)v);
	} else if (x86_is_s32((int64_t)v)) {
		x86_ins_reg(x, 0xc7 | X_W, 0, (unsigned)dst);
		x86_u32(x, (uint32_t)v);
	} else {
		x86_prefix_opcode(x, X_W | 0xb8 | (dst & 7), 0, 0, (unsigned)dst);
		x86_u64(x, v);
	}
}
/* w: v is sign-extended to 64 bits. */
static inline void x86_store_imm(struct x86 *x, bool w, struct x86_mem m, uint32_t v)
{
	x86_ins_mem(x, 0xc7 | x86_w(w), 0, m, 4);
	x86_u32(x, v);
}
static inline void x86_store_imm8(struct x86 *x, struct x86_mem m, uint32_t v)
{
	x86_ins_mem(x, 0xc6, 0, m, 1);
	x86_u8(x, v & 0xff);
}
static inline void x86_store_imm16(struct x86 *x, struct x86_mem m, uint32_t v)
{
	x86_ins_mem(x, 0xc7 | X_66, 0, m, 2);
	x86_u8(x, v & 0xff);
	x86_u8(x, v >> 8 & 0xff);
}
static inline void x86_store8(struct x86 *x, struct x86_mem m, int src)
{
	x86_ins_mem(x, 0x88 | X_B, (unsigned)src, m, 0);
}
static inline void x86_store16(struct x86 *x, struct x86_mem m, int src)
{
	x86_ins_mem(x, 0x89 | X_66, (unsigned)src, m, 0);
}
static inline void x86_lea(struct x86 *x, bool w, int dst, struct x86_mem m)
{
	x86_ins_mem(x, 0x8d | x86_w(w), (unsigned)dst, m, 0);
}

/* MOVZX and MOVSX into 32 bits, from 8 (bytes = 1) or 16 bits. */
static inline unsigned x86_ext_opcode(bool sign, unsigned bytes)
{
	return X_0F | (sign ? 0xbe : 0xb6) | (bytes == 2 ? 1u : 0u);
}
static inline void x86_ext(struct x86 *x, bool sign, unsigned bytes, int dst, int src)
{
	unsigned byte_rm = bytes == 1 ? X_BRM : 0;
	x86_ins_reg(x, x86_ext_opcode(sign, bytes) | byte_rm, (unsigned)dst, (unsigned)src);
}
static inline void x86_ext_load(struct x86 *x, bool sign, unsigned bytes, int dst, struct x86_mem m)
{
	x86_ins_mem(x, x86_ext_opcode(sign, bytes), (unsigned)dst, m, 0);
}
static inline void x86_movsxd(struct x86 *x, int dst, int src)
{
	x86_ins_reg(x, 0x63 | X_W, (unsigned)dst, (unsigned)src);
}

/* ---- arithmetic ---- */
static inline void x86_alu(struct x86 *x, bool w, enum x86_alu op, int dst, int src)
{
	x86_ins_reg(x, 0x03 | (unsigned)op << 3 | x86_w(w), (unsigned)dst, (unsigned)src);
}
static inline void x86_alu_load(struct x86 *x, bool w, enum x86_alu op, int dst, struct x86_mem m)
{
	x86_ins_mem(x, 0x03 | (unsigned)op << 3 | x86_w(w), (unsigned)dst, m, 0);
}
/* op [m], src */
static inline void x86_alu_store(struct x86 *x, bool w, enum x86_alu op, struct x86_mem m, int src)
{
	x86_ins_mem(x, 0x01 | (unsigned)op << 3 | x86_w(w), (unsigned)src, m, 0);
}
static inline void x86_alu_imm(struct x86 *x, bool w, enum x86_alu op, int dst, int32_t v)
{
	if (x86_is_s8(v)) {
		x86_ins_reg(x, 0x83 | x86_w(w), op, (unsigned)dst);
		x86_u8(x, (uint8_t)v);
	} else {
		x86_ins_reg(x, 0x81 | x86_w(w), op, (unsigned)dst);
		x86_u32(x, (uint32_t)v);
	}
}
static inline void x86_alu_mem_imm(struct x86 *x, bool w, enum x86_alu op, struct x86_mem m, int32_t v)
{
	bool s8 = x86_is_s8(v);
	x86_ins_mem(x, (s8 ? 0x83 : 0x81) | x86_w(w), op, m, s8 ? 1 : 4);
	if (s8)
		x86_u8(x, (uint8_t)v);
	else
		x86_u32(x, (uint32_t)v);
}
/* cmp [m], id: a number that is another one wherever the code is placed next. */
static inline void x86_cmp_mem_id(struct x86 *x, struct x86_mem m, uint32_t id)
{
	x86_ins_mem(x, 0x81, ALU_CMP, m, 4);
	x86_note_fixup(x, x->p, 0);
	x86_u32(x, id);
}
static inline void x86_test(struct x86 *x, bool w, int a, int b)
{
	x86_ins_reg(x, 0x85 | x86_w(w), (unsigned)b, (unsigned)a);
}
/* test low byte of a, v */
static inline void x86_test_imm8(struct x86 *x, int a, unsigned v)
{
	x86_ins_reg(x, 0xf6 | X_BRM, 0, (unsigned)a);
	x86_u8(x, v);
}
static inline void x86_imul(struct x86 *x, bool w, int dst, int src)
{
	x86_ins_reg(x, 0xaf | X_0F | x86_w(w), (unsigned)dst, (unsigned)src);
}
static inline void x86_shift_imm(struct x86 *x, bool w, enum x86_shift op, int dst, unsigned n)
{
	x86_ins_reg(x, 0xc1 | x86_w(w), op, (unsigned)dst);
	x86_u8(x, n);
}
/* Count in cl, taken modulo the width by the host as by the IR. */
static inline void x86_shift_cl(struct x86 *x, bool w, enum x86_shift op, int dst)
{
	x86_ins_reg(x, 0xd3 | x86_w(w), op, (unsigned)dst);
}
static inline void x86_rol16_8(struct x86 *x, int dst)
{
	x86_ins_reg(x, 0xc1 | X_66, SH_ROL, (unsigned)dst);
	x86_u8(x, 8);
}
static inline void x86_not(struct x86 *x, int dst) { x86_ins_reg(x, 0xf7, 2, (unsigned)dst); }
static inline void x86_neg(struct x86 *x, int dst) { x86_ins_reg(x, 0xf7, 3, (unsigned)dst); }
static inline void x86_div(struct x86 *x, int by) { x86_ins_reg(x, 0xf7, 6, (unsigned)by); }
static inline void x86_idiv(struct x86 *x, int by) { x86_ins_reg(x, 0xf7, 7, (unsigned)by); }
static inline void x86_cdq(struct x86 *x) { x86_prefix_opcode(x, 0x99, 0, 0, 0); }
static inline void x86_bswap(struct x86 *x, bool w, int dst)
{
	x86_prefix_opcode(x, X_0F | 0xc8 | (dst & 7) | x86_w(w), 0, 0, (unsigned)dst);
}
static inline void x86_bsr(struct x86 *x, int dst, int src)
{
	x86_ins_reg(x, 0xbd | X_0F, (unsigned)dst, (unsigned)src);
}
static inline void x86_cmov(struct x86 *x, bool w, enum x86_cc cc, int dst, int src)
{
	x86_ins_reg(x, (0x40 | (unsigned)cc) | X_0F | x86_w(w), (unsigned)dst, (unsigned)src);
}
/* dst = cc ? 1 : 0, all of it. */
static inline void x86_setcc(struct x86 *x, enum x86_cc cc, int dst)
{
	x86_ins_reg(x, (0x90 | (unsigned)cc) | X_0F | X_BRM, 0, (unsigned)dst);
	x86_ext(x, false, 1, dst, dst);
}
static inline void x86_xchg(struct x86 *x, int a, int b) { x86_ins_reg(x, 0x87 | X_W, (unsigned)a, (unsigned)b); }

/* ---- stack and control ---- */
static inline void x86_push(struct x86 *x, int r) { x86_prefix_opcode(x, 0x50 | (r & 7), 0, 0, (unsigned)r); }
static inline void x86_pop(struct x86 *x, int r) { x86_prefix_opcode(x, 0x58 | (r & 7), 0, 0, (unsigned)r); }
/* Sign-extended to 64 bits. */
static inline void x86_push_imm(struct x86 *x, uint32_t v)
{
	x86_prefix_opcode(x, 0x68, 0, 0, 0);
	x86_u32(x, v);
}
static inline void x86_ret(struct x86 *x, unsigned pop_bytes)
{
	x86_prefix_opcode(x, pop_bytes ? 0xc2 : 0xc3, 0, 0, 0);
	if (pop_bytes) {
		x86_u8(x, pop_bytes & 0xff);
		x86_u8(x, pop_bytes >> 8);
	}
}
static inline void x86_rel32(struct x86 *x, const void *to)
{
	int64_t rel = (const uint8_t *)to - (x86_here(x) + 4);
	ASSERT(x86_is_s32(rel));
	x86_note_fixup(x, x->p, 4);
	x86_u32(x, (uint32_t)rel);
}
static inline void x86_jmp(struct x86 *x, const void *to)
{
	x86_prefix_opcode(x, 0xe9, 0, 0, 0);
	x86_rel32(x, to);
}
static inline void x86_call(struct x86 *x, const void *to)
{
	x86_prefix_opcode(x, 0xe8, 0, 0, 0);
	x86_rel32(x, to);
}
static inline void x86_jcc(struct x86 *x, enum x86_cc cc, const void *to)
{
	x86_prefix_opcode(x, X_0F | 0x80 | (unsigned)cc, 0, 0, 0);
	x86_rel32(x, to);
}
/* n < 4 bytes that do nothing, as one instruction (Intel SDM volume 2, "NOP"). */
static inline void x86_nop(struct x86 *x, unsigned n)
{
	static const uint8_t nop[4][3] = {{0}, {0x90}, {0x66, 0x90}, {0x0f, 0x1f, 0x00}};

	for (unsigned i = 0; i < n; i++)
		x86_u8(x, nop[n][i]);
}
#define X86_LEA_RIP_BYTES 7
#define X86_JMP_BYTES     5
#define X86_JCC_BYTES     6
static inline enum x86_cc x86_cc_not(enum x86_cc cc) { return cc ^ 1; }
static inline void x86_pushf(struct x86 *x) { x86_prefix_opcode(x, 0x9c, 0, 0, 0); }
static inline void x86_iretq(struct x86 *x) { x86_prefix_opcode(x, 0xcf | X_W, 0, 0, 0); }
static inline void x86_mov_from_cs(struct x86 *x, int dst) { x86_ins_reg(x, 0x8c, 1, (unsigned)dst); }
static inline void x86_mov_from_ss(struct x86 *x, int dst) { x86_ins_reg(x, 0x8c, 2, (unsigned)dst); }
static inline void x86_jmp_mem(struct x86 *x, struct x86_mem m) { x86_ins_mem(x, 0xff, 4, m, 0); }
static inline void x86_jmp_reg(struct x86 *x, int r) { x86_ins_reg(x, 0xff, 4, (unsigned)r); }
static inline void x86_call_reg(struct x86 *x, int r) { x86_ins_reg(x, 0xff, 2, (unsigned)r); }
static inline void x86_call_mem(struct x86 *x, struct x86_mem m) { x86_ins_mem(x, 0xff, 2, m, 0); }

/* ---- forward jumps: where the displacement is, for x86_bind() ---- */
static inline uint8_t *x86_jcc_forward(struct x86 *x, enum x86_cc cc)
{
	x86_prefix_opcode(x, X_0F | 0x80 | (unsigned)cc, 0, 0, 0);
	x86_note_fixup(x, x->p, 4);
	x86_u32(x, 0);
	return x->p - 4;
}
static inline void x86_bind(struct x86 *x, uint8_t *at)
{
	int32_t rel = (int32_t)(x->p - (at + 4));
	memcpy(at, &rel, 4);
}
/* The displacement at executable address `at`: to executable address `to`. */
static inline void x86_bind_rx(struct x86 *x, const uint8_t *at, const void *to)
{
	int32_t rel = (int32_t)((const uint8_t *)to - (at + 4));
	memcpy((uint8_t *)(uintptr_t)at - x->to_rx, &rel, 4);
}
static inline uint8_t *x86_jcc_short(struct x86 *x, enum x86_cc cc)
{
	x86_prefix_opcode(x, 0x70 | (unsigned)cc, 0, 0, 0);
	x86_u8(x, 0);
	return x->p - 1;
}
static inline uint8_t *x86_jmp_short(struct x86 *x)
{
	x86_prefix_opcode(x, 0xeb, 0, 0, 0);
	x86_u8(x, 0);
	return x->p - 1;
}
static inline void x86_bind_short(struct x86 *x, uint8_t *at)
{
	ptrdiff_t rel = x->p - (at + 1);
	ASSERT(x->overflow || (rel >= 0 && rel < 128));
	*at = (uint8_t)rel;
}

#endif
