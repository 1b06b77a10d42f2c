/* SPDX-License-Identifier: MIT */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <pthread.h>

#include "base/trace.h"
#include "frontend/cp0.h"
#include "frontend/frontend.h"
#include "jit/jit.h"
#include "numa/numa.h"
#include "tlb/guest_tlb.h"
#include "tlb/l2tlb.h"
#include "vmm/cpu/caches.h"
#include "vmm/cpu/debug.h"
#include "vmm/cpu/watchdog.h"
#include "vmm/monitor/rendezvous.h"
#include "vmm/monitor/sched.h"

struct vm;

struct vcpu_stats {
	uint64_t exits[NUM_EXITS];
	uint64_t exceptions[32];
	uint64_t interrupts;
	uint64_t slow_loads, slow_stores, mmio_reads, mmio_writes;
	uint64_t ns_lift, ns_passes;
	uint64_t interp_insns, smc_stores;
	uint64_t monitor_calls, pages_zeroed, pages_freed;
};

/* Where the guest was found lately (region.c). */
enum { REGION_SAMPLES = 512, REGION_HOT_SAMPLES = 2 };
struct region_sample {
	uint32_t mpn;
	uint16_t off, count;
};

/* What becomes of a slice: how run_loop_slice() ends. */
enum run_slice {
	RUN_ON,
	SLICE_OVER,   /* somebody else is to have the processor, or the machine's turn is over (--icount) */
	SLICE_IDLE,   /* the guest waits for an interrupt */
	SLICE_PAUSED, /* the machine is paused (vm_pause()), until retry_ns if nobody kicks it before */
	SLICE_ENDED,  /* the machine has ended */
};

enum vcpu_power {
	VCPU_ON,
	VCPU_OFF,
	VCPU_FILLED_IN, /* struct vcpu_start is being */
	VCPU_ASKED,     /* to start */
};

/* How a vCPU begins that another one has started. */
struct vcpu_start {
	uint32_t pc, sp, arg, status, ebase;
};

struct vcpu {
	_Alignas(64) struct guest_state
	    gs; /* must be first: helpers get a guest_state and cast; no line is another vCPU's too */
	struct vm *vm;
	unsigned number; /* in vm->vcpu[] */
	unsigned node;
	const struct cpu_model *model;
	struct frontend *frontend;
	struct jit *jit;      /* NULL under --tiers=interp */
	uint32_t *abs_code;   /* guest_state.abs_code */
	struct caches caches; /* --numa flash */
	uint64_t *abs_fetch;  /* guest_state.abs_fetch; NULL without */
	bool stepped;         /* the last turn executed one instruction alone */
	bool settled; /* --numa flash: it stands where all tiers and all cuts into blocks come to (run_loop.c) */
	struct guest_tlb tlb;
	struct l2tlb *l2tlb;
	struct arena arena; /* scratch of the translation in progress */

	bool idle; /* executed WAIT, no interrupt since */
	bool step; /* the instruction at gs->pc is to be executed alone (mem.c: step_alone) */

	/* Monitor calls (monitor_call.c): memory that the guest has given up, until the dispatch loop takes it away. */
	struct gpa freed;
	uint64_t freed_bytes; /* 0: none */

	/* With others in its machine (vmm/monitor/siblings.h). */
	bool busy;               /* atomic */
	int power;               /* atomic: enum vcpu_power */
	struct vcpu_start start; /* of whoever set VCPU_FILLED_IN, then its own */
	bool timer_changed;      /* Count, Compare or Cause was written: cp0_timer_update() is due */
	/* What LL found, where others use the memory too (vmm/cpu/atomic.c). */
	const uint8_t *ll_host;
	uint64_t ll_stamp;
	uint64_t ll_physical; /* --icount */
	uint32_t sc_value;    /* what the SC in progress stores, as it will be in memory */

	/* Count/Compare: Count = virtual time * count_hz + count_base (vmm/monitor/clock.h). */
	uint64_t count_hz;
	uint32_t count_base;

	uint32_t random;       /* Random: where the next TLBWR goes, if Wired lets it */
	uint32_t random_state; /* of the generator behind it */

	uint64_t insns_refunded;             /* counted at a block head, not executed because of an exception */
	struct page_cache_entry *page_cache; /* host page -> machine page, of recent fetches (mem.c) */
	struct interp_cache *interp;         /* lifted blocks, --tiers=interp (interp_cache.c) */

	struct region_sample sample[REGION_SAMPLES];

	/* Where translated code was entered last, and by which tier: run_loop.c, "progress". */
	uint64_t entered_pc;
	uint32_t entered_mode;
	uint32_t entered_tier;
	uint32_t no_progress;     /* debug builds: turns in which nothing happened, one after the other */
	uint64_t progress;        /* debug builds: instructions and exceptions at the last turn */
	struct watchdog watchdog; /* is it getting on? */

	/* Between two slices (run_loop.c). */
	struct sched_vcpu sched;
	struct rendezvous_member stop; /* inside during a slice */
	enum exit_reason last;         /* why it left translated code, or what became of its last turn */
	enum run_slice becomes;        /* of the slice in progress: RUN_ON, or how it ends */
	uint64_t idle_calls; /* system calls when it was last idle, and since when it has made none (host_now_ns()) */
	uint64_t idle_since_ns;
	uint64_t retry_ns; /* the machine is paused: when what it waits for is tried again (host_now_ns()); else 0 */
	pthread_t thread;  /* atomic: that runs it, or did so last */

	struct tracer tracer;
	struct debug_vcpu debug; /* if there is a vm->debug */

	struct vcpu_stats stats;
};

static inline struct vcpu *vcpu_of(struct guest_state *gs) { return (struct vcpu *)gs; }

/* The vCPUs of vm, adjacent. 0 or -errno. */
MUST_CHECK int vcpus_new(struct vcpu **out, struct vm *vm, unsigned n);
void vcpus_free(struct vcpu *v, unsigned n);
/* Of the host's memory, of its tables of addresses.  Any thread. */
uint64_t vcpu_tables_bytes(const struct vcpu *v);
void vcpu_reset(struct vcpu *v);
/* Recompute gs->mode and gs->l2tlb from Status, FCSR, EntryHi and the segment of gs->pc. Every dispatch. */
void vcpu_update_mode(struct vcpu *v);

/* ---- code in machine pages: translations, and lifted blocks of the interpreter.  pa: where the guest has the page ---- */
/* The record of a page to execute from, at pc. Not under --tiers=interp. */
struct code_page *vcpu_code_page(struct vcpu *v, struct machine_page *page, struct gva pc);
/* Another one, in which the block of that page can be translated: jit_move_page(). Outside of translated code. */
void vcpu_move_code(struct vcpu *v, struct machine_page *page, struct gva pc, const struct ir_block *b);
/* The page is about to be several machines'. Outside of translated code. */
void vcpu_code_stays(struct vcpu *v, struct guest_page *g, struct gpa pa);
/*
 * Bytes of the page were written.  True: code that the vCPU is running may be gone, and must be left.  If the page has no code
 * any more it may have its write tag back (PAGE_CODE is gone).
 */
bool vcpu_written(struct vcpu *v, struct machine_page *page, struct gpa pa, uint32_t off, uint32_t bytes);
/*
 * The guest's page at pa is about to lose the machine page, which others may still have: unmapped code of it is not executed
 * there any more, and no lifted block.  For mapped code l2tlb_drop_page() does that.  A link of LL to a word of it is broken.
 */
void vcpu_forget_page(struct vcpu *v, struct machine_page *page, struct gpa pa);
/* Has unmapped code at pa, or at an address that looks like it, been entered since? */
bool vcpu_runs_page(const struct vcpu *v, struct gpa pa);
/* Drop what was made from these bytes, which have not changed. */
bool vcpu_invalidate_code(struct vcpu *v, struct machine_page *page, uint32_t off, uint32_t bytes);
/* Would a store there be one that vcpu_written() is true of? */
bool vcpu_code_at(struct vcpu *v, struct machine_page *page, uint32_t off, uint32_t bytes);
/* May it become one at any moment? */
bool vcpu_others_add_code(struct vcpu *v, struct machine_page *page);
/*
 * Cause is the vCPU's thread's, but for its IP bits, which others may change at the same time if there are several vCPUs.
 */
static inline uint32_t vcpu_cause(const struct vcpu *v)
{
	return (uint32_t)__atomic_load_n(&v->gs.cp0[CP0_Cause], __ATOMIC_RELAXED);
}
void vcpu_change_cause(struct vcpu *v, uint32_t clear, uint32_t set);
/* A device drives CPU pin n (2..7). */
void vcpu_set_irq(void *vcpu, unsigned pin, bool level);

#endif
