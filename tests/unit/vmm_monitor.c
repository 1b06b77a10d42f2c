/* SPDX-License-Identifier: MIT */
/* Several machines of one monitor: they are given its memory, page by page, and nothing of one is left for the next. */
#include "tests/unit/vmm_machine.h"
#include <errno.h>

#include "vmm/cpu/helpers.h"
#include "vmm/cpu/run_loop.h"

static struct monitor *monitor(uint64_t bytes)
{
	struct monitor *mon;

	cr_assert_eq(monitor_new(&mon, &(struct monitor_config){.memory_bytes = bytes, .nodes = 1}), 0);
	return mon;
}

static struct vm *add(struct monitor *mon, enum tiers tiers)
{
	return machine_open_in(mon, &(struct vm_config){0}, tiers);
}

/* Writes n to the word at DATA_VA and ends. */
static void put_program(struct vm *vm, uint32_t n)
{
	PUT(vm, CODE_VA, A_LUI(T2, DATA_VA >> 16), A_ORI(T0, ZERO, n), A_SW(T0, 0, T2), A_RESET);
}

Test(vmm_monitor, a_list_of_machines)
{
	struct monitor *mon = monitor(3 * RAM_BYTES);
	struct vm *a = add(mon, TIERS_INTERP), *b = add(mon, TIERS_12), *c = add(mon, TIERS_12);

	cr_assert_eq(mon->n_machines, 3u);
	vm_free(b);
	cr_assert_eq(mon->n_machines, 2u);
	cr_assert(mon->machines == c && c->next == a && !a->next);
	vm_free(a);
	vm_free(c);
	cr_assert_eq(mon->n_machines, 0u);
	cr_assert_eq(machine_memory_pages_used(mon->memory, -1), 0u);
	monitor_free(mon);
	monitor_free(NULL);
}

/* The same addresses, other contents, in turn: each machine executes and reads its own. */
static void same_addresses(enum tiers tiers)
{
	struct monitor *mon = monitor(2 * RAM_BYTES);
	struct vm *vm[2] = {add(mon, tiers), add(mon, tiers)};

	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < 2; i++) {
			if (round == 0)
				put_program(vm[i], 100 + i);
			vm[i]->end = VM_RUNS;
			vm[i]->vcpu->gs.pc = CODE_VA;
			vcpu_update_mode(vm[i]->vcpu);
			cr_assert_eq(vm_run(vm[i]), VM_RESET);
			cr_assert_eq(machine_word(vm[i], DATA_VA), 100 + i);
		}
	vm_free(vm[0]);
	vm_free(vm[1]);
	monitor_free(mon);
}

Test(vmm_monitor, same_addresses_interp) { same_addresses(TIERS_INTERP); }
Test(vmm_monitor, same_addresses_tier1) { same_addresses(TIERS_1); }
Test(vmm_monitor, same_addresses_tiers12) { same_addresses(TIERS_12); }
static void helper_store(struct vm *vm, uint32_t va, uint32_t word)
{
	struct guest_state *gs = &vm->vcpu->gs;

	vcpu_update_mode(vm->vcpu);
	vmm_helpers[HELPER_MEM_STORE](gs, va, word, MEM_META(2, 0));
	cr_assert_eq(gs->leave, EXIT_SMC);
	gs->leave = EXIT_NONE;
	gs->pc = CODE_VA;
}

/*
 * Machine memory has room for one machine, and machines come and go: the next one finds zeroes where the last one had its
 * code, and its own code on the same machine pages.
 */
static void one_after_the_other(enum tiers tiers)
{
	struct monitor *mon = monitor(RAM_BYTES);

	for (uint32_t n = 1; n < 6; n++) {
		struct vm *vm = add(mon, tiers);
		uint32_t w;

		cr_assert_eq(pmap_read(vm->ram, gpa(CODE_VA & 0x1fffffff), &w, 4), 0);
		cr_assert_eq(w, 0u, "the last machine's code");
		put_program(vm, n);
		cr_assert_eq(vm_run(vm), VM_RESET);
		cr_assert_eq(machine_word(vm, DATA_VA), n);
		vm_free(vm);
	}
	monitor_free(mon);
}

Test(vmm_monitor, one_after_the_other_interp) { one_after_the_other(TIERS_INTERP); }
Test(vmm_monitor, one_after_the_other_tier1) { one_after_the_other(TIERS_1); }
Test(vmm_monitor, one_after_the_other_tier2) { one_after_the_other(TIERS_2); }

/* What one machine has had translated the next one runs; what one changes is its own. */
Test(vmm_monitor, translated_once)
{
	struct monitor *mon = monitor(2 * RAM_BYTES);
	struct vm *a = add(mon, TIERS_1), *b = add(mon, TIERS_1);

	put_program(a, 7);
	put_program(b, 7);
	cr_assert_eq(vm_run(a), VM_RESET);
	cr_assert_eq(vm_run(b), VM_RESET);
	cr_assert_eq(machine_word(b, DATA_VA), 7u);
	cr_assert_gt(jit_made(a->vcpu->jit).blocks, 0u);
	cr_assert_eq(jit_made(b->vcpu->jit).blocks, 0u);
	/* a's code changes under it, by a store of its own */
	a->end = VM_RUNS;
	a->vcpu->gs.pc = CODE_VA;
	helper_store(a, CODE_VA + 4, A_ORI(T0, ZERO, 8));
	cr_assert_eq(vm_run(a), VM_RESET);
	cr_assert_eq(machine_word(a, DATA_VA), 8u);
	b->end = VM_RUNS;
	b->vcpu->gs.pc = CODE_VA;
	cr_assert_eq(vm_run(b), VM_RESET);
	cr_assert_eq(machine_word(b, DATA_VA), 7u);
	vm_free(a);
	vm_free(b);
	monitor_free(mon);
}

/* A machine boots where another one has been: nothing is translated again. */
Test(vmm_monitor, translated_for_the_next_boot)
{
	struct monitor *mon = monitor(RAM_BYTES);

	for (unsigned i = 0; i < 3; i++) {
		struct vm *vm = add(mon, TIERS_1);

		put_program(vm, 7);
		cr_assert_eq(vm_run(vm), VM_RESET);
		cr_assert_eq(jit_made(vm->vcpu->jit).blocks > 0, i == 0);
		vm_free(vm);
	}
	monitor_free(mon);
}

/* A machine that finds no machine memory ends; the one that has it goes on. */
Test(vmm_monitor, exhausted_for_one)
{
	struct monitor *mon = monitor(RAM_BYTES);
	struct vm *rich = add(mon, TIERS_1), *poor = add(mon, TIERS_1);
	int err = 0;

	put_program(rich, 1);
	put_program(poor, 2);
	for (uint64_t at = 0; at < RAM_BYTES && !err; at += PAGE_BYTES)
		(void)pmap_get(rich->ram, gpa(at), 0, PMAP_WRITE, &err);
	cr_assert_eq(err, -ENOMEM);
	cr_assert_eq(vm_run(poor), VM_NO_MEMORY);
	cr_assert_eq(vm_run(rich), VM_RESET);
	vm_free(poor);
	vm_free(rich);
	monitor_free(mon);
}
