/* SPDX-License-Identifier: MIT */
#ifndef IR_FOLD_H
#define IR_FOLD_H

/* Between pass_fold.c (the walk) and fold_rules.c (what equals what). */
#include "ir/internal.h"

#define CSE_SLOTS 256u

struct fold {
	struct ir_block *b;
	struct ir_ins *out;
	uint32_t n, cap;
	uint32_t left;         /* instructions of the old block still to come: each needs room for one */
	ir_ref *map;           /* old value -> new value */
	uint8_t *kept;         /* [cap] by new value: a guest register holds it */
	ir_ref cse[CSE_SLOTS]; /* index into out + 1 of the last such instruction; a collision only loses a find */
};

/* May a rule make a constant and an instruction out of one?  Otherwise it makes one or the other. */
static inline bool fold_has_room(const struct fold *f) { return f->n + f->left + 1 < f->cap; }

static inline bool fold_is_const(const struct fold *f, ir_ref r, uint64_t *v)
{
	const struct ir_ins *ins = &f->out[r];

	*v = (uint64_t)ins->imm;
	return ins->op == IR_CONST || ins->op == IR_CONST64;
}

/* Is it op(x, 0)? */
static inline bool fold_is_zero_test(const struct fold *f, ir_ref r, enum ir_op op)
{
	uint64_t k;

	return f->out[r].op == op && fold_is_const(f, f->out[r].arg[1], &k) && k == 0;
}

/* Is it x == 0, for any x? */
static inline bool fold_is_not(const struct fold *f, ir_ref r) { return fold_is_zero_test(f, r, IR_EQ); }

/* x of x != 0: what only asks whether a value is zero need not make a 0 or 1 of it first. */
static inline ir_ref fold_truth(const struct fold *f, ir_ref cond)
{
	return fold_is_zero_test(f, cond, IR_NE) ? f->out[cond].arg[0] : cond;
}

ir_ref ir_fold_const(struct fold *f, enum ir_type type, uint64_t v);
/* A pure op with at least one operand, simplified. Unused operands are IR_NONE. */
ir_ref ir_fold_op(struct fold *f, enum ir_op op, ir_ref a, ir_ref b, ir_ref c);

/* The rules.  IR_NONE: none applies.  kb is the value of b where it is constant, else NULL. */
ir_ref ir_fold_unary(struct fold *f, enum ir_op op, ir_ref a);
ir_ref ir_fold_binary(struct fold *f, enum ir_op op, ir_ref a, ir_ref b, const uint64_t *kb);
ir_ref ir_fold_select(struct fold *f, enum ir_op op, ir_ref a, ir_ref b, ir_ref c);

#endif
