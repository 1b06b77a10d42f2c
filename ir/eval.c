/* SPDX-License-Identifier: MIT */
/*
 * The value of every pure op: what constant folding computes and what both tiers must agree with.
 * A row of ops.def with effect P and no EVAL here does not compile.
 */
#include "ir/internal.h"

typedef uint64_t eval_fn(uint64_t a, uint64_t b, uint64_t c, int64_t imm);

/* A W argument is zero-extended already; a W result is truncated by EVAL_W. */
#define EVAL_W(name, value)                                                                                            \
	static uint64_t eval_##name(uint64_t a, uint64_t b, uint64_t c, int64_t imm) { return (uint32_t)(value); }
#define EVAL_D(name, value)                                                                                            \
	static uint64_t eval_##name(uint64_t a, uint64_t b, uint64_t c, int64_t imm) { return (uint64_t)(value); }

static uint32_t u32(uint64_t x) { return (uint32_t)x; }
static int32_t s32(uint64_t x) { return (int32_t)(uint32_t)x; }
static int64_t s64(uint64_t x) { return (int64_t)s32(x); }

static uint32_t rotr(uint32_t x, unsigned n) { return n ? x >> n | x << (32 - n) : x; }

/* MIPS leaves division by zero UNPREDICTABLE; ops.def says what every executor gives. */
static int64_t div_signed(int64_t a, int64_t b) { return b ? a / b : a < 0 ? 1 : -1; }
static int64_t rem_signed(int64_t a, int64_t b) { return b ? a % b : a; }

static bool sum_overflows(int64_t sum) { return sum != (int32_t)sum; }

/* clang-format off */
EVAL_W(CONST,    imm)
EVAL_D(CONST64,  imm)

EVAL_W(ADD,      a + b)
EVAL_W(SUB,      a - b)
EVAL_W(MUL,      a * b)
EVAL_W(AND,      a & b)
EVAL_W(OR,       a | b)
EVAL_W(XOR,      a ^ b)
EVAL_W(NOT,      ~a)
EVAL_W(SHL,      u32(a) << (b & 31))
EVAL_W(SHR,      u32(a) >> (b & 31))
EVAL_W(SAR,      s32(a) >> (b & 31))
EVAL_W(ROTR,     rotr(u32(a), b & 31))
EVAL_W(CLZ,      u32(a) ? __builtin_clz(u32(a)) : 32)
EVAL_W(BSWAP,    __builtin_bswap32(u32(a)))
EVAL_W(SEXT8,    (int8_t)a)
EVAL_W(SEXT16,   (int16_t)a)
EVAL_W(ZEXT8,    (uint8_t)a)
EVAL_W(ZEXT16,   (uint16_t)a)
EVAL_W(ADDOV,    sum_overflows(s64(a) + s64(b)))
EVAL_W(SUBOV,    sum_overflows(s64(a) - s64(b)))
EVAL_W(DIVS,     div_signed(s64(a), s64(b)))
EVAL_W(DIVU,     u32(b) ? u32(a) / u32(b) : UINT32_MAX)
EVAL_W(REMS,     rem_signed(s64(a), s64(b)))
EVAL_W(REMU,     u32(b) ? u32(a) % u32(b) : u32(a))
EVAL_W(EQ,       u32(a) == u32(b))
EVAL_W(NE,       u32(a) != u32(b))
EVAL_W(LTS,      s32(a) < s32(b))
EVAL_W(LTU,      u32(a) < u32(b))
EVAL_W(SELECT,   u32(a) ? b : c)

EVAL_D(ADD64,    a + b)
EVAL_D(SUB64,    a - b)
EVAL_D(AND64,    a & b)
EVAL_D(OR64,     a | b)
EVAL_D(XOR64,    a ^ b)
EVAL_D(SHL64,    a << (b & 63))
EVAL_D(SHR64,    a >> (b & 63))
EVAL_D(MULS64,   s64(a) * s64(b))
EVAL_D(MULU64,   (uint64_t)u32(a) * u32(b))
EVAL_D(SELECT64, u32(a) ? b : c)
EVAL_D(SEXT64,   s64(a))
EVAL_D(ZEXT64,   u32(a))
EVAL_W(LO32,     a)
EVAL_W(HI32,     a >> 32)
EVAL_D(PAIR64,   a << 32 | u32(b))

static eval_fn *const eval_of[NUM_IR_OPS] = {
#define PURE_P(name) [IR_##name] = eval_##name,
#define PURE_R(name)
#define PURE_W(name)
#define PURE_M(name)
#define PURE_X(name)
#define PURE_C(name)
#define PURE_N(name)
#define PURE_F(name)
#define OP(name, r, a, b, c, i, effect) PURE_##effect(name)
#include "ir/ops.def"
#undef OP
};
/* clang-format on */

uint64_t ir_eval(enum ir_op op, uint64_t a, uint64_t b, uint64_t c, int64_t imm)
{
	ASSERT(eval_of[op] != NULL);
	return eval_of[op](a, b, c, imm);
}
