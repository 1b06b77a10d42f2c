/* SPDX-License-Identifier: MIT */
#ifndef BASE_FOOTPRINT_H
#define BASE_FOOTPRINT_H

/* What a monitor's process takes of the host's memory, by what for; vmm/monitor/footprint.h finds it out. */
#include <stdint.h>

enum footprint_class {
#define FOOTPRINT(name, ...) FOOTPRINT_##name,
#include "base/footprint.def"
	NUM_FOOTPRINTS
};

/*
 * bytes: machine memory, translations and tables as the monitor counts or finds them in its own mappings; the program, and what of
 * anonymous memory is in no table, as the host says.  total: the host's word for all of it, the proportional set size (what is mapped
 * by N processes counts for an Nth); 0 if it says nothing.  So they add up, or something is counted wrong.
 */
struct footprint {
	uint64_t bytes[NUM_FOOTPRINTS], total;
};

#endif
