/* SPDX-License-Identifier: MIT */
/*
 * Guest FPRs in a region, by the rules of llvm_gen.c for guest registers that are not pinned: SSA values inside a block,
 * variables inside a cycle that uses them, guest_state elsewhere.
 *
 * A place is a 32-bit half of guest_state.fpr[], by its index: 2n and 2n + 1 for fpr[n].  One that is only used as a
 * double has a variable of that type (2n), one that is only used in halves has two singles, and one that is used as both
 * (FR=0's MTC1 of the halves of a double) a 64-bit integer (2n).
 */
#include "jit/llvm_gen.h"

#define FPR_OFF       offsetof(struct guest_state, fpr)
#define FPR_PLACES    64u
#define PLACE_OFF(id) (FPR_OFF + 4 * (size_t)(id))

enum { FPR_HALVES = 1, FPR_DOUBLE = 2, FPR_BOTH = 3 };

static bool is_fpr(const struct ir_ins *in, uint32_t *half)
{
	uint64_t off = (uint64_t)in->imm - FPR_OFF;

	if (in->dead || ir_op_info[in->op].imm != IMM_OFF || off >= 4 * FPR_PLACES)
		return false;
	*half = (uint32_t)off / 4;
	return true;
}

static bool is_wide(const struct ir_ins *in) { return in->op == IR_LDS64 || in->op == IR_STS64; }

static uint32_t place_of(const struct region *r, uint32_t half)
{
	return r->fpr_kind[half / 2] == FPR_HALVES ? half : half & ~1u;
}

static void find_kinds(struct region *r)
{
	uint32_t half;

	for (uint32_t i = 0; i < r->n; i++)
		for (uint32_t k = 0; k < r->blocks[i]->n_ins; k++)
			if (is_fpr(&r->blocks[i]->ins[k], &half))
				r->fpr_kind[half / 2] |= is_wide(&r->blocks[i]->ins[k]) ? FPR_DOUBLE : FPR_HALVES;
}

static void find_uses(struct region *r, uint32_t i)
{
	const struct ir_block *b = r->blocks[i];
	struct region_block *rb = &r->b[i];
	uint32_t half;

	for (uint32_t k = 0; k < b->n_ins; k++) {
		uint64_t bit;

		if (!is_fpr(&b->ins[k], &half))
			continue;
		bit = (uint64_t)1 << place_of(r, half);
		rb->fpr_uses |= bit;
		if (ir_op_info[b->ins[k].op].effect == EFF_W)
			rb->fpr_writes |= bit;
	}
}

/* As spread_dirty() of llvm_region.c. */
static void spread_dirty(struct region *r)
{
	bool again = true;

	while (again) {
		again = false;
		for (uint32_t i = 0; i < r->n; i++) {
			uint64_t out = (r->b[i].fpr_dirty_in | r->b[i].fpr_writes) & r->b[i].fpr_wide;

			for (uint32_t e = 0; r->b[i].reached && e < REGION_EDGES; e++) {
				int8_t to = r->b[i].edge[e];

				if (to == EDGE_OUT || !region_same_scope(r, i, (uint32_t)to) ||
				    (r->b[to].fpr_dirty_in | out) == r->b[to].fpr_dirty_in)
					continue;
				r->b[to].fpr_dirty_in |= out;
				again = true;
			}
		}
	}
}

void region_place_fprs(struct region *r)
{
	find_kinds(r);
	for (uint32_t i = 0; i < r->n; i++)
		find_uses(r, i);
	for (uint32_t i = 0; i < r->n; i++) {
		for (uint32_t k = 0; k < r->n; k++)
			if (r->b[i].scope >> k & 1)
				r->b[i].fpr_wide |= r->b[k].fpr_uses;
		r->fpr_wide |= r->b[i].fpr_wide;
	}
	spread_dirty(r);
}

static LLVMTypeRef type_of(const struct gen *g, uint32_t id)
{
	uint8_t kind = g->r->fpr_kind[id / 2];

	return kind == FPR_HALVES ? g->u->f32 : kind == FPR_DOUBLE ? g->u->f64 : g->u->i64;
}

void gen_fpr_entry(struct gen *g)
{
	for (uint32_t id = 0; id < FPR_PLACES; id++)
		if (g->r->fpr_wide >> id & 1)
			g->fpr_slot[id] = LLVMBuildAlloca(g->b, type_of(g, id), "");
}

/* Leaves g->fprs alone: on the way out nothing may be remembered that does not dominate what comes after. */
static LLVMValueRef value_of(struct gen *g, uint32_t id)
{
	if (g->fprs.cur[id])
		return g->fprs.cur[id];
	if (g->r->b[g->index].fpr_wide >> id & 1)
		return LLVMBuildLoad2(g->b, type_of(g, id), g->fpr_slot[id], "");
	return gen_state(g, type_of(g, id), PLACE_OFF(id));
}

static LLVMValueRef get(struct gen *g, uint32_t id)
{
	g->fprs.cur[id] = value_of(g, id);
	return g->fprs.cur[id];
}

static void set(struct gen *g, uint32_t id, LLVMValueRef v)
{
	g->fprs.cur[id] = v;
	g->fprs.dirty |= (uint64_t)1 << id;
}

/* The half of a FPR_BOTH place that an access means, as a shift. */
static LLVMValueRef shift_of(struct gen *g, uint32_t half) { return gen_d(g, half & 1 ? 32 : 0); }

bool gen_fpr_load(struct gen *g, const struct ir_ins *in, LLVMValueRef *v)
{
	uint32_t half, id;

	if (!is_fpr(in, &half))
		return false;
	id = place_of(g->r, half);
	*v = get(g, id);
	if (g->r->fpr_kind[half / 2] != FPR_BOTH)
		*v = LLVMBuildBitCast(g->b, *v, is_wide(in) ? g->u->i64 : g->u->i32, "");
	else if (!is_wide(in))
		*v = LLVMBuildTrunc(g->b, LLVMBuildLShr(g->b, *v, shift_of(g, half), ""), g->u->i32, "");
	return true;
}

bool gen_fpr_store(struct gen *g, const struct ir_ins *in, LLVMValueRef v)
{
	uint32_t half, id;

	if (!is_fpr(in, &half))
		return false;
	id = place_of(g->r, half);
	if (g->r->fpr_kind[half / 2] != FPR_BOTH) {
		v = LLVMBuildBitCast(g->b, v, type_of(g, id), "");
	} else if (!is_wide(in)) {
		LLVMValueRef rest = gen_d(g, half & 1 ? UINT32_MAX : (uint64_t)UINT32_MAX << 32);

		rest = LLVMBuildAnd(g->b, get(g, id), rest, "");
		v = LLVMBuildOr(g->b, rest, LLVMBuildShl(g->b, gen_zext(g, v), shift_of(g, half), ""), "");
	}
	set(g, id, v);
	return true;
}

void gen_fpr_enter_scope(struct gen *g, uint32_t to)
{
	for (uint32_t id = 0; id < FPR_PLACES; id++)
		if (g->r->b[to].fpr_wide >> id & 1)
			LLVMBuildStore(g->b, gen_state(g, type_of(g, id), PLACE_OFF(id)), g->fpr_slot[id]);
}

void gen_fpr_flush_to_scope(struct gen *g)
{
	for (uint32_t id = 0; id < FPR_PLACES; id++)
		if (g->fprs.dirty >> id & 1)
			LLVMBuildStore(g->b, g->fprs.cur[id], g->fpr_slot[id]);
}

void gen_fpr_flush_to_state(struct gen *g)
{
	uint64_t dirty = g->r->b[g->index].fpr_dirty_in | g->fprs.dirty;

	for (uint32_t id = 0; id < FPR_PLACES; id++)
		if (dirty >> id & 1)
			gen_set_state(g, value_of(g, id), PLACE_OFF(id));
}

void gen_fpr_forget(struct gen *g)
{
	for (uint32_t id = 0; id < FPR_PLACES; id++)
		g->fprs.cur[id] = NULL;
	g->fprs.dirty = 0;
	gen_fpr_enter_scope(g, g->index);
}
