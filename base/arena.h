/* SPDX-License-Identifier: MIT */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

/*
 * A bump allocator for things that die together (an IR block and its passes' scratch).
 * Memory is zeroed.  Not thread-safe: one arena, one thread at a time.
 */
struct arena_chunk;
struct arena {
	struct arena_chunk *chunk; /* newest first */
};

/* Never returns NULL: running out of host memory here is a panic. Cost: O(bytes) for the zeroing. */
void *arena_alloc(struct arena *a, size_t bytes);
/* Forget everything but keep the first chunk, so that the next block allocates nothing. */
void arena_reset(struct arena *a);
void arena_free(struct arena *a);

#define arena_new(a, type, n) ((type *)arena_alloc((a), sizeof(type) * (n)))

#endif
