/* SPDX-License-Identifier: MIT */
#include "vmm/host/stop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define NEVER UINT64_MAX

struct stop {
	struct stop_config cfg;
	pthread_t thread;
	int signal_fd, event;
	sigset_t old_mask;
	bool asked, timed_out, said, quit; /* atomic */
	int status;                        /* written before asked */

	/* The thread's. */
	bool passed;
	int pass_status;                                            /* what the end will be if the grace is over */
	uint64_t timeout_at, look_at, grace_at, flush_at, limit_at; /* ms, or NEVER */

	pthread_mutex_t lock; /* guards what follows */
	struct stop_thread *threads;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void stop_say(const char *fmt, ...)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(line))
		n = sizeof(line) - 1;
	if (n > 0 && poll(&p, 1, 0) > 0)
		(void)!write(STDERR_FILENO, line, (size_t)n);
}

/* ---- the end ---- */

static void say_time_is_over(struct stop *s)
{
	if (__atomic_load_n(&s->timed_out, __ATOMIC_ACQUIRE) && !__atomic_exchange_n(&s->said, true, __ATOMIC_SEQ_CST))
		stop_say("%s: --timeout %s: the run took longer, and was ended\n", s->cfg.speaker, s->cfg.timeout_text);
}

static void ask(struct stop *s, int status, uint64_t limit_at)
{
	s->status = status;
	s->limit_at = limit_at;
	s->flush_at = now_ms() + STOP_FLUSH_MS;
	s->grace_at = NEVER;
	__atomic_store_n(&s->asked, true, __ATOMIC_RELEASE);
}

/* A signal, or the time is over, which a command learns by one. */
static void take(struct stop *s, int sig, int status)
{
	uint64_t now = now_ms();

	if (stop_asked(s))
		return;
	if (!s->passed && s->cfg.ops.pass(s->cfg.ops.opaque, sig)) {
		s->passed = true;
		s->pass_status = status;
		s->grace_at = sig == SIGINT ? NEVER : now + STOP_GRACE_MS;
		return;
	}
	ask(s, status, now + STOP_LIMIT_MS);
}

static void take_signals(struct stop *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			s->cfg.ops.statistics(s->cfg.ops.opaque);
		else if (info.ssi_signo == SIGWINCH || info.ssi_signo == SIGCONT)
			s->cfg.ops.resized(s->cfg.ops.opaque);
		else
			take(s, (int)info.ssi_signo, 128 + (int)info.ssi_signo);
	}
}

static void *flush_main(void *arg)
{
	struct stop_thread *t = arg;

	t->stop->cfg.ops.flush(t->machine);
	return NULL;
}

static void start_flush(struct stop *s)
{
	pthread_mutex_lock(&s->lock);
	for (struct stop_thread *t = s->threads; t; t = t->next)
		t->flushing = !t->settled && pthread_create(&t->flusher, NULL, flush_main, t) == 0;
	pthread_mutex_unlock(&s->lock);
}

/* The end was asked for: ask again, and interrupt what waits. */
static void push(struct stop *s)
{
	s->cfg.ops.end(s->cfg.ops.opaque);
	pthread_mutex_lock(&s->lock);
	for (struct stop_thread *t = s->threads; t; t = t->next)
		if (!t->settled)
			pthread_kill(t->thread, STOP_SIGNAL);
	pthread_mutex_unlock(&s->lock);
}

static void leave(struct stop *s)
{
	s->cfg.ops.leave(s->cfg.ops.opaque);
	say_time_is_over(s);
	_exit(s->status);
}

/* What is due. */
static void look_at_clock(struct stop *s)
{
	uint64_t now = now_ms();

	if (now >= s->look_at) {
		s->look_at = NEVER;
		s->cfg.ops.look(s->cfg.ops.opaque);
	}
	if (now >= s->timeout_at) {
		s->timeout_at = NEVER;
		if (!stop_asked(s))
			__atomic_store_n(&s->timed_out, true, __ATOMIC_RELEASE);
		take(s, SIGTERM, STOP_TIMED_OUT);
	}
	if (now >= s->grace_at)
		ask(s, s->pass_status, s->grace_at - STOP_GRACE_MS + STOP_LIMIT_MS);
	if (!stop_asked(s))
		return;
	push(s);
	if (now >= s->flush_at) {
		s->flush_at = NEVER;
		start_flush(s);
	}
	if (now >= s->limit_at)
		leave(s);
}

static int wait_ms(const struct stop *s)
{
	uint64_t next = s->timeout_at, now = now_ms();

	if (stop_asked(s))
		return STOP_TICK_MS;
	next = s->grace_at < next ? s->grace_at : next;
	next = s->look_at < next ? s->look_at : next;
	if (next == NEVER)
		return -1;
	if (next <= now)
		return 0;
	return next - now > 1000000 ? 1000000 : (int)(next - now);
}

static void *stop_main(void *arg)
{
	struct stop *s = arg;

	while (!__atomic_load_n(&s->quit, __ATOMIC_ACQUIRE)) {
		struct pollfd p[2] = {{.fd = s->event, .events = POLLIN}, {.fd = s->signal_fd, .events = POLLIN}};

		if (poll(p, 2, wait_ms(s)) > 0 && p[1].revents)
			take_signals(s);
		look_at_clock(s);
	}
	return NULL;
}

/* ---- for the run ---- */

/* Only so that system calls return with EINTR. */
static void on_interrupt(int sig) {}

static int block_signals(struct stop *s)
{
	struct sigaction interrupt = {.sa_handler = on_interrupt}, hup;
	sigset_t mine;

	sigemptyset(&mine);
	if (s->cfg.sizes) {
		sigaddset(&mine, SIGWINCH);
		sigaddset(&mine, SIGCONT);
	}
	sigaddset(&mine, SIGINT);
	sigaddset(&mine, SIGTERM);
	sigaddset(&mine, SIGUSR1);
	if (sigaction(SIGHUP, NULL, &hup) || hup.sa_flags & SA_SIGINFO || hup.sa_handler != SIG_IGN)
		sigaddset(&mine, SIGHUP);
	sigemptyset(&interrupt.sa_mask);
	s->signal_fd = signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0 || sigaction(STOP_SIGNAL, &interrupt, NULL))
		return -errno;
	if (s->cfg.pipes)
		sigaddset(&mine, SIGPIPE);
	return -pthread_sigmask(SIG_BLOCK, &mine, &s->old_mask);
}

static int start(struct stop *s)
{
	sigset_t all, mask;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	r = -pthread_create(&s->thread, NULL, stop_main, s);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	return r;
}

int stop_open(struct stop **out, const struct stop_config *cfg)
{
	struct stop *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	*s = (struct stop){.cfg = *cfg, .signal_fd = -1};
	s->timeout_at = cfg->timeout_ms ? now_ms() + cfg->timeout_ms : NEVER;
	s->look_at = cfg->look_ms ? now_ms() + cfg->look_ms : NEVER;
	s->grace_at = s->flush_at = s->limit_at = NEVER;
	pthread_mutex_init(&s->lock, NULL);
	s->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = s->event < 0 ? -errno : block_signals(s);
	if (!r) {
		r = start(s);
		if (!r) {
			*out = s;
			return 0;
		}
		pthread_sigmask(SIG_SETMASK, &s->old_mask, NULL);
	}
	if (s->event >= 0)
		close(s->event);
	if (s->signal_fd >= 0)
		close(s->signal_fd);
	free(s);
	return r;
}

bool stop_asked(const struct stop *s) { return __atomic_load_n(&s->asked, __ATOMIC_ACQUIRE); }

int stop_status(struct stop *s, int own)
{
	say_time_is_over(s);
	if (__atomic_load_n(&s->timed_out, __ATOMIC_ACQUIRE))
		return STOP_TIMED_OUT;
	return stop_asked(s) ? s->status : own;
}

void stop_add(struct stop *s, struct stop_thread *t, void *machine)
{
	*t = (struct stop_thread){.stop = s, .machine = machine, .thread = pthread_self()};
	pthread_mutex_lock(&s->lock);
	t->next = s->threads;
	s->threads = t;
	pthread_mutex_unlock(&s->lock);
}

void stop_settle(struct stop_thread *t)
{
	struct stop *s = t->stop;
	bool join;

	pthread_mutex_lock(&s->lock);
	t->settled = true;
	join = t->flushing;
	t->flushing = false;
	pthread_mutex_unlock(&s->lock);
	if (join)
		pthread_join(t->flusher, NULL);
}

void stop_remove(struct stop_thread *t)
{
	struct stop *s = t->stop;
	struct stop_thread **at;

	if (!s)
		return;
	stop_settle(t);
	pthread_mutex_lock(&s->lock);
	for (at = &s->threads; *at != t; at = &(*at)->next)
		;
	*at = t->next;
	pthread_mutex_unlock(&s->lock);
	t->stop = NULL;
}

void stop_close(struct stop *s)
{
	struct signalfd_siginfo info;
	uint64_t one = 1;

	if (!s)
		return;
	ASSERT(!s->threads);
	__atomic_store_n(&s->quit, true, __ATOMIC_RELEASE);
	(void)!write(s->event, &one, sizeof(one));
	pthread_join(s->thread, NULL);
	/* what came too late has nothing to end any more */
	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		;
	close(s->signal_fd);
	close(s->event);
	pthread_sigmask(SIG_SETMASK, &s->old_mask, NULL);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
