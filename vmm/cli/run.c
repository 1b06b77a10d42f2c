/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf, gettid */
#include "vmm/cli/run_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/host_clock.h"
#include "numa/watch.h"
#include "vmm/cli/commands.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/devices/guest_devices.h"
#include "vmm/host/console.h"
#include "vmm/host/console_tap.h"
#include "vmm/host/consoles.h"
#include "vmm/host/lines.h"
#include "vmm/host/stream.h"
#include "vmm/host/tty.h"
#include "vmm/look/dump.h"
#include "vmm/monitor/monitor.h"
#include "vmm/replay/reverse.h"

/* `disco run`: one machine from power-on to its end. */

void run_say(const struct run *r, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	options_say(r->opt, "%s", text);
}

bool run_stopped(const struct run *r)
{
	return stop_asked(r->session->stop) || __atomic_load_n(&r->ended, __ATOMIC_ACQUIRE);
}

void run_end(struct run *r)
{
	__atomic_store_n(&r->ended, true, __ATOMIC_RELEASE);
	pthread_mutex_lock(&r->lock);
	if (r->console)
		console_stop(r->console);
	if (r->vm)
		vm_end(r->vm, VM_QUIT);
	pthread_mutex_unlock(&r->lock);
}

static void on_tx(void *opaque, const uint8_t *data, size_t n)
{
	struct run *r = opaque;

	if (!n)
		return;
	if (r->tap)
		console_tap_put(r->tap, data, n);
	if (r->hidden) {
		console_tail_add(&r->tail, data, n);
	} else {
		vm_step_aside(r->vm);
		console_write(r->console, data, n);
		vm_step_back(r->vm);
		r->mid_line = data[n - 1] != '\n';
		__atomic_store_n(&r->spoke, true, __ATOMIC_RELEASE);
	}
	if (panic_watch_feed(&r->panic, data, n))
		vm_end(r->vm, VM_PANIC);
}

static void on_report(void *opaque, const char *text) { run_say(opaque, "%s", text); }

static size_t on_rx(void *opaque, uint8_t *data, size_t n, int *end)
{
	struct run *r = opaque;
	long got = console_read(r->console, data, n);

	*end = got == CONSOLE_QUIT ? 2 : console_fd(r->console) < 0;
	return got > 0 ? (size_t)got : 0;
}

static void on_idle(void *opaque)
{
	struct run *r = opaque;

	if (r->console) {
		vm_step_aside(r->vm);
		console_flush(r->console);
		vm_step_back(r->vm);
	}
	agent_poll(r->agent);
	guest_devices_poll(r->devices);
	run_control_poll(r);
	if (__atomic_load_n(&r->want_stats, __ATOMIC_ACQUIRE) &&
	    __atomic_exchange_n(&r->want_stats, false, __ATOMIC_ACQ_REL))
		run_stats_now(r);
}

/* --quiet-boot: from here on the console is the user's. */
static void on_ready(void *opaque)
{
	struct run *r = opaque;

	r->hidden = !r->console;
	__atomic_store_n(&r->spoke, true, __ATOMIC_RELEASE);
}

void run_end_line(const struct run *r)
{
	struct stat out, err;

	if (r->mid_line && !r->session->several && !fstat(STDOUT_FILENO, &out) && !fstat(STDERR_FILENO, &err) &&
	    out.st_dev == err.st_dev && out.st_ino == err.st_ino)
		fputc('\n', stderr);
}

/* Waits for whoever reads the command's output.  False: the run is ended from outside before that is all written. */
static bool drained(const struct run *r)
{
	const struct timespec ms = {0, 1000000};

	while (r->agent && !run_stopped(r) && !agent_drained(r->agent))
		nanosleep(&ms, NULL);
	return !run_stopped(r);
}

/* From here on the terminal is the user's again. */
static int close_console(struct run *r, int status)
{
	struct console *c = r->console;
	int lost;

	/* it may wait for whoever reads it, as long as it is known to end() */
	if (c)
		console_flush(c);
	pthread_mutex_lock(&r->lock);
	r->console = NULL;
	pthread_mutex_unlock(&r->lock);
	lost = console_close(c);
	if (lost && lost != EPIPE)
		run_say(r, "standard output: %s", strerror(lost));
	return lost && !status ? STATUS_FAILED : status;
}

/* It is there, and does not run yet. */
static void take_vm(struct run *r, struct vm *vm)
{
	__atomic_store_n(&r->paused, false, __ATOMIC_RELEASE);
	pthread_mutex_lock(&r->lock);
	r->vm = vm;
	run_debug_boot(r);
	pthread_mutex_unlock(&r->lock);
	if (run_stopped(r))
		vm_end(vm, VM_QUIT); /* run_end() was there between two boots */
}

static int open_vm(struct run *r, bool big_endian)
{
	const struct run_options *opt = r->opt;
	struct vm_config cfg = {
	    .ram_bytes = opt->mem_bytes,
	    .cpu = opt->cpu,
	    .big_endian = big_endian,
	    .icount = opt->icount,
	    .vcpus = opt->vcpus,
	    .shares = opt->shares,
	    .cap = opt->cap,
	    .name = opt->name,
	    .number = opt->number,
	    .count_insns = r->session->count_insns,
	    .keep_ir = opt->dump && strchr(opt->dump, 'h'),
	    .tier1 = opt->tier1,
	    .tier2 = opt->tier2,
	    .code_bytes = opt->jit_bytes,
	    .hot_threshold = opt->hot.executions,
	    .hot_blocks = opt->hot.executions != 0,
	    .sync_tier2 = opt->hot.sync,
	    .input_fd = r->console ? console_fd(r->console) : -1,
	    .console_tx = on_tx,
	    .console_rx = on_rx,
	    .report = on_report,
	    .idle = on_idle,
	    .opaque = r,
	    .date_ns = r->date_ns,
	    .battery = &r->battery,
	};
	struct vm_want want = {0};
	struct vm *vm;
	int err;

	cfg.region = guest_devices_regions(r->devices, &cfg.n_regions);
	cfg.want = &want;
	err = vm_new(&vm, r->session->monitor, &cfg);

	if (!err) {
		numa_watch_machine(r->session->watch, opt->number, opt->name, opt->mem_bytes);
		take_vm(r, vm);
	}
	if (!err && guest_devices_plug(r->devices, r->vm, r->agent))
		return STATUS_FAILED;
	if (!err)
		wakeup_set(r->wakeup, r->vm->clock);
	if (!err && opt->dump) {
		struct loader_error why = {{0}};

		err = vm_dump_open(r->vm, opt, stderr, &why);
		if (err && why.text[0]) {
			run_say(r, "%s", why.text);
			return STATUS_USAGE;
		}
	}
	if (!err)
		return STATUS_OK;
	return run_cannot_make(r, err, &want);
}

static void close_vm(struct run *r)
{
	struct vm *vm = r->vm;

	if (!vm)
		return;
	wakeup_set(r->wakeup, NULL);
	agent_unplug(r->agent);
	guest_devices_unplug(r->devices);
	if (stop_asked(r->session->stop) && monitor_abandon(r->session->monitor))
		r->exit_at_once = true;
	vm_dump_free(vm->dump);
	r->date_ns = clock_date_ns(vm->clock);
	pthread_mutex_lock(&r->look_lock);
	pthread_mutex_lock(&r->lock);
	r->vm = NULL;
	__atomic_store_n(&r->slide_is, RUN_SLIDE_UNKNOWN, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&r->lock);
	pthread_mutex_unlock(&r->look_lock);
	reverse_free(vm->reverse);
	vm_free(vm);
}

/* One boot. *again: the guest asked for a reset. */
static int boot(struct run *r, bool big_endian, bool *again)
{
	enum vm_end why;
	int status = open_vm(r, big_endian), lost, stats, replayed;

	*again = false;
	r->hidden = r->opt->command || r->opt->quiet_boot;
	if (!status)
		status = run_load(r);
	if (!status)
		status = run_record_boot(r);
	if (status) {
		for (unsigned i = 0; i < run_vcpus(r->opt); i++)
			monitor_absent(r->session->monitor);
		close_vm(r);
		return status;
	}
	why = vm_run(r->vm);
	if (r->console)
		console_flush(r->console);
	*again = why == VM_RESET && !r->panic.seen && !r->opt->no_reboot && !r->opt->command && !run_stopped(r);
	run_control_told(r, why, *again);
	replayed = run_record_ended(r, why, *again);
	*again &= !replayed;
	if (!*again) {
		lost = close_console(r, STATUS_OK);
		agent_leave_terminal(r->agent, drained(r));
		run_end_line(r);
		status = run_status(r, why);
		if (r->opt->icount)
			run_say(r, "%" PRIu64 " instructions, state %016" PRIx64, clock_insns(r->vm->clock),
				vm_state_hash(r->vm));
		stats = run_stats_write(r);
		status = status ? status : stats ? stats : lost ? lost : replayed;
	}
	close_vm(r);
	return status;
}

/* ---- what outlives a boot ---- */

/* Several machines: what their command prints are lines with a name in front. */
static const struct agent_outputs *outputs_of(struct run *r)
{
	struct session *s = r->session;

	if (!s->lines[0])
		return NULL;
	r->outputs = (struct agent_outputs){.lines = {s->lines[0], s->lines[1]}, .name = r->opt->name};
	return &r->outputs;
}

static int open_agent(struct run *r)
{
	const struct run_options *opt = r->opt;
	struct tty_size size;
	struct agent *agent;
	int err;

	if (!r->session->several && agent_console_size(opt, &size) &&
	    asprintf(&r->append, "%s%s disco.size=%ux%u", opt->append, opt->quiet_boot ? "" : " disco.agent=ready",
		     size.columns, size.rows) < 0) {
		r->append = NULL;
		run_say(r, "the host has no memory left");
		return STATUS_FAILED;
	}
	/* one who is there to be asked for a clean end */
	if (r->session->reachable && !r->append && !opt->command && !opt->quiet_boot && opt->initrd && !opt->icount &&
	    asprintf(&r->append, "%s disco.agent=ready", opt->append) < 0) {
		r->append = NULL;
		run_say(r, "the host has no memory left");
		return STATUS_FAILED;
	}
	if (!opt->command && !opt->quiet_boot && !r->append)
		return STATUS_OK;
	err = agent_open(&agent, opt, outputs_of(r), r->wakeup, on_ready, r);
	if (err)
		return err == -EINVAL ? STATUS_USAGE : STATUS_FAILED;
	pthread_mutex_lock(&r->lock);
	r->agent = agent;
	pthread_mutex_unlock(&r->lock);
	return STATUS_OK;
}

/* On a pipe that several machines write to. */
static int put_lines(void *port, const uint8_t *data, size_t n)
{
	lines_put(port, data, n);
	return 0; /* the session looks at lines_error() */
}
static void stop_lines(void *port) { lines_port_stop(port); }
static void close_lines(void *port) { lines_port_close(port); }

static int open_console_lines(struct run *r, struct console **out)
{
	struct console_sink sink = {.write = put_lines, .stop = stop_lines, .close = close_lines};
	struct lines_port *port;
	int err = lines_port_open(&port, r->session->lines[0], r->opt->name);

	if (err)
		return err;
	sink.opaque = port;
	err = console_open_sink(out, -1, &sink);
	if (err)
		lines_port_close(port);
	return err;
}

static int open_console(struct run *r)
{
	struct session *s = r->session;
	struct console *console;
	int err;

	if (r->opt->command)
		return STATUS_OK;
	err = s->consoles   ? consoles_add(s->consoles, r->opt->name, &console)
	      : s->lines[0] ? open_console_lines(r, &console)
			    : console_open(&console, STDIN_FILENO, STDOUT_FILENO);
	if (err) {
		run_say(r, "the terminal: %s", strerror(-err));
		return STATUS_FAILED;
	}
	if (s->control && !s->consoles && !s->lines[0]) {
		char machine[2 * SOCKET_NAME_BYTES];

		snprintf(machine, sizeof(machine), "%s/%s", s->control_name, r->opt->name);
		console_offer_prompt(console, machine);
	}
	pthread_mutex_lock(&r->lock);
	r->console = console;
	pthread_mutex_unlock(&r->lock);
	return STATUS_OK;
}

static int open_run(struct run *r)
{
	struct guest_devices *devices;
	int err = wakeup_new(&r->wakeup), status;

	if (err) {
		run_say(r, "%s", strerror(-err));
		return STATUS_FAILED;
	}
	status = open_agent(r);
	if (status)
		return status;
	err = r->session->control ? console_tap_new(&r->tap, r->wakeup) : 0;
	if (err) {
		run_say(r, "%s", strerror(-err));
		return STATUS_FAILED;
	}
	if (guest_devices_open(&devices, r->opt, r->session->monitor, r->wakeup))
		return STATUS_USAGE;
	pthread_mutex_lock(&r->lock);
	r->devices = devices;
	pthread_mutex_unlock(&r->lock);
	status = run_stats_open(r);
	if (!status)
		status = run_record_open(r);
	return status ? status : open_console(r);
}

static int close_run(struct run *r, int status)
{
	struct console_tap *tap = r->tap;
	struct agent *agent = r->agent;
	struct wakeup *wakeup;
	bool drain;
	int stats, recorded;

	pthread_mutex_lock(&r->lock);
	r->tap = NULL;
	pthread_mutex_unlock(&r->lock);
	console_tap_free(tap);

	status = close_console(r, status);
	stop_settle(&r->stopping);
	if (guest_devices_close(r->devices) && !status)
		status = STATUS_FAILED;
	stats = run_stats_close(r);
	status = status ? status : stats;
	recorded = run_record_close(r);
	status = status ? status : recorded;
	drain = drained(r);
	pthread_mutex_lock(&r->lock);
	r->agent = NULL;
	pthread_mutex_unlock(&r->lock);
	status = agent_close(agent, drain, status);
	pthread_mutex_lock(&r->lock);
	wakeup = r->wakeup; /* others may be about to kick it */
	r->wakeup = NULL;
	pthread_mutex_unlock(&r->lock);
	wakeup_free(wakeup);
	free(r->append);
	return status;
}

/* All machines are opened before one of them runs: what cannot be opened leaves nothing behind. */
static bool wait_for_others(struct run *r, int status)
{
	struct session *s = r->session;
	bool go;

	if (r->opt->said) {
		pthread_mutex_lock(&r->opt->said->lock);
		r->opt->said->open = false;
		pthread_mutex_unlock(&r->opt->said->lock);
	}
	pthread_mutex_lock(&s->lock);
	r->open_status = status;
	r->opened = true;
	pthread_cond_broadcast(&s->changed);
	while (s->phase == SESSION_OPENS)
		pthread_cond_wait(&s->changed, &s->lock);
	go = s->phase == SESSION_RUNS;
	pthread_mutex_unlock(&s->lock);
	return go && !status;
}

void *run_main(void *run)
{
	struct run *r = run;
	struct session *s = r->session;
	bool again, big_endian;
	int status;

	stop_add(r->session->stop, &r->stopping, r);
	r->tid = gettid();
	status = open_run(r);
	again = wait_for_others(r, status);
	big_endian = again && run_image_big_endian(r->opt->kernel);
	r->big_endian = big_endian;
	r->kernel_path = realpath(r->opt->kernel, NULL);
	r->began_ms = host_now_ns() / 1000000;
	__atomic_store_n(&r->phase, RUN_RUNS, __ATOMIC_RELEASE);
	while (!status && again)
		status = boot(r, big_endian, &again);
	r->status = close_run(r, status);
	run_control_ended(r);
	run_debug_ended(r);
	stop_remove(&r->stopping);
	pthread_mutex_lock(&s->lock);
	r->gone = true;
	s->n_live--;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}
