/* SPDX-License-Identifier: MIT */
#ifndef VMM_MEM_H
#define VMM_MEM_H

/* The second walk, from a miss in the L2TLB: segments, guest TLB, pmap, devices.  vCPU thread. */
#include "vmm/cpu/vcpu.h"

MUST_CHECK int mem_new(struct vcpu *v);
void mem_free(struct vcpu *v);
/*
 * The machine page that pc executes from, or NULL after raising ADEL, TLBL, TLBXI or IBE at gs->pc / gs->site.
 * Cost: a probe of the L2TLB's exec tag when that hits.
 */
struct machine_page *mem_fetch(struct vcpu *v, struct gva pc);
/* The same without raising anything. */
struct machine_page *mem_fetch_try(struct vcpu *v, struct gva pc);
/*
 * Go back to the dispatch loop, which then executes the instruction that made this call by itself, with the vCPU between
 * two instructions before and after it, and no translated code on the stack (vcpu.step).  In a delay slot that is the branch with
 * its slot, as if it were after an exception.
 */
void mem_step_alone(struct vcpu *v);
/* A fetch from there would have siblings parked, which it must not do now: mem_step_alone() first. */
bool mem_fetch_needs_parking(struct vcpu *v, struct gva pc);
/*
 * Words of LL and SC, in memory that others use too (atomic.c).  NULL or false with gs->leave set: an exception was raised, or the
 * instruction is to be executed alone.  NULL without: there is no memory.
 */
const uint8_t *mem_linked_word(struct vcpu *v, struct gva va, uint32_t meta);
/* try() stores, or does not, and that is the result; false also where there is no memory. */
bool mem_conditional_word(struct vcpu *v, struct gva va, uint32_t meta, bool (*try)(struct vcpu *v, uint8_t *host));
/* The physical address of va as a load of the current mode reaches it; 0 if it does not. */
uint64_t mem_physical(struct vcpu *v, struct gva va);
/* True if va is in an unmapped segment in the current mode (MODE_ABS code). */
bool mem_unmapped(const struct vcpu *v, struct gva va);
/* The page is about to have a code record, or lifted blocks: take write tags away. */
void mem_protect_code(struct vcpu *v, struct machine_page *page);

#endif
