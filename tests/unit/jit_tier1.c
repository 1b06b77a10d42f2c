/* SPDX-License-Identifier: MIT */
/* Random blocks: tier 1 against the reference interpreter, from the same random states, nothing may differ. */
#include "tests/unit/jit_random.h"

#define BLOCKS  6000
#define REGIONS 1500
#define STATES  4

/* Tier 1 has no side exits of its own, and the helpers' happen in both: interpreter and tier 1 count the same. */
static void check_blocks(struct jit_config cfg, uint64_t seed, int n)
{
	struct ir_gen g = {ir_gen_seed(seed)};
	struct arena a = {NULL};
	struct room r;

	room_open(&r, cfg);
	for (int i = 0; i < n; i++) {
		struct ir_block *b = random_block(&g, &a, ir_gen_below(&g, 8) ? 6 : 40);
		struct translation *t = jit_compile_tier1(r.jit, room_page(&r, 0), b);

		for (int k = 0; k < STATES; k++)
			check_state(&r, &g, &b, 1, t);
		jit_invalidate_page(r.jit, room_page(&r, 0));
		arena_reset(&a);
	}
	cr_assert_eq(jit_stats(r.jit).blocks[TIER_1], (uint64_t)n);
	cr_assert_gt(room_slow_calls, (uint64_t)n, "the slow path was hardly taken");
	arena_free(&a);
	room_close(&r);
}

Test(jit_tier1, blocks) { check_blocks((struct jit_config){.keep_ir = true}, 11, BLOCKS); }

Test(jit_tier1, blocks_counted) { check_blocks((struct jit_config){.icount = true, .count_insns = true}, 12, BLOCKS); }

/* Code memory of the least size: these blocks flush it several times. */
Test(jit_tier1, blocks_in_little_memory)
{
	struct ir_gen g = {ir_gen_seed(13)};
	struct arena a = {NULL};
	struct room r;

	room_open(&r, (struct jit_config){.code_bytes = 1, .keep_ir = true});
	for (int i = 0; jit_stats(r.jit).flushes < 3; i++) {
		struct ir_block *b = random_block(&g, &a, 40);
		struct translation *t;

		cr_assert_lt(i, 100000, "never flushed");
		if (jit_find(r.jit, room_page(&r, 0), ir_block_off(b), b->mode, b->abs_page))
			continue; /* another block that is still there */
		t = jit_compile_tier1(r.jit, room_page(&r, 0), b);
		check_state(&r, &g, &b, 1, t);
		arena_reset(&a);
	}
	cr_assert_gt(jit_stats(r.jit).evicted, 0u);
	arena_free(&a);
	room_close(&r);
}

/* Most ways out of the region's blocks lead to one of them. */
static void redirect(struct ir_gen *g, struct ir_target *t, struct ir_block *const *blocks, uint32_t n)
{
	const struct ir_block *to = blocks[ir_gen_below(g, n)];

	if (ir_gen_below(g, 4) == 0)
		return;
	*t = to->mode & MODE_ABS ? room_abs(to->abs_page + ir_block_off(to)) : room_off(ir_block_off(to));
}

static uint32_t random_region(struct ir_gen *g, struct arena *a, struct ir_block **blocks, uint32_t max)
{
	uint32_t n = 2 + ir_gen_below(g, max - 1), made = 0;

	while (made < n) {
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
			t->kind = t->cond == IR_NONE ? TERM_JUMP : TERM_BRANCH;
		for (int k = 0; k < 2; k++)
			redirect(g, &t->target[k], blocks, made);
		for (uint32_t k = 0; k < blocks[i]->n_exits; k++)
			redirect(g, &blocks[i]->exits[k], blocks, made);
	}
	return made;
}

/* Loops of any shape, linked as they run, end by the instruction budget at the same instruction. */
Test(jit_tier1, linked_blocks)
{
	struct ir_gen g = {ir_gen_seed(14)};
	struct arena a = {NULL};
	struct room r;

	room_open(&r, (struct jit_config){.icount = true, .count_insns = true});
	for (int i = 0; i < REGIONS; i++) {
		struct ir_block *blocks[8];
		uint32_t n = random_region(&g, &a, blocks, ARRAY_LEN(blocks));
		struct translation *head = jit_compile_tier1(r.jit, room_page(&r, 0), blocks[0]);

		for (uint32_t k = 1; k < n; k++)
			(void)jit_compile_tier1(r.jit, room_page(&r, 0), blocks[k]);
		for (int k = 0; k < STATES; k++)
			check_state(&r, &g, blocks, n, head);
		jit_invalidate_page(r.jit, room_page(&r, 0));
		arena_reset(&a);
	}
	cr_assert_gt(jit_stats(r.jit).links_made, 1000u);
	arena_free(&a);
	room_close(&r);
}
