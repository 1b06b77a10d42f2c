/* SPDX-License-Identifier: MIT */
#include "vmm/cli/options_internal.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/bench/bench.h"

#define MAX_ROUNDS 99

enum {
	OPT_LIST = 256,
	OPT_ONLY,
	OPT_ROUNDS,
	OPT_JSON,
	OPT_KERNEL,
	OPT_INITRD,
	OPT_PROGRAMS,
	OPT_QEMU,
	OPT_TIERS,
	OPT_TIMEOUT
};

static const struct option bench_table[] = {{"list", no_argument, NULL, OPT_LIST},
					    {"only", required_argument, NULL, OPT_ONLY},
					    {"rounds", required_argument, NULL, OPT_ROUNDS},
					    {"json", required_argument, NULL, OPT_JSON},
					    {"kernel", required_argument, NULL, OPT_KERNEL},
					    {"initrd", required_argument, NULL, OPT_INITRD},
					    {"programs", required_argument, NULL, OPT_PROGRAMS},
					    {"qemu", required_argument, NULL, OPT_QEMU},
					    {"tiers", required_argument, NULL, OPT_TIERS},
					    {"timeout", required_argument, NULL, OPT_TIMEOUT},
					    {"help", no_argument, NULL, 'h'},
					    {NULL, 0, NULL, 0}};

static int parse_only(const char *text, struct bench_options *out, struct options_error *err)
{
	memset(out->wanted, 0, sizeof(out->wanted));
	while (*text) {
		size_t len = strcspn(text, ",");
		unsigned i;

		for (i = 0; i < NUM_MICROS; i++)
			if (strlen(bench_micros[i].name) == len && memcmp(bench_micros[i].name, text, len) == 0)
				break;
		if (i == NUM_MICROS)
			return options_bad(err, "--only '%.*s': no such benchmark; see --list",
					   (int)(len < 64 ? len : 64), text);
		out->wanted[i] = true;
		text += len + (text[len] == ',');
	}
	for (unsigned i = 0; i < NUM_MICROS; i++)
		if (out->wanted[i])
			return 0;
	return options_bad(err, "--only: names no benchmark; see --list");
}

static int parse_number(const char *option, const char *text, unsigned most, unsigned *out, struct options_error *err)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || *end || end == text || text[0] == '-' || v < 1 || v > most)
		return options_bad(err, "%s '%.64s': a number from 1 to %u", option, text, most);
	*out = (unsigned)v;
	return 0;
}

static int parse_one(int c, char **argv, struct bench_options *out, struct options_error *err)
{
	switch (c) {
	case OPT_LIST:
		out->list = true;
		return 0;
	case OPT_ONLY:
		return parse_only(optarg, out, err);
	case OPT_ROUNDS:
		return parse_number("--rounds", optarg, MAX_ROUNDS, &out->rounds, err);
	case OPT_TIMEOUT:
		return parse_number("--timeout", optarg, 86400, &out->timeout_s, err);
	case OPT_JSON:
		out->json = optarg;
		return 0;
	case OPT_KERNEL:
		out->kernel = optarg;
		return 0;
	case OPT_INITRD:
		out->initrd = optarg;
		return 0;
	case OPT_PROGRAMS:
		out->programs = optarg;
		return 0;
	case OPT_QEMU:
		out->qemu = strcmp(optarg, "none") == 0 ? NULL : optarg;
		return 0;
	case OPT_TIERS:
		out->tiers = optarg;
		return options_check_tiers(optarg, err);
	case ':':
		return options_bad(err, "%.64s: needs a value", argv[optind - 1]);
	default:
		return options_bad(err, "%.64s: no such option; see 'disco help bench'", argv[optind - 1]);
	}
}

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

static int check(struct bench_options *out, bool qemu_named, struct options_error *err)
{
	char path[4096];
	int e = 0;

	if (out->list)
		return 0;
	if (!out->kernel != !out->initrd)
		return options_bad(err, "--kernel and --initrd go together");
	if (out->kernel)
		e = options_check_file("--kernel", out->kernel, err);
	if (out->kernel && !e)
		e = options_check_file("--initrd", out->initrd, err);
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
	bool qemu_named = false;
	int c, e;

	*out = (struct bench_options){.rounds = 1, .timeout_s = 300, .qemu = "qemu-system-mipsel"};
	memset(out->wanted, true, sizeof(out->wanted));
	optind = 1;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", bench_table, NULL)) != -1) {
		if (c == 'h')
			return OPTIONS_HELP;
		e = parse_one(c, argv, out, err);
		if (e)
			return e;
		qemu_named |= c == OPT_QEMU;
	}
	if (optind < argc)
		return options_bad(err, "'%.64s': takes no arguments", argv[optind]);
	return check(out, qemu_named, err);
}
