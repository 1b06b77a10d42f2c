/* SPDX-License-Identifier: MIT */
#ifndef VMM_HOST_STOP_H
#define VMM_HOST_STOP_H

/*
 * How a run is ended from outside: a thread that has the process's signals (by a signalfd, so that no handler needs a
 * global), and the time that a run may take.  A run is of one machine or of several, each with a thread of its own.
 *
 *   a signal ──┬─► somebody takes it (a command in the guest) ──► SIGINT: that was all; SIGTERM, SIGHUP: STOP_GRACE_MS
 *   --timeout ─┤    to end by itself, then ──┐
 *   a second ──┴────────────────────────────►┴─► the end: asked for every STOP_TICK_MS, with a signal that interrupts the
 *                                                machines' threads where they wait; a machine's disks are flushed by a
 *                                                thread of their own if its own has not come to that by itself;
 *                                                STOP_LIMIT_MS after the signal the process exits, whatever holds it
 *
 * So every run ends within 2 s of one SIGTERM, in whatever state it is, and without waiting for locks that others hold.
 */
#include <pthread.h>
#include <signal.h>

#include "base/panic.h"
#include "base/types.h"

struct stop;

/* Does nothing but interrupt system calls of the thread that it is sent to, from stop_open() on. */
#define STOP_SIGNAL SIGRTMIN

enum {
	STOP_GRACE_MS = 1200,
	STOP_FLUSH_MS = 300, /* after the end was asked for */
	STOP_LIMIT_MS = 1700,
	STOP_TICK_MS = 20,
	STOP_TIMED_OUT = 124, /* as timeout(1) */
};

/* All on stop's thread but flush, which has one of its own for each machine.  None may wait for more than a moment, but flush. */
struct stop_ops {
	bool (*pass)(void *opaque, int sig); /* true: somebody in the guest gets the signal */
	void (*end)(void *opaque);        /* ask the machines to end, and interrupt what runs them; again and again */
	void (*flush)(void *machine);     /* write what its disks still hold; not after its stop_settle() */
	void (*leave)(void *opaque);      /* the process exits now: give the terminal back */
	void (*statistics)(void *opaque); /* SIGUSR1 */
	void (*look)(void *opaque);       /* look_ms after stop_open(), once */
	void (*resized)(void *opaque);    /* SIGWINCH; SIGCONT: in the background nobody tells us of a new size */
	void *opaque;
};

struct stop_config {
	struct stop_ops ops;
	const char *speaker;      /* what is said begins with this: "disco run" */
	bool sizes;               /* take SIGWINCH and SIGCONT */
	bool pipes;               /* block SIGPIPE: a write to a reader that went away is an error */
	uint64_t timeout_ms;      /* 0: none */
	const char *timeout_text; /* as the user wrote it */
	uint64_t look_ms;         /* 0: never */
};

/*
 * Takes the signals from this thread and from those it will make: so before there are others.  SIGHUP that is ignored (nohup)
 * stays so.
 *
 * Returns  0 or -errno.
 */
MUST_CHECK int stop_open(struct stop **out, const struct stop_config *cfg);
/* The end has been asked for. Any thread. */
bool stop_asked(const struct stop *s);
/* What the run ends with, if of itself it would be `own`. Says once, on standard error, that time was over. */
int stop_status(struct stop *s, int own);

/* A thread that runs a machine. Nobody looks inside. */
struct stop_thread {
	struct stop *stop;
	struct stop_thread *next;
	void *machine; /* of ops.flush */
	pthread_t thread, flusher;
	bool settled, flushing; /* guarded by the lock of stop */
};
/* The calling thread is to be interrupted too. t is the caller's until stop_remove(). */
void stop_add(struct stop *s, struct stop_thread *t, void *machine);
/* Its disks are about to be closed: waits for a flush that runs, and interrupts it no more from here on. */
void stop_settle(struct stop_thread *t);
/* Settles. Of its own thread. What was never added is fine. */
void stop_remove(struct stop_thread *t);

/* When all threads are removed. Of the thread that opened it; gives the signals back. NULL is fine. */
void stop_close(struct stop *s);

/* A line to standard error, past stdio and its locks, unless that is full. Any thread. */
void stop_say(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
