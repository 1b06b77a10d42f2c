/* SPDX-License-Identifier: MIT */
#include "vmm/cpu/region_build.h"

#include <string.h>

struct builder {
	struct region_plan *plan;
	struct jit_region *r;
	const struct region_source *src;
	uint32_t n_pending;
	uint16_t pending[REGION_MAX_BLOCKS * 4]; /* offsets into the page */
};

static uint8_t *fate(struct builder *rb, uint32_t off) { return &rb->plan->fate[off / 4]; }

static void follow(struct builder *rb, const struct ir_block *b, struct ir_target t)
{
	uint64_t pc = ir_target_pc(b, t, rb->plan->page_va);
	uint32_t off = (uint32_t)(pc & PAGE_MASK);

	if ((pc & ~PAGE_MASK) != rb->plan->page_va || off & 3)
		return;
	/* TGT_REGION targets depend on the mapping; only pc-relative ones stay in the page in every mapping */
	if (t.kind == TGT_REGION)
		return;
	if (rb->n_pending < ARRAY_LEN(rb->pending))
		rb->pending[rb->n_pending++] = (uint16_t)off;
	else if (*fate(rb, off) == REGION_UNSEEN)
		*fate(rb, off) = REGION_OVER_TARGETS;
}

static void follow_all(struct builder *rb, const struct ir_block *b)
{
	if (b->term.kind == TERM_JUMP || b->term.kind == TERM_BRANCH)
		follow(rb, b, b->term.target[0]);
	if (b->term.kind == TERM_BRANCH)
		follow(rb, b, b->term.target[1]);
	for (uint32_t i = 0; i < b->n_exits; i++)
		follow(rb, b, b->exits[i]);
	/* what a call returns to is hot when the call is */
	if (b->term.hint == HINT_CALL)
		follow(rb, b, b->term.link);
}

static void add_block(struct builder *rb, uint32_t off)
{
	struct ir_block *b;

	if (off == PAGE_BYTES - 4) { /* may need its slot from the next page, whose fetch may raise an exception */
		*fate(rb, off) = REGION_LAST_WORD;
		return;
	}
	b = rb->src->lift(rb->src->ctx, off, &rb->r->arena);
	*fate(rb, off) = b ? REGION_IN : REGION_NO_CODE;
	if (!b)
		return;
	rb->r->blocks[rb->r->n_blocks++] = b;
	rb->plan->n_insns += b->n_guest;
	follow_all(rb, b);
}

static enum region_stop limit(const struct builder *rb)
{
	if (rb->r->n_blocks == REGION_MAX_BLOCKS)
		return REGION_STOP_BLOCKS;
	return rb->plan->n_insns >= REGION_MAX_INSNS ? REGION_STOP_INSNS : REGION_STOP_DONE;
}

static bool goes_back(const struct region_plan *plan, const struct ir_block *b, struct ir_target t)
{
	uint64_t pc = ir_target_pc(b, t, plan->page_va);
	uint32_t off = (uint32_t)(pc & PAGE_MASK);

	return t.kind != TGT_REGION && (pc & ~PAGE_MASK) == plan->page_va && off <= ir_block_off(b) &&
	       plan->fate[off / 4] == REGION_IN;
}

/* Without such a jump nothing is executed twice: an approximation of what jit/llvm_region.c finds, and cheap. */
static bool any_goes_back(const struct region_plan *plan, const struct jit_region *r)
{
	for (uint32_t i = 0; i < r->n_blocks; i++) {
		const struct ir_block *b = r->blocks[i];
		bool jumps = b->term.kind == TERM_JUMP || b->term.kind == TERM_BRANCH;

		if (jumps && goes_back(plan, b, b->term.target[0]))
			return true;
		if (b->term.kind == TERM_BRANCH && goes_back(plan, b, b->term.target[1]))
			return true;
		for (uint32_t e = 0; e < b->n_exits; e++)
			if (goes_back(plan, b, b->exits[e]))
				return true;
	}
	return false;
}

void region_build(struct region_plan *plan, struct jit_region *r, uint64_t pc, const struct region_source *src)
{
	struct builder rb = {.plan = plan, .r = r, .src = src};

	memset(plan, 0, sizeof(*plan));
	plan->page_va = pc & ~PAGE_MASK;
	r->blocks = arena_new(&r->arena, struct ir_block *, REGION_MAX_BLOCKS);
	r->n_blocks = 0;
	add_block(&rb, (uint32_t)(pc & PAGE_MASK));
	for (uint32_t i = 0; i < rb.n_pending; i++) {
		uint32_t off = rb.pending[i];
		uint8_t *f = fate(&rb, off);

		if (*f != REGION_UNSEEN && *f != REGION_OVER_TARGETS)
			continue;
		if (plan->stop == REGION_STOP_DONE)
			plan->stop = (uint8_t)limit(&rb);
		if (plan->stop != REGION_STOP_DONE)
			*f = plan->stop == REGION_STOP_BLOCKS ? REGION_OVER_BLOCKS : REGION_OVER_INSNS;
		else if (!src->has_run(src->ctx, off))
			*f = REGION_NOT_RUN;
		else
			add_block(&rb, off);
	}
	plan->has_cycle = any_goes_back(plan, r);
}

void region_single(struct region_plan *plan, const struct ir_block *b, uint64_t pc)
{
	memset(plan, 0, sizeof(*plan));
	plan->page_va = pc & ~PAGE_MASK;
	plan->n_insns = b->n_guest;
	plan->stop = REGION_STOP_SINGLE;
	plan->fate[ir_block_off(b) / 4] = REGION_IN;
}
