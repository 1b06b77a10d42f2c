/* SPDX-License-Identifier: MIT */
#include "vmm/cpu/region.h"
#include "vmm/cpu/mem.h"
#include "vmm/cpu/region_build.h"
#include "vmm/cpu/translate.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/look/dump.h"
#include "vmm/monitor/vm.h"

/* Regions of the running machine: blocks that have been executed, so that they have a tier 1 translation. */
struct running {
	struct vcpu *v;
	struct machine_page *page;
	struct code_page *cp;
	uint64_t page_va, abs_page;
};

static struct ir_block *lift(void *ctx, uint32_t off, struct arena *a)
{
	const struct running *m = ctx;

	return translate_page(m->v, m->page, m->page_va + off, 0, TIER_2, a);
}

static bool has_run(void *ctx, uint32_t off)
{
	const struct running *m = ctx;

	return jit_has(m->v->jit, m->cp, off, m->v->gs.mode, m->abs_page) != TIER_INTERP;
}

static bool ask(struct vcpu *v, struct jit_region *r, uint64_t pc)
{
	uint32_t blocks = r->n_blocks;
	bool taken = jit_request_tier2(v->jit, r);

	TRACE(&v->tracer, TIER2_ASK, pc, v->gs.mode, blocks, taken);
	return taken;
}

/* Ask for the region at gs->pc.  False: an exception was raised instead. */
static bool request(struct vcpu *v, bool straight)
{
	uint64_t pc = v->gs.pc;
	struct running m = {.v = v, .page_va = pc & ~PAGE_MASK, .abs_page = v->gs.mode & MODE_ABS ? v->gs.pc_page : 0};
	struct region_source src = {lift, has_run, &m};
	struct jit_region r = {0};
	struct region_plan plan;

	m.page = mem_fetch(v, gva(pc));
	if (!m.page)
		return false;
	m.cp = r.cp = vcpu_code_page(v, m.page, gva(pc));
	if (!jit_tier2_ready(v->jit))
		return true;
	vm_dump_region_begin(v->vm, pc);
	region_build(&plan, &r, pc, &src);
	/* Straight code gains little by LLVM; once time is known to go there, that is worth it (jit/README.md). */
	if (!r.n_blocks || !(straight || plan.has_cycle)) {
		arena_free(&r.arena);
		return true;
	}
	vm_dump_region(v->vm, &r, &plan, pc);
	(void)ask(v, &r, pc);
	return true;
}

bool region_request(struct vcpu *v) { return request(v, v->vm->cfg.hot_blocks); }

void region_sample(struct vcpu *v)
{
	struct guest_state *gs = &v->gs;
	uint32_t off = (uint32_t)(gs->pc & PAGE_MASK);
	struct machine_page *page = mem_fetch_try(v, gva(gs->pc));
	struct region_sample *s = &v->sample[((page ? page->mpn : 0) * 61 + off / 4) % REGION_SAMPLES];
	uint64_t abs_page;

	if (!page || !v->vm->cfg.tier1 || !v->vm->cfg.tier2)
		return;
	abs_page = gs->mode & MODE_ABS ? gs->pc & ~PAGE_MASK : 0;
	if (jit_has(v->jit, vcpu_code_page(v, page, gva(gs->pc)), off, gs->mode, abs_page) != TIER_1)
		return; /* nothing there, or in tier 2 already */
	if (s->mpn != page->mpn || s->off != off)
		*s = (struct region_sample){.mpn = page->mpn, .off = (uint16_t)off};
	if (++s->count < REGION_HOT_SAMPLES)
		return;
	s->count = 0;
	(void)request(v, true);
}

struct translation *region_compile_now(struct vcpu *v, struct code_page *cp, struct ir_block *b)
{
	struct jit_region r = {.arena = v->arena, .cp = cp, .n_blocks = 1};
	uint32_t off = ir_block_off(b), mode = b->mode;
	struct region_plan plan;
	uint64_t abs_page = b->abs_page;

	v->arena = (struct arena){0}; /* the JIT frees the block's */
	r.blocks = arena_new(&r.arena, struct ir_block *, 1);
	r.blocks[0] = b;
	if (v->vm->dump) {
		region_single(&plan, b, v->gs.pc);
		vm_dump_region(v->vm, &r, &plan, v->gs.pc);
	}
	if (!ask(v, &r, v->gs.pc))
		return NULL;
	return jit_find(v->jit, cp, off, mode, abs_page);
}
