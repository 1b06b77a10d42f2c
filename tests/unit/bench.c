/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "vmm/bench/bench.h"
#include "vmm/cli/options.h"

static bool near(double a, double b) { return a > b * 0.9999 && a < b * 1.0001; }

Test(bench, lines_of_a_guest)
{
	struct bench_samples s[NUM_MICROS] = {0};
	double ns_per_tick = 1;

	cr_assert_not(bench_line("micro syscall 1000 1 250000", &ns_per_tick, s), "nanoseconds, until a rate is told");
	cr_assert(s[MICRO_syscall].n == 1 && near(s[MICRO_syscall].value[0], 250));
	/* 4 million ticks while the i8254 counts 1193182 times: a second, so 250 ns each */
	cr_assert_not(bench_line("micro_rate 4000000 1193182", &ns_per_tick, s));
	cr_assert(near(ns_per_tick, 250));
	cr_assert_not(bench_line("micro add 1000 8 16", &ns_per_tick, s));
	cr_assert(near(s[MICRO_add].value[0], 0.5));
	cr_assert_not(bench_line("micro stream_copy 4 1048576 8", &ns_per_tick, s));
	cr_assert(near(s[MICRO_stream_copy].value[0], 4 * 1048576 / 2000.0 * 1000), "bytes a nanosecond, times 1000");
	cr_assert(bench_line("micro end", &ns_per_tick, s));
	for (unsigned i = 0; i < NUM_MICROS; i++)
		free(s[i].value);
}

Test(bench, lines_that_are_none)
{
	static const char *const lines[] = {"",
					    "micro",
					    "micro add",
					    "micro add 1 1",
					    "micro add 0 1 5",
					    "micro add 1 1 0",
					    "micro nothing 1 1 1",
					    "micro_rate 0 5",
					    "micro_rate 5 0",
					    "[    0.0] micro add 1 1 1",
					    "micro endless",
					    "micro thisnameislongerthananybenchmarksnamecanbe 1 1 1"};
	struct bench_samples s[NUM_MICROS] = {0};
	double ns_per_tick = 1;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		cr_assert_not(bench_line(lines[i], &ns_per_tick, s), "%s", lines[i]);
	cr_assert_eq(ns_per_tick, 1);
	for (unsigned i = 0; i < NUM_MICROS; i++)
		cr_assert_eq(s[i].n, 0);
}

Test(bench, summaries)
{
	double odd[] = {5, 1, 9}, even[] = {4, 1, 3, 2};
	struct bench_summary r = bench_summarize(&(struct bench_samples){.n = 3, .value = odd});

	cr_assert(r.n == 3 && r.median == 5 && r.min == 1 && r.max == 9);
	r = bench_summarize(&(struct bench_samples){.n = 4, .value = even});
	cr_assert(r.median == 2.5 && r.min == 1 && r.max == 4);
	cr_assert_eq(bench_summarize(&(struct bench_samples){0}).n, 0);
}

static int parse(struct bench_options *o, struct options_error *err, const char *a, const char *b)
{
	char *argv[] = {(char *)(uintptr_t) "bench", (char *)(uintptr_t) "--list", (char *)(uintptr_t)a,
			(char *)(uintptr_t)b, NULL};

	return options_parse_bench(a ? b ? 4 : 3 : 2, argv, o, err);
}

Test(bench, options)
{
	static const char *const wrong[][2] = {{"--only", ""},      {"--only", "add,none"}, {"--only", "ad"},
					       {"--rounds", "0"},   {"--rounds", "100"},    {"--rounds", "2x"},
					       {"--rounds", "-1"},  {"--timeout", "0"},     {"--tiers", "3"},
					       {"--nothing", NULL}, {"--kernel", NULL},     {"word", NULL}};
	struct bench_options o;
	struct options_error err;

	cr_assert_eq(parse(&o, &err, "--only", "load_hit,add"), 0);
	for (unsigned i = 0; i < NUM_MICROS; i++)
		cr_assert_eq(o.wanted[i], i == MICRO_add || i == MICRO_load_hit);
	cr_assert_eq(parse(&o, &err, "--rounds", "99"), 0);
	cr_assert_eq(o.rounds, 99);
	cr_assert_eq(parse(&o, &err, "--qemu", "none"), 0);
	cr_assert_null(o.qemu);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		err.text[0] = '\0';
		cr_assert_eq(parse(&o, &err, wrong[i][0], wrong[i][1]), -EINVAL, "%s %s", wrong[i][0], wrong[i][1]);
		cr_assert_neq(err.text[0], '\0');
	}
	cr_assert_eq(parse(&o, &err, "--help", NULL), OPTIONS_HELP);
}
