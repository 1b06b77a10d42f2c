/* SPDX-License-Identifier: MIT */
/* Which translation jumps to which.  The picture is in jit_internal.h. */
#include <string.h>

#include "jit/jit_internal.h"

#ifdef __clang__
__attribute__((no_sanitize("function"))) /* generated code carries no type */
#endif
static void
serialize(const struct code_cache *cc)
{
	cc->stubs.serialize();
}

static bool is_abs(const struct translation *t) { return t->mode & MODE_ABS; }

void jit_link_init(struct translation *t, unsigned index, struct ir_target pc, bool is_return)
{
	bool same_page = pc.kind == TGT_PAGE && pc.v >= 0 && pc.v < (int64_t)PAGE_BYTES;
	struct jit_link *l = &t->links[index];

	*l = (struct jit_link){.index = (uint16_t)index, .pc_kind = pc.kind, .pc = (uint32_t)pc.v};
	ASSERT(link_pc(l).v == pc.v);
	if (is_return)
		l->kind = LINK_RETURN;
	else
		l->kind = same_page || (is_abs(t) && ((uint64_t)pc.v & ~PAGE_MASK) == t->abs_page) ? LINK_NEAR
			  : is_abs(t)                                                              ? LINK_ABS
												   : LINK_FAR;
}

/* Is `to` what this link wants, whenever its owner runs?  All but near links check what is there as they go. */
static bool may_connect(const struct jit_link *l, const struct translation *to)
{
	const struct translation *from = link_owner(l);
	uint64_t pc = (uint64_t)link_pc(l).v;

	if (from->dead || to->dead || from->mode != to->mode)
		return false;
	if ((pc & PAGE_MASK) != to->off)
		return false;
	if (is_abs(from) && pc != to->abs_page + to->off)
		return false;
	return l->kind != LINK_NEAR || to->cp == from->cp;
}

/* Make the jump whose displacement is at `site` go to `to`. NULL: the EXITIF of this exit turned out never to leave. */
static void patch(struct code_cache *cc, uint8_t *site, const void *to)
{
	uint64_t eight;
	int32_t rel;
	uint8_t *p;
	size_t at;

	if (!site)
		return;
	/* others may run it: one store of the eight bytes around it, see emit_link_jump(); nobody else changes them meanwhile */
	at = (uintptr_t)site % sizeof(eight);
	ASSERT(at + sizeof(rel) <= sizeof(eight));
	rel = (int32_t)((const uint8_t *)to - (site + 4));
	p = code_mem_rw(&cc->mem, site - at);
	memcpy(&eight, p, sizeof(eight));
	memcpy((uint8_t *)&eight + at, &rel, sizeof(rel));
	__atomic_store_n((uint64_t *)(void *)p, eight, __ATOMIC_RELEASE);
	__atomic_fetch_add(&cc->patches, 1, __ATOMIC_RELEASE);
}

void jit_link_settle(struct jit *j)
{
	uint32_t patches = __atomic_load_n(&j->cc->patches, __ATOMIC_ACQUIRE);

	if (patches != j->patches)
		serialize(j->cc);
	j->patches = patches;
}

/* To `to`, which has what the link leads to, if it is linked, else to what asks for it. */
static void lead(struct code_cache *cc, struct jit_link *l, const struct translation *to)
{
	uint8_t *far_site = near_get(&l->far_site), *stub = near_get(&l->stub);

	switch ((enum jit_link_kind)l->kind) {
	case LINK_NEAR:
		patch(cc, near_get(&l->site), to ? translation_body(to) : stub);
		break;
	case LINK_ABS:
		patch(cc, near_get(&l->site), to ? translation_known(to) : stub);
		break;
	case LINK_FAR: /* the tail of the stub is behind its jump */
		patch(cc, far_site, to ? translation_entry(to) : far_site + 4);
		break;
	case LINK_RETURN:
		__atomic_store_n(&l->target, to ? translation_entry(to) : stub, __ATOMIC_RELEASE);
		break;
	}
}

void jit_link_disconnect(struct code_cache *cc, struct jit_link *l)
{
	struct jit_link *next = near_get(&l->next_in);
	struct near_ref *prev = near_get(&l->prev_in);

	if (!link_to(l))
		return;
	lead(cc, l, NULL);
	near_set(prev, next);
	if (next)
		near_set(&next->prev_in, prev);
	near_set(&l->to, NULL);
}

void jit_link_connect(struct code_cache *cc, struct jit_link *l, struct translation *to)
{
	struct jit_link *next;

	if (!may_connect(l, to) || (l->kind != LINK_NEAR && !jit_entry(cc, to)))
		return;
	jit_link_disconnect(cc, l);
	next = near_get(&to->incoming);
	near_set(&l->to, to);
	near_set(&l->next_in, next);
	near_set(&l->prev_in, &to->incoming);
	if (next)
		near_set(&next->prev_in, &l->next_in);
	near_set(&to->incoming, l);
	lead(cc, l, to);
	cc->stats.links_made++;
}

/*
 * Jump cache entries of t: its virtual page is not known, but pc bits 11:2 of the index are.  to NULL: forget them.  Of another
 * vCPU only the address is changed, and only if it is t's: with the key that is there it means the same.
 */
static void replace_jump_cache(struct jit *j, const struct translation *t, const uint8_t *to)
{
	if (!translation_entry(t))
		return;
	for (unsigned i = t->off >> 2; i < JUMP_CACHE_ENTRIES; i += PAGE_BYTES >> 2) {
		struct jump_cache_entry *e = &j->jump_cache->e[i];
		void *was = translation_entry(t);

		if (to)
			__atomic_compare_exchange_n(&e->entry, &was, (void *)(uintptr_t)to, false, __ATOMIC_RELAXED,
						    __ATOMIC_RELAXED);
		else if (e->entry == was)
			*e = (struct jump_cache_entry){JUMP_KEY_NONE, NULL};
	}
}

void jit_link_move_incoming(struct code_cache *cc, struct translation *from, struct translation *to)
{
	const uint8_t *entry;

	for (struct jit_link *l = near_get(&from->incoming), *next; l; l = next) {
		next = near_get(&l->next_in);
		jit_link_connect(cc, l, to);
	}
	if (!translation_entry(from))
		return;
	entry = jit_entry(cc, to);
	pthread_mutex_lock(&cc->list_lock);
	for (struct jit *j = cc->jits; entry && j; j = j->next)
		replace_jump_cache(j, from, entry);
	pthread_mutex_unlock(&cc->list_lock);
}

void jit_link_isolate(struct code_cache *cc, struct jit *j, struct translation *t)
{
	struct jit_link *l;

	while ((l = near_get(&t->incoming)) != NULL)
		jit_link_disconnect(cc, l);
	for (unsigned i = 0; i < t->n_links; i++)
		jit_link_disconnect(cc, &t->links[i]);
	if (!j)
		return;
	replace_jump_cache(j, t, NULL);
	if (j->side_cache[t->off >> 2].body == translation_body(t))
		j->side_cache[t->off >> 2] = (struct side_cache_entry){.key = JUMP_KEY_NONE};
}

/* ---- what a vCPU remembers ---- */

/* Without the lock: if it dies now, it is of a record that this vCPU's page has not any more, or its slot is checked. */
static bool is_dead(const struct translation *t) { return __atomic_load_n(&t->dead, __ATOMIC_RELAXED); }

void jit_link(struct jit *j, struct translation *to)
{
	struct jit_link *l;

	pthread_mutex_lock(&j->cc->lock); /* `to` is about to be run: no flush can have begun to wait and ended since */
	l = j->gs->link;
	j->gs->link = NULL;
	if (l)
		jit_link_connect(j->cc, l, to);
	pthread_mutex_unlock(&j->cc->lock);
}

void jit_cache_side(struct jit *j, uint64_t pc, struct translation *t)
{
	if (is_dead(t) || t->tier != TIER_1 || (pc & PAGE_MASK) != t->off || pc > UINT32_MAX)
		return;
	if (is_abs(t) && pc != t->abs_page + t->off)
		return;
	j->side_cache[t->off >> 2] = (struct side_cache_entry){
	    .key = JUMP_KEY(pc, t->mode),
	    .body = translation_body(t),
	    .mode = t->mode,
	    .id = t->cp->id,
	};
}

void jit_cache_jump(struct jit *j, uint64_t pc, struct translation *to)
{
	struct jump_cache_entry *e;
	const uint8_t *entry = translation_entry(to);

	if (is_dead(to) || (pc & PAGE_MASK) != to->off || pc > UINT32_MAX)
		return;
	if (is_abs(to) && pc != to->abs_page + to->off)
		return;
	if (!entry) {
		pthread_mutex_lock(&j->cc->lock); /* as in jit_link() */
		entry = jit_entry(j->cc, to);
		pthread_mutex_unlock(&j->cc->lock);
	}
	if (!entry)
		return;
	e = &j->jump_cache->e[jump_cache_index(pc)];
	__atomic_store_n(&e->key, JUMP_KEY(pc, to->mode), __ATOMIC_RELAXED);
	__atomic_store_n(&e->entry, (void *)(uintptr_t)entry, __ATOMIC_RELAXED);
}
