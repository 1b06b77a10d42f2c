/* SPDX-License-Identifier: MIT */
#include "vmm/replay/reverse.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/cpu/debug.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/vm.h"
#include "vmm/replay/history.h"
#include "vmm/replay/snapshot.h"

enum {
	MAX_SNAPSHOTS = 48,
	CLOSE_INSNS = 64, /* a step back looks at each instruction of the last ones */
	RETRY_INSNS = 1000,
};

/* journal_place is what tells two moments apart; instructions are what one comes there by. */
struct place {
	uint64_t insns;
	struct journal_place at;
};

struct saved {
	struct place place;
	struct snapshot *snapshot;
	size_t heard; /* history_heard() */
};

/* It would have stopped there. */
struct hit {
	bool found;
	struct place place;
	enum debug_why why;
	struct debug_point point;
	uint32_t access;
};

enum phase {
	HERE,  /* it is not on its way */
	SCANS, /* from a snapshot up to `end` */
	SEEKS, /* to `hit` */
};

struct reverse {
	struct vm *vm;
	struct reverse_config cfg;
	uint64_t due; /* instructions: when the next snapshot is taken */
	unsigned n;
	struct saved saved[MAX_SNAPSHOTS];
	struct place frontier; /* the last moment that it was at */

	/* Set while it is at rest. */
	enum reverse_way ask;
	bool changed;

	enum phase phase;
	enum reverse_way way;
	unsigned from; /* in saved[]: where it scans from */
	struct place end;
	struct hit hit;
	struct hit
	    next; /* what will be the hit: a watchpoint's is where the access has been made, and gdb goes back over it */
	bool looks;   /* after each instruction */
	bool passing; /* the instruction that was hit is executed now */
	bool placing; /* next.place is where the next turn begins */
	bool stops;   /* for hit, when the lock is given back */
};

int reverse_new(struct reverse **out, struct vm *vm, const struct reverse_config *cfg)
{
	struct reverse *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->vm = vm;
	r->cfg = *cfg;
	vm->reverse = *out = r;
	return 0;
}

static void forget_from(struct reverse *r, unsigned first)
{
	while (r->n > first)
		snapshot_free(r->saved[--r->n].snapshot, r->vm);
}

void reverse_free(struct reverse *r)
{
	if (!r)
		return;
	forget_from(r, 0);
	r->vm->reverse = NULL;
	free(r);
}

void reverse_ask(struct reverse *r, enum reverse_way way) { r->ask = way; }
void reverse_changed(struct reverse *r) { r->changed = true; }

/* ---- places ---- */

static struct place here(const struct vcpu *v) { return (struct place){clock_insns(v->vm->clock), history_place(v)}; }

static int compare(struct place a, struct place b)
{
	if (a.at.ns != b.at.ns)
		return a.at.ns < b.at.ns ? -1 : 1;
	if (a.at.exceptions != b.at.exceptions)
		return a.at.exceptions < b.at.exceptions ? -1 : 1;
	return 0;
}

bool reverse_is_past(const struct reverse *r) { return clock_now_ns(r->vm->clock) < r->frontier.at.ns; }

/* ---- snapshots ---- */

/* One that is close to its neighbours, for how long ago it is, goes: so they are the denser the later they are. */
static void thin(struct reverse *r)
{
	uint64_t now = r->saved[r->n - 1].place.insns + 1;
	unsigned best = 0;
	double least = 0;

	for (unsigned i = 1; i + 1 < r->n; i++) {
		double gap = (double)(r->saved[i + 1].place.insns - r->saved[i - 1].place.insns);
		double part = gap / (double)(now - r->saved[i].place.insns);

		if (!best || part < least) {
			best = i;
			least = part;
		}
	}
	snapshot_free(r->saved[best].snapshot, r->vm);
	for (r->n--; best < r->n; best++)
		r->saved[best] = r->saved[best + 1];
}

/* The machine may write to all of its pages before the next one is taken. */
static bool memory_is_short(const struct reverse *r)
{
	const struct machine_memory *m = r->vm->monitor->memory;

	return machine_memory_pages_used(m, -1) * PAGE_BYTES + 2 * r->vm->cfg.ram_bytes > r->cfg.memory_bytes;
}

static void take(struct reverse *r, const struct vcpu *v)
{
	struct saved s = {.place = here(v), .heard = history_heard(r->cfg.history)};
	int err;

	while (r->n > 2 && (r->n == MAX_SNAPSHOTS || memory_is_short(r)))
		thin(r);
	err = snapshot_take(&s.snapshot, r->vm);
	r->due = s.place.insns + (err ? RETRY_INSNS : r->cfg.interval);
	if (!err)
		r->saved[r->n++] = s;
}

/*
 * Somebody has changed the machine: what was ahead of it is not its future any more, and from what was before nothing leads here.
 */
static void begin_anew(struct reverse *r, const struct vcpu *v)
{
	forget_from(r, 0);
	r->changed = false;
	r->frontier = here(v);
	history_cut(r->cfg.history, v->vm);
	take(r, v);
}

/* ---- on its way ---- */

static void arrive(struct reverse *r)
{
	r->phase = HERE;
	r->looks = r->passing = r->placing = false;
	clock_stop_at(r->vm->clock, UINT64_MAX);
}

/* It is at that snapshot now. */
static void go_to(struct reverse *r, unsigned i)
{
	if (snapshot_restore(r->saved[i].snapshot, r->vm))
		vm_end(r->vm, VM_NO_MEMORY);
	history_go_back(r->cfg.history, r->vm, r->saved[i].heard);
	r->looks = r->passing = r->placing = false;
}

/* The last one before, or at, that moment; r->n: none. */
static unsigned last_before(const struct reverse *r, struct place p, bool at)
{
	unsigned i = r->n;

	while (i && compare(r->saved[i - 1].place, p) >= (at ? 1 : 0))
		i--;
	return i ? i - 1 : r->n;
}

static void scan(struct reverse *r, unsigned from, struct place end)
{
	uint64_t close = end.insns > CLOSE_INSNS ? end.insns - CLOSE_INSNS : 0;

	r->phase = SCANS;
	r->from = from;
	r->end = end;
	r->hit = r->next = (struct hit){.found = false};
	go_to(r, from);
	clock_stop_at(r->vm->clock, r->way == REVERSE_STEP ? close : end.insns);
}

static void seek(struct reverse *r)
{
	r->phase = SEEKS;
	go_to(r, last_before(r, r->hit.place, true));
	clock_stop_at(r->vm->clock, r->hit.place.insns);
}

/* It stands there, and the debugger is told. */
static void stop_at_hit(struct reverse *r, struct vcpu *v)
{
	v->debug.point = r->hit.point;
	v->debug.access = r->hit.access;
	arrive(r);
	r->stops = true;
}

static void set_out(struct reverse *r, struct vcpu *v)
{
	struct place now = here(v);
	unsigned from = last_before(r, now, false);

	r->way = r->ask;
	r->ask = REVERSE_NOT;
	if (compare(r->frontier, now) < 0)
		r->frontier = now;
	r->hit = (struct hit){.why = DEBUG_AT_BEGIN};
	if (from == r->n)
		stop_at_hit(r, v);
	else
		scan(r, from, now);
}

/* All of [snapshot, end) was seen. */
static void scanned(struct reverse *r, struct vcpu *v)
{
	if (r->hit.found) {
		seek(r);
	} else if (r->from) {
		scan(r, r->from - 1, r->saved[r->from].place);
	} else {
		go_to(r, 0);
		r->hit = (struct hit){.why = DEBUG_AT_BEGIN};
		stop_at_hit(r, v);
	}
}

static struct hit hit_here(const struct vcpu *v, enum debug_why why)
{
	return (struct hit){
	    .found = true, .place = here(v), .why = why, .point = v->debug.point, .access = v->debug.access};
}

/* Where the hit of the last turn, or that of the one before it, is. */
static void place_hit(struct reverse *r, struct place now)
{
	bool made = now.insns > r->next.place.insns && now.at.exceptions == r->next.place.at.exceptions;

	if (!r->next.found)
		return;
	if (r->placing) {
		r->next.place = now;
		r->placing = false;
		if (r->next.point.kind > DEBUG_HARD)
			return;
	} else if (r->passing) {
		return;
	} else if (made) { /* else an exception came instead of the access */
		r->next.place = now;
	}
	if (r->next.point.kind <= DEBUG_HARD || made)
		r->hit = r->next;
	r->next.found = false;
}

/* A step ends where an instruction has been executed, or an exception taken; while it sleeps only time goes on. */
static bool is_step(const struct reverse *r, struct place now)
{
	return !r->hit.found || r->hit.place.insns != now.insns || r->hit.place.at.exceptions != now.at.exceptions;
}

/* A moment of its way. */
static void travel(struct reverse *r, struct vcpu *v)
{
	struct place now = here(v), to = r->phase == SEEKS ? r->hit.place : r->end;
	int order = compare(now, to);

	place_hit(r, now);
	if (order > 0) { /* a run that is to be repeated was not */
		if (v->vm->cfg.report)
			v->vm->cfg.report(v->vm->cfg.opaque, "going back came to another moment than it was at");
		arrive(r);
		r->hit.why = DEBUG_STEPPED;
		r->stops = true;
		return;
	}
	if (!order) {
		if (r->phase == SEEKS)
			stop_at_hit(r, v);
		else
			scanned(r, v);
		return;
	}
	if (r->phase == SEEKS) {
		r->looks = now.insns >= to.insns;
	} else if (r->way == REVERSE_STEP && now.insns + CLOSE_INSNS >= to.insns) {
		r->looks = true;
		if (!v->step && is_step(r, now))
			r->hit = hit_here(v, DEBUG_STEPPED);
	} else {
		r->looks = now.insns >= to.insns;
	}
}

/* Nobody has it rest, or it makes a step. */
static bool is_let_go(const struct vcpu *v)
{
	const struct debug *d = v->vm->debug;

	return !d || debug_steps(v) ||
	       (!__atomic_load_n(&d->paused, __ATOMIC_ACQUIRE) && !__atomic_load_n(&d->want_stop, __ATOMIC_ACQUIRE));
}

bool reverse_turn(struct vcpu *v)
{
	struct vm *vm = v->vm;
	struct reverse *r = vm->reverse;
	bool moved = false;

	if (!is_let_go(v)) {
		if (r->phase != HERE)
			arrive(r); /* somewhere in the past */
		return false;
	}
	vm_lock(vm);
	if (!vm->debug && r->phase != HERE)
		arrive(r);
	if (r->changed)
		begin_anew(r, v);
	if (r->ask) {
		set_out(r, v);
		moved = true;
	} else if (r->phase != HERE) {
		enum phase was = r->phase;
		unsigned from = r->from;

		travel(r, v);
		moved = r->phase != was || r->from != from;
	} else if (clock_insns(vm->clock) >= r->due && !reverse_is_past(r) && !v->step) {
		take(r, v);
	}
	vm_unlock(vm);
	if (r->stops) {
		r->stops = false;
		debug_stop(v, r->hit.why);
	}
	return moved;
}

bool reverse_after(struct vcpu *v, bool executed)
{
	struct reverse *r = v->vm->reverse;

	if (r->phase == HERE)
		return false;
	if (v->debug.found) {
		v->debug.found = DEBUG_NOTHING;
		r->next = hit_here(v, DEBUG_AT_POINT);
		r->passing = r->placing = true;
	} else if (executed) {
		r->passing = false;
	}
	return true;
}

bool reverse_passes(const struct reverse *r)
{
	return r->phase == SEEKS || (r->phase == SCANS && (r->passing || r->way == REVERSE_STEP));
}

bool reverse_looks(const struct reverse *r) { return r->phase != HERE && (r->looks || r->passing); }
