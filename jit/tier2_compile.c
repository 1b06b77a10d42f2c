/* SPDX-License-Identifier: MIT */
/* The straight line of tier 2: analyse, generate, optimise, emit, load. */
#include "jit/tier2_compile.h"

#include <llvm-c/DebugInfo.h>
#include <stdlib.h>
#include <string.h>

#include "base/host_clock.h"
#include "jit/elf_load.h"

/* An LLVM context keeps every constant and type that it ever saw: start afresh now and then. */
#define MODULES_PER_CONTEXT 256

const char *const tier2_refusal_text[NUM_TIER2_REFUSALS] = {
#define REFUSAL(name, text) [TIER2_REFUSED_##name] = text,
#include "jit/tier2_refusal.def"
#undef REFUSAL
};

/* CPU time of this thread: the worker shares its core, and waiting is not work. */
static uint64_t cpu_ns(void) { return host_clock_ns(CLOCK_THREAD_CPUTIME_ID); }

static bool compiler_ready(struct compiler *c)
{
	if (c->ready && c->n_modules >= MODULES_PER_CONTEXT) {
		llvm_unit_fini(&c->unit);
		c->ready = false;
	}
	if (!c->ready && !c->impossible) {
		c->ready = llvm_unit_init(&c->unit);
		c->impossible = !c->ready;
		c->n_modules = 0;
	}
	if (c->ready && !c->gen) {
		c->gen = calloc(1, sizeof(*c->gen));
		c->regions = calloc(TIER2_BATCH, sizeof(*c->regions));
		if (!c->gen || !c->regions)
			panic("out of memory for the compiler");
	}
	return c->ready;
}

void compiler_fini(struct compiler *c)
{
	if (c->ready)
		llvm_unit_fini(&c->unit);
	free(c->gen);
	free(c->regions);
	memset(c, 0, sizeof(*c));
}

static void write_module(LLVMModuleRef m, FILE *out)
{
	char *text;

	if (!out)
		return;
	m = LLVMCloneModule(m);
	LLVMStripModuleDebugInfo(m); /* what lines_begin() put there is for the host code */
	text = LLVMPrintModuleToString(m);
	fputs(text, out);
	LLVMDisposeMessage(text);
	LLVMDisposeModule(m);
}

/* Forget what an earlier attempt left. */
static void work_reset(struct tier2_work *w)
{
	image_free(w->image);
	free(w->links);
	free(w->lines);
	w->image = NULL;
	w->links = NULL;
	w->lines = NULL;
	w->n_links = w->n_lines = w->code_bytes = 0;
	w->refused = TIER2_REFUSED_NONE;
}

static void take_links(struct tier2_work *w, const struct gen *g)
{
	w->n_links = g->n_links;
	if (!w->n_links)
		return;
	w->links = malloc(w->n_links * sizeof(*w->links));
	if (!w->links)
		panic("out of memory for %u links", w->n_links);
	memcpy(w->links, g->links, w->n_links * sizeof(*w->links));
}

/* Add the functions of all works to the module; true if there is any, *cycles if one has a loop. */
static bool generate(struct compiler *c, const struct tier2_config *cfg, LLVMModuleRef m, struct tier2_work **w,
		     uint32_t n, bool lines, bool *cycles)
{
	struct gen *g = c->gen;
	bool any = false;

	g->u = &c->unit;
	g->cfg = cfg;
	for (uint32_t i = 0; i < n; i++) {
		struct region *r = &c->regions[i];

		work_reset(w[i]);
		w[i]->refused = region_analyse(r, w[i]->region.blocks, w[i]->region.n_blocks);
		if (w[i]->refused != TIER2_REFUSED_NONE)
			continue;
		g->with_lines = lines;
		gen_region(g, m, i, r);
		take_links(w[i], g);
		w[i]->n_guest = r->n_guest;
		*cycles |= r->has_cycle;
		any = true;
	}
	return any;
}

static void load_all(LLVMMemoryBufferRef object, struct tier2_work **w, uint32_t n, bool lines)
{
	for (uint32_t i = 0; i < n; i++) {
		if (w[i]->refused != TIER2_REFUSED_NONE)
			continue;
		w[i]->refused =
		    elf_load(LLVMGetBufferStart(object), LLVMGetBufferSize(object), i, w[i]->n_links, &w[i]->image);
		if (w[i]->image)
			w[i]->code_bytes = w[i]->image->n_bytes;
		if (lines)
			lines_read(LLVMGetBufferStart(object), LLVMGetBufferSize(object), w[i]);
	}
}

/* Everything between IR and images. NONE, or why the batch as a whole failed. */
static enum tier2_refusal compile_module(struct compiler *c, const struct tier2_config *cfg, struct tier2_work **w,
					 uint32_t n, const struct compile_dump *dump)
{
	LLVMModuleRef m = llvm_unit_module(&c->unit);
	LLVMMemoryBufferRef object = NULL;
	enum tier2_refusal why = TIER2_REFUSED_NONE;
	bool cycles = false;

	c->n_modules++;
	if (generate(c, cfg, m, w, n, dump->lines, &cycles)) {
		write_module(m, dump->before);
		why = llvm_unit_optimise(&c->unit, m, cycles);
		if (why == TIER2_REFUSED_NONE) {
			write_module(m, dump->after);
			object = llvm_unit_object(&c->unit, m);
			why = object ? TIER2_REFUSED_NONE : TIER2_REFUSED_CODEGEN;
		}
	}
	if (object) {
		load_all(object, w, n, dump->lines);
		LLVMDisposeMemoryBuffer(object);
	}
	LLVMDisposeModule(m);
	return why;
}

static void refuse(struct tier2_work *w, enum tier2_refusal why)
{
	if (w->refused == TIER2_REFUSED_NONE)
		w->refused = why;
}

void compiler_run(struct compiler *c, const struct tier2_config *cfg, struct tier2_work **w, uint32_t n,
		  const struct compile_dump *dump)
{
	uint64_t start = cpu_ns();
	enum tier2_refusal why = TIER2_REFUSED_NO_TARGET;

	ASSERT(n <= TIER2_BATCH);
	if (compiler_ready(c))
		why = compile_module(c, cfg, w, n, dump);
	if (why != TIER2_REFUSED_NONE && why != TIER2_REFUSED_NO_TARGET && n > 1) {
		for (uint32_t i = 0; i < n; i++)
			compiler_run(c, cfg, &w[i], 1, dump);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (why != TIER2_REFUSED_NONE)
			refuse(w[i], why);
		w[i]->ns = (cpu_ns() - start) / n;
	}
}
