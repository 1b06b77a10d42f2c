/* SPDX-License-Identifier: MIT */
#include "pv-drivers/disk/blk_pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct list {
	struct blk_job *first, **end;
};

struct blk_pool {
	void (*work)(void *opaque, struct blk_job *job);
	void (*done)(void *opaque);
	void *opaque;
	unsigned n;

	pthread_mutex_t lock; /* all below */
	pthread_cond_t more, idle;
	struct list waiting, finished;
	unsigned running;
	bool end;
	pthread_t thread[];
};

static void list_init(struct list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static void list_add(struct list *l, struct blk_job *j)
{
	j->next = NULL;
	*l->end = j;
	l->end = &j->next;
}

static struct blk_job *list_take_all(struct list *l)
{
	struct blk_job *j = l->first;

	list_init(l);
	return j;
}

static void *worker(void *arg)
{
	struct blk_pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct blk_job *j = p->waiting.first;
		bool first;

		if (!j) {
			if (p->end)
				break;
			pthread_cond_wait(&p->more, &p->lock);
			continue;
		}
		p->waiting.first = j->next;
		if (!j->next)
			p->waiting.end = &p->waiting.first;
		p->running++;
		pthread_mutex_unlock(&p->lock);
		p->work(p->opaque, j);
		pthread_mutex_lock(&p->lock);
		first = !p->finished.first;
		list_add(&p->finished, j);
		/* Still counted as running, so that the owner is not freed under done(). */
		if (first) {
			pthread_mutex_unlock(&p->lock);
			p->done(p->opaque);
			pthread_mutex_lock(&p->lock);
		}
		if (!--p->running)
			pthread_cond_signal(&p->idle);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int blk_pool_new(struct blk_pool **out, unsigned threads, void (*work)(void *opaque, struct blk_job *job),
		 void (*done)(void *opaque), void *opaque)
{
	struct blk_pool *p = calloc(1, sizeof(*p) + threads * sizeof(p->thread[0]));
	sigset_t all, before;
	int err = 0;

	*out = NULL;
	if (!p)
		return -ENOMEM;
	p->work = work;
	p->done = done;
	p->opaque = opaque;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	pthread_cond_init(&p->idle, NULL);
	list_init(&p->waiting);
	list_init(&p->finished);
	/* Signals are for the threads that expect them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (p->n < threads && !err) {
		err = -pthread_create(&p->thread[p->n], NULL, worker, p);
		p->n += !err;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!p->n) {
		blk_pool_free(p);
		return err;
	}
	*out = p; /* fewer threads than asked for do as well */
	return 0;
}

void blk_pool_free(struct blk_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->end = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n; i++)
		pthread_join(p->thread[i], NULL);
	pthread_cond_destroy(&p->idle);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void blk_pool_add(struct blk_pool *p, struct blk_job *job)
{
	pthread_mutex_lock(&p->lock);
	list_add(&p->waiting, job);
	pthread_cond_signal(&p->more);
	pthread_mutex_unlock(&p->lock);
}

struct blk_job *blk_pool_collect(struct blk_pool *p)
{
	struct blk_job *j;

	pthread_mutex_lock(&p->lock);
	j = list_take_all(&p->finished);
	pthread_mutex_unlock(&p->lock);
	return j;
}

struct blk_job *blk_pool_cancel(struct blk_pool *p)
{
	struct blk_job *j;

	pthread_mutex_lock(&p->lock);
	j = list_take_all(&p->waiting);
	while (p->running)
		pthread_cond_wait(&p->idle, &p->lock);
	*p->finished.end = j;
	j = list_take_all(&p->finished);
	pthread_mutex_unlock(&p->lock);
	return j;
}
