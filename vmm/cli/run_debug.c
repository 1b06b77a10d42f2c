/* SPDX-License-Identifier: MIT */
#include "vmm/cli/run_internal.h"

#include <stdio.h>
#include <string.h>

#include "vmm/boot/loader.h"
#include "vmm/cli/commands.h"
#include "vmm/monitor/monitor.h"
#include "vmm/debug/server.h"
#include "vmm/look/elf_image.h"
#include "vmm/look/slide.h"

/* The session's machines as a debugger finds them: --gdb, and disco gdb.  On the debugger's thread, but for what is said. */

/* A machine that is alone has no number. */
static unsigned number_of(const struct run *r) { return r->opt->number ? r->opt->number : 1; }

static struct run *find(const struct session *s, unsigned number)
{
	for (unsigned i = 0; i < s->n; i++)
		if (number_of(s->run[i]) == number)
			return s->run[i];
	return NULL;
}

static bool has_ended(const struct run *r) { return __atomic_load_n(&r->phase, __ATOMIC_ACQUIRE) == RUN_HAS_ENDED; }

/* The list stays as it is, and the machine has its vm, until leave(). */
static bool enter(void *opaque, unsigned number, struct debug_machine *out)
{
	struct session *s = opaque;
	struct run *r;

	pthread_mutex_lock(&s->lock);
	r = find(s, number);
	if (!r) {
		pthread_mutex_unlock(&s->lock);
		return false;
	}
	pthread_mutex_lock(&r->lock);
	if (!r->vm || r->vm->debug != &r->debug) { /* else it has them, and its vCPUs read them */
		r->debug.notify = debug_server_notify;
		r->debug.opaque = s->debugger;
	}
	*out = (struct debug_machine){.number = number,
				      .name = r->opt->name,
				      .vm = r->vm,
				      .debug = &r->debug,
				      .attached = &r->debugged,
				      .ended = has_ended(r)};
	if (out->ended)
		out->status = r->status;
	return true;
}

static void leave(void *opaque, unsigned number)
{
	struct session *s = opaque;

	pthread_mutex_unlock(&find(s, number)->lock);
	pthread_mutex_unlock(&s->lock);
}

static unsigned next(void *opaque, unsigned number)
{
	struct session *s = opaque;
	unsigned best = 0;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->n; i++) {
		unsigned n = number_of(s->run[i]);

		if (n > number && (!best || n < best) && !has_ended(s->run[i]))
			best = n;
	}
	pthread_mutex_unlock(&s->lock);
	return best;
}

static void let_go(struct run *r)
{
	pthread_mutex_lock(&r->lock);
	if (r->waits_for_gdb && !r->debugged) {
		__atomic_store_n(&r->debug.want_stop, false, __ATOMIC_RELAXED);
		if (r->vm && r->vm->debug) {
			debug_join(r->vm, NULL);
			debug_go(&r->debug, r->vm, false);
		}
	}
	r->waits_for_gdb = false;
	pthread_mutex_unlock(&r->lock);
}

static void go_waiting(void *opaque)
{
	struct session *s = opaque;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->n; i++)
		let_go(s->run[i]);
	pthread_mutex_unlock(&s->lock);
}

static void kill_machine(void *opaque, unsigned number)
{
	struct session *s = opaque;
	struct run *r;

	pthread_mutex_lock(&s->lock);
	r = find(s, number);
	if (r)
		run_end(r);
	pthread_mutex_unlock(&s->lock);
}

struct look_for {
	struct slide slide;
	struct pmap *ram;
	uint32_t found;
};

static void look_for_slide(void *arg)
{
	struct look_for *l = arg;

	l->found = slide_find(&l->slide, l->ram);
}

uint32_t run_slide(struct run *r)
{
	struct loader_error err;
	struct elf_image *image;
	struct look_for l = {.found = 0};

	if (!r->vm || session_shares(r->session) || elf_image_open(&image, r->opt->kernel, &err))
		return 0;
	slide_init(&l.slide, image);
	elf_image_free(image);
	l.ram = r->vm->ram;
	if (l.slide.low)
		debug_act(r->vm, look_for_slide, &l);
	return l.found;
}

static uint32_t slide(void *opaque, unsigned number) { return run_slide(find(opaque, number)); }

static int open_server(struct session *s, const struct debug_address *at, struct debug_error *err)
{
	const struct debug_machines machines = {.enter = enter,
						.leave = leave,
						.next = next,
						.go_waiting = go_waiting,
						.kill = kill_machine,
						.slide = slide,
						.opaque = s};

	int r = debug_server_open(&s->debugger, &machines, at, err);

	if (!r)
		__atomic_store_n(&s->debugging, true, __ATOMIC_RELEASE);
	return r;
}

int session_debug_open(struct session *s)
{
	const struct run_options *opt = s->first->opt;
	struct debug_error err;

	for (unsigned i = 0; i < s->n; i++)
		s->run[i]->waits_for_gdb = opt->gdb_wait;
	if (!opt->gdb.text && !opt->gdb_wait)
		return STATUS_OK;
	if (open_server(s, &opt->gdb, &err)) {
		fprintf(stderr, "%s: --gdb %s: %s\n", s->speaker, opt->gdb.text ? opt->gdb.text : "", err.text);
		return STATUS_USAGE;
	}
	if (opt->gdb.text)
		fprintf(stderr, "%s: gdb can come: target remote %s\n", s->speaker, debug_server_name(s->debugger));
	return STATUS_OK;
}

bool session_debug_visit(struct session *s, int fd, const char *machine)
{
	struct debug_error err;
	unsigned number = 0;
	bool there;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(s->run[i]->opt->name, machine) == 0 && !s->run[i]->opt->record &&
		    (!s->run[i]->opt->replay || s->run[i]->opt->goes_back)) /* it could become another run */
			number = number_of(s->run[i]);
	there = number && (s->debugger || open_server(s, NULL, &err) == 0);
	pthread_mutex_unlock(&s->lock);
	return there && debug_server_visit(s->debugger, fd, number);
}

void run_debug_boot(struct run *r)
{
	struct debug *d = &r->debug;

	if (r->waits_for_gdb || r->debugged) {
		d->notify = debug_server_notify;
		d->opaque = r->session->debugger;
		/* the one before stood still when it was reset: so does this one, and it has not been let go to do anything yet */
		if (r->waits_for_gdb || __atomic_load_n(&d->paused, __ATOMIC_RELAXED))
			__atomic_store_n(&d->want_stop, true, __ATOMIC_RELAXED);
		__atomic_store_n(&d->paused, false, __ATOMIC_RELAXED);
		r->vm->debug = d;
	}
}

void run_debug_ended(struct run *r)
{
	if (__atomic_load_n(&r->session->debugging, __ATOMIC_ACQUIRE))
		debug_server_notify(r->session->debugger);
}
