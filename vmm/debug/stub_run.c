/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "vmm/cpu/vcpu.h"
#include "vmm/debug/registers.h"
#include "vmm/debug/stub_internal.h"
#include "vmm/monitor/vm.h"
#include "vmm/replay/reverse.h"

/* Attaching, stopping, going on. */

static bool enter(const struct stub *s, unsigned number, struct debug_machine *m)
{
	return s->machines.enter(s->machines.opaque, number, m);
}

static void leave(const struct stub *s, const struct debug_machine *m)
{
	s->machines.leave(s->machines.opaque, m->number);
}

bool stub_has(const struct stub *s, unsigned number)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->machine[i] == number)
			return true;
	return false;
}

bool stub_attach(struct stub *s, unsigned number)
{
	struct debug_machine m;

	if (s->n == STUB_MAX_MACHINES || stub_has(s, number) || !enter(s, number, &m))
		return false;
	if (m.ended) {
		leave(s, &m);
		return false;
	}
	*m.attached = true;
	if (m.vm && m.vm->debug != m.debug)
		debug_join(m.vm, m.debug);
	debug_ask_stop(m.debug, m.vm);
	leave(s, &m);
	s->machine[s->n++] = number;
	return true;
}

static void forget(struct stub *s, unsigned number)
{
	unsigned i = 0;

	while (i < s->n && s->machine[i] != number)
		i++;
	if (i == s->n)
		return;
	memmove(&s->machine[i], &s->machine[i + 1], (s->n - i - 1) * sizeof(s->machine[0]));
	s->n--;
	if (s->now.machine == number)
		s->now = (struct stub_thread){s->n ? s->machine[0] : 0, 1};
}

void stub_detach(struct stub *s, unsigned number)
{
	struct debug_machine m;

	forget(s, number);
	if (!enter(s, number, &m))
		return;
	*m.attached = false;
	debug_remove_all(m.debug, m.vm);
	if (m.vm) {
		debug_join(m.vm, NULL);
		debug_go(m.debug, m.vm, false);
	}
	leave(s, &m);
}

void stub_stop(struct stub *s)
{
	struct debug_machine m;

	s->state = STUB_STOPPING;
	for (unsigned i = 0; i < s->n; i++) {
		if (!enter(s, s->machine[i], &m))
			continue;
		if (m.vm && !debug_at_rest(m.debug, m.vm))
			debug_ask_stop(m.debug, m.vm);
		leave(s, &m);
	}
}

/* ---- going on ---- */

enum { MAX_ACTIONS = 16 };

struct action {
	enum debug_go go;
	uint32_t from, to;
	struct stub_thread of;
};

/* One, behind its ';'. */
static bool read_action(const struct stub *s, const char **at, struct action *a)
{
	uint64_t from = 0, to = 0, signal;
	char c = *(*at)++;

	*a = (struct action){.go = c == 'c' || c == 'C' ? DEBUG_RUN : DEBUG_STEP,
			     .of = {(unsigned)STUB_ALL, (unsigned)STUB_ALL}};
	switch (c) {
	case 'c':
	case 's':
		break;
	case 'C':
	case 'S': /* a guest takes no signals */
		if (!packet_hex(at, &signal))
			return false;
		break;
	case 'r':
		if (!packet_hex(at, &from) || *(*at)++ != ',' || !packet_hex(at, &to) || from > UINT32_MAX ||
		    to > UINT32_MAX || to < from)
			return false;
		a->from = (uint32_t)from;
		a->to = (uint32_t)to;
		break;
	default:
		return false;
	}
	if (**at != ':')
		return true;
	(*at)++;
	return stub_read_thread(s, at, &a->of);
}

/* How many; -1: they are none. */
static int read_actions(const struct stub *s, const char *text, struct action *a)
{
	int n = 0;

	while (*text == ';' && n < MAX_ACTIONS) {
		text++;
		if (!*text || !read_action(s, &text, &a[n++]))
			return -1;
	}
	return *text ? -1 : n;
}

static bool is_about(const struct action *a, unsigned machine, unsigned vcpu)
{
	return (a->of.machine == (unsigned)STUB_ALL || a->of.machine == machine) &&
	       (a->of.vcpu == (unsigned)STUB_ALL || a->of.vcpu == 0 || a->of.vcpu == vcpu);
}

/* The first action that is about it counts; none: it stays as it is. */
static enum debug_go set_vcpu(struct vcpu *v, const struct action *a, int n, unsigned machine)
{
	struct debug_vcpu *d = &v->debug;
	enum debug_go go = DEBUG_HOLD;

	d->from = d->to = 0;
	d->began = false;
	for (int i = 0; i < n; i++) {
		if (!is_about(&a[i], machine, v->number + 1))
			continue;
		go = a[i].go;
		d->from = a[i].from;
		d->to = a[i].to;
		break;
	}
	__atomic_store_n(&d->why, DEBUG_NOTHING, __ATOMIC_RELAXED);
	__atomic_store_n(&d->go, (int)go, __ATOMIC_RELEASE);
	return go;
}

/* False: nothing of it goes on. */
static bool go_machine(const struct debug_machine *m, const struct action *a, int n)
{
	bool runs = false, steps = false;

	for (unsigned i = 0; m->vm && i < m->vm->n_vcpus; i++) {
		enum debug_go go = set_vcpu(&m->vm->vcpu[i], a, n, m->number);

		runs |= go == DEBUG_RUN;
		steps |= go == DEBUG_STEP;
	}
	if (runs || steps)
		debug_go(m->debug, m->vm, !runs);
	return runs || steps;
}

static void let_go(struct stub *s)
{
	s->machines.go_waiting(s->machines.opaque);
	s->state = STUB_RUNNING;
	s->reply_due = true;
	s->interrupted = false;
}

bool stub_go_back(struct stub *s, bool step)
{
	const struct action back = {.go = DEBUG_RUN, .of = {(unsigned)STUB_ALL, (unsigned)STUB_ALL}};
	struct debug_machine m;
	struct vcpu *v;
	bool can;

	if (!stub_enter(s, &m, &v))
		return false;
	can = m.vm->reverse != NULL;
	if (can) {
		reverse_ask(m.vm->reverse, step ? REVERSE_STEP : REVERSE_RUN);
		(void)go_machine(&m, &back, 1);
	}
	stub_leave(s, &m);
	if (can)
		let_go(s);
	else
		stub_put(s, "E01");
	return can;
}

bool stub_vcont(struct stub *s, const char *actions)
{
	struct action a[MAX_ACTIONS];
	int n = read_actions(s, actions, a);
	struct debug_machine m;
	bool any = false;

	for (unsigned i = 0; n > 0 && i < s->n; i++) {
		if (!enter(s, s->machine[i], &m))
			continue;
		any |= go_machine(&m, a, n);
		leave(s, &m);
	}
	if (any)
		let_go(s);
	return any;
}

/* ---- stops ---- */

static enum debug_why why_of(const struct vcpu *v)
{
	return (enum debug_why)__atomic_load_n(&v->debug.why, __ATOMIC_ACQUIRE);
}

/* What the machine has to tell, of the vCPU, 0: none. */
static enum debug_why told_by(const struct debug_machine *m, unsigned *vcpu)
{
	enum debug_why best = DEBUG_NOTHING;

	*vcpu = 0;
	for (unsigned i = 0; m->vm && i < m->vm->n_vcpus; i++) {
		enum debug_why why = why_of(&m->vm->vcpu[i]);

		if (why > best) {
			best = why;
			*vcpu = i + 1;
		}
	}
	return best;
}

/* In RUNNING. */
static bool has_stopped(const struct stub *s, unsigned number)
{
	struct debug_machine m;
	unsigned vcpu;
	bool any;

	if (!enter(s, number, &m))
		return true;
	any = m.ended || told_by(&m, &vcpu);
	leave(s, &m);
	return any;
}

/* In STOPPING. */
static bool is_at_rest(const struct stub *s, unsigned number)
{
	struct debug_machine m;
	bool rests;

	if (!enter(s, number, &m))
		return true;
	rests = m.ended || debug_at_rest(m.debug, m.vm);
	leave(s, &m);
	return rests;
}

void stub_look_at_machines(struct stub *s)
{
	bool any = false;

	if (s->state == STUB_RUNNING) {
		for (unsigned i = 0; i < s->n && !any; i++)
			any = has_stopped(s, s->machine[i]);
		if (any)
			stub_stop(s);
	}
	if (s->state != STUB_STOPPING)
		return;
	for (unsigned i = 0; i < s->n; i++)
		if (!is_at_rest(s, s->machine[i]))
			return;
	s->state = STUB_STOPPED;
	if (!s->reply_due)
		return;
	s->reply_due = false;
	stub_put_stop(s);
	stub_say(s);
}

/* A machine that has ended, or is not there any more: it is not attached from here on. */
static bool put_end(struct stub *s)
{
	struct debug_machine m;

	for (unsigned i = 0; i < s->n; i++) {
		unsigned number = s->machine[i];
		bool there = enter(s, number, &m), ended = !there || m.ended;

		if (ended)
			stub_put(s, "W%02x", there ? m.status & 0xff : 0);
		if (there)
			leave(s, &m);
		if (!ended)
			continue;
		if (s->multiprocess)
			stub_put(s, ";process:%x", number);
		stub_detach(s, number);
		return true;
	}
	return false;
}

/* The most that there is to tell; the vCPU that gdb looks at comes first. */
static enum debug_why choose(struct stub *s)
{
	struct stub_thread best = s->now;
	enum debug_why most = DEBUG_NOTHING;
	struct debug_machine m;

	for (unsigned i = 0; i < s->n; i++) {
		enum debug_why why;
		unsigned vcpu;

		if (!enter(s, s->machine[i], &m))
			continue;
		why = told_by(&m, &vcpu);
		if (m.number == s->now.machine && m.vm && s->now.vcpu && s->now.vcpu <= m.vm->n_vcpus &&
		    why_of(&m.vm->vcpu[s->now.vcpu - 1]) == why)
			vcpu = s->now.vcpu;
		leave(s, &m);
		if (why > most || (why == most && why && m.number == s->now.machine)) {
			most = why;
			best = (struct stub_thread){s->machine[i], vcpu};
		}
	}
	s->now = best;
	return most;
}

static void put_point(struct stub *s, const struct debug_vcpu *d)
{
	switch (d->point.kind) {
	case DEBUG_SOFT:
	case DEBUG_HARD:
		if (s->reports_breaks)
			stub_put(s, "%s:;", d->point.kind == DEBUG_SOFT ? "swbreak" : "hwbreak");
		break;
	case DEBUG_WRITE:
		stub_put(s, "watch:%x;", d->access);
		break;
	case DEBUG_READ:
		stub_put(s, "rwatch:%x;", d->access);
		break;
	default:
		stub_put(s, "awatch:%x;", d->access);
		break;
	}
}

void stub_put_stop(struct stub *s)
{
	enum debug_why why;
	struct debug_machine m;
	struct vcpu *v;

	if (put_end(s))
		return;
	if (!s->n) {
		stub_put(s, "W00");
		return;
	}
	why = choose(s);
	if (!enter(s, s->now.machine, &m))
		return;
	stub_put(s, "T%02xthread:", s->interrupted && !why ? 2 : 5);
	stub_put_thread(s, s->now);
	stub_put(s, ";");
	if (m.vm && s->now.vcpu <= m.vm->n_vcpus) {
		v = &m.vm->vcpu[s->now.vcpu - 1];
		stub_put(s, "%02x:", DEBUG_REG_PC);
		stub_put_register(s, v, DEBUG_REG_PC);
		stub_put(s, ";");
		if (why == DEBUG_AT_POINT)
			put_point(s, &v->debug);
		else if (why == DEBUG_AT_BEGIN)
			stub_put(s, "replaylog:begin;");
	}
	leave(s, &m);
}
