/* SPDX-License-Identifier: MIT */
/* How translations reach each other and how they are left: links, entries, jump cache, return ring, polls, budget. */
#include "tests/unit/jit_machine.h"

#define ABS_PAGE 0x80100000u
#define K_ABS    (MODE_KERNEL | MODE_ABS)

struct fixture {
	struct room r;
	struct arena a;
	struct guest_state *gs;
};

static void open_fixture(struct fixture *f, struct jit_config cfg)
{
	memset(f, 0, sizeof(*f));
	room_open(&f->r, cfg);
	f->gs = &f->r.got->gs;
	f->gs->pc_page = ROOM_PC_PAGE;
	f->gs->icount_left = 1 << 20;
}

static void close_fixture(struct fixture *f)
{
	room_close(&f->r);
	arena_free(&f->a);
}

/* A block on code page i. */
static struct translation *add(struct fixture *f, unsigned i, uint32_t mode, uint32_t off, uint32_t n,
			       struct ir_term term)
{
	uint64_t page = mode & MODE_ABS ? ABS_PAGE + i * PAGE_BYTES : 0;

	if (page)
		room_map_abs(&f->r, page, i);
	return jit_compile_tier1(f->r.jit, room_page(&f->r, i), room_block(&f->a, mode, page, off, n, term));
}

/* Run and expect to leave for `why` at pc, with $8 having counted n blocks. */
static void expect(struct fixture *f, struct translation *t, enum exit_reason why, uint64_t pc, uint64_t n)
{
	uint64_t before = f->gs->reg[8];
	enum exit_reason got = jit_run(f->r.jit, t);

	cr_assert_eq(got, why, "left for %d, want %d", got, why);
	cr_assert_eq(f->gs->pc, pc, "at %#lx, want %#lx", (long)f->gs->pc, (long)pc);
	cr_assert_eq(f->gs->reg[8] - before, n, "%ld blocks ran, want %ld", (long)(f->gs->reg[8] - before), (long)n);
}

Test(jit_links, absolute_across_pages)
{
	struct fixture f;
	struct translation *a, *b;

	open_fixture(&f, (struct jit_config){0});
	a = add(&f, 0, K_ABS, 0x100, 1, room_jump(room_abs(ABS_PAGE + 0x1200)));
	expect(&f, a, EXIT_LINK, ABS_PAGE + 0x1200, 1);
	b = add(&f, 1, K_ABS, 0x200, 1, room_jump(room_abs(ABS_PAGE + 0x2000)));
	jit_link(f.r.jit, b);
	expect(&f, a, EXIT_LINK, ABS_PAGE + 0x2000, 2);
	cr_assert_eq(f.gs->link, &b->links[0]);
	/* a translation that is not what the site wants must not be taken */
	jit_link(f.r.jit, a);
	expect(&f, b, EXIT_LINK, ABS_PAGE + 0x2000, 1);
	/* the target's page is not what it was: the link is there, but checks */
	f.r.abs_code[ABS_CODE_INDEX(ABS_PAGE + 0x1000)] = jit_code_id(room_page(&f.r, 0));
	cr_assert_eq(link_to(&a->links[0]), b);
	expect(&f, a, EXIT_INDIRECT, ABS_PAGE + 0x1200, 1);
	room_map_abs(&f.r, ABS_PAGE + 0x1000, 1);
	expect(&f, a, EXIT_LINK, ABS_PAGE + 0x2000, 2);
	/* the target goes: back to the stub */
	jit_invalidate_page(f.r.jit, room_page(&f.r, 1));
	expect(&f, a, EXIT_LINK, ABS_PAGE + 0x1200, 1);
	close_fixture(&f);
}

/* A target that exists when its source is compiled is linked at once. */
Test(jit_links, same_page_at_once)
{
	struct fixture f;
	struct translation *a;

	open_fixture(&f, (struct jit_config){0});
	add(&f, 0, MODE_USER, 0x200, 1, room_jump(room_off(0x300)));
	a = add(&f, 0, MODE_USER, 0x100, 1, room_jump(room_off(0x200)));
	expect(&f, a, EXIT_LINK, ROOM_PC_PAGE + 0x300, 2);
	/* another mode of the same page is another translation */
	a = add(&f, 0, MODE_USER | MODE_FR, 0x100, 1, room_jump(room_off(0x200)));
	expect(&f, a, EXIT_LINK, ROOM_PC_PAGE + 0x200, 1);
	jit_link(f.r.jit, jit_find(f.r.jit, room_page(&f.r, 0), 0x200, MODE_USER, 0));
	expect(&f, a, EXIT_LINK, ROOM_PC_PAGE + 0x200, 1);
	close_fixture(&f);
}

/* Mapped code of another page: the mapping in force is compared at each jump. */
Test(jit_links, far_link_checks_the_mapping)
{
	struct fixture f;
	struct translation *a, *b;
	const uint64_t next = ROOM_PC_PAGE + PAGE_BYTES;

	open_fixture(&f, (struct jit_config){0});
	a = add(&f, 0, MODE_USER, 0xff8, 1, room_jump(room_off(PAGE_BYTES)));
	b = add(&f, 1, MODE_USER, 0, 1, room_jump(room_off(0x40)));
	expect(&f, a, EXIT_LINK, next, 1);
	jit_link(f.r.jit, b);
	cr_assert_eq(a->links[0].kind, LINK_FAR);
	expect(&f, a, EXIT_INDIRECT, next, 1); /* linked, but nothing is mapped there */
	room_map_exec(&f.r, next, 1);
	f.gs->pc_page = ROOM_PC_PAGE;
	expect(&f, a, EXIT_LINK, next + 0x40, 2);
	cr_assert_eq(f.gs->pc_page, next);
	room_map_exec(&f.r, next, 2); /* remapped: no link is touched */
	f.gs->pc_page = ROOM_PC_PAGE;
	expect(&f, a, EXIT_INDIRECT, next, 1);
	cr_assert_eq(f.gs->pc_page, ROOM_PC_PAGE);
	/* the same code at another address */
	room_map_exec(&f.r, 0x30001000, 1);
	f.gs->pc_page = 0x30000000;
	expect(&f, a, EXIT_LINK, 0x30001040, 2);
	close_fixture(&f);
}

/* Two pages at one address in turn: where the linked one fails, the jump cache may know the other. */
Test(jit_links, failed_entry_asks_the_jump_cache)
{
	struct fixture f;
	struct translation *a, *b, *c;
	const uint64_t next = ROOM_PC_PAGE + PAGE_BYTES;

	open_fixture(&f, (struct jit_config){0});
	a = add(&f, 0, MODE_USER, 0xff8, 1, room_jump(room_off(PAGE_BYTES)));
	b = add(&f, 1, MODE_USER, 0, 1, room_jump(room_off(0x40)));
	c = add(&f, 2, MODE_USER, 0, 1, room_jump(room_off(0x80)));
	f.gs->link = &a->links[0];
	jit_link(f.r.jit, b);
	room_map_exec(&f.r, next, 2);
	f.gs->mode = MODE_USER;
	expect(&f, a, EXIT_INDIRECT, next, 1);
	jit_cache_jump(f.r.jit, next, c);
	f.gs->pc_page = ROOM_PC_PAGE;
	expect(&f, a, EXIT_LINK, next + 0x80, 2);
	room_map_exec(&f.r, next, 3); /* both fail now, once each */
	f.gs->pc_page = ROOM_PC_PAGE;
	expect(&f, a, EXIT_INDIRECT, next, 1);
	close_fixture(&f);
}

Test(jit_links, jump_cache)
{
	struct fixture f;
	struct translation *a, *b;
	const uint64_t to = 0x20003010;

	open_fixture(&f, (struct jit_config){0});
	a = add(&f, 0, MODE_USER, 0, 1, room_indirect(HINT_NONE));
	b = add(&f, 1, MODE_USER, 0x10, 1, room_jump(room_off(0x44)));
	f.gs->reg[25] = to;
	expect(&f, a, EXIT_INDIRECT, to, 1);
	room_map_exec(&f.r, 0x20003000, 1);
	jit_cache_jump(f.r.jit, to, b);
	expect(&f, a, EXIT_LINK, 0x20003044, 2);
	cr_assert_eq(f.gs->pc_page, 0x20003000u);
	cr_assert_eq(f.gs->mode, (uint32_t)MODE_USER);
	f.gs->reg[25] = to + 2; /* misaligned: the same slot, not the same key */
	expect(&f, a, EXIT_INDIRECT, to + 2, 1);
	f.gs->reg[25] = to + 0x4000; /* the same slot */
	expect(&f, a, EXIT_INDIRECT, to + 0x4000, 1);
	f.gs->reg[25] = to;
	jit_invalidate_page(f.r.jit, room_page(&f.r, 1));
	expect(&f, a, EXIT_INDIRECT, to, 1);
	close_fixture(&f);
}

/* JR between a mapped module and the unmapped kernel stays in translated code, and gs->mode follows. */
Test(jit_links, jump_between_mapped_and_unmapped)
{
	struct fixture f;
	struct translation *module, *module_end, *kernel, *kernel_end;

	open_fixture(&f, (struct jit_config){0});
	module = add(&f, 0, MODE_KERNEL, 0x20, 1, room_indirect(HINT_NONE));
	module_end = add(&f, 0, MODE_KERNEL, 0x40, 1, room_jump(room_off(0x60)));
	kernel = add(&f, 1, K_ABS, 0x80, 1, room_indirect(HINT_NONE));
	kernel_end = add(&f, 1, K_ABS, 0xa0, 1, room_jump(room_abs(ABS_PAGE)));
	jit_cache_jump(f.r.jit, 0xc0000040, module_end);
	jit_cache_jump(f.r.jit, ABS_PAGE + PAGE_BYTES + 0xa0, kernel_end);
	f.gs->mode = K_ABS;
	f.gs->reg[25] = 0xc0000040;
	expect(&f, kernel, EXIT_INDIRECT, 0xc0000040, 1); /* not mapped */
	cr_assert_eq(f.gs->mode, (uint32_t)K_ABS);
	room_map_exec(&f.r, 0xc0000000, 0);
	expect(&f, kernel, EXIT_LINK, 0xc0000060, 2);
	cr_assert_eq(f.gs->mode, (uint32_t)MODE_KERNEL);
	cr_assert_eq(f.gs->pc_page, 0xc0000000u);
	f.gs->reg[25] = ABS_PAGE + PAGE_BYTES + 0xa0;
	expect(&f, module, EXIT_LINK, ABS_PAGE, 2);
	cr_assert_eq(f.gs->mode, (uint32_t)K_ABS);
	/* the same pc under another mode is another key */
	module = add(&f, 0, MODE_KERNEL | MODE_CU1, 0x20, 1, room_indirect(HINT_NONE));
	expect(&f, module, EXIT_INDIRECT, ABS_PAGE + PAGE_BYTES + 0xa0, 1);
	close_fixture(&f);
}

static struct ir_term call(struct ir_target to, struct ir_target back)
{
	return (struct ir_term){.kind = TERM_JUMP, .hint = HINT_CALL, .target = {to}, .link = back};
}

Test(jit_links, return_ring)
{
	struct fixture f;
	struct translation *caller, *after;

	open_fixture(&f, (struct jit_config){0});
	caller = add(&f, 0, MODE_USER, 0x100, 2, call(room_off(0x800), room_off(0x108)));
	add(&f, 0, MODE_USER, 0x800, 1, room_indirect(HINT_RETURN));
	f.gs->link = &caller->links[0];
	jit_link(f.r.jit, jit_find(f.r.jit, room_page(&f.r, 0), 0x800, MODE_USER, 0));
	after = add(&f, 0, MODE_USER, 0x108, 1, room_jump(room_off(0x900)));
	f.gs->reg[25] = ROOM_PC_PAGE + 0x108;
	/* the call site's return link asks for its target once */
	expect(&f, caller, EXIT_LINK, ROOM_PC_PAGE + 0x108, 2);
	cr_assert_eq(f.gs->link->kind, LINK_RETURN);
	jit_link(f.r.jit, after);
	room_map_exec(&f.r, ROOM_PC_PAGE, 0);
	expect(&f, caller, EXIT_LINK, ROOM_PC_PAGE + 0x900, 3);
	/* a return to elsewhere misses */
	f.gs->reg[25] = ROOM_PC_PAGE + 0x10c;
	expect(&f, caller, EXIT_INDIRECT, ROOM_PC_PAGE + 0x10c, 2);
	/* the return's target goes: no dangling jump */
	f.gs->reg[25] = ROOM_PC_PAGE + 0x108;
	jit_invalidate(f.r.jit, room_page(&f.r, 0), 0x108, 4);
	cr_assert_null(jit_find(f.r.jit, room_page(&f.r, 0), 0x108, MODE_USER, 0));
	caller = add(&f, 0, MODE_USER, 0x100, 2, call(room_off(0x800), room_off(0x108)));
	expect(&f, caller, EXIT_LINK, ROOM_PC_PAGE + 0x108, 2);
	close_fixture(&f);
}

/* The ring wraps: 40 nested calls, then returns; the innermost 32 are known. */
Test(jit_links, return_ring_wraps)
{
	struct fixture f;
	struct translation *callers[40], *leaf;

	open_fixture(&f, (struct jit_config){0});
	leaf = add(&f, 0, MODE_USER, 0xf00, 1, room_indirect(HINT_RETURN));
	for (uint32_t i = 0; i < 40; i++) {
		callers[i] = add(&f, 0, MODE_USER, 16 * i, 2, call(room_off(0xe00), room_off(16 * i + 8)));
		expect(&f, callers[i], EXIT_LINK, ROOM_PC_PAGE + 0xe00, 1);
	}
	for (uint32_t i = 40; i-- > 0;) {
		f.gs->reg[25] = ROOM_PC_PAGE + 16 * i + 8;
		expect(&f, leaf, i >= 8 ? EXIT_LINK : EXIT_INDIRECT, f.gs->reg[25], 1);
		if (i >= 8)
			cr_assert_eq(f.gs->link, &callers[i]->links[1]);
	}
	close_fixture(&f);
}

Test(jit_links, poll)
{
	struct fixture f;
	struct translation *loop, *forward, *indirect;

	open_fixture(&f, (struct jit_config){0});
	loop = add(&f, 0, MODE_USER, 0x100, 2, room_jump(room_off(0x100)));
	forward = add(&f, 0, MODE_USER, 0x200, 2, room_jump(room_off(0x300)));
	indirect = add(&f, 0, MODE_USER, 0x280, 1, room_indirect(HINT_NONE));
	f.gs->poll = 1;
	f.gs->reg[25] = 0x1234;
	expect(&f, loop, EXIT_POLL, ROOM_PC_PAGE + 0x100, 1);
	expect(&f, forward, EXIT_LINK, ROOM_PC_PAGE + 0x300, 1);
	expect(&f, indirect, EXIT_POLL, 0x1234, 1);
	close_fixture(&f);
}

/* A loop linked to itself runs to the very instruction of the budget. */
Test(jit_links, budget)
{
	struct fixture f;
	struct translation *loop;

	open_fixture(&f, (struct jit_config){.icount = true, .count_insns = true});
	loop = add(&f, 0, K_ABS, 0x100, 3, room_jump(room_abs(ABS_PAGE + 0x100)));
	f.gs->icount_left = 32;
	expect(&f, loop, EXIT_BUDGET, ABS_PAGE + 0x100, 10);
	cr_assert_eq(f.gs->icount_left, 2);
	cr_assert_eq(f.gs->insns[TIER_1], 30u);
	f.gs->icount_left = 3;
	expect(&f, loop, EXIT_BUDGET, ABS_PAGE + 0x100, 1);
	cr_assert_eq(f.gs->icount_left, 0);
	close_fixture(&f);
}

Test(jit_links, hot)
{
	struct fixture f;
	struct translation *loop;
	unsigned silent = 0;

	open_fixture(&f, (struct jit_config){.tier2 = true, .hot_threshold = 100});
	loop = add(&f, 0, K_ABS, 0x100, 1, room_jump(room_abs(ABS_PAGE + 0x100)));
	expect(&f, loop, EXIT_HOT, ABS_PAGE + 0x100, 100);
	f.gs->poll = 1; /* once only */
	expect(&f, loop, EXIT_POLL, ABS_PAGE + 0x100, 1);
	for (unsigned i = 0; i < HOT_COUNTS; i++)
		silent += f.gs->hot[i] > 1 << 30;
	cr_assert_eq(silent, 1);
	close_fixture(&f);
}

/* What tier 2 cannot do goes on in tier 1, once it is known where, and as long as that is there. */
Test(jit_links, side_exits)
{
	struct fixture f;
	struct translation *side, *t;

	open_fixture(&f, (struct jit_config){0});
	side = jit_translation_new(f.r.jit->cc, room_page(&f.r, 0), 0, 0, 0, 0);
	cr_assert_not_null(side);
	near_set(&side->code, f.r.jit->cc->stubs.side); /* as if a region left there at once */
	f.gs->mode = K_ABS;
	f.gs->pc = ABS_PAGE + 0x100;
	expect(&f, side, EXIT_SIDE, ABS_PAGE + 0x100, 0);
	t = add(&f, 0, K_ABS, 0x100, 1, room_jump(room_abs(ABS_PAGE + 0x1200)));
	jit_cache_side(f.r.jit, ABS_PAGE + 0x100, t);
	expect(&f, side, EXIT_LINK, ABS_PAGE + 0x1200, 1);
	f.gs->pc = ABS_PAGE + 0x1100; /* the same entry of the cache */
	expect(&f, side, EXIT_SIDE, ABS_PAGE + 0x1100, 0);
	f.gs->mode = MODE_USER;
	f.gs->pc = ABS_PAGE + 0x100;
	expect(&f, side, EXIT_SIDE, ABS_PAGE + 0x100, 0);
	f.gs->mode = K_ABS;
	expect(&f, side, EXIT_LINK, ABS_PAGE + 0x1200, 1);
	jit_invalidate_page(f.r.jit, room_page(&f.r, 0));
	f.gs->pc = ABS_PAGE + 0x100;
	expect(&f, side, EXIT_SIDE, ABS_PAGE + 0x100, 0);
	close_fixture(&f);
}

/*
 * Two pages with the same code at one address, one of them mapped: a region of the mapped one leaves by a side exit, and the
 * cache still has the other one.  Its way must not be through an entry whose check fails and leads back to the region.
 */
Test(jit_links, side_exit_of_another_page)
{
	struct fixture f;
	struct translation *region, *gone, *here;
	uint64_t pc = ROOM_PC_PAGE + 0x100;

	open_fixture(&f, (struct jit_config){.count_insns = true});
	gone = add(&f, 0, MODE_USER, 0x100, 1, room_jump(room_off(0x200)));
	here = add(&f, 1, MODE_USER, 0x100, 1, room_jump(room_off(0x300)));
	region = jit_translation_new(f.r.jit->cc, here->cp, 0, 0, 0, 0);
	cr_assert_not_null(region);
	region->mode = here->mode;
	region->off = here->off;
	near_set(&region->code, f.r.jit->cc->stubs.side);
	near_set(&region->entry, f.r.jit->cc->stubs.side);
	room_map_exec(&f.r, ROOM_PC_PAGE, 1);
	f.gs->mode = MODE_USER;
	f.gs->pc = pc;
	jit_cache_side(f.r.jit, pc, gone);
	jit_cache_jump(f.r.jit, pc, region);
	expect(&f, region, EXIT_SIDE, pc, 0);
	jit_cache_side(f.r.jit, pc, here);
	expect(&f, region, EXIT_LINK, ROOM_PC_PAGE + 0x300, 1);
	/* the page is not executable any more */
	room_map_exec(&f.r, ROOM_PC_PAGE, 0);
	f.gs->pc = pc;
	expect(&f, region, EXIT_SIDE, pc, 0);
	/* mapped at another address: what is said of this page is right there as well */
	room_map_exec(&f.r, ROOM_PC_PAGE, 1);
	f.gs->pc_page = 0;
	f.gs->pc = pc;
	expect(&f, region, EXIT_LINK, ROOM_PC_PAGE + 0x300, 1);
	cr_assert_eq(f.gs->pc_page, ROOM_PC_PAGE);
	f.gs->poll = 1; /* wanted elsewhere */
	f.gs->pc = pc;
	expect(&f, region, EXIT_SIDE, pc, 0);
	close_fixture(&f);
}

/* A hot loop is replaced by its tier 2 translation, and links that led to it lead there. */
Test(jit_links, tier2_takes_over)
{
	struct fixture f;
	struct translation *before, *loop, *t;
	struct jit_region region = {.n_blocks = 1};

	open_fixture(&f, (struct jit_config){.tier2 = true, .hot_threshold = 50, .count_insns = true});
	loop = add(
	    &f, 0, K_ABS, 0x100, 1,
	    (struct ir_term){.kind = TERM_BRANCH, .target = {room_abs(ABS_PAGE + 0x100), room_abs(ABS_PAGE + 0x104)}});
	before = add(&f, 0, K_ABS, 0x80, 1, room_jump(room_abs(ABS_PAGE + 0x100)));
	f.gs->reg[9] = 1;
	expect(&f, before, EXIT_HOT, ABS_PAGE + 0x100, 51);
	region.cp = room_page(&f.r, 0);
	region.blocks = arena_new(&region.arena, struct ir_block *, 1);
	region.blocks[0] = room_block(
	    &region.arena, K_ABS, ABS_PAGE, 0x100, 1,
	    (struct ir_term){.kind = TERM_BRANCH, .target = {room_abs(ABS_PAGE + 0x100), room_abs(ABS_PAGE + 0x104)}});
	cr_assert(jit_request_tier2(f.r.jit, &region));
	/* the loop goes on until the worker is done and says so */
	cr_assert_eq(jit_run(f.r.jit, loop), EXIT_POLL);
	jit_install_finished(f.r.jit);
	t = jit_find(f.r.jit, room_page(&f.r, 0), 0x100, K_ABS, ABS_PAGE);
	cr_assert_eq(t->tier, TIER_2);
	cr_assert_eq(jit_find_tier1(f.r.jit, room_page(&f.r, 0), 0x100, K_ABS, ABS_PAGE), loop);
	f.gs->poll = 0;
	f.gs->reg[9] = 0;
	f.gs->insns[TIER_2] = 0;
	expect(&f, before, EXIT_LINK, ABS_PAGE + 0x104, 2);
	cr_assert_eq(f.gs->insns[TIER_2], 1u);
	/* what was written to the page meanwhile is not installed */
	cr_assert(jit_invalidate(f.r.jit, room_page(&f.r, 0), 0x100, 4));
	cr_assert_null(jit_find(f.r.jit, room_page(&f.r, 0), 0x100, K_ABS, ABS_PAGE));
	expect(&f, before, EXIT_LINK, ABS_PAGE + 0x100, 1);
	close_fixture(&f);
}

/* A store to a page while tier 2 compiles what was there: the result is thrown away. */
Test(jit_links, stale_tier2_result)
{
	struct fixture f;
	struct jit_region region = {.n_blocks = 1};
	struct code_page *cp;

	open_fixture(&f, (struct jit_config){.tier2 = true});
	cp = room_page(&f.r, 0);
	region.cp = cp;
	region.blocks = arena_new(&region.arena, struct ir_block *, 1);
	region.blocks[0] = room_block(&region.arena, MODE_USER, 0, 0x100, 1, room_jump(room_off(0x100)));
	cr_assert(jit_request_tier2(f.r.jit, &region));
	cr_assert(jit_page_has_code(f.r.jit, cp, 0x100, 4), "a store there must be reported");
	cr_assert_not(jit_invalidate(f.r.jit, cp, 0x100, 4), "there is no translation yet");
	while (cp->n_pending)
		jit_install_finished(f.r.jit);
	cr_assert_null(jit_find(f.r.jit, cp, 0x100, MODE_USER, 0));
	cr_assert_not(jit_page_has_code(f.r.jit, cp, 0, PAGE_BYTES));
	close_fixture(&f);
}
