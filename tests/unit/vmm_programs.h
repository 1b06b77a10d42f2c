/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_VMM_PROGRAMS_H
#define TESTS_UNIT_VMM_PROGRAMS_H

/* Programs that show whether time is the same on all tiers: what they leave in memory and registers depends on when what happened. */
#include "tests/unit/vmm_machine.h"

static const char *const tier_names[NUM_TIERS] = {"interp", "1", "2", "12"};

typedef void put_fn(struct vm *vm);

/* Handler of timer interrupts at 0x80000180: count in s0, note EPC and Count, arm the next (s3 later), end after 200. */
static inline void put_timer_handler(struct vm *vm)
{
	PUT(vm, 0x80000180, A_LUI(K0, 0x8000), A_ORI(K0, K0, 0x400), A_JR(K0), A_NOP);
	PUT(vm, 0x80000400, A_MFC0(K0, CP0_EPC), A_SW(K0, 0, 20),                 /* s4: the ring */
	    A_MFC0(K0, CP0_Count), A_SW(K0, 4, 20), A_ADDIU(20, 20, 8),           /* */
	    A_MFC0(K0, CP0_Count), A_ADDU(K0, K0, 19), A_MTC0(K0, CP0_Compare),   /* a new deadline */
	    A_ADDIU(S0, S0, 1), A_ADDIU(K0, S0, -200), A_BEQ(K0, ZERO, 3), A_NOP, /* */
	    A_ERET, A_NOP, A_RESET);
	vm->vcpu->gs.reg[20] = DATA_VA;
	vm->vcpu->gs.reg[19] = 333;
	vm->vcpu->gs.cp0[CP0_Status] = ST_CU0 | ST_CU1 | ST_IE | 0x8000;
	vm->vcpu->gs.reg[T3] = 777;
	/* the first deadline */
	PUT(vm, CODE_VA, A_MTC0(T3, CP0_Compare), A_NOP);
}

/* Loops with loads, stores and calls. */
static inline void put_busy_loop(struct vm *vm)
{
	put_timer_handler(vm);
	PUT(vm, CODE_VA + 8, A_LUI(T0, 0x8018), A_ADDIU(T1, T1, 1),    /* loop: */
	    A_ANDI(T2, T1, 0xfc), A_ADDU(T2, T2, T0), A_LW(V0, 0, T2), /* */
	    A_ADDU(V0, V0, T1), A_SW(V0, 0, T2),                       /* */
	    A_ANDI(V1, T1, 3), A_BNE(V1, ZERO, -8), A_NOP,             /* */
	    A_JAL(CODE_VA + 0x100), A_ADDIU(A0, A0, 5),                /* */
	    A_BEQ(ZERO, ZERO, -12), A_ADDU(A1, A1, V0));
	PUT(vm, CODE_VA + 0x100, A_XOR(S0 + 1, S0 + 1, V0), A_JR(RA), A_ADDU(18, 18, A0));
}

/* More than a block of straight code, with device accesses, one of them in a delay slot; a device that skips time. */
static inline void put_device_code(struct vm *vm)
{
	uint32_t w[600], n = 0;

	put_timer_handler(vm);
	w[n++] = A_LUI(T0, 0xb800); /* ports */
	w[n++] = A_ORI(T1, ZERO, 0x0a);
	w[n++] = A_SB(T1, 0x70, T0); /* RTC register A, */
	for (unsigned i = 0; i < 90; i++) {
		w[n++] = A_ADDIU(V0, V0, 1);
		w[n++] = A_LBU(V1, 0x71, T0); /* polled: time skips to the next edge of UIP */
		w[n++] = A_ADDU(A0, A0, V1);
		w[n++] = i % 7 ? A_NOP : A_MFC0(A1, CP0_Count);
		w[n++] = A_XOR(18, 18, A1);
	}
	w[n++] = A_BEQ(ZERO, ZERO, 2);
	w[n++] = A_LBU(V1, 0x71, T0);
	w[n++] = A_NOP;
	w[n] = A_BEQ(ZERO, ZERO, (uint32_t) - (int)n - 1);
	n++;
	w[n++] = A_SB(T1, 0x70, T0);
	machine_put(vm, CODE_VA + 8, w, n);
}

/* A loop that changes its own next instruction, by SW and by SC, and counts what it did. */
static inline void put_self_modifying(struct vm *vm)
{
	PUT(vm, CODE_VA, A_LUI(T0, 0x8000), A_ORI(T0, T0, 0x1040), A_LW(T1, 0, T0), A_ADDIU(T2, ZERO, 300),
	    A_BEQ(ZERO, ZERO, 11), A_NOP);
	PUT(vm, CODE_VA + 0x40, A_ADDIU(V0, V0, 1),                       /* patched: the number grows */
	    A_ADDIU(T1, T1, 1), A_SW(T1, 0, T0), A_LL(V1, 0x18, T0),      /* 44 */
	    A_ADDIU(V1, V1, 1), A_SC(V1, 0x18, T0), A_ADDIU(A0, A0, 0),   /* 50; 58 is patched by the SC before it */
	    A_ADDIU(T2, T2, -1), A_BNE(T2, ZERO, -9), A_ADDU(A1, A1, V1), /* 5c */
	    A_RESET);
}

/* Exceptions without end: a system call per round, and a TLB refill that maps the page that is asked for. */
static inline void put_exceptions(struct vm *vm)
{
	PUT(vm, 0x80000000, A_MFC0(K0, CP0_Context), A_ADDIU(S0, S0, 1), A_LUI(K0, 0), A_ORI(K0, K0, 0x4006),
	    A_MTC0(K0, CP0_EntryLo0), A_ORI(K0, ZERO, 0x4046), A_MTC0(K0, CP0_EntryLo1), A_TLBWR, A_ERET, A_NOP);
	PUT(vm, 0x80000180, A_MFC0(K0, CP0_EPC), A_ADDIU(K0, K0, 4), A_MTC0(K0, CP0_EPC), A_ADDIU(17, 17, 1), A_ERET);
	PUT(vm, CODE_VA, A_ORI(T2, ZERO, 500), A_LUI(T0, 0x40), 0x0000000c, A_LW(T1, 0, T0), A_ADDIU(T1, T1, 1),
	    A_SW(T1, 0, T0), A_ADDIU(T0, T0, 0x2000), A_ADDIU(T2, T2, -1), A_BNE(T2, ZERO, -7), A_NOP, A_RESET);
}

static inline void put_idle_timer(struct vm *vm)
{
	put_timer_handler(vm);
	PUT(vm, CODE_VA + 8, A_WAIT, A_BEQ(ZERO, ZERO, -2), A_NOP);
}

#endif
