/* SPDX-License-Identifier: MIT */
#ifndef VMM_CLOCK_H
#define VMM_CLOCK_H

/*
 * Virtual time of one VM, and the alarms on it.  Count, the i8254, the RTC and the PM timer all derive from the one
 * number clock_now_ns(), so that moving it forward keeps them consistent.
 *
 *   normally   host CLOCK_MONOTONIC since power-on, plus what was skipped
 *   --icount   guest instructions executed * CLOCK_NS_PER_INSN, plus what was skipped
 *
 * The date is a number of its own, since skipping must not shift it: clock_date_ns().
 *
 * vCPU thread only, except clock_kick().
 */
#include "vmm/board/device.h"

struct guest_state;
struct clock;

#define CLOCK_NS_PER_INSN 5 /* --icount: a 200 MHz machine, as the Malta's Count (100 MHz) suggests */

/* fd: input to watch besides time, or -1. gs: whose poll flag to set. 0 or -errno. */
MUST_CHECK int clock_new(struct clock **out, struct guest_state *gs, bool icount, int input_fd);
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
/* Guest instructions executed since power-on (--icount). */
uint64_t clock_insns(const struct clock *c);
/* --icount: start a slice: sets gs->icount_left up to the next alarm (bounded). Call at every dispatch. */
void clock_begin_slice(struct clock *c);
/*
 * The guest is idle: wait (using no CPU) until an alarm is due, input arrives or clock_kick(); under --icount, skip to the
 * next alarm at once instead.
 */
void clock_idle(struct clock *c);
/* Time stands still, until clock_go(): the machine is paused.  The date does not.  --icount: it stands anyway. */
void clock_stop(struct clock *c);
void clock_go(struct clock *c);
/* While it stands: wait until input arrives, clock_kick(), or the host's clock (host_now_ns()) shows until_ns. */
void clock_wait(struct clock *c, uint64_t until_ns);
/* Input was seen since the last call of clock_input_done(). */
bool clock_input_ready(struct clock *c);
/* The input was read (again: wait for more), or is at its end (again = false: never look at it again). */
void clock_input_done(struct clock *c, bool again);
/*
 * Have the vCPU leave translated code every few milliseconds of work, so that it is seen where it is (region_sample()).
 * Not under --icount, where it would change nothing but take time.
 */
void clock_sample(struct clock *c);
/* Have fn(arg) called on the watcher's thread about every ms milliseconds while the guest is not idle. Before it runs. */
void clock_watch(struct clock *c, unsigned ms, void (*fn)(void *arg), void *arg);
/* Make the vCPU leave translated code and look around. Any thread; async-signal-safe. */
void clock_kick(struct clock *c);

#endif
