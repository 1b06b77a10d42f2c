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
 * Returns  0; -ENOENT: it is free, or nobody's, or there already; -EAGAIN: another page is on its way.
 * Context  any thread.
 */
MUST_CHECK int page_move_begin(struct machine_memory *m, uint32_t mpn, unsigned node, struct machine_page **page);
/*
 * Returns  0; -ENOENT: nobody's any more; -EBUSY: a request of a device's in flight has its address; -ENOMEM: the node is full.
 *	    Then nothing has changed.
 * Context  any thread; all VMs that use the page are stopped.
 * Cost     a copy of a page, O(users), and giving the old one back to the host.
 */
MUST_CHECK int page_move(struct machine_memory *m, struct machine_page *page, unsigned node);
void page_move_end(struct machine_memory *m);

#endif
