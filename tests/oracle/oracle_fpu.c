/* SPDX-License-Identifier: MIT */
/*
 * Every FPU instruction that computes or moves, on all executors, tier 2 first of all, against Unicorn: all conditions, FR 0 and 1,
 * even and odd registers, rounding modes, Flags, Cause, Enables with traps, FS.  Then chains of several instructions.
 *
 * DISCO_COUNT: cases per program and run; DISCO_SEED.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/fpu.h"
#include "tests/oracle/fpu_case.h"
#include "tests/oracle/harness.h"

#define CASES 3000

struct bench {
	struct rng rng;
	struct fpu_unicorn *unicorn;
	struct fpu_vm *vm[NUM_EXECUTORS];
	struct fpu_case *in, *want, *got;
	uint64_t compared[NUM_EXECUTORS], skipped, programs, traps;
	uint32_t cases;
};

static void open_bench(struct bench *b, uint64_t seed)
{
	memset(b, 0, sizeof(*b));
	b->rng = rng_seed(oracle_environment("DISCO_SEED", seed));
	b->cases = (uint32_t)oracle_environment("DISCO_COUNT", (CASES + TESTS_SLOWER - 1) / TESTS_SLOWER);
	b->cases = b->cases < FPU_MAX_CASES ? b->cases : FPU_MAX_CASES;
	b->unicorn = fpu_unicorn_new();
	cr_assert_not_null(b->unicorn);
	for (unsigned e = EXEC_INTERP; e <= EXEC_TIER2; e++)
		cr_assert_not_null(b->vm[e] = fpu_vm_new(e));
	b->in = calloc(FPU_MAX_CASES, sizeof(*b->in));
	b->want = calloc(FPU_MAX_CASES, sizeof(*b->want));
	b->got = calloc(FPU_MAX_CASES, sizeof(*b->got));
	cr_assert(b->in && b->want && b->got);
}

static void close_bench(struct bench *b, const char *name)
{
	fprintf(stderr,
		"oracle_fpu/%s: %" PRIu64 " programs, %" PRIu64 " regions; cases compared: tier 2 %" PRIu64
		", tier 1 %" PRIu64 ", interpreter %" PRIu64 "; %" PRIu64 " traps; %" PRIu64 " not Unicorn's\n",
		name, b->programs, fpu_vm_regions(b->vm[EXEC_TIER2]), b->compared[EXEC_TIER2], b->compared[EXEC_TIER1],
		b->compared[EXEC_INTERP], b->traps, b->skipped);
	/* each case is ten or more instructions, and nothing but tier 2 runs them */
	cr_assert_geq(fpu_vm_tier2_insns(b->vm[EXEC_TIER2]), 8 * b->compared[EXEC_TIER2]);
	for (unsigned e = 0; e < NUM_EXECUTORS; e++)
		fpu_vm_free(b->vm[e]);
	fpu_unicorn_free(b->unicorn);
	free(b->in);
	free(b->want);
	free(b->got);
}

/* ---- comparing ---- */

static bool same(const struct fpu_regs *a, const struct fpu_regs *b)
{
	return !memcmp(a, b, offsetof(struct fpu_regs, pad));
}

static void show(const char *who, const struct fpu_regs *r)
{
	fprintf(stderr, "  %-8s", who);
	for (unsigned i = 0; i < FPU_FPRS; i++)
		fprintf(stderr, " %016" PRIx64, r->fpr[i]);
	for (unsigned i = 0; i < FPU_GPRS; i++)
		fprintf(stderr, " %08x", r->gpr[i]);
	fprintf(stderr, " fcsr %08x exc %u\n", r->fcsr, r->exc >> 2);
}

static void fail_case(const struct bench *b, const struct fpu_program *p, const char *name, unsigned e, uint32_t i)
{
	fprintf(stderr, "%s, FR %d%s:", name, p->fr, p->gathers ? ", gathering" : "");
	for (unsigned k = 0; k < p->n_words; k++)
		fprintf(stderr, " %08x", p->words[k]);
	fprintf(stderr, ", case %u\n", i);
	show("in", &b->in[i].in);
	show("expected", &b->want[i].out);
	show(executor_name[e], &b->got[i].out);
	cr_assert_fail("%s on %s", name, executor_name[e]);
}

static void run_ours(struct bench *b, const struct fpu_program *p, const char *name, unsigned e, const uint8_t *known)
{
	const char *trouble;

	memcpy(b->got, b->in, b->cases * sizeof(*b->got));
	trouble = fpu_vm_run(b->vm[e], p, b->got, b->cases);
	cr_assert_null(trouble, "%s, %s: %s", name, executor_name[e], trouble);
	for (uint32_t i = 0; i < b->cases; i++) {
		if (known && !known[i])
			b->want[i].out = b->got[i].out; /* of the first of ours; the others are compared with it */
		if (!same(&b->want[i].out, &b->got[i].out))
			fail_case(b, p, name, e, i);
	}
	b->compared[e] += b->cases;
}

/* The other two run a part: tier 2 is what this is for. */
static void compare_all(struct bench *b, const struct fpu_program *p, const char *name, const uint8_t *known)
{
	bool others = b->programs++ % 4 == 0 || memchr(known, 0, b->cases);

	if (others) {
		run_ours(b, p, name, EXEC_INTERP, known);
		run_ours(b, p, name, EXEC_TIER1, NULL);
	}
	run_ours(b, p, name, EXEC_TIER2, NULL);
}

/* What a program does not store is as it was. */
static void put_outcome(struct fpu_case *c)
{
	c->in.exc = c->in.pad = 0;
	c->out = c->in;
}

/* ---- single instructions ---- */

#define FCC (0xfe000000u | FCSR_FCC0)

/*
 * plain: what is computed in line (no MODE_FPX).  Otherwise half of the time rounding modes, Enables and FS, by the helpers; the
 * mode then changes from case to case.
 */
static uint32_t random_fcsr(struct bench *b, const struct insn *row, bool plain)
{
	uint32_t x = (uint32_t)rng_next(&b->rng), no_e = FCSR_CAUSE & ~((uint32_t)FPU_E << FCSR_CAUSE_SHIFT);

	if (plain || rng_one_in(&b->rng, 2))
		return x & (FCC | FCSR_FLAGS | no_e);
	x &= FCC | FCSR_FLAGS | FCSR_RM | (rng_one_in(&b->rng, 2) ? FCSR_ENABLES : 0) |
	     (fpu_row_arithmetic(row) && rng_one_in(&b->rng, 4) ? FCSR_FS : 0);
	return x;
}

static void expect(struct bench *b, const struct fpu_program *p, const struct insn *row, uint8_t *known)
{
	const char *trouble;
	uint32_t fcsr = b->in[0].in.fcsr;

	memcpy(b->want, b->in, b->cases * sizeof(*b->want));
	for (uint32_t i = 0; i < b->cases; i++)
		b->want[i].in.fcsr &= ~FCSR_FS;
	trouble = fpu_unicorn_run(b->unicorn, p, b->want, b->cases);
	cr_assert_null(trouble, "%s: %s", row->name, trouble);
	for (uint32_t i = 0; i < b->cases; i++) {
		struct fpu_regs in = b->in[i].in;

		in.fcsr = p->gathers ? fcsr : in.fcsr;
		known[i] = fpu_rules_apply(row, p->words[0], p->fr, &in, &b->want[i].out);
		b->skipped += !known[i];
		b->traps += b->want[i].out.exc != 0;
		fcsr = b->want[i].out.fcsr;
	}
}

static void check_word(struct bench *b, const struct insn *row, bool fr, bool odd, uint32_t word, bool gathers)
{
	struct fpu_program p = {.words = {word}, .n_words = 1, .fr = fr, .odd = odd, .gathers = gathers};
	static uint8_t known[FPU_MAX_CASES];

	fpu_row_registers(row, rng_one_in(&b->rng, 8), &p);
	for (uint32_t i = 0; i < b->cases; i++) {
		fpu_random_operands(&b->rng, row, word, fr, &b->in[i].in);
		b->in[i].in.fcsr = random_fcsr(b, row, gathers);
		put_outcome(&b->in[i]);
	}
	expect(b, &p, row, known);
	compare_all(b, &p, row->name, known);
}

/* fr, and odd registers with FR = 0, where 64-bit formats do not have them. */
static bool has_odd(const struct insn *row, bool fr) { return fr || !(row->flags & INSN_FR_PAIR); }

static bool needs_fr(const struct insn *row)
{
	unsigned fn = insn_function(row->match);

	return insn_opcode(row->match) == 0x11 &&
	       (insn_fmt(row->match) == 21 || (insn_fmt(row->match) >= 16 && ((fn >= 8 && fn <= 11) || fn == 37)));
}

static void check_rows(const char *name, bool fr, uint64_t seed)
{
	struct bench b;
	uint32_t rows = 0;

	open_bench(&b, seed);
	for (const struct insn *row = insn_table; row < insn_table + NUM_INSNS; row++) {
		bool compares = row->mask == 0xffe000f0u;

		if (!fpu_row_tested(row) || (needs_fr(row) && !fr))
			continue;
		rows++;
		for (uint32_t cond = compares && fr; cond < (compares ? 16 : 1);
		     cond += 2) { /* the other half with the other FR */
			bool odd = has_odd(row, fr) && (rows + cond / 2) & 1;
			uint32_t word = fpu_row_word(row, odd, rng_next(&b.rng));

			word = compares ? (word & ~15u) | cond : word;
			check_word(&b, row, fr, odd, word, true);
			check_word(&b, row, fr, odd, word, false);
		}
	}
	cr_assert_geq(rows, fr ? 71u : 59u);
	close_bench(&b, name);
}

Test(oracle_fpu, rows_fr0, .timeout = 600) { check_rows("rows_fr0", false, 0x1001); }
Test(oracle_fpu, rows_fr1, .timeout = 600) { check_rows("rows_fr1", true, 0x2002); }

/* ---- chains ---- */

/* What Unicorn and the manual agree about, whatever the operands. */
static bool chained(const struct insn *row)
{
	unsigned fn = insn_function(row->match);

	if (!fpu_row_tested(row) || insn_id(row) == INSN_ID_CFC1)
		return false;
	if (insn_opcode(row->match) == 0x11 && insn_fmt(row->match) >= 16)
		return fn != 5 && fn != 7 && !(fn == 32 && insn_fmt(row->match) == 17);
	return true;
}

static const struct insn *random_row(struct rng *r, bool fr)
{
	const struct insn *row;

	do {
		row = &insn_table[rng_below(r, NUM_INSNS)];
	} while (!chained(row) || (needs_fr(row) && !fr));
	return row;
}

/* Each FPR field names any of the four; with FR = 0 a single may be in the odd half. */
static uint32_t random_fields(struct rng *r, const struct insn *row, bool fr)
{
	uint32_t word = fpu_row_word(row, false, rng_next(r));
	bool gpr_rt =
	    insn_fmt(row->match) < 16 || (insn_function(row->match) & ~1u) == 18; /* MFC1 and its like, MOVZ, MOVN */

	if (insn_opcode(row->match) == 0) /* MOVF, MOVT of GPRs */
		return word;
	for (unsigned shift = 6; shift <= 21; shift += 5) {
		uint32_t n = 2 + 2 * rng_below(r, FPU_FPRS);

		if (row->mask >> shift & 31 || (shift == 16 && insn_opcode(row->match) == 0x11 && gpr_rt))
			continue;
		if (!fr && !(row->flags & INSN_FR_PAIR))
			n += rng_below(r, 2);
		word = (word & ~(31u << shift)) | n << shift;
	}
	return word;
}

static void check_chain(struct bench *b, bool fr)
{
	struct fpu_program p = {.n_words = 2 + rng_below(&b->rng, FPU_MAX_WORDS - 1),
				.fr = fr,
				.gathers = rng_one_in(&b->rng, 2),
				.fpr_in = 15,
				.fpr_out = 15,
				.gpr_in = 7,
				.gpr_out = 7};
	static uint8_t known[FPU_MAX_CASES];
	const struct insn *first = NULL;
	const char *trouble;

	for (uint32_t i = 0; i < p.n_words; i++) {
		const struct insn *row = random_row(&b->rng, fr);

		first = first ? first : row;
		p.words[i] = random_fields(&b->rng, row, fr);
	}
	for (uint32_t i = 0; i < b->cases; i++) {
		fpu_random_operands(&b->rng, first, fpu_row_word(first, false, 0), fr, &b->in[i].in);
		b->in[i].in.fcsr =
		    random_fcsr(b, first, true) | (p.gathers ? 0 : (uint32_t)rng_next(&b->rng) & rng_below(&b->rng, 4));
		put_outcome(&b->in[i]);
	}
	memcpy(b->want, b->in, b->cases * sizeof(*b->want));
	trouble = fpu_unicorn_run(b->unicorn, &p, b->want, b->cases);
	cr_assert_null(trouble, "%s", trouble);
	memset(known, 1, sizeof(known));
	compare_all(b, &p, "chain", known);
}

Test(oracle_fpu, chains, .timeout = 600)
{
	struct bench b;

	open_bench(&b, 0x3003);
	for (unsigned i = 0; i < 80; i++)
		check_chain(&b, i & 1);
	close_bench(&b, "chains");
}
