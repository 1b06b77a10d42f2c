/* SPDX-License-Identifier: MIT */
#include "vmm/cli/top.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/panic.h"
#include "vmm/control/process.h"

enum { CELL_BYTES = FOUND_NAME_BYTES, NAME_WIDTH = 16, NAME_LEAST = 8, NAMES = 2 /* the first columns */ };

/* One machine's doings. */
struct row {
	const struct found_machine *f;
	double cpu, mips;     /* percent of a processor; 0 mips: not counted, or none */
	unsigned tier[3];     /* percent of the instructions, by enum tier */
	unsigned place;       /* in the list */
	enum top_order order; /* that it is being sorted by */
};

struct table {
	unsigned n;
	struct row *row;
};

/* ---- what they did ---- */

static const struct found_machine *before(const struct machine_list *l, const struct found_machine *f)
{
	for (unsigned i = 0; i < l->n; i++)
		if (strcmp(l->machine[i].monitor, f->monitor) == 0 && strcmp(l->machine[i].name, f->name) == 0)
			return &l->machine[i];
	return f;
}

/* It begins at 0 again with a reset. */
static uint64_t since(uint64_t was, uint64_t is) { return is > was ? is - was : 0; }

static struct row row_of(const struct top_looks *l, const struct found_machine *f)
{
	const struct found_machine *b = before(&l->was, f);
	uint64_t insns[3], all = 0, ms = l->ms ? l->ms : 1;
	struct row row = {.f = f, .cpu = 100.0 * (double)since(b->processor_ms, f->processor_ms) / (double)ms};

	for (unsigned i = 0; i < ARRAY_LEN(insns); i++)
		all += insns[i] = since(b->insns[i], f->insns[i]);
	for (unsigned i = 0; all && i < ARRAY_LEN(insns); i++)
		row.tier[i] = (unsigned)(100 * insns[i] / all);
	row.mips = (double)all / 1000.0 / (double)ms;
	return row;
}

static uint64_t memory_of(const struct row *r) { return r->f->private_bytes + r->f->shared_bytes; }

/* Most first; those that are equal stay as they are listed. */
static int compare(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int less = 0;

	if (x->order == TOP_BY_CPU)
		less = (x->cpu < y->cpu) - (x->cpu > y->cpu);
	else if (x->order == TOP_BY_MEMORY)
		less = (memory_of(x) < memory_of(y)) - (memory_of(x) > memory_of(y));
	return less ? less : x->place < y->place ? -1 : 1;
}

/* Free row. Without memory it is empty. */
static struct table make_table(const struct top_looks *l, enum top_order order)
{
	struct table t = {.row = calloc(l->is.n + 1, sizeof(*t.row))};

	for (; t.row && t.n < l->is.n; t.n++) {
		t.row[t.n] = row_of(l, &l->is.machine[t.n]);
		t.row[t.n].place = t.n;
		t.row[t.n].order = order;
	}
	if (t.n)
		qsort(t.row, t.n, sizeof(*t.row), compare);
	return t;
}

/* ---- columns ---- */

static void show_monitor(char *out, const struct row *r) { snprintf(out, CELL_BYTES, "%s", r->f->monitor); }
static void show_name(char *out, const struct row *r) { snprintf(out, CELL_BYTES, "%s", r->f->name); }
static void show_status(char *out, const struct row *r) { snprintf(out, CELL_BYTES, "%s", r->f->status); }
static void show_vcpus(char *out, const struct row *r) { snprintf(out, CELL_BYTES, "%u", r->f->vcpus); }
static void show_cpu(char *out, const struct row *r) { snprintf(out, CELL_BYTES, "%.1f", r->cpu); }

static void show_mips(char *out, const struct row *r)
{
	snprintf(out, CELL_BYTES, r->mips > 0 ? "%.1f" : "-", r->mips);
}

static void show_share(char *out, const struct row *r, unsigned tier)
{
	snprintf(out, CELL_BYTES, r->mips > 0 ? "%u%%" : "-", r->tier[tier]);
}

static void show_tier1(char *out, const struct row *r) { show_share(out, r, 1); }
static void show_tier2(char *out, const struct row *r) { show_share(out, r, 2); }
static void show_bytes(char *out, uint64_t bytes) { snprintf(out, CELL_BYTES, "%" PRIu64 "M", bytes >> 20); }
static void show_memory(char *out, const struct row *r) { show_bytes(out, r->f->memory); }
static void show_private(char *out, const struct row *r) { show_bytes(out, r->f->private_bytes); }
static void show_shared(char *out, const struct row *r) { show_bytes(out, r->f->shared_bytes); }

static void show_up(char *out, const struct row *r)
{
	uint64_t s = r->f->up_ms / 1000;

	if (s < 86400)
		snprintf(out, CELL_BYTES, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(out, CELL_BYTES, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
}

/* In their order on the screen. */
static const struct column {
	const char *head;
	unsigned width;
	bool is_text;  /* on the left, and may be cut */
	unsigned rank; /* where there is not room for all, the highest are left out */
	void (*show)(char *out, const struct row *r);
} columns[] = {
    {"MONITOR", NAME_WIDTH, true, 8, show_monitor},
    {"MACHINE", NAME_WIDTH, true, 0, show_name},
    {"STATUS", 14, true, 3, show_status},
    {"VCPU", 4, false, 10, show_vcpus},
    {"CPU%", 6, false, 1, show_cpu},
    {"MIPS", 7, false, 4, show_mips},
    {"TIER1", 5, false, 9, show_tier1},
    {"TIER2", 5, false, 5, show_tier2},
    {"MEMORY", 6, false, 2, show_memory},
    {"PRIVATE", 7, false, 6, show_private},
    {"SHARED", 6, false, 7, show_shared},
    {"UP", 8, false, 11, show_up},
};

/* Which of them, and how wide. */
struct layout {
	bool shown[ARRAY_LEN(columns)];
	unsigned width[ARRAY_LEN(columns)];
};

static unsigned total(const struct layout *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_LEN(columns); i++)
		n += l->shown[i] ? l->width[i] + (n ? 1 : 0) : 0;
	return n;
}

/* The names of monitors matter more where there are several; they and those of machines are narrow before anything is left out. */
static struct layout make_layout(const struct table *t, unsigned room, bool several)
{
	struct layout l;

	for (unsigned i = 0; i < ARRAY_LEN(columns); i++) {
		l.shown[i] = true;
		l.width[i] = room && columns[i].is_text ? (unsigned)strlen(columns[i].head) : columns[i].width;
		for (unsigned k = 0; k < t->n; k++) {
			char cell[CELL_BYTES];

			columns[i].show(cell, &t->row[k]);
			if (strlen(cell) > l.width[i])
				l.width[i] = (unsigned)strlen(cell);
		}
	}
	for (unsigned narrow = NAME_WIDTH; room && total(&l) > room && narrow >= NAME_LEAST; narrow -= NAME_WIDTH / 4)
		for (unsigned i = 0; i < NAMES; i++)
			l.width[i] = l.width[i] > narrow ? narrow : l.width[i];
	for (unsigned rank = ARRAY_LEN(columns); room && total(&l) > room && rank-- > 1;)
		for (unsigned i = 0; i < ARRAY_LEN(columns); i++)
			if ((columns[i].show == show_monitor && several ? 1 : columns[i].rank) == rank)
				l.shown[i] = false;
	if (room && total(&l) > room)
		for (unsigned i = 0; i < ARRAY_LEN(columns); i++)
			l.width[i] = l.width[i] > room ? room : l.width[i];
	return l;
}

static void put_cell(const struct layout *l, unsigned i, bool first, const char *text, FILE *out)
{
	int width = (int)l->width[i];

	if (!first)
		fputc(' ', out);
	if (columns[i].is_text)
		fprintf(out, "%-*.*s", width, width, text);
	else
		fprintf(out, "%*.*s", width, width, text);
}

/* r NULL: the heads. */
static void put_row(const struct layout *l, const struct row *r, FILE *out)
{
	bool first = true;

	for (unsigned i = 0; i < ARRAY_LEN(columns); i++) {
		char cell[CELL_BYTES];

		if (!l->shown[i])
			continue;
		if (r)
			columns[i].show(cell, r);
		put_cell(l, i, first, r ? cell : columns[i].head, out);
		first = false;
	}
}

/* ---- monitors ---- */

static const char *plural(uint64_t n) { return n == 1 ? "" : "s"; }

static void monitor_line(const struct machine_list *l, const struct found_monitor *m, char *out, size_t bytes)
{
	uint64_t memory = 0, machines = 0;

	for (unsigned k = 0; k < l->n; k++)
		if (strcmp(l->machine[k].monitor, m->name) == 0) {
			memory += l->machine[k].private_bytes + l->machine[k].shared_bytes;
			machines++;
		}
	snprintf(out, bytes,
		 "%s: %" PRIu64 " machine%s, %" PRIu64 " processor%s, vCPUs: %" PRIu64 " run, %" PRIu64
		 " wait; memory: %" PRIu64 "M in %" PRIu64 "M, %" PRIu64 "M shared",
		 m->name, machines, plural(machines), m->processors, plural(m->processors), m->running, m->queued,
		 memory >> 20, m->machine_bytes >> 20, m->shared_bytes >> 20);
}

/* Below it: what the process takes, in MiB. False: not known. */
static bool process_line(const struct found_monitor *m, char *out, size_t bytes)
{
	int n = snprintf(out, bytes, "  process %" PRIu64 "M:", m->process.total >> 20);

	for (unsigned i = 0; i < NUM_FOOTPRINTS && (size_t)n < bytes; i++)
		n += snprintf(out + n, bytes - (size_t)n, "%s %s %" PRIu64 "M", i ? "," : "", process_class_names[i],
			      m->process.bytes[i] >> 20);
	return m->process.total != 0;
}

/* ---- a table ---- */

static void print_line(void *out, const char *line) { fprintf(out, "%s\n", line); }

void top_print(const struct top_looks *looks, FILE *out)
{
	const struct machine_list *l = &looks->is;
	struct table t = make_table(looks, TOP_BY_NAME);
	struct layout layout = make_layout(&t, 0, true);
	char line[600];

	for (unsigned i = 0; i < l->n_monitors; i++) {
		monitor_line(l, &l->monitor[i], line, sizeof(line));
		fprintf(out, "%s\n", line);
		if (process_line(&l->monitor[i], line, sizeof(line)))
			fprintf(out, "%s\n", line);
	}
	if (l->n_silent)
		fprintf(out, "%s: does not answer\n", l->silent);
	else if (!l->n)
		fputs("no machine runs\n", out);
	for (unsigned i = 0; i < t.n; i++) {
		if (!i) {
			fputc('\n', out);
			put_row(&layout, NULL, out);
			fputc('\n', out);
		}
		put_row(&layout, &t.row[i], out);
		fputc('\n', out);
	}
	free(t.row);
	top_each_node_line(looks, print_line, out);
}

/* ---- a screen ---- */

#define HOME        "\033[H"
#define END_OF_LINE "\033[K"
#define END_OF_ALL  "\033[J"
#define BOLD        "\033[1m"
#define PLAIN       "\033[0m"

void top_scroll(struct top_view *v, int by)
{
	v->first = by < 0 && v->first < (unsigned)-by ? 0 : v->first + (unsigned)by;
}

/* What is left of it, and of how many lines. */
struct screen {
	FILE *out;
	unsigned columns, rows, used;
};

static bool has_room(const struct screen *s) { return !s->rows || s->used < s->rows; }

static void begin_line(struct screen *s)
{
	fputs(s->used ? "\n" : "", s->out);
	s->used++;
}

static void put_text(struct screen *s, const char *text)
{
	int most = s->columns ? (int)s->columns : (int)strlen(text);

	if (!has_room(s))
		return;
	begin_line(s);
	fprintf(s->out, "%.*s" END_OF_LINE, most, text);
}

static void put_node_line(void *screen, const char *line)
{
	struct screen *s = screen;

	if (!s->rows || s->used + 2 < s->rows) /* room for the foot */
		put_text(s, line);
}

static void put_machines(struct screen *s, struct top_view *v, const struct table *t, bool several, unsigned below)
{
	struct layout layout = make_layout(t, v->columns, several);

	if (!has_room(s))
		return;
	begin_line(s);
	fputs(BOLD, s->out);
	put_row(&layout, NULL, s->out);
	fputs(PLAIN END_OF_LINE, s->out);
	v->page = !s->rows ? t->n : s->rows > s->used + below ? s->rows - s->used - below : 1;
	if (v->first + v->page > t->n)
		v->first = t->n > v->page ? t->n - v->page : 0;
	for (unsigned i = v->first; i < t->n && i < v->first + v->page && has_room(s); i++) {
		begin_line(s);
		put_row(&layout, &t->row[i], s->out);
		fputs(END_OF_LINE, s->out);
	}
}

void top_draw(struct top_view *v, const struct top_looks *looks, FILE *out)
{
	static const char *const orders[] = {"CPU", "memory", "name"};
	const struct machine_list *l = &looks->is;
	struct table t = make_table(looks, v->order);
	struct screen s = {out, v->columns, v->rows, 0};
	bool spacious = !v->rows || v->rows >= 2 * l->n_monitors + 9;
	char line[600];

	fputs(HOME, out);
	/* of many monitors the machines are what is wanted */
	for (unsigned i = 0; i < l->n_monitors && (spacious || s.used < v->rows / 3); i++) {
		monitor_line(l, &l->monitor[i], line, sizeof(line));
		put_text(&s, line);
		if (spacious && process_line(&l->monitor[i], line, sizeof(line)))
			put_text(&s, line);
	}
	if (l->n_silent) {
		snprintf(line, sizeof(line), "%s: does not answer", l->silent);
		put_text(&s, line);
	}
	if (spacious)
		put_text(&s, "");
	if (v->nodes && top_has_nodes(looks))
		top_each_node_line(looks, put_node_line, &s);
	else if (l->n)
		put_machines(&s, v, &t, l->n_monitors > 1, spacious ? 2 : 0);
	else
		put_text(&s, "no machine runs");
	if (spacious) {
		snprintf(line, sizeof(line), "by %s; P: CPU, M: memory, N: name%s%s; q leaves", orders[v->order],
			 t.n > v->page ? "; arrows: more" : "",
			 !top_has_nodes(looks) ? ""
			 : v->nodes            ? "; O: machines"
					       : "; O: nodes");
		put_text(&s, "");
		put_text(&s, line);
	}
	fputs(END_OF_ALL, out);
	free(t.row);
}

/* ---- JSON ---- */

static json_t *machine_object(const struct row *r)
{
	const struct found_machine *f = r->f;
	json_t *one = json_pack("{s:s, s:s, s:s, s:i, s:f, s:I, s:I, s:I, s:I, s:I}", "monitor", f->monitor, "machine",
				f->name, "status", f->status, "vcpus", (int)f->vcpus, "cpu-percent", r->cpu, "memory",
				(json_int_t)f->memory, "private", (json_int_t)f->private_bytes, "shared",
				(json_int_t)f->shared_bytes, "up-ms", (json_int_t)f->up_ms, "processor-ms",
				(json_int_t)f->processor_ms);

	if (r->mips > 0) {
		json_object_set_new(one, "mips", json_real(r->mips));
		json_object_set_new(one, "interpreted-percent", json_integer((json_int_t)r->tier[0]));
		json_object_set_new(one, "tier1-percent", json_integer((json_int_t)r->tier[1]));
		json_object_set_new(one, "tier2-percent", json_integer((json_int_t)r->tier[2]));
	}
	return one;
}

void top_print_json(const struct top_looks *looks, FILE *out)
{
	const struct machine_list *l = &looks->is;
	json_t *monitors = json_array(), *machines = json_array(), *all;
	struct table t = make_table(looks, TOP_BY_NAME);

	for (unsigned i = 0; i < l->n_monitors; i++) {
		const struct found_monitor *m = &l->monitor[i];

		json_t *one = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "monitor", m->name, "processors",
					(json_int_t)m->processors, "running", (json_int_t)m->running, "queued",
					(json_int_t)m->queued, "machine-memory", (json_int_t)m->machine_bytes, "shared",
					(json_int_t)m->shared_bytes, "process", process_to_json(&m->process));

		if (m->nodes)
			json_object_set_new(one, "numa", top_nodes_object(looks, m));
		json_array_append_new(monitors, one);
	}
	for (unsigned i = 0; i < t.n; i++)
		json_array_append_new(machines, machine_object(&t.row[i]));
	free(t.row);
	all = json_pack("{s:o, s:o}", "monitors", monitors, "machines", machines);
	json_dumpf(all, out, JSON_COMPACT | JSON_REAL_PRECISION(4));
	fputc('\n', out);
	json_decref(all);
}
