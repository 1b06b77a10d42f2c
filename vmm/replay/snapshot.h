/* SPDX-License-Identifier: MIT */
#ifndef VMM_REPLAY_SNAPSHOT_H
#define VMM_REPLAY_SNAPSHOT_H

/*
 * A repeatable machine (--icount, one vCPU) as it was between two instructions, to go back to, in memory.  What takes part is a table
 * (snapshot.c); what is no part of it follows from the others, or is the host's.  Guest memory is shared with the machine, which copies a page
 * when it writes to it.  By whoever runs the vCPU, outside of translated code, under the machine's lock.
 */
#include "base/panic.h"
#include "base/types.h"

struct snapshot;
struct vm;

/* NULL, or the name of a device that cannot go back. */
const char *snapshot_hindrance(struct vm *vm);
/* 0, -ENOMEM, or -EBUSY: not now; try a little later. */
MUST_CHECK int snapshot_take(struct snapshot **out, struct vm *vm);
/* The machine is as it was then.  -ENOMEM: a part of it is, and it is to end. */
MUST_CHECK int snapshot_restore(const struct snapshot *s, struct vm *vm);
/* Before the machine's memory is freed. NULL is fine. */
void snapshot_free(struct snapshot *s, struct vm *vm);

#endif
