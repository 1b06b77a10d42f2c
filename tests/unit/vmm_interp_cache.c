/* SPDX-License-Identifier: MIT */
/* Lifted blocks of --tiers=interp: found again by page, offset, mode and virtual page; dropped by exact ranges. */
#include "tests/unit/vmm_machine.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/cpu/interp_cache.h"

static struct vm *vm;
static struct interp_cache *c;

static void setup(void)
{
	vm = machine_open(&(struct vm_config){.icount = true}, TIERS_INTERP);
	c = vm->vcpu->interp;
	for (uint32_t va = CODE_VA; va < CODE_VA + PAGE_BYTES; va += 16)
		PUT(vm, va, A_ADDIU(T0, T0, 1), A_ADDIU(T0, T0, 2), A_JR(RA), A_NOP);
}

static void teardown(void) { vm_free_alone(vm); }

TestSuite(vmm_interp_cache, .init = setup, .fini = teardown);

static const struct ir_block *get(uint32_t va)
{
	vm->vcpu->gs.pc = va;
	vcpu_update_mode(vm->vcpu);
	return interp_cache_get(c, vm->vcpu);
}

static struct machine_page *page(void) { return pmap_peek(vm->ram, gpa(CODE_VA & 0x1fffffff)); }

Test(vmm_interp_cache, one_block_per_key)
{
	const struct ir_block *b = get(CODE_VA), *kseg1, *user;

	cr_assert_eq(b->n_guest, 4);
	cr_assert_eq(get(CODE_VA), b);
	cr_assert_neq(get(CODE_VA + 16), b);
	kseg1 = get(CODE_VA + 0x20000000);
	cr_assert_neq(kseg1, b, "unmapped code belongs to its address");
	machine_map(vm, 0, 0x00400000, LO(CODE_VA & 0x1fffffff, LO_V), LO(CODE_VA & 0x1fffffff, LO_V));
	machine_mode(vm, 0x10);
	user = get(0x00400000);
	cr_assert(user != b && user != kseg1);
	cr_assert_eq(get(0x00401000), user, "mapped code does not");
	machine_mode(vm, ST_CU0 | ST_CU1);
	cr_assert_eq(get(CODE_VA), b);
}

Test(vmm_interp_cache, drops_what_is_covered)
{
	const struct ir_block *b[4];

	for (unsigned i = 0; i < 4; i++)
		b[i] = get(CODE_VA + 16 * i);
	cr_assert_not(interp_cache_invalidate(c, page(), 64, 4032));
	cr_assert(interp_cache_has(c, page(), 31, 1));
	cr_assert(interp_cache_invalidate(c, page(), 31, 2), "the last byte of one and the first of the next");
	cr_assert_not(interp_cache_has(c, page(), 16, 32));
	cr_assert_eq(get(CODE_VA), b[0]);
	cr_assert_eq(get(CODE_VA + 48), b[3]);
	PUT(vm, CODE_VA + 16, A_JR(RA), A_NOP);
	cr_assert_eq(get(CODE_VA + 16)->n_guest, 2);
	cr_assert(interp_cache_invalidate(c, page(), 0, PAGE_BYTES));
	cr_assert_not(interp_cache_has(c, page(), 0, PAGE_BYTES));
}

/* The block that a store drops may be the one that runs. */
Test(vmm_interp_cache, a_dropped_block_lives_until_the_next)
{
	const struct ir_block *b = get(CODE_VA);

	cr_assert(interp_cache_invalidate(c, page(), 0, 4));
	cr_assert_eq(b->n_guest, 4); /* ASan's part */
	cr_assert_eq(b->guest[0].word, A_ADDIU(T0, T0, 1));
	cr_assert_not_null(get(CODE_VA));
}

/* A branch in the last word has its slot in another page, which may change by itself: never kept. */
Test(vmm_interp_cache, the_last_word)
{
	uint32_t last = CODE_VA + PAGE_BYTES - 4;

	PUT(vm, last, A_JR(RA), A_ADDIU(T0, ZERO, 7));
	cr_assert_eq(get(last)->guest[1].word, A_ADDIU(T0, ZERO, 7));
	cr_assert_not(interp_cache_has(c, page(), PAGE_BYTES - 4, 4));
	PUT(vm, last + 4, A_ADDIU(T0, ZERO, 8));
	cr_assert_eq(get(last)->guest[1].word, A_ADDIU(T0, ZERO, 8));
}

/* More blocks than are kept: still the right ones. */
Test(vmm_interp_cache, overflow, .timeout = 60)
{
	for (unsigned round = 0; round < 40; round++)
		for (uint32_t off = 0; off < PAGE_BYTES - 4; off += 4) {
			const struct ir_block *b;

			/* another mode, another block */
			machine_mode(vm, (round & 1 ? ST_CU1 : 0) | (round & 2 ? ST_FR : 0) | (round & 4 ? ST_CU0 : 0) |
					     (round & 8 ? ST_ERL : 0));
			b = get(CODE_VA + off + (round & 16 ? 0x20000000 : 0));
			cr_assert_eq(ir_block_off(b), off);
			cr_assert_eq(b->mode, vm->vcpu->gs.mode);
		}
}
