/* SPDX-License-Identifier: MIT */
#include "vmm/bench/bench.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/guest_cmd.h"
#include "vmm/cli/options.h"

#include <errno.h>
#include <string.h>

static int bad_usage(const char *command, const struct options_error *err)
{
	fprintf(stderr, "disco%s%s: %s\n", command ? " " : "", command ? command : "", err->text);
	return STATUS_USAGE;
}

/* OPTIONS_HELP or OPTIONS_CPU_LIST. A reader that goes away is the only way for output to fail here. */
static int show(int what, const char *command)
{
	if (what == OPTIONS_CPU_LIST)
		help_print_cpus(stdout);
	else
		help_print(command, stdout);
	return fflush(stdout) ? STATUS_FAILED : STATUS_OK;
}

static int run_command(int argc, char **argv)
{
	struct options_error err = {{0}};
	struct run_options opt;
	int r = options_parse_run(argc, argv, &opt, &err);
	int status = r < 0 ? bad_usage("run", &err) : r ? show(r, "run") : run_machine(&opt);

	options_free_run(&opt);
	return status;
}

static int dump_command(int argc, char **argv)
{
	struct options_error err = {{0}};
	struct dump_options opt;
	int r = options_parse_dump(argc, argv, &opt, &err);

	if (r < 0)
		return bad_usage("dump", &err);
	return r ? show(r, "dump") : dump_main(&opt);
}

static int bench_command(int argc, char **argv)
{
	struct options_error err = {{0}};
	struct bench_options opt;
	int r = options_parse_bench(argc, argv, &opt, &err);

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
		return fflush(stdout) ? STATUS_FAILED : STATUS_OK;
	else
		snprintf(err.text, sizeof(err.text), "'%s': no such command; they are run, dump, bench, guest, help",
			 argv[1]);
	return bad_usage("help", &err);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*fn)(int argc, char **argv);
	} commands[] = {{"run", run_command},  {"dump", dump_command}, {"bench", bench_command},
			{"guest", guest_main}, {"help", help_command}, {"--help", help_command},
			{"-h", help_command}};
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
		return fflush(stdout) ? STATUS_FAILED : STATUS_OK;
	}
	snprintf(err.text, sizeof(err.text), "'%.200s': no such command; see 'disco --help'", argv[1]);
	return bad_usage(NULL, &err);
}
