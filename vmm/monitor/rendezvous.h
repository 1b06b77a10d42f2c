/* SPDX-License-Identifier: MIT */
#ifndef VMM_RENDEZVOUS_H
#define VMM_RENDEZVOUS_H

/*
 * Stop whoever changes a machine's state (its vCPUs; the machine's own thread while it loads or takes apart), act, let go.
 *
 *   vCPU's thread    enter ══ runs ══ poll ──► pass: stopped until it is let go ══ runs ══ leave ── sleeps, queued ── enter
 *   who stops                    wanted, poll = 1 ──► waits until none of the set is inside ──► act() ──► lets go
 *
 * A member is inside from rendezvous_enter() to rendezvous_leave().  Outside it may do anything but change what act() looks at; it
 * sleeps, waits for a device's other side (vm_step_aside()), for a lock of its machine, or for a flush of the code cache.  Who is
 * outside is not waited for, and stays there until act() is over.  Inside, members look at their poll word (the dispatch loop does at
 * each turn), so the wait is bounded by the longest stretch between two looks: some ten microseconds of a guest's work, a
 * disk's answer, LLVM where it is waited for.
 *
 * One rendezvous of a monitor at a time; others queue, and between two of them everybody who was stopped gets on.  A vCPU that
 * stops others is outside meanwhile, so two that stop each other both come to it, one after the other.
 *
 * Who waits for a flush has looked up a page and its record already, and goes on with them: it is outside, but holds them
 * (rendezvous_leave_holding()).  What takes pages or records away from their places is not done then: rendezvous_at_rest().
 *
 * act() may look at and change all that the set's members own.  It must not wait for a member, nor for another rendezvous: it takes
 * no machine's lock, flushes no code cache, and makes or frees no machine.  It may take machine_memory's and the code cache's lock.
 * A caller that holds its machine's lock keeps it; its siblings that wait for that are outside.
 */
#include <pthread.h>

#include "base/panic.h"
#include "base/types.h"

struct rendezvous;
struct vm;

struct rendezvous_member {
	struct rendezvous *of;          /* NULL: not added */
	struct vm *vm;                  /* whose */
	int32_t *poll;                  /* set when it is wanted, or NULL: it comes by itself */
	struct rendezvous_member *next; /* guarded by the lock */
	int depth;                      /* its own thread's: inside if positive */
	bool inside, wanted;            /* atomic: one of two sees what the other has stored */
	bool holds;                     /* atomic: outside, with addresses of pages or records in its hands */
};

/* Everybody of whom is_in() says so, under the rendezvous' lock; NULL: all. */
struct rendezvous_set {
	bool (*is_in)(void *arg, const struct rendezvous_member *m);
	void *arg;
};

struct rendezvous_stats {
	uint64_t stops;
	uint64_t wait_ns, longest_ns; /* until all were outside */
};

MUST_CHECK int rendezvous_new(struct rendezvous **out); /* 0 or -ENOMEM */
/* Nobody is a member any more. NULL is fine. */
void rendezvous_free(struct rendezvous *r);
/* Outside at first. Both wait until no rendezvous is going on. */
void rendezvous_add(struct rendezvous *r, struct rendezvous_member *m, struct vm *vm, int32_t *poll);
/* It is outside. One that was not added is fine. */
void rendezvous_remove(struct rendezvous_member *m);

/* ---- the member's own thread.  Cost: two atomic operations ---- */
/* Nested pairs are fine, and so are a leave and an enter inside of one. Waits while it is wanted elsewhere. */
void rendezvous_enter(struct rendezvous_member *m);
void rendezvous_leave(struct rendezvous_member *m);
/* In the middle of something; until the next rendezvous_enter(). */
void rendezvous_leave_holding(struct rendezvous_member *m);
/* Behind a look at poll, and its reset: stops here if it is wanted. */
void rendezvous_pass(struct rendezvous_member *m);

/*
 * self   the member whose thread calls, which is inside; or NULL
 * set    who is to be outside; asked again after each wait, until nobody has joined it meanwhile
 *
 * Returns  nanoseconds until all were outside.
 * Context  any thread; not from act().  self's state may have been looked at, and changed, before act() runs.
 */
uint64_t rendezvous(struct rendezvous *r, struct rendezvous_member *self, struct rendezvous_set set,
		    void (*act)(void *arg), void *arg);
/* The same for an act() that moves or frees pages or records.  False: a member of the set holds some, and nothing was done. */
MUST_CHECK bool rendezvous_at_rest(struct rendezvous *r, struct rendezvous_member *self, struct rendezvous_set set,
				   void (*act)(void *arg), void *arg);
void rendezvous_count(struct rendezvous *r, struct rendezvous_stats *out);

#endif
