/* SPDX-License-Identifier: MIT */
#include "vmm/cli/numa_cmd.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/commands.h"
#include "vmm/cli/options_internal.h"
#include "vmm/look/numa_log.h"

/* `disco numa`: what a log of --numa-log says. */

const struct option_row options_numa_rows[] = {
#define NUMA_OPTION(...) OPTION_ROW(struct numa_options, __VA_ARGS__),
#include "vmm/cli/options.def"
    OPTION_END};

static const char head[] = "Usage: disco numa FILE [--json] [--svg FILE]\n"
			   "What 'disco run --numa-log FILE' has written: which pages were moved and copied, how\n"
			   "often, and why; memory and misses by node; the hottest pages.\n";

static const char examples[] =
    "Examples:\n"
    "  disco run --numa sample,nodes=4 --numa-log run.numa --vms 4 --disk bench.img,mode=cow\n"
    "  disco numa run.numa --svg run.svg\n";

void numa_help(FILE *out) { help_print_command(head, options_numa_rows, NULL, examples, out); }

int options_parse_numa(int argc, char **argv, struct numa_options *out, struct options_error *err)
{
	int r;

	*out = (struct numa_options){0};
	r = options_parse(options_numa_rows, true, argc, argv, out, NULL, err);
	if (r)
		return r;
	if (argc - optind != 1)
		return options_bad(err, "the name of one log is wanted; 'disco run --numa-log FILE' writes it");
	out->file = argv[optind];
	return 0;
}

static int failed(const char *what, int err)
{
	fprintf(stderr, "disco numa: %s: %s\n", what, strerror(-err));
	return STATUS_FAILED;
}

static int draw(const struct numa_sum *s, const struct numa_options *opt)
{
	FILE *out = fopen(opt->svg, "we");
	bool lost;

	if (!out)
		return failed(opt->svg, -errno);
	numa_sum_draw(s, opt->file, out);
	errno = EIO;
	lost = ferror(out) != 0;
	lost |= fclose(out) != 0;
	return lost ? failed(opt->svg, -errno) : STATUS_OK;
}

static int show(const struct numa_log *l, const struct numa_options *opt)
{
	int status = STATUS_OK, err;
	struct numa_sum s;

	err = numa_log_sum(&s, l);
	if (err)
		return failed(opt->file, err);
	if (opt->json)
		numa_sum_print_json(&s, stdout);
	else
		numa_sum_print(&s, opt->file, stdout);
	if (opt->svg)
		status = draw(&s, opt);
	numa_sum_free(&s);
	return status;
}

int numa_command(int argc, char **argv)
{
	struct options_error err = {{0}};
	struct numa_options opt;
	struct numa_log l;
	int status, r = options_parse_numa(argc, argv, &opt, &err);

	if (r == OPTIONS_HELP) {
		numa_help(stdout);
		return STATUS_OK;
	}
	if (!r)
		r = numa_log_read(&l, opt.file, &err);
	else
		l = (struct numa_log){0};
	if (r)
		fprintf(stderr, "disco numa: %s\n", err.text);
	status = r ? STATUS_USAGE : show(&l, &opt);
	numa_log_free(&l);
	return status;
}
