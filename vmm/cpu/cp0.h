/* SPDX-License-Identifier: MIT */
#ifndef VMM_CP0_H
#define VMM_CP0_H

/* Count and Compare.  What the guest does to coprocessor 0 is among the helpers (helpers.h). */
#include "vmm/cpu/vcpu.h"

/* Called when Count, Compare or Cause.DC change. Under the machine's lock. */
void cp0_timer_update(struct vcpu *v);
void cp0_timer_reset(struct vcpu *v);
/* Count, now. */
uint32_t cp0_count(struct vcpu *v);

#endif
