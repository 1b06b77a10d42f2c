/* SPDX-License-Identifier: MIT */
#include "vmm/host/lines.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RING_BYTES = 256 << 10, WRITE_BYTES = 4096 /* PIPE_BUF */, NAME_BYTES = 64 };

struct lines {
	int fd;
	pthread_t thread;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t filled, room;
	bool stop; /* end when all is written */
	int error;
	uint64_t put,
	    written; /* bytes since the beginning; those between are in the ring, byte i at i modulo its size */
	char ring[RING_BYTES];
};

struct lines_port {
	struct lines *lines;
	bool stop;    /* guarded by lines.lock */
	uint64_t end; /* lines.put after the last line of this port; guarded by lines.lock */
	size_t name_bytes, n;
	char text[NAME_BYTES + LINES_MAX_BYTES + 1]; /* the name, and n bytes of a line */
};

/* ---- the thread ---- */

ssize_t host_write_waiting(int fd, const void *from, size_t n)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	ssize_t w;
	int saved;

	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	w = write(fd, from, n);
	saved = errno;
	if (w < 0 && (saved == EAGAIN || saved == EWOULDBLOCK)) {
		poll(&p, 1, -1);
		saved = EINTR;
	}
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	errno = saved;
	return w;
}

/* What is to be written next: up to WRITE_BYTES, to the end of a line if there is one. With the lock. */
static size_t next_part(const struct lines *l, char out[WRITE_BYTES])
{
	size_t n = l->put - l->written, whole = 0;

	if (n > WRITE_BYTES)
		n = WRITE_BYTES;
	for (size_t i = 0; i < n; i++) {
		out[i] = l->ring[(l->written + i) % RING_BYTES];
		if (out[i] == '\n')
			whole = i + 1;
	}
	return whole ? whole : n;
}

static void *lines_main(void *arg)
{
	struct lines *l = arg;
	char part[WRITE_BYTES];

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_mutex_lock(&l->lock);
	for (;;) {
		ssize_t w;
		size_t n;

		while (l->put == l->written && !l->stop)
			pthread_cond_wait(&l->filled, &l->lock);
		if (l->put == l->written)
			break;
		n = next_part(l, part);
		pthread_mutex_unlock(&l->lock);
		w = host_write_waiting(l->fd, part, n);
		pthread_mutex_lock(&l->lock);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			l->error = w ? errno : EIO;
		l->written = l->error ? l->put : l->written + (uint64_t)w;
		pthread_cond_broadcast(&l->room);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* ---- ports ---- */

/* The line of the port, with its end. */
static void commit(struct lines_port *p)
{
	struct lines *l = p->lines;
	size_t n = p->name_bytes + p->n;

	pthread_mutex_lock(&l->lock);
	while (RING_BYTES - (l->put - l->written) < n && !p->stop && !l->error)
		pthread_cond_wait(&l->room, &l->lock);
	if (!l->error && RING_BYTES - (l->put - l->written) >= n) {
		for (size_t i = 0; i < n; i++)
			l->ring[(l->put + i) % RING_BYTES] = p->text[i];
		l->put += n;
		p->end = l->put;
		pthread_cond_signal(&l->filled);
	}
	pthread_mutex_unlock(&l->lock);
	p->n = 0;
}

void lines_put(struct lines_port *p, const uint8_t *data, size_t n)
{
	while (n) {
		const uint8_t *end = memchr(data, '\n', n);
		size_t part = end ? (size_t)(end - data) + 1 : n, room = LINES_MAX_BYTES - p->n;
		char *to = p->text + p->name_bytes;

		part = part < room ? part : room;
		memcpy(to + p->n, data, part);
		p->n += part;
		data += part;
		n -= part;
		if (to[p->n - 1] != '\n' && p->n < LINES_MAX_BYTES)
			continue;
		if (to[p->n - 1] != '\n')
			to[p->n++] = '\n';
		commit(p);
	}
}

void lines_port_stop(struct lines_port *p)
{
	pthread_mutex_lock(&p->lines->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->lines->room);
	pthread_mutex_unlock(&p->lines->lock);
}

bool lines_port_written(struct lines_port *p)
{
	bool all;

	pthread_mutex_lock(&p->lines->lock);
	all = p->lines->written >= p->end;
	pthread_mutex_unlock(&p->lines->lock);
	return all;
}

/* ---- making and unmaking ---- */

int lines_port_open(struct lines_port **out, struct lines *l, const char *name)
{
	struct lines_port *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->lines = l;
	p->name_bytes = (size_t)snprintf(p->text, NAME_BYTES, "%.*s| ", NAME_BYTES - 3, name);
	*out = p;
	return 0;
}

void lines_port_close(struct lines_port *p)
{
	static const uint8_t end = '\n';

	if (p->n)
		lines_put(p, &end, 1);
	free(p);
}

bool lines_empty(struct lines *l)
{
	bool empty;

	pthread_mutex_lock(&l->lock);
	empty = l->put == l->written;
	pthread_mutex_unlock(&l->lock);
	return empty;
}

int lines_error(struct lines *l)
{
	int err;

	pthread_mutex_lock(&l->lock);
	err = l->error;
	pthread_mutex_unlock(&l->lock);
	return err;
}

int lines_open(struct lines **out, int fd)
{
	struct lines *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->fd = fd;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->filled, NULL);
	pthread_cond_init(&l->room, NULL);
	r = -pthread_create(&l->thread, NULL, lines_main, l);
	if (r) {
		free(l);
		return r;
	}
	*out = l;
	return 0;
}

int lines_close(struct lines *l, bool drain)
{
	int err;

	if (!l)
		return 0;
	if (!drain)
		pthread_cancel(l->thread);
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_signal(&l->filled);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	err = l->error;
	pthread_cond_destroy(&l->filled);
	pthread_cond_destroy(&l->room);
	pthread_mutex_destroy(&l->lock);
	free(l);
	return err;
}
