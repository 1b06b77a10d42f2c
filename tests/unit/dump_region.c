/* SPDX-License-Identifier: MIT */
/* Which blocks go to tier 2 together, and the edges that the dumps show: real code through the lifter. */
#include "frontend/frontend.h"
#include "vmm/cpu/region_build.h"
#include "vmm/look/dump.h"

#include <criterion/criterion.h>
#include <string.h>

#define PAGE_AT 0x80001000u

struct page {
	struct frontend *f;
	uint32_t word[PAGE_BYTES / 4];
	bool not_run[PAGE_BYTES / 4];
	uint32_t mode;
};

static struct ir_block *lift(void *ctx, uint32_t off, struct arena *a)
{
	struct page *p = ctx;
	static const uint32_t slot;
	struct lift_request rq = {.mode = p->mode,
				  .abs_page = p->mode & MODE_ABS ? PAGE_AT : 0,
				  .off = off,
				  .words = p->word + off / 4,
				  .n_words = PAGE_BYTES / 4 - off / 4,
				  .slot = &slot};
	struct ir_block *b = NULL;

	cr_assert_eq(frontend_lift(p->f, a, &rq, &b), LIFT_OK);
	return b;
}

static bool has_run(void *ctx, uint32_t off) { return !((struct page *)ctx)->not_run[off / 4]; }

static void open_page(struct page *p, uint32_t mode)
{
	memset(p, 0, sizeof(*p));
	p->f = frontend_new(ISA_MIPS32R1 | ISA_MIPS32R2);
	p->mode = mode;
	for (size_t i = 0; i < ARRAY_LEN(p->word); i++)
		p->word[i] = 0x03e00008; /* jr ra, everywhere */
}

static void build(struct page *p, uint32_t off, struct jit_region *r, struct region_plan *plan)
{
	struct region_source src = {lift, has_run, p};

	*r = (struct jit_region){0};
	region_build(plan, r, PAGE_AT + off, &src);
}

static void close_page(struct page *p, struct jit_region *r)
{
	arena_free(&r->arena);
	frontend_free(p->f);
}

static const struct dump_edge *find(const struct dump_edge *e, unsigned n, const char *what)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(e[i].what, what) == 0)
			return &e[i];
	cr_assert_fail("no edge '%s'", what);
	return NULL;
}

/* beq at the head: one way in the page and run, the other not; a call behind it; a jump to another page. */
Test(dump_region, edges)
{
	struct dump_edge e[DUMP_MAX_EDGES];
	struct region_plan plan;
	struct jit_region r;
	struct page p;
	unsigned n;

	open_page(&p, MODE_KERNEL | MODE_ABS);
	p.word[0] = 0x10400003;    /* beqz v0, 0x10 */
	p.word[1] = p.word[5] = 0; /* slots */
	p.word[2] = 0;             /* 0x08, never run */
	p.word[4] = 0x0c000c00;    /* 0x10: jal 0x80003000 */
	p.word[6] = 0x1000fff9;    /* 0x18: b 0x00 */
	p.word[7] = 0;
	p.not_run[2] = true;
	build(&p, 0, &r, &plan);
	cr_assert_eq(r.n_blocks, 3);
	cr_assert(plan.has_cycle);
	cr_assert_eq(plan.stop, REGION_STOP_DONE);
	cr_assert_eq(ir_block_off(r.blocks[1]), 0x10);
	cr_assert_eq(ir_block_off(r.blocks[2]), 0x18);
	n = dump_edges(r.blocks[0], PAGE_AT, &plan, e);
	cr_assert_eq(n, 2);
	cr_assert(find(e, n, "taken")->inside && find(e, n, "taken")->pc == PAGE_AT + 0x10);
	cr_assert(!find(e, n, "not taken")->inside);
	cr_assert(strstr(find(e, n, "not taken")->how, "never executed"));
	n = dump_edges(r.blocks[1], PAGE_AT, &plan, e);
	cr_assert(strstr(find(e, n, "goes to")->how, "another page"));
	cr_assert_eq(find(e, n, "goes to")->pc, 0x80003000u);
	cr_assert(find(e, n, "returns to")->inside && find(e, n, "returns to")->is_return);
	/* the block behind the call leads to the head, but the head does not lead there */
	cr_assert_eq(dump_reached(&r, &plan), 3u);
	close_page(&p, &r);
}

/* A chain of blocks, each a branch to the next: the limit of blocks, and what is said of the one after it. */
Test(dump_region, limits)
{
	struct dump_edge e[DUMP_MAX_EDGES];
	struct region_plan plan;
	struct jit_region r;
	struct page p;
	unsigned n;

	open_page(&p, MODE_USER);
	for (uint32_t i = 0; i < 400; i += 2) {
		p.word[i] = 0x10000001; /* b +8 */
		p.word[i + 1] = 0;
	}
	build(&p, 0, &r, &plan);
	cr_assert_eq(r.n_blocks, REGION_MAX_BLOCKS);
	cr_assert_not(plan.has_cycle);
	cr_assert_eq(plan.stop, REGION_STOP_BLOCKS);
	n = dump_edges(r.blocks[REGION_MAX_BLOCKS - 1], PAGE_AT, &plan, e);
	cr_assert(!find(e, n, "goes to")->inside && strstr(find(e, n, "goes to")->how, "limit of blocks"));
	close_page(&p, &r);

	open_page(&p, MODE_USER);
	memset(p.word, 0, sizeof(p.word)); /* nops: blocks of IR_MAX_GUEST, one falls into the next */
	build(&p, 0, &r, &plan);
	cr_assert_eq(plan.stop, REGION_STOP_INSNS);
	cr_assert(plan.n_insns >= REGION_MAX_INSNS && plan.n_insns < REGION_MAX_INSNS + IR_MAX_GUEST);
	n = dump_edges(r.blocks[r.n_blocks - 1], PAGE_AT, &plan, e);
	cr_assert(strstr(find(e, n, "goes to")->how, "limit of instructions"));
	close_page(&p, &r);
}

/* The last word of a page is never in a region, as head or otherwise; J of mapped code depends on the mapping. */
Test(dump_region, borders)
{
	struct dump_edge e[DUMP_MAX_EDGES];
	struct region_plan plan;
	struct jit_region r;
	struct page p;
	unsigned n;

	open_page(&p, MODE_USER);
	build(&p, PAGE_BYTES - 4, &r, &plan);
	cr_assert_eq(r.n_blocks, 0);
	cr_assert_eq(plan.fate[PAGE_BYTES / 4 - 1], REGION_LAST_WORD);
	arena_free(&r.arena);
	p.word[0] = 0x100003fe; /* b 0xffc */
	p.word[1] = 0;
	build(&p, 0, &r, &plan);
	n = dump_edges(r.blocks[0], PAGE_AT, &plan, e);
	cr_assert_eq(r.n_blocks, 1);
	cr_assert(strstr(find(e, n, "goes to")->how, "last word"));
	arena_free(&r.arena);
	p.word[0] = 0x08000400; /* j 0x..1000 */
	build(&p, 0, &r, &plan);
	n = dump_edges(r.blocks[0], PAGE_AT, &plan, e);
	cr_assert(strstr(find(e, n, "goes to")->how, "depends on the mapping"));
	close_page(&p, &r);
}
