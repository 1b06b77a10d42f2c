/* SPDX-License-Identifier: MIT */
/* The interpreter's contract: what helpers see, where pc ends up, how many instructions are done. */
#include <criterion/criterion.h>
#include <string.h>

#include "ir/ir.h"

struct test_guest {
	struct guest_state gs; /* first: helpers cast */
	enum ir_helper which;  /* of the last call */
	unsigned calls;
	uint64_t a, b, c, answer;
	uint64_t pc, site; /* at the last call */
	enum exit_reason leave;
	unsigned leave_at; /* ordinal of the call that leaves */
};

static uint64_t called(struct guest_state *gs, enum ir_helper h, uint64_t a, uint64_t b, uint64_t c)
{
	struct test_guest *t = (struct test_guest *)gs;

	t->which = h;
	t->a = a;
	t->b = b;
	t->c = c;
	t->pc = gs->pc;
	t->site = gs->site;
	if (++t->calls == t->leave_at) {
		gs->leave = t->leave;
		gs->pc = 0x80000180;
	}
	return t->answer;
}

#define HELPER(name, ...)                                                                                              \
	static uint64_t call_##name(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)                        \
	{                                                                                                              \
		return called(gs, HELPER_##name, a, b, c);                                                             \
	}
#include "ir/helpers.def"
#include "ir/fpu_helpers.def"
#undef HELPER
static helper_fn *const helpers[NUM_HELPERS] = {
#define HELPER(name, ...) call_##name,
#include "ir/helpers.def"
#include "ir/fpu_helpers.def"
#undef HELPER
};

#define HEAD     "block kernel\nguest 0xff8 0\nguest 0xffc 0\nguest 0x1000 0 bd\nexit page:+256\n"
#define HEAD_ABS "block kernel,abs page 0x80001000\nguest 0x10 0\n"
#define PAGE     0x7ffff000u

/* Run a block; 3 guest instructions with the slot of the second in the next page, unless the text says otherwise. */
static enum exit_reason run(struct test_guest *t, const char *text, uint32_t *done)
{
	struct arena a = {NULL};
	const char *err;
	struct ir_block *b = ir_parse(&a, text, &err);
	enum exit_reason why;

	cr_assert_not_null(b, "%s in\n%s", err, text);
	t->gs.helpers = helpers;
	t->gs.pc_page = PAGE;
	t->gs.pc = 0xdead;
	why = ir_interp(b, &t->gs, done);
	cr_assert_eq(t->gs.leave, EXIT_NONE);
	arena_free(&a);
	return why;
}

Test(ir_interp, terminators)
{
	static const struct {
		const char *text;
		uint64_t v0, pc;
		enum exit_reason why;
	} rows[] = {
	    {HEAD "jump @1, page:+8\n", 0, PAGE + 8, EXIT_LINK},
	    {HEAD "jump @1, page:-4\n", 0, PAGE - 4, EXIT_LINK},
	    {HEAD "jump @1, page:+0x7fffffff\n", 0, 0xffffefff, EXIT_LINK},
	    {HEAD "jump @1, region:0x1234\n", 0, 0x70001234, EXIT_LINK},
	    {HEAD_ABS "jump @0, abs:0x80001234\n", 0, 0x80001234, EXIT_LINK},
	    {HEAD "insn 0\n%1 = getreg $v0\nbranch @1, %1, page:+16, page:+32\n", 1, PAGE + 16, EXIT_LINK},
	    {HEAD "insn 0\n%1 = getreg $v0\nbranch @1, %1, page:+16, page:+32\n", 0, PAGE + 32, EXIT_LINK},
	    {HEAD "insn 0\n%1 = getreg $v0\nindirect @1, %1, return\n", 0xbfc00000, 0xbfc00000, EXIT_LINK},
	    {HEAD "leave @1, page:+4096\n", 0, PAGE + 4096, EXIT_PC_SET},
	    {HEAD "pc_set @1\n", 0, 0xdead, EXIT_PC_SET},
	    /* 32-bit addresses wrap */
	    {HEAD "jump @1, page:+0x7ffffffc\n", 0, 0xffffeffc, EXIT_LINK},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct test_guest t = {.calls = 0};
		uint32_t done = 99;

		t.gs.reg[2] = rows[i].v0;
		cr_expect_eq(run(&t, rows[i].text, &done), rows[i].why, "row %zu", i);
		cr_expect_eq(t.gs.pc, rows[i].pc, "row %zu: 0x%llx", i, (unsigned long long)t.gs.pc);
		cr_expect_eq(done, strstr(rows[i].text, "abs") ? 1 : 3, "row %zu: %u", i, done);
		cr_expect_eq(t.calls, 0);
	}
}

Test(ir_interp, term_raise)
{
	struct test_guest t = {.leave = EXIT_EXCEPTION, .leave_at = 1};
	uint32_t done;

	cr_expect_eq(run(&t, HEAD "raise @1, cpu.1\n", &done), EXIT_EXCEPTION);
	cr_expect_eq(t.which, HELPER_RAISE);
	cr_expect_eq(t.a, EXC_CPU | 1 << 8);
	cr_expect_eq(t.pc, PAGE + 0xffc);
	cr_expect_eq(t.site, SITE(0, 2));
	cr_expect_eq(t.gs.pc, 0x80000180);
	cr_expect_eq(done, 1);
}

Test(ir_interp, memory_calls)
{
	static const struct {
		const char *ins;
		enum ir_helper which;
		uint32_t meta;
		uint64_t value; /* of the load, or stored */
	} rows[] = {
	    {"%3 = load8s %1", HELPER_MEM_LOAD, MEM_META(0, MEM_SIGN), 0x89abcdef},
	    {"%3 = load8u.be %1", HELPER_MEM_LOAD, MEM_META(0, MEM_BE), 0x89abcdef},
	    {"%3 = load16s.be %1", HELPER_MEM_LOAD, MEM_META(1, MEM_BE | MEM_SIGN), 0x89abcdef},
	    {"%3 = load16u %1", HELPER_MEM_LOAD, MEM_META(1, 0), 0x89abcdef},
	    {"%3 = load32.intent %1", HELPER_MEM_LOAD, MEM_META(2, MEM_INTENT), 0x89abcdef},
	    {"%3 = load64 %1", HELPER_MEM_LOAD, MEM_META(3, 0), 0x0123456789abcdef},
	    {"store8 %1, %2", HELPER_MEM_STORE, MEM_META(0, 0), 0x89abcdef},
	    {"store16 %1, %2", HELPER_MEM_STORE, MEM_META(1, 0), 0x89abcdef},
	    {"store32.be %1, %2", HELPER_MEM_STORE, MEM_META(2, MEM_BE), 0x89abcdef},
	    {"store64 %1, %9", HELPER_MEM_STORE, MEM_META(3, 0), 0x89abcdef},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool load = rows[i].which == HELPER_MEM_LOAD, wide = strstr(rows[i].ins, "64");
		struct test_guest t = {.answer = 0x0123456789abcdef};
		char text[512];
		uint32_t done;

		snprintf(text, sizeof(text),
			 HEAD "insn 2\n%%1 = getreg $a0\n%%2 = getreg $a1\n%s%s\n%s\njump @1, page:+0\n",
			 wide && !load ? "%9 = zext64 %2\n" : "", rows[i].ins,
			 !load  ? ""
			 : wide ? "sts64 fpr[1], %3"
				: "setreg $v0, %3");
		t.gs.reg[4] = 0x1002;
		t.gs.reg[5] = 0x89abcdef;
		cr_assert_eq(run(&t, text, &done), EXIT_LINK);
		cr_expect_eq(t.which, rows[i].which);
		cr_expect_eq(t.a, 0x1002);
		cr_expect_eq(load ? t.b : t.c, rows[i].meta, "%s", rows[i].ins);
		cr_expect_eq(load ? (wide ? t.gs.fpr[1] : t.gs.reg[2]) : t.b, rows[i].value, "%s", rows[i].ins);
		cr_expect_eq(t.pc, PAGE + 0x1000, "a slot's own address");
		cr_expect_eq(t.site, SITE(1, 1));
	}
}

Test(ir_interp, leaving_from_helpers)
{
	static const char text[] =
	    HEAD "insn 0\n%1 = getreg $a0\ninsn 1\n%3 = load32 %1\nsetreg $v0, %3\n"
		 "%5 = call rdhwr %1\nsetreg $v1, %5\ninsn 2\nstore32 %1, %3\njump @1, page:+0\n";
	static const struct {
		unsigned leave_at;
		enum exit_reason why;
		uint32_t done;
		bool v0, v1;
	} rows[] = {
	    {1, EXIT_EXCEPTION, 1, false, false}, {2, EXIT_EXCEPTION, 1, true, false},
	    {3, EXIT_EXCEPTION, 2, true, true},   {3, EXIT_SMC, 3, true, true},
	    {1, EXIT_SIDE, 1, false, false},      {2, EXIT_PC_SET, 2, true, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct test_guest t = {.leave = rows[i].why, .leave_at = rows[i].leave_at, .answer = 7};
		uint32_t done;

		cr_expect_eq(run(&t, text, &done), rows[i].why, "row %zu", i);
		cr_expect_eq(t.calls, rows[i].leave_at);
		cr_expect_eq(done, rows[i].done, "row %zu: %u", i, done);
		cr_expect_eq(t.gs.pc, 0x80000180);
		cr_expect_eq(t.gs.reg[2], rows[i].v0 ? 7 : 0, "row %zu", i);
		cr_expect_eq(t.gs.reg[3], rows[i].v1 ? 7 : 0, "row %zu", i);
	}
}

Test(ir_interp, raiseif_and_exitif)
{
	static const char text[] = HEAD "insn 0\n%1 = getreg $a0\nraiseif ov, %1\ninsn 1\n%4 = getreg $a1\n"
					"exitif 0, %4\ninsn 2\nsetreg $v0, %4\njump @1, page:+0\n";
	struct test_guest t = {.leave = EXIT_EXCEPTION, .leave_at = 1};
	uint32_t done;

	t.gs.reg[4] = 0x80000000;
	cr_expect_eq(run(&t, text, &done), EXIT_EXCEPTION);
	cr_expect_eq(t.which, HELPER_RAISE);
	cr_expect_eq(t.a, EXC_OV);
	cr_expect_eq(t.pc, PAGE + 0xff8);
	cr_expect_eq(t.site, SITE(0, 3));
	cr_expect_eq(done, 0);

	t = (struct test_guest){.calls = 0};
	t.gs.reg[5] = 2;
	cr_expect_eq(run(&t, text, &done), EXIT_LINK);
	cr_expect_eq(t.gs.pc, PAGE + 256);
	cr_expect_eq(t.calls, 0);
	cr_expect_eq(done, 2, "the branch completed, its slot is nullified");

	t = (struct test_guest){.calls = 0};
	cr_expect_eq(run(&t, text, &done), EXIT_LINK);
	cr_expect_eq(t.gs.pc, PAGE);
	cr_expect_eq(done, 3);
}

Test(ir_interp, guest_state)
{
	static const char text[] =
	    HEAD "insn 0\n%1 = pcrel -8\nsetreg $v0, %1\n%3 = pcregion 0x4560\nsetreg $v1, %3\n"
		 "%5 = lds32 fpr[2]+4\nsetreg $a0, %5\n%7 = lds64 fpr[2]\nsts64 fpr[3], %7\n"
		 "sts32 cp0[12.1], %5\n%10 = call cp0_read %5\nsetreg $hi, %10\njump @1, page:+0\n";
	struct test_guest t = {.answer = 0xffffffff00000001};
	uint32_t done;

	t.gs.fpr[2] = 0x1122334455667788;
	t.gs.cp0[CP0_INDEX(12, 1)] = 0xaaaaaaaabbbbbbbb;
	cr_expect_eq(run(&t, text, &done), EXIT_LINK);
	cr_expect_eq(t.gs.reg[2], PAGE - 8);
	cr_expect_eq(t.gs.reg[3], 0x70004560);
	cr_expect_eq(t.gs.reg[4], 0x11223344);
	cr_expect_eq(t.gs.fpr[3], 0x1122334455667788);
	cr_expect_eq(t.gs.cp0[CP0_INDEX(12, 1)], 0xaaaaaaaa11223344);
	cr_expect_eq(t.gs.reg[REG_HI], 1, "a word result is zero-extended");
}
