/* SPDX-License-Identifier: MIT */
/*
 * Eight machines on four processors under TSan: they compute, wait for their timers, are kicked by several threads at once, hold
 * their processor in a device, are watched, and are ended from outside.  What the guests compute is compared with the same in C.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frontend/cp0.h"
#include "tests/oracle/asm.h"
#include "vmm/boot/loader.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/vm.h"

enum { MACHINES = 8, PROCESSORS = 4, ROUNDS = 3, KICKS = 3000 };
enum { RAM_BYTES = 4 << 20, CODE_VA = 0x80001000, TURNS = 300 << 16 };
enum { ZERO = 0, AT = 1, V0 = 2, T0 = 8, T1 = 9, T2 = 10, S0 = 16, S1 = 17, K0 = 26 };
#define A_WAIT             0x42000020u
#define A_ADDU(rd, rs, rt) R_TYPE(rs, rt, rd, 0, 0x21)
#define A_SB(rt, o, rs)    I_TYPE(0x28, rs, rt, o)
#define A_RESET                                                                                                        \
	A_LUI(AT, 0xbf00), A_ORI(AT, AT, 0x500), A_ORI(K0, ZERO, 0x42), A_SW(K0, 0, AT), A_BEQ(ZERO, ZERO, -1), A_NOP

static int failed; /* atomic */

static void fail(const char *what, unsigned machine, unsigned long got)
{
	fprintf(stderr, "processors: machine %u: %s: %lu\n", machine, what, got);
	__atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
}

static void put(struct vm *vm, uint32_t va, const uint32_t *words, size_t bytes)
{
	if (pmap_write(vm->ram, gpa(va & 0x1fffffff), words, bytes))
		abort();
}
#define PUT(vm, va, ...) put(vm, va, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}))

/* ---- what the machines do ---- */

static void put_compute(struct vm *vm)
{
	PUT(vm, CODE_VA, A_LUI(T0, TURNS >> 16), A_LUI(S0, 0x8010), A_ADDU(V0, V0, T0), A_ANDI(T1, V0, 0xffc),
	    A_ADDU(T1, T1, S0), A_LW(T2, 0, T1), A_ADDU(T2, T2, V0), A_SW(T2, 0, T1), A_XOR(V0, V0, T2),
	    A_ADDIU(T0, T0, -1), A_BNE(T0, ZERO, -9), A_NOP, A_RESET);
}

static uint32_t computed(void)
{
	static uint32_t data[1024];
	uint32_t v = 0;

	memset(data, 0, sizeof(data));
	for (uint32_t n = TURNS; n; n--) {
		uint32_t *d;

		v += n;
		d = &data[(v & 0xffc) / 4];
		*d += v;
		v ^= *d;
	}
	return v;
}

/* 100 ticks of the timer, 2 ms apart, waited for. */
static void put_ticker(struct vm *vm)
{
	PUT(vm, 0x80000180, A_MFC0(K0, CP0_Count), A_ADDU(K0, K0, S0), A_MTC0(K0, CP0_Compare), A_ADDIU(S1, S1, 1),
	    A_ERET, A_NOP);
	PUT(vm, CODE_VA, A_LUI(S0, 3), A_MFC0(T0, CP0_Count), A_ADDU(T0, T0, S0), A_MTC0(T0, CP0_Compare), A_WAIT,
	    A_ADDIU(T1, S1, -100), A_BNE(T1, ZERO, -3), A_NOP, A_RESET);
	vm->vcpu->gs.cp0[CP0_Status] = ST_CU0 | ST_IE | 0x8000;
}

static void put_sleeper(struct vm *vm) { PUT(vm, CODE_VA, A_WAIT, A_BEQ(ZERO, ZERO, -2), A_NOP); }

/* Three characters to a console that takes its time. */
static void put_writer(struct vm *vm)
{
	PUT(vm, CODE_VA, A_LUI(T0, 0xb800), A_ORI(T1, ZERO, 'x'), A_SB(T1, 0x3f8, T0), A_SB(T1, 0x3f8, T0),
	    A_SB(T1, 0x3f8, T0), A_RESET);
}

static void (*const programs[MACHINES])(struct vm *vm) = {put_compute, put_compute, put_compute, put_compute,
							  put_compute, put_ticker,  put_writer,  put_sleeper};

static void slow_tx(void *opaque, const uint8_t *data, size_t n)
{
	const struct timespec ms120 = {.tv_nsec = 120000000};

	nanosleep(&ms120, NULL);
}

static void looked_around(void *opaque) { __atomic_add_fetch((unsigned *)opaque, 1, __ATOMIC_RELAXED); }

/* ---- the machines ---- */

struct job {
	struct monitor *mon;
	unsigned i, looks;
	uint32_t want;
	struct vm *vm;
	pthread_t thread;
};

static void make(struct job *job)
{
	struct vm_config cfg = {
	    .ram_bytes = RAM_BYTES,
	    .cpu = cpu_model_find("max"),
	    .count_insns = true,
	    .tier1 = true,
	    .tier2 = true,
	    .code_bytes = 16u << 20,
	    .hot_threshold = 50,
	    .shares = 50 + 50 * job->i,
	    .cap = job->i == 2 ? 50 : 0,
	    .input_fd = -1,
	    .console_tx = slow_tx,
	    .idle = looked_around,
	    .opaque = &job->looks,
	};
	size_t n;
	const struct loader_poke *poke = loader_yamon_pokes(&n);
	bool claimed;
	struct vm *vm;

	if (vm_new(&vm, job->mon, &cfg))
		abort();
	for (size_t i = 0; i < n; i++)
		board_write(vm->board, gpa(poke[i].pa), poke[i].value, 4, &claimed);
	vm->vcpu->gs.pc = CODE_VA;
	vm->vcpu->gs.cp0[CP0_Status] = ST_CU0;
	programs[job->i](vm);
	job->vm = vm;
}

static void *run(void *arg)
{
	struct job *job = arg;
	bool sleeps = programs[job->i] == put_sleeper;
	enum vm_end why = vm_run(job->vm);

	if (why != (sleeps ? VM_QUIT : VM_RESET))
		fail("end", job->i, why);
	if (programs[job->i] == put_compute && (uint32_t)job->vm->vcpu->gs.reg[V0] != job->want)
		fail("checksum", job->i, (unsigned long)job->vm->vcpu->gs.reg[V0]);
	return NULL;
}

static void *kick(void *arg)
{
	struct job *job = arg;

	for (unsigned i = 0; i < KICKS; i++) {
		clock_kick(job[i % MACHINES].vm->clock);
		(void)sched_used_ns(job[(i + 3) % MACHINES].vm->vcpu);
		if (i % 64 == 0)
			vm_interrupt(job[i / 64 % MACHINES].vm, SIGRTMIN);
	}
	return NULL;
}

static void round_of_all(struct monitor *mon, uint32_t want)
{
	struct job job[MACHINES];
	pthread_t kicker[2];

	for (unsigned i = 0; i < MACHINES; i++) {
		job[i] = (struct job){.mon = mon, .i = i, .want = want};
		make(&job[i]);
	}
	for (unsigned i = 0; i < MACHINES; i++)
		if (pthread_create(&job[i].thread, NULL, run, &job[i]))
			abort();
	for (unsigned i = 0; i < 2; i++)
		if (pthread_create(&kicker[i], NULL, kick, job))
			abort();
	for (unsigned i = 0; i < 2; i++)
		pthread_join(kicker[i], NULL);
	for (unsigned i = 0; i < MACHINES; i++) {
		if (programs[i] == put_sleeper)
			vm_end(job[i].vm, VM_QUIT);
		pthread_join(job[i].thread, NULL);
		if (programs[i] == put_sleeper && !job[i].looks)
			fail("never looked around", i, 0);
		vm_free(job[i].vm);
	}
}

static void nothing(int sig) {}

int main(void)
{
	struct sigaction act = {.sa_handler = nothing};
	uint32_t want = computed();
	struct monitor *mon;
	struct sched_counts counts;

	sigaction(SIGRTMIN, &act, NULL);
	if (monitor_new(&mon, &(struct monitor_config){
				  .memory_bytes = MACHINES * RAM_BYTES, .nodes = 2, .processors = PROCESSORS}))
		abort();
	for (unsigned i = 0; i < ROUNDS; i++)
		round_of_all(mon, want);
	sched_count(mon->sched, &counts);
	printf("processors: %u of %u started, %lu displaced\n", counts.started, counts.processors,
	       (unsigned long)counts.displaced);
	if (counts.started != PROCESSORS)
		fail("processors that ran something", 0, counts.started);
	monitor_free(mon);
	return failed;
}
