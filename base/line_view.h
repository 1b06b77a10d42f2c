/* SPDX-License-Identifier: MIT */
#ifndef BASE_LINE_VIEW_H
#define BASE_LINE_VIEW_H

/*
 * What translated code knows of the caches of the simulated processor that it runs on (numa/flash/): lines that are in the first
 * level and the last ones of their sets to be used, so that an access to one of them is a hit that changes nothing and costs no time.
 * One compare decides; whatever else there is about an access, numa/flash/ is asked.  numa/flash/ keeps it: what is here is always so,
 * though not all that is so is here.
 *
 *   line   = host address >> log2 of a line's bytes
 *   hit    = read[line % LINE_VIEW_ENTRIES] == line      write: the same of write[]
 *   fetch  = fetch[line % LINE_VIEW_ENTRIES] == host address >> PAGE_SHIFT; the index says which line of the page
 */
#include <stdint.h>

#define LINE_VIEW_ENTRIES 256u /* a page has no more lines than that */
#define LINE_VIEW_NONE    UINT64_MAX

struct line_view {
	uint64_t read[LINE_VIEW_ENTRIES];
	uint64_t write[LINE_VIEW_ENTRIES];
	uint64_t fetch[LINE_VIEW_ENTRIES];
};

#endif
