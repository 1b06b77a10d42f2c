/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "frontend/cp0.h"
#include "vmm/cpu/cp0.h"
#include "vmm/cpu/debug.h"
#include "vmm/cpu/exception.h"
#include "vmm/cpu/interp_cache.h"
#include "vmm/cpu/monitor_call.h"
#include "vmm/cpu/profile.h"
#include "vmm/cpu/region.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/translate.h"
#include "vmm/cpu/vcpu.h"
#include "base/host_clock.h"
#include "vmm/devices/virtio_bus.h"
#include "vmm/monitor/follow.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/siblings.h"
#include "vmm/monitor/simulation.h"
#include "vmm/monitor/vm.h"
#include "vmm/replay/history.h"
#include "vmm/replay/reverse.h"

/*
 * The dispatch loop: what happens between two stretches of translated code.  One turn: look after devices and
 * interrupts if asked to, find or make the translation for gs->pc, run it until it leaves, act on why it left.
 */

/* Interpret a block once, with the accounting that translated code does inline. */
static enum exit_reason interpret(struct vcpu *v, const struct ir_block *b)
{
	struct guest_state *gs = &v->gs;
	uint32_t executed = 0;
	enum exit_reason why;
	bool branched;

	gs->icount_left -= b->n_guest;
	why = ir_interp(b, gs, &executed);
	/* exceptions and EXIT_SMC gave back what was left by themselves (and in insns_refunded); an EXITIF did not */
	if (why != EXIT_LINK)
		executed = b->n_guest;
	branched = executed != b->n_guest; /* by an EXITIF */
	gs->icount_left += b->n_guest - executed;
	gs->insns[TIER_INTERP] += executed;
	if (why != EXIT_LINK)
		return why;
	/* no site of translated code to be linked */
	return v->caches.flash && !(branched || ir_block_branches(b)) ? EXIT_INDIRECT : EXIT_PC_SET;
}

static enum exit_reason interpret_here(struct vcpu *v, uint32_t max_guest)
{
	const struct ir_block *b = translate_lift(v, max_guest);

	return b ? interpret(v, b) : EXIT_EXCEPTION;
}

/* --icount: the deadline lies inside the next block: run up to it, to the instruction. */
static enum exit_reason run_to_deadline(struct vcpu *v)
{
	return v->gs.icount_left > 0 ? interpret_here(v, (uint32_t)v->gs.icount_left) : EXIT_POLL;
}

/* --icount: is a block executed only if all of it is before the deadline? */
static bool has_budget(const struct vcpu *v) { return v->vm->cfg.icount && !v->caches.flash; }

static enum exit_reason run_interpreter(struct vcpu *v)
{
	const struct ir_block *b = interp_cache_get(v->interp, v);

	if (!b)
		return EXIT_EXCEPTION;
	if (has_budget(v) && v->gs.icount_left < b->n_guest)
		return EXIT_BUDGET;
	return interpret(v, b);
}

/* Remember where the last exit came from, so that the next time it stays in translated code. */
static void connect(struct vcpu *v, enum exit_reason last, struct translation *t)
{
	if (last == EXIT_LINK) {
		TRACE(&v->tracer, LINK, v->gs.pc);
		jit_link(v->jit, t);
	} else if (last == EXIT_INDIRECT) {
		jit_cache_jump(v->jit, v->gs.pc, t);
	} else if (last == EXIT_SIDE) {
		jit_cache_side(v->jit, v->gs.pc, t);
	}
}

/*
 * Progress.  A region may leave before its first instruction: by the poll at its head, by a side exit.  If it did, what
 * stands there now is tier 1 (or the interpreter), which executes at least one instruction or raises its exception.  So of
 * two turns that enter code one gets on, however often somebody sets the poll flag.
 */
static bool left_where_entered(const struct vcpu *v, enum exit_reason last)
{
	return last == EXIT_SIDE || (last == EXIT_POLL && v->entered_tier == TIER_2 && v->entered_pc == v->gs.pc &&
				     v->entered_mode == v->gs.mode);
}

static enum exit_reason run_code(struct vcpu *v, struct translation *t)
{
	enum exit_reason why;

	v->entered_pc = v->gs.pc;
	v->entered_mode = v->gs.mode;
	v->entered_tier = (uint32_t)jit_tier_of(t);
	watchdog_enter(&v->watchdog, WATCHDOG_CODE);
	why = jit_run(v->jit, t);
	watchdog_left_code(v, (int)v->entered_tier, (int)why);
	return why;
}

static enum exit_reason run_translated(struct vcpu *v, enum exit_reason last)
{
	struct ir_block *lifted;
	struct translation *t = translate(v, &lifted, left_where_entered(v, last));

	if (!t && lifted && has_budget(v) && v->gs.icount_left < lifted->n_guest)
		return EXIT_BUDGET;
	if (!t)
		return lifted ? interpret(v, lifted) : EXIT_EXCEPTION;
	connect(v, last, t);
	return run_code(v, t);
}

/* Read ahead, so that the monitor's keys are seen. */
static void read_console(struct vm *vm)
{
	int end = 0;

	/* full: input stays ready, and is looked at again when the guest has read some */
	if (!clock_input_ready(vm->clock) || vm->rx_bytes == VM_RX_BYTES || !vm->cfg.console_rx)
		return;
	vm->rx_bytes += vm->cfg.console_rx(vm->cfg.opaque, vm->rx + vm->rx_bytes, VM_RX_BYTES - vm->rx_bytes, &end);
	if (end == 2)
		vm_end(vm, VM_QUIT);
	clock_input_done(vm->clock, end == 0);
}

static void console_input(struct vcpu *v)
{
	struct vm *vm = v->vm;
	size_t n;

	read_console(vm);
	if (vm->replay)
		history_service(vm->replay, v);
	if (vm->replay && history_is_closed(vm->replay))
		vm->rx_bytes = 0;
	if (!vm->rx_bytes || (vm->reverse && reverse_is_past(vm->reverse)))
		return;
	n = board_console_rx(vm->board, vm->rx, vm->rx_bytes);
	if (vm->replay && n)
		history_heard_console(vm->replay, v, vm->rx, n);
	vm->rx_bytes -= n;
	memmove(vm->rx, vm->rx + n, vm->rx_bytes);
}

/* Everything that is not the guest's next instruction. */
static void service(struct vcpu *v)
{
	struct vm *vm = v->vm;

	__atomic_store_n(&v->gs.poll, 0, __ATOMIC_SEQ_CST);
	v->caches.stop = false;
	rendezvous_pass(&v->stop);
	if (__atomic_load_n(&v->sched.profile_due, __ATOMIC_RELAXED)) {
		__atomic_store_n(&v->sched.profile_due, false, __ATOMIC_RELAXED);
		profile_take(__atomic_load_n(&vm->profile, __ATOMIC_ACQUIRE), v);
	}
	if (v->jit)
		jit_install_finished(v->jit);
	vm_lock(vm);
	if (v->timer_changed) {
		v->timer_changed = false;
		cp0_timer_update(v);
	}
	clock_run_due(vm->clock);
	virtio_bus_poll(vm);
	monitor_call_finish(v);
	console_input(v);
	monitor_merge(vm);
	if (vm->follow)
		follow(v, host_now_ns());
	if (vm->cfg.idle)
		vm->cfg.idle(vm->cfg.opaque);
	vm_unlock(vm);
}

/* The machine is paused: everything goes on but the guest, and what it waits for is tried again every RETRY_MS. */
static enum run_slice paused(struct vcpu *v)
{
	enum { RETRY_MS = 1000 };
	struct vm *vm = v->vm;
	uint64_t now = host_now_ns();

	if (v->retry_ns && now < v->retry_ns)
		return SLICE_PAUSED;
	if (v->retry_ns) {
		vm_lock(vm);
		virtio_bus_retry(vm);
		vm_unlock(vm);
		__atomic_store_n(&v->gs.poll, 1, __ATOMIC_RELAXED);
	}
	v->retry_ns = host_now_ns() + RETRY_MS * 1000000ull;
	return RUN_ON;
}

/*
 * How late the timer of an idle guest may be.  Debian's kernel for this board has its timer tick 250 times a second, idle or not
 * (no CONFIG_NO_HZ), and finds out by Count how many ticks have passed.  So one in which no program has run for a while, which
 * would have made system calls, gets some of these ticks together: later by a 32nd of that while, so that a program that sleeps
 * does so for at most 3 % longer.
 */
static uint64_t idle_slack(struct vcpu *v)
{
	enum { PART = 32, MIN_NS = 1000000, MAX_NS = 100000000 };
	uint64_t calls = v->stats.exceptions[EXC_SYS], now = host_now_ns(), ns;

	if (calls != v->idle_calls) {
		v->idle_calls = calls;
		v->idle_since_ns = now;
	}
	if (!calls)
		return 0; /* it has no programs, and its timer may be its work */
	ns = (now - v->idle_since_ns) / PART;
	return ns < MIN_NS ? 0 : ns > MAX_NS ? MAX_NS : ns;
}

/* The guest waits for an interrupt. */
static enum run_slice idle(struct vcpu *v)
{
	uint64_t slack = idle_slack(v);
	bool on;

	vm_lock(v->vm);
	/* under --icount time passes while another vCPU works */
	on = (!v->vm->cfg.icount || siblings_are_idle(v)) && clock_idle(v->vm->clock, slack);
	vm_unlock(v->vm);
	if (!on)
		return SLICE_IDLE;
	__atomic_store_n(&v->gs.poll, 1, __ATOMIC_RELAXED);
	return RUN_ON;
}

/* WAIT ends when an interrupt is pending and not masked by IM, even with IE = 0 (PRA volume II, WAIT). */
static bool still_idle(struct vcpu *v)
{
	if (v->idle && __atomic_load_n(&v->power, __ATOMIC_ACQUIRE) == VCPU_ON &&
	    vcpu_cause(v) & v->gs.cp0[CP0_Status] & CA_IP)
		v->idle = false;
	return v->idle;
}

/* It waits to be started.  True: it has been. */
static bool power_up(struct vcpu *v)
{
	bool asked = __atomic_load_n(&v->power, __ATOMIC_ACQUIRE) == VCPU_ASKED;

	if (!asked)
		return false;
	vm_lock(v->vm);
	vcpu_power_up(v);
	vm_unlock(v->vm);
	return true;
}

static void begin_slice(struct vm *vm)
{
	vm_lock(vm);
	clock_begin_slice(vm->clock);
	vm_unlock(vm);
}

/* Where the guest was found: for tier 2. */
static void look_where(struct vcpu *v)
{
	siblings_enter(v);
	vcpu_update_mode(v); /* pc may have come to another page, or segment */
	region_sample(v);
	siblings_leave(v);
}

/* A debugger is there: has it something to do with the next instruction? */
static bool is_debugged(struct vcpu *v) { return __builtin_expect(v->vm->debug != NULL, 0) && debug_interprets(v); }

/* One instruction, or one exception, and no further. */
static bool is_stepped(const struct vcpu *v)
{
	return debug_steps(v) || (v->vm->reverse && reverse_looks(v->vm->reverse));
}

/* An interrupt was delivered: is that all for this turn? */
static bool ends_behind_interrupt(const struct vcpu *v)
{
	const struct vm *vm = v->vm;

	return (vm->replay && history_waits_here(vm->replay, v)) || (vm->debug && is_stepped(v));
}

/* A step is made without interrupts, unless it is to be the same when it is gone back over. */
static bool holds_interrupts(const struct vcpu *v) { return v->vm->debug && debug_steps(v) && !v->vm->reverse; }

/* So many instructions, as far as a block goes that is known, or is made anew. */
static enum exit_reason interpret_up_to(struct vcpu *v, uint32_t most)
{
	const struct ir_block *b = most > 1 ? interp_cache_get(v->interp, v) : NULL;

	if (most > 1 && !b)
		return EXIT_EXCEPTION;
	return b && b->n_guest <= most ? interpret(v, b) : interpret_here(v, most);
}

/* Of a page with breakpoints, or a step: never translated code, and no further than to what is to be looked at. */
static enum exit_reason run_debugged(struct vcpu *v)
{
	uint32_t most = debug_allowed(v);

	if (most && v->vm->cfg.icount)
		begin_slice(v->vm);
	if (has_budget(v) && v->gs.icount_left < most)
		most = v->gs.icount_left > 0 ? (uint32_t)v->gs.icount_left : 0;
	if (!most)
		return EXIT_BUDGET;
	v->step |= is_stepped(v); /* also where it comes to a device */
	return interpret_up_to(v, v->step ? 1 : most);
}

/* The guest's next instructions. */
static enum exit_reason execute(struct vcpu *v, enum exit_reason last)
{
	struct vm *vm = v->vm;

	if (!holds_interrupts(v) && exception_check_interrupts(v)) {
		last = EXIT_EXCEPTION;
		v->step = false;
		if (ends_behind_interrupt(v))
			return last;
	}
	vcpu_update_mode(v);
	if (is_debugged(v))
		return run_debugged(v);
	if (last == EXIT_BUDGET && v->gs.icount_left > 0 && has_budget(v))
		return run_to_deadline(v);
	if (vm->cfg.icount)
		begin_slice(vm);
	if (last == EXIT_SIDE && v->step)
		return interpret_here(v, 1);
	if (!v->jit)
		return run_interpreter(v);
	if (last == EXIT_HOT && !region_request(v))
		return EXIT_EXCEPTION;
	return run_translated(v, last);
}

/*
 * --numa flash: a deadline may have passed in the middle of what one tier executes as one piece, and another one does not.  It is
 * looked at where all come by (vcpu.settled): behind a branch, an exception, an instruction that ends its block.
 */
static bool wants_service(const struct vcpu *v)
{
	bool deadline = v->vm->cfg.icount && v->gs.icount_left <= 0;

	if (v->caches.flash && deadline && !v->settled)
		return false;
	return deadline || __atomic_load_n(&v->gs.poll, __ATOMIC_ACQUIRE);
}

static enum exit_reason turn(struct vcpu *v, enum exit_reason last)
{
	struct vm *vm = v->vm;

	if (last == EXIT_POLL && v->jit)
		look_where(v);
	if (v->caches.n_hot && (v->settled || (v->stepped && !v->caches.later)))
		simulation_decide(v);
	if (wants_service(v)) {
		service(v);
		if (vm->replay && __atomic_load_n(&vm->end, __ATOMIC_ACQUIRE) != VM_RUNS)
			return EXIT_POLL; /* nothing is executed behind what ended it, now as when it was recorded */
	}
	if (__builtin_expect(vm->reverse != NULL, 0) && reverse_turn(v))
		return EXIT_POLL;
	if (__builtin_expect(vm->debug != NULL, 0) ? debug_rests(v) : __atomic_load_n(&vm->pauses, __ATOMIC_RELAXED)) {
		v->becomes = paused(v);
		return EXIT_POLL;
	}
	if (v->retry_ns) { /* it was paused */
		v->retry_ns = 0;
		__atomic_store_n(&v->gs.poll, 1, __ATOMIC_RELAXED);
		return EXIT_POLL;
	}
	if (holds_interrupts(v) && v->idle && !debug_wakes(v))
		return EXIT_POLL;
	if (still_idle(v) && !power_up(v)) {
		v->becomes = idle(v);
		return EXIT_POLL;
	}
	siblings_enter(v);
	v->stepped = v->step && last == EXIT_SIDE;
	last = execute(v, last);
	v->settled = last == EXIT_BUDGET || last == EXIT_EXCEPTION || last == EXIT_PC_SET;
	siblings_leave(v);
	if (__builtin_expect(vm->debug != NULL, 0))
		debug_after(v, last != EXIT_SIDE && last != EXIT_BUDGET);
	return last;
}

/* What turn() does between two stretches of translated code when nobody waits: see jit_config.resume. */
void run_loop_resume(struct guest_state *gs)
{
	struct vcpu *v = vcpu_of(gs);

	gs->site = 0;
	if (!v->idle)
		exception_check_interrupts(v);
	vcpu_update_mode(v);
}

/* Debug builds: turns that execute nothing, deliver nothing and do not wait must be few (see left_where_entered()). */
static void check_progress(struct vcpu *v)
{
#ifdef DISCO_ASSERT
	enum { MAX_TURNS = 16 };
	uint64_t n = v->gs.insns[TIER_INTERP] + v->gs.insns[TIER_1] + v->gs.insns[TIER_2] - v->insns_refunded;

	for (unsigned i = 0; i < ARRAY_LEN(v->stats.exceptions); i++)
		n += v->stats.exceptions[i];
	v->no_progress = n == v->progress && !v->idle && !v->retry_ns ? v->no_progress + 1 : 0;
	v->progress = n;
	if (v->no_progress > MAX_TURNS)
		panic("the dispatch loop goes round without executing anything: pc %#llx, mode %#x",
		      (unsigned long long)v->gs.pc, v->gs.mode);
#else
	(void)v;
#endif
}

static enum run_slice after_turn(struct vcpu *v)
{
	if (v->becomes != RUN_ON)
		return v->becomes;
	if (__atomic_load_n(&v->sched.yield, __ATOMIC_RELAXED))
		return SLICE_OVER;
	if (v->caches.flash && !v->settled)
		return RUN_ON;
	return v->vm->cfg.icount && clock_turn_over(v->vm->clock) ? SLICE_OVER : RUN_ON;
}

static enum run_slice run_slice(struct vcpu *v)
{
	struct vm *vm = v->vm;

	if (v->becomes == SLICE_IDLE || vm->cfg.icount) {
		vm_lock(vm);
		clock_switch(vm->clock, &v->gs);
		clock_awake(vm->clock);
		vm_unlock(vm);
	}
	if (v->caches.flash) {
		simulation_arrive(v);
		__atomic_store_n(&v->gs.poll, 1, __ATOMIC_RELAXED); /* others have had their turns */
	}
	v->becomes = RUN_ON;
	while (__atomic_load_n(&vm->end, __ATOMIC_ACQUIRE) == VM_RUNS) {
		enum exit_reason last = turn(v, v->last);
		enum run_slice becomes;

		watchdog_turn(&v->watchdog);
		check_progress(v);
		v->gs.site = 0;
		v->gs.leave = EXIT_NONE;
		v->step &= last == EXIT_SIDE;
		v->stats.exits[last]++;
		v->last = last;
		becomes = after_turn(v);
		if (becomes != RUN_ON)
			return becomes;
	}
	return SLICE_ENDED;
}

enum run_slice run_loop_slice(struct vcpu *v)
{
	enum run_slice becomes;

	rendezvous_enter(&v->stop);
	becomes = run_slice(v);
	if (v->caches.flash)
		caches_sync(v);
	rendezvous_leave(&v->stop);
	return becomes;
}

enum vm_end vm_run(struct vm *vm)
{
	int err;

	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		struct vcpu *v = &vm->vcpu[i];

		v->last = EXIT_PC_SET;
		panic_get_hook(&v->sched.hook, &v->sched.hook_arg);
	}
	__atomic_store_n(&vm->running, true, __ATOMIC_RELAXED);
	err = sched_run(vm->vcpu, vm->n_vcpus);
	__atomic_store_n(&vm->running, false, __ATOMIC_RELAXED);
	panic_set_hook(vm->vcpu->sched.hook, vm->vcpu->sched.hook_arg);
	if (err) {
		if (vm->cfg.report)
			vm->cfg.report(vm->cfg.opaque, "the host gives no thread to run the machine");
		vm_end(vm, VM_NO_MEMORY);
	}
	return (enum vm_end)__atomic_load_n(&vm->end, __ATOMIC_ACQUIRE);
}
