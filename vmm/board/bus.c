/* SPDX-License-Identifier: MIT */
#include "vmm/board/bus.h"

#include <errno.h>

int bus_add(struct bus *b, const struct bus_range *r)
{
	if (r->bytes == 0 || r->base + (r->bytes - 1) < r->base)
		return -EINVAL;
	if (r->width != 1 && r->width != 2 && r->width != 4)
		return -EINVAL;
	if (b->count == BUS_MAX_RANGES)
		return -ENOSPC;
	b->range[b->count++] = *r;
	return 0;
}

void bus_truncate(struct bus *b, unsigned keep)
{
	if (keep < b->count)
		b->count = keep;
}

const struct bus_range *bus_find(const struct bus *b, uint64_t addr)
{
	for (unsigned i = 0; i < b->count; i++)
		if (addr - b->range[i].base < b->range[i].bytes)
			return &b->range[i];
	return NULL;
}

/* The largest naturally aligned piece that the chip takes, that is still wanted, and that ends inside the range. */
static unsigned piece_bytes(const struct bus_range *r, uint64_t off, unsigned left)
{
	unsigned n = r->width;

	while (n > 1 && (n > left || (off & (n - 1)) || n > r->bytes - off))
		n >>= 1;
	return n;
}

uint64_t bus_read(const struct bus *b, uint64_t addr, unsigned bytes, bool *claimed)
{
	uint64_t value = 0;

	/* The table is looked up again for each piece: the chip may have changed it. */
	for (unsigned i = 0, n; i < bytes; i += n) {
		const struct bus_range *r = bus_find(b, addr + i);
		uint64_t part = 0xff;

		n = 1;
		if (r) {
			uint64_t off = addr + i - r->base;

			n = piece_bytes(r, off, bytes - i);
			*claimed = true;
			part = r->ops->read(r->opaque, (uint32_t)off, n) & bus_mask(n);
		}
		value |= part << (8 * i);
	}
	return value;
}

void bus_write(const struct bus *b, uint64_t addr, uint64_t value, unsigned bytes, bool *claimed)
{
	for (unsigned i = 0, n; i < bytes; i += n) {
		const struct bus_range *r = bus_find(b, addr + i);

		n = 1;
		if (r) {
			uint64_t off = addr + i - r->base;

			n = piece_bytes(r, off, bytes - i);
			*claimed = true;
			r->ops->write(r->opaque, (uint32_t)off, (value >> (8 * i)) & bus_mask(n), n);
		}
	}
}
