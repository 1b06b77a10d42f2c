/* SPDX-License-Identifier: MIT */
#ifndef VMM_BOARD_PCI_H
#define VMM_BOARD_PCI_H

/*
 * PCI bus 0 of the Malta: configuration space, BARs that map io_ops, and INTx.  A device embeds struct pci_device, fills
 * it with pci_device_init()/pci_device_set_bar()/pci_device_add_capability(), and hangs itself on the bus.
 * Source: PCI Local Bus Specification 2.2, chapter 6.  vCPU thread.
 */
#include "vmm/board/bus.h"

enum { PCI_BARS = 6, PCI_CONFIG_BYTES = 256, PCI_MAX_DEVICES = 32, PCI_PIRQS = 4 };

enum pci_reg {
	PCI_REG_VENDOR = 0x00,
	PCI_REG_DEVICE = 0x02,
	PCI_REG_COMMAND = 0x04,
	PCI_REG_STATUS = 0x06,
	PCI_REG_REVISION = 0x08,
	PCI_REG_CLASS = 0x09,
	PCI_REG_CACHE_LINE = 0x0c,
	PCI_REG_LATENCY = 0x0d,
	PCI_REG_HEADER_TYPE = 0x0e,
	PCI_REG_BAR0 = 0x10,
	PCI_REG_SUBSYSTEM_VENDOR = 0x2c,
	PCI_REG_SUBSYSTEM = 0x2e,
	PCI_REG_CAPABILITIES = 0x34,
	PCI_REG_INTERRUPT_LINE = 0x3c,
	PCI_REG_INTERRUPT_PIN = 0x3d,
};
enum {
	PCI_COMMAND_IO = 1 << 0,
	PCI_COMMAND_MEMORY = 1 << 1,
	PCI_COMMAND_MASTER = 1 << 2,
	PCI_COMMAND_INTX_DISABLE = 1 << 10,
	PCI_STATUS_INTX = 1 << 3,
	PCI_STATUS_CAPABILITIES = 1 << 4,
	PCI_STATUS_MASTER_ABORT = 1 << 13,
};

struct pci_bus;

/* What a base address register decodes.  bytes is a power of two, at least 16 for memory and 4 for I/O. */
struct pci_bar {
	uint32_t bytes; /* 0: register not implemented */
	bool is_io;
	bool prefetchable;
	uint8_t width; /* see struct bus_range */
	const struct io_ops *ops;
	void *opaque;
};

struct pci_device_state {
	uint8_t config[PCI_CONFIG_BYTES];
	bool intx; /* what the device wants; the command register may hold it back */
};

struct pci_device {
	struct pci_device_state s;

	/* Fixed once the device is on the bus. */
	struct pci_bus *bus;
	uint8_t devfn;
	uint8_t capability_end; /* first free byte for pci_device_add_capability() */
	uint8_t capability_last;
	uint8_t reset_config[PCI_CONFIG_BYTES]; /* taken at pci_bus_add(): what a reset returns to */
	uint8_t writable[PCI_CONFIG_BYTES];
	uint8_t write_1_clears[PCI_CONFIG_BYTES];
	struct pci_bar bar[PCI_BARS];

	/* All may be NULL. */
	/* Answer a configuration read instead of s.config; false: not this register. */
	bool (*config_read)(struct pci_device *d, unsigned reg, unsigned bytes, uint32_t *value);
	/* s.config has just been changed by the guest in [reg, reg + bytes). */
	void (*config_written)(struct pci_device *d, unsigned reg, unsigned bytes);
	/* Decode ranges that are not described by a BAR, with pci_device_map(). */
	void (*map_extra)(struct pci_device *d);
	/* RST#: configuration space has already been reset. */
	void (*reset)(struct pci_device *d);
};

struct pci_bus {
	struct bus io;
	struct bus memory;
	unsigned io_fixed;    /* the first ranges of io are ISA chips, not BARs */
	struct irq_line pirq; /* set(opaque, 0..3, level) */
	unsigned count;
	struct pci_device *device[PCI_MAX_DEVICES];
	uint8_t pirq_users[PCI_PIRQS]; /* devices that assert it now */
};

/* pirq.set is called with n = 0..3 for PIRQ A..D. */
void pci_bus_init(struct pci_bus *b, const struct irq_line *pirq);

/* ISA port range behind the bus; goes before every BAR. Returns as bus_add(). */
MUST_CHECK int pci_bus_add_isa(struct pci_bus *b, const struct bus_range *r);

/*
 * Hang d at slot 0..31, function 0..7.  The device stays the caller's and must outlive the bus.
 * Returns 0, -EINVAL, -EBUSY (taken), -ENOSPC.
 */
MUST_CHECK int pci_bus_add(struct pci_bus *b, struct pci_device *d, unsigned slot, unsigned function);

/* RST# on all devices. */
void pci_bus_reset(struct pci_bus *b);

/*
 * A configuration cycle.  address is laid out as the GT-64120's and the PC's 0xcf8 (bus 23:16, device 15:11, function
 * 10:8, register 7:2); off 0..3 and bytes 1, 2, 4 choose the lanes.
 * *present is false when no device answered (master abort): reads give ones.
 */
uint32_t pci_config_read(struct pci_bus *b, uint32_t address, unsigned off, unsigned bytes, bool *present);
void pci_config_write(struct pci_bus *b, uint32_t address, unsigned off, uint32_t value, unsigned bytes, bool *present);

/* Zeroes d; class_code is base class 23:16, sub-class 15:8, interface 7:0. */
void pci_device_init(struct pci_device *d, uint16_t vendor, uint16_t device, uint8_t revision, uint32_t class_code);
/* Returns 0 or -EINVAL.  Before pci_bus_add(). */
MUST_CHECK int pci_device_set_bar(struct pci_device *d, unsigned n, const struct pci_bar *bar);
/*
 * Reserve a capability of `bytes` (header included), write id and link.  Returns its offset (0x40..) or 0 when the
 * 192 bytes are used up.  Before pci_bus_add().
 */
unsigned pci_device_add_capability(struct pci_device *d, uint8_t id, unsigned bytes);
/* Drive the device's interrupt pin (PCI_REG_INTERRUPT_PIN). */
void pci_device_set_irq(struct pci_device *d, bool level);
/* Decode one more range now; only from map_extra(). is_io chooses the space. */
void pci_device_map(struct pci_device *d, bool is_io, const struct bus_range *r);
/* Call after changing, outside a guest's write, what map_extra() depends on. */
void pci_bus_remap(struct pci_bus *b);

static inline uint16_t pci_get16(const struct pci_device *d, unsigned reg)
{
	return (uint16_t)(d->s.config[reg] | d->s.config[reg + 1] << 8);
}
static inline void pci_put16(struct pci_device *d, unsigned reg, uint16_t v)
{
	d->s.config[reg] = (uint8_t)v;
	d->s.config[reg + 1] = (uint8_t)(v >> 8);
}
static inline uint32_t pci_get32(const struct pci_device *d, unsigned reg)
{
	return pci_get16(d, reg) | (uint32_t)pci_get16(d, reg + 2) << 16;
}
static inline void pci_put32(struct pci_device *d, unsigned reg, uint32_t v)
{
	pci_put16(d, reg, (uint16_t)v);
	pci_put16(d, reg + 2, (uint16_t)(v >> 16));
}

#endif
