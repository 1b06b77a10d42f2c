/* SPDX-License-Identifier: MIT */
/* Modes that change under code that is linked: by a callee that returns, and by ERET; interrupts that EI lets in. */
#include "tests/guest/manual.h"

#define MOVZ(rd, rs, rt) W_R(rs, rt, rd, 0, 0x0a)
#define XOR(rd, rs, rt)  W_R(rs, rt, rd, 0, 0x26)
#define MTC1(rt, fs)     W_COP(17, 4, rt, fs, 0)
#define MFC1(rt, fs)     W_COP(17, 0, rt, fs, 0)
#define MTHC1(rt, fs)    W_COP(17, 7, rt, fs, 0)
#define MFHC1(rt, fs)    W_COP(17, 3, rt, fs, 0)
#define ROUNDS           40
enum { LOOP = 4, CALLEE = 64 };

/*
 * loop: call; use the FPU; ROUNDS times.  callee: Status ^= s0 in every round (a3 = 0), or in the last one only; return.
 * What it returns to runs in the new mode, though it was called in the old one.
 */
static void call_and_return(uint32_t base, uint32_t status, uint32_t s0, bool always)
{
	uint32_t n = LOOP, gpr[32] = {[A0] = ROUNDS, [S0] = s0};

	manual_put(n++, JAL(base + 4 * CALLEE));
	manual_put(n++, ADDIU(A0, A0, 0xffff));
	manual_put(n++, MTHC1(ZERO, 0));
	manual_put(n++, MTC1(A0, 1)); /* FR = 0: the high half of f0 */
	manual_put(n++, MFHC1(T0, 0));
	manual_put(n++, ADDU(S1, S1, T0));
	manual_put(n, BNE(A0, ZERO, LOOP - n - 1));
	n++;
	manual_put(n++, NOP);
	manual_put(n++, SYSCALL(1));
	n = CALLEE;
	manual_put(n++, MFC0(T2, 12));
	manual_put(n++, ADDU(T1, ZERO, always ? S0 : ZERO));
	manual_put(n++, MOVZ(T1, S0, A0));
	manual_put(n++, XOR(T2, T2, T1));
	manual_put(n++, MTC0(T2, 12));
	manual_put(n++, EHB);
	manual_put(n++, JR(RA));
	manual_put(n++, NOP);
	guest_run(base + 4 * LOOP, status, gpr);
}

static void returns(const char *where, uint32_t base)
{
	uint32_t want = 0;

	call_and_return(base, STATUS_KERNEL, STATUS_CU1, false);
	put_text(where);
	put_check("a callee takes CU1 away",
		  TRAP_CODE == EXC_CPU && CAUSE_CE(trap.cause) == 1 && trap.epc == base + 4 * (LOOP + 2) &&
		      trap.gpr[A0] == 0,
		  trap.epc);
	call_and_return(base, STATUS_KERNEL, STATUS_FR, true);
	for (uint32_t i = 1; i < ROUNDS; i += 2) /* FR is on after the first, third ... */
		want += ROUNDS - 1 - i;
	put_text(where);
	put_check("a callee changes FR in turn", TRAP_CODE == EXC_SYS && trap.gpr[S1] == want, trap.gpr[S1]);
	call_and_return(base, STATUS_KERNEL | STATUS_FR, STATUS_FR, false);
	put_text(where);
	put_check("a callee changes FR in the end", TRAP_CODE == EXC_SYS && trap.gpr[S1] == 0, trap.gpr[S1]);
	call_and_return(base, STATUS_KERNEL, STATUS_FR, false);
	put_text(where);
	put_check("and back", TRAP_CODE == EXC_SYS && trap.gpr[S1] == (ROUNDS - 1) * ROUNDS / 2, trap.gpr[S1]);
}

/*
 * Under ERL kuseg is unmapped (volume III, "Address translation for the kuseg segment when ERL = 1").  A load there, mapped, then
 * with ERL, then after ERET, or MTC0, without.
 */
static void error_level(bool eret)
{
	const uint32_t va = 0x00500000, base = KSEG0(PHYS(manual_code));
	volatile uint32_t *unmapped = (volatile uint32_t *)(uintptr_t)KSEG0(va), *mapped = manual_data;
	uint32_t
	    n = 0,
	    old = *unmapped,
	    gpr[32] = {
		[A0] = va, [T8] = STATUS_KERNEL | STATUS_ERL, [T9] = base + 4 * 12, [S0] = STATUS_KERNEL, [S1] = 0x5a};

	*unmapped = 0x11111111;
	*mapped = 0x22222222;
	tlb_put(MANUAL_TLB_OTHER, PAGEMASK_4K, va, LO(PHYS(manual_data), LO_V | LO_D),
		LO(PHYS(manual_data), LO_V | LO_D));
	manual_put(n++, LW(T0, 0, A0));
	manual_put(n++, MTC0(T8, 12));
	manual_put(n++, EHB);
	manual_put(n++, LW(T1, 0, A0));
	manual_put(n++, SW(S1, 4, A0));
	manual_put(n++, eret ? MTC0(T9, 30) : MTC0(S0, 12));
	manual_put(n++, EHB);
	manual_put(n++, eret ? ERET : NOP);
	while (n < 12)
		manual_put(n++, NOP);
	manual_put(n++, LW(T2, 0, A0));
	manual_put(n++, SW(S1, 8, A0));
	manual_put(n++, SYSCALL(1));
	mapped[1] = mapped[2] = unmapped[1] = unmapped[2] = 0;
	guest_run(base, STATUS_KERNEL, gpr);
	put_text(eret ? "eret from ERL" : "mtc0 from ERL");
	put_check("",
		  TRAP_CODE == EXC_SYS && trap.gpr[T0] == 0x22222222 && trap.gpr[T1] == 0x11111111 &&
		      trap.gpr[T2] == 0x22222222 && !(trap.status & STATUS_ERL) && mapped[1] == 0 &&
		      unmapped[1] == 0x5a && mapped[2] == 0x5a && unmapped[2] == 0,
		  trap.gpr[T2]);
	*unmapped = old;
}

/*
 * EI in the slot of a JR that has been there before: a pending interrupt is taken in front of what the JR goes to (QEMU
 * goes on until it leaves its translated code).  Cause.IP0 is pending in the fourth round.
 */
static void enable_in_slot(bool jr)
{
	const uint32_t base = KSEG0(PHYS(manual_code));
	uint32_t n = 0, gpr[32] = {[T0] = 0x10, [T1] = 8, [T8] = base + 4 * 6};

	manual_put(n++, DI(T5));
	manual_put(n++, ADDU(T0, T0, T0));
	manual_put(n++, MTC0(T0, 13));
	manual_put(n++, EHB);
	manual_put(n++, jr ? JR(T8) : BEQ(ZERO, ZERO, 1));
	manual_put(n++, EI(T2));
	manual_put(n++, ADDIU(T3, T3, 1));
	manual_put(n, BNE(T3, T1, -(n + 1)));
	n++;
	manual_put(n++, NOP);
	manual_put(n++, SYSCALL(1));
	WRITE_C0(11, 0, READ_C0(9, 0) + 0x7fffffffu); /* no timer interrupt */
	guest_run(base, STATUS_KERNEL | 0x300, gpr);
	put_check(jr ? "ei in a slot of jr" : "ei in a slot",
		  TRAP_CODE == EXC_INT && trap.epc == base + 4 * 6 && trap.gpr[T3] == 3, trap.epc - base);
	WRITE_C0(13, 0, 0);
}

void manual_modes(void)
{
	enable_in_slot(false);
	enable_in_slot(true);
	returns("mapped: ", MANUAL_CODE_VA);
	returns("kseg0: ", KSEG0(PHYS(manual_code)));
	for (unsigned i = 0; i < 3; i++) {
		error_level(true);
		error_level(false);
	}
}
