/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_TIER2_MACHINE_H
#define TESTS_UNIT_TIER2_MACHINE_H

/*
 * A guest without vmm/: eight pages of memory behind an L2TLB, and helpers whose answers are a function of all that
 * they may look at (never of reg[]).  A region runs in it once through the reference interpreter and once through
 * tier 2, and nothing may differ: why it left, registers, state, memory, counters, the sequence of helper calls.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

#include "jit/jit.h"
#include "jit/tier2.h"
#include "jit/window.h"
#include "tests/unit/ir_gen.h"
#include "tlb/l2tlb_jit.h"

#define MACHINE_PAGES     8
#define MACHINE_READ_ONLY 5 /* this page has no write tag, */
#define MACHINE_ABSENT    6 /* this one none at all */
#define MACHINE_BASE      0x00400000u
#define MACHINE_BYTES     (MACHINE_PAGES * PAGE_BYTES)

struct machine {
	struct guest_state gs; /* first: helpers cast */
	uint64_t trace;
	uint32_t calls;
	uint32_t leave_one_in;   /* a helper that may leave does, once in this many; 0: never */
	struct l2tlb_table *tlb; /* its own, as the address of ram is */
	_Alignas(4096) uint8_t ram[MACHINE_BYTES];
};

static inline uint64_t machine_mix(uint64_t h, uint64_t x)
{
	h = (h ^ x) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

/* All of the state that lifted code reads and writes by offset. */
static inline uint64_t machine_hash(const struct guest_state *gs, uint64_t h)
{
	for (unsigned i = 0; i < 32; i++)
		h = machine_mix(h, gs->fpr[i]);
	for (unsigned i = 0; i < ARRAY_LEN(gs->cp0); i++)
		h = machine_mix(h, gs->cp0[i]);
	return machine_mix(machine_mix(machine_mix(h, gs->fcr31), gs->llbit), gs->llval);
}

/* Leave before the instruction: at its branch if it is in a delay slot. */
static inline uint64_t machine_miss(struct guest_state *gs)
{
	gs->leave = EXIT_SIDE;
	gs->pc = (uint32_t)(gs->pc - (gs->site & SITE_BD ? 4 : 0));
	return 0;
}

/* Host address of an access as l2tlb_jit.h defines it; NULL: miss. */
static inline uint8_t *machine_at(struct guest_state *gs, uint32_t gva, unsigned bytes, bool write)
{
	int64_t addend = (write ? gs->l2tlb->write : gs->l2tlb->read)[gva >> PAGE_SHIFT];

	return addend && !(gva & (bytes - 1)) ? (uint8_t *)(uintptr_t)(gva + (uint64_t)addend) : NULL;
}

static inline uint64_t machine_load(struct guest_state *gs, uint32_t gva, uint32_t meta)
{
	unsigned bytes = META_SIZE(meta & ~0xffu);
	uint8_t *at = machine_at(gs, gva, bytes, meta & MEM_INTENT);
	uint64_t v = 0;

	if (!at)
		return machine_miss(gs);
	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)at[meta & MEM_BE ? bytes - 1 - i : i] << 8 * i;
	if (meta & MEM_SIGN)
		v = (uint32_t)((int64_t)(v << (64 - 8 * bytes)) >> (64 - 8 * bytes));
	return v;
}

static inline uint64_t machine_store(struct guest_state *gs, uint32_t gva, uint64_t v, uint32_t meta)
{
	unsigned bytes = META_SIZE(meta & ~0xffu);
	uint8_t *at = machine_at(gs, gva, bytes, true);

	if (!at)
		return machine_miss(gs);
	for (unsigned i = 0; i < bytes; i++)
		at[meta & MEM_BE ? bytes - 1 - i : i] = (uint8_t)(v >> 8 * i);
	return 0;
}

/* The upper half of a word result is nobody's business. */
static inline uint64_t machine_answer(uint64_t seen, const struct ir_helper_info *info)
{
	seen = machine_mix(seen, 1);
	return info->result == IR_TD ? seen : (seen & 3 ? (uint32_t)seen : seen >> 60) | (uint64_t)0xdead << 32;
}

/* What a C function may do to the registers that its caller saves, a helper does. */
static inline void machine_clobber(void)
{
#define CLOBBER(n) __asm__ volatile("pcmpeqd %%xmm" #n ", %%xmm" #n ::: "xmm" #n)
	CLOBBER(0);
	CLOBBER(1);
	CLOBBER(2);
	CLOBBER(3);
	CLOBBER(4);
	CLOBBER(5);
	CLOBBER(6);
	CLOBBER(7);
	CLOBBER(8);
	CLOBBER(9);
	CLOBBER(10);
	CLOBBER(11);
	CLOBBER(12);
	CLOBBER(13);
	CLOBBER(14);
	CLOBBER(15);
#undef CLOBBER
	__asm__ volatile("xor %%eax, %%eax; xor %%ecx, %%ecx; xor %%r8d, %%r8d; xor %%r9d, %%r9d" ::
			     : "rax", "rcx", "r8", "r9");
	__asm__ volatile(
	    "xor %%edx, %%edx; xor %%esi, %%esi; xor %%edi, %%edi; xor %%r10d, %%r10d; xor %%r11d, %%r11d" ::
		: "rdx", "rsi", "rdi", "r10", "r11");
}

/* What a helper sees of an argument; those it does not take are not even defined. */
static inline uint64_t machine_arg(const struct ir_helper_info *info, unsigned i, uint64_t v)
{
	if (info->arg[i] == IR_TV)
		return 0;
	cr_assert(info->arg[i] != IR_TW || v == (uint32_t)v, "a W argument is not zero-extended");
	return v;
}

static inline uint64_t machine_call(struct guest_state *gs, enum ir_helper h, uint64_t a, uint64_t b, uint64_t c)
{
	struct machine *m = (struct machine *)gs;
	const struct ir_helper_info *info = &ir_helper_info[h];
	uint64_t seen = h;

	machine_clobber();
	seen = machine_mix(seen, machine_arg(info, 0, a));
	seen = machine_mix(seen, machine_arg(info, 1, b));
	seen = machine_mix(seen, machine_arg(info, 2, c));
	if (info->flags == HF_PURE)
		return machine_answer(seen, info);
	seen = machine_mix(seen, m->trace);
	if (info->flags & HF_STATE)
		seen = machine_hash(gs, seen);
	if (info->flags & HF_SITE)
		seen = machine_mix(machine_mix(seen, gs->pc), gs->site);
	m->trace = seen;
	m->calls++;
	if (info->flags & HF_STATE) {
		gs->cp0[CP0_INDEX(12, 0)] = (uint32_t)(seen >> 8);
		gs->fcr31 = (uint32_t)(seen >> 16);
		gs->fpr[seen >> 32 & 3] = seen * 0xd6e8feb86659fd93u;
	}
	if (h == HELPER_ERET)
		gs->pc = (uint32_t)(seen >> 12);
	if (h == HELPER_RAISE || (info->flags & HF_RAISES && m->leave_one_in && seen % m->leave_one_in == 0)) {
		gs->leave = h == HELPER_RAISE || seen >> 63 ? EXIT_EXCEPTION : EXIT_PC_SET;
		gs->pc = (uint32_t)(seen >> 20);
	}
	return machine_answer(seen, info);
}

/* Memory is the only row with a meaning; tier 2 must never call it. */
#define HELPER(name, ...)                                                                                              \
	static uint64_t machine_##name(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)                     \
	{                                                                                                              \
		if (HELPER_##name == HELPER_MEM_LOAD)                                                                  \
			return machine_load(gs, (uint32_t)a, (uint32_t)b);                                             \
		if (HELPER_##name == HELPER_MEM_STORE)                                                                 \
			return machine_store(gs, (uint32_t)a, b, (uint32_t)c);                                         \
		return machine_call(gs, HELPER_##name, a, b, c);                                                       \
	}
#include "ir/helpers.def"
#include "ir/fpu_helpers.def"
#undef HELPER

static helper_fn *const machine_helpers[NUM_HELPERS] = {
#define HELPER(name, ...) machine_##name,
#include "ir/helpers.def"
#include "ir/fpu_helpers.def"
#undef HELPER
};

/* Zeroes, but for the table of addresses, which is empty. */
static inline struct machine *machine_new(void)
{
	struct machine *m = aligned_alloc(4096, sizeof(struct machine) + PAGE_BYTES);

	cr_assert_not_null(m);
	memset(m, 0, sizeof(*m));
	m->tlb =
	    mmap(NULL, sizeof(*m->tlb), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	cr_assert_neq(m->tlb, MAP_FAILED);
	m->gs.l2tlb = m->tlb;
	return m;
}

static inline void machine_free(struct machine *m)
{
	munmap(m->tlb, sizeof(*m->tlb));
	free(m);
}

static inline void machine_map(struct machine *m)
{
	for (unsigned i = 0; i < L2TLB_ENTRIES; i++)
		m->tlb->entry[i] = (struct l2tlb_entry){L2TLB_TAG_INVALID, L2TLB_TAG_INVALID, L2TLB_TAG_INVALID, 0};
	for (unsigned i = 0; i < MACHINE_PAGES; i++) {
		int64_t addend = (int64_t)((uintptr_t)m->ram - MACHINE_BASE);
		unsigned page = (MACHINE_BASE >> PAGE_SHIFT) + i;

		m->tlb->read[page] = i != MACHINE_ABSENT ? addend : 0;
		m->tlb->write[page] = i != MACHINE_ABSENT && i != MACHINE_READ_ONLY ? addend : 0;
	}
}

/* A random state, but for the pointers. */
static inline void machine_init(struct machine *m, struct ir_gen *g, uint32_t mode, uint64_t pc_page)
{
	memset(&m->gs, 0, sizeof(m->gs));
	for (unsigned i = 1; i < NUM_REGS; i++)
		m->gs.reg[i] = (uint32_t)ir_gen_word(g);
	for (unsigned i = 0; i < 32; i++)
		m->gs.fpr[i] = ir_gen_word(g);
	m->gs.cp0[CP0_INDEX(12, 0)] = (uint32_t)ir_gen_word(g);
	m->gs.fcr31 = (uint32_t)ir_gen_word(g);
	m->gs.llbit = ir_gen_below(g, 2);
	m->gs.llval = ir_gen_word(g);
	m->gs.mode = mode;
	m->gs.pc_page = pc_page;
	m->gs.helpers = machine_helpers;
	m->trace = ir_gen_next(g);
	m->calls = 0;
	m->leave_one_in = ir_gen_below(g, 2) * 8;
	for (unsigned i = 0; i < MACHINE_BYTES; i += 8) {
		uint64_t v = ir_gen_next(g);

		memcpy(m->ram + i, &v, 8);
	}
	machine_map(m);
	m->gs.l2tlb = m->tlb;
}

/* Make `to` what `from` is; the parts of gs that belong to a struct jit stay as they are. */
static inline void machine_copy(struct machine *to, const struct machine *from)
{
	struct guest_state own = to->gs;
	struct l2tlb_table *tlb = to->tlb;

	memcpy(to, from, sizeof(*to));
	to->tlb = tlb;
	to->gs.exit_stub = own.exit_stub;
	to->gs.jump_cache = own.jump_cache;
	to->gs.ret_ring = own.ret_ring;
	to->gs.ret_ring_top = own.ret_ring_top;
	to->gs.side_cache = own.side_cache;
	to->gs.abs_code = own.abs_code;
	to->gs.host_sp = own.host_sp;
	to->gs.link = NULL;
	machine_map(to);
	to->gs.l2tlb = to->tlb;
}

/* What differs, or NULL. */
static inline const char *machine_difference(const struct machine *want, const struct machine *got, char *out, size_t n)
{
	const struct guest_state *w = &want->gs, *g = &got->gs;
	const struct {
		const char *name;
		uint64_t want, got;
	} rows[] = {
	    {"pc", w->pc, g->pc},
	    {"helper calls", want->calls, got->calls},
	    {"what helpers saw", want->trace, got->trace},
	    {"state", machine_hash(w, 0), machine_hash(g, 0)},
	    {"pc_page", w->pc_page, g->pc_page},
	    {"leave", w->leave, g->leave},
	    {"icount_left", (uint64_t)w->icount_left, (uint64_t)g->icount_left},
	    {"insns", w->insns[TIER_2], g->insns[TIER_2]},
	    {"memory", 0, (uint64_t)memcmp(want->ram, got->ram, MACHINE_BYTES) != 0},
	};

	for (unsigned i = 0; i < NUM_REGS; i++)
		if (w->reg[i] != g->reg[i] && snprintf(out, n, "register %u: %#llx, tier 2 has %#llx", i,
						       (unsigned long long)w->reg[i], (unsigned long long)g->reg[i]))
			return out;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].want != rows[i].got &&
		    snprintf(out, n, "%s: %#llx, tier 2 has %#llx", rows[i].name, (unsigned long long)rows[i].want,
			     (unsigned long long)rows[i].got))
			return out;
	return NULL;
}

/* ---- the same region through the interpreter ---- */
static inline const struct ir_block *machine_block_at(struct ir_block *const *blocks, uint32_t n, uint64_t pc,
						      uint64_t pc_page)
{
	for (uint32_t i = 0; i < n; i++)
		if (ir_insn_pc(blocks[i], 0, pc_page) == pc)
			return blocks[i];
	return NULL;
}

/* One block with tier 2's bookkeeping around it. *inside: its successor is to be looked for in the region. */
static inline enum exit_reason machine_interpret_block(struct machine *m, const struct ir_block *b, bool icount,
						       bool *inside)
{
	uint32_t done = 0;
	enum exit_reason why;

	*inside = false;
	if (icount && m->gs.icount_left < (int64_t)b->n_guest)
		return EXIT_BUDGET;
	m->gs.icount_left -= icount ? b->n_guest : 0;
	why = ir_interp(b, &m->gs, &done);
	if (why == EXIT_SIDE && done && b->guest[done].bd)
		done--; /* from the branch again */
	/* A helper that leaves knows from gs->site what to give back; the others did it themselves. */
	if (why != EXIT_SIDE && why != EXIT_LINK)
		done = b->n_guest;
	m->gs.icount_left += icount ? b->n_guest - done : 0;
	m->gs.insns[TIER_2] += done;
	if (why != EXIT_LINK)
		return why;
	if (done == b->n_guest && b->term.kind == TERM_INDIRECT)
		return EXIT_INDIRECT;
	*inside = true;
	return EXIT_LINK;
}

static inline enum exit_reason machine_interpret(struct machine *m, struct ir_block *const *blocks, uint32_t n,
						 bool icount, uint32_t max_blocks)
{
	const struct ir_block *b = blocks[0];
	enum exit_reason why = EXIT_NONE;
	bool inside = true;

	m->gs.pc = ir_insn_pc(b, 0, m->gs.pc_page);
	while (inside && b) {
		cr_assert(max_blocks-- > 0, "the region does not end");
		why = machine_interpret_block(m, b, icount, &inside);
		if (inside)
			b = machine_block_at(blocks, n, m->gs.pc, m->gs.pc_page);
	}
	return why;
}

/* ---- random regions whose addresses are worth accessing ---- */
/* Copy b with every address masked into the machine's memory, nearly always aligned. */
static inline struct ir_block *machine_tame(struct ir_gen *g, struct arena *a, const struct ir_block *b)
{
	struct ir_block *c = ir_block_new(a, b->mode, b->abs_page);
	ir_ref *now = arena_new(a, ir_ref, b->n_ins + 1);
	struct ir_ins *ins;
	uint32_t cap, n, insn = 0;

	ins = c->ins;
	cap = c->cap_ins;
	*c = *b;
	c->ins = ins;
	c->cap_ins = cap;
	c->n_ins = 0;
	c->arena = a;
	for (uint32_t i = 0; i < b->n_ins; i++) {
		const struct ir_ins *in = &b->ins[i];
		ir_ref arg[3];

		if (in->op == IR_INSN)
			insn = (uint32_t)in->imm;
		if (in->op == IR_EXITIF && insn + 1 == b->n_guest)
			continue; /* nullifies nothing, and looks like the terminator from outside */
		if (in->op == IR_CALL && (in->imm == HELPER_MEM_LOAD || in->imm == HELPER_MEM_STORE)) {
			now[i] = ir_emit(c, IR_CONST64, IR_NONE, IR_NONE, IR_NONE, i); /* LOADs and STOREs only */
			continue;
		}
		for (int k = 0; k < 3; k++)
			arg[k] = in->arg[k] == IR_NONE ? IR_NONE : now[in->arg[k]];
		if (ir_op_info[in->op].effect == EFF_M) {
			uint32_t mask = MACHINE_BYTES - (ir_gen_below(g, 16) ? 8 : 1);

			arg[0] = ir_op2(c, IR_AND, arg[0], ir_const(c, mask));
			arg[0] = ir_op2(c, IR_OR, arg[0], ir_const(c, MACHINE_BASE));
		}
		now[i] = ir_emit(c, in->op, arg[0], arg[1], arg[2], in->imm);
	}
	if (b->term.kind == TERM_PC_SET) /* something must have set it */
		ir_call(c, HELPER_ERET, IR_NONE, IR_NONE, IR_NONE);
	n = b->term.cond == IR_NONE ? 0 : b->term.cond;
	c->term.cond = b->term.cond == IR_NONE ? IR_NONE : now[n];
	return c;
}

/*
 * Before the first access of a window (jit/window.h) a tier 2 region leaves if not all of it is to be had.  The same as IR: a load there
 * that misses if the window is not in one page, or if a tag is missing that the window wants.
 */
static inline void machine_check_window(struct ir_block *c, const struct window *w, ir_ref first)
{
	static const enum ir_op load[] = {IR_LOAD8U, IR_LOAD16U, IR_LOAD32, IR_LOAD64};
	ir_ref at = first, across;

	if (w->base != IR_NONE) {
		across = ir_op2(c, IR_ADD, first, ir_const(c, (uint32_t)(w->lo - w->first_off)));
		across = ir_op2(c, IR_AND, across, ir_const(c, PAGE_MASK));
		across = ir_op2(c, IR_LTU, ir_const(c, (uint32_t)(PAGE_BYTES - (uint64_t)(w->hi - w->lo))), across);
		at = ir_emit(c, IR_SELECT, across, ir_const(c, MACHINE_BASE + MACHINE_ABSENT * PAGE_BYTES), first, 0);
	}
	if (w->reads)
		ir_emit(c, load[w->align_log2], at, IR_NONE, IR_NONE, 0);
	if (w->writes)
		ir_emit(c, load[w->align_log2], at, IR_NONE, IR_NONE, MEM_INTENT);
}

static inline struct ir_block *machine_with_windows(struct arena *a, const struct ir_block *b)
{
	struct ir_block *c = ir_block_new(a, b->mode, b->abs_page);
	ir_ref *now = arena_new(a, ir_ref, b->n_ins + 1);
	struct windows *ws = arena_new(a, struct windows, 1);
	struct ir_ins *ins = c->ins;
	uint32_t cap = c->cap_ins;

	windows_find(ws, b);
	*c = *b;
	c->ins = ins;
	c->cap_ins = cap;
	c->n_ins = 0;
	c->arena = a;
	for (uint32_t i = 0; i < b->n_ins; i++) {
		const struct ir_ins *in = &b->ins[i];
		ir_ref arg[3];

		if (in->dead)
			continue;
		for (int k = 0; k < 3; k++)
			arg[k] = in->arg[k] == IR_NONE ? IR_NONE : now[in->arg[k]];
		if (ws->of[i] && window_probes(ws, i))
			machine_check_window(c, window_of(ws, i), arg[0]);
		now[i] = ir_emit(c, in->op, arg[0], arg[1], arg[2], in->imm);
	}
	c->term.cond = b->term.cond == IR_NONE ? IR_NONE : now[b->term.cond];
	return c;
}

/* ---- both ways, compared ---- */
struct rig {
	struct code_cache *cache;
	struct jit *jit;
	struct jit_config cfg;
	struct machine *start, *want, *got; /* jit's guest_state is in got */
	void *slot[4];
	uint8_t keys[4]; /* stand for machine pages */
	uint32_t *abs_code;
};

/* cfg: what the test wants; the rest is filled in. */
static inline void rig_open(struct rig *r, struct jit_config cfg)
{
	memset(r, 0, sizeof(*r));
	r->start = machine_new();
	r->want = machine_new();
	r->got = machine_new();
	cfg.tier2 = true;
	cfg.helpers = machine_helpers;
	r->cfg = cfg;
	r->got->gs.helpers = machine_helpers;
	machine_map(r->got);
	cr_assert_eq(code_cache_new(&r->cache, &cfg), 0);
	cr_assert_eq(jit_new(&r->jit, r->cache, &r->got->gs), 0);
	r->got->gs.abs_code = r->abs_code = calloc(ABS_CODE_ENTRIES, sizeof(*r->abs_code));
	cr_assert(r->abs_code);
}

static inline void rig_close(struct rig *r)
{
	for (unsigned i = 0; i < ARRAY_LEN(r->slot); i++)
		code_cache_detach(r->cache, &r->slot[i]);
	jit_free(r->jit);
	code_cache_free(r->cache);
	free(r->abs_code);
	machine_free(r->start);
	machine_free(r->want);
	machine_free(r->got);
}

static inline struct code_page *rig_page(struct rig *r, unsigned i)
{
	return jit_code_page(r->jit, &r->slot[i], &r->keys[i], 0, true);
}

/* Run from a copy of r->start both ways, and compare. */
static inline enum exit_reason rig_check(struct rig *r, struct translation *t, struct ir_block *const *blocks,
					 uint32_t n, const char *what)
{
	struct ir_block *same[TIER2_MAX_BLOCKS];
	struct arena a = {NULL};
	enum exit_reason want, got;
	const char *differs;
	char text[128];

	cr_assert_leq(n, ARRAY_LEN(same));
	for (uint32_t i = 0; i < n; i++)
		same[i] = machine_with_windows(&a, blocks[i]);
	machine_copy(r->want, r->start);
	machine_copy(r->got, r->start);
	want = machine_interpret(r->want, same, n, r->cfg.icount, 1u << 20);
	arena_free(&a);
	if (!r->cfg.count_insns)
		r->want->gs.insns[TIER_2] = r->start->gs.insns[TIER_2];
	r->got->gs.pc = ir_insn_pc(blocks[0], 0, r->start->gs.pc_page);
	got = jit_run(r->jit, t);
	differs = machine_difference(r->want, r->got, text, sizeof(text));
	for (uint32_t i = 0; i < n && (differs || want != got); i++)
		ir_print(stderr, blocks[i]);
	cr_assert_null(differs, "%s: %s", what, differs);
	cr_assert_eq(want, got, "%s: exit %d, tier 2 has %d", what, want, got);
	return got;
}

#endif
