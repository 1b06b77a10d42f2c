/* SPDX-License-Identifier: MIT */
#include "tests/numa/sim.h"

#include <stdlib.h>
#include <string.h>

#include "numa/mesh.h"

#define NOWHERE UINT32_MAX

struct page {
	uint32_t copy[64]; /* machine page on each node, or NOWHERE */
	unsigned copies, master;
	uint64_t mapped; /* processors */
	struct policy_history history;
	uint32_t written;  /* how often */
	uint32_t seen[64]; /* what each copy holds: `written` when it was made or written to */
};

struct sim_node {
	uint32_t *free; /* machine pages */
	uint32_t n_free, pages;
};

struct sim {
	struct numa_config cfg;
	struct flash *machine;
	struct page *page;
	uint32_t pages, placed;
	uint32_t *owner; /* page of each machine page */
	struct sim_node node[64];
	struct sim_stats stats;
	/* What the monitor did is not the program's: by processor, the statistics of it. */
	struct flash_stats of_monitor[NUMA_MAX_CPUS];
};

struct sim *sim_new(const struct numa_config *cfg, uint32_t pages)
{
	struct sim *s = calloc(1, sizeof(*s));
	uint32_t machine_pages = (uint32_t)(cfg->memory / PAGE_BYTES);

	s->cfg = *cfg;
	s->pages = pages;
	s->page = calloc(pages, sizeof(*s->page));
	s->owner = calloc(machine_pages, sizeof(*s->owner));
	for (uint32_t i = 0; i < pages; i++)
		memset(s->page[i].copy, 0xff, sizeof(s->page[i].copy));
	for (unsigned n = 0; n < cfg->nodes; n++) {
		struct sim_node *node = &s->node[n];
		uint32_t first = numa_node_first_page(machine_pages, cfg->nodes, n);

		node->pages = node->n_free = numa_node_pages(machine_pages, cfg->nodes, n);
		node->free = malloc(node->pages * sizeof(*node->free));
		for (uint32_t i = 0; i < node->pages; i++)
			node->free[i] = first + node->pages - 1 - i;
	}
	if (flash_new(&s->machine, cfg)) {
		sim_free(s);
		return NULL;
	}
	return s;
}

void sim_free(struct sim *s)
{
	flash_free(s->machine);
	for (unsigned n = 0; n < s->cfg.nodes; n++)
		free(s->node[n].free);
	free(s->owner);
	free(s->page);
	free(s);
}

struct flash *sim_machine(struct sim *s) { return s->machine; }
const struct sim_stats *sim_stats(const struct sim *s) { return &s->stats; }

/* ---- memory ---- */

static void give_back(struct sim *s, struct page *p, unsigned node)
{
	struct sim_node *n = &s->node[node];

	n->free[n->n_free++] = p->copy[node];
	p->copy[node] = NOWHERE;
	p->copies--;
}

/* A node is full: a page of it that is also elsewhere, the one with the fewest misses. */
static bool drop_replica(struct sim *s, unsigned node)
{
	struct page *worst = NULL;
	uint64_t fewest = UINT64_MAX;

	for (uint32_t i = 0; i < s->pages; i++) {
		struct page *p = &s->page[i];
		const uint32_t *misses;
		uint64_t n = 0;

		if (p->copies < 2 || p->copy[node] == NOWHERE || p->master == node)
			continue;
		misses = flash_page_misses(s->machine, p->copy[node]);
		for (unsigned c = 0; misses && c < numa_cpus(&s->cfg); c++)
			n += misses[c];
		if (n < fewest) {
			fewest = n;
			worst = p;
		}
	}
	if (!worst)
		return false;
	give_back(s, worst, node);
	s->stats.replicas--;
	s->stats.dropped++;
	return true;
}

static void occupy(struct sim *s, uint32_t page, unsigned node)
{
	struct sim_node *n = &s->node[node];
	struct page *p = &s->page[page];
	uint32_t mpn = n->free[--n->n_free];

	flash_page_forget(s->machine, mpn);
	p->copy[node] = mpn;
	p->copies++;
	s->owner[mpn] = page;
}

void sim_place(struct sim *s, uint32_t page, unsigned node)
{
	unsigned n = node;

	while (!s->node[n].n_free && !drop_replica(s, n)) {
		n = (n + 1) % s->cfg.nodes;
		if (n == node)
			abort(); /* a test that asks for more than there is */
	}
	occupy(s, page, n);
	s->page[page].master = n;
	s->placed++;
}

/* ---- what the monitor does ---- */

static void add(struct flash_stats *to, const struct flash_stats *a, const struct flash_stats *less)
{
	const uint64_t *from = (const uint64_t *)a, *minus = (const uint64_t *)less;

	for (size_t i = 0; i < sizeof(*to) / sizeof(uint64_t); i++)
		((uint64_t *)to)[i] += from[i] - minus[i];
}

/* All of them but the one that asks; each is interrupted for a while. */
static void shoot_down(struct sim *s, unsigned cpu, struct page *p)
{
	uint64_t cycles = numa_cycles(&s->cfg, s->cfg.shootdown_ns);

	for (uint64_t left = p->mapped & ~((uint64_t)1 << cpu); left; left &= left - 1) {
		flash_work(s->machine, (unsigned)__builtin_ctzll(left), cycles);
		flash_work(s->machine, cpu, cycles);
	}
	p->mapped = 0;
}

static void copy_page(struct sim *s, unsigned cpu, uint32_t from, uint32_t to)
{
	for (uint32_t at = 0; at < PAGE_BYTES; at += s->cfg.line) {
		(void)flash_access(s->machine, cpu, FLASH_READ, (uint64_t)from * PAGE_BYTES + at);
		(void)flash_access(s->machine, cpu, FLASH_WRITE, (uint64_t)to * PAGE_BYTES + at);
		flash_work(s->machine, cpu, s->cfg.line / 8 * 2);
	}
	flash_page_forget(s->machine, to);
}

static unsigned copy_for(const struct page *p, unsigned node) { return p->copy[node] != NOWHERE ? node : p->master; }

static void make_copy(struct sim *s, unsigned cpu, uint32_t page, unsigned node)
{
	struct page *p = &s->page[page];
	unsigned from = p->master;

	shoot_down(s, cpu, p);
	occupy(s, page, node);
	copy_page(s, cpu, p->copy[from], p->copy[node]);
	p->seen[node] = p->seen[from];
}

static void act(struct sim *s, unsigned cpu, uint32_t page, enum policy_action action)
{
	struct page *p = &s->page[page];
	unsigned node = cpu / s->cfg.cpus_per_node, from = p->master;
	uint64_t start = flash_clock(s->machine, cpu), cycles;

	flash_work(s->machine, cpu, numa_cycles(&s->cfg, s->cfg.trap_ns));
	make_copy(s, cpu, page, node);
	cycles = flash_clock(s->machine, cpu) - start;
	if (action == POLICY_MIGRATE) {
		p->master = node;
		give_back(s, p, from);
		policy_moved(&s->cfg, &p->history, flash_interval(s->machine), false);
		s->stats.migrations++;
		s->stats.migration_cycles += cycles;
		return;
	}
	s->stats.replicas++;
	if (s->stats.replicas > s->stats.most_replicas)
		s->stats.most_replicas = s->stats.replicas;
	s->stats.replications++;
	s->stats.replication_cycles += cycles;
}

static void hot(struct sim *s, unsigned cpu, uint32_t page)
{
	struct page *p = &s->page[page];
	unsigned node = cpu / s->cfg.cpus_per_node, at = copy_for(p, node);
	uint32_t mpn = p->copy[at];
	struct policy_page q = {flash_page_misses(s->machine, mpn), flash_page_writes(s->machine, mpn), at, p->copies,
				&p->history};
	struct policy_memory to = {s->node[node].n_free, s->node[node].pages};
	struct policy_decision d = policy_decide(&s->cfg, cpu, &q, flash_interval(s->machine), &to);
	struct flash_stats before = *flash_stats(s->machine, cpu);

	if (d.action == POLICY_LEAVE)
		s->stats.refused[d.reason]++;
	else
		act(s, cpu, page, d.action);
	add(&s->of_monitor[cpu], flash_stats(s->machine, cpu), &before);
}

/* A write to a page with copies: one is left, the writer's if it has one. */
static void collapse(struct sim *s, unsigned cpu, uint32_t page)
{
	struct page *p = &s->page[page];
	unsigned keep = copy_for(p, cpu / s->cfg.cpus_per_node);
	uint64_t start = flash_clock(s->machine, cpu);

	flash_work(s->machine, cpu, numa_cycles(&s->cfg, s->cfg.trap_ns));
	shoot_down(s, cpu, p);
	s->stats.replicas -= p->copies - 1;
	for (unsigned n = 0; n < s->cfg.nodes; n++)
		if (n != keep && p->copy[n] != NOWHERE)
			give_back(s, p, n);
	p->master = keep;
	policy_moved(&s->cfg, &p->history, flash_interval(s->machine), true);
	s->stats.collapses++;
	s->stats.collapse_cycles += flash_clock(s->machine, cpu) - start;
}

void sim_access(struct sim *s, unsigned cpu, enum flash_access kind, uint32_t page, uint32_t offset)
{
	struct page *p = &s->page[page];
	unsigned node = cpu / s->cfg.cpus_per_node, at;
	uint32_t mpn;

	if (!p->copies)
		sim_place(s, page, policy_place(&s->cfg, node, s->placed));
	if (kind == FLASH_WRITE && p->copies > 1)
		collapse(s, cpu, page);
	at = copy_for(p, node);
	if (kind == FLASH_WRITE)
		p->seen[at] = ++p->written;
	else
		s->stats.stale += p->seen[at] != p->written;
	p->mapped |= (uint64_t)1 << cpu;
	mpn = p->copy[at];
	if (flash_access(s->machine, cpu, kind, (uint64_t)mpn * PAGE_BYTES + offset))
		hot(s, cpu, page);
}

/* ---- looking in ---- */

bool sim_page_is_local(const struct sim *s, uint32_t page, unsigned node)
{
	return s->page[page].copy[node] != NOWHERE;
}
unsigned sim_copies(const struct sim *s, uint32_t page) { return s->page[page].copies; }
uint64_t sim_pages_used(const struct sim *s, unsigned node) { return s->node[node].pages - s->node[node].n_free; }

struct flash_stats sim_totals(const struct sim *s)
{
	struct flash_stats all = {0};

	for (unsigned cpu = 0; cpu < numa_cpus(&s->cfg); cpu++) {
		const struct flash_stats *m = &s->of_monitor[cpu];

		add(&all, flash_stats(s->machine, cpu), m);
		all.monitor += m->monitor + m->l2_stall + m->local_stall + m->remote_stall;
	}
	return all;
}

uint64_t sim_time(const struct sim *s)
{
	uint64_t latest = 0;

	for (unsigned cpu = 0; cpu < numa_cpus(&s->cfg); cpu++)
		if (flash_clock(s->machine, cpu) > latest)
			latest = flash_clock(s->machine, cpu);
	return latest;
}
