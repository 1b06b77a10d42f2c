/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/sched_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/vm.h"

/*
 * Slices, and the tick that interrupts them when there is a reason to.
 *
 * A guest's device may hold the thread that runs its vCPU: a terminal that takes no output, a compilation that is waited for.
 * If somebody waits for that processor, it gets another thread after HELD_NS; the old one has no processor then, gives its
 * vCPU back when it gets on, and becomes a spare.
 */

/* The guest's work until the next give-away of the processor: since when a running one is looked at for tier 2, and how often. */
enum { SAMPLE_MS = SCHED_SAMPLE_MS, SAMPLE_IDLE_MS = 100 };

/* ---- a slice ---- */

void sched_begin(struct sched *s, struct runner *r, struct vcpu *v)
{
	struct sched_vcpu *e = &v->sched;
	uint64_t now = sched_now_ns(s), look = now + (e->sample ? SAMPLE_MS : WATCHDOG_TICK_MS) * MS;

	TRACE(&v->tracer, SCHED_RUN, (uint64_t)(r->processor - s->processor), r->processor->node);
	e->runner = r;
	e->charged_ns = e->began_cpu_ns = sched_cpu_ns(s, r);
	e->began_ns = e->sampled_ns = e->watched_ns = now;
	e->asked_ns = 0;
	e->to = NULL;
	e->slices++;
	__atomic_store_n(&e->yield, false, __ATOMIC_RELAXED);
	__atomic_store_n(&e->profile_due, false, __ATOMIC_RELAXED);
	__atomic_store_n(&v->thread, r->thread, __ATOMIC_RELAXED);
	r->processor->idle = false;
	r->processor->current = v;
	if (!s->cfg.order) /* who gives the order gives the node */
		__atomic_store_n(&v->node, r->processor->node, __ATOMIC_RELAXED); /* an audit looks at it */
	s->n_running++;
	sched_set_state(v, SCHED_RUNS);
	/* A machine that wakes for a moment now and then should not have the watcher wake for each of them. */
	if (s->tick_ns == WATCH_NEVER && look < s->quiet_ns + SAMPLE_IDLE_MS * MS)
		look = s->quiet_ns + SAMPLE_IDLE_MS * MS;
	sched_tick_by(s, look);
	if (e->cap || sched_is_contended(s, r->processor))
		sched_tick_by(s, now + SLICE_NS);
}

/* v has nothing to do. Its state first, and then a look at poll: sched_kick() does it the other way round. */
static void to_sleep(struct sched *s, struct vcpu *v, uint64_t until_ns)
{
	v->sched.until_ns = until_ns;
	sched_set_state(v, SCHED_WAITS);
	if (__atomic_load_n(&v->gs.poll, __ATOMIC_SEQ_CST))
		sched_make_runnable(s, v);
	else if (until_ns != WATCH_NEVER)
		sched_tick_by(s, until_ns);
}

void sched_end(struct sched *s, struct runner *r, struct vcpu *v, enum run_slice why)
{
	static const char *const words[] = {[RUN_ON] = "on",
					    [SLICE_OVER] = "over",
					    [SLICE_IDLE] = "idle",
					    [SLICE_PAUSED] = "paused",
					    [SLICE_ENDED] = "ended"};
	struct processor *p = r->processor, *to = v->sched.to;

	TRACE(&v->tracer, SCHED_STOP, TRACE_STRING(words[why]));
	sched_charge(s, v, sched_cpu_ns(s, r));
	if (p)
		p->current = NULL;
	v->sched.runner = NULL;
	s->n_running--;
	switch (why) {
	case SLICE_ENDED:
		sched_set_state(v, SCHED_OFF);
		pthread_cond_signal(&v->sched.ended);
		break;
	case SLICE_IDLE:
		to_sleep(s, v, WATCH_NEVER);
		break;
	case SLICE_PAUSED:
		to_sleep(s, v, v->retry_ns);
		break;
	default:
		sched_set_state(v, SCHED_QUEUED); /* about to be: it competes, and has no runner */
		if (p && !sched_over_cap(v, sched_now_ns(s)))
			sched_put_back(s, to && to->current ? to : p, v);
		else
			sched_make_runnable(s, v);
	}
}

/* ---- threads ---- */

static int new_runner(struct sched *s, struct processor *p)
{
	struct runner *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	*r = (struct runner){.sched = s, .processor = p};
	pthread_cond_init(&r->wake, NULL);
	err = s->cfg.host->start(s->cfg.host, r);
	if (err) {
		pthread_cond_destroy(&r->wake);
		free(r);
		return err;
	}
	r->next = s->runners;
	s->runners = r;
	p->runner = r;
	return 0;
}

int sched_start(struct sched *s, struct processor *p)
{
	struct runner *r = s->spare;

	if (r) {
		s->spare = r->next_spare;
		r->processor = p;
		p->runner = r;
		s->cfg.host->wake(s->cfg.host, r);
	} else {
		int err = new_runner(s, p);

		if (err)
			return err;
	}
	p->current = NULL;
	p->idle = true; /* it will look into the queue before it sleeps */
	return 0;
}

void sched_stop_all(struct sched *s)
{
	pthread_mutex_lock(&s->lock);
	s->quit = true;
	for (struct runner *r = s->runners; r; r = r->next)
		s->cfg.host->wake(s->cfg.host, r);
	pthread_mutex_unlock(&s->lock);
	for (struct runner *r = s->runners, *next; r; r = next) {
		next = r->next;
		s->cfg.host->join(s->cfg.host, r);
		pthread_cond_destroy(&r->wake);
		free(r);
	}
}

/*
 * It was asked to yield HELD_NS ago, and does not: it waits, or it computes.  If it is the host that has no CPU for it, another
 * thread would get none either.
 */
static bool is_held(struct sched *s, const struct vcpu *v)
{
	const struct runner *r = v->sched.runner;

	return sched_cpu_ns(s, r) - v->sched.asked_cpu_ns >= HELD_NS || !s->cfg.host->is_runnable(s->cfg.host, r);
}

/* p's thread is held by what its vCPU does. */
static void displace(struct sched *s, struct processor *p)
{
	struct runner *held = p->runner;

	held->processor = NULL;
	if (sched_start(s, p) == 0) {
		s->displaced++;
		return;
	}
	held->processor = p; /* no thread to be had: they wait */
}

/* ---- the tick ---- */

void sched_tick_by(struct sched *s, uint64_t at_ns)
{
	if (at_ns >= s->tick_ns)
		return;
	s->tick_ns = at_ns;
	s->cfg.host->tick_at(s->cfg.host, s, at_ns);
}

static void wake_due(struct sched *s, uint64_t now)
{
	for (struct vcpu *v = s->known; v; v = v->sched.next_known) {
		int state = v->sched.state;

		if (state != SCHED_WAITS && state != SCHED_CAPPED)
			continue;
		if (v->sched.until_ns <= now) {
			__atomic_store_n(&v->gs.poll, 1, __ATOMIC_RELEASE);
			sched_make_runnable(s, v);
		} else {
			sched_tick_by(s, v->sched.until_ns);
		}
	}
}

static void look_at_slice(struct sched *s, struct processor *p, struct vcpu *v, uint64_t now)
{
	struct sched_vcpu *e = &v->sched;
	bool wanted = e->cap || sched_is_contended(s, p);

	if (!wanted)
		return;
	if (e->asked_ns) {
		if (now < e->asked_ns + HELD_NS)
			sched_tick_by(s, e->asked_ns + HELD_NS);
		else if (s->n_queued && is_held(s, v))
			displace(s, p);
		else
			sched_tick_by(s, now + HELD_NS);
		return;
	}
	if (now >= e->began_ns + SLICE_NS)
		sched_ask_to_yield(v, now);
	sched_tick_by(s, e->asked_ns ? e->asked_ns + HELD_NS : e->began_ns + SLICE_NS);
}

static void sample(struct sched *s, struct vcpu *v, uint64_t now)
{
	if (!v->sched.sample)
		return;
	if (now >= v->sched.sampled_ns + SAMPLE_MS * MS) {
		v->sched.sampled_ns = now;
		__atomic_store_n(&v->gs.poll, 1, __ATOMIC_RELEASE);
	}
	sched_tick_by(s, v->sched.sampled_ns + SAMPLE_MS * MS);
}

void sched_profile(struct vcpu *v, unsigned ms)
{
	struct sched *s = v->sched.sched;
	uint64_t now;

	pthread_mutex_lock(&s->lock);
	now = sched_now_ns(s);
	v->sched.profile_until_ns = now + ms * MS;
	if (s->profile_until_ns < v->sched.profile_until_ns)
		s->profile_until_ns = v->sched.profile_until_ns;
	s->profile_at_ns = now;
	sched_tick_by(s, now);
	pthread_mutex_unlock(&s->lock);
}

/*
 * Samples come whether or not anything runs, and at random: what a vCPU does in short bursts behind its own timer, which this thread
 * waits for too, is seen as often as the rest.
 */
static void profile(struct sched *s, uint64_t now)
{
	if (now >= s->profile_until_ns)
		return;
	if (now >= s->profile_at_ns) {
		for (unsigned i = 0; i < s->cfg.processors; i++) {
			struct vcpu *v = s->processor[i].current;

			if (!v || now >= v->sched.profile_until_ns)
				continue;
			__atomic_store_n(&v->sched.profile_due, true, __ATOMIC_RELAXED);
			__atomic_store_n(&v->gs.poll, 1, __ATOMIC_RELEASE);
		}
		s->profile_rng = s->profile_rng * 6364136223846793005u + 1442695040888963407u;
		s->profile_at_ns = now + SAMPLE_MS * MS / 2 + (s->profile_rng >> 32) % (SAMPLE_MS * MS);
	}
	sched_tick_by(s, s->profile_at_ns);
}

/* The watchdog may have something to say, which may take its time. */
static void watch_over(struct sched *s, struct vcpu *v, uint64_t now)
{
	if (!v->jit)
		return;
	if (now >= v->sched.watched_ns + WATCHDOG_TICK_MS * MS) {
		v->sched.watched_ns = now;
		v->sched.pinned = true;
		pthread_mutex_unlock(&s->lock);
		watchdog_tick(v);
		pthread_mutex_lock(&s->lock);
		v->sched.pinned = false;
		pthread_cond_signal(&v->sched.ended);
	}
	sched_tick_by(s, v->sched.watched_ns + WATCHDOG_TICK_MS * MS);
}

void sched_tick(void *arg, uint64_t now)
{
	struct sched *s = arg;

	pthread_mutex_lock(&s->lock);
	s->tick_ns = WATCH_NEVER;
	wake_due(s, now);
	if (s->n_queued && !s->cfg.repeatable) {
		sched_refresh(s, now);
		sched_move_starved(s, now);
	}
	for (unsigned i = 0; i < s->cfg.processors; i++) {
		struct processor *p = &s->processor[i];

		if (p->current && !s->cfg.repeatable)
			look_at_slice(s, p, p->current, now);
		if (p->current)
			sample(s, p->current, now);
	}
	profile(s, now);
	for (struct vcpu *v = s->known; v; v = v->sched.next_known)
		if (v->sched.state == SCHED_RUNS)
			watch_over(s, v, now);
	if (!s->n_running)
		s->quiet_ns = now;
	pthread_mutex_unlock(&s->lock);
}
