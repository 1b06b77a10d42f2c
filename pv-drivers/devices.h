/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_DEVICES_H
#define PV_DRIVERS_DEVICES_H

/*
 * Making each virtio device.  All return 0 or -errno; *out is given back with virtio_device_free().  What a device stands
 * in front of (struct disk, struct net, descriptors) stays the caller's and must outlive it.
 */
#include "pv-drivers/virtio.h"

struct disk;
struct net;

/* serial: up to 20 bytes, what the guest's /dev/disk/by-id shows; the device's name is "disk PATH". */
MUST_CHECK int virtio_blk_new(struct virtio_device **out, struct disk *disk, const char *name, const char *serial);
MUST_CHECK int virtio_net_new(struct virtio_device **out, struct net *net, const char *name);
/* Entropy of the host's getrandom(2); a fixed generator (seed) under --icount. */
MUST_CHECK int virtio_rng_new(struct virtio_device **out);
/* Free page reporting and inflation give machine pages back to the host. */
MUST_CHECK int virtio_balloon_new(struct virtio_device **out, uint64_t ram_bytes);
/* Pages that the guest should give up (configuration change). vCPU thread. */
void virtio_balloon_set_target(struct virtio_device *balloon, uint32_t pages);
/* 9P2000.L server for one host directory; tag is what the guest mounts. */
MUST_CHECK int virtio_9p_new(struct virtio_device **out, const char *dir, const char *tag, bool read_only);

#define VIRTIO_CONSOLE_MAX_PORTS 8
/*
 * A port of the console device.  is_console: an hvc terminal; otherwise a named port, /dev/virtio-ports/NAME.
 * All callbacks run on the vCPU thread.
 */
struct console_port {
	const char *name;
	bool is_console;
	/* Bytes from the guest: take up to n, return how many (0: none now, virtio_console_ready() when there is room again). */
	size_t (*tx)(void *opaque, const uint8_t *data, size_t n);
	/* The guest opened or closed the port. May be NULL. */
	void (*opened)(void *opaque, bool open);
	void *opaque;
};
MUST_CHECK int virtio_console_new(struct virtio_device **out, const struct console_port *ports, unsigned n);
/*
 * Bytes to the guest: returns how many were taken (bounded buffer; 0 when the port is not open in the guest).  vCPU thread.
 */
size_t virtio_console_send(struct virtio_device *console, unsigned port, const uint8_t *data, size_t n);
/* The host end is closed: the guest reads end of file after what was sent. vCPU thread. */
void virtio_console_hang_up(struct virtio_device *console, unsigned port);
/* tx() can take bytes again. vCPU thread. */
void virtio_console_ready(struct virtio_device *console, unsigned port);
/* Room for virtio_console_send(). */
size_t virtio_console_room(struct virtio_device *console, unsigned port);

#endif
