/* SPDX-License-Identifier: MIT */
#ifndef VMM_FOLLOW_H
#define VMM_FOLLOW_H

/*
 * --numa sample: pages come to the node of the processor that runs their machine.  At full speed nobody counts misses; who uses
 * what is learnt by sampling (SOSP'97 leaves the counting to FLASH's hardware; disco-facts.md 5.2).
 *
 *   every 10 ms    of the guest pages that are on other nodes, the next 32 in a circle are taken away from all that knows them
 *   10 ms later    those that were mapped again are in use: numa/policy.c is asked what to do, and it is done
 *
 * A page that came back counts as one that its node has missed on often enough; one that is shared counts as missed on by
 * another node as well.  So private pages migrate, shared ones are copied, and what has moved too often is left alone.
 * Limit: of a machine's vCPUs on several nodes nobody knows which one it was that has used a page: it comes to the one that looks.
 */
#include <stdint.h>

#include "base/panic.h"
#include "numa/policy.h"

struct vcpu;
struct vm;

struct follow_stats {
	uint64_t sampled, used; /* pages taken away; that came back */
	uint64_t migrated, replicated;
	uint64_t left[NUM_POLICY_REASONS]; /* used, and left alone */
	uint64_t refused;                  /* it was to move, and could not (a device has its address) */
};

/* vm->follow, if its monitor has nodes that pages are to follow to.  0 or -ENOMEM. */
MUST_CHECK int follow_new(struct vm *vm);
void follow_free(struct vm *vm);
/* If it is time: one step.  now_ns: the host's.  vCPU thread, outside of translated code, with its machine's lock. */
void follow(struct vcpu *v, uint64_t now_ns);
/* Zeroes without follow_new(). */
struct follow_stats follow_stats(const struct vm *vm);

#endif
