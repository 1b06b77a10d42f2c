/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "tlb/guest_tlb.h"

#define LO(pfn, bits) ((uint64_t)(pfn) << 6 | (bits))

static enum tlb_result ask(const struct guest_tlb *t, uint64_t va, uint8_t asid, enum tlb_access acc, uint64_t *pa)
{
	struct gpa out = gpa(0);
	uint64_t bytes;
	bool dirty;
	enum tlb_result r = guest_tlb_translate(t, gva(va), asid, acc, &out, &bytes, &dirty);

	*pa = out.v;
	return r;
}

Test(guest_tlb, reset_matches_nothing)
{
	struct guest_tlb t;
	uint64_t pa;

	guest_tlb_reset(&t, 16);
	cr_assert_eq(t.n, 16);
	for (uint64_t va = 0; va < 1ull << 32; va += 0x12345000)
		cr_assert_eq(ask(&t, va, 0, TLB_READ, &pa), GUEST_TLB_REFILL);
	guest_tlb_reset(&t, 1000);
	cr_assert_eq(t.n, GUEST_TLB_MAX);
}

Test(guest_tlb, all_page_sizes)
{
	for (unsigned class = 0; class <= 8; class ++) {
		uint64_t page = 4096ull << 2 * class, base = 0x40000000;
		struct guest_tlb t;
		uint64_t pa, bytes;
		struct gpa out;
		bool dirty;

		guest_tlb_reset(&t, 4);
		t.e[2] = (struct guest_tlb_entry){
		    .vpn2 = base,
		    .mask = (uint32_t)((page * 2 - 1) & ~0x1fffull),
		    .asid = 9,
		    /* low PFN bits, which the page size hides, are set on purpose */
		    .lo = {LO(0x80000 | ((page >> 12) - 1), ENTRYLO_V | ENTRYLO_D),
			   LO(0xfc0000 | ((page >> 12) - 1), ENTRYLO_V)},
		};
		cr_assert_eq(guest_tlb_entry_bytes(&t.e[2]), 2 * page);
		cr_assert_eq(ask(&t, base + 4, 9, TLB_READ, &pa), GUEST_OK);
		cr_assert_eq(pa, (0x80000000ull & ~(page - 1)) + 4, "class %u: %lx", class, pa);
		cr_assert_eq(ask(&t, base + page - 1, 9, TLB_WRITE, &pa), GUEST_OK);
		cr_assert_eq(pa, (0x80000000ull & ~(page - 1)) + page - 1);
		cr_assert_eq(ask(&t, base + page, 9, TLB_READ, &pa), GUEST_OK);
		cr_assert_eq(pa, 0xfc0000000ull & ~(page - 1), "36 bits of physical address");
		cr_assert_eq(ask(&t, base + page, 9, TLB_WRITE, &pa), GUEST_TLB_MODIFIED);
		cr_assert_eq(ask(&t, base + 2 * page, 9, TLB_READ, &pa), GUEST_TLB_REFILL);
		cr_assert_eq(ask(&t, base - 1, 9, TLB_READ, &pa), GUEST_TLB_REFILL);
		cr_assert_eq(guest_tlb_translate(&t, gva(base), 9, TLB_READ, &out, &bytes, &dirty), GUEST_OK);
		cr_assert_eq(bytes, page);
		cr_assert(dirty);
		cr_assert_eq(guest_tlb_find(&t, gva(base + 2 * page - 1), 9), 2);
	}
}

Test(guest_tlb, odd_masks_are_the_largest_page_without_a_gap)
{
	cr_assert_eq(guest_tlb_mask_legal(0), 0);
	cr_assert_eq(guest_tlb_mask_legal(0x6000), 0x6000);
	cr_assert_eq(guest_tlb_mask_legal(0x1fffe000), 0x1fffe000);
	cr_assert_eq(guest_tlb_mask_legal(0xffffffff), 0x1fffe000);
	cr_assert_eq(guest_tlb_mask_legal(0x2000), 0);
	cr_assert_eq(guest_tlb_mask_legal(0xe000), 0x6000);
	cr_assert_eq(guest_tlb_mask_legal(0x18000), 0);
	cr_assert_eq(guest_tlb_mask_legal(0x1fffc000), 0);
	for (uint32_t x = 0; x < 1u << 16; x++) {
		struct guest_tlb_entry e = {.vpn2 = 0, .mask = x << 13, .asid = 1};
		uint64_t bytes = guest_tlb_entry_bytes(&e);

		cr_assert(bytes >= 8192 && bytes <= 512u << 20 && !(bytes & (bytes - 1)));
		cr_assert(guest_tlb_entry_matches(&e, gva(bytes - 1), 1));
		cr_assert_not(guest_tlb_entry_matches(&e, gva(bytes), 1));
	}
}

Test(guest_tlb, asid_and_global)
{
	struct guest_tlb_entry local = {.vpn2 = 0x2000, .asid = 5},
			       global = {.vpn2 = 0x2000, .asid = 5, .global = true};

	for (unsigned asid = 0; asid < 256; asid++) {
		cr_assert_eq(guest_tlb_entry_matches(&local, gva(0x3fff), (uint8_t)asid), asid == 5);
		cr_assert(guest_tlb_entry_matches(&global, gva(0x2000), (uint8_t)asid));
	}
	local.hw_invalid = global.hw_invalid = true;
	cr_assert_not(guest_tlb_entry_matches(&local, gva(0x2000), 5));
	cr_assert_not(guest_tlb_entry_matches(&global, gva(0x2000), 5));
}

/* PRA volume III, TLB lookup pseudocode: V, then RI and XI, then D. */
Test(guest_tlb, permission_matrix)
{
	for (unsigned bits = 0; bits < 16; bits++) {
		bool v = bits & 1, d = bits & 2, ri = bits & 4, xi = bits & 8;
		uint32_t lo = (v ? ENTRYLO_V : 0) | (d ? ENTRYLO_D : 0) | (ri ? ENTRYLO_RI : 0) | (xi ? ENTRYLO_XI : 0);

		for (unsigned half = 0; half < 2; half++) {
			struct guest_tlb t;
			uint64_t pa, va = 0x7fff2000 + half * 0x1000;

			guest_tlb_reset(&t, 64);
			t.e[63] = (struct guest_tlb_entry){.vpn2 = 0x7fff2000};
			t.e[63].lo[half] = LO(0x123, lo);
			cr_assert_eq(ask(&t, va, 0, TLB_READ, &pa), !v   ? GUEST_TLB_INVALID
								    : ri ? GUEST_TLB_RI
									 : GUEST_OK);
			cr_assert_eq(ask(&t, va, 0, TLB_EXEC, &pa), !v   ? GUEST_TLB_INVALID
								    : xi ? GUEST_TLB_XI
									 : GUEST_OK);
			cr_assert_eq(ask(&t, va, 0, TLB_WRITE, &pa), !v  ? GUEST_TLB_INVALID
								     : d ? GUEST_OK
									 : GUEST_TLB_MODIFIED);
			if (v && d)
				cr_assert_eq(pa, 0x123000);
			cr_assert_eq(ask(&t, va ^ 0x1000, 0, TLB_READ, &pa), GUEST_TLB_INVALID, "the other half");
		}
	}
}

Test(guest_tlb, lowest_index_of_a_duplicate_wins)
{
	struct guest_tlb t;
	uint64_t pa;

	guest_tlb_reset(&t, 8);
	t.e[6] = (struct guest_tlb_entry){.vpn2 = 0x4000, .lo = {LO(6, ENTRYLO_V)}};
	t.e[3] = (struct guest_tlb_entry){.vpn2 = 0x4000, .lo = {LO(3, ENTRYLO_V)}};
	cr_assert_eq(ask(&t, 0x4000, 0, TLB_READ, &pa), GUEST_OK);
	cr_assert_eq(pa, 0x3000);
	t.n = 3;
	cr_assert_eq(ask(&t, 0x4000, 0, TLB_READ, &pa), GUEST_TLB_REFILL, "entries beyond n do not exist");
}

Test(guest_tlb, overlap)
{
	struct guest_tlb_entry small = {.vpn2 = 0x12000, .asid = 1},
			       large = {.vpn2 = 0x10000, .mask = 0x6000, .asid = 1};

	cr_assert(guest_tlb_entries_overlap(&small, &large));
	cr_assert(guest_tlb_entries_overlap(&large, &small));
	small.asid = 2;
	cr_assert_not(guest_tlb_entries_overlap(&small, &large));
	large.global = true;
	cr_assert(guest_tlb_entries_overlap(&small, &large));
	small.vpn2 = 0x18000;
	cr_assert_not(guest_tlb_entries_overlap(&small, &large));
	large.mask = 0x1e000;
	cr_assert_not(
	    guest_tlb_entries_overlap(&small, &(struct guest_tlb_entry){.vpn2 = 0x18000, .hw_invalid = true}));
	large.vpn2 = 0;
	cr_assert(guest_tlb_entries_overlap(&small, &large));
}
