/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf */
#include "vmm/cli/run_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/cli/commands.h"
#include "vmm/cli/plan_file.h"
#include "vmm/control/control.h"
#include "vmm/host/consoles.h"
#include "vmm/monitor/monitor.h"

/*
 * One machine more, or less, while the others run: on control's worker, one at a time, so that nobody else changes the list of
 * machines, and what is said here of those that run stays true.
 */

enum { REMOVE_WAIT_MS = 30000 };

static int bad(struct control_error *err, int e, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int bad(struct control_error *err, int e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return e;
}

static int no_memory(struct control_error *err) { return bad(err, -ENOMEM, "the host has no memory left"); }

/* ---- more ---- */

/* Why there cannot be one more, whatever it is; the first ones are waited for. With the lock. */
static int check_room(struct session *s, struct control_error *err)
{
	while (s->phase == SESSION_OPENS)
		pthread_cond_wait(&s->changed, &s->lock);
	if (!s->several)
		return bad(err, -EINVAL,
			   "this monitor is of one machine; others can be added to one that was begun with several, or "
			   "with --several");
	if (s->first->opt->icount)
		return bad(err, -EINVAL,
			   "--icount: a run that is to be repeated has the machines that it began with, and no others");
	if (s->phase != SESSION_RUNS || stop_asked(s->stop))
		return bad(err, -EINVAL, "this monitor is coming to its end");
	return s->n < RUN_MAX_MACHINES ? 0 : bad(err, -EINVAL, "there are %d machines already", RUN_MAX_MACHINES);
}

/* The lowest one that no machine has: its cards' and, on a lan, its addresses follow from that. With the lock. */
static unsigned free_number(const struct session *s)
{
	bool taken[RUN_MAX_MACHINES + 2] = {false};
	unsigned n = 1;

	for (unsigned i = 0; i < s->n; i++)
		taken[s->run[i]->opt->number] = true;
	while (taken[n])
		n++;
	return n;
}

/* Its options, in r->plan. */
static int make_plan(struct session *s, struct run *r, const struct control_addition *what, struct control_error *err)
{
	struct plan_other *other = calloc(RUN_MAX_MACHINES, sizeof(*other));
	struct plan_addition a = {.text = what->config,
				  .bytes = what->bytes,
				  .name = what->file,
				  .folder = what->folder,
				  .process = s->first->opt,
				  .said = &r->said,
				  .other = other};
	struct options_error why = {{0}};
	struct run_options *o;
	char *speaker;
	int e;

	if (!other)
		return no_memory(err);
	pthread_mutex_lock(&s->lock);
	e = check_room(s, err);
	for (; !e && a.n_others < s->n; a.n_others++)
		other[a.n_others] = (struct plan_other){s->run[a.n_others]->opt, s->run[a.n_others]->gone};
	pthread_mutex_unlock(&s->lock);
	if (!e && plan_from_addition(&r->plan, &a, &why))
		e = bad(err, -EINVAL, "%s", why.text);
	r->plan.n_others = 0; /* other is no more, from here on */
	r->plan.other = NULL;
	free(other);
	if (e)
		return e;
	o = r->plan.opt;
	if (o->stats && !s->count_insns)
		return bad(
		    err, -EINVAL,
		    "%s: --stats: this monitor does not count instructions; for that, one of the machines that it "
		    "began with must have had it",
		    what->file);
	if (asprintf(&speaker, "%s: %s", s->speaker, o->name) < 0 || !plan_keep(&r->plan, speaker))
		return no_memory(err);
	o->speaker = speaker;
	return 0;
}

static int resize(struct session *s, uint64_t bytes, struct control_error *err)
{
	if (machine_memory_resize(s->monitor->memory, bytes))
		return bad(err, -ENOMEM,
			   "--mem: the host has given this monitor no address space for more memory (ulimit -v, -f?)");
	s->mem_bytes = bytes;
	return 0;
}

static void unlist(struct session *s, const struct run *r)
{
	unsigned i = 0;

	while (s->run[i] != r)
		i++;
	memmove(&s->run[i], &s->run[i + 1], (s->n - i - 1) * sizeof(s->run[0]));
	s->n--;
}

/* Waits until it is opened, as the first ones are. */
static int start(struct session *s, struct run *r, struct control_error *err)
{
	int e;

	pthread_mutex_lock(&s->lock);
	e = check_room(s, err);
	if (!e) {
		r->plan.opt->number = free_number(s);
		r->said.open = true;
		s->run[s->n++] = r;
		e = run_start(r);
		if (e) {
			s->n--;
			(void)bad(err, e, "a thread for the machine: %s", strerror(-e));
		}
	}
	while (!e && !r->opened)
		pthread_cond_wait(&s->changed, &s->lock);
	if (!e && r->open_status) {
		while (!r->gone)
			pthread_cond_wait(&s->changed, &s->lock);
		unlist(s, r);
		e = bad(err, -EINVAL, "%s: %s", r->opt->name, r->said.first.text);
	}
	pthread_mutex_unlock(&s->lock);
	if (e && r->gone)
		pthread_join(r->thread, NULL);
	return e;
}

int session_add(struct session *s, const struct control_addition *what, struct control_error *err)
{
	struct run *r = calloc(1, sizeof(*r));
	uint64_t before = 0;
	int e;

	if (!r)
		return no_memory(err);
	run_init(r, s, NULL);
	e = make_plan(s, r, what, err);
	r->opt = r->plan.opt;
	if (!e) {
		before = s->mem_bytes;
		e = resize(s, before + run_memory_bytes(r->opt), err);
	}
	if (!e) {
		e = start(s, r, err);
		if (e)
			(void)resize(s, before, err);
	}
	if (e) {
		run_free(r);
		return e;
	}
	control_event(s->control, CONTROL_EVENT_X_MACHINE_ADDED, r->opt->name, NULL);
	return 0;
}

/* ---- less ---- */

static struct run *find(const struct session *s, const char *name)
{
	for (unsigned i = 0; i < s->n; i++)
		if (strcmp(s->run[i]->opt->name, name) == 0)
			return s->run[i];
	return NULL;
}

/* Until its thread is gone.  It may have to be told again: between two boots nobody listens. With the lock. */
static int wait_for_end(struct session *s, struct run *r, struct control_error *err)
{
	enum { AGAIN_MS = 100 };

	for (unsigned ms = 0; !r->gone; ms += AGAIN_MS) {
		struct timespec until;

		if (ms >= REMOVE_WAIT_MS)
			return bad(err, -ETIMEDOUT, "%s: has not ended after %d s", r->opt->name,
				   REMOVE_WAIT_MS / 1000);
		run_end(r);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += AGAIN_MS * 1000000l;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		(void)pthread_cond_timedwait(&s->changed, &s->lock, &until);
	}
	return 0;
}

/* Out of the list, or why not. With the lock. */
static int take_away(struct session *s, const char *name, bool force, struct run **out, struct control_error *err)
{
	struct run *r = find(s, name);
	int e;

	*out = NULL;
	if (!r)
		return bad(err, -ENOENT, "Machine '%.100s' not found", name);
	if (!r->gone && !force)
		return bad(err, -EBUSY, "%s: has not ended", name);
	r->removed = true;
	e = wait_for_end(s, r, err);
	if (e)
		r->removed = false;
	if (e || s->phase != SESSION_RUNS)
		return e; /* it was the last one: all of it goes */
	unlist(s, r);
	s->exit_at_once |= r->exit_at_once;
	*out = r;
	return 0;
}

int session_remove(struct session *s, const char *name, bool force, struct control_error *err)
{
	struct control_error nobody;
	struct run *r;
	int e;

	pthread_mutex_lock(&s->lock);
	e = take_away(s, name, force, &r, err);
	pthread_mutex_unlock(&s->lock);
	if (!r)
		return e;
	pthread_join(r->thread, NULL);
	if (s->consoles)
		consoles_forget(s->consoles, r->opt->name);
	(void)resize(s, s->mem_bytes - run_memory_bytes(r->opt), &nobody); /* less: there is room for that */
	control_event(s->control, CONTROL_EVENT_X_MACHINE_REMOVED, r->opt->name, NULL);
	run_free(r);
	return 0;
}
