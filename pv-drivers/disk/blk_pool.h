/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_BLK_POOL_H
#define PV_DRIVERS_BLK_POOL_H

/*
 * Threads that do what may block, so that the vCPU never waits for the host's disk: jobs go in, any thread does them in any
 * order, and the owner collects them.
 */
#include "base/panic.h"
#include "base/types.h"

struct blk_job {
	struct blk_job *next; /* the pool's */
};
struct blk_pool;

/*
 * work runs on a thread of the pool; done, on such a thread too, tells the owner that blk_pool_collect() has something
 * again.  0 or -errno (-EAGAIN: no threads to be had).
 */
MUST_CHECK int blk_pool_new(struct blk_pool **out, unsigned threads, void (*work)(void *opaque, struct blk_job *job),
			    void (*done)(void *opaque), void *opaque);
/* Ends the threads; nothing may be in the pool. */
void blk_pool_free(struct blk_pool *p);
void blk_pool_add(struct blk_pool *p, struct blk_job *job);
/* All that are done, in a list, in the order in which they were; NULL: none. */
struct blk_job *blk_pool_collect(struct blk_pool *p);
/* What has not begun will not; wait for what has.  All of them, in a list; the pool is empty. */
struct blk_job *blk_pool_cancel(struct blk_pool *p);

#endif
