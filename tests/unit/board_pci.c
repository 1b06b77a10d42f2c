/* SPDX-License-Identifier: MIT */
/* The GT-64120, the PCI bus and the PIIX4 as a guest sees them, through board_read() and board_write(). */
#include <criterion/criterion.h>

#include "tests/unit/board_fake.h"
#include "vmm/board/pci.h"

enum { INTRCAUSE = 0xc18, MASTER_ABORT = 1 << 18, CPU_OUT = 1 << 3 };

Test(board_pci, isd_moves)
{
	struct fake_board f;
	bool claimed;

	cr_assert(fake_board_init(&f, false));
	cr_assert_eq(fake_read(&f, 0x14000068, 4), 0xa0);
	cr_assert_eq(fake_read(&f, 0x14000000, 4), 0x1000, "CPU configuration: little-endian");
	fake_write(&f, 0x14000068, 0xdf, 4);
	cr_assert_eq(fake_read(&f, 0x1be00068, 4), 0xdf);
	board_read(f.b, gpa(0x14000068), 4, &claimed);
	cr_assert_not(claimed);
	board_reset(f.b);
	cr_assert_eq(fake_read(&f, 0x14000068, 4), 0xa0);
	board_free(f.b);
	cr_assert_eq(fake_alarms_left(&f.clock), 0);
}

Test(board_pci, decode_registers)
{
	struct fake_board f;

	cr_assert(fake_board_init(&f, false));
	fake_boot_stub(&f, false);
	cr_assert_eq(fake_gt_get(&f, false, 0x48), 0xc0);
	cr_assert_eq(fake_gt_get(&f, false, 0xf0), 0xc0, "the low end sets the remap register");
	fake_gt_put(&f, false, 0x48, 0xffffffff);
	cr_assert_eq(fake_gt_get(&f, false, 0x48), 0x7fff);
	fake_gt_put(&f, false, 0x48, 0xc0);
	/* ISA ports are found with any remap value. */
	fake_out(&f, 0x3ff, 0x5a);
	cr_assert_eq(fake_in(&f, 0x3ff), 0x5a);
	fake_gt_put(&f, false, 0xf0, 0);
	cr_assert_eq(fake_in(&f, 0x3ff), 0x5a);
	/* A window that is closed (low above high) decodes nothing. */
	fake_gt_put(&f, false, 0x50, 0x3f);
	cr_assert_eq(fake_in(&f, 0x3ff), 0xff);
	board_free(f.b);
}

Test(board_pci, scan_finds_what_is_there)
{
	struct fake_board f;
	unsigned found = 0;

	cr_assert(fake_board_init(&f, false));
	fake_boot_stub(&f, false);
	fake_gt_put(&f, false, INTRCAUSE, 0);
	for (unsigned slot = 0; slot < 32; slot++) {
		for (unsigned fn = 0; fn < 8; fn++) {
			uint32_t id = fake_config_read(&f, slot, fn, 0);
			bool aborted = fake_gt_get(&f, false, INTRCAUSE) & MASTER_ABORT;

			cr_assert_eq(aborted, id == 0xffffffff);
			fake_gt_put(&f, false, INTRCAUSE, ~(uint32_t)MASTER_ABORT);
			cr_assert_eq(fake_gt_get(&f, false, INTRCAUSE), 0);
			found += id != 0xffffffff;
		}
	}
	cr_assert_eq(found, 4);
	cr_assert_eq(fake_config_read(&f, 0, 0, 0), 0x462011ab);
	cr_assert_eq(fake_config_read(&f, 10, 0, 0), 0x71108086);
	cr_assert_eq(fake_config_read(&f, 10, 1, 0), 0x71118086);
	cr_assert_eq(fake_config_read(&f, 10, 3, 0), 0x71138086);
	cr_assert_eq(fake_config_read(&f, 10, 0, 0x60), 0x0b0b0a0a, "PIRQ routes");
	cr_assert_eq(fake_config_read(&f, 10, 0, 0x0c) >> 16 & 0xff, 0x80, "multi-function");
	cr_assert(fake_config_read(&f, 0, 0, 4) >> 16 & PCI_STATUS_MASTER_ABORT, "the bridge's own status");
	fake_config_write(&f, 0, 0, 4, PCI_STATUS_MASTER_ABORT << 16);
	cr_assert_not(fake_config_read(&f, 0, 0, 4) >> 16 & PCI_STATUS_MASTER_ABORT);
	fake_config_write(&f, 0, 0, 0x18, 0xffffffff);
	cr_assert_eq(fake_config_read(&f, 0, 0, 0x18), 0xfe000000, "CS[2:0]: 32 MiB");
	fake_gt_put(&f, false, 0xc10, 0x00fff000);
	fake_config_write(&f, 0, 0, 0x18, 0xffffffff);
	cr_assert_eq(fake_config_read(&f, 0, 0, 0x18), 0xff000000, "its bank size register");
	/* Another bus. */
	fake_write(&f, FAKE_GT + 0xcf8, 0x80010000, 4);
	cr_assert_eq(fake_read(&f, FAKE_GT + 0xcfc, 4), 0xffffffff);
	cr_assert(fake_gt_get(&f, false, INTRCAUSE) & MASTER_ABORT);
	/* Without the enable bit there is no cycle. */
	fake_gt_put(&f, false, INTRCAUSE, 0);
	fake_write(&f, FAKE_GT + 0xcf8, 0, 4);
	cr_assert_eq(fake_read(&f, FAKE_GT + 0xcfc, 4), 0xffffffff);
	cr_assert_eq(fake_gt_get(&f, false, INTRCAUSE), 0);
	board_free(f.b);
}

Test(board_pci, cause_reaches_corehi)
{
	struct fake_board f;

	cr_assert(fake_board_init(&f, false));
	fake_boot_stub(&f, false);
	fake_config_read(&f, 5, 0, 0);
	cr_assert_not(f.cpu[5].level, "masked");
	fake_gt_put(&f, false, 0xc1c, MASTER_ABORT);
	cr_assert(f.cpu[5].level);
	cr_assert_eq(fake_gt_get(&f, false, INTRCAUSE), MASTER_ABORT | 1 | 1u << 30);
	fake_write(&f, FAKE_GT + INTRCAUSE + 2, 0, 1); /* one lane is enough to clear it */
	cr_assert_not(f.cpu[5].level);
	cr_assert_eq(fake_gt_get(&f, false, INTRCAUSE), 0);
	board_free(f.b);
}

Test(board_pci, unmapped_address_is_reported)
{
	struct fake_board f;
	bool claimed = true;

	cr_assert(fake_board_init(&f, false));
	fake_boot_stub(&f, false);
	cr_assert_eq(board_read(f.b, gpa(0x1d000120), 4, &claimed), 0xffffffff);
	cr_assert_not(claimed);
	cr_assert(fake_gt_get(&f, false, INTRCAUSE) & CPU_OUT);
	cr_assert_eq(fake_gt_get(&f, false, 0x70), 0x1d000120);
	fake_read(&f, 0x1d000200, 4);
	cr_assert_eq(fake_gt_get(&f, false, 0x70), 0x1d000120, "the first error is kept");
	board_free(f.b);
}

/* A device with a memory and an I/O BAR of one register file each. */
struct toy_device {
	struct pci_device d;
	uint8_t ram[2][256];
	unsigned widths; /* ORed sizes of the accesses */
};

static uint64_t toy_read(void *opaque, uint32_t off, unsigned bytes)
{
	uint8_t *p = opaque;
	uint64_t v = 0;

	cr_assert_leq(off + bytes, 256);
	memcpy(&v, p + off, bytes);
	return v;
}
static void toy_write(void *opaque, uint32_t off, uint64_t v, unsigned bytes)
{
	cr_assert_leq(off + bytes, 256);
	memcpy((uint8_t *)opaque + off, &v, bytes);
}
static const struct io_ops toy_ops = {toy_read, toy_write};

static void toy_add(struct fake_board *f, struct toy_device *t, unsigned slot)
{
	memset(t, 0, sizeof(*t));
	pci_device_init(&t->d, 0x1af4, 0x1041, 1, 0x020000);
	t->d.s.config[PCI_REG_INTERRUPT_PIN] = 1;
	cr_assert_eq(
	    pci_device_set_bar(
		&t->d, 0,
		&(struct pci_bar){.bytes = 256, .is_io = true, .width = 4, .ops = &toy_ops, .opaque = t->ram[0]}),
	    0);
	cr_assert_eq(pci_device_set_bar(
			 &t->d, 1,
			 &(struct pci_bar){
			     .bytes = 256, .prefetchable = true, .width = 4, .ops = &toy_ops, .opaque = t->ram[1]}),
		     0);
	cr_assert_eq(pci_bus_add(board_pci(f->b), &t->d, slot, 0), 0);
}

Test(board_pci, bar_sizing_and_mapping)
{
	struct fake_board f;
	struct toy_device t;

	cr_assert(fake_board_init(&f, false));
	fake_boot_stub(&f, false);
	fake_gt_put(&f, false, 0xf0, 0);
	toy_add(&f, &t, 18);
	cr_assert_eq(fake_config_read(&f, 18, 0, 0), 0x10411af4);
	fake_config_write(&f, 18, 0, 0x10, 0xffffffff);
	cr_assert_eq(fake_config_read(&f, 18, 0, 0x10), 0xffffff01);
	fake_config_write(&f, 18, 0, 0x14, 0xffffffff);
	cr_assert_eq(fake_config_read(&f, 18, 0, 0x14), 0xffffff08);
	fake_config_write(&f, 18, 0, 0x18, 0xffffffff);
	cr_assert_eq(fake_config_read(&f, 18, 0, 0x18), 0, "not implemented");
	fake_config_write(&f, 18, 0, 0x10, 0x1400);
	fake_config_write(&f, 18, 0, 0x14, 0x10002000);
	cr_assert_eq(fake_read(&f, 0x10002010, 4), 0xffffffff, "not enabled yet");
	fake_config_write(&f, 18, 0, 4, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	fake_write(&f, 0x10002010, 0x11223344, 4);
	cr_assert_eq(t.ram[1][0x10], 0x44);
	cr_assert_eq(fake_read(&f, 0x10002011, 1), 0x33);
	cr_assert_eq(fake_read(&f, 0x1000200e, 4), 0x33440000, "unaligned is split");
	fake_write(&f, 0x10002020, 0x1122334455667788, 8);
	cr_assert_eq(fake_read(&f, 0x10002020, 8), 0x1122334455667788);
	fake_write(&f, FAKE_IO + 0x1404, 0xabcd, 2);
	cr_assert_eq(t.ram[0][5], 0xab);
	/* Move it: the old place is empty. */
	fake_config_write(&f, 18, 0, 0x14, 0x10003000);
	cr_assert_eq(fake_read(&f, 0x10002010, 4), 0xffffffff);
	cr_assert_eq(fake_read(&f, 0x10003010, 4), 0x11223344);
	/* A BAR over the ISA chips loses. */
	fake_config_write(&f, 18, 0, 0x10, 0x0300);
	fake_out(&f, 0x3ff, 0x77);
	cr_assert_eq(t.ram[0][0xff], 0);
	board_reset(f.b);
	fake_boot_stub(&f, false);
	cr_assert_eq(fake_config_read(&f, 18, 0, 0x14), 8, "reset unassigns");
	board_free(f.b);
}

Test(board_pci, second_memory_window_and_remap)
{
	struct fake_board f;
	struct toy_device t;

	cr_assert(fake_board_init(&f, false));
	fake_boot_stub(&f, false);
	toy_add(&f, &t, 19);
	fake_config_write(&f, 19, 0, 0x14, 0x18200000);
	fake_config_write(&f, 19, 0, 4, PCI_COMMAND_MEMORY);
	fake_write(&f, 0x18200000, 0xcafe, 4);
	cr_assert_eq(fake_read(&f, 0x18200000, 4), 0xcafe);
	/* Remap memory window 0 so that CPU 0x10000000 is PCI 0x18000000. */
	fake_gt_put(&f, false, 0xf8, 0xc0);
	cr_assert_eq(fake_read(&f, 0x10200000, 4), 0xcafe);
	board_free(f.b);
}

Test(board_pci, capabilities)
{
	struct pci_device d;
	unsigned first, second;

	pci_device_init(&d, 1, 2, 0, 0);
	cr_assert_eq(pci_device_add_capability(&d, 9, 300), 0);
	first = pci_device_add_capability(&d, 9, 17);
	second = pci_device_add_capability(&d, 0x11, 12);
	cr_assert_eq(first, 0x40);
	cr_assert_eq(second, 0x54);
	cr_assert_eq(d.s.config[PCI_REG_CAPABILITIES], 0x40);
	cr_assert_eq(d.s.config[0x41], 0x54);
	cr_assert_eq(d.s.config[0x55], 0);
	cr_assert(pci_get16(&d, PCI_REG_STATUS) & PCI_STATUS_CAPABILITIES);
	cr_assert_eq(pci_device_add_capability(&d, 1, 256 - 0x60), 0x60);
	cr_assert_eq(pci_device_add_capability(&d, 1, 2), 0, "full");
}

Test(board_pci, wrong_devices_are_refused)
{
	struct fake_board f;
	struct toy_device t, u;

	cr_assert(fake_board_init(&f, false));
	toy_add(&f, &t, 18);
	pci_device_init(&u.d, 1, 2, 0, 0);
	cr_assert_lt(pci_bus_add(board_pci(f.b), &u.d, 18, 0), 0);
	cr_assert_lt(pci_bus_add(board_pci(f.b), &u.d, 32, 0), 0);
	cr_assert_lt(pci_bus_add(board_pci(f.b), &u.d, 1, 8), 0);
	cr_assert_lt(pci_device_set_bar(&u.d, 0, &(struct pci_bar){.bytes = 48, .width = 4, .ops = &toy_ops}), 0);
	cr_assert_lt(pci_device_set_bar(&u.d, 6, &(struct pci_bar){.bytes = 64, .width = 4, .ops = &toy_ops}), 0);
	cr_assert_lt(pci_device_set_bar(&u.d, 0, &(struct pci_bar){.bytes = 64, .width = 3, .ops = &toy_ops}), 0);
	board_free(f.b);
}

static void init_pics(struct fake_board *f)
{
	for (unsigned c = 0; c < 2; c++) {
		uint16_t port = c ? 0xa0 : 0x20;

		fake_out(f, port, 0x11);
		fake_out(f, port + 1, (uint8_t)(c * 8));
		fake_out(f, port + 1, c ? 2 : 4);
		fake_out(f, port + 1, 1);
		fake_out(f, port + 1, 0);
	}
}

Test(board_pci, intx_routing)
{
	struct fake_board f;
	struct toy_device t, u;

	cr_assert(fake_board_init(&f, false));
	fake_boot_stub(&f, false);
	init_pics(&f);
	toy_add(&f, &t, 18); /* PIRQ A: IRQ 10 */
	toy_add(&f, &u, 20); /* PIRQ C: IRQ 11 */
	pci_device_set_irq(&t.d, true);
	cr_assert(f.cpu[2].level);
	cr_assert_eq(fake_gt_get(&f, false, 0xc34), 10);
	cr_assert(fake_config_read(&f, 18, 0, 4) >> 16 & PCI_STATUS_INTX);
	pci_device_set_irq(&t.d, false);
	fake_out(&f, 0xa0, 0x62);
	fake_out(&f, 0x20, 0x62);
	cr_assert_not(f.cpu[2].level);
	pci_device_set_irq(&u.d, true);
	cr_assert_eq(fake_gt_get(&f, false, 0xc34), 11);
	fake_out(&f, 0xa0, 0x63);
	fake_out(&f, 0x20, 0x62);
	cr_assert(f.cpu[2].level, "a level stays");
	fake_config_write(&f, 20, 0, 4, PCI_COMMAND_INTX_DISABLE);
	cr_assert_not(f.cpu[2].level);
	fake_config_write(&f, 20, 0, 4, 0);
	cr_assert(f.cpu[2].level);
	/* Route PIRQ C away, then to IRQ 5, where it shares with nothing and must be level triggered to repeat. */
	fake_config_write(&f, 10, 0, 0x60, 0x0b800a0a);
	cr_assert_not(f.cpu[2].level);
	fake_config_write(&f, 10, 0, 0x60, 0x0b050a0a);
	cr_assert_eq(fake_gt_get(&f, false, 0xc34), 5);
	board_free(f.b);
}

Test(board_pci, timer_interrupt_through_all)
{
	struct fake_board f;

	cr_assert(fake_board_init(&f, false));
	fake_boot_stub(&f, false);
	init_pics(&f);
	fake_out(&f, 0x43, 0x34);
	fake_out(&f, 0x40, 11932 & 0xff);
	fake_out(&f, 0x40, 11932 >> 8);
	while (f.cpu[2].level) {
		fake_gt_get(&f, false, 0xc34);
		fake_out(&f, 0x20, 0x60);
	}
	fake_advance(&f.clock, 10100000);
	cr_assert(f.cpu[2].level);
	cr_assert_eq(fake_gt_get(&f, false, 0xc34), 0);
	cr_assert_not(f.cpu[2].level);
	board_free(f.b);
}

/* The steps of Linux's Malta fixup and piix4-poweroff. */
Test(board_pci, power_off)
{
	struct fake_board f;

	cr_assert(fake_board_init(&f, false));
	fake_boot_stub(&f, false);
	fake_gt_put(&f, false, 0xf0, 0);
	cr_assert_eq(fake_read(&f, FAKE_IO + 0x1004, 2), 0xffff, "nothing is decoded yet");
	fake_config_write(&f, 10, 3, 0x40, 0x1001);
	fake_config_write(&f, 10, 3, 0x80, 1);
	cr_assert_eq(fake_config_read(&f, 10, 3, 0x40), 0x1001);
	cr_assert_eq(fake_read(&f, FAKE_IO + 0x1000, 2) & 0x100, 0, "no power button");
	fake_write(&f, FAKE_IO + 0x1004, 1 << 13 | 1 << 10, 2);
	cr_assert_eq(f.power_offs, 0, "suspend to RAM comes back at once");
	cr_assert_eq(fake_read(&f, FAKE_IO + 0x1000, 2) & 0x8000, 0x8000);
	fake_write(&f, FAKE_IO + 0x1004, 1 << 13, 2);
	cr_assert_eq(f.power_offs, 1);
	board_free(f.b);
}

Test(board_pci, pm_timer)
{
	struct fake_board f;
	uint64_t a, b;

	cr_assert(fake_board_init(&f, false));
	fake_boot_stub(&f, false);
	init_pics(&f);
	fake_config_write(&f, 10, 3, 0x40, 0x4001);
	fake_config_write(&f, 10, 3, 0x80, 1);
	fake_gt_put(&f, false, 0xf0, 0);
	a = fake_read(&f, FAKE_IO + 0x4008, 4);
	fake_advance(&f.clock, 1000000000);
	b = fake_read(&f, FAKE_IO + 0x4008, 4);
	cr_assert_eq(b - a, 3579545);
	cr_assert_eq(fake_read(&f, FAKE_IO + 0x4009, 1), b >> 8 & 0xff);
	fake_write(&f, FAKE_IO + 0x4002, 1, 2);
	fake_write(&f, FAKE_IO + 0x4004, 1, 2);
	fake_advance(&f.clock, 1340000000);
	cr_assert_not(f.cpu[2].level);
	fake_advance(&f.clock, 10000000);
	cr_assert(f.cpu[2].level, "bit 23 changed after 2.343 s");
	cr_assert_eq(fake_gt_get(&f, false, 0xc34), 9);
	fake_write(&f, FAKE_IO + 0x4000, 1, 2);
	cr_assert_eq(fake_read(&f, FAKE_IO + 0x4000, 2), 0);
	board_free(f.b);
}

Test(board_pci, reset_requests)
{
	struct fake_board f;
	unsigned want = 0;

	cr_assert(fake_board_init(&f, false));
	f.reset_at_once = true;
	fake_boot_stub(&f, false);
	fake_write(&f, 0x1f000500, 0x41, 4);
	cr_assert_eq(f.resets, want);
	fake_write(&f, 0x1f000500, 0x42, 4);
	cr_assert_eq(f.resets, ++want);
	cr_assert_eq(fake_read(&f, 0x14000068, 4), 0xa0);
	fake_boot_stub(&f, false);
	fake_out(&f, 0x64, 0xfe);
	cr_assert_eq(f.resets, ++want);
	fake_boot_stub(&f, false);
	fake_out(&f, 0xcf9, 0x02);
	cr_assert_eq(f.resets, want);
	fake_out(&f, 0xcf9, 0x06);
	cr_assert_eq(f.resets, ++want);
	fake_boot_stub(&f, false);
	fake_out(&f, 0x92, 0x01);
	cr_assert_eq(f.resets, ++want);
	fake_boot_stub(&f, false);
	fake_out(&f, 0x64, 0xd1);
	fake_out(&f, 0x60, 0xc0);
	cr_assert_eq(f.resets, ++want);
	board_free(f.b);
}

Test(board_pci, no_drives)
{
	struct fake_board f;

	cr_assert(fake_board_init(&f, false));
	fake_boot_stub(&f, false);
	fake_gt_put(&f, false, 0xf0, 0);
	for (uint16_t port = 0x1f0; port < 0x1f8; port++)
		cr_assert_eq(fake_in(&f, port), 0xff);
	fake_config_write(&f, 10, 1, 0x20, 0xffffffff);
	cr_assert_eq(fake_config_read(&f, 10, 1, 0x20), 0xfffffff1);
	fake_config_write(&f, 10, 1, 0x20, 0x2000);
	fake_config_write(&f, 10, 1, 4, 5);
	fake_write(&f, FAKE_IO + 0x2004, 0x12345678, 4);
	cr_assert_eq(fake_read(&f, FAKE_IO + 0x2004, 4), 0x12345678);
	cr_assert_eq(fake_in(&f, 0x2002), 0, "not active");
	board_free(f.b);
}
