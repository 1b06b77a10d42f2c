/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/simulation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/cp0.h"
#include "numa/move.h"
#include "numa/share.h"
#include "vmm/cpu/caches.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/move.h"
#include "vmm/monitor/siblings.h"

struct place {
	struct vcpu *current; /* who has the processor, or had it last; NULL: nobody */
	uint64_t until;       /* cycles: then it is another one's */
	unsigned vcpus;       /* that belong to it */
};

struct simulation {
	struct monitor *mon;
	struct flash *flash;
	const struct numa_config *cfg;
	unsigned cpus, line_log2;
	uint64_t slice;  /* cycles */
	uint64_t placed; /* pages touched for the first time */
	unsigned passed; /* processors that are done with the turn, in its order */
	bool alone; /* the vCPU that runs goes on over ends of turns, as nobody else has anything to do: turn_over() */
	struct place place[NUMA_MAX_CPUS];
	struct simulation_counts counts;
	void (*on_decision)(void *opaque, const struct simulation_decision *d);
	void *opaque;
	void (*on_interval)(void *opaque);
	void *interval_opaque;
};

int simulation_new(struct simulation **out, struct monitor *mon)
{
	struct simulation *s = calloc(1, sizeof(*s));
	int err;

	*out = NULL;
	if (!s)
		return -ENOMEM;
	*s = (struct simulation){.mon = mon, .cfg = &mon->numa, .cpus = numa_cpus(&mon->numa)};
	s->line_log2 = (unsigned)__builtin_ctz(mon->numa.line);
	s->slice = numa_cycles(s->cfg, SCHED_SLICE_MS * 1000000ull);
	err = flash_new(&s->flash, s->cfg);
	if (err)
		free(s);
	else
		*out = s;
	return err;
}

void simulation_free(struct simulation *s)
{
	if (!s)
		return;
	flash_free(s->flash);
	free(s);
}

const struct flash *simulation_machine(const struct simulation *s) { return s->flash; }
struct simulation_counts simulation_counts(const struct simulation *s) { return s->counts; }

struct flash_stats simulation_totals(const struct simulation *s)
{
	struct flash_stats all = {0};

	for (unsigned cpu = 0; cpu < s->cpus; cpu++) {
		const uint64_t *one = (const uint64_t *)flash_stats(s->flash, cpu);

		for (size_t i = 0; i < sizeof(all) / sizeof(uint64_t); i++)
			((uint64_t *)&all)[i] += one[i];
	}
	return all;
}

uint64_t simulation_cycles(const struct simulation *s)
{
	uint64_t latest = 0;

	for (unsigned cpu = 0; cpu < s->cpus; cpu++)
		if (flash_clock(s->flash, cpu) > latest)
			latest = flash_clock(s->flash, cpu);
	return latest;
}

void simulation_on_decision(struct simulation *s, void (*fn)(void *opaque, const struct simulation_decision *d),
			    void *opaque)
{
	s->on_decision = fn;
	s->opaque = opaque;
}

void simulation_on_interval(struct simulation *s, void (*fn)(void *opaque), void *opaque)
{
	s->on_interval = fn;
	s->interval_opaque = opaque;
}

/* ---- who belongs where ---- */

void simulation_add(struct simulation *s, struct vcpu *v)
{
	unsigned best = 0;

	for (unsigned i = 1; i < s->cpus; i++)
		if (s->place[i].vcpus < s->place[best].vcpus)
			best = i;
	s->place[best].vcpus++;
	v->node = best / s->cfg->cpus_per_node;
	v->settled = true;
	v->caches = (struct caches){
	    .flash = s->flash, .cpu = best, .base = machine_memory_base(s->mon->memory), .bytes = s->cfg->memory};
}

void simulation_remove(struct vcpu *v)
{
	struct simulation *s = v->vm->monitor->simulation;
	struct place *p;

	if (!v->caches.flash)
		return;
	p = &s->place[v->caches.cpu];
	p->vcpus--;
	if (p->current != v)
		return;
	p->current = NULL;
	flash_attach(s->flash, v->caches.cpu, NULL, 0);
}

int simulation_vm_new(struct vm *vm)
{
	if (!vm->monitor->simulation)
		return 0;
	vm->history = calloc(pmap_bytes(vm->ram) / PAGE_BYTES, sizeof(*vm->history));
	return vm->history ? 0 : -ENOMEM;
}

void simulation_vm_free(struct vm *vm) { free(vm->history); }

/* ---- turns ---- */

static bool has_work(const struct vcpu *v)
{
	return !v->idle || __atomic_load_n(&v->power, __ATOMIC_ACQUIRE) == VCPU_ASKED ||
	       vcpu_cause(v) & v->gs.cp0[CP0_Status] & CA_IP;
}

static bool is_due(const struct simulation *s, const struct vcpu *v)
{
	uint64_t next = clock_next_ns(v->vm->clock);

	return next != UINT64_MAX && next * s->cfg->clock_mhz <= flash_clock(s->flash, v->caches.cpu) * 1000;
}

/* Of those on the processor that have something to do, the next one after `last`, by their numbers. */
static struct vcpu *next_of(const struct simulation *s, unsigned cpu, struct vcpu *queue, const struct vcpu *last)
{
	struct vcpu *first = NULL, *next = NULL;

	for (struct vcpu *v = queue; v; v = v->sched.next) {
		if (v->caches.cpu != cpu || !(has_work(v) || is_due(s, v)))
			continue;
		if (!first || v->sched.number < first->sched.number)
			first = v;
		if (last && v->sched.number > last->sched.number && (!next || v->sched.number < next->sched.number))
			next = v;
	}
	return next ? next : first;
}

/* Nobody on the processor has something to do: the one that is the first to have some, who lets time pass. */
static struct vcpu *sleeper(unsigned cpu, struct vcpu *queue)
{
	struct vcpu *best = NULL;

	for (struct vcpu *v = queue; v; v = v->sched.next) {
		uint64_t next = clock_next_ns(v->vm->clock);

		if (v->caches.cpu == cpu &&
		    (!best || next < clock_next_ns(best->vm->clock) ||
		     (next == clock_next_ns(best->vm->clock) && v->sched.number < best->sched.number)))
			best = v;
	}
	return best;
}

static bool is_queued(const struct vcpu *v, const struct vcpu *queue)
{
	while (queue && queue != v)
		queue = queue->sched.next;
	return queue != NULL;
}

/*
 * Of those that wait elsewhere while this processor has nothing to do, the one that has waited longest: it comes here.  The new processor's clock
 * must be past what v has seen on the old one.
 */
static struct vcpu *bring_over(struct simulation *s, unsigned cpu, struct vcpu *queue)
{
	struct vcpu *best = NULL;

	for (struct vcpu *v = queue; v; v = v->sched.next) {
		struct caches *c = &v->caches;

		if (c->cpu == cpu || s->place[c->cpu].current == v || !has_work(v))
			continue;
		c->waits = c->waits ? c->waits : flash_clock(s->flash, c->cpu);
		if (flash_clock(s->flash, cpu) < c->waits + s->slice / 2)
			continue;
		if (!best || c->waits < best->caches.waits ||
		    (c->waits == best->caches.waits && v->sched.number < best->sched.number))
			best = v;
	}
	if (!best)
		return NULL;
	s->place[best->caches.cpu].vcpus--;
	s->place[cpu].vcpus++;
	best->caches.cpu = cpu;
	best->sched.moves++;
	return best;
}

static struct vcpu *who_is_next(struct simulation *s, unsigned cpu, struct vcpu *queue)
{
	struct place *p = &s->place[cpu];
	uint64_t now = flash_clock(s->flash, cpu);
	struct vcpu *v;

	if (p->current && now < p->until && is_queued(p->current, queue) && has_work(p->current))
		return p->current;
	v = next_of(s, cpu, queue, p->current);
	v = v ? v : bring_over(s, cpu, queue);
	v = v ? v : sleeper(cpu, queue);
	if (v) {
		p->until = now + s->slice;
		v->caches.waits = 0;
	}
	if (v && v != p->current) {
		flash_attach(s->flash, cpu, &v->gs.lines, (uintptr_t)v->caches.base >> s->line_log2);
		p->current = v;
	}
	return v;
}

struct vcpu *simulation_next(void *arg, struct vcpu *queue)
{
	struct simulation *s = arg;

	while (queue) {
		for (; s->passed < s->cpus; s->passed++) {
			unsigned cpu = (flash_turn_first(s->flash) + s->passed) % s->cpus;
			struct vcpu *v;

			if (flash_clock(s->flash, cpu) >= flash_turn_end(s->flash))
				continue;
			v = who_is_next(s, cpu, queue);
			if (v)
				return v;
			flash_idle(s->flash, cpu);
		}
		s->passed = 0;
		if (flash_next_turn(s->flash) && s->on_interval)
			s->on_interval(s->interval_opaque);
	}
	return NULL;
}

void simulation_arrive(struct vcpu *v)
{
	struct vm *vm = v->vm;
	unsigned node = v->caches.cpu / vm->monitor->numa.cpus_per_node;

	if (v->node == node)
		return;
	vm_lock(vm);
	siblings_stop(vm);
	pmap_unmap_copies(vm->ram);
	__atomic_store_n(&v->node, node, __ATOMIC_RELAXED); /* an audit looks at it */
	vm_unlock(vm);
}

/* ---- time ---- */

static struct simulation *of(const struct vcpu *v) { return v->vm->monitor->simulation; }

/* The first cycle at which it is that late. */
static uint64_t cycles_at(const struct vcpu *v, uint64_t ns)
{
	uint64_t mhz = of(v)->cfg->clock_mhz;

	return ns > UINT64_MAX / mhz - 1000 ? UINT64_MAX : (ns * mhz + 999) / 1000;
}

/* Cycles from now on. */
static uint64_t cycles_until(const struct vcpu *v, uint64_t until_ns)
{
	struct simulation *s = of(v);
	uint64_t now = caches_cycles(v), end, at = cycles_at(v, until_ns);

	s->alone = !sched_is_waited_for(s->mon->sched);
	end = s->alone ? flash_last_turn_end(s->flash) : flash_turn_end(s->flash);
	end = at < end ? at : end;
	return end > now ? end - now : 0;
}

static const struct vcpu *vcpu_with(const struct guest_state *gs) { return (const struct vcpu *)gs; }

static uint64_t now_ns(const struct guest_state *gs)
{
	const struct vcpu *v = vcpu_with(gs);

	return caches_cycles(v) * 1000 / of(v)->cfg->clock_mhz;
}

static uint64_t insns(const struct guest_state *gs)
{
	const struct vm *vm = vcpu_with(gs)->vm;
	uint64_t n = 0;

	for (unsigned i = 0; i < vm->n_vcpus; i++)
		n += vm->vcpu[i].caches.insns;
	return n;
}

static void begin(struct guest_state *gs, uint64_t until_ns)
{
	caches_begin(vcpu_of(gs), cycles_until(vcpu_of(gs), until_ns));
}

static void shorten(struct guest_state *gs, uint64_t until_ns)
{
	caches_shorten(vcpu_of(gs), cycles_until(vcpu_of(gs), until_ns));
}

static void idle(struct guest_state *gs, uint64_t until_ns)
{
	struct vcpu *v = vcpu_of(gs);

	caches_sync(v);
	flash_idle_until(of(v)->flash, v->caches.cpu, cycles_at(v, until_ns));
}

static void skip(struct guest_state *gs, uint64_t until_ns)
{
	struct vcpu *v = vcpu_of(gs);

	caches_sync(v);
	flash_skip(v->caches.flash, v->caches.cpu, cycles_at(v, until_ns));
}

/* The turn is v's processor's only: nobody else has anything to do. It is over. */
static void next_turn(struct simulation *s, const struct vcpu *v)
{
	for (unsigned i = 0; i < s->cpus; i++)
		if (i != v->caches.cpu)
			flash_idle(s->flash, i);
	s->passed = 0;
	if (flash_next_turn(s->flash) && s->on_interval)
		s->on_interval(s->interval_opaque);
}

static bool turn_over(struct guest_state *gs)
{
	struct vcpu *v = vcpu_of(gs);
	struct simulation *s = v->vm->monitor->simulation;
	uint64_t now = caches_cycles(v);

	if (now < flash_turn_end(s->flash))
		return false;
	if (!s->alone && (sched_is_waited_for(s->mon->sched) || v->idle))
		return true;
	s->alone = false;
	while (now >= flash_turn_end(s->flash))
		next_turn(s, v);
	return false;
}

const struct clock_source simulation_clock = {
    .now_ns = now_ns,
    .insns = insns,
    .begin = begin,
    .shorten = shorten,
    .idle = idle,
    .skip = skip,
    .turn_over = turn_over,
};

/* ---- pages ---- */

unsigned simulation_place(struct vcpu *v, struct gpa ram)
{
	struct simulation *s = v->vm->monitor->simulation;

	if (pmap_peek(v->vm->ram, ram))
		return v->node;
	return policy_place(s->cfg, v->node, s->placed++);
}

/* The processors that know the page by one of its guest pages of vm. */
static uint64_t mapped_in(const struct vm *vm, struct machine_page *page)
{
	uint64_t gpn, set = 0;

	if (!page_user_of(vm->monitor->memory, page, vm->ram, &gpn))
		return 0;
	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		const struct vcpu *v = &vm->vcpu[i];
		struct gpa pa = gpa(gpn << PAGE_SHIFT);

		if (l2tlb_maps(v->l2tlb, pmap_row_on(vm->ram, pa, v->node)) || vcpu_runs_page(v, vm_ram_physical(pa)))
			set |= (uint64_t)1 << v->caches.cpu;
	}
	return set;
}

/* All of them are interrupted for a while, one after the other, and the one that does it as long. */
static void shoot_down(struct simulation *s, unsigned cpu, uint64_t set)
{
	uint64_t cycles = numa_cycles(s->cfg, s->cfg->shootdown_ns);

	for (set &= ~((uint64_t)1 << cpu); set; set &= set - 1) {
		flash_work(s->flash, (unsigned)__builtin_ctzll(set), cycles);
		flash_work(s->flash, cpu, cycles);
	}
}

/* What the copy takes of the processor: a load and a store for 8 bytes, and misses. */
static void copy_lines(struct simulation *s, unsigned cpu, uint32_t from, uint32_t to)
{
	for (uint32_t at = 0; at < PAGE_BYTES; at += s->cfg->line) {
		(void)flash_access(s->flash, cpu, FLASH_READ, (uint64_t)from * PAGE_BYTES + at);
		(void)flash_access(s->flash, cpu, FLASH_WRITE, (uint64_t)to * PAGE_BYTES + at);
		flash_work(s->flash, cpu, s->cfg->line / 8 * 2);
	}
	flash_page_forget(s->flash, to);
}

/* Its node has a copy of the page afterwards. */
static int bring(struct vcpu *v, const struct simulation_decision *d)
{
	struct vm *vm = v->vm;
	int err;

	if (d->policy.action == POLICY_MIGRATE)
		return monitor_move(vm->monitor, &v->stop, d->mpn, d->node);
	vm_lock(vm);
	siblings_stop(vm);
	if (page_has(machine_page_get(vm->monitor->memory, d->mpn), PAGE_SHARED))
		err = pmap_bring(vm->ram, gpa(d->gpn << PAGE_SHIFT), d->node);
	else
		err = pmap_replicate(vm->ram, gpa(d->gpn << PAGE_SHIFT), d->node);
	vm_unlock(vm);
	return err;
}

static void count(struct simulation *s, const struct simulation_decision *d)
{
	struct simulation_counts *c = &s->counts;

	if (d->policy.action == POLICY_LEAVE) {
		c->left[d->policy.reason]++;
	} else if (d->err) {
		c->refused++;
	} else if (d->policy.action == POLICY_MIGRATE) {
		c->migrated++;
		c->migration_cycles += d->cost;
	} else {
		c->replicated++;
		c->replication_cycles += d->cost;
	}
}

static void carry_out(struct simulation *s, struct vcpu *v, struct simulation_decision *d)
{
	struct machine_page *page = machine_page_get(s->mon->memory, d->mpn);
	uint64_t known = mapped_in(v->vm, page);

	flash_work(s->flash, d->cpu, numa_cycles(s->cfg, s->cfg->trap_ns));
	d->err = bring(v, d);
	if (!d->err) {
		shoot_down(s, d->cpu, known);
		copy_lines(s, d->cpu, d->mpn, pmap_row_on(v->vm->ram, gpa(d->gpn << PAGE_SHIFT), d->node)->page->mpn);
		if (d->policy.action == POLICY_MIGRATE)
			policy_moved(s->cfg, &v->vm->history[d->gpn], d->interval, false);
	}
	d->cost = flash_clock(s->flash, d->cpu) - d->cycles;
}

/* About a page that v has come to, now. */
static struct simulation_decision about(const struct simulation *s, const struct vcpu *v, uint32_t mpn)
{
	return (struct simulation_decision){
	    .cycles = flash_clock(s->flash, v->caches.cpu),
	    .interval = flash_interval(s->flash),
	    .cpu = v->caches.cpu,
	    .node = v->node,
	    .vm = v->vm,
	    .vcpu = v->number,
	    .mpn = mpn,
	    .misses = flash_page_misses(s->flash, mpn),
	    .writes = flash_page_writes(s->flash, mpn),
	};
}

static void decide(struct simulation *s, struct vcpu *v, uint32_t mpn)
{
	struct simulation_decision d = about(s, v, mpn);
	struct machine_page *page = machine_page_get(s->mon->memory, mpn);
	uint32_t misses[NUMA_MAX_CPUS];
	struct policy_page p = {.misses = misses, .writes = d.writes};
	struct policy_memory to;

	if (!page || !d.misses || !page_user_of(s->mon->memory, page, v->vm->ram, &d.gpn))
		return;
	memcpy(misses, d.misses, s->cpus * sizeof(*misses));
	d.misses = misses;
	d.from = p.node = page->node;
	d.copies = p.copies = page_copies(s->mon->memory, page) + pmap_replicas(v->vm->ram, gpa(d.gpn << PAGE_SHIFT));
	p.history = &v->vm->history[d.gpn];
	machine_memory_node(s->mon->memory, d.node, &to.pages, &to.free);
	d.policy = policy_decide(s->cfg, d.cpu, &p, d.interval, &to);
	if (d.policy.action != POLICY_LEAVE)
		carry_out(s, v, &d);
	count(s, &d);
	if (s->on_decision)
		s->on_decision(s->opaque, &d);
}

void simulation_collapse(struct vcpu *v, struct gpa ram)
{
	struct simulation *s = v->vm->monitor->simulation;
	struct machine_page *page = pmap_row_on(v->vm->ram, ram, v->node)->page;
	unsigned copies = pmap_replicas(v->vm->ram, ram);
	struct simulation_decision d;

	if (!copies)
		return;
	caches_sync(v);
	d = about(s, v, page->mpn);
	d.gpn = ram.v >> PAGE_SHIFT;
	d.from = page->node;
	d.copies = copies + 1;
	d.collapse = true;
	flash_work(s->flash, d.cpu, numa_cycles(s->cfg, s->cfg->trap_ns));
	shoot_down(s, d.cpu, mapped_in(v->vm, pmap_peek(v->vm->ram, ram)));
	policy_moved(s->cfg, &v->vm->history[d.gpn], d.interval, true);
	d.cost = flash_clock(s->flash, d.cpu) - d.cycles;
	s->counts.collapsed++;
	s->counts.collapse_cycles += d.cost;
	if (s->on_decision)
		s->on_decision(s->opaque, &d);
}

void simulation_decide(struct vcpu *v)
{
	caches_sync(v);
	for (unsigned i = 0; i < v->caches.n_hot; i++)
		decide(v->vm->monitor->simulation, v, v->caches.hot[i]);
	v->caches.n_hot = 0;
	v->caches.later = false;
}
