/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include "vmm/cli/top.h"

/* What `disco top` shows of simulated nodes (--numa), and of the pages that were hot lately. */

enum { LINE_BYTES = 200, NAME_WIDTH = 16, SHOWN_PAGES = 10 };

/* Since the look before; of a monitor that was not there then: nothing. */
static struct numa_node change_of(const struct top_looks *l, const struct found_monitor *m, unsigned n)
{
	const struct numa_node *is = &m->nodes->node[n], *was = is;
	struct numa_node d = {.pages = is->pages, .used = is->used};

	for (unsigned i = 0; i < l->was.n_monitors; i++) {
		const struct found_monitor *b = &l->was.monitor[i];

		if (b->nodes && b->nodes->n == m->nodes->n && strcmp(b->name, m->name) == 0)
			was = &b->nodes->node[n];
	}
#define CHANGE(field) d.field = is->field > was->field ? is->field - was->field : 0
	CHANGE(local);
	CHANGE(remote);
	CHANGE(migrated);
	CHANGE(replicated);
	CHANGE(collapsed);
	CHANGE(left);
#undef CHANGE
	return d;
}

static double a_second(const struct top_looks *l, uint64_t n)
{
	return 1000.0 * (double)n / (double)(l->ms ? l->ms : 1);
}

static double local_percent(const struct numa_node *d)
{
	return d->local + d->remote ? 100.0 * (double)d->local / (double)(d->local + d->remote) : 0;
}

bool top_has_nodes(const struct top_looks *l)
{
	for (unsigned i = 0; i < l->is.n_monitors; i++)
		if (l->is.monitor[i].nodes)
			return true;
	return false;
}

static void node_line(const struct top_looks *l, const struct found_monitor *m, unsigned n, char line[LINE_BYTES])
{
	struct numa_node d = change_of(l, m, n);
	char misses[64] = "         -         -      -";

	if (m->nodes->counted)
		snprintf(misses, sizeof(misses), "%10.0f%10.0f%6.1f%%", a_second(l, d.local), a_second(l, d.remote),
			 local_percent(&d));
	snprintf(line, LINE_BYTES, "%-*.*s %4u %5" PRIu64 "M %5" PRIu64 "M%s %8.1f %8.1f %9.1f %8.1f", NAME_WIDTH,
		 NAME_WIDTH, m->name, n, d.pages * PAGE_BYTES >> 20, d.used * PAGE_BYTES >> 20, misses,
		 a_second(l, d.migrated), a_second(l, d.replicated), a_second(l, d.collapsed), a_second(l, d.left));
}

static void page_line(const struct found_monitor *m, const struct found_page *p, char line[LINE_BYTES])
{
	snprintf(line, LINE_BYTES, "%-*.*s %-*.*s 0x%08" PRIx64 " %-10.10s %4u %6u %6" PRIu64 " %8" PRIu64 " %.60s",
		 NAME_WIDTH, NAME_WIDTH, m->name, NAME_WIDTH, NAME_WIDTH, p->machine, p->address, p->class, p->node,
		 p->copies, p->moves, p->heat, p->symbol);
}

void top_each_node_line(const struct top_looks *l, void (*put)(void *opaque, const char *line), void *opaque)
{
	bool any = false;
	char line[LINE_BYTES];

	for (unsigned i = 0; i < l->is.n_monitors; i++) {
		const struct found_monitor *m = &l->is.monitor[i];

		if (m->nodes && !any) {
			put(opaque, "");
			snprintf(line, sizeof(line), "%-*s %4s %6s %6s %9s %9s %6s %8s %8s %9s %8s", NAME_WIDTH,
				 "MONITOR", "NODE", "MEMORY", "USED", "LOCAL/s", "REMOTE/s", "LOCAL%", "MOVES/s",
				 "COPIES/s", "COLLAPS/s", "LEFT/s");
			put(opaque, line);
		}
		any |= m->nodes != NULL;
		for (unsigned n = 0; m->nodes && n < m->nodes->n; n++) {
			node_line(l, m, n, line);
			put(opaque, line);
		}
	}
	any = false;
	for (unsigned i = 0; i < l->is.n_monitors; i++) {
		const struct found_monitor *m = &l->is.monitor[i];

		for (unsigned k = 0; m->nodes && k < m->nodes->n_hot && k < SHOWN_PAGES; k++) {
			if (!any) {
				put(opaque, "");
				snprintf(line, sizeof(line), "%-*s %-*s %-10s %-10s %4s %6s %6s %8s %s", NAME_WIDTH,
					 "MONITOR", NAME_WIDTH, "HOT PAGE OF", "ADDRESS", "IS", "NODE", "COPIES",
					 "MOVES", "HEAT", "SYMBOL");
				put(opaque, line);
			}
			any = true;
			page_line(m, &m->nodes->hot[k], line);
			put(opaque, line);
		}
	}
}

static json_t *node_object(const struct top_looks *l, const struct found_monitor *m, unsigned n)
{
	const struct numa_node *is = &m->nodes->node[n];
	struct numa_node d = change_of(l, m, n);
	json_t *one = json_pack("{s:i}", "node", (int)n);

#define NUMA_NODE_FIGURE(field, name) json_object_set_new(one, name, json_integer((json_int_t)is->field));
#include "numa/watch.def"
	json_object_set_new(one, "moves-per-second", json_real(a_second(l, d.migrated)));
	json_object_set_new(one, "copies-per-second", json_real(a_second(l, d.replicated)));
	if (!m->nodes->counted)
		return one;
	json_object_set_new(one, "local-misses-per-second", json_real(a_second(l, d.local)));
	json_object_set_new(one, "remote-misses-per-second", json_real(a_second(l, d.remote)));
	return one;
}

json_t *top_nodes_object(const struct top_looks *l, const struct found_monitor *m)
{
	const struct found_nodes *f = m->nodes;
	json_t *nodes = json_array(), *hottest = json_array();

	for (unsigned n = 0; n < f->n; n++)
		json_array_append_new(nodes, node_object(l, m, n));
	for (unsigned i = 0; i < f->n_hot; i++) {
		const struct found_page *p = &f->hot[i];
		json_t *one = json_pack("{s:s, s:I, s:s, s:i, s:i, s:I, s:I}", "machine", p->machine, "address",
					(json_int_t)p->address, "class", p->class, "node", (int)p->node, "copies",
					(int)p->copies, "moves", (json_int_t)p->moves, "heat", (json_int_t)p->heat);

		if (p->symbol[0])
			json_object_set_new(one, "symbol", json_string(p->symbol));
		json_array_append_new(hottest, one);
	}
	return json_pack("{s:s, s:b, s:o, s:o}", "mode", f->mode, "counted", f->counted, "nodes", nodes, "hottest",
			 hottest);
}
