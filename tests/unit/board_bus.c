/* SPDX-License-Identifier: MIT */
/* The board as a whole: address map, big-endian lanes, the console, and anything a hostile guest may do. */
#include <criterion/criterion.h>

#include "tests/unit/board_fake.h"
#include "vmm/board/bus.h"

struct log {
	unsigned n;
	uint32_t off[16];
	unsigned bytes[16];
};

static uint64_t log_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct log *l = opaque;

	l->off[l->n % 16] = off;
	l->bytes[l->n++ % 16] = bytes;
	return 0x0807060504030201 >> (8 * (off & 7));
}
static void log_write(void *opaque, uint32_t off, uint64_t v, unsigned bytes) { log_read(opaque, off, bytes); }
static const struct io_ops log_ops = {log_read, log_write};

Test(board_bus, splits_and_clips)
{
	struct bus *b = calloc(1, sizeof(*b));
	struct log l = {0};
	bool claimed = false;

	cr_assert_eq(
	    bus_add(b, &(struct bus_range){.base = 0x100, .bytes = 6, .ops = &log_ops, .opaque = &l, .width = 2}), 0);
	cr_assert_eq(bus_read(b, 0x100, 8, &claimed), 0xffff060504030201);
	cr_assert(claimed);
	cr_assert_eq(l.n, 3);
	cr_assert_eq(l.bytes[2], 2);
	l.n = 0;
	cr_assert_eq(bus_read(b, 0x101, 4, &claimed), 0x05040302);
	cr_assert(l.n == 3 && l.bytes[0] == 1 && l.bytes[1] == 2 && l.bytes[2] == 1);
	l.n = 0;
	cr_assert_eq(bus_read(b, 0xfe, 4, &claimed), 0x0201ffff);
	claimed = false;
	bus_write(b, 0x106, 0, 4, &claimed);
	cr_assert_not(claimed);
	cr_assert_eq(bus_read(b, UINT64_MAX - 1, 8, &claimed), UINT64_MAX, "wraps without harm");
	cr_assert_lt(bus_add(b, &(struct bus_range){.base = 1, .bytes = 0, .width = 1}), 0);
	cr_assert_lt(bus_add(b, &(struct bus_range){.base = UINT64_MAX, .bytes = 2, .width = 1}), 0);
	cr_assert_lt(bus_add(b, &(struct bus_range){.base = 1, .bytes = 2, .width = 8}), 0);
	for (unsigned i = b->count; i < BUS_MAX_RANGES; i++)
		cr_assert_eq(bus_add(b, &(struct bus_range){.base = 1, .bytes = 2, .ops = &log_ops, .width = 1}), 0);
	cr_assert_lt(bus_add(b, &(struct bus_range){.base = 1, .bytes = 2, .ops = &log_ops, .width = 1}), 0);
	free(b);
}

Test(board_bus, fixed_addresses)
{
	for (unsigned big = 0; big < 2; big++) {
		struct fake_board f;

		cr_assert(fake_board_init(&f, big));
		cr_assert_eq(fake_read(&f, 0x1fc00010, 4), 0x420, "REVISION: Malta, CoreLV");
		cr_assert_eq(fake_read(&f, 0x1fc00010 + (big ? 3 : 0), 1), 0x20);
		cr_assert_eq(fake_read(&f, 0x1fc00010 + (big ? 2 : 0), 2), 0x420);
		cr_assert_eq(fake_read(&f, 0x1fc00010, 8), big ? 0x00000420ffffffff : 0xffffffff00000420);
		cr_assert_eq(fake_read(&f, 0x1e000000, 4), 0xffffffff);
		cr_assert_eq(fake_read(&f, 0x1f000208, 4), big ? 0x12 : 0x10, "STATUS shows the endianness");
		cr_assert_eq(fake_read(&f, 0x1f000210, 4), 0, "PCI clock 33 MHz");
		fake_write(&f, 0x1f000408, 0x5a, 4);
		cr_assert_eq(fake_read(&f, 0x1f000408, 4), 0x5a);
		fake_write(&f, 0x1f000410, 0x1234abcd, 4);
		cr_assert_eq(fake_read(&f, 0x1f000418, 4), '1');
		cr_assert_eq(fake_read(&f, 0x1f000450, 4), 'D');
		fake_write(&f, 0x1f000420, 'X', 4);
		cr_assert_eq(fake_read(&f, 0x1f000420, 4), 'X');
		cr_assert_eq(fake_read(&f, 0x1f000b00, 4), 3, "the I2C lines are pulled up");
		fake_write(&f, 0x1f000b10, 1, 4);
		fake_write(&f, 0x1f000b08, 3, 4);
		cr_assert_eq(fake_read(&f, 0x1f000b00, 4), 1);
		board_free(f.b);
	}
}

Test(board_bus, cbus_uart)
{
	for (unsigned big = 0; big < 2; big++) {
		struct fake_board f;

		cr_assert(fake_board_init(&f, big));
		fake_write(&f, 0x1f000938, 0x5a, 4);
		cr_assert_eq(fake_read(&f, 0x1f000938, 4) & 0xff, 0x5a);
		fake_write(&f, 0x1f000908, 2, 4);
		cr_assert(f.cpu[4].level, "CPU pin 4");
		cr_assert_eq(fake_read(&f, 0x1f000910, 4) & 0xff, 2);
		cr_assert_not(f.cpu[4].level);
		board_free(f.b);
	}
}

Test(board_bus, big_endian_lanes)
{
	struct fake_board f;

	cr_assert(fake_board_init(&f, true));
	fake_boot_stub(&f, true);
	cr_assert_eq(fake_read(&f, FAKE_GT + 0x68, 4), 0xdf000000, "register byte 0 is at the register's address");
	cr_assert_eq(fake_read(&f, FAKE_GT + 0x68, 1), 0xdf);
	cr_assert_eq(fake_read(&f, FAKE_GT + 0x68, 2), 0xdf00);
	cr_assert_eq(fake_read(&f, FAKE_GT + 0x68, 8), 0xdf00000000000000);
	cr_assert_eq(fake_gt_get(&f, true, 0), 0, "CPU configuration: big-endian");
	/* Linux: PCI0_CMD = 0, device 0 through le32, all others raw. */
	cr_assert_eq(fake_gt_get(&f, true, 0xc00), 0);
	fake_gt_put(&f, true, 0xcf8, 0x80000000);
	cr_assert_eq(fake_gt_get(&f, true, 0xcfc), 0x462011ab);
	fake_gt_put(&f, true, 0xcf8, 0x80000000 | 10 << 11);
	cr_assert_eq(fake_read(&f, FAKE_GT + 0xcfc, 4), 0x71108086);
	cr_assert_eq(fake_read(&f, FAKE_GT + 0xcfc, 2), 0x7110);
	cr_assert_eq(fake_read(&f, FAKE_GT + 0xcff, 1), 0x86);
	fake_gt_put(&f, true, 0xcf8, 0x80000000 | 10 << 11 | 3 << 8 | 0x40);
	fake_write(&f, FAKE_GT + 0xcfc, 0x1001, 4);
	cr_assert_eq(fake_read(&f, FAKE_GT + 0xcfc, 4), 0x1001);
	/* Ports are bytes at their own address. */
	fake_out(&f, 0x3ff, 0x5a);
	cr_assert_eq(fake_in(&f, 0x3ff), 0x5a);
	/* A 16-bit port register has its low byte first. */
	fake_gt_put(&f, true, 0xcf8, 0x80000000 | 10 << 11 | 3 << 8 | 0x80);
	fake_write(&f, FAKE_GT + 0xcfc, 1, 4);
	fake_write(&f, FAKE_IO + 0x1004, 0x0020, 2); /* 1 << 13, swapped as SWAP_IO_SPACE does */
	cr_assert_eq(f.power_offs, 1);
	board_free(f.b);
}

Test(board_bus, console)
{
	struct fake_board f;
	static const uint8_t text[] = "0123456789abcdefghij";

	cr_assert(fake_board_init(&f, false));
	fake_boot_stub(&f, false);
	for (const char *p = "boot"; *p; p++)
		fake_out(&f, 0x3f8, (uint8_t)*p);
	fake_out(&f, 0x2f8, '!'); /* ttyS1 is not connected */
	cr_assert_eq(f.tx_bytes, 4);
	cr_assert_arr_eq(f.tx, "boot", 4);
	fake_out(&f, 0x3fa, 0x01);
	fake_out(&f, 0x3f9, 0x01);
	cr_assert_eq(board_console_room(f.b), 16);
	cr_assert_eq(board_console_rx(f.b, text, 20), 16);
	cr_assert_eq(board_console_room(f.b), 0);
	fake_out(&f, 0x20, 0x11);
	fake_out(&f, 0x21, 0);
	fake_out(&f, 0x21, 4);
	fake_out(&f, 0x21, 1);
	fake_out(&f, 0x21, 0);
	cr_assert_not(f.cpu[2].level, "an edge from before ICW1 is forgotten");
	for (unsigned i = 0; i < 16; i++)
		cr_assert_eq(fake_in(&f, 0x3f8), text[i]);
	cr_assert_eq(board_console_rx(f.b, text + 16, 4), 4);
	cr_assert(f.cpu[2].level);
	cr_assert_eq(fake_gt_get(&f, false, 0xc34), 4);
	board_free(f.b);
}

Test(board_bus, two_boards_do_not_share)
{
	struct fake_board f, g;

	cr_assert(fake_board_init(&f, false));
	cr_assert(fake_board_init(&g, true));
	fake_boot_stub(&f, false);
	fake_out(&f, 0x3ff, 0x11);
	cr_assert_eq(fake_read(&g, 0x14000068, 4), 0xa0000000);
	fake_boot_stub(&g, true);
	cr_assert_eq(fake_in(&g, 0x3ff), 0);
	fake_out(&g, 0x3ff, 0x22);
	cr_assert_eq(fake_in(&f, 0x3ff), 0x11);
	board_free(f.b);
	board_free(g.b);
}

Test(board_bus, a_board_without_a_clock_is_refused)
{
	struct board *b;

	cr_assert_lt(board_new(&b, &(struct board_config){.ram_bytes = 1}), 0);
	board_free(NULL);
}

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Mostly near something: ports, GT registers, FPGA, flash, PCI memory; and now and then anywhere. */
static uint64_t hostile_address(uint64_t *seed)
{
	uint64_t r = next(seed);

	switch (r & 15) {
	case 0 ... 4:
		return FAKE_IO + (r >> 8 & 0xfff);
	case 5:
		return FAKE_IO + (r >> 8 & 0x1fffff);
	case 6 ... 8:
		return FAKE_GT + (r >> 8 & 0xfff);
	case 9:
		return 0x14000000 + (r >> 8 & 0xfff);
	case 10:
		return 0x1f000000 + (r >> 8 & 0xfff);
	case 11:
		return 0x1e000000 + (r >> 8 & 0x1ffffff);
	case 12:
		return FAKE_GT + 0xcf8 + (r >> 8 & 7);
	case 13:
		return 0x10000000 + (r >> 8 & 0x7ffffff);
	case 14:
		return r >> 8 & 0xffffffff;
	default:
		return next(seed);
	}
}

static void hostile_config(struct fake_board *f, uint64_t *seed)
{
	uint64_t r = next(seed);
	unsigned slot = r & 1 ? 10 : r >> 1 & 31;

	fake_config_write(f, slot, r >> 8 & 3, r >> 16 & 0xff, (uint32_t)(r >> 32));
}

static void hostile_run(bool big, uint64_t seed, unsigned steps)
{
	struct fake_board f;
	uint64_t claimed_reads = 0;

	cr_assert(fake_board_init(&f, big));
	f.reset_at_once = true;
	for (unsigned i = 0; i < steps; i++) {
		uint64_t r = next(&seed), pa = hostile_address(&seed);
		unsigned bytes = r & 0x10000 ? 1u << (r >> 20 & 3) : r >> 20 & 15;
		bool claimed;

		if (i % 256 == 0)
			fake_boot_stub(&f, big);
		if (r & 1) {
			uint64_t v = board_read(f.b, gpa(pa), bytes, &claimed);

			claimed_reads += claimed;
			if (bytes && bytes < 8)
				cr_assert_eq(v >> (8 * bytes), 0);
			if (!claimed && bytes && bytes <= 8)
				cr_assert_eq(v, bus_mask(bytes));
		} else {
			board_write(f.b, gpa(pa), next(&seed), bytes, &claimed);
		}
		if (r >> 40 < 0x40000)
			hostile_config(&f, &seed);
		if ((r >> 32 & 0xff) == 0)
			board_console_rx(f.b, (const uint8_t *)&seed, 8);
		f.clock.now += r >> 48 & 0xff;
		if ((r >> 24 & 0x3ff) == 0)
			fake_advance(&f.clock, 100000);
	}
	cr_assert_gt(claimed_reads, steps / 8);
	board_free(f.b);
	cr_assert_eq(fake_alarms_left(&f.clock), 0);
}

Test(board_bus, hostile_little_endian) { hostile_run(false, 0x123456789abcdef, 1000000); }
Test(board_bus, hostile_big_endian) { hostile_run(true, 0xfedcba987654321, 1000000); }
