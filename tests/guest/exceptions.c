/* SPDX-License-Identifier: MIT */
/* Every exception code, at every place, and those of instruction fetch: one line each, the same on QEMU. */
#include "tests/guest/exc_run.h"
#include "tests/guest/words.h"

#define NONE_CODE_VA 0x00900000u

static const enum exc_branch all_branches[] = {BRANCH_BEQ, BRANCH_BNE_NOT, BRANCH_J,    BRANCH_JAL,
					       BRANCH_JR,  BRANCH_JALR,    BRANCH_BEQL, BRANCH_BGEZAL};

/* Execution gets to `target` by a JR, or by walking off the page in front of it. */
static void fetch_jump(const char *name, uint32_t target, uint32_t status)
{
	struct exc_case c = {.name = name, .status = status};

	exc_put_word(CODE_VA + 0x100, JR(T9));
	exc_put_word(CODE_VA + 0x104, ADDIU(T0, ZERO, 0x55)); /* the slot is executed */
	exc_run(&c, "fetch.jr", CODE_VA + 0x100, target);
	exc_put_word(CODE_VA + 0x100, JALR(RA, T9));
	exc_run(&c, "fetch.jalr", CODE_VA + 0x100, target);
	if (target & 3 || target >> 28 != CODE_VA >> 28)
		return;
	exc_put_word(CODE_VA + 0x100, J(target));
	exc_run(&c, "fetch.j", CODE_VA + 0x100, 0);
}

/*
 * Not here: a target with bit 0 set (QEMU's 34Kf has MIPS16 and goes there), and a misaligned target in a page that is
 * not mapped (the address error comes first, PRA volume III, "Exception priority"; QEMU reports the TLB miss).
 */
static void fetch_cases(uint32_t status)
{
	fetch_jump("TLBL.refill", NONE_CODE_VA + 0x10, status);
	fetch_jump("TLBL.invalid", INVALID_VA + 0x20, status);
	fetch_jump("AdEL.2", CODE_VA + 0x202, status);
	fetch_jump("IBE", BUS_VA + 0x30, status);
	if (status & STATUS_USER) {
		fetch_jump("AdEL.user", KSEG0(PHYS(exc_even_page)), status);
		fetch_jump("AdEL.user3", 0xc0000000u, status);
	} else {
		fetch_jump("TLBL.kseg3", 0xfffffffcu & ~0xfffu, status);
		fetch_jump("TLBL.kseg2", 0xc0001000u, status);
	}
}

/* From the last word of the even page on: the odd page is invalid. */
static void page_end_invalid(uint32_t status)
{
	struct exc_case c = {.name = "TLBL.invalid", .status = status};

	exc_map(0);
	exc_put_word(CODE_VA + 0xff8, NOP);
	exc_put_word(CODE_VA + 0xffc, ADDIU(T0, ZERO, 0x66));
	exc_run(&c, "fetch.walk", CODE_VA + 0xff8, 0);
	exc_put_word(CODE_VA + 0x80, SYSCALL(0x333));
	for (unsigned i = 0; i < ARRAY_LEN(all_branches); i++) {
		exc_put_word(CODE_VA + 0xffc, exc_branch_word(all_branches[i], CODE_VA + 0xffc, CODE_VA + 0x80));
		exc_run(&c, "fetch.slot", CODE_VA + 0xff8, CODE_VA + 0x80);
		exc_run(&c, "fetch.slot_first", CODE_VA + 0xffc, CODE_VA + 0x80);
	}
	c = (struct exc_case){.name = "CpU1.bc1t", .status = status, .no_cu1 = true};
	exc_put_word(CODE_VA + 0xffc, BC1T(0x20)); /* unusable before its slot matters */
	exc_run(&c, "fetch.slot", CODE_VA + 0xff8, 0);
	exc_map(LO_V | LO_D);
}

/* The same at the end of the odd page: no TLB entry at all for the next. */
static void page_end_refill(uint32_t status)
{
	struct exc_case c = {.name = "TLBL.refill", .status = status};

	exc_put_word(CODE_VA + 0x1ff8, NOP);
	exc_put_word(CODE_VA + 0x1ffc, ADDIU(T0, ZERO, 0x66));
	exc_run(&c, "fetch.walk", CODE_VA + 0x1ff8, 0);
	for (unsigned i = 0; i < ARRAY_LEN(all_branches); i++) {
		exc_put_word(CODE_VA + 0x1ffc, exc_branch_word(all_branches[i], CODE_VA + 0x1ffc, CODE_VA + 0x80));
		exc_run(&c, "fetch.slot", CODE_VA + 0x1ff8, CODE_VA + 0x80);
		exc_run(&c, "fetch.slot_first", CODE_VA + 0x1ffc, CODE_VA + 0x80);
	}
}

/* A load in the slot on the other page faults; the handler's job done, the branch is executed again and goes through. */
static void restart_after_fault(void)
{
	static const struct exc_case c = {.name = "restart", .word = LW(T0, 0, A2)};
	static const struct exc_place split[] = {
	    {"split.beq", CODE_VA + PAGE, BRANCH_BEQ},
	    {"split.bne_not", CODE_VA + PAGE, BRANCH_BNE_NOT},
	    {"split.jalr", CODE_VA + PAGE, BRANCH_JALR},
	    {"mid.beql", CODE_VA + 0x200, BRANCH_BEQL},
	};

	for (unsigned i = 0; i < ARRAY_LEN(split); i++) {
		uint32_t target = (split[i].va & ~63u) + 128;

		exc_map(LO_V | LO_D);
		exc_run_at(&c, &split[i]);
		tlb_put(9, PAGEMASK_4K, NONE_VA, LO(PHYS(exc_even_page), LO_V), LO(PHYS(exc_even_page), LO_V));
		exc_run(&c, "again", trap.epc, target);
	}
	exc_map(LO_V | LO_D);
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	exc_map(LO_V | LO_D);
	for (unsigned i = 0; i < exc_num_cases; i++)
		for (unsigned j = 0; j < exc_num_places; j++)
			exc_run_at(&exc_cases[i], &exc_places[j]);
	fetch_cases(0);
	fetch_cases(STATUS_USER);
	page_end_invalid(0);
	page_end_invalid(STATUS_USER);
	page_end_refill(0);
	page_end_refill(STATUS_USER);
	restart_after_fault();
}
