/* SPDX-License-Identifier: MIT */
#ifndef NUMA_MACHINE_MEMORY_H
#define NUMA_MACHINE_MEMORY_H

/* Private to numa/: the nodes and the memmap. */
#include <pthread.h>

#include "numa/numa.h"

/*
 * One node's memory: a memfd (so that a page can later be mapped a second time) and one mapping of all of it.  The host
 * commits a page when it is first touched.
 */
struct node {
	int fd;
	uint8_t *base;
	uint32_t first_mpn;
	uint32_t pages;

	/* Guarded by machine_memory.lock. */
	uint32_t used;
	uint32_t words;   /* of bitmap */
	uint32_t cursor;  /* word where the last free page was found */
	uint64_t *bitmap; /* 1: in use, or beyond the node */
	uint8_t *nearest; /* all nodes, by distance from this one */
};

struct machine_memory {
	unsigned n_nodes;
	uint32_t pages;
	struct machine_page *memmap; /* [pages]; a row of zeroes is a free page */
	size_t memmap_bytes;
	struct node node[NUMA_MAX_NODES];

	pthread_mutex_t lock;
	uint32_t pmaps; /* alive */
};

/*
 * A zeroed page on `node`, or on the nearest one with room.  NULL: machine memory is exhausted.
 * Context any thread.  Cost amortised O(1).
 */
struct machine_page *machine_page_alloc(struct machine_memory *m, unsigned node);
/* Give `count` pages back to the node they are all of, and their memory to the host. */
void machine_pages_free(struct machine_memory *m, uint32_t mpn, uint32_t count);

/* Hops between two nodes in a square mesh of n. */
unsigned numa_node_hops(unsigned n, unsigned a, unsigned b);

#endif
