/* SPDX-License-Identifier: MIT */
#ifndef TLB_L2TLB_H
#define TLB_L2TLB_H

/*
 * The L2TLB (design.md section 3; CD99; disco-facts.md 4.4).  Two layers:
 *
 *  tables  direct-mapped arrays of struct l2tlb_entry that translated code probes inline.  One per address space
 *	    for user mode, and one per vCPU for kernel mode (KSEG0/1/2/3 is the same in all address spaces; its
 *	    kuseg entries are dropped on an ASID change).  Pure caches: losing an entry costs a refill only.
 *  banks   per address space (plus one for global entries): translations that TLBWR has evicted from the guest's TLB
 *	    and that the guest cannot know to be gone (tlb/README.md has the rules).  A table miss that a bank answers
 *	    is a refill served without the guest.  What is in a bank depends only on the sequence of guest TLB
 *	    operations, never on probes, so that a guest takes the same exceptions under every tier.  Bounded; a bank
 *	    that overflows starts over empty.
 */
#include "tlb/guest_tlb.h"
#include "tlb/l2tlb_jit.h"

#include "numa/numa.h"

struct l2tlb;

struct l2tlb_stats {
	uint64_t
	    refills_bank; /* table misses that a bank answered: guest refill handler not run, entry not in its TLB */
	uint64_t refills_arch;  /* ... answered by an entry that the architectural TLB still holds */
	uint64_t brought_back;  /* misses that an entry answered whose place another page had taken */
	uint64_t refills_guest; /* guest TLB refill exceptions; vmm/ counts them */
	uint64_t bank_swaps, banks_dropped, shootdowns;
	uint64_t tables_recycled; /* user tables taken from another ASID */
	uint64_t sweeps;          /* shootdowns that had to look at every entry: backmaps had overflowed */
};

/*
 * 0 or -ENOMEM.  The kernel table of ASID 0 is in force at first.  arch must outlive the L2TLB, and is what the guest's
 * TLB instructions change; each change is followed by l2tlb_on_write().
 */
MUST_CHECK int l2tlb_new(struct l2tlb **out, struct guest_tlb *arch);
/*
 * At most so many address spaces have a table at a time (1 .. 64, which is the default); the one not used for longest gives its own
 * up.  Before any is made.
 */
void l2tlb_limit_tables(struct l2tlb *l, unsigned user);
/* Of address space that one takes. */
uint64_t l2tlb_bytes(void);
/* What it takes of the host's memory: tables and banks.  Any thread. */
uint64_t l2tlb_takes(const struct l2tlb *l);
/* Before the guest's memory is freed; machine pages may go on holding backmaps into it. */
void l2tlb_free(struct l2tlb *l);
/* Reset of the vCPU, after guest_tlb_reset(): banks and tables forget everything. */
void l2tlb_reset(struct l2tlb *l);

/* The table for this ASID and privilege; makes it if need be. Call on every change of either. Never NULL. */
struct l2tlb_table *l2tlb_select(struct l2tlb *l, uint8_t asid, bool user);

/*
 * Authoritative translation of a mapped address: the architectural TLB first, then the bank.
 * A kept translation that does not allow the access answers GUEST_TLB_REFILL: the guest must then find the entry in its
 * own TLB before it sees INVALID, MODIFIED, RI or XI, because its handlers look it up with TLBP.
 * Context vCPU thread; slow path.  Changes no bank.
 * Cost O(entries of the architectural TLB).
 */
enum tlb_result l2tlb_translate(struct l2tlb *l, struct gva va, uint8_t asid, enum tlb_access acc, struct gpa *out,
				bool *dirty);

/*
 * Fill the table in force for va's page.  Tags say which accesses hit; write only if the caller allows it (dirty, and
 * guest_page_writable()); code_id: of the page's code record, 0: not to be executed from.  Registers the backmap.  Tags that the
 * entry already has for the same page stay.
 * A mapped address must have been translated just before, by l2tlb_translate(), for the ASID and mode in force;
 * unmapped ones (KSEG0/KSEG1, ERL-kuseg) just come.
 */
void l2tlb_fill(struct l2tlb *l, struct gva va, struct guest_page *g, bool read, bool write, uint32_t code_id);

/*
 * Another page may have taken the place of va's entry in the table in force, and not its tags.  True: it is there again, and the other
 * one is not.  Context vCPU thread.  Cost O(1).
 */
bool l2tlb_bring_back(struct l2tlb *l, struct gva va);

/* The guest wrote TLB entry i (old is what it held). Called after the architectural TLB was changed. */
void l2tlb_on_write(struct l2tlb *l, unsigned i, const struct guest_tlb_entry *old, bool random);
/*
 * TLBP for va missed in the architectural TLB, or a refill exception for va was raised / TLBR read entry i: drop what
 * the guest has now seen to be gone.
 */
void l2tlb_on_probe_miss(struct l2tlb *l, struct gva va, uint8_t asid);
void l2tlb_on_read(struct l2tlb *l, unsigned i);

/*
 * The monitor takes something away from a guest page.  (Where two guest pages of the VM are one machine page, entries of the
 * other one may go too.)
 */
void l2tlb_drop_writes(struct l2tlb *l, struct guest_page *g);
void l2tlb_drop_page(struct l2tlb *l, struct guest_page *g);
/* Would that take anything away?  May say so where it is not known. */
bool l2tlb_maps(const struct l2tlb *l, const struct guest_page *g);
/* It is not of its code record any more. */
void l2tlb_drop_code(struct l2tlb *l, struct guest_page *g);
/* What tables have of va's page, in any space. Nothing of it is looked at before it is filled again. */
void l2tlb_drop_address(struct l2tlb *l, struct gva va);
/* Forget every table entry of every space (not the banks).  Also what a change of Status.ERL calls for. */
void l2tlb_flush_tables(struct l2tlb *l);

/*
 * All that the L2TLB has which a guest could notice: the kept translations.  For who goes back to an earlier state of the machine
 * (vmm/replay/snapshot.h).  out NULL: only how many there are.
 */
struct l2tlb_kept {
	struct guest_tlb_entry e;
	uint8_t slot;
};
unsigned l2tlb_kept(const struct l2tlb *l, struct l2tlb_kept *out);
/* These are kept, and no others; tables forget everything. The architectural TLB is as it was then. */
void l2tlb_keep(struct l2tlb *l, const struct l2tlb_kept *kept, unsigned n);

struct l2tlb_audit {
	/* The guest page of a guest physical address; NULL: it is no memory. */
	struct guest_page *(*row)(void *opaque, struct gpa pa);
	/* Of the record that the page has, which an exec word must name; 0: it has none. */
	uint32_t (*code_id)(void *opaque, const struct machine_page *page);
	void *opaque;
};
/*
 * Does each tag lead to the machine page that its guest page has, with no more rights, to the code record that it has, and does
 * the guest page know of it?  The vCPU changes nothing meanwhile.  *entries: + how many had a tag.
 * Returns the number of errors; the first one as text in first[bytes].
 */
unsigned l2tlb_audit(const struct l2tlb *l, const struct l2tlb_audit *ask, uint64_t *entries, char *first,
		     size_t bytes);

struct l2tlb_counts {
	uint64_t entries; /* of tables, that have a tag */
	unsigned tables;  /* that have any */
	unsigned kept;    /* translations in banks */
};
/* The vCPU changes nothing meanwhile. Cost O(entries that were filled). */
void l2tlb_count(const struct l2tlb *l, struct l2tlb_counts *out);

const struct l2tlb_stats *l2tlb_stats(const struct l2tlb *l);
struct l2tlb_stats *l2tlb_stats_mut(struct l2tlb *l);

#endif
