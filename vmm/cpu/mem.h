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
/* The physical address of va as a load of the current mode reaches it; 0 if it does not. */
uint64_t mem_physical(struct vcpu *v, struct gva va);
/* True if va is in an unmapped segment in the current mode (MODE_ABS code). */
bool mem_unmapped(const struct vcpu *v, struct gva va);
/* The page is about to have a code record, or lifted blocks: take write tags away. */
void mem_protect_code(struct vcpu *v, struct machine_page *page);

#endif
