/* SPDX-License-Identifier: MIT */
/* Every pure op against expectations written down from ops.def, and against slow definitions on random operands. */
#include <criterion/criterion.h>

#include "tests/unit/ir_gen.h"

#define ROUNDS 200000
#define MIN32  UINT64_C(0x80000000)
#define MAX32  UINT64_C(0x7fffffff)
#define ONES   UINT64_C(0xffffffff)

static const struct {
	enum ir_op op;
	uint64_t a, b, c, want;
} known[] = {
    {IR_ADD, ONES, 1, 0, 0},
    {IR_ADD, MAX32, 1, 0, MIN32},
    {IR_SUB, 0, 1, 0, ONES},
    {IR_SUB, MIN32, 1, 0, MAX32},
    {IR_MUL, 0x10000, 0x10000, 0, 0},
    {IR_MUL, ONES, ONES, 0, 1},
    {IR_MUL, 0x12345678, 0x9abcdef0, 0, 0x242d2080},
    {IR_AND, 0xff00ff00, 0x0ff00ff0, 0, 0x0f000f00},
    {IR_OR, 0xff00ff00, 0x0ff00ff0, 0, 0xfff0fff0},
    {IR_XOR, 0xff00ff00, 0x0ff00ff0, 0, 0xf0f0f0f0},
    {IR_NOT, 0, 0, 0, ONES},
    {IR_NOT, 0x0f0f0f0f, 0, 0, 0xf0f0f0f0},
    {IR_SHL, 0x80000001, 1, 0, 2},
    {IR_SHL, 1, 31, 0, MIN32},
    {IR_SHL, 5, 32, 0, 5},
    {IR_SHL, 5, ONES, 0, MIN32},
    {IR_SHR, MIN32, 31, 0, 1},
    {IR_SHR, MIN32, 33, 0, 0x40000000},
    {IR_SAR, MIN32, 31, 0, ONES},
    {IR_SAR, MIN32, 32, 0, MIN32},
    {IR_SAR, MAX32, 30, 0, 1},
    {IR_ROTR, 0x12345678, 8, 0, 0x78123456},
    {IR_ROTR, 0x12345678, 0, 0, 0x12345678},
    {IR_ROTR, 0x12345678, 32, 0, 0x12345678},
    {IR_ROTR, 0x12345678, 36, 0, 0x81234567},
    {IR_CLZ, 0, 0, 0, 32},
    {IR_CLZ, 1, 0, 0, 31},
    {IR_CLZ, ONES, 0, 0, 0},
    {IR_BSWAP, 0x12345678, 0, 0, 0x78563412},
    {IR_SEXT8, 0x17f, 0, 0, 0x7f},
    {IR_SEXT8, 0x180, 0, 0, 0xffffff80},
    {IR_SEXT16, 0x17fff, 0, 0, 0x7fff},
    {IR_SEXT16, 0x18000, 0, 0, 0xffff8000},
    {IR_ZEXT8, 0xffffff80, 0, 0, 0x80},
    {IR_ZEXT16, 0xffff8000, 0, 0, 0x8000},
    {IR_ADDOV, MAX32, 1, 0, 1},
    {IR_ADDOV, MAX32, 0, 0, 0},
    {IR_ADDOV, MIN32, ONES, 0, 1},
    {IR_ADDOV, ONES, 1, 0, 0},
    {IR_SUBOV, MIN32, 1, 0, 1},
    {IR_SUBOV, 0, MIN32, 0, 1},
    {IR_SUBOV, ONES, MIN32, 0, 0},
    {IR_DIVS, 7, 0xfffffffe, 0, 0xfffffffd},
    {IR_DIVS, 0xfffffff9, 2, 0, 0xfffffffd},
    {IR_DIVS, 5, 0, 0, ONES},
    {IR_DIVS, 0, 0, 0, ONES},
    {IR_DIVS, 0xfffffffb, 0, 0, 1},
    {IR_DIVS, MIN32, ONES, 0, MIN32},
    {IR_DIVU, MIN32, ONES, 0, 0},
    {IR_DIVU, ONES, 2, 0, MAX32},
    {IR_DIVU, 5, 0, 0, ONES},
    {IR_REMS, 7, 0xfffffffe, 0, 1},
    {IR_REMS, 0xfffffff9, 2, 0, ONES},
    {IR_REMS, 0xfffffffb, 0, 0, 0xfffffffb},
    {IR_REMS, MIN32, ONES, 0, 0},
    {IR_REMU, ONES, 10, 0, 5},
    {IR_REMU, 77, 0, 0, 77},
    {IR_EQ, 5, 5, 0, 1},
    {IR_EQ, 5, 6, 0, 0},
    {IR_NE, 5, 5, 0, 0},
    {IR_NE, MIN32, 0, 0, 1},
    {IR_LTS, MIN32, MAX32, 0, 1},
    {IR_LTS, 1, ONES, 0, 0},
    {IR_LTS, 3, 3, 0, 0},
    {IR_LTU, MIN32, MAX32, 0, 0},
    {IR_LTU, 1, ONES, 0, 1},
    {IR_LTU, 3, 3, 0, 0},
    {IR_SELECT, 1, 10, 20, 10},
    {IR_SELECT, MIN32, 10, 20, 10},
    {IR_SELECT, 0, 10, 20, 20},
    {IR_ADD64, ~UINT64_C(0), 1, 0, 0},
    {IR_ADD64, ONES, 1, 0, UINT64_C(1) << 32},
    {IR_SUB64, 0, 1, 0, ~UINT64_C(0)},
    {IR_AND64, ~UINT64_C(0), UINT64_C(0xf0) << 56, 0, UINT64_C(0xf0) << 56},
    {IR_OR64, 1, UINT64_C(1) << 63, 0, (UINT64_C(1) << 63) + 1},
    {IR_XOR64, ~UINT64_C(0), ONES, 0, ONES << 32},
    {IR_SHL64, 1, 63, 0, UINT64_C(1) << 63},
    {IR_SHL64, 3, 64, 0, 3},
    {IR_SHL64, 3, 32, 0, UINT64_C(3) << 32},
    {IR_SHR64, ~UINT64_C(0), 63, 0, 1},
    {IR_SHR64, 3, 64, 0, 3},
    {IR_MULS64, ONES, ONES, 0, 1},
    {IR_MULS64, ONES, 2, 0, ~UINT64_C(1)},
    {IR_MULS64, MIN32, MIN32, 0, UINT64_C(1) << 62},
    {IR_MULU64, ONES, ONES, 0, UINT64_C(0xfffffffe00000001)},
    {IR_SELECT64, 2, 1, ~UINT64_C(0), 1},
    {IR_SELECT64, 0, 1, ~UINT64_C(0), ~UINT64_C(0)},
    {IR_SEXT64, MIN32, 0, 0, UINT64_C(0xffffffff80000000)},
    {IR_SEXT64, MAX32, 0, 0, MAX32},
    {IR_ZEXT64, MIN32, 0, 0, MIN32},
    {IR_LO32, UINT64_C(0x123456789abcdef0), 0, 0, 0x9abcdef0},
    {IR_HI32, UINT64_C(0x123456789abcdef0), 0, 0, 0x12345678},
    {IR_PAIR64, 0x12345678, 0x9abcdef0, 0, UINT64_C(0x123456789abcdef0)},
};

Test(ir_eval, known_values)
{
	bool seen[NUM_IR_OPS] = {false};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		uint64_t got = ir_eval(known[i].op, known[i].a, known[i].b, known[i].c, 0);

		seen[known[i].op] = true;
		cr_expect_eq(got, known[i].want, "row %zu, %s: 0x%llx, want 0x%llx", i, ir_op_info[known[i].op].name,
			     (unsigned long long)got, (unsigned long long)known[i].want);
	}
	cr_expect_eq(ir_eval(IR_CONST, 0, 0, 0, 0xfedcba98), 0xfedcba98);
	cr_expect_eq(ir_eval(IR_CONST64, 0, 0, 0, -2), ~UINT64_C(1));
	seen[IR_CONST] = seen[IR_CONST64] = true;
	for (unsigned op = 0; op < NUM_IR_OPS; op++)
		cr_expect(seen[op] || ir_op_info[op].effect != EFF_P, "no expectation for %s", ir_op_info[op].name);
}

/* ---- the same ops, defined bit by bit or through wider types ---- */

static uint32_t slow_add(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t carry = (a & b) << 1;

		a ^= b;
		b = carry;
	}
	return a;
}

static uint32_t slow_mul(uint32_t a, uint32_t b)
{
	uint32_t r = 0;

	for (int i = 0; i < 32; i++)
		if (b >> i & 1)
			r = slow_add(r, a << i);
	return r;
}

static uint32_t slow_shift(uint32_t a, uint32_t n, char how)
{
	for (n %= 32; n > 0; n--) {
		uint32_t top = a & 0x80000000u, low = a & 1;

		a = how == 'l' ? a << 1 : a >> 1;
		if (how == 'a')
			a |= top;
		if (how == 'r')
			a |= low << 31;
	}
	return a;
}

static uint32_t slow_clz(uint32_t a)
{
	uint32_t n = 0;

	while (n < 32 && !(a & 0x80000000u >> n))
		n++;
	return n;
}

/* Restoring division, one bit at a time. */
static void slow_divu(uint32_t a, uint32_t b, uint32_t *q, uint32_t *r)
{
	uint64_t rest = 0;

	*q = 0;
	for (int i = 31; i >= 0; i--) {
		rest = rest << 1 | (a >> i & 1);
		if (rest >= b) {
			rest -= b;
			*q |= 1u << i;
		}
	}
	*r = (uint32_t)rest;
}

static void slow_divs(uint32_t a, uint32_t b, uint32_t *q, uint32_t *r)
{
	bool na = a >> 31, nb = b >> 31;

	slow_divu(na ? -a : a, nb ? -b : b, q, r);
	if (na != nb)
		*q = -*q;
	if (na)
		*r = -*r;
}

static void expect(enum ir_op op, uint64_t a, uint64_t b, uint64_t want)
{
	uint64_t got = ir_eval(op, a, b, 0, 0);

	cr_assert_eq(got, want, "%s 0x%llx, 0x%llx: 0x%llx, want 0x%llx", ir_op_info[op].name, (unsigned long long)a,
		     (unsigned long long)b, (unsigned long long)got, (unsigned long long)want);
}

static void compare_arithmetic(uint32_t a, uint32_t b)
{
	__int128 sa = (int32_t)a, sb = (int32_t)b;
	uint32_t q, r;

	expect(IR_ADD, a, b, slow_add(a, b));
	expect(IR_SUB, a, b, slow_add(a, slow_add(~b, 1)));
	expect(IR_MUL, a, b, slow_mul(a, b));
	expect(IR_CLZ, a, 0, slow_clz(a));
	expect(IR_ADDOV, a, b, sa + sb > INT32_MAX || sa + sb < INT32_MIN);
	expect(IR_SUBOV, a, b, sa - sb > INT32_MAX || sa - sb < INT32_MIN);
	expect(IR_LTS, a, b, (a ^ 0x80000000u) < (b ^ 0x80000000u));
	expect(IR_LTU, a, b, ((uint64_t)a - b) >> 63);
	expect(IR_MULS64, a, b, (uint64_t)(sa * sb));
	expect(IR_MULU64, a, b, (uint64_t)((__int128)a * b));
	if (!b)
		return;
	slow_divu(a, b, &q, &r);
	expect(IR_DIVU, a, b, q);
	expect(IR_REMU, a, b, r);
	slow_divs(a, b, &q, &r);
	expect(IR_DIVS, a, b, q);
	expect(IR_REMS, a, b, r);
}

static void compare_bits(uint32_t a, uint32_t b)
{
	expect(IR_SHL, a, b, slow_shift(a, b, 'l'));
	expect(IR_SHR, a, b, slow_shift(a, b, 'R'));
	expect(IR_SAR, a, b, slow_shift(a, b, 'a'));
	expect(IR_ROTR, a, b, slow_shift(a, b, 'r'));
	expect(IR_SEXT8, a, 0, slow_shift(a << 24, 24, 'a'));
	expect(IR_SEXT16, a, 0, slow_shift(a << 16, 16, 'a'));
	expect(IR_BSWAP, a, 0, (a & 0xff) << 24 | (a & 0xff00) << 8 | (a >> 8 & 0xff00) | a >> 24);
}

Test(ir_eval, random_values)
{
	uint64_t seed = ir_gen_seed(3);
	struct ir_gen g = {seed};

	for (int n = 0; n < ROUNDS; n++) {
		uint32_t a = (uint32_t)ir_gen_word(&g), b = (uint32_t)ir_gen_word(&g);

		compare_arithmetic(a, b);
		compare_bits(a, b);
	}
}

/* Whatever the operands, a W result is zero-extended. */
Test(ir_eval, words_are_zero_extended)
{
	struct ir_gen g = {ir_gen_seed(4)};

	for (int n = 0; n < ROUNDS; n++) {
		enum ir_op op = ir_gen_below(&g, NUM_IR_OPS);
		const struct ir_op_info *info = &ir_op_info[op];
		uint64_t v[3];

		if (info->effect != EFF_P || info->result != IR_TW || op == IR_CONST)
			continue;
		for (int i = 0; i < 3; i++) {
			v[i] = ir_gen_word(&g);
			if (info->arg[i] != IR_TD)
				v[i] = (uint32_t)v[i];
		}
		cr_assert_eq(ir_eval(op, v[0], v[1], v[2], 0) >> 32, 0, "%s", info->name);
	}
}
