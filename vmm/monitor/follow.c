/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/follow.h"

#include <errno.h>
#include <stdlib.h>

#include "numa/move.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/siblings.h"
#include "vmm/monitor/vm.h"

enum { STEP_MS = 10, STEP_PAGES = 32, STEP_LOOKS = 8192 /* rows of the pmap, some 20 us */ };

struct follow {
	const struct numa_config *cfg;
	uint64_t first_ns, at_ns; /* the first step; the last one */
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

static struct policy_decision decide(const struct follow *f, const struct vcpu *v, const struct machine_page *page,
				     uint64_t gpn, uint32_t interval)
{
	uint32_t misses[NUMA_MAX_NODES] = {0};
	struct policy_page p = {.misses = misses, .node = page->node, .copies = 1, .history = &f->history[gpn]};
	struct policy_memory to;

	misses[v->node] = f->cfg->trigger;
	if (page_has(page, PAGE_SHARED))
		misses[page->node] = f->cfg->sharing;
	machine_memory_node(v->vm->monitor->memory, v->node, &to.pages, &to.free);
	return policy_decide(f->cfg, v->node, &p, interval, &to);
}

static void used(struct follow *f, struct vcpu *v, uint64_t gpn, uint32_t interval)
{
	const struct machine_page *page = far_page(v->vm, gpn, v->node);
	struct policy_decision d;

	if (!page)
		return;
	f->stats.used++;
	d = decide(f, v, page, gpn, interval);
	if (d.action == POLICY_LEAVE) {
		f->stats.left[d.reason]++;
		return;
	}
	if (pmap_bring(v->vm->ram, at(gpn), v->node)) {
		f->stats.refused++;
		return;
	}
	if (d.action == POLICY_REPLICATE) {
		f->stats.replicated++;
		return;
	}
	policy_moved(f->cfg, &f->history[gpn], interval, false);
	f->stats.migrated++;
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
	interval = (uint32_t)((now_ns - f->first_ns) / 1000 / f->cfg->interval_us);
	if (v->node == f->node)
		for (unsigned i = 0; i < f->n; i++)
			if (came_back(v, f->sampled[i]))
				used(f, v, f->sampled[i], interval);
	f->at_ns = now_ns;
	f->node = v->node;
	sample(f, v);
}
