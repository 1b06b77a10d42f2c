/* SPDX-License-Identifier: MIT */
/*
 * The background thread of tier 2, and the way in and out of it.
 *
 * A work belongs to the vCPU thread until tier2_request(), then to the worker, and again to the vCPU thread once
 * tier2_take_finished() gave it back.  The worker touches neither code memory nor translations.
 */
#define _GNU_SOURCE /* gettid */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/host_clock.h"
#include "jit/elf_load.h"
#include "jit/tier2_compile.h"

#define QUEUE_MAX   256
#define WORKER_NICE 5
#define IDLE_MS     1000 /* without work: LLVM's memory is given back */

struct work_list {
	struct tier2_work *first, **last;
};

struct tier2 {
	struct tier2_config cfg; /* constant */
	pthread_t worker;
	struct compiler sync;       /* vCPU thread's */
	struct compiler background; /* worker's */
	atomic_bool any_finished;

	pthread_mutex_t lock;  /* guards all below */
	pthread_cond_t wanted; /* pending or stop changed */
	pthread_cond_t idle;   /* nothing pending, nothing active */
	struct work_list pending, finished;
	struct tier2_work *active[TIER2_BATCH]; /* being compiled */
	uint32_t n_pending, n_active;
	bool stop;
	struct tier2_stats stats;
};

static void list_init(struct work_list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void list_push(struct work_list *l, struct tier2_work *w)
{
	w->next = NULL;
	*l->last = w;
	l->last = &w->next;
}

static struct tier2_work *list_pop(struct work_list *l)
{
	struct tier2_work *w = l->first;

	if (!w)
		return NULL;
	l->first = w->next;
	if (!l->first)
		l->last = &l->first;
	w->next = NULL;
	return w;
}

struct tier2_work *tier2_work_new(struct jit_region *r, void *cookie)
{
	struct tier2_work *w = calloc(1, sizeof(*w));

	if (!w)
		panic("out of memory for a region");
	w->region = *r;
	w->cookie = cookie;
	memset(r, 0, sizeof(*r));
	return w;
}

void tier2_work_free(struct tier2_work *w)
{
	if (!w)
		return;
	image_free(w->image);
	free(w->links);
	free(w->lines);
	arena_free(&w->region.arena);
	free(w);
}

static void count(struct tier2_stats *s, const struct tier2_work *w)
{
	s->refused[w->refused]++;
	s->ns += w->ns;
	if (w->refused != TIER2_REFUSED_NONE)
		return;
	s->regions++;
	s->host_bytes += w->code_bytes;
	s->guest_insns += w->n_guest;
}

/* Holding the lock. False: there was none for IDLE_MS. */
static bool wait_for_work(struct tier2 *t)
{
	uint64_t until = host_now_ns() + IDLE_MS * 1000000ull;
	struct timespec at = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
	int err = 0;

	while (!t->stop && !t->n_pending && !err)
		err = pthread_cond_timedwait(&t->wanted, &t->lock, &at);
	return t->stop || t->n_pending;
}

/* LLVM's context, all that it has made, and its code; the next work has it all anew, which costs milliseconds. */
static void give_memory_back(struct tier2 *t)
{
	pthread_mutex_unlock(&t->lock);
	compiler_fini(&t->background);
	llvm_give_pages_back();
#ifdef __GLIBC__
	malloc_trim(0);
#endif
	pthread_mutex_lock(&t->lock);
}

/* Holding the lock: wait for work, make it active. False: stop. */
static bool take_batch(struct tier2 *t)
{
	if (t->background.ready && !wait_for_work(t))
		give_memory_back(t);
	while (!t->stop && !t->n_pending)
		pthread_cond_wait(&t->wanted, &t->lock);
	if (t->stop)
		return false;
	while (t->n_active < TIER2_BATCH && t->n_pending) {
		t->active[t->n_active++] = list_pop(&t->pending);
		t->n_pending--;
	}
	return true;
}

static void finish_batch(struct tier2 *t)
{
	for (uint32_t i = 0; i < t->n_active; i++) {
		count(&t->stats, t->active[i]);
		list_push(&t->finished, t->active[i]);
	}
	t->stats.batches++;
	t->n_active = 0;
	atomic_store_explicit(&t->any_finished, true, memory_order_release);
	if (!t->n_pending)
		pthread_cond_broadcast(&t->idle);
}

static void *work_loop(void *arg)
{
	static const struct compile_dump no_dump;
	struct tier2 *t = arg;

	/* Where cores are scarce the guest's own thread comes first. Failing to ask for that changes nothing else. */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), WORKER_NICE);
	pthread_mutex_lock(&t->lock);
	while (take_batch(t)) {
		pthread_mutex_unlock(&t->lock);
		compiler_run(&t->background, &t->cfg, t->active, t->n_active, &no_dump);
		pthread_mutex_lock(&t->lock);
		finish_batch(t);
		if (t->cfg.on_finished && !t->stop)
			t->cfg.on_finished(t->cfg.ctx);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* Signals (the vCPU's timers, the terminal's) are not the worker's. 0 or -errno. */
static int start_worker(struct tier2 *t)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&t->worker, NULL, work_loop, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

int tier2_new(struct tier2 **out, const struct tier2_config *cfg)
{
	struct tier2 *t = calloc(1, sizeof(*t));
	pthread_condattr_t monotonic;
	int err;

	*out = NULL;
	if (!t)
		return -ENOMEM;
	t->cfg = *cfg;
	list_init(&t->pending);
	list_init(&t->finished);
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&t->wanted, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_cond_init(&t->idle, NULL);
	err = cfg->background ? start_worker(t) : 0;
	if (err) {
		t->cfg.background = false;
		tier2_free(t);
		return err;
	}
	*out = t;
	return 0;
}

bool tier2_abandon(struct tier2 *t)
{
	bool busy;

	pthread_mutex_lock(&t->lock);
	t->stop = true;
	busy = t->n_active > 0;
	pthread_mutex_unlock(&t->lock);
	return busy;
}

void tier2_free(struct tier2 *t)
{
	struct tier2_work *w;

	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->wanted);
	pthread_mutex_unlock(&t->lock);
	if (t->cfg.background)
		pthread_join(t->worker, NULL);
	while ((w = list_pop(&t->pending)) != NULL)
		tier2_work_free(w);
	while ((w = list_pop(&t->finished)) != NULL)
		tier2_work_free(w);
	compiler_fini(&t->sync);
	compiler_fini(&t->background);
	pthread_cond_destroy(&t->idle);
	pthread_cond_destroy(&t->wanted);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static bool same_key(const struct tier2_work *a, const struct tier2_work *b)
{
	const struct ir_block *x = a->region.blocks[0], *y = b->region.blocks[0];

	return a->region.cp == b->region.cp && ir_block_off(x) == ir_block_off(y) && x->mode == y->mode &&
	       x->abs_page == y->abs_page;
}

static bool is_known(const struct tier2 *t, const struct tier2_work *w)
{
	for (const struct tier2_work *p = t->pending.first; p; p = p->next)
		if (same_key(p, w))
			return true;
	for (uint32_t i = 0; i < t->n_active; i++)
		if (same_key(t->active[i], w))
			return true;
	for (const struct tier2_work *p = t->finished.first; p; p = p->next)
		if (same_key(p, w))
			return true;
	return false;
}

bool tier2_request(struct tier2 *t, struct tier2_work *w)
{
	bool ok;

	pthread_mutex_lock(&t->lock);
	ok = t->cfg.background && !t->stop && t->n_pending < QUEUE_MAX && w->region.n_blocks && !is_known(t, w);
	if (ok) {
		list_push(&t->pending, w);
		t->n_pending++;
		t->stats.requested++;
		pthread_cond_signal(&t->wanted);
	}
	pthread_mutex_unlock(&t->lock);
	if (!ok)
		tier2_work_free(w);
	return ok;
}

bool tier2_has_room(struct tier2 *t)
{
	bool room;

	pthread_mutex_lock(&t->lock);
	room = t->n_pending < TIER2_BATCH;
	pthread_mutex_unlock(&t->lock);
	return room;
}

struct tier2_work *tier2_take_finished(struct tier2 *t)
{
	struct tier2_work *w;

	if (!tier2_has_finished(t))
		return NULL;
	pthread_mutex_lock(&t->lock);
	w = list_pop(&t->finished);
	if (!t->finished.first)
		atomic_store_explicit(&t->any_finished, false, memory_order_relaxed);
	pthread_mutex_unlock(&t->lock);
	return w;
}

bool tier2_has_finished(const struct tier2 *t) { return atomic_load_explicit(&t->any_finished, memory_order_acquire); }

void tier2_drain(struct tier2 *t)
{
	pthread_mutex_lock(&t->lock);
	while (t->n_pending || t->n_active)
		pthread_cond_wait(&t->idle, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

static void run_sync(struct tier2 *t, struct tier2_work *w, const struct compile_dump *dump)
{
	compiler_run(&t->sync, &t->cfg, &w, 1, dump);
	pthread_mutex_lock(&t->lock);
	t->stats.requested++;
	t->stats.batches++;
	count(&t->stats, w);
	pthread_mutex_unlock(&t->lock);
}

void tier2_compile_sync(struct tier2 *t, struct tier2_work *w)
{
	static const struct compile_dump no_dump;

	run_sync(t, w, &no_dump);
}

int tier2_dump(struct tier2 *t, struct tier2_work *w, FILE *before, FILE *after)
{
	struct compile_dump dump = {before, after, true};

	run_sync(t, w, &dump);
	return (before && ferror(before)) || (after && ferror(after)) ? -EIO : 0;
}

int tier2_work_place(const struct jit_stubs *stubs, const struct tier2_work *w, void *rw, const void *rx,
		     const void *const *ways)
{
	struct image_symbols sym = {.stubs = stubs, .ways = ways};

	return w->image ? image_place(w->image, &sym, rw, rx) : -EINVAL;
}

struct tier2_stats tier2_stats(struct tier2 *t)
{
	struct tier2_stats s;

	pthread_mutex_lock(&t->lock);
	s = t->stats;
	pthread_mutex_unlock(&t->lock);
	return s;
}
