/* SPDX-License-Identifier: MIT */
#ifndef NUMA_REGION_H
#define NUMA_REGION_H

/*
 * Memory that machines have in common on purpose: a named region of machine pages.  What one writes, the others read at once, at
 * the speed of memory; nothing of it is copy-on-write.  A VM has a page of it where its guest asks for it (docs/monitor-calls.md),
 * in the place of the page that was there; never more than one copy of each page exists.
 *
 *     vm1's pmap: page 700 ──┐            ┌── vm2's pmap: page 1200
 *                            ▼            ▼
 *                  region "ring", page 0: machine page 17
 *
 * No code runs from a region: that another VM may write to it at any time is what the translator could not see.  Who may use a
 * region is the caller's to decide: whoever has a reference can.
 */
#include "numa/numa.h"

struct region;

enum { REGION_MAX_PAGES = 1 << 14, REGION_NAME_BYTES = 32 };

/*
 * The region of this name, made if it is not there: of zeroes, which take memory when they are first mapped.  bytes: a multiple of
 * PAGE_BYTES, 1 .. REGION_MAX_PAGES pages; name: 1 .. REGION_NAME_BYTES - 1 bytes.  It stays until the last region_put(), and so do
 * its contents.  0, -EEXIST (it is there, with another size), -ENOMEM.  Any thread.
 */
MUST_CHECK int region_get(struct region **out, struct machine_memory *m, const char *name, uint64_t bytes);
void region_put(struct region *r);
const char *region_name(const struct region *r);
uint64_t region_pages(const struct region *r);

/*
 * Page `n` of the region stands for guest page pa (page-aligned) from now on; what was there is gone.
 * 0, -EFAULT (pa is no memory, n no page of it), -ENOMEM.  The VM's thread.
 */
MUST_CHECK int pmap_map_region(struct pmap *p, struct gpa pa, struct region *r, uint64_t n);
/* If a region stands for guest page pa: a page of zeroes of its own does, from now on.  0, -EFAULT, -ENOMEM.  The VM's thread. */
MUST_CHECK int pmap_leave_region(struct pmap *p, struct gpa pa);

#endif
