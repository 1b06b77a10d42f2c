/* SPDX-License-Identifier: MIT */
/* Every decision of the policy, by a table; then what holds for whatever it is asked. */
#include <criterion/criterion.h>
#include <string.h>

#include "numa/policy.h"
#include "tests/numa/trace.h"

#define CPU 5 /* asks; of node 5, or 2 with two on each */

struct row {
	const char *what, *settings;
	unsigned node;
	uint32_t misses[16], writes;
	unsigned copies;
	struct policy_history history;
	uint64_t free; /* of 1000 pages */
	enum policy_reason reason;
};

#define MINE [CPU] = 128

static const struct row rows[] = {
    {"its own node's", NULL, 5, {MINE}, 0, 1, {0}, 500, POLICY_LOCAL},
    {"its own node's, of the other processor there", "cpus-per-node=2", 2, {MINE}, 0, 1, {0}, 500, POLICY_LOCAL},
    {"one miss short of the trigger", NULL, 0, {[CPU] = 127}, 0, 1, {0}, 500, POLICY_COLD},
    {"another trigger", "trigger=64", 0, {[CPU] = 64}, 0, 1, {0}, 500, POLICY_ONE_USER},
    {"another trigger, short of it", "trigger=64", 0, {[CPU] = 63}, 0, 1, {0}, 500, POLICY_COLD},

    {"one user", NULL, 0, {MINE}, 0, 1, {0}, 500, POLICY_ONE_USER},
    {"one user, who writes", NULL, 0, {MINE}, 128, 1, {0}, 500, POLICY_ONE_USER},
    {"others, but hardly", NULL, 0, {31, 31, 31, MINE}, 90, 1, {0}, 500, POLICY_ONE_USER},
    {"the other of its node", "cpus-per-node=2", 0, {[4] = 200, MINE}, 0, 1, {0}, 500, POLICY_ONE_USER},
    {"moves are off", "migrate=off", 0, {MINE}, 0, 1, {0}, 500, POLICY_NO_MOVES},
    {"moved before, in another interval", NULL, 0, {MINE}, 0, 1, {19, 1, 1, 0, false}, 500, POLICY_ONE_USER},
    {"moved before, in this one", NULL, 0, {MINE}, 0, 1, {20, 1, 1, 0, false}, 500, POLICY_MOVED},
    {"two moves are allowed", "moves=2", 0, {MINE}, 0, 1, {20, 1, 1, 0, false}, 500, POLICY_ONE_USER},
    {"two moves were allowed", "moves=2", 0, {MINE}, 0, 1, {20, 2, 2, 0, false}, 500, POLICY_MOVED},
    {"no move is allowed", "moves=0", 0, {MINE}, 0, 1, {0}, 500, POLICY_MOVED},
    {"collapsed in this interval, one user", NULL, 0, {MINE}, 0, 1, {20, 1, 1, 0, true}, 500, POLICY_MOVED},
    {"its last page", NULL, 0, {MINE}, 0, 1, {0}, 1, POLICY_ONE_USER},
    {"no page", NULL, 0, {MINE}, 0, 1, {0}, 0, POLICY_FULL},

    {"two readers", NULL, 0, {32, MINE}, 0, 1, {0}, 500, POLICY_READERS},
    {"two readers, of whom none has it", NULL, 0, {[3] = 32, MINE}, 0, 1, {0}, 500, POLICY_READERS},
    {"others read a lot before they share", "sharing=100", 0, {99, 99, MINE}, 0, 1, {0}, 500, POLICY_ONE_USER},
    {"others read that", "sharing=100", 0, {99, 100, MINE}, 0, 1, {0}, 500, POLICY_READERS},
    {"two processors of a node share", "cpus-per-node=2", 0, {16, 16, MINE}, 0, 1, {0}, 500, POLICY_READERS},
    {"copies elsewhere", NULL, 0, {MINE}, 0, 2, {0}, 500, POLICY_READERS},
    {"one write", NULL, 0, {32, MINE}, 1, 1, {0}, 500, POLICY_READERS},
    {"two writes", NULL, 0, {32, MINE}, 2, 1, {0}, 500, POLICY_WRITTEN},
    {"one write, and none is allowed", "writes=0", 0, {32, MINE}, 1, 1, {0}, 500, POLICY_WRITTEN},
    {"more writes are allowed", "writes=10", 0, {32, MINE}, 10, 1, {0}, 500, POLICY_READERS},
    {"copies are off", "replicate=off", 0, {32, MINE}, 0, 1, {0}, 500, POLICY_NO_COPIES},
    {"copies are off, one user", "replicate=off", 0, {MINE}, 0, 1, {0}, 500, POLICY_ONE_USER},
    {"moves are off, readers", "migrate=off", 0, {32, MINE}, 0, 1, {0}, 500, POLICY_READERS},
    {"moved in this interval, readers", NULL, 0, {32, MINE}, 0, 1, {20, 1, 1, 0, false}, 500, POLICY_READERS},
    {"collapsed in this interval", NULL, 0, {32, MINE}, 0, 1, {20, 1, 1, 0, true}, 500, POLICY_COLLAPSED},
    {"collapsed in another", NULL, 0, {32, MINE}, 0, 1, {19, 1, 1, 0, true}, 500, POLICY_READERS},
    {"just enough memory", NULL, 0, {32, MINE}, 0, 1, {0}, 40, POLICY_READERS},
    {"not enough memory", NULL, 0, {32, MINE}, 0, 1, {0}, 39, POLICY_PRESSURE},
    {"a larger reserve", "reserve=50", 0, {32, MINE}, 0, 1, {0}, 499, POLICY_PRESSURE},
    {"no reserve", "reserve=0", 0, {32, MINE}, 0, 1, {0}, 1, POLICY_READERS},
    {"no memory", "reserve=0", 0, {32, MINE}, 0, 1, {0}, 0, POLICY_PRESSURE},

    {"frozen", NULL, 0, {MINE}, 0, 1, {12, 1, 0, 21, false}, 500, POLICY_FROZEN},
    {"frozen, readers", NULL, 0, {32, MINE}, 0, 1, {12, 1, 0, 21, false}, 500, POLICY_FROZEN},
    {"thawed", NULL, 0, {MINE}, 0, 1, {12, 1, 0, 20, false}, 500, POLICY_ONE_USER},
};

static struct numa_config config(const char *settings)
{
	struct numa_config cfg;
	struct options_error err;

	numa_config_default(&cfg);
	cr_assert_eq(settings ? numa_config_parse(&cfg, numa_config_rows, "--numa", settings, &err) : 0, 0, "%s",
		     err.text);
	return cfg;
}

Test(policy, every_decision)
{
	bool seen[NUM_POLICY_REASONS] = {false};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		struct numa_config cfg = config(r->settings);
		struct policy_page page = {r->misses, r->writes, r->node, r->copies, &r->history};
		struct policy_memory to = {r->free, 1000};
		struct policy_decision d = policy_decide(&cfg, CPU, &page, 20, &to);

		cr_expect_eq(d.reason, r->reason, "%s: %s, and not %s", r->what, policy_reason_text(d.reason),
			     policy_reason_text(r->reason));
		cr_expect_eq(d.action, policy_reason_action(d.reason), "%s", r->what);
		seen[d.reason] = true;
	}
	for (unsigned i = 0; i < NUM_POLICY_REASONS; i++)
		cr_expect(seen[i], "no row decides: %s", policy_reason_text((enum policy_reason)i));
}

Test(policy, first_places)
{
	struct numa_config first = config(NULL), robin = config("place=round-robin,nodes=3"),
			   one = config("place=node,place-node=6");

	for (unsigned n = 0; n < 20; n++) {
		cr_expect_eq(policy_place(&first, n % 8, n), n % 8);
		cr_expect_eq(policy_place(&robin, 1, n), n % 3);
		cr_expect_eq(policy_place(&one, n % 8, n), 6);
	}
}

/* One move an interval: after four the page is left alone for ten, and then may move again. */
Test(policy, frozen_and_thawed)
{
	struct numa_config cfg = config(NULL);
	struct policy_history h = {0};
	uint32_t misses[8] = {[1] = 200};
	struct policy_page page = {misses, 0, 0, 1, &h};
	struct policy_memory to = {500, 1000};
	char seen[64] = "";

	for (uint32_t interval = 0; interval < 34; interval++) {
		bool moves = policy_decide(&cfg, 1, &page, interval, &to).action == POLICY_MIGRATE;

		if (moves)
			policy_moved(&cfg, &h, interval, false);
		strcat(seen, moves ? "m" : ".");
	}
	cr_expect_str_eq(seen, "mmmm..........mmmm..........mmmm..", "%s", seen);
}

/* The moves of an interval are those of that interval. */
Test(policy, two_moves_an_interval)
{
	struct numa_config cfg = config("moves=2,freeze=1000");
	struct policy_history h = {0};
	uint32_t misses[8] = {[1] = 200};
	struct policy_page page = {misses, 0, 0, 1, &h};
	struct policy_memory to = {500, 1000};

	for (uint32_t interval = 0; interval < 5; interval++)
		for (unsigned i = 0; i < 4; i++) {
			bool moves = policy_decide(&cfg, 1, &page, interval, &to).action == POLICY_MIGRATE;

			cr_expect_eq(moves, i < 2, "interval %u, %u", interval, i);
			if (moves)
				policy_moved(&cfg, &h, interval, false);
		}
}

/* Moves far apart are no ping-pong. */
Test(policy, forgets_moves_of_long_ago)
{
	struct numa_config cfg = config(NULL);
	struct policy_history h = {0};

	for (uint32_t interval = 0; interval < 1000; interval += 11)
		policy_moved(&cfg, &h, interval, false);
	cr_expect_eq(h.frozen_until, 0);
	for (uint32_t interval = 1000; interval < 1040; interval += 10)
		policy_moved(&cfg, &h, interval, false);
	cr_expect_eq(h.frozen_until, 1020 + 11);
}

/* Whatever the counters are. */
Test(policy, always)
{
	uint64_t rng = 3, moves = 0, copies = 0;

	for (unsigned i = 0; i < 300000; i++) {
		struct numa_config cfg = config(NULL);
		struct policy_history h = {(uint32_t)random_below(&rng, 3), (uint32_t)random_below(&rng, 3),
					   (uint32_t)random_below(&rng, 4), (uint32_t)random_below(&rng, 4),
					   random_below(&rng, 2)};
		struct policy_memory to = {random_below(&rng, 60), 1000};
		uint32_t misses[8], others = 0;
		struct policy_page page = {misses, 0, (unsigned)random_below(&rng, 8),
					   1 + (unsigned)random_below(&rng, 2), &h};
		unsigned cpu = (unsigned)random_below(&rng, 8);
		struct policy_decision d;

		for (unsigned c = 0; c < 8; c++) {
			misses[c] = (uint32_t)random_below(&rng, 1u << random_below(&rng, 9));
			others = c != cpu && misses[c] > others ? misses[c] : others;
		}
		misses[cpu] *= 1 + (uint32_t)random_below(&rng, 3);
		page.writes = (uint32_t)random_below(&rng, 4);
		d = policy_decide(&cfg, cpu, &page, 2, &to);
		if (d.action == POLICY_LEAVE)
			continue;
		cr_assert_neq(page.node, cpu);
		cr_assert_geq(misses[cpu], cfg.trigger);
		cr_assert_leq(h.frozen_until, 2);
		cr_assert_gt(to.free, 0);
		if (d.action == POLICY_MIGRATE) {
			cr_assert(others < cfg.sharing && page.copies == 1);
			cr_assert(h.interval != 2 || h.moves == 0);
			moves++;
		} else {
			cr_assert(others >= cfg.sharing || page.copies > 1);
			cr_assert_leq(page.writes, cfg.writes);
			cr_assert_geq(to.free, 40);
			copies++;
		}
	}
	cr_expect_gt(moves, 50);
	cr_expect_gt(copies, 500);
}
