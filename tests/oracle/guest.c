/* SPDX-License-Identifier: MIT */
#include "tests/oracle/guest.h"

#include <stdlib.h>
#include <string.h>

#include "frontend/fpu.h"
#include "tests/oracle/asm.h"

/* Offsets into the driver's page; put_until() checks that what is before them fits. */
enum { AT_LOOP = 0x000, AT_TAIL = 0x200, AT_END = 0x480, AT_RESUME = 0x500, AT_BOOT = 0x600 };
#define SOFTRES_PA   0x1f000500u
#define SOFTRES_CODE 0x42
#define DEVICE_VA    0x00400000u /* setup.mapped: where user mode sees the page of SOFTRES */
#define IN(field)    ((uint32_t)offsetof(struct guest_case, field))
#define AT           1  /* $at, loaded last */
#define SAVED        27 /* k1 is stored first, then free */

struct assembler {
	uint32_t *words, n, max, va;
};

static void put(struct assembler *a, uint32_t word)
{
	if (a->n == a->max)
		abort();
	a->words[a->n++] = word;
}

static void put_until(struct assembler *a, uint32_t off)
{
	if (4 * a->n > off)
		abort();
	while (4 * a->n < off)
		put(a, A_NOP);
}

static void put_li(struct assembler *a, unsigned reg, uint32_t value)
{
	put(a, A_LUI(reg, value >> 16));
	put(a, A_ORI(reg, reg, value));
}

static uint32_t driver_va(const struct oracle_setup *s, uint32_t at) { return setup_base(s) + PA_DRIVER + at; }

uint32_t guest_loop_va(const struct oracle_setup *s) { return driver_va(s, AT_LOOP); }
uint32_t guest_tail_va(const struct oracle_setup *s) { return driver_va(s, AT_TAIL); }
uint32_t guest_end_va(const struct oracle_setup *s) { return driver_va(s, AT_END); }
uint32_t guest_resume_va(const struct oracle_setup *s) { return driver_va(s, AT_RESUME); }
uint32_t guest_boot_va(void) { return 0x80000000u + PA_DRIVER + AT_BOOT; }

/* Load the case's state. SC clears LLbit: no block begins with another's link. The block's address comes last. */
static void put_loop(struct assembler *a, const struct oracle_setup *s)
{
	put_until(a, AT_LOOP);
	put(a, A_SC(AT, IN(scratch), REG_CASE));
	if (s->fp) {
		put(a, A_LW(AT, IN(in_fcsr), REG_CASE));
		put(a, A_CTC1(AT, FPU_FCSR));
		for (unsigned f = 0; f < 32; f += s->fr ? 1 : 2)
			put(a, A_LDC1(f, IN(in_fpr) + 8 * f, REG_CASE));
	}
	put(a, A_LW(AT, IN(in_hi), REG_CASE));
	put(a, A_MTHI(AT));
	put(a, A_LW(AT, IN(in_lo), REG_CASE));
	put(a, A_MTLO(AT));
	for (unsigned r = 2; r < 32; r++)
		if (r != REG_CASE)
			put(a, A_LW(r, IN(in_gpr) + 4 * r, REG_CASE));
	put(a, A_J(0)); /* guest_jump_to_block() points it at the block */
	put(a, A_LW(AT, IN(in_gpr) + 4 * AT, REG_CASE));
}

/* Without an exception blocks end at AT_TAIL, else they get to its second half. */
static uint32_t put_tail(struct assembler *a, const struct oracle_setup *s)
{
	uint32_t joined;

	put_until(a, AT_TAIL);
	put(a, A_SW(SAVED, IN(out_gpr) + 4 * SAVED, REG_CASE));
	put(a, A_ADDIU(SAVED, 0, -1));
	put(a, A_SW(SAVED, IN(cause), REG_CASE));
	joined = a->va + 4 * a->n;
	if (s->kernel) {
		put(a, A_MTC0(0, CP0_Cause));
		put_li(a, SAVED, setup_status(s));
		put(a, A_MTC0(SAVED, CP0_Status));
		put(a, A_EHB);
	}
	for (unsigned r = 1; r < 32; r++)
		if (r != REG_CASE && r != SAVED)
			put(a, A_SW(r, IN(out_gpr) + 4 * r, REG_CASE));
	put(a, A_MFHI(AT));
	put(a, A_SW(AT, IN(out_hi), REG_CASE));
	put(a, A_MFLO(AT));
	put(a, A_SW(AT, IN(out_lo), REG_CASE));
	if (s->fp) {
		put(a, A_CFC1(AT, FPU_FCSR));
		put(a, A_SW(AT, IN(out_fcsr), REG_CASE));
		put(a, A_CTC1(0, FPU_FCSR));
		for (unsigned f = 0; f < 32; f += s->fr ? 1 : 2)
			put(a, A_SDC1(f, IN(out_fpr) + 8 * f, REG_CASE));
	}
	put(a, A_LW(SAVED, IN(in_more), REG_CASE));
	put(a, A_ADDIU(REG_CASE, REG_CASE, sizeof(struct guest_case)));
	put(a, A_BNE(SAVED, 0, ((int)AT_LOOP - (int)(4 * a->n) - 4) / 4));
	put(a, A_NOP);
	put(a, A_J(guest_end_va(s)));
	put(a, A_NOP);
	return joined;
}

static void put_end(struct assembler *a, const struct oracle_setup *s)
{
	uint32_t reg = s->mapped ? DEVICE_VA + (SOFTRES_PA & PAGE_MASK) : 0xa0000000u + SOFTRES_PA;

	put_until(a, AT_END);
	put_li(a, AT, reg);
	put(a, A_ORI(2, 0, SOFTRES_CODE));
	put(a, A_SW(2, 0, AT));
	put(a, A_BEQ(0, 0, -1));
	put(a, A_NOP);
}

static void put_resume(struct assembler *a, uint32_t joined)
{
	put_until(a, AT_RESUME);
	put(a, A_SW(SAVED, IN(out_gpr) + 4 * SAVED, REG_CASE));
	put(a, A_MFC0(SAVED, CP0_BadVAddr));
	put(a, A_SW(SAVED, IN(badvaddr), REG_CASE));
	put(a, A_J(joined));
	put(a, A_NOP);
}

/*
 * TLB entry 0: the 512 KB at PA_DRIVER, two pages of 256 KB, at their own address; entry 1: SOFTRES. Both global.
 * PRA volume III, EntryLo: PFN is pa[..:12] << 6; C = 3; D, V, G.
 */
static void put_tlb_entry(struct assembler *a, unsigned index, uint32_t va, uint32_t pa0, uint32_t pa1, uint32_t mask)
{
	uint32_t value[] = {index, va, pa0 >> 6 | 0x1f, pa1 >> 6 | 0x1f, mask};
	uint32_t reg[] = {CP0_Index, CP0_EntryHi, CP0_EntryLo0, CP0_EntryLo1, CP0_PageMask};

	for (unsigned i = 0; i < ARRAY_LEN(reg); i++) {
		put_li(a, AT, value[i]);
		put(a, A_MTC0(AT, reg[i]));
	}
	put(a, A_TLBWI);
}

static void put_boot(struct assembler *a)
{
	put_until(a, AT_BOOT);
	put_tlb_entry(a, 0, PA_DRIVER, PA_DRIVER, PA_DRIVER + 0x40000, 0x7e000);
	put_tlb_entry(a, 1, DEVICE_VA, SOFTRES_PA & ~(uint32_t)PAGE_MASK, SOFTRES_PA & ~(uint32_t)PAGE_MASK, 0);
	put(a, A_MTC0(0, CP0_EntryHi));
	put_li(a, AT, 0xa0000000u + SOFTRES_PA);
	put(a, A_ORI(2, 0, SOFTRES_CODE));
	put(a, A_SW(2, 0, AT));
	put(a, A_BEQ(0, 0, -1));
	put(a, A_NOP);
}

/* What an exception says of itself goes into the case; ERET to the tail, with Status as the driver wants it. */
static void put_vectors(struct assembler *a, const struct oracle_setup *s, uint32_t joined)
{
	static const struct {
		unsigned reg, off;
	} said[] = {{CP0_Cause, IN(cause)},   {CP0_EPC, IN(epc)},         {CP0_BadVAddr, IN(badvaddr)},
		    {CP0_Status, IN(status)}, {CP0_EntryHi, IN(entryhi)}, {CP0_Context, IN(context)}};

	put(a, A_SW(SAVED, IN(out_gpr) + 4 * SAVED, REG_CASE)); /* 0x000: TLB refill */
	put(a, A_J(a->va + 0x188));
	put(a, A_ADDIU(SAVED, 0, 1));
	put_until(a, 0x180); /* everything else */
	put(a, A_SW(SAVED, IN(out_gpr) + 4 * SAVED, REG_CASE));
	put(a, A_ADDIU(SAVED, 0, 0));
	put(a, A_SW(SAVED, IN(refill), REG_CASE));
	for (unsigned i = 0; i < ARRAY_LEN(said); i++) {
		put(a, A_MFC0(SAVED, said[i].reg));
		put(a, A_SW(SAVED, said[i].off, REG_CASE));
	}
	put_li(a, SAVED, setup_status(s) | ST_EXL);
	put(a, A_MTC0(SAVED, CP0_Status));
	put_li(a, SAVED, joined);
	put(a, A_MTC0(SAVED, CP0_EPC));
	put(a, A_EHB);
	put(a, A_ERET);
}

void guest_build(struct guest_image *g, const struct oracle_setup *s)
{
	struct assembler driver = {g->driver, 0, ARRAY_LEN(g->driver), driver_va(s, 0)};
	struct assembler vectors = {g->vectors, 0, ARRAY_LEN(g->vectors), 0x80000000u};
	uint32_t joined;

	memset(g, 0, sizeof(*g));
	put_loop(&driver, s);
	g->n_loop = driver.n;
	joined = put_tail(&driver, s);
	g->n_tail = driver.n - 2 - AT_TAIL / 4; /* without the jump to AT_END and its slot */
	put_end(&driver, s);
	g->n_end = driver.n - 2 - AT_END / 4 + 2; /* to the store; with that jump */
	put_resume(&driver, joined);
	put_boot(&driver);
	put_vectors(&vectors, s, joined);
	g->n_handler = vectors.n - 0x180 / 4;
}

uint64_t guest_driver_insns(const struct guest_image *g, const struct oracle_result *r, uint32_t n_cases)
{
	uint64_t n = g->n_end;

	for (uint32_t c = 0; c < n_cases; c++) {
		n += g->n_loop + g->n_tail;
		/* the tail is joined behind its first three; from the refill vector the handler is one longer */
		if (r[c].cause != NO_EXCEPTION)
			n += g->n_handler - 3 + r[c].refill;
	}
	return n;
}

uint32_t guest_jump_to_block(const struct oracle_program *p, const struct oracle_setup *s, uint32_t *at_pa)
{
	uint32_t fprs = s->fr ? 32 : 16, before = 1 + (s->fp ? 2 + fprs : 0) + 4 + 29;

	*at_pa = PA_DRIVER + AT_LOOP + 4 * before;
	return A_J(program_va(p, s, 0));
}

/* ---- cases ---- */

void guest_write_cases(const struct oracle_program *p, const struct oracle_setup *s, struct guest_case *out)
{
	bool be = s->big_endian;

	memset(out, 0, p->n_cases * sizeof(*out));
	for (uint32_t c = 0; c < p->n_cases; c++) {
		const struct oracle_state *in = &p->in[c];

		for (unsigned r = 0; r < 32; r++) {
			out[c].in_gpr[r] = guest_swap32(be, in->gpr[r]);
			out[c].in_fpr[r] = guest_swap64(be, in->fpr[r]);
		}
		out[c].in_hi = guest_swap32(be, in->hi);
		out[c].in_lo = guest_swap32(be, in->lo);
		out[c].in_fcsr = guest_swap32(be, in->fcsr);
		out[c].in_more = c + 1 < p->n_cases ? ~0u : 0;
	}
}

void guest_read_cases(const struct guest_case *in, const struct oracle_program *p, const struct oracle_setup *s,
		      struct oracle_result *out)
{
	bool be = s->big_endian;

	memset(out, 0, p->n_cases * sizeof(*out));
	for (uint32_t c = 0; c < p->n_cases; c++) {
		struct oracle_result *o = &out[c];

		for (unsigned r = 1; r < 32; r++)
			o->s.gpr[r] = r == REG_CASE ? 0 : guest_swap32(be, in[c].out_gpr[r]);
		for (unsigned f = 0; f < 32; f++)
			o->s.fpr[f] = guest_swap64(be, in[c].out_fpr[f]);
		o->s.hi = guest_swap32(be, in[c].out_hi);
		o->s.lo = guest_swap32(be, in[c].out_lo);
		o->s.fcsr = guest_swap32(be, in[c].out_fcsr);
		o->cause = guest_swap32(be, in[c].cause);
		if (o->cause != NO_EXCEPTION)
			o->cause &= CA_EXC | CA_BD | CA_CE;
		o->epc = guest_swap32(be, in[c].epc);
		o->badvaddr = guest_swap32(be, in[c].badvaddr);
		o->status = guest_swap32(be, in[c].status);
		o->refill = guest_swap32(be, in[c].refill);
		o->entryhi = guest_swap32(be, in[c].entryhi);
		o->context = guest_swap32(be, in[c].context);
	}
}
