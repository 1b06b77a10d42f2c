/* SPDX-License-Identifier: MIT */
#ifndef VMM_WATCHER_H
#define VMM_WATCHER_H

/*
 * The watcher: one thread of a monitor that waits for times and for descriptors on behalf of everybody else, and tells them.
 * It does no work itself: what it calls sets a flag, or puts a vCPU into a queue.
 */
#include "base/panic.h"
#include "base/types.h"

struct watcher;

#define WATCH_NEVER UINT64_MAX

/* What is waited for.  Embedded in whoever waits, who fills in the first three before watcher_add(). */
struct watch {
	void (*due)(void *arg, uint64_t now_ns); /* at_ns has come; or NULL.  Watcher thread, without its lock */
	void (*readable)(void *arg);             /* the descriptor has something, or its end; or NULL */
	void *arg;

	/* The watcher's, under its lock. */
	uint64_t at_ns; /* host_now_ns(), or WATCH_NEVER */
	int fd;         /* a duplicate, or -1 */
	bool file;      /* it cannot be waited for: a file, which has always something */
	struct watch *next;
};

/* 0 or -errno. */
MUST_CHECK int watcher_new(struct watcher **out);
/* All watches must be gone. NULL is fine. */
void watcher_free(struct watcher *w);
/* fd: to be looked at once watcher_ask() was called, or -1.  0 or -errno. */
MUST_CHECK int watcher_add(struct watcher *w, struct watch *x, int fd);
/* Waits until a call of x's in progress is through; so not from there. One that was never added is fine. */
void watcher_remove(struct watcher *w, struct watch *x);
/*
 * Have due() called at that time, once; replaces the time before.  Any thread, and locks of the caller's may be held.
 * Cost: a lock; a system call if no other watch is due earlier.
 */
void watcher_at(struct watcher *w, struct watch *x, uint64_t at_ns);
/* Have readable() called when the descriptor has something, once.  Of a file that is now, and on this thread. */
void watcher_ask(struct watcher *w, struct watch *x);

#endif
