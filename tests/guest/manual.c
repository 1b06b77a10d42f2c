/* SPDX-License-Identifier: MIT */
/*
 * Volume II, the paragraphs "Exceptions" of PREF, PREFX, SYNCI and CACHE: the first two never raise one of the address, "under any
 * circumstances"; SYNCI and CACHE's hit operations raise TLB refill, TLB invalid (both as loads) and address error, but never
 * Modified, Read-Inhibit, or an address error because of alignment.
 */
#include "tests/guest/manual.h"

#define PREF(hint, off, base)  W_I(51, base, hint, off)
#define PREFX(hint, idx, base) (0x4c00000fu | (uint32_t)(base) << 21 | (uint32_t)(idx) << 16 | (uint32_t)(hint) << 11)
#define SYNCI(off, base)       W_I(1, base, 31, off)
#define PAGEGRAIN_RIE          0x80000000u
#define CONFIG3_RXI            0x00001000u
#define ENTRYLO_RI             0x80000000u

PAGE_ALIGNED uint32_t manual_code[2 * PAGE / 4];
PAGE_ALIGNED uint32_t manual_data[PAGE / 4];

void manual_put(uint32_t i, uint32_t word) { ((volatile uint32_t *)manual_code)[i] = word; }

/* Where the instruction under test stands. */
static const struct place {
	const char *name;
	uint32_t at, branch; /* word of the code before it; that branch, or 0 */
} places[] = {
    {"", 0, NOP},
    {" in a slot", 0, BEQ(ZERO, ZERO, 2)},
    {" in a slot of jr", 0, JR(T9)},
    {" in a slot on the next page", PAGE / 4 - 2, BEQ(ZERO, ZERO, 2)},
};

static const struct mode {
	const char *name;
	uint32_t status;
} modes[] = {
    {", kernel", STATUS_KERNEL},
    {", user", STATUS_KERNEL | STATUS_USER},
    {", user, FR", STATUS_KERNEL | STATUS_USER | STATUS_FR},
};
enum { KERNEL, USER, USER_FR };

static void map(void)
{
	tlb_clear();
	tlb_put(MANUAL_TLB_CODE, PAGEMASK_4K, MANUAL_CODE_VA, LO(PHYS(manual_code), LO_V),
		LO(PHYS(manual_code) + PAGE, LO_V));
	tlb_put(5, PAGEMASK_4K, MANUAL_INVALID_VA, LO(PHYS(manual_data), 0), LO(PHYS(manual_data), 0));
	tlb_put(6, PAGEMASK_4K, MANUAL_RO_VA, LO(PHYS(manual_data), LO_V), LO(PHYS(manual_data), LO_V) | ENTRYLO_RI);
	tlb_put(7, PAGEMASK_4K, MANUAL_DATA_VA, LO(PHYS(manual_data), LO_V | LO_D), LO(PHYS(manual_data), LO_V | LO_D));
	WRITE_C0(10, 0, 0);
}

static void run(const struct place *p, uint32_t word, uint32_t status, uint32_t base)
{
	uint32_t n = p->at, gpr[32] = {[A0] = base, [A1] = 0x40, [T9] = MANUAL_CODE_VA + 4 * (p->at + 4)};

	manual_put(n++, ADDIU(T0, ZERO, 5));
	if (p->branch) {
		manual_put(n++, p->branch);
		manual_put(n++, word);
		manual_put(n++, SYSCALL(2));
	} else {
		manual_put(n++, word);
	}
	manual_put(n++, ADDIU(T1, ZERO, 6));
	manual_put(n++, SYSCALL(1));
	WRITE_C0(4, 0, 0);
	WRITE_C0(10, 0, 0);
	guest_run(MANUAL_CODE_VA + 4 * p->at, status, gpr);
}

static void name(const char *what, const struct place *p, const struct mode *m)
{
	put_text(what);
	put_text(p->name);
	put_text(m->name);
}

static void passes(const char *what, uint32_t word, unsigned mode, uint32_t base)
{
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		run(&places[i], word, modes[mode].status, base);
		name(what, &places[i], &modes[mode]);
		put_check("", TRAP_CODE == EXC_SYS && trap.gpr[T0] == 5 && trap.gpr[T1] == 6, trap.cause);
	}
}

static void faults(const char *what, uint32_t word, unsigned mode, uint32_t base, uint32_t code, uint32_t vector)
{
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		const struct place *p = &places[i];
		bool ok, tlb = code != EXC_ADEL;

		run(p, word, modes[mode].status, base);
		ok = TRAP_CODE == code && trap.vector == vector && trap.badvaddr == base;
		ok = ok && trap.epc == MANUAL_CODE_VA + 4 * (p->at + 1) && !(trap.cause & CAUSE_BD) == !p->branch;
		ok = ok && trap.gpr[T0] == 5 && trap.gpr[T1] == 0 && trap.gpr[A0] == base;
		ok = ok && (!tlb || (trap.entryhi == (base & ~0x1fffu) && trap.context == base >> 13 << 4));
		name(what, p, &modes[mode]);
		put_check("", ok, trap.cause);
	}
}

static void hints(void)
{
	static const uint8_t hint[] = {0, 1, 4, 5, 6, 7, 25, 30, 31};
	static const uint32_t base[] = {MANUAL_NONE_VA, MANUAL_NONE_VA + 3, MANUAL_INVALID_VA, MANUAL_RO_VA,
					0x80100000,     0xc0001000,         0xffffffff};

	for (unsigned m = KERNEL; m <= USER_FR; m++)
		for (unsigned b = 0; b < ARRAY_LEN(base); b++) {
			uint32_t h = hint[(m + b) % ARRAY_LEN(hint)];

			passes("pref", PREF(h, 1, A0), m, base[b]);
			passes("prefx", PREFX(h, A1, A0), m, base[b]);
		}
	for (unsigned h = 0; h < 32; h++) {
		run(&places[0], PREF(h, 0, A0), STATUS_KERNEL | STATUS_USER, MANUAL_NONE_VA);
		put_check("pref, each hint", TRAP_CODE == EXC_SYS && trap.gpr[T1] == 6, trap.cause);
	}
	run(&places[0], PREFX(0, A1, A0), STATUS_KERNEL & ~STATUS_CU1, MANUAL_NONE_VA);
	put_check("prefx without CU1", TRAP_CODE == EXC_CPU && CAUSE_CE(trap.cause) == 1, trap.cause);
}

/* word: a translated operation off A0, without an offset */
static void translated(const char *what, uint32_t word, unsigned mode)
{
	passes(what, word, mode, MANUAL_DATA_VA);
	passes(what, word, mode, MANUAL_DATA_VA + 3);
	passes(what, word, mode, MANUAL_CODE_VA + 0x800);
	passes(what, word, mode, MANUAL_RO_VA);
	faults(what, word, mode, MANUAL_NONE_VA, EXC_TLBL, 0);
	faults(what, word, mode, MANUAL_NONE_VA + PAGE + 0x123, EXC_TLBL, 0);
	faults(what, word, mode, MANUAL_INVALID_VA + 4, EXC_TLBL, 0x180);
	if (mode == KERNEL) {
		passes(what, word, mode, 0x80100000);
		passes(what, word, mode, 0xa0100001);
		faults(what, word, mode, 0xc0001000, EXC_TLBL, 0);
		return;
	}
	faults(what, word, mode, 0x80100000, EXC_ADEL, 0x180);
	faults(what, word, mode, 0xffffffff, EXC_ADEL, 0x180);
	faults(what, word, mode, 0xc0001000, EXC_ADEL, 0x180);
}

static void no_read_inhibit(void)
{
	if (!(READ_C0(16, 3) & CONFIG3_RXI))
		return;
	WRITE_C0(5, 1, PAGEGRAIN_RIE);
	map();
	run(&places[0], LW(T2, 0, A0), STATUS_KERNEL | STATUS_USER, MANUAL_RO_VA + PAGE);
	put_check("lw, no reading", TRAP_CODE == EXC_TLBL, trap.cause);
	passes("synci, no reading", SYNCI(0, A0), USER, MANUAL_RO_VA + PAGE);
	passes("cache, no reading", CACHE(0x15, 0, A0), KERNEL, MANUAL_RO_VA + PAGE);
	WRITE_C0(5, 1, 0);
	map();
}

/* In an exception handler the refill goes to the general vector, and EPC stays. */
static void under_exl(void)
{
	uint32_t gpr[32] = {[A0] = MANUAL_NONE_VA, [T8] = STATUS_KERNEL | STATUS_EXL, [T9] = 0x12345678};

	manual_put(0, MTC0(T8, 12));
	manual_put(1, EHB);
	manual_put(2, MTC0(T9, 14));
	manual_put(3, SYNCI(0, A0));
	manual_put(4, SYSCALL(1));
	guest_run(MANUAL_CODE_VA, STATUS_KERNEL, gpr);
	put_check("synci under EXL",
		  TRAP_CODE == EXC_TLBL && trap.vector == 0x180 && trap.epc == 0x12345678 &&
		      trap.badvaddr == MANUAL_NONE_VA,
		  trap.cause);
}

static void with_offset(void)
{
	run(&places[1], SYNCI(0xfffc, A0), STATUS_KERNEL | STATUS_USER, MANUAL_NONE_VA + 4);
	put_check("synci, offset", TRAP_CODE == EXC_TLBL && trap.badvaddr == MANUAL_NONE_VA, trap.badvaddr);
	run(&places[1], CACHE(0x19, 0x7fff, A0), STATUS_KERNEL, MANUAL_NONE_VA);
	put_check("cache, offset", TRAP_CODE == EXC_TLBL && trap.badvaddr == MANUAL_NONE_VA + 0x7fff, trap.badvaddr);
}

/* Operations 4 to 7 of the instruction and data caches name an address; below, an index. */
static void cache(void)
{
	static const uint8_t hit[] = {0x10, 0x11, 0x14, 0x15, 0x19, 0x1c, 0x1d},
			     index[] = {0x00, 0x01, 0x04, 0x05, 0x08, 0x09};

	for (unsigned i = 0; i < ARRAY_LEN(hit); i++)
		translated("cache hit", CACHE(hit[i], 0, A0), i % 2 ? KERNEL : USER); /* CU0: usable in user mode */
	for (unsigned i = 0; i < ARRAY_LEN(index); i++) {
		passes("cache index", CACHE(index[i], 0, A0), KERNEL, 0x80000000);
		passes("cache index", CACHE(index[i], 0, A0), KERNEL, MANUAL_DATA_VA);
	}
	run(&places[0], CACHE(0x15, 0, A0), (STATUS_KERNEL & ~STATUS_CU0) | STATUS_USER, MANUAL_NONE_VA);
	put_check("cache without CU0", TRAP_CODE == EXC_CPU && CAUSE_CE(trap.cause) == 0, trap.cause);
}

void manual_addresses(void)
{
	hints();
	for (unsigned m = KERNEL; m <= USER_FR; m++)
		translated("synci", SYNCI(0, A0), m);
	no_read_inhibit();
	under_exl();
	with_offset();
	cache();
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	map();
	manual_addresses();
	manual_reverse();
	manual_modes();
	put_text("end\n");
}
