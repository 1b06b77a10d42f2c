/* SPDX-License-Identifier: MIT */
/*
 * Many machines on few processors: guests that spin, with weights and caps; idle ones, and how soon they run when they are
 * wanted; processors that are held; turns of --icount.  Exact shares: vmm_sched_fair.c.
 *
 * What is compared is processor time, or instructions, against each other, never against the host's clock: the host is busy.
 */
#include "tests/unit/vmm_machine.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/host_clock.h"
#include "vmm/cpu/cp0.h"
#include "vmm/cpu/run_loop.h"

enum { MAX_MACHINES = 8, MS = 1000000 };

struct group {
	struct monitor *mon;
	unsigned n;
	struct vm *vm[MAX_MACHINES];
	pthread_t thread[MAX_MACHINES];
	enum vm_end why[MAX_MACHINES];
};

struct job {
	struct group *g;
	unsigned i;
};

static void open_group(struct group *g, const struct monitor_config *want)
{
	struct monitor_config cfg = *want;

	*g = (struct group){0};
	cfg.memory_bytes = MAX_MACHINES * RAM_BYTES;
	cfg.nodes = 1;
	cr_assert_eq(monitor_new(&g->mon, &cfg), 0);
}

static struct vm *add(struct group *g, const struct vm_config *want)
{
	struct vm_config cfg = *want;

	cfg.count_insns = true;
	cfg.number = g->n;
	return g->vm[g->n++] = machine_open_in(g->mon, &cfg, TIERS_1);
}

static void put_spinner(struct vm *vm) { PUT(vm, CODE_VA, A_ADDIU(T0, T0, 1), A_BEQ(ZERO, ZERO, -2), A_NOP); }
static void put_sleeper(struct vm *vm) { PUT(vm, CODE_VA, A_WAIT, A_BEQ(ZERO, ZERO, -2), A_ADDIU(T0, T0, 1)); }

static void *run_one(void *arg)
{
	struct job *job = arg;

	job->g->why[job->i] = vm_run(job->g->vm[job->i]);
	free(job);
	return NULL;
}

static void start(struct group *g)
{
	for (unsigned i = 0; i < g->n; i++) {
		struct job *job = malloc(sizeof(*job));

		*job = (struct job){g, i};
		cr_assert_eq(pthread_create(&g->thread[i], NULL, run_one, job), 0);
	}
}

static void end_all(struct group *g)
{
	for (unsigned i = 0; i < g->n; i++)
		vm_end(g->vm[i], VM_QUIT);
	for (unsigned i = 0; i < g->n; i++)
		pthread_join(g->thread[i], NULL);
}

static void close_group(struct group *g)
{
	for (unsigned i = 0; i < g->n; i++)
		vm_free(g->vm[i]);
	monitor_free(g->mon);
}

static uint64_t used_ns(const struct group *g, unsigned i) { return sched_used_ns(g->vm[i]->vcpu); }
static const struct sched_vcpu *seen(const struct group *g, unsigned i) { return &g->vm[i]->vcpu->sched; }

static uint64_t all_used_ns(const struct group *g)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < g->n; i++)
		all += used_ns(g, i);
	return all;
}

/* Until the guests have had so much processor time together. */
static void let_run(const struct group *g, uint64_t ms)
{
	uint64_t until = all_used_ns(g) + ms * MS;

	while (all_used_ns(g) < until)
		usleep(2000);
}

static uint64_t insns(const struct group *g, unsigned i) { return g->vm[i]->vcpu->gs.insns[TIER_1]; }

static struct sched_counts counts(const struct group *g)
{
	struct sched_counts c;

	sched_count(g->mon->sched, &c);
	return c;
}

/* ---- shares ---- */

/*
 * Real guests on real threads: each gets about its part of the processor time.  How exactly, vmm_sched_fair.c shows on a host whose
 * other work is known; this one may give a thread next to nothing for a while.
 */
static void share(unsigned n, unsigned processors, const unsigned *shares)
{
	unsigned weights = 0;
	struct group g;

	open_group(&g, &(struct monitor_config){.processors = processors});
	for (unsigned i = 0; i < n; i++) {
		put_spinner(add(&g, &(struct vm_config){.shares = shares ? shares[i] : 0}));
		weights += shares ? shares[i] : 1;
	}
	start(&g);
	let_run(&g, n * 300);
	for (unsigned i = 0; i < n; i++) {
		double part = (double)used_ns(&g, i) / (double)all_used_ns(&g);
		double want = (double)(shares ? shares[i] : 1) / weights;

		cr_assert(part > want / 2 && part < want * 2, "%u: %.4f, wanted %.4f", i, part, want);
		cr_assert_gt(insns(&g, i), 1000);
	}
	cr_assert_leq(counts(&g).running, processors + counts(&g).displaced);
	cr_assert_eq(counts(&g).running + counts(&g).queued, n);
	end_all(&g);
	for (unsigned i = 0; i < n; i++)
		cr_assert_eq(g.why[i], VM_QUIT);
	close_group(&g);
}

Test(vmm_sched, equal_4_on_1, .timeout = 120) { share(4, 1, NULL); }
Test(vmm_sched, equal_3_on_2, .timeout = 120) { share(3, 2, NULL); }
Test(vmm_sched, weights_on_1, .timeout = 120) { share(3, 1, (const unsigned[]){100, 200, 400}); }
Test(vmm_sched, weights_on_2, .timeout = 120) { share(4, 2, (const unsigned[]){100, 400, 400, 100}); }

/* ---- caps ---- */

Test(vmm_sched, a_cap_without_company, .timeout = 120)
{
	struct group g;
	uint64_t from, ns;

	open_group(&g, &(struct monitor_config){.processors = 2});
	put_spinner(add(&g, &(struct vm_config){.cap = 25}));
	from = host_now_ns();
	start(&g);
	let_run(&g, 400);
	ns = host_now_ns() - from;
	cr_assert_leq((double)used_ns(&g, 0) / (double)ns, 0.27, "of the host's time");
	cr_assert_gt(seen(&g, 0)->slices, 10);
	end_all(&g);
	close_group(&g);
}

/* What it may not have is somebody else's. */
Test(vmm_sched, a_cap_in_company, .timeout = 120)
{
	struct group g;
	uint64_t from, ns;

	open_group(&g, &(struct monitor_config){.processors = 1});
	put_spinner(add(&g, &(struct vm_config){.cap = 20}));
	put_spinner(add(&g, &(struct vm_config){0}));
	from = host_now_ns();
	start(&g);
	let_run(&g, 2000);
	ns = host_now_ns() - from;
	cr_assert_leq((double)used_ns(&g, 0) / (double)ns, 0.22);
	cr_assert_geq((double)used_ns(&g, 1) / (double)all_used_ns(&g), 0.48, "half at least, if the host is busy");
	cr_assert_gt(used_ns(&g, 0), 50 * MS);
	end_all(&g);
	close_group(&g);
}

/* ---- idle ones ---- */

static void wait_until_asleep(const struct group *g, unsigned i)
{
	while (__atomic_load_n(&seen(g, i)->state, __ATOMIC_ACQUIRE) != SCHED_WAITS)
		usleep(1000);
}

/* Nobody waits for its processor: it is not interrupted. */
Test(vmm_sched, one_busy_and_seven_idle, .timeout = 120)
{
	struct group g;
	uint64_t slices;

	open_group(&g, &(struct monitor_config){.processors = 1});
	for (unsigned i = 0; i < 7; i++)
		put_sleeper(add(&g, &(struct vm_config){0}));
	put_spinner(add(&g, &(struct vm_config){0}));
	start(&g);
	for (unsigned i = 0; i < 7; i++)
		wait_until_asleep(&g, i);
	let_run(&g, 30); /* a slice that began when somebody waited */
	slices = seen(&g, 7)->slices;
	let_run(&g, 500);
	cr_assert_eq(seen(&g, 7)->slices, slices);
	cr_assert_geq((double)used_ns(&g, 7) / (double)all_used_ns(&g), 0.97);
	end_all(&g);
	close_group(&g);
}

/* A guest's handler of the timer: asks for the next interrupt, `period` of Count later. */
static void put_ticker(struct vm *vm, uint32_t period)
{
	PUT(vm, 0x80000180, A_MFC0(K0, CP0_Count), A_ADDU(K0, K0, S0), A_MTC0(K0, CP0_Compare),
	    A_ADDIU(S0 + 1, S0 + 1, 1), A_ERET, A_NOP);
	PUT(vm, CODE_VA, A_MFC0(T0, CP0_Count), A_ADDU(T0, T0, S0), A_MTC0(T0, CP0_Compare), A_WAIT,
	    A_BEQ(ZERO, ZERO, -2), A_NOP);
	vm->vcpu->gs.reg[S0] = period;
	vm->vcpu->gs.cp0[CP0_Status] = ST_CU0 | ST_IE | 0x8000;
}

/* Idle guests with a timer of 250 Hz each have all their ticks, and the busy one all the rest. */
Test(vmm_sched, one_busy_and_seven_that_tick, .timeout = 120)
{
	struct group g;
	uint64_t ticks = 0, ns, from;

	open_group(&g, &(struct monitor_config){.processors = 1});
	for (unsigned i = 0; i < 7; i++)
		put_ticker(add(&g, &(struct vm_config){0}), 400000);
	put_spinner(add(&g, &(struct vm_config){0}));
	start(&g);
	from = host_now_ns();
	let_run(&g, 1000);
	ns = host_now_ns() - from;
	cr_assert_geq((double)used_ns(&g, 7) / (double)all_used_ns(&g), 0.9);
	end_all(&g);
	for (unsigned i = 0; i < 7; i++)
		ticks += g.vm[i]->vcpu->gs.reg[S0 + 1];
	cr_assert_gt(ticks, 7 * ns / (4 * MS) / 8, "even on the busiest of hosts");
	close_group(&g);
}

/* A guest that made system calls and makes none any more: its ticks come together, the more the longer it is so. */
Test(vmm_sched, ticks_of_an_idle_system, .timeout = 60)
{
	struct group g;
	struct vm *vm;
	uint64_t ticks, from;

	open_group(&g, &(struct monitor_config){.processors = 1});
	vm = add(&g, &(struct vm_config){0});
	put_ticker(vm, 400000);
	/* the handler: EPC += 4 after a system call, which Cause tells from a tick */
	PUT(vm, 0x80000180, A_MFC0(K0, CP0_Cause), A_ANDI(K0, K0, 0x7c), A_BEQ(K0, ZERO, 6), A_NOP, A_MFC0(K0, CP0_EPC),
	    A_ADDIU(K0, K0, 4), A_MTC0(K0, CP0_EPC), A_ADDIU(S0 + 2, S0 + 2, 1), A_ERET, A_MFC0(K0, CP0_Count),
	    A_ADDU(K0, K0, S0), A_MTC0(K0, CP0_Compare), A_ADDIU(S0 + 1, S0 + 1, 1), A_ERET, A_NOP);
	PUT(vm, CODE_VA, 0x0000000c /* SYSCALL */, A_MFC0(T0, CP0_Count), A_ADDU(T0, T0, S0), A_MTC0(T0, CP0_Compare),
	    A_WAIT, A_BEQ(ZERO, ZERO, -2), A_NOP);
	from = host_now_ns();
	start(&g);
	while (host_now_ns() - from < 3000 * (uint64_t)MS)
		usleep(1000);
	end_all(&g);
	ticks = vm->vcpu->gs.reg[S0 + 1];
	cr_assert_eq(vm->vcpu->gs.reg[S0 + 2], 1);
	cr_assert(ticks > 20 && ticks < 250, "%llu ticks of 750", (unsigned long long)ticks);
	close_group(&g);
}

static uint64_t process_ns(void) { return host_clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

Test(vmm_sched, idle_machines_cost_nothing, .timeout = 60)
{
	struct group g;
	uint64_t before;

	open_group(&g, &(struct monitor_config){.processors = 2});
	for (unsigned i = 0; i < MAX_MACHINES; i++)
		put_sleeper(add(&g, &(struct vm_config){0}));
	start(&g);
	for (unsigned i = 0; i < MAX_MACHINES; i++)
		wait_until_asleep(&g, i);
	usleep(200000); /* the last tick */
	before = process_ns();
	usleep(1000000);
	cr_assert_lt(process_ns() - before, 5 * MS, "half a percent of a processor");
	end_all(&g);
	close_group(&g);
}

/* ---- waking ---- */

struct bell {
	uint64_t rung; /* how often it was looked around */
	struct vm *busy[2];
	uint64_t at_ns; /* processor time that the busy ones had then */
};

static void ring(void *opaque)
{
	struct bell *b = opaque;

	if (b->busy[0])
		__atomic_store_n(&b->at_ns, sched_used_ns(b->busy[0]->vcpu) + sched_used_ns(b->busy[1]->vcpu),
				 __ATOMIC_RELAXED);
	__atomic_store_n(&b->rung, b->rung + 1, __ATOMIC_RELEASE);
}

static uint64_t rung(const struct bell *b) { return __atomic_load_n(&b->rung, __ATOMIC_ACQUIRE); }

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Who is woken while others spin does not wait for the end of a slice: hardly any of their time passes. */
Test(vmm_sched, waking_does_not_wait_for_a_slice, .timeout = 120)
{
	enum { ROUNDS = 60 };
	struct bell b = {0};
	uint64_t late[ROUNDS];
	struct group g;

	open_group(&g, &(struct monitor_config){.processors = 1});
	put_sleeper(add(&g, &(struct vm_config){.idle = ring, .opaque = &b}));
	for (unsigned i = 0; i < 2; i++)
		put_spinner(b.busy[i] = add(&g, &(struct vm_config){0}));
	start(&g);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t was, from;

		wait_until_asleep(&g, 0);
		let_run(&g, 7);
		wait_until_asleep(&g, 0);
		was = rung(&b);
		from = used_ns(&g, 1) + used_ns(&g, 2);
		clock_kick(g.vm[0]->clock);
		while (rung(&b) == was)
			;
		late[i] = __atomic_load_n(&b.at_ns, __ATOMIC_RELAXED) - from;
	}
	qsort(late, ROUNDS, sizeof(late[0]), by_size);
	cr_assert_lt(late[ROUNDS / 2], SCHED_SLICE_MS * MS / 40, "median %llu ns",
		     (unsigned long long)late[ROUNDS / 2]);
	end_all(&g);
	close_group(&g);
}

/* No wake-up is lost, whatever the vCPU was about to do. */
static void no_wakeup_is_lost(unsigned processors, unsigned spinners, unsigned rounds)
{
	struct bell b = {0};
	struct group g;

	open_group(&g, &(struct monitor_config){.processors = processors});
	put_sleeper(add(&g, &(struct vm_config){.idle = ring, .opaque = &b}));
	for (unsigned i = 0; i < spinners; i++)
		put_spinner(add(&g, &(struct vm_config){0}));
	start(&g);
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t was = rung(&b);

		clock_kick(g.vm[0]->clock);
		while (rung(&b) == was)
			;
	}
	end_all(&g);
	close_group(&g);
}

Test(vmm_sched, no_wakeup_of_an_idle_one_is_lost, .timeout = 120) { no_wakeup_is_lost(2, 0, 20000); }
Test(vmm_sched, no_wakeup_among_busy_ones_is_lost, .timeout = 120) { no_wakeup_is_lost(1, 2, 300); }

/* ---- where ---- */

/* As many as there are processors: each stays where it is. */
Test(vmm_sched, affinity, .timeout = 120)
{
	struct group g;

	open_group(&g, &(struct monitor_config){.processors = 2});
	for (unsigned i = 0; i < 2; i++)
		put_spinner(add(&g, &(struct vm_config){0}));
	start(&g);
	let_run(&g, 600);
	cr_assert_eq(counts(&g).running, 2);
	cr_assert_eq(seen(&g, 0)->moves + seen(&g, 1)->moves, 0);
	cr_assert_eq(seen(&g, 0)->slices + seen(&g, 1)->slices, 2, "and nothing interrupts it");
	end_all(&g);
	close_group(&g);
}

/* When a processor has nothing left, it takes what waits at another. */
Test(vmm_sched, an_idle_processor_steals, .timeout = 120)
{
	const struct processor *home[4];
	struct group g;

	open_group(&g, &(struct monitor_config){.processors = 2});
	for (unsigned i = 0; i < 4; i++)
		put_spinner(add(&g, &(struct vm_config){0}));
	start(&g);
	let_run(&g, 200);
	cr_assert_eq(counts(&g).queued, 2);
	/* two on each; those of one processor end, and it takes one of the other's */
	for (unsigned here = 0; here != 2;) {
		let_run(&g, 2);
		here = 0;
		for (unsigned i = 0; i < 4; i++) {
			home[i] = seen(&g, i)->on;
			here += home[i] == home[0];
		}
	}
	for (unsigned i = 0; i < 4; i++)
		if (home[i] == home[0])
			vm_end(g.vm[i], VM_QUIT);
	let_run(&g, 100);
	cr_assert_eq(counts(&g).running, 2);
	cr_assert_eq(counts(&g).queued, 0);
	end_all(&g);
	close_group(&g);
}

/* ---- processors that are held ---- */

static sem_t taken, may_go;

static void hold(void *opaque, const uint8_t *data, size_t n)
{
	sem_post(&taken);
	while (sem_wait(&may_go))
		;
}

/* A character to the console, then the end. */
static void put_writer(struct vm *vm)
{
	PUT(vm, CODE_VA, A_LUI(T0, 0xb800), A_ORI(T1, ZERO, 'x'), A_SB(T1, 0x3f8, T0), A_RESET);
}

/* A terminal that takes no output has its own machine wait for it, and nobody else, with one processor for all. */
Test(vmm_sched, a_device_that_waits_holds_its_own_machine_only, .timeout = 60)
{
	struct group g;

	sem_init(&taken, 0, 0);
	sem_init(&may_go, 0, 0);
	open_group(&g, &(struct monitor_config){.processors = 1});
	put_writer(add(&g, &(struct vm_config){.console_tx = hold}));
	put_spinner(add(&g, &(struct vm_config){0}));
	put_spinner(add(&g, &(struct vm_config){0}));
	start(&g);
	while (sem_wait(&taken))
		;
	let_run(&g, 500);
	cr_assert_gt(used_ns(&g, 1), 150 * MS);
	cr_assert_gt(used_ns(&g, 2), 150 * MS);
	cr_assert_eq(counts(&g).displaced, 1);
	sem_post(&may_go);
	pthread_join(g.thread[0], NULL);
	cr_assert_eq(g.why[0], VM_RESET);
	let_run(&g, 200);
	cr_assert_eq(counts(&g).running, 1, "one processor again");
	g.thread[0] = g.thread[2]; /* joined below */
	vm_end(g.vm[1], VM_QUIT);
	vm_end(g.vm[2], VM_QUIT);
	pthread_join(g.thread[1], NULL);
	pthread_join(g.thread[2], NULL);
	close_group(&g);
}

static void pause_it(void *opaque, const uint8_t *data, size_t n)
{
	vm_pause(*(struct vm **)opaque);
	sem_post(&taken);
}

Test(vmm_sched, a_paused_machine_holds_no_processor, .timeout = 60)
{
	struct vm *self;
	struct group g;

	sem_init(&taken, 0, 0);
	open_group(&g, &(struct monitor_config){.processors = 1});
	self = add(&g, &(struct vm_config){.console_tx = pause_it, .opaque = &self});
	/* a loop, where it is seen that the machine is paused */
	PUT(self, CODE_VA, A_LUI(T0, 0xb800), A_ORI(T1, ZERO, 'x'), A_SB(T1, 0x3f8, T0), A_BEQ(ZERO, ZERO, -1), A_NOP);
	put_spinner(add(&g, &(struct vm_config){0}));
	start(&g);
	while (sem_wait(&taken))
		;
	wait_until_asleep(&g, 0);
	let_run(&g, 200);
	cr_assert_eq(counts(&g).displaced, 0);
	end_all(&g);
	cr_assert_eq(g.why[0], VM_QUIT);
	close_group(&g);
}

/* ---- turns ---- */

/* Writes its letter to the console now and then, and sleeps or computes in between, each machine at a rate of its own. */
static void put_letters(struct vm *vm, unsigned i)
{
	put_ticker(vm, 7000 + 1000 * i);
	PUT(vm, CODE_VA, A_LUI(A0, 0xb800), A_ORI(A1, ZERO, 'a' + i), A_ORI(T2, ZERO, 300), A_MFC0(T0, CP0_Count),
	    A_ADDU(T0, T0, S0), A_MTC0(T0, CP0_Compare),                                                   /* */
	    A_ORI(T1, ZERO, 5000 + 700 * i), A_ADDIU(T1, T1, -1), A_BNE(T1, ZERO, -2), A_ADDU(V0, V0, T2), /* */
	    i & 1 ? A_WAIT : A_NOP, A_SB(A1, 0x3f8, A0), A_ADDIU(T2, T2, -1), A_BNE(T2, ZERO, -8), A_NOP, A_RESET);
}

struct book {
	unsigned n;
	char text[4 * 300 + 1];
};

static void write_down(void *opaque, const uint8_t *data, size_t n)
{
	struct book *b = opaque;

	for (size_t i = 0; i < n && b->n < sizeof(b->text) - 1; i++)
		b->text[b->n++] = (char)data[i];
}

static void run_letters(struct book *b, uint64_t *hash, unsigned n, unsigned only)
{
	struct monitor_config mc = {.repeatable = true, .together = n, .processors = 4};
	struct group g;

	*b = (struct book){0};
	open_group(&g, &mc);
	cr_assert_eq(counts(&g).processors, 1);
	for (unsigned i = 0; i < n; i++)
		put_letters(add(&g, &(struct vm_config){.icount = true, .console_tx = write_down, .opaque = b}),
			    n == 1 ? only : i);
	start(&g);
	for (unsigned i = 0; i < n; i++) {
		pthread_join(g.thread[i], NULL);
		cr_assert_eq(g.why[i], VM_RESET);
		hash[i] = vm_state_hash(g.vm[i]);
	}
	close_group(&g);
}

/* Four machines: equal states, and what they did came in the same order; and each is as if it were alone. */
Test(vmm_sched, turns_repeat, .timeout = 120)
{
	static struct book b[2];
	uint64_t hash[2][4], alone;
	unsigned changes = 0;

	for (unsigned k = 0; k < 2; k++)
		run_letters(&b[k], hash[k], 4, 0);
	cr_assert_eq(b[0].n, 4 * 300);
	cr_assert_arr_eq(b[0].text, b[1].text, 4 * 300);
	for (unsigned i = 1; i < b[0].n; i++)
		changes += b[0].text[i] != b[0].text[i - 1];
	cr_assert_gt(changes, 20, "they had no turns: %s", b[0].text);
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(hash[0][i], hash[1][i]);
		run_letters(&b[1], &alone, 1, i);
		cr_assert_eq(alone, hash[0][i], "machine %u", i);
	}
}

/* A machine that runs without end gives way to one that comes later. */
Test(vmm_sched, a_late_machine_has_its_turn, .timeout = 60)
{
	struct group g, late;

	open_group(&g, &(struct monitor_config){.repeatable = true});
	put_spinner(add(&g, &(struct vm_config){.icount = true}));
	start(&g);
	let_run(&g, 50);
	late = (struct group){.mon = g.mon};
	PUT(add(&late, &(struct vm_config){.icount = true}), CODE_VA, A_RESET);
	start(&late);
	pthread_join(late.thread[0], NULL);
	cr_assert_eq(late.why[0], VM_RESET);
	vm_free(late.vm[0]);
	end_all(&g);
	close_group(&g);
}
