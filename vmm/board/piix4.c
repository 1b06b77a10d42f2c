/* SPDX-License-Identifier: MIT */
#include "vmm/board/piix4.h"

#include <string.h>

enum { SLOT = 10, FUNCTION_ISA = 0, FUNCTION_IDE = 1 };
enum { ISA_PIRQ_ROUTE = 0x60, PIRQ_DISABLED = 0x80, PIRQ_IRQ = 0x0f };
enum { PORT_PORT92 = 0x92, PORT_APM = 0xb2, PORT_RESET_CONTROL = 0xcf9 };
enum { RESET_CONTROL_CPU = 0x04, PORT92_INIT = 0x01 };
enum { ROUTABLE = 0xdef8 }; /* IRQ 3-7, 9-12, 14, 15 */

/* The level of an ISA interrupt: its own chip, or any PIRQ that is routed there. */
static void update_irq(struct piix4 *p, unsigned n)
{
	bool level = p->s.isa_lines >> n & 1;

	for (unsigned i = 0; i < PCI_PIRQS; i++) {
		uint8_t route = p->isa.s.config[ISA_PIRQ_ROUTE + i];

		if ((p->s.pirq_lines >> i & 1) && !(route & PIRQ_DISABLED) && (route & PIRQ_IRQ) == n)
			level |= ROUTABLE >> n & 1;
	}
	p->isa_irq.set(p->isa_irq.opaque, n, level);
}

void piix4_set_isa_irq(void *piix4, unsigned n, bool level)
{
	struct piix4 *p = piix4;
	uint16_t bit = (uint16_t)(1u << (n & 15));

	p->s.isa_lines = level ? p->s.isa_lines | bit : p->s.isa_lines & (uint16_t)~bit;
	update_irq(p, n & 15);
}

static void update_routed(struct piix4 *p)
{
	for (unsigned n = 0; n < 16; n++)
		if (ROUTABLE >> n & 1)
			update_irq(p, n);
}

void piix4_set_pirq(void *piix4, unsigned n, bool level)
{
	struct piix4 *p = piix4;
	uint8_t bit = (uint8_t)(1u << (n & 3));

	p->s.pirq_lines = level ? p->s.pirq_lines | bit : p->s.pirq_lines & (uint8_t)~bit;
	update_routed(p);
}

static void isa_config_written(struct pci_device *d, unsigned reg, unsigned bytes)
{
	struct piix4 *p = (struct piix4 *)((char *)d - offsetof(struct piix4, isa));

	if (reg + bytes > ISA_PIRQ_ROUTE && reg < ISA_PIRQ_ROUTE + PCI_PIRQS)
		update_routed(p);
}

static uint64_t apm_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct piix4 *p = opaque;

	return p->s.apm[off & 1];
}

/* The SMI# that a write of APMC could raise has no handler on a MIPS. */
static void apm_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct piix4 *p = opaque;

	p->s.apm[off & 1] = (uint8_t)value;
}

static uint64_t reset_control_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct piix4 *p = opaque;

	return p->s.reset_control;
}

static void reset_control_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct piix4 *p = opaque;
	bool rises = (value & RESET_CONTROL_CPU) && !(p->s.reset_control & RESET_CONTROL_CPU);

	p->s.reset_control = value & 0x06;
	if (rises && p->reset)
		p->reset(p->opaque);
}

static uint64_t port92_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct piix4 *p = opaque;

	return p->s.port92;
}

static void port92_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct piix4 *p = opaque;
	bool rises = (value & PORT92_INIT) && !(p->s.port92 & PORT92_INIT);

	p->s.port92 = value & 0x03;
	if (rises && p->reset)
		p->reset(p->opaque);
}

/* Bus master IDE: command, status, descriptor pointer for each channel.  No drive ever asks for a transfer. */
static uint64_t bus_master_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct piix4 *p = opaque;

	return p->ide_s.bus_master[off & 15];
}

static void bus_master_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	static const uint8_t writable[8] = {0x09, 0, 0x60, 0, 0xfc, 0xff, 0xff, 0xff};
	struct piix4 *p = opaque;
	uint8_t *cell = &p->ide_s.bus_master[off & 15];
	uint8_t mask = writable[off & 7];

	*cell = (uint8_t)((*cell & ~mask) | (value & mask));
}

static const struct io_ops apm_ops = {apm_read, apm_write};
static const struct io_ops reset_control_ops = {reset_control_read, reset_control_write};
static const struct io_ops port92_ops = {port92_read, port92_write};
static const struct io_ops bus_master_ops = {bus_master_read, bus_master_write};

static void allow(struct pci_device *d, unsigned first, unsigned last)
{
	memset(d->writable + first, 0xff, last - first + 1);
}

static void init_isa(struct pci_device *d)
{
	static const uint8_t route[PCI_PIRQS] = {10, 10, 11, 11};

	pci_device_init(d, 0x8086, 0x7110, 0x02, 0x060100);
	d->s.config[PCI_REG_COMMAND] = 0x07;
	d->writable[PCI_REG_COMMAND] = 0x08; /* special cycles; I/O, memory and master are wired on */
	d->s.config[PCI_REG_HEADER_TYPE] = 0x80;
	d->s.config[0x4c] = 0x4d; /* ISA I/O recovery */
	d->s.config[0x4e] = 0x03; /* X-bus chip select: RTC and keyboard */
	memcpy(d->s.config + ISA_PIRQ_ROUTE, route, sizeof(route));
	d->s.config[0x64] = 0x10; /* serial IRQ */
	d->s.config[0x69] = 0x02; /* top of memory */
	d->s.config[0x76] = d->s.config[0x77] = 0x0c;
	d->s.config[0xcb] = 0x21; /* RTC and its upper bank on */
	allow(d, 0x4c, 0x4c);
	allow(d, 0x4e, 0x4f);
	memset(d->writable + ISA_PIRQ_ROUTE, PIRQ_DISABLED | PIRQ_IRQ, PCI_PIRQS);
	allow(d, 0x64, 0x64);
	allow(d, 0x69, 0x6b);
	allow(d, 0x70, 0x71);
	allow(d, 0x76, 0x80);
	allow(d, 0x82, 0x82);
	allow(d, 0x90, 0x95);
	allow(d, 0xb0, 0xb3);
	allow(d, 0xcb, 0xcb);
	d->config_written = isa_config_written;
}

static int init_ide(struct piix4 *p)
{
	struct pci_device *d = &p->ide;

	pci_device_init(d, 0x8086, 0x7111, 0x01, 0x010180);
	d->writable[PCI_REG_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MASTER;
	d->s.config[PCI_REG_HEADER_TYPE] = 0;
	allow(d, 0x40, 0x44);
	allow(d, 0x48, 0x48);
	allow(d, 0x4a, 0x4b);
	return pci_device_set_bar(
	    d, 4, &(struct pci_bar){.bytes = 16, .is_io = true, .width = 1, .ops = &bus_master_ops, .opaque = p});
}

static int add_ports(struct piix4 *p, struct pci_bus *bus)
{
	const struct bus_range range[] = {
	    {.base = PORT_PORT92, .bytes = 1, .ops = &port92_ops, .opaque = p, .width = 1},
	    {.base = PORT_APM, .bytes = 2, .ops = &apm_ops, .opaque = p, .width = 1},
	    {.base = PORT_RESET_CONTROL, .bytes = 1, .ops = &reset_control_ops, .opaque = p, .width = 1},
	};
	int err = 0;

	for (unsigned i = 0; i < ARRAY_LEN(range) && !err; i++)
		err = pci_bus_add_isa(bus, &range[i]);
	return err;
}

int piix4_init(struct piix4 *p, struct pci_bus *bus, const struct piix4_config *cfg)
{
	int err;

	memset(p, 0, sizeof(*p));
	p->clock = cfg->clock;
	p->isa_irq = cfg->isa_irq;
	p->power_off = cfg->power_off;
	p->reset = cfg->reset;
	p->opaque = cfg->opaque;
	init_isa(&p->isa);
	err = init_ide(p);
	if (!err)
		err = add_ports(p, bus);
	if (!err)
		err = pci_bus_add(bus, &p->isa, SLOT, FUNCTION_ISA);
	if (!err)
		err = pci_bus_add(bus, &p->ide, SLOT, FUNCTION_IDE);
	if (!err)
		err = piix4_pm_init(p, bus);
	return err;
}

/* Configuration space is reset by pci_bus_reset(). */
void piix4_reset(struct piix4 *p)
{
	uint16_t isa_lines = p->s.isa_lines;
	uint8_t pirq_lines = p->s.pirq_lines;

	p->s = (struct piix4_state){.isa_lines = isa_lines, .pirq_lines = pirq_lines, .port92 = 0x02};
	memset(&p->ide_s, 0, sizeof(p->ide_s));
	piix4_pm_reset(p);
	update_routed(p);
}

void piix4_stop(struct piix4 *p) { piix4_pm_stop(p); }
