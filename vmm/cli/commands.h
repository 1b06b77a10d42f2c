/* SPDX-License-Identifier: MIT */
#ifndef VMM_COMMANDS_H
#define VMM_COMMANDS_H

/*
 * The commands behind main(): one function each.  They return the exit status of the process:
 *   0    the guest powered off, or the user quit (run); all was shown or measured
 *   1    the guest panicked, or the host failed (no memory, a file that cannot be written)
 *   2    bad usage: an option, or a file that is not what it should be
 *   else of `run -- COMMAND` only: the command's own status, or AGENT_NO_STATUS (vmm/devices/agent.h)
 * and have said why on standard error, unless it is 0 or a command's own.
 */
#include <stdbool.h>
#include <stdio.h>

struct option_row;
struct plan;
struct dump_options;
struct bench_options;

enum exit_status { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

int run_machines(struct plan *plan);             /* vmm/cli/run_session.c */
int dump_main(const struct dump_options *opt);   /* vmm/look/dump_main.c */
int bench_main(const struct bench_options *opt); /* vmm/bench/bench.c */

struct options_error;

/* vmm/cli/help.c. topic: a command's name or NULL for the overview; false: no such topic, nothing printed. */
bool help_print(const char *topic, FILE *out);
/* The text of a command: head, its options, what follows them, examples. rows, tail: or NULL. */
void help_print_command(const char *head, const struct option_row *rows, const char *tail, const char *examples,
			FILE *out);
/* "'WORD': no such command; they are ..." */
void help_no_command(const char *word, struct options_error *err);
void help_print_version(FILE *out);
void help_print_cpus(FILE *out);

#endif
