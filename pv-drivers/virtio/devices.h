/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_DEVICES_H
#define PV_DRIVERS_DEVICES_H

/*
 * Making each virtio device.  All return 0 or -errno; *out is given back with virtio_device_free().  What a device stands
 * in front of (struct disk, struct net, descriptors) stays the caller's and must outlive it.
 */
#include "pv-drivers/virtio/virtio.h"

struct disk;
struct net;
struct net_counters;

/* serial: up to 20 bytes, what the guest's /dev/disk/by-id shows; the device's name is "disk PATH". */
MUST_CHECK int virtio_blk_new(struct virtio_device **out, struct disk *disk, const char *name, const char *serial);
MUST_CHECK int virtio_net_new(struct virtio_device **out, struct net *net, const char *name);
/* What the card has counted. False: d is no network card. Any thread. */
bool virtio_net_count(const struct virtio_device *d, struct net_counters *out);
/* Entropy of the host's getrandom(2); a fixed generator (seed) under --icount. */
MUST_CHECK int virtio_rng_new(struct virtio_device **out);
/* Free page reporting and inflation give machine pages back to the host. */
MUST_CHECK int virtio_balloon_new(struct virtio_device **out, uint64_t ram_bytes);
/* Pages that the guest should give up (configuration change). vCPU thread. */
void virtio_balloon_set_target(struct virtio_device *balloon, uint32_t pages);
/* Pages of 4 KiB that the guest says it has given up so far. vCPU thread. */
uint32_t virtio_balloon_actual(const struct virtio_device *balloon);
/* 5.5.6.3 "Memory Statistics"; memory in bytes. */
enum virtio_balloon_tag {
	VIRTIO_BALLOON_SWAP_IN,
	VIRTIO_BALLOON_SWAP_OUT,
	VIRTIO_BALLOON_MAJOR_FAULTS,
	VIRTIO_BALLOON_MINOR_FAULTS,
	VIRTIO_BALLOON_FREE,
	VIRTIO_BALLOON_TOTAL,
	VIRTIO_BALLOON_AVAILABLE,
	VIRTIO_BALLOON_CACHES,
	VIRTIO_BALLOON_HUGE_ALLOCATED,
	VIRTIO_BALLOON_HUGE_FAILED,
	VIRTIO_BALLOON_STATS
};
/* What the guest said last (at its driver's start, then after each refresh). False: nothing of this kind. vCPU thread. */
bool virtio_balloon_stat(const struct virtio_device *balloon, enum virtio_balloon_tag tag, uint64_t *out);
/* Ask the guest to say it again; it takes its time. vCPU thread. */
void virtio_balloon_refresh_stats(struct virtio_device *balloon);
/*
 * 9P2000.L server for one host directory; tag (1 to 255 bytes) is what the guest mounts.  Raises the process's soft limit of
 * open files to the hard one.  -EINVAL: tag; otherwise what is wrong with the directory (-ENOENT, -ENOTDIR, -EACCES).
 */
MUST_CHECK int virtio_9p_new(struct virtio_device **out, const char *dir, const char *tag, bool read_only);

/* Two queues a port, and two for control: VIRTIO_MAX_QUEUES. */
#define VIRTIO_CONSOLE_MAX_PORTS ((VIRTIO_MAX_QUEUES - 2) / 2)
/* What the device keeps for the guest, of each port, beyond the guest's own receive buffers. */
#define VIRTIO_CONSOLE_BUFFER_BYTES 65536u
/*
 * A port of the console device.  is_console: an hvc terminal; otherwise a named port, /dev/virtio-ports/NAME (where
 * there is no udev: the file name in /sys/class/virtio-ports/vportXpY holds NAME, /dev/vportXpY is the port).
 * All callbacks run on the vCPU thread; they may call virtio_console_send() and the others, for any port.
 *
 * Linux writes to an hvc terminal with a spin lock held: while a console port's tx() takes nothing, the guest's CPU
 * spins.  With nobody to take the bytes, drop them.  A named port's writer sleeps.
 */
struct console_port {
	const char *name; /* not empty, less than 64 bytes */
	bool is_console;
	/* Bytes from the guest: take up to n, return how many (0: none now, virtio_console_ready() when there is room again). */
	size_t (*tx)(void *opaque, const uint8_t *data, size_t n);
	/*
	 * The guest opened or closed the port: a reset of the device or of the guest closes it too.  Closing throws away
	 * what was sent and not read.  May be NULL.
	 */
	void (*opened)(void *opaque, bool open);
	/* After virtio_console_send() took less than it was given: half of the buffer is free again.  May be NULL. */
	void (*room)(void *opaque);
	void *opaque;
};
/* ports[] is copied, the names too.  The host end of each port is open at first.  -EINVAL: too many, names. */
MUST_CHECK int virtio_console_new(struct virtio_device **out, const struct console_port *ports, unsigned n);
/*
 * Bytes to the guest: returns how many were taken (bounded buffer; 0 when the port is not open in the guest, or the host
 * end is closed).  vCPU thread.
 */
size_t virtio_console_send(struct virtio_device *console, unsigned port, const uint8_t *data, size_t n);
/*
 * The host end is closed: the guest reads end of file after what was sent, and its writers wait (what it wrote before
 * still comes to tx).  It stays so over a reset of the guest.  vCPU thread.
 */
void virtio_console_hang_up(struct virtio_device *console, unsigned port);
/* The host end is open again after a hang-up; the guest sees the end of file first.  vCPU thread. */
void virtio_console_connect(struct virtio_device *console, unsigned port);
/* tx() can take bytes again. vCPU thread. */
void virtio_console_ready(struct virtio_device *console, unsigned port);
/* Room for virtio_console_send(): it takes at least so many.  vCPU thread. */
size_t virtio_console_room(struct virtio_device *console, unsigned port);
/* Size of a console port's terminal, in characters: SIGWINCH in the guest.  vCPU thread. */
void virtio_console_resize(struct virtio_device *console, unsigned port, uint16_t columns, uint16_t rows);

#endif
