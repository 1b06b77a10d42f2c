/* SPDX-License-Identifier: MIT */
#ifndef NUMA_MESH_H
#define NUMA_MESH_H

/*
 * Where nodes and their memory lie: a square mesh, wired as FLASH was, row by row; machine memory in one piece a node, in the
 * order of the nodes, the first ones with a page more where it does not divide.  Any thread; O(1).
 */
#include <stdint.h>

/* Hops between two nodes of n. */
unsigned numa_node_hops(unsigned n, unsigned a, unsigned b);
/* The pages of one node of n, which share `pages`, and the first of them. */
uint32_t numa_node_pages(uint32_t pages, unsigned n, unsigned node);
uint32_t numa_node_first_page(uint32_t pages, unsigned n, unsigned node);
/* Whose a page is. */
unsigned numa_node_of_page(uint32_t pages, unsigned n, uint32_t page);

#endif
