/* SPDX-License-Identifier: MIT */
#ifndef VMM_RUN_LOOP_H
#define VMM_RUN_LOOP_H

/* The dispatch loop: runs what jit/ made, and does what made it leave (README.md has the picture). */
#include "ir/guest_state.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/vm.h"

/*
 * Run until the machine ends.  The caller waits while the monitor's processors do it (vmm/monitor/sched.h); what the machine's
 * configuration has it call is called on their threads, one at a time and under the machine's lock.
 */
enum vm_end vm_run(struct vm *vm);
/* One slice of v on this processor's thread: until it has nothing to do, or sched_vcpu.yield. */
enum run_slice run_loop_slice(struct vcpu *v);
/* Go on from an exit of translated code that changed mode or mapping, without leaving it: struct jit_config.resume. */
void run_loop_resume(struct guest_state *gs);

#endif
