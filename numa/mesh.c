/* SPDX-License-Identifier: MIT */
#include "numa/mesh.h"

#include <stdlib.h>

unsigned numa_node_hops(unsigned n, unsigned a, unsigned b)
{
	unsigned width = 1;
	int dx, dy;

	while (width * width < n)
		width++;
	dx = (int)(a % width) - (int)(b % width);
	dy = (int)(a / width) - (int)(b / width);
	return (unsigned)(abs(dx) + abs(dy));
}

uint32_t numa_node_pages(uint32_t pages, unsigned n, unsigned node) { return pages / n + (node < pages % n); }

uint32_t numa_node_first_page(uint32_t pages, unsigned n, unsigned node)
{
	uint32_t more = pages % n;

	return pages / n * node + (node < more ? node : more);
}

unsigned numa_node_of_page(uint32_t pages, unsigned n, uint32_t page)
{
	uint32_t each = pages / n, more = pages % n, large = more * (each + 1);

	return page < large ? page / (each + 1) : more + (page - large) / each;
}
