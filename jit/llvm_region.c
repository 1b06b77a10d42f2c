/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "jit/llvm_gen.h"

#define REGION_MAX_INS (4 * IR_MAX_INS)

static uint64_t pinned_set(void)
{
	uint64_t set = 0;

#define PIN(host, what) set |= (what) >= 0 ? (uint64_t)1 << ((what)&63) : 0;
#include "jit/regs.def"
#undef PIN
	return set;
}

/* Index of the block that a target names, or EDGE_OUT. */
static int8_t edge_to(const struct region *r, struct ir_target t)
{
	const struct ir_block *head = r->blocks[0];
	int64_t off = t.v;

	if (t.kind == TGT_REGION)
		return EDGE_OUT;
	if (t.kind == TGT_ABS)
		off = (int64_t)((uint64_t)t.v - head->abs_page);
	if ((t.kind == TGT_ABS) != ((head->mode & MODE_ABS) != 0) || off < 0 || off >= (int64_t)PAGE_BYTES)
		return EDGE_OUT;
	for (uint32_t i = 0; i < r->n; i++)
		if (ir_block_off(r->blocks[i]) == (uint32_t)off)
			return (int8_t)i;
	return EDGE_OUT;
}

static void find_edges(struct region *r, uint32_t i)
{
	const struct ir_block *b = r->blocks[i];
	struct region_block *rb = &r->b[i];

	for (uint32_t e = 0; e < REGION_EDGES; e++)
		rb->edge[e] = EDGE_OUT;
	if (b->term.kind == TERM_JUMP || b->term.kind == TERM_BRANCH)
		rb->edge[0] = edge_to(r, b->term.target[0]);
	if (b->term.kind == TERM_BRANCH)
		rb->edge[1] = edge_to(r, b->term.target[1]);
	for (uint32_t e = 0; e < b->n_exits; e++)
		rb->edge[EDGE_EXIT(e)] = edge_to(r, b->exits[e]);
}

static void find_uses(struct region *r, uint32_t i)
{
	const struct ir_block *b = r->blocks[i];
	struct region_block *rb = &r->b[i];
	struct windows ws;

	windows_find(&ws, b);
	for (uint32_t k = 0; k < b->n_ins; k++) {
		const struct ir_ins *in = &b->ins[k];

		if (in->dead)
			continue;
		if (in->op == IR_GETREG)
			rb->reads |= (uint64_t)1 << in->imm;
		else if (in->op == IR_SETREG)
			rb->writes |= (uint64_t)1 << in->imm;
		else if (ir_op_info[in->op].effect == EFF_M)
			rb->n_probes += window_probes(&ws, k);
	}
}

/* Depth-first from the head: what is reached, and where edges go back to. No recursion: at most 64 deep. */
static void find_back_edges(struct region *r)
{
	uint8_t stack[TIER2_MAX_BLOCKS], next[TIER2_MAX_BLOCKS] = {0};
	bool open[TIER2_MAX_BLOCKS] = {false};
	uint32_t depth = 1;

	stack[0] = 0;
	r->b[0].reached = r->b[0].polls = open[0] = true;
	while (depth) {
		uint32_t i = stack[depth - 1];
		int8_t to;

		if (next[i] == REGION_EDGES) {
			open[i] = false;
			depth--;
			continue;
		}
		to = r->b[i].edge[next[i]++];
		if (to == EDGE_OUT)
			continue;
		if (open[to]) {
			r->b[to].polls = true;
			r->has_cycle = true;
		} else if (!r->b[to].reached) {
			r->b[to].reached = open[to] = true;
			stack[depth++] = (uint8_t)to;
		}
	}
}

/* Blocks that reach each other: each such set is a loop, or several that share blocks. */
static void find_scopes(struct region *r)
{
	uint64_t reach[TIER2_MAX_BLOCKS] = {0};

	for (uint32_t i = 0; i < r->n; i++)
		for (uint32_t e = 0; e < REGION_EDGES; e++)
			if (r->b[i].edge[e] != EDGE_OUT)
				reach[i] |= (uint64_t)1 << r->b[i].edge[e];
	for (uint32_t k = 0; k < r->n; k++)
		for (uint32_t i = 0; i < r->n; i++)
			if (reach[i] >> k & 1)
				reach[i] |= reach[k];
	for (uint32_t i = 0; i < r->n; i++)
		for (uint32_t k = 0; k < r->n; k++)
			if (reach[i] >> k & reach[k] >> i & 1)
				r->b[i].scope |= (uint64_t)1 << k;
}

static void place_registers(struct region *r)
{
	r->pinned = pinned_set();
	for (uint32_t i = 0; i < r->n; i++) {
		for (uint32_t k = 0; k < r->n; k++)
			if (r->b[i].scope >> k & 1)
				r->b[i].wide |= r->b[k].reads | r->b[k].writes;
		r->b[i].wide &= ~r->pinned;
		if (r->b[i].reached) {
			r->written |= r->b[i].writes;
			r->wide |= r->b[i].wide;
		}
	}
}

/* Forward inside each scope, to the fixed point: sets only grow, so it ends. */
static void spread_dirty(struct region *r)
{
	bool again = true;

	while (again) {
		again = false;
		for (uint32_t i = 0; i < r->n; i++) {
			uint64_t out = (r->b[i].dirty_in | r->b[i].writes) & r->b[i].wide;

			for (uint32_t e = 0; r->b[i].reached && e < REGION_EDGES; e++) {
				int8_t to = r->b[i].edge[e];

				if (to == EDGE_OUT || !region_same_scope(r, i, (uint32_t)to) ||
				    (r->b[to].dirty_in | out) == r->b[to].dirty_in)
					continue;
				r->b[to].dirty_in |= out;
				again = true;
			}
		}
	}
}

enum tier2_refusal region_analyse(struct region *r, struct ir_block *const *blocks, uint32_t n)
{
	uint32_t n_ins = 0;

	memset(r, 0, sizeof(*r));
	if (n == 0 || n > TIER2_MAX_BLOCKS)
		return TIER2_REFUSED_TOO_BIG;
	r->blocks = blocks;
	r->n = n;
	for (uint32_t i = 0; i < n; i++) {
		if (blocks[i]->mode != blocks[0]->mode || blocks[i]->abs_page != blocks[0]->abs_page)
			return TIER2_REFUSED_MIXED;
		n_ins += blocks[i]->n_ins;
		if (blocks[i]->n_guest == 0 || n_ins > REGION_MAX_INS)
			return TIER2_REFUSED_TOO_BIG;
	}
	for (uint32_t i = 0; i < n; i++) {
		find_edges(r, i);
		find_uses(r, i);
	}
	find_back_edges(r);
	find_scopes(r);
	place_registers(r);
	spread_dirty(r);
	region_place_fprs(r);
	for (uint32_t i = 0; i < n; i++)
		r->n_guest += r->b[i].reached ? blocks[i]->n_guest : 0;
	return TIER2_REFUSED_NONE;
}
