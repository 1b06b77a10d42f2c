/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "tests/unit/board_fake.h"
#include "vmm/board/i8259.h"

struct rig {
	struct i8259_pair pic;
	struct fake_irq out;
};

static void out(struct rig *r, unsigned chip, unsigned off, uint8_t v)
{
	chip_out(&i8259_ops, &r->pic.chip[chip], off, v);
}
static uint8_t in(struct rig *r, unsigned chip, unsigned off) { return chip_in(&i8259_ops, &r->pic.chip[chip], off); }

static void start(struct rig *r, uint8_t icw4)
{
	struct irq_line line = fake_irq_line(&r->out);

	memset(r, 0, sizeof(*r));
	i8259_init(&r->pic, &line);
	for (unsigned c = 0; c < 2; c++) {
		out(r, c, 0, 0x11);
		out(r, c, 1, c ? 0x28 : 0x20);
		out(r, c, 1, c ? 2 : 4);
		out(r, c, 1, icw4);
		out(r, c, 1, 0);
	}
	chip_out(&i8259_elcr_ops, &r->pic, 0, 0);
	chip_out(&i8259_elcr_ops, &r->pic, 1, 0);
}

static void pulse(struct rig *r, unsigned n)
{
	i8259_set_irq(&r->pic, n, true);
	i8259_set_irq(&r->pic, n, false);
}

Test(board_i8259, masked_until_programmed)
{
	struct rig r = {0};
	struct irq_line line = fake_irq_line(&r.out);

	i8259_init(&r.pic, &line);
	i8259_set_irq(&r.pic, 4, true);
	cr_assert_not(r.out.level);
	cr_assert_eq(chip_in(&i8259_elcr_ops, &r.pic, 1), 0x0c, "the PCI interrupts are level triggered");
}

Test(board_i8259, priority_and_nested_service)
{
	struct rig r;

	start(&r, 1);
	pulse(&r, 4);
	pulse(&r, 3);
	cr_assert(r.out.level);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x23);
	cr_assert_not(r.out.level, "4 waits behind 3");
	pulse(&r, 1);
	cr_assert(r.out.level, "1 interrupts 3");
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x21);
	out(&r, 0, 0, 0x20);
	cr_assert_not(r.out.level, "EOI ended 1, 3 is still in service");
	out(&r, 0, 0, 0x20);
	cr_assert(r.out.level);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x24);
	out(&r, 0, 0, 0x0b);
	cr_assert_eq(in(&r, 0, 0), 0x10, "ISR");
	out(&r, 0, 0, 0x64); /* specific EOI */
	cr_assert_eq(in(&r, 0, 0), 0);
}

Test(board_i8259, mask_and_irr)
{
	struct rig r;

	start(&r, 1);
	out(&r, 0, 1, 0x10);
	pulse(&r, 4);
	cr_assert_not(r.out.level);
	out(&r, 0, 0, 0x0a);
	cr_assert_eq(in(&r, 0, 0), 0x10, "latched though masked");
	cr_assert_eq(in(&r, 0, 1), 0x10);
	out(&r, 0, 1, 0);
	cr_assert(r.out.level);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x24);
	cr_assert_eq(in(&r, 0, 0), 0, "the acknowledge clears an edge");
}

/* An edge is taken once, however long the line stays up and however often it is said to be up. */
Test(board_i8259, an_edge_is_one_interrupt)
{
	struct rig r;

	start(&r, 1);
	for (unsigned line = 3; line <= 9; line += 6) {
		unsigned chip = line >> 3;

		i8259_set_irq(&r.pic, line, true);
		cr_assert_eq(i8259_acknowledge(&r.pic), 0x20 + line);
		i8259_set_irq(&r.pic, line, true);
		out(&r, chip, 0, 0x0a);
		cr_assert_eq(in(&r, chip, 0), 0, "still up: no new edge");
		out(&r, chip, 0, 0x20);
		out(&r, 0, 0, 0x20);
		cr_assert_not(r.out.level);
		i8259_set_irq(&r.pic, line, false);
		cr_assert_not(r.out.level);
		i8259_set_irq(&r.pic, line, true);
		cr_assert(r.out.level, "down and up");
		cr_assert_eq(i8259_acknowledge(&r.pic), 0x20 + line);
		out(&r, chip, 0, 0x20);
		out(&r, 0, 0, 0x20);
	}
}

Test(board_i8259, cascade)
{
	struct rig r;

	start(&r, 1);
	pulse(&r, 12);
	pulse(&r, 8);
	cr_assert(r.out.level);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x28);
	out(&r, 0, 0, 0x0b);
	cr_assert_eq(in(&r, 0, 0), 0x04, "the master serves its input 2");
	out(&r, 1, 0, 0x60);
	out(&r, 0, 0, 0x62);
	cr_assert(r.out.level, "12 is next");
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x2c);
	out(&r, 1, 0, 0x64);
	out(&r, 0, 0, 0x62);
	cr_assert_not(r.out.level);
	/* Input 2 has no pin of its own. */
	i8259_set_irq(&r.pic, 2, true);
	i8259_set_irq(&r.pic, 99, true);
	cr_assert_not(r.out.level);
}

Test(board_i8259, slave_ranks_at_input_2)
{
	struct rig r;

	start(&r, 1);
	pulse(&r, 3);
	pulse(&r, 15);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x2f);
	cr_assert_not(r.out.level);
	pulse(&r, 0);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x20);
}

Test(board_i8259, spurious)
{
	struct rig r;

	start(&r, 1);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x27);
	out(&r, 0, 0, 0x0b);
	cr_assert_eq(in(&r, 0, 0), 0, "a spurious interrupt is not in service");
	/* A level that goes away before the acknowledge. */
	chip_out(&i8259_elcr_ops, &r.pic, 1, 0x04);
	i8259_set_irq(&r.pic, 10, true);
	cr_assert(r.out.level);
	i8259_set_irq(&r.pic, 10, false);
	cr_assert_not(r.out.level);
}

Test(board_i8259, level_triggered_repeats)
{
	struct rig r;

	start(&r, 1);
	chip_out(&i8259_elcr_ops, &r.pic, 0, 0xff);
	cr_assert_eq(chip_in(&i8259_elcr_ops, &r.pic, 0), 0xf8, "0, 1, 2 cannot be level");
	i8259_set_irq(&r.pic, 5, true);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x25);
	out(&r, 0, 0, 0x65);
	cr_assert(r.out.level, "still asserted");
	i8259_set_irq(&r.pic, 5, false);
	cr_assert_not(r.out.level);
	/* An edge input that stays high does not. */
	i8259_set_irq(&r.pic, 1, true);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x21);
	out(&r, 0, 0, 0x61);
	cr_assert_not(r.out.level);
}

Test(board_i8259, auto_eoi_and_rotation)
{
	struct rig r;

	start(&r, 3);
	pulse(&r, 4);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x24);
	out(&r, 0, 0, 0x0b);
	cr_assert_eq(in(&r, 0, 0), 0);
	out(&r, 0, 0, 0x80); /* rotate in automatic EOI */
	pulse(&r, 4);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x24);
	pulse(&r, 4);
	pulse(&r, 5);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x25, "4 went to the end");

	start(&r, 1);
	pulse(&r, 3);
	i8259_acknowledge(&r.pic);
	out(&r, 0, 0, 0xa0); /* rotate on non-specific EOI */
	pulse(&r, 3);
	pulse(&r, 7);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x27);
	out(&r, 0, 0, 0x20);
	out(&r, 0, 0, 0xc2); /* set priority: 2 lowest, so 3 highest */
	pulse(&r, 0);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x23);
}

Test(board_i8259, poll_mode)
{
	struct rig r;

	start(&r, 1);
	out(&r, 0, 0, 0x0c);
	cr_assert_eq(in(&r, 0, 0), 0);
	pulse(&r, 6);
	out(&r, 0, 0, 0x0c);
	cr_assert_eq(in(&r, 0, 0), 0x86);
	cr_assert_not(r.out.level, "the poll was the acknowledge");
	out(&r, 0, 0, 0x0b);
	cr_assert_eq(in(&r, 0, 0), 0x40);
}

Test(board_i8259, special_mask_and_fully_nested)
{
	struct rig r;

	start(&r, 1);
	pulse(&r, 3);
	i8259_acknowledge(&r.pic);
	pulse(&r, 5);
	cr_assert_not(r.out.level);
	out(&r, 0, 1, 0x08);
	out(&r, 0, 0, 0x68); /* special mask mode */
	cr_assert(r.out.level, "the masked 3 does not block 5");
	out(&r, 0, 0, 0x48);
	cr_assert_not(r.out.level);

	start(&r, 0x11);
	pulse(&r, 14);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x2e);
	pulse(&r, 9);
	cr_assert(r.out.level, "a higher input of the same slave gets through");
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x29);
}

Test(board_i8259, icw1_clears_edges)
{
	struct rig r;

	start(&r, 1);
	i8259_set_irq(&r.pic, 4, true);
	out(&r, 0, 0, 0x13); /* single, ICW4 */
	out(&r, 0, 1, 0x40);
	out(&r, 0, 1, 0x01);
	cr_assert_not(r.out.level, "a line that was high needs a new edge");
	i8259_set_irq(&r.pic, 4, false);
	i8259_set_irq(&r.pic, 4, true);
	cr_assert_eq(i8259_acknowledge(&r.pic), 0x44);
}
