/* SPDX-License-Identifier: MIT */
#ifndef VMM_CLI_PLAN_H
#define VMM_CLI_PLAN_H

/*
 * The machines of one process before any of it exists: the options of each, and what they must fulfil together.  Touches nothing
 * but the file names that it checks.
 */
#include "vmm/cli/options.h"

/* A machine that runs already, or has ended and is still known. */
struct plan_other {
	const struct run_options *opt;
	bool ended; /* only its name counts */
};

struct plan {
	const char *speaker; /* what is said begins with this: "disco run" */
	bool several;        /* more than one, or --several */
	unsigned n;
	struct run_options *opt; /* of each; opt[i].name is no other's */
	unsigned n_texts;
	char **text; /* what the options point into */
	unsigned n_others;
	const struct plan_other *other; /* of plan_check(); the caller's */
};

/*
 * The arguments of `disco run`.  With --vms N there are N machines, and in all arguments "{n}" stands for the number of each, 1
 * to N; they are called NAME1 to NAMEN if --name has no "{n}".
 *
 * Returns  as options_parse_run(); argv must outlive it.  plan_free() after it, whatever that is
 * Context  as options_parse_run()
 */
MUST_CHECK int plan_from_arguments(struct plan *p, int argc, char **argv, struct options_error *err);
/*
 * What they must fulfil together, and with the others: names that differ, memory that the host has, disks that nobody else writes
 * to, files that are one machine's alone; and that kernel and initrd of each can be booted.  0, or -EINVAL with err filled, and in *which (or NULL) the machine that it is said about.
 */
MUST_CHECK int plan_check(const struct plan *p, unsigned *which, struct options_error *err);
void plan_free(struct plan *p);

/* Free it with the plan. Returns text; NULL, and text is freed: the host has no memory left. */
char *plan_keep(struct plan *p, char *text);
/* `from` with the number for each "{n}". Allocated; NULL: the host has no memory left. */
char *plan_number(const char *from, unsigned n);

#endif
