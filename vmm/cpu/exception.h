/* SPDX-License-Identifier: MIT */
#ifndef VMM_EXCEPTION_H
#define VMM_EXCEPTION_H

/* Exceptions and interrupts of the guest.  vCPU thread. */
#include "vmm/cpu/vcpu.h"

/*
 * Deliver a guest exception raised at gs->pc (gs->site says whether in a delay slot, and how many counted
 * instructions to give back): sets EPC, Cause, Status.EXL, gs->pc, and gs->leave = EXIT_EXCEPTION.
 * code: EXC_* | coprocessor << 8.  vCPU thread.  Source: MIPS32 PRA volume III, 6.2 "Exceptions".
 */
void exception_raise(struct vcpu *v, uint32_t code);
/* Same for an address or TLB exception: BadVAddr, Context and EntryHi too. refill: use the refill vector. */
void exception_raise_address(struct vcpu *v, uint32_t code, struct gva va, bool refill);
/* Give back the instructions that the block's head counted from the one at gs->site on. */
void exception_refund(struct vcpu *v);
/* Deliver an interrupt if one is pending and enabled. Outside translated code. True if delivered. */
bool exception_check_interrupts(struct vcpu *v);
bool exception_interrupt_pending(const struct vcpu *v);

/* "TLBL"; NULL: there is none of that code. */
extern const char *const exception_names[32];

#endif
