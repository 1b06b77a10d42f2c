/* SPDX-License-Identifier: MIT */
#include "vmm/board/board.h"

#include "vmm/board/fpga.h"
#include "vmm/board/gt64120.h"
#include "vmm/board/i8042.h"
#include "vmm/board/i8254.h"
#include "vmm/board/i8257.h"
#include "vmm/board/i8259.h"
#include "vmm/board/mc146818.h"
#include "vmm/board/piix4.h"
#include "vmm/board/uart16550.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* CPU interrupt pins (Malta User's Manual, "Interrupts"; the CPU's own timer is 7). */
enum { PIN_I8259 = 2, PIN_CBUS_UART = 4, PIN_CORE_HI = 5 };
enum { IRQ_TIMER = 0, IRQ_KEYBOARD = 1, IRQ_TTYS1 = 3, IRQ_TTYS0 = 4, IRQ_RTC = 8 };
enum { UART_HZ = 1843200, CBUS_UART_HZ = 3686400 };

enum physical {
	PHYS_FLASH = 0x1e000000,
	PHYS_FPGA = 0x1f000000,
	PHYS_CBUS_UART = 0x1f000900,
	PHYS_BOOT = 0x1fc00000,
	FLASH_BYTES = 0x400000,
	CBUS_UART_BYTES = 0x40,
	/* REVISION: product 2 (Malta), core board 1 (CoreLV: a GT-64120), FPGA and board revision 0. */
	REVISION_OFFSET = 0x10,
	REVISION = 0x420,
	/* The GT-64120 ends every cycle below this itself: nothing there is a bus error. */
	PHYS_GT64120_END = 0x20000000,
};

enum uart { UART_TTYS0, UART_TTYS1, UART_CBUS, UARTS };

struct board {
	struct board_config cfg;
	struct bus physical;
	struct pci_bus pci;
	struct gt64120 gt;
	struct piix4 piix4;
	struct i8259_pair pic;
	struct i8254 pit;
	struct mc146818 rtc;
	struct i8042 keyboard;
	struct i8257 dma[2];
	struct i8257_pages dma_pages;
	struct uart16550 uart[UARTS];
	struct fpga fpga;
};

/* The monitor flash without an image: erased, and not writable from the CPU. */
static uint64_t flash_read(void *opaque, uint32_t off, unsigned bytes) { return UINT64_MAX; }
static void flash_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes) {}

static uint64_t boot_read(void *opaque, uint32_t off, unsigned bytes)
{
	if ((off & ~3u) == REVISION_OFFSET)
		return REVISION >> (8 * (off & 3));
	return UINT64_MAX;
}

static const struct io_ops flash_ops = {flash_read, flash_write};
static const struct io_ops boot_ops = {boot_read, flash_write};

/* The table is filled from constants, and BUS_MAX_RANGES holds all of it. */
static void add_physical(struct board *b, const struct bus_range *r)
{
	if (bus_add(&b->physical, r))
		panic("physical range at %#llx", (unsigned long long)r->base);
}

/* The physical address map as the GT-64120's decode registers have it now. */
static void remap(void *opaque)
{
	struct board *b = opaque;

	bus_truncate(&b->physical, 0);
	add_physical(b, &(struct bus_range){gt64120_isd_base(&b->gt), GT64120_ISD_BYTES, &gt64120_isd_ops, &b->gt, 4,
					    BUS_LANES_LITTLE});
	add_physical(b, &(struct bus_range){PHYS_CBUS_UART, CBUS_UART_BYTES, &uart16550_stride8_ops,
					    &b->uart[UART_CBUS], 4, BUS_LANES_WORD});
	add_physical(b, &(struct bus_range){PHYS_FPGA, FPGA_BYTES, &fpga_ops, &b->fpga, 4, BUS_LANES_WORD});
	add_physical(b, &(struct bus_range){PHYS_FLASH, FLASH_BYTES, &flash_ops, b, 4, BUS_LANES_WORD});
	add_physical(b, &(struct bus_range){PHYS_BOOT, FLASH_BYTES, &boot_ops, b, 4, BUS_LANES_WORD});
	for (unsigned w = 0; w < GT64120_WINDOWS; w++) {
		struct gt64120_decode d = gt64120_decode(&b->gt, w);

		if (d.bytes)
			add_physical(b, &(struct bus_range){d.base, d.bytes, &gt64120_window_ops, &b->gt.port[w], 4,
							    BUS_LANES_LITTLE});
	}
}

static uint8_t acknowledge(void *opaque)
{
	struct board *b = opaque;

	return i8259_acknowledge(&b->pic);
}

static void power_off(void *opaque)
{
	struct board *b = opaque;

	if (b->cfg.power_off)
		b->cfg.power_off(b->cfg.opaque);
}

static void request_reset(void *opaque)
{
	struct board *b = opaque;

	if (b->cfg.reset)
		b->cfg.reset(b->cfg.opaque);
}

static int init_bridges(struct board *b)
{
	int err;

	pci_bus_init(&b->pci, &(struct irq_line){piix4_set_pirq, &b->piix4, 0});
	err = gt64120_init(&b->gt, &(struct gt64120_config){.bus = &b->pci,
							    .big_endian = b->cfg.big_endian,
							    .interrupt = b->cfg.cpu_irq[PIN_CORE_HI],
							    .acknowledge = acknowledge,
							    .remap = remap,
							    .opaque = b});
	if (err)
		return err;
	return piix4_init(&b->piix4, &b->pci,
			  &(struct piix4_config){.clock = b->cfg.clock,
						 .isa_irq = {i8259_set_irq, &b->pic, 0},
						 .power_off = power_off,
						 .reset = request_reset,
						 .opaque = b});
}

static struct irq_line isa_irq(struct board *b, unsigned n)
{
	return (struct irq_line){piix4_set_isa_irq, &b->piix4, n};
}

static void init_chips(struct board *b)
{
	const struct board_config *cfg = &b->cfg;
	struct irq_line line[] = {isa_irq(b, IRQ_TIMER), isa_irq(b, IRQ_RTC), isa_irq(b, IRQ_KEYBOARD),
				  isa_irq(b, IRQ_TTYS0), isa_irq(b, IRQ_TTYS1)};

	i8259_init(&b->pic, &cfg->cpu_irq[PIN_I8259]);
	i8254_init(&b->pit, &cfg->clock, &line[0]);
	mc146818_init(&b->rtc, &cfg->clock, &line[1], cfg->battery);
	i8042_init(&b->keyboard, &line[2], request_reset, b);
	i8257_init(&b->dma[0], 0);
	i8257_init(&b->dma[1], 1);
	uart16550_init(&b->uart[UART_TTYS0], &cfg->clock, &line[3], UART_HZ, cfg->console_tx, cfg->opaque);
	uart16550_init(&b->uart[UART_TTYS1], &cfg->clock, &line[4], UART_HZ, NULL, NULL);
	uart16550_init(&b->uart[UART_CBUS], &cfg->clock, &cfg->cpu_irq[PIN_CBUS_UART], CBUS_UART_HZ, NULL, NULL);
	fpga_init(&b->fpga, cfg->big_endian, request_reset, b);
}

static int add_isa_chips(struct board *b)
{
	const struct bus_range range[] = {
	    {.base = 0x3f8, .bytes = 8, .ops = &uart16550_ops, .opaque = &b->uart[UART_TTYS0], .width = 1},
	    {.base = 0x2f8, .bytes = 8, .ops = &uart16550_ops, .opaque = &b->uart[UART_TTYS1], .width = 1},
	    {.base = 0x20, .bytes = 2, .ops = &i8259_ops, .opaque = &b->pic.chip[0], .width = 1},
	    {.base = 0xa0, .bytes = 2, .ops = &i8259_ops, .opaque = &b->pic.chip[1], .width = 1},
	    {.base = 0x4d0, .bytes = 2, .ops = &i8259_elcr_ops, .opaque = &b->pic, .width = 1},
	    {.base = 0x40, .bytes = 4, .ops = &i8254_ops, .opaque = &b->pit, .width = 1},
	    {.base = 0x61, .bytes = 1, .ops = &i8254_port61_ops, .opaque = &b->pit, .width = 1},
	    {.base = 0x60, .bytes = 1, .ops = &i8042_data_ops, .opaque = &b->keyboard, .width = 1},
	    {.base = 0x64, .bytes = 1, .ops = &i8042_command_ops, .opaque = &b->keyboard, .width = 1},
	    {.base = 0x70, .bytes = 4, .ops = &mc146818_ops, .opaque = &b->rtc, .width = 1},
	    {.base = 0x00, .bytes = 16, .ops = &i8257_ops, .opaque = &b->dma[0], .width = 1},
	    {.base = 0xc0, .bytes = 32, .ops = &i8257_ops, .opaque = &b->dma[1], .width = 1},
	    {.base = 0x80, .bytes = 16, .ops = &i8257_page_ops, .opaque = &b->dma_pages, .width = 1},
	};
	int err = 0;

	for (unsigned i = 0; i < ARRAY_LEN(range) && !err; i++)
		err = pci_bus_add_isa(&b->pci, &range[i]);
	return err;
}

int board_new(struct board **out, const struct board_config *cfg)
{
	struct board *b;
	int err;

	if (!cfg->clock.now_ns || !cfg->clock.alarm || !cfg->clock.skip_to || !cfg->clock.date_ns)
		return -EINVAL;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->cfg = *cfg;
	err = init_bridges(b);
	if (!err)
		err = add_isa_chips(b);
	if (err) {
		free(b);
		return err;
	}
	init_chips(b);
	board_reset(b);
	*out = b;
	return 0;
}

void board_free(struct board *b)
{
	if (!b)
		return;
	i8254_stop(&b->pit);
	mc146818_stop(&b->rtc);
	if (b->cfg.battery)
		mc146818_save(&b->rtc, b->cfg.battery);
	piix4_stop(&b->piix4);
	for (unsigned i = 0; i < UARTS; i++)
		uart16550_stop(&b->uart[i]);
	free(b);
}

void board_reset(struct board *b)
{
	gt64120_reset(&b->gt);
	pci_bus_reset(&b->pci);
	i8259_reset(&b->pic);
	i8254_reset(&b->pit);
	mc146818_reset(&b->rtc);
	i8042_reset(&b->keyboard);
	i8257_reset(&b->dma[0]);
	i8257_reset(&b->dma[1]);
	b->dma_pages = (struct i8257_pages){{0}};
	for (unsigned i = 0; i < UARTS; i++)
		uart16550_reset(&b->uart[i]);
	fpga_reset(&b->fpga);
	piix4_reset(&b->piix4);
}

/* A big-endian CPU's value of bytes that the bus numbers from the low address up. */
static uint64_t swap_value(uint64_t v, unsigned bytes) { return __builtin_bswap64(v) >> (64 - 8 * bytes); }

/* On word lanes a big-endian CPU finds byte 0 of a register at address 3: the wires cross, the word keeps its value. */
static uint64_t read_word_lanes(struct board *b, uint64_t pa, unsigned bytes, bool *claimed)
{
	uint64_t v;

	if ((bytes == 1 || bytes == 2 || bytes == 4) && !(pa & (bytes - 1)))
		return bus_read(&b->physical, pa ^ (4 - bytes), bytes, claimed);
	if (bytes == 8 && !(pa & 7)) {
		v = bus_read(&b->physical, pa, 4, claimed) << 32;
		return v | bus_read(&b->physical, pa + 4, 4, claimed);
	}
	v = 0;
	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | bus_read(&b->physical, (pa + i) ^ 3, 1, claimed);
	return v;
}

static void write_word_lanes(struct board *b, uint64_t pa, uint64_t v, unsigned bytes, bool *claimed)
{
	if ((bytes == 1 || bytes == 2 || bytes == 4) && !(pa & (bytes - 1))) {
		bus_write(&b->physical, pa ^ (4 - bytes), v, bytes, claimed);
		return;
	}
	if (bytes == 8 && !(pa & 7)) {
		bus_write(&b->physical, pa, v >> 32, 4, claimed);
		bus_write(&b->physical, pa + 4, v, 4, claimed);
		return;
	}
	for (unsigned i = 0; i < bytes; i++)
		bus_write(&b->physical, (pa + i) ^ 3, v >> (8 * (bytes - 1 - i)), 1, claimed);
}

static bool has_word_lanes(const struct board *b, uint64_t pa)
{
	const struct bus_range *r = bus_find(&b->physical, pa);

	return r && r->lanes == BUS_LANES_WORD;
}

static void report_unclaimed(struct board *b, uint64_t pa)
{
	if (pa < PHYS_GT64120_END)
		gt64120_report_unmapped(&b->gt, pa);
}

uint64_t board_read(struct board *b, struct gpa pa, unsigned bytes, bool *claimed)
{
	uint64_t v;

	*claimed = false;
	if (bytes == 0 || bytes > 8)
		return UINT64_MAX;
	if (!b->cfg.big_endian)
		v = bus_read(&b->physical, pa.v, bytes, claimed);
	else if (has_word_lanes(b, pa.v))
		v = read_word_lanes(b, pa.v, bytes, claimed);
	else
		v = swap_value(bus_read(&b->physical, pa.v, bytes, claimed), bytes);
	if (!*claimed)
		report_unclaimed(b, pa.v);
	return v;
}

void board_write(struct board *b, struct gpa pa, uint64_t value, unsigned bytes, bool *claimed)
{
	*claimed = false;
	if (bytes == 0 || bytes > 8)
		return;
	if (!b->cfg.big_endian)
		bus_write(&b->physical, pa.v, value, bytes, claimed);
	else if (has_word_lanes(b, pa.v))
		write_word_lanes(b, pa.v, value, bytes, claimed);
	else
		bus_write(&b->physical, pa.v, swap_value(value, bytes), bytes, claimed);
	if (!*claimed)
		report_unclaimed(b, pa.v);
}

size_t board_console_rx(struct board *b, const uint8_t *data, size_t n)
{
	return uart16550_rx(&b->uart[UART_TTYS0], data, n);
}

size_t board_console_room(const struct board *b) { return uart16550_room(&b->uart[UART_TTYS0]); }

/* ---- states ---- */

enum { CHIP_STATES = 18 };

struct chip_state {
	void *at;
	size_t bytes;
};

#define CHIP(state) ((struct chip_state){&(state), sizeof(state)})

/* One row for each struct that a chip changes (README, "Invariants"). */
static void list_states(struct board *b, struct chip_state out[CHIP_STATES])
{
	const struct chip_state all[CHIP_STATES] = {
	    CHIP(b->gt.s),       CHIP(b->piix4.s),        CHIP(b->piix4.ide_s),
	    CHIP(b->piix4.pm_s), CHIP(b->pic.chip[0].s),  CHIP(b->pic.chip[1].s),
	    CHIP(b->pit.s),      CHIP(b->rtc.s),          CHIP(b->keyboard.s),
	    CHIP(b->dma[0].s),   CHIP(b->dma[1].s),       CHIP(b->dma_pages),
	    CHIP(b->uart[0].s),  CHIP(b->uart[1].s),      CHIP(b->uart[2].s),
	    CHIP(b->fpga.s),     CHIP(b->pci.pirq_users), {NULL, 0},
	};

	memcpy(out, all, sizeof(all));
}

size_t board_state_bytes(const struct board *b)
{
	struct chip_state chip[CHIP_STATES];
	size_t bytes = b->pci.count * sizeof(struct pci_device_state);

	list_states((struct board *)(uintptr_t)b, chip);
	for (unsigned i = 0; i < CHIP_STATES; i++)
		bytes += chip[i].bytes;
	return bytes;
}

void board_save(struct board *b, void *state)
{
	struct chip_state chip[CHIP_STATES];
	uint8_t *to = state;

	list_states(b, chip);
	for (unsigned i = 0; i < CHIP_STATES && chip[i].at; to += chip[i++].bytes)
		memcpy(to, chip[i].at, chip[i].bytes);
	for (unsigned i = 0; i < b->pci.count; i++, to += sizeof(struct pci_device_state))
		memcpy(to, &b->pci.device[i]->s, sizeof(struct pci_device_state));
}

void board_restore(struct board *b, const void *state)
{
	struct chip_state chip[CHIP_STATES];
	const uint8_t *from = state;

	list_states(b, chip);
	for (unsigned i = 0; i < CHIP_STATES && chip[i].at; from += chip[i++].bytes)
		memcpy(chip[i].at, from, chip[i].bytes);
	for (unsigned i = 0; i < b->pci.count; i++, from += sizeof(struct pci_device_state))
		memcpy(&b->pci.device[i]->s, from, sizeof(struct pci_device_state));
	remap(b);
	pci_bus_remap(&b->pci);
}

const struct i8259_pair *board_interrupts(const struct board *b) { return &b->pic; }

struct pci_bus *board_pci(struct board *b) { return &b->pci; }
