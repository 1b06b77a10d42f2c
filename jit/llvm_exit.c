/* SPDX-License-Identifier: MIT */
/*
 * Every way out of a region.  All are tail calls under ghccc, which become jumps: pinned guest registers go in their
 * host registers, the others that may have changed are stored to gs->reg[] first.
 */
#include <stdio.h>

#include "jit/llvm_gen.h"

LLVMValueRef gen_pc_of_insn(struct gen *g, uint32_t insn)
{
	const struct ir_block *b = g->blk;

	if (b->mode & MODE_ABS)
		return gen_w(g, (uint32_t)ir_insn_pc(b, insn, 0));
	return LLVMBuildAdd(g->b, gen_state(g, g->u->i32, offsetof(struct guest_state, pc_page)),
			    gen_w(g, (uint32_t)b->guest[insn].off), "");
}

LLVMValueRef gen_pc_of_target(struct gen *g, struct ir_target t)
{
	LLVMValueRef page;

	if (t.kind == TGT_ABS)
		return gen_w(g, (uint32_t)t.v);
	page = gen_state(g, g->u->i32, offsetof(struct guest_state, pc_page));
	if (t.kind == TGT_PAGE)
		return LLVMBuildAdd(g->b, page, gen_w(g, (uint32_t)t.v), "");
	return LLVMBuildOr(g->b, LLVMBuildAnd(g->b, page, gen_w(g, 0xf0000000u), ""), gen_w(g, (uint32_t)t.v), "");
}

void gen_set_pc(struct gen *g, LLVMValueRef pc32)
{
	gen_set_state(g, gen_zext(g, pc32), offsetof(struct guest_state, pc));
}

/* As gen_getreg(), but leaves gs->regs alone: a value made on the way out does not dominate what comes after. */
static LLVMValueRef value_of(struct gen *g, unsigned reg)
{
	if (g->regs.cur[reg])
		return g->regs.cur[reg];
	return LLVMBuildLoad2(g->b, g->u->i32, g->slot[reg], "");
}

void gen_flush_to_state(struct gen *g)
{
	uint64_t dirty = (g->r->b[g->index].dirty_in | g->regs.dirty) & ~g->r->pinned;

	for (unsigned reg = 1; reg < NUM_REGS; reg++)
		if (dirty >> reg & 1)
			gen_set_state(g, gen_zext(g, value_of(g, reg)), GS_REG(reg));
	gen_fpr_flush_to_state(g);
	gen_fpu_flush_last(g);
}

/* The value of argument `a` on the way out; what: its row of regs.def. */
static LLVMValueRef argument(struct gen *g, unsigned a, int what)
{
	if (what < 0 || !(g->r->written >> what & 1))
		return LLVMGetParam(g->fn, a);
	return gen_zext(g, value_of(g, (unsigned)what));
}

static void tail_call(struct gen *g, LLVMValueRef callee)
{
	LLVMValueRef args[2 + 32], call;
	unsigned n = 0;

#define PIN(host, what)                                                                                                \
	args[n] = argument(g, n, what);                                                                                \
	n++;
#include "jit/regs.def"
#undef PIN
	call = LLVMBuildCall2(g->b, g->u->fn_ty, callee, args, n, "");
	LLVMSetInstructionCallConv(call, LLVMGHCCallConv);
	LLVMSetTailCallKind(call, LLVMTailCallKindMustTail);
	LLVMBuildRetVoid(g->b);
}

static LLVMValueRef link_symbol(struct gen *g, struct ir_target t, bool is_return)
{
	char name[48];
	uint32_t i;

	for (i = 0; i < g->n_links; i++) {
		const struct tier2_link *l = &g->links[i];

		if (l->target.kind == t.kind && l->target.v == t.v && l->is_return == is_return)
			return g->link_sym[i];
	}
	ASSERT(g->n_links < GEN_MAX_LINKS);
	snprintf(name, sizeof(name), "r%u.link%u", g->fn_index, i);
	g->links[i] = (struct tier2_link){.target = t, .is_return = is_return};
	g->link_sym[i] = is_return ? LLVMAddGlobal(g->m, g->u->ptr, name) : LLVMAddFunction(g->m, name, g->u->fn_ty);
	if (!is_return)
		LLVMSetFunctionCallConv(g->link_sym[i], LLVMGHCCallConv);
	LLVMSetVisibility(g->link_sym[i], LLVMHiddenVisibility); /* rip-relative, without a GOT */
	g->n_links++;
	return g->link_sym[i];
}

void gen_leave_link(struct gen *g, struct ir_target t)
{
	gen_flush_to_state(g);
	tail_call(g, link_symbol(g, t, false));
}

void gen_leave_stub(struct gen *g, enum stub_sym s)
{
	LLVMValueRef callee = LLVMGetNamedFunction(g->m, stub_sym_name(s));

	if (!callee) {
		callee = LLVMAddFunction(g->m, stub_sym_name(s), g->u->fn_ty);
		LLVMSetFunctionCallConv(callee, LLVMGHCCallConv);
		LLVMSetVisibility(callee, LLVMHiddenVisibility);
	}
	gen_flush_to_state(g);
	tail_call(g, callee);
}

/* Volatile: a counter carried from block to block in a register costs more, in spills, than it saves. */
static LLVMValueRef counter(struct gen *g, size_t off)
{
	LLVMValueRef v = gen_state(g, g->u->i64, off);

	LLVMSetVolatile(v, true);
	return v;
}

static void add_state64(struct gen *g, size_t off, int64_t n)
{
	gen_set_state(g, LLVMBuildAdd(g->b, counter(g, off), gen_d(g, (uint64_t)n), ""), off);
}

void gen_refund(struct gen *g, uint32_t insn)
{
	int64_t left = (int64_t)g->blk->n_guest - insn;
	int64_t probes_left = (int64_t)g->r->b[g->index].n_probes - g->probes_done;

	if (left && g->cfg->icount)
		add_state64(g, offsetof(struct guest_state, icount_left), left);
	if (left && g->cfg->count_insns)
		add_state64(g, offsetof(struct guest_state, insns[TIER_2]), -left);
	if (probes_left && g->cfg->count_insns)
		add_state64(g, offsetof(struct guest_state, probes), -probes_left);
}

void gen_leave_side(struct gen *g)
{
	/* A branch changes nothing but its link register, to the same value again: it can be run once more. */
	uint32_t restart = g->blk->guest[g->insn].bd && g->insn ? g->insn - 1 : g->insn;

	gen_refund(g, restart);
	gen_set_pc(g, gen_pc_of_insn(g, restart));
	gen_leave_stub(g, SYM_EXIT + EXIT_SIDE);
}

void gen_site(struct gen *g, uint32_t insn)
{
	uint32_t site = SITE(g->blk->guest[insn].bd, g->blk->n_guest - insn);

	gen_set_pc(g, gen_pc_of_insn(g, insn));
	gen_set_state(g, gen_w(g, site), offsetof(struct guest_state, site));
}

void gen_leave_raise(struct gen *g, uint32_t insn, uint32_t exc)
{
	gen_site(g, insn);
	gen_set_state(g, gen_d(g, exc), offsetof(struct guest_state, scratch[0]));
	gen_leave_stub(g, SYM_RAISE);
}

/* if (cond) leave for `s` with that pc, or, if NULL, that of the block. */
static void leave_if(struct gen *g, LLVMValueRef cond, const char *name, LLVMValueRef pc, enum stub_sym s)
{
	LLVMBasicBlockRef cold = gen_cold_branch(g, cond, name), on = LLVMGetInsertBlock(g->b);

	LLVMPositionBuilderAtEnd(g->b, cold);
	gen_set_pc(g, pc ? pc : gen_pc_of_insn(g, 0));
	gen_leave_stub(g, s);
	LLVMPositionBuilderAtEnd(g->b, on);
}

void gen_deadline(struct gen *g, LLVMValueRef pc)
{
	LLVMValueRef left = counter(g, offsetof(struct guest_state, icount_left));

	leave_if(g, LLVMBuildICmp(g->b, LLVMIntSLE, left, gen_d(g, 0), ""), "deadline", pc, SYM_EXIT + EXIT_BUDGET);
}

void gen_block_head(struct gen *g)
{
	const struct region_block *rb = &g->r->b[g->index];
	uint32_t n = g->blk->n_guest;
	LLVMValueRef v;

	if (rb->polls) {
		v = gen_state(g, g->u->i32, offsetof(struct guest_state, poll));
		LLVMSetVolatile(v, true);
		leave_if(g, LLVMBuildICmp(g->b, LLVMIntNE, v, gen_w(g, 0), ""), "poll", NULL, SYM_EXIT + EXIT_POLL);
	}
	if (g->cfg->icount) {
		v = counter(g, offsetof(struct guest_state, icount_left));
		if (!g->cfg->line_log2)
			leave_if(g, LLVMBuildICmp(g->b, LLVMIntSLT, v, gen_d(g, n), ""), "budget", NULL,
				 SYM_EXIT + EXIT_BUDGET);
		gen_set_state(g, LLVMBuildSub(g->b, v, gen_d(g, n), ""), offsetof(struct guest_state, icount_left));
	}
	if (g->cfg->count_insns) {
		add_state64(g, offsetof(struct guest_state, insns[TIER_2]), n);
		if (rb->n_probes)
			add_state64(g, offsetof(struct guest_state, probes), rb->n_probes);
	}
}

void gen_ring_push(struct gen *g, struct ir_target ret)
{
	/* 32 bits, as the stubs write it: a wider load would have to wait for their store to leave the store buffer. */
	const size_t top_off = offsetof(struct guest_state, ret_ring_top);
	LLVMValueRef top = gen_state(g, g->u->i32, top_off), at = gen_zext(g, top);
	LLVMValueRef ring = gen_state(g, g->u->ptr, offsetof(struct guest_state, ret_ring));
	LLVMValueRef entry = LLVMBuildInBoundsGEP2(g->b, g->u->i8, ring, &at, 1, "");
	LLVMValueRef pc = gen_zext(g, gen_pc_of_target(g, ret));
	uint64_t mode_bits = JUMP_KEY(0, g->blk->mode);

	gen_store(g, LLVMBuildOr(g->b, pc, gen_d(g, mode_bits), ""),
		  gen_gep(g, entry, offsetof(struct ret_ring_entry, key)), MEM_CLASS_LINK);
	gen_store(g, link_symbol(g, ret, true), gen_gep(g, entry, offsetof(struct ret_ring_entry, link)),
		  MEM_CLASS_LINK);
	top = LLVMBuildAdd(g->b, top, gen_w(g, sizeof(struct ret_ring_entry)), "");
	top = LLVMBuildAnd(g->b, top, gen_w(g, RET_RING_ENTRIES * sizeof(struct ret_ring_entry) - 1), "");
	gen_set_state(g, top, top_off);
}
