/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_BOARD_FAKE_H
#define TESTS_UNIT_BOARD_FAKE_H

/* Virtual time in the test's hand, recorders for interrupt lines, and access to chips and boards. */
#include <string.h>

#include "vmm/board/board.h"
#include "vmm/board/device.h"

enum { FAKE_ALARMS = 16 };

struct fake_clock {
	uint64_t now;
	uint64_t date_base, skipped; /* the date is date_base + now - skipped */
	unsigned skips;
	bool skip_forbidden;
	unsigned rung;
	struct {
		uint64_t at;
		void (*fn)(void *);
		void *arg;
	} alarm[FAKE_ALARMS];
};

static inline uint64_t fake_now(void *opaque) { return ((struct fake_clock *)opaque)->now; }

static inline void fake_alarm(void *opaque, uint64_t at_ns, void (*fn)(void *), void *arg)
{
	struct fake_clock *c = opaque;
	unsigned slot = FAKE_ALARMS;

	for (unsigned i = 0; i < FAKE_ALARMS; i++) {
		if (c->alarm[i].fn == fn && c->alarm[i].arg == arg) {
			slot = i;
			break;
		}
		if (!c->alarm[i].fn && slot == FAKE_ALARMS)
			slot = i;
	}
	if (slot == FAKE_ALARMS)
		panic("too many alarms");
	c->alarm[slot].at = at_ns;
	c->alarm[slot].fn = at_ns == UINT64_MAX ? NULL : fn;
	c->alarm[slot].arg = arg;
}

/* Go to `to`, ringing every alarm on the way at its own time. */
static inline void fake_advance_to(struct fake_clock *c, uint64_t to)
{
	for (;;) {
		unsigned best = FAKE_ALARMS;
		void (*fn)(void *);

		for (unsigned i = 0; i < FAKE_ALARMS; i++)
			if (c->alarm[i].fn && c->alarm[i].at <= to &&
			    (best == FAKE_ALARMS || c->alarm[i].at < c->alarm[best].at))
				best = i;
		if (best == FAKE_ALARMS)
			break;
		if (c->alarm[best].at > c->now)
			c->now = c->alarm[best].at;
		fn = c->alarm[best].fn;
		c->alarm[best].fn = NULL;
		c->rung++;
		fn(c->alarm[best].arg);
	}
	if (to > c->now)
		c->now = to;
}

static inline void fake_advance(struct fake_clock *c, uint64_t ns) { fake_advance_to(c, c->now + ns); }

static inline uint64_t fake_skip(void *opaque, uint64_t at_ns)
{
	struct fake_clock *c = opaque;

	uint64_t from = c->now;

	c->skips++;
	if (!c->skip_forbidden)
		fake_advance_to(c, at_ns);
	c->skipped += c->now - from;
	return c->now - from;
}

static inline uint64_t fake_date(void *opaque)
{
	const struct fake_clock *c = opaque;

	return c->date_base + c->now - c->skipped;
}

static inline struct clock_ops fake_clock_ops(struct fake_clock *c)
{
	return (struct clock_ops){fake_now, fake_alarm, fake_skip, fake_date, c};
}

static inline unsigned fake_alarms_left(const struct fake_clock *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FAKE_ALARMS; i++)
		n += c->alarm[i].fn != NULL;
	return n;
}

struct fake_irq {
	bool level;
	unsigned rises;
};

static inline void fake_irq_set(void *opaque, unsigned n, bool level)
{
	struct fake_irq *i = &((struct fake_irq *)opaque)[n];

	i->rises += level && !i->level;
	i->level = level;
}

static inline struct irq_line fake_irq_line(struct fake_irq *i) { return (struct irq_line){fake_irq_set, i, 0}; }

/* One byte register of a chip. */
static inline uint8_t chip_in(const struct io_ops *ops, void *chip, uint32_t off)
{
	return (uint8_t)ops->read(chip, off, 1);
}
static inline void chip_out(const struct io_ops *ops, void *chip, uint32_t off, uint8_t v)
{
	ops->write(chip, off, v, 1);
}

/* A whole board. */
struct fake_board {
	struct board *b;
	struct fake_clock clock;
	struct fake_irq cpu[8];
	unsigned power_offs, resets;
	bool reset_at_once; /* do what the monitor does: reset the board from the callback */
	uint8_t tx[256];
	size_t tx_bytes;
};

static inline void fake_tx(void *opaque, const uint8_t *data, size_t n)
{
	struct fake_board *f = opaque;

	for (size_t i = 0; i < n; i++)
		f->tx[f->tx_bytes++ % sizeof(f->tx)] = data[i];
}
static inline void fake_power_off(void *opaque) { ((struct fake_board *)opaque)->power_offs++; }
static inline void fake_reset(void *opaque)
{
	struct fake_board *f = opaque;

	f->resets++;
	if (f->reset_at_once)
		board_reset(f->b);
}

static inline bool fake_board_init(struct fake_board *f, bool big_endian)
{
	struct board_config cfg = {
	    .ram_bytes = 64 << 20,
	    .big_endian = big_endian,
	    .console_tx = fake_tx,
	    .power_off = fake_power_off,
	    .reset = fake_reset,
	    .opaque = f,
	};

	memset(f, 0, sizeof(*f));
	f->clock.date_base = 1000000000ull * 1000000000u; /* 2001-09-09 */
	cfg.clock = fake_clock_ops(&f->clock);
	for (unsigned i = 0; i < 8; i++)
		cfg.cpu_irq[i] = (struct irq_line){fake_irq_set, f->cpu, i};
	return board_new(&f->b, &cfg) == 0;
}

static inline uint64_t fake_read(struct fake_board *f, uint64_t pa, unsigned bytes)
{
	bool claimed;

	return board_read(f->b, gpa(pa), bytes, &claimed);
}
static inline void fake_write(struct fake_board *f, uint64_t pa, uint64_t v, unsigned bytes)
{
	bool claimed;

	board_write(f->b, gpa(pa), v, bytes, &claimed);
}

/* What the boot stub does: GT-64120 registers to 0x1be00000, I/O at 0x18000000, memory at 0x10000000 and 0x18200000. */
enum { FAKE_GT = 0x1be00000, FAKE_IO = 0x18000000 };

static inline uint32_t fake_gt_swap(const struct fake_board *f, bool big_endian, uint32_t v)
{
	return big_endian ? __builtin_bswap32(v) : v;
}
static inline void fake_gt_put(struct fake_board *f, bool big_endian, uint32_t off, uint32_t v)
{
	fake_write(f, FAKE_GT + off, fake_gt_swap(f, big_endian, v), 4);
}
static inline uint32_t fake_gt_get(struct fake_board *f, bool big_endian, uint32_t off)
{
	return fake_gt_swap(f, big_endian, (uint32_t)fake_read(f, FAKE_GT + off, 4));
}
static inline void fake_boot_stub(struct fake_board *f, bool big_endian)
{
	static const uint32_t setup[][2] = {{0x48, 0xc0}, {0x50, 0x40}, {0x58, 0x80},
					    {0x60, 0x3f}, {0x80, 0xc1}, {0x88, 0x5e}};

	fake_write(f, 0x14000068, fake_gt_swap(f, big_endian, 0xdf), 4);
	for (unsigned i = 0; i < ARRAY_LEN(setup); i++)
		fake_gt_put(f, big_endian, setup[i][0], setup[i][1]);
}

static inline uint8_t fake_in(struct fake_board *f, uint16_t port) { return (uint8_t)fake_read(f, FAKE_IO + port, 1); }
static inline void fake_out(struct fake_board *f, uint16_t port, uint8_t v) { fake_write(f, FAKE_IO + port, v, 1); }

/* Linux's gt64xxx_pci0_pcibios_config_access(), little-endian. */
static inline uint32_t fake_config_read(struct fake_board *f, unsigned slot, unsigned fn, unsigned reg)
{
	fake_write(f, FAKE_GT + 0xcf8, 0x80000000u | slot << 11 | fn << 8 | (reg & 0xfc), 4);
	return (uint32_t)fake_read(f, FAKE_GT + 0xcfc, 4);
}
static inline void fake_config_write(struct fake_board *f, unsigned slot, unsigned fn, unsigned reg, uint32_t v)
{
	fake_write(f, FAKE_GT + 0xcf8, 0x80000000u | slot << 11 | fn << 8 | (reg & 0xfc), 4);
	fake_write(f, FAKE_GT + 0xcfc, v, 4);
}

#endif
