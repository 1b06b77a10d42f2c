/* SPDX-License-Identifier: MIT */
/*
 * Branches and jumps.  A lifter sets the block's terminator; block.c lifts the delay slot after it, so every operand
 * is read, and the link register written, before the slot runs (MIPS32 volume II, "BGEZAL": the link is unconditional).
 */
#include "frontend/lift.h"

#define RA 31

/* ---- Conditional ---- */

void lift_beq(struct lift *l)
{
	ir_ref rs;

	if (insn_rs(l->word) == insn_rt(l->word)) { /* B */
		lift_branch_always(l, HINT_NONE);
		return;
	}
	rs = lift_rs(l);
	/* A likely branch leaves when it is not taken, so it wants the opposite comparison. */
	if (l->row->flags & INSN_LIKELY)
		lift_branch(l, ir_op2(l->b, IR_NE, rs, lift_rt(l)), false);
	else
		lift_branch(l, ir_op2(l->b, IR_EQ, rs, lift_rt(l)), true);
}

void lift_bne(struct lift *l)
{
	ir_ref rs = lift_rs(l);

	if (l->row->flags & INSN_LIKELY)
		lift_branch(l, ir_op2(l->b, IR_EQ, rs, lift_rt(l)), false);
	else
		lift_branch(l, ir_op2(l->b, IR_NE, rs, lift_rt(l)), true);
}

static ir_ref is_negative(struct lift *l)
{
	ir_ref rs = lift_rs(l);

	return lift_op_imm(l, IR_LTS, rs, 0);
}

static ir_ref is_positive(struct lift *l)
{
	ir_ref zero = ir_const(l->b, 0);

	return ir_op2(l->b, IR_LTS, zero, lift_rs(l));
}

void lift_bltz(struct lift *l) { lift_branch(l, is_negative(l), true); }
void lift_bgtz(struct lift *l) { lift_branch(l, is_positive(l), true); }
void lift_blez(struct lift *l) { lift_branch(l, is_positive(l), false); }

void lift_bgez(struct lift *l)
{
	if (insn_rs(l->word) == 0)
		lift_branch_always(l, HINT_NONE);
	else
		lift_branch(l, is_negative(l), false);
}

static void link(struct lift *l, unsigned reg) { ir_setreg(l->b, reg, lift_pc(l, l->off + 8)); }

/* rs = $31 is UNPREDICTABLE (it cannot be restarted); the condition is of the old value here. */
void lift_bltzal(struct lift *l)
{
	ir_ref cond = is_negative(l);

	link(l, RA);
	lift_branch(l, cond, true);
}

void lift_bgezal(struct lift *l)
{
	ir_ref cond;

	if (insn_rs(l->word) == 0) { /* BAL */
		link(l, RA);
		lift_branch_always(l, HINT_CALL);
		return;
	}
	cond = is_negative(l);
	link(l, RA);
	lift_branch(l, cond, false);
}

/* ---- Jumps ---- */

static void jump_to(struct lift *l, ir_ref address, enum ir_hint hint)
{
	l->branch = true;
	l->b->term = (struct ir_term){
	    .kind = TERM_INDIRECT,
	    .hint = (uint8_t)hint,
	    .insn = (uint16_t)l->index,
	    .cond = address,
	    .link = lift_target(l, l->off + 8),
	};
}

/* The 256 MB region is that of the delay slot: MIPS32 volume II, "J". */
static void jump_in_region(struct lift *l, enum ir_hint hint)
{
	struct ir_block *b = l->b;
	uint32_t low = insn_index(l->word) << 2;
	int32_t slot = l->off + 4;
	struct ir_target target = {TGT_REGION, low};

	if (l->mode & MODE_ABS) {
		uint32_t slot_pc = (uint32_t)(b->abs_page + (uint64_t)slot);

		target = (struct ir_target){TGT_ABS, (slot_pc & 0xf0000000) | low};
	} else if (slot == (int32_t)PAGE_BYTES) { /* which region the next page is in is known at run time only */
		ir_ref region = lift_op_imm(l, IR_AND, lift_pc(l, slot), 0xf0000000);

		jump_to(l, lift_op_imm(l, IR_OR, region, low), hint);
		return;
	}
	l->branch = true;
	b->term = (struct ir_term){
	    .kind = TERM_JUMP,
	    .hint = (uint8_t)hint,
	    .insn = (uint16_t)l->index,
	    .cond = IR_NONE,
	    .target = {target},
	    .link = lift_target(l, l->off + 8),
	};
}

void lift_j(struct lift *l) { jump_in_region(l, HINT_NONE); }

void lift_jal(struct lift *l)
{
	link(l, RA);
	jump_in_region(l, HINT_CALL);
}

/*
 * JR.HB and JALR.HB are JR and JALR: hazards are cleared at every instruction here.  A misaligned target raises AdEL
 * where it is fetched from, as the manual wants.
 */
void lift_jr(struct lift *l) { jump_to(l, lift_rs(l), insn_rs(l->word) == RA ? HINT_RETURN : HINT_NONE); }

void lift_jalr(struct lift *l)
{
	unsigned rd = insn_rd(l->word);
	ir_ref target = lift_rs(l);

	if (rd == 0) { /* JR in another spelling */
		lift_jr(l);
		return;
	}
	link(l, rd);
	jump_to(l, target, rd == RA ? HINT_CALL : HINT_NONE);
}
