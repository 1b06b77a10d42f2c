/* SPDX-License-Identifier: MIT */
/*
 * Radix sort: keys of 32 bits, digits of 8.  Each thread counts and moves its part; the ranks are added up in between.  With rounds=N it
 * is done so often, and the time is that of the fastest.
 */
#include "guest/splashos/splashos.h"

enum { DIGITS = 256, BITS = 8 };

static unsigned n, threads;
static uint32_t *from, *to, *rank; /* rank[thread * DIGITS + digit] */
static struct sp_barrier barrier;

static uint32_t random_next(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

static unsigned part(unsigned i) { return n * i / threads; } /* n and i are small enough */

static void fill(unsigned i)
{
	uint32_t x = 0x9e3779b9u * (i + 1);

	for (unsigned k = part(i); k < part(i + 1); k++)
		from[k] = random_next(&x);
}

/* From counts to where each thread puts its first key of each digit. */
static void add_up(void)
{
	uint32_t sum = 0;

	for (unsigned d = 0; d < DIGITS; d++)
		for (unsigned t = 0; t < threads; t++) {
			uint32_t count = rank[t * DIGITS + d];

			rank[t * DIGITS + d] = sum;
			sum += count;
		}
}

static void sort(unsigned i)
{
	uint32_t *mine = rank + i * DIGITS;

	for (unsigned shift = 0; shift < 32; shift += BITS) {
		const uint32_t *a = shift / BITS % 2 ? to : from;
		uint32_t *b = shift / BITS % 2 ? from : to;

		for (unsigned d = 0; d < DIGITS; d++)
			mine[d] = 0;
		for (unsigned k = part(i); k < part(i + 1); k++)
			mine[a[k] >> shift & (DIGITS - 1)]++;
		sp_barrier(&barrier, threads);
		if (i == 0)
			add_up();
		sp_barrier(&barrier, threads);
		for (unsigned k = part(i); k < part(i + 1); k++)
			b[mine[a[k] >> shift & (DIGITS - 1)]++] = a[k];
		sp_barrier(&barrier, threads);
	}
}

/* The same keys, by sums that do not depend on their order; and none is less than the one before. */
static void sums(const uint32_t *a, uint32_t out[2])
{
	out[0] = out[1] = 0;
	for (unsigned k = 0; k < n; k++) {
		out[0] += a[k];
		out[1] += a[k] * (a[k] | 1);
	}
}

/* Microseconds of one sort. */
static uint32_t sort_once(uint32_t *sum)
{
	uint32_t before[2], after[2], t0, t1;

	sp_run(threads, fill);
	sums(from, before);
	t0 = sp_microseconds();
	sp_run(threads, sort);
	t1 = sp_microseconds();
	sums(from, after);
	for (unsigned k = 1; k < n; k++)
		if (from[k - 1] > from[k])
			sp_fail("radix: WRONG: not sorted");
	if (before[0] != after[0] || before[1] != after[1])
		sp_fail("radix: WRONG: other keys");
	*sum = after[0];
	return t1 - t0;
}

int sp_main(int argc, char **argv)
{
	unsigned rounds = sp_argument(argc, argv, "rounds", 1);
	uint32_t least = UINT32_MAX, sum = 0;

	n = sp_argument(argc, argv, "n", 1 << 18);
	threads = sp_argument(argc, argv, "threads", sp_vcpus());
	if (!n || n > 1u << 24 || !threads || threads > sp_vcpus() || !rounds)
		sp_fail("radix: n=1..16777216, threads=1..vCPUs, rounds=1..");
	from = sp_alloc(4 * n);
	to = sp_alloc(4 * n);
	rank = sp_alloc(4 * DIGITS * threads);
	for (unsigned i = 0; i < rounds; i++) {
		uint32_t us = sort_once(&sum);

		least = us < least ? us : least;
	}
	sp_print("radix: ok, %u keys, %u threads, sum %x, %u us\n", n, threads, sum, least);
	return 0;
}
