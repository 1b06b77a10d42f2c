/* SPDX-License-Identifier: MIT */
#ifndef VMM_BOARD_I8259_H
#define VMM_BOARD_I8259_H

/*
 * The pair of 8259A interrupt controllers in the PIIX4, with its ELCR (edge/level) registers.
 * Source: Intel 8259A data sheet; 82371AB (PIIX4) data sheet, section 8.4.
 * Deviates: an edge-triggered request stays latched when its line drops before the acknowledge (the data sheet gives a
 * spurious IR7 then); a tick is never lost that way.  The cascade input follows the slave as a level.
 */
#include "vmm/board/device.h"

struct i8259_state {
	uint8_t irr;
	uint8_t imr;
	uint8_t isr;
	uint8_t lines; /* input pins as driven */
	uint8_t elcr;  /* 1: level triggered */
	uint8_t vector_base;
	uint8_t lowest; /* the input with the lowest priority */
	uint8_t icw;    /* the initialisation word that port 1 expects next: 2, 3, 4; 0: none */
	bool icw4_needed;
	bool single;
	bool all_level; /* ICW1.LTIM */
	bool auto_eoi;
	bool rotate_on_auto_eoi;
	bool special_mask;
	bool special_fully_nested;
	bool poll;
	bool read_isr;
};

struct i8259 {
	struct i8259_state s;
	struct i8259_pair *pair;
	uint8_t elcr_writable;
};

struct i8259_pair {
	struct i8259 chip[2]; /* master, slave */
	struct irq_line out;
};

void i8259_init(struct i8259_pair *p, const struct irq_line *out);
/* As PCI reset and the firmware leave it: all masked, inputs 10 and 11 (the PCI ones) level triggered. */
void i8259_reset(struct i8259_pair *p);

/* An input, 0..15; has the shape of irq_line.set.  2 is the cascade and is ignored. */
void i8259_set_irq(void *pair, unsigned n, bool level);

/* The interrupt acknowledge cycle: the vector, the spurious one (input 7) when nothing is pending any more. */
uint8_t i8259_acknowledge(struct i8259_pair *p);

extern const struct io_ops i8259_ops;      /* opaque: struct i8259; 2 ports */
extern const struct io_ops i8259_elcr_ops; /* opaque: struct i8259_pair; 2 ports, 0x4d0 */

#endif
