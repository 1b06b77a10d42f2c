/* SPDX-License-Identifier: MIT */
/*
 * FPU: floating point on the host's SSE unit.
 *
 *	movaps  d, a; addsd d, b	compute
 *	ucomisd d, d; jp slow		a NaN is not what MIPS would make of it
 *	movsd   [gs->fpu_operand], ...	if anybody may look at FCSR before the next FPU
 *	mov     [gs->fpu_last], row
 *
 * The other exceptions gather in MXCSR.  The slow path is out of line: it stores the operands and calls the stub, which
 * keeps all registers and calls the row's helper; so do, in line, the rows that SSE2 has no instruction for.
 */
#include "jit/fpu_rows.h"
#include "jit/tier1.h"

static struct x86_mem operand(unsigned k) { return x86_gs(offsetof(struct guest_state, fpu_operand) + 8 * (size_t)k); }

bool t1_xmm_wanted(const struct tier1 *s, uint32_t i)
{
	for (uint32_t k = i + 1; k <= s->v[i].last && k < s->b->n_ins; k++) {
		const struct ir_ins *ins = &s->b->ins[k];
		if (ins->dead || (ins->arg[0] != i && ins->arg[1] != i && ins->arg[2] != i))
			continue;
		if (ins->op == IR_FPU)
			return fpu_rows[ins->imm].form != FORM_NONE && fpu_rows[ins->imm].form != FORM_FROM_INT;
		return ins->op == IR_STS32 || ins->op == IR_STS64;
	}
	return false;
}

/* May anybody look at FCSR after instruction i and before the next FPU? */
static bool is_seen(const struct tier1 *s, uint32_t i)
{
	for (uint32_t k = i + 1; k < s->b->n_ins; k++) {
		const struct ir_ins *ins = &s->b->ins[k];
		uint8_t effect = ir_op_info[ins->op].effect;
		if (ins->dead)
			continue;
		if (effect == EFF_F)
			return false;
		if (effect == EFF_M || effect == EFF_X || effect == EFF_C)
			return true;
	}
	return true;
}

/* ---- the slow path ---- */

/*
 * Does row gs->scratch[1] with gs->fpu_operand; leaves the result in gs->scratch[0].  Keeps all registers, also for tier
 * 2, whose stack is aligned otherwise: hence the copy of rsp.  What was the last operation is no longer known then, nor
 * does it matter: this one sets Cause.
 */
void *tier1_emit_fpu_stub(struct x86 *x)
{
	static const int8_t saved[] = {RAX, RCX, RDX, R10, R11};
	const int n = ARRAY_LEN(saved), xmm_bytes = 16 * 16;
	void *at = x86_here(x);
	for (int i = 0; i < n; i++)
		x86_push(x, saved[i]);
	x86_mov(x, true, RAX, RSP);
	x86_alu_imm(x, true, ALU_AND, RSP, -16);
	x86_alu_imm(x, true, ALU_SUB, RSP, xmm_bytes + 16);
	x86_store(x, true, x86_at(RSP, xmm_bytes), RAX);
	for (int r = 0; r < 16; r++)
		x86_sse_save(x, x86_at(RSP, 16 * r), r);
	emit_store_pins(x, true);
	x86_store_imm(x, false, GS(fpu_last), FPU_LAST_CLEAN);
	x86_mov(x, true, RDI, R13);
	x86_load(x, true, RSI, operand(0));
	x86_load(x, true, RDX, operand(1));
	x86_load(x, true, RCX, operand(2));
	x86_load(x, false, RAX, GS(scratch[1]));
	x86_load(x, true, R10, GS(helpers));
	x86_call_mem(x, x86_at_index(R10, RAX, 3, 0));
	x86_store(x, true, GS(scratch[0]), RAX);
	emit_load_pins(x, true);
	for (int r = 0; r < 16; r++)
		x86_sse_restore(x, r, x86_at(RSP, 16 * r));
	x86_load(x, true, RSP, x86_at(RSP, xmm_bytes));
	for (int i = n; i-- > 0;)
		x86_pop(x, saved[i]);
	x86_ret(x, 0);
	return at;
}

void *tier1_emit_fpu_stub_of_tier2(struct x86 *x, const void *stub)
{
	void *at = x86_here(x);
	x86_push(x, R13);
	x86_mov(x, true, R13, RDI);
	x86_call(x, stub);
	x86_pop(x, R13);
	x86_ret(x, 0);
	return at;
}

static void call_stub(struct tier1 *s, unsigned helper)
{
	x86_store_imm(&s->x, false, GS(scratch[1]), helper);
	x86_call(&s->x, s->cc->stubs.fpu);
}

void t1_late_fpu(struct tier1 *s, const struct t1_late *l)
{
	const struct ir_helper_info *h = &ir_helper_info[l->helper];
	for (unsigned k = 0; k < 3 && h->arg[k] != IR_TV; k++) {
		if (l->xmm[k] != NO_REG)
			x86_sse_store(&s->x, true, operand(k), l->xmm[k]);
		else
			x86_store_imm(&s->x, true, operand(k), l->imm);
	}
	call_stub(s, l->helper);
	if (l->dst != NO_REG && l->to_xmm)
		x86_sse_load(&s->x, h->result == IR_TD, l->dst, GS(scratch[0]));
	else if (l->dst != NO_REG)
		x86_load(&s->x, h->result == IR_TD, l->dst, GS(scratch[0]));
	x86_jmp(&s->x, l->back);
}

/* No form, or one that wants a constant which is none. */
static void emit_by_helper(struct tier1 *s, const struct ir_ins *ins)
{
	const struct ir_helper_info *h = &ir_helper_info[ins->imm];
	for (unsigned k = 0; k < 3 && h->arg[k] != IR_TV; k++) {
		ir_ref v = ins->arg[k];
		if (s->v[v].loc == T1_XMM)
			x86_sse_store(&s->x, true, operand(k), s->v[v].reg);
		else
			x86_store(&s->x, true, operand(k), t1_use(s, v));
	}
	call_stub(s, (unsigned)ins->imm);
	if (h->result == IR_TV)
		return;
	int d = t1_xmm_scratch(s);
	x86_sse_load(&s->x, h->result == IR_TD, d, GS(scratch[0]));
	t1_xmm_bind(s, d);
}

/* ---- in line ---- */

/* An FPU op being emitted. */
struct fpu {
	const struct ir_ins *ins;
	const struct fpu_row *row;
	int8_t arg[3]; /* xmm registers, or NO_REG */
	uint32_t k;    /* the argument that is a constant */
	struct t1_late *late;
};

static void slow_if(struct tier1 *s, struct fpu *f, enum x86_cc cc)
{
	f->late = t1_late_new(s, LATE_FPU, x86_jcc_forward(&s->x, cc));
	f->late->helper = (uint16_t)f->ins->imm;
	f->late->imm = f->k;
	f->late->dst = NO_REG;
	for (unsigned k = 0; k < 3; k++)
		f->late->xmm[k] = f->arg[k];
}

static void slow_if_nan(struct tier1 *s, struct fpu *f, bool d, int xmm)
{
	x86_sse_compare(&s->x, d, xmm, xmm);
	slow_if(s, f, CC_P);
}

static void record(struct tier1 *s, const struct fpu *f)
{
	if (!is_seen(s, s->i))
		return;
	for (unsigned k = 0; k < f->row->n_args; k++) {
		if (f->arg[k] != NO_REG)
			x86_sse_store(&s->x, true, operand(k), f->arg[k]);
		else
			x86_store_imm(&s->x, true, operand(k), f->k);
	}
	x86_store_imm(&s->x, false, GS(fpu_last), f->row->exact ? FPU_LAST_CLEAN : (uint32_t)f->ins->imm);
}

/* The result is in d; where the slow path goes on. */
static void finish(struct tier1 *s, const struct fpu *f, int d, bool to_xmm)
{
	record(s, f);
	if (f->late) {
		f->late->dst = (int8_t)d;
		f->late->to_xmm = to_xmm;
		f->late->back = x86_here(&s->x);
	}
	if (to_xmm)
		t1_xmm_bind(s, d);
	else
		t1_bind(s, d);
}

/* xmm = 1.0 */
static void emit_one(struct tier1 *s, bool d, int xmm)
{
	int r = t1_scratch(s);
	x86_mov_imm(&s->x, r, d ? 0x3ff0000000000000u : 0x3f800000u);
	x86_sse_from_gpr(&s->x, true, xmm, r);
}

static void emit_flip_sign(struct tier1 *s, bool d, int xmm)
{
	int sign = t1_xmm_scratch(s);
	x86_sse_mask(&s->x, sign, 63, d ? 0 : 32);
	x86_sse_xor(&s->x, xmm, sign);
}

/* ABS and NEG look for a NaN in their operand: it would not change. */
static void emit_sign(struct tier1 *s, struct fpu *f, int d)
{
	const struct fpu_row *row = f->row;
	slow_if_nan(s, f, row->d, f->arg[0]);
	if (row->form == FORM_ABS) {
		x86_sse_mask(&s->x, d, 0, row->d ? 1 : 33);
		x86_sse_and(&s->x, d, f->arg[0]);
	} else {
		x86_sse_mov(&s->x, d, f->arg[0]);
		emit_flip_sign(s, row->d, d);
	}
}

/* Single results keep the upper half of their register 0: t1_loc. */
static void emit_arith(struct tier1 *s, struct fpu *f, int d)
{
	const struct fpu_row *row = f->row;
	struct x86 *x = &s->x;
	bool result_d = row->d;
	switch ((enum fpu_form)row->form) {
	case FORM_BINARY:
		x86_sse_mov(x, d, f->arg[0]);
		x86_sse_op(x, row->d, row->op, d, f->arg[1]);
		break;
	case FORM_SQRT:
		x86_sse_zero(x, d);
		x86_sse_op(x, row->d, SSE_SQRT, d, f->arg[0]);
		break;
	case FORM_RECIP:
		emit_one(s, row->d, d);
		x86_sse_op(x, row->d, SSE_DIV, d, f->arg[0]);
		break;
	case FORM_RSQRT: {
		int root = t1_xmm_scratch(s);
		x86_sse_zero(x, root);
		x86_sse_op(x, row->d, SSE_SQRT, root, f->arg[0]);
		emit_one(s, row->d, d);
		x86_sse_op(x, row->d, SSE_DIV, d, root);
		break;
	}
	case FORM_MADD:
		x86_sse_mov(x, d, f->arg[0]);
		x86_sse_op(x, row->d, SSE_MUL, d, f->arg[1]);
		x86_sse_op(x, row->d, row->op, d, f->arg[2]);
		break;
	case FORM_OTHER:
		result_d = !row->d;
		x86_sse_zero(x, d);
		(row->d ? x86_sse_narrow : x86_sse_widen)(x, d, f->arg[0]);
		break;
	default:
		panic("tier 1: FPU %s is no arithmetic", ir_helper_info[f->ins->imm].name);
	}
	slow_if_nan(s, f, result_d, d);
	if (row->negates)
		emit_flip_sign(s, row->d, d);
}

static void emit_from_int(struct tier1 *s, struct fpu *f)
{
	const struct fpu_row *row = f->row;
	int r = t1_use(s, f->ins->arg[0]), d = t1_xmm_scratch(s);
	x86_sse_zero(&s->x, d);
	x86_sse_from_int(&s->x, row->d, row->wide, d, r);
	if (is_seen(s, s->i)) {
		if (!row->exact)
			x86_store(&s->x, true, operand(0), r);
		x86_store_imm(&s->x, false, GS(fpu_last), row->exact ? FPU_LAST_CLEAN : (uint32_t)f->ins->imm);
	}
	t1_xmm_bind(s, d);
}

/* Out of range and NaN: the host's answer is the smallest integer, whose predecessor overflows. */
static void emit_to_int(struct tier1 *s, struct fpu *f)
{
	const struct fpu_row *row = f->row;
	f->arg[0] = (int8_t)t1_xmm_use(s, f->ins->arg[0]);
	int d = t1_dst(s, IR_NONE, NO_REG);
	x86_sse_to_int(&s->x, row->d, row->wide, f->k == ROUND_ZERO, d, f->arg[0]);
	x86_alu_imm(&s->x, row->wide, ALU_CMP, d, 1);
	slow_if(s, f, CC_O);
	finish(s, f, d, false);
}

static void emit_compare(struct tier1 *s, struct fpu *f)
{
	static const enum x86_cc cc_of[] = {[COND_EQUAL >> 1] = CC_E, [COND_LESS >> 1] = CC_B, [3] = CC_BE};
	struct x86 *x = &s->x;
	unsigned cond = f->k >> 1 & 3, shift = fpu_row_cc_shift(f->k);
	int all = t1_scratch(s), bit = t1_scratch(s);
	x86_load(x, false, all, GS(fcr31));
	x86_sse_compare(x, f->row->d, f->arg[0], f->arg[1]);
	slow_if(s, f, CC_P);
	if (cond)
		x86_setcc(x, cc_of[cond], bit);
	x86_alu_imm(x, false, ALU_AND, all, (int32_t) ~(1u << shift));
	if (cond) {
		x86_shift_imm(x, false, SH_SHL, bit, shift);
		x86_alu(x, false, ALU_OR, all, bit);
	}
	x86_store(x, false, GS(fcr31), all);
	record(s, f);
	f->late->back = x86_here(x);
}

static bool in_line(const struct tier1 *s, const struct ir_ins *ins, const struct fpu_row *row, uint32_t *k)
{
	int at = fpu_row_constant(row);
	if (at >= 0 && !t1_is_const(s, ins->arg[at]))
		return false;
	*k = at >= 0 ? (uint32_t)t1_const(s, ins->arg[at]) : 0;
	return fpu_row_in_line(row, *k);
}

void t1_emit_FPU(struct tier1 *s, const struct ir_ins *ins)
{
	struct fpu f = {.ins = ins, .row = &fpu_rows[ins->imm], .arg = {NO_REG, NO_REG, NO_REG}};
	if (!in_line(s, ins, f.row, &f.k)) {
		emit_by_helper(s, ins);
		return;
	}
	if (f.row->form == FORM_FROM_INT) {
		emit_from_int(s, &f);
		return;
	}
	if (f.row->form == FORM_TO_INT) {
		emit_to_int(s, &f);
		return;
	}
	for (int k = 0; k < 3 && ins->arg[k] != IR_NONE && k != fpu_row_constant(f.row); k++)
		f.arg[k] = (int8_t)t1_xmm_use(s, ins->arg[k]);
	if (f.row->form == FORM_COMPARE) {
		emit_compare(s, &f);
		return;
	}
	int d = t1_xmm_scratch(s);
	if (f.row->form == FORM_ABS || f.row->form == FORM_NEG)
		emit_sign(s, &f, d);
	else
		emit_arith(s, &f, d);
	finish(s, &f, d, true);
}
