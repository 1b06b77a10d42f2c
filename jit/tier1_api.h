/* SPDX-License-Identifier: MIT */
#ifndef JIT_TIER1_API_H
#define JIT_TIER1_API_H

/* Tier 1 as jit.c sees it. */
#include "jit/jit_internal.h"

struct tier1;

/* NULL: out of host memory. */
struct tier1 *tier1_new(void);
void tier1_free(struct tier1 *s);
/*
 * Code for a block; not installed yet.  NULL if code or data memory is full, and then nothing in code memory is
 * worth keeping.  b passes ir_verify().
 */
struct translation *tier1_compile(struct code_cache *cc, struct code_page *cp, const struct ir_block *b);

#endif
