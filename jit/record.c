/* SPDX-License-Identifier: MIT */
/* Code records: which page has which, found by what is in it. */
#include <stdlib.h>
#include <string.h>

#include "jit/jit_internal.h"

static struct code_page **bucket_of(struct code_cache *cc, XXH128_hash_t hash)
{
	return &cc->record[hash.low64 % RECORD_BUCKETS];
}

static void unhash(struct code_page *cp)
{
	struct code_page **at = bucket_of(cp->cc, cp->hash);

	while (*at != cp)
		at = &(*at)->alike;
	*at = cp->alike;
}

void record_make_exact(struct code_page *cp)
{
	if (cp->exact)
		return;
	unhash(cp);
	cp->exact = true;
}

static struct code_page *record_new(struct code_cache *cc, bool exact, XXH128_hash_t hash)
{
	struct code_page *cp = calloc(1, sizeof(*cp)), **at;

	if (!cp)
		panic("out of host memory for a code record");
	cp->cc = cc;
	cp->id = ++cc->last_id;
	if (!cp->id)
		panic("out of numbers for code records");
	cp->exact = exact;
	cp->hash = hash;
	cp->next = cc->pages;
	cp->prev = &cc->pages;
	if (cp->next)
		cp->next->prev = &cp->next;
	cc->pages = cp;
	if (!exact) {
		at = bucket_of(cc, hash);
		cp->alike = *at;
		*at = cp;
	}
	cc->stats.records++;
	cc->stats.records_exact += exact;
	return cp;
}

static void record_free(struct code_page *cp)
{
	if (!cp->exact)
		unhash(cp);
	*cp->prev = cp->next;
	if (cp->next)
		cp->next->prev = cp->prev;
	free(cp->user);
	free(cp);
}

void record_settle(struct code_page *cp)
{
	if (!cp->n_users && !cp->n && !cp->n_pending)
		record_free(cp);
}

void records_settle(struct code_cache *cc)
{
	for (struct code_page *cp = cc->pages, *next; cp; cp = next) {
		next = cp->next;
		record_settle(cp);
	}
}

/* ---- is a page what a record is of? ---- */

static bool has_word(const uint8_t *host, uint32_t off, uint32_t word, uint32_t mode)
{
	uint32_t w;

	if (off >= PAGE_BYTES) /* a delay slot in the next page: checked whenever it is executed */
		return true;
	memcpy(&w, host + off, sizeof(w));
	return (mode & MODE_BE ? __builtin_bswap32(w) : w) == word;
}

bool record_is_made_from(const struct translation *t, const void *page)
{
	const uint8_t *host = page;
	const struct jit_insn *insn = translation_insns(t);
	const struct jit_word *word = translation_words(t);

	for (unsigned i = 0; i < t->n_insns; i++)
		if (!has_word(host, 4u * insn[i].off4, insn[i].word, t->mode))
			return false;
	for (unsigned i = 0; i < t->n_words; i++)
		if (!has_word(host, word[i].off, word[i].word, t->mode))
			return false;
	return true;
}

/*
 * A hash is no proof: a guest could make a page of the same one, and another would then run what that says.  Without a page to
 * compare with there are the words that everything was made from.
 */
static bool is_of(const struct code_page *cp, const void *host)
{
	if (cp->n_users)
		return memcmp(cp->user[0].host, host, PAGE_BYTES) == 0;
	for (unsigned g = 0; g < CODE_GRANULES; g++)
		for (const struct translation *t = cp->bucket[g]; t; t = translation_next(t))
			if (!record_is_made_from(t, host))
				return false;
	return true;
}

/* ---- users ---- */

static void attach(struct code_page *cp, void **slot, const void *host)
{
	if (cp->n_users == cp->room) {
		uint32_t room = cp->room ? 2 * cp->room : 1;
		struct code_user *user = realloc(cp->user, room * sizeof(*user));

		if (!user)
			panic("out of host memory for a code record");
		cp->user = user;
		cp->room = room;
	}
	cp->user[cp->n_users++] = (struct code_user){slot, host};
	__atomic_store_n(slot, cp, __ATOMIC_RELEASE);
}

static void detach(struct code_page *cp, void **slot)
{
	uint32_t i = 0;

	while (cp->user[i].slot != slot)
		i++;
	cp->user[i] = cp->user[--cp->n_users];
	__atomic_store_n(slot, NULL, __ATOMIC_RELEASE);
	if (cp->exact) {
		/* nothing leads to it any more, and nothing will */
		drop_covering(cp->cc, NULL, cp, 0, PAGE_BYTES);
	}
	record_settle(cp);
}

struct code_page *jit_code_page(struct jit *j, void **slot, const void *host, bool exact)
{
	struct code_cache *cc = j->cc;
	struct code_page *cp = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
	XXH128_hash_t hash = {0};

	if (cp)
		return cp;
	pthread_mutex_lock(&cc->lock); /* whatever a flush waits for: it holds nothing of ours */
	cp = *slot;
	if (!cp && !exact) {
		hash = XXH3_128bits(host, PAGE_BYTES);
		for (cp = *bucket_of(cc, hash); cp; cp = cp->alike)
			if (XXH128_isEqual(cp->hash, hash) && is_of(cp, host))
				break;
		cc->stats.records_shared += cp != NULL;
	}
	if (!cp)
		cp = record_new(cc, exact, hash);
	if (!*slot)
		attach(cp, slot, host);
	pthread_mutex_unlock(&cc->lock);
	return cp;
}

bool jit_wants_exact(const struct jit *j, uint8_t writes) { return writes >= j->cc->cfg.content_writes; }

uint32_t jit_code_id(const struct code_page *cp) { return cp->id; }

void code_cache_detach(struct code_cache *cc, void **slot)
{
	pthread_mutex_lock(&cc->lock);
	if (*slot)
		detach(*slot, slot);
	pthread_mutex_unlock(&cc->lock);
}

/* ---- stores ---- */

static bool written(struct jit *j, void **slot, uint8_t *writes, uint32_t off, uint32_t bytes)
{
	struct code_page *cp = *slot;
	bool hit;

	if (!cp)
		return false;
	if (!cp->exact && (!jit_wants_exact(j, *writes) || cp->n_users > 1)) {
		*writes += !jit_wants_exact(j, *writes);
		j->cc->stats.pages_changed++;
		detach(cp, slot);
		return true;
	}
	record_make_exact(cp);
	hit = drop_covering(j->cc, j, cp, off, bytes);
	if (!is_covered(cp, 0, PAGE_BYTES)) {
		/* all of it is new, perhaps a program's page: it may be found by its content again */
		*writes -= *writes > 0;
		detach(cp, slot);
	}
	return hit;
}

bool jit_written(struct jit *j, void **slot, uint8_t *writes, uint32_t off, uint32_t bytes)
{
	bool hit;

	jit_lock_running(j);
	hit = written(j, slot, writes, off, bytes);
	jit_unlock(j);
	if (hit)
		jit_link_settle(j); /* a helper's caller goes on in generated code */
	return hit;
}

bool jit_is_code(struct jit *j, void **slot, uint32_t off, uint32_t bytes)
{
	const struct code_page *cp;
	bool is;

	if (!__atomic_load_n(slot, __ATOMIC_ACQUIRE))
		return false;
	jit_lock_running(j);
	cp = *slot;
	is = cp && (!cp->exact || is_translated(cp, off, bytes));
	jit_unlock(j);
	return is;
}
