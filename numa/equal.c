/* SPDX-License-Identifier: MIT */
#include <string.h>

#include <xxhash.h>

#include "numa/machine_memory.h"

/* Pages that hold the same bytes. */

static bool all_zero(const struct machine_page *page)
{
	const uint64_t *w = (const uint64_t *)(const void *)page->host;

	for (size_t i = 0; i < PAGE_BYTES / sizeof(*w); i++)
		if (w[i])
			return false;
	return true;
}

/* Another page with these bytes, with the guest page as its user; or NULL. */
static struct machine_page *join_equal(struct pmap *p, uint64_t gpn, XXH128_hash_t hash)
{
	struct machine_memory *m = p->memory;
	const struct machine_page *page = p->row[gpn].page;
	struct machine_page *other;

	pthread_mutex_lock(&m->lock);
	other = page_find(m, NAME_EQUAL, hash.high64, hash.low64, p->node);
	/* under the lock, as long as it cannot be taken over and written to */
	if (other && (other == page || memcmp(other->host, page->host, PAGE_BYTES) || page_user_add(m, other, p, gpn)))
		other = NULL;
	pthread_mutex_unlock(&m->lock);
	return other;
}

/* Were these bytes seen elsewhere? If not, here is where they were seen. */
static bool seen_elsewhere(struct pmap *p, uint64_t gpn, XXH128_hash_t hash)
{
	bool seen;

	pthread_mutex_lock(&p->memory->lock);
	seen = candidate_seen(p->memory, hash.high64 ^ hash.low64, &p->row[gpn]);
	pthread_mutex_unlock(&p->memory->lock);
	return seen;
}

/* Let others find it by what it holds; it becomes shared if it is not. */
static void publish_equal(struct pmap *p, struct guest_page *g, XXH128_hash_t hash)
{
	struct machine_memory *m = p->memory;
	struct machine_page *page = g->page;
	bool private = !page_has(page, PAGE_SHARED);

	if (private && p->ops.protect)
		p->ops.protect(p->ops.opaque, gpa((uint64_t)(g - p->row) << PAGE_SHIFT), g);
	pthread_mutex_lock(&m->lock);
	if (private)
		page_share(m, page, PAGE_EQUAL);
	if (page_find(m, NAME_EQUAL, hash.high64, hash.low64, p->node) ||
	    page_name_add(m, page, NAME_EQUAL, hash.high64, hash.low64)) {
		if (private) /* another machine was faster: the next time */
			page_unshare(m, page);
	} else {
		page_set(page, PAGE_HASHED);
	}
	pthread_mutex_unlock(&m->lock);
	if (private && page_has(page, PAGE_SHARED)) {
		pmap_count(p, MEMORY_PRIVATE, -1);
		pmap_count(p, MEMORY_EQUAL, 1);
	}
}

static void merge_into(struct pmap *p, uint64_t gpn, struct machine_page *other)
{
	if (!pmap_replace(p, gpn, other))
		count_up(&p->stats.merged);
	else if (!page_has(other, PAGE_ZERO))
		page_user_leave(p->memory, other, p, gpn);
}

static XXH128_hash_t hash_of(const struct machine_page *page) { return XXH3_128bits(page->host, PAGE_BYTES); }

/* alone: share it although its bytes, which have that hash, were not seen elsewhere yet. */
static void share_page(struct pmap *p, uint64_t gpn, XXH128_hash_t hash, bool alone)
{
	struct guest_page *g = &p->row[gpn];
	struct machine_page *other;

	/* a device that is writing there would write into everybody's */
	if (pmap_in_flight(p, g->page))
		return;
	if (all_zero(g->page)) {
		merge_into(p, gpn, &p->memory->zero);
		return;
	}
	other = join_equal(p, gpn, hash);
	if (other)
		merge_into(p, gpn, other);
	else if (alone || page_has(g->page, PAGE_SHARED) || seen_elsewhere(p, gpn, hash))
		publish_equal(p, g, hash);
}

void pmap_share_equal(struct pmap *p, struct gpa pa, uint64_t bytes)
{
	uint64_t from = (pa.v + PAGE_MASK) >> PAGE_SHIFT, to = (pa.v + bytes) >> PAGE_SHIFT;

	for (uint64_t gpn = from; p->memory->sharing.on && gpn < to && gpn < p->pages; gpn++)
		if (p->row[gpn].page &&
		    !page_has(p->row[gpn].page, PAGE_ZERO | PAGE_HASHED | PAGE_REGION | PAGE_REPLICA))
			share_page(p, gpn, hash_of(p->row[gpn].page), true);
}

/*
 * A page that may be shared is one that has kept its bytes since the scan last came by, or that is shared and cannot be found yet.  False:
 * there was nothing to look at.
 */
static bool look_at(struct pmap *p, uint64_t gpn)
{
	struct guest_page *g = &p->row[gpn];
	uint32_t last = g->last_hash;
	XXH128_hash_t hash;

	if (!g->page || page_has(g->page, PAGE_ZERO | PAGE_HASHED | PAGE_REGION | PAGE_REPLICA))
		return false;
	hash = hash_of(g->page);
	g->last_hash = (uint32_t)hash.low64 | 1; /* 0: not yet */
	if (page_has(g->page, PAGE_SHARED) || g->last_hash == last)
		share_page(p, gpn, hash, false);
	return true;
}

uint64_t pmap_merge(struct pmap *p, uint64_t pages)
{
	enum { PASSED_BY = 16 }; /* pages without anything to look at cost what one does that has */
	uint64_t n = 0, cost = pages * PASSED_BY;

	while (p->memory->sharing.on && n < p->pages && cost) {
		uint64_t gpn = p->scan, part = look_at(p, gpn) ? PASSED_BY : 1;

		p->scan = gpn + 1 == p->pages ? 0 : gpn + 1;
		cost -= part < cost ? part : cost;
		n++;
	}
	return n;
}
