/* SPDX-License-Identifier: MIT */
#ifndef VMM_SCHED_H
#define VMM_SCHED_H

/*
 * The simulated processors of a monitor and the vCPUs that they run.  A processor is a host thread with a queue; a vCPU that has
 * something to do is run by one processor, or is in one queue, and any processor can run it.
 *
 *                       sched_run()
 *                            │                  slice over, and somebody waits
 *                            ▼              ┌──────────────────────────────────┐
 *            ┌────────► in a queue ─────────┴──────► running ───► the machine ended
 *            │               ▲          a processor     │  │
 *   kick, or its time comes  └──────────────────────────┘  └──► over its cap: until its time comes
 *            │                 kicked before it slept   │
 *          waits ◄──────────────────────────────────────┘  WAIT, or the machine is paused
 *
 * Who is next.  Each vCPU has virtual time: the processor time that it used, by weight (its shares, as far as they do not come to
 * more than a processor).  A processor takes the least of its
 * queue, or one of another queue that is BALANCE_NS behind that; if its queue is empty, of the nearest one that is not.  Who
 * wakes goes to the processor that it was on, if that is idle, else to the nearest idle one, else it waits or, if it is that far
 * behind, has the one that runs give way.  Virtual time passes only while somebody waits, and who slept does not save it up
 * (CREDIT_NS, DEBT_SLICES).
 *
 * Nobody waits: nothing interrupts a running vCPU but sampling for tier 2, and idle processors and vCPUs cost nothing.
 *
 * repeatable (--icount): one processor, and turns of a fixed time of the machine's own in the order of `number`.
 *
 * Any thread may call all of these.  One lock guards it all; it is held for some hundred nanoseconds, a few times per slice.
 */
#include <pthread.h>

#include "base/panic.h"
#include "base/types.h"

struct sched;
struct runner;
struct processor;
struct vcpu;
struct watcher;
struct numa_binding;
struct sched_host;

enum {
	SCHED_MAX_PROCESSORS = 256,
	SCHED_DEFAULT_SHARES = 100,
	SCHED_MAX_SHARES = 10000,
	SCHED_SLICE_MS = 10,
	SCHED_SAMPLE_MS = 2, /* of work: a running vCPU is looked at so often */
};

enum sched_state { SCHED_OFF, SCHED_QUEUED, SCHED_RUNS, SCHED_WAITS, SCHED_CAPPED };

struct sched_config {
	unsigned processors; /* 1 .. SCHED_MAX_PROCESSORS; 0: the CPUs that this process may use */
	unsigned nodes;      /* they are spread over */
	bool repeatable;
	unsigned together; /* repeatable: nobody runs before that many vCPUs have come; 0 or 1: at once */
	const struct numa_binding *binding; /* threads of a node's processors run on a node of the host; or NULL */
	/* repeatable: who of a queue is next, or NULL: none.  Under the scheduler's lock.  Or NULL: by the turn. */
	struct vcpu *(*order)(void *arg, struct vcpu *queue);
	void *order_arg;
	const struct sched_host *host; /* NULL: this one; another is for tests (sched_internal.h) */
};

/* What a vCPU is to the scheduler. */
struct sched_vcpu {
	/* Constant. */
	struct sched *sched;
	unsigned shares; /* its weight */
	unsigned cap;    /* percent of a processor that it gets at most, 0: no limit */
	unsigned number; /* repeatable: its turn */
	bool sample;     /* have it leave translated code every few ms of work: region_sample() */

	/* Atomic; written under the lock. */
	int state;        /* enum sched_state */
	bool profile_due; /* where it is is to be put down (profile_take()); poll is set too */
	bool yield;       /* give the processor back at the next turn of the dispatch loop; poll is set too */

	/* Guarded by the scheduler's lock. */
	struct vcpu *next, *next_known; /* of a queue; of all between sched_run() and its end */
	struct processor *on;           /* where it runs, is queued, or was last */
	struct runner *runner;          /* whose thread runs it, or NULL */
	uint64_t virtual_ns;
	unsigned weight;                 /* what its shares come to: no more than a processor */
	uint64_t charged_ns;             /* CPU time of the runner's thread that is accounted for */
	uint64_t cap_ns;                 /* host time up to which its cap is used up */
	uint64_t until_ns;               /* WAITS, CAPPED: it is woken then */
	uint64_t began_ns, began_cpu_ns; /* of the slice: host time, CPU time of the runner's thread */
	struct processor *to;            /* where it goes on after this slice, or NULL */
	uint64_t asked_ns;               /* when it was asked to yield, 0: it was not */
	uint64_t asked_cpu_ns;           /* CPU time of the runner's thread then, or a little before */
	uint64_t sampled_ns, watched_ns;
	uint64_t profile_until_ns; /* sched_profile() */
	bool endless;              /* repeatable: its turn has no end, since nobody else was there */
	bool pinned;               /* the watcher looks at it without the lock */
	pthread_cond_t ended;      /* for sched_run() */

	/* The hook of panic() of the thread that runs it: base/panic.h. */
	void (*hook)(void *arg);
	void *hook_arg;

	/* Counters. */
	uint64_t used_ns; /* processor time in all */
	uint64_t slices, moves, wakes;
};

struct sched_counts {
	unsigned processors;
	unsigned started;   /* of these, that have run something */
	unsigned running;   /* vCPUs */
	unsigned queued;    /* vCPUs that have something to do and no processor */
	uint64_t displaced; /* times that a processor was held by a device and got a thread of its own */
};

/* 0 or -errno. */
MUST_CHECK int sched_new(struct sched **out, struct watcher *w, const struct sched_config *cfg);
/* No vCPU may be in sched_run(). NULL is fine. */
void sched_free(struct sched *s);

/* v->sched's constants are the caller's. */
void sched_vcpu_init(struct vcpu *v, struct sched *s);
void sched_vcpu_destroy(struct vcpu *v);

/* Have n vCPUs, adjacent from v on, run until each has ended.  Waits for that.  -errno: the host gives no thread to run any. */
MUST_CHECK int sched_run(struct vcpu *v, unsigned n);
/*
 * Have v look around: it leaves translated code, or wakes up.  Cost: two atomic operations if it runs; some microseconds of this
 * thread if it sleeps, until then some tens for it.
 */
void sched_kick(struct vcpu *v);
/* Has anybody something to do and no processor?  As of a moment ago. */
bool sched_is_waited_for(const struct sched *s);
/* repeatable: one less than sched_config.together will come. */
void sched_expect_less(struct sched *s);
/* The signal to the thread that runs v, if one does: system calls of its devices return. */
void sched_interrupt(struct vcpu *v, int sig);
/*
 * For so long have v, whenever it runs, look around at random moments, SCHED_SAMPLE_MS apart on average, with profile_due set.
 * Any thread.  Cost: the watcher comes so often, running or not.
 */
void sched_profile(struct vcpu *v, unsigned ms);
/* Processor time that v has had, up to now. */
uint64_t sched_used_ns(struct vcpu *v);
void sched_count(struct sched *s, struct sched_counts *out);

#endif
