/* SPDX-License-Identifier: MIT */
#ifndef VMM_OPTIONS_INTERNAL_H
#define VMM_OPTIONS_INTERNAL_H

/* What the files of the option parser share. */
#include "vmm/cli/options.h"

/* Fill err and return -EINVAL, so that callers can end with "return options_bad(...)". */
int options_bad(struct options_error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A file that will be read later: say now, with the option's name, if it cannot be. */
MUST_CHECK int options_check_file(const char *option, const char *path, struct options_error *err);
/* The value of --tiers. */
MUST_CHECK int options_check_tiers(const char *text, struct options_error *err);

/* ---- options_devices.c: each adds one to out ---- */
MUST_CHECK int options_add_disk(const char *text, struct run_options *out, struct options_error *err);
MUST_CHECK int options_add_net(const char *text, struct run_options *out, struct options_error *err);
MUST_CHECK int options_add_share(const char *text, struct run_options *out, struct options_error *err);
MUST_CHECK int options_add_terminal(const char *text, struct run_options *out, struct options_error *err);
MUST_CHECK int options_add_env(const char *text, struct run_options *out, struct options_error *err);
MUST_CHECK int options_parse_balloon(const char *text, struct run_options *out, struct options_error *err);
/*
 * What follows from all of them together: the kernel beside the first disk, the network card that a machine has if
 * nothing is said, the command line of the kernel.
 */
MUST_CHECK int options_complete_run(struct run_options *out, struct options_error *err);

#endif
