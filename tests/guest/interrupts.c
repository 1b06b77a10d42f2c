/* SPDX-License-Identifier: MIT */
/*
 * Software and timer interrupts, EXL and ERL, EBase, vectored interrupts, WAIT.  Where time decides, the guest checks and
 * prints "ok"; the rest is compared with QEMU.
 *
 * Not here: BEV = 1.  Its vectors are in the boot flash, which no guest can fill, neither on QEMU with -kernel nor here.
 * WAIT with IE = 0: implementation dependent (volume II, "WAIT"); Disco wakes up, QEMU's 34Kf does not.
 */
#include "guest/bare/guest.h"
#include "tests/guest/words.h"

#define CAUSE_TI 0x40000000u
#define CAUSE_IV 0x00800000u
#define CAUSE_DC 0x08000000u
#define IP(n)    (0x100u << (n))
#define COUNT    READ_C0(9, 0)
/* 2 ms */
#define TICKS      200000u
#define SPIN_VA    ((uint32_t)(uintptr_t)code)
#define NO_TIMER() WRITE_C0(11, 0, COUNT + 0x7fffffffu)

static uint32_t code[64];
static uint32_t code_words;

static void begin(void) { code_words = 0; }
static void emit(uint32_t word) { ((volatile uint32_t *)code)[code_words++] = word; }

/* Run code[] with t0, t1 given until an exception; EPC is shown as an index into code. */
static void run(const char *name, uint32_t status, uint32_t t0, uint32_t t1)
{
	uint32_t gpr[32] = {[T0] = t0, [T1] = t1, [A0] = PHYS(code), [T9] = SPIN_VA + 32 * 4};

	code[32] = SYSCALL(0x32);
	NO_TIMER();
	guest_run(SPIN_VA, STATUS_KERNEL | status, gpr);
	put_text(name);
	put_field("vector", trap.vector);
	put_field("cause", trap.cause & ~0x30000000u);
	put_field("epc", (trap.epc - SPIN_VA) / 4);
	put_field("status", trap.status);
	put_field("t2", trap.gpr[T2]);
	put_char('\n');
	WRITE_C0(13, 0, 0);
}

static void nops(void)
{
	for (unsigned i = 0; i < 6; i++)
		emit(ADDIU(T2, T2, 1));
	emit(SYSCALL(0x99));
}

/* MTC0 t0 to Cause raises the interrupt: taken in front of the next instruction, if anything allows it. */
static void software(void)
{
	static const uint32_t masks[] = {0, IP(0), IP(1), IP(0) | IP(1), 0xff00};

	for (uint32_t pending = 0; pending < 4; pending++)
		for (unsigned m = 0; m < ARRAY_LEN(masks); m++)
			for (uint32_t ie = 0; ie < 2; ie++) {
				begin();
				emit(MTC0(T0, 13));
				emit(EHB);
				nops();
				run("software", masks[m] | ie, pending << 8, 0);
			}
	begin(); /* in a delay slot: the branch is taken first */
	emit(BEQ(ZERO, ZERO, 4));
	emit(MTC0(T0, 13));
	emit(EHB);
	nops();
	run("software.slot", 0xff01, IP(0), 0);
	begin();
	emit(JR(T9));
	emit(MTC0(T0, 13));
	nops();
	run("software.slot_jr", 0xff01, IP(1), 0);
	begin();
	emit(BNE(T0, ZERO, 4)); /* not taken */
	emit(MTC0(T1, 13));
	emit(EHB);
	nops();
	run("software.slot_not", 0xff01, 0, IP(1));
}

/* Pending already; something lets it through. */
static void let_through(void)
{
	begin();
	emit(MTC0(T0, 13));
	emit(EHB);
	emit(ADDIU(T2, T2, 1));
	emit(EI(T2));
	emit(EHB);
	nops();
	run("ei", 0xff00, IP(0), 0);
	begin();
	emit(MTC0(T0, 13));
	emit(EHB);
	emit(DI(T2));
	nops();
	run("di", 0xff00, IP(0), 0);
	begin();
	emit(MTC0(T0, 13));
	emit(EHB);
	emit(ADDIU(T2, T2, 1));
	emit(MTC0(T1, 12));
	emit(EHB);
	nops();
	run("status", 0, IP(1), STATUS_KERNEL | 0xff01);
	run("status.exl", 0, IP(1), STATUS_KERNEL | 0xff03);
	run("status.erl", 0, IP(1), STATUS_KERNEL | 0xff05);
	run("status.mask", 0, IP(1), STATUS_KERNEL | 0xfd01);
	begin();
	emit(ADDIU(T2, T2, 1));
	emit(DI(T2));
	emit(EHB);
	nops();
	run("di.result", 0xff01, 0, 0);
	begin();
	emit(EI(T2));
	emit(EHB);
	nops();
	run("ei.result", 0xfe00, 0, 0);
}

/* Pending under EXL; ERET lets it in, in front of the first instruction after. */
static void through_eret(void)
{
	begin();
	emit(MTC0(T1, 12)); /* EXL */
	emit(MTC0(T9, 14));
	emit(EHB);
	emit(MTC0(T0, 13));
	emit(EHB);
	emit(ADDIU(T2, T2, 1));
	emit(ERET);
	nops();
	run("eret", 0xff01, IP(0), STATUS_KERNEL | 0xff03);
	run("eret.nothing", 0xff01, 0, STATUS_KERNEL | 0xff03);
	begin(); /* ERL: ErrorEPC */
	emit(MTC0(T1, 12));
	emit(MTC0(T9, 30));
	emit(EHB);
	emit(MTC0(T0, 13));
	emit(EHB);
	emit(ADDIU(T2, T2, 1));
	emit(ERET);
	nops();
	run("eret.erl", 0xff01, IP(0), STATUS_KERNEL | 0xff05);
	run("eret.erl_exl", 0xff01, IP(0), STATUS_KERNEL | 0xff07);
	begin(); /* ERL: kuseg is physical memory, no TLB */
	emit(MTC0(T1, 12));
	emit(EHB);
	emit(LW(T2, 0, A0));
	emit(SW(T2, 0x80, A0)); /* code[32]: a MTC0 now, and executed */
	emit(JR(T9));
	emit(ADDIU(T2, ZERO, 5));
	for (unsigned i = 0; i < 3; i++)
		code[33 + i] = SYSCALL(0x33 + i);
	run("erl.kuseg", 0, 0, STATUS_KERNEL | STATUS_ERL);
	begin(); /* a TLB miss under ERL is no miss of kuseg; kseg3 still has one */
	emit(MTC0(T1, 12));
	emit(EHB);
	emit(LW(T2, -4, ZERO));
	nops();
	run("erl.kseg3", 0, 0, STATUS_KERNEL | STATUS_ERL);
}

/* ---- Vectors ---- */

static void refill_at(const char *name)
{
	begin();
	emit(LW(T2, 0x7ff0, T1));
	nops();
	run(name, 0, 0, 0x00c00000);
}

static void vectors(void)
{
	static const uint32_t bases[] = {0x80010000u, 0x80030000u, 0x80000000u};

	for (unsigned b = 0; b < ARRAY_LEN(bases); b++) {
		WRITE_C0(15, 1, bases[b]);
		put_field("ebase", READ_C0(15, 1));
		for (uint32_t vs = 0; vs <= 16; vs = vs ? vs * 2 : 1) {
			guest_put_vectors(bases[b], vs * 32);
			WRITE_C0(12, 1, vs << 5);
			put_field("intctl_vs", READ_C0(12, 1) & 0x3e0);
			put_char('\n');
			refill_at("refill");
			begin();
			emit(SYSCALL(0));
			run("general", 0, 0, 0);
			for (uint32_t pending = 1; pending < 4; pending++) {
				begin();
				emit(MTC0(T0, 13));
				emit(EHB);
				nops();
				run("no IV", 0xff01, pending << 8, 0);
				run("IV", 0xff01, CAUSE_IV | pending << 8, 0);
				run("IV masked", 0x0101, CAUSE_IV | pending << 8, 0);
			}
		}
	}
	WRITE_C0(12, 1, 0);
}

/* ---- Timer ---- */

static struct {
	uint32_t n, wrong, cause, epc, late, vector;
} ticks;

static uint32_t spin_start, spin_end;

static void tick(volatile struct trap *t)
{
	uint32_t compare = READ_C0(11, 0), now = COUNT, cause = READ_C0(13, 0);

	ticks.vector = t->vector;
	ticks.n++;
	if ((t->cause & (CAUSE_TI | IP(7) | 0x7c)) != (CAUSE_TI | IP(7)) || !(cause & CAUSE_TI)) {
		ticks.wrong++;
		ticks.cause = t->cause;
	}
	if (t->epc < spin_start || t->epc >= spin_end || t->cause >> 31) {
		ticks.wrong++;
		ticks.epc = t->epc;
	}
	if ((int32_t)(now - compare) < 0) {
		ticks.wrong++;
		ticks.late = now - compare;
	}
	NO_TIMER();
	if (READ_C0(13, 0) & (CAUSE_TI | IP(7)))
		ticks.wrong++;
}

/* Compare = Count + ticks, with IE = 0; again when the host was away in between: then the match would take 2^32. */
static void arm(uint32_t ticks_to_come)
{
	uint32_t target;

	do {
		target = COUNT + ticks_to_come;
		WRITE_C0(11, 0, target);
	} while ((int32_t)(target - COUNT) < (int32_t)(ticks_to_come / 4));
}

/*
 * EI, and a loop (a WAIT) until tick() has been there; DI.  The interrupt may come between wait_begin and the WAIT: tick()
 * then goes on behind it.
 */
void spin_wait(void);
void sleep_wait(void);
__asm__(".set noreorder\n.globl spin_wait\nspin_wait:\n"
	"	ei\n	ehb\n"
	".globl spin_begin\nspin_begin:\n"
	"	lui $9, %hi(ticks_seen)\n	lw $9, %lo(ticks_seen)($9)\n	addiu $2, $2, 1\n"
	"	beqz $9, spin_begin\n	xor $10, $2, $9\n"
	".globl spin_finish\nspin_finish:\n	di\n	jr $31\n	ehb\n"
	".globl sleep_wait\nsleep_wait:\n"
	"	ei\n"
	".globl wait_begin\nwait_begin:\n"
	"	lui $9, %hi(ticks_seen)\n	lw $9, %lo(ticks_seen)($9)\n	bnez $9, wait_done\n	nop\n"
	"	wait\n"
	".globl wait_done\nwait_done:\n	di\n	jr $31\n	ehb\n.set reorder\n");
extern uint32_t spin_begin[], spin_finish[], wait_begin[], wait_done[];
volatile uint32_t ticks_seen;

static uint32_t slept;

static void tick_and_stop(volatile struct trap *t)
{
	tick(t);
	ticks_seen = 1;
	if (t->epc == (uint32_t)(uintptr_t)wait_done)
		slept++;
	else if (t->epc >= (uint32_t)(uintptr_t)wait_begin && t->epc < (uint32_t)(uintptr_t)wait_done)
		WRITE_C0(14, 0, (uint32_t)(uintptr_t)wait_done);
}

static void timer(void)
{
	spin_start = (uint32_t)(uintptr_t)spin_wait + 4;
	spin_end = (uint32_t)(uintptr_t)spin_finish + 4;
	trap_resume = tick_and_stop;
	WRITE_C0(12, 0, STATUS_KERNEL | IP(7));
	for (uint32_t i = 0; i < 100; i++) {
		uint32_t start = COUNT, wait = TICKS + i * 1000;

		ticks_seen = 0;
		arm(wait);
		spin_wait();
		if (COUNT - start < wait)
			ticks.wrong++;
	}
	WRITE_C0(12, 0, STATUS_KERNEL);
	put_check("timer: 100 interrupts, EPC inside the loop", ticks.n == 100 && !ticks.wrong, ticks.n);
	if (ticks.wrong) {
		put_field("wrong", ticks.wrong);
		put_field("cause", ticks.cause);
		put_field("epc", ticks.epc);
		put_field("late", ticks.late);
		put_char('\n');
	}
}

static void timer_vectored(void)
{
	guest_put_vectors(0x80000000u, 32);
	WRITE_C0(12, 1, 1 << 5);
	WRITE_C0(13, 0, CAUSE_IV);
	WRITE_C0(12, 0, STATUS_KERNEL | IP(7));
	ticks_seen = 0;
	arm(TICKS);
	spin_wait();
	WRITE_C0(12, 0, STATUS_KERNEL);
	put_field("timer vector", ticks.vector);
	put_char('\n');
	WRITE_C0(13, 0, 0);
	WRITE_C0(12, 1, 0);
}

/* WAIT sleeps until the timer; EPC is the instruction after it. */
static void wait(void)
{
	uint32_t wrong = 0;

	ticks.n = 0;
	ticks.wrong = 0;
	spin_start = 0;
	spin_end = ~0u;
	for (uint32_t i = 0; i < 50; i++) {
		uint32_t start, stop;

		ticks_seen = 0;
		WRITE_C0(12, 0, STATUS_KERNEL | IP(7));
		start = COUNT;
		arm(TICKS);
		sleep_wait();
		stop = COUNT;
		WRITE_C0(12, 0, STATUS_KERNEL);
		wrong += stop - start < TICKS;
	}
	put_check("wait: 50 wake-ups", ticks.n == 50 && !ticks.wrong && !wrong && slept > 25, slept);
	/* a masked interrupt does not wake it, and an unmasked one that is pending keeps it from sleeping */
	WRITE_C0(12, 0, STATUS_KERNEL);
	trap_resume = 0;
	begin();
	emit(MTC0(T0, 13));
	emit(EHB);
	emit(MTC0(T1, 12));
	emit(EHB);
	emit(WAIT);
	nops();
	run("wait.pending", 0, IP(0), STATUS_KERNEL | 0xff01);
}

/* Cause.DC stops Count; writing Count and Compare. */
static void count(void)
{
	uint32_t a, b;

	WRITE_C0(13, 0, CAUSE_DC);
	WRITE_C0(9, 0, 0x12345678);
	a = COUNT;
	for (volatile uint32_t i = 0; i < 1000; i++)
		;
	put_check("Count stopped", a == 0x12345678 && COUNT == a, COUNT);
	WRITE_C0(13, 0, 0);
	b = COUNT;
	for (volatile uint32_t i = 0; i < 1000; i++)
		;
	put_check("Count goes on", b - a < 0x10000000 && COUNT - b != 0 && COUNT - b < 0x10000000, COUNT);
	WRITE_C0(9, 0, 0xff800000u);
	WRITE_C0(11, 0, 0x00001000u);
	for (a = 0; COUNT - 0x2000 >= 0x80000000u && a < 100000000; a++)
		;
	put_check("Count wraps", READ_C0(13, 0) & CAUSE_TI, COUNT);
	NO_TIMER();
	put_check("Compare acknowledges", !(READ_C0(13, 0) & (CAUSE_TI | IP(7))), READ_C0(13, 0));
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	software();
	let_through();
	through_eret();
	vectors();
	count();
	timer();
	timer_vectored();
	wait();
}
