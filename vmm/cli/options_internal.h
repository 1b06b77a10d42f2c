/* SPDX-License-Identifier: MIT */
#ifndef VMM_OPTIONS_INTERNAL_H
#define VMM_OPTIONS_INTERNAL_H

/* What the files of the option parser share. */
#include "vmm/cli/options.h"

/* ---- options.c ---- */
/*
 * Parse what stands in front of the arguments, which begin at argv[optind] then.
 *
 * mixed  options may stand behind arguments too (argv is reordered)
 * last   where optind was after the last option, or NULL
 */
MUST_CHECK int options_parse(const struct option_row *rows, bool mixed, int argc, char **argv, void *out, int *last,
			     struct options_error *err);
/* A file that will be read later: say now, with the option's name, if it cannot be. */
MUST_CHECK int options_check_file(const char *option, const char *path, struct options_error *err);
/* The same for all options whose value parser is option_file. */
MUST_CHECK int options_check_files(const struct option_row *rows, const void *out, struct options_error *err);

/* ---- options_values.c: value parsers of several commands, or that belong to no group ---- */
OPTION_TYPE(file, const char *); /* a file to be read; options_check_files() looks at it when all options are known */
int option_file(void *field, const struct option_value *v);
OPTION_TYPE(mem, uint64_t);
int option_mem(void *field, const struct option_value *v);
OPTION_TYPE(jit_mem, uint64_t);
int option_jit_mem(void *field, const struct option_value *v);
OPTION_TYPE(store, struct run_store);
int option_store(void *field, const struct option_value *v);
OPTION_TYPE(store_size, uint64_t);
int option_store_size(void *field, const struct option_value *v);
OPTION_TYPE(numa, struct run_numa);
int option_numa(void *field, const struct option_value *v);
OPTION_TYPE(hot, struct run_hot);
int option_hot(void *field, const struct option_value *v);
OPTION_TYPE(cpu, const struct cpu_model *);
int option_cpu(void *field, const struct option_value *v);
OPTION_TYPE(letters, const char *); /* of --dump and --stage */
int option_letters(void *field, const struct option_value *v);
extern const struct option_row options_letter_rows[];
OPTION_TYPE(trace, struct run_trace);
int option_trace(void *field, const struct option_value *v);
extern const struct option_row options_trace_keys[];
OPTION_TYPE(filter, struct dump_filter);
int option_filter(void *field, const struct option_value *v);
extern const struct option_row options_filter_keys[];

/* ---- options_devices.c: the value parsers add one to struct run_options ---- */
OPTION_TYPE(disk, struct run_disk[RUN_MAX_DISKS]);
int option_disk(void *field, const struct option_value *v);
OPTION_TYPE(net, struct net_config[RUN_MAX_NETS]);
int option_net(void *field, const struct option_value *v);
OPTION_TYPE(share, struct run_share[RUN_MAX_SHARES]);
int option_share(void *field, const struct option_value *v);
OPTION_TYPE(terminal, struct run_terminal[RUN_MAX_TERMINALS]);
int option_terminal(void *field, const struct option_value *v);
OPTION_TYPE(region, struct run_region[RUN_MAX_REGIONS]);
int option_region(void *field, const struct option_value *v);
OPTION_TYPE(balloon, uint64_t);
int option_balloon(void *field, const struct option_value *v);
OPTION_TYPE(env, const char *[RUN_MAX_ENV]);
int option_env(void *field, const struct option_value *v);
/* The name of a file, which may be NULL, begins at out->folder. 0 or -ENOMEM with err filled. */
MUST_CHECK int options_place(struct run_options *out, const char **path, struct options_error *err);
extern const struct option_row options_disk_keys[], options_share_keys[], options_terminal_kinds[];
/*
 * What follows from all of them together: the kernel beside the first disk, the network card that a machine has if
 * nothing is said, the command line of the kernel.
 */
MUST_CHECK int options_complete_run(struct run_options *out, struct options_error *err);

/* ---- options_record.c ---- */
/* --record, --replay, and a debugger that goes back (goes_back): is all that the machine hears something that can be recorded? */
MUST_CHECK int options_check_record(struct run_options *o, struct options_error *err);

#endif
