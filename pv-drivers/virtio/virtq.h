/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_VIRTQ_H
#define PV_DRIVERS_VIRTQ_H

/*
 * One split virtqueue, device side.  Source: virtio 1.2, 2.6 "Virtqueues", 2.7 "Split Virtqueues".
 *
 * Everything in it is hostile: every address is checked against guest memory, a chain is refused if it loops, is longer
 * than the queue (VIRTQ_MAX_TABLE entries if indirect) or holds more than VIRTQ_MAX_BYTES.  What is refused breaks the
 * queue for good (until the driver resets the device): virtq_pop() returns -errno from then on, and the caller has
 * nothing to do but stop; the device's DEVICE_NEEDS_RESET bit has been set and the driver told.
 *
 * All functions: vCPU thread.  A chain's iovecs may be used by another thread until it is pushed.
 */
#include <sys/uio.h>

#include "base/panic.h"
#include "base/types.h"

struct virtio_device;
struct virtq_held; /* virtq_chain.c */

enum {
	VIRTQ_MAX_SIZE = 1024,
	VIRTQ_MAX_TABLE = 1024,     /* entries of an indirect table */
	VIRTQ_MAX_BYTES = 64 << 20, /* unless the device says otherwise: request_max_bytes */
};

struct virtq {
	/* Set by the driver before the queue is enabled. */
	uint16_t size; /* power of two, 1 .. max_size */
	uint16_t max_size;
	bool enabled;
	struct gpa desc, avail, used;

	/* Progress. */
	bool broken;
	uint16_t avail_next; /* next entry of the available ring to look at */
	uint16_t used_next;  /* next entry of the used ring to write */
	uint16_t used_signalled;
	bool used_signalled_valid; /* event index: an interrupt has been considered since activation */
	uint16_t in_flight;        /* popped, not pushed */
	bool notification;         /* virtq_set_notification() */
	struct virtq_held *first_in_flight;

	struct virtio_device *dev; /* back pointer, and which queue this is */
	unsigned index;
};

/* A part of a device-writable segment that is contiguous in guest memory: what virtq_push() reports as written. */
struct virtq_range {
	struct gpa pa;
	uint32_t bytes;
};

/*
 * One request: what the driver wrote (out) and what the device is to write (in), as host memory.  Segments are split
 * at page borders of the machine and merged again where host memory is contiguous: their number and borders mean
 * nothing (2.6.4 "Message Framing").
 */
struct virtq_chain {
	struct virtq *q;
	uint16_t head;
	uint64_t out_bytes, in_bytes;
	unsigned n_out, n_in;
	struct iovec *out, *in; /* owned by the chain */
	unsigned n_ranges;
	struct virtq_range *ranges; /* of in, in order */
};

/*
 * The next request.  *c is allocated, and given back with virtq_push() or virtq_drop().
 * Returns 1, 0 (none waits; or this turn of the device has taken VIRTIO_TURN_POPS: notify() will be called again),
 * -EPROTO (broken: this one or before), -ENOMEM (host or machine memory; nothing consumed).
 */
MUST_CHECK int virtq_pop(struct virtq *q, struct virtq_chain **c);
/*
 * Of a queue whose device asked for it (virtio_device.late_in): find host memory for `in`, once, before anything else is done with it.
 * place() may bring its own for [pa, pa + *bytes), which are in[at ..]; it may shorten *bytes. NULL: what the guest has there.
 * 0, -ENOMEM.
 */
typedef uint8_t *virtq_place_fn(void *opaque, struct gpa pa, uint64_t at, uint64_t *bytes);
MUST_CHECK int virtq_place(struct virtq_chain *c, virtq_place_fn *place, void *opaque);
/*
 * Done with c: the first `written` bytes of in were written (translations made from them are dropped: it must cover the
 * last byte that was), the used element is visible to the driver.  Frees c.  Interrupts nobody: see virtq_signal().
 * virtq_fill/virtq_flush: the same in two steps, so that several chains become visible at once (mergeable buffers);
 * n is the position among those filled since the last flush.
 */
void virtq_push(struct virtq_chain *c, uint64_t written);
void virtq_fill(struct virtq_chain *c, uint64_t written, unsigned n);
void virtq_flush(struct virtq *q, unsigned n);
/* Put back the chains popped last (n of them, already freed with virtq_drop): they will be popped again. */
void virtq_rewind(struct virtq *q, unsigned n);
/* Free c without telling the driver (a reset is under way, or before virtq_rewind()); all of in counts as written. */
void virtq_drop(struct virtq_chain *c);
/* Interrupt the driver unless it asked not to be (flags, or event index). Once after a batch of pushes. */
void virtq_signal(struct virtq *q);
/* True if a request waits, without popping (and without asking for a notification). */
bool virtq_has_work(struct virtq *q);
/*
 * Ask the driver to notify, or not to, when it makes requests available (flags, or event index).  On at first.  After
 * switching on, look again with virtq_pop(): something may have come in between.  A device that pops until there is none
 * does not need it where the event index was negotiated: virtq_pop() then asks for a notification only when the queue is
 * empty, and looks again.
 */
void virtq_set_notification(struct virtq *q, bool on);

/* Copy between a chain's segments (from byte `off` on) and a buffer; returns the bytes copied, less than n at the end. */
uint64_t virtq_read(const struct virtq_chain *c, uint64_t off, void *to, uint64_t n);
uint64_t virtq_write(struct virtq_chain *c, uint64_t off, const void *from, uint64_t n);
/*
 * The iovecs of [off, off + bytes) of an iovec array, into out[max].  Returns how many, or -E2BIG.
 * Does not allocate; any thread.
 */
MUST_CHECK int iov_slice(const struct iovec *iov, unsigned n, uint64_t off, uint64_t bytes, struct iovec *out,
			 unsigned max);

/*
 * Mark the queue and its device broken, and tell the user why, once per device: a driver that breaks the protocol
 * beyond what the ring's own format says (a net header that lies, a block request with no status byte).
 */
void virtq_break(struct virtq *q, const char *why);

#endif
