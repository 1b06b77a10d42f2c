/* SPDX-License-Identifier: MIT */
/* --numa host: what is asked of a host with several nodes, by a table of calls; and this host, whatever it has. */
#include "numa/host_nodes.h"
#include "numa/machine_memory.h"
#include "tests/unit/vmm_machine.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/monitor/monitor.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>

enum { MOST_CALLS = 200 };

/* A host with nodes 2, 3 and 7. */
static struct {
	struct numa_host host;
	unsigned n_memory, n_threads, n_nodes;
	int err;
	struct {
		void *base;
		size_t bytes;
		unsigned node;
	} memory[MOST_CALLS];
	unsigned thread[MOST_CALLS];
	pthread_t who[MOST_CALLS];
} fake;

static unsigned nodes(const struct numa_host *h, unsigned *out, unsigned most)
{
	static const unsigned all[] = {2, 3, 7};

	cr_assert_eq(h, &fake.host);
	cr_assert_geq(most, 3);
	memcpy(out, all, fake.n_nodes * sizeof(*out));
	return fake.n_nodes;
}

static int bind_memory(const struct numa_host *h, void *base, size_t bytes, unsigned host_node)
{
	fake.memory[fake.n_memory].base = base;
	fake.memory[fake.n_memory].bytes = bytes;
	fake.memory[fake.n_memory++].node = host_node;
	return fake.err;
}

static int bind_thread(const struct numa_host *h, unsigned host_node)
{
	unsigned i = __atomic_fetch_add(&fake.n_threads, 1, __ATOMIC_SEQ_CST);

	fake.thread[i] = host_node;
	fake.who[i] = pthread_self();
	return 0;
}

static void make_host(unsigned n)
{
	fake.host = (struct numa_host){nodes, bind_memory, bind_thread};
	fake.n_nodes = n;
}

Test(numa_host, neighbours_stay_together)
{
	static const unsigned want[] = {2, 2, 2, 3, 3, 3, 7, 7}, few[] = {2, 3};
	struct numa_binding b;

	make_host(3);
	cr_assert_eq(numa_binding_init(&b, &fake.host, 8), 0);
	cr_expect_arr_eq(b.host_node, want, sizeof(want));
	cr_assert_eq(numa_binding_init(&b, &fake.host, 2), 0);
	cr_expect_arr_eq(b.host_node, few, sizeof(unsigned));
	make_host(0);
	cr_expect_eq(numa_binding_init(&b, &fake.host, 2), -ENODEV);
}

Test(numa_host, memory)
{
	struct numa_binding b;
	struct machine_memory *m;
	struct machine_memory_config cfg = {.bytes = 1 << 20, .nodes = 4, .binding = &b};

	make_host(3);
	cr_assert_eq(numa_binding_init(&b, &fake.host, 4), 0);
	cr_assert_eq(machine_memory_new(&m, &cfg), 0);
	cr_assert_eq(fake.n_memory, 4);
	for (unsigned n = 0; n < 4; n++) {
		cr_expect_eq(fake.memory[n].base, m->node[n].base);
		cr_expect_eq(fake.memory[n].bytes, (1 << 20) / 4);
		cr_expect_eq(fake.memory[n].node, b.host_node[n]);
	}
	machine_memory_free(m);
	fake.err = -EPERM;
	cr_expect_eq(machine_memory_new(&m, &cfg), -EPERM);
}

static void *run(void *vm)
{
	cr_assert_eq(vm_run(vm), VM_QUIT);
	return NULL;
}

/* Two machines on two processors of two nodes: each thread says where it is to run, once. */
Test(numa_host, processors)
{
	struct monitor *mon;
	struct numa_config numa;
	struct monitor_config cfg = {
	    .memory_bytes = 16 << 20, .nodes = 2, .numa = &numa, .host = &fake.host, .processors = 2, .share = true};
	struct vm *busy, *vm;
	pthread_t thread;

	make_host(2);
	numa_config_default(&numa);
	numa.nodes = 2;
	cr_assert_eq(monitor_new(&mon, &cfg), 0);
	cr_expect_eq(fake.n_threads, 0, "nobody has run yet");
	busy = machine_open_in(mon, &(struct vm_config){0}, TIERS_1);
	PUT(busy, CODE_VA, A_BEQ(ZERO, ZERO, -1), A_NOP);
	cr_assert_eq(pthread_create(&thread, NULL, run, busy), 0);
	while (!__atomic_load_n(&fake.n_threads, __ATOMIC_SEQ_CST))
		sched_yield();
	for (unsigned round = 0; round < 3; round++) {
		vm = machine_open_in(mon, &(struct vm_config){0}, TIERS_1);
		PUT(vm, CODE_VA, A_RESET);
		cr_assert_eq(vm_run(vm), VM_RESET);
		vm_free(vm);
	}
	vm_end(busy, VM_QUIT);
	pthread_join(thread, NULL);
	cr_assert_eq(fake.n_threads, 2, "%u: once for each thread", fake.n_threads);
	cr_expect_eq(fake.thread[0] + fake.thread[1], 2 + 3, "one on each node");
	cr_expect(!pthread_equal(fake.who[0], fake.who[1]));
	vm_free(busy);
	monitor_free(mon);
}

/* Its calls, with all the nodes that this host has; one that has no NUMA, or forbids it, says so. */
Test(numa_host, this_one)
{
	struct numa_binding b;
	struct machine_memory *m;
	struct machine_memory_config cfg = {.bytes = 1 << 20, .nodes = 2, .binding = &b};
	int err = numa_binding_init(&b, &numa_this_host, 2);

	cr_assert(err == 0 || err == -ENODEV);
	if (err)
		return;
	err = machine_memory_new(&m, &cfg);
	cr_assert(err == 0 || err == -EPERM || err == -ENOSYS, "%d", err);
	if (!err) {
		memset(m->node[1].base, 1, PAGE_BYTES);
		machine_memory_free(m);
	}
	err = numa_bind_thread(&b, 0);
	cr_assert(err == 0 || err == -EPERM || err == -ENOSYS, "%d", err);
}
