/* SPDX-License-Identifier: MIT */
/*
 * What a debugger has a vCPU do (vmm/cpu/debug.h), without a debugger: stops, steps, watchpoints; and back again through many snapshots, where each
 * state is what it was (vmm/replay/reverse.h).
 */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "tests/unit/vmm_machine.h"
#include "vmm/cpu/debug.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/replay/history.h"
#include "vmm/replay/reverse.h"

enum { S1 = 17, S2 = 18, V_SYSCALL = 0x0000000c, V_ERET = 0x42000018, V_NOP = 0, ROUNDS = 400, MEMORIES = 5 };
#define LOOP_VA        (CODE_VA + 4)
#define STORE_VA       (CODE_VA + 8)
#define FAR_VA         (CODE_VA + 24)
#define CALL_VA        (CODE_VA + 28)
#define LEAF_VA        0x80002100u
#define VECTOR_VA      0x80000180u
#define A_SLL(d, t, n) R_TYPE(0, t, d, n, 0)

struct rig {
	struct monitor *mon;
	struct vm *vm;
	struct debug d;
	struct history *h;
	struct reverse *reverse;
	pthread_t thread;
};

static void notify(void *opaque) { (void)opaque; }

static void *run(void *arg)
{
	struct rig *r = arg;

	cr_assert_eq(vm_run(r->vm), VM_RESET);
	return NULL;
}

/* Each round: a word of page 0x100, one of another page, a call with a slot, a system call; then it resets the machine. */
static void load(struct vm *vm)
{
	PUT(vm, CODE_VA, A_LUI(S0, 0x8010), A_ADDIU(T0, T0, 1), A_SW(T0, 0, S0), A_ANDI(T1, T0, 0xff), A_SLL(T1, T1, 8),
	    A_ADDU(T1, T1, S0), A_SW(T0, 4, T1), A_JAL(LEAF_VA), A_ADDIU(T2, T2, 3), V_SYSCALL, A_BNE(T0, S2, -10),
	    V_NOP, A_RESET);
	PUT(vm, LEAF_VA, A_LW(T3, 0, S0), A_JR(RA), A_XOR(V0, V0, T3));
	PUT(vm, VECTOR_VA, A_MFC0(K0, CP0_EPC), A_ADDIU(K0, K0, 4), A_MTC0(K0, CP0_EPC), V_NOP, V_ERET);
	vm->vcpu->gs.reg[S2] = ROUNDS;
}

static struct rig *open_rig(enum tiers tiers, uint64_t interval)
{
	const struct monitor_config mc = {
	    .memory_bytes = MEMORIES * RAM_BYTES, .nodes = 1, .share = true, .repeatable = true};
	struct rig *r = calloc(1, sizeof(*r));

	cr_assert(r);
	cr_assert_eq(monitor_new(&r->mon, &mc), 0);
	r->vm = machine_open_in(r->mon, &(struct vm_config){.icount = true}, tiers);
	load(r->vm);
	debug_init(&r->d, notify, r);
	if (interval) {
		struct reverse_config cfg = {.interval = interval, .memory_bytes = mc.memory_bytes};

		cr_assert_eq(history_new(&r->h), 0);
		cr_assert_eq(history_boot(r->h, r->vm), 0);
		cfg.history = r->h;
		cr_assert_eq(reverse_new(&r->reverse, r->vm, &cfg), 0);
	}
	r->d.want_stop = true;
	r->vm->debug = &r->d;
	cr_assert_eq(pthread_create(&r->thread, NULL, run, r), 0);
	return r;
}

static void rest(struct rig *r)
{
	const struct timespec moment = {0, 20000};

	while (!debug_at_rest(&r->d, r->vm))
		nanosleep(&moment, NULL);
}

/* Until it stops; why. */
static enum debug_why go(struct rig *r, enum debug_go how)
{
	struct debug_vcpu *v = &r->vm->vcpu->debug;

	v->from = v->to = 0;
	v->began = false;
	__atomic_store_n(&v->why, DEBUG_NOTHING, __ATOMIC_RELAXED);
	__atomic_store_n(&v->go, (int)how, __ATOMIC_RELEASE);
	debug_go(&r->d, r->vm, how == DEBUG_STEP);
	rest(r);
	return (enum debug_why)__atomic_load_n(&v->why, __ATOMIC_ACQUIRE);
}

static enum debug_why back(struct rig *r, enum reverse_way way)
{
	reverse_ask(r->reverse, way);
	return go(r, DEBUG_RUN);
}

static void point(struct rig *r, enum debug_kind kind, uint32_t va, bool on)
{
	const struct debug_point p = {kind, va, 4};

	if (on)
		cr_assert_eq(debug_add(&r->d, r->vm, p), 0);
	else
		cr_assert(debug_remove(&r->d, r->vm, p));
}

static void put_hash(void *arg)
{
	struct rig *r = *(void **)arg;

	((uint64_t *)arg)[1] = vm_state_hash(r->vm);
}

static uint64_t state(struct rig *r)
{
	struct {
		struct rig *r;
		uint64_t hash;
	} of = {r, 0};

	debug_act(r->vm, put_hash, &of);
	return of.hash;
}

static uint32_t reg(const struct rig *r, unsigned n) { return (uint32_t)r->vm->vcpu->gs.reg[n]; }
static uint32_t pc(const struct rig *r) { return (uint32_t)r->vm->vcpu->gs.pc; }

/* It runs to its end. Returns the state there. */
static uint64_t close_rig(struct rig *r)
{
	uint64_t hash;

	debug_remove_all(&r->d, r->vm);
	__atomic_store_n(&r->vm->vcpu->debug.go, DEBUG_RUN, __ATOMIC_RELEASE);
	debug_join(r->vm, NULL);
	debug_go(&r->d, r->vm, false);
	pthread_join(r->thread, NULL);
	hash = vm_state_hash(r->vm);
	reverse_free(r->reverse);
	vm_free(r->vm);
	cr_assert_eq(history_free(r->h), 0);
	monitor_free(r->mon);
	debug_fini(&r->d);
	free(r);
	return hash;
}

static uint64_t undisturbed(void)
{
	struct rig *r = open_rig(TIERS_12, 0);

	rest(r);
	return close_rig(r);
}

/* To the next call of loop: off this one, as gdb does it. */
static void to_loop(struct rig *r)
{
	if (pc(r) == LOOP_VA) {
		point(r, DEBUG_SOFT, LOOP_VA, false);
		cr_assert_eq(go(r, DEBUG_STEP), DEBUG_STEPPED);
		point(r, DEBUG_SOFT, LOOP_VA, true);
	}
	cr_assert_eq(go(r, DEBUG_RUN), DEBUG_AT_POINT);
	cr_assert_eq(pc(r), LOOP_VA);
}

Test(vmm_debug, stops_steps_and_watches)
{
	for (enum tiers t = TIERS_INTERP; t < NUM_TIERS; t++) {
		struct rig *r = open_rig(t, 0);

		rest(r);
		cr_assert_eq(pc(r), CODE_VA);
		point(r, DEBUG_SOFT, LOOP_VA, true);
		for (unsigned i = 0; i < 3; i++) {
			to_loop(r);
			cr_assert_eq(reg(r, T0), i);
		}
		point(r, DEBUG_SOFT, LOOP_VA, false);
		/* a slot belongs to its branch: a breakpoint there is one of the branch, and both are one step */
		point(r, DEBUG_HARD, CALL_VA + 4, true);
		cr_assert_eq(go(r, DEBUG_RUN), DEBUG_AT_POINT);
		cr_assert_eq(pc(r), CALL_VA);
		cr_assert_eq(reg(r, T2), 2 * 3);
		point(r, DEBUG_HARD, CALL_VA + 4, false);
		cr_assert_eq(go(r, DEBUG_STEP), DEBUG_STEPPED);
		cr_assert_eq(pc(r), LEAF_VA);
		cr_assert_eq(reg(r, T2), 3 * 3);
		/* before the store, and before the load */
		point(r, DEBUG_WRITE, DATA_VA, true);
		cr_assert_eq(go(r, DEBUG_RUN), DEBUG_AT_POINT);
		cr_assert_eq(pc(r), STORE_VA);
		cr_assert_eq(r->vm->vcpu->debug.access, DATA_VA);
		cr_assert_eq(reg(r, T0), 4);
		cr_assert_eq(machine_word(r->vm, DATA_VA), 3);
		point(r, DEBUG_WRITE, DATA_VA, false);
		point(r, DEBUG_READ, DATA_VA, true);
		cr_assert_eq(go(r, DEBUG_RUN), DEBUG_AT_POINT);
		cr_assert_eq(pc(r), LEAF_VA);
		cr_assert_eq(machine_word(r->vm, DATA_VA), 4);
		cr_assert_eq(close_rig(r), undisturbed());
	}
}

Test(vmm_debug, what_is_no_point)
{
	struct rig *r = open_rig(TIERS_INTERP, 0);
	struct debug_point p = {DEBUG_SOFT, LOOP_VA + 2, 4};

	rest(r);
	cr_assert_eq(debug_add(&r->d, r->vm, p), -EINVAL);
	p = (struct debug_point){DEBUG_WRITE, 0xfffffff0u, 0x20};
	cr_assert_eq(debug_add(&r->d, r->vm, p), -EINVAL);
	p = (struct debug_point){DEBUG_WRITE, DATA_VA, 0};
	cr_assert_eq(debug_add(&r->d, r->vm, p), -EINVAL);
	p = (struct debug_point){DEBUG_KINDS, DATA_VA, 4};
	cr_assert_eq(debug_add(&r->d, r->vm, p), -EINVAL);
	p = (struct debug_point){DEBUG_WRITE, DATA_VA, 4};
	cr_assert_not(debug_remove(&r->d, r->vm, p));
	for (unsigned i = 0; i < DEBUG_MAX_POINTS; i++)
		point(r, DEBUG_HARD, DATA_VA + 4 * i, true);
	point(r, DEBUG_HARD, DATA_VA, true); /* it is there */
	p = (struct debug_point){DEBUG_HARD, DATA_VA - 4, 4};
	cr_assert_eq(debug_add(&r->d, r->vm, p), -ENOSPC);
	cr_assert_eq(close_rig(r), undisturbed());
}

/* The same at each call, on the way back, and forth again; with few snapshots, many, and more than are kept. */
Test(vmm_debug, back_by_breakpoints)
{
	enum { CALLS = 60 };
	static const uint64_t interval[] = {1000000, 200, 7};
	uint64_t seen[CALLS + 1], end = undisturbed();

	for (unsigned k = 0; k < ARRAY_LEN(interval); k++) {
		struct rig *r = open_rig(k == 1 ? TIERS_12 : TIERS_INTERP, interval[k]);

		rest(r);
		seen[0] = state(r);
		point(r, DEBUG_SOFT, LOOP_VA, true);
		for (unsigned i = 1; i <= CALLS; i++) {
			to_loop(r);
			seen[i] = state(r);
		}
		for (unsigned i = CALLS; --i;) {
			cr_assert_eq(back(r, REVERSE_RUN), DEBUG_AT_POINT);
			cr_assert_eq(reg(r, T0), i - 1);
			cr_assert_eq(state(r), seen[i], "call %u, interval %llu", i, (unsigned long long)interval[k]);
		}
		cr_assert_eq(back(r, REVERSE_RUN), DEBUG_AT_BEGIN);
		cr_assert_eq(state(r), seen[0]);
		cr_assert_eq(back(r, REVERSE_STEP), DEBUG_AT_BEGIN);
		for (unsigned i = 1; i <= CALLS; i++) {
			to_loop(r);
			cr_assert_eq(state(r), seen[i]);
		}
		cr_assert_eq(close_rig(r), end);
	}
}

Test(vmm_debug, back_by_steps)
{
	enum { STEPS = 150 };
	uint64_t seen[STEPS + 1], end = undisturbed();
	struct rig *r = open_rig(TIERS_12, 90);

	rest(r);
	point(r, DEBUG_SOFT, LOOP_VA, true);
	for (unsigned i = 0; i < 20; i++)
		to_loop(r);
	point(r, DEBUG_SOFT, LOOP_VA, false);
	for (unsigned i = 0; i <= STEPS; i++) {
		seen[i] = state(r);
		if (i < STEPS)
			cr_assert_eq(go(r, DEBUG_STEP), DEBUG_STEPPED);
	}
	for (unsigned i = STEPS; i--;) {
		cr_assert_eq(back(r, REVERSE_STEP), DEBUG_STEPPED);
		cr_assert_eq(state(r), seen[i], "step %u", i);
	}
	cr_assert_eq(close_rig(r), end);
}

/* To the last store of a word, many stores ago: behind it, and a step more is before it. */
Test(vmm_debug, back_to_a_store)
{
	const uint32_t word = DATA_VA + (37 << 8) + 4;
	uint64_t end = undisturbed();
	struct rig *r = open_rig(TIERS_12, 400);

	rest(r);
	point(r, DEBUG_HARD, CODE_VA + 12 * 4, true); /* behind the last round */
	cr_assert_eq(go(r, DEBUG_RUN), DEBUG_AT_POINT);
	point(r, DEBUG_HARD, CODE_VA + 12 * 4, false);
	point(r, DEBUG_WRITE, word, true);
	for (uint32_t round = 256 + 37; round < ROUNDS; round -= 256) {
		cr_assert_eq(back(r, REVERSE_RUN), DEBUG_AT_POINT);
		cr_assert_eq(r->vm->vcpu->debug.access, word);
		cr_assert_eq(pc(r), FAR_VA + 4);
		cr_assert_eq(reg(r, T0), round);
		cr_assert_eq(machine_word(r->vm, word), round);
		cr_assert_eq(back(r, REVERSE_STEP), DEBUG_STEPPED);
		cr_assert_eq(pc(r), FAR_VA);
		cr_assert_eq(machine_word(r->vm, word), round > 256 ? round - 256 : 0);
	}
	cr_assert_eq(back(r, REVERSE_RUN), DEBUG_AT_BEGIN);
	cr_assert_eq(close_rig(r), end);
}

static void change(void *arg)
{
	struct rig *r = arg;

	r->vm->vcpu->gs.reg[S1] = 0x1234;
	reverse_changed(r->reverse);
}

/* Who changes something in the past has another future, and can go back in that, up to the change. */
Test(vmm_debug, another_future)
{
	struct rig *r = open_rig(TIERS_12, 200);
	uint64_t before, changed, later;

	rest(r);
	point(r, DEBUG_SOFT, LOOP_VA, true);
	for (unsigned i = 0; i < 40; i++)
		to_loop(r);
	before = state(r);
	for (unsigned i = 0; i < 20; i++)
		cr_assert_eq(back(r, REVERSE_RUN), DEBUG_AT_POINT);
	debug_act(r->vm, change, r);
	changed = state(r);
	for (unsigned i = 0; i < 20; i++)
		to_loop(r);
	later = state(r);
	cr_assert_neq(later, before);
	for (unsigned i = 0; i < 20; i++)
		cr_assert_eq(back(r, REVERSE_RUN), DEBUG_AT_POINT);
	cr_assert_eq(state(r), changed);
	cr_assert_eq(back(r, REVERSE_RUN), DEBUG_AT_BEGIN); /* what was before the change is gone */
	cr_assert_eq(state(r), changed);
	for (unsigned i = 0; i < 20; i++)
		to_loop(r);
	cr_assert_eq(state(r), later);
	cr_assert_neq(close_rig(r), undisturbed());
}
