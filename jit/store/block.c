/* SPDX-License-Identifier: MIT */
/*
 * struct stored_block
 * struct stored_link [n_links]
 * struct jit_insn [n_insns]		the pc map, with the guest's words
 * struct stored_fixup [n_fixups]	what of the code depends on where things are
 * hot code, cold code
 */
#include "jit/store/block.h"

#include <stdlib.h>
#include <string.h>

#include "jit/store/store.h"

struct stored_block {
	uint64_t abs_page;
	uint32_t mode;
	uint32_t hot_bytes, cold_bytes;
	uint32_t n_fixups;
	uint16_t off, n_guest, n_links, n_insns;
	uint16_t range_bytes;
	uint8_t known_at;
	uint8_t unused[5];
};
_Static_assert(sizeof(struct stored_block) == 40, "no holes: they would be anything");

/* A place in its code: offset * 2, and 1 if that is in the cold part. */
#define NOWHERE UINT32_MAX

struct stored_link {
	uint32_t pc;
	uint32_t site, far_site, stub; /* places, or NOWHERE */
	uint8_t pc_kind, is_return;
	uint8_t unused[2];
};

enum fixup_kind {
	FIX_HOT,  /* value: offset in the hot part */
	FIX_COLD, /* in the cold one */
	FIX_STUB, /* index in struct jit_stubs */
	FIX_DATA, /* offset in struct translation and its links */
	FIX_HOT_COUNT,
	FIX_ID, /* the record's number, which is no displacement */
};

struct stored_fixup {
	uint32_t at; /* a place */
	uint32_t value : 24;
	uint32_t kind : 4;  /* enum fixup_kind */
	uint32_t after : 4; /* x86_fixup.after */
};
_Static_assert(sizeof(struct stored_fixup) == 8, "sixteen or so for each block");

/* All stubs are pointers, so there is a list of them. */
#define N_STUBS (sizeof(struct jit_stubs) / sizeof(void *))
_Static_assert(sizeof(struct jit_stubs) % sizeof(void *) == 0, "a stub is a pointer");

static const uint8_t *stub(const struct jit_stubs *stubs, unsigned i)
{
	const uint8_t *p;

	memcpy(&p, (const uint8_t *)stubs + i * sizeof(p), sizeof(p));
	return p;
}

/* Parts of a stored block. */
struct parts {
	struct stored_block *head;
	struct stored_link *link;
	struct jit_insn *insn;
	struct stored_fixup *fixup;
	uint8_t *hot, *cold;
};

static uint64_t all_bytes(const struct stored_block *h)
{
	return sizeof(*h) + h->n_links * sizeof(struct stored_link) + h->n_insns * sizeof(struct jit_insn) +
	       (uint64_t)h->n_fixups * sizeof(struct stored_fixup) + h->hot_bytes + h->cold_bytes;
}

/* bytes: all of them are there, or room for them. */
static void find_parts(uint8_t *bytes, const struct stored_block *h, struct parts *p)
{
	p->head = (struct stored_block *)(void *)bytes;
	p->link = (struct stored_link *)(void *)(p->head + 1);
	p->insn = (struct jit_insn *)(void *)(p->link + h->n_links);
	p->fixup = (struct stored_fixup *)(void *)(p->insn + h->n_insns);
	p->hot = (uint8_t *)(p->fixup + h->n_fixups);
	p->cold = p->hot + h->hot_bytes;
}

/* ---- to bytes ---- */

/* Executable address to place. */
static uint32_t place_of(const struct translation *t, const uint8_t *rx)
{
	const uint8_t *hot = translation_body(t), *cold = translation_cold(t);

	if (!rx)
		return NOWHERE;
	return rx >= hot && rx < hot + t->code_bytes ? (uint32_t)(rx - hot) * 2 : (uint32_t)(rx - cold) * 2 + 1;
}

static void put_links(const struct translation *t, struct stored_link *to)
{
	for (unsigned i = 0; i < t->n_links; i++) {
		const struct jit_link *l = &t->links[i];
		bool is_return = l->kind == LINK_RETURN;

		to[i] = (struct stored_link){
		    .pc = l->pc,
		    .pc_kind = l->pc_kind,
		    .is_return = is_return,
		    .site = is_return ? NOWHERE : place_of(t, near_get(&l->site)),
		    .far_site = l->kind == LINK_FAR ? place_of(t, near_get(&l->far_site)) : NOWHERE,
		    .stub = place_of(t, near_get(&l->stub)),
		};
	}
}

/* What a displacement leads to. False: something that the bytes have no word for. */
static bool name_target(const struct code_cache *cc, const struct translation *t, const uint8_t *to,
			struct stored_fixup *f)
{
	const uint8_t *hot = translation_body(t), *cold = translation_cold(t), *data = (const uint8_t *)t;

	if (to >= hot && to <= hot + t->code_bytes) {
		f->kind = FIX_HOT;
		f->value = (uint32_t)(to - hot) & 0xffffff;
		return true;
	}
	if (to >= cold && to <= cold + t->cold_bytes) {
		f->kind = FIX_COLD;
		f->value = (uint32_t)(to - cold) & 0xffffff;
		return true;
	}
	if (to >= data && to < (const uint8_t *)&t->links[t->n_links]) {
		f->kind = FIX_DATA;
		f->value = (uint32_t)(to - data) & 0xffffff;
		return true;
	}
	if (translation_hot(t) && to == (const uint8_t *)translation_hot(t)) {
		f->kind = FIX_HOT_COUNT;
		return true;
	}
	for (unsigned i = 0; i < N_STUBS; i++)
		if (stub(&cc->stubs, i) == to) {
			f->kind = FIX_STUB;
			f->value = i & 0xffffff;
			return true;
		}
	return false;
}

/* Of those that matter: a jump within a part is the same everywhere. False: see name_target(). */
static bool put_fixups(const struct code_cache *cc, const struct translation *t, const struct x86_fixups *fixups,
		       struct stored_fixup *to, uint32_t *n)
{
	ptrdiff_t to_rx = cc->mem.rx - cc->mem.rw;

	*n = 0;
	for (uint32_t i = 0; i < fixups->n; i++) {
		const struct x86_fixup *x = &fixups->fix[i];
		const uint8_t *at = x->at + to_rx;
		struct stored_fixup f = {.at = place_of(t, at), .after = x->after & 15};
		int32_t by;

		memcpy(&by, x->at, sizeof(by));
		if (!x->after)
			f.kind = FIX_ID;
		else if (!name_target(cc, t, at + x->after + by, &f))
			return false;
		if (f.kind != (f.at & 1 ? FIX_COLD : FIX_HOT))
			to[(*n)++] = f;
	}
	return true;
}

/* Allocated. NULL: it cannot be, or no memory. */
static uint8_t *to_bytes(const struct code_cache *cc, const struct translation *t, const struct x86_fixups *fixups,
			 uint32_t *bytes)
{
	struct stored_block h = {.abs_page = t->abs_page,
				 .mode = t->mode,
				 .hot_bytes = t->code_bytes,
				 .cold_bytes = t->cold_bytes,
				 .n_fixups = fixups->n,
				 .off = t->off,
				 .n_guest = t->n_guest,
				 .n_links = t->n_links,
				 .n_insns = t->n_insns,
				 .range_bytes = translation_ranges(t)->bytes,
				 .known_at = t->known_at};
	struct parts p;
	uint8_t *out = malloc(all_bytes(&h));

	if (!out)
		return NULL;
	find_parts(out, &h, &p);
	if (!put_fixups(cc, t, fixups, p.fixup, &h.n_fixups)) {
		free(out);
		return NULL;
	}
	*bytes = (uint32_t)all_bytes(&h);
	find_parts(out, &h, &p);
	*p.head = h;
	put_links(t, p.link);
	memcpy(p.insn, translation_insns(t), t->n_insns * sizeof(*p.insn));
	memcpy(p.hot, code_mem_rw(&cc->mem, translation_body(t)), t->code_bytes);
	memcpy(p.cold, code_mem_rw(&cc->mem, translation_cold(t)), t->cold_bytes);
	return out;
}

void stored_block_keep(struct code_cache *cc, const struct translation *t, const struct ir_block *b,
		       const struct x86_fixups *fixups)
{
	struct store_place at = {.abs_page = t->abs_page, .mode = t->mode, .off = t->off};
	uint32_t words[IR_MAX_GUEST + 1], n = b->n_guest, bytes;
	uint8_t *block;

	/* its slot is looked at whenever it is executed, and if it is another one, made anew */
	if (t->off + 4 * n > PAGE_BYTES || fixups->n > X86_MAX_FIXUPS || t->n_insns != n)
		return;
	for (uint32_t i = 0; i < n; i++) {
		if (b->guest[i].off != (int32_t)(t->off + 4 * i))
			return;
		words[i] = t->mode & MODE_BE ? __builtin_bswap32(b->guest[i].word) : b->guest[i].word;
	}
	if (store_has(cc->cfg.store, &at, words, n))
		return;
	block = to_bytes(cc, t, fixups, &bytes);
	if (block)
		store_add(cc->cfg.store, &at, words, n, block, bytes);
	free(block);
}

/* ---- and back. Checksums were right; that nothing here leads out of the block does not depend on them. ---- */

static bool is_place(const struct stored_block *h, uint32_t place)
{
	return place >> 1 <= (place & 1 ? h->cold_bytes : h->hot_bytes);
}

static bool is_place_of_four(const struct stored_block *h, uint32_t place)
{
	uint32_t bytes = place & 1 ? h->cold_bytes : h->hot_bytes;

	return bytes >= 4 && place >> 1 <= bytes - 4;
}

static bool is_link(const struct stored_block *h, const struct stored_link *l)
{
	return l->pc_kind <= TGT_REGION && is_place(h, l->stub) &&
	       (l->site == NOWHERE || is_place_of_four(h, l->site)) &&
	       (l->far_site == NOWHERE || is_place_of_four(h, l->far_site));
}

static bool is_fixup(const struct code_cache *cc, const struct stored_block *h, const struct stored_fixup *f)
{
	if (!is_place_of_four(h, f->at))
		return false;
	switch ((enum fixup_kind)f->kind) {
	case FIX_HOT:
		return f->value <= h->hot_bytes;
	case FIX_COLD:
		return f->value <= h->cold_bytes;
	case FIX_STUB:
		return f->value < N_STUBS;
	case FIX_DATA:
		return f->value < sizeof(struct translation) + h->n_links * sizeof(struct jit_link);
	case FIX_HOT_COUNT:
		return cc->cfg.tier2 && cc->cfg.hot_blocks;
	case FIX_ID:
		return true;
	}
	return false;
}

/* Is it that block, and whole? */
static bool is_block(const struct code_cache *cc, uint8_t *bytes, uint32_t n, uint32_t off, uint32_t mode,
		     uint64_t abs_page, struct parts *p)
{
	const struct stored_block *h = (const struct stored_block *)(const void *)bytes;

	if (n < sizeof(*h) || h->off != off || h->mode != mode || h->abs_page != abs_page || h->n_insns != h->n_guest ||
	    !h->n_guest || h->n_guest > IR_MAX_GUEST + 1 || all_bytes(h) != n || h->known_at > h->cold_bytes ||
	    h->range_bytes > 4 * h->n_guest)
		return false;
	find_parts(bytes, h, p);
	for (uint32_t i = 0; i < h->n_links; i++)
		if (!is_link(h, &p->link[i]))
			return false;
	for (uint32_t i = 0; i < h->n_fixups; i++)
		if (!is_fixup(cc, h, &p->fixup[i]))
			return false;
	return true;
}

static uint8_t *at_place(const struct translation *t, uint32_t place)
{
	return place == NOWHERE ? NULL : (place & 1 ? translation_cold(t) : translation_body(t)) + (place >> 1);
}

static void get_links(struct translation *t, const struct stored_link *from)
{
	for (unsigned i = 0; i < t->n_links; i++) {
		const struct stored_link *f = &from[i];
		struct jit_link *l = &t->links[i];
		int64_t pc = f->pc_kind == TGT_PAGE ? (int64_t)(int32_t)f->pc : (int64_t)f->pc;

		jit_link_init(t, i, (struct ir_target){f->pc_kind, pc}, f->is_return);
		near_set(&l->stub, at_place(t, f->stub));
		if (f->is_return) {
			l->target = at_place(t, f->stub);
			continue;
		}
		near_set(&l->site, at_place(t, f->site));
		near_set(&l->far_site, at_place(t, f->far_site));
	}
}

static const uint8_t *target_of(const struct code_cache *cc, const struct translation *t, const struct stored_fixup *f)
{
	switch ((enum fixup_kind)f->kind) {
	case FIX_HOT:
		return translation_body(t) + f->value;
	case FIX_COLD:
		return translation_cold(t) + f->value;
	case FIX_STUB:
		return stub(&cc->stubs, f->value);
	case FIX_DATA:
		return (const uint8_t *)t + f->value;
	case FIX_HOT_COUNT:
		return (const uint8_t *)translation_hot(t);
	case FIX_ID:
		break;
	}
	return NULL;
}

static void fix(struct code_cache *cc, const struct translation *t, const struct stored_fixup *fixup, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct stored_fixup *f = &fixup[i];
		uint8_t *at = at_place(t, f->at);
		int32_t by = f->kind == FIX_ID ? (int32_t)t->cp->id : (int32_t)(target_of(cc, t, f) - (at + f->after));

		memcpy(code_mem_rw(&cc->mem, at), &by, sizeof(by));
	}
}

static struct translation *describe(struct code_cache *cc, struct code_page *cp, const struct parts *p)
{
	const struct stored_block *h = p->head;
	struct translation *t = jit_translation_new(cc, cp, h->n_links, 1, h->n_insns, 0);

	if (!t || !jit_count_executions(cc, t))
		return NULL;
	t->mode = h->mode;
	t->abs_page = h->abs_page;
	t->off = h->off;
	t->tier = TIER_1;
	t->n_guest = h->n_guest;
	t->code_bytes = h->hot_bytes;
	t->cold_bytes = h->cold_bytes;
	t->known_at = h->known_at;
	memcpy(translation_insns(t), p->insn, h->n_insns * sizeof(*p->insn));
	*translation_ranges(t) = (struct jit_range){h->off, h->range_bytes};
	return t;
}

/* A hash is no proof; and the other pages of a record of equal words may differ in these. */
static bool all_have_it(const struct code_page *cp, const struct translation *t)
{
	for (uint32_t u = 0; u < (cp->exact ? cp->n_users : 1); u++)
		if (!record_is_made_from(t, cp->user[u].host))
			return false;
	return true;
}

static struct translation *place(struct code_cache *cc, struct code_page *cp, const struct parts *p)
{
	size_t room, cold_room;
	struct code_span span = code_mem_open(&cc->mem, false, &room);
	struct code_span cold = code_mem_open(&cc->mem, true, &cold_room);
	struct translation *t;

	if (room < p->head->hot_bytes || cold_room < p->head->cold_bytes)
		return NULL;
	t = describe(cc, cp, p);
	if (!t || !all_have_it(cp, t))
		return NULL;
	near_set(&t->code, span.rx);
	near_set(&t->cold, cold.rx);
	memcpy(span.rw, p->hot, t->code_bytes);
	memcpy(cold.rw, p->cold, t->cold_bytes);
	get_links(t, p->link);
	fix(cc, t, p->fixup, p->head->n_fixups);
	code_mem_commit(&cc->mem, &span, t->code_bytes);
	code_mem_commit(&cc->mem, &cold, t->cold_bytes);
	return t;
}

struct translation *stored_block_take(struct code_cache *cc, struct code_page *cp, uint32_t off, uint32_t mode,
				      uint64_t abs_page)
{
	struct store_place at = {.abs_page = abs_page, .mode = mode, .off = off};
	const void *block;
	struct parts p;
	uint32_t bytes;

	if (!cp->n_users || off % 4 || off >= PAGE_BYTES)
		return NULL;
	block = store_find(cc->cfg.store, &at, cp->user[0].host, &bytes);
	if (!block || !is_block(cc, (uint8_t *)(uintptr_t)block, bytes, off, mode, abs_page, &p))
		return NULL;
	return place(cc, cp, &p);
}
