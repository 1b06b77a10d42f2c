/* SPDX-License-Identifier: MIT */
#include "vmm/board/mc146818.h"

#include <string.h>

enum reg {
	REG_SECOND,
	REG_SECOND_ALARM,
	REG_MINUTE,
	REG_MINUTE_ALARM,
	REG_HOUR,
	REG_HOUR_ALARM,
	REG_WEEKDAY,
	REG_DAY,
	REG_MONTH,
	REG_YEAR,
	REG_A,
	REG_B,
	REG_C,
	REG_D,
	REG_CENTURY = 0x32,
};
enum { A_UIP = 0x80, A_DIVIDER = 0x70, A_DIVIDER_RESET = 0x60, A_RATE = 0x0f };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_SQWE = 0x08, B_BINARY = 0x04, B_24H = 0x02 };
enum { C_IRQ = 0x80, C_PERIODIC = 0x40, C_ALARM = 0x20, C_UPDATE = 0x10, C_SOURCES = 0x70 };
enum { D_VALID = 0x80, ALARM_ANY = 0xc0, HOUR_PM = 0x80, ANY = -1 };

static const uint64_t NS = 1000000000, CRYSTAL_HZ = 32768;

static uint8_t encode(const struct mc146818_state *s, int v)
{
	return (uint8_t)(s->b & B_BINARY ? v : (v / 10 % 10) << 4 | v % 10);
}

static int decode(const struct mc146818_state *s, uint8_t v) { return s->b & B_BINARY ? v : (v >> 4) * 10 + (v & 15); }

static uint8_t encode_hour(const struct mc146818_state *s, int hour)
{
	if (s->b & B_24H)
		return encode(s, hour);
	return encode(s, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static int decode_hour(const struct mc146818_state *s, uint8_t v)
{
	int hour;

	if (s->b & B_24H)
		return decode(s, v);
	hour = decode(s, v & (uint8_t)~HOUR_PM);
	return (hour == 12 ? 0 : hour) + (v & HOUR_PM ? 12 : 0);
}

static bool is_time_reg(unsigned i)
{
	return i == REG_SECOND || i == REG_MINUTE || i == REG_HOUR || (i >= REG_WEEKDAY && i <= REG_YEAR) ||
	       i == REG_CENTURY;
}

/* Here and below, `date` is device_date_ns(): the chip runs on that, and on virtual time only as far as alarms go. */
static uint64_t phase(const struct mc146818_state *s, uint64_t date) { return (date + s->phase_ns) % NS; }

static int64_t clock_seconds(const struct mc146818_state *s, uint64_t date)
{
	return s->base_s + (int64_t)((date + s->phase_ns) / NS);
}

/* 32.768 kHz periods since the date -phase_ns. */
static uint64_t clock_ticks(const struct mc146818_state *s, uint64_t date)
{
	return (date + s->phase_ns) / NS * CRYSTAL_HZ + phase(s, date) * CRYSTAL_HZ / NS;
}

static void store_time(struct mc146818_state *s, int64_t seconds)
{
	struct mc146818_time t;
	int year;

	mc146818_civil(seconds, &t);
	year = (t.year % 10000 + 10000) % 10000; /* what the guest wrote may come out before year 0 or after 9999 */
	s->ram[REG_SECOND] = encode(s, t.second);
	s->ram[REG_MINUTE] = encode(s, t.minute);
	s->ram[REG_HOUR] = encode_hour(s, t.hour);
	s->ram[REG_WEEKDAY] = encode(s, (t.weekday - 1 + s->weekday_offset) % 7 + 1);
	s->ram[REG_DAY] = encode(s, t.day);
	s->ram[REG_MONTH] = encode(s, t.month);
	s->ram[REG_YEAR] = encode(s, year % 100);
	s->ram[REG_CENTURY] = encode(s, year / 100);
}

/* Whatever the guest wrote; fields out of range carry, as the chip's counters do not promise anything for them. */
static int64_t load_time(struct mc146818_state *s)
{
	struct mc146818_time t = {
	    .second = decode(s, s->ram[REG_SECOND]),
	    .minute = decode(s, s->ram[REG_MINUTE]),
	    .hour = decode_hour(s, s->ram[REG_HOUR]),
	    .day = decode(s, s->ram[REG_DAY]),
	    .month = decode(s, s->ram[REG_MONTH]),
	    .year = decode(s, s->ram[REG_CENTURY]) * 100 + decode(s, s->ram[REG_YEAR]),
	};
	int64_t seconds = mc146818_seconds(&t);
	int weekday = decode(s, s->ram[REG_WEEKDAY]);

	mc146818_civil(seconds, &t);
	s->weekday_offset = (uint8_t)((weekday - t.weekday + 7 * 64) % 7);
	return seconds;
}

/* Alarm fields: ANY, or a number (one that never comes matches never). */
struct alarm_spec {
	int hour, minute, second;
};

static struct alarm_spec alarm_spec(const struct mc146818_state *s)
{
	uint8_t h = s->ram[REG_HOUR_ALARM], m = s->ram[REG_MINUTE_ALARM], sec = s->ram[REG_SECOND_ALARM];

	return (struct alarm_spec){
	    .hour = h >= ALARM_ANY ? ANY : decode_hour(s, h),
	    .minute = m >= ALARM_ANY ? ANY : decode(s, m),
	    .second = sec >= ALARM_ANY ? ANY : decode(s, sec),
	};
}

/* Seconds from `from` to the first later match; 0: never.  At most 24 + 60 + 60 steps. */
static int64_t alarm_delta(const struct mc146818_state *s, int64_t from)
{
	struct alarm_spec spec = alarm_spec(s);
	int64_t today = ((from % 86400) + 86400) % 86400;

	for (int64_t delta = 1; delta <= 86400;) {
		int64_t t = (today + delta) % 86400;

		if (spec.hour != ANY && spec.hour != t / 3600)
			delta += 3600 - t % 3600;
		else if (spec.minute != ANY && spec.minute != t / 60 % 60)
			delta += 60 - t % 60;
		else if (spec.second != ANY && spec.second != t % 60)
			delta++;
		else
			return delta;
	}
	return 0;
}

/* Ticks per periodic interrupt, 0: off (MC146818A table 5; rates 1 and 2 repeat 8 and 9). */
static uint64_t periodic_ticks(const struct mc146818_state *s)
{
	unsigned rate = s->a & A_RATE;

	if (rate == 0 || (s->a & A_DIVIDER_RESET) == A_DIVIDER_RESET)
		return 0;
	return 1ull << ((rate <= 2 ? rate + 7 : rate) - 1);
}

/* Set the flags of C for what happened until now.  A date that was set back on the host is no event. */
static void catch_up(struct mc146818 *r, uint64_t date)
{
	struct mc146818_state *s = &r->s;
	uint64_t tick = clock_ticks(s, date), every = periodic_ticks(s);
	int64_t second = clock_seconds(s, date);

	if (every && tick / every > s->seen_tick / every)
		s->c |= C_PERIODIC;
	s->seen_tick = tick;
	if (!s->held && second > s->seen_s) {
		int64_t delta = alarm_delta(s, s->seen_s);

		s->c |= C_UPDATE;
		if (delta && s->seen_s + delta <= second)
			s->c |= C_ALARM;
	}
	s->seen_s = second;
	s->c &= C_SOURCES;
	if (s->c & s->b & C_SOURCES)
		s->c |= C_IRQ;
	irq_set(&r->irq, s->c & C_IRQ);
}

/* The date at which the clock reaches `second`. */
static uint64_t ns_of_second(const struct mc146818_state *s, int64_t second)
{
	return device_scale((uint64_t)(second - s->base_s), NS, 1) - s->phase_ns;
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

static void alarm_rang(void *arg);

/*
 * Ask for the next moment at which IRQ 8 will rise.  While it is up there is none.  Should the host's date be slewed until
 * then, the alarm is early (and asked for once more) or late by as much.
 */
static void schedule(struct mc146818 *r, uint64_t date)
{
	const struct mc146818_state *s = &r->s;
	uint64_t at = DEVICE_NO_ALARM, every = periodic_ticks(s);

	if (!(s->c & C_IRQ)) {
		if ((s->b & B_PIE) && every) {
			uint64_t tick = (s->seen_tick / every + 1) * every;
			uint64_t ns = tick / CRYSTAL_HZ * NS + device_scale_up(tick % CRYSTAL_HZ, NS, CRYSTAL_HZ);

			at = earlier(at, ns - s->phase_ns);
		}
		if ((s->b & B_UIE) && !s->held)
			at = earlier(at, ns_of_second(s, s->seen_s + 1));
		if ((s->b & B_AIE) && !s->held) {
			int64_t delta = alarm_delta(s, s->seen_s);

			at = delta ? earlier(at, ns_of_second(s, s->seen_s + delta)) : at;
		}
	}
	if (at != DEVICE_NO_ALARM)
		at = device_now_ns(&r->clock) + (at > date ? at - date : 0);
	device_alarm(&r->clock, at, alarm_rang, r);
}

static void refresh(struct mc146818 *r)
{
	uint64_t date = device_date_ns(&r->clock);

	catch_up(r, date);
	schedule(r, date);
}

static void alarm_rang(void *arg) { refresh(arg); }

/* Make the clock show `seconds` from now on without disturbing the divider chain. */
static void set_seconds(struct mc146818_state *s, int64_t seconds, uint64_t date)
{
	s->base_s += seconds - clock_seconds(s, date);
	s->seen_s = seconds;
}

/* Enter or leave the state in which the time registers stand still, after A or B has changed. */
static void update_held(struct mc146818_state *s, uint8_t old_a, uint64_t date)
{
	bool was_reset = (old_a & A_DIVIDER_RESET) == A_DIVIDER_RESET;
	bool in_reset = (s->a & A_DIVIDER_RESET) == A_DIVIDER_RESET;
	bool hold = in_reset || (s->b & B_SET);

	if (hold && !s->held)
		store_time(s, clock_seconds(s, date));
	if (was_reset && !in_reset) {
		/* The first update comes half a second after the divider starts (data sheet, "divider stages"). */
		s->phase_ns = (NS + NS / 2 - date % NS) % NS;
		s->seen_tick = clock_ticks(s, date);
		s->seen_s = clock_seconds(s, date);
	}
	if (!hold && s->held)
		set_seconds(s, load_time(s), date);
	s->held = hold;
}

static bool update_in_progress(const struct mc146818_state *s, uint64_t date)
{
	return !s->held && phase(s, date) >= NS - MC146818_UPDATE_NS;
}

/* The guest does something else than looking at UIP. */
static void end_poll(struct mc146818_state *s)
{
	s->polls = 0;
	s->ahead_ns = 0;
}

/* Move virtual time, and UIP with it, to where the chip's second is at phase `edge`.  The date stays. */
static void skip_to_phase(struct mc146818 *r, uint64_t date, uint64_t edge)
{
	uint64_t to = device_now_ns(&r->clock) + edge - phase(&r->s, date + r->s.ahead_ns);

	/* its own alarm would move as the date stands still: out of the way */
	device_alarm(&r->clock, DEVICE_NO_ALARM, alarm_rang, r);
	r->s.ahead_ns += r->clock.skip_to(r->clock.opaque, to);
	schedule(r, device_date_ns(&r->clock));
}

/* Register A, and the shortcut for a guest that spins on it. */
static uint8_t read_a(struct mc146818 *r)
{
	struct mc146818_state *s = &r->s;
	uint64_t date = device_date_ns(&r->clock);
	bool uip;

	if (s->polls_for_date)
		end_poll(s);
	uip = update_in_progress(s, date + s->ahead_ns);
	if (uip != s->poll_uip || device_now_ns(&r->clock) - s->poll_ns > MC146818_POLL_GAP_NS)
		s->polls = 0;
	if (++s->polls > MC146818_POLLS && !s->held && !s->polls_for_date) {
		skip_to_phase(r, date, uip ? NS : NS - MC146818_UPDATE_NS);
		uip = update_in_progress(s, date + s->ahead_ns);
		if (uip != s->poll_uip)
			s->polls = 0;
	}
	s->poll_uip = uip;
	s->poll_ns = device_now_ns(&r->clock);
	return s->a | (uip ? A_UIP : 0);
}

static uint8_t read_c(struct mc146818 *r)
{
	uint64_t date = device_date_ns(&r->clock);
	uint8_t v;

	catch_up(r, date);
	v = r->s.c;
	r->s.c = 0;
	irq_set(&r->irq, false);
	schedule(r, date);
	return v;
}

/* As long as the guest looks at nothing but UIP and the time, these agree; what else it looks at ends its poll. */
static uint8_t read_time(struct mc146818 *r, unsigned i)
{
	struct mc146818_state *s = &r->s;

	s->polls = 0;
	/* Linux counts edges and seconds to measure its clock; who wants to know the time reads more. */
	s->polls_for_date |= s->ahead_ns && i != REG_SECOND;
	if (!s->held)
		store_time(s, clock_seconds(s, device_date_ns(&r->clock) + s->ahead_ns));
	return s->ram[i];
}

static uint8_t reg_read(struct mc146818 *r, unsigned i)
{
	struct mc146818_state *s = &r->s;

	/* not so soon: the host may take the processor away from a guest that polls, and it is to measure a second all the same */
	if (device_now_ns(&r->clock) - s->poll_ns > MC146818_POLL_END_NS)
		end_poll(s);
	if (i == REG_A)
		return read_a(r);
	if (is_time_reg(i))
		return read_time(r, i);
	end_poll(s);
	switch (i) {
	case REG_B:
		return s->b;
	case REG_C:
		return read_c(r);
	case REG_D:
		return D_VALID;
	default:
		return s->ram[i];
	}
}

static void reg_write(struct mc146818 *r, unsigned i, uint8_t v)
{
	struct mc146818_state *s = &r->s;
	uint64_t date = device_date_ns(&r->clock);
	uint8_t old_a = s->a;

	end_poll(s);
	catch_up(r, date);
	switch (i) {
	case REG_A:
		s->a = v & (A_DIVIDER | A_RATE);
		update_held(s, old_a, date);
		break;
	case REG_B:
		/* SET takes the update interrupt with it.  A new format is the guest's to rewrite the registers in. */
		s->b = v & B_SET ? v & (uint8_t)~B_UIE : v;
		update_held(s, old_a, date);
		break;
	case REG_C:
	case REG_D:
		break;
	default:
		if (is_time_reg(i) && !s->held) {
			store_time(s, clock_seconds(s, date));
			s->ram[i] = v;
			set_seconds(s, load_time(s), date);
		} else {
			s->ram[i] = v;
		}
		break;
	}
	refresh(r);
}

static uint64_t rtc_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct mc146818 *r = opaque;

	switch (off & 3) {
	case 1:
		return reg_read(r, r->s.index);
	case 3:
		end_poll(&r->s);
		return r->s.ram[128 + r->s.index2];
	default: /* the index registers are write-only */
		return 0xff;
	}
}

static void rtc_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct mc146818 *r = opaque;

	switch (off & 3) {
	case 0: /* bit 7 masks the NMI, which nothing raises */
		r->s.index = value & 0x7f;
		break;
	case 1:
		reg_write(r, r->s.index, (uint8_t)value);
		break;
	case 2:
		r->s.index2 = value & 0x7f;
		break;
	default:
		r->s.ram[128 + r->s.index2] = (uint8_t)value;
		break;
	}
}

const struct io_ops mc146818_ops = {rtc_read, rtc_write};

void mc146818_init(struct mc146818 *r, const struct clock_ops *clock, const struct irq_line *irq,
		   const struct mc146818_battery *battery)
{
	memset(r, 0, sizeof(*r));
	r->clock = *clock;
	r->irq = *irq;
	if (battery && battery->charged) {
		r->s = battery->s;
	} else {
		r->s.a = 0x26; /* 32.768 kHz, 1.024 kHz periodic */
		r->s.b = B_24H;
	}
	mc146818_reset(r);
}

void mc146818_save(const struct mc146818 *r, struct mc146818_battery *battery)
{
	battery->charged = true;
	battery->s = r->s;
}

void mc146818_reset(struct mc146818 *r)
{
	uint64_t date = device_date_ns(&r->clock);

	r->s.b &= (uint8_t) ~(B_PIE | B_AIE | B_UIE | B_SQWE);
	r->s.c = 0;
	end_poll(&r->s);
	r->s.polls_for_date = false;
	r->s.seen_s = clock_seconds(&r->s, date);
	r->s.seen_tick = clock_ticks(&r->s, date);
	mc146818_stop(r);
	irq_set(&r->irq, false);
}

void mc146818_stop(struct mc146818 *r) { device_alarm(&r->clock, DEVICE_NO_ALARM, alarm_rang, r); }
