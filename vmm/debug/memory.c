/* SPDX-License-Identifier: MIT */
#include "vmm/debug/memory.h"

#include <string.h>

#include "base/segments.h"
#include "frontend/cp0.h"
#include "vmm/cpu/mem.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/vm.h"

bool debug_translate(struct vcpu *v, uint32_t va, struct gpa *pa)
{
	uint8_t asid = (uint8_t)v->gs.cp0[CP0_EntryHi];
	bool dirty;

	if (mem_unmapped(v, gva(va))) {
		pa->v = segment_is_user(va) ? va : va & UNMAPPED_MASK;
		return true;
	}
	return l2tlb_translate(v->l2tlb, gva(va), asid, TLB_READ, pa, &dirty) == GUEST_OK ||
	       l2tlb_translate(v->l2tlb, gva(va), asid, TLB_EXEC, pa, &dirty) == GUEST_OK; /* RI */
}

/* Where the next bytes of m are, and how many of them. False: nowhere. */
static bool next_part(const struct debug_memory *m, struct gpa *pa, struct gpa *ram, size_t *n)
{
	uint32_t at = m->address + (uint32_t)m->done;

	*n = PAGE_BYTES - (at & PAGE_MASK);
	if (*n > m->n - m->done)
		*n = m->n - m->done;
	*pa = gpa(at);
	if (!*n || (!m->physical && !debug_translate(m->v, at, pa)))
		return false;
	return vm_ram(m->v->vm, *pa, ram);
}

void debug_memory_read(struct debug_memory *m)
{
	struct gpa pa, ram;
	size_t n;

	for (m->done = 0; next_part(m, &pa, &ram, &n); m->done += n) {
		const struct machine_page *page = pmap_peek(m->v->vm->ram, ram);

		if (page)
			memcpy(m->bytes + m->done, page->host + (pa.v & PAGE_MASK), n);
		else
			memset(m->bytes + m->done, 0, n);
	}
}

void debug_memory_write(struct debug_memory *m)
{
	struct vcpu *v = m->v;
	struct gpa pa, ram;
	size_t n;
	int err;

	for (m->done = 0; next_part(m, &pa, &ram, &n); m->done += n) {
		struct guest_page *g = pmap_get(v->vm->ram, ram, v->node, PMAP_WRITE, &err);
		uint32_t off = (uint32_t)(pa.v & PAGE_MASK);

		if (!g)
			return;
		memcpy(g->page->host + off, m->bytes + m->done, n);
		if (page_has(g->page, PAGE_CODE))
			vcpu_written(v, g->page, pa, off, (uint32_t)n);
	}
}
