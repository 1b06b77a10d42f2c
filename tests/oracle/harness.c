/* SPDX-License-Identifier: MIT */
#include "tests/oracle/harness.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STALL_SECONDS 120 /* one program takes milliseconds; a loaded machine with sanitizers much longer */

/* What the worker tells the parent, in shared memory. */
struct progress {
	uint32_t index; /* program in progress */
	int failed;     /* enum executor that differs, NUM_EXECUTORS the reference; -1 none */
	struct oracle_stats stats;
};

uint64_t oracle_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static void generate(const struct oracle_test *t, struct oracle_program *p, uint64_t seed)
{
	struct generate_options o = {
	    .setup = &t->setup, .beyond_unicorn = t->beyond_unicorn, .n_cases = t->n_cases, .max_insns = t->max_insns};

	t->generate(p, &o, seed);
}

static void work(const struct oracle_test *t, uint64_t seed, uint32_t count, struct progress *out)
{
	struct oracle_program *p = calloc(1, sizeof(*p));
	struct rig *r = rig_new(t, t->executors);

	if (!p || !r) {
		fprintf(stderr, "%s: the executors cannot be opened\n", t->name);
		_exit(2);
	}
	for (uint32_t i = 0; i < count; i++) {
		__atomic_store_n(&out->index, i, __ATOMIC_RELEASE);
		generate(t, p, seed + i);
		out->failed = rig_check(r, p, NULL, &out->stats);
		if (out->failed >= 0)
			_exit(1);
	}
	rig_free(r);
	free(p);
	_exit(0);
}

/* The worker's status; it is killed if it makes no progress. */
static int wait_for(pid_t worker, const struct progress *at)
{
	const struct timespec tick = {0, 5000000};
	uint32_t seen = 0, ticks = 0;
	int status;

	while (waitpid(worker, &status, WNOHANG) == 0) {
		uint32_t index = __atomic_load_n(&at->index, __ATOMIC_ACQUIRE);

		ticks = index == seen ? ticks + 1 : 0;
		seen = index;
		if (ticks > STALL_SECONDS * 200)
			kill(worker, SIGKILL);
		nanosleep(&tick, NULL);
	}
	return status;
}

static void print_state(const struct oracle_program *p, uint32_t c)
{
	const struct oracle_state *s = &p->in[c];

	fprintf(stderr, "case %u starts with", c);
	for (unsigned r = 1; r < 32; r++)
		if (s->gpr[r])
			fprintf(stderr, " $%u=%08x", r, s->gpr[r]);
	for (unsigned f = 0; f < 32; f++)
		if (s->fpr[f])
			fprintf(stderr, " f%u=%016" PRIx64, f, s->fpr[f]);
	fprintf(stderr, " HI=%08x LO=%08x FCSR=%08x, else 0\n", s->hi, s->lo, s->fcsr);
}

static void report_setup(const struct oracle_setup *s)
{
	fprintf(stderr, "%s-endian, %s, FR=%d, CU1=%d%s\n", s->big_endian ? "big" : "little",
		s->mapped ? "kuseg in user mode" : "KSEG0 in kernel mode", s->fr, s->cu1, s->icount ? ", icount" : "");
}

static void print_again(const struct oracle_test *t, uint64_t seed, uint32_t count)
{
	char program[4096];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	program[n > 0 ? n : 0] = 0;
	fprintf(stderr, "again: DISCO_SEED=%" PRIu64 " DISCO_COUNT=%u %s --filter %s\n", seed, count, program, t->name);
}

static void report(const struct oracle_test *t, uint64_t seed, const struct progress *at, int status)
{
	unsigned executors = at->failed >= 0 && at->failed < NUM_EXECUTORS ? 1u << at->failed : t->executors;
	struct oracle_program *p = calloc(1, sizeof(*p));

	if (!t->unicorn)
		executors |= t->executors & -t->executors; /* the reference */
	fprintf(stderr, "%s: program %u fails%s\n", t->name, at->index,
		WIFSIGNALED(status)           ? " with a signal"
		: at->failed == NUM_EXECUTORS ? " in the reference"
					      : "");
	print_again(t, seed + at->index, 1);
	if (!p)
		return;
	generate(t, p, seed + at->index);
	if (oracle_fails(t, executors, p, NULL))
		oracle_reduce(t, executors, p);
	else
		print_again(t, seed, at->index + 1); /* only after the programs before it */
	report_setup(&t->setup);
	program_print(stderr, p, &t->setup);
	for (uint32_t c = 0; c < p->n_cases && c < 4; c++)
		print_state(p, c);
	oracle_fails(t, executors, p, stderr);
	free(p);
}

static void add(struct oracle_stats *sum, const struct oracle_stats *s)
{
	sum->programs += s->programs;
	sum->blocks += s->blocks;
	sum->insns += s->insns;
	sum->regions += s->regions;
	for (unsigned i = 0; i < ARRAY_LEN(sum->exceptions); i++)
		sum->exceptions[i] += s->exceptions[i];
	for (unsigned i = 0; i < NUM_INSNS; i++)
		sum->rows[i] += s->rows[i];
}

static void summary(const struct oracle_test *t, uint64_t seed, const struct oracle_stats *s)
{
	uint64_t exceptions = 0;

	for (unsigned i = 0; i < ARRAY_LEN(s->exceptions); i++)
		exceptions += s->exceptions[i];
	fprintf(stderr, "%s: seed %" PRIu64 ", %" PRIu64 " programs, %" PRIu64 " blocks executed, ", t->name, seed,
		s->programs, s->blocks);
	if (t->unicorn)
		fprintf(stderr, "%" PRIu64 " instructions of theirs, ", s->insns);
	if (s->regions)
		fprintf(stderr, "%" PRIu64 " regions compiled, ", s->regions);
	fprintf(stderr, "%" PRIu64 " exceptions; %s:", exceptions, t->unicorn ? "Unicorn and" : "among");
	for (unsigned e = 0; e < NUM_EXECUTORS; e++)
		if (t->executors >> e & 1)
			fprintf(stderr, " %s%s", executor_name[e], t->executors >> e >> 1 ? "," : "\n");
}

bool oracle_test_run(const struct oracle_test *t, struct oracle_stats *stats)
{
	uint64_t seed = oracle_environment("DISCO_SEED", t->seed);
	uint32_t count = (uint32_t)oracle_environment("DISCO_COUNT", (t->count + TESTS_SLOWER - 1) / TESTS_SLOWER);
	struct progress *at = mmap(NULL, sizeof(*at), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t worker;
	int status;

	if (at == MAP_FAILED)
		return false;
	at->failed = -1;
	fflush(NULL);
	worker = fork();
	if (worker < 0)
		return false;
	if (worker == 0)
		work(t, seed, count, at);
	status = wait_for(worker, at);
	if (status) {
		report(t, seed, at, status);
	} else {
		summary(t, seed, &at->stats);
		add(stats, &at->stats);
	}
	munmap(at, sizeof(*at));
	return status == 0;
}
