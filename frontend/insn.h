/* SPDX-License-Identifier: MIT */
#ifndef FRONTEND_INSN_H
#define FRONTEND_INSN_H

/*
 * The rows of insn.def as data, and the fields of an instruction word.
 * Fields are named as in MIPS32 volume I, "CPU instruction formats" and "FPU instruction formats".
 */
#include "frontend/frontend.h"

struct lift;

/* Appends the IR of one guest instruction (lift.h). Never fails: what cannot execute raises. */
typedef void lift_fn(struct lift *l);

enum insn_id {
#define INSN(id, ...) INSN_ID_##id,
#include "frontend/insn.def"
#undef INSN
	NUM_INSNS
};

#define INSN_MAX_CAPSTONE 4

struct insn {
	const char *name;                     /* the manual's mnemonic, lower case */
	uint16_t capstone[INSN_MAX_CAPSTONE]; /* mips_insn ids (capstone/mips.h) that words of this row get; 0 ends */
	uint32_t match, mask;                 /* a word is of this row iff (word & mask) == match */
	uint8_t isa;                          /* one enum isa */
	uint16_t flags;                       /* enum insn_flags */
	lift_fn *lift;
	const char *manual; /* where the semantics are */
	const char *oracle; /* why an oracle must not be asked about it, or "" (INSN_ORACLE_NO is derived from it) */
};

/* All rows in table order. A row may only overlap an earlier one that is more specific (NOP before SLL). */
extern const struct insn insn_table[NUM_INSNS];

static inline enum insn_id insn_id(const struct insn *row) { return (enum insn_id)(row - insn_table); }

/* Fields of the CPU formats. */
static inline unsigned insn_opcode(uint32_t w) { return w >> 26; }
static inline unsigned insn_rs(uint32_t w) { return w >> 21 & 31; }
static inline unsigned insn_rt(uint32_t w) { return w >> 16 & 31; }
static inline unsigned insn_rd(uint32_t w) { return w >> 11 & 31; }
static inline unsigned insn_sa(uint32_t w) { return w >> 6 & 31; }
static inline unsigned insn_function(uint32_t w) { return w & 63; }
static inline unsigned insn_sel(uint32_t w) { return w & 7; }
static inline int32_t insn_simm(uint32_t w) { return (int16_t)(w & 0xffff); }
static inline uint32_t insn_uimm(uint32_t w) { return w & 0xffff; }
static inline uint32_t insn_index(uint32_t w) { return w & 0x3ffffff; }

/* Fields of the FPU formats. base and index of LWXC1 and its like are rs and rt. */
static inline unsigned insn_fmt(uint32_t w) { return w >> 21 & 31; }
static inline unsigned insn_fr(uint32_t w) { return w >> 21 & 31; }
static inline unsigned insn_ft(uint32_t w) { return w >> 16 & 31; }
static inline unsigned insn_fs(uint32_t w) { return w >> 11 & 31; }
static inline unsigned insn_fd(uint32_t w) { return w >> 6 & 31; }
static inline unsigned insn_cc_branch(uint32_t w) { return w >> 18 & 7; } /* BC1x, MOVF, MOVT and MOVCF.fmt */
static inline unsigned insn_cc_compare(uint32_t w) { return w >> 8 & 7; } /* C.cond.fmt */

#endif
