/* SPDX-License-Identifier: MIT */
#include "vmm/host/console_tap.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/host/stream.h"

enum { TYPED_BYTES = 4096 };

struct visitor {
	int fd;      /* -1: nobody */
	uint64_t at; /* he was told what is before */
};

struct console_tap {
	struct wakeup *wakeup;
	int event;
	pthread_t thread;

	pthread_mutex_t lock; /* guards what follows, but for writers of n_typed, which others look at */
	bool started, stop;
	struct visitor visitor[TAP_VISITORS];
	uint64_t n;     /* bytes printed; data holds the last of them, byte i at i modulo its size */
	size_t n_typed; /* atomic */
	uint8_t typed[TYPED_BYTES];
	uint8_t data[TAP_BYTES];
};

static void wake(struct console_tap *t)
{
	uint64_t one = 1;

	(void)!write(t->event, &one, sizeof(one));
}

/* ---- with the lock ---- */

static void show_out(struct visitor *v)
{
	close(v->fd);
	v->fd = -1;
}

static void tell(struct console_tap *t, struct visitor *v)
{
	while (v->fd >= 0 && v->at < t->n) {
		size_t at, part;
		ssize_t n;

		if (t->n - v->at > TAP_BYTES)
			v->at = t->n - TAP_BYTES;
		at = v->at % TAP_BYTES;
		part = t->n - v->at < TAP_BYTES - at ? t->n - v->at : TAP_BYTES - at;
		n = send(v->fd, t->data + at, part, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
			return;
		if (n <= 0)
			show_out(v);
		else
			v->at += (uint64_t)n;
	}
}

static void hear(struct console_tap *t, struct visitor *v)
{
	ssize_t n = recv(v->fd, t->typed + t->n_typed, TYPED_BYTES - t->n_typed, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0)
		show_out(v);
	else
		__atomic_store_n(&t->n_typed, t->n_typed + (size_t)n, __ATOMIC_RELEASE);
}

/* ---- the thread ---- */

static void prepare(struct console_tap *t, struct pollfd p[1 + TAP_VISITORS])
{
	p[0] = (struct pollfd){t->event, POLLIN, 0};
	for (unsigned i = 0; i < TAP_VISITORS; i++) {
		const struct visitor *v = &t->visitor[i];

		p[1 + i] = (struct pollfd){v->fd, 0, 0};
		p[1 + i].events = (short)((t->n_typed < TYPED_BYTES ? POLLIN : 0) | (v->at < t->n ? POLLOUT : 0));
	}
}

static void *tap_main(void *arg)
{
	struct console_tap *t = arg;
	struct pollfd p[1 + TAP_VISITORS];
	uint64_t n;

	pthread_mutex_lock(&t->lock);
	while (!t->stop) {
		prepare(t, p);
		pthread_mutex_unlock(&t->lock);
		if (poll(p, ARRAY_LEN(p), -1) > 0 && p[0].revents)
			(void)!read(t->event, &n, sizeof(n));
		pthread_mutex_lock(&t->lock);
		for (unsigned i = 0; i < TAP_VISITORS; i++) {
			struct visitor *v = &t->visitor[i];

			if (v->fd < 0 || v->fd != p[1 + i].fd)
				continue;
			if (p[1 + i].revents & POLLIN && t->n_typed < TYPED_BYTES)
				hear(t, v);
			else if (p[1 + i].revents & (POLLHUP | POLLERR))
				show_out(v);
			tell(t, v);
		}
		if (t->n_typed)
			wakeup_kick(t->wakeup);
	}
	for (unsigned i = 0; i < TAP_VISITORS; i++) {
		tell(t, &t->visitor[i]);
		if (t->visitor[i].fd >= 0)
			show_out(&t->visitor[i]);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* ---- the machine's side ---- */

void console_tap_put(struct console_tap *t, const uint8_t *data, size_t n)
{
	bool anybody;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < n; i++)
		t->data[t->n++ % TAP_BYTES] = data[i];
	anybody = t->started;
	pthread_mutex_unlock(&t->lock);
	if (anybody)
		wake(t);
}

size_t console_tap_get(struct console_tap *t, uint8_t *data, size_t n)
{
	bool full;

	if (!n || !__atomic_load_n(&t->n_typed, __ATOMIC_ACQUIRE))
		return 0;
	pthread_mutex_lock(&t->lock);
	full = t->n_typed == TYPED_BYTES;
	n = n < t->n_typed ? n : t->n_typed;
	memcpy(data, t->typed, n);
	memmove(t->typed, t->typed + n, t->n_typed - n);
	__atomic_store_n(&t->n_typed, t->n_typed - n, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&t->lock);
	if (full)
		wake(t);
	return n;
}

int console_tap_visit(struct console_tap *t, int fd)
{
	struct visitor *v = NULL;
	int r;

	pthread_mutex_lock(&t->lock);
	for (unsigned i = 0; i < TAP_VISITORS && !v; i++)
		if (t->visitor[i].fd < 0)
			v = &t->visitor[i];
	r = v ? 0 : -EBUSY;
	if (!r && !t->started)
		r = -pthread_create(&t->thread, NULL, tap_main, t);
	if (!r) {
		t->started = true;
		*v = (struct visitor){.fd = fd, .at = t->n > TAP_BYTES ? t->n - TAP_BYTES : 0};
	}
	pthread_mutex_unlock(&t->lock);
	wake(t);
	return r;
}

/* ---- making and unmaking ---- */

int console_tap_new(struct console_tap **out, struct wakeup *w)
{
	struct console_tap *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->wakeup = w;
	for (unsigned i = 0; i < TAP_VISITORS; i++)
		t->visitor[i].fd = -1;
	t->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->event < 0) {
		int r = -errno;

		free(t);
		return r;
	}
	pthread_mutex_init(&t->lock, NULL);
	*out = t;
	return 0;
}

void console_tap_free(struct console_tap *t)
{
	bool started;

	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	started = t->started;
	pthread_mutex_unlock(&t->lock);
	wake(t);
	if (started)
		pthread_join(t->thread, NULL);
	pthread_mutex_destroy(&t->lock);
	close(t->event);
	free(t);
}
