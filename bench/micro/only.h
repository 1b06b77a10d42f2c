/* SPDX-License-Identifier: MIT */
#ifndef BENCH_MICRO_ONLY_H
#define BENCH_MICRO_ONLY_H

/* Which benchmarks are wanted: "NAME,NAME," as `disco bench` passes it, or NULL for all. */
#include <stdbool.h>

/* Does s begin with head, and go on with `after` (0: with anything)? */
static inline bool starts_with(const char *s, const char *head, char after)
{
	while (*head && *s == *head) {
		s++;
		head++;
	}
	return !*head && (!after || *s == after);
}

static inline bool only_wants(const char *only, const char *name)
{
	const char *s = only;

	while (s && *s && !starts_with(s, name, ','))
		while (*s && *s++ != ',')
			;
	return !s || *s;
}

#endif
