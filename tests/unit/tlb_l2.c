/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <string.h>

#include "tlb/bank.h"
#include "tlb/l2tlb.h"

#define LO(pfn, bits) ((uint64_t)(pfn) << 6 | (bits))
#define VD            (ENTRYLO_V | ENTRYLO_D)
#define N             8u

struct world {
	struct machine_memory *m;
	struct pmap *p;
	struct guest_tlb arch;
	struct l2tlb *l;
};

static void setup(struct world *w, uint64_t pages)
{
	cr_assert_eq(
	    machine_memory_new(&w->m, &(struct machine_memory_config){.bytes = pages * PAGE_BYTES, .nodes = 1}), 0);
	cr_assert_eq(pmap_new(&w->p, w->m, pages * PAGE_BYTES), 0);
	guest_tlb_reset(&w->arch, N);
	cr_assert_eq(l2tlb_new(&w->l, &w->arch), 0);
}

static void teardown(struct world *w)
{
	l2tlb_free(w->l);
	pmap_free(w->p);
	machine_memory_free(w->m);
}

static void put(struct world *w, unsigned i, struct guest_tlb_entry e, bool random)
{
	struct guest_tlb_entry old = w->arch.e[i];

	w->arch.e[i] = e;
	l2tlb_on_write(w->l, i, &old, random);
}

static struct guest_tlb_entry pair(uint64_t va, uint8_t asid, uint64_t lo0, uint64_t lo1)
{
	return (struct guest_tlb_entry){.vpn2 = va & ~0x1fffull, .asid = asid, .lo = {lo0, lo1}};
}

static enum tlb_result ask(struct world *w, uint64_t va, uint8_t asid, enum tlb_access acc)
{
	struct gpa pa;
	bool dirty;

	return l2tlb_translate(w->l, gva(va), asid, acc, &pa, &dirty);
}

static struct guest_page *page_of(struct world *w, uint64_t pfn)
{
	int err;
	struct guest_page *page = pmap_get(w->p, gpa(pfn << PAGE_SHIFT), 0, PMAP_WRITE, &err);

	cr_assert_not_null(page);
	return page;
}

/* An access of translated code finds what this entry says, in whichever of its two places it is. */
static void check_addend(const struct l2tlb_entry *entries, uint64_t va, enum tlb_access acc)
{
	const struct l2tlb_table *table = (const void *)((const char *)entries - offsetof(struct l2tlb_table, entry));
	int64_t want = 0;

	for (unsigned other = 0; other < 2; other++) {
		const struct l2tlb_entry *e =
		    &entries[(va >> PAGE_SHIFT ^ (other ? L2TLB_ENTRIES / 2 : 0)) & (L2TLB_ENTRIES - 1)];

		if ((acc == TLB_READ ? e->read_tag : e->write_tag) == (va & ~PAGE_MASK))
			want = e->addend;
	}
	cr_assert_eq((acc == TLB_READ ? table->read : table->write)[va >> PAGE_SHIFT], want, "addend of %lx", va);
}

/* What a probe of the entries does: the host address, or NULL. */
static uint8_t *probe(const struct l2tlb_entry *table, uint64_t va, unsigned bytes, enum tlb_access acc)
{
	const struct l2tlb_entry *e = &table[(va >> PAGE_SHIFT) & (L2TLB_ENTRIES - 1)];
	uint64_t tag = acc == TLB_READ    ? e->read_tag
		       : acc == TLB_WRITE ? e->write_tag
					  : (e->exec == L2TLB_TAG_INVALID ? e->exec : (uint32_t)e->exec);

	if (acc != TLB_EXEC)
		check_addend(table, va, acc);
	if ((va & (~PAGE_MASK | (bytes - 1))) != tag)
		return NULL;
	return (uint8_t *)(uintptr_t)(va + (uint64_t)e->addend);
}

/* The slow path of an access: translate, fill. */
static void touch(struct world *w, uint64_t va, uint8_t asid, enum tlb_access acc)
{
	struct gpa pa;
	bool dirty;

	cr_assert_eq(l2tlb_translate(w->l, gva(va), asid, acc, &pa, &dirty), GUEST_OK);
	l2tlb_fill(w->l, gva(va), page_of(w, pa.v >> PAGE_SHIFT), acc == TLB_READ, acc == TLB_WRITE, acc == TLB_EXEC);
}

/* Evict what is in slot i, by a TLBWR of something far away. */
static void evict(struct world *w, unsigned i) { put(w, i, pair(0x60000000 + i * 0x2000, 200, 0, 0), true); }

/* ---- tables ---- */

Test(l2tlb, probe_hits_what_was_filled_and_nothing_else)
{
	struct world w;
	struct l2tlb_entry *t;

	setup(&w, 64);
	t = l2tlb_select(w.l, 3, true)->entry;
	for (uint64_t va = 0; va < 1u << 24; va += 0x7fc)
		cr_assert_null(probe(t, va, 4, TLB_READ), "a fresh table is empty");
	put(&w, 0, pair(0x400000, 3, LO(5, VD), LO(6, ENTRYLO_V)), false);
	touch(&w, 0x400123, 3, TLB_READ);
	cr_assert_eq(probe(t, 0x400ffc, 4, TLB_READ), page_of(&w, 5)->page->host + 0xffc);
	cr_assert_null(probe(t, 0x400ffe, 4, TLB_READ), "misaligned");
	cr_assert_eq(probe(t, 0x400fff, 1, TLB_READ), page_of(&w, 5)->page->host + 0xfff);
	cr_assert_null(probe(t, 0x400ffc, 4, TLB_WRITE));
	cr_assert_null(probe(t, 0x400ffc, 4, TLB_EXEC));
	cr_assert_null(probe(t, 0x400000 + L2TLB_ENTRIES * PAGE_BYTES, 4, TLB_READ), "same index, other page");
	touch(&w, 0x400000, 3, TLB_WRITE);
	touch(&w, 0x400000, 3, TLB_EXEC);
	for (enum tlb_access acc = TLB_READ; acc <= TLB_EXEC; acc++)
		cr_assert_eq(probe(t, 0x400008, 8, acc), page_of(&w, 5)->page->host + 8, "tags of one page add up");
	touch(&w, 0x401000, 3, TLB_READ);
	put(&w, 1, pair(0x400000 + L2TLB_ENTRIES * PAGE_BYTES, 3, LO(9, VD), LO(9, VD)), false);
	touch(&w, 0x400000 + L2TLB_ENTRIES * PAGE_BYTES, 3, TLB_READ);
	cr_assert_null(probe(t, 0x400000, 4, TLB_WRITE), "another page in the same entry takes all its tags away");
	cr_assert_eq(probe(t, 0x401000, 4, TLB_READ), page_of(&w, 6)->page->host);
	teardown(&w);
}

/* 16 MiB apart: one place in a table. Each in turn, a can be written to. */
static void map_two(struct world *w, uint64_t a, uint64_t b)
{
	put(w, 0, pair(a, 3, LO(5, VD), 0), false);
	put(w, 1, pair(b, 3, LO(9, ENTRYLO_V), 0), false);
	touch(w, a, 3, TLB_READ);
	touch(w, a, 3, TLB_WRITE);
	touch(w, b, 3, TLB_READ);
}

Test(l2tlb, a_page_that_had_to_make_room_is_brought_back_with_its_tags)
{
	const uint64_t a = 0x400000, b = a + L2TLB_ENTRIES * PAGE_BYTES;
	struct l2tlb_entry *t;
	struct world w;

	setup(&w, 64);
	t = l2tlb_select(w.l, 3, true)->entry;
	map_two(&w, a, b);
	cr_assert_null(probe(t, a, 4, TLB_READ));
	for (unsigned i = 0; i < 3; i++) {
		cr_assert(l2tlb_bring_back(w.l, gva(a + 0x123)));
		cr_assert_not(l2tlb_bring_back(w.l, gva(a)), "it is there");
		cr_assert_eq(probe(t, a, 4, TLB_READ), page_of(&w, 5)->page->host);
		cr_assert_eq(probe(t, a, 4, TLB_WRITE), page_of(&w, 5)->page->host);
		cr_assert_null(probe(t, b, 4, TLB_READ));
		cr_assert(l2tlb_bring_back(w.l, gva(b)));
		cr_assert_eq(probe(t, b, 4, TLB_READ), page_of(&w, 9)->page->host);
		cr_assert_null(probe(t, b, 4, TLB_WRITE));
	}
	cr_assert_eq(l2tlb_stats(w.l)->brought_back, 6);
	touch(&w, a, 3, TLB_EXEC); /* a fill finds it too */
	for (enum tlb_access acc = TLB_READ; acc <= TLB_EXEC; acc++)
		cr_assert_eq(probe(t, a, 4, acc), page_of(&w, 5)->page->host);
	teardown(&w);
}

/* a: of either half of a table */
static void ends_as_the_others_do(uint64_t a)
{
	const uint64_t b = a + L2TLB_ENTRIES * PAGE_BYTES;
	struct world w;

	setup(&w, 64);
	l2tlb_select(w.l, 3, true);
	map_two(&w, a, b);
	put(&w, 0, pair(0x600000, 3, LO(6, VD), 0), false);
	cr_assert_not(l2tlb_bring_back(w.l, gva(a)), "its entry of the guest's TLB is gone");
	map_two(&w, a, b);
	l2tlb_drop_page(w.l, page_of(&w, 5));
	cr_assert_not(l2tlb_bring_back(w.l, gva(a)), "its page is gone");
	map_two(&w, a, b);
	l2tlb_drop_writes(w.l, page_of(&w, 5));
	cr_assert(l2tlb_bring_back(w.l, gva(a)));
	cr_assert_null(probe(l2tlb_select(w.l, 3, true)->entry, a, 4, TLB_WRITE));
	map_two(&w, a, b);
	l2tlb_flush_tables(w.l);
	cr_assert_not(l2tlb_bring_back(w.l, gva(a)));
	l2tlb_select(w.l, 3, false); /* kernel mode: kuseg of one address space at a time */
	map_two(&w, a, b);
	l2tlb_select(w.l, 4, false);
	cr_assert_not(l2tlb_bring_back(w.l, gva(a)));
	teardown(&w);
}

Test(l2tlb, a_page_that_had_to_make_room_ends_as_the_others_do)
{
	ends_as_the_others_do(0x400000);
	ends_as_the_others_do(0xc00000);
}

/* UNPREDICTABLE in the manual; here the lowest index answers, in the tables too. */
Test(l2tlb, a_duplicate_with_a_lower_index_takes_over)
{
	struct world w;
	struct l2tlb_entry *t;

	setup(&w, 64);
	t = l2tlb_select(w.l, 1, true)->entry;
	put(&w, 5, pair(0x400000, 1, LO(5, VD), 0), false);
	touch(&w, 0x400000, 1, TLB_READ);
	put(&w, 3, pair(0x400000, 1, LO(6, VD), 0), true);
	cr_assert_null(probe(t, 0x400000, 4, TLB_READ));
	touch(&w, 0x400000, 1, TLB_READ);
	cr_assert_eq(probe(t, 0x400000, 4, TLB_READ), page_of(&w, 6)->page->host);
	put(&w, 3, pair(0x80000000, 1, 0, 0), false);
	touch(&w, 0x400000, 1, TLB_READ);
	cr_assert_eq(probe(t, 0x400000, 4, TLB_READ), page_of(&w, 5)->page->host);
	teardown(&w);
}

Test(l2tlb, a_user_table_never_answers_above_useg)
{
	struct guest_tlb_entry g = pair(0xc0000000, 1, LO(7, VD | ENTRYLO_G), LO(8, VD | ENTRYLO_G));
	struct world w;
	struct l2tlb_entry *t;

	setup(&w, 64);
	g.global = true;
	put(&w, 0, g, false);
	t = l2tlb_select(w.l, 1, true)->entry;
	touch(&w, 0xc0000000, 1, TLB_WRITE);
	cr_assert_null(probe(t, 0xc0000000, 4, TLB_WRITE), "supervisor mode would leave it to user mode");
	teardown(&w);
}

Test(l2tlb, tables_are_per_address_space)
{
	struct world w;
	struct l2tlb_entry *a, *b, *k;

	setup(&w, 64);
	a = l2tlb_select(w.l, 1, true)->entry;
	put(&w, 0, pair(0x400000, 1, LO(5, VD), 0), false);
	put(&w, 1, pair(0x400000, 2, LO(6, VD), 0), false);
	touch(&w, 0x400000, 1, TLB_READ);
	b = l2tlb_select(w.l, 2, true)->entry;
	cr_assert_neq(a, b);
	cr_assert_null(probe(b, 0x400000, 4, TLB_READ));
	touch(&w, 0x400000, 2, TLB_READ);
	cr_assert_eq(l2tlb_select(w.l, 1, true)->entry, a);
	cr_assert_eq(probe(a, 0x400000, 4, TLB_READ), page_of(&w, 5)->page->host);
	cr_assert_eq(probe(b, 0x400000, 4, TLB_READ), page_of(&w, 6)->page->host);
	k = l2tlb_select(w.l, 1, false)->entry;
	cr_assert(k != a && k != b);
	cr_assert_null(probe(k, 0x400000, 4, TLB_READ));
	cr_assert_geq(l2tlb_stats(w.l)->bank_swaps, 3);
	teardown(&w);
}

Test(l2tlb, kernel_table_loses_what_is_local_on_an_asid_change)
{
	struct guest_tlb_entry g = pair(0xc0000000, 1, LO(7, VD | ENTRYLO_G), LO(8, VD | ENTRYLO_G));
	struct world w;
	struct l2tlb_entry *k;

	setup(&w, 64);
	k = l2tlb_select(w.l, 1, false)->entry;
	g.global = true;
	put(&w, 0, pair(0x404000, 1, LO(5, VD), 0), false);
	put(&w, 1, g, false);
	put(&w, 2, pair(0xd0002000, 1, LO(9, VD), 0), false);
	touch(&w, 0x404000, 1, TLB_READ);
	touch(&w, 0xc0000000, 1, TLB_READ);
	touch(&w, 0xd0002000, 1, TLB_READ);
	l2tlb_fill(w.l, gva(0x80003000), page_of(&w, 3), true, true, true);
	cr_assert_eq(l2tlb_select(w.l, 1, false)->entry, k);
	cr_assert_not_null(probe(k, 0x404000, 4, TLB_READ));
	l2tlb_select(w.l, 2, true);
	l2tlb_select(w.l, 2, false);
	cr_assert_null(probe(k, 0x404000, 4, TLB_READ), "kuseg");
	cr_assert_null(probe(k, 0xd0002000, 4, TLB_READ), "a kseg2 page that is not global");
	cr_assert_eq(probe(k, 0xc0000010, 4, TLB_READ), page_of(&w, 7)->page->host + 0x10, "global");
	cr_assert_eq(probe(k, 0x80003004, 4, TLB_WRITE), page_of(&w, 3)->page->host + 4, "KSEG0");
	teardown(&w);
}

Test(l2tlb, user_tables_are_recycled)
{
	struct world w;
	struct l2tlb_entry *first;

	setup(&w, 512);
	first = l2tlb_select(w.l, 0, true)->entry;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned asid = 0; asid < 256; asid++) {
			struct l2tlb_entry *t = l2tlb_select(w.l, (uint8_t)asid, true)->entry;
			uint64_t va = 0x10000000 + asid * 0x2000;

			cr_assert_null(probe(t, 0x10000000 + (asid + 192) % 256 * 0x2000, 4, TLB_READ), "%u", asid);
			put(&w, asid % N, pair(va, (uint8_t)asid, LO(asid, VD), 0), true);
			touch(&w, va, (uint8_t)asid, TLB_READ);
			cr_assert_eq(probe(t, va, 4, TLB_READ), page_of(&w, asid)->page->host);
			cr_assert_eq(l2tlb_select(w.l, (uint8_t)asid, true)->entry, t);
		}
	}
	cr_assert_eq(l2tlb_stats(w.l)->tables_recycled, 3 * 256 - 64);
	cr_assert_not_null(first);
	teardown(&w);
}

Test(l2tlb, flush_and_reset)
{
	struct world w;
	struct l2tlb_entry *t;

	setup(&w, 64);
	t = l2tlb_select(w.l, 1, true)->entry;
	put(&w, 0, pair(0x400000, 1, LO(5, VD), 0), true);
	evict(&w, 0);
	touch(&w, 0x400000, 1, TLB_READ);
	l2tlb_flush_tables(w.l);
	cr_assert_null(probe(t, 0x400000, 4, TLB_READ));
	touch(&w, 0x400000, 1, TLB_READ);
	guest_tlb_reset(&w.arch, N);
	l2tlb_reset(w.l);
	cr_assert_null(probe(t, 0x400000, 4, TLB_READ));
	cr_assert_eq(ask(&w, 0x400000, 1, TLB_READ), GUEST_TLB_REFILL);
	teardown(&w);
}

/* ---- what a bank keeps, and what ends it ---- */

Test(l2tlb, an_evicted_translation_still_answers)
{
	struct world w;
	struct l2tlb_entry *t;

	setup(&w, 64);
	t = l2tlb_select(w.l, 1, true)->entry;
	put(&w, 2, pair(0x400000, 1, LO(5, VD), LO(6, ENTRYLO_V)), true);
	touch(&w, 0x400000, 1, TLB_WRITE);
	evict(&w, 2);
	cr_assert_not_null(probe(t, 0x400000, 4, TLB_WRITE), "the table did not even notice");
	cr_assert_eq(guest_tlb_find(&w.arch, gva(0x400000), 1), -1, "TLBP and TLBR see the guest's own TLB");
	touch(&w, 0x401000, 1, TLB_READ);
	cr_assert_eq(ask(&w, 0x400000, 2, TLB_READ), GUEST_TLB_REFILL, "another ASID");
	cr_assert_eq(l2tlb_stats(w.l)->refills_arch, 1);
	cr_assert_eq(l2tlb_stats(w.l)->refills_bank, 1);
	teardown(&w);
}

Test(l2tlb, a_kept_translation_only_ever_says_yes_or_refill)
{
	struct world w;

	setup(&w, 64);
	put(&w, 2, pair(0x400000, 1, LO(5, ENTRYLO_V | ENTRYLO_RI), 0), true);
	put(&w, 3, pair(0x500000, 1, LO(5, VD | ENTRYLO_XI), 0), true);
	cr_assert_eq(ask(&w, 0x400000, 1, TLB_WRITE), GUEST_TLB_MODIFIED);
	cr_assert_eq(ask(&w, 0x400000, 1, TLB_READ), GUEST_TLB_RI);
	cr_assert_eq(ask(&w, 0x401000, 1, TLB_READ), GUEST_TLB_INVALID);
	cr_assert_eq(ask(&w, 0x500000, 1, TLB_EXEC), GUEST_TLB_XI);
	evict(&w, 2);
	evict(&w, 3);
	cr_assert_eq(ask(&w, 0x400000, 1, TLB_WRITE), GUEST_TLB_REFILL);
	cr_assert_eq(ask(&w, 0x400000, 1, TLB_READ), GUEST_TLB_REFILL);
	cr_assert_eq(ask(&w, 0x401000, 1, TLB_READ), GUEST_TLB_REFILL);
	cr_assert_eq(ask(&w, 0x500000, 1, TLB_EXEC), GUEST_TLB_REFILL);
	cr_assert_eq(ask(&w, 0x400000, 1, TLB_EXEC), GUEST_OK);
	cr_assert_eq(ask(&w, 0x500000, 1, TLB_WRITE), GUEST_OK);
	teardown(&w);
}

/* One kept translation in slot 2, with its table entry. */
static struct l2tlb_entry *keep_one(struct world *w)
{
	struct l2tlb_entry *t;

	setup(w, 64);
	t = l2tlb_select(w->l, 1, true)->entry;
	put(w, 2, pair(0x400000, 1, LO(5, VD), LO(6, VD)), true);
	evict(w, 2);
	touch(w, 0x400000, 1, TLB_READ);
	touch(w, 0x401000, 1, TLB_WRITE);
	return t;
}

static bool is_kept(struct world *w, const struct l2tlb_entry *t)
{
	bool kept = ask(w, 0x400000, 1, TLB_READ) == GUEST_OK;

	cr_assert_eq(ask(w, 0x401000, 1, TLB_WRITE), kept ? GUEST_OK : GUEST_TLB_REFILL);
	if (!kept) {
		cr_assert_null(probe(t, 0x400000, 4, TLB_READ), "tables follow the banks");
		cr_assert_null(probe(t, 0x401000, 4, TLB_WRITE));
	}
	return kept;
}

Test(l2tlb, tlbp_that_misses_ends_it)
{
	struct world w;
	struct l2tlb_entry *t = keep_one(&w);

	l2tlb_on_probe_miss(w.l, gva(0x402000), 1);
	l2tlb_on_probe_miss(w.l, gva(0x400000), 2);
	cr_assert(is_kept(&w, t));
	l2tlb_on_probe_miss(w.l, gva(0x401000), 1);
	cr_assert_not(is_kept(&w, t));
	teardown(&w);
}

Test(l2tlb, tlbr_of_its_slot_ends_it)
{
	struct world w;
	struct l2tlb_entry *t = keep_one(&w);

	for (unsigned i = 0; i < N; i++)
		if (i != 2)
			l2tlb_on_read(w.l, i);
	cr_assert(is_kept(&w, t));
	l2tlb_on_read(w.l, 2);
	cr_assert_not(is_kept(&w, t));
	teardown(&w);
}

Test(l2tlb, tlbwi_to_its_slot_ends_it)
{
	struct world w;
	struct l2tlb_entry *t = keep_one(&w);

	put(&w, 3, pair(0x800000, 1, LO(9, VD), 0), false);
	put(&w, 2, pair(0x802000, 1, LO(9, VD), 0), true);
	cr_assert(is_kept(&w, t), "neither another slot nor TLBWR");
	put(&w, 2, pair(0x804000, 1, LO(9, VD), 0), false);
	cr_assert_not(is_kept(&w, t));
	teardown(&w);
}

Test(l2tlb, a_permission_upgrade_in_its_slot_does_not)
{
	struct world w;
	struct l2tlb_entry *t = keep_one(&w);

	put(&w, 2, pair(0x802000, 1, LO(9, ENTRYLO_V), 0), true);
	put(&w, 2, pair(0x802000, 1, LO(9, VD), 0), false);
	put(&w, 2, pair(0x802000, 1, LO(9, VD), LO(10, ENTRYLO_V)), false);
	cr_assert(is_kept(&w, t));
	put(&w, 2, pair(0x802000, 1, LO(11, VD), LO(10, ENTRYLO_V)), false);
	cr_assert_not(is_kept(&w, t), "another frame is no upgrade");
	teardown(&w);
}

Test(l2tlb, what_is_no_upgrade)
{
	static const uint64_t from = LO(9, VD);
	const struct {
		struct guest_tlb_entry to;
	} row[] = {
	    {pair(0x802000, 1, LO(9, ENTRYLO_V), LO(9, VD))},       /* D goes */
	    {pair(0x802000, 1, 0, LO(9, VD))},                      /* V goes */
	    {pair(0x802000, 1, LO(9, VD | ENTRYLO_RI), LO(9, VD))}, /* RI comes */
	    {pair(0x802000, 1, LO(9, VD | ENTRYLO_XI), LO(9, VD))}, /* XI comes */
	    {pair(0x802000, 2, from, from)},                        /* ASID */
	    {pair(0x804000, 1, from, from)},                        /* VPN2 */
	    {{.vpn2 = 0x802000, .asid = 1, .global = true, .lo = {from, from}}},
	    {{.vpn2 = 0x800000, .asid = 1, .mask = 0x6000, .lo = {from, from}}},
	    {{.vpn2 = 0x802000, .asid = 1, .hw_invalid = true, .lo = {from, from}}},
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct world w;
		struct l2tlb_entry *t = keep_one(&w);

		put(&w, 2, pair(0x802000, 1, from, from), true);
		cr_assert(is_kept(&w, t));
		put(&w, 2, row[i].to, false);
		cr_assert_not(is_kept(&w, t), "row %zu", i);
		teardown(&w);
	}
}

Test(l2tlb, a_new_entry_for_the_same_place_replaces_it)
{
	for (unsigned random = 0; random < 2; random++) {
		for (unsigned kind = 0; kind < 3; kind++) {
			struct world w;
			struct l2tlb_entry *t = keep_one(&w);
			struct guest_tlb_entry e = pair(0x400000, 1, LO(20, ENTRYLO_V), 0);
			struct gpa pa;
			bool dirty;

			if (kind == 1)
				e.mask = 0x6000;
			if (kind == 2)
				e.global = true, e.asid = 77;
			put(&w, 5, e, random);
			cr_assert_null(probe(t, 0x400000, 4, TLB_READ));
			cr_assert_null(probe(t, 0x401000, 4, TLB_WRITE));
			cr_assert_eq(l2tlb_translate(w.l, gva(0x400000), 1, TLB_READ, &pa, &dirty), GUEST_OK);
			cr_assert_eq(pa.v, 20 << PAGE_SHIFT);
			cr_assert_eq(ask(&w, 0x400000, 1, TLB_WRITE), GUEST_TLB_MODIFIED);
			put(&w, 5, pair(0x60000000, 1, 0, 0), false);
			cr_assert_eq(ask(&w, 0x400000, 1, TLB_READ), GUEST_TLB_REFILL, "the old one does not rise");
			teardown(&w);
		}
	}
}

/* Debian's flush of the whole TLB: a pair of invalid pages with an address of its own into each slot from Wired up. */
Test(l2tlb, a_flush_loop_ends_everything)
{
	struct world w;
	struct l2tlb_entry *t;
	unsigned wired = 2, kept = 0;

	setup(&w, 64);
	t = l2tlb_select(w.l, 1, true)->entry;
	for (unsigned i = 0; i < 200; i++) {
		put(&w, wired + i * 5 % (N - wired), pair(i * 0x2000, 1, LO(i % 64, VD), 0), true);
		touch(&w, i * 0x2000, 1, TLB_READ);
	}
	for (unsigned i = 0; i < 200; i++)
		kept += ask(&w, i * 0x2000, 1, TLB_READ) == GUEST_OK;
	cr_assert_eq(kept, 200, "6 slots look like 200");
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = wired; i < N; i++)
			put(&w, i, pair(0x80000000 + i * 0x2000, 1, 0, 0), false);
	for (unsigned i = 0; i < 200; i++) {
		cr_assert_eq(ask(&w, i * 0x2000, 1, TLB_READ), GUEST_TLB_REFILL);
		cr_assert_null(probe(t, i * 0x2000, 4, TLB_READ));
	}
	teardown(&w);
}

/* ... and of one page: TLBP, then TLBWI if it hit. */
Test(l2tlb, a_page_flush_ends_that_page_only)
{
	struct world w;

	setup(&w, 64);
	for (unsigned i = 0; i < 100; i++)
		put(&w, i % N, pair(i * 0x2000, 1, LO(i % 64, VD), 0), true);
	for (unsigned i = 0; i < 92; i += 2) { /* those from 92 on are in the guest's own TLB */
		cr_assert_eq(guest_tlb_find(&w.arch, gva(i * 0x2000), 1), -1);
		l2tlb_on_probe_miss(w.l, gva(i * 0x2000), 1);
	}
	for (unsigned i = 0; i < 100; i++)
		cr_assert_eq(ask(&w, i * 0x2000, 1, TLB_READ), i < 92 && i % 2 == 0 ? GUEST_TLB_REFILL : GUEST_OK);
	put(&w, 93 % N, pair(0x80000000, 1, 0, 0), false);
	cr_assert_eq(ask(&w, 93 * 0x2000, 1, TLB_READ), GUEST_TLB_REFILL);
	cr_assert_eq(ask(&w, 94 * 0x2000, 1, TLB_READ), GUEST_OK);
	teardown(&w);
}

Test(l2tlb, large_and_global_pages_are_kept_and_dropped_whole)
{
	for (unsigned class = 1; class <= 8; class ++) {
		uint32_t mask = (uint32_t)((8192ull << 2 * class) - 1) & ~0x1fffu;
		struct guest_tlb_entry e = {.vpn2 = 0x40000000, .mask = mask, .asid = 4};
		uint64_t half = 4096ull << 2 * class;
		struct world w;
		struct l2tlb_entry *a, *k;

		setup(&w, 4096);
		e.global = class & 1;
		e.lo[0] = e.lo[1] = LO(0, VD);
		put(&w, 1, e, true);
		evict(&w, 1);
		k = l2tlb_select(w.l, e.global ? 9 : 4, false)->entry;
		touch(&w, 0x40001000, e.global ? 9 : 4, TLB_READ);
		a = l2tlb_select(w.l, e.global ? 9 : 4, true)->entry;
		for (uint64_t off = 0; off < 2 * half && off < 64 * PAGE_BYTES; off += PAGE_BYTES)
			touch(&w, 0x40000000 + off, e.global ? 9 : 4, TLB_READ);
		touch(&w, 0x40000000 + half, e.global ? 9 : 4, TLB_READ);
		cr_assert_not_null(probe(a, 0x40000000 + half, 4, TLB_READ));
		l2tlb_on_probe_miss(w.l, gva(0x40000000 + half + 0x1000), e.global ? 77 : 4);
		for (unsigned i = 0; i < L2TLB_ENTRIES; i++)
			cr_assert(a[i].read_tag == L2TLB_TAG_INVALID && k[i].read_tag == L2TLB_TAG_INVALID);
		cr_assert_eq(ask(&w, 0x40000000, 4, TLB_READ), GUEST_TLB_REFILL);
		teardown(&w);
	}
}

Test(l2tlb, a_large_entry_ends_the_small_ones_below_it)
{
	struct guest_tlb_entry large = {.vpn2 = 0, .mask = 0x1fffe000, .asid = 1, .lo = {LO(1, VD), 0}};
	struct world w;

	for (unsigned global = 0; global < 2; global++) {
		setup(&w, 64);
		for (unsigned i = 0; i < 100; i++)
			put(&w, i % N, pair(i * 0x2000, (uint8_t)(1 + i % 3), LO(i % 64, VD), 0), true);
		large.global = global;
		put(&w, 0, large, true);
		put(&w, 0, pair(0x60000000, 1, 0, 0), false);
		for (unsigned i = 0; i < 92; i++)
			cr_assert_eq(ask(&w, i * 0x2000, (uint8_t)(1 + i % 3), TLB_READ),
				     global || i % 3 == 0 || i % N == 0 ? GUEST_TLB_REFILL : GUEST_OK, "%u", i);
		teardown(&w);
	}
}

Test(l2tlb, banks_are_bounded)
{
	struct world w;
	uint64_t kept = 0;

	setup(&w, 64);
	for (uint64_t i = 0; i < BANK_KEPT_MAX + 100; i++)
		put(&w, i % N, pair(i * 0x2000, 1, LO(i % 64, VD), 0), true);
	cr_assert_eq(l2tlb_stats(w.l)->banks_dropped, 1);
	for (uint64_t i = 0; i < BANK_KEPT_MAX + 100; i++)
		kept += ask(&w, i * 0x2000, 1, TLB_READ) == GUEST_OK;
	cr_assert_eq(kept, 100);
	for (unsigned i = 0; i < N; i++)
		cr_assert_eq(ask(&w, (BANK_KEPT_MAX + 99 - i) * 0x2000ull, 1, TLB_READ), GUEST_OK, "the guest's own");
	for (unsigned asid = 0; asid < 256; asid++) /* more than all banks together */
		for (uint64_t i = 0; i < KEPT_MAX / 200; i++)
			put(&w, i % N, pair(i * 0x2000, (uint8_t)asid, LO(i % 64, VD), 0), true);
	cr_assert_gt(l2tlb_stats(w.l)->banks_dropped, 100);
	cr_assert_eq(ask(&w, 0, 255, TLB_READ), GUEST_OK);
	teardown(&w);
}

/* The same TLB instructions leave the same banks, whatever was accessed in between. */
Test(l2tlb, banks_do_not_depend_on_accesses)
{
	struct world w[2];
	uint32_t x = 1;

	for (unsigned k = 0; k < 2; k++)
		setup(&w[k], 64);
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t va;
		bool random;

		x = x * 1664525 + 1013904223;
		va = (x >> 8 & 0xff) * 0x2000;
		random = x >> 28;
		for (unsigned k = 0; k < 2; k++)
			put(&w[k], x >> 16 & (N - 1), pair(va, x >> 20 & 1, LO(x >> 24 & 63, VD), 0), random);
		l2tlb_select(w[0].l, x >> 21 & 1, true);
		if (ask(&w[0], va, x >> 21 & 1, TLB_READ) == GUEST_OK)
			touch(&w[0], va, x >> 21 & 1, TLB_READ);
		if (i % 64 == 0)
			l2tlb_flush_tables(w[0].l);
	}
	for (unsigned asid = 0; asid < 2; asid++) {
		for (uint64_t va = 0; va < 0x200000; va += 0x1000) {
			struct gpa pa[2] = {{0}, {0}};
			enum tlb_result r[2];
			bool dirty;

			for (unsigned k = 0; k < 2; k++)
				r[k] = l2tlb_translate(w[k].l, gva(va), (uint8_t)asid, TLB_WRITE, &pa[k], &dirty);
			cr_assert_eq(r[0], r[1]);
			cr_assert_eq(pa[0].v, pa[1].v);
		}
	}
	for (unsigned k = 0; k < 2; k++)
		teardown(&w[k]);
}

/*
 * Pages far from each other take a host page of addends each: a table has so many of them, and then starts over empty.  What
 * is mapped at 600 places 2 MiB apart must not cost 4800 KiB.
 */
Test(tlb_l2, addends_take_so_much)
{
	enum { PLACES = 600, AT_MOST_KIB = 2048 + 1024 };
	struct l2tlb_table *table;
	uint64_t before;
	struct world w;

	setup(&w, 16);
	table = l2tlb_select(w.l, 1, true);
	before = l2tlb_takes(w.l);
	for (unsigned i = 0; i < PLACES; i++) {
		uint64_t va = (uint64_t)i << 21;

		put(&w, 0, pair(va, 1, LO(5, VD), 0), false);
		touch(&w, va, 1, TLB_WRITE);
		cr_assert_neq(table->write[va >> PAGE_SHIFT], 0);
		for (unsigned k = 0; k < i; k++)
			cr_assert_eq(table->write[((uint64_t)k << 21) >> PAGE_SHIFT], 0, "%u outlived TLBWI at %u", k,
				     i);
		cr_assert_leq(l2tlb_takes(w.l) - before, AT_MOST_KIB << 10, "%u places", i);
	}
	cr_assert_gt(l2tlb_takes(w.l) - before, 0);
	teardown(&w);
}

/* With two tables for user address spaces, the third one takes that of the one not used for longest. */
Test(tlb_l2, limited_tables)
{
	struct l2tlb_entry *one, *two, *three;
	struct world w;

	setup(&w, 16);
	l2tlb_limit_tables(w.l, 2);
	one = l2tlb_select(w.l, 1, true)->entry;
	two = l2tlb_select(w.l, 2, true)->entry;
	cr_assert_neq(one, two);
	cr_assert_eq(l2tlb_select(w.l, 1, true)->entry, one);
	three = l2tlb_select(w.l, 3, true)->entry;
	cr_assert_eq(three, two);
	cr_assert_eq(l2tlb_select(w.l, 2, true)->entry, one);
	cr_assert_eq(l2tlb_stats(w.l)->tables_recycled, 2u);
	teardown(&w);
}
