/* SPDX-License-Identifier: MIT */
/* LU decomposition without pivoting of a matrix of doubles, in blocks: L and U in its place, then L * U is compared with it. */
#include "guest/splashos/splashos.h"

enum { B = 16 };

static unsigned n, blocks, threads;
static double *a, *was;
static struct sp_barrier barrier;
static volatile uint32_t worst; /* in 1e-9 of the largest element */
static struct sp_lock lock;

static double *at(unsigned bi, unsigned bj) { return a + ((size_t)bi * blocks + bj) * B * B; }

/* Blocks are dealt out in a square, as SPLASH-2's. */
static bool is_mine(unsigned bi, unsigned bj, unsigned i) { return (bi + bj * 3) % threads == i; }

static double element(unsigned i, unsigned j)
{
	uint32_t x = (i * 2654435761u) ^ (j * 40503u + 12345u);

	x ^= x >> 15;
	x *= 2246822519u;
	x ^= x >> 13;
	return (double)(x & 0xffff) / 65536.0 + (i == j ? (double)n : 0.0);
}

static void fill(unsigned t)
{
	for (unsigned bi = 0; bi < blocks; bi++)
		for (unsigned bj = 0; bj < blocks; bj++) {
			double *m = at(bi, bj);

			if (!is_mine(bi, bj, t))
				continue;
			for (unsigned i = 0; i < B * B; i++) {
				m[i] = element(bi * B + i / B, bj * B + i % B);
				was[(size_t)(m - a) + i] = m[i];
			}
		}
}

static void diagonal(double *d)
{
	for (unsigned k = 0; k < B; k++)
		for (unsigned i = k + 1; i < B; i++) {
			d[i * B + k] /= d[k * B + k];
			for (unsigned j = k + 1; j < B; j++)
				d[i * B + j] -= d[i * B + k] * d[k * B + j];
		}
}

/* Below the diagonal block: x * U = m. */
static void column(double *m, const double *d)
{
	for (unsigned k = 0; k < B; k++)
		for (unsigned i = 0; i < B; i++) {
			m[i * B + k] /= d[k * B + k];
			for (unsigned j = k + 1; j < B; j++)
				m[i * B + j] -= m[i * B + k] * d[k * B + j];
		}
}

/* Beside it: L * x = m. */
static void row(double *m, const double *d)
{
	for (unsigned k = 0; k < B; k++)
		for (unsigned i = k + 1; i < B; i++)
			for (unsigned j = 0; j < B; j++)
				m[i * B + j] -= d[i * B + k] * m[k * B + j];
}

static void inner(double *m, const double *l, const double *u)
{
	for (unsigned i = 0; i < B; i++)
		for (unsigned k = 0; k < B; k++) {
			double f = l[i * B + k];

			for (unsigned j = 0; j < B; j++)
				m[i * B + j] -= f * u[k * B + j];
		}
}

static void decompose(unsigned t)
{
	for (unsigned k = 0; k < blocks; k++) {
		if (is_mine(k, k, t))
			diagonal(at(k, k));
		sp_barrier(&barrier, threads);
		for (unsigned i = k + 1; i < blocks; i++) {
			if (is_mine(i, k, t))
				column(at(i, k), at(k, k));
			if (is_mine(k, i, t))
				row(at(k, i), at(k, k));
		}
		sp_barrier(&barrier, threads);
		for (unsigned i = k + 1; i < blocks; i++)
			for (unsigned j = k + 1; j < blocks; j++)
				if (is_mine(i, j, t))
					inner(at(i, j), at(i, k), at(k, j));
		sp_barrier(&barrier, threads);
	}
}

static double get(unsigned i, unsigned j) { return at(i / B, j / B)[i % B * B + j % B]; }

static void check(unsigned t)
{
	double most = 0;

	for (unsigned i = t; i < n; i += threads)
		for (unsigned j = 0; j < n; j++) {
			unsigned least = i < j ? i : j;
			double sum = i <= j ? get(i, j) : 0, off;

			for (unsigned k = 0; k < least + (i > j); k++)
				sum += get(i, k) * get(k, j);
			off = sum - was[(size_t)(at(i / B, j / B) - a) + i % B * B + j % B];
			off = off < 0 ? -off : off;
			most = off > most ? off : most;
		}
	sp_lock(&lock);
	if ((uint32_t)(most / n * 1e9) > worst)
		worst = (uint32_t)(most / n * 1e9);
	sp_unlock(&lock);
}

static uint32_t hash(void)
{
	const uint32_t *w = (const uint32_t *)a;
	uint32_t h = 0;

	/* by value of each double's halves, in one order for both byte orders */
	for (size_t i = 0; i < (size_t)n * n; i++)
		h = h * 16777619u + (w[2 * i] ^ w[2 * i + 1]);
	return h;
}

int sp_main(int argc, char **argv)
{
	uint32_t t0, t1;

	n = sp_argument(argc, argv, "n", 128);
	threads = sp_argument(argc, argv, "threads", sp_vcpus());
	if (!n || n % B || n > 1024 || !threads || threads > sp_vcpus())
		sp_fail("lu: n=16..1024, a multiple of 16, threads=1..vCPUs");
	blocks = n / B;
	a = sp_alloc(sizeof(*a) * n * n);
	was = sp_alloc(sizeof(*a) * n * n);
	sp_run(threads, fill);
	t0 = sp_microseconds();
	sp_run(threads, decompose);
	t1 = sp_microseconds();
	sp_run(threads, check);
	if (worst)
		sp_fail("lu: WRONG: L * U is not the matrix");
	sp_print("lu: ok, %u x %u, %u threads, hash %x, %u us\n", n, n, threads, hash(), t1 - t0);
	return 0;
}
