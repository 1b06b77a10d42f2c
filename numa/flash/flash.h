/* SPDX-License-Identifier: MIT */
#ifndef NUMA_FLASH_FLASH_H
#define NUMA_FLASH_FLASH_H

/*
 * The simulated FLASH machine (SOSP'97 5.1, disco-facts.md 5 and 10): nodes in a mesh, processors with caches, a directory
 * at the home node of each line, a controller in each node that requests queue up for, and counters of misses by page and
 * processor.  README.md beside this says what each of them does, exactly: tests/numa/slow_model.c is written from that.
 *
 * It knows addresses only: nothing here holds data, and what it says is never needed for a right result.  Time is a
 * function of the calls and their order, never of the host's clock.  One thread at a time; no call but flash_new() can fail.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/panic.h"
#include "numa/config.h"

struct flash;
struct line_view;

enum flash_access { FLASH_FETCH, FLASH_READ, FLASH_WRITE };

/* What a processor has done, in cycles and events; all only grow. */
struct flash_stats {
	uint64_t executed;                    /* cycles of flash_run() */
	uint64_t monitor;                     /* of flash_work() */
	uint64_t idle;                        /* of flash_idle() */
	uint64_t l2_hits, l2_stall;           /* and cycles */
	uint64_t local, local_stall;          /* misses to the own node's memory, and cycles */
	uint64_t remote, remote_stall;        /* to other nodes' */
	uint64_t dirty;                       /* misses, of both, to lines that another processor had changed */
	uint64_t upgrades;                    /* misses, of both, by writes to lines that the cache had unchanged */
	uint64_t invalidations;               /* lines of its caches that others' writes took away */
	uint64_t writebacks;                  /* changed lines that its caches gave up */
	uint64_t local_waited, remote_waited; /* cycles of the stalls that were contention */
};

/* What a node's controller has done. */
struct flash_controller_stats {
	uint64_t requests, busy, waited; /* cycles, but the first */
	uint64_t unqueued;               /* requests too far behind the others for the queue to be known */
};

/* cfg: passed numa_config_check().  0 or -ENOMEM. */
MUST_CHECK int flash_new(struct flash **out, const struct numa_config *cfg);
void flash_free(struct flash *f);
const struct numa_config *flash_config(const struct flash *f);

/*
 * One access of a processor to the line that holds addr; one instruction is one FLASH_FETCH, and an access that crosses lines
 * is two.  addr: machine address, below cfg.memory.  The processor's clock grows by what the access stalls it.
 *
 * Returns  true if with this miss the page has become hot: the counter of this processor has reached cfg.trigger, and the page
 *	    is another node's.  At most once for a page, processor and interval.
 * Cost     2 ns for a hit of the line that the first level used last, 6 of another one, 12 in the second level, 260 for misses all
 *	    over 64 MiB (-O2, 2 GHz Sapphire Rapids).
 */
bool flash_access(struct flash *f, unsigned cpu, enum flash_access kind, uint64_t addr);
/* The same, but for one that would return true: nothing changes then, and it returns false. */
bool flash_access_unless_hot(struct flash *f, unsigned cpu, enum flash_access kind, uint64_t addr);
/* The same, if it is a hit of the first level, which takes no time; else nothing changes, and it returns false. */
bool flash_hit(struct flash *f, unsigned cpu, enum flash_access kind, uint64_t addr);
/* Is the line in the processor's first level for instructions? */
bool flash_has_code(const struct flash *f, unsigned cpu, uint64_t addr);
/*
 * Keep view up to date, so that who looks there need not call flash_access() for what is there: such an access would change nothing.
 * A line there is that of addr, and bias more.  It begins empty, and ends with the next one; NULL: none.
 */
void flash_attach(struct flash *f, unsigned cpu, struct line_view *view, uint64_t bias);
/* Cycles of instructions executed. */
void flash_run(struct flash *f, unsigned cpu, uint64_t cycles);
/* Cycles of the monitor's own. */
void flash_work(struct flash *f, unsigned cpu, uint64_t cycles);
/* Up to the turn's end; up to that time, but no further than the turn's end. */
void flash_idle(struct flash *f, unsigned cpu);
void flash_idle_until(struct flash *f, unsigned cpu, uint64_t cycles);
/* The same however far; the others come up to it in turns in which it has nothing to do. */
void flash_skip(struct flash *f, unsigned cpu, uint64_t cycles);

/* Cycles since the start. */
uint64_t flash_clock(const struct flash *f, unsigned cpu);
/* Each processor runs until its clock is there, then the next one does; after the last, flash_next_turn(). */
uint64_t flash_turn_end(const struct flash *f);
/* Of the last turn of the interval: the one with which another begins. */
uint64_t flash_last_turn_end(const struct flash *f);
/*
 * The processor that begins the turn, and after which the next ones follow; each in its turn.  Who runs first finds the
 * controllers free: always the same one would never wait.
 */
unsigned flash_turn_first(const struct flash *f);
/* True: with it a new interval has begun, and all counters of pages are 0. */
bool flash_next_turn(struct flash *f);
/* Intervals since the start. */
uint32_t flash_interval(const struct flash *f);

const struct flash_stats *flash_stats(const struct flash *f, unsigned cpu);
struct flash_controller_stats flash_controller_stats(const struct flash *f, unsigned node);

/* ---- counters of the interval ---- */
/* Misses to the page by each processor, [numa_cpus()]; NULL: none. */
const uint32_t *flash_page_misses(const struct flash *f, uint32_t mpn);
/* How many of them wanted to write. */
uint32_t flash_page_writes(const struct flash *f, uint32_t mpn);
/* Begin the page's anew: something else is there now. */
void flash_page_forget(struct flash *f, uint32_t mpn);
/* The node whose memory the page is. */
unsigned flash_page_node(const struct flash *f, uint32_t mpn);

#endif
