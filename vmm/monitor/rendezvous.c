/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/rendezvous.h"

#include <errno.h>
#include <stdlib.h>

#include "base/host_clock.h"

struct rendezvous {
	pthread_mutex_t
	    lock; /* guards all below, and the members' list; taken alone or after a code cache's or a machine's */
	pthread_cond_t came; /* a wanted member is outside */
	pthread_cond_t over; /* somebody was let go, or all of them have got on */
	bool busy;
	pthread_t holder; /* busy: whose thread it is */
	struct rendezvous_member *members;
	unsigned waiting;  /* members that wait to be let go */
	unsigned released; /* of these, those that were let go and have not got on yet */
	struct rendezvous_stats stats;
};

int rendezvous_new(struct rendezvous **out)
{
	struct rendezvous *r = calloc(1, sizeof(*r));

	*out = r;
	if (!r)
		return -ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->came, NULL);
	pthread_cond_init(&r->over, NULL);
	return 0;
}

void rendezvous_free(struct rendezvous *r)
{
	if (!r)
		return;
	ASSERT(!r->members && !r->busy);
	pthread_cond_destroy(&r->over);
	pthread_cond_destroy(&r->came);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* The one rendezvous that there is at a time; who was stopped by the last one has got on. Under the lock. */
static void wait_until_free(struct rendezvous *r)
{
	ASSERT(!r->busy || !pthread_equal(r->holder, pthread_self()));
	while (r->busy || r->released)
		pthread_cond_wait(&r->over, &r->lock);
}

void rendezvous_add(struct rendezvous *r, struct rendezvous_member *m, struct vm *vm, int32_t *poll)
{
	*m = (struct rendezvous_member){.of = r, .vm = vm, .poll = poll};
	pthread_mutex_lock(&r->lock);
	wait_until_free(r);
	m->next = r->members;
	r->members = m;
	pthread_mutex_unlock(&r->lock);
}

void rendezvous_remove(struct rendezvous_member *m)
{
	struct rendezvous *r = m->of;
	struct rendezvous_member **at;

	if (!r)
		return;
	ASSERT(m->depth == 0);
	pthread_mutex_lock(&r->lock);
	wait_until_free(r);
	for (at = &r->members; *at != m; at = &(*at)->next)
		;
	*at = m->next;
	pthread_mutex_unlock(&r->lock);
	m->of = NULL;
}

/* ---- members ---- */

static bool is_wanted(const struct rendezvous_member *m) { return __atomic_load_n(&m->wanted, __ATOMIC_SEQ_CST); }

static bool is_inside(const struct rendezvous_member *m) { return __atomic_load_n(&m->inside, __ATOMIC_SEQ_CST); }

static void go_outside(struct rendezvous_member *m)
{
	struct rendezvous *r = m->of;

	__atomic_store_n(&m->inside, false, __ATOMIC_SEQ_CST);
	if (__builtin_expect(!is_wanted(m), 1))
		return;
	pthread_mutex_lock(&r->lock);
	pthread_cond_broadcast(&r->came);
	pthread_mutex_unlock(&r->lock);
}

static void wait_outside(struct rendezvous_member *m)
{
	struct rendezvous *r = m->of;

	pthread_mutex_lock(&r->lock);
	if (is_wanted(m)) {
		r->waiting++;
		while (is_wanted(m))
			pthread_cond_wait(&r->over, &r->lock);
		r->waiting--;
		if (--r->released == 0)
			pthread_cond_broadcast(&r->over);
	}
	pthread_mutex_unlock(&r->lock);
}

static void go_inside(struct rendezvous_member *m)
{
	for (;;) {
		__atomic_store_n(&m->inside, true, __ATOMIC_SEQ_CST);
		if (__builtin_expect(!is_wanted(m), 1))
			return;
		go_outside(m);
		wait_outside(m);
	}
}

void rendezvous_enter(struct rendezvous_member *m)
{
	if (++m->depth != 1)
		return;
	go_inside(m);
	if (__builtin_expect(__atomic_load_n(&m->holds, __ATOMIC_RELAXED), 0))
		__atomic_store_n(&m->holds, false, __ATOMIC_SEQ_CST);
}

void rendezvous_leave(struct rendezvous_member *m)
{
	if (--m->depth == 0)
		go_outside(m);
}

void rendezvous_leave_holding(struct rendezvous_member *m)
{
	__atomic_store_n(&m->holds, true, __ATOMIC_SEQ_CST);
	rendezvous_leave(m);
}

void rendezvous_pass(struct rendezvous_member *m)
{
	if (__builtin_expect(!is_wanted(m), 1) || m->depth <= 0)
		return;
	go_outside(m);
	wait_outside(m);
	go_inside(m);
}

/* ---- who stops them ---- */

static bool is_in(const struct rendezvous_set *set, const struct rendezvous_member *m)
{
	return !set->is_in || set->is_in(set->arg, m);
}

/* Those of the set that are not wanted yet are now: how many. */
static unsigned call_for(struct rendezvous *r, const struct rendezvous_set *set)
{
	unsigned n = 0;

	for (struct rendezvous_member *m = r->members; m; m = m->next) {
		if (is_wanted(m) || !is_in(set, m))
			continue;
		n++;
		__atomic_store_n(&m->wanted, true, __ATOMIC_SEQ_CST);
		/* who is outside would only be woken for nothing: it sees `wanted` on its way in */
		if (m->poll && is_inside(m))
			__atomic_store_n(m->poll, 1, __ATOMIC_SEQ_CST);
	}
	return n;
}

static bool all_outside(const struct rendezvous *r)
{
	for (const struct rendezvous_member *m = r->members; m; m = m->next)
		if (is_wanted(m) && is_inside(m))
			return false;
	return true;
}

static void stop(struct rendezvous *r, const struct rendezvous_set *set)
{
	pthread_mutex_lock(&r->lock);
	wait_until_free(r);
	r->busy = true;
	r->holder = pthread_self();
	while (call_for(r, set))
		while (!all_outside(r))
			pthread_cond_wait(&r->came, &r->lock);
	pthread_mutex_unlock(&r->lock);
}

static void let_go(struct rendezvous *r, uint64_t wait_ns)
{
	pthread_mutex_lock(&r->lock);
	for (struct rendezvous_member *m = r->members; m; m = m->next)
		__atomic_store_n(&m->wanted, false, __ATOMIC_SEQ_CST);
	r->released = r->waiting;
	r->busy = false;
	r->stats.stops++;
	r->stats.wait_ns += wait_ns;
	if (wait_ns > r->stats.longest_ns)
		r->stats.longest_ns = wait_ns;
	pthread_cond_broadcast(&r->over);
	pthread_mutex_unlock(&r->lock);
}

/* All are outside. */
static bool any_holds(struct rendezvous *r)
{
	bool any = false;

	pthread_mutex_lock(&r->lock);
	for (const struct rendezvous_member *m = r->members; m && !any; m = m->next)
		any = is_wanted(m) && __atomic_load_n(&m->holds, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&r->lock);
	return any;
}

/* *ns: until all were outside. */
static bool meet(struct rendezvous *r, struct rendezvous_member *self, const struct rendezvous_set *set, bool at_rest,
		 void (*act)(void *arg), void *arg, uint64_t *ns)
{
	uint64_t from = host_now_ns();
	bool met;

	ASSERT(!self || self->depth == 1);
	if (self)
		rendezvous_leave(self);
	stop(r, set);
	*ns = host_now_ns() - from;
	met = !at_rest || !any_holds(r);
	if (met)
		act(arg);
	let_go(r, *ns);
	if (self)
		rendezvous_enter(self);
	return met;
}

uint64_t rendezvous(struct rendezvous *r, struct rendezvous_member *self, struct rendezvous_set set,
		    void (*act)(void *arg), void *arg)
{
	uint64_t ns;

	(void)meet(r, self, &set, false, act, arg, &ns);
	return ns;
}

bool rendezvous_at_rest(struct rendezvous *r, struct rendezvous_member *self, struct rendezvous_set set,
			void (*act)(void *arg), void *arg)
{
	uint64_t ns;

	return meet(r, self, &set, true, act, arg, &ns);
}

void rendezvous_count(struct rendezvous *r, struct rendezvous_stats *out)
{
	pthread_mutex_lock(&r->lock);
	*out = r->stats;
	pthread_mutex_unlock(&r->lock);
}
