/* SPDX-License-Identifier: MIT */
#include "vmm/host/stream.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/host/lines.h"
#include "vmm/monitor/clock.h"

/* ---- whom to wake ---- */

struct wakeup {
	pthread_mutex_t lock;
	struct clock *clock; /* guarded by lock */
};

int wakeup_new(struct wakeup **out)
{
	struct wakeup *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	r = -pthread_mutex_init(&w->lock, NULL);
	if (r) {
		free(w);
		return r;
	}
	*out = w;
	return 0;
}

void wakeup_free(struct wakeup *w)
{
	if (!w)
		return;
	pthread_mutex_destroy(&w->lock);
	free(w);
}

void wakeup_set(struct wakeup *w, struct clock *clock)
{
	pthread_mutex_lock(&w->lock);
	w->clock = clock;
	pthread_mutex_unlock(&w->lock);
}

void wakeup_kick(struct wakeup *w)
{
	pthread_mutex_lock(&w->lock);
	if (w->clock)
		clock_kick(w->clock);
	pthread_mutex_unlock(&w->lock);
}

/* ---- a ring of bytes ---- */

struct ring {
	pthread_mutex_t lock; /* guards the rest, but for the contents of the part that a side owns */
	size_t head, used;    /* bytes [head, head + used) modulo STREAM_BYTES */
	uint8_t data[STREAM_BYTES];
};

/* The part that is filled, as far as it is contiguous. */
static size_t ring_filled(struct ring *r, uint8_t **data)
{
	size_t n;

	pthread_mutex_lock(&r->lock);
	n = r->used < STREAM_BYTES - r->head ? r->used : STREAM_BYTES - r->head;
	*data = r->data + r->head;
	pthread_mutex_unlock(&r->lock);
	return n;
}

/* The part that is free, as far as it is contiguous. */
static size_t ring_free(struct ring *r, uint8_t **data)
{
	size_t n, tail;

	pthread_mutex_lock(&r->lock);
	tail = (r->head + r->used) % STREAM_BYTES;
	n = tail < r->head || r->used == STREAM_BYTES ? r->head - tail : STREAM_BYTES - tail;
	if (r->used == STREAM_BYTES)
		n = 0;
	*data = r->data + tail;
	pthread_mutex_unlock(&r->lock);
	return n;
}

static size_t ring_used(struct ring *r)
{
	size_t n;

	pthread_mutex_lock(&r->lock);
	n = r->used;
	pthread_mutex_unlock(&r->lock);
	return n;
}

/* Returns how much was in it before. */
static size_t ring_add(struct ring *r, size_t n)
{
	size_t before;

	pthread_mutex_lock(&r->lock);
	before = r->used;
	r->used += n;
	pthread_mutex_unlock(&r->lock);
	return before;
}

static size_t ring_remove(struct ring *r, size_t n)
{
	size_t before;

	pthread_mutex_lock(&r->lock);
	before = r->used;
	r->head = (r->head + n) % STREAM_BYTES;
	r->used -= n;
	pthread_mutex_unlock(&r->lock);
	return before;
}

static void ring_event(int event)
{
	uint64_t one = 1;

	(void)!write(event, &one, sizeof(one));
}

static void clear_event(int event)
{
	uint64_t n;

	(void)!read(event, &n, sizeof(n));
}

/* ---- from a descriptor ---- */

struct stream_in {
	int fd, event;
	struct wakeup *wakeup;
	pthread_t thread;
	bool stop, ended, held; /* atomic */
	struct ring ring;
};

static void read_some(struct stream_in *s, uint8_t *to, size_t room)
{
	ssize_t n = read(s->fd, to, room);

	if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n > 0)
		ring_add(&s->ring, (size_t)n);
	else
		__atomic_store_n(&s->ended, true, __ATOMIC_RELEASE);
	wakeup_kick(s->wakeup);
}

static void *in_thread(void *arg)
{
	struct stream_in *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		struct pollfd p[2] = {{.fd = s->event, .events = POLLIN}};
		uint8_t *to;
		size_t room = ring_free(&s->ring, &to);

		/* a negative descriptor is skipped */
		if (__atomic_load_n(&s->held, __ATOMIC_ACQUIRE))
			room = 0;
		p[1] = (struct pollfd){.fd = room && !s->ended ? s->fd : -1, .events = POLLIN};
		if (poll(p, ARRAY_LEN(p), -1) < 0)
			continue;
		if (p[0].revents)
			clear_event(s->event);
		if (p[1].revents)
			read_some(s, to, room);
	}
	return NULL;
}

int stream_in_open(struct stream_in **out, int fd, bool held, struct wakeup *w)
{
	struct stream_in *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->fd = fd;
	s->held = held;
	s->wakeup = w;
	s->ended = fd < 0;
	s->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = s->event < 0 ? -errno : -pthread_mutex_init(&s->ring.lock, NULL);
	if (!r) {
		r = -pthread_create(&s->thread, NULL, in_thread, s);
		if (!r) {
			*out = s;
			return 0;
		}
		pthread_mutex_destroy(&s->ring.lock);
	}
	if (s->event >= 0)
		close(s->event);
	free(s);
	return r;
}

void stream_in_release(struct stream_in *s)
{
	__atomic_store_n(&s->held, false, __ATOMIC_RELEASE);
	ring_event(s->event);
}

void stream_in_close(struct stream_in *s)
{
	if (!s)
		return;
	__atomic_store_n(&s->stop, true, __ATOMIC_RELEASE);
	ring_event(s->event);
	pthread_join(s->thread, NULL);
	pthread_mutex_destroy(&s->ring.lock);
	close(s->event);
	free(s);
}

size_t stream_in_peek(struct stream_in *s, const uint8_t **data)
{
	uint8_t *p;
	size_t n = ring_filled(&s->ring, &p);

	*data = p;
	return n;
}

void stream_in_take(struct stream_in *s, size_t n)
{
	if (n && ring_remove(&s->ring, n) == STREAM_BYTES)
		ring_event(s->event);
}

bool stream_in_ended(struct stream_in *s)
{
	/* in this order: what is added is added before the end is seen */
	return __atomic_load_n(&s->ended, __ATOMIC_ACQUIRE) && ring_used(&s->ring) == 0;
}

/* ---- to a descriptor ---- */

struct stream_out {
	int fd;
	struct lines *lines; /* or NULL */
	struct lines_port *port;
	struct wakeup *wakeup;
	pthread_t thread;
	pthread_cond_t filled; /* with ring.lock */
	bool stop;             /* guarded by ring.lock: end when the ring is empty */
	bool short_put;        /* vCPU thread: the last put took less than it was given */
	int error;             /* atomic */
	struct ring ring;
};

static ssize_t write_lines(struct stream_out *s, const uint8_t *from, size_t n)
{
	lines_put(s->port, from, n);
	errno = lines_error(s->lines);
	return errno ? -1 : (ssize_t)n;
}

static void write_some(struct stream_out *s, const uint8_t *from, size_t n)
{
	ssize_t w = s->error ? (ssize_t)n : s->port ? write_lines(s, from, n) : host_write_waiting(s->fd, from, n);

	if (w < 0 && errno == EINTR)
		return;
	if (w <= 0) {
		__atomic_store_n(&s->error, w ? errno : EIO, __ATOMIC_RELEASE);
		w = (ssize_t)n;
	}
	ring_remove(&s->ring, (size_t)w);
	/* half empty is worth a look of a vCPU that waits for room, and empty of one that waits for the end */
	wakeup_kick(s->wakeup);
}

static void *out_thread(void *arg)
{
	struct stream_out *s = arg;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	for (;;) {
		uint8_t *from;
		size_t n;

		pthread_mutex_lock(&s->ring.lock);
		while (!s->ring.used && !s->stop)
			pthread_cond_wait(&s->filled, &s->ring.lock);
		n = s->ring.used;
		pthread_mutex_unlock(&s->ring.lock);
		if (!n)
			return NULL;
		n = ring_filled(&s->ring, &from);
		write_some(s, from, n);
	}
}

static int open_out(struct stream_out **out, int fd, struct lines *lines, const char *name, struct wakeup *w)
{
	struct stream_out *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->fd = fd;
	s->lines = lines;
	s->wakeup = w;
	r = lines ? lines_port_open(&s->port, lines, name) : 0;
	if (r)
		goto no_port;
	r = -pthread_mutex_init(&s->ring.lock, NULL);
	if (r)
		goto no_lock;
	r = -pthread_cond_init(&s->filled, NULL);
	if (r)
		goto no_cond;
	r = -pthread_create(&s->thread, NULL, out_thread, s);
	if (r)
		goto no_thread;
	*out = s;
	return 0;
no_thread:
	pthread_cond_destroy(&s->filled);
no_cond:
	pthread_mutex_destroy(&s->ring.lock);
no_lock:
	if (s->port)
		lines_port_close(s->port);
no_port:
	free(s);
	return r;
}

int stream_out_open(struct stream_out **out, int fd, struct wakeup *w) { return open_out(out, fd, NULL, NULL, w); }

int stream_out_open_lines(struct stream_out **out, struct lines *lines, const char *name, struct wakeup *w)
{
	return open_out(out, -1, lines, name, w);
}

int stream_out_close(struct stream_out *s, bool drain)
{
	int err;

	if (!s)
		return 0;
	if (!drain && s->port)
		lines_port_stop(s->port);
	else if (!drain)
		pthread_cancel(s->thread);
	pthread_mutex_lock(&s->ring.lock);
	s->stop = true;
	pthread_cond_signal(&s->filled);
	pthread_mutex_unlock(&s->ring.lock);
	pthread_join(s->thread, NULL);
	if (s->port)
		lines_port_close(s->port);
	err = s->error ? s->error : s->lines ? lines_error(s->lines) : 0;
	pthread_cond_destroy(&s->filled);
	pthread_mutex_destroy(&s->ring.lock);
	free(s);
	return err;
}

size_t stream_out_put(struct stream_out *s, const uint8_t *data, size_t n)
{
	size_t done = 0;

	while (done < n) {
		uint8_t *to;
		size_t room = ring_free(&s->ring, &to), part = n - done < room ? n - done : room;

		if (!part)
			break;
		memcpy(to, data + done, part);
		pthread_mutex_lock(&s->ring.lock);
		s->ring.used += part;
		pthread_cond_signal(&s->filled);
		pthread_mutex_unlock(&s->ring.lock);
		done += part;
	}
	s->short_put = done < n;
	return done;
}

bool stream_out_has_room(struct stream_out *s)
{
	bool room = s->short_put && ring_used(&s->ring) <= STREAM_BYTES / 2;

	s->short_put &= !room;
	return room;
}

bool stream_out_empty(struct stream_out *s)
{
	/* in this order: what is taken out of the ring has been put into lines before */
	return ring_used(&s->ring) == 0 && (!s->port || lines_port_written(s->port));
}

int stream_out_error(struct stream_out *s) { return __atomic_load_n(&s->error, __ATOMIC_ACQUIRE); }
