/* SPDX-License-Identifier: MIT */
/*
 * The machine model against the slow one: clocks after every access, hot pages, counters of every page several times an
 * interval, and all statistics at the end.  DISCO_COUNT accesses of each set-up, from DISCO_SEED.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/numa/replay.h"
#include "tests/slower.h"

#define COUNT (1000000 / TESTS_SLOWER)

static uint64_t environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static struct replay_result check(const char *settings, uint64_t bytes, uint64_t forgets)
{
	struct replay r = {.settings = settings,
			   .seed = environment("DISCO_SEED", 1),
			   .accesses = environment("DISCO_COUNT", COUNT),
			   .bytes = bytes,
			   .forgets = forgets};
	struct replay_result got = replay(&r);

	fprintf(stderr,
		"%s: %" PRIu64 " accesses, %" PRIu64 " differences; %" PRIu64 " misses, %" PRIu64 " dirty, %" PRIu64
		" upgrades, %" PRIu64 " invalidations, %" PRIu64 " writebacks, %" PRIu64 " cycles waited, %" PRIu64
		" hot, %" PRIu64 " intervals, %" PRIu64 " rows compared\n",
		settings, got.accesses, got.differences, got.misses, got.dirty, got.upgrades, got.invalidations,
		got.writebacks, got.waited, got.hot, got.intervals, got.rows);
	cr_assert_eq(got.differences, 0, "%s", got.first);
	cr_assert_eq(got.accesses, r.accesses);
	return got;
}

/* What a set-up is there for has happened. */
static void all_seen(struct replay_result got, uint64_t at_least)
{
	at_least /= TESTS_SLOWER;
	cr_expect_gt(got.misses, at_least);
	cr_expect_gt(got.dirty, at_least);
	cr_expect_gt(got.upgrades, at_least / 4);
	cr_expect_gt(got.invalidations, at_least);
	cr_expect_gt(got.writebacks, at_least / 4);
	cr_expect_gt(got.waited, at_least);
	cr_expect_gt(got.hot, 10);
	cr_expect_gt(got.intervals, 5);
}

/* The paper's machine, with an interval that such a short time has several of. */
Test(replay, eight_nodes) { all_seen(check("interval-us=400,trigger=32", 16 << 20, 0), 10000); }

/* Pages of another node than the line's neighbours; two processors on each; the mesh counts; small caches. */
Test(replay, two_processors_a_node)
{
	all_seen(
	    check("nodes=5,cpus-per-node=2,memory=4M,l1=2K,l2=16K,hop-ns=40,interval-us=100,turn-ns=500,trigger=20,"
		  "sharing=5",
		  4 << 20, 0),
	    10000);
}

/* Direct-mapped, and sets of many ways; short lines; pages are forgotten; one miss in three is counted. */
Test(replay, other_caches)
{
	all_seen(check("nodes=3,memory=2M,line=32,l1=1K,l1-ways=1,l2=32K,l2-ways=8,interval-us=100,trigger=24,sharing="
		       "9,sample=3,"
		       "clock-mhz=333",
		       2 << 20, 500),
		 10000);
}

/* One node that everything is on: the queue is never empty. */
Test(replay, a_hot_node)
{
	all_seen(check("nodes=16,memory=64M,l1=1K,l2=8K,turn-ns=2000,interval-us=200,trigger=16,sharing=8", 1 << 20, 0),
		 10000);
}

/* Turns so long, and a controller so slow, that the window of the queue counts. */
Test(replay, long_turns)
{
	all_seen(check("nodes=4,memory=4M,l1=1K,l2=8K,turn-ns=80000,interval-us=1000,occupy-owner-ns=20000,"
		       "occupy-remote-ns=7000,trigger=8,sharing=2",
		       4 << 20, 0),
		 3000);
}

Test(replay, no_occupancy_no_wait)
{
	struct replay_result got = check("nodes=8,occupy-local-ns=0,occupy-remote-ns=0,occupy-owner-ns=0,"
					 "occupy-writeback-ns=0,invalidate-ns=0",
					 16 << 20, 0);

	cr_expect_eq(got.waited, 0);
}

/* That a difference of a single access is seen. */
Test(replay, sabotage_is_noticed)
{
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct replay r = {.settings = "l1=2K,l2=16K", .seed = seed, .accesses = 100000, .bytes = 1 << 20};

		r.sabotage = 1000 * seed;
		cr_expect_gt(replay(&r).differences, 0, "seed %" PRIu64, seed);
	}
}
