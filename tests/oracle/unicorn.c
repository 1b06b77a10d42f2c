/* SPDX-License-Identifier: MIT */
#include "tests/oracle/machine.h"

#include <stdlib.h>
#include <string.h>
#include <unicorn/unicorn.h>

#include "frontend/cp0.h"
#include "tests/exc_none.h"
#include "tests/oracle/asm.h"

/*
 * Unicorn 2.0 as the other side.  It has no exception vectors and loses the pc of most exceptions: a code hook over
 * the block keeps the pc, the interrupt hook stops, and we do what the PRA says of an exception (EPC, Cause, Status)
 * by hand.  Unmapped addresses reach the memory hook instead: there we are the TLB.  Execution goes on at
 * guest_resume_va(), after the branch state in Unicorn's hflags has been cleared.
 */
struct unicorn {
	uc_engine *uc;
	struct oracle_setup setup;
	struct guest_image image;
	const struct oracle_program *p;
	uc_context *clean, *now; /* outside delay slots; scratch */
	size_t context_bytes, hflags_at;
	uint32_t pc; /* last instruction of the block */
	uint32_t intno, badvaddr;
	uint32_t last_badvaddr, entryhi, context; /* as CP0 would hold them */
	uint64_t insns;                           /* of blocks, begun */
	uint64_t unfinished;                      /* of those, the ones that raised */
	uint32_t in_doubt; /* slot of a branch likely: it was begun, but maybe nullified; else 0 */
	bool insns_unknown;
	struct guest_case cases[MAX_CASES];
};

/* TLB_* and ADDRESS_*: from the memory hook */
enum { NO_INTERRUPT = 0xffffffffu, TLB_LOAD = 0x1000, TLB_STORE, ADDRESS_LOAD, ADDRESS_STORE };

/* QEMU's numbers, as UC_HOOK_INTR reports them. */
static unsigned exception_code(uint32_t intno)
{
	static const struct {
		uint16_t qemu, exc;
	} map[] = {{12, EXC_ADEL},
		   {13, EXC_ADES},
		   {17, EXC_SYS},
		   {18, EXC_BP},
		   {19, EXC_CPU},
		   {20, EXC_RI},
		   {21, EXC_OV},
		   {22, EXC_TR},
		   {26, EXC_TLBL},
		   {27, EXC_TLBS},
		   {23, EXC_FPE},
		   {TLB_LOAD, EXC_TLBL},
		   {TLB_STORE, EXC_TLBS},
		   {ADDRESS_LOAD, EXC_ADEL},
		   {ADDRESS_STORE, EXC_ADES}};

	for (unsigned i = 0; i < ARRAY_LEN(map); i++)
		if (map[i].qemu == intno)
			return map[i].exc;
	return EXC_NONE;
}

static uint32_t insn_number(const struct unicorn *u) { return (u->pc - program_va(u->p, &u->setup, 0)) / 4; }

static bool slot_of_likely(const struct unicorn *u)
{
	uint32_t i = insn_number(u), op, rt;

	if (i == 0 || i >= u->p->n || !(u->p->insn[i].flags & PI_SLOT))
		return false;
	op = insn_opcode(u->p->insn[i - 1].word);
	rt = insn_rt(u->p->insn[i - 1].word);
	/* BEQL to BGTZL; BLTZL, BGEZL, BLTZALL, BGEZALL; BC1FL, BC1TL */
	return (op >= 0x14 && op <= 0x17) || (op == 1 && rt & 2) ||
	       (op == 0x11 && insn_fmt(u->p->insn[i - 1].word) == 8 && rt & 2);
}

/*
 * Unicorn calls this for a slot before it nullifies it.  If execution goes on right behind the slot it was nullified,
 * unless that is where the branch goes: then nobody knows.
 */
static void on_code(uc_engine *uc, uint64_t address, uint32_t size, void *user)
{
	struct unicorn *u = user;

	u->pc = (uint32_t)address;
	if (!u->p) /* unicorn_new() */
		return;
	u->insns++;
	if (u->in_doubt && u->pc == u->in_doubt + 4) {
		u->insns--;
		u->insns_unknown |= u->p->insn[insn_number(u) - 2].target == (int)insn_number(u);
	}
	u->in_doubt = slot_of_likely(u) ? u->pc : 0;
}

static void on_interrupt(uc_engine *uc, uint32_t intno, void *user)
{
	struct unicorn *u = user;

	u->intno = intno;
	uc_emu_stop(uc);
}

/* An address error comes before a TLB exception (PRA volume III, "Exception priority"); Unicorn looks for memory first. */
static bool on_unmapped(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value, void *user)
{
	struct unicorn *u = user;

	bool store = type == UC_MEM_WRITE_UNMAPPED;

	u->intno = store ? TLB_STORE : TLB_LOAD;
	if (address & ((uint32_t)size - 1))
		u->intno = store ? ADDRESS_STORE : ADDRESS_LOAD;
	u->badvaddr = (uint32_t)address;
	return false;
}

/* ---- guest memory ---- */

static void must(uc_err err)
{
	if (err != UC_ERR_OK) {
		fprintf(stderr, "Unicorn: %s\n", uc_strerror(err));
		abort();
	}
}

static void write_words(struct unicorn *u, uint32_t pa, const uint32_t *words, uint32_t n)
{
	uint32_t swapped[512];

	for (uint32_t i = 0; i < n; i++)
		swapped[i] = guest_swap32(u->setup.big_endian, words[i]);
	must(uc_mem_write(u->uc, pa, swapped, 4 * (size_t)n));
}

static void forget(struct unicorn *u, uint32_t pa, uint32_t bytes)
{
	uint64_t from = setup_base(&u->setup) + (uint64_t)pa;

	must(uc_ctl_remove_cache(u->uc, from, from + bytes));
}

/* ---- opening ---- */

static uint32_t register_read(const struct unicorn *u, int reg)
{
	uint32_t v = 0;

	must(uc_reg_read(u->uc, reg, &v));
	return v;
}

static void run_words(struct unicorn *u, const uint32_t *words, uint32_t n)
{
	uint64_t at = setup_base(&u->setup) + (uint64_t)PA_BLOCK;

	write_words(u, PA_BLOCK, words, n);
	forget(u, PA_BLOCK, 4 * n);
	must(uc_emu_start(u->uc, at, at + 4 * n, 0, 0));
}

/*
 * A trap in the slot of a taken branch to an address that occurs nowhere else: CPUMIPSState holds it in btarget, right
 * behind hflags.  Returns false if this Unicorn's context does not look like that.
 */
static bool find_hflags(struct unicorn *u)
{
	static const uint32_t trap_in_slot[] = {A_BEQ(0, 0, 0x1357), 0x00000034 /* teq $0, $0 */, 0, 0};
	uint32_t target = setup_base(&u->setup) + PA_BLOCK + 4 + 4 * 0x1357, word;
	size_t found = 0;

	must(uc_context_alloc(u->uc, &u->clean));
	must(uc_context_alloc(u->uc, &u->now));
	u->context_bytes = uc_context_size(u->uc);
	must(uc_context_save(u->uc, u->clean));
	u->intno = NO_INTERRUPT;
	run_words(u, trap_in_slot, ARRAY_LEN(trap_in_slot));
	must(uc_context_save(u->uc, u->now));
	for (size_t at = 4; at + 4 <= u->context_bytes; at += 4) {
		memcpy(&word, (char *)u->now + at, 4);
		if (word == target) {
			u->hflags_at = at - 4;
			found++;
		}
	}
	return found == 1 && u->intno != NO_INTERRUPT &&
	       memcmp((char *)u->now + u->hflags_at, (char *)u->clean + u->hflags_at, 4);
}

static void open_memory(struct unicorn *u)
{
	must(uc_mem_map(u->uc, PA_DRIVER, 0x2000, UC_PROT_ALL));
	must(uc_mem_map(u->uc, PA_BLOCK, 0x10000, UC_PROT_ALL));
	must(uc_mem_map(u->uc, PA_DATA, DATA_BYTES, UC_PROT_READ | UC_PROT_WRITE));
	must(uc_mem_map(u->uc, PA_CASES, 0x10000, UC_PROT_READ | UC_PROT_WRITE));
	guest_build(&u->image, &u->setup);
	write_words(u, PA_DRIVER, u->image.driver, ARRAY_LEN(u->image.driver));
}

static void open_hooks(struct unicorn *u)
{
	uint64_t from = setup_base(&u->setup) + (uint64_t)PA_BLOCK;
	uc_hook h;

	must(uc_hook_add(u->uc, &h, UC_HOOK_INTR, (void *)on_interrupt, u, 1, 0));
	must(uc_hook_add(u->uc, &h, UC_HOOK_MEM_READ_UNMAPPED | UC_HOOK_MEM_WRITE_UNMAPPED, (void *)on_unmapped, u, 1,
			 0));
	must(uc_hook_add(u->uc, &h, UC_HOOK_CODE, (void *)on_code, u, from, from + BLOCK_BYTES - 1));
}

struct unicorn *unicorn_new(const struct oracle_setup *s)
{
	struct unicorn *u = calloc(1, sizeof(*u));
	uint32_t status = (setup_status(s) & ~ST_KSU) | (s->mapped ? ST_ERL : 0); /* ERL: kuseg is not mapped */
	const uint32_t set_status[] = {A_MTC0(2, CP0_Status), A_EHB, A_NOP};

	if (!u)
		return NULL;
	u->setup = *s;
	must(uc_open(UC_ARCH_MIPS, UC_MODE_MIPS32 | (s->big_endian ? UC_MODE_BIG_ENDIAN : 0), &u->uc));
	must(uc_ctl_set_cpu_model(u->uc, UC_CPU_MIPS32_24KF));
	open_memory(u);
	open_hooks(u);
	must(uc_reg_write(u->uc, UC_MIPS_REG_2, &status));
	run_words(u, set_status, ARRAY_LEN(set_status));
	if (!find_hflags(u)) {
		unicorn_free(u);
		return NULL;
	}
	must(uc_context_restore(u->uc, u->clean));
	return u;
}

void unicorn_free(struct unicorn *u)
{
	if (!u)
		return;
	uc_context_free(u->clean);
	uc_context_free(u->now);
	uc_close(u->uc);
	free(u);
}

uint64_t unicorn_insns(const struct unicorn *u) { return u->insns; }

/* ---- exceptions ---- */

/*
 * A jump through a register to a misaligned address: the fetch is what fails, after the slot (PRA volume III, "Address
 * Error Exception").  Unicorn's pc is then still that of the slot.
 */
static bool failed_fetch(const struct unicorn *u, uint32_t exc, uint32_t target, uint32_t badvaddr)
{
	uint32_t i = insn_number(u);

	return exc == EXC_ADEL && target & 3 && badvaddr == target && i > 0 && u->p->insn[i].flags & PI_SLOT &&
	       u->p->insn[i - 1].flags & PI_LINK_T;
}

/* What the handler of our VMs would have stored; the rest is stored by the words at guest_resume_va(). */
static void deliver(struct unicorn *u, struct guest_case *c, uint32_t exc)
{
	bool be = u->setup.big_endian, slot = u->p->insn[insn_number(u)].flags & PI_SLOT;
	bool tlb = exc == EXC_TLBL || exc == EXC_TLBS;

	c->cause = exc << CA_EXC_SHIFT | (slot ? CA_BD : 0) | (exc == EXC_CPU ? 1u << CA_CE_SHIFT : 0);
	c->epc = slot ? u->pc - 4 : u->pc;
	c->status = setup_status(&u->setup) | ST_EXL;
	c->refill = tlb;
	c->cause = guest_swap32(be, c->cause);
	c->epc = guest_swap32(be, c->epc);
	c->status = guest_swap32(be, c->status);
	c->refill = guest_swap32(be, c->refill);
	c->pad = guest_swap32(be, u->intno >= TLB_LOAD ? u->badvaddr : 0);
}

static uint32_t hflags_clear(struct unicorn *u)
{
	must(uc_context_save(u->uc, u->now));
	memcpy((char *)u->now + u->hflags_at, (char *)u->clean + u->hflags_at, 4);
	must(uc_context_restore(u->uc, u->now));
	return guest_resume_va(&u->setup);
}

/* BadVAddr, EntryHi and Context keep their values until the next exception that sets them: in the order of cases. */
static void settle(struct unicorn *u, struct oracle_result *r, uint32_t hook_address, uint32_t target)
{
	uint32_t exc = (r->cause & CA_EXC) >> CA_EXC_SHIFT, address = hook_address ? hook_address : r->badvaddr;

	if (exc == EXC_ADEL || exc == EXC_ADES || exc == EXC_TLBL || exc == EXC_TLBS)
		u->last_badvaddr = address;
	if (exc == EXC_TLBL || exc == EXC_TLBS) {
		u->entryhi = address & 0xffffe000u;
		u->context = address >> 13 << 4;
	}
	u->pc = r->cause & CA_BD ? r->epc + 4 : r->epc;
	if (failed_fetch(u, exc, target, r->badvaddr)) {
		r->epc = target;
		r->cause &= ~CA_BD;
	} else {
		u->unfinished++;
	}
	r->badvaddr = u->last_badvaddr;
	r->entryhi = u->entryhi;
	r->context = u->context;
}

/* ---- running ---- */

static void load(struct unicorn *u, const struct oracle_program *p)
{
	static const uint8_t zeroes[BLOCK_BYTES];
	uint32_t words[MAX_INSNS], jump, jump_pa;

	u->p = p;
	program_encode(p, &u->setup, words);
	jump = guest_jump_to_block(p, &u->setup, &jump_pa);
	guest_write_cases(p, &u->setup, u->cases);
	must(uc_mem_write(u->uc, PA_CASES, u->cases, p->n_cases * sizeof(u->cases[0])));
	must(uc_mem_write(u->uc, PA_DATA, p->data, DATA_BYTES));
	must(uc_mem_write(u->uc, PA_BLOCK, zeroes, BLOCK_BYTES));
	write_words(u, PA_BLOCK + p->off, words, p->n);
	write_words(u, jump_pa, &jump, 1);
	forget(u, PA_BLOCK, BLOCK_BYTES);
	forget(u, PA_DRIVER, PAGE_BYTES);
}

/* One stretch, to the end or to an exception. Returns where to go on, 0 at the end; *trouble if it cannot. */
static uint32_t run_on(struct unicorn *u, uint32_t from, const char **trouble)
{
	uint32_t exc, at, case_pa;
	struct guest_case c;
	uc_err err;

	u->intno = NO_INTERRUPT;
	u->in_doubt = 0;
	err = uc_emu_start(u->uc, from, guest_end_va(&u->setup), 0, 0);
	if (u->intno == NO_INTERRUPT) {
		if (err != UC_ERR_OK)
			*trouble = uc_strerror(err);
		return 0;
	}
	exc = exception_code(u->intno);
	at = insn_number(u);
	if (exc == EXC_NONE || at >= u->p->n) {
		*trouble = "an exception that no program should make";
		return 0;
	}
	case_pa = register_read(u, UC_MIPS_REG_0 + REG_CASE) - setup_base(&u->setup);
	must(uc_mem_read(u->uc, case_pa, &c, sizeof(c)));
	deliver(u, &c, exc);
	must(uc_mem_write(u->uc, case_pa, &c, sizeof(c)));
	return hflags_clear(u);
}

void unicorn_run(struct unicorn *u, const struct oracle_program *p, struct oracle_outcome *out)
{
	uint32_t from = guest_loop_va(&u->setup), k0 = setup_base(&u->setup) + PA_CASES;
	uint64_t before = u->insns - u->unfinished;

	memset(out, 0, sizeof(*out));
	u->insns_unknown = false;
	load(u, p);
	must(uc_reg_write(u->uc, UC_MIPS_REG_0 + REG_CASE, &k0));
	while (from && !out->trouble)
		from = run_on(u, from, &out->trouble);
	if (out->trouble)
		return;
	must(uc_mem_read(u->uc, PA_CASES, u->cases, p->n_cases * sizeof(u->cases[0])));
	guest_read_cases(u->cases, p, &u->setup, out->result);
	for (uint32_t i = 0; i < p->n_cases; i++)
		if (out->result[i].cause != NO_EXCEPTION)
			settle(u, &out->result[i], guest_swap32(u->setup.big_endian, u->cases[i].pad),
			       p->in[i].gpr[p->role.target]);
	must(uc_mem_read(u->uc, PA_DATA, out->data, DATA_BYTES));
	must(uc_mem_read(u->uc, PA_BLOCK, out->block, BLOCK_BYTES));
	if (u->setup.icount && !u->insns_unknown)
		out->insns = u->insns - u->unfinished - before + guest_driver_insns(&u->image, out->result, p->n_cases);
}
