/* SPDX-License-Identifier: MIT */
#ifndef NUMA_SHARE_H
#define NUMA_SHARE_H

/*
 * One machine page for several guest pages, of one VM or of several (SOSP'97 4.2.5; disco-facts.md 6.2).
 *
 * A shared page (PAGE_SHARED) is one that nobody may write to; the door gives who wants to a copy of its own.  It has names, by
 * which the next guest page that is to hold the same finds it:
 *
 *   block   what is at an offset of an image (the global buffer cache): known without looking at the bytes.  A page with
 *           such a name stays when its last guest page has gone, until machine memory runs out.
 *   equal   XXH3-128 of the bytes.  The bytes are compared before anything is shared: that two pages have one hash is only a
 *           reason to look.
 *
 * A page is made shared by the only VM that has it, after its write tags were taken away, or before anybody has it; it is made
 * private again by the only guest page that is left, which takes its names away.  Both, the names and the users of a page
 * are under machine_memory.lock.  So nobody's right to write is ever taken away by another thread.
 *
 * All that takes a pmap: the VM's own thread.
 */
#include "numa/numa.h"

/* ---- blocks of images ---- */
/* What an image is, and what changes when its contents do. */
struct share_image {
	uint64_t dev, ino, bytes;
	int64_t mtime_ns, ctime_ns;
	uint64_t format; /* how its blocks are read from the file */
};
/* A number for the image: the same one for the same contents. 0: none, its blocks are not shared.  Any thread. */
uint32_t share_image_number(struct machine_memory *m, const struct share_image *image);

struct block_name {
	uint64_t image; /* share_image_number() */
	uint64_t block; /* offset in it / PAGE_BYTES */
};
/* If the block is in memory, it stands for guest page pa (page-aligned) from now on. False: it is not, or pa is no memory. */
bool pmap_map_block(struct pmap *p, struct gpa pa, struct block_name name);
/* A page that is no guest's, to read a block into; NULL: machine memory is exhausted.  Its bytes are undefined. Any thread. */
struct machine_page *share_page_new(struct pmap *p, unsigned node);
void share_page_drop(struct pmap *p, struct machine_page *page);
/*
 * page, from share_page_new(), holds the block now: it stands for guest page pa, and for the block, unless another page does so
 * already, which then takes its place; name.image 0: it is nobody's but this guest's.  Takes page.  0, -EFAULT, -ENOMEM.
 */
MUST_CHECK int pmap_give_block(struct pmap *p, struct gpa pa, struct block_name name, struct machine_page *page);

/* ---- pages that hold the same ---- */
/* Whole pages of [pa, pa + bytes), which have just been filled with what other VMs are likely to have too. */
void pmap_share_equal(struct pmap *p, struct gpa pa, uint64_t bytes);
/*
 * Look at the next `pages` guest pages, in a circle; those never touched, of zeroes, or shared already do not count.  Returns how many it
 * has come past.  One that has the bytes that it had the last time and is equal to another
 * one is shared with it, at the latest when both have been looked at twice.  Outside of translated code.  Cost: 0.5 us a page.
 */
uint64_t pmap_merge(struct pmap *p, uint64_t pages);

/* ---- a VM's memory as it was ---- */
/*
 * All of a VM's memory at one moment, to go back to: its pages are shared with that, so that nothing is copied before it is written to.  The VM's
 * thread, outside of translated code; before the pmap is freed.  Cost: O(pages), a lock and a user for each.
 */
struct pmap_kept;
/* 0, -ENOMEM, -EBUSY: a page is a region's, or a device is about to write to one; or -ENOTSUP: this memory shares no pages. */
MUST_CHECK int pmap_keep(struct pmap *p, struct pmap_kept **out);
/* -ENOMEM: a part of it is as it was. */
MUST_CHECK int pmap_go_back(struct pmap *p, const struct pmap_kept *kept);
void pmap_kept_free(struct pmap *p, struct pmap_kept *kept);

/* ---- who has it ---- */
/* Is the machine page some guest page's of p, which is only compared?  Not the page of zeroes, which may be any VM's.  Any thread. */
bool page_is_of(struct machine_memory *m, struct machine_page *page, const struct pmap *p);
/* One of the guest pages of p that the machine page stands for. False: there is none.  Any thread. */
bool page_user_of(struct machine_memory *m, struct machine_page *page, const struct pmap *p, uint64_t *gpn);
/*
 * Have every guest page that the machine page stands for taken away from what knows it (pmap_ops.unmap); the rows keep it, and the next
 * access finds it there again.  Their VMs are stopped.  Returns how many guest pages there were.
 */
unsigned page_unmap_users(struct machine_memory *m, struct machine_page *page);

/* ---- pages that one VM sends to another ---- */
/* Does this monitor's memory share pages at all? */
bool share_is_on(const struct machine_memory *m);
/*
 * The page of p's with this host memory (page-aligned), with what is in it now: from now on nobody writes to it, the sender neither,
 * and it stays until it is taken or given back.  NULL: it is to be copied (nothing is shared here; a request in flight
 * writes to it; it is of a region, or no guest page's any more).  The VM's thread.  Cost O(its L2TLB entries + requests in flight).
 */
struct machine_page *pmap_lend(struct pmap *p, const uint8_t *host);
/*
 * A page that was lent stands for guest page pa (page-aligned) from now on, copy-on-write.  0, and it is lent no more; -EFAULT (pa is no
 * memory, or of a region), -ENOMEM.  The VM's thread.
 */
MUST_CHECK int pmap_take(struct pmap *p, struct gpa pa, struct machine_page *page);
/* Nobody takes it. Any thread. */
void share_give_back(struct machine_memory *m, struct machine_page *page);

/* ---- what it comes to ---- */
enum memory_class { MEMORY_PRIVATE, MEMORY_BLOCK, MEMORY_EQUAL, MEMORY_ZERO, MEMORY_REGION, NUM_MEMORY_CLASSES };
enum memory_class page_class(const struct machine_page *page);
/* Of a VM: its guest pages by what stands for them.  All of them together: what it would take alone.  Any thread. */
uint64_t pmap_class_pages(const struct pmap *p, enum memory_class class);
/*
 * Of the monitor: machine pages by class.  MEMORY_BLOCK counts those of no guest too, which share_idle_pages() are; the page of
 * zeroes is none of machine memory's.  Any thread.
 */
uint64_t share_class_pages(struct machine_memory *m, enum memory_class class);
uint64_t share_idle_pages(struct machine_memory *m);
/* Give back the blocks that no guest has.  Any thread. */
void share_drop_idle(struct machine_memory *m);

struct pmap_stats {
	uint64_t block_hits;             /* pages of disk reads that were mapped, neither read nor copied */
	uint64_t block_misses;           /* that were read, and can be mapped the next time */
	uint64_t merged;                 /* pages given back because there was an equal one */
	uint64_t breaks;                 /* writes to a shared page that made a copy of it */
	uint64_t taken_over;             /* writes to a shared page that nobody else had any more */
	uint64_t lent, taken;            /* pages sent to other machines, and got from them, without a copy */
	uint64_t zero_maps, zero_breaks; /* reads of memory never written to, and writes after such a read */
	uint64_t moved,
	    replicated; /* pages that came to this VM's node: its own; copies of shared ones, or one there was */
};
/* The VM's thread counts; others may look. */
const struct pmap_stats *pmap_stats(const struct pmap *p);

struct memory_audited {
	uint64_t pages, shared; /* machine pages in use, and of these those with names */
	uint64_t compared;      /* of which the bytes were looked at */
	uint64_t with_code;     /* that have a code record */
};
/*
 * Does it all agree: rows of pmaps and users of machine pages both ways, names, flags, numbers; and, of one in 16 shared pages,
 * others each time, are the bytes those that it is shared for?  The VMs are stopped.  *out: what there was; NULL is fine.
 * Returns the number of errors; the first one as text in first[bytes].
 */
unsigned machine_memory_audit(struct machine_memory *m, struct memory_audited *out, char *first, size_t bytes);

#endif
