/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_IR_GEN_H
#define TESTS_UNIT_IR_GEN_H

/*
 * Random well-formed IR blocks, drawn from the op and helper tables: a new row is generated without a change here.
 * Shared by the tests of ir/ and of the tiers.
 */
#include <stdlib.h>

#include "ir/ir.h"

struct ir_gen {
	uint64_t s;
};

/* splitmix64 */
static inline uint64_t ir_gen_next(struct ir_gen *g)
{
	uint64_t z = g->s += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static inline uint32_t ir_gen_below(struct ir_gen *g, uint32_t n) { return (uint32_t)(ir_gen_next(g) >> 32) % n; }

/* DISCO_SEED in the environment, else the default. The test prints it when it fails. */
static inline uint64_t ir_gen_seed(uint64_t otherwise)
{
	const char *s = getenv("DISCO_SEED");

	return s ? strtoull(s, NULL, 0) : otherwise;
}

/* Edge values and small ones are as likely as any 64 bits. */
static inline uint64_t ir_gen_word(struct ir_gen *g)
{
	static const uint32_t edge[] = {0,          1,          2,          4,         16,         24,
					31,         32,         0x7f,       0x80,      0xff,       0x100,
					0x7fff,     0x8000,     0xffff,     0x10000,   0x7ffffffe, 0x7fffffff,
					0x80000000, 0x80000001, 0xfffffffe, 0xffffffff};

	switch (ir_gen_below(g, 4)) {
	case 0:
		return ir_gen_next(g);
	case 1:
		return ir_gen_below(g, 40);
	default:
		return (uint64_t)edge[ir_gen_below(g, ARRAY_LEN(edge))] << 32 | edge[ir_gen_below(g, ARRAY_LEN(edge))];
	}
}

/* A value of the type: one of the last few, else any, else a new constant. */
static inline ir_ref ir_gen_value(struct ir_gen *g, struct ir_block *b, enum ir_type t)
{
	for (int tries = ir_gen_below(g, 6) ? 0 : 8; tries < 8 && b->n_ins; tries++) {
		uint32_t back = ir_gen_below(g, tries < 5 && b->n_ins > 8 ? 8 : b->n_ins);
		ir_ref r = (ir_ref)(b->n_ins - 1 - back);

		if (ir_type_of(b, r) == t)
			return r;
	}
	return t == IR_TD ? ir_emit(b, IR_CONST64, IR_NONE, IR_NONE, IR_NONE, (int64_t)ir_gen_word(g))
			  : ir_const(b, (uint32_t)ir_gen_word(g));
}

static inline struct ir_target ir_gen_target(struct ir_gen *g, uint32_t mode)
{
	if (mode & MODE_ABS)
		return (struct ir_target){TGT_ABS, (uint32_t)ir_gen_next(g) & ~3u};
	if (ir_gen_below(g, 2))
		return (struct ir_target){TGT_PAGE, (int32_t)ir_gen_below(g, 0x40000) - 0x20000};
	return (struct ir_target){TGT_REGION, ir_gen_below(g, 0x10000000) & ~3u};
}

/* Offsets of few, overlapping fields, so that loads and stores meet. */
static inline int64_t ir_gen_off(struct ir_gen *g, unsigned bytes)
{
	static const uint32_t word_only[] = {offsetof(struct guest_state, fcr31), offsetof(struct guest_state, llbit)};
	uint32_t f = ir_gen_below(g, 8);

	if (bytes == 4 && f < 2)
		return word_only[f];
	if (f < 3)
		return GS_CP0(12, 0);
	if (f == 3)
		return offsetof(struct guest_state, llval);
	return (int64_t)(offsetof(struct guest_state, fpr) + 8 * ir_gen_below(g, ir_gen_below(g, 2) ? 2 : 12) +
			 (bytes == 4 ? 4 * ir_gen_below(g, 2) : 0));
}

static inline int64_t ir_gen_exc(struct ir_gen *g)
{
	static const uint16_t codes[] = {EXC_SYS, EXC_BP, EXC_RI, EXC_OV, EXC_TR, EXC_CPU, EXC_CPU | 1 << 8, EXC_FPE};

	return codes[ir_gen_below(g, ARRAY_LEN(codes))];
}

static inline int64_t ir_gen_imm(struct ir_gen *g, const struct ir_block *b, enum ir_op op)
{
	/* A few registers, so that reads and writes meet. */
	static const uint8_t regs[] = {2, 4, 8, 29, 31, REG_HI, REG_LO};
	const struct ir_op_info *info = &ir_op_info[op];

	switch (info->imm) {
	case IMM_INT:
		if (op == IR_PCREL)
			return (int32_t)ir_gen_below(g, 0x2000) - 0x1000;
		return op == IR_CONST64    ? (int64_t)ir_gen_word(g)
		       : op == IR_PCREGION ? (int64_t)ir_gen_below(g, 0x10000000)
					   : (int64_t)(uint32_t)ir_gen_word(g);
	case IMM_REG:
		return regs[ir_gen_below(g, ARRAY_LEN(regs))];
	case IMM_OFF:
		return ir_gen_off(g, op == IR_LDS32 || op == IR_STS32 ? 4 : 8);
	case IMM_MEM:
		return ir_gen_below(g, 4) & (info->result == IR_TV ? MEM_BE : MEM_BE | MEM_INTENT);
	case IMM_EXC:
		return ir_gen_exc(g);
	case IMM_HELPER:
		return ir_gen_below(g, NUM_HELPERS);
	case IMM_EXIT:
		return ir_gen_below(g, b->n_exits);
	default:
		return 0;
	}
}

/* Ops that the block's mode and the caller allow; registers are favoured, ways out are rare. */
static inline enum ir_op ir_gen_pick(struct ir_gen *g, const struct ir_block *b, bool calls)
{
	for (;;) {
		enum ir_op op = ir_gen_below(g, NUM_IR_OPS + 16);

		if (op >= NUM_IR_OPS)
			return ir_gen_below(g, 2) ? IR_GETREG : IR_SETREG;
		if (op == IR_FPU || op == IR_FETCH) /* see ir_gen_fpu(); what runs these blocks has no lines */
			continue;
		if (op == IR_INSN || ((op == IR_PCREL || op == IR_PCREGION) && b->mode & MODE_ABS))
			continue;
		if ((op == IR_CALL && !calls) || (op == IR_EXITIF && !b->n_exits))
			continue;
		if (ir_op_info[op].effect == EFF_X && ir_gen_below(g, 3))
			continue;
		return op;
	}
}

static inline void ir_gen_ins(struct ir_gen *g, struct ir_block *b, bool calls)
{
	enum ir_op op = ir_gen_pick(g, b, calls);
	int64_t imm = ir_gen_imm(g, b, op);
	const uint8_t *types = ir_op_is_call(op) ? ir_helper_info[imm].arg : ir_op_info[op].arg;
	ir_ref arg[3] = {IR_NONE, IR_NONE, IR_NONE};

	for (unsigned i = 0; i < 3 && types[i] != IR_TV; i++)
		arg[i] = ir_gen_value(g, b, types[i]);
	ir_emit(b, op, arg[0], arg[1], arg[2], imm);
}

/*
 * An FPU at the end of a block without MODE_FPX.  Not of ir_gen_block(): the tiers compute it, and what the machines that
 * run its blocks have for helpers is no floating point.
 */
static inline void ir_gen_fpu(struct ir_gen *g, struct ir_block *b)
{
	enum ir_helper h = HELPER_FPU_ADD_S + ir_gen_below(g, HELPER_FPU_CFC1 - HELPER_FPU_ADD_S);
	const uint8_t *types = ir_helper_info[h].arg;
	ir_ref arg[3] = {IR_NONE, IR_NONE, IR_NONE};

	for (unsigned i = 0; i < 3 && types[i] != IR_TV; i++)
		arg[i] = ir_gen_value(g, b, types[i]);
	ir_fpu(b, h, arg[0], arg[1], arg[2]);
}

static inline void ir_gen_term(struct ir_gen *g, struct ir_block *b)
{
	struct ir_term *t = &b->term;

	t->kind = (uint8_t)ir_gen_below(g, TERM_RAISE + 1);
	t->insn = (uint16_t)(b->n_guest - 1);
	if (b->n_guest > 1 && b->guest[b->n_guest - 1].bd && t->kind != TERM_RAISE)
		t->insn--;
	if (t->kind == TERM_BRANCH || t->kind == TERM_INDIRECT)
		t->cond = ir_gen_value(g, b, IR_TW);
	if (t->kind == TERM_RAISE)
		t->exc = (uint32_t)ir_gen_exc(g);
	for (int i = 0; i < 2; i++)
		t->target[i] = ir_gen_target(g, b->mode);
	if (t->kind <= TERM_INDIRECT)
		t->hint = (uint8_t)ir_gen_below(g, HINT_RETURN + 1);
	if (t->hint == HINT_CALL)
		t->link = ir_gen_target(g, b->mode);
}

/*
 * A block of up to max_guest guest instructions with a few IR ops each.  calls: also CALLs of any helper.
 * It does not mean anything, but every rule of the verifier holds.
 */
static inline struct ir_block *ir_gen_block(struct ir_gen *g, struct arena *a, uint32_t max_guest, bool calls)
{
	uint32_t mode = ir_gen_below(g, 1u << MODE_BITS);
	struct ir_block *b = ir_block_new(a, mode, mode & MODE_ABS ? ir_gen_next(g) & 0xfffff000u : 0);
	int32_t off;

	b->n_guest = 1 + ir_gen_below(g, max_guest);
	off = (int32_t)(4 * ir_gen_below(g, PAGE_BYTES / 4 - b->n_guest + 1));
	for (uint32_t i = 0; i < b->n_guest; i++) {
		b->guest[i].word = (uint32_t)ir_gen_next(g);
		b->guest[i].off = off + 4 * (int32_t)i;
		b->guest[i].bd = i && i + 1 == b->n_guest && ir_gen_below(g, 2);
	}
	b->n_exits = ir_gen_below(g, IR_MAX_EXITS + 1);
	for (uint32_t i = 0; i < b->n_exits; i++)
		b->exits[i] = ir_gen_target(g, mode);
	for (uint32_t i = 0; i < b->n_guest; i++) {
		ir_emit(b, IR_INSN, IR_NONE, IR_NONE, IR_NONE, i);
		for (uint32_t n = ir_gen_below(g, 7); n > 0; n--)
			ir_gen_ins(g, b, calls);
	}
	ir_gen_term(g, b);
	return b;
}

#endif
