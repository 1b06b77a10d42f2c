/* SPDX-License-Identifier: MIT */
#ifndef IR_GUEST_STATE_H
#define IR_GUEST_STATE_H

/*
 * The part of a vCPU that lifted code reads and writes by offset.  It is the first member of struct vcpu
 * (vmm/cpu/vcpu.h), and the pinned host register of both tiers (jit/regs.def) points at it.
 *
 * MIPS32 guests: every 64-bit slot below holds a zero-extended 32-bit value, always.
 */
#include <stddef.h>

#include "base/line_view.h"
#include "base/types.h"

struct l2tlb_table;
struct jit_link;
struct guest_state;

/* A runtime call.  All helpers share one signature; helpers.def says which arguments each row uses. */
typedef uint64_t helper_fn(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c);

#define REG_HI   32 /* GETREG/SETREG numbers of HI and LO */
#define REG_LO   33
#define NUM_REGS 34

/* Index into guest_state.cp0: register * 8 + select. */
#define CP0_INDEX(reg, sel) ((reg)*8 + (sel))

/* MIPS32 PRA volume III, table "Cause register ExcCode field". */
enum mips_exc {
	EXC_INT = 0,
	EXC_MOD = 1,
	EXC_TLBL = 2,
	EXC_TLBS = 3,
	EXC_ADEL = 4,
	EXC_ADES = 5,
	EXC_IBE = 6,
	EXC_DBE = 7,
	EXC_SYS = 8,
	EXC_BP = 9,
	EXC_RI = 10,
	EXC_CPU = 11, /* coprocessor number in bits 9:8 of the RAISE immediate */
	EXC_OV = 12,
	EXC_TR = 13,
	EXC_FPE = 15,
	EXC_TLBRI = 19,
	EXC_TLBXI = 20,
	EXC_WATCH = 23,
	EXC_MCHECK = 24,
};

/* Why generated code (or the interpreter) came back to the dispatch loop. gs->pc is set in every case. */
enum exit_reason {
	EXIT_NONE = 0,
	EXIT_LINK,      /* direct successor not linked yet; gs->link names the site */
	EXIT_INDIRECT,  /* indirect jump (or checked entry) missed its caches */
	EXIT_POLL,      /* gs->poll was set */
	EXIT_BUDGET,    /* --icount: the block at gs->pc has more instructions than gs->icount_left */
	EXIT_EXCEPTION, /* a guest exception was delivered; gs->pc is its vector */
	EXIT_PC_SET,    /* a helper set gs->pc (ERET, WAIT, a mode change) */
	EXIT_HOT,       /* a jump back to gs->pc reached its tier 2 threshold */
	EXIT_SIDE,      /* tier 2 gave up before the instruction at gs->pc (L2TLB miss, slow FP, ...) */
	EXIT_SMC,       /* a store hit translated code of this page; gs->pc is the next instruction */
	NUM_EXITS
};

/* gs->site, written before any call of a helper with HF_SITE and on every memory slow path. */
#define SITE_BD         1u /* the instruction is in a delay slot */
#define SITE(bd, left)  ((uint32_t)(left) << 1 | ((bd) ? SITE_BD : 0u))
#define SITE_LEFT(site) ((site) >> 1) /* guest instructions of the block not executed yet, this one included */

#define HOT_COUNTS 8192u /* two blocks of one count ask early, or one of them never: samples find it then */

struct guest_state {
	uint64_t reg[NUM_REGS]; /* GPR 0-31 (0 is never read or written by lifted code), HI, LO */

	/*
	 * FPRs. FR=1: fpr[n], a single in its low half. FR=0: a double is fpr[n & ~1]; single n is the low
	 * (even n) or high (odd n) half of fpr[n & ~1].
	 */
	uint64_t fpr[32];
	uint32_t fcr31; /* FCSR; inside generated code Cause and Flags may be behind: see fpu_last */

	uint32_t mode;    /* enum ir_mode bits in force (ir/mode.h); part of every translation's key */
	uint64_t pc;      /* gva; current outside generated code, and at HF_SITE calls */
	uint64_t pc_page; /* gva of the page that mapped (not MODE_ABS) code runs in */

	/* Polling and time. */
	int32_t poll;        /* atomic; non-zero: leave at the next poll point. Any thread may set it */
	uint32_t leave;      /* enum exit_reason, set by a helper with HF_RAISES or a memory slow path */
	int64_t icount_left; /* --icount: guest instructions until the next deadline */
	uint32_t site;       /* SITE() of the instruction that made the call */
	uint32_t llbit;      /* LL/SC: 0 or 1 */
	uint64_t lladdr;     /* gva of the linked word */
	uint64_t llval;      /* what LL found there */
	uint64_t insns[4];   /* --stats: guest instructions executed, by enum tier of jit.h; [0] interpreter */
	uint64_t probes;     /* --stats: inlined L2TLB probes (LOADs and STOREs executed by tiers 1 and 2) */

	struct l2tlb_table *l2tlb; /* the table in force; pinned too */
	struct jit_link *link;     /* EXIT_LINK: the site that wants to be linked */
	helper_fn *const *helpers; /* [NUM_HELPERS], filled in by vmm/ */
	void *exit_stub;           /* host address that generated code jumps to in order to leave */
	void *jump_cache;          /* struct jit_jump_cache, see jit/ */
	uint64_t ret_ring_top;
	void *ret_ring;
	void *side_cache;         /* struct side_cache_entry[], see jit/ */
	const uint32_t *abs_code; /* by ABS_CODE_INDEX(): id of the code record of a page of unmapped code; 0: none */
	uint64_t hop_insns;       /* jit/, debug builds: executed at the last hop */
	uint32_t hops;            /* one after the other with nothing executed between */
	uint64_t host_sp;         /* jit/: stack pointer of the entry trampoline */
	uint64_t scratch[8];      /* jit/: spill slots of stubs */
	uint32_t fcr0;            /* FIR; constant, cpu_model.fir (vmm/ sets it at reset) */

	/*
	 * The last floating-point operation of generated code, from which FCSR.Cause follows when somebody looks
	 * (HELPER_FPU_SETTLE): row of fpu_helpers.def and operands.  0: FCSR is up to date, as it always is outside
	 * generated code.  FPU_LAST_CLEAN: it had no exceptions.
	 */
	uint32_t fpu_last;
	uint64_t fpu_operand[3];

	uint64_t cp0[32 * 8]; /* by CP0_INDEX; which are live and writable is cp0.def's business */

	/*
	 * Jumps back left until EXIT_HOT, by a hash of the block.  Here, and not beside the
	 * translation: vCPUs of two processors that run one loop would take the counter's cache line from each other at each turn.
	 */
	int32_t hot[HOT_COUNTS];

	/* --numa flash (base/line_view.h): accesses that are asked about nowhere else, and where code runs. */
	struct line_view lines;
	uint64_t fetch_page;       /* host address of the page that code runs in >> PAGE_SHIFT */
	const uint64_t *fetch_tag; /* in lines.fetch: of that page's first line */
	const uint64_t *abs_fetch; /* by ABS_CODE_INDEX(): fetch_page of a page of unmapped code */
};

/* KSEG0 and KSEG1 are the first 512 MiB of physical memory, kuseg under Status.ERL the first 2 GiB. */
#define ABS_CODE_ENTRIES   (0x80000000u >> PAGE_SHIFT)
#define ABS_CODE_INDEX(va) (((uint32_t)(va) & ((uint32_t)(va) >> 31 ? 0x1fffffffu : 0x7fffffffu)) >> PAGE_SHIFT)

#define GS_REG(r)        (offsetof(struct guest_state, reg) + 8u * (r))
#define GS_CP0(reg, sel) (offsetof(struct guest_state, cp0) + 8u * CP0_INDEX(reg, sel))

#endif
