/* SPDX-License-Identifier: MIT */
#ifndef VMM_FUNCTIONS_H
#define VMM_FUNCTIONS_H

/* The functions that the places of a profile are in, and how `disco top --functions` shows them. */
#include <jansson.h>
#include <stdio.h>

#include "base/panic.h"
#include "base/profile.h"

struct guest_names;

struct function_row {
	char *name;  /* ASCII (symbols.h); of what has no name, its page */
	char *where; /* guest_named.where */
	uint64_t samples;
};

struct functions {
	const char *machine; /* the caller's */
	unsigned ms;         /* it was looked at for so long */
	uint64_t samples, lost;
	unsigned n;
	struct function_row *row; /* most samples first */
};

/* 0 or -ENOMEM.  f->machine and f->ms are left alone. */
MUST_CHECK int functions_sum(struct functions *f, const struct guest_names *names, const struct profile_sum *sum);
void functions_free(struct functions *f);

/* A table of at most `rows` of them, and what the others come to. */
void functions_print(const struct functions *f, unsigned rows, FILE *out);
/* One object, on a line. */
void functions_print_json(const struct functions *f, FILE *out);
/* "WHERE;FUNCTION SAMPLES", as flamegraph.pl and speedscope read them; there are no callers. */
void functions_print_folded(const struct functions *f, FILE *out);
/* A flame graph: all of it below, on that where, on that the functions; each as wide as its samples. */
void functions_draw(const struct functions *f, FILE *out);

#endif
