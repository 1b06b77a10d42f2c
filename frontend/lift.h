/* SPDX-License-Identifier: MIT */
#ifndef FRONTEND_LIFT_H
#define FRONTEND_LIFT_H

/*
 * What the lifters (lift_*.c) share.
 *
 * block.c walks the words.  For each it appends guest[] and an INSN marker, fills in struct lift, checks what the
 * row's flags ask for, and calls the row's lifter:
 *   INSN_PRIV     CpU(0) outside kernel mode without CU0: checked before the lifter runs
 *   INSN_CP1      CpU(1) without CU1: likewise
 *   INSN_BRANCH   in a delay slot: RI (UNPREDICTABLE in the manual; as QEMU): likewise
 *   INSN_LIKELY   read by lift_branch()
 *   INSN_ENDS     documents that the lifter ends the block (lift_raise, lift_leave, lift_pc_set); not checked
 *   INSN_FR_PAIR  for the FPU's lifters themselves: which fields name 64-bit FPRs is their business
 * A lifter therefore only says what the instruction does.  It must be right in a delay slot too; everything below is.
 */
#include "frontend/insn.h"

/* No lifter emits more for one guest instruction, marker included: a block stays below IR_MAX_INS. Tested by row. */
#define LIFT_MAX_INS 62

struct lift {
	struct ir_block *b;
	const struct insn *row; /* of word */
	uint32_t word;
	uint32_t mode;  /* enum ir_mode; == b->mode */
	uint32_t line;  /* lift_request.line */
	uint32_t index; /* of this instruction in b->guest */
	int32_t off;    /* of its address from the start of the page */
	bool bd;        /* it is in a delay slot */

	/* What the lifter told block.c; through the functions below only. */
	bool branch; /* b->term is set and waits for the delay slot */
	bool ended;  /* b->term is set: the block is complete (never set in a slot) */
	bool leave;  /* in a slot: go where the branch goes, but through the dispatch loop */
};

/* Prototypes of all lifters, from the table. */
#define INSN(id, name, match, mask, isa, flags, lifter, ...) void lifter(struct lift *l);
#include "frontend/insn.def"
#undef INSN

/* The operand registers' values, as GETREG; GPR 0 is constant 0. */
static inline ir_ref lift_rs(struct lift *l) { return ir_getreg(l->b, insn_rs(l->word)); }
static inline ir_ref lift_rt(struct lift *l) { return ir_getreg(l->b, insn_rt(l->word)); }
static inline void lift_set_rt(struct lift *l, ir_ref v) { ir_setreg(l->b, insn_rt(l->word), v); }
static inline void lift_set_rd(struct lift *l, ir_ref v) { ir_setreg(l->b, insn_rd(l->word), v); }

/* v op constant. The value is emitted first, so that the IR does not depend on the host compiler's evaluation order. */
static inline ir_ref lift_op_imm(struct lift *l, enum ir_op op, ir_ref v, uint32_t imm)
{
	return ir_op2(l->b, op, v, ir_const(l->b, imm));
}

/* GPR[base] + sign_extend(offset): the address of every I-format load and store. */
ir_ref lift_address(struct lift *l);
/* GPR[base] + GPR[index]: LWXC1 and its like. */
ir_ref lift_address_indexed(struct lift *l);
/* MEM_BE or 0, to be or-ed with other enum ir_mem_flags. */
static inline uint32_t lift_mem_flags(const struct lift *l) { return l->mode & MODE_BE ? MEM_BE : 0; }

/* The gva at offset off (any sign, may lie outside the page) from the start of this block's page, as a value. */
ir_ref lift_pc(struct lift *l, int32_t off);
/* The same as a terminator's target. */
struct ir_target lift_target(const struct lift *l, int32_t off);

/*
 * The instruction raises, whatever its operands.  exc: EXC_x, with the coprocessor number in bits 9:8 for EXC_CPU.
 * Emit nothing after it for this instruction: outside a slot the terminator is set.
 */
void lift_raise(struct lift *l, uint32_t exc);
/* The instruction raises if cond != 0; what follows is not executed then. */
void lift_raise_if(struct lift *l, ir_ref cond, uint32_t exc);
/* lift_raise() of coprocessor unusable. */
void lift_cp_unusable(struct lift *l, unsigned coprocessor);

/*
 * The pc-relative conditional branch in l->word, taken iff (cond != 0) == taken_if.  cond is any W value.
 * Displacement from the word, likely or not from the row.  The last thing that a branch's lifter does; block.c lifts
 * the slot after it.  Call it from rows with INSN_BRANCH only.
 */
void lift_branch(struct lift *l, ir_ref cond, bool taken_if);
/* The same, always taken. hint: HINT_CALL for BAL, else HINT_NONE. */
void lift_branch_always(struct lift *l, enum ir_hint hint);

/*
 * The instruction has changed, or may have changed, what translations depend on or whether an interrupt is pending
 * (a CP0 write, CTC1 of enables, EI): the block ends after it, through the dispatch loop, at the next instruction -
 * or, in a delay slot, where the branch goes.  Emit nothing after it for this instruction.
 */
void lift_leave(struct lift *l);
/* A helper has set gs->pc (ERET). Not for slots: the lifter rejects that before. */
void lift_pc_set(struct lift *l);

#endif
