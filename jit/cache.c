/* SPDX-License-Identifier: MIT */
/*
 * Translations by (code record, offset, mode, abs_page).  A record's translations hang off 64 lists, by the granule of their
 * first instruction.
 */
#include <stdlib.h>
#include <string.h>

#include "jit/jit_internal.h"

struct translation *find_translation(const struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page)
{
	if (off >= PAGE_BYTES)
		return NULL;
	struct translation *t = cp->bucket[off >> CODE_GRANULE_SHIFT];
	while (t && (t->off != off || t->mode != mode || t->abs_page != abs_page))
		t = translation_next(t);
	return t;
}

struct translation *find_tier1(const struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page)
{
	if (off >= PAGE_BYTES)
		return NULL;
	struct translation *t = cp->bucket[off >> CODE_GRANULE_SHIFT];
	while (t && (t->off != off || t->mode != mode || t->abs_page != abs_page || t->tier != TIER_1))
		t = translation_next(t);
	return t;
}

/* With find; what it finds may be run. */
static struct translation *
find_to_run(struct jit *j, struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page,
	    struct translation *(*find)(const struct code_page *, uint32_t, uint32_t, uint64_t))
{
	struct translation *t;

	jit_lock(j, true);
	t = find(cp, off, mode, abs_page);
	jit_unlock(j);
	if (!t)
		jit_outside(j);
	return t;
}

struct translation *jit_find(struct jit *j, struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page)
{
	return find_to_run(j, cp, off, mode, abs_page, find_translation);
}

struct translation *jit_find_tier1(struct jit *j, struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page)
{
	return find_to_run(j, cp, off, mode, abs_page, find_tier1);
}

enum tier jit_has(struct jit *j, const struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page)
{
	const struct translation *t;
	enum tier tier;

	jit_lock(j, false);
	t = find_translation(cp, off, mode, abs_page);
	tier = t ? (enum tier)t->tier : TIER_INTERP;
	jit_unlock(j);
	return tier;
}

struct translation *jit_translation_new(struct code_cache *cc, struct code_page *cp, unsigned n_links,
					unsigned n_ranges, unsigned n_insns, unsigned n_words)
{
	struct translation *t = code_mem_alloc_data(
	    &cc->mem, sizeof(*t) + n_links * sizeof(struct jit_link) + n_insns * sizeof(struct jit_insn) +
			  n_words * sizeof(struct jit_word) + n_ranges * sizeof(struct jit_range));
	if (!t)
		return NULL;
	t->cp = cp;
	t->n_links = (uint16_t)n_links;
	t->n_ranges = (uint16_t)n_ranges;
	t->n_insns = (uint16_t)n_insns;
	t->n_words = (uint16_t)n_words;
	return t;
}

bool jit_count_executions(struct code_cache *cc, struct translation *t)
{
	const uint32_t line_bytes = 64;

	if (!cc->cfg.tier2 || !cc->cfg.hot_blocks)
		return true;
	if (!cc->n_hot_counts) {
		cc->hot_counts = code_mem_alloc_data(&cc->mem, line_bytes);
		if (!cc->hot_counts)
			return false;
		cc->n_hot_counts = line_bytes / sizeof(*cc->hot_counts);
	}
	cc->n_hot_counts--;
	near_set(&t->hot, cc->hot_counts++);
	*translation_hot(t) = (int32_t)cc->cfg.hot_threshold;
	return true;
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
		bits |= jit_granules(translation_ranges(t)[i].off, translation_ranges(t)[i].bytes);
	return bits;
}

/* Where a near link leads, if it is in the owner's page; else -1. */
static int64_t same_page_target(const struct jit_link *l)
{
	const struct translation *t = link_owner(l);
	int64_t pc = link_pc(l).v;

	if (l->kind != LINK_NEAR)
		return -1;
	if (!(t->mode & MODE_ABS))
		return pc;
	return ((uint64_t)pc & ~PAGE_MASK) == t->abs_page ? (int64_t)((uint64_t)pc & PAGE_MASK) : -1;
}

void jit_tell_installed(const struct code_cache *cc, const struct translation *t, const void *code, uint32_t code_bytes,
			const void *cold, uint32_t cold_bytes)
{
	const struct jit_installed what = {.tier = (enum tier)t->tier,
					   .mode = t->mode,
					   .off = t->off,
					   .n_guest = t->n_guest,
					   .abs_page = t->abs_page,
					   .content = {t->cp->hash.low64, t->cp->hash.high64},
					   .code = code,
					   .cold = cold,
					   .code_bytes = code_bytes,
					   .cold_bytes = cold_bytes};

	if (cc->cfg.installed)
		cc->cfg.installed(cc->cfg.installed_ctx, &what);
}

void jit_install(struct code_cache *cc, struct translation *t)
{
	struct code_page *cp = t->cp;
	cc->stats.host_bytes[t->tier] += t->code_bytes + t->cold_bytes;
	cc->stats.guest_insns_translated[t->tier] += t->n_guest;
	struct translation *old = find_translation(cp, t->off, t->mode, t->abs_page);
	struct translation **head = &cp->bucket[t->off >> CODE_GRANULE_SHIFT];
	near_set(&t->next_in_page, *head);
	*head = t;
	cp->n++;
	cp->granules |= granules_of(t);
	if (old)
		jit_link_move_incoming(cc, old, t);
	for (unsigned i = 0; i < t->n_links; i++) {
		int64_t off = same_page_target(&t->links[i]);
		struct translation *to = off < 0 ? NULL : find_translation(cp, (uint32_t)off, t->mode, t->abs_page);
		if (to)
			jit_link_connect(cc, &t->links[i], to);
	}
	jit_tell_installed(cc, t, translation_body(t), t->code_bytes, translation_cold(t), t->cold_bytes);
}

static void free_kept_ir(struct translation *t)
{
	struct jit_kept_ir *ir = translation_ir(t);

	if (ir) {
		free(ir->ins);
		free(ir->host);
		near_set(&t->ir, NULL);
	}
}

static void drop(struct code_cache *cc, struct jit *j, struct translation *t)
{
	jit_link_isolate(cc, j, t);
	free_kept_ir(t);
	__atomic_store_n(&t->dead, true, __ATOMIC_RELAXED);
	cc->stats.invalidated++;
}

static bool covers(const struct translation *t, uint32_t off, uint32_t bytes)
{
	const struct jit_range *range = translation_ranges(t);

	for (unsigned i = 0; i < t->n_ranges; i++)
		if (range[i].off < off + bytes && off < (uint32_t)range[i].off + range[i].bytes)
			return true;
	return false;
}

/* Drop what overlaps [off, off + bytes), and find out which granules still hold code. */
static bool drop_range(struct code_cache *cc, struct jit *j, struct code_page *cp, uint32_t off, uint32_t bytes)
{
	bool any = false;
	cp->granules = 0;
	for (unsigned g = 0; g < CODE_GRANULES; g++) {
		struct translation *kept = NULL, *next;

		for (struct translation *t = cp->bucket[g]; t; t = next) {
			next = translation_next(t);
			if (!covers(t, off, bytes)) {
				cp->granules |= granules_of(t);
				kept = t;
				continue;
			}
			if (kept)
				near_set(&kept->next_in_page, next);
			else
				cp->bucket[g] = next;
			cp->n--;
			drop(cc, j, t);
			any = true;
		}
	}
	return any;
}

void forget_pending(struct code_page *cp, uint32_t off, uint32_t bytes)
{
	if (!(cp->pending & jit_granules(off, bytes)))
		return;
	cp->serial++;
	cp->pending = 0;
}

bool drop_covering(struct code_cache *cc, struct jit *j, struct code_page *cp, uint32_t off, uint32_t bytes)
{
	if (off >= PAGE_BYTES)
		return false;
	if (bytes > PAGE_BYTES - off)
		bytes = PAGE_BYTES - off;
	forget_pending(cp, off, bytes);
	return (cp->granules & jit_granules(off, bytes)) && drop_range(cc, j, cp, off, bytes);
}

bool jit_invalidate(struct jit *j, struct code_page *cp, uint32_t off, uint32_t bytes)
{
	bool any;

	jit_lock_running(j);
	any = drop_covering(j->cc, j, cp, off, bytes);
	jit_unlock(j);
	if (any)
		jit_link_settle(j); /* a helper's caller goes on in generated code */
	return any;
}

void jit_invalidate_page(struct jit *j, struct code_page *cp) { (void)jit_invalidate(j, cp, 0, PAGE_BYTES); }

bool is_covered(const struct code_page *cp, uint32_t off, uint32_t bytes)
{
	return (cp->granules | cp->pending) & jit_granules(off, bytes);
}

bool is_translated(const struct code_page *cp, uint32_t off, uint32_t bytes)
{
	if (!(cp->granules & jit_granules(off, bytes)))
		return false;
	for (unsigned g = 0; g < CODE_GRANULES; g++)
		for (const struct translation *t = cp->bucket[g]; t; t = translation_next(t))
			if (covers(t, off, bytes))
				return true;
	return false;
}

bool jit_page_has_code(struct jit *j, const struct code_page *cp, uint32_t off, uint32_t bytes)
{
	bool has;

	jit_lock_running(j);
	has = is_covered(cp, off, bytes);
	jit_unlock(j);
	return has;
}

void forget_translations(struct code_cache *cc, struct code_page *cp)
{
	for (unsigned g = 0; g < CODE_GRANULES; g++)
		for (struct translation *t = cp->bucket[g]; t; t = translation_next(t))
			free_kept_ir(t);
	cc->stats.evicted += cp->n;
	memset(cp->bucket, 0, sizeof(cp->bucket));
	cp->granules = 0;
	cp->n = 0;
}
