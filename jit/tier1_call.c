/* SPDX-License-Identifier: MIT */
/*
 * Calls of helpers.  The pinned registers that C may clobber go to their place in gs->reg[] and come back from there;
 * values that outlive the call are spilt.
 */
#include "jit/tier1.h"

/* Argument v into a register of the C convention; rsi and rdi may hold arguments already, so pins come from memory. */
static void load_arg(struct tier1 *s, int reg, ir_ref v)
{
	const struct t1_value *val = &s->v[v];
	if (val->loc == T1_PIN && (val->reg == RSI || val->reg == RDI))
		x86_load(&s->x, true, reg, x86_gs(GS_REG(val->guest)));
	else
		t1_load_into(s, reg, v);
}

static bool is_in(const struct tier1 *s, ir_ref v, int reg)
{
	return v != IR_NONE && s->v[v].loc == T1_REG && s->v[v].reg == reg;
}

static void load_args(struct tier1 *s, const struct ir_ins *ins)
{
	ir_ref a = ins->arg[0], b = ins->arg[1], c = ins->arg[2];
	if (a != IR_NONE)
		load_arg(s, RSI, a);
	if (is_in(s, b, RCX) && is_in(s, c, RDX)) {
		x86_xchg(&s->x, RCX, RDX);
		return;
	}
	bool c_first = is_in(s, c, RDX);
	if (c_first)
		load_arg(s, RCX, c);
	if (b != IR_NONE)
		load_arg(s, RDX, b);
	if (c != IR_NONE && !c_first)
		load_arg(s, RCX, c);
}

static void emit_site(struct tier1 *s, int scratch)
{
	const struct ir_guest_insn *g = &s->b->guest[s->insn];
	if (s->b->mode & MODE_ABS) {
		x86_store_imm(&s->x, false, GS(pc), (uint32_t)ir_insn_pc(s->b, s->insn, 0));
	} else {
		t1_emit_insn_pc(s, scratch, s->insn);
		x86_store(&s->x, true, GS(pc), scratch);
	}
	x86_store_imm(&s->x, false, GS(site), SITE(g->bd, s->b->n_guest - s->insn));
}

static void take_result(struct tier1 *s, const struct ir_ins *ins, bool wide)
{
	for (unsigned k = 0; k < 3; k++)
		if (ins->arg[k] != IR_NONE && s->v[ins->arg[k]].last <= s->i)
			t1_release(s, ins->arg[k]);
	int d = s->hint != NO_REG ? s->hint : RAX;
	x86_mov(&s->x, wide, d, RAX); /* a W result may come with anything in its upper half */
	t1_bind(s, d);
}

void t1_emit_CALL(struct tier1 *s, const struct ir_ins *ins)
{
	struct x86 *x = &s->x;
	const struct ir_helper_info *h = &ir_helper_info[ins->imm];
	t1_spill_all(s);
	emit_store_pins(x, true);
	if (h->flags & HF_SITE)
		emit_site(s, RDI);
	load_args(s, ins);
	x86_mov(x, true, RDI, R13);
	x86_load(x, true, RAX, GS(helpers));
	x86_alu_imm(x, true, ALU_SUB, RSP, 8);
	x86_call_mem(x, x86_at(RAX, (int32_t)(8 * ins->imm)));
	if (h->flags & HF_RAISES) {
		x86_alu_mem_imm(x, false, ALU_CMP, GS(leave), EXIT_NONE);
		x86_jcc(x, CC_NE, s->cc->stubs.leave_called);
	}
	x86_alu_imm(x, true, ALU_ADD, RSP, 8);
	emit_load_pins(x, true);
	if (h->flags & HF_STATE)
		x86_load(x, true, RBP, GS(l2tlb)); /* a CP0 write may have changed the address space */
	if (h->result != IR_TV)
		take_result(s, ins, h->result == IR_TD);
}

void t1_emit_RAISEIF(struct tier1 *s, const struct ir_ins *ins)
{
	enum x86_cc cc = t1_emit_cond(s, ins->arg[0]);
	struct t1_late *l = t1_late_new(s, LATE_RAISE, x86_jcc_forward(&s->x, cc));
	l->imm = (uint32_t)ins->imm;
}
