/* SPDX-License-Identifier: MIT */
#ifndef VMM_BOARD_I8254_H
#define VMM_BOARD_I8254_H

/*
 * The 8254 interval timer in the PIIX4: three counters at 1.193182 MHz of virtual time, nothing ticks.  OUT0 is IRQ 0,
 * counter 2 is gated and read through port 0x61.
 * Source: Intel 82C54 data sheet.
 * Deviates: a count is loaded at the write, not at the next clock; a late alarm gives one edge for all missed periods.
 */
#include "vmm/board/device.h"

#define I8254_HZ 1193182u

struct i8254_counter {
	uint64_t start_ns; /* when counting from `reload` began, if loaded and not paused */
	uint64_t paused_ticks;
	uint64_t edges_before; /* rising edges of OUT in periods before start_ns */
	uint64_t edges_seen;   /* rising edges that have been delivered */
	uint32_t reload;       /* 1..65536 (10000 in BCD) */
	uint32_t next_reload;  /* modes 2 and 3: taken over at the end of the period; 0: none */
	uint16_t latch;
	uint8_t status_latch;
	uint8_t mode;   /* 0..5 */
	uint8_t access; /* 1 low byte, 2 high byte, 3 low then high */
	uint8_t low_written;
	uint8_t latch_bytes; /* bytes of `latch` still to be read */
	bool bcd;
	bool gate;
	bool loaded;       /* counting, paused or waiting for a trigger */
	bool trigger_wait; /* modes 1 and 5 before the gate rises */
	bool paused;
	bool write_high_next;
	bool read_high_next;
	bool status_latched;
};

struct i8254_state {
	struct i8254_counter counter[3];
	uint8_t port61; /* bits 3:0 as written */
};

struct i8254 {
	struct i8254_state s;
	struct clock_ops clock;
	struct irq_line irq;
};

void i8254_init(struct i8254 *p, const struct clock_ops *clock, const struct irq_line *irq);
void i8254_reset(struct i8254 *p);
/* Cancels the alarm; the structure may then be freed. */
void i8254_stop(struct i8254 *p);

extern const struct io_ops i8254_ops;        /* 4 ports, 0x40 */
extern const struct io_ops i8254_port61_ops; /* 1 port: NMI status and control */

#endif
