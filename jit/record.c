/* SPDX-License-Identifier: MIT */
/* Code records: which page has which, found by what is in it. */
#include <stdlib.h>
#include <string.h>

#include "jit/jit_internal.h"

static struct code_page **bucket_of(struct code_cache *cc, XXH128_hash_t hash)
{
	return &cc->record[hash.low64 % RECORD_BUCKETS];
}

static struct code_page **place_of(struct code_cache *cc, uint64_t place)
{
	return &cc->place[(place >> PAGE_SHIFT) % RECORD_BUCKETS];
}

static void give_place(struct code_page *cp, uint64_t place)
{
	struct code_page **at = place_of(cp->cc, place);

	cp->place = place;
	cp->next_here = *at;
	*at = cp;
}

static void take_place(struct code_page *cp)
{
	struct code_page **at = place_of(cp->cc, cp->place);

	while (*at != cp)
		at = &(*at)->next_here;
	*at = cp->next_here;
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
	if (cp->place)
		take_place(cp);
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

/*
 * The page may be another machine's, which is storing there at this moment, in what it takes for data.  Either the new word is seen here,
 * or that machine finds what is about to be added: it stores first and looks then, and looks with the lock (jit_written()).
 */
__attribute__((no_sanitize("thread"))) static bool has_word(const uint8_t *host, uint32_t off, uint32_t word,
							    uint32_t mode)
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

/* Is all that was made for the record made from what the page says? */
static bool agrees(const struct code_page *cp, const void *host)
{
	for (unsigned g = 0; g < CODE_GRANULES; g++)
		for (const struct translation *t = cp->bucket[g]; t; t = translation_next(t))
			if (!record_is_made_from(t, host))
				return false;
	return true;
}

bool record_users_agree(const struct code_page *cp, const struct ir_block *b)
{
	for (uint32_t u = 0; u < cp->n_users; u++)
		for (uint32_t i = 0; i < b->n_guest; i++)
			if (!has_word(cp->user[u].host, (uint32_t)b->guest[i].off, b->guest[i].word, b->mode))
				return false;
	return true;
}

/*
 * The record of that place with the most translations whose words are those of the page; b: to which it may be added as well.  Only those
 * whose pages can leave it, should something be added that is not so in theirs.
 */
static struct code_page *record_here(struct code_cache *cc, uint64_t place, const void *host, const struct ir_block *b)
{
	struct code_page *best = NULL;

	for (struct code_page *cp = *place_of(cc, place); cp; cp = cp->next_here)
		if (cp->place == place && !cp->n_stay && cp->n > (best ? best->n : 0) && agrees(cp, host) &&
		    (!b || record_users_agree(cp, b)))
			best = cp;
	return best;
}

bool record_better_elsewhere(const struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page)
{
	if (cp->n_users != 1 || cp->n_stay)
		return false;
	for (struct code_page *o = *place_of(cp->cc, cp->place); o; o = o->next_here)
		if (o != cp && o->place == cp->place && !o->n_stay && o->n > cp->n &&
		    find_tier1(o, off, mode, abs_page) && agrees(o, cp->user[0].host))
			return true;
	return false;
}

/*
 * A hash is no proof: a guest could make a page of the same one, and another would then run what that says.  Without a page to
 * compare with there are the words that everything was made from.
 */
static bool is_of(const struct code_page *cp, const void *host)
{
	if (cp->n_users)
		return memcmp(cp->user[0].host, host, PAGE_BYTES) == 0;
	return agrees(cp, host);
}

/* ---- users ---- */

static void attach(struct code_page *cp, void **slot, const void *host, bool stays)
{
	if (cp->n_users == cp->room) {
		uint32_t room = cp->room ? 2 * cp->room : 1;
		struct code_user *user = realloc(cp->user, room * sizeof(*user));

		if (!user)
			panic("out of host memory for a code record");
		cp->user = user;
		cp->room = room;
	}
	cp->user[cp->n_users++] = (struct code_user){slot, host, stays};
	cp->n_stay += stays;
	__atomic_store_n(slot, cp, __ATOMIC_RELEASE);
}

static void detach(struct code_page *cp, void **slot)
{
	uint32_t i = 0;

	while (cp->user[i].slot != slot)
		i++;
	cp->n_stay -= cp->user[i].stays;
	cp->user[i] = cp->user[--cp->n_users];
	__atomic_store_n(slot, NULL, __ATOMIC_RELEASE);
	if (cp->exact && !cp->place) {
		/* nothing leads to it any more, and nothing will */
		drop_covering(cp->cc, NULL, cp, 0, PAGE_BYTES);
	}
	record_settle(cp);
}

static struct code_page *record_alike(struct code_cache *cc, uint64_t place, const void *host, const struct ir_block *b)
{
	struct code_page *cp = place ? record_here(cc, place, host, b) : NULL;

	if (cp)
		record_make_exact(cp);
	cc->stats.records_alike += cp != NULL;
	return cp;
}

static struct code_page *record_same(struct code_cache *cc, const void *host, XXH128_hash_t hash)
{
	struct code_page *cp = *bucket_of(cc, hash);

	while (cp && !(XXH128_isEqual(cp->hash, hash) && is_of(cp, host)))
		cp = cp->alike;
	cc->stats.records_shared += cp != NULL;
	return cp;
}

/* Holding the lock. b: what is to be translated there, or NULL. */
static void find_record(struct code_cache *cc, void **slot, const void *host, uint64_t place, bool exact,
			const struct ir_block *b)
{
	XXH128_hash_t hash = exact ? (XXH128_hash_t){0} : XXH3_128bits(host, PAGE_BYTES);
	struct code_page *cp;

	if (!cc->cfg.content_writes)
		place = 0; /* there are no others */
	cp = b ? record_alike(cc, place, host, b) : NULL;
	if (!cp && !exact)
		cp = record_same(cc, host, hash);
	if (!cp)
		cp = record_alike(cc, place, host, b);
	if (!cp)
		cp = record_new(cc, exact, hash);
	if (place && !cp->place)
		give_place(cp, place);
	attach(cp, slot, host, place == 0);
}

struct code_page *jit_code_page(struct jit *j, void **slot, const void *host, uint64_t place, bool exact)
{
	struct code_cache *cc = j->cc;
	struct code_page *cp = __atomic_load_n(slot, __ATOMIC_ACQUIRE);

	if (cp)
		return cp;
	pthread_mutex_lock(&cc->lock); /* whatever a flush waits for: it holds nothing of ours */
	if (!*slot)
		find_record(cc, slot, host, place, exact, NULL);
	cp = *slot;
	pthread_mutex_unlock(&cc->lock);
	return cp;
}

void jit_move_page(struct jit *j, void **slot, const void *host, uint64_t place, const struct ir_block *b)
{
	pthread_mutex_lock(&j->cc->lock);
	j->moved = true;
	detach(*slot, slot);
	find_record(j->cc, slot, host, place, false, b);
	pthread_mutex_unlock(&j->cc->lock);
}

bool jit_page_stays(struct jit *j, void **slot)
{
	struct code_page *cp;
	bool leaves;

	pthread_mutex_lock(&j->cc->lock);
	cp = *slot;
	leaves = cp && cp->exact && cp->n_users > 1;
	if (leaves)
		detach(cp, slot);
	for (uint32_t i = 0; cp && !leaves && i < cp->n_users; i++)
		if (cp->user[i].slot == slot && !cp->user[i].stays) {
			cp->user[i].stays = true;
			cp->n_stay++;
		}
	pthread_mutex_unlock(&j->cc->lock);
	return leaves;
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

/* Off its record, which stays for the next page like that. */
static bool leave(struct code_cache *cc, struct code_page *cp, void **slot)
{
	cc->stats.pages_changed++;
	detach(cp, slot);
	return true;
}

static bool written(struct jit *j, void **slot, uint8_t *writes, uint32_t off, uint32_t bytes)
{
	struct code_page *cp = *slot;
	bool often = jit_wants_exact(j, *writes), hit;

	if (!cp)
		return false;
	if (!cp->exact && (!often || cp->n_users > 1)) {
		*writes += !often;
		return leave(j->cc, cp, slot);
	}
	record_make_exact(cp);
	if (cp->place && (!often || cp->n_users > 1)) {
		if (!is_translated(cp, off, bytes)) {
			forget_pending(cp, off, bytes);
			return false;
		}
		*writes += !often;
		return leave(j->cc, cp, slot);
	}
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

bool jit_others_add(struct jit *j, void **slot)
{
	const struct code_page *cp;
	bool others;

	if (!__atomic_load_n(slot, __ATOMIC_ACQUIRE))
		return false;
	jit_lock_running(j);
	cp = *slot;
	others = cp && cp->n_users > 1;
	jit_unlock(j);
	return others;
}
