/* SPDX-License-Identifier: MIT */
/*
 * Random blocks of up to 30 instructions.  Unicorn against the interpreter and tier 1: more than a million executions
 * of blocks, each block from CASES states.  Tier 2 takes milliseconds a block: some hundred blocks, the same way.
 * What Unicorn gets wrong (README.md) is compared among our executors.
 */
#include <criterion/criterion.h>

#include "tests/oracle/harness.h"

#define CASES     24
#define MAX_INSNS 30
#define MANY      (1u << EXEC_INTERP | 1u << EXEC_TIER1)

static struct oracle_stats run(struct oracle_test t)
{
	struct oracle_stats stats = {.programs = 0};

	t.n_cases = CASES;
	t.max_insns = MAX_INSNS;
	t.generate = program_generate;
	cr_assert(oracle_test_run(&t, &stats));
	/* in the background as many as a busy host gets done; else each block is asked for */
	if (t.executors >> EXEC_TIER2)
		cr_expect(stats.regions > stats.programs / (t.executors >> EXEC_TIERS12 & 1 ? 20 : 4),
			  "tier 2 compiled %lu regions", (unsigned long)stats.regions);
	return stats;
}

/* Every row that random blocks are made of was in them, and the exceptions that they can meet were met. */
static void check_coverage(const struct oracle_stats *s, const struct oracle_setup *setup)
{
	static const unsigned exceptions[] = {EXC_ADEL, EXC_ADES, EXC_TLBL, EXC_TLBS, EXC_RI, EXC_OV, EXC_TR};

	if (s->programs < 5000) /* DISCO_COUNT, or a sanitizer */
		return;
	for (const struct insn *row = insn_table; row < insn_table + NUM_INSNS; row++) {
		enum row_class c = row_class(row);

		/* what may trap is kept rare, so that blocks get further: oracle_rows.c has each */
		if (c == ROW_TRAPS || c == ROW_PRIVILEGED || c == ROW_PLAIN || (row->flags & INSN_CP1 && !setup->fp) ||
		    (row_needs_fr(row) && !setup->fr))
			continue;
		cr_expect(s->rows[insn_id(row)], "%s was never generated", row->name);
	}
	for (unsigned i = 0; i < ARRAY_LEN(exceptions); i++)
		cr_expect(s->exceptions[exceptions[i]], "exception %u never happened", exceptions[i]);
	if (setup->fp)
		cr_expect(s->exceptions[EXC_FPE]);
}

static void many(const char *name, struct oracle_setup setup, uint64_t seed)
{
	struct oracle_stats s = run((struct oracle_test){
	    .name = name, .setup = setup, .unicorn = true, .executors = MANY, .seed = seed, .count = 6000});

	check_coverage(&s, &setup);
}

/* ---- Unicorn, interpreter, tier 1: 8 x 6000 x 24 = 1,152,000 executions ---- */

Test(oracle_blocks, integer_kernel_le)
{
	many("oracle_blocks/integer_kernel_le", (struct oracle_setup){.cu1 = true}, 0x10000000);
}
Test(oracle_blocks, integer_user_be)
{
	many("oracle_blocks/integer_user_be", (struct oracle_setup){.big_endian = true, .mapped = true, .icount = true},
	     0x20000000);
}
Test(oracle_blocks, fr0_kernel_be)
{
	many("oracle_blocks/fr0_kernel_be",
	     (struct oracle_setup){.big_endian = true, .cu1 = true, .fp = true, .icount = true}, 0x30000000);
}
Test(oracle_blocks, fr0_user_le)
{
	many("oracle_blocks/fr0_user_le", (struct oracle_setup){.mapped = true, .cu1 = true, .fp = true}, 0x40000000);
}
Test(oracle_blocks, fr0_user_be)
{
	many("oracle_blocks/fr0_user_be",
	     (struct oracle_setup){.big_endian = true, .mapped = true, .cu1 = true, .fp = true}, 0x50000000);
}
Test(oracle_blocks, fr0_kernel_le)
{
	many("oracle_blocks/fr0_kernel_le", (struct oracle_setup){.cu1 = true, .fp = true, .icount = true}, 0x60000000);
}
Test(oracle_blocks, fr1_kernel_be)
{
	many("oracle_blocks/fr1_kernel_be",
	     (struct oracle_setup){.big_endian = true, .fr = true, .cu1 = true, .fp = true}, 0x70000000);
}
Test(oracle_blocks, fr1_user_le)
{
	many("oracle_blocks/fr1_user_le",
	     (struct oracle_setup){.mapped = true, .fr = true, .cu1 = true, .fp = true, .icount = true}, 0x80000000);
}

/* ---- tier 2 ---- */

static void compiled(const char *name, struct oracle_setup setup, unsigned executors, uint32_t count, uint64_t seed)
{
	run((struct oracle_test){
	    .name = name, .setup = setup, .unicorn = true, .executors = executors, .seed = seed, .count = count});
}

Test(oracle_blocks, tier2_integer)
{
	compiled("oracle_blocks/tier2_integer", (struct oracle_setup){.mapped = true}, 1u << EXEC_TIER2, 120,
		 0x91000000);
}
Test(oracle_blocks, tier2_fr0)
{
	compiled("oracle_blocks/tier2_fr0", (struct oracle_setup){.big_endian = true, .cu1 = true, .fp = true},
		 1u << EXEC_TIER2, 120, 0x92000000);
}
Test(oracle_blocks, tier2_fr1)
{
	compiled("oracle_blocks/tier2_fr1",
		 (struct oracle_setup){.fr = true, .cu1 = true, .fp = true, .mapped = true, .icount = true},
		 1u << EXEC_TIER2, 120, 0xa3000000);
}
/* Tier 1 first, tier 2 compiled in the background and installed while the block runs. */
Test(oracle_blocks, tiers12_user)
{
	compiled("oracle_blocks/tiers12_user", (struct oracle_setup){.mapped = true, .cu1 = true, .fp = true},
		 1u << EXEC_TIERS12, 80, 0xb4000000);
}
Test(oracle_blocks, tiers12_kernel)
{
	compiled("oracle_blocks/tiers12_kernel",
		 (struct oracle_setup){.big_endian = true, .fr = true, .cu1 = true, .fp = true, .icount = true},
		 1u << EXEC_TIERS12 | 1u << EXEC_INTERP, 80, 0xc5000000);
}

/* ---- beyond Unicorn: among ours, the interpreter is the reference ---- */

static void ours(const char *name, struct oracle_setup setup, unsigned executors, uint32_t count, uint64_t seed)
{
	run((struct oracle_test){.name = name,
				 .setup = setup,
				 .executors = executors | 1u << EXEC_INTERP,
				 .beyond_unicorn = true,
				 .seed = seed,
				 .count = count});
}

Test(oracle_blocks, ours_tier1)
{
	ours("oracle_blocks/ours_tier1",
	     (struct oracle_setup){.mapped = true, .fr = true, .cu1 = true, .fp = true, .icount = true},
	     1u << EXEC_TIER1, 2000, 0xd6000000);
}
Test(oracle_blocks, ours_tier2)
{
	ours("oracle_blocks/ours_tier2", (struct oracle_setup){.cu1 = true, .fp = true, .icount = true},
	     1u << EXEC_TIER2, 100, 0xe7000000);
}
