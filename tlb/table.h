/* SPDX-License-Identifier: MIT */
#ifndef TLB_TABLE_H
#define TLB_TABLE_H

/*
 * Private to tlb/: the tables that translated code probes, and struct l2tlb itself.
 *
 * Invariant: an entry of a table with a valid tag for a mapped page is backed by an architectural entry or by a kept
 * translation that allows at least that access.  So whoever ends a translation calls tables_purge() for its range.
 */
#include "tlb/bank.h"
#include "tlb/l2tlb.h"

#define TABLE_KERNEL 0u
#define TABLES       65u /* the kernel's, and 64 for user address spaces */
#define TABLE_WORDS  (L2TLB_ENTRIES / 64)

/* Addends of 2 MiB of the guest's addresses: one host page of read[], one of write[]. */
#define CHUNK_OF(va)   ((unsigned)((va) >> (PAGE_SHIFT + 9)))
#define CHUNKS         (L2TLB_PAGES >> 9)
#define CHUNK_WORDS    (CHUNKS / 64)
#define CHUNKS_AT_MOST 256u /* of a table: 2 MiB of the host's memory */

struct table {
	bool made;                    /* its entries have been initialised */
	uint16_t n_chunks;            /* bits of chunk[] */
	uint64_t chunk[CHUNK_WORDS];  /* host pages of addends that were written to: by CHUNK_OF() */
	int16_t asid;                 /* -1: none */
	uint64_t last_use;            /* l2tlb.tick */
	uint64_t filled[TABLE_WORDS]; /* entries that may hold a valid tag: what emptying a table costs */
	uint64_t local[TABLE_WORDS];  /* kernel table: those that hold for its ASID only */
};

enum source { FROM_NONE, FROM_ARCH, FROM_BANK };

/* What the last l2tlb_translate() found, for the l2tlb_fill() that follows it. */
struct last_translation {
	enum source from;
	uint64_t page; /* gva */
	bool global;
};

struct l2tlb {
	struct guest_tlb *arch;
	struct l2tlb_table *tables; /* [TABLES], in one mapping; none can be used that is not made */
	uint64_t takes;             /* atomic: bytes of those that are made */
	struct table table[TABLES];
	unsigned in_use;      /* of table[]: the others are never made */
	uint8_t of_asid[256]; /* user table of an ASID; 0: none */
	unsigned current;     /* table in force */
	uint8_t kernel_asid;  /* whose kuseg the kernel table holds */
	uint64_t tick;
	struct last_translation last;
	struct banks banks;
	struct l2tlb_stats stats;
};

/* 0 or -ENOMEM. */
MUST_CHECK int tables_init(struct l2tlb *l);
void tables_fini(struct l2tlb *l);
/* Of the host's memory, at most. Any thread. */
uint64_t tables_take(const struct l2tlb *l);
/* Drop what any table holds of e's range in e's address spaces. Cost O(pages), at most O(entries of a table). */
void tables_purge(struct l2tlb *l, const struct guest_tlb_entry *e);

/* Does a backmap of the guest page, which may have too many, lead to the entry? */
bool l2tlb_knows_place(const struct l2tlb *l, const struct guest_page *g, const struct l2tlb_entry *e);

#endif
