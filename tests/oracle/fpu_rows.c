/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "tests/oracle/fpu_case.h"

enum { FMT_S = 16, FMT_D = 17, FMT_W = 20, FMT_L = 21 };
enum { OP_SPECIAL = 0, OP_COP1 = 0x11, OP_COP1X = 0x13 };
enum {
	FN_ADD = 0,
	FN_SUB = 1,
	FN_MUL = 2,
	FN_DIV = 3,
	FN_SQRT = 4,
	FN_ROUND_L = 8,
	FN_FLOOR_W = 15,
	FN_RECIP = 21,
	FN_RSQRT = 22,
	FN_CVT_S = 32,
	FN_CVT_D = 33,
	FN_CVT_W = 36,
	FN_CVT_L = 37,
	FN_C = 48
};

static bool is_cop1_arithmetic(uint32_t match)
{
	switch (insn_function(match)) {
	case 6:         /* MOV */
	case 17 ... 19: /* MOVF, MOVT, MOVZ, MOVN */
		return false;
	default:
		return insn_fmt(match) >= FMT_S;
	}
}

bool fpu_row_tested(const struct insn *row)
{
	unsigned op = insn_opcode(row->match);

	if (!(row->flags & INSN_CP1) || row->flags & (INSN_BRANCH | INSN_ORACLE_NO) || insn_id(row) == INSN_ID_CTC1)
		return false;
	return op == OP_SPECIAL || op == OP_COP1 || (op == OP_COP1X && insn_function(row->match) >= 32);
}

bool fpu_row_arithmetic(const struct insn *row)
{
	return insn_opcode(row->match) == OP_COP1X ||
	       (insn_opcode(row->match) == OP_COP1 && is_cop1_arithmetic(row->match));
}

bool fpu_row_wide(const struct insn *row)
{
	if (insn_opcode(row->match) == OP_COP1X)
		return row->match & 1;
	return insn_fmt(row->match) == FMT_D || insn_fmt(row->match) == FMT_L;
}

bool fpu_row_float(const struct insn *row, bool *wide)
{
	unsigned fn = insn_function(row->match);

	*wide = fpu_row_wide(row);
	if (!fpu_row_arithmetic(row))
		return false;
	if (insn_opcode(row->match) == OP_COP1X)
		return true;
	if (fn == FN_CVT_S || fn == FN_CVT_D)
		*wide = fn == FN_CVT_D;
	return !(fn >= FN_ROUND_L && fn <= FN_FLOOR_W) && fn != FN_CVT_W && fn != FN_CVT_L && fn < FN_C;
}

uint32_t fpu_row_word(const struct insn *row, bool odd, uint64_t random)
{
	static const uint8_t control[] = {0, 25, 26, 28, 31};
	uint32_t o = odd, named = (8 + o) << 21 | (6 + o) << 16 | (4 + o) << 11 | (2 + o) << 6, fields = 0;
	uint32_t word = (uint32_t)random;

	for (unsigned shift = 6; shift <= 21; shift += 5)
		if (!(row->mask >> shift & 31))
			fields |= 31u << shift;
	if (insn_id(row) == INSN_ID_CFC1)
		named = (named & ~(31u << 11)) | (uint32_t)control[(random >> 32) % ARRAY_LEN(control)] << 11;
	word = (word & ~fields) | (named & fields);
	return (word & ~row->mask) | row->match;
}

static uint8_t fpr_bit(unsigned n) { return (uint8_t)(1u << (n - 2) / 2); }

void fpu_row_registers(const struct insn *row, bool all, struct fpu_program *p)
{
	uint32_t word = p->words[0];
	bool integer = insn_opcode(word) == OP_SPECIAL || (insn_opcode(word) == OP_COP1 && insn_fmt(word) < FMT_S);

	p->fpr_in = p->fpr_out = (1u << FPU_FPRS) - 1;
	p->gpr_in = p->gpr_out = (1u << FPU_GPRS) - 1;
	if (all)
		return;
	if (fpu_row_arithmetic(row))
		p->gpr_in = p->gpr_out = 0;
	if (integer)
		return;
	p->fpr_in = p->fpr_out =
	    insn_fmt(word) >= FMT_S && insn_opcode(word) == OP_COP1 && insn_function(row->match) >= FN_C
		? 0
		: fpr_bit(insn_fd(word));
	p->fpr_in |= fpr_bit(insn_fs(word));
	if (!(row->mask >> 16 & 31) && fpu_row_arithmetic(row))
		p->fpr_in |= fpr_bit(insn_ft(word));
	if (insn_opcode(word) == OP_COP1X)
		p->fpr_in |= fpr_bit(insn_fr(word));
}

uint64_t fpu_get(const struct fpu_regs *r, unsigned n, bool wide, bool fr)
{
	uint64_t v = r->fpr[(n - 2) / 2 % FPU_FPRS];

	return wide ? v : (uint32_t)(n & 1 && !fr ? v >> 32 : v);
}

void fpu_put(struct fpu_regs *r, unsigned n, bool wide, bool fr, uint64_t v)
{
	uint64_t *to = &r->fpr[(n - 2) / 2 % FPU_FPRS];
	unsigned shift = n & 1 && !fr ? 32 : 0;

	*to = wide ? v : (*to & ~(0xffffffffull << shift)) | (v & 0xffffffff) << shift;
}

/* ---- operands ---- */

struct format {
	unsigned fraction, bias, max; /* bits; max: exponent field of infinities */
};
static const struct format formats[2] = {{23, 127, 255}, {52, 1023, 2047}};

static uint64_t value(struct rng *r, bool wide) { return wide ? rng_double(r) : rng_single(r); }

static uint64_t assemble(const struct format *f, uint64_t sign, int64_t exponent, uint64_t fraction)
{
	if (exponent < 0)
		exponent = 0;
	if (exponent > f->max)
		exponent = f->max;
	return (sign & 1) << (f->fraction + (f->max > 255 ? 11 : 8)) | (uint64_t)exponent << f->fraction |
	       (fraction & ((1ull << f->fraction) - 1));
}

static int64_t exponent_of(const struct format *f, uint64_t v) { return (int64_t)(v >> f->fraction & f->max); }

/* A number whose fraction has only its upper n bits. */
static uint64_t short_number(struct rng *r, const struct format *f, int64_t exponent, unsigned n)
{
	uint64_t x = rng_next(r);

	return assemble(f, x >> 63, exponent, n >= f->fraction ? x : x << (f->fraction - n));
}

/* x * y of significands, the upper bits of the product as a fraction, cut; *carry: it is 2 or more. */
static uint64_t product(const struct format *f, uint64_t x, uint64_t y, unsigned y_bits, bool *carry)
{
	unsigned __int128 p = (unsigned __int128)x * y;
	unsigned shift = y_bits;

	*carry = p >> (f->fraction + y_bits + 1) & 1;
	if (*carry)
		shift++;
	return (uint64_t)(p >> shift) & ((1ull << f->fraction) - 1);
}

/* A quotient (or root) one bit longer than the format, odd: halfway between two numbers. */
static uint64_t halfway(struct rng *r, const struct format *f)
{
	return 1ull << (f->fraction + 1) | (rng_next(r) & ((2ull << f->fraction) - 1)) | 1;
}

static void near_quotient(struct rng *r, const struct format *f, uint64_t *a, uint64_t *b)
{
	uint64_t q = halfway(r, f);
	int64_t e = f->bias + (int64_t)rng_below(r, 40) - 20, eb = f->bias + (int64_t)rng_below(r, 40) - 20;
	bool carry;
	uint64_t fraction;

	*b = rng_one_in(r, 2) ? short_number(r, f, eb, 1 + rng_below(r, 8)) : short_number(r, f, eb, f->fraction);
	fraction = product(f, (*b & ((1ull << f->fraction) - 1)) | 1ull << f->fraction, q, f->fraction + 1, &carry);
	*a = assemble(f, rng_next(r), e + carry, fraction + rng_below(r, 3) - 1);
}

static uint64_t near_square(struct rng *r, const struct format *f)
{
	uint64_t q = halfway(r, f);
	int64_t e = f->bias + 2 * ((int64_t)rng_below(r, 40) - 20);
	unsigned __int128 p = (unsigned __int128)q * q;
	bool carry = p >> (2 * f->fraction + 3) & 1;

	return assemble(f, 0, e + carry, (uint64_t)(p >> (f->fraction + 2 + carry)) + rng_below(r, 3) - 1);
}

/* b so that a + b is cut near the middle of two numbers, or cancels. */
static uint64_t near_sum(struct rng *r, const struct format *f, uint64_t a)
{
	int64_t e = exponent_of(f, a);

	if (rng_one_in(r, 3)) /* -a, or nearly */
		return (a ^ 1ull << (f->fraction + (f->max > 255 ? 11 : 8))) + rng_below(r, 5) - 2;
	return short_number(r, f, e - (int64_t)f->fraction + (int64_t)rng_below(r, 6) - 4, rng_below(r, 4)) +
	       (rng_one_in(r, 3) ? 1 : 0);
}

/* Products that are halfway, some of them where results become denormal or too large. */
static void near_product(struct rng *r, const struct format *f, uint64_t *a, uint64_t *b)
{
	static const int8_t around[] = {0, 0, 1, -1};
	unsigned n = f->fraction / 2 + rng_below(r, 3);
	int64_t at[] = {2 * (int64_t)f->bias, f->bias, f->bias - (int64_t)f->fraction, (int64_t)f->bias + f->max};
	int64_t sum = at[rng_below(r, ARRAY_LEN(at))] + (int64_t)rng_below(r, 5) - 2;
	int64_t e = sum / 2 + (int64_t)rng_below(r, 60) - 30;

	*a = short_number(r, f, e, n) + (uint64_t)(int64_t)around[rng_below(r, 4)];
	*b = short_number(r, f, sum - e, f->fraction + 1 - n);
}

/* An integer and a half, give or take; or for a conversion to a single, half of its last bit. */
static uint64_t near_conversion(struct rng *r, const struct format *f, unsigned fn)
{
	unsigned whole = rng_below(r, f->fraction + 1);
	uint64_t x = rng_next(r), low;
	int64_t e = f->bias + (int64_t)whole;

	if (fn == FN_CVT_S) {
		e = (rng_one_in(r, 2) ? 873 : 1146) + rng_below(r, 30);
		whole = e < 897 ? 23 - (unsigned)(897 - e) : 23; /* bits that are kept */
		whole = whole > 23 ? 0 : whole;
	} else if (rng_one_in(r, 8)) { /* the integer's limits */
		e = f->bias + (rng_one_in(r, 2) ? 31 : 63) - (int64_t)rng_below(r, 2);
		return assemble(f, x, e, (x >> 8 & 1 ? 0 : ~0ull) + rng_below(r, 5) - 2);
	}
	low = (1ull << (f->fraction - whole)) >> 1;
	x = (x & ~(low | (low - (low != 0)))) | low;
	return assemble(f, rng_next(r), e, x + rng_below(r, 3) - 1);
}

static double as_double(uint64_t v)
{
	double d;

	memcpy(&d, &v, sizeof(d));
	return d;
}

static float as_single(uint64_t v)
{
	uint32_t w = (uint32_t)v;
	float s;

	memcpy(&s, &w, sizeof(s));
	return s;
}

/* Nearly -(a * b). */
static uint64_t against_product(struct rng *r, bool wide, uint64_t a, uint64_t b)
{
	uint64_t v = 0;
	double d = -(as_double(a) * as_double(b));
	float s = -(as_single(a) * as_single(b));

	if (wide)
		memcpy(&v, &d, sizeof(d));
	else
		memcpy(&v, &s, sizeof(s));
	return v + rng_below(r, 5) - 2;
}

static void related(struct rng *r, const struct insn *row, bool wide, uint64_t *a, uint64_t *b, uint64_t *c)
{
	const struct format *f = &formats[wide];
	unsigned fn = insn_function(row->match);

	if (insn_opcode(row->match) == OP_COP1X) {
		near_product(r, f, a, b);
		*c = rng_one_in(r, 2) ? against_product(r, wide, *a, *b)
				      : near_sum(r, f, against_product(r, wide, *a, *b));
	} else if (fn <= FN_SUB) {
		*b = near_sum(r, f, *a);
	} else if (fn == FN_MUL) {
		near_product(r, f, a, b);
	} else if (fn == FN_DIV) {
		near_quotient(r, f, a, b);
	} else if (fn == FN_SQRT || fn == FN_RSQRT) {
		*a = near_square(r, f);
	} else if (fn >= FN_C) {
		*b = rng_one_in(r, 2) ? *a : *a + rng_below(r, 5) - 2;
	} else if ((fn >= FN_ROUND_L && fn <= FN_FLOOR_W) || fn == FN_CVT_W || fn == FN_CVT_L ||
		   (fn == FN_CVT_S && wide)) {
		*a = near_conversion(r, f, fn);
	}
}

void fpu_random_operands(struct rng *r, const struct insn *row, uint32_t word, bool fr, struct fpu_regs *out)
{
	bool wide = fpu_row_wide(row), integer = insn_fmt(row->match) >= FMT_W && insn_opcode(row->match) == OP_COP1;
	uint64_t a = value(r, wide), b = value(r, wide), c = value(r, wide);

	for (unsigned i = 0; i < FPU_FPRS; i++)
		out->fpr[i] = rng_fpr(r);
	for (unsigned i = 0; i < FPU_GPRS; i++)
		out->gpr[i] = rng_one_in(r, 3) ? 0 : rng_gpr(r);
	if (!fpu_row_arithmetic(row) || rng_one_in(r, 8))
		return;
	if (integer) {
		a = rng_gpr(r);
		a = wide ? (rng_one_in(r, 2) ? rng_next(r) >> rng_below(r, 64) : a << rng_below(r, 33)) : a;
		a = wide && rng_one_in(r, 2) ? -a : a;
	} else if (!rng_one_in(r, 3)) {
		related(r, row, wide, &a, &b, &c);
	}
	if (insn_opcode(row->match) == OP_COP1X)
		fpu_put(out, insn_fr(word), wide, fr, c);
	if (insn_opcode(row->match) == OP_COP1X ||
	    (insn_function(row->match) <= FN_DIV || insn_function(row->match) >= FN_C))
		fpu_put(out, insn_ft(word), wide, fr, b);
	fpu_put(out, insn_fs(word), wide, fr, a);
}
