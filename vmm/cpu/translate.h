/* SPDX-License-Identifier: MIT */
#ifndef VMM_TRANSLATE_H
#define VMM_TRANSLATE_H

/* The first walk: from gs->pc to a block of IR and a translation.  vCPU thread. */
#include "vmm/cpu/vcpu.h"

/*
 * The translation for gs->pc, made if need be.  NULL: an exception was raised instead, or the block is to be interpreted
 * this once (*lifted is then the block, else NULL).
 * after_side_exit: tier 2 stopped before gs->pc, whose instruction needs a slow path: tier 1 only.
 */
struct translation *translate(struct vcpu *v, struct ir_block **lifted, bool after_side_exit);
/* Lift the block at gs->pc, at most max_guest instructions (0: no limit); NULL: exception. Lives until the next call. */
struct ir_block *translate_lift(struct vcpu *v, uint32_t max_guest);
/*
 * Lift and optimise the block at pc of a page, in arena a. NULL: the fetch of its delay slot raised an exception.
 * tier: who gets it, for dumps.
 */
struct ir_block *translate_page(struct vcpu *v, struct machine_page *page, uint64_t pc, uint32_t max_guest,
				enum tier tier, struct arena *a);

#endif
