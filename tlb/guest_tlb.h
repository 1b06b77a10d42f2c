/* SPDX-License-Identifier: MIT */
#ifndef TLB_GUEST_TLB_H
#define TLB_GUEST_TLB_H

/*
 * The architectural TLB: what TLBR, TLBP and the guest's own idea of its TLB see (MIPS32 PRA volume III, "TLB-based
 * virtual address translation").  Never consulted by translated code.
 */
#include "base/types.h"

#define GUEST_TLB_MAX 64

/* As the guest wrote it, in CP0 register layout (zero-extended). */
struct guest_tlb_entry {
	uint64_t vpn2; /* EntryHi with ASID and, under mask, low bits cleared */
	uint32_t mask; /* PageMask register: bits 28:13 */
	uint8_t asid;
	bool global;     /* EntryLo0.G & EntryLo1.G */
	bool hw_invalid; /* EHINV, or never written since reset: matches nothing */
	uint64_t lo[2];  /* EntryLo0/1: RI 31, XI 30, PFN 29:6, C 5:3, D 2, V 1, G 0 */
};

struct guest_tlb {
	unsigned n; /* entries, <= GUEST_TLB_MAX */
	struct guest_tlb_entry e[GUEST_TLB_MAX];
};

#define ENTRYLO_G  (1u << 0)
#define ENTRYLO_V  (1u << 1)
#define ENTRYLO_D  (1u << 2)
#define ENTRYLO_XI (1u << 30)
#define ENTRYLO_RI (1u << 31)

enum tlb_access { TLB_READ, TLB_WRITE, TLB_EXEC };
enum tlb_result {
	GUEST_OK,
	GUEST_TLB_REFILL,
	GUEST_TLB_INVALID,
	GUEST_TLB_MODIFIED,
	GUEST_TLB_RI,
	GUEST_TLB_XI,
	GUEST_ADDRESS_ERROR
};

void guest_tlb_reset(struct guest_tlb *t, unsigned entries);
/* Index of the entry that matches, or -1. O(entries). */
int guest_tlb_find(const struct guest_tlb *t, struct gva va, uint8_t asid);
/*
 * Translate through one entry.  page_bytes gets the size of the half that matched; dirty whether writes are allowed.
 * Returns GUEST_OK or why not (REFILL never).
 */
enum tlb_result guest_tlb_entry_translate(const struct guest_tlb_entry *e, struct gva va, enum tlb_access acc,
					  struct gpa *out, uint64_t *page_bytes, bool *dirty);
/* find + translate; GUEST_TLB_REFILL if nothing matches. */
enum tlb_result guest_tlb_translate(const struct guest_tlb *t, struct gva va, uint8_t asid, enum tlb_access acc,
				    struct gpa *out, uint64_t *page_bytes, bool *dirty);

/* Does the entry cover va in this address space? */
bool guest_tlb_entry_matches(const struct guest_tlb_entry *e, struct gva va, uint8_t asid);

/*
 * The legal PageMask that a value stands for: its ones from bit 13 up, in pairs.  Other patterns are UNPREDICTABLE in
 * the manual; here the entry has the largest page size that the pattern holds without a gap (tests/unit/tlb_guest.c).
 */
uint32_t guest_tlb_mask_legal(uint32_t mask);
/* Bytes that an entry covers: two pages. */
uint64_t guest_tlb_entry_bytes(const struct guest_tlb_entry *e);
/* Is there an address, in some address space, that both entries cover? */
bool guest_tlb_entries_overlap(const struct guest_tlb_entry *a, const struct guest_tlb_entry *b);

#endif
