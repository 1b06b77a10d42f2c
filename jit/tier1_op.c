/* SPDX-License-Identifier: MIT */
/* Pure ops and guest state. */
#include "jit/tier1.h"
#include "jit/x86_sse.h"

static bool fits(bool w, uint64_t v) { return !w || x86_is_s32((int64_t)v); }

static bool is_imm(const struct tier1 *s, bool w, ir_ref v) { return t1_is_const(s, v) && fits(w, t1_const(s, v)); }

static void mov_if(struct tier1 *s, bool w, int dst, int src)
{
	if (dst != src)
		x86_mov(&s->x, w, dst, src);
}

/* ADD and SUB of a constant into another register, or of two registers into a third: LEA. */
static bool emit_lea(struct tier1 *s, bool w, enum x86_alu op, int d, int ra, int rb, int32_t imm)
{
	if (d == ra || d == rb || (op != ALU_ADD && op != ALU_SUB) ||
	    (op == ALU_SUB && (rb != NO_REG || imm == INT32_MIN)))
		return false;
	if (rb == NO_REG)
		x86_lea(&s->x, w, d, x86_at(ra, op == ALU_ADD ? imm : -imm));
	else
		x86_lea(&s->x, w, d, x86_at_index(ra, rb, 0, 0));
	return true;
}

static void emit_binary_imm(struct tier1 *s, bool w, enum x86_alu op, ir_ref a, int32_t imm)
{
	int ra = t1_use(s, a), d = t1_dst(s, a, ra);
	if (!emit_lea(s, w, op, d, ra, NO_REG, imm)) {
		mov_if(s, w, d, ra);
		x86_alu_imm(&s->x, w, op, d, imm);
	}
	t1_bind(s, d);
}

static void emit_binary(struct tier1 *s, const struct ir_ins *ins, bool w, enum x86_alu op)
{
	bool commutes = op != ALU_SUB;
	ir_ref a = ins->arg[0], b = ins->arg[1];
	struct x86_mem m;
	if (commutes && t1_is_const(s, a) && !t1_is_const(s, b)) {
		ir_ref t = a;
		a = b;
		b = t;
	}
	if (is_imm(s, w, b)) {
		emit_binary_imm(s, w, op, a, (int32_t)t1_const(s, b));
		return;
	}
	int ra = t1_use(s, a);
	if (a != b && t1_in_memory(s, b, &m)) {
		int d = t1_dst(s, a, ra);
		mov_if(s, w, d, ra);
		x86_alu_load(&s->x, w, op, d, m);
		t1_bind(s, d);
		return;
	}
	int rb = t1_use(s, b), d = t1_dst(s, a, ra), to = d;
	if (emit_lea(s, w, op, d, ra, rb, 0)) {
		t1_bind(s, d);
		return;
	}
	if (d == rb && d != ra) {
		if (commutes)
			rb = ra, ra = d;
		else
			to = t1_scratch(s);
	}
	mov_if(s, w, to, ra);
	x86_alu(&s->x, w, op, to, rb);
	mov_if(s, w, d, to);
	t1_bind(s, d);
}

#define BINARY(name, w, op)                                                                                            \
	void t1_emit_##name(struct tier1 *s, const struct ir_ins *ins) { emit_binary(s, ins, w, op); }
BINARY(ADD, false, ALU_ADD)
BINARY(SUB, false, ALU_SUB)
BINARY(AND, false, ALU_AND)
BINARY(OR, false, ALU_OR)
BINARY(XOR, false, ALU_XOR)
BINARY(ADD64, true, ALU_ADD)
BINARY(SUB64, true, ALU_SUB)
BINARY(AND64, true, ALU_AND)
BINARY(OR64, true, ALU_OR)
BINARY(XOR64, true, ALU_XOR)

/* d = copy of a in the register of the result, to be changed in place. */
static int copy_a(struct tier1 *s, const struct ir_ins *ins, bool w)
{
	ir_ref a = ins->arg[0];
	int ra = t1_use(s, a), d = t1_dst(s, a, ra);
	mov_if(s, w, d, ra);
	return d;
}

void t1_emit_MUL(struct tier1 *s, const struct ir_ins *ins)
{
	ir_ref a = ins->arg[0];
	int ra = t1_use(s, a), rb = t1_use(s, ins->arg[1]), d = t1_dst(s, a, ra);
	if (d == rb) {
		rb = ra;
		ra = d;
	}
	mov_if(s, false, d, ra);
	x86_imul(&s->x, false, d, rb);
	t1_bind(s, d);
}

void t1_emit_NOT(struct tier1 *s, const struct ir_ins *ins)
{
	int d = copy_a(s, ins, false);
	x86_not(&s->x, d);
	t1_bind(s, d);
}

void t1_emit_BSWAP(struct tier1 *s, const struct ir_ins *ins)
{
	int d = copy_a(s, ins, false);
	x86_bswap(&s->x, false, d);
	t1_bind(s, d);
}

/* ---- shifts: a count that is not constant goes to cl ---- */
static void emit_shift(struct tier1 *s, const struct ir_ins *ins, bool w, enum x86_shift op)
{
	ir_ref a = ins->arg[0], n = ins->arg[1];
	if (t1_is_const(s, n)) {
		unsigned count = (unsigned)t1_const(s, n) & (w ? 63 : 31);
		int d = copy_a(s, ins, w);
		if (count)
			x86_shift_imm(&s->x, w, op, d, count);
		t1_bind(s, d);
		return;
	}
	if (s->v[n].loc == T1_REG && s->v[n].reg == RCX) {
		s->locked |= 1u << RCX;
	} else {
		t1_claim(s, RCX);
		t1_load_into(s, RCX, n);
	}
	int ra = t1_use(s, a), d = t1_dst(s, ra == RCX ? IR_NONE : a, ra);
	mov_if(s, w, d, ra);
	x86_shift_cl(&s->x, w, op, d);
	t1_bind(s, d);
}

#define SHIFT(name, w, op)                                                                                             \
	void t1_emit_##name(struct tier1 *s, const struct ir_ins *ins) { emit_shift(s, ins, w, op); }
SHIFT(SHL, false, SH_SHL)
SHIFT(SHR, false, SH_SHR)
SHIFT(SAR, false, SH_SAR)
SHIFT(ROTR, false, SH_ROR)
SHIFT(SHL64, true, SH_SHL)
SHIFT(SHR64, true, SH_SHR)

/* BSR leaves its destination undefined for 0: 63 ^ 31 = 32. LZCNT is not on every x86-64. */
void t1_emit_CLZ(struct tier1 *s, const struct ir_ins *ins)
{
	ir_ref a = ins->arg[0];
	int ra = t1_use(s, a), none = t1_scratch(s), d = t1_dst(s, a, ra);
	x86_mov_imm(&s->x, none, 63);
	x86_bsr(&s->x, d, ra);
	x86_cmov(&s->x, false, CC_E, d, none);
	x86_alu_imm(&s->x, false, ALU_XOR, d, 31);
	t1_bind(s, d);
}

static void emit_extend(struct tier1 *s, const struct ir_ins *ins, bool sign, unsigned bytes)
{
	ir_ref a = ins->arg[0];
	int ra = t1_use(s, a), d = t1_dst(s, a, ra);
	x86_ext(&s->x, sign, bytes, d, ra);
	t1_bind(s, d);
}
void t1_emit_SEXT8(struct tier1 *s, const struct ir_ins *ins) { emit_extend(s, ins, true, 1); }
void t1_emit_SEXT16(struct tier1 *s, const struct ir_ins *ins) { emit_extend(s, ins, true, 2); }
void t1_emit_ZEXT8(struct tier1 *s, const struct ir_ins *ins) { emit_extend(s, ins, false, 1); }
void t1_emit_ZEXT16(struct tier1 *s, const struct ir_ins *ins) { emit_extend(s, ins, false, 2); }

/* ---- division: a in eax, b elsewhere; quotient in eax, remainder in edx.  x86 faults on what MIPS does not. ---- */
static int div_operands(struct tier1 *s, const struct ir_ins *ins)
{
	t1_claim(s, RAX);
	t1_claim(s, RDX);
	int rb = t1_use(s, ins->arg[1]);
	t1_load_into(s, RAX, ins->arg[0]);
	x86_test(&s->x, false, rb, rb);
	return rb;
}

static void div_result(struct tier1 *s, bool rem)
{
	int r = rem ? RDX : RAX;
	if (s->hint != NO_REG) {
		x86_mov(&s->x, false, s->hint, r);
		r = s->hint;
	}
	t1_bind(s, r);
}

static void emit_div_unsigned(struct tier1 *s, const struct ir_ins *ins, bool rem)
{
	struct x86 *x = &s->x;
	int rb = div_operands(s, ins);
	uint8_t *by_zero = x86_jcc_short(x, CC_E);
	x86_alu(x, false, ALU_XOR, RDX, RDX);
	x86_div(x, rb);
	uint8_t *done = x86_jmp_short(x);
	x86_bind_short(x, by_zero);
	if (rem)
		x86_mov(x, false, RDX, RAX);
	else
		x86_mov_imm(x, RAX, UINT32_MAX);
	x86_bind_short(x, done);
	div_result(s, rem);
}

static void emit_div_signed(struct tier1 *s, const struct ir_ins *ins, bool rem)
{
	struct x86 *x = &s->x;
	int rb = div_operands(s, ins);
	uint8_t *by_zero = x86_jcc_short(x, CC_E);
	x86_alu_imm(x, false, ALU_CMP, rb, -1);
	uint8_t *by_minus_one = x86_jcc_short(x, CC_E);
	x86_cdq(x);
	x86_idiv(x, rb);
	uint8_t *done = x86_jmp_short(x);
	x86_bind_short(x, by_minus_one); /* -a, and INT_MIN stays */
	x86_neg(x, RAX);
	x86_alu(x, false, ALU_XOR, RDX, RDX);
	uint8_t *done_too = x86_jmp_short(x);
	x86_bind_short(x, by_zero);
	if (rem) {
		x86_mov(x, false, RDX, RAX);
	} else { /* sign = a < 0 ? -1 : 0; -(2 * sign + 1) */
		x86_shift_imm(x, false, SH_SAR, RAX, 31);
		x86_lea(x, false, RAX, x86_at_index(RAX, RAX, 0, 1));
		x86_neg(x, RAX);
	}
	x86_bind_short(x, done);
	x86_bind_short(x, done_too);
	div_result(s, rem);
}
void t1_emit_DIVS(struct tier1 *s, const struct ir_ins *ins) { emit_div_signed(s, ins, false); }
void t1_emit_REMS(struct tier1 *s, const struct ir_ins *ins) { emit_div_signed(s, ins, true); }
void t1_emit_DIVU(struct tier1 *s, const struct ir_ins *ins) { emit_div_unsigned(s, ins, false); }
void t1_emit_REMU(struct tier1 *s, const struct ir_ins *ins) { emit_div_unsigned(s, ins, true); }

/* ---- compares ---- */
static enum x86_cc swapped(enum x86_cc cc) { return cc == CC_L ? CC_G : cc == CC_B ? CC_A : cc; }

static enum x86_cc emit_compare(struct tier1 *s, const struct ir_ins *ins)
{
	ir_ref a = ins->arg[0], b = ins->arg[1];
	enum x86_cc cc = ins->op == IR_EQ ? CC_E : ins->op == IR_NE ? CC_NE : ins->op == IR_LTS ? CC_L : CC_B;
	if (t1_is_const(s, a) && !t1_is_const(s, b)) {
		ir_ref t = a;
		a = b;
		b = t;
		cc = swapped(cc);
	}
	struct x86_mem m;
	int ra = t1_use(s, a);
	if (t1_is_const(s, b) && (uint32_t)t1_const(s, b) == 0)
		x86_test(&s->x, false, ra, ra);
	else if (t1_is_const(s, b))
		x86_alu_imm(&s->x, false, ALU_CMP, ra, (int32_t)t1_const(s, b));
	else if (a != b && t1_in_memory(s, b, &m))
		x86_alu_load(&s->x, false, ALU_CMP, ra, m);
	else
		x86_alu(&s->x, false, ALU_CMP, ra, t1_use(s, b));
	return cc;
}

/* Sets OF; gives the register that holds the sum, which is nobody's. */
static int emit_overflow(struct tier1 *s, const struct ir_ins *ins)
{
	enum x86_alu op = ins->op == IR_ADDOV ? ALU_ADD : ALU_SUB;
	int t = t1_scratch(s);
	t1_load_into(s, t, ins->arg[0]);
	if (t1_is_const(s, ins->arg[1]))
		x86_alu_imm(&s->x, false, op, t, (int32_t)t1_const(s, ins->arg[1]));
	else
		x86_alu(&s->x, false, op, t, t1_use(s, ins->arg[1]));
	return t;
}

enum x86_cc t1_emit_cond(struct tier1 *s, ir_ref v)
{
	const struct ir_ins *ins = &s->b->ins[v];
	if (s->v[v].loc != T1_FUSED) {
		int r = t1_use(s, v);
		x86_test(&s->x, false, r, r);
		return CC_NE;
	}
	if (ins->op != IR_ADDOV && ins->op != IR_SUBOV)
		return emit_compare(s, ins);
	emit_overflow(s, ins);
	return CC_O;
}

static void emit_set(struct tier1 *s, enum x86_cc cc)
{
	int d = t1_dst(s, IR_NONE, NO_REG);
	x86_setcc(&s->x, cc, d);
	t1_bind(s, d);
}

#define COMPARE(name)                                                                                                  \
	void t1_emit_##name(struct tier1 *s, const struct ir_ins *ins) { emit_set(s, emit_compare(s, ins)); }
COMPARE(EQ)
COMPARE(NE)
COMPARE(LTS)
COMPARE(LTU)

static void emit_set_overflow(struct tier1 *s, const struct ir_ins *ins)
{
	emit_overflow(s, ins);
	emit_set(s, CC_O);
}
void t1_emit_ADDOV(struct tier1 *s, const struct ir_ins *ins) { emit_set_overflow(s, ins); }
void t1_emit_SUBOV(struct tier1 *s, const struct ir_ins *ins) { emit_set_overflow(s, ins); }

/* At most two registers of a fused compare, b, c and the result: all five. */
static void emit_select(struct tier1 *s, const struct ir_ins *ins, bool w)
{
	ir_ref b = ins->arg[1], c = ins->arg[2];
	int rb = t1_use(s, b), rc = t1_use(s, c);
	enum x86_cc cc = t1_emit_cond(s, ins->arg[0]);
	int d = t1_dst(s, b == c ? IR_NONE : c, rc); /* no instruction of it changes the flags */
	if (d == rb) {
		x86_cmov(&s->x, w, cc ^ 1, d, rc);
	} else {
		mov_if(s, w, d, rc);
		x86_cmov(&s->x, w, cc, d, rb);
	}
	t1_bind(s, d);
}
void t1_emit_SELECT(struct tier1 *s, const struct ir_ins *ins) { emit_select(s, ins, false); }
void t1_emit_SELECT64(struct tier1 *s, const struct ir_ins *ins) { emit_select(s, ins, true); }

/* ---- between words and doublewords. Results of type D are never hinted to a guest register ---- */
static void emit_multiply_wide(struct tier1 *s, const struct ir_ins *ins, bool sign)
{
	ir_ref a = ins->arg[0];
	int ra = t1_use(s, a), rb = t1_use(s, ins->arg[1]);
	if (sign) {
		int t = t1_scratch(s);
		x86_movsxd(&s->x, t, rb);
		rb = t;
	}
	int d = t1_dst(s, a, ra);
	if (sign)
		x86_movsxd(&s->x, d, ra);
	else
		mov_if(s, true, d, ra);
	x86_imul(&s->x, true, d, rb);
	t1_bind(s, d);
}
void t1_emit_MULS64(struct tier1 *s, const struct ir_ins *ins) { emit_multiply_wide(s, ins, true); }
void t1_emit_MULU64(struct tier1 *s, const struct ir_ins *ins) { emit_multiply_wide(s, ins, false); }

void t1_emit_SEXT64(struct tier1 *s, const struct ir_ins *ins)
{
	ir_ref a = ins->arg[0];
	int ra = t1_use(s, a), d = t1_dst(s, a, ra);
	x86_movsxd(&s->x, d, ra);
	t1_bind(s, d);
}

static void emit_low_half(struct tier1 *s, const struct ir_ins *ins)
{
	ir_ref a = ins->arg[0];
	int ra = t1_use(s, a), d = t1_dst(s, a, ra);
	x86_mov(&s->x, false, d, ra);
	t1_bind(s, d);
}
void t1_emit_ZEXT64(struct tier1 *s, const struct ir_ins *ins) { emit_low_half(s, ins); }
void t1_emit_LO32(struct tier1 *s, const struct ir_ins *ins) { emit_low_half(s, ins); }

void t1_emit_HI32(struct tier1 *s, const struct ir_ins *ins)
{
	int d = copy_a(s, ins, true);
	x86_shift_imm(&s->x, true, SH_SHR, d, 32);
	t1_bind(s, d);
}

void t1_emit_PAIR64(struct tier1 *s, const struct ir_ins *ins)
{
	ir_ref hi = ins->arg[0], lo = ins->arg[1];
	int ra = t1_use(s, hi), rb = t1_use(s, lo), d = t1_dst(s, hi == lo ? IR_NONE : hi, ra);
	mov_if(s, true, d, ra);
	x86_shift_imm(&s->x, true, SH_SHL, d, 32);
	x86_alu(&s->x, true, ALU_OR, d, rb);
	t1_bind(s, d);
}

/* ---- markers, constants, guest state ---- */
void t1_emit_INSN(struct tier1 *s, const struct ir_ins *ins)
{
	s->insn = (uint32_t)ins->imm;
	const struct ir_guest_insn *g = &s->b->guest[s->insn];
	uint32_t host = (uint32_t)(s->x.p - s->x.start);

	translation_insns(s->t)[s->n_map++] = (struct jit_insn){.bytes = (uint16_t)(host - s->map_host),
								.off4 = (uint16_t)(g->off / 4) & 0x7fffu,
								.bd = g->bd,
								.word = g->word};
	s->map_host = host;
}

void t1_emit_CONST(struct tier1 *s, const struct ir_ins *ins) { s->v[s->i].loc = T1_CONST; }
void t1_emit_CONST64(struct tier1 *s, const struct ir_ins *ins) { s->v[s->i].loc = T1_CONST; }

static void emit_pc_value(struct tier1 *s, struct ir_target t)
{
	int d = t1_dst(s, IR_NONE, NO_REG);
	emit_target_pc(&s->x, d, t);
	t1_bind(s, d);
}
void t1_emit_PCREL(struct tier1 *s, const struct ir_ins *ins)
{
	emit_pc_value(s, (struct ir_target){TGT_PAGE, ins->imm});
}
void t1_emit_PCREGION(struct tier1 *s, const struct ir_ins *ins)
{
	emit_pc_value(s, (struct ir_target){TGT_REGION, ins->imm});
}

void t1_emit_GETREG(struct tier1 *s, const struct ir_ins *ins)
{
	struct t1_value *v = &s->v[s->i];
	unsigned g = (unsigned)ins->imm;
	v->reg = s->pin[g];
	v->loc = v->reg == NO_REG ? T1_HOME : T1_PIN;
	t1_add_alias(s, (ir_ref)s->i, g);
}

void t1_emit_SETREG(struct tier1 *s, const struct ir_ins *ins)
{
	ir_ref a = ins->arg[0];
	unsigned g = (unsigned)ins->imm;
	struct t1_value *v = &s->v[a];
	int pin = s->pin[g];
	if (v->loc == T1_PIN && v->reg == pin)
		return; /* computed in place, or unchanged */
	t1_break_aliases(s, g);
	if (pin == NO_REG && t1_is_const(s, a)) {
		x86_store_imm(&s->x, false, x86_gs(GS_REG(g)), (uint32_t)t1_const(s, a));
		return;
	}
	if (pin == NO_REG) {
		x86_store(&s->x, true, x86_gs(GS_REG(g)), t1_use(s, a));
		if (v->loc == T1_REG && !v->listed) {
			v->home_valid = true;
			t1_add_alias(s, a, g);
		}
		return;
	}
	t1_load_into(s, pin, a);
	if (v->loc == T1_REG && !v->listed && v->last > s->i) {
		s->owner[v->reg] = T1_FREE;
		v->loc = T1_PIN;
		v->reg = (int8_t)pin;
		t1_add_alias(s, a, g);
	}
}

static void emit_state_load(struct tier1 *s, const struct ir_ins *ins, bool w)
{
	if (t1_xmm_wanted(s, s->i)) {
		int xmm = t1_xmm_scratch(s);
		x86_sse_load(&s->x, w, xmm, x86_gs((size_t)ins->imm));
		t1_xmm_bind(s, xmm);
		return;
	}
	int d = t1_dst(s, IR_NONE, NO_REG);
	x86_load(&s->x, w, d, x86_gs((size_t)ins->imm));
	t1_bind(s, d);
}
void t1_emit_LDS32(struct tier1 *s, const struct ir_ins *ins) { emit_state_load(s, ins, false); }
void t1_emit_LDS64(struct tier1 *s, const struct ir_ins *ins) { emit_state_load(s, ins, true); }

static void emit_state_store(struct tier1 *s, const struct ir_ins *ins, bool w)
{
	ir_ref a = ins->arg[0];
	if (s->v[a].loc == T1_XMM)
		x86_sse_store(&s->x, w, x86_gs((size_t)ins->imm), s->v[a].reg);
	else if (is_imm(s, w, a))
		x86_store_imm(&s->x, w, x86_gs((size_t)ins->imm), (uint32_t)t1_const(s, a));
	else
		x86_store(&s->x, w, x86_gs((size_t)ins->imm), t1_use(s, a));
}
void t1_emit_STS32(struct tier1 *s, const struct ir_ins *ins) { emit_state_store(s, ins, false); }
void t1_emit_STS64(struct tier1 *s, const struct ir_ins *ins) { emit_state_store(s, ins, true); }
