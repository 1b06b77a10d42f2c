/* SPDX-License-Identifier: MIT */
/* The register block of virtio over PCI, as a driver uses it and as it should not (virtio 1.2, 3.1.1 and 4.1.4). */
#include <criterion/criterion.h>

#include "pv-drivers/virtio/virtio_pci.h"
#include "tests/unit/pv_guest.h"

enum {
	DEVICE_FEATURE_SELECT = 0,
	DEVICE_FEATURE = 4,
	DRIVER_FEATURE_SELECT = 8,
	DRIVER_FEATURE = 12,
	CONFIG_MSIX_VECTOR = 16,
	NUM_QUEUES = 18,
	STATUS = 20,
	GENERATION = 21,
	QUEUE_SELECT = 22,
	QUEUE_SIZE = 24,
	QUEUE_ENABLE = 28,
	QUEUE_NOTIFY_OFF = 30,
	QUEUE_DESC = 32,
	QUEUE_DRIVER = 40,
	QUEUE_DEVICE = 48,
	OWN_FEATURE = 5,
};

struct rig {
	struct virtio_device dev; /* must be first */
	struct pv_guest g;
	struct virtio_pci p;
	uint8_t config[9];
	unsigned activated, notified, last_queue, resets, config_writes, polls;
};

static void on_activate(struct virtio_device *d) { ((struct rig *)d)->activated++; }
static void on_notify(struct virtio_device *d, unsigned queue)
{
	((struct rig *)d)->notified++;
	((struct rig *)d)->last_queue = queue;
}
static void on_poll(struct virtio_device *d) { ((struct rig *)d)->polls++; }
static void on_reset(struct virtio_device *d) { ((struct rig *)d)->resets++; }
static void on_config(struct virtio_device *d, unsigned off, unsigned bytes)
{
	(void)off;
	(void)bytes;
	((struct rig *)d)->config_writes++;
}
static void on_free(struct virtio_device *d) { (void)d; }

static const struct virtio_ops ops = {.activate = on_activate,
				      .notify = on_notify,
				      .poll = on_poll,
				      .reset = on_reset,
				      .config_written = on_config,
				      .free = on_free};
static const uint8_t writable[9] = {0, 0, 0xff, 0x0f};

static struct rig *rig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));

	pv_guest_init(&r->g, 16, 0);
	virtio_device_init(&r->dev, "test", 42, 1u << OWN_FEATURE, &ops);
	r->dev.n_queues = 3;
	for (unsigned i = 0; i < 3; i++)
		r->dev.queue_max[i] = 64;
	for (unsigned i = 0; i < sizeof(r->config); i++)
		r->config[i] = (uint8_t)(0xa0 + i);
	r->dev.config = r->config;
	r->dev.config_bytes = sizeof(r->config);
	r->dev.config_writable = writable;
	r->dev.host = pv_guest_host(&r->g, false);
	r->dev.said_broken = true;
	r->p.dev = &r->dev;
	virtio_pci_reset(&r->p);
	return r;
}

static void rig_free(struct rig *r)
{
	virtio_device_free(&r->dev);
	pv_guest_free(&r->g);
	free(r);
}

static uint32_t rd(struct rig *r, uint32_t off, unsigned bytes) { return virtio_pci_read(&r->p, off, bytes); }
static void wr(struct rig *r, uint32_t off, uint32_t v, unsigned bytes) { virtio_pci_write(&r->p, off, v, bytes); }

static void accept(struct rig *r, uint32_t low, uint32_t high)
{
	wr(r, DRIVER_FEATURE_SELECT, 0, 4);
	wr(r, DRIVER_FEATURE, low, 4);
	wr(r, DRIVER_FEATURE_SELECT, 1, 4);
	wr(r, DRIVER_FEATURE, high, 4);
	wr(r, STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER, 1);
	wr(r, STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK, 1);
}

static void queue(struct rig *r, unsigned n, uint16_t size)
{
	wr(r, QUEUE_SELECT, n, 2);
	wr(r, QUEUE_SIZE, size, 2);
	wr(r, QUEUE_DESC, 0x1000 + 0x4000 * n, 4);
	wr(r, QUEUE_DESC + 4, 0, 4);
	wr(r, QUEUE_DRIVER, 0x2000 + 0x4000 * n, 4);
	wr(r, QUEUE_DEVICE, 0x3000 + 0x4000 * n, 4);
	wr(r, QUEUE_ENABLE, 1, 2);
}

static void driver_ok(struct rig *r) { wr(r, STATUS, rd(r, STATUS, 1) | VIRTIO_DRIVER_OK, 1); }

static void start(struct rig *r)
{
	accept(r, 0, 1);
	queue(r, 0, 8);
	driver_ok(r);
	cr_assert(virtio_running(&r->dev));
}

Test(virtio_pci, a_driver_starts_the_device)
{
	struct rig *r = rig_new();

	cr_assert_eq(rd(r, STATUS, 1), 0);
	cr_assert_eq(rd(r, NUM_QUEUES, 2), 3);
	cr_assert_eq(rd(r, CONFIG_MSIX_VECTOR, 2), 0xffff);
	wr(r, CONFIG_MSIX_VECTOR, 0, 2);
	cr_assert_eq(rd(r, CONFIG_MSIX_VECTOR, 2), 0xffff);
	cr_assert_eq(rd(r, DEVICE_FEATURE, 4), 1u << OWN_FEATURE | 1u << 28 | 1u << 29);
	wr(r, DEVICE_FEATURE_SELECT, 1, 4);
	cr_assert_eq(rd(r, DEVICE_FEATURE, 4), 1);
	wr(r, DEVICE_FEATURE_SELECT, 2, 4);
	cr_assert_eq(rd(r, DEVICE_FEATURE, 4), 0);
	accept(r, 1u << OWN_FEATURE, 1);
	cr_assert_eq(rd(r, STATUS, 1), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
	cr_assert(virtio_has(&r->dev, 1u << OWN_FEATURE));
	wr(r, QUEUE_SELECT, 1, 2);
	cr_assert_eq(rd(r, QUEUE_SIZE, 2), 64);
	cr_assert_eq(rd(r, QUEUE_NOTIFY_OFF, 2), 1);
	queue(r, 1, 16);
	cr_assert_eq(rd(r, QUEUE_ENABLE, 2), 1);
	cr_assert_eq(rd(r, QUEUE_SIZE, 2), 16);
	cr_assert_eq(rd(r, QUEUE_DEVICE, 4), 0x7000);
	wr(r, QUEUE_DEVICE, 0x1000, 4);
	cr_assert_eq(rd(r, QUEUE_DEVICE, 4), 0x7000, "an enabled queue stays where it is");
	wr(r, VIRTIO_PCI_NOTIFY + 4, 1, 2);
	cr_assert_eq(r->notified, 0, "not before DRIVER_OK");
	cr_assert_eq(r->activated, 0);
	driver_ok(r);
	cr_assert_eq(r->activated, 1);
	wr(r, VIRTIO_PCI_NOTIFY + 4, 1, 2);
	cr_assert_eq(r->notified, 1);
	cr_assert_eq(r->last_queue, 1);
	wr(r, VIRTIO_PCI_NOTIFY, 0, 2);
	wr(r, VIRTIO_PCI_NOTIFY + 12, 3, 2);
	cr_assert_eq(r->notified, 1, "queues that are not there");
	cr_assert_eq(r->dev.stats.notifies, 1);
	driver_ok(r);
	cr_assert_eq(r->activated, 1, "once");
	wr(r, STATUS, 0, 1);
	cr_assert_eq(rd(r, STATUS, 1), 0);
	wr(r, QUEUE_SELECT, 1, 2);
	cr_assert_eq(rd(r, QUEUE_ENABLE, 2), 0);
	cr_assert_eq(rd(r, QUEUE_SIZE, 2), 64);
	cr_assert_eq(r->resets, 2);
	rig_free(r);
}

Test(virtio_pci, features_are_refused_and_final)
{
	struct rig *r = rig_new();

	accept(r, 0, 0);
	cr_assert_not(rd(r, STATUS, 1) & VIRTIO_FEATURES_OK, "without VERSION_1");
	wr(r, STATUS, 0, 1);
	accept(r, 1u << 6, 1);
	cr_assert_not(rd(r, STATUS, 1) & VIRTIO_FEATURES_OK, "what was not offered");
	wr(r, STATUS, 0, 1);
	wr(r, DRIVER_FEATURE_SELECT, 2, 4);
	wr(r, DRIVER_FEATURE, 1, 4);
	accept(r, 0, 1);
	cr_assert_not(rd(r, STATUS, 1) & VIRTIO_FEATURES_OK, "a bit beyond 63");
	wr(r, STATUS, 0, 1);
	accept(r, 0, 1);
	cr_assert(rd(r, STATUS, 1) & VIRTIO_FEATURES_OK);
	wr(r, DRIVER_FEATURE_SELECT, 0, 4);
	wr(r, DRIVER_FEATURE, 1u << OWN_FEATURE, 4);
	cr_assert_eq(rd(r, DRIVER_FEATURE, 4), 0);
	wr(r, STATUS, VIRTIO_FEATURES_OK, 1);
	cr_assert_not(virtio_has(&r->dev, 1u << OWN_FEATURE));
	rig_free(r);
}

Test(virtio_pci, driver_ok_without_features_ok_breaks_it)
{
	struct rig *r = rig_new();

	wr(r, STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_DRIVER_OK, 1);
	cr_assert_eq(rd(r, STATUS, 1), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_NEEDS_RESET);
	cr_assert_eq(r->activated, 0);
	cr_assert_not(r->g.irq, "2.1.2: nothing is said before DRIVER_OK");
	wr(r, STATUS, VIRTIO_NEEDS_RESET, 1);
	wr(r, STATUS, 0, 1);
	cr_assert_eq(rd(r, STATUS, 1), 0);
	start(r);
	rig_free(r);
}

Test(virtio_pci, queues_that_cannot_be)
{
	struct rig *r = rig_new();

	accept(r, 0, 1);
	queue(r, 0, 5);
	cr_assert(rd(r, STATUS, 1) & VIRTIO_NEEDS_RESET);
	wr(r, STATUS, 0, 1);
	accept(r, 0, 1);
	wr(r, QUEUE_SELECT, 0, 2);
	wr(r, QUEUE_ENABLE, 2, 2);
	wr(r, QUEUE_ENABLE, 0, 2);
	cr_assert_eq(rd(r, STATUS, 1) & VIRTIO_NEEDS_RESET, 0);
	wr(r, QUEUE_DESC + 4, 1, 4);
	cr_assert_eq(rd(r, QUEUE_DESC + 4, 4), 1);
	wr(r, QUEUE_ENABLE, 1, 2);
	cr_assert(rd(r, STATUS, 1) & VIRTIO_NEEDS_RESET, "4 GiB away");
	wr(r, QUEUE_SELECT, 3, 2);
	cr_assert_eq(rd(r, QUEUE_SIZE, 2), 0);
	wr(r, QUEUE_SELECT, 0xffff, 2);
	cr_assert_eq(rd(r, QUEUE_SIZE, 2), 0);
	queue(r, 1000, 8);
	rig_free(r);
}

Test(virtio_pci, interrupts_are_acknowledged_by_reading_isr)
{
	struct rig *r = rig_new();

	start(r);
	virtio_interrupt(&r->dev, VIRTIO_ISR_QUEUE);
	virtio_config_changed(&r->dev);
	cr_assert(r->g.irq);
	cr_assert_eq(r->dev.stats.interrupts, 1, "one edge");
	cr_assert_eq(rd(r, VIRTIO_PCI_ISR + 1, 1), 0);
	cr_assert(r->g.irq);
	cr_assert_eq(rd(r, VIRTIO_PCI_ISR, 1), VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG);
	cr_assert_not(r->g.irq);
	cr_assert_eq(rd(r, VIRTIO_PCI_ISR, 4), 0);
	virtio_interrupt(&r->dev, VIRTIO_ISR_QUEUE);
	wr(r, STATUS, 0, 1);
	cr_assert_not(r->g.irq, "a reset lowers the line");
	cr_assert_eq(rd(r, VIRTIO_PCI_ISR, 1), 0);
	rig_free(r);
}

Test(virtio_pci, configuration_space_has_its_own_rights)
{
	struct rig *r = rig_new();
	uint32_t generation;

	cr_assert_eq(rd(r, VIRTIO_PCI_DEVICE, 4), 0xa3a2a1a0);
	cr_assert_eq(rd(r, VIRTIO_PCI_DEVICE + 8, 4), 0xa8);
	cr_assert_eq(rd(r, VIRTIO_PCI_DEVICE + 9, 1), 0);
	cr_assert_eq(rd(r, VIRTIO_PCI_NOTIFY - 4, 4), 0);
	wr(r, VIRTIO_PCI_DEVICE, 0x11223344, 4);
	cr_assert_eq(rd(r, VIRTIO_PCI_DEVICE, 4), 0xa122a1a0);
	cr_assert_eq(r->config_writes, 1);
	wr(r, VIRTIO_PCI_DEVICE + 4, ~0u, 4);
	wr(r, VIRTIO_PCI_DEVICE + 8, ~0u, 4);
	cr_assert_eq(r->config_writes, 1, "nothing there can be written");
	generation = rd(r, GENERATION, 1);
	virtio_config_changed(&r->dev);
	cr_assert_neq(rd(r, GENERATION, 1), generation);
	cr_assert_not(r->g.irq, "not running");
	rig_free(r);
}

/* 4.1.3.1 says which widths a driver uses; whatever else comes must be harmless, and consistent. */
Test(virtio_pci, any_width_reads_the_same_bytes)
{
	struct rig *r = rig_new();

	accept(r, 0, 1);
	queue(r, 2, 32);
	for (uint32_t off = 0; off < 64; off++) {
		uint32_t b[4];

		for (unsigned i = 0; i < 4; i++)
			b[i] = rd(r, off + i, 1);
		cr_assert_eq(rd(r, off, 2), b[0] | b[1] << 8, "at %u", off);
		cr_assert_eq(rd(r, off, 4), b[0] | b[1] << 8 | b[2] << 16 | b[3] << 24, "at %u", off);
	}
	wr(r, QUEUE_SELECT, 0, 2);
	for (unsigned i = 0; i < 8; i++)
		wr(r, QUEUE_DESC + i, 0x10 + i, 1);
	cr_assert_eq(r->dev.queue[0].desc.v, 0x1716151413121110u);
	rig_free(r);
}

Test(virtio_pci, poll_is_called_once_per_wake)
{
	struct rig *r = rig_new();

	cr_assert_not(virtio_poll(&r->dev));
	virtio_wake(&r->dev);
	virtio_wake(&r->dev);
	cr_assert_eq(r->g.wakes, 2);
	cr_assert(virtio_poll(&r->dev));
	cr_assert_not(virtio_poll(&r->dev));
	cr_assert_eq(r->polls, 1);
	rig_free(r);
}
