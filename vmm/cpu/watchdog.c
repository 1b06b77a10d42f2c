/* SPDX-License-Identifier: MIT */
#include "vmm/cpu/watchdog.h"

#include <pthread.h>
#include <stdio.h>
#include "base/host_clock.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/look/stats.h"
#include "vmm/monitor/vm.h"

#define NS_PER_S        1000000000ull
#define STUCK_TICKS     (1000 / WATCHDOG_TICK_MS)
#define STUCK_CPU_NS    (NS_PER_S / 2) /* of CPU time in those, at least: a busy host starves us as well */
#define HOPELESS_CPU_NS (3 * NS_PER_S)
#define CHAIN_LOOK      4096 /* exceptions between two looks at the host's clock */

static void report(struct vcpu *v, const char *text)
{
	const struct vm_config *cfg = &v->vm->cfg;

	if (cfg->report)
		cfg->report(cfg->opaque, text);
}

/*
 * CPU time of the thread that runs the vCPU: a process that was stopped, or got no processor, is not stuck.  If it moved to another
 * thread it has made turns meanwhile, and all begins anew.
 */
static uint64_t cpu_ns(struct vcpu *v)
{
	clockid_t id;

	return pthread_getcpuclockid(__atomic_load_n(&v->thread, __ATOMIC_RELAXED), &id) ? 0 : host_clock_ns(id);
}

void watchdog_tick(struct vcpu *v)
{
	struct watchdog *w = &v->watchdog;
	uint32_t turns = __atomic_load_n(&w->turns, __ATOMIC_RELAXED);
	uint64_t used_ns;
	char text[160];

	if (turns != w->seen_turns || __atomic_load_n(&w->where, __ATOMIC_RELAXED) != WATCHDOG_CODE) {
		w->seen_turns = turns;
		w->quiet = 0;
		return;
	}
	if (!w->quiet++)
		w->cpu_ns = cpu_ns(v);
	/* what works leaves now, at its next poll point */
	__atomic_store_n(&v->gs.poll, 1, __ATOMIC_RELEASE);
	used_ns = cpu_ns(v) - w->cpu_ns;
	if (w->quiet <= STUCK_TICKS || used_ns < STUCK_CPU_NS)
		return;
	__atomic_store_n(&w->thrown, 1, __ATOMIC_RELAXED);
	jit_break(v->jit);
	if (used_ns < HOPELESS_CPU_NS || w->hopeless)
		return;
	w->hopeless = true;
	snprintf(text, sizeof(text),
		 "a bug of Disco's: the vCPU does not leave translated code any more; pc was last seen at %08x",
		 (uint32_t)__atomic_load_n(&v->gs.pc, __ATOMIC_RELAXED));
	report(v, text);
}

void watchdog_left_code(struct vcpu *v, int tier, int exit)
{
	struct watchdog *w = &v->watchdog;
	char text[200];

	watchdog_enter(w, WATCHDOG_LOOP);
	if (__builtin_expect(!__atomic_load_n(&w->thrown, __ATOMIC_RELAXED), 1))
		return;
	__atomic_store_n(&w->thrown, 0, __ATOMIC_RELAXED);
	jit_flush(v->jit);
	if (w->reported)
		return;
	w->reported = true;
	snprintf(text, sizeof(text),
		 "a bug of Disco's: the vCPU executed nothing for a second, in translated code that was entered in "
		 "tier %d; it "
		 "left at pc %08x, mode %#x, exit %s, and goes on",
		 tier, (uint32_t)v->gs.pc, v->gs.mode, stats_exit_name(exit));
	report(v, text);
}

void watchdog_exception(struct vcpu *v, uint32_t pc, uint32_t vector, uint32_t code)
{
	struct watchdog *w = &v->watchdog;
	char text[160];

	w->chain = pc == w->vector ? w->chain + 1 : 0;
	w->vector = vector;
	if (w->chain == 1)
		w->chain_ns = host_now_ns();
	if (w->chain_reported || w->chain < 2 || w->chain % CHAIN_LOOK || host_now_ns() - w->chain_ns < NS_PER_S)
		return;
	w->chain_reported = true;
	snprintf(text, sizeof(text),
		 "the guest has executed nothing for a second: the first instruction of its exception handler at %08x "
		 "raises "
		 "exception %u itself",
		 vector, code & 0x1f);
	report(v, text);
}
