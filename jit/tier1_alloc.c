/* SPDX-License-Identifier: MIT */
/* Where the values of a block are.  Only rax rcx rdx r10 r11 are given out; pinned registers are read in place. */
#include "jit/tier1.h"
#include "jit/x86_sse.h"

static const int8_t scratch[] = {RAX, RCX, RDX, R10, R11};

void t1_alloc_init(struct tier1 *s)
{
	for (unsigned r = 0; r < ARRAY_LEN(s->owner); r++)
		s->owner[r] = s->xmm_owner[r] = T1_FREE;
	s->xmm_locked = 0;
	for (unsigned g = 0; g < NUM_REGS; g++) {
		s->alias[g] = IR_NONE;
		s->pin[g] = (int8_t)emit_pin_of(g);
	}
	s->locked = 0;
	s->n_slots = s->n_free_slots = 0;
}

static struct x86_mem slot_mem(unsigned slot) { return x86_at(RSP, (int32_t)(FRAME_SPILL + 8 * slot)); }
static struct x86_mem home_mem(unsigned guest) { return x86_gs(GS_REG(guest)); }

bool t1_is_const(const struct tier1 *s, ir_ref v) { return s->v[v].loc == T1_CONST; }

uint64_t t1_const(const struct tier1 *s, ir_ref v)
{
	const struct ir_ins *ins = &s->b->ins[v];
	return ins->op == IR_CONST ? (uint32_t)ins->imm : (uint64_t)ins->imm;
}

/* Out of its scratch register, to where it costs least. */
static void spill(struct tier1 *s, int reg)
{
	struct t1_value *v = &s->v[s->owner[reg]];
	s->owner[reg] = T1_FREE;
	if (v->home_valid) {
		v->loc = T1_HOME;
		return;
	}
	v->slot = s->n_free_slots ? s->free_slots[--s->n_free_slots] : s->n_slots++;
	v->loc = T1_SLOT;
	x86_store(&s->x, true, slot_mem(v->slot), reg);
}

static bool is_value(const struct tier1 *s, int reg) { return s->owner[reg] < T1_VALUES; }

/* A free scratch register: the value with the farthest last use goes. */
static int free_one(struct tier1 *s)
{
	int best = NO_REG;
	for (size_t k = 0; k < ARRAY_LEN(scratch); k++) {
		int r = scratch[k];
		if (s->owner[r] == T1_FREE)
			return r;
		if (is_value(s, r) && !(s->locked >> r & 1) &&
		    (best == NO_REG || s->v[s->owner[r]].last > s->v[s->owner[best]].last))
			best = r;
	}
	if (best == NO_REG)
		panic("tier 1 op %s needs more registers than there are", ir_op_info[s->b->ins[s->i].op].name);
	spill(s, best);
	return best;
}

int t1_scratch(struct tier1 *s)
{
	int r = free_one(s);
	s->owner[r] = T1_TEMP;
	return r;
}

void t1_claim(struct tier1 *s, int reg)
{
	uint16_t v = s->owner[reg];
	if (v != T1_FREE) {
		ASSERT(v != T1_TEMP);
		s->owner[reg] = T1_TEMP;
		int to = free_one(s);
		x86_mov(&s->x, true, to, reg);
		s->owner[to] = v;
		s->v[v].reg = (int8_t)to;
		if (s->locked >> reg & 1)
			s->locked |= 1u << to;
	}
	s->owner[reg] = T1_TEMP;
}

void t1_load_into(struct tier1 *s, int reg, ir_ref v)
{
	const struct t1_value *val = &s->v[v];
	switch ((enum t1_loc)val->loc) {
	case T1_CONST:
		x86_mov_imm(&s->x, reg, t1_const(s, v));
		return;
	case T1_PIN:
	case T1_REG:
		if (val->reg != reg)
			x86_mov(&s->x, true, reg, val->reg);
		return;
	case T1_SLOT:
		x86_load(&s->x, true, reg, slot_mem(val->slot));
		return;
	case T1_XMM:
		x86_sse_to_gpr(&s->x, true, reg, val->reg);
		return;
	case T1_HOME:
		x86_load(&s->x, false, reg, home_mem(val->guest));
		return;
	case T1_NONE:
	case T1_FUSED:
		break;
	}
	panic("tier 1: value %%%u is used where it is not", v);
}

/* v, now in scratch register reg, lives there. */
static void settle(struct tier1 *s, ir_ref v, int reg)
{
	struct t1_value *val = &s->v[v];
	if (val->loc == T1_SLOT)
		s->free_slots[s->n_free_slots++] = val->slot;
	val->home_valid = val->loc == T1_HOME;
	val->loc = T1_REG;
	val->reg = (int8_t)reg;
	s->owner[reg] = v;
}

int t1_use(struct tier1 *s, ir_ref v)
{
	struct t1_value *val = &s->v[v];
	if (val->loc == T1_PIN)
		return val->reg;
	int r = val->loc == T1_REG ? val->reg : t1_scratch(s);
	s->locked |= 1u << r;
	t1_load_into(s, r, v);
	if (val->loc == T1_SLOT || val->loc == T1_HOME)
		settle(s, v, r);
	return r;
}

bool t1_in_memory(const struct tier1 *s, ir_ref v, struct x86_mem *m)
{
	const struct t1_value *val = &s->v[v];
	if (val->last > s->i)
		return false;
	if (val->loc == T1_SLOT)
		*m = slot_mem(val->slot);
	else if (val->loc == T1_HOME)
		*m = home_mem(val->guest);
	else
		return false;
	return true;
}

int t1_dst(struct tier1 *s, ir_ref a, int ra)
{
	if (s->hint != NO_REG)
		return s->hint;
	if (a != IR_NONE && s->owner[ra] == T1_TEMP)
		return ra; /* a constant, loaded for this instruction */
	if (a != IR_NONE && s->v[a].loc == T1_REG && s->v[a].last <= s->i) {
		s->v[a].loc = T1_NONE;
		s->owner[ra] = T1_TEMP;
		return ra;
	}
	return t1_scratch(s);
}

void t1_bind(struct tier1 *s, int reg)
{
	struct t1_value *val = &s->v[s->i];
	val->reg = (int8_t)reg;
	val->home_valid = false;
	if (reg == s->hint) {
		/* emit_SETREG follows: the value is its guest register already */
		for (unsigned g = 1; g < NUM_REGS; g++)
			if (s->pin[g] == reg)
				t1_add_alias(s, (ir_ref)s->i, g);
		val->loc = T1_PIN;
		return;
	}
	val->loc = T1_REG;
	s->owner[reg] = (uint16_t)s->i;
}

void t1_bind_value(struct tier1 *s, ir_ref v, int reg)
{
	s->v[v].loc = T1_REG;
	s->v[v].reg = (int8_t)reg;
	s->owner[reg] = v;
	s->locked |= 1u << reg;
}

void t1_note_windows(struct tier1 *s, struct t1_late *l)
{
	for (unsigned k = 0; k < s->windows.n; k++) {
		const struct t1_value *v = &s->v[T1_WINDOW(k)];
		if (v->last <= s->i || (v->loc != T1_REG && v->loc != T1_SLOT))
			continue;
		ASSERT(l->n_windows < WINDOW_LIVE);
		l->window[l->n_windows++] = (int16_t)(v->loc == T1_REG ? v->reg : ~v->slot);
	}
}

void t1_forget_windows(struct tier1 *s, const struct t1_late *l)
{
	for (unsigned k = 0; k < l->n_windows; k++) {
		int at = l->window[k];
		if (at >= 0)
			x86_alu(&s->x, false, ALU_XOR, at, at);
		else
			x86_store_imm(&s->x, true, slot_mem((unsigned)~at), 0);
	}
}

void t1_add_alias(struct tier1 *s, ir_ref v, unsigned guest)
{
	struct t1_value *val = &s->v[v];
	ASSERT(!val->listed);
	val->guest = (uint8_t)guest;
	val->listed = true;
	val->next_alias = s->alias[guest];
	s->alias[guest] = v;
}

void t1_break_aliases(struct tier1 *s, unsigned guest)
{
	ir_ref next;
	for (ir_ref v = s->alias[guest]; v != IR_NONE; v = next) {
		struct t1_value *val = &s->v[v];
		next = val->next_alias;
		val->listed = false;
		if (val->last > s->i && (val->loc == T1_PIN || val->loc == T1_HOME)) {
			int r = free_one(s);
			t1_load_into(s, r, v);
			settle(s, v, r);
			val->home_valid = false;
		} else if (val->loc == T1_REG) {
			val->home_valid = false;
		} else if (val->loc == T1_HOME || val->loc == T1_PIN) {
			val->next_alias = IR_NONE; /* read by this instruction for the last time */
		}
	}
	s->alias[guest] = IR_NONE;
}

void t1_release(struct tier1 *s, ir_ref v)
{
	struct t1_value *val = &s->v[v];
	if (val->loc == T1_REG)
		s->owner[val->reg] = T1_FREE;
	else if (val->loc == T1_XMM)
		s->xmm_owner[val->reg] = T1_FREE;
	else if (val->loc == T1_SLOT)
		s->free_slots[s->n_free_slots++] = val->slot;
	if (val->loc != T1_CONST)
		val->loc = T1_NONE;
}

static void spill_xmm(struct tier1 *s, int reg)
{
	struct t1_value *v = &s->v[s->xmm_owner[reg]];
	s->xmm_owner[reg] = T1_FREE;
	v->slot = s->n_free_slots ? s->free_slots[--s->n_free_slots] : s->n_slots++;
	v->loc = T1_SLOT;
	x86_sse_store(&s->x, true, slot_mem(v->slot), reg);
}

void t1_spill_all(struct tier1 *s)
{
	for (size_t k = 0; k < ARRAY_LEN(scratch); k++)
		if (is_value(s, scratch[k]) && s->v[s->owner[scratch[k]]].last > s->i)
			spill(s, scratch[k]);
	for (int r = 0; r < (int)ARRAY_LEN(s->xmm_owner); r++)
		if (t1_xmm_live(s) >> r & 1)
			spill_xmm(s, r);
}

int t1_xmm_scratch(struct tier1 *s)
{
	int best = NO_REG;
	for (int r = 0; r < (int)ARRAY_LEN(s->xmm_owner); r++) {
		uint16_t v = s->xmm_owner[r];
		if (v == T1_FREE) {
			s->xmm_owner[r] = T1_TEMP;
			return r;
		}
		if (v != T1_TEMP && !(s->xmm_locked >> r & 1) &&
		    (best == NO_REG || s->v[v].last > s->v[s->xmm_owner[best]].last))
			best = r;
	}
	if (best == NO_REG)
		panic("tier 1: no xmm register left");
	spill_xmm(s, best);
	s->xmm_owner[best] = T1_TEMP;
	return best;
}

static void xmm_const(struct tier1 *s, int reg, uint64_t k)
{
	if (!k) {
		x86_sse_zero(&s->x, reg);
		return;
	}
	int r = t1_scratch(s);
	x86_mov_imm(&s->x, r, k);
	x86_sse_from_gpr(&s->x, true, reg, r);
}

int t1_xmm_use(struct tier1 *s, ir_ref v)
{
	struct t1_value *val = &s->v[v];
	if (val->loc == T1_XMM) {
		s->xmm_locked |= 1u << val->reg;
		return val->reg;
	}
	int d = t1_xmm_scratch(s);
	bool moves = (val->loc == T1_REG && !val->listed) || val->loc == T1_SLOT;
	if (val->loc == T1_CONST)
		xmm_const(s, d, t1_const(s, v));
	else if (val->loc == T1_SLOT)
		x86_sse_load(&s->x, true, d, slot_mem(val->slot));
	else if (val->loc == T1_HOME)
		x86_sse_load(&s->x, false, d, home_mem(val->guest));
	else
		x86_sse_from_gpr(&s->x, true, d, val->reg);
	if (moves) {
		t1_release(s, v);
		val->loc = T1_XMM;
		val->reg = (int8_t)d;
		val->home_valid = false;
		s->xmm_owner[d] = v;
		s->xmm_locked |= 1u << d;
	}
	return d;
}

void t1_xmm_bind(struct tier1 *s, int reg)
{
	struct t1_value *val = &s->v[s->i];
	val->loc = T1_XMM;
	val->reg = (int8_t)reg;
	val->home_valid = false;
	s->xmm_owner[reg] = (uint16_t)s->i;
}

uint16_t t1_xmm_live(const struct tier1 *s)
{
	uint16_t live = 0;
	for (unsigned r = 0; r < ARRAY_LEN(s->xmm_owner); r++) {
		uint16_t v = s->xmm_owner[r];
		if (v < IR_MAX_INS && s->v[v].last > s->i)
			live |= (uint16_t)(1u << r);
	}
	return live;
}

static void release_dead(struct tier1 *s, ir_ref v)
{
	if (v != IR_NONE && s->v[v].last <= s->i)
		t1_release(s, v);
}

void t1_end_ins(struct tier1 *s)
{
	const struct ir_ins *ins = &s->b->ins[s->i];
	for (unsigned k = 0; k < 3; k++) {
		ir_ref v = ins->arg[k];
		if (v != IR_NONE && s->v[v].loc == T1_FUSED)
			for (unsigned m = 0; m < 2; m++)
				release_dead(s, s->b->ins[v].arg[m]);
		release_dead(s, v);
	}
	release_dead(s, (ir_ref)s->i);
	if (s->i < s->b->n_ins && s->windows.of[s->i])
		release_dead(s, T1_WINDOW(s->windows.of[s->i] - 1));
	for (size_t k = 0; k < ARRAY_LEN(scratch); k++)
		if (s->owner[scratch[k]] == T1_TEMP)
			s->owner[scratch[k]] = T1_FREE;
	for (size_t r = 0; r < ARRAY_LEN(s->xmm_owner); r++)
		if (s->xmm_owner[r] == T1_TEMP)
			s->xmm_owner[r] = T1_FREE;
	s->locked = s->xmm_locked = 0;
}
