/* SPDX-License-Identifier: MIT */
/*
 * FPU ops.  What signals is an intrinsic of LLVM's constrained floating point, so that it is done exactly once, where
 * and when the guest does it: MXCSR must gather what the guest would.  What must go to the row's helper (fpu_rows.h) is a
 * call that keeps all registers; a side exit would store them all, and took most of LLVM's time.
 */
#include <string.h>

#include "jit/fpu_rows.h"
#include "jit/llvm_gen.h"

static LLVMValueRef md(struct gen *g, const char *s)
{
	return LLVMMetadataAsValue(g->u->ctx, LLVMMDStringInContext2(g->u->ctx, s, strlen(s)));
}

static void mark_strict(struct gen *g, LLVMValueRef call)
{
	unsigned kind = LLVMGetEnumAttributeKindForName("strictfp", 8);

	LLVMAddCallSiteAttribute(call, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(g->u->ctx, kind, 0));
}

/* name: of an intrinsic with n arguments of types[n_types - 1]; rounds: it has a rounding mode. */
static LLVMValueRef strict(struct gen *g, const char *name, LLVMTypeRef *types, unsigned n_types, LLVMValueRef *args,
			   unsigned n, bool rounds)
{
	unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
	LLVMTypeRef ty = LLVMIntrinsicGetType(g->u->ctx, id, types, n_types);
	LLVMValueRef all[4], call;

	for (unsigned i = 0; i < n; i++)
		all[i] = args[i];
	if (rounds)
		all[n++] = md(g, "round.tonearest");
	all[n++] = md(g, "fpexcept.strict");
	call = LLVMBuildCall2(g->b, ty, LLVMGetIntrinsicDeclaration(g->m, id, types, n_types), all, n, "");
	mark_strict(g, call);
	return call;
}

static LLVMTypeRef fp_type(struct gen *g, bool d) { return d ? g->u->f64 : g->u->f32; }

static LLVMValueRef arith(struct gen *g, bool d, enum x86_sse op, LLVMValueRef x, LLVMValueRef y)
{
	const char *name = op == SSE_ADD   ? "llvm.experimental.constrained.fadd"
			   : op == SSE_SUB ? "llvm.experimental.constrained.fsub"
			   : op == SSE_MUL ? "llvm.experimental.constrained.fmul"
					   : "llvm.experimental.constrained.fdiv";
	LLVMTypeRef ty = fp_type(g, d);

	return strict(g, name, &ty, 1, (LLVMValueRef[]){x, y}, 2, true);
}

static LLVMValueRef root(struct gen *g, bool d, LLVMValueRef x)
{
	LLVMTypeRef ty = fp_type(g, d);

	return strict(g, "llvm.experimental.constrained.sqrt", &ty, 1, &x, 1, true);
}

static LLVMValueRef one_over(struct gen *g, bool d, LLVMValueRef x)
{
	return arith(g, d, SSE_DIV, LLVMConstReal(fp_type(g, d), 1), x);
}

static LLVMValueRef other_format(struct gen *g, bool from_d, LLVMValueRef x)
{
	LLVMTypeRef types[2] = {fp_type(g, !from_d), fp_type(g, from_d)};

	if (from_d)
		return strict(g, "llvm.experimental.constrained.fptrunc", types, 2, &x, 1, true);
	return strict(g, "llvm.experimental.constrained.fpext", types, 2, &x, 1, false);
}

static LLVMValueRef from_int(struct gen *g, const struct fpu_row *row, LLVMValueRef x)
{
	LLVMTypeRef types[2] = {fp_type(g, row->d), LLVMTypeOf(x)};

	return strict(g, "llvm.experimental.constrained.sitofp", types, 2, &x, 1, true);
}

/* No intrinsic is defined for what is out of range, or rounds in one step. */
static LLVMValueRef to_int(struct gen *g, const struct fpu_row *row, bool truncate, LLVMValueRef x)
{
	static const char *const text[2][2] = {{"cvtss2si $1, $0", "cvttss2si $1, $0"},
					       {"cvtsd2si $1, $0", "cvttsd2si $1, $0"}};
	const char *s = text[row->d][truncate];
	LLVMTypeRef from = LLVMTypeOf(x);
	LLVMTypeRef ty = LLVMFunctionType(row->wide ? g->u->i64 : g->u->i32, &from, 1, false);
	LLVMValueRef fn = LLVMGetInlineAsm(ty, s, strlen(s), "=r,x", 4, true, false, LLVMInlineAsmDialectATT, false);

	return LLVMBuildCall2(g->b, ty, fn, &x, 1, "");
}

static void set_operand(struct gen *g, unsigned k, LLVMValueRef v)
{
	gen_set_state(g, LLVMTypeOf(v) == g->u->i32 ? gen_zext(g, v) : v,
		      offsetof(struct guest_state, fpu_operand) + 8 * (size_t)k);
}

/* The row's helper, through the stub that keeps all registers. */
static LLVMValueRef call_stub(struct gen *g, const struct ir_ins *in, LLVMValueRef *arg)
{
	enum { PRESERVE_ALL = 15 }; /* llvm::CallingConv */
	const struct ir_helper_info *h = &ir_helper_info[in->imm];
	LLVMTypeRef ty = LLVMFunctionType(g->u->void_ty, &g->u->ptr, 1, false);
	LLVMValueRef fn = LLVMGetNamedFunction(g->m, stub_sym_name(SYM_FPU)), call;

	if (!fn) {
		fn = LLVMAddFunction(g->m, stub_sym_name(SYM_FPU), ty);
		LLVMSetFunctionCallConv(fn, PRESERVE_ALL);
		LLVMSetVisibility(fn, LLVMHiddenVisibility);
	}
	for (unsigned k = 0; k < 3 && h->arg[k] != IR_TV; k++)
		set_operand(g, k, arg[k]);
	gen_set_state(g, gen_w(g, (uint32_t)in->imm), offsetof(struct guest_state, scratch[1]));
	call = LLVMBuildCall2(g->b, ty, fn, &g->gs, 1, "");
	LLVMSetInstructionCallConv(call, PRESERVE_ALL);
	LLVMSetMetadata(call, g->u->md_tbaa, g->u->alias[MEM_CLASS_STATE]); /* the only memory that it touches */
	mark_strict(g, call);
	if (h->result == IR_TV)
		return NULL;
	return gen_state(g, h->result == IR_TD ? g->u->i64 : g->u->i32, offsetof(struct guest_state, scratch[0]));
}

/* v, but if (cond) what the helper says. */
static LLVMValueRef unless(struct gen *g, LLVMValueRef cond, const struct ir_ins *in, LLVMValueRef *arg, LLVMValueRef v)
{
	LLVMBasicBlockRef ways[2] = {LLVMGetInsertBlock(g->b), gen_cold_branch(g, cond, "fpu")};
	LLVMBasicBlockRef on = LLVMGetInsertBlock(g->b);
	LLVMValueRef both[2] = {v, NULL}, phi;

	LLVMPositionBuilderAtEnd(g->b, ways[1]);
	both[1] = LLVMBuildBitCast(g->b, call_stub(g, in, arg), LLVMTypeOf(v), "");
	LLVMBuildBr(g->b, on);
	LLVMPositionBuilderAtEnd(g->b, on);
	phi = LLVMBuildPhi(g->b, LLVMTypeOf(v), "");
	LLVMAddIncoming(phi, both, ways, 2);
	return phi;
}

static LLVMValueRef is_nan(struct gen *g, LLVMValueRef x) { return LLVMBuildFCmp(g->b, LLVMRealUNO, x, x, ""); }

static LLVMValueRef absolute(struct gen *g, LLVMValueRef x)
{
	LLVMTypeRef ty = LLVMTypeOf(x);
	unsigned id = LLVMLookupIntrinsicID("llvm.fabs", 9);

	return LLVMBuildCall2(g->b, LLVMIntrinsicGetType(g->u->ctx, id, &ty, 1),
			      LLVMGetIntrinsicDeclaration(g->m, id, &ty, 1), &x, 1, "");
}

/* *slow: the helper must do it. */
static LLVMValueRef compute(struct gen *g, const struct fpu_row *row, LLVMValueRef *a, LLVMValueRef *slow)
{
	LLVMValueRef v;

	switch ((enum fpu_form)row->form) {
	case FORM_BINARY:
		v = arith(g, row->d, row->op, a[0], a[1]);
		break;
	case FORM_SQRT:
		v = root(g, row->d, a[0]);
		break;
	case FORM_RECIP:
		v = one_over(g, row->d, a[0]);
		break;
	case FORM_RSQRT:
		v = one_over(g, row->d, root(g, row->d, a[0]));
		break;
	case FORM_MADD:
		v = arith(g, row->d, row->op, arith(g, row->d, SSE_MUL, a[0], a[1]), a[2]);
		break;
	case FORM_OTHER:
		v = other_format(g, row->d, a[0]);
		break;
	case FORM_ABS:
		*slow = is_nan(g, a[0]);
		return absolute(g, a[0]);
	case FORM_NEG:
		*slow = is_nan(g, a[0]);
		return LLVMBuildFNeg(g->b, a[0], "");
	default:
		panic("FPU form %u is no arithmetic", row->form);
	}
	*slow = is_nan(g, v);
	return row->negates ? LLVMBuildFNeg(g->b, v, "") : v;
}

static void compare(struct gen *g, const struct ir_ins *in, uint32_t k, LLVMValueRef *a, LLVMValueRef *arg)
{
	const size_t fcsr = offsetof(struct guest_state, fcr31);
	uint32_t cond = k & (COND_EQUAL | COND_LESS), bit = 1u << fpu_row_cc_shift(k);
	LLVMRealPredicate p = cond == COND_EQUAL  ? LLVMRealOEQ
			      : cond == COND_LESS ? LLVMRealOLT
			      : cond              ? LLVMRealOLE
						  : LLVMRealPredicateFalse;
	LLVMBasicBlockRef ways[2] = {NULL}, on;
	LLVMValueRef slow = LLVMBuildFCmp(g->b, LLVMRealUNO, a[0], a[1], ""), is, all, both[2];

	is = LLVMBuildZExt(g->b, LLVMBuildFCmp(g->b, p, a[0], a[1], ""), g->u->i32, "");
	is = LLVMBuildShl(g->b, is, gen_w(g, fpu_row_cc_shift(k)), "");
	all = LLVMBuildAnd(g->b, gen_state(g, g->u->i32, fcsr), gen_w(g, ~bit), "");
	both[0] = LLVMBuildOr(g->b, all, is, "");
	ways[0] = LLVMGetInsertBlock(g->b);
	ways[1] = gen_cold_branch(g, slow, "fpu");
	on = LLVMGetInsertBlock(g->b);
	LLVMPositionBuilderAtEnd(g->b, ways[1]);
	call_stub(g, in, arg);
	both[1] = gen_state(g, g->u->i32, fcsr);
	LLVMBuildBr(g->b, on);
	LLVMPositionBuilderAtEnd(g->b, on);
	all = LLVMBuildPhi(g->b, g->u->i32, "");
	LLVMAddIncoming(all, both, ways, 2);
	gen_set_state(g, all, fcsr);
}

/* ---- guest_state.fpu_last ---- */

static void set_last(struct gen *g, uint32_t last)
{
	gen_set_state(g, gen_w(g, last), offsetof(struct guest_state, fpu_last));
}

void gen_fpu_flush_last(struct gen *g)
{
	const struct gen_fprs *f = &g->fprs;

	if (!f->last)
		return;
	for (unsigned k = 0; k < f->n_operands; k++)
		set_operand(g, k, f->operand[k]);
	set_last(g, f->last);
}

/* Whether the helper did it is not known here: it may be done once more, with the same outcome. */
static void note_last(struct gen *g, const struct ir_ins *in, LLVMValueRef *arg)
{
	const struct fpu_row *row = &fpu_rows[in->imm];
	bool clean = row->exact && row->form == FORM_FROM_INT; /* has no slow path */
	unsigned n = 0;

	g->fprs.last = clean ? FPU_LAST_CLEAN : (uint32_t)in->imm;
	for (; !clean && n < 3 && ir_helper_info[in->imm].arg[n] != IR_TV; n++)
		g->fprs.operand[n] = arg[n];
	g->fprs.n_operands = n;
}

/* It sets Cause itself; what went before must not be lost from Flags. */
static LLVMValueRef by_helper(struct gen *g, const struct ir_ins *in, LLVMValueRef *arg)
{
	const struct ir_helper_info *h = &ir_helper_info[in->imm];
	LLVMValueRef v;

	set_last(g, FPU_LAST_CLEAN);
	g->fprs.last = 0;
	v = gen_helper_call(g, h, g->cfg->helpers[in->imm], arg);
	LLVMSetMetadata(v, g->u->md_tbaa, g->u->alias[MEM_CLASS_STATE]); /* the only memory that it touches */
	return h->result == IR_TW ? LLVMBuildTrunc(g->b, v, g->u->i32, "") : h->result == IR_TD ? v : NULL;
}

static bool constant(const struct gen *g, const struct ir_ins *in, uint32_t *k)
{
	int at = fpu_row_constant(&fpu_rows[in->imm]);
	const struct ir_ins *c = at < 0 ? NULL : &g->blk->ins[in->arg[at]];

	*k = c ? (uint32_t)c->imm : 0;
	return !c || c->op == IR_CONST;
}

LLVMValueRef gen_fpu(struct gen *g, const struct ir_ins *in, LLVMValueRef *arg)
{
	const struct fpu_row *row = &fpu_rows[in->imm];
	const struct ir_helper_info *h = &ir_helper_info[in->imm];
	LLVMValueRef a[3] = {NULL}, v = NULL, slow = NULL;
	uint32_t k;

	if (!constant(g, in, &k) || !fpu_row_in_line(row, k))
		return by_helper(g, in, arg);
	for (int i = 0; i < 3 && h->arg[i] != IR_TV && i != fpu_row_constant(row); i++)
		a[i] = row->form == FORM_FROM_INT ? arg[i] : LLVMBuildBitCast(g->b, arg[i], fp_type(g, row->d), "");
	if (row->form == FORM_COMPARE) {
		compare(g, in, k, a, arg);
	} else if (row->form == FORM_TO_INT) {
		LLVMValueRef bad = row->wide ? gen_d(g, (uint64_t)1 << 63) : gen_w(g, 1u << 31);

		v = to_int(g, row, k == ROUND_ZERO, a[0]);
		v = unless(g, LLVMBuildICmp(g->b, LLVMIntEQ, v, bad, ""), in, arg, v);
	} else {
		v = row->form == FORM_FROM_INT ? from_int(g, row, a[0]) : compute(g, row, a, &slow);
		v = slow ? unless(g, slow, in, arg, v) : v;
		v = LLVMBuildBitCast(g->b, v, h->result == IR_TD ? g->u->i64 : g->u->i32, "");
	}
	note_last(g, in, arg);
	return v;
}
