/* SPDX-License-Identifier: MIT */
#include "base/option.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a value in a message: what is wrong comes behind it, and must fit. */
#define SHOWN_BYTES "300"

int options_bad(struct options_error *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int option_bad(const struct option_value *v, const char *fmt, ...)
{
	bool key = v->where, equals = key || (v->row->argument && v->row->argument[0] == '[');
	va_list ap;
	int n;

	n = snprintf(v->err->text, sizeof(v->err->text), "%.100s%s%s%s%." SHOWN_BYTES "s: ", key ? v->where : "",
		     key ? ": " : "", v->row->name,
		     !v->text ? ""
		     : equals ? "="
			      : " ",
		     v->text ? v->text : "");
	va_start(ap, fmt);
	vsnprintf(v->err->text + n, sizeof(v->err->text) - (size_t)n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int option_flag(void *field, const struct option_value *v)
{
	*(bool *)field = true;
	return 0;
}

int option_text(void *field, const struct option_value *v)
{
	*(const char **)field = v->text;
	return 0;
}

int option_name(void *field, const struct option_value *v)
{
	*(const char **)field = v->text;
	return *v->text ? 0 : option_bad(v, "the name is empty");
}

/* "must be ro, rw or cow", from "ro|rw|cow". */
static int bad_choice(const struct option_value *v)
{
	char list[128];
	size_t n = 0;

	for (const char *p = v->row->argument; *p && n < sizeof(list) - 8;) {
		size_t len = strcspn(p, "|");
		const char *end = p + len, *sep = !*end ? "" : strchr(end + 1, '|') ? ", " : " or ";

		n += (size_t)snprintf(list + n, sizeof(list) - n, "%.*s%s", (int)len, p, sep);
		p = end + (*end == '|');
	}
	return option_bad(v, "must be %s", list);
}

int option_choice(void *field, const struct option_value *v)
{
	int i = 0;

	for (const char *p = v->row->argument;; i++) {
		size_t len = strcspn(p, "|");

		if (strlen(v->text) == len && memcmp(v->text, p, len) == 0)
			break;
		if (!p[len])
			return bad_choice(v);
		p += len + 1;
	}
	*(int *)field = i;
	return 0;
}

int option_word(void *field, const struct option_value *v)
{
	int i;

	*(const char **)field = v->text;
	return option_choice(&i, v);
}

int option_number(const struct option_value *v, unsigned least, unsigned most, unsigned *out)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(v->text, &end, 10);
	if (*v->text < '0' || *v->text > '9' || *end)
		return option_bad(v, "not a number; from %u to %u", least, most);
	if (errno || n < least || n > most)
		return option_bad(v, "must be from %u to %u", least, most);
	*out = (unsigned)n;
	return 0;
}

int option_size(const char *text, uint64_t *bytes)
{
	unsigned shift = 20;
	uint64_t n;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	if (*end) {
		switch (toupper((unsigned char)*end)) {
		case 'K':
			shift = 10;
			break;
		case 'M':
			break;
		case 'G':
			shift = 30;
			break;
		default:
			return -EINVAL;
		}
		if (end[1])
			return -EINVAL;
	}
	if (n > UINT64_MAX >> shift)
		return -ERANGE;
	*bytes = n << shift;
	return 0;
}

char *option_next_part(char **rest)
{
	char *part = *rest, *from = part, *to = part;

	if (!from)
		return NULL;
	while (*from && (*from != ',' || from[1] == ',')) {
		from += *from == ',';
		*to++ = *from++;
	}
	*rest = *from ? from + 1 : NULL;
	*to = '\0';
	return part;
}

/* "'color=red': must be mode=, serial= or ro" */
static int bad_key(const struct option_row *rows, const char *where, const char *part, struct options_error *err)
{
	char list[200];
	size_t n = 0;

	list[0] = '\0';
	for (const struct option_row *r = rows; r->name && n < sizeof(list) - 32; r++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%.24s%s",
				      r == rows   ? ""
				      : r[1].name ? ", "
						  : " or ",
				      r->name, r->argument ? "=" : "");
	return options_bad(err, "%.100s: '%.100s': %smust be %s", where, part, *part ? "" : "is empty; ", list);
}

int option_parse_key(const struct option_row *rows, const char *where, const char *part, void *all, uint64_t *seen,
		     struct options_error *err)
{
	size_t len = strcspn(part, "=");
	const struct option_row *r = rows;
	struct option_value v;

	while (r->name && (strlen(r->name) != len || memcmp(r->name, part, len) != 0 || !r->argument != !part[len]))
		r++;
	if (!r->name)
		return bad_key(rows, where, part, err);
	v = (struct option_value){r, part[len] ? part + len + 1 : NULL, where, all, err};
	if (seen && *seen >> (r - rows) & 1)
		return options_bad(err, "%.100s: %.100s: %s= is there already", where, part, r->name);
	if (seen)
		*seen |= (uint64_t)1 << (r - rows);
	return r->parse((char *)all + r->offset, &v);
}

int option_parse_keys(const struct option_row *rows, const char *where, char *rest, void *all, bool once,
		      struct options_error *err)
{
	uint64_t seen = 0;
	char *part;

	while ((part = option_next_part(&rest)) != NULL) {
		int r = option_parse_key(rows, where, part, all, once ? &seen : NULL, err);

		if (r)
			return r;
	}
	return 0;
}
