/* SPDX-License-Identifier: MIT */
/* Random blocks: tier 1 against the reference interpreter, from the same random states, nothing may differ. */
#include "tests/unit/jit_machine.h"

#define BLOCKS  6000
#define REGIONS 1500
#define STATES  4

/* The generator uses seven registers: let them be any, so that all pinned ones are met, in all company. */
static void rename_registers(struct ir_gen *g, struct ir_block *b)
{
	unsigned shift = ir_gen_below(g, NUM_REGS - 1);

	for (uint32_t i = 0; i < b->n_ins; i++)
		if (ir_op_info[b->ins[i].op].imm == IMM_REG)
			b->ins[i].imm = 1 + (b->ins[i].imm * 4 + shift) % (NUM_REGS - 1);
}

static struct ir_block *random_block(struct ir_gen *g, struct arena *a, uint32_t max_guest)
{
	struct ir_block *b = machine_tame(g, a, ir_gen_block(g, a, max_guest, true));
	const char *bad;

	rename_registers(g, b);
	if (ir_gen_below(g, 2))
		ir_run_passes(b, NULL);
	bad = ir_verify(b);
	cr_assert_null(bad, "%s", bad);
	return b;
}

static void show(struct room *r, struct translation *t, struct ir_block *const *blocks, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		ir_print(stderr, blocks[i]);
	jit_dump_host(r->jit, t, stderr);
}

/* What vmm/'s dispatch loop does, until tier 1 leaves the region. */
static enum exit_reason run_linked(struct room *r, struct ir_block *const *blocks, uint32_t n, struct translation *t)
{
	struct guest_state *gs = &r->got->gs;

	for (;;) {
		enum exit_reason why = jit_run(r->jit, t);
		const struct ir_block *b;

		if (why != EXIT_LINK)
			return why;
		b = machine_block_at(blocks, n, gs->pc, gs->pc_page);
		if (!b)
			return why;
		t = jit_find(r->jit, room_page(r, 0), ir_block_off(b), b->mode, b->abs_page);
		cr_assert_not_null(t);
		jit_link(r->jit, t);
	}
}

/* Some pages of the machine have no tags: their accesses take the slow path. */
static void lose_tags(struct ir_gen *g, struct machine *m)
{
	for (unsigned i = 0; i < MACHINE_PAGES; i++) {
		struct l2tlb_entry *e = &m->tlb[((MACHINE_BASE >> PAGE_SHIFT) + i) & (L2TLB_ENTRIES - 1)];

		if (!ir_gen_below(g, 3))
			e->read_tag = L2TLB_TAG_INVALID;
		if (!ir_gen_below(g, 3))
			e->write_tag = L2TLB_TAG_INVALID;
	}
}

/* Pointers and what belongs to a struct jit aside, and gs->pc while it runs, all of it must be the same. */
static const char *difference(const struct machine *want, const struct machine *got)
{
	const struct guest_state *a = &want->gs, *b = &got->gs;

	if (memcmp(a->reg, b->reg, sizeof(a->reg)) != 0)
		return "reg";
	if (a->pc != b->pc || a->pc_page != b->pc_page)
		return "pc";
	if (want->calls != got->calls || want->trace != got->trace)
		return "the sequence of helper calls";
	if (machine_hash(a, 0) != machine_hash(b, 0) || a->leave != b->leave)
		return "guest_state";
	if (a->icount_left != b->icount_left || a->insns[TIER_1] != b->insns[TIER_1])
		return "the number of instructions";
	return memcmp(want->ram, got->ram, MACHINE_BYTES) == 0 ? NULL : "memory";
}

static void check_state(struct room *r, struct ir_gen *g, struct ir_block *const *blocks, uint32_t n,
			struct translation *t)
{
	const struct ir_block *head = blocks[0];
	uint64_t page = head->mode & MODE_ABS ? head->abs_page : ir_gen_next(g) & 0xfffff000u;
	enum exit_reason want, got;
	const char *differs;

	machine_init(r->start, g, head->mode, page);
	r->start->gs.helpers = r->helpers;
	r->start->gs.icount_left = r->cfg.icount ? ir_gen_below(g, 200) : 0;
	machine_copy(r->want, r->start);
	machine_copy(r->got, r->start);
	lose_tags(g, r->got);
	want = machine_interpret(r->want, blocks, n, r->cfg.icount, 1u << 20);
	/* tier2_machine.h counts for tier 2 */
	r->want->gs.insns[TIER_1] = r->cfg.count_insns ? r->want->gs.insns[TIER_2] : 0;
	r->want->gs.insns[TIER_2] = 0;
	r->got->gs.pc = ir_insn_pc(head, 0, page);
	got = run_linked(r, blocks, n, t);
	differs = want != got ? "exit" : difference(r->want, r->got);
	if (differs)
		show(r, t, blocks, n);
	cr_assert_null(differs, "%s differs; exit %d, tier 1 has %d", differs, want, got);
}

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
