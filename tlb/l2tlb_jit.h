/* SPDX-License-Identifier: MIT */
#ifndef TLB_L2TLB_JIT_H
#define TLB_L2TLB_JIT_H

/*
 * What translated code knows of the L2TLB: the layout that its inlined probe reads.
 *
 *   index = (gva >> PAGE_SHIFT) & (L2TLB_ENTRIES - 1)
 *   hit   = (gva & (~PAGE_MASK | (access_bytes - 1))) == entry.tag
 *   host  = gva + entry.addend
 *
 * The low address bits take part in the compare, so a misaligned access misses.  Bit 11 of an invalid tag is
 * set, and no access mask has bit 11, so an invalid tag never matches.
 */
#include "base/types.h"

#define L2TLB_ENTRIES_LOG2 12
#define L2TLB_ENTRIES      (1u << L2TLB_ENTRIES_LOG2)
#define L2TLB_TAG_INVALID  ((uint64_t)0x800)

struct l2tlb_entry {
	uint64_t read_tag;
	uint64_t write_tag; /* invalid where the guest may not write, or the monitor wants to see writes */
	uint64_t exec_tag;
	int64_t addend; /* host address minus gva; same page, same addend + gva: identifies the machine page */
};

#endif
