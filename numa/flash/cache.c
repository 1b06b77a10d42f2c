/* SPDX-License-Identifier: MIT */
#include "numa/flash/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int cache_init(struct cache *c, uint64_t sets, unsigned ways)
{
	size_t bytes = sets * ways * sizeof(*c->way);

	*c = (struct cache){.set_mask = sets - 1, .ways = ways, .way = malloc(bytes)};
	if (!c->way)
		return -ENOMEM;
	memset(c->way, 0xff, bytes);
	return 0;
}

void cache_fini(struct cache *c) { free(c->way); }

bool cache_remove(struct cache *c, uint64_t line)
{
	uint64_t *set, *word = cache_find(c, line);

	if (!word)
		return false;
	set = cache_set(c, line);
	memmove(word, word + 1, (size_t)(set + c->ways - 1 - word) * sizeof(*set));
	set[c->ways - 1] = CACHE_NONE;
	return true;
}

void cache_disown(struct cache *c, uint64_t line)
{
	uint64_t *word = cache_find(c, line);

	if (word)
		*word &= ~CACHE_OWNED;
}
