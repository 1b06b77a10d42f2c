/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "numa/config.h"

static int parse(struct numa_config *cfg, const char *text, struct options_error *err)
{
	numa_config_default(cfg);
	memset(err, 0, sizeof(*err));
	return numa_config_parse(cfg, numa_config_rows, "--numa", text, err);
}

/* How many parameters differ. */
static unsigned differences(const struct numa_config *a, const struct numa_config *b)
{
	unsigned n = 0;

	for (unsigned i = 0; numa_config_rows[i].name; i++) {
		char text[2][64];

		numa_config_text(a, i, text[0], sizeof(text[0]));
		numa_config_text(b, i, text[1], sizeof(text[1]));
		n += strcmp(text[0], text[1]) != 0;
	}
	return n;
}

Test(config, the_defaults_are_the_papers_machine)
{
	struct numa_config cfg;
	struct options_error err;

	numa_config_default(&cfg);
	cr_assert_eq(numa_config_check(&cfg, "--numa", &err), 0, "%s", err.text);
	cr_expect_eq(cfg.nodes, 8);
	cr_expect_eq(cfg.l1, 32 << 10);
	cr_expect_eq(cfg.l2, 1 << 20);
	cr_expect_eq(cfg.line, 128);
	cr_expect_eq(numa_cycles(&cfg, cfg.local_ns), 120);
	cr_expect_eq(numa_cycles(&cfg, cfg.remote_ns), 360);
	cr_expect_eq(cfg.trigger, 128);
	cr_expect_eq(cfg.interval_us, 100000);
}

/* What is printed is what is parsed: every row, with its default and with another value. */
Test(config, every_parameter_is_settable_and_printed)
{
	unsigned n = 0;

	for (const struct option_row *row = numa_config_rows; row->name; row++, n++) {
		struct numa_config cfg, again;
		struct options_error err;
		char text[64], other[64];

		numa_config_default(&cfg);
		numa_config_text(&cfg, n, text, sizeof(text));
		cr_assert_eq(strncmp(text, row->name, strlen(row->name)), 0, "%s", text);
		cr_assert_eq(parse(&again, text, &err), 0, "%s: %s", text, err.text);
		cr_assert_eq(differences(&again, &cfg), 0, "%s", text);
		cr_assert_gt(strlen(numa_config_source(n)), 2, "%s", row->name);
		if (!strcmp(row->name, "place"))
			strcpy(other, "place=round-robin");
		else if (strstr(row->argument, "off|on"))
			snprintf(other, sizeof(other), "%s=off", row->name);
		else if (!strcmp(row->argument, "SIZE"))
			snprintf(other, sizeof(other), "%s=%s", row->name,
				 !strcmp(row->name, "memory") ? "513M" : "512K");
		else
			snprintf(other, sizeof(other), "%s=%u", row->name, !strcmp(row->name, "turn-ns") ? 500 : 2);
		if (!strcmp(other, "line=2"))
			strcpy(other, "line=64");
		if (!strcmp(other, "trigger=2"))
			strcpy(other, "trigger=200");
		if (!strcmp(row->name, "l1-ways") || !strcmp(row->name, "l2-ways"))
			snprintf(other, sizeof(other), "%s=4", row->name);
		cr_assert_eq(parse(&again, other, &err), 0, "%s: %s", other, err.text);
		numa_config_text(&again, n, text, sizeof(text));
		cr_assert_str_eq(text, other);
		cr_assert_eq(differences(&again, &cfg), 1, "%s", other);
	}
	cr_assert_gt(n, 30);
	cr_assert_leq(n, 64, "option_parse_keys() remembers 64 rows");
}

Test(config, several_keys)
{
	struct numa_config cfg;
	struct options_error err;

	cr_assert_eq(parse(&cfg, "nodes=16,l2=256K,cpus-per-node=2,place=node,place-node=15", &err), 0, "%s", err.text);
	cr_expect_eq(numa_cpus(&cfg), 32);
	cr_expect_eq(cfg.l2, 256 << 10);
	cr_expect_eq(cfg.place, NUMA_ONE_NODE);
}

Test(config, bad_parameters_are_one_line)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
	    {"nodes=0", "--numa: nodes=0: too few; from 1 to 64"},
	    {"nodes=65", "--numa: nodes=65: too many; from 1 to 64"},
	    {"nodes=many", "--numa: nodes=many: not a number; from 1 to 64"},
	    {"nodes=", "--numa: nodes=: not a number; from 1 to 64"},
	    {"nodes=8x", "--numa: nodes=8x: not a number; from 1 to 64"},
	    {"nodes=99999999999999999999", "--numa: nodes=99999999999999999999: too many; from 1 to 64"},
	    {"local-ns=-300", "--numa: local-ns=-300: negative; from 0 to 1000000 ns"},
	    {"remote-ns=-1", "--numa: remote-ns=-1: negative; from 0 to 1000000 ns"},
	    {"memory=-1M", "--numa: memory=-1M: negative; from 4K to 1048576M"},
	    {"memory=lots", "--numa: memory=lots: not a size; from 4K to 1048576M"},
	    {"memory=2K", "--numa: memory=2K: too little; from 4K to 1048576M"},
	    {"memory=4096G", "--numa: memory=4096G: too much; from 4K to 1048576M"},
	    {"memory=16K", "--numa: memory: must be whole pages of 4096 bytes, and one for each of 8 nodes"},
	    {"nodes=64,cpus-per-node=2", "--numa: 64 nodes of 2 processors: at most 64 processors in all"},
	    {"line=100", "--numa: line=100: must be a power of two"},
	    {"l1=33K", "--numa: l1: 33792 bytes are no power of two of sets of 2 lines of 128 bytes"},
	    {"l2-ways=3", "--numa: l2: 1048576 bytes are no power of two of sets of 3 lines of 128 bytes"},
	    {"l2=16K", "--numa: l2 must hold what l1 does: it is smaller"},
	    {"place=near", "--numa: place=near: must be first-touch, round-robin or node"},
	    {"place=node,place-node=8", "--numa: place-node=8: there are 8 nodes, from 0"},
	    {"migrate=yes", "--numa: migrate=yes: must be off or on"},
	    {"turn-ns=100000", "--numa: turn-ns=100000: at most 81920 at 400 MHz"},
	    {"sharing=200", "--numa: sharing=200: more than trigger=128"},
	    {"nodes=2,nodes=4", "--numa: nodes=4: nodes= is there already"},
	    {"knots=3", "--numa: 'knots=3': must be nodes="},
	    {"nodes", "--numa: 'nodes': must be nodes="},
	    {"", "--numa: '': is empty; must be nodes="},
	    {"nodes=2,", "--numa: '': is empty; must be nodes="},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct numa_config cfg;
		struct options_error err;

		cr_expect_eq(parse(&cfg, bad[i].text, &err), -EINVAL, "%s", bad[i].text);
		cr_expect_eq(strncmp(err.text, bad[i].says, strlen(bad[i].says)), 0, "%s: %s", bad[i].text, err.text);
		cr_expect_null(strchr(err.text, '\n'), "%s", bad[i].text);
	}
}

Test(config, memory_smaller_than_the_guests)
{
	struct numa_config cfg;
	struct options_error err;

	numa_config_default(&cfg);
	cr_assert_eq(numa_config_check_guests(&cfg, "--numa", 256 << 20, &err), 0);
	cr_assert_eq(numa_config_check_guests(&cfg, "--numa", 512 << 20, &err), -EINVAL);
	cr_assert_str_eq(err.text, "--numa: memory=256M is less than the guests' 512M");
}

/* What a real run has. */
Test(config, the_keys_of_a_real_run)
{
	struct numa_config cfg;
	struct options_error err;
	unsigned n = 0;

	numa_config_default(&cfg);
	cr_assert_eq(numa_config_parse(&cfg, numa_sample_rows, "--numa", "nodes=2,moves=3,migrate=off", &err), 0, "%s",
		     err.text);
	cr_expect_eq(cfg.nodes, 2);
	cr_expect_eq(cfg.moves, 3);
	cr_expect_eq(cfg.migrate, 0);
	cr_assert_eq(numa_config_parse(&cfg, numa_sample_rows, "--numa", "nodes=0", &err), -EINVAL);
	cr_expect_str_eq(err.text, "--numa: nodes=0: too few; from 1 to 64");
	cr_assert_eq(numa_config_parse(&cfg, numa_sample_rows, "--numa", "interval-us=0", &err), -EINVAL);
	cr_expect_str_eq(err.text, "--numa: interval-us=0: too few; from 1 to 100000000 us");
	cr_assert_eq(numa_config_parse(&cfg, numa_sample_rows, "--numa", "l1=32K", &err), -EINVAL);
	cr_expect_eq(strncmp(err.text, "--numa: 'l1=32K': must be nodes=, ", 34), 0, "%s", err.text);
	while (numa_sample_rows[n].name)
		n++;
	cr_expect_eq(n, 8);
}
