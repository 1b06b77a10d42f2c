/* SPDX-License-Identifier: MIT */
#ifndef TLB_L2TLB_JIT_H
#define TLB_L2TLB_JIT_H

/*
 * What translated code knows of the L2TLB: the layout that its inlined probe reads.
 *
 *   addend = table.read[gva >> PAGE_SHIFT], or write[]
 *   hit    = addend != 0 and gva is aligned
 *   host   = gva + addend
 *
 *   index  = (gva >> PAGE_SHIFT) & (L2TLB_ENTRIES - 1)
 *   code   = table.entry[index].exec == L2TLB_EXEC(gva & ~PAGE_MASK, id of the code record that the code is of)
 *
 * An address space of 32 bits has an addend for each page and kind of access: memory that is not there before it is written to.  A
 * larger one would compare with the tags of an entry, as vmm/ does:
 *
 *   hit   = (gva & (~PAGE_MASK | (access_bytes - 1))) == entry.tag
 *
 * There the low address bits take part in the compare, so a misaligned access misses.  Bit 11 of an invalid tag is
 * set, and no access mask has bit 11, so an invalid tag never matches.
 */
#include "base/types.h"

#define L2TLB_ENTRIES_LOG2 12
#define L2TLB_ENTRIES      (1u << L2TLB_ENTRIES_LOG2)
#define L2TLB_TAG_INVALID  ((uint64_t)0x800)

/*
 * 32-bit guests: a page's address in the low half, the id of its code record (jit/, never 0) above.  A page whose bytes are
 * not what they were when it got its record loses the word, so code of that record does not run there any more.
 */
#define L2TLB_EXEC(page, id) ((uint64_t)(id) << 32 | (uint32_t)(page))

struct l2tlb_entry {
	uint64_t read_tag;
	uint64_t write_tag; /* invalid where the guest may not write, or the monitor wants to see writes */
	uint64_t exec;      /* L2TLB_EXEC(): the page, and which code it has; or invalid as a tag is */
	int64_t addend;     /* host address minus gva; same page, same addend + gva: identifies the machine page */
};

#define L2TLB_PAGES (1u << (32 - PAGE_SHIFT))

struct l2tlb_table {
	int64_t read[L2TLB_PAGES], write[L2TLB_PAGES]; /* addend of the entry that has the tag; 0: none has */
	struct l2tlb_entry entry[L2TLB_ENTRIES];
};

#endif
