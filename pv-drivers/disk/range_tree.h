/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_RANGE_TREE_H
#define PV_DRIVERS_RANGE_TREE_H

/*
 * An ordered, balanced tree of disjoint ranges [start, end) of sectors, each of a kind: which sectors of a disk a layer
 * has, and where (SOSP'97 4.2.5 keeps such a tree per disk and machine, for its range queries).  Neighbours of one kind
 * are one range, so that the tree is as small as what it says.
 *
 * Not thread-safe.  Cost: O(log n) for a query; a change adds the number of ranges it swallows.
 */
#include "base/panic.h"
#include "base/types.h"

enum { RANGE_NONE = 0, RANGE_MAX_KINDS = 4 }; /* kinds: 1 .. RANGE_MAX_KINDS - 1 */

struct range {
	uint64_t start, end;
	unsigned kind;
};

struct range_node;
struct range_tree {
	struct range_node *root;
	struct range_node *spare;        /* two nodes ahead, so that a change fails before it begins */
	uint64_t count;                  /* ranges */
	uint64_t total[RANGE_MAX_KINDS]; /* sectors of each kind */
};

/* All zeroes is an empty tree. */
void range_tree_free(struct range_tree *t);
/*
 * [start, end) is of this kind from now on, whatever it was; RANGE_NONE: in no range.  start < end.
 * 0 or -ENOMEM, with the tree as it was.
 */
MUST_CHECK int range_tree_set(struct range_tree *t, uint64_t start, uint64_t end, unsigned kind);
/* The first range that ends after `at`: the one that holds it, or the next.  False: none. */
bool range_tree_find(const struct range_tree *t, uint64_t at, struct range *out);
/*
 * The piece of [at, end) that begins at `at` and is of one kind, gaps being RANGE_NONE.  at < end.
 */
struct range range_tree_piece(const struct range_tree *t, uint64_t at, uint64_t end);
/* Order, balance, disjointness, merging, totals: for tests.  True if all hold. */
bool range_tree_check(const struct range_tree *t);

#endif
