/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_PV_RING_H
#define TESTS_UNIT_PV_RING_H

/*
 * The driver's side of split virtqueues, for unit tests of one device without a bus: guest memory is an array, queues are
 * laid out by hand, chains are built from buffers that the test allocates in it.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pv-drivers/virtio/virtio.h"

enum { RING_DESC_NEXT = 1, RING_DESC_WRITE = 2, RING_QUEUE_BYTES = 32768, RING_MAX_BUFS = 64 };

struct ring_buf {
	uint64_t pa;
	uint32_t bytes;
};

struct ring_rig {
	struct virtio_device *d;
	uint8_t *mem;
	uint64_t mem_bytes, next; /* of ring_alloc() */
	uint64_t written_bytes;   /* of host.written() */
	unsigned irqs, pauses;    /* how often */
	bool irq, paused;
	sem_t woken;
	struct {
		uint16_t desc, avail, used; /* free-running */
	} q[VIRTIO_MAX_QUEUES];
};

static inline uint8_t *ring_map(void *opaque, struct gpa pa, uint64_t *bytes, bool write, int *err)
{
	struct ring_rig *r = opaque;

	if (pa.v >= r->mem_bytes) {
		*err = -EFAULT;
		return NULL;
	}
	if (*bytes > r->mem_bytes - pa.v)
		*bytes = r->mem_bytes - pa.v;
	return r->mem + pa.v;
}

static inline void ring_written(void *opaque, struct gpa pa, uint64_t bytes)
{
	(void)pa;
	((struct ring_rig *)opaque)->written_bytes += bytes;
}

static inline void ring_set_irq(void *opaque, bool level)
{
	struct ring_rig *r = opaque;

	r->irqs += level && !r->irq;
	r->irq = level;
}

static inline void ring_wake(void *opaque) { sem_post(&((struct ring_rig *)opaque)->woken); }

static inline void ring_pause(void *opaque, bool on)
{
	struct ring_rig *r = opaque;

	if (r->paused == on)
		abort();
	r->pauses += on;
	r->paused = on;
}

static inline uint64_t ring_queue_base(unsigned q) { return 4096 + (uint64_t)q * RING_QUEUE_BYTES; }

/* Status and queues as after a driver's start with these features; ring_alloc() starts anew. */
static inline void ring_start(struct ring_rig *r, uint64_t features)
{
	struct virtio_device *d = r->d;

	virtio_reset(d);
	memset(r->mem, 0, r->mem_bytes);
	memset(r->q, 0, sizeof(r->q));
	r->next = ring_queue_base(VIRTIO_MAX_QUEUES);
	virtio_set_status(d, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER, 0);
	virtio_set_status(d, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK,
			  (features & d->features_offered) | VIRTIO_F_VERSION_1);
	for (unsigned i = 0; i < d->n_queues; i++) {
		struct virtq *q = &d->queue[i];

		q->desc = gpa(ring_queue_base(i));
		q->avail = gpa(ring_queue_base(i) + 16384);
		q->used = gpa(ring_queue_base(i) + 20480);
		virtio_enable_queue(d, i);
	}
	virtio_set_status(d, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK, 0);
}

static inline void ring_init(struct ring_rig *r, struct virtio_device *d, uint64_t mem_bytes, bool synchronous)
{
	memset(r, 0, sizeof(*r));
	r->d = d;
	r->mem = calloc(1, mem_bytes);
	r->mem_bytes = mem_bytes;
	sem_init(&r->woken, 0, 0);
	d->host = (struct virtio_host){.map = ring_map,
				       .written = ring_written,
				       .set_irq = ring_set_irq,
				       .wake = ring_wake,
				       .pause = ring_pause,
				       .synchronous = synchronous,
				       .opaque = r};
}

static inline void ring_free(struct ring_rig *r)
{
	virtio_device_free(r->d);
	sem_destroy(&r->woken);
	free(r->mem);
}

static inline uint64_t ring_alloc(struct ring_rig *r, uint32_t bytes)
{
	uint64_t pa = r->next;

	r->next += (bytes + 15) & ~15u;
	return r->next <= r->mem_bytes ? pa : (abort(), 0);
}

/* Make a chain of n_out device-readable and n_in device-writable buffers available; returns its head. */
static inline uint16_t ring_add(struct ring_rig *r, unsigned queue, const struct ring_buf *out, unsigned n_out,
				const struct ring_buf *in, unsigned n_in)
{
	struct virtq *q = &r->d->queue[queue];
	uint8_t *desc = r->mem + q->desc.v, *avail = r->mem + q->avail.v;
	uint16_t head = r->q[queue].desc % q->size;

	for (unsigned i = 0; i < n_out + n_in; i++) {
		const struct ring_buf *b = i < n_out ? &out[i] : &in[i - n_out];
		uint16_t at = r->q[queue].desc++ % q->size, next = r->q[queue].desc % q->size;
		uint16_t flags = (i + 1 < n_out + n_in ? RING_DESC_NEXT : 0) | (i >= n_out ? RING_DESC_WRITE : 0);

		memcpy(desc + 16 * at, &b->pa, 8);
		memcpy(desc + 16 * at + 8, &b->bytes, 4);
		memcpy(desc + 16 * at + 12, &flags, 2);
		memcpy(desc + 16 * at + 14, &next, 2);
	}
	memcpy(avail + 4 + 2 * (r->q[queue].avail++ % q->size), &head, 2);
	memcpy(avail + 2, &r->q[queue].avail, 2);
	return head;
}

static inline void ring_kick(struct ring_rig *r, unsigned queue) { virtio_notify(r->d, queue); }

/* The next used element, if there is one. */
static inline bool ring_used(struct ring_rig *r, unsigned queue, uint32_t *id, uint32_t *bytes)
{
	struct virtq *q = &r->d->queue[queue];
	const uint8_t *used = r->mem + q->used.v;
	const uint8_t *e = used + 4 + 8 * (r->q[queue].used % q->size);
	uint16_t idx;

	memcpy(&idx, used + 2, 2);
	if (idx == r->q[queue].used)
		return false;
	memcpy(id, e, 4);
	memcpy(bytes, e + 4, 4);
	r->q[queue].used++;
	return true;
}

/* Wait until the device asks for poll(), and poll; false after 30 seconds without. */
static inline bool ring_poll(struct ring_rig *r)
{
	struct timespec end;
	int n;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 30;
	do
		n = sem_timedwait(&r->woken, &end);
	while (n && errno == EINTR);
	if (n)
		return false;
	virtio_poll(r->d);
	return true;
}

#endif
