/* SPDX-License-Identifier: MIT */
#ifndef JIT_LLVM_GEN_H
#define JIT_LLVM_GEN_H

/*
 * Inside tier 2: from the IR of a region to one LLVM function.  Only jit/llvm_*.c and jit/tier2_*.c include this.
 *
 *	llvm_region.c	the region's graph and what happens to each guest register in it; no LLVM
 *	llvm_module.c	context, target machine, module; passes and object code
 *	llvm_gen.c	function, blocks, guest registers, terminators
 *	llvm_exit.c	every way out: links, indirect jumps, exits to the dispatch loop
 *	llvm_op.c	pure ops, guest state, helper calls
 *	llvm_mem.c	LOADs and STOREs: the inlined L2TLB probe
 *	llvm_fpu.c	floating point
 *	llvm_fpr.c	guest FPRs: what llvm_region.c and llvm_gen.c do for GPRs
 *	llvm_lines.c	for dumps: which guest instruction host code comes from
 */
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "jit/jit_internal.h"
#include "jit/tier2.h"
#include "jit/window.h"

/* ---- llvm_region.c ---- */
#define REGION_EDGES (2 + IR_MAX_EXITS) /* of a block: target[0], target[1], exits[] */
#define EDGE_EXIT(i) (2 + (i))
#define EDGE_OUT     (-1)

struct region_block {
	int8_t edge[REGION_EDGES]; /* index of the block it leads to, EDGE_OUT if outside or none */
	bool reached;              /* from the head */
	bool polls;                /* the head, and where a back-edge leads: every cycle has one */
	uint64_t scope;            /* the blocks that it shares a cycle with, itself too; 0: in no cycle */
	uint64_t reads, writes;    /* sets of guest registers, by GETREG number */
	uint64_t wide;             /* not pinned, and used in the scope: in variables there */
	uint64_t dirty_in;         /* may differ from gs->reg[] on entry */
	uint32_t n_probes;         /* LOADs and STOREs that probe */
	/* The same for FPRs, as sets of places (llvm_fpr.c). */
	uint64_t fpr_uses, fpr_writes, fpr_wide, fpr_dirty_in;
};

struct region {
	struct ir_block *const *blocks;
	uint32_t n;
	uint64_t pinned;  /* the registers of regs.def */
	uint64_t wide;    /* of any block */
	uint64_t written; /* anywhere in the region */
	uint64_t fpr_wide;
	uint8_t fpr_kind[32]; /* how each fpr[n] is used (llvm_fpr.c) */
	bool has_cycle;
	uint32_t n_guest;
	struct region_block b[TIER2_MAX_BLOCKS];
};
static inline bool region_same_scope(const struct region *r, uint32_t i, uint32_t k) { return r->b[i].scope >> k & 1; }
/* Analyse. TIER2_REFUSED_NONE or why not. Cost O(IR + blocks^2). */
enum tier2_refusal region_analyse(struct region *r, struct ir_block *const *blocks, uint32_t n);
/* Its part for FPRs; the graph is complete. */
void region_place_fprs(struct region *r);

/* ---- llvm_module.c ---- */
/* Disjoint kinds of memory, for LLVM's alias analysis. */
enum mem_class { MEM_CLASS_RAM, MEM_CLASS_STATE, MEM_CLASS_L2TLB, MEM_CLASS_LINK, NUM_MEM_CLASSES };

/* One per thread that compiles: LLVM contexts and machines must not be shared. */
struct llvm_unit {
	LLVMContextRef ctx;
	LLVMTargetMachineRef machine;
	LLVMTargetDataRef layout;
	char *triple;
	LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, ptr, void_ty;
	LLVMTypeRef fn_ty, helper_ty;        /* of generated code, of helpers */
	LLVMValueRef alias[NUM_MEM_CLASSES]; /* !tbaa tags */
	LLVMValueRef cold;                   /* !prof: the first way is (nearly) never taken */
	unsigned md_tbaa, md_prof;
	bool failed; /* LLVM reported an error in what it compiled since this was last cleared */
};
/* False if LLVM has no machine for this host. */
MUST_CHECK bool llvm_unit_init(struct llvm_unit *u);
void llvm_unit_fini(struct llvm_unit *u);
/*
 * LLVM is not needed for now: the host need not keep its code, some 30 MiB, mapped here.  What is needed after all comes back from the
 * file, or the host's cache of it, by itself.  Any thread.  Cost: 0.1 ms, and as many page faults as were given back.
 */
void llvm_give_pages_back(void);
LLVMModuleRef llvm_unit_module(struct llvm_unit *u);
/* Optimise in place. has_cycle: run the loop passes too. */
enum tier2_refusal llvm_unit_optimise(struct llvm_unit *u, LLVMModuleRef m, bool has_cycle);
/* ELF object of the module; NULL on failure.  The caller disposes of it. */
LLVMMemoryBufferRef llvm_unit_object(struct llvm_unit *u, LLVMModuleRef m);

/* Symbols that generated code names and the loader resolves: stubs by name, links as "r<fn>.link<k>". */
enum stub_sym {
	SYM_INDIRECT,
	SYM_RETURN,
	SYM_LEAVE,
	SYM_RAISE,
	SYM_FPU,
	SYM_EXIT,
	NUM_STUB_SYMS = SYM_EXIT + NUM_EXITS
};
/* Name in the object file, NULL for one that does not exist (EXIT_NONE). */
const char *stub_sym_name(enum stub_sym s);
const void *stub_sym_address(const struct jit_stubs *stubs, enum stub_sym s);

/* ---- generating one function ---- */
#define GEN_MAX_LINKS (TIER2_MAX_BLOCKS * (REGION_EDGES + 1))

struct gen_regs {
	LLVMValueRef cur[NUM_REGS]; /* value in this block; NULL: not touched yet */
	uint64_t dirty;             /* written in this block */
};

struct gen_fprs {
	LLVMValueRef cur[64]; /* value of a place in this block; NULL: not touched yet */
	uint64_t dirty;       /* written in this block */
	uint32_t last;        /* what guest_state.fpu_last must become on the way out; 0: as it is */
	uint32_t n_operands;
	LLVMValueRef operand[3]; /* and fpu_operand */
};

struct gen {
	struct llvm_unit *u;
	const struct tier2_config *cfg;
	const struct region *r;
	LLVMModuleRef m;
	LLVMBuilderRef b;
	LLVMValueRef fn, gs, l2tlb;
	unsigned fn_index; /* in the module */
	LLVMBasicBlockRef bb[TIER2_MAX_BLOCKS];
	LLVMValueRef slot[NUM_REGS]; /* alloca of wide and of written pinned registers */
	LLVMValueRef fpr_slot[64];   /* of wide places */

	/* The block being generated. */
	const struct ir_block *blk;
	uint32_t index;
	LLVMValueRef val[IR_MAX_INS];
	struct gen_regs regs;
	struct gen_fprs fprs;
	uint32_t insn;        /* guest instruction */
	uint32_t probes_done; /* generated so far */
	struct windows windows;
	LLVMValueRef window[WINDOW_MAX]; /* host address minus gva */

	struct tier2_link links[GEN_MAX_LINKS];
	LLVMValueRef link_sym[GEN_MAX_LINKS];
	uint32_t n_links;

	bool with_lines;                  /* for a dump: mark everything with where it comes from */
	struct LLVMOpaqueMetadata *scope; /* of those marks */
};

/* Add the function of a region to module m as "r<fn_index>", in its own section ".text.r<fn_index>". */
void gen_region(struct gen *g, LLVMModuleRef m, unsigned fn_index, const struct region *r);

/* llvm_gen.c: values in memory and registers */
LLVMValueRef gen_w(struct gen *g, uint32_t v);
LLVMValueRef gen_d(struct gen *g, uint64_t v);
LLVMValueRef gen_zext(struct gen *g, LLVMValueRef w);
LLVMValueRef gen_gep(struct gen *g, LLVMValueRef base, uint64_t off);
LLVMValueRef gen_load(struct gen *g, LLVMTypeRef ty, LLVMValueRef ptr, enum mem_class c);
LLVMValueRef gen_store(struct gen *g, LLVMValueRef v, LLVMValueRef ptr, enum mem_class c);
LLVMValueRef gen_state(struct gen *g, LLVMTypeRef ty, size_t off);
void gen_set_state(struct gen *g, LLVMValueRef v, size_t off);
LLVMValueRef gen_getreg(struct gen *g, unsigned reg);
void gen_setreg(struct gen *g, unsigned reg, LLVMValueRef v);
/* A new block, placed at the end of the function. */
LLVMBasicBlockRef gen_new_block(struct gen *g, const char *name);
/* if (cond) goto the block returned; go on generating at the other side. */
LLVMBasicBlockRef gen_cold_branch(struct gen *g, LLVMValueRef cond, const char *name);
/* Write this block's registers to where block `to` of the region looks for them. */
void gen_flush_to_block(struct gen *g, uint32_t to);
/* Fetch into their variables the registers that block `to` wants there, coming from outside its scope. */
void gen_enter_scope(struct gen *g, uint32_t to);
/* Store to gs->reg[] what may differ from it, but for pinned registers. */
void gen_flush_to_state(struct gen *g);

/* llvm_exit.c.  All but gen_ring_push() end the LLVM block that the builder stands in. */
LLVMValueRef gen_pc_of_insn(struct gen *g, uint32_t insn); /* 32 bits */
LLVMValueRef gen_pc_of_target(struct gen *g, struct ir_target t);
void gen_set_pc(struct gen *g, LLVMValueRef pc32);
/* Through a link, guest registers as they are now. */
void gen_leave_link(struct gen *g, struct ir_target t);
void gen_leave_stub(struct gen *g, enum stub_sym s);
/* Before the current instruction (its branch, in a delay slot) was executed: EXIT_SIDE, counters put right. */
void gen_leave_side(struct gen *g);
/* Raise at guest instruction insn. */
void gen_leave_raise(struct gen *g, uint32_t insn, uint32_t exc);
/* gs->pc and gs->site for a runtime call by guest instruction insn. */
void gen_site(struct gen *g, uint32_t insn);
/* Give back what the head of the block counted for guest instructions from `insn` on. */
void gen_refund(struct gen *g, uint32_t insn);
/* Where a branch has ended, on the way to pc: leave if icount_left is used up (jit_config.line_log2). */
void gen_deadline(struct gen *g, LLVMValueRef pc);
/* Poll, budget and counters at the head of the block. */
void gen_block_head(struct gen *g);
void gen_ring_push(struct gen *g, struct ir_target ret);

/* llvm_lines.c; only for dumps: the others have no debug information, and these do nothing then. */
void lines_begin(struct gen *g);
/* What is generated from here on comes from g->insn and IR instruction ir, or TIER2_LINE_NO_IR. */
void lines_at(struct gen *g, uint32_t ir);
/* The line table of an object with one function into w->lines; none if it has no good one. */
void lines_read(const void *object, size_t bytes, struct tier2_work *w);

/* llvm_fpr.c */
void gen_fpr_entry(struct gen *g);
/* LDS and STS of an FPR; false: of another field. */
bool gen_fpr_load(struct gen *g, const struct ir_ins *in, LLVMValueRef *v);
bool gen_fpr_store(struct gen *g, const struct ir_ins *in, LLVMValueRef v);
/* Parts of gen_enter_scope(), gen_flush_to_block() inside a scope, gen_flush_to_state(). */
void gen_fpr_enter_scope(struct gen *g, uint32_t to);
void gen_fpr_flush_to_scope(struct gen *g);
void gen_fpr_flush_to_state(struct gen *g);
/* After a call that may have changed them in guest_state; they were flushed to it before. */
void gen_fpr_forget(struct gen *g);

/* llvm_fpu.c */
LLVMValueRef gen_fpu(struct gen *g, const struct ir_ins *in, LLVMValueRef *arg);
/* Bring guest_state.fpu_last up to date with this block: on every way out of it, and before calls. */
void gen_fpu_flush_last(struct gen *g);

/* llvm_op.c, llvm_mem.c */
/* A call through the absolute address fn; a: as many arguments as h says. Gives 64 bits. */
LLVMValueRef gen_helper_call(struct gen *g, const struct ir_helper_info *h, helper_fn *fn, LLVMValueRef *a);
void gen_op(struct gen *g, uint32_t i);
void gen_load_op(struct gen *g, uint32_t i);
void gen_fetch_op(struct gen *g);
void gen_store_op(struct gen *g, uint32_t i);
LLVMValueRef gen_bswap(struct gen *g, LLVMValueRef v);

#endif
