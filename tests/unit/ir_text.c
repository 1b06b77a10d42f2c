/* SPDX-License-Identifier: MIT */
/* The text form: what is printed is parsed back to the same block, and no bytes harm the parser. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/ir_gen.h"

#define BLOCKS    20000
#define MUTATIONS 40000

static char *print(const struct ir_block *b, size_t *bytes)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, bytes);

	cr_assert(f);
	ir_print(f, b);
	fclose(f);
	return text;
}

static void expect_same(const struct ir_block *x, const struct ir_block *y)
{
	cr_assert_eq(x->mode, y->mode);
	cr_assert_eq(x->abs_page, y->abs_page);
	cr_assert_eq(x->n_guest, y->n_guest);
	for (uint32_t i = 0; i < x->n_guest; i++) {
		cr_assert_eq(x->guest[i].word, y->guest[i].word);
		cr_assert_eq(x->guest[i].off, y->guest[i].off);
		cr_assert_eq(x->guest[i].bd, y->guest[i].bd);
	}
	cr_assert_eq(x->n_exits, y->n_exits);
	cr_assert_eq(x->n_ins, y->n_ins);
	for (uint32_t i = 0; i < x->n_ins; i++) {
		cr_assert_eq(x->ins[i].op, y->ins[i].op, "%%%u", i);
		cr_assert_eq(x->ins[i].imm, y->ins[i].imm, "%%%u", i);
		cr_assert_arr_eq(x->ins[i].arg, y->ins[i].arg, sizeof(x->ins[i].arg), "%%%u", i);
		cr_assert_eq(x->ins[i].dead, y->ins[i].dead, "%%%u", i);
	}
	cr_assert_eq(x->term.kind, y->term.kind);
	cr_assert_eq(x->term.hint, y->term.hint);
	cr_assert_eq(x->term.insn, y->term.insn);
	cr_assert_eq(x->term.exc, y->term.exc);
	if (x->term.kind == TERM_BRANCH || x->term.kind == TERM_INDIRECT)
		cr_assert_eq(x->term.cond, y->term.cond);
}

Test(ir_text, round_trip)
{
	uint64_t seed = ir_gen_seed(1);
	struct ir_gen g = {seed};
	struct arena a = {NULL};
	bool op_seen[NUM_IR_OPS] = {false};

	for (int n = 0; n < BLOCKS; n++, arena_reset(&a)) {
		struct ir_block *b = ir_gen_block(&g, &a, 8, true), *c;
		const char *err = ir_verify(b);
		char *text, *again;
		size_t bytes;

		cr_assert_null(err, "seed 0x%llx block %d: %s", (unsigned long long)seed, n, err);
		ir_gen_fpu(&g, b);
		ir_emit(b, IR_FETCH, IR_NONE, IR_NONE, IR_NONE, 0);
		for (uint32_t i = 0; i < b->n_ins; i++)
			op_seen[b->ins[i].op] = true;
		text = print(b, &bytes);
		c = ir_parse(&a, text, &err);
		cr_assert_not_null(c, "seed 0x%llx block %d: %s\n%s", (unsigned long long)seed, n, err, text);
		cr_assert_null(err);
		expect_same(b, c);
		free(text);

		/* Removed instructions leave holes in the numbering; the second text equals the first. */
		ir_run_passes(b, NULL);
		text = print(b, &bytes);
		c = ir_parse(&a, text, &err);
		cr_assert_not_null(c, "seed 0x%llx block %d: %s\n%s", (unsigned long long)seed, n, err, text);
		again = print(c, &bytes);
		cr_assert_str_eq(text, again, "seed 0x%llx block %d", (unsigned long long)seed, n);
		free(text);
		free(again);
	}
	for (unsigned op = 0; op < NUM_IR_OPS; op++)
		cr_assert(op_seen[op], "%s was never generated", ir_op_info[op].name);
	arena_free(&a);
}

Test(ir_text, reads_as_documented)
{
	static const char text[] = "; a comment\n"
				   "block user,fr,cu1\n"
				   "guest 0xff8 24420001\n"
				   "guest 0xffc 10400003\n"
				   "guest 0x1000 00000000 bd ; in the next page\n"
				   "exit page:+4096\n\n"
				   "  insn 0\n"
				   "    %1 = getreg $v0\n"
				   "    %2 = const 0xffffffff\n"
				   "    %3 = add %1, %2\n"
				   "    setreg $v0, %3\n"
				   "    %5 = load32.be.intent %3\n"
				   "    %10 = lds32 fpr[3]+4\n" /* a hole: 6 to 9 were removed */
				   "    sts32 cp0[12.0], %10\n"
				   "    raiseif cpu.1, %5\n"
				   "    %20 = call cp0_read %2\n"
				   "  insn 1\n"
				   "    exitif 0, %20\n"
				   "  insn 2\n"
				   "  branch @1, %20, page:-4, region:0x0001230, call page:+0x1004\n";
	struct arena a = {NULL};
	const char *err;
	struct ir_block *b = ir_parse(&a, text, &err);

	cr_assert_not_null(b, "%s", err);
	cr_assert_eq(b->mode, MODE_USER | MODE_FR | MODE_CU1);
	cr_assert_eq(b->n_guest, 3);
	cr_assert_eq(b->guest[2].off, 4096);
	cr_assert(b->guest[2].bd);
	cr_assert_eq(b->exits[0].kind, TGT_PAGE);
	cr_assert_eq(b->exits[0].v, 4096);
	cr_assert_eq(b->ins[1].imm, 2);
	cr_assert_eq(b->ins[5].imm, MEM_BE | MEM_INTENT);
	cr_assert(b->ins[6].dead && b->ins[9].dead && !b->ins[10].dead);
	cr_assert_eq((uint64_t)b->ins[10].imm, offsetof(struct guest_state, fpr) + 28);
	cr_assert_eq((uint64_t)b->ins[11].imm, GS_CP0(12, 0));
	cr_assert_eq(b->ins[12].imm, EXC_CPU | 1 << 8);
	cr_assert_eq(b->ins[20].imm, HELPER_CP0_READ);
	cr_assert_eq(b->term.insn, 1);
	cr_assert_eq(b->term.target[0].v, -4);
	cr_assert_eq(b->term.target[1].kind, TGT_REGION);
	cr_assert_eq(b->term.hint, HINT_CALL);
	cr_assert_eq(b->term.link.v, 0x1004);
	arena_free(&a);
}

#define HEAD "block kernel,abs page 0x80000000\nguest 0x0 00000000\n"

Test(ir_text, complaints_name_the_line)
{
	static const struct {
		const char *text, *want;
	} bad[] = {
	    {"", "line 1: no block"},
	    {"\n\nhello", "line 3: 'block' expected"},
	    {"block hello", "line 1: mode expected"},
	    {"block kernel,warm", "line 1: unknown mode bit 'warm'"},
	    {"block kernel,abs", "line 1: 'page' and its address"},
	    {HEAD, "line 3: no terminator"},
	    {HEAD "guest 0x4 123456789\n", "line 3: guest word 0x123456789"},
	    {HEAD "guest 99999 0\n", "line 3: offset 99999"},
	    {HEAD "exit here\n", "line 3: target expected"},
	    {HEAD "insn 0\nfrobnicate\n", "line 4: unknown op 'frobnicate'"},
	    {HEAD "insn 0\n%1 = const 0x10000000000000000\n", "line 4: number too large"},
	    {HEAD "insn 0\n%1 = const\n", "line 4: number expected"},
	    {HEAD "insn 0\n%0 = const 1\n", "line 4: %0 is instruction 1"},
	    {HEAD "insn 0\n%9999 = const 1\n", "line 4: value 9999"},
	    {HEAD "insn 0\nconst 1\n", "line 4: const gives a value"},
	    {HEAD "insn 0\n%1 = setreg $v0, %0\n", "line 4: setreg gives no value"},
	    {HEAD "insn 0\n%1 = getreg $v9\n", "line 4: unknown guest register '$v9'"},
	    {HEAD "insn 0\n%1 = getreg $zero\njump @0, abs:0\n", "line 4: %1: guest register 0"},
	    {HEAD "insn 0\n%1 = lds32 fpr[32]\n", "line 4: index 32"},
	    {HEAD "insn 0\n%1 = lds32 nonsense\n", "line 4: unknown field 'nonsense'"},
	    {HEAD "insn 0\n%1 = lds32 cp0[1]\n", "line 4: '.' expected"},
	    {HEAD "insn 0\n%1 = load32.wet %0\n", "line 4: unknown memory flag '.wet'"},
	    {HEAD "insn 0\ncall dance\n", "line 4: unknown helper 'dance'"},
	    {HEAD "insn 0\n%1 = const 1\nraiseif whim, %1\n", "line 5: unknown exception 'whim'"},
	    {HEAD "insn 0\n%1 = const 1\n%2 = add %1, %1, %1, %1\n", "line 5: more than 3 operands"},
	    {HEAD "insn 0\n%1 = const 1\n%2 = add %1\njump @0, abs:0\n", "line 5: %2: operand 1 is missing"},
	    {HEAD "insn 0\n%1 = const 1 1\n", "line 4: ',' expected"},
	    {HEAD "jump @0, abs:0, sideways\n", "line 3: hint expected"},
	    {HEAD "jump @0, abs:0 1\n", "line 3: unexpected '1"},
	    {HEAD "jump @1, abs:0\n", "line 3: terminator: belongs to guest instruction 1 of 1"},
	    {HEAD "jump @0, abs:0\ninsn 0\n", "line 4: text after the terminator"},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct arena a = {NULL};
		const char *err = NULL;

		cr_expect_null(ir_parse(&a, bad[i].text, &err), "%s", bad[i].text);
		cr_expect(err && !strncmp(err, bad[i].want, strlen(bad[i].want)), "%s\ngave: %s", bad[i].text, err);
		arena_free(&a);
	}
}

Test(ir_text, too_long)
{
	struct arena a = {NULL};
	const char *err = NULL;
	char *text = NULL;
	size_t bytes;
	FILE *f = open_memstream(&text, &bytes);

	fputs(HEAD "insn 0\n", f);
	for (int i = 0; i < IR_MAX_INS; i++)
		fputs("setreg $v0, %1\n", f);
	fclose(f);
	cr_assert_null(ir_parse(&a, text, &err));
	cr_assert(strstr(err, "more than 4096 instructions"), "%s", err);
	free(text);
	arena_free(&a);
}

/* Flip, cut and splice bytes of good text; whatever the parser accepts must print and run through the passes. */
Test(ir_text, mutated_bytes)
{
	uint64_t seed = ir_gen_seed(2);
	struct ir_gen g = {seed};
	struct arena a = {NULL};
	unsigned accepted = 0;

	for (int n = 0; n < MUTATIONS; n++, arena_reset(&a)) {
		size_t bytes;
		char *text = print(ir_gen_block(&g, &a, 4, true), &bytes);
		const char *err;
		struct ir_block *b;

		for (uint32_t k = 1 + ir_gen_below(&g, 4); k > 0; k--) {
			uint32_t at = ir_gen_below(&g, (uint32_t)bytes), from = ir_gen_below(&g, (uint32_t)bytes);
			uint32_t len = ir_gen_below(&g, 12);

			if (ir_gen_below(&g, 3))
				text[at] = (char)ir_gen_next(&g);
			else if (at + len < bytes && from + len < bytes)
				memmove(text + at, text + from, len);
		}
		b = ir_parse(&a, text, &err);
		cr_assert((b == NULL) == (err != NULL));
		if (b) {
			char *again;

			accepted++;
			ir_run_passes(b, NULL);
			again = print(b, &bytes);
			cr_assert_null(ir_verify(b));
			free(again);
		}
		free(text);
	}
	cr_assert_gt(accepted, MUTATIONS / 100);
	cr_assert_lt(accepted, MUTATIONS);
	arena_free(&a);
}
