/* SPDX-License-Identifier: MIT */
/* The .def files as data, and what the text form calls things. */
#include "ir/internal.h"

/* Type letters of ops.def and helpers.def. */
#define TYPE_V IR_TV
#define TYPE_W IR_TW
#define TYPE_D IR_TD

const struct ir_op_info ir_op_info[NUM_IR_OPS] = {
#define OP(n, r, a, b, c, i, e) {#n, TYPE_##r, {TYPE_##a, TYPE_##b, TYPE_##c}, IMM_##i, EFF_##e},
#include "ir/ops.def"
#undef OP
};

const struct ir_helper_info ir_helper_info[NUM_HELPERS] = {
#define HELPER(n, r, a, b, c, f) {#n, TYPE_##r, {TYPE_##a, TYPE_##b, TYPE_##c}, (f)},
#include "ir/helpers.def"
#include "ir/fpu_helpers.def"
#undef HELPER
};

_Static_assert(NUM_IR_OPS <= UINT8_MAX, "ir_ins.op is a byte");
_Static_assert(IR_MAX_INS < IR_NONE, "IR_NONE is no instruction");
/* ir_eval's HI32/LO32 and the overlap rules of pass_regs.c rely on it; so do both tiers. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "x86-64 hosts only");

#define GS_OFF(f)   offsetof(struct guest_state, f)
#define GS_BYTES(f) sizeof(((struct guest_state *)0)->f)
#define ARRAY(f, ro)                                                                                                   \
	{                                                                                                              \
#f, GS_OFF(f), GS_BYTES(f), GS_BYTES(f[0]), ro                                                         \
	}
#define SCALAR(f, ro)                                                                                                  \
	{                                                                                                              \
#f, GS_OFF(f), GS_BYTES(f), 0, ro                                                                      \
	}

/*
 * reg[] is missing: GETREG and SETREG are its only way in.  Read-only are the fields that the dispatch loop, the
 * tiers or another thread own.
 */
const struct ir_field ir_fields[] = {
    ARRAY(fpr, false),     SCALAR(fcr31, false), SCALAR(mode, true),    SCALAR(pc, true),
    SCALAR(pc_page, true), SCALAR(poll, true),   SCALAR(leave, true),   SCALAR(icount_left, true),
    SCALAR(site, true),    SCALAR(llbit, false), SCALAR(lladdr, false), SCALAR(llval, false),
    ARRAY(insns, true),    ARRAY(scratch, true), SCALAR(fcr0, true),    ARRAY(cp0, false),
};
const uint32_t ir_n_fields = ARRAY_LEN(ir_fields);

const struct ir_field *ir_field_at(uint64_t off)
{
	for (uint32_t i = 0; i < ir_n_fields; i++)
		if (off - ir_fields[i].off < ir_fields[i].bytes)
			return &ir_fields[i];
	return NULL;
}

const struct ir_name ir_exc_names[] = {
    {"int", EXC_INT},     {"mod", EXC_MOD},     {"tlbl", EXC_TLBL},   {"tlbs", EXC_TLBS},     {"adel", EXC_ADEL},
    {"ades", EXC_ADES},   {"ibe", EXC_IBE},     {"dbe", EXC_DBE},     {"sys", EXC_SYS},       {"bp", EXC_BP},
    {"ri", EXC_RI},       {"cpu", EXC_CPU},     {"ov", EXC_OV},       {"tr", EXC_TR},         {"fpe", EXC_FPE},
    {"tlbri", EXC_TLBRI}, {"tlbxi", EXC_TLBXI}, {"watch", EXC_WATCH}, {"mcheck", EXC_MCHECK}, {NULL, 0},
};

const struct ir_name ir_mode_names[] = {
    {"fr", MODE_FR},   {"cu1", MODE_CU1}, {"cu0", MODE_CU0}, {"be", MODE_BE}, {"erl", MODE_ERL},
    {"fpx", MODE_FPX}, {"abs", MODE_ABS}, {"re", MODE_RE},   {"mp", MODE_MP}, {NULL, 0},
};

const char *const ir_ksu_names[4] = {"kernel", "supervisor", "user", "ksu3"};

/* The o32 names; those of Capstone's disassembly, so that a dump reads as one. */
const char *const ir_reg_names[NUM_REGS] = {
    "zero", "at", "v0", "v1", "a0", "a1", "a2", "a3", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "s0",
    "s1",   "s2", "s3", "s4", "s5", "s6", "s7", "t8", "t9", "k0", "k1", "gp", "sp", "fp", "ra", "hi", "lo",
};

unsigned ir_args(const struct ir_ins *ins, const uint8_t **types)
{
	unsigned n = 0;

	*types = ir_op_is_call(ins->op) ? ir_helper_info[ins->imm].arg : ir_op_info[ins->op].arg;
	while (n < 3 && (*types)[n] != IR_TV)
		n++;
	return n;
}
