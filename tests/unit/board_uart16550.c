/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "tests/unit/board_fake.h"
#include "vmm/board/uart16550.h"

enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR, THR = RBR };

struct rig {
	struct uart16550 uart;
	struct fake_clock clock;
	struct fake_irq irq;
	struct fake_board sink; /* only its transmit buffer */
};

static void start(struct rig *r)
{
	struct clock_ops ops = fake_clock_ops(&r->clock);
	struct irq_line line = fake_irq_line(&r->irq);

	memset(r, 0, sizeof(*r));
	uart16550_init(&r->uart, &ops, &line, 1843200, fake_tx, &r->sink);
}

static uint8_t in(struct rig *r, unsigned reg) { return chip_in(&uart16550_ops, &r->uart, reg); }
static void out(struct rig *r, unsigned reg, uint8_t v) { chip_out(&uart16550_ops, &r->uart, reg, v); }
static size_t rx(struct rig *r, const char *s) { return uart16550_rx(&r->uart, (const uint8_t *)s, strlen(s)); }

Test(board_uart16550, transmit)
{
	struct rig r;

	start(&r);
	for (const char *p = "hello"; *p; p++) {
		cr_assert_eq(in(&r, LSR), 0x60);
		out(&r, THR, (uint8_t)*p);
	}
	cr_assert_eq(r.sink.tx_bytes, 5);
	cr_assert_arr_eq(r.sink.tx, "hello", 5);
}

Test(board_uart16550, divisor_and_scratch)
{
	struct rig r;

	start(&r);
	out(&r, LCR, 0x83);
	out(&r, RBR, 0x34);
	out(&r, IER, 0x12);
	cr_assert_eq(in(&r, RBR), 0x34);
	cr_assert_eq(in(&r, IER), 0x12);
	out(&r, LCR, 0x03);
	cr_assert_eq(in(&r, IER), 0);
	cr_assert_eq(r.sink.tx_bytes, 0, "the divisor is not data");
	out(&r, SCR, 0xa5);
	cr_assert_eq(in(&r, SCR), 0xa5);
	out(&r, IER, 0xff);
	cr_assert_eq(in(&r, IER), 0x0f);
	out(&r, MCR, 0xff);
	cr_assert_eq(in(&r, MCR), 0x1f);
}

Test(board_uart16550, fifo_detection)
{
	struct rig r;

	start(&r);
	cr_assert_eq(in(&r, IIR), 0x01);
	out(&r, FCR, 0x01);
	cr_assert_eq(in(&r, IIR), 0xc1);
	out(&r, FCR, 0xc0);
	cr_assert_eq(in(&r, IIR), 0x01, "the other bits need the enable");
}

Test(board_uart16550, receive_without_fifo)
{
	struct rig r;

	start(&r);
	out(&r, IER, 0x01);
	cr_assert_eq(rx(&r, "ab"), 1);
	cr_assert_eq(uart16550_room(&r.uart), 0);
	cr_assert(r.irq.level);
	cr_assert_eq(in(&r, IIR), 0x04);
	cr_assert_eq(in(&r, LSR), 0x61);
	cr_assert_eq(in(&r, RBR), 'a');
	cr_assert_not(r.irq.level);
	cr_assert_eq(in(&r, LSR), 0x60);
	cr_assert_eq(uart16550_room(&r.uart), 1);
}

Test(board_uart16550, fifo_trigger_and_timeout)
{
	struct rig r;

	start(&r);
	out(&r, LCR, 0x83);
	out(&r, RBR, 1); /* 115200 baud: 4 characters of 10 bits are 347.2 us */
	out(&r, LCR, 0x03);
	out(&r, FCR, 0x81); /* 8 bytes */
	out(&r, IER, 0x01);
	cr_assert_eq(rx(&r, "1234567"), 7);
	cr_assert_not(r.irq.level);
	fake_advance(&r.clock, 340000);
	cr_assert_not(r.irq.level);
	fake_advance(&r.clock, 10000);
	cr_assert(r.irq.level);
	cr_assert_eq(in(&r, IIR), 0xcc, "character timeout");
	cr_assert_eq(in(&r, RBR), '1');
	cr_assert_not(r.irq.level, "a read restarts the timer");
	fake_advance(&r.clock, 350000);
	cr_assert(r.irq.level);
	cr_assert_eq(rx(&r, "89abcdefghijk"), 10, "16 fit");
	cr_assert_eq(in(&r, IIR), 0xc4);
	for (unsigned i = 0; i < 8; i++)
		in(&r, RBR);
	cr_assert(r.irq.level);
	in(&r, RBR);
	cr_assert_not(r.irq.level, "below the trigger");
	out(&r, FCR, 0x83); /* clear the receive FIFO */
	cr_assert_eq(in(&r, LSR), 0x60);
	fake_advance(&r.clock, 1000000000);
	cr_assert_not(r.irq.level);
	cr_assert_eq(fake_alarms_left(&r.clock), 0);
}

Test(board_uart16550, interrupt_priorities)
{
	struct rig r;

	start(&r);
	out(&r, MCR, 0x10); /* loopback; the modem inputs drop: deltas */
	out(&r, THR, 'x');
	out(&r, THR, 'y'); /* overrun */
	out(&r, IER, 0x0f);
	cr_assert_eq(in(&r, IIR), 0x06, "line status first");
	cr_assert_eq(in(&r, LSR) & 0x03, 0x03);
	cr_assert_eq(in(&r, IIR), 0x04, "then data");
	cr_assert_eq(in(&r, RBR), 'y', "the register was overwritten");
	cr_assert_eq(in(&r, IIR), 0x02, "then the transmitter");
	cr_assert_eq(in(&r, IIR), 0x00, "then the modem");
	cr_assert_eq(in(&r, MSR), 0x0b);
	cr_assert_eq(in(&r, IIR), 0x01);
	cr_assert_not(r.irq.level);
	cr_assert_eq(r.sink.tx_bytes, 0);
}

Test(board_uart16550, transmit_interrupt)
{
	struct rig r;

	start(&r);
	out(&r, IER, 0x02);
	cr_assert(r.irq.level, "enabling it with an empty register raises it");
	cr_assert_eq(in(&r, IIR), 0x02);
	cr_assert_not(r.irq.level, "reading IIR ends it");
	r.irq.rises = 0;
	out(&r, THR, 'a');
	out(&r, THR, 'b');
	cr_assert_eq(r.irq.rises, 2, "an edge for each byte");
	cr_assert_eq(in(&r, IIR), 0x02);
	out(&r, IER, 0);
	out(&r, IER, 0x02);
	cr_assert(r.irq.level);
}

Test(board_uart16550, loopback)
{
	struct rig r;

	start(&r);
	cr_assert_eq(in(&r, MSR), 0xb0);
	out(&r, MCR, 0x1a); /* RTS and OUT2, as drivers probe */
	cr_assert_eq(in(&r, MSR) & 0xf0, 0x90);
	out(&r, MCR, 0x15);
	cr_assert_eq(in(&r, MSR) & 0xf0, 0x60);
	cr_assert_eq(uart16550_room(&r.uart), 0, "the line is disconnected");
	cr_assert_eq(rx(&r, "z"), 0);
	out(&r, FCR, 0x01);
	for (unsigned i = 0; i < 17; i++)
		out(&r, THR, (uint8_t)i);
	cr_assert_eq(in(&r, LSR) & 0x03, 0x03, "17 into 16");
	for (unsigned i = 0; i < 16; i++)
		cr_assert_eq(in(&r, RBR), i);
	cr_assert_eq(in(&r, LSR), 0x60);
}

Test(board_uart16550, stride8)
{
	struct rig r;

	start(&r);
	uart16550_stride8_ops.write(&r.uart, 7 * 8, 0x5a, 4);
	cr_assert_eq(uart16550_stride8_ops.read(&r.uart, 7 * 8, 4), 0x5a);
	cr_assert_eq(in(&r, SCR), 0x5a);
}
