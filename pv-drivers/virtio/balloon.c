/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pv-drivers/virtio/devices.h"

/*
 * Memory balloon (virtio 1.2, 5.5): pages that the guest gives up, or reports as free, go back to the host, and come
 * again as zeroes when the guest touches them.  So inflation is advice in both directions: a page that the guest uses
 * without having told (no MUST_TELL_HOST) is simply there.
 *
 * All work is done in poll(), where memory may be released (virtio_host.release).
 */
enum {
	FEATURE_STATS = 1,
	FEATURE_DEFLATE_ON_OOM = 2,
	FEATURE_PAGE_POISON = 4,
	FEATURE_REPORTING = 5,
	QUEUES = 4,
	QUEUE_SIZE = 128,
	CONFIG_NUM_PAGES = 0,
	CONFIG_ACTUAL = 4,
	CONFIG_POISON = 12,
	CONFIG_BYTES = 16,
	STAT_BYTES = 10, /* le16 tag, le64 value (5.5.6.3) */
	PFN_BATCH = 1024,
	/* Linux reports 32 blocks of 4 MiB in one request. */
	REQUEST_MAX_BYTES = 256 << 20,
	/* Page numbers looked at in one poll(), and in one request: the rest of it stays with the guest, which is no error. */
	PFN_BUDGET = 65536,
};
enum role { ROLE_INFLATE, ROLE_DEFLATE, ROLE_STATS, ROLE_REPORT, NUM_ROLES };

struct balloon {
	struct virtio_device dev; /* must be first */
	uint8_t config[CONFIG_BYTES];
	uint32_t ram_pages;
	struct virtq *queue[NUM_ROLES]; /* NULL: not negotiated */
	struct virtq_chain *stats;      /* kept by the device until it wants fresh ones */
	uint64_t stat[VIRTIO_BALLOON_STATS];
	uint64_t stat_known; /* bit per tag */
};

static uint32_t get32(const uint8_t *p) { return (uint32_t)(p[0] | p[1] << 8 | p[2] << 16) | (uint32_t)p[3] << 24; }

static void put32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

/* ---- inflation ---- */

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Drivers hand over page by page; sorted, they go back in longer runs. */
static void release_pfns(struct balloon *b, uint32_t *pfn, unsigned n)
{
	const struct virtio_host *h = &b->dev.host;
	unsigned first = 0;

	qsort(pfn, n, sizeof(*pfn), by_number);
	for (unsigned i = 1; i <= n; i++) {
		if (i < n && pfn[i] - pfn[i - 1] <= 1)
			continue;
		h->release(h->opaque, gpa((uint64_t)pfn[first] << PAGE_SHIFT),
			   ((uint64_t)(pfn[i - 1] - pfn[first]) + 1) << PAGE_SHIFT);
		first = i;
	}
}

/* One request: an array of 32-bit page numbers. Returns how many were looked at. */
static uint32_t inflate(struct balloon *b, const struct virtq_chain *c)
{
	uint32_t pfn[PFN_BATCH], done = 0;
	uint64_t off = 0, n;

	while (done < PFN_BUDGET && (n = virtq_read(c, off, pfn, sizeof(pfn)) / sizeof(*pfn))) {
		release_pfns(b, pfn, (unsigned)n);
		off += n * sizeof(*pfn);
		done += (uint32_t)n;
	}
	return done;
}

/* ---- free page reporting (5.5.6.7): the buffers of a request are the free pages ---- */

static uint32_t report(struct balloon *b, const struct virtq_chain *c)
{
	const struct virtio_host *h = &b->dev.host;
	uint32_t pages = 0;

	/* A guest that poisons its free pages wants to find them as they were. */
	if (virtio_has(&b->dev, 1ull << FEATURE_PAGE_POISON) && get32(b->config + CONFIG_POISON))
		return 1;
	for (unsigned i = 0; i < c->n_ranges; i++) {
		uint64_t from = (c->ranges[i].pa.v + PAGE_MASK) & ~PAGE_MASK;
		uint64_t to = (c->ranges[i].pa.v + c->ranges[i].bytes) & ~PAGE_MASK;

		if (from >= to)
			continue;
		h->release(h->opaque, gpa(from), to - from);
		pages += (uint32_t)((to - from) >> PAGE_SHIFT);
	}
	return pages;
}

/* ---- statistics of the guest ---- */

/* The first buffer comes by itself, the next ones when the device has given back the last (5.5.6.3). */
static void take_stats(struct balloon *b)
{
	struct virtq *q = b->queue[ROLE_STATS];
	uint8_t row[STAT_BYTES];
	struct virtq_chain *c;

	if (!q || b->stats || virtq_pop(q, &c) != 1)
		return;
	for (uint64_t off = 0;
	     off < VIRTIO_BALLOON_STATS * sizeof(row) && virtq_read(c, off, row, sizeof(row)) == sizeof(row);
	     off += sizeof(row)) {
		unsigned tag = row[0] | row[1] << 8;

		if (tag >= VIRTIO_BALLOON_STATS)
			continue;
		b->stat[tag] = get32(row + 2) | (uint64_t)get32(row + 6) << 32;
		b->stat_known |= 1ull << tag;
	}
	b->stats = c;
}

void virtio_balloon_refresh_stats(struct virtio_device *d)
{
	struct balloon *b = (struct balloon *)d;
	struct virtq_chain *c = b->stats;
	struct virtq *q;

	if (!c)
		return;
	q = c->q;
	b->stats = NULL;
	virtq_push(c, 0);
	virtq_signal(q);
}

bool virtio_balloon_stat(const struct virtio_device *d, enum virtio_balloon_tag tag, uint64_t *out)
{
	const struct balloon *b = (const struct balloon *)d;

	*out = b->stat[tag];
	return b->stat_known >> tag & 1;
}

/* ---- the device ---- */

/*
 * Queues that are not negotiated do not exist, and the later ones move up: Linux numbers them so, as does every device
 * that it was tried with (5.5.2 gives fixed numbers, which no driver uses).
 */
static void activate(struct virtio_device *d)
{
	struct balloon *b = (struct balloon *)d;
	unsigned n = 2;

	b->queue[ROLE_INFLATE] = &d->queue[0];
	b->queue[ROLE_DEFLATE] = &d->queue[1];
	b->queue[ROLE_STATS] = virtio_has(d, 1ull << FEATURE_STATS) ? &d->queue[n++] : NULL;
	b->queue[ROLE_REPORT] = virtio_has(d, 1ull << FEATURE_REPORTING) ? &d->queue[n++] : NULL;
	/* what is reported is not to be touched: most of it never was */
	d->late_in = b->queue[ROLE_REPORT] && d->host.share ? 1u << b->queue[ROLE_REPORT]->index : 0;
	virtio_wake(d);
}

static void notify(struct virtio_device *d, unsigned queue)
{
	(void)queue;
	virtio_wake(d);
}

/* Requests of one queue, until *budget is used up. True if there may be more. */
static bool serve(struct balloon *b, enum role role, uint32_t *budget)
{
	struct virtq *q = b->queue[role];
	struct virtq_chain *c;
	bool more = true;

	while (q && *budget && (more = virtq_pop(q, &c) == 1)) {
		uint32_t cost = role == ROLE_INFLATE ? inflate(b, c) : role == ROLE_REPORT ? report(b, c) : 0;

		*budget -= cost + 1 < *budget ? cost + 1 : *budget;
		virtq_push(c, 0);
	}
	if (q)
		virtq_signal(q);
	return q && more;
}

static void poll(struct virtio_device *d)
{
	struct balloon *b = (struct balloon *)d;
	uint32_t budget = PFN_BUDGET;
	bool more;

	if (!virtio_running(d))
		return;
	take_stats(b);
	more = serve(b, ROLE_DEFLATE, &budget);
	more |= serve(b, ROLE_INFLATE, &budget);
	more |= serve(b, ROLE_REPORT, &budget);
	if (more) /* later: the guest, and the user's keys, in between */
		virtio_wake(d);
}

static void reset(struct virtio_device *d)
{
	struct balloon *b = (struct balloon *)d;

	if (b->stats)
		virtq_drop(b->stats);
	b->stats = NULL;
	memset(b->queue, 0, sizeof(b->queue));
	put32(b->config + CONFIG_ACTUAL, 0);
	put32(b->config + CONFIG_POISON, 0);
}

static const struct virtio_ops balloon_ops = {
    .activate = activate,
    .notify = notify,
    .poll = poll,
    .reset = reset,
    .free = (void (*)(struct virtio_device *))free,
};

int virtio_balloon_new(struct virtio_device **out, uint64_t ram_bytes)
{
	static const uint8_t writable[CONFIG_BYTES] = {
	    [CONFIG_ACTUAL] = 0xff, 0xff, 0xff, 0xff, [CONFIG_POISON] = 0xff, 0xff, 0xff, 0xff};
	struct balloon *b = calloc(1, sizeof(*b));

	*out = NULL;
	if (!b)
		return -ENOMEM;
	virtio_device_init(&b->dev, "balloon", VIRTIO_ID_BALLOON,
			   1ull << FEATURE_STATS | 1ull << FEATURE_DEFLATE_ON_OOM | 1ull << FEATURE_PAGE_POISON |
			       1ull << FEATURE_REPORTING,
			   &balloon_ops);
	b->dev.request_max_bytes = REQUEST_MAX_BYTES;
	b->dev.n_queues = QUEUES;
	for (unsigned i = 0; i < QUEUES; i++)
		b->dev.queue_max[i] = QUEUE_SIZE;
	b->dev.config = b->config;
	b->dev.config_bytes = sizeof(b->config);
	b->dev.config_writable = writable;
	b->ram_pages = (uint32_t)(ram_bytes >> PAGE_SHIFT);
	*out = &b->dev;
	return 0;
}

void virtio_balloon_set_target(struct virtio_device *d, uint32_t pages)
{
	struct balloon *b = (struct balloon *)d;

	put32(b->config + CONFIG_NUM_PAGES, pages < b->ram_pages ? pages : b->ram_pages);
	virtio_config_changed(d);
}

uint32_t virtio_balloon_actual(const struct virtio_device *d)
{
	return get32(((const struct balloon *)d)->config + CONFIG_ACTUAL);
}
