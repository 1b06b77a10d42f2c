/* SPDX-License-Identifier: MIT */
#ifndef BASE_OPTION_H
#define BASE_OPTION_H

/*
 * What a user may say is a row of a table: an option of a command ("--mem SIZE"), or a key inside an option's value
 * ("mode=cow" of "--disk FILE,mode=cow").  The row is all that there is to know: parsing and help follow from it.
 *
 * Nothing here prints or ends the process.  Any thread.
 */
#include <stddef.h>

#include "base/panic.h"
#include "base/types.h"

/* One line for the user, without "disco: ": names the option or file and what is wrong with it. */
struct options_error {
	char text[512];
};

struct option_value;

/*
 * A value parser: fill in *field from v->text.  Later values of one option come after earlier ones.
 * Returns  0, or -EINVAL with v->err filled, or what the command's parser is to return then (positive).
 */
typedef int option_parse(void *field, const struct option_value *v);

struct option_row {
	const char *name;             /* "--mem", or a key: "mode"; NULL: help heads a group of rows */
	const char *argument;         /* as help and manual show it; NULL: none; "[=FILE]": one may be there */
	const char *help;             /* running text; NULL with name NULL: the table's end */
	option_parse *parse;          /* NULL: what is no option, and only in the help */
	size_t offset, bytes;         /* of the field in the struct that the table is about */
	const struct option_row *sub; /* keys of its value, or what else the help lists below it; or NULL */
	char letter;                  /* "-t" is the same; or 0 */
	bool many;                    /* each value adds one */
	bool process;                 /* of the whole process, not of one of its machines */
};

/* What a parser gets. */
struct option_value {
	const struct option_row *row;
	const char *text;  /* NULL: none was given */
	const char *where; /* of a key: the option, for messages; of an option: NULL */
	void *all;         /* the struct that the field is in */
	struct options_error *err;
};

/* The type of the fields that a parser fills in: a row with a field of another type does not compile. */
#define OPTION_TYPE(parser, ...) typedef __typeof__(__VA_ARGS__) option_##parser##_t
#define OPTION_FITS(type, field, parser)                                                                               \
	__builtin_types_compatible_p(__typeof__(((type *)0)->field), option_##parser##_t)
#define OPTION_ROW(type, field_, name_, argument_, parser, help_, ...)                                                 \
	{                                                                                                              \
		.name = name_, .argument = argument_, .help = help_, .parse = option_##parser,                         \
		.offset = offsetof(type, field_),                                                                      \
		.bytes = sizeof(((type *)0)->field_) + 0 * sizeof(char[OPTION_FITS(type, field_, parser) ? 1 : -1]),   \
		__VA_ARGS__                                                                                            \
	}
#define OPTION_GROUP(head)                                                                                             \
	{                                                                                                              \
		.help = head                                                                                           \
	}
#define OPTION_END                                                                                                     \
	{                                                                                                              \
		0                                                                                                      \
	}

/* ---- parsers that many rows have ---- */
OPTION_TYPE(flag, bool); /* without an argument: true */
int option_flag(void *field, const struct option_value *v);
OPTION_TYPE(text, const char *); /* any; the field points to it */
int option_text(void *field, const struct option_value *v);
OPTION_TYPE(name, const char *); /* as text, and not empty */
int option_name(void *field, const struct option_value *v);
OPTION_TYPE(choice, int); /* one of the words of the row's argument, "ro|rw": which */
int option_choice(void *field, const struct option_value *v);
OPTION_TYPE(word, const char *); /* the same: the word itself */
int option_word(void *field, const struct option_value *v);

/* ---- for parsers ---- */
/* Fill v->err with "OPTION VALUE: " and the rest, and return -EINVAL. */
int option_bad(const struct option_value *v, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The same without a value to blame. */
int options_bad(struct options_error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A decimal number from least to most, of digits only. */
MUST_CHECK int option_number(const struct option_value *v, unsigned least, unsigned most, unsigned *out);

/*
 * A size: decimal digits and an optional unit K, M or G (powers of 1024, either case); M without one, as in QEMU.
 * Returns 0, -EINVAL (not a size) or -ERANGE (does not fit in 64 bits).
 */
MUST_CHECK int option_size(const char *text, uint64_t *bytes);

/*
 * The next part of a comma-separated list, cut off in place; ",," is one comma of the part, as in QEMU.
 * *rest: what is left; NULL after the last.  Returns NULL if *rest was.
 */
char *option_next_part(char **rest);
/*
 * One part of such a list, "KEY" or "KEY=VALUE", by the row of that key.  all: the struct that the rows are about.
 * seen: bits of the rows that were there, if each may come once only; else NULL.
 */
MUST_CHECK int option_parse_key(const struct option_row *rows, const char *where, const char *part, void *all,
				uint64_t *seen, struct options_error *err);
/* All parts that are left. */
MUST_CHECK int option_parse_keys(const struct option_row *rows, const char *where, char *rest, void *all, bool once,
				 struct options_error *err);

#endif
