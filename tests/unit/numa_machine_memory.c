/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "numa/machine_memory.h"
#include "numa/mesh.h"
#include "numa/move.h"

#define MIB (1024 * 1024ull)

static struct machine_memory *make(uint64_t pages, unsigned nodes)
{
	struct machine_memory *m;

	cr_assert_eq(
	    machine_memory_new(&m, &(struct machine_memory_config){.bytes = pages * PAGE_BYTES, .nodes = nodes}), 0);
	return m;
}

Test(machine, refuses_bad_shapes)
{
	static const struct machine_memory_config bad[] = {
	    {.bytes = 0, .nodes = 1},
	    {.bytes = PAGE_BYTES + 1, .nodes = 1},
	    {.bytes = MIB, .nodes = 0},
	    {.bytes = MIB, .nodes = NUMA_MAX_NODES + 1},
	    {.bytes = 2 * PAGE_BYTES, .nodes = 3},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct machine_memory *m = (struct machine_memory *)&m;

		cr_assert_eq(machine_memory_new(&m, &bad[i]), -EINVAL, "%zu", i);
		cr_assert_null(m);
	}
}

Test(machine, refuses_more_than_the_host_has)
{
	uint64_t host = machine_memory_host_bytes() & ~PAGE_MASK;
	struct machine_memory *m;

	cr_assert_gt(host, 16 * MIB);
	cr_assert_eq(machine_memory_new(&m, &(struct machine_memory_config){.bytes = host + PAGE_BYTES, .nodes = 1}),
		     -ENOMEM);
	cr_assert_null(m);
	cr_assert_eq(
	    machine_memory_new(&m, &(struct machine_memory_config){.bytes = UINT64_MAX & ~PAGE_MASK, .nodes = 4}),
	    -ENOMEM);
	cr_assert_eq(machine_memory_new(&m, &(struct machine_memory_config){.bytes = host, .nodes = 2}), 0,
		     "all of it is only reserved");
	machine_memory_free(m);
	machine_memory_free(NULL);
}

Test(machine, pages_are_zero_aligned_and_distinct)
{
	struct machine_memory *m = make(130, 3);
	static const uint8_t zero[PAGE_BYTES];
	uint8_t filled_with[130];

	cr_assert_null(machine_page_get(m, 0));
	for (uint32_t i = 0; i < 130; i++) {
		struct machine_page *p = machine_page_alloc(m, i % 3);

		cr_assert_not_null(p);
		cr_assert_eq((uintptr_t)p->host & PAGE_MASK, 0);
		cr_assert_arr_eq(p->host, zero, PAGE_BYTES);
		memset(p->host, (int)i + 1, PAGE_BYTES);
		cr_assert_eq(machine_page_get(m, p->mpn), p);
		filled_with[p->mpn] = (uint8_t)(i + 1);
	}
	cr_assert_null(machine_page_alloc(m, 0));
	cr_assert_null(machine_page_get(m, 130));
	for (uint32_t mpn = 0; mpn < 130; mpn++) {
		const struct machine_page *p = machine_page_get(m, mpn);

		cr_assert_eq(p->mpn, mpn);
		cr_assert_eq(p->host[0], filled_with[mpn]);
		cr_assert_eq(p->host[PAGE_BYTES - 1], filled_with[mpn]);
	}
	machine_memory_free(m);
}

Test(machine, falls_back_to_the_nearest_node_with_room)
{
	/* A mesh of 3 x 3:  0 1 2 / 3 4 5 / 6 7 8, two pages each. From 8: 5 and 7 (1 hop), 2 4 6 (2), 1 3, 0. */
	static const uint16_t order[] = {8, 8, 5, 5, 7, 7, 2, 2, 4, 4, 6, 6, 1, 1, 3, 3, 0, 0};
	struct machine_memory *m = make(18, 9);

	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		struct machine_page *p = machine_page_alloc(m, 8);

		cr_assert_eq(p->node, order[i], "page %zu on node %u", i, p->node);
	}
	cr_assert_eq(machine_memory_pages_used(m, -1), 18);
	cr_assert_eq(machine_memory_pages_used(m, 4), 2);
	cr_assert_null(machine_page_alloc(m, 8));
	machine_memory_free(m);
}

/* Address space for more than may be used: each node has its part of what may be used, and no more. */
Test(machine, capacity_is_spread_over_the_nodes)
{
	struct machine_memory *m;
	uint64_t pages, room;

	cr_assert_eq(
	    machine_memory_new(
		&m, &(struct machine_memory_config){.bytes = 16 * PAGE_BYTES, .most = 64 * PAGE_BYTES, .nodes = 4}),
	    0);
	for (unsigned i = 0; i < 16; i++) {
		static const unsigned nodes[] = {0, 1, 2, 3}; /* of 2 x 2, from 0 */
		struct machine_page *p = machine_page_alloc(m, 0);

		cr_assert_not_null(p);
		cr_expect_eq(p->node, nodes[i / 4], "page %u on node %u", i, p->node);
	}
	cr_expect_null(machine_page_alloc(m, 0));
	machine_memory_node(m, 2, &pages, &room);
	cr_expect_eq(pages, 4);
	cr_expect_eq(room, 0);
	cr_assert_eq(machine_memory_resize(m, 32 * PAGE_BYTES), 0);
	machine_memory_node(m, 2, &pages, &room);
	cr_expect_eq(pages, 8);
	cr_expect_eq(room, 4);
	cr_expect_eq(machine_page_alloc(m, 2)->node, 2);
	machine_memory_free(m);
}

Test(machine, hops_of_a_mesh)
{
	cr_assert_eq(numa_node_hops(1, 0, 0), 0);
	cr_assert_eq(numa_node_hops(2, 0, 1), 1);
	cr_assert_eq(numa_node_hops(4, 0, 3), 2);
	cr_assert_eq(numa_node_hops(64, 0, 63), 14);
	for (unsigned a = 0; a < 7; a++)
		for (unsigned b = 0; b < 7; b++)
			cr_assert_eq(numa_node_hops(7, a, b), numa_node_hops(7, b, a));
}

Test(machine, freed_pages_come_back_zeroed)
{
	struct machine_memory *m = make(200, 2);
	static const uint8_t zero[PAGE_BYTES];

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 200; i++)
			memset(machine_page_alloc(m, 0)->host, 0xa5, PAGE_BYTES);
		machine_pages_free(m, 3, 70);
		machine_pages_free(m, 100, 100);
		cr_assert_eq(machine_memory_pages_used(m, 0), 30);
		cr_assert_eq(machine_memory_pages_used(m, 1), 0);
		for (unsigned i = 0; i < 170; i++)
			cr_assert_arr_eq(machine_page_alloc(m, 1)->host, zero, PAGE_BYTES);
		cr_assert_null(machine_page_alloc(m, 1));
		machine_pages_free(m, 0, 100);
		machine_pages_free(m, 100, 100);
		cr_assert_eq(machine_memory_pages_used(m, -1), 0);
	}
	machine_memory_free(m);
}

/* What the host has for the node's memory. */
static uint64_t committed_bytes(const struct machine_memory *m)
{
	struct stat st;

	cr_assert_eq(fstat(m->node[0].fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

Test(machine, pages_given_back_one_by_one_go_to_the_host_but_for_a_few)
{
	enum { PAGES = 4 * NODE_KEEPS };
	struct machine_memory *m = make(PAGES, 1);
	static const uint8_t zero[PAGE_BYTES];

	for (unsigned i = 0; i < PAGES; i++)
		memset(machine_page_alloc(m, 0)->host, 0xa5, PAGE_BYTES);
	cr_assert_eq(committed_bytes(m), PAGES * PAGE_BYTES);
	for (uint32_t i = 0; i < PAGES; i++)
		machine_pages_free(m, i * 5 % PAGES, 1);
	cr_assert_eq(machine_memory_pages_used(m, -1), 0);
	cr_assert_leq(committed_bytes(m), NODE_KEEPS * PAGE_BYTES);
	for (unsigned i = 0; i < PAGES; i++)
		cr_assert_arr_eq(machine_page_alloc(m, 0)->host, zero, PAGE_BYTES, "%u", i);
	cr_assert_null(machine_page_alloc(m, 0));
	machine_memory_free(m);
}

enum { HALF_OF_ALL = NODE_KEEPS + 100 };

static void *take_and_give_back(void *memory)
{
	struct machine_memory *m = memory;
	struct machine_page *page[HALF_OF_ALL];

	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < HALF_OF_ALL; i++) {
			page[i] = machine_page_alloc(m, 0);
			if (!page[i])
				return m;
		}
		for (unsigned i = 0; i < HALF_OF_ALL; i++)
			machine_pages_free(m, page[i]->mpn, 1);
	}
	return NULL;
}

Test(machine, what_is_on_its_way_to_the_host_is_waited_for)
{
	struct machine_memory *m = make(2 * HALF_OF_ALL, 1);
	pthread_t other;
	void *failed;

	cr_assert_eq(pthread_create(&other, NULL, take_and_give_back, m), 0);
	cr_expect_null(take_and_give_back(m));
	pthread_join(other, &failed);
	cr_expect_null(failed);
	cr_assert_eq(machine_memory_pages_used(m, -1), 0);
	machine_memory_free(m);
}

Test(machine, backmaps_are_remembered_once_and_overflow_shows)
{
	struct machine_memory *m = make(1, 1);
	char place[NUMA_BACKMAPS + 1];
	struct guest_page *g;
	struct pmap *p;
	int err;

	cr_assert_eq(pmap_new(&p, m, PAGE_BYTES), 0);
	g = pmap_get(p, gpa(0), 0, PMAP_WRITE, &err);
	for (unsigned i = 0; i < NUMA_BACKMAPS; i++)
		for (unsigned twice = 0; twice < 2; twice++)
			guest_page_backmap_add(g, (struct l2tlb_entry *)&place[i]);
	cr_assert_eq(g->n_backmaps, NUMA_BACKMAPS);
	cr_assert_not(g->backmaps_overflow);
	guest_page_backmap_add(g, (struct l2tlb_entry *)&place[0]);
	cr_assert_not(g->backmaps_overflow, "it has been recorded before");
	guest_page_backmap_add(g, (struct l2tlb_entry *)&place[NUMA_BACKMAPS]);
	cr_assert(g->backmaps_overflow);
	cr_assert_eq(g->n_backmaps, NUMA_BACKMAPS);
	cr_assert_eq(pmap_release(p, gpa(0), PAGE_BYTES), PAGE_BYTES);
	g = pmap_get(p, gpa(0), 0, PMAP_WRITE, &err);
	cr_assert_eq(g->n_backmaps, 0, "a page starts its new life without its old backmaps");
	cr_assert_not(g->backmaps_overflow);
	pmap_free(p);
	machine_memory_free(m);
}

struct taker {
	struct machine_memory *m;
	unsigned node;
	unsigned got;
};

static void *take_all(void *arg)
{
	struct taker *t = arg;
	struct machine_page *p;

	while ((p = machine_page_alloc(t->m, t->node))) {
		p->host[0]++;
		t->got++;
	}
	return NULL;
}

Test(machine, several_threads_share_it)
{
	struct machine_memory *m = make(4000, 2);
	struct taker t[2] = {{m, 0, 0}, {m, 1, 0}};
	pthread_t thread[2];

	for (unsigned i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, take_all, &t[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(t[0].got + t[1].got, 4000);
	for (uint32_t mpn = 0; mpn < 4000; mpn++)
		cr_assert_eq(machine_page_get(m, mpn)->host[0], 1, "page %u was handed out twice", mpn);
	machine_memory_free(m);
}
