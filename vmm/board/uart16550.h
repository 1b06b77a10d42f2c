/* SPDX-License-Identifier: MIT */
#ifndef VMM_BOARD_UART16550_H
#define VMM_BOARD_UART16550_H

/*
 * A 16550A.  Transmission takes no time: a byte is handed on at once and the holding register is empty again.  Reception
 * takes what the caller has as fast as there is room; the character timeout interrupt runs on virtual time.
 * Source: National Semiconductor PC16550D data sheet.
 * Deviates: MCR.OUT2 does not gate the interrupt (QEMU's does not either; PCs do).  Modem inputs are always on.
 */
#include "vmm/board/device.h"

enum { UART16550_FIFO = 16 };

struct uart16550_state {
	uint8_t ier, fcr, lcr, mcr, lsr_errors, msr, scratch;
	uint8_t divisor_low, divisor_high;
	uint8_t rx[UART16550_FIFO];
	uint8_t rx_first, rx_count;
	bool thre_pending; /* the transmitter-empty interrupt has not been seen yet */
	bool timeout_pending;
};

struct uart16550 {
	struct uart16550_state s;
	struct clock_ops clock;
	struct irq_line irq;
	uint32_t clock_hz;                                       /* of the baud generator */
	void (*tx)(void *opaque, const uint8_t *data, size_t n); /* NULL: nothing is connected */
	void *opaque;
};

void uart16550_init(struct uart16550 *u, const struct clock_ops *clock, const struct irq_line *irq, uint32_t clock_hz,
		    void (*tx)(void *opaque, const uint8_t *data, size_t n), void *opaque);
void uart16550_reset(struct uart16550 *u);
/* Cancels the alarm. */
void uart16550_stop(struct uart16550 *u);

/* Bytes that uart16550_rx() would take now. */
size_t uart16550_room(const struct uart16550 *u);
/* Returns how many of the n bytes were taken. */
size_t uart16550_rx(struct uart16550 *u, const uint8_t *data, size_t n);

extern const struct io_ops uart16550_ops;         /* 8 ports */
extern const struct io_ops uart16550_stride8_ops; /* 8 words, 8 bytes apart */

#endif
