/* SPDX-License-Identifier: MIT */
#include "vmm/dump.h"
#include "vmm/vm.h"

/*
 * Which blocks go to tier 2 together: the hot one and what it reaches by direct jumps inside its page, breadth first,
 * as far as it has ever been executed (has a tier 1 translation).
 */
#define REGION_MAX_BLOCKS 24
#define REGION_MAX_INSNS  400

struct region_builder {
	struct vcpu *v;
	struct machine_page *page;
	struct jit_region r;
	uint64_t page_va;
	uint32_t n_pending, n_insns;
	uint16_t pending[REGION_MAX_BLOCKS * 4]; /* offsets into the page */
};

static bool known(const struct region_builder *rb, uint32_t off)
{
	for (uint32_t i = 0; i < rb->r.n_blocks; i++)
		if (ir_block_off(rb->r.blocks[i]) == off)
			return true;
	return false;
}

static void follow(struct region_builder *rb, const struct ir_block *b, struct ir_target t)
{
	uint64_t pc = ir_target_pc(b, t, rb->page_va);
	uint32_t off = (uint32_t)(pc & PAGE_MASK);

	if ((pc & ~PAGE_MASK) != rb->page_va || off & 3 || rb->n_pending == ARRAY_LEN(rb->pending))
		return;
	/* TGT_REGION targets depend on the mapping; only pc-relative ones stay in the page in every mapping */
	if (t.kind == TGT_REGION)
		return;
	rb->pending[rb->n_pending++] = (uint16_t)off;
}

static void follow_all(struct region_builder *rb, const struct ir_block *b)
{
	if (b->term.kind == TERM_JUMP || b->term.kind == TERM_BRANCH)
		follow(rb, b, b->term.target[0]);
	if (b->term.kind == TERM_BRANCH)
		follow(rb, b, b->term.target[1]);
	for (uint32_t i = 0; i < b->n_exits; i++)
		follow(rb, b, b->exits[i]);
	/* what a call returns to is hot when the call is */
	if (b->term.hint == HINT_CALL)
		follow(rb, b, b->term.link);
}

static void add_block(struct region_builder *rb, uint32_t off)
{
	struct vcpu *v = rb->v;
	struct ir_block *b;

	if (off == PAGE_BYTES - 4) /* may need its slot from the next page, whose fetch may raise an exception */
		return;
	b = translate_page(v, rb->page, rb->page_va + off, 0, &rb->r.arena);
	if (!b)
		return;
	rb->r.blocks[rb->r.n_blocks++] = b;
	rb->n_insns += b->n_guest;
	follow_all(rb, b);
}

void region_request(struct vcpu *v)
{
	uint64_t pc = v->gs.pc, abs_page = v->gs.mode & MODE_ABS ? v->gs.pc_page : 0;
	struct region_builder rb = {.v = v, .page_va = pc & ~PAGE_MASK};

	rb.page = mem_fetch(v, gva(pc));
	if (!rb.page)
		return;
	rb.r.cp = jit_code_page(v->jit, &rb.page->code, rb.page->host);
	if (!jit_tier2_ready(v->jit, rb.r.cp, (uint32_t)(pc & PAGE_MASK), v->gs.mode, abs_page))
		return;
	rb.r.blocks = arena_new(&rb.r.arena, struct ir_block *, REGION_MAX_BLOCKS);
	add_block(&rb, (uint32_t)(pc & PAGE_MASK));
	for (uint32_t i = 0; i < rb.n_pending && rb.r.n_blocks < REGION_MAX_BLOCKS && rb.n_insns < REGION_MAX_INSNS;
	     i++)
		if (!known(&rb, rb.pending[i]) && jit_find(v->jit, rb.r.cp, rb.pending[i], v->gs.mode, abs_page))
			add_block(&rb, rb.pending[i]);
	if (!rb.r.n_blocks) {
		arena_free(&rb.r.arena);
		return;
	}
	vm_dump_region(v->vm, rb.r.blocks, rb.r.n_blocks, pc);
	jit_request_tier2(v->jit, &rb.r);
}

struct translation *region_compile_now(struct vcpu *v, struct code_page *cp, struct ir_block *b)
{
	struct jit_region r = {.arena = v->arena, .cp = cp, .n_blocks = 1};
	uint32_t off = ir_block_off(b), mode = b->mode;
	uint64_t abs_page = b->abs_page;

	v->arena = (struct arena){0}; /* the JIT frees the block's */
	r.blocks = arena_new(&r.arena, struct ir_block *, 1);
	r.blocks[0] = b;
	vm_dump_region(v->vm, r.blocks, 1, v->gs.pc);
	if (!jit_request_tier2(v->jit, &r))
		return NULL;
	return jit_find(v->jit, cp, off, mode, abs_page);
}
