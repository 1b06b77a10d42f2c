/* SPDX-License-Identifier: MIT */
#ifndef IR_IR_H
#define IR_IR_H

/*
 * The IR of one guest block: straight-line typed SSA with guest-instruction markers, conditional ways out, and
 * one terminator.  An instruction's index is its value's name.  docs: ir/README.md.
 */
#include <stdio.h>

#include "base/arena.h"
#include "base/panic.h"
#include "base/types.h"
#include "ir/guest_state.h"
#include "ir/mode.h"

enum ir_op {
#define OP(name, ...) IR_##name,
#include "ir/ops.def"
#undef OP
	NUM_IR_OPS
};

enum ir_type { IR_TV, IR_TW, IR_TD };

enum ir_imm { IMM_NONE, IMM_INT, IMM_REG, IMM_OFF, IMM_MEM, IMM_EXC, IMM_HELPER, IMM_INSN, IMM_EXIT };

enum ir_effect {
	EFF_P, /* pure */
	EFF_R, /* reads guest state */
	EFF_W, /* writes guest state */
	EFF_M, /* memory access; may raise, may leave */
	EFF_X, /* may leave */
	EFF_C, /* see helpers.def */
	EFF_F, /* floating point: FCSR only */
	EFF_N, /* marker */
};

struct ir_op_info {
	const char *name; /* as in ops.def; the text form has it in lower case */
	uint8_t result, arg[3], imm, effect;
};
extern const struct ir_op_info ir_op_info[NUM_IR_OPS];

enum helper_flags { HF_PURE = 1, HF_SITE = 2, HF_RAISES = 4, HF_STATE = 8, HF_FPU = 16 };
enum ir_helper {
#define HELPER(name, ...) HELPER_##name,
#include "ir/helpers.def"
#include "ir/fpu_helpers.def"
#undef HELPER
	NUM_HELPERS
};
#define FPU_LAST_CLEAN ((uint32_t)HELPER_FPU_SETTLE) /* guest_state.fpu_last */
struct ir_helper_info {
	const char *name;
	uint8_t result, arg[3], flags;
};
extern const struct ir_helper_info ir_helper_info[NUM_HELPERS];

/* IMM_MEM flags of LOAD and STORE; MEM_META is what the slow-path helpers take. */
enum ir_mem_flags {
	MEM_BE = 1u << 0,     /* byte-swap: the guest runs big-endian */
	MEM_INTENT = 1u << 1, /* a load that checks (and faults) as the store that follows it will: SWL, SWR */
	MEM_SIGN = 1u << 2,   /* META only: sign-extend to 32 bits */
	MEM_MORE = 1u << 3,   /* a store that its instruction goes on after: SC */
};
#define MEM_META(size_log2, flags) ((uint32_t)(size_log2) << 8 | (uint32_t)(flags))
#define META_SIZE(meta)            (1u << ((meta) >> 8))

/* Its types come from the helper's row. */
static inline bool ir_op_is_call(unsigned op) { return op == IR_CALL || op == IR_FPU; }

typedef uint16_t ir_ref;
#define IR_NONE 0xffffu

struct ir_ins {
	uint8_t op;    /* enum ir_op */
	uint8_t dead;  /* removed by a pass; executors and printer skip it */
	ir_ref arg[3]; /* values; IR_NONE where the op has none */
	int64_t imm;
};

/* Where a block goes. */
enum ir_target_kind {
	TGT_ABS,    /* gva v; MODE_ABS blocks */
	TGT_PAGE,   /* pc_page + v (signed) */
	TGT_REGION, /* (pc_page & 0xf0000000) | v : J and JAL of mapped code */
};
struct ir_target {
	uint8_t kind;
	int64_t v;
};

enum ir_term_kind {
	TERM_JUMP,     /* to target[0] */
	TERM_BRANCH,   /* cond != 0: target[0], else target[1] */
	TERM_INDIRECT, /* to the address in cond */
	TERM_PC_SET,   /* a helper set gs->pc: leave with EXIT_PC_SET */
	TERM_LEAVE,    /* leave with EXIT_PC_SET, gs->pc = target[0] (CP0 writes that may change the mode, WAIT) */
	TERM_RAISE,    /* raise the exception `exc` at guest instruction `insn` */
};
enum ir_hint { HINT_NONE, HINT_CALL, HINT_RETURN }; /* JAL/JALR/BAL with ra; JR ra. For the return ring */
struct ir_term {
	uint8_t kind, hint;
	uint16_t insn; /* index of guest[] that the terminator belongs to (the branch, not its delay slot) */
	ir_ref cond;
	uint32_t exc;
	struct ir_target target[2];
	struct ir_target link; /* HINT_CALL: the return address */
};

struct ir_guest_insn {
	uint32_t word; /* in host order */
	int32_t off;   /* byte offset of its address from the start of the page; 4096 for a slot in the next page */
	bool bd;       /* in a delay slot */
};

#define IR_MAX_GUEST 64   /* guest instructions per block */
#define IR_MAX_INS   4096 /* IR instructions per block */
#define IR_MAX_EXITS 4

struct ir_block {
	struct arena *arena;
	uint32_t mode;     /* enum ir_mode */
	uint64_t abs_page; /* MODE_ABS: gva of the page; else 0 */
	uint32_t n_guest, n_ins, cap_ins, n_exits;
	struct ir_guest_insn guest[IR_MAX_GUEST + 1];
	struct ir_ins *ins;
	struct ir_target exits[IR_MAX_EXITS]; /* of EXITIF */
	struct ir_term term;
};

/* Offset into the page of the block's first instruction. */
static inline uint32_t ir_block_off(const struct ir_block *b) { return (uint32_t)b->guest[0].off; }
/* Does it end with a branch and its slot, and not because it was long enough, or the page's end came? */
static inline bool ir_block_branches(const struct ir_block *b) { return b->guest[b->n_guest - 1].bd; }
/* gva of a guest instruction / a target, given the page that the block runs in. */
uint64_t ir_insn_pc(const struct ir_block *b, uint32_t insn, uint64_t pc_page);
uint64_t ir_target_pc(const struct ir_block *b, struct ir_target t, uint64_t pc_page);

/* ---- builder.c: append to a block.  Panics past IR_MAX_INS (the lifter keeps below it). ---- */
struct ir_block *ir_block_new(struct arena *a, uint32_t mode, uint64_t abs_page);
ir_ref ir_emit(struct ir_block *b, enum ir_op op, ir_ref a0, ir_ref a1, ir_ref a2, int64_t imm);
ir_ref ir_call(struct ir_block *b, enum ir_helper h, ir_ref a0, ir_ref a1, ir_ref a2);
/* h has HF_FPU: FPU, or CALL in a MODE_FPX block. */
ir_ref ir_fpu(struct ir_block *b, enum ir_helper h, ir_ref a0, ir_ref a1, ir_ref a2);
/* Type of a value: the op's result, or the helper's for CALL. */
enum ir_type ir_type_of(const struct ir_block *b, ir_ref v);
static inline ir_ref ir_const(struct ir_block *b, uint32_t v)
{
	return ir_emit(b, IR_CONST, IR_NONE, IR_NONE, IR_NONE, v);
}
static inline ir_ref ir_op1(struct ir_block *b, enum ir_op op, ir_ref x)
{
	return ir_emit(b, op, x, IR_NONE, IR_NONE, 0);
}
static inline ir_ref ir_op2(struct ir_block *b, enum ir_op op, ir_ref x, ir_ref y)
{
	return ir_emit(b, op, x, y, IR_NONE, 0);
}
/* GPR 0 reads as constant 0 and is never written. */
ir_ref ir_getreg(struct ir_block *b, unsigned reg);
void ir_setreg(struct ir_block *b, unsigned reg, ir_ref v);

/* ---- verify.c ---- */
/* NULL if well-formed, else what is wrong and where (static or arena storage). Cost O(n). */
const char *ir_verify(const struct ir_block *b);

/* ---- print.c, parse.c ---- */
void ir_print(FILE *out, const struct ir_block *b);
/* Parse what ir_print wrote.  NULL with *err set (arena storage, "line N: ...") on bad input of any kind. */
struct ir_block *ir_parse(struct arena *a, const char *text, const char **err);

/* ---- passes.c, one file per pass; passes.def gives order and dump letter ---- */
struct ir_dump {
	void (*after)(void *ctx, const char *pass, char letter, const struct ir_block *b);
	void *ctx;
};
/* Run all passes of passes.def in order. In debug builds the verifier runs after each. dump may be NULL. */
void ir_run_passes(struct ir_block *b, const struct ir_dump *dump);

/* ---- interp.c: the reference interpreter ---- */
/*
 * Execute the block once.  pc_page must be right in gs.  Calls gs->helpers for memory (MEM_LOAD, MEM_STORE), CP0
 * and FP.  Does not count instructions and does not poll: the caller does.
 * Returns why it left: EXIT_LINK for any direct or indirect successor (gs->pc is set), or gs->leave / EXIT_PC_SET.
 * gs->link is not touched.  executed (may be NULL) gets the number of guest instructions completed.
 */
enum exit_reason ir_interp(const struct ir_block *b, struct guest_state *gs, uint32_t *executed);

/* The value of a pure op; shared by the interpreter and constant folding. */
uint64_t ir_eval(enum ir_op op, uint64_t a, uint64_t b, uint64_t c, int64_t imm);

#endif
