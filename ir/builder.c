/* SPDX-License-Identifier: MIT */
/* Appending to a block, and the addresses that its offsets stand for. */
#include <string.h>

#include "ir/internal.h"

#define FIRST_INS 128

struct ir_block *ir_block_new(struct arena *a, uint32_t mode, uint64_t abs_page)
{
	struct ir_block *b = arena_new(a, struct ir_block, 1);

	b->arena = a;
	b->mode = mode;
	b->abs_page = abs_page;
	b->cap_ins = FIRST_INS;
	b->ins = arena_new(a, struct ir_ins, FIRST_INS);
	b->term.cond = IR_NONE;
	return b;
}

static void grow(struct ir_block *b)
{
	uint32_t cap = b->cap_ins ? b->cap_ins * 2 : FIRST_INS;
	struct ir_ins *ins;

	if (b->n_ins >= IR_MAX_INS)
		panic("IR block of more than %d instructions", IR_MAX_INS);
	if (cap > IR_MAX_INS)
		cap = IR_MAX_INS;
	ins = arena_new(b->arena, struct ir_ins, cap);
	if (b->n_ins)
		memcpy(ins, b->ins, b->n_ins * sizeof(*ins));
	b->ins = ins;
	b->cap_ins = cap;
}

ir_ref ir_emit(struct ir_block *b, enum ir_op op, ir_ref a0, ir_ref a1, ir_ref a2, int64_t imm)
{
	if (b->n_ins >= b->cap_ins)
		grow(b);
	if (op == IR_CONST)
		imm = (uint32_t)imm; /* lifters hand in sign-extended immediates; a W is zero-extended */
	b->ins[b->n_ins] = (struct ir_ins){.op = (uint8_t)op, .arg = {a0, a1, a2}, .imm = imm};
	return (ir_ref)b->n_ins++;
}

ir_ref ir_call(struct ir_block *b, enum ir_helper h, ir_ref a0, ir_ref a1, ir_ref a2)
{
	return ir_emit(b, IR_CALL, a0, a1, a2, h);
}

ir_ref ir_fpu(struct ir_block *b, enum ir_helper h, ir_ref a0, ir_ref a1, ir_ref a2)
{
	return ir_emit(b, b->mode & MODE_FPX ? IR_CALL : IR_FPU, a0, a1, a2, h);
}

enum ir_type ir_type_of(const struct ir_block *b, ir_ref v)
{
	const struct ir_ins *ins = &b->ins[v];

	ASSERT(v < b->n_ins);
	return ir_op_is_call(ins->op) ? ir_helper_info[ins->imm].result : ir_op_info[ins->op].result;
}

ir_ref ir_getreg(struct ir_block *b, unsigned reg)
{
	return reg ? ir_emit(b, IR_GETREG, IR_NONE, IR_NONE, IR_NONE, reg) : ir_const(b, 0);
}

void ir_setreg(struct ir_block *b, unsigned reg, ir_ref v)
{
	if (reg)
		ir_emit(b, IR_SETREG, v, IR_NONE, IR_NONE, reg);
}

uint64_t ir_insn_pc(const struct ir_block *b, uint32_t insn, uint64_t pc_page)
{
	uint64_t page = b->mode & MODE_ABS ? b->abs_page : pc_page;

	return (uint32_t)(page + (uint64_t)(int64_t)b->guest[insn].off);
}

uint64_t ir_target_pc(const struct ir_block *b, struct ir_target t, uint64_t pc_page)
{
	switch ((enum ir_target_kind)t.kind) {
	case TGT_ABS:
		return (uint32_t)t.v;
	case TGT_PAGE:
		return (uint32_t)(pc_page + (uint64_t)t.v);
	case TGT_REGION:
		return (pc_page & 0xf0000000u) | (uint32_t)t.v;
	}
	panic("target of kind %u", t.kind);
}
