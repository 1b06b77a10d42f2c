/* SPDX-License-Identifier: MIT */
#include "base/host_clock.h"
#include "frontend/insn.h"
#include "vmm/cpu/exception.h"
#include "vmm/cpu/helpers.h"
#include "vmm/cpu/caches.h"
#include "vmm/cpu/mem.h"
#include "vmm/cpu/region.h"
#include "vmm/cpu/translate.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/look/dump.h"
#include "vmm/monitor/vm.h"

/*
 * The first walk, on one page:
 *
 *   guest pc -> machine page (mem.c) -> translation known, or stored by an earlier run?  -> host code
 *                                       | no
 *                                       words -> IR (frontend/) -> passes (ir/) -> host code (jit/)
 */

static uint32_t guest_word(const struct vcpu *v, const struct machine_page *page, uint32_t off)
{
	uint32_t w = *(const uint32_t *)(page->host + off);

	return v->gs.mode & MODE_BE ? __builtin_bswap32(w) : w;
}

/*
 * A branch whose slot cannot be fetched has been executed all the same: the handler finds the link in its register
 * (volume II, "JAL"; tests/guest/exceptions.c).
 */
static void write_link(struct vcpu *v, uint32_t branch, uint64_t pc)
{
	const struct insn *row = frontend_decode(v->frontend, branch);
	unsigned reg;

	switch (insn_id(row)) {
	case INSN_ID_JAL:
	case INSN_ID_BLTZAL:
	case INSN_ID_BGEZAL:
	case INSN_ID_BLTZALL:
	case INSN_ID_BGEZALL:
		reg = 31;
		break;
	case INSN_ID_JALR:
		reg = insn_rd(branch);
		break;
	default:
		return;
	}
	if (reg)
		v->gs.reg[reg] = (uint32_t)(pc + 8);
}

/* The slot of a branch in the last word of a page is an instruction of the next page, with its own faults. */
static bool fetch_slot(struct vcpu *v, uint32_t branch, uint32_t *slot)
{
	struct guest_state *gs = &v->gs;
	struct machine_page *page;
	uint64_t pc = gs->pc;

	gs->pc = (uint32_t)(pc + 4);
	gs->site = SITE_BD;
	page = mem_fetch(v, gva(gs->pc));
	gs->site = 0;
	if (!page) {
		write_link(v, branch, pc);
		return false;
	}
	gs->pc = pc;
	*slot = guest_word(v, page, 0);
	return true;
}

/* What lifted code calls before a branch whose slot is in the next page. */
HELPER_FN(slot_check)
{
	struct vcpu *v = vcpu_of(gs);
	uint64_t pc = gs->pc;
	struct machine_page *page;

	if (mem_fetch_needs_parking(v, gva((uint32_t)(pc + 4)))) {
		mem_step_alone(v);
		return 0;
	}
	page = mem_fetch_try(v, gva((uint32_t)(pc + 4)));
	if (page && guest_word(v, page, 0) == (uint32_t)a) {
		if (v->caches.flash)
			(void)caches_access(v, FLASH_FETCH, page->host);
		return 0;
	}
	/* not the slot that this block was made with, or none (fetch_slot() will raise it): make the block again */
	page = mem_fetch_try(v, gva(pc));
	if (page)
		vcpu_invalidate_code(v, page, (uint32_t)(pc & PAGE_MASK), 4);
	exception_refund(v);
	gs->leave = EXIT_SIDE;
	return 0;
}

/* Words to optimised IR, in arena `a`. NULL: an exception was raised. */
struct ir_block *translate_page(struct vcpu *v, struct machine_page *page, uint64_t pc, uint32_t max_guest,
				enum tier tier, struct arena *a)
{
	uint32_t words[IR_MAX_GUEST + 1], off = (uint32_t)(pc & PAGE_MASK), n = 0, slot;
	struct lift_request rq = {
	    .mode = v->gs.mode,
	    .abs_page = v->gs.mode & MODE_ABS ? pc & ~PAGE_MASK : 0,
	    .off = off,
	    .line = v->caches.flash ? flash_config(v->caches.flash)->line : 0,
	    .words = words,
	    .max_guest = max_guest,
	};
	uint64_t t0 = host_now_ns(), t1;
	struct ir_block *b;

	while (n < ARRAY_LEN(words) && off + 4 * n < PAGE_BYTES) {
		words[n] = guest_word(v, page, off + 4 * n);
		n++;
	}
	rq.n_words = n;
	if (frontend_lift(v->frontend, a, &rq, &b) == LIFT_NEEDS_SLOT) {
		if (!fetch_slot(v, words[n - 1], &slot))
			return NULL;
		rq.slot = &slot;
		if (frontend_lift(v->frontend, a, &rq, &b) != LIFT_OK)
			panic("block at %#llx still wants its delay slot", (unsigned long long)pc);
	}
	t1 = host_now_ns();
	vm_dump_lifted(v->vm, b, pc, tier);
	ir_run_passes(b, vm_dump_passes(v->vm));
	vm_dump_optimised(v->vm, b, pc, tier);
	v->stats.ns_lift += t1 - t0;
	v->stats.ns_passes += host_now_ns() - t1;
	return b;
}

static void enter_page(struct vcpu *v, const struct machine_page *page)
{
	if (v->caches.flash)
		caches_enter_page(v, page);
}

struct ir_block *translate_lift(struct vcpu *v, uint32_t max_guest)
{
	struct machine_page *page = mem_fetch(v, gva(v->gs.pc));

	if (!page)
		return NULL;
	arena_reset(&v->arena);
	enter_page(v, page);
	return translate_page(v, page, v->gs.pc, max_guest, TIER_INTERP, &v->arena);
}

static struct translation *compile(struct vcpu *v, struct machine_page *page, struct code_page *cp, bool tier1,
				   struct ir_block **lifted)
{
	uint64_t began_ns = trace_wants(&v->tracer, TRACE_TRANSLATE) ? host_now_ns() : 0;
	struct translation *t;

	arena_reset(&v->arena);
	*lifted = translate_page(v, page, v->gs.pc, 0, tier1 ? TIER_1 : TIER_2, &v->arena);
	if (!*lifted)
		return NULL;
	if (tier1) {
		while (!(t = jit_compile_tier1(v->jit, cp, *lifted)) && !jit_is_full(v->jit)) {
			vcpu_move_code(v, page, gva(v->gs.pc), *lifted);
			cp = vcpu_code_page(v, page, gva(v->gs.pc));
		}
		if (t)
			vm_dump_tier1(v->vm, t);
		TRACE(&v->tracer, TRANSLATE, v->gs.pc, v->gs.mode, (*lifted)->n_guest,
		      began_ns ? host_now_ns() - began_ns : 0);
		return t;
	}
	t = region_compile_now(v, cp, *lifted);
	/* the JIT took the other */
	*lifted = t ? NULL : translate_page(v, page, v->gs.pc, 0, TIER_INTERP, &v->arena);
	return t;
}

struct translation *translate(struct vcpu *v, struct ir_block **lifted, bool after_side_exit)
{
	struct guest_state *gs = &v->gs;
	uint64_t abs_page = gs->mode & MODE_ABS ? gs->pc_page : 0;
	struct machine_page *page = mem_fetch(v, gva(gs->pc));
	uint32_t off = (uint32_t)(gs->pc & PAGE_MASK);
	struct translation *t;
	struct code_page *cp;

	*lifted = NULL;
	if (!page)
		return NULL;
	enter_page(v, page);
	if (after_side_exit && !v->vm->cfg.tier1) {
		*lifted = translate_lift(v, 0);
		return NULL;
	}
	cp = vcpu_code_page(v, page, gva(gs->pc));
	t = after_side_exit ? jit_find_tier1(v->jit, cp, off, gs->mode, abs_page)
			    : jit_find(v->jit, cp, off, gs->mode, abs_page);
	if (!t && v->vm->cfg.tier1) {
		t = jit_take_stored(v->jit, cp, off, gs->mode, abs_page);
		if (t)
			TRACE(&v->tracer, TRANSLATE_STORED, gs->pc, gs->mode);
	}
	return t ? t : compile(v, page, cp, v->vm->cfg.tier1, lifted);
}
