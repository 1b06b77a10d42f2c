/* SPDX-License-Identifier: MIT */
#include "vmm/cli/run_internal.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/host_clock.h"
#include "numa/move.h"
#include "numa/share.h"
#include "vmm/cli/commands.h"
#include "vmm/control/control.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/host/console_tap.h"
#include "vmm/host/stream.h"
#include "vmm/monitor/audit.h"
#include "vmm/monitor/footprint.h"
#include "vmm/monitor/move.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/sched.h"

/* The session as the control socket sees it. On the control's thread, but for what run_internal.h says of the vCPU's. */

static void enter(void *opaque) { pthread_mutex_lock(&((struct session *)opaque)->lock); }
static void leave(void *opaque) { pthread_mutex_unlock(&((struct session *)opaque)->lock); }
static unsigned count(void *opaque) { return ((struct session *)opaque)->n; }

static enum control_state state_of(struct run *r)
{
	enum control_state state = CONTROL_RUNS;

	switch (__atomic_load_n(&r->phase, __ATOMIC_ACQUIRE)) {
	case RUN_OPENS:
		return CONTROL_STARTS;
	case RUN_HAS_ENDED:
		return r->why == VM_PANIC ? CONTROL_PANICKED : CONTROL_SHUTDOWN;
	default:
		break;
	}
	pthread_mutex_lock(&r->lock);
	if (__atomic_load_n(&r->paused, __ATOMIC_ACQUIRE))
		state = CONTROL_PAUSED;
	else if (__atomic_load_n(&r->debug.paused, __ATOMIC_RELAXED))
		state = CONTROL_DEBUG;
	else if (r->vm && __atomic_load_n(&r->vm->pauses, __ATOMIC_RELAXED))
		state = CONTROL_IO_ERROR;
	pthread_mutex_unlock(&r->lock);
	return state;
}

static bool has_ended(enum control_state state) { return state == CONTROL_SHUTDOWN || state == CONTROL_PANICKED; }

static void look(void *opaque, unsigned i, struct control_machine *out)
{
	struct run *r = ((struct session *)opaque)->run[i];
	const struct run_options *opt = r->opt;

	*out = (struct control_machine){
	    .name = opt->name, .state = state_of(r), .mem_bytes = opt->mem_bytes, .vcpus = run_vcpus(opt)};
	out->n_disks = opt->n_disks;
	for (unsigned k = 0; k < opt->n_disks; k++)
		out->disk[k] =
		    (struct control_disk){.file = opt->disk[k].path,
					  .driver = opt->disk[k].format == DISK_FORMAT_QCOW2 ? "qcow2" : "raw",
					  .read_only = opt->disk[k].mode == DISK_RO};
	if (out->state == CONTROL_STARTS)
		return; /* the rest is not there yet */
	out->big_endian = r->big_endian;
	out->kernel = r->kernel_path;
	out->thread = r->tid;
	out->up_ms = has_ended(out->state) ? r->ended_ms - r->began_ms : host_now_ns() / 1000000 - r->began_ms;
	for (unsigned k = 0; k < ARRAY_LEN(r->insns); k++)
		out->insns[k] = __atomic_load_n(&r->insns[k], __ATOMIC_RELAXED);
	pthread_mutex_lock(&r->lock);
	if (r->vm) {
		const struct pmap *ram = r->vm->ram;

		for (unsigned k = 0; k < r->vm->n_vcpus; k++)
			out->processor_ms += sched_used_ns(&r->vm->vcpu[k]) / 1000000;
		out->private_bytes = pmap_class_pages(ram, MEMORY_PRIVATE) * PAGE_BYTES;
		out->block_bytes = pmap_class_pages(ram, MEMORY_BLOCK) * PAGE_BYTES;
		out->equal_bytes = pmap_class_pages(ram, MEMORY_EQUAL) * PAGE_BYTES;
		out->zero_bytes = pmap_class_pages(ram, MEMORY_ZERO) * PAGE_BYTES;
	}
	pthread_mutex_unlock(&r->lock);
	if (has_ended(out->state))
		out->status = r->status;
}

static void look_at_all(void *opaque, struct control_monitor *out)
{
	struct session *s = opaque;
	struct sched_counts counts;

	if (!__atomic_load_n(&s->open, __ATOMIC_ACQUIRE))
		return;
	sched_count(s->monitor->sched, &counts);
	*out = (struct control_monitor){
	    .processors = counts.processors,
	    .running = counts.running,
	    .queued = counts.queued,
	    .machine_bytes = machine_memory_pages_used(s->monitor->memory, -1) * PAGE_BYTES,
	    .block_bytes = share_class_pages(s->monitor->memory, MEMORY_BLOCK) * PAGE_BYTES,
	    .equal_bytes = share_class_pages(s->monitor->memory, MEMORY_EQUAL) * PAGE_BYTES,
	    .process = footprint(s->monitor),
	};
}

static void look_at_nodes(void *opaque, struct control_nodes *out) { session_look_at_nodes(opaque, out); }

/* Pages, whichever, to nodes, whichever, while the machines run. How many went. */
static uint64_t move_pages(struct monitor *mon, unsigned moves)
{
	uint64_t rng = host_now_ns(), moved = 0;

	for (unsigned i = 0; i < moves; i++) {
		unsigned node;
		uint32_t mpn;

		rng = rng * 6364136223846793005u + 1442695040888963407u;
		page_any(mon->memory, rng >> 16, &mpn, &node);
		moved += monitor_move(mon, NULL, mpn, node) == 0;
	}
	return moved;
}

static void audit(void *opaque, unsigned moves, struct control_audit *out)
{
	struct session *s = opaque;
	struct monitor_audit a;
	uint64_t moved;

	if (!__atomic_load_n(&s->open, __ATOMIC_ACQUIRE))
		return;
	moved = move_pages(s->monitor, moves);
	monitor_audit_live(s->monitor, NULL, &a);
	*out = (struct control_audit){.errors = a.errors,
				      .machines = a.machines,
				      .pages = a.pages,
				      .shared = a.shared,
				      .compared = a.compared,
				      .entries = a.entries,
				      .records = a.records,
				      .translations = a.translations,
				      .moved = moved,
				      .wait_us = a.wait_ns / 1000,
				      .audit_us = a.audit_ns / 1000};
	memcpy(out->first, a.first, sizeof(out->first));
}

/* As QEMU's: it is done when the answer comes, or a stop and a cont right behind it would be no events.  Unless the machine is held. */
const char *run_pause(struct run *r, bool pause)
{
	enum { MOST_MS = 200 };
	bool lives;

	__atomic_store_n(&r->want_pause, pause, __ATOMIC_RELEASE);
	pthread_mutex_lock(&r->lock);
	lives = r->vm != NULL;
	if (r->wakeup)
		wakeup_kick(r->wakeup);
	pthread_mutex_unlock(&r->lock);
	for (unsigned ms = 0; lives && ms < MOST_MS && __atomic_load_n(&r->paused, __ATOMIC_ACQUIRE) != pause; ms++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	return NULL;
}

static const char *reset(struct run *r)
{
	if (r->opt->command)
		return "runs a command, which would be over with a reset";
	if (r->opt->replay)
		return "repeats a recording, and is reset when that was";
	__atomic_store_n(&r->reset_asked, true, __ATOMIC_RELEASE);
	pthread_mutex_lock(&r->lock);
	if (r->vm)
		vm_end(r->vm, VM_RESET);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* The Malta has no power button that Linux would listen to: a command is told to end, else the agent is asked. */
static const char *power_down(struct run *r)
{
	bool taken;

	pthread_mutex_lock(&r->lock);
	taken = r->agent && (r->opt->command ? agent_signal(r->agent, SIGTERM) : agent_power_off(r->agent));
	pthread_mutex_unlock(&r->lock);
	return taken ? NULL
		     : "nobody in the guest listens to that (the agent of Disco's initramfs would, once it is up)";
}

static const char *act(void *opaque, unsigned i, enum control_action what)
{
	struct run *r = ((struct session *)opaque)->run[i];

	if (__atomic_load_n(&r->phase, __ATOMIC_ACQUIRE) != RUN_RUNS)
		return "does not run";
	switch (what) {
	case CONTROL_PAUSE:
		return run_pause(r, true);
	case CONTROL_GO:
		return run_pause(r, false);
	case CONTROL_RESET:
		return reset(r);
	case CONTROL_POWER_DOWN:
		return power_down(r);
	case CONTROL_QUIT:
		run_end(r);
		break;
	}
	return NULL;
}

static bool visit(void *opaque, const char *machine, int fd)
{
	struct session *s = opaque;
	bool done = false;

	enter(s);
	for (unsigned i = 0; i < s->n && !done; i++) {
		struct run *r = s->run[i];

		if (strcmp(r->opt->name, machine) != 0)
			continue;
		pthread_mutex_lock(&r->lock);
		done = r->tap && console_tap_visit(r->tap, fd) == 0;
		pthread_mutex_unlock(&r->lock);
	}
	leave(s);
	return done;
}

static bool debug(void *opaque, const char *machine, int fd) { return session_debug_visit(opaque, fd, machine); }

static int add(void *opaque, const struct control_addition *what, struct control_error *err)
{
	return session_add(opaque, what, err);
}

static int remove_one(void *opaque, const char *machine, bool force, struct control_error *err)
{
	return session_remove(opaque, machine, force, err);
}

static int look_into(void *opaque, const char *machine, unsigned cpu, const char *line, char **said,
		     struct control_error *err)
{
	return session_look_into(opaque, machine, cpu, line, said, err);
}

static int profile(void *opaque, const char *machine, unsigned ms, struct control_profile *out,
		   struct control_error *err)
{
	return session_profile(opaque, machine, ms, out, err);
}

int session_control_open(struct session *s)
{
	const struct control_ops ops = {.enter = enter,
					.leave = leave,
					.count = count,
					.look = look,
					.look_at_all = look_at_all,
					.look_at_nodes = look_at_nodes,
					.audit = audit,
					.act = act,
					.visit = visit,
					.debug = debug,
					.add = add,
					.remove = remove_one,
					.look_into = look_into,
					.profile = profile,
					.opaque = s};
	const char *name = s->first->opt->control;
	struct control_error err = {{0}};
	char own[32];

	if (name && strcmp(name, "none") == 0)
		return STATUS_OK;
	s->reachable = name != NULL;
	snprintf(own, sizeof(own), CONTROL_RUN_PREFIX "%d", (int)getpid());
	/* whoever has not asked for it can do without */
	snprintf(s->control_name, sizeof(s->control_name), "%s", name ? name : own);
	if (control_open(&s->control, name ? name : own, &ops, &err) == 0 || !name)
		return STATUS_OK;
	fprintf(stderr, "%s: %s\n", s->speaker, err.text);
	return STATUS_USAGE;
}

/* ---- the vCPU's thread ---- */

/* Behind what was read from the console already, and given to the UART with that. */
static void take_typed(struct run *r)
{
	struct vm *vm = r->vm;
	size_t n = r->tap ? console_tap_get(r->tap, vm->rx + vm->rx_bytes, VM_RX_BYTES - vm->rx_bytes) : 0;

	vm->rx_bytes += n;
	if (n)
		wakeup_kick(r->wakeup);
}

/* Of all vCPUs; those of the others are as of a moment ago. */
static uint64_t insns_of(const struct vm *vm, unsigned tier)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < vm->n_vcpus; i++)
		n += __atomic_load_n(&vm->vcpu[i].gs.insns[tier], __ATOMIC_RELAXED);
	return n;
}

void run_control_poll(struct run *r)
{
	bool want = __atomic_load_n(&r->want_pause, __ATOMIC_ACQUIRE);

	take_typed(r);
	run_find_slide(r);
	if (r->session->count_insns)
		for (unsigned i = 0; i < ARRAY_LEN(r->insns); i++)
			__atomic_store_n(&r->insns[i], insns_of(r->vm, i), __ATOMIC_RELAXED);
	if (want == r->paused)
		return;
	if (want)
		vm_pause(r->vm);
	else
		vm_go(r->vm);
	__atomic_store_n(&r->paused, want, __ATOMIC_RELEASE);
	control_event(r->session->control, want ? CONTROL_EVENT_STOP : CONTROL_EVENT_RESUME, r->opt->name, NULL);
}

void run_control_told(struct run *r, enum vm_end why, bool again)
{
	struct control *c = r->session->control;
	bool asked = __atomic_exchange_n(&r->reset_asked, false, __ATOMIC_ACQ_REL);

	r->why = why;
	r->reset_by_host = asked && why == VM_RESET;
	/* one that ends before it has booted again was reset nevertheless */
	if (again || (r->reset_by_host && run_stopped(r)))
		control_event(c, CONTROL_EVENT_RESET, r->opt->name, asked ? "host-qmp-system-reset" : "guest-reset");
	if (again)
		return;
	if (why == VM_PANIC)
		control_event(c, CONTROL_EVENT_GUEST_PANICKED, r->opt->name, NULL);
}

static const char *reason_of(const struct run *r)
{
	switch (r->why) {
	case VM_POWER_OFF:
		return "guest-shutdown";
	case VM_RESET:
		if (run_stopped(r))
			break;
		return r->reset_by_host ? "host-qmp-system-reset" : "guest-reset";
	case VM_PANIC:
		return "guest-panic";
	case VM_QUIT:
		break;
	default:
		return "host-error";
	}
	if (stop_asked(r->session->stop))
		return "host-signal";
	if (__atomic_load_n(&r->ended, __ATOMIC_ACQUIRE))
		return "host-qmp-quit";
	return r->opt->command ? "guest-shutdown" : "host-ui"; /* it has ended; the user has pressed Ctrl-A x */
}

void run_control_ended(struct run *r)
{
	r->ended_ms = host_now_ns() / 1000000;
	__atomic_store_n(&r->phase, RUN_HAS_ENDED, __ATOMIC_RELEASE);
	control_event(r->session->control, CONTROL_EVENT_SHUTDOWN, r->opt->name, reason_of(r));
}
