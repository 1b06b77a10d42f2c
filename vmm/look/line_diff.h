/* SPDX-License-Identifier: MIT */
#ifndef VMM_LINE_DIFF_H
#define VMM_LINE_DIFF_H

/* Which lines of one text are not in another, in order. */
#include "base/panic.h"
#include "base/types.h"

/* A line, and what of it is compared: what is in front of `key`, as an offset is, may differ. */
struct diff_line {
	const char *text; /* NUL-terminated */
	const char *key;  /* in text */
	uint64_t hash;    /* of key: line_diff_hash() */
	bool changed;     /* set by line_diff(): not in the other text */
};

uint64_t line_diff_hash(uint64_t h, const char *text);

/*
 * Mark what has to be taken out of a and what to be put in to make b of it.
 *
 * Returns  0 or -ENOMEM.
 * Context  any thread.
 * Cost     O(lines * differences), at most lines * 512.  Up to 512 differences the marks are the fewest possible.
 * Source   Myers, "An O(ND) Difference Algorithm and Its Variations", 1986, the greedy form.
 */
MUST_CHECK int line_diff(struct diff_line *a, size_t n_a, struct diff_line *b, size_t n_b);

#endif
