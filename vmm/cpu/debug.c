/* SPDX-License-Identifier: MIT */
#include "vmm/cpu/debug.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/segments.h"
#include "frontend/insn.h"
#include "vmm/cpu/mem.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/sched.h"
#include "vmm/monitor/vm.h"
#include "vmm/replay/reverse.h"

#define INSN_BYTES 4u

void debug_init(struct debug *d, void (*notify)(void *opaque), void *opaque)
{
	*d = (struct debug){.notify = notify, .opaque = opaque};
}

void debug_fini(struct debug *d) { free(d->point); }

/* ---- stopping and going on ---- */

static bool is_of(void *vm, const struct rendezvous_member *m) { return m->vm == vm; }

/* Memory is changed as by one who has parked all siblings, which they are: none is inside, and none is in the middle of a flush. */
struct act {
	struct vm *vm;
	void (*act)(void *arg);
	void *arg;
};

static void act_parked(void *arg)
{
	struct act *a = arg;
	bool was = __atomic_load_n(&a->vm->stopping, __ATOMIC_RELAXED);

	__atomic_store_n(&a->vm->stopping, true, __ATOMIC_RELAXED);
	a->act(a->arg);
	__atomic_store_n(&a->vm->stopping, was, __ATOMIC_RELAXED);
}

void debug_act(struct vm *vm, void (*act)(void *arg), void *arg)
{
	const struct timespec ms = {.tv_nsec = 1000000};
	const struct rendezvous_set set = {.is_in = is_of, .arg = vm};
	struct act a = {vm, act, arg};

	while (!rendezvous_at_rest(vm->monitor->rendezvous, NULL, set, act_parked, &a))
		nanosleep(&ms, NULL); /* another machine's flush is on its way */
}

static void kick(struct vm *vm)
{
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		sched_kick(&vm->vcpu[i]);
}

/*
 * The machine stands from here on, steps included.  Who comes to rest at a stop has read its number first, and what is written here
 * before that number is seen then.  The machine's lock is not held.
 */
static void stand(struct vm *vm)
{
	struct debug *d = vm->debug;

	vm_lock(vm);
	if (vm->debug != d) { /* it has been let go while this waited */
		vm_unlock(vm);
		return;
	}
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		__atomic_store_n(&vm->vcpu[i].debug.go, DEBUG_HOLD, __ATOMIC_RELEASE);
	if (!__atomic_load_n(&d->paused, __ATOMIC_RELAXED)) {
		vm_pause(vm);
		__atomic_store_n(&d->paused, true, __ATOMIC_RELEASE);
	}
	__atomic_fetch_add(&d->stops, 1, __ATOMIC_SEQ_CST);
	vm_unlock(vm);
	kick(vm);
}

static enum debug_go go_of(const struct vcpu *v)
{
	return (enum debug_go)__atomic_load_n(&v->debug.go, __ATOMIC_ACQUIRE);
}

/* It does so already, or comes to rest by itself; only debug_go() changes that. */
static bool stands(const struct debug *d, const struct vm *vm)
{
	bool still = __atomic_load_n(&d->paused, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < vm->n_vcpus; i++)
		still &= go_of(&vm->vcpu[i]) == DEBUG_HOLD;
	return still;
}

void debug_ask_stop(struct debug *d, struct vm *vm)
{
	if (vm && stands(d, vm))
		return;
	__atomic_store_n(&d->want_stop, true, __ATOMIC_SEQ_CST);
	if (vm)
		kick(vm);
}

bool debug_at_rest(const struct debug *d, const struct vm *vm)
{
	bool asked = __atomic_load_n(&d->want_stop, __ATOMIC_ACQUIRE);
	uint64_t stop = __atomic_load_n(&d->stops, __ATOMIC_ACQUIRE);

	if (!vm || asked || !__atomic_load_n(&d->paused, __ATOMIC_ACQUIRE))
		return false;
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		if (__atomic_load_n(&vm->vcpu[i].debug.rest, __ATOMIC_ACQUIRE) != stop)
			return false;
	return true;
}

void debug_go(struct debug *d, struct vm *vm, bool hold)
{
	__atomic_store_n(&d->want_stop, false, __ATOMIC_RELAXED);
	vm_lock(vm);
	if (hold) {
		__atomic_fetch_add(&d->stops, 1, __ATOMIC_SEQ_CST); /* who makes a step is at rest no more */
	} else if (__atomic_load_n(&d->paused, __ATOMIC_RELAXED)) {
		__atomic_store_n(&d->paused, false, __ATOMIC_RELAXED);
		vm_go(vm);
	}
	vm_unlock(vm);
	kick(vm);
}

struct join {
	struct vm *vm;
	struct debug *debug;
};

static void join_parked(void *arg)
{
	struct join *j = arg;

	j->vm->debug = j->debug;
	for (unsigned i = 0; i < j->vm->n_vcpus; i++)
		j->vm->vcpu[i].debug = (struct debug_vcpu){0};
}

void debug_join(struct vm *vm, struct debug *d)
{
	struct join j = {vm, d};

	debug_act(vm, join_parked, &j);
}

/* ---- points ---- */

static bool is_break(const struct debug_point *p) { return p->kind <= DEBUG_HARD; }

static uint64_t *page_word(uint64_t *pages, uint32_t va, uint64_t *bit)
{
	uint32_t n = (va >> PAGE_SHIFT) % DEBUG_PAGES;

	*bit = 1ull << n % 64;
	return &pages[n / 64];
}

static bool may_have(const uint64_t *pages, uint32_t va)
{
	uint32_t n = (va >> PAGE_SHIFT) % DEBUG_PAGES;

	return pages[n / 64] >> n % 64 & 1;
}

/*
 * Each page that p has something to do with.  Of a breakpoint at the beginning of a page also the one before: its instruction may be the
 * slot of a branch there.
 */
static void each_page(const struct debug_point *p, void (*fn)(void *arg, uint32_t va), void *arg)
{
	uint32_t first = is_break(p) ? p->va - INSN_BYTES : p->va, last = p->va + p->bytes - 1;

	first &= ~(uint32_t)PAGE_MASK;
	last &= ~(uint32_t)PAGE_MASK;
	for (uint32_t va = first;; va += PAGE_BYTES) {
		fn(arg, va);
		if (va == last)
			return;
	}
}

struct mark {
	struct debug *d;
	const struct debug_point *p;
};

static void mark_page(void *arg, uint32_t va)
{
	struct mark *m = arg;
	uint64_t bit, *word = page_word(is_break(m->p) ? m->d->break_pages : m->d->watch_pages, va, &bit);

	*word |= bit;
}

static void mark_all(struct debug *d)
{
	for (unsigned i = 0; i < ARRAY_LEN(d->break_pages); i++)
		d->break_pages[i] = d->watch_pages[i] = 0;
	d->n_breaks = d->n_watches = 0;
	for (unsigned i = 0; i < d->n_points; i++) {
		struct mark m = {d, &d->point[i]};

		d->n_breaks += is_break(m.p);
		d->n_watches += !is_break(m.p);
		each_page(m.p, mark_page, &m);
	}
}

/* What leads there without being asked goes. */
static void take_page(void *arg, uint32_t va)
{
	struct vm *vm = arg;

	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		struct vcpu *v = &vm->vcpu[i];

		l2tlb_drop_address(v->l2tlb, gva(va));
		v->abs_code[ABS_CODE_INDEX(va)] = 0;
	}
}

static int find(const struct debug *d, const struct debug_point *p)
{
	for (unsigned i = 0; i < d->n_points; i++)
		if (d->point[i].kind == p->kind && d->point[i].va == p->va && d->point[i].bytes == p->bytes)
			return (int)i;
	return -1;
}

struct change {
	struct debug *d;
	struct vm *vm;
	struct debug_point p;
	int err;
};

static void add_parked(void *arg)
{
	struct change *c = arg;
	struct debug *d = c->d;

	if (d->n_points == d->room) {
		unsigned room = d->room ? 2 * d->room : 16;
		struct debug_point *more = realloc(d->point, room * sizeof(*more));

		c->err = more ? 0 : -ENOMEM;
		if (!more)
			return;
		d->point = more;
		d->room = room;
	}
	d->point[d->n_points++] = c->p;
	mark_all(d);
	if (c->vm)
		each_page(&c->p, take_page, c->vm);
}

/* It costs nothing until it is used again: that fills tables anew. */
static void remove_parked(void *arg)
{
	struct change *c = arg;
	int i = find(c->d, &c->p);

	c->d->point[i] = c->d->point[--c->d->n_points];
	mark_all(c->d);
}

static void change(struct change *c, void (*fn)(void *arg))
{
	if (c->vm)
		debug_act(c->vm, fn, c);
	else
		fn(c);
}

int debug_add(struct debug *d, struct vm *vm, struct debug_point p)
{
	struct change c = {d, vm, p, 0};

	if (is_break(&p))
		c.p.bytes = INSN_BYTES;
	if (p.kind >= DEBUG_KINDS || !c.p.bytes || c.p.bytes > DEBUG_MAX_WATCH_BYTES ||
	    c.p.va + c.p.bytes - 1 < c.p.va || (is_break(&p) && p.va % INSN_BYTES))
		return -EINVAL;
	if (find(d, &c.p) >= 0)
		return 0;
	if (d->n_points >= DEBUG_MAX_POINTS)
		return -ENOSPC;
	change(&c, add_parked);
	return c.err;
}

bool debug_remove(struct debug *d, struct vm *vm, struct debug_point p)
{
	struct change c = {d, vm, p, 0};

	if (is_break(&p))
		c.p.bytes = INSN_BYTES;
	if (find(d, &c.p) < 0)
		return false;
	change(&c, remove_parked);
	return true;
}

static void clear_parked(void *arg)
{
	struct change *c = arg;

	c->d->n_points = 0;
	mark_all(c->d);
}

void debug_remove_all(struct debug *d, struct vm *vm)
{
	struct change c = {d, vm, {0}, 0};

	if (d->n_points)
		change(&c, clear_parked);
}

/* ---- what the dispatch loop asks ---- */

void debug_stop(struct vcpu *v, enum debug_why why)
{
	struct debug *d = v->vm->debug;

	v->debug.found = DEBUG_NOTHING;
	stand(v->vm);
	__atomic_store_n(&v->debug.why, (int)why, __ATOMIC_RELEASE);
	d->notify(d->opaque);
}

bool debug_rests(struct vcpu *v)
{
	struct vm *vm = v->vm;
	struct debug *d = vm->debug;
	uint64_t now;
	bool paused;

	if (__atomic_load_n(&d->want_stop, __ATOMIC_ACQUIRE)) {
		stand(vm);
		__atomic_store_n(&d->want_stop, false, __ATOMIC_RELEASE); /* who sees that sees the stop */
		d->notify(d->opaque);
	}
	now = __atomic_load_n(&d->stops, __ATOMIC_SEQ_CST);
	paused = __atomic_load_n(&d->paused, __ATOMIC_ACQUIRE);
	/* time stands while it makes a step; usually nobody else may have paused the machine then */
	if ((__atomic_load_n(&vm->pauses, __ATOMIC_RELAXED) == paused || d->alone) && go_of(v) != DEBUG_HOLD)
		return paused && go_of(v) != DEBUG_STEP;
	if (paused && __atomic_exchange_n(&v->debug.rest, now, __ATOMIC_SEQ_CST) != now)
		d->notify(d->opaque);
	return true;
}

bool debug_steps(const struct vcpu *v) { return go_of(v) == DEBUG_STEP; }

bool debug_wakes(struct vcpu *v)
{
	if (__atomic_load_n(&v->power, __ATOMIC_ACQUIRE) != VCPU_ON) {
		debug_stop(v, DEBUG_STEPPED);
		return false;
	}
	v->idle = false;
	return true;
}

static const struct debug_point *break_at(const struct debug *d, uint32_t va)
{
	if (!d->n_breaks || !may_have(d->break_pages, va))
		return NULL;
	for (unsigned i = 0; i < d->n_points; i++)
		if (is_break(&d->point[i]) && d->point[i].va == va)
			return &d->point[i];
	return NULL;
}

static bool touches(const struct debug_point *p, uint32_t va)
{
	uint32_t page = va >> PAGE_SHIFT;

	return p->va >> PAGE_SHIFT == page || (p->va - INSN_BYTES) >> PAGE_SHIFT == page;
}

/* Unmapped segments show the same memory at several addresses, and have one table: all of them are denied. */
static bool same_unmapped(const struct debug_point *p, uint32_t va)
{
	return ABS_CODE_INDEX(p->va) == ABS_CODE_INDEX(va) || ABS_CODE_INDEX(p->va - INSN_BYTES) == ABS_CODE_INDEX(va);
}

bool debug_denies(const struct vcpu *v, struct gva pc)
{
	const struct debug *d = v->vm->debug;
	bool unmapped;

	if (!d->n_breaks)
		return false;
	unmapped = mem_unmapped(v, pc);
	if (!unmapped && !may_have(d->break_pages, (uint32_t)pc.v))
		return false;
	for (unsigned i = 0; i < d->n_points; i++) {
		const struct debug_point *p = &d->point[i];

		if (is_break(p) && (touches(p, (uint32_t)pc.v) || (unmapped && same_unmapped(p, (uint32_t)pc.v))))
			return true;
	}
	return false;
}

bool debug_interprets(struct vcpu *v)
{
	const struct debug *d = v->vm->debug;
	uint32_t pc = (uint32_t)v->gs.pc;

	if (debug_steps(v) || (v->vm->reverse && reverse_looks(v->vm->reverse)))
		return true;
	if (!d->n_breaks || !may_have(d->break_pages, pc))
		return false;
	for (unsigned i = 0; i < d->n_points; i++)
		if (is_break(&d->point[i]) && touches(&d->point[i], pc))
			return true;
	return false;
}

static bool is_branch(struct vcpu *v, uint32_t va)
{
	struct machine_page *page = mem_fetch_try(v, gva(va));
	const struct insn *row;
	uint32_t word;

	if (!page)
		return false;
	word = *(const uint32_t *)(const void *)(page->host + (va & PAGE_MASK));
	row = frontend_decode(v->frontend, v->gs.mode & MODE_BE ? __builtin_bswap32(word) : word);
	return row && row->flags & INSN_BRANCH;
}

static void find_point(struct vcpu *v, const struct debug_point *p)
{
	v->debug.point = *p;
	v->debug.found = DEBUG_AT_POINT;
}

uint32_t debug_allowed(struct vcpu *v)
{
	const struct debug *d = v->vm->debug;
	uint32_t pc = (uint32_t)v->gs.pc, end = (pc & ~(uint32_t)PAGE_MASK) + PAGE_BYTES, most;
	const struct debug_point *here = break_at(d, pc);
	bool step = debug_steps(v);

	if (v->vm->reverse && reverse_passes(v->vm->reverse))
		return reverse_looks(v->vm->reverse) ? 1 : (end - pc) / INSN_BYTES;
	step |= v->vm->reverse && reverse_looks(v->vm->reverse);
	if (here && (!step || v->debug.began)) {
		find_point(v, here);
		return 0;
	}
	most = (end - pc) / INSN_BYTES; /* of a page at the end of the address space, too */
	for (unsigned i = 0; i < d->n_points && pc % INSN_BYTES == 0; i++) {
		const struct debug_point *p = &d->point[i];
		uint32_t ahead = (p->va - pc) / INSN_BYTES;

		if (!is_break(p) || !ahead || ahead > most)
			continue;
		if (is_branch(v, p->va - INSN_BYTES) && --ahead == 0) {
			/* that is here: gdb knows of no breakpoint at a branch, and does not step over it */
			if (!v->debug.began) {
				most = 1;
				continue;
			}
			find_point(v, p);
			return 0;
		}
		if (ahead < most)
			most = ahead;
	}
	return step ? 1 : most;
}

void debug_after(struct vcpu *v, bool executed)
{
	uint32_t pc = (uint32_t)v->gs.pc;

	v->debug.began |= executed;
	if (v->vm->reverse && reverse_after(v, executed))
		return;
	if (v->debug.found)
		debug_stop(v, (enum debug_why)v->debug.found);
	else if (executed && debug_steps(v) && pc - v->debug.from >= v->debug.to - v->debug.from)
		debug_stop(v, DEBUG_STEPPED);
}

/* ---- what mem.c asks ---- */

static bool watches(const struct debug_point *p, bool write)
{
	return write ? p->kind == DEBUG_WRITE || p->kind == DEBUG_ACCESS
		     : p->kind == DEBUG_READ || p->kind == DEBUG_ACCESS;
}

static bool overlaps(const struct debug_point *p, uint32_t va, uint32_t bytes)
{
	return va - p->va < p->bytes || p->va - va < bytes;
}

void debug_limit(const struct vcpu *v, struct gva va, bool *read, bool *write, uint32_t *code_id)
{
	const struct debug *d = v->vm->debug;
	uint32_t page = (uint32_t)va.v & ~(uint32_t)PAGE_MASK;

	if (*code_id && debug_denies(v, va))
		*code_id = 0;
	if (!d->n_watches || !may_have(d->watch_pages, page))
		return;
	for (unsigned i = 0; i < d->n_points; i++) {
		const struct debug_point *p = &d->point[i];

		if (is_break(p) || !overlaps(p, page, PAGE_BYTES))
			continue;
		*read &= !watches(p, false);
		*write &= !watches(p, true);
	}
}

bool debug_watches(struct vcpu *v, struct gva va, uint32_t bytes, bool write)
{
	const struct debug *d = v->vm->debug;
	uint32_t at = (uint32_t)va.v;

	if (!d->n_watches || !may_have(d->watch_pages, at) || (v->vm->reverse && reverse_passes(v->vm->reverse)))
		return false;
	for (unsigned i = 0; i < d->n_points; i++) {
		const struct debug_point *p = &d->point[i];

		if (is_break(p) || !watches(p, write) || !overlaps(p, at, bytes))
			continue;
		find_point(v, p);
		v->debug.access = at - p->va < p->bytes ? at : p->va;
		mem_step_alone(v);
		return true;
	}
	return false;
}
