/* SPDX-License-Identifier: MIT */
#ifndef VMM_MOVE_H
#define VMM_MOVE_H

/*
 * Machine pages go from node to node while their machines run (numa/move.h): those that use the page are stopped for it, no others.
 */
#include <stdint.h>

#include "base/panic.h"

struct monitor;
struct rendezvous_member;

/*
 * mpn: of any machine page; node: below the monitor's.
 * Returns  0; -ENOENT: nobody's, or there already; -EAGAIN: another page is on its way, or a vCPU in the middle of something with this one; -EBUSY: a device has its address; -ENOMEM: the
 *	    node is full.
 * self, context: as for rendezvous() (vmm/monitor/rendezvous.h).
 * Cost     a rendezvous, a copy and, later, what its guests have to look up again: some 20 us.
 */
MUST_CHECK int monitor_move(struct monitor *mon, struct rendezvous_member *self, uint32_t mpn, unsigned node);

#endif
