/* SPDX-License-Identifier: MIT */
#ifndef VMM_WATCHDOG_H
#define VMM_WATCHDOG_H

/*
 * Sees a vCPU that has executed no guest instruction for a second of host time.  Two ways lead there:
 *
 *   a fault of ours   translated code goes round without reaching a poll or an instruction.  jit/README.md ("Progress") says why
 *                     that cannot be; if it is all the same, the caches that lead code from block to block are emptied
 *                     under it, it leaves, and everything translated is dropped.
 *   the guest's own   its exception handler raises an exception with its first instruction, for ever.  A real CPU would do
 *                     the same; it is left alone.
 *
 * Each is reported once, by vm_config.report.
 */
#include <stdbool.h>
#include <stdint.h>

struct vcpu;

enum watchdog_where { WATCHDOG_LOOP, WATCHDOG_CODE, WATCHDOG_DEVICE };

#define WATCHDOG_TICK_MS 250

struct watchdog {
	/* Relaxed atomics; the vCPU thread writes, the watcher reads. */
	uint32_t turns; /* of the dispatch loop */
	uint32_t where; /* enum watchdog_where */
	/* Relaxed atomic; the watcher writes, the vCPU thread clears. */
	uint32_t thrown; /* was found stuck: what led it round is gone */

	/* Watcher's. */
	uint32_t seen_turns, quiet; /* ticks without a turn */
	uint64_t cpu_ns;            /* of the thread that runs the vCPU, when they began */
	bool hopeless;              /* said so */

	/* vCPU thread's. */
	bool reported;
	uint32_t vector;   /* where the last exception went */
	uint32_t chain;    /* exceptions since then that were raised at their vector */
	uint64_t chain_ns; /* host time of the first */
	bool chain_reported;
};

/* About every WATCHDOG_TICK_MS while the guest works. Watcher thread. */
void watchdog_tick(struct vcpu *v);
/* Translated code was left: if the watchdog did that, say so and start afresh. tier: of what was entered. vCPU thread. */
void watchdog_left_code(struct vcpu *v, int tier, int exit);
/* An exception is delivered that was raised at pc. vCPU thread. */
void watchdog_exception(struct vcpu *v, uint32_t pc, uint32_t vector, uint32_t code);

/* Where the vCPU's thread is from now on; returns where it was. */
static inline enum watchdog_where watchdog_enter(struct watchdog *w, enum watchdog_where where)
{
	enum watchdog_where was = (enum watchdog_where)w->where; /* one writer */

	__atomic_store_n(&w->where, where, __ATOMIC_RELAXED);
	return was;
}

static inline void watchdog_turn(struct watchdog *w)
{
	/* one writer */
	__atomic_store_n(&w->turns, w->turns + 1, __ATOMIC_RELAXED);
}

#endif
