/* SPDX-License-Identifier: MIT */
/*
 * Who gets how much: the scheduler on a host of our own, whose CPUs, other work and time are simulated.  So a share is the same
 * number in each run, however busy the host of the test is.  Threads, waking and real guests: vmm_sched.c.
 */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/types.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/sched_internal.h"

enum { MAX_VCPUS = 64, MAX_THREADS = 64, MAX_CPUS = 8 };

#define STEP_NS (MS / 10)
/* A thread keeps its CPU for so long, as far as the host is concerned. */
#define HOST_SLICE_NS (3 * MS)

/* A thread of the host: a runner of the scheduler, or somebody else's that never sleeps. */
struct thread {
	struct runner *r;
	struct vcpu *v; /* whose slice it runs */
	uint64_t cpu_ns, since_ns;
	unsigned cpu; /* the only one that may run it */
	bool awake, on_cpu;
};

/* What a guest does: work_ns of work, sleep_ns of sleep, and again. */
struct guest {
	struct vcpu v;              /* first: a vCPU is its guest */
	uint64_t work_ns, sleep_ns; /* sleep_ns 0: it never sleeps */
	uint64_t left_ns, wakes_ns;
	bool asleep;
};

struct sim {
	struct sched_host host;
	struct sched *s;
	uint64_t now_ns, tick_ns;
	unsigned cpus, n_threads, n;
	bool pinned; /* each thread has its CPU: the host does not balance */
	struct thread thread[MAX_THREADS];
	struct guest *guest[MAX_VCPUS];
};

/* ---- the host ---- */

static struct sim *sim_of(const struct sched_host *h) { return (struct sim *)h; }

static struct thread *thread_of(struct sim *m, const struct runner *r)
{
	unsigned i;

	for (i = 0; i < m->n_threads && m->thread[i].r != r; i++)
		;
	cr_assert_lt(i, m->n_threads, "a runner that was never started");
	return &m->thread[i];
}

static struct thread *add_thread(struct sim *m, struct runner *r)
{
	struct thread *t = &m->thread[m->n_threads];

	cr_assert_lt(m->n_threads, MAX_THREADS);
	*t = (struct thread){.r = r, .cpu = m->n_threads++ % m->cpus, .awake = true};
	return t;
}

static uint64_t now_ns(const struct sched_host *h) { return sim_of(h)->now_ns; }
static uint64_t cpu_ns(const struct sched_host *h, const struct runner *r) { return thread_of(sim_of(h), r)->cpu_ns; }
static void wake(const struct sched_host *h, struct runner *r) { thread_of(sim_of(h), r)->awake = true; }
static void join(const struct sched_host *h, struct runner *r) {}
static bool is_runnable(const struct sched_host *h, const struct runner *r) { return thread_of(sim_of(h), r)->awake; }
static void tick_at(const struct sched_host *h, struct sched *s, uint64_t at_ns) { sim_of(h)->tick_ns = at_ns; }

static int start(const struct sched_host *h, struct runner *r)
{
	add_thread(sim_of(h), r);
	return 0;
}

/* Of those that may run on this CPU the one that had least, but a running one has its slice. */
static struct thread *choose(struct sim *m, unsigned cpu)
{
	struct thread *best = NULL;

	for (unsigned i = 0; i < m->n_threads; i++) {
		struct thread *t = &m->thread[i];

		if (!t->awake || t->on_cpu || (m->pinned && t->cpu != cpu))
			continue;
		if (t->cpu == cpu && m->now_ns - t->since_ns < HOST_SLICE_NS)
			return t;
		if (!best || t->cpu_ns < best->cpu_ns)
			best = t;
	}
	if (best) {
		best->cpu = cpu;
		best->since_ns = m->now_ns;
	}
	return best;
}

/* ---- guests on its threads ---- */

/* What run_loop_slice() does of a step: work, and then how the slice ends if it does. */
static enum run_slice work(struct sim *m, struct guest *g)
{
	g->left_ns -= g->sleep_ns ? STEP_NS : 0;
	if (g->sleep_ns && !g->left_ns) {
		g->left_ns = g->work_ns;
		g->asleep = true;
		g->wakes_ns = m->now_ns + g->sleep_ns;
		g->v.gs.poll = 0;
		return SLICE_IDLE;
	}
	return g->v.sched.yield ? SLICE_OVER : RUN_ON;
}

static void step_thread(struct sim *m, struct thread *t)
{
	enum run_slice why;

	t->cpu_ns += STEP_NS;
	if (!t->r) /* somebody else's */
		return;
	if (t->v) {
		why = work(m, (struct guest *)t->v);
		if (why == RUN_ON)
			return;
		sched_end(m->s, t->r, t->v, why);
		t->v = NULL;
	}
	if (t->r->processor)
		t->v = sched_pick(m->s, t->r->processor);
	if (t->v) {
		sched_begin(m->s, t->r, t->v);
		return;
	}
	if (t->r->processor)
		t->r->processor->idle = true;
	t->awake = false;
}

static void step(struct sim *m)
{
	struct thread *on[MAX_CPUS];

	for (unsigned c = 0; c < m->cpus; c++) {
		on[c] = choose(m, c);
		if (on[c])
			on[c]->on_cpu = true;
	}
	m->now_ns += STEP_NS;
	for (unsigned i = 0; i < m->n; i++) {
		struct guest *g = m->guest[i];

		if (g->asleep && g->wakes_ns <= m->now_ns) {
			g->asleep = false;
			sched_kick(&g->v);
		}
	}
	pthread_mutex_lock(&m->s->lock);
	for (unsigned c = 0; c < m->cpus; c++) {
		if (!on[c])
			continue;
		on[c]->on_cpu = false;
		step_thread(m, on[c]);
	}
	pthread_mutex_unlock(&m->s->lock);
	if (m->tick_ns <= m->now_ns) {
		m->tick_ns = WATCH_NEVER;
		sched_tick(m->s, m->now_ns);
	}
}

/* ---- a set-up ---- */

/* others[c]: threads of somebody else's that keep CPU c busy. */
static void sim_open(struct sim *m, unsigned processors, unsigned cpus, bool pinned, const unsigned *others)
{
	*m = (struct sim){
	    .host = {now_ns, cpu_ns, start, wake, join, is_runnable, tick_at},
	    .now_ns = 1000 * MS,
	    .tick_ns = WATCH_NEVER,
	    .cpus = cpus,
	    .pinned = pinned,
	};
	for (unsigned c = 0; others && c < cpus; c++)
		for (unsigned i = 0; i < others[c]; i++)
			add_thread(m, NULL)->cpu = c;
	cr_assert_eq(
	    sched_new(&m->s, NULL, &(struct sched_config){.processors = processors, .nodes = 1, .host = &m->host}), 0);
}

static struct guest *sim_add(struct sim *m, unsigned shares, unsigned cap)
{
	struct guest *g = aligned_alloc(_Alignof(struct guest), sizeof(*g));

	cr_assert(g && m->n < MAX_VCPUS);
	memset(g, 0, sizeof(*g));
	g->v.sched = (struct sched_vcpu){.shares = shares ? shares : SCHED_DEFAULT_SHARES, .cap = cap};
	sched_vcpu_init(&g->v, m->s);
	return m->guest[m->n++] = g;
}

static void sim_admit(struct sim *m, struct guest *g)
{
	pthread_mutex_lock(&m->s->lock);
	sched_admit(m->s, &g->v);
	pthread_mutex_unlock(&m->s->lock);
}

static void sim_run(struct sim *m, uint64_t ms)
{
	for (uint64_t until = m->now_ns + ms * MS; m->now_ns < until;)
		step(m);
}

/* It ends with its slice, or at once if it has none. */
static void sim_remove(struct sim *m, struct guest *g)
{
	struct vcpu **at = &m->s->known;

	for (unsigned i = 0; g->v.sched.state != SCHED_RUNS; i++) {
		cr_assert_lt(i, 100000, "it is never run");
		step(m);
	}
	pthread_mutex_lock(&m->s->lock);
	for (unsigned i = 0; i < m->n_threads; i++)
		if (m->thread[i].v == &g->v) {
			sched_end(m->s, m->thread[i].r, &g->v, SLICE_ENDED);
			m->thread[i].v = NULL;
		}
	for (; *at != &g->v; at = &(*at)->sched.next_known)
		;
	*at = g->v.sched.next_known;
	m->s->n_known--;
	pthread_mutex_unlock(&m->s->lock);
}

static void sim_close(struct sim *m)
{
	sched_free(m->s);
	for (unsigned i = 0; i < m->n; i++) {
		m->guest[i]->v.sched.state = SCHED_OFF;
		sched_vcpu_destroy(&m->guest[i]->v);
		free(m->guest[i]);
	}
}

/* What part of the processor time each has in so long. */
static void measure(struct sim *m, uint64_t ms, double *part)
{
	uint64_t before[MAX_VCPUS], all = 0;

	for (unsigned i = 0; i < m->n; i++)
		before[i] = sched_used_ns(&m->guest[i]->v);
	sim_run(m, ms);
	for (unsigned i = 0; i < m->n; i++) {
		before[i] = sched_used_ns(&m->guest[i]->v) - before[i];
		all += before[i];
	}
	for (unsigned i = 0; i < m->n; i++)
		part[i] = (double)before[i] / (double)all;
}

static void close_to(double got, double want, double by, const char *what, unsigned i)
{
	cr_assert(got > want * (1 - by) && got < want * (1 + by), "%s %u: %.4f, wanted %.4f", what, i, got, want);
}

/* ---- shares ---- */

struct row {
	const char *what;
	unsigned n, processors, cpus;
	bool pinned;
	double by;
	unsigned others[MAX_CPUS];
	unsigned shares[MAX_VCPUS]; /* 0: the default */
};

static const struct row rows[] = {
    {"four on one", 4, 1, 2, false, 0.02, {0}, {0}},
    {"four on two", 4, 2, 2, false, 0.02, {0}, {0}},
    {"three on two", 3, 2, 2, false, 0.05, {0}, {0}},
    {"five on three", 5, 3, 4, false, 0.05, {0}, {0}},
    {"seven on four", 7, 4, 4, false, 0.05, {0}, {0}},
    {"more processors than CPUs", 5, 4, 2, false, 0.05, {0}, {0}},
    {"eight processors on two CPUs", 12, 8, 2, false, 0.05, {0}, {0}},
    {"a busy host", 4, 2, 2, false, 0.05, {2, 1}, {0}},
    {"three on two of a busy host", 3, 2, 2, false, 0.05, {2, 1}, {0}},
    {"a host that is busy on one side", 4, 2, 2, true, 0.05, {1, 0}, {0}},
    {"three on two, busy on one side", 3, 2, 2, true, 0.05, {1, 0}, {0}},
    {"very busy on one side", 4, 2, 2, true, 0.25, {3, 0}, {0}},
    {"weights", 3, 1, 2, false, 0.03, {0}, {100, 200, 400}},
    {"weights on two", 4, 2, 2, false, 0.05, {0}, {200, 100, 100, 200}},
    {"weights on two of a busy host", 4, 2, 2, false, 0.08, {1, 2}, {200, 100, 100, 200}},
    {"small and large weights", 6, 2, 2, false, 0.08, {0}, {10, 10, 40, 40, 40, 60}},
};

static void share(const struct row *r, unsigned first)
{
	double part[MAX_VCPUS];
	unsigned weights = 0;
	struct sim m;

	sim_open(&m, r->processors, r->cpus, r->pinned, r->others);
	for (unsigned i = 0; i < r->n; i++) {
		struct guest *g = sim_add(&m, r->shares[i], 0);

		weights += g->v.sched.shares;
	}
	for (unsigned i = 0; i < r->n; i++)
		sim_admit(&m, m.guest[(i + first) % r->n]);
	sim_run(&m, 500);
	measure(&m, 5000, part);
	for (unsigned i = 0; i < r->n; i++)
		close_to(part[i], (double)m.guest[i]->v.sched.shares / weights, r->by, r->what, i);
	sim_close(&m);
}

Test(vmm_sched_fair, parts_by_weight)
{
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		for (unsigned first = 0; first < rows[i].n; first++)
			share(&rows[i], first);
}

/* A weight that is more than a processor: it has one, and the others the rest; and none of them starves when it has gone. */
Test(vmm_sched_fair, a_weight_above_a_processor)
{
	double part[MAX_VCPUS];
	struct sim m;

	sim_open(&m, 2, 2, false, NULL);
	for (unsigned i = 0; i < 4; i++)
		sim_admit(&m, sim_add(&m, i ? 0 : SCHED_MAX_SHARES, 0));
	sim_run(&m, 200);
	measure(&m, 3000, part);
	close_to(part[0], 0.5, 0.02, "the heavy one", 0);
	for (unsigned i = 1; i < 4; i++)
		close_to(part[i], 0.5 / 3, 0.05, "beside it", i);
	sim_remove(&m, m.guest[0]);
	measure(&m, 600, part);
	for (unsigned i = 1; i < 4; i++)
		close_to(part[i], 1.0 / 3, 0.20, "when it has gone", i);
	measure(&m, 3000, part);
	for (unsigned i = 1; i < 4; i++)
		close_to(part[i], 1.0 / 3, 0.05, "later", i);
	sim_close(&m);
}

/* A newcomer brings no time that it did not need, and what others had before is not held against them. */
Test(vmm_sched_fair, a_newcomer_gets_its_share)
{
	double part[MAX_VCPUS];
	struct sim m;

	for (unsigned before = 1; before < 4; before++) {
		sim_open(&m, 1, 2, false, NULL);
		for (unsigned i = 0; i < before; i++)
			sim_admit(&m, sim_add(&m, 0, 0));
		sim_run(&m, 5000);
		sim_admit(&m, sim_add(&m, 0, 0));
		measure(&m, 100 * (before + 1), part);
		for (unsigned i = 0; i <= before; i++)
			close_to(part[i], 1.0 / (before + 1), 0.20, "with a newcomer", i);
		sim_close(&m);
	}
}

/* Nor does sleeping save time up. */
Test(vmm_sched_fair, who_slept_does_not_have_it_all)
{
	double part[MAX_VCPUS];
	struct guest *g;
	struct sim m;

	sim_open(&m, 1, 2, false, NULL);
	for (unsigned i = 0; i < 3; i++)
		sim_add(&m, 0, 0);
	g = m.guest[0];
	g->work_ns = 2000 * MS;
	g->left_ns = MS;
	g->sleep_ns = 4000 * MS;
	for (unsigned i = 0; i < 3; i++)
		sim_admit(&m, m.guest[i]);
	sim_run(&m, 4100);
	measure(&m, 300, part);
	for (unsigned i = 0; i < 3; i++)
		close_to(part[i], 1.0 / 3, 0.20, "awake again", i);
	sim_close(&m);
}

/* Those that are far ahead of a heavy one that has a processor to itself do not wait until a newcomer has caught up. */
Test(vmm_sched_fair, who_is_ahead_does_not_starve)
{
	double part[MAX_VCPUS];
	struct sim m;

	sim_open(&m, 2, 2, false, NULL);
	for (unsigned i = 0; i < 4; i++)
		sim_admit(&m, sim_add(&m, i ? 0 : SCHED_MAX_SHARES, 0));
	sim_run(&m, 6000);
	sim_admit(&m, sim_add(&m, 0, 0));
	measure(&m, 1000, part);
	for (unsigned i = 1; i < 4; i++)
		cr_assert_gt(part[i], 0.06, "%u: %.4f", i, part[i]);
	sim_close(&m);
}

/* One that sleeps now and then has what it wants as long as that is less than its part, and is woken at once. */
Test(vmm_sched_fair, a_light_one_has_what_it_wants)
{
	double part[MAX_VCPUS];
	struct sim m;
	struct guest *g;

	sim_open(&m, 2, 2, false, NULL);
	g = sim_add(&m, 0, 0);
	g->work_ns = g->left_ns = 1 * MS;
	g->sleep_ns = 9 * MS;
	sim_admit(&m, g);
	for (unsigned i = 0; i < 4; i++)
		sim_admit(&m, sim_add(&m, 0, 0));
	sim_run(&m, 500);
	measure(&m, 4000, part);
	close_to(part[0], 0.1 / 2, 0.12, "of two processors, a tenth of one", 0);
	for (unsigned i = 1; i < 5; i++)
		close_to(part[i], (1 - part[0]) / 4, 0.05, "and the rest by weight", i);
	sim_close(&m);
}

/* ---- caps ---- */

Test(vmm_sched_fair, a_cap)
{
	double part[MAX_VCPUS];
	struct sim m;
	uint64_t before, from;

	sim_open(&m, 2, 2, false, NULL);
	sim_admit(&m, sim_add(&m, 0, 25));
	sim_run(&m, 100);
	before = sched_used_ns(&m.guest[0]->v);
	from = m.now_ns;
	sim_run(&m, 4000);
	close_to((double)(sched_used_ns(&m.guest[0]->v) - before) / (double)(m.now_ns - from), 0.25, 0.04, "alone", 0);
	for (unsigned i = 0; i < 3; i++)
		sim_admit(&m, sim_add(&m, 0, 0));
	sim_run(&m, 200);
	measure(&m, 4000, part);
	close_to(part[0], 0.125, 0.05, "of two processors", 0);
	for (unsigned i = 1; i < 4; i++)
		close_to(part[i], 0.875 / 3, 0.05, "what it may not have", i);
	sim_close(&m);
}

/* ---- where ---- */

/* As many as there are processors: each stays where it is, however busy the host, unless that starves one of them. */
Test(vmm_sched_fair, affinity)
{
	struct sim m;

	sim_open(&m, 2, 2, false, (const unsigned[]){1, 1});
	for (unsigned i = 0; i < 2; i++)
		sim_admit(&m, sim_add(&m, 0, 0));
	sim_run(&m, 2000);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(m.guest[i]->v.sched.moves, 0);
		cr_assert_eq(m.guest[i]->v.sched.slices, 1, "nobody waits: nothing interrupts it");
	}
	sim_close(&m);
}

/* Moves cost caches: a few a second for equal loads that divide evenly, none for the sake of less than a slice. */
Test(vmm_sched_fair, even_loads_hardly_move)
{
	uint64_t moves = 0;
	struct sim m;

	sim_open(&m, 2, 2, false, (const unsigned[]){1, 1});
	for (unsigned i = 0; i < 6; i++) {
		sim_admit(&m, sim_add(&m, 0, 0));
		sim_run(&m, 7);
	}
	sim_run(&m, 10000);
	for (unsigned i = 0; i < 6; i++)
		moves += m.guest[i]->v.sched.moves;
	cr_assert_lt(moves, 3, "%llu; they began at different times", (unsigned long long)moves);
	sim_close(&m);
}
