/* SPDX-License-Identifier: MIT */
#include "vmm/cli/options_internal.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The rows of a command, for getopt_long(). */

enum { MAX_ROWS = 96, FIRST_ROW = 256 };

/* getopt_long returned ':' or '?'. */
static int bad_option(int c, int argc, char **argv, struct options_error *err)
{
	const char *what = optind > 0 && optind <= argc ? argv[optind - 1] : "";

	if (c == ':')
		return options_bad(err, "%s: needs a value", what);
	if (optopt && optopt < 256)
		return options_bad(err, "-%c: no such option; see 'disco help %s'", optopt, argv[0]);
	if (optopt)
		return options_bad(err, "%s: takes no value", what);
	/* A unique prefix is accepted, so this one is unknown or matches several. */
	return options_bad(err, "%s: no such option; see 'disco help %s'", what, argv[0]);
}

/* Letters begin as what getopt_long() wants in front of them. */
static void make_table(const struct option_row *rows, struct option table[MAX_ROWS + 2], char letters[2 * MAX_ROWS])
{
	struct option *t = table;
	char *l = letters + strlen(letters);

	for (unsigned i = 0; rows[i].name || rows[i].help; i++) {
		const struct option_row *r = &rows[i];

		if (i == MAX_ROWS)
			panic("more than %d options", MAX_ROWS);
		if (!r->parse)
			continue;
		*t++ = (struct option){r->name + 2,
				       !r->argument            ? no_argument
				       : r->argument[0] == '[' ? optional_argument
							       : required_argument,
				       NULL, FIRST_ROW + (int)i};
		if (r->letter) {
			*l++ = r->letter;
			if (r->argument)
				*l++ = ':';
		}
	}
	*t++ = (struct option){"help", no_argument, NULL, 'h'};
	*t = (struct option){0};
	*l = '\0';
}

static const struct option_row *row_of(const struct option_row *rows, int c)
{
	if (c >= FIRST_ROW)
		return &rows[c - FIRST_ROW];
	while (rows->letter != c)
		rows++;
	return rows;
}

int options_parse(const struct option_row *rows, bool mixed, int argc, char **argv, void *out, int *last,
		  struct options_error *err)
{
	struct option table[MAX_ROWS + 2];
	char letters[2 * MAX_ROWS + 4] = "+:h";
	int c, r = 0;

	make_table(rows, table, letters);
	optind = 0; /* GNU: start afresh; tests parse more than once */
	opterr = 0;
	if (last)
		*last = 1;
	while (!r && (c = getopt_long(argc, argv, letters + mixed, table, NULL)) != -1) {
		struct option_value v = {.all = out, .err = err};

		if (c == '?' || c == ':')
			return bad_option(c, argc, argv, err);
		if (c == 'h')
			return OPTIONS_HELP;
		v.row = row_of(rows, c);
		v.text = optarg;
		r = v.row->parse((char *)out + v.row->offset, &v);
		if (last)
			*last = optind;
	}
	return r;
}

int options_check_file(const char *option, const char *path, struct options_error *err)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return options_bad(err, "%s %.300s: %s", option, path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return options_bad(err, "%s %.300s: is a directory", option, path);
	if (access(path, R_OK) != 0)
		return options_bad(err, "%s %.300s: %s", option, path, strerror(errno));
	return 0;
}

int options_check_files(const struct option_row *rows, const void *out, struct options_error *err)
{
	int r = 0;

	for (; !r && (rows->name || rows->help); rows++) {
		const char *const *path = (const void *)((const char *)out + rows->offset);

		if (rows->parse == option_file && *path)
			r = options_check_file(rows->name, *path, err);
	}
	return r;
}
