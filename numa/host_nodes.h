/* SPDX-License-Identifier: MIT */
#ifndef NUMA_HOST_NODES_H
#define NUMA_HOST_NODES_H

/*
 * --numa host: the memory of a simulated node is the host's memory of one of its own nodes, and so are the threads of its processors.
 * By libnuma; the calls are a table, so that what is asked of a host with several nodes can be seen on one that has not.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/panic.h"
#include "numa/numa.h"

struct numa_host {
	/* Those with memory and CPUs that this process may use, ascending, at most `most` into out: how many. */
	unsigned (*nodes)(const struct numa_host *h, unsigned *out, unsigned most);
	/* Pages of [base, base + bytes) that are not there yet come from that node, as long as it has some.  0 or -errno. */
	int (*bind_memory)(const struct numa_host *h, void *base, size_t bytes, unsigned host_node);
	/* This thread runs on that node's CPUs only.  0 or -errno. */
	int (*bind_thread)(const struct numa_host *h, unsigned host_node);
};
extern const struct numa_host numa_this_host;

/* Which node of the host each simulated one is on: as many neighbours on each, as near as can be. */
struct numa_binding {
	const struct numa_host *host;
	unsigned n_host;
	unsigned host_node[NUMA_MAX_NODES];
};

/* nodes: simulated ones, 1 to NUMA_MAX_NODES.  0, or -ENODEV: the host has no nodes to bind to. */
MUST_CHECK int numa_binding_init(struct numa_binding *b, const struct numa_host *host, unsigned nodes);

static inline int numa_bind_memory(const struct numa_binding *b, unsigned node, void *base, size_t bytes)
{
	return b->host->bind_memory(b->host, base, bytes, b->host_node[node]);
}

static inline int numa_bind_thread(const struct numa_binding *b, unsigned node)
{
	return b->host->bind_thread(b->host, b->host_node[node]);
}

#endif
