/* SPDX-License-Identifier: MIT */
#ifndef VMM_REGION_BUILD_H
#define VMM_REGION_BUILD_H

/*
 * Which blocks go to tier 2 together: the head and what it reaches by direct jumps inside its page, breadth first.  One
 * builder for the running machine (vmm/cpu/region.c) and for `disco dump`.
 */
#include "jit/jit.h"

#define REGION_MAX_BLOCKS 24
#define REGION_MAX_INSNS  400

/* What became of an offset that a block of the region goes to. */
enum region_fate {
	REGION_UNSEEN, /* no direct target */
	REGION_IN,
	REGION_NOT_RUN,
	REGION_LAST_WORD,
	REGION_NO_CODE,
	REGION_OVER_BLOCKS,
	REGION_OVER_INSNS,
	REGION_OVER_TARGETS,
	NUM_REGION_FATES
};

enum region_stop {
	REGION_STOP_DONE, /* nothing more to reach */
	REGION_STOP_BLOCKS,
	REGION_STOP_INSNS,
	REGION_STOP_SINGLE, /* one block was asked for */
	NUM_REGION_STOPS
};

struct region_plan {
	uint64_t page_va; /* gva of the page, as the head runs in it */
	uint32_t n_insns;
	bool has_cycle;               /* some jump inside goes back */
	uint8_t stop;                 /* enum region_stop */
	uint8_t fate[PAGE_BYTES / 4]; /* enum region_fate, by word of the page */
};

struct region_source {
	/* The block at this offset, lifted and optimised, in arena a. NULL: there is none to be had. */
	struct ir_block *(*lift)(void *ctx, uint32_t off, struct arena *a);
	/* Worth compiling? Not asked about the head. */
	bool (*has_run)(void *ctx, uint32_t off);
	void *ctx;
};

/* Fill in plan, and blocks and n_blocks of r, whose arena they are in. n_blocks 0: not even the head. */
void region_build(struct region_plan *plan, struct jit_region *r, uint64_t pc, const struct region_source *src);
/* A region of one block, which the caller has. */
void region_single(struct region_plan *plan, const struct ir_block *b, uint64_t pc);

#endif
