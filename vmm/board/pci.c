/* SPDX-License-Identifier: MIT */
#include "vmm/board/pci.h"

#include <errno.h>
#include <string.h>

enum { SLOT_PIIX4 = 10, SLOT_ETHERNET = 11, SLOT_SOUND = 12, SLOT_CONNECTOR1 = 18, SLOT_CONNECTOR4 = 21 };

/* How the Malta wires INTA..INTD of each slot to PIRQ A..D (Malta User's Manual, "PCI interrupt routing"). */
static unsigned pirq_of(const struct pci_device *d)
{
	unsigned slot = d->devfn >> 3;
	unsigned pin = (d->s.config[PCI_REG_INTERRUPT_PIN] - 1u) & 3;

	switch (slot) {
	case SLOT_PIIX4:
		return 3;
	case SLOT_ETHERNET:
		return 1;
	case SLOT_SOUND:
		return 2;
	case SLOT_CONNECTOR1 ... SLOT_CONNECTOR4:
		return (slot - SLOT_CONNECTOR1 + pin) & 3;
	default:
		return pin;
	}
}

static bool intx_asserted(const struct pci_device *d)
{
	return d->s.intx && d->s.config[PCI_REG_INTERRUPT_PIN] &&
	       !(pci_get16(d, PCI_REG_COMMAND) & PCI_COMMAND_INTX_DISABLE);
}

/* Recount instead of keeping the sum up to date: a device count of 32 is cheaper than a drifting counter. */
static void update_pirqs(struct pci_bus *b)
{
	uint8_t users[PCI_PIRQS] = {0};

	for (unsigned i = 0; i < b->count; i++)
		if (intx_asserted(b->device[i]))
			users[pirq_of(b->device[i])]++;
	for (unsigned p = 0; p < PCI_PIRQS; p++) {
		bool was = b->pirq_users[p] != 0;

		b->pirq_users[p] = users[p];
		if (was != (users[p] != 0) && b->pirq.set)
			b->pirq.set(b->pirq.opaque, p, users[p] != 0);
	}
}

void pci_bus_init(struct pci_bus *b, const struct irq_line *pirq)
{
	memset(b, 0, sizeof(*b));
	b->pirq = *pirq;
}

int pci_bus_add_isa(struct pci_bus *b, const struct bus_range *r)
{
	int err;

	bus_truncate(&b->io, b->io_fixed);
	err = bus_add(&b->io, r);
	if (!err)
		b->io_fixed = b->io.count;
	pci_bus_remap(b);
	return err;
}

static struct pci_device *find_device(const struct pci_bus *b, unsigned devfn)
{
	for (unsigned i = 0; i < b->count; i++)
		if (b->device[i]->devfn == devfn)
			return b->device[i];
	return NULL;
}

int pci_bus_add(struct pci_bus *b, struct pci_device *d, unsigned slot, unsigned function)
{
	if (slot > 31 || function > 7)
		return -EINVAL;
	d->devfn = (uint8_t)(slot << 3 | function);
	if (find_device(b, d->devfn))
		return -EBUSY;
	if (b->count == PCI_MAX_DEVICES)
		return -ENOSPC;
	d->bus = b;
	memcpy(d->reset_config, d->s.config, sizeof(d->reset_config));
	b->device[b->count++] = d;
	pci_bus_remap(b);
	return 0;
}

void pci_device_map(struct pci_device *d, bool is_io, const struct bus_range *r)
{
	/* 32 devices of 6 BARs, and the ISA chips, fit in BUS_MAX_RANGES; a range that does not is simply not decoded. */
	if (bus_add(is_io ? &d->bus->io : &d->bus->memory, r))
		return;
}

static void map_bar(struct pci_device *d, unsigned n)
{
	const struct pci_bar *bar = &d->bar[n];
	uint16_t command = pci_get16(d, PCI_REG_COMMAND);
	uint32_t base = pci_get32(d, PCI_REG_BAR0 + 4 * n) & -bar->bytes;

	if (!bar->bytes || !(command & (bar->is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
		return;
	/* An unassigned BAR, or one that is just being sized, must not appear in the middle of something else. */
	if (base == 0 || base + (bar->bytes - 1) == UINT32_MAX)
		return;
	pci_device_map(
	    d, bar->is_io,
	    &(struct bus_range){
		.base = base, .bytes = bar->bytes, .ops = bar->ops, .opaque = bar->opaque, .width = bar->width});
}

void pci_bus_remap(struct pci_bus *b)
{
	bus_truncate(&b->io, b->io_fixed);
	bus_truncate(&b->memory, 0);
	for (unsigned i = 0; i < b->count; i++) {
		for (unsigned n = 0; n < PCI_BARS; n++)
			map_bar(b->device[i], n);
		if (b->device[i]->map_extra)
			b->device[i]->map_extra(b->device[i]);
	}
}

void pci_bus_reset(struct pci_bus *b)
{
	for (unsigned i = 0; i < b->count; i++) {
		struct pci_device *d = b->device[i];

		memcpy(d->s.config, d->reset_config, sizeof(d->s.config));
		d->s.intx = false;
		if (d->reset)
			d->reset(d);
	}
	update_pirqs(b);
	pci_bus_remap(b);
}

static struct pci_device *config_target(struct pci_bus *b, uint32_t address, unsigned off, unsigned bytes)
{
	if ((address >> 16 & 0xff) != 0) /* no bridges: type 1 cycles end in a master abort */
		return NULL;
	if (off > 3 || bytes > 4 || off + bytes > 4)
		return NULL;
	return find_device(b, address >> 8 & 0xff);
}

uint32_t pci_config_read(struct pci_bus *b, uint32_t address, unsigned off, unsigned bytes, bool *present)
{
	struct pci_device *d = config_target(b, address, off, bytes);
	unsigned reg = (address & 0xfc) + off;
	uint32_t value = 0;

	*present = d != NULL;
	if (!d)
		return (uint32_t)bus_mask(bytes);
	if (d->config_read && d->config_read(d, reg, bytes, &value))
		return value & (uint32_t)bus_mask(bytes);
	for (unsigned i = 0; i < bytes; i++) {
		uint8_t byte = d->s.config[reg + i];

		if (reg + i == PCI_REG_STATUS && d->s.intx)
			byte |= PCI_STATUS_INTX;
		value |= (uint32_t)byte << (8 * i);
	}
	return value;
}

void pci_config_write(struct pci_bus *b, uint32_t address, unsigned off, uint32_t value, unsigned bytes, bool *present)
{
	struct pci_device *d = config_target(b, address, off, bytes);
	unsigned reg = (address & 0xfc) + off;

	*present = d != NULL;
	if (!d)
		return;
	for (unsigned i = 0; i < bytes; i++) {
		uint8_t byte = (uint8_t)(value >> (8 * i));
		uint8_t *cell = &d->s.config[reg + i];

		*cell = (uint8_t)((*cell & ~d->writable[reg + i]) | (byte & d->writable[reg + i]));
		*cell &= (uint8_t) ~(byte & d->write_1_clears[reg + i]);
	}
	if (d->config_written)
		d->config_written(d, reg, bytes);
	update_pirqs(b);
	pci_bus_remap(b);
}

void pci_device_init(struct pci_device *d, uint16_t vendor, uint16_t device, uint8_t revision, uint32_t class_code)
{
	memset(d, 0, sizeof(*d));
	pci_put16(d, PCI_REG_VENDOR, vendor);
	pci_put16(d, PCI_REG_DEVICE, device);
	d->s.config[PCI_REG_REVISION] = revision;
	d->s.config[PCI_REG_CLASS] = (uint8_t)class_code;
	pci_put16(d, PCI_REG_CLASS + 1, (uint16_t)(class_code >> 8));
	pci_put16(d, PCI_REG_STATUS, 0x0280);    /* fast back-to-back, medium DEVSEL */
	d->writable[PCI_REG_COMMAND] = 0x47;     /* I/O, memory, master, parity */
	d->writable[PCI_REG_COMMAND + 1] = 0x05; /* SERR#, INTx disable */
	d->write_1_clears[PCI_REG_STATUS + 1] = 0xf9;
	d->writable[PCI_REG_CACHE_LINE] = 0xff;
	d->writable[PCI_REG_LATENCY] = 0xff;
	d->writable[PCI_REG_INTERRUPT_LINE] = 0xff;
	d->capability_end = 0x40;
}

int pci_device_set_bar(struct pci_device *d, unsigned n, const struct pci_bar *bar)
{
	uint32_t smallest = bar->is_io ? 4 : 16;
	unsigned reg = PCI_REG_BAR0 + 4 * n;
	uint32_t mask = -bar->bytes;

	if (n >= PCI_BARS || bar->bytes < smallest || (bar->bytes & (bar->bytes - 1)) || !bar->ops)
		return -EINVAL;
	if (bar->width != 1 && bar->width != 2 && bar->width != 4)
		return -EINVAL;
	d->bar[n] = *bar;
	pci_put32(d, reg, bar->is_io ? 1 : bar->prefetchable ? 8 : 0);
	for (unsigned i = 0; i < 4; i++)
		d->writable[reg + i] = (uint8_t)(mask >> (8 * i));
	return 0;
}

unsigned pci_device_add_capability(struct pci_device *d, uint8_t id, unsigned bytes)
{
	unsigned at = (d->capability_end + 3u) & ~3u;

	if (bytes < 2 || at < 0x40 || bytes > PCI_CONFIG_BYTES - at)
		return 0;
	/* Linked at the end, so that the guest walks them in the order of the calls. */
	d->s.config[d->capability_last ? d->capability_last + 1u : PCI_REG_CAPABILITIES] = (uint8_t)at;
	d->s.config[at] = id;
	d->s.config[at + 1] = 0;
	d->s.config[PCI_REG_STATUS] |= PCI_STATUS_CAPABILITIES;
	d->capability_last = (uint8_t)at;
	/* 256 wraps to 0, which is below 0x40: no room from then on. */
	d->capability_end = (uint8_t)(at + bytes);
	return at;
}

void pci_device_set_irq(struct pci_device *d, bool level)
{
	if (d->s.intx == level)
		return;
	d->s.intx = level;
	if (d->bus)
		update_pirqs(d->bus);
}
