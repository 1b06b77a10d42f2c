/* SPDX-License-Identifier: MIT */
/* Every row of options.def and net_keys.def: has help, which `disco help` shows, and is parsed into its field. */
#define _GNU_SOURCE
#include "pv-drivers/net/net.h"
#include "vmm/bench/bench.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/options_internal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

union any_options {
	struct run_options run;
	struct dump_options dump;
	struct bench_options bench;
	struct numa_options numa;
	struct run_disk disk;
	struct dump_filter filter;
	struct net_config net;
};

static const struct {
	const char *name;
	const struct option_row *rows;
} commands[] = {{"run", options_run_rows},         {"dump", options_dump_rows},   {"bench", options_bench_rows},
		{"ps", options_ps_rows},           {"top", options_top_rows},     {"add", options_add_rows},
		{"rm", options_rm_rows},           {"audit", options_audit_rows}, {"numa", options_numa_rows},
		{"monitor", options_monitor_rows}, {"gdb", options_gdb_rows}};

/* A value that each option or key takes, and that is not what a struct of zeroes has. */
static const struct {
	const char *name, *value;
} samples[] = {
    {"--kernel", "/proc/self/exe"},
    {"--initrd", "/proc/self/exe"},
    {"--append", "a=b"},
    {"--mem", "64M"},
    {"--name", "web"},
    {"--vms", "3"},
    {"--control", "lab"},
    {"--gdb", "1234"},
    {"--vcpus", "4"},
    {"--vcpu", "3"},
    {"--seconds", "30"},
    {"--files", "/usr"},
    {"--processors", "2"},
    {"--shares", "300"},
    {"--cap", "25"},
    {"--cpu", "24Kf"},
    {"--record", "new"},
    {"--replay", "/proc/self/exe"},
    {"--disk", "/proc/self/exe,mode=ro"},
    {"--net", "user"},
    {"--share", "/,ro"},
    {"--terminal", "unix=/t"},
    {"--shared-region", "ring=1M"},
    {"--balloon", "1M"},
    {"--script", "/proc/self/exe"},
    {"--env", "A=b"},
    {"--tiers", "interp"},
    {"--jit-mem", "32M"},
    {"--hot", "5,sync"},
    {"--merge", "50"},
    {"--store", "/s"},
    {"--store-size", "8M"},
    {"--numa", "sample,nodes=2"},
    {"--numa-log", "f.numa"},
    {"--trace", "exc*,tlb_*,format=json,file=f.trace"},
    {"--svg", "f.svg"},
    {"--elf", "/proc/self/exe"},
    {"--stats", "f.json"},
    {"--dump", "gh"},
    {"--dump-filter", "pc=1-2"},
    {"--perf", "map"},
    {"--perf-files", "/proc/self"},
    {"--symbols", "/proc/self/exe"},
    {"--at", "80001000"},
    {"--words", "24020001"},
    {"--stage", "h"},
    {"--diff", "/proc/self/exe"},
    {"--tier", "2"},
    {"--mode", "user"},
    {"--only", "add"},
    {"--rounds", "3"},
    {"--json", "f.json"},
    {"--qemu", "none"},
    {"--programs", "/"},
    {"--timeout", "9"},
    {"--stops", "9"},
    {"--moves", "9"},
    {"mode", NULL}, /* the last word of the row's argument */
    {"format", NULL},
    {"werror", "stop"},
    {"rerror", "ignore"},
    {"tier", NULL},
    {"overlay", "o"},
    {"serial", "S1"},
    {"socket", "/s"},
    {"lan", "l"},
    {"gateway", "on"},
    {"mtu", "1500"},
    {"mac", "02:00:00:00:00:01"},
    {"hostfwd", "tcp::1-:2"},
    {"hostname", "h"},
    {"restrict", "on"},
    {"host-loopback", "on"},
    {"tag", "t"},
    {"unix", "/t"},
    {"pc", "1-2"},
    {"sym", "f"},
};

static const char *sample(const struct option_row *r)
{
	for (size_t i = 0; i < ARRAY_LEN(samples); i++)
		if (strcmp(samples[i].name, r->name) == 0)
			return samples[i].value ? samples[i].value : strrchr(r->argument, '|') + 1;
	cr_assert_fail("%s: a row without a sample in %s", r->name, __FILE__);
	return NULL;
}

/* Text with each run of blanks and line ends as one blank. Allocated. */
static char *flat(const char *text)
{
	char *out = malloc(strlen(text) + 1), *to = out;

	for (const char *p = text; *p; p++)
		if (*p != ' ' && *p != '\n')
			*to++ = *p;
		else if (to > out && to[-1] != ' ')
			*to++ = ' ';
	*to = '\0';
	return out;
}

static void shown(const struct option_row *r, const char *help, const char *text)
{
	char *want = NULL;

	cr_assert(r->help && *r->help, "%s: no help", r->name);
	cr_assert(asprintf(&want, "%s%s%s %s", r->name,
			   !r->argument || r->argument[0] == '[' ? ""
			   : r->name[0] == '-'                   ? " "
								 : "=",
			   r->argument ? r->argument : "", r->help) > 0);
	cr_assert_not_null(strstr(help, want), "'%s' is not in:\n%s", want, text);
	free(want);
}

Test(options_table, help_has_every_row)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		char *text = NULL, *help;
		unsigned rows = 0;
		size_t n;
		FILE *f = open_memstream(&text, &n);

		cr_assert(help_print(commands[i].name, f));
		fclose(f);
		help = flat(text);
		for (const struct option_row *r = commands[i].rows; r->name || r->help; r++, rows++) {
			if (!r->name) {
				cr_assert_not_null(strstr(text, r->help));
				continue;
			}
			cr_assert_eq(strncmp(r->name, "--", 2), 0, "%s", r->name);
			shown(r, help, text);
			for (const struct option_row *s = r->sub; s && s->name; s++)
				shown(s, help, text);
		}
		cr_assert_geq(rows, commands[i].rows == options_run_rows ? 10 : 1);
		/* What is made of rows fits a terminal. */
		for (char *line = strtok(strstr(text, "\n  -"), "\n"); strncmp(line, "Example", 7) != 0;
		     line = strtok(NULL, "\n"))
			cr_assert_leq(strlen(line), 80, "%s", line);
		free(help);
		free(text);
	}
}

/* Options that are meant to fill in one field. */
static const char *const one_field[][2] = {{"--tty", "--no-tty"}};

static bool meant(const char *a, const char *b)
{
	for (size_t i = 0; i < ARRAY_LEN(one_field); i++)
		if (!strcmp(a, one_field[i][0]) && !strcmp(b, one_field[i][1]))
			return true;
	return false;
}

Test(options_table, names_and_fields_are_there_once)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		for (const struct option_row *r = commands[i].rows; r->name || r->help; r++)
			for (const struct option_row *s = r + 1; s->name || s->help; s++) {
				cr_assert(!r->name || !s->name || strcmp(r->name, s->name) != 0, "%s", r->name);
				cr_assert(!r->letter || r->letter != s->letter, "-%c", r->letter);
				cr_assert(!r->parse || !s->parse || r->offset != s->offset || meant(r->name, s->name),
					  "%s and %s: one field", r->name, s->name);
			}
}

static bool is_zero(const void *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (((const uint8_t *)p)[i])
			return false;
	return true;
}

Test(options_table, every_option_is_parsed_into_its_field)
{
	static char argument[256];

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		for (const struct option_row *r = commands[i].rows; r->name || r->help; r++) {
			struct options_error err = {""};
			union any_options *o = calloc(1, sizeof(*o));
			char *argv[] = {(char *)"x", argument, NULL};

			if (r->parse) {
				snprintf(argument, sizeof(argument), "%s%s%s", r->name, r->argument ? "=" : "",
					 r->argument ? sample(r) : "");
				cr_assert_eq(options_parse(commands[i].rows, false, 2, argv, o, NULL, &err), 0,
					     "%s: %s", argument, err.text);
				cr_assert_not(is_zero((char *)o + r->offset, r->bytes), "disco %s %s: no effect",
					      commands[i].name, argument);
			}
			if (commands[i].rows == options_run_rows)
				options_free_run(&o->run);
			free(o);
		}
}

/* Keys are parsed into a struct of zeroes; what is zero then must have been something else before. */
static void keys_have_fields(const struct option_row *rows, size_t bytes)
{
	for (const struct option_row *r = rows; r->name; r++) {
		struct options_error err = {""};
		union any_options o;
		char part[128];
		bool zero = false;

		snprintf(part, sizeof(part), "%s%s%s", r->name, r->argument ? "=" : "", r->argument ? sample(r) : "");
		for (int fill = 0; fill < 2; fill++) {
			memset(&o, 0, sizeof(o));
			if (rows == net_config_rows)
				o.net.kind = strcmp(r->name, "gateway") && strcmp(r->name, "mtu") ? NET_USER : NET_LAN;
			if (fill && zero)
				memset((char *)&o + r->offset, 0xff, r->bytes);
			cr_assert_leq(r->offset + r->bytes, bytes);
			cr_assert_eq(option_parse_key(rows, "--x", part, &o, NULL, &err), 0, "%s: %s", part, err.text);
			if (!fill)
				zero = is_zero((char *)&o + r->offset, r->bytes);
			else
				cr_assert(!zero || is_zero((char *)&o + r->offset, r->bytes), "%s: no effect", part);
			if (rows == net_config_rows)
				net_config_free(&o.net);
			else if (rows == options_filter_keys)
				free((char *)(uintptr_t)o.filter.symbol);
		}
	}
}

Test(options_table, every_key_is_parsed_into_its_field)
{
	keys_have_fields(options_disk_keys, sizeof(struct run_disk));
	keys_have_fields(options_share_keys, sizeof(struct run_share));
	keys_have_fields(options_terminal_kinds, sizeof(struct run_terminal));
	keys_have_fields(options_filter_keys, sizeof(struct dump_filter));
	keys_have_fields(net_config_rows, sizeof(struct net_config));
}

/* A letter is the option; letters without arguments may stand together, and one with an argument takes what follows. */
Test(options_table, letters)
{
	struct fields {
		bool on;
		const char *text;
		int choice;
	};
	static const struct option_row rows[] = {
	    OPTION_GROUP("Head:"),
	    OPTION_ROW(struct fields, on, "--on", NULL, flag, "help", .letter = 'o'),
	    OPTION_ROW(struct fields, text, "--text", "STRING", text, "help", .letter = 't'),
	    OPTION_ROW(struct fields, choice, "--choice", "a|bb|c", choice, "help"),
	    OPTION_END,
	};
	static const struct {
		const char *argv[4];
		struct fields want;
		int last;
		const char *says;
	} t[] = {
	    {{"x", "-o"}, {true, NULL, 0}, 2, NULL},
	    {{"x", "-otv"}, {true, "v", 0}, 2, NULL},
	    {{"x", "-t", "-o"}, {false, "-o", 0}, 3, NULL},
	    {{"x", "-t", "", "--choice=bb"}, {false, "", 1}, 4, NULL},
	    {{"x", "a", "-o"}, {false, NULL, 0}, 1, NULL},
	    {{"x", "-t"}, {0}, 0, "-t: needs a value"},
	    {{"x", "-q"}, {0}, 0, "-q: no such option"},
	    {{"x", "--choice=b"}, {0}, 0, "--choice b: must be a, bb or c"},
	    {{"x", "--choice="}, {0}, 0, "must be a, bb or c"},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		char *argv[5] = {0};
		struct options_error err = {""};
		struct fields f = {0};
		int argc = 0, last, r;

		for (; argc < 4 && t[i].argv[argc]; argc++)
			argv[argc] = (char *)(uintptr_t)t[i].argv[argc];
		r = options_parse(rows, false, argc, argv, &f, &last, &err);
		if (t[i].says) {
			cr_assert_eq(r, -EINVAL);
			cr_assert_not_null(strstr(err.text, t[i].says), "%s", err.text);
			continue;
		}
		cr_assert_eq(r, 0, "%zu: %s", i, err.text);
		cr_assert_eq(last, t[i].last, "%zu: %d", i, last);
		cr_assert(f.on == t[i].want.on && f.choice == t[i].want.choice, "%zu", i);
		cr_assert(!f.text == !t[i].want.text && (!f.text || !strcmp(f.text, t[i].want.text)), "%zu", i);
	}
}

/* However long the value: the line still says what is wrong with it. */
Test(options_table, long_values)
{
	static char text[8192];
	char *argv[] = {(char *)"run", (char *)"--kernel", text, NULL};
	struct options_error err = {""};
	struct run_options o;

	memset(text, 'x', sizeof(text) - 1);
	cr_assert_lt(options_parse_run(3, argv, &o, &err), 0);
	cr_assert_not_null(strstr(err.text, "name too long"), "%s", err.text);
	options_free_run(&o);
	argv[1] = (char *)"--mem";
	cr_assert_lt(options_parse_run(3, argv, &o, &err), 0);
	cr_assert_not_null(strstr(err.text, "not a size"), "%s", err.text);
	options_free_run(&o);
	argv[1] = (char *)"--net";
	cr_assert_lt(options_parse_run(3, argv, &o, &err), 0);
	cr_assert_not_null(strstr(err.text, "must be user"), "%s", err.text);
	options_free_run(&o);
}
