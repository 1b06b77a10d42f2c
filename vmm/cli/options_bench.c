/* SPDX-License-Identifier: MIT */
#include "vmm/cli/options_internal.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/bench/bench.h"

#define QEMU_DEFAULT "qemu-system-mipsel"

OPTION_TYPE(only, bool[NUM_MICROS]);
static int option_only(void *field, const struct option_value *v)
{
	const char *text = v->text;
	bool *wanted = field;

	memset(wanted, 0, NUM_MICROS * sizeof(*wanted));
	if (!*text)
		return option_bad(v, "names no benchmark; see --list");
	while (*text) {
		size_t len = strcspn(text, ",");
		unsigned i;

		for (i = 0; i < NUM_MICROS; i++)
			if (strlen(bench_micros[i].name) == len && memcmp(bench_micros[i].name, text, len) == 0)
				break;
		if (i == NUM_MICROS)
			return options_bad(v->err, "--only '%.*s': no such benchmark; see --list",
					   (int)(len < 64 ? len : 64), text);
		wanted[i] = true;
		text += len + (text[len] == ',');
	}
	return 0;
}

OPTION_TYPE(rounds, unsigned);
static int option_rounds(void *field, const struct option_value *v) { return option_number(v, 1, 99, field); }

OPTION_TYPE(timeout, unsigned);
static int option_timeout(void *field, const struct option_value *v) { return option_number(v, 1, 86400, field); }

const struct option_row options_bench_rows[] = {
#define BENCH_OPTION(...) OPTION_ROW(struct bench_options, __VA_ARGS__),
#include "vmm/cli/options.def"
    OPTION_END};

/* QEMU is a peer if it is there; one that was asked for by name must be. */
static bool found(const char *program)
{
	const char *path = getenv("PATH");
	char file[4096];

	if (strchr(program, '/'))
		return access(program, X_OK) == 0;
	while (path && *path) {
		size_t len = strcspn(path, ":");

		snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, program);
		if (access(file, X_OK) == 0)
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

static int check(struct bench_options *out, struct options_error *err)
{
	bool qemu_named = out->qemu;
	char path[4096];
	int e;

	if (!qemu_named)
		out->qemu = QEMU_DEFAULT;
	else if (strcmp(out->qemu, "none") == 0)
		out->qemu = NULL;
	if (out->list)
		return 0;
	if (!out->kernel != !out->initrd)
		return options_bad(err, "--kernel and --initrd go together");
	e = options_check_files(options_bench_rows, out, err);
	if (e)
		return e;
	bench_program_path(out, MICRO_BARE, path, sizeof(path));
	if (access(path, R_OK))
		return options_bad(err, "%.300s: %s; 'cmake --build DIR --target bench_programs' makes it", path,
				   strerror(errno));
	if (out->qemu && !found(out->qemu)) {
		if (qemu_named)
			return options_bad(err, "--qemu %.300s: no such program", out->qemu);
		out->qemu = NULL;
	}
	return 0;
}

int options_parse_bench(int argc, char **argv, struct bench_options *out, struct options_error *err)
{
	int r;

	*out = (struct bench_options){.rounds = 1, .timeout_s = 300};
	memset(out->wanted, true, sizeof(out->wanted));
	r = options_parse(options_bench_rows, true, argc, argv, out, NULL, err);
	if (!r && optind < argc)
		return options_bad(err, "'%.64s': not an option; see 'disco help bench'", argv[optind]);
	return r ? r : check(out, err);
}
