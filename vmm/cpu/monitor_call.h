/* SPDX-License-Identifier: MIT */
#ifndef VMM_MONITOR_CALL_H
#define VMM_MONITOR_CALL_H

/*
 * Monitor calls: what a kernel that knows where it runs asks for by HYPCALL (SOSP'97, 4.3.3).  docs/monitor-calls.md is their
 * ABI; the helper is monitor_call() of vmm/cpu/helpers.h.
 */
#include "base/types.h"

struct vcpu;

enum {
	MONITOR_CALL_ABI = 3,
	MONITOR_CALL_MAX_PAGES = 1 << 16,
	/* Of REGION_MAP's second argument: the region's number is above its page's. */
	MONITOR_CALL_REGION_SHIFT = 24,
};

enum monitor_call {
#define MONITOR_CALL(number, name, function) MONITOR_CALL_##name = (number),
#include "vmm/cpu/monitor_call.def"
#undef MONITOR_CALL
};

/*
 * What a call left to be done when no translated code is on the stack: memory is given up.  vCPU thread, by the dispatch loop
 * before the next guest instruction.
 */
void monitor_call_finish(struct vcpu *v);

#endif
