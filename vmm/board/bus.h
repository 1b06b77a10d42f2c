/* SPDX-License-Identifier: MIT */
#ifndef VMM_BOARD_BUS_H
#define VMM_BOARD_BUS_H

/*
 * One address space of the board: guest physical, PCI memory, or PCI I/O.  A short table of ranges, first match wins,
 * so that whoever is added first shadows the rest (ISA chips before PCI BARs).
 */
#include "vmm/board/device.h"

enum bus_lanes {
	BUS_LANES_LITTLE, /* byte n of the register is at address n on either endianness: PCI, the GT-64120's registers */
	BUS_LANES_WORD,   /* a 32-bit word keeps its value on either endianness: the CBUS */
};

struct bus_range {
	uint64_t base;
	uint64_t bytes;
	const struct io_ops *ops;
	void *opaque;
	uint8_t width; /* widest access that ops takes: 1, 2 or 4; wider ones are split, lowest address first */
	uint8_t lanes; /* enum bus_lanes */
};

enum { BUS_MAX_RANGES = 256 };

struct bus {
	unsigned count;
	struct bus_range range[BUS_MAX_RANGES];
};

/* Returns 0, -EINVAL (empty, wraps around, or width not 1/2/4), -ENOSPC. */
MUST_CHECK int bus_add(struct bus *b, const struct bus_range *r);

/* Forget every range from index `keep` on. */
void bus_truncate(struct bus *b, unsigned keep);

/* NULL when nobody decodes addr.  Cost: O(ranges). */
const struct bus_range *bus_find(const struct bus *b, uint64_t addr);

/*
 * Little-endian access of 1..8 bytes at any alignment; bytes that nobody decodes read as ones and are dropped on write.
 * *claimed is set when at least one byte was decoded, else left alone.
 */
uint64_t bus_read(const struct bus *b, uint64_t addr, unsigned bytes, bool *claimed);
void bus_write(const struct bus *b, uint64_t addr, uint64_t value, unsigned bytes, bool *claimed);

static inline uint64_t bus_mask(unsigned bytes) { return bytes >= 8 ? UINT64_MAX : (1ull << (8 * bytes)) - 1; }

#endif
