/* SPDX-License-Identifier: MIT */
/*
 * Copies of a machine's own page for its vCPUs on several nodes (numa/replica.c).  What vCPUs know of a page is modelled as L2TLBs do it: an address,
 * and whether it may be written to, kept until it is taken away.  So a copy that somebody still knows is a stale read here.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "numa/move.h"
#include "numa/region.h"
#include "numa/share.h"
#include "tests/slower.h"

enum { NODES = 4, PAGES = 16 };

struct known {
	uint8_t *host; /* NULL: nothing */
	bool write;
};

struct world {
	struct machine_memory *m;
	struct pmap *p;
	struct known tlb[NODES][PAGES]; /* a vCPU on each node */
	uint64_t want[PAGES];           /* what the page holds, all through */
	const uint8_t *busy;            /* a device has that page's address */
	unsigned unmaps, protects;
	uint64_t late; /* what a vCPU stores at the last moment when its right to write goes; 0: nothing */
};

static struct gpa page_at(uint64_t gpn) { return gpa(gpn << PAGE_SHIFT); }

static void fill(uint8_t *host, uint64_t value)
{
	for (unsigned at = 0; at < PAGE_BYTES; at += sizeof(value))
		memcpy(host + at, &value, sizeof(value));
}

static void unmap(void *opaque, struct gpa pa, struct guest_page *g)
{
	struct world *w = opaque;

	w->unmaps++;
	for (unsigned n = 0; n < NODES; n++)
		if (w->tlb[n][pa.v >> PAGE_SHIFT].host == g->page->host)
			w->tlb[n][pa.v >> PAGE_SHIFT] = (struct known){0};
}

static void protect(void *opaque, struct gpa pa, struct guest_page *g)
{
	struct world *w = opaque;
	uint64_t gpn = pa.v >> PAGE_SHIFT;

	w->protects++;
	if (w->late) {
		fill(g->page->host, w->late);
		w->want[gpn] = w->late;
	}
	for (unsigned n = 0; n < NODES; n++)
		if (w->tlb[n][gpn].host == g->page->host)
			w->tlb[n][gpn].write = false;
}

static bool in_flight(void *opaque, const uint8_t *host, bool written)
{
	const struct world *w = opaque;

	return host == w->busy;
}

static void make(struct world *w, uint64_t machine_pages)
{
	struct machine_memory_config cfg = {.bytes = machine_pages * PAGE_BYTES, .nodes = NODES, .share = true};

	*w = (struct world){0};
	cr_assert_eq(machine_memory_new(&w->m, &cfg), 0);
	cr_assert_eq(pmap_new(&w->p, w->m, PAGES * PAGE_BYTES), 0);
	pmap_set_ops(w->p, &(struct pmap_ops){unmap, protect, in_flight, w});
}

static void audit(const struct world *w)
{
	char first[200] = "";

	cr_assert_eq(machine_memory_audit(w->m, NULL, first, sizeof(first)), 0u, "%s", first);
}

static void done(struct world *w)
{
	audit(w);
	pmap_free(w->p);
	share_drop_idle(w->m);
	cr_expect_eq(machine_memory_pages_used(w->m, -1), 0);
	machine_memory_free(w->m);
}

/* ---- vCPUs ---- */

static struct guest_page *come(struct world *w, unsigned node, uint64_t gpn, enum pmap_access access)
{
	int err;
	struct guest_page *g = pmap_get(w->p, page_at(gpn), node, access, &err);

	cr_assert_not_null(g, "node %u, page %llu: %s", node, (unsigned long long)gpn, strerror(-err));
	w->tlb[node][gpn] = (struct known){g->page->host, guest_page_writable(g)};
	return g;
}

static uint64_t value_at(const uint8_t *host)
{
	uint64_t first, last;

	memcpy(&first, host, sizeof(first));
	memcpy(&last, host + PAGE_BYTES - sizeof(last), sizeof(last));
	return first == last ? first : UINT64_MAX;
}

/* Through what the node's vCPU knows, or the door. */
static uint64_t load(struct world *w, unsigned node, uint64_t gpn)
{
	if (!w->tlb[node][gpn].host)
		come(w, node, gpn, PMAP_READ);
	return value_at(w->tlb[node][gpn].host);
}

static void store(struct world *w, unsigned node, uint64_t gpn, uint64_t value)
{
	if (!w->tlb[node][gpn].write)
		come(w, node, gpn, PMAP_WRITE);
	cr_assert(w->tlb[node][gpn].write);
	fill(w->tlb[node][gpn].host, value);
	w->want[gpn] = value;
}

/* All see the same, wherever they look. */
static void expect_read(struct world *w, uint64_t gpn)
{
	for (unsigned n = 0; n < NODES; n++)
		cr_assert_eq(load(w, n, gpn), w->want[gpn], "page %llu on node %u", (unsigned long long)gpn, n);
}

/* As a balloon does it: what knows the page goes first (of copies, by pmap_release()). */
static void release(struct world *w, uint64_t gpn)
{
	pmap_unmap(w->p, page_at(gpn));
	(void)pmap_release(w->p, page_at(gpn), PAGE_BYTES);
	w->want[gpn] = 0;
}

static int replicate(struct world *w, uint64_t gpn, unsigned node) { return pmap_replicate(w->p, page_at(gpn), node); }
static unsigned replicas(const struct world *w, uint64_t gpn) { return pmap_replicas(w->p, page_at(gpn)); }
static uint64_t used(const struct world *w, int node) { return machine_memory_pages_used(w->m, node); }

static const struct machine_page *on(const struct world *w, uint64_t gpn, unsigned node)
{
	return pmap_row_on(w->p, page_at(gpn), node)->page;
}

/* A page of node 0 that all vCPUs have mapped, and copies on the other nodes up to `last`. */
static void make_copies(struct world *w, uint64_t gpn, unsigned last)
{
	store(w, 0, gpn, 100 + gpn);
	expect_read(w, gpn);
	for (unsigned n = 1; n <= last; n++)
		cr_assert_eq(replicate(w, gpn, n), 0, "node %u", n);
}

/* ---- making copies ---- */

/* A vCPU goes to another node: nobody knows any of them any more, and all find what is there. */
Test(replica, forgotten_by_all)
{
	struct world w;

	make(&w, 64);
	make_copies(&w, 3, 2);
	store(&w, 0, 4, 9);
	expect_read(&w, 3);
	expect_read(&w, 4);
	pmap_unmap_copies(w.p);
	for (unsigned n = 0; n < NODES; n++) {
		cr_expect_null(w.tlb[n][3].host, "node %u", n);
		cr_expect_not_null(w.tlb[n][4].host, "it has no copies");
	}
	expect_read(&w, 3);
	cr_expect_eq(replicas(&w, 3), 2);
	done(&w);
}

Test(replica, each_node_reads_its_own)
{
	struct world w;

	make(&w, 64);
	make_copies(&w, 3, NODES - 1);
	cr_expect_eq(replicas(&w, 3), NODES - 1);
	cr_expect_eq(pmap_stats(w.p)->replicated, NODES - 1);
	for (unsigned n = 0; n < NODES; n++) {
		cr_expect_eq(used(&w, (int)n), 1, "node %u", n);
		cr_expect_eq(come(&w, n, 3, PMAP_READ)->page->node, n);
		cr_expect_eq(come(&w, n, 3, PMAP_EXEC)->page->node, n);
		cr_expect_eq(on(&w, 3, n)->node, n);
		cr_expect_not(w.tlb[n][3].write, "node %u", n);
		cr_expect_eq(pmap_node_pages(w.p, n), 1);
		cr_expect_eq(machine_page_row(on(&w, 3, n)), pmap_row_on(w.p, page_at(3), n));
	}
	expect_read(&w, 3);
	audit(&w);
	cr_expect_eq(replicate(&w, 3, 2), 0, "there is one");
	cr_expect_eq(replicate(&w, 3, 0), 0, "the first one");
	cr_expect_eq(replicas(&w, 3), NODES - 1);
	cr_expect_eq(used(&w, -1), NODES);
	done(&w);
}

/* Who has no copy reads the first one, and is told when there is one for him. */
Test(replica, a_node_without_a_copy)
{
	struct world w;

	make(&w, 64);
	make_copies(&w, 3, 1);
	expect_read(&w, 3);
	cr_expect_eq(w.tlb[1][3].host, on(&w, 3, 1)->host);
	cr_expect_eq(w.tlb[2][3].host, on(&w, 3, 0)->host);
	cr_assert_eq(replicate(&w, 3, 2), 0);
	cr_expect_eq(w.tlb[1][3].host, on(&w, 3, 1)->host, "nothing is new for node 1");
	cr_expect_null(w.tlb[2][3].host, "it is to come and find it");
	expect_read(&w, 3);
	cr_expect_eq(w.tlb[2][3].host, on(&w, 3, 2)->host);
	cr_expect_eq(w.protects, 1, "of a page that nobody can write to there is nothing to be taken away");
	done(&w);
}

/* The right to write goes before the copy is made. */
Test(replica, a_store_at_the_last_moment)
{
	struct world w;

	make(&w, 64);
	store(&w, 2, 5, 1);
	w.late = 2;
	cr_assert_eq(replicate(&w, 5, 0), 0);
	w.late = 0;
	cr_expect_eq(w.want[5], 2);
	expect_read(&w, 5);
	done(&w);
}

Test(replica, what_has_no_copies)
{
	struct share_image image = {.dev = 1, .ino = 2, .bytes = 1 << 20};
	struct machine_page *block;
	struct region *r;
	struct world w;

	make(&w, 64);
	cr_expect_eq(replicate(&w, 0, 1), -ENOENT, "never touched");
	(void)come(&w, 0, 0, PMAP_READ);
	cr_expect_eq(replicate(&w, 0, 1), -ENOENT, "the page of zeroes");
	block = share_page_new(w.p, 0);
	fill(block->host, 9);
	cr_assert_eq(pmap_give_block(w.p, page_at(1), (struct block_name){share_image_number(w.m, &image), 7}, block),
		     0);
	cr_expect_eq(replicate(&w, 1, 1), -ENOENT, "a block that others may have");
	cr_assert_eq(region_get(&r, w.m, "ring", PAGE_BYTES), 0);
	cr_assert_eq(pmap_map_region(w.p, page_at(2), r, 0), 0);
	cr_expect_eq(replicate(&w, 2, 1), -ENOENT, "a region's");
	store(&w, 0, 3, 7);
	w.busy = w.tlb[0][3].host;
	cr_expect_eq(replicate(&w, 3, 1), -EBUSY, "a device has its address");
	w.busy = NULL;
	for (uint64_t gpn = 0; gpn <= 3; gpn++)
		cr_expect_eq(replicas(&w, gpn), 0);
	cr_expect(w.tlb[0][3].write, "nothing has changed");
	audit(&w);
	cr_expect_eq(pmap_leave_region(w.p, page_at(2)), 0);
	region_put(r);
	done(&w);
}

/* ---- what has copies stays as it is, where it is ---- */

Test(replica, nobody_moves_or_shares_it)
{
	struct machine_page *row, *page;
	struct world w;

	make(&w, 64);
	make_copies(&w, 3, 1);
	store(&w, 0, 4, w.want[3]); /* equal to it */
	page = pmap_peek(w.p, page_at(3));
	cr_expect_eq(page_move_begin(w.m, page->mpn, 3, &row), -EBUSY);
	cr_expect_eq(page_move_begin(w.m, on(&w, 3, 1)->mpn, 3, &row), -EBUSY);
	cr_expect_eq(pmap_bring(w.p, page_at(3), 3), -ENOENT);
	pmap_share_equal(w.p, page_at(3), 2 * PAGE_BYTES);
	pmap_share_equal(w.p, page_at(3), 2 * PAGE_BYTES);
	cr_expect_eq(pmap_peek(w.p, page_at(3)), page);
	cr_expect_not(page_has(page, PAGE_SHARED));
	cr_expect_eq(replicas(&w, 3), 1);
	expect_read(&w, 3);
	done(&w);
}

/* Copies are made while the page is about to move: it does not. */
Test(replica, a_move_that_comes_too_late)
{
	struct machine_page *row, *page;
	struct world w;

	make(&w, 64);
	store(&w, 0, 3, 1);
	page = pmap_peek(w.p, page_at(3));
	cr_assert_eq(page_move_begin(w.m, page->mpn, 3, &row), 0);
	cr_assert_eq(replicate(&w, 3, 1), 0);
	cr_expect_eq(page_move(w.m, row, 3), -EBUSY);
	page_move_end(w.m);
	cr_expect_eq(pmap_peek(w.p, page_at(3)), page);
	expect_read(&w, 3);
	done(&w);
}

/* ---- one is left ---- */

Test(replica, a_write_leaves_the_writers)
{
	for (unsigned writer = 0; writer < NODES; writer++) {
		const struct machine_page *stays;
		struct world w;

		make(&w, 64);
		make_copies(&w, 3, NODES - 1);
		expect_read(&w, 3);
		stays = on(&w, 3, writer);
		w.unmaps = 0;
		store(&w, writer, 3, 55);
		cr_expect_eq(w.unmaps, NODES, "each that somebody may know");
		cr_expect_eq(pmap_peek(w.p, page_at(3)), stays);
		cr_expect_eq(stays->node, writer);
		cr_expect_not(page_has(stays, PAGE_REPLICA));
		cr_expect_eq(replicas(&w, 3), 0);
		cr_expect_eq(used(&w, -1), 1, "the others' memory is free");
		cr_expect_eq(used(&w, (int)writer), 1);
		expect_read(&w, 3);
		w.unmaps = 0;
		store(&w, writer, 3, 56);
		cr_expect_eq(w.unmaps, 0, "it is a page as any other");
		done(&w);
	}
}

/* The writer's node has none: the first one stays. */
Test(replica, a_write_from_elsewhere)
{
	struct world w;

	make(&w, 64);
	make_copies(&w, 3, 1);
	store(&w, 3, 3, 77);
	cr_expect_eq(pmap_peek(w.p, page_at(3))->node, 0);
	cr_expect_eq(used(&w, -1), 1);
	expect_read(&w, 3);
	cr_assert_eq(replicate(&w, 3, 3), 0, "and then anew");
	expect_read(&w, 3);
	done(&w);
}

/* A write by a device or the monitor comes to the same door. */
Test(replica, a_write_that_is_no_vcpus)
{
	struct world w;
	uint64_t value = 0x1122;

	make(&w, 64);
	make_copies(&w, 3, 3);
	w.want[3] = value;
	for (unsigned at = 0; at < PAGE_BYTES; at += sizeof(value))
		cr_assert_eq(pmap_write(w.p, gpa((3 << PAGE_SHIFT) + at), &value, sizeof(value)), 0);
	cr_expect_eq(used(&w, -1), 1);
	expect_read(&w, 3);
	done(&w);
}

/* The audit sees a copy that differs. */
Test(replica, audited)
{
	char first[200] = "";
	struct world w;

	make(&w, 64);
	make_copies(&w, 3, 3);
	audit(&w);
	on(&w, 3, 2)->host[77] ^= 1;
	cr_expect_eq(machine_memory_audit(w.m, NULL, first, sizeof(first)), 1u);
	cr_expect(strstr(first, "its copies on other nodes"), "%s", first);
	on(&w, 3, 2)->host[77] ^= 1;
	done(&w);
}

/* A device reads one of them when it goes: that page is nobody else's until the device is done. */
Test(replica, a_device_has_one)
{
	struct world w;
	const struct machine_page *copy;

	make(&w, 64);
	make_copies(&w, 3, 2);
	copy = on(&w, 3, 2);
	w.busy = copy->host;
	store(&w, 1, 3, 5);
	cr_expect_eq(used(&w, 2), 1, "kept for it");
	cr_expect_eq(value_at(copy->host), 103);
	audit(&w);
	w.busy = NULL;
	make_copies(&w, 4, 2);
	store(&w, 1, 4, 6); /* comes by what was kept */
	cr_expect_eq(used(&w, 2), 0);
	cr_expect_eq(used(&w, -1), 2);
	expect_read(&w, 3);
	done(&w);
}

Test(replica, its_memory_goes_with_it)
{
	struct world w;

	make(&w, 64);
	for (uint64_t gpn = 0; gpn < 4; gpn++)
		make_copies(&w, gpn, NODES - 1);
	cr_expect_eq(used(&w, -1), 4 * NODES);
	pmap_collapse(w.p, page_at(0), 2);
	cr_expect_eq(pmap_peek(w.p, page_at(0))->node, 2);
	cr_expect_eq(used(&w, -1), 3 * NODES + 1);
	pmap_collapse(w.p, page_at(0), 1);
	cr_expect_eq(pmap_peek(w.p, page_at(0))->node, 2, "nothing to do");
	release(&w, 1);
	cr_expect_eq(used(&w, -1), 2 * NODES + 1);
	expect_read(&w, 1);
	for (uint64_t gpn = 0; gpn < 4; gpn++)
		expect_read(&w, gpn);
	done(&w); /* pages 2 and 3 have copies when the machine ends */
}

/* ---- no memory ---- */

Test(replica, a_full_node)
{
	struct world w;
	int err;

	make(&w, 4 * NODES);
	store(&w, 0, 0, 41);
	for (uint64_t gpn = 8; gpn < 12; gpn++)
		cr_assert_not_null(pmap_get(w.p, page_at(gpn), 1, PMAP_WRITE, &err));
	cr_assert_eq(used(&w, 1), 4);
	cr_expect_eq(replicate(&w, 0, 1), -ENOMEM, "and not on another one");
	cr_expect_eq(replicas(&w, 0), 0);
	cr_expect(guest_page_writable(pmap_row(w.p, page_at(0))), "it is as it was");
	store(&w, 0, 0, 42);
	cr_expect_eq(used(&w, -1), 5);
	audit(&w);
	cr_assert_eq(replicate(&w, 0, 2), 0, "there is room");
	cr_expect_eq(replicate(&w, 0, 1), -ENOMEM);
	cr_expect_eq(replicas(&w, 0), 1, "those that there are stay");
	cr_expect_not(guest_page_writable(pmap_row(w.p, page_at(0))));
	expect_read(&w, 0);
	cr_expect_eq(w.tlb[1][0].host, on(&w, 0, 0)->host);
	audit(&w);
	store(&w, 1, 0, 43);
	cr_expect_eq(used(&w, 2), 0);
	expect_read(&w, 0);
	done(&w);
}

/* Memory is full of copies: they go before a guest has to. */
Test(replica, copies_give_way)
{
	struct world w;

	make(&w, 3 * NODES);
	for (uint64_t gpn = 0; gpn < 3; gpn++)
		make_copies(&w, gpn, NODES - 1);
	cr_assert_eq(used(&w, -1), 3 * NODES);
	for (uint64_t gpn = 3; gpn < 3 * NODES; gpn++)
		store(&w, 1, gpn, gpn);
	audit(&w);
	for (uint64_t gpn = 0; gpn < 3 * NODES; gpn++)
		expect_read(&w, gpn);
	cr_expect_eq(used(&w, -1), 3 * NODES);
	done(&w);
}

/* ---- many ---- */

static uint32_t next(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	return *x ^= *x << 5;
}

Test(replica, by_chance, .timeout = 60)
{
	enum { STEPS = 40000 / TESTS_SLOWER };
	uint32_t x = 1, done_of[6] = {0};
	struct world w;

	make(&w, 5 * NODES); /* not enough for all copies */
	for (unsigned i = 0; i < STEPS; i++) {
		uint32_t r = next(&x), kind = r % 16;
		unsigned node = r >> 8 & 3;
		uint64_t gpn = r >> 16 & 7;

		if (kind < 6) {
			done_of[0]++;
			cr_assert_eq(load(&w, node, gpn), w.want[gpn], "step %u", i);
		} else if (kind < 8) {
			done_of[1]++;
			store(&w, node, gpn, i + 1);
		} else if (kind < 14) {
			int err = replicate(&w, gpn, node);

			done_of[2] += !err;
			cr_assert(!err || err == -ENOMEM || err == -ENOENT);
			done_of[3] += err == -ENOMEM;
		} else if (kind == 14) {
			done_of[4] += replicas(&w, gpn);
			release(&w, gpn);
		} else {
			done_of[5] += pmap_bring(w.p, page_at(gpn), node) == 0;
		}
		if (i % 64 == 0)
			audit(&w);
	}
	for (unsigned k = 0; k < 6; k++)
		cr_expect_gt(done_of[k], 50 / TESTS_SLOWER, "%u", k);
	for (uint64_t gpn = 0; gpn < 8; gpn++)
		expect_read(&w, gpn);
	done(&w);
}

/*
 * One writer, another one each time, among readers that know their copies: DISCO_ROUNDS times, with no stale read.  tests/long/numa_collapse.sh has a
 * million, and as many with guests.
 */
Test(replica, one_writer_among_readers, .timeout = 600)
{
	const char *text = getenv("DISCO_ROUNDS");
	uint64_t rounds = text ? strtoull(text, NULL, 0) : 5000 / TESTS_SLOWER, stale = 0;
	struct world w;

	make(&w, 64);
	store(&w, 0, 3, 0);
	for (uint64_t r = 1; r <= rounds; r++) {
		for (unsigned n = 0; n < NODES; n++) {
			cr_assert_eq(replicate(&w, 3, n), 0);
			stale += load(&w, n, 3) != r - 1;
		}
		cr_assert_eq(replicas(&w, 3), NODES - 1);
		store(&w, (unsigned)(r * r % 7 % NODES), 3, r);
		for (unsigned n = 0; n < NODES; n++)
			stale += load(&w, n, 3) != r;
		cr_assert_eq(used(&w, -1), 1);
	}
	fprintf(stderr, "%llu rounds, %llu copies, %llu stale reads\n", (unsigned long long)rounds,
		(unsigned long long)pmap_stats(w.p)->replicated, (unsigned long long)stale);
	cr_expect_eq(stale, 0);
	cr_expect_eq(pmap_stats(w.p)->replicated, rounds * (NODES - 1));
	done(&w);
}
