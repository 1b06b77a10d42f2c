/* SPDX-License-Identifier: MIT */
#include "base/array.h"

#include <stdlib.h>

bool array_room(void **array, size_t n, size_t *room, size_t element_bytes)
{
	size_t more = *room ? 2 * *room : 16;
	void *bigger;

	if (n < *room)
		return true;
	bigger = realloc(*array, more * element_bytes);
	if (!bigger)
		return false;
	*array = bigger;
	*room = more;
	return true;
}
