/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_STATIC_LINKING_ONLY /* XXH3_state_t by value: hashing must not fail for want of memory */
#include <xxhash.h>

#include "numa/machine_memory.h"

#define GUEST_BYTES_MAX ((uint64_t)1 << 48) /* more than any MIPS addresses */

/*
 * Flat: 8 bytes per page of guest memory, and calloc() leaves the host to commit only the parts in use.  One vCPU
 * thread fills it.
 */
struct pmap {
	struct machine_memory *memory;
	uint64_t pages;
	struct machine_page **page; /* by gpn; NULL: never touched */
};

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
	p->page = calloc(p->pages, sizeof(struct machine_page *));
	if (!p->page) {
		free(p);
		return -ENOMEM;
	}
	pthread_mutex_lock(&m->lock);
	m->pmaps++;
	pthread_mutex_unlock(&m->lock);
	*out = p;
	return 0;
}

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
		struct machine_page *page = p->page[gpn];

		p->page[gpn] = NULL;
		pages += page != NULL;
		if (!page || --page->refs)
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
	return pages;
}

void pmap_free(struct pmap *p)
{
	if (!p)
		return;
	free_pages(p, 0, p->pages);
	pthread_mutex_lock(&p->memory->lock);
	p->memory->pmaps--;
	pthread_mutex_unlock(&p->memory->lock);
	free(p->page);
	free(p);
}

uint64_t pmap_bytes(const struct pmap *p) { return p->pages * PAGE_BYTES; }

struct machine_page *pmap_touch(struct pmap *p, struct gpa pa, unsigned node, int *err)
{
	uint64_t gpn = pa.v >> PAGE_SHIFT;
	struct machine_page *page;

	*err = 0;
	if (gpn >= p->pages)
		return NULL;
	page = p->page[gpn];
	if (page)
		return page;
	page = machine_page_alloc(p->memory, node);
	if (!page)
		*err = -ENOMEM;
	p->page[gpn] = page;
	return page;
}

struct machine_page *pmap_peek(const struct pmap *p, struct gpa pa)
{
	uint64_t gpn = pa.v >> PAGE_SHIFT;

	return gpn < p->pages ? p->page[gpn] : NULL;
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
		struct machine_page *page = pmap_touch(p, pa, 0, &err);

		if (!page)
			return err;
		memcpy(page->host + (pa.v & PAGE_MASK), from, n);
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
		(void)XXH3_64bits_update(&state, p->page[gpn] ? p->page[gpn]->host : zeroes, PAGE_BYTES);
	return XXH3_64bits_digest(&state);
}
