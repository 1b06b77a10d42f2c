/* SPDX-License-Identifier: MIT */
#ifndef VMM_BOARD_GT64120_H
#define VMM_BOARD_GT64120_H

/*
 * The Galileo GT-64120 system controller: its internal registers, the CPU's windows onto PCI, configuration and interrupt
 * acknowledge cycles, and the interrupt cause register with its master abort.  It is device 00.0 of bus 0.
 * Source: Galileo GT-64120 data sheet, revision 1.3, and the names in it.
 * Deviates: SDRAM and device decoders, timers and DMA engines keep what is written and do nothing; PCI 1 is not connected;
 * what the byte swap bits of PCI0_CMD do is done for configuration data only (windows keep byte addresses).
 */
#include "vmm/board/pci.h"

enum { GT64120_ISD_BYTES = 0x1000 };

enum gt64120_window { GT64120_IO, GT64120_MEM0, GT64120_MEM1, GT64120_WINDOWS };

struct gt64120_state {
	uint32_t reg[GT64120_ISD_BYTES / 4]; /* by offset; values as the data sheet draws them */
};

/* A CPU window onto PCI: [base, base + bytes) is PCI address pci_base on. bytes 0: closed. */
struct gt64120_decode {
	uint64_t base, bytes;
	uint32_t pci_base;
};

struct gt64120_port {
	struct gt64120 *gt;
	enum gt64120_window window;
};

struct gt64120 {
	struct gt64120_state s;
	struct pci_device pci;
	struct pci_bus *bus;
	uint32_t writable[GT64120_ISD_BYTES / 4];
	struct gt64120_port port[GT64120_WINDOWS]; /* opaque of gt64120_window_ops */
	bool big_endian;
	struct irq_line interrupt; /* CPUInt* pin: CoreHI on the Malta */
	/* PCI interrupt acknowledge cycle: the i8259's vector. */
	uint8_t (*acknowledge)(void *opaque);
	/* A decode register changed. */
	void (*remap)(void *opaque);
	void *opaque;
};

struct gt64120_config {
	struct pci_bus *bus;
	bool big_endian;
	struct irq_line interrupt;
	uint8_t (*acknowledge)(void *opaque);
	void (*remap)(void *opaque);
	void *opaque;
};

/* Also adds itself to the bus. Returns as pci_bus_add(). */
MUST_CHECK int gt64120_init(struct gt64120 *gt, const struct gt64120_config *cfg);
/* The chip's own reset values: internal space at 0x14000000. */
void gt64120_reset(struct gt64120 *gt);

uint64_t gt64120_isd_base(const struct gt64120 *gt);
struct gt64120_decode gt64120_decode(const struct gt64120 *gt, enum gt64120_window w);

/* The CPU accessed an address that no decoder matched: CPUOut in the cause register, address in CPU error report. */
void gt64120_report_unmapped(struct gt64120 *gt, uint64_t pa);

extern const struct io_ops gt64120_isd_ops;    /* opaque: struct gt64120 */
extern const struct io_ops gt64120_window_ops; /* opaque: struct gt64120_port */

#endif
