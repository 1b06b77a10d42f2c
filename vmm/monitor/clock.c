/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/host_clock.h"
#include "ir/guest_state.h"

#define MAX_ALARMS 32
/* --icount: longest slice, so that input and quit requests are seen (0.1 s of guest time). */
#define MAX_SLICE_INSNS 20000000
/* clock_sample(): between two looks at a guest that works, and at whether one that slept still does. A look takes 1 us. */
#define SAMPLE_MS      2
#define SAMPLE_IDLE_MS 100

struct alarm {
	uint64_t at_ns; /* UINT64_MAX: off */
	void (*fn)(void *);
	void *arg;
};

struct clock {
	struct guest_state *gs;
	bool icount;
	uint64_t host_base_ns;
	uint64_t skipped_ns;
	bool stopped; /* clock_stop(): time stands at stopped_ns */
	uint64_t stopped_ns;
	uint64_t polled_ns;  /* of these, what a polling guest was allowed to skip */
	uint64_t date_ns;    /* --icount: at power-on */
	uint64_t insns;      /* --icount: executed before the slice in progress */
	int64_t slice_insns; /* --icount: gs->icount_left at the start of the slice */
	struct alarm alarm[MAX_ALARMS];
	unsigned n_alarms;
	uint64_t next_ns; /* earliest alarm */
	bool running;     /* alarms are being run: the timer is set once, when they are through */

	/* The watcher: a thread that only waits, and raises the poll flag. */
	pthread_t watcher;
	int input_fd, timer_fd, ctl_fd, wake_fd;
	atomic_bool stop, watch_input, input_ready, sample, idle;

	/* clock_watch(): guarded by watch_lock */
	pthread_mutex_t watch_lock;
	unsigned watch_ms;
	void (*watch)(void *arg);
	void *watch_arg;
	uint64_t watched_ns;
};

static void eventfd_signal(int fd)
{
	uint64_t one = 1;
	ssize_t r = write(fd, &one, sizeof(one));

	(void)r; /* can only fail with EAGAIN, when the counter is full: the reader will wake up anyway */
}

static void eventfd_drain(int fd)
{
	uint64_t n;
	ssize_t r = read(fd, &n, sizeof(n));

	(void)r;
}

void clock_kick(struct clock *c)
{
	__atomic_store_n(&c->gs->poll, 1, __ATOMIC_RELEASE);
	eventfd_signal(c->wake_fd);
}

/* How long the watcher may wait for an event, in ms; -1: without end. */
static int watch_timeout(struct clock *c)
{
	bool idle = atomic_load(&c->idle);
	int ms;

	if (atomic_load(&c->sample))
		return idle ? SAMPLE_IDLE_MS : SAMPLE_MS;
	pthread_mutex_lock(&c->watch_lock);
	ms = c->watch ? (int)c->watch_ms : -1;
	pthread_mutex_unlock(&c->watch_lock);
	return ms;
}

static void watch(struct clock *c)
{
	uint64_t now = host_now_ns();

	pthread_mutex_lock(&c->watch_lock);
	if (c->watch && !atomic_load(&c->idle) && now - c->watched_ns >= c->watch_ms * 1000000ull) {
		c->watched_ns = now;
		c->watch(c->watch_arg);
	}
	pthread_mutex_unlock(&c->watch_lock);
}

void clock_watch(struct clock *c, unsigned ms, void (*fn)(void *), void *arg)
{
	pthread_mutex_lock(&c->watch_lock);
	c->watch_ms = ms;
	c->watch = fn;
	c->watch_arg = arg;
	pthread_mutex_unlock(&c->watch_lock);
	eventfd_signal(c->ctl_fd); /* the watcher may wait without end */
}

static void *watcher_main(void *arg)
{
	struct clock *c = arg;

	while (!atomic_load(&c->stop)) {
		bool in = atomic_load(&c->watch_input);
		struct pollfd p[3] = {
		    {c->ctl_fd, POLLIN, 0}, {c->timer_fd, POLLIN, 0}, {in ? c->input_fd : -1, POLLIN, 0}};

		int n = poll(p, 3, watch_timeout(c));

		if (n == 0 && atomic_load(&c->sample) && !atomic_load(&c->idle))
			__atomic_store_n(&c->gs->poll, 1, __ATOMIC_RELEASE);
		watch(c);
		if (n <= 0)
			continue;
		if (p[0].revents)
			eventfd_drain(c->ctl_fd);
		if (p[1].revents)
			eventfd_drain(c->timer_fd);
		if (p[2].revents) {
			atomic_store(&c->watch_input, false);
			atomic_store(&c->input_ready, true);
		}
		if (p[1].revents || p[2].revents)
			clock_kick(c);
	}
	return NULL;
}

static int clock_open_fds(struct clock *c)
{
	c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	c->ctl_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return c->timer_fd < 0 || c->ctl_fd < 0 || c->wake_fd < 0 ? -errno : 0;
}

int clock_new(struct clock **out, struct guest_state *gs, bool icount, int input_fd)
{
	struct clock *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	*c = (struct clock){.gs = gs,
			    .icount = icount,
			    .input_fd = input_fd,
			    .next_ns = UINT64_MAX,
			    .timer_fd = -1,
			    .ctl_fd = -1,
			    .wake_fd = -1};
	c->host_base_ns = host_now_ns();
	pthread_mutex_init(&c->watch_lock, NULL);
	atomic_store(&c->watch_input, input_fd >= 0);
	err = clock_open_fds(c);
	if (!err)
		err = -pthread_create(&c->watcher, NULL, watcher_main, c);
	if (err) {
		close(c->timer_fd);
		close(c->ctl_fd);
		close(c->wake_fd);
		free(c);
		return err;
	}
	*out = c;
	return 0;
}

void clock_free(struct clock *c)
{
	if (!c)
		return;
	atomic_store(&c->stop, true);
	eventfd_signal(c->ctl_fd);
	pthread_join(c->watcher, NULL);
	pthread_mutex_destroy(&c->watch_lock);
	close(c->timer_fd);
	close(c->ctl_fd);
	close(c->wake_fd);
	free(c);
}

uint64_t clock_insns(const struct clock *c)
{
	/* Translated code takes a block's instructions off at its head; gs->site says how many are still to come. */
	return c->insns + (uint64_t)(c->slice_insns - c->gs->icount_left - (int64_t)SITE_LEFT(c->gs->site));
}

uint64_t clock_now_ns(struct clock *c)
{
	if (c->icount)
		return clock_insns(c) * CLOCK_NS_PER_INSN + c->skipped_ns;
	if (c->stopped)
		return c->stopped_ns;
	return host_now_ns() - c->host_base_ns + c->skipped_ns;
}

void clock_set_date(struct clock *c, uint64_t date_ns) { c->date_ns = date_ns; }

uint64_t clock_date_ns(struct clock *c)
{
	struct timespec ts;

	if (c->icount)
		return c->date_ns + clock_now_ns(c) - c->polled_ns;
	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec < 0 ? 0 : (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/*
 * --icount: a new deadline inside the slice in progress. icount_left becomes what is left once the block that is
 * running (SITE_LEFT of it to come, already taken off) is done; the next block head sees it.
 */
static void shorten_slice(struct clock *c)
{
	uint64_t now = clock_now_ns(c), left;
	int64_t want;

	if (c->next_ns == UINT64_MAX)
		return;
	left = c->next_ns > now ? (c->next_ns - now + CLOCK_NS_PER_INSN - 1) / CLOCK_NS_PER_INSN : 0;
	if (left > MAX_SLICE_INSNS)
		return;
	want = (int64_t)left - (int64_t)SITE_LEFT(c->gs->site);
	if (want >= c->gs->icount_left)
		return;
	c->slice_insns -= c->gs->icount_left - want;
	c->gs->icount_left = want;
}

/* Let the watcher wake us at the earliest alarm. */
static void rearm(struct clock *c)
{
	uint64_t next = UINT64_MAX, now;
	struct itimerspec its = {0};

	for (unsigned i = 0; i < c->n_alarms; i++)
		if (c->alarm[i].at_ns < next)
			next = c->alarm[i].at_ns;
	c->next_ns = next;
	if (c->running)
		return;
	if (c->icount) {
		shorten_slice(c);
		return;
	}
	if (next != UINT64_MAX) {
		now = clock_now_ns(c);
		next = next > now ? next - now : 1;
		its.it_value.tv_sec = (time_t)(next / 1000000000u);
		its.it_value.tv_nsec = (long)(next % 1000000000u);
	}
	timerfd_settime(c->timer_fd, 0, &its, NULL);
}

static void clock_alarm(void *opaque, uint64_t at_ns, void (*fn)(void *), void *arg)
{
	struct clock *c = opaque;
	unsigned i;

	for (i = 0; i < c->n_alarms; i++)
		if (c->alarm[i].fn == fn && c->alarm[i].arg == arg)
			break;
	if (i == c->n_alarms) {
		if (i == MAX_ALARMS)
			panic("more than %u alarms", MAX_ALARMS);
		c->n_alarms++;
		c->alarm[i] = (struct alarm){UINT64_MAX, fn, arg};
	}
	if (c->alarm[i].at_ns == at_ns)
		return;
	c->alarm[i].at_ns = at_ns;
	rearm(c);
}

/* How many ns it came forward. */
static uint64_t skip(struct clock *c, uint64_t at_ns)
{
	uint64_t now = clock_now_ns(c);

	/* Never past an alarm: what happens at that time must happen first. */
	if (at_ns > c->next_ns)
		at_ns = c->next_ns;
	if (at_ns <= now)
		return 0;
	c->skipped_ns += at_ns - now;
	rearm(c);
	return at_ns - now;
}

static uint64_t clock_skip_to(void *opaque, uint64_t at_ns)
{
	struct clock *c = opaque;
	uint64_t ns = skip(c, at_ns);

	c->polled_ns += ns;
	if (ns && !c->icount)
		__atomic_store_n(&c->gs->poll, 1, __ATOMIC_RELEASE);
	return ns;
}

static uint64_t now_cb(void *opaque) { return clock_now_ns(opaque); }
static uint64_t date_cb(void *opaque) { return clock_date_ns(opaque); }

struct clock_ops clock_as_ops(struct clock *c)
{
	return (struct clock_ops){
	    .now_ns = now_cb, .alarm = clock_alarm, .skip_to = clock_skip_to, .date_ns = date_cb, .opaque = c};
}

bool clock_run_due(struct clock *c)
{
	uint64_t now;

	if (c->next_ns == UINT64_MAX || c->next_ns > (now = clock_now_ns(c)))
		return false;
	/* What falls due while these run waits for the next call: a device cannot keep the vCPU here. */
	c->running = true;
	while (c->next_ns <= now) {
		uint64_t next = c->next_ns;

		for (unsigned i = 0; i < c->n_alarms; i++) {
			struct alarm *a = &c->alarm[i];

			if (a->at_ns > next)
				continue;
			a->at_ns = UINT64_MAX;
			a->fn(a->arg);
		}
		rearm(c);
	}
	c->running = false;
	rearm(c);
	return true;
}

void clock_begin_slice(struct clock *c)
{
	uint64_t now, left;

	if (!c->icount)
		return;
	c->insns = clock_insns(c);
	c->slice_insns = c->gs->icount_left = 0;
	now = clock_now_ns(c);
	left = c->next_ns > now ? (c->next_ns - now + CLOCK_NS_PER_INSN - 1) / CLOCK_NS_PER_INSN : 0;
	if (left > MAX_SLICE_INSNS)
		left = MAX_SLICE_INSNS;
	c->slice_insns = c->gs->icount_left = (int64_t)left;
}

void clock_idle(struct clock *c)
{
	struct pollfd p = {c->wake_fd, POLLIN, 0};

	if (c->icount && c->next_ns != UINT64_MAX) {
		(void)skip(c, c->next_ns);
		return;
	}
	atomic_store(&c->idle, true);
	/* Drained every time: kicks that came while the guest was busy are still counted there. */
	while (!__atomic_load_n(&c->gs->poll, __ATOMIC_ACQUIRE) && c->next_ns > clock_now_ns(c)) {
		poll(&p, 1, -1);
		eventfd_drain(c->wake_fd);
	}
	atomic_store(&c->idle, false);
}

void clock_stop(struct clock *c)
{
	c->stopped_ns = clock_now_ns(c);
	c->stopped = true;
}

void clock_go(struct clock *c)
{
	c->stopped = false;
	c->host_base_ns += clock_now_ns(c) - c->stopped_ns;
	rearm(c);
}

void clock_wait(struct clock *c, uint64_t until_ns)
{
	struct pollfd p = {c->wake_fd, POLLIN, 0};

	atomic_store(&c->idle, true);
	while (!__atomic_load_n(&c->gs->poll, __ATOMIC_ACQUIRE)) {
		uint64_t now = host_now_ns();

		if (now >= until_ns)
			break;
		poll(&p, 1, (int)((until_ns - now) / 1000000) + 1);
		eventfd_drain(c->wake_fd);
	}
	atomic_store(&c->idle, false);
}

void clock_sample(struct clock *c)
{
	if (c->icount)
		return;
	atomic_store(&c->sample, true);
	eventfd_signal(c->ctl_fd); /* the watcher may wait without end */
}

bool clock_input_ready(struct clock *c) { return atomic_load(&c->input_ready); }

void clock_input_done(struct clock *c, bool again)
{
	atomic_store(&c->input_ready, false);
	atomic_store(&c->watch_input, again);
	if (again)
		eventfd_signal(c->ctl_fd);
}
