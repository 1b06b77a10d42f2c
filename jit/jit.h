/* SPDX-License-Identifier: MIT */
#ifndef JIT_JIT_H
#define JIT_JIT_H

/*
 * IR blocks to host code.  One struct code_cache for all vCPUs of a monitor, one struct jit for each of them.
 *
 * A translation is known by (code record, offset, mode, abs_page), where a record stands for what is in a page, never for
 * an address: the same code at another address, in another process or in another machine is the same translation.
 *
 * Functions that take a struct jit are for the thread that runs its vCPU; those of several may be at work at once.
 */
#include "base/panic.h"
#include "ir/ir.h"

struct code_cache;  /* all translations of a monitor */
struct jit;         /* one vCPU's way into it */
struct code_page;   /* code record: all translations of one page content */
struct translation; /* one block (tier 1) or region (tier 2) */
struct store;       /* jit/store/store.h */

/* Limits of jit_config.code_bytes. As much data stands behind the code, and a direct jump or an address reaches 2 GiB. */
#define JIT_MEM_MIN_BYTES     (1ull << 20)
#define JIT_MEM_MAX_BYTES     (512ull << 20)
#define JIT_MEM_DEFAULT_BYTES (256ull << 20)

enum tier { TIER_INTERP = 0, TIER_1 = 1, TIER_2 = 2 };

struct tracer;

/* What was installed in code memory: for profilers of the host. Two pieces, of which one may be empty: the code, and what seldom runs. */
struct jit_installed {
	enum tier tier;
	uint32_t mode, off, n_guest; /* off: of its head in the page */
	uint64_t abs_page;           /* MODE_ABS: gva of the page */
	uint64_t content[2];     /* XXH3-128 of the page's bytes, low half first; 0, 0: of an exact record, not known */
	const void *code, *cold; /* executable addresses */
	uint32_t code_bytes, cold_bytes;
};

struct jit_config {
	bool tier1, tier2;
	uint32_t guest_isa; /* whatever else decides what a word means (enum isa); only compared */
	bool icount;        /* emit exact budget checks */
	/*
	 * --numa flash: log2 of the bytes of a line of the simulated caches, 0: there are none.  Accesses are then looked up in
	 * guest_state.lines, and icount_left, which stalls are taken off too, is looked at only where a branch has ended.
	 */
	uint8_t line_log2;
	bool count_insns; /* --stats: emit per-tier instruction counters */
	/*
	 * Stores that a page with code may see and still be found by its content; then it gets an exact record.  0: at the first
	 * one, which is cheapest where no other machine could use the content.
	 */
	uint32_t content_writes;
	uint64_t code_bytes;    /* of code memory, 0: the default; full: everything is dropped */
	uint32_t hot_threshold; /* executions before tier 2 is asked for, of what hot_blocks says; 0: default */
	bool hot_blocks;        /* tier 1: every block counts its executions, not only jumps back (--hot) */
	bool sync_tier2;        /* jit_request_tier2() compiles, on the vCPU thread */
	bool keep_ir;           /* keep IR for dumps: jit_dump_host interleaves it */
	struct store *store;    /* translations of other runs, which outlives the cache; of no other one.  NULL: none */
	helper_fn *const *helpers; /* [NUM_HELPERS] */
	struct tracer *tracer;     /* of all vCPUs (base/trace.h), outlives the cache; NULL: none */
	/*
	 * Called where translated code would leave with EXIT_PC_SET or EXIT_EXCEPTION: brings gs->mode and gs->l2tlb up to
	 * date and may change gs->pc, where translated code then goes on if the jump cache knows it.  NULL: it leaves.
	 */
	void (*resume)(struct guest_state *gs);
	/*
	 * The vCPU is about to wait for another one, which a flush has come outside; and is done with that.  May be NULL.  The first
	 * one with the cache's lock held, the second one without.
	 */
	void (*waits)(struct guest_state *gs, bool begin);
	/* --perf: is told of each translation, and of its entry if that is made later, with the cache's lock held.  NULL: nobody wants to know. */
	void (*installed)(void *ctx, const struct jit_installed *what);
	void *installed_ctx;
};

struct jit_stats {
	uint64_t blocks[3], regions, host_bytes[3], guest_insns_translated[3];
	uint64_t ns_tier1, ns_tier2, ns_stored;
	uint64_t stored_taken;   /* blocks that came from the store, and so were not translated */
	uint64_t stored_added;   /* blocks that go there */
	uint64_t stored_damaged; /* blocks and segments of it that are not what they should be */
	uint64_t links_made, invalidated, flushes, evicted;
	uint64_t flushes_given_up;        /* somebody was held inside of translated code */
	uint64_t records, records_shared; /* pages that came to a record: new ones, and others' */
	uint64_t records_exact;           /* of the new ones */
	uint64_t records_alike; /* pages that came to the record of another one with the same code and other data */
	uint64_t pages_changed; /* that a store took off their record */
};

/* Of address space that one with this jit_config.code_bytes takes. */
uint64_t jit_address_bytes(uint64_t code_bytes);
MUST_CHECK int code_cache_new(struct code_cache **out, const struct jit_config *cfg);
/* Every jit must be gone, and every page taken off its record. */
void code_cache_free(struct code_cache *cc);
/*
 * The process is about to end.  True: LLVM is at work in the background and is not waited for, so do not free cc, and end by
 * _exit(), since LLVM's own destructors would meet it at work.  False: code_cache_free() will not wait.
 */
MUST_CHECK bool code_cache_abandon(struct code_cache *cc);
/* Is it what one made with cfg would be? Limits of memory aside. */
bool code_cache_fits(const struct code_cache *cc, const struct jit_config *cfg);

/* gs outlives it. 0 or -ENOMEM. */
MUST_CHECK int jit_new(struct jit **out, struct code_cache *cc, struct guest_state *gs);
void jit_free(struct jit *j);

/* ---- code records. slot points at machine_page.code, which others may look at (atomic); host is the page ---- */
/*
 * The record of a page that is about to be executed from; found by the page's bytes, or made, if it has none (cost: a hash of
 * 4 KiB, a compare).  The page's stores must be seen from now on (jit_written()); it has no write tag any more.
 * exact: a record of its own (struct code_page says what that means).
 *
 * place: where it is executed from, if pages of other machines are likely to have the same code there, beside other data; it may
 * then have a record of words that are equal.  0: none.  Not 0 only of a page that is one machine's, see jit_page_stays().
 */
struct code_page *jit_code_page(struct jit *j, void **slot, const void *host, uint64_t place, bool exact);
/*
 * The page of that record cannot be translated there (jit_compile_tier1() said NULL): it gets another one, in which it can.  What leads
 * to the old one (L2TLB, guest_state.abs_code) must go.  The vCPU is outside of translated code.
 */
void jit_move_page(struct jit *j, void **slot, const void *host, uint64_t place, const struct ir_block *b);
/*
 * The page is about to be several machines': nobody writes to it from now on, and it keeps its record.  True: it has none any more,
 * since that was of words only; what leads to it must go.
 */
bool jit_page_stays(struct jit *j, void **slot);
/* Has it been written that often? writes: as for jit_written(). */
bool jit_wants_exact(const struct jit *j, uint8_t writes);
/* Never 0, never that of another record: what L2TLB_EXEC() and guest_state.abs_code hold. */
uint32_t jit_code_id(const struct code_page *cp);
/*
 * [off, off + bytes) of the page at slot was written.  Off its record it goes, or, if that is exact or *writes says that it is
 * written often, the translations that cover the bytes do.  *writes: kept with the page; 0 for a new one.
 * True: running code of the page must be left.  *slot may be NULL afterwards: then whatever leads to the page's record (L2TLB,
 * guest_state.abs_code) must go too.  Nothing is reused before the next jit_run, so a helper of running code may call it.
 */
bool jit_written(struct jit *j, void **slot, uint8_t *writes, uint32_t off, uint32_t bytes);
/* Would a store there be one to code that is running? */
bool jit_is_code(struct jit *j, void **slot, uint32_t off, uint32_t bytes);
/* May it become one at any moment, because others have the page's record too, and may add to it? */
bool jit_others_add(struct jit *j, void **slot);
/* The machine page is given back, and may be another VM's next: take it off its record, and clear the slot. Any thread. */
void code_cache_detach(struct code_cache *cc, void **slot);

/*
 * Newest translation (tier 2 before tier 1) or NULL; tier1: the tier 1 translation only, which finishes a block that tier 2 left
 * with EXIT_SIDE.  What it found may be run until the next call with this j.
 */
struct translation *jit_find(struct jit *j, struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page);
struct translation *jit_find_tier1(struct jit *j, struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page);
/* Which tier jit_find() would find; TIER_INTERP: none. */
enum tier jit_has(struct jit *j, const struct code_page *cp, uint32_t off, uint32_t mode, uint64_t abs_page);

/*
 * Compile with tier 1 and install, or find what another vCPU has made meanwhile.  NULL: jit_is_full(), and the block is to be interpreted;
 * or else the page must have another record first, jit_move_page(); only of one that has a place.
 * When code memory is full, everything is dropped first (so pointers to other translations die), which waits until
 * every other vCPU has left translated code; but only 50 ms, and not again for half a second after that was in vain: one of them may be
 * in a device whose other side takes its time.
 */
struct translation *jit_compile_tier1(struct jit *j, struct code_page *cp, const struct ir_block *b);
/* There was no room at the last jit_compile_tier1(), and code memory cannot be emptied now. */
bool jit_is_full(const struct jit *j);

/*
 * The same without a block: what the store has for that place and the words there, or what another vCPU has made meanwhile.  NULL:
 * nothing, or jit_compile_tier1() has to look at the record first.
 */
struct translation *jit_take_stored(struct jit *j, struct code_page *cp, uint32_t off, uint32_t mode,
				    uint64_t abs_page);

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

/* Drop the translations that cover [off, off + bytes) of the record.  True if any did. As jit_written() otherwise. */
bool jit_invalidate(struct jit *j, struct code_page *cp, uint32_t off, uint32_t bytes);
void jit_invalidate_page(struct jit *j, struct code_page *cp);
bool jit_page_has_code(struct jit *j, const struct code_page *cp, uint32_t off, uint32_t bytes);
/*
 * Drop everything, when every other vCPU has left translated code. j's vCPU is outside of it.  False: one of them is held inside by a
 * device for long, and nothing was dropped.
 */
bool jit_flush(struct jit *j);

/*
 * Empty what leads code from one block to another (jump cache, side cache, return ring), so that code which goes round in
 * there leaves.  Any thread, while code runs: an entry that is half read still leads where it led.
 */
void jit_break(struct jit *j);

/* Of the whole cache. Any thread. */
struct jit_stats jit_stats(const struct jit *j);
/*
 * What the cache takes of the host's memory, in bytes: translated code, and what is known of it (links, the words that it was made from).
 * Any thread.
 */
void code_cache_takes(struct code_cache *cc, uint64_t *code, uint64_t *data);
/* What this vCPU has had translated by tier 1; the rest of what it runs others had made. */
struct jit_made {
	uint64_t blocks, guest_insns;
};
struct jit_made jit_made(const struct jit *j);

/* ---- audit (jit/audit.c) ---- */
struct jit_audit {
	/* Is something about to tell that it has written to this page?  Then its bytes are not looked at. May be NULL. */
	bool (*changing)(void *opaque, const void *host);
	void *opaque;
};
struct jit_audited {
	unsigned errors;
	uint64_t records, translations;
	uint64_t pages; /* that have a record */
};
/*
 * Have all pages of a record its content, are its translations of the words that are there, do links and lists agree?  No vCPU changes
 * a page meanwhile; they may be in translated code.  The first error as text in first[bytes].  Cost: 0.5 us a page, 0.1 us a
 * translation.
 */
void code_cache_audit(struct code_cache *cc, const struct jit_audit *ask, struct jit_audited *out, char *first,
		      size_t bytes);

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
