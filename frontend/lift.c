/* SPDX-License-Identifier: MIT */
/* What lift.h declares: addresses, exceptions and branches, right in a delay slot and outside one. */
#include "frontend/lift.h"

ir_ref lift_address(struct lift *l)
{
	ir_ref base = lift_rs(l);
	int32_t offset = insn_simm(l->word);

	return offset ? lift_op_imm(l, IR_ADD, base, (uint32_t)offset) : base;
}

ir_ref lift_address_indexed(struct lift *l)
{
	ir_ref base = lift_rs(l);

	return ir_op2(l->b, IR_ADD, base, lift_rt(l));
}

ir_ref lift_pc(struct lift *l, int32_t off)
{
	if (l->mode & MODE_ABS)
		return ir_const(l->b, (uint32_t)(l->b->abs_page + (uint64_t)(int64_t)off));
	return ir_emit(l->b, IR_PCREL, IR_NONE, IR_NONE, IR_NONE, off);
}

struct ir_target lift_target(const struct lift *l, int32_t off)
{
	if (l->mode & MODE_ABS)
		return (struct ir_target){TGT_ABS, (uint32_t)(l->b->abs_page + (uint64_t)(int64_t)off)};
	return (struct ir_target){TGT_PAGE, off};
}

void lift_raise(struct lift *l, uint32_t exc)
{
	if (l->bd) { /* the branch's terminator stays; it is never reached */
		lift_raise_if(l, ir_const(l->b, 1), exc);
		return;
	}
	l->b->term = (struct ir_term){.kind = TERM_RAISE, .insn = (uint16_t)l->index, .cond = IR_NONE, .exc = exc};
	l->ended = true;
}

void lift_raise_if(struct lift *l, ir_ref cond, uint32_t exc)
{
	ir_emit(l->b, IR_RAISEIF, cond, IR_NONE, IR_NONE, exc);
}

void lift_cp_unusable(struct lift *l, unsigned coprocessor) { lift_raise(l, EXC_CPU | coprocessor << 8); }

/* The displacement of a branch counts from its delay slot. */
static int32_t branch_off(const struct lift *l) { return l->off + 4 + insn_simm(l->word) * 4; }

void lift_branch(struct lift *l, ir_ref cond, bool taken_if)
{
	struct ir_block *b = l->b;
	struct ir_target taken = lift_target(l, branch_off(l)), next = lift_target(l, l->off + 8);
	struct ir_term *t = &b->term;

	l->branch = true;
	*t = (struct ir_term){.insn = (uint16_t)l->index, .cond = IR_NONE};
	if (l->row->flags & INSN_LIKELY) {
		ir_ref nullify = taken_if ? lift_op_imm(l, IR_EQ, cond, 0) : cond;

		ir_emit(b, IR_EXITIF, nullify, IR_NONE, IR_NONE, b->n_exits);
		b->exits[b->n_exits++] = next;
		t->kind = TERM_JUMP;
		t->target[0] = taken;
		return;
	}
	t->kind = TERM_BRANCH;
	t->cond = cond;
	t->target[0] = taken_if ? taken : next;
	t->target[1] = taken_if ? next : taken;
}

void lift_branch_always(struct lift *l, enum ir_hint hint)
{
	l->branch = true;
	l->b->term = (struct ir_term){
	    .kind = TERM_JUMP,
	    .hint = (uint8_t)hint,
	    .insn = (uint16_t)l->index,
	    .cond = IR_NONE,
	    .target = {lift_target(l, branch_off(l))},
	    .link = lift_target(l, l->off + 8),
	};
}

void lift_leave(struct lift *l)
{
	if (l->bd) {
		l->leave = true;
		return;
	}
	l->b->term = (struct ir_term){
	    .kind = TERM_LEAVE,
	    .insn = (uint16_t)l->index,
	    .cond = IR_NONE,
	    .target = {lift_target(l, l->off + 4)},
	};
	l->ended = true;
}

void lift_pc_set(struct lift *l)
{
	ASSERT(!l->bd);
	l->b->term = (struct ir_term){.kind = TERM_PC_SET, .insn = (uint16_t)l->index, .cond = IR_NONE};
	l->ended = true;
}
