/* SPDX-License-Identifier: MIT */
#include "numa/region.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "numa/machine_memory.h"

struct region {
	struct machine_memory *memory;
	char name[REGION_NAME_BYTES];
	uint64_t pages;

	/* Guarded by machine_memory.lock. */
	struct region *next;         /* machine_memory.regions */
	unsigned users;              /* region_get() without its region_put() */
	struct machine_page *page[]; /* NULL: nobody has mapped it yet */
};

/* ---- by name ---- */

/* NULL: there is none. Under the lock. */
static struct region *find(const struct machine_memory *m, const char *name)
{
	struct region *r = m->regions;

	while (r && strcmp(r->name, name) != 0)
		r = r->next;
	return r;
}

static struct region *region_new(struct machine_memory *m, const char *name, uint64_t pages)
{
	struct region *r = calloc(1, sizeof(*r) + pages * sizeof(r->page[0]));

	if (!r)
		return NULL;
	r->memory = m;
	r->pages = pages;
	strncpy(r->name, name, sizeof(r->name) - 1);
	return r;
}

int region_get(struct region **out, struct machine_memory *m, const char *name, uint64_t bytes)
{
	struct region *new, *r;
	int err = 0;

	ASSERT(*name && strlen(name) < REGION_NAME_BYTES);
	ASSERT(bytes && bytes % PAGE_BYTES == 0 && bytes / PAGE_BYTES <= REGION_MAX_PAGES);
	*out = NULL;
	new = region_new(m, name, bytes / PAGE_BYTES);
	if (!new)
		return -ENOMEM;
	pthread_mutex_lock(&m->lock);
	r = find(m, name);
	if (!r) {
		r = new;
		new = NULL;
		r->next = m->regions;
		m->regions = r;
	} else if (r->pages != bytes / PAGE_BYTES) {
		err = -EEXIST;
	}
	if (!err) {
		r->users++;
		*out = r;
	}
	pthread_mutex_unlock(&m->lock);
	free(new);
	return err;
}

void region_put(struct region *r)
{
	struct machine_memory *m = r->memory;
	struct region **at;
	bool last;

	pthread_mutex_lock(&m->lock);
	last = --r->users == 0;
	if (last) {
		for (at = &m->regions; *at != r; at = &(*at)->next)
			;
		*at = r->next;
	}
	pthread_mutex_unlock(&m->lock);
	if (!last)
		return;
	for (uint64_t n = 0; n < r->pages; n++)
		if (r->page[n])
			page_user_leave(m, r->page[n], NULL, PAGE_USER_REGION);
	free(r);
}

const char *region_name(const struct region *r) { return r->name; }
uint64_t region_pages(const struct region *r) { return r->pages; }

/* ---- its pages ---- */

/* Make page n, unless somebody else is faster.  0 or -ENOMEM. */
static int make_page(struct region *r, uint64_t n)
{
	struct machine_memory *m = r->memory;
	struct machine_page *page = machine_page_alloc(m, 0);
	bool mine;
	int err = 0;

	if (!page)
		return -ENOMEM;
	pthread_mutex_lock(&m->lock);
	mine = !r->page[n];
	if (mine) {
		page_set(page, PAGE_REGION);
		err = page_user_add(m, page, NULL, PAGE_USER_REGION);
		ASSERT(!err); /* the first one */
		r->page[n] = page;
		m->sharing.pages[MEMORY_REGION]++;
	}
	pthread_mutex_unlock(&m->lock);
	if (!mine)
		machine_pages_free(m, page->mpn, 1);
	return 0;
}

/* Page n with the guest page as its user.  NULL, *err = 0: it is not there yet. */
static struct machine_page *join(struct pmap *p, uint64_t gpn, struct region *r, uint64_t n, int *err)
{
	struct machine_page *page;

	*err = 0;
	pthread_mutex_lock(&p->memory->lock);
	page = r->page[n]; /* which is never moved */
	if (page && page != p->row[gpn].page)
		*err = page_user_add(p->memory, page, p, gpn);
	pthread_mutex_unlock(&p->memory->lock);
	return *err ? NULL : page;
}

int pmap_map_region(struct pmap *p, struct gpa pa, struct region *r, uint64_t n)
{
	uint64_t gpn = pa.v >> PAGE_SHIFT;
	struct machine_page *page;
	int err;

	if (gpn >= p->pages || n >= r->pages)
		return -EFAULT;
	page = join(p, gpn, r, n, &err);
	if (!page && !err) {
		err = make_page(r, n);
		page = err ? NULL : join(p, gpn, r, n, &err);
	}
	if (!page || page == p->row[gpn].page)
		return err;
	err = pmap_replace(p, gpn, page);
	if (err)
		page_user_leave(p->memory, page, p, gpn);
	return err;
}

int pmap_leave_region(struct pmap *p, struct gpa pa)
{
	uint64_t gpn = pa.v >> PAGE_SHIFT;

	if (gpn >= p->pages)
		return -EFAULT;
	if (!p->row[gpn].page || !page_has(p->row[gpn].page, PAGE_REGION))
		return 0;
	return pmap_own_page(p, gpn, 0, false);
}
