/* SPDX-License-Identifier: MIT */
#include "vmm/bench/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cli/commands.h"

const struct micro bench_micros[NUM_MICROS] = {
#define MICRO_bare                       MICRO_BARE
#define MICRO_linux                      MICRO_LINUX
#define MICRO(name, program, unit, text) {#name, text, MICRO_##program, MICRO_##unit},
#include "vmm/bench/micro.def"
#undef MICRO
};

static const char *const program_text[NUM_MICRO_PROGRAMS] = {
    [MICRO_BARE] = "without an operating system", [MICRO_LINUX] = "in Linux"};
static const char *const peer_text[NUM_BENCH_PEERS] = {[BENCH_DISCO] = "disco", [BENCH_QEMU] = "qemu"};

static bool wants(const struct bench_options *opt, enum micro_program program)
{
	for (unsigned i = 0; i < NUM_MICROS; i++)
		if (opt->wanted[i] && bench_micros[i].program == program)
			return program == MICRO_BARE || opt->kernel;
	return false;
}

static int complain(const struct bench_error *err)
{
	fprintf(stderr, "disco bench: %s\n", err->text);
	return STATUS_FAILED;
}

/* All machines of one round, the peers in turn. */
static int run_round(const struct bench_options *opt, unsigned round, const char *dir, struct bench_results *r)
{
	for (unsigned program = 0; program < NUM_MICRO_PROGRAMS; program++) {
		for (unsigned peer = 0; peer < NUM_BENCH_PEERS; peer++) {
			struct bench_error err = {{0}}, said;

			if (!wants(opt, program) || (peer == BENCH_QEMU && !opt->qemu))
				continue;
			fprintf(stderr, "disco bench: round %u of %u: %s, %s\n", round + 1, opt->rounds,
				peer_text[peer], program_text[program]);
			if (bench_machine_run(opt, peer, program, dir, r, &err)) {
				snprintf(said.text, sizeof(said.text), "%s %s: %.400s", peer_text[peer],
					 program_text[program], err.text);
				return complain(&said);
			}
		}
	}
	return STATUS_OK;
}

static int write_json(const struct bench_options *opt, const struct bench_results *r)
{
	FILE *f = fopen(opt->json, "w");
	struct bench_error err;
	bool bad = !f;

	if (f) {
		bench_print_json(opt, r, f);
		bad = ferror(f);
		bad |= fclose(f) != 0;
	}
	if (!bad)
		return STATUS_OK;
	snprintf(err.text, sizeof(err.text), "--json %.400s: %s", opt->json, strerror(errno));
	return complain(&err);
}

static int run_all(const struct bench_options *opt, const char *dir, struct bench_results *r)
{
	struct bench_error err = {{0}};
	int status = STATUS_OK;

	if (wants(opt, MICRO_LINUX) && bench_files_make(opt, dir, &err))
		return complain(&err);
	for (unsigned round = 0; round < opt->rounds && !status; round++)
		status = run_round(opt, round, dir, r);
	if (status)
		return status;
	bench_print_table(opt, r, stdout);
	if (opt->json)
		status = write_json(opt, r);
	return status;
}

int bench_main(const struct bench_options *opt)
{
	struct bench_results *r;
	const char *tmp = getenv("TMPDIR");
	struct bench_error err;
	char dir[4000];
	int status;

	if (opt->list) {
		bench_print_list(stdout);
		return STATUS_OK;
	}
	snprintf(dir, sizeof(dir), "%s/disco-bench-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	r = calloc(1, sizeof(*r));
	if (!r || !mkdtemp(dir)) {
		snprintf(err.text, sizeof(err.text), "%.400s: %s", dir, strerror(errno));
		free(r);
		return complain(&err);
	}
	status = run_all(opt, dir, r);
	bench_files_remove(dir);
	for (unsigned p = 0; p < NUM_BENCH_PEERS; p++)
		for (unsigned i = 0; i < NUM_MICROS; i++)
			free(r->s[p][i].value);
	free(r);
	return status;
}
