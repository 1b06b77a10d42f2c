/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_STATIC_LINKING_ONLY /* XXH3_state_t by value: hashing must not fail for want of memory */
#include <xxhash.h>

#include "numa/machine_memory.h"
#include "numa/move.h"

#define GUEST_BYTES_MAX ((uint64_t)1 << 48) /* more than any MIPS addresses */

int pmap_new(struct pmap **out, struct machine_memory *m, uint64_t bytes)
{
	struct pmap *p;

	*out = NULL;
	if (!bytes || bytes % PAGE_BYTES)
		return -EINVAL;
	if (bytes > GUEST_BYTES_MAX)
		return -ENOMEM;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->memory = m;
	p->pages = bytes / PAGE_BYTES;
	p->row = calloc(p->pages, sizeof(*p->row));
	if (!p->row) {
		free(p);
		return -ENOMEM;
	}
	pthread_mutex_lock(&m->lock);
	p->next = m->pmaps;
	m->pmaps = p;
	pthread_mutex_unlock(&m->lock);
	*out = p;
	return 0;
}

void pmap_set_ops(struct pmap *p, const struct pmap_ops *ops) { p->ops = ops ? *ops : (struct pmap_ops){0}; }

/* ---- classes ---- */

enum memory_class page_class(const struct machine_page *page)
{
	if (page_has(page, PAGE_ZERO))
		return MEMORY_ZERO;
	if (page_has(page, PAGE_REGION))
		return MEMORY_REGION;
	if (!page_has(page, PAGE_SHARED))
		return MEMORY_PRIVATE;
	return page_has(page, PAGE_EQUAL) ? MEMORY_EQUAL : MEMORY_BLOCK;
}

void pmap_count(struct pmap *p, enum memory_class class, int by)
{
	__atomic_store_n(&p->class_pages[class], p->class_pages[class] + (uint64_t)by, __ATOMIC_RELAXED);
}

uint64_t pmap_class_pages(const struct pmap *p, enum memory_class class)
{
	return __atomic_load_n(&p->class_pages[class], __ATOMIC_RELAXED);
}

const struct pmap_stats *pmap_stats(const struct pmap *p) { return &p->stats; }

/* ---- giving back ---- */

/*
 * Let go of the pages of [from, to); how many there were.  They were handed out in order, so that most of them go back in a
 * few long runs.
 */
static uint64_t free_pages(struct pmap *p, uint64_t from, uint64_t to)
{
	uint32_t first = 0, count = 0;
	uint16_t node = 0;
	uint64_t pages = 0;

	for (uint64_t gpn = from; gpn < to; gpn++) {
		struct machine_page *page;
		bool last;

		pmap_collapse(p, gpa(gpn << PAGE_SHIFT), p->node);
		page = p->row[gpn].page;
		if (!page)
			continue;
		pages++;
		pmap_count(p, page_class(page), -1);
		p->row[gpn] = (struct guest_page){0};
		pthread_mutex_lock(&p->memory->lock);
		last = page_user_remove(p->memory, page, p, gpn);
		pthread_mutex_unlock(&p->memory->lock);
		if (!last)
			continue;
		if (count && page->mpn == first + count && page->node == node) {
			count++;
			continue;
		}
		if (count)
			machine_pages_free(p->memory, first, count);
		first = page->mpn;
		node = page->node;
		count = 1;
	}
	if (count)
		machine_pages_free(p->memory, first, count);
	page_reclaim_crowd(p->memory);
	return pages;
}

static void unlist(struct pmap *p)
{
	struct pmap **at;

	pthread_mutex_lock(&p->memory->lock);
	for (at = &p->memory->pmaps; *at != p; at = &(*at)->next)
		;
	*at = p->next;
	pthread_mutex_unlock(&p->memory->lock);
}

void pmap_free(struct pmap *p)
{
	if (!p)
		return;
	p->ops = (struct pmap_ops){0}; /* there is nobody any more */
	while (p->n_held)
		page_user_leave(p->memory, p->held[--p->n_held], p, PAGE_USER_HELD);
	free_pages(p, 0, p->pages);
	unlist(p);
	replicas_free(p);
	free(p->held);
	free(p->row);
	free(p);
}

uint64_t pmap_bytes(const struct pmap *p) { return p->pages * PAGE_BYTES; }

/* ---- pages of requests in flight ---- */

bool pmap_in_flight(const struct pmap *p, const struct machine_page *page)
{
	return p->ops.in_flight && p->ops.in_flight(p->ops.opaque, page->host, false);
}

bool pmap_written_in_flight(const struct pmap *p, const struct machine_page *page)
{
	return p->ops.in_flight && p->ops.in_flight(p->ops.opaque, page->host, true);
}

/* Give back what was kept for requests that are done. */
static void settle(struct pmap *p)
{
	for (uint32_t i = 0; i < p->n_held;) {
		struct machine_page *page = p->held[i];

		if (pmap_in_flight(p, page)) {
			i++;
			continue;
		}
		p->held[i] = p->held[--p->n_held];
		page_user_leave(p->memory, page, p, PAGE_USER_HELD);
	}
}

int pmap_reserve_held(struct pmap *p, unsigned pages)
{
	struct machine_page **held;
	uint32_t room = p->held_room ? 2 * p->held_room : 16;

	if (p->n_held)
		settle(p);
	if (p->n_held + pages <= p->held_room)
		return 0;
	while (room < p->n_held + pages)
		room *= 2;
	held = realloc(p->held, room * sizeof(*held));
	if (!held)
		return -ENOMEM;
	p->held = held;
	p->held_room = room;
	return 0;
}

/* ---- the door ---- */

void pmap_leave_page(struct pmap *p, struct machine_page *page, uint64_t gpn)
{
	if (page_has(page, PAGE_ZERO))
		return;
	if (!pmap_in_flight(p, page)) {
		page_user_leave(p->memory, page, p, gpn);
		return;
	}
	pthread_mutex_lock(&p->memory->lock);
	page_user_hold(page, p, gpn);
	pthread_mutex_unlock(&p->memory->lock);
	p->held[p->n_held++] = page;
}

int pmap_replace(struct pmap *p, uint64_t gpn, struct machine_page *new)
{
	struct guest_page *g = &p->row[gpn];
	struct machine_page *old;

	pmap_collapse(p, gpa(gpn << PAGE_SHIFT), p->node);
	old = g->page;
	if (old && pmap_reserve_held(p, 1))
		return -ENOMEM;
	if (old && p->ops.unmap)
		p->ops.unmap(p->ops.opaque, gpa(gpn << PAGE_SHIFT), g);
	if (old)
		pmap_count(p, page_class(old), -1);
	pmap_count(p, page_class(new), 1);
	*g = (struct guest_page){.page = new};
	if (old)
		pmap_leave_page(p, old, gpn);
	return 0;
}

int pmap_own_page(struct pmap *p, uint64_t gpn, unsigned node, bool copy)
{
	const struct machine_page *old = p->row[gpn].page;
	struct machine_page *new;
	int err;

	if (old && pmap_reserve_held(p, 1)) /* before the copy: it may fail */
		return -ENOMEM;
	do
		new = machine_page_alloc(p->memory, node);
	while (!new &&replicas_give_way(p));
	if (!new)
		return -ENOMEM;
	if (copy && old && !page_has(old, PAGE_ZERO))
		memcpy(new->host, old->host, PAGE_BYTES);
	pthread_mutex_lock(&p->memory->lock);
	err = page_user_add(p->memory, new, p, gpn);
	pthread_mutex_unlock(&p->memory->lock);
	err = err ? err : pmap_replace(p, gpn, new);
	ASSERT(!err); /* the first user of a page, and room to hold the old one */
	return err;
}

/* True: nobody else has the page, and now it is private. */
static bool take_over(struct pmap *p, struct machine_page *page)
{
	bool alone;

	pthread_mutex_lock(&p->memory->lock);
	alone = page->refs == 1;
	if (alone) {
		pmap_count(p, page_class(page), -1);
		page_unshare(p->memory, page);
		pmap_count(p, MEMORY_PRIVATE, 1);
	}
	pthread_mutex_unlock(&p->memory->lock);
	return alone;
}

static int make_writable(struct pmap *p, uint64_t gpn, unsigned node)
{
	struct machine_page *page = p->row[gpn].page;
	bool zero = page_has(page, PAGE_ZERO);
	int err;

	if (!zero && take_over(p, page)) {
		count_up(&p->stats.taken_over);
		return 0;
	}
	err = pmap_own_page(p, gpn, node, true);
	if (!err)
		count_up(zero ? &p->stats.zero_breaks : &p->stats.breaks);
	return err;
}

static int first_touch(struct pmap *p, uint64_t gpn, unsigned node, enum pmap_access access)
{
	if (access != PMAP_READ || !p->memory->sharing.on)
		return pmap_own_page(p, gpn, node, true);
	count_up(&p->stats.zero_maps);
	return pmap_replace(p, gpn, &p->memory->zero);
}

static bool wants_own(const struct machine_page *page, enum pmap_access access)
{
	if (access == PMAP_EXEC) /* the page of zeroes holds no translations */
		return page_has(page, PAGE_ZERO);
	return access == PMAP_WRITE && page_has(page, PAGE_SHARED);
}

struct guest_page *pmap_get(struct pmap *p, struct gpa pa, unsigned node, enum pmap_access access, int *err)
{
	uint64_t gpn = pa.v >> PAGE_SHIFT;
	struct guest_page *g;

	*err = 0;
	if (gpn >= p->pages)
		return NULL;
	g = &p->row[gpn];
	p->node = node;
	if (g->page && access == PMAP_EXEC && page_has(g->page, PAGE_REGION))
		return NULL;
	if (g->page && page_has(g->page, PAGE_REPLICA)) {
		if (access != PMAP_WRITE)
			return replica_row(p, gpn, node);
		pmap_collapse(p, pa, node);
	}
	if (!g->page)
		*err = first_touch(p, gpn, node, access);
	else if (wants_own(g->page, access))
		*err = make_writable(p, gpn, node);
	return *err ? NULL : g;
}

struct guest_page *pmap_row(struct pmap *p, struct gpa pa)
{
	uint64_t gpn = pa.v >> PAGE_SHIFT;

	return gpn < p->pages ? &p->row[gpn] : NULL;
}

struct machine_page *pmap_peek(const struct pmap *p, struct gpa pa)
{
	uint64_t gpn = pa.v >> PAGE_SHIFT;

	return gpn < p->pages ? p->row[gpn].page : NULL;
}

struct guest_page *pmap_row_on(struct pmap *p, struct gpa pa, unsigned node)
{
	uint64_t gpn = pa.v >> PAGE_SHIFT;

	return gpn < p->pages ? replica_row(p, gpn, node) : NULL;
}

struct guest_page *machine_page_row(const struct machine_page *page)
{
	ASSERT(!page_has(page, PAGE_SHARED) && page->refs == 1);
	return replica_row(page->user.pmap, page->user.gpn, page->node);
}

uint64_t pmap_release(struct pmap *p, struct gpa pa, uint64_t bytes)
{
	uint64_t from = pa.v >> PAGE_SHIFT, n = bytes >> PAGE_SHIFT;

	if (from >= p->pages)
		return 0;
	return free_pages(p, from, n < p->pages - from ? from + n : p->pages) * PAGE_BYTES;
}

/* ---- contents ---- */

static bool in_memory(const struct pmap *p, struct gpa pa, uint64_t bytes)
{
	return pa.v <= pmap_bytes(p) && bytes <= pmap_bytes(p) - pa.v;
}

/* How much of a copy at pa stays within its page. */
static uint64_t page_part(struct gpa pa, uint64_t bytes)
{
	uint64_t room = PAGE_BYTES - (pa.v & PAGE_MASK);

	return bytes < room ? bytes : room;
}

int pmap_write(struct pmap *p, struct gpa pa, const void *data, uint64_t bytes)
{
	const uint8_t *from = data;

	if (!in_memory(p, pa, bytes))
		return -EFAULT;
	while (bytes) {
		uint64_t n = page_part(pa, bytes);
		int err;
		struct guest_page *g = pmap_get(p, pa, 0, PMAP_WRITE, &err);

		if (!g)
			return err;
		memcpy(g->page->host + (pa.v & PAGE_MASK), from, n);
		from += n;
		pa.v += n;
		bytes -= n;
	}
	return 0;
}

int pmap_read(struct pmap *p, struct gpa pa, void *data, uint64_t bytes)
{
	uint8_t *to = data;

	if (!in_memory(p, pa, bytes))
		return -EFAULT;
	while (bytes) {
		uint64_t n = page_part(pa, bytes);
		const struct machine_page *page = pmap_peek(p, pa);

		if (page)
			memcpy(to, page->host + (pa.v & PAGE_MASK), n);
		else
			memset(to, 0, n);
		to += n;
		pa.v += n;
		bytes -= n;
	}
	return 0;
}

uint64_t pmap_hash(const struct pmap *p)
{
	static const uint8_t zeroes[PAGE_BYTES];
	XXH3_state_t state;

	XXH3_INITSTATE(&state);
	(void)XXH3_64bits_reset(&state);
	for (uint64_t gpn = 0; gpn < p->pages; gpn++)
		(void)XXH3_64bits_update(&state, p->row[gpn].page ? p->row[gpn].page->host : zeroes, PAGE_BYTES);
	return XXH3_64bits_digest(&state);
}
