/* SPDX-License-Identifier: MIT */
/*
 * Whole programs on every tier.  Under --icount they must end in the same state after the same number of instructions; and
 * nothing that a guest does keeps the user from leaving.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/vmm_programs.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/cpu/cp0.h"

struct end_state {
	uint64_t hash, insns;
};

static struct end_state run_icount(put_fn *put, enum tiers t, bool big_endian)
{
	struct vm *vm = machine_open(&(struct vm_config){.icount = true, .big_endian = big_endian}, t);
	struct end_state s;

	put(vm);
	cr_assert_eq(vm_run(vm), VM_RESET, "tiers %s", tier_names[t]);
	s = (struct end_state){vm_state_hash(vm), clock_insns(vm->clock)};
	vm_free_alone(vm);
	return s;
}

/* The state on all tiers; and it depends on what was run. */
static struct end_state same_on_all_tiers(put_fn *put)
{
	struct end_state want = {0};

	for (int be = 0; be < 2; be++) {
		want = run_icount(put, TIERS_INTERP, be);
		cr_assert_gt(want.insns, 100);
		for (enum tiers t = TIERS_1; t < NUM_TIERS; t++) {
			struct end_state got = run_icount(put, t, be);

			cr_assert_eq(got.insns, want.insns, "tiers %s: %llu instructions, interp %llu", tier_names[t],
				     (unsigned long long)got.insns, (unsigned long long)want.insns);
			cr_assert_eq(got.hash, want.hash, "tiers %s", tier_names[t]);
		}
	}
	return want;
}

Test(vmm_run_loop, interrupts_at_the_same_instruction, .timeout = 120) { same_on_all_tiers(put_busy_loop); }

Test(vmm_run_loop, device_accesses_at_the_same_instruction, .timeout = 120) { same_on_all_tiers(put_device_code); }

Test(vmm_run_loop, self_modifying_code, .timeout = 120)
{
	struct vm *vm;

	same_on_all_tiers(put_self_modifying);
	for (enum tiers t = 0; t < NUM_TIERS; t++) {
		vm = machine_open(&(struct vm_config){0}, t);
		put_self_modifying(vm);
		cr_assert_eq(vm_run(vm), VM_RESET);
		cr_assert_eq(vm->vcpu->gs.reg[V0], 300 * 301 / 2, "tiers %s", tier_names[t]);
		cr_assert_eq(vm->vcpu->gs.reg[A0], 300 * 301 / 2, "tiers %s", tier_names[t]);
		cr_assert_eq(vm->vcpu->gs.reg[A1], 300, "every SC succeeded");
		vm_free_alone(vm);
	}
}

Test(vmm_run_loop, exceptions_and_refills, .timeout = 120)
{
	struct vm *vm;

	same_on_all_tiers(put_exceptions);
	vm = machine_open(&(struct vm_config){0}, TIERS_12);
	put_exceptions(vm);
	cr_assert_eq(vm_run(vm), VM_RESET);
	cr_assert_eq(vm->vcpu->gs.reg[17], 500);
	cr_assert_eq(machine_word(vm, 0x80100000), 500, "500 pages, one frame");
	vm_free_alone(vm);
}

/* ---- the end of memory, and code that runs into it ---- */

Test(vmm_run_loop, code_runs_off_the_end, .timeout = 60)
{
	for (enum tiers t = 0; t < NUM_TIERS; t++)
		for (unsigned branch = 0; branch < 2; branch++) {
			struct vm *vm = machine_open(&(struct vm_config){0}, t);
			uint32_t last = 0x80000000 + RAM_BYTES - 4;

			PUT(vm, 0x80000180, A_RESET);
			PUT(vm, last - 8, A_NOP, A_NOP, branch ? A_JR(T0) : A_NOP);
			vm->vcpu->gs.pc = last - 8;
			vm->vcpu->gs.reg[T0] = CODE_VA;
			cr_assert_eq(vm_run(vm), VM_RESET);
			cr_assert_eq(vm->vcpu->gs.cp0[CP0_EPC], branch ? last : last + 4);
			cr_assert_eq(vm->vcpu->gs.cp0[CP0_Cause] & (CA_EXC | CA_BD),
				     EXC_IBE << CA_EXC_SHIFT | (branch ? CA_BD : 0));
			vm_free_alone(vm);
		}
}

/* From 0xffffffff on comes 0: an address error in user mode first, of course; here kernel mode and a mapped last page. */
Test(vmm_run_loop, the_pc_wraps, .timeout = 60)
{
	for (enum tiers t = 0; t < NUM_TIERS; t++) {
		struct vm *vm = machine_open(&(struct vm_config){0}, t);

		machine_map(vm, 0, 0xffffe000, 0, LO(0x10000, LO_V | LO_G));
		machine_map(vm, 1, 0x00000000, LO(0x11000, LO_V | LO_G), LO(0x12000, LO_V | LO_G));
		/* G is the AND of both halves */
		machine_map(vm, 0, 0xffffe000, LO(0, LO_G), LO(0x10000, LO_V | LO_G));
		PUT(vm, 0x80010ff8, A_ADDIU(T0, T0, 1), A_ADDIU(T0, T0, 2));
		PUT(vm, 0x80011000, A_ADDIU(T0, T0, 4), A_RESET);
		vm->vcpu->gs.pc = 0xfffffff8;
		cr_assert_eq(vm_run(vm), VM_RESET);
		cr_assert_eq(vm->vcpu->gs.reg[T0], 7);
		vm_free_alone(vm);
	}
}

/* ---- leaving ---- */

struct keyboard {
	int fd[2];
	unsigned read;
};

/* As vmm/cli/run.c's console: an 'x' quits. */
static size_t on_rx(void *opaque, uint8_t *data, size_t n, int *end)
{
	struct keyboard *k = opaque;
	ssize_t got = read(k->fd[0], data, n);

	*end = got <= 0;
	for (ssize_t i = 0; i < got; i++)
		if (data[i] == 'x')
			*end = 2;
	return got > 0 ? (size_t)got : 0;
}

struct typist {
	struct keyboard *k;
	const char *text;
};

static void *type(void *arg)
{
	struct typist *t = arg;

	usleep(20000);
	if (write(t->k->fd[1], t->text, strlen(t->text)) < 0)
		abort(); /* Criterion's assertions are the main thread's */
	return NULL;
}

static void put_one_block(struct vm *vm) { PUT(vm, CODE_VA, A_BEQ(ZERO, ZERO, -1), A_NOP); }
static void put_indirect_loop(struct vm *vm)
{
	vm->vcpu->gs.reg[T0] = CODE_VA;
	PUT(vm, CODE_VA, A_JR(T0), A_NOP);
}
static void put_idle(struct vm *vm) { PUT(vm, CODE_VA, A_WAIT, A_BEQ(ZERO, ZERO, -2), A_NOP); }
static void put_no_vectors(struct vm *vm)
{
	vm->vcpu->gs.cp0[CP0_Status] = ST_BEV; /* in the flash, which is empty */
	vm->vcpu->gs.pc = 0xbfc00000;
}
static void put_far_ahead(struct vm *vm) /* a ring of forward jumps by way of the wrapped pc */
{
	machine_map(vm, 0, 0xffffe000, LO(0, LO_G), LO(0x10000, LO_V | LO_G));
	machine_map(vm, 1, 0x00000000, LO(0x11000, LO_V | LO_G), LO(0x12000, LO_V | LO_G));
	PUT(vm, 0x80010000 + 0xff8, A_BEQ(ZERO, ZERO, 1), A_NOP);
	PUT(vm, 0x80011000, A_LUI(T0, 0xffff), A_ORI(T0, T0, 0xfff8), A_JR(T0), A_NOP);
	vm->vcpu->gs.pc = 0xfffffff8;
}

static put_fn *const endless[] = {put_one_block, put_indirect_loop, put_idle, put_no_vectors, put_far_ahead};

Test(vmm_run_loop, the_user_can_always_quit, .timeout = 120)
{
	static char much[2001];

	memset(much, 'a', sizeof(much) - 2);
	much[sizeof(much) - 2] = 'x';
	for (enum tiers t = 0; t < NUM_TIERS; t++)
		for (unsigned i = 0; i < ARRAY_LEN(endless); i++)
			for (unsigned k = 0; k < 4; k++) {
				struct keyboard kb = {0};
				struct typist ty = {&kb, k & 1 ? much : "x"}; /* more than the UART holds, before it */
				struct vm_config cfg = {.icount = k & 2, .console_rx = on_rx, .opaque = &kb};
				struct vm *vm;
				pthread_t thread;

				cr_assert_eq(pipe(kb.fd), 0);
				cfg.input_fd = kb.fd[0];
				vm = machine_open(&cfg, t);
				endless[i](vm);
				cr_assert_eq(pthread_create(&thread, NULL, type, &ty), 0);
				cr_assert_eq(vm_run(vm), VM_QUIT, "tiers %s, program %u", tier_names[t], i);
				pthread_join(thread, NULL);
				vm_free_alone(vm);
				close(kb.fd[0]);
				close(kb.fd[1]);
			}
}

/* Input that nobody reads must not stop time for an idle guest. */
Test(vmm_run_loop, idle_with_unread_input, .timeout = 60)
{
	for (unsigned icount = 0; icount < 2; icount++) {
		struct keyboard kb = {0};
		struct vm_config cfg = {.icount = icount, .console_rx = on_rx, .opaque = &kb};
		static char a[5000];
		struct vm *vm;

		memset(a, 'a', sizeof(a));
		cr_assert_eq(pipe(kb.fd), 0);
		cr_assert_eq(write(kb.fd[1], a, sizeof(a)), sizeof(a));
		cfg.input_fd = kb.fd[0];
		vm = machine_open(&cfg, TIERS_1);
		put_idle_timer(vm);
		if (!icount) { /* 10 ms: the handler is never overtaken by Count */
			vm->vcpu->gs.reg[19] = 1000000;
			vm->vcpu->gs.reg[T3] = cp0_count(vm->vcpu) + 50000000;
		}
		cr_assert_eq(vm_run(vm), VM_RESET);
		cr_assert_eq(vm->vcpu->gs.reg[S0], 200);
		vm_free_alone(vm);
		close(kb.fd[0]);
		close(kb.fd[1]);
	}
}

Test(vmm_run_loop, idle_time_is_the_same_on_all_tiers, .timeout = 60) { same_on_all_tiers(put_idle_timer); }

/* WAIT ends for an interrupt that IM lets through, IE or not (volume II, WAIT). */
Test(vmm_run_loop, wait_with_interrupts_disabled, .timeout = 60)
{
	for (enum tiers t = 0; t < NUM_TIERS; t++) {
		struct vm *vm = machine_open(&(struct vm_config){.icount = true}, t);

		PUT(vm, CODE_VA, A_ORI(T0, ZERO, 1000), A_MTC0(T0, CP0_Compare), A_WAIT, A_MFC0(V0, CP0_Count),
		    A_RESET);
		vm->vcpu->gs.cp0[CP0_Status] = ST_CU0 | 0x8000;
		cr_assert_eq(vm_run(vm), VM_RESET);
		cr_assert_eq(vm->vcpu->gs.reg[V0], 1000, "tiers %s", tier_names[t]);
		cr_assert_eq(vm->vcpu->stats.interrupts, 0);
		vm_free_alone(vm);
	}
}
