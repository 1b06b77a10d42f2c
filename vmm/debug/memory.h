/* SPDX-License-Identifier: MIT */
#ifndef VMM_DEBUG_MEMORY_H
#define VMM_DEBUG_MEMORY_H

/*
 * Guest memory for a debugger: RAM only, since a look at a device may change it.  Virtual addresses as the vCPU's TLB has them now, or
 * had them (its L2TLB), whatever its mode; physical ones as the board has them.  Nothing that the guest can see changes but what
 * is written; what is read and was never touched reads as zeroes, and stays untouched.
 */
#include "base/panic.h"
#include "base/types.h"

struct vcpu;

struct debug_memory {
	struct vcpu *v;
	bool physical;
	uint32_t address;
	uint8_t *bytes;
	size_t n;
	size_t done; /* out: up to the first that is not there */
};

/* Both from debug_act(). */
void debug_memory_read(struct debug_memory *m);
/* Translations of what is written go. */
void debug_memory_write(struct debug_memory *m);
/* The physical address of va. False: it is not mapped. */
bool debug_translate(struct vcpu *v, uint32_t va, struct gpa *pa);

#endif
