/* SPDX-License-Identifier: MIT */
#include "pv-drivers/virtio/virtio_pci.h"

#include <string.h>

#define NO_VECTOR 0xffff /* no MSI-X (4.1.5.1.2) */

/* 4.1.4.3 "Common configuration structure layout": offset and width of each register. */
#define COMMON_REGISTERS(R)                                                                                            \
	R(DEVICE_FEATURE_SELECT, 0, 4)                                                                                 \
	R(DEVICE_FEATURE, 4, 4)                                                                                        \
	R(DRIVER_FEATURE_SELECT, 8, 4)                                                                                 \
	R(DRIVER_FEATURE, 12, 4)                                                                                       \
	R(CONFIG_MSIX_VECTOR, 16, 2)                                                                                   \
	R(NUM_QUEUES, 18, 2)                                                                                           \
	R(DEVICE_STATUS, 20, 1)                                                                                        \
	R(CONFIG_GENERATION, 21, 1)                                                                                    \
	R(QUEUE_SELECT, 22, 2)                                                                                         \
	R(QUEUE_SIZE, 24, 2)                                                                                           \
	R(QUEUE_MSIX_VECTOR, 26, 2)                                                                                    \
	R(QUEUE_ENABLE, 28, 2)                                                                                         \
	R(QUEUE_NOTIFY_OFF, 30, 2)                                                                                     \
	R(QUEUE_DESC, 32, 8)                                                                                           \
	R(QUEUE_DRIVER, 40, 8)                                                                                         \
	R(QUEUE_DEVICE, 48, 8)                                                                                         \
	R(QUEUE_NOTIFY_DATA, 56, 2)                                                                                    \
	R(QUEUE_RESET, 58, 2)

enum common_reg {
#define R(name, off, bytes) name,
	COMMON_REGISTERS(R)
#undef R
	    NUM_COMMON
};
static const struct {
	uint8_t off, bytes;
} common[NUM_COMMON] = {
#define R(name, off, bytes) {off, bytes},
    COMMON_REGISTERS(R)
#undef R
};

static uint32_t features_word(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

/* What a register reads; those of a queue that does not exist read 0 (4.1.4.3.2). */
static uint64_t common_get(const struct virtio_pci *p, enum common_reg r)
{
	static const struct virtq none;
	const struct virtio_device *d = p->dev;
	bool exists = p->queue_select < d->n_queues;
	const struct virtq *q = exists ? &d->queue[p->queue_select] : &none;

	switch (r) {
	case DEVICE_FEATURE_SELECT:
		return p->device_feature_select;
	case DEVICE_FEATURE:
		return features_word(d->features_offered, p->device_feature_select);
	case DRIVER_FEATURE_SELECT:
		return p->driver_feature_select;
	case DRIVER_FEATURE:
		return features_word(p->driver_features, p->driver_feature_select);
	case CONFIG_MSIX_VECTOR:
	case QUEUE_MSIX_VECTOR:
		return NO_VECTOR;
	case NUM_QUEUES:
		return d->n_queues;
	case DEVICE_STATUS:
		return d->status;
	case CONFIG_GENERATION:
		return d->config_generation;
	case QUEUE_SELECT:
		return p->queue_select;
	case QUEUE_SIZE:
		return q->size;
	case QUEUE_ENABLE:
		return q->enabled;
	case QUEUE_NOTIFY_OFF:
	case QUEUE_NOTIFY_DATA:
		return exists ? p->queue_select : 0;
	case QUEUE_DESC:
		return q->desc.v;
	case QUEUE_DRIVER:
		return q->avail.v;
	case QUEUE_DEVICE:
		return q->used.v;
	default: /* QUEUE_RESET: not offered */
		return 0;
	}
}

static void set_features(struct virtio_pci *p, uint32_t v)
{
	unsigned shift = 32 * (p->driver_feature_select & 1);

	if (p->dev->status & VIRTIO_FEATURES_OK) /* final (3.1.1) */
		return;
	if (p->driver_feature_select > 1)
		p->beyond_features |= v != 0;
	else
		p->driver_features = (p->driver_features & ~(0xffffffffull << shift)) | (uint64_t)v << shift;
}

static void set_status(struct virtio_pci *p, uint8_t v)
{
	/* a driver that accepts what nobody offered gets no FEATURES_OK */
	virtio_set_status(p->dev, v, p->beyond_features ? ~0ull : p->driver_features);
	if (!v)
		*p = (struct virtio_pci){.dev = p->dev};
}

/* Of the queue selected, while it is not enabled yet. */
static void set_queue(struct virtio_pci *p, enum common_reg r, uint64_t v)
{
	struct virtq *q;

	if (p->queue_select >= p->dev->n_queues)
		return;
	q = &p->dev->queue[p->queue_select];
	if (q->enabled)
		return;
	switch (r) {
	case QUEUE_SIZE:
		q->size = (uint16_t)v;
		return;
	case QUEUE_ENABLE:
		if (v == 1)
			virtio_enable_queue(p->dev, p->queue_select);
		return;
	case QUEUE_DESC:
		q->desc = gpa(v);
		return;
	case QUEUE_DRIVER:
		q->avail = gpa(v);
		return;
	default: /* QUEUE_DEVICE */
		q->used = gpa(v);
		return;
	}
}

static void common_set(struct virtio_pci *p, enum common_reg r, uint64_t v)
{
	switch (r) {
	case DEVICE_FEATURE_SELECT:
		p->device_feature_select = (uint32_t)v;
		return;
	case DRIVER_FEATURE_SELECT:
		p->driver_feature_select = (uint32_t)v;
		return;
	case DRIVER_FEATURE:
		set_features(p, (uint32_t)v);
		return;
	case DEVICE_STATUS:
		set_status(p, (uint8_t)v);
		return;
	case QUEUE_SELECT:
		p->queue_select = (uint16_t)v;
		return;
	case QUEUE_SIZE:
	case QUEUE_ENABLE:
	case QUEUE_DESC:
	case QUEUE_DRIVER:
	case QUEUE_DEVICE:
		set_queue(p, r, v);
		return;
	default: /* read-only, or a vector that nobody can have */
		return;
	}
}

/* The bytes of [off, off + bytes) that a register has: shift of its value (bytes), and how many. False: none. */
static bool common_part(enum common_reg r, uint32_t off, unsigned bytes, unsigned *in_reg, unsigned *in_access,
			unsigned *n)
{
	uint32_t first = common[r].off, end = first + common[r].bytes;
	uint32_t from = off > first ? off : first, to = off + bytes < end ? off + bytes : end;

	if (from >= to)
		return false;
	*in_reg = from - first;
	*in_access = from - off;
	*n = to - from;
	return true;
}

static uint64_t byte_mask(unsigned n) { return n >= 8 ? UINT64_MAX : (1ull << (8 * n)) - 1; }

static uint32_t common_read(const struct virtio_pci *p, uint32_t off, unsigned bytes)
{
	unsigned in_reg, in_access, n;
	uint64_t v = 0;

	for (unsigned r = 0; r < NUM_COMMON; r++)
		if (common_part((enum common_reg)r, off, bytes, &in_reg, &in_access, &n))
			v |= (common_get(p, (enum common_reg)r) >> (8 * in_reg) & byte_mask(n)) << (8 * in_access);
	return (uint32_t)v;
}

/* A part of a register is written by writing the rest of it as it was: 64-bit addresses come as two words (4.1.3.1). */
static void common_write(struct virtio_pci *p, uint32_t off, uint32_t value, unsigned bytes)
{
	unsigned in_reg, in_access, n;

	for (unsigned r = 0; r < NUM_COMMON; r++) {
		uint64_t v, mask;

		if (!common_part((enum common_reg)r, off, bytes, &in_reg, &in_access, &n))
			continue;
		mask = byte_mask(n) << (8 * in_reg);
		v = common_get(p, (enum common_reg)r) & ~mask;
		common_set(p, (enum common_reg)r, v | ((uint64_t)value >> (8 * in_access) << (8 * in_reg) & mask));
	}
}

/* 4.1.4.5: reading it acknowledges. */
static uint32_t isr_read(struct virtio_device *d, uint32_t off)
{
	uint32_t isr = d->isr;

	if (off)
		return 0;
	d->isr = 0;
	d->host.set_irq(d->host.opaque, false);
	return isr;
}

static uint32_t config_read(const struct virtio_device *d, uint32_t off, unsigned bytes)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		if (off + i < d->config_bytes)
			v |= (uint32_t)d->config[off + i] << (8 * i);
	return v;
}

static void config_write(struct virtio_device *d, uint32_t off, uint32_t value, unsigned bytes)
{
	bool any = false;

	for (unsigned i = 0; d->config_writable && i < bytes; i++) {
		uint8_t mask = off + i < d->config_bytes ? d->config_writable[off + i] : 0;

		if (!mask)
			continue;
		d->config[off + i] = (uint8_t)((d->config[off + i] & ~mask) | (value >> (8 * i) & mask));
		any = true;
	}
	if (any && d->ops->config_written)
		d->ops->config_written(d, off, bytes);
}

uint32_t virtio_pci_read(struct virtio_pci *p, uint32_t off, unsigned bytes)
{
	if (off < VIRTIO_PCI_ISR)
		return common_read(p, off - VIRTIO_PCI_COMMON, bytes);
	if (off < VIRTIO_PCI_DEVICE)
		return isr_read(p->dev, off - VIRTIO_PCI_ISR);
	if (off < VIRTIO_PCI_NOTIFY)
		return config_read(p->dev, off - VIRTIO_PCI_DEVICE, bytes);
	return 0;
}

void virtio_pci_write(struct virtio_pci *p, uint32_t off, uint32_t value, unsigned bytes)
{
	if (off < VIRTIO_PCI_ISR)
		common_write(p, off - VIRTIO_PCI_COMMON, value, bytes);
	else if (off >= VIRTIO_PCI_NOTIFY && off < VIRTIO_PCI_BAR_BYTES)
		virtio_notify(p->dev, (off - VIRTIO_PCI_NOTIFY) / VIRTIO_PCI_NOTIFY_STEP);
	else if (off >= VIRTIO_PCI_DEVICE && off < VIRTIO_PCI_NOTIFY)
		config_write(p->dev, off - VIRTIO_PCI_DEVICE, value, bytes);
}

void virtio_pci_reset(struct virtio_pci *p)
{
	*p = (struct virtio_pci){.dev = p->dev};
	virtio_reset(p->dev);
}
