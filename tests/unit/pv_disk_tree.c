/* SPDX-License-Identifier: MIT */
/* The tree of ranges against an array that has one kind per sector. */
#include <criterion/criterion.h>
#include <string.h>

#include "pv-drivers/disk/range_tree.h"

enum { SECTORS = 300 };

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void expect_same(const struct range_tree *t, const uint8_t *model)
{
	uint64_t total[RANGE_MAX_KINDS] = {0}, count = 0;

	cr_assert(range_tree_check(t));
	for (unsigned i = 0; i < SECTORS; i++) {
		total[model[i]]++;
		count += model[i] != RANGE_NONE && (!i || model[i - 1] != model[i]);
	}
	cr_assert_eq(t->count, count);
	for (unsigned k = 1; k < RANGE_MAX_KINDS; k++)
		cr_assert_eq(t->total[k], total[k]);
	for (uint64_t at = 0; at < SECTORS;) {
		struct range r = range_tree_piece(t, at, SECTORS);
		uint64_t end = at + 1;

		while (end < SECTORS && model[end] == model[at])
			end++;
		cr_assert(r.start == at && r.end == end && r.kind == model[at], "at %llu", (unsigned long long)at);
		at = end;
	}
}

Test(pv_disk_tree, random_changes_are_those_of_an_array)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct range_tree t = {0};
		uint8_t model[SECTORS] = {0};
		uint64_t state = seed * 0x9e3779b97f4a7c15u;

		for (unsigned i = 0; i < 500; i++) {
			uint64_t start = next(&state) % SECTORS, most = SECTORS - start;
			uint64_t n = 1 + next(&state) % (seed % 3 && most > 12 ? 12 : most);
			unsigned kind = (unsigned)(next(&state) % RANGE_MAX_KINDS);

			cr_assert_eq(range_tree_set(&t, start, start + n, kind), 0);
			memset(model + start, (int)kind, n);
			expect_same(&t, model);
		}
		range_tree_free(&t);
		cr_assert_eq(t.count, 0);
	}
}

Test(pv_disk_tree, neighbours_merge_and_cuts_split)
{
	struct range_tree t = {0};
	struct range r;

	cr_assert_eq(range_tree_set(&t, 0, 8, 1), 0);
	cr_assert_eq(range_tree_set(&t, 16, 24, 1), 0);
	cr_assert_eq(t.count, 2);
	cr_assert_eq(range_tree_set(&t, 8, 16, 1), 0);
	cr_assert_eq(t.count, 1);
	cr_assert_eq(range_tree_set(&t, 10, 12, 2), 0);
	cr_assert_eq(t.count, 3);
	cr_assert(range_tree_find(&t, 9, &r) && r.start == 0 && r.end == 10);
	cr_assert(range_tree_find(&t, 11, &r) && r.kind == 2);
	cr_assert_eq(range_tree_set(&t, 10, 12, 1), 0);
	cr_assert_eq(t.count, 1);
	cr_assert_eq(range_tree_set(&t, 4, 20, RANGE_NONE), 0);
	cr_assert_eq(t.count, 2);
	cr_assert(range_tree_find(&t, 4, &r) && r.start == 20);
	cr_assert_not(range_tree_find(&t, 24, &r));
	range_tree_free(&t);
}

/* Ascending, descending and alternating order: what an unbalanced tree becomes a list with (range_tree_check() looks). */
Test(pv_disk_tree, stays_balanced)
{
	enum { N = 20000 };

	for (unsigned order = 0; order < 3; order++) {
		struct range_tree t = {0};

		for (uint64_t i = 0; i < N; i++) {
			uint64_t at = order == 0 ? i : order == 1 ? N - 1 - i : i & 1 ? N - 1 - i / 2 : i / 2;

			cr_assert_eq(range_tree_set(&t, 2 * at, 2 * at + 1, 1), 0);
		}
		cr_assert_eq(t.count, N);
		cr_assert(range_tree_check(&t));
		for (uint64_t i = 0; i < N; i += 3)
			cr_assert_eq(range_tree_set(&t, 2 * i, 2 * i + 1, RANGE_NONE), 0);
		cr_assert(range_tree_check(&t));
		cr_assert_eq(range_tree_set(&t, 0, 2 * N, 2), 0);
		cr_assert_eq(t.count, 1);
		range_tree_free(&t);
	}
}
