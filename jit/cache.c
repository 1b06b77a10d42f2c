/* SPDX-License-Identifier: MIT */
/*
 * The translation cache: translations by (code page, offset, mode, abs_page).  A page's translations hang off 64
 * lists, by the granule of their first instruction.
 */
#include <stdlib.h>
#include <string.h>

#include "jit/jit_internal.h"

struct code_page *jit_code_page(struct jit *j, void **slot, const void *page_key)
{
	struct code_page *cp = *slot;
	if (cp) {
		ASSERT(cp->jit == j); /* whoever gave the machine page away said so: jit_forget_page() */
		return cp;
	}
	cp = calloc(1, sizeof(*cp));
	if (!cp)
		panic("out of host memory for a code page");
	cp->jit = j;
	cp->slot = slot;
	cp->page_key = page_key;
	cp->next = j->pages;
	cp->prev = &j->pages;
	if (cp->next)
		cp->next->prev = &cp->next;
	j->pages = cp;
	*slot = cp;
	return cp;
}

void jit_code_page_unref(struct code_page *cp)
{
	if (!cp->slot && !cp->n_pending)
		free(cp);
}

/* Off its machine page and off the list of the jit's. */
static void detach(struct code_page *cp)
{
	*cp->prev = cp->next;
	if (cp->next)
		cp->next->prev = cp->prev;
	*cp->slot = NULL;
	cp->slot = NULL;
	jit_code_page_unref(cp);
}

void jit_forget_page(struct jit *j, struct code_page *cp)
{
	jit_invalidate_page(j, cp);
	detach(cp);
}

struct translation *jit_find(struct jit *j, struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page)
{
	if (off >= PAGE_BYTES)
		return NULL;
	struct translation *t = cp->bucket[off >> CODE_GRANULE_SHIFT];
	while (t && (t->off != off || t->mode != mode || t->abs_page != abs_page))
		t = t->next_in_page;
	return t;
}

struct translation *jit_find_tier1(const struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page)
{
	if (off >= PAGE_BYTES)
		return NULL;
	struct translation *t = cp->bucket[off >> CODE_GRANULE_SHIFT];
	while (t && (t->off != off || t->mode != mode || t->abs_page != abs_page || t->tier != TIER_1))
		t = t->next_in_page;
	return t;
}

struct translation *jit_translation_new(struct jit *j, struct code_page *cp, unsigned n_links, unsigned n_ranges,
					unsigned n_insns)
{
	struct translation *t;
	size_t links_at = (sizeof(*t) + 15) & ~(size_t)15;
	size_t ranges_at = links_at + n_links * sizeof(*t->links);
	size_t insns_at = ranges_at + ((n_ranges * sizeof(*t->ranges) + 7) & ~(size_t)7);
	char *p = code_mem_alloc_data(&j->mem, insns_at + n_insns * sizeof(*t->insns));
	if (!p)
		return NULL;
	t = (struct translation *)p;
	t->cp = cp;
	t->links = (struct jit_link *)(p + links_at);
	t->ranges = (struct jit_range *)(p + ranges_at);
	t->insns = (struct jit_insn *)(p + insns_at);
	t->n_links = (uint16_t)n_links;
	t->n_ranges = (uint16_t)n_ranges;
	t->n_insns = (uint16_t)n_insns;
	return t;
}

int32_t *jit_hot_count(struct jit *j)
{
	const uint32_t line_bytes = 64;

	if (!j->n_hot_counts) {
		j->hot_counts = code_mem_alloc_data(&j->mem, line_bytes);
		if (!j->hot_counts)
			return NULL;
		j->n_hot_counts = line_bytes / sizeof(*j->hot_counts);
	}
	j->n_hot_counts--;
	return j->hot_counts++;
}

uint64_t jit_granules(uint32_t off, uint32_t bytes)
{
	if (bytes == 0 || off >= PAGE_BYTES)
		return 0;
	uint32_t last = bytes > PAGE_BYTES - off ? PAGE_BYTES - 1 : off + bytes - 1;
	uint32_t first_bit = off >> CODE_GRANULE_SHIFT, n = (last >> CODE_GRANULE_SHIFT) - first_bit + 1;
	return UINT64_MAX >> (64 - n) << first_bit;
}

static uint64_t granules_of(const struct translation *t)
{
	uint64_t bits = 0;
	for (unsigned i = 0; i < t->n_ranges; i++)
		bits |= jit_granules(t->ranges[i].off, t->ranges[i].bytes);
	return bits;
}

/* Where a near link leads, if it is in the owner's page; else -1. */
static int64_t same_page_target(const struct jit_link *l)
{
	const struct translation *t = l->owner;
	if (l->kind != LINK_NEAR)
		return -1;
	if (!(t->mode & MODE_ABS))
		return l->pc.v;
	return ((uint64_t)l->pc.v & ~PAGE_MASK) == t->abs_page ? (int64_t)((uint64_t)l->pc.v & PAGE_MASK) : -1;
}

void jit_install(struct jit *j, struct translation *t)
{
	struct code_page *cp = t->cp;
	j->stats.host_bytes[t->tier] += t->code_bytes + t->cold_bytes;
	j->stats.guest_insns_translated[t->tier] += t->n_guest;
	struct translation *old = jit_find(j, cp, t->off, t->mode, t->abs_page);
	struct translation **head = &cp->bucket[t->off >> CODE_GRANULE_SHIFT];
	t->next_in_page = *head;
	*head = t;
	cp->n++;
	cp->granules |= granules_of(t);
	if (old)
		jit_link_move_incoming(j, old, t);
	for (unsigned i = 0; i < t->n_links; i++) {
		int64_t off = same_page_target(&t->links[i]);
		struct translation *to = off < 0 ? NULL : jit_find(j, cp, (uint32_t)off, t->mode, t->abs_page);
		if (to)
			jit_link_connect(j, &t->links[i], to);
	}
}

static void free_kept_ir(struct translation *t)
{
	if (t->ir) {
		free(t->ir->ins);
		free(t->ir->host);
		free(t->ir);
		t->ir = NULL;
	}
}

static void drop(struct jit *j, struct translation *t)
{
	jit_link_isolate(j, t);
	free_kept_ir(t);
	t->dead = true;
	j->stats.invalidated++;
}

/* Drop what overlaps [off, off + bytes), and find out which granules still hold code. */
static bool drop_range(struct jit *j, struct code_page *cp, uint32_t off, uint32_t bytes)
{
	bool any = false;
	cp->granules = 0;
	for (unsigned g = 0; g < CODE_GRANULES; g++) {
		struct translation **at = &cp->bucket[g];
		while (*at) {
			struct translation *t = *at;
			bool hit = false;
			for (unsigned i = 0; i < t->n_ranges && !hit; i++)
				hit = t->ranges[i].off < off + bytes && off < t->ranges[i].off + t->ranges[i].bytes;
			if (!hit) {
				cp->granules |= granules_of(t);
				at = &t->next_in_page;
				continue;
			}
			*at = t->next_in_page;
			cp->n--;
			drop(j, t);
			any = true;
		}
	}
	return any;
}

bool jit_invalidate(struct jit *j, struct code_page *cp, uint32_t off, uint32_t bytes)
{
	if (off >= PAGE_BYTES)
		return false;
	if (bytes > PAGE_BYTES - off)
		bytes = PAGE_BYTES - off;
	uint64_t hit = jit_granules(off, bytes);
	if (cp->pending & hit) {
		cp->serial++;
		cp->pending = 0;
	}
	if (!(cp->granules & hit) || !drop_range(j, cp, off, bytes))
		return false;
	jit_link_settle(j); /* a helper's caller goes on in generated code */
	return true;
}

void jit_invalidate_page(struct jit *j, struct code_page *cp) { (void)jit_invalidate(j, cp, 0, PAGE_BYTES); }

bool jit_page_has_code(const struct code_page *cp, uint32_t off, uint32_t bytes)
{
	return (cp->granules | cp->pending) & jit_granules(off, bytes);
}

void jit_flush(struct jit *j)
{
	for (struct code_page *cp = j->pages; cp; cp = cp->next) {
		for (unsigned g = 0; g < CODE_GRANULES; g++)
			for (struct translation *t = cp->bucket[g]; t; t = t->next_in_page)
				free_kept_ir(t);
		j->stats.evicted += cp->n;
		memset(cp->bucket, 0, sizeof(cp->bucket));
		cp->granules = 0;
		cp->n = 0;
	}
	jit_forget_jumps(j);
	code_mem_reset(&j->mem);
	j->n_hot_counts = 0;
	j->asked = NULL;
	j->patched = true;
	j->stats.flushes++;
}

void jit_forget_jumps(struct jit *j)
{
	for (unsigned i = 0; i < JUMP_CACHE_ENTRIES; i++)
		j->jump_cache->e[i] = (struct jump_cache_entry){JUMP_KEY_NONE, NULL};
	for (unsigned i = 0; i < SIDE_CACHE_ENTRIES; i++)
		j->side_cache[i] = (struct side_cache_entry){.key = JUMP_KEY_NONE};
	for (unsigned i = 0; i < RET_RING_ENTRIES; i++)
		j->ret_ring[i] = (struct ret_ring_entry){JUMP_KEY_NONE, NULL};
	j->cfg.gs->ret_ring_top = 0;
	j->cfg.gs->link = NULL;
}

void jit_pages_free(struct jit *j)
{
	while (j->pages)
		detach(j->pages);
}
