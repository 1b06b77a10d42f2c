/* SPDX-License-Identifier: MIT */
/*
 * Every row of insn.def by itself: the instruction with what the manual wants around it, random operands and states,
 * on all executors; and on Unicorn unless the row says why not.
 */
#include <criterion/criterion.h>

#include "tests/oracle/harness.h"

#define CASES 32
#define ALL   (1u << EXEC_INTERP | 1u << EXEC_TIER1)

static bool for_unicorn(const struct insn *row)
{
	return row_class(row) != ROW_PRIVILEGED && row_class(row) != ROW_PLAIN;
}

/* The n-th row, counting those of one kind round and round. */
static const struct insn *nth_row(uint64_t n, bool unicorn, const struct oracle_setup *s)
{
	const struct insn *rows[NUM_INSNS];
	uint32_t found = 0;

	for (const struct insn *row = insn_table; row < insn_table + NUM_INSNS; row++) {
		if (for_unicorn(row) != unicorn)
			continue;
		/* with FR=0 some are reserved here and not in Unicorn (both UNPREDICTABLE): fpu_oracle.c */
		if (unicorn && ((row_needs_fr(row) && !s->fr) || (row->flags & INSN_CP1 && s->cu1 && !s->fp)))
			continue;
		rows[found++] = row;
	}
	return rows[n % found];
}

static void generate_known(struct oracle_program *p, const struct generate_options *o, uint64_t seed)
{
	program_generate_row(p, o, nth_row(seed, true, o->setup), seed);
}

static void generate_excluded(struct oracle_program *p, const struct generate_options *o, uint64_t seed)
{
	program_generate_row(p, o, nth_row(seed, false, o->setup), seed);
}

/* words: per row */
static void rows(const char *name, struct oracle_setup setup, unsigned executors, bool unicorn, uint32_t words)
{
	struct oracle_stats stats = {.programs = 0};
	struct oracle_test t = {
	    .name = name,
	    .setup = setup,
	    .unicorn = unicorn,
	    .executors = executors,
	    .generate = unicorn ? generate_known : generate_excluded,
	    .n_cases = CASES,
	    .max_insns = 1,
	    .beyond_unicorn = !unicorn,
	    .count = words * NUM_INSNS,
	};

	cr_assert(oracle_test_run(&t, &stats));
	if (stats.programs < NUM_INSNS) /* DISCO_COUNT */
		return;
	for (uint32_t i = 0; i < NUM_INSNS; i++) {
		const struct insn *row = nth_row(i, unicorn, &setup);

		cr_expect(stats.rows[insn_id(row)], "%s was never executed", row->name);
	}
}

Test(oracle_rows, kernel_le)
{
	rows("oracle_rows/kernel_le", (struct oracle_setup){.cu1 = true, .fp = true}, ALL, true, 10);
}
Test(oracle_rows, kernel_be)
{
	rows("oracle_rows/kernel_be", (struct oracle_setup){.big_endian = true, .cu1 = true, .fp = true, .fr = true},
	     ALL, true, 10);
}
Test(oracle_rows, user_le)
{
	rows("oracle_rows/user_le", (struct oracle_setup){.mapped = true, .cu1 = true, .fp = true, .fr = true}, ALL,
	     true, 10);
}
Test(oracle_rows, user_be)
{
	rows("oracle_rows/user_be", (struct oracle_setup){.big_endian = true, .mapped = true, .cu1 = true, .fp = true},
	     ALL, true, 10);
}
/* Status.CU1 = 0: all of COP1 is coprocessor unusable. */
Test(oracle_rows, no_fpu) { rows("oracle_rows/no_fpu", (struct oracle_setup){.mapped = true}, ALL, true, 4); }
Test(oracle_rows, tier2_le)
{
	rows("oracle_rows/tier2_le", (struct oracle_setup){.mapped = true, .cu1 = true, .fp = true, .fr = true},
	     1u << EXEC_TIER2, true, 1);
}
Test(oracle_rows, tier2_be)
{
	rows("oracle_rows/tier2_be", (struct oracle_setup){.big_endian = true, .cu1 = true, .fp = true},
	     1u << EXEC_TIER2, true, 1);
}

/* ---- rows that Unicorn is not asked about ---- */

#define OURS (ALL | 1u << EXEC_TIER2)

Test(oracle_rows, excluded_kernel)
{
	rows("oracle_rows/excluded_kernel",
	     (struct oracle_setup){.kernel = true, .icount = true, .cu1 = true, .fp = true}, ALL, false, 8);
}
Test(oracle_rows, excluded_kernel_tier2)
{
	rows("oracle_rows/excluded_kernel_tier2",
	     (struct oracle_setup){
		 .big_endian = true, .kernel = true, .icount = true, .cu1 = true, .fp = true, .fr = true},
	     OURS, false, 1);
}
Test(oracle_rows, excluded_user)
{
	rows("oracle_rows/excluded_user", (struct oracle_setup){.mapped = true, .icount = true}, OURS, false, 1);
}
