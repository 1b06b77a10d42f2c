/* SPDX-License-Identifier: MIT */
#ifndef VMM_REGION_H
#define VMM_REGION_H

/* Asking for tier 2 on behalf of the running machine.  vCPU thread. */
#include "vmm/cpu/vcpu.h"

/* Ask for tier 2 of the block at gs->pc and what it reaches. False: an exception was raised instead. */
bool region_request(struct vcpu *v);
/*
 * The guest was found at gs->pc when the dispatch loop was wanted for something else, a timer mostly: what is found there
 * REGION_HOT_SAMPLES times is asked for, loop or not.  Finds hot code that no counter sees, at no cost to code that runs.
 */
void region_sample(struct vcpu *v);
/* --tiers=2: compile one block with LLVM now. Takes v->arena, and b with it. NULL: refused, interpret it. */
struct translation *region_compile_now(struct vcpu *v, struct code_page *cp, struct ir_block *b);

#endif
