/* SPDX-License-Identifier: MIT */
#ifndef VMM_RUN_LOOP_H
#define VMM_RUN_LOOP_H

/* The dispatch loop: runs what jit/ made, and does what made it leave (README.md has the picture). */
#include "ir/guest_state.h"
#include "vmm/monitor/vm.h"

/* Run until the machine ends. The calling thread is the vCPU's. */
enum vm_end vm_run(struct vm *vm);
/* Go on from an exit of translated code that changed mode or mapping, without leaving it: struct jit_config.resume. */
void run_loop_resume(struct guest_state *gs);

#endif
