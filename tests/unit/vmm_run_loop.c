/* SPDX-License-Identifier: MIT */
/*
 * Whole programs on every tier.  Under --icount they must end in the same state after the same number of instructions; and
 * nothing that a guest does keeps the user from leaving.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/vmm_machine.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/cpu/cp0.h"

static const char *const tier_names[NUM_TIERS] = {"interp", "1", "2", "12"};

struct end_state {
	uint64_t hash, insns;
};

typedef void put_fn(struct vm *vm);

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

/* Handler of timer interrupts at 0x80000180: count in s0, note EPC and Count, arm the next (s3 later), end after 200. */
static void put_timer_handler(struct vm *vm)
{
	PUT(vm, 0x80000180, A_LUI(K0, 0x8000), A_ORI(K0, K0, 0x400), A_JR(K0), A_NOP);
	PUT(vm, 0x80000400, A_MFC0(K0, CP0_EPC), A_SW(K0, 0, 20),                 /* s4: the ring */
	    A_MFC0(K0, CP0_Count), A_SW(K0, 4, 20), A_ADDIU(20, 20, 8),           /* */
	    A_MFC0(K0, CP0_Count), A_ADDU(K0, K0, 19), A_MTC0(K0, CP0_Compare),   /* a new deadline */
	    A_ADDIU(S0, S0, 1), A_ADDIU(K0, S0, -200), A_BEQ(K0, ZERO, 3), A_NOP, /* */
	    A_ERET, A_NOP, A_RESET);
	vm->vcpu->gs.reg[20] = DATA_VA;
	vm->vcpu->gs.reg[19] = 333;
	vm->vcpu->gs.cp0[CP0_Status] = ST_CU0 | ST_CU1 | ST_IE | 0x8000;
	vm->vcpu->gs.reg[T3] = 777;
	/* the first deadline */
	PUT(vm, CODE_VA, A_MTC0(T3, CP0_Compare), A_NOP);
}

/* Loops with loads, stores and calls. */
static void put_busy_loop(struct vm *vm)
{
	put_timer_handler(vm);
	PUT(vm, CODE_VA + 8, A_LUI(T0, 0x8018), A_ADDIU(T1, T1, 1),    /* loop: */
	    A_ANDI(T2, T1, 0xfc), A_ADDU(T2, T2, T0), A_LW(V0, 0, T2), /* */
	    A_ADDU(V0, V0, T1), A_SW(V0, 0, T2),                       /* */
	    A_ANDI(V1, T1, 3), A_BNE(V1, ZERO, -8), A_NOP,             /* */
	    A_JAL(CODE_VA + 0x100), A_ADDIU(A0, A0, 5),                /* */
	    A_BEQ(ZERO, ZERO, -12), A_ADDU(A1, A1, V0));
	PUT(vm, CODE_VA + 0x100, A_XOR(S0 + 1, S0 + 1, V0), A_JR(RA), A_ADDU(18, 18, A0));
}

Test(vmm_run_loop, interrupts_at_the_same_instruction, .timeout = 120) { same_on_all_tiers(put_busy_loop); }

/* More than a block of straight code, with device accesses, one of them in a delay slot; a device that skips time. */
static void put_device_code(struct vm *vm)
{
	uint32_t w[600], n = 0;

	put_timer_handler(vm);
	w[n++] = A_LUI(T0, 0xb800); /* ports */
	w[n++] = A_ORI(T1, ZERO, 0x0a);
	w[n++] = A_SB(T1, 0x70, T0); /* RTC register A, */
	for (unsigned i = 0; i < 90; i++) {
		w[n++] = A_ADDIU(V0, V0, 1);
		w[n++] = A_LBU(V1, 0x71, T0); /* polled: time skips to the next edge of UIP */
		w[n++] = A_ADDU(A0, A0, V1);
		w[n++] = i % 7 ? A_NOP : A_MFC0(A1, CP0_Count);
		w[n++] = A_XOR(18, 18, A1);
	}
	w[n++] = A_BEQ(ZERO, ZERO, 2);
	w[n++] = A_LBU(V1, 0x71, T0);
	w[n++] = A_NOP;
	w[n] = A_BEQ(ZERO, ZERO, (uint32_t) - (int)n - 1);
	n++;
	w[n++] = A_SB(T1, 0x70, T0);
	machine_put(vm, CODE_VA + 8, w, n);
}

Test(vmm_run_loop, device_accesses_at_the_same_instruction, .timeout = 120) { same_on_all_tiers(put_device_code); }

/* A loop that changes its own next instruction, by SW and by SC, and counts what it did. */
static void put_self_modifying(struct vm *vm)
{
	PUT(vm, CODE_VA, A_LUI(T0, 0x8000), A_ORI(T0, T0, 0x1040), A_LW(T1, 0, T0), A_ADDIU(T2, ZERO, 300),
	    A_BEQ(ZERO, ZERO, 11), A_NOP);
	PUT(vm, CODE_VA + 0x40, A_ADDIU(V0, V0, 1),                       /* patched: the number grows */
	    A_ADDIU(T1, T1, 1), A_SW(T1, 0, T0), A_LL(V1, 0x18, T0),      /* 44 */
	    A_ADDIU(V1, V1, 1), A_SC(V1, 0x18, T0), A_ADDIU(A0, A0, 0),   /* 50; 58 is patched by the SC before it */
	    A_ADDIU(T2, T2, -1), A_BNE(T2, ZERO, -9), A_ADDU(A1, A1, V1), /* 5c */
	    A_RESET);
}

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

/* Exceptions without end: a system call per round, and a TLB refill that maps the page that is asked for. */
static void put_exceptions(struct vm *vm)
{
	PUT(vm, 0x80000000, A_MFC0(K0, CP0_Context), A_ADDIU(S0, S0, 1), A_LUI(K0, 0), A_ORI(K0, K0, 0x4006),
	    A_MTC0(K0, CP0_EntryLo0), A_ORI(K0, ZERO, 0x4046), A_MTC0(K0, CP0_EntryLo1), A_TLBWR, A_ERET, A_NOP);
	PUT(vm, 0x80000180, A_MFC0(K0, CP0_EPC), A_ADDIU(K0, K0, 4), A_MTC0(K0, CP0_EPC), A_ADDIU(17, 17, 1), A_ERET);
	PUT(vm, CODE_VA, A_ORI(T2, ZERO, 500), A_LUI(T0, 0x40), 0x0000000c, A_LW(T1, 0, T0), A_ADDIU(T1, T1, 1),
	    A_SW(T1, 0, T0), A_ADDIU(T0, T0, 0x2000), A_ADDIU(T2, T2, -1), A_BNE(T2, ZERO, -7), A_NOP, A_RESET);
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
static void put_idle_timer(struct vm *vm)
{
	put_timer_handler(vm);
	PUT(vm, CODE_VA + 8, A_WAIT, A_BEQ(ZERO, ZERO, -2), A_NOP);
}

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
