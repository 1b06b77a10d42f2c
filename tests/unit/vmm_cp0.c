/* SPDX-License-Identifier: MIT */
/* Coprocessor 0 through the lifter, as a guest meets it: MIPS32 PRA volume III, chapter 9. */
#include <string.h>

#include "tests/unit/vmm_machine.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/cpu/exception.h"
#include "vmm/cpu/cp0.h"

static struct vm *open_model(const char *name)
{
	return machine_open(&(struct vm_config){.icount = true, .cpu = cpu_model_find(name)}, TIERS_INTERP);
}

/* What a guest can write: from the manual, not from the table. */
static uint32_t writable(const struct cpu_model *m, unsigned index)
{
	bool rxi = m->config3 & C3_RXI, ulri = m->config3 & C3_ULRI;

	switch (index) {
	case CP0_Index:
	case CP0_Wired:
		return 0x3f;
	case CP0_EntryLo0:
	case CP0_EntryLo1:
		return 0x03ffffff; /* 32-bit physical addresses; RI and XI need PageGrain */
	case CP0_Context:
		return 0xff800000;
	case CP0_UserLocal:
		return ulri ? 0xffffffff : 0;
	case CP0_PageMask:
		return 0x1fffe000;
	case CP0_PageGrain:
		return rxi ? 0xc8000000 : 0;
	case CP0_HWREna:
		return ulri ? 0x2000000f : 0xf;
	case CP0_EntryHi:
		return 0xffffe0ff;
	case CP0_Status:
		return 0x3678ff17;
	case CP0_IntCtl:
		return m->config3 & C3_VINT ? 0x3e0 : 0;
	case CP0_Cause:
		return 0x08800300; /* no watch registers, so no WP */
	case CP0_EBase:
		return 0x3ffff000;
	case CP0_Config:
		return 7;
	case CP0_Count:
	case CP0_Compare:
	case CP0_EPC:
	case CP0_ErrorEPC:
	case CP0_ErrCtl:
	case CP0_TagLo:
	case CP0_DataLo:
	case CP0_TagHi:
	case CP0_DataHi:
		return 0xffffffff;
	default:
		return 0;
	}
}

static uint32_t constant(const struct cpu_model *m, unsigned index)
{
	switch (index) {
	case CP0_PRId:
		return m->prid;
	case CP0_Config:
		return m->config & ~7u;
	case CP0_Config1:
		return m->config1;
	case CP0_Config2:
		return m->config2;
	case CP0_Config3:
		return m->config3;
	case CP0_EBase:
		return 0x80000000;
	case CP0_IntCtl:
		return 0xe0000000;
	default:
		return 0;
	}
}

Test(vmm_cp0, write_masks_of_every_register)
{
	static const uint32_t pattern[] = {0xffffffff, 0, 0xaaaaaaaa, 0x55555555};

	for (unsigned model = 0; model < cpu_num_models; model++) {
		const struct cpu_model *m = &cpu_models[model];
		struct vm *vm = open_model(m->name);

		for (unsigned i = 0; i < cp0_num_regs; i++) {
			unsigned index = CP0_INDEX(cp0_regs[i].reg, cp0_regs[i].sel);

			vcpu_reset(vm->vcpu);
			machine_mode(vm, ST_CU0);
			for (unsigned p = 0; p < ARRAY_LEN(pattern) && index != CP0_Random; p++) {
				uint32_t mask = writable(m, index), got;

				machine_mtc0(vm, index, pattern[p]);
				got = machine_mfc0(vm, index);
				if (index == CP0_Cause)
					got &= ~(CA_EXC | CA_CE);
				cr_assert_eq(got, (pattern[p] & mask) | constant(m, index), "%s, %s: %08x <- %08x",
					     m->name, cp0_regs[i].name, got, pattern[p]);
			}
		}
		vm_free_alone(vm);
	}
}

Test(vmm_cp0, registers_that_are_not_there)
{
	struct vm *vm = open_model("max");

	for (unsigned reg = 0; reg < 32; reg++)
		for (unsigned sel = 0; sel < 8; sel++) {
			if (cp0_reg(reg, sel))
				continue;
			vm->vcpu->gs.reg[T3] = 0xffffffff;
			cr_assert_eq(machine_do(vm, A_MTC0SEL(T3, reg, sel)), EXIT_LINK);
			cr_assert_eq(machine_do(vm, A_MFC0SEL(T3, reg, sel)), EXIT_LINK);
			cr_assert_eq(vm->vcpu->gs.reg[T3], 0, "$%u, %u", reg, sel);
		}
	vm_free_alone(vm);
}

Test(vmm_cp0, reset)
{
	for (unsigned model = 0; model < cpu_num_models; model++)
		for (int be = 0; be < 2; be++) {
			struct vm *vm = machine_open(
			    &(struct vm_config){.icount = true, .cpu = &cpu_models[model], .big_endian = be},
			    TIERS_INTERP);
			struct vcpu *v = vm->vcpu;

			vcpu_reset(v);
			cr_assert_eq(v->gs.pc, 0xbfc00000);
			cr_assert_eq(v->gs.cp0[CP0_Status], ST_BEV | ST_ERL);
			cr_assert_eq(v->gs.cp0[CP0_Wired], 0);
			cr_assert_eq(!!(v->gs.cp0[CP0_Config] & C0_BE), be);
			cr_assert_eq((v->gs.cp0[CP0_Config1] >> 25 & 63) + 1, v->tlb.n, "Config1.MMUSize");
			cr_assert_eq(cp0_read(&v->gs, CP0_Random, 0, 0), v->tlb.n - 1);
			cr_assert_eq(v->gs.mode & MODE_KSU, MODE_KERNEL);
			vm_free_alone(vm);
		}
}

Test(vmm_cp0, ri_and_xi_need_pagegrain)
{
	struct vm *vm = open_model("max");

	machine_mtc0(vm, CP0_EntryLo0, 0xffffffff);
	cr_assert_eq(machine_mfc0(vm, CP0_EntryLo0), 0x03ffffff);
	machine_mtc0(vm, CP0_PageGrain, PG_RIE);
	machine_mtc0(vm, CP0_EntryLo0, 0xffffffff);
	cr_assert_eq(machine_mfc0(vm, CP0_EntryLo0), 0x83ffffff);
	machine_mtc0(vm, CP0_PageGrain, PG_XIE);
	machine_mtc0(vm, CP0_EntryLo0, 0xffffffff);
	cr_assert_eq(machine_mfc0(vm, CP0_EntryLo0), 0x43ffffff);
	vm_free_alone(vm);
}

/* Volume III, "Random register": Wired <= Random, its upper bound after a write of Wired, and all of it is used. */
Test(vmm_cp0, random_and_wired)
{
	for (unsigned model = 0; model < cpu_num_models; model++) {
		struct vm *vm = open_model(cpu_models[model].name);
		uint32_t n = cpu_models[model].tlb_entries, wired = n - 5, seen = 0;

		machine_mtc0(vm, CP0_Wired, wired);
		cr_assert_eq(machine_mfc0(vm, CP0_Random), n - 1);
		for (unsigned i = 0; i < 300; i++) {
			uint32_t r = machine_mfc0(vm, CP0_Random);

			cr_assert(r >= wired && r < n);
			seen |= 1u << (r - wired);
		}
		cr_assert_eq(seen, 31);
		/* TLBWR writes where Random says, and never below Wired */
		machine_mtc0(vm, CP0_Wired, wired);
		machine_mtc0(vm, CP0_EntryHi, 0x00400001);
		machine_do(vm, A_TLBWR);
		cr_assert_eq(vm->vcpu->tlb.e[n - 1].vpn2, 0x00400000);
		for (unsigned i = 0; i < 300; i++)
			machine_do(vm, A_TLBWR);
		for (unsigned i = 0; i < wired; i++)
			cr_assert(vm->vcpu->tlb.e[i].hw_invalid);
		/* more wired than there is: UNPREDICTABLE; the last entry here */
		machine_mtc0(vm, CP0_Wired, 63);
		for (unsigned i = 0; i < 10; i++)
			cr_assert_eq(machine_mfc0(vm, CP0_Random), n - 1);
		machine_do(vm, A_TLBWR);
		vm_free_alone(vm);
	}
}

Test(vmm_cp0, tlbwi_tlbr_tlbp)
{
	struct vm *vm = open_model("24Kf");
	struct vcpu *v = vm->vcpu;

	machine_mtc0(vm, CP0_Index, 7);
	machine_mtc0(vm, CP0_EntryHi, 0x00405042);
	machine_mtc0(vm, CP0_PageMask, 0x00006000); /* 16 KiB */
	machine_mtc0(vm, CP0_EntryLo0, LO(0x10000, LO_V | LO_G));
	machine_mtc0(vm, CP0_EntryLo1, LO(0x20000, LO_D)); /* G in one half only: not global */
	machine_do(vm, A_TLBWI);
	machine_mtc0(vm, CP0_PageMask, 0);
	machine_mtc0(vm, CP0_EntryHi, 0);
	machine_do(vm, A_TLBR);
	cr_assert_eq(machine_mfc0(vm, CP0_EntryHi), 0x00400042, "the bits under the mask are clear");
	cr_assert_eq(machine_mfc0(vm, CP0_PageMask), 0x00006000);
	cr_assert_eq(machine_mfc0(vm, CP0_EntryLo0), LO(0x10000, LO_V));
	cr_assert_eq(machine_mfc0(vm, CP0_EntryLo1), LO(0x20000, LO_D));
	machine_mtc0(vm, CP0_EntryHi, 0x00406042);
	machine_do(vm, A_TLBP);
	cr_assert_eq(machine_mfc0(vm, CP0_Index), 7);
	machine_mtc0(vm, CP0_EntryHi, 0x00406043);
	machine_do(vm, A_TLBP);
	cr_assert_eq(machine_mfc0(vm, CP0_Index) >> 31, 1, "another address space");
	machine_mtc0(vm, CP0_EntryHi, 0x00408042);
	machine_do(vm, A_TLBP);
	cr_assert_eq(machine_mfc0(vm, CP0_Index) >> 31, 1, "behind the pair");
	/* beyond the TLB's 16 entries: UNDEFINED; nothing happens */
	for (unsigned i = 16; i < 64; i++) {
		machine_mtc0(vm, CP0_Index, i);
		machine_mtc0(vm, CP0_EntryHi, 0x00600000);
		machine_do(vm, A_TLBWI);
		machine_do(vm, A_TLBR);
		cr_assert_eq(machine_mfc0(vm, CP0_EntryHi), 0x00600000);
	}
	for (unsigned i = 0; i < GUEST_TLB_MAX; i++)
		cr_assert(i == 7 || v->tlb.e[i].hw_invalid, "%u", i);
	/* a mask that is not in the table */
	machine_mtc0(vm, CP0_Index, 3);
	machine_mtc0(vm, CP0_PageMask, 0x0000a000);
	machine_mtc0(vm, CP0_EntryHi, 0x00800000);
	machine_do(vm, A_TLBWI);
	machine_do(vm, A_TLBR);
	cr_assert_eq(machine_mfc0(vm, CP0_PageMask), guest_tlb_mask_legal(0xa000));
	vm_free_alone(vm);
}

/* ---- Count and Compare.  Count goes by one for every two cycles of 5 ns: an instruction is half a tick of 10 ns. ---- */

static void spend(struct vm *vm, int64_t insns) { vm->vcpu->gs.icount_left -= insns; }

/* An entry that TLBWR evicted goes on answering (tlb/README.md), until TLBP has told the guest that it is gone. */
Test(vmm_cp0, a_tlbp_that_misses_ends_what_was_evicted)
{
	struct vm *vm = open_model("34Kf");
	struct guest_state *gs = &vm->vcpu->gs;

	machine_mtc0(vm, CP0_Wired, vm->vcpu->tlb.n - 1); /* TLBWR writes the last entry */
	for (unsigned i = 0; i < 2; i++) {
		machine_mtc0(vm, CP0_EntryHi, 0x00400000 + 0x2000 * i);
		machine_mtc0(vm, CP0_EntryLo0, LO(0x10000, LO_V));
		machine_mtc0(vm, CP0_EntryLo1, 0);
		machine_do(vm, A_TLBWR);
	}
	gs->leave = EXIT_NONE;
	mem_load(gs, 0x00400000, MEM_META(2, 0), 0);
	cr_assert_eq(gs->leave, EXIT_NONE);
	machine_mtc0(vm, CP0_EntryHi, 0x00400000);
	machine_do(vm, A_TLBP);
	cr_assert(gs->cp0[CP0_Index] & 0x80000000u);
	gs->leave = EXIT_NONE;
	mem_load(gs, 0x00400000, MEM_META(2, 0), 0);
	cr_assert_eq(gs->leave, EXIT_EXCEPTION);
	cr_assert_eq(gs->pc, 0x80000000, "a refill");
	vm_free_alone(vm);
}

Test(vmm_cp0, count_runs_stops_and_is_set)
{
	struct vm *vm = open_model("max");
	uint32_t before = machine_mfc0(vm, CP0_Count);

	spend(vm, 2000);
	cr_assert_eq(machine_mfc0(vm, CP0_Count) - before, 1000);
	machine_mtc0(vm, CP0_Count, 0xfffffff0);
	spend(vm, 64);
	cr_assert_eq(machine_mfc0(vm, CP0_Count), 16, "it wraps");
	machine_mtc0(vm, CP0_Cause, CA_DC);
	spend(vm, 5000);
	cr_assert_eq(machine_mfc0(vm, CP0_Count), 16);
	machine_mtc0(vm, CP0_Count, 500);
	cr_assert_eq(machine_mfc0(vm, CP0_Count), 500);
	machine_mtc0(vm, CP0_Cause, 0);
	spend(vm, 20);
	cr_assert_eq(machine_mfc0(vm, CP0_Count), 510, "it goes on from where it was");
	vm_free_alone(vm);
}

Test(vmm_cp0, compare_interrupts_when_count_is_there)
{
	struct vm *vm = open_model("max");
	uint64_t *cp0 = vm->vcpu->gs.cp0;

	clock_begin_slice(vm->clock);
	machine_mtc0(vm, CP0_Count, 0);
	machine_mtc0(vm, CP0_Compare, 100);
	spend(vm, 199);
	cr_assert_not(machine_mfc0(vm, CP0_Cause) & CA_TI);
	cr_assert_eq(machine_mfc0(vm, CP0_Count), 99);
	spend(vm, 1);
	cr_assert_eq(machine_mfc0(vm, CP0_Cause) & (CA_TI | 0x8000), CA_TI | 0x8000,
		     "TI and IP7, seen by the read itself");
	cr_assert_eq(machine_mfc0(vm, CP0_Count), 100);
	machine_mtc0(vm, CP0_Count, 0);
	cr_assert(machine_mfc0(vm, CP0_Cause) & CA_TI, "only a write of Compare takes it back");
	machine_mtc0(vm, CP0_Compare, 1000);
	cr_assert_not(machine_mfc0(vm, CP0_Cause) & (CA_TI | 0x8000));
	machine_mtc0(vm, CP0_Cause, CA_DC);
	spend(vm, 100000);
	cr_assert_not(machine_mfc0(vm, CP0_Cause) & CA_TI, "Count stands");
	cr_assert_eq(cp0[CP0_Status] & ST_EXL, 0);
	vm_free_alone(vm);
}

/* By the host's clock: never before Count is there. */
Test(vmm_cp0, compare_is_never_early)
{
	struct vm *vm = machine_open(&(struct vm_config){0}, TIERS_INTERP);

	for (unsigned i = 0; i < 50; i++) {
		uint32_t want = cp0_count(vm->vcpu) + 200000; /* 2 ms, so that a slow host does not miss it */

		cp0_write(&vm->vcpu->gs, CP0_Compare, want, 0);
		while (!(cp0_read(&vm->vcpu->gs, CP0_Cause, 0, 0) & CA_TI))
			;
		cr_assert_geq((int32_t)(cp0_count(vm->vcpu) - want), 0);
	}
	vm_free_alone(vm);
}

/* ---- RDHWR, DI, EI ---- */

Test(vmm_cp0, rdhwr)
{
	struct vm *vm = open_model("max");
	uint64_t *cp0 = vm->vcpu->gs.cp0;

	cr_assert_eq(machine_do(vm, A_RDHWR(T3, 1)), EXIT_LINK);
	cr_assert_eq(vm->vcpu->gs.reg[T3], 16);
	cp0[CP0_UserLocal] = 0x12345678;
	machine_do(vm, A_RDHWR(T3, 29));
	cr_assert_eq(vm->vcpu->gs.reg[T3], 0x12345678);
	for (unsigned n = 0; n < 32; n++) {
		bool there = n < 4 || n == 29;

		machine_mode(vm, 0);
		cr_assert_eq(machine_do(vm, A_RDHWR(T3, n)), there ? EXIT_LINK : EXIT_EXCEPTION, "%u", n);
	}
	vm_free_alone(vm);
	vm = open_model("24Kf");
	cr_assert_eq(machine_do(vm, A_RDHWR(T3, 29)), EXIT_EXCEPTION, "no UserLocal: the kernel emulates it");
	cr_assert_eq(vm->vcpu->gs.cp0[CP0_Cause] & CA_EXC, EXC_RI << CA_EXC_SHIFT);
	vm_free_alone(vm);
}

Test(vmm_cp0, rdhwr_in_user_mode_asks_hwrena)
{
	struct vm *vm = open_model("max");
	uint64_t *cp0 = vm->vcpu->gs.cp0;

	machine_map(vm, 0, 0x00400000, LO(0x1000, LO_V), LO(0x2000, LO_V));
	PUT(vm, 0x80001000, A_RDHWR(T3, 29));
	for (unsigned allowed = 0; allowed < 2; allowed++) {
		cp0[CP0_HWREna] = allowed ? 1u << 29 : 0xf;
		machine_mode(vm, 0x10);
		vm->vcpu->gs.pc = 0x00400000;
		cr_assert_eq(machine_step(vm->vcpu), allowed ? EXIT_LINK : EXIT_EXCEPTION);
	}
	cp0[CP0_HWREna] = 0;
	machine_mode(vm, 0x10 | ST_CU0);
	vm->vcpu->gs.pc = 0x00400000;
	cr_assert_eq(machine_step(vm->vcpu), EXIT_LINK, "CU0");
	vm_free_alone(vm);
}

Test(vmm_cp0, di_and_ei_give_the_old_status)
{
	struct vm *vm = open_model("max");
	uint64_t *cp0 = vm->vcpu->gs.cp0;

	machine_mode(vm, ST_CU0 | ST_IE);
	machine_do(vm, 0x41606000 | T3 << 16); /* di t3 */
	cr_assert_eq(vm->vcpu->gs.reg[T3], ST_CU0 | ST_IE);
	cr_assert_eq(cp0[CP0_Status], ST_CU0);
	machine_do(vm, 0x41606020 | T3 << 16); /* ei t3 */
	cr_assert_eq(vm->vcpu->gs.reg[T3], ST_CU0);
	cr_assert_eq(cp0[CP0_Status], ST_CU0 | ST_IE);
	vm_free_alone(vm);
}

/* Any value into any register, then whatever instruction: nothing of it may harm the monitor. */
Test(vmm_cp0, hostile_values, .timeout = 60)
{
	static const uint32_t insns[] = {A_TLBWI,         A_TLBWR,         A_TLBR,     A_TLBP,          A_ERET,
					 A_WAIT,          0xbc000000,      0xbc1f0000, A_LW(T0, 0, T1), A_SW(T0, 0, T1),
					 A_LL(T0, 0, T1), A_SC(T0, 0, T1), A_JR(T1)};
	struct vm *vm = open_model("max");
	uint32_t x = 1;

	for (unsigned i = 0; i < 30000; i++) {
		unsigned row, k;

		x = x * 1664525 + 1013904223;
		row = (x >> 8) % cp0_num_regs;
		k = (x >> 20) % ARRAY_LEN(insns);
		vm->vcpu->gs.reg[T3] = i & 1 ? x * 2654435761u : UINT32_MAX << (x >> 27);
		vm->vcpu->gs.reg[T1] = x ^ (i & 2 ? 0x80000000 : 0);
		machine_do(vm, A_MTC0SEL(T3, cp0_regs[row].reg, cp0_regs[row].sel));
		vm->vcpu->gs.cp0[CP0_Status] &= i & 4 ? ~0ull : ~(uint64_t)(ST_EXL | ST_ERL | 0x10);
		machine_do(vm, insns[k]);
		exception_check_interrupts(vm->vcpu);
		cr_assert_eq(vm->vcpu->gs.pc >> 32, 0);
	}
	vm_free_alone(vm);
}
