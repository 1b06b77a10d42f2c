/* SPDX-License-Identifier: MIT */
#include "vmm/cli/run_internal.h"

#include <string.h>
#include <unistd.h>

#include "vmm/devices/agent.h"
#include "vmm/devices/guest_devices.h"
#include "vmm/host/console.h"
#include "vmm/host/stop.h"
#include "vmm/host/stream.h"
#include "vmm/host/tty.h"
#include "vmm/monitor/vm.h"

/* What signals and time do to a run: host/stop.h. On stop's thread, but for flush(). */

/* A guest that works has shown something by then, on the slowest of hosts. */
enum { LOOK_MS = 10000, LOOK_HIDDEN_MS = 20000 };

static bool pass(void *opaque, int sig)
{
	struct run *r = opaque;
	bool passed;

	pthread_mutex_lock(&r->lock);
	/* a command of a machine that is paused gets nothing */
	passed = r->vm && !__atomic_load_n(&r->vm->pauses, __ATOMIC_RELAXED) && r->agent && agent_signal(r->agent, sig);
	pthread_mutex_unlock(&r->lock);
	return passed;
}

static void end(void *opaque)
{
	struct run *r = opaque;

	pthread_mutex_lock(&r->lock);
	if (r->console)
		console_stop(r->console);
	if (r->vm)
		vm_end(r->vm, VM_QUIT);
	pthread_mutex_unlock(&r->lock);
}

static void flush(void *opaque)
{
	struct run *r = opaque;
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
	struct run *r = opaque;

	__atomic_store_n(&r->want_stats, true, __ATOMIC_RELEASE);
	wakeup_kick(r->wakeup);
}

/* A kernel that hangs before its console works says nothing, and a user would wait for ever. */
static void look(void *opaque)
{
	struct run *r = opaque;
	bool up = __atomic_load_n(&r->spoke, __ATOMIC_ACQUIRE);

	pthread_mutex_lock(&r->lock);
	up |= r->opt->command && r->agent && agent_started(r->agent);
	pthread_mutex_unlock(&r->lock);
	if (up)
		return;
	if (r->opt->command)
		stop_say(
		    "disco run: the guest has not come up for %d s; the same without the command shows its console "
		    "(Ctrl-C ends this run)\n",
		    LOOK_HIDDEN_MS / 1000);
	else if (r->opt->quiet_boot)
		stop_say(
		    "disco run: the guest has not come up for %d s; the same without --quiet-boot shows its console "
		    "(Ctrl-A x quits)\n",
		    LOOK_HIDDEN_MS / 1000);
	else
		stop_say("disco run: nothing from the guest for %d s%s (Ctrl-A x quits)\n", LOOK_MS / 1000,
			 strstr(r->opt->append, "console=")
			     ? "; is the kernel one for this board, are --initrd and --mem right?"
			     : "; its kernel is not told to use the console: --append console=ttyS0");
}

int run_stop_open(struct run *r)
{
	const struct run_options *opt = r->opt;
	struct stop_config cfg = {
	    .ops = {.pass = pass,
		    .end = end,
		    .flush = flush,
		    .leave = leave,
		    .statistics = statistics,
		    .look = look,
		    .opaque = r},
	    .timeout_ms = opt->timeout.ms,
	    .timeout_text = opt->timeout.text,
	};

	if (isatty(STDERR_FILENO))
		cfg.look_ms = opt->command || opt->quiet_boot ? LOOK_HIDDEN_MS : LOOK_MS;
	return stop_open(&r->stop, &cfg);
}
