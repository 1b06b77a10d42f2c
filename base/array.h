/* SPDX-License-Identifier: MIT */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/panic.h"

/*
 * Room for one more behind the n elements of an array on the heap, of which it has *room: doubled, if there is none left.  *array NULL and
 * *room 0: it begins.  False: the host has no memory; nothing has changed.  Cost: O(1), amortized.
 */
MUST_CHECK bool array_room(void **array, size_t n, size_t *room, size_t element_bytes);

#endif
