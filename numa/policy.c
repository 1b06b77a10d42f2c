/* SPDX-License-Identifier: MIT */
#include "numa/policy.h"

#include "base/panic.h"

static const struct {
	enum policy_action action;
	const char *text;
} reasons[] = {
#define POLICY_REASON(name, action, text) {POLICY_##action, text},
#include "numa/policy.def"
};

const char *policy_reason_text(enum policy_reason reason) { return reasons[reason].text; }
enum policy_action policy_reason_action(enum policy_reason reason) { return reasons[reason].action; }

static bool frozen(const struct policy_history *h, uint32_t interval) { return interval < h->frozen_until; }

/* Moves and collapses of this interval. */
static uint32_t moves_now(const struct policy_history *h, uint32_t interval)
{
	return h->interval == interval ? h->moves : 0;
}

/* Does another node use it too? */
static bool shared(const struct numa_config *cfg, unsigned node, const struct policy_page *page)
{
	if (page->copies > 1)
		return true;
	for (unsigned n = 0; n < cfg->nodes; n++) {
		uint64_t misses = 0;

		for (unsigned i = 0; i < cfg->cpus_per_node; i++)
			misses += page->misses[n * cfg->cpus_per_node + i];
		if (n != node && misses >= cfg->sharing)
			return true;
	}
	return false;
}

static enum policy_reason decide_shared(const struct numa_config *cfg, const struct policy_page *page,
					uint32_t interval, const struct policy_memory *to)
{
	if (!cfg->replicate)
		return POLICY_NO_COPIES;
	if (page->writes > cfg->writes)
		return POLICY_WRITTEN;
	if (page->history->collapsed && moves_now(page->history, interval))
		return POLICY_COLLAPSED;
	if (policy_short(cfg, to))
		return POLICY_PRESSURE;
	return POLICY_READERS;
}

static enum policy_reason decide_alone(const struct numa_config *cfg, const struct policy_page *page, uint32_t interval,
				       const struct policy_memory *to)
{
	if (!cfg->migrate)
		return POLICY_NO_MOVES;
	if (moves_now(page->history, interval) >= cfg->moves)
		return POLICY_MOVED;
	if (!to->free)
		return POLICY_FULL;
	return POLICY_ONE_USER;
}

static enum policy_reason decide(const struct numa_config *cfg, unsigned cpu, const struct policy_page *page,
				 uint32_t interval, const struct policy_memory *to)
{
	unsigned node = cpu / cfg->cpus_per_node;

	if (page->node == node)
		return POLICY_LOCAL;
	if (page->misses[cpu] < cfg->trigger)
		return POLICY_COLD;
	if (frozen(page->history, interval))
		return POLICY_FROZEN;
	return shared(cfg, node, page) ? decide_shared(cfg, page, interval, to) : decide_alone(cfg, page, interval, to);
}

struct policy_decision policy_decide(const struct numa_config *cfg, unsigned cpu, const struct policy_page *page,
				     uint32_t interval, const struct policy_memory *to)
{
	enum policy_reason reason = decide(cfg, cpu, page, interval, to);

	return (struct policy_decision){reasons[reason].action, reason};
}

void policy_moved(const struct numa_config *cfg, struct policy_history *h, uint32_t interval, bool collapsed)
{
	ASSERT(interval >= h->interval);
	if (interval != h->interval) {
		if (interval - h->interval > cfg->thaw)
			h->recent = 0;
		h->interval = interval;
		h->moves = 0;
		h->collapsed = false;
	}
	h->moves++;
	h->collapsed |= collapsed;
	if (++h->recent < cfg->freeze)
		return;
	h->recent = 0;
	h->frozen_until = interval + 1 + cfg->thaw;
}

bool policy_short(const struct numa_config *cfg, const struct policy_memory *m)
{
	return !m->free || m->free * 100 < m->pages * cfg->reserve;
}

unsigned policy_place(const struct numa_config *cfg, unsigned node, uint64_t nth)
{
	switch ((enum numa_place)cfg->place) {
	case NUMA_FIRST_TOUCH:
		break;
	case NUMA_ROUND_ROBIN:
		return (unsigned)(nth % cfg->nodes);
	case NUMA_ONE_NODE:
		return cfg->place_node;
	}
	return node;
}
