/* SPDX-License-Identifier: MIT */
/*
 * Model and policy together, under synthetic loads: what moves, what it costs and what it brings, beside the paper's
 * figure 8 and table 3.  DISCO_COUNT: accesses of each of 16 processors in the runs of the paper's two, twice that of each of 8.  With a million, as
 * tests/long/numa_sim.sh has it, the paper's own figures are asked for; a short run is mostly the time before pages have moved.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/numa/trace.h"
#include "tests/numa/workload.h"
#include "tests/slower.h"

#define COUNT (150000 / TESTS_SLOWER)
#define LONG  1000000

static uint32_t count(void)
{
	const char *text = getenv("DISCO_COUNT");

	return text && *text ? (uint32_t)strtoul(text, NULL, 0) : COUNT;
}

/* ---- figure 8 ---- */

/* In per cent of the first row's time, and ns. */
struct figure_8 {
	double disco, uma, local_before, local_after;
	double before[2], after[2]; /* a local, a remote miss (disco-facts.md 5.5) */
};

static const struct figure_8 engineering_paper = {67, 48, 16, 78, {607, 1328}, {292, 1067}};
static const struct figure_8 raytrace_paper = {62, 49, 6, 76, {1216, 2419}, {363, 1199}};

/* All memory is as near, and nothing is in anybody's way. */
static const char uma[] =
    "migrate=off,replicate=off,remote-ns=300,near-dirty-ns=300,local-dirty-ns=300,home-dirty-ns=300,"
    "third-dirty-ns=300,occupy-local-ns=0,occupy-remote-ns=0,occupy-owner-ns=0,"
    "occupy-writeback-ns=0,invalidate-ns=0";

static void print(const char *name, const char *what, const struct workload_result *r, double base)
{
	double time = 100 * (double)r->cycles / base;

	fprintf(
	    stderr,
	    "%-11s %-5s time %5.1f: exec %4.1f, L2 %3.1f, local %4.1f, remote %4.1f, monitor %4.1f | misses %4.1f %% "
	    "local, %4.0f and %4.0f ns | %" PRIu64 " migrations of %.0f us, %" PRIu64 " replications of %.0f us\n",
	    name, what, time, time * r->executed, time * r->l2, time * r->local, time * r->remote, time * r->monitor,
	    100 * r->local_share, r->local_ns, r->remote_ns, r->sim.migrations, r->migrate_us, r->sim.replications,
	    r->replicate_us);
}

static void near(const char *what, double got, double paper, double percent)
{
	cr_expect(got >= paper * (1 - percent / 100) && got <= paper * (1 + percent / 100),
		  "%s: %.0f, in the paper %.0f", what, got, paper);
}

static void check_figure_8(const struct workload *w, const struct figure_8 *paper, uint32_t accesses)
{
	bool whole = count() >= LONG, begun = count() >= 100000; /* less is not even the beginning of an interval */
	struct workload_result off = workload_run(w, "migrate=off,replicate=off", accesses, 1);
	struct workload_result on = workload_run(w, NULL, accesses, 1), all = workload_run(w, uma, accesses, 1);
	double base = (double)off.cycles;

	print(w->name, "NUMA", &off, base);
	print(w->name, "Disco", &on, base);
	print(w->name, "UMA", &all, base);
	fprintf(stderr,
		"%-11s paper: 100, %.0f, %.0f; %.0f %% and %.0f %% local; %.0f and %.0f ns, then %.0f and %.0f\n",
		w->name, paper->disco, paper->uma, paper->local_before, paper->local_after, paper->before[0],
		paper->before[1], paper->after[0], paper->after[1]);
	/* disco-facts.md 5.5: how long a miss takes, with the contention that there is */
	near("local misses before", off.local_ns, paper->before[0], 25);
	near("remote misses before", off.remote_ns, paper->before[1], 25);
	near("the machine without distances", 100 * (double)all.cycles / base, paper->uma, 25);
	cr_expect_leq(off.local_share, 0.2);
	cr_expect_eq(on.sim.stale, 0);
	if (!begun)
		return;
	near("local misses after", on.local_ns, paper->after[0], whole ? 25 : 50);
	near("remote misses after", on.remote_ns, paper->after[1], whole ? 25 : 50);
	cr_expect_geq(on.local_share, whole ? 0.75 : 0.35);
	cr_expect_leq((double)on.cycles, base * (whole ? 0.8 : 0.97));
	cr_expect_leq((double)on.cycles, (double)all.cycles * (whole ? 1.45 : 2.1));
	cr_expect_lt(on.hottest, off.hottest * (whole ? 0.5 : 0.8), "the hottest node is relieved");
	/* table 3: 57 to 102 us */
	cr_expect(on.migrate_us > 40 && on.migrate_us < 102, "%.1f us", on.migrate_us);
	cr_expect(on.replicate_us > 40 && on.replicate_us < 102, "%.1f us", on.replicate_us);
}

Test(figure_8, engineering) { check_figure_8(&engineering, &engineering_paper, 2 * count()); }
Test(figure_8, raytrace) { check_figure_8(&raytrace, &raytrace_paper, count()); }

/* disco-facts.md 5.4: with latencies alone the gain is much less than the paper's. */
Test(figure_8, without_contention_there_is_less_to_gain)
{
	static const char none[] = "occupy-local-ns=0,occupy-remote-ns=0,occupy-owner-ns=0,occupy-writeback-ns=0";
	char off[160];
	struct workload_result a, b, c, d;

	snprintf(off, sizeof(off), "migrate=off,replicate=off,%s", none);
	a = workload_run(&raytrace, off, COUNT / 2, 1);
	b = workload_run(&raytrace, none, COUNT / 2, 1);
	c = workload_run(&raytrace, "migrate=off,replicate=off", COUNT / 2, 1);
	d = workload_run(&raytrace, NULL, COUNT / 2, 1);
	cr_expect_gt(a.remote_ns, 890);
	cr_expect_lt(a.remote_ns, 960, "900, and a few that are dirty: %.0f", a.remote_ns);
	if (COUNT >= 100000) /* else nothing has moved yet */
		cr_expect_lt((double)d.cycles / (double)c.cycles, (double)b.cycles / (double)a.cycles - 0.05);
}

Test(figure_8, two_runs_are_one)
{
	struct workload_result a = workload_run(&engineering, NULL, COUNT / 4, 3),
			       b = workload_run(&engineering, NULL, COUNT / 4, 3),
			       c = workload_run(&engineering, NULL, COUNT / 4, 4);

	cr_expect_eq(memcmp(&a.sim, &b.sim, sizeof(a.sim)), 0);
	cr_expect_eq(a.cycles, b.cycles);
	cr_expect_eq(a.misses, b.misses);
	cr_expect_neq(a.cycles, c.cycles);
}

/* V96: one miss in ten tells nearly as much. */
Test(figure_8, sampling)
{
	struct workload_result all = workload_run(&engineering, "interval-us=50000", COUNT, 1),
			       tenth = workload_run(&engineering, "interval-us=50000,sample=10", COUNT, 1);

	cr_expect_lt(all.local_share - tenth.local_share, 0.05, "%.3f and %.3f", all.local_share, tenth.local_share);
	if (COUNT >= 100000)
		cr_expect_gt(tenth.sim.migrations, 100);
}

/* ---- single patterns ---- */

struct pattern {
	struct sim *sim;
	struct flash *machine;
	uint64_t rng;
};

/* Caches of a few lines, so that nearly all accesses miss. */
static struct pattern make(const char *settings, uint32_t pages)
{
	struct pattern p = {.rng = 1};
	struct numa_config cfg;
	struct options_error err;

	numa_config_default(&cfg);
	cr_assert_eq(numa_config_parse(&cfg, numa_config_rows, "--numa", "memory=64M,l1=1K,l2=1K", &err), 0, "%s",
		     err.text);
	cr_assert_eq(settings ? numa_config_parse(&cfg, numa_config_rows, "--numa", settings, &err) : 0, 0, "%s",
		     err.text);
	p.sim = sim_new(&cfg, pages);
	p.machine = sim_machine(p.sim);
	return p;
}

/* Every processor of the mask makes accesses of one kind to the pages [first, first + pages), until the turn is over. */
static void one_turn(struct pattern *p, uint64_t cpus, enum flash_access kind, uint32_t first, uint32_t pages)
{
	unsigned n = numa_cpus(flash_config(p->machine));

	for (unsigned i = 0; i < n; i++) {
		unsigned cpu = (flash_turn_first(p->machine) + i) % n;

		while (cpus >> cpu & 1 && flash_clock(p->machine, cpu) < flash_turn_end(p->machine)) {
			flash_run(p->machine, cpu, 50);
			sim_access(p->sim, cpu, kind, first + (uint32_t)random_below(&p->rng, pages),
				   (uint32_t)random_below(&p->rng, PAGE_BYTES));
		}
		flash_idle(p->machine, cpu);
	}
	(void)flash_next_turn(p->machine);
}

static void turns(struct pattern *p, unsigned n, uint64_t cpus, enum flash_access kind, uint32_t first, uint32_t pages)
{
	while (n--)
		one_turn(p, cpus, kind, first, pages);
}

Test(pattern, a_page_of_one_user_comes_to_it)
{
	struct pattern p = make(NULL, 1);
	uint64_t misses = 0;
	struct flash_stats before, after;

	sim_place(p.sim, 0, 0);
	while (!sim_page_is_local(p.sim, 0, 5)) {
		sim_access(p.sim, 5, FLASH_WRITE, 0, (uint32_t)(misses++ * 128 % PAGE_BYTES));
		cr_assert_leq(misses, 129, "the trigger, and one more");
	}
	cr_expect_geq(misses, 128, "not before");
	cr_expect_not(sim_page_is_local(p.sim, 0, 0));
	before = sim_totals(p.sim);
	turns(&p, 100, 1u << 5, FLASH_WRITE, 0, 1);
	after = sim_totals(p.sim);
	cr_expect_gt(after.local - before.local, 1000);
	cr_expect_eq(after.remote, before.remote);
	cr_expect_eq(sim_stats(p.sim)->migrations, 1);
	sim_free(p.sim);
}

Test(pattern, readers_get_copies)
{
	struct pattern p = make(NULL, 16);
	struct flash_stats before, after;

	for (uint32_t page = 0; page < 16; page++)
		sim_place(p.sim, page, 0);
	turns(&p, 1500, 0xff, FLASH_READ, 0, 16);
	before = sim_totals(p.sim);
	turns(&p, 100, 0xff, FLASH_READ, 0, 16);
	after = sim_totals(p.sim);
	cr_expect_geq((double)(after.local - before.local),
		      0.95 * (double)(after.local + after.remote - before.local - before.remote));
	for (uint32_t page = 0; page < 16; page++)
		cr_expect_eq(sim_copies(p.sim, page), 8);
	cr_expect_eq(sim_stats(p.sim)->replicas, 16 * 7);
	cr_expect_eq(sim_stats(p.sim)->stale, 0);
	sim_free(p.sim);
}

Test(pattern, pages_that_all_write_stay)
{
	struct pattern p = make(NULL, 32);

	for (uint32_t page = 0; page < 32; page++)
		sim_place(p.sim, page, page % 8);
	turns(&p, 20000, 0xff, FLASH_WRITE, 0, 32);
	cr_expect_gt(flash_interval(p.machine), 1);
	cr_expect_eq(sim_stats(p.sim)->migrations + sim_stats(p.sim)->replications, 0);
	cr_expect_gt(sim_stats(p.sim)->refused[POLICY_WRITTEN], 100);
	sim_free(p.sim);
}

/* A writer among readers: copies are made and go again, and no more often than the policy lets it. */
Test(pattern, a_write_takes_the_copies_away)
{
	struct pattern p = make("interval-us=2000", 4);
	const struct sim_stats *s = sim_stats(p.sim);

	for (uint32_t page = 0; page < 4; page++)
		sim_place(p.sim, page, 0);
	for (unsigned round = 0; round < 100; round++) {
		turns(&p, 100, 0xff, FLASH_READ, 0, 4);
		for (uint32_t page = 0; page < 4; page++) {
			sim_access(p.sim, round % 8, FLASH_WRITE, page, 8 * round);
			cr_assert_eq(sim_copies(p.sim, page), 1);
		}
	}
	cr_expect_gt(s->collapses, 50);
	cr_expect_leq(s->collapses, 4u * flash_interval(p.machine), "one of a page in an interval");
	cr_expect_gt(s->refused[POLICY_FROZEN], 50);
	cr_expect_eq(s->replicas, 0);
	cr_expect_eq(s->stale, 0);
	sim_free(p.sim);
}

/* Time for so many accesses by two nodes that take turns with all pages; a phase is an interval, or a fraction of one. */
static uint64_t ping_pong(const char *settings, unsigned phase_turns, uint64_t *moves)
{
	struct pattern p = make(settings, 64);
	uint64_t time;

	for (uint32_t page = 0; page < 64; page++)
		sim_place(p.sim, page, 0);
	for (uint64_t left = 600000, phase = 0; left; phase++)
		for (unsigned turn = 0; left && turn < phase_turns; turn++) {
			unsigned cpu = phase & 1 ? 1 : 2;

			while (left && flash_clock(p.machine, cpu) < flash_turn_end(p.machine)) {
				flash_run(p.machine, cpu, 50);
				sim_access(p.sim, cpu, FLASH_WRITE, (uint32_t)random_below(&p.rng, 64),
					   (uint32_t)random_below(&p.rng, PAGE_BYTES));
				left--;
			}
			flash_idle(p.machine, 3 - cpu);
			(void)flash_next_turn(p.machine);
		}
	time = sim_time(p.sim);
	*moves = sim_stats(p.sim)->migrations;
	cr_expect_leq(*moves, 64u * (flash_interval(p.machine) + 1), "one of a page in an interval");
	cr_expect_leq(*moves, 64u * 4 * (flash_interval(p.machine) / 14 + 1), "four, and then ten intervals of rest");
	sim_free(p.sim);
	return time;
}

Test(pattern, ping_pong_is_bounded)
{
	static const unsigned phase_turns[] = {500, 1000, 2000, 5000};

	for (size_t i = 0; i < ARRAY_LEN(phase_turns); i++) { /* an interval is 1000 turns */
		uint64_t none, moves, off = ping_pong("interval-us=10000,migrate=off", phase_turns[i], &none),
				      on = ping_pong("interval-us=10000", phase_turns[i], &moves);

		fprintf(stderr, "ping-pong, phases of %u turns: %" PRIu64 " moves, %.1f %% of the time\n",
			phase_turns[i], moves, 100 * (double)on / (double)off);
		cr_expect_eq(none, 0);
		if (phase_turns[i] < 1000)
			cr_expect_eq(moves, 0, "both write to them");
		else
			cr_expect_gt(moves, 100);
		cr_expect_leq((double)on, 1.05 * (double)off, "phases of %u turns", phase_turns[i]);
	}
}

/* Private pages that began on one node: it is slow for all, until they have gone. */
Test(pattern, a_hot_node_cools)
{
	struct pattern p = make(NULL, 8 * 20);
	struct flash_controller_stats before = {0}, after;
	struct flash_stats a = {0}, b = {0}, c;

	for (uint32_t page = 0; page < 160; page++)
		sim_place(p.sim, page, 0);
	for (unsigned turn = 0; turn < 4000; turn++) {
		unsigned first = flash_turn_first(p.machine);

		if (turn == 100)
			a = sim_totals(p.sim);
		if (turn == 3000) {
			b = sim_totals(p.sim);
			before = flash_controller_stats(p.machine, 0);
		}
		for (unsigned i = 0; i < 8; i++) {
			unsigned cpu = (first + i) % 8;

			while (flash_clock(p.machine, cpu) < flash_turn_end(p.machine)) {
				flash_run(p.machine, cpu, 50);
				sim_access(p.sim, cpu, FLASH_READ, cpu * 20 + (uint32_t)random_below(&p.rng, 20),
					   (uint32_t)random_below(&p.rng, PAGE_BYTES));
			}
		}
		(void)flash_next_turn(p.machine);
	}
	c = sim_totals(p.sim);
	after = flash_controller_stats(p.machine, 0);
	cr_expect_gt((double)a.remote_stall / (double)a.remote, 1.5 * 360, "900 ns, and much waiting");
	cr_expect_eq(c.remote, b.remote, "all is local");
	cr_expect_lt((double)(c.local_stall - b.local_stall) / (double)(c.local - b.local), 1.02 * 120, "300 ns");
	cr_expect_lt((double)(after.requests - before.requests), 0.2 * (double)(c.local - b.local),
		     "an eighth is its own");
	for (unsigned n = 0; n < 8; n++)
		cr_expect_eq(sim_pages_used(p.sim, n), 20);
	sim_free(p.sim);
}

/* Nodes of 64 pages: copies are refused while a reserve is left, and go when it is needed. */
Test(pattern, memory_pressure)
{
	struct pattern p = make("memory=2M,reserve=25", 256);
	const struct sim_stats *s = sim_stats(p.sim);

	for (uint32_t page = 0; page < 60; page++)
		sim_place(p.sim, page, 0);
	turns(&p, 3000, 0xff, FLASH_READ, 0, 60);
	cr_expect_gt(s->replications, 7 * 40);
	cr_expect_gt(s->refused[POLICY_PRESSURE], 0);
	for (unsigned n = 1; n < 8; n++)
		cr_expect_leq(sim_pages_used(p.sim, n), 49, "a quarter is left");
	turns(&p, 100, 1u << 3, FLASH_WRITE, 60, 60); /* what node 3 has to have itself */
	cr_expect_gt(s->dropped, 0);
	for (uint32_t page = 60; page < 120; page++)
		cr_expect(sim_page_is_local(p.sim, page, 3), "page %u", page);
	cr_expect_eq(s->stale, 0);
	sim_free(p.sim);
}

/* First touch, round robin, one node: who has what at first. */
Test(pattern, first_places)
{
	static const char *const places[] = {"place=first-touch", "place=round-robin", "place=node,place-node=7"};

	for (unsigned i = 0; i < 3; i++) {
		struct pattern p = make(places[i], 80);

		for (uint32_t page = 0; page < 80; page++)
			sim_access(p.sim, page / 10, FLASH_WRITE, page, 0);
		for (unsigned n = 0; n < 8; n++)
			cr_expect_eq(sim_pages_used(p.sim, n),
				     i < 2    ? 10
				     : n == 7 ? 80
					      : 0,
				     "%s, node %u", places[i], n);
		for (uint32_t page = 0; i == 0 && page < 80; page++)
			cr_expect(sim_page_is_local(p.sim, page, page / 10));
		for (uint32_t page = 0; i == 1 && page < 80; page++)
			cr_expect(sim_page_is_local(p.sim, page, page % 8));
		sim_free(p.sim);
	}
}
