/* SPDX-License-Identifier: MIT */
#include "pv-drivers/virtio/virtq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/trace.h"
#include "pv-drivers/virtio/virtio.h"
#include "pv-drivers/virtio/virtq_chain.h"

/* 2.7.6 "The Virtqueue Available Ring", 2.7.8 "The Virtqueue Used Ring"; all fields are little-endian. */
enum {
	RING_FLAGS = 0,
	RING_INDEX = 2,
	RING_ENTRIES = 4,
	AVAIL_ENTRY_BYTES = 2,
	USED_ENTRY_BYTES = 8,
	AVAIL_NO_INTERRUPT = 1,
	USED_NO_NOTIFY = 1,
};

/* ---- the rings in guest memory ---- */

/*
 * A field of a ring, of 2 or 4 bytes.  Rings are aligned (virtq_check()), so that none crosses a page; the two words of a used
 * element may be on different ones.  NULL: *err is -EPROTO (it is
 * not in guest memory: the queue is broken now) or -ENOMEM.
 */
static void *ring_field(struct virtq *q, struct gpa ring, uint64_t off, uint64_t bytes, bool write, int *err)
{
	const struct virtio_host *h = &q->dev->host;
	uint64_t n = bytes;
	uint8_t *p;

	*err = -EFAULT;
	p = ring.v + off < ring.v ? NULL : h->map(h->opaque, gpa(ring.v + off), &n, write, err);
	if (p && n == bytes)
		return p;
	if (!p && *err == -ENOMEM)
		return NULL;
	virtq_break(q, "a ring is outside of memory");
	*err = -EPROTO;
	return NULL;
}

static int ring_get16(struct virtq *q, struct gpa ring, uint64_t off, uint16_t *out)
{
	int err;
	const uint16_t *p = ring_field(q, ring, off, sizeof(*p), false, &err);

	*out = 0;
	if (!p)
		return err;
	*out = __atomic_load_n(p, __ATOMIC_ACQUIRE);
	return 0;
}

static void ring_put16(struct virtq *q, struct gpa ring, uint64_t off, uint16_t v)
{
	int err;
	uint16_t *p = ring_field(q, ring, off, sizeof(*p), true, &err);

	if (!p)
		return;
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
	q->dev->host.written(q->dev->host.opaque, gpa(ring.v + off), sizeof(v));
}

static void ring_put32(struct virtq *q, struct gpa ring, uint64_t off, uint32_t v)
{
	int err;
	uint32_t *p = ring_field(q, ring, off, sizeof(*p), true, &err);

	if (!p)
		return;
	*p = v;
	q->dev->host.written(q->dev->host.opaque, gpa(ring.v + off), sizeof(v));
}

/* The last field of each ring (2.7.7, 2.7.10): at which index of the other side's the owner wants to hear of it. */
static uint64_t used_event(const struct virtq *q) { return RING_ENTRIES + (uint64_t)AVAIL_ENTRY_BYTES * q->size; }
static uint64_t avail_event(const struct virtq *q) { return RING_ENTRIES + (uint64_t)USED_ENTRY_BYTES * q->size; }

static bool stopped(const struct virtq *q) { return q->broken || q->dev->status & VIRTIO_NEEDS_RESET; }

static bool usable(const struct virtq *q) { return q->enabled && !stopped(q) && virtio_running(q->dev); }

static int check_area(const struct virtq *q, struct gpa at, uint64_t bytes, uint64_t align)
{
	const struct virtio_host *h = &q->dev->host;
	int err = -EFAULT;

	if (at.v % align || at.v + bytes < at.v)
		return -EINVAL;
	while (bytes) {
		uint64_t n = bytes;

		if (!h->map(h->opaque, at, &n, false, &err))
			return err == -ENOMEM ? err : -EFAULT;
		at.v += n;
		bytes -= n;
	}
	return 0;
}

int virtq_check(const struct virtq *q)
{
	int err;

	if (!q->size || q->size > q->max_size || (q->size & (q->size - 1)))
		return -EINVAL;
	err = check_area(q, q->desc, (uint64_t)VIRTQ_DESC_BYTES * q->size, VIRTQ_DESC_BYTES);
	if (!err)
		err = check_area(q, q->avail, used_event(q) + 2, 2);
	if (!err)
		err = check_area(q, q->used, avail_event(q) + 2, 4);
	return err;
}

void virtq_activate(struct virtq *q)
{
	if (!usable(q))
		return;
	q->notification = true;
	ring_put16(q, q->used, RING_FLAGS, 0);
	ring_put16(q, q->used, avail_event(q), q->avail_next);
}

void virtq_reset(struct virtq *q, struct virtio_device *d, unsigned index)
{
	ASSERT(!q->first_in_flight);
	*q = (struct virtq){.size = d->queue_max[index], .max_size = d->queue_max[index], .dev = d, .index = index};
}

void virtq_break(struct virtq *q, const char *why)
{
	q->broken = true;
	virtio_break(q->dev, why);
}

/* ---- taking requests ---- */

/* How many requests wait, or -errno. */
static int waiting(struct virtq *q)
{
	uint16_t index;
	int err = ring_get16(q, q->avail, RING_INDEX, &index);

	if (err)
		return err;
	if ((uint16_t)(index - q->avail_next) <= q->size)
		return (uint16_t)(index - q->avail_next);
	virtq_break(q, "the available ring's index is more than the ring ahead");
	return -EPROTO;
}

/*
 * The queue is empty.  With the event index the driver is asked only now to notify of the next request: while requests
 * are being taken, the stale event keeps it quiet.  Then look once more: it may have added one without having seen that.
 */
static int waiting_armed(struct virtq *q)
{
	if (!q->notification || !virtio_has(q->dev, VIRTIO_F_EVENT_IDX))
		return 0;
	ring_put16(q, q->used, avail_event(q), q->avail_next);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return waiting(q);
}

static uint64_t number(const struct virtq *q) { return (uint64_t)(q - q->dev->queue); }

int virtq_pop(struct virtq *q, struct virtq_chain **c)
{
	uint16_t head;
	int n, err;

	*c = NULL;
	if (stopped(q))
		return -EPROTO;
	if (!usable(q))
		return 0;
	n = waiting(q);
	if (!n)
		n = waiting_armed(q);
	if (n <= 0)
		return n;
	if (!virtio_may_pop(q))
		return 0;
	err = ring_get16(q, q->avail, RING_ENTRIES + (uint64_t)AVAIL_ENTRY_BYTES * (q->avail_next & (q->size - 1u)),
			 &head);
	if (!err)
		err = virtq_chain_gather(q, head, c);
	if (err)
		return err;
	q->avail_next++;
	TRACE(q->dev->host.tracer, VIRTQUEUE_TAKE, TRACE_STRING(q->dev->host.trace_name), number(q), head,
	      (*c)->out_bytes, (*c)->in_bytes);
	return 1;
}

bool virtq_has_work(struct virtq *q) { return usable(q) && waiting(q) > 0; }

void virtq_set_notification(struct virtq *q, bool on)
{
	q->notification = on;
	if (!usable(q))
		return;
	if (!virtio_has(q->dev, VIRTIO_F_EVENT_IDX))
		ring_put16(q, q->used, RING_FLAGS, on ? 0 : USED_NO_NOTIFY);
	else if (on)
		ring_put16(q, q->used, avail_event(q), q->avail_next);
	if (on)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* ---- giving them back ---- */

void virtq_fill(struct virtq_chain *c, uint64_t written, unsigned n)
{
	struct virtq *q = c->q;
	uint64_t element =
	    RING_ENTRIES + (uint64_t)USED_ENTRY_BYTES * ((uint16_t)(q->used_next + n) & (uint16_t)(q->size - 1));

	if (written > c->in_bytes)
		written = c->in_bytes;
	virtq_chain_written(c, written);
	q->dev->stats.requests++;
	q->dev->stats.bytes_out += c->out_bytes;
	q->dev->stats.bytes_in += written;
	TRACE(q->dev->host.tracer, VIRTQUEUE_DONE, TRACE_STRING(q->dev->host.trace_name), number(q), c->head, written);
	if (usable(q))
		ring_put32(q, q->used, element, c->head);
	if (usable(q))
		ring_put32(q, q->used, element + 4, (uint32_t)written);
	virtq_chain_free(c);
}

void virtq_flush(struct virtq *q, unsigned n)
{
	uint16_t old = q->used_next;

	if (!usable(q))
		return;
	q->used_next = (uint16_t)(old + n);
	ring_put16(q, q->used, RING_INDEX, q->used_next);
	/* Once around the index since the last signal: what it was says nothing any more. */
	if ((int16_t)(q->used_next - q->used_signalled) < (int)(uint16_t)(q->used_next - old))
		q->used_signalled_valid = false;
}

void virtq_push(struct virtq_chain *c, uint64_t written)
{
	struct virtq *q = c->q;

	virtq_fill(c, written, 0);
	virtq_flush(q, 1);
}

void virtq_drop(struct virtq_chain *c)
{
	virtq_chain_written(c, c->in_bytes);
	virtq_chain_free(c);
}

void virtq_rewind(struct virtq *q, unsigned n) { q->avail_next = (uint16_t)(q->avail_next - n); }

/* 2.7.7.2 and 2.7.10.2: has the index moved past `event` on its way from old to new? */
static bool passed(uint16_t event, uint16_t new, uint16_t old)
{
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

static bool wants_interrupt(struct virtq *q)
{
	uint16_t old = q->used_signalled, word;
	bool valid = q->used_signalled_valid;

	if (!virtio_has(q->dev, VIRTIO_F_EVENT_IDX))
		return !ring_get16(q, q->avail, RING_FLAGS, &word) && !(word & AVAIL_NO_INTERRUPT);
	if (ring_get16(q, q->avail, used_event(q), &word))
		return false;
	q->used_signalled = q->used_next;
	q->used_signalled_valid = true;
	return !valid || passed(word, q->used_next, old);
}

void virtq_signal(struct virtq *q)
{
	if (!usable(q))
		return;
	/* The driver writes what it wants and then looks at the used index; here it is the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (wants_interrupt(q))
		virtio_interrupt(q->dev, VIRTIO_ISR_QUEUE);
}
