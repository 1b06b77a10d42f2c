/* SPDX-License-Identifier: MIT */
#ifndef JIT_TIER1_H
#define JIT_TIER1_H

/*
 * Tier 1: one pass over the IR of a block, with a local register allocator.
 *
 *	tier1.c		the block: uses, fused compares, head, markers; installs
 *	tier1_alloc.c	where values are
 *	tier1_op.c	pure ops and guest state
 *	tier1_mem.c	LOADs and STOREs: the inlined L2TLB probe and its slow path
 *	tier1_call.c	helpers, RAISEIF
 *	tier1_fpu.c	floating point on the host's SSE unit
 *	tier1_term.c	terminators, EXITIF, what is out of line
 *
 * Guest registers are canonical (SETREG done) at every op that can be left from: a value may be computed straight into
 * a pinned register only if the SETREG follows it with nothing but markers and constants between.
 */
#include "jit/emit.h"
#include "jit/window.h"

enum t1_loc {
	T1_NONE,  /* not computed yet, or dead */
	T1_CONST, /* the immediate of its CONST or CONST64 */
	T1_PIN,   /* equal to a pinned guest register, in `reg` */
	T1_REG,   /* in scratch register `reg` */
	T1_XMM,   /* in xmm register `reg`: its low 64 bits, a W zero-extended */
	T1_SLOT,  /* in spill slot `slot` */
	T1_HOME,  /* equal to gs->reg[guest] */
	T1_FUSED, /* a compare that its only user does */
};

struct t1_value {
	uint8_t loc; /* enum t1_loc */
	int8_t reg;
	uint8_t guest;   /* T1_PIN, T1_HOME, or home_valid: the guest register */
	bool home_valid; /* T1_REG: gs->reg[guest] holds it too, so that eviction costs nothing */
	bool listed;     /* in alias[guest] */
	uint16_t slot;
	uint16_t uses, last; /* last: index of the last user; n_ins: the terminator */
	ir_ref next_alias;
};

enum t1_late_kind {
	LATE_LOAD,
	LATE_STORE,
	LATE_FETCH,
	LATE_RAISE,
	LATE_EXIT,
	LATE_FPU,
	LATE_POLL,
	LATE_HOT,
	LATE_BUDGET,   /* the block has more instructions than icount_left */
	LATE_DEADLINE, /* icount_left was used up when its branch ended */
};

/* A piece of code to emit behind the block. */
struct t1_late {
	uint8_t kind;
	int8_t addr, value, dst;     /* host registers; value NO_REG: imm */
	int8_t xmm[3];               /* LATE_FPU: operands; NO_REG: imm */
	bool to_xmm;                 /* LATE_FPU: dst is one */
	uint16_t live;               /* xmm registers to keep over a memory access that misses */
	uint16_t helper;             /* LATE_FPU */
	bool wide;                   /* LATE_LOAD of 64 bits */
	uint16_t insn;               /* guest instruction */
	uint16_t mem_left;           /* LOADs and STOREs behind it */
	uint32_t imm;                /* store's constant; exception; index of exits[] */
	uint32_t meta;               /* MEM_META without the size's shift: see mem_desc() */
	uint8_t n_windows;           /* LOADs, STOREs: what is to be 0 behind it, */
	int16_t window[WINDOW_LIVE]; /* a register, or ~ a spill slot */
	uint8_t *from;               /* jcc's displacement */
	uint8_t *from_too[3];        /* others that lead here, or NULL */
	uint8_t *back;               /* where to go on; executable address */
	struct ir_target target;     /* LATE_POLL, LATE_HOT, LATE_DEADLINE */
};

/* Values behind those of the IR: what the first access of a window found, host address minus gva; 0: nothing. */
#define T1_WINDOW(k) ((ir_ref)(IR_MAX_INS + (k)))
#define T1_VALUES    (IR_MAX_INS + WINDOW_MAX)

#define T1_FREE  0xffffu
#define T1_TEMP  0xfffeu
#define T1_LATES (2 * IR_MAX_INS + 32) /* two for an access, and of the edges: polls, counters, deadlines */

struct tier1 {
	struct code_cache *cc;
	const struct ir_block *b;
	struct translation *t;
	struct x86 x;
	uint32_t i;          /* IR instruction being emitted */
	uint32_t insn;       /* guest instruction it belongs to */
	uint32_t n_mem;      /* LOADs and STOREs of the block that probe */
	uint32_t n_mem_done; /* of them, before i */
	int hint;            /* pinned register that the SETREG behind this instruction wants its value in, or NO_REG */
	uint16_t n_map;      /* entries of the pc map made */
	uint32_t map_host;   /* host offset of the last */

	uint16_t owner[16]; /* scratch register -> value, T1_FREE or T1_TEMP (of this instruction) */
	uint32_t locked;    /* registers that this instruction reads */
	uint16_t n_slots, n_free_slots;
	ir_ref alias[NUM_REGS]; /* values that are equal to the guest register, through next_alias */
	int8_t pin[NUM_REGS];   /* host register or NO_REG */
	uint16_t xmm_owner[16]; /* as owner */
	uint32_t xmm_locked;

	uint8_t *
	    line_miss; /* of the access being emitted: where it goes if the line is not in guest_state.lines, or NULL */
	uint32_t n_late;
	struct windows windows;
	struct t1_value v[T1_VALUES];
	uint16_t free_slots[T1_VALUES];
	struct t1_late late[T1_LATES];
	uint32_t host[IR_MAX_INS]; /* host offset of each IR instruction, for dumps */
	struct x86_fixups fixups;  /* for the store */
};

/* ---- tier1_alloc.c ---- */
void t1_alloc_init(struct tier1 *s);
/* A scratch register for this instruction. */
int t1_scratch(struct tier1 *s);
/* The same, a certain one; what was there is moved away. Before any t1_use of a constant. */
void t1_claim(struct tier1 *s, int reg);
/* A register that holds v; valid until the end of this instruction. */
int t1_use(struct tier1 *s, ir_ref v);
void t1_load_into(struct tier1 *s, int reg, ir_ref v);
bool t1_is_const(const struct tier1 *s, ir_ref v);
uint64_t t1_const(const struct tier1 *s, ir_ref v);
/* v is in memory and dies here: use it from there. */
bool t1_in_memory(const struct tier1 *s, ir_ref v, struct x86_mem *m);
/*
 * Where the result goes: the hinted pin, else register ra of operand a if a dies here, else a new one.  a may be IR_NONE.
 */
int t1_dst(struct tier1 *s, ir_ref a, int ra);
/* The result of this instruction is in reg, which came from t1_dst, t1_scratch or t1_claim. */
void t1_bind(struct tier1 *s, int reg);
/* A guest register is about to change: values that are equal to it and live on move elsewhere. */
void t1_break_aliases(struct tier1 *s, unsigned guest);
void t1_add_alias(struct tier1 *s, ir_ref v, unsigned guest);
void t1_release(struct tier1 *s, ir_ref v);
/* Put everything that lives beyond this instruction out of the scratch registers. */
void t1_spill_all(struct tier1 *s);
void t1_end_ins(struct tier1 *s);
/* The same for xmm registers: one for this instruction; one that holds v (a constant, a guest register: a copy). */
int t1_xmm_scratch(struct tier1 *s);
int t1_xmm_use(struct tier1 *s, ir_ref v);
/* The result of this instruction is in xmm register reg, which came from t1_xmm_scratch. */
void t1_xmm_bind(struct tier1 *s, int reg);
/* Where the windows are that live beyond this instruction, into l. */
void t1_note_windows(struct tier1 *s, struct t1_late *l);
/* They found nothing. */
void t1_forget_windows(struct tier1 *s, const struct t1_late *l);
/* The same as t1_bind(), for a value that is not the instruction's result. */
void t1_bind_value(struct tier1 *s, ir_ref v, int reg);
/* Set of those that hold values which live beyond this instruction. */
uint16_t t1_xmm_live(const struct tier1 *s);

/* ---- tier1_op.c ---- */
/* Set the flags so that the returned condition is "v != 0". */
enum x86_cc t1_emit_cond(struct tier1 *s, ir_ref v);

/* ---- tier1_mem.c ---- */
/* helper: HELPER_MEM_LOAD, HELPER_MEM_STORE or HELPER_FETCH. */
void *tier1_emit_mem_stub(struct x86 *x, const struct jit_stubs *stubs, enum ir_helper helper, bool abs);
void t1_late_load(struct tier1 *s, const struct t1_late *l);
void t1_late_store(struct tier1 *s, const struct t1_late *l);
void t1_late_fetch(struct tier1 *s, const struct t1_late *l);

/* ---- tier1_fpu.c ---- */
void *tier1_emit_fpu_stub(struct x86 *x);
/* stub with guest_state in rdi, and r13 kept too: LLVM's preserve_all convention. */
void *tier1_emit_fpu_stub_of_tier2(struct x86 *x, const void *stub);
void t1_late_fpu(struct tier1 *s, const struct t1_late *l);
/* Does the first user of value i, a field of guest_state, want it in an xmm register? */
bool t1_xmm_wanted(const struct tier1 *s, uint32_t i);

/* ---- tier1_term.c ---- */
/* What counts the block's executions, or its jumps back (cfg.hot_blocks), down to EXIT_HOT: an int32_t. */
struct x86_mem t1_hot_count(const struct tier1 *s);
struct t1_late *t1_late_new(struct tier1 *s, enum t1_late_kind kind, uint8_t *from);
/* dst = guest pc of guest instruction insn */
void t1_emit_insn_pc(struct tier1 *s, int dst, uint32_t insn);
void t1_emit_term(struct tier1 *s);
void t1_emit_late(struct tier1 *s);
/* Links: the terminator's targets first, then exits[], then the return address. */
unsigned t1_n_targets(const struct ir_block *b);
unsigned t1_n_links(const struct ir_block *b);

/* ---- one function for each op ---- */
#define OP(name, ...) void t1_emit_##name(struct tier1 *s, const struct ir_ins *ins);
#include "ir/ops.def"
#undef OP

#endif
