/* SPDX-License-Identifier: MIT */
/*
 * Constants, identities and common subexpressions.  The block is rebuilt in order: every instruction is simplified
 * over values that are simplified already, and becomes an earlier value, a constant, or a (smaller) instruction.
 * Constants that a rule needs are put in front of their first use, which is why the values are renumbered.
 */
#include <string.h>

#include "ir/fold.h"

static ir_ref append(struct fold *f, const struct ir_ins *ins)
{
	f->out[f->n] = *ins;
	return (ir_ref)f->n++;
}

static uint32_t hash(const struct ir_ins *ins)
{
	uint64_t h =
	    (uint64_t)ins->op | (uint64_t)ins->arg[0] << 8 | (uint64_t)ins->arg[1] << 24 | (uint64_t)ins->arg[2] << 40;

	h = (h ^ (uint64_t)ins->imm * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
	return (uint32_t)(h >> 32) % CSE_SLOTS;
}

static bool same(const struct ir_ins *x, const struct ir_ins *y)
{
	return x->op == y->op && x->imm == y->imm && !memcmp(x->arg, y->arg, sizeof(x->arg));
}

/* An invariant instruction: the one that computed the same before, or a new one. */
static ir_ref intern(struct fold *f, const struct ir_ins *ins)
{
	ir_ref *slot = &f->cse[hash(ins)];

	if (*slot && same(&f->out[*slot - 1], ins))
		return (ir_ref)(*slot - 1);
	*slot = (ir_ref)(f->n + 1);
	return append(f, ins);
}

ir_ref ir_fold_const(struct fold *f, enum ir_type type, uint64_t v)
{
	struct ir_ins ins = {.op = type == IR_TD ? IR_CONST64 : IR_CONST, .arg = {IR_NONE, IR_NONE, IR_NONE}};

	ins.imm = (int64_t)(type == IR_TD ? v : (uint32_t)v);
	return intern(f, &ins);
}

static bool is_commutative(unsigned op)
{
	switch (op) {
	case IR_ADD:
	case IR_MUL:
	case IR_AND:
	case IR_OR:
	case IR_XOR:
	case IR_ADDOV:
	case IR_EQ:
	case IR_NE:
	case IR_ADD64:
	case IR_AND64:
	case IR_OR64:
	case IR_XOR64:
	case IR_MULS64:
	case IR_MULU64:
		return true;
	default:
		return false;
	}
}

/* A pure op. Every rule calls back here with something smaller, so the depth is bounded by the rules' chain. */
ir_ref ir_fold_op(struct fold *f, enum ir_op op, ir_ref a, ir_ref b, ir_ref c)
{
	struct ir_ins ins = {.op = (uint8_t)op, .arg = {a, b, c}};
	uint64_t k[3] = {0, 0, 0};
	bool ka = fold_is_const(f, a, &k[0]);
	bool kb = b == IR_NONE || fold_is_const(f, b, &k[1]);
	bool kc = c == IR_NONE || fold_is_const(f, c, &k[2]);
	ir_ref r;

	if (ka && kb && kc)
		return ir_fold_const(f, ir_op_info[op].result, ir_eval(op, k[0], k[1], k[2], 0));
	if (is_commutative(op) && (ka || (!kb && a > b))) {
		ins.arg[0] = b;
		ins.arg[1] = a;
		k[1] = k[0];
		kb = ka;
	}
	if (b == IR_NONE)
		r = ir_fold_unary(f, op, a);
	else if (c != IR_NONE)
		r = ir_fold_select(f, op, a, b, c);
	else
		r = ir_fold_binary(f, op, ins.arg[0], ins.arg[1], kb ? &k[1] : NULL);
	return r != IR_NONE ? r : intern(f, &ins);
}

static void visit(struct fold *f, uint32_t at)
{
	struct ir_ins ins = f->b->ins[at];
	uint64_t k;

	for (unsigned i = 0; i < 3; i++)
		if (ins.arg[i] != IR_NONE)
			ins.arg[i] = f->map[ins.arg[i]];
	if (ins.op == IR_RAISEIF || ins.op == IR_EXITIF) {
		ins.arg[0] = fold_truth(f, ins.arg[0]);
		if (!fold_is_const(f, ins.arg[0], &k) || k != 0)
			append(f, &ins);
		return;
	}
	if (ins.op == IR_SETREG)
		f->kept[ins.arg[0]] = 1;
	if (!ir_is_invariant(&ins))
		f->map[at] = append(f, &ins);
	else if (ins.arg[0] == IR_NONE || ins.op == IR_CALL)
		f->map[at] = intern(f, &ins);
	else
		f->map[at] = ir_fold_op(f, ins.op, ins.arg[0], ins.arg[1], ins.arg[2]);
}

static void visit_term(struct fold *f)
{
	struct ir_term *t = &f->b->term;
	uint64_t k;

	if (t->kind != TERM_BRANCH && t->kind != TERM_INDIRECT)
		return;
	t->cond = f->map[t->cond];
	if (t->kind == TERM_INDIRECT)
		return;
	t->cond = fold_truth(f, t->cond);
	if (t->hint == HINT_NONE && fold_is_not(f, t->cond)) { /* beq of a comparison with $zero */
		struct ir_target taken = t->target[0];

		t->cond = fold_truth(f, f->out[t->cond].arg[0]);
		t->target[0] = t->target[1];
		t->target[1] = taken;
	}
	if (!fold_is_const(f, t->cond, &k))
		return;
	t->kind = TERM_JUMP;
	if (k == 0) {
		t->target[0] = t->target[1];
		t->hint = HINT_NONE; /* a call that is not taken */
	}
	t->cond = IR_NONE;
}

void ir_pass_fold(struct ir_block *b)
{
	struct fold f = {.b = b, .left = b->n_ins};

	/* At most one constant more for each instruction; near the limit the rules that need one do not fire. */
	f.cap = b->n_ins * 2 < IR_MAX_INS ? b->n_ins * 2 + 2 : IR_MAX_INS;
	f.out = arena_new(b->arena, struct ir_ins, f.cap);
	f.kept = arena_alloc(b->arena, f.cap);
	f.map = arena_new(b->arena, ir_ref, b->n_ins + 1);
	for (uint32_t i = 0; i < b->n_ins; i++) {
		f.left--;
		if (!b->ins[i].dead)
			visit(&f, i);
	}
	visit_term(&f);
	b->ins = f.out;
	b->n_ins = f.n;
	b->cap_ins = f.cap;
}
