/* SPDX-License-Identifier: MIT */
/* Machine pages of several guest pages: the names that find them, what a write does, and that the books agree. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "numa/share.h"

enum { VMS = 3 };

struct world {
	struct machine_memory *m;
	struct pmap *p[VMS];
	uint32_t image;
};

static struct share_image some_image(uint64_t ino)
{
	return (struct share_image){.dev = 1, .ino = ino, .bytes = 1 << 20, .mtime_ns = 5, .ctime_ns = 6};
}

static struct world make(uint64_t machine_pages, uint64_t pages)
{
	struct share_image image = some_image(1);
	struct world w;

	cr_assert_eq(
	    machine_memory_new(
		&w.m, &(struct machine_memory_config){.bytes = machine_pages * PAGE_BYTES, .nodes = 2, .share = true}),
	    0);
	for (unsigned i = 0; i < VMS; i++)
		cr_assert_eq(pmap_new(&w.p[i], w.m, pages * PAGE_BYTES), 0);
	w.image = share_image_number(w.m, &image);
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
	machine_memory_free(w->m);
}

static struct gpa page_at(uint64_t gpn) { return gpa(gpn << PAGE_SHIFT); }

static uint64_t used(const struct world *w) { return machine_memory_pages_used(w->m, -1); }

/* As a disk does: map the block, or read it (every byte is `fill`) and give it. True: it was in memory. */
static bool read_block(struct world *w, unsigned vm, uint64_t gpn, uint64_t block, int fill)
{
	struct block_name name = {w->image, block};
	struct machine_page *page;

	if (pmap_map_block(w->p[vm], page_at(gpn), name))
		return true;
	page = share_page_new(w->p[vm], 0);
	cr_assert_not_null(page);
	memset(page->host, fill, PAGE_BYTES);
	cr_assert_eq(pmap_give_block(w->p[vm], page_at(gpn), name, page), 0);
	return false;
}

static uint8_t byte_at(const struct world *w, unsigned vm, uint64_t gpn, unsigned off)
{
	uint8_t b;

	cr_assert_eq(pmap_read(w->p[vm], gpa((gpn << PAGE_SHIFT) + off), &b, 1), 0);
	return b;
}

static void put(struct world *w, unsigned vm, uint64_t gpn, unsigned off, uint8_t b)
{
	cr_assert_eq(pmap_write(w->p[vm], gpa((gpn << PAGE_SHIFT) + off), &b, 1), 0);
}

Test(share, a_block_is_one_page_for_all)
{
	struct world w = make(64, 16);

	cr_assert_not(read_block(&w, 0, 3, 7, 0x77));
	cr_assert(read_block(&w, 1, 5, 7, 0));
	cr_assert(read_block(&w, 1, 6, 7, 0), "and for two guest pages of one VM");
	cr_assert(read_block(&w, 1, 6, 7, 0), "read again into the same page");
	cr_assert(read_block(&w, 2, 3, 7, 0));
	cr_assert_eq(used(&w), 1u);
	cr_assert_eq(pmap_peek(w.p[0], page_at(3)), pmap_peek(w.p[1], page_at(6)));
	cr_assert_eq(pmap_peek(w.p[0], page_at(3))->refs, 4u);
	cr_assert_eq(byte_at(&w, 2, 3, 4095), 0x77);
	cr_assert_eq(pmap_class_pages(w.p[1], MEMORY_BLOCK), 2u);
	cr_assert_eq(share_class_pages(w.m, MEMORY_BLOCK), 1u);
	cr_assert_eq(pmap_stats(w.p[1])->block_hits, 3u);
	done(&w);
}

Test(share, a_write_gives_the_writer_one_new_page)
{
	struct world w = make(64, 16);
	uint64_t hash[2];

	read_block(&w, 0, 3, 7, 0x77);
	for (unsigned vm = 1; vm < VMS; vm++)
		read_block(&w, vm, 3, 7, 0);
	hash[0] = pmap_hash(w.p[0]);
	hash[1] = pmap_hash(w.p[2]);
	put(&w, 1, 3, 100, 1);
	cr_assert_eq(used(&w), 2u);
	cr_assert_eq(byte_at(&w, 1, 3, 100), 1);
	cr_assert_eq(byte_at(&w, 1, 3, 101), 0x77, "the rest is a copy");
	cr_assert(pmap_hash(w.p[0]) == hash[0] && pmap_hash(w.p[2]) == hash[1]);
	cr_assert_eq(pmap_stats(w.p[1])->breaks, 1u);
	cr_assert_eq(pmap_stats(w.p[0])->breaks, 0u);
	put(&w, 1, 3, 101, 2);
	cr_assert_eq(used(&w), 2u, "the second write is to its own");
	audit(&w);
	cr_assert(read_block(&w, 1, 3, 7, 0), "the block itself is as it was");
	cr_assert_eq(byte_at(&w, 1, 3, 100), 0x77);
	cr_assert_eq(used(&w), 1u);
	done(&w);
}

Test(share, the_last_one_takes_it_over)
{
	struct world w = make(64, 16);
	struct machine_page *page;

	read_block(&w, 0, 3, 7, 0x77);
	page = pmap_peek(w.p[0], page_at(3));
	put(&w, 0, 3, 0, 1);
	cr_assert_eq(pmap_peek(w.p[0], page_at(3)), page, "no copy: nobody else has it");
	cr_assert_eq(pmap_stats(w.p[0])->taken_over, 1u);
	cr_assert_not(page_has(page, PAGE_SHARED));
	audit(&w);
	cr_assert_not(read_block(&w, 1, 3, 7, 0x77), "and it is the block no longer");
	cr_assert_eq(byte_at(&w, 1, 3, 0), 0x77);
	done(&w);
}

Test(share, two_images_and_two_versions_differ)
{
	struct world w = make(64, 16);
	struct share_image other = some_image(2), touched = some_image(1), same = some_image(1), qcow2 = some_image(1);

	touched.mtime_ns++;
	qcow2.format = 1;
	cr_assert_eq(share_image_number(w.m, &same), w.image);
	cr_assert_neq(share_image_number(w.m, &other), w.image);
	cr_assert_neq(share_image_number(w.m, &touched), w.image);
	cr_assert_neq(share_image_number(w.m, &qcow2), w.image);
	read_block(&w, 0, 1, 7, 0x77);
	w.image = share_image_number(w.m, &touched);
	cr_assert_not(read_block(&w, 1, 1, 7, 0x78), "the image was changed between the two");
	cr_assert_eq(byte_at(&w, 0, 1, 9), 0x77);
	cr_assert_eq(byte_at(&w, 1, 1, 9), 0x78);
	done(&w);
}

/* Blocks of no guest stay, but not more of them than a sixteenth, and they make room. */
Test(share, idle_blocks_make_room)
{
	struct world w = make(64, 64);

	for (uint64_t i = 0; i < 8; i++)
		read_block(&w, 0, i, i, (int)i + 1);
	for (uint64_t i = 0; i < 3; i++)
		pmap_release(w.p[0], page_at(i), PAGE_BYTES);
	audit(&w);
	cr_assert_eq(share_idle_pages(w.m), 3u);
	cr_assert(read_block(&w, 1, 0, 1, 0), "still in memory");
	cr_assert_eq(byte_at(&w, 1, 0, 50), 2);
	pmap_release(w.p[0], page_at(0), 8 * PAGE_BYTES);
	cr_assert_eq(share_idle_pages(w.m), 4u, "64 / 16");
	audit(&w);
	for (uint64_t i = 0; i < 63; i++)
		put(&w, 2, i, 0, 1);
	cr_assert_eq(share_idle_pages(w.m), 0u, "machine memory ran out");
	cr_assert_eq(used(&w), 64u);
	cr_assert_eq(pmap_write(w.p[2], page_at(63), "x", 1), -ENOMEM);
	done(&w);
}

/* A capacity that changes: more is found at once, less takes from those that nobody has, and from nobody else. */
Test(share, capacity_changes)
{
	struct world w = {0};
	struct share_image image = some_image(1);

	cr_assert_eq(machine_memory_new(&w.m, &(struct machine_memory_config){.bytes = 32 * PAGE_BYTES,
									      .most = 1024 * PAGE_BYTES,
									      .nodes = 2,
									      .share = true}),
		     0);
	for (unsigned i = 0; i < VMS; i++)
		cr_assert_eq(pmap_new(&w.p[i], w.m, 64 * PAGE_BYTES), 0);
	w.image = share_image_number(w.m, &image);
	for (uint64_t i = 0; i < 32; i++)
		put(&w, 2, i, 0, 1);
	cr_assert_eq(pmap_write(w.p[2], page_at(32), "x", 1), -ENOMEM);
	cr_assert_eq(machine_memory_resize(w.m, 1024 * PAGE_BYTES), 0);
	put(&w, 2, 32, 0, 1);
	for (uint64_t i = 0; i < 16; i++)
		read_block(&w, 0, i, i, (int)i + 1);
	pmap_release(w.p[0], page_at(0), 8 * PAGE_BYTES);
	cr_assert(share_idle_pages(w.m) == 8 && used(&w) == 33 + 16);
	cr_assert_eq(machine_memory_resize(w.m, 1025 * PAGE_BYTES), -ENOMEM);
	cr_assert_eq(machine_memory_resize(w.m, 44 * PAGE_BYTES), 0);
	cr_assert(used(&w) <= 44 && share_idle_pages(w.m) <= 44 / 16, "%llu used", (unsigned long long)used(&w));
	audit(&w);
	/* less than guests have: it stays theirs, and no more is given */
	cr_assert_eq(machine_memory_resize(w.m, 8 * PAGE_BYTES), 0);
	cr_assert_eq(share_idle_pages(w.m), 0);
	cr_assert_eq(used(&w), 33 + 8);
	cr_assert_eq(pmap_write(w.p[1], page_at(0), "x", 1), -ENOMEM);
	cr_assert_eq(byte_at(&w, 0, 15, 3), 16);
	done(&w);
}

Test(share, exhausted_in_a_break_changes_nothing)
{
	struct world w = make(4, 16);
	uint64_t hash;

	read_block(&w, 0, 0, 7, 0x77);
	read_block(&w, 1, 0, 7, 0);
	for (uint64_t i = 1; i < 4; i++)
		put(&w, 0, i, 0, 1);
	hash = pmap_hash(w.p[1]);
	cr_assert_eq(pmap_write(w.p[1], page_at(0), "x", 1), -ENOMEM);
	cr_assert_eq(pmap_hash(w.p[1]), hash);
	audit(&w);
	pmap_release(w.p[0], page_at(1), PAGE_BYTES);
	cr_assert_eq(pmap_write(w.p[1], page_at(0), "x", 1), 0);
	done(&w);
}

/* ---- reads of what was never written ---- */

Test(share, reads_of_untouched_memory_cost_nothing)
{
	struct world w = make(8, 64);
	int err;

	for (uint64_t i = 0; i < 64; i++) {
		struct guest_page *g = pmap_get(w.p[0], page_at(i), 0, PMAP_READ, &err);

		cr_assert(g && page_has(g->page, PAGE_ZERO) && !guest_page_writable(g));
	}
	cr_assert_eq(used(&w), 0u);
	cr_assert_eq(pmap_class_pages(w.p[0], MEMORY_ZERO), 64u);
	put(&w, 0, 5, 9, 1);
	cr_assert_eq(used(&w), 1u);
	cr_assert_eq(byte_at(&w, 0, 5, 8), 0);
	cr_assert_eq(byte_at(&w, 0, 6, 9), 0);
	cr_assert_eq(pmap_stats(w.p[0])->zero_breaks, 1u);
	audit(&w);
	cr_assert_not(page_has(pmap_get(w.p[0], page_at(7), 0, PMAP_EXEC, &err)->page, PAGE_ZERO), "code is one's own");
	cr_assert_eq(pmap_release(w.p[0], page_at(0), 64 * PAGE_BYTES), 64 * PAGE_BYTES);
	cr_assert_eq(used(&w), 0u);
	done(&w);
}

/* ---- what holds the same ---- */

static void fill(struct world *w, unsigned vm, uint64_t gpn, int byte)
{
	uint8_t page[PAGE_BYTES];

	memset(page, byte, sizeof(page));
	page[17] = (uint8_t)~byte;
	cr_assert_eq(pmap_write(w->p[vm], page_at(gpn), page, sizeof(page)), 0);
}

Test(share, loaded_images_are_one_copy)
{
	struct world w = make(256, 64);
	uint64_t hash;

	for (unsigned vm = 0; vm < VMS; vm++) {
		for (uint64_t i = 0; i < 20; i++)
			fill(&w, vm, i, (int)i + 1);
		hash = pmap_hash(w.p[vm]);
		/* not the first page, of which a byte is not part of it, and not the last one */
		pmap_share_equal(w.p[vm], gpa(1), 20 * PAGE_BYTES - 2);
		cr_assert_eq(pmap_hash(w.p[vm]), hash);
	}
	cr_assert_eq(used(&w), 18u + 2 * VMS);
	cr_assert_eq(pmap_class_pages(w.p[0], MEMORY_EQUAL), 18u);
	cr_assert_eq(share_class_pages(w.m, MEMORY_EQUAL), 18u);
	audit(&w);
	put(&w, 2, 4, 0, 99);
	cr_assert_eq(byte_at(&w, 1, 4, 0), 5);
	cr_assert_eq(used(&w), 19u + 2 * VMS);
	done(&w);
}

static void merge_all(struct world *w, unsigned times)
{
	for (unsigned t = 0; t < times; t++)
		for (unsigned vm = 0; vm < VMS; vm++)
			pmap_merge(w->p[vm], 64);
}

Test(share, a_scan_finds_equal_pages)
{
	struct world w = make(256, 64);
	uint64_t hash[VMS];

	for (unsigned vm = 0; vm < VMS; vm++) {
		for (uint64_t i = 0; i < 10; i++)
			fill(&w, vm, i + vm, (int)i + 1);
		fill(&w, vm, 40, 0x80 + (int)vm); /* nobody else has that */
		put(&w, vm, 41, 0, 0);            /* zeroes, but its own */
		hash[vm] = pmap_hash(w.p[vm]);
	}
	cr_assert_eq(used(&w), 12u * VMS);
	merge_all(&w, 1);
	cr_assert_eq(used(&w), 12u * VMS, "one look does not say whether it is cold");
	merge_all(&w, 3);
	cr_assert_eq(used(&w), 10u + VMS);
	for (unsigned vm = 0; vm < VMS; vm++)
		cr_assert_eq(pmap_hash(w.p[vm]), hash[vm]);
	cr_assert_not(page_has(pmap_peek(w.p[0], page_at(40)), PAGE_SHARED), "and what nobody else has stays writable");
	cr_assert_eq(pmap_class_pages(w.p[0], MEMORY_ZERO), 1u);
	audit(&w);
	for (unsigned vm = 0; vm < VMS; vm++)
		for (uint64_t i = 0; i < 10; i++)
			fill(&w, vm, i + vm, 0x40 + (int)(i + 16 * vm));
	cr_assert_eq(used(&w), 11u * VMS, "41 is still the page of zeroes");
	done(&w);
}

Test(share, a_scan_leaves_alone_what_is_written_to)
{
	struct world w = make(256, 64);

	for (int t = 0; t < 6; t++) {
		for (unsigned vm = 0; vm < VMS; vm++)
			fill(&w, vm, 2, t + 1);
		merge_all(&w, 1);
	}
	cr_assert_eq(used(&w), (uint64_t)VMS);
	cr_assert_eq(pmap_stats(w.p[1])->merged, 0u);
	done(&w);
}

/* A private page that is equal to a block of a disk: the block is found without any page becoming read-only for it. */
Test(share, a_scan_finds_blocks)
{
	struct world w = make(256, 64);

	read_block(&w, 0, 3, 7, 0x77);
	for (unsigned vm = 1; vm < VMS; vm++) {
		uint8_t page[PAGE_BYTES];

		memset(page, 0x77, sizeof(page));
		cr_assert_eq(pmap_write(w.p[vm], page_at(9), page, sizeof(page)), 0);
	}
	merge_all(&w, 3);
	cr_assert_eq(used(&w), 1u);
	cr_assert_eq(pmap_class_pages(w.p[1], MEMORY_BLOCK), 1u);
	done(&w);
}

/* ---- what the door asks of the VM ---- */

struct vm {
	struct world *w;
	const uint8_t *busy; /* host memory of a request in flight */
	unsigned unmapped, protected;
	uint64_t pa;
};

static void on_unmap(void *opaque, struct gpa pa, struct guest_page *g)
{
	struct vm *v = opaque;

	cr_assert_not_null(g->page);
	v->unmapped++;
	v->pa = pa.v;
}

static void on_protect(void *opaque, struct gpa pa, struct guest_page *g)
{
	struct vm *v = opaque;

	cr_assert_not(page_has(g->page, PAGE_SHARED), "first the tags, then the flag");
	v->protected ++;
}

static bool on_in_flight(void *opaque, const uint8_t *host, bool written)
{
	return ((struct vm *)opaque)->busy == host;
}

static void listen(struct world *w, struct vm *v, unsigned vm)
{
	*v = (struct vm){.w = w};
	pmap_set_ops(w->p[vm], &(struct pmap_ops){
				   .unmap = on_unmap, .protect = on_protect, .in_flight = on_in_flight, .opaque = v});
}

Test(share, who_has_the_address_is_told)
{
	struct world w = make(256, 64);
	struct vm v;

	listen(&w, &v, 0);
	fill(&w, 0, 3, 1);
	cr_assert_eq(v.unmapped, 0u, "a first touch");
	read_block(&w, 0, 3, 7, 0x77);
	cr_assert(v.unmapped == 1 && v.pa == 3 << PAGE_SHIFT);
	read_block(&w, 1, 3, 7, 0);
	put(&w, 1, 3, 0, 1);
	cr_assert_eq(v.unmapped, 1u, "another VM's break is no business of ours");
	read_block(&w, 1, 3, 7, 0);
	put(&w, 0, 3, 0, 1);
	cr_assert_eq(v.unmapped, 2u);
	fill(&w, 0, 9, 5);
	pmap_share_equal(w.p[0], page_at(9), PAGE_BYTES);
	cr_assert(v.protected == 1 && v.unmapped == 2);
	done(&w);
}

/* A page that a device still reads from stays, whoever else gives it up, until the request is done. */
Test(share, a_page_in_flight_is_held)
{
	struct world w = make(256, 64);
	struct machine_page *page;
	struct vm v;

	listen(&w, &v, 0);
	read_block(&w, 0, 3, 7, 0x77);
	read_block(&w, 1, 3, 7, 0);
	page = pmap_peek(w.p[0], page_at(3));
	v.busy = page->host;
	put(&w, 0, 3, 0, 1);
	audit(&w);
	cr_assert_eq(page->refs, 2u);
	put(&w, 1, 3, 0, 1);
	cr_assert_neq(pmap_peek(w.p[1], page_at(3)), page, "it is not taken over either");
	cr_assert_eq(page->host[0], 0x77);
	audit(&w);
	v.busy = NULL;
	read_block(&w, 1, 4, 8, 1);
	put(&w, 0, 4, 0, 1);
	read_block(&w, 0, 4, 8, 1); /* looks whether it is done */
	cr_assert_eq(page->refs, 0u);
	audit(&w);
	/* and one that a device writes to is not made anybody else's */
	fill(&w, 0, 10, 5);
	fill(&w, 1, 10, 5);
	v.busy = pmap_peek(w.p[0], page_at(10))->host;
	merge_all(&w, 4);
	cr_assert_not(page_has(pmap_peek(w.p[0], page_at(10)), PAGE_SHARED));
	v.busy = NULL;
	merge_all(&w, 4);
	cr_assert(page_has(pmap_peek(w.p[0], page_at(10)), PAGE_SHARED));
	done(&w);
}

/* The audit finds what is wrong. */
Test(share, the_audit_sees_errors)
{
	struct world w = make(64, 16);
	struct machine_page *page;
	char first[200] = "";

	read_block(&w, 0, 3, 7, 0x77);
	read_block(&w, 1, 3, 7, 0);
	page = pmap_peek(w.p[0], page_at(3));
	page->user.gpn++;
	cr_assert_gt(machine_memory_audit(w.m, NULL, first, sizeof(first)), 0u);
	cr_assert_neq(first[0], 0);
	page->user.gpn--;
	page_clear(page, PAGE_SHARED);
	cr_assert_gt(machine_memory_audit(w.m, NULL, first, sizeof(first)), 0u);
	page_set(page, PAGE_SHARED);
	page->refs--;
	cr_assert_gt(machine_memory_audit(w.m, NULL, first, sizeof(first)), 0u);
	page->refs++;
	done(&w);
}

/* Everything at once, against a plain array of bytes for each VM. */
Test(share, random_operations_against_a_model)
{
	enum { PAGES = 24, BLOCKS = 12, ROUNDS = 60000 };
	static uint8_t model[VMS][PAGES];
	struct world w = make(VMS * PAGES + 2, PAGES);
	uint32_t x = 12345;

	for (unsigned r = 0; r < ROUNDS; r++) {
		unsigned vm, op;
		uint64_t gpn;

		x = x * 1664525u + 1013904223u;
		vm = (x >> 8) % VMS;
		gpn = (x >> 12) % PAGES;
		op = x >> 28;
		if (op < 6) {
			uint64_t block = (x >> 20) % BLOCKS;

			read_block(&w, vm, gpn, block, (int)block + 1);
			model[vm][gpn] = (uint8_t)(block + 1);
		} else if (op < 11) {
			uint8_t page[PAGE_BYTES];

			model[vm][gpn] = (uint8_t)(x >> 24 & 3);
			memset(page, model[vm][gpn], sizeof(page));
			cr_assert_eq(pmap_write(w.p[vm], page_at(gpn), page, sizeof(page)), 0);
		} else if (op == 11) {
			pmap_release(w.p[vm], page_at(gpn), PAGE_BYTES);
			model[vm][gpn] = 0;
		} else if (op == 12) {
			pmap_share_equal(w.p[vm], page_at(gpn), PAGE_BYTES);
		} else {
			pmap_merge(w.p[vm], 5);
		}
		if (r % 64 == 0)
			audit(&w);
		if (r % 16 == 0)
			for (gpn = 0; gpn < PAGES; gpn++)
				cr_assert(byte_at(&w, vm, gpn, 5) == model[vm][gpn] &&
					      byte_at(&w, vm, gpn, 4095) == model[vm][gpn],
					  "round %u, VM %u, page %lu", r, vm, gpn);
	}
	cr_assert_gt(pmap_stats(w.p[0])->breaks, 100u);
	cr_assert_gt(pmap_stats(w.p[0])->merged, 100u);
	cr_assert_gt(pmap_stats(w.p[0])->taken_over, 20u);
	done(&w);
}
