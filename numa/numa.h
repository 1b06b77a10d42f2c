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
struct machine_memory; /* all machine memory of one monitor process */

/* Where a guest-virtual mapping of a machine page sits in some L2TLB, so that it can be shot down exactly. */
struct backmap {
	struct l2tlb_entry *entry;
};

enum page_flags {
	PAGE_CODE = 1u << 0,    /* holds translations: no write tags (self-modifying code) */
	PAGE_SHARED = 1u << 1,  /* more than one pmap entry: copy-on-write */
	PAGE_REPLICA = 1u << 2, /* a replica of another page */
};

/* One row of the memmap. */
struct machine_page {
	uint8_t *host; /* PAGE_BYTES of it, page-aligned, never moves while the page is allocated */
	uint32_t mpn;  /* machine page number = index in the memmap */
	uint16_t node;
	uint16_t flags; /* enum page_flags */
	uint32_t refs;
	uint8_t n_backmaps;     /* entries used below */
	bool backmaps_overflow; /* more exist than were recorded: sweep instead */
	struct backmap backmap[NUMA_BACKMAPS];
	/* The L2TLB whose entries are recorded above; only compared.  Two of them: see many_mappers. */
	const struct l2tlb *mapper;
	bool many_mappers; /* more than one L2TLB has mapped the page since it was allocated */
	/* struct code_page of jit/, or NULL. Whoever gives the page back takes it away first. */
	void *code;
};

struct machine_memory_config {
	uint64_t bytes; /* capacity of machine memory; multiple of PAGE_BYTES */
	unsigned nodes; /* 1 .. NUMA_MAX_NODES */
};

/* Bytes of RAM that this host has: the most that machine_memory_new() reserves. */
uint64_t machine_memory_host_bytes(void);
/*
 * 0 or -errno (-ENOMEM: more than the host has, or it will not even reserve that much; -EINVAL). Nothing is touched
 * until used.  Every pmap must be freed before.
 */
MUST_CHECK int machine_memory_new(struct machine_memory **out, const struct machine_memory_config *cfg);
void machine_memory_free(struct machine_memory *m);
/* The row of an allocated machine page; NULL if mpn is free or beyond the memmap. */
struct machine_page *machine_page_get(struct machine_memory *m, uint32_t mpn);
/* Pages in use, per node or in total (node < 0). */
uint64_t machine_memory_pages_used(const struct machine_memory *m, int node);

/* ---- pmap: one per VM, guest physical page -> machine page, filled on first touch ---- */
/* bytes: guest memory, multiple of PAGE_BYTES. 0 or -errno. */
MUST_CHECK int pmap_new(struct pmap **out, struct machine_memory *m, uint64_t bytes);
void pmap_free(struct pmap *p);
uint64_t pmap_bytes(const struct pmap *p);
/*
 * The machine page behind pa, allocated (zeroed) on `node` if this is its first touch; NULL if pa is outside guest
 * memory. *err = -ENOMEM if machine memory is exhausted (then NULL too).  vCPU thread.  Cost O(1).
 */
struct machine_page *pmap_touch(struct pmap *p, struct gpa pa, unsigned node, int *err);
/* Same without allocating: NULL also for a page never touched. */
struct machine_page *pmap_peek(const struct pmap *p, struct gpa pa);

/*
 * Untouch the pages of [pa, pa + bytes) (page-aligned): they read as zeroes from now on, and their memory goes back to the
 * host if no other pmap has them.  Whatever refers to them must be gone: L2TLB entries, translations, host pointers.
 * Pages outside memory or never touched are passed over.  Returns the bytes taken away.  vCPU thread.
 */
uint64_t pmap_release(struct pmap *p, struct gpa pa, uint64_t bytes);

/* Copy to and from guest-physical memory, page by page, through the pmap. 0, -EFAULT outside memory, -ENOMEM. */
MUST_CHECK int pmap_write(struct pmap *p, struct gpa pa, const void *data, uint64_t bytes);
MUST_CHECK int pmap_read(struct pmap *p, struct gpa pa, void *data, uint64_t bytes);
/* XXH3-64 over all of guest memory (untouched pages as zeroes), independent of placement. */
uint64_t pmap_hash(const struct pmap *p);

/* ---- backmaps ---- */
/* Remember that `e` maps page; idempotent. Cost O(NUMA_BACKMAPS). */
void machine_page_backmap_add(struct machine_page *page, struct l2tlb_entry *e);

#endif
