/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "frontend/fpu.h"
#include "tests/oracle/asm.h"
#include "tests/oracle/generate.h"

/*
 * Operands of one instruction, and the instructions that have to stand around it: whatever the manual calls
 * UNPREDICTABLE is not generated, with its rule beside the code that avoids it ("II" is MIPS32 volume II).
 */

static bool is_trap(const struct insn *row)
{
	unsigned op = insn_opcode(row->match), fn = insn_function(row->match), rt = insn_rt(row->match);

	return (op == 0 && fn >= 0x30 && fn <= 0x36) || (op == 1 && rt >= 8 && rt <= 14);
}

static enum row_class memory_class(const struct insn *row)
{
	switch (insn_id(row)) {
	case INSN_ID_LL:
	case INSN_ID_SC:
		return ROW_LINKED;
	default:
		return ROW_MEMORY;
	}
}

static enum row_class fpu_class(const struct insn *row)
{
	switch (insn_id(row)) {
	case INSN_ID_CTC1:
		return ROW_FP_CONTROL;
	case INSN_ID_ABS_S:
	case INSN_ID_ABS_D:
	case INSN_ID_NEG_S:
	case INSN_ID_NEG_D:
	case INSN_ID_CVT_S_D:
		return ROW_FP_GUARDED;
	default:
		break;
	}
	if (insn_opcode(row->match) == 0x13 && insn_function(row->match) < 0x20)
		return ROW_INDEXED;
	return ROW_FP;
}

enum row_class row_class(const struct insn *row)
{
	unsigned op = insn_opcode(row->match);

	if (row->flags & INSN_PRIV)
		return ROW_PRIVILEGED;
	if (row->flags & INSN_ORACLE_NO)
		return ROW_PLAIN;
	if (row->flags & INSN_BRANCH)
		return op == 2 || op == 3 || op == 0 ? ROW_JUMP : ROW_BRANCH;
	if (op >= 0x20)
		return memory_class(row);
	if (row->flags & INSN_CP1)
		return fpu_class(row);
	switch (insn_id(row)) {
	case INSN_ID_ADD:
	case INSN_ID_ADDI:
	case INSN_ID_SUB:
	case INSN_ID_SYSCALL:
	case INSN_ID_BREAK:
		return ROW_TRAPS;
	case INSN_ID_DIV:
	case INSN_ID_DIVU:
		return ROW_DIVIDE;
	default:
		return is_trap(row) ? ROW_TRAPS : ROW_ALU;
	}
}

/* Shift of the field that names the GPR written, or -1. */
static int dest_shift(const struct insn *row)
{
	unsigned op = insn_opcode(row->match), fn = insn_function(row->match), rs = insn_rs(row->match);

	switch (op) {
	case 0x00:
	case 0x1c:
		if (is_trap(row) || insn_id(row) == INSN_ID_SYSCALL || insn_id(row) == INSN_ID_BREAK ||
		    insn_id(row) == INSN_ID_SDBBP)
			return -1;
		return row->mask >> 11 & 31 ? -1 : 11;
	case 0x08 ... 0x0f:
		return 16;
	case 0x1f:
		return fn == 0x20 ? 11 : 16;
	case 0x20 ... 0x26:
	case 0x30:
	case 0x38:
		return 16;
	case 0x10:
		return insn_id(row) == INSN_ID_RDPGPR || insn_id(row) == INSN_ID_WRPGPR                           ? 11
		       : insn_id(row) == INSN_ID_MFC0 || insn_id(row) == INSN_ID_DI || insn_id(row) == INSN_ID_EI ? 16
														  : -1;
	case 0x11:
		return row->mask != 0xfc000000u && rs <= 3 ? 16 : -1;
	default:
		return -1;
	}
}

static uint32_t set_field(uint32_t word, unsigned shift, unsigned value)
{
	return (word & ~(31u << shift)) | value << shift;
}

static bool field_free(const struct insn *row, unsigned shift) { return !(row->mask >> shift & 31); }

/* FPR fields: half of them hot; with FR=0 an odd register of a 64-bit format is UNPREDICTABLE (I-A, "FR"). */
static uint32_t fpr_fields(struct generator *g, const struct insn *row, uint32_t word)
{
	bool pairs = row->flags & INSN_FR_PAIR && !g->o->setup->fr;

	for (unsigned shift = 6; shift <= 21; shift += 5) {
		if (!field_free(row, shift))
			continue;
		if (rng_one_in(&g->rng, 2))
			word = set_field(word, shift, g->hot_fpr[rng_below(&g->rng, 4)]);
		if (pairs)
			word &= ~(1u << shift);
	}
	return (word & ~row->mask) | row->match;
}

static int16_t corner_imm(struct generator *g)
{
	static const int16_t corners[] = {0, 1, -1, 2, 4, 0x7f, 0xff, 0x7fff, -0x8000, -0x7fff, 0x5555, 0x100};

	if (rng_one_in(&g->rng, 2))
		return corners[rng_below(&g->rng, ARRAY_LEN(corners))];
	return (int16_t)rng_next(&g->rng);
}

static bool is_indexed_or_memory(const struct insn *row)
{
	return row_class(row) == ROW_MEMORY || row_class(row) == ROW_INDEXED || row_class(row) == ROW_LINKED ||
	       insn_id(row) == INSN_ID_CACHE || insn_id(row) == INSN_ID_SYNCI;
}

static unsigned access_bytes(const struct insn *row)
{
	switch (insn_id(row)) {
	case INSN_ID_LB:
	case INSN_ID_LBU:
	case INSN_ID_SB:
	case INSN_ID_LWL:
	case INSN_ID_LWR:
	case INSN_ID_SWL:
	case INSN_ID_SWR:
		return 1;
	case INSN_ID_LH:
	case INSN_ID_LHU:
	case INSN_ID_SH:
		return 2;
	case INSN_ID_LDC1:
	case INSN_ID_SDC1:
		return 8;
	default:
		return 4;
	}
}

/*
 * Unicorn goes on with the next instruction after a byte of SWL or SWR has failed, and names sometimes the byte's,
 * sometimes the word's address in BadVAddr for LWL and LWR.
 */
static bool may_miss(const struct generator *g, const struct insn *row)
{
	switch (insn_id(row)) {
	case INSN_ID_LWL:
	case INSN_ID_LWR:
	case INSN_ID_SWL:
	case INSN_ID_SWR:
		return g->o->beyond_unicorn;
	default:
		return true;
	}
}

/* Base and offset: mostly aligned and in the data; sometimes where no TLB entry maps. */
static uint32_t address_fields(struct generator *g, const struct insn *row, uint32_t word)
{
	const struct program_roles *role = &g->p->role;
	uint32_t roll = rng_below(&g->rng, 32);
	unsigned base = role->pointer[roll % 3 == 0];
	int imm = (int)rng_below(&g->rng, 0x400) - 0x200;

	if (roll == 0 && may_miss(g, row))
		base = role->wild;
	if (!rng_one_in(&g->rng, 32))
		imm &= -(int)access_bytes(row);
	word = set_field(word, 21, base);
	if (row_class(row) == ROW_INDEXED)
		return set_field(word, 16, role->index);
	return (word & 0xffff0000u) | (uint32_t)(imm & 0xffff);
}

static bool source_fields(const struct insn *row)
{
	unsigned op = insn_opcode(row->match);

	return op <= 1 || (op >= 4 && op <= 0x0f) || (op >= 0x14 && op <= 0x17) || op == 0x1c || op == 0x1f;
}

/* What single rows forbid, after their fields have been chosen. */
static uint32_t legal(struct generator *g, const struct insn *row, uint32_t word)
{
	static const uint8_t control[] = {FPU_FIR, FPU_FCCR, FPU_FEXR, FPU_FENR, FPU_FCSR, FPU_FCSR};
	unsigned pos, size;

	switch (insn_id(row)) {
	case INSN_ID_CLZ: /* II, CLZ: rt and rd name the same register, else UNPREDICTABLE */
	case INSN_ID_CLO:
		return set_field(word, 16, insn_rd(word));
	case INSN_ID_EXT: /* II, EXT: pos + size <= 32; msbd = size - 1 */
	case INSN_ID_INS: /* II, INS: msb >= lsb; msb = pos + size - 1 */
		pos = rng_below(&g->rng, 32);
		size = 1 + rng_below(&g->rng, 32 - pos);
		return set_field(set_field(word, 6, pos), 11, insn_id(row) == INSN_ID_EXT ? size - 1 : pos + size - 1);
	case INSN_ID_CFC1: /* II, CFC1: other control registers are UNPREDICTABLE */
		return set_field(word, 11, control[rng_below(&g->rng, ARRAY_LEN(control))]);
	case INSN_ID_RDHWR: /* II, RDHWR: others are reserved */
		return set_field(word, 11, (uint8_t[]){0, 1, 2, 3, 29}[rng_below(&g->rng, 5)]);
	case INSN_ID_BLTZAL: /* II, BLTZAL and its like: rs = 31 is UNPREDICTABLE */
	case INSN_ID_BGEZAL:
	case INSN_ID_BLTZALL:
	case INSN_ID_BGEZALL:
		return insn_rs(word) == 31 ? set_field(word, 21, 30) : word;
	default:
		return word;
	}
}

uint32_t generator_word(struct generator *g, const struct insn *row)
{
	uint32_t word = ((uint32_t)rng_next(&g->rng) & ~row->mask) | row->match;
	unsigned op = insn_opcode(row->match);
	int dest = dest_shift(row);

	if (op == 0x11 || op == 0x13 || (op >= 0x31 && row->flags & INSN_CP1))
		word = fpr_fields(g, row, word);
	if (source_fields(row) && field_free(row, 21))
		word = set_field(word, 21, generator_gpr(g));
	if (source_fields(row) && field_free(row, 16) && !(row->flags & INSN_CP1))
		word = set_field(word, 16, generator_gpr(g));
	if ((op >= 0x08 && op <= 0x0f) || (op == 1 && is_trap(row)))
		word = (word & 0xffff0000u) | (uint16_t)corner_imm(g);
	if (is_indexed_or_memory(row))
		word = address_fields(g, row, word);
	if (dest >= 0)
		word = set_field(word, (unsigned)dest, generator_dest(g));
	return (legal(g, row, word) & ~row->mask) | row->match;
}

bool row_needs_fr(const struct insn *row)
{
	const char *fmt = strchr(row->name, '.');

	if (insn_id(row) == INSN_ID_LUXC1 || insn_id(row) == INSN_ID_SUXC1)
		return true;
	return insn_opcode(row->match) == 0x11 && fmt &&
	       (strstr(fmt, ".l.") || !strcmp(row->name + strlen(row->name) - 2, ".l"));
}

/* ---- sequences ---- */

static void put_ahead(struct generator *g, uint32_t word, unsigned flags)
{
	g->ahead[generator_put(g, word, flags)] = (uint8_t)(1 + rng_below(&g->rng, 7));
	generator_put_slot(g);
}

/* J and JAL go ahead; JR and JALR through role.target, which points ahead of the last of them. */
static void put_jump(struct generator *g, const struct insn *row)
{
	uint32_t word = row->match;
	unsigned t = g->p->role.target;

	switch (insn_id(row)) {
	case INSN_ID_J:
	case INSN_ID_JAL:
		put_ahead(g, word, 0);
		return;
	case INSN_ID_JALR:
	case INSN_ID_JALR_HB: /* II, JALR: rd = rs is UNPREDICTABLE */
		word = set_field(word, 11, rng_one_in(&g->rng, 2) && !g->in_function ? 31 : generator_dest(g));
		break;
	default:
		break;
	}
	g->jumped = (int16_t)generator_put(g, set_field(word, 21, t), PI_LINK_T);
	generator_put_slot(g);
}

/* II, DIV: a zero divisor makes HI and LO UNPREDICTABLE. */
static void put_divide(struct generator *g, const struct insn *row)
{
	unsigned divisor = generator_dest(g);

	if (!divisor)
		divisor = g->hot_gpr[0];
	generator_put(g, A_ORI(divisor, divisor, 1), 0);
	generator_put(g, set_field(generator_word(g, row), 16, divisor), PI_GLUED);
}

/* II, SC: with a memory access between them, or another address, whether SC succeeds is not defined. */
static void put_linked(struct generator *g)
{
	const struct insn *ll = &insn_table[INSN_ID_LL];
	uint32_t word = generator_word(g, ll), n = rng_below(&g->rng, 3);

	generator_put(g, word, 0);
	for (uint32_t i = 0; i < n; i++)
		generator_put(g, generator_word(g, generator_pick_row(g, 1u << ROW_ALU)), PI_GLUED);
	generator_put(g, set_field(A_SC(0, insn_simm(word), insn_rs(word)), 16, generator_dest(g)), PI_GLUED);
}

/*
 * ABS and NEG of a NaN (Unicorn does not look at it), CVT.S.D of a NaN (Unicorn may make infinity of it): jumped over.
 * tests/unit/fpu_oracle.c and fpu_semantics.c hold these.
 */
static void put_guarded(struct generator *g, const struct insn *row)
{
	uint32_t word = generator_word(g, row), i;
	unsigned fs = insn_fs(word), cc = rng_below(&g->rng, 8);

	if (!g->o->beyond_unicorn) {
		generator_put(g, A_C_UN(insn_fmt(word), cc, fs, fs), 0);
		i = generator_put(g, A_BC1T(cc), PI_GLUED);
		g->p->insn[i].target = (int16_t)(i + 3);
		generator_put(g, A_NOP, PI_SLOT | PI_GLUED);
		generator_put(g, word, PI_GLUED);
		return;
	}
	generator_put(g, word, 0);
}

/*
 * Unicorn drops a write that has reserved bits, flushes (FS) before rounding, and does not signal an exact underflow
 * that is enabled: those bits are kept out.  A Cause bit with its Enable traps; usually not.
 */
static void put_control(struct generator *g)
{
	const uint32_t no_u = ~(uint32_t)(FPU_U << FCSR_ENABLES_SHIFT);
	const struct {
		unsigned fs;
		uint32_t bits;
	} to[] = {{FPU_FCSR, FCSR_WRITABLE & ~(FCSR_FS | FCSR_CAUSE) & no_u},
		  {FPU_FCSR, FCSR_WRITABLE & ~(FCSR_FS | FCSR_ENABLES)},
		  {FPU_FCSR, FCSR_WRITABLE & ~FCSR_FS & no_u},
		  {FPU_FCCR, 0xff},
		  {FPU_FEXR, FCSR_CAUSE | FCSR_FLAGS},
		  {FPU_FENR, (FCSR_ENABLES | FCSR_RM) & no_u}},
	  *c = &to[rng_below(&g->rng, ARRAY_LEN(to))];
	uint32_t bits = g->o->beyond_unicorn ? ~0u : c->bits;
	uint32_t plain = rng_one_in(&g->rng, 2) ? FCSR_ENABLES | FCSR_FS | FCSR_RM : 0u;
	unsigned t = generator_dest(g), src = generator_gpr(g);

	t = t ? t : g->hot_gpr[0];
	src = src == t ? REG_CASE : src;
	bits &= ~plain;
	generator_put(g, A_LUI(t, bits >> 16), 0);
	generator_put(g, A_ORI(t, t, bits), PI_GLUED);
	generator_put(g, A_AND(t, t, src), PI_GLUED);
	generator_put(g, A_CTC1(t, c->fs), PI_GLUED);
}

/* Registers whose contents do not depend on when, or on what cannot be put back. */
static unsigned cp0_register(struct generator *g, bool write)
{
	enum { CP0_REGS_WRITTEN = 12 }; /* the first of these */
	static const uint16_t regs[] = {CP0_Index,    CP0_EntryLo0,  CP0_EntryLo1, CP0_Context, CP0_PageMask,
					CP0_Wired,    CP0_HWREna,    CP0_EntryHi,  CP0_EPC,     CP0_TagLo,
					CP0_ErrorEPC, CP0_UserLocal, CP0_BadVAddr, CP0_Cause,   CP0_Status,
					CP0_PRId,     CP0_Config,    CP0_Config1,  CP0_Config3, CP0_SRSCtl};

	return regs[rng_below(&g->rng, write ? CP0_REGS_WRITTEN : ARRAY_LEN(regs))];
}

/* MTC0 Status: CU1, FR and IM change; what follows runs in another mode. The tail puts Status back. */
static void put_status(struct generator *g)
{
	unsigned t = g->hot_gpr[0], u = g->hot_gpr[1];

	generator_put(g, A_MFC0(t, CP0_Status), 0);
	generator_put(g, A_LUI(u, (ST_CU1 | ST_FR) >> 16), PI_GLUED);
	generator_put(g, A_ORI(u, u, ST_IM), PI_GLUED);
	generator_put(g, A_AND(u, u, generator_gpr(g)), PI_GLUED);
	generator_put(g, A_XOR(t, t, u), PI_GLUED);
	generator_put(g, A_MTC0(t, CP0_Status), PI_GLUED);
	generator_put(g, A_EHB, PI_GLUED);
}

/* WAIT with a software interrupt pending and unmasked, IE = 0: it ends at once (II, WAIT). */
static void put_wait(struct generator *g, uint32_t word)
{
	unsigned t = g->hot_gpr[0];

	generator_put(g, A_MFC0(t, CP0_Status), 0);
	generator_put(g, A_ORI(t, t, 0x100), PI_GLUED);
	generator_put(g, A_MTC0(t, CP0_Status), PI_GLUED);
	generator_put(g, A_ORI(t, 0, 0x100), PI_GLUED);
	generator_put(g, A_MTC0(t, CP0_Cause), PI_GLUED);
	generator_put(g, word, PI_GLUED);
}

/* A monitor call, of those after which the guest goes on: none that takes memory away, stops the vCPU or ends the machine. */
static void put_hypcall(struct generator *g, uint32_t word)
{
	static const uint8_t number[] = {0, 6, 7, 9, 11, 255};
	const unsigned v0 = 2;

	if (generator_has_role(g, v0)) {
		generator_put(g, A_NOP, 0);
		return;
	}
	generator_put(g, A_ORI(v0, 0, number[rng_below(&g->rng, ARRAY_LEN(number))]), 0);
	generator_put(g, word, PI_GLUED);
}

static uint32_t cp0_word(uint32_t word, unsigned index) { return set_field(word, 11, index / 8) | index % 8; }

static void put_privileged(struct generator *g, const struct insn *row)
{
	uint32_t word = generator_word(g, row);

	switch (insn_id(row)) {
	case INSN_ID_MFC0:
		generator_put(g, cp0_word(word & ~7u, cp0_register(g, false)), 0);
		return;
	case INSN_ID_MTC0:
		if (g->o->setup->kernel && rng_one_in(&g->rng, 4))
			put_status(g);
		else
			generator_put(g, cp0_word(word & ~7u, cp0_register(g, true)), 0);
		return;
	case INSN_ID_ERET:
		generator_put(g, A_MTC0(g->p->role.target, CP0_EPC), 0);
		generator_put(g, A_EHB, PI_GLUED);
		g->jumped = (int16_t)generator_put(g, word, PI_GLUED | PI_LINK_T);
		return;
	case INSN_ID_WAIT:
		put_wait(g, word);
		return;
	case INSN_ID_HYPCALL:
		put_hypcall(g, word);
		return;
	default:
		generator_put(g, word, 0);
	}
}

/* The rows of what is left of an opcode overlap all others of it: words that are really theirs. */
static void put_plain(struct generator *g, const struct insn *row)
{
	const struct insn *first;
	uint32_t word;

	do {
		word = generator_word(g, row);
		first = insn_table;
		while ((word & first->mask) != first->match)
			first++;
	} while (first != row);
	generator_put(g, word, 0);
}

void generator_put_row(struct generator *g, const struct insn *row)
{
	g->group++;
	switch (row_class(row)) {
	case ROW_BRANCH:
		put_ahead(g, generator_word(g, row), 0);
		return;
	case ROW_JUMP:
		put_jump(g, row);
		return;
	case ROW_DIVIDE:
		put_divide(g, row);
		return;
	case ROW_LINKED:
		put_linked(g);
		return;
	case ROW_FP_GUARDED:
		put_guarded(g, row);
		return;
	case ROW_FP_CONTROL:
		put_control(g);
		return;
	case ROW_PRIVILEGED:
		put_privileged(g, row);
		return;
	case ROW_PLAIN:
		put_plain(g, row);
		return;
	default:
		generator_put(g, generator_word(g, row), 0);
	}
}
