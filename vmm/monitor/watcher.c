/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/watcher.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/host_clock.h"

/*
 * One timer for all: it stands at the earliest time that somebody has asked for, or before that, if he has thought better of
 * it since; so most who ask for a later time cost nothing.  Looking for the earliest is O(watches), a few per machine.
 */
struct watcher {
	pthread_t thread;
	int epoll_fd, timer_fd;

	pthread_mutex_t lock; /* guards what follows, and all watches */
	pthread_cond_t called;
	struct watch *first;
	struct watch *calling; /* whose function runs */
	uint64_t armed_ns;     /* what the timer stands at, until the watcher has looked */
	bool quit;
};

static void set_timer(struct watcher *w, uint64_t at_ns)
{
	struct itimerspec its = {0};

	w->armed_ns = at_ns;
	if (at_ns != WATCH_NEVER) {
		at_ns += !at_ns; /* 0 would be none */
		its.it_value.tv_sec = (time_t)(at_ns / 1000000000u);
		its.it_value.tv_nsec = (long)(at_ns % 1000000000u);
	}
	timerfd_settime(w->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
}

static bool known(const struct watcher *w, const struct watch *x)
{
	const struct watch *i;

	for (i = w->first; i && i != x; i = i->next)
		;
	return i != NULL;
}

static void call_over(struct watcher *w)
{
	w->calling = NULL;
	pthread_cond_broadcast(&w->called);
}

/* An event of the descriptor's was taken from the epoll instance; x may have gone since. */
static void call_readable(struct watcher *w, struct watch *x)
{
	pthread_mutex_lock(&w->lock);
	if (known(w, x)) {
		w->calling = x;
		pthread_mutex_unlock(&w->lock);
		x->readable(x->arg);
		pthread_mutex_lock(&w->lock);
		call_over(w);
	}
	pthread_mutex_unlock(&w->lock);
}

static struct watch *earliest(struct watcher *w)
{
	struct watch *best = w->first;

	for (struct watch *x = w->first; x; x = x->next)
		if (x->at_ns < best->at_ns)
			best = x;
	return best;
}

/* All that are due, and the timer for the next. */
static void call_due(struct watcher *w)
{
	uint64_t now = host_now_ns(), next;
	struct watch *x;

	pthread_mutex_lock(&w->lock);
	while ((x = earliest(w)) && x->at_ns <= now) {
		x->at_ns = WATCH_NEVER;
		w->calling = x;
		pthread_mutex_unlock(&w->lock);
		x->due(x->arg, now);
		pthread_mutex_lock(&w->lock);
		call_over(w);
	}
	next = x ? x->at_ns : WATCH_NEVER;
	if (next == WATCH_NEVER && w->armed_ns <= now)
		w->armed_ns = WATCH_NEVER; /* it has expired */
	else if (next != w->armed_ns)
		set_timer(w, next);
	pthread_mutex_unlock(&w->lock);
}

static bool quits(struct watcher *w)
{
	bool quit;

	pthread_mutex_lock(&w->lock);
	quit = w->quit;
	pthread_mutex_unlock(&w->lock);
	return quit;
}

static void *watcher_main(void *arg)
{
	struct watcher *w = arg;
	struct epoll_event ev[16];

	while (!quits(w)) {
		int n = epoll_wait(w->epoll_fd, ev, ARRAY_LEN(ev), -1);

		for (int i = 0; i < n; i++) {
			uint64_t expired;

			if (ev[i].data.ptr)
				call_readable(w, ev[i].data.ptr);
			else if (read(w->timer_fd, &expired, sizeof(expired)) < 0)
				continue; /* it was set anew meanwhile */
		}
		call_due(w);
	}
	return NULL;
}

static int start(struct watcher *w)
{
	struct epoll_event ev = {.events = EPOLLIN};
	sigset_t all, mask;
	int r;

	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (w->epoll_fd < 0 || w->timer_fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->timer_fd, &ev))
		return -errno;
	/* signals are for those whose system calls they interrupt */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	r = -pthread_create(&w->thread, NULL, watcher_main, w);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	return r;
}

static void close_all(struct watcher *w)
{
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	if (w->timer_fd >= 0)
		close(w->timer_fd);
	pthread_cond_destroy(&w->called);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

int watcher_new(struct watcher **out)
{
	struct watcher *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->epoll_fd = w->timer_fd = -1;
	w->armed_ns = WATCH_NEVER;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->called, NULL);
	r = start(w);
	if (r) {
		close_all(w);
		return r;
	}
	*out = w;
	return 0;
}

void watcher_free(struct watcher *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	ASSERT(!w->first);
	w->quit = true;
	set_timer(w, 0);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	close_all(w);
}

/* Several may watch one descriptor, and an epoll instance knows each number once. */
static int open_fd(struct watcher *w, struct watch *x, int fd)
{
	struct epoll_event ev = {.events = EPOLLONESHOT, .data.ptr = x};
	int r;

	if (fd < 0)
		return 0;
	x->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (x->fd < 0)
		return -errno;
	r = epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, x->fd, &ev) ? -errno : 0;
	x->file = r == -EPERM;
	if (!r || x->file)
		return 0;
	close(x->fd);
	return r;
}

int watcher_add(struct watcher *w, struct watch *x, int fd)
{
	int r;

	x->at_ns = WATCH_NEVER;
	x->fd = -1;
	x->file = false;
	r = open_fd(w, x, fd);
	if (r)
		return r;
	pthread_mutex_lock(&w->lock);
	x->next = w->first;
	w->first = x;
	pthread_mutex_unlock(&w->lock);
	return 0;
}

void watcher_remove(struct watcher *w, struct watch *x)
{
	struct watch **at;

	pthread_mutex_lock(&w->lock);
	for (at = &w->first; *at && *at != x; at = &(*at)->next)
		;
	if (*at) {
		*at = x->next;
		while (w->calling == x)
			pthread_cond_wait(&w->called, &w->lock);
		/* closing it is not enough: the file is open elsewhere */
		if (x->fd >= 0 && !x->file)
			epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, x->fd, NULL);
		if (x->fd >= 0)
			close(x->fd);
	}
	pthread_mutex_unlock(&w->lock);
}

void watcher_at(struct watcher *w, struct watch *x, uint64_t at_ns)
{
	pthread_mutex_lock(&w->lock);
	x->at_ns = at_ns;
	if (at_ns < w->armed_ns)
		set_timer(w, at_ns);
	pthread_mutex_unlock(&w->lock);
}

void watcher_ask(struct watcher *w, struct watch *x)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = x};

	if (x->file)
		x->readable(x->arg);
	else if (x->fd >= 0)
		epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, x->fd, &ev);
}
