/* SPDX-License-Identifier: MIT */
#include "tlb/l2tlb.h"

#include <errno.h>
#include <stdlib.h>

#include "base/segments.h"
#include "tlb/table.h"

static void purge_dropped(void *arg, const struct guest_tlb_entry *e) { tables_purge(arg, e); }

int l2tlb_new(struct l2tlb **out, struct guest_tlb *arch)
{
	struct l2tlb *l = calloc(1, sizeof(*l));
	int err;

	*out = NULL;
	if (!l)
		return -ENOMEM;
	l->arch = arch;
	err = banks_init(&l->banks, purge_dropped, l);
	if (!err)
		err = tables_init(l);
	if (err) {
		l2tlb_free(l);
		return err;
	}
	*out = l;
	return 0;
}

void l2tlb_limit_tables(struct l2tlb *l, unsigned user)
{
	ASSERT(user >= 1 && user < TABLES);
	l->in_use = user + 1;
}

void l2tlb_free(struct l2tlb *l)
{
	if (!l)
		return;
	tables_fini(l);
	banks_fini(&l->banks);
	free(l);
}

uint64_t l2tlb_takes(const struct l2tlb *l) { return tables_take(l) + banks_take(&l->banks); }

void l2tlb_reset(struct l2tlb *l)
{
	banks_drop_all(&l->banks);
	l2tlb_flush_tables(l);
	l->last.from = FROM_NONE;
}

enum tlb_result l2tlb_translate(struct l2tlb *l, struct gva va, uint8_t asid, enum tlb_access acc, struct gpa *out,
				bool *dirty)
{
	int i = guest_tlb_find(l->arch, va, asid);
	const struct guest_tlb_entry *e = i >= 0 ? &l->arch->e[i] : banks_find(&l->banks, va, asid);
	enum tlb_result r;
	uint64_t page_bytes;

	*dirty = false;
	if (!e)
		return GUEST_TLB_REFILL;
	r = guest_tlb_entry_translate(e, va, acc, out, &page_bytes, dirty);
	if (r != GUEST_OK)
		return i >= 0 ? r : GUEST_TLB_REFILL;
	l->last = (struct last_translation){
	    .from = i >= 0 ? FROM_ARCH : FROM_BANK,
	    .page = va.v & ~PAGE_MASK,
	    .global = e->global,
	};
	return GUEST_OK;
}

/* ---- what the guest does to its TLB ---- */

static bool half_upgraded(uint64_t old, uint64_t new)
{
	const uint64_t pfn = 0xffffffull << 6;

	if (!(old & ENTRYLO_V))
		return true;
	if (!(new &ENTRYLO_V) || ((old ^ new) & pfn))
		return false;
	return !(old & ~new &ENTRYLO_D) && !(new & ~old &(ENTRYLO_RI | ENTRYLO_XI));
}

/*
 * Does a TLBWI do no more than allow more through the same entry?  Page fault handlers do that all the time, at an index
 * that TLBP has just told them.  The pair of invalid halves that flush loops write is never one.
 */
static bool is_upgrade(const struct guest_tlb_entry *old, const struct guest_tlb_entry *new)
{
	uint64_t bytes = guest_tlb_entry_bytes(new);

	if (old->hw_invalid || new->hw_invalid || guest_tlb_entry_bytes(old) != bytes || old->global != new->global)
		return false;
	if (((old->vpn2 ^ new->vpn2) & ~(bytes - 1)) || (!new->global && old->asid != new->asid))
		return false;
	return ((new->lo[0] | new->lo[1]) & ENTRYLO_V) && half_upgraded(old->lo[0], new->lo[0]) &&
	       half_upgraded(old->lo[1], new->lo[1]);
}

/* KSEG0 and KSEG1 are not mapped (PRA volume III, virtual memory map): an entry for them never answers. */
static bool keepable(const struct guest_tlb_entry *e)
{
	return ((e->lo[0] | e->lo[1]) & ENTRYLO_V) && !segment_is_unmapped(e->vpn2);
}

void l2tlb_on_write(struct l2tlb *l, unsigned i, const struct guest_tlb_entry *old, bool random)
{
	const struct guest_tlb_entry *new = &l->arch->e[i];

	ASSERT(i < l->arch->n);
	l->last.from = FROM_NONE;
	if (!random && !is_upgrade(old, new))
		banks_drop_slot(&l->banks, i);
	if (!new->hw_invalid) {
		banks_drop_overlap(&l->banks, new);
		tables_purge(l, new);
	}
	if (old->hw_invalid)
		return;
	if (random && keepable(old) && !guest_tlb_entries_overlap(old, new)) {
		banks_keep(&l->banks, old, i);
		l->stats.banks_dropped = l->banks.overflows;
	} else {
		tables_purge(l, old);
	}
}

void l2tlb_on_probe_miss(struct l2tlb *l, struct gva va, uint8_t asid)
{
	l->last.from = FROM_NONE;
	banks_drop_va(&l->banks, va, asid);
}

void l2tlb_on_read(struct l2tlb *l, unsigned i)
{
	l->last.from = FROM_NONE;
	banks_drop_slot(&l->banks, i);
}

unsigned l2tlb_kept(const struct l2tlb *l, struct l2tlb_kept *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < GUEST_TLB_MAX; i++)
		for (uint32_t id = l->banks.slot[i]; id; id = l->banks.node[id].slot_next, n++)
			if (out)
				out[n] = (struct l2tlb_kept){.e = l->banks.node[id].e, .slot = (uint8_t)i};
	return n;
}

void l2tlb_keep(struct l2tlb *l, const struct l2tlb_kept *kept, unsigned n)
{
	l2tlb_reset(l);
	for (unsigned i = 0; i < n; i++)
		banks_keep(&l->banks, &kept[i].e, kept[i].slot);
}

const struct l2tlb_stats *l2tlb_stats(const struct l2tlb *l) { return &l->stats; }

struct l2tlb_stats *l2tlb_stats_mut(struct l2tlb *l) { return &l->stats; }
