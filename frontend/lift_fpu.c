/* SPDX-License-Identifier: MIT */
/*
 * Lifters of COP1, COP1X, MOVF and MOVT.  MIPS32 PRA volume II, the instructions by name.
 *
 * Arithmetic names a row of ir/fpu_helpers.def, whose types say how wide the operands are: FPU, or CALL in a block where
 * an exception may be enabled (ir_fpu).  Moves, loads, stores and branches are inline.  Where Status.FR is 0, a 64-bit
 * operand in an odd register and every instruction that needs FR=1 are UNPREDICTABLE in the manual; here they raise RI.
 */
#include "frontend/fpu.h"
#include "frontend/lift.h"

#define FCR31 offsetof(struct guest_state, fcr31)
#define FCR0  offsetof(struct guest_state, fcr0)

/* Offset of the low (high: the other) word of FPR n seen as a single; see guest_state.fpr. */
static int64_t fpr_word(const struct lift *l, unsigned n, unsigned high)
{
	if (!(l->mode & MODE_FR)) {
		high |= n & 1;
		n &= ~1u;
	}
	return (int64_t)(offsetof(struct guest_state, fpr) + 8u * n + 4u * high);
}

static int64_t fpr_double(unsigned n) { return (int64_t)(offsetof(struct guest_state, fpr) + 8u * n); }

static ir_ref load_state(struct lift *l, enum ir_op op, int64_t off)
{
	return ir_emit(l->b, op, IR_NONE, IR_NONE, IR_NONE, off);
}

static ir_ref get_s(struct lift *l, unsigned n) { return load_state(l, IR_LDS32, fpr_word(l, n, 0)); }
static ir_ref get_d(struct lift *l, unsigned n) { return load_state(l, IR_LDS64, fpr_double(n)); }

/* The other half of a 64-bit FPR is UNPREDICTABLE after a 32-bit write; it stays as it was. */
static void set_s(struct lift *l, unsigned n, ir_ref v)
{
	ir_emit(l->b, IR_STS32, v, IR_NONE, IR_NONE, fpr_word(l, n, 0));
}

static void set_d(struct lift *l, unsigned n, ir_ref v) { ir_emit(l->b, IR_STS64, v, IR_NONE, IR_NONE, fpr_double(n)); }

/* Non-zero if condition code cc is true. */
static ir_ref get_cc(struct lift *l, unsigned cc)
{
	return ir_op2(l->b, IR_AND, load_state(l, IR_LDS32, FCR31), ir_const(l->b, FCSR_FCC(cc)));
}

/* The instruction has a 64-bit operand in FPR n.  False: it raises RI. */
static bool check_double(struct lift *l, unsigned n)
{
	if ((l->mode & MODE_FR) || !(n & 1))
		return true;
	lift_raise(l, EXC_RI);
	return false;
}

static bool check_doubles(struct lift *l, unsigned n, unsigned m) { return check_double(l, n | m); }

/* The instruction exists with 64-bit FPRs only. */
static bool check_fr(struct lift *l)
{
	if (l->mode & MODE_FR)
		return true;
	lift_raise(l, EXC_RI);
	return false;
}

/* ---- arithmetic ---- */

#define NO_FPR 32u

static bool helper_arg_ok(struct lift *l, uint8_t type, unsigned n)
{
	return type != IR_TD || n == NO_FPR || check_double(l, n);
}

static ir_ref helper_arg(struct lift *l, uint8_t type, unsigned n)
{
	return n == NO_FPR ? IR_NONE : type == IR_TD ? get_d(l, n) : get_s(l, n);
}

/* fd <- h(a, b, c), FPR numbers or NO_FPR, as wide as h's row says. */
static void lift_helper(struct lift *l, enum ir_helper h, unsigned a, unsigned b, unsigned c)
{
	const struct ir_helper_info *info = &ir_helper_info[h];
	unsigned fd = insn_fd(l->word);
	if (!helper_arg_ok(l, info->result, fd) || !helper_arg_ok(l, info->arg[0], a) ||
	    !helper_arg_ok(l, info->arg[1], b) || !helper_arg_ok(l, info->arg[2], c))
		return;
	ir_ref x = helper_arg(l, info->arg[0], a);
	ir_ref y = helper_arg(l, info->arg[1], b);
	ir_ref z = helper_arg(l, info->arg[2], c);
	ir_ref r = ir_fpu(l->b, h, x, y, z);
	if (info->result == IR_TD)
		set_d(l, fd, r);
	else
		set_s(l, fd, r);
}

static void lift_to_integer(struct lift *l, enum ir_helper h, enum fpu_rounding rounding)
{
	const struct ir_helper_info *info = &ir_helper_info[h];
	unsigned fd = insn_fd(l->word), fs = insn_fs(l->word);
	if (info->result == IR_TD && !check_fr(l)) /* a longword */
		return;
	if (!helper_arg_ok(l, info->arg[0], fs))
		return;
	ir_ref r = ir_fpu(l->b, h, helper_arg(l, info->arg[0], fs), ir_const(l->b, rounding), IR_NONE);
	if (info->result == IR_TD)
		set_d(l, fd, r);
	else
		set_s(l, fd, r);
}

#define UNARY(name, NAME)                                                                                              \
	void lift_##name(struct lift *l) { lift_helper(l, HELPER_FPU_##NAME, insn_fs(l->word), NO_FPR, NO_FPR); }
#define BINARY(name, NAME)                                                                                             \
	void lift_##name(struct lift *l)                                                                               \
	{                                                                                                              \
		lift_helper(l, HELPER_FPU_##NAME, insn_fs(l->word), insn_ft(l->word), NO_FPR);                         \
	}
#define TERNARY(name, NAME)                                                                                            \
	void lift_##name(struct lift *l)                                                                               \
	{                                                                                                              \
		lift_helper(l, HELPER_FPU_##NAME, insn_fs(l->word), insn_ft(l->word), insn_fr(l->word));               \
	}
#define TO_INTEGER(name, NAME, rounding)                                                                               \
	void lift_##name(struct lift *l) { lift_to_integer(l, HELPER_FPU_CVT_##NAME, rounding); }

BINARY(add_s, ADD_S)
BINARY(add_d, ADD_D)
BINARY(sub_s, SUB_S)
BINARY(sub_d, SUB_D)
BINARY(mul_s, MUL_S)
BINARY(mul_d, MUL_D)
BINARY(div_s, DIV_S)
BINARY(div_d, DIV_D)
UNARY(sqrt_s, SQRT_S)
UNARY(sqrt_d, SQRT_D)
UNARY(abs_s, ABS_S)
UNARY(abs_d, ABS_D)
UNARY(neg_s, NEG_S)
UNARY(neg_d, NEG_D)
UNARY(recip_s, RECIP_S)
UNARY(recip_d, RECIP_D)
UNARY(rsqrt_s, RSQRT_S)
UNARY(rsqrt_d, RSQRT_D)
TERNARY(madd_s, MADD_S)
TERNARY(madd_d, MADD_D)
TERNARY(msub_s, MSUB_S)
TERNARY(msub_d, MSUB_D)
TERNARY(nmadd_s, NMADD_S)
TERNARY(nmadd_d, NMADD_D)
TERNARY(nmsub_s, NMSUB_S)
TERNARY(nmsub_d, NMSUB_D)
UNARY(cvt_s_d, CVT_S_D)
UNARY(cvt_s_w, CVT_S_W)
UNARY(cvt_d_s, CVT_D_S)
UNARY(cvt_d_w, CVT_D_W)
TO_INTEGER(round_w_s, W_S, FPU_ROUND)
TO_INTEGER(round_w_d, W_D, FPU_ROUND)
TO_INTEGER(round_l_s, L_S, FPU_ROUND)
TO_INTEGER(round_l_d, L_D, FPU_ROUND)
TO_INTEGER(trunc_w_s, W_S, FPU_TRUNC)
TO_INTEGER(trunc_w_d, W_D, FPU_TRUNC)
TO_INTEGER(trunc_l_s, L_S, FPU_TRUNC)
TO_INTEGER(trunc_l_d, L_D, FPU_TRUNC)
TO_INTEGER(ceil_w_s, W_S, FPU_CEIL)
TO_INTEGER(ceil_w_d, W_D, FPU_CEIL)
TO_INTEGER(ceil_l_s, L_S, FPU_CEIL)
TO_INTEGER(ceil_l_d, L_D, FPU_CEIL)
TO_INTEGER(floor_w_s, W_S, FPU_FLOOR)
TO_INTEGER(floor_w_d, W_D, FPU_FLOOR)
TO_INTEGER(floor_l_s, L_S, FPU_FLOOR)
TO_INTEGER(floor_l_d, L_D, FPU_FLOOR)
TO_INTEGER(cvt_w_s, W_S, FPU_BY_RM)
TO_INTEGER(cvt_w_d, W_D, FPU_BY_RM)
TO_INTEGER(cvt_l_s, L_S, FPU_BY_RM)
TO_INTEGER(cvt_l_d, L_D, FPU_BY_RM)

static void lift_from_longword(struct lift *l, enum ir_helper h)
{
	if (check_fr(l))
		lift_helper(l, h, insn_fs(l->word), NO_FPR, NO_FPR);
}

void lift_cvt_s_l(struct lift *l) { lift_from_longword(l, HELPER_FPU_CVT_S_L); }
void lift_cvt_d_l(struct lift *l) { lift_from_longword(l, HELPER_FPU_CVT_D_L); }

static ir_ref compare_arg(struct lift *l) { return ir_const(l->b, insn_cc_compare(l->word) << 4 | (l->word & 15)); }

void lift_c_s(struct lift *l)
{
	ir_ref a = get_s(l, insn_fs(l->word)), b = get_s(l, insn_ft(l->word));
	ir_fpu(l->b, HELPER_FPU_C_S, a, b, compare_arg(l));
}

void lift_c_d(struct lift *l)
{
	if (!check_doubles(l, insn_fs(l->word), insn_ft(l->word)))
		return;
	ir_ref a = get_d(l, insn_fs(l->word)), b = get_d(l, insn_ft(l->word));
	ir_fpu(l->b, HELPER_FPU_C_D, a, b, compare_arg(l));
}

/* ---- moves between FPRs: never arithmetic, NaNs pass ---- */

void lift_mov_s(struct lift *l) { set_s(l, insn_fd(l->word), get_s(l, insn_fs(l->word))); }

void lift_mov_d(struct lift *l)
{
	if (check_doubles(l, insn_fd(l->word), insn_fs(l->word)))
		set_d(l, insn_fd(l->word), get_d(l, insn_fs(l->word)));
}

/* fd <- fs if (cond != 0) == move_if */
static void select_s(struct lift *l, ir_ref cond, bool move_if)
{
	unsigned fd = insn_fd(l->word);
	ir_ref moved = get_s(l, insn_fs(l->word)), kept = get_s(l, fd);
	set_s(l, fd, ir_emit(l->b, IR_SELECT, cond, move_if ? moved : kept, move_if ? kept : moved, 0));
}

static void select_d(struct lift *l, ir_ref cond, bool move_if)
{
	unsigned fd = insn_fd(l->word);
	ir_ref moved = get_d(l, insn_fs(l->word)), kept = get_d(l, fd);
	set_d(l, fd, ir_emit(l->b, IR_SELECT64, cond, move_if ? moved : kept, move_if ? kept : moved, 0));
}

static bool word_tf(uint32_t word) { return word >> 16 & 1; }

void lift_movcf_s(struct lift *l) { select_s(l, get_cc(l, insn_cc_branch(l->word)), word_tf(l->word)); }
void lift_movz_s(struct lift *l) { select_s(l, lift_rt(l), false); }
void lift_movn_s(struct lift *l) { select_s(l, lift_rt(l), true); }

void lift_movcf_d(struct lift *l)
{
	if (check_doubles(l, insn_fd(l->word), insn_fs(l->word)))
		select_d(l, get_cc(l, insn_cc_branch(l->word)), word_tf(l->word));
}

void lift_movz_d(struct lift *l)
{
	if (check_doubles(l, insn_fd(l->word), insn_fs(l->word)))
		select_d(l, lift_rt(l), false);
}

void lift_movn_d(struct lift *l)
{
	if (check_doubles(l, insn_fd(l->word), insn_fs(l->word)))
		select_d(l, lift_rt(l), true);
}

/* MOVF and MOVT: rd <- rs on a condition code */
void lift_movci(struct lift *l)
{
	bool tf = word_tf(l->word);
	ir_ref cond = get_cc(l, insn_cc_branch(l->word));
	ir_ref moved = lift_rs(l), kept = ir_getreg(l->b, insn_rd(l->word));
	lift_set_rd(l, ir_emit(l->b, IR_SELECT, cond, tf ? moved : kept, tf ? kept : moved, 0));
}

/* BC1F, BC1T and their likely forms */
void lift_bc1(struct lift *l) { lift_branch(l, get_cc(l, insn_cc_branch(l->word)), word_tf(l->word)); }

/* ---- moves between GPRs, FPRs and control registers ---- */

void lift_mfc1(struct lift *l) { lift_set_rt(l, get_s(l, insn_fs(l->word))); }
void lift_mtc1(struct lift *l) { set_s(l, insn_fs(l->word), lift_rt(l)); }

/* FR=0: the high half is the odd register of the pair, whichever of the two is named. */
void lift_mfhc1(struct lift *l) { lift_set_rt(l, load_state(l, IR_LDS32, fpr_word(l, insn_fs(l->word), 1))); }

void lift_mthc1(struct lift *l)
{
	ir_emit(l->b, IR_STS32, lift_rt(l), IR_NONE, IR_NONE, fpr_word(l, insn_fs(l->word), 1));
}

void lift_cfc1(struct lift *l)
{
	unsigned fs = insn_fs(l->word);
	if (fs == FPU_FIR)
		lift_set_rt(l, load_state(l, IR_LDS32, FCR0));
	else
		lift_set_rt(l, ir_call(l->b, HELPER_FPU_CFC1, ir_const(l->b, fs), IR_NONE, IR_NONE));
}

void lift_ctc1(struct lift *l)
{
	unsigned fs = insn_fs(l->word);
	ir_call(l->b, HELPER_FPU_CTC1, ir_const(l->b, fs), lift_rt(l), IR_NONE);
	if (fs == FPU_FCSR || fs == FPU_FENR) /* MODE_FPX may have changed */
		lift_leave(l);
}

/* ---- loads and stores ---- */

static void load_s(struct lift *l, unsigned n, ir_ref address)
{
	set_s(l, n, ir_emit(l->b, IR_LOAD32, address, IR_NONE, IR_NONE, lift_mem_flags(l)));
}

static void load_d(struct lift *l, unsigned n, ir_ref address)
{
	set_d(l, n, ir_emit(l->b, IR_LOAD64, address, IR_NONE, IR_NONE, lift_mem_flags(l)));
}

static void store_s(struct lift *l, unsigned n, ir_ref address)
{
	ir_emit(l->b, IR_STORE32, address, get_s(l, n), IR_NONE, lift_mem_flags(l));
}

static void store_d(struct lift *l, unsigned n, ir_ref address)
{
	ir_emit(l->b, IR_STORE64, address, get_d(l, n), IR_NONE, lift_mem_flags(l));
}

void lift_lwc1(struct lift *l) { load_s(l, insn_ft(l->word), lift_address(l)); }
void lift_swc1(struct lift *l) { store_s(l, insn_ft(l->word), lift_address(l)); }
void lift_lwxc1(struct lift *l) { load_s(l, insn_fd(l->word), lift_address_indexed(l)); }
void lift_swxc1(struct lift *l) { store_s(l, insn_fs(l->word), lift_address_indexed(l)); }

void lift_ldc1(struct lift *l)
{
	if (check_double(l, insn_ft(l->word)))
		load_d(l, insn_ft(l->word), lift_address(l));
}

void lift_sdc1(struct lift *l)
{
	if (check_double(l, insn_ft(l->word)))
		store_d(l, insn_ft(l->word), lift_address(l));
}

void lift_ldxc1(struct lift *l)
{
	if (check_double(l, insn_fd(l->word)))
		load_d(l, insn_fd(l->word), lift_address_indexed(l));
}

void lift_sdxc1(struct lift *l)
{
	if (check_double(l, insn_fs(l->word)))
		store_d(l, insn_fs(l->word), lift_address_indexed(l));
}

/* LUXC1 and SUXC1: the low three bits of the address are ignored. */
static ir_ref address_unaligned(struct lift *l)
{
	return ir_op2(l->b, IR_AND, lift_address_indexed(l), ir_const(l->b, ~7u));
}

void lift_luxc1(struct lift *l)
{
	if (check_fr(l))
		load_d(l, insn_fd(l->word), address_unaligned(l));
}

void lift_suxc1(struct lift *l)
{
	if (check_fr(l))
		store_d(l, insn_fs(l->word), address_unaligned(l));
}

/* A hint that cannot fault; the host prefetches by itself. */
void lift_prefx(struct lift *l) { (void)l; }

/* A word of COP1 or COP1X that nothing else matched: RI once the coprocessor is usable. */
void lift_cop1_reserved(struct lift *l) { lift_raise(l, EXC_RI); }
