/* SPDX-License-Identifier: MIT */
/* Which translation jumps to which.  The picture is in jit_internal.h. */
#include <string.h>

#include "jit/jit_internal.h"

#ifdef __clang__
__attribute__((no_sanitize("function"))) /* generated code carries no type */
#endif
static void
serialize(const struct jit *j)
{
	j->stubs.serialize();
}

static bool is_abs(const struct translation *t) { return t->mode & MODE_ABS; }

void jit_link_init(struct jit_link *l, struct translation *owner, struct ir_target pc, bool is_return)
{
	*l = (struct jit_link){.owner = owner, .pc = pc};
	bool same_page = pc.kind == TGT_PAGE && pc.v >= 0 && pc.v < (int64_t)PAGE_BYTES;
	if (is_return)
		l->kind = LINK_RETURN;
	else
		l->kind = is_abs(owner) || same_page ? LINK_NEAR : LINK_FAR;
}

/* Is `to` what this link wants, whenever its owner runs?  Far and return links check the mapping as they go. */
static bool may_connect(const struct jit_link *l, const struct translation *to)
{
	const struct translation *from = l->owner;
	if (from->dead || to->dead || from->mode != to->mode)
		return false;
	if (((uint64_t)l->pc.v & PAGE_MASK) != to->off)
		return false;
	if (is_abs(from))
		return (uint64_t)l->pc.v == to->abs_page + to->off;
	return l->kind != LINK_NEAR || to->cp == from->cp;
}

/* Make the jump whose displacement is at `site` go to `to`. NULL: the EXITIF of this exit turned out never to leave. */
static void patch(struct jit *j, uint8_t *site, const void *to)
{
	int32_t rel;

	if (!site)
		return;
	rel = (int32_t)((const uint8_t *)to - (site + 4));
	memcpy(code_mem_rw(&j->mem, site), &rel, sizeof(rel));
	j->patched = true;
}

void jit_link_settle(struct jit *j)
{
	if (j->patched)
		serialize(j);
	j->patched = false;
}

void jit_link_disconnect(struct jit *j, struct jit_link *l)
{
	if (!l->to)
		return;
	if (l->kind == LINK_NEAR)
		patch(j, l->site, l->stub);
	else if (l->kind == LINK_FAR)
		patch(j, l->far_site, l->tail);
	else
		l->target = l->tail;
	*l->prev_in = l->next_in;
	if (l->next_in)
		l->next_in->prev_in = l->prev_in;
	l->to = NULL;
}

void jit_link_connect(struct jit *j, struct jit_link *l, struct translation *to)
{
	if (!may_connect(l, to))
		return;
	jit_link_disconnect(j, l);
	l->to = to;
	l->next_in = to->incoming;
	l->prev_in = &to->incoming;
	if (l->next_in)
		l->next_in->prev_in = &l->next_in;
	to->incoming = l;
	switch ((enum jit_link_kind)l->kind) {
	case LINK_NEAR:
		patch(j, l->site, to->body);
		break;
	case LINK_FAR:
		patch(j, l->far_site, to->entry);
		break;
	case LINK_RETURN:
		l->target = to->entry;
		break;
	}
	j->stats.links_made++;
}

/*
 * Jump cache entries of t: its virtual page is not known, but pc bits 11:2 of the index are.  to NULL: forget them.
 */
static void replace_jump_cache(struct jit *j, const struct translation *t, struct translation *to)
{
	for (unsigned i = t->off >> 2; i < JUMP_CACHE_ENTRIES; i += PAGE_BYTES >> 2) {
		struct jump_cache_entry *e = &j->jump_cache->e[i];
		if (e->entry != t->entry)
			continue;
		if (to)
			e->entry = to->entry;
		else
			*e = (struct jump_cache_entry){JUMP_KEY_NONE, NULL};
	}
}

void jit_link_move_incoming(struct jit *j, struct translation *from, struct translation *to)
{
	for (struct jit_link *l = from->incoming, *next; l; l = next) {
		next = l->next_in;
		jit_link_connect(j, l, to);
	}
	replace_jump_cache(j, from, to);
}

void jit_link_isolate(struct jit *j, struct translation *t)
{
	while (t->incoming)
		jit_link_disconnect(j, t->incoming);
	for (unsigned i = 0; i < t->n_links; i++)
		jit_link_disconnect(j, &t->links[i]);
	replace_jump_cache(j, t, NULL);
	if (j->side_cache[t->off >> 2].body == t->body)
		j->side_cache[t->off >> 2] = (struct side_cache_entry){.key = JUMP_KEY_NONE};
}

void jit_link(struct jit *j, struct translation *to)
{
	struct jit_link *l = j->cfg.gs->link;
	j->cfg.gs->link = NULL;
	if (l)
		jit_link_connect(j, l, to);
}

void jit_cache_side(struct jit *j, uint64_t pc, struct translation *t)
{
	if (t->dead || t->tier != TIER_1 || (pc & PAGE_MASK) != t->off || pc > UINT32_MAX)
		return;
	if (is_abs(t) && pc != t->abs_page + t->off)
		return;
	j->side_cache[t->off >> 2] = (struct side_cache_entry){
	    .key = JUMP_KEY(pc, t->mode),
	    .at = is_abs(t) ? NULL : (const char *)t->cp->page_key + t->off,
	    .body = t->body,
	    .mode = t->mode,
	};
}

void jit_cache_jump(struct jit *j, uint64_t pc, struct translation *to)
{
	if (to->dead || (pc & PAGE_MASK) != to->off || pc > UINT32_MAX)
		return;
	if (is_abs(to) && pc != to->abs_page + to->off)
		return;
	j->jump_cache->e[jump_cache_index(pc)] = (struct jump_cache_entry){JUMP_KEY(pc, to->mode), to->entry};
}
