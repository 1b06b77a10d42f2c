/* SPDX-License-Identifier: MIT */
#include "vmm/bench/bench.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/control_cmd.h"
#include "vmm/cli/guest_cmd.h"
#include "vmm/cli/numa_cmd.h"
#include "vmm/cli/options.h"
#include "vmm/cli/plan_file.h"
#include "vmm/cli/script.h"
#include "vmm/look/dump_diff.h"
#include "vmm/look/trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

static int bad_usage(const char *command, const struct options_error *err)
{
	fprintf(stderr, "disco%s%s: %s\n", command ? " " : "", command ? command : "", err->text);
	return STATUS_USAGE;
}

/* OPTIONS_HELP and the like. */
static int show(int what, const char *command)
{
	if (what == OPTIONS_CPU_LIST)
		help_print_cpus(stdout);
	else if (what == OPTIONS_TRACE_LIST)
		trace_print_help(stdout);
	else
		help_print(command, stdout);
	return STATUS_OK;
}

static int run_command(int argc, char **argv)
{
	struct options_error err = {{0}};
	struct plan plan;
	int r = plan_from_arguments(&plan, argc, argv, &err), status;

	if (!r)
		r = plan_check(&plan, NULL, &err);
	status = r < 0 ? bad_usage("run", &err) : r ? show(r, "run") : run_machines(&plan);
	plan_free(&plan);
	return status;
}

static int up_command(int argc, char **argv)
{
	struct options_error err = {{0}};
	struct plan plan;
	int r, status;

	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return show(OPTIONS_HELP, "up");
	if (argc != 2 || argv[1][0] == '-') {
		snprintf(err.text, sizeof(err.text), "%s%.100s%swant the name of one configuration file",
			 argc > 1 ? "'" : "", argc > 1 ? argv[1] : "", argc > 1 ? "': " : "");
		return bad_usage("up", &err);
	}
	r = plan_from_file(&plan, argv[1], &err);
	status = r ? bad_usage("up", &err) : run_machines(&plan);
	plan_free(&plan);
	return status;
}

static int dump_command(int argc, char **argv)
{
	struct options_error err = {{0}};
	struct dump_options opt;
	int r = options_parse_dump(argc, argv, &opt, &err);

	if (r < 0)
		return bad_usage("dump", &err);
	if (!r && opt.diff)
		return dump_diff(opt.diff, opt.diff_with, opt.json);
	return r ? show(r, "dump") : dump_main(&opt);
}

static int bench_command(int argc, char **argv)
{
	static const struct script paper = {"disco bench paper", "bench", "DISCO_BENCH_DIR", "paper", NULL};
	struct options_error err = {{0}};
	struct bench_options opt;
	int r;

	if (argc > 1 && strcmp(argv[1], "paper") == 0)
		return script_become(&paper, argc - 2, argv + 2);
	r = options_parse_bench(argc, argv, &opt, &err);

	if (r < 0)
		return bad_usage("bench", &err);
	return r ? show(r, "bench") : bench_main(&opt);
}

static int help_command(int argc, char **argv)
{
	struct options_error err = {{0}};

	if (argc > 2)
		snprintf(err.text, sizeof(err.text), "'%s': one command at a time", argv[2]);
	else if (help_print(argc > 1 ? argv[1] : NULL, stdout))
		return STATUS_OK;
	else
		help_no_command(argv[1], &err);
	return bad_usage("help", &err);
}

/*
 * Standard descriptors that are closed would be the next files that anybody opens, an image among them.  What is put there
 * instead can only be read: standard input is at its end, and a write to the others fails as one to a closed descriptor does.
 */
static int hold_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		int got = fd;

		if (fcntl(fd, F_GETFD) < 0)
			got = open("/dev/null", O_RDONLY);
		/* without /dev: what cannot be read either */
		if (got < 0)
			got = open("/", O_RDONLY | O_DIRECTORY);
		if (got != fd)
			return -EBADF;
	}
	return 0;
}

/* Lost output is never status 0. */
static int close_output(int status)
{
	bool lost = fflush(stdout) || ferror(stdout);

	if (lost && !status)
		fprintf(stderr, "disco: standard output: %s\n", strerror(errno));
	lost |= ferror(stderr) != 0;
	return lost && !status ? STATUS_FAILED : status;
}

static int dispatch(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*fn)(int argc, char **argv);
	} commands[] = {
#define COMMAND(name, fn, text) {name, fn},
#include "vmm/cli/commands.def"
	    {"--help", help_command},
	    {"-h", help_command},
	};
	struct options_error err = {{0}};

	if (argc < 2) {
		help_print(NULL, stderr);
		return STATUS_USAGE;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].fn(argc - 1, argv + 1);
	if (strcmp(argv[1], "--version") == 0) {
		help_print_version(stdout);
		return STATUS_OK;
	}
	snprintf(err.text, sizeof(err.text), "'%.200s': no such command; see 'disco --help'", argv[1]);
	return bad_usage(NULL, &err);
}

/*
 * Large blocks are mappings of their own, so that they go back to the host when they are freed, and take only what is used of them.
 * glibc takes them from its heaps once one has been freed: each machine then kept the 5 MiB of its kernel's file, and had all of its
 * rings and buffers cleared, 1 MiB of which it hardly used.
 */
static void give_memory_back(void)
{
	enum { LARGE_BYTES = 128 << 10 };

	mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
}

int main(int argc, char **argv)
{
	give_memory_back();
	if (hold_standard_descriptors()) {
		fprintf(stderr, "disco: standard input, output or error is closed, and cannot be replaced\n");
		return STATUS_FAILED;
	}
	return close_output(dispatch(argc, argv));
}
