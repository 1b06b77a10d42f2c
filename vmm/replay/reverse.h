/* SPDX-License-Identifier: MIT */
#ifndef VMM_REPLAY_REVERSE_H
#define VMM_REPLAY_REVERSE_H

/*
 * A debugger that goes back (vmm/debug/): a repeatable machine keeps snapshots of itself, and what it has heard (history.h), and so comes to any
 * earlier moment by the snapshot before it and running on from there.
 *
 *                                                                    where it stands
 *     snapshot ─────────── snapshot ─────────── snapshot ──── x ── x ──── |        1. from the last snapshot on: what it would have stopped at (x)
 *                                                             ▲──────────┘        2. none: from the one before that, up to here
 *                                                                                  3. to the last of them, and stop
 *
 * In the past nothing is heard from outside, and what it prints was printed already.  Who changes something
 * begins anew there.
 * With it, a step is an instruction, an exception or an interrupt: what would happen without a debugger.
 */
#include "base/panic.h"
#include "base/types.h"

struct history;
struct reverse;
struct vcpu;
struct vm;

enum { REVERSE_INSNS = 20000000 }; /* between two snapshots, while they have room */

struct reverse_config {
	struct history *history; /* the machine's, which is at its beginning */
	uint64_t interval;       /* REVERSE_INSNS, or another one for tests */
	uint64_t memory_bytes;   /* capacity of machine memory: several times the machine's */
};

/* vm->reverse from here on. 0 or -ENOMEM. */
MUST_CHECK int reverse_new(struct reverse **out, struct vm *vm, const struct reverse_config *cfg);
/* Before the machine is freed, and not while it runs. NULL is fine. */
void reverse_free(struct reverse *r);

/* ---- the debugger's thread, while the machine is at rest ---- */
enum reverse_way { REVERSE_NOT, REVERSE_STEP, REVERSE_RUN };
/* Where it is let go next, it goes back: debug_go() follows. */
void reverse_ask(struct reverse *r, enum reverse_way way);
/* Registers or memory were changed. */
void reverse_changed(struct reverse *r);

/* ---- the vCPU's thread ---- */
/* A turn of the dispatch loop begins; not busy, without the lock. True: it is somewhere else now, or goes nowhere; look around anew. */
bool reverse_turn(struct vcpu *v);
/* Behind a turn: debug_after().  True: it is on its way, and does not stop. */
bool reverse_after(struct vcpu *v, bool executed);
/* It is on its way: breakpoints and watchpoints do not count (now). */
bool reverse_passes(const struct reverse *r);
/* It is on its way, and looks after each instruction. */
bool reverse_looks(const struct reverse *r);
/* It was beyond this moment already. */
bool reverse_is_past(const struct reverse *r);

#endif
