/* SPDX-License-Identifier: MIT */
#ifndef JIT_STORE_BLOCK_H
#define JIT_STORE_BLOCK_H

/* A tier 1 translation as bytes that are the same wherever it lies, and back. All with code_cache.lock. */
#include "jit/jit_internal.h"
#include "jit/x86.h"

/*
 * t has just been made from b, is linked to nothing yet, and all that its code says of addresses is in `fixups`: store it, unless
 * it is known, or not a thing to be stored (a block whose delay slot is in the next page; what the bytes have no word for).
 */
void stored_block_keep(struct code_cache *cc, const struct translation *t, const struct ir_block *b,
		       const struct x86_fixups *fixups);

/*
 * What is stored of the block at `off` with the words that all pages of the record have; not installed yet.  NULL: nothing, or code
 * memory is full.  Cost: a microsecond or so.
 */
struct translation *stored_block_take(struct code_cache *cc, struct code_page *cp, uint32_t off, uint32_t mode,
				      uint64_t abs_page);

#endif
