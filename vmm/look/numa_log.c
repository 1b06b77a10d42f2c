/* SPDX-License-Identifier: MIT */
#include "vmm/look/numa_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

enum { LINE_BYTES = 64 << 10, MOST_PAGES_LOG = 40 };

struct reader {
	struct numa_log *log;
	struct options_error *err;
	const char *path;
	uint64_t line;
	json_t *object;
	bool bad; /* err is filled */
	size_t event_room, state_room, guest_room, machine_room;
};

static void complain(struct reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void complain(struct reader *r, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	if (r->bad)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->bad = true;
	(void)options_bad(r->err, "%.150s: line %" PRIu64 ": %s", r->path, r->line, text);
}

/* ---- fields ---- */

static uint64_t in_range(struct reader *r, const json_t *v, const char *name, uint64_t most)
{
	json_int_t n = json_integer_value(v);

	if (!v)
		complain(r, "no '%s'", name);
	else if (!json_is_integer(v) || n < 0)
		complain(r, "'%s' is no number from 0 on", name);
	else if ((uint64_t)n > most)
		complain(r, "'%s' is %" JSON_INTEGER_FORMAT ", at most %" PRIu64 " can be", name, n, most);
	return r->bad ? 0 : (uint64_t)n;
}

static uint64_t number(struct reader *r, const char *name, uint64_t most)
{
	return in_range(r, json_object_get(r->object, name), name, most);
}

/* What goes to terminals and into drawings. */
static void copy_text(char *out, size_t bytes, const char *text)
{
	snprintf(out, bytes, "%s", text);
	for (; *out; out++)
		if (*out < ' ' || *out > '~')
			*out = '?';
}

static const char *text(struct reader *r, const char *name)
{
	const char *t = json_string_value(json_object_get(r->object, name));

	if (!t)
		complain(r, "no '%s', or it is no text", name);
	return t ? t : "";
}

static unsigned word(struct reader *r, const char *name, unsigned n, const char *(*word_of)(unsigned i))
{
	const char *t = text(r, name);

	for (unsigned i = 0; i < n; i++)
		if (strcmp(word_of(i), t) == 0)
			return i;
	complain(r, "'%s' is '%.60s', which nothing is called", name, t);
	return 0;
}

static const char *reason_of(unsigned i) { return policy_reason_text((enum policy_reason)i); }
static const char *event_of(unsigned i) { return numa_event_word((enum numa_event)i); }
static const char *class_of(unsigned i) { return memory_class_word((enum memory_class)i); }

/* Room for one more of them, or complains and returns false. */
static bool grow(struct reader *r, void *array, size_t n, size_t *room, size_t bytes)
{
	void **at = array, *more;
	size_t want = *room ? *room * 2 : 64;

	if (n < *room)
		return true;
	more = realloc(*at, want * bytes);
	if (!more) {
		complain(r, "the host has no memory left");
		return false;
	}
	*at = more;
	*room = want;
	return true;
}

/* ---- lines ---- */

static void take_head(struct reader *r)
{
	struct numa_log *l = r->log;
	json_t *list = json_object_get(r->object, "parameters"), *p;
	size_t i, at = 0;

	if (!json_object_get(r->object, "disco-numa-log")) {
		complain(r, "not a log of --numa-log");
		return;
	}
	if (number(r, "disco-numa-log", UINT32_MAX) != 1)
		complain(r, "written by another version of Disco");
	copy_text(l->mode, sizeof(l->mode), text(r, "mode"));
	l->simulated = json_is_true(json_object_get(r->object, "simulated"));
	l->nodes = (unsigned)number(r, "nodes", NUMA_MAX_NODES);
	l->cpus_per_node = (unsigned)number(r, "cpus-per-node", NUMA_MAX_CPUS);
	if (!r->bad && (!l->nodes || !l->cpus_per_node))
		complain(r, "no nodes, or none with processors");
	json_array_foreach(list, i, p)
	{
		const char *t = json_string_value(p);

		if (!t || at + strlen(t) + 2 > sizeof(l->parameters))
			break;
		copy_text(l->parameters + at, sizeof(l->parameters) - at, t);
		at += strlen(t);
		l->parameters[at++] = ' ';
		l->parameters[at] = '\0';
	}
	if (at)
		l->parameters[at - 1] = '\0';
}

static void take_machine(struct reader *r)
{
	struct numa_log *l = r->log;
	unsigned n = (unsigned)number(r, "machine", NUMA_LOG_MACHINES - 1), i = 0;
	struct numa_log_machine *m;

	while (i < l->n_machines && l->machine[i].number != n)
		i++;
	if (r->bad || (i == l->n_machines && !grow(r, &l->machine, i, &r->machine_room, sizeof(*l->machine))))
		return;
	m = &l->machine[i];
	l->n_machines += i == l->n_machines;
	*m = (struct numa_log_machine){.number = n, .pages = number(r, "pages", (uint64_t)1 << MOST_PAGES_LOG)};
	copy_text(m->name, sizeof(m->name), text(r, "name"));
}

static uint64_t sum_of_misses(struct reader *r)
{
	json_t *list = json_object_get(r->object, "misses"), *v;
	uint64_t sum = 0;
	size_t i;

	if (list && (!json_is_array(list) || json_array_size(list) > r->log->nodes * r->log->cpus_per_node))
		complain(r, "'misses' is no list of numbers of misses by processor");
	json_array_foreach(list, i, v) sum += in_range(r, v, "misses", UINT32_MAX);
	return sum;
}

/* In the order in which they stand, so that the first that is wrong is what is said. */
static void take_event(struct reader *r, unsigned event, uint64_t at_ns)
{
	struct numa_log *l = r->log;
	struct numa_log_event e = {.at_ns = at_ns, .event = (uint8_t)event};

	e.machine = (uint16_t)number(r, "machine", NUMA_LOG_MACHINES - 1);
	e.page = number(r, "page", (uint64_t)1 << MOST_PAGES_LOG);
	e.class = (uint8_t)word(r, "class", NUM_MEMORY_CLASSES, class_of);
	e.node = (uint8_t)number(r, "node", l->nodes - 1);
	e.from = (uint8_t)number(r, "from", l->nodes - 1);
	e.copies = (uint8_t)number(r, "copies", NUMA_MAX_NODES);
	e.reason = (uint8_t)word(r, "reason", NUM_POLICY_REASONS, reason_of);
	e.misses = sum_of_misses(r);
	e.writes = (uint32_t)number(r, "writes", UINT32_MAX);
	e.cost_ns = l->simulated ? number(r, "cost", INT64_MAX) : 0;
	if (!r->bad && grow(r, &l->event, l->n_events, &r->event_room, sizeof(*l->event)))
		l->event[l->n_events++] = e;
}

static void take_list(struct reader *r, const char *name, struct numa_node *node, size_t offset)
{
	json_t *list = json_object_get(r->object, name), *v;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) != r->log->nodes)
		complain(r, "'%s' is no list of %u numbers", name, r->log->nodes);
	json_array_foreach(list, i, v)
	{
		uint64_t n = in_range(r, v, name, INT64_MAX);

		if (r->bad)
			return;
		memcpy((char *)&node[i] + offset, &n, sizeof(n));
	}
}

static void take_nodes(struct reader *r, uint64_t at_ns)
{
	struct numa_log *l = r->log;
	struct numa_log_nodes *s = calloc(1, sizeof(*s) + l->nodes * sizeof(s->node[0]));

	if (!s || !grow(r, &l->state, l->n_states, &r->state_room, sizeof(struct numa_log_nodes *))) {
		complain(r, "the host has no memory left");
		free(s);
		return;
	}
	l->state[l->n_states++] = s;
	s->at_ns = at_ns;
	take_list(r, "used", s->node, offsetof(struct numa_node, used));
	if (!l->simulated)
		return;
	take_list(r, "local", s->node, offsetof(struct numa_node, local));
	take_list(r, "remote", s->node, offsetof(struct numa_node, remote));
}

static void take_guest(struct reader *r, uint64_t at_ns)
{
	struct numa_log *l = r->log;
	struct numa_log_guest g = {.at_ns = at_ns};

	g.machine = (unsigned)number(r, "machine", NUMA_LOG_MACHINES - 1);
	g.node = (unsigned)number(r, "node", l->nodes - 1);
	g.near = number(r, "near", (uint64_t)1 << MOST_PAGES_LOG);
	g.far = number(r, "far", (uint64_t)1 << MOST_PAGES_LOG);
	if (!r->bad && grow(r, &l->guest, l->n_guests, &r->guest_room, sizeof(*l->guest)))
		l->guest[l->n_guests++] = g;
}

static void take_body(struct reader *r)
{
	struct numa_log *l = r->log;
	const char *what = text(r, "event");
	uint64_t at_ns = number(r, "at", INT64_MAX);

	if (r->bad)
		return;
	l->last_ns = at_ns > l->last_ns ? at_ns : l->last_ns;
	if (strcmp(what, "end") == 0) {
		if (number(r, "lines", INT64_MAX) != l->lines)
			complain(r, "says that there were %" PRIu64 " lines before it, but there are %" PRIu64,
				 number(r, "lines", INT64_MAX), l->lines);
		l->ended = true;
		return;
	}
	l->lines++;
	if (strcmp(what, "machine") == 0)
		take_machine(r);
	else if (strcmp(what, "nodes") == 0)
		take_nodes(r, at_ns);
	else if (strcmp(what, "guest") == 0)
		take_guest(r, at_ns);
	else
		take_event(r, word(r, "event", NUM_NUMA_EVENTS, event_of), at_ns);
}

static void take_line(struct reader *r, const char *line, size_t n, bool whole)
{
	json_error_t e;

	r->object = json_loadb(line, n, 0, &e);
	if (r->log->ended)
		complain(r, "something stands behind the last line");
	else if (!r->object)
		complain(r, whole ? "not JSON: %.150s" : "cut off in the middle: %.150s", e.text);
	else if (!json_is_object(r->object))
		complain(r, "no object of JSON");
	else if (r->line == 1)
		take_head(r);
	else
		take_body(r);
	json_decref(r->object);
}

static void read_lines(struct reader *r, FILE *in)
{
	char *line = malloc(LINE_BYTES);

	if (!line) {
		complain(r, "the host has no memory left");
		return;
	}
	while (!r->bad && fgets(line, LINE_BYTES, in)) {
		size_t n = strlen(line);
		bool whole = n && line[n - 1] == '\n';

		r->line++;
		if (!whole && !feof(in))
			complain(r, "no text of JSON, or longer than %d bytes", LINE_BYTES);
		else
			take_line(r, line, n, whole);
	}
	free(line);
}

int numa_log_read(struct numa_log *out, const char *path, struct options_error *err)
{
	struct reader r = {.log = out, .err = err, .path = path};
	FILE *in = fopen(path, "re");

	*out = (struct numa_log){0};
	if (!in)
		return options_bad(err, "%.300s: %s", path, strerror(errno));
	errno = 0;
	read_lines(&r, in);
	if (ferror(in) && !r.bad) {
		r.bad = true;
		(void)options_bad(err, "%.300s: %s", path, strerror(errno ? errno : EIO));
	}
	fclose(in);
	r.line += !r.line;
	if (!r.bad && !out->nodes)
		complain(&r, "not a log of --numa-log: it is empty");
	return r.bad ? -EINVAL : 0;
}

void numa_log_free(struct numa_log *l)
{
	for (size_t i = 0; i < l->n_states; i++)
		free(l->state[i]);
	free(l->state);
	free(l->event);
	free(l->guest);
	free(l->machine);
	*l = (struct numa_log){0};
}

const char *numa_log_name(const struct numa_log *l, unsigned machine, char *text, size_t bytes)
{
	for (unsigned i = 0; i < l->n_machines; i++)
		if (l->machine[i].number == machine)
			return l->machine[i].name;
	snprintf(text, bytes, "machine %u", machine);
	return text;
}
