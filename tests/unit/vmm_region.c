/* SPDX-License-Identifier: MIT */
/* Which blocks go to tier 2, and that tier 2 runs. */
#include "tests/unit/vmm_machine.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/cpu/mem.h"
#include "vmm/cpu/translate.h"
#include "vmm/cpu/region.h"
#include "vmm/cpu/region_build.h"

#include <unistd.h>

/* A loop of three blocks, with a rare fourth that is never executed, and a call. */
static void put_loop(struct vm *vm)
{
	PUT(vm, CODE_VA, A_ADDIU(T0, ZERO, 30000),                    /* 00 */
	    A_ADDIU(T1, T1, 1),                                       /* 04 loop */
	    A_BEQ(T1, ZERO, 6), A_NOP,                                /* 08 to 24, never */
	    A_JAL(CODE_VA + 0x40), A_ADDIU(T0, T0, -1),               /* 10 */
	    A_BNE(T0, ZERO, -6), A_NOP,                               /* 18 to 04 */
	    A_RESET);                                                 /* 20 */
	PUT(vm, CODE_VA + 0x24 + 0x1c, A_JR(RA), A_ADDIU(T2, T2, 3)); /* 40 */
}

struct source {
	struct vm *vm;
	struct machine_page *page;
};

static struct ir_block *lift(void *ctx, uint32_t off, struct arena *a)
{
	struct source *s = ctx;

	return translate_page(s->vm->vcpu, s->page, (CODE_VA & ~PAGE_MASK) + off, 0, TIER_2, a);
}

static bool has_run(void *ctx, uint32_t off)
{
	struct source *s = ctx;
	struct vcpu *v = s->vm->vcpu;

	return jit_find(v->jit, s->page->code, off, v->gs.mode, CODE_VA & ~PAGE_MASK);
}

/* The head, what it reaches, what its calls come back to; not what has never been executed. */
Test(vmm_region, what_has_run_and_nothing_else, .timeout = 60)
{
	struct vm *vm = machine_open(&(struct vm_config){0}, TIERS_1);
	struct source s = {.vm = vm};
	struct region_source src = {lift, has_run, &s};
	struct jit_region r = {0};
	struct region_plan plan;
	uint64_t offs = 0;

	put_loop(vm);
	cr_assert_eq(vm_run(vm), VM_RESET);
	vm->vcpu->gs.pc = CODE_VA + 4;
	vcpu_update_mode(vm->vcpu);
	s.page = mem_fetch(vm->vcpu, gva(CODE_VA));
	region_build(&plan, &r, CODE_VA + 4, &src);
	cr_assert_eq(ir_block_off(r.blocks[0]), 4, "the head comes first");
	for (uint32_t i = 0; i < r.n_blocks; i++)
		offs |= (uint64_t)1 << (ir_block_off(r.blocks[i]) / 4);
	cr_assert(offs >> 4 & 1, "10: reached from the head");
	cr_assert(offs >> 6 & 1, "18: where the call returns to");
	cr_assert(offs >> 16 & 1, "40: called");
	cr_assert(offs >> 8 & 1, "20: after the loop");
	cr_assert_not(offs >> 9 & 1, "24: never executed");
	cr_assert_eq(plan.fate[9], REGION_NOT_RUN);
	arena_free(&r.arena);
	vm_free_alone(vm);
}

static void check_loop(enum tiers t, unsigned code_tier)
{
	struct vm *vm = machine_open(&(struct vm_config){.count_insns = true}, t);

	put_loop(vm);
	cr_assert_eq(vm_run(vm), VM_RESET);
	cr_assert_eq(vm->vcpu->gs.reg[T0], 0);
	cr_assert_eq(vm->vcpu->gs.reg[T1], 30000);
	cr_assert_eq(vm->vcpu->gs.reg[T2], 90000);
	cr_assert_gt(vm->vcpu->gs.insns[code_tier], 200000);
	cr_assert_eq(vm->vcpu->gs.insns[TIER_1 + TIER_2 - code_tier], 0);
	vm_free_alone(vm);
}

Test(vmm_region, each_tier_alone, .timeout = 60)
{
	check_loop(TIERS_1, TIER_1);
	check_loop(TIERS_2, TIER_2);
}

/* No jump back, so no counter: it is asked for because the guest was found there. */
Test(vmm_region, straight_code_that_is_sampled, .timeout = 60)
{
	struct vm *vm = machine_open(&(struct vm_config){0}, TIERS_12);
	struct vcpu *v = vm->vcpu;

	PUT(vm, CODE_VA, A_ADDIU(T0, T0, 1), A_ADDIU(T1, T1, 1), A_RESET);
	region_sample(v); /* nothing translated yet */
	cr_assert_eq(vm_run(vm), VM_RESET);
	v->gs.pc = CODE_VA;
	vcpu_update_mode(v);
	for (unsigned i = 1; i < REGION_HOT_SAMPLES; i++)
		region_sample(v);
	usleep(50000);
	jit_install_finished(v->jit);
	cr_assert_eq(jit_stats(v->jit).regions, 0, "seen too rarely");
	region_sample(v);
	while (!jit_stats(v->jit).regions) {
		usleep(1000);
		jit_install_finished(v->jit);
	}
	for (unsigned i = 0; i < 2 * REGION_HOT_SAMPLES; i++)
		region_sample(v);
	usleep(50000);
	jit_install_finished(v->jit);
	cr_assert_eq(jit_stats(v->jit).regions, 1, "once is enough");
	vm_free_alone(vm);
}

Test(vmm_region, a_branch_in_the_last_word, .timeout = 60)
{
	for (enum tiers t = 0; t < NUM_TIERS; t++) {
		struct vm *vm = machine_open(&(struct vm_config){0}, t);
		uint32_t at = CODE_VA + PAGE_BYTES - 12;

		PUT(vm, CODE_VA, A_ADDIU(T0, ZERO, 2000), A_J(at), A_NOP);
		PUT(vm, at, A_ADDIU(T0, T0, -1), A_NOP, A_BNE(T0, ZERO, -3), A_ADDIU(T1, T1, 1), A_RESET);
		cr_assert_eq(vm_run(vm), VM_RESET);
		cr_assert_eq(vm->vcpu->gs.reg[T1], 2000, "tiers %u: %llu", t, (unsigned long long)vm->vcpu->gs.reg[T1]);
		vm_free_alone(vm);
	}
}
