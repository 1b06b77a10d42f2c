/* SPDX-License-Identifier: MIT */
#ifndef TLB_BANK_H
#define TLB_BANK_H

/*
 * Private to tlb/: the banks.  They hold the kept translations: entries that the guest's TLBWR evicted from its TLB, and
 * that the guest cannot know to be gone (tlb/README.md has the rules and why they are sound).
 *
 * A kept translation has a virtual slot: the index that it was evicted from.  At most one of them answers for a given
 * address and ASID.
 */
#include "base/panic.h"
#include "tlb/guest_tlb.h"

#define BANK_GLOBAL     256u /* banks 0..255 are those of the ASIDs */
#define BANKS           257u
#define PAGE_CLASSES    9u /* 4 KiB .. 256 MiB, by 4 */
#define KEPT_MAX        (1u << 16)
#define BANK_KEPT_MAX   (1u << 15)
#define HASH_HEADS_LOG2 16

struct kept {
	struct guest_tlb_entry e;
	uint32_t hash_next; /* node numbers; 0 ends a list. Also the free list. */
	uint32_t slot_prev, slot_next;
	uint32_t bank_prev, bank_next;
	uint8_t slot;
	uint8_t page_class;
};

struct bank_list {
	uint32_t first;
	uint32_t n;
};

struct banks {
	/* Called with each translation that goes, before its storage is reused. */
	void (*on_drop)(void *arg, const struct guest_tlb_entry *e);
	void *arg;

	struct kept *node; /* [KEPT_MAX + 1]; 0 is not used */
	uint32_t *head;    /* [1 << HASH_HEADS_LOG2] */
	uint32_t fresh;    /* nodes below it have been used at least once */
	uint32_t free;
	uint32_t n; /* kept translations in all banks */
	struct bank_list bank[BANKS];
	uint32_t slot[GUEST_TLB_MAX];
	uint32_t n_class[PAGE_CLASSES];
	uint32_t n_local[2]; /* not global: below 2 GiB, and above */
	uint64_t overflows;  /* banks emptied for want of room */
};

/* 0 or -ENOMEM. */
MUST_CHECK int banks_init(struct banks *b, void (*on_drop)(void *arg, const struct guest_tlb_entry *e), void *arg);
void banks_fini(struct banks *b);
/* Of the host's memory, in bytes. */
uint64_t banks_take(const struct banks *b);

/* Keep e, just evicted from slot; what overlaps it goes. Cost O(1) while all pages are of one size. */
void banks_keep(struct banks *b, const struct guest_tlb_entry *e, unsigned slot);
/* The kept translation of va, or NULL. Good until the next change. Cost O(page sizes in use). */
const struct guest_tlb_entry *banks_find(const struct banks *b, struct gva va, uint8_t asid);

void banks_drop_va(struct banks *b, struct gva va, uint8_t asid);
void banks_drop_slot(struct banks *b, unsigned slot);
void banks_drop_overlap(struct banks *b, const struct guest_tlb_entry *e);
void banks_drop_all(struct banks *b);

#endif
