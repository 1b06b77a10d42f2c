/* SPDX-License-Identifier: MIT */
#include "tests/numa/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/numa/slow_model.h"
#include "tests/numa/trace.h"

struct both {
	const struct replay *r;
	struct flash *fast;
	struct slow_model *slow;
	struct trace trace;
	struct replay_result out;
};

static void differ(struct both *b, const char *what, uint64_t fast, uint64_t slow)
{
	if (b->out.differences++)
		return;
	snprintf(b->out.first, sizeof(b->out.first),
		 "%s, seed %" PRIu64 ", access %" PRIu64 ": %s is %" PRIu64 ", by the slow model %" PRIu64,
		 b->r->settings, b->r->seed, b->out.accesses, what, fast, slow);
}

static void same(struct both *b, const char *what, uint64_t fast, uint64_t slow)
{
	if (fast != slow)
		differ(b, what, fast, slow);
}

/* All counters of the interval that ends now. */
static void compare_counters(struct both *b)
{
	uint32_t pages = (uint32_t)(b->r->bytes / PAGE_BYTES);

	for (uint32_t page = 0; page < pages; page++) {
		const uint32_t *misses = flash_page_misses(b->fast, page);

		for (unsigned cpu = 0; cpu < b->trace.cpus; cpu++)
			same(b, "counter", misses ? misses[cpu] : 0, slow_misses(b->slow, page, cpu));
		same(b, "counter of writes", flash_page_writes(b->fast, page), slow_writes(b->slow, page));
		b->out.rows++;
	}
}

static void compare_stats(struct both *b)
{
	for (unsigned cpu = 0; cpu < b->trace.cpus; cpu++) {
		struct flash_stats f = *flash_stats(b->fast, cpu), s = slow_stats(b->slow, cpu);

#define STAT(field) same(b, #field, f.field, s.field)
		STAT(l2_hits);
		STAT(l2_stall);
		STAT(local);
		STAT(local_stall);
		STAT(remote);
		STAT(remote_stall);
		STAT(dirty);
		STAT(upgrades);
		STAT(invalidations);
		STAT(writebacks);
		STAT(local_waited);
		STAT(remote_waited);
#undef STAT
		same(b, "clock", flash_clock(b->fast, cpu), slow_clock(b->slow, cpu));
		b->out.misses += f.local + f.remote;
		b->out.dirty += f.dirty;
		b->out.upgrades += f.upgrades;
		b->out.invalidations += f.invalidations;
		b->out.writebacks += f.writebacks;
		b->out.waited += f.local_waited + f.remote_waited;
	}
}

static void one_access(struct both *b, unsigned cpu)
{
	struct trace_access a = trace_next(&b->trace, cpu);
	bool fast, slow;

	b->out.accesses++;
	if (b->out.accesses == b->r->sabotage) /* a read that only the model hears of */
		(void)flash_access(b->fast, (cpu + 1) % b->trace.cpus, FLASH_READ, a.addr);
	flash_run(b->fast, cpu, a.cycles);
	slow_run(b->slow, cpu, a.cycles);
	fast = flash_access(b->fast, cpu, a.kind, a.addr);
	slow = slow_access(b->slow, cpu, a.kind, a.addr);
	b->out.hot += slow;
	same(b, "hot", fast, slow);
	same(b, "clock", flash_clock(b->fast, cpu), slow_clock(b->slow, cpu));
	if (b->r->forgets && random_below(&b->trace.rng, b->r->forgets) == 0) {
		uint32_t page = (uint32_t)(a.addr / PAGE_BYTES);

		flash_page_forget(b->fast, page);
		slow_page_forget(b->slow, page);
	}
}

static bool done(const struct both *b) { return b->out.differences || b->out.accesses >= b->r->accesses; }

static void one_turn(struct both *b)
{
	bool fast, slow;

	for (unsigned i = 0; i < b->trace.cpus; i++) {
		unsigned cpu = (flash_turn_first(b->fast) + i) % b->trace.cpus;

		if (random_below(&b->trace.rng, 16) == 0) { /* nothing to do */
			flash_idle(b->fast, cpu);
			slow_idle(b->slow, cpu);
		}
		while (!done(b) && flash_clock(b->fast, cpu) < flash_turn_end(b->fast))
			one_access(b, cpu);
	}
	if (done(b))
		return;
	if (flash_turn_end(b->fast) / 64 % 61 == 0) /* now and then in the middle of an interval */
		compare_counters(b);
	fast = flash_next_turn(b->fast);
	slow = slow_next_turn(b->slow);
	same(b, "interval", fast, slow);
	b->out.intervals += slow;
}

struct replay_result replay(const struct replay *r)
{
	struct both b = {.r = r};
	struct numa_config cfg;
	struct options_error err;

	numa_config_default(&cfg);
	if (numa_config_parse(&cfg, numa_config_rows, "--numa", r->settings, &err)) {
		b.out.differences = 1;
		snprintf(b.out.first, sizeof(b.out.first), "%.200s", err.text);
		return b.out;
	}
	if (flash_new(&b.fast, &cfg)) {
		b.out.differences = 1;
		snprintf(b.out.first, sizeof(b.out.first), "no memory");
		return b.out;
	}
	b.slow = slow_new(&cfg);
	trace_init(&b.trace, r->seed, r->bytes, numa_cpus(&cfg));
	while (!done(&b))
		one_turn(&b);
	if (!b.out.differences) {
		compare_counters(&b);
		compare_stats(&b);
	}
	slow_free(b.slow);
	flash_free(b.fast);
	return b.out;
}
