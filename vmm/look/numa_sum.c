/* SPDX-License-Identifier: MIT */
#include "vmm/look/numa_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

enum { HOTTEST = 20 };

/* ---- summing up ---- */

static int by_page(const void *a, const void *b)
{
	const struct numa_log_event *x = *(const struct numa_log_event *const *)a,
				    *y = *(const struct numa_log_event *const *)b;

	if (x->machine != y->machine)
		return x->machine < y->machine ? -1 : 1;
	if (x->page != y->page)
		return x->page < y->page ? -1 : 1;
	return x->at_ns != y->at_ns ? (x->at_ns < y->at_ns ? -1 : 1) : x < y ? -1 : 1;
}

static int by_heat(const void *a, const void *b)
{
	const struct numa_page_sum *x = a, *y = b;

	if (x->misses != y->misses)
		return x->misses < y->misses ? 1 : -1;
	if (x->events != y->events)
		return x->events < y->events ? 1 : -1;
	return x->machine != y->machine ? (x->machine < y->machine ? -1 : 1) : x->page < y->page ? -1 : 1;
}

static struct numa_machine_sum *machine_of(struct numa_sum *s, unsigned number)
{
	unsigned i = s->n_machines;

	for (unsigned k = 0; k < s->n_machines; k++)
		if (s->machine[k].number == number)
			return &s->machine[k];
	for (; i && s->machine[i - 1].number > number; i--)
		s->machine[i] = s->machine[i - 1];
	s->n_machines++;
	s->machine[i] = (struct numa_machine_sum){.number = number};
	for (unsigned k = 0; k < s->log->n_machines; k++)
		if (s->log->machine[k].number == number)
			s->machine[i].machine = &s->log->machine[k];
	return &s->machine[i];
}

static void add_event(struct numa_sum *s, const struct numa_log_event *e, bool new_page)
{
	struct numa_machine_sum *m = machine_of(s, e->machine);
	struct numa_page_sum *p;

	s->event[e->event]++;
	s->reason[e->event][e->reason]++;
	s->cost_ns[e->event] += e->cost_ns;
	m->event[e->event]++;
	m->pages += new_page;
	s->node[e->node].migrated += e->event == NUMA_MIGRATE;
	s->node[e->node].replicated += e->event == NUMA_REPLICATE;
	s->node[e->node].collapsed += e->event == NUMA_COLLAPSE;
	s->node[e->node].left += e->event == NUMA_LEAVE;
	if (new_page)
		s->page[s->n_pages++] = (struct numa_page_sum){.machine = e->machine, .page = e->page};
	p = &s->page[s->n_pages - 1];
	p->node = e->event == NUMA_MIGRATE || e->event == NUMA_REPLICATE ? e->node : e->from;
	p->class = e->class;
	p->event[e->event]++;
	p->events++;
	p->misses += e->misses;
}

static int sum_events(struct numa_sum *s)
{
	const struct numa_log *l = s->log;
	const struct numa_log_event **sorted = calloc(l->n_events + 1, sizeof(*sorted));

	s->page = calloc(l->n_events + 1, sizeof(*s->page));
	s->machine = calloc(NUMA_LOG_MACHINES, sizeof(*s->machine));
	if (!sorted || !s->page || !s->machine) {
		free(sorted);
		return -ENOMEM;
	}
	for (size_t i = 0; i < l->n_events; i++)
		sorted[i] = &l->event[i];
	qsort(sorted, l->n_events, sizeof(const struct numa_log_event *), by_page);
	for (unsigned k = 0; k < l->n_machines; k++)
		(void)machine_of(s, l->machine[k].number);
	for (size_t i = 0; i < l->n_events; i++)
		add_event(s, sorted[i],
			  !i || sorted[i]->machine != sorted[i - 1]->machine || sorted[i]->page != sorted[i - 1]->page);
	free(sorted);
	qsort(s->page, s->n_pages, sizeof(*s->page), by_heat);
	return 0;
}

int numa_log_sum(struct numa_sum *out, const struct numa_log *l)
{
	int err;

	*out = (struct numa_sum){.log = l};
	err = sum_events(out);
	if (err) {
		numa_sum_free(out);
		return err;
	}
	for (size_t i = 0; i < l->n_states; i++)
		for (unsigned n = 0; n < l->nodes; n++) {
			struct numa_node *to = &out->node[n];
			const struct numa_node *from = &l->state[i]->node[n];

			to->used = from->used;
			to->pages = from->used > to->pages ? from->used : to->pages;
			to->local = from->local;
			to->remote = from->remote;
		}
	for (size_t i = 0; i < l->n_guests; i++) {
		struct numa_machine_sum *m = machine_of(out, l->guest[i].machine);

		m->near = l->guest[i].near;
		m->far = l->guest[i].far;
	}
	return 0;
}

void numa_sum_free(struct numa_sum *s)
{
	free(s->page);
	free(s->machine);
	*s = (struct numa_sum){0};
}

/* ---- text ---- */

static double percent(uint64_t part, uint64_t rest)
{
	return part + rest ? 100.0 * (double)part / (double)(part + rest) : 0;
}
static uint64_t mib_tenths(uint64_t pages) { return pages * PAGE_BYTES * 10 >> 20; }

static void print_mib(uint64_t pages, FILE *out)
{
	fprintf(out, " %7" PRIu64 ".%" PRIu64 "M", mib_tenths(pages) / 10, mib_tenths(pages) % 10);
}

static void print_head(const struct numa_sum *s, const char *file, FILE *out)
{
	const struct numa_log *l = s->log;

	fprintf(out, "%s: --numa %s, %u node%s of %u processor%s, %.3f s of %s%s\n", file, l->mode, l->nodes,
		l->nodes == 1 ? "" : "s", l->cpus_per_node, l->cpus_per_node == 1 ? "" : "s", (double)l->last_ns / 1e9,
		l->simulated ? "simulated time" : "the host's time",
		l->ended ? "" : "; the log has no end: the run goes on, or was killed");
	fprintf(out, "%s\n\n", l->parameters);
}

static void print_events(const struct numa_sum *s, FILE *out)
{
	double seconds = (double)s->log->last_ns / 1e9;

	fprintf(out, "%-10s %10s %10s %8s  %s\n", "DECISION", "NUMBER", "A SECOND", "EACH us", "WHY");
	for (unsigned e = 0; e < NUM_NUMA_EVENTS; e++) {
		const char *sep = "";

		fprintf(out, "%-10s %10" PRIu64 " %10.1f ", numa_event_word(e), s->event[e],
			seconds > 0 ? (double)s->event[e] / seconds : 0);
		if (s->cost_ns[e])
			fprintf(out, "%8.1f  ", (double)s->cost_ns[e] / 1000 / (double)s->event[e]);
		else
			fprintf(out, "%8s  ", "-");
		for (unsigned r = 0; r < NUM_POLICY_REASONS; r++) {
			if (!s->reason[e][r])
				continue;
			fprintf(out, "%s%s: %" PRIu64, sep, policy_reason_text(r), s->reason[e][r]);
			sep = "; ";
		}
		fprintf(out, "%s\n", s->event[e] ? "" : "-");
	}
}

static void print_nodes(const struct numa_sum *s, FILE *out)
{
	fprintf(out, "\n%-4s %9s %9s %10s %10s %10s %10s %12s %12s %7s\n", "NODE", "MEMORY", "MOST", "MIGRATED",
		"COPIES", "COLLAPSED", "LEFT", "LOCAL", "REMOTE", "LOCAL%");
	for (unsigned n = 0; n < s->log->nodes; n++) {
		const struct numa_node *d = &s->node[n];

		fprintf(out, "%-4u", n);
		print_mib(d->used, out);
		print_mib(d->pages, out);
		fprintf(out, " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64, d->migrated, d->replicated,
			d->collapsed, d->left);
		if (s->log->simulated)
			fprintf(out, " %12" PRIu64 " %12" PRIu64 " %6.1f%%\n", d->local, d->remote,
				percent(d->local, d->remote));
		else
			fprintf(out, " %12s %12s %7s\n", "-", "-", "-");
	}
}

static void print_machines(const struct numa_sum *s, FILE *out)
{
	char text[32];

	fprintf(out, "\n%-16s %8s", "MACHINE", "PAGES");
	for (unsigned e = 0; e < NUM_NUMA_EVENTS; e++)
		fprintf(out, " %9s", numa_event_word(e));
	fprintf(out, " %6s\n", "NEAR%");
	for (unsigned i = 0; i < s->n_machines; i++) {
		const struct numa_machine_sum *m = &s->machine[i];

		fprintf(out, "%-16s %8" PRIu64, numa_log_name(s->log, m->number, text, sizeof(text)), m->pages);
		for (unsigned e = 0; e < NUM_NUMA_EVENTS; e++)
			fprintf(out, " %9" PRIu64, m->event[e]);
		if (m->near + m->far)
			fprintf(out, " %5.1f%%\n", percent(m->near, m->far));
		else
			fprintf(out, " %6s\n", "-");
	}
}

static void print_pages(const struct numa_sum *s, FILE *out)
{
	char text[32];

	if (!s->n_pages)
		return;
	fprintf(out, "\n%-16s %10s %-10s %10s %9s", "HOTTEST", "ADDRESS", "IS", "MISSES", "DECISIONS");
	fprintf(out, " %9s %9s %9s %5s\n", "migrate", "replicate", "collapse", "NODE");
	for (uint64_t i = 0; i < s->n_pages && i < HOTTEST; i++) {
		const struct numa_page_sum *p = &s->page[i];

		fprintf(out, "%-16s 0x%08" PRIx64 " %-10s", numa_log_name(s->log, p->machine, text, sizeof(text)),
			p->page << PAGE_SHIFT, memory_class_word(p->class));
		if (s->log->simulated)
			fprintf(out, " %10" PRIu64, p->misses);
		else
			fprintf(out, " %10s", "-");
		fprintf(out, " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %5u\n", p->events,
			p->event[NUMA_MIGRATE], p->event[NUMA_REPLICATE], p->event[NUMA_COLLAPSE], p->node);
	}
	if (s->n_pages > HOTTEST)
		fprintf(out, "and %" PRIu64 " pages more\n", s->n_pages - HOTTEST);
}

void numa_sum_print(const struct numa_sum *s, const char *file, FILE *out)
{
	print_head(s, file, out);
	print_events(s, out);
	print_nodes(s, out);
	if (s->n_machines)
		print_machines(s, out);
	print_pages(s, out);
}

/* ---- JSON ---- */

static void set(json_t *of, const char *name, uint64_t n)
{
	json_object_set_new(of, name, json_integer((json_int_t)n));
}

static json_t *events_object(const uint64_t *event)
{
	json_t *all = json_object();

	for (unsigned e = 0; e < NUM_NUMA_EVENTS; e++)
		set(all, numa_event_word(e), event[e]);
	return all;
}

static json_t *reasons_object(const struct numa_sum *s)
{
	json_t *all = json_object();

	for (unsigned e = 0; e < NUM_NUMA_EVENTS; e++) {
		json_t *one = json_object();

		for (unsigned r = 0; r < NUM_POLICY_REASONS; r++)
			if (s->reason[e][r])
				set(one, policy_reason_text(r), s->reason[e][r]);
		json_object_set_new(all, numa_event_word(e), one);
	}
	return all;
}

static json_t *nodes_array(const struct numa_sum *s)
{
	json_t *list = json_array();

	for (unsigned n = 0; n < s->log->nodes; n++) {
		const struct numa_node *d = &s->node[n];
		json_t *one = json_object();

		set(one, "pages-used", d->used);
		set(one, "most-pages-used", d->pages);
		set(one, "migrated", d->migrated);
		set(one, "replicated", d->replicated);
		set(one, "collapsed", d->collapsed);
		set(one, "left", d->left);
		if (s->log->simulated) {
			set(one, "local-misses", d->local);
			set(one, "remote-misses", d->remote);
		}
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *machines_array(const struct numa_sum *s)
{
	json_t *list = json_array();
	char text[32];

	for (unsigned i = 0; i < s->n_machines; i++) {
		const struct numa_machine_sum *m = &s->machine[i];
		json_t *one = json_pack("{s:s, s:o}", "machine", numa_log_name(s->log, m->number, text, sizeof(text)),
					"decisions", events_object(m->event));

		set(one, "pages-decided-on", m->pages);
		set(one, "near-pages", m->near);
		set(one, "far-pages", m->far);
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *pages_array(const struct numa_sum *s)
{
	json_t *list = json_array();
	char text[32];

	for (uint64_t i = 0; i < s->n_pages && i < HOTTEST; i++) {
		const struct numa_page_sum *p = &s->page[i];
		json_t *one =
		    json_pack("{s:s, s:s, s:o}", "machine", numa_log_name(s->log, p->machine, text, sizeof(text)),
			      "class", memory_class_word(p->class), "decisions", events_object(p->event));

		set(one, "address", p->page << PAGE_SHIFT);
		set(one, "node", p->node);
		if (s->log->simulated)
			set(one, "misses", p->misses);
		json_array_append_new(list, one);
	}
	return list;
}

void numa_sum_print_json(const struct numa_sum *s, FILE *out)
{
	const struct numa_log *l = s->log;
	json_t *all = json_pack("{s:s, s:b, s:b, s:s, s:i, s:f}", "mode", l->mode, "simulated", l->simulated,
				"complete", l->ended, "parameters", l->parameters, "cpus-per-node",
				(int)l->cpus_per_node, "seconds", (double)l->last_ns / 1e9);

	json_object_set_new(all, "decisions", events_object(s->event));
	json_object_set_new(all, "reasons", reasons_object(s));
	if (l->simulated)
		json_object_set_new(all, "cost-ns", events_object(s->cost_ns));
	json_object_set_new(all, "nodes", nodes_array(s));
	json_object_set_new(all, "machines", machines_array(s));
	set(all, "pages-decided-on", s->n_pages);
	json_object_set_new(all, "hottest", pages_array(s));
	json_dumpf(all, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	fputc('\n', out);
	json_decref(all);
}
