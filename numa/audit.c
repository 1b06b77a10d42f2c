/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include <xxhash.h>

#include "numa/machine_memory.h"

/* machine_memory_audit(): everything that is written down twice, both ways. */

enum { PARTS = 16 }; /* of the shared pages one is compared each time */

struct audit {
	struct machine_memory *m;
	struct memory_audited out;
	unsigned errors;
	char *first;
	size_t bytes;
	uint64_t lent;
};

static void PRINTF_LIKE(2, 3) wrong(struct audit *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!a->errors++)
		vsnprintf(a->first, a->bytes, fmt, ap);
	va_end(ap);
}

static bool is_alive(const struct audit *a, const struct pmap *p)
{
	for (const struct pmap *q = a->m->pmaps; q; q = q->next)
		if (q == p)
			return true;
	return false;
}

static bool is_held(const struct pmap *p, const struct machine_page *page)
{
	for (uint32_t i = 0; i < p->n_held; i++)
		if (p->held[i] == page)
			return true;
	return false;
}

static void check_user(struct audit *a, const struct machine_page *page, const struct page_user *u)
{
	if (!u->pmap && u->gpn == PAGE_USER_REGION) {
		if (!page_has(page, PAGE_REGION))
			wrong(a, "machine page %u is used by a region and not one of its pages", page->mpn);
	} else if (!u->pmap && u->gpn == PAGE_USER_LENT) {
		a->lent++;
		if (!page_has(page, PAGE_SHARED))
			wrong(a, "machine page %u is lent and can be written to", page->mpn);
	} else if (!is_alive(a, u->pmap))
		wrong(a, "machine page %u is used by a VM that is gone", page->mpn);
	else if (u->gpn == PAGE_USER_HELD
		     ? !is_held(u->pmap, page)
		     : u->gpn >= u->pmap->pages || replica_row(u->pmap, u->gpn, page->node)->page != page)
		wrong(a, "machine page %u says that guest page %llu has it, which has not", page->mpn,
		      (unsigned long long)u->gpn);
}

static void check_names(struct audit *a, const struct machine_page *page)
{
	bool equal = false;

	for (const struct page_name *n = page->names; n; n = n->next_of_page) {
		equal |= n->kind == NAME_EQUAL;
		if (n->page != page || page_find(a->m, n->kind, n->hi, n->lo, page->node) != page)
			wrong(a, "machine page %u has a name that does not lead to it", page->mpn);
	}
	if (equal != page_has(page, PAGE_HASHED))
		wrong(a, "machine page %u: is it found by its bytes or not?", page->mpn);
	/* what was lent has no name until the scan finds it */
	if (page->names ? !page_has(page, PAGE_SHARED) : page_has(page, PAGE_SHARED) && !page_has(page, PAGE_EQUAL))
		wrong(a, "machine page %u: names %s, flags %#x", page->mpn, page->names ? "some" : "none", page->flags);
}

/* Nobody may write to a shared page: its bytes are those that it was found equal by, or as an image had them all along. */
static void check_bytes(struct audit *a, const struct machine_page *page)
{
	XXH128_hash_t hash = XXH3_128bits(page->host, PAGE_BYTES);

	a->out.compared++;
	for (struct page_name *n = page->names; n; n = n->next_of_page) {
		uint32_t seen = (uint32_t)hash.low64 | 1;

		if (n->kind == NAME_EQUAL ? n->hi != hash.high64 || n->lo != hash.low64 : n->seen && n->seen != seen)
			wrong(a, "machine page %u is shared, and has been written to", page->mpn);
		n->seen = seen;
	}
}

/* Numbers that the loop over all pages sums up. */
struct sums {
	uint64_t used, idle, orphans, shared[NUM_MEMORY_CLASSES];
};

static void check_page(struct audit *a, struct machine_page *page, struct sums *s)
{
	s->used++;
	for (uint32_t i = 0; i < page->refs; i++)
		check_user(a, page, page_user_at(page, i));
	check_names(a, page);
	if (page->names && page->mpn % PARTS == a->m->audits % PARTS)
		check_bytes(a, page);
	a->out.shared += page->names != NULL;
	a->out.with_code += __atomic_load_n(&page->code, __ATOMIC_ACQUIRE) != NULL;
	if (__atomic_load_n(&page->code, __ATOMIC_ACQUIRE) && !page_has(page, PAGE_CODE))
		wrong(a, "machine page %u has translations and can be written to", page->mpn);
	if (page_has(page, PAGE_SHARED | PAGE_REGION))
		s->shared[page_class(page)]++;
	s->idle += !page->refs && page->names;
	s->orphans += !page->refs && !page->names;
	if (page_has(page, PAGE_REGION) && (page_has(page, PAGE_SHARED | PAGE_CODE) || !page->refs))
		wrong(a, "machine page %u is of a region and has flags %#x and %u users", page->mpn, page->flags,
		      page->refs);
	if (page->refs > 1 && !page_has(page, PAGE_SHARED | PAGE_REGION))
		wrong(a, "machine page %u has %u users and can be written to", page->mpn, page->refs);
}

static bool uses(struct machine_page *page, const struct pmap *p, uint64_t gpn)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < page->refs; i++)
		n += page_user_at(page, i)->pmap == p && page_user_at(page, i)->gpn == gpn;
	return n == 1;
}

static void check_pmap(struct audit *a, const struct pmap *p)
{
	uint64_t class[NUM_MEMORY_CLASSES] = {0};

	for (uint64_t gpn = 0; gpn < p->pages; gpn++) {
		struct machine_page *page = p->row[gpn].page;

		if (!page)
			continue;
		class[page_class(page)]++;
		if (page_has(page, PAGE_ZERO))
			continue;
		if (machine_page_get(a->m, page->mpn) != page)
			wrong(a, "guest page %llu has machine page %u, which is free", (unsigned long long)gpn,
			      page->mpn);
		else if (!uses(page, p, gpn))
			wrong(a, "guest page %llu is not among the users of machine page %u", (unsigned long long)gpn,
			      page->mpn);
		else if (!replicas_agree(p, gpn))
			wrong(a, "guest page %llu: its copies on other nodes are not as machine page %u",
			      (unsigned long long)gpn, page->mpn);
	}
	for (unsigned c = 0; c < NUM_MEMORY_CLASSES; c++)
		if (class[c] != p->class_pages[c])
			wrong(a, "a VM counts %llu pages of class %u and has %llu",
			      (unsigned long long)p->class_pages[c], c, (unsigned long long)class[c]);
}

static void check_zero(struct audit *a)
{
	for (unsigned i = 0; i < PAGE_BYTES; i++)
		if (a->m->zero.host[i]) {
			wrong(a, "the page of zeroes has %#x at %#x", a->m->zero.host[i], i);
			return;
		}
}

unsigned machine_memory_audit(struct machine_memory *m, struct memory_audited *out, char *first, size_t bytes)
{
	struct audit a = {.m = m, .first = first, .bytes = bytes};
	uint64_t used = machine_memory_pages_used(m, -1);
	struct sums s = {0};

	pthread_mutex_lock(&m->lock);
	for (unsigned i = 0; i < m->n_nodes; i++)
		for (uint32_t k = 0; k < m->node[i].high; k++)
			if (m->memmap[m->node[i].first_mpn + k].host)
				check_page(&a, &m->memmap[m->node[i].first_mpn + k], &s);
	for (const struct pmap *p = m->pmaps; p; p = p->next)
		check_pmap(&a, p);
	check_zero(&a);
	if (s.used != used)
		wrong(&a, "%llu machine pages in use, %llu counted", (unsigned long long)s.used,
		      (unsigned long long)used);
	if (s.idle != m->sharing.idle || s.orphans != m->sharing.filling)
		wrong(&a, "%llu pages without users and %llu being filled, %llu and %llu counted",
		      (unsigned long long)s.idle, (unsigned long long)s.orphans, (unsigned long long)m->sharing.idle,
		      (unsigned long long)m->sharing.filling);
	if (a.lent != m->sharing.lent)
		wrong(&a, "%llu pages are lent, %llu counted", (unsigned long long)a.lent,
		      (unsigned long long)m->sharing.lent);
	for (unsigned c = 0; c < NUM_MEMORY_CLASSES; c++)
		if (s.shared[c] != m->sharing.pages[c])
			wrong(&a, "%llu shared pages of class %u, %llu counted", (unsigned long long)s.shared[c], c,
			      (unsigned long long)m->sharing.pages[c]);
	m->audits++;
	pthread_mutex_unlock(&m->lock);
	a.out.pages = s.used;
	if (out)
		*out = a.out;
	return a.errors;
}
