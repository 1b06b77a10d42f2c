/* SPDX-License-Identifier: MIT */
#include "pv-drivers/virtio/virtq_chain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pv-drivers/virtio/virtio.h"

/* 2.7.5 "The Virtqueue Descriptor Table" */
enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
_Static_assert(sizeof(struct desc) == VIRTQ_DESC_BYTES, "the layout that the driver writes");

/*
 * A chain with room for what most requests are, so that one allocation is enough for them.  A vector that outgrows its
 * first room moves to the heap.
 */
enum { FEW_IOVECS = 8, FEW_RANGES = 4 };
struct virtq_held {
	struct virtq_chain c; /* must be first */
	struct virtq_held *prev, *next;
	unsigned room_out, room_in, room_ranges;
	struct iovec few_out[FEW_IOVECS], few_in[FEW_IOVECS];
	struct virtq_range few_ranges[FEW_RANGES];
};

static void list_add(struct virtq *q, struct virtq_held *h)
{
	h->prev = NULL;
	h->next = q->first_in_flight;
	if (h->next)
		h->next->prev = h;
	q->first_in_flight = h;
	q->in_flight++;
}

static void list_remove(struct virtq *q, struct virtq_held *h)
{
	if (h->next)
		h->next->prev = h->prev;
	if (h->prev)
		h->prev->next = h->next;
	else
		q->first_in_flight = h->next;
	q->in_flight--;
}

static void held_free(struct virtq_held *h)
{
	if (h->c.out != h->few_out)
		free(h->c.out);
	if (h->c.in != h->few_in)
		free(h->c.in);
	if (h->c.ranges != h->few_ranges)
		free(h->c.ranges);
	free(h);
}

void virtq_chain_free(struct virtq_chain *c)
{
	struct virtq_held *h = (struct virtq_held *)c;

	list_remove(c->q, h);
	held_free(h);
}

static struct virtq_held *held_new(struct virtq *q, uint16_t head)
{
	struct virtq_held *h = malloc(sizeof(*h));

	if (!h)
		return NULL;
	h->c = (struct virtq_chain){.q = q, .head = head, .out = h->few_out, .in = h->few_in, .ranges = h->few_ranges};
	h->room_out = h->room_in = FEW_IOVECS;
	h->room_ranges = FEW_RANGES;
	return h;
}

/* The vector at p, of n elements, with room for one more; NULL: no memory. */
static void *grow(void *p, unsigned n, unsigned *room, const void *few, size_t element_bytes)
{
	void *new;

	if (n < *room)
		return p;
	new = realloc(p == few ? NULL : p, 2 * (size_t)*room * element_bytes);
	if (!new)
		return NULL;
	if (p == few)
		memcpy(new, few, n * element_bytes);
	*room *= 2;
	return new;
}

static int add_out(struct virtq_held *h, uint8_t *host, uint64_t n)
{
	struct virtq_chain *c = &h->c;
	struct iovec *last = c->n_out ? &c->out[c->n_out - 1] : NULL, *v;

	c->out_bytes += n;
	if (last && (uint8_t *)last->iov_base + last->iov_len == host) {
		last->iov_len += n;
		return 0;
	}
	v = grow(c->out, c->n_out, &h->room_out, h->few_out, sizeof(*v));
	if (!v)
		return -ENOMEM;
	c->out = v;
	v[c->n_out++] = (struct iovec){host, n};
	return 0;
}

static int add_range(struct virtq_held *h, struct gpa pa, uint64_t n)
{
	struct virtq_chain *c = &h->c;
	struct virtq_range *last = c->n_ranges ? &c->ranges[c->n_ranges - 1] : NULL, *v;

	if (last && last->pa.v + last->bytes == pa.v) {
		last->bytes += (uint32_t)n; /* at most request_max_bytes */
		return 0;
	}
	v = grow(c->ranges, c->n_ranges, &h->room_ranges, h->few_ranges, sizeof(*v));
	if (!v)
		return -ENOMEM;
	c->ranges = v;
	v[c->n_ranges++] = (struct virtq_range){pa, (uint32_t)n};
	return 0;
}

static int add_in_host(struct virtq_held *h, uint8_t *host, uint64_t n)
{
	struct virtq_chain *c = &h->c;
	struct iovec *last = c->n_in ? &c->in[c->n_in - 1] : NULL, *v;

	if (last && (uint8_t *)last->iov_base + last->iov_len == host) {
		last->iov_len += n;
		return 0;
	}
	v = grow(c->in, c->n_in, &h->room_in, h->few_in, sizeof(*v));
	if (!v)
		return -ENOMEM;
	c->in = v;
	v[c->n_in++] = (struct iovec){host, n};
	return 0;
}

static int add_in(struct virtq_held *h, struct gpa pa, uint8_t *host, uint64_t n)
{
	int err = add_in_host(h, host, n);

	h->c.in_bytes += n;
	return err ? err : add_range(h, pa, n);
}

static int broken(struct virtq *q, const char *why)
{
	virtq_break(q, why);
	return -EPROTO;
}

/* One buffer, in as many pieces as the host has it. */
static int add_buffer(struct virtq_held *h, const struct desc *d)
{
	struct virtq *q = h->c.q;
	const struct virtio_host *host = &q->dev->host;
	uint64_t left = d->len, pa = d->addr;

	if (!(d->flags & DESC_WRITE) && h->c.in_bytes)
		return broken(q, "a buffer to read comes after one to write");
	if (left > q->dev->request_max_bytes - h->c.out_bytes - h->c.in_bytes)
		return broken(q, "a request is larger than this device takes");
	if (pa + left < pa)
		return broken(q, "a buffer is outside of memory");
	if (d->flags & DESC_WRITE && q->dev->late_in >> q->index & 1) {
		if (!host->share->is_memory(host->opaque, gpa(pa), left))
			return broken(q, "a buffer is outside of memory");
		h->c.in_bytes += left;
		return left ? add_range(h, gpa(pa), left) : 0;
	}
	while (left) {
		uint64_t n = left;
		int err = -EFAULT;
		uint8_t *p = host->map(host->opaque, gpa(pa), &n, d->flags & DESC_WRITE, &err);

		if (!p && err == -ENOMEM)
			return -ENOMEM;
		if (!p)
			return broken(q, "a buffer is outside of memory");
		err = d->flags & DESC_WRITE ? add_in(h, gpa(pa), p, n) : add_out(h, p, n);
		if (err)
			return err;
		pa += n;
		left -= n;
	}
	return 0;
}

/* Copy a descriptor once: it is judged and used by what it was then.  An indirect table may have any alignment. */
static int read_desc(struct virtq *q, uint64_t table, uint32_t i, struct desc *d)
{
	const struct virtio_host *host = &q->dev->host;
	uint64_t pa = table + (uint64_t)i * VIRTQ_DESC_BYTES, done = 0;

	if (pa < table || pa + VIRTQ_DESC_BYTES < pa)
		return broken(q, "a descriptor table is outside of memory");
	while (done < VIRTQ_DESC_BYTES) {
		uint64_t n = VIRTQ_DESC_BYTES - done;
		int err = -EFAULT;
		const uint8_t *p = host->map(host->opaque, gpa(pa + done), &n, false, &err);

		if (!p && err == -ENOMEM)
			return -ENOMEM;
		if (!p)
			return broken(q, "a descriptor table is outside of memory");
		memcpy((uint8_t *)d + done, p, n);
		done += n;
	}
	__asm__ volatile("" ::: "memory");
	return 0;
}

/* Where the walk is: the queue's own table, or (once) an indirect one behind it. */
struct walk {
	uint64_t table;
	uint32_t entries, at, left; /* left: descriptors that may still come; ends every loop */
	bool indirect;
};

/* 2.7.5.3: the device ignores WRITE of such a descriptor; it may end a chain of ordinary ones. */
static int enter_indirect(struct virtq *q, struct walk *w, const struct desc *d)
{
	if (!virtio_has(q->dev, VIRTIO_F_INDIRECT_DESC))
		return broken(q, "an indirect descriptor, which was not negotiated");
	if (w->indirect)
		return broken(q, "an indirect descriptor in an indirect table");
	if (d->flags & DESC_NEXT)
		return broken(q, "an indirect descriptor with a next one");
	if (!d->len || d->len % VIRTQ_DESC_BYTES || d->len / VIRTQ_DESC_BYTES > VIRTQ_MAX_TABLE)
		return broken(q, "an indirect table of a wrong size");
	*w = (struct walk){.table = d->addr,
			   .entries = d->len / VIRTQ_DESC_BYTES,
			   .left = d->len / VIRTQ_DESC_BYTES,
			   .indirect = true};
	return 0;
}

static int gather(struct virtq_held *h, uint16_t head)
{
	struct virtq *q = h->c.q;
	struct walk w = {.table = q->desc.v, .entries = q->size, .at = head, .left = q->size};
	struct desc d;
	int err;

	for (;;) {
		if (w.at >= w.entries)
			return broken(q, "a descriptor's number is beyond its table");
		if (!w.left--)
			return broken(q, "a chain of descriptors is a loop");
		err = read_desc(q, w.table, w.at, &d);
		if (err)
			return err;
		if (d.flags & DESC_INDIRECT) {
			err = enter_indirect(q, &w, &d);
			if (err)
				return err;
			continue;
		}
		err = add_buffer(h, &d);
		if (err || !(d.flags & DESC_NEXT))
			return err;
		w.at = d.next;
	}
}

int virtq_chain_gather(struct virtq *q, uint16_t head, struct virtq_chain **c)
{
	struct virtq_held *h = held_new(q, head);
	int err;

	if (!h)
		return -ENOMEM;
	list_add(q, h); /* before it has host memory, which must not be taken away from now on */
	err = gather(h, head);
	if (err) {
		virtq_chain_free(&h->c);
		return err;
	}
	*c = &h->c;
	return 0;
}

/* One range's host memory. at: its place in `in`. */
static int place_range(struct virtq_held *h, struct virtq_range r, uint64_t at, virtq_place_fn *place, void *opaque)
{
	const struct virtio_host *host = &h->c.q->dev->host;

	while (r.bytes) {
		uint64_t n = r.bytes;
		uint8_t *p = place(opaque, r.pa, at, &n);
		int err = 0;

		if (!p)
			p = host->map(host->opaque, r.pa, &n, true, &err);
		if (!p || add_in_host(h, p, n))
			return -ENOMEM; /* it is memory: virtio_share.is_memory() said so */
		r.pa.v += n;
		r.bytes -= (uint32_t)n;
		at += n;
	}
	return 0;
}

int virtq_place(struct virtq_chain *c, virtq_place_fn *place, void *opaque)
{
	uint64_t at = 0;
	int err = 0;

	for (unsigned i = 0; i < c->n_ranges && !err; i++) {
		err = place_range((struct virtq_held *)c, c->ranges[i], at, place, opaque);
		at += c->ranges[i].bytes;
	}
	return err;
}

void virtq_chain_written(const struct virtq_chain *c, uint64_t n)
{
	const struct virtio_host *host = &c->q->dev->host;

	for (unsigned i = 0; n && i < c->n_ranges; i++) {
		uint64_t part = c->ranges[i].bytes < n ? c->ranges[i].bytes : n;

		host->written(host->opaque, c->ranges[i].pa, part);
		n -= part;
	}
}

/* ---- contents ---- */

static bool overlap(const struct iovec *v, unsigned n, const uint8_t *host, uint64_t bytes)
{
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *base = v[i].iov_base;

		if (base < host + bytes && host < base + v[i].iov_len)
			return true;
	}
	return false;
}

bool virtq_uses(const struct virtq *q, const uint8_t *host, uint64_t bytes, bool written)
{
	for (const struct virtq_held *h = q->first_in_flight; h; h = h->next)
		if ((!written && overlap(h->c.out, h->c.n_out, host, bytes)) ||
		    overlap(h->c.in, h->c.n_in, host, bytes))
			return true;
	return false;
}

uint64_t virtq_read(const struct virtq_chain *c, uint64_t off, void *to, uint64_t n)
{
	uint64_t done = 0;

	for (unsigned i = 0; i < c->n_out && done < n; i++) {
		const struct iovec *v = &c->out[i];
		uint64_t part;

		if (off >= v->iov_len) {
			off -= v->iov_len;
			continue;
		}
		part = v->iov_len - off < n - done ? v->iov_len - off : n - done;
		memcpy((uint8_t *)to + done, (const uint8_t *)v->iov_base + off, part);
		done += part;
		off = 0;
	}
	return done;
}

uint64_t virtq_write(struct virtq_chain *c, uint64_t off, const void *from, uint64_t n)
{
	uint64_t done = 0;

	for (unsigned i = 0; i < c->n_in && done < n; i++) {
		const struct iovec *v = &c->in[i];
		uint64_t part;

		if (off >= v->iov_len) {
			off -= v->iov_len;
			continue;
		}
		part = v->iov_len - off < n - done ? v->iov_len - off : n - done;
		memcpy((uint8_t *)v->iov_base + off, (const uint8_t *)from + done, part);
		done += part;
		off = 0;
	}
	return done;
}

int iov_slice(const struct iovec *iov, unsigned n, uint64_t off, uint64_t bytes, struct iovec *out, unsigned max)
{
	unsigned used = 0;

	for (unsigned i = 0; i < n && bytes; i++) {
		uint64_t part;

		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		if (used == max)
			return -E2BIG;
		part = iov[i].iov_len - off < bytes ? iov[i].iov_len - off : bytes;
		out[used++] = (struct iovec){(uint8_t *)iov[i].iov_base + off, part};
		bytes -= part;
		off = 0;
	}
	return (int)used;
}
