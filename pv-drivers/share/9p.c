/* SPDX-License-Identifier: MIT */
/*
 * The virtio device of a shared directory (virtio 1.2 gives it no section; id 9, feature 0 is the mount tag, which the
 * configuration holds behind its 16-bit length; one queue).
 *
 *     vCPU thread   notify(): pop -> waiting  ...  poll(): finished -> push
 *     worker        waiting -> p9_serve(), on the guest's memory -> finished -> virtio_wake()
 *
 * While the worker has nothing to do, the server is the vCPU thread's, and what needs no waiting is answered in notify().
 *
 * One worker: requests are answered in the order in which they came, so that a Tflush that reaches the worker has nothing
 * before it.  One that arrives takes the request that it means out of those that wait, and goes before the others.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pv-drivers/virtio/devices.h"
#include "pv-drivers/share/p9.h"

#define F_MOUNT_TAG (1ull << 0)

enum { QUEUE_SIZE = 128, TAG_BYTES = 255, NAME_BYTES = 64 };

struct request {
	struct request *next;
	struct virtq_chain *chain;
	struct p9_header header;
	uint32_t reply_bytes; /* 0: none, the driver gets the buffers back */
};

struct list {
	struct request *first, **end;
};

struct share {
	struct virtio_device dev;
	struct p9_server *server; /* the worker's; the vCPU thread's while it has nothing to do */
	pthread_t worker;
	char name[NAME_BYTES];
	uint8_t config[2 + TAG_BYTES];

	pthread_mutex_t lock;
	pthread_cond_t for_worker, for_vcpu;
	/* Under lock. */
	struct list waiting, finished;
	bool working, stop;
};

static struct share *of(struct virtio_device *d) { return (struct share *)d; }

/* Lists */

static void list_init(struct list *l) { *l = (struct list){.end = &l->first}; }

static void append(struct list *l, struct request *r)
{
	r->next = NULL;
	*l->end = r;
	l->end = &r->next;
}

static void prepend(struct list *l, struct request *r)
{
	r->next = l->first;
	l->first = r;
	if (!r->next)
		l->end = &r->next;
}

static struct request *take(struct list *l)
{
	struct request *r = l->first;

	if (r) {
		l->first = r->next;
		if (!l->first)
			l->end = &l->first;
	}
	return r;
}

/* Take the request with this tag out; NULL if there is none. */
static struct request *take_tag(struct list *l, uint16_t tag)
{
	struct request **at = &l->first, *r;

	while (*at && (*at)->header.tag != tag)
		at = &(*at)->next;
	r = *at;
	if (r) {
		*at = r->next;
		if (!*at)
			l->end = at;
	}
	return r;
}

/* The worker */

static void *work(void *arg)
{
	struct share *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct request *r = s->stop ? NULL : take(&s->waiting);
		const struct virtq_chain *c;

		if (!r) {
			s->working = false;
			pthread_cond_signal(&s->for_vcpu);
			if (s->stop)
				break;
			pthread_cond_wait(&s->for_worker, &s->lock);
			continue;
		}
		s->working = true;
		pthread_mutex_unlock(&s->lock);
		c = r->chain;
		r->reply_bytes = p9_serve(s->server, c->out, c->n_out, c->in, c->n_in);
		pthread_mutex_lock(&s->lock);
		append(&s->finished, r);
		virtio_wake(&s->dev);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* With all signals blocked: a share on a full quota or beyond RLIMIT_FSIZE gives an error, and no SIGXFSZ. */
static int start_worker(struct share *s)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&s->worker, NULL, work, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

/* struct virtio_ops */

static bool idle(struct share *s)
{
	bool yes;

	pthread_mutex_lock(&s->lock);
	yes = !s->working && !s->finished.first;
	pthread_mutex_unlock(&s->lock);
	return yes;
}

static void submit(struct share *s, struct request *r)
{
	struct request *flushed = NULL;

	pthread_mutex_lock(&s->lock);
	if (r->header.is_flush) {
		flushed = take_tag(&s->waiting, r->header.old_tag);
		if (flushed) {
			flushed->reply_bytes = 0;
			append(&s->finished, flushed);
		}
		prepend(&s->waiting, r);
	} else {
		append(&s->waiting, r);
	}
	if (!s->working)
		pthread_cond_signal(&s->for_worker);
	s->working = true;
	pthread_mutex_unlock(&s->lock);
}

static void wait_until_idle(struct share *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->working)
		pthread_cond_wait(&s->for_vcpu, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

/* Push what the worker has finished. */
static void answer(struct virtio_device *d)
{
	struct share *s = of(d);
	struct request *r;
	struct list done;

	pthread_mutex_lock(&s->lock);
	list_init(&done);
	while ((r = take(&s->finished)))
		append(&done, r);
	pthread_mutex_unlock(&s->lock);
	if (!done.first)
		return;
	while ((r = take(&done))) {
		virtq_push(r->chain, r->reply_bytes);
		free(r);
	}
	virtq_signal(&d->queue[0]);
}

/* A message of the guest's: answered now, or on its way to the worker. */
static void accept_message(struct share *s, struct virtq_chain *c)
{
	struct request *r;
	uint32_t reply_bytes = 0;
	bool done = idle(s) && p9_serve_now(s->server, c->out, c->n_out, c->in, c->n_in, &reply_bytes);

	if (!done) {
		r = calloc(1, sizeof(*r));
		if (r && p9_peek(c->out, c->n_out, &r->header)) {
			r->chain = c;
			submit(s, r);
			return;
		}
		free(r);
	}
	virtq_push(c, reply_bytes);
	virtq_signal(&s->dev.queue[0]);
}

static void accept_messages(struct virtio_device *d)
{
	struct share *s = of(d);
	struct virtq_chain *c;
	unsigned n;

	/* One ring full; then the vCPU has its turn. */
	for (n = 0; n < QUEUE_SIZE && virtq_pop(&d->queue[0], &c) > 0; n++) {
		accept_message(s, c);
		if (d->host.synchronous) {
			wait_until_idle(s);
			answer(d);
		}
	}
	if (n == QUEUE_SIZE)
		virtio_wake(d);
}

static void notify(struct virtio_device *d, unsigned queue) { accept_messages(d); }

static void poll(struct virtio_device *d)
{
	answer(d);
	accept_messages(d);
}

static void reset(struct virtio_device *d)
{
	struct share *s = of(d);
	struct request *r;

	pthread_mutex_lock(&s->lock);
	while ((r = take(&s->waiting)))
		append(&s->finished, r);
	while (s->working)
		pthread_cond_wait(&s->for_vcpu, &s->lock);
	while ((r = take(&s->finished))) {
		virtq_drop(r->chain);
		free(r);
	}
	pthread_mutex_unlock(&s->lock);
	p9_server_reset(s->server);
}

static void share_free(struct virtio_device *d)
{
	struct share *s = of(d);

	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->for_worker);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->worker, NULL);
	pthread_cond_destroy(&s->for_worker);
	pthread_cond_destroy(&s->for_vcpu);
	pthread_mutex_destroy(&s->lock);
	p9_server_free(s->server);
	free(s);
}

static const struct virtio_ops share_ops = {.notify = notify, .poll = poll, .reset = reset, .free = share_free};

int virtio_9p_new(struct virtio_device **out, const char *dir, const char *tag, bool read_only)
{
	size_t n = strlen(tag);
	struct share *s;
	int r;

	if (!n || n > TAG_BYTES)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	r = p9_server_new(&s->server, dir, read_only);
	if (r) {
		free(s);
		return r;
	}
	snprintf(s->name, sizeof(s->name), "share %s", tag);
	virtio_device_init(&s->dev, s->name, VIRTIO_ID_9P, F_MOUNT_TAG, &share_ops);
	s->dev.n_queues = 1;
	s->dev.queue_max[0] = QUEUE_SIZE;
	s->config[0] = (uint8_t)n;
	memcpy(s->config + 2, tag, n);
	s->dev.config = s->config;
	s->dev.config_bytes = (unsigned)n + 2;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->for_worker, NULL);
	pthread_cond_init(&s->for_vcpu, NULL);
	list_init(&s->waiting);
	list_init(&s->finished);
	r = start_worker(s);
	if (r) {
		pthread_cond_destroy(&s->for_worker);
		pthread_cond_destroy(&s->for_vcpu);
		pthread_mutex_destroy(&s->lock);
		p9_server_free(s->server);
		free(s);
		return r;
	}
	*out = &s->dev;
	return 0;
}
