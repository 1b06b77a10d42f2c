/* SPDX-License-Identifier: MIT */
#ifndef JIT_CODE_MEM_H
#define JIT_CODE_MEM_H

/*
 * Memory for generated code and for the data it names rip-relative.
 *
 *	one reservation, < 2 GiB            elsewhere
 *	+-----------+----------------+      +-----------+
 *	| rx: code  | data (plain rw)|      | rw: code  |   rx and rw map the same memory
 *	+-----------+----------------+      +-----------+
 *
 * The code half is two bump allocators: what runs (the straight way through a block) at the start, what seldom does
 * (entries, slow paths, stubs) behind it, so that caches and TLBs of the host hold little of the latter.
 *
 * No address is ever both writable and executable.  Single translations are never freed, a flush frees them all.  vCPU
 * thread only.
 */
#include "base/panic.h"
#include "base/types.h"
#include "jit/jit.h"

#define CODE_MEM_MIN_BYTES     JIT_MEM_MIN_BYTES
#define CODE_MEM_DEFAULT_BYTES JIT_MEM_DEFAULT_BYTES
#define CODE_MEM_MAX_BYTES     JIT_MEM_MAX_BYTES
#define CODE_MEM_DATA_ALIGN    8
#define CODE_MEM_COLD_ALIGN    8 /* of pieces of the cold part: a hundred thousand of them, and nobody loops there */

struct code_mem {
	uint8_t *rx, *rw, *data;
	size_t code_bytes, data_bytes; /* capacity of each half */
	size_t cold_start;             /* where the cold part of the code half begins */
	size_t code_used, cold_used, data_used;
	size_t code_keep, cold_keep, data_keep; /* stubs and caches at the start, which a reset keeps */
};

/* One piece of code memory under its two addresses; rx is NULL if there was no room. */
struct code_span {
	uint8_t *rw, *rx;
	bool cold; /* which part it is of */
};

/* 0 or -errno. bytes is rounded to pages and clamped to [CODE_MEM_MIN_BYTES, CODE_MEM_MAX_BYTES]; 0: the default. */
MUST_CHECK int code_mem_init(struct code_mem *m, uint64_t bytes);
void code_mem_fini(struct code_mem *m);

/* Of the hot part. align: a power of two. */
struct code_span code_mem_alloc(struct code_mem *m, size_t bytes, size_t align);
/* Zeroed, aligned to CODE_MEM_DATA_ALIGN; NULL if there is no room. Within 2 GiB of all code. */
void *code_mem_alloc_data(struct code_mem *m, size_t bytes);

/*
 * All room that is left in one part, aligned to 16 bytes or CODE_MEM_COLD_ALIGN, for code of unknown size; code_mem_commit() then takes the first
 * bytes of it.  Both parts may be open at once.
 */
struct code_span code_mem_open(const struct code_mem *m, bool cold, size_t *room);
void code_mem_commit(struct code_mem *m, const struct code_span *s, size_t bytes);

/* What was allocated up to now survives code_mem_reset(). */
void code_mem_keep(struct code_mem *m);
void code_mem_reset(struct code_mem *m);

/* What of both halves is in memory. */
void code_mem_takes(const struct code_mem *m, uint64_t *code, uint64_t *data);

/* The writable alias of an executable address. */
static inline uint8_t *code_mem_rw(const struct code_mem *m, const void *rx)
{
	return m->rw + ((const uint8_t *)rx - m->rx);
}

#endif
