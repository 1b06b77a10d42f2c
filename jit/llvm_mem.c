/* SPDX-License-Identifier: MIT */
/*
 * LOADs and STOREs: the probe of tlb/l2tlb_jit.h, inlined.  A miss (also of a misaligned address) leaves with
 * EXIT_SIDE before the instruction: musttail compiles faster than a call that merges back, and is half the size.
 *
 * The first access of a window (jit/window.h) leaves if not all of the window is a hit.  So the others need no check: nothing of
 * a region moves a page but a helper, and no window goes on behind one of those.
 */
#include "jit/llvm_gen.h"

/* Not all bytes of the window are in the page of its first access, at `gva`. */
static LLVMValueRef is_across(struct gen *g, const struct window *w, LLVMValueRef gva)
{
	LLVMValueRef at = LLVMBuildAdd(g->b, gva, gen_w(g, (uint32_t)(w->lo - w->first_off)), "");

	at = LLVMBuildAnd(g->b, at, gen_w(g, PAGE_MASK), "");
	return LLVMBuildICmp(g->b, LLVMIntUGT, at, gen_w(g, (uint32_t)(PAGE_MASK + 1 - (uint64_t)(w->hi - w->lo))), "");
}

/* Of page number `page`: host address minus gva, or 0. */
static LLVMValueRef addend_of(struct gen *g, LLVMValueRef page, bool write)
{
	size_t off = write ? offsetof(struct l2tlb_table, write) : offsetof(struct l2tlb_table, read);
	LLVMValueRef at = LLVMBuildInBoundsGEP2(g->b, g->u->i64, gen_gep(g, g->l2tlb, off), &page, 1, "");

	return gen_load(g, g->u->i64, at, MEM_CLASS_L2TLB);
}

static LLVMValueRef is_missing(struct gen *g, LLVMValueRef addend)
{
	return LLVMBuildICmp(g->b, LLVMIntEQ, addend, gen_d(g, 0), "");
}

static void leave_side_if(struct gen *g, LLVMValueRef cond, const char *name)
{
	LLVMBasicBlockRef cold = gen_cold_branch(g, cond, name), on = LLVMGetInsertBlock(g->b);

	LLVMPositionBuilderAtEnd(g->b, cold);
	gen_leave_side(g);
	LLVMPositionBuilderAtEnd(g->b, on);
}

/* Leave before an access that somebody has to be asked about: base/line_view.h. */
static void line_check(struct gen *g, LLVMValueRef host, bool write)
{
	size_t off = write ? offsetof(struct guest_state, lines.write) : offsetof(struct guest_state, lines.read);
	LLVMValueRef line = LLVMBuildLShr(g->b, host, gen_d(g, g->cfg->line_log2), "");
	LLVMValueRef index = LLVMBuildAnd(g->b, line, gen_d(g, LINE_VIEW_ENTRIES - 1), ""), tag;

	tag = LLVMBuildInBoundsGEP2(g->b, g->u->i64, gen_gep(g, g->gs, off), &index, 1, "");
	tag = gen_load(g, g->u->i64, tag, MEM_CLASS_L2TLB);
	leave_side_if(g, LLVMBuildICmp(g->b, LLVMIntNE, tag, line, ""), "line");
}

/* To *miss, which the first one makes. */
static void miss_if(struct gen *g, LLVMBasicBlockRef *miss, LLVMValueRef cond)
{
	LLVMBasicBlockRef on;

	if (!*miss) {
		*miss = gen_cold_branch(g, cond, "miss");
		return;
	}
	on = gen_new_block(g, "");
	LLVMSetMetadata(LLVMBuildCondBr(g->b, cond, *miss, on), g->u->md_prof, g->u->cold);
	LLVMPositionBuilderAtEnd(g->b, on);
}

/* Host address minus `gva`, a guest address; what follows is generated for a hit.  w: of a window, all of which must be a hit. */
static LLVMValueRef probe(struct gen *g, LLVMValueRef gva, unsigned log2, bool write, const struct window *w)
{
	LLVMValueRef page = gen_zext(g, LLVMBuildLShr(g->b, gva, gen_w(g, PAGE_SHIFT), "")), low, addend;
	LLVMBasicBlockRef miss = NULL, on;

	if (log2) {
		low = LLVMBuildAnd(g->b, gva, gen_w(g, (1u << log2) - 1), "");
		miss_if(g, &miss, LLVMBuildICmp(g->b, LLVMIntNE, low, gen_w(g, 0), ""));
	}
	addend = addend_of(g, page, write);
	miss_if(g, &miss, is_missing(g, addend));
	if (w && (write ? w->reads : w->writes))
		miss_if(g, &miss, is_missing(g, addend_of(g, page, !write)));
	if (w && w->base != IR_NONE)
		miss_if(g, &miss, is_across(g, w, gva));
	on = LLVMGetInsertBlock(g->b);
	LLVMPositionBuilderAtEnd(g->b, miss);
	gen_leave_side(g);
	LLVMPositionBuilderAtEnd(g->b, on);
	return addend;
}

/* Host address of what instruction i accesses. */
static LLVMValueRef host_of(struct gen *g, uint32_t i, bool write)
{
	const struct ir_ins *in = &g->blk->ins[i];
	const struct window *w = window_of(&g->windows, i);
	LLVMValueRef gva = g->val[in->arg[0]], addend, host;

	if (window_probes(&g->windows, i)) {
		g->probes_done++;
		addend = probe(g, gva, w ? w->align_log2 : window_size_log2(in->op), write, w);
		if (w)
			g->window[w - g->windows.w] = addend;
	} else {
		addend = g->window[w - g->windows.w];
	}
	host = LLVMBuildAdd(g->b, gen_zext(g, gva), addend, "");
	if (g->cfg->line_log2)
		line_check(g, host, window_is_store(in->op));
	return LLVMBuildIntToPtr(g->b, host, g->u->ptr, "");
}

/* As tier 1's. */
void gen_fetch_op(struct gen *g)
{
	uint64_t line = (uint64_t)g->blk->guest[g->insn].off >> g->cfg->line_log2;
	LLVMValueRef tag = gen_state(g, g->u->ptr, offsetof(struct guest_state, fetch_tag));
	LLVMValueRef page = gen_state(g, g->u->i64, offsetof(struct guest_state, fetch_page));

	tag = gen_load(g, g->u->i64, gen_gep(g, tag, line * sizeof(uint64_t)), MEM_CLASS_L2TLB);
	leave_side_if(g, LLVMBuildICmp(g->b, LLVMIntNE, tag, page, ""), "fetch");
}

/*
 * Others may change it meanwhile: whole, and as often as the guest says (an unordered load might leave a loop), though in no order
 * but that of SYNC.
 */
static void beside_others(struct gen *g, LLVMValueRef access, unsigned log2)
{
	if (!(g->blk->mode & MODE_MP))
		return;
	LLVMSetOrdering(access, LLVMAtomicOrderingMonotonic);
	LLVMSetAlignment(access, 1u << log2);
}

static LLVMTypeRef type_of(struct gen *g, unsigned log2)
{
	LLVMTypeRef types[] = {g->u->i8, g->u->i16, g->u->i32, g->u->i64};

	return types[log2];
}

void gen_load_op(struct gen *g, uint32_t i)
{
	const struct ir_ins *in = &g->blk->ins[i];
	unsigned log2 = window_size_log2(in->op);
	bool sign = in->op == IR_LOAD8S || in->op == IR_LOAD16S;
	LLVMValueRef v = gen_load(g, type_of(g, log2), host_of(g, i, in->imm & MEM_INTENT), MEM_CLASS_RAM);

	beside_others(g, v, log2);
	if (in->imm & MEM_BE && log2)
		v = gen_bswap(g, v);
	if (log2 < 2)
		v = sign ? LLVMBuildSExt(g->b, v, g->u->i32, "") : LLVMBuildZExt(g->b, v, g->u->i32, "");
	g->val[i] = v;
}

void gen_store_op(struct gen *g, uint32_t i)
{
	const struct ir_ins *in = &g->blk->ins[i];
	unsigned log2 = window_size_log2(in->op);
	LLVMValueRef v = g->val[in->arg[1]], at = host_of(g, i, true);

	if (log2 < 2)
		v = LLVMBuildTrunc(g->b, v, type_of(g, log2), "");
	if (in->imm & MEM_BE && log2)
		v = gen_bswap(g, v);
	beside_others(g, gen_store(g, v, at, MEM_CLASS_RAM), log2);
}
