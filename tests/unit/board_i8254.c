/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "tests/unit/board_fake.h"
#include "vmm/board/i8254.h"

struct rig {
	struct i8254 pit;
	struct fake_clock clock;
	struct fake_irq irq;
};

static void start(struct rig *r)
{
	struct clock_ops ops = fake_clock_ops(&r->clock);
	struct irq_line line = fake_irq_line(&r->irq);

	memset(r, 0, sizeof(*r));
	r->clock.now = 123456789;
	i8254_init(&r->pit, &ops, &line);
}

static void out(struct rig *r, unsigned off, uint8_t v) { chip_out(&i8254_ops, &r->pit, off, v); }
static uint8_t in(struct rig *r, unsigned off) { return chip_in(&i8254_ops, &r->pit, off); }
static uint64_t ticks_ns(uint64_t t) { return (t * 1000000000 + I8254_HZ - 1) / I8254_HZ; }

static void program(struct rig *r, unsigned n, unsigned mode, uint16_t count)
{
	out(r, 3, (uint8_t)(n << 6 | 0x30 | mode << 1));
	out(r, n, (uint8_t)count);
	out(r, n, (uint8_t)(count >> 8));
}

static unsigned latched(struct rig *r, unsigned n)
{
	unsigned low;

	out(r, 3, (uint8_t)(n << 6));
	low = in(r, n);
	return low | (unsigned)in(r, n) << 8;
}

Test(board_i8254, mode2_rate_and_counts)
{
	struct rig r;
	uint64_t t0;

	start(&r);
	program(&r, 0, 2, 11932); /* 100 Hz */
	t0 = r.clock.now;
	cr_assert_eq(latched(&r, 0), 11932);
	fake_advance_to(&r.clock, t0 + ticks_ns(1000));
	cr_assert_eq(latched(&r, 0), 10932);
	r.irq.rises = 0;
	fake_advance_to(&r.clock, t0 + 10ull * 1000000000);
	cr_assert_eq(r.irq.rises, 10ull * I8254_HZ / 11932, "%u", r.irq.rises);
	/* Not the alarm but the time decides: the 1000th period ends exactly here. */
	cr_assert_eq(r.clock.alarm[0].at, t0 + ticks_ns(1000ull * 11932));
}

Test(board_i8254, mode2_one_clock_low)
{
	struct rig r;
	uint64_t t0;

	start(&r);
	program(&r, 2, 2, 100);
	chip_out(&i8254_port61_ops, &r.pit, 0, 1); /* gate on: a period starts */
	t0 = r.clock.now;
	cr_assert(chip_in(&i8254_port61_ops, &r.pit, 0) & 0x20);
	r.clock.now = t0 + ticks_ns(99);
	cr_assert_eq(latched(&r, 2), 1);
	cr_assert_not(chip_in(&i8254_port61_ops, &r.pit, 0) & 0x20);
	r.clock.now = t0 + ticks_ns(100);
	cr_assert(chip_in(&i8254_port61_ops, &r.pit, 0) & 0x20);
	cr_assert_eq(latched(&r, 2), 100);
}

Test(board_i8254, mode3_square_wave)
{
	struct rig r;
	uint64_t t0;

	start(&r);
	program(&r, 2, 3, 1001);
	chip_out(&i8254_port61_ops, &r.pit, 0, 1);
	t0 = r.clock.now;
	r.clock.now = t0 + ticks_ns(500);
	cr_assert(chip_in(&i8254_port61_ops, &r.pit, 0) & 0x20, "the odd clock belongs to the high half");
	r.clock.now = t0 + ticks_ns(501);
	cr_assert_not(chip_in(&i8254_port61_ops, &r.pit, 0) & 0x20);
	r.clock.now = t0 + ticks_ns(1001);
	cr_assert(chip_in(&i8254_port61_ops, &r.pit, 0) & 0x20);

	start(&r);
	program(&r, 0, 3, 0); /* 65536 */
	r.irq.rises = 0;
	fake_advance(&r.clock, 3600ull * 1000000000);
	cr_assert_eq(r.irq.rises, 3600ull * I8254_HZ / 65536);
	/* Counts by two: a quarter of the period is half of the range. */
	program(&r, 0, 3, 1000);
	fake_advance(&r.clock, ticks_ns(250));
	cr_assert_eq(latched(&r, 0), 500);
}

Test(board_i8254, late_alarm_still_gives_an_edge)
{
	struct rig r;

	start(&r);
	program(&r, 0, 2, 1000);
	r.irq.rises = 0;
	r.clock.now += ticks_ns(1500); /* nobody rang in time, and OUT is high again */
	fake_advance(&r.clock, 0);
	cr_assert_eq(r.irq.rises, 1);
	fake_advance(&r.clock, ticks_ns(600));
	cr_assert_eq(r.irq.rises, 2);
}

Test(board_i8254, mode0_one_shot)
{
	struct rig r;

	start(&r);
	program(&r, 0, 0, 5000);
	cr_assert_not(r.irq.level);
	fake_advance(&r.clock, ticks_ns(4999));
	cr_assert_eq(r.irq.rises, 0);
	cr_assert_eq(latched(&r, 0), 1);
	fake_advance(&r.clock, ticks_ns(2));
	cr_assert_eq(r.irq.rises, 1);
	cr_assert(r.irq.level);
	fake_advance(&r.clock, 1000000000);
	cr_assert_eq(r.irq.rises, 1, "once");
	cr_assert_eq(fake_alarms_left(&r.clock), 0);
	out(&r, 0, 100);
	out(&r, 0, 0);
	cr_assert_not(r.irq.level, "a new count lowers OUT");
	fake_advance(&r.clock, ticks_ns(101));
	cr_assert_eq(r.irq.rises, 2);
}

Test(board_i8254, mode0_gate_pauses)
{
	struct rig r;

	start(&r);
	chip_out(&i8254_port61_ops, &r.pit, 0, 1);
	program(&r, 2, 0, 1000);
	fake_advance(&r.clock, ticks_ns(300));
	chip_out(&i8254_port61_ops, &r.pit, 0, 0);
	cr_assert_eq(latched(&r, 2), 700);
	fake_advance(&r.clock, ticks_ns(5000));
	cr_assert_eq(latched(&r, 2), 700);
	chip_out(&i8254_port61_ops, &r.pit, 0, 1);
	fake_advance(&r.clock, ticks_ns(690));
	cr_assert_not(chip_in(&i8254_port61_ops, &r.pit, 0) & 0x20);
	fake_advance(&r.clock, ticks_ns(20));
	cr_assert(chip_in(&i8254_port61_ops, &r.pit, 0) & 0x20);
}

Test(board_i8254, mode1_and_5_wait_for_the_gate)
{
	struct rig r;

	start(&r);
	program(&r, 2, 1, 100);
	fake_advance(&r.clock, ticks_ns(500));
	cr_assert(chip_in(&i8254_port61_ops, &r.pit, 0) & 0x20);
	chip_out(&i8254_port61_ops, &r.pit, 0, 1);
	cr_assert_not(chip_in(&i8254_port61_ops, &r.pit, 0) & 0x20);
	fake_advance(&r.clock, ticks_ns(101));
	cr_assert(chip_in(&i8254_port61_ops, &r.pit, 0) & 0x20);
	chip_out(&i8254_port61_ops, &r.pit, 0, 0);
	chip_out(&i8254_port61_ops, &r.pit, 0, 1);
	cr_assert_not(chip_in(&i8254_port61_ops, &r.pit, 0) & 0x20, "retriggered");
}

Test(board_i8254, mode4_strobe)
{
	struct rig r;

	start(&r);
	program(&r, 0, 4, 1000);
	r.irq.rises = 0;
	fake_advance(&r.clock, ticks_ns(999));
	cr_assert_eq(r.irq.rises, 0);
	fake_advance(&r.clock, ticks_ns(3));
	cr_assert_eq(r.irq.rises, 1, "the end of the strobe");
	fake_advance(&r.clock, 1000000000);
	cr_assert_eq(r.irq.rises, 1);
}

Test(board_i8254, new_count_at_the_end_of_the_period)
{
	struct rig r;

	start(&r);
	program(&r, 0, 2, 1000);
	r.irq.rises = 0;
	fake_advance(&r.clock, ticks_ns(400));
	out(&r, 0, 50);
	out(&r, 0, 0);
	cr_assert_eq(latched(&r, 0), 600);
	fake_advance(&r.clock, ticks_ns(599));
	cr_assert_eq(r.irq.rises, 0);
	fake_advance(&r.clock, ticks_ns(3));
	cr_assert_eq(r.irq.rises, 1);
	fake_advance(&r.clock, ticks_ns(50 * 10));
	cr_assert_eq(r.irq.rises, 11);
}

Test(board_i8254, new_count_many_periods_later)
{
	struct rig r;

	start(&r);
	program(&r, 0, 2, 1000);
	fake_advance(&r.clock, ticks_ns(123400));
	r.irq.rises = 0;
	out(&r, 0, 50);
	out(&r, 0, 0);
	cr_assert_eq(latched(&r, 0), 600);
	out(&r, 3, 0xe2);
	cr_assert_eq(in(&r, 0) & 0x40, 0x40, "not loaded yet");
	fake_advance(&r.clock, ticks_ns(590));
	cr_assert_eq(r.irq.rises, 0);
	fake_advance(&r.clock, ticks_ns(20));
	cr_assert_eq(r.irq.rises, 1);
	fake_advance(&r.clock, ticks_ns(50 * 4));
	cr_assert_eq(r.irq.rises, 5);
	out(&r, 3, 0xe2);
	cr_assert_eq(in(&r, 0) & 0x40, 0);
}

Test(board_i8254, latch_holds_and_read_back)
{
	struct rig r;
	unsigned low;

	start(&r);
	program(&r, 0, 2, 40000);
	out(&r, 3, 0x00);
	fake_advance(&r.clock, ticks_ns(1234));
	out(&r, 3, 0x00); /* ignored: the first latch is unread */
	low = in(&r, 0);
	cr_assert_eq(low | in(&r, 0) << 8, 40000);
	low = in(&r, 0);
	cr_assert_eq(low | in(&r, 0) << 8, 40000 - 1234, "unlatched: live");
	out(&r, 3, 0xc2); /* read back count and status of counter 0 */
	cr_assert_eq(in(&r, 0), 0x80 | 0x30 | 2 << 1);
	low = in(&r, 0);
	cr_assert_eq(low | in(&r, 0) << 8, 40000 - 1234);
	out(&r, 3, 0x34);
	out(&r, 3, 0xe2); /* status only */
	cr_assert_eq(in(&r, 0) & 0x40, 0x40, "null count");
}

Test(board_i8254, bcd_and_byte_access)
{
	struct rig r;

	start(&r);
	out(&r, 3, 0x35); /* BCD */
	out(&r, 0, 0x00);
	out(&r, 0, 0x10); /* 1000 */
	fake_advance(&r.clock, ticks_ns(1));
	cr_assert_eq(latched(&r, 0), 0x0999);
	out(&r, 3, 0x14); /* low byte only, mode 2 */
	out(&r, 0, 200);
	fake_advance(&r.clock, ticks_ns(10));
	cr_assert_eq(in(&r, 0), 190);
	out(&r, 3, 0x24); /* high byte only */
	out(&r, 0, 2);
	cr_assert_eq(in(&r, 0), 2);
}

Test(board_i8254, hostile_counts_do_not_storm)
{
	struct rig r;

	start(&r);
	program(&r, 0, 2, 1); /* illegal: taken as 2 */
	r.clock.rung = 0;
	r.clock.now += 1000000000;
	fake_advance(&r.clock, 0);
	cr_assert_leq(r.clock.rung, 2, "one late call, not one per period");
	r.clock.rung = 0;
	r.irq.rises = 0;
	fake_advance(&r.clock, 1000000000);
	cr_assert(r.clock.rung > 10000 && r.clock.rung <= 50001, "%u calls a second", r.clock.rung);
	cr_assert_geq(r.irq.rises, 10000, "and still interrupts");
	i8254_stop(&r.pit);
	cr_assert_eq(fake_alarms_left(&r.clock), 0);
}
