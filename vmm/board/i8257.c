/* SPDX-License-Identifier: MIT */
#include "vmm/board/i8257.h"

#include <string.h>

enum reg {
	REG_COMMAND = 8, /* reads: status */
	REG_REQUEST,
	REG_MASK_ONE,
	REG_MODE,
	REG_CLEAR_POINTER,
	REG_MASTER_CLEAR, /* reads: temporary */
	REG_CLEAR_MASK,
	REG_MASK_ALL,
};

static void master_clear(struct i8257_state *s)
{
	s->command = s->request = 0;
	s->high_next = false;
	s->mask = 0x0f;
}

static uint16_t put_half(uint16_t old, uint8_t v, bool high)
{
	return high ? (uint16_t)((old & 0xff) | v << 8) : (uint16_t)((old & 0xff00) | v);
}

static void write_channel(struct i8257_state *s, unsigned reg, uint8_t v)
{
	struct i8257_channel *c = &s->channel[reg >> 1];

	if (reg & 1)
		c->base_count = c->count = put_half(c->base_count, v, s->high_next);
	else
		c->base_address = c->address = put_half(c->base_address, v, s->high_next);
	s->high_next = !s->high_next;
}

static void dma_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct i8257 *d = opaque;
	struct i8257_state *s = &d->s;
	unsigned reg = off >> d->shift & 15;
	uint8_t v = (uint8_t)value;
	uint8_t bit = (uint8_t)(1 << (v & 3));

	switch (reg) {
	case REG_COMMAND:
		s->command = v;
		break;
	case REG_REQUEST:
		s->request = v & 4 ? s->request | bit : s->request & (uint8_t)~bit;
		break;
	case REG_MASK_ONE:
		s->mask = v & 4 ? s->mask | bit : s->mask & (uint8_t)~bit;
		break;
	case REG_MODE:
		s->channel[v & 3].mode = v;
		break;
	case REG_CLEAR_POINTER:
		s->high_next = false;
		break;
	case REG_MASTER_CLEAR:
		master_clear(s);
		break;
	case REG_CLEAR_MASK:
		s->mask = 0;
		break;
	case REG_MASK_ALL:
		s->mask = v & 0x0f;
		break;
	default:
		write_channel(s, reg, v);
		break;
	}
}

static uint64_t dma_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct i8257 *d = opaque;
	struct i8257_state *s = &d->s;
	unsigned reg = off >> d->shift & 15;
	uint16_t v;

	if (reg == REG_COMMAND)
		return (uint64_t)s->request << 4; /* requests pending; no channel has reached its terminal count */
	if (reg == REG_MASK_ALL)
		return s->mask | 0xf0;
	if (reg >= REG_COMMAND)
		return 0;
	v = reg & 1 ? s->channel[reg >> 1].count : s->channel[reg >> 1].address;
	s->high_next = !s->high_next;
	return s->high_next ? v & 0xff : v >> 8;
}

static uint64_t page_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct i8257_pages *p = opaque;

	return p->page[off & 15];
}

static void page_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct i8257_pages *p = opaque;

	p->page[off & 15] = (uint8_t)value;
}

const struct io_ops i8257_ops = {dma_read, dma_write};
const struct io_ops i8257_page_ops = {page_read, page_write};

void i8257_init(struct i8257 *d, unsigned shift)
{
	d->shift = (uint8_t)shift;
	i8257_reset(d);
}

void i8257_reset(struct i8257 *d)
{
	memset(&d->s, 0, sizeof(d->s));
	master_clear(&d->s);
}
