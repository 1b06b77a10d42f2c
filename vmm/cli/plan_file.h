/* SPDX-License-Identifier: MIT */
#ifndef VMM_CLI_PLAN_FILE_H
#define VMM_CLI_PLAN_FILE_H

/*
 * The configuration file of `disco up`: YAML.
 *
 *   monitor:              options of the whole process (those with .process in options.def)
 *     timeout: 600
 *   defaults:             what each machine has that does not say otherwise
 *     mem: 64M
 *   machines:
 *     - name: web         options of `disco run` by their names; what can be given several times may be a list
 *       count: 3          web1, web2, web3; {n} in any value stands for the number
 *       disk: [root.img,mode=cow, data{n}.img]
 *       command: [sh, -c, "echo {n}"]     or one text, for the shell
 */
#include "vmm/cli/plan.h"

enum { PLAN_MAX_FILE_BYTES = 1 << 20 };

/*
 * Names of files in it begin at its own folder.
 *
 * Returns  0, or -EINVAL with err filled: "FILE:LINE: KEY: what is wrong".  plan_free() after it, whatever that is
 */
MUST_CHECK int plan_from_file(struct plan *p, const char *path, struct options_error *err);

/* A configuration of one machine more, for a monitor that runs. */
struct plan_addition {
	const char *text; /* of bytes bytes */
	size_t bytes;
	const char *name;   /* of its file, for messages */
	const char *folder; /* that names of files begin at; with its last '/' */
	const struct run_options
	    *process;          /* another machine's: what is the process's is the same in all; outlives the plan */
	struct run_said *said; /* of its options */
	unsigned n_others;
	const struct plan_other *other;
};
MUST_CHECK int plan_from_addition(struct plan *p, const struct plan_addition *a, struct options_error *err);

#endif
