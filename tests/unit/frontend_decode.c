/* SPDX-License-Identifier: MIT */
/* insn.def against itself and against Capstone, both ways; the memo; the disassembler. */
#include <criterion/criterion.h>
#include <string.h>

#include "frontend/decode.h"

#define ALL_ISA (ISA_MIPS32R1 | ISA_MIPS32R2 | ISA_FPU)
#define SEED    0x9e3779b97f4a7c15u

static uint32_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return (uint32_t)(*s >> 16);
}

/* A random word in which each register field is 0 now and then, so that Capstone's aliases turn up. */
static uint32_t rnd_word(uint64_t *s)
{
	uint32_t w = rnd(s), pick = rnd(s);

	for (unsigned shift = 6; shift <= 21; shift += 5, pick >>= 2)
		if ((pick & 3) == 0)
			w &= ~(31u << shift);
	return w;
}

static struct frontend *open_frontend(unsigned isa)
{
	struct frontend *f = frontend_new(isa);

	cr_assert(f, "Capstone cannot be opened");
	return f;
}

/* What the decoder must say: the first row of the table that matches. */
static const struct insn *first_match(uint32_t word)
{
	for (unsigned i = 0; i < NUM_INSNS; i++)
		if ((word & insn_table[i].mask) == insn_table[i].match)
			return &insn_table[i];
	return NULL;
}

static bool lists(const struct insn *row, unsigned id)
{
	for (unsigned k = 0; k < INSN_MAX_CAPSTONE; k++)
		if (id && row->capstone[k] == id)
			return true;
	return false;
}

struct reason {
	uint32_t match, mask;
	const char *why;
};

static const char *find_reason(const struct reason *r, size_t n, uint32_t word)
{
	for (size_t i = 0; i < n; i++)
		if ((word & r[i].mask) == r[i].match)
			return r[i].why;
	return NULL;
}

/* Words that a row has and that Capstone takes for something the row does not list. */
static const struct reason other_id[] = {
    {0x4d000000, 0xffe00000, "BC3x of MIPS II, which COP1X replaced: MIPS32 volume I, table of COP1X"},
    {0x44000000, 0xfc000000, "the row for reserved COP1 words: MSA branches, L and PS formats, nonzero fixed fields"},
    {0x48000000, 0xfc000000, "the row for all of COP2"},
};

/* Words that Capstone takes and that are reserved in MIPS32 release 2 without ASEs. */
static const struct reason no_row[] = {
    {0x78000000, 0xfc000000, "MSA"},
    {0x00000005, 0xfc00073f, "LSA of MSA"},
    {0x00000015, 0xfc00073f, "DLSA of MSA"},
    {0x74000000, 0xfc000000, "JALX of MIPS16e"},
    {0x41000000, 0xffe00000, "BC0x of MIPS II"},
    {0x041c0000, 0xfc1f0000, "BPOSGE32 of the DSP ASE"},
    {0x00000018, 0xfc00e7fe, "MULT, MULTU to an accumulator of the DSP ASE"},
    {0x00000010, 0xff9f07fd, "MFHI, MFLO from an accumulator of the DSP ASE"},
    {0x00000011, 0xfc1fe7fd, "MTHI, MTLO to an accumulator of the DSP ASE"},
    {0x70000000, 0xfc00e7fa, "MADD, MSUB to an accumulator of the DSP ASE"},
    {0x7c00000a, 0xfc00003f, "indexed loads of the DSP ASE"},
    {0x7c00000c, 0xfc00003f, "INSV of the DSP ASE"},
    {0x7c000010, 0xfc00003c, "ADDU.QB, CMPU.EQ.QB, ABSQ_S.PH, SHLL.QB of the DSP ASE"},
    {0x7c000018, 0xfc00003f, "ADDUH.QB of the DSP ASE"},
    {0x7c000030, 0xfc00003e, "DPA.W.PH, APPEND of the DSP ASE"},
    {0x7c000038, 0xfc00003f, "EXTR.W of the DSP ASE"},
    {0x0000000f, 0xfc00003f, "SYNC with fixed fields that are not 0"},
};

Test(frontend_decode, rows_are_well_formed)
{
	for (unsigned i = 0; i < NUM_INSNS; i++) {
		const struct insn *a = &insn_table[i];

		cr_expect(a->mask >> 26 == 63, "%s: the mask leaves opcode bits open", a->name);
		cr_expect((a->match & ~a->mask) == 0, "%s: match has bits outside the mask", a->name);
		cr_expect(a->isa && !(a->isa & (a->isa - 1)) && !(a->isa & ~ALL_ISA), "%s: isa %u", a->name, a->isa);
		cr_expect(a->lift && a->manual[0], "%s: no lifter or no manual reference", a->name);
		cr_expect(!(a->flags & INSN_LIKELY) || a->flags & INSN_BRANCH, "%s: likely, no branch", a->name);
		cr_expect(!(a->flags & INSN_BRANCH) || !(a->flags & INSN_ENDS), "%s: branch and ends", a->name);
		cr_expect(!!(a->flags & INSN_ORACLE_NO) == !!a->oracle[0], "%s: oracle flag and reason", a->name);
		for (unsigned j = 0; j < i; j++) {
			const struct insn *b = &insn_table[j]; /* stands before a */
			bool overlap = ((a->match ^ b->match) & a->mask & b->mask) == 0;

			cr_expect(strcmp(a->name, b->name), "%s: two rows", a->name);
			cr_expect(!overlap || ((a->mask & ~b->mask) == 0 && a->mask != b->mask), "%s hides words of %s",
				  b->name, a->name);
		}
	}
}

/* Each row, with random operands: Capstone agrees, or there is a reason; no listed id is stale. */
Test(frontend_decode, capstone_knows_every_row)
{
	struct frontend *f = open_frontend(ALL_ISA);
	uint64_t seed = SEED;

	for (unsigned i = 0; i < NUM_INSNS; i++) {
		const struct insn *row = &insn_table[i];
		bool seen[INSN_MAX_CAPSTONE] = {false};
		unsigned own = 0;

		for (unsigned n = 0; n < 4000; n++) {
			uint32_t word = (rnd_word(&seed) & ~row->mask) | row->match;
			unsigned id;

			cr_assert_eq(frontend_decode(f, word), first_match(word), "%s: %08x", row->name, word);
			if (first_match(word) != row)
				continue;
			own++;
			id = frontend_capstone_decode(f, 0, word);
			for (unsigned k = 0; k < INSN_MAX_CAPSTONE; k++)
				seen[k] |= id && row->capstone[k] == id;
			cr_assert(!id || lists(row, id) || find_reason(other_id, ARRAY_LEN(other_id), word),
				  "%s: Capstone takes %08x for %s", row->name, word, cs_insn_name(f->capstone, id));
		}
		cr_expect(own > 0, "%s: no word of its own", row->name);
		for (unsigned k = 0; k < INSN_MAX_CAPSTONE && row->capstone[k]; k++)
			cr_expect(seen[k], "%s: Capstone never says %s", row->name,
				  cs_insn_name(f->capstone, row->capstone[k]));
	}
	frontend_free(f);
}

/* Random words: what Capstone takes has a row, or a reason; the decoder is the first match, memo or not. */
Test(frontend_decode, every_capstone_word_has_a_row)
{
	struct frontend *f = open_frontend(ALL_ISA);
	uint64_t seed = SEED;
	unsigned accepted = 0;

	for (unsigned n = 0; n < 1000000; n++) {
		uint32_t word = n & 1 ? rnd(&seed) : rnd_word(&seed);
		const struct insn *row = frontend_decode(f, word);
		unsigned id;

		cr_assert_eq(row, first_match(word), "%08x: %s", word, row ? row->name : "reserved");
		id = frontend_capstone_decode(f, 0, word);
		accepted += id != 0;
		cr_assert(!id || row || find_reason(no_row, ARRAY_LEN(no_row), word),
			  "%08x is %s to Capstone and has no row", word, cs_insn_name(f->capstone, id));
	}
	cr_expect(accepted > 400000, "Capstone accepted %u words only", accepted);
	frontend_free(f);
}

/* Words that fall on one memo entry keep their own rows. */
Test(frontend_decode, memo_survives_collisions)
{
	struct frontend *f = open_frontend(ALL_ISA);
	uint32_t words[64] = {0x24020005}; /* addiu $v0, $0, 5 */
	unsigned n = 1;

	for (uint32_t w = 0; n < ARRAY_LEN(words) && w < UINT32_MAX; w += 4097)
		if (w * 0x9e3779b1u >> (32 - MEMO_BITS) == words[0] * 0x9e3779b1u >> (32 - MEMO_BITS))
			words[n++] = w;
	cr_assert_eq(n, ARRAY_LEN(words));
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < n; i++)
			for (unsigned again = 0; again < 2; again++)
				cr_expect_eq(frontend_decode(f, words[i]), first_match(words[i]));
	frontend_free(f);
}

Test(frontend_decode, isa_level_decides)
{
	struct frontend *r1 = open_frontend(ISA_MIPS32R1), *r2 = open_frontend(ISA_MIPS32R1 | ISA_MIPS32R2);

	cr_expect_null(frontend_decode(r1, 0x7c020420)); /* seb $zero, $v0 */
	cr_expect_eq(insn_id(frontend_decode(r2, 0x7c020420)), INSN_ID_SEB);
	cr_expect_eq(insn_id(frontend_decode(r1, 0x000000c0)), INSN_ID_SLL); /* EHB was a NOP before release 2 */
	cr_expect_eq(insn_id(frontend_decode(r2, 0x000000c0)), INSN_ID_EHB);
	cr_expect_null(frontend_decode(r2, 0x46000000)); /* add.s without an FPU */
	frontend_free(r1);
	frontend_free(r2);
}

Test(frontend_decode, disassembles)
{
	static const struct {
		uint64_t pc;
		uint32_t word;
		const char *text;
	} cases[] = {
	    {0x80001000, 0x00000000, "nop"},
	    {0x80001000, 0x27bdffe0, "addiu $sp, $sp, -0x20"},
	    {0x80001000, 0x8fbf001c, "lw $ra, 0x1c($sp)"},
	    {0x80001000, 0x04110004, "bal 0x80001014"},
	    {0x80001000, 0x00a02021, "move $a0, $a1"},
	    {0x80001000, 0x41452000, "rdpgpr $a0, $a1"},  /* Capstone refuses it */
	    {0x80001000, 0x43000020, "wait 0x1000000"},   /* with a code: likewise */
	    {0x80001000, 0x7bb204a1, ".word 0x7bb204a1"}, /* MSA: Capstone knows it, this CPU does not */
	    {0x80001000, 0xffffffff, ".word 0xffffffff"},
	};
	struct frontend *f = open_frontend(ALL_ISA);
	char text[64], small[5];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		frontend_disasm(f, cases[i].pc, cases[i].word, text, sizeof(text));
		cr_expect_str_eq(text, cases[i].text);
	}
	frontend_disasm(f, 0, 0x8fbf001c, small, sizeof(small));
	cr_expect_str_eq(small, "lw $");
	frontend_free(f);
}
