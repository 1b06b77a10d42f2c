/* SPDX-License-Identifier: MIT */
/*
 * --numa flash: machines on the simulated FLASH.  Its time is the same on all tiers and in every run, to the cycle; and hot pages go where the policy
 * says, when the counters say so.
 */
#include <pthread.h>
#include <string.h>

#include "numa/share.h"
#include "tests/unit/vmm_programs.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/monitor/audit.h"
#include "vmm/monitor/simulation.h"

enum { MACHINES = 3, DECISIONS = 64 };

struct world {
	struct monitor *mon;
	struct vm *vm[MACHINES];
	unsigned n;
	struct simulation_decision decision[DECISIONS];
	uint32_t misses[DECISIONS]; /* of the processor that missed */
	unsigned n_decisions;
};

static void on_decision(void *opaque, const struct simulation_decision *d)
{
	struct world *w = opaque;

	if (w->n_decisions == DECISIONS)
		return;
	w->misses[w->n_decisions] = d->misses[d->cpu];
	w->decision[w->n_decisions++] = *d;
}

static void make(struct world *w, const char *settings, unsigned machines, enum tiers t, bool big_endian)
{
	struct monitor_config cfg = {.share = machines > 1, .simulated = true, .together = machines};
	struct numa_config numa;
	struct options_error err;

	*w = (struct world){.n = machines};
	numa_config_default(&numa);
	cr_assert_eq(numa_config_parse(&numa, numa_config_rows, "--numa", settings, &err), 0, "%s", err.text);
	cfg.numa = &numa;
	cfg.nodes = numa.nodes;
	cfg.memory_bytes = numa.memory;
	cr_assert_eq(monitor_new(&w->mon, &cfg), 0);
	simulation_on_decision(w->mon->simulation, on_decision, w);
	for (unsigned i = 0; i < machines; i++)
		w->vm[i] = machine_open_in(w->mon, &(struct vm_config){.big_endian = big_endian, .number = i}, t);
}

static void done(struct world *w)
{
	struct monitor_audit a;

	monitor_audit(w->mon, &a);
	cr_expect_eq(a.errors, 0, "%s", a.first);
	for (unsigned i = 0; i < w->n; i++)
		vm_free(w->vm[i]);
	monitor_free(w->mon);
}

/* ---- time ---- */

struct end_state {
	uint64_t hash, insns, cycles;
	struct flash_stats stats;
};

/* Caches so small that these programs miss in them. */
#define SMALL "nodes=2,memory=8M,l1=1K,l2=2K,l1-ways=1"

static struct end_state run(put_fn *put, const char *settings, enum tiers t, bool big_endian)
{
	struct world w;
	struct end_state s;

	make(&w, settings, 1, t, big_endian);
	put(w.vm[0]);
	cr_assert_eq(vm_run(w.vm[0]), VM_RESET, "tiers %s", tier_names[t]);
	s = (struct end_state){vm_state_hash(w.vm[0]), clock_insns(w.vm[0]->clock),
			       simulation_cycles(w.mon->simulation), simulation_totals(w.mon->simulation)};
	done(&w);
	return s;
}

static void expect_same(const struct end_state *got, const struct end_state *want, const char *what)
{
	cr_expect_eq(got->insns, want->insns, "%s: %llu instructions, not %llu", what, (unsigned long long)got->insns,
		     (unsigned long long)want->insns);
	cr_expect_eq(got->cycles, want->cycles, "%s: %llu cycles, not %llu", what, (unsigned long long)got->cycles,
		     (unsigned long long)want->cycles);
	cr_expect_eq(got->hash, want->hash, "%s: the state", what);
	cr_expect_eq(memcmp(&got->stats, &want->stats, sizeof(got->stats)), 0, "%s: the counters", what);
}

/* ways: so many of the settings below; most: the last tiers that it is run on. */
static void same_on_all_tiers(put_fn *put, unsigned ways, enum tiers most)
{
	static const char *const settings[] = {SMALL ",line=16", SMALL, "nodes=8,memory=8M"};

	for (unsigned i = 0; i < ways; i++) {
		struct end_state want = run(put, settings[i], TIERS_INTERP, i & 1);

		cr_assert_gt(want.insns, 100);
		cr_assert_geq(want.stats.local, 2);
		cr_expect_gt(want.cycles, want.insns + want.stats.local_stall / 2, "misses take time");
		for (enum tiers t = TIERS_1; t <= most; t++) {
			struct end_state got = run(put, settings[i], t, i & 1);

			expect_same(&got, &want, tier_names[t]);
		}
	}
}

Test(simulation, interrupts_at_the_same_cycle, .timeout = 120) { same_on_all_tiers(put_busy_loop, 3, TIERS_12); }
Test(simulation, device_accesses_at_the_same_cycle, .timeout = 120) { same_on_all_tiers(put_device_code, 1, TIERS_1); }
/* LLVM would compile it at each store */
Test(simulation, self_modifying_code, .timeout = 120) { same_on_all_tiers(put_self_modifying, 3, TIERS_1); }
Test(simulation, exceptions_and_refills, .timeout = 120) { same_on_all_tiers(put_exceptions, 3, TIERS_12); }
Test(simulation, idle_time, .timeout = 120) { same_on_all_tiers(put_idle_timer, 3, TIERS_12); }

/* ---- pages ---- */

enum { LINES = PAGE_BYTES / 128, DATA_GPN = (DATA_VA & 0x1fffffff) >> PAGE_SHIFT };

/* Guest memory that is on a node already. */
static void place(struct vm *vm, uint32_t va, unsigned node)
{
	int err;

	cr_assert_not_null(pmap_get(vm->ram, gpa(va & 0x1fffffff), node, PMAP_WRITE, &err));
}

static const struct machine_page *page_at(struct vm *vm, uint32_t va)
{
	return pmap_peek(vm->ram, gpa(va & 0x1fffffff));
}

/* Reads (op LW) or writes (op SW) each line of the page at DATA_VA so many times. */
static void put_walk(struct vm *vm, uint32_t op, unsigned rounds)
{
	PUT(vm, CODE_VA, A_LUI(T0, DATA_VA >> 16), A_ORI(T2, ZERO, rounds),       /* */
	    A_ORI(T1, ZERO, 0),                                                   /* round: */
	    A_ADDU(T3, T0, T1), op, A_ADDIU(T1, T1, 128), A_ANDI(V1, T1, 0x1000), /* line: */
	    A_BEQ(V1, ZERO, -5), A_NOP, A_ADDIU(T2, T2, -1), A_BNE(T2, ZERO, -9), A_NOP, A_RESET);
}

/* 4 KiB through caches of 1 KiB: each line misses. */
#define WALK "nodes=4,memory=8M,l1=1K,l2=1K,l1-ways=1,l2-ways=1"

Test(simulation, a_page_comes_at_the_trigger, .timeout = 120)
{
	for (enum tiers t = 0; t < NUM_TIERS; t++) {
		struct world w;
		struct flash_stats s;

		make(&w, WALK ",trigger=70", 1, t, false);
		place(w.vm[0], DATA_VA, 3);
		put_walk(w.vm[0], A_LW(V0, 0, T3), 200);
		cr_assert_eq(vm_run(w.vm[0]), VM_RESET);
		cr_assert_eq(w.n_decisions, 1, "tiers %s: %u", tier_names[t], w.n_decisions);
		cr_expect_eq(w.misses[0], 70, "not before, and not later");
		cr_expect_eq(w.decision[0].policy.action, POLICY_MIGRATE);
		cr_expect_eq(w.decision[0].from, 3);
		cr_expect_eq(w.decision[0].node, 0);
		cr_expect_eq(w.decision[0].err, 0);
		cr_expect_eq(w.decision[0].gpn, (DATA_VA & 0x1fffffff) >> PAGE_SHIFT);
		cr_expect_eq(page_at(w.vm[0], DATA_VA)->node, 0);
		s = simulation_totals(w.mon->simulation);
		cr_expect_leq(s.remote, 70 + LINES, "the trigger, and the lines that were copied: %llu",
			      (unsigned long long)s.remote);
		cr_expect_geq(s.local, 200 * LINES - 70);
		/* as the paper's take: 57 to 102 us */
		cr_expect_gt(w.decision[0].cost, 40 * 400);
		cr_expect_lt(w.decision[0].cost, 110 * 400);
		cr_expect_eq(simulation_counts(w.mon->simulation).migrated, 1);
		done(&w);
	}
}

/* Code too: instruction fetches count, and what runs is where it was. */
Test(simulation, code_comes_at_the_trigger, .timeout = 120)
{
	for (enum tiers t = 0; t < NUM_TIERS; t++) {
		struct world w;
		static const uint32_t last[] = {A_ADDIU(T2, T2, -1),   A_BEQ(T2, ZERO, 5), A_NOP, A_LUI(T0, 0x8000),
						A_ORI(T0, T0, 0x1000), A_JR(T0),           A_NOP, A_RESET};
		uint32_t words[900 + ARRAY_LEN(last)];

		make(&w, WALK ",trigger=70", 1, t, false);
		place(w.vm[0], CODE_VA, 2);
		for (unsigned i = 0; i < 900; i++)
			words[i] = A_ADDIU(V0, V0, 1);
		memcpy(&words[900], last, sizeof(last));
		machine_put(w.vm[0], CODE_VA, words, ARRAY_LEN(words));
		w.vm[0]->vcpu->gs.reg[T2] = 40;
		cr_assert_eq(vm_run(w.vm[0]), VM_RESET);
		cr_expect_eq(w.vm[0]->vcpu->gs.reg[V0], 40 * 900, "tiers %s", tier_names[t]);
		cr_assert_eq(w.n_decisions, 1, "tiers %s: %u", tier_names[t], w.n_decisions);
		cr_expect_eq(w.misses[0], 70);
		cr_expect_eq(page_at(w.vm[0], CODE_VA)->node, 0);
		done(&w);
	}
}

static void *run_one(void *vm) { return (void *)(intptr_t)vm_run(vm); /* NOLINT */ }

static void run_all(struct world *w)
{
	pthread_t thread[MACHINES];
	void *end;

	for (unsigned i = 1; i < w->n; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, run_one, w->vm[i]), 0);
	cr_assert_eq(vm_run(w->vm[0]), VM_RESET);
	for (unsigned i = 1; i < w->n; i++) {
		pthread_join(thread[i], &end);
		cr_assert_eq((intptr_t)end, VM_RESET);
	}
}

/* What two machines share and read is copied to the second one's node; the first one's copy stays. */
Test(simulation, a_shared_page_is_copied, .timeout = 120)
{
	struct world w;
	struct flash_stats s;

	make(&w, WALK ",trigger=70", 2, TIERS_12, false);
	for (unsigned i = 0; i < 2; i++) {
		put_walk(w.vm[i], A_LW(V0, 0, T3), 400);
		PUT(w.vm[i], DATA_VA, 17, 18, 19);
		pmap_share_equal(w.vm[i]->ram, gpa(DATA_VA & 0x1fffffff), PAGE_BYTES);
	}
	cr_assert_eq(page_at(w.vm[0], DATA_VA), page_at(w.vm[1], DATA_VA));
	run_all(&w);
	cr_expect_eq(page_at(w.vm[0], DATA_VA)->node, 0);
	cr_expect_eq(page_at(w.vm[1], DATA_VA)->node, 1);
	cr_expect_eq(simulation_counts(w.mon->simulation).replicated, 1);
	for (unsigned i = 0; i < w.n_decisions; i++)
		cr_expect(w.decision[i].policy.action != POLICY_REPLICATE || w.misses[i] == 70);
	s = simulation_totals(w.mon->simulation);
	cr_expect_gt(s.local * 100, (s.local + s.remote) * 95, "%llu local, %llu remote", (unsigned long long)s.local,
		     (unsigned long long)s.remote);
	done(&w);
}

/*
 * Three machines on two processors of two nodes.  When the one that has the second to itself is done, one of those that share the first comes to
 * it, and its pages follow.
 */
Test(simulation, a_machine_moves_and_its_pages_follow, .timeout = 120)
{
	uint64_t cycles = 0;

	for (enum tiers t = 0; t < NUM_TIERS; t++) {
		struct world w;
		unsigned moved, n;

		make(&w, "nodes=2,memory=32M,l1=1K,l2=1K,l1-ways=1,l2-ways=1,trigger=70", 3, t, false);
		for (unsigned i = 0; i < 3; i++) {
			place(w.vm[i], DATA_VA, i & 1);
			put_walk(w.vm[i], A_LW(V0, 0, T3), i == 1 ? 100 : 4000);
			cr_assert_eq(w.vm[i]->vcpu->node, i & 1);
		}
		run_all(&w);
		moved = w.vm[2]->vcpu->node ? 2 : 0;
		cr_expect_eq(w.vm[moved]->vcpu->node, 1, "tiers %s", tier_names[t]);
		cr_expect_eq(w.vm[2 - moved]->vcpu->node, 0);
		cr_expect_eq(w.vm[moved]->vcpu->sched.moves, 1);
		cr_expect_eq(page_at(w.vm[moved], DATA_VA)->node, 1, "it follows");
		cr_expect_eq(page_at(w.vm[2 - moved], DATA_VA)->node, 0);
		for (n = 0; n < w.n_decisions; n++)
			if (w.decision[n].vm == w.vm[moved] && w.decision[n].gpn == DATA_GPN)
				break;
		cr_assert_lt(n, w.n_decisions);
		cr_expect_eq(w.decision[n].from, 0);
		cr_expect_eq(w.decision[n].node, 1);
		cr_expect_eq(w.misses[n], 70);
		cr_expect(!t || simulation_cycles(w.mon->simulation) == cycles, "the same on all tiers");
		cycles = simulation_cycles(w.mon->simulation);
		done(&w);
	}
}

/*
 * A vCPU that has the machine to itself is not stopped at each turn's end.  Nothing follows from that: it misses at the same cycles, in the same
 * intervals, as beside one that sleeps.
 */
Test(simulation, alone_as_in_company, .timeout = 120)
{
	struct world w[2];

	for (unsigned i = 0; i < 2; i++) {
		make(&w[i], WALK ",trigger=40,interval-us=50,migrate=off", 1 + i, TIERS_12, false);
		place(w[i].vm[0], DATA_VA, 3);
		put_walk(w[i].vm[0], A_LW(V0, 0, T3), 600);
		if (i) {
			for (unsigned n = 0; n < 64; n++) /* so that it is in nobody's way */
				place(w[i].vm[1], n * PAGE_BYTES, 1);
			put_idle_timer(w[i].vm[1]);
		}
		run_all(&w[i]);
	}
	cr_expect_gt(w[0].n_decisions, 20, "%u", w[0].n_decisions);
	for (unsigned i = 0; i < w[0].n_decisions; i++) {
		cr_assert_eq(w[1].decision[i].vm, w[1].vm[0]);
		cr_expect_eq(w[0].decision[i].cycles, w[1].decision[i].cycles, "%u: %llu, and %llu beside another", i,
			     (unsigned long long)w[0].decision[i].cycles, (unsigned long long)w[1].decision[i].cycles);
		cr_expect_eq(w[0].decision[i].interval, w[1].decision[i].interval, "%u", i);
	}
	done(&w[0]);
	done(&w[1]);
}
