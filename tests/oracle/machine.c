/* SPDX-License-Identifier: MIT */
#include "tests/oracle/machine.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frontend/cp0.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "tests/alone.h"

const char *const executor_name[NUM_EXECUTORS] = {"interpreter", "tier 1", "tier 2", "tiers 1 and 2"};

struct machine_vm {
	struct vm *vm;
	struct oracle_setup setup;
	enum executor executor;
	struct oracle_outcome again; /* EXEC_TIERS12 */
	struct guest_case cases[MAX_CASES];
};

#define NS_PER_S   1000000000ull
#define RAM_BYTES  (4u << 20)
#define CODE_BYTES (16u << 20)
#define HOT        3  /* EXEC_TIERS12: executions before tier 2 is asked for */
#define MAX_ROUNDS 60 /* executions of a program while waiting for it, some milliseconds apart */

/* ---- guest memory ---- */

static void must(int err)
{
	if (err)
		abort(); /* inside RAM, and the host has 4 MB */
}

static void write_words(struct machine_vm *m, uint32_t pa, const uint32_t *words, uint32_t n)
{
	uint32_t swapped[512];

	for (uint32_t i = 0; i < n; i++)
		swapped[i] = guest_swap32(m->setup.big_endian, words[i]);
	must(pmap_write(m->vm->ram, gpa(pa), swapped, 4 * (uint64_t)n));
}

/* As a device does that writes by DMA: translations of these bytes are gone. */
static void invalidate(struct machine_vm *m, uint32_t pa, uint32_t bytes)
{
	for (uint32_t at = pa; at < pa + bytes;) {
		uint32_t n = PAGE_BYTES - (at & PAGE_MASK);
		struct machine_page *page = pmap_peek(m->vm->ram, gpa(at));

		n = n < pa + bytes - at ? n : pa + bytes - at;
		if (page)
			(void)vcpu_written(m->vm->vcpu, page, gpa(at), at & PAGE_MASK, n);
		at += n;
	}
}

/* ---- running ---- */

static void on_timeout(void *vm) { vm_end(vm, VM_QUIT); }

/* Run from pc until the guest resets the machine; false if it does not in time, which is the guest's under icount. */
static bool run_to_reset(struct machine_vm *m, uint32_t pc)
{
	struct vcpu *v = m->vm->vcpu;
	struct clock_ops clock = clock_as_ops(m->vm->clock);
	enum vm_end end;

	v->gs.pc = pc;
	v->gs.reg[REG_CASE] = setup_base(&m->setup) + PA_CASES;
	v->idle = false;
	m->vm->end = VM_RUNS;
	device_alarm(&clock, device_now_ns(&clock) + (m->setup.icount ? 1 : 60) * NS_PER_S, on_timeout, m->vm);
	end = vm_run(m->vm);
	device_alarm(&clock, DEVICE_NO_ALARM, on_timeout, m->vm);
	return end == VM_RESET;
}

static bool boot(struct machine_vm *m)
{
	uint64_t *cp0 = m->vm->vcpu->gs.cp0;
	struct guest_image g;

	guest_build(&g, &m->setup);
	write_words(m, PA_VECTORS, g.vectors, ARRAY_LEN(g.vectors));
	write_words(m, PA_DRIVER, g.driver, ARRAY_LEN(g.driver));
	cp0[CP0_Status] = 0;
	if (!run_to_reset(m, guest_boot_va()))
		return false;
	cp0[CP0_Status] = setup_status(&m->setup);
	return true;
}

struct machine_vm *machine_vm_new(const struct oracle_setup *s, enum executor e)
{
	struct vm_config cfg = {
	    .ram_bytes = RAM_BYTES,
	    .cpu = cpu_model_find("24Kf"),
	    .big_endian = s->big_endian,
	    .icount = s->icount,
	    .tier1 = e == EXEC_TIER1 || e == EXEC_TIERS12,
	    .tier2 = e == EXEC_TIER2 || e == EXEC_TIERS12,
	    .code_bytes = CODE_BYTES,
	    .hot_threshold = HOT,
	    .input_fd = -1,
	};
	struct machine_vm *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->setup = *s;
	m->executor = e;
	if (vm_new_alone(&m->vm, &cfg) || !boot(m)) {
		machine_vm_free(m);
		return NULL;
	}
	return m;
}

void machine_vm_free(struct machine_vm *m)
{
	if (!m)
		return;
	vm_free_alone(m->vm);
	free(m);
}

static void load(struct machine_vm *m, const struct oracle_program *p)
{
	static const uint8_t zeroes[BLOCK_BYTES];
	uint32_t words[MAX_INSNS], jump, jump_pa;

	program_encode(p, &m->setup, words);
	jump = guest_jump_to_block(p, &m->setup, &jump_pa);
	guest_write_cases(p, &m->setup, m->cases);
	must(pmap_write(m->vm->ram, gpa(PA_CASES), m->cases, p->n_cases * sizeof(m->cases[0])));
	must(pmap_write(m->vm->ram, gpa(PA_DATA), p->data, DATA_BYTES));
	must(pmap_write(m->vm->ram, gpa(PA_BLOCK), zeroes, BLOCK_BYTES));
	write_words(m, PA_BLOCK + p->off, words, p->n);
	write_words(m, jump_pa, &jump, 1);
}

static void forget(struct machine_vm *m, const struct oracle_program *p)
{
	uint32_t jump_pa;

	guest_jump_to_block(p, &m->setup, &jump_pa);
	invalidate(m, PA_BLOCK, BLOCK_BYTES);
	invalidate(m, jump_pa, 4);
}

/* MIPS32 guests: every 64-bit slot of guest_state holds a zero-extended word. */
static const char *check_state(const struct guest_state *gs)
{
	for (unsigned r = 1; r < NUM_REGS; r++)
		if (gs->reg[r] >> 32)
			return "a register is not zero-extended";
	return gs->fcr31 & ~0xff83ffffu ? "FCSR has reserved bits" : NULL;
}

static void run_once(struct machine_vm *m, const struct oracle_program *p, struct oracle_outcome *out)
{
	uint64_t before = m->setup.icount ? clock_insns(m->vm->clock) : 0;

	memset(out, 0, sizeof(*out));
	if (!run_to_reset(m, guest_loop_va(&m->setup))) {
		out->trouble = "does not come to an end";
		return;
	}
	out->trouble = check_state(&m->vm->vcpu->gs);
	must(pmap_read(m->vm->ram, gpa(PA_CASES), m->cases, p->n_cases * sizeof(m->cases[0])));
	guest_read_cases(m->cases, p, &m->setup, out->result);
	must(pmap_read(m->vm->ram, gpa(PA_DATA), out->data, DATA_BYTES));
	must(pmap_read(m->vm->ram, gpa(PA_BLOCK), out->block, BLOCK_BYTES));
	if (m->setup.icount)
		out->insns = clock_insns(m->vm->clock) - before;
	if (m->setup.kernel && m->setup.icount)
		out->hash = vm_state_hash(m->vm);
}

static uint64_t regions(const struct machine_vm *m)
{
	return m->vm->vcpu->jit ? jit_stats(m->vm->vcpu->jit).regions : 0;
}

static bool same(const struct oracle_outcome *a, const struct oracle_outcome *b)
{
	return !a->trouble && !b->trouble && a->insns == b->insns && !memcmp(a->result, b->result, sizeof(a->result)) &&
	       !memcmp(a->data, b->data, sizeof(a->data)) && !memcmp(a->block, b->block, sizeof(a->block));
}

/*
 * The same program from the same state until tier 2 has compiled what got hot and that has been executed.  *out gets
 * the first outcome that is another.
 */
static void run_again(struct machine_vm *m, const struct oracle_program *p, const uint64_t *cp0, uint64_t start,
		      struct oracle_outcome *out)
{
	static const unsigned kept[] = {CP0_BadVAddr, CP0_EntryHi, CP0_Context};
	struct timespec compiling = {0, 1000000};

	/* LLVM's first region takes longest; on a busy host its thread, which is nice, is long in coming */
	unsigned rounds = regions(m) ? MAX_ROUNDS : 4 * MAX_ROUNDS;

	for (unsigned round = 0; round < rounds && !out->trouble; round++) {
		uint64_t installed = regions(m);

		nanosleep(&compiling, NULL);
		compiling.tv_nsec += 200000;
		for (unsigned i = 0; i < ARRAY_LEN(kept); i++)
			m->vm->vcpu->gs.cp0[kept[i]] = cp0[kept[i]];
		load(m, p);
		run_once(m, p, &m->again);
		if (!same(out, &m->again)) {
			*out = m->again;
			return;
		}
		if (installed > start && regions(m) == installed)
			return;
	}
}

void machine_vm_run(struct machine_vm *m, const struct oracle_program *p, struct oracle_outcome *out)
{
	uint64_t cp0[ARRAY_LEN(m->vm->vcpu->gs.cp0)], start = regions(m);

	memcpy(cp0, m->vm->vcpu->gs.cp0, sizeof(cp0));
	m->vm->vcpu->stats.exits[EXIT_HOT] = 0;
	load(m, p);
	forget(m, p);
	run_once(m, p, out);
	if (m->executor == EXEC_TIERS12 && m->vm->vcpu->stats.exits[EXIT_HOT])
		run_again(m, p, cp0, start, out);
	out->regions = regions(m) - start;
}
