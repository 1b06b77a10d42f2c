/* SPDX-License-Identifier: MIT */
#ifndef VMM_PROFILE_H
#define VMM_PROFILE_H

/*
 * Where the vCPUs of a machine are found while somebody wants to know (`disco top --functions`): sched_profile() has a vCPU that runs look
 * around every SCHED_SAMPLE_MS or so, and the dispatch loop puts down where that was.  It is the next place that polls: the head of a
 * loop, a call, a return.  With nobody asking it costs a test for each such look around, and translated code nothing.
 */
#include "base/profile.h"
#include "base/types.h"

struct profile;
struct vcpu;
struct vm;

/* NULL: no memory on the host. */
struct profile *profile_new(void);
/* NULL is fine. */
void profile_free(struct profile *p);
/* Forget what there is, and sample the machine's vCPUs for ms, up to PROFILE_MAX_MS.  Any thread. */
void profile_begin(struct profile *p, struct vm *vm, unsigned ms);
/* v is there now.  Its thread, outside of translated code.  Cost: a hash of its page. */
void profile_take(struct profile *p, struct vcpu *v);
/* What there is so far.  Any thread. */
void profile_copy(struct profile *p, struct profile_sum *out);

#endif
