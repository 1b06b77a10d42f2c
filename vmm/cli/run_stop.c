/* SPDX-License-Identifier: MIT */
#include "vmm/cli/run_internal.h"

#include <string.h>
#include <unistd.h>

#include "vmm/devices/guest_devices.h"
#include "vmm/host/console.h"
#include "vmm/host/stream.h"
#include "vmm/host/tty.h"

/* What signals and time do to a session: host/stop.h. On stop's thread, but for flush(). */

/* A guest that works has shown something by then, on the slowest of hosts. */
enum { LOOK_MS = 10000, LOOK_HIDDEN_MS = 20000 };

static bool pass_one(struct run *r, int sig)
{
	bool passed;

	pthread_mutex_lock(&r->lock);
	/* a command of a machine that is paused gets nothing */
	passed = r->vm && !__atomic_load_n(&r->vm->pauses, __ATOMIC_RELAXED) && r->agent && agent_signal(r->agent, sig);
	pthread_mutex_unlock(&r->lock);
	return passed;
}

/* Commands get it; a machine whose command has not begun ends then, as it would if it were alone. */
static bool pass(void *opaque, int sig)
{
	struct session *s = opaque;
	bool taken[RUN_MAX_MACHINES], any = false;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->n; i++)
		any |= taken[i] = pass_one(s->run[i], sig);
	for (unsigned i = 0; any && i < s->n; i++)
		if (!taken[i])
			run_end(s->run[i]);
	pthread_mutex_unlock(&s->lock);
	return any;
}

static void end(void *opaque)
{
	struct session *s = opaque;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->n; i++) {
		struct run *r = s->run[i];

		pthread_mutex_lock(&r->lock);
		if (r->console)
			console_stop(r->console);
		if (r->vm) {
			vm_end(r->vm, VM_QUIT);
			vm_interrupt(r->vm, STOP_SIGNAL);
		}
		pthread_mutex_unlock(&r->lock);
	}
	pthread_mutex_unlock(&s->lock);
}

static void flush(void *machine)
{
	struct run *r = machine;
	struct guest_devices *devices;

	pthread_mutex_lock(&r->lock);
	devices = r->devices; /* which are closed after stop_settle() */
	pthread_mutex_unlock(&r->lock);
	if (devices)
		guest_devices_flush(devices);
}

static void leave(void *opaque) { tty_restore(); }

static void statistics(void *opaque)
{
	struct session *s = opaque;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->n; i++) {
		struct run *r = s->run[i];

		__atomic_store_n(&r->want_stats, true, __ATOMIC_RELEASE);
		pthread_mutex_lock(&r->lock);
		if (r->vm)
			wakeup_kick(r->wakeup);
		pthread_mutex_unlock(&r->lock);
	}
	pthread_mutex_unlock(&s->lock);
}

static void resized(void *opaque)
{
	struct session *s = opaque;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->n; i++) {
		pthread_mutex_lock(&s->run[i]->lock);
		agent_resized(s->run[i]->agent);
		pthread_mutex_unlock(&s->run[i]->lock);
	}
	pthread_mutex_unlock(&s->lock);
}

static bool is_up(struct run *r)
{
	bool up = __atomic_load_n(&r->spoke, __ATOMIC_ACQUIRE);

	pthread_mutex_lock(&r->lock);
	up |= !r->vm || (r->opt->command && r->agent && agent_started(r->agent));
	pthread_mutex_unlock(&r->lock);
	return up;
}

/* A kernel that hangs before its console works says nothing, and a user would wait for ever. */
static void look(void *opaque)
{
	struct session *s = opaque;
	const struct run_options *opt = NULL;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->n && !opt; i++)
		if (run_is_first(s->run[i]) && !is_up(s->run[i]))
			opt = s->run[i]->opt;
	pthread_mutex_unlock(&s->lock);
	if (!opt)
		return;
	if (opt->command)
		stop_say("%s: the guest has not come up for %d s; the same without the command shows its console "
			 "(Ctrl-C ends this run)\n",
			 opt->speaker, LOOK_HIDDEN_MS / 1000);
	else if (opt->quiet_boot)
		stop_say("%s: the guest has not come up for %d s; the same without --quiet-boot shows its console "
			 "(Ctrl-A x quits)\n",
			 opt->speaker, LOOK_HIDDEN_MS / 1000);
	else
		stop_say("%s: nothing from the guest for %d s%s (Ctrl-A x quits)\n", opt->speaker, LOOK_MS / 1000,
			 strstr(opt->append, "console=")
			     ? "; is the kernel one for this board, are --initrd and --mem right?"
			     : "; its kernel is not told to use the console: --append console=ttyS0");
}

int session_stop_open(struct session *s)
{
	struct stop_config cfg = {
	    .ops = {.pass = pass,
		    .end = end,
		    .flush = flush,
		    .leave = leave,
		    .statistics = statistics,
		    .look = look,
		    .resized = resized,
		    .opaque = s},
	    .speaker = s->speaker,
	    .timeout_ms = s->first->opt->timeout.ms,
	    .timeout_text = s->first->opt->timeout.text,
	};
	bool hidden = false;

	for (unsigned i = 0; i < s->n; i++) {
		hidden |= s->first[i].opt->command || s->first[i].opt->quiet_boot;
		cfg.pipes |= s->first[i].opt->command;
	}
	cfg.sizes = !s->several && agent_wants_sizes(s->first->opt);
	if (isatty(STDERR_FILENO))
		cfg.look_ms = hidden ? LOOK_HIDDEN_MS : LOOK_MS;
	return stop_open(&s->stop, &cfg);
}
