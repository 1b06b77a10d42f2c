/* SPDX-License-Identifier: MIT */
#ifndef VMM_SIMULATION_H
#define VMM_SIMULATION_H

/*
 * --numa flash: the monitor's machines run on a simulated FLASH (numa/flash/).  Its processors are the monitor's, its memory is machine
 * memory, its counters say which pages are hot, numa/policy.c what is to be done, and it is done as for any other run: numa/move.h.
 *
 * All processors are run by one thread of the host, in turns of numa_config.turn_ns (flash_turn_end()); a vCPU belongs to one of them, at
 * first the next one in the order of the nodes.  Where a processor has several, each has it for a slice of SCHED_SLICE_MS of its time, and one that
 * waits leaves it to the others.  One that has waited for half a slice while another processor had nothing to do belongs to that one from
 * then on, and its pages follow as any others that a node misses on.  What happens is a function of the machines and of what they execute: two
 * runs are the same to the cycle, if nothing comes from outside.
 *
 * Everything here is for the thread that runs the processors, or for others while all vCPUs are stopped (rendezvous.h), but
 * where it says otherwise.
 */
#include "base/types.h"
#include "numa/flash/flash.h"
#include "numa/policy.h"

struct monitor;
struct simulation;
struct vcpu;
struct vm;

/* mon has its memory and its numa_config.  0 or -ENOMEM. */
MUST_CHECK int simulation_new(struct simulation **out, struct monitor *mon);
void simulation_free(struct simulation *s);

/* ---- what it shows ---- */
/* Clocks, caches and controllers of each processor and node, and the counters of each machine page: flash.h. */
const struct flash *simulation_machine(const struct simulation *s);

/* What was done about hot pages, on all processors. */
struct simulation_counts {
	uint64_t migrated, migration_cycles; /* of the processor that missed: trap, shootdown, copy */
	uint64_t replicated, replication_cycles;
	uint64_t collapsed, collapse_cycles;
	uint64_t left[NUM_POLICY_REASONS]; /* hot, and left alone */
	uint64_t refused; /* it was to move, and could not: a device has its address, the node is full */
};
struct simulation_counts simulation_counts(const struct simulation *s);
/* The sum of flash_stats() over all processors; the clock of the one that is ahead. */
struct flash_stats simulation_totals(const struct simulation *s);
uint64_t simulation_cycles(const struct simulation *s);

/* One decision, when it has been carried out. */
struct simulation_decision {
	uint64_t cycles;   /* the processor's clock when it had the miss */
	uint32_t interval; /* flash_interval() */
	unsigned cpu, node;
	const struct vm *vm; /* whose vCPU it is */
	unsigned vcpu;
	uint64_t gpn;  /* guest page, of the pmap: vm_ram_physical() */
	uint32_t mpn;  /* machine page that it missed on */
	unsigned from; /* its node */
	unsigned copies;
	const uint32_t *misses; /* [processors] to it in this interval; as all else, as it was before */
	uint32_t writes;
	struct policy_decision policy;
	int err;       /* 0, or why it could not be done (-errno) */
	uint64_t cost; /* cycles that it took of the processor's time */
	bool collapse; /* a write to a page with copies, which has one again; policy says nothing then */
};
/* Have fn called for each decision from now on; NULL: nobody. */
void simulation_on_decision(struct simulation *s, void (*fn)(void *opaque, const struct simulation_decision *d),
			    void *opaque);

/* Have fn called whenever an interval is over: all counters of pages are 0. */
void simulation_on_interval(struct simulation *s, void (*fn)(void *opaque), void *opaque);

/* ---- for vCPUs, the clock and the scheduler ---- */
/* A vCPU that is being made gets its processor and node; its machine's pages get a history.  0 or -ENOMEM. */
void simulation_add(struct simulation *s, struct vcpu *v);
void simulation_remove(struct vcpu *v);
MUST_CHECK int simulation_vm_new(struct vm *vm);
void simulation_vm_free(struct vm *vm);
/* sched_config.order.  s: the simulation. */
struct vcpu *simulation_next(void *s, struct vcpu *queue);
/* v is about to run: it may have come to another node. */
void simulation_arrive(struct vcpu *v);
/* clock_config.simulated */
extern const struct clock_source simulation_clock;
/* The node for what v is about to access at ram, an address of the pmap. */
unsigned simulation_place(struct vcpu *v, struct gpa ram);
/* v is about to write there: copies of the page on other nodes will go (pmap_get()), which takes its time. */
void simulation_collapse(struct vcpu *v, struct gpa ram);
/* Pages that have become hot (v->caches): decide, and do it.  Between two instructions, with nobody's lock. */
void simulation_decide(struct vcpu *v);

#endif
