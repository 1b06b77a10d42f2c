/* SPDX-License-Identifier: MIT */
#include "vmm/dump.h"
#include "vmm/region.h"
#include "vmm/vm.h"

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

	return jit_find(m->v->jit, m->cp, off, m->v->gs.mode, m->abs_page);
}

bool region_request(struct vcpu *v)
{
	uint64_t pc = v->gs.pc;
	struct running m = {.v = v, .page_va = pc & ~PAGE_MASK, .abs_page = v->gs.mode & MODE_ABS ? v->gs.pc_page : 0};
	struct region_source src = {lift, has_run, &m};
	struct jit_region r = {0};
	struct region_plan plan;

	m.page = mem_fetch(v, gva(pc));
	if (!m.page)
		return false;
	m.cp = r.cp = jit_code_page(v->jit, &m.page->code, m.page->host);
	if (!jit_tier2_ready(v->jit))
		return true;
	region_build(&plan, &r, pc, &src);
	/* Straight code gains nothing by LLVM that its time would not cost: it stays in tier 1 (jit/README.md). */
	if (!r.n_blocks || !plan.has_cycle) {
		arena_free(&r.arena);
		return true;
	}
	vm_dump_region(v->vm, &r, &plan, pc);
	jit_request_tier2(v->jit, &r);
	return true;
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
	if (!jit_request_tier2(v->jit, &r))
		return NULL;
	return jit_find(v->jit, cp, off, mode, abs_page);
}
