/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/follow.h"

#include <errno.h>
#include <stdlib.h>

#include "numa/move.h"
#include "numa/watch.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/siblings.h"
#include "vmm/monitor/vm.h"

enum { STEP_MS = 10, STEP_PAGES = 32, STEP_LOOKS = 8192 /* rows of the pmap, some 20 us */ };

struct follow {
	const struct numa_config *cfg;
	uint64_t first_ns, at_ns; /* the first step; the last one */
	uint64_t told_ns;         /* tell() */
	unsigned node;            /* at that one */
	uint64_t cursor;          /* gpn */
	unsigned n;
	uint64_t sampled[STEP_PAGES];   /* gpns */
	struct policy_history *history; /* by gpn; demand zero */
	struct follow_stats stats;
};

int follow_new(struct vm *vm)
{
	struct follow *f;

	if (!vm->monitor->follow)
		return 0;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	vm->follow = f;
	f->cfg = &vm->monitor->numa;
	f->history = calloc(pmap_bytes(vm->ram) / PAGE_BYTES, sizeof(*f->history));
	return f->history ? 0 : -ENOMEM;
}

void follow_free(struct vm *vm)
{
	if (!vm->follow)
		return;
	free(vm->follow->history);
	free(vm->follow);
	vm->follow = NULL;
}

struct follow_stats follow_stats(const struct vm *vm)
{
	return vm->follow ? vm->follow->stats : (struct follow_stats){0};
}

static struct gpa at(uint64_t gpn) { return gpa(gpn << PAGE_SHIFT); }

/* A page that could be nearer. */
static const struct machine_page *far_page(const struct vm *vm, uint64_t gpn, unsigned node)
{
	const struct machine_page *page = pmap_peek(vm->ram, at(gpn));

	return !page || page_has(page, PAGE_ZERO | PAGE_REGION) || page->node == node ? NULL : page;
}

/* Was it mapped again since it was taken away?  Code of unmapped segments has no entry in a table of the L2TLB. */
static bool came_back(const struct vcpu *v, uint64_t gpn)
{
	const struct guest_page *g = pmap_row(v->vm->ram, at(gpn));

	return g->n_backmaps || g->backmaps_overflow || vcpu_runs_page(v, vm_ram_physical(at(gpn)));
}

/* What the policy is asked about: a page that has come back counts as missed on often enough, by others too if it is shared. */
struct sight {
	uint32_t misses[NUMA_MAX_CPUS]; /* by node: they have one processor each here */
	struct policy_page page;
	struct numa_decided told;
};

static void see(const struct follow *f, const struct vcpu *v, const struct machine_page *page, uint64_t gpn,
		uint32_t interval, struct sight *s)
{
	*s = (struct sight){.page = {.node = page->node, .copies = 1, .history = &f->history[gpn]},
			    .told = {.at_ns = numa_watch_since(v->vm->monitor->watch, f->at_ns),
				     .interval = interval,
				     .machine = v->vm->cfg.number,
				     .cpu = v->node,
				     .node = v->node,
				     .gpn = gpn,
				     .from = page->node,
				     .class = page_class(page),
				     .copies = 1,
				     .weight = 1}};
	s->misses[v->node] = f->cfg->trigger;
	if (page_has(page, PAGE_SHARED))
		s->misses[page->node] = f->cfg->sharing;
	s->page.misses = s->misses;
}

static void used(struct follow *f, struct vcpu *v, uint64_t gpn, uint32_t interval)
{
	const struct machine_page *page = far_page(v->vm, gpn, v->node);
	struct policy_history before = f->history[gpn];
	struct numa_watch *watch = v->vm->monitor->watch;
	struct policy_decision d;
	struct policy_memory to;
	struct sight s;

	if (!page)
		return;
	f->stats.used++;
	see(f, v, page, gpn, interval, &s);
	machine_memory_node(v->vm->monitor->memory, v->node, &to.pages, &to.free);
	d = policy_decide(f->cfg, v->node, &s.page, interval, &to);
	s.told.reason = d.reason;
	if (d.action == POLICY_LEAVE) {
		f->stats.left[d.reason]++;
		s.told.event = NUMA_LEAVE;
	} else if (pmap_bring(v->vm->ram, at(gpn), v->node)) {
		f->stats.refused++;
		s.told.event = NUMA_REFUSED;
	} else if (d.action == POLICY_REPLICATE) {
		f->stats.replicated++;
		s.told.event = NUMA_REPLICATE;
	} else {
		policy_moved(f->cfg, &f->history[gpn], interval, false);
		f->stats.migrated++;
		s.told.event = NUMA_MIGRATE;
	}
	numa_watch_event(watch, &s.told);
	numa_watch_froze(watch, &s.told, &before, &f->history[gpn]);
}

/* For the log's time lines, once an interval. */
static void tell(struct follow *f, const struct vcpu *v)
{
	const struct monitor *mon = v->vm->monitor;
	uint64_t at_ns = numa_watch_since(mon->watch, f->at_ns), near, all = 0;
	struct numa_node node[NUMA_MAX_NODES] = {0};

	if (!numa_watch_logs(mon->watch) || f->at_ns - f->told_ns < f->cfg->interval_us * 1000ull)
		return;
	f->told_ns = f->at_ns;
	near = pmap_node_pages(v->vm->ram, v->node);
	for (unsigned c = 0; c < NUM_MEMORY_CLASSES; c++)
		all += c == MEMORY_ZERO ? 0 : pmap_class_pages(v->vm->ram, c);
	numa_watch_guest(mon->watch, at_ns, v->vm->cfg.number, v->node, near, all - near);
	if (!numa_watch_due(mon->watch, at_ns))
		return;
	for (unsigned n = 0; n < f->cfg->nodes; n++)
		node[n].used = machine_memory_pages_used(mon->memory, (int)n);
	numa_watch_nodes(mon->watch, at_ns, node);
}

/* The next pages that are elsewhere. */
static void sample(struct follow *f, struct vcpu *v)
{
	uint64_t pages = pmap_bytes(v->vm->ram) / PAGE_BYTES;

	f->n = 0;
	for (uint64_t i = 0; i < STEP_LOOKS && i < pages && f->n < STEP_PAGES; i++) {
		uint64_t gpn = f->cursor;

		f->cursor = gpn + 1 == pages ? 0 : gpn + 1;
		if (!far_page(v->vm, gpn, v->node))
			continue;
		pmap_unmap(v->vm->ram, at(gpn));
		f->sampled[f->n++] = gpn;
	}
	f->stats.sampled += f->n;
}

void follow(struct vcpu *v, uint64_t now_ns)
{
	struct follow *f = v->vm->follow;
	uint32_t interval;

	if (!f || now_ns - f->at_ns < STEP_MS * 1000000ull)
		return;
	siblings_stop(v->vm);
	if (!f->first_ns)
		f->first_ns = now_ns;
	f->at_ns = now_ns;
	interval = (uint32_t)((now_ns - f->first_ns) / 1000 / f->cfg->interval_us);
	if (v->node == f->node)
		for (unsigned i = 0; i < f->n; i++)
			if (came_back(v, f->sampled[i]))
				used(f, v, f->sampled[i], interval);
	f->node = v->node;
	sample(f, v);
	tell(f, v);
}
