/* SPDX-License-Identifier: MIT */
/* Any words in any mode lift to a block that verifies; block boundaries; each lifter at its row's word of ones. */
#include <criterion/criterion.h>
#include <string.h>

#include "frontend/lift.h"
#include "tests/exc_none.h"

#define ALL_ISA    (ISA_MIPS32R1 | ISA_MIPS32R2 | ISA_FPU)
#define PAGE_WORDS (PAGE_BYTES / 4)

static uint32_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return (uint32_t)(*s >> 16);
}

/* Half of the words are some row's, so that every lifter is met in every mode and in delay slots. */
static uint32_t rnd_guest_word(uint64_t *s)
{
	uint32_t w = rnd(s);
	const struct insn *row = &insn_table[rnd(s) % NUM_INSNS];

	return rnd(s) & 1 ? (w & ~row->mask) | row->match : w;
}

struct fixture {
	struct frontend *f;
	struct arena arena;
	uint32_t words[PAGE_WORDS + 1];
};

static void fixture_init(struct fixture *x, unsigned isa)
{
	memset(x, 0, sizeof(*x));
	x->f = frontend_new(isa);
	cr_assert(x->f, "Capstone cannot be opened");
}

static void fixture_free(struct fixture *x)
{
	frontend_free(x->f);
	arena_free(&x->arena);
}

/* What holds for every block, whatever its words. */
static void check_block(const struct ir_block *b, const struct lift_request *rq)
{
	const char *wrong = ir_verify(b);
	uint32_t limit = rq->max_guest ? rq->max_guest : IR_MAX_GUEST;

	cr_assert_null(wrong, "mode %x, first word %08x of %u: %s", b->mode, b->guest[0].word, b->n_guest, wrong);
	cr_assert(b->n_guest >= 1 && b->n_guest <= limit + 1, "%u instructions, limit %u", b->n_guest, limit);
	cr_assert(b->n_guest <= limit || b->guest[limit].bd, "only a delay slot may go past the limit");
	for (uint32_t i = 0; i < b->n_guest; i++) {
		cr_assert_eq(b->guest[i].off, (int32_t)(rq->off + 4 * i));
		cr_assert_eq(b->guest[i].word, i < rq->n_words ? rq->words[i] : *rq->slot);
		cr_assert(!b->guest[i].bd || i == b->n_guest - 1, "something follows a delay slot");
	}
	cr_assert(b->n_ins <= LIFT_MAX_INS * b->n_guest, "%u IR instructions for %u", b->n_ins, b->n_guest);
	cr_assert(b->n_guest <= rq->n_words || b->n_guest == 2, "a straddling block is a branch and its slot");
}

static void lift_random_words(unsigned isa, uint64_t seed, uint32_t total)
{
	struct fixture x;
	uint32_t lifted = 0;

	fixture_init(&x, isa);
	for (uint32_t i = 0; i <= PAGE_WORDS; i++)
		x.words[i] = rnd_guest_word(&seed);
	while (lifted < total) {
		uint32_t first = rnd(&seed) & 1 ? rnd(&seed) % PAGE_WORDS : PAGE_WORDS - 1 - rnd(&seed) % 8;
		struct lift_request rq = {
		    .mode = rnd(&seed) % (1u << MODE_BITS),
		    .abs_page = rnd(&seed) & 3 ? rnd(&seed) & ~(uint32_t)PAGE_MASK : 0xfffff000,
		    .off = first * 4,
		    .words = &x.words[first],
		    .n_words = PAGE_WORDS - first,
		    .max_guest = rnd(&seed) & 3 ? 0 : 1 + rnd(&seed) % IR_MAX_GUEST,
		};
		struct ir_block *b = NULL;

		for (uint32_t i = first; i < PAGE_WORDS && i < first + 8; i++)
			x.words[i] = rnd_guest_word(&seed);
		x.words[PAGE_WORDS] = rnd_guest_word(&seed);
		arena_reset(&x.arena);
		if (frontend_lift(x.f, &x.arena, &rq, &b) == LIFT_NEEDS_SLOT) {
			cr_assert_eq(rq.n_words, 1);
			rq.slot = &x.words[PAGE_WORDS];
			cr_assert_eq(frontend_lift(x.f, &x.arena, &rq, &b), LIFT_OK);
		}
		check_block(b, &rq);
		lifted += b->n_guest;
	}
	fixture_free(&x);
}

Test(frontend_lift, random_words_verify) { lift_random_words(ALL_ISA, 0x243f6a8885a308d3u, 1000000); }
Test(frontend_lift, random_words_verify_without_fpu) { lift_random_words(ISA_MIPS32R1, 0x13198a2e03707344u, 200000); }

/* Every row in every mode, alone and in a delay slot: the widest operands, no operands. */
Test(frontend_lift, every_row_in_every_mode)
{
	struct fixture x;
	const uint32_t beq = 0x10220003, beql = 0x50220003, jr = 0x00400008, j = 0x08000123;
	const uint32_t before[] = {0, beq, beql, jr, j};

	fixture_init(&x, ALL_ISA);
	for (unsigned r = 0; r < NUM_INSNS; r++) {
		for (uint32_t mode = 0; mode < 1u << MODE_BITS; mode++) {
			for (unsigned k = 0; k < 2 * ARRAY_LEN(before); k++) {
				const struct insn *row = &insn_table[r];
				uint32_t word = row->match | (k & 1 ? ~row->mask : 0);
				uint32_t words[3] = {before[k / 2], word, 0};
				struct lift_request rq = {
				    .mode = mode, .abs_page = 0x80001000, .off = 64, .words = words, .n_words = 3};
				struct ir_block *b;

				arena_reset(&x.arena);
				cr_assert_eq(frontend_lift(x.f, &x.arena, &rq, &b), LIFT_OK);
				check_block(b, &rq);
			}
		}
	}
	fixture_free(&x);
}

/* ---- where a block ends ---- */

struct end_case {
	const char *what;
	uint32_t mode, off, max_guest, n_words;
	uint32_t words[4], slot;
	uint32_t n_guest;
	enum ir_term_kind term;
	int64_t target; /* gva or page offset of target[0]; TERM_INDIRECT: unused */
	enum ir_hint hint;
};

#define NOP      0u
#define ADDIU    0x24420001u
#define PAGE     0x80001000u
#define INDIRECT TERM_INDIRECT, 0

static const struct end_case end_cases[] = {
    {"falls off the page", 0, 4088, 0, 2, {NOP, NOP}, 0, 2, TERM_JUMP, 4096, 0},
    {"falls off the page, absolute", MODE_ABS, 4088, 0, 2, {NOP, NOP}, 0, 2, TERM_JUMP, PAGE + 4096, 0},
    {"stops at max_guest", 0, 0, 2, 4, {NOP, NOP, NOP, NOP}, 0, 2, TERM_JUMP, 8, 0},
    {"max_guest 1 keeps a branch and its slot together", 0, 0, 1, 4, {0x10220003, NOP}, 0, 2, TERM_BRANCH, 16, 0},
    {"a branch in the last word is left out", 0, 4088, 0, 2, {NOP, 0x10220003}, 0, 1, TERM_JUMP, 4092, 0},
    {"and is a block of its own", 0, 4092, 0, 1, {0x10220003}, ADDIU, 2, TERM_BRANCH, 4096 + 12, 0},
    {"beq backwards out of the page", 0, 4, 0, 2, {0x1022fff0, NOP}, 0, 2, TERM_BRANCH, 8 - 64, 0},
    {"beq $1, $1 is a jump", 0, 0, 0, 2, {0x10210003, NOP}, 0, 2, TERM_JUMP, 16, 0},
    {"bgtz: target[0] is taken", 0, 0, 0, 2, {0x1c400003, NOP}, 0, 2, TERM_BRANCH, 16, 0},
    {"blez: on the opposite condition target[0] falls through", 0, 0, 0, 2, {0x18400003, NOP}, 0, 2, TERM_BRANCH, 8, 0},
    {"beql jumps; not taken is an exit", 0, 0, 0, 2, {0x50220003, NOP}, 0, 2, TERM_JUMP, 16, 0},
    {"bal calls", 0, 0, 0, 2, {0x04110003, NOP}, 0, 2, TERM_JUMP, 16, HINT_CALL},
    {"j within the region", 0, 0, 0, 2, {0x08000123, NOP}, 0, 2, TERM_JUMP, 0x48c, 0},
    {"jal, absolute", MODE_ABS, 0, 0, 2, {0x0c000123, NOP}, 0, 2, TERM_JUMP, 0x8000048c, HINT_CALL},
    {"jal whose slot may be in another region", 0, 4092, 0, 1, {0x0c000123}, NOP, 2, INDIRECT, HINT_CALL},
    {"jr $ra returns", 0, 0, 0, 2, {0x03e00008, NOP}, 0, 2, INDIRECT, HINT_RETURN},
    {"jr $t9 does not", 0, 0, 0, 2, {0x03200008, NOP}, 0, 2, INDIRECT, 0},
    {"jr.hb $ra", 0, 0, 0, 2, {0x03e00408, NOP}, 0, 2, INDIRECT, HINT_RETURN},
    {"jalr $t9", 0, 0, 0, 2, {0x0320f809, NOP}, 0, 2, INDIRECT, HINT_CALL},
    {"jalr $t0, $t9 links elsewhere", 0, 0, 0, 2, {0x03204009, NOP}, 0, 2, INDIRECT, 0},
    {"mtc0 Status", 0, 0, 0, 2, {0x40826000, NOP}, 0, 1, TERM_LEAVE, 4, 0},
    {"mtc0 EPC goes on", 0, 0, 0, 2, {0x40827000, NOP}, 0, 2, TERM_JUMP, 8, 0},
    {"mtc0 to a register nobody has goes on", 0, 0, 0, 2, {0x4082b800, NOP}, 0, 2, TERM_JUMP, 8, 0},
    {"mtc0 Status in the slot of j", 0, 0, 0, 2, {0x08000123, 0x40826000}, 0, 2, TERM_LEAVE, 0x48c, 0},
    {"mtc0 Status in the slot of jal", 0, 0, 0, 2, {0x0c000123, 0x40826000}, 0, 2, TERM_LEAVE, 0x48c, 0},
    {"mtc0 Status in the slot of beq", 0, 0, 0, 2, {0x10220003, 0x40826000}, 0, 2, INDIRECT, 0},
    {"mtc0 Status in the slot of jr", 0, 0, 0, 2, {0x03e00008, 0x40826000}, 0, 2, INDIRECT, 0},
    {"tlbwr", 0, 0, 0, 2, {0x42000006, NOP}, 0, 1, TERM_LEAVE, 4, 0},
    {"tlbp goes on", 0, 0, 0, 2, {0x42000008, NOP}, 0, 2, TERM_JUMP, 8, 0},
    {"eret", 0, 0, 0, 2, {0x42000018, NOP}, 0, 1, TERM_PC_SET, 0, 0},
    {"wait", 0, 4092, 0, 1, {0x42000020}, 0, 1, TERM_LEAVE, 4096, 0},
    {"di goes on", 0, 0, 0, 2, {0x41606000, NOP}, 0, 2, TERM_JUMP, 8, 0},
    {"ei", 0, 0, 0, 2, {0x41606020, NOP}, 0, 1, TERM_LEAVE, 4, 0},
    {"syscall", 0, 0, 0, 2, {0x0000000c, NOP}, 0, 1, TERM_RAISE, 0, 0},
    {"a branch to a slot that raises keeps its terminator",
     0,
     0,
     0,
     2,
     {0x08000123, 0x0000000c},
     0,
     2,
     TERM_JUMP,
     0x48c,
     0},
};

Test(frontend_lift, blocks_end_where_they_must)
{
	struct fixture x;

	fixture_init(&x, ALL_ISA);
	for (size_t i = 0; i < ARRAY_LEN(end_cases); i++) {
		const struct end_case *c = &end_cases[i];
		struct lift_request rq = {.mode = c->mode,
					  .abs_page = c->mode & MODE_ABS ? PAGE : 0,
					  .off = c->off,
					  .words = c->words,
					  .n_words = c->n_words,
					  .slot = &c->slot,
					  .max_guest = c->max_guest};
		struct ir_block *b;

		cr_assert_eq(frontend_lift(x.f, &x.arena, &rq, &b), LIFT_OK);
		check_block(b, &rq);
		cr_expect_eq(b->n_guest, c->n_guest, "%s: %u instructions", c->what, b->n_guest);
		cr_expect_eq(b->term.kind, c->term, "%s: terminator %u", c->what, b->term.kind);
		cr_expect_eq(b->term.hint, c->hint, "%s: hint %u", c->what, b->term.hint);
		if (c->term == TERM_JUMP || c->term == TERM_BRANCH || c->term == TERM_LEAVE)
			cr_expect_eq(b->term.target[0].v, c->target, "%s: target %llx", c->what,
				     (unsigned long long)b->term.target[0].v);
		if (c->hint == HINT_CALL)
			cr_expect_eq(b->term.link.v, (int64_t)c->off + 8 + (c->mode & MODE_ABS ? PAGE : 0), "%s: link",
				     c->what);
	}
	fixture_free(&x);
}

Test(frontend_lift, needs_the_slot_of_a_branch_in_the_last_word)
{
	struct fixture x;
	uint32_t words[] = {0x03e00008};
	struct lift_request rq = {.off = 4092, .words = words, .n_words = 1};
	struct ir_block *b;

	fixture_init(&x, ALL_ISA);
	cr_expect_eq(frontend_lift(x.f, &x.arena, &rq, &b), LIFT_NEEDS_SLOT);
	fixture_free(&x);
}

/* ---- which exception a word raises in which mode ---- */

struct raise_case {
	uint32_t word, mode, exc; /* EXC_NONE: it does not */
};

#define CPU(n) (EXC_CPU | (n) << 8)
#define KERNEL 0u
#define USER   MODE_USER

static const struct raise_case raise_cases[] = {
    {0x40026000, KERNEL, EXC_NONE}, /* mfc0 */
    {0x40026000, USER, CPU(0)},
    {0x40026000, MODE_SUPERVISOR, CPU(0)},
    {0x40026000, USER | MODE_CU0, EXC_NONE},
    {0x43ffffff, KERNEL, EXC_RI}, /* no such CP0 instruction */
    {0x43ffffff, USER, CPU(0)},
    {0x4200001f, KERNEL, EXC_RI}, /* deret: no EJTAG */
    {0x7000003f, KERNEL, EXC_RI}, /* sdbbp: likewise */
    {0xbc020000, USER, CPU(0)},   /* cache */
    {0x46000000, KERNEL, CPU(1)}, /* add.s */
    {0x46000000, MODE_CU1, EXC_NONE},
    {0x00000001, KERNEL, CPU(1)}, /* movf */
    {0x47ffffff, KERNEL, CPU(1)}, /* no such COP1 instruction */
    {0x47ffffff, MODE_CU1, EXC_RI},
    {0x4c00003f, KERNEL, CPU(1)}, /* no such COP1X instruction */
    {0x4c00003f, MODE_CU1, EXC_RI},
    {0x48000000, KERNEL, CPU(2)}, /* mfc2 */
    {0x4bffffff, USER | MODE_CU0 | MODE_CU1, CPU(2)},
    {0xc8000000, USER, CPU(2)},   /* lwc2 */
    {0xf8000000, KERNEL, CPU(2)}, /* sdc2 */
    {0xec000000, KERNEL, EXC_RI}, /* swc3: gone in MIPS32 */
    {0x74000000, KERNEL, EXC_RI}, /* jalx */
    {0xdc000000, KERNEL, EXC_RI}, /* ld: MIPS64 */
    {0x0000000c, USER, EXC_SYS},
    {0x0000000d, USER, EXC_BP},
    {0x7c41f8c0, KERNEL, EXC_RI}, /* ext with pos + size > 32 */
    {0x7c410904, KERNEL, EXC_RI}, /* ins with msb < lsb */
};

/* The code that the only raise of the block has, or EXC_NONE; *in_slot: it is a RAISEIF of constant 1. */
static uint32_t raised(const struct ir_block *b, bool *in_slot)
{
	uint32_t exc = EXC_NONE;

	*in_slot = false;
	for (uint32_t i = 0; i < b->n_ins; i++) {
		const struct ir_ins *cond;

		if (b->ins[i].op != IR_RAISEIF)
			continue;
		cond = &b->ins[b->ins[i].arg[0]];
		if (cond->op == IR_CONST && cond->imm == 1) {
			exc = (uint32_t)b->ins[i].imm;
			*in_slot = true;
		}
	}
	return b->term.kind == TERM_RAISE ? b->term.exc : exc;
}

Test(frontend_lift, raises_what_the_manual_says)
{
	struct fixture x;

	fixture_init(&x, ALL_ISA);
	for (size_t i = 0; i < ARRAY_LEN(raise_cases); i++) {
		for (unsigned in_slot = 0; in_slot < 2; in_slot++) {
			const struct raise_case *c = &raise_cases[i];
			uint32_t words[2] = {in_slot ? 0x08000123 : c->word, c->word};
			struct lift_request rq = {.mode = c->mode, .words = words, .n_words = 1 + in_slot};
			struct ir_block *b;
			bool slot;
			uint32_t exc;

			cr_assert_eq(frontend_lift(x.f, &x.arena, &rq, &b), LIFT_OK);
			check_block(b, &rq);
			exc = raised(b, &slot);
			cr_expect_eq(exc, c->exc, "%08x in mode %x: exception %x, want %x", c->word, c->mode, exc,
				     c->exc);
			cr_expect(exc == EXC_NONE || slot == in_slot, "%08x: raised as a slot: %d", c->word, slot);
		}
	}
	fixture_free(&x);
}

/* Branches and ERET in a delay slot are UNPREDICTABLE: RI on the slot. */
Test(frontend_lift, branch_in_a_slot_is_reserved)
{
	struct fixture x;

	fixture_init(&x, ALL_ISA);
	for (unsigned r = 0; r < NUM_INSNS; r++) {
		const struct insn *row = &insn_table[r];
		uint32_t words[2] = {0x08000123, row->match};
		struct lift_request rq = {.mode = MODE_CU1, .words = words, .n_words = 2};
		struct ir_block *b;
		bool slot;

		if (!(row->flags & INSN_BRANCH) && r != INSN_ID_ERET)
			continue;
		cr_assert_eq(frontend_lift(x.f, &x.arena, &rq, &b), LIFT_OK);
		cr_expect_eq(raised(b, &slot), EXC_RI, "%s", row->name);
		cr_expect(slot, "%s", row->name);
	}
	fixture_free(&x);
}
