/* SPDX-License-Identifier: MIT */
/* What is known of the blocks that there are: found by place and guest words. */
#include <stdlib.h>
#include <string.h>

#include "jit/store/store_internal.h"

uint64_t store_hash_first(const struct store_place *at, uint32_t word)
{
	struct {
		uint64_t abs_page;
		uint32_t mode, off, word, unused;
	} k = {at->abs_page, at->mode, at->off, word, 0};

	return XXH3_64bits(&k, sizeof(k));
}

uint64_t store_hash_words(uint64_t first, const void *words, uint32_t n)
{
	return XXH3_64bits_withSeed(words, 4 * (size_t)n, first);
}

static uint32_t *bucket_of(struct store *s, uint32_t first) { return &s->bucket[first & (s->n_buckets - 1)]; }

struct known *known_find(struct store *s, const struct store_row *row)
{
	if (!s->n_buckets)
		return NULL;
	for (uint32_t i = *bucket_of(s, row->first); i; i = s->known[i].next) {
		struct known *k = &s->known[i];

		if (k->first == row->first && k->words == row->words && k->state != KNOWN_GONE &&
		    (k->n_words & STORE_WORDS_MAX) == store_row_words(row))
			return k;
	}
	return NULL;
}

static bool make_room(struct store *s)
{
	uint32_t room = s->room ? 2 * s->room : 4096, *bucket;
	struct known *known;

	if (s->n_known < s->room)
		return true;
	if (room > UINT32_MAX / sizeof(*known))
		return false;
	known = realloc(s->known, room * sizeof(*known));
	if (!known)
		return false;
	s->known = known;
	bucket = calloc(room, sizeof(*bucket));
	if (!bucket)
		return false;
	free(s->bucket);
	s->bucket = bucket;
	s->n_buckets = s->room = room;
	if (!s->n_known)
		s->known[s->n_known++] = (struct known){.state = KNOWN_GONE};
	for (uint32_t i = 1; i < s->n_known; i++) {
		uint32_t *head = bucket_of(s, known[i].first);

		known[i].next = *head;
		*head = i;
	}
	return true;
}

struct known *known_add(struct store *s, const struct store_row *row, enum known_state state)
{
	struct known *k;
	uint32_t *head;

	if (!make_room(s))
		return NULL;
	k = known_find(s, row);
	if (k) {
		k->state = KNOWN_GONE;
		s->twice += store_row_room(k->n_words >> 8);
	}
	k = &s->known[s->n_known];
	head = bucket_of(s, row->first);
	*k = (struct known){.words = row->words,
			    .at = row->at,
			    .first = row->first,
			    .n_words = row->n_words,
			    .next = *head,
			    .state = state};
	*head = s->n_known++;
	return k;
}
