/* SPDX-License-Identifier: MIT */
/*
 * Read and execute inhibit (PageGrain.RIE, XIE, IEC): CPU model max against QEMU's P5600, which is MIPS32 release 5 with
 * the same protection (MIPS32 PRA volume III, "PageGrain").
 */
#include "tests/guest/exc_run.h"
#include "tests/guest/words.h"

#define PG_RIE 0x80000000u
#define PG_XIE 0x40000000u
#define PG_IEC 0x08000000u
#define LO_RI  0x80000000u
#define LO_XI  0x40000000u
#define DATA   0x00a00000u

static PAGE_ALIGNED uint32_t page[PAGE / 4];

static const struct exc_case accesses[] = {
    {.name = "lw", .word = LW(T0, 0, A2)},
    {.name = "lb", .word = LB(T0, 3, A2)},
    {.name = "ll", .word = LL(T0, 0, A2)},
    {.name = "lwl", .word = LWL(T0, 2, A2)},
    {.name = "lwc1", .word = LWC1(20, 0, A2)},
    {.name = "ldc1", .word = LDC1(20, 0, A2)},
    {.name = "sw", .word = SW(T0, 0, A2)},
    {.name = "sb", .word = SB(T0, 1, A2)},
    {.name = "lw.user", .word = LW(T0, 0, A2), .status = STATUS_USER},
    {.name = "sw.user", .word = SW(T0, 0, A2), .status = STATUS_USER},
};

/* The data of exc_run.c's NONE_VA, here with the flags under test. */
static void data_accesses(uint32_t flags)
{
	for (unsigned i = 0; i < ARRAY_LEN(accesses); i++)
		for (unsigned j = i % 4; j < exc_num_places; j += 4) { /* each place with some access */
			tlb_put(9, PAGEMASK_4K, NONE_VA, LO(PHYS(page), LO_V) | flags, LO(PHYS(page), LO_V) | flags);
			exc_run_at(&accesses[i], &exc_places[j]);
		}
}

static void fetches(uint32_t status)
{
	struct exc_case c = {.name = "fetch", .status = status};

	exc_put_word(CODE_VA + 0x100, JR(T9));
	exc_put_word(CODE_VA + 0x104, NOP);
	page[0] = ADDIU(T0, ZERO, 7);
	page[1] = SYSCALL(1);
	exc_run(&c, "jr", CODE_VA + 0x100, DATA);
	/* the odd code page is not executable: walk into it, and a branch whose slot is there */
	exc_map(LO_V | LO_D | LO_XI);
	exc_put_word(CODE_VA + 0xff8, NOP);
	exc_put_word(CODE_VA + 0xffc, NOP);
	exc_run(&c, "walk", CODE_VA + 0xff8, 0);
	exc_put_word(CODE_VA + 0xffc, exc_branch_word(BRANCH_BEQ, CODE_VA + 0xffc, CODE_VA + 0x80));
	exc_run(&c, "slot", CODE_VA + 0xff8, 0);
	exc_map(LO_V | LO_D);
}

static void all(const char *name, uint32_t pagegrain)
{
	static const uint32_t flags[] = {0, LO_RI, LO_XI, LO_RI | LO_XI};

	for (unsigned i = 0; i < ARRAY_LEN(flags); i++) {
		put_text(name);
		put_field("flags", flags[i]);
		WRITE_C0(5, 1, pagegrain);
		put_field("pagegrain", READ_C0(5, 1));
		put_char('\n');
		WRITE_C0(5, 1, pagegrain);
		exc_map(LO_V | LO_D);
		data_accesses(flags[i]);
		for (unsigned user = 0; user < 2; user++) {
			tlb_put(10, PAGEMASK_4K, DATA, LO(PHYS(page), LO_V) | flags[i], 0);
			fetches(user ? STATUS_USER : 0);
		}
		/* what was written and what the TLB gives back */
		tlb_put(11, PAGEMASK_4K, 0x00b00000u, LO(PHYS(page), LO_V) | flags[i], LO_RI | LO_XI);
		put_field("lo0", READ_C0(2, 0));
		put_field("lo1", READ_C0(3, 0));
		__asm__ volatile("tlbr\n\tehb" ::: "memory");
		put_field("tlbr_lo0", READ_C0(2, 0));
		put_field("tlbr_lo1", READ_C0(3, 0));
		put_char('\n');
	}
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	all("none", 0);
	all("RIE", PG_RIE);
	all("XIE", PG_XIE);
	all("RIE XIE", PG_RIE | PG_XIE);
	all("RIE XIE IEC", PG_RIE | PG_XIE | PG_IEC);
	WRITE_C0(5, 1, 0);
}
