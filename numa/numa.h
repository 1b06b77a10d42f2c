/* SPDX-License-Identifier: MIT */
#ifndef NUMA_NUMA_H
#define NUMA_NUMA_H

/*
 * Machine memory, nodes, memmap, pmap (SOSP'97 4.2.2, 4.2.3; disco-facts.md section 4).
 *
 * Nobody outside this folder knows how a machine page is placed in the host: they go from gpa to
 * struct machine_page through the pmap and to a host pointer by page->host, one page at a time.
 */
#include "base/panic.h"
#include "base/types.h"

#define NUMA_MAX_NODES 64
#define NUMA_BACKMAPS  4

struct pmap;
struct l2tlb;
struct l2tlb_entry;
struct page_name;      /* share.h: what a machine page can be found by */
struct machine_memory; /* all machine memory of one monitor process */
struct numa_binding;

/* Where a guest-virtual mapping of a guest page sits in some L2TLB, so that it can be shot down exactly. */
struct backmap {
	struct l2tlb_entry *entry;
};

enum page_flags {
	PAGE_CODE = 1u << 0,   /* has a code record, or lifted blocks: no write tags (self-modifying code) */
	PAGE_SHARED = 1u << 1, /* nobody may write to it: copy-on-write */
	PAGE_ZERO = 1u << 2,   /* the one page of zeroes; also PAGE_SHARED */
	PAGE_EQUAL =
	    1u << 3, /* shared because of what it holds, or because it was lent, and not as a block of a disk */
	PAGE_HASHED = 1u << 4, /* shared, and can be found by what it holds */
	PAGE_REPLICA =
	    1u << 6, /* there are copies of it for other nodes of its VM (move.h), or it is one: nobody writes */
	PAGE_REGION =
	    1u << 5, /* of a region (region.h): all that have it may write to it, and nobody runs code from it */
};

/* A guest page that a machine page stands for. */
struct page_user {
	struct pmap *pmap; /* NULL: no VM's */
	uint64_t gpn;      /* or one of: */
};
#define PAGE_USER_HELD   UINT64_MAX       /* no guest page's any more, but a device of the VM is still busy with it */
#define PAGE_USER_REGION (UINT64_MAX - 1) /* no VM's: the region that it is a page of */
#define PAGE_USER_LENT   (UINT64_MAX - 2) /* no VM's: it is on its way to one (share.h) */

/* One row of the memmap.  Nothing in it is one VM's own: that is in struct guest_page. */
struct machine_page {
	uint8_t *host; /* PAGE_BYTES of it, page-aligned, never moves while the page is allocated; NULL: a free row */
	uint32_t mpn;  /* machine page number = index in the memmap */
	uint16_t node;
	uint16_t flags; /* enum page_flags; page_has(), page_set(), page_clear() */
	/* Code record of jit/, or NULL; atomic, jit/ changes it.  It goes with the page: machine_memory_on_code_gone(). */
	void *code;
	uint8_t code_writes; /* jit_written() */

	/* Guarded by machine_memory.lock.  The page of zeroes has no list. */
	uint32_t refs, room;                /* users; of more[] */
	struct page_user user;              /* the first one */
	struct page_user *more;             /* the others */
	struct page_name *names;            /* what finds it; none: it is freed with its last user */
	struct machine_page *older, *newer; /* among pages that have names and no users */
};

/* Any thread may set a flag while another sets another. */
static inline bool page_has(const struct machine_page *page, unsigned flags)
{
	return __atomic_load_n(&page->flags, __ATOMIC_ACQUIRE) & flags;
}

static inline void page_set(struct machine_page *page, unsigned flags)
{
	__atomic_fetch_or(&page->flags, (uint16_t)flags, __ATOMIC_ACQ_REL);
}

static inline void page_clear(struct machine_page *page, unsigned flags)
{
	__atomic_fetch_and(&page->flags, (uint16_t)~flags, __ATOMIC_ACQ_REL);
}

/*
 * One row of a pmap: a guest page, what stands for it, and who has its address.  Changed by the VM's own thread only; the
 * backmaps are tlb/'s.
 */
struct guest_page {
	struct machine_page *page; /* NULL: never touched */
	uint32_t last_hash;        /* of its bytes when the scan for equal pages came by (share.h) */
	uint8_t n_backmaps;        /* entries used below */
	bool backmaps_overflow;    /* more exist than were recorded: sweep instead */
	bool many_mappers;         /* more than one L2TLB has mapped it since it was touched */
	/* The L2TLB whose entries are recorded below; only compared. */
	const struct l2tlb *mapper;
	struct backmap backmap[NUMA_BACKMAPS];
};

/* Whether a store to it needs nobody to be asked: neither a copy, nor copies or translations to be dropped. */
static inline bool guest_page_writable(const struct guest_page *g)
{
	return !page_has(g->page, PAGE_SHARED | PAGE_CODE | PAGE_REPLICA);
}

struct machine_memory_config {
	uint64_t bytes; /* capacity of machine memory; multiple of PAGE_BYTES */
	uint64_t
	    most; /* address space for so much more is reserved, if the host gives it: machine_memory_resize(); or 0 */
	unsigned nodes;                     /* 1 .. NUMA_MAX_NODES */
	bool share;                         /* pages may be shared (share.h); off: one machine loses nothing */
	const struct numa_binding *binding; /* each node is memory of a node of the host (host_nodes.h); or NULL */
};

/* Bytes of RAM that this host has: the most that machine_memory_new() reserves. */
uint64_t machine_memory_host_bytes(void);
/*
 * 0 or -errno (-ENOMEM: more than the host has, or it will not even reserve that much; -EINVAL). Nothing is touched
 * until used.  Every pmap must be freed before.
 */
MUST_CHECK int machine_memory_new(struct machine_memory **out, const struct machine_memory_config *cfg);
void machine_memory_free(struct machine_memory *m);
/*
 * Another capacity.  Smaller: blocks that no guest has are given back until the pages in use fit; those of guests stay.
 * 0, or -ENOMEM: more than was reserved, and nothing has changed.  Any thread.
 */
MUST_CHECK int machine_memory_resize(struct machine_memory *m, uint64_t bytes);
/* The row of an allocated machine page; NULL if mpn is free or beyond the memmap. */
struct machine_page *machine_page_get(struct machine_memory *m, uint32_t mpn);
/*
 * Called before a machine page that has a `code` is given back; it takes that away.  Any thread, no locks held.  At most once,
 * before any page has one.
 */
void machine_memory_on_code_gone(struct machine_memory *m, void (*gone)(void *opaque, struct machine_page *page),
				 void *opaque);
/* Where machine memory begins in the host: page->host - base is the machine address.  The page of zeroes is not there. */
const uint8_t *machine_memory_base(const struct machine_memory *m);
/* Pages in use, per node or in total (node < 0). */
uint64_t machine_memory_pages_used(const struct machine_memory *m, int node);
/* Free pages that are in the host's memory all the same, to be taken again.  Any thread. */
uint64_t machine_memory_pages_kept(struct machine_memory *m);

/*
 * What numa/ takes of the host's memory beside the pages: the memmap, bitmaps, tables of names, pmaps.  The names themselves, and users of pages
 * that many have, are on the heap.  In bytes.  Any thread.
 */
uint64_t machine_memory_tables_bytes(struct machine_memory *m);

/* ---- pmap: one per VM, guest physical page -> machine page, filled on first touch ---- */
/*
 * What the door asks of the VM.  Called on the thread that came to the door, the VM's own, without locks.
 */
struct pmap_ops {
	/*
	 * Another machine page is about to stand for guest page pa, or none: take away what knows g->page by it (L2TLB entries,
	 * translations).  g still has the old one.
	 */
	void (*unmap)(void *opaque, struct gpa pa, struct guest_page *g);
	/* Nobody may write to it from now on without coming to the door: take the write tags away. */
	void (*protect)(void *opaque, struct gpa pa, struct guest_page *g);
	/* Is a request of a device's in flight that has this page of host memory; written: to write to it? */
	bool (*in_flight)(void *opaque, const uint8_t *host, bool written);
	void *opaque;
};

enum pmap_access { PMAP_READ, PMAP_WRITE, PMAP_EXEC };

/* bytes: guest memory, multiple of PAGE_BYTES. 0 or -errno. */
MUST_CHECK int pmap_new(struct pmap **out, struct machine_memory *m, uint64_t bytes);
void pmap_free(struct pmap *p);
/* NULL, and as long as nobody has called it: there is nobody to ask. */
void pmap_set_ops(struct pmap *p, const struct pmap_ops *ops);
uint64_t pmap_bytes(const struct pmap *p);
/*
 * The one door to guest memory: the guest page of pa, ready for an access of that kind.
 *
 * First touch: a zeroed machine page on `node`; of memory whose reads are to cost nothing (share.h), a read maps the page of
 * zeroes.  A write to a page that others have too gives this VM a copy of its own; a write to one that is shared, but no
 * longer with anybody, takes it over.  Of a page with copies on several nodes (move.h) it is the one on `node`, if there is one; a write
 * leaves no other.
 *
 * Returns  NULL if pa is outside guest memory, or is to be executed and of a region; NULL with *err = -ENOMEM if machine memory
 *	    is exhausted: nothing has changed.
 *	    What of a write is left to the caller: PAGE_CODE.
 * Context  the VM's thread.
 * Cost     O(1); a copy O(users of the page).
 */
struct guest_page *pmap_get(struct pmap *p, struct gpa pa, unsigned node, enum pmap_access access, int *err);
/* The machine page behind pa as it is; NULL also for a page never touched. */
struct machine_page *pmap_peek(const struct pmap *p, struct gpa pa);
/* The row of pa, whose page may be NULL; NULL outside of memory.  Of a page with copies on several nodes: of the first one. */
struct guest_page *pmap_row(struct pmap *p, struct gpa pa);
/* The same, of the copy on that node, if there is one. */
struct guest_page *pmap_row_on(struct pmap *p, struct gpa pa, unsigned node);
/* The row of a page that is this VM's alone, i.e. not PAGE_SHARED. */
struct guest_page *machine_page_row(const struct machine_page *page);

/*
 * Untouch the pages of [pa, pa + bytes) (page-aligned): they read as zeroes from now on, and their memory goes back to the
 * host if no other pmap has them.  Pages outside memory or never touched are passed over.  Returns the bytes taken away.
 * Context  the VM's thread, outside of translated code.
 */
uint64_t pmap_release(struct pmap *p, struct gpa pa, uint64_t bytes);

/* Copy to and from guest-physical memory, page by page, through the door. 0, -EFAULT outside memory, -ENOMEM. */
MUST_CHECK int pmap_write(struct pmap *p, struct gpa pa, const void *data, uint64_t bytes);
MUST_CHECK int pmap_read(struct pmap *p, struct gpa pa, void *data, uint64_t bytes);
/* XXH3-64 over all of guest memory (untouched pages as zeroes), independent of placement. */
uint64_t pmap_hash(const struct pmap *p);

/* ---- backmaps ---- */
/* Remember that `e` maps the guest page; idempotent. Cost O(NUMA_BACKMAPS). */
void guest_page_backmap_add(struct guest_page *g, struct l2tlb_entry *e);

#endif
