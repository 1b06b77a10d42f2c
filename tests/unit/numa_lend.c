/* SPDX-License-Identifier: MIT */
/* Pages that one VM sends to another: as they were when they were sent, whoever writes to them, and never lost. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "numa/move.h"
#include "numa/region.h"
#include "numa/share.h"

enum { VMS = 3 };

struct world {
	struct machine_memory *m;
	struct pmap *p[VMS];
};

static struct world make(uint64_t machine_pages, uint64_t pages, bool share)
{
	struct world w;

	cr_assert_eq(
	    machine_memory_new(
		&w.m, &(struct machine_memory_config){.bytes = machine_pages * PAGE_BYTES, .nodes = 2, .share = share}),
	    0);
	for (unsigned i = 0; i < VMS; i++)
		cr_assert_eq(pmap_new(&w.p[i], w.m, pages * PAGE_BYTES), 0);
	return w;
}

static void audit(const struct world *w)
{
	char first[200] = "";

	cr_assert_eq(machine_memory_audit(w->m, NULL, first, sizeof(first)), 0u, "%s", first);
}

static void done(struct world *w)
{
	audit(w);
	for (unsigned i = 0; i < VMS; i++)
		pmap_free(w->p[i]);
	audit(w);
	share_drop_idle(w->m);
	cr_assert_eq(machine_memory_pages_used(w->m, -1), 0u);
	machine_memory_free(w->m);
}

static struct gpa page_at(uint64_t gpn) { return gpa(gpn << PAGE_SHIFT); }

static uint8_t byte_at(const struct world *w, unsigned vm, uint64_t gpn)
{
	uint8_t b;

	cr_assert_eq(pmap_read(w->p[vm], page_at(gpn), &b, 1), 0);
	return b;
}

static void fill(const struct world *w, unsigned vm, uint64_t gpn, int b)
{
	uint8_t page[PAGE_BYTES];

	memset(page, b, sizeof(page));
	cr_assert_eq(pmap_write(w->p[vm], page_at(gpn), page, sizeof(page)), 0);
}

static struct machine_page *lend(const struct world *w, unsigned vm, uint64_t gpn)
{
	return pmap_lend(w->p[vm], pmap_peek(w->p[vm], page_at(gpn))->host);
}

Test(lend, one_page_for_both)
{
	struct world w = make(64, 16, true);
	struct machine_page *page;

	fill(&w, 0, 3, 5);
	page = lend(&w, 0, 3);
	cr_assert_eq(page, pmap_peek(w.p[0], page_at(3)), "no copy");
	audit(&w);
	fill(&w, 1, 7, 9);
	cr_assert_eq(pmap_take(w.p[1], page_at(7), page), 0);
	cr_assert_eq(byte_at(&w, 1, 7), 5);
	cr_assert_eq(machine_memory_pages_used(w.m, -1), 1u, "what was there is given back");
	cr_assert_eq(pmap_class_pages(w.p[0], MEMORY_EQUAL), 1u);
	cr_assert_eq(pmap_class_pages(w.p[1], MEMORY_EQUAL), 1u);
	cr_assert_eq(share_class_pages(w.m, MEMORY_EQUAL), 1u);
	cr_assert_eq(pmap_stats(w.p[0])->lent, 1u);
	cr_assert_eq(pmap_stats(w.p[1])->taken, 1u);
	audit(&w);
	fill(&w, 1, 7, 6);
	cr_assert_eq(byte_at(&w, 0, 3), 5, "a write is the writer's");
	fill(&w, 0, 3, 7);
	cr_assert_eq(byte_at(&w, 1, 7), 6);
	cr_assert_eq(pmap_stats(w.p[0])->taken_over, 1u, "nobody else has it any more");
	cr_assert_eq(share_class_pages(w.m, MEMORY_EQUAL), 0u);
	done(&w);
}

/* What is on its way is what was sent, and outlives its sender. */
Test(lend, a_page_on_its_way)
{
	struct world w = make(64, 16, true);
	struct machine_page *page[3];

	fill(&w, 0, 3, 5);
	for (unsigned i = 0; i < 3; i++)
		page[i] = lend(&w, 0, 3);
	fill(&w, 0, 3, 6);
	cr_assert_eq(byte_at(&w, 0, 3), 6);
	cr_assert_eq(page[0]->host[0], 5);
	audit(&w);
	cr_assert_eq(pmap_release(w.p[0], page_at(3), PAGE_BYTES), PAGE_BYTES);
	cr_assert_eq(pmap_take(w.p[1], page_at(1), page[0]), 0);
	cr_assert_eq(pmap_take(w.p[1], page_at(1), page[1]), 0, "it is there already");
	cr_assert_eq(pmap_take(w.p[2], page_at(16), page[2]), -EFAULT);
	audit(&w);
	share_give_back(w.m, page[2]);
	cr_assert_eq(byte_at(&w, 1, 1), 5);
	cr_assert_eq(machine_memory_pages_used(w.m, -1), 1u);
	page[0] = lend(&w, 1, 1);
	cr_assert_eq(pmap_release(w.p[1], page_at(1), PAGE_BYTES), PAGE_BYTES);
	audit(&w);
	share_give_back(w.m, page[0]);
	cr_assert_eq(machine_memory_pages_used(w.m, -1), 0u);
	done(&w);
}

/* Blocks of disks, zeroes, and what the scan finds afterwards. */
Test(lend, what_is_shared_already)
{
	struct share_image image = {.dev = 1, .ino = 1, .bytes = 1 << 20};
	struct world w = make(64, 16, true);
	struct block_name name = {share_image_number(w.m, &image), 7};
	struct machine_page *page = share_page_new(w.p[0], 0);
	int err;

	memset(page->host, 0x77, PAGE_BYTES);
	cr_assert_eq(pmap_give_block(w.p[0], page_at(3), name, page), 0);
	cr_assert_eq(lend(&w, 0, 3), page);
	cr_assert_eq(pmap_take(w.p[1], page_at(4), page), 0);
	cr_assert_eq(pmap_class_pages(w.p[1], MEMORY_BLOCK), 1u);
	cr_assert_not_null(pmap_get(w.p[0], page_at(5), 0, PMAP_READ, &err));
	page = lend(&w, 0, 5);
	cr_assert(page_has(page, PAGE_ZERO));
	cr_assert_eq(pmap_take(w.p[1], page_at(4), page), 0);
	cr_assert_eq(byte_at(&w, 1, 4), 0);
	cr_assert_eq(pmap_class_pages(w.p[1], MEMORY_ZERO), 1u);
	share_give_back(w.m, lend(&w, 0, 5));
	audit(&w);
	/* A third one has the same bytes as what was lent. */
	fill(&w, 0, 6, 1);
	cr_assert_eq(pmap_take(w.p[1], page_at(6), lend(&w, 0, 6)), 0);
	fill(&w, 2, 6, 1);
	for (unsigned i = 0; i < 4; i++)
		for (unsigned vm = 0; vm < VMS; vm++)
			pmap_merge(w.p[vm], 16);
	cr_assert_eq(pmap_peek(w.p[2], page_at(6)), pmap_peek(w.p[0], page_at(6)));
	audit(&w);
	done(&w);
}

static bool busy(void *opaque, const uint8_t *host, bool written)
{
	return written ? *(int *)opaque == 2 : *(int *)opaque;
}

Test(lend, what_is_not)
{
	struct world w = make(64, 16, true), alone = make(16, 4, false);
	struct region *r;
	struct machine_page *page, *moving;
	uint8_t other[2 * PAGE_BYTES];
	int how = 0;

	pmap_set_ops(w.p[0], &(struct pmap_ops){.in_flight = busy, .opaque = &how});
	cr_assert_eq(region_get(&r, w.m, "ring", PAGE_BYTES), 0);
	cr_assert_eq(pmap_map_region(w.p[0], page_at(1), r, 0), 0);
	cr_assert_null(lend(&w, 0, 1), "a region is not copy-on-write");
	cr_assert_null(pmap_lend(w.p[0], other), "not machine memory");
	fill(&w, 0, 2, 5);
	how = 2;
	cr_assert_null(lend(&w, 0, 2), "a device writes to it");
	how = 1;
	page = lend(&w, 0, 2);
	cr_assert_not_null(page, "one that reads it does no harm");
	cr_assert_eq(pmap_take(w.p[0], page_at(1), page), -EFAULT, "nor does it replace a region's");
	cr_assert_eq(page_move_begin(w.m, page->mpn, 1, &moving), -EBUSY, "it does not move meanwhile");
	share_give_back(w.m, page);
	cr_assert_eq(page_move_begin(w.m, pmap_peek(w.p[0], page_at(1))->mpn, 1, &moving), -ENOENT,
		     "nor does a region");
	/* What a device still has, and the guest no longer. */
	fill(&w, 0, 3, 6);
	how = 1;
	page = pmap_peek(w.p[0], page_at(3));
	cr_assert_eq(pmap_take(w.p[0], page_at(3), lend(&w, 0, 2)), 0);
	cr_assert_null(pmap_lend(w.p[0], page->host));
	how = 0;
	audit(&w);
	fill(&alone, 0, 2, 5);
	cr_assert_null(lend(&alone, 0, 2), "nothing is shared there");
	done(&alone);
	pmap_set_ops(w.p[0], NULL);
	for (unsigned i = 0; i < VMS; i++)
		pmap_free(w.p[i]);
	region_put(r);
	machine_memory_free(w.m);
}

/* Everything at once, against a plain array of bytes for each VM. */
Test(lend, random_operations_against_a_model)
{
	enum { PAGES = 12, AWAY = 8, ROUNDS = 60000 };
	static uint8_t model[VMS][PAGES];
	struct world w = make(VMS * PAGES + AWAY + 2, PAGES, true);
	struct machine_page *away[AWAY] = {0};
	uint8_t sent[AWAY] = {0};
	uint32_t x = 4711;

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned vm, op, slot;
		uint64_t gpn;

		x = x * 1664525u + 1013904223u;
		vm = (x >> 8) % VMS;
		gpn = (x >> 12) % PAGES;
		slot = (x >> 20) % AWAY;
		op = x >> 28;
		if (op < 5 && !away[slot] && pmap_peek(w.p[vm], page_at(gpn))) {
			away[slot] = lend(&w, vm, gpn);
			sent[slot] = model[vm][gpn];
			cr_assert_not_null(away[slot]);
		} else if (op < 9 && away[slot]) {
			cr_assert_eq(pmap_take(w.p[vm], page_at(gpn), away[slot]), 0);
			away[slot] = NULL;
			model[vm][gpn] = sent[slot];
		} else if (op < 13) {
			model[vm][gpn] = (uint8_t)(x >> 24 & 3);
			fill(&w, vm, gpn, model[vm][gpn]);
		} else if (op == 13) {
			pmap_release(w.p[vm], page_at(gpn), PAGE_BYTES);
			model[vm][gpn] = 0;
		} else if (op == 14 && away[slot]) {
			share_give_back(w.m, away[slot]);
			away[slot] = NULL;
		} else {
			pmap_merge(w.p[vm], 5);
		}
		if (i % 64 == 0)
			audit(&w);
		for (gpn = 0; gpn < PAGES; gpn++)
			cr_assert(byte_at(&w, vm, gpn) == model[vm][gpn], "round %u, VM %u, page %lu", i, vm, gpn);
		if (away[slot])
			cr_assert(away[slot]->host[17] == sent[slot]);
	}
	for (unsigned i = 0; i < AWAY; i++)
		if (away[i])
			share_give_back(w.m, away[i]);
	cr_assert_gt(pmap_stats(w.p[0])->taken, 1000u);
	cr_assert_gt(pmap_stats(w.p[0])->breaks, 100u);
	done(&w);
}
