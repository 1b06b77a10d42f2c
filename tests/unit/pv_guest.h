/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_PV_GUEST_H
#define TESTS_UNIT_PV_GUEST_H

/*
 * Guest memory for tests of virtqueues: every page is an allocation of its own, so that no two are adjacent and the
 * sanitizer sees whoever leaves one; or some are adjacent, to test what is then merged.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pv-drivers/virtio/virtio.h"

enum { GUEST_MAX_PAGES = 256 };

struct pv_guest {
	unsigned pages;
	uint8_t *page[GUEST_MAX_PAGES];
	bool owned[GUEST_MAX_PAGES]; /* not adjacent to the one before */
	bool no_memory;              /* map() has -ENOMEM for everything */
	bool irq;
	unsigned irqs, wakes;
	uint64_t written, released; /* bytes told */
	unsigned outside;           /* written() or release() of what is not there: a bug of the device */
};

/* joined: bit n set: page n lies behind page n - 1 in the host too (n < 64). */
static inline void pv_guest_init(struct pv_guest *g, unsigned pages, uint64_t joined)
{
	*g = (struct pv_guest){.pages = pages};
	for (unsigned i = 0; i < pages;) {
		unsigned n = 1;

		while (i + n < pages && i + n < 64 && joined >> (i + n) & 1)
			n++;
		g->page[i] = calloc(n, PAGE_BYTES);
		if (!g->page[i])
			abort();
		g->owned[i] = true;
		for (unsigned k = 1; k < n; k++)
			g->page[i + k] = g->page[i] + (size_t)k * PAGE_BYTES;
		i += n;
	}
}

static inline void pv_guest_free(struct pv_guest *g)
{
	for (unsigned i = 0; i < g->pages; i++)
		if (g->owned[i])
			free(g->page[i]);
}

static inline uint8_t *pv_guest_map(void *opaque, struct gpa pa, uint64_t *bytes, bool write, int *err)
{
	struct pv_guest *g = opaque;
	uint64_t n = pa.v >> PAGE_SHIFT, got = PAGE_BYTES - (pa.v & PAGE_MASK);

	*err = g->no_memory ? -ENOMEM : -EFAULT;
	if (n >= g->pages || g->no_memory)
		return NULL;
	for (uint64_t k = n + 1; got < *bytes && k < g->pages && !g->owned[k]; k++)
		got += PAGE_BYTES;
	if (got < *bytes)
		*bytes = got;
	return g->page[n] + (pa.v & PAGE_MASK);
}

static inline bool pv_guest_inside(const struct pv_guest *g, struct gpa pa, uint64_t bytes)
{
	uint64_t all = (uint64_t)g->pages * PAGE_BYTES;

	return pa.v <= all && bytes <= all - pa.v;
}

static inline void pv_guest_written(void *opaque, struct gpa pa, uint64_t bytes)
{
	struct pv_guest *g = opaque;

	g->written += bytes;
	g->outside += !pv_guest_inside(g, pa, bytes);
}

/* What the guest names may be outside of its memory: the monitor passes over it (vmm/devices/virtio_bus.c). */
static inline void pv_guest_release(void *opaque, struct gpa pa, uint64_t bytes)
{
	struct pv_guest *g = opaque;

	g->outside += pa.v % PAGE_BYTES || bytes % PAGE_BYTES;
	for (; bytes; bytes -= PAGE_BYTES, pa.v += PAGE_BYTES) {
		if (!pv_guest_inside(g, pa, PAGE_BYTES))
			continue;
		memset(g->page[pa.v >> PAGE_SHIFT], 0, PAGE_BYTES);
		g->released += PAGE_BYTES;
	}
}

static inline void pv_guest_set_irq(void *opaque, bool level)
{
	struct pv_guest *g = opaque;

	g->irqs += level && !g->irq;
	g->irq = level;
}

static inline void pv_guest_wake(void *opaque)
{
	__atomic_add_fetch(&((struct pv_guest *)opaque)->wakes, 1, __ATOMIC_SEQ_CST);
}

static inline struct virtio_host pv_guest_host(struct pv_guest *g, bool synchronous)
{
	return (struct virtio_host){.map = pv_guest_map,
				    .written = pv_guest_written,
				    .release = pv_guest_release,
				    .set_irq = pv_guest_set_irq,
				    .wake = pv_guest_wake,
				    .synchronous = synchronous,
				    .opaque = g};
}

/* The driver's own accesses: across pages; outside of memory they are dropped. */
static inline void pv_guest_put(struct pv_guest *g, uint64_t pa, const void *from, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (pv_guest_inside(g, gpa(pa + i), 1))
			g->page[(pa + i) >> PAGE_SHIFT][(pa + i) & PAGE_MASK] = ((const uint8_t *)from)[i];
}

static inline void pv_guest_get(const struct pv_guest *g, uint64_t pa, void *to, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		((uint8_t *)to)[i] =
		    pv_guest_inside(g, gpa(pa + i), 1) ? g->page[(pa + i) >> PAGE_SHIFT][(pa + i) & PAGE_MASK] : 0;
}

static inline void pv_guest_put16(struct pv_guest *g, uint64_t pa, uint16_t v) { pv_guest_put(g, pa, &v, 2); }
static inline void pv_guest_put64(struct pv_guest *g, uint64_t pa, uint64_t v) { pv_guest_put(g, pa, &v, 8); }
static inline uint16_t pv_guest_get16(const struct pv_guest *g, uint64_t pa)
{
	uint16_t v;

	pv_guest_get(g, pa, &v, 2);
	return v;
}

/* ---- a split queue as the driver sees it: three areas, one page apart or more ---- */
enum { PV_NEXT = 1, PV_WRITE = 2, PV_INDIRECT = 4 };

struct pv_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct pv_driver {
	struct pv_guest *g;
	uint64_t desc, avail, used;
	uint16_t size, avail_index, used_index;
};

static inline void pv_put_desc(struct pv_guest *g, uint64_t table, unsigned i, struct pv_desc d)
{
	pv_guest_put(g, table + 16 * (uint64_t)i, &d, sizeof(d));
}

static inline void pv_offer(struct pv_driver *q, uint16_t head)
{
	pv_guest_put16(q->g, q->avail + 4 + 2 * (q->avail_index % q->size), head);
	q->avail_index++;
	pv_guest_put16(q->g, q->avail + 2, q->avail_index);
}

static inline uint64_t pv_used_event_at(const struct pv_driver *q) { return q->avail + 4 + 2 * (uint64_t)q->size; }
static inline uint64_t pv_avail_event_at(const struct pv_driver *q) { return q->used + 4 + 8 * (uint64_t)q->size; }

/* The next used element; false: none. */
static inline bool pv_take(struct pv_driver *q, uint32_t *id, uint32_t *len)
{
	uint64_t at = q->used + 4 + 8 * (uint64_t)(q->used_index % q->size);

	if (pv_guest_get16(q->g, q->used + 2) == q->used_index)
		return false;
	pv_guest_get(q->g, at, id, 4);
	pv_guest_get(q->g, at + 4, len, 4);
	q->used_index++;
	return true;
}

#endif
