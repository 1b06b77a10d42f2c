/* SPDX-License-Identifier: MIT */
#ifndef VMM_SIBLINGS_H
#define VMM_SIBLINGS_H

/*
 * vCPUs of one machine beside each other: how one of them takes something away that all have.
 *
 * A vCPU is *busy* from where it begins to look for code to run to the end of that turn of its dispatch loop: it may use its L2TLB,
 * pages of guest memory, translations.  Otherwise it is *parked*: it waits for a lock, a device, a processor, or its guest is idle.
 * Who takes pages, write tags or translations away has the machine's lock, is parked itself, and has all others parked until it lets
 * go of the lock.  So these rules:
 *
 *   - nobody waits for the machine's lock while busy.  What needs it in the middle of an instruction (a device, a page that others
 *     share, a page with code) leaves translated code and executes the instruction alone (mem_step_alone()), parked for as long
 *   - translated code is never on the stack of who has others parked, so a flush of the code cache waits for nobody here
 *   - what is only added (the first touch of a page, a backmap) needs vm_memory_lock() and nobody parked
 *
 * A machine with one vCPU has none of this.
 */
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/vm.h"

static inline bool vm_has_siblings(const struct vm *vm) { return vm->n_vcpus > 1; }

/* For one that has siblings. */
void siblings_enter_slow(struct vcpu *v);
void siblings_leave_slow(struct vcpu *v);

/* v is busy from now on; waits while somebody has it parked.  vCPU thread, without the machine's lock. */
static inline void siblings_enter(struct vcpu *v)
{
	if (vm_has_siblings(v->vm))
		siblings_enter_slow(v);
}

/* v is parked from now on. */
static inline void siblings_leave(struct vcpu *v)
{
	if (vm_has_siblings(v->vm))
		siblings_leave_slow(v);
}

/*
 * All vCPUs are parked when it returns, until vm_unlock().  The machine's lock is held, by one who is not busy; again is fine.
 * Cost: as long as the others need to come to a poll point, some microseconds if they have processors.
 */
void siblings_stop(struct vm *vm);
/* vm_unlock() does it. */
void siblings_go(struct vm *vm);
/* The same as a parenthesis in the turn of a busy vCPU, with the lock; what it knew of pages before may be wrong in between. */
void siblings_stop_from(struct vcpu *v);
void siblings_go_from(struct vcpu *v);
/* May what all vCPUs have be taken away now? */
bool siblings_are_stopped(const struct vm *vm);

/* Rows of the pmap, while others may add to it. */
static inline void vm_memory_lock(struct vm *vm)
{
	if (vm_has_siblings(vm))
		pthread_mutex_lock(&vm->memory_lock);
}

static inline void vm_memory_unlock(struct vm *vm)
{
	if (vm_has_siblings(vm))
		pthread_mutex_unlock(&vm->memory_lock);
}

/* ---- power: which of them run ---- */
/*
 * Have vCPU n begin at pc with sp in $29 and arg in $4, in kernel mode, interrupts off, with the rest of Status and EBase as `from`
 * has it and all else as after reset.  0, -EINVAL (no such), -EBUSY (runs already).  from's thread.
 */
MUST_CHECK int vcpu_start(struct vcpu *from, uint32_t n, uint32_t pc, uint32_t sp, uint32_t arg);
/* It has been asked to start: do so.  Its own thread, under the machine's lock. */
void vcpu_power_up(struct vcpu *v);
/* It stops, behind the instruction in progress, until somebody starts it.  Its own thread. */
void vcpu_power_off(struct vcpu *v);
/* The doorbell: Cause.IP1 of vCPU n.  -EINVAL: no such.  Any thread. */
MUST_CHECK int vcpu_ring(struct vm *vm, uint32_t n);
/* --icount: no other vCPU of the machine has anything to do. Its processor's thread. */
bool siblings_are_idle(const struct vcpu *v);

#endif
