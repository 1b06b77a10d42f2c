/* SPDX-License-Identifier: MIT */
/* Virtual time: alarms in order, skips that never pass one, slices of --icount, and waiting without using the CPU. */
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/host_clock.h"
#include "ir/guest_state.h"
#include "vmm/monitor/clock.h"

struct fixture {
	struct guest_state gs;
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

static void open_clock(struct fixture *f, bool icount, int fd)
{
	*f = (struct fixture){0};
	cr_assert_eq(clock_new(&f->c, &f->gs, icount, fd), 0);
	f->ops = clock_as_ops(f->c);
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
	clock_free(f.c);
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
	clock_free(f.c);
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
	clock_free(f.c);
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
	clock_free(f.c);
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
		clock_free(f.c);
	}
}

/* What a guest that polls may skip is not the date's; what an idle one skips is. */
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
	f.gs.poll = 0;
	while (host_now_ns() < host + 100000000) { /* the alarm's timer may end a wait: the alarm is not due */
		clock_wait(f.c, host + 100000000);
		f.gs.poll = 0;
		cr_assert_not(clock_run_due(f.c));
	}
	cr_assert_eq(clock_now_ns(f.c), at);
	host = host_now_ns();
	clock_go(f.c);
	now = clock_now_ns(f.c);
	cr_assert_geq(now, at);
	cr_assert_leq(now - at, host_now_ns() - host, "some of what it stood");
	while (!clock_run_due(f.c))
		clock_idle(f.c);
	cr_assert_eq(f.log[0], 'a');
	cr_assert_geq(clock_now_ns(f.c), at + 25000000);
	clock_free(f.c);
}

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
	clock_idle(f.c);
	cr_assert_eq(f.ops.date_ns(f.ops.opaque), y2k + hour + 300 * CLOCK_NS_PER_INSN);
	clock_free(f.c);

	open_clock(&f, false, -1);
	cr_assert_gt(f.ops.skip_to(f.ops.opaque, hour), 0);
	clock_gettime(CLOCK_REALTIME, &ts);
	before = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	date = clock_date_ns(f.c);
	cr_assert(date >= before && date < before + hour / 2, "the host's, to the nanosecond");
	clock_free(f.c);
}

Test(vmm_clock, icount_idle_goes_to_the_next_alarm)
{
	struct fixture f;
	struct ringer a = {&f, 'a', 0};

	open_clock(&f, true, -1);
	clock_begin_slice(f.c);
	alarm_at(&f, 1000000000000, &a);
	clock_idle(f.c);
	cr_assert(clock_run_due(f.c));
	cr_assert_eq(clock_now_ns(f.c), 1000000000000);
	cr_assert_eq(clock_insns(f.c), 0);
	clock_free(f.c);
}

static double cpu_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Kicks that came while the guest was busy must not keep its next idle time awake. */
Test(vmm_clock, idle_uses_no_cpu, .timeout = 20)
{
	struct fixture f;
	struct ringer a = {&f, 'a', 0};
	double before;

	open_clock(&f, false, -1);
	clock_kick(f.c);
	f.gs.poll = 0;
	alarm_at(&f, clock_now_ns(f.c) + 1000000000, &a);
	before = cpu_s();
	clock_idle(f.c);
	cr_assert_lt(cpu_s() - before, 0.5, "a second of waiting");
	while (!clock_run_due(f.c))
		;
	cr_assert_eq(f.n, 1);
	clock_free(f.c);
}

static void *kick_later(void *c)
{
	usleep(20000);
	clock_kick(c);
	return NULL;
}

Test(vmm_clock, a_kick_ends_idle, .timeout = 20)
{
	struct fixture f;
	pthread_t t;

	open_clock(&f, false, -1);
	for (unsigned i = 0; i < 3; i++) {
		__atomic_store_n(&f.gs.poll, 0, __ATOMIC_SEQ_CST);
		cr_assert_eq(pthread_create(&t, NULL, kick_later, f.c), 0);
		clock_idle(f.c); /* no alarm: for ever, if not for the kick */
		cr_assert(__atomic_load_n(&f.gs.poll, __ATOMIC_SEQ_CST));
		pthread_join(t, NULL);
	}
	clock_free(f.c);
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
		__atomic_store_n(&f.gs.poll, 0, __ATOMIC_SEQ_CST);
		cr_assert_eq(write(fd[1], "x", 1), 1);
		while (!clock_input_ready(f.c))
			clock_idle(f.c), __atomic_store_n(&f.gs.poll, 0, __ATOMIC_SEQ_CST);
		cr_assert_eq(read(fd[0], &byte, 1), 1);
		clock_input_done(f.c, true);
	}
	close(fd[1]); /* the end of it is to be seen, too */
	while (!clock_input_ready(f.c))
		clock_idle(f.c), __atomic_store_n(&f.gs.poll, 0, __ATOMIC_SEQ_CST);
	clock_input_done(f.c, false);
	clock_free(f.c);
	close(fd[0]);
}
