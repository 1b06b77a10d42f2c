/* SPDX-License-Identifier: MIT */
/*
 * System calls, traps, coprocessor 0, and coprocessor 2, which nobody has.
 * block.c has checked INSN_PRIV before any of these runs.
 */
#include "frontend/cp0.h"
#include "frontend/lift.h"

void lift_reserved(struct lift *l) { lift_raise(l, EXC_RI); }
void lift_syscall(struct lift *l) { lift_raise(l, EXC_SYS); }
void lift_break(struct lift *l) { lift_raise(l, EXC_BP); }
void lift_cop2(struct lift *l) { lift_cp_unusable(l, 2); }

/* ---- Traps. The code field is for software, which reads it from memory. ---- */

static void trap(struct lift *l, enum ir_op compare, ir_ref right, bool negate)
{
	struct ir_block *b = l->b;
	ir_ref cond = ir_op2(b, compare, lift_rs(l), right);

	lift_raise_if(l, negate ? lift_op_imm(l, IR_EQ, cond, 0) : cond, EXC_TR);
}

/* TGEIU and TLTIU sign-extend their immediate before the unsigned comparison. */
static ir_ref trap_immediate(struct lift *l) { return ir_const(l->b, (uint32_t)insn_simm(l->word)); }

void lift_tge(struct lift *l) { trap(l, IR_LTS, lift_rt(l), true); }
void lift_tgeu(struct lift *l) { trap(l, IR_LTU, lift_rt(l), true); }
void lift_tlt(struct lift *l) { trap(l, IR_LTS, lift_rt(l), false); }
void lift_tltu(struct lift *l) { trap(l, IR_LTU, lift_rt(l), false); }
void lift_teq(struct lift *l) { trap(l, IR_EQ, lift_rt(l), false); }
void lift_tne(struct lift *l) { trap(l, IR_NE, lift_rt(l), false); }
void lift_tgei(struct lift *l) { trap(l, IR_LTS, trap_immediate(l), true); }
void lift_tgeiu(struct lift *l) { trap(l, IR_LTU, trap_immediate(l), true); }
void lift_tlti(struct lift *l) { trap(l, IR_LTS, trap_immediate(l), false); }
void lift_tltiu(struct lift *l) { trap(l, IR_LTU, trap_immediate(l), false); }
void lift_teqi(struct lift *l) { trap(l, IR_EQ, trap_immediate(l), false); }
void lift_tnei(struct lift *l) { trap(l, IR_NE, trap_immediate(l), false); }

/* ---- Registers of coprocessor 0 ---- */

void lift_mfc0(struct lift *l)
{
	unsigned reg = insn_rd(l->word), sel = insn_sel(l->word);
	const struct cp0_reg *row = cp0_reg(reg, sel);
	struct ir_block *b = l->b;
	ir_ref v;

	if (!row)
		v = ir_const(b, 0);
	else if (row->flags & CP0_RH)
		v = ir_call(b, HELPER_CP0_READ, ir_const(b, CP0_INDEX(reg, sel)), IR_NONE, IR_NONE);
	else
		v = ir_emit(b, IR_LDS32, IR_NONE, IR_NONE, IR_NONE, (int64_t)GS_CP0(reg, sel));
	lift_set_rt(l, v);
}

/* A register whose only effect is to hold a value: the bits of its write mask change. */
static void write_plain(struct lift *l, const struct cp0_reg *row)
{
	struct ir_block *b = l->b;
	int64_t at = (int64_t)GS_CP0(row->reg, row->sel);
	ir_ref v = lift_rt(l);

	if (row->write_mask != UINT32_MAX) {
		ir_ref old = ir_emit(b, IR_LDS32, IR_NONE, IR_NONE, IR_NONE, at);
		ir_ref keep = lift_op_imm(l, IR_AND, old, ~row->write_mask);

		v = ir_op2(b, IR_OR, keep, lift_op_imm(l, IR_AND, v, row->write_mask));
	}
	ir_emit(b, IR_STS32, v, IR_NONE, IR_NONE, at);
}

void lift_mtc0(struct lift *l)
{
	unsigned reg = insn_rd(l->word), sel = insn_sel(l->word);
	const struct cp0_reg *row = cp0_reg(reg, sel);

	if (!row || row->flags & CP0_RO)
		return;
	if (row->flags & CP0_WH)
		ir_call(l->b, HELPER_CP0_WRITE, ir_const(l->b, CP0_INDEX(reg, sel)), lift_rt(l), IR_NONE);
	else
		write_plain(l, row);
	if (row->flags & CP0_ENDS)
		lift_leave(l);
}

/* Fewer interrupts can be taken after it, never more: the block goes on. */
void lift_di(struct lift *l) { lift_set_rt(l, ir_call(l->b, HELPER_DI, IR_NONE, IR_NONE, IR_NONE)); }

/* A pending interrupt must be seen at once. */
void lift_ei(struct lift *l)
{
	lift_set_rt(l, ir_call(l->b, HELPER_EI, IR_NONE, IR_NONE, IR_NONE));
	lift_leave(l);
}

/* SRSCtl.HSS is 0: the previous register set is the current one. */
void lift_rdpgpr(struct lift *l) { lift_set_rd(l, lift_rt(l)); }
void lift_wrpgpr(struct lift *l) { lift_set_rd(l, lift_rt(l)); }

/* ---- TLB, ERET, WAIT, CACHE ---- */

static void call_and_leave(struct lift *l, enum ir_helper helper)
{
	ir_call(l->b, helper, IR_NONE, IR_NONE, IR_NONE);
	lift_leave(l);
}

void lift_tlbr(struct lift *l) { call_and_leave(l, HELPER_TLBR); }   /* EntryHi.ASID may change */
void lift_tlbwi(struct lift *l) { call_and_leave(l, HELPER_TLBWI); } /* this very page may be remapped */
void lift_tlbwr(struct lift *l) { call_and_leave(l, HELPER_TLBWR); }
void lift_wait(struct lift *l) { call_and_leave(l, HELPER_WAIT); }
void lift_tlbp(struct lift *l) { ir_call(l->b, HELPER_TLBP, IR_NONE, IR_NONE, IR_NONE); }

/* As a function call of the o32 ABI, but for the number: $2 in and out, $4 and $5 in. */
void lift_hypcall(struct lift *l)
{
	ir_ref number = ir_getreg(l->b, 2), a = ir_getreg(l->b, 4), b = ir_getreg(l->b, 5);

	ir_setreg(l->b, 2, ir_call(l->b, HELPER_HYPCALL, number, a, b));
	lift_leave(l); /* the page of this code may be another one */
}

/* In a delay slot: UNPREDICTABLE (MIPS32 volume II, "ERET"); RI here. */
void lift_eret(struct lift *l)
{
	if (l->bd) {
		lift_raise(l, EXC_RI);
		return;
	}
	ir_call(l->b, HELPER_ERET, IR_NONE, IR_NONE, IR_NONE);
	lift_pc_set(l);
}

void lift_cache(struct lift *l)
{
	ir_ref address = lift_address(l);

	ir_call(l->b, HELPER_CACHE, address, ir_const(l->b, insn_rt(l->word)), IR_NONE);
}

/* Its address is translated as that of a hit operation on the instruction cache (volume II, "SYNCI"). */
void lift_synci(struct lift *l)
{
	enum { HIT_INVALIDATE_I = 0x10 };
	ir_ref address = lift_address(l);

	ir_call(l->b, HELPER_CACHE, address, ir_const(l->b, HIT_INVALIDATE_I), IR_NONE);
}

void lift_rdhwr(struct lift *l)
{
	ir_ref hwr = ir_const(l->b, insn_rd(l->word));

	lift_set_rt(l, ir_call(l->b, HELPER_RDHWR, hwr, IR_NONE, IR_NONE));
}
