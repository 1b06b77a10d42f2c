/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "numa/numa.h"

struct world {
	struct machine_memory *m;
	struct pmap *p;
};

static struct world make(uint64_t machine_pages, unsigned nodes, uint64_t pages)
{
	struct world w;

	cr_assert_eq(machine_memory_new(
			 &w.m, &(struct machine_memory_config){.bytes = machine_pages * PAGE_BYTES, .nodes = nodes}),
		     0);
	cr_assert_eq(pmap_new(&w.p, w.m, pages * PAGE_BYTES), 0);
	return w;
}

/* What a write of the guest's finds. */
static struct machine_page *touch(struct pmap *p, struct gpa pa, unsigned node, int *err)
{
	struct guest_page *g = pmap_get(p, pa, node, PMAP_WRITE, err);

	return g ? g->page : NULL;
}

static void done(struct world w)
{
	pmap_free(w.p);
	cr_assert_eq(machine_memory_pages_used(w.m, -1), 0, "a VM gives everything back");
	machine_memory_free(w.m);
}

Test(pmap, refuses_bad_sizes)
{
	struct world w = make(4, 1, 4);
	struct pmap *p;

	cr_assert_eq(pmap_new(&p, w.m, 0), -EINVAL);
	cr_assert_null(p);
	cr_assert_eq(pmap_new(&p, w.m, PAGE_BYTES - 1), -EINVAL);
	cr_assert_eq(pmap_new(&p, w.m, UINT64_MAX & ~PAGE_MASK), -ENOMEM);
	pmap_free(NULL);
	done(w);
}

Test(pmap, first_touch_allocates_on_the_node_that_touches)
{
	struct world w = make(16, 2, 16);
	struct machine_page *page;
	int err = 1;

	cr_assert_eq(pmap_bytes(w.p), 16 * PAGE_BYTES);
	cr_assert_null(pmap_peek(w.p, gpa(0x3000)));
	page = touch(w.p, gpa(0x3abc), 1, &err);
	cr_assert_eq(err, 0);
	cr_assert_eq(page->node, 1);
	cr_assert_eq(page->refs, 1);
	cr_assert_eq(touch(w.p, gpa(0x3000), 0, &err), page, "the first touch decides");
	cr_assert_eq(pmap_peek(w.p, gpa(0x3fff)), page);
	cr_assert_eq(machine_memory_pages_used(w.m, 1), 1);
	cr_assert_eq(machine_memory_pages_used(w.m, 0), 0);
	done(w);
}

Test(pmap, outside_memory_is_no_error_and_no_page)
{
	static const uint64_t out[] = {4 * PAGE_BYTES, 1ull << 32, 1ull << 35, UINT64_MAX};
	struct world w = make(4, 1, 4);

	for (size_t i = 0; i < ARRAY_LEN(out); i++) {
		int err = 1;

		cr_assert_null(touch(w.p, gpa(out[i]), 0, &err));
		cr_assert_eq(err, 0);
		cr_assert_null(pmap_peek(w.p, gpa(out[i])));
	}
	done(w);
}

Test(pmap, exhaustion_is_reported_and_passes)
{
	struct world a = make(8, 2, 100), b = {a.m, NULL};
	uint8_t data[3 * PAGE_BYTES];
	int err;

	memset(data, 7, sizeof(data));
	cr_assert_eq(pmap_new(&b.p, a.m, 100 * PAGE_BYTES), 0, "VMs may be promised more than there is");
	for (uint64_t i = 0; i < 6; i++)
		cr_assert_not_null(touch(a.p, gpa(i << PAGE_SHIFT), 0, &err));
	cr_assert_eq(pmap_write(b.p, gpa(0), data, sizeof(data)), -ENOMEM);
	cr_assert_null(touch(b.p, gpa(0x10000), 1, &err));
	cr_assert_eq(err, -ENOMEM);
	cr_assert_not_null(touch(b.p, gpa(0x1000), 1, &err), "what was there before is still there");
	pmap_free(a.p);
	cr_assert_eq(pmap_write(b.p, gpa(0), data, sizeof(data)), 0);
	cr_assert_eq(machine_memory_pages_used(b.m, -1), 3);
	done(b);
}

Test(pmap, copies_cross_pages)
{
	struct world w = make(64, 4, 64);
	uint8_t in[3 * PAGE_BYTES], back[sizeof(in)], zero[64] = {0};

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 7 + i / 256);
	cr_assert_eq(pmap_write(w.p, gpa(0x5ff1), in, sizeof(in)), 0);
	memset(back, 0xff, sizeof(back));
	cr_assert_eq(pmap_read(w.p, gpa(0x5ff1), back, sizeof(back)), 0);
	cr_assert_arr_eq(back, in, sizeof(in));
	cr_assert_eq(machine_memory_pages_used(w.m, -1), 4);
	cr_assert_eq(pmap_peek(w.p, gpa(0x6000))->host[0], in[15]);
	memset(back, 0xff, sizeof(back));
	cr_assert_eq(pmap_read(w.p, gpa(0x20000), back, sizeof(zero)), 0);
	cr_assert_arr_eq(back, zero, sizeof(zero));
	cr_assert_null(pmap_peek(w.p, gpa(0x20000)), "reading allocates nothing");
	done(w);
}

Test(pmap, copies_stay_inside)
{
	struct world w = make(4, 1, 4);
	uint8_t byte[8] = {0};

	cr_assert_eq(pmap_write(w.p, gpa(4 * PAGE_BYTES - 8), byte, 8), 0);
	cr_assert_eq(pmap_write(w.p, gpa(4 * PAGE_BYTES), byte, 0), 0);
	cr_assert_eq(pmap_write(w.p, gpa(4 * PAGE_BYTES - 7), byte, 8), -EFAULT);
	cr_assert_eq(pmap_read(w.p, gpa(4 * PAGE_BYTES - 7), byte, 8), -EFAULT);
	cr_assert_eq(pmap_read(w.p, gpa(UINT64_MAX), byte, 8), -EFAULT);
	cr_assert_eq(pmap_read(w.p, gpa(8), byte, UINT64_MAX), -EFAULT, "the sum must not wrap");
	cr_assert_eq(pmap_write(w.p, gpa(UINT64_MAX - 3), byte, 8), -EFAULT);
	done(w);
}

Test(pmap, hash_is_that_of_the_bytes)
{
	enum { PAGES = 37 };
	struct world w = make(PAGES, 3, PAGES);
	uint8_t *flat = calloc(PAGES, PAGE_BYTES);
	int err;

	cr_assert_eq(pmap_hash(w.p), XXH3_64bits(flat, PAGES * PAGE_BYTES), "nothing touched");
	for (unsigned i = 0; i < PAGES; i += 3) {
		memset(flat + i * PAGE_BYTES + i, (int)i + 1, 100);
		cr_assert_eq(pmap_write(w.p, gpa(i * PAGE_BYTES + i), flat + i * PAGE_BYTES + i, 100), 0);
	}
	cr_assert_eq(pmap_hash(w.p), XXH3_64bits(flat, PAGES * PAGE_BYTES));
	for (unsigned i = PAGES; i-- > 0;) /* in another order and on other nodes: placement does not matter */
		cr_assert_not_null(touch(w.p, gpa(i * PAGE_BYTES), i % 3, &err));
	cr_assert_eq(machine_memory_pages_used(w.m, -1), PAGES);
	cr_assert_eq(pmap_hash(w.p), XXH3_64bits(flat, PAGES * PAGE_BYTES), "zero pages count as zeroes");
	pmap_peek(w.p, gpa(PAGE_BYTES))->host[5] ^= 1;
	cr_assert_neq(pmap_hash(w.p), XXH3_64bits(flat, PAGES * PAGE_BYTES));
	free(flat);
	done(w);
}

Test(pmap, a_freed_vm_leaves_no_data_behind)
{
	struct world w = make(64, 2, 64);
	uint8_t secret[8] = "secret!";
	struct pmap *next;

	for (uint64_t i = 0; i < 64; i++)
		cr_assert_eq(pmap_write(w.p, gpa((i * 29 % 64) << PAGE_SHIFT), secret, sizeof(secret)), 0);
	pmap_free(w.p);
	cr_assert_eq(machine_memory_pages_used(w.m, -1), 0);
	cr_assert_eq(pmap_new(&next, w.m, 64 * PAGE_BYTES), 0);
	for (uint64_t i = 0; i < 64; i++) {
		int err;

		cr_assert_eq(touch(next, gpa(i << PAGE_SHIFT), 1, &err)->host[0], 0);
	}
	w.p = next;
	done(w);
}

Test(pmap, released_pages_are_untouched_again)
{
	struct world w = make(64, 2, 64);
	uint8_t secret[8] = "secret!", back[8];
	int err;

	for (uint64_t i = 0; i < 64; i++)
		cr_assert_eq(pmap_write(w.p, gpa(i << PAGE_SHIFT), secret, sizeof(secret)), 0);
	cr_assert_eq(pmap_release(w.p, gpa(0x4000), 3 * PAGE_BYTES), 3 * PAGE_BYTES);
	cr_assert_eq(machine_memory_pages_used(w.m, -1), 61);
	cr_assert_null(pmap_peek(w.p, gpa(0x5000)));
	cr_assert_eq(pmap_release(w.p, gpa(0x3000), 3 * PAGE_BYTES), PAGE_BYTES, "what has gone is passed over");
	cr_assert_eq(pmap_release(w.p, gpa(62 * PAGE_BYTES), UINT64_MAX & ~PAGE_MASK), 2 * PAGE_BYTES,
		     "to the end of memory");
	cr_assert_eq(pmap_release(w.p, gpa(64 * PAGE_BYTES), PAGE_BYTES), 0);
	cr_assert_eq(pmap_release(w.p, gpa(UINT64_MAX & ~PAGE_MASK), PAGE_BYTES), 0);
	cr_assert_eq(machine_memory_pages_used(w.m, -1), 58);
	cr_assert_eq(pmap_read(w.p, gpa(0x5000), back, sizeof(back)), 0);
	cr_assert_eq(back[0], 0);
	cr_assert_eq(pmap_read(w.p, gpa(0x7000), back, sizeof(back)), 0);
	cr_assert_str_eq((const char *)back, "secret!", "its neighbour has not changed");
	for (uint64_t i = 0; i < 64; i++) {
		struct machine_page *page = touch(w.p, gpa(i << PAGE_SHIFT), 0, &err);

		cr_assert_not_null(page);
		cr_assert_eq(page->host[0], (i >= 3 && i <= 6) || i >= 62 ? 0 : 's');
	}
	done(w);
}
