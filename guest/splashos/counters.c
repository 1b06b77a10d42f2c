/* SPDX-License-Identifier: MIT */
/* LL/SC counters, a lock and a barrier under all threads at once: exact, or wrong. */
#include "guest/splashos/splashos.h"

static unsigned n, threads;
static volatile uint32_t counter;
static uint32_t locked;
static struct sp_lock lock;
static struct sp_barrier barrier;
static volatile uint32_t late;

static void count(unsigned i)
{
	for (unsigned k = 0; k < n; k++) {
		sp_add(&counter, 1);
		if (k % 16 == 0) {
			sp_lock(&lock);
			locked++;
			sp_unlock(&lock);
		}
		if (k % 256 == 255) {
			sp_barrier(&barrier, threads);
			if (counter < threads * (k + 1))
				late = 1;
			sp_barrier(&barrier, threads);
		}
	}
	(void)i;
}

int sp_main(int argc, char **argv)
{
	n = sp_argument(argc, argv, "n", 4096);
	threads = sp_argument(argc, argv, "threads", sp_vcpus());
	if (!n || n > 1u << 24 || !threads || threads > sp_vcpus())
		sp_fail("counters: n=1..16777216, threads=1..vCPUs");
	sp_run(threads, count);
	if (counter != n * threads || locked != (n + 15) / 16 * threads || late)
		sp_fail("counters: WRONG");
	sp_print("counters: ok, %u, %u threads\n", counter, threads);
	return 0;
}
