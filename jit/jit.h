/* SPDX-License-Identifier: MIT */
#ifndef JIT_JIT_H
#define JIT_JIT_H

/*
 * IR blocks to host code.  One struct jit per vCPU; everything here runs on that vCPU's thread unless said otherwise.
 *
 * A translation is known by (code page, offset, mode, abs_page), where a code page stands for a machine page, never for
 * an address: the same code at another address or in another process is the same translation.
 */
#include "base/panic.h"
#include "ir/ir.h"

struct jit;
struct code_page;   /* all translations of one machine page */
struct translation; /* one block (tier 1) or region (tier 2) */

/* Limits of jit_config.code_bytes. As much data stands behind the code, and a direct jump or an address reaches 2 GiB. */
#define JIT_MEM_MIN_BYTES     (1ull << 20)
#define JIT_MEM_MAX_BYTES     (512ull << 20)
#define JIT_MEM_DEFAULT_BYTES (256ull << 20)

enum tier { TIER_INTERP = 0, TIER_1 = 1, TIER_2 = 2 };

struct jit_config {
	bool tier1, tier2;
	bool icount;               /* emit exact budget checks */
	bool count_insns;          /* --stats: emit per-tier instruction counters */
	uint64_t code_bytes;       /* of code memory, 0: the default; full: everything is dropped */
	uint32_t hot_threshold;    /* executions before tier 2 is asked for, of what hot_blocks says; 0: default */
	bool hot_blocks;           /* tier 1: every block counts its executions, not only jumps back (--hot) */
	bool sync_tier2;           /* jit_request_tier2() compiles, on the vCPU thread */
	bool keep_ir;              /* keep IR for dumps: jit_dump_host interleaves it */
	helper_fn *const *helpers; /* [NUM_HELPERS] */
	struct guest_state *gs;
	/*
	 * Called where translated code would leave with EXIT_PC_SET or EXIT_EXCEPTION: brings gs->mode and gs->l2tlb up to
	 * date and may change gs->pc, where translated code then goes on if the jump cache knows it.  NULL: it leaves.
	 */
	void (*resume)(struct guest_state *gs);
};

struct jit_stats {
	uint64_t blocks[3], regions, host_bytes[3], guest_insns_translated[3];
	uint64_t ns_tier1, ns_tier2;
	uint64_t links_made, invalidated, flushes, evicted;
};

/* Of address space that one with this jit_config.code_bytes takes. */
uint64_t jit_address_bytes(uint64_t code_bytes);
MUST_CHECK int jit_new(struct jit **out, const struct jit_config *cfg);
void jit_free(struct jit *j);
/*
 * The process is about to end.  True: LLVM is at work in the background and is not waited for, so do not free j, and end by
 * _exit(), since LLVM's own destructors would meet it at work.  False: jit_free() will not wait.
 */
MUST_CHECK bool jit_abandon(struct jit *j);

/* ---- code pages. page_key identifies the machine page (its host address); slot points at machine_page.code ---- */
struct code_page *jit_code_page(struct jit *j, void **slot, const void *page_key);
/*
 * The machine page is given back, and may be another VM's next: drop its translations and its record, and clear the slot.
 * As jit_invalidate(), it may be called from a helper of running code.
 */
void jit_forget_page(struct jit *j, struct code_page *cp);

/* Newest translation (tier 2 before tier 1) or NULL. Cost: one hash probe. */
struct translation *jit_find(struct jit *j, struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page);

/* The tier 1 translation only: what finishes a block that tier 2 left with EXIT_SIDE. */
struct translation *jit_find_tier1(const struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page);

/*
 * Compile with tier 1 and install.  page_key is compared by the checked entry against the mapping in force.
 * Never NULL: when code memory is full, everything is dropped first (so pointers to other translations die).
 */
struct translation *jit_compile_tier1(struct jit *j, struct code_page *cp, const struct ir_block *b);

/*
 * May the loop whose jump back left with EXIT_HOT be asked for now?  No while as much is queued as keeps the compiler busy: it then
 * asks again after as many executions, and so the hottest blocks, which ask most often, get the free places.
 */
bool jit_tier2_ready(struct jit *j);

/*
 * Ask for tier 2: blocks[0] is the head, the others are reachable from it by direct links inside the same page (or the
 * same MODE_ABS page).  The IR is consumed (owned by `arena`, which the JIT frees).  Compiled in the background, unless
 * cfg.sync_tier2.  Returns false if the queue is full or an equal request is pending; the arena is freed then too.
 */
struct jit_region {
	struct arena arena;
	struct code_page *cp;
	uint32_t n_blocks;
	struct ir_block **blocks;
};
bool jit_request_tier2(struct jit *j, struct jit_region *r);
/* Install what the background thread finished. Call at every dispatch that left for POLL or HOT. */
void jit_install_finished(struct jit *j);

enum tier jit_tier_of(const struct translation *t);

/*
 * Run from translation t (gs->pc, gs->pc_page, gs->mode and gs->l2tlb are right).  Returns when generated code leaves;
 * gs->pc is then the next guest instruction.
 */
enum exit_reason jit_run(struct jit *j, struct translation *t);

/* After EXIT_LINK: make gs->link (the site that left) jump to `to` from now on, if that is always right. */
void jit_link(struct jit *j, struct translation *to);
/*
 * After EXIT_SIDE: t (tier 1) finishes the block at pc.  The next side exit there goes to it without leaving translated code.
 */
void jit_cache_side(struct jit *j, uint64_t pc, struct translation *t);
/* After EXIT_INDIRECT, or any look-up by pc: remember pc -> to in the jump cache. */
void jit_cache_jump(struct jit *j, uint64_t pc, struct translation *to);

/*
 * A guest store hit [off, off + bytes) of the page: drop the translations that cover it.  True if any did.
 * Nothing is reused before the next jit_run, so it may be called from a helper of running code.
 */
bool jit_invalidate(struct jit *j, struct code_page *cp, uint32_t off, uint32_t bytes);
void jit_invalidate_page(struct jit *j, struct code_page *cp);
bool jit_page_has_code(const struct code_page *cp, uint32_t off, uint32_t bytes);
void jit_flush(struct jit *j);

/*
 * Empty what leads code from one block to another (jump cache, side cache, return ring), so that code which goes round in
 * there leaves.  Any thread, while code runs: an entry that is half read still leads where it led.
 */
void jit_break(struct jit *j);

const struct jit_stats *jit_stats(const struct jit *j);

/* ---- dumps (jit/dump.c) ---- */
/* Where the parts of a dump go; NULL: not wanted.  Several may be the same stream. */
struct jit_dump {
	FILE *before, *after; /* tier 2: the LLVM module around its passes */
	FILE *host;           /* disassembly, guest instructions and IR between the lines */
	FILE *bytes;          /* the same code as hexadecimal digits, without a newline */
	/* Name of a guest address of unmapped code, "" for none; may be NULL. */
	void (*name)(void *ctx, uint64_t pc, char *out, size_t out_bytes);
	void *ctx;
	bool stable; /* host addresses as labels (jit/dump_stable.h), so that dumps of several runs can be compared */
};
void jit_dump_code(const struct jit *j, const struct translation *t, const struct jit_dump *d);
/* The disassembly only. */
void jit_dump_host(const struct jit *j, const struct translation *t, FILE *out);
/*
 * Stages of one region through LLVM. Nothing is installed.  0, -EINVAL (refused: d->host, else d->before or d->after,
 * says why), -ENOSPC, -ERANGE, -EIO.
 */
MUST_CHECK int jit_dump_tier2(struct jit *j, struct ir_block *const *blocks, uint32_t n, const struct jit_dump *d);

#endif
