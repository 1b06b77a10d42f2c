/* SPDX-License-Identifier: MIT */
#include "vmm/board/gt64120.h"

#include <string.h>

enum gt_reg {
#define GT_REG(name, offset, reset, writable) GT_##name = (offset),
#include "vmm/board/gt64120_regs.def"
#undef GT_REG
};

static const struct {
	uint16_t offset;
	uint32_t reset, writable;
} registers[] = {
#define GT_REG(name, offset, reset, writable) {offset, reset, writable},
#include "vmm/board/gt64120_regs.def"
#undef GT_REG
};

enum { CMD_MASTER_NO_SWAP = 1 << 0, CMD_SLAVE_NO_SWAP = 1 << 16, CPU_LITTLE = 1 << 12 };
enum { ADDRESS_SHIFT = 21, WINDOW_BITS = 0x7f };
/* Interrupt cause: sources in 25:1; 0, 30 and 31 are sums that are made up on a read. */
#define CAUSE_SOURCES      0x03fffffeu
#define CAUSE_CPU_OUT      (1u << 3)
#define CAUSE_MASTER_ABORT (1u << 18)
#define CAUSE_ANY          (1u << 0)
#define CAUSE_CPU_ANY      (1u << 30)
#define CAUSE_PCI_ANY      (1u << 31)
#define CFGADDR_ENABLE     (1u << 31)
#define CFGADDR_BUS_DEVICE 0x00fff800u

static uint32_t *reg(struct gt64120 *gt, enum gt_reg r) { return &gt->s.reg[r / 4]; }
static uint32_t get(const struct gt64120 *gt, enum gt_reg r) { return gt->s.reg[r / 4]; }

uint64_t gt64120_isd_base(const struct gt64120 *gt) { return (uint64_t)get(gt, GT_ISD) << ADDRESS_SHIFT; }

/*
 * Window match (data sheet, "CPU address decoding"): A[35:28] equals LD[14:7], and A[27:21] lies between LD[6:0] and
 * HD[6:0]. PCI A[31:21] is the remap register where LD and HD agree, and the CPU's address where they differ.
 */
struct gt64120_decode gt64120_decode(const struct gt64120 *gt, enum gt64120_window w)
{
	static const struct {
		enum gt_reg low, high, remap;
	} row[GT64120_WINDOWS] = {
	    [GT64120_IO] = {GT_PCI0IOLD, GT_PCI0IOHD, GT_PCI0IOREMAP},
	    [GT64120_MEM0] = {GT_PCI0M0LD, GT_PCI0M0HD, GT_PCI0M0REMAP},
	    [GT64120_MEM1] = {GT_PCI0M1LD, GT_PCI0M1HD, GT_PCI0M1REMAP},
	};
	uint32_t low = get(gt, row[w].low), high = get(gt, row[w].high);
	uint32_t differ = (low ^ high) & WINDOW_BITS;
	uint32_t pci = (get(gt, row[w].remap) & ~differ) | (low & differ);

	if ((low & WINDOW_BITS) > high)
		return (struct gt64120_decode){0};
	return (struct gt64120_decode){
	    .base = (uint64_t)low << ADDRESS_SHIFT,
	    .bytes = (uint64_t)(high - (low & WINDOW_BITS) + 1) << ADDRESS_SHIFT,
	    .pci_base = (pci & 0x7ff) << ADDRESS_SHIFT,
	};
}

static uint32_t cause(const struct gt64120 *gt)
{
	uint32_t c = get(gt, GT_INTRCAUSE);

	if (c)
		c |= CAUSE_ANY;
	if (c & get(gt, GT_INTRMASK))
		c |= CAUSE_CPU_ANY;
	if (c & get(gt, GT_PCI0_ICMASK))
		c |= CAUSE_PCI_ANY;
	return c;
}

static void update_interrupt(struct gt64120 *gt) { irq_set(&gt->interrupt, cause(gt) & CAUSE_CPU_ANY); }

static void raise_cause(struct gt64120 *gt, uint32_t bit)
{
	*reg(gt, GT_INTRCAUSE) |= bit;
	update_interrupt(gt);
}

/* No target answered the bridge as a master: PCI 2.2 section 3.3.3.1; the bridge's own status shows it too. */
static void master_abort(struct gt64120 *gt)
{
	pci_put16(&gt->pci, PCI_REG_STATUS, pci_get16(&gt->pci, PCI_REG_STATUS) | PCI_STATUS_MASTER_ABORT);
	raise_cause(gt, CAUSE_MASTER_ABORT);
}

void gt64120_report_unmapped(struct gt64120 *gt, uint64_t pa)
{
	if (!(get(gt, GT_INTRCAUSE) & CAUSE_CPU_OUT)) { /* the first one is kept */
		*reg(gt, GT_CPUERR_ADDRLO) = (uint32_t)pa;
		*reg(gt, GT_CPUERR_ADDRHI) = (uint32_t)(pa >> 32) & 0xf;
	}
	raise_cause(gt, CAUSE_CPU_OUT);
}

/*
 * Configuration data passes through the master's byte swapper, unless the target is the bridge itself (data sheet, "PCI
 * configuration space").  This is why Linux reads device 0 and all others with different byte orders on a big-endian CPU.
 */
static bool swaps_config(const struct gt64120 *gt)
{
	return !(get(gt, GT_PCI0_CMD) & CMD_MASTER_NO_SWAP) && (get(gt, GT_PCI0_CFGADDR) & CFGADDR_BUS_DEVICE);
}

static uint32_t swap(uint32_t v, unsigned bytes) { return __builtin_bswap32(v) >> (32 - 8 * bytes); }

static uint32_t read_config(struct gt64120 *gt, unsigned lane, unsigned bytes)
{
	uint32_t address = get(gt, GT_PCI0_CFGADDR), v;
	bool swapped = swaps_config(gt), present;

	if (!(address & CFGADDR_ENABLE))
		return UINT32_MAX;
	v = pci_config_read(gt->bus, address, swapped ? 4 - bytes - lane : lane, bytes, &present);
	if (!present)
		master_abort(gt);
	return swapped ? swap(v, bytes) : v;
}

static void write_config(struct gt64120 *gt, unsigned lane, uint32_t v, unsigned bytes)
{
	uint32_t address = get(gt, GT_PCI0_CFGADDR);
	bool swapped = swaps_config(gt), present;

	if (!(address & CFGADDR_ENABLE))
		return;
	if (swapped)
		v = swap(v, bytes);
	pci_config_write(gt->bus, address, swapped ? 4 - bytes - lane : lane, v, bytes, &present);
	if (!present)
		master_abort(gt);
}

static uint64_t isd_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct gt64120 *gt = opaque;
	unsigned lane = off & 3;
	uint32_t v;

	switch (off & ~3u) {
	case GT_PCI0_CFGDATA:
		return read_config(gt, lane, bytes);
	case GT_PCI1_CFGDATA:
	case GT_PCI1_IACK: /* nobody on PCI 1 */
		return UINT32_MAX;
	case GT_PCI0_IACK: /* the vector comes on lane 0; a cycle without that lane is none */
		return lane == 0 ? gt->acknowledge(gt->opaque) : 0;
	case GT_INTRCAUSE:
		v = cause(gt);
		break;
	default:
		v = get(gt, off & ~3u);
		break;
	}
	return v >> (8 * lane);
}

/* Writing the low end of a window also sets its remap register: an unprogrammed window is not remapped. */
static void write_low(struct gt64120 *gt, enum gt_reg r)
{
	uint32_t v = get(gt, r) & 0x7ff;

	switch (r) {
	case GT_PCI0IOLD:
		*reg(gt, GT_PCI0IOREMAP) = v;
		break;
	case GT_PCI0M0LD:
		*reg(gt, GT_PCI0M0REMAP) = v;
		break;
	case GT_PCI0M1LD:
		*reg(gt, GT_PCI0M1REMAP) = v;
		break;
	case GT_PCI1IOLD:
		*reg(gt, GT_PCI1IOREMAP) = v;
		break;
	case GT_PCI1M0LD:
		*reg(gt, GT_PCI1M0REMAP) = v;
		break;
	case GT_PCI1M1LD:
		*reg(gt, GT_PCI1M1REMAP) = v;
		break;
	default:
		break;
	}
}

/*
 * How much of each base address register answers to sizing: the bank size registers for the first four, 4 KiB for the
 * internal registers.  No PCI master uses them; without this a guest complains of BARs that it cannot size.
 */
static void update_bar_sizes(struct gt64120 *gt)
{
	const uint32_t bytes_1[PCI_BARS] = {
	    get(gt, GT_PCI0_BS_SCS10) | 0xfff,
	    get(gt, GT_PCI0_BS_SCS32) | 0xfff,
	    get(gt, GT_PCI0_BS_CS20) | 0xfff,
	    get(gt, GT_PCI0_BS_CS3BT) | 0xfff,
	    0xfff,
	    0xfff,
	};

	for (unsigned i = 0; i < PCI_BARS; i++)
		for (unsigned k = 0; k < 4; k++)
			gt->pci.writable[PCI_REG_BAR0 + 4 * i + k] = (uint8_t)(~bytes_1[i] >> (8 * k));
}

static bool is_decode(uint32_t off)
{
	switch (off) {
	case GT_PCI0IOLD:
	case GT_PCI0IOHD:
	case GT_PCI0IOREMAP:
	case GT_PCI0M0LD:
	case GT_PCI0M0HD:
	case GT_PCI0M0REMAP:
	case GT_PCI0M1LD:
	case GT_PCI0M1HD:
	case GT_PCI0M1REMAP:
	case GT_ISD:
		return true;
	default:
		return false;
	}
}

static void isd_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct gt64120 *gt = opaque;
	unsigned lane = off & 3;
	uint32_t lanes = (uint32_t)(bus_mask(bytes) << (8 * lane));
	uint32_t v = (uint32_t)value << (8 * lane);
	uint32_t mask = gt->writable[off / 4] & lanes;

	off &= ~3u;
	if (off == GT_PCI0_CFGDATA) {
		write_config(gt, lane, (uint32_t)value, bytes);
		return;
	}
	if (off == GT_INTRCAUSE)
		*reg(gt, GT_INTRCAUSE) &= v | ~lanes;
	else
		gt->s.reg[off / 4] = (gt->s.reg[off / 4] & ~mask) | (v & mask);
	if (off == GT_INTRCAUSE || off == GT_INTRMASK)
		update_interrupt(gt);
	write_low(gt, off);
	update_bar_sizes(gt);
	if (is_decode(off))
		gt->remap(gt->opaque);
}

/*
 * I/O above 64 KiB that no BAR answers is taken by the PIIX4, which decodes the rest of I/O space subtractively and has 16
 * address lines towards ISA.  This also finds the ISA ports while the I/O remap register still holds the window's base.
 */
static uint64_t window_read(void *opaque, uint32_t off, unsigned bytes)
{
	const struct gt64120_port *p = opaque;
	uint32_t pci = gt64120_decode(p->gt, p->window).pci_base + off;
	bool claimed = false;
	uint64_t v;

	if (p->window == GT64120_IO) {
		if (!bus_find(&p->gt->bus->io, pci))
			pci &= 0xffff;
		return bus_read(&p->gt->bus->io, pci, bytes, &claimed);
	}
	v = bus_read(&p->gt->bus->memory, pci, bytes, &claimed);
	if (!claimed)
		master_abort(p->gt);
	return v;
}

static void window_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	const struct gt64120_port *p = opaque;
	uint32_t pci = gt64120_decode(p->gt, p->window).pci_base + off;
	bool claimed = false;

	if (p->window == GT64120_IO) {
		if (!bus_find(&p->gt->bus->io, pci))
			pci &= 0xffff;
		bus_write(&p->gt->bus->io, pci, value, bytes, &claimed);
		return;
	}
	bus_write(&p->gt->bus->memory, pci, value, bytes, &claimed);
	if (!claimed)
		master_abort(p->gt);
}

const struct io_ops gt64120_isd_ops = {isd_read, isd_write};
const struct io_ops gt64120_window_ops = {window_read, window_write};

/* The BARs are how a PCI master would reach memory and the registers. */
static void init_pci(struct pci_device *d)
{
	static const uint32_t bar[PCI_BARS] = {0x00000008, 0x01000008, 0x1c000000, 0x1f000000, 0x14000000, 0x14000001};

	pci_device_init(d, 0x11ab, 0x4620, 0x10, 0x060000);
	for (unsigned i = 0; i < PCI_BARS; i++)
		pci_put32(d, PCI_REG_BAR0 + 4 * i, bar[i]);
	d->s.config[PCI_REG_INTERRUPT_PIN] = 1;
}

int gt64120_init(struct gt64120 *gt, const struct gt64120_config *cfg)
{
	memset(gt, 0, sizeof(*gt));
	gt->bus = cfg->bus;
	gt->big_endian = cfg->big_endian;
	gt->interrupt = cfg->interrupt;
	gt->acknowledge = cfg->acknowledge;
	gt->remap = cfg->remap;
	gt->opaque = cfg->opaque;
	for (unsigned i = 0; i < ARRAY_LEN(registers); i++)
		gt->writable[registers[i].offset / 4] = registers[i].writable;
	for (unsigned w = 0; w < GT64120_WINDOWS; w++)
		gt->port[w] = (struct gt64120_port){gt, w};
	init_pci(&gt->pci);
	return pci_bus_add(cfg->bus, &gt->pci, 0, 0);
}

void gt64120_reset(struct gt64120 *gt)
{
	memset(&gt->s, 0, sizeof(gt->s));
	for (unsigned i = 0; i < ARRAY_LEN(registers); i++)
		gt->s.reg[registers[i].offset / 4] = registers[i].reset;
	if (!gt->big_endian) {
		*reg(gt, GT_CPU) |= CPU_LITTLE;
		*reg(gt, GT_PCI0_CMD) = CMD_MASTER_NO_SWAP | CMD_SLAVE_NO_SWAP;
	}
	update_interrupt(gt);
	update_bar_sizes(gt);
	gt->remap(gt->opaque);
}
