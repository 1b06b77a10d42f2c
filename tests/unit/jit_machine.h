/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_JIT_MACHINE_H
#define TESTS_UNIT_JIT_MACHINE_H

/*
 * Tier 1 in the machine of tier2_machine.h, with one difference: memory helpers do the access whatever the L2TLB says
 * (as vmm/'s do), so that a page without tags takes tier 1's slow path and must give what a hit gives.
 */
#include "jit/jit_internal.h"
#include "tests/unit/tier2_machine.h"

#define ROOM_PC_PAGE 0x10000000u /* where mapped test code says it runs */

static uint64_t room_slow_calls;

/* Host address, or NULL: leave, as for a guest exception. */
static inline uint8_t *room_at(struct guest_state *gs, uint32_t gva, unsigned bytes, bool write)
{
	struct machine *m = (struct machine *)gs;
	uint32_t at = gva - MACHINE_BASE, page = at >> PAGE_SHIFT;
	bool ok = at < MACHINE_BYTES && !(at & (bytes - 1)) && page != MACHINE_ABSENT;

	room_slow_calls++;
	machine_clobber();
	if (ok && !(write && page == MACHINE_READ_ONLY))
		return m->ram + at;
	gs->leave = EXIT_EXCEPTION;
	gs->pc = 0x80000180;
	return NULL;
}

static inline uint64_t room_load(struct guest_state *gs, uint64_t a, uint64_t meta, uint64_t c)
{
	unsigned bytes = META_SIZE((uint32_t)meta & ~0xffu);
	uint8_t *at = room_at(gs, (uint32_t)a, bytes, meta & MEM_INTENT);
	uint64_t v = 0;

	for (unsigned i = 0; at && i < bytes; i++)
		v |= (uint64_t)at[meta & MEM_BE ? bytes - 1 - i : i] << 8 * i;
	if (meta & MEM_SIGN)
		v = (uint32_t)((int64_t)(v << (64 - 8 * bytes)) >> (64 - 8 * bytes));
	/* the upper half of a word result is nobody's business */
	return bytes == 8 ? v : v | (uint64_t)0xdead << 32;
}

static inline uint64_t room_store(struct guest_state *gs, uint64_t a, uint64_t v, uint64_t meta)
{
	unsigned bytes = META_SIZE((uint32_t)meta & ~0xffu);
	uint8_t *at = room_at(gs, (uint32_t)a, bytes, true);

	cr_assert(bytes == 8 || v == (uint32_t)v, "a stored word is not zero-extended");
	cr_assert_eq(a, (uint32_t)a, "an address is not zero-extended");
	for (unsigned i = 0; at && i < bytes; i++)
		at[meta & MEM_BE ? bytes - 1 - i : i] = (uint8_t)(v >> 8 * i);
	return 0;
}

struct room {
	struct code_cache *cache;
	struct jit *jit;
	struct jit_config cfg;
	struct machine *start, *want, *got; /* jit's guest_state is in got */
	helper_fn *helpers[NUM_HELPERS];
	void *slot[4];
	uint32_t *abs_code;
};

static inline void room_open(struct room *r, struct jit_config cfg)
{
	memset(r, 0, sizeof(*r));
	for (unsigned i = 0; i < NUM_HELPERS; i++)
		r->helpers[i] = machine_helpers[i];
	r->helpers[HELPER_MEM_LOAD] = room_load;
	r->helpers[HELPER_MEM_STORE] = room_store;
	r->start = machine_new();
	r->want = machine_new();
	r->got = machine_new();
	cfg.tier1 = true;
	cfg.helpers = r->helpers;
	r->cfg = cfg;
	machine_map(r->got);
	cr_assert_eq(code_cache_new(&r->cache, &cfg), 0);
	cr_assert_eq(jit_new(&r->jit, r->cache, &r->got->gs), 0);
	r->got->gs.abs_code = r->abs_code = calloc(ABS_CODE_ENTRIES, sizeof(*r->abs_code));
	cr_assert(r->abs_code);
}

static inline void room_close(struct room *r)
{
	for (unsigned i = 0; i < ARRAY_LEN(r->slot); i++)
		code_cache_detach(r->cache, &r->slot[i]);
	jit_free(r->jit);
	code_cache_free(r->cache); /* asserts that no record is left */
	free(r->abs_code);
	machine_free(r->start);
	machine_free(r->want);
	machine_free(r->got);
}

/* The record of page i of the machine's memory; exact, since the blocks are not made from what is there. */
static inline struct code_page *room_page(struct room *r, unsigned i)
{
	return jit_code_page(r->jit, &r->slot[i], r->got->ram + i * PAGE_BYTES, 0, true);
}

/* Code page i is what is at unmapped gva. */
static inline void room_map_abs(struct room *r, uint64_t gva, unsigned i)
{
	r->abs_code[ABS_CODE_INDEX(gva)] = jit_code_id(room_page(r, i));
}

/* Make code page i executable at gva (a page) in the L2TLB. */
static inline void room_map_exec(struct room *r, uint64_t gva, unsigned i)
{
	struct l2tlb_entry *e = &r->got->tlb->entry[gva >> PAGE_SHIFT & (L2TLB_ENTRIES - 1)];

	*e = (struct l2tlb_entry){.read_tag = L2TLB_TAG_INVALID, .write_tag = L2TLB_TAG_INVALID};
	e->exec = L2TLB_EXEC(gva, jit_code_id(room_page(r, i)));
	e->addend = (int64_t)((uint64_t)(uintptr_t)(r->got->ram + i * PAGE_BYTES) - gva);
}

/* ---- hand-made blocks ---- */
/* n_guest instructions from off on, no IR but $8 += 1, ending as `term` says. */
static inline struct ir_block *room_block(struct arena *a, uint32_t mode, uint64_t abs_page, uint32_t off,
					  uint32_t n_guest, struct ir_term term)
{
	struct ir_block *b = ir_block_new(a, mode, abs_page);

	b->n_guest = n_guest;
	for (uint32_t i = 0; i < n_guest; i++) {
		b->guest[i].off = (int32_t)(off + 4 * i);
		b->guest[i].bd = off + 4 * i == PAGE_BYTES; /* what else may be there */
	}
	ir_emit(b, IR_INSN, IR_NONE, IR_NONE, IR_NONE, 0);
	ir_setreg(b, 8, ir_op2(b, IR_ADD, ir_getreg(b, 8), ir_const(b, 1)));
	if (term.kind == TERM_INDIRECT)
		term.cond = ir_getreg(b, 25);
	else if (term.kind == TERM_BRANCH)
		term.cond = ir_getreg(b, 9);
	else
		term.cond = IR_NONE;
	term.insn = (uint16_t)(n_guest - 1 - b->guest[n_guest - 1].bd);
	b->term = term;
	cr_assert_null(ir_verify(b), "%s", ir_verify(b));
	return b;
}

static inline struct ir_target room_abs(uint64_t pc) { return (struct ir_target){TGT_ABS, (int64_t)pc}; }
static inline struct ir_target room_off(int64_t off) { return (struct ir_target){TGT_PAGE, off}; }

static inline struct ir_term room_jump(struct ir_target t)
{
	return (struct ir_term){.kind = TERM_JUMP, .target = {t}};
}

static inline struct ir_term room_indirect(enum ir_hint hint)
{
	return (struct ir_term){.kind = TERM_INDIRECT, .hint = (uint8_t)hint};
}

#endif
