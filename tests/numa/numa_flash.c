/* SPDX-License-Identifier: MIT */
/*
 * The machine model by hand: each latency without contention, the queue, the trigger, and that it is a function of its calls.
 * What the replay against the slow model cannot know is whether these are the paper's figures.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "numa/flash/controller.h"
#include "numa/flash/flash.h"
#include "numa/mesh.h"
#include "tests/numa/trace.h"

#define NODE_BYTES (32ull << 20) /* of the default's 8 */

static struct flash *make(const char *settings)
{
	struct numa_config cfg;
	struct options_error err;
	struct flash *f;

	numa_config_default(&cfg);
	cr_assert_eq(settings ? numa_config_parse(&cfg, numa_config_rows, "--numa", settings, &err) : 0, 0, "%s",
		     err.text);
	cr_assert_eq(flash_new(&f, &cfg), 0);
	return f;
}

/* How many ns the access takes. */
static uint64_t take_ns(struct flash *f, unsigned cpu, enum flash_access kind, uint64_t addr)
{
	uint64_t before = flash_clock(f, cpu);

	(void)flash_access(f, cpu, kind, addr);
	return (flash_clock(f, cpu) - before) * 1000 / flash_config(f)->clock_mhz;
}

/* Nothing is in anybody's way. */
static void later(struct flash *f)
{
	for (unsigned cpu = 0; cpu < numa_cpus(flash_config(f)); cpu++)
		flash_run(f, cpu, 10000 * (cpu + 1));
}

Test(mesh, pages_of_nodes)
{
	for (unsigned n = 1; n <= 64; n++)
		for (uint32_t pages = n; pages < n + 130; pages += 7) {
			uint32_t next = 0;

			for (unsigned node = 0; node < n; node++) {
				cr_assert_eq(numa_node_first_page(pages, n, node), next);
				for (uint32_t i = 0; i < numa_node_pages(pages, n, node); i++)
					cr_assert_eq(numa_node_of_page(pages, n, next++), node);
			}
			cr_assert_eq(next, pages);
		}
}

Test(flash, latencies_without_contention)
{
	struct flash *f = make("hop-ns=40");
	uint64_t here = 0x1000, there = NODE_BYTES + 0x1000, far = 8 * NODE_BYTES - PAGE_BYTES;

	cr_expect_eq(take_ns(f, 0, FLASH_READ, here), 300);
	cr_expect_eq(take_ns(f, 0, FLASH_READ, here + 64), 0, "the same line");
	cr_expect_eq(take_ns(f, 0, FLASH_FETCH, here), 25, "the second level has it");
	cr_expect_eq(take_ns(f, 0, FLASH_FETCH, here), 0);
	later(f);
	cr_expect_eq(take_ns(f, 0, FLASH_READ, there), 900);
	later(f);
	cr_expect_eq(take_ns(f, 0, FLASH_READ, far), 980, "node 7 of a mesh of 3 by 3 is 3 hops from node 0");
	later(f);
	cr_expect_eq(take_ns(f, 0, FLASH_WRITE, here), 300, "an upgrade is a miss");
	cr_expect_eq(take_ns(f, 0, FLASH_WRITE, here), 0);
	later(f);
	cr_expect_eq(take_ns(f, 1, FLASH_READ, here), 1175, "its home has changed it");
	later(f);
	cr_expect_eq(take_ns(f, 3, FLASH_READ, here), 900, "memory is up to date again");
	later(f);
	cr_expect_eq(take_ns(f, 1, FLASH_WRITE, here), 940, "two others lose it");
	later(f);
	cr_expect_eq(take_ns(f, 0, FLASH_READ, here), 1160, "another node has changed it");
	later(f);
	(void)take_ns(f, 1, FLASH_WRITE, here);
	later(f);
	cr_expect_eq(take_ns(f, 3, FLASH_WRITE, here), 1550, "a third node has changed it");
	cr_expect_eq(flash_stats(f, 1)->invalidations, 1);
	flash_free(f);
}

Test(flash, a_neighbour_on_the_node_has_changed_it)
{
	struct flash *f = make("nodes=2,cpus-per-node=2");

	(void)take_ns(f, 0, FLASH_WRITE, 0);
	later(f);
	cr_expect_eq(take_ns(f, 1, FLASH_READ, 0), 450);
	flash_free(f);
}

/* All want something of one node at the same time: who comes last waits for all others, the node's own processor too. */
Test(flash, a_hot_node_is_slow_for_all)
{
	struct flash *f = make(NULL);
	uint64_t longest = 0;

	for (unsigned cpu = 8; cpu-- > 0;) {
		uint64_t ns = take_ns(f, cpu, FLASH_READ, cpu * 4096), alone = cpu ? 900 : 300;

		cr_expect_geq(ns, alone);
		longest = ns - alone > longest ? ns - alone : longest;
	}
	cr_expect_eq(flash_stats(f, 0)->local_waited, 7 * 96, "seven requests of 240 ns, in cycles");
	cr_expect_eq(longest, 7 * 240);
	cr_expect_eq(flash_controller_stats(f, 0).requests, 8);
	cr_expect_eq(flash_controller_stats(f, 0).waited, (1 + 2 + 3 + 4 + 5 + 6 + 7) * 96);
	cr_expect_eq(flash_controller_stats(f, 1).requests, 0);
	flash_free(f);
}

/* In the order of time it is a plain queue; out of it, what was free at the time is taken. */
Test(controller, a_queue_and_a_timeline)
{
	struct controller *c = calloc(1, sizeof(*c));
	uint64_t free_at = 0, rng = 5, at = 0;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t cycles = 4 * (1 + random_below(&rng, 40)), expected;

		at += 4 * random_below(&rng, 40);
		expected = free_at > at ? free_at - at : 0;
		cr_assert_eq(controller_request(c, at, cycles), expected, "request %u", i);
		free_at = (free_at > at ? free_at : at) + cycles;
	}
	memset(c, 0, sizeof(*c));
	cr_expect_eq(controller_request(c, 10000, 400), 0);
	cr_expect_eq(controller_request(c, 1000, 400), 0, "it was free then");
	cr_expect_eq(controller_request(c, 9800, 400), 400, "half before, half after");
	cr_expect_eq(controller_request(c, 9800, 4), 800);
	cr_expect_eq(controller_request(c, 10 * CONTROLLER_WINDOW_CYCLES, 4), 0);
	cr_expect_eq(controller_request(c, 9800, 4), 0);
	cr_expect_eq(c->unqueued, 1, "too long ago");
	free(c);
}

Test(flash, hot_at_the_trigger_and_not_before)
{
	struct flash *f = make("trigger=5,sharing=2,l1=1K,l2=1K,interval-us=100");
	uint64_t addr = NODE_BYTES;

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 1; i <= 32; i++) {
			bool hot = flash_access(f, 0, FLASH_READ, addr + i % 32 * 128);

			cr_expect_eq(hot, i == 5, "miss %u of round %u", i, round);
			cr_expect_eq(flash_page_misses(f, NODE_BYTES / PAGE_BYTES)[0], i);
			cr_expect_not(flash_access(f, 1, FLASH_READ, addr + i % 32 * 128), "its own page");
		}
		while (flash_turn_end(f) <= flash_clock(f, 0) || !flash_next_turn(f))
			(void)(flash_turn_end(f) <= flash_clock(f, 0) && flash_next_turn(f));
		for (unsigned i = 0; i < 64; i++) /* elsewhere, so that all is to be fetched again */
			for (unsigned cpu = 0; cpu < 2; cpu++)
				(void)flash_access(f, cpu, FLASH_READ, 2 * NODE_BYTES + i * 128);
		while (!flash_next_turn(f))
			;
		cr_expect_null(flash_page_misses(f, NODE_BYTES / PAGE_BYTES), "a new interval");
	}
	cr_expect_gt(flash_interval(f), 2);
	flash_free(f);
}

/* A hash of all that a run comes to. */
static uint64_t run_hash(uint64_t seed)
{
	struct flash *f = make("l1=2K,l2=16K,interval-us=200");
	uint64_t hash = 0;
	struct trace t;

	trace_init(&t, seed, 4 << 20, 8);
	for (unsigned turn = 0; turn < 40; turn++) {
		for (unsigned cpu = 0; cpu < 8; cpu++) {
			while (flash_clock(f, cpu) < flash_turn_end(f)) {
				struct trace_access a = trace_next(&t, cpu);

				flash_run(f, cpu, a.cycles);
				hash = hash * 31 + flash_access(f, cpu, a.kind, a.addr);
				hash = hash * 31 + flash_clock(f, cpu);
			}
		}
		(void)flash_next_turn(f);
	}
	flash_free(f);
	return hash;
}

Test(flash, the_same_to_the_cycle)
{
	cr_expect_eq(run_hash(7), run_hash(7));
	cr_expect_neq(run_hash(7), run_hash(8));
}

/* Time is the sum of its parts. */
Test(flash, time_is_what_was_executed_and_stalled)
{
	struct flash *f = make("l1=2K,l2=16K");
	const struct flash_stats *s = flash_stats(f, 3);
	struct trace t;

	trace_init(&t, 9, 1 << 20, 8);
	for (unsigned i = 0; i < 5000; i++) {
		struct trace_access a = trace_next(&t, 3);

		flash_run(f, 3, a.cycles);
		(void)flash_access(f, 3, a.kind, a.addr);
	}
	flash_work(f, 3, 100);
	while (flash_turn_end(f) <= flash_clock(f, 3))
		(void)flash_next_turn(f);
	flash_idle(f, 3);
	cr_expect_eq(flash_clock(f, 3), flash_turn_end(f));
	cr_expect_eq(flash_clock(f, 3),
		     s->executed + s->monitor + s->idle + s->l2_stall + s->local_stall + s->remote_stall);
	cr_expect_eq(s->monitor, 100);
	cr_expect_gt(s->idle, 0);
	flash_free(f);
}

/* Which turn begins an interval is known before, and a hit of the first level takes nothing. */
Test(flash, turns_and_hits)
{
	static const char *const settings[] = {"interval-us=100,turn-ns=10000", "interval-us=25,turn-ns=10000",
					       "interval-us=3,turn-ns=10000"};

	for (unsigned i = 0; i < 3; i++) {
		struct flash *f = make(settings[i]);

		for (unsigned n = 0; n < 50; n++) {
			uint64_t end = flash_turn_end(f), last = flash_last_turn_end(f);

			cr_assert_geq(last, end);
			cr_assert_eq(flash_next_turn(f), last == end, "%s: turn %u", settings[i], n);
		}
		cr_expect_not(flash_hit(f, 0, FLASH_READ, 4096));
		(void)flash_access(f, 0, FLASH_READ, 4096);
		(void)flash_access(f, 0, FLASH_READ, 4096 + (16 << 10)); /* the other way of the set */
		cr_expect_eq(take_ns(f, 0, FLASH_READ, 4096), 0);
		cr_expect(flash_hit(f, 0, FLASH_READ, 4096));
		cr_expect_not(flash_hit(f, 0, FLASH_WRITE, 4096), "it is not owned");
		cr_expect_not(flash_hit(f, 0, FLASH_FETCH, 4096));
		cr_expect(flash_hit(f, 0, FLASH_READ, 4096 + (16 << 10)));
		(void)flash_access(f, 0, FLASH_READ, 4096 + (32 << 10)); /* throws out the one used longer ago */
		cr_expect_not(flash_hit(f, 0, FLASH_READ, 4096));
		flash_free(f);
	}
}
