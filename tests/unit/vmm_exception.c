/* SPDX-License-Identifier: MIT */
/* Where exceptions go and what they leave behind: MIPS32 PRA volume III, chapter 6, tables 6-4 to 6-7. */
#include "tests/unit/vmm_machine.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/cpu/exception.h"

static struct vm *open_vm(void) { return machine_open(&(struct vm_config){.icount = true}, TIERS_INTERP); }

static void start(struct vm *vm, uint32_t status, uint32_t pc, bool slot)
{
	vm->vcpu->gs.cp0[CP0_Status] = status;
	vm->vcpu->gs.cp0[CP0_Cause] &= CA_IV;
	vm->vcpu->gs.pc = pc;
	vm->vcpu->gs.site = SITE(slot, 0);
	vm->vcpu->gs.leave = EXIT_NONE;
}

Test(vmm_exception, vectors)
{
	static const struct {
		uint32_t status, ebase;
		bool refill;
		uint32_t want;
	} t[] = {
	    {0, 0x80000000, false, 0x80000180},     {0, 0x80000000, true, 0x80000000},
	    {ST_EXL, 0x80000000, true, 0x80000180}, {0, 0x80123000, false, 0x80123180},
	    {0, 0x80123000, true, 0x80123000},      {ST_BEV, 0x80123000, false, 0xbfc00380},
	    {ST_BEV, 0x80123000, true, 0xbfc00200}, {ST_BEV | ST_EXL, 0x80000000, true, 0xbfc00380},
	};

	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		struct vm *vm = open_vm();
		struct guest_state *gs = &vm->vcpu->gs;

		start(vm, t[i].status, 0x00401234, false);
		gs->cp0[CP0_EBase] = t[i].ebase;
		gs->cp0[CP0_EPC] = 0xdead0000;
		exception_raise_address(vm->vcpu, EXC_TLBL, gva(0x00123456), t[i].refill);
		cr_assert_eq(gs->pc, t[i].want, "%u: %llx", i, (unsigned long long)gs->pc);
		cr_assert_eq(gs->cp0[CP0_EPC], t[i].status & ST_EXL ? 0xdead0000 : 0x00401234);
		cr_assert_eq(gs->cp0[CP0_Status], t[i].status | ST_EXL);
		cr_assert_eq(gs->leave, EXIT_EXCEPTION);
		vm_free_alone(vm);
	}
}

Test(vmm_exception, delay_slots)
{
	struct vm *vm = open_vm();
	struct guest_state *gs = &vm->vcpu->gs;

	start(vm, 0, 0x80001004, true);
	exception_raise(vm->vcpu, EXC_OV);
	cr_assert_eq(gs->cp0[CP0_EPC], 0x80001000, "the branch");
	cr_assert_eq(gs->cp0[CP0_Cause], CA_BD | EXC_OV << CA_EXC_SHIFT);
	gs->pc = 0x80000184; /* a second one in the handler */
	gs->site = 0;
	exception_raise(vm->vcpu, EXC_BP);
	cr_assert_eq(gs->cp0[CP0_EPC], 0x80001000);
	cr_assert_eq(gs->cp0[CP0_Cause], CA_BD | EXC_BP << CA_EXC_SHIFT, "BD belongs to EPC");
	start(vm, 0, 0x80002000, false);
	exception_raise(vm->vcpu, EXC_CPU | 1 << 8);
	cr_assert_eq(gs->cp0[CP0_Cause], EXC_CPU << CA_EXC_SHIFT | 1u << CA_CE_SHIFT, "CE; BD is gone");
	start(vm, 0, 0, true); /* a slot at 0, after a branch in the last word */
	exception_raise(vm->vcpu, EXC_BP);
	cr_assert_eq(gs->cp0[CP0_EPC], 0xfffffffc);
	vm_free_alone(vm);
}

Test(vmm_exception, address_registers)
{
	struct vm *vm = open_vm();
	struct guest_state *gs = &vm->vcpu->gs;

	gs->cp0[CP0_Context] = 0xab800000;
	gs->cp0[CP0_EntryHi] = 0x12345077;
	start(vm, 0, 0x80001000, false);
	exception_raise_address(vm->vcpu, EXC_TLBS, gva(0xfedcb987), false);
	cr_assert_eq(gs->cp0[CP0_BadVAddr], 0xfedcb987);
	cr_assert_eq(gs->cp0[CP0_Context], 0xab800000 | 0xfedcb987 >> 13 << 4);
	cr_assert_eq(gs->cp0[CP0_EntryHi], 0xfedca077);
	start(vm, 0, 0x80001000, false);
	exception_raise_address(vm->vcpu, EXC_ADEL, gva(0x80000001), false);
	cr_assert_eq(gs->cp0[CP0_BadVAddr], 0x80000001);
	cr_assert_eq(gs->cp0[CP0_EntryHi], 0xfedca077, "an address error leaves it");
	start(vm, 0, 0x80001000, false);
	exception_raise(vm->vcpu, EXC_DBE);
	cr_assert_eq(gs->cp0[CP0_BadVAddr], 0x80000001, "a bus error has no BadVAddr");
	vm_free_alone(vm);
}

/* Which interrupts are taken: IE, not EXL, not ERL, and IM. */
Test(vmm_exception, interrupt_enables)
{
	struct vm *vm = open_vm();
	struct vcpu *v = vm->vcpu;

	for (unsigned pin = 0; pin < 8; pin++)
		for (unsigned bits = 0; bits < 8; bits++)
			for (unsigned im = 0; im < 2; im++) {
				uint32_t status = bits | (im ? 0x100u << pin : 0xff00 & ~(0x100u << pin));

				start(vm, status, 0x80001000, false);
				v->gs.cp0[CP0_Cause] = 0x100u << pin;
				cr_assert_eq(exception_check_interrupts(v), bits == ST_IE && im, "status %x", status);
			}
	vm_free_alone(vm);
}

Test(vmm_exception, interrupt_vectors)
{
	for (unsigned model = 0; model < cpu_num_models; model++) {
		struct vm *vm =
		    machine_open(&(struct vm_config){.icount = true, .cpu = &cpu_models[model]}, TIERS_INTERP);
		struct vcpu *v = vm->vcpu;
		bool vint = cpu_models[model].config3 & C3_VINT;

		for (unsigned ip = 0; ip < 8; ip++)
			for (unsigned k = 0; k < 8; k++) {
				bool iv = k & 1, vs = k & 2, bev = k & 4;
				uint32_t base = bev ? 0xbfc00200 : 0x80000000, want = base + 0x180;

				start(vm, ST_IE | 0xff00 | (bev ? ST_BEV : 0), 0x80001000, true);
				v->gs.cp0[CP0_Cause] = (0x100u << ip) | 0x100 | (iv ? CA_IV : 0);
				v->gs.cp0[CP0_IntCtl] = 0;
				machine_mtc0(vm, CP0_IntCtl, vs ? 2u << 5 : 0);
				start(vm, ST_IE | 0xff00 | (bev ? ST_BEV : 0), 0x80001000, false);
				v->gs.cp0[CP0_Cause] = (0x100u << ip) | 0x100 | (iv ? CA_IV : 0);
				if (iv)
					want = base + 0x200 + (vs && !bev && vint ? 64 * ip : 0);
				cr_assert(exception_check_interrupts(v));
				cr_assert_eq(v->gs.pc, want, "%s, IP%u, %u: %llx", v->model->name, ip, k,
					     (unsigned long long)v->gs.pc);
				cr_assert_eq(v->gs.cp0[CP0_EPC], 0x80001000);
				cr_assert_eq(v->gs.cp0[CP0_Cause] & (CA_EXC | CA_BD), 0);
				cr_assert_eq(v->gs.leave, EXIT_NONE);
			}
		vm_free_alone(vm);
	}
}

/* The highest one that is enabled picks the vector. */
Test(vmm_exception, masked_interrupts_pick_no_vector)
{
	struct vm *vm = open_vm();
	struct vcpu *v = vm->vcpu;

	start(vm, ST_IE | 0x0400, 0x80001000, false);
	v->gs.cp0[CP0_Cause] = 0xff00 | CA_IV;
	v->gs.cp0[CP0_IntCtl] |= 1u << 5;
	cr_assert(exception_check_interrupts(v));
	cr_assert_eq(v->gs.pc, 0x80000200 + 2 * 32);
	vm_free_alone(vm);
}

Test(vmm_exception, eret)
{
	struct vm *vm = open_vm();
	struct guest_state *gs = &vm->vcpu->gs;

	gs->cp0[CP0_EPC] = 0x00400010;
	gs->cp0[CP0_ErrorEPC] = 0x00500010;
	machine_mode(vm, ST_EXL | 0x10);
	gs->llbit = 1;
	cr_assert_eq(machine_do(vm, A_ERET), EXIT_PC_SET);
	cr_assert_eq(gs->pc, 0x00400010);
	cr_assert_eq(gs->cp0[CP0_Status], 0x10);
	cr_assert_eq(gs->mode & MODE_KSU, MODE_USER);
	cr_assert_eq(gs->llbit, 0);
	machine_mode(vm, ST_EXL | ST_ERL | 0x10);
	machine_do(vm, A_ERET);
	cr_assert_eq(gs->pc, 0x00500010, "ERL first");
	cr_assert_eq(gs->cp0[CP0_Status], ST_EXL | 0x10);
	cr_assert_eq(gs->mode & MODE_KSU, MODE_KERNEL);
	vm_free_alone(vm);
}

/* What was counted at the head of a block and is not executed is given back. */
Test(vmm_exception, instructions_are_given_back)
{
	struct vm *vm = open_vm();
	struct guest_state *gs = &vm->vcpu->gs;
	int64_t left = gs->icount_left;

	start(vm, 0, 0x80001004, false);
	gs->site = SITE(true, 17);
	exception_raise(vm->vcpu, EXC_OV);
	cr_assert_eq(gs->icount_left, left + 17);
	cr_assert_eq(vm->vcpu->insns_refunded, 17);
	cr_assert(gs->cp0[CP0_Cause] & CA_BD);
	vm_free_alone(vm);
}
