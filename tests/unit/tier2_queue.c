/* SPDX-License-Identifier: MIT */
/* The background thread: everything comes back, stale work does not, and it goes away when told. */
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "jit/tier2.h"
#include "tests/unit/tier2_machine.h"

#define REGIONS 60

static struct ir_block *step_block(struct arena *a, uint32_t off, uint32_t n_guest)
{
	struct ir_block *b = ir_block_new(a, MODE_USER, 0);

	b->n_guest = n_guest;
	for (uint32_t i = 0; i < n_guest; i++) {
		ir_ref v;

		b->guest[i].off = (int32_t)(off + 4 * i);
		ir_emit(b, IR_INSN, IR_NONE, IR_NONE, IR_NONE, i);
		v = ir_op2(b, IR_ADD, ir_getreg(b, 2), ir_const(b, off + i));
		ir_setreg(b, 2, v);
	}
	b->term.kind = TERM_JUMP;
	b->term.target[0] = (struct ir_target){TGT_PAGE, 4 * PAGE_BYTES};
	cr_assert_null(ir_verify(b));
	return b;
}

static struct jit_region step_region(struct code_page *cp, uint32_t off)
{
	struct jit_region r = {.cp = cp, .n_blocks = 1};

	r.blocks = arena_new(&r.arena, struct ir_block *, 1);
	r.blocks[0] = step_block(&r.arena, off, 4);
	return r;
}

static void install_until(struct jit *j, uint64_t regions)
{
	const time_t give_up = time(NULL) + 300; /* Criterion's own time limits leak */

	while (jit_stats(j).regions < regions) {
		jit_install_finished(j);
		sched_yield();
		cr_assert_lt(time(NULL), give_up, "nothing comes back");
	}
}

Test(tier2_queue, background)
{
	struct jit_config cfg = {.sync_tier2 = false};
	struct rig r;
	struct code_page *cp;

	rig_open(&r, cfg);
	cp = rig_page(&r, 0);
	for (uint32_t i = 0; i < REGIONS; i++) {
		struct jit_region g = step_region(cp, 64 * i), twin = step_region(cp, 64 * i);

		cr_assert(jit_request_tier2(r.jit, &g));
		cr_assert_not(jit_request_tier2(r.jit, &twin), "an equal request is pending");
	}
	install_until(r.jit, REGIONS);
	cr_assert_neq(r.got->gs.poll, 0, "the vCPU was not asked to look");
	r.got->gs.poll = 0;
	for (uint32_t i = 0; i < REGIONS; i++) {
		struct translation *t = jit_find(r.jit, cp, 64 * i, MODE_USER, 0);
		uint64_t before = r.got->gs.reg[2] = 1000;

		cr_assert_not_null(t);
		cr_assert_eq(jit_run(r.jit, t), EXIT_LINK);
		cr_assert_eq(r.got->gs.reg[2], before + 4 * 64 * i + 6);
	}
	cr_assert_gt(jit_stats(r.jit).ns_tier2, 0);
	cr_assert_eq(jit_stats(r.jit).guest_insns_translated[TIER_2], 4 * REGIONS);
	rig_close(&r);
}

/* A write to the page while its region is being compiled: the result is dropped. */
Test(tier2_queue, stale_work_is_dropped)
{
	struct rig r;
	struct code_page *cp;
	struct jit_region g;

	rig_open(&r, (struct jit_config){.sync_tier2 = false});
	cp = rig_page(&r, 0);
	g = step_region(cp, 0x100);
	cr_assert(jit_request_tier2(r.jit, &g));
	cr_assert(jit_page_has_code(r.jit, cp, 0x104, 4), "a store must be noticed");
	jit_invalidate(r.jit, cp, 0x104, 4);
	g = step_region(rig_page(&r, 1), 0x200); /* finished after the first */
	cr_assert(jit_request_tier2(r.jit, &g));
	install_until(r.jit, 1);
	cr_assert_null(jit_find(r.jit, cp, 0x100, MODE_USER, 0));
	cr_assert_not_null(jit_find(r.jit, rig_page(&r, 1), 0x200, MODE_USER, 0));
	rig_close(&r);
}

Test(tier2_queue, free_with_work_pending)
{
	for (int n = 0; n < 20; n++) {
		struct rig r;

		rig_open(&r, (struct jit_config){.sync_tier2 = false});
		for (uint32_t i = 0; i < REGIONS; i++) {
			struct jit_region g = step_region(rig_page(&r, 0), 64 * i);

			(void)jit_request_tier2(r.jit, &g);
		}
		rig_close(&r);
	}
}

/* ---- struct tier2 by itself: compiles, never runs ---- */
static void count_finished(void *ctx) { atomic_fetch_add((atomic_int *)ctx, 1); }

Test(tier2_queue, batches)
{
	atomic_int calls = 0;
	struct tier2_config cfg = {
	    .background = true, .helpers = machine_helpers, .on_finished = count_finished, .ctx = &calls};
	struct tier2_stats s;
	struct tier2_work *w;
	uint32_t next = 0;
	struct tier2 *t;

	cr_assert_eq(tier2_new(&t, &cfg), 0);
	for (uint32_t i = 0; i < REGIONS; i++) {
		struct jit_region g = step_region(NULL, 64 * i);

		cr_assert(tier2_request(t, tier2_work_new(&g, NULL)));
	}
	tier2_drain(t);
	s = tier2_stats(t);
	cr_assert_eq(s.requested, REGIONS);
	cr_assert_eq(s.regions, REGIONS);
	cr_assert_lt(s.batches, REGIONS / 2, "%lu batches", (unsigned long)s.batches);
	cr_assert_eq((uint64_t)atomic_load(&calls), s.batches);
	cr_assert(tier2_has_finished(t));
	while ((w = tier2_take_finished(t)) != NULL) {
		cr_assert_eq(ir_block_off(w->region.blocks[0]), 64 * next++, "in order");
		cr_assert_eq(w->n_links, 1);
		cr_assert_eq(w->n_guest, 4);
		tier2_work_free(w);
	}
	cr_assert_eq(next, REGIONS);
	cr_assert_not(tier2_has_finished(t));
	tier2_free(t);
}

static enum tier2_refusal refusal_of(struct tier2 *t, struct jit_region *r)
{
	struct tier2_work *w = tier2_work_new(r, NULL);
	enum tier2_refusal why;

	tier2_compile_sync(t, w);
	why = w->refused;
	cr_assert_eq(w->image != NULL, why == TIER2_REFUSED_NONE);
	tier2_work_free(w);
	return why;
}

Test(tier2_queue, refusals)
{
	struct tier2_config cfg = {.helpers = machine_helpers};
	struct tier2 *t;

	cr_assert_eq(tier2_new(&t, &cfg), 0);
	for (uint32_t n = TIER2_MAX_BLOCKS; n <= TIER2_MAX_BLOCKS + 1; n++) {
		struct jit_region g = {.n_blocks = n};

		g.blocks = arena_new(&g.arena, struct ir_block *, n);
		for (uint32_t i = 0; i < n; i++)
			g.blocks[i] = step_block(&g.arena, 16 * i, 4);
		cr_assert_eq(refusal_of(t, &g), n <= TIER2_MAX_BLOCKS ? TIER2_REFUSED_NONE : TIER2_REFUSED_TOO_BIG);
	}
	for (int which = 0; which < 2; which++) {
		struct jit_region g = {.n_blocks = 2};

		g.blocks = arena_new(&g.arena, struct ir_block *, 2);
		g.blocks[0] = step_block(&g.arena, 0, 4);
		g.blocks[1] = step_block(&g.arena, 16, 4);
		g.blocks[1]->mode = which ? MODE_USER : MODE_KERNEL;
		cr_assert_eq(refusal_of(t, &g), which ? TIER2_REFUSED_NONE : TIER2_REFUSED_MIXED);
	}
	cr_assert_eq(tier2_stats(t).refused[TIER2_REFUSED_MIXED], 1);
	cr_assert_eq(tier2_stats(t).refused[TIER2_REFUSED_TOO_BIG], 1);
	tier2_free(t);
}
