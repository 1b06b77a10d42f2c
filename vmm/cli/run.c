/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf */
#include "vmm/cli/run_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/boot/loader.h"
#include "vmm/cli/commands.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/devices/agent.h"
#include "vmm/devices/guest_devices.h"
#include "vmm/host/console.h"
#include "vmm/host/stop.h"
#include "vmm/host/stream.h"
#include "vmm/host/tty.h"
#include "vmm/look/dump.h"
#include "vmm/monitor/monitor.h"

/* `disco run`: one machine from power-on to its end. */

static void on_tx(void *opaque, const uint8_t *data, size_t n)
{
	struct run *r = opaque;

	if (!n)
		return;
	if (r->hidden) {
		console_tail_add(&r->tail, data, n);
	} else {
		console_write(r->console, data, n);
		r->mid_line = data[n - 1] != '\n';
		__atomic_store_n(&r->spoke, true, __ATOMIC_RELEASE);
	}
	if (panic_watch_feed(&r->panic, data, n))
		vm_end(r->vm, VM_PANIC);
}

static void on_report(void *opaque, const char *text) { fprintf(stderr, "disco run: %s\n", text); }

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

	if (r->console)
		console_flush(r->console);
	agent_poll(r->agent);
	guest_devices_poll(r->devices);
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

	if (r->mid_line && !fstat(STDOUT_FILENO, &out) && !fstat(STDERR_FILENO, &err) && out.st_dev == err.st_dev &&
	    out.st_ino == err.st_ino)
		fputc('\n', stderr);
}

/* Waits for whoever reads the command's output.  False: the run is ended from outside before that is all written. */
static bool drained(const struct run *r)
{
	const struct timespec ms = {0, 1000000};

	while (r->agent && r->stop && !stop_asked(r->stop) && !agent_drained(r->agent))
		nanosleep(&ms, NULL);
	return !r->stop || !stop_asked(r->stop);
}

/* A command: its own status, or 125 and why there is none. */
static int command_status(const struct run *r, enum vm_end why)
{
	int status;
	enum agent_result result = agent_result(r->agent, &status);

	if (result == AGENT_STATUS)
		return status;
	if (result == AGENT_QUIT) {
		fprintf(stderr, "disco run: left before the command had ended\n");
		return AGENT_NO_STATUS;
	}
	if (stop_asked(r->stop))
		return AGENT_NO_STATUS; /* stop_status() will say which */
	console_tail_print(&r->tail, stderr);
	if (result == AGENT_REFUSED)
		fprintf(stderr, "disco run: the command was not run: %s\n", agent_failure(r->agent));
	else if (why == VM_NO_MEMORY)
		fprintf(stderr, "disco run: the host has no memory left for the guest\n");
	else
		fprintf(stderr, "disco run: the guest %s before the command had ended\n",
			r->panic.seen     ? "panicked"
			: why == VM_RESET ? "restarted"
					  : "powered off");
	return AGENT_NO_STATUS;
}

/* A kernel that powers off has not panicked, whatever was printed. */
static int status_of(const struct run *r, enum vm_end why)
{
	if (r->opt->command)
		return command_status(r, why);
	if (r->hidden && why != VM_QUIT)
		console_tail_print(&r->tail, stderr);
	if (r->panic.seen && why != VM_POWER_OFF) {
		fprintf(stderr, "disco run: the guest panicked\n");
		return STATUS_FAILED;
	}
	if (why == VM_NO_MEMORY) {
		fprintf(stderr, "disco run: the host has no memory left for the guest\n");
		return STATUS_FAILED;
	}
	return STATUS_OK;
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
		fprintf(stderr, "disco run: standard output: %s\n", strerror(lost));
	return lost && !status ? STATUS_FAILED : status;
}

/* Most often it is that, and not the host. */
static const char *address_limit(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY
		   ? ""
		   : "; there is a limit of address space (ulimit -v)";
}

static int cannot_make(int err, const struct vm_want *want)
{
	if (err == -ENOMEM && want->what)
		fprintf(stderr, "disco run: cannot make the machine: the host gives no %lluM for %s%s\n",
			(unsigned long long)((want->bytes + (1 << 20) - 1) >> 20), want->what, address_limit());
	else
		fprintf(stderr, "disco run: cannot make the machine: %s\n", strerror(-err));
	return STATUS_FAILED;
}

static int open_vm(struct run *r, bool big_endian)
{
	const struct run_options *opt = r->opt;
	struct vm_config cfg = {
	    .ram_bytes = opt->mem_bytes,
	    .cpu = opt->cpu,
	    .big_endian = big_endian,
	    .icount = opt->icount,
	    .count_insns = opt->stats,
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

	cfg.want = &want;
	err = vm_new(&vm, r->monitor, &cfg);

	if (!err) {
		pthread_mutex_lock(&r->lock);
		r->vm = vm;
		pthread_mutex_unlock(&r->lock);
	}
	if (!err && guest_devices_plug(r->devices, r->vm, r->agent))
		return STATUS_FAILED;
	if (!err)
		wakeup_set(r->wakeup, r->vm->clock);
	if (!err && opt->dump) {
		struct loader_error why = {{0}};

		err = vm_dump_open(r->vm, opt, stderr, &why);
		if (err && why.text[0]) {
			fprintf(stderr, "disco run: %s\n", why.text);
			return STATUS_USAGE;
		}
	}
	if (!err)
		return STATUS_OK;
	return cannot_make(err, &want);
}

static void close_vm(struct run *r)
{
	struct vm *vm = r->vm;

	if (!vm)
		return;
	wakeup_set(r->wakeup, NULL);
	agent_unplug(r->agent);
	guest_devices_unplug(r->devices);
	if (stop_asked(r->stop) && jit_abandon(vm->vcpu->jit)) {
		vm->vcpu->jit = NULL;
		r->exit_at_once = true;
	}
	vm_dump_free(vm->dump);
	r->date_ns = clock_date_ns(vm->clock);
	pthread_mutex_lock(&r->lock);
	r->vm = NULL;
	pthread_mutex_unlock(&r->lock);
	vm_free(vm);
}

/* One boot. *again: the guest asked for a reset. */
static int boot(struct run *r, bool big_endian, bool *again)
{
	enum vm_end why;
	int status = open_vm(r, big_endian), lost, stats;

	*again = false;
	r->hidden = r->opt->command || r->opt->quiet_boot;
	if (!status)
		status = run_load(r);
	if (status) {
		close_vm(r);
		return status;
	}
	why = vm_run(r->vm);
	if (r->console)
		console_flush(r->console);
	*again = why == VM_RESET && !r->panic.seen && !r->opt->no_reboot && !r->opt->command && !stop_asked(r->stop);
	if (!*again) {
		lost = close_console(r, STATUS_OK);
		agent_leave_terminal(r->agent, drained(r));
		run_end_line(r);
		status = status_of(r, why);
		if (r->opt->icount)
			fprintf(stderr, "disco run: %" PRIu64 " instructions, state %016" PRIx64 "\n",
				clock_insns(r->vm->clock), vm_state_hash(r->vm));
		stats = run_stats_write(r);
		status = status ? status : stats ? stats : lost;
	}
	close_vm(r);
	return status;
}

/* What outlives a boot. stop and agent first: they have signals that no thread made after them is to get. */
static int open_run(struct run *r)
{
	const struct run_options *opt = r->opt;
	struct guest_devices *devices;
	struct console *console;
	int err = wakeup_new(&r->wakeup), status;
	struct tty_size size;

	err = err ? err : run_stop_open(r);
	if (err) {
		fprintf(stderr, "disco run: %s\n", strerror(-err));
		return STATUS_FAILED;
	}
	if (agent_console_size(opt, &size) &&
	    asprintf(&r->append, "%s%s disco.size=%ux%u", opt->append, opt->quiet_boot ? "" : " disco.agent=ready",
		     size.columns, size.rows) < 0) {
		r->append = NULL;
		fprintf(stderr, "disco run: the host has no memory left\n");
		return STATUS_FAILED;
	}
	if (opt->command || opt->quiet_boot || r->append) {
		struct agent *agent;

		err = agent_open(&agent, opt, r->wakeup, on_ready, r);
		if (err)
			return err == -EINVAL ? STATUS_USAGE : STATUS_FAILED;
		pthread_mutex_lock(&r->lock);
		r->agent = agent;
		pthread_mutex_unlock(&r->lock);
	}
	err = monitor_new(&r->monitor, &(struct monitor_config){.memory_bytes = opt->mem_bytes, .nodes = 1});
	if (err)
		return cannot_make(err, &(struct vm_want){.what = "guest memory (--mem)", .bytes = opt->mem_bytes});
	if (guest_devices_open(&devices, opt, r->wakeup))
		return STATUS_USAGE;
	pthread_mutex_lock(&r->lock);
	r->devices = devices;
	pthread_mutex_unlock(&r->lock);
	status = run_stats_open(r);
	if (status || opt->command)
		return status;
	err = console_open(&console, STDIN_FILENO, STDOUT_FILENO);
	if (!err) {
		pthread_mutex_lock(&r->lock);
		r->console = console;
		pthread_mutex_unlock(&r->lock);
		return STATUS_OK;
	}
	fprintf(stderr, "disco run: the terminal: %s\n", strerror(-err));
	return STATUS_FAILED;
}

int run_machine(const struct run_options *opt)
{
	/* repeatable runs see the same calendar: 2000-01-01 */
	struct run r = {.opt = opt, .date_ns = 946684800ull * 1000000000u, .lock = PTHREAD_MUTEX_INITIALIZER};
	int status = open_run(&r), stats;
	struct agent *agent;
	bool drain, big_endian = !status && run_image_big_endian(opt->kernel), again = true;

	while (!status && again)
		status = boot(&r, big_endian, &again);
	status = close_console(&r, status);
	stop_settle(r.stop);
	if (guest_devices_close(r.devices) && !status)
		status = STATUS_FAILED;
	stats = run_stats_close(&r);
	status = status ? status : stats;
	drain = drained(&r);
	agent = r.agent;
	pthread_mutex_lock(&r.lock);
	r.agent = NULL;
	pthread_mutex_unlock(&r.lock);
	status = agent_close(agent, drain, status);
	status = r.stop ? stop_status(r.stop, status) : status;
	stop_close(r.stop);
	wakeup_free(r.wakeup);
	monitor_free(r.monitor);
	free(r.append);
	if (r.exit_at_once) {
		fflush(NULL);
		_exit(status);
	}
	return status;
}
