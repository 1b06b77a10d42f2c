/* SPDX-License-Identifier: MIT */
/* Guest memory below the inlined probe: segments by mode, faults, aliases, LL/SC, stores to code, devices. */
#include "tests/exc_none.h"
#include "tests/unit/vmm_machine.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/cpu/mem.h"
#include "vmm/cpu/interp_cache.h"

#define WORD MEM_META(2, 0)

static struct vm *open_vm(bool icount) { return machine_open(&(struct vm_config){.icount = icount}, TIERS_INTERP); }

/* The exception that an access raised, or EXC_NONE. */
static unsigned code_of(struct vm *vm)
{
	struct guest_state *gs = &vm->vcpu->gs;
	unsigned code = gs->leave == EXIT_NONE ? EXC_NONE : (unsigned)(gs->cp0[CP0_Cause] & CA_EXC) >> CA_EXC_SHIFT;

	gs->leave = EXIT_NONE;
	return code;
}

static unsigned access_code(struct vm *vm, uint32_t status, uint32_t va, enum tlb_access acc)
{
	struct guest_state *gs = &vm->vcpu->gs;

	machine_mode(vm, status);
	gs->pc = CODE_VA;
	gs->leave = EXIT_NONE;
	gs->cp0[CP0_BadVAddr] = 0;
	if (acc == TLB_READ)
		mem_load(gs, va, WORD, 0);
	else if (acc == TLB_WRITE)
		mem_store(gs, va, 0, WORD);
	else
		mem_fetch(vm->vcpu, gva(va));
	return code_of(vm);
}

/* PRA volume III, table 4-1 and 4.3 to 4.8: what each mode may do where. */
Test(vmm_mem, segments_by_mode_and_access)
{
	enum { K, EXL, ERL, U, MODES };
	static const uint32_t status[MODES] = {0, ST_EXL | 0x10, ST_ERL | 0x10, 0x10};
	static const struct {
		uint32_t va;
		/* k: reads OK (unmapped), t: TLB refill, a: address error, i: bus error */
		const char *want; /* one letter per mode */
	} row[] = {
	    {0x00000000, "ttkt"}, {0x003ff000, "ttkt"},  {0x7ffffffc, "ttit"}, {0x80000000, "kkka"},
	    {0x803ffffc, "kkka"}, {0x9ffffffc, "ooo a"}, {0xa0000000, "kkka"}, {0xa03ffffc, "kkka"},
	    {0xc0000000, "ttta"}, {0xe0000000, "ttta"},  {0xfffffffc, "ttta"},
	};

	for (unsigned r = 0; r < ARRAY_LEN(row); r++)
		for (unsigned m = 0; m < MODES; m++)
			for (enum tlb_access acc = TLB_READ; acc <= TLB_EXEC; acc++) {
				struct vm *vm = open_vm(false);
				char w = row[r].va == 0x9ffffffc ? (m == U ? 'a' : 'o') : row[r].want[m];
				unsigned got = access_code(vm, status[m], row[r].va, acc), want = EXC_NONE;

				if (w == 't')
					want = acc == TLB_WRITE ? EXC_TLBS : EXC_TLBL;
				else if (w == 'a')
					want = acc == TLB_WRITE ? EXC_ADES : EXC_ADEL;
				else if (w == 'i')
					want = acc == TLB_EXEC ? EXC_IBE : EXC_DBE;
				else if (w == 'o') /* the GT-64120 answers, but has no code */
					want = acc == TLB_EXEC ? EXC_IBE : EXC_NONE;
				cr_assert_eq(got, want, "%08x, mode %u, access %u: %u, not %u", row[r].va, m, acc, got,
					     want);
				if (w == 't' || w == 'a')
					cr_assert_eq(vm->vcpu->gs.cp0[CP0_BadVAddr], row[r].va);
				vm_free_alone(vm);
			}
}

Test(vmm_mem, misaligned)
{
	struct vm *vm = open_vm(false);
	struct guest_state *gs = &vm->vcpu->gs;

	for (unsigned log2 = 1; log2 < 4; log2++)
		for (unsigned off = 1; off < 1u << log2; off++) {
			gs->pc = CODE_VA;
			mem_load(gs, DATA_VA + off, MEM_META(log2, 0), 0);
			cr_assert_eq(code_of(vm), EXC_ADEL);
			cr_assert_eq(gs->cp0[CP0_BadVAddr], DATA_VA + off);
			mem_store(gs, DATA_VA + off, 0, MEM_META(log2, 0));
			cr_assert_eq(code_of(vm), EXC_ADES);
			mem_load(gs, DATA_VA + off, MEM_META(log2, MEM_INTENT), 0);
			cr_assert_eq(code_of(vm), EXC_ADES);
		}
	for (unsigned off = 1; off < 4; off++) {
		cr_assert_null(mem_fetch(vm->vcpu, gva(CODE_VA + off)));
		cr_assert_eq(code_of(vm), EXC_ADEL);
	}
	vm_free_alone(vm);
}

Test(vmm_mem, tlb_rights)
{
	struct vm *vm = open_vm(false);
	uint64_t *cp0 = vm->vcpu->gs.cp0;

	machine_map(vm, 0, 0x00400000, LO(0x10000, LO_V), LO(0x20000, LO_V | LO_D));
	machine_map(vm, 1, 0x00600000, LO(0x10000, 0), LO(0x20000, LO_V | LO_D | ENTRYLO_RI));
	machine_map(vm, 2, 0x00800000, LO(0x10000, LO_V | ENTRYLO_XI), 0);
	for (unsigned iec = 0; iec < 2; iec++) {
		cp0[CP0_PageGrain] = iec ? PG_IEC : 0;
		cr_assert_eq(access_code(vm, 0x10, 0x00400000, TLB_READ), EXC_NONE);
		cr_assert_eq(access_code(vm, 0x10, 0x00400000, TLB_WRITE), EXC_MOD);
		cr_assert_eq(access_code(vm, 0x10, 0x00401000, TLB_WRITE), EXC_NONE);
		cr_assert_eq(access_code(vm, 0x10, 0x00600000, TLB_READ), EXC_TLBL);
		cr_assert_eq(access_code(vm, 0x10, 0x00600000, TLB_WRITE), EXC_TLBS);
		cr_assert_eq(access_code(vm, 0x10, 0x00601000, TLB_READ), iec ? EXC_TLBRI : EXC_TLBL);
		cr_assert_eq(access_code(vm, 0x10, 0x00601000, TLB_WRITE), EXC_NONE);
		cr_assert_eq(access_code(vm, 0x10, 0x00601000, TLB_READ), iec ? EXC_TLBRI : EXC_TLBL,
			     "a write before it gives no right to read");
		cr_assert_eq(access_code(vm, 0x10, 0x00800000, TLB_READ), EXC_NONE);
		cr_assert_eq(access_code(vm, 0x10, 0x00800000, TLB_EXEC), iec ? EXC_TLBXI : EXC_TLBL);
		cr_assert_eq(vm->vcpu->gs.pc, 0x80000180, "none of these is a refill");
	}
	cr_assert_eq(access_code(vm, 0x10, 0x00a00000, TLB_READ), EXC_TLBL);
	cr_assert_eq(vm->vcpu->gs.pc, 0x80000000, "a refill");
	vm_free_alone(vm);
}

/* What an access finds is remembered; the right to read a page is not part of the right to write it. */
Test(vmm_mem, writing_gives_no_right_to_read)
{
	for (unsigned intent = 0; intent < 2; intent++) {
		struct vm *vm = open_vm(false);
		struct guest_state *gs = &vm->vcpu->gs;

		machine_map(vm, 0, 0x00400000, LO(0x10000, LO_V | LO_D | ENTRYLO_RI), 0);
		gs->cp0[CP0_PageGrain] = PG_IEC;
		machine_mode(vm, 0x10);
		gs->pc = CODE_VA;
		if (intent) /* the load of SWL and SC */
			mem_load(gs, 0x00400000, MEM_META(2, MEM_INTENT), 0);
		else
			mem_store(gs, 0x00400000, 5, WORD);
		cr_assert_eq(code_of(vm), EXC_NONE);
		vm->vcpu->gs.cp0[CP0_Status] &= ~(uint64_t)ST_EXL;
		mem_load(gs, 0x00400000, WORD, 0);
		cr_assert_eq(code_of(vm), EXC_TLBRI, "intent %u", intent);
		vm_free_alone(vm);
	}
}

Test(vmm_mem, aliases_and_sizes)
{
	for (int be = 0; be < 2; be++) {
		struct vm *vm = machine_open(&(struct vm_config){.big_endian = be}, TIERS_INTERP);
		struct guest_state *gs = &vm->vcpu->gs;
		uint32_t f = be ? MEM_BE : 0;

		machine_map(vm, 0, 0x00400000, LO(DATA_VA & 0x1fffffff, LO_V | LO_D), 0);
		mem_store(gs, DATA_VA, 0x1122334455667788, MEM_META(3, f));
		cr_assert_eq(mem_load(gs, DATA_VA + 0x20000000, MEM_META(3, f), 0), 0x1122334455667788, "KSEG1");
		cr_assert_eq(mem_load(gs, 0x00400000, MEM_META(2, f), 0), be ? 0x11223344 : 0x55667788);
		cr_assert_eq(mem_load(gs, 0x00400000, MEM_META(0, f), 0), be ? 0x11 : 0x88);
		mem_store(gs, 0x00400002, 0x8001, MEM_META(1, f));
		cr_assert_eq(mem_load(gs, DATA_VA + 2, MEM_META(1, f | MEM_SIGN), 0), 0xffff8001);
		cr_assert_eq(mem_load(gs, DATA_VA + 2, MEM_META(1, f), 0), 0x8001);
		mem_store(gs, DATA_VA + 7, 0x80, MEM_META(0, f));
		cr_assert_eq(mem_load(gs, 0x00400007, MEM_META(0, f | MEM_SIGN), 0), 0xffffff80);
		cr_assert_eq(code_of(vm), EXC_NONE);
		vm_free_alone(vm);
	}
}

/* LWL and its like are lifted as whole words, but name their own address. */
Test(vmm_mem, badvaddr_of_unaligned_loads)
{
	struct vm *vm = open_vm(false);
	uint64_t *cp0 = vm->vcpu->gs.cp0;

	for (unsigned op = 0x22; op <= 0x2e; op += 4) /* LWL LWR SWL SWR */
		for (unsigned off = 0; off < 4; off++) {
			machine_mode(vm, 0);
			vm->vcpu->gs.reg[T1] = 0x00400100 + off;
			cr_assert_eq(machine_do(vm, I_TYPE(op, T1, T0, 8)), EXIT_EXCEPTION);
			cr_assert_eq(cp0[CP0_BadVAddr], 0x00400108 + off, "opcode %x: %llx", op,
				     (unsigned long long)cp0[CP0_BadVAddr]);
			cr_assert_eq((cp0[CP0_Cause] & CA_EXC) >> CA_EXC_SHIFT, op >= 0x2a ? EXC_TLBS : EXC_TLBL);
		}
	vm_free_alone(vm);
}

/* ---- LL and SC ---- */

static uint32_t do_ll(struct vm *vm, uint32_t va)
{
	vm->vcpu->gs.reg[T1] = va;
	machine_do(vm, A_LL(T0, 0, T1));
	return (uint32_t)vm->vcpu->gs.reg[T0];
}

static uint32_t do_sc(struct vm *vm, uint32_t va, uint32_t value)
{
	vm->vcpu->gs.reg[T1] = va;
	vm->vcpu->gs.reg[T0] = value;
	machine_do(vm, A_SC(T0, 0, T1));
	return (uint32_t)vm->vcpu->gs.reg[T0];
}

static uint32_t link_and_store(struct vm *vm, uint32_t ll, uint32_t sc, uint32_t value)
{
	do_ll(vm, ll);
	return do_sc(vm, sc, value);
}

Test(vmm_mem, ll_sc)
{
	struct vm *vm = open_vm(false);
	struct guest_state *gs = &vm->vcpu->gs;

	mem_store(gs, DATA_VA, 5, WORD);
	cr_assert_eq(do_sc(vm, DATA_VA, 6), 0, "no LL");
	cr_assert_eq(do_ll(vm, DATA_VA), 5);
	cr_assert_eq(machine_mfc0(vm, CP0_LLAddr), (DATA_VA & 0x1fffffff) >> 4);
	cr_assert_eq(do_sc(vm, DATA_VA, 6), 1);
	cr_assert_eq(do_sc(vm, DATA_VA, 7), 0, "once");
	cr_assert_eq(link_and_store(vm, DATA_VA, DATA_VA + 4, 9), 0, "another word");
	cr_assert_eq(machine_word(vm, DATA_VA + 4), 0);
	cr_assert_eq(mem_load(gs, DATA_VA, WORD, 0), 6);
	do_ll(vm, DATA_VA);
	gs->cp0[CP0_Status] |= ST_EXL;
	cp0_eret(gs, 0, 0, 0);
	cr_assert_eq(do_sc(vm, DATA_VA, 10), 0, "ERET");
	do_ll(vm, DATA_VA);
	mem_store(gs, DATA_VA, 11, WORD);
	cr_assert_eq(do_sc(vm, DATA_VA, 12), 0, "the word has changed");
	cr_assert_eq(mem_load(gs, DATA_VA, WORD, 0), 11);
	vm_free_alone(vm);
}

Test(vmm_mem, ll_sc_elsewhere)
{
	struct vm *vm = open_vm(false);
	struct guest_state *gs = &vm->vcpu->gs;

	machine_map(vm, 0, 0x00400000, LO(0x100000, LO_V), LO(0x100000, LO_V | LO_D));
	machine_mode(vm, ST_CU0);
	link_and_store(vm, 0x00400000, 0x00400000, 1);
	cr_assert_eq((gs->cp0[CP0_Cause] & CA_EXC) >> CA_EXC_SHIFT, EXC_MOD);
	machine_mode(vm, ST_CU0);
	do_ll(vm, 0x00a00000);
	cr_assert_eq((gs->cp0[CP0_Cause] & CA_EXC) >> CA_EXC_SHIFT, EXC_TLBL);
	machine_mode(vm, ST_CU0);
	do_sc(vm, 0x00a00000, 1);
	cr_assert_eq((gs->cp0[CP0_Cause] & CA_EXC) >> CA_EXC_SHIFT, EXC_TLBS, "also without a link");
	vm_free_alone(vm);
}

/* ---- stores to code ---- */

static const struct ir_block *lift_at(struct vm *vm, uint32_t va)
{
	vm->vcpu->gs.pc = va;
	vcpu_update_mode(vm->vcpu);
	return interp_cache_get(vm->vcpu->interp, vm->vcpu);
}

Test(vmm_mem, a_store_to_code_leaves)
{
	struct vm *vm = open_vm(true);
	struct guest_state *gs = &vm->vcpu->gs;
	int64_t left;

	PUT(vm, CODE_VA, A_ADDIU(T0, T0, 1), A_ADDIU(T0, T0, 2), A_JR(RA), A_NOP);
	cr_assert_eq(lift_at(vm, CODE_VA)->n_guest, 4);
	for (unsigned slot = 0; slot < 2; slot++) {
		lift_at(vm, CODE_VA);
		gs->pc = CODE_VA;
		gs->site = SITE(slot, slot ? 1 : 4);
		gs->leave = EXIT_NONE;
		left = gs->icount_left;
		mem_store(gs, CODE_VA + 8, A_JR(RA), WORD);
		cr_assert_eq(gs->leave, slot ? EXIT_NONE : EXIT_SMC, "a slot ends its block anyway");
		cr_assert_eq(gs->pc, slot ? CODE_VA : CODE_VA + 4);
		cr_assert_eq(gs->icount_left, slot ? left : left + 3, "the store itself was executed");
		cr_assert_not(vcpu_code_at(vm->vcpu, pmap_peek(vm->ram, gpa(0x1000)), 0, PAGE_BYTES));
	}
	/* beside the code, in the same page: seen, but nothing to leave for */
	lift_at(vm, CODE_VA);
	gs->leave = EXIT_NONE;
	gs->site = SITE(false, 4);
	mem_store(gs, CODE_VA + 16, 1, WORD);
	mem_store(gs, CODE_VA - 4, 1, WORD);
	cr_assert_eq(gs->leave, EXIT_NONE);
	cr_assert(vcpu_code_at(vm->vcpu, pmap_peek(vm->ram, gpa(0x1000)), 12, 1));
	cr_assert_not(vcpu_code_at(vm->vcpu, pmap_peek(vm->ram, gpa(0x1000)), 16, 4));
	vm_free_alone(vm);
}

Test(vmm_mem, sc_to_code_is_executed_alone)
{
	struct vm *vm = open_vm(true);
	struct guest_state *gs = &vm->vcpu->gs;

	PUT(vm, CODE_VA, A_SC(T0, 4, T1), A_ADDIU(T2, ZERO, 1), A_JR(RA), A_NOP);
	lift_at(vm, CODE_VA);
	gs->pc = CODE_VA;
	gs->site = SITE(false, 4);
	gs->leave = EXIT_NONE;
	mem_store(gs, CODE_VA + 4, A_ADDIU(T2, ZERO, 2), MEM_META(2, MEM_MORE));
	cr_assert(gs->leave == EXIT_SIDE && vm->vcpu->step && gs->pc == CODE_VA);
	cr_assert_eq(machine_word(vm, CODE_VA + 4), A_ADDIU(T2, ZERO, 1), "nothing has happened yet");
	gs->leave = EXIT_NONE;
	mem_store(gs, CODE_VA + 4, A_ADDIU(T2, ZERO, 2), MEM_META(2, MEM_MORE));
	cr_assert_eq(gs->leave, EXIT_NONE, "and goes on to write its register");
	cr_assert_eq(machine_word(vm, CODE_VA + 4), A_ADDIU(T2, ZERO, 2));
	vm_free_alone(vm);
}

/* ---- devices ---- */

Test(vmm_mem, devices_of_any_size)
{
	struct vm *vm = open_vm(false);
	struct guest_state *gs = &vm->vcpu->gs;

	/* REVISION (0x420) at 1fc00010, and what is beside it */
	cr_assert_eq(mem_load(gs, 0xbfc00010, WORD, 0), 0x420);
	cr_assert_eq(mem_load(gs, 0xbfc00010, MEM_META(3, 0), 0), 0xffffffff00000420);
	mem_store(gs, 0xbfc00010, UINT64_MAX, MEM_META(3, 0));
	cr_assert_eq(code_of(vm), EXC_NONE);
	machine_map(vm, 0, 0xc0000000, LO(0x30000000, LO_V | LO_D), LO(0xfffff000, LO_V | LO_D));
	for (unsigned page = 0; page < 2; page++)
		for (unsigned log2 = 0; log2 < 4; log2++) {
			mem_load(gs, 0xc0000ff8 + 0x1000 * page, MEM_META(log2, 0), 0);
			cr_assert_eq(code_of(vm), EXC_DBE);
			mem_store(gs, 0xc0000ff8 + 0x1000 * page, 0, MEM_META(log2, 0));
			cr_assert_eq(code_of(vm), EXC_DBE);
		}
	vm_free_alone(vm);
}

/* A doubleword is two words, the guest's first at the lower address: here SOFTRES and what follows it. */
Test(vmm_mem, doublewords_of_devices_by_byte_order)
{
	for (unsigned be = 0; be < 2; be++)
		for (unsigned high = 0; high < 2; high++) {
			struct vm *vm = machine_open(&(struct vm_config){.big_endian = be}, TIERS_INTERP);

			mem_store(&vm->vcpu->gs, 0xbf000500, high ? 0x4200000000 : 0x42, MEM_META(3, be ? MEM_BE : 0));
			cr_assert_eq(vm->end, high == be ? VM_RESET : VM_RUNS, "be %u, high %u", be, high);
			vm_free_alone(vm);
		}
}

/* --icount: the first try goes back to before the instruction, or to before the branch whose slot it is in. */
Test(vmm_mem, icount_steps_over_device_accesses)
{
	for (unsigned slot = 0; slot < 2; slot++)
		for (unsigned write = 0; write < 2; write++) {
			struct vm *vm = open_vm(true);
			struct guest_state *gs = &vm->vcpu->gs;
			int64_t left = gs->icount_left;

			gs->pc = CODE_VA + 4;
			gs->site = SITE(slot, slot ? 1 : 5);
			if (write)
				mem_store(gs, 0xbf000500, 0x42, WORD);
			else
				mem_load(gs, 0xbf000500, WORD, 0);
			cr_assert(gs->leave == EXIT_SIDE && vm->vcpu->step);
			cr_assert_eq(gs->pc, slot ? CODE_VA : CODE_VA + 4);
			cr_assert_eq(gs->icount_left, left + (slot ? 2 : 5));
			cr_assert_eq(vm->end, VM_RUNS);
			gs->leave = EXIT_NONE;
			if (write)
				mem_store(gs, 0xbf000500, 0x42, WORD);
			else
				mem_load(gs, 0xbf000500, WORD, 0);
			cr_assert_eq(gs->leave, EXIT_NONE);
			cr_assert_eq(vm->end, write ? VM_RESET : VM_RUNS);
			vm_free_alone(vm);
		}
}

/* CACHE translates its address for hit operations only, and needs no right to write. */
Test(vmm_mem, cache_operations)
{
	struct vm *vm = open_vm(false);
	struct guest_state *gs = &vm->vcpu->gs;

	machine_map(vm, 0, 0x00400000, LO(0x10000, LO_V), 0);
	for (unsigned op = 0; op < 32; op++) {
		bool hit = op >> 2 >= 4;

		gs->pc = CODE_VA;
		mem_cache(gs, 0x00400000, op, 0);
		cr_assert_eq(code_of(vm), EXC_NONE);
		mem_cache(gs, 0x00401000, op, 0);
		cr_assert_eq(code_of(vm), hit ? EXC_TLBL : EXC_NONE);
		mem_cache(gs, 0x00800001, op, 0);
		cr_assert_eq(code_of(vm), hit ? EXC_TLBL : EXC_NONE);
	}
	vm_free_alone(vm);
}
