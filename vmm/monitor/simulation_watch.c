/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/simulation_watch.h"

#include "numa/watch.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/simulation.h"
#include "vmm/monitor/vm.h"

static uint64_t ns_of(const struct monitor *mon, uint64_t cycles) { return cycles * 1000 / mon->numa.clock_mhz; }

static enum numa_event event_of(const struct simulation_decision *d)
{
	if (d->collapse)
		return NUMA_COLLAPSE;
	if (d->policy.action == POLICY_LEAVE)
		return NUMA_LEAVE;
	if (d->err)
		return NUMA_REFUSED;
	return d->policy.action == POLICY_MIGRATE ? NUMA_MIGRATE : NUMA_REPLICATE;
}

/* A page that has just moved, or lost its copies, for the time that was one too many: policy_moved(). */
static bool froze(const struct simulation_decision *d, enum numa_event event)
{
	const struct policy_history *h = d->vm->history ? &d->vm->history[d->gpn] : NULL;

	return h && (event == NUMA_MIGRATE || event == NUMA_COLLAPSE) && h->interval == d->interval && !h->recent &&
	       h->frozen_until > d->interval;
}

static void on_decision(void *opaque, const struct simulation_decision *d)
{
	const struct monitor *mon = opaque;
	const struct machine_page *page = pmap_peek(d->vm->ram, gpa(d->gpn << PAGE_SHIFT));
	struct numa_decided told = {
	    .event = event_of(d),
	    .reason = d->collapse ? POLICY_WRITTEN : d->policy.reason,
	    .at_ns = ns_of(mon, d->cycles),
	    .interval = d->interval,
	    .machine = d->vm->cfg.number,
	    .cpu = d->cpu,
	    .node = d->node,
	    .gpn = d->gpn,
	    .from = d->from,
	    .class = page ? page_class(page) : MEMORY_PRIVATE,
	    .misses = d->misses,
	    .writes = d->writes,
	    .copies = d->copies,
	    .weight = d->misses ? d->misses[d->cpu] : 1,
	    .cost_ns = ns_of(mon, d->cost),
	};

	numa_watch_event(mon->watch, &told);
	if (!froze(d, told.event))
		return;
	told.from = told.node; /* it has arrived */
	told.event = NUMA_FREEZE;
	told.reason = POLICY_FROZEN;
	told.weight = 0;
	told.cost_ns = 0;
	numa_watch_event(mon->watch, &told);
}

static void tell_nodes(const struct monitor *mon, bool log)
{
	const struct flash *flash = simulation_machine(mon->simulation);
	struct numa_node node[NUMA_MAX_NODES] = {0};

	for (unsigned cpu = 0; cpu < numa_cpus(&mon->numa); cpu++) {
		const struct flash_stats *p = flash_stats(flash, cpu);

		node[cpu / mon->numa.cpus_per_node].local += p->local;
		node[cpu / mon->numa.cpus_per_node].remote += p->remote;
	}
	for (unsigned n = 0; n < mon->numa.nodes; n++) {
		node[n].used = machine_memory_pages_used(mon->memory, (int)n);
		numa_watch_misses(mon->watch, n, node[n].local, node[n].remote);
	}
	if (log)
		numa_watch_nodes(mon->watch, ns_of(mon, simulation_cycles(mon->simulation)), node);
}

static void on_interval(void *opaque)
{
	const struct monitor *mon = opaque;

	tell_nodes(mon, numa_watch_due(mon->watch, ns_of(mon, simulation_cycles(mon->simulation))));
}

void simulation_watch(struct monitor *mon)
{
	simulation_on_decision(mon->simulation, on_decision, mon);
	simulation_on_interval(mon->simulation, on_interval, mon);
}

void simulation_watch_end(struct monitor *mon) { tell_nodes(mon, numa_watch_logs(mon->watch)); }
