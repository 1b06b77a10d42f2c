/* SPDX-License-Identifier: MIT */
/*
 * LOADs and STOREs: the probe of tlb/l2tlb_jit.h, inlined.  A miss (also of a misaligned address) leaves with
 * EXIT_SIDE before the instruction: musttail compiles faster than a call that merges back, and is half the size.
 */
#include "jit/llvm_gen.h"

struct access {
	uint8_t log2; /* of the bytes */
	bool sign, store;
};

static struct access access_of(uint8_t op)
{
	switch (op) {
	case IR_LOAD8S:
		return (struct access){.log2 = 0, .sign = true};
	case IR_LOAD8U:
		return (struct access){.log2 = 0};
	case IR_LOAD16S:
		return (struct access){.log2 = 1, .sign = true};
	case IR_LOAD16U:
		return (struct access){.log2 = 1};
	case IR_LOAD32:
		return (struct access){.log2 = 2};
	case IR_LOAD64:
		return (struct access){.log2 = 3};
	case IR_STORE8:
		return (struct access){.log2 = 0, .store = true};
	case IR_STORE16:
		return (struct access){.log2 = 1, .store = true};
	case IR_STORE32:
		return (struct access){.log2 = 2, .store = true};
	case IR_STORE64:
		return (struct access){.log2 = 3, .store = true};
	}
	panic("%s is no memory access", ir_op_info[op].name);
}

/* Host address of guest address `gva`; what follows is generated for a hit. */
static LLVMValueRef probe(struct gen *g, LLVMValueRef gva, unsigned log2, bool write)
{
	const unsigned entry_log2 = 5;
	const uint32_t mask = (uint32_t)~PAGE_MASK | ((1u << log2) - 1);
	LLVMValueRef index, entry, tag, addend, miss;
	LLVMBasicBlockRef cold, on;

	_Static_assert(sizeof(struct l2tlb_entry) == 1u << 5, "the shift of the index");
	/* ((gva >> PAGE_SHIFT) % entries) * sizeof(entry), in one shift and one mask */
	index = LLVMBuildLShr(g->b, gva, gen_w(g, PAGE_SHIFT - entry_log2), "");
	index = gen_zext(g, LLVMBuildAnd(g->b, index, gen_w(g, (L2TLB_ENTRIES - 1) << entry_log2), ""));
	entry = LLVMBuildInBoundsGEP2(g->b, g->u->i8, g->l2tlb, &index, 1, "");
	tag =
	    gen_gep(g, entry, write ? offsetof(struct l2tlb_entry, write_tag) : offsetof(struct l2tlb_entry, read_tag));
	tag = gen_load(g, g->u->i64, tag, MEM_CLASS_L2TLB);
	miss = LLVMBuildICmp(g->b, LLVMIntNE, gen_zext(g, LLVMBuildAnd(g->b, gva, gen_w(g, mask), "")), tag, "");
	cold = gen_cold_branch(g, miss, "miss");
	on = LLVMGetInsertBlock(g->b);
	LLVMPositionBuilderAtEnd(g->b, cold);
	gen_leave_side(g);
	LLVMPositionBuilderAtEnd(g->b, on);
	addend = gen_gep(g, entry, offsetof(struct l2tlb_entry, addend));
	addend = gen_load(g, g->u->i64, addend, MEM_CLASS_L2TLB);
	return LLVMBuildIntToPtr(g->b, LLVMBuildAdd(g->b, gen_zext(g, gva), addend, ""), g->u->ptr, "");
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
	struct access a = access_of(in->op);
	LLVMValueRef v, at;

	g->mem_done++;
	at = probe(g, g->val[in->arg[0]], a.log2, in->imm & MEM_INTENT);
	v = gen_load(g, type_of(g, a.log2), at, MEM_CLASS_RAM);
	beside_others(g, v, a.log2);
	if (in->imm & MEM_BE && a.log2)
		v = gen_bswap(g, v);
	if (a.log2 < 2)
		v = a.sign ? LLVMBuildSExt(g->b, v, g->u->i32, "") : LLVMBuildZExt(g->b, v, g->u->i32, "");
	g->val[i] = v;
}

void gen_store_op(struct gen *g, uint32_t i)
{
	const struct ir_ins *in = &g->blk->ins[i];
	struct access a = access_of(in->op);
	LLVMValueRef v = g->val[in->arg[1]], at;

	g->mem_done++;
	at = probe(g, g->val[in->arg[0]], a.log2, true);
	if (a.log2 < 2)
		v = LLVMBuildTrunc(g->b, v, type_of(g, a.log2), "");
	if (in->imm & MEM_BE && a.log2)
		v = gen_bswap(g, v);
	beside_others(g, gen_store(g, v, at, MEM_CLASS_RAM), a.log2);
}
