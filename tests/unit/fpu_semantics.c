/* SPDX-License-Identifier: MIT */
/*
 * What fpu_oracle.c cannot ask Unicorn: where the manual and QEMU differ, what only concerns Disco (modes, block ends,
 * MXCSR), and choices where the manual says UNPREDICTABLE.
 */
#include <stdlib.h>
#include <xmmintrin.h>

#include "frontend/insn.h"
#include "tests/exc_none.h"
#include "tests/unit/fpu_machine.h"

#define S_DEFAULT   0x7fbfffffu
#define D_DEFAULT   0x7ff7ffffffffffffull
#define CAUSE(exc)  ((uint32_t)(exc) << FCSR_CAUSE_SHIFT)
#define FLAGS(exc)  ((uint32_t)(exc) << FCSR_FLAGS_SHIFT)
#define ENABLE(exc) ((uint32_t)(exc) << FCSR_ENABLES_SHIFT)

/* Words of insn_fpu.def with operands: fd 2, fs 4, ft 6, fr 8. */
enum {
	W_ADD_S = 0x46062080,
	W_ADD_D = 0x46262080,
	W_MUL_S = 0x46062082,
	W_DIV_D = 0x46262083,
	W_ABS_S = 0x46002085,
	W_ABS_D = 0x46202085,
	W_NEG_S = 0x46002087,
	W_NEG_D = 0x46202087,
	W_CVT_S_D = 0x462020a0,
	W_CVT_W_D = 0x462020a4,
	W_CVT_L_D = 0x462020a5,
	W_CVT_D_L = 0x46a020a1,
	W_C_OLT_D = 0x46262034,
	W_LDC1 = 0xd5020000u | 8, /* ldc1 f2, 8($8) */
	W_PS_ADD = 0x46c62080,
	W_CTC1 = 0x44c40000, /* ctc1 $4, FCR 0: or the number in at bit 11 */
};

static struct machine *open_machine(void)
{
	struct machine *m = malloc(sizeof(*m));
	machine_open(m);
	return m;
}

static void close_machine(struct machine *m)
{
	machine_close(m);
	free(m);
}

/* Run one word with FR=1 and the given FCSR on what the registers hold; true if it completed. */
static bool run(struct machine *m, uint32_t word, uint32_t fcsr)
{
	const uint32_t words[] = {word, 0};
	uint32_t executed;
	m->gs.fcr31 = fcsr;
	m->gs.mode = MODE_CU1 | MODE_FR | MODE_ABS | fpu_fcsr_mode(fcsr);
	m->gs.poll = 0;
	m->gs.leave = EXIT_NONE;
	m->exc = EXC_NONE;
	ir_interp(machine_lift(m, m->gs.mode, words, 2), &m->gs, &executed);
	cr_assert_eq(executed, m->exc == EXC_NONE);
	return m->exc == EXC_NONE;
}

static void expect(struct machine *m, uint32_t word, uint64_t fs, uint64_t ft, uint32_t fcsr, uint64_t fd,
		   uint32_t want)
{
	m->gs.fpr[2] = 0x1234567800000000;
	m->gs.fpr[4] = fs;
	m->gs.fpr[6] = ft;
	cr_assert(run(m, word, fcsr), "%08x raised %u", word, m->exc);
	if (fd >> 32 == 0)
		fd |= 0x1234567800000000; /* a single leaves the other half */
	cr_assert_eq(m->gs.fpr[2], fd, "%08x: fd %016lx, not %016lx", word, m->gs.fpr[2], fd);
	cr_assert_eq(m->gs.fcr31, want, "%08x: FCSR %08x, not %08x", word, m->gs.fcr31, want);
}

/* "Any arithmetic operation on a signaling NaN" is Invalid, and without ABS2008 these two are arithmetic. */
Test(fpu_semantics, abs_neg_nan)
{
	struct machine *m = open_machine();
	const uint32_t invalid = CAUSE(FPU_V) | FLAGS(FPU_V);
	expect(m, W_ABS_S, 0xffc00000, 0, 0, S_DEFAULT, invalid);
	expect(m, W_NEG_S, 0x7fe00001, 0, 0, S_DEFAULT, invalid);
	expect(m, W_ABS_D, 0xfff8000000000000, 0, 0, D_DEFAULT, invalid);
	expect(m, W_NEG_D, 0x7ffc000000000001, 0, 0, D_DEFAULT, invalid);
	expect(m, W_ABS_S, 0xff800123, 0, CAUSE(FPU_I), 0xff800123, 0);
	expect(m, W_NEG_S, 0xff800123, 0, CAUSE(FPU_I), 0xff800123, 0);
	expect(m, W_NEG_D, 0x7ff0000000000123, 0, 0, 0x7ff0000000000123, 0);
	m->gs.fpr[2] = 99;
	m->gs.fpr[4] = 0x7fffffff;
	cr_assert_not(run(m, W_NEG_S, ENABLE(FPU_V)));
	cr_assert_eq(m->exc, EXC_FPE);
	cr_assert_eq(m->gs.fpr[2], 99);
	cr_assert_eq(m->gs.fcr31, ENABLE(FPU_V) | CAUSE(FPU_V), "an exception that traps leaves Flags alone");
	close_machine(m);
}

Test(fpu_semantics, cvt_s_d_nan)
{
	struct machine *m = open_machine();
	expect(m, W_CVT_S_D, 0x7ff0000000000001, 0, 0, S_DEFAULT, 0);
	expect(m, W_CVT_S_D, 0xfff000001fffffff, 0, 0, S_DEFAULT, 0);
	expect(m, W_CVT_S_D, 0xfff0000020000000, 0, 0, 0xff800001, 0);
	close_machine(m);
}

Test(fpu_semantics, underflow)
{
	struct machine *m = open_machine();
	const uint32_t tiny_s = 0x00400000, half_s = 0x3f000000;
	/* An exact denormal is no exception, unless U is enabled. */
	expect(m, W_MUL_S, tiny_s, half_s, 0, 0x00200000, 0);
	expect(m, W_MUL_S, 0x01000000, half_s, ENABLE(FPU_U), 0x00800000, ENABLE(FPU_U));
	expect(m, W_MUL_S, 0, tiny_s, ENABLE(FPU_U), 0, ENABLE(FPU_U));
	m->gs.fpr[4] = tiny_s;
	m->gs.fpr[6] = half_s;
	cr_assert_not(run(m, W_MUL_S, ENABLE(FPU_U)));
	cr_assert_eq(m->gs.fcr31, ENABLE(FPU_U) | CAUSE(FPU_U));
	m->gs.fpr[4] = m->gs.fpr[6] = 0x0008000000000000;
	cr_assert_not(run(m, W_ADD_D & ~(6u << 16), ENABLE(FPU_U)), "denormal + 0");
	cr_assert_eq(m->gs.fcr31, ENABLE(FPU_U) | CAUSE(FPU_U));
	close_machine(m);
}

Test(fpu_semantics, flush_to_zero)
{
	struct machine *m = open_machine();
	const uint32_t ui = CAUSE(FPU_U | FPU_I) | FLAGS(FPU_U | FPU_I);
	expect(m, W_MUL_S, 0x00400000, 0x3f000000, FCSR_FS, 0, FCSR_FS | ui);
	expect(m, W_MUL_S, 0x80400000, 0x3f000000, FCSR_FS, 0x80000000, FCSR_FS | ui);
	/* (1 - 2^-24) x 2^-126 rounds up to the smallest normal number.  Tininess is detected after rounding to 24 bits
	 * without a limit on the exponent, which keeps 1 - 2^-24: tiny, so flushed. */
	expect(m, W_MUL_S, 0x00800000, 0x3f7fffff, FCSR_FS, 0, FCSR_FS | ui);
	expect(m, W_MUL_S, 0x00800000, 0x3f800000, FCSR_FS, 0x00800000, FCSR_FS);
	/* (1 + 2^-23) x (1 - 2^-24) x 2^-126 = (1 + 2^-24 - 2^-47) x 2^-126 is not even tiny before rounding. */
	expect(m, W_MUL_S, 0x00800001, 0x3f7fffff, FCSR_FS, 0x00800000, FCSR_FS | CAUSE(FPU_I) | FLAGS(FPU_I));
	close_machine(m);
}

/* A Cause bit with its Enable, and E by itself, trap in CTC1; the write stands. */
Test(fpu_semantics, ctc1_traps)
{
	struct machine *m = open_machine();
	for (uint32_t exc = FPU_I; exc <= FPU_E; exc <<= 1) {
		bool enabled_traps = exc != FPU_E;
		m->gs.reg[4] = CAUSE(exc) | (enabled_traps ? ENABLE(exc) : 0);
		cr_assert_not(run(m, W_CTC1 | FPU_FCSR << 11, 0));
		cr_assert_eq(m->exc, EXC_FPE);
		cr_assert_eq(m->gs.fcr31, m->gs.reg[4]);
		m->gs.reg[4] = CAUSE(exc) | FLAGS(31) | (ENABLE(31 & ~exc));
		cr_assert_eq(run(m, W_CTC1 | FPU_FCSR << 11, 0), enabled_traps);
		m->gs.reg[4] = CAUSE(exc);
		cr_assert_not(run(m, W_CTC1 | FPU_FEXR << 11, ENABLE(31)), "through FEXR too");
	}
	m->gs.reg[4] = ENABLE(FPU_Z);
	cr_assert_not(run(m, W_CTC1 | FPU_FENR << 11, CAUSE(FPU_Z)), "and through FENR");
	close_machine(m);
}

Test(fpu_semantics, ctc1_writes)
{
	struct machine *m = open_machine();
	m->gs.reg[4] = ~0u & ~FCSR_CAUSE;
	cr_assert(run(m, W_CTC1 | FPU_FCSR << 11, 0));
	cr_assert_eq(m->gs.fcr31, FCSR_WRITABLE & ~FCSR_CAUSE, "reserved bits stay zero");
	cr_assert(run(m, W_CTC1 | FPU_FCCR << 11, 0));
	cr_assert_eq(m->gs.fcr31, 0xfe800000);
	cr_assert(run(m, W_CTC1 | FPU_FENR << 11, 0));
	cr_assert_eq(m->gs.fcr31, FCSR_ENABLES | FCSR_RM | FCSR_FS);
	cr_assert(run(m, W_CTC1 | FPU_FIR << 11, 0x00800003));
	cr_assert_eq(m->gs.fcr31, 0x00800003, "FIR is read-only");
	cr_assert_eq(m->gs.fcr0, 0x00739300);
	close_machine(m);
}

/* MODE_FPX follows FCSR at once, and the vCPU is asked to leave translated code. */
Test(fpu_semantics, ctc1_mode)
{
	struct machine *m = open_machine();
	for (int i = 0; i < 3; i++) {
		uint32_t fpx = i == 0 ? ENABLE(FPU_O) : i == 1 ? FCSR_FS : 3;
		m->gs.reg[4] = fpx;
		cr_assert(run(m, W_CTC1 | FPU_FCSR << 11, 0));
		cr_assert(m->gs.mode & MODE_FPX);
		cr_assert_eq(m->gs.poll, 1);
		m->gs.reg[4] = 0;
		cr_assert(run(m, W_CTC1 | FPU_FENR << 11, fpx));
		cr_assert_not(m->gs.mode & MODE_FPX);
		cr_assert_eq(m->gs.poll, 1);
		cr_assert(run(m, W_CTC1 | FPU_FCSR << 11, 0));
		cr_assert_eq(m->gs.poll, 0, "nothing changed");
	}
	close_machine(m);
}

Test(fpu_semantics, ctc1_ends_block)
{
	struct machine *m = open_machine();
	for (uint32_t fcr = 25; fcr <= 31; fcr++) {
		const uint32_t words[] = {W_CTC1 | fcr << 11, W_ADD_S, W_ADD_D};
		struct lift_request rq = {.mode = MODE_CU1 | MODE_FR, .words = words, .n_words = 3};
		struct ir_block *b;
		arena_reset(&m->arena);
		cr_assert_eq(frontend_lift(m->frontend, &m->arena, &rq, &b), LIFT_OK);
		bool ends = fcr == FPU_FCSR || fcr == FPU_FENR;
		cr_assert_eq(b->n_guest, ends ? 1 : 3, "FCR %u", fcr);
		cr_assert_eq(b->term.kind == TERM_LEAVE, ends);
	}
	close_machine(m);
}

/* Lifting alone tells which words raise; RAISE is the terminator then. */
static uint32_t lifted_exception(struct machine *m, uint32_t mode, uint32_t word)
{
	const uint32_t words[] = {word, 0};
	const struct ir_block *b = machine_lift(m, mode, words, 2);
	return b->term.kind == TERM_RAISE ? b->term.exc : EXC_NONE;
}

Test(fpu_semantics, coprocessor_unusable)
{
	struct machine *m = open_machine();
	uint32_t rows = 0;
	for (const struct insn *row = insn_table; row < insn_table + NUM_INSNS; row++)
		if (row->flags & INSN_CP1) {
			cr_assert_eq(lifted_exception(m, MODE_FR, row->match), EXC_CPU | 1 << 8, "%s", row->name);
			rows++;
		}
	cr_assert_geq(rows, 89u);
	/* Paired single: no such format in FIR, so reserved, but unusable comes first. */
	cr_assert_eq(lifted_exception(m, MODE_FR, W_PS_ADD), EXC_CPU | 1 << 8);
	cr_assert_eq(lifted_exception(m, MODE_FR | MODE_CU1, W_PS_ADD), EXC_RI);
	close_machine(m);
}

/* FR=0: "UNPREDICTABLE" in the manual, RI here and for most of them in QEMU. */
Test(fpu_semantics, fr0_reserved)
{
	static const struct {
		uint32_t word;
		bool even_ok;
	} rows[] = {
	    {0xd5020000, true}, {0xf5020000, true},                                     /* ldc1, sdc1: ft at 16 */
	    {0x46243092, true}, {0x46243093, true},                                     /* movz.d, movn.d */
	    {0x462c3091, true}, {0x462d3091, true},                                     /* movf.d, movt.d */
	    {W_CVT_L_D, false}, {W_CVT_D_L, false}, {0x4d060085 & ~(31u << 11), false}, /* luxc1 */
	};
	struct machine *m = open_machine();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint32_t odd = rows[i].word >> 26 == 0x11 ? 1u << 6 : 1u << 16;
		cr_assert_eq(lifted_exception(m, MODE_CU1, rows[i].word), rows[i].even_ok ? EXC_NONE : EXC_RI, "%08x",
			     rows[i].word);
		cr_assert_eq(lifted_exception(m, MODE_CU1, rows[i].word | odd), EXC_RI, "%08x", rows[i].word | odd);
		cr_assert_eq(lifted_exception(m, MODE_CU1 | MODE_FR, rows[i].word | odd), EXC_NONE);
	}
	close_machine(m);
}

Test(fpu_semantics, big_endian)
{
	struct machine *m = open_machine();
	const uint32_t words[] = {W_LDC1, 0};
	uint32_t executed;
	for (unsigned i = 0; i < 16; i++)
		m->data[i] = (uint8_t)i;
	m->gs.reg[8] = DATA;
	ir_interp(machine_lift(m, MODE_CU1 | MODE_FR | MODE_BE, words, 2), &m->gs, &executed);
	cr_assert_eq(m->gs.fpr[2], 0x08090a0b0c0d0e0f);
	ir_interp(machine_lift(m, MODE_CU1, words, 2), &m->gs, &executed);
	cr_assert_eq(m->gs.fpr[2], 0x0f0e0d0c0b0a0908);
	close_machine(m);
}

/* The monitor's own floating point must not see the guest's rounding. */
Test(fpu_semantics, mxcsr_restored)
{
	struct machine *m = open_machine();
	static const uint32_t words[] = {W_ADD_S,   W_ADD_D,   W_DIV_D,   W_CVT_S_D, W_CVT_W_D,
					 W_CVT_L_D, W_CVT_D_L, W_C_OLT_D, 0x46002084 /* sqrt.s */};
	m->gs.fpr[4] = 0x4008000000000001;
	m->gs.fpr[6] = 0x3ff8000000000001;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		for (uint32_t rm = 0; rm < 4; rm++) {
			cr_assert(run(m, words[i], FCSR_FS | rm));
			cr_assert_eq(_mm_getcsr() & ~63u, 0x1f80, "%08x leaves MXCSR %08x", words[i], _mm_getcsr());
		}
	close_machine(m);
}
