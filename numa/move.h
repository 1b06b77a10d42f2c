/* SPDX-License-Identifier: MIT */
#ifndef NUMA_MOVE_H
#define NUMA_MOVE_H

/*
 * A machine page goes to another node under its guests (SOSP'97 4.2.3, 4.2.5): all guest pages that it stands for get the same bytes in
 * another place.  Names, users and rows lead to the new one; the old one is free.  Translations belong to content: the new page finds
 * the old one's by its bytes, when it is executed.
 *
 *   page_move_begin()   nobody new comes to the page from now on
 *   ... the VMs that use it are stopped, and nothing of theirs knows it any more (page_unmap_users()) ...
 *   page_move()         it is elsewhere
 *   page_move_end()     after page_move_begin() in any case
 *
 * vmm/monitor/move.h does all of it.  One page at a time.
 */
#include "numa/numa.h"

/*
 * mpn: below the number of machine pages.  *page is its row, which is nobody else's until page_move_end().
 * Returns  0; -ENOENT: it is free, or nobody's, or a region's, or there already; -EAGAIN: another page is on its way; -EBUSY: it is
 *	    lent (share.h), or has copies (pmap_replicate()).
 * Context  any thread.
 */
MUST_CHECK int page_move_begin(struct machine_memory *m, uint32_t mpn, unsigned node, struct machine_page **page);
/*
 * Returns  0; -ENOENT: nobody's any more; -EBUSY: a request of a device's in flight has its address, or it has copies now; -EEXIST: the
 *	    node has a copy of it; -ENOMEM: the node is full.  Then nothing has changed.
 * Context  any thread; all VMs that use the page are stopped.
 * Cost     a copy of a page, O(users), and giving the old one back to the host.
 */
MUST_CHECK int page_move(struct machine_memory *m, struct machine_page *page, unsigned node);
void page_move_end(struct machine_memory *m);

/*
 * For one VM, by itself: what stands for pa is on that node from now on.  A page of its own moves.  Of a shared one there is a copy
 * on each node where a VM has asked for it, read-only as it is, with the same names; the other VMs keep what they have.  A write to
 * it is the break of a copy-on-write as ever, so nothing has to be collapsed.
 *
 * Returns  0: it is there, now or before; -ENOENT: nothing, or the page of zeroes, or a region's; -EBUSY: a device has its address, or the copy is about
 *	    to move; -ENOMEM: the node is full.  Then nothing has changed.
 * Context  the VM's thread.
 */
MUST_CHECK int pmap_bring(struct pmap *p, struct gpa pa, unsigned node);
/* How many pages hold the same by name, on as many nodes, this one included.  Any thread. */
unsigned page_copies(struct machine_memory *m, const struct machine_page *page);
/*
 * For the vCPUs of one VM on several nodes: a page of its own gets a copy on that node.  All copies are read-only (PAGE_REPLICA), the door
 * gives each node its own (pmap_get(), pmap_row_on()), and who writes, or puts another page in its place, is left with one: pmap_collapse().
 * While there are copies the page moves nowhere, is not shared, and not lent.
 *
 * Returns  0: it is there, now or before; -ENOENT: nothing, a shared page, or a region's; -EBUSY: a device has its address; -ENOMEM: the node
 *	    is full, or there is no memory.  Then nothing has changed.
 * Context  the VM's thread, its vCPUs parked.
 */
MUST_CHECK int pmap_replicate(struct pmap *p, struct gpa pa, unsigned node);
/* One is left of them, the one on that node if there is one; nothing, if there are none.  As pmap_replicate(). */
void pmap_collapse(struct pmap *p, struct gpa pa, unsigned node);
/* Have what knows a page with copies take it away: a vCPU goes to another node, and is to find what is there.  As pmap_replicate(). */
void pmap_unmap_copies(struct pmap *p);
/* How many there are, besides the first one. */
unsigned pmap_replicas(const struct pmap *p, struct gpa pa);
/* Have what knows the guest page take it away (pmap_ops.unmap); its next access comes to the door.  The VM's thread. */
void pmap_unmap(struct pmap *p, struct gpa pa);
/* How many guest pages are on the node.  The VM's thread. O(pages). */
uint64_t pmap_node_pages(const struct pmap *p, unsigned node);
/* Some row of the memmap that is, or was, in use, and some node, by a number by chance.  For monitor_move().  Any thread. */
void page_any(struct machine_memory *m, uint64_t chance, uint32_t *mpn, unsigned *node);
/* The node's part of the capacity, and how much of it is free.  Any thread. */
void machine_memory_node(struct machine_memory *m, unsigned node, uint64_t *pages, uint64_t *free);

#endif
