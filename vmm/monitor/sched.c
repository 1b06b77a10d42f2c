/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* CPU_COUNT */
#include "vmm/monitor/sched_internal.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include "vmm/cpu/vcpu.h"

/* Who runs where, and who is next. */

void sched_set_state(struct vcpu *v, enum sched_state state)
{
	__atomic_store_n(&v->sched.state, (int)state, __ATOMIC_SEQ_CST);
}

enum { WEIGHT = 256 }; /* of a share: struct sched_vcpu.weight */

/* A processor's time in virtual time of v's. */
static uint64_t by_weight(const struct vcpu *v, uint64_t ns)
{
	return ns * SCHED_DEFAULT_SHARES * WEIGHT / v->sched.weight;
}

/* ---- accounts ---- */

void sched_charge(struct sched *s, struct vcpu *v, uint64_t cpu_ns)
{
	struct sched_vcpu *e = &v->sched;
	uint64_t used = cpu_ns - e->charged_ns, floor;

	e->charged_ns = cpu_ns;
	e->used_ns += used;
	if (s->n_queued)
		e->virtual_ns += by_weight(v, used);
	if (!e->cap)
		return;
	/* a bucket that leaks at the rate of the cap, and holds a slice */
	floor = sched_now_ns(s) - SLICE_NS;
	e->cap_ns = (e->cap_ns > floor ? e->cap_ns : floor) + used * 100 / e->cap;
}

bool sched_over_cap(const struct vcpu *v, uint64_t now_ns) { return v->sched.cap && v->sched.cap_ns > now_ns; }

/* Nobody is behind by more than what it slept is worth, or ahead by more than a few slices. */
static void clamp(const struct sched *s, struct vcpu *v)
{
	struct sched_vcpu *e = &v->sched;
	uint64_t debt = by_weight(v, DEBT_SLICES * SLICE_NS);

	if (e->virtual_ns + CREDIT_NS < s->virtual_ns)
		e->virtual_ns = s->virtual_ns - CREDIT_NS;
	if (e->virtual_ns > s->virtual_ns + debt)
		e->virtual_ns = s->virtual_ns + debt;
}

static bool competes(const struct vcpu *v) { return v->sched.state == SCHED_QUEUED || v->sched.state == SCHED_RUNS; }

/* The heaviest of the competing ones that has more than a processor's part of `total`, over `left` processors; or NULL. */
static struct vcpu *too_heavy(const struct sched *s, uint64_t total, unsigned left)
{
	struct vcpu *best = NULL;

	for (struct vcpu *v = s->known; v; v = v->sched.next_known)
		if (competes(v) && v->sched.weight && (uint64_t)v->sched.shares * left > total &&
		    (!best || v->sched.shares > best->sched.shares))
			best = v;
	return best;
}

/*
 * A vCPU cannot have more than a processor, whatever its shares: it weighs as much as makes that its part.  If it weighed more, its
 * virtual time would stay behind that of all others for ever, and the order among these be lost.
 */
static void weigh(struct sched *s)
{
	unsigned left = s->cfg.processors;
	struct vcpu *heavy = NULL;
	uint64_t total = 0;

	for (struct vcpu *v = s->known; v; v = v->sched.next_known) {
		v->sched.weight = v->sched.shares * WEIGHT;
		total += competes(v) ? v->sched.shares : 0;
	}
	for (; left > 1 && (heavy = too_heavy(s, total, left)); left--) {
		heavy->sched.weight = 0; /* later */
		total -= heavy->sched.shares;
	}
	for (struct vcpu *v = s->known; v; v = v->sched.next_known)
		if (!v->sched.weight)
			v->sched.weight = total ? (unsigned)(total * WEIGHT / left) : v->sched.shares * WEIGHT;
}

void sched_refresh(struct sched *s, uint64_t now_ns)
{
	uint64_t least = UINT64_MAX;

	s->refreshed_ns = now_ns;
	for (struct vcpu *v = s->known; v; v = v->sched.next_known) {
		if (v->sched.state == SCHED_RUNS)
			sched_charge(s, v, sched_cpu_ns(s, v->sched.runner));
		if (competes(v) && v->sched.virtual_ns < least)
			least = v->sched.virtual_ns;
	}
	if (least != UINT64_MAX && least > s->virtual_ns)
		s->virtual_ns = least;
	weigh(s);
	for (struct vcpu *v = s->known; v; v = v->sched.next_known)
		if (competes(v))
			clamp(s, v);
}

/* ---- queues ---- */

static void append(struct sched *s, struct processor *p, struct vcpu *v)
{
	struct vcpu **at;

	for (at = &p->queue; *at; at = &(*at)->sched.next)
		;
	*at = v;
	v->sched.next = NULL;
	v->sched.moves += v->sched.on && v->sched.on != p;
	v->sched.on = p;
	__atomic_store_n(&s->n_queued, s->n_queued + 1, __ATOMIC_RELAXED);
	sched_set_state(v, SCHED_QUEUED);
}

static void take(struct sched *s, struct processor *p, struct vcpu *v)
{
	struct vcpu **at;

	for (at = &p->queue; *at != v; at = &(*at)->sched.next)
		;
	*at = v->sched.next;
	__atomic_store_n(&s->n_queued, s->n_queued - 1, __ATOMIC_RELAXED);
}

static struct vcpu *first_of(const struct processor *p)
{
	struct vcpu *best = p->queue;

	for (struct vcpu *v = p->queue; v; v = v->sched.next)
		if (v->sched.virtual_ns < best->sched.virtual_ns)
			best = v;
	return best;
}

static unsigned distance(const struct processor *a, const struct processor *b)
{
	unsigned far = a->node != b->node ? SCHED_MAX_PROCESSORS : 0;

	return far + (a->index > b->index ? a->index - b->index : b->index - a->index);
}

/* Its thread is on its way to the only one that waits there. */
static bool wakes_up(const struct processor *p) { return !p->current && p->queue && !p->queue->sched.next; }

/* The first of the nearest queue that has one to spare. */
static struct vcpu *nearest_waiting(struct sched *s, const struct processor *p)
{
	struct processor *best = NULL;

	for (unsigned i = 0; i < s->cfg.processors && s->n_queued; i++) {
		struct processor *q = &s->processor[i];

		if (q->queue && !wakes_up(q) && (!best || distance(p, q) < distance(p, best)))
			best = q;
	}
	return best ? first_of(best) : NULL;
}

/* Of all other queues the one that is furthest behind. */
static struct vcpu *furthest_behind(const struct sched *s, const struct processor *p)
{
	struct vcpu *best = NULL;

	for (unsigned i = 0; i < s->cfg.processors && s->n_queued; i++) {
		const struct processor *q = &s->processor[i];
		struct vcpu *v = q == p ? NULL : first_of(q);

		if (v && (!best || v->sched.virtual_ns < best->sched.virtual_ns))
			best = v;
	}
	return best;
}

static struct vcpu *whose_turn(struct sched *s, const struct processor *p)
{
	struct vcpu *next = NULL, *first = NULL;

	if (s->cfg.order)
		return s->cfg.order(s->cfg.order_arg, p->queue);
	for (struct vcpu *v = p->queue; v; v = v->sched.next) {
		if (v->sched.number >= s->turn && (!next || v->sched.number < next->sched.number))
			next = v;
		if (!first || v->sched.number < first->sched.number)
			first = v;
	}
	next = next ? next : first;
	if (next)
		s->turn = next->sched.number + 1;
	return next;
}

struct vcpu *sched_pick(struct sched *s, struct processor *p)
{
	struct vcpu *v, *other;

	if (s->cfg.repeatable) {
		s->began |= s->n_known >= s->cfg.together;
		v = s->began ? whose_turn(s, p) : NULL;
	} else {
		v = first_of(p);
		other = v ? furthest_behind(s, p) : nearest_waiting(s, p);
		if (other && (!v || other->sched.virtual_ns + BALANCE_NS < v->sched.virtual_ns))
			v = other;
	}
	if (v) {
		take(s, v->sched.on, v);
		v->sched.moves += v->sched.on != p;
		v->sched.on = p;
	}
	return v;
}

bool sched_is_contended(const struct sched *s, const struct processor *p)
{
	const struct vcpu *other;

	if (p->queue)
		return true;
	other = furthest_behind(s, p);
	return other && other->sched.virtual_ns + BALANCE_NS < p->current->sched.virtual_ns;
}

void sched_put_back(struct sched *s, struct processor *p, struct vcpu *v) { append(s, p, v); }

/* ---- where to ---- */

/* Started or not. */
static struct processor *nearest_idle(struct sched *s, const struct processor *p)
{
	struct processor *best = NULL;

	for (unsigned i = 0; i < s->cfg.processors; i++) {
		struct processor *q = &s->processor[i];

		if ((q->idle || !q->runner) && (!best || distance(p, q) < distance(p, best)))
			best = q;
	}
	return best;
}

static unsigned load(const struct processor *p)
{
	unsigned n = p->current != NULL;

	for (const struct vcpu *v = p->queue; v; v = v->sched.next)
		n++;
	return n;
}

/* For one that comes for the first time. */
static struct processor *least_loaded(struct sched *s)
{
	struct processor *best = &s->processor[0];

	for (unsigned i = 1; i < s->cfg.processors; i++)
		if (s->processor[i].runner && load(&s->processor[i]) < load(best))
			best = &s->processor[i];
	return best;
}

static bool gives_way(const struct processor *p, const struct vcpu *to)
{
	return p->current && !p->current->sched.asked_ns &&
	       to->sched.virtual_ns + PREEMPT_NS < p->current->sched.virtual_ns;
}

/* All are busy: the one that it was on, or if that does not give way for it and another does, the one furthest ahead. */
static struct processor *busy_place(struct sched *s, struct vcpu *v)
{
	struct processor *home = v->sched.on ? v->sched.on : least_loaded(s), *best = home;

	if (gives_way(home, v))
		return home;
	for (unsigned i = 0; i < s->cfg.processors; i++) {
		struct processor *q = &s->processor[i];

		if (gives_way(q, v) && (best == home || q->current->sched.virtual_ns > best->current->sched.virtual_ns))
			best = q;
	}
	return best;
}

void sched_ask_to_yield(struct vcpu *v, uint64_t now_ns)
{
	if (!v->sched.asked_ns) {
		v->sched.asked_ns = now_ns;
		v->sched.asked_cpu_ns = v->sched.charged_ns;
	}
	__atomic_store_n(&v->sched.yield, true, __ATOMIC_RELAXED);
	__atomic_store_n(&v->gs.poll, 1, __ATOMIC_RELEASE);
}

/* The host had its thread wait for a CPU for a good part of the slice. */
static bool is_starved(const struct vcpu *v, uint64_t now)
{
	uint64_t ns = now - v->sched.began_ns;

	return ns >= 2 * SLICE_NS && v->sched.charged_ns - v->sched.began_cpu_ns < ns / 4 * 3;
}

void sched_move_starved(struct sched *s, uint64_t now)
{
	for (unsigned i = 0; i < s->cfg.processors; i++) {
		struct vcpu *v = s->processor[i].current;
		struct processor *ahead = NULL;

		if (!v || v->sched.asked_ns || !is_starved(v, now))
			continue;
		for (unsigned k = 0; k < s->cfg.processors; k++) {
			struct processor *q = &s->processor[k];

			if (q->current && q->current->sched.virtual_ns > v->sched.virtual_ns + 2 * BALANCE_NS &&
			    (!ahead || q->current->sched.virtual_ns > ahead->current->sched.virtual_ns))
				ahead = q;
		}
		if (!ahead)
			continue;
		v->sched.to = ahead;
		sched_ask_to_yield(v, now);
		sched_ask_to_yield(ahead->current, now);
	}
}

/* False: no processor is idle, and none can be started. */
static bool to_idle(struct sched *s, struct vcpu *v)
{
	struct processor *p = v->sched.on;

	if (!p || !p->idle)
		p = nearest_idle(s, p ? p : &s->processor[0]);
	if (!p || (!p->runner && sched_start(s, p)))
		return false;
	p->idle = false;
	append(s, p, v);
	if (s->defers)
		s->deferred = p->runner;
	else
		s->cfg.host->wake(s->cfg.host, p->runner);
	return true;
}

/* --icount: turns end where they end, but for one that was begun when there was nobody else. */
static void to_turns(struct sched *s, struct vcpu *v, uint64_t now)
{
	struct processor *p = &s->processor[0];

	if (p->current && p->current->sched.endless)
		sched_ask_to_yield(p->current, now);
	append(s, p, v);
}

static void to_busy(struct sched *s, struct vcpu *v, uint64_t now)
{
	struct processor *p;

	sched_refresh(s, now);
	clamp(s, v);
	p = busy_place(s, v);
	if (gives_way(p, v))
		sched_ask_to_yield(p->current, now);
	append(s, p, v);
	sched_tick_by(s, p->current ? p->current->sched.began_ns + SLICE_NS : now + SLICE_NS);
}

void sched_make_runnable(struct sched *s, struct vcpu *v)
{
	uint64_t now = sched_now_ns(s);

	v->sched.until_ns = WATCH_NEVER;
	if (sched_over_cap(v, now)) {
		v->sched.until_ns = v->sched.cap_ns;
		sched_set_state(v, SCHED_CAPPED);
		sched_tick_by(s, v->sched.until_ns);
		return;
	}
	if (to_idle(s, v))
		return;
	if (s->cfg.repeatable)
		to_turns(s, v, now);
	else
		to_busy(s, v, now);
}

/* ---- for the rest of the monitor ---- */

void sched_kick(struct vcpu *v)
{
	struct sched *s = v->sched.sched;
	struct runner *r;

	/* It sets its state and looks at poll then (processor.c): one of the two sees the other. */
	__atomic_store_n(&v->gs.poll, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&v->sched.state, __ATOMIC_SEQ_CST) != SCHED_WAITS)
		return;
	pthread_mutex_lock(&s->lock);
	if (v->sched.state == SCHED_WAITS) {
		v->sched.wakes++;
		s->defers = true;
		sched_make_runnable(s, v);
		s->defers = false;
	}
	r = s->deferred;
	s->deferred = NULL;
	pthread_mutex_unlock(&s->lock);
	/* not before: it would wake only to wait for the lock */
	if (r)
		s->cfg.host->wake(s->cfg.host, r);
}

void sched_interrupt(struct vcpu *v, int sig)
{
	struct sched *s = v->sched.sched;

	pthread_mutex_lock(&s->lock);
	if (v->sched.state == SCHED_RUNS)
		pthread_kill(v->sched.runner->thread, sig);
	pthread_mutex_unlock(&s->lock);
}

bool sched_is_waited_for(const struct sched *s) { return __atomic_load_n(&s->n_queued, __ATOMIC_RELAXED) != 0; }

void sched_expect_less(struct sched *s)
{
	struct processor *p = &s->processor[0];

	pthread_mutex_lock(&s->lock);
	s->cfg.together -= s->cfg.together != 0;
	if (s->cfg.repeatable && p->runner)
		s->cfg.host->wake(s->cfg.host, p->runner);
	pthread_mutex_unlock(&s->lock);
}

uint64_t sched_used_ns(struct vcpu *v)
{
	struct sched *s = v->sched.sched;
	uint64_t used;

	pthread_mutex_lock(&s->lock);
	if (v->sched.state == SCHED_RUNS)
		sched_charge(s, v, sched_cpu_ns(s, v->sched.runner));
	used = v->sched.used_ns;
	pthread_mutex_unlock(&s->lock);
	return used;
}

void sched_count(struct sched *s, struct sched_counts *out)
{
	pthread_mutex_lock(&s->lock);
	*out = (struct sched_counts){
	    .processors = s->cfg.processors, .running = s->n_running, .queued = s->n_queued, .displaced = s->displaced};
	for (unsigned i = 0; i < s->cfg.processors; i++)
		out->started += s->processor[i].runner != NULL;
	pthread_mutex_unlock(&s->lock);
}

static void forget(struct sched *s, const struct vcpu *v)
{
	struct vcpu **at;

	for (at = &s->known; *at != v; at = &(*at)->sched.next_known)
		;
	*at = v->sched.next_known;
	s->n_known--;
}

void sched_admit(struct sched *s, struct vcpu *v)
{
	v->sched.next_known = s->known;
	s->known = v;
	s->n_known++;
	sched_make_runnable(s, v);
}

int sched_run(struct vcpu *v, unsigned n)
{
	struct sched *s = v->sched.sched;
	int err = 0;

	pthread_mutex_lock(&s->lock);
	if (!s->processor[0].runner) {
		pthread_sigmask(SIG_SETMASK, NULL, &s->signals);
		err = sched_start(s, &s->processor[0]);
	}
	for (unsigned i = 0; i < n && !err; i++)
		sched_admit(s, &v[i]);
	for (unsigned i = 0; i < n && !err; i++) {
		while (v[i].sched.state != SCHED_OFF || v[i].sched.pinned)
			pthread_cond_wait(&v[i].sched.ended, &s->lock);
		forget(s, &v[i]);
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

void sched_vcpu_init(struct vcpu *v, struct sched *s)
{
	v->sched.sched = s;
	v->sched.weight = v->sched.shares * WEIGHT;
	v->sched.until_ns = WATCH_NEVER;
	pthread_cond_init(&v->sched.ended, NULL);
}

void sched_vcpu_destroy(struct vcpu *v)
{
	ASSERT(v->sched.state == SCHED_OFF);
	if (v->sched.sched)
		pthread_cond_destroy(&v->sched.ended);
}

static unsigned host_cpus(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) ? 1 : CPU_COUNT(&set);

	return n < 1 ? 1 : n > SCHED_MAX_PROCESSORS ? SCHED_MAX_PROCESSORS : (unsigned)n;
}

int sched_new(struct sched **out, struct watcher *w, const struct sched_config *cfg)
{
	struct sched *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->cfg = *cfg;
	s->watcher = w;
	if (!cfg->host)
		s->cfg.host = &sched_this_host;
	if (!cfg->processors)
		s->cfg.processors = host_cpus();
	if (cfg->repeatable)
		s->cfg.processors = 1;
	for (unsigned i = 0; i < s->cfg.processors; i++)
		s->processor[i] = (struct processor){.index = i, .node = i * cfg->nodes / s->cfg.processors};
	pthread_mutex_init(&s->lock, NULL);
	s->tick = (struct watch){.due = sched_tick, .arg = s};
	s->tick_ns = WATCH_NEVER;
	err = w ? watcher_add(w, &s->tick, -1) : 0;
	if (err) {
		pthread_mutex_destroy(&s->lock);
		free(s);
		return err;
	}
	*out = s;
	return 0;
}

void sched_free(struct sched *s)
{
	if (!s)
		return;
	if (s->watcher)
		watcher_remove(s->watcher, &s->tick);
	sched_stop_all(s);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
