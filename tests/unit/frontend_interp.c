/* SPDX-License-Identifier: MIT */
/*
 * The lifts that no user-mode oracle can be asked about, run by the reference interpreter with helpers that record
 * their calls: CP0, TLB, LL/SC, exceptions in delay slots, pc-relative values across pages.
 * Expectations are written down from the manual (MIPS32 volume II, by instruction), not computed.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "frontend/cp0.h"
#include "frontend/insn.h"

#define PC_PAGE   0x00403000u
#define PC(off)   (PC_PAGE + (off))
#define MAX_CALLS 8

struct call {
	enum ir_helper helper;
	uint64_t a, b, c, pc;
	uint32_t site;
};

struct cpu {
	struct guest_state gs; /* first: helpers cast */
	helper_fn *helpers[NUM_HELPERS];
	struct frontend *f;
	struct arena arena;
	struct call calls[MAX_CALLS];
	unsigned n_calls;
	uint64_t result; /* of the next helper that has one */
	bool fault;      /* memory helpers raise */
	enum exit_reason why;
	uint32_t executed;
};

static uint64_t record(struct guest_state *gs, enum ir_helper helper, uint64_t a, uint64_t b, uint64_t c)
{
	struct cpu *cpu = (struct cpu *)gs;

	cr_assert(cpu->n_calls < MAX_CALLS);
	cpu->calls[cpu->n_calls++] = (struct call){helper, a, b, c, gs->pc, gs->site};
	if (helper == HELPER_RAISE || (cpu->fault && (helper == HELPER_MEM_LOAD || helper == HELPER_MEM_STORE)))
		gs->leave = EXIT_EXCEPTION;
	if (helper == HELPER_ERET)
		gs->pc = 0x1234;
	return cpu->result;
}

/* One recorder per row of helpers.def, since a helper is not told its own name. */
#define HELPER(name, ...)                                                                                              \
	static uint64_t record_##name(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)                      \
	{                                                                                                              \
		return record(gs, HELPER_##name, a, b, c);                                                             \
	}
#include "ir/helpers.def"
#include "ir/fpu_helpers.def"
#undef HELPER

static void cpu_init(struct cpu *c)
{
	memset(c, 0, sizeof(*c));
#define HELPER(name, ...) c->helpers[HELPER_##name] = record_##name;
#include "ir/helpers.def"
#include "ir/fpu_helpers.def"
#undef HELPER
	c->gs.helpers = c->helpers;
	c->f = frontend_new(ISA_MIPS32R1 | ISA_MIPS32R2 | ISA_FPU);
	cr_assert(c->f, "Capstone cannot be opened");
	for (unsigned r = 1; r < NUM_REGS; r++)
		c->gs.reg[r] = 0x01010101u * r;
}

static void cpu_free(struct cpu *c)
{
	frontend_free(c->f);
	arena_free(&c->arena);
}

/* Execute the block at off of the page at pc_page (or, MODE_ABS, the same address), with or without passes. */
static void run_at(struct cpu *c, uint32_t mode, uint32_t page, uint32_t off, const uint32_t *words, uint32_t n,
		   bool passes)
{
	bool straddles = off + 4 * n > PAGE_BYTES;
	struct lift_request rq = {.mode = mode,
				  .abs_page = mode & MODE_ABS ? page : 0,
				  .off = off,
				  .words = words,
				  .n_words = straddles ? 1 : n,
				  .slot = straddles ? &words[1] : NULL,
				  .max_guest = n};
	struct ir_block *b;

	arena_reset(&c->arena);
	cr_assert_eq(frontend_lift(c->f, &c->arena, &rq, &b), LIFT_OK);
	cr_assert_null(ir_verify(b));
	if (passes)
		ir_run_passes(b, NULL);
	c->n_calls = 0;
	c->gs.pc_page = mode & MODE_ABS ? 0 : page;
	c->gs.pc = page + off;
	c->why = ir_interp(b, &c->gs, &c->executed);
}

#define RUN(c, mode, off, ...)                                                                                         \
	run_at((c), (mode), PC_PAGE, (off), (const uint32_t[]){__VA_ARGS__},                                           \
	       ARRAY_LEN(((const uint32_t[]){__VA_ARGS__})), passes)

#define NOP          0x00000000u
#define ADDIU_24     0x27180001u                       /* addiu $24, $24, 1 */
#define LW_2         0x8c620000u                       /* lw $2, 0($3) */
#define SW_2         0xac620000u                       /* sw $2, 0($3) */
#define MTC0(r, sel) (0x40820000u | (r) << 11 | (sel)) /* from $2 */
#define MFC0(r, sel) (0x40020000u | (r) << 11 | (sel)) /* to $2 */

/* Each test runs on blocks as lifted and after the passes. */
#define FOR_BOTH(passes) for (unsigned passes = 0; passes < 2; passes++)

static void expect_call(const struct cpu *c, unsigned i, enum ir_helper h, uint64_t a, uint64_t b, uint32_t pc,
			uint32_t site)
{
	cr_assert(i < c->n_calls, "call %u of %u", i, c->n_calls);
	cr_expect_eq(c->calls[i].helper, h, "call %u: %s", i, ir_helper_info[c->calls[i].helper].name);
	cr_expect_eq(c->calls[i].a, a, "call %u: a is %llx", i, (unsigned long long)c->calls[i].a);
	cr_expect_eq(c->calls[i].b, b, "call %u: b is %llx", i, (unsigned long long)c->calls[i].b);
	cr_expect_eq(c->calls[i].pc, pc, "call %u: pc is %llx", i, (unsigned long long)c->calls[i].pc);
	cr_expect_eq(c->calls[i].site, site, "call %u: site is %x", i, c->calls[i].site);
}

Test(frontend_interp, ll_and_sc)
{
	struct cpu c;

	cpu_init(&c);
	FOR_BOTH(passes)
	{
		c.gs.reg[3] = 0x1000;
		c.result = 0x89abcdef;
		RUN(&c, 0, 0, 0xc062fffc); /* ll $2, -4($3) */
		expect_call(&c, 0, HELPER_MEM_LOAD, 0xffc, MEM_META(2, 0), PC(0), SITE(0, 1));
		cr_expect_eq(c.gs.reg[2], 0x89abcdef);
		cr_expect(c.gs.llbit == 1 && c.gs.lladdr == 0xffc && c.gs.llval == 0x89abcdef);
		c.gs.reg[2] = 7;
		RUN(&c, MODE_BE, 0, 0xe062fffc); /* sc $2, -4($3) */
		expect_call(&c, 0, HELPER_MEM_LOAD, 0xffc, MEM_META(2, MEM_BE | MEM_INTENT), PC(0), SITE(0, 1));
		expect_call(&c, 1, HELPER_MEM_STORE, 0xffc, 7, PC(0), SITE(0, 1));
		cr_expect_eq(c.calls[1].c, MEM_META(2, MEM_BE | MEM_MORE));
		cr_expect(c.gs.reg[2] == 1 && c.gs.llbit == 0);
		c.gs.llbit = 1;
		c.gs.reg[2] = 7;
		RUN(&c, 0, 0, 0xe0620000); /* another address: what is there is put back */
		expect_call(&c, 1, HELPER_MEM_STORE, 0x1000, 0x89abcdef, PC(0), SITE(0, 1));
		cr_expect(c.gs.reg[2] == 0 && c.gs.llbit == 0);
		c.gs.llbit = 1;
		c.result = 0x89abcdee; /* the word has changed */
		c.gs.reg[2] = 7;
		RUN(&c, 0, 0, 0xe062fffc);
		expect_call(&c, 1, HELPER_MEM_STORE, 0xffc, 0x89abcdee, PC(0), SITE(0, 1));
		cr_expect_eq(c.gs.reg[2], 0);
		c.fault = true; /* the destination of an LL that faults keeps its value */
		c.gs.reg[2] = 1;
		RUN(&c, 0, 0, 0xc0620000);
		cr_expect_eq(c.why, EXIT_EXCEPTION);
		cr_expect_eq(c.gs.reg[2], 1);
		c.fault = false;
	}
	cpu_free(&c);
}

/* The load half of SWL and SWR faults as a store: TLBS and Modified, not TLBL. */
Test(frontend_interp, unaligned_stores_load_with_intent)
{
	struct cpu c;

	cpu_init(&c);
	FOR_BOTH(passes)
	{
		c.gs.reg[3] = 0x1003;
		c.gs.reg[2] = 0x11223344;
		c.result = 0xaabbccdd;
		RUN(&c, 0, 0, 0xa862fffe); /* swl $2, -2($3): byte 1 */
		expect_call(&c, 0, HELPER_MEM_LOAD, 0x1000, MEM_META(2, MEM_INTENT), PC(0), SITE(0, 1));
		expect_call(&c, 1, HELPER_MEM_STORE, 0x1000, 0xaabb1122, PC(0), SITE(0, 1));
		RUN(&c, MODE_BE, 0, 0xb862fffe); /* swr $2: big-endian byte 1 is bits 23:16 */
		expect_call(&c, 0, HELPER_MEM_LOAD, 0x1000, MEM_META(2, MEM_INTENT | MEM_BE), PC(0), SITE(0, 1));
		expect_call(&c, 1, HELPER_MEM_STORE, 0x1000, 0x3344ccdd, PC(0), SITE(0, 1));
	}
	cpu_free(&c);
}

/* A load to $0 is done and can fault. */
Test(frontend_interp, load_to_zero_is_performed)
{
	struct cpu c;

	cpu_init(&c);
	c.gs.reg[3] = 0x1000;
	FOR_BOTH(passes)
	{
		RUN(&c, 0, 0, 0x8c600008); /* lw $0, 8($3) */
		cr_expect_eq(c.n_calls, 1);
		expect_call(&c, 0, HELPER_MEM_LOAD, 0x1008, MEM_META(2, 0), PC(0), SITE(0, 1));
	}
	cpu_free(&c);
}

/* Overflow and traps leave the destination, and are at the right pc with the right instruction count left. */
Test(frontend_interp, raising_leaves_the_destination)
{
	struct cpu c;

	cpu_init(&c);
	FOR_BOTH(passes)
	{
		c.gs.reg[2] = 0x7fffffff;
		c.gs.reg[24] = 5;
		RUN(&c, 0, 8, ADDIU_24, 0x20420001, ADDIU_24); /* addi $2, $2, 1 */
		cr_expect_eq(c.why, EXIT_EXCEPTION);
		expect_call(&c, 0, HELPER_RAISE, EXC_OV, 0, PC(12), SITE(0, 2));
		cr_expect_eq(c.gs.reg[2], 0x7fffffff);
		cr_expect_eq(c.gs.reg[24], 6);
		cr_expect_eq(c.executed, 1);
		RUN(&c, 0, 0, 0x04480000 | 0xfffe); /* tgei $2, -2 */
		expect_call(&c, 0, HELPER_RAISE, EXC_TR, 0, PC(0), SITE(0, 1));
		RUN(&c, 0, 0, 0x04490000 | 0xfffe); /* tgeiu $2, 0xfffffffe */
		cr_expect_eq(c.n_calls, 0);
	}
	cpu_free(&c);
}

/* In a slot: pc is the slot's, BD is set, nothing of the slot is done, the link register is written. */
Test(frontend_interp, exceptions_in_delay_slots)
{
	struct cpu c;

	cpu_init(&c);
	FOR_BOTH(passes)
	{
		c.gs.reg[31] = 0;
		c.fault = true;
		c.gs.reg[3] = 0x1000;
		c.gs.reg[2] = 7;
		RUN(&c, 0, 16, NOP, 0x0c000123, LW_2); /* jal */
		cr_expect_eq(c.why, EXIT_EXCEPTION);
		expect_call(&c, 0, HELPER_MEM_LOAD, 0x1000, MEM_META(2, 0), PC(24), SITE(1, 1));
		cr_expect_eq(c.gs.reg[31], PC(28));
		cr_expect_eq(c.gs.reg[2], 7);
		c.fault = false;
		RUN(&c, 0, 16, 0x10000003, 0x0000000c); /* b; syscall */
		cr_expect_eq(c.why, EXIT_EXCEPTION);
		expect_call(&c, 0, HELPER_RAISE, EXC_SYS, 0, PC(20), SITE(1, 1));
		RUN(&c, 0, 4092, 0x03e00008, 0x0000000d); /* jr $ra; break in the next page */
		expect_call(&c, 0, HELPER_SLOT_CHECK, 0x0000000d, 0, PC(4092), SITE(0, 2));
		expect_call(&c, 1, HELPER_RAISE, EXC_BP, 0, PC(4096), SITE(1, 1));
		RUN(&c, MODE_USER, 0, 0x03e00008, MFC0(12, 0));
		expect_call(&c, 0, HELPER_RAISE, EXC_CPU, 0, PC(4), SITE(1, 1));
		RUN(&c, MODE_USER, 0, 0x46000000); /* add.s without CU1 */
		expect_call(&c, 0, HELPER_RAISE, EXC_CPU | 1 << 8, 0, PC(0), SITE(0, 1));
	}
	cpu_free(&c);
}

/* A branch's operands are those before the slot, which may overwrite them; likely slots are nullified. */
Test(frontend_interp, slots_run_after_the_decision)
{
	struct cpu c;

	cpu_init(&c);
	FOR_BOTH(passes)
	{
		c.gs.reg[24] = 0;
		RUN(&c, 0, 0, 0x17000003, ADDIU_24); /* bnez $24; addiu $24, $24, 1 */
		cr_expect_eq(c.gs.pc, PC(8));
		cr_expect_eq(c.gs.reg[24], 1);
		RUN(&c, 0, 0, 0x03000008, ADDIU_24); /* jr $24 */
		cr_expect_eq(c.gs.pc, 1);
		cr_expect_eq(c.gs.reg[24], 2);
		RUN(&c, 0, 0, 0x53000003, ADDIU_24); /* beqzl $24: not taken */
		cr_expect_eq(c.gs.pc, PC(8));
		cr_expect_eq(c.gs.reg[24], 2);
		cr_expect_eq(c.executed, 1);
		RUN(&c, 0, 0, 0x57000003, ADDIU_24); /* bnezl $24: taken */
		cr_expect_eq(c.gs.pc, PC(16));
		cr_expect_eq(c.gs.reg[24], 3);
		RUN(&c, 0, 0, 0x07120003, ADDIU_24); /* bltzall $24: links though not taken */
		cr_expect_eq(c.gs.pc, PC(8));
		cr_expect_eq(c.gs.reg[31], PC(8));
		cr_expect_eq(c.gs.reg[24], 3);
	}
	cpu_free(&c);
}

/* J takes its region from the delay slot, which may be in the next one. */
Test(frontend_interp, region_of_a_jump)
{
	static const uint32_t jal[] = {0x0c000123, NOP};
	struct cpu c;

	cpu_init(&c);
	FOR_BOTH(passes)
	{
		run_at(&c, 0, 0x2ffff000, 4088, jal, 2, passes);
		cr_expect_eq(c.gs.pc, 0x2000048c);
		run_at(&c, 0, 0x2ffff000, 4092, jal, 2, passes);
		cr_expect_eq(c.gs.pc, 0x3000048c);
		cr_expect_eq(c.gs.reg[31], 0x30000004);
		run_at(&c, MODE_ABS, 0x8ffff000, 4092, jal, 2, passes);
		cr_expect_eq(c.gs.pc, 0x9000048c);
		cr_expect_eq(c.gs.reg[31], 0x90000004);
		run_at(&c, MODE_ABS, 0xfffff000, 4092, jal, 2, passes); /* the slot is at address 0 */
		cr_expect_eq(c.gs.pc, 0x0000048c);
		cr_expect_eq(c.gs.reg[31], 4);
		run_at(&c, 0, 0x00000000, 0, (uint32_t[]){0x1000ff00, NOP}, 2, passes); /* b -255 words */
		cr_expect_eq(c.gs.pc, 0xfffffc04);
	}
	cpu_free(&c);
}

Test(frontend_interp, cp0_reads)
{
	struct cpu c;

	cpu_init(&c);
	FOR_BOTH(passes)
	{
		c.gs.cp0[CP0_EPC] = 0x80123456;
		c.result = 0xc0ffee;
		RUN(&c, 0, 0, MFC0(14, 0));
		cr_expect_eq(c.n_calls, 0);
		cr_expect_eq(c.gs.reg[2], 0x80123456);
		RUN(&c, 0, 4, MFC0(9, 0)); /* Count is computed */
		expect_call(&c, 0, HELPER_CP0_READ, CP0_Count, 0, PC(4), SITE(0, 1));
		cr_expect_eq(c.gs.reg[2], 0xc0ffee);
		RUN(&c, 0, 0, MFC0(22, 7)); /* no such register */
		cr_expect_eq(c.n_calls, 0);
		cr_expect_eq(c.gs.reg[2], 0);
		RUN(&c, MODE_USER | MODE_CU0, 0, MFC0(14, 0));
		cr_expect_eq(c.gs.reg[2], 0x80123456);
	}
	cpu_free(&c);
}

Test(frontend_interp, cp0_writes)
{
	struct cpu c;

	cpu_init(&c);
	FOR_BOTH(passes)
	{
		c.gs.reg[2] = 0xffffffff;
		c.gs.cp0[CP0_Index] = 0x80000000; /* P stays: not in the write mask */
		RUN(&c, 0, 0, MTC0(0, 0), ADDIU_24);
		cr_expect_eq(c.gs.cp0[CP0_Index], 0x8000003f);
		cr_expect_eq(c.why, EXIT_LINK);
		cr_expect_eq(c.executed, 2);
		c.gs.cp0[CP0_BadVAddr] = 0x1234;
		RUN(&c, 0, 0, MTC0(8, 0)); /* read-only */
		cr_expect_eq(c.gs.cp0[CP0_BadVAddr], 0x1234);
		RUN(&c, 0, 0, MTC0(12, 0), ADDIU_24);
		expect_call(&c, 0, HELPER_CP0_WRITE, CP0_Status, 0xffffffff, PC(0), SITE(0, 1));
		cr_expect_eq(c.why, EXIT_PC_SET);
		cr_expect_eq(c.gs.pc, PC(4));
	}
	cpu_free(&c);
}

/* A privileged write in a slot happens, and then the branch goes where it goes. */
Test(frontend_interp, cp0_writes_in_delay_slots)
{
	struct cpu c;

	cpu_init(&c);
	FOR_BOTH(passes)
	{
		c.gs.reg[24] = 0;
		RUN(&c, 0, 0, 0x13000003, MTC0(12, 0)); /* beqz $24 */
		expect_call(&c, 0, HELPER_CP0_WRITE, CP0_Status, c.gs.reg[2], PC(4), SITE(1, 1));
		cr_expect_eq(c.gs.pc, PC(16));
		RUN(&c, 0, 0, 0x17000003, MTC0(12, 0)); /* bnez $24 */
		cr_expect_eq(c.n_calls, 1);
		cr_expect_eq(c.gs.pc, PC(8));
		RUN(&c, MODE_ABS, 0, 0x17000003, 0x42000002); /* tlbwi */
		expect_call(&c, 0, HELPER_TLBWI, 0, 0, PC(4), SITE(1, 1));
		cr_expect_eq(c.gs.pc, PC(8));
		RUN(&c, 0, 0, 0x10000003, 0x41606020); /* b; ei */
		expect_call(&c, 0, HELPER_EI, 0, 0, PC(4), SITE(1, 1));
		cr_expect_eq(c.why, EXIT_PC_SET);
		cr_expect_eq(c.gs.pc, PC(16));
		c.gs.reg[31] = 0x80001230;
		RUN(&c, 0, 0, 0x03e00008, MTC0(12, 0)); /* jr $ra */
		cr_expect_eq(c.gs.pc, 0x80001230);
		RUN(&c, 0, 0, 0x57000003, MTC0(12, 0)); /* bnezl $24: nullified */
		cr_expect_eq(c.n_calls, 0);
		cr_expect_eq(c.gs.pc, PC(8));
	}
	cpu_free(&c);
}

Test(frontend_interp, system_instructions)
{
	static const struct {
		uint32_t word;
		enum ir_helper helper;
		enum exit_reason why;
		uint32_t pc;
	} cases[] = {
	    {0x42000001, HELPER_TLBR, EXIT_PC_SET, PC(4)},  {0x42000002, HELPER_TLBWI, EXIT_PC_SET, PC(4)},
	    {0x42000006, HELPER_TLBWR, EXIT_PC_SET, PC(4)}, {0x42000008, HELPER_TLBP, EXIT_LINK, PC(4)},
	    {0x42000018, HELPER_ERET, EXIT_PC_SET, 0x1234}, {0x42000020, HELPER_WAIT, EXIT_PC_SET, PC(4)},
	    {0x41606000, HELPER_DI, EXIT_LINK, PC(4)},      {0x41606020, HELPER_EI, EXIT_PC_SET, PC(4)},
	};
	struct cpu c;

	cpu_init(&c);
	FOR_BOTH(passes)
	{
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			RUN(&c, 0, 0, cases[i].word);
			cr_expect_eq(c.n_calls, 1);
			expect_call(&c, 0, cases[i].helper, 0, 0, PC(0), SITE(0, 1));
			cr_expect_eq(c.why, cases[i].why, "%08x", cases[i].word);
			cr_expect_eq(c.gs.pc, cases[i].pc, "%08x", cases[i].word);
		}
		c.result = 7;
		c.gs.reg[2] = 1;
		c.gs.reg[4] = 0x5000;
		c.gs.reg[5] = 3;
		RUN(&c, 0, 0, 0x42000828); /* hypcall 1: $2, $4, $5 go in, $2 comes out */
		expect_call(&c, 0, HELPER_HYPCALL, 1, 0x5000, PC(0), SITE(0, 1));
		cr_expect_eq(c.gs.reg[2], 7);
		cr_expect_eq(c.why, EXIT_PC_SET);
		c.result = 0x00400401;
		RUN(&c, 0, 0, 0x41626000); /* di $2 gives the old Status */
		cr_expect_eq(c.gs.reg[2], 0x00400401);
		RUN(&c, 0, 0, 0xbc75fff0); /* cache 0x15, -16($3) */
		expect_call(&c, 0, HELPER_CACHE, (uint32_t)c.gs.reg[3] - 16, 0x15, PC(0), SITE(0, 1));
		c.result = 0x7fff0000;
		RUN(&c, MODE_USER, 0, 0x7c03e83b); /* rdhwr $3, $29 */
		expect_call(&c, 0, HELPER_RDHWR, 29, 0, PC(0), SITE(0, 1));
		cr_expect_eq(c.gs.reg[3], 0x7fff0000);
		c.gs.reg[5] = 55;
		RUN(&c, 0, 0, 0x41452000, 0x41c43000); /* rdpgpr $4, $5; wrpgpr $6, $4 */
		cr_expect_eq(c.gs.reg[6], 55);
	}
	cpu_free(&c);
}

/* Loads and stores of a big-endian guest say so to whoever performs them. */
Test(frontend_interp, endianness_reaches_memory)
{
	struct cpu c;

	cpu_init(&c);
	c.gs.reg[3] = 0x1000;
	FOR_BOTH(passes)
	{
		RUN(&c, MODE_BE, 0, LW_2, 0x84620000, SW_2); /* lh $2 */
		cr_expect_eq(c.calls[0].b, MEM_META(2, MEM_BE));
		cr_expect_eq(c.calls[1].b, MEM_META(1, MEM_BE | MEM_SIGN));
		cr_expect_eq(c.calls[2].c, MEM_META(2, MEM_BE));
	}
	cpu_free(&c);
}
