/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "vmm/cpu/interp_cache.h"
#include "vmm/cpu/caches.h"
#include "vmm/cpu/mem.h"
#include "vmm/cpu/translate.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/vm.h"

/*
 * Lifted blocks of --tiers=interp by (machine page, offset, mode, page of MODE_ABS code).  A write to a page drops the
 * page's blocks; they are kept in one list per page, found by hash.
 */
#define BUCKETS 65536u
#define MAX_BLOCKS                                                                                                     \
	32768u /* then everything is dropped; a block's arena takes 64 KiB of address space, and some 10 of memory */

struct lifted {
	struct lifted *next, *page_next;
	const struct machine_page *page;
	const struct ir_block *b;
	struct arena arena;
	uint32_t off, bytes, mode;
	uint64_t abs_page;
};

struct lifted_page {
	struct lifted_page *next;
	const struct machine_page *page;
	struct lifted *blocks;
};

struct interp_cache {
	uint32_t n;
	struct lifted *block[BUCKETS];
	struct lifted_page *page[BUCKETS];
	struct lifted *dead; /* dropped by a store of a block that may still be running: freed at the next look-up */
};

int interp_cache_new(struct interp_cache **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

static uint32_t block_hash(const struct machine_page *page, uint32_t off, uint32_t mode, uint64_t abs_page)
{
	uint64_t key = ((uint64_t)page->mpn << 10 | off >> 2) ^ (uint64_t)mode << 40 ^ abs_page << 20;

	return (uint32_t)(key * 0x9e3779b97f4a7c15u >> 40) % BUCKETS;
}

static uint32_t page_hash(const struct machine_page *page) { return page->mpn * 0x9e3779b1u % BUCKETS; }

static struct lifted_page *page_find(const struct interp_cache *c, const struct machine_page *page)
{
	struct lifted_page *p = c->page[page_hash(page)];

	while (p && p->page != page)
		p = p->next;
	return p;
}

static void block_drop(struct interp_cache *c, struct lifted *l)
{
	struct lifted **at = &c->block[block_hash(l->page, l->off, l->mode, l->abs_page)];

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	l->next = c->dead;
	c->dead = l;
	c->n--;
}

static void bury(struct interp_cache *c)
{
	while (c->dead) {
		struct lifted *l = c->dead;

		c->dead = l->next;
		arena_free(&l->arena);
		free(l);
	}
}

static void drop_all(struct interp_cache *c)
{
	for (uint32_t i = 0; i < BUCKETS; i++) {
		while (c->page[i]) {
			struct lifted_page *p = c->page[i];

			while (p->blocks) {
				struct lifted *l = p->blocks;

				p->blocks = l->page_next;
				block_drop(c, l);
			}
			c->page[i] = p->next;
			free(p);
		}
	}
}

void interp_cache_free(struct interp_cache *c)
{
	if (!c)
		return;
	drop_all(c);
	bury(c);
	free(c);
}

static bool covers(const struct lifted *l, uint32_t off, uint32_t bytes)
{
	return off < l->off + l->bytes && l->off < off + bytes;
}

bool interp_cache_has(const struct interp_cache *c, const struct machine_page *page, uint32_t off, uint32_t bytes)
{
	struct lifted_page *p = page_find(c, page);

	for (const struct lifted *l = p ? p->blocks : NULL; l; l = l->page_next)
		if (covers(l, off, bytes))
			return true;
	return false;
}

bool interp_cache_invalidate(struct interp_cache *c, struct machine_page *page, uint32_t off, uint32_t bytes)
{
	struct lifted_page *p = page_find(c, page);
	struct lifted **at = p ? &p->blocks : NULL;
	bool hit = false;

	while (at && *at) {
		struct lifted *l = *at;

		if (covers(l, off, bytes)) {
			*at = l->page_next;
			block_drop(c, l);
			hit = true;
		} else {
			at = &l->page_next;
		}
	}
	return hit;
}

static void insert(struct interp_cache *c, struct lifted *l)
{
	struct lifted **bucket = &c->block[block_hash(l->page, l->off, l->mode, l->abs_page)];
	struct lifted_page *p = page_find(c, l->page);

	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			panic("out of host memory");
		p->page = l->page;
		p->next = c->page[page_hash(l->page)];
		c->page[page_hash(l->page)] = p;
	}
	l->next = *bucket;
	*bucket = l;
	l->page_next = p->blocks;
	p->blocks = l;
	c->n++;
}

const struct ir_block *interp_cache_get(struct interp_cache *c, struct vcpu *v)
{
	struct guest_state *gs = &v->gs;
	struct machine_page *page = mem_fetch(v, gva(gs->pc));
	uint32_t off = (uint32_t)(gs->pc & PAGE_MASK);
	uint64_t abs_page = gs->mode & MODE_ABS ? gs->pc_page : 0;
	struct lifted *l;

	if (!page)
		return NULL;
	if (v->caches.flash)
		caches_enter_page(v, page);
	bury(c);
	for (l = c->block[block_hash(page, off, gs->mode, abs_page)]; l; l = l->next)
		if (l->page == page && l->off == off && l->mode == gs->mode && l->abs_page == abs_page)
			return l->b;
	if (off == PAGE_BYTES - 4) /* its delay slot, if it has one, may change with another page */
		return translate_lift(v, 0);
	if (c->n >= MAX_BLOCKS)
		drop_all(c);
	l = calloc(1, sizeof(*l));
	if (!l)
		panic("out of host memory");
	*l = (struct lifted){.page = page, .off = off, .mode = gs->mode, .abs_page = abs_page};
	l->b = translate_page(v, page, gs->pc, 0, TIER_INTERP, &l->arena);
	l->bytes = 4 * l->b->n_guest;
	mem_protect_code(v, page);
	insert(c, l);
	return l->b;
}
