/* SPDX-License-Identifier: MIT */
#include "vmm/look/line_diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Position (x, y): x lines of a and y of b are done; diagonal k = x - y.  After d differences reach[k] is the largest x on
 * diagonal k.  The reach of every d is kept, in row d, to find the way back.
 */
enum { MAX_DIFFERENCES = 512 };

struct lines {
	struct diff_line *a, *b;
	long n_a, n_b;
	int *rows; /* row d begins at d * d: it has 2 * d + 1 diagonals, from -d on */
};

uint64_t line_diff_hash(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3ull; /* FNV-1a */
	return (h ^ 0xff) * 0x100000001b3ull;                      /* where it ends */
}

static bool same(const struct diff_line *a, const struct diff_line *b)
{
	return a->hash == b->hash && strcmp(a->key, b->key) == 0;
}

static int *reach(const struct lines *l, int d, int k) { return &l->rows[d * d + d + k]; }

/* Whether the step that leads to diagonal k after d differences puts a line of b in; else it takes one of a out. */
static bool puts_in(const struct lines *l, int d, int k)
{
	return k == -d || (k != d && *reach(l, d - 1, k - 1) < *reach(l, d - 1, k + 1));
}

/* Where the step before row d, diagonal k came from, and where it led to. */
static long step(const struct lines *l, int d, int k)
{
	if (d == 0)
		return 0;
	return puts_in(l, d, k) ? *reach(l, d - 1, k + 1) : *reach(l, d - 1, k - 1) + 1;
}

static void mark_way(const struct lines *l, int d, int k)
{
	for (; d > 0; d--) {
		long x = step(l, d, k), y = x - k;

		if (puts_in(l, d, k)) {
			l->b[y - 1].changed = true;
			k++;
		} else {
			l->a[x - 1].changed = true;
			k--;
		}
	}
}

/* From the beginning of both to the end, or as far as it gets: x, y. */
static void advance(const struct lines *l, long *x_out, long *y_out)
{
	long best = -1, x, y;
	int best_k = 0, d;

	for (d = 0;; d++) {
		best = -1;
		for (int k = -d; k <= d; k += 2) {
			x = step(l, d, k);
			y = x - k;
			while (x < l->n_a && y < l->n_b && same(&l->a[x], &l->b[y]))
				x++, y++;
			*reach(l, d, k) = (int)x;
			if (x > l->n_a || y > l->n_b || x + y <= best)
				continue; /* beyond an end: no position */
			best = x + y;
			best_k = k;
		}
		if (d == MAX_DIFFERENCES || best == l->n_a + l->n_b)
			break;
	}
	*x_out = *reach(l, d, best_k);
	*y_out = *x_out - best_k;
	mark_way(l, d, best_k);
}

int line_diff(struct diff_line *a, size_t n_a, struct diff_line *b, size_t n_b)
{
	struct lines l = {a, b, (long)n_a, (long)n_b, NULL};
	long x, y;

	if (n_a > INT32_MAX / 2 || n_b > INT32_MAX / 2)
		return -ENOMEM;
	l.rows = malloc(((size_t)MAX_DIFFERENCES + 1) * (MAX_DIFFERENCES + 1) * sizeof(*l.rows));
	if (!l.rows)
		return -ENOMEM;
	while (l.n_a && l.n_b) {
		advance(&l, &x, &y);
		l.a += x, l.n_a -= x;
		l.b += y, l.n_b -= y;
	}
	for (long i = 0; i < l.n_a; i++)
		l.a[i].changed = true;
	for (long i = 0; i < l.n_b; i++)
		l.b[i].changed = true;
	free(l.rows);
	return 0;
}
