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

/*
 * Reads path, and goes to its folder, which names of files in it begin at.
 *
 * Returns  0, or -EINVAL with err filled: "FILE:LINE: KEY: what is wrong".  plan_free() after it, whatever that is
 * Context  one thread, and no other: the process's working directory changes
 */
MUST_CHECK int plan_from_file(struct plan *p, const char *path, struct options_error *err);

#endif
