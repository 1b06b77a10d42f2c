/* SPDX-License-Identifier: MIT */
#ifndef VMM_MONITOR_H
#define VMM_MONITOR_H

/*
 * The monitor: one per process, under all of its machines.  It has the machine memory that they are given, and lets them share
 * pages of it (numa/share.h).  It has the code cache: what one machine has had translated, the others have too.  And it has the
 * processors that run them, and the thread that waits for their timers and input.
 */
#include <pthread.h>

#include "base/trace.h"
#include "jit/jit.h"
#include "numa/config.h"
#include "numa/host_nodes.h"
#include "numa/numa.h"

struct net_switch;
struct numa_watch;
struct perf_map;
struct rendezvous;
struct rendezvous_member;
struct sched;
struct simulation;
struct vm;
struct watcher;

struct monitor_config {
	uint64_t memory_bytes; /* of machine memory, for all machines together; multiple of PAGE_BYTES */
	uint64_t most_bytes;   /* what machine_memory_resize() may come to, if the host reserves so much; or 0 */
	unsigned nodes;        /* that it is spread over, 1 .. NUMA_MAX_NODES */
	const struct numa_config
	    *numa;                /* pages follow their machines to the nodes of the processors (follow.h); or NULL */
	struct numa_watch *watch; /* what is told of that (numa/watch.h); it outlives the monitor; or NULL */
	const struct numa_host
	    *host; /* nodes are memory and CPUs of the host's own (numa/host_nodes.h); or NULL: they are made up */
	bool
	    simulated; /* numa: its machine is simulated, and pages move as its counters say (simulation.h); repeatable */
	bool share;    /* more than one machine may come: they share what is equal (numa/share.h) */
	unsigned
	    merge; /* pages of each machine that are looked at in a second, whether others hold the same; 0: none */
	struct store *store; /* translations of other runs (jit/store/store.h), which outlives it; or NULL */
	struct trace *trace; /* --trace, which outlives it; or NULL */
	void (*last_words)(void *trace); /* at a panic(): panic_set_last_words(); or NULL */
	struct perf_map *perf_map;       /* --perf, which outlives it; or NULL */
	unsigned processors;             /* simulated ones; 0: the CPUs of the host that this process may use */
	bool repeatable;                 /* --icount: one processor, and turns in the order of vm_config.number */
	unsigned together; /* repeatable: no machine runs before that many have come to vm_run(); 0: at once */
};

/* Of words that vCPUs have linked (vmm/cpu/atomic.c); a line of the host's cache each. */
enum { MONITOR_STAMPS = 4096 };
struct monitor_stamp {
	uint64_t count; /* atomic */
	uint64_t unused[7];
};

struct monitor {
	struct machine_memory *memory;
	struct monitor_stamp *stamp;     /* [MONITOR_STAMPS] */
	bool share;                      /* monitor_config.share */
	unsigned merge;                  /* monitor_config.merge */
	struct store *store;             /* monitor_config.store */
	struct trace *trace;             /* monitor_config.trace */
	void (*last_words)(void *trace); /* monitor_config.last_words */
	struct perf_map *perf_map;       /* monitor_config.perf_map */
	struct tracer tracer;            /* of no machine: shared by threads that run none */
	bool follow;                     /* monitor_config.numa, and not simulated */
	struct simulation *simulation;   /* or NULL */
	struct numa_config numa;         /* what it is, if there is one */
	struct numa_watch *watch;        /* monitor_config.watch */
	struct numa_binding binding;     /* monitor_config.host */
	struct net_switch *net_switch;   /* its machines' lans; cables are closed before the monitor is freed */
	struct watcher *watcher;
	struct sched *sched;           /* the processors */
	struct rendezvous *rendezvous; /* of all vCPUs, and of the threads that load machines or take them apart */

	pthread_mutex_t lock;    /* guards all below */
	struct code_cache *code; /* made for the first machine that translates */
	bool abandoned;
	struct vm *machines; /* through vm.next; the newest first */
	unsigned n_machines;
};

/* 0 or -errno, as machine_memory_new(). No memory is touched, and no processor has a thread, until used. */
MUST_CHECK int monitor_new(struct monitor **out, const struct monitor_config *cfg);
/* Every machine must be gone. */
void monitor_free(struct monitor *mon);
/*
 * The code cache for a machine that wants cfg.  0 or -errno; -EINVAL: there is one already, and it is not such a one (what
 * translated code is like is the monitor's, not the machine's).  Any thread.
 */
MUST_CHECK int monitor_code_cache(struct monitor *mon, const struct jit_config *cfg, struct code_cache **out);
/* The process is about to end: code_cache_abandon(), after which monitor_free() leaves the code cache. */
MUST_CHECK bool monitor_abandon(struct monitor *mon);
/* repeatable: one of those that were to run together will not. Any thread. */
void monitor_absent(struct monitor *mon);
/* Called by vm_new() when all of it is there, and by vm_free() before anything goes. Any thread. */
void monitor_add(struct monitor *mon, struct vm *vm);
void monitor_remove(struct monitor *mon, struct vm *vm);
/* If it is time: look whether pages of this machine hold what others hold.  Its vCPU thread, outside of translated code. */
void monitor_merge(struct vm *vm);

#endif
