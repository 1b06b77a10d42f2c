/* SPDX-License-Identifier: MIT */
#include "tests/numa/workload.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/numa/trace.h"

/*
 * Six Verilog and six memory-system simulations on 8 processors: big private data, of processes that have been moved away from
 * where they began; code that all run and one node has; files that nobody reads twice.  A miss every 550 ns of execution (figure 8's bars by 300 ns).
 */
const struct workload engineering = {
    "Engineering",
    "nodes=8,memory=128M,trigger=96,sharing=24",
    96,
    {{.pages = 160, .own = true, .share = 340, .writes = 250, .skew = 1, .place = PLACE_NODE_0},
     {.pages = 50, .own = true, .share = 110, .writes = 250, .skew = 1, .place = PLACE_NEXT_NODE},
     {.pages = 170, .code = true, .share = 450, .skew = 1, .place = PLACE_NODE_0},
     {.pages = 10, .own = true, .share = 20, .writes = 300, .skew = 1, .place = PLACE_FIRST_TOUCH},
     {.pages = 8, .share = 10, .writes = 300, .skew = 1, .place = PLACE_SPREAD},
     {.pages = 2000, .share = 70, .writes = 0, .skew = 1, .place = PLACE_SPREAD}},
};

/*
 * One parallel program on 16 processors with small caches: a scene that all read and that the first one has made, a
 * little of its own for each, queues that all write to, and much that is seldom read.  A miss every 1700 ns.
 */
const struct workload raytrace = {
    "Raytrace",
    "nodes=16,memory=128M,l2=256K",
    440,
    {{.pages = 160, .share = 760, .skew = 2, .place = PLACE_NODE_0},
     {.pages = 44, .own = true, .share = 130, .writes = 400, .skew = 1, .place = PLACE_NODE_0},
     {.pages = 4, .share = 10, .writes = 300, .skew = 1, .place = PLACE_NODE_0},
     {.pages = 3000, .share = 100, .skew = 1, .place = PLACE_NODE_0}},
};

struct run {
	const struct workload *w;
	struct sim *sim;
	struct flash *machine;
	unsigned cpus, nodes, regions;
	uint32_t base[6]; /* first page of a region */
	uint64_t rng[NUMA_MAX_CPUS];
	uint64_t left; /* accesses, of all */
};

static unsigned place(const struct run *r, const struct region *g, unsigned cpu, uint32_t page)
{
	unsigned node = cpu * r->nodes / r->cpus;

	switch (g->place) {
	case PLACE_NODE_0:
		return 0;
	case PLACE_SPREAD:
		return page % r->nodes;
	case PLACE_NEXT_NODE:
		return (node + 1) % r->nodes;
	case PLACE_FIRST_TOUCH:
		break;
	}
	return node;
}

static uint32_t lay_out(struct run *r)
{
	uint32_t next = 0;

	for (r->regions = 0; r->regions < 6 && r->w->region[r->regions].share; r->regions++) {
		const struct region *g = &r->w->region[r->regions];

		r->base[r->regions] = next;
		next += g->pages * (g->own ? r->cpus : 1);
	}
	return next;
}

static void place_all(struct run *r)
{
	for (unsigned i = 0; i < r->regions; i++) {
		const struct region *g = &r->w->region[i];

		for (unsigned cpu = 0; cpu < (g->own ? r->cpus : 1); cpu++)
			for (uint32_t page = 0; page < g->pages; page++)
				sim_place(r->sim, r->base[i] + cpu * g->pages + page, place(r, g, cpu, page));
	}
}

/* Below n; the lower the more often. */
static uint32_t skewed(uint64_t *rng, uint32_t n, unsigned skew)
{
	double u = (double)(random_next(rng) >> 11) / (double)(1ull << 53), x = u;

	for (unsigned i = 1; i < skew; i++)
		x *= u;
	return (uint32_t)(x * n);
}

static void one_access(struct run *r, unsigned cpu)
{
	uint64_t *rng = &r->rng[cpu];
	unsigned i = 0, dice = (unsigned)random_below(rng, 1000);
	const struct region *g = r->w->region;
	enum flash_access kind;
	uint32_t page;

	for (; i + 1 < r->regions && dice >= g->share; i++)
		dice -= (g++)->share;
	page = r->base[i] + (g->own ? cpu * g->pages : 0) + skewed(rng, g->pages, g->skew);
	kind = g->code ? FLASH_FETCH : random_below(rng, 1000) < g->writes ? FLASH_WRITE : FLASH_READ;
	flash_run(r->machine, cpu, random_below(rng, 2 * r->w->cycles + 1));
	sim_access(r->sim, cpu, kind, page, (uint32_t)random_below(rng, PAGE_BYTES));
	r->left--;
}

/* Who is done with his share helps the others: a program of many tasks, or many programs. */
static void run_all(struct run *r)
{
	while (r->left) {
		unsigned first = flash_turn_first(r->machine);

		for (unsigned i = 0; i < r->cpus; i++) {
			unsigned cpu = (first + i) % r->cpus;

			while (r->left && flash_clock(r->machine, cpu) < flash_turn_end(r->machine))
				one_access(r, cpu);
		}
		(void)flash_next_turn(r->machine);
	}
}

static double ratio(double a, double b) { return b ? a / b : 0; }

static struct workload_result figures(const struct run *r, const struct numa_config *cfg)
{
	struct flash_stats t = sim_totals(r->sim);
	struct workload_result out = {.cycles = sim_time(r->sim), .sim = *sim_stats(r->sim)};
	double all = (double)out.cycles * r->cpus, us = 1.0 / cfg->clock_mhz, most = 0, requests = 0;

	out.misses = t.local + t.remote;
	out.executed = (double)t.executed / all;
	out.l2 = (double)t.l2_stall / all;
	out.local = (double)t.local_stall / all;
	out.remote = (double)t.remote_stall / all;
	out.monitor = (double)t.monitor / all;
	out.idle = 1 - out.executed - out.l2 - out.local - out.remote - out.monitor;
	out.local_share = ratio((double)t.local, (double)out.misses);
	out.local_ns = 1000 * us * ratio((double)t.local_stall, (double)t.local);
	out.remote_ns = 1000 * us * ratio((double)t.remote_stall, (double)t.remote);
	out.migrate_us = us * ratio((double)out.sim.migration_cycles, (double)out.sim.migrations);
	out.replicate_us = us * ratio((double)out.sim.replication_cycles, (double)out.sim.replications);
	for (unsigned n = 0; n < r->nodes; n++) {
		double q = (double)flash_controller_stats(r->machine, n).requests;

		requests += q;
		most = q > most ? q : most;
	}
	out.hottest = ratio(most * r->nodes, requests);
	return out;
}

struct workload_result workload_run(const struct workload *w, const char *more, uint32_t accesses, uint64_t seed)
{
	struct run r = {.w = w};
	struct workload_result out;
	struct numa_config cfg;
	struct options_error err;

	numa_config_default(&cfg);
	if (numa_config_parse(&cfg, numa_config_rows, w->name, w->settings, &err) ||
	    (more && numa_config_parse(&cfg, numa_config_rows, w->name, more, &err))) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	r.cpus = numa_cpus(&cfg);
	r.nodes = cfg.nodes;
	r.sim = sim_new(&cfg, lay_out(&r));
	if (!r.sim)
		abort();
	r.machine = sim_machine(r.sim);
	place_all(&r);
	for (unsigned cpu = 0; cpu < r.cpus; cpu++)
		r.rng[cpu] = seed * 1000 + cpu;
	r.left = (uint64_t)accesses * r.cpus;
	run_all(&r);
	out = figures(&r, &cfg);
	sim_free(r.sim);
	return out;
}
