/* SPDX-License-Identifier: MIT */
/* The keyboard controller and the DMA register files. */
#include <criterion/criterion.h>

#include "tests/unit/board_fake.h"
#include "vmm/board/i8042.h"
#include "vmm/board/i8257.h"

enum { OBF = 1, AUX_DATA = 0x20 };

struct rig {
	struct i8042 k;
	struct fake_irq irq;
	unsigned resets;
};

static void count_reset(void *opaque) { (*(unsigned *)opaque)++; }

static void start(struct rig *r)
{
	struct irq_line line = fake_irq_line(&r->irq);

	memset(r, 0, sizeof(*r));
	i8042_init(&r->k, &line, count_reset, &r->resets);
}

static uint8_t status(struct rig *r) { return chip_in(&i8042_command_ops, &r->k, 0); }
static uint8_t data(struct rig *r) { return chip_in(&i8042_data_ops, &r->k, 0); }
static void command(struct rig *r, uint8_t v) { chip_out(&i8042_command_ops, &r->k, 0, v); }
static void send(struct rig *r, uint8_t v) { chip_out(&i8042_data_ops, &r->k, 0, v); }

static void expect(struct rig *r, const uint8_t *bytes, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		cr_assert(status(r) & OBF, "byte %u of %u", i, n);
		cr_assert_eq(data(r), bytes[i]);
	}
	cr_assert_not(status(r) & OBF);
}
#define EXPECT(r, ...) expect(r, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* What Linux's i8042 driver asks before it registers its ports. */
Test(board_isa, i8042_probe)
{
	struct rig r;

	start(&r);
	cr_assert_not(status(&r) & OBF);
	command(&r, 0x20);
	EXPECT(&r, 0x41);
	command(&r, 0x60);
	send(&r, 0x30);
	command(&r, 0x20);
	EXPECT(&r, 0x30);
	command(&r, 0xaa);
	EXPECT(&r, 0x55);
	cr_assert(status(&r) & 0x04, "system flag");
	command(&r, 0xab);
	EXPECT(&r, 0x00);
	/* No mouse port: the loop comes back on the wrong side, the test fails, and nothing times out. */
	command(&r, 0xd3);
	send(&r, 0x5a);
	cr_assert_eq(status(&r) & (OBF | AUX_DATA), OBF);
	EXPECT(&r, 0x5a);
	command(&r, 0xa9);
	EXPECT(&r, 0x01);
	command(&r, 0xd4);
	send(&r, 0xf2);
	cr_assert_not(status(&r) & OBF);
	command(&r, 0xd2);
	send(&r, 0x1c);
	EXPECT(&r, 0x1c);
}

Test(board_isa, keyboard_answers)
{
	struct rig r;

	start(&r);
	send(&r, 0xff);
	cr_assert(r.irq.level);
	EXPECT(&r, 0xfa, 0xaa);
	cr_assert_eq(r.irq.rises, 2, "an edge for each byte");
	send(&r, 0xf2);
	EXPECT(&r, 0xfa, 0xab, 0x41);
	command(&r, 0x60);
	send(&r, 0x01); /* no translation */
	send(&r, 0xf2);
	EXPECT(&r, 0xfa, 0xab, 0x83);
	send(&r, 0xed);
	EXPECT(&r, 0xfa);
	send(&r, 0x07);
	EXPECT(&r, 0xfa);
	send(&r, 0xf0);
	send(&r, 0x00);
	EXPECT(&r, 0xfa, 0xfa, 0x02);
	send(&r, 0xf0);
	send(&r, 0x03);
	send(&r, 0xf0);
	send(&r, 0x00);
	EXPECT(&r, 0xfa, 0xfa, 0xfa, 0xfa, 0x03);
	send(&r, 0xee);
	EXPECT(&r, 0xee);
	send(&r, 0x12);
	EXPECT(&r, 0xfe);
	/* Interrupts and the interface can be switched off. */
	command(&r, 0x60);
	send(&r, 0x00);
	r.irq.rises = 0;
	send(&r, 0xf4);
	EXPECT(&r, 0xfa);
	cr_assert_eq(r.irq.rises, 0);
	send(&r, 0xff);
	command(&r, 0xad);
	EXPECT(&r, 0xfa);
	command(&r, 0xae);
	EXPECT(&r, 0xaa);
	cr_assert_eq(r.resets, 0);
}

Test(board_isa, keyboard_queue_overrun)
{
	struct rig r;

	start(&r);
	for (unsigned i = 0; i < 1000; i++)
		send(&r, 0xf4);
	for (unsigned i = 0; i < 17; i++)
		cr_assert_eq(data(&r), 0xfa);
	cr_assert_not(status(&r) & OBF);
}

Test(board_isa, i8042_reset_line)
{
	struct rig r;

	start(&r);
	command(&r, 0xfe);
	cr_assert_eq(r.resets, 1);
	command(&r, 0xff);
	cr_assert_eq(r.resets, 1, "pulses nothing");
	command(&r, 0xd0);
	cr_assert_eq(data(&r) & 1, 1);
	command(&r, 0xd1);
	send(&r, 0x02);
	cr_assert_eq(r.resets, 2);
}

Test(board_isa, dma_registers)
{
	struct i8257 d;

	i8257_init(&d, 1);
	cr_assert_eq(chip_in(&i8257_ops, &d, 0x1e) & 15, 15, "all masked");
	chip_out(&i8257_ops, &d, 0x14, 0x00); /* port 0xd4: cascade channel on, as Linux does */
	cr_assert_eq(chip_in(&i8257_ops, &d, 0x1e) & 15, 14);
	chip_out(&i8257_ops, &d, 0x18, 0);
	chip_out(&i8257_ops, &d, 0x04, 0x34);
	chip_out(&i8257_ops, &d, 0x04, 0x12);
	cr_assert_eq(chip_in(&i8257_ops, &d, 0x04), 0x34);
	cr_assert_eq(chip_in(&i8257_ops, &d, 0x04), 0x12);
	chip_out(&i8257_ops, &d, 0x1a, 0); /* master clear */
	cr_assert_eq(chip_in(&i8257_ops, &d, 0x1e) & 15, 15);
	cr_assert_eq(chip_in(&i8257_ops, &d, 0x10), 0, "no terminal count");
}
