/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "jit/jit_internal.h"

/* code_cache_audit(): is each record of what its pages hold, and does everything lead where it should? */

struct audit {
	const struct jit_audit *ask;
	struct code_cache *cc;
	struct jit_audited *out;
	char *first;
	size_t bytes;
};

static void PRINTF_LIKE(2, 3) wrong(struct audit *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!a->out->errors++)
		vsnprintf(a->first, a->bytes, fmt, ap);
	va_end(ap);
}

/* A device may be writing there; when it says that it has, the page leaves its record. */
static bool may_differ(const struct audit *a, const void *host)
{
	return a->ask->changing && a->ask->changing(a->ask->opaque, host);
}

static void check_users(struct audit *a, const struct code_page *cp)
{
	uint32_t stay = 0;

	if (cp->exact && cp->n_users > 1 && (!cp->place || cp->n_stay))
		wrong(a, "exact record %u has %u pages", cp->id, cp->n_users);
	for (uint32_t i = 0; i < cp->n_users; i++) {
		const struct code_user *u = &cp->user[i];
		XXH128_hash_t hash;

		a->out->pages++;
		stay += u->stays;
		if (__atomic_load_n(u->slot, __ATOMIC_ACQUIRE) != cp)
			wrong(a, "record %u has a page that is not of it", cp->id);
		if (cp->exact)
			continue;
		hash = XXH3_128bits(u->host, PAGE_BYTES);
		if (!XXH128_isEqual(hash, cp->hash) && !may_differ(a, u->host))
			wrong(a, "record %u has a page of another content", cp->id);
	}
	if (stay != cp->n_stay)
		wrong(a, "record %u has %u pages that stay, %u counted", cp->id, stay, cp->n_stay);
}

static void check_found(struct audit *a, const struct code_page *cp)
{
	const struct code_page *is = a->cc->record[cp->hash.low64 % RECORD_BUCKETS];

	while (is && is != cp)
		is = is->alike;
	if ((is == cp) == cp->exact)
		wrong(a, "record %u: is it found by its content or not?", cp->id);
	is = a->cc->place[(cp->place >> PAGE_SHIFT) % RECORD_BUCKETS];
	while (is && is != cp)
		is = is->next_here;
	if ((is == cp) != (cp->place != 0))
		wrong(a, "record %u: is it found by its place or not?", cp->id);
}

static bool in_code_memory(const struct code_cache *cc, const void *p, size_t bytes)
{
	const uint8_t *at = p;

	return at >= cc->mem.rx && bytes <= cc->mem.code_bytes && at <= cc->mem.rx + cc->mem.code_bytes - bytes;
}

static void check_links(struct audit *a, const struct translation *t)
{
	uint32_t id = t->cp->id;

	for (unsigned i = 0; i < t->n_links; i++) {
		const struct jit_link *l = &t->links[i];
		const struct translation *to = link_to(l);

		if (link_owner(l) != t)
			wrong(a, "record %u, %#x: a link is another's", id, t->off);
		if (to && (to->dead || near_get(near_get(&l->prev_in)) != l))
			wrong(a, "record %u, %#x: a link leads to what is dropped, or does not know of it", id, t->off);
	}
	for (const struct jit_link *l = near_get(&t->incoming); l; l = near_get(&l->next_in))
		if (link_to(l) != t || link_owner(l)->dead)
			wrong(a, "record %u, %#x: a link that leads there does not, or is dropped", id, t->off);
}

static void check_translation(struct audit *a, const struct code_page *cp, const struct translation *t,
			      unsigned granule)
{
	const struct jit_range *range = translation_ranges(t);

	a->out->translations++;
	if (t->cp != cp || t->dead || t->off >> CODE_GRANULE_SHIFT != granule)
		wrong(a, "record %u has a translation of %#x that is not its own, or dropped", cp->id, t->off);
	if (!in_code_memory(a->cc, near_get(&t->code), t->code_bytes) ||
	    !in_code_memory(a->cc, near_get(&t->cold), t->cold_bytes))
		wrong(a, "record %u, %#x: its code is outside of code memory", cp->id, t->off);
	for (uint32_t i = 0; i < cp->n_users && (!i || cp->exact); i++)
		if (!record_is_made_from(t, cp->user[i].host) && !may_differ(a, cp->user[i].host))
			wrong(a, "record %u, %#x: translated from other words than are there", cp->id, t->off);
	for (unsigned i = 0; i < t->n_ranges; i++)
		if (jit_granules(range[i].off, range[i].bytes) & ~cp->granules)
			wrong(a, "record %u, %#x: stores there would not be seen", cp->id, t->off);
	check_links(a, t);
}

static void check_record(struct audit *a, const struct code_page *cp)
{
	uint32_t n = 0;

	a->out->records++;
	check_users(a, cp);
	check_found(a, cp);
	for (unsigned g = 0; g < CODE_GRANULES; g++)
		for (const struct translation *t = cp->bucket[g]; t; t = translation_next(t), n++)
			check_translation(a, cp, t, g);
	if (n != cp->n)
		wrong(a, "record %u has %u translations, %u counted", cp->id, n, cp->n);
	if (!cp->n_users && !cp->n && !cp->n_pending)
		wrong(a, "record %u is nobody's, and there", cp->id);
}

void code_cache_audit(struct code_cache *cc, const struct jit_audit *ask, struct jit_audited *out, char *first,
		      size_t bytes)
{
	struct audit a = {.ask = ask, .cc = cc, .out = out, .first = first, .bytes = bytes};

	*out = (struct jit_audited){0};
	pthread_mutex_lock(&cc->lock);
	for (const struct code_page *cp = cc->pages; cp; cp = cp->next)
		check_record(&a, cp);
	pthread_mutex_unlock(&cc->lock);
}
