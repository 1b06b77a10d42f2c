/* SPDX-License-Identifier: MIT */
#ifndef NUMA_FLASH_MACHINE_H
#define NUMA_FLASH_MACHINE_H

/* Private to numa/flash/: the machine and its parts. */
#include "base/line_view.h"
#include "numa/flash/cache.h"
#include "numa/flash/controller.h"
#include "numa/flash/counters.h"
#include "numa/flash/flash.h"

struct processor {
	uint64_t clock; /* cycles */
	unsigned node;
	struct line_view *view; /* flash_attach(), or NULL */
	uint64_t bias;
	unsigned page_shift; /* of a line's number: that of its page */
	struct cache l1[2];  /* for data, for instructions */
	struct cache l2;     /* all that the first level has, and the right to write to it */
	struct flash_stats stats;
};

/*
 * Who has a line in its cache, for each line of memory, as the line's home keeps it.  One bit a processor; owned: exactly
 * one has it, and memory's copy is old.  Exact: caches say when they give a line up.
 */
struct directory {
	uint64_t *holders; /* [lines]; demand zero */
	uint8_t *owned;    /* a bit a line; demand zero */
	uint64_t lines;
};

/* The latencies and occupancies of config.def, in cycles. */
struct latencies {
	uint64_t l2, local, remote, near_dirty, local_dirty, home_dirty, third_dirty, hop, invalidate;
	uint64_t occupy_local, occupy_remote, occupy_owner, occupy_writeback;
};

struct flash {
	struct numa_config cfg;
	unsigned cpus, line_shift;
	uint32_t pages;
	int node_shift; /* of a page's number: its node, where all have a power of two of pages; else -1 */
	uint8_t hops[NUMA_MAX_CPUS][NUMA_MAX_CPUS]; /* between nodes */
	struct latencies cycles;
	uint64_t turn, turn_end, interval, interval_end; /* cycles */
	struct directory directory;
	struct counters counters;
	struct controller *controller; /* [nodes] */
	struct processor processor[NUMA_MAX_CPUS];
};

/* ---- directory.c ---- */
MUST_CHECK int directory_init(struct directory *d, uint64_t lines);
void directory_fini(struct directory *d);
/* What a miss came to: how long it took, without what it waited, and that. */
struct directory_reply {
	uint64_t cycles, waited;
	bool remote, dirty;
};
/*
 * The processor misses on the line, now: it gets it from wherever it is, and all others lose it (write), or their right to
 * write to it.  Their caches are changed, its own are not.
 */
struct directory_reply directory_miss(struct flash *f, unsigned cpu, uint64_t line, bool write);
/* Its cache gives the line up, after a miss of now. */
void directory_evict(struct flash *f, unsigned cpu, uint64_t line, bool owned);

/* ---- processor.c ---- */
MUST_CHECK int processor_init(struct processor *p, const struct numa_config *cfg, unsigned node);
void processor_fini(struct processor *p);
/* Another processor's write takes the line away. */
void processor_invalidate(struct processor *p, uint64_t line);
/* Another processor's read takes the right to write to it away. */
void processor_disown(struct processor *p, uint64_t line);

#endif
