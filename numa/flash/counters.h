/* SPDX-License-Identifier: MIT */
#ifndef NUMA_FLASH_COUNTERS_H
#define NUMA_FLASH_COUNTERS_H

/*
 * Misses by page and processor in the interval (FLASH counts them in its node controllers; ours does it exactly).  A row says of
 * which interval it is: beginning a new one costs nothing, and a row of an earlier one is all 0.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/panic.h"

struct counters {
	uint8_t *row; /* [pages] struct counter_row; demand zero */
	size_t row_bytes, bytes;
	unsigned cpus;
	uint32_t interval; /* from 1, as a row that was never used is of 0 */
	uint32_t trigger, sample;
	uint32_t *until_sample; /* [cpus] misses until one is counted */
};

struct counter_row {
	uint32_t interval, writes;
	uint32_t misses[];
};

/* 0 or -ENOMEM. */
MUST_CHECK int counters_init(struct counters *c, uint32_t pages, unsigned cpus, uint32_t trigger, uint32_t sample);
void counters_fini(struct counters *c);
/* One miss.  True: it is the one by which the count of this processor reaches the trigger. */
bool counters_miss(struct counters *c, uint32_t page, unsigned cpu, bool write);
/* Would one be that? */
bool counters_would_reach(const struct counters *c, uint32_t page, unsigned cpu);
/* Of this interval; NULL: no miss. */
const struct counter_row *counters_page(const struct counters *c, uint32_t page);
void counters_forget(struct counters *c, uint32_t page);

#endif
