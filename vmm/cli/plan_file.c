/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf */
#include "vmm/cli/plan_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <yaml.h>

/*
 * From YAML to the options of each machine.  libyaml gives nodes with their lines and leaves every scalar the text that it is
 * (no value becomes a number or a boolean by its looks); the keys are the rows of options.def.
 */

/* One machine's entry, or none of its own: then only the defaults. */
struct entry {
	yaml_node_t *node;
	unsigned count; /* 0: not given */
};

struct reader {
	const char *path;                /* for messages */
	const char *folder;              /* names of files begin at; or NULL */
	const struct plan_addition *add; /* or NULL */
	struct plan *plan;
	struct options_error *err;
	yaml_document_t doc;
	yaml_node_t *monitor, *defaults; /* mappings, or NULL */
	unsigned n;
	struct entry *entry;
};

/* ---- nodes ---- */

static unsigned line_of(const yaml_node_t *n) { return (unsigned)n->start_mark.line + 1; }
static const char *text_of(const yaml_node_t *n) { return (const char *)n->data.scalar.value; }
static yaml_node_t *node(struct reader *r, int id) { return yaml_document_get_node(&r->doc, id); }

static bool is_text(const yaml_node_t *n)
{
	return n->type == YAML_SCALAR_NODE && strlen(text_of(n)) == n->data.scalar.length;
}

/* "FILE:LINE: KEY: " and the rest. key: or NULL. */
static int bad(struct reader *r, const yaml_node_t *where, const char *key, const char *fmt, ...) PRINTF_LIKE(4, 5);
static int bad(struct reader *r, const yaml_node_t *where, const char *key, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = '?';
	return options_bad(r->err, "%.100s:%u: %.60s%s%s", r->path, line_of(where), key ? key : "", key ? ": " : "",
			   text);
}

static int no_memory(struct reader *r) { return options_bad(r->err, "the host has no memory left"); }

static int want_mapping(struct reader *r, const yaml_node_t *n, const char *key)
{
	return n->type == YAML_MAPPING_NODE ? 0 : bad(r, n, key, "must be keys with values");
}

/* The keys of a mapping are words, each once. */
static int check_keys(struct reader *r, const yaml_node_t *map)
{
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		yaml_node_t *key = node(r, p->key);

		if (!is_text(key) || !*text_of(key))
			return bad(r, key, NULL, "a key must be a word");
		for (yaml_node_pair_t *q = map->data.mapping.pairs.start; q < p; q++)
			if (strcmp(text_of(node(r, q->key)), text_of(key)) == 0)
				return bad(r, key, text_of(key), "is there already, in line %u",
					   line_of(node(r, q->key)));
	}
	return 0;
}

static yaml_node_t *value_of(struct reader *r, const yaml_node_t *map, const char *key)
{
	if (!map)
		return NULL;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++)
		if (strcmp(text_of(node(r, p->key)), key) == 0)
			return node(r, p->value);
	return NULL;
}

/* ---- options ---- */

/* Which keys a mapping may have besides options. */
enum section { MONITOR, MACHINE };

static const struct option_row *row_of(const char *key, enum section section)
{
	for (const struct option_row *row = options_run_rows; row->name || row->help; row++)
		if (row->name && row->parse && strcmp(row->name + 2, key) == 0 && strcmp(key, "vms") != 0 &&
		    row->process == (section == MONITOR))
			return row;
	return NULL;
}

static bool is_other_key(const char *key, enum section section)
{
	return section == MACHINE && (strcmp(key, "count") == 0 || strcmp(key, "command") == 0);
}

/* What the machine's options point to lives as long as the plan. number: for "{n}"; 0: none. */
static char *own_text(struct reader *r, const yaml_node_t *n, unsigned number)
{
	char *text = number ? plan_number(text_of(n), number) : strdup(text_of(n));

	return plan_keep(r->plan, text);
}

static int parse_text(struct reader *r, const struct option_row *row, char *text, const yaml_node_t *where,
		      struct run_options *out)
{
	struct options_error err = {{0}};
	struct option_value v = {.row = row, .text = text, .all = out, .err = &err};
	int e = row->parse((char *)out + row->offset, &v);

	return e < 0 ? bad(r, where, NULL, "%s", err.text) : e ? bad(r, where, row->name + 2, "not in a file") : 0;
}

static int parse_one(struct reader *r, const struct option_row *row, const yaml_node_t *value, unsigned number,
		     struct run_options *out)
{
	bool may_be_flag = !row->argument || row->argument[0] == '[';
	char *text;

	if (!is_text(value))
		return bad(r, value, row->name + 2,
			   row->many ? "must be a value, or a list of them" : "must be one value");
	if (may_be_flag && strcmp(text_of(value), "true") == 0)
		return parse_text(r, row, NULL, value, out);
	if (may_be_flag && strcmp(text_of(value), "false") == 0)
		return 0;
	if (!row->argument)
		return bad(r, value, row->name + 2, "must be true or false");
	if (!*text_of(value) && value->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return bad(r, value, row->name + 2, "needs a value");
	text = own_text(r, value, number);
	return text ? parse_text(r, row, text, value, out) : no_memory(r);
}

static int parse_option(struct reader *r, const struct option_row *row, const yaml_node_t *value, unsigned number,
			struct run_options *out)
{
	int e = 0;

	if (value->type != YAML_SEQUENCE_NODE || !row->many)
		return parse_one(r, row, value, number, out);
	for (yaml_node_item_t *i = value->data.sequence.items.start; !e && i < value->data.sequence.items.top; i++)
		e = parse_one(r, row, node(r, *i), number, out);
	return e;
}

/* A list of words; or one text, for the shell. */
static int parse_command(struct reader *r, const yaml_node_t *value, unsigned number, struct run_options *out)
{
	static const char *const shell[] = {"/bin/sh", "-c"};
	yaml_node_item_t *items = NULL;
	size_t n = 1, k = 0;
	char **argv;

	if (value->type == YAML_SEQUENCE_NODE) {
		items = value->data.sequence.items.start;
		n = (size_t)(value->data.sequence.items.top - items);
	}
	if (!n || (!items && (!is_text(value) || !*text_of(value))))
		return bad(r, value, "command", "must be a list of words, or one text for the shell");
	argv = (char **)(void *)plan_keep(r->plan, malloc((n + 3) * sizeof(*argv)));
	if (!argv)
		return no_memory(r);
	for (; !items && k < ARRAY_LEN(shell); k++)
		argv[k] = (char *)(uintptr_t)shell[k];
	for (size_t i = 0; i < n; i++) {
		yaml_node_t *word = items ? node(r, items[i]) : (yaml_node_t *)(uintptr_t)value;

		if (!is_text(word) || (!i && !*text_of(word)))
			return bad(r, word, "command", "a word is missing");
		argv[k] = own_text(r, word, number);
		if (!argv[k++])
			return no_memory(r);
	}
	argv[k] = NULL;
	out->argc = (unsigned)k;
	out->argv = argv;
	return 0;
}

/* All keys of a section, but those that `over` has. */
static int apply(struct reader *r, const yaml_node_t *map, enum section section, const yaml_node_t *over,
		 unsigned number, struct run_options *out)
{
	int e = 0;

	if (!map)
		return 0;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; !e && p < map->data.mapping.pairs.top; p++) {
		const char *key = text_of(node(r, p->key));
		const struct option_row *row = row_of(key, section);

		if (value_of(r, over, key))
			continue;
		if (row)
			e = parse_option(r, row, node(r, p->value), number, out);
		else if (strcmp(key, "command") == 0)
			e = parse_command(r, node(r, p->value), number, out);
	}
	return e;
}

/* ---- the document ---- */

static int check_section(struct reader *r, const yaml_node_t *map, const char *name, enum section section)
{
	int e = want_mapping(r, map, name);

	if (!e)
		e = check_keys(r, map);
	if (e)
		return e;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
		yaml_node_t *key = node(r, p->key);
		enum section other = section == MONITOR ? MACHINE : MONITOR;

		if (row_of(text_of(key), section) || is_other_key(text_of(key), section))
			continue;
		if (row_of(text_of(key), other) || is_other_key(text_of(key), other))
			return bad(r, key, text_of(key), "belongs into %s",
				   other == MONITOR ? "the section monitor" : "a machine, or defaults");
		return bad(r, key, text_of(key), "no such key; they are the options of 'disco help run'");
	}
	return 0;
}

static int read_count(struct reader *r, struct entry *e)
{
	yaml_node_t *value = value_of(r, e->node, "count");
	char *end;
	unsigned long n;

	if (!value)
		value = value_of(r, r->defaults, "count");
	if (!value)
		return 0;
	n = is_text(value) && text_of(value)[0] >= '0' && text_of(value)[0] <= '9' ? strtoul(text_of(value), &end, 10)
										   : 0;
	if (!n || *end || n > RUN_MAX_MACHINES)
		return bad(r, value, "count", "must be a number from 1 to %d", RUN_MAX_MACHINES);
	e->count = (unsigned)n;
	return 0;
}

static int read_machines(struct reader *r, const yaml_node_t *list)
{
	yaml_node_item_t *items = list->data.sequence.items.start;

	if (list->type != YAML_SEQUENCE_NODE || list->data.sequence.items.top == items)
		return bad(r, list, "machines", "must be a list of machines, each with a '-' in front");
	r->n = (unsigned)(list->data.sequence.items.top - items);
	r->entry = calloc(r->n, sizeof(*r->entry));
	if (!r->entry)
		return no_memory(r);
	for (unsigned i = 0; i < r->n; i++) {
		struct entry *e = &r->entry[i];
		int err;

		e->node = node(r, items[i]);
		err = check_section(r, e->node, "machines", MACHINE);
		err = err ? err : read_count(r, e);
		if (err)
			return err;
		r->plan->n += e->count ? e->count : 1;
		if (r->plan->n > RUN_MAX_MACHINES)
			return bad(r, e->node, "machines", "more than %d", RUN_MAX_MACHINES);
		if (r->add && r->plan->n > 1)
			return bad(r, e->node, "machines", "one machine at a time is added");
	}
	return 0;
}

static int read_document(struct reader *r)
{
	yaml_node_t *root = yaml_document_get_root_node(&r->doc), *machines = NULL;
	int e;

	if (!root)
		return options_bad(r->err, "%.200s: is empty; 'disco help up' shows what to write", r->path);
	e = want_mapping(r, root, NULL);
	e = e ? e : check_keys(r, root);
	for (yaml_node_pair_t *p = root->data.mapping.pairs.start; !e && p < root->data.mapping.pairs.top; p++) {
		yaml_node_t *key = node(r, p->key), *value = node(r, p->value);

		if (strcmp(text_of(key), "monitor") == 0 && r->add)
			e = bad(r, key, "monitor", "is there already, as it was when it began");
		else if (strcmp(text_of(key), "monitor") == 0)
			e = check_section(r, r->monitor = value, "monitor", MONITOR);
		else if (strcmp(text_of(key), "defaults") == 0)
			e = check_section(r, r->defaults = value, "defaults", MACHINE);
		else if (strcmp(text_of(key), "machines") == 0)
			machines = value;
		else
			e = bad(r, key, text_of(key), "no such section; they are monitor, defaults and machines");
	}
	if (e)
		return e;
	return machines ? read_machines(r, machines) : bad(r, root, "machines", "the section is missing");
}

/* ---- machines ---- */

/* Where a machine's option stands that a message begins with; or the machine. */
static const yaml_node_t *find_line(struct reader *r, const struct entry *e, const char *text, bool *has_key)
{
	const yaml_node_t *maps[] = {e->node, r->defaults, r->monitor};
	char key[32];

	*has_key = false;
	if (strncmp(text, "--", 2) != 0)
		return e->node;
	snprintf(key, sizeof(key), "%.*s", (int)strcspn(text + 2, " :="), text + 2);
	*has_key = true;
	for (unsigned i = 0; i < ARRAY_LEN(maps); i++) {
		const yaml_node_t *value = value_of(r, maps[i], key);

		if (value)
			return value;
	}
	return e->node;
}

static int blame(struct reader *r, const struct entry *e, const char *text)
{
	bool has_key;
	const yaml_node_t *where = find_line(r, e, text, &has_key);

	return bad(r, where, has_key ? NULL : "machines", "%s", text);
}

static int name_machine(struct reader *r, const struct entry *e, unsigned copy, struct run_options *o)
{
	const yaml_node_t *name = value_of(r, e->node, "name");
	char *text = NULL, *speaker = NULL;
	bool distinct;

	name = name ? name : value_of(r, r->defaults, "name");
	distinct = name && strstr(text_of(name), "{n}");
	if (!o->name)
		o->name = "vm";
	if (e->count && !distinct) {
		if (asprintf(&text, "%s%u", o->name, copy) < 0)
			text = NULL;
		o->name = plan_keep(r->plan, text);
	}
	if (!r->plan->several) {
		o->speaker = r->plan->speaker;
		return o->name ? 0 : no_memory(r);
	}
	if (asprintf(&speaker, "%s: %s", r->plan->speaker, o->name) < 0)
		speaker = NULL;
	o->speaker = plan_keep(r->plan, speaker);
	return o->name && o->speaker ? 0 : no_memory(r);
}

/* What is not its own, of a machine that is added: as in the others. */
static void copy_process(const struct plan_addition *add, struct run_options *o)
{
	for (const struct option_row *row = options_run_rows; row->name || row->help; row++)
		if (row->process)
			memcpy((char *)o + row->offset, (const char *)add->process + row->offset, row->bytes);
	o->vms = 0;
	o->said = add->said;
	o->several = true;
}

static int make_machine(struct reader *r, const struct entry *e, unsigned copy, struct run_options *o)
{
	struct options_error err = {{0}};
	int bad;

	options_begin_run(o);
	o->folder = r->folder;
	o->several = r->plan->n > 1;
	if (r->add)
		copy_process(r->add, o);
	bad = apply(r, r->monitor, MONITOR, NULL, 0, o);
	r->plan->several = o->several;
	bad = bad ? bad : apply(r, r->defaults, MACHINE, e->node, e->count ? copy : 0, o);
	bad = bad ? bad : apply(r, e->node, MACHINE, NULL, e->count ? copy : 0, o);
	bad = bad ? bad : name_machine(r, e, copy, o);
	if (!bad && options_end_run(o, &err))
		bad = blame(r, e, err.text);
	return bad;
}

/* The control socket has the name of the file, as far as names go. */
static const char *control_name(struct reader *r)
{
	const char *slash = strrchr(r->path, '/'), *from = slash ? slash + 1 : r->path, *dot = strrchr(from, '.');
	size_t n = dot && dot > from ? (size_t)(dot - from) : strlen(from);
	char *name = plan_keep(r->plan, strndup(from, n < RUN_MAX_NAME_BYTES ? n : RUN_MAX_NAME_BYTES));

	for (char *c = name; c && *c; c++)
		if (!isalnum((unsigned char)*c) && (c == name || !strchr("._-", *c)))
			return NULL; /* then it is the process's */
	return name;
}

static int make_machines(struct reader *r)
{
	struct options_error err = {{0}};
	const char *control = control_name(r);
	unsigned at = 0, which = 0;
	int e = 0;

	r->plan->opt = calloc(r->plan->n, sizeof(*r->plan->opt));
	if (!r->plan->opt)
		return no_memory(r);
	for (unsigned i = 0; i < r->n; i++)
		for (unsigned k = 1; !e && k <= (r->entry[i].count ? r->entry[i].count : 1); k++, at++) {
			e = make_machine(r, &r->entry[i], k, &r->plan->opt[at]);
			r->plan->opt[at].number = r->plan->several ? at + 1 : 0;
			if (!r->plan->opt[at].control)
				r->plan->opt[at].control = control;
		}
	if (e || !plan_check(r->plan, &which, &err))
		return e;
	for (at = 0; which >= (r->entry[at].count ? r->entry[at].count : 1); at++)
		which -= r->entry[at].count ? r->entry[at].count : 1;
	return blame(r, &r->entry[at], err.text);
}

/* ---- the file ---- */

static int syntax(struct reader *r, const yaml_parser_t *p)
{
	if (p->error == YAML_MEMORY_ERROR)
		return no_memory(r);
	return options_bad(r->err, "%.200s:%zu: %s", r->path,
			   (p->error == YAML_READER_ERROR ? p->mark.line : p->problem_mark.line) + 1,
			   p->problem ? p->problem : "not YAML");
}

/* From f, or of the addition. */
static int read_input(struct reader *r, FILE *f)
{
	yaml_document_t more;
	yaml_parser_t p;
	int e = 0;

	if (!yaml_parser_initialize(&p))
		return no_memory(r);
	if (f)
		yaml_parser_set_input_file(&p, f);
	else
		yaml_parser_set_input_string(&p, (const unsigned char *)r->add->text, r->add->bytes);
	if (!yaml_parser_load(&p, &r->doc)) {
		e = syntax(r, &p);
		yaml_parser_delete(&p);
		return e;
	}
	e = read_document(r);
	if (!e && !yaml_parser_load(&p, &more)) {
		e = syntax(r, &p);
	} else if (!e) {
		yaml_node_t *root = yaml_document_get_root_node(&more);

		if (root)
			e = bad(r, root, NULL, "a second document");
		yaml_document_delete(&more);
	}
	yaml_parser_delete(&p);
	if (!e)
		e = make_machines(r);
	free(r->entry);
	yaml_document_delete(&r->doc);
	return e;
}

static int find_folder(struct reader *r)
{
	const char *slash = strrchr(r->path, '/');

	if (!slash)
		return 0;
	r->folder = plan_keep(r->plan, strndup(r->path, (size_t)(slash - r->path) + 1));
	return r->folder ? 0 : no_memory(r);
}

int plan_from_file(struct plan *p, const char *path, struct options_error *err)
{
	struct reader r = {.path = path, .plan = p, .err = err};
	FILE *f = fopen(path, "re");
	struct stat st;
	int e = 0;

	*p = (struct plan){.speaker = "disco up"};
	if (!f)
		return options_bad(err, "%.300s: %s", path, strerror(errno));
	if (fstat(fileno(f), &st))
		e = options_bad(err, "%.300s: %s", path, strerror(errno));
	else if (S_ISDIR(st.st_mode))
		e = options_bad(err, "%.300s: is a directory", path);
	else if (st.st_size > PLAN_MAX_FILE_BYTES)
		e = options_bad(err, "%.300s: is too large to be a configuration", path);
	e = e ? e : find_folder(&r);
	e = e ? e : read_input(&r, f);
	fclose(f);
	return e;
}

int plan_from_addition(struct plan *p, const struct plan_addition *a, struct options_error *err)
{
	struct reader r = {.path = a->name, .folder = a->folder, .add = a, .plan = p, .err = err};

	*p = (struct plan){.speaker = "disco up", .n_others = a->n_others, .other = a->other};
	return read_input(&r, NULL);
}
