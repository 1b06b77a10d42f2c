/* SPDX-License-Identifier: MIT */
#ifndef IR_INTERNAL_H
#define IR_INTERNAL_H

/* What the files of ir/ share and nobody else includes. */
#include "ir/ir.h"

/* ---- the passes, by passes.def ---- */
#define PASS(name, letter) void ir_pass_##name(struct ir_block *b);
#include "ir/passes.def"
#undef PASS

/* ---- verify.c ---- */
/* ir_verify, and the offending instruction in *at; b->n_ins: the terminator; UINT32_MAX: the header. */
const char *ir_verify_at(const struct ir_block *b, uint32_t *at);

/* ---- tables.c ---- */
/* A field of guest_state that LDS and STS may name. */
struct ir_field {
	const char *name;
	uint32_t off, bytes;
	uint8_t stride; /* of an array's elements; 0: no array */
	bool read_only; /* STS to it would break the monitor or the rules of ir/README.md */
};
extern const struct ir_field ir_fields[];
extern const uint32_t ir_n_fields;
/* The field that holds byte off of guest_state, or NULL (padding, reg[], past the end). */
const struct ir_field *ir_field_at(uint64_t off);

struct ir_name {
	const char *name;
	uint32_t value;
};
/* Both end with a NULL name. */
extern const struct ir_name ir_exc_names[];
extern const struct ir_name ir_mode_names[]; /* single bits only; KSU is spelt out by the text form */
extern const char *const ir_reg_names[NUM_REGS];
extern const char *const ir_ksu_names[4];

/* Number of argument slots that an instruction uses; row of argument types in *types. op and helper in range. */
unsigned ir_args(const struct ir_ins *ins, const uint8_t **types);

static inline bool ir_is_pure_call(const struct ir_ins *ins)
{
	return ins->op == IR_CALL && ir_helper_info[ins->imm].flags == HF_PURE;
}

/* May this instruction be removed when nobody uses its value? */
static inline bool ir_is_removable(const struct ir_ins *ins)
{
	uint8_t effect = ir_op_info[ins->op].effect;

	return effect == EFF_P || effect == EFF_R || ir_is_pure_call(ins);
}

/* Is its value a function of its arguments and immediate for as long as the block runs? */
static inline bool ir_is_invariant(const struct ir_ins *ins)
{
	return ir_op_info[ins->op].effect == EFF_P || ins->op == IR_PCREL || ins->op == IR_PCREGION ||
	       ir_is_pure_call(ins);
}

/* Can the guest's state be seen, or changed, by somebody else at this instruction? (README, "Precision") */
static inline bool ir_is_observer(const struct ir_ins *ins)
{
	uint8_t effect = ir_op_info[ins->op].effect;

	return effect == EFF_M || effect == EFF_X || effect == EFF_F || (effect == EFF_C && !ir_is_pure_call(ins));
}

#endif
