/* SPDX-License-Identifier: MIT */
#ifndef NUMA_FLASH_CACHE_H
#define NUMA_FLASH_CACHE_H

/*
 * A set-associative cache of lines, least recently used out first.  A line has its right to write in the same word, so that one
 * compare decides that an access to the line used last is a hit:
 *
 *	 63       62                                   0
 *	+--------+--------------------------------------+
 *	| OWNED  |  line: address / bytes of a line     |      CACHE_NONE: nothing
 *	+--------+--------------------------------------+
 *
 * The ways of a set are in the order of their use, the latest first, and what is empty is behind the others.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/panic.h"

#define CACHE_OWNED ((uint64_t)1 << 63)
#define CACHE_NONE  UINT64_MAX

struct cache {
	uint64_t *way; /* [sets][ways] */
	uint64_t set_mask;
	unsigned ways;
};

/* sets: power of two.  0 or -ENOMEM. */
MUST_CHECK int cache_init(struct cache *c, uint64_t sets, unsigned ways);
void cache_fini(struct cache *c);

static inline uint64_t *cache_set(const struct cache *c, uint64_t line)
{
	return &c->way[(line & c->set_mask) * c->ways];
}

/* The word of the line, NULL: it is not there.  No word is changed but by the functions below. */
static inline uint64_t *cache_find(const struct cache *c, uint64_t line)
{
	uint64_t *set = cache_set(c, line);

	for (unsigned i = 0; i < c->ways; i++)
		if ((set[i] & ~CACHE_OWNED) == line)
			return &set[i];
	return NULL;
}

/* word, found by cache_find(), is the one used last; and it becomes `now`, the same line.  */
static inline void cache_use(struct cache *c, uint64_t *word, uint64_t now)
{
	uint64_t *set = cache_set(c, now & ~CACHE_OWNED);

	for (; word != set; word--)
		*word = word[-1];
	*set = now;
}

/* A line that is not there, as the one used last.  Returns what had to go, or CACHE_NONE. */
static inline uint64_t cache_insert(struct cache *c, uint64_t word)
{
	uint64_t *last = cache_set(c, word & ~CACHE_OWNED) + c->ways - 1, gone = *last;

	cache_use(c, last, word);
	return gone;
}

/* Take the line away; false: it was not there. */
bool cache_remove(struct cache *c, uint64_t line);
/* Take the right to write to it away, if it is there; its use does not change. */
void cache_disown(struct cache *c, uint64_t line);

#endif
