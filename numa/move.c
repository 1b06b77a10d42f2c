/* SPDX-License-Identifier: MIT */
#include "numa/move.h"

#include <errno.h>
#include <string.h>

#include "numa/machine_memory.h"

/* Has somebody the page's row who is no VM and cannot be stopped: who is to get it, lent? */
static bool is_lent(struct machine_page *page)
{
	for (uint32_t i = 0; i < page->refs; i++)
		if (!page_user_at(page, i)->pmap)
			return true;
	return false;
}

int page_move_begin(struct machine_memory *m, uint32_t mpn, unsigned node, struct machine_page **page)
{
	int err = 0;

	*page = &m->memmap[mpn];
	pthread_mutex_lock(&m->lock);
	if (m->moving)
		err = -EAGAIN;
	else if (!(*page)->refs || (*page)->node == node || page_has(*page, PAGE_REGION))
		err = -ENOENT;
	else if (page_has(*page, PAGE_REPLICA) || is_lent(*page))
		err = -EBUSY;
	else
		m->moving = *page;
	pthread_mutex_unlock(&m->lock);
	return err;
}

void page_move_end(struct machine_memory *m)
{
	pthread_mutex_lock(&m->lock);
	m->moving = NULL;
	pthread_mutex_unlock(&m->lock);
}

/* Has a device the page's address, or had it when the guest page got another one? */
static bool is_busy(struct machine_page *page)
{
	for (uint32_t i = 0; i < page->refs; i++) {
		const struct page_user *u = page_user_at(page, i);

		if (u->gpn == PAGE_USER_HELD || pmap_in_flight(u->pmap, page))
			return true;
	}
	return false;
}

/* new is what page was; page is what was just allocated. */
static void take_its_place(struct machine_page *page, struct machine_page *new)
{
	memcpy(new->host, page->host, PAGE_BYTES);
	new->refs = page->refs;
	new->room = page->room;
	new->user = page->user;
	new->more = page->more;
	new->names = page->names;
	page_set(new, page->flags & (PAGE_SHARED | PAGE_EQUAL | PAGE_HASHED));
	for (struct page_name *n = new->names; n; n = n->next_of_page)
		n->page = new;
	for (uint32_t i = 0; i < new->refs; i++) {
		const struct page_user *u = page_user_at(new, i);
		struct guest_page *g = &u->pmap->row[u->gpn];

		ASSERT(g->page == page);
		*g = (struct guest_page){.page = new, .last_hash = g->last_hash};
	}
	page->refs = page->room = 0;
	page->user = (struct page_user){0};
	page->more = NULL;
	page->names = NULL;
}

int page_move(struct machine_memory *m, struct machine_page *page, unsigned node)
{
	struct machine_page *new = NULL;
	int err = 0;

	pthread_mutex_lock(&m->lock);
	ASSERT(m->moving == page);
	if (!page->refs)
		err = -ENOENT;
	else if (page_has(page, PAGE_REPLICA) || is_busy(page)) /* it may have got copies meanwhile */
		err = -EBUSY;
	else if (page_copy_on(m, page, node))
		err = -EEXIST;
	else if (!(new = machine_page_alloc_there(m, node)))
		err = -ENOMEM;
	else
		take_its_place(page, new);
	pthread_mutex_unlock(&m->lock);
	if (!err)
		machine_pages_free(m, page->mpn, 1);
	return err;
}

void page_any(struct machine_memory *m, uint64_t chance, uint32_t *mpn, unsigned *node)
{
	const struct node *nd = &m->node[chance % m->n_nodes];

	pthread_mutex_lock(&m->lock);
	chance /= m->n_nodes;
	*node = (unsigned)(chance % m->n_nodes);
	chance /= m->n_nodes;
	*mpn = nd->first_mpn + (nd->high ? (uint32_t)(chance % nd->high) : 0);
	pthread_mutex_unlock(&m->lock);
}

/* ---- by a VM itself ---- */

/* A new page on that node with what page holds, for the guest page.  Locked. */
static int make_copy(struct pmap *p, uint64_t gpn, struct machine_page *page, unsigned node, struct machine_page **copy)
{
	struct machine_memory *m = p->memory;
	struct machine_page *new = machine_page_alloc_there(m, node);
	int err;

	if (!new)
		return -ENOMEM;
	memcpy(new->host, page->host, PAGE_BYTES);
	if (page_has(page, PAGE_SHARED)) {
		page_share(m, new, page->flags & PAGE_EQUAL);
		page_set(new, page->flags & PAGE_HASHED);
	}
	*copy = new;
	err = page_user_add(m, new, p, gpn);
	ASSERT(!err); /* the first one */
	err = err ? err : page_names_copy(m, page, new);
	if (err)
		(void)page_user_remove(m, new, p, gpn);
	return err;
}

/* What is to stand for the guest page, which is its user already. */
static int copy_for(struct pmap *p, uint64_t gpn, struct machine_page *page, unsigned node, struct machine_page **copy)
{
	struct machine_memory *m = p->memory;
	struct machine_page *new = NULL;
	int err;

	pthread_mutex_lock(&m->lock);
	*copy = page_copy_on(m, page, node);
	err = *copy ? page_user_add(m, *copy, p, gpn) : make_copy(p, gpn, page, node, &new);
	pthread_mutex_unlock(&m->lock);
	if (err && new)
		machine_pages_free(m, new->mpn, 1);
	if (!*copy)
		*copy = new;
	return err;
}

int pmap_bring(struct pmap *p, struct gpa pa, unsigned node)
{
	uint64_t gpn = pa.v >> PAGE_SHIFT;
	struct machine_page *page = pmap_peek(p, pa), *copy;
	bool shared;
	int err;

	if (!page || page_has(page, PAGE_ZERO | PAGE_REGION | PAGE_REPLICA))
		return -ENOENT;
	if (page->node == node)
		return 0;
	if (pmap_in_flight(p, page))
		return -EBUSY;
	shared = page_has(page, PAGE_SHARED);
	err = copy_for(p, gpn, page, node, &copy);
	if (err)
		return err;
	err = pmap_replace(p, gpn, copy);
	if (err)
		page_user_leave(p->memory, copy, p, gpn);
	else
		count_up(shared ? &p->stats.replicated : &p->stats.moved);
	return err;
}

unsigned page_copies(struct machine_memory *m, const struct machine_page *page)
{
	unsigned n = 1;

	pthread_mutex_lock(&m->lock);
	for (unsigned node = 0; page->names && node < m->n_nodes; node++)
		n += node != page->node && page_copy_on(m, page, node);
	pthread_mutex_unlock(&m->lock);
	return n;
}

void pmap_unmap(struct pmap *p, struct gpa pa)
{
	struct guest_page *g = pmap_row(p, pa);

	if (g && g->page && p->ops.unmap)
		p->ops.unmap(p->ops.opaque, gpa(pa.v & ~PAGE_MASK), g);
}

uint64_t pmap_node_pages(const struct pmap *p, unsigned node)
{
	uint64_t n = 0;

	for (uint64_t gpn = 0; gpn < p->pages; gpn++) {
		const struct machine_page *page = p->row[gpn].page;

		if (page && page_has(page, PAGE_REPLICA))
			page = replica_row(p, gpn, node)->page;
		n += page && !page_has(page, PAGE_ZERO) && page->node == node;
	}
	return n;
}
