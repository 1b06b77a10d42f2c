/* SPDX-License-Identifier: MIT */
#ifndef VMM_BOARD_DEVICE_H
#define VMM_BOARD_DEVICE_H

/*
 * How a chip of the board meets the rest: ranges of guest-physical (or ISA port) space, interrupt lines, and virtual
 * time.  Everything here runs on the vCPU thread under the board's rule "one thread in device code".
 * Chips take and give values in the CPU's view of a little-endian bus; the board does big-endian lanes.
 */
#include "base/panic.h"
#include "base/types.h"

/* An interrupt line: level 0 or 1. Chips call it; whoever is behind it (i8259, CPU pin) decides. */
struct irq_line {
	void (*set)(void *opaque, unsigned n, bool level);
	void *opaque;
	unsigned n;
};
static inline void irq_set(const struct irq_line *l, bool level)
{
	if (l->set)
		l->set(l->opaque, l->n, level);
}

/* bytes: 1, 2, 4 (8 as two 4). off: from the start of the range. Any access must return something. */
struct io_ops {
	uint64_t (*read)(void *opaque, uint32_t off, unsigned bytes);
	void (*write)(void *opaque, uint32_t off, uint64_t value, unsigned bytes);
};

/* Virtual time in ns since power-on, and a way to be called again. Implemented by vmm/monitor/clock.c, faked in tests. */
struct clock_ops {
	uint64_t (*now_ns)(void *opaque);
	/*
	 * Ask for `fn(arg)` at or after the given time; replaces the previous request for the same fn and arg;
	 * UINT64_MAX cancels.
	 */
	void (*alarm)(void *opaque, uint64_t at_ns, void (*fn)(void *arg), void *arg);
	/* Move virtual time forward to at_ns (a guest that polls), or as far as allowed. Returns how far, in ns. */
	uint64_t (*skip_to)(void *opaque, uint64_t at_ns);
	/*
	 * The date outside, in ns since 1970: the host's (--icount: a fixed one, that goes on as virtual time does).  It follows
	 * the host's clock where somebody sets that, so it may jump, and skip_to() does not move it.
	 */
	uint64_t (*date_ns)(void *opaque);
	void *opaque;
};

static inline uint64_t device_now_ns(const struct clock_ops *c) { return c->now_ns(c->opaque); }
static inline uint64_t device_date_ns(const struct clock_ops *c) { return c->date_ns(c->opaque); }
static inline void device_alarm(const struct clock_ops *c, uint64_t at_ns, void (*fn)(void *arg), void *arg)
{
	c->alarm(c->opaque, at_ns, fn, arg);
}

#define DEVICE_NO_ALARM UINT64_MAX

/* v * num / den without overflow of the product; the quotient saturates. */
static inline uint64_t device_scale(uint64_t v, uint64_t num, uint64_t den)
{
	unsigned __int128 q = (unsigned __int128)v * num / den;
	return q > UINT64_MAX ? UINT64_MAX : (uint64_t)q;
}
/* The same, rounded up: the first moment at which device_scale() of the inverse ratio reaches v. */
static inline uint64_t device_scale_up(uint64_t v, uint64_t num, uint64_t den)
{
	unsigned __int128 q = ((unsigned __int128)v * num + den - 1) / den;
	return q > UINT64_MAX ? UINT64_MAX : (uint64_t)q;
}

#endif
