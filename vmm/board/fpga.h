/* SPDX-License-Identifier: MIT */
#ifndef VMM_BOARD_FPGA_H
#define VMM_BOARD_FPGA_H

/*
 * The Malta's CBUS FPGA at 0x1f000000: switches, jumpers, LED bar, ASCII display, soft reset, general purpose pins and
 * the bit-banged I2C port (whose bus is empty: both lines read as they are driven).
 * Source: MIPS Malta User's Manual (MD00048), "CBUS peripherals".
 */
#include "vmm/board/device.h"

enum { FPGA_BYTES = 0x100000, FPGA_DISPLAY_CHARS = 8 };

struct fpga_state {
	uint8_t display[FPGA_DISPLAY_CHARS];
	uint8_t led_bar;
	uint32_t ascii_word;
	uint32_t break_reset;
	uint32_t gpio_out;
	uint8_t i2c_out, i2c_enable, i2c_select;
};

struct fpga {
	struct fpga_state s;
	bool big_endian;
	/* SOFTRES was written with the reset code.  Called last. */
	void (*reset)(void *opaque);
	void *opaque;
};

void fpga_init(struct fpga *f, bool big_endian, void (*reset)(void *opaque), void *opaque);
void fpga_reset(struct fpga *f);

extern const struct io_ops fpga_ops; /* FPGA_BYTES, 32-bit registers 8 bytes apart, BUS_LANES_WORD */

#endif
