/* SPDX-License-Identifier: MIT */
/*
 * Accesses that share a probe (jit/window.h): which do; and random blocks full of them against the reference interpreter, with pages
 * that have no tags, accesses across pages, and slow paths that move all pages elsewhere.
 */
#include "jit/window.h"
#include "tests/unit/jit_machine.h"

#define BLOCKS  6000
#define REGIONS 400
#define STATES  4

/* What a block does in one guest instruction. */
struct step {
	char
	    what; /* r, w: an access; a, at a constant address: c; !: a helper that may map or unmap; +: the base moves */
	unsigned reg;   /* base */
	int32_t off;    /* c: from MACHINE_BASE */
	unsigned log2;  /* of the bytes */
	unsigned value; /* register that is read or written */
	int64_t flags;  /* enum ir_mem_flags */
};

static const enum ir_op loads[] = {IR_LOAD8U, IR_LOAD16S, IR_LOAD32, IR_LOAD64};
static const enum ir_op stores[] = {IR_STORE8, IR_STORE16, IR_STORE32, IR_STORE64};

static void emit_access(struct ir_block *b, const struct step *s)
{
	ir_ref at = ir_op2(b, IR_ADD, ir_getreg(b, s->reg), ir_const(b, (uint32_t)s->off)), v;

	if (s->what == 'w') {
		v = ir_getreg(b, s->value);
		v = s->log2 == 3 ? ir_op2(b, IR_PAIR64, v, at) : v;
		ir_emit(b, stores[s->log2], at, v, IR_NONE, s->flags);
		return;
	}
	at = s->what == 'c' ? ir_const(b, MACHINE_BASE + (uint32_t)s->off) : at;
	v = ir_emit(b, loads[s->log2], at, IR_NONE, IR_NONE, s->flags);
	ir_setreg(b, s->value, s->log2 == 3 ? ir_op2(b, IR_XOR, ir_op1(b, IR_LO32, v), ir_op1(b, IR_HI32, v)) : v);
}

static struct ir_block *make(struct arena *a, const struct step *s, unsigned n)
{
	struct ir_block *b = ir_block_new(a, MODE_CU0, 0);

	for (unsigned i = 0; i < n; i++, s++) {
		b->guest[i].off = (int32_t)(4 * i);
		ir_emit(b, IR_INSN, IR_NONE, IR_NONE, IR_NONE, i);
		if (s->what == '!')
			ir_call(b, HELPER_TLBP, IR_NONE, IR_NONE, IR_NONE);
		else if (s->what == '+')
			ir_setreg(b, s->reg, ir_op2(b, IR_ADD, ir_getreg(b, s->reg), ir_const(b, (uint32_t)s->off)));
		else
			emit_access(b, s);
	}
	b->n_guest = n;
	b->term = (struct ir_term){
	    .kind = TERM_JUMP, .cond = IR_NONE, .insn = (uint16_t)(n - 1), .target = {room_off(0x800)}};
	cr_assert_null(ir_verify(b), "%s", ir_verify(b));
	return b;
}

/* ---- which ---- */

/* The windows of the accesses, in order, as letters; '.': none. */
static void expect(const char *want, const struct step *s, unsigned n)
{
	static struct windows ws;
	struct arena a = {NULL};
	struct ir_block *b = make(&a, s, n);
	char got[64] = "";
	unsigned k = 0;

	ir_run_passes(b, NULL);
	windows_find(&ws, b);
	for (uint32_t i = 0; i < b->n_ins; i++)
		if (!b->ins[i].dead && ir_op_info[b->ins[i].op].effect == EFF_M)
			got[k++] = ws.of[i] ? (char)('a' + ws.of[i] - 1) : '.';
	cr_assert_str_eq(got, want);
	arena_free(&a);
}
#define EXPECT(want, ...)                                                                                              \
	expect(want, (const struct step[]){__VA_ARGS__}, ARRAY_LEN(((const struct step[]){__VA_ARGS__})))

#define R(reg, off)                                                                                                    \
	{                                                                                                              \
		'r', reg, off, 2, 4, 0                                                                                 \
	}
#define W(reg, off)                                                                                                    \
	{                                                                                                              \
		'w', reg, off, 2, 4, 0                                                                                 \
	}
#define RB(reg, off)                                                                                                   \
	{                                                                                                              \
		'r', reg, off, 0, 4, 0                                                                                 \
	}
#define CONSTANT(off)                                                                                                  \
	{                                                                                                              \
		'c', 0, off, 2, 4, 0                                                                                   \
	}
#define FLAG(reg, off, f)                                                                                              \
	{                                                                                                              \
		'r', reg, off, 2, 4, f                                                                                 \
	}
#define BARRIER                                                                                                        \
	{                                                                                                              \
		'!', 0, 0, 0, 0, 0                                                                                     \
	}

Test(jit_window, which_accesses_share)
{
	EXPECT("aaa", R(29, 8), W(29, 12), R(29, 0));
	EXPECT("aabb", R(16, 0), R(16, 4), R(17, 0), R(17, 4));
	EXPECT("abab", R(16, 0), R(17, 4), R(16, 8), W(17, 4));
	EXPECT("..", R(16, 0), R(17, 0));
	EXPECT("..", R(16, 0), BARRIER, R(16, 4));
	EXPECT("..", R(16, 0), R(16, 600));
	EXPECT("a.a", R(16, 0), R(16, 2), R(16, 4)); /* one of them is misaligned */
	EXPECT("aaa", RB(16, 4), R(16, 8), RB(16, 7));
	EXPECT("..", RB(16, 3), R(16, 8));
	EXPECT(".aa", FLAG(16, 0, MEM_INTENT), R(16, 4), R(16, 8));
	EXPECT("aa", CONSTANT(0x20), CONSTANT(0x28));
	EXPECT("..", CONSTANT(0xffc), CONSTANT(0x1000));
}

Test(jit_window, a_base_that_changes)
{
	EXPECT("..", {'r', 16, 0, 2, 16, 0}, R(16, 4)); /* it is what was read */
	EXPECT("aaabb", R(16, 0), R(16, 4), {'r', 16, 8, 2, 16, 0}, R(16, 0), R(16, 4));
}

/* More at a time than are kept: that which is unused for longest ends. */
Test(jit_window, as_many_as_are_kept)
{
	EXPECT("abcdabcd", R(17, 0), R(18, 0), R(19, 0), R(20, 0), R(17, 4), R(18, 4), R(19, 4), R(20, 4));
	EXPECT(".bcdebcde.", R(16, 0), R(17, 0), R(18, 0), R(19, 0), R(20, 0), R(17, 4), R(18, 4), R(19, 4), R(20, 4),
	       R(16, 4));
}

/* ---- what they do ---- */

/* Where the pages of `got` are: in its ram, or in `other`. */
static _Alignas(4096) uint8_t other[MACHINE_BYTES];
static uint8_t *at[MACHINE_PAGES];
static struct ir_gen moves;
static unsigned slow;

static int64_t *addend(struct guest_state *gs, unsigned page, bool write)
{
	return &(write ? gs->l2tlb->write : gs->l2tlb->read)[(MACHINE_BASE >> PAGE_SHIFT) + page];
}

static int64_t addend_of_place(unsigned page)
{
	return (int64_t)((uintptr_t)at[page] - MACHINE_BASE - page * PAGE_BYTES);
}

/* As the break of a copy-on-write does, with the old place as somebody else's from now on. */
static void move(struct machine *m, unsigned page)
{
	uint8_t *from = at[page],
		*to = from == other + page * PAGE_BYTES ? m->ram + page * PAGE_BYTES : other + page * PAGE_BYTES;

	memcpy(to, from, PAGE_BYTES);
	memset(from, 0xa5, PAGE_BYTES);
	at[page] = to;
	for (int write = 0; write < 2; write++)
		if (*addend(&m->gs, page, write))
			*addend(&m->gs, page, write) = addend_of_place(page);
}

static uint8_t *host_of(struct guest_state *gs, uint32_t gva, unsigned bytes, bool write)
{
	struct machine *m = (struct machine *)gs;
	unsigned page = (gva - MACHINE_BASE) >> PAGE_SHIFT;

	slow++;
	if (!room_at(gs, gva, bytes, write))
		return NULL;
	for (unsigned i = 0; i < MACHINE_PAGES; i++)
		if (ir_gen_below(&moves, 2))
			move(m, i);
	if (ir_gen_below(&moves, 2)) { /* a refill */
		*addend(gs, page, false) = addend_of_place(page);
		if (page != MACHINE_READ_ONLY)
			*addend(gs, page, true) = addend_of_place(page);
	}
	return at[page] + (gva & PAGE_MASK);
}

static uint64_t moving_load(struct guest_state *gs, uint64_t a, uint64_t meta, uint64_t c)
{
	unsigned bytes = META_SIZE((uint32_t)meta & ~0xffu);
	uint8_t *p = host_of(gs, (uint32_t)a, bytes, meta & MEM_INTENT);
	uint64_t v = 0;

	for (unsigned i = 0; p && i < bytes; i++)
		v |= (uint64_t)p[meta & MEM_BE ? bytes - 1 - i : i] << 8 * i;
	return meta & MEM_SIGN ? (uint32_t)((int64_t)(v << (64 - 8 * bytes)) >> (64 - 8 * bytes)) : v;
}

static uint64_t moving_store(struct guest_state *gs, uint64_t a, uint64_t v, uint64_t meta)
{
	unsigned bytes = META_SIZE((uint32_t)meta & ~0xffu);
	uint8_t *p = host_of(gs, (uint32_t)a, bytes, true);

	for (unsigned i = 0; p && i < bytes; i++)
		p[meta & MEM_BE ? bytes - 1 - i : i] = (uint8_t)(v >> 8 * i);
	return 0;
}

/* TLBP stands for all that may map or unmap. */
static uint64_t moving_call(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)
{
	for (unsigned i = 0; i < MACHINE_PAGES; i++)
		move((struct machine *)gs, i);
	return machine_helpers[HELPER_TLBP](gs, a, b, c);
}

static const uint8_t bases[] = {4, 16, 24, 29}; /* two that have a host register, two that have none */

static struct step random_step(struct ir_gen *g)
{
	static const char what[] = "rrrrrrrwwwwwwcc+!";
	struct step s = {.what = what[ir_gen_below(g, sizeof(what) - 1)],
			 .log2 = ir_gen_below(g, 3) ? 2 : ir_gen_below(g, 4)};

	s.reg = bases[ir_gen_below(g, ARRAY_LEN(bases))];
	s.off = ((int32_t)ir_gen_below(g, 40) - 8) * (1 << s.log2);
	if (s.what == 'c')
		s.off = (int32_t)(ir_gen_below(g, 3) * PAGE_BYTES + (ir_gen_below(g, 16) << s.log2));
	s.value = 1 + ir_gen_below(g, NUM_REGS - 1);
	s.flags = s.log2 && !ir_gen_below(g, 4) ? MEM_BE : 0;
	for (unsigned i = 0; i < ARRAY_LEN(bases); i++)
		if (s.what != 'w' && s.value == bases[i] && ir_gen_below(g, 4))
			s.value = 8;
	return s;
}

/* At the start or the end of a page, or anywhere; now and then misaligned. */
static uint32_t random_base(struct ir_gen *g)
{
	uint32_t page = MACHINE_BASE + (1 + ir_gen_below(g, MACHINE_PAGES - 2)) * PAGE_BYTES;
	uint32_t in = ir_gen_below(g, 3) ? ir_gen_below(g, PAGE_BYTES / 8) * 8 : PAGE_BYTES - 8 * ir_gen_below(g, 24);

	return page + in + (ir_gen_below(g, 5) ? 0 : ir_gen_below(g, 8));
}

static void lose_tags(struct ir_gen *g, struct machine *m)
{
	for (unsigned i = 0; i < MACHINE_PAGES; i++) {
		if (!ir_gen_below(g, 6))
			*addend(&m->gs, i, false) = 0;
		if (!ir_gen_below(g, 6))
			*addend(&m->gs, i, true) = 0;
	}
}

static void set_up(struct room *r, struct ir_gen *g, uint32_t mode)
{
	machine_init(r->start, g, mode, ROOM_PC_PAGE);
	for (unsigned i = 0; i < ARRAY_LEN(bases); i++)
		r->start->gs.reg[bases[i]] = random_base(g);
	r->start->leave_one_in = 0;
	r->start->gs.helpers = r->helpers;
	machine_copy(r->want, r->start);
	machine_copy(r->got, r->start);
	lose_tags(g, r->got);
	for (unsigned i = 0; i < MACHINE_PAGES; i++)
		at[i] = r->got->ram + i * PAGE_BYTES;
}

static const char *difference(const struct machine *want, const struct machine *got)
{
	for (unsigned i = 0; i < MACHINE_PAGES; i++)
		if (memcmp(want->ram + i * PAGE_BYTES, at[i], PAGE_BYTES) != 0)
			return "memory";
	if (memcmp(want->gs.reg, got->gs.reg, sizeof(want->gs.reg)) != 0)
		return "registers";
	if (want->gs.pc != got->gs.pc || want->gs.leave != got->gs.leave)
		return "the way out";
	return want->trace == got->trace ? NULL : "calls";
}

/* The first byte behind a page is not in it: there is nothing, and that is found out when it is read, not before. */
Test(jit_window, to_the_last_byte)
{
	const struct step across[] = {RB(16, 0), RB(16, 1)};
	struct arena a = {NULL};
	struct room r;
	struct ir_block *b = make(&a, across, ARRAY_LEN(across));
	struct translation *t;

	ir_run_passes(b, NULL);
	room_open(&r, (struct jit_config){.keep_ir = true, .count_insns = true});
	t = jit_compile_tier1(r.jit, room_page(&r, 0), b);
	for (uint32_t from = 0; from < 8; from++) {
		struct guest_state *gs = &r.got->gs;

		machine_init(r.start, &(struct ir_gen){from}, b->mode, ROOM_PC_PAGE);
		machine_copy(r.got, r.start);
		gs->helpers = r.helpers;
		gs->pc = ROOM_PC_PAGE;
		gs->reg[16] = MACHINE_BASE + MACHINE_ABSENT * PAGE_BYTES - 8 + from;
		gs->probes = 0;
		slow = 0;
		room_slow_calls = 0;
		cr_assert_eq(jit_run(r.jit, t), from == 7 ? EXIT_EXCEPTION : EXIT_LINK, "%u", from);
		cr_assert_eq(room_slow_calls, from == 7 ? 2 : 0, "%u: %llu", from, (unsigned long long)room_slow_calls);
		cr_assert_eq(gs->probes, 1);
	}
	arena_free(&a);
	room_close(&r);
}

Test(jit_window, random_blocks, .timeout = 120)
{
	struct ir_gen g = {ir_gen_seed(31)};
	helper_fn *moving[NUM_HELPERS];
	struct arena a = {NULL};
	uint64_t accesses = 0;
	struct room r;

	moves = (struct ir_gen){g.s + 1};
	room_open(&r, (struct jit_config){.keep_ir = true, .count_insns = true});
	memcpy(moving, r.helpers, sizeof(moving));
	moving[HELPER_MEM_LOAD] = moving_load;
	moving[HELPER_MEM_STORE] = moving_store;
	moving[HELPER_TLBP] = moving_call;
	r.got->gs.probes = 0;
	for (unsigned n = 0; n < BLOCKS; n++) {
		struct step s[40];
		unsigned steps = 2 + ir_gen_below(&g, ARRAY_LEN(s) - 2);
		struct translation *t;
		struct ir_block *b;

		for (unsigned i = 0; i < steps; i++)
			s[i] = random_step(&g);
		b = make(&a, s, steps);
		if (ir_gen_below(&g, 4))
			ir_run_passes(b, NULL);
		t = jit_compile_tier1(r.jit, room_page(&r, 0), b);
		for (unsigned k = 0; k < STATES; k++) {
			enum exit_reason want, got;
			const char *differs;

			set_up(&r, &g, b->mode);
			want = machine_interpret(r.want, &b, 1, false, 1);
			r.got->gs.pc = ROOM_PC_PAGE;
			r.got->gs.helpers = moving;
			got = jit_run(r.jit, t);
			differs = want != got ? "why it left" : difference(r.want, r.got);
			if (differs) {
				ir_print(stderr, b);
				jit_dump_host(r.jit, t, stderr);
			}
			cr_assert_null(differs, "block %u: %s", n, differs);
			accesses += r.got->gs.probes;
		}
		jit_invalidate_page(r.jit, room_page(&r, 0));
		arena_reset(&a);
	}
	cr_assert_gt(slow, BLOCKS * STATES);
	cr_assert_gt(accesses, slow, "hardly a probe hits");
	arena_free(&a);
	room_close(&r);
}

static struct ir_block *random_region(struct ir_gen *g, struct arena *a)
{
	struct step s[30];
	unsigned steps = 2 + ir_gen_below(g, ARRAY_LEN(s) - 2);
	struct ir_block *b;

	for (unsigned i = 0; i < steps; i++)
		s[i] = random_step(g);
	b = make(a, s, steps);
	ir_run_passes(b, NULL);
	return b;
}

/* Tier 2 leaves before the first access of a window that is not all there (tier2_machine.h), and checks no other. */
Test(jit_window, tier2, .timeout = 120)
{
	struct ir_gen g = {ir_gen_seed(32)}, again;
	unsigned through = 0, side = 0;
	struct rig r;

	rig_open(&r, (struct jit_config){.sync_tier2 = true, .count_insns = true});
	for (unsigned n = 0; n < REGIONS; n++) {
		struct jit_region region = {.n_blocks = 1};
		struct arena a = {NULL};
		struct translation *t;
		struct ir_block *b;

		again = g;
		b = random_region(&g, &a);
		region.blocks = arena_new(&region.arena, struct ir_block *, 1);
		region.blocks[0] = random_region(&again, &region.arena);
		region.cp = rig_page(&r, 0);
		cr_assert(jit_request_tier2(r.jit, &region));
		t = jit_find(r.jit, rig_page(&r, 0), 0, b->mode, 0);
		cr_assert_not_null(t, "refused");
		for (unsigned k = 0; k < STATES; k++) {
			enum exit_reason why;

			machine_init(r.start, &g, b->mode, ROOM_PC_PAGE);
			for (unsigned i = 0; i < ARRAY_LEN(bases); i++)
				r.start->gs.reg[bases[i]] = random_base(&g);
			r.start->leave_one_in = 0;
			why = rig_check(&r, t, &b, 1, "tier 2");
			through += why == EXIT_LINK;
			side += why == EXIT_SIDE;
		}
		jit_invalidate_page(r.jit, rig_page(&r, 0));
		arena_free(&a);
	}
	cr_assert(through > REGIONS / 4 && side > REGIONS / 4, "%u through, %u left", through, side);
	rig_close(&r);
}
