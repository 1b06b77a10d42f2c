/* SPDX-License-Identifier: MIT */
/* What equals what.  Each rule stands above its function; constants are on the right by the time they get here. */
#include "ir/fold.h"

#define ONES32 UINT64_C(0xffffffff)

static ir_ref op1(struct fold *f, enum ir_op op, ir_ref a) { return ir_fold_op(f, op, a, IR_NONE, IR_NONE); }
static ir_ref op2(struct fold *f, enum ir_op op, ir_ref a, ir_ref b) { return ir_fold_op(f, op, a, b, IR_NONE); }
static ir_ref const32(struct fold *f, uint64_t v) { return ir_fold_const(f, IR_TW, v); }

/* How many low bits a value can have set, as far as its definition says. */
static unsigned bits_of(const struct fold *f, ir_ref r)
{
	switch (f->out[r].op) {
	case IR_EQ:
	case IR_NE:
	case IR_LTS:
	case IR_LTU:
	case IR_ADDOV:
	case IR_SUBOV:
		return 1;
	case IR_ZEXT8:
	case IR_LOAD8U:
		return 8;
	case IR_ZEXT16:
	case IR_LOAD16U:
		return 16;
	case IR_CLZ:
		return 6;
	default:
		return 32;
	}
}

/* How many low bits determine a value by sign extension. */
static unsigned signed_bits_of(const struct fold *f, ir_ref r)
{
	unsigned op = f->out[r].op, bits = bits_of(f, r);

	if (op == IR_SEXT8 || op == IR_LOAD8S)
		return 8;
	if (op == IR_SEXT16 || op == IR_LOAD16S)
		return 16;
	return bits < 32 ? bits + 1 : 32;
}

/*
 * ext(x) = x                          where x has that form already
 * ext8(ext8'(x)) = ext8(x)            and any narrow of a wider one: the inner one is not seen
 * ext8(x & mask) = ext8(x)            where mask keeps the low bits
 */
static ir_ref fold_extend(struct fold *f, enum ir_op op, ir_ref a)
{
	unsigned width = op == IR_SEXT8 || op == IR_ZEXT8 ? 8 : 16;
	bool sign = op == IR_SEXT8 || op == IR_SEXT16;
	uint64_t low = ((uint64_t)1 << width) - 1, k;
	struct ir_ins in = f->out[a];

	if ((sign ? signed_bits_of(f, a) : bits_of(f, a)) <= width)
		return a;
	if (in.op == IR_SEXT16 || in.op == IR_ZEXT16 || ((in.op == IR_SEXT8 || in.op == IR_ZEXT8) && width == 8))
		return op1(f, op, in.arg[0]);
	if (in.op == IR_AND && fold_is_const(f, in.arg[1], &k) && (k & low) == low)
		return op1(f, op, in.arg[0]);
	return IR_NONE;
}

/* lo/hi(pair(a, b)) = b/a ; lo(ext64(x)) = x ; hi(zext64(x)) = 0 ; hi(sext64(x)) = x >> 31 */
static ir_ref fold_half(struct fold *f, enum ir_op op, ir_ref a)
{
	struct ir_ins in = f->out[a];

	if (in.op == IR_PAIR64)
		return in.arg[op == IR_LO32];
	if (op == IR_LO32)
		return in.op == IR_ZEXT64 || in.op == IR_SEXT64 ? in.arg[0] : IR_NONE;
	if (in.op == IR_ZEXT64)
		return const32(f, 0);
	if (in.op == IR_SEXT64 && fold_has_room(f))
		return op2(f, IR_SAR, in.arg[0], const32(f, 31));
	return IR_NONE;
}

/* not(not(x)) = x ; bswap(bswap(x)) = x ; sext64(x) = zext64(x) where bit 31 is clear */
ir_ref ir_fold_unary(struct fold *f, enum ir_op op, ir_ref a)
{
	switch (op) {
	case IR_NOT:
	case IR_BSWAP:
		return f->out[a].op == op ? f->out[a].arg[0] : IR_NONE;
	case IR_SEXT8:
	case IR_SEXT16:
	case IR_ZEXT8:
	case IR_ZEXT16:
		return fold_extend(f, op, a);
	case IR_LO32:
	case IR_HI32:
		return fold_half(f, op, a);
	case IR_SEXT64:
		return bits_of(f, a) < 32 ? op1(f, IR_ZEXT64, a) : IR_NONE;
	default:
		return IR_NONE;
	}
}

/* x op x */
static ir_ref fold_same(struct fold *f, enum ir_op op, ir_ref a)
{
	switch (op) {
	case IR_AND:
	case IR_OR:
	case IR_AND64:
	case IR_OR64:
		return a;
	case IR_SUB:
	case IR_XOR:
	case IR_NE:
	case IR_LTS:
	case IR_LTU:
	case IR_SUBOV:
		return const32(f, 0);
	case IR_EQ:
		return const32(f, 1);
	case IR_SUB64:
	case IR_XOR64:
		return ir_fold_const(f, IR_TD, 0);
	default:
		return IR_NONE;
	}
}

/* x op 0, for both widths; the shifts also for any multiple of the width. */
static ir_ref fold_zero(struct fold *f, enum ir_op op, ir_ref a)
{
	switch (op) {
	case IR_ADD:
	case IR_SUB:
	case IR_OR:
	case IR_XOR:
	case IR_SHL:
	case IR_SHR:
	case IR_SAR:
	case IR_ROTR:
	case IR_ADD64:
	case IR_SUB64:
	case IR_OR64:
	case IR_XOR64:
	case IR_SHL64:
	case IR_SHR64:
	case IR_REMU: /* by 0: a */
	case IR_REMS:
		return a;
	case IR_MUL:
	case IR_AND:
	case IR_ADDOV:
	case IR_SUBOV:
	case IR_LTU: /* nothing is below 0 */
		return const32(f, 0);
	case IR_DIVU:
		return const32(f, ONES32);
	case IR_AND64:
	case IR_MULS64:
	case IR_MULU64:
		return ir_fold_const(f, IR_TD, 0);
	case IR_NE: /* a boolean is its own != 0 */
		return bits_of(f, a) == 1 ? a : IR_NONE;
	default:
		return IR_NONE;
	}
}

/*
 * (x op c1) op c2 = x op (c1 op c2)
 *
 * Not where a guest register holds the inner value: it stays anyway, and x would have to live longer beside it.
 * That is every function's prologue: sp - 32 into sp, then stores off sp.
 */
static ir_ref fold_chain(struct fold *f, enum ir_op op, ir_ref a, uint64_t k)
{
	struct ir_ins in = f->out[a];
	uint64_t inner;

	if (in.op != op || f->kept[a] || !fold_is_const(f, in.arg[1], &inner) || !fold_has_room(f))
		return IR_NONE;
	return op2(f, op, in.arg[0], const32(f, ir_eval(op, inner, k, 0, 0)));
}

/* x & 0xffffffff = x ; x & 0xff = zext8(x) ; x & 0xffff = zext16(x) ; and nothing where x has no more bits */
static ir_ref fold_and(struct fold *f, ir_ref a, uint64_t k)
{
	unsigned bits = bits_of(f, a);

	if (k == ONES32 || (bits < 32 && (k & ((1u << bits) - 1)) == (1u << bits) - 1))
		return a;
	if (k == 0xff)
		return op1(f, IR_ZEXT8, a);
	if (k == 0xffff)
		return op1(f, IR_ZEXT16, a);
	return fold_chain(f, IR_AND, a, k);
}

/* (x << n) >> n = ext(x) for n = 16, 24: how MIPS32 release 1 extends. */
static ir_ref fold_right(struct fold *f, enum ir_op op, ir_ref a, uint64_t k)
{
	struct ir_ins in = f->out[a];
	uint64_t left;

	k &= 31;
	if ((k != 16 && k != 24) || in.op != IR_SHL || !fold_is_const(f, in.arg[1], &left) || (left & 31) != k)
		return IR_NONE;
	if (k == 24)
		return op1(f, op == IR_SAR ? IR_SEXT8 : IR_ZEXT8, in.arg[0]);
	return op1(f, op == IR_SAR ? IR_SEXT16 : IR_ZEXT16, in.arg[0]);
}

/* (x == y) == 0 is x != y, and the other way round. */
static ir_ref fold_is_zero(struct fold *f, ir_ref a)
{
	struct ir_ins in = f->out[a];

	if (in.op != IR_EQ && in.op != IR_NE)
		return IR_NONE;
	return op2(f, in.op == IR_EQ ? IR_NE : IR_EQ, in.arg[0], in.arg[1]);
}

/* The rest with a constant on the right, which is not 0 (nor a whole turn, for shifts). */
static ir_ref fold_const_right(struct fold *f, enum ir_op op, ir_ref a, uint64_t k)
{
	switch (op) {
	case IR_ADD:
		return fold_chain(f, op, a, k);
	case IR_SUB: /* one form for both, so that chains meet */
		return fold_has_room(f) ? op2(f, IR_ADD, a, const32(f, 0 - k)) : IR_NONE;
	case IR_AND:
		return fold_and(f, a, k);
	case IR_OR:
		return k == ONES32 ? const32(f, k) : fold_chain(f, op, a, k);
	case IR_XOR:
		return k == ONES32 ? op1(f, IR_NOT, a) : fold_chain(f, op, a, k);
	case IR_MUL:
	case IR_DIVU:
	case IR_DIVS:
		return k == 1 ? a : IR_NONE;
	case IR_REMU:
		return k == 1 ? const32(f, 0) : IR_NONE;
	case IR_SHR:
	case IR_SAR:
		return fold_right(f, op, a, k);
	case IR_LTU: /* x < 1 is x == 0: sltiu d, s, 1 */
		return k == 1 && fold_has_room(f) ? op2(f, IR_EQ, a, const32(f, 0)) : IR_NONE;
	case IR_AND64:
		return k == UINT64_MAX ? a : IR_NONE;
	case IR_OR64:
		return k == UINT64_MAX ? ir_fold_const(f, IR_TD, k) : IR_NONE;
	default:
		return IR_NONE;
	}
}

/* 0 op x where the constant cannot move to the right */
static ir_ref fold_zero_left(struct fold *f, enum ir_op op, ir_ref b)
{
	switch (op) {
	case IR_SHL:
	case IR_SHR:
	case IR_SAR:
	case IR_ROTR:
		return const32(f, 0);
	case IR_SHL64:
	case IR_SHR64:
		return ir_fold_const(f, IR_TD, 0);
	case IR_LTU: /* sltu d, $zero, s */
		return fold_has_room(f) ? op2(f, IR_NE, b, const32(f, 0)) : IR_NONE;
	case IR_PAIR64:
		return op1(f, IR_ZEXT64, b);
	default:
		return IR_NONE;
	}
}

/* pair(hi(x), lo(x)) = x */
static ir_ref fold_pair(struct fold *f, ir_ref a, ir_ref b)
{
	struct ir_ins hi = f->out[a], lo = f->out[b];

	return hi.op == IR_HI32 && lo.op == IR_LO32 && hi.arg[0] == lo.arg[0] ? hi.arg[0] : IR_NONE;
}

static uint64_t shift_mask(enum ir_op op)
{
	switch (op) {
	case IR_SHL:
	case IR_SHR:
	case IR_SAR:
	case IR_ROTR:
		return 31;
	case IR_SHL64:
	case IR_SHR64:
		return 63;
	default:
		return UINT64_MAX;
	}
}

ir_ref ir_fold_binary(struct fold *f, enum ir_op op, ir_ref a, ir_ref b, const uint64_t *kb)
{
	uint64_t k;
	ir_ref r = IR_NONE;

	if (a == b)
		return fold_same(f, op, a);
	if (op == IR_PAIR64 && (r = fold_pair(f, a, b)) != IR_NONE)
		return r;
	if (!kb)
		return fold_is_const(f, a, &k) && k == 0 ? fold_zero_left(f, op, b) : IR_NONE;
	k = *kb & shift_mask(op);
	if (k != 0)
		return fold_const_right(f, op, a, k);
	if (op == IR_EQ)
		return fold_is_zero(f, a);
	return fold_zero(f, op, a);
}

/*
 * const ? b : c ; a ? x : x = x ; (a != 0) ? b : c = a ? b : c ; (a == 0) ? b : c = a ? c : b
 * a ? 1 : 0 = a                       where a is a boolean
 */
ir_ref ir_fold_select(struct fold *f, enum ir_op op, ir_ref a, ir_ref b, ir_ref c)
{
	uint64_t k, kc;
	ir_ref cond = fold_truth(f, a);

	if (fold_is_const(f, a, &k))
		return k ? b : c;
	if (b == c)
		return b;
	if (cond != a)
		return ir_fold_op(f, op, cond, b, c);
	if (fold_is_not(f, a))
		return ir_fold_op(f, op, f->out[a].arg[0], c, b);
	if (op == IR_SELECT && bits_of(f, a) == 1 && fold_is_const(f, b, &k) && k == 1 && fold_is_const(f, c, &kc) &&
	    kc == 0)
		return a;
	return IR_NONE;
}
