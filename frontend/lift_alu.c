/* SPDX-License-Identifier: MIT */
/* Integer arithmetic, logic, shifts, HI and LO, bit fields. */
#include "frontend/lift.h"

void lift_nop(struct lift *l) {} /* NOP, SSNOP, EHB, PAUSE, PREF: frontend/README.md says why */

/* ---- R format: rd = rs op rt ---- */

static void binary(struct lift *l, enum ir_op op)
{
	ir_ref rs = lift_rs(l);

	lift_set_rd(l, ir_op2(l->b, op, rs, lift_rt(l)));
}

/* On overflow the destination keeps its value: MIPS32 volume II, "ADD". */
static void binary_trapping(struct lift *l, enum ir_op op, enum ir_op overflow)
{
	ir_ref rs = lift_rs(l), rt = lift_rt(l);

	lift_raise_if(l, ir_op2(l->b, overflow, rs, rt), EXC_OV);
	lift_set_rd(l, ir_op2(l->b, op, rs, rt));
}

void lift_add(struct lift *l) { binary_trapping(l, IR_ADD, IR_ADDOV); }
void lift_sub(struct lift *l) { binary_trapping(l, IR_SUB, IR_SUBOV); }
void lift_addu(struct lift *l) { binary(l, IR_ADD); }
void lift_subu(struct lift *l) { binary(l, IR_SUB); }
void lift_and(struct lift *l) { binary(l, IR_AND); }
void lift_or(struct lift *l) { binary(l, IR_OR); }
void lift_xor(struct lift *l) { binary(l, IR_XOR); }
void lift_slt(struct lift *l) { binary(l, IR_LTS); }
void lift_sltu(struct lift *l) { binary(l, IR_LTU); }
void lift_mul(struct lift *l) { binary(l, IR_MUL); } /* HI and LO: UNPREDICTABLE; kept, as QEMU */

void lift_nor(struct lift *l)
{
	ir_ref rs = lift_rs(l);

	lift_set_rd(l, ir_op1(l->b, IR_NOT, ir_op2(l->b, IR_OR, rs, lift_rt(l))));
}

static void move_if(struct lift *l, enum ir_op compare)
{
	struct ir_block *b = l->b;
	ir_ref cond = lift_op_imm(l, compare, lift_rt(l), 0);
	ir_ref rs = lift_rs(l);

	lift_set_rd(l, ir_emit(b, IR_SELECT, cond, rs, ir_getreg(b, insn_rd(l->word)), 0));
}

void lift_movz(struct lift *l) { move_if(l, IR_EQ); }
void lift_movn(struct lift *l) { move_if(l, IR_NE); }

/* ---- I format: rt = rs op immediate ---- */

static void immediate(struct lift *l, enum ir_op op, uint32_t imm)
{
	ir_ref rs = lift_rs(l);

	lift_set_rt(l, lift_op_imm(l, op, rs, imm));
}

void lift_addi(struct lift *l)
{
	ir_ref rs = lift_rs(l), imm = ir_const(l->b, (uint32_t)insn_simm(l->word));

	lift_raise_if(l, ir_op2(l->b, IR_ADDOV, rs, imm), EXC_OV);
	lift_set_rt(l, ir_op2(l->b, IR_ADD, rs, imm));
}

/* SLTIU, too, sign-extends its immediate before the unsigned comparison. */
void lift_addiu(struct lift *l) { immediate(l, IR_ADD, (uint32_t)insn_simm(l->word)); }
void lift_slti(struct lift *l) { immediate(l, IR_LTS, (uint32_t)insn_simm(l->word)); }
void lift_sltiu(struct lift *l) { immediate(l, IR_LTU, (uint32_t)insn_simm(l->word)); }
void lift_andi(struct lift *l) { immediate(l, IR_AND, insn_uimm(l->word)); }
void lift_ori(struct lift *l) { immediate(l, IR_OR, insn_uimm(l->word)); }
void lift_xori(struct lift *l) { immediate(l, IR_XOR, insn_uimm(l->word)); }
void lift_lui(struct lift *l) { lift_set_rt(l, ir_const(l->b, insn_uimm(l->word) << 16)); }

/* ---- Shifts ---- */

static void shift(struct lift *l, enum ir_op op)
{
	ir_ref rt = lift_rt(l);

	lift_set_rd(l, lift_op_imm(l, op, rt, insn_sa(l->word)));
}

/* The IR takes counts modulo 32, as the instructions do. */
static void shift_variable(struct lift *l, enum ir_op op)
{
	ir_ref rt = lift_rt(l);

	lift_set_rd(l, ir_op2(l->b, op, rt, lift_rs(l)));
}

void lift_sll(struct lift *l) { shift(l, IR_SHL); }
void lift_srl(struct lift *l) { shift(l, IR_SHR); }
void lift_sra(struct lift *l) { shift(l, IR_SAR); }
void lift_rotr(struct lift *l) { shift(l, IR_ROTR); }
void lift_sllv(struct lift *l) { shift_variable(l, IR_SHL); }
void lift_srlv(struct lift *l) { shift_variable(l, IR_SHR); }
void lift_srav(struct lift *l) { shift_variable(l, IR_SAR); }
void lift_rotrv(struct lift *l) { shift_variable(l, IR_ROTR); }

/* ---- HI and LO ---- */

void lift_mfhi(struct lift *l) { lift_set_rd(l, ir_getreg(l->b, REG_HI)); }
void lift_mflo(struct lift *l) { lift_set_rd(l, ir_getreg(l->b, REG_LO)); }
void lift_mthi(struct lift *l) { ir_setreg(l->b, REG_HI, lift_rs(l)); }
void lift_mtlo(struct lift *l) { ir_setreg(l->b, REG_LO, lift_rs(l)); }

static void set_hi_lo(struct lift *l, ir_ref product)
{
	ir_setreg(l->b, REG_HI, ir_op1(l->b, IR_HI32, product));
	ir_setreg(l->b, REG_LO, ir_op1(l->b, IR_LO32, product));
}

static ir_ref product(struct lift *l, enum ir_op op)
{
	ir_ref rs = lift_rs(l);

	return ir_op2(l->b, op, rs, lift_rt(l));
}

void lift_mult(struct lift *l) { set_hi_lo(l, product(l, IR_MULS64)); }
void lift_multu(struct lift *l) { set_hi_lo(l, product(l, IR_MULU64)); }

static void accumulate(struct lift *l, enum ir_op multiply, enum ir_op combine)
{
	ir_ref p = product(l, multiply);
	ir_ref hi = ir_getreg(l->b, REG_HI);
	ir_ref acc = ir_op2(l->b, IR_PAIR64, hi, ir_getreg(l->b, REG_LO));

	set_hi_lo(l, ir_op2(l->b, combine, acc, p));
}

void lift_madd(struct lift *l) { accumulate(l, IR_MULS64, IR_ADD64); }
void lift_maddu(struct lift *l) { accumulate(l, IR_MULU64, IR_ADD64); }
void lift_msub(struct lift *l) { accumulate(l, IR_MULS64, IR_SUB64); }
void lift_msubu(struct lift *l) { accumulate(l, IR_MULU64, IR_SUB64); }

/* Division by zero is UNPREDICTABLE and never traps; ops.def has the values. */
static void divide(struct lift *l, enum ir_op quotient, enum ir_op remainder)
{
	ir_ref rs = lift_rs(l), rt = lift_rt(l);

	ir_setreg(l->b, REG_LO, ir_op2(l->b, quotient, rs, rt));
	ir_setreg(l->b, REG_HI, ir_op2(l->b, remainder, rs, rt));
}

void lift_div(struct lift *l) { divide(l, IR_DIVS, IR_REMS); }
void lift_divu(struct lift *l) { divide(l, IR_DIVU, IR_REMU); }

/* ---- Bits and bytes ---- */

void lift_clz(struct lift *l) { lift_set_rd(l, ir_op1(l->b, IR_CLZ, lift_rs(l))); }
void lift_clo(struct lift *l) { lift_set_rd(l, ir_op1(l->b, IR_CLZ, ir_op1(l->b, IR_NOT, lift_rs(l)))); }
void lift_seb(struct lift *l) { lift_set_rd(l, ir_op1(l->b, IR_SEXT8, lift_rt(l))); }
void lift_seh(struct lift *l) { lift_set_rd(l, ir_op1(l->b, IR_SEXT16, lift_rt(l))); }

/* Swapping the bytes of each half is swapping all four and then the halves. */
void lift_wsbh(struct lift *l)
{
	ir_ref swapped = ir_op1(l->b, IR_BSWAP, lift_rt(l));

	lift_set_rd(l, lift_op_imm(l, IR_ROTR, swapped, 16));
}

/* size in 1..32 */
static uint32_t low_bits(unsigned size) { return UINT32_MAX >> (32 - size); }

/* rt = rs<pos+size-1..pos>; pos is sa, size - 1 is rd. pos + size > 32 is UNPREDICTABLE: RI, as QEMU. */
void lift_ext(struct lift *l)
{
	unsigned pos = insn_sa(l->word), size = insn_rd(l->word) + 1;
	ir_ref v;

	if (pos + size > 32) {
		lift_raise(l, EXC_RI);
		return;
	}
	v = lift_op_imm(l, IR_SHR, lift_rs(l), pos);
	lift_set_rt(l, lift_op_imm(l, IR_AND, v, low_bits(size)));
}

/* rt<msb..lsb> = rs<msb-lsb..0>; lsb is sa, msb is rd. msb < lsb is UNPREDICTABLE: RI, as QEMU. */
void lift_ins(struct lift *l)
{
	unsigned lsb = insn_sa(l->word), msb = insn_rd(l->word);
	struct ir_block *b = l->b;
	uint32_t field;
	ir_ref keep, put;

	if (msb < lsb) {
		lift_raise(l, EXC_RI);
		return;
	}
	field = low_bits(msb - lsb + 1);
	put = lift_op_imm(l, IR_AND, lift_rs(l), field);
	put = lift_op_imm(l, IR_SHL, put, lsb);
	keep = lift_op_imm(l, IR_AND, lift_rt(l), ~(field << lsb));
	lift_set_rt(l, ir_op2(b, IR_OR, keep, put));
}
