/* SPDX-License-Identifier: MIT */
/* Virtual time: alarms in order, skips that never pass one, slices and turns of --icount; and that somebody is woken for them. */
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/host_clock.h"
#include "ir/guest_state.h"
#include "vmm/monitor/clock.h"
#include "vmm/monitor/watcher.h"

struct fixture {
	struct guest_state gs;
	struct watcher *w;
	pthread_mutex_t lock; /* of gs.poll, here */
	pthread_cond_t woken;
	struct clock *c;
	struct clock_ops ops;
	char log[32];
	unsigned n;
};
struct ringer {
	struct fixture *f;
	char name;
	uint64_t again_ns; /* asks for itself that much later */
};

static void ring(void *arg)
{
	struct ringer *r = arg;
	struct fixture *f = r->f;

	f->log[f->n++ % sizeof(f->log)] = r->name;
	if (r->again_ns)
		f->ops.alarm(f->ops.opaque, clock_now_ns(f->c) + r->again_ns, ring, r);
}

static void wake(void *arg)
{
	struct fixture *f = arg;

	pthread_mutex_lock(&f->lock);
	f->gs.poll = 1;
	pthread_cond_signal(&f->woken);
	pthread_mutex_unlock(&f->lock);
}

static void open_clock(struct fixture *f, bool icount, int fd)
{
	struct clock_config cfg = {.gs = &f->gs, .icount = icount, .input_fd = fd, .wake = wake, .arg = f};

	*f = (struct fixture){.lock = PTHREAD_MUTEX_INITIALIZER, .woken = PTHREAD_COND_INITIALIZER};
	cr_assert_eq(watcher_new(&f->w), 0);
	cfg.watcher = f->w;
	cr_assert_eq(clock_new(&f->c, &cfg), 0);
	f->ops = clock_as_ops(f->c);
}

static void close_clock(struct fixture *f)
{
	clock_free(f->c);
	watcher_free(f->w);
}

/* As a vCPU that has nothing to do: until it is woken, or host_now_ns() is until_ns; and it looks around then. */
static void sleep_until(struct fixture *f, uint64_t until_ns)
{
	uint64_t now = host_now_ns(), left = until_ns > now ? until_ns - now : 0;
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	left += (uint64_t)ts.tv_nsec;
	ts.tv_sec += (time_t)(left / 1000000000u);
	ts.tv_nsec = (long)(left % 1000000000u);
	pthread_mutex_lock(&f->lock);
	while (!f->gs.poll && host_now_ns() < until_ns)
		pthread_cond_timedwait(&f->woken, &f->lock, &ts);
	f->gs.poll = 0;
	pthread_mutex_unlock(&f->lock);
}

static void sleep_idle(struct fixture *f)
{
	if (!clock_idle(f->c, 0))
		sleep_until(f, host_now_ns() + 10000000000u);
}

static void alarm_at(struct fixture *f, uint64_t at, struct ringer *r) { f->ops.alarm(f->ops.opaque, at, ring, r); }

/* Pretend to execute n instructions of the slice. */
static void execute(struct fixture *f, int64_t n) { f->gs.icount_left -= n; }

Test(vmm_clock, icount_is_time)
{
	struct fixture f;
	struct ringer a = {&f, 'a', 0};

	open_clock(&f, true, -1);
	alarm_at(&f, 1000 * CLOCK_NS_PER_INSN + 1, &a);
	clock_begin_slice(f.c);
	cr_assert_eq(f.gs.icount_left, 1001, "the first instruction boundary that is not before it");
	execute(&f, 300);
	cr_assert_eq(clock_insns(f.c), 300);
	cr_assert_eq(clock_now_ns(f.c), 300 * CLOCK_NS_PER_INSN);
	/* in the middle of a block of 64, taken off at its head, 24 of which are still to come */
	execute(&f, 64);
	f.gs.site = SITE(false, 24);
	cr_assert_eq(clock_insns(f.c), 340);
	f.gs.site = 0;
	clock_begin_slice(f.c);
	cr_assert_eq(f.gs.icount_left, 1001 - 364);
	cr_assert_not(clock_run_due(f.c));
	execute(&f, 1001 - 364);
	cr_assert(clock_run_due(f.c));
	cr_assert_eq(f.n, 1);
	cr_assert_not(clock_run_due(f.c), "an alarm rings once");
	clock_begin_slice(f.c);
	cr_assert_gt(f.gs.icount_left, 1000000, "no alarm: a long slice");
	cr_assert_eq(clock_insns(f.c), 1001);
	close_clock(&f);
}

Test(vmm_clock, a_new_deadline_shortens_the_slice)
{
	struct fixture f;
	struct ringer a = {&f, 'a', 0}, b = {&f, 'b', 0};

	open_clock(&f, true, -1);
	alarm_at(&f, 1000 * CLOCK_NS_PER_INSN, &a);
	clock_begin_slice(f.c);
	execute(&f, 110); /* a block's head; the instruction that asks has 10 to come, itself included: 100 are done */
	f.gs.site = SITE(false, 10);
	alarm_at(&f, 130 * CLOCK_NS_PER_INSN, &b);
	f.gs.site = 0;
	cr_assert_eq(f.gs.icount_left, 20, "110 by the end of the block, then 20");
	cr_assert_eq(clock_insns(f.c), 110);
	alarm_at(&f, UINT64_MAX, &b);
	execute(&f, 20);
	clock_begin_slice(f.c);
	cr_assert_eq(f.gs.icount_left, 1000 - 130);
	cr_assert_eq(f.n, 0);
	close_clock(&f);
}

Test(vmm_clock, alarms_ring_in_order)
{
	struct fixture f;
	struct ringer r[3] = {{&f, 'a', 0}, {&f, 'b', 0}, {&f, 'c', 0}};

	open_clock(&f, true, -1);
	alarm_at(&f, 300, &r[0]);
	alarm_at(&f, 100, &r[1]);
	alarm_at(&f, 200, &r[2]);
	alarm_at(&f, 150, &r[0]); /* replaces */
	clock_begin_slice(f.c);
	execute(&f, 1000);
	cr_assert(clock_run_due(f.c));
	cr_assert_arr_eq(f.log, "bac", 3);
	cr_assert_eq(f.n, 3);
	close_clock(&f);
}

/* A device that is always late must not hold the vCPU. */
Test(vmm_clock, an_alarm_that_asks_again_at_once, .timeout = 20)
{
	struct fixture f;
	struct ringer r = {&f, 'a', 1};

	open_clock(&f, false, -1);
	alarm_at(&f, 1, &r);
	while (!clock_run_due(f.c))
		;
	cr_assert_leq(f.n, 2);
	close_clock(&f);
}

Test(vmm_clock, skips_stop_at_an_alarm)
{
	for (int icount = 0; icount < 2; icount++) {
		struct fixture f;
		struct ringer a = {&f, 'a', 0};
		uint64_t at = 3600ull * 1000000000u, now;

		open_clock(&f, icount, -1);
		clock_begin_slice(f.c);
		alarm_at(&f, at, &a);
		f.ops.skip_to(f.ops.opaque, 2 * at);
		now = clock_now_ns(f.c);
		cr_assert(now >= at && now < at + at / 2, "an hour later, in no time");
		cr_assert(clock_run_due(f.c));
		f.ops.skip_to(f.ops.opaque, at / 2);
		cr_assert_geq(clock_now_ns(f.c), now, "time never goes back");
		f.ops.skip_to(f.ops.opaque, 2 * at);
		cr_assert_geq(clock_now_ns(f.c), 2 * at);
		close_clock(&f);
	}
}

/* A clock that is stopped stands, its alarms wait, and what it stood it is behind from then on. */
Test(vmm_clock, stopped, .timeout = 20)
{
	struct fixture f;
	struct ringer a = {&f, 'a', 0};
	uint64_t at, host, now;

	open_clock(&f, false, -1);
	alarm_at(&f, clock_now_ns(f.c) + 30000000, &a);
	clock_stop(f.c);
	at = clock_now_ns(f.c);
	host = host_now_ns();
	while (host_now_ns() < host + 100000000) { /* the alarm's timer may end a wait: the alarm is not due */
		sleep_until(&f, host + 100000000);
		cr_assert_not(clock_run_due(f.c));
	}
	cr_assert_eq(clock_now_ns(f.c), at);
	host = host_now_ns();
	clock_go(f.c);
	now = clock_now_ns(f.c);
	cr_assert_geq(now, at);
	cr_assert_leq(now - at, host_now_ns() - host, "some of what it stood");
	while (!clock_run_due(f.c))
		sleep_idle(&f);
	cr_assert_eq(f.log[0], 'a');
	cr_assert_geq(clock_now_ns(f.c), at + 25000000);
	close_clock(&f);
}

/* What a guest that polls may skip is not the date's; what an idle one skips is. */
Test(vmm_clock, the_date)
{
	const uint64_t y2k = 946684800ull * 1000000000u, hour = 3600ull * 1000000000u;
	struct timespec ts;
	struct fixture f;
	struct ringer a = {&f, 'a', 0};
	uint64_t before, date;

	open_clock(&f, true, -1);
	clock_set_date(f.c, y2k);
	clock_begin_slice(f.c);
	execute(&f, 300);
	cr_assert_eq(clock_date_ns(f.c), y2k + 300 * CLOCK_NS_PER_INSN);
	cr_assert_eq(f.ops.skip_to(f.ops.opaque, hour), hour - 300 * CLOCK_NS_PER_INSN);
	cr_assert_eq(clock_date_ns(f.c), y2k + 300 * CLOCK_NS_PER_INSN);
	alarm_at(&f, 2 * hour, &a);
	cr_assert(clock_idle(f.c, 0));
	cr_assert_eq(f.ops.date_ns(f.ops.opaque), y2k + hour + 300 * CLOCK_NS_PER_INSN);
	close_clock(&f);

	open_clock(&f, false, -1);
	cr_assert_gt(f.ops.skip_to(f.ops.opaque, hour), 0);
	clock_gettime(CLOCK_REALTIME, &ts);
	before = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	date = clock_date_ns(f.c);
	cr_assert(date >= before && date < before + hour / 2, "the host's, to the nanosecond");
	close_clock(&f);
}

Test(vmm_clock, icount_idle_goes_to_the_next_alarm)
{
	struct fixture f;
	struct ringer a = {&f, 'a', 0};

	open_clock(&f, true, -1);
	clock_begin_slice(f.c);
	cr_assert_not(clock_idle(f.c, 0), "there is nothing to go to");
	alarm_at(&f, 1000000000000, &a);
	cr_assert(clock_idle(f.c, 0));
	cr_assert(clock_run_due(f.c));
	cr_assert_eq(clock_now_ns(f.c), 1000000000000);
	cr_assert_eq(clock_insns(f.c), 0);
	close_clock(&f);
}

/* A turn ends after its time, whether that was spent on instructions or skipped; the next one goes on from there. */
Test(vmm_clock, turns)
{
	struct fixture f;
	struct ringer a = {&f, 'a', 0};
	const uint64_t turn = 1000 * CLOCK_NS_PER_INSN;

	open_clock(&f, true, -1);
	clock_turn(f.c, turn);
	clock_begin_slice(f.c);
	cr_assert_eq(f.gs.icount_left, 1000);
	execute(&f, 400);
	alarm_at(&f, 10 * turn, &a);
	cr_assert_not(clock_turn_over(f.c));
	cr_assert(clock_idle(f.c, 0));
	cr_assert(clock_turn_over(f.c));
	cr_assert_eq(clock_now_ns(f.c), turn);
	cr_assert_eq(clock_insns(f.c), 400);
	clock_turn(f.c, turn);
	cr_assert_not(clock_turn_over(f.c));
	alarm_at(&f, turn + 500, &a);
	cr_assert(clock_idle(f.c, 0));
	cr_assert_eq(clock_now_ns(f.c), turn + 500, "an alarm comes first");
	cr_assert(clock_run_due(f.c));
	clock_begin_slice(f.c);
	cr_assert_eq(f.gs.icount_left, 900);
	clock_turn(f.c, 0);
	clock_begin_slice(f.c);
	cr_assert_gt(f.gs.icount_left, 1000000);
	cr_assert_not(clock_turn_over(f.c));
	close_clock(&f);
}

/* An alarm wakes whoever sleeps, when its time has come; asked for again and earlier, too; and not when it was called off. */
Test(vmm_clock, an_alarm_wakes, .timeout = 20)
{
	struct fixture f;
	struct ringer a = {&f, 'a', 0}, b = {&f, 'b', 0};
	uint64_t from;

	open_clock(&f, false, -1);
	for (unsigned i = 0; i < 5; i++) {
		from = clock_now_ns(f.c);
		alarm_at(&f, from + 5000000000u, &a);
		alarm_at(&f, from + 20000000, &b);
		while (!clock_run_due(f.c))
			sleep_idle(&f);
		cr_assert_eq(f.log[i], 'b');
		cr_assert_geq(clock_now_ns(f.c), from + 20000000);
		cr_assert_lt(clock_now_ns(f.c), from + 4000000000u);
	}
	alarm_at(&f, clock_now_ns(f.c) + 20000000, &a);
	alarm_at(&f, UINT64_MAX, &a);
	sleep_until(&f, host_now_ns() + 100000000);
	cr_assert_not(clock_run_due(f.c));
	close_clock(&f);
}

/* An idle guest's patient alarm comes later, others and those of an awake one on time. */
Test(vmm_clock, patient_alarms, .timeout = 20)
{
	struct fixture f;
	struct ringer a = {&f, 'a', 0}, b = {&f, 'b', 0};
	uint64_t from, host;

	open_clock(&f, false, -1);
	clock_patient(f.c, ring, &a);
	from = clock_now_ns(f.c);
	host = host_now_ns();
	alarm_at(&f, from + 20000000, &a);
	cr_assert_not(clock_idle(f.c, 100000000));
	sleep_until(&f, host + 5000000000);
	cr_assert_geq(host_now_ns() - host, 115000000);
	cr_assert(clock_run_due(f.c));

	from = clock_now_ns(f.c);
	alarm_at(&f, from + 20000000, &a);
	alarm_at(&f, from + 60000000, &b);
	cr_assert_not(clock_idle(f.c, 3000000000));
	sleep_until(&f, host_now_ns() + 5000000000);
	cr_assert_geq(clock_now_ns(f.c) - from, 60000000);
	cr_assert_lt(clock_now_ns(f.c) - from, 2000000000);
	cr_assert(clock_run_due(f.c));
	cr_assert_eq(f.n, 3, "both");

	from = clock_now_ns(f.c);
	alarm_at(&f, from + 100000000, &a);
	cr_assert_not(clock_idle(f.c, 3000000000));
	clock_awake(f.c);
	sleep_until(&f, host_now_ns() + 5000000000);
	cr_assert_lt(clock_now_ns(f.c) - from, 2000000000);
	cr_assert(clock_run_due(f.c));
	close_clock(&f);
}

Test(vmm_clock, input_is_seen_and_asked_for_again, .timeout = 20)
{
	struct fixture f;
	int fd[2];
	char byte;

	cr_assert_eq(pipe(fd), 0);
	open_clock(&f, false, fd[0]);
	for (unsigned i = 0; i < 100; i++) {
		cr_assert_not(clock_input_ready(f.c));
		cr_assert_eq(write(fd[1], "x", 1), 1);
		while (!clock_input_ready(f.c))
			sleep_idle(&f);
		cr_assert_eq(read(fd[0], &byte, 1), 1);
		clock_input_done(f.c, true);
	}
	close(fd[1]); /* the end of it is to be seen, too */
	while (!clock_input_ready(f.c))
		sleep_idle(&f);
	clock_input_done(f.c, false);
	close_clock(&f);
	close(fd[0]);
}

/* Two clocks on one descriptor, and one on a file, which has always something. */
Test(vmm_clock, shared_input_and_files, .timeout = 20)
{
	struct fixture f, g;
	int fd[2], file = fileno(tmpfile());

	cr_assert_eq(pipe(fd), 0);
	open_clock(&f, false, fd[0]);
	open_clock(&g, false, fd[0]);
	sleep_until(&f, host_now_ns() + 20000000);
	cr_assert_not(clock_input_ready(f.c) || clock_input_ready(g.c));
	cr_assert_eq(write(fd[1], "x", 1), 1);
	while (!clock_input_ready(f.c))
		sleep_idle(&f);
	while (!clock_input_ready(g.c))
		sleep_idle(&g);
	close_clock(&f);
	clock_input_done(g.c, true);
	while (!clock_input_ready(g.c))
		sleep_idle(&g);
	close_clock(&g);
	open_clock(&f, false, file);
	cr_assert(clock_input_ready(f.c));
	clock_input_done(f.c, true);
	cr_assert(clock_input_ready(f.c));
	clock_input_done(f.c, false);
	cr_assert_not(clock_input_ready(f.c));
	close_clock(&f);
	close(fd[0]);
	close(fd[1]);
}
