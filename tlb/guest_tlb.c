/* SPDX-License-Identifier: MIT */
#include "tlb/guest_tlb.h"

#include <string.h>

#define PAIR_4K         0x1fffull /* address bits below VPN2 where PageMask is 0 */
#define ENTRYLO_PFN(lo) ((lo) >> 6 & 0xffffff)

void guest_tlb_reset(struct guest_tlb *t, unsigned entries)
{
	memset(t, 0, sizeof(*t));
	t->n = entries > GUEST_TLB_MAX ? GUEST_TLB_MAX : entries;
	for (unsigned i = 0; i < GUEST_TLB_MAX; i++)
		t->e[i].hw_invalid = true;
}

uint32_t guest_tlb_mask_legal(uint32_t mask)
{
	uint32_t legal = 0;

	for (uint32_t pair = 3u << 13; pair < 1u << 29 && (mask & pair) == pair; pair <<= 2)
		legal |= pair;
	return legal;
}

uint64_t guest_tlb_entry_bytes(const struct guest_tlb_entry *e)
{
	return ((uint64_t)guest_tlb_mask_legal(e->mask) | PAIR_4K) + 1;
}

bool guest_tlb_entry_matches(const struct guest_tlb_entry *e, struct gva va, uint8_t asid)
{
	/* The cheap compare first: almost every entry fails here. */
	if (((e->vpn2 ^ va.v) & ~((uint64_t)e->mask | PAIR_4K)) || e->hw_invalid)
		return false;
	if (!e->global && e->asid != asid)
		return false;
	return !((e->vpn2 ^ va.v) & ~(guest_tlb_entry_bytes(e) - 1));
}

int guest_tlb_find(const struct guest_tlb *t, struct gva va, uint8_t asid)
{
	for (unsigned i = 0; i < t->n; i++)
		if (guest_tlb_entry_matches(&t->e[i], va, asid))
			return (int)i;
	return -1;
}

enum tlb_result guest_tlb_entry_translate(const struct guest_tlb_entry *e, struct gva va, enum tlb_access acc,
					  struct gpa *out, uint64_t *page_bytes, bool *dirty)
{
	uint64_t bytes = guest_tlb_entry_bytes(e) / 2;
	uint64_t lo = e->lo[(va.v & bytes) != 0];

	*page_bytes = bytes;
	*dirty = lo & ENTRYLO_D;
	if (!(lo & ENTRYLO_V))
		return GUEST_TLB_INVALID;
	if (acc == TLB_READ && (lo & ENTRYLO_RI))
		return GUEST_TLB_RI;
	if (acc == TLB_EXEC && (lo & ENTRYLO_XI))
		return GUEST_TLB_XI;
	if (acc == TLB_WRITE && !(lo & ENTRYLO_D))
		return GUEST_TLB_MODIFIED;
	out->v = ((ENTRYLO_PFN(lo) << PAGE_SHIFT) & ~(bytes - 1)) | (va.v & (bytes - 1));
	return GUEST_OK;
}

enum tlb_result guest_tlb_translate(const struct guest_tlb *t, struct gva va, uint8_t asid, enum tlb_access acc,
				    struct gpa *out, uint64_t *page_bytes, bool *dirty)
{
	int i = guest_tlb_find(t, va, asid);

	if (i < 0)
		return GUEST_TLB_REFILL;
	return guest_tlb_entry_translate(&t->e[i], va, acc, out, page_bytes, dirty);
}

bool guest_tlb_entries_overlap(const struct guest_tlb_entry *a, const struct guest_tlb_entry *b)
{
	uint64_t x = guest_tlb_entry_bytes(a), y = guest_tlb_entry_bytes(b);

	if (a->hw_invalid || b->hw_invalid || ((a->vpn2 ^ b->vpn2) & ~((x > y ? x : y) - 1)))
		return false;
	return a->global || b->global || a->asid == b->asid;
}
