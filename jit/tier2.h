/* SPDX-License-Identifier: MIT */
#ifndef JIT_TIER2_H
#define JIT_TIER2_H

/*
 * Tier 2: regions of IR blocks through LLVM, in the background.  This header knows neither LLVM nor code memory: a
 * finished region is a piece of relocatable code that the vCPU thread places itself, so code memory has one writer.
 * Boundaries of the generated code are those of jit_internal.h; the piece is the `body` of a translation.
 */
#include "jit/jit.h"

struct jit_stubs; /* jit_internal.h */
struct tier2;

enum tier2_refusal {
#define REFUSAL(name, text) TIER2_REFUSED_##name,
#include "jit/tier2_refusal.def"
#undef REFUSAL
	NUM_TIER2_REFUSALS
};
extern const char *const tier2_refusal_text[NUM_TIER2_REFUSALS];

struct tier2_config {
	bool icount, count_insns;
	uint8_t line_log2;              /* jit_config */
	bool background;                /* start the worker thread */
	helper_fn *const *helpers;      /* [NUM_HELPERS]; final before the first request */
	const struct jit_stubs *stubs;  /* likewise */
	void (*on_finished)(void *ctx); /* worker thread: something can be taken (set gs->poll); may be NULL */
	void *ctx;
};

/* A direct way out of the region, or the return address of a call in it: what jit_link_init() takes. */
struct tier2_link {
	struct ir_target target;
	bool is_return;
};

struct tier2_work {
	struct jit_region region; /* arena and blocks; owned by the work from tier2_request on */
	void *cookie;             /* the caller's: what to install to */

	/* Filled in when finished. */
	enum tier2_refusal refused;
	uint32_t code_bytes; /* what tier2_work_place() needs */
	uint32_t n_links;
	struct tier2_link *links; /* [n_links], all distinct */
	uint32_t n_guest;         /* guest instructions in the region */
	uint64_t ns;              /* CPU time in LLVM; a batch's time is divided among its members */
	struct tier2_image *image;
	struct tier2_work *next;
	struct tier2_line *lines; /* [n_lines] by host; of tier2_dump() only */
	uint32_t n_lines;
};

/* pc map of a dumped region: from host offset `host` on, code of this guest instruction and IR instruction. */
#define TIER2_LINE_NO_IR UINT16_MAX
struct tier2_line {
	uint32_t host;
	uint16_t block, insn; /* of the region, of the block */
	uint16_t ir;          /* of the block, or TIER2_LINE_NO_IR: head or terminator */
};

struct tier2_stats {
	uint64_t requested, regions, batches, host_bytes, guest_insns, ns;
	uint64_t refused[NUM_TIER2_REFUSALS];
};

/* 0 or -errno. Any thread; the worker is started here if cfg->background. */
MUST_CHECK int tier2_new(struct tier2 **out, const struct tier2_config *cfg);
/* Cancels what is pending, joins the worker (at most one batch's compile time), frees everything not taken. */
void tier2_free(struct tier2 *t);
/*
 * The process is about to end, and does not wait: a batch takes hundreds of ms where this thread, which is a nice one, gets
 * little of a busy host.  True: it is at work, and t is to stay as it is.
 */
MUST_CHECK bool tier2_abandon(struct tier2 *t);

#define TIER2_MAX_BLOCKS 64 /* per region; more are refused */

/* An empty work for a region (taken over from *r). Never NULL. */
struct tier2_work *tier2_work_new(struct jit_region *r, void *cookie);

/*
 * Queue work for the background thread.  vCPU thread; takes w over.  False if the queue is full, or a region with the
 * same key (code page, offset of the head, mode, abs_page) is pending: w is freed (its cookie stays the caller's).
 */
MUST_CHECK bool tier2_request(struct tier2 *t, struct tier2_work *w);
/* Less is queued than the next batch takes: asking for more is worth while. vCPU thread. */
bool tier2_has_room(struct tier2 *t);
/* The oldest finished work (compiled or refused), or NULL. vCPU thread. Free it with tier2_work_free(). */
struct tier2_work *tier2_take_finished(struct tier2 *t);
/* Anything to take? One relaxed load. */
bool tier2_has_finished(const struct tier2 *t);
/* Wait until nothing is queued or being compiled (tests, orderly measurements). */
void tier2_drain(struct tier2 *t);
/* Compile on this thread; w->refused says how it went. w stays the caller's. */
void tier2_compile_sync(struct tier2 *t, struct tier2_work *w);

/*
 * Copy the code to rw (the writable alias of rx) and relocate it for rx.  rx is 64-byte aligned, with w->code_bytes
 * there; the body is rx itself.  ways[n_links], for w->links in that order: where the code jumps to, or the struct jit_link of a
 * return address; it names them rip-relative.  -ERANGE if a relocation does not reach (nothing may run then).
 */
MUST_CHECK int tier2_work_place(const struct jit_stubs *stubs, const struct tier2_work *w, void *rw, const void *rx,
				const void *const *ways);
void tier2_work_free(struct tier2_work *w);

/* A snapshot. Any thread. */
struct tier2_stats tier2_stats(struct tier2 *t);

/*
 * Compile on this thread and write the module's text before and after optimisation (NULL: not wanted).  Host code is the
 * caller's to show (place it, then disassemble); w->lines says where it comes from.  0 or -errno; w->refused as from
 * tier2_compile_sync().
 */
MUST_CHECK int tier2_dump(struct tier2 *t, struct tier2_work *w, FILE *before, FILE *after);

#endif
