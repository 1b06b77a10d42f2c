/* SPDX-License-Identifier: MIT */
/*
 * PIIX4 function 3, power management: 82371AB data sheet, section 7.2.  The I/O block moves with PMBA and is decoded while
 * PMREGMISC says so.  The SMBus host is absent: its base reads 0 and its enable bit cannot be set.
 */
#include "vmm/board/piix4.h"

#include <string.h>

enum { SLOT = 10, FUNCTION_PM = 3 };
enum { CONFIG_PMBA = 0x40, CONFIG_PMREGMISC = 0x80, PM_IO_ENABLE = 0x01, PM_BYTES = 0x40 };
enum { REG_STATUS = 0x00, REG_ENABLE = 0x02, REG_CONTROL = 0x04, REG_TIMER = 0x08 };
enum {
	STATUS_TIMER = 1 << 0,
	STATUS_RESUME = 1 << 15,
	STATUS_BITS = 0x8d31,
	ENABLE_BITS = 0x0521,
	CONTROL_SCI = 1 << 0,
	CONTROL_SUSPEND = 1 << 13,
	CONTROL_TYPE = 7 << 10,
	CONTROL_BITS = 0x3c07,
};
enum { TIMER_HZ = 3579545, TIMER_BITS = 24, IRQ_SCI = 9 };

static uint64_t ticks(const struct piix4 *p) { return device_scale(device_now_ns(&p->clock), TIMER_HZ, 1000000000); }

static void alarm_rang(void *arg);

/* TMROF_STS: the timer's top bit has changed. */
static void update(struct piix4 *p)
{
	struct piix4_pm_state *s = &p->pm_s;
	uint64_t now = ticks(p), at = DEVICE_NO_ALARM;
	bool sci_on = s->control & CONTROL_SCI;

	if (now >> (TIMER_BITS - 1) != s->seen_ticks >> (TIMER_BITS - 1))
		s->status |= STATUS_TIMER;
	s->seen_ticks = now;
	piix4_set_isa_irq(p, IRQ_SCI, sci_on && (s->status & s->enable));
	if (sci_on && (s->enable & STATUS_TIMER) && !(s->status & STATUS_TIMER))
		at = device_scale_up(((now >> (TIMER_BITS - 1)) + 1) << (TIMER_BITS - 1), 1000000000, TIMER_HZ);
	device_alarm(&p->clock, at, alarm_rang, p);
}

static void alarm_rang(void *arg) { update(arg); }

static uint32_t read_word(struct piix4 *p, unsigned off)
{
	const struct piix4_pm_state *s = &p->pm_s;

	switch (off) {
	case REG_STATUS:
		return s->status | (uint32_t)s->enable << 16;
	case REG_CONTROL:
		return s->control;
	case REG_TIMER:
		return (uint32_t)ticks(p) & ((1u << TIMER_BITS) - 1);
	default:
		return s->rest[off] | (uint32_t)s->rest[off + 1] << 8 | (uint32_t)s->rest[off + 2] << 16 |
		       (uint32_t)s->rest[off + 3] << 24;
	}
}

static uint64_t pm_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct piix4 *p = opaque;

	update(p);
	return read_word(p, off & (PM_BYTES - 4)) >> (8 * (off & 3));
}

static uint16_t merge16(uint16_t old, uint32_t v, uint32_t mask) { return (uint16_t)((old & ~mask) | (v & mask)); }

/* Returns true when the machine is to be switched off. */
static bool write_control(struct piix4 *p, uint32_t v, uint32_t mask)
{
	struct piix4_pm_state *s = &p->pm_s;

	s->control = merge16(s->control, v, mask & CONTROL_BITS & ~CONTROL_SUSPEND); /* SUS_EN reads as 0 */
	if (!(v & mask & CONTROL_SUSPEND))
		return false;
	if ((s->control & CONTROL_TYPE) == 0)
		return true;
	s->status |= STATUS_RESUME; /* the shallower states are left as soon as they are entered */
	return false;
}

static void pm_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct piix4 *p = opaque;
	struct piix4_pm_state *s = &p->pm_s;
	unsigned shift = 8 * (off & 3), word = off & (PM_BYTES - 4);
	uint32_t v = (uint32_t)value << shift, mask = (uint32_t)(bus_mask(bytes) << shift);
	bool off_now = false;

	update(p);
	switch (word) {
	case REG_STATUS:
		s->status &= (uint16_t) ~(v & mask & STATUS_BITS);
		s->enable = merge16(s->enable, v >> 16, mask >> 16 & ENABLE_BITS);
		break;
	case REG_CONTROL:
		off_now = write_control(p, v, mask);
		break;
	case REG_TIMER:
		break;
	default:
		for (unsigned i = 0; i < 4; i++)
			if (mask >> (8 * i) & 1)
				s->rest[word + i] = (uint8_t)(v >> (8 * i));
		break;
	}
	update(p);
	if (off_now && p->power_off)
		p->power_off(p->opaque);
}

static const struct io_ops pm_ops = {pm_read, pm_write};

static void map_registers(struct pci_device *d)
{
	struct piix4 *p = (struct piix4 *)((char *)d - offsetof(struct piix4, pm));
	uint16_t base = pci_get16(d, CONFIG_PMBA) & (uint16_t) ~(PM_BYTES - 1);

	if (base && (d->s.config[CONFIG_PMREGMISC] & PM_IO_ENABLE))
		pci_device_map(
		    d, true,
		    &(struct bus_range){.base = base, .bytes = PM_BYTES, .ops = &pm_ops, .opaque = p, .width = 4});
}

int piix4_pm_init(struct piix4 *p, struct pci_bus *bus)
{
	struct pci_device *d = &p->pm;

	pci_device_init(d, 0x8086, 0x7113, 0x03, 0x068000);
	d->writable[PCI_REG_COMMAND] = PCI_COMMAND_IO;
	d->s.config[PCI_REG_INTERRUPT_LINE] = IRQ_SCI;
	d->s.config[PCI_REG_INTERRUPT_PIN] = 1;
	d->s.config[CONFIG_PMBA] = 0x01;
	d->writable[CONFIG_PMBA] = 0xc0;
	d->writable[CONFIG_PMBA + 1] = 0xff;
	memset(d->writable + 0x44, 0xff, 0x80 - 0x44); /* device activity and decode: no device monitors it */
	d->writable[CONFIG_PMREGMISC] = PM_IO_ENABLE;
	d->s.config[0x90] = 0x01; /* SMBus base: an I/O address of 0 */
	d->map_extra = map_registers;
	return pci_bus_add(bus, d, SLOT, FUNCTION_PM);
}

void piix4_pm_reset(struct piix4 *p)
{
	memset(&p->pm_s, 0, sizeof(p->pm_s));
	p->pm_s.seen_ticks = ticks(p);
	update(p);
}

void piix4_pm_stop(struct piix4 *p) { device_alarm(&p->clock, DEVICE_NO_ALARM, alarm_rang, p); }
