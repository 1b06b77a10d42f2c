/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_VIRTIO_PCI_H
#define PV_DRIVERS_VIRTIO_PCI_H

/*
 * The register block of virtio over PCI: one memory BAR with four areas, which the vendor capabilities describe.
 * Source: virtio 1.2, 4.1 "Virtio Over PCI Bus".  Modern only: Debian's drivers ask for nothing else.
 * vCPU thread.
 */
#include "pv-drivers/virtio/virtio.h"

enum {
	VIRTIO_PCI_COMMON = 0x0000, /* struct virtio_pci_common_cfg */
	VIRTIO_PCI_ISR = 0x1000,
	VIRTIO_PCI_DEVICE = 0x2000,
	VIRTIO_PCI_NOTIFY = 0x3000,
	VIRTIO_PCI_NOTIFY_STEP = 4, /* notify_off_multiplier; queue n at VIRTIO_PCI_NOTIFY + 4 n */
	VIRTIO_PCI_BAR_BYTES = 0x4000,
};

/* State of the window registers (selectors). */
struct virtio_pci {
	struct virtio_device *dev;
	uint32_t device_feature_select, driver_feature_select;
	uint64_t driver_features;
	bool beyond_features; /* the driver accepted a bit above 63: there is none */
	uint16_t queue_select;
};

/* off 0 .. VIRTIO_PCI_BAR_BYTES - 1; bytes 1, 2, 4. Values little-endian registers in host order. */
uint32_t virtio_pci_read(struct virtio_pci *p, uint32_t off, unsigned bytes);
void virtio_pci_write(struct virtio_pci *p, uint32_t off, uint32_t value, unsigned bytes);
/* Power-on and RST#; the driver's own way is to write 0 to the status register.  Resets the device too. */
void virtio_pci_reset(struct virtio_pci *p);

#endif
