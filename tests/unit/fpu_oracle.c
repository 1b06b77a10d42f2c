/* SPDX-License-Identifier: MIT */
/*
 * Every FPU row of insn.def against Unicorn's 24Kf: same word, same registers, same FCSR.
 *
 * A guest loop loads GPRs 2-9, FPRs 2, 4, 6, 8 (or 3, 5, 7, 9) and FCSR from an array of cases, executes one word, and
 * stores them back; our side lifts the same word and interprets the IR.  What the operands are named follows from the
 * row's mask: fd 2, fs 4, ft 6, fr 8.  Where Unicorn is not the reference, the exclusion stands here with its reason.
 */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unicorn/unicorn.h>

#include "frontend/cp0.h"
#include "frontend/fpu.h"
#include "frontend/insn.h"
#include "tests/exc_none.h"
#include "tests/unit/fpu_machine.h"

#define BATCH 256u
#define N_GPR 8 /* 2 to 9 */
#define N_FPR 4
#define CASES 0x00100000u

enum { QEMU_ADEL = 12, QEMU_ADES = 13, QEMU_CPU = 19, QEMU_RI = 20, QEMU_FPE = 23 }; /* what UC_HOOK_INTR reports */

struct regs {
	uint64_t fpr[N_FPR]; /* number 2 i + 2, or 2 i + 3 */
	uint32_t gpr[N_GPR];
	uint32_t fcsr, exc; /* exc: enum mips_exc, EXC_NONE */
};

struct fpu_case {
	struct regs in, out;
};
_Static_assert(sizeof(struct fpu_case) == 144, "known to the guest program");

/* ---- random operands ---- */

static uint64_t rng_state = 0x9e3779b97f4a7c15ull;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

static const uint32_t s_corners[] = {
    0x00000000, 0x00000001, 0x00000002, 0x003fffff, 0x00400000, 0x007fffff, 0x00800000, 0x00800001, 0x00ffffff,
    0x01000000, 0x1f800000, 0x20000000, 0x33800000, 0x34000000, 0x3effffff, 0x3f000000, 0x3f000001, 0x3f7fffff,
    0x3f800000, 0x3f800001, 0x3fc00000, 0x40000000, 0x40200000, 0x40490fdb, 0x4affffff, 0x4b000000, 0x4b7fffff,
    0x4b800000, 0x4effffff, 0x4f000000, 0x4f000001, 0x5effffff, 0x5f000000, 0x5f000001, 0x7e800000, 0x7f000000,
    0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fbfffff, 0x7fa5a5a5, 0x7fc00000, 0x7fc00001, 0x7fffffff, 0x7fe12345,
};
static const uint64_t d_corners[] = {
    0x0000000000000000, 0x0000000000000001, 0x0000000000000002, 0x0007ffffffffffff, 0x0008000000000000,
    0x000fffffffffffff, 0x0010000000000000, 0x0010000000000001, 0x001fffffffffffff, 0x0020000000000000,
    0x1ff0000000000000, 0x369fffffffffffff, 0x36a0000000000000, 0x36a0000000000001, 0x380fffffe0000000,
    0x380fffffefffffff, 0x380ffffff0000000, 0x3810000000000000, 0x3810000010000000, 0x3ca0000000000000,
    0x3fdfffffffffffff, 0x3fe0000000000000, 0x3fe0000000000001, 0x3fefffffffffffff, 0x3ff0000000000000,
    0x3ff0000000000001, 0x3ff8000000000000, 0x4000000000000000, 0x4004000000000000, 0x400921fb54442d18,
    0x41dfffffffc00000, 0x41dfffffffdfffff, 0x41dfffffffe00000, 0x41dfffffffffffff, 0x41e0000000000000,
    0x41e0000000100000, 0x41e0000000200000, 0x41efffffffe00000, 0x432fffffffffffff, 0x4330000000000000,
    0x433fffffffffffff, 0x4340000000000000, 0x43dfffffffffffff, 0x43e0000000000000, 0x43e0000000000001,
    0x47efffffe0000000, 0x47efffffefffffff, 0x47effffff0000000, 0x47f0000000000000, 0x7fd0000000000000,
    0x7fe0000000000000, 0x7fefffffffffffff, 0x7ff0000000000000, 0x7ff0000000000001, 0x7ff000001fffffff,
    0x7ff0000020000000, 0x7ff7ffffffffffff, 0x7ff5a5a5a5a5a5a5, 0x7ff8000000000000, 0x7ff8000000000001,
    0x7fffffffffffffff, 0x7ffedcba98765432,
};
static const uint64_t i_corners[] = {
    0,
    1,
    2,
    0x7fffff,
    0xffffff,
    0x1000000,
    0x1000001,
    0x1000003,
    0x7fffffff,
    0x80000000,
    0xffffffff,
    0x001fffffffffffff,
    0x0020000000000001,
    0x0020000000000003,
    0x7fffffffffffffff,
    0x8000000000000000,
};

#define PICK(a) ((a)[rng() % ARRAY_LEN(a)])

static uint32_t random_s(void)
{
	uint32_t r = (uint32_t)rng();
	switch (rng() % 8) {
	case 0:
	case 1:
	case 2:
		return PICK(s_corners) | (r & 0x80000000);
	case 3: /* near a corner */
		return (PICK(s_corners) ^ (r & 0x80000000)) + (uint32_t)(rng() % 7) - 3;
	case 4: /* near 1, so that sums cancel and products stay in range */
		return (r & 0x807fffff) | (uint32_t)(120 + rng() % 15) << 23;
	case 5: /* around the integer formats' limits, with few bits */
		return (r & 0x80f00000) | (uint32_t)(126 + rng() % 66) << 23;
	case 6: /* denormal */
		return (r & 0x807fffff) >> 0;
	default:
		return r;
	}
}

static uint64_t random_d(void)
{
	uint64_t r = rng();
	switch (rng() % 8) {
	case 0:
	case 1:
	case 2:
		return PICK(d_corners) | (r & 1ull << 63);
	case 3:
		return (PICK(d_corners) ^ (r & 1ull << 63)) + rng() % 7 - 3;
	case 4:
		return (r & 0x800fffffffffffff) | (1016 + rng() % 15) << 52;
	case 5:
		return (r & 0x800f000000000000) | (1022 + rng() % 66) << 52;
	case 6: /* where singles are denormal or overflow */
		return (r & 0x800fffffffffffff) | ((rng() & 1 ? 868 : 1145) + rng() % 32) << 52;
	default:
		return r;
	}
}

static uint64_t random_fpr(void)
{
	switch (rng() % 8) {
	case 0:
		return PICK(i_corners) * (rng() & 1 ? 1 : ~0ull);
	case 1:
	case 2:
	case 3:
		return (uint64_t)random_s() << 32 | random_s();
	default:
		return random_d();
	}
}

static void random_regs(struct regs *r, uint32_t fcsr_mask)
{
	for (int i = 0; i < N_FPR; i++)
		r->fpr[i] = random_fpr();
	if (rng() % 4 == 0)
		r->fpr[rng() % N_FPR] = r->fpr[rng() % N_FPR]; /* equal operands */
	/* 0 for MOVZ and MOVN; what fits FCCR, FENR, FEXR and FCSR for CTC1 */
	static const uint32_t gpr_masks[] = {0, 0, 0xff, 0xf87, 0x3f07c, FCSR_WRITABLE, ~0u};
	for (int i = 0; i < N_GPR; i++)
		r->gpr[i] = (uint32_t)rng() & PICK(gpr_masks);
	r->fcsr = (uint32_t)rng() & fcsr_mask;
	r->exc = EXC_NONE;
}

/* ---- Unicorn ---- */

struct oracle {
	uc_engine *uc;
	uint32_t after; /* address behind the word under test */
	uint32_t qemu_exc;
};

#define I_TYPE(op, rs, rt, imm) ((uint32_t)(op) << 26 | (uint32_t)(rs) << 21 | (uint32_t)(rt) << 16 | ((imm)&0xffff))
#define PTR                     24
#define END                     25
#define TEMP                    10
#define LW(rt, off)             I_TYPE(0x23, PTR, rt, off)
#define SW(rt, off)             I_TYPE(0x2b, PTR, rt, off)
#define LDC1(ft, off)           I_TYPE(0x35, PTR, ft, off)
#define SDC1(ft, off)           I_TYPE(0x3d, PTR, ft, off)
#define CTC1(rt)                (0x44c0f800u | (rt) << 16)
#define CFC1(rt)                (0x4440f800u | (rt) << 16)

/* FPR i of struct regs: odd numbers too, except that with FR=0 only the even register of a pair is loaded. */
static unsigned fpr_number(unsigned i, bool odd, bool fr) { return 2 * i + 2 + (odd && fr); }

static uint32_t oracle_write_program(struct oracle *o, const uint32_t *words, uint32_t n_words, bool fr, bool odd)
{
	uint32_t p[96], n = 0;
	const uint32_t out = offsetof(struct fpu_case, out);
	p[n++] = LW(TEMP, offsetof(struct regs, fcsr));
	p[n++] = CTC1(TEMP);
	for (unsigned i = 0; i < N_FPR; i++)
		p[n++] = LDC1(fpr_number(i, odd, fr), offsetof(struct regs, fpr) + 8 * i);
	for (unsigned i = 0; i < N_GPR; i++)
		p[n++] = LW(2 + i, offsetof(struct regs, gpr) + 4 * i);
	for (unsigned i = 0; i < n_words; i++)
		p[n++] = words[i];
	o->after = PROGRAM + 4 * n;
	for (unsigned i = 0; i < N_GPR; i++)
		p[n++] = SW(2 + i, out + offsetof(struct regs, gpr) + 4 * i);
	p[n++] = CFC1(TEMP);
	p[n++] = SW(TEMP, out + offsetof(struct regs, fcsr));
	p[n++] = CTC1(0);
	for (unsigned i = 0; i < N_FPR; i++)
		p[n++] = SDC1(fpr_number(i, odd, fr), out + offsetof(struct regs, fpr) + 8 * i);
	p[n++] = I_TYPE(9, PTR, PTR, sizeof(struct fpu_case));
	p[n] = I_TYPE(5, PTR, END, -(int)n - 1); /* bne back to the start */
	n++;
	p[n++] = 0;
	cr_assert(n <= ARRAY_LEN(p));
	cr_assert_eq(uc_mem_write(o->uc, PROGRAM, p, 4 * n), UC_ERR_OK);
	uc_ctl_remove_cache(o->uc, PROGRAM, PROGRAM + 4 * n);
	return PROGRAM + 4 * n;
}

static void oracle_on_interrupt(uc_engine *uc, uint32_t intno, void *user)
{
	struct oracle *o = user;
	o->qemu_exc = intno;
	uc_emu_stop(uc);
}

static void oracle_open(struct oracle *o, bool fr)
{
	uc_hook hook;
	memset(o, 0, sizeof(*o));
	cr_assert_eq(uc_open(UC_ARCH_MIPS, UC_MODE_MIPS32 | UC_MODE_LITTLE_ENDIAN, &o->uc), UC_ERR_OK);
	cr_assert_eq(uc_ctl_set_cpu_model(o->uc, UC_CPU_MIPS32_24KF), UC_ERR_OK);
	cr_assert_eq(uc_mem_map(o->uc, PROGRAM, 0x10000, UC_PROT_ALL), UC_ERR_OK);
	cr_assert_eq(uc_mem_map(o->uc, CASES, 0x10000, UC_PROT_ALL), UC_ERR_OK);
	cr_assert_eq(uc_mem_map(o->uc, DATA, 0x1000, UC_PROT_ALL), UC_ERR_OK);
	cr_assert_eq(uc_hook_add(o->uc, &hook, UC_HOOK_INTR, oracle_on_interrupt, o, 1, 0), UC_ERR_OK);
	/* mtc0 t2, Status; nop: the guest's own way to FR and CU1 */
	const uint32_t set_status[] = {0x408a6000, 0, 0, 0};
	uint32_t status = ST_CU1 | ST_CU0 | ST_ERL | (fr ? ST_FR : 0); /* ERL: kuseg is not mapped */
	cr_assert_eq(uc_mem_write(o->uc, PROGRAM, set_status, sizeof(set_status)), UC_ERR_OK);
	cr_assert_eq(uc_reg_write(o->uc, UC_MIPS_REG_10, &status), UC_ERR_OK);
	cr_assert_eq(uc_emu_start(o->uc, PROGRAM, PROGRAM + 12, 0, 0), UC_ERR_OK);
}

static uint32_t exc_of_qemu(uint32_t intno)
{
	switch (intno) {
	case QEMU_ADEL:
		return EXC_ADEL;
	case QEMU_ADES:
		return EXC_ADES;
	case QEMU_CPU:
		return EXC_CPU;
	case QEMU_RI:
		return EXC_RI;
	case QEMU_FPE:
		return EXC_FPE;
	default:
		cr_assert_fail("Unicorn reported interrupt %u", intno);
		return EXC_NONE;
	}
}

static void oracle_run(struct oracle *o, const uint32_t *words, uint32_t n_words, bool fr, bool odd,
		       struct fpu_case *cases, uint32_t n)
{
	uint32_t until = oracle_write_program(o, words, n_words, fr, odd);
	uint32_t ptr = CASES, end = CASES + n * (uint32_t)sizeof(*cases), pc = PROGRAM;
	for (uint32_t i = 0; i < n; i++)
		cases[i].out.exc = EXC_NONE;
	cr_assert_eq(uc_mem_write(o->uc, CASES, cases, n * sizeof(*cases)), UC_ERR_OK);
	cr_assert_eq(uc_reg_write(o->uc, UC_MIPS_REG_24, &ptr), UC_ERR_OK);
	cr_assert_eq(uc_reg_write(o->uc, UC_MIPS_REG_25, &end), UC_ERR_OK);
	for (;;) {
		o->qemu_exc = 0;
		uc_err err = uc_emu_start(o->uc, pc, until, 0, 0);
		cr_assert_eq(err, UC_ERR_OK, "%08x: %s", words[0], uc_strerror(err));
		if (!o->qemu_exc)
			break;
		uint32_t exc = exc_of_qemu(o->qemu_exc);
		uc_reg_read(o->uc, UC_MIPS_REG_24, &ptr);
		uc_mem_write(o->uc, ptr + offsetof(struct fpu_case, out.exc), &exc, 4);
		pc = o->after;
	}
	cr_assert_eq(uc_reg_read(o->uc, UC_MIPS_REG_24, &ptr), UC_ERR_OK);
	cr_assert_eq(ptr, end, "%08x: the guest program stopped early", words[0]);
	cr_assert_eq(uc_mem_read(o->uc, CASES, cases, n * sizeof(*cases)), UC_ERR_OK);
}

/* ---- our side ---- */

static void machine_run(struct machine *m, const struct ir_block *b, bool odd, const struct regs *in, struct regs *out)
{
	struct guest_state *gs = &m->gs;
	bool fr = b->mode & MODE_FR;
	for (unsigned i = 0; i < N_FPR; i++)
		gs->fpr[fpr_number(i, odd, fr)] = in->fpr[i];
	for (unsigned i = 0; i < N_GPR; i++)
		gs->reg[2 + i] = in->gpr[i];
	gs->fcr31 = in->fcsr;
	gs->mode = b->mode;
	gs->leave = EXIT_NONE;
	m->exc = EXC_NONE;
	uint32_t executed;
	ir_interp(b, gs, &executed);
	cr_assert_eq(executed == 0, m->exc != EXC_NONE);
	for (unsigned i = 0; i < N_FPR; i++)
		out->fpr[i] = gs->fpr[fpr_number(i, odd, fr)];
	for (unsigned i = 0; i < N_GPR; i++)
		out->gpr[i] = (uint32_t)gs->reg[2 + i];
	out->fcsr = gs->fcr31;
	out->exc = m->exc;
}

/* ---- rows and their operands ---- */

enum row_kind { ROW_OTHER, ROW_REGISTERS, ROW_MEMORY };

static enum row_kind row_kind(const struct insn *row)
{
	uint32_t op = row->match >> 26, fn = row->match & 63;
	if (!(row->flags & INSN_CP1) || (row->flags & (INSN_BRANCH | INSN_ORACLE_NO)))
		return ROW_OTHER;
	if (op == 0 || op == 0x11 || (op == 0x13 && fn >= 32))
		return ROW_REGISTERS;
	return ROW_MEMORY;
}

static bool is_format(const struct insn *row, const char *suffix)
{
	size_t n = strlen(row->name), k = strlen(suffix);
	return n > k && !strcmp(row->name + n - k, suffix);
}

/* A single-format instruction works on odd registers with FR=0 too. */
static bool odd_ok(const struct insn *row, bool fr) { return fr || !(row->flags & INSN_FR_PAIR); }

/* fd 2, fs 4, ft 6, fr 8, or each plus one; whatever else the mask leaves free is random (cc, cond). */
static uint32_t row_word(const struct insn *row, bool odd)
{
	static const uint32_t control[] = {FPU_FIR, FPU_FCCR, FPU_FEXR, FPU_FENR, FPU_FCSR, FPU_FCSR};
	uint32_t w = (uint32_t)rng(), o = odd;
	uint32_t named = (8 + o) << 21 | (6 + o) << 16 | (4 + o) << 11 | (2 + o) << 6;
	uint32_t fields = 0;
	for (unsigned shift = 6; shift <= 21; shift += 5)
		if (!(row->mask >> shift & 31))
			fields |= 31u << shift;
	if (!strcmp(row->name, "ctc1") || !strcmp(row->name, "cfc1"))
		named = (named & ~(31u << 11)) | PICK(control) << 11;
	w = (w & ~fields) | (named & fields);
	return (w & ~row->mask) | row->match;
}

/* Sets the low bit of some operands (at least one), those the mask leaves free. */
static uint32_t odd_bits(const struct insn *row, uint32_t choice)
{
	uint32_t free_bits = ~row->mask & (1u << 21 | 1u << 16 | 1u << 11 | 1u << 6);
	uint32_t n = (uint32_t)__builtin_popcount(free_bits), bits = 0;
	choice = choice % ((1u << n) - 1) + 1;
	for (uint32_t left = free_bits; left; left &= left - 1, choice >>= 1)
		if (choice & 1)
			bits |= left & -left;
	return bits;
}

/* ---- what is compared ---- */

static bool s_nan(uint64_t v) { return (v & 0x7fffffff) > 0x7f800000; }
static bool d_nan(uint64_t v) { return (v & ~0ull >> 1) > 0x7ff0000000000000; }

/* FPR n of the word under test; a single is in the low half. */
static uint64_t operand(const struct regs *r, unsigned n, bool fr)
{
	uint64_t v = r->fpr[(n - 2) / 2 % N_FPR];
	return (n & 1) && !fr ? v >> 32 : v;
}

/*
 * ABS and NEG: Unicorn only changes the sign bit, NaN or not, and leaves Cause.  Without
 * FCSR.ABS2008 these are arithmetic (volume II, ABS.fmt, NEG.fmt): fpu_semantics.c tests that reading.
 */
static bool sign_operation(const struct insn *row)
{
	return !strncmp(row->name, "abs.", 4) || !strncmp(row->name, "neg.", 4);
}

static bool excluded(const struct insn *row, uint32_t word, bool fr, const struct regs *in)
{
	uint64_t fs = operand(in, insn_fs(word), fr);
	if (sign_operation(row))
		return is_format(row, ".d") ? d_nan(fs) : s_nan(fs);
	/*
	 * QEMU 5, inside Unicorn, makes infinity of a NaN whose fraction has no bit among the 23 that a single keeps.
	 * A quiet NaN "propagates" (volume I-A, "Quiet NaN"): it stays a NaN.
	 */
	if (!strcmp(row->name, "cvt.s.d"))
		return d_nan(fs) && !(fs >> 29 & 0x7fffff);
	/* QEMU drops the whole write if a reserved bit is set; here only the bit is dropped. */
	if (!strcmp(row->name, "ctc1"))
		return in->gpr[(word >> 16 & 31) - 2] & ((word >> 11 & 31) == FPU_FCCR ? ~0xffu : ~FCSR_WRITABLE);
	return false;
}

static bool denormal(const struct insn *row, uint64_t v)
{
	return is_format(row, ".d") ? (v & ~0ull >> 1) < 1ull << 52 : (v & 0x7fffffff) < 1u << 23;
}

/*
 * "When an underflow trap is enabled, an underflow exception is signaled when tininess is detected regardless of loss
 * of accuracy" (volume I-A, "Underflow Exception").  QEMU signals inexact underflows only.
 */
static bool exact_underflow_trap(const struct insn *row, uint64_t fd, const struct fpu_case *c, const struct regs *ours)
{
	bool cop1x = row->match >> 26 == 0x13; /* the product may be the tiny one */
	return c->in.fcsr >> FCSR_ENABLES_SHIFT & FPU_U && ours->exc == EXC_FPE &&
	       (ours->fcsr >> FCSR_CAUSE_SHIFT & 63) == ((c->out.fcsr >> FCSR_CAUSE_SHIFT & 63) | FPU_U) &&
	       (cop1x || denormal(row, fd));
}

static bool product_tiny(const struct insn *row, uint64_t fs, uint64_t ft)
{
	float a, b;
	double x, y;
	uint32_t s = (uint32_t)fs, t = (uint32_t)ft;
	memcpy(&a, &s, 4);
	memcpy(&b, &t, 4);
	memcpy(&x, &fs, 8);
	memcpy(&y, &ft, 8);
	return is_format(row, ".d") ? fabs(x * y) <= DBL_MIN : fabs((double)a * b) <= FLT_MIN;
}

/*
 * FS: QEMU flushes what is tiny before rounding, and signals nothing.  "The architecture requires that tininess be
 * detected after rounding", and a flushed result is a tiny and inexact one: U and I.
 */
static bool flush_differs(const struct insn *row, uint32_t word, bool fr, const struct fpu_case *c,
			  const struct regs *ours, struct regs *want)
{
	const uint32_t ui = (FPU_U | FPU_I) << FCSR_CAUSE_SHIFT | (FPU_U | FPU_I) << FCSR_FLAGS_SHIFT;
	if (!(c->in.fcsr & FCSR_FS))
		return false;
	if (row->match >> 26 == 0x13 &&
	    product_tiny(row, operand(&c->in, insn_fs(word), fr), operand(&c->in, insn_ft(word), fr)))
		return true; /* the sum then differs in value */
	if (ours->fcsr >> FCSR_CAUSE_SHIFT & FPU_U)
		want->fcsr = (want->fcsr & ~ui) | (ours->fcsr & ui);
	return false;
}

static void assert_same(const struct insn *row, uint32_t word, bool fr, const struct fpu_case *c, struct regs *ours)
{
	struct regs want = c->out;
	if (sign_operation(row)) {
		cr_assert_eq(ours->fcsr & FCSR_CAUSE, 0);
		want.fcsr &= ~FCSR_CAUSE;
	}
	if (exact_underflow_trap(row, operand(&c->out, insn_fd(word), fr), c, ours) ||
	    flush_differs(row, word, fr, c, ours, &want))
		return;
	if (!memcmp(&want, ours, sizeof(want)))
		return;
	fprintf(stderr, "%s %08x FR=%d FCSR %08x:\n", row->name, word, fr, c->in.fcsr);
	for (int i = 0; i < N_FPR; i++)
		fprintf(stderr, "  f%d  in %016lx  Unicorn %016lx  Disco %016lx%s\n", 2 * i + 2, c->in.fpr[i],
			want.fpr[i], ours->fpr[i], want.fpr[i] == ours->fpr[i] ? "" : "  <-");
	for (int i = 0; i < N_GPR; i++)
		if (want.gpr[i] != ours->gpr[i])
			fprintf(stderr, "  $%d  in %08x  Unicorn %08x  Disco %08x\n", i + 2, c->in.gpr[i], want.gpr[i],
				ours->gpr[i]);
	cr_assert_fail("FCSR Unicorn %08x Disco %08x, exception Unicorn %u Disco %u", want.fcsr, ours->fcsr, want.exc,
		       ours->exc);
}

struct oracle_run {
	struct oracle oracle;
	struct machine *machine;
	bool fr;
	uint64_t compared;
	bool passes; /* every other block goes through the IR's passes first */
	struct fpu_case cases[BATCH];
};

/* One word over a batch of cases. */
static void compare_word(struct oracle_run *r, const struct insn *row, uint32_t word, bool odd, struct fpu_case *cases,
			 uint32_t n)
{
	uint32_t words[] = {word, 0};
	oracle_run(&r->oracle, words, 1, r->fr, odd, cases, n);
	r->passes = !r->passes;
	struct ir_block *b = NULL;
	for (uint32_t i = 0; i < n; i++) {
		struct regs ours;
		uint32_t mode = MODE_CU1 | (r->fr ? MODE_FR : 0) | fpu_fcsr_mode(cases[i].in.fcsr);
		if (!b || b->mode != (mode | MODE_ABS)) {
			b = machine_lift(r->machine, mode, words, 2);
			if (r->passes)
				ir_run_passes(b, NULL);
		}
		memset(&ours, 0, sizeof(ours));
		machine_run(r->machine, b, odd, &cases[i].in, &ours);
		if (excluded(row, word, r->fr, &cases[i].in))
			continue;
		assert_same(row, word, r->fr, &cases[i], &ours);
		r->compared++;
	}
}

static void compare_row(struct oracle_run *r, const struct insn *row, uint32_t fcsr_mask, uint32_t batches)
{
	struct fpu_case *cases = r->cases;
	for (uint32_t i = 0; i < batches; i++) {
		bool odd = (i & 1) && odd_ok(row, r->fr);
		for (uint32_t k = 0; k < BATCH; k++)
			random_regs(&cases[k].in, fcsr_mask);
		compare_word(r, row, row_word(row, odd), odd, cases, BATCH);
	}
}

static struct oracle_run *run_open(bool fr)
{
	struct oracle_run *r = calloc(1, sizeof(*r));
	r->fr = fr;
	r->machine = malloc(sizeof(struct machine));
	oracle_open(&r->oracle, fr);
	machine_open(r->machine);
	return r;
}

static void run_close(struct oracle_run *r)
{
	machine_close(r->machine);
	uc_close(r->oracle.uc);
	free(r->machine);
	free(r);
}

static void compare_registers(bool fr, uint32_t fcsr_mask, uint32_t batches)
{
	struct oracle_run *r = run_open(fr);
	uint32_t rows = 0;
	for (const struct insn *row = insn_table; row < insn_table + NUM_INSNS; row++)
		if (row_kind(row) == ROW_REGISTERS) {
			compare_row(r, row, fcsr_mask, batches);
			rows++;
		}
	cr_log_info("%u rows, %lu cases", rows, r->compared);
	cr_assert_geq(rows, 72u);
	cr_assert_geq(r->compared, rows * (uint64_t)batches * BATCH / 10 * 9);
	run_close(r);
}

#define UNTRAPPED (FCSR_WRITABLE & ~(FCSR_ENABLES | FCSR_FS | FCSR_CAUSE))

Test(fpu_oracle, registers_fr0) { compare_registers(false, UNTRAPPED, 10); }
Test(fpu_oracle, registers_fr1) { compare_registers(true, UNTRAPPED, 10); }
Test(fpu_oracle, traps_fr0) { compare_registers(false, UNTRAPPED | FCSR_ENABLES, 2); }
Test(fpu_oracle, traps_fr1) { compare_registers(true, UNTRAPPED | FCSR_ENABLES, 2); }
Test(fpu_oracle, flush) { compare_registers(true, UNTRAPPED | FCSR_FS, 4); }

/* Conditional moves: QEMU looks at the registers only if it moves, or not at all.  UNPREDICTABLE, and RI here. */
static bool qemu_rejects_odd(const struct insn *row)
{
	return strncmp(row->name, "mov", 3) || !strcmp(row->name, "mov.d");
}

/* FR=0: an odd register in any 64-bit operand is RI on both sides. */
Test(fpu_oracle, odd_pairs)
{
	struct oracle_run *r = run_open(false);
	uint32_t words = 0;
	for (const struct insn *row = insn_table; row < insn_table + NUM_INSNS; row++) {
		if (row_kind(row) != ROW_REGISTERS || !(row->flags & INSN_FR_PAIR) || !qemu_rejects_odd(row))
			continue;
		for (uint32_t i = 0; i < 16; i++, words++) {
			random_regs(&r->cases[0].in, UNTRAPPED);
			compare_word(r, row, row_word(row, false) ^ odd_bits(row, i), false, r->cases, 1);
		}
	}
	cr_assert_geq(words, 500u);
	run_close(r);
}

/* Loads and stores; misaligned ones too.  Both sides then hold the same memory. */
static void compare_memory(bool fr)
{
	struct oracle_run *r = run_open(fr);
	uint8_t theirs[DATA_BYTES];
	uint32_t rows = 0;
	for (uint32_t i = 0; i < DATA_BYTES; i++)
		r->machine->data[i] = (uint8_t)rng();
	uc_mem_write(r->oracle.uc, DATA, r->machine->data, DATA_BYTES);
	for (const struct insn *row = insn_table; row < insn_table + NUM_INSNS; row++) {
		if (row_kind(row) != ROW_MEMORY)
			continue;
		rows++;
		for (uint32_t i = 0; i < 64; i++) {
			bool odd = (i & 1) && odd_ok(row, fr);
			uint32_t word = row_word(row, odd);
			if (word >> 26 != 0x13)
				word = (word & 0xffff0000) | (rng() % 16 * 4);
			for (uint32_t k = 0; k < 16; k++) {
				struct regs *in = &r->cases[k].in;
				random_regs(in, UNTRAPPED);
				in->gpr[8 - 2 + odd] =
				    DATA + (uint32_t)rng() % 16 * 8 + (rng() % 8 ? 0 : (uint32_t)rng() % 8);
				in->gpr[6 - 2 + odd] = (uint32_t)rng() % 8 * 8 + (rng() % 8 ? 0 : (uint32_t)rng() % 8);
			}
			compare_word(r, row, word, odd, r->cases, 16);
		}
		uc_mem_read(r->oracle.uc, DATA, theirs, DATA_BYTES);
		cr_assert_arr_eq(theirs, r->machine->data, DATA_BYTES, "%s", row->name);
	}
	cr_assert_eq(rows, 11u);
	run_close(r);
}

Test(fpu_oracle, memory_fr0) { compare_memory(false); }
Test(fpu_oracle, memory_fr1) { compare_memory(true); }

/* BC1x over one instruction, its slot counting in $3 and the instruction jumped over in $4. */
Test(fpu_oracle, branches)
{
	struct oracle_run *r = run_open(true);
	uint32_t rows = 0;
	for (const struct insn *row = insn_table; row < insn_table + NUM_INSNS; row++) {
		if (!(row->flags & INSN_CP1) || !(row->flags & INSN_BRANCH))
			continue;
		rows++;
		for (uint32_t cc = 0; cc < 8; cc++) {
			uint32_t words[] = {row->match | cc << 18 | 2, I_TYPE(9, 3, 3, 1), I_TYPE(9, 4, 4, 1)};
			for (uint32_t k = 0; k < 32; k++)
				random_regs(&r->cases[k].in, UNTRAPPED);
			oracle_run(&r->oracle, words, 3, true, false, r->cases, 32);
			struct ir_block *b = machine_lift(r->machine, MODE_CU1 | MODE_FR, words, 3);
			for (uint32_t k = 0; k < 32; k++) {
				struct regs ours = {.exc = 0};
				machine_run(r->machine, b, false, &r->cases[k].in, &ours);
				cr_assert(r->machine->gs.pc == PROGRAM + 8 || r->machine->gs.pc == PROGRAM + 12);
				ours.gpr[4 - 2] += r->machine->gs.pc == PROGRAM + 8;
				assert_same(row, words[0], true, &r->cases[k], &ours);
			}
		}
	}
	cr_assert_eq(rows, 4u);
	run_close(r);
}
