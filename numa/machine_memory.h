/* SPDX-License-Identifier: MIT */
#ifndef NUMA_MACHINE_MEMORY_H
#define NUMA_MACHINE_MEMORY_H

/* Private to numa/: the nodes, the memmap, who uses a machine page and what finds it, the pmap. */
#include <pthread.h>

#include "numa/share.h"

/*
 * A hole costs some 20 us, most of it for the TLBs of the host's other CPUs, and a fault when it is filled again.  Eight machines that boot
 * beside each other give back 70,000 pages one by one, in seconds.
 */
enum { NODE_KEEPS = 512 };

/*
 * One node's memory: a memfd (so that a page can later be mapped a second time) and one mapping of all of it.  The host
 * commits a page when it is first touched.
 */
struct node {
	int fd;
	uint8_t *base;
	uint32_t first_mpn;
	uint32_t pages;

	/* Guarded by machine_memory.lock. */
	uint32_t used;
	uint32_t high;    /* no page at or above that was ever used */
	uint32_t words;   /* of bitmap */
	uint32_t cursor;  /* word where the last free page was found */
	uint64_t *bitmap; /* 1: in use, kept, or beyond the node */
	uint32_t *kept;   /* [NODE_KEEPS]: free pages of zeroes that the host need not commit again, the last on top */
	uint32_t n_kept;
	uint8_t *nearest; /* all nodes, by distance from this one */
};

enum name_kind { NAME_BLOCK, NAME_EQUAL };

struct page_name {
	struct page_name *next_in_bucket, *next_of_page;
	struct machine_page *page;
	enum name_kind kind;
	uint32_t seen; /* NAME_BLOCK: what the bytes hashed to when an audit came by; 0: none has yet */
	uint64_t hi, lo;
};

/*
 * Bytes that were seen somewhere when a scan came by; whoever sees them elsewhere makes that page shared.  Parts of both: what is
 * taken for the same and is not becomes a page that nobody shares.
 */
struct candidate {
	uint32_t hash, where; /* 0: empty */
};

/* What is shared, and can be found.  Guarded by machine_memory.lock. */
struct sharing {
	bool on;
	struct page_name **bucket; /* [buckets]; demand zero */
	uint64_t buckets;          /* power of two */
	struct candidate *
	    candidate; /* [2 * candidates]: the last two that came to a place; demand zero, and all of it soon in use */
	uint64_t candidates; /* power of two */
	struct share_image *image;
	uint32_t images;
	struct machine_page *oldest, *newest; /* pages that have names and no users */
	uint64_t idle;                        /* of them */
	uint64_t filling;                     /* share_page_new() */
	uint64_t lent;                        /* pmap_lend() */
	uint64_t pages[NUM_MEMORY_CLASSES];   /* shared machine pages */
};

struct machine_memory {
	unsigned n_nodes;
	uint32_t pages;              /* of address space */
	struct machine_page *memmap; /* [pages]; a row of zeroes is a free page */
	size_t memmap_bytes;
	uint8_t *reserved; /* of the host's addresses; in it, aligned: */
	size_t reserved_bytes;
	uint8_t *base; /* of all nodes' memory */
	struct node node[NUMA_MAX_NODES];
	struct machine_page zero; /* what never written memory reads as; its host memory is read-only */
	void (*code_gone)(void *opaque, struct machine_page *page);
	void *opaque;

	pthread_mutex_t lock;   /* guards all below, and what says so */
	uint32_t limit;         /* pages that may be in use; atomic, read without it too */
	struct pmap *pmaps;     /* alive, through pmap.next */
	struct region *regions; /* through region.next */
	struct sharing sharing;
	const struct machine_page *moving; /* about to go elsewhere (move.h): nobody new comes to it; or NULL */
	uint32_t dropping; /* pages of nobody that are on their way to the host, and cannot be taken yet */
	uint32_t audits;   /* machine_memory_audit() */
};

/* Flat: 56 bytes per page of guest memory, and calloc() leaves the host to commit only the parts in use. */
struct pmap {
	struct machine_memory *memory;
	struct pmap *next; /* machine_memory.pmaps */
	uint64_t pages;
	struct guest_page *row; /* by gpn */
	unsigned node;          /* that was last at the door: of several copies of a page, the one there */
	struct pmap_ops ops;
	struct replicas *replicas; /* replica.c; NULL: there have been none */
	uint64_t scan;             /* where pmap_merge() goes on */
	/* Machine pages of no guest page any more that a request in flight has: PAGE_USER_HELD. */
	struct machine_page **held;
	uint32_t n_held, held_room;
	struct pmap_stats stats;
	uint64_t class_pages[NUM_MEMORY_CLASSES]; /* written by the VM's thread, read by any */
};

/* ---- machine_memory.c ---- */
/*
 * A zeroed page on `node`, or on the nearest one with room; nobody's yet.  NULL: machine memory is exhausted.
 * Context any thread.  Cost amortised O(1).
 */
struct machine_page *machine_page_alloc(struct machine_memory *m, unsigned node);
/* The same of that node only.  machine_memory.lock held. */
struct machine_page *machine_page_alloc_there(struct machine_memory *m, unsigned node);
/*
 * Give `count` pages, which nobody uses, back to the node they are all of, and their memory to the host: but for a few that the next to ask gets.
 */
void machine_pages_free(struct machine_memory *m, uint32_t mpn, uint32_t count);

/* ---- users.c: machine_memory.lock held, but where it says otherwise ---- */
/* 0; -EBUSY: it is about to move; or -ENOMEM. The first user gets neither. */
MUST_CHECK int page_user_add(struct machine_memory *m, struct machine_page *page, struct pmap *p, uint64_t gpn);
/* True: it has no users and no names now, and is to be freed. */
bool page_user_remove(struct machine_memory *m, struct machine_page *page, struct pmap *p, uint64_t gpn);
void page_user_hold(struct machine_page *page, struct pmap *p, uint64_t gpn);
/* The n-th of its users. */
struct page_user *page_user_at(struct machine_page *page, uint32_t n);
/* Remove a user, and free the page if it was the last.  Takes the lock. */
void page_user_leave(struct machine_memory *m, struct machine_page *page, struct pmap *p, uint64_t gpn);
/* Give back up to `max` pages that have names and no users, the oldest first: how many.  Takes the lock. */
unsigned page_reclaim(struct machine_memory *m, unsigned max);
/* As many that no more are left than their part of machine memory.  Takes the lock. */
void page_reclaim_crowd(struct machine_memory *m);

/* ---- names.c: machine_memory.lock held ---- */
MUST_CHECK int sharing_init(struct machine_memory *m);
void sharing_fini(struct machine_memory *m);
/*
 * Of several pages with a name, which hold the same on different nodes (move.h), the one on `node`, or any other.
 */
struct machine_page *page_find(const struct machine_memory *m, enum name_kind kind, uint64_t hi, uint64_t lo,
			       unsigned node);
/* Another page that holds the same, on that node; or NULL. */
struct machine_page *page_copy_on(const struct machine_memory *m, const struct machine_page *page, unsigned node);
/* to, which has none, gets the names that from has. 0 or -ENOMEM: it has none. */
MUST_CHECK int page_names_copy(struct machine_memory *m, const struct machine_page *from, struct machine_page *to);
/* 0 or -ENOMEM.  The page is shared, and its flags say as what. */
MUST_CHECK int page_name_add(struct machine_memory *m, struct machine_page *page, enum name_kind kind, uint64_t hi,
			     uint64_t lo);
bool page_has_block_name(const struct machine_page *page);
/* Nobody may write to it from now on; flags: PAGE_EQUAL or 0.  Its users have no write tags. */
void page_share(struct machine_memory *m, struct machine_page *page, unsigned flags);
/* It is nobody else's any more: its names go too.  A page that is not shared is fine. */
void page_unshare(struct machine_memory *m, struct machine_page *page);
/* Was the hash seen at another place? If not, this is where it was seen. */
bool candidate_seen(struct machine_memory *m, uint64_t hash, const struct guest_page *where);

/* ---- replica.c ---- */
/* The row of the copy on that node, or the pmap's own. */
struct guest_page *replica_row(const struct pmap *p, uint64_t gpn, unsigned node);
/* The guest page has a page: do its copies hold what that does, and is all that is written down about them so?  For audits. */
bool replicas_agree(const struct pmap *p, uint64_t gpn);
/* Machine memory is exhausted: the copies of some page go, as by pmap_collapse().  False: there are none. */
bool replicas_give_way(struct pmap *p);
/* There are none any more. */
void replicas_free(struct pmap *p);

/* ---- pmap.c ---- */
/* page stands no longer for the guest page.  A device that still reads or writes it must not meet its next owner. */
void pmap_leave_page(struct pmap *p, struct machine_page *page, uint64_t gpn);
/* Room for so many pages that devices may still have, so that pmap_leave_page() cannot fail.  0 or -ENOMEM. */
MUST_CHECK int pmap_reserve_held(struct pmap *p, unsigned pages);
/* One guest page more, or less, of that class. */
void pmap_count(struct pmap *p, enum memory_class class, int by);
/* new, which has the guest page as its user already, takes the place of what it has. May fail before anything happens: -ENOMEM. */
MUST_CHECK int pmap_replace(struct pmap *p, uint64_t gpn, struct machine_page *new);
/*
 * A page of the guest's own in the place of what it has, if anything: with the same bytes, or (copy: false) of zeroes.  0 or -ENOMEM,
 * and then nothing has changed.
 */
MUST_CHECK int pmap_own_page(struct pmap *p, uint64_t gpn, unsigned node, bool copy);
bool pmap_written_in_flight(const struct pmap *p, const struct machine_page *page);
bool pmap_in_flight(const struct pmap *p, const struct machine_page *page);

/* A counter that its own thread counts and others read. */
static inline void count_up(uint64_t *counter) { __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED); }

#endif
