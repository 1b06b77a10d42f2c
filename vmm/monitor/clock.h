/* SPDX-License-Identifier: MIT */
#ifndef VMM_CLOCK_H
#define VMM_CLOCK_H

/*
 * Virtual time of one VM, and the alarms on it.  Count, the i8254, the RTC and the PM timer all derive from the one
 * number clock_now_ns(), so that moving it forward keeps them consistent.
 *
 *   normally   host CLOCK_MONOTONIC since power-on, plus what was skipped
 *   --icount   guest instructions executed * CLOCK_NS_PER_INSN, plus what was skipped
 *   --numa flash   cycles of the simulated processor; what is skipped, it is idle
 *
 * The date is a number of its own, since skipping must not shift it: clock_date_ns().
 *
 * Under the lock of its machine (vmm/monitor/vm.h), except clock_kick(), clock_input_ready() and clock_now_ns().
 */
#include "vmm/board/device.h"

struct guest_state;
struct clock;
struct watcher;

#define CLOCK_NS_PER_INSN 5 /* --icount: a 200 MHz machine, as the Malta's Count (100 MHz) suggests */

/* --numa flash: the simulated processor that runs gs, or did so last, has the time (simulation.h).  until_ns: 0 is at once. */
struct clock_source {
	uint64_t (*now_ns)(const struct guest_state *gs);
	uint64_t (*insns)(const struct guest_state *gs); /* of all of the machine */
	/* gs is about to execute instructions, until then or the end of its turn.  Between two of them. */
	void (*begin)(struct guest_state *gs, uint64_t until_ns);
	/* The same in the middle of a block, no later than it would have been. */
	void (*shorten)(struct guest_state *gs, uint64_t until_ns);
	/* It has nothing to do until then, or the end of the turn. */
	void (*idle)(struct guest_state *gs, uint64_t until_ns);
	/* Its guest polls, in the middle of an instruction, for what will be then: as if it had done so until then. */
	void (*skip)(struct guest_state *gs, uint64_t until_ns);
	/* Is it somebody else's turn? */
	bool (*turn_over)(struct guest_state *gs);
};

struct clock_config {
	struct watcher *watcher; /* of the monitor */
	struct guest_state *gs;  /* --icount: whose instructions are time; and whose poll flag a skip sets */
	bool icount;
	const struct clock_source *simulated; /* with icount: time is what it says; or NULL */
	int input_fd;                         /* input to watch besides time, or -1 */
	void (*wake)(void *arg);              /* have the machine's vCPUs look around; any thread */
	void *arg;
};

/* 0 or -errno. */
MUST_CHECK int clock_new(struct clock **out, const struct clock_config *cfg);
void clock_free(struct clock *c);

uint64_t clock_now_ns(struct clock *c);
/*
 * The date, ns since 1970: the host's CLOCK_REALTIME, whatever happens to that; under --icount what was set for power-on plus
 * virtual time, without what a guest that polls was allowed to skip.
 */
uint64_t clock_date_ns(struct clock *c);
/* --icount: the date at power-on. */
void clock_set_date(struct clock *c, uint64_t date_ns);
struct clock_ops clock_as_ops(struct clock *c);
/* Run the alarms that are due now, in the order of their times. Returns true if any ran. Cost: O(1) when none is due. */
bool clock_run_due(struct clock *c);
/* When the earliest alarm is due; UINT64_MAX: there is none. */
uint64_t clock_next_ns(const struct clock *c);
/* Guest instructions executed since power-on (--icount). */
uint64_t clock_insns(const struct clock *c);
/* --icount: start a slice: sets gs->icount_left up to the next alarm (bounded). Call at every dispatch. */
void clock_begin_slice(struct clock *c);
/* --icount: another vCPU of the machine has its turn, and its instructions are time from now on.  Between two instructions. */
void clock_switch(struct clock *c, struct guest_state *gs);
/*
 * --icount: the slices that begin from now on end, and idle time is skipped, at most ns from here; 0: without limit.  So each
 * machine of a repeatable monitor has its turn.
 */
void clock_turn(struct clock *c, uint64_t ns);
bool clock_turn_over(struct clock *c);
/* The alarm need not be on time while the guest is idle: clock_idle(). */
void clock_patient(struct clock *c, void (*fn)(void *), void *arg);
/*
 * The guest is idle.  slack_ns: patient alarms may be so late, if nothing else wakes it; not under --icount.  True: an alarm is due, or, under --icount, time has skipped to the next alarm or the end of the turn.
 * False: somebody has to wake it, an alarm with clock_config.wake.
 */
MUST_CHECK bool clock_idle(struct clock *c, uint64_t slack_ns);
/* It is not idle any more: alarms are on time again. */
void clock_awake(struct clock *c);
/* Time stands still, until clock_go(): the machine is paused.  The date does not.  --icount: it stands anyway. */
void clock_stop(struct clock *c);
void clock_go(struct clock *c);
/* --icount: no slice goes on beyond so many instructions (clock_insns()); UINT64_MAX: any does. Nothing else changes by that. */
void clock_stop_at(struct clock *c, uint64_t insns);
/*
 * --icount: the time and what is asked for at which, to be gone back to.  Between two instructions.  The alarms' owners are the same then, and in the state in
 * which they asked.
 */
size_t clock_state_bytes(void);
void clock_save(const struct clock *c, void *state);
void clock_restore(struct clock *c, const void *state);
/* Input was seen since the last call of clock_input_done(). */
bool clock_input_ready(struct clock *c);
/* The input was read (again: wait for more), or is at its end (again = false: never look at it again). */
void clock_input_done(struct clock *c, bool again);
/* clock_config.wake(): have the machine leave translated code, or wake up, and look around. Any thread. */
void clock_kick(struct clock *c);

#endif
