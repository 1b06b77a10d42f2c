/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "numa/machine_memory.h"

/* The global buffer cache: blocks of disk images as machine pages (SOSP'97 4.2.5). */

struct machine_page *share_page_new(struct pmap *p, unsigned node)
{
	struct machine_memory *m = p->memory;
	struct machine_page *page = machine_page_alloc(m, node);

	if (!page)
		return NULL;
	pthread_mutex_lock(&m->lock);
	m->sharing.filling++;
	pthread_mutex_unlock(&m->lock);
	return page;
}

static void filled(struct machine_memory *m)
{
	pthread_mutex_lock(&m->lock);
	m->sharing.filling--;
	pthread_mutex_unlock(&m->lock);
}

void share_page_drop(struct pmap *p, struct machine_page *page)
{
	filled(p->memory);
	machine_pages_free(p->memory, page->mpn, 1);
}

/* What has the name, with the guest page as its user, or NULL.  *was: the guest page has had it all the time. */
static struct machine_page *join(struct pmap *p, uint64_t gpn, struct block_name name, bool *was)
{
	struct machine_memory *m = p->memory;
	struct machine_page *page;

	pthread_mutex_lock(&m->lock);
	page = page_find(m, NAME_BLOCK, name.image, name.block, p->node);
	*was = page && page == p->row[gpn].page;
	if (page && !*was && page_user_add(m, page, p, gpn))
		page = NULL;
	pthread_mutex_unlock(&m->lock);
	return page;
}

/* What is read into a region is copied there: the others that have it are to see it. */
static bool in_region(const struct pmap *p, uint64_t gpn)
{
	const struct machine_page *page = p->row[gpn].page;

	return page && page_has(page, PAGE_REGION);
}

bool pmap_map_block(struct pmap *p, struct gpa pa, struct block_name name)
{
	uint64_t gpn = pa.v >> PAGE_SHIFT;
	struct machine_page *page;
	bool was;

	if (!p->memory->sharing.on || gpn >= p->pages || in_region(p, gpn))
		return false;
	page = join(p, gpn, name, &was);
	if (!page)
		return false;
	if (!was && pmap_replace(p, gpn, page)) {
		page_user_leave(p->memory, page, p, gpn);
		return false;
	}
	count_up(&p->stats.block_hits);
	return true;
}

/*
 * page gets the guest page as its first user and, if it can be, a name; or the page that another machine was faster with gets
 * the user.  Which of them.
 */
static struct machine_page *publish(struct pmap *p, uint64_t gpn, struct block_name name, struct machine_page *page)
{
	struct machine_memory *m = p->memory;
	struct machine_page *other;
	int err;

	pthread_mutex_lock(&m->lock);
	other = name.image ? page_find(m, NAME_BLOCK, name.image, name.block, p->node) : NULL;
	if (other && other != p->row[gpn].page && !page_user_add(m, other, p, gpn)) {
		pthread_mutex_unlock(&m->lock);
		return other;
	}
	err = page_user_add(m, page, p, gpn);
	ASSERT(!err); /* the first one */
	page_share(m, page, 0);
	if (other || !name.image || page_name_add(m, page, NAME_BLOCK, name.image, name.block))
		page_unshare(m, page); /* private, then */
	pthread_mutex_unlock(&m->lock);
	return page;
}

int pmap_give_block(struct pmap *p, struct gpa pa, struct block_name name, struct machine_page *page)
{
	uint64_t gpn = pa.v >> PAGE_SHIFT;
	struct machine_page *got;
	int err;

	if (gpn >= p->pages) {
		share_page_drop(p, page);
		return -EFAULT;
	}
	if (in_region(p, gpn)) {
		memcpy(p->row[gpn].page->host, page->host, PAGE_BYTES);
		share_page_drop(p, page);
		return 0;
	}
	filled(p->memory);
	got = publish(p, gpn, name, page);
	if (got != page)
		machine_pages_free(p->memory, page->mpn, 1);
	if (got != page)
		count_up(&p->stats.block_hits);
	else if (page_has(page, PAGE_SHARED))
		count_up(&p->stats.block_misses);
	err = pmap_replace(p, gpn, got);
	if (err)
		page_user_leave(p->memory, got, p, gpn);
	return err;
}
