/* SPDX-License-Identifier: MIT */
#ifndef VMM_DUMP_H
#define VMM_DUMP_H

/* What the translator does, stage by stage (design.md section 8): `disco run --dump` as it happens, and `disco dump`. */
#include "vmm/boot/loader.h"
#include "vmm/cli/options.h"
#include "vmm/cpu/region_build.h"
#include "vmm/monitor/vm.h"

struct symbols;

/* ---- `disco run --dump`.  One thread, the vCPU's. ---- */
/*
 * Start to dump what vm translates.  opt (letters, filter) must outlive the dump.  0, -ENOMEM, or -errno with err filled:
 * the listing of symbols is bad, or the filter names none of them.
 */
MUST_CHECK int vm_dump_open(struct vm *vm, const struct run_options *opt, FILE *out, struct loader_error *err);
void vm_dump_free(struct vm_dump *d);

/* Hooks of the first walk, in its order; cheap when vm->dump is NULL. pc: where the block starts. */
void vm_dump_lifted(struct vm *vm, const struct ir_block *b, uint64_t pc, enum tier tier);
const struct ir_dump *vm_dump_passes(struct vm *vm);
void vm_dump_optimised(struct vm *vm, const struct ir_block *b, uint64_t pc, enum tier tier);
void vm_dump_tier1(struct vm *vm, const struct translation *t);
/* The blocks of the region at pc are about to be lifted. */
void vm_dump_region_begin(struct vm *vm, uint64_t pc);
void vm_dump_region(struct vm *vm, const struct jit_region *r, const struct region_plan *plan, uint64_t pc);

/* ---- the stages, for both commands (vmm/look/dump_stage.c) ---- */
struct dump_sink {
	FILE *out;
	const char *letters; /* of vmm/cli/options.h: what is wanted */
	bool json;           /* else text */
	struct frontend *frontend;
	const struct symbols *symbols; /* or NULL */
	bool inner;                    /* JSON: not the first object of its array */
	bool stable;                   /* host addresses as labels */
	const char *again; /* for the next heading: that it was shown before, and why it is again; or NULL */
};
bool dump_wants(const struct dump_sink *s, char letter);

/* A block: begin (head, g, i), the passes, final (o), ends (x), host (h), end.  page_va is that of pc. */
void dump_block_begin(struct dump_sink *s, const struct ir_block *b, uint64_t pc, enum tier tier);
void dump_block_pass(void *sink, const char *pass, char letter, const struct ir_block *b); /* struct ir_dump.after */
void dump_block_final(struct dump_sink *s, const struct ir_block *b);
void dump_block_ends(struct dump_sink *s, const struct ir_block *b, uint64_t pc);
void dump_block_host(struct dump_sink *s, const struct jit *j, const struct translation *t);
void dump_block_end(struct dump_sink *s);

/* A region: begin, its blocks, end (x, l, L, h). */
void dump_region_begin(struct dump_sink *s, uint64_t pc, uint32_t mode);
/* Returns 0, or -errno: the compiler refused it, which the dump says too. */
int dump_region_end(struct dump_sink *s, struct jit *j, const struct jit_region *r, const struct region_plan *plan,
		    uint64_t pc);

/* ---- as data ---- */
struct dump_edge {
	const char *what; /* "taken", "side exit", ... */
	const char *how;  /* how it is taken; in a region, why it leaves it */
	uint64_t pc;      /* where it goes */
	bool inside;      /* to a block of the region */
	bool is_return;   /* where the call at the end returns to: not a way out of this block */
};
#define DUMP_MAX_EDGES (IR_MAX_EXITS + 3)
/* Ways out of a block whose address is known. plan: NULL for a block on its own. Returns how many. */
unsigned dump_edges(const struct ir_block *b, uint64_t page_va, const struct region_plan *plan,
		    struct dump_edge edges[DUMP_MAX_EDGES]);
/* Why a block ends; why a region stopped growing. */
const char *dump_why_ends(const struct ir_block *b);
const char *dump_why_stopped(const struct region_plan *plan);
/* Set of blocks[] that the head reaches; the others, reached by a return only, are not compiled. */
uint32_t dump_reached(const struct jit_region *r, const struct region_plan *plan);
const char *dump_mode_name(uint32_t mode);
#define DUMP_MODE_BYTES 64
/* All of it: "user,cu1". */
void dump_mode_text(uint32_t mode, char text[DUMP_MODE_BYTES]);

/* ---- the same as JSON (vmm/look/dump_json.c): one object each ---- */
void dump_json_block_begin(struct dump_sink *s, const struct ir_block *b, uint64_t pc, enum tier tier);
/* In a region, of a block that was shown before. */
void dump_json_block_ref(struct dump_sink *s, const struct ir_block *b, uint64_t page_va);
void dump_json_ir(struct dump_sink *s, const char *stage, const struct ir_block *b);
void dump_json_ends(struct dump_sink *s, const struct ir_block *b, uint64_t pc);
void dump_json_host(struct dump_sink *s, const struct jit *j, const struct translation *t);
void dump_json_region_begin(struct dump_sink *s, uint64_t pc, uint32_t mode);
int dump_json_region_end(struct dump_sink *s, struct jit *j, const struct jit_region *r,
			 const struct region_plan *plan);
/* Name of an address, for struct jit_dump. */
void dump_name(void *symbols, uint64_t pc, char *out, size_t out_bytes);
/* What of a sink the JIT's part of a dump needs; the streams are the caller's. */
struct jit_dump dump_jit(const struct dump_sink *s);

#endif
