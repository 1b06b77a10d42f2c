/* SPDX-License-Identifier: MIT */
#include "pv-drivers/disk/range_tree.h"

#include <errno.h>
#include <stdlib.h>

/* An AVL tree: its depth is bounded whatever a guest writes (1.44 log2 n), so recursion is too. */
struct range_node {
	struct range r;
	struct range_node *left, *right; /* right also links the spare nodes */
	int height;
};

static int height(const struct range_node *n) { return n ? n->height : 0; }

static void update(struct range_node *n)
{
	int l = height(n->left), r = height(n->right);

	n->height = 1 + (l > r ? l : r);
}

static struct range_node *rotate_right(struct range_node *n)
{
	struct range_node *up = n->left;

	n->left = up->right;
	up->right = n;
	update(n);
	update(up);
	return up;
}

static struct range_node *rotate_left(struct range_node *n)
{
	struct range_node *up = n->right;

	n->right = up->left;
	up->left = n;
	update(n);
	update(up);
	return up;
}

static struct range_node *balance(struct range_node *n)
{
	int lean = height(n->left) - height(n->right);

	if (lean > 1) {
		if (height(n->left->left) < height(n->left->right))
			n->left = rotate_left(n->left);
		return rotate_right(n);
	}
	if (lean < -1) {
		if (height(n->right->right) < height(n->right->left))
			n->right = rotate_right(n->right);
		return rotate_left(n);
	}
	update(n);
	return n;
}

static struct range_node *insert(struct range_node *n, struct range_node *new)
{
	if (!n)
		return new;
	if (new->r.start < n->r.start)
		n->left = insert(n->left, new);
	else
		n->right = insert(n->right, new);
	return balance(n);
}

static struct range_node *take_first(struct range_node *n, struct range_node **first)
{
	if (!n->left) {
		*first = n;
		return n->right;
	}
	n->left = take_first(n->left, first);
	return balance(n);
}

/* Take the node that starts at `start`, which is there, out of the tree. */
static struct range_node *take(struct range_node *n, uint64_t start, struct range_node **taken)
{
	struct range_node *next;

	if (start < n->r.start) {
		n->left = take(n->left, start, taken);
		return balance(n);
	}
	if (start > n->r.start) {
		n->right = take(n->right, start, taken);
		return balance(n);
	}
	*taken = n;
	if (!n->left || !n->right)
		return n->left ? n->left : n->right;
	n->right = take_first(n->right, &next);
	next->left = n->left;
	next->right = n->right;
	return balance(next);
}

static void put(struct range_tree *t, uint64_t start, uint64_t end, unsigned kind)
{
	struct range_node *n = t->spare;

	t->spare = n->right;
	*n = (struct range_node){.r = {start, end, kind}, .height = 1};
	t->root = insert(t->root, n);
	t->count++;
	t->total[kind] += end - start;
}

static void drop(struct range_tree *t, const struct range *r)
{
	struct range_node *n;

	t->count--;
	t->total[r->kind] -= r->end - r->start;
	t->root = take(t->root, r->start, &n);
	n->right = t->spare;
	t->spare = n;
}

/* A change makes at most two nodes more than it drops before: its own, and the rest of a range that it cuts in two. */
static int keep_spare(struct range_tree *t)
{
	for (struct range_node *n = t->spare; !n || !n->right; n = t->spare) {
		struct range_node *new = calloc(1, sizeof(*new));

		if (!new)
			return -ENOMEM;
		new->right = n;
		t->spare = new;
	}
	return 0;
}

static void free_surplus(struct range_tree *t)
{
	struct range_node *keep = t->spare ? t->spare->right : NULL;

	while (keep && keep->right) {
		struct range_node *n = keep->right;

		keep->right = n->right;
		free(n);
	}
}

int range_tree_set(struct range_tree *t, uint64_t start, uint64_t end, unsigned kind)
{
	struct range r;
	int err;

	ASSERT(start < end && kind < RANGE_MAX_KINDS);
	/* What is said already: rewriting a block is the common case, and touches nothing. */
	if (kind != RANGE_NONE && range_tree_find(t, start, &r) && r.start <= start && r.end >= end && r.kind == kind)
		return 0;
	err = keep_spare(t);
	if (err)
		return err;
	/* From one before start on, so that a neighbour that touches is merged. */
	while (range_tree_find(t, start ? start - 1 : 0, &r) && r.start <= end) {
		bool joins = r.kind == kind;

		if (!joins && r.end == start) { /* a neighbour of another kind: look at what comes after it */
			if (!range_tree_find(t, start, &r) || r.start > end)
				break;
			joins = r.kind == kind;
		}
		if (!joins && r.start == end)
			break;
		drop(t, &r);
		if (joins) {
			start = r.start < start ? r.start : start;
			end = r.end > end ? r.end : end;
			continue;
		}
		if (r.start < start)
			put(t, r.start, start, r.kind);
		if (r.end > end)
			put(t, end, r.end, r.kind);
	}
	if (kind != RANGE_NONE)
		put(t, start, end, kind);
	free_surplus(t);
	return 0;
}

bool range_tree_find(const struct range_tree *t, uint64_t at, struct range *out)
{
	const struct range_node *n = t->root, *found = NULL;

	while (n) {
		if (n->r.end > at) {
			found = n;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	if (found)
		*out = found->r;
	return found;
}

struct range range_tree_piece(const struct range_tree *t, uint64_t at, uint64_t end)
{
	struct range r;

	if (!range_tree_find(t, at, &r) || r.start >= end)
		return (struct range){at, end, RANGE_NONE};
	if (r.start > at)
		return (struct range){at, r.start, RANGE_NONE};
	return (struct range){at, r.end < end ? r.end : end, r.kind};
}

static void free_nodes(struct range_node *n)
{
	if (!n)
		return;
	free_nodes(n->left);
	free_nodes(n->right);
	free(n);
}

void range_tree_free(struct range_tree *t)
{
	free_nodes(t->root);
	while (t->spare) {
		struct range_node *n = t->spare;

		t->spare = n->right;
		free(n);
	}
	*t = (struct range_tree){0};
}

static bool check(const struct range_node *n, struct range *before, struct range_tree *sum)
{
	int lean;

	if (!n)
		return true;
	if (!check(n->left, before, sum))
		return false;
	lean = height(n->left) - height(n->right);
	if (n->r.start >= n->r.end || n->r.kind == RANGE_NONE || n->r.kind >= RANGE_MAX_KINDS || lean < -1 || lean > 1)
		return false;
	if (sum->count && (n->r.start < before->end || (n->r.start == before->end && n->r.kind == before->kind)))
		return false;
	*before = n->r;
	sum->count++;
	sum->total[n->r.kind] += n->r.end - n->r.start;
	return check(n->right, before, sum);
}

bool range_tree_check(const struct range_tree *t)
{
	struct range_tree sum = {0};
	struct range before = {0};

	if (!check(t->root, &before, &sum) || sum.count != t->count)
		return false;
	for (unsigned k = 0; k < RANGE_MAX_KINDS; k++)
		if (sum.total[k] != t->total[k])
			return false;
	return true;
}
