/* SPDX-License-Identifier: MIT */
#ifndef VMM_CACHES_H
#define VMM_CACHES_H

/*
 * --numa flash: a vCPU's accesses go through the caches of the simulated processor that runs it (numa/flash/), line by line.
 *
 *   translated code   LOADs, STOREs and FETCHes compare with guest_state.lines, and ask nobody about a hit; all else comes here
 *   interpreter       every access comes here
 *
 * The time of a stall is the guest's: guest_state.icount_left counts cycles, one for each instruction and those of the stalls.  It is
 * looked at only where a branch has ended, which all tiers have in common (run_loop.c): so the same is executed between two looks
 * whatever was translated when, and time is a function of what was executed.
 *
 * Fetches: a line is fetched where control comes to it, and again when an access of the code in it has thrown it out.  So a line that
 * is fetched once more by code that was there already changes nothing, and it does not matter how a page was cut into blocks.
 *
 * A miss by which a page becomes hot is that of an instruction which is executed alone (mem_step_alone()): whatever is done about the
 * page is done between this instruction and the next one.
 */
#include <stdbool.h>
#include <stdint.h>

#include "numa/flash/flash.h"

struct machine_page;
struct vcpu;

enum { CACHES_HOT = 4 }; /* pages that one instruction can have become hot: its own, what it reads and writes */

/* Part of struct vcpu. */
struct caches {
	struct flash *flash; /* NULL: not simulated */
	unsigned cpu;        /* of it */
	const uint8_t *base; /* of machine memory, and its size */
	uint64_t bytes;
	int64_t mark; /* icount_left and what is to come of the block, when the processor's clock was last put right */
	uint64_t insns; /* executed up to then */
	bool stop;      /* caches_stop_soon(), and the dispatch loop has not looked around since */
	bool later;     /* a hot page is not of an instruction that was executed alone */
	uint64_t waits; /* cycles of that processor's when it was seen to wait for it; 0: it was not */
	unsigned n_hot;
	uint32_t hot[CACHES_HOT]; /* machine pages, for simulation_decide() */
};

/* The access to these bytes of machine memory, which lie in one line.  True: not now, gs->leave is set. */
bool caches_access(struct vcpu *v, enum flash_access kind, const uint8_t *host);

/* The processor's clock, up to the instruction in progress. */
uint64_t caches_cycles(const struct vcpu *v);
/* Let the clock know of it. */
void caches_sync(struct vcpu *v);
/* guest_state.icount_left for so many cycles from now on.  Between two instructions. */
void caches_begin(struct vcpu *v, uint64_t cycles);
/* No more than so many cycles from now on; in the middle of a block. */
void caches_shorten(struct vcpu *v, uint64_t cycles);
/* The next end of a branch is to leave, and to be served (run_loop.c). */
void caches_stop_soon(struct vcpu *v);
/* Code is about to run in the page. */
void caches_enter_page(struct vcpu *v, const struct machine_page *page);
/* Unmapped code at pc is in the page. */
void caches_abs_page(struct vcpu *v, uint64_t pc, const struct machine_page *page);

#endif
