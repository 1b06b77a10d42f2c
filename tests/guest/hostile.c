/* SPDX-License-Identifier: MIT */
/*
 * A guest that does everything wrong: nothing of it may harm the monitor.  The command line is a letter and a seed:
 *   n  jump to nowhere, with the vectors nowhere too      d  random accesses to all of the devices' addresses
 *   w  execute random words, kernel and user mode         t  random TLB entries, CP0 registers, accesses, at random
 *   x  random words in mapped pages that are remapped
 * It goes on until the monitor ends.
 */
#include "guest/bare/guest.h"
#include "tests/guest/random_words.h"
#include "tests/guest/words.h"

static PAGE_ALIGNED uint32_t arena[2][PAGE / 4];
static uint32_t seed;

static uint32_t rnd(void) { return random_next(&seed); }

static uint32_t random_word(void) { return random_insn(rnd(), rnd()); }

/* A register's content: mostly something that memory accesses and jumps can use. */
static uint32_t random_value(void)
{
	uint32_t in = rnd() % (PAGE * 2) & (rnd() % 4 ? ~3u : ~0u);

	switch (rnd() % 8) {
	case 0:
		return rnd();
	case 1:
		return rnd() % 64 - 32;
	case 2:
		return 0x00400000u + in;
	case 3:
		return 0xc0000000u + in;
	case 4:
		return KSEG1(PHYS(arena)) + in;
	case 5:
		return 0xb8000000u + rnd() % 0x1000;
	default:
		return KSEG0(PHYS(arena)) + in;
	}
}

static void random_tlb_entry(void)
{
	uint32_t page = PHYS(arena[rnd() & 1]), flags = rnd() & 0xc000003fu;

	tlb_put(rnd() % 64, rnd() % 4 ? 0 : rnd(), (rnd() % 4 ? 0x00400000u : 0xc0000000u) + (rnd() & 0x60ffu),
		rnd() % 8 ? page >> 6 | flags : rnd(), rnd() % 8 ? (page ^ PAGE) >> 6 | flags : rnd());
}

static void words(bool mapped)
{
	static const uint32_t starts[] = {0x80000000u, 0xa0000000u, 0x00400000u, 0xc0000000u};

	for (uint32_t round = 0;; round++) {
		uint32_t gpr[32], status = rnd() & 0x34000010u, at, n = rnd() % 400 + 1;

		guest_put_vectors(0x80000000u, 0);
		for (uint32_t i = 0; i < n; i++)
			arena[0][(i + round * 16) % (2 * PAGE / 4)] = random_word();
		for (uint32_t i = 0; i < 32; i++)
			gpr[i] = random_value();
		if (mapped && round % 4 == 0)
			random_tlb_entry();
		at = starts[mapped ? rnd() % 4 : 0];
		if (at >= 0x80000000u && at < 0xc0000000u)
			at += PHYS(arena);
		WRITE_C0(10, 0, rnd() & 3);
		WRITE_C0(13, 0, 0);
		WRITE_C0(12, 1, 0);
		WRITE_C0(15, 1, 0x80000000u);
		WRITE_C0(11, 0, READ_C0(9, 0) + 20000); /* ends loops */
		guest_run(at + (round * 64 + (rnd() % n) * 4) % (2 * PAGE), status | 0x8001, gpr);
		if (round % 1024 == 0)
			put_char('.');
	}
}

/* An access that may fault or do anything; width 0..2 is 1, 2, 4 bytes. */
static void access_anything(uint32_t va, uint32_t width, bool store)
{
	static const uint32_t word[2][3] = {{LBU(V0, 0, A0), LHU(V0, 0, A0), LW(V0, 0, A0)},
					    {SB(V0, 0, A0), SH(V0, 0, A0), SW(V0, 0, A0)}};
	uint32_t gpr[32] = {[A0] = va, [V0] = rnd()};

	((volatile uint32_t *)arena[0])[0] = word[store][width];
	((volatile uint32_t *)arena[0])[1] = SYSCALL(0);
	guest_run((uint32_t)(uintptr_t)arena, 0, gpr);
}

static void devices(void)
{
	static const uint32_t base[] = {0xb8000000u, 0xb8000000u, 0xbbe00000u, 0xbbe00000u, 0xbf000000u,
					0xb0000000u, 0xb4000000u, 0xbe000000u, 0xbfc00000u};
	static const uint32_t size[] = {0x1000,    0x100000,  0x1000,   0x200000, 0x1000,
					0x8000000, 0x4000000, 0x400000, 0x400000};

	for (;;) {
		unsigned i = rnd() % ARRAY_LEN(base);
		uint32_t width = rnd() % 3, va = (base[i] + rnd() % size[i]) & ~((1u << width) - 1);

		if ((va & ~3u) != 0xbf000500u) /* SOFTRES would end it */
			access_anything(va, width, rnd() % 3 != 0);
		guest_put_vectors(0x80000000u, 0);
	}
}

static void write_cp0(uint32_t reg, uint32_t sel, uint32_t value)
{
	uint32_t gpr[32] = {[T0] = value};

	((volatile uint32_t *)arena[0])[0] = MTC0(T0, reg) | sel;
	((volatile uint32_t *)arena[0])[1] = MFC0(T1, reg) | sel;
	((volatile uint32_t *)arena[0])[2] =
	    0x42000000u | (rnd() & 3 ? 8 : rnd() & 15); /* TLBP, TLBR, TLBWI, TLBWR .. */
	((volatile uint32_t *)arena[0])[3] = SYSCALL(0);
	guest_run((uint32_t)(uintptr_t)arena, 0, gpr);
}

static void tlb_and_cp0(void)
{
	for (;;) {
		uint32_t reg = rnd() & 31;

		if (reg != 12 && reg != 15 && reg != 13)
			write_cp0(reg, rnd() % 4 ? 0 : rnd() & 7, rnd());
		random_tlb_entry();
		tlb_put(rnd() & 63, rnd(), rnd(), rnd(), rnd());
		WRITE_C0(10, 0, rnd());
		access_anything(random_value(), rnd() % 3, rnd() & 1);
		if (rnd() % 64 == 0)
			tlb_clear();
	}
}

static void nowhere(void)
{
	static const uint32_t bases[] = {0x9ffff000u, 0x88000000u, 0x9bfff000u, 0x9f000000u, 0x9fc00000u};
	static const uint32_t targets[] = {0x0,         0xbfc00000u, 0xdeadbee0u, 0x9ffffffcu,
					   0xfffffffcu, 0x97fffffcu, 0xb8000000u};
	uint32_t gpr[32] = {[T9] = targets[seed % ARRAY_LEN(targets)]};

	WRITE_C0(15, 1, bases[seed % ARRAY_LEN(bases)]);
	guest_run(gpr[T9], seed % 2 ? STATUS_USER : 0x400000u,
		  gpr); /* BEV: the boot flash's vectors are nowhere as well */
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	const char *s = argc > 1 ? (const char *)(uintptr_t)argv[1] : "w";
	char mode = *s++;

	while (*s >= '0' && *s <= '9')
		seed = seed * 10 + (uint32_t)(*s++ - '0');
	seed = seed * 2654435761u + 1;
	switch (mode) {
	case 'n':
		nowhere();
		break;
	case 'd':
		devices();
		break;
	case 't':
		tlb_and_cp0();
		break;
	default:
		words(mode == 'x');
	}
}
