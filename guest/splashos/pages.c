/* SPDX-License-Identifier: MIT */
/*
 * How threads use pages in common, one way a run (`pattern`): what --numa flash is to find out.  Each checks that it reads what was written.
 *
 *   0  one thread writes them, and then another one alone uses them
 *   1  all read them
 *   2  in each round one thread writes to them, in turn, and then all read them several times
 *   3  all write to them, each its own words
 */
#include "guest/splashos/splashos.h"

enum { PAGE_WORDS = 1024, LINE_WORDS = 32, READS = 4 };

static unsigned n, rounds, threads, pattern;
static volatile uint32_t *pages;
static struct sp_barrier barrier;
static volatile uint32_t bad;

static volatile uint32_t *line(unsigned k) { return &pages[k * LINE_WORDS]; }
static unsigned lines(void) { return n * PAGE_WORDS / LINE_WORDS; }
static void expect(uint32_t got, uint32_t want)
{
	if (got != want)
		(void)sp_add(&bad, 1);
}

static void one_user(unsigned i)
{
	for (unsigned r = 0; i == 1 % threads && r < rounds; r++)
		for (unsigned k = 0; k < lines(); k++) {
			expect(*line(k), k + r);
			*line(k) = k + r + 1;
		}
}

static void readers(unsigned i)
{
	(void)i;
	for (unsigned r = 0; r < rounds; r++)
		for (unsigned k = 0; k < lines(); k++)
			expect(*line(k), k);
}

static void writer_among_readers(unsigned i)
{
	for (unsigned r = 0; r < rounds; r++) {
		for (unsigned k = 0; i == r % threads && k < lines(); k++)
			*line(k) = k ^ r;
		sp_barrier(&barrier, threads);
		for (unsigned times = 0; times < READS; times++)
			for (unsigned k = 0; k < lines(); k++)
				expect(*line(k), k ^ r);
		sp_barrier(&barrier, threads);
	}
}

static void writers(unsigned i)
{
	for (unsigned r = 0; r < rounds; r++)
		for (unsigned k = 0; k < lines(); k++) {
			expect(line(k)[1 + i], r);
			line(k)[1 + i] = r + 1;
		}
}

int sp_main(int argc, char **argv)
{
	static void (*const fn[])(unsigned i) = {one_user, readers, writer_among_readers, writers};

	n = sp_argument(argc, argv, "n", 8);
	rounds = sp_argument(argc, argv, "rounds", 100);
	pattern = sp_argument(argc, argv, "pattern", 0);
	threads = sp_argument(argc, argv, "threads", sp_vcpus());
	if (pattern >= sizeof(fn) / sizeof(fn[0]))
		sp_fail("pages: pattern=0..3");
	if (threads < 1 || threads > sp_vcpus() || threads > LINE_WORDS - 1)
		sp_fail("pages: threads=1..vCPUs, at most 31");
	if (n < 1 || n > 1024)
		sp_fail("pages: n=1..1024");
	pages = sp_alloc((n + 1) * PAGE_WORDS * sizeof(*pages)); /* from the beginning of a page on */
	pages += -((uintptr_t)pages / sizeof(*pages)) % PAGE_WORDS;
	for (unsigned k = 0; k < lines(); k++)
		*line(k) = k;
	sp_run(threads, fn[pattern]);
	sp_print("pages: %s, pattern %u, %u pages, %u threads, %u wrong\n", bad ? "WRONG" : "ok", pattern, n, threads,
		 bad);
	return bad ? 1 : 0;
}
