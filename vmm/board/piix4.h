/* SPDX-License-Identifier: MIT */
#ifndef VMM_BOARD_PIIX4_H
#define VMM_BOARD_PIIX4_H

/*
 * The PCI side of the Intel 82371AB (PIIX4) in slot 10: function 0 (ISA bridge: PIRQ routing, reset control), function 1
 * (IDE with no drive on either cable) and function 3 (power management: soft off, power management timer).  Its ISA
 * chips (i8259, i8254, mc146818, i8257) stand on their own.  There is no function 2 (USB): nothing could be plugged in.
 * Source: 82371AB (PIIX4) data sheet.
 * Deviates: firmware has run: PIRQ A, B go to IRQ 10 and C, D to IRQ 11, as YAMON sets it.
 */
#include "vmm/board/pci.h"

struct piix4_state {
	uint16_t isa_lines; /* as the ISA chips drive them */
	uint8_t pirq_lines;
	uint8_t apm[2];        /* APMC, APMS */
	uint8_t reset_control; /* 0xcf9 */
	uint8_t port92;
};

struct piix4_ide_state {
	uint8_t bus_master[16];
};

struct piix4_pm_state {
	uint16_t status, enable, control;
	uint8_t rest[64]; /* general purpose registers, kept as written */
	uint64_t seen_ticks;
};

struct piix4 {
	struct piix4_state s;
	struct piix4_ide_state ide_s;
	struct piix4_pm_state pm_s;
	struct pci_device isa, ide, pm;
	struct clock_ops clock;
	struct irq_line isa_irq; /* towards the i8259: set(opaque, 0..15, level) */
	void (*power_off)(void *opaque);
	void (*reset)(void *opaque);
	void *opaque;
};

struct piix4_config {
	struct clock_ops clock;
	struct irq_line isa_irq;
	void (*power_off)(void *opaque);
	void (*reset)(void *opaque);
	void *opaque;
};

/* Adds its functions and its ISA ports to the bus.  Returns as pci_bus_add(). */
MUST_CHECK int piix4_init(struct piix4 *p, struct pci_bus *bus, const struct piix4_config *cfg);
void piix4_reset(struct piix4 *p);
/* Cancels the alarm. */
void piix4_stop(struct piix4 *p);

/* An ISA interrupt request, ORed with the PIRQs that are routed to it.  Shape of irq_line.set. */
void piix4_set_isa_irq(void *piix4, unsigned n, bool level);
/* PIRQ A..D = 0..3; shape of irq_line.set. */
void piix4_set_pirq(void *piix4, unsigned n, bool level);

/* piix4_pm.c */
MUST_CHECK int piix4_pm_init(struct piix4 *p, struct pci_bus *bus);
void piix4_pm_reset(struct piix4 *p);
void piix4_pm_stop(struct piix4 *p);

#endif
