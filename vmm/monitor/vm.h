/* SPDX-License-Identifier: MIT */
#ifndef VMM_VM_H
#define VMM_VM_H

/*
 * One virtual machine: board, clock, vCPUs, and the part of the monitor's machine memory that it is given as
 * its RAM.  vmm/cpu/run_loop.h runs it.
 *
 * Its devices, which are all that its vCPUs share but memory, are used under its lock by whoever runs one of them: vm_lock().
 * Before vm_run() and after it they are the caller's.
 */
#include <pthread.h>

#include "base/trace.h"
#include "vmm/board/board.h"
#include "vmm/monitor/clock.h"
#include "vmm/monitor/rendezvous.h"

struct cpu_model;
struct debug;
struct follow;
struct history;
struct monitor;
struct policy_history;
struct region;
struct reverse;
struct vcpu;
struct virtio_bus;
struct mc146818_battery;
struct vm_dump;

#define VM_RX_BYTES  4096
#define VM_MAX_VCPUS 64

enum vm_end {
	VM_RUNS = 0,
	VM_POWER_OFF, /* the guest powered off */
	VM_RESET,     /* the guest asked for a reset */
	VM_QUIT,      /* the user quit */
	VM_PANIC,     /* the guest's kernel said that it panicked */
	VM_NO_MEMORY, /* machine memory is exhausted */
};

/* What vm_new() asked the host for when that had no more. */
struct vm_want {
	const char *what; /* NULL: nothing large */
	uint64_t bytes;   /* of address space */
};

static inline void vm_wants(struct vm_want *w, const char *what, uint64_t bytes)
{
	if (w)
		*w = (struct vm_want){what, bytes};
}

struct vm_config {
	uint64_t ram_bytes;
	const struct cpu_model *cpu;
	bool big_endian;
	bool icount;
	unsigned shares; /* weight for the processors (vmm/monitor/sched.h), 0: SCHED_DEFAULT_SHARES */
	unsigned cap;    /* percent of one processor that each vCPU has at most, 0: no limit */
	unsigned
	    vcpus; /* 1 .. VM_MAX_VCPUS, 0: 1; the first one runs, the others are started by the guest (monitor calls) */
	const char *name; /* in traces; or NULL */
	unsigned number;  /* among the machines of the monitor: whose turn it is if they are to be repeatable */
	bool count_insns; /* --stats */
	bool keep_ir;     /* --dump h: show it beside the host code */
	bool tier1, tier2;
	uint64_t code_bytes;    /* limit of translated code */
	uint32_t hot_threshold; /* 0: default */
	bool hot_blocks;        /* every block counts its executions, not jumps back only (--hot) */
	bool sync_tier2;        /* tier 2 is compiled when it is asked for, and waited for; always so without tier 1 */
	int input_fd;           /* console input to wait for, -1: none */
	void (*console_tx)(void *opaque, const uint8_t *data, size_t n);
	size_t (*console_rx)(void *opaque, uint8_t *data, size_t n, int *end); /* *end: 1 end of input, 2 quit */
	void (*report)(void *opaque, const char *text); /* one line for the user; any thread; NULL: nobody wants it */
	void (*idle)(void *opaque); /* the guest waits, or devices were looked after: flush output */
	struct vm_want *want;       /* or NULL */
	void *opaque;
	struct region *const
	    *region; /* [n_regions]: those that it may use (numa/region.h), by the numbers that its guest knows */
	unsigned n_regions;
	uint64_t date_ns;                 /* --icount: the date at power-on, ns since 1970; else it is the host's */
	struct mc146818_battery *battery; /* of the RTC, outlives the machine; or NULL: it forgets */
};

/* The scan for equal pages: monitor_merge().  vCPU thread. */
struct vm_merge {
	uint64_t at_ns;    /* it was here last */
	uint64_t looked;   /* pages of this round */
	uint64_t merged;   /* pages in all rounds before */
	unsigned rounds;   /* the first ones */
	unsigned halvings; /* of the rate, as little was found */
	unsigned calls;    /* debug builds: of monitor_merge() */
};

struct vm {
	struct vm_config cfg;
	struct monitor *monitor;
	struct vm *next; /* monitor.machines; guarded by monitor.lock */
	bool listed;     /* there */
	struct vm_merge merge;
	struct policy_history
	    *history;          /* by guest page: what simulation.c has done with it; NULL: it is not simulated */
	struct follow *follow; /* vmm/monitor/follow.h; NULL: its pages stay where they are */
	struct pmap *ram;
	struct board *board;
	struct clock *clock;
	struct vcpu *vcpu; /* an array */
	unsigned n_vcpus;
	bool mp; /* its memory has other users at the same time, vCPUs or machines: MODE_MP. Constant once it runs */
	struct virtio_bus *virtio; /* virtio_bus.c; NULL: no device */
	struct tracer tracer;      /* of its devices. Under its lock */
	struct vm_dump *dump;      /* --dump, or NULL */
	struct history *replay;    /* --record, --replay (vmm/replay/history.h), or NULL */
	struct reverse *reverse;   /* it can go back (vmm/replay/reverse.h), or NULL */
	struct profile *profile;   /* atomic: vmm/cpu/profile.h; NULL: nobody has wanted one of it yet */
	struct debug *debug; /* of a debugger (vmm/cpu/debug.h), or NULL; changed while none of its vCPUs is inside */
	int exit_status;     /* atomic: VM_POWER_OFF by a monitor call that says so, or -1 */
	int end;             /* enum vm_end; any thread may set it, then clock_kick() */

	pthread_mutex_t lock; /* guards board, clock and virtio, and what follows */
	pthread_t owner;      /* atomic: of the lock */
	bool owned;           /* atomic: somebody has it */
	bool running;         /* atomic: in vm_run(); else the devices are the caller's, without the lock */
	unsigned pauses;      /* vm_pause() without its vm_go(); others may look (atomic) */

	/* Several vCPUs: siblings.h. */
	bool stopping;               /* atomic; set and cleared by the lock's owner: all are to be parked */
	pthread_mutex_t park_lock;   /* for the waits of parking */
	pthread_cond_t parked;       /* stopping, or some vCPU's busy, has changed */
	uint64_t stops;              /* guarded by park_lock */
	pthread_mutex_t memory_lock; /* guards the pmap's rows where only something is added; taken last of all */

	/* Console input that the guest's UART had no room for yet.  Read ahead, so that the monitor's keys are seen. */
	uint8_t rx[VM_RX_BYTES];
	size_t rx_bytes;

	struct rendezvous_member work; /* of the machine's own thread: vm_change() */
};

/* A machine of mon's, which must outlive it. 0 or -errno; of -ENOMEM cfg->want says more. Nothing of the guest runs. Any thread. */
MUST_CHECK int vm_new(struct vm **out, struct monitor *mon, const struct vm_config *cfg);
void vm_free(struct vm *vm);
/* Any thread. */
void vm_end(struct vm *vm, enum vm_end why);
/* The signal to the threads that run the machine's vCPUs, so that what its devices wait for returns. Any thread. */
void vm_interrupt(struct vm *vm, int sig);
/*
 * Whoever uses the machine's devices while it runs has its lock: one holder, who may wait for a slow device with it.  Not
 * recursive.  Cost: 20 ns.
 */
void vm_lock(struct vm *vm);
void vm_unlock(struct vm *vm);
/* This thread may use the devices; for assertions. */
bool vm_owned(const struct vm *vm);
/*
 * While no vCPU of it runs, the machine's own thread changes its memory between these two; not while others are stopped
 * (vmm/monitor/rendezvous.h). They nest.
 */
void vm_change(struct vm *vm);
void vm_changed(struct vm *vm);
/*
 * Around a wait for the host that may take long, of a device, say: who stops the vCPU does not wait for it there.  It may hold its
 * machine's lock, and meanwhile changes nothing of the guest.  On threads that run none they do nothing.
 */
void vm_step_aside(struct vm *vm);
void vm_step_back(struct vm *vm);
/* The vCPU of vm that this thread runs, as rendezvous() wants it; or NULL. */
struct rendezvous_member *vm_member_here(struct vm *vm);
/*
 * The guest does not run and its time does not pass until there was a vm_go() for each vm_pause(); the monitor's keys, signals,
 * and what devices have to do meanwhile work on, and the machine can end; it holds no processor.  Under its lock.
 */
void vm_pause(struct vm *vm);
void vm_go(struct vm *vm);
/* XXH3 over guest registers, CP0, TLB and memory: equal states, equal hash (tier-independent). */
uint64_t vm_state_hash(struct vm *vm);

/* A tracer of it: of a vCPU, or -1 of what it has besides. Once there is a clock it may be used. */
void vm_trace(struct vm *vm, struct tracer *t, int vcpu);

/*
 * RAM of the Malta: the first 256 MiB at 0, the rest from 512 MiB on (the hole is the I/O window).
 * True if pa is RAM; *out is then the address to give to the pmap.
 */
bool vm_ram(const struct vm *vm, struct gpa pa, struct gpa *out);
/* The physical address of an address of the pmap. */
struct gpa vm_ram_physical(struct gpa ram);

#endif
