/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_VIRTIO_H
#define PV_DRIVERS_VIRTIO_H

/*
 * A virtio 1.2 device without its bus: status, features, queues, configuration space.  The registers of the PCI transport
 * are in virtio_pci.h; vmm/devices/virtio_bus.c puts them onto the Malta's bus.
 *
 * Threads.  Registers, rings and interrupts are the vCPU thread's: notify(), poll(), reset() and the configuration space
 * are called there and nowhere else.  A device whose work may block does it in a thread of its own, on the iovecs of popped
 * chains, and has poll() called with virtio_wake(); poll() pushes what is finished.  reset() must wait until no thread of
 * the device touches guest memory any more.  Under --icount (host->synchronous) a device does all work inside notify()
 * where it can, so that a run is repeatable.
 */
#include "numa/share.h"
#include "pv-drivers/virtio/virtq.h"

/* Device ids, 5 "Device Types". */
enum virtio_id {
	VIRTIO_ID_NET = 1,
	VIRTIO_ID_BLOCK = 2,
	VIRTIO_ID_CONSOLE = 3,
	VIRTIO_ID_RNG = 4,
	VIRTIO_ID_BALLOON = 5,
	VIRTIO_ID_9P = 9,
};

/* The subsystem vendor of a device that knows more than the standard says (docs/disco-net.md): no other driver looks at it. */
enum { VIRTIO_VENDOR_DISCO = 0xd15c };

/* 2.1 "Device Status Field" */
enum virtio_status {
	VIRTIO_ACKNOWLEDGE = 1,
	VIRTIO_DRIVER = 2,
	VIRTIO_DRIVER_OK = 4,
	VIRTIO_FEATURES_OK = 8,
	VIRTIO_NEEDS_RESET = 64,
	VIRTIO_FAILED = 128,
};

/* 6 "Reserved Feature Bits": offered by every device. */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX     (1ull << 29)
#define VIRTIO_F_VERSION_1     (1ull << 32)

enum { VIRTIO_TURN_POPS = 2 * VIRTQ_MAX_SIZE };
enum { VIRTIO_MAX_QUEUES = 18, VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 };

/*
 * Memory of the machine that other machines of the monitor may have too: blocks of disk images (numa/share.h).  The opaque is
 * virtio_host's; vCPU thread.
 */
struct virtio_share {
	/* A number for the image, 0: its blocks are not shared. */
	uint32_t (*image)(void *opaque, const struct share_image *image);
	bool (*is_memory)(void *opaque, struct gpa pa, uint64_t bytes);
	/* The block is in memory: it is mapped at pa, and here is its host memory, to be read.  NULL: it is not. */
	const uint8_t *(*map_block)(void *opaque, struct gpa pa, struct block_name name);
	/* A page to read a block into; NULL: machine memory is exhausted. */
	struct machine_page *(*new_page)(void *opaque);
	void (*drop_page)(void *opaque, struct machine_page *page);
	/* It has been read: map it at pa.  name.image 0: for this machine alone.  Takes page. */
	void (*give_block)(void *opaque, struct gpa pa, struct block_name name, struct machine_page *page);
	/* The page of the machine's with this host memory, to be sent to another one: pmap_lend(). NULL: it is to be copied. */
	struct machine_page *(*lend)(void *opaque, const uint8_t *host);
	/* A page that another machine has lent is at pa from now on: pmap_take(). False: it cannot be, and is still lent. */
	bool (*take)(void *opaque, struct gpa pa, struct machine_page *page);
};

/* What the monitor gives to a device.  Filled by vmm/ (or a test) when the device is put on a bus. */
struct virtio_host {
	/*
	 * Host memory of [pa, pa + *bytes), to be read, or to be written too: *bytes is shortened to what is contiguous there.
	 * NULL outside of guest memory (*err = -EFAULT) or if machine memory is exhausted (-ENOMEM).  It is the guest's as long as
	 * a chain in flight has it; the guest may get another page for that address meanwhile.  vCPU thread.
	 */
	uint8_t *(*map)(void *opaque, struct gpa pa, uint64_t *bytes, bool write, int *err);
	/* The device has written there: drop translations of it.  vCPU thread. */
	void (*written)(void *opaque, struct gpa pa, uint64_t bytes);
	/*
	 * Give the memory of these whole pages back to the host; they read as zeroes, or as before, from now on (balloon).
	 * From poll() only: no translated code is on the stack then that might have the address of one.
	 */
	void (*release)(void *opaque, struct gpa pa, uint64_t bytes);
	/* The interrupt line of this device.  vCPU thread. */
	void (*set_irq)(void *opaque, bool level);
	/* Have virtio_poll() called soon on the vCPU thread.  Any thread. */
	void (*wake)(void *opaque);
	/*
	 * The guest is not to run on, and its time not to pass, until the device says so again: a request that no guest is ready
	 * to see fail waits for the host.  vCPU thread, also from notify().  NULL: cannot be.
	 */
	void (*pause)(void *opaque, bool on);
	/* One line for the user, without its end.  vCPU thread.  NULL: nobody is told. */
	void (*report)(void *opaque, const char *line);
	const struct virtio_share *share; /* NULL: the machine shares nothing */
	struct tracer *tracer;            /* of the machine's devices (base/trace.h); or NULL */
	const char *trace_name;           /* the device's, as long as the trace */
	bool synchronous;                 /* --icount */
	void *opaque;
};

struct virtio_ops {
	/* DRIVER_OK was set: features and queues are final.  May be NULL. */
	void (*activate)(struct virtio_device *d);
	/* The driver wrote to the notify register of an enabled queue, or it was not served to its end in the last turn. */
	void (*notify)(struct virtio_device *d, unsigned queue);
	/* After virtio_wake(). May be NULL. */
	void (*poll)(struct virtio_device *d);
	/* About once a second of the host's while the device has the machine paused.  NULL if it never has. */
	void (*retry)(struct virtio_device *d);
	/* Forget all requests; the driver starts anew.  Queues have not yet been cleared. */
	void (*reset)(struct virtio_device *d);
	/* The driver has written [off, off + bytes) of config (already there, only bytes of config_writable). May be NULL. */
	void (*config_written)(struct virtio_device *d, unsigned off, unsigned bytes);
	/*
	 * For who goes back to an earlier state of the machine: what the device has besides struct virtio_device and config[], as
	 * bytes.  savable: can it be done at all; NULL: no.  save, restore: NULL if there is nothing.
	 */
	bool (*savable)(const struct virtio_device *d);
	size_t state_bytes;
	void (*save)(const struct virtio_device *d, void *state);
	void (*restore)(struct virtio_device *d, const void *state);
	/* Called once, after reset(): free the device and what it embeds. */
	void (*free)(struct virtio_device *d);
};

/* A device embeds it as first member. */
struct virtio_device {
	/* Filled by the device before it goes onto a bus. */
	const char *name; /* for messages: "disk bench.img" */
	uint16_t id;      /* enum virtio_id */
	uint16_t
	    vendor; /* what the driver sees as virtio_device.id.vendor; 0: the usual one, and VIRTIO_VENDOR_DISCO */
	uint64_t features_offered;
	unsigned n_queues;
	uint16_t queue_max[VIRTIO_MAX_QUEUES]; /* powers of two, <= VIRTQ_MAX_SIZE */
	uint8_t *config; /* device-specific configuration, little-endian; the device's own array */
	unsigned config_bytes;
	const uint8_t *config_writable; /* mask of as many bytes, or NULL: nothing */
	uint32_t request_max_bytes;     /* of one chain, both directions; VIRTQ_MAX_BYTES after virtio_device_init() */
	uint32_t
	    late_in; /* bits: of these queues, chains come without memory for what is to be written: virtq_place(). Needs host.share */
	const struct virtio_ops *ops;

	/* Filled by the bus. */
	struct virtio_host host;

	/* State of the transport. */
	uint8_t status, isr, config_generation;
	uint64_t features; /* accepted; final once FEATURES_OK */
	struct virtq queue[VIRTIO_MAX_QUEUES];
	bool said_broken, paused;
	int woken; /* virtio_wake() was called (atomic) */
	/*
	 * Requests that virtq_pop() still gives in this turn (of notify(), poll()), and the queues that came too short (bits): they
	 * are notified again in the next one.  A ring whose requests write more requests would otherwise never end.
	 */
	unsigned pops_left;
	uint32_t again;

	/*
	 * Statistics of all queues: requests done, notifications (traps), interrupts, bytes written to the guest (in) and read
	 * from it (out).  vCPU thread.
	 */
	struct virtio_stats {
		uint64_t requests, notifies, interrupts, bytes_in, bytes_out;
	} stats;
};

/* Fills the generic part; config etc. stay the caller's to set.  Offers the three features above besides `features`. */
void virtio_device_init(struct virtio_device *d, const char *name, uint16_t id, uint64_t features,
			const struct virtio_ops *ops);
void virtio_device_free(struct virtio_device *d);
static inline bool virtio_has(const struct virtio_device *d, uint64_t feature) { return d->features & feature; }
static inline bool virtio_running(const struct virtio_device *d)
{
	return (d->status & (VIRTIO_DRIVER_OK | VIRTIO_NEEDS_RESET | VIRTIO_FAILED)) == VIRTIO_DRIVER_OK;
}
/* Have poll() called on the vCPU thread.  Any thread. */
void virtio_wake(struct virtio_device *d);
/* Calls poll() if the device was woken.  vCPU thread, by the bus.  True if it was. */
bool virtio_poll(struct virtio_device *d);
/* Have the machine wait, or go on: host.pause(); twice is once.  vCPU thread. */
void virtio_pause(struct virtio_device *d, bool on);
/* Calls retry() if the device has the machine paused.  vCPU thread, by the bus. */
void virtio_retry(struct virtio_device *d);
/* The device changed config[]: new generation, configuration interrupt.  vCPU thread. */
void virtio_config_changed(struct virtio_device *d);
/* The device is lost until it is reset: NEEDS_RESET, a configuration interrupt, one line for the user. */
void virtio_break(struct virtio_device *d, const char *why);
/* As if the driver wrote status 0; also at power-on and RST#. */
void virtio_reset(struct virtio_device *d);

/* Can it go back to an earlier state?  vCPU thread, as what follows. */
bool virtio_savable(const struct virtio_device *d);
size_t virtio_state_bytes(const struct virtio_device *d);
/* False: not now, requests are in flight. */
MUST_CHECK bool virtio_save(const struct virtio_device *d, void *state);
void virtio_restore(struct virtio_device *d, const void *state);

/* ---- for the transport and the virtqueue ---- */
/* Raise the interrupt line for this reason (VIRTIO_ISR_QUEUE, VIRTIO_ISR_CONFIG), which the driver will find in isr. */
void virtio_interrupt(struct virtio_device *d, uint8_t reason);
/*
 * The driver writes the status register (2.1, 3.1.1); 0 is virtio_reset().  wanted: the features that it has accepted.  What the
 * protocol does not allow leaves the bit unset (FEATURES_OK) or breaks the device (DRIVER_OK without FEATURES_OK).
 */
void virtio_set_status(struct virtio_device *d, uint8_t status, uint64_t wanted);
/* The driver enables queue n, whose size and addresses it has written. Breaks the device if they cannot be. */
void virtio_enable_queue(struct virtio_device *d, unsigned n);
void virtio_notify(struct virtio_device *d, unsigned queue);
/* Count one more request of this turn; false: the turn is over, and the queue will be notified in the next. */
bool virtio_may_pop(struct virtq *q);
/* Is [host, host + bytes) part of a request in flight; written: of what is to be written? */
bool virtio_uses(const struct virtio_device *d, const uint8_t *host, uint64_t bytes, bool written);

#endif
