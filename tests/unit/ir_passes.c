/* SPDX-License-Identifier: MIT */
/* The passes: random blocks do the same before and after, and the rewrites that are claimed do happen. */
#include <criterion/criterion.h>

#include "tests/unit/ir_gen.h"
#include "tests/unit/ir_machine.h"

#define BLOCKS 150000

static char *print(const struct ir_block *b)
{
	char *text = NULL;
	size_t bytes;
	FILE *f = open_memstream(&text, &bytes);

	cr_assert(f);
	ir_print(f, b);
	fclose(f);
	return text;
}

static uint32_t count_live(const struct ir_block *b)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n_ins; i++)
		n += !b->ins[i].dead;
	return n;
}

struct outcome {
	struct ir_machine m;
	enum exit_reason why;
	uint32_t done;
};

static void run(struct outcome *o, const struct ir_block *b, const struct ir_machine *start)
{
	o->m = *start;
	o->why = ir_interp(b, &o->m.gs, &o->done);
}

static bool equal(const struct outcome *x, const struct outcome *y)
{
	return x->why == y->why && x->done == y->done && x->m.trace == y->m.trace && x->m.calls == y->m.calls &&
	       x->m.gs.pc == y->m.gs.pc && x->m.gs.leave == EXIT_NONE && y->m.gs.leave == EXIT_NONE &&
	       ir_machine_hash(&x->m.gs, 0) == ir_machine_hash(&y->m.gs, 0);
}

Test(ir_passes, same_meaning)
{
	uint64_t seed = ir_gen_seed(5), before = 0, after = 0;
	struct ir_gen g = {seed};
	struct arena a = {NULL};
	uint32_t exits[NUM_EXITS] = {0};

	for (int n = 0; n < BLOCKS; n++, arena_reset(&a)) {
		struct ir_gen at = g;
		struct ir_block *b = ir_gen_block(&g, &a, 6, n & 1);
		struct ir_machine start;
		struct outcome raw, cooked;

		ir_machine_init(&start, &g, b->mode);
		run(&raw, b, &start);
		before += count_live(b);
		ir_run_passes(b, NULL);
		cr_assert_null(ir_verify(b));
		after += count_live(b);
		run(&cooked, b, &start);
		exits[raw.why]++;
		if (!equal(&raw, &cooked)) {
			struct ir_block *orig = ir_gen_block(&at, &a, 6, n & 1);

			cr_assert(false, "seed 0x%llx block %d:\n%sbecame\n%s", (unsigned long long)seed, n,
				  print(orig), print(b));
		}
	}
	/* The blocks must have exercised what they are for. */
	cr_assert_gt(exits[EXIT_LINK], BLOCKS / 10);
	cr_assert_gt(exits[EXIT_EXCEPTION], BLOCKS / 50);
	cr_assert_gt(exits[EXIT_PC_SET], BLOCKS / 50);
	cr_assert_gt(exits[EXIT_SMC], BLOCKS / 1000);
	cr_assert_lt(after, before * 9 / 10);
	arena_free(&a);
}

/* Each pass alone, in any order and repeatedly, keeps the meaning too: through the whole list twice. */
Test(ir_passes, twice_is_harmless)
{
	uint64_t seed = ir_gen_seed(6);
	struct ir_gen g = {seed};
	struct arena a = {NULL};

	for (int n = 0; n < BLOCKS / 10; n++, arena_reset(&a)) {
		struct ir_block *b = ir_gen_block(&g, &a, 6, true);
		struct ir_machine start;
		struct outcome raw, cooked;

		ir_machine_init(&start, &g, b->mode);
		run(&raw, b, &start);
		ir_run_passes(b, NULL);
		ir_run_passes(b, NULL);
		run(&cooked, b, &start);
		cr_assert(equal(&raw, &cooked), "seed 0x%llx block %d", (unsigned long long)seed, n);
	}
	arena_free(&a);
}

/* At IR_MAX_INS there is no room for new constants, and nothing may run over. */
Test(ir_passes, full_block)
{
	struct arena a = {NULL};
	struct ir_block *b = ir_block_new(&a, 0, 0);
	struct ir_machine m;
	struct ir_gen g = {7};
	ir_ref x;
	uint32_t want;

	b->n_guest = 1;
	b->term.kind = TERM_PC_SET;
	ir_emit(b, IR_INSN, IR_NONE, IR_NONE, IR_NONE, 0);
	x = ir_getreg(b, 2);
	while (b->n_ins < IR_MAX_INS - 2)
		x = ir_op2(b, b->n_ins % 4 ? IR_ADD : IR_SUB, x, ir_const(b, b->n_ins));
	while (b->n_ins < IR_MAX_INS)
		ir_setreg(b, 2, x);
	cr_assert_eq(b->n_ins, IR_MAX_INS);
	ir_machine_init(&m, &g, 0);
	m.gs.reg[2] = 5;
	cr_assert_eq(ir_interp(b, &m.gs, NULL), EXIT_PC_SET);
	want = (uint32_t)m.gs.reg[2];
	ir_run_passes(b, NULL);
	cr_assert_null(ir_verify(b));
	m.gs.reg[2] = 5;
	ir_interp(b, &m.gs, NULL);
	cr_assert_eq(m.gs.reg[2], want);
	arena_free(&a);
}

/* ---- the rewrites ---- */

#define HEAD "block kernel\nguest 0x000 00000000\nguest 0x004 00000000\nexit page:+0\n"

/* Body after the passes, as text without the header; the values are numbered anew. */
static char *cook(struct arena *a, const char *body)
{
	char text[2048];
	const char *err;
	struct ir_block *b;
	char *out, *start, *p;
	size_t n = 0;

	snprintf(text, sizeof(text), HEAD "%s", body);
	b = ir_parse(a, text, &err);
	cr_assert_not_null(b, "%s in\n%s", err, body);
	ir_run_passes(b, NULL);
	out = print(b);
	start = strstr(out, "exit page:+0\n") + strlen("exit page:+0\n");
	p = arena_alloc(a, strlen(start) + 1);
	for (; *start; start++) /* drop indentation */
		if (*start != ' ' || (n && p[n - 1] != '\n' && start[-1] != ' '))
			p[n++] = *start;
	free(out);
	return p;
}

static const struct {
	const char *what, *body, *want;
} rewrites[] = {
    {"GETREG sees SETREG, first SETREG goes",
     "insn 0\n%1 = getreg $a0\nsetreg $v0, %1\ninsn 1\n%4 = getreg $v0\n%5 = add %4, %1\nsetreg $v0, %5\njump @1, "
     "page:+8\n",
     "insn 0\n%1 = getreg $a0\ninsn 1\n%3 = add %1, %1\nsetreg $v0, %3\njump @1, page:+8\n"},
    {"a SETREG that a memory op can see stays",
     "insn 0\n%1 = getreg $a0\nsetreg $v0, %1\n%3 = load32 %1\nsetreg $v0, %3\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $a0\nsetreg $v0, %1\n%3 = load32 %1\nsetreg $v0, %3\njump @0, page:+8\n"},
    {"a SETREG that EXITIF can see stays; the value is forwarded across a call",
     "insn 0\n%1 = getreg $a0\nsetreg $v0, %1\nexitif 0, %1\ncall tlbp\n%5 = getreg $v0\n%6 = not %5\nsetreg $v0, "
     "%6\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $a0\nsetreg $v0, %1\nexitif 0, %1\ncall tlbp\n%5 = not %1\nsetreg $v0, %5\njump @0, "
     "page:+8\n"},
    {"a SETREG of what the register holds goes", "insn 0\n%1 = getreg $a0\nsetreg $a0, %1\njump @0, page:+8\n",
     "insn 0\njump @0, page:+8\n"},
    {"LDS sees STS, not across a memory op",
     "insn 0\n%1 = getreg $a0\nsts32 fcr31, %1\n%3 = lds32 fcr31\nsetreg $v0, %3\n%5 = load32 %1\n%6 = lds32 "
     "fcr31\nsetreg $v1, %6\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $a0\nsts32 fcr31, %1\nsetreg $v0, %1\n%4 = load32 %1\n%5 = lds32 fcr31\nsetreg $v1, %5\njump "
     "@0, page:+8\n"},
    {"STS overwritten by a wider one goes; half of a doubleword is taken from it",
     "insn 0\n%1 = getreg $a0\n%2 = zext64 %1\nsts32 fpr[0]+4, %1\nsts64 fpr[0], %2\n%5 = lds32 fpr[0]+4\nsetreg $v0, "
     "%5\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $a0\n%2 = zext64 %1\nsts64 fpr[0], %2\n%4 = const 0x0\nsetreg $v0, %4\njump @0, page:+8\n"},
    {"an STS that an overlapping LDS reads stays",
     "insn 0\n%1 = getreg $a0\nsts32 fpr[0], %1\n%3 = lds64 fpr[0]\nsts32 fpr[0], %1\n%5 = const 0\nsts32 fpr[0], "
     "%5\nsts64 fpr[2], %3\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $a0\nsts32 fpr[0], %1\n%3 = lds64 fpr[0]\n%4 = const 0x0\nsts32 fpr[0], %4\nsts64 fpr[2], "
     "%3\njump @0, page:+8\n"},
    {"constants, (x + c1) + c2, x - c",
     "insn 0\n%1 = getreg $a0\n%2 = const 8\n%3 = add %1, %2\n%4 = const 3\n%5 = sub %3, %4\nsetreg $v0, %5\n%7 = mul "
     "%2, %4\nsetreg $v1, %7\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $a0\n%6 = const 0x5\n%7 = add %1, %6\nsetreg $v0, %7\n%9 = const 0x18\nsetreg $v1, %9\njump "
     "@0, page:+8\n"},
    {"sll 24, sra 24",
     "insn 0\n%1 = getreg $a0\n%2 = const 24\n%3 = shl %1, %2\n%4 = sar %3, %2\nsetreg $v0, %4\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $a0\n%4 = sext8 %1\nsetreg $v0, %4\njump @0, page:+8\n"},
    {"andi 0xff of lbu",
     "insn 0\n%1 = getreg $a0\n%2 = load8u %1\n%3 = const 255\n%4 = and %2, %3\nsetreg $v0, %4\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $a0\n%2 = load8u %1\nsetreg $v0, %2\njump @0, page:+8\n"},
    {"RAISEIF of 0 goes, so do its operands",
     "insn 0\n%1 = getreg $a0\n%2 = const 0\n%3 = addov %1, %2\nraiseif ov, %3\njump @0, page:+8\n",
     "insn 0\njump @0, page:+8\n"},
    {"EXITIF of 1 stays", "insn 0\n%1 = const 1\nexitif 0, %1\njump @0, page:+8\n",
     "insn 0\n%1 = const 0x1\nexitif 0, %1\njump @0, page:+8\n"},
    {"beq $zero, $zero becomes a jump", "insn 0\n%1 = const 0\n%2 = eq %1, %1\nbranch @0, %2, page:+64, page:+8\n",
     "insn 0\njump @0, page:+64\n"},
    {"a branch never taken calls nobody", "insn 0\n%1 = const 0\nbranch @0, %1, page:+64, page:+8, call page:+8\n",
     "insn 0\njump @0, page:+8\n"},
    {"slt, beq: the targets change places",
     "insn 0\n%1 = getreg $a0\n%2 = getreg $a1\n%3 = lts %1, %2\n%4 = const 0\n%5 = eq %3, %4\nbranch @0, %5, "
     "page:+64, page:+8\n",
     "insn 0\n%1 = getreg $a0\n%2 = getreg $a1\n%3 = lts %1, %2\nbranch @0, %3, page:+8, page:+64\n"},
    {"common subexpressions, whatever the order of operands",
     "insn 0\n%1 = getreg $a0\n%2 = getreg $a1\n%3 = add %1, %2\n%4 = add %2, %1\n%5 = xor %3, %4\nsetreg $v0, "
     "%5\njump @0, page:+8\n",
     "insn 0\n%4 = const 0x0\nsetreg $v0, %4\njump @0, page:+8\n"},
    {"movz",
     "insn 0\n%1 = getreg $a0\n%2 = const 0\n%3 = eq %1, %2\n%4 = getreg $a1\n%5 = getreg $v0\n%6 = select %3, %4, "
     "%5\nsetreg $v0, %6\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $a0\n%4 = getreg $a1\n%5 = getreg $v0\n%6 = select %1, %5, %4\nsetreg $v0, %6\njump @0, "
     "page:+8\n"},
    {"a load whose value is unused still may fault", "insn 0\n%1 = getreg $a0\n%2 = load32 %1\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $a0\n%2 = load32 %1\njump @0, page:+8\n"},
    {"HI/LO pair taken apart",
     "insn 0\n%1 = getreg $hi\n%2 = getreg $lo\n%3 = pair64 %1, %2\n%4 = lo32 %3\n%5 = hi32 %3\nsetreg $v0, %4\nsetreg "
     "$v1, %5\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $hi\n%2 = getreg $lo\nsetreg $v0, %2\nsetreg $v1, %1\njump @0, page:+8\n"},
    {"sll 16, sar 16",
     "insn 0\n%1 = getreg $a0\n%2 = const 16\n%3 = shl %1, %2\n%4 = sar %3, %2\nsetreg $v0, %4\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $a0\n%4 = sext16 %1\nsetreg $v0, %4\njump @0, page:+8\n"},
    {"sll 16, shr 16",
     "insn 0\n%1 = getreg $a0\n%2 = const 16\n%3 = shl %1, %2\n%4 = shr %3, %2\nsetreg $v0, %4\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $a0\n%4 = zext16 %1\nsetreg $v0, %4\njump @0, page:+8\n"},
    {"sll 24, shr 24",
     "insn 0\n%1 = getreg $a0\n%2 = const 24\n%3 = shl %1, %2\n%4 = shr %3, %2\nsetreg $v0, %4\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $a0\n%4 = zext8 %1\nsetreg $v0, %4\njump @0, page:+8\n"},
    {"sll 16, sra 24 is no extension",
     "insn 0\n%1 = getreg $a0\n%2 = const 0x10\n%3 = shl %1, %2\n%4 = const 0x18\n%5 = sar %3, %4\nsetreg $v0, "
     "%5\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $a0\n%2 = const 0x10\n%3 = shl %1, %2\n%4 = const 0x18\n%5 = sar %3, %4\nsetreg $v0, "
     "%5\njump @0, page:+8\n"},
    {"halves of one value are that value",
     "insn 0\n%1 = lds64 fpr[0]\n%2 = hi32 %1\n%3 = lo32 %1\n%4 = pair64 %2, %3\nsts64 fpr[1], %4\njump @0, page:+8\n",
     "insn 0\n%1 = lds64 fpr[0]\nsts64 fpr[1], %1\njump @0, page:+8\n"},
    {"halves of two values are not",
     "insn 0\n%1 = lds64 fpr[0]\n%2 = lds64 fpr[2]\n%3 = hi32 %1\n%4 = lo32 %2\n%5 = pair64 %3, %4\nsts64 fpr[1], "
     "%5\njump @0, page:+8\n",
     "insn 0\n%1 = lds64 fpr[0]\n%2 = lds64 fpr[2]\n%3 = hi32 %1\n%4 = lo32 %2\n%5 = pair64 %3, %4\nsts64 fpr[1], "
     "%5\njump @0, page:+8\n"},
    {"select of a boolean",
     "insn 0\n%1 = getreg $a0\n%2 = getreg $a1\n%3 = ltu %1, %2\n%4 = const 1\n%5 = const 0\n%6 = select %3, %4, "
     "%5\nsetreg $v0, %6\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $a0\n%2 = getreg $a1\n%3 = ltu %1, %2\nsetreg $v0, %3\njump @0, page:+8\n"},
    {"but not where taking it is a call: the first target is the callee",
     "insn 0\n%1 = getreg $a0\n%2 = getreg $a1\n%3 = lts %1, %2\n%4 = const 0\n%5 = eq %3, %4\nbranch @0, %5, "
     "page:+64, page:+8, call page:+8\n",
     "insn 0\n%1 = getreg $a0\n%2 = getreg $a1\n%3 = lts %1, %2\n%4 = const 0x0\n%5 = eq %3, %4\nbranch @0, %5, "
     "page:+64, page:+8, call page:+8\n"},
    {"sltiu 1, bne: a branch on the register",
     "insn 0\n%1 = getreg $a0\n%2 = const 1\n%3 = ltu %1, %2\n%4 = const 0\n%5 = ne %3, %4\nbranch @0, %5, page:+64, "
     "page:+8\n",
     "insn 0\n%1 = getreg $a0\nbranch @0, %1, page:+8, page:+64\n"},
    {"stores off the new sp",
     "insn 0\n%1 = getreg $sp\n%2 = const 0xffffffe0\n%3 = add %1, %2\nsetreg $sp, %3\n%5 = const 28\n%6 = add %3, "
     "%5\nstore32 %6, %1\njump @0, page:+8\n",
     "insn 0\n%1 = getreg $sp\n%2 = const 0xffffffe0\n%3 = add %1, %2\nsetreg $sp, %3\n%5 = const 0x1c\n%6 = add %3, "
     "%5\nstore32 %6, %1\njump @0, page:+8\n"},
};

Test(ir_passes, rewrites)
{
	for (size_t i = 0; i < ARRAY_LEN(rewrites); i++) {
		struct arena a = {NULL};
		char *got = cook(&a, rewrites[i].body);

		cr_expect_str_eq(got, rewrites[i].want, "%s: got\n%s", rewrites[i].what, got);
		arena_free(&a);
	}
}

static void note(void *ctx, const char *pass, char letter, const struct ir_block *b)
{
	char *s = ctx;

	s[strlen(s)] = letter;
	cr_expect_null(ir_verify(b), "after %s", pass);
}

Test(ir_passes, dump_sees_every_pass)
{
	static const char want[] = {
#define PASS(name, letter) #letter[0],
#include "ir/passes.def"
#undef PASS
	    0};
	char seen[sizeof(want) + 8] = "";
	struct ir_dump d = {note, seen};
	struct ir_gen g = {8};
	struct arena a = {NULL};

	ir_run_passes(ir_gen_block(&g, &a, 4, true), &d);
	cr_expect_str_eq(seen, want);
	arena_free(&a);
}
