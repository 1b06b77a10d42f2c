/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_JIT_RANDOM_H
#define TESTS_UNIT_JIT_RANDOM_H

/* Random blocks for tier 1, and the comparison of what they do with what the reference interpreter does. */
#include "tests/unit/jit_machine.h"

/* The generator uses seven registers: let them be any, so that all pinned ones are met, in all company. */
static inline void rename_registers(struct ir_gen *g, struct ir_block *b)
{
	unsigned shift = ir_gen_below(g, NUM_REGS - 1);

	for (uint32_t i = 0; i < b->n_ins; i++)
		if (ir_op_info[b->ins[i].op].imm == IMM_REG)
			b->ins[i].imm = 1 + (b->ins[i].imm * 4 + shift) % (NUM_REGS - 1);
}

static inline struct ir_block *random_block(struct ir_gen *g, struct arena *a, uint32_t max_guest)
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

static inline void show(struct room *r, struct translation *t, struct ir_block *const *blocks, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		ir_print(stderr, blocks[i]);
	jit_dump_host(r->jit, t, stderr);
}

/* What vmm/'s dispatch loop does, until tier 1 leaves the region. */
static inline enum exit_reason run_linked(struct room *r, struct ir_block *const *blocks, uint32_t n,
					  struct translation *t)
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
static inline void lose_tags(struct ir_gen *g, struct machine *m)
{
	for (unsigned i = 0; i < MACHINE_PAGES; i++) {
		if (!ir_gen_below(g, 3))
			m->tlb->read[(MACHINE_BASE >> PAGE_SHIFT) + i] = 0;
		if (!ir_gen_below(g, 3))
			m->tlb->write[(MACHINE_BASE >> PAGE_SHIFT) + i] = 0;
	}
}

/* Pointers and what belongs to a struct jit aside, and gs->pc while it runs, all of it must be the same. */
static inline const char *difference(const struct machine *want, const struct machine *got)
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

static inline void check_state(struct room *r, struct ir_gen *g, struct ir_block *const *blocks, uint32_t n,
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

#endif
