/* SPDX-License-Identifier: MIT */
/* Random blocks and regions: tier 2 against the reference interpreter. */
#include "tests/unit/tier2_machine.h"

#define BLOCKS  1600 /* per test; each is an LLVM compilation */
#define REGIONS 400
#define STATES  6 /* random states that each is run from */

/* Well-formed, its addresses in the machine's memory; the IR passes run on every other one. */
static struct ir_block *random_block(struct ir_gen *g, struct arena *a, uint32_t max_guest)
{
	struct ir_block *b = machine_tame(g, a, ir_gen_block(g, a, max_guest, true));
	const char *bad;

	if (ir_gen_below(g, 2))
		ir_run_passes(b, NULL);
	bad = ir_verify(b);
	cr_assert_null(bad, "%s", bad);
	return b;
}

static uint64_t random_page(struct ir_gen *g, const struct ir_block *b)
{
	return b->mode & MODE_ABS ? b->abs_page : ir_gen_next(g) & 0xfffff000u;
}

/*
 * Compile the region (twice generated from the same seed: the JIT consumes one) and run it from random states.
 * Every code page is used for one region only, so that nothing links to what is not in the region.
 */
static void check_region(struct rig *r, struct ir_gen *g, struct jit_region *region, struct ir_block *const *blocks,
			 uint32_t n)
{
	const struct ir_block *head = blocks[0];
	struct translation *t;
	char what[64];

	region->cp = rig_page(r, 0);
	cr_assert(jit_request_tier2(r->jit, region));
	t = jit_find(r->jit, rig_page(r, 0), ir_block_off(head), head->mode, head->abs_page);
	cr_assert_not_null(t, "refused");
	for (int i = 0; i < STATES; i++) {
		snprintf(what, sizeof(what), "state %d", i);
		machine_init(r->start, g, head->mode, random_page(g, head));
		r->start->gs.icount_left = r->cfg.icount ? ir_gen_below(g, 200) : 0;
		rig_check(r, t, blocks, n, what);
	}
	jit_invalidate_page(r->jit, rig_page(r, 0));
}

static void check_blocks(struct jit_config cfg, uint64_t seed, int blocks)
{
	struct ir_gen g = {ir_gen_seed(seed)}, again;
	struct rig r;

	rig_open(&r, cfg);
	for (int i = 0; i < blocks; i++) {
		struct jit_region region = {.n_blocks = 1};
		struct arena a = {NULL};
		struct ir_block *b;

		again = g;
		b = random_block(&g, &a, 8);
		region.blocks = arena_new(&region.arena, struct ir_block *, 1);
		region.blocks[0] = random_block(&again, &region.arena, 8);
		check_region(&r, &g, &region, &b, 1);
		arena_free(&a);
	}
	cr_assert_geq(jit_stats(r.jit).regions, (uint64_t)blocks);
	rig_close(&r);
}

Test(tier2_random, blocks) { check_blocks((struct jit_config){.sync_tier2 = true}, 1, BLOCKS); }

Test(tier2_random, blocks_counted)
{
	check_blocks((struct jit_config){.sync_tier2 = true, .icount = true, .count_insns = true}, 2, BLOCKS);
}

/* Make every way out of a region's blocks lead to one of them, most of the time. */
static void redirect(struct ir_gen *g, struct ir_target *t, struct ir_block *const *blocks, uint32_t n)
{
	const struct ir_block *to = blocks[ir_gen_below(g, n)];

	if (ir_gen_below(g, 4) == 0)
		return;
	if (to->mode & MODE_ABS)
		*t = (struct ir_target){TGT_ABS, (int64_t)(to->abs_page + ir_block_off(to))};
	else
		*t = (struct ir_target){TGT_PAGE, ir_block_off(to)};
}

static uint32_t random_region(struct ir_gen *g, struct arena *a, struct ir_block **blocks, uint32_t max)
{
	uint32_t n = 2 + ir_gen_below(g, max - 1), made = 0;

	for (uint32_t tries = 0; made < n && tries < 4000; tries++) {
		struct ir_block *b = random_block(g, a, 4);
		bool clash = false;

		for (uint32_t i = 0; i < made; i++)
			clash |= ir_block_off(blocks[i]) == ir_block_off(b);
		if (clash || (made && (b->mode & MODE_ABS) != (blocks[0]->mode & MODE_ABS)))
			continue;
		if (made) {
			b->mode = blocks[0]->mode;
			b->abs_page = blocks[0]->abs_page;
		}
		blocks[made++] = b;
	}
	for (uint32_t i = 0; i < made; i++) {
		struct ir_term *t = &blocks[i]->term;

		if (t->kind > TERM_BRANCH && ir_gen_below(g, 3))
			t->kind = TERM_JUMP;
		for (int k = 0; k < 2; k++)
			redirect(g, &t->target[k], blocks, made);
		for (uint32_t k = 0; k < blocks[i]->n_exits; k++)
			redirect(g, &blocks[i]->exits[k], blocks, made);
	}
	return made;
}

/* Loops of any shape end by the instruction budget, at the same instruction under both. */
Test(tier2_random, regions)
{
	struct ir_gen g = {ir_gen_seed(3)}, again;
	struct rig r;

	rig_open(&r, (struct jit_config){.sync_tier2 = true, .icount = true, .count_insns = true});
	for (int i = 0; i < REGIONS; i++) {
		struct ir_block *blocks[8];
		struct jit_region region = {.n_blocks = 0};
		struct arena a = {NULL};
		uint32_t n;

		again = g;
		n = random_region(&g, &a, blocks, ARRAY_LEN(blocks));
		region.blocks = arena_new(&region.arena, struct ir_block *, ARRAY_LEN(blocks));
		region.n_blocks = random_region(&again, &region.arena, region.blocks, ARRAY_LEN(blocks));
		check_region(&r, &g, &region, blocks, n);
		arena_free(&a);
	}
	rig_close(&r);
}
