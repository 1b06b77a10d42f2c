/* SPDX-License-Identifier: MIT */
/* Monitor calls: docs/monitor-calls.md, by every executor. */
#include "vmm/cpu/monitor_call.h"

#include "numa/region.h"
#include "tests/unit/vmm_machine.h"
#include "vmm/monitor/monitor.h"
#include "vmm/cpu/run_loop.h"

#define A_HYPCALL      0x42000828u
#define A_LOAD(rt, n)  A_ORI(rt, ZERO, n)
#define A_ADDI1(rt, n) I_TYPE(9, rt, rt, (n)&0xffff)

enum { ROUNDS = 2000, ENOENT_ = 2, EFAULT_ = 14, EBUSY_ = 16, EINVAL_ = 22, ENOSYS_ = 89 };

static int32_t call(struct vm *vm, uint32_t number, uint32_t a0, uint32_t a1)
{
	vm->vcpu->gs.reg[V0] = number;
	vm->vcpu->gs.reg[A0] = a0;
	vm->vcpu->gs.reg[A1] = a1;
	cr_assert_eq(machine_do(vm, A_HYPCALL), EXIT_PC_SET);
	cr_assert_eq(vm->vcpu->gs.pc, CODE_VA + 4);
	monitor_call_finish(vm->vcpu);
	return (int32_t)vm->vcpu->gs.reg[V0];
}

Test(monitor_call, numbers_and_arguments)
{
	struct vm *vm = machine_open(&(struct vm_config){.icount = true}, TIERS_INTERP);
	uint32_t full = RAM_BYTES / PAGE_BYTES;

	cr_assert_eq(call(vm, MONITOR_CALL_VERSION, 1, 2), MONITOR_CALL_ABI);
	cr_assert_eq(call(vm, MONITOR_CALL_EXIT + 1, 0, 0), -ENOSYS_);
	cr_assert_eq(call(vm, UINT32_MAX, 0, 0), -ENOSYS_);
	for (uint32_t n = MONITOR_CALL_ZERO; n <= MONITOR_CALL_FREE; n++) {
		cr_assert_eq(call(vm, n, 0x100000, 0), 0);
		cr_assert_eq(call(vm, n, 0x100001, 1), -EINVAL_);
		cr_assert_eq(call(vm, n, 0x100800, 1), -EINVAL_);
		cr_assert_eq(call(vm, n, RAM_BYTES, 1), -EFAULT_);
		cr_assert_eq(call(vm, n, RAM_BYTES - PAGE_BYTES, 2), -EFAULT_);
		cr_assert_eq(call(vm, n, 0x18000000, 1), -EFAULT_, "devices are no memory");
		cr_assert_eq(call(vm, n, 0xfffff000, 1), -EFAULT_);
		cr_assert_eq(call(vm, n, 0, MONITOR_CALL_MAX_PAGES + 1), -EINVAL_);
		cr_assert_eq(call(vm, n, 0, UINT32_MAX), -EINVAL_);
		/* All of it: its own code goes too, and is put back by the next call(). */
		cr_assert_eq(call(vm, n, 0, full), 0);
	}
	cr_assert_eq(vm->vcpu->stats.pages_freed, full);
	vm_free_alone(vm);
}

/* What there is of it without other vCPUs; with them: tests/unit/vmm_vcpus.c. */
Test(monitor_call, one_vcpu)
{
	struct vm *vm = machine_open(&(struct vm_config){.icount = true}, TIERS_INTERP);

	cr_assert_eq(call(vm, MONITOR_CALL_VCPUS, 0, 0), 1);
	cr_assert_eq(call(vm, MONITOR_CALL_START, 0, DATA_VA & 0x1fffffff), -EBUSY_);
	cr_assert_eq(call(vm, MONITOR_CALL_START, 1, DATA_VA & 0x1fffffff), -EINVAL_);
	cr_assert_eq(call(vm, MONITOR_CALL_START, 0, 2), -EINVAL_);
	cr_assert_eq(call(vm, MONITOR_CALL_START, 0, RAM_BYTES - 8), -EFAULT_);
	cr_assert_eq(call(vm, MONITOR_CALL_START, 0, 0x1fffffc), -EFAULT_);
	cr_assert_eq(call(vm, MONITOR_CALL_START, 0, UINT32_MAX - 3), -EFAULT_);
	cr_assert_eq(call(vm, MONITOR_CALL_STOP, 0, 0), -EINVAL_);
	cr_assert_eq(call(vm, MONITOR_CALL_RING, 1, 0), -EINVAL_);
	cr_assert_eq(call(vm, MONITOR_CALL_RING, UINT32_MAX, 0), -EINVAL_);
	cr_assert_eq(call(vm, MONITOR_CALL_RING, 0, 0), 0);
	cr_assert(vm->vcpu->gs.cp0[CP0_Cause] & CA_IP1);
	vm_free_alone(vm);
}

Test(monitor_call, what_becomes_of_memory)
{
	struct vm *vm = machine_open(&(struct vm_config){.icount = true}, TIERS_INTERP);

	for (uint32_t n = MONITOR_CALL_ZERO; n <= MONITOR_CALL_FREE; n++) {
		PUT(vm, DATA_VA - 4, 1, 2);
		PUT(vm, DATA_VA + 0xffc, 3, 4);
		cr_assert_eq(call(vm, n, DATA_VA & 0x1fffffff, 1), 0);
		cr_assert_eq(machine_word(vm, DATA_VA - 4), 1);
		cr_assert_eq(machine_word(vm, DATA_VA), 0);
		cr_assert_eq(machine_word(vm, DATA_VA + 0xffc), 0);
		cr_assert_eq(machine_word(vm, DATA_VA + 0x1000), 4);
	}
	cr_assert_eq(call(vm, MONITOR_CALL_FREE, DATA_VA & 0x1fffffff, 1), 0);
	cr_assert_null(pmap_peek(vm->ram, gpa(DATA_VA & 0x1fffffff)), "it is given back");
	cr_assert_eq(call(vm, MONITOR_CALL_ZERO, DATA_VA & 0x1fffffff, 1), 0);
	cr_assert_null(pmap_peek(vm->ram, gpa(DATA_VA & 0x1fffffff)), "and zeroes without being touched");
	vm_free_alone(vm);
}

Test(monitor_call, regions)
{
	struct monitor *mon;
	struct region *r[2];
	struct vm *vm;
	uint8_t name[REGION_NAME_BYTES];

	cr_assert_eq(
	    monitor_new(&mon, &(struct monitor_config){.memory_bytes = 2 * RAM_BYTES, .nodes = 1, .share = true}), 0);
	cr_assert_eq(region_get(&r[0], mon->memory, "ring", 2 * PAGE_BYTES), 0);
	cr_assert_eq(region_get(&r[1], mon->memory, "a-name-that-is-as-long-as-it-ca", PAGE_BYTES), 0);
	vm = machine_open_in(mon, &(struct vm_config){.icount = true, .region = r, .n_regions = 2}, TIERS_INTERP);
	cr_assert_eq(call(vm, MONITOR_CALL_REGION, 0, 0x100ff8), 2, "across pages");
	cr_assert_eq(pmap_read(vm->ram, gpa(0x100ff8), name, sizeof(name)), 0);
	cr_assert_arr_eq(name, "ring\0\0\0\0", 8);
	cr_assert_eq(call(vm, MONITOR_CALL_REGION, 1, 0x100000), 1);
	cr_assert_eq(pmap_read(vm->ram, gpa(0x100000), name, sizeof(name)), 0);
	cr_assert_str_eq((char *)name, "a-name-that-is-as-long-as-it-ca");
	cr_assert_eq(call(vm, MONITOR_CALL_REGION, 2, 0x100000), -ENOENT_);
	cr_assert_eq(call(vm, MONITOR_CALL_REGION, UINT32_MAX, 0x100000), -ENOENT_);
	cr_assert_eq(call(vm, MONITOR_CALL_REGION, 0, RAM_BYTES - 8), -EFAULT_, "not all of it is memory");
	cr_assert_eq(call(vm, MONITOR_CALL_REGION, 0, 0xfffffff8), -EFAULT_);
	cr_assert_eq(call(vm, MONITOR_CALL_REGION_MAP, 0x100000, 2 << MONITOR_CALL_REGION_SHIFT), -ENOENT_);
	cr_assert_eq(call(vm, MONITOR_CALL_REGION_MAP, 0x100000, 2), -EINVAL_);
	cr_assert_eq(call(vm, MONITOR_CALL_REGION_MAP, 0x100004, 1), -EINVAL_);
	cr_assert_eq(call(vm, MONITOR_CALL_REGION_MAP, RAM_BYTES, 1), -EFAULT_);
	cr_assert_eq(call(vm, MONITOR_CALL_REGION_MAP, 0x18000000, 1), -EFAULT_);
	cr_assert_eq(call(vm, MONITOR_CALL_REGION_MAP, 0x101000, 1), 0);
	cr_assert_eq(call(vm, MONITOR_CALL_REGION_MAP, 0x105000, 1), 0);
	PUT(vm, 0x80101010, 77);
	cr_assert_eq(machine_word(vm, 0x80105010), 77);
	/* The page of the call itself: what follows runs from nowhere, and is put back by the next. */
	cr_assert_eq(call(vm, MONITOR_CALL_REGION_MAP, CODE_VA & 0x1ffff000, 0), 0);
	vm->vcpu->gs.pc = CODE_VA;
	machine_step(vm->vcpu);
	cr_assert_eq(vm->vcpu->gs.cp0[CP0_Cause] >> 2 & 31, EXC_IBE);
	vm->vcpu->gs.cp0[CP0_Status] &= ~(uint64_t)ST_EXL;
	cr_assert_eq(pmap_leave_region(vm->ram, gpa(CODE_VA & 0x1ffff000)), 0);
	cr_assert_eq(call(vm, MONITOR_CALL_REGION_LEAVE, 0x100000, 6), 0);
	cr_assert_eq(machine_word(vm, 0x80101010), 0);
	cr_assert_eq(call(vm, MONITOR_CALL_REGION_LEAVE, RAM_BYTES, 1), -EFAULT_);
	vm_free(vm);
	region_put(r[0]);
	region_put(r[1]);
	monitor_free(mon);
}

/* Only in kernel mode; and every other word of that kind is reserved. */
Test(monitor_call, is_privileged)
{
	struct vm *vm = machine_open(&(struct vm_config){.icount = true}, TIERS_INTERP);
	struct vcpu *v = vm->vcpu;

	for (uint32_t code = 0; code < 1024; code++) {
		if (code == 1)
			continue;
		v->gs.cp0[CP0_Status] = ST_CU0;
		cr_assert_eq(machine_do(vm, 0x42000028 | code << 11), EXIT_EXCEPTION, "%u", code);
		cr_assert_eq(v->gs.cp0[CP0_Cause] >> 2 & 31, EXC_RI, "%u", code);
		v->gs.cp0[CP0_Status] = 0;
	}
	machine_map(vm, 0, 0, LO(CODE_VA & 0x1fffe000, LO_V | LO_G), LO((CODE_VA & 0x1fffe000) + 0x1000, LO_V | LO_G));
	PUT(vm, CODE_VA, A_HYPCALL);
	machine_mode(vm, 2u << ST_KSU_SHIFT);
	v->gs.pc = 0x1000;
	cr_assert_eq(machine_step(v), EXIT_EXCEPTION);
	cr_assert_eq(v->gs.cp0[CP0_Cause] >> 2 & 31, EXC_CPU);
	vm_free_alone(vm);
}

/* Write, call, read, ROUNDS times; $3 collects what was not zero.  slot: the call is in a branch's delay slot. */
static void loops(enum tiers tiers, uint32_t number, bool slot)
{
	struct vm *vm = machine_open(&(struct vm_config){.count_insns = true}, tiers);
	const struct vcpu_stats *s = &vm->vcpu->stats;

	PUT(vm, CODE_VA, A_LOAD(S0, ROUNDS), A_LOAD(V1, 0), A_LUI(T0, DATA_VA >> 16), /* loop: */ A_SW(S0, 16, T0),
	    A_LOAD(V0, number), A_LUI(A0, (DATA_VA & 0x1fffffff) >> 16), A_LOAD(A1, 1),
	    slot ? A_BEQ(ZERO, ZERO, 1) : A_NOP, A_HYPCALL, A_LW(T1, 16, T0), A_ADDU(V1, V1, T1), A_ADDU(V1, V1, V0),
	    A_ADDI1(S0, -1), A_BNE(S0, ZERO, -11), A_NOP, A_RESET);
	cr_assert_eq(vm_run(vm), VM_RESET);
	cr_assert_eq(vm->vcpu->gs.reg[V1], 0);
	cr_assert_eq(s->monitor_calls, ROUNDS);
	cr_assert_eq(number == MONITOR_CALL_ZERO ? s->pages_zeroed : s->pages_freed, ROUNDS);
	vm_free_alone(vm);
}

/* A function in the page returns at once and adds 1 to $3; of zeroes, it goes through to the next page, and does not. */
static void code_goes(enum tiers tiers, uint32_t number)
{
	struct vm *vm = machine_open(&(struct vm_config){.count_insns = true}, tiers);

	PUT(vm, DATA_VA, R_TYPE(RA, 0, 0, 0, 8), A_ADDI1(V1, 1));
	PUT(vm, DATA_VA + PAGE_BYTES, R_TYPE(RA, 0, 0, 0, 8), A_NOP);
	PUT(vm, CODE_VA, A_LOAD(V1, 0), A_LOAD(S0, 100), A_LUI(T0, DATA_VA >> 16), /* loop: */
	    R_TYPE(T0, 0, RA, 0, 9), A_NOP, A_ADDI1(S0, -1), A_BNE(S0, ZERO, -4), A_NOP, A_LOAD(V0, number),
	    A_LUI(A0, (DATA_VA & 0x1fffffff) >> 16), A_LOAD(A1, 1), A_HYPCALL, R_TYPE(T0, 0, RA, 0, 9), A_NOP, A_RESET);
	cr_assert_eq(vm_run(vm), VM_RESET);
	cr_assert_eq(vm->vcpu->gs.reg[V1], 100, "tiers %d, call %u: %llu", (int)tiers, number,
		     (unsigned long long)vm->vcpu->gs.reg[V1]);
	vm_free_alone(vm);
}

Test(monitor_call, code_in_the_page_goes, .timeout = 120)
{
	for (enum tiers t = 0; t < NUM_TIERS; t++)
		for (uint32_t n = MONITOR_CALL_ZERO; n <= MONITOR_CALL_FREE; n++)
			code_goes(t, n);
}

Test(monitor_call, in_loops, .timeout = 120)
{
	for (enum tiers t = 0; t < NUM_TIERS; t++)
		for (uint32_t n = MONITOR_CALL_ZERO; n <= MONITOR_CALL_FREE; n++) {
			loops(t, n, false);
			loops(t, n, true);
		}
}
