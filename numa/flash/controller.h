/* SPDX-License-Identifier: MIT */
#ifndef NUMA_FLASH_CONTROLLER_H
#define NUMA_FLASH_CONTROLLER_H

/*
 * A node's controller (FLASH's MAGIC): it does one thing at a time, and each request keeps it busy for a while.
 *
 * Processors are simulated in turns, so that requests do not come in the order of their time.  A queue that only knew when it
 * is free again would make the second processor of a turn wait for all that the first one did.  Hence a timeline of slots:
 * a request takes the first free ones from its own time on, and waits for as long as these are not one run.  Requests that do
 * come in order meet a plain queue.
 */
#include <stdint.h>

#define CONTROLLER_SLOT_CYCLES   4u /* 10 ns at 400 MHz: MAGIC's clock */
#define CONTROLLER_WINDOW_SLOTS  (1u << 15)
#define CONTROLLER_WINDOW_CYCLES ((uint64_t)CONTROLLER_SLOT_CYCLES * CONTROLLER_WINDOW_SLOTS)

struct controller {
	uint64_t start; /* of the slots that are remembered, CONTROLLER_WINDOW_SLOTS of them; multiple of 64 */
	uint64_t requests, busy, waited, unqueued;
	uint64_t taken[CONTROLLER_WINDOW_SLOTS / 64]; /* a bit a slot, slot modulo the window */
};

/*
 * A request at time `at` that keeps it busy for `cycles`: how many cycles it waits.
 * Cost O(1) with little contention; O(slots that others have taken from there on) else.
 */
uint64_t controller_request(struct controller *c, uint64_t at, uint64_t cycles);

#endif
