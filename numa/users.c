/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "numa/machine_memory.h"

/* Who uses a machine page: the first one in its row, which is all that most pages ever have; the others in an array. */

struct page_user *page_user_at(struct machine_page *page, uint32_t n) { return n ? &page->more[n - 1] : &page->user; }

/* ---- pages with names and without users ---- */

static void idle_add(struct sharing *s, struct machine_page *page)
{
	page->older = s->newest;
	page->newer = NULL;
	if (s->newest)
		s->newest->newer = page;
	else
		s->oldest = page;
	s->newest = page;
	s->idle++;
}

static void idle_remove(struct sharing *s, struct machine_page *page)
{
	if (page->newer)
		page->newer->older = page->older;
	else
		s->newest = page->older;
	if (page->older)
		page->older->newer = page->newer;
	else
		s->oldest = page->newer;
	page->older = page->newer = NULL;
	s->idle--;
}

unsigned page_reclaim(struct machine_memory *m, unsigned max)
{
	unsigned n = 0;

	while (n < max) {
		struct machine_page *page;

		pthread_mutex_lock(&m->lock);
		page = m->sharing.oldest;
		if (page) {
			idle_remove(&m->sharing, page);
			page_unshare(m, page);
		}
		pthread_mutex_unlock(&m->lock);
		if (!page)
			break;
		machine_pages_free(m, page->mpn, 1);
		n++;
	}
	return n;
}

void share_drop_idle(struct machine_memory *m)
{
	while (page_reclaim(m, UINT32_MAX))
		;
}

void page_reclaim_crowd(struct machine_memory *m)
{
	enum { IDLE_SHARE = 16 }; /* this part of machine memory, at most, is blocks that no guest has */
	uint64_t n, max = __atomic_load_n(&m->limit, __ATOMIC_RELAXED) / IDLE_SHARE;

	if (!m->sharing.on)
		return;
	while ((n = share_idle_pages(m)) > max && page_reclaim(m, (unsigned)(n - max)))
		;
}

/* ---- users ---- */

int page_user_add(struct machine_memory *m, struct machine_page *page, struct pmap *p, uint64_t gpn)
{
	struct page_user *more;

	if (page_has(page, PAGE_ZERO))
		return 0;
	if (page == m->moving)
		return -EBUSY;
	if (page->refs && page->refs - 1 == page->room) {
		more = realloc(page->more, (page->room ? 2 * page->room : 4) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		page->more = more;
		page->room = page->room ? 2 * page->room : 4;
	}
	if (!page->refs && page->names)
		idle_remove(&m->sharing, page);
	page->refs++;
	*page_user_at(page, page->refs - 1) = (struct page_user){p, gpn};
	return 0;
}

static uint32_t find_user(struct machine_page *page, const struct pmap *p, uint64_t gpn)
{
	for (uint32_t i = 0; i < page->refs; i++)
		if (page_user_at(page, i)->pmap == p && page_user_at(page, i)->gpn == gpn)
			return i;
	panic("machine page %u is not of guest page %llu", page->mpn, (unsigned long long)gpn);
}

void page_user_hold(struct machine_page *page, struct pmap *p, uint64_t gpn)
{
	page_user_at(page, find_user(page, p, gpn))->gpn = PAGE_USER_HELD;
}

bool page_user_remove(struct machine_memory *m, struct machine_page *page, struct pmap *p, uint64_t gpn)
{
	uint32_t i;

	if (page_has(page, PAGE_ZERO))
		return false;
	i = find_user(page, p, gpn);
	*page_user_at(page, i) = *page_user_at(page, page->refs - 1);
	if (--page->refs)
		return false;
	free(page->more);
	page->more = NULL;
	page->room = 0;
	if (page_has(page, PAGE_REGION))
		m->sharing.pages[MEMORY_REGION]--;
	if (page_has_block_name(page)) {
		idle_add(&m->sharing, page);
		return false;
	}
	page_unshare(m, page);
	return true;
}

void page_user_leave(struct machine_memory *m, struct machine_page *page, struct pmap *p, uint64_t gpn)
{
	bool last;

	pthread_mutex_lock(&m->lock);
	last = page_user_remove(m, page, p, gpn);
	pthread_mutex_unlock(&m->lock);
	if (last)
		machine_pages_free(m, page->mpn, 1);
	page_reclaim_crowd(m);
}

/* ---- for those who change the page under all of them ---- */

bool page_is_of(struct machine_memory *m, struct machine_page *page, const struct pmap *p)
{
	bool is = false;

	pthread_mutex_lock(&m->lock);
	for (uint32_t i = 0; i < page->refs && !is; i++)
		is = page_user_at(page, i)->pmap == p;
	pthread_mutex_unlock(&m->lock);
	return is;
}

bool page_user_of(struct machine_memory *m, struct machine_page *page, const struct pmap *p, uint64_t *gpn)
{
	bool found = false;

	pthread_mutex_lock(&m->lock);
	for (uint32_t i = 0; i < page->refs && !found; i++) {
		const struct page_user *u = page_user_at(page, i);

		found = u->pmap == p && u->gpn < p->pages;
		if (found)
			*gpn = u->gpn;
	}
	pthread_mutex_unlock(&m->lock);
	return found;
}

unsigned page_unmap_users(struct machine_memory *m, struct machine_page *page)
{
	unsigned n = 0;

	pthread_mutex_lock(&m->lock);
	for (uint32_t i = 0; i < page->refs; i++) {
		const struct page_user *u = page_user_at(page, i);
		const struct pmap_ops *ops = u->pmap ? &u->pmap->ops : NULL;

		if (!ops || u->gpn == PAGE_USER_HELD)
			continue;
		if (ops->unmap)
			ops->unmap(ops->opaque, gpa(u->gpn << PAGE_SHIFT), replica_row(u->pmap, u->gpn, page->node));
		n++;
	}
	pthread_mutex_unlock(&m->lock);
	return n;
}
