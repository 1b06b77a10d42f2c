/* SPDX-License-Identifier: MIT */
#include "vmm/monitor/siblings.h"

#include <errno.h>

#include "frontend/cp0.h"

/* ---- parking ---- */

/*
 * busy and stopping are written before the other one is looked at, all sequentially consistent: one of the two sees the other.
 * poll is set after stopping, so a vCPU that was not parked then leaves translated code.
 */
void siblings_enter_slow(struct vcpu *v)
{
	struct vm *vm = v->vm;

	ASSERT(!v->busy);
	for (;;) {
		__atomic_store_n(&v->busy, true, __ATOMIC_SEQ_CST);
		if (__builtin_expect(!__atomic_load_n(&vm->stopping, __ATOMIC_SEQ_CST), 1))
			return;
		siblings_leave_slow(v);
		rendezvous_leave(&v->stop); /* whoever has it parked may stop it there */
		pthread_mutex_lock(&vm->park_lock);
		while (__atomic_load_n(&vm->stopping, __ATOMIC_SEQ_CST))
			pthread_cond_wait(&vm->parked, &vm->park_lock);
		pthread_mutex_unlock(&vm->park_lock);
		rendezvous_enter(&v->stop);
	}
}

void siblings_leave_slow(struct vcpu *v)
{
	struct vm *vm = v->vm;

	__atomic_store_n(&v->busy, false, __ATOMIC_SEQ_CST);
	if (__builtin_expect(!__atomic_load_n(&vm->stopping, __ATOMIC_SEQ_CST), 1))
		return;
	pthread_mutex_lock(&vm->park_lock);
	pthread_cond_broadcast(&vm->parked);
	pthread_mutex_unlock(&vm->park_lock);
}

static bool any_busy(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		if (__atomic_load_n(&vm->vcpu[i].busy, __ATOMIC_SEQ_CST))
			return true;
	return false;
}

void siblings_stop(struct vm *vm)
{
	if (!vm_has_siblings(vm) || siblings_are_stopped(vm))
		return;
	ASSERT(vm_owned(vm));
	__atomic_store_n(&vm->stopping, true, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		__atomic_store_n(&vm->vcpu[i].gs.poll, 1, __ATOMIC_SEQ_CST);
	vm_step_aside(vm);
	pthread_mutex_lock(&vm->park_lock);
	while (any_busy(vm))
		pthread_cond_wait(&vm->parked, &vm->park_lock);
	vm->stops++;
	pthread_mutex_unlock(&vm->park_lock);
	vm_step_back(vm);
}

void siblings_go(struct vm *vm)
{
	if (!__atomic_load_n(&vm->stopping, __ATOMIC_RELAXED)) /* set by the lock's owner only */
		return;
	pthread_mutex_lock(&vm->park_lock);
	__atomic_store_n(&vm->stopping, false, __ATOMIC_SEQ_CST);
	pthread_cond_broadcast(&vm->parked);
	pthread_mutex_unlock(&vm->park_lock);
}

void siblings_stop_from(struct vcpu *v)
{
	siblings_leave(v);
	vm_lock(v->vm);
	siblings_stop(v->vm);
}

void siblings_go_from(struct vcpu *v)
{
	vm_unlock(v->vm);
	siblings_enter(v);
}

bool siblings_are_stopped(const struct vm *vm)
{
	return !vm_has_siblings(vm) || !__atomic_load_n(&vm->running, __ATOMIC_RELAXED) ||
	       __atomic_load_n(&vm->stopping, __ATOMIC_RELAXED);
}

/* ---- power ---- */

int vcpu_start(struct vcpu *from, uint32_t n, uint32_t pc, uint32_t sp, uint32_t arg)
{
	const uint64_t *cp0 = from->gs.cp0;
	int off = VCPU_OFF;
	struct vcpu *v;

	if (n >= from->vm->n_vcpus)
		return -EINVAL;
	v = &from->vm->vcpu[n];
	if (!__atomic_compare_exchange_n(&v->power, &off, VCPU_FILLED_IN, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return -EBUSY;
	v->start = (struct vcpu_start){
	    .pc = pc,
	    .sp = sp,
	    .arg = arg,
	    .status = (uint32_t)cp0[CP0_Status] & ~(uint32_t)(ST_IE | ST_EXL | ST_ERL | ST_KSU | ST_RE),
	    .ebase = (uint32_t)cp0[CP0_EBase] & ~EBASE_CPUNUM,
	};
	__atomic_store_n(&v->power, VCPU_ASKED, __ATOMIC_RELEASE);
	sched_kick(v);
	return 0;
}

void vcpu_power_up(struct vcpu *v)
{
	struct guest_state *gs = &v->gs;

	vcpu_reset(v);
	gs->cp0[CP0_Status] = v->start.status;
	gs->cp0[CP0_EBase] |= v->start.ebase;
	gs->reg[4] = v->start.arg;
	gs->reg[29] = v->start.sp;
	gs->pc = v->start.pc;
	__atomic_store_n(&v->power, VCPU_ON, __ATOMIC_RELEASE);
}

void vcpu_power_off(struct vcpu *v)
{
	v->idle = true;
	__atomic_store_n(&v->power, VCPU_OFF, __ATOMIC_RELEASE);
	__atomic_store_n(&v->gs.poll, 1, __ATOMIC_RELAXED);
}

int vcpu_ring(struct vm *vm, uint32_t n)
{
	if (n >= vm->n_vcpus)
		return -EINVAL;
	vcpu_change_cause(&vm->vcpu[n], 0, CA_IP1);
	sched_kick(&vm->vcpu[n]);
	return 0;
}

bool siblings_are_idle(const struct vcpu *v)
{
	for (unsigned i = 0; i < v->vm->n_vcpus; i++) {
		const struct vcpu *s = &v->vm->vcpu[i];

		if (s != v && (!s->idle || __atomic_load_n(&s->gs.poll, __ATOMIC_RELAXED)))
			return false;
	}
	return true;
}
