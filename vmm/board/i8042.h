/* SPDX-License-Identifier: MIT */
#ifndef VMM_BOARD_I8042_H
#define VMM_BOARD_I8042_H

/*
 * The keyboard controller of the Super I/O with an AT keyboard on which nobody types.  There is no mouse port: the
 * controller fails AUX loop and AUX test at once, so that Linux's i8042 driver gives up on it without a timeout.
 * Source: IBM PS/2 Technical Reference, "Keyboard and auxiliary device controller"; FDC37M81x data sheet, section 12.
 */
#include "vmm/board/device.h"

enum { I8042_QUEUE = 16 };

struct i8042_state {
	uint8_t ram[32]; /* byte 0 is the command byte */
	uint8_t out;     /* output buffer, valid when status has OBF */
	uint8_t status;
	uint8_t output_port;
	uint8_t pending_command; /* controller command that waits for its data byte; 0: none */
	uint8_t reply;           /* of the controller, goes before the keyboard's bytes */
	bool has_reply;

	uint8_t keyboard_queue[I8042_QUEUE];
	uint8_t keyboard_first, keyboard_count;
	uint8_t keyboard_command; /* keyboard command that waits for its argument; 0: none */
	uint8_t keyboard_last;    /* for Resend */
	uint8_t scancode_set;
};

struct i8042 {
	struct i8042_state s;
	struct irq_line irq; /* 1 */
	/* CPU reset through command 0xfe or output port bit 0.  Called last. */
	void (*reset)(void *opaque);
	void *opaque;
};

void i8042_init(struct i8042 *k, const struct irq_line *irq, void (*reset)(void *opaque), void *opaque);
void i8042_reset(struct i8042 *k);

extern const struct io_ops i8042_data_ops;    /* port 0x60 */
extern const struct io_ops i8042_command_ops; /* port 0x64 */

#endif
