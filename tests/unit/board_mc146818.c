/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <time.h>

#include "tests/unit/board_fake.h"
#include "vmm/board/mc146818.h"

enum { S = 1000000000 };

struct rig {
	struct mc146818 rtc;
	struct fake_clock clock;
	struct fake_irq irq;
};

static void start(struct rig *r, uint64_t date_s)
{
	struct clock_ops ops = fake_clock_ops(&r->clock);
	struct irq_line line = fake_irq_line(&r->irq);

	memset(r, 0, sizeof(*r));
	r->clock.date_base = date_s * S;
	mc146818_init(&r->rtc, &ops, &line, NULL);
}

static uint8_t get(struct rig *r, uint8_t reg)
{
	chip_out(&mc146818_ops, &r->rtc, 0, reg);
	return chip_in(&mc146818_ops, &r->rtc, 1);
}
static void put(struct rig *r, uint8_t reg, uint8_t v)
{
	chip_out(&mc146818_ops, &r->rtc, 0, reg);
	chip_out(&mc146818_ops, &r->rtc, 1, v);
}

Test(board_mc146818, calendar_agrees_with_libc)
{
	for (int64_t s = -62167219200; s < 253402300800; s += 86400 * 17 + 12345) {
		time_t t = (time_t)s;
		struct tm tm;
		struct mc146818_time civil;

		gmtime_r(&t, &tm);
		mc146818_civil(s, &civil);
		cr_assert(civil.year == tm.tm_year + 1900 && civil.month == tm.tm_mon + 1 && civil.day == tm.tm_mday &&
			      civil.hour == tm.tm_hour && civil.minute == tm.tm_min && civil.second == tm.tm_sec &&
			      civil.weekday == tm.tm_wday + 1,
			  "%lld", (long long)s);
		cr_assert_eq(mc146818_seconds(&civil), s);
	}
}

Test(board_mc146818, reads_bcd_and_binary)
{
	struct rig r;

	start(&r, 1000000000); /* 2001-09-09 01:46:40, a Sunday */
	cr_assert_eq(get(&r, 0), 0x40);
	cr_assert_eq(get(&r, 2), 0x46);
	cr_assert_eq(get(&r, 4), 0x01);
	cr_assert_eq(get(&r, 6), 1);
	cr_assert_eq(get(&r, 7), 0x09);
	cr_assert_eq(get(&r, 8), 0x09);
	cr_assert_eq(get(&r, 9), 0x01);
	cr_assert_eq(get(&r, 0x32), 0x20);
	cr_assert_eq(get(&r, 0x0d), 0x80);
	put(&r, 0x0b, 0x06); /* binary, 24 h */
	cr_assert_eq(get(&r, 0), 40);
	cr_assert_eq(get(&r, 2), 46);
	cr_assert_eq(get(&r, 0x32), 20);
	fake_advance(&r.clock, 12ull * 3600 * S);
	put(&r, 0x0b, 0x00); /* BCD, 12 h */
	cr_assert_eq(get(&r, 4), 0x81, "1 pm");
	fake_advance(&r.clock, 11ull * 3600 * S);
	cr_assert_eq(get(&r, 4), 0x12, "midnight is 12 am");
	cr_assert_eq(get(&r, 7), 0x10);
}

Test(board_mc146818, set_time)
{
	struct rig r;

	start(&r, 0);
	fake_advance(&r.clock, 300000000);
	put(&r, 0x0b, 0x82); /* SET */
	put(&r, 0, 0x58);
	put(&r, 2, 0x59);
	put(&r, 4, 0x23);
	put(&r, 6, 0x03);
	put(&r, 7, 0x28);
	put(&r, 8, 0x02);
	put(&r, 9, 0x24);
	put(&r, 0x32, 0x20);
	fake_advance(&r.clock, 10ull * S);
	cr_assert_eq(get(&r, 0), 0x58, "held");
	cr_assert_not(get(&r, 0x0a) & 0x80);
	put(&r, 0x0b, 0x02);
	cr_assert_eq(get(&r, 0), 0x58);
	fake_advance(&r.clock, 700000000);
	cr_assert_eq(get(&r, 0), 0x59, "the divider went on");
	fake_advance(&r.clock, 1 * S);
	cr_assert_eq(get(&r, 0), 0x00);
	cr_assert_eq(get(&r, 7), 0x29, "leap day");
	cr_assert_eq(get(&r, 6), 4);
	/* Without SET. */
	put(&r, 9, 0x99);
	cr_assert_eq(get(&r, 9), 0x99);
	/* 2099 has no leap day: the date carries. */
	cr_assert_eq(get(&r, 7), 0x01);
	cr_assert_eq(get(&r, 8), 0x03);
}

Test(board_mc146818, divider_reset_starts_half_a_second_early)
{
	struct rig r;

	start(&r, 0);
	put(&r, 0x0a, 0x70);
	fake_advance(&r.clock, 5ull * S + 123);
	cr_assert_eq(get(&r, 0), 0x00, "stopped");
	put(&r, 0x0a, 0x26);
	fake_advance(&r.clock, 499999999);
	cr_assert_eq(get(&r, 0), 0x00);
	fake_advance(&r.clock, 1);
	cr_assert_eq(get(&r, 0), 0x01);
}

Test(board_mc146818, uip_timing)
{
	struct rig r;

	start(&r, 0);
	for (unsigned i = 0; i < 3; i++) {
		r.clock.now = i * (uint64_t)S + S - MC146818_UPDATE_NS - 1;
		cr_assert_eq(get(&r, 0x0a), 0x26);
		r.clock.now++;
		cr_assert_eq(get(&r, 0x0a), 0xa6);
		cr_assert_eq(get(&r, 0), i);
		r.clock.now = (i + 1) * (uint64_t)S;
		cr_assert_eq(get(&r, 0x0a), 0x26);
		cr_assert_eq(get(&r, 0), i + 1);
	}
	cr_assert_eq(r.clock.skips, 0);
}

/* The loop of Linux's Malta estimate_frequencies(): it must measure one second of virtual time, in few reads. */
Test(board_mc146818, polling_skips_to_the_edges)
{
	struct rig r;
	uint64_t edge[2];
	unsigned reads = 0;

	start(&r, 0);
	r.clock.now = 12345;
	for (unsigned i = 0; i < 2; i++) {
		while (get(&r, 0x0a) & 0x80)
			r.clock.now += 100, reads++;
		while (!(get(&r, 0x0a) & 0x80))
			r.clock.now += 100, reads++;
		edge[i] = r.clock.now;
	}
	cr_assert_eq(edge[1] - edge[0], S);
	cr_assert_eq(edge[0] % S, S - MC146818_UPDATE_NS);
	cr_assert_leq(reads, 4 * (MC146818_POLLS + 1));
	cr_assert_eq(r.clock.skips, 3);
}

/*
 * How Linux measures its clock on a Malta, on a host that takes the processor away from it now and then: edges and seconds agree,
 * a second is a second, and what was skipped is not the date's.
 */
static uint32_t linux_waits(struct rig *r, uint8_t wanted, uint32_t *seed)
{
	uint32_t lost = 0;

	while ((get(r, 0x0a) & 0x80) != wanted) {
		*seed = *seed * 1664525 + 1013904223;
		lost = *seed >> 24 ? 100 : *seed & 0xffffff;
		r->clock.now += lost;
	}
	return lost;
}

Test(board_mc146818, polling_leaves_the_date)
{
	uint32_t seed = 1;

	for (unsigned round = 0; round < 1000; round++) {
		uint64_t edge[2];
		uint8_t seconds[2];
		uint32_t lost[2];
		struct rig r;

		start(&r, 1000000000);
		seed = seed * 1664525 + 1013904223;
		r.clock.now = seed % S;
		linux_waits(&r, 0, &seed);
		for (unsigned i = 0; i < 2; i++) {
			lost[i] = linux_waits(&r, 0x80, &seed);
			edge[i] = r.clock.now;
			linux_waits(&r, 0, &seed);
			seconds[i] = get(&r, 0);
		}
		cr_assert(edge[1] - edge[0] + lost[0] >= S && edge[1] - edge[0] <= S + lost[1], "%llu",
			  (unsigned long long)(edge[1] - edge[0]));
		cr_assert_eq(seconds[1] - seconds[0], 1, "%x %x", seconds[0], seconds[1]);
		cr_assert_gt(r.clock.skipped, S);
		get(&r, 0x0b);
		cr_assert_eq(get(&r, 0), 0x40 + (r.clock.now - r.clock.skipped) / S);
	}
}

/* A poll also ends when the guest stops, and its interrupts have gone by the date all the time. */
Test(board_mc146818, a_poll_ends)
{
	struct rig r;

	start(&r, 1000000000);
	put(&r, 0x0b, 0x12); /* an interrupt at each update */
	r.clock.now = 300000000;
	for (unsigned i = 0; i < 3; i++) {
		while (get(&r, 0x0a) & 0x80)
			r.clock.now += 100;
		while (!(get(&r, 0x0a) & 0x80))
			r.clock.now += 100;
	}
	cr_assert_gt(r.clock.now, 2ull * S, "three edges of UIP");
	cr_assert_lt(r.clock.now - r.clock.skipped, 301ull * 1000000, "in no time");
	cr_assert_not(r.irq.level);
	cr_assert_eq(get(&r, 0), 0x42, "the third is not over");
	fake_advance_to(&r.clock, S + r.clock.skipped - 1);
	cr_assert_not(r.irq.level);
	fake_advance(&r.clock, 1);
	cr_assert(r.irq.level);
	fake_advance(&r.clock, S / 2);
	cr_assert_eq(get(&r, 0), 0x41, "nobody has polled for a second");
	cr_assert_not(get(&r, 0x0a) & 0x80);
}

/* Who waits for UIP to read the time has to wait for it, once that is known. */
Test(board_mc146818, polling_for_the_time)
{
	struct rig r;
	unsigned skips = 0;

	start(&r, 1000000000);
	r.clock.now = 300000000;
	for (unsigned i = 0; i < 4; i++) {
		while (!(get(&r, 0x0a) & 0x80))
			r.clock.now += 1000;
		while (get(&r, 0x0a) & 0x80)
			r.clock.now += 1000;
		if (i == 0)
			skips = r.clock.skips;
		cr_assert_eq(get(&r, 0), i ? 0x40 + i : 0x41, "%x of %u", get(&r, 0), i);
		cr_assert_eq(get(&r, 2), 0x46);
	}
	cr_assert_eq(r.clock.skips, skips, "only before it was known");
	cr_assert_leq(r.clock.now - r.clock.skipped - 3ull * S, 100000, "%llu", (unsigned long long)r.clock.now);
	mc146818_reset(&r.rtc);
	for (unsigned i = 0; i < 2 * MC146818_POLLS; i++)
		get(&r, 0x0a);
	cr_assert_gt(r.clock.skips, skips, "another kernel");
}

/* Somebody sets the host's clock. */
Test(board_mc146818, follows_the_date_outside)
{
	struct rig r;

	start(&r, 1000000000);
	put(&r, 0x0b, 0x52);
	put(&r, 0x0a, 0x2f); /* 2 Hz */
	fake_advance(&r.clock, 300000000);
	get(&r, 0x0c);
	r.clock.date_base += 3600ull * S;
	cr_assert_eq(get(&r, 4), 0x02);
	cr_assert_eq(get(&r, 0x0c) & 0x10, 0x10, "seconds have passed");
	r.clock.date_base -= 7200ull * S;
	cr_assert_eq(get(&r, 4), 0x00);
	cr_assert_eq(get(&r, 0x0c), 0, "none have");
	fake_advance(&r.clock, 700000000);
	cr_assert_eq(get(&r, 0x0c) & 0xd0, 0xd0, "it goes on from there");
}

/* Another machine with the same battery. */
Test(board_mc146818, battery)
{
	struct mc146818_battery battery = {0};
	struct rig r, next;
	struct clock_ops ops;
	struct irq_line line;

	start(&r, 1000000000);
	put(&r, 0x60, 0x5c);
	chip_out(&mc146818_ops, &r.rtc, 2, 0x11);
	chip_out(&mc146818_ops, &r.rtc, 3, 0x22);
	put(&r, 0x0b, 0x86); /* SET, binary */
	put(&r, 0x09, 33);
	put(&r, 0x0b, 0x76);
	mc146818_save(&r.rtc, &battery);
	memset(&next, 0, sizeof(next));
	ops = fake_clock_ops(&next.clock);
	line = fake_irq_line(&next.irq);
	next.clock.date_base = 1000000007ull * S; /* virtual time starts anew, the date does not */
	mc146818_init(&next.rtc, &ops, &line, &battery);
	cr_assert_eq(get(&next, 0x60), 0x5c);
	chip_out(&mc146818_ops, &next.rtc, 2, 0x11);
	cr_assert_eq(chip_in(&mc146818_ops, &next.rtc, 3), 0x22);
	cr_assert_eq(get(&next, 0x0b), 0x06, "the format stays, the interrupts are off");
	cr_assert_eq(get(&next, 0x09), 33);
	cr_assert_eq(get(&next, 0x00), 47, "the clock went on meanwhile");
	fake_advance(&next.clock, 3ull * S);
	cr_assert_eq(get(&next, 0x00), 50);
	cr_assert_not(next.irq.level);
}

/* Data sheet, table 5, for a time base of 32.768 kHz. */
Test(board_mc146818, periodic_rates)
{
	static const unsigned hz[16] = {0, 256, 128, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2};

	for (unsigned rate = 0; rate < 16; rate++) {
		unsigned rings = 0;
		struct rig r;

		start(&r, 0);
		put(&r, 0x0a, (uint8_t)(0x20 | rate));
		put(&r, 0x0b, 0x42);
		for (unsigned i = 0; i < 32768; i++) {
			fake_advance_to(&r.clock, ((i + 1) * (uint64_t)S + 32767) / 32768);
			rings += get(&r, 0x0c) >> 7;
		}
		cr_assert_eq(rings, hz[rate], "rate %u: %u Hz", rate, rings);
	}
}

Test(board_mc146818, no_skip_for_occasional_reads)
{
	struct rig r;

	start(&r, 0);
	for (unsigned i = 0; i < 1000; i++) {
		get(&r, 0x0a);
		r.clock.now += MC146818_POLL_GAP_NS + 1;
	}
	cr_assert_eq(r.clock.skips, 0, "far apart");
	for (unsigned i = 0; i < 1000; i++) {
		get(&r, 0x0a);
		get(&r, 0x00);
	}
	cr_assert_eq(r.clock.skips, 0, "the guest does something else in between");
	r.clock.skip_forbidden = true;
	for (unsigned i = 0; i < 100; i++)
		cr_assert_eq(get(&r, 0x0a) & 0x7f, 0x26, "a clock that may not skip just goes on");
	cr_assert_gt(r.clock.skips, 0);
}

Test(board_mc146818, periodic_interrupt)
{
	struct rig r;
	unsigned seen = 0;

	start(&r, 0);
	put(&r, 0x0b, 0x42);
	for (unsigned ms = 0; ms < 10000; ms++) {
		fake_advance(&r.clock, 250000);
		if (r.irq.level) {
			seen++;
			cr_assert_eq(get(&r, 0x0c) & 0xc0, 0xc0);
			cr_assert_not(r.irq.level);
		}
	}
	cr_assert_eq(seen, 2560, "1024 Hz for 2.5 s: %u", seen);
	/* Unread, it rings once. */
	r.irq.rises = 0;
	r.clock.rung = 0;
	fake_advance(&r.clock, 10ull * S);
	cr_assert_eq(r.irq.rises, 1);
	cr_assert_leq(r.clock.rung, 2);
	get(&r, 0x0c);
	put(&r, 0x0a, 0x2f); /* 2 Hz */
	r.irq.rises = 0;
	for (unsigned i = 0; i < 100; i++) {
		fake_advance(&r.clock, 100000000);
		get(&r, 0x0c);
	}
	cr_assert_eq(r.irq.rises, 20);
}

Test(board_mc146818, update_and_alarm_interrupts)
{
	struct rig r;

	start(&r, 86400 - 10); /* 23:59:50 */
	fake_advance(&r.clock, S / 2);
	put(&r, 0x0a, 0x20); /* no periodic flag */
	get(&r, 0x0c);
	put(&r, 0x0b, 0x12);
	fake_advance(&r.clock, S / 2 - 1);
	cr_assert_not(r.irq.level);
	fake_advance(&r.clock, 1);
	cr_assert(r.irq.level);
	cr_assert_eq(get(&r, 0x0c), 0x90);
	put(&r, 0x01, 0x05);
	put(&r, 0x03, 0x00);
	put(&r, 0x05, 0x00);
	put(&r, 0x0b, 0x22);
	fake_advance_to(&r.clock, 15ull * S - 1);
	cr_assert_not(r.irq.level);
	fake_advance_to(&r.clock, 15ull * S);
	cr_assert(r.irq.level, "00:00:05");
	cr_assert_eq(get(&r, 0x0c), 0xb0);
	/* Every hour at :00:05. */
	put(&r, 0x05, 0xff);
	r.irq.rises = 0;
	for (unsigned i = 0; i < 48; i++) {
		fake_advance(&r.clock, 1800ull * S);
		get(&r, 0x0c);
	}
	cr_assert_eq(r.irq.rises, 24);
	/* 99 seconds never come. */
	put(&r, 0x01, 0x99);
	r.irq.rises = 0;
	fake_advance(&r.clock, 100000ull * S);
	cr_assert_eq(r.irq.rises, 0);
	/* Flags come without the enables, too. */
	put(&r, 0x0a, 0x26);
	put(&r, 0x0b, 0x02);
	get(&r, 0x0c);
	fake_advance(&r.clock, 2ull * S);
	cr_assert_eq(get(&r, 0x0c), 0x50, "periodic and update, no IRQF");
}

Test(board_mc146818, ram_and_reset)
{
	struct rig r;

	start(&r, 0);
	for (unsigned i = 0x0e; i < 0x80; i++)
		if (i != 0x32)
			put(&r, (uint8_t)i, (uint8_t)(i ^ 0x5a));
	chip_out(&mc146818_ops, &r.rtc, 2, 0x7f);
	chip_out(&mc146818_ops, &r.rtc, 3, 0x77);
	put(&r, 0x0b, 0x7a);
	fake_advance(&r.clock, 3ull * S);
	mc146818_reset(&r.rtc);
	cr_assert_not(r.irq.level);
	cr_assert_eq(get(&r, 0x0b), 0x02);
	cr_assert_eq(get(&r, 0x00), 0x03, "the battery keeps the time");
	for (unsigned i = 0x0e; i < 0x80; i++)
		if (i != 0x32)
			cr_assert_eq(get(&r, (uint8_t)i), (i ^ 0x5a) & 0xff);
	chip_out(&mc146818_ops, &r.rtc, 2, 0xff);
	cr_assert_eq(chip_in(&mc146818_ops, &r.rtc, 3), 0x77);
	mc146818_stop(&r.rtc);
	cr_assert_eq(fake_alarms_left(&r.clock), 0);
}

/* Whatever is written, the clock can be read and goes on by a second a second. */
Test(board_mc146818, garbage_times)
{
	struct rig r;
	uint32_t seed = 1;

	start(&r, 0);
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t second;

		for (unsigned k = 0; k < 6; k++) {
			seed = seed * 1664525 + 1013904223;
			put(&r, seed >> 24 & 0x3f, (uint8_t)(seed >> 16));
		}
		put(&r, 0x0a, 0x26);
		put(&r, 0x0b, 0x06);
		second = get(&r, 0);
		cr_assert_lt(second, 60);
		fake_advance(&r.clock, S);
		cr_assert_eq(get(&r, 0), (second + 1) % 60);
		cr_assert(get(&r, 8) >= 1 && get(&r, 8) <= 12 && get(&r, 7) >= 1 && get(&r, 7) <= 31);
	}
}
