/* SPDX-License-Identifier: MIT */
#include "vmm/cli/run_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/control/control.h"
#include "vmm/cpu/profile.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/debug/inspect_internal.h"
#include "vmm/debug/inspect.h"
#include "vmm/look/trace_file.h"

/* What the monitor console does to a machine: the commands of inspect(), and these. On control's worker. */

enum { MAX_STEPS = 10000, REST_WAIT_MS = 2000 };

struct command {
	struct run *r;
	struct vcpu *v;
	FILE *out;
	const char *rest; /* of the line */
};

static bool is_paused(const struct run *r) { return __atomic_load_n(&r->paused, __ATOMIC_ACQUIRE); }

static bool wait_until(bool (*done)(const struct command *c), const struct command *c)
{
	const struct timespec tick = {.tv_nsec = 200000};

	for (unsigned ms5 = 0; ms5 < 5 * REST_WAIT_MS; ms5++) {
		if (done(c))
			return true;
		nanosleep(&tick, NULL);
	}
	return false;
}

static bool stands(const struct command *c) { return is_paused(c->r); }
static bool goes(const struct command *c) { return !is_paused(c->r); }
static bool rests(const struct command *c) { return debug_at_rest(&c->r->debug, c->v->vm); }

static void stop(struct command *c)
{
	(void)run_pause(c->r, true);
	if (!wait_until(stands, c))
		fprintf(c->out, "it does not stop: a device waits for something\n");
}

static void go_on(struct command *c)
{
	(void)run_pause(c->r, false);
	(void)wait_until(goes, c);
}

static void quiet(void *opaque) {}

/* The machine is at rest, and others have paused it too. */
static bool one_step(const struct command *c)
{
	struct debug *d = &c->r->debug;

	c->v->debug.from = c->v->debug.to = 0;
	c->v->debug.began = false;
	__atomic_store_n(&c->v->debug.why, DEBUG_NOTHING, __ATOMIC_RELAXED);
	__atomic_store_n(&c->v->debug.go, DEBUG_STEP, __ATOMIC_RELEASE);
	debug_go(d, c->v->vm, true);
	return wait_until(rests, c);
}

/* The machine has a debugger for as long, who has it make steps while it is paused. */
static void make_steps(struct command *c, unsigned long n)
{
	struct debug *d = &c->r->debug;
	struct vm *vm = c->v->vm;
	bool good;

	d->notify = quiet;
	d->alone = true;
	debug_join(vm, d);
	debug_ask_stop(d, vm);
	good = wait_until(rests, c);
	while (good && n--)
		good = one_step(c);
	debug_join(vm, NULL);
	debug_go(d, vm, false);
	d->alone = false;
	if (!good)
		fprintf(c->out, "it does not get on\n");
}

static void step(struct command *c)
{
	char *end, line[64];
	unsigned long n = strtoul(c->rest, &end, 10);
	bool free_of_debuggers;

	if (end == c->rest)
		n = 1;
	if (n < 1 || n > MAX_STEPS || end[strspn(end, " \t")]) {
		fprintf(c->out, "step: at most %d steps at a time\n", MAX_STEPS);
		return;
	}
	if (!is_paused(c->r)) {
		fprintf(c->out, "step: it runs; stop comes first\n");
		return;
	}
	pthread_mutex_lock(&c->r->lock); /* a debugger comes before, or behind */
	free_of_debuggers = !c->r->debugged && !c->r->waits_for_gdb;
	if (free_of_debuggers)
		make_steps(c, n);
	pthread_mutex_unlock(&c->r->lock);
	if (!free_of_debuggers) {
		fprintf(c->out, "step: a debugger has the machine\n");
		return;
	}
	snprintf(line, sizeof(line), "x/1iw %08x", (unsigned)c->v->gs.pc);
	(void)inspect(c->v, line, c->out);
}

/* ---- trace ---- */

enum { LAST_EVENTS = 20 };

static void list_events(struct command *c)
{
	uint64_t on = trace_switched_on(c->r->session->trace);

	for (unsigned e = 0; e < NUM_TRACE_EVENTS; e++)
		fprintf(c->out, "%-17s %-3s  %s\n", trace_rows[e].name, on >> e & 1 ? "on" : "off", trace_rows[e].help);
}

static void show_last_events(struct command *c, const char *count)
{
	char *end;
	unsigned long n = count ? strtoul(count, &end, 10) : LAST_EVENTS;

	if (n < 1 || n > TRACE_RING || (count && *end))
		fprintf(c->out, "trace last %s: must be a number, 1 to %d\n", count, TRACE_RING);
	else if (!trace_last(c->r->session->trace, c->r->opt->name, (unsigned)n, trace_print, c->out))
		fprintf(c->out, "trace: who reads the file of --trace is slow; try again\n");
}

/* For all machines of the monitor. */
static void trace(struct command *c)
{
	char text[INSPECT_LINE_BYTES], *rest, *what, *how;
	uint64_t events;

	snprintf(text, sizeof(text), "%s", c->rest);
	what = strtok_r(text, " \t\r\n", &rest);
	how = what ? strtok_r(NULL, " \t\r\n", &rest) : NULL;
	events = what ? trace_match(what) : 0;
	if (!what)
		list_events(c);
	else if (strcmp(what, "last") == 0)
		show_last_events(c, how);
	else if (!events)
		fprintf(c->out, "trace %s: no event is called that; trace lists them\n", what);
	else if (how && (strcmp(how, "on") == 0 || strcmp(how, "off") == 0))
		trace_switch(c->r->session->trace, events, strcmp(how, "on") == 0);
	else
		fprintf(c->out, "trace %s: on, or off?\n", what);
}

static const struct own {
	const char *name, *alias;
	void (*fn)(struct command *c);
	const char *help;
} own[] = {
#define INSPECT_MACHINE(name, alias, fn, help) {name, alias, fn, help},
#include "vmm/debug/inspect.def"
};

static void run_line(struct command *c, const char *line)
{
	size_t n;

	line += strspn(line, " \t");
	n = strcspn(line, " \t\r\n");
	c->rest = line + n;
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if ((strlen(own[i].name) == n && strncmp(own[i].name, line, n) == 0) ||
		    (strlen(own[i].alias) == n && strncmp(own[i].alias, line, n) == 0)) {
			own[i].fn(c);
			return;
		}
	(void)inspect(c->v, line, c->out);
	if (n == 4 && strncmp(line, "help", n) == 0)
		for (size_t i = 0; i < ARRAY_LEN(own); i++)
			fprintf(c->out, "%-35s %s\n", own[i].name, own[i].help);
}

static struct run *find(const struct session *s, const char *machine)
{
	for (unsigned i = 0; i < s->n; i++)
		if (!machine || strcmp(s->run[i]->opt->name, machine) == 0)
			return s->run[i];
	return NULL;
}

static int bad(struct control_error *err, int e, const char *name, const char *why)
{
	snprintf(err->text, sizeof(err->text), "%.100s%s%s", name, *name ? ": " : "", why);
	return e;
}

/* Its vm stays until let_go(). 0, or -errno with err filled. */
static int hold(struct run *r, struct control_error *err)
{
	bool has;

	pthread_mutex_lock(&r->look_lock);
	pthread_mutex_lock(&r->lock);
	has = r->vm != NULL;
	pthread_mutex_unlock(&r->lock);
	if (has)
		return 0;
	pthread_mutex_unlock(&r->look_lock);
	return bad(err, -EINVAL, r->opt->name, "does not run");
}

static void let_go(struct run *r) { pthread_mutex_unlock(&r->look_lock); }

static int look_into(struct run *r, unsigned cpu, const char *line, FILE *out, struct control_error *err)
{
	struct command c = {.r = r, .out = out};
	int e = hold(r, err);

	if (e)
		return e;
	if (cpu >= r->vm->n_vcpus) {
		e = bad(err, -EINVAL, r->opt->name, "has no vCPU of that number");
	} else {
		c.v = &r->vm->vcpu[cpu];
		run_line(&c, line);
	}
	let_go(r);
	return e;
}

static struct run *find_locked(struct session *s, const char *machine)
{
	struct run *r;

	pthread_mutex_lock(&s->lock);
	r = find(s, machine);
	pthread_mutex_unlock(&s->lock);
	return r; /* who takes machines away is this thread */
}

int session_look_into(struct session *s, const char *machine, unsigned cpu, const char *line, char **said,
		      struct control_error *err)
{
	struct run *r;
	size_t bytes;
	FILE *out = open_memstream(said, &bytes);
	int e;

	if (!out)
		return bad(err, -ENOMEM, "", "the host has no memory left");
	r = find_locked(s, machine);
	e = r ? look_into(r, cpu, line, out, err) : bad(err, -ENOENT, machine ? machine : "", "no such machine");
	return fclose(out) && !e ? bad(err, -ENOMEM, "", "the host has no memory left") : e;
}

/* ---- where it is, all the time ---- */

static int begin_profile(struct vm *vm, unsigned ms, struct control_error *err)
{
	struct profile *p = vm->profile ? vm->profile : profile_new();

	if (!p)
		return bad(err, -ENOMEM, "", "the host has no memory left");
	__atomic_store_n(&vm->profile, p, __ATOMIC_RELEASE);
	profile_begin(p, vm, ms);
	return 0;
}

int session_profile(struct session *s, const char *machine, unsigned ms, struct control_profile *out,
		    struct control_error *err)
{
	struct run *r = find_locked(s, machine);
	int e = r ? hold(r, err) : bad(err, -ENOENT, machine ? machine : "", "no such machine");

	if (e)
		return e;
	if (r->vm->vcpu->caches.flash) {
		e = bad(err, -EINVAL, r->opt->name, "a simulated machine (--numa flash) is not sampled");
	} else if (ms) {
		e = begin_profile(r->vm, ms, err);
	} else if (!r->vm->profile) {
		e = bad(err, -EINVAL, r->opt->name, "no samples: it was reset meanwhile, or none were asked for");
	} else {
		profile_copy(r->vm->profile, &out->sum);
		out->slide = run_slide(r);
	}
	let_go(r);
	return e;
}
