/* SPDX-License-Identifier: MIT */
/* What a region promises: loops, ways out in the middle, polling, budgets, links, the return ring. */
#include "tests/unit/tier2_machine.h"

#define MAX_BLOCKS 4
#define PC_PAGE    0x10002000u

/* Blocks of a region from text, twice: the JIT consumes one. */
struct program {
	struct arena arena;
	uint32_t n;
	struct ir_block *blocks[MAX_BLOCKS];
	struct translation *t;
};

static struct ir_block *parse(struct arena *a, const char *text)
{
	const char *err = NULL;
	struct ir_block *b = ir_parse(a, text, &err);

	cr_assert_not_null(b, "%s in\n%s", err, text);
	return b;
}

static void compile(struct rig *r, struct program *p, unsigned page, const char *const *text, uint32_t n)
{
	struct jit_region region = {.cp = rig_page(r, page), .n_blocks = n};

	p->n = n;
	region.blocks = arena_new(&region.arena, struct ir_block *, n);
	for (uint32_t i = 0; i < n; i++) {
		p->blocks[i] = parse(&p->arena, text[i]);
		region.blocks[i] = parse(&region.arena, text[i]);
	}
	cr_assert(jit_request_tier2(r->jit, &region));
	p->t =
	    jit_find(r->jit, rig_page(r, page), ir_block_off(p->blocks[0]), p->blocks[0]->mode, p->blocks[0]->abs_page);
	cr_assert_not_null(p->t);
}

static void start(struct rig *r, uint32_t mode)
{
	struct ir_gen g = {7};

	machine_init(r->start, &g, mode, PC_PAGE);
	r->start->leave_one_in = 0;
	r->start->gs.reg[4] = MACHINE_BASE + 16;
	r->start->gs.reg[5] = 500;
	r->start->gs.reg[9] = MACHINE_BASE + 3 * PAGE_BYTES;
}

/* lw t0,0(a0); addu v0,v0,t0; sw v0,0(t1); addiu a1,-1; bnez a1,.; addiu a0,4 */
static const char *const sum_loop[] = {"block user\n"
				       "guest 0x100 8c880000\nguest 0x104 00481021\nguest 0x108 ad220000\n"
				       "guest 0x10c 24a5ffff\nguest 0x110 14a0fffb\nguest 0x114 24840004 bd\n"
				       "insn 0\n%1 = getreg $a0\n%2 = load32 %1\nsetreg $t0, %2\n"
				       "insn 1\n%5 = getreg $v0\n%6 = add %5, %2\nsetreg $v0, %6\n"
				       "insn 2\n%9 = getreg $t1\nstore32 %9, %6\n"
				       "insn 3\n%12 = getreg $a1\n%13 = const 0xffffffff\n%14 = add %12, %13\n"
				       "setreg $a1, %14\n"
				       "insn 4\n%17 = const 0x0\n%18 = ne %14, %17\n"
				       "insn 5\n%20 = const 0x4\n%21 = add %1, %20\nsetreg $a0, %21\n"
				       "branch @4, %18, page:+256, page:+280\n"};

static const struct jit_config counted = {.sync_tier2 = true, .icount = true, .count_insns = true};
static const struct jit_config plain = {.sync_tier2 = true};

Test(tier2_region, loop)
{
	struct program p = {.n = 0};
	struct rig r;

	rig_open(&r, plain);
	compile(&r, &p, 0, sum_loop, 1);
	start(&r, MODE_USER);
	cr_assert_eq(rig_check(&r, p.t, p.blocks, p.n, "500 words"), EXIT_LINK);
	cr_assert_eq(r.got->gs.reg[5], 0);
	cr_assert_eq(r.got->gs.pc, PC_PAGE + 280);
	rig_close(&r);
	arena_free(&p.arena);
}

Test(tier2_region, side_exits)
{
	static const struct {
		const char *what;
		uint32_t a0, t1, pc;
	} rows[] = {
	    {"load from an absent page", MACHINE_BASE + MACHINE_ABSENT * PAGE_BYTES, MACHINE_BASE, 0x100},
	    {"misaligned load", MACHINE_BASE + 2, MACHINE_BASE, 0x100},
	    {"misaligned store", MACHINE_BASE, MACHINE_BASE + 1, 0x108},
	    {"store to a read-only page", MACHINE_BASE, MACHINE_BASE + MACHINE_READ_ONLY * PAGE_BYTES, 0x108},
	    {"the loop walks off its page", MACHINE_BASE + MACHINE_ABSENT * PAGE_BYTES - 16, MACHINE_BASE, 0x100},
	    {"an address that wraps", 0xfffffffc, MACHINE_BASE, 0x100},
	};
	struct program p = {.n = 0};
	struct rig r;

	rig_open(&r, counted);
	compile(&r, &p, 0, sum_loop, 1);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		start(&r, MODE_USER);
		r.start->gs.reg[4] = rows[i].a0;
		r.start->gs.reg[9] = rows[i].t1;
		r.start->gs.icount_left = 1 << 20;
		cr_assert_eq(rig_check(&r, p.t, p.blocks, p.n, rows[i].what), EXIT_SIDE);
		cr_assert_eq(r.got->gs.pc, PC_PAGE + rows[i].pc, "%s", rows[i].what);
	}
	rig_close(&r);
	arena_free(&p.arena);
}

/* jal f; lw v0,0(a0): the miss is the branch's, with ra written already. */
Test(tier2_region, side_exit_in_delay_slot)
{
	static const char *const text[] = {"block kernel,abs page 0x80001000\n"
					   "guest 0x010 24020001\nguest 0x014 0c000400\nguest 0x018 8c820000 bd\n"
					   "insn 0\n%1 = const 0x1\nsetreg $v0, %1\n"
					   "insn 1\n%4 = const 0x8000101c\nsetreg $ra, %4\n"
					   "insn 2\n%7 = getreg $a0\n%8 = load32 %7\nsetreg $v0, %8\n"
					   "jump @1, abs:0x80001000, call abs:0x8000101c\n"};
	struct program p = {.n = 0};
	struct rig r;

	rig_open(&r, counted);
	compile(&r, &p, 0, text, 1);
	start(&r, MODE_ABS);
	r.start->gs.icount_left = 10;
	r.start->gs.reg[4] = 1;
	cr_assert_eq(rig_check(&r, p.t, p.blocks, p.n, "slot"), EXIT_SIDE);
	cr_assert_eq(r.got->gs.pc, 0x80001014);
	cr_assert_eq(r.got->gs.reg[2], 1);
	cr_assert_eq(r.got->gs.reg[31], 0x8000101c);
	cr_assert_eq(r.got->gs.icount_left, 9);
	cr_assert_eq(r.got->gs.insns[TIER_2], 1);
	rig_close(&r);
	arena_free(&p.arena);
}

Test(tier2_region, budget)
{
	struct program p = {.n = 0};
	struct rig r;

	rig_open(&r, counted);
	compile(&r, &p, 0, sum_loop, 1);
	for (int64_t left = 0; left <= 20; left++) {
		start(&r, MODE_USER);
		r.start->gs.icount_left = left;
		cr_assert_eq(rig_check(&r, p.t, p.blocks, p.n, "budget"), EXIT_BUDGET);
		cr_assert_eq(r.got->gs.icount_left, left % 6);
		cr_assert_eq(r.got->gs.reg[5], (uint64_t)(500 - left / 6));
		cr_assert_eq(r.got->gs.pc, PC_PAGE + 0x100);
	}
	rig_close(&r);
	arena_free(&p.arena);
}

/* At the head, before anything is done. */
Test(tier2_region, poll_at_head)
{
	struct program p = {.n = 0};
	struct rig r;

	rig_open(&r, counted);
	compile(&r, &p, 0, sum_loop, 1);
	start(&r, MODE_USER);
	r.start->gs.icount_left = 1 << 20;
	machine_copy(r.got, r.start);
	r.got->gs.poll = 1;
	cr_assert_eq(jit_run(r.jit, p.t), EXIT_POLL);
	cr_assert_eq(r.got->gs.pc, PC_PAGE + 0x100);
	cr_assert_eq(r.got->gs.reg[5], 500);
	cr_assert_eq(r.got->gs.icount_left, 1 << 20);
	rig_close(&r);
	arena_free(&p.arena);
}

static uint64_t set_poll(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)
{
	gs->poll = gs->cp0[CP0_INDEX(9, 0)]++ == 6;
	return 0;
}

/* Two blocks that jump to each other for ever; the 7th helper call asks to leave. The back-edge does. */
Test(tier2_region, poll_at_back_edge)
{
	static const char *const text[] = {"block user\nguest 0x040 0\ninsn 0\n%1 = getreg $t2\n%2 = const 0x1\n"
					   "%3 = add %1, %2\nsetreg $t2, %3\njump @0, page:+128\n",
					   "block user\nguest 0x080 0\ninsn 0\n%1 = call di\njump @0, page:+64\n"};
	helper_fn *helpers[NUM_HELPERS];
	struct jit_config cfg = plain;
	struct program p = {.n = 0};
	struct rig r;

	memcpy(helpers, machine_helpers, sizeof(helpers));
	helpers[HELPER_DI] = set_poll;
	rig_open(&r, cfg);
	jit_free(r.jit);
	code_cache_free(r.cache);
	cfg.tier2 = true;
	cfg.helpers = helpers;
	cr_assert_eq(code_cache_new(&r.cache, &cfg), 0);
	cr_assert_eq(jit_new(&r.jit, r.cache, &r.got->gs), 0);
	compile(&r, &p, 0, text, 2);
	start(&r, MODE_USER);
	machine_copy(r.got, r.start);
	r.got->gs.cp0[CP0_INDEX(9, 0)] = 0;
	r.got->gs.reg[10] = 0;
	cr_assert_eq(jit_run(r.jit, p.t), EXIT_POLL);
	cr_assert_eq(r.got->gs.reg[10], 7, "%lu times", (long)r.got->gs.reg[10]);
	cr_assert_eq(r.got->gs.pc, PC_PAGE + 0x40);
	rig_close(&r);
	arena_free(&p.arena);
}

/* A branch-likely: not taken leaves before its slot, which is not counted. */
Test(tier2_region, nullified_slot)
{
	static const char *const text[] = {"block user\nguest 0x200 0\nguest 0x204 0 bd\nexit page:+520\n"
					   "insn 0\n%1 = getreg $a0\n%2 = const 0x0\n%3 = ne %1, %2\nexitif 0, %3\n"
					   "insn 1\n%6 = getreg $t1\nstore32 %6, %1\n"
					   "jump @0, page:+512\n"};
	struct program p = {.n = 0};
	struct rig r;

	rig_open(&r, counted);
	compile(&r, &p, 0, text, 1);
	start(&r, MODE_USER);
	r.start->gs.icount_left = 10;
	cr_assert_eq(rig_check(&r, p.t, p.blocks, p.n, "nullified"), EXIT_LINK);
	cr_assert_eq(r.got->gs.pc, PC_PAGE + 520);
	cr_assert_eq(r.got->gs.icount_left, 9);
	start(&r, MODE_USER);
	r.start->gs.reg[4] = 0;
	r.start->gs.icount_left = 9;
	cr_assert_eq(rig_check(&r, p.t, p.blocks, p.n, "taken"), EXIT_BUDGET);
	cr_assert_eq(r.got->gs.icount_left, 1);
	rig_close(&r);
	arena_free(&p.arena);
}

#define STEP(off, to)                                                                                                  \
	"block user\nguest " off " 0\ninsn 0\n%1 = getreg $t2\n%2 = const 0x1\n%3 = add %1, %2\n"                      \
	"setreg $t2, %3\njump @0, " to "\n"

/* Unlinked, a way out names its link; linked, it is not seen any more. */
Test(tier2_region, links_within_page)
{
	static const char *const first[] = {STEP("0x010", "page:+32")}, *const second[] = {STEP("0x020", "page:+48")};
	struct program p = {.n = 0}, q = {.n = 0};
	struct rig r;

	rig_open(&r, plain);
	compile(&r, &p, 0, first, 1);
	start(&r, MODE_USER);
	r.start->gs.reg[10] = 0;
	machine_copy(r.got, r.start);
	cr_assert_eq(jit_run(r.jit, p.t), EXIT_LINK);
	cr_assert_not_null(r.got->gs.link);
	cr_assert_eq(r.got->gs.pc, PC_PAGE + 32);
	compile(&r, &q, 0, second, 1);
	jit_link(r.jit, q.t);
	machine_copy(r.got, r.start);
	cr_assert_eq(jit_run(r.jit, p.t), EXIT_LINK);
	cr_assert_eq(r.got->gs.pc, PC_PAGE + 48);
	cr_assert_eq(r.got->gs.reg[10], 2);
	jit_invalidate(r.jit, rig_page(&r, 0), 0x20, 4);
	machine_copy(r.got, r.start);
	cr_assert_eq(jit_run(r.jit, p.t), EXIT_LINK);
	cr_assert_eq(r.got->gs.pc, PC_PAGE + 32, "unlinked again");
	rig_close(&r);
	arena_free(&p.arena);
	arena_free(&q.arena);
}

/* jal f; ...; f: jr ra comes back to a translation of the return address without leaving. */
Test(tier2_region, return_ring)
{
	static const char *const call[] = {"block kernel,abs page 0x80001000\nguest 0x010 0\n"
					   "insn 0\n%1 = const 0x80001018\nsetreg $ra, %1\n"
					   "jump @0, abs:0x80001100, call abs:0x80001018\n",
					   "block kernel,abs page 0x80001000\nguest 0x100 0\n"
					   "insn 0\n%1 = getreg $ra\nindirect @0, %1, return\n"};
	static const char *const after[] = {"block kernel,abs page 0x80001000\nguest 0x018 0\n"
					    "insn 0\n%1 = const 0x5\nsetreg $t2, %1\njump @0, abs:0x80001200\n"};
	struct program p = {.n = 0}, q = {.n = 0};
	struct rig r;

	rig_open(&r, plain);
	compile(&r, &p, 0, call, 2);
	start(&r, MODE_ABS);
	r.start->gs.reg[10] = 0;
	r.abs_code[ABS_CODE_INDEX(0x80001000)] = jit_code_id(rig_page(&r, 0));
	machine_copy(r.got, r.start);
	cr_assert_eq(jit_run(r.jit, p.t), EXIT_LINK, "the ring's entry is not linked");
	cr_assert_eq(r.got->gs.pc, 0x80001018);
	cr_assert_not_null(r.got->gs.link);
	compile(&r, &q, 0, after, 1);
	jit_link(r.jit, q.t);
	machine_copy(r.got, r.start);
	cr_assert_eq(jit_run(r.jit, p.t), EXIT_LINK);
	cr_assert_eq(r.got->gs.pc, 0x80001200);
	cr_assert_eq(r.got->gs.reg[10], 5);
	rig_close(&r);
	arena_free(&p.arena);
	arena_free(&q.arena);
}
