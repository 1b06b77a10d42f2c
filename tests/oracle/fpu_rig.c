/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <unicorn/unicorn.h>

#include "frontend/cp0.h"
#include "tests/oracle/asm.h"
#include "tests/oracle/fpu_case.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "tests/alone.h"

/* Physical addresses, the same on both sides; ours runs in KSEG0, Unicorn with ERL at the address itself. */
enum {
	PA_VECTOR = 0x180,
	PA_END = 0x400,
	PA_CODE = 0x10000,
	CODE_SPAN = 0x80000,
	PA_FPU_CASES = 0x100000,
	CASES_SPAN = 0x200000,
	RAM = 4u << 20,
};
_Static_assert(FPU_MAX_CASES * sizeof(struct fpu_case) <= CASES_SPAN, "the cases fit");

/* Registers of the loop, which the words under test do not name. */
enum { R_TEMP = 10, R_AFTER = 16, R_CASE = 24, R_END = 25, R_K0 = 26, R_AT = 1 };
enum { FCR_FCSR = 31, MAX_PROGRAM = 64, PROGRAM_BYTES = 4 * MAX_PROGRAM };

struct image {
	uint32_t words[MAX_PROGRAM], n;
	uint32_t after; /* index of the word behind those under test */
	uint32_t end;   /* index of what ends the machine */
};

static unsigned fpr_number(const struct fpu_program *p, unsigned i) { return 2 * i + 2 + (p->odd && p->fr); }

static void put(struct image *m, uint32_t word) { m->words[m->n++] = word; }

/* Position independent: each program goes to a place of its own, so nobody has old code of it. */
static void build(struct image *m, const struct fpu_program *p)
{
	const uint32_t out = offsetof(struct fpu_case, out), fcsr = offsetof(struct fpu_regs, fcsr);
	const uint32_t gpr = offsetof(struct fpu_regs, gpr);
	uint32_t loop = 0;

	m->n = 0;
	put(m, A_LW(R_TEMP, fcsr, R_CASE));
	put(m, A_CTC1(R_TEMP, FCR_FCSR));
	if (p->gathers)
		loop = m->n;
	for (unsigned i = 0; i < FPU_FPRS; i++)
		if (p->fpr_in >> i & 1)
			put(m, A_LDC1(fpr_number(p, i), 8 * i, R_CASE));
	for (unsigned i = 0; i < FPU_GPRS; i++)
		if (p->gpr_in >> i & 1)
			put(m, A_LW(4 + 2 * i + p->odd, gpr + 4 * i, R_CASE));
	for (unsigned i = 0; i < p->n_words; i++)
		put(m, p->words[i]);
	m->after = m->n;
	for (unsigned i = 0; i < FPU_GPRS; i++)
		if (p->gpr_out >> i & 1)
			put(m, A_SW(4 + 2 * i + p->odd, out + gpr + 4 * i, R_CASE));
	put(m, A_CFC1(R_TEMP, FCR_FCSR));
	put(m, A_SW(R_TEMP, out + fcsr, R_CASE));
	for (unsigned i = 0; i < FPU_FPRS; i++)
		if (p->fpr_out >> i & 1)
			put(m, A_SDC1(fpr_number(p, i), out + 8 * i, R_CASE));
	put(m, A_ADDIU(R_CASE, R_CASE, sizeof(struct fpu_case)));
	put(m, A_BNE(R_CASE, R_END, (int)loop - (int)m->n - 1));
	put(m, A_NOP);
	m->end = m->n;
	put(m, A_J(PA_END)); /* Unicorn stops in front of it */
	put(m, A_NOP);
}

/* The place of the next program; back to the start when all are used (the caller then drops old code). */
static uint32_t next_place(uint32_t *at, bool *again)
{
	uint32_t place = *at;

	*again = place + PROGRAM_BYTES > PA_CODE + CODE_SPAN;
	if (*again)
		place = PA_CODE;
	*at = place + PROGRAM_BYTES;
	return place;
}

/* ---- Unicorn ---- */

struct fpu_unicorn {
	uc_engine *uc;
	uint32_t at, intno;
	bool fr;
};

enum { QEMU_RI = 20, QEMU_CPU = 19, QEMU_FPE = 23 };

static void on_interrupt(uc_engine *uc, uint32_t intno, void *user)
{
	((struct fpu_unicorn *)user)->intno = intno;
	uc_emu_stop(uc);
}

/* Status as the guest itself sets it: Unicorn's flags follow. */
static bool set_status(struct fpu_unicorn *u, bool fr)
{
	const uint32_t code[] = {A_MTC0(R_TEMP, CP0_Status), A_NOP, A_NOP, A_NOP};
	uint32_t status = ST_CU1 | ST_CU0 | ST_ERL | (fr ? ST_FR : 0);

	u->fr = fr;
	return !uc_mem_write(u->uc, PA_VECTOR, code, sizeof(code)) && !uc_reg_write(u->uc, UC_MIPS_REG_10, &status) &&
	       !uc_emu_start(u->uc, PA_VECTOR, PA_VECTOR + 12, 0, 0);
}

struct fpu_unicorn *fpu_unicorn_new(void)
{
	struct fpu_unicorn *u = calloc(1, sizeof(*u));
	uc_hook hook;

	if (!u)
		return NULL;
	u->at = PA_CODE;
	if (!uc_open(UC_ARCH_MIPS, UC_MODE_MIPS32 | UC_MODE_LITTLE_ENDIAN, &u->uc) &&
	    !uc_ctl_set_cpu_model(u->uc, UC_CPU_MIPS32_24KF) && !uc_mem_map(u->uc, 0, RAM, UC_PROT_ALL) &&
	    !uc_hook_add(u->uc, &hook, UC_HOOK_INTR, on_interrupt, u, 1, 0) && set_status(u, false))
		return u;
	fpu_unicorn_free(u);
	return NULL;
}

void fpu_unicorn_free(struct fpu_unicorn *u)
{
	if (!u)
		return;
	if (u->uc)
		uc_close(u->uc);
	free(u);
}

/* An exception: what a handler would do. False: not one that is known. */
static bool handle(struct fpu_unicorn *u)
{
	uint32_t exc = u->intno == QEMU_FPE   ? EXC_FPE
		       : u->intno == QEMU_RI  ? EXC_RI
		       : u->intno == QEMU_CPU ? EXC_CPU
					      : 0;
	uint32_t at;

	exc <<= CA_EXC_SHIFT;
	return exc && !uc_reg_read(u->uc, UC_MIPS_REG_24, &at) &&
	       !uc_mem_write(u->uc, at + offsetof(struct fpu_case, out.exc), &exc, 4);
}

const char *fpu_unicorn_run(struct fpu_unicorn *u, const struct fpu_program *p, struct fpu_case *cases, uint32_t n)
{
	uint32_t first = PA_FPU_CASES, end = PA_FPU_CASES + n * (uint32_t)sizeof(*cases), place, pc;
	struct image m;
	bool again;

	build(&m, p);
	place = pc = next_place(&u->at, &again);
	if ((u->fr != p->fr && !set_status(u, p->fr)) || uc_mem_write(u->uc, place, m.words, 4 * m.n) ||
	    uc_ctl_remove_cache(u->uc, place, place + 4 * m.n) ||
	    uc_mem_write(u->uc, PA_FPU_CASES, cases, n * sizeof(*cases)) ||
	    uc_reg_write(u->uc, UC_MIPS_REG_24, &first) || uc_reg_write(u->uc, UC_MIPS_REG_25, &end))
		return "Unicorn cannot be set up";
	do {
		u->intno = 0;
		if (uc_emu_start(u->uc, pc, place + 4 * m.end, 0, 0) || (u->intno && !handle(u)))
			return "Unicorn fails";
		pc = place + 4 * m.after;
	} while (u->intno);
	if (uc_reg_read(u->uc, UC_MIPS_REG_24, &first) || first != end)
		return "Unicorn stopped early";
	return uc_mem_read(u->uc, PA_FPU_CASES, cases, n * sizeof(*cases)) ? "Unicorn's memory" : NULL;
}

/* ---- our machines ---- */

struct fpu_vm {
	struct vm *vm;
	uint32_t at;
};

/* General exceptions: Cause's ExcCode to the case, and on behind the words. */
static const uint32_t vector[] = {
    A_MFC0(R_K0, CP0_Cause),
    A_ANDI(R_K0, R_K0, CA_EXC),
    A_SW(R_K0, offsetof(struct fpu_case, out.exc), R_CASE),
    A_MTC0(R_AFTER, CP0_EPC),
    A_EHB,
    A_ERET,
};

/* The end of all programs: 0x42 to SOFTRES (Malta User's Manual). */
static const uint32_t reset[] = {
    A_LUI(R_AT, 0xbf00), A_ORI(R_AT, R_AT, 0x500), A_ORI(R_K0, 0, 0x42), A_SW(R_K0, 0, R_AT), A_BEQ(0, 0, -1), A_NOP,
};

struct fpu_vm *fpu_vm_new(enum executor e)
{
	struct vm_config cfg = {
	    .ram_bytes = RAM,
	    .cpu = cpu_model_find("24Kf"),
	    .count_insns = true,
	    .tier1 = e == EXEC_TIER1 || e == EXEC_TIERS12,
	    .tier2 = e == EXEC_TIER2 || e == EXEC_TIERS12,
	    .code_bytes = 32u << 20,
	    .input_fd = -1,
	};
	struct fpu_vm *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->at = PA_CODE;
	if (!vm_new_alone(&m->vm, &cfg) && !pmap_write(m->vm->ram, gpa(PA_VECTOR), vector, sizeof(vector)) &&
	    !pmap_write(m->vm->ram, gpa(PA_END), reset, sizeof(reset)))
		return m;
	fpu_vm_free(m);
	return NULL;
}

void fpu_vm_free(struct fpu_vm *m)
{
	if (!m)
		return;
	vm_free_alone(m->vm);
	free(m);
}

uint64_t fpu_vm_tier2_insns(const struct fpu_vm *m) { return m->vm->vcpu->gs.insns[TIER_2]; }

uint64_t fpu_vm_regions(const struct fpu_vm *m) { return m->vm->vcpu->jit ? jit_stats(m->vm->vcpu->jit).regions : 0; }

static void on_timeout(void *vm) { vm_end(vm, VM_QUIT); }

static enum vm_end run(struct fpu_vm *m)
{
	struct clock_ops clock = clock_as_ops(m->vm->clock);
	enum vm_end end;

	m->vm->end = VM_RUNS;
	device_alarm(&clock, device_now_ns(&clock) + 60000000000ull, on_timeout, m->vm);
	end = vm_run(m->vm);
	device_alarm(&clock, DEVICE_NO_ALARM, on_timeout, m->vm);
	return end;
}

static void forget(struct fpu_vm *m)
{
	for (uint32_t pa = PA_CODE; pa < PA_CODE + CODE_SPAN; pa += PAGE_BYTES) {
		struct machine_page *page = pmap_peek(m->vm->ram, gpa(pa));

		if (page)
			(void)vcpu_written(m->vm->vcpu, page, gpa(pa), 0, PAGE_BYTES);
	}
}

const char *fpu_vm_run(struct fpu_vm *m, const struct fpu_program *p, struct fpu_case *cases, uint32_t n)
{
	const uint32_t kseg0 = 0x80000000u, first = kseg0 + PA_FPU_CASES;
	struct guest_state *gs = &m->vm->vcpu->gs;
	struct image g;
	uint32_t place;
	bool again;

	build(&g, p);
	place = next_place(&m->at, &again);
	if (again)
		forget(m);
	if (pmap_write(m->vm->ram, gpa(place), g.words, 4 * g.n) ||
	    pmap_write(m->vm->ram, gpa(PA_FPU_CASES), cases, n * sizeof(*cases)))
		return "no memory";
	gs->pc = kseg0 + place;
	gs->reg[R_CASE] = first;
	gs->reg[R_END] = first + n * (uint32_t)sizeof(*cases);
	gs->reg[R_AFTER] = gs->pc + 4 * g.after;
	gs->cp0[CP0_Status] = ST_CU1 | ST_CU0 | (p->fr ? ST_FR : 0);
	m->vm->vcpu->idle = false;
	if (run(m) != VM_RESET)
		return "the guest does not come to an end";
	return pmap_read(m->vm->ram, gpa(PA_FPU_CASES), cases, n * sizeof(*cases)) ? "no memory" : NULL;
}
