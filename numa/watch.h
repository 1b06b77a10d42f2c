/* SPDX-License-Identifier: MIT */
#ifndef NUMA_WATCH_H
#define NUMA_WATCH_H

/*
 * Looking in: what is decided of pages, counted by node, with the pages that it is about most, and (--numa-log) written down, a JSON
 * object on a line for each decision.  Whoever decides tells; nothing here decides anything.
 *
 *   numa/policy.h ─► vmm/monitor/ does it ─► numa_watch_event() ─► totals, hottest pages ─► numa_watch_look(): disco top
 *                                                             └──► the log ─► disco numa FILE
 *
 * All of it: any thread; w NULL is fine, and nothing happens.  An event costs 100 ns, and 1 us more with a log, which may have to wait
 * for the host's disk.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "numa/policy.h"
#include "numa/share.h"

enum numa_event {
#define NUMA_EVENT(name, ...) NUMA_##name,
#include "numa/watch.def"
	NUM_NUMA_EVENTS
};

/* "migrate"; "moved to the node that uses it"; "#2f6db3". */
const char *numa_event_word(enum numa_event event);
const char *numa_event_text(enum numa_event event);
const char *numa_event_colour(enum numa_event event);
/* "disk-block". */
const char *memory_class_word(enum memory_class class);

struct trace;

struct numa_watch_config {
	const struct numa_config *numa;
	const struct option_row *rows; /* which of its parameters have a meaning here */
	const char *mode;              /* "sample", "flash", "host" */
	bool simulated;                /* times are simulated, misses are counted */
	FILE *log;                     /* it belongs to the watch; or NULL */
	struct trace *trace;           /* is told, too (base/trace.h); outlives the watch; or NULL */
};

/* A page, by its machine's number for it, and what was done about it. */
struct numa_decided {
	enum numa_event event;
	enum policy_reason reason; /* of NUMA_COLLAPSE: POLICY_WRITTEN */
	uint64_t at_ns;            /* since the start: of the host, or simulated */
	uint32_t interval;
	unsigned machine, cpu, node; /* who missed or wrote: the machine, the simulated processor and its node */
	uint64_t gpn;
	unsigned from; /* the node that had the page */
	enum memory_class class;
	const uint32_t *misses; /* [numa_cpus()] of the interval, to that page; NULL: not known */
	uint32_t writes;        /* among them */
	unsigned copies;        /* before it, in all */
	uint64_t cost_ns;       /* simulated: what it took of the processor's time; else 0 */
	uint32_t weight;        /* how much hotter it is with this: misses, or times that it was seen in use */
};

struct numa_node {
	uint64_t pages, used;                           /* of memory; filled in by the caller of numa_watch_look() */
	uint64_t local, remote;                         /* misses of its processors, where they are counted */
	uint64_t migrated, replicated, collapsed, left; /* pages that came to it; events of its processors */
};

enum { NUMA_HOT_PAGES = 16 };
struct numa_hot_page {
	unsigned machine, node, copies; /* as far as is known from its last event */
	enum memory_class class;
	uint64_t gpn;
	uint64_t heat; /* weights; half of it is forgotten each second */
	uint32_t moves;
};

/* All that was counted. */
struct numa_look {
	unsigned n_nodes;
	bool counted; /* misses are */
	const char *mode;
	struct numa_node node[NUMA_MAX_NODES];
	uint64_t events[NUM_NUMA_EVENTS];
	unsigned n_hot;
	struct numa_hot_page hot[NUMA_HOT_PAGES]; /* hottest first */
};

struct numa_watch;

/* 0 or -ENOMEM; cfg->log is closed then. */
MUST_CHECK int numa_watch_new(struct numa_watch **out, const struct numa_watch_config *cfg);
/* 0, or the first -errno of writing the log. */
int numa_watch_free(struct numa_watch *w);
/* A machine, of which events will tell. */
void numa_watch_machine(struct numa_watch *w, unsigned machine, const char *name, uint64_t bytes);
void numa_watch_event(struct numa_watch *w, const struct numa_decided *d);
/* A frozen page: numa_watch_event() with NUMA_FREEZE, if policy_moved() has just made it one.  d: of the move. */
void numa_watch_froze(struct numa_watch *w, const struct numa_decided *d, const struct policy_history *before,
		      const struct policy_history *after);
/* Is there a log? */
bool numa_watch_logs(const struct numa_watch *w);
/* The same, and is an interval over since it was the last time? */
bool numa_watch_due(struct numa_watch *w, uint64_t at_ns);
/* For time lines: node[n_nodes].{pages, used, local, remote}, the latter since the start. */
void numa_watch_nodes(struct numa_watch *w, uint64_t at_ns, const struct numa_node *node);
/* Misses of a node's processors since the start, where they are counted. */
void numa_watch_misses(struct numa_watch *w, unsigned node, uint64_t local, uint64_t remote);
/* Pages of a machine on the node that it runs on, and on others. */
void numa_watch_guest(struct numa_watch *w, uint64_t at_ns, unsigned machine, unsigned node, uint64_t near,
		      uint64_t far);
/* ns since numa_watch_new(), of now_ns of the host. */
uint64_t numa_watch_since(const struct numa_watch *w, uint64_t now_ns);
void numa_watch_look(struct numa_watch *w, struct numa_look *out);

#endif
