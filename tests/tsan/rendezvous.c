/* SPDX-License-Identifier: MIT */
/*
 * Rendezvous of threads without machines: each member changes two numbers that are equal whenever it may be stopped, stops others itself,
 * leaves, and comes again; others stop all of them or some.  Whoever acts must find them equal, and changes both.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/monitor/rendezvous.h"

enum { MEMBERS = 6, STOPPERS = 2, TURNS = 300000, STOPS = 5000, LEAST_STOPS = STOPPERS * STOPS };

struct worker {
	struct rendezvous_member m; /* must be first */
	struct rendezvous *r;
	int32_t poll;
	uint32_t x;
	uint64_t a, b;           /* equal outside */
	uint64_t own, by_others; /* how often which of them changed the two; by_others: the last act's */
	pthread_t thread;
};

static struct worker worker[MEMBERS];
static int failed;     /* atomic */
static uint64_t acted; /* whoever acts counts: that they are not two is what is tested */

static void fail(const char *what)
{
	if (!__atomic_exchange_n(&failed, 1, __ATOMIC_RELAXED))
		fprintf(stderr, "rendezvous: %s\n", what);
}

/* In the place of machines, which a member only names. */
static char tag[2];

static struct vm *tag_of(const struct worker *w) { return (struct vm *)(void *)&tag[(w - worker) % 2]; }

static bool is_even(void *arg, const struct rendezvous_member *m) { return m->vm == (void *)tag; }

static void look_at(struct worker *w)
{
	if (w->a != w->b)
		fail("a member was not stopped");
	w->a++;
	w->b++;
	w->by_others++;
}

static void look_at_all(void *arg)
{
	for (unsigned i = 0; i < MEMBERS; i += arg ? 2 : 1)
		look_at(&worker[i]);
	acted++;
}

static void stop_some(struct rendezvous *r, struct rendezvous_member *self, bool even)
{
	struct rendezvous_set set = {even ? is_even : NULL, NULL};

	(void)rendezvous(r, self, set, look_at_all, even ? worker : NULL);
}

/* As the dispatch loop does. */
static void look_around(struct worker *w)
{
	if (!__atomic_load_n(&w->poll, __ATOMIC_ACQUIRE))
		return;
	__atomic_store_n(&w->poll, 0, __ATOMIC_SEQ_CST);
	rendezvous_pass(&w->m);
}

static uint32_t roll(struct worker *w, uint32_t n)
{
	w->x = w->x * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)(w->x >> 4) * n >> 28);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	rendezvous_enter(&w->m);
	for (unsigned i = 0; i < TURNS; i++) {
		w->a++;
		w->own++;
		if (roll(w, 64) == 0)
			sched_yield();
		w->b++;
		look_around(w);
		switch (roll(w, 256)) {
		case 0: /* as in a device, with one more pair inside */
			rendezvous_leave(&w->m);
			rendezvous_leave(&w->m);
			sched_yield();
			rendezvous_enter(&w->m);
			rendezvous_enter(&w->m);
			break;
		case 1:
			stop_some(w->r, &w->m, roll(w, 2));
			break;
		case 2: /* it ends, and another one comes */
			rendezvous_leave(&w->m);
			rendezvous_remove(&w->m);
			rendezvous_add(w->r, &w->m, tag_of(w), &w->poll);
			rendezvous_enter(&w->m);
			break;
		}
	}
	if (w->a != w->b || w->a != w->own + w->by_others)
		fail("a change is lost");
	rendezvous_leave(&w->m);
	return NULL;
}

static void *stop(void *arg)
{
	for (unsigned i = 0; i < STOPS; i++)
		stop_some(arg, NULL, i % 3 == 0);
	return NULL;
}

static void act_on_one(void *arg) { ++*(int *)arg; }

/* One that is inside and never looks around is not waited for by who does not want it. */
static void only_the_set(struct rendezvous *r)
{
	struct rendezvous_member lazy;
	int done = 0;

	rendezvous_add(r, &lazy, NULL, NULL);
	rendezvous_enter(&lazy);
	(void)rendezvous(r, NULL, (struct rendezvous_set){is_even, NULL}, act_on_one, &done);
	rendezvous_leave(&lazy);
	rendezvous_remove(&lazy);
	if (done != 1)
		fail("a set of nobody");
}

int main(void)
{
	pthread_t stopper[STOPPERS];
	struct rendezvous_stats stats;
	struct rendezvous *r;

	alarm(120); /* nobody lets go of anybody */
	if (rendezvous_new(&r))
		abort();
	only_the_set(r);
	for (unsigned i = 0; i < MEMBERS; i++) {
		worker[i] = (struct worker){.r = r, .x = 99 * (i + 1)};
		rendezvous_add(r, &worker[i].m, tag_of(&worker[i]), &worker[i].poll);
	}
	for (unsigned i = 0; i < MEMBERS; i++)
		if (pthread_create(&worker[i].thread, NULL, work, &worker[i]))
			abort();
	for (unsigned i = 0; i < STOPPERS; i++)
		if (pthread_create(&stopper[i], NULL, stop, r))
			abort();
	for (unsigned i = 0; i < STOPPERS; i++)
		pthread_join(stopper[i], NULL);
	for (unsigned i = 0; i < MEMBERS; i++)
		pthread_join(worker[i].thread, NULL);
	for (unsigned i = 0; i < MEMBERS; i++)
		rendezvous_remove(&worker[i].m);
	rendezvous_count(r, &stats);
	printf("rendezvous: %lu stops, %.1f us to all outside on average\n", (unsigned long)stats.stops,
	       (double)stats.wait_ns / 1000 / (double)stats.stops);
	if (stats.stops != acted + 1 || acted < LEAST_STOPS)
		fail("stops and acts differ");
	rendezvous_free(r);
	return failed;
}
