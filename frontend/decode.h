/* SPDX-License-Identifier: MIT */
#ifndef FRONTEND_DECODE_H
#define FRONTEND_DECODE_H

/* What decode.c and disasm.c share: the Capstone handle stays between them (and their test). */
#include <capstone/capstone.h>

#include "frontend/insn.h"

/*
 * The memo is direct-mapped and of fixed size: a guest that executes 2^32 different words costs time, not memory.
 * 32768 entries of 8 bytes hold the distinct words of a kernel and a large program.
 */
#define MEMO_BITS 13

enum { MEMO_EMPTY, MEMO_RESERVED, MEMO_FIRST_ROW };

struct decode_memo {
	uint32_t word;
	uint16_t row; /* MEMO_x, or MEMO_FIRST_ROW + enum insn_id */
};

struct frontend {
	csh capstone; /* without detail */
	cs_insn *insn;
	unsigned isa; /* set of enum isa */
	uint16_t id_first[MIPS_INS_ENDING + 1], by_id[NUM_INSNS * INSN_MAX_CAPSTONE];
	uint16_t opcode_first[65], by_opcode[NUM_INSNS];
	struct decode_memo memo[1u << MEMO_BITS];
};

/* Capstone's id for the word, 0 if it refuses it; the text is in f->insn. */
unsigned frontend_capstone_decode(struct frontend *f, uint64_t pc, uint32_t word);

#endif
