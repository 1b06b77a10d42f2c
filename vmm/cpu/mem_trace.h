/* SPDX-License-Identifier: MIT */
#ifndef VMM_MEM_TRACE_H
#define VMM_MEM_TRACE_H

/* What --trace shows of the second walk, in words.  vCPU thread. */
#include "vmm/cpu/vcpu.h"

void mem_trace_put_miss(struct vcpu *v, enum tlb_result why, enum tlb_access acc, struct gva va);
void mem_trace_put_fill(struct vcpu *v, struct gva va, const struct guest_page *g, bool write);

static inline void mem_trace_miss(struct vcpu *v, enum tlb_result why, enum tlb_access acc, struct gva va)
{
	if (trace_wants(&v->tracer, TRACE_TLB_MISS))
		mem_trace_put_miss(v, why, acc, va);
}

static inline void mem_trace_fill(struct vcpu *v, struct gva va, const struct guest_page *g, bool write)
{
	if (trace_wants(&v->tracer, TRACE_L2TLB_REFILL))
		mem_trace_put_fill(v, va, g, write);
}

#endif
