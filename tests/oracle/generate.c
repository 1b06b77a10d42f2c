/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "frontend/fpu.h"
#include "tests/oracle/asm.h"
#include "tests/oracle/generate.h"

/*
 * A block: 1 to max_insns instructions drawn from the rows, branches ahead, at most one counted loop, perhaps a leaf
 * function behind the end, and states to run it from.
 */
enum { MAX_FUNCTION = 6, MAX_POINTER_STEPS = 3 };

uint32_t generator_put(struct generator *g, uint32_t word, unsigned flags)
{
	uint32_t i = g->p->n++;

	g->p->insn[i] = (struct program_insn){word, TARGET_NONE, g->group, (uint8_t)flags};
	return i;
}

static bool has_role(const struct program_roles *role, unsigned r)
{
	return r == role->pointer[0] || r == role->pointer[1] || r == role->wild || r == role->index ||
	       r == role->count || r == role->target || r == role->code;
}

bool generator_has_role(const struct generator *g, unsigned r) { return has_role(&g->p->role, r); }

unsigned generator_dest(struct generator *g)
{
	unsigned r;

	if (rng_one_in(&g->rng, 2))
		return g->hot_gpr[rng_below(&g->rng, ARRAY_LEN(g->hot_gpr))];
	do
		r = rng_below(&g->rng, 32);
	while (r == REG_CASE || (r == 31 && g->in_function) || has_role(&g->p->role, r));
	return r;
}

unsigned generator_gpr(struct generator *g)
{
	return rng_one_in(&g->rng, 2) ? g->hot_gpr[rng_below(&g->rng, ARRAY_LEN(g->hot_gpr))] : rng_below(&g->rng, 32);
}

/* Of 64: how often a row that was drawn is taken. */
static uint32_t weight(enum row_class c)
{
	static const uint8_t weights[NUM_ROW_CLASSES] = {
	    [ROW_ALU] = 64,     [ROW_TRAPS] = 8,       [ROW_DIVIDE] = 40,     [ROW_MEMORY] = 64,
	    [ROW_INDEXED] = 40, [ROW_LINKED] = 40,     [ROW_BRANCH] = 28,     [ROW_JUMP] = 28,
	    [ROW_FP] = 40,      [ROW_FP_GUARDED] = 20, [ROW_FP_CONTROL] = 40,
	};

	return weights[c];
}

const struct insn *generator_pick_row(struct generator *g, uint32_t classes)
{
	for (;;) {
		const struct insn *row = &insn_table[rng_below(&g->rng, NUM_INSNS)];
		enum row_class c = row_class(row);

		if (!(classes >> c & 1) || rng_below(&g->rng, 64) >= weight(c))
			continue;
		if (row->flags & INSN_CP1 && !g->o->setup->fp)
			continue;
		/* with FR=0 these are reserved: fpu_oracle.c */
		if (row->flags & INSN_FR_PAIR && !g->o->setup->fr && row_needs_fr(row))
			continue;
		return row;
	}
}

#define SINGLE (1u << ROW_ALU | 1u << ROW_TRAPS | 1u << ROW_MEMORY | 1u << ROW_INDEXED | 1u << ROW_FP)
#define ANY                                                                                                            \
	(SINGLE | 1u << ROW_DIVIDE | 1u << ROW_LINKED | 1u << ROW_BRANCH | 1u << ROW_JUMP | 1u << ROW_FP_GUARDED |     \
	 1u << ROW_FP_CONTROL)

void generator_put_slot(struct generator *g)
{
	g->group++;
	generator_put(g, generator_word(g, generator_pick_row(g, SINGLE)), PI_SLOT);
}

/* ---- patterns ---- */

/* Back to an earlier instruction, role.count times; the decrement comes before the branch or in its slot. */
static void put_loop(struct generator *g)
{
	unsigned count = g->p->role.count;
	uint32_t back = rng_below(&g->rng, g->p->n), i;
	bool in_slot = rng_one_in(&g->rng, 2);

	while (!program_target_ok(g->p, back))
		back--;
	g->group++;
	if (!in_slot)
		generator_put(g, A_ADDIU(count, count, -1), 0);
	i = generator_put(g, A_BGTZ(count, 0), in_slot ? 0 : PI_GLUED);
	g->p->insn[i].target = (int16_t)back;
	if (in_slot)
		generator_put(g, A_ADDIU(count, count, -1), PI_SLOT);
	else
		generator_put_slot(g);
}

static void put_pointer_step(struct generator *g)
{
	unsigned r = g->p->role.pointer[rng_below(&g->rng, 2)];

	g->group++;
	generator_put(g, A_ADDIU(r, r, 8 * ((int)rng_below(&g->rng, 5) - 2)), 0);
}

/*
 * Store an instruction of the block (or what is behind it) over itself: nothing changes, whether or not an
 * implementation sees modified code at once, but translations of it must go, and execution must go on.
 */
static void put_rewrite(struct generator *g)
{
	unsigned t = generator_dest(g), code = g->p->role.code;
	uint32_t at = 4 * rng_below(&g->rng, g->p->n + 12);

	t = t ? t : g->hot_gpr[0];
	g->group++;
	generator_put(g, A_LW(t, at, code), 0);
	generator_put(g, A_SW(t, at, code), PI_GLUED);
}

/* Words that are nothing in MIPS32: MIPS64 opcodes and holes. RI (volume II, appendix A). */
static void put_reserved(struct generator *g)
{
	static const uint32_t words[] = {0x60000000, 0x64000000, 0xdc000000, 0xfc000000,
					 0x0000002d, 0x0000003f, 0x04180000, 0x70000006};

	g->group++;
	generator_put(g, words[rng_below(&g->rng, ARRAY_LEN(words))], 0);
}

/* Filled in when the function's place is known. */
static void put_call(struct generator *g, int16_t *calls, uint32_t *n_calls)
{
	g->group++;
	calls[(*n_calls)++] = (int16_t)generator_put(g, rng_one_in(&g->rng, 2) ? A_BAL : A_JAL(0), 0);
	g->in_function = true; /* the slot keeps $31 */
	generator_put_slot(g);
	g->in_function = false;
}

static void put_function(struct generator *g, const int16_t *calls, uint32_t n_calls)
{
	uint32_t start = g->p->n, n = 1 + rng_below(&g->rng, MAX_FUNCTION);

	g->in_function = true;
	for (uint32_t i = 0; i < n; i++) {
		g->group++;
		generator_put(g, generator_word(g, generator_pick_row(g, SINGLE)), 0);
	}
	g->group++;
	generator_put(g, A_JR(31), PI_KEEP);
	generator_put_slot(g);
	for (uint32_t i = 0; i < n_calls; i++)
		g->p->insn[calls[i]].target = (int16_t)start;
}

static uint32_t put_end(struct generator *g)
{
	uint32_t i;

	g->group++;
	i = generator_put(g, A_J(0), PI_KEEP);
	g->p->insn[i].target = TARGET_TAIL;
	generator_put(g, A_NOP, PI_KEEP | PI_SLOT);
	return i;
}

/* Give branches their targets: ahead by about what they asked for, at most the end. */
static void resolve(struct generator *g, uint32_t end)
{
	struct oracle_program *p = g->p;
	uint32_t t;

	for (uint32_t i = 0; i < p->n; i++) {
		if (g->ahead[i] == AHEAD_NONE)
			continue;
		t = i + 1 + g->ahead[i];
		t = t > end ? end : t;
		while (!program_target_ok(p, t))
			t++;
		p->insn[i].target = (int16_t)t;
	}
	t = g->jumped < 0 ? end : (uint32_t)g->jumped + 2 + rng_below(&g->rng, 4);
	t = t > end ? end : t;
	while (!program_target_ok(p, t))
		t++;
	p->target = (int16_t)t;
}

/* ---- states ---- */

static uint32_t pointer_value(struct generator *g, bool code)
{
	uint32_t base = setup_base(g->o->setup), v;

	/* behind the block: in its page, the next, or across */
	if (code)
		v = base + PA_BLOCK + ((g->p->off + 0x600) & ~7u);
	else
		v = base + PA_DATA + 0x800 + (rng_below(&g->rng, DATA_BYTES - 0x1000) & ~7u);
	return rng_one_in(&g->rng, 32) ? v + rng_below(&g->rng, 8) : v;
}

/*
 * Somewhere that no TLB entry maps and Unicorn has no memory; in kseg2 and kseg3 only where the mode may go there,
 * because an address error comes first.
 */
static uint32_t wild_value(struct generator *g)
{
	uint32_t v = 0x10000000u + (uint32_t)(rng_next(&g->rng) % 0x60000000u);

	if (!g->o->setup->mapped && rng_one_in(&g->rng, 3))
		v = 0xc0001000u + (uint32_t)(rng_next(&g->rng) % 0x3fff0000u);
	return v & ~7u;
}

static void fill_state(struct generator *g, struct oracle_state *s, uint32_t fcsr_bits, bool code)
{
	const struct program_roles *role = &g->p->role;

	memset(s, 0, sizeof(*s));
	for (unsigned r = 1; r < 32; r++)
		s->gpr[r] = rng_one_in(&g->rng, 6) ? s->gpr[rng_below(&g->rng, r)] : rng_gpr(&g->rng);
	s->hi = rng_gpr(&g->rng);
	s->lo = rng_gpr(&g->rng);
	s->gpr[role->pointer[0]] = pointer_value(g, false);
	s->gpr[role->pointer[1]] = pointer_value(g, code);
	s->gpr[role->wild] = wild_value(g);
	s->gpr[role->index] = 8 * (rng_below(&g->rng, 32) - 16) + (rng_one_in(&g->rng, 32) ? rng_below(&g->rng, 8) : 0);
	s->gpr[role->count] = 1 + rng_below(&g->rng, 4);
	/* an odd address changes to MIPS16 on Unicorn's 24Kf */
	s->gpr[role->target] = rng_one_in(&g->rng, 48) ? rng_below(&g->rng, 4) & (g->o->beyond_unicorn ? 3 : 2) : 0;
	s->gpr[REG_CASE] = 0;
	if (!g->o->setup->fp)
		return;
	for (unsigned f = 0; f < 32; f++)
		s->fpr[f] = rng_one_in(&g->rng, 6) ? s->fpr[rng_below(&g->rng, f + 1)] : rng_fpr(&g->rng);
	for (unsigned f = 1; f < 32 && !g->o->setup->fr; f += 2)
		s->fpr[f] = 0;
	s->fcsr = (uint32_t)rng_next(&g->rng) & fcsr_bits;
	if (!rng_one_in(&g->rng, 4)) /* what nearly all programs run with, and is translated in line */
		s->fcsr &= ~(FCSR_ENABLES | FCSR_FS | FCSR_RM | (rng_one_in(&g->rng, 2) ? FCSR_FLAGS : 0u));
}

/* Cause stays 0: with its Enable it would trap at once, in the driver. */
static uint32_t fcsr_bits(struct generator *g)
{
	uint32_t bits = FCSR_WRITABLE & ~(FCSR_CAUSE | FCSR_FS | FCSR_ENABLES);

	if (rng_one_in(&g->rng, 4))
		bits |= FCSR_ENABLES & ~(uint32_t)(FPU_U << FCSR_ENABLES_SHIFT);
	if (g->o->beyond_unicorn && rng_one_in(&g->rng, 4))
		bits |= FCSR_ENABLES | FCSR_FS;
	return bits;
}

static void fill_cases(struct generator *g)
{
	uint32_t bits = fcsr_bits(g);
	bool code = rng_one_in(&g->rng, 2);

	for (uint32_t c = 0; c < g->p->n_cases; c++)
		fill_state(g, &g->p->in[c], bits, code);
	for (uint32_t i = 0; i < DATA_BYTES; i += 8)
		memcpy(&g->p->data[i], &(uint64_t){rng_one_in(&g->rng, 2) ? rng_next(&g->rng) : rng_fpr(&g->rng)}, 8);
	program_link(g->p, g->o->setup);
}

/* ---- programs ---- */

static void choose_roles(struct generator *g)
{
	uint8_t r[32], *role[] = {&g->p->role.pointer[0], &g->p->role.pointer[1], &g->p->role.wild, &g->p->role.index,
				  &g->p->role.count,      &g->p->role.target,     &g->p->role.code};
	uint32_t n = 0;

	for (uint8_t i = 1; i < 31; i++) /* $31 is for links */
		if (i != REG_CASE)
			r[n++] = i;
	for (uint32_t i = 0; i < ARRAY_LEN(role) + ARRAY_LEN(g->hot_gpr); i++) {
		uint32_t k = i + rng_below(&g->rng, n - i);
		uint8_t chosen = r[k];

		r[k] = r[i];
		r[i] = chosen;
		if (i < ARRAY_LEN(role))
			*role[i] = chosen;
		else
			g->hot_gpr[i - ARRAY_LEN(role)] = chosen;
	}
	for (uint32_t i = 0; i < ARRAY_LEN(g->hot_fpr); i++)
		g->hot_fpr[i] = (uint8_t)(rng_below(&g->rng, 32) & (g->o->setup->fr ? 31 : 30));
}

/* One in four blocks reaches the end of its page. */
static uint32_t block_off(struct generator *g)
{
	if (rng_one_in(&g->rng, 4))
		return PAGE_BYTES - 4 * (1 + rng_below(&g->rng, 40));
	return 4 * rng_below(&g->rng, PAGE_BYTES / 4);
}

static void begin(struct generator *g, struct oracle_program *p, const struct generate_options *o, uint64_t seed)
{
	memset(g, 0, sizeof(*g));
	*g = (struct generator){.rng = rng_seed(seed), .p = p, .o = o, .jumped = -1};
	p->seed = seed;
	p->n = 0;
	p->n_cases = o->n_cases;
	choose_roles(g);
	p->off = block_off(g);
}

/* One step of a block: a pattern now and then, else a row. */
static void put_step(struct generator *g, int16_t *calls, uint32_t *n_calls, bool function, bool *looped,
		     uint32_t *steps)
{
	uint32_t roll = rng_below(&g->rng, 128);

	if (function && roll < 12)
		put_call(g, calls, n_calls);
	else if (roll < 16 && g->p->n > 2 && !*looped)
		put_loop(g), *looped = true;
	else if (roll < 24 && *steps)
		put_pointer_step(g), --*steps;
	else if (roll == 24)
		put_reserved(g);
	else if (roll == 25)
		put_rewrite(g);
	else
		generator_put_row(g, generator_pick_row(g, ANY));
}

void program_generate(struct oracle_program *p, const struct generate_options *o, uint64_t seed)
{
	uint32_t n, end, n_calls = 0, steps = MAX_POINTER_STEPS;
	int16_t calls[MAX_INSNS];
	struct generator g;
	bool function, looped = false;

	begin(&g, p, o, seed);
	n = 1 + rng_below(&g.rng, o->max_insns);
	function = rng_one_in(&g.rng, 4);
	while (p->n < n)
		put_step(&g, calls, &n_calls, function, &looped, &steps);
	end = put_end(&g);
	if (n_calls) {
		put_function(&g, calls, n_calls);
		put_end(&g);
	}
	resolve(&g, end);
	fill_cases(&g);
}

void program_generate_row(struct oracle_program *p, const struct generate_options *o, const struct insn *row,
			  uint64_t seed)
{
	struct generator g;
	uint32_t end;

	begin(&g, p, o, seed);
	for (uint32_t before = rng_below(&g.rng, 2); before; before--)
		generator_put(&g, generator_word(&g, generator_pick_row(&g, 1u << ROW_ALU)), 0);
	generator_put_row(&g, row);
	/* something to jump over, and for a new mode to run in */
	for (uint32_t after = rng_below(&g.rng, 3); after; after--) {
		g.group++;
		generator_put(&g, generator_word(&g, generator_pick_row(&g, 1u << ROW_ALU | 1u << ROW_FP)), 0);
	}
	end = put_end(&g);
	resolve(&g, end);
	fill_cases(&g);
}
