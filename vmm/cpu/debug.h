/* SPDX-License-Identifier: MIT */
#ifndef VMM_CPU_DEBUG_H
#define VMM_CPU_DEBUG_H

/*
 * What a debugger has the vCPUs of one machine do: stop at addresses, stop before accesses, step.
 *
 *   debugger's thread   ask_stop ──► kick                                go ──► kick
 *                                     │                                  ▲       │
 *   vCPU: dispatch loop ══════════════╪══► debug_rests(): at rest ─── SLICE_PAUSED ══════ runs on
 *         a breakpoint, a watchpoint, │         ▲
 *         the end of a step ──────────┴─────────┘ notify()
 *
 * The machine is paused meanwhile (vm_pause()): its time stands, its devices look after what they have to.  One that is
 * stopped is looked at and changed in a rendezvous (debug_act()), so that nothing of it runs then.
 *
 * A page with a breakpoint is not executed from in translated code: no exec word of an L2TLB and no guest_state.abs_code leads
 * there, and links into it find that out by themselves.  The dispatch loop has it interpreted, up to the next breakpoint.  A page
 * with a watchpoint has no read tag, or no write tag, so its accesses come to mem.c, which asks.  So other pages, other
 * machines, and the translations that they share know nothing of it.
 *
 * Addresses are virtual, of any address space.  A branch and its slot are one: a breakpoint in a slot stops at the branch, and a
 * step executes both.
 */
#include "base/panic.h"
#include "base/types.h"

struct guest_state;
struct vcpu;
struct vm;

/* In the order of the remote protocol's Z packets. */
enum debug_kind { DEBUG_SOFT, DEBUG_HARD, DEBUG_WRITE, DEBUG_READ, DEBUG_ACCESS, DEBUG_KINDS };
enum { DEBUG_MAX_POINTS = 4096, DEBUG_MAX_WATCH_BYTES = 1 << 20 };

struct debug_point {
	enum debug_kind kind;
	uint32_t va, bytes; /* breakpoints: of an instruction */
};

/* Why a vCPU has stopped its machine. */
enum debug_why {
	DEBUG_NOTHING,
	DEBUG_STEPPED,
	DEBUG_AT_POINT,
	DEBUG_AT_BEGIN, /* it has gone back to where it began (vmm/replay/reverse.h) */
};

/* What a vCPU does while its machine is let go. */
enum debug_go {
	DEBUG_RUN,
	DEBUG_STEP, /* one instruction, and on while pc is in [from, to); without interrupts */
	DEBUG_HOLD, /* nothing */
};

struct debug_vcpu {
	/* Atomic. */
	int go;        /* enum debug_go */
	int why;       /* enum debug_why */
	uint64_t rest; /* the stop at which it has come to rest: debug.stops */

	/* The debugger's while it is at rest, else its own thread's. */
	uint32_t from, to;
	bool began;               /* it has executed something since it was let go */
	struct debug_point point; /* why: AT_POINT */
	uint32_t access;          /* of a watchpoint: the address */
	int found;                /* enum debug_why: in the turn in progress */
};

#define DEBUG_PAGES 4096 /* bits of a filter by page */

/* Of one machine; outlives its boots. */
struct debug {
	void (*notify)(void *opaque); /* there may be something new. Any thread */
	void *opaque;

	/* Atomic. */
	bool want_stop;
	bool alone;     /* steps are made also while somebody else has the machine paused */
	bool paused;    /* it has the machine paused; written under the machine's lock */
	uint64_t stops; /* counted when it is */

	/* Changed while no vCPU of the machine is inside (debug_act()). */
	unsigned n_points, room;
	unsigned n_breaks, n_watches; /* of these */
	struct debug_point *point;
	uint64_t break_pages[DEBUG_PAGES / 64], watch_pages[DEBUG_PAGES / 64];
};

void debug_init(struct debug *d, void (*notify)(void *opaque), void *opaque);
void debug_fini(struct debug *d);

/* ---- the debugger's thread ---- */
/*
 * Calls act(arg) while no vCPU of vm runs, nor holds pages or records: it may change what they own, as in rendezvous_at_rest(), and
 * memory as with siblings_stop().
 */
void debug_act(struct vm *vm, void (*act)(void *arg), void *arg);
/* From here on d is asked; before the machine runs it may be set in vm->debug at once.  NULL: none any more. */
void debug_join(struct vm *vm, struct debug *d);
/* 0; -EINVAL: no such kind, or too long; -ENOSPC; -ENOMEM.  One that is there already is fine.  vm NULL: it has none now. */
MUST_CHECK int debug_add(struct debug *d, struct vm *vm, struct debug_point p);
/* False: there is none. */
bool debug_remove(struct debug *d, struct vm *vm, struct debug_point p);
void debug_remove_all(struct debug *d, struct vm *vm);
/* It comes to rest soon: debug_at_rest(), and notify(). */
void debug_ask_stop(struct debug *d, struct vm *vm);
bool debug_at_rest(const struct debug *d, const struct vm *vm);
/* Let it go, each vCPU as debug_vcpu.go says.  hold: the machine's time stands on, and only steps are made. */
void debug_go(struct debug *d, struct vm *vm, bool hold);

/* ---- the vCPU's thread, if vm->debug ---- */
/* The vCPU is not to run now. Not busy (siblings.h), without the machine's lock. */
bool debug_rests(struct vcpu *v);
/* It makes a step: no interrupt is delivered to it. */
bool debug_steps(const struct vcpu *v);
/* It does, and waits for an interrupt: WAIT may end at any time (volume II). False: it is off, and its step is over. */
bool debug_wakes(struct vcpu *v);
/* The instruction at gs->pc is to be interpreted, and not by translated code. */
bool debug_interprets(struct vcpu *v);
/* Of these: how many instructions from gs->pc on may be executed before it is asked again; 0: none, it stops here. */
uint32_t debug_allowed(struct vcpu *v);
/* Behind a turn that may have `executed` something. Not busy, without the lock. */
void debug_after(struct vcpu *v, bool executed);
/* It stops its machine, by itself. Not busy, without the lock. */
void debug_stop(struct vcpu *v, enum debug_why why);
/* What a table of the L2TLB may have of va's page. */
void debug_limit(const struct vcpu *v, struct gva va, bool *read, bool *write, uint32_t *code_id);
/* Not to be executed from in translated code. */
bool debug_denies(const struct vcpu *v, struct gva pc);
/* Is it watched?  Then the access is not to be made, and the vCPU stops before its instruction. */
bool debug_watches(struct vcpu *v, struct gva va, uint32_t bytes, bool write);

#endif
