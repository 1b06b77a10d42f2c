/* SPDX-License-Identifier: MIT */
/* A machine page goes to another node: what leads to it, who may not come to it meanwhile, and when it stays. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "numa/move.h"
#include "numa/region.h"
#include "numa/share.h"

enum { VMS = 3, PAGES = 32 };

struct world {
	struct machine_memory *m;
	struct pmap *p[VMS];
	uint32_t image;
};

static struct gpa page_at(uint64_t gpn) { return gpa(gpn << PAGE_SHIFT); }

static struct world make(uint64_t machine_pages)
{
	struct share_image image = {.dev = 1, .ino = 2, .bytes = 1 << 20};
	struct world w;

	cr_assert_eq(
	    machine_memory_new(
		&w.m, &(struct machine_memory_config){.bytes = machine_pages * PAGE_BYTES, .nodes = 4, .share = true}),
	    0);
	for (unsigned i = 0; i < VMS; i++)
		cr_assert_eq(pmap_new(&w.p[i], w.m, PAGES * PAGE_BYTES), 0);
	w.image = share_image_number(w.m, &image);
	return w;
}

static void audit(const struct world *w)
{
	char first[200] = "";

	for (unsigned i = 0; i < 16; i++) /* the bytes of a sixteenth of the pages each time */
		cr_assert_eq(machine_memory_audit(w->m, NULL, first, sizeof(first)), 0u, "%s", first);
}

static void done(struct world *w)
{
	audit(w);
	for (unsigned i = 0; i < VMS; i++)
		pmap_free(w->p[i]);
	share_drop_idle(w->m);
	cr_expect_eq(machine_memory_pages_used(w->m, -1), 0);
	machine_memory_free(w->m);
}

static struct machine_page *put(struct world *w, unsigned vm, uint64_t gpn, int fill)
{
	int err;
	struct guest_page *g = pmap_get(w->p[vm], page_at(gpn), 0, PMAP_WRITE, &err);

	cr_assert_not_null(g);
	memset(g->page->host, fill, PAGE_BYTES);
	return g->page;
}

static int byte_at(const struct world *w, unsigned vm, uint64_t gpn)
{
	uint8_t b[2];

	cr_assert_eq(pmap_read(w->p[vm], gpa((gpn << PAGE_SHIFT) + 4094), b, 2), 0);
	cr_assert_eq(b[0], b[1]);
	return b[0];
}

/* All three machines have block 7. */
static struct machine_page *share_block(struct world *w, int fill)
{
	struct block_name name = {w->image, 7};
	struct machine_page *page = share_page_new(w->p[0], 0);

	memset(page->host, fill, PAGE_BYTES);
	cr_assert_eq(pmap_give_block(w->p[0], page_at(4), name, page), 0);
	cr_assert(pmap_map_block(w->p[1], page_at(5), name));
	cr_assert(pmap_map_block(w->p[2], page_at(6), name));
	return pmap_peek(w->p[0], page_at(4));
}

static int move(struct world *w, struct machine_page *page, unsigned node)
{
	struct machine_page *row;
	int err = page_move_begin(w->m, page->mpn, node, &row);

	if (err)
		return err;
	cr_assert_eq(row, page);
	err = page_move(w->m, row, node);
	page_move_end(w->m);
	return err;
}

Test(move, a_page_of_one_machine)
{
	struct world w = make(64);
	struct machine_page *page = put(&w, 1, 9, 0x5a), *new;

	page_set(page, PAGE_CODE); /* blocks were made of it, which the caller has taken away */
	cr_assert_eq(move(&w, page, 3), 0);
	new = pmap_peek(w.p[1], page_at(9));
	cr_expect_neq(new, page);
	cr_expect_eq(new->node, 3);
	cr_expect_eq(byte_at(&w, 1, 9), 0x5a);
	cr_expect(guest_page_writable(pmap_row(w.p[1], page_at(9))), "it is what any page is at first");
	cr_expect_null(page->host, "free");
	cr_expect_eq(machine_memory_pages_used(w.m, -1), 1);
	cr_expect_eq(machine_memory_pages_used(w.m, 3), 1);
	audit(&w);
	cr_assert_eq(move(&w, new, 0), 0);
	cr_expect_eq(pmap_peek(w.p[1], page_at(9)), page, "the first one is free again, and reads as the page did");
	cr_expect_eq(byte_at(&w, 1, 9), 0x5a);
	done(&w);
}

Test(move, a_page_of_several)
{
	struct world w = make(64);
	struct machine_page *page = share_block(&w, 0x11), *new;
	struct block_name name = {w.image, 7};

	cr_assert_eq(page->refs, 3);
	cr_assert_eq(move(&w, page, 2), 0);
	new = pmap_peek(w.p[0], page_at(4));
	cr_expect_eq(new->node, 2);
	cr_expect_eq(new->refs, 3);
	cr_expect_eq(pmap_peek(w.p[1], page_at(5)), new);
	cr_expect_eq(pmap_peek(w.p[2], page_at(6)), new);
	cr_expect(page_has(new, PAGE_SHARED));
	cr_expect_eq(byte_at(&w, 2, 6), 0x11);
	audit(&w);
	cr_expect(pmap_map_block(w.p[1], page_at(20), name), "its name leads to where it is");
	cr_expect_eq(pmap_peek(w.p[1], page_at(20)), new);
	put(&w, 2, 6, 0x22); /* a copy, still */
	cr_expect_eq(byte_at(&w, 0, 4), 0x11);
	cr_expect_eq(byte_at(&w, 2, 6), 0x22);
	done(&w);
}

Test(move, equal_pages)
{
	struct world w = make(64);
	struct machine_page *page, *new;

	for (unsigned vm = 0; vm < VMS; vm++) {
		put(&w, vm, vm, 0x77);
		pmap_share_equal(w.p[vm], page_at(vm), PAGE_BYTES);
	}
	page = pmap_peek(w.p[0], page_at(0));
	cr_assert_eq(page->refs, 3);
	cr_assert_eq(move(&w, page, 1), 0);
	new = pmap_peek(w.p[0], page_at(0));
	cr_expect(page_has(new, PAGE_HASHED));
	audit(&w);
	put(&w, 1, 30, 0x77);
	pmap_share_equal(w.p[1], page_at(30), PAGE_BYTES);
	cr_expect_eq(pmap_peek(w.p[1], page_at(30)), new, "found by its bytes");
	done(&w);
}

Test(move, what_stays)
{
	struct world w = make(64);
	struct machine_page *page = put(&w, 0, 1, 1), *other = put(&w, 0, 2, 2), *row;

	cr_expect_eq(move(&w, page, 0), -ENOENT, "it is there");
	cr_expect_eq(page_move_begin(w.m, 63, 0, &row), -ENOENT, "free");
	cr_assert_eq(page_move_begin(w.m, page->mpn, 1, &row), 0);
	cr_expect_eq(move(&w, other, 1), -EAGAIN, "one at a time");
	page_move_end(w.m);
	cr_expect_eq(move(&w, other, 1), 0);
	done(&w);
}

/* What all of its machines write to stays: no node is better than another. */
Test(move, a_region_stays)
{
	struct world w = make(64);
	struct machine_page *page;
	struct region *r;

	cr_assert_eq(region_get(&r, w.m, "ring", PAGE_BYTES), 0);
	cr_assert_eq(pmap_map_region(w.p[0], page_at(1), r, 0), 0);
	cr_assert_eq(pmap_map_region(w.p[1], page_at(2), r, 0), 0);
	page = pmap_peek(w.p[0], page_at(1));
	cr_expect_eq(move(&w, page, 1), -ENOENT);
	cr_expect_eq(pmap_bring(w.p[0], page_at(1), 1), -ENOENT);
	cr_expect_eq(page_unmap_users(w.m, page), 2, "and the region is no guest page");
	cr_expect_eq(pmap_leave_region(w.p[0], page_at(1)), 0);
	cr_expect_eq(pmap_leave_region(w.p[1], page_at(2)), 0);
	region_put(r);
	done(&w);
}

Test(move, nobody_comes_to_a_page_on_its_way)
{
	struct world w = make(64);
	struct machine_page *page = share_block(&w, 3), *row;
	struct block_name name = {w.image, 7};

	cr_assert_eq(page_move_begin(w.m, page->mpn, 1, &row), 0);
	cr_expect_not(pmap_map_block(w.p[1], page_at(8), name), "who comes now would not have been stopped");
	put(&w, 1, 9, 3);
	pmap_share_equal(w.p[1], page_at(9), PAGE_BYTES);
	cr_expect_eq(page->refs, 3);
	cr_assert_eq(page_move(w.m, row, 1), 0);
	page_move_end(w.m);
	cr_expect(pmap_map_block(w.p[1], page_at(8), name));
	done(&w);
}

/* Its row is not another page's before its mover knows. */
Test(move, given_back_meanwhile)
{
	struct world w = make(8); /* two on each node */
	struct machine_page *page = put(&w, 0, 0, 1), *row;
	int err;

	cr_assert_eq(page->mpn, 0);
	cr_assert_eq(page_move_begin(w.m, page->mpn, 1, &row), 0);
	cr_assert_eq(pmap_release(w.p[0], page_at(0), PAGE_BYTES), PAGE_BYTES);
	put(&w, 1, 1, 2);
	cr_expect_neq(pmap_peek(w.p[1], page_at(1)), row);
	for (uint64_t gpn = 2; gpn < 8; gpn++)
		put(&w, 1, gpn, 2);
	cr_expect_null(pmap_get(w.p[1], page_at(9), 0, PMAP_WRITE, &err), "all but that one are in use");
	cr_expect_eq(err, -ENOMEM);
	cr_expect_eq(page_move(w.m, row, 1), -ENOENT);
	page_move_end(w.m);
	put(&w, 1, 9, 2);
	cr_expect_eq(pmap_peek(w.p[1], page_at(9)), row);
	done(&w);
}

static const uint8_t *busy_host;

static bool in_flight(void *opaque, const uint8_t *host, bool written) { return host == busy_host; }

Test(move, devices_and_full_nodes)
{
	struct world w = make(16);
	struct machine_page *page = put(&w, 0, 0, 1), *shared;

	pmap_set_ops(w.p[0], &(struct pmap_ops){.in_flight = in_flight});
	busy_host = page->host;
	cr_expect_eq(move(&w, page, 1), -EBUSY, "a device writes there");
	busy_host = NULL;
	shared = share_block(&w, 5);
	busy_host = shared->host;
	put(&w, 0, 4, 6); /* another page for the guest; the device has the old one still */
	cr_expect_eq(move(&w, shared, 1), -EBUSY);
	cr_expect_eq(byte_at(&w, 1, 5), 5);
	busy_host = NULL;
	put(&w, 0, 3, 6);
	pmap_release(w.p[0], page_at(3), PAGE_BYTES);
	for (uint64_t gpn = 8; gpn < 12; gpn++) {
		int err;

		cr_assert_not_null(pmap_get(w.p[2], page_at(gpn), 1, PMAP_WRITE, &err));
	}
	cr_expect_eq(machine_memory_pages_used(w.m, 1), 4);
	cr_expect_eq(move(&w, page, 1), -ENOMEM);
	cr_expect_eq(byte_at(&w, 0, 0), 1);
	cr_expect_eq(move(&w, page, 2), 0);
	done(&w);
	busy_host = NULL;
}

/* ---- by a machine itself ---- */

Test(bring, a_page_of_its_own)
{
	struct world w = make(64);
	struct machine_page *page = put(&w, 1, 9, 0x5a);

	cr_expect_eq(pmap_bring(w.p[1], page_at(8), 1), -ENOENT, "never touched");
	cr_expect_eq(pmap_bring(w.p[1], page_at(9), 0), 0);
	cr_expect_eq(pmap_peek(w.p[1], page_at(9)), page, "it was there");
	cr_expect_eq(pmap_stats(w.p[1])->moved, 0);
	cr_assert_eq(pmap_bring(w.p[1], page_at(9), 2), 0);
	cr_expect_eq(pmap_peek(w.p[1], page_at(9))->node, 2);
	cr_expect_eq(byte_at(&w, 1, 9), 0x5a);
	cr_expect_eq(machine_memory_pages_used(w.m, -1), 1);
	cr_expect_eq(pmap_stats(w.p[1])->moved, 1);
	done(&w);
}

/* Three machines read a block; two of them are on node 1, and get one copy; a write is seen by nobody else. */
Test(bring, a_copy_for_each_node)
{
	struct world w = make(64);
	struct machine_page *page = share_block(&w, 0x31), *copy;
	struct block_name name = {w.image, 7};
	int err;

	cr_assert_eq(pmap_bring(w.p[1], page_at(5), 1), 0);
	copy = pmap_peek(w.p[1], page_at(5));
	cr_expect_eq(copy->node, 1);
	cr_expect(page_has(copy, PAGE_SHARED));
	cr_expect_eq(pmap_peek(w.p[0], page_at(4)), page);
	audit(&w);
	cr_assert_eq(pmap_bring(w.p[2], page_at(6), 1), 0);
	cr_expect_eq(pmap_peek(w.p[2], page_at(6)), copy, "the one there is");
	cr_expect_eq(machine_memory_pages_used(w.m, -1), 2);
	cr_expect_eq(page->refs, 1);
	cr_expect_eq(copy->refs, 2);
	cr_expect_eq(move(&w, page, 1), -EEXIST);
	audit(&w);
	/* who comes later gets that of his node */
	for (unsigned node = 0; node < 3; node++) {
		cr_assert_not_null(pmap_get(w.p[0], page_at(20), node, PMAP_WRITE, &err));
		cr_assert(pmap_map_block(w.p[0], page_at(10 + node), name));
		cr_expect_eq(pmap_peek(w.p[0], page_at(10 + node))->node, node == 1, "node %u", node);
	}
	/* a write: the writer's alone */
	put(&w, 1, 5, 0x32);
	cr_expect_eq(byte_at(&w, 2, 6), 0x31);
	cr_expect_eq(byte_at(&w, 0, 4), 0x31);
	audit(&w);
	/* the last one of a copy takes it over; the other copy keeps its name */
	put(&w, 0, 11, 0x33);
	put(&w, 2, 6, 0x34);
	cr_expect_eq(pmap_peek(w.p[2], page_at(6)), copy);
	cr_expect_not(page_has(copy, PAGE_SHARED));
	cr_expect_eq(byte_at(&w, 0, 4), 0x31);
	cr_expect(pmap_map_block(w.p[1], page_at(25), name));
	cr_expect_eq(byte_at(&w, 1, 25), 0x31);
	done(&w);
}

/* A copy that has been made before the page was also found by its bytes has one name of two. */
Test(bring, a_copy_with_fewer_names)
{
	struct world w = make(64);
	struct machine_page *page = share_block(&w, 0x41), *copy;

	cr_assert_eq(pmap_bring(w.p[1], page_at(5), 1), 0);
	copy = pmap_peek(w.p[1], page_at(5));
	pmap_share_equal(w.p[0], page_at(4), PAGE_BYTES);
	cr_assert(page_has(page, PAGE_HASHED) && !page_has(copy, PAGE_HASHED));
	cr_expect_eq(move(&w, page, 1), -EEXIST);
	cr_assert_eq(pmap_bring(w.p[2], page_at(6), 1), 0);
	cr_expect_eq(pmap_peek(w.p[2], page_at(6)), copy);
	cr_expect_eq(copy->refs, 2);
	audit(&w);
	cr_assert_eq(pmap_bring(w.p[2], page_at(6), 2), 0);
	audit(&w);
	done(&w);
}

Test(bring, when_it_stays)
{
	struct world w = make(8); /* two on each node */
	struct machine_page *page = put(&w, 0, 0, 1);
	int err;

	pmap_set_ops(w.p[0], &(struct pmap_ops){.in_flight = in_flight});
	busy_host = page->host;
	cr_expect_eq(pmap_bring(w.p[0], page_at(0), 1), -EBUSY);
	busy_host = NULL;
	cr_assert_not_null(pmap_get(w.p[1], page_at(0), 1, PMAP_WRITE, &err));
	cr_assert_not_null(pmap_get(w.p[1], page_at(1), 1, PMAP_WRITE, &err));
	cr_expect_eq(pmap_bring(w.p[0], page_at(0), 1), -ENOMEM);
	cr_expect_eq(pmap_peek(w.p[0], page_at(0)), page);
	cr_expect_eq(pmap_bring(w.p[0], page_at(0), 3), 0);
	done(&w);
}
