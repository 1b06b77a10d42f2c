/* SPDX-License-Identifier: MIT */
#ifndef BASE_RESIDENT_H
#define BASE_RESIDENT_H

#include <stddef.h>
#include <stdint.h>

/*
 * How much of a mapping of this process's own is in memory, in bytes: whole host pages, also those at its ends that it has only a part of,
 * and only what was mapped here.  What was read and never written to is the host's page of zeroes, and takes none.  NULL, or where the
 * host does not say: 0.
 *
 * Any thread.  Cost: 1 ms for 256 MiB.
 */
uint64_t resident_bytes(const void *at, size_t bytes);

#endif
