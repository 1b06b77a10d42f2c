/* SPDX-License-Identifier: MIT */
#include "vmm/board/i8259.h"

#include <string.h>

enum { MASTER, SLAVE, CASCADE = 2, NONE = -1 };
enum { ICW1 = 0x10, ICW1_ICW4 = 0x01, ICW1_SINGLE = 0x02, ICW1_LEVEL = 0x08 };
enum { ICW4_AUTO_EOI = 0x02, ICW4_FULLY_NESTED = 0x10 };
enum { OCW3 = 0x08, OCW3_POLL = 0x04, OCW3_ESMM = 0x40, OCW3_SMM = 0x20 };
enum ocw2 {
	OCW2_ROTATE_AUTO_CLEAR,
	OCW2_EOI,
	OCW2_NOP,
	OCW2_EOI_SPECIFIC,
	OCW2_ROTATE_AUTO_SET,
	OCW2_ROTATE_EOI,
	OCW2_SET_PRIORITY,
	OCW2_ROTATE_EOI_SPECIFIC,
};

static bool is_master(const struct i8259 *c) { return c == &c->pair->chip[MASTER]; }

static bool is_level(const struct i8259 *c, unsigned n)
{
	return c->s.all_level || (c->s.elcr >> n & 1) || (is_master(c) && n == CASCADE);
}

/* The set bit of `bits` with the highest priority, or NONE; *rank is 0 for the highest. */
static int highest(const struct i8259_state *s, uint8_t bits, unsigned *rank)
{
	for (unsigned r = 0; r < 8; r++) {
		unsigned n = (s->lowest + 1u + r) & 7;

		if (bits >> n & 1) {
			*rank = r;
			return (int)n;
		}
	}
	*rank = 8;
	return NONE;
}

/* The input that INT announces now, or NONE. */
static int pending(const struct i8259 *c)
{
	uint8_t blocking = c->s.isr;
	unsigned request_rank, service_rank;
	int n;

	/* Special mask mode: a masked level in service lets lower ones through. */
	if (c->s.special_mask)
		blocking &= (uint8_t)~c->s.imr;
	/* Special fully nested mode: a slave in service may interrupt again. */
	if (c->s.special_fully_nested && is_master(c))
		blocking &= (uint8_t) ~(1 << CASCADE);
	n = highest(&c->s, c->s.irr & ~c->s.imr, &request_rank);
	highest(&c->s, blocking, &service_rank);
	return request_rank < service_rank ? n : NONE;
}

static void set_input(struct i8259 *c, unsigned n, bool level)
{
	uint8_t bit = (uint8_t)(1 << n);
	bool was = c->s.lines & bit;

	c->s.lines = level ? c->s.lines | bit : c->s.lines & (uint8_t)~bit;
	if (is_level(c, n))
		c->s.irr = level ? c->s.irr | bit : c->s.irr & (uint8_t)~bit;
	else if (level && !was)
		c->s.irr |= bit;
}

static void update(struct i8259_pair *p)
{
	set_input(&p->chip[MASTER], CASCADE, pending(&p->chip[SLAVE]) != NONE);
	irq_set(&p->out, pending(&p->chip[MASTER]) != NONE);
}

void i8259_set_irq(void *pair, unsigned n, bool level)
{
	struct i8259_pair *p = pair;

	if (n > 15 || n == CASCADE)
		return;
	set_input(&p->chip[n >> 3], n & 7, level);
	update(p);
}

static void take(struct i8259 *c, int n)
{
	if (c->s.auto_eoi) {
		if (c->s.rotate_on_auto_eoi)
			c->s.lowest = (uint8_t)n;
	} else {
		c->s.isr |= (uint8_t)(1 << n);
	}
	if (!is_level(c, (unsigned)n))
		c->s.irr &= (uint8_t) ~(1 << n);
}

uint8_t i8259_acknowledge(struct i8259_pair *p)
{
	struct i8259 *c = &p->chip[MASTER];
	int n = pending(c);
	uint8_t vector;

	if (n != NONE)
		take(c, n);
	if (n == CASCADE) {
		c = &p->chip[SLAVE];
		n = pending(c);
		if (n != NONE)
			take(c, n);
	}
	/* Nothing to deliver: input 7 without its ISR bit (8259A data sheet, "edge and level triggered modes"). */
	vector = (uint8_t)(c->s.vector_base + (n == NONE ? 7 : n));
	update(p);
	return vector;
}

static void write_icw1(struct i8259 *c, uint8_t v)
{
	struct i8259_state *s = &c->s;

	s->imr = 0;
	s->isr = 0;
	s->lowest = 7;
	s->auto_eoi = s->rotate_on_auto_eoi = false;
	s->special_mask = s->special_fully_nested = false;
	s->poll = s->read_isr = false;
	s->single = v & ICW1_SINGLE;
	s->icw4_needed = v & ICW1_ICW4;
	s->all_level = v & ICW1_LEVEL;
	s->icw = 2;
	/* The edge detector is cleared: a line that is already high needs a new edge. */
	s->irr = 0;
	for (unsigned n = 0; n < 8; n++)
		if (is_level(c, n))
			s->irr |= s->lines & (uint8_t)(1 << n);
}

static void write_ocw2(struct i8259_state *s, uint8_t v)
{
	uint8_t n = v & 7;
	unsigned rank;
	int top = highest(s, s->isr, &rank);

	switch ((enum ocw2)(v >> 5)) {
	case OCW2_ROTATE_AUTO_CLEAR:
		s->rotate_on_auto_eoi = false;
		break;
	case OCW2_ROTATE_AUTO_SET:
		s->rotate_on_auto_eoi = true;
		break;
	case OCW2_EOI:
	case OCW2_ROTATE_EOI:
		if (top == NONE)
			break;
		s->isr &= (uint8_t) ~(1 << top);
		if (v >> 5 == OCW2_ROTATE_EOI)
			s->lowest = (uint8_t)top;
		break;
	case OCW2_EOI_SPECIFIC:
		s->isr &= (uint8_t) ~(1 << n);
		break;
	case OCW2_ROTATE_EOI_SPECIFIC:
		s->isr &= (uint8_t) ~(1 << n);
		s->lowest = n;
		break;
	case OCW2_SET_PRIORITY:
		s->lowest = n;
		break;
	case OCW2_NOP:
		break;
	}
}

static void write_ocw3(struct i8259_state *s, uint8_t v)
{
	if (v & OCW3_POLL)
		s->poll = true;
	if (v & 2)
		s->read_isr = v & 1;
	if (v & OCW3_ESMM)
		s->special_mask = v & OCW3_SMM;
}

static void write_data(struct i8259_state *s, uint8_t v)
{
	switch (s->icw) {
	case 2:
		s->vector_base = v & 0xf8;
		s->icw = s->single ? (s->icw4_needed ? 4 : 0) : 3;
		break;
	case 3: /* which input carries the slave: wired, not programmable here */
		s->icw = s->icw4_needed ? 4 : 0;
		break;
	case 4:
		s->auto_eoi = v & ICW4_AUTO_EOI;
		s->special_fully_nested = v & ICW4_FULLY_NESTED;
		s->icw = 0;
		break;
	default:
		s->imr = v;
		break;
	}
}

static void chip_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct i8259 *c = opaque;
	uint8_t v = (uint8_t)value;

	if (off & 1)
		write_data(&c->s, v);
	else if (v & ICW1)
		write_icw1(c, v);
	else if (v & OCW3)
		write_ocw3(&c->s, v);
	else
		write_ocw2(&c->s, v);
	update(c->pair);
}

static uint64_t chip_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct i8259 *c = opaque;

	if (c->s.poll) {
		int n = pending(c);

		c->s.poll = false;
		if (n == NONE)
			return 0;
		take(c, n);
		update(c->pair);
		return 0x80u | (unsigned)n;
	}
	if (off & 1)
		return c->s.imr;
	return c->s.read_isr ? c->s.isr : c->s.irr;
}

static uint64_t elcr_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct i8259_pair *p = opaque;

	return p->chip[off & 1].s.elcr;
}

static void elcr_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct i8259_pair *p = opaque;
	struct i8259 *c = &p->chip[off & 1];

	c->s.elcr = (uint8_t)value & c->elcr_writable;
	for (unsigned n = 0; n < 8; n++)
		set_input(c, n, c->s.lines >> n & 1);
	update(p);
}

const struct io_ops i8259_ops = {chip_read, chip_write};
const struct io_ops i8259_elcr_ops = {elcr_read, elcr_write};

void i8259_init(struct i8259_pair *p, const struct irq_line *out)
{
	memset(p, 0, sizeof(*p));
	p->out = *out;
	p->chip[MASTER].pair = p->chip[SLAVE].pair = p;
	p->chip[MASTER].elcr_writable = 0xf8; /* 0, 1 and the cascade are always edges */
	p->chip[SLAVE].elcr_writable = 0xde;  /* so are 8 and 13 */
	i8259_reset(p);
}

void i8259_reset(struct i8259_pair *p)
{
	for (unsigned i = 0; i < 2; i++) {
		/* The pins belong to the devices, which lower them in their own reset. */
		uint8_t lines = p->chip[i].s.lines;

		p->chip[i].s = (struct i8259_state){.imr = 0xff, .lowest = 7, .lines = lines};
	}
	p->chip[SLAVE].s.elcr = 1 << (10 - 8) | 1 << (11 - 8);
	update(p);
}
