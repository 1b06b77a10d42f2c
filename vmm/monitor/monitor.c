/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/monitor.h"

#include <errno.h>
#include <stdlib.h>

#include "base/host_clock.h"
#include "numa/share.h"
#include "pv-drivers/net/net_switch.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/audit.h"
#include "vmm/monitor/rendezvous.h"
#include "vmm/monitor/sched.h"
#include "vmm/monitor/siblings.h"
#include "vmm/monitor/simulation.h"
#include "vmm/monitor/simulation_watch.h"
#include "vmm/monitor/vm.h"
#include "vmm/monitor/watcher.h"

static int open_all(struct monitor *mon, const struct monitor_config *cfg)
{
	const struct numa_binding *binding = cfg->host ? &mon->binding : NULL;
	struct machine_memory_config mc = {.bytes = cfg->memory_bytes,
					   .most = cfg->most_bytes,
					   .nodes = cfg->nodes,
					   .share = cfg->share,
					   .binding = binding};
	struct sched_config sc = {.processors = cfg->processors,
				  .nodes = cfg->nodes,
				  .binding = binding,
				  .repeatable = cfg->repeatable || cfg->simulated,
				  .together = cfg->together};
	int err = cfg->host ? numa_binding_init(&mon->binding, cfg->host, cfg->nodes) : 0;

	if (!err)
		err = machine_memory_new(&mon->memory, &mc);
	if (!err && cfg->simulated) {
		err = simulation_new(&mon->simulation, mon);
		sc.order = simulation_next;
		sc.order_arg = mon->simulation;
	}
	if (!err && cfg->simulated && mon->watch)
		simulation_watch(mon);
	if (!err)
		err = net_switch_new(&mon->net_switch, mon->memory);
	if (!err)
		err = rendezvous_new(&mon->rendezvous);
	if (!err)
		err = watcher_new(&mon->watcher);
	return err ? err : sched_new(&mon->sched, mon->watcher, &sc);
}

/* Nobody has the page any more. */
static void forget_code(void *ctx, struct machine_page *page)
{
	struct monitor *mon = ctx;

	code_cache_detach(mon->code, &page->code);
}

int monitor_new(struct monitor **out, const struct monitor_config *cfg)
{
	struct monitor *mon = calloc(1, sizeof(*mon));
	int err;

	if (!mon)
		return -ENOMEM;
	mon->share = cfg->share;
	mon->merge = cfg->merge;
	mon->store = cfg->store;
	mon->trace = cfg->trace;
	mon->last_words = cfg->last_words;
	mon->perf_map = cfg->perf_map;
	tracer_init(&mon->tracer, cfg->trace, NULL, -1);
	tracer_share(&mon->tracer);
	mon->watch = cfg->watch;
	mon->follow = cfg->numa && cfg->nodes > 1 && !cfg->simulated;
	if (cfg->numa)
		mon->numa = *cfg->numa;
	pthread_mutex_init(&mon->lock, NULL);
	mon->stamp = calloc(MONITOR_STAMPS, sizeof(*mon->stamp)); /* left to demand zero */
	err = mon->stamp ? open_all(mon, cfg) : -ENOMEM;
	if (err) {
		monitor_free(mon);
		return err;
	}
	machine_memory_on_code_gone(mon->memory, forget_code, mon);
	*out = mon;
	return 0;
}

void monitor_free(struct monitor *mon)
{
	if (!mon)
		return;
	ASSERT(!mon->machines);
	sched_free(mon->sched);
	simulation_free(mon->simulation);
	watcher_free(mon->watcher);
	if (mon->memory)
		share_drop_idle(mon->memory); /* their translations go with them */
	if (!mon->abandoned)
		code_cache_free(mon->code);
	machine_memory_free(mon->memory);
	rendezvous_free(mon->rendezvous);
	net_switch_free(mon->net_switch);
	tracer_fini(&mon->tracer);
	pthread_mutex_destroy(&mon->lock);
	free(mon->stamp);
	free(mon);
}

int monitor_code_cache(struct monitor *mon, const struct jit_config *cfg, struct code_cache **out)
{
	int err = 0;

	pthread_mutex_lock(&mon->lock);
	if (!mon->code)
		err = code_cache_new(&mon->code, cfg);
	else if (!code_cache_fits(mon->code, cfg))
		err = -EINVAL;
	*out = err ? NULL : mon->code;
	pthread_mutex_unlock(&mon->lock);
	return err;
}

bool monitor_abandon(struct monitor *mon)
{
	bool busy;

	pthread_mutex_lock(&mon->lock);
	busy = code_cache_abandon(mon->code);
	mon->abandoned |= busy;
	pthread_mutex_unlock(&mon->lock);
	return busy;
}

void monitor_absent(struct monitor *mon) { sched_expect_less(mon->sched); }

void monitor_add(struct monitor *mon, struct vm *vm)
{
	rendezvous_add(mon->rendezvous, &vm->work, vm, NULL);
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		rendezvous_add(mon->rendezvous, &vm->vcpu[i].stop, vm, &vm->vcpu[i].gs.poll);
	pthread_mutex_lock(&mon->lock);
	vm->next = mon->machines;
	mon->machines = vm;
	mon->n_machines++;
	vm->listed = true;
	pthread_mutex_unlock(&mon->lock);
}

void monitor_remove(struct monitor *mon, struct vm *vm)
{
	struct vm **at;
	bool last;

	if (!vm->listed)
		return;
	pthread_mutex_lock(&mon->lock);
	for (at = &mon->machines; *at != vm; at = &(*at)->next)
		;
	*at = vm->next;
	last = !--mon->n_machines;
	pthread_mutex_unlock(&mon->lock);
	if (last && mon->simulation && mon->watch)
		simulation_watch_end(mon);
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		rendezvous_remove(&vm->vcpu[i].stop);
}

enum { FIRST_ROUNDS = 4 }; /* of the scan for equal pages: most are found in them */

/* All guest pages have been looked at once more: how soon is it worth while again? */
static void end_round(struct vm_merge *m, uint64_t merged, uint64_t pages)
{
	enum { LEAST_SHARE = 256, MOST_HALVINGS = 4 };

	if (m->rounds < FIRST_ROUNDS) /* a page is shared when it has been seen twice, here and there */
		m->rounds++;
	else if ((merged - m->merged) * LEAST_SHARE >= pages)
		m->halvings = 0;
	else if (m->halvings < MOST_HALVINGS)
		m->halvings++;
	m->merged = merged;
	m->looked = 0;
}

/* Debug builds look at everything from time to time. */
static void audit_sometimes(struct vm *vm)
{
#ifdef DISCO_ASSERT
	enum { EVERY = 4000 };
	struct monitor_audit audit;

	if (++vm->merge.calls % EVERY)
		return;
	monitor_audit_live(vm->monitor, vm_member_here(vm), &audit);
	if (audit.errors)
		panic("%s", audit.first);
#else
	(void)vm;
#endif
}

/*
 * An idle machine is not woken for this: what is due when it wakes up is made up for, as far as that takes no more than some 500 us.  One
 * that has come to rest for the first time, as after its boot, looks at all that it has filled within half a second.
 */
void monitor_merge(struct vm *vm)
{
	enum { LEAST_PAGES = 64, MOST_PAGES = 1024, AT_REST = 8 };
	struct vm_merge *m = &vm->merge;
	uint64_t now, n;

	if (!vm->monitor->share || !vm->monitor->merge)
		return;
	audit_sometimes(vm);
	now = vm->monitor->simulation ? clock_now_ns(vm->clock) : host_now_ns();
	n = ((now - m->at_ns) / 1000 * vm->monitor->merge / 1000000) >> m->halvings;
	n *= vm->vcpu->idle && m->rounds < FIRST_ROUNDS ? AT_REST : 1;
	if (n < LEAST_PAGES)
		return;
	n = n < MOST_PAGES ? n : MOST_PAGES;
	m->at_ns = now;
	siblings_stop(vm);
	m->looked += pmap_merge(vm->ram, n);
	if (m->looked >= pmap_bytes(vm->ram) / PAGE_BYTES)
		end_round(m, pmap_stats(vm->ram)->merged, m->looked);
}
