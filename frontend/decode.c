/* SPDX-License-Identifier: MIT */
/*
 * Word to row of insn.def (design.md section 3, "Capstone decodes, the row decides").
 *
 * 1. The memo knows the word: done.
 * 2. Capstone gives an id.  The first row that lists the id and matches the word is it.
 * 3. Otherwise - Capstone refuses the word, or gives an id that no matching row lists - the first row of the opcode
 *    that matches is it.
 * 4. Otherwise the word is reserved, whatever Capstone thinks: it also accepts words of MIPS64, of ASEs, and words
 *    with bits set that the manual shows as 0.
 * So Capstone's opinion never outweighs match/mask; tests/unit/frontend_decode.c holds the two against each other.
 */
#include <stdlib.h>

#include "frontend/decode.h"
#include "frontend/lift.h"

#define CS0                                                                                                            \
	{                                                                                                              \
		0                                                                                                      \
	}
#define CS1(a)                                                                                                         \
	{                                                                                                              \
		MIPS_INS_##a                                                                                           \
	}
#define CS2(a, b)                                                                                                      \
	{                                                                                                              \
		MIPS_INS_##a, MIPS_INS_##b                                                                             \
	}
#define CS3(a, b, c)                                                                                                   \
	{                                                                                                              \
		MIPS_INS_##a, MIPS_INS_##b, MIPS_INS_##c                                                               \
	}
#define CS4(a, b, c, d)                                                                                                \
	{                                                                                                              \
		MIPS_INS_##a, MIPS_INS_##b, MIPS_INS_##c, MIPS_INS_##d                                                 \
	}

const struct insn insn_table[NUM_INSNS] = {
#define INSN(id, name_, match_, mask_, isa_, flags_, lifter, capstone_, manual_, oracle_)                              \
	{.name = name_,                                                                                                \
	 .capstone = capstone_,                                                                                        \
	 .match = match_,                                                                                              \
	 .mask = mask_,                                                                                                \
	 .isa = isa_,                                                                                                  \
	 .flags = (flags_) | (sizeof(oracle_) > 1 ? INSN_ORACLE_NO : 0),                                               \
	 .lift = lifter,                                                                                               \
	 .manual = manual_,                                                                                            \
	 .oracle = oracle_},
#include "frontend/insn.def"
#undef INSN
};

static bool matches(const struct frontend *f, const struct insn *row, uint32_t word)
{
	return (word & row->mask) == row->match && row->isa & f->isa;
}

/* Rows grouped by Capstone id and by opcode, each group in table order. */
static void index_rows(struct frontend *f)
{
	unsigned n = 0;

	for (unsigned id = 1; id < MIPS_INS_ENDING; id++) {
		f->id_first[id] = (uint16_t)n;
		for (unsigned r = 0; r < NUM_INSNS; r++)
			for (unsigned k = 0; k < INSN_MAX_CAPSTONE; k++)
				if (insn_table[r].capstone[k] == id)
					f->by_id[n++] = (uint16_t)r;
	}
	f->id_first[MIPS_INS_ENDING] = (uint16_t)n;
	n = 0;
	for (unsigned op = 0; op < 64; op++) {
		f->opcode_first[op] = (uint16_t)n;
		for (unsigned r = 0; r < NUM_INSNS; r++)
			if (insn_opcode(insn_table[r].match) == op)
				f->by_opcode[n++] = (uint16_t)r;
	}
	f->opcode_first[64] = (uint16_t)n;
}

struct frontend *frontend_new(unsigned isa)
{
	struct frontend *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->isa = isa;
	if (cs_open(CS_ARCH_MIPS, CS_MODE_MIPS32 | CS_MODE_LITTLE_ENDIAN, &f->capstone) != CS_ERR_OK) {
		free(f);
		return NULL;
	}
	f->insn = cs_malloc(f->capstone);
	if (!f->insn) {
		frontend_free(f);
		return NULL;
	}
	index_rows(f);
	return f;
}

void frontend_free(struct frontend *f)
{
	if (!f)
		return;
	if (f->insn)
		cs_free(f->insn, 1);
	cs_close(&f->capstone);
	free(f);
}

/* Words come in host order whatever the guest's endianness is, so Capstone always gets little-endian bytes. */
unsigned frontend_capstone_decode(struct frontend *f, uint64_t pc, uint32_t word)
{
	uint8_t bytes[4] = {(uint8_t)word, (uint8_t)(word >> 8), (uint8_t)(word >> 16), (uint8_t)(word >> 24)};
	const uint8_t *code = bytes;
	size_t size = sizeof(bytes);

	return cs_disasm_iter(f->capstone, &code, &size, &pc, f->insn) ? f->insn->id : 0;
}

static const struct insn *decode(struct frontend *f, uint32_t word)
{
	unsigned id = frontend_capstone_decode(f, 0, word), op = insn_opcode(word);

	if (id && id < MIPS_INS_ENDING)
		for (unsigned i = f->id_first[id]; i < f->id_first[id + 1]; i++)
			if (matches(f, &insn_table[f->by_id[i]], word))
				return &insn_table[f->by_id[i]];
	for (unsigned i = f->opcode_first[op]; i < f->opcode_first[op + 1]; i++)
		if (matches(f, &insn_table[f->by_opcode[i]], word))
			return &insn_table[f->by_opcode[i]];
	return NULL;
}

const struct insn *frontend_decode(struct frontend *f, uint32_t word)
{
	/* Fibonacci hashing: the product's top bits depend on every bit of the word. */
	struct decode_memo *m = &f->memo[word * 0x9e3779b1u >> (32 - MEMO_BITS)];

	if (m->row == MEMO_EMPTY || m->word != word) {
		const struct insn *row = decode(f, word);

		m->word = word;
		m->row = row ? (uint16_t)(MEMO_FIRST_ROW + insn_id(row)) : MEMO_RESERVED;
	}
	return m->row == MEMO_RESERVED ? NULL : &insn_table[m->row - MEMO_FIRST_ROW];
}
