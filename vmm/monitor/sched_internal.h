/* SPDX-License-Identifier: MIT */
#ifndef VMM_SCHED_INTERNAL_H
#define VMM_SCHED_INTERNAL_H

/* What sched.c (who is next) and processor.c (threads, time) share. */
#include <signal.h>

#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/sched.h"
#include "vmm/monitor/watcher.h"

#define MS 1000000ull

#define SLICE_NS    (SCHED_SLICE_MS * MS)
#define BALANCE_NS  (SLICE_NS + SLICE_NS / 2) /* virtual: so much further behind is worth the other processor's caches */
#define PREEMPT_NS  (1 * MS)                  /* virtual: who wakes so far behind runs at once */
#define CREDIT_NS   (SLICE_NS / 2)            /* virtual: of who has slept */
#define DEBT_SLICES 20                        /* of its own: what a vCPU may be ahead of the one that is most behind */
#define HELD_NS     (5 * SLICE_NS)            /* after it was asked to yield: its device waits for something */
#define TURN_NS     (5 * MS)                  /* repeatable: of the machine's time, a million instructions */

struct processor {
	unsigned index, node;
	struct runner *runner; /* its thread, or NULL: none was needed yet */
	struct vcpu *current;
	struct vcpu *queue; /* through sched.next, in the order in which they came */
	bool idle;          /* the runner waits for something to do */
};

/* A thread that is a processor, or was one until a guest's device held it. */
struct runner {
	struct sched *sched;
	struct processor *processor; /* NULL: it has none (any more) */
	pthread_t thread;
	clockid_t cpu; /* of the thread */
	pid_t tid;
	unsigned bound; /* sched_config.binding: to that node, and one more; 0: to none yet */
	pthread_cond_t wake;
	struct runner *next;       /* of all */
	struct runner *next_spare; /* of those that wait for a processor */
};

/*
 * The host that the processors run on.  All under the scheduler's lock, but join, and wake if it likes.  Another one than sched_this_host is for
 * tests: what is decided is a function of what it says.
 */
struct sched_host {
	uint64_t (*now_ns)(const struct sched_host *h);
	uint64_t (*cpu_ns)(const struct sched_host *h, const struct runner *r); /* that its thread has had */
	int (*start)(const struct sched_host *h, struct runner *r);             /* a thread for it; 0 or -errno */
	void (*wake)(const struct sched_host *h, struct runner *r); /* there is something to do, or the end */
	void (*join)(const struct sched_host *h, struct runner *r);
	bool (*is_runnable)(const struct sched_host *h,
			    const struct runner *r); /* it has, or waits for, a CPU; nothing else */
	void (*tick_at)(const struct sched_host *h, struct sched *s,
			uint64_t at_ns); /* have sched_tick() called then */
};

struct sched {
	struct sched_config cfg;
	struct watcher *watcher;

	pthread_mutex_t lock; /* guards all below, and sched_vcpu */
	struct processor processor[SCHED_MAX_PROCESSORS];
	struct runner *runners, *spare;
	struct vcpu *known;
	unsigned n_known, n_queued, n_running;
	uint64_t virtual_ns;   /* the least of those who compete; never goes back */
	uint64_t refreshed_ns; /* host time */
	unsigned turn;         /* repeatable: number of who had it last, and one more */
	bool began;            /* repeatable: `together` had come */
	bool quit;
	bool defers; /* sched_kick(): the thread to be woken is left in `deferred` */
	struct runner *deferred;
	uint64_t displaced;
	sigset_t signals; /* of the first thread that ran a machine: those of all runners */

	struct watch tick; /* slices, samples, the watchdog, and who is to be woken */
	uint64_t tick_ns;  /* when it will come, or WATCH_NEVER */
	uint64_t quiet_ns; /* when it last came and found nobody running */

	uint64_t profile_until_ns, profile_at_ns; /* sched_profile(): of any vCPU; the next sample */
	uint64_t profile_rng;
};

static inline uint64_t sched_now_ns(const struct sched *s) { return s->cfg.host->now_ns(s->cfg.host); }
/*
 * With sched_config.order slices are a microsecond long, and the host takes a third of one to say what CPU time a thread has had: there it is
 * the time that has passed, for a thread that does nothing but run slices.
 */
static inline uint64_t sched_cpu_ns(const struct sched *s, const struct runner *r)
{
	return s->cfg.order ? s->cfg.host->now_ns(s->cfg.host) : s->cfg.host->cpu_ns(s->cfg.host, r);
}

/* ---- sched.c; under the lock ---- */
/* v has something to do: into the queue of a processor, whose thread is woken if it was idle. */
void sched_make_runnable(struct sched *s, struct vcpu *v);
/* v is new: from now on it has something to do. */
void sched_admit(struct sched *s, struct vcpu *v);
/* v goes on where it was, after the others. */
void sched_put_back(struct sched *s, struct processor *p, struct vcpu *v);
/* Who is next on p, taken out of its queue; NULL: nobody. */
struct vcpu *sched_pick(struct sched *s, struct processor *p);
/* Account for what the running ones have used up to now, and for who is ahead or behind of whom. */
void sched_refresh(struct sched *s, uint64_t now_ns);
/* Account for CPU time of v's runner, up to cpu_ns. */
void sched_charge(struct sched *s, struct vcpu *v, uint64_t cpu_ns);
bool sched_over_cap(const struct vcpu *v, uint64_t now_ns);
/* Ones that the host gives no CPU change places with ones that are further ahead. */
void sched_move_starved(struct sched *s, uint64_t now_ns);
/* Somebody waits whom p could run instead of its current one. */
bool sched_is_contended(const struct sched *s, const struct processor *p);
void sched_ask_to_yield(struct vcpu *v, uint64_t now_ns);
void sched_set_state(struct vcpu *v, enum sched_state state);

/* ---- processor.c; under the lock ---- */
/* r's processor runs v, which sched_pick() has given, from now on; and no longer, because of `why`. */
void sched_begin(struct sched *s, struct runner *r, struct vcpu *v);
void sched_end(struct sched *s, struct runner *r, struct vcpu *v, enum run_slice why);
/* A thread for p: one that is spare, or a new one. -errno: none can be had. */
MUST_CHECK int sched_start(struct sched *s, struct processor *p);
/* Have the tick come at that time, or earlier. */
void sched_tick_by(struct sched *s, uint64_t at_ns);
void sched_tick(void *arg, uint64_t now_ns);
/* End all threads and wait for them; not under the lock. */
void sched_stop_all(struct sched *s);

/* ---- runner.c ---- */
extern const struct sched_host sched_this_host;

#endif
