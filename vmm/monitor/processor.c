/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* gettid */
#include "vmm/monitor/sched_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/host_clock.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/vm.h"

/*
 * The threads of the processors, and the tick that interrupts them when there is a reason to.
 *
 * A guest's device may hold the thread that runs its vCPU: a terminal that takes no output, a compilation that is waited for.
 * If somebody waits for that processor, it gets another thread after HELD_NS; the old one has no processor then, gives its
 * vCPU back when it gets on, and becomes a spare.
 */

/* The guest's work until the next give-away of the processor: since when a running one is looked at for tier 2, and how often. */
enum { SAMPLE_MS = 2, SAMPLE_IDLE_MS = 100 };

/* ---- a slice ---- */

static void begin(struct sched *s, struct runner *r, struct vcpu *v)
{
	struct sched_vcpu *e = &v->sched;
	uint64_t now = host_now_ns(), look = now + (e->sample ? SAMPLE_MS : WATCHDOG_TICK_MS) * MS;

	e->runner = r;
	e->charged_ns = e->began_cpu_ns = host_clock_ns(r->cpu);
	e->began_ns = e->sampled_ns = e->watched_ns = now;
	e->asked_ns = 0;
	e->to = NULL;
	e->slices++;
	__atomic_store_n(&e->yield, false, __ATOMIC_RELAXED);
	__atomic_store_n(&v->thread, r->thread, __ATOMIC_RELAXED);
	r->processor->idle = false;
	r->processor->current = v;
	v->node = r->processor->node;
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

static void end(struct sched *s, struct runner *r, struct vcpu *v, enum run_slice why)
{
	struct processor *p = r->processor, *to = v->sched.to;

	sched_charge(s, v, host_clock_ns(r->cpu));
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
		if (p && !sched_over_cap(v, host_now_ns()))
			sched_put_back(s, to && to->current ? to : p, v);
		else
			sched_make_runnable(s, v);
	}
}

static void run(struct sched *s, struct runner *r, struct vcpu *v)
{
	enum run_slice why;

	begin(s, r, v);
	v->sched.endless = s->n_known == v->vm->n_vcpus;
	pthread_mutex_unlock(&s->lock);
	clock_turn(v->vm->clock, s->cfg.repeatable && !v->sched.endless ? TURN_NS : 0);
	panic_set_hook(v->sched.hook, v->sched.hook_arg);
	why = run_loop_slice(v);
	panic_get_hook(&v->sched.hook, &v->sched.hook_arg);
	panic_set_hook(NULL, NULL);
	pthread_mutex_lock(&s->lock);
	end(s, r, v, why);
}

/* ---- threads ---- */

static void *runner_main(void *arg)
{
	struct runner *r = arg;
	struct sched *s = r->sched;

	pthread_mutex_lock(&s->lock);
	pthread_getcpuclockid(pthread_self(), &r->cpu);
	r->tid = gettid();
	while (!s->quit) {
		struct vcpu *v = r->processor ? sched_pick(s, r->processor) : NULL;

		if (v) {
			run(s, r, v);
			continue;
		}
		if (r->processor) {
			r->processor->idle = true;
		} else {
			r->next_spare = s->spare;
			s->spare = r;
		}
		pthread_cond_wait(&r->wake, &s->lock);
		while (!r->processor && !s->quit) /* still a spare */
			pthread_cond_wait(&r->wake, &s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static int new_runner(struct sched *s, struct runner **out)
{
	struct runner *r = calloc(1, sizeof(*r));
	sigset_t mask;
	int err;

	if (!r)
		return -ENOMEM;
	r->sched = s;
	pthread_cond_init(&r->wake, NULL);
	pthread_sigmask(SIG_SETMASK, &s->signals, &mask);
	err = -pthread_create(&r->thread, NULL, runner_main, r);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	if (err) {
		pthread_cond_destroy(&r->wake);
		free(r);
		return err;
	}
	r->next = s->runners;
	s->runners = r;
	*out = r;
	return 0;
}

int sched_start(struct sched *s, struct processor *p)
{
	struct runner *r = s->spare;

	if (r) {
		s->spare = r->next_spare;
		pthread_cond_signal(&r->wake);
	} else {
		int err = new_runner(s, &r);

		if (err)
			return err;
	}
	r->processor = p;
	p->runner = r;
	p->current = NULL;
	p->idle = true; /* it will look into the queue before it sleeps */
	return 0;
}

void sched_stop_all(struct sched *s)
{
	pthread_mutex_lock(&s->lock);
	s->quit = true;
	for (struct runner *r = s->runners; r; r = r->next)
		pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&s->lock);
	for (struct runner *r = s->runners, *next; r; r = next) {
		next = r->next;
		pthread_join(r->thread, NULL);
		pthread_cond_destroy(&r->wake);
		free(r);
	}
}

/* The host has it waiting for a CPU, not for something else. */
static bool is_runnable(const struct runner *r)
{
	char path[64], text[128];
	const char *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)r->tid);
	f = fopen(path, "re");
	text[0] = 0;
	if (f) {
		if (!fgets(text, sizeof(text), f))
			text[0] = 0;
		fclose(f);
	}
	state = strrchr(text, ')'); /* behind the name of the thread */
	return state && state[1] && state[2] == 'R';
}

/*
 * It was asked to yield HELD_NS ago, and does not: it waits, or it computes.  If it is the host that has no CPU for it, another
 * thread would get none either.
 */
static bool is_held(const struct vcpu *v)
{
	const struct runner *r = v->sched.runner;

	return host_clock_ns(r->cpu) - v->sched.asked_cpu_ns >= HELD_NS || !is_runnable(r);
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
	watcher_at(s->watcher, &s->tick, at_ns);
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
		else if (s->n_queued && is_held(v))
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
	for (struct vcpu *v = s->known; v; v = v->sched.next_known)
		if (v->sched.state == SCHED_RUNS)
			watch_over(s, v, now);
	if (!s->n_running)
		s->quiet_ns = now;
	pthread_mutex_unlock(&s->lock);
}
