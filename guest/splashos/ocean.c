/* SPDX-License-Identifier: MIT */
/*
 * A stencil as in Ocean: Laplace's equation on a grid, red and black points in turn with over-relaxation, rows dealt out in bands.
 * The border is a function that solves it, so the result is known.
 */
#include "guest/splashos/splashos.h"

static unsigned n, threads, most;
static double *grid;
static struct sp_barrier barrier;
static struct sp_lock lock;
static double change[2]; /* of an iteration, the largest; the other one is being cleared */
static volatile uint32_t iterations;

static double *at(unsigned i, unsigned j) { return grid + (size_t)i * (n + 2) + j; }

static double solution(unsigned i, unsigned j)
{
	double x = (double)i / (n + 1), y = (double)j / (n + 1);

	return x * x - y * y + x * y;
}

static double distance(double a, double b) { return a < b ? b - a : a - b; }

static double relax(unsigned first, unsigned last, unsigned colour, double omega)
{
	double largest = 0;

	for (unsigned i = first; i < last; i++)
		for (unsigned j = 1 + (i + colour) % 2; j <= n; j += 2) {
			double *p = at(i, j), mean = (*at(i - 1, j) + *at(i + 1, j) + p[-1] + p[1]) * 0.25;
			double step = omega * (mean - *p);

			*p += step;
			step = step < 0 ? -step : step;
			largest = step > largest ? step : largest;
		}
	return largest;
}

static void solve(unsigned t)
{
	unsigned first = 1 + n * t / threads, last = 1 + n * (t + 1) / threads;
	double omega = 2.0 / (1.0 + 3.14159265 / (n + 1));

	for (unsigned k = 0; k < most; k++) {
		double a = relax(first, last, 0, omega), b;

		sp_barrier(&barrier, threads);
		b = relax(first, last, 1, omega);
		a = a > b ? a : b;
		sp_lock(&lock);
		change[k % 2] = a > change[k % 2] ? a : change[k % 2];
		sp_unlock(&lock);
		sp_barrier(&barrier, threads);
		a = *(volatile double *)&change[k % 2];
		if (t == 0) {
			change[(k + 1) % 2] = 0;
			iterations = k + 1;
		}
		sp_barrier(&barrier, threads);
		if (a < 1e-9)
			return;
	}
}

int sp_main(int argc, char **argv)
{
	uint32_t t0, t1;

	n = sp_argument(argc, argv, "n", 126);
	threads = sp_argument(argc, argv, "threads", sp_vcpus());
	most = 20 * n + 100;
	if (n < 2 || n > 1022 || !threads || threads > sp_vcpus() || threads > n)
		sp_fail("ocean: n=2..1022, threads=1..vCPUs");
	grid = sp_alloc(sizeof(*grid) * (n + 2) * (n + 2));
	for (unsigned i = 0; i < n + 2; i++) {
		*at(i, 0) = solution(i, 0);
		*at(i, n + 1) = solution(i, n + 1);
		*at(0, i) = solution(0, i);
		*at(n + 1, i) = solution(n + 1, i);
	}
	t0 = sp_microseconds();
	sp_run(threads, solve);
	t1 = sp_microseconds();
	for (unsigned i = 1; i <= n; i++)
		for (unsigned j = 1; j <= n; j++)
			if (distance(*at(i, j), solution(i, j)) > 1e-6)
				sp_fail("ocean: WRONG: not the solution");
	sp_print("ocean: ok, %u x %u, %u threads, %u iterations, %u us\n", n, n, threads, iterations, t1 - t0);
	return 0;
}
