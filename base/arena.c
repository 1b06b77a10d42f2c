/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"

#define CHUNK_BYTES ((size_t)64 << 10)

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, size;
	_Alignas(16) unsigned char data[];
};

static struct arena_chunk *chunk_new(struct arena_chunk *next, size_t size)
{
	struct arena_chunk *c = malloc(sizeof(*c) + size);

	if (!c)
		panic("out of host memory (%zu bytes)", size);
	c->next = next;
	c->used = 0;
	c->size = size;
	return c;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	struct arena_chunk *c = a->chunk;
	void *p;

	bytes = (bytes + 15) & ~(size_t)15;
	if (!c || c->size - c->used < bytes)
		c = a->chunk = chunk_new(c, bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES);
	p = c->data + c->used;
	c->used += bytes;
	return memset(p, 0, bytes);
}

void arena_reset(struct arena *a)
{
	struct arena_chunk *c = a->chunk;

	while (c && c->next) {
		struct arena_chunk *next = c->next;

		free(c);
		c = next;
	}
	if (c)
		c->used = 0;
	a->chunk = c;
}

void arena_free(struct arena *a)
{
	arena_reset(a);
	free(a->chunk);
	a->chunk = NULL;
}
