/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "numa/machine_memory.h"

/* Pages on their way from one VM to another (SOSP'97 4.2.5: data between VMs is remapped, and not copied). */

bool share_is_on(const struct machine_memory *m) { return m->sharing.on; }

/* The page that has this host memory; NULL: it is none of machine memory's. */
static struct machine_page *page_of(struct machine_memory *m, const uint8_t *host)
{
	if (host == m->zero.host)
		return &m->zero;
	for (unsigned i = 0; i < m->n_nodes; i++) {
		const struct node *nd = &m->node[i];

		if (host >= nd->base && host < nd->base + (size_t)nd->pages * PAGE_BYTES)
			return &m->memmap[nd->first_mpn + (uint32_t)((size_t)(host - nd->base) >> PAGE_SHIFT)];
	}
	return NULL;
}

/* The row of a page that is p's alone.  NULL: a device of p's has it, and no guest page any more. */
static struct guest_page *own_row(struct pmap *p, struct machine_page *page)
{
	struct page_user user;

	pthread_mutex_lock(&p->memory->lock);
	user = page->user;
	pthread_mutex_unlock(&p->memory->lock);
	ASSERT(user.pmap == p);
	return user.gpn < p->pages ? &p->row[user.gpn] : NULL;
}

/* Another one is to have it too.  0 or -ENOMEM. */
static int lend_shared(struct machine_memory *m, struct machine_page *page)
{
	int err;

	pthread_mutex_lock(&m->lock);
	err = page_user_add(m, page, NULL, PAGE_USER_LENT);
	m->sharing.lent += !err;
	pthread_mutex_unlock(&m->lock);
	return err;
}

struct machine_page *pmap_lend(struct pmap *p, const uint8_t *host)
{
	struct machine_memory *m = p->memory;
	struct machine_page *page = m->sharing.on ? page_of(m, host) : NULL;
	struct guest_page *g;

	if (!page || page_has(page, PAGE_REGION | PAGE_REPLICA))
		return NULL;
	if (page_has(page, PAGE_ZERO))
		return page;
	if (pmap_written_in_flight(p, page))
		return NULL;
	if (!page_has(page, PAGE_SHARED)) {
		g = own_row(p, page);
		if (!g)
			return NULL;
		if (p->ops.protect)
			p->ops.protect(p->ops.opaque, gpa((uint64_t)(g - p->row) << PAGE_SHIFT), g);
		pthread_mutex_lock(&m->lock);
		page_share(m, page, PAGE_EQUAL);
		pthread_mutex_unlock(&m->lock);
		pmap_count(p, MEMORY_PRIVATE, -1);
		pmap_count(p, MEMORY_EQUAL, 1);
	}
	if (lend_shared(m, page))
		return NULL;
	count_up(&p->stats.lent);
	return page;
}

void share_give_back(struct machine_memory *m, struct machine_page *page)
{
	if (page_has(page, PAGE_ZERO))
		return;
	pthread_mutex_lock(&m->lock);
	m->sharing.lent--;
	pthread_mutex_unlock(&m->lock);
	page_user_leave(m, page, NULL, PAGE_USER_LENT);
}

/* The guest page is its user too, if it does not have it already.  0 or -ENOMEM. */
static int join(struct pmap *p, uint64_t gpn, struct machine_page *page)
{
	int err;

	pthread_mutex_lock(&p->memory->lock);
	err = page_user_add(p->memory, page, p, gpn);
	pthread_mutex_unlock(&p->memory->lock);
	return err;
}

int pmap_take(struct pmap *p, struct gpa pa, struct machine_page *page)
{
	uint64_t gpn = pa.v >> PAGE_SHIFT;
	struct machine_page *old = gpn < p->pages ? p->row[gpn].page : NULL;
	int err;

	if (gpn >= p->pages || (old && page_has(old, PAGE_REGION)))
		return -EFAULT;
	if (old != page) {
		err = join(p, gpn, page);
		if (err)
			return err;
		err = pmap_replace(p, gpn, page);
		if (err && !page_has(page, PAGE_ZERO))
			page_user_leave(p->memory, page, p, gpn);
		if (err)
			return err;
	}
	share_give_back(p->memory, page);
	count_up(&p->stats.taken);
	return 0;
}
