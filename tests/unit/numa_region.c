/* SPDX-License-Identifier: MIT */
/* Regions: memory that VMs have in common on purpose. */
#include "numa/region.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "numa/share.h"

enum { PAGES = 16, REGION = 4 };

struct world {
	struct machine_memory *m;
	struct pmap *p[2];
	struct region *r[2];
};

static struct world make(uint64_t machine_pages, bool share)
{
	struct world w;

	cr_assert_eq(
	    machine_memory_new(
		&w.m, &(struct machine_memory_config){.bytes = machine_pages * PAGE_BYTES, .nodes = 1, .share = share}),
	    0);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(pmap_new(&w.p[i], w.m, PAGES * PAGE_BYTES), 0);
		cr_assert_eq(region_get(&w.r[i], w.m, "ring", REGION * PAGE_BYTES), 0);
	}
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
	for (unsigned i = 0; i < 2; i++)
		pmap_free(w->p[i]);
	audit(w);
	for (unsigned i = 0; i < 2; i++)
		if (w->r[i])
			region_put(w->r[i]);
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

static void put(const struct world *w, unsigned vm, uint64_t gpn, uint8_t b)
{
	cr_assert_eq(pmap_write(w->p[vm], page_at(gpn), &b, 1), 0);
}

Test(region, what_one_writes_the_others_read)
{
	struct world w = make(64, true);
	struct region *other;

	cr_assert_eq(w.r[0], w.r[1], "one of that name");
	cr_assert_eq(region_get(&other, w.m, "ring", (REGION + 1) * PAGE_BYTES), -EEXIST);
	cr_assert_eq(region_get(&other, w.m, "other", PAGE_BYTES), 0);
	cr_assert_neq(other, w.r[0]);
	cr_assert_eq(machine_memory_pages_used(w.m, -1), 0u, "it takes nothing until it is mapped");
	put(&w, 0, 3, 9);
	cr_assert_eq(pmap_map_region(w.p[0], page_at(3), w.r[0], 1), 0);
	cr_assert_eq(byte_at(&w, 0, 3), 0, "what was there is gone");
	put(&w, 0, 3, 5);
	cr_assert_eq(pmap_map_region(w.p[1], page_at(7), w.r[0], 1), 0);
	cr_assert_eq(byte_at(&w, 1, 7), 5);
	put(&w, 1, 7, 6);
	cr_assert_eq(byte_at(&w, 0, 3), 6);
	cr_assert_eq(pmap_map_region(w.p[1], page_at(8), w.r[0], 1), 0, "and once more");
	cr_assert_eq(byte_at(&w, 1, 8), 6);
	cr_assert_eq(pmap_map_region(w.p[1], page_at(8), w.r[0], 1), 0, "what it is already");
	cr_assert_eq(pmap_map_region(w.p[1], page_at(9), other, 0), 0);
	cr_assert_eq(byte_at(&w, 1, 9), 0);
	cr_assert_eq(machine_memory_pages_used(w.m, -1), 2u);
	cr_assert_eq(pmap_class_pages(w.p[1], MEMORY_REGION), 3u);
	cr_assert_eq(share_class_pages(w.m, MEMORY_REGION), 2u);
	cr_assert_eq(share_class_pages(w.m, MEMORY_PRIVATE), 0u);
	audit(&w);
	region_put(other);
	audit(&w); /* its page is still mapped */
	cr_assert_eq(pmap_map_region(w.p[0], page_at(PAGES), w.r[0], 1), -EFAULT);
	cr_assert_eq(pmap_map_region(w.p[0], page_at(0), w.r[0], REGION), -EFAULT);
	cr_assert_eq(pmap_leave_region(w.p[0], page_at(PAGES)), -EFAULT);
	done(&w);
}

Test(region, a_page_is_left)
{
	struct world w = make(64, false);

	for (unsigned vm = 0; vm < 2; vm++)
		cr_assert_eq(pmap_map_region(w.p[vm], page_at(2), w.r[0], 0), 0);
	put(&w, 0, 2, 5);
	cr_assert_eq(pmap_leave_region(w.p[1], page_at(2)), 0);
	cr_assert_eq(byte_at(&w, 1, 2), 0, "nothing of it is left");
	put(&w, 1, 2, 6);
	cr_assert_eq(byte_at(&w, 0, 2), 5);
	cr_assert_eq(pmap_leave_region(w.p[1], page_at(2)), 0, "it is of no region");
	cr_assert_eq(byte_at(&w, 1, 2), 6);
	cr_assert_eq(pmap_leave_region(w.p[1], page_at(3)), 0, "never touched");
	cr_assert_eq(pmap_release(w.p[0], page_at(2), PAGE_BYTES), PAGE_BYTES);
	cr_assert_eq(byte_at(&w, 0, 2), 0, "given up, as any page");
	cr_assert_eq(pmap_map_region(w.p[0], page_at(2), w.r[0], 0), 0);
	cr_assert_eq(byte_at(&w, 0, 2), 5, "its contents stay as long as it does");
	done(&w);
}

/* Neither copied nor shared as others are, whoever writes to it; and no code. */
Test(region, is_never_copied)
{
	struct share_image image = {.dev = 1, .ino = 1, .bytes = 1 << 20};
	struct world w = make(64, true);
	struct block_name name = {share_image_number(w.m, &image), 7};
	struct machine_page *page;
	int err;

	for (unsigned vm = 0; vm < 2; vm++)
		cr_assert_eq(pmap_map_region(w.p[vm], page_at(2), w.r[0], 0), 0);
	put(&w, 0, 2, 5);
	put(&w, 0, 3, 5);
	put(&w, 1, 3, 5);
	pmap_share_equal(w.p[0], page_at(0), PAGES * PAGE_BYTES);
	for (unsigned i = 0; i < 4; i++)
		for (unsigned vm = 0; vm < 2; vm++)
			pmap_merge(w.p[vm], PAGES);
	cr_assert_eq(pmap_peek(w.p[0], page_at(3)), pmap_peek(w.p[1], page_at(3)), "equal pages of their own are");
	cr_assert_neq(pmap_peek(w.p[0], page_at(2)), pmap_peek(w.p[0], page_at(3)));
	audit(&w);
	cr_assert_null(pmap_get(w.p[0], page_at(2), 0, PMAP_EXEC, &err));
	cr_assert_eq(err, 0);
	/* A block of a disk that is read to there is copied, and no block of the cache. */
	cr_assert_not(pmap_map_block(w.p[0], page_at(2), name));
	page = share_page_new(w.p[0], 0);
	cr_assert_not_null(page);
	memset(page->host, 0x77, PAGE_BYTES);
	cr_assert_eq(pmap_give_block(w.p[0], page_at(2), name, page), 0);
	cr_assert_eq(byte_at(&w, 1, 2), 0x77);
	cr_assert_not(pmap_map_block(w.p[1], page_at(4), name));
	audit(&w);
	/* nor is one that is in memory already mapped there */
	page = share_page_new(w.p[0], 0);
	cr_assert_not_null(page);
	cr_assert_eq(pmap_give_block(w.p[0], page_at(5), name, page), 0);
	cr_assert(pmap_map_block(w.p[0], page_at(6), name));
	cr_assert_not(pmap_map_block(w.p[0], page_at(2), name));
	cr_assert_eq(byte_at(&w, 0, 2), 0x77);
	done(&w);
}

Test(region, machine_memory_is_exhausted)
{
	struct world w = make(2, false);

	put(&w, 0, 0, 1);
	cr_assert_eq(pmap_map_region(w.p[0], page_at(1), w.r[0], 0), 0);
	cr_assert_eq(pmap_map_region(w.p[0], page_at(0), w.r[0], 1), -ENOMEM);
	cr_assert_eq(byte_at(&w, 0, 0), 1, "nothing has changed");
	cr_assert_eq(pmap_leave_region(w.p[0], page_at(1)), -ENOMEM);
	cr_assert_eq(pmap_map_region(w.p[0], page_at(0), w.r[0], 0), 0);
	cr_assert_eq(pmap_leave_region(w.p[0], page_at(1)), 0, "the page that was given for it");
	done(&w);
}

/* The audit sees it if something is wrong. */
Test(region, is_audited)
{
	struct world w = make(64, true);
	struct machine_page *page;
	char first[200] = "";

	cr_assert_eq(pmap_map_region(w.p[0], page_at(2), w.r[0], 0), 0);
	page = pmap_peek(w.p[0], page_at(2));
	page_clear(page, PAGE_REGION);
	cr_assert_gt(machine_memory_audit(w.m, NULL, first, sizeof(first)), 0u);
	page_set(page, PAGE_REGION | PAGE_CODE);
	cr_assert_gt(machine_memory_audit(w.m, NULL, first, sizeof(first)), 0u);
	page_clear(page, PAGE_CODE);
	done(&w);
}
