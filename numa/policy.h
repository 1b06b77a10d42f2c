/* SPDX-License-Identifier: MIT */
#ifndef NUMA_POLICY_H
#define NUMA_POLICY_H

/*
 * Where pages are to be (SOSP'97 4.2.3, 5.5; disco-facts.md 5.1, 5.2): first, and once they are hot.  Pure functions of the
 * counters, of a page's history and of how much memory is free; what they decide is done elsewhere.
 *
 *   heavily used by one node   migrate to it
 *   mostly read, by several    replicate to the nodes that miss
 *   written to by several      leave alone: it cannot gain
 *   moved too often already    leave alone
 */
#include <stdbool.h>
#include <stdint.h>

#include "numa/config.h"

enum policy_action { POLICY_LEAVE, POLICY_MIGRATE, POLICY_REPLICATE };

enum policy_reason {
#define POLICY_REASON(name, action, text) POLICY_##name,
#include "numa/policy.def"
	NUM_POLICY_REASONS
};

/*
 * What a page, and not one of its copies, has gone through; zero at first.  An interval is the number of one, from 0.
 */
struct policy_history {
	uint32_t interval;     /* of the last move or collapse */
	uint32_t moves;        /* in it, collapses too */
	uint32_t recent;       /* since the page last had none for cfg.thaw intervals, or was frozen */
	uint32_t frozen_until; /* an interval */
	bool collapsed;        /* in that interval */
};

/* A page that is hot for a processor. */
struct policy_page {
	const uint32_t *misses; /* [numa_cpus()], to the copy that the processor uses, in this interval */
	uint32_t writes;        /* among them */
	unsigned node;          /* of that copy */
	unsigned copies;        /* in all */
	const struct policy_history *history;
};

struct policy_decision {
	enum policy_action action;
	enum policy_reason reason;
};

/* Where memory stands on the processor's node, in pages. */
struct policy_memory {
	uint64_t free, pages;
};

/* What to do for processor cpu with a page that it misses on; to: the memory of its node. */
struct policy_decision policy_decide(const struct numa_config *cfg, unsigned cpu, const struct policy_page *page,
				     uint32_t interval, const struct policy_memory *to);
/* The page was migrated, or (collapsed) written to and has one copy again. */
void policy_moved(const struct numa_config *cfg, struct policy_history *h, uint32_t interval, bool collapsed);
/* Is a node so short of memory that it has no copies to spare? */
bool policy_short(const struct numa_config *cfg, const struct policy_memory *m);
/* The node for a page that a processor of `node` is the first to touch, the nth page to be placed. */
unsigned policy_place(const struct numa_config *cfg, unsigned node, uint64_t nth);

/* "shared by readers". */
const char *policy_reason_text(enum policy_reason reason);
enum policy_action policy_reason_action(enum policy_reason reason);

#endif
