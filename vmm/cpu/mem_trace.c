/* SPDX-License-Identifier: MIT */
#include "vmm/cpu/mem_trace.h"

#include "vmm/cpu/mem.h"

static const char *const results[] = {
    [GUEST_OK] = "ok",
    [GUEST_TLB_REFILL] = "refill",
    [GUEST_TLB_INVALID] = "invalid",
    [GUEST_TLB_MODIFIED] = "modified",
    [GUEST_TLB_RI] = "read-inhibit",
    [GUEST_TLB_XI] = "execute-inhibit",
    [GUEST_ADDRESS_ERROR] = "address-error",
};

static const char *const accesses[] = {[TLB_READ] = "read", [TLB_WRITE] = "write", [TLB_EXEC] = "execute"};

static unsigned asid_of(const struct vcpu *v) { return (uint8_t)v->gs.cp0[CP0_EntryHi]; }

void mem_trace_put_miss(struct vcpu *v, enum tlb_result why, enum tlb_access acc, struct gva va)
{
	if (why != GUEST_ADDRESS_ERROR)
		TRACE(&v->tracer, TLB_MISS, va.v, asid_of(v), TRACE_STRING(accesses[acc]), TRACE_STRING(results[why]),
		      v->gs.pc);
}

void mem_trace_put_fill(struct vcpu *v, struct gva va, const struct guest_page *g, bool write)
{
	const char *from = mem_unmapped(v, va)                                     ? "unmapped"
			   : guest_tlb_find(&v->tlb, va, (uint8_t)asid_of(v)) >= 0 ? "tlb"
										   : "kept";

	TRACE(&v->tracer, L2TLB_REFILL, va.v & ~PAGE_MASK, g->page->mpn, TRACE_STRING(from), write);
}
