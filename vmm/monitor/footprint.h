/* SPDX-License-Identifier: MIT */
#ifndef VMM_FOOTPRINT_H
#define VMM_FOOTPRINT_H

#include "base/footprint.h"

struct monitor;

/*
 * What the process takes now.  Any thread that does not hold the monitor's lock.  Cost: some 10 ms for 500 MiB, with the process's mappings
 * locked.
 */
struct footprint footprint(struct monitor *mon);

#endif
