/* SPDX-License-Identifier: MIT */
#include "tests/guest/exc_run.h"

#include "tests/guest/words.h"

#define MID   (CODE_VA + 0x804)
#define FIRST (CODE_VA + PAGE)
#define LAST  (CODE_VA + PAGE - 4)

const struct exc_place exc_places[] = {
    {"kseg0", 0, BRANCH_NONE},
    {"kseg0.beq", 0, BRANCH_BEQ},
    {"kseg0.jr", 0, BRANCH_JR},
    {"kseg0.beql", 0, BRANCH_BEQL},
    {"kseg0.jal", 0, BRANCH_JAL},
    {"mid", MID, BRANCH_NONE},
    {"mid.beq", MID, BRANCH_BEQ},
    {"mid.bne_not", MID, BRANCH_BNE_NOT},
    {"mid.j", MID, BRANCH_J},
    {"mid.jal", MID, BRANCH_JAL},
    {"mid.jr", MID, BRANCH_JR},
    {"mid.jalr", MID, BRANCH_JALR},
    {"mid.beql", MID, BRANCH_BEQL},
    {"mid.beql_not", MID, BRANCH_BEQL_NOT},
    {"mid.bgezal", MID, BRANCH_BGEZAL},
    {"first", FIRST, BRANCH_NONE},
    {"last", LAST, BRANCH_NONE},
    {"last.beq", LAST, BRANCH_BEQ},
    {"last.jr", LAST, BRANCH_JR},
    /* the branch in the last word of one page, its slot in the next */
    {"split.beq", FIRST, BRANCH_BEQ},
    {"split.bne_not", FIRST, BRANCH_BNE_NOT},
    {"split.j", FIRST, BRANCH_J},
    {"split.jal", FIRST, BRANCH_JAL},
    {"split.jr", FIRST, BRANCH_JR},
    {"split.beql", FIRST, BRANCH_BEQL},
    {"split.beql_not", FIRST, BRANCH_BEQL_NOT},
};
const unsigned exc_num_places = ARRAY_LEN(exc_places);

/* The odd page lies below the even one. */
PAGE_ALIGNED uint32_t exc_odd_page[PAGE / 4];
static PAGE_ALIGNED uint32_t data_page[2][PAGE / 4];
PAGE_ALIGNED uint32_t exc_even_page[PAGE / 4];
static PAGE_ALIGNED uint32_t kseg0_page[PAGE / 4];

void exc_map(uint32_t odd_flags)
{
	tlb_clear();
	tlb_put(0, PAGEMASK_4K, CODE_VA, LO(PHYS(exc_even_page), LO_V | LO_D), LO(PHYS(exc_odd_page), odd_flags));
	tlb_put(1, PAGEMASK_4K, RW_VA, LO(PHYS(data_page[0]), LO_V | LO_D), LO(PHYS(data_page[1]), LO_V));
	tlb_put(2, PAGEMASK_4K, INVALID_VA, LO(PHYS(data_page[0]), 0), LO(PHYS(data_page[1]), 0));
	tlb_put(3, PAGEMASK_4K, BUS_VA, LO(BUS_PA, LO_V | LO_D), LO(BUS_PA, LO_V | LO_D));
	WRITE_C0(10, 0, 0);
}

void exc_put_word(uint32_t va, uint32_t word)
{
	volatile uint32_t *p = (volatile uint32_t *)(uintptr_t)va;

	if (va < CODE_VA + PAGE)
		p = &exc_even_page[(va % PAGE) / 4];
	else if (va < CODE_VA + 2 * PAGE)
		p = &exc_odd_page[(va % PAGE) / 4];
	*p = word;
}

uint32_t exc_branch_word(enum exc_branch kind, uint32_t at, uint32_t target)
{
	uint32_t words = (target - at - 4) >> 2;

	switch (kind) {
	case BRANCH_BEQ:
		return BEQ(S1, S6, words);
	case BRANCH_BNE_NOT:
		return BNE(S1, S6, words);
	case BRANCH_J:
		return J(target);
	case BRANCH_JAL:
		return JAL(target);
	case BRANCH_JR:
		return JR(T9);
	case BRANCH_JALR:
		return JALR(RA, T9);
	case BRANCH_BEQL:
		return BEQL(S1, S6, words);
	case BRANCH_BEQL_NOT:
		return BEQL(S1, S0, words);
	case BRANCH_BGEZAL:
		return BGEZAL(S1, words);
	default:
		return NOP;
	}
}

void exc_set_registers(uint32_t gpr[32], uint32_t t8, uint32_t t9)
{
	for (uint32_t i = 0; i < 32; i++)
		gpr[i] = i * 0x01010101u;
	gpr[A0] = RW_VA;
	gpr[A1] = RO_VA;
	gpr[A2] = NONE_VA;
	gpr[A3] = INVALID_VA;
	gpr[S0] = 0x7fffffff;
	gpr[S1] = 1;
	gpr[S2] = 0x80000000;
	gpr[S3] = 0xffffffff;
	gpr[S4] = KSEG0(PHYS(data_page));
	gpr[S5] = BUS_VA;
	gpr[S6] = 1; /* not BNE s1, s1: QEMU takes that for a NOP, and its slot for no slot */
	gpr[T8] = t8;
	gpr[T9] = t9;
}

/* A NaN of the legacy encoding: the quiet bit is 0 in a quiet one. */
static void set_fpu(uint32_t fcsr)
{
	static const uint32_t single[] = {0x3f800000, 0, 0x7f7fffff, 0x00800000, 0x7fc00000, 0xbf800000};

#define PUT(n, v) __asm__ volatile("mtc1 %0, $f" #n ::"r"(v))
	PUT(0, single[0]);
	PUT(2, single[1]);
	PUT(4, single[2]);
	PUT(6, single[3]);
	PUT(8, single[4]);
	PUT(10, single[5]);
	PUT(12, 0);
	PUT(13, 0x3ff00000);
	PUT(14, 0);
	PUT(15, 0);
	PUT(16, 0x7fbfffff);
	PUT(20, 0x12345678);
	PUT(21, 0x12345678);
#undef PUT
	__asm__ volatile("ctc1 %0, $31" ::"r"(fcsr));
}

static uint32_t hash_state(void)
{
	uint32_t h = HASH_START;

	for (unsigned i = 1; i < 32; i++)
		if (i != 26 && i != 27)
			h = hash_word(h, trap.gpr[i]);
	h = hash_word(h, trap.hi);
	h = hash_word(h, trap.lo);
	h = hash_word(h, trap.fpr[0]);
	return hash_word(h, trap.fpr[1]);
}

static void print(const char *name, const char *place)
{
	bool tlb = TRAP_CODE >= 1 && TRAP_CODE <= 3, address_error = TRAP_CODE == EXC_ADEL || TRAP_CODE == EXC_ADES;

	put_text(name);
	put_char(' ');
	put_text(place);
	put_field("vector", trap.vector);
	/* CE is undefined but for CpU */
	put_field("cause", trap.cause & (TRAP_CODE == EXC_CPU ? ~0u : ~0x30000000u));
	put_field("epc", trap.epc);
	put_field("badvaddr", trap.badvaddr);
	put_field("entryhi", address_error ? trap.entryhi & 0xff : trap.entryhi);
	if (tlb) /* BadVPN2 is what an address error left, otherwise */
		put_field("context", trap.context);
	put_field("status", trap.status);
	put_field("fcsr", trap.fcsr & ~0x000c0000u); /* NAN2008, ABS2008: release 5 */
	put_field("state", hash_state());
	put_char('\n');
}

void exc_run(const struct exc_case *c, const char *place, uint32_t va, uint32_t t9)
{
	uint32_t gpr[32], status = (STATUS_KERNEL & ~STATUS_CU0) | c->status;

	if (c->no_cu1)
		status &= ~STATUS_CU1;
	exc_set_registers(gpr, c->t8, t9);
	set_fpu(c->fcsr);
	WRITE_C0(4, 0, 0xab800000u); /* Context.PTEBase */
	WRITE_C0(10, 0, 0x00000000u);
	WRITE_C0(11, 0, READ_C0(9, 0) + 0x7fffffffu); /* no timer interrupt in Cause */
	guest_run(va, status, gpr);
	print(c->name, place);
}

void exc_run_at(const struct exc_case *c, const struct exc_place *p)
{
	uint32_t va = p->va ? p->va : KSEG0(PHYS(kseg0_page)) + 0x404;
	uint32_t target = (va & ~63u) + 128, branch_at = p->branch ? va - 4 : va;

	if (c->status & STATUS_USER && !p->va)
		return;
	exc_put_word(branch_at - 4, c->pre);
	if (p->branch)
		exc_put_word(branch_at, exc_branch_word(p->branch, branch_at, target));
	exc_put_word(va, c->word);
	exc_put_word(va + 4, SYSCALL(0x111));
	exc_put_word(target, SYSCALL(0x222));
	exc_run(c, p->name, branch_at - 4, target);
}
