/* SPDX-License-Identifier: MIT */
/*
 * Keep track of what guest_state holds.  A GETREG or LDS of a known slot becomes the value itself; a SETREG or STS
 * that stores what is there already, or is overwritten before anybody can look, goes away.
 *
 * Who can look, and what stays known across whom: ir/README.md, "Precision".
 */
#include "ir/internal.h"

/* Fields of guest_state known at a time. Lifted FP code keeps a handful alive; the rest is found again by an LDS. */
#define KNOWN_FIELDS 8

struct field_value {
	uint32_t off;
	uint8_t bytes; /* 0: free */
	ir_ref value;
	ir_ref pending; /* the STS that nobody has been able to see yet, or IR_NONE */
};

struct regs {
	struct ir_block *b;
	ir_ref *map;              /* removed value -> what replaces it; else itself */
	ir_ref value[NUM_REGS];   /* of the register, or IR_NONE */
	ir_ref pending[NUM_REGS]; /* last SETREG, where the register's bit in unseen is set */
	uint64_t unseen;
	struct field_value field[KNOWN_FIELDS];
	unsigned next; /* field[] to evict */
};

_Static_assert(NUM_REGS <= 64, "struct regs.unseen has a bit for each register");

static void replace(struct regs *s, ir_ref at, ir_ref by)
{
	s->map[at] = by;
	s->b->ins[at].dead = 1;
}

static void visit_getreg(struct regs *s, ir_ref at, struct ir_ins *ins)
{
	ir_ref *value = &s->value[ins->imm];

	if (*value != IR_NONE)
		replace(s, at, *value);
	else
		*value = at;
}

static void visit_setreg(struct regs *s, ir_ref at, struct ir_ins *ins)
{
	uint64_t bit = (uint64_t)1 << ins->imm;

	if (s->value[ins->imm] == ins->arg[0]) {
		ins->dead = 1;
		return;
	}
	if (s->unseen & bit)
		s->b->ins[s->pending[ins->imm]].dead = 1;
	s->value[ins->imm] = ins->arg[0];
	s->pending[ins->imm] = at;
	s->unseen |= bit;
}

static bool overlaps(const struct field_value *f, uint32_t off, uint32_t bytes)
{
	return f->bytes && off < f->off + f->bytes && f->off < off + bytes;
}

static void remember(struct regs *s, uint32_t off, uint32_t bytes, ir_ref value, ir_ref pending)
{
	unsigned i = 0;

	while (i < KNOWN_FIELDS && s->field[i].bytes)
		i++;
	if (i == KNOWN_FIELDS) {
		i = s->next; /* its pending STS simply stays */
		s->next = (s->next + 1) % KNOWN_FIELDS;
	}
	s->field[i] = (struct field_value){.off = off, .bytes = (uint8_t)bytes, .value = value, .pending = pending};
}

static void visit_load(struct regs *s, ir_ref at, struct ir_ins *ins)
{
	uint32_t off = (uint32_t)ins->imm, bytes = ins->op == IR_LDS32 ? 4 : 8;

	for (unsigned i = 0; i < KNOWN_FIELDS; i++) {
		struct field_value *f = &s->field[i];

		if (!overlaps(f, off, bytes))
			continue;
		if (f->off == off && f->bytes == bytes) {
			replace(s, at, f->value);
			return;
		}
		if (f->bytes == 8) { /* half of a known doubleword: a single of an FR=0 pair */
			ins->op = off == f->off ? IR_LO32 : IR_HI32;
			ins->arg[0] = f->value;
			ins->imm = 0;
			return;
		}
		f->pending = IR_NONE; /* this LDS sees it */
	}
	remember(s, off, bytes, at, IR_NONE);
}

static void visit_store(struct regs *s, ir_ref at, struct ir_ins *ins)
{
	uint32_t off = (uint32_t)ins->imm, bytes = ins->op == IR_STS32 ? 4 : 8;

	for (unsigned i = 0; i < KNOWN_FIELDS; i++) {
		struct field_value *f = &s->field[i];

		if (!overlaps(f, off, bytes))
			continue;
		if (f->off == off && f->bytes == bytes && f->value == ins->arg[0]) {
			ins->dead = 1;
			return;
		}
	}
	for (unsigned i = 0; i < KNOWN_FIELDS; i++) {
		struct field_value *f = &s->field[i];

		if (!overlaps(f, off, bytes))
			continue;
		if (f->pending != IR_NONE && off <= f->off && f->off + f->bytes <= off + bytes)
			s->b->ins[f->pending].dead = 1;
		f->bytes = 0;
	}
	remember(s, off, bytes, ins->arg[0], at);
}

static bool is_fpr(uint32_t off)
{
	const uint32_t first = offsetof(struct guest_state, fpr);

	return off - first < sizeof(((struct guest_state *)0)->fpr);
}

/* May an observer of the effect change field f?  Calls any, memory ops all but FPRs, floating point FCSR. */
static bool may_change(uint8_t effect, const struct field_value *f)
{
	switch (effect) {
	case EFF_X:
		return false;
	case EFF_M:
		return !is_fpr(f->off);
	case EFF_F:
		return overlaps(f, offsetof(struct guest_state, fcr31), 4);
	default:
		return true;
	}
}

/* Everything stored so far can be seen here.  Registers are not changed by any. */
static void visit_observer(struct regs *s, const struct ir_ins *ins)
{
	s->unseen = 0;
	for (unsigned i = 0; i < KNOWN_FIELDS; i++) {
		struct field_value *f = &s->field[i];

		f->pending = IR_NONE;
		if (may_change(ir_op_info[ins->op].effect, f))
			f->bytes = 0;
	}
}

static void visit(struct regs *s, ir_ref at)
{
	struct ir_ins *ins = &s->b->ins[at];

	for (unsigned k = 0; k < 3; k++)
		if (ins->arg[k] != IR_NONE)
			ins->arg[k] = s->map[ins->arg[k]];
	switch (ins->op) {
	case IR_GETREG:
		visit_getreg(s, at, ins);
		return;
	case IR_SETREG:
		visit_setreg(s, at, ins);
		return;
	case IR_LDS32:
	case IR_LDS64:
		visit_load(s, at, ins);
		return;
	case IR_STS32:
	case IR_STS64:
		visit_store(s, at, ins);
		return;
	default:
		if (ir_is_observer(ins))
			visit_observer(s, ins);
	}
}

void ir_pass_regs(struct ir_block *b)
{
	struct regs s = {.b = b};

	s.map = arena_new(b->arena, ir_ref, b->n_ins + 1);
	for (unsigned i = 0; i < NUM_REGS; i++)
		s.value[i] = IR_NONE;
	for (uint32_t i = 0; i < b->n_ins; i++) {
		s.map[i] = (ir_ref)i;
		if (!b->ins[i].dead)
			visit(&s, (ir_ref)i);
	}
	if (b->term.kind == TERM_BRANCH || b->term.kind == TERM_INDIRECT)
		b->term.cond = s.map[b->term.cond];
}
