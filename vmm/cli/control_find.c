/* SPDX-License-Identifier: MIT */
#include "vmm/cli/control_find.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/control/client.h"
#include "vmm/control/process.h"

static uint64_t number(const json_t *of, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(of, name));
}

/* Whoever listens there need not be a monitor, and this goes to terminals. */
static void put_name(char *out, size_t bytes, const char *name)
{
	snprintf(out, bytes, "%s", name);
	for (; *out; out++)
		if (*out < ' ' || *out > '~')
			*out = '?';
}

static void put_word(char *out, size_t bytes, const json_t *of, const char *name)
{
	const char *text = json_string_value(json_object_get(of, name));

	put_name(out, bytes, text ? text : "");
}

/* NULL: the monitor has none, or does not know of them, or there is no memory. */
static struct found_nodes *nodes_of(const json_t *answer)
{
	json_t *list = json_object_get(answer, "nodes"), *hot = json_object_get(answer, "hottest"), *o;
	struct found_nodes *f = json_array_size(list) ? calloc(1, sizeof(*f)) : NULL;
	size_t i;

	if (!f)
		return NULL;
	put_word(f->mode, sizeof(f->mode), answer, "mode");
	f->counted = json_is_true(json_object_get(answer, "counted"));
	json_array_foreach(list, i, o)
	{
		if (f->n == NUMA_MAX_NODES)
			break;
#define NUMA_NODE_FIGURE(field, name) f->node[f->n].field = number(o, name);
#include "numa/watch.def"
		f->n++;
	}
	json_array_foreach(hot, i, o)
	{
		struct found_page *p = &f->hot[f->n_hot];

		if (f->n_hot == NUMA_HOT_PAGES)
			break;
		put_word(p->machine, sizeof(p->machine), o, "machine");
		put_word(p->symbol, sizeof(p->symbol), o, "symbol");
		put_word(p->class, sizeof(p->class), o, "class");
		p->address = number(o, "address");
		p->heat = number(o, "heat");
		p->moves = number(o, "moves");
		p->node = (unsigned)number(o, "node");
		p->copies = (unsigned)number(o, "copies");
		f->n_hot++;
	}
	return f;
}

static void add_monitor(struct machine_list *l, const char *name, const json_t *totals, const json_t *nodes)
{
	struct found_monitor *more = realloc(l->monitor, (l->n_monitors + 1) * sizeof(*more)), *m;

	l->no_memory |= !more;
	if (!more)
		return;
	l->monitor = more;
	m = &more[l->n_monitors++];
	*m = (struct found_monitor){.processors = number(totals, "processors"),
				    .running = number(totals, "running"),
				    .queued = number(totals, "queued"),
				    .machine_bytes = number(totals, "machine-memory"),
				    .shared_bytes = number(totals, "disk-blocks") + number(totals, "equal"),
				    .nodes = nodes_of(nodes),
				    .process = process_from_json(json_object_get(totals, "process"))};
	put_name(m->name, sizeof(m->name), name);
}

static void add(struct machine_list *l, const char *monitor, json_t *machine)
{
	struct found_machine *more = realloc(l->machine, (l->n + 1) * sizeof(*more)), *f;
	const char *name = json_string_value(json_object_get(machine, "name"));
	const char *status = json_string_value(json_object_get(machine, "status"));

	l->no_memory |= !more;
	if (!more || !name || !status)
		return;
	l->machine = more;
	f = &more[l->n];
	*f = (struct found_machine){.memory = number(machine, "memory"),
				    .up_ms = number(machine, "up-ms"),
				    .vcpus = (unsigned)number(machine, "vcpus"),
				    .processor_ms = number(machine, "processor-ms"),
				    .private_bytes = number(machine, "private"),
				    .shared_bytes = number(machine, "disk-blocks") + number(machine, "equal"),
				    .insns = {number(machine, "instructions-interpreted"),
					      number(machine, "instructions-tier1"),
					      number(machine, "instructions-tier2")},
				    .at = l->n++};
	put_name(f->monitor, sizeof(f->monitor), monitor);
	put_name(f->name, sizeof(f->name), name);
	put_name(f->status, sizeof(f->status), status);
}

static void ask_monitor(void *opaque, const char *name)
{
	struct control_client *c;
	struct control_error err;
	json_t *machines, *machine, *totals, *nodes;
	struct machine_list *l = opaque;
	int opened = control_client_find(&c, name);
	size_t i;

	if (opened == -ETIMEDOUT) {
		l->n_silent++;
		put_name(l->silent, sizeof(l->silent), name);
	}
	if (opened)
		return; /* else nobody is there: it was killed */
	machines = control_client_call(c, "x-query-machines", NULL, &err);
	json_array_foreach(machines, i, machine) add(l, name, machine);
	json_decref(machines);
	totals = control_client_call(c, "x-query-monitor", NULL, &err);
	nodes = l->with_nodes ? control_client_call(c, "x-query-nodes", NULL, &err) : NULL;
	if (totals)
		add_monitor(l, name, totals, nodes);
	json_decref(nodes);
	json_decref(totals);
	control_client_close(c);
}

static int order(const void *a, const void *b)
{
	const struct found_machine *x = a, *y = b;

	int by_monitor = strcmp(x->monitor, y->monitor);

	return by_monitor ? by_monitor : x->at < y->at ? -1 : 1;
}

static struct machine_list find_all(bool with_nodes)
{
	struct machine_list l = {.with_nodes = with_nodes};

	control_each_name(ask_monitor, &l);
	if (l.n)
		qsort(l.machine, l.n, sizeof(*l.machine),
		      order); /* of glibc: a merge sort, which keeps the order of equals */
	return l;
}

struct machine_list control_find_all(void) { return find_all(false); }
struct machine_list control_find_with_nodes(void) { return find_all(true); }

void control_found_complain(const struct machine_list *l, const char *command)
{
	char others[32] = "";

	if (l->n_silent > 1)
		snprintf(others, sizeof(others), ", and %u others", l->n_silent - 1);
	if (l->n_silent)
		fprintf(stderr, "disco %s: %s%s: the monitor does not answer (is it stopped?)\n", command, l->silent,
			others);
	if (l->no_memory)
		fprintf(stderr, "disco %s: the host has no memory left for all that there is\n", command);
}

void control_found_free(struct machine_list *l)
{
	for (unsigned i = 0; i < l->n_monitors; i++)
		free(l->monitor[i].nodes);
	free(l->machine);
	free(l->monitor);
	*l = (struct machine_list){0};
}

static bool is_meant(const struct found_machine *f, const char *what)
{
	size_t n = strlen(f->monitor);

	return strcmp(f->name, what) == 0 ||
	       (strncmp(what, f->monitor, n) == 0 && what[n] == '/' && strcmp(what + n + 1, f->name) == 0);
}

bool control_has_ended(const struct found_machine *f)
{
	return strcmp(f->status, "shutdown") == 0 || strcmp(f->status, "guest-panicked") == 0;
}

const struct found_machine *control_find(const struct machine_list *l, const char *command, const char *what,
					 bool also_ended)
{
	const struct found_machine *meant = NULL;

	for (unsigned i = 0; i < l->n; i++) {
		const struct found_machine *f = &l->machine[i];

		if ((!also_ended && control_has_ended(f)) || !is_meant(f, what))
			continue;
		if (meant) {
			fprintf(stderr, "disco %s: %.200s: there are several, as %s/%s and %s/%s\n", command, what,
				meant->monitor, meant->name, f->monitor, f->name);
			return NULL;
		}
		meant = f;
	}
	if (!meant)
		control_found_complain(l, command);
	if (!meant)
		fprintf(stderr, "disco %s: %.200s: no machine of that name %s; 'disco ps' lists those that %s\n",
			command, what, also_ended ? "is there" : "runs", also_ended ? "are" : "do");
	return meant;
}

const struct found_machine *control_find_only(const struct machine_list *l, const char *command, const char *what)
{
	const struct found_machine *one = NULL;

	if (what)
		return control_find(l, command, what, false);
	for (unsigned i = 0; i < l->n; i++) {
		if (control_has_ended(&l->machine[i]))
			continue;
		if (one) {
			fprintf(stderr, "disco %s: which machine? 'disco ps' lists them\n", command);
			return NULL;
		}
		one = &l->machine[i];
	}
	if (!one)
		fprintf(stderr, "disco %s: no machine runs\n", command);
	return one;
}
