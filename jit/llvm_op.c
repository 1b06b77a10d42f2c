/* SPDX-License-Identifier: MIT */
/*
 * IR ops to LLVM values: pure ops, guest_state fields, helper calls.  W is i32, D is i64.  A row of ops.def without
 * its op_ function here (and not handled by llvm_gen.c or llvm_mem.c) does not compile.
 */
#include <stdlib.h>
#include <string.h>

#include "jit/llvm_gen.h"

/* Gives the op's value; x, y, z are its arguments. */
typedef LLVMValueRef op_fn(struct gen *g, const struct ir_ins *in, LLVMValueRef x, LLVMValueRef y, LLVMValueRef z);

static LLVMValueRef intrinsic(struct gen *g, const char *name, LLVMTypeRef ty, LLVMValueRef *args, unsigned n)
{
	unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
	LLVMValueRef fn = LLVMGetIntrinsicDeclaration(g->m, id, &ty, 1);

	return LLVMBuildCall2(g->b, LLVMIntrinsicGetType(g->u->ctx, id, &ty, 1), fn, args, n, "");
}

LLVMValueRef gen_bswap(struct gen *g, LLVMValueRef v) { return intrinsic(g, "llvm.bswap", LLVMTypeOf(v), &v, 1); }

static LLVMValueRef narrow(struct gen *g, LLVMValueRef v, LLVMTypeRef ty, bool sign)
{
	v = LLVMBuildTrunc(g->b, v, ty, "");
	return sign ? LLVMBuildSExt(g->b, v, g->u->i32, "") : LLVMBuildZExt(g->b, v, g->u->i32, "");
}

static LLVMValueRef compare(struct gen *g, LLVMIntPredicate p, LLVMValueRef x, LLVMValueRef y)
{
	return LLVMBuildZExt(g->b, LLVMBuildICmp(g->b, p, x, y, ""), g->u->i32, "");
}

static LLVMValueRef overflow(struct gen *g, const char *name, LLVMValueRef x, LLVMValueRef y)
{
	LLVMValueRef both = intrinsic(g, name, g->u->i32, (LLVMValueRef[]){x, y}, 2);

	return LLVMBuildZExt(g->b, LLVMBuildExtractValue(g->b, both, 1, ""), g->u->i32, "");
}

static LLVMValueRef shift(struct gen *g, LLVMOpcode op, LLVMValueRef x, LLVMValueRef y)
{
	return LLVMBuildBinOp(g->b, op, x, LLVMBuildAnd(g->b, y, gen_w(g, 31), ""), "");
}

static LLVMValueRef shift64(struct gen *g, LLVMOpcode op, LLVMValueRef x, LLVMValueRef y)
{
	return LLVMBuildBinOp(g->b, op, x, gen_zext(g, LLVMBuildAnd(g->b, y, gen_w(g, 63), "")), "");
}

static LLVMValueRef rotate(struct gen *g, LLVMValueRef x, LLVMValueRef y)
{
	return intrinsic(g, "llvm.fshr", g->u->i32, (LLVMValueRef[]){x, x, y}, 3);
}

static LLVMValueRef leading_zeros(struct gen *g, LLVMValueRef x)
{
	return intrinsic(g, "llvm.ctlz", g->u->i32, (LLVMValueRef[]){x, LLVMConstInt(g->u->i1, 0, false)}, 2);
}

static LLVMValueRef equals(struct gen *g, LLVMValueRef x, uint32_t v)
{
	return LLVMBuildICmp(g->b, LLVMIntEQ, x, gen_w(g, v), "");
}

/*
 * x op y with what ops.def says where the host would trap.  INT_MIN / -1 is INT_MIN / 1, and the remainders agree too,
 * so both bad cases divide by 1.
 */
static LLVMValueRef divide(struct gen *g, LLVMOpcode op, LLVMValueRef x, LLVMValueRef y, LLVMValueRef by_zero)
{
	LLVMValueRef zero = equals(g, y, 0), bad = zero;

	if (op == LLVMSDiv || op == LLVMSRem)
		bad = LLVMBuildOr(g->b, bad,
				  LLVMBuildAnd(g->b, equals(g, x, 0x80000000u), equals(g, y, UINT32_MAX), ""), "");
	y = LLVMBuildSelect(g->b, bad, gen_w(g, 1), y, "");
	return LLVMBuildSelect(g->b, zero, by_zero, LLVMBuildBinOp(g->b, op, x, y, ""), "");
}

/* x < 0 ? 1 : -1 */
static LLVMValueRef div_by_zero(struct gen *g, LLVMValueRef x)
{
	LLVMValueRef negative = LLVMBuildICmp(g->b, LLVMIntSLT, x, gen_w(g, 0), "");

	return LLVMBuildSelect(g->b, negative, gen_w(g, 1), gen_w(g, UINT32_MAX), "");
}

static LLVMValueRef choose(struct gen *g, LLVMValueRef c, LLVMValueRef x, LLVMValueRef y)
{
	return LLVMBuildSelect(g->b, LLVMBuildICmp(g->b, LLVMIntNE, c, gen_w(g, 0), ""), x, y, "");
}

static LLVMValueRef sext64(struct gen *g, LLVMValueRef x) { return LLVMBuildSExt(g->b, x, g->u->i64, ""); }
static LLVMValueRef low(struct gen *g, LLVMValueRef x) { return LLVMBuildTrunc(g->b, x, g->u->i32, ""); }

/* Guest pcs of mapped code: relative to the page that it runs in now. */
static LLVMValueRef pc_target(struct gen *g, enum ir_target_kind kind, int64_t v)
{
	return gen_pc_of_target(g, (struct ir_target){.kind = (uint8_t)kind, .v = v});
}

static LLVMValueRef state(struct gen *g, const struct ir_ins *in, LLVMTypeRef ty)
{
	LLVMValueRef v;

	return gen_fpr_load(g, in, &v) ? v : gen_state(g, ty, (size_t)in->imm);
}

static LLVMValueRef set_state(struct gen *g, const struct ir_ins *in, LLVMValueRef v)
{
	if (!gen_fpr_store(g, in, v))
		gen_set_state(g, v, (size_t)in->imm);
	return NULL;
}

/* Arguments that the helper does not take are left as they are. */
LLVMValueRef gen_helper_call(struct gen *g, const struct ir_helper_info *h, helper_fn *fn, LLVMValueRef *a)
{
	LLVMValueRef args[4] = {g->gs}, call, callee;

	for (int i = 0; i < 3; i++)
		args[i + 1] = h->arg[i] == IR_TV   ? LLVMGetPoison(g->u->i64)
			      : h->arg[i] == IR_TW ? gen_zext(g, a[i])
						   : a[i];
	callee = LLVMConstIntToPtr(gen_d(g, (uintptr_t)fn), g->u->ptr);
	call = LLVMBuildCall2(g->b, g->u->helper_ty, callee, args, 4, "");
	if (h->flags == HF_PURE) {
		static const char *const pure[] = {"nounwind", "willreturn", "memory"};

		for (unsigned i = 0; i < ARRAY_LEN(pure); i++) {
			unsigned kind = LLVMGetEnumAttributeKindForName(pure[i], strlen(pure[i]));

			LLVMAddCallSiteAttribute(call, LLVMAttributeFunctionIndex,
						 LLVMCreateEnumAttribute(g->u->ctx, kind, 0));
		}
	}
	return call;
}

static LLVMValueRef op_CALL(struct gen *g, const struct ir_ins *in, LLVMValueRef x, LLVMValueRef y, LLVMValueRef z)
{
	const struct ir_helper_info *h = &ir_helper_info[in->imm];
	LLVMValueRef result, leave;

	if (h->flags & HF_SITE)
		gen_site(g, g->insn);
	if (h->flags != HF_PURE) {
		gen_fpr_flush_to_state(g);
		gen_fpu_flush_last(g);
		g->fprs.last = 0;
	}
	result = gen_helper_call(g, h, g->cfg->helpers[in->imm], (LLVMValueRef[]){x, y, z});
	if (h->flags != HF_PURE)
		gen_fpr_forget(g);
	if (h->flags & HF_RAISES) {
		LLVMBasicBlockRef cold, on;

		leave = gen_state(g, g->u->i32, offsetof(struct guest_state, leave));
		leave = LLVMBuildICmp(g->b, LLVMIntNE, leave, gen_w(g, EXIT_NONE), "");
		cold = gen_cold_branch(g, leave, "leave");
		on = LLVMGetInsertBlock(g->b);
		LLVMPositionBuilderAtEnd(g->b, cold);
		gen_leave_stub(g, SYM_LEAVE);
		LLVMPositionBuilderAtEnd(g->b, on);
	}
	return h->result == IR_TW ? low(g, result) : h->result == IR_TD ? result : NULL;
}

static LLVMValueRef op_FPU(struct gen *g, const struct ir_ins *in, LLVMValueRef x, LLVMValueRef y, LLVMValueRef z)
{
	return gen_fpu(g, in, (LLVMValueRef[]){x, y, z});
}

/* clang-format off */
#define VALUE(name, value) static LLVMValueRef op_##name(struct gen *g, const struct ir_ins *in, LLVMValueRef x, LLVMValueRef y, LLVMValueRef z) { return value; }

VALUE(CONST,    gen_w(g, (uint32_t)in->imm))
VALUE(CONST64,  gen_d(g, (uint64_t)in->imm))
VALUE(PCREL,    pc_target(g, TGT_PAGE, in->imm))
VALUE(PCREGION, pc_target(g, TGT_REGION, in->imm))

VALUE(LDS32,    state(g, in, g->u->i32))
VALUE(LDS64,    state(g, in, g->u->i64))
VALUE(STS32,    set_state(g, in, x))
VALUE(STS64,    set_state(g, in, x))

VALUE(ADD,      LLVMBuildAdd(g->b, x, y, ""))
VALUE(SUB,      LLVMBuildSub(g->b, x, y, ""))
VALUE(MUL,      LLVMBuildMul(g->b, x, y, ""))
VALUE(AND,      LLVMBuildAnd(g->b, x, y, ""))
VALUE(OR,       LLVMBuildOr(g->b, x, y, ""))
VALUE(XOR,      LLVMBuildXor(g->b, x, y, ""))
VALUE(NOT,      LLVMBuildNot(g->b, x, ""))
VALUE(SHL,      shift(g, LLVMShl, x, y))
VALUE(SHR,      shift(g, LLVMLShr, x, y))
VALUE(SAR,      shift(g, LLVMAShr, x, y))
VALUE(ROTR,     rotate(g, x, y))
VALUE(CLZ,      leading_zeros(g, x))
VALUE(BSWAP,    gen_bswap(g, x))
VALUE(SEXT8,    narrow(g, x, g->u->i8, true))
VALUE(SEXT16,   narrow(g, x, g->u->i16, true))
VALUE(ZEXT8,    narrow(g, x, g->u->i8, false))
VALUE(ZEXT16,   narrow(g, x, g->u->i16, false))
VALUE(ADDOV,    overflow(g, "llvm.sadd.with.overflow", x, y))
VALUE(SUBOV,    overflow(g, "llvm.ssub.with.overflow", x, y))
VALUE(DIVS,     divide(g, LLVMSDiv, x, y, div_by_zero(g, x)))
VALUE(DIVU,     divide(g, LLVMUDiv, x, y, gen_w(g, UINT32_MAX)))
VALUE(REMS,     divide(g, LLVMSRem, x, y, x))
VALUE(REMU,     divide(g, LLVMURem, x, y, x))
VALUE(EQ,       compare(g, LLVMIntEQ, x, y))
VALUE(NE,       compare(g, LLVMIntNE, x, y))
VALUE(LTS,      compare(g, LLVMIntSLT, x, y))
VALUE(LTU,      compare(g, LLVMIntULT, x, y))
VALUE(SELECT,   choose(g, x, y, z))

VALUE(ADD64,    LLVMBuildAdd(g->b, x, y, ""))
VALUE(SUB64,    LLVMBuildSub(g->b, x, y, ""))
VALUE(AND64,    LLVMBuildAnd(g->b, x, y, ""))
VALUE(OR64,     LLVMBuildOr(g->b, x, y, ""))
VALUE(XOR64,    LLVMBuildXor(g->b, x, y, ""))
VALUE(SHL64,    shift64(g, LLVMShl, x, y))
VALUE(SHR64,    shift64(g, LLVMLShr, x, y))
VALUE(MULS64,   LLVMBuildMul(g->b, sext64(g, x), sext64(g, y), ""))
VALUE(MULU64,   LLVMBuildMul(g->b, gen_zext(g, x), gen_zext(g, y), ""))
VALUE(SELECT64, choose(g, x, y, z))
VALUE(SEXT64,   sext64(g, x))
VALUE(ZEXT64,   gen_zext(g, x))
VALUE(LO32,     low(g, x))
VALUE(HI32,     low(g, LLVMBuildLShr(g->b, x, gen_d(g, 32), "")))
VALUE(PAIR64,   LLVMBuildOr(g->b, LLVMBuildShl(g->b, gen_zext(g, x), gen_d(g, 32), ""), gen_zext(g, y), ""))

/* Rows that llvm_gen.c handles. */
#define op_GETREG NULL
#define op_SETREG NULL
#define op_INSN NULL
#define op_RAISEIF NULL
#define op_EXITIF NULL
#define op_FETCH NULL

static op_fn *const op_of[NUM_IR_OPS] = {
#define OP_P(name) [IR_##name] = op_##name,
#define OP_R(name) [IR_##name] = op_##name,
#define OP_W(name) [IR_##name] = op_##name,
#define OP_M(name)
#define OP_X(name) [IR_##name] = op_##name,
#define OP_C(name) [IR_##name] = op_##name,
#define OP_N(name) [IR_##name] = op_##name,
#define OP_F(name) [IR_##name] = op_##name,
#define OP(name, r, a, b, c, i, effect) OP_##effect(name)
#include "ir/ops.def"
#undef OP
};
/* clang-format on */

static LLVMValueRef arg(const struct gen *g, const struct ir_ins *in, unsigned i)
{
	return in->arg[i] == IR_NONE ? NULL : g->val[in->arg[i]];
}

void gen_op(struct gen *g, uint32_t i)
{
	const struct ir_ins *in = &g->blk->ins[i];

	if (ir_op_info[in->op].effect != EFF_M)
		g->val[i] = op_of[in->op](g, in, arg(g, in, 0), arg(g, in, 1), arg(g, in, 2));
	else if (ir_op_info[in->op].result == IR_TV)
		gen_store_op(g, i);
	else
		gen_load_op(g, i);
}
