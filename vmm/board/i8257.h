/* SPDX-License-Identifier: MIT */
#ifndef VMM_BOARD_I8257_H
#define VMM_BOARD_I8257_H

/*
 * The register file of the PIIX4's two 8237-compatible DMA controllers and their page registers.  No device on this board
 * requests ISA DMA, so no transfer ever starts; a driver finds its programming kept and the channels idle.
 * Source: 82371AB (PIIX4) data sheet, section 8.1.
 */
#include "vmm/board/device.h"

struct i8257_channel {
	uint16_t base_address, base_count;
	uint16_t address, count;
	uint8_t mode;
};

struct i8257_state {
	struct i8257_channel channel[4];
	uint8_t command, mask, request;
	bool high_next; /* the byte pointer flip-flop */
};

struct i8257 {
	struct i8257_state s;
	uint8_t shift; /* 0: ports 1 apart (channels 0-3); 1: 2 apart (channels 4-7) */
};

struct i8257_pages {
	uint8_t page[16];
};

void i8257_init(struct i8257 *d, unsigned shift);
void i8257_reset(struct i8257 *d);

extern const struct io_ops i8257_ops; /* opaque: struct i8257; 16 << shift ports, 0x00 and 0xc0 */
extern const struct io_ops
    i8257_page_ops; /* opaque: struct i8257_pages; 16 ports, 0x80 (0x80 itself takes POST codes) */

#endif
