/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "tlb/l2tlb.h"

#define KSEG0 0x80000000ull

struct world {
	struct machine_memory *m;
	struct pmap *p;
	struct guest_tlb arch;
	struct l2tlb *l;
};

static void setup(struct world *w)
{
	cr_assert_eq(machine_memory_new(&w->m, &(struct machine_memory_config){.bytes = 4096 * PAGE_BYTES, .nodes = 1}),
		     0);
	cr_assert_eq(pmap_new(&w->p, w->m, 4096 * PAGE_BYTES), 0);
	guest_tlb_reset(&w->arch, 16);
	cr_assert_eq(l2tlb_new(&w->l, &w->arch), 0);
}

static void teardown(struct world *w)
{
	l2tlb_free(w->l);
	pmap_free(w->p);
	machine_memory_free(w->m);
}

static struct guest_page *page_of(struct world *w, uint64_t pfn)
{
	int err;

	return pmap_get(w->p, gpa(pfn << PAGE_SHIFT), 0, PMAP_WRITE, &err);
}

/* Make va writable in asid's user table, as a mapping of page. */
static struct l2tlb_entry *map(struct world *w, uint64_t va, uint8_t asid, struct guest_page *page)
{
	struct l2tlb_entry *t = l2tlb_select(w->l, asid, va < KSEG0)->entry;

	l2tlb_fill(w->l, gva(va), page, true, true, true);
	return &t[(va >> PAGE_SHIFT) & (L2TLB_ENTRIES - 1)];
}

static bool readable(const struct l2tlb_entry *e, uint64_t va) { return e->read_tag == va; }

static bool writable(const struct l2tlb_entry *e, uint64_t va) { return e->write_tag == va; }

Test(shootdown, takes_writes_or_all_from_every_mapping)
{
	struct l2tlb_entry *e[NUMA_BACKMAPS], *other;
	struct guest_page *page;
	struct world w;

	setup(&w);
	page = page_of(&w, 7);
	for (unsigned i = 0; i < NUMA_BACKMAPS; i++)
		e[i] = map(&w, i == 0 ? KSEG0 + 0x7000 : 0x10000000ull * i, (uint8_t)i, page);
	other = map(&w, 0x5000, 1, page_of(&w, 8));
	cr_assert_eq(page->n_backmaps, NUMA_BACKMAPS);
	cr_assert_not(page->backmaps_overflow);
	l2tlb_drop_writes(w.l, page);
	for (unsigned i = 0; i < NUMA_BACKMAPS; i++) {
		uint64_t va = i == 0 ? KSEG0 + 0x7000 : 0x10000000ull * i;

		cr_assert(readable(e[i], va) && !writable(e[i], va) && (uint32_t)e[i]->exec == va);
	}
	cr_assert(writable(other, 0x5000));
	l2tlb_drop_page(w.l, page);
	for (unsigned i = 0; i < NUMA_BACKMAPS; i++)
		cr_assert(e[i]->read_tag == L2TLB_TAG_INVALID && e[i]->exec == L2TLB_TAG_INVALID);
	cr_assert_eq(page->n_backmaps, 0);
	cr_assert(readable(other, 0x5000));
	cr_assert_eq(l2tlb_stats(w.l)->shootdowns, 2);
	cr_assert_eq(l2tlb_stats(w.l)->sweeps, 0);
	teardown(&w);
}

Test(shootdown, leaves_an_entry_that_was_reused_for_another_page)
{
	struct guest_page *a, *b;
	struct l2tlb_entry *e;
	struct world w;

	setup(&w);
	a = page_of(&w, 1);
	b = page_of(&w, 2);
	e = map(&w, 0x5000, 1, a);
	cr_assert_eq(map(&w, 0x5000 + L2TLB_ENTRIES * PAGE_BYTES, 1, b), e, "same entry");
	l2tlb_drop_page(w.l, a);
	cr_assert(writable(e, 0x5000 + L2TLB_ENTRIES * PAGE_BYTES));
	cr_assert_eq(a->n_backmaps, 0);
	cr_assert_eq(map(&w, 0x5000 + L2TLB_ENTRIES * PAGE_BYTES, 1, a), e, "remapped at the same address");
	l2tlb_drop_page(w.l, b);
	cr_assert(writable(e, 0x5000 + L2TLB_ENTRIES * PAGE_BYTES));
	l2tlb_drop_writes(w.l, a);
	cr_assert_not(writable(e, 0x5000 + L2TLB_ENTRIES * PAGE_BYTES));
	teardown(&w);
}

Test(shootdown, stale_backmaps_make_room)
{
	struct guest_page *page;
	struct world w;

	setup(&w);
	page = page_of(&w, 1);
	for (unsigned i = 0; i < 100; i++) {
		map(&w, 0x1000 * i, 1, page);
		/* to the page's other place, and out of that */
		map(&w, 0x1000 * i + L2TLB_ENTRIES * PAGE_BYTES, 1, page_of(&w, 2 + i));
		map(&w, 0x1000 * i + 2 * L2TLB_ENTRIES * PAGE_BYTES, 1, page_of(&w, 2 + i));
	}
	cr_assert_not(page->backmaps_overflow, "there was never more than one");
	teardown(&w);
}

Test(shootdown, sweeps_after_an_overflow_and_then_knows_again)
{
	struct l2tlb_entry *e[20];
	struct guest_page *page;
	struct world w;

	setup(&w);
	page = page_of(&w, 1);
	for (unsigned i = 0; i < 20; i++)
		e[i] = map(&w, 0x1000 * i, (uint8_t)(i * 3), page);
	cr_assert(page->backmaps_overflow);
	l2tlb_drop_writes(w.l, page);
	for (unsigned i = 0; i < 20; i++)
		cr_assert(readable(e[i], 0x1000 * i) && !writable(e[i], 0x1000 * i));
	cr_assert(page->backmaps_overflow, "all twenty can still read");
	l2tlb_drop_page(w.l, page);
	for (unsigned i = 0; i < 20; i++)
		cr_assert_not(readable(e[i], 0x1000 * i));
	cr_assert_not(page->backmaps_overflow);
	e[0] = map(&w, 0x3000, 1, page);
	l2tlb_drop_page(w.l, page);
	cr_assert_not(readable(e[0], 0x3000));
	cr_assert_eq(l2tlb_stats(w.l)->sweeps, 2);
	teardown(&w);
}

Test(shootdown, two_vcpus_map_one_page)
{
	struct l2tlb_entry *mine, *yours[8];
	struct guest_page *page;
	struct guest_tlb arch;
	struct world w, v;

	setup(&w);
	v = w;
	guest_tlb_reset(&arch, 16);
	cr_assert_eq(l2tlb_new(&v.l, &arch), 0);
	page = page_of(&w, 1);
	mine = map(&w, 0x9000, 1, page);
	for (unsigned i = 0; i < 8; i++)
		yours[i] = map(&v, 0x1000 * i, 1, page);
	cr_assert(page->many_mappers && page->backmaps_overflow);
	l2tlb_drop_page(w.l, page);
	cr_assert_not(readable(mine, 0x9000));
	for (unsigned i = 0; i < 8; i++)
		cr_assert(readable(yours[i], 0x1000 * i), "each vCPU shoots down its own");
	l2tlb_drop_page(v.l, page);
	for (unsigned i = 0; i < 8; i++)
		cr_assert_not(readable(yours[i], 0x1000 * i));
	l2tlb_free(v.l);
	l2tlb_drop_page(w.l, page); /* its backmaps point into what was just freed, and are not followed */
	mine = map(&w, 0x9000, 1, page);
	l2tlb_drop_writes(w.l, page);
	cr_assert(readable(mine, 0x9000) && !writable(mine, 0x9000));
	teardown(&w);
}
