/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/host_clock.h"
#include "ir/guest_state.h"
#include "vmm/monitor/vm.h"
#include "vmm/monitor/watcher.h"

#define MAX_ALARMS (32 + VM_MAX_VCPUS)
/* --icount: longest slice, so that input and quit requests are seen (0.1 s of guest time). */
#define MAX_SLICE_INSNS 20000000

struct alarm {
	uint64_t at_ns; /* UINT64_MAX: off */
	void (*fn)(void *);
	void *arg;
	bool patient; /* clock_patient() */
};

struct clock {
	struct clock_config cfg;
	uint64_t host_base_ns;
	uint64_t skipped_ns;
	bool stopped; /* clock_stop(): time stands at stopped_ns */
	uint64_t stopped_ns;
	uint64_t polled_ns;   /* of these, what a polling guest was allowed to skip */
	uint64_t date_ns;     /* --icount: at power-on */
	uint64_t insns;       /* --icount: executed before the slice in progress */
	int64_t slice_insns;  /* --icount: gs->icount_left at the start of the slice */
	uint64_t turn_end_ns; /* --icount: clock_turn() */
	uint64_t stop_insns;  /* --icount: clock_stop_at() */
	uint64_t latest_ns;   /* --numa flash: time when another vCPU began its slice */
	struct alarm alarm[MAX_ALARMS];
	unsigned n_alarms;
	uint64_t next_ns; /* earliest alarm */
	bool running;     /* alarms are being run: the timer is set once, when they are through */
	bool late;        /* the watcher was told a later time: clock_idle() */

	struct watch watch; /* for the earliest alarm, and for input */
	atomic_bool input_ready;
};

void clock_kick(struct clock *c) { c->cfg.wake(c->cfg.arg); }

static void on_due(void *arg, uint64_t now_ns) { clock_kick(arg); }

static void on_input(void *arg)
{
	struct clock *c = arg;

	atomic_store(&c->input_ready, true);
	clock_kick(c);
}

int clock_new(struct clock **out, const struct clock_config *cfg)
{
	struct clock *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	*c = (struct clock){.cfg = *cfg, .next_ns = UINT64_MAX, .turn_end_ns = UINT64_MAX, .stop_insns = UINT64_MAX};
	c->host_base_ns = host_now_ns();
	c->watch = (struct watch){.due = on_due, .readable = on_input, .arg = c};
	err = watcher_add(cfg->watcher, &c->watch, cfg->input_fd);
	if (err) {
		free(c);
		return err;
	}
	*out = c;
	watcher_ask(cfg->watcher, &c->watch);
	return 0;
}

void clock_free(struct clock *c)
{
	if (!c)
		return;
	watcher_remove(c->cfg.watcher, &c->watch);
	free(c);
}

/* --numa flash: who has the time; NULL: not so. */
static const struct clock_source *simulated(const struct clock *c) { return c->cfg.simulated; }

uint64_t clock_insns(const struct clock *c)
{
	if (simulated(c))
		return simulated(c)->insns(c->cfg.gs);
	/* Translated code takes a block's instructions off at its head; gs->site says how many are still to come. */
	return c->insns + (uint64_t)(c->slice_insns - c->cfg.gs->icount_left - (int64_t)SITE_LEFT(c->cfg.gs->site));
}

/* Count is read without the lock, beside one who has it: of several vCPUs. */
static uint64_t get(const uint64_t *number) { return __atomic_load_n(number, __ATOMIC_RELAXED); }
static void set(uint64_t *number, uint64_t to) { __atomic_store_n(number, to, __ATOMIC_RELAXED); }

static uint64_t running_ns(const struct clock *c)
{
	return host_now_ns() - get(&c->host_base_ns) + get(&c->skipped_ns);
}

/*
 * Processors are behind each other by a turn or so; a machine's time does not go back for that.  Nothing is remembered here: when the time
 * is looked at depends on the tier.
 */
static uint64_t simulated_ns(const struct clock *c)
{
	uint64_t now = simulated(c)->now_ns(c->cfg.gs);

	return now > c->latest_ns ? now : c->latest_ns;
}

/* The earliest alarm; 0: it is due, by the time of another processor. */
static uint64_t due_ns(const struct clock *c) { return c->next_ns > simulated_ns(c) ? c->next_ns : 0; }

uint64_t clock_now_ns(struct clock *c)
{
	if (simulated(c))
		return simulated_ns(c);
	if (c->cfg.icount)
		return clock_insns(c) * CLOCK_NS_PER_INSN + c->skipped_ns;
	if (__atomic_load_n(&c->stopped, __ATOMIC_ACQUIRE))
		return get(&c->stopped_ns);
	return running_ns(c);
}

void clock_set_date(struct clock *c, uint64_t date_ns) { c->date_ns = date_ns; }

uint64_t clock_date_ns(struct clock *c)
{
	struct timespec ts;

	if (c->cfg.icount)
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
	uint64_t now, left;
	int64_t want;

	if (c->next_ns == UINT64_MAX)
		return;
	if (simulated(c)) {
		simulated(c)->shorten(c->cfg.gs, due_ns(c));
		return;
	}
	now = clock_now_ns(c);
	left = c->next_ns > now ? (c->next_ns - now + CLOCK_NS_PER_INSN - 1) / CLOCK_NS_PER_INSN : 0;
	if (left > MAX_SLICE_INSNS)
		return;
	want = (int64_t)left - (int64_t)SITE_LEFT(c->cfg.gs->site);
	if (want >= c->cfg.gs->icount_left)
		return;
	c->slice_insns -= c->cfg.gs->icount_left - want;
	c->cfg.gs->icount_left = want;
}

/* When the host's clock will show that much of ours: never while it stands. */
static uint64_t host_time(const struct clock *c, uint64_t at_ns)
{
	if (at_ns == UINT64_MAX || c->stopped)
		return WATCH_NEVER;
	at_ns += c->host_base_ns;
	return at_ns > c->skipped_ns ? at_ns - c->skipped_ns : 0;
}

/* Let the watcher wake us at the earliest alarm. */
static void rearm(struct clock *c)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < c->n_alarms; i++)
		if (c->alarm[i].at_ns < next)
			next = c->alarm[i].at_ns;
	c->next_ns = next;
	c->late = false;
	if (c->running)
		return;
	if (c->cfg.icount)
		shorten_slice(c);
	else
		watcher_at(c->cfg.watcher, &c->watch, host_time(c, next));
}

static struct alarm *alarm_of(struct clock *c, void (*fn)(void *), void *arg)
{
	unsigned i;

	for (i = 0; i < c->n_alarms; i++)
		if (c->alarm[i].fn == fn && c->alarm[i].arg == arg)
			break;
	if (i == c->n_alarms) {
		if (i == MAX_ALARMS)
			panic("more than %u alarms", MAX_ALARMS);
		c->n_alarms++;
		c->alarm[i] = (struct alarm){.at_ns = UINT64_MAX, .fn = fn, .arg = arg};
	}
	return &c->alarm[i];
}

static void clock_alarm(void *opaque, uint64_t at_ns, void (*fn)(void *), void *arg)
{
	struct clock *c = opaque;
	struct alarm *a = alarm_of(c, fn, arg);

	if (a->at_ns == at_ns)
		return;
	a->at_ns = at_ns;
	rearm(c);
}

void clock_patient(struct clock *c, void (*fn)(void *), void *arg) { alarm_of(c, fn, arg)->patient = true; }

/* How many ns it came forward. */
static uint64_t skip(struct clock *c, uint64_t at_ns)
{
	uint64_t now = clock_now_ns(c);

	/* Never past an alarm: what happens at that time must happen first. */
	if (at_ns > c->next_ns)
		at_ns = c->next_ns;
	if (at_ns <= now)
		return 0;
	if (simulated(c))
		simulated(c)->skip(c->cfg.gs, at_ns);
	else
		set(&c->skipped_ns, c->skipped_ns + at_ns - now);
	rearm(c);
	return at_ns - now;
}

static uint64_t clock_skip_to(void *opaque, uint64_t at_ns)
{
	struct clock *c = opaque;
	uint64_t ns = skip(c, at_ns);

	c->polled_ns += ns;
	if (ns && !c->cfg.icount)
		__atomic_store_n(&c->cfg.gs->poll, 1, __ATOMIC_RELEASE);
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

uint64_t clock_next_ns(const struct clock *c) { return c->next_ns; }

void clock_begin_slice(struct clock *c)
{
	uint64_t now, left, end = c->next_ns < c->turn_end_ns ? c->next_ns : c->turn_end_ns;

	if (!c->cfg.icount)
		return;
	if (simulated(c)) {
		simulated(c)->begin(c->cfg.gs, due_ns(c));
		return;
	}
	c->insns = clock_insns(c);
	c->slice_insns = c->cfg.gs->icount_left = 0;
	now = clock_now_ns(c);
	left = end > now ? (end - now + CLOCK_NS_PER_INSN - 1) / CLOCK_NS_PER_INSN : 0;
	if (left > MAX_SLICE_INSNS)
		left = MAX_SLICE_INSNS;
	if (c->stop_insns > c->insns && left > c->stop_insns - c->insns)
		left = c->stop_insns - c->insns;
	c->slice_insns = c->cfg.gs->icount_left = (int64_t)left;
}

void clock_switch(struct clock *c, struct guest_state *gs)
{
	if (!c->cfg.icount || c->cfg.gs == gs)
		return;
	if (simulated(c)) {
		c->latest_ns = simulated_ns(c);
		c->cfg.gs = gs;
		return;
	}
	c->insns = clock_insns(c);
	c->cfg.gs = gs;
	c->slice_insns = gs->icount_left = 0; /* clock_begin_slice() comes */
}

void clock_turn(struct clock *c, uint64_t ns)
{
	if (c->cfg.icount && !simulated(c))
		c->turn_end_ns = ns ? clock_now_ns(c) + ns : UINT64_MAX;
}

bool clock_turn_over(struct clock *c)
{
	if (simulated(c))
		return simulated(c)->turn_over(c->cfg.gs);
	return c->turn_end_ns != UINT64_MAX && clock_now_ns(c) >= c->turn_end_ns;
}

/* Have the watcher come at the earliest alarm, but for patient ones later. */
static void arm_late(struct clock *c, uint64_t slack_ns)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < c->n_alarms; i++) {
		const struct alarm *a = &c->alarm[i];
		uint64_t at = a->at_ns != UINT64_MAX && a->patient ? a->at_ns + slack_ns : a->at_ns;

		if (at < next)
			next = at;
	}
	if (next == c->next_ns)
		return;
	watcher_at(c->cfg.watcher, &c->watch, host_time(c, next));
	c->late = true;
}

void clock_awake(struct clock *c)
{
	if (c->late)
		rearm(c);
}

bool clock_idle(struct clock *c, uint64_t slack_ns)
{
	if (!c->cfg.icount) {
		if (c->next_ns != UINT64_MAX && c->next_ns <= clock_now_ns(c))
			return true;
		if (slack_ns)
			arm_late(c, slack_ns);
		return false;
	}
	if (c->next_ns == UINT64_MAX)
		return false;
	if (simulated(c)) {
		simulated(c)->idle(c->cfg.gs, due_ns(c));
		return true;
	}
	(void)skip(c, c->next_ns < c->turn_end_ns ? c->next_ns : c->turn_end_ns);
	return true;
}

void clock_stop_at(struct clock *c, uint64_t insns) { c->stop_insns = insns; }

struct clock_state {
	uint64_t insns, skipped_ns, polled_ns, date_ns;
	unsigned n_alarms;
	struct alarm alarm[MAX_ALARMS];
};

size_t clock_state_bytes(void) { return sizeof(struct clock_state); }

void clock_save(const struct clock *c, void *state)
{
	struct clock_state *s = state;

	ASSERT(c->cfg.icount && !simulated(c));
	*s = (struct clock_state){.insns = clock_insns(c),
				  .skipped_ns = c->skipped_ns,
				  .polled_ns = c->polled_ns,
				  .date_ns = c->date_ns,
				  .n_alarms = c->n_alarms};
	memcpy(s->alarm, c->alarm, sizeof(s->alarm));
}

void clock_restore(struct clock *c, const void *state)
{
	const struct clock_state *s = state;

	c->insns = s->insns;
	c->slice_insns = c->cfg.gs->icount_left = 0; /* clock_begin_slice() comes */
	c->cfg.gs->site = 0;
	c->skipped_ns = s->skipped_ns;
	c->polled_ns = s->polled_ns;
	c->date_ns = s->date_ns;
	c->n_alarms = s->n_alarms;
	memcpy(c->alarm, s->alarm, sizeof(c->alarm));
	rearm(c);
}

void clock_stop(struct clock *c)
{
	if (c->cfg.icount) /* it stands anyway, and its instructions are another thread's to count */
		return;
	set(&c->stopped_ns, clock_now_ns(c));
	__atomic_store_n(&c->stopped, true, __ATOMIC_RELEASE);
}

void clock_go(struct clock *c)
{
	if (c->cfg.icount)
		return;
	set(&c->host_base_ns, c->host_base_ns + running_ns(c) - c->stopped_ns);
	__atomic_store_n(&c->stopped, false, __ATOMIC_RELEASE);
	rearm(c);
}

bool clock_input_ready(struct clock *c) { return atomic_load(&c->input_ready); }

void clock_input_done(struct clock *c, bool again)
{
	atomic_store(&c->input_ready, false);
	if (again)
		watcher_ask(c->cfg.watcher, &c->watch);
}
