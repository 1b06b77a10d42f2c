/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/vm.h"

#include <errno.h>
#include <stdlib.h>

#include <xxhash.h>

#include "frontend/cp0.h"
#include "vmm/cpu/profile.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/devices/virtio_bus.h"
#include "vmm/devices/virtio_memory.h"
#include "vmm/monitor/follow.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/siblings.h"
#include "vmm/monitor/simulation.h"
#include "vmm/replay/reverse.h"

#define LOW_RAM_BYTES ((uint64_t)256 << 20)
#define HIGH_RAM_BASE ((uint64_t)512 << 20)

bool vm_ram(const struct vm *vm, struct gpa pa, struct gpa *out)
{
	uint64_t a = pa.v;

	if (a >= LOW_RAM_BYTES) {
		if (a < HIGH_RAM_BASE)
			return false;
		a -= HIGH_RAM_BASE - LOW_RAM_BYTES;
	}
	out->v = a;
	return a < vm->cfg.ram_bytes;
}

struct gpa vm_ram_physical(struct gpa ram)
{
	return gpa(ram.v < LOW_RAM_BYTES ? ram.v : ram.v + (HIGH_RAM_BASE - LOW_RAM_BYTES));
}

struct rendezvous_member *vm_member_here(struct vm *vm)
{
	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		struct vcpu *v = &vm->vcpu[i];

		/* between slices it is outside; in one of this thread's nobody else changes either */
		if (v->stop.of && __atomic_load_n(&v->sched.state, __ATOMIC_ACQUIRE) == SCHED_RUNS &&
		    pthread_equal(__atomic_load_n(&v->thread, __ATOMIC_RELAXED), pthread_self()))
			return &v->stop;
	}
	return NULL;
}

void vm_step_aside(struct vm *vm)
{
	struct rendezvous_member *m = vm_member_here(vm);

	if (m)
		rendezvous_leave(m);
}

void vm_step_back(struct vm *vm)
{
	struct rendezvous_member *m = vm_member_here(vm);

	if (m)
		rendezvous_enter(m);
}

void vm_change(struct vm *vm) { rendezvous_enter(&vm->work); }
void vm_changed(struct vm *vm) { rendezvous_leave(&vm->work); }

void vm_lock(struct vm *vm)
{
	if (pthread_mutex_trylock(&vm->lock)) { /* whoever has it may stop this vCPU */
		vm_step_aside(vm);
		pthread_mutex_lock(&vm->lock);
		vm_step_back(vm);
	}
#ifdef DISCO_ASSERT
	__atomic_store_n(&vm->owner, pthread_self(), __ATOMIC_RELAXED);
	__atomic_store_n(&vm->owned, true, __ATOMIC_RELAXED);
#endif
}

void vm_unlock(struct vm *vm)
{
	siblings_go(vm);
#ifdef DISCO_ASSERT
	__atomic_store_n(&vm->owned, false, __ATOMIC_RELAXED);
#endif
	pthread_mutex_unlock(&vm->lock);
}

bool vm_owned(const struct vm *vm)
{
	if (!__atomic_load_n(&vm->running, __ATOMIC_RELAXED))
		return true;
	return __atomic_load_n(&vm->owned, __ATOMIC_RELAXED) &&
	       pthread_equal(__atomic_load_n(&vm->owner, __ATOMIC_RELAXED), pthread_self());
}

void vm_pause(struct vm *vm)
{
	ASSERT(vm_owned(vm));
	__atomic_store_n(&vm->pauses, vm->pauses + 1, __ATOMIC_RELAXED);
	if (vm->pauses == 1)
		clock_stop(vm->clock);
	for (unsigned i = 0; i < vm->n_vcpus; i++) /* leave translated code */
		__atomic_store_n(&vm->vcpu[i].gs.poll, 1, __ATOMIC_RELAXED);
}

void vm_go(struct vm *vm)
{
	ASSERT(vm_owned(vm));
	__atomic_store_n(&vm->pauses, vm->pauses - 1, __ATOMIC_RELAXED);
	if (!vm->pauses)
		clock_go(vm->clock);
}

void vm_end(struct vm *vm, enum vm_end why)
{
	int running = VM_RUNS;

	/* the first reason wins */
	__atomic_compare_exchange_n(&vm->end, &running, (int)why, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	if (vm->clock)
		clock_kick(vm->clock);
}

void vm_interrupt(struct vm *vm, int sig)
{
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		sched_interrupt(&vm->vcpu[i], sig);
}

static void wake(void *arg)
{
	struct vm *vm = arg;

	for (unsigned i = 0; i < vm->n_vcpus; i++)
		sched_kick(&vm->vcpu[i]);
}

static void on_power_off(void *opaque) { vm_end(opaque, VM_POWER_OFF); }
static void on_reset(void *opaque) { vm_end(opaque, VM_RESET); }

static void on_console_tx(void *opaque, const uint8_t *data, size_t n)
{
	struct vm *vm = opaque;

	ASSERT(vm_owned(vm));
	if (vm->reverse && reverse_is_past(vm->reverse))
		return; /* it was printed the first time */
	if (vm->cfg.console_tx)
		vm->cfg.console_tx(vm->cfg.opaque, data, n);
}

static int open_board(struct vm *vm)
{
	struct board_config bc = {
	    .ram_bytes = vm->cfg.ram_bytes,
	    .big_endian = vm->cfg.big_endian,
	    .clock = clock_as_ops(vm->clock),
	    .console_tx = on_console_tx,
	    .power_off = on_power_off,
	    .reset = on_reset,
	    .opaque = vm,
	    .battery = vm->cfg.battery,
	};

	for (unsigned pin = 2; pin < 8; pin++)
		bc.cpu_irq[pin] = (struct irq_line){vcpu_set_irq, vm->vcpu, pin};
	return board_new(&vm->board, &bc);
}

static int open_clock(struct vm *vm)
{
	struct clock_config cc = {.watcher = vm->monitor->watcher,
				  .gs = &vm->vcpu->gs,
				  .icount = vm->cfg.icount,
				  .simulated = vm->monitor->simulation ? &simulation_clock : NULL,
				  .input_fd = vm->cfg.input_fd,
				  .wake = wake,
				  .arg = vm};
	int err = clock_new(&vm->clock, &cc);

	if (!err)
		clock_set_date(vm->clock, vm->cfg.date_ns);
	return err;
}

/* --icount: time that a repeated run has too. */
static uint64_t repeatable_ns(void *vm) { return clock_now_ns(((struct vm *)vm)->clock); }

void vm_trace(struct vm *vm, struct tracer *t, int vcpu)
{
	tracer_init(t, vm->monitor->trace, vm->cfg.name ? vm->cfg.name : "", vcpu);
	if (!vm->cfg.icount)
		return;
	t->now_ns = repeatable_ns;
	t->opaque = vm;
}

int vm_new(struct vm **out, struct monitor *mon, const struct vm_config *cfg)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int err;

	if (!vm)
		return -ENOMEM;
	vm->cfg = *cfg;
	vm->cfg.icount |= mon->simulation != NULL; /* what it executes is time */
	vm_wants(cfg->want, "guest memory (--mem)", cfg->ram_bytes);
	pthread_mutex_init(&vm->lock, NULL);
	vm->monitor = mon;
	pthread_mutex_init(&vm->park_lock, NULL);
	pthread_mutex_init(&vm->memory_lock, NULL);
	pthread_cond_init(&vm->parked, NULL);
	vm->n_vcpus = cfg->vcpus ? cfg->vcpus : 1;
	vm->exit_status = -1;
	vm->mp = vm->n_vcpus > 1 || cfg->n_regions;
	vm_trace(vm, &vm->tracer, -1);
	err = pmap_new(&vm->ram, mon->memory, cfg->ram_bytes);
	if (!err)
		err = follow_new(vm);
	if (!err)
		err = simulation_vm_new(vm);
	if (!err)
		err = vcpus_new(&vm->vcpu, vm, vm->n_vcpus);
	if (!err) {
		struct pmap_ops ops = virtio_memory_pmap_ops(vm);

		pmap_set_ops(vm->ram, &ops);
		vm_wants(cfg->want, NULL, 0);
	}
	if (!err)
		err = open_clock(vm);
	if (!err)
		err = open_board(vm);
	if (err) {
		vm_free(vm);
		return err;
	}
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		vcpu_reset(&vm->vcpu[i]);
	monitor_add(mon, vm);
	*out = vm;
	return 0;
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	ASSERT(!vm->running);
	monitor_remove(vm->monitor, vm);
	vm_change(vm);
	virtio_bus_free(vm->virtio);
	vm->virtio = NULL;
	board_free(vm->board);
	clock_free(vm->clock);
	vcpus_free(vm->vcpu, vm->n_vcpus);
	if (vm->ram)
		pmap_free(vm->ram);
	follow_free(vm);
	simulation_vm_free(vm);
	profile_free(vm->profile);
	tracer_fini(&vm->tracer);
	vm_changed(vm);
	rendezvous_remove(&vm->work);
	pthread_cond_destroy(&vm->parked);
	pthread_mutex_destroy(&vm->memory_lock);
	pthread_mutex_destroy(&vm->park_lock);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

static void hash_vcpu(XXH3_state_t *x, const struct vcpu *v)
{
	const struct guest_state *gs = &v->gs;
	uint64_t part[] = {gs->pc, gs->fcr31};

	XXH3_64bits_update(x, gs->reg + 1, sizeof(gs->reg) - sizeof(gs->reg[0]));
	XXH3_64bits_update(x, gs->fpr, sizeof(gs->fpr));
	XXH3_64bits_update(x, gs->cp0, sizeof(gs->cp0));
	for (unsigned i = 0; i < v->tlb.n; i++) {
		const struct guest_tlb_entry *e = &v->tlb.e[i];
		uint64_t row[] = {e->vpn2, e->mask, e->asid, e->global, e->hw_invalid, e->lo[0], e->lo[1]};

		XXH3_64bits_update(x, row, sizeof(row));
	}
	XXH3_64bits_update(x, part, sizeof(part));
}

uint64_t vm_state_hash(struct vm *vm)
{
	uint64_t part[] = {clock_now_ns(vm->clock), pmap_hash(vm->ram)};
	XXH3_state_t *x = XXH3_createState();
	uint64_t hash;

	if (!x)
		panic("out of host memory");
	XXH3_64bits_reset(x);
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		hash_vcpu(x, &vm->vcpu[i]);
	XXH3_64bits_update(x, part, sizeof(part));
	hash = XXH3_64bits_digest(x);
	XXH3_freeState(x);
	return hash;
}
