/* SPDX-License-Identifier: MIT */
#include "vmm/board/i8254.h"

#include <string.h>

enum { NS_PER_S = 1000000000 };
/* A guest that asks for 600,000 interrupts a second gets those that fit, and the monitor still gets to run. */
enum { MIN_ALARM_NS = 20000 };
enum { CONTROL_LATCH = 0, CONTROL_READ_BACK = 3 };
enum { READ_BACK_NO_COUNT = 0x20, READ_BACK_NO_STATUS = 0x10 };
enum { PORT61_GATE2 = 1, PORT61_REFRESH = 0x10, PORT61_OUT2 = 0x20 };

static uint64_t ticks_of_ns(uint64_t ns) { return device_scale(ns, I8254_HZ, NS_PER_S); }
static uint64_t ns_of_ticks(uint64_t ticks) { return device_scale_up(ticks, NS_PER_S, I8254_HZ); }

static bool is_periodic(const struct i8254_counter *c) { return c->mode == 2 || c->mode == 3; }

/* Clocks since the count was loaded or triggered. */
static uint64_t elapsed(const struct i8254_counter *c, uint64_t now)
{
	if (c->paused)
		return c->paused_ticks;
	return now > c->start_ns ? ticks_of_ns(now - c->start_ns) : 0;
}

/* Modes 2 and 3: let start_ns be the start of a later period. */
static void pass_periods(struct i8254_counter *c, uint64_t periods)
{
	/* Rounded down: the counter must not read a clock behind. */
	c->start_ns += device_scale(periods * c->reload, NS_PER_S, I8254_HZ);
	c->edges_before += periods;
}

/* Take over a count that was written in the middle of a period. */
static void settle(struct i8254_counter *c, uint64_t now)
{
	if (!c->next_reload || c->paused || elapsed(c, now) < c->reload)
		return;
	pass_periods(c, 1);
	c->reload = c->next_reload;
	c->next_reload = 0;
}

/* Of OUT, since start_ns. */
static uint64_t rising_edges(const struct i8254_counter *c, uint64_t ticks)
{
	if (!c->loaded || c->trigger_wait)
		return 0;
	if (is_periodic(c))
		return ticks / c->reload;
	if (c->mode >= 4)
		return ticks > c->reload;
	return ticks >= c->reload;
}

static bool out_level(const struct i8254_counter *c, uint64_t now)
{
	uint64_t t = elapsed(c, now);

	if (!c->loaded || c->trigger_wait)
		return c->mode != 0;
	switch (c->mode) {
	case 2: /* low during the last clock of the period */
		return c->paused || t % c->reload != c->reload - 1;
	case 3: /* high for the longer half */
		return c->paused || t % c->reload < (c->reload + 1) / 2;
	case 4:
	case 5: /* low for one clock at the end */
		return t != c->reload;
	default:
		return t >= c->reload;
	}
}

static uint16_t count_value(const struct i8254_counter *c, uint64_t now)
{
	uint32_t modulus = c->bcd ? 10000 : 65536;
	uint64_t t = elapsed(c, now);
	uint32_t v;

	if (!c->loaded)
		return 0;
	if (c->trigger_wait)
		t = 0;
	if (c->mode == 3) /* counts by two, twice per period */
		v = c->reload - (uint32_t)(2 * (t % c->reload) % c->reload & ~1ull);
	else if (c->mode == 2)
		v = c->reload - (uint32_t)(t % c->reload);
	else
		v = c->reload + modulus - (uint32_t)(t % modulus);
	v %= modulus;
	if (c->bcd)
		v = v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10;
	return (uint16_t)v;
}

static void alarm_rang(void *arg);

/* Deliver what OUT0 has done since the last call, and ask to be called at its next rising edge. */
static void update_irq(struct i8254 *p, uint64_t now)
{
	struct i8254_counter *c = &p->s.counter[0];
	uint64_t at = DEVICE_NO_ALARM;
	uint64_t edges;

	settle(c, now);
	edges = rising_edges(c, elapsed(c, now));
	if (c->edges_before + edges > c->edges_seen) {
		/* The low phase may be one clock long, or over already: the interrupt controller needs to see it. */
		irq_set(&p->irq, false);
		irq_set(&p->irq, true);
		c->edges_seen = c->edges_before + edges;
	}
	irq_set(&p->irq, out_level(c, now));
	if (c->loaded && !c->trigger_wait && !c->paused && (is_periodic(c) || edges == 0)) {
		uint64_t tick = (edges + 1) * c->reload + (c->mode >= 4);

		at = c->start_ns + ns_of_ticks(tick);
		if (ns_of_ticks(c->reload) < MIN_ALARM_NS && at < now + MIN_ALARM_NS && is_periodic(c))
			at = now + MIN_ALARM_NS;
	}
	device_alarm(&p->clock, at, alarm_rang, p);
}

static void alarm_rang(void *arg)
{
	struct i8254 *p = arg;

	update_irq(p, device_now_ns(&p->clock));
}

static void load_count(struct i8254_counter *c, uint16_t raw, uint64_t now)
{
	uint32_t v = raw;

	if (c->bcd) /* digits above 9 count as they would in the chip's decade counters */
		v = (raw >> 12) * 1000u + (raw >> 8 & 15) * 100u + (raw >> 4 & 15) * 10u + (raw & 15);
	if (v == 0)
		v = c->bcd ? 10000 : 65536;
	if (is_periodic(c) && v == 1) /* illegal in both (data sheet, "minimum count") */
		v = 2;
	if (is_periodic(c) && c->loaded) {
		if (!c->paused && !c->next_reload)
			pass_periods(c, elapsed(c, now) / c->reload);
		c->next_reload = v;
		return;
	}
	c->reload = v;
	c->next_reload = 0;
	c->edges_before = c->edges_seen = 0;
	c->start_ns = now;
	c->loaded = true;
	c->trigger_wait = c->mode == 1 || c->mode == 5;
	c->paused = !c->trigger_wait && !c->gate;
	c->paused_ticks = 0;
}

static void set_gate(struct i8254_counter *c, bool gate, uint64_t now)
{
	bool rises = gate && !c->gate;

	c->gate = gate;
	if (!c->loaded)
		return;
	if (c->mode == 1 || c->mode == 5) {
		if (rises) {
			c->trigger_wait = false;
			c->start_ns = now;
			c->edges_before = c->edges_seen = 0;
		}
		return;
	}
	if (rises) {
		/* Modes 0 and 4 go on where they stood; 2 and 3 start a period, with the new count if there is one. */
		uint64_t done = is_periodic(c) ? 0 : ns_of_ticks(c->paused_ticks);

		c->paused = false;
		c->start_ns = now > done ? now - done : 0;
		if (is_periodic(c)) {
			c->edges_before = c->edges_seen = 0;
			c->reload = c->next_reload ? c->next_reload : c->reload;
			c->next_reload = 0;
		}
	} else if (!gate && !c->paused) {
		c->paused_ticks = elapsed(c, now);
		c->paused = true;
	}
}

static void latch_count(struct i8254_counter *c, uint64_t now)
{
	if (c->latch_bytes) /* a second latch command is ignored until the first is read */
		return;
	c->latch = count_value(c, now);
	c->latch_bytes = c->access == 3 ? 2 : 1;
}

static void latch_status(struct i8254_counter *c, uint64_t now)
{
	bool null_count = !c->loaded || c->next_reload;

	if (c->status_latched)
		return;
	c->status_latch = (uint8_t)(out_level(c, now) << 7 | null_count << 6 | c->access << 4 | c->mode << 1 | c->bcd);
	c->status_latched = true;
}

static void write_control(struct i8254 *p, uint8_t v, uint64_t now)
{
	struct i8254_counter *c = &p->s.counter[v >> 6 & 3];
	uint8_t mode = v >> 1 & 7;
	bool gate;

	if (v >> 6 == CONTROL_READ_BACK) {
		for (unsigned i = 0; i < 3; i++) {
			if (!(v >> (i + 1) & 1))
				continue;
			if (!(v & READ_BACK_NO_COUNT))
				latch_count(&p->s.counter[i], now);
			if (!(v & READ_BACK_NO_STATUS))
				latch_status(&p->s.counter[i], now);
		}
		return;
	}
	if ((v >> 4 & 3) == CONTROL_LATCH) {
		latch_count(c, now);
		return;
	}
	gate = c->gate;
	*c = (struct i8254_counter){
	    .access = v >> 4 & 3,
	    .mode = mode > 5 ? mode - 4 : mode, /* 6 and 7 are 2 and 3 */
	    .bcd = v & 1,
	    .gate = gate,
	    .reload = 65536,
	};
}

static void write_count(struct i8254_counter *c, uint8_t v, uint64_t now)
{
	switch (c->access) {
	case 1:
		load_count(c, v, now);
		break;
	case 2:
		load_count(c, (uint16_t)(v << 8), now);
		break;
	case 3:
		if (!c->write_high_next) {
			c->low_written = v;
			if (c->mode == 0) /* the first byte stops the count */
				c->loaded = false;
		} else {
			load_count(c, (uint16_t)(v << 8 | c->low_written), now);
		}
		c->write_high_next = !c->write_high_next;
		break;
	default: /* not programmed since reset */
		break;
	}
}

static void pit_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct i8254 *p = opaque;
	uint64_t now = device_now_ns(&p->clock);
	unsigned n = off & 3;

	for (unsigned i = 0; i < 3; i++)
		settle(&p->s.counter[i], now);
	if (n == 3)
		write_control(p, (uint8_t)value, now);
	else
		write_count(&p->s.counter[n], (uint8_t)value, now);
	update_irq(p, now);
}

static uint64_t pit_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct i8254 *p = opaque;
	uint64_t now = device_now_ns(&p->clock);
	struct i8254_counter *c;
	uint16_t v;
	bool high;

	if ((off & 3) == 3) /* the control word cannot be read */
		return 0xff;
	c = &p->s.counter[off & 3];
	settle(c, now);
	if (c->status_latched) {
		c->status_latched = false;
		return c->status_latch;
	}
	if (c->latch_bytes) {
		high = c->access == 2 || (c->access == 3 && c->latch_bytes == 1);
		c->latch_bytes--;
		v = c->latch;
	} else {
		high = c->access == 2 || (c->access == 3 && c->read_high_next);
		if (c->access == 3)
			c->read_high_next = !c->read_high_next;
		v = count_value(c, now);
	}
	return high ? v >> 8 : v & 0xff;
}

static uint64_t port61_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct i8254 *p = opaque;
	uint64_t now = device_now_ns(&p->clock);
	uint8_t v = p->s.port61;

	settle(&p->s.counter[2], now);
	if (out_level(&p->s.counter[2], now))
		v |= PORT61_OUT2;
	/* The refresh request toggles every 15.085 us: 18 clocks. */
	if (ticks_of_ns(now) / 18 & 1)
		v |= PORT61_REFRESH;
	return v;
}

static void port61_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct i8254 *p = opaque;
	uint64_t now = device_now_ns(&p->clock);

	p->s.port61 = value & 0x0f;
	settle(&p->s.counter[2], now);
	set_gate(&p->s.counter[2], value & PORT61_GATE2, now);
}

const struct io_ops i8254_ops = {pit_read, pit_write};
const struct io_ops i8254_port61_ops = {port61_read, port61_write};

void i8254_init(struct i8254 *p, const struct clock_ops *clock, const struct irq_line *irq)
{
	memset(p, 0, sizeof(*p));
	p->clock = *clock;
	p->irq = *irq;
	i8254_reset(p);
}

void i8254_reset(struct i8254 *p)
{
	memset(&p->s, 0, sizeof(p->s));
	for (unsigned i = 0; i < 3; i++) {
		p->s.counter[i].reload = 65536;
		p->s.counter[i].gate = i != 2;
	}
	i8254_stop(p);
	irq_set(&p->irq, false);
}

void i8254_stop(struct i8254 *p) { device_alarm(&p->clock, DEVICE_NO_ALARM, alarm_rang, p); }
