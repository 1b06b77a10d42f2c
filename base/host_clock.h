/* SPDX-License-Identifier: MIT */
#ifndef BASE_HOST_CLOCK_H
#define BASE_HOST_CLOCK_H

/* The host's clocks, in ns.  A guest's time is vmm/monitor/clock.h's: it may be a count of instructions, or skip. */
#include <stdint.h>
#include <time.h>

static inline uint64_t host_clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* CLOCK_MONOTONIC.  Any thread.  Cost 20 ns. */
static inline uint64_t host_now_ns(void) { return host_clock_ns(CLOCK_MONOTONIC); }
static inline uint64_t host_now_ms(void) { return host_now_ns() / 1000000; }

#endif
