/* SPDX-License-Identifier: MIT */
#include "numa/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/host_clock.h"
#include "base/trace.h"

static const struct {
	const char *word, *text, *colour;
} events[] = {
#define NUMA_EVENT(name, word, text, colour) {word, text, colour},
#include "numa/watch.def"
};

const char *numa_event_word(enum numa_event event) { return events[event].word; }
const char *numa_event_text(enum numa_event event) { return events[event].text; }
const char *numa_event_colour(enum numa_event event) { return events[event].colour; }

const char *memory_class_word(enum memory_class class)
{
	static const char *const words[NUM_MEMORY_CLASSES] = {"private", "disk-block", "equal", "zero", "region"};

	return words[class];
}

enum { HOT_SLOTS = 64, HALVE_MS = 1000 };

struct numa_watch {
	struct numa_watch_config cfg;
	struct numa_config numa;
	uint64_t start_ns; /* of the host */

	pthread_mutex_t lock; /* guards what follows, and the log */
	struct tracer tracer;
	struct numa_look look;
	uint64_t halved_ns, nodes_ns; /* when the heat was halved, and numa_watch_nodes() called last */
	uint64_t lines, last_ns;
	struct numa_hot_page hot[HOT_SLOTS]; /* heat 0: free */
};

/* ---- the log ---- */

static void put_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
			fprintf(out, "\\u%04x", *c);
		else
			fputc(*c, out);
	fputc('"', out);
}

static void begin(struct numa_watch *w, const char *event, uint64_t at_ns)
{
	w->lines++;
	w->last_ns = at_ns > w->last_ns ? at_ns : w->last_ns;
	fprintf(w->cfg.log, "{\"event\":\"%s\",\"at\":%" PRIu64, event, at_ns);
}

static void put_head(struct numa_watch *w)
{
	FILE *out = w->cfg.log;
	const char *sep = "";

	fprintf(
	    out,
	    "{\"disco-numa-log\":1,\"mode\":\"%s\",\"simulated\":%s,\"nodes\":%u,\"cpus-per-node\":%u,\"parameters\":[",
	    w->cfg.mode, w->cfg.simulated ? "true" : "false", w->numa.nodes, w->numa.cpus_per_node);
	for (unsigned n = 0; numa_config_rows[n].name; n++) {
		char text[100];

		for (const struct option_row *r = w->cfg.rows; r->name; r++) {
			if (strcmp(r->name, numa_config_rows[n].name) != 0)
				continue;
			numa_config_text(&w->numa, n, text, sizeof(text));
			fputs(sep, out);
			put_text(out, text);
			sep = ",";
		}
	}
	fputs("]}\n", out);
}

/* Those behind the last one that has missed are left out. */
static void put_misses(const struct numa_watch *w, const uint32_t *misses)
{
	FILE *out = w->cfg.log;
	unsigned n = numa_cpus(&w->numa);

	while (n && !misses[n - 1])
		n--;
	fputs(",\"misses\":[", out);
	for (unsigned i = 0; i < n; i++)
		fprintf(out, "%s%" PRIu32, i ? "," : "", misses[i]);
	fputc(']', out);
}

static void put_event(struct numa_watch *w, const struct numa_decided *d)
{
	FILE *out = w->cfg.log;

	begin(w, events[d->event].word, d->at_ns);
	fprintf(out,
		",\"interval\":%" PRIu32 ",\"machine\":%u,\"page\":%" PRIu64
		",\"class\":\"%s\",\"processor\":%u,\"node\":%u,"
		"\"from\":%u,\"copies\":%u,\"reason\":",
		d->interval, d->machine, d->gpn, memory_class_word(d->class), d->cpu, d->node, d->from, d->copies);
	put_text(out, policy_reason_text(d->reason));
	if (d->misses)
		put_misses(w, d->misses);
	if (w->cfg.simulated)
		fprintf(out, ",\"cost\":%" PRIu64, d->cost_ns);
	fprintf(out, ",\"writes\":%" PRIu32 "}\n", d->writes);
}

/* ---- the hottest pages: as many as there are slots, the coldest gives way (Metwally and others' Space-Saving) ---- */

static void cool(struct numa_watch *w, uint64_t at_ns)
{
	if (at_ns < w->halved_ns + HALVE_MS * 1000000ull)
		return;
	w->halved_ns = at_ns;
	for (unsigned i = 0; i < HOT_SLOTS; i++)
		w->hot[i].heat /= 2;
}

static struct numa_hot_page *slot_of(struct numa_watch *w, unsigned machine, uint64_t gpn)
{
	struct numa_hot_page *coldest = w->hot;

	for (unsigned i = 0; i < HOT_SLOTS; i++) {
		struct numa_hot_page *h = &w->hot[i];

		if (h->heat && h->machine == machine && h->gpn == gpn)
			return h;
		if (h->heat < coldest->heat)
			coldest = h;
	}
	*coldest = (struct numa_hot_page){.machine = machine, .gpn = gpn, .heat = coldest->heat};
	return coldest;
}

static void heat(struct numa_watch *w, const struct numa_decided *d)
{
	bool moved = d->event == NUMA_MIGRATE || d->event == NUMA_REPLICATE;
	struct numa_hot_page *h;

	cool(w, d->at_ns);
	h = slot_of(w, d->machine, d->gpn);
	h->heat += d->weight;
	h->class = d->class;
	h->node = moved ? d->node : d->from;
	h->copies = d->event == NUMA_COLLAPSE ? 1 : d->copies + (d->event == NUMA_REPLICATE);
	h->moves += moved;
}

static int hotter(const void *a, const void *b)
{
	const struct numa_hot_page *x = a, *y = b;

	return x->heat != y->heat ? (x->heat < y->heat ? 1 : -1) : x->gpn < y->gpn ? -1 : x->gpn > y->gpn;
}

/* ---- calls ---- */

int numa_watch_new(struct numa_watch **out, const struct numa_watch_config *cfg)
{
	struct numa_watch *w = calloc(1, sizeof(*w));

	if (!w) {
		if (cfg->log)
			fclose(cfg->log);
		return -ENOMEM;
	}
	w->cfg = *cfg;
	w->numa = *cfg->numa;
	w->cfg.numa = &w->numa;
	tracer_init(&w->tracer, cfg->trace, NULL, -1);
	w->start_ns = host_now_ns();
	w->look.n_nodes = w->numa.nodes;
	w->look.counted = cfg->simulated;
	w->look.mode = cfg->mode;
	pthread_mutex_init(&w->lock, NULL);
	if (cfg->log)
		put_head(w);
	*out = w;
	return 0;
}

int numa_watch_free(struct numa_watch *w)
{
	int err = 0;

	if (!w)
		return 0;
	if (w->cfg.log) {
		fprintf(w->cfg.log, "{\"event\":\"end\",\"at\":%" PRIu64 ",\"lines\":%" PRIu64 "}\n", w->last_ns,
			w->lines);
		errno = EIO; /* of a write that has failed before, nobody says why */
		if (ferror(w->cfg.log))
			err = -errno;
		if (fclose(w->cfg.log) && !err)
			err = -errno;
	}
	tracer_fini(&w->tracer);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return err;
}

void numa_watch_machine(struct numa_watch *w, unsigned machine, const char *name, uint64_t bytes)
{
	if (!numa_watch_logs(w))
		return;
	pthread_mutex_lock(&w->lock);
	begin(w, "machine", w->last_ns);
	fprintf(w->cfg.log, ",\"machine\":%u,\"pages\":%" PRIu64 ",\"name\":", machine, bytes / PAGE_BYTES);
	put_text(w->cfg.log, name);
	fputs("}\n", w->cfg.log);
	pthread_mutex_unlock(&w->lock);
}

/* With w's lock. */
static void put_trace(struct numa_watch *w, const struct numa_decided *d)
{
	TRACE(&w->tracer, PAGE_MOVE, d->machine, d->gpn, TRACE_STRING(numa_event_word(d->event)),
	      TRACE_STRING(policy_reason_text(d->reason)), d->from, d->node);
}

void numa_watch_event(struct numa_watch *w, const struct numa_decided *d)
{
	struct numa_node *to;

	if (!w)
		return;
	ASSERT(d->node < w->numa.nodes);
	pthread_mutex_lock(&w->lock);
	to = &w->look.node[d->node];
	w->look.events[d->event]++;
	to->migrated += d->event == NUMA_MIGRATE;
	to->replicated += d->event == NUMA_REPLICATE;
	to->collapsed += d->event == NUMA_COLLAPSE;
	to->left += d->event == NUMA_LEAVE;
	heat(w, d);
	put_trace(w, d);
	if (w->cfg.log)
		put_event(w, d);
	pthread_mutex_unlock(&w->lock);
}

void numa_watch_froze(struct numa_watch *w, const struct numa_decided *d, const struct policy_history *before,
		      const struct policy_history *after)
{
	struct numa_decided freeze = *d;

	if (after->frozen_until == before->frozen_until)
		return;
	freeze.event = NUMA_FREEZE;
	freeze.reason = POLICY_FROZEN;
	freeze.weight = 0;
	freeze.from = d->node; /* it has arrived */
	numa_watch_event(w, &freeze);
}

bool numa_watch_logs(const struct numa_watch *w) { return w && w->cfg.log; }

bool numa_watch_due(struct numa_watch *w, uint64_t at_ns)
{
	bool due;

	if (!numa_watch_logs(w))
		return false;
	pthread_mutex_lock(&w->lock);
	due = at_ns >= w->nodes_ns + w->numa.interval_us * 1000ull;
	if (due)
		w->nodes_ns = at_ns;
	pthread_mutex_unlock(&w->lock);
	return due;
}

static void put_list(const struct numa_watch *w, const char *name, const struct numa_node *node, size_t offset)
{
	fprintf(w->cfg.log, ",\"%s\":[", name);
	for (unsigned i = 0; i < w->numa.nodes; i++)
		fprintf(w->cfg.log, "%s%" PRIu64, i ? "," : "",
			*(const uint64_t *)(const void *)((const char *)&node[i] + offset));
	fputc(']', w->cfg.log);
}

void numa_watch_nodes(struct numa_watch *w, uint64_t at_ns, const struct numa_node *node)
{
	if (!numa_watch_logs(w))
		return;
	pthread_mutex_lock(&w->lock);
	begin(w, "nodes", at_ns);
	put_list(w, "used", node, offsetof(struct numa_node, used));
	if (w->cfg.simulated) {
		put_list(w, "local", node, offsetof(struct numa_node, local));
		put_list(w, "remote", node, offsetof(struct numa_node, remote));
	}
	fputs("}\n", w->cfg.log);
	pthread_mutex_unlock(&w->lock);
}

void numa_watch_misses(struct numa_watch *w, unsigned node, uint64_t local, uint64_t remote)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->look.node[node].local = local;
	w->look.node[node].remote = remote;
	pthread_mutex_unlock(&w->lock);
}

void numa_watch_guest(struct numa_watch *w, uint64_t at_ns, unsigned machine, unsigned node, uint64_t near,
		      uint64_t far)
{
	if (!numa_watch_logs(w))
		return;
	pthread_mutex_lock(&w->lock);
	begin(w, "guest", at_ns);
	fprintf(w->cfg.log, ",\"machine\":%u,\"node\":%u,\"near\":%" PRIu64 ",\"far\":%" PRIu64 "}\n", machine, node,
		near, far);
	pthread_mutex_unlock(&w->lock);
}

uint64_t numa_watch_since(const struct numa_watch *w, uint64_t now_ns)
{
	return w && now_ns > w->start_ns ? now_ns - w->start_ns : 0;
}

void numa_watch_look(struct numa_watch *w, struct numa_look *out)
{
	struct numa_hot_page hot[HOT_SLOTS];

	*out = (struct numa_look){0};
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	*out = w->look;
	memcpy(hot, w->hot, sizeof(hot));
	pthread_mutex_unlock(&w->lock);
	qsort(hot, HOT_SLOTS, sizeof(hot[0]), hotter);
	while (out->n_hot < NUMA_HOT_PAGES && hot[out->n_hot].heat) {
		out->hot[out->n_hot] = hot[out->n_hot];
		out->n_hot++;
	}
}
