/* SPDX-License-Identifier: MIT */
#ifndef VMM_BOARD_BOARD_H
#define VMM_BOARD_BOARD_H

/*
 * The MIPS Malta board as far as unmodified Debian kernels use it (design.md section 6, malta-touch.md): GT-64120 with PCI,
 * PIIX4 (i8259 pair, i8254, RTC, i8042, power management), 16550 UARTs, CBUS FPGA.
 */
#include "vmm/board/device.h"

struct board;
struct i8259_pair;
struct pci_bus;
struct mc146818_battery;

struct board_config {
	uint64_t ram_bytes;
	bool big_endian;
	struct clock_ops clock;
	/* CPU hardware interrupt pins 2..7. */
	struct irq_line cpu_irq[8];
	/* Bytes that the guest sends to ttyS0. */
	void (*console_tx)(void *opaque, const uint8_t *data, size_t n);
	/* The guest asked for power off / for a reset (FPGA SOFTRES, PIIX4, i8042 0xfe). */
	void (*power_off)(void *opaque);
	void (*reset)(void *opaque);
	void *opaque;
	struct mc146818_battery *battery; /* the RTC's, read by board_new(), written by board_free(); or NULL */
};

MUST_CHECK int board_new(struct board **out, const struct board_config *cfg);
void board_free(struct board *b);
void board_reset(struct board *b);

/* An access to a physical address that is not RAM.  Unclaimed: reads give all ones, writes are dropped; *claimed tells. */
uint64_t board_read(struct board *b, struct gpa pa, unsigned bytes, bool *claimed);
void board_write(struct board *b, struct gpa pa, uint64_t value, unsigned bytes, bool *claimed);

/* Hand console input to ttyS0; returns how many bytes it had room for (the caller keeps the rest). */
size_t board_console_rx(struct board *b, const uint8_t *data, size_t n);
/*
 * Bus 0, for devices that are added after board_new() and before the guest runs (pci_bus_add() in vmm/board/pci.h).
 * Slots 18..21 are the Malta's connectors: only those, 11 and 12 have interrupt wiring that Linux knows.
 */
struct pci_bus *board_pci(struct board *b);
/* To be looked at. */
const struct i8259_pair *board_interrupts(const struct board *b);
/* Room in ttyS0's receive FIFO, bytes. */
/*
 * The changing state of all chips and of the configuration spaces on the bus, to be gone back to; alarms (the clock's) and the levels of the
 * CPU's pins (the CPU's) are not in it.
 */
size_t board_state_bytes(const struct board *b);
void board_save(struct board *b, void *state);
void board_restore(struct board *b, const void *state);
size_t board_console_room(const struct board *b);

#endif
