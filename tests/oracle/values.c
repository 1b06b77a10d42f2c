/* SPDX-License-Identifier: MIT */
#include "tests/oracle/program.h"

/* Scrambled: rng_next() adds a constant to the state, and the streams of two near seeds must not be one stream, shifted. */
struct rng rng_seed(uint64_t seed)
{
	struct rng r = {seed + 0x632be59bd9b4e019u};

	r.s = rng_next(&r);
	r.s ^= seed << 32;
	r.s = rng_next(&r);
	return r;
}

/* splitmix64 */
uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint32_t rng_gpr(struct rng *r)
{
	static const uint32_t corners[] = {
	    0,      1,      2,          3,          4,          8,          31,         32,         33,
	    63,     0x7f,   0x80,       0xff,       0x100,      0x7fff,     0x8000,     0xffff,     0x10000,
	    0x1000, 0x7ff0, 0x12345678, 0x7ffffffe, 0x7fffffff, 0x80000000, 0x80000001, 0xffff8000, 0xffff7fff,
	    ~0u,    ~1u,    0xaaaaaaaa, 0x55555555, 0x00ff00ff, 0xc0000000, 0x40000000,
	};
	uint64_t x = rng_next(r);

	switch (x & 7) {
	case 0:
	case 1:
	case 2:
		return corners[(x >> 8) % ARRAY_LEN(corners)];
	case 3: /* near a power of two */
		return (1u << (x >> 8 & 31)) + (uint32_t)(x >> 16 & 7) - 3;
	case 4: /* few bits */
		return (uint32_t)(x >> 8 & 0xffff);
	default:
		return (uint32_t)(x >> 32);
	}
}

/* Fraction patterns around what rounding and NaNs look at, and plain ones. */
static uint64_t fraction(struct rng *r, unsigned bits)
{
	uint64_t x = rng_next(r), all = (1ull << bits) - 1;

	switch (x & 7) {
	case 0:
		return 0;
	case 1:
		return all;
	case 2:
		return 1ull << (x >> 8) % bits;
	case 3:
		return all >> (x >> 8) % bits;
	case 4:
		return all & ~(all >> (x >> 8) % bits);
	case 5: /* two bits, or all but two, or a run of ones */
		x = (1ull << (x >> 8) % bits) + (x & 0x100000 ? 1 : -1ull) * (1ull << (x >> 24) % bits);
		return (x & 1ull << 63 ? ~x : x) & all;
	default:
		return x >> 8 & all;
	}
}

/* bias and width of the exponent: zero, denormals, 1, the integers' limits, the other format's limits, infinity, NaN */
static uint64_t exponent(struct rng *r, bool d)
{
	static const uint16_t s_exp[] = {0,   0,   1,   2,   102, 103, 104, 125, 126, 127,
					 128, 149, 150, 157, 158, 189, 190, 253, 254, 255};
	static const uint16_t d_exp[] = {0,    0,    1,    2,    873,  874,  896,  897,  1021, 1022, 1023,
					 1024, 1053, 1054, 1075, 1076, 1085, 1086, 1149, 1150, 2046, 2047};
	uint64_t x = rng_next(r);

	switch (x & 7) {
	case 0:
	case 1:
	case 2:
		return d ? d_exp[(x >> 8) % ARRAY_LEN(d_exp)] : s_exp[(x >> 8) % ARRAY_LEN(s_exp)];
	case 3:
	case 4:
	case 5: /* near 1: sums cancel, products stay in range */
		return (d ? 1023 - 8 : 127 - 8) + (x >> 8) % 17;
	default:
		return x >> 8 & (d ? 0x7ff : 0xff);
	}
}

uint32_t rng_single(struct rng *r)
{
	uint32_t sign = (uint32_t)rng_next(r) & 0x80000000u;

	return sign | (uint32_t)exponent(r, false) << 23 | (uint32_t)fraction(r, 23);
}

uint64_t rng_double(struct rng *r)
{
	uint64_t sign = rng_next(r) & 1ull << 63;

	sign |= exponent(r, true) << 52;
	return sign | fraction(r, 52);
}

uint64_t rng_fpr(struct rng *r)
{
	switch (rng_below(r, 8)) {
	case 0: /* integers */
		return (uint64_t)rng_gpr(r) << 32 | rng_gpr(r);
	case 1:
		return (uint64_t)(int64_t)(int32_t)rng_gpr(r);
	case 2:
	case 3:
	case 4:
		return (uint64_t)rng_single(r) << 32 | rng_single(r);
	default:
		return rng_double(r);
	}
}
