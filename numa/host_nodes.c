/* SPDX-License-Identifier: MIT */
#include "numa/host_nodes.h"

#include <errno.h>
#include <numa.h>
#include <numaif.h>

enum { WORD_BITS = 8 * sizeof(unsigned long), HOST_NODES = 1024 /* as many as Linux can be made for */ };

static unsigned nodes(const struct numa_host *h, unsigned *out, unsigned most)
{
	struct bitmask *cpus;
	unsigned n = 0;

	if (numa_available() < 0) /* a kernel without NUMA */
		return 0;
	cpus = numa_allocate_cpumask();
	for (int node = 0; node <= numa_max_node() && n < most; node++) {
		if (!numa_bitmask_isbitset(numa_all_nodes_ptr, (unsigned)node))
			continue;
		if (numa_node_to_cpus(node, cpus) == 0 && numa_bitmask_weight(cpus))
			out[n++] = (unsigned)node;
	}
	numa_free_cpumask(cpus);
	return n;
}

/* Preferred, not bound: a host that is full elsewhere gives a far page, where a binding would have the process killed. */
static int bind_memory(const struct numa_host *h, void *base, size_t bytes, unsigned host_node)
{
	unsigned long mask[HOST_NODES / WORD_BITS] = {0};

	mask[host_node / WORD_BITS] = 1ul << host_node % WORD_BITS;
	return mbind(base, bytes, MPOL_PREFERRED, mask, HOST_NODES, 0) ? -errno : 0;
}

static int bind_thread(const struct numa_host *h, unsigned host_node)
{
	return numa_run_on_node((int)host_node) ? -errno : 0;
}

const struct numa_host numa_this_host = {.nodes = nodes, .bind_memory = bind_memory, .bind_thread = bind_thread};

int numa_binding_init(struct numa_binding *b, const struct numa_host *host, unsigned nodes)
{
	unsigned all[NUMA_MAX_NODES];

	*b = (struct numa_binding){.host = host, .n_host = host->nodes(host, all, NUMA_MAX_NODES)};
	if (!b->n_host)
		return -ENODEV;
	for (unsigned i = 0; i < nodes; i++)
		b->host_node[i] = all[i * b->n_host / nodes];
	return 0;
}
