/* SPDX-License-Identifier: MIT */
/*
 * A vCPU that does not get on is seen, reported once and set going again: translated code that goes round (which takes a fault
 * that is put there on purpose), and a guest whose exception handler raises an exception itself.
 */
#include <time.h>

#include "jit/jit_internal.h"
#include "tests/unit/vmm_machine.h"
#include "vmm/cpu/run_loop.h"

struct seen {
	char text[4][240];
	unsigned n;
};

static void on_report(void *opaque, const char *text)
{
	struct seen *s = opaque;

	if (s->n < ARRAY_LEN(s->text))
		snprintf(s->text[s->n], sizeof(s->text[0]), "%s", text);
	s->n++;
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Counts in t0 down from 3; its way back is an indirect jump. The word at DATA_VA says how often it came round. */
static void put_loop(struct vm *vm)
{
	PUT(vm, CODE_VA, A_LUI(T1, CODE_VA >> 16), A_ORI(T1, T1, (CODE_VA & 0xffff) + 0x10), A_ORI(T0, ZERO, 3),
	    A_LUI(T2, DATA_VA >> 16), A_LW(T3, 0, T2), A_ADDIU(T3, T3, 1), A_SW(T3, 0, T2), A_ADDIU(T0, T0, -1),
	    A_BEQ(T0, ZERO, 2), A_NOP, A_JR(T1), A_NOP, A_RESET);
}

static void loop_round(struct vm *vm)
{
	struct jit *j = vm->vcpu->jit;
	uint64_t pc = CODE_VA + 0x10;

	/* the jump cache leads to a stub that asks the jump cache */
	j->jump_cache->e[jump_cache_index(pc)] =
	    (struct jump_cache_entry){JUMP_KEY(pc, vm->vcpu->gs.mode), j->cc->stubs.indirect_eax};
}

static void round_and_round(enum tiers tiers)
{
	struct seen s = {0};
	struct vm *vm = machine_open(&(struct vm_config){.report = on_report, .opaque = &s}, tiers);
	double from = seconds();

	put_loop(vm);
	loop_round(vm);
	cr_assert_eq(vm_run(vm), VM_RESET);
	cr_assert_eq(machine_word(vm, DATA_VA), 3u, "an instruction was lost or executed twice");
	cr_assert_geq(seconds() - from, 0.9, "it was not stuck, or not for long");
	cr_assert_eq(s.n, 1u, "%u reports: %s", s.n, s.text[0]);
	cr_assert(strstr(s.text[0], "pc 80001010") && strstr(s.text[0], "tier 1") && strstr(s.text[0], "exit indirect"),
		  "%s", s.text[0]);
	/* again: thrown out again, without a word */
	vm->end = VM_RUNS;
	vm->vcpu->gs.pc = CODE_VA;
	vcpu_update_mode(vm->vcpu);
	loop_round(vm);
	cr_assert_eq(vm_run(vm), VM_RESET);
	cr_assert_eq(machine_word(vm, DATA_VA), 6u);
	cr_assert_eq(s.n, 1u, "reported twice: %s", s.text[1]);
	vm_free_alone(vm);
}

Test(jit_watchdog, code_that_goes_round, .timeout = 60) { round_and_round(TIERS_1); }

/* What has work to do for seconds, or waits, is not stuck. */
Test(jit_watchdog, silent_while_it_works, .timeout = 60)
{
	struct seen s = {0};
	struct vm *vm = machine_open(&(struct vm_config){.report = on_report, .opaque = &s}, TIERS_12);
	double from = seconds();

	/* t0 times through an empty loop: some 2 s where an iteration takes 0.5 ns, and as long as it takes elsewhere */
	PUT(vm, CODE_VA, A_LUI(T0, 0xffff), A_ADDIU(T0, T0, -1), A_BNE(T0, ZERO, -2), A_NOP, A_RESET);
	cr_assert_eq(vm_run(vm), VM_RESET);
	cr_assert_eq(s.n, 0u, "%s after %.1f s", s.text[0], seconds() - from);
	vm_free_alone(vm);
}

static void end_soon(void *vm) { vm_end(vm, VM_QUIT); }

/* The general vector's first instruction is reserved; a machine that does that can still be ended. */
static void handler_that_raises(enum tiers tiers)
{
	struct seen s = {0};
	struct vm *vm = machine_open(&(struct vm_config){.report = on_report, .opaque = &s}, tiers);
	struct clock_ops clock = clock_as_ops(vm->clock);

	PUT(vm, 0x80000180, 0xfc000000);
	PUT(vm, CODE_VA, 0xfc000000);
	device_alarm(&clock, device_now_ns(&clock) + 3000000000ull, end_soon, vm);
	cr_assert_eq(vm_run(vm), VM_QUIT);
	cr_assert_eq(s.n, 1u, "%u reports: %s", s.n, s.text[0]);
	cr_assert(strstr(s.text[0], "80000180 raises exception 10"), "%s", s.text[0]);
	vm_free_alone(vm);
}

Test(jit_watchdog, handler_raises_interp, .timeout = 60) { handler_that_raises(TIERS_INTERP); }
Test(jit_watchdog, handler_raises_tier1, .timeout = 60) { handler_that_raises(TIERS_1); }
Test(jit_watchdog, handler_raises_tiers12, .timeout = 60) { handler_that_raises(TIERS_12); }

/* Somebody sets the poll flag after each time that it was looked at: the guest gets on all the same. */
static void kick(void *vm) { __atomic_store_n(&((struct vm *)vm)->vcpu->gs.poll, 1, __ATOMIC_RELAXED); }

static void always_kicked(enum tiers tiers)
{
	struct vm *vm = machine_open(&(struct vm_config){.idle = kick}, tiers);

	vm->cfg.opaque = vm;
	kick(vm);
	PUT(vm, CODE_VA, A_ORI(T0, ZERO, 2000), A_ADDIU(T0, T0, -1), A_BNE(T0, ZERO, -2), A_NOP, A_RESET);
	cr_assert_eq(vm_run(vm), VM_RESET);
	vm_free_alone(vm);
}

Test(jit_watchdog, kicked_tier1, .timeout = 60) { always_kicked(TIERS_1); }
Test(jit_watchdog, kicked_tier2, .timeout = 60) { always_kicked(TIERS_2); }
Test(jit_watchdog, kicked_tiers12, .timeout = 60) { always_kicked(TIERS_12); }
