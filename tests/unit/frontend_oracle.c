/* SPDX-License-Identifier: MIT */
/*
 * Every integer row of insn.def that user code may execute, against Unicorn's 24Kf, in both endiannesses: same word,
 * same registers, same memory.  Compared are GPRs, HI, LO, memory, the exception and where execution went.
 *
 * The code area is full of SYSCALL.  The word under test and, after a branch, its delay slot are put into it; Unicorn
 * runs until an exception, which is that word's own or the SYSCALL where it went.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <unicorn/unicorn.h>

#include "frontend/insn.h"
#include "tests/exc_none.h"

#define CODE       0x00400000u
#define CODE_BYTES 0x00100000u
#define FIRST_WORD (CODE + 0x60000) /* branches reach 128 KB each way */
#define DATA       0x00800000u
#define DATA_BYTES 0x1000u
#define CASES      1500 /* per row, endianness */
#define SYSCALL    0x0000000cu
#define SLOT       0x27180001u /* addiu $t8, $t8, 1: shows whether the slot was nullified */
#define N_REGS     34          /* as guest_state.reg */

struct machine {
	uint32_t reg[N_REGS];
	uint8_t data[DATA_BYTES];
	uint32_t pc;
	unsigned exc; /* enum mips_exc */
};

struct oracle {
	uc_engine *uc;
	bool be;
	unsigned exc; /* of the run in progress */
	uint32_t pc;
};

static uint32_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return (uint32_t)(*s >> 16);
}

static uint32_t rnd_value(uint64_t *s)
{
	static const uint32_t corners[] = {0,          1,          2,          31,         32,        0x7f,
					   0x80,       0xff,       0x7fff,     0x8000,     0xffff,    0x12345678,
					   0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff};

	return rnd(s) & 1 ? corners[rnd(s) % ARRAY_LEN(corners)] : rnd(s);
}

/* ---- Unicorn ---- */

/* QEMU's numbers of MIPS exceptions, as UC_HOOK_INTR reports them. */
static unsigned exc_of_qemu(uint32_t intno)
{
	switch (intno) {
	case 12:
		return EXC_ADEL;
	case 13:
		return EXC_ADES;
	case 17:
		return EXC_SYS;
	case 18:
		return EXC_BP;
	case 19:
		return EXC_CPU;
	case 20:
		return EXC_RI;
	case 21:
		return EXC_OV;
	case 22:
		return EXC_TR;
	default:
		return EXC_NONE;
	}
}

static void on_interrupt(uc_engine *uc, uint32_t intno, void *user)
{
	struct oracle *o = user;

	o->exc = exc_of_qemu(intno);
	uc_reg_read(uc, UC_MIPS_REG_PC, &o->pc);
	if (o->exc == EXC_SYS)
		o->pc -= 4; /* Unicorn steps over SYSCALL before it calls the hook */
	uc_emu_stop(uc);
}

static void put_word(const struct oracle *o, uint32_t at, uint32_t word)
{
	uint32_t w = o->be ? __builtin_bswap32(word) : word;

	cr_assert_eq(uc_mem_write(o->uc, at, &w, 4), UC_ERR_OK);
}

static void oracle_init(struct oracle *o, bool be)
{
	uc_hook hook;

	*o = (struct oracle){.be = be};
	cr_assert_eq(uc_open(UC_ARCH_MIPS, UC_MODE_MIPS32 | (be ? UC_MODE_BIG_ENDIAN : 0), &o->uc), UC_ERR_OK);
	cr_assert_eq(uc_ctl_set_cpu_model(o->uc, UC_CPU_MIPS32_24KF), UC_ERR_OK);
	cr_assert_eq(uc_mem_map(o->uc, CODE, CODE_BYTES, UC_PROT_ALL), UC_ERR_OK);
	cr_assert_eq(uc_mem_map(o->uc, DATA, DATA_BYTES, UC_PROT_READ | UC_PROT_WRITE), UC_ERR_OK);
	cr_assert_eq(uc_hook_add(o->uc, &hook, UC_HOOK_INTR, (void *)on_interrupt, o, 1, 0), UC_ERR_OK);
	for (uint32_t at = CODE; at < CODE + CODE_BYTES; at += 4)
		put_word(o, at, SYSCALL);
}

static int unicorn_reg(unsigned r)
{
	return r == REG_HI ? UC_MIPS_REG_HI : r == REG_LO ? UC_MIPS_REG_LO : UC_MIPS_REG_0 + (int)r;
}

static void oracle_run(struct oracle *o, struct machine *m, uint32_t word, bool branch)
{
	uint32_t at = m->pc;

	put_word(o, at, word);
	if (branch)
		put_word(o, at + 4, SLOT);
	uc_ctl_remove_cache(o->uc, (uint64_t)at, (uint64_t)at + 8);
	for (unsigned r = 1; r < N_REGS; r++)
		uc_reg_write(o->uc, unicorn_reg(r), &m->reg[r]);
	uc_mem_write(o->uc, DATA, m->data, DATA_BYTES);
	o->exc = EXC_NONE;
	uc_emu_start(o->uc, at, 0, 0, 64);
	m->exc = o->exc;
	if (m->exc == EXC_SYS) /* else it is the word's own, and the pc in Unicorn's hook is off by one instruction */
		m->pc = o->pc;
	for (unsigned r = 1; r < N_REGS; r++)
		uc_reg_read(o->uc, unicorn_reg(r), &m->reg[r]);
	uc_mem_read(o->uc, DATA, m->data, DATA_BYTES);
	put_word(o, at, SYSCALL);
	put_word(o, at + 4, SYSCALL);
	uc_ctl_remove_cache(o->uc, (uint64_t)at, (uint64_t)at + 8);
}

/* ---- Ours: lift, passes in every other case, reference interpreter ---- */

struct ours {
	struct guest_state gs; /* first: helpers cast */
	helper_fn *helpers[NUM_HELPERS];
	struct frontend *f;
	struct arena arena;
	uint8_t *data;
	unsigned exc;
};

static uint64_t help_raise(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)
{
	((struct ours *)gs)->exc = a & 0xff;
	gs->leave = EXIT_EXCEPTION;
	return 0;
}

/* The bytes at an address, or NULL with AdEL or AdES raised. */
static uint8_t *bytes_at(struct ours *o, uint64_t address, uint32_t meta, enum mips_exc exc)
{
	if (address & (META_SIZE(meta) - 1)) {
		help_raise(&o->gs, exc, 0, 0);
		return NULL;
	}
	cr_assert(address >= DATA && address - DATA <= DATA_BYTES - META_SIZE(meta), "address %llx",
		  (unsigned long long)address);
	return o->data + (address - DATA);
}

static uint64_t help_load(struct guest_state *gs, uint64_t a, uint64_t meta, uint64_t c)
{
	uint32_t n = META_SIZE((uint32_t)meta);
	uint8_t *p = bytes_at((struct ours *)gs, a, (uint32_t)meta, EXC_ADEL);
	uint64_t v = 0;

	if (!p)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		v |= (uint64_t)p[meta & MEM_BE ? n - 1 - i : i] << 8 * i;
	if (meta & MEM_SIGN)
		v = (uint64_t)((int64_t)(v << (64 - 8 * n)) >> (64 - 8 * n));
	return v;
}

static uint64_t help_store(struct guest_state *gs, uint64_t a, uint64_t v, uint64_t meta)
{
	uint32_t n = META_SIZE((uint32_t)meta);
	uint8_t *p = bytes_at((struct ours *)gs, a, (uint32_t)meta, EXC_ADES);

	for (uint32_t i = 0; p && i < n; i++)
		p[meta & MEM_BE ? n - 1 - i : i] = (uint8_t)(v >> 8 * i);
	return 0;
}

static uint64_t help_unexpected(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c)
{
	cr_assert_fail("a row without a reason not to ask the oracle called a helper");
	return 0;
}

/* The slots of these blocks are what they were lifted with. */
static uint64_t help_slot_check(struct guest_state *gs, uint64_t a, uint64_t b, uint64_t c) { return 0; }

static void ours_init(struct ours *o)
{
	memset(o, 0, sizeof(*o));
	o->f = frontend_new(ISA_MIPS32R1 | ISA_MIPS32R2 | ISA_FPU);
	cr_assert(o->f, "Capstone cannot be opened");
	for (unsigned i = 0; i < NUM_HELPERS; i++)
		o->helpers[i] = help_unexpected;
	o->helpers[HELPER_SLOT_CHECK] = help_slot_check;
	o->helpers[HELPER_RAISE] = help_raise;
	o->helpers[HELPER_MEM_LOAD] = help_load;
	o->helpers[HELPER_MEM_STORE] = help_store;
	o->gs.helpers = o->helpers;
}

static void ours_run(struct ours *o, struct machine *m, uint32_t word, bool branch, uint32_t mode, bool passes)
{
	uint32_t words[2] = {word, SLOT}, off = m->pc & PAGE_MASK;
	bool last = off == PAGE_BYTES - 4;
	struct lift_request rq = {.mode = mode,
				  .abs_page = mode & MODE_ABS ? m->pc & ~PAGE_MASK : 0,
				  .off = off,
				  .words = words,
				  .n_words = last ? 1 : 2,
				  .slot = last ? &words[1] : NULL,
				  .max_guest = 1};
	enum exit_reason why;
	struct ir_block *b;

	arena_reset(&o->arena);
	cr_assert_eq(frontend_lift(o->f, &o->arena, &rq, &b), LIFT_OK);
	cr_assert_null(ir_verify(b));
	cr_assert_eq(b->n_guest, branch ? 2 : 1);
	if (passes)
		ir_run_passes(b, NULL);
	for (unsigned r = 0; r < N_REGS; r++)
		o->gs.reg[r] = m->reg[r];
	o->data = m->data;
	o->gs.mode = mode;
	o->gs.pc = m->pc;
	o->gs.pc_page = mode & MODE_ABS ? 0 : m->pc & ~PAGE_MASK;
	o->gs.leave = EXIT_NONE;
	why = ir_interp(b, &o->gs, NULL);
	cr_assert(why == EXIT_LINK || why == EXIT_EXCEPTION);
	m->exc = why == EXIT_EXCEPTION ? o->exc : EXC_SYS; /* the SYSCALL where it went */
	m->pc = (uint32_t)o->gs.pc;
	for (unsigned r = 1; r < N_REGS; r++) {
		cr_assert_eq(o->gs.reg[r] >> 32, 0, "register %u is not zero-extended", r);
		m->reg[r] = (uint32_t)o->gs.reg[r];
	}
}

/* ---- One case ---- */

static bool is_memory(const struct insn *row) { return insn_opcode(row->match) >= 0x20; }

/* Rows of this test: what the table says, minus what other tests hold. */
static bool wanted(const struct insn *row)
{
	if (row->flags & (INSN_ORACLE_NO | INSN_PRIV | INSN_CP1))
		return false;
	return insn_id(row) != INSN_ID_LL && insn_id(row) != INSN_ID_SC; /* need each other: frontend_interp.c */
}

/* Choose operands so that accesses fall into DATA and branches into CODE.  False: UNPREDICTABLE, do not ask. */
static bool prepare(const struct insn *row, uint32_t *word, struct machine *m, uint64_t *s)
{
	unsigned rs = insn_rs(*word), rd = insn_rd(*word);

	switch (insn_id(row)) {
	case INSN_ID_J:
	case INSN_ID_JAL:
		*word = row->match | ((CODE + rnd(s) % CODE_BYTES) >> 2 & 0x3ffffff);
		return true;
	case INSN_ID_JR:
	case INSN_ID_JR_HB:
		m->reg[rs] = CODE + (rnd(s) % CODE_BYTES & ~3u);
		return rs != 0 && rs != 24;
	case INSN_ID_JALR:
	case INSN_ID_JALR_HB:
		m->reg[rs] = CODE + (rnd(s) % CODE_BYTES & ~3u);
		return rs != 0 && rs != rd && rs != 24 && rd != 24; /* rs == rd cannot be restarted */
	case INSN_ID_BLTZAL:
	case INSN_ID_BGEZAL:
	case INSN_ID_BLTZALL:
	case INSN_ID_BGEZALL:
		return rs != 31;
	case INSN_ID_CLZ:
	case INSN_ID_CLO:
		return insn_rt(*word) == rd; /* both fields must name the destination */
	case INSN_ID_DIV:
	case INSN_ID_DIVU:
		return m->reg[insn_rt(*word)] != 0; /* ops.def has our values */
	case INSN_ID_PREF:
		return true;
	default:
		break;
	}
	if (is_memory(row)) {
		uint32_t target = DATA + 8 + rnd(s) % (DATA_BYTES - 16);

		if (rnd(s) & 3) /* mostly aligned */
			target &= ~3u;
		if (insn_id(row) == INSN_ID_LWL || insn_id(row) == INSN_ID_LWR || insn_id(row) == INSN_ID_SWL ||
		    insn_id(row) == INSN_ID_SWR)
			target ^= rnd(s) & 3;
		m->reg[rs] = target - (uint32_t)insn_simm(*word);
		return rs != 0;
	}
	return true;
}

static void compare(const struct insn *row, uint32_t word, const struct machine *in, const struct machine *got,
		    const struct machine *want, bool be)
{
	cr_assert(got->exc == want->exc && got->pc == want->pc,
		  "%s %08x (%s) at %08x: exception %u at %08x, Unicorn: %u at %08x", row->name, word, be ? "BE" : "LE",
		  in->pc, got->exc, got->pc, want->exc, want->pc);
	for (unsigned r = 1; r < N_REGS; r++)
		cr_assert(got->reg[r] == want->reg[r],
			  "%s %08x (%s): register %u is %08x, Unicorn: %08x; rs %08x rt %08x hi %08x lo %08x",
			  row->name, word, be ? "BE" : "LE", r, got->reg[r], want->reg[r], in->reg[insn_rs(word)],
			  in->reg[insn_rt(word)], in->reg[REG_HI], in->reg[REG_LO]);
	cr_assert(!memcmp(got->data, want->data, DATA_BYTES), "%s %08x (%s): memory differs", row->name, word,
		  be ? "BE" : "LE");
}

static void random_machine(struct machine *m, uint64_t *s)
{
	for (unsigned r = 1; r < N_REGS; r++)
		m->reg[r] = rnd_value(s);
	for (unsigned i = 0; i < DATA_BYTES; i += 4)
		memcpy(&m->data[i], &(uint32_t){rnd(s)}, 4);
	m->reg[0] = 0;
	m->exc = EXC_NONE;
}

static void compare_rows(bool be, uint64_t seed)
{
	static const uint32_t modes[] = {0, MODE_USER, MODE_ABS, MODE_ABS | MODE_CU0 | MODE_CU1};
	struct machine in, got, want;
	struct oracle oracle;
	struct ours ours;
	uint32_t at = FIRST_WORD;
	unsigned rows = 0;

	oracle_init(&oracle, be);
	ours_init(&ours);
	for (unsigned r = 0; r < NUM_INSNS; r++) {
		const struct insn *row = &insn_table[r];
		unsigned asked = 0;

		if (!wanted(row))
			continue;
		rows++;
		for (unsigned n = 0; n < CASES; n++) {
			uint32_t word = (rnd(&seed) & ~row->mask) | row->match;

			if (insn_id(row) == INSN_ID_CLZ || insn_id(row) == INSN_ID_CLO)
				word = (word & ~(31u << 16)) | insn_rd(word) << 16;
			random_machine(&in, &seed);
			if (frontend_decode(ours.f, word) != row || !prepare(row, &word, &in, &seed))
				continue;
			asked++;
			at = at < FIRST_WORD + 0x20000 ? at + 12 : FIRST_WORD;
			in.pc = at;
			got = want = in;
			oracle_run(&oracle, &want, word, row->flags & INSN_BRANCH);
			ours_run(&ours, &got, word, row->flags & INSN_BRANCH,
				 modes[n % ARRAY_LEN(modes)] | (be ? MODE_BE : 0), n & 4);
			if (row->flags & INSN_BRANCH && got.pc - at < 8)
				continue; /* it branched to itself or its slot: Unicorn does not stop */
			compare(row, word, &in, &got, &want, be);
		}
		cr_expect(asked >= (row->mask == UINT32_MAX ? 1 : 16), "%s: %u cases only", row->name, asked);
	}
	cr_expect(rows > 80, "%u rows only", rows);
	uc_close(oracle.uc);
	frontend_free(ours.f);
	arena_free(&ours.arena);
}

Test(frontend_oracle, little_endian) { compare_rows(false, 0x452821e638d01377u); }
Test(frontend_oracle, big_endian) { compare_rows(true, 0xbe5466cf34e90c6cu); }
