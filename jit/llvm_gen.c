/* SPDX-License-Identifier: MIT */
/*
 * One LLVM function from one region: its blocks, its guest registers, its terminators.
 *
 * A guest register is an SSA value inside a block (gen_regs.cur).  Between blocks it is in a variable (`slot`, which
 * sroa removes) if it is pinned, or if both blocks are in one cycle that uses it; else it is in gs->reg[], so that a
 * short way through a region loads and stores no more than tier 1 does.
 */
#include <stdio.h>
#include <string.h>

#include "jit/llvm_gen.h"

LLVMValueRef gen_w(struct gen *g, uint32_t v) { return LLVMConstInt(g->u->i32, v, false); }
LLVMValueRef gen_d(struct gen *g, uint64_t v) { return LLVMConstInt(g->u->i64, v, false); }
LLVMValueRef gen_zext(struct gen *g, LLVMValueRef w) { return LLVMBuildZExt(g->b, w, g->u->i64, ""); }

LLVMValueRef gen_gep(struct gen *g, LLVMValueRef base, uint64_t off)
{
	LLVMValueRef index = gen_d(g, off);

	return LLVMBuildInBoundsGEP2(g->b, g->u->i8, base, &index, 1, "");
}

LLVMValueRef gen_load(struct gen *g, LLVMTypeRef ty, LLVMValueRef ptr, enum mem_class c)
{
	LLVMValueRef v = LLVMBuildLoad2(g->b, ty, ptr, "");

	LLVMSetMetadata(v, g->u->md_tbaa, g->u->alias[c]);
	return v;
}

LLVMValueRef gen_store(struct gen *g, LLVMValueRef v, LLVMValueRef ptr, enum mem_class c)
{
	LLVMValueRef s = LLVMBuildStore(g->b, v, ptr);

	LLVMSetMetadata(s, g->u->md_tbaa, g->u->alias[c]);
	return s;
}

LLVMValueRef gen_state(struct gen *g, LLVMTypeRef ty, size_t off)
{
	return gen_load(g, ty, gen_gep(g, g->gs, off), MEM_CLASS_STATE);
}

void gen_set_state(struct gen *g, LLVMValueRef v, size_t off)
{
	gen_store(g, v, gen_gep(g, g->gs, off), MEM_CLASS_STATE);
}

LLVMBasicBlockRef gen_new_block(struct gen *g, const char *name)
{
	return LLVMAppendBasicBlockInContext(g->u->ctx, g->fn, name);
}

LLVMBasicBlockRef gen_cold_branch(struct gen *g, LLVMValueRef cond, const char *name)
{
	LLVMBasicBlockRef cold = gen_new_block(g, name), on = gen_new_block(g, "");

	LLVMSetMetadata(LLVMBuildCondBr(g->b, cond, cold, on), g->u->md_prof, g->u->cold);
	LLVMPositionBuilderAtEnd(g->b, on);
	return cold;
}

LLVMValueRef gen_getreg(struct gen *g, unsigned reg)
{
	LLVMValueRef *cur = &g->regs.cur[reg];
	uint64_t in_slots = g->r->pinned | g->r->b[g->index].wide;

	if (!*cur && in_slots >> reg & 1)
		*cur = LLVMBuildLoad2(g->b, g->u->i32, g->slot[reg], "");
	else if (!*cur) /* the low half: MIPS32 slots are zero-extended, and the host is little-endian */
		*cur = gen_state(g, g->u->i32, GS_REG(reg));
	return *cur;
}

void gen_setreg(struct gen *g, unsigned reg, LLVMValueRef v)
{
	g->regs.cur[reg] = v;
	g->regs.dirty |= (uint64_t)1 << reg;
}

void gen_enter_scope(struct gen *g, uint32_t to)
{
	for (unsigned reg = 1; reg < NUM_REGS; reg++)
		if (g->r->b[to].wide >> reg & 1)
			LLVMBuildStore(g->b, gen_state(g, g->u->i32, GS_REG(reg)), g->slot[reg]);
	gen_fpr_enter_scope(g, to);
}

void gen_flush_to_block(struct gen *g, uint32_t to)
{
	bool same = region_same_scope(g->r, g->index, to);
	uint64_t to_slots = g->r->pinned | (same ? g->r->b[to].wide : 0);

	for (unsigned reg = 1; reg < NUM_REGS; reg++)
		if (g->regs.dirty & to_slots & (uint64_t)1 << reg)
			LLVMBuildStore(g->b, g->regs.cur[reg], g->slot[reg]);
	if (same) {
		gen_fpr_flush_to_scope(g);
		gen_fpu_flush_last(g);
		return;
	}
	gen_flush_to_state(g);
	gen_enter_scope(g, to);
}

/* To a target, as the registers are now. Ends the LLVM block.  branched: it is behind a branch. */
static void goto_target(struct gen *g, struct ir_target t, int8_t edge, bool branched)
{
	if (g->cfg->line_log2 && branched)
		gen_deadline(g, gen_pc_of_target(g, t));
	if (edge == EDGE_OUT) {
		gen_leave_link(g, t);
		return;
	}
	gen_flush_to_block(g, (uint32_t)edge);
	LLVMBuildBr(g->b, g->bb[edge]);
}

static LLVMValueRef is_true(struct gen *g, ir_ref cond)
{
	return LLVMBuildICmp(g->b, LLVMIntNE, g->val[cond], gen_w(g, 0), "");
}

static void gen_exitif(struct gen *g, const struct ir_ins *in)
{
	LLVMBasicBlockRef away = gen_new_block(g, "exitif"), on = gen_new_block(g, "");

	LLVMBuildCondBr(g->b, is_true(g, in->arg[0]), away, on);
	LLVMPositionBuilderAtEnd(g->b, away);
	gen_refund(g, g->insn + 1); /* the branch is done; its slot is nullified */
	goto_target(g, g->blk->exits[in->imm], g->r->b[g->index].edge[EDGE_EXIT(in->imm)], true);
	LLVMPositionBuilderAtEnd(g->b, on);
}

static void gen_raiseif(struct gen *g, const struct ir_ins *in)
{
	LLVMBasicBlockRef cold = gen_cold_branch(g, is_true(g, in->arg[0]), "raise");
	LLVMBasicBlockRef on = LLVMGetInsertBlock(g->b);

	LLVMPositionBuilderAtEnd(g->b, cold);
	gen_leave_raise(g, g->insn, (uint32_t)in->imm);
	LLVMPositionBuilderAtEnd(g->b, on);
}

static void gen_branch(struct gen *g)
{
	const struct ir_term *t = &g->blk->term;
	const int8_t *edge = g->r->b[g->index].edge;
	LLVMBasicBlockRef way[2] = {gen_new_block(g, "taken"), gen_new_block(g, "not_taken")};

	LLVMBuildCondBr(g->b, is_true(g, t->cond), way[0], way[1]);
	for (int i = 0; i < 2; i++) {
		LLVMPositionBuilderAtEnd(g->b, way[i]);
		if (i == 0 && t->hint == HINT_CALL)
			gen_ring_push(g, t->link);
		goto_target(g, t->target[i], edge[i], true);
	}
}

static void gen_term(struct gen *g)
{
	const struct ir_term *t = &g->blk->term;

	if (t->hint == HINT_CALL && (t->kind == TERM_JUMP || t->kind == TERM_INDIRECT))
		gen_ring_push(g, t->link);
	switch ((enum ir_term_kind)t->kind) {
	case TERM_JUMP:
		goto_target(g, t->target[0], g->r->b[g->index].edge[0], ir_block_branches(g->blk));
		return;
	case TERM_BRANCH:
		gen_branch(g);
		return;
	case TERM_INDIRECT:
		if (g->cfg->line_log2)
			gen_deadline(g, g->val[t->cond]);
		gen_set_pc(g, g->val[t->cond]);
		gen_leave_stub(g, t->hint == HINT_RETURN ? SYM_RETURN : SYM_INDIRECT);
		return;
	case TERM_PC_SET:
		gen_leave_stub(g, SYM_EXIT + EXIT_PC_SET);
		return;
	case TERM_LEAVE:
		gen_set_pc(g, gen_pc_of_target(g, t->target[0]));
		gen_leave_stub(g, SYM_EXIT + EXIT_PC_SET);
		return;
	case TERM_RAISE:
		gen_leave_raise(g, t->insn, t->exc);
		return;
	}
	panic("terminator of kind %u", t->kind);
}

static void gen_ins(struct gen *g, uint32_t i)
{
	const struct ir_ins *in = &g->blk->ins[i];

	switch (in->op) {
	case IR_INSN:
		g->insn = (uint32_t)in->imm;
		return;
	case IR_GETREG:
		g->val[i] = gen_getreg(g, (unsigned)in->imm);
		return;
	case IR_SETREG:
		gen_setreg(g, (unsigned)in->imm, g->val[in->arg[0]]);
		return;
	case IR_EXITIF:
		gen_exitif(g, in);
		return;
	case IR_RAISEIF:
		gen_raiseif(g, in);
		return;
	case IR_FETCH:
		gen_fetch_op(g);
		return;
	default:
		gen_op(g, i);
	}
}

static void gen_block(struct gen *g, uint32_t index)
{
	g->index = index;
	g->blk = g->r->blocks[index];
	g->insn = 0;
	g->probes_done = 0;
	windows_find(&g->windows, g->blk);
	memset(&g->regs, 0, sizeof(g->regs));
	memset(&g->fprs, 0, sizeof(g->fprs));
	LLVMPositionBuilderAtEnd(g->b, g->bb[index]);
	lines_at(g, TIER2_LINE_NO_IR);
	gen_block_head(g);
	for (uint32_t i = 0; i < g->blk->n_ins; i++) {
		if (g->blk->ins[i].dead)
			continue;
		lines_at(g, i);
		gen_ins(g, i);
	}
	lines_at(g, TIER2_LINE_NO_IR);
	gen_term(g);
}

/* Variables for the registers that live through the region. Pinned ones arrive as arguments. */
static void gen_entry(struct gen *g)
{
	static const int8_t arg_of[] = {
#define PIN(host, what) what,
#include "jit/regs.def"
#undef PIN
	};
	const struct region *r = g->r;
	uint64_t vars = (r->wide | r->pinned) & ~(uint64_t)1;

	for (unsigned reg = 1; reg < NUM_REGS; reg++)
		g->slot[reg] = vars >> reg & 1 ? LLVMBuildAlloca(g->b, g->u->i32, "") : NULL;
	for (unsigned a = 0; a < ARRAY_LEN(arg_of); a++) {
		LLVMValueRef v = LLVMGetParam(g->fn, a);

		if (arg_of[a] == PIN_VCPU)
			g->gs = v;
		else if (arg_of[a] == PIN_L2TLB)
			g->l2tlb = v;
		else
			LLVMBuildStore(g->b, LLVMBuildTrunc(g->b, v, g->u->i32, ""), g->slot[arg_of[a]]);
	}
	gen_fpr_entry(g);
	gen_enter_scope(g, 0);
	LLVMBuildBr(g->b, g->bb[0]);
}

static LLVMAttributeRef attribute(struct gen *g, const char *name, uint64_t v)
{
	return LLVMCreateEnumAttribute(g->u->ctx, LLVMGetEnumAttributeKindForName(name, strlen(name)), v);
}

static void add_function(struct gen *g)
{
	char name[48];
	LLVMAttributeRef no_tables = LLVMCreateStringAttribute(g->u->ctx, "no-jump-tables", 14, "true", 4);

	snprintf(name, sizeof(name), "r%u", g->fn_index);
	g->fn = LLVMAddFunction(g->m, name, g->u->fn_ty);
	snprintf(name, sizeof(name), ".text.r%u", g->fn_index);
	LLVMSetSection(g->fn, name);
	LLVMSetFunctionCallConv(g->fn, LLVMGHCCallConv);
	LLVMAddAttributeAtIndex(g->fn, LLVMAttributeFunctionIndex, attribute(g, "nounwind", 0));
	LLVMAddAttributeAtIndex(g->fn, LLVMAttributeFunctionIndex, attribute(g, "strictfp", 0));
	LLVMAddAttributeAtIndex(g->fn, LLVMAttributeFunctionIndex, no_tables);
	/* Arguments 1 and 2 are the vcpu and the table: always there, so loads from them may move up. */
	for (unsigned i = 1; i <= 2; i++) {
		uint64_t bytes = i == 1 ? sizeof(struct guest_state) : sizeof(struct l2tlb_table);

		LLVMAddAttributeAtIndex(g->fn, i, attribute(g, "dereferenceable", bytes));
		LLVMAddAttributeAtIndex(g->fn, i, attribute(g, "align", 8));
	}
}

void gen_region(struct gen *g, LLVMModuleRef m, unsigned fn_index, const struct region *r)
{
	LLVMBasicBlockRef entry;

	g->m = m;
	g->r = r;
	g->fn_index = fn_index;
	g->n_links = 0;
	g->b = LLVMCreateBuilderInContext(g->u->ctx);
	add_function(g);
	lines_begin(g);
	entry = gen_new_block(g, "entry");
	for (uint32_t i = 0; i < r->n; i++) {
		char name[32];

		snprintf(name, sizeof(name), "block_%03x", ir_block_off(r->blocks[i]));
		g->bb[i] = r->b[i].reached ? gen_new_block(g, name) : NULL;
	}
	LLVMPositionBuilderAtEnd(g->b, entry);
	gen_entry(g);
	for (uint32_t i = 0; i < r->n; i++)
		if (r->b[i].reached)
			gen_block(g, i);
	LLVMDisposeBuilder(g->b);
	g->b = NULL;
}
