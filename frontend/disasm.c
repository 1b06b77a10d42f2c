/* SPDX-License-Identifier: MIT */
/* Text of a guest word. */
#include <stdio.h>

#include "frontend/decode.h"

static const char *const gpr_names[32] = {
    "zero", "at", "v0", "v1", "a0", "a1", "a2", "a3", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7",
    "s0",   "s1", "s2", "s3", "s4", "s5", "s6", "s7", "t8", "t9", "k0", "k1", "gp", "sp", "fp", "ra",
};

/* A word that its row knows and Capstone does not. */
static void disasm_row(const struct insn *row, uint32_t word, char *out, size_t out_bytes)
{
	uint32_t operands = word & ~row->mask;

	switch (insn_id(row)) {
	case INSN_ID_RDPGPR:
	case INSN_ID_WRPGPR:
		snprintf(out, out_bytes, "%s $%s, $%s", row->name, gpr_names[insn_rd(word)], gpr_names[insn_rt(word)]);
		return;
	default:
		if (operands)
			snprintf(out, out_bytes, "%s 0x%x", row->name, operands);
		else
			snprintf(out, out_bytes, "%s", row->name);
		return;
	}
}

void frontend_disasm(struct frontend *f, uint64_t pc, uint32_t word, char *out, size_t out_bytes)
{
	const struct insn *row = frontend_decode(f, word);

	if (!row) /* Capstone may know it from another ISA level; here it raises RI or CpU */
		snprintf(out, out_bytes, ".word 0x%08x", word);
	else if (!frontend_capstone_decode(f, pc, word))
		disasm_row(row, word, out, out_bytes);
	else if (f->insn->op_str[0])
		snprintf(out, out_bytes, "%s %s", f->insn->mnemonic, f->insn->op_str);
	else
		snprintf(out, out_bytes, "%s", f->insn->mnemonic);
}
