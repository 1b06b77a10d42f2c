/* SPDX-License-Identifier: MIT */
#include "numa/move.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "numa/machine_memory.h"

/*
 * Copies of a page that is one VM's own, for its vCPUs on other nodes (SOSP'97 4.2.3).  All of them are PAGE_REPLICA, so that nobody writes to
 * them; who wants to, at the door, finds one left.  Each has a row of its own, so that what knows one of them is known apart.
 */

enum { SET_BUCKETS = 1024 };

struct replica_set {
	struct replica_set *next; /* of the bucket */
	uint64_t gpn;
	unsigned copies;         /* rows below that have a page */
	struct guest_page row[]; /* [nodes]; the page in the pmap's own row is none of them */
};

struct replicas {
	uint64_t n;
	struct replica_set *bucket[SET_BUCKETS];
};

static struct replica_set **find(const struct pmap *p, uint64_t gpn)
{
	struct replica_set **at = &p->replicas->bucket[gpn % SET_BUCKETS];

	while (*at && (*at)->gpn != gpn)
		at = &(*at)->next;
	return at;
}

static struct replica_set *set_of(const struct pmap *p, uint64_t gpn) { return p->replicas ? *find(p, gpn) : NULL; }

/* Made if need be; NULL: no memory. */
static struct replica_set *make_set(struct pmap *p, uint64_t gpn)
{
	struct replica_set *s, **at;

	if (!p->replicas)
		p->replicas = calloc(1, sizeof(*p->replicas));
	if (!p->replicas)
		return NULL;
	at = find(p, gpn);
	if (*at)
		return *at;
	s = calloc(1, sizeof(*s) + p->memory->n_nodes * sizeof(s->row[0]));
	if (!s)
		return NULL;
	s->gpn = gpn;
	*at = s;
	p->replicas->n++;
	return s;
}

static void drop_set(struct pmap *p, uint64_t gpn)
{
	struct replica_set **at = find(p, gpn), *s = *at;

	*at = s->next;
	free(s);
	p->replicas->n--;
}

void replicas_free(struct pmap *p)
{
	ASSERT(!p->replicas || !p->replicas->n);
	free(p->replicas);
	p->replicas = NULL;
}

struct guest_page *replica_row(const struct pmap *p, uint64_t gpn, unsigned node)
{
	struct replica_set *s = set_of(p, gpn);

	return s && s->row[node].page ? &s->row[node] : &p->row[gpn];
}

unsigned pmap_replicas(const struct pmap *p, struct gpa pa)
{
	const struct replica_set *s = set_of(p, pa.v >> PAGE_SHIFT);

	return s ? s->copies : 0;
}

/* ---- making one ---- */

static int add_copy(struct pmap *p, uint64_t gpn, const struct machine_page *from, unsigned node,
		    struct machine_page **copy)
{
	struct machine_memory *m = p->memory;
	int err = -ENOMEM;

	pthread_mutex_lock(&m->lock);
	*copy = machine_page_alloc_there(m, node);
	if (*copy) {
		memcpy((*copy)->host, from->host, PAGE_BYTES);
		page_set(*copy, PAGE_REPLICA);
		err = page_user_add(m, *copy, p, gpn);
		ASSERT(!err); /* the first one */
	}
	pthread_mutex_unlock(&m->lock);
	return err;
}

int pmap_replicate(struct pmap *p, struct gpa pa, unsigned node)
{
	uint64_t gpn = pa.v >> PAGE_SHIFT;
	struct guest_page *g = &p->row[gpn];
	struct gpa at = gpa(gpn << PAGE_SHIFT);
	struct machine_page *page = g->page, *copy;
	struct replica_set *s;
	int err;

	if (!page || page_has(page, PAGE_SHARED | PAGE_REGION))
		return -ENOENT;
	if (page->node == node || replica_row(p, gpn, node) != g)
		return 0;
	if (pmap_in_flight(p, page))
		return -EBUSY;
	s = make_set(p, gpn);
	if (!s)
		return -ENOMEM;
	if (!s->copies && p->ops.protect)
		p->ops.protect(p->ops.opaque, at, g);
	page_set(page, PAGE_REPLICA);
	err = add_copy(p, gpn, page, node, &copy);
	if (err) {
		if (!s->copies) {
			page_clear(page, PAGE_REPLICA);
			drop_set(p, gpn);
		}
		return err;
	}
	if (p->ops.unmap) /* vCPUs of that node are to find theirs */
		p->ops.unmap(p->ops.opaque, at, g);
	s->row[node] = (struct guest_page){.page = copy};
	s->copies++;
	count_up(&p->stats.replicated);
	return 0;
}

/* ---- one is left ---- */

void pmap_collapse(struct pmap *p, struct gpa pa, unsigned node)
{
	uint64_t gpn = pa.v >> PAGE_SHIFT;
	struct replica_set *s = set_of(p, gpn);
	struct guest_page *g = &p->row[gpn];
	struct gpa at = gpa(gpn << PAGE_SHIFT);

	if (!s)
		return;
	if (pmap_reserve_held(p, s->copies))
		panic("out of host memory");
	if (p->ops.unmap)
		p->ops.unmap(p->ops.opaque, at, g);
	for (unsigned n = 0; n < p->memory->n_nodes; n++) {
		struct guest_page *row = &s->row[n];
		struct machine_page *gone = row->page;

		if (!gone)
			continue;
		if (p->ops.unmap)
			p->ops.unmap(p->ops.opaque, at, row);
		if (n == node) { /* it stays, instead of the other one */
			gone = g->page;
			*g = (struct guest_page){.page = row->page};
		}
		pmap_leave_page(p, gone, gpn);
	}
	page_clear(g->page, PAGE_REPLICA);
	drop_set(p, gpn);
}

void pmap_unmap_copies(struct pmap *p)
{
	for (unsigned i = 0; p->replicas && p->ops.unmap && i < SET_BUCKETS; i++)
		for (struct replica_set *s = p->replicas->bucket[i]; s; s = s->next) {
			struct gpa at = gpa(s->gpn << PAGE_SHIFT);

			p->ops.unmap(p->ops.opaque, at, &p->row[s->gpn]);
			for (unsigned n = 0; n < p->memory->n_nodes; n++)
				if (s->row[n].page)
					p->ops.unmap(p->ops.opaque, at, &s->row[n]);
		}
}

bool replicas_agree(const struct pmap *p, uint64_t gpn)
{
	const struct machine_page *first = p->row[gpn].page;
	const struct replica_set *s = set_of(p, gpn);
	unsigned copies = 0;

	for (unsigned n = 0; s && n < p->memory->n_nodes; n++) {
		const struct machine_page *copy = s->row[n].page;

		if (!copy)
			continue;
		copies++;
		if (copy->node != n || first->node == n || !page_has(copy, PAGE_REPLICA) ||
		    memcmp(copy->host, first->host, PAGE_BYTES))
			return false;
	}
	return s ? copies && copies == s->copies && page_has(first, PAGE_REPLICA) : !page_has(first, PAGE_REPLICA);
}

bool replicas_give_way(struct pmap *p)
{
	for (unsigned i = 0; p->replicas && p->replicas->n && i < SET_BUCKETS; i++) {
		struct replica_set *s = p->replicas->bucket[i];

		if (!s)
			continue;
		pmap_collapse(p, gpa(s->gpn << PAGE_SHIFT), p->node);
		return true;
	}
	return false;
}
