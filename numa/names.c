/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "numa/machine_memory.h"

/* What shared pages can be found by: a hash table of names, and a table of hashes that were seen once. */

enum {
	IMAGES_MAX = 1u << 20, /* different images (and versions of them) in the life of a monitor */
};

static void *demand_zero(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int sharing_init(struct machine_memory *m)
{
	struct sharing *s = &m->sharing;
	uint64_t pages = 64;

	if (!s->on)
		return 0;
	/* few guests use all of their memory, and what they do is seldom all shared; machines that are added later make the chains longer */
	while (pages < m->limit)
		pages *= 2;
	s->buckets = pages / 8;
	s->bucket = demand_zero(s->buckets * sizeof(*s->bucket));
	s->candidates = pages / 4;
	s->candidate = demand_zero(2 * s->candidates * sizeof(*s->candidate));
	return s->bucket && s->candidate ? 0 : -ENOMEM;
}

void sharing_fini(struct machine_memory *m)
{
	struct sharing *s = &m->sharing;

	if (s->bucket)
		munmap(s->bucket, s->buckets * sizeof(*s->bucket));
	if (s->candidate)
		munmap(s->candidate, 2 * s->candidates * sizeof(*s->candidate));
	free(s->image);
}

/* ---- names ---- */

static struct page_name **bucket_of(const struct machine_memory *m, enum name_kind kind, uint64_t hi, uint64_t lo)
{
	uint64_t x = (lo * 0x9e3779b97f4a7c15u ^ hi) + (uint64_t)kind;

	x *= 0xbf58476d1ce4e5b9u;
	return &m->sharing.bucket[(x ^ x >> 32) & (m->sharing.buckets - 1)];
}

struct machine_page *page_find(const struct machine_memory *m, enum name_kind kind, uint64_t hi, uint64_t lo,
			       unsigned node)
{
	struct machine_page *found = NULL;

	for (const struct page_name *n = *bucket_of(m, kind, hi, lo); n; n = n->next_in_bucket) {
		if (n->kind != kind || n->hi != hi || n->lo != lo)
			continue;
		if (n->page->node == node)
			return n->page;
		found = n->page;
	}
	return found;
}

struct machine_page *page_copy_on(const struct machine_memory *m, const struct machine_page *page, unsigned node)
{
	/* by any of them: a copy that was made before the page got its last name does not have that one */
	for (const struct page_name *n = page->names; n; n = n->next_of_page) {
		struct machine_page *copy = page_find(m, n->kind, n->hi, n->lo, node);

		if (copy->node == node)
			return copy;
	}
	return NULL;
}

int page_names_copy(struct machine_memory *m, const struct machine_page *from, struct machine_page *to)
{
	int err = 0;

	for (const struct page_name *n = from->names; n && !err; n = n->next_of_page)
		err = page_name_add(m, to, n->kind, n->hi, n->lo);
	if (err)
		page_unshare(m, to);
	return err;
}

int page_name_add(struct machine_memory *m, struct machine_page *page, enum name_kind kind, uint64_t hi, uint64_t lo)
{
	struct page_name **bucket = bucket_of(m, kind, hi, lo), *n = malloc(sizeof(*n));

	if (!n)
		return -ENOMEM;
	*n = (struct page_name){
	    .next_in_bucket = *bucket, .next_of_page = page->names, .page = page, .kind = kind, .hi = hi, .lo = lo};
	*bucket = n;
	page->names = n;
	return 0;
}

bool page_has_block_name(const struct machine_page *page)
{
	for (const struct page_name *n = page->names; n; n = n->next_of_page)
		if (n->kind == NAME_BLOCK)
			return true;
	return false;
}

void page_share(struct machine_memory *m, struct machine_page *page, unsigned flags)
{
	page_set(page, PAGE_SHARED | flags);
	m->sharing.pages[page_class(page)]++;
}

void page_unshare(struct machine_memory *m, struct machine_page *page)
{
	if (page_has(page, PAGE_SHARED))
		m->sharing.pages[page_class(page)]--;
	page_clear(page, PAGE_SHARED | PAGE_EQUAL | PAGE_HASHED);
	while (page->names) {
		struct page_name *n = page->names, **at = bucket_of(m, n->kind, n->hi, n->lo);

		while (*at != n)
			at = &(*at)->next_in_bucket;
		*at = n->next_in_bucket;
		page->names = n->next_of_page;
		free(n);
	}
}

bool candidate_seen(struct machine_memory *m, uint64_t hash, const struct guest_page *where)
{
	struct candidate *c = &m->sharing.candidate[2 * (hash & (m->sharing.candidates - 1))];
	struct candidate new = {(uint32_t)(hash >> 32), (uint32_t)((uintptr_t)where / sizeof(*where)) | 1};

	for (unsigned i = 0; i < 2; i++)
		if (c[i].where && c[i].hash == new.hash) {
			bool seen = c[i].where != new.where;

			c[i].where = new.where;
			return seen;
		}
	c[1] = c[0];
	c[0] = new;
	return false;
}

/* ---- images ---- */

static bool same_image(const struct share_image *a, const struct share_image *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->bytes == b->bytes && a->mtime_ns == b->mtime_ns &&
	       a->ctime_ns == b->ctime_ns && a->format == b->format;
}

/* The image's number, or, if it is a new one, where the next is to be kept (*number: one more than there are). */
static bool known(const struct sharing *s, const struct share_image *image, uint32_t *number)
{
	for (*number = 1; *number <= s->images; ++*number)
		if (same_image(&s->image[*number - 1], image))
			return true;
	return false;
}

uint32_t share_image_number(struct machine_memory *m, const struct share_image *image)
{
	struct sharing *s = &m->sharing;
	struct share_image *grown;
	uint32_t number;

	if (!s->on)
		return 0;
	pthread_mutex_lock(&m->lock);
	if (!known(s, image, &number)) {
		grown = number <= IMAGES_MAX ? realloc(s->image, number * sizeof(*grown)) : NULL;
		if (grown) {
			s->image = grown;
			s->image[s->images++] = *image;
		} else {
			number = 0;
		}
	}
	pthread_mutex_unlock(&m->lock);
	return number;
}

/* ---- numbers ---- */

uint64_t share_class_pages(struct machine_memory *m, enum memory_class class)
{
	uint64_t n, used = machine_memory_pages_used(m, -1);

	pthread_mutex_lock(&m->lock);
	n = m->sharing.pages[class];
	if (class == MEMORY_PRIVATE) {
		n = m->sharing.pages[MEMORY_BLOCK] + m->sharing.pages[MEMORY_EQUAL] + m->sharing.pages[MEMORY_REGION] +
		    m->sharing.filling;
		n = used > n ? used - n : 0;
	}
	pthread_mutex_unlock(&m->lock);
	return n;
}

uint64_t share_idle_pages(struct machine_memory *m)
{
	uint64_t n;

	pthread_mutex_lock(&m->lock);
	n = m->sharing.idle;
	pthread_mutex_unlock(&m->lock);
	return n;
}
