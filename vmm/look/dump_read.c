/* SPDX-License-Identifier: MIT */
#include "vmm/look/dump_read.h"
#include "vmm/boot/loader_internal.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	struct dump_file *f;
	struct loader_error *err;
	bool host; /* the stage in progress is host code */
};

static int no_memory(const struct reader *r)
{
	return loader_fail(r->err, -ENOMEM, "%.300s: %s", r->f->path, strerror(ENOMEM));
}

/* Room for one more in an array that doubles. */
static bool room(void **array, size_t n, size_t bytes)
{
	void *more;

	if (n & (n - 1))
		return true;
	more = realloc(*array, (n ? 2 * n : 1) * bytes);
	if (more)
		*array = more;
	return more != NULL;
}

bool dump_line_is_title(const char *text) { return text[0] == ' ' && text[1] != ' ' && text[1] != '\0'; }

/* ---- lines ---- */

/* Behind the offset in front of a host instruction: "     1a  jne ...". */
static const char *behind_offset(const char *text)
{
	size_t blanks = strspn(text, " "), digits = strspn(text + blanks, "0123456789abcdef");

	return blanks >= 2 && digits && strncmp(text + blanks + digits, "  ", 2) == 0 ? text + blanks + digits : text;
}

/* The two lines of host code that say how much there is. */
static void count_host(struct dump_entry *e, const char *text)
{
	unsigned tier, off, mode, insns, bytes;
	int n = 0;

	if (sscanf(text, " tier %u, page+0x%x, mode 0x%x, %u guest instructions, %u host bytes%n", &tier, &off, &mode,
		   &insns, &bytes, &n) != 5 ||
	    !n) {
		n = 0;
		if (sscanf(text, " %u host bytes%n", &bytes, &n) != 1 || !n)
			return;
	}
	e->has_host = true;
	e->host_bytes += bytes;
}

static int add_line(struct reader *r, char *text)
{
	struct dump_entry *e = &r->f->entry[r->f->n - 1];
	struct diff_line *l;

	if (!room((void **)&e->line, e->n_lines, sizeof(*l)))
		return no_memory(r);
	if (dump_line_is_title(text))
		r->host = strncmp(text, " host", 5) == 0;
	l = &e->line[e->n_lines++];
	*l = (struct diff_line){.text = text, .key = r->host ? behind_offset(text) : text};
	l->hash = line_diff_hash(0, l->key);
	e->hash = line_diff_hash(e->hash, l->key);
	if (r->host)
		count_host(e, text);
	return 0;
}

static int add_entry(struct reader *r, const struct dump_entry *e)
{
	struct dump_file *f = r->f;

	if (!room((void **)&f->entry, f->n, sizeof(*e)))
		return no_memory(r);
	f->entry[f->n] = *e;
	f->entry[f->n].at = f->n;
	f->entry[f->n].hash = line_diff_hash(e->again ? line_diff_hash(0, e->again) : 0, e->symbol ? e->symbol : "");
	f->n++;
	r->host = false;
	return 0;
}

/* ---- text ---- */

/* "kernel, tier 1, 3 instructions; again: ..." */
static bool read_heading(char *p, struct dump_entry *e)
{
	char tier[16];
	int n = 0, more = 0;

	if (sscanf(p, " %11[a-z?], %15[a-z0-9 ], %n", e->mode, tier, &n) != 2 || !n)
		return false;
	e->tier = strcmp(tier, "tier 1") == 0 ? 1 : strcmp(tier, "tier 2") == 0 ? 2 : 0;
	if (!e->tier && strcmp(tier, "interpreter") != 0)
		return false;
	p += n;
	n = 0;
	if (e->region && sscanf(p, "%u blocks, %n", &e->blocks, &more) != 1)
		return false;
	p += more;
	if (sscanf(p, "%u instructions%n", &e->instructions, &n) != 1 || !n || (p[n] && strncmp(p + n, "; ", 2) != 0))
		return false;
	e->again = p[n] ? p + n + 2 : NULL;
	return true;
}

static bool is_heading(char *text, struct dump_entry *e)
{
	size_t kind = strncmp(text, "block ", 6) == 0 ? 6 : strncmp(text, "region ", 7) == 0 ? 7 : 0;
	size_t digits = kind ? strspn(text + kind, "0123456789abcdef") : 0;
	char *p = text + kind + digits, *end;
	bool named = strncmp(p, " <", 2) == 0;

	if (digits < 8 || digits > 16)
		return false;
	*e = (struct dump_entry){.region = kind == 7, .pc = strtoull(text + kind, NULL, 16)};
	end = named ? strstr(p, "> ") : NULL;
	if ((named && !end) || !read_heading(named ? end + 1 : p, e))
		return false;
	if (named) {
		e->symbol = p + 2;
		*end = '\0';
	}
	return true;
}

/* ---- JSON: each member is made a stage with lines as text has ---- */

static void print_value(FILE *out, const char *key, json_t *v)
{
	if (json_is_string(v) && !strchr(json_string_value(v), '\n'))
		fprintf(out, "  %s", json_string_value(v));
	else if (json_is_integer(v))
		fprintf(out, "  %lld", (long long)json_integer_value(v));
	else if (json_is_true(v))
		fprintf(out, "  %s", key);
}

static void print_row(FILE *out, json_t *row)
{
	const char *key;
	json_t *v;

	if (json_is_object(row))
		json_object_foreach(row, key, v) print_value(out, key, v);
	else
		print_value(out, "", row);
	fputc('\n', out);
}

static void print_member(FILE *out, const char *key, json_t *v)
{
	const char *text = json_string_value(v), *at;
	size_t i;
	json_t *row;

	fprintf(out, " %s:\n", key);
	if (text)
		fprintf(out, strchr(text, '\n') ? "%s" : "  %s\n", text);
	else if (json_is_array(v))
		json_array_foreach(v, i, row) print_row(out, row);
	else
		json_object_foreach(v, at, row)
		    fprintf(out, "  %s  %s\n", at, json_is_string(row) ? json_string_value(row) : "");
}

static int split(struct reader *r, char *text)
{
	char *end;
	int err = 0;

	for (; !err && *text; text = end + 1) {
		end = text + strcspn(text, "\n");
		if (!*end) {
			err = add_line(r, text);
			break;
		}
		*end = '\0';
		err = add_line(r, text);
	}
	return err;
}

/* Text that lives as long as the file. */
static int own(struct reader *r, char *text)
{
	if (text && room((void **)&r->f->owned, r->f->n_owned, sizeof(char *))) {
		r->f->owned[r->f->n_owned++] = text;
		return 0;
	}
	free(text);
	return no_memory(r);
}

static int copy(struct reader *r, json_t *v, char **out)
{
	*out = json_is_string(v) ? strdup(json_string_value(v)) : NULL;
	return json_is_string(v) ? own(r, *out) : 0;
}

static bool read_members(json_t *o, struct dump_entry *e)
{
	const char *kind = json_string_value(json_object_get(o, "kind")),
		   *pc = json_string_value(json_object_get(o, "pc"));
	const char *mode = json_string_value(json_object_get(o, "mode"));
	json_int_t tier = json_integer_value(json_object_get(o, "tier"));

	if (!kind || !pc || !mode || strncmp(pc, "0x", 2) != 0 || !json_is_integer(json_object_get(o, "tier")) ||
	    !json_is_integer(json_object_get(o, "instructions")) || tier < 0 || tier > 2)
		return false;
	e->region = strcmp(kind, "region") == 0;
	e->pc = strtoull(pc, NULL, 16);
	snprintf(e->mode, sizeof(e->mode), "%s", mode);
	e->tier = (unsigned)tier;
	e->instructions = (unsigned)json_integer_value(json_object_get(o, "instructions"));
	e->blocks = (unsigned)json_array_size(json_object_get(o, "blocks"));
	return e->region || strcmp(kind, "block") == 0;
}

/* host_bytes are the same as host_text. */
static bool in_heading(const char *key)
{
	static const char *const keys[] = {"kind", "pc",           "symbol", "mode",
					   "tier", "instructions", "again",  "host_bytes"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return false;
}

static int read_object(struct reader *r, json_t *o, size_t number);

/* `disco dump` has the blocks of a region inside of it, with all their stages; `disco run` before it. */
static int read_inner(struct reader *r, json_t *o, size_t number)
{
	json_t *inner;
	size_t i;
	int err = 0;

	json_array_foreach(json_object_get(o, "blocks"), i, inner)
	{
		if (!err && json_object_get(inner, "mode"))
			err = read_object(r, inner, number);
	}
	return err;
}

static int read_object(struct reader *r, json_t *o, size_t number)
{
	struct dump_entry e = {0};
	char *text = NULL;
	const char *key;
	size_t bytes;
	json_t *v;
	FILE *out;
	int err;

	if (!json_is_object(o) || !read_members(o, &e))
		return loader_fail(r->err, -EINVAL, "%.300s: object %zu is no block or region of a dump", r->f->path,
				   number);
	err = read_inner(r, o, number);
	if (!err)
		err = copy(r, json_object_get(o, "symbol"), &e.symbol);
	if (!err)
		err = copy(r, json_object_get(o, "again"), &e.again);
	if (!err)
		err = add_entry(r, &e);
	out = err ? NULL : open_memstream(&text, &bytes);
	if (!out)
		return err ? err : no_memory(r);
	json_object_foreach(o, key, v) if (!in_heading(key)) print_member(out, key, v);
	if (fclose(out)) {
		free(text);
		return no_memory(r);
	}
	err = own(r, text);
	return err ? err : split(r, text);
}

static int read_json(struct reader *r, char *text, size_t line)
{
	json_error_t why;
	json_t *all = json_loads(text, 0, &why), *o;
	size_t i;
	int err = 0;

	if (!all)
		return loader_fail(r->err, -EINVAL, "%.300s: line %zu: %s", r->f->path, line + (size_t)why.line - 1,
				   why.text);
	if (json_is_array(all))
		json_array_foreach(all, i, o) err = err ? err : read_object(r, o, i + 1);
	else
		err = read_object(r, all, r->f->n + 1);
	json_decref(all);
	return err;
}

/* ---- the file ---- */

static bool is_message(const char *text)
{
	return strncmp(text, "disco: ", 7) == 0 || strncmp(text, "disco run: ", 11) == 0 ||
	       strncmp(text, "disco dump: ", 12) == 0;
}

static int read_line(struct reader *r, char *text, size_t line)
{
	struct dump_file *f = r->f;
	struct dump_entry e;

	if (is_message(text) || (!*text && (f->json || !f->n)))
		return 0;
	if ((!f->n || f->json) && *text == '{') {
		f->json = true;
		return read_json(r, text, line);
	}
	if (!f->json && is_heading(text, &e))
		return add_entry(r, &e);
	if (f->n && !f->json)
		return add_line(r, text);
	return loader_fail(r->err, -EINVAL, "%.300s: line %zu: neither a heading of a dump nor an object: not a dump",
			   f->path, line);
}

static int read_all(struct reader *r, size_t *bytes)
{
	FILE *in = fopen(r->f->path, "r");
	ssize_t n;
	size_t room = 0;
	int err = 0;

	if (!in)
		return loader_fail(r->err, -errno, "%.300s: %s", r->f->path, strerror(errno));
	errno = 0;
	n = getdelim(&r->f->text, &room, '\0', in);
	if (n < 0 && !feof(in))
		err = loader_fail(r->err, -(errno ? errno : EIO), "%.300s: %s", r->f->path,
				  strerror(errno ? errno : EIO));
	else if (n < 0)
		err = loader_fail(r->err, -EINVAL, "%.300s: is empty: not a dump", r->f->path);
	else if (!feof(in))
		err = loader_fail(r->err, -EINVAL, "%.300s: has a zero byte: not a dump", r->f->path);
	fclose(in);
	*bytes = n > 0 ? (size_t)n : 0;
	return err;
}

int dump_file_read(struct dump_file *f, const char *path, struct loader_error *err)
{
	struct reader r = {.f = f, .err = err};
	size_t bytes = 0, line = 1;
	char *p, *end;
	int e;

	*f = (struct dump_file){.path = path};
	e = read_all(&r, &bytes);
	p = f->text;
	if (!e && p[strspn(p, " \n")] == '[') {
		f->json = true;
		e = read_json(&r, p, 1);
		bytes = 0;
	}
	for (; !e && (size_t)(p - f->text) < bytes; p = end + 1, line++) {
		end = p + strcspn(p, "\n");
		*end = '\0';
		e = read_line(&r, p, line);
	}
	if (!e && !f->n)
		e = loader_fail(err, -EINVAL, "%.300s: no block and no region in it: not a dump", path);
	if (e)
		dump_file_free(f);
	return e;
}

void dump_file_free(struct dump_file *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->entry[i].line);
	for (size_t i = 0; i < f->n_owned; i++)
		free(f->owned[i]);
	free(f->entry);
	free(f->owned);
	free(f->text);
	*f = (struct dump_file){0};
}
