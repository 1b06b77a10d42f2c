/* SPDX-License-Identifier: MIT */
/*
 * Machines that run are stopped from everywhere: by other threads, by vCPUs themselves, several at once; while one is held in a device
 * under its machine's lock, while one waits for that lock, while one waits for a flush of the code cache, and while machines come
 * and go.  What must not happen is that they wait for each other for ever: alarm() then ends the program.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frontend/cp0.h"
#include "jit/jit_internal.h"
#include "tests/oracle/asm.h"
#include "vmm/boot/loader.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/audit.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/move.h"
#include "vmm/monitor/shootdown.h"
#include "vmm/monitor/vm.h"

enum { RAM_BYTES = 4 << 20, CODE_VA = 0x80001000, COUNTER_VA = 0x80100000, COUNTER2_VA = 0x80101000 };
enum { ZERO = 0, T0 = 8, T1 = 9, T2 = 10, T3 = 11 };
#define A_SB(rt, o, rs) I_TYPE(0x28, rs, rt, o)

static int failed; /* atomic */

static void fail(const char *what)
{
	fprintf(stderr, "stops: %s\n", what);
	__atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
}

/* ---- a machine ---- */

struct guest {
	struct vm *vm;
	pthread_t thread;
	bool held, go; /* atomic: its console holds it; and is let go */
	bool refused;  /* atomic: its flush was given up */
	void (*idle)(struct guest *g);
	unsigned calls; /* of idle */
};

static void put(struct vm *vm, uint32_t va, const uint32_t *words, size_t bytes)
{
	if (pmap_write(vm->ram, gpa(va & 0x1fffffff), words, bytes))
		abort();
}
#define PUT(vm, va, ...) put(vm, va, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}))

/* The word at COUNTER_VA, and then the one at COUNTER2_VA, grows for ever; in_device: each time a device is looked at, too. */
static void put_counter(struct vm *vm, bool in_device)
{
	PUT(vm, CODE_VA, A_LUI(T0, COUNTER_VA >> 16), A_LUI(T3, 0xb800), A_LW(T1, 0, T0), A_ADDIU(T1, T1, 1),
	    A_SW(T1, 0, T0), in_device ? I_TYPE(0x24, T3, T2, 0x3fd) : A_NOP, A_SW(T1, 0x1000, T0),
	    A_BEQ(ZERO, ZERO, -6), A_NOP);
}

/* A character to a console that holds it until it is let go. */
static void put_writer(struct vm *vm)
{
	PUT(vm, CODE_VA, A_LUI(T0, 0xb800), A_ORI(T1, ZERO, 'x'), A_SB(T1, 0x3f8, T0), A_BEQ(ZERO, ZERO, -1), A_NOP);
}

static void console(void *opaque, const uint8_t *data, size_t n)
{
	struct guest *g = opaque;

	vm_step_aside(g->vm);
	__atomic_store_n(&g->held, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&g->go, __ATOMIC_ACQUIRE))
		sched_yield();
	vm_step_back(g->vm);
}

static void looked_around(void *opaque)
{
	struct guest *g = opaque;

	g->calls++;
	if (g->idle)
		g->idle(g);
}

static void make(struct guest *g, struct monitor *mon)
{
	struct vm_config cfg = {.ram_bytes = RAM_BYTES,
				.cpu = cpu_model_find("max"),
				.tier1 = true,
				.code_bytes = 4u << 20,
				.input_fd = -1,
				.console_tx = console,
				.idle = looked_around,
				.opaque = g};
	size_t n;
	const struct loader_poke *poke = loader_yamon_pokes(&n);
	bool claimed;

	if (vm_new(&g->vm, mon, &cfg))
		abort();
	for (size_t i = 0; i < n; i++)
		board_write(g->vm->board, gpa(poke[i].pa), poke[i].value, 4, &claimed);
	g->vm->vcpu->gs.pc = CODE_VA;
	g->vm->vcpu->gs.cp0[CP0_Status] = ST_CU0;
}

static void *run(void *arg)
{
	struct guest *g = arg;

	if (vm_run(g->vm) != VM_QUIT)
		fail("a machine ended by itself");
	return NULL;
}

static void start(struct guest *g)
{
	if (pthread_create(&g->thread, NULL, run, g))
		abort();
}

static void end(struct guest *g)
{
	vm_end(g->vm, VM_QUIT);
	pthread_join(g->thread, NULL);
	vm_free(g->vm);
}

static uint32_t word(struct vm *vm, uint32_t va)
{
	const struct machine_page *page = pmap_peek(vm->ram, gpa(va & 0x1fffffff));
	uint32_t w = 0;

	if (page)
		memcpy(&w, page->host + (va & 0xfff), 4);
	return w;
}

/* ---- is it stopped ---- */

struct look {
	struct guest *g;
	unsigned n;
	uint32_t before[4];
	bool stands[4];
	unsigned looks;
};

static void look(void *arg)
{
	struct look *l = arg;

	l->looks++;
	for (unsigned i = 0; i < l->n; i++)
		l->before[i] = word(l->g[i].vm, COUNTER_VA);
	for (unsigned k = 0; k < 2; k++)
		sched_yield();
	for (unsigned i = 0; i < l->n; i++)
		l->stands[i] = word(l->g[i].vm, COUNTER_VA) == l->before[i];
}

static void audit(struct monitor *mon, struct rendezvous_member *self)
{
	struct monitor_audit a;

	monitor_audit_live(mon, self, &a);
	if (a.errors)
		fail(a.first);
}

static void wait_for_work(struct guest *g, uint32_t more)
{
	struct look l = {.g = g, .n = 1};
	uint32_t from;

	(void)rendezvous(g->vm->monitor->rendezvous, NULL, rendezvous_set_machine(g->vm), look, &l);
	from = l.before[0];
	do {
		sched_yield();
		(void)rendezvous(g->vm->monitor->rendezvous, NULL, rendezvous_set_machine(g->vm), look, &l);
	} while (l.before[0] - from < more);
}

/* All of them, or one, by this thread, which at times holds the lock of one that always wants it. */
static void by_a_thread(struct monitor *mon)
{
	struct guest g[3] = {0};

	for (unsigned i = 0; i < 3; i++) {
		make(&g[i], mon);
		put_counter(g[i].vm, i == 1);
		start(&g[i]);
		wait_for_work(&g[i], 1);
	}
	for (unsigned i = 0; i < 60; i++) {
		struct look l = {.g = g, .n = 3};
		struct rendezvous_set set = i % 4 == 3 ? rendezvous_set_machine(g[2].vm) : (struct rendezvous_set){0};

		if (i % 2)
			vm_lock(g[1].vm);
		if (i % 4 == 3)
			l = (struct look){.g = &g[2], .n = 1};
		(void)rendezvous(mon->rendezvous, NULL, set, look, &l);
		if (i % 2)
			vm_unlock(g[1].vm);
		if (!l.looks || !l.stands[0] || (l.n == 3 && (!l.stands[1] || !l.stands[2])))
			fail("a machine goes on while it is stopped");
		if (i % 10 == 0)
			audit(mon, NULL);
	}
	for (unsigned i = 0; i < 3; i++) {
		wait_for_work(&g[i], 1); /* it was let go */
		end(&g[i]);
	}
}

/* ---- by vCPUs ---- */

static void stop_all(struct guest *g)
{
	audit(g->vm->monitor, vm_member_here(g->vm));
	if (g->calls < 60)
		__atomic_store_n(&g->vm->vcpu->gs.poll, 1, __ATOMIC_RELAXED);
	else
		vm_end(g->vm, VM_QUIT);
}

/* Each of them holds its machine's lock when it stops the others; one ends when it has done so. */
static void by_each_other(struct monitor *mon)
{
	struct guest g[3] = {{.idle = stop_all}, {.idle = stop_all}, {.idle = stop_all}};

	for (unsigned i = 0; i < 3; i++) {
		make(&g[i], mon);
		put_counter(g[i].vm, i == 1);
		g[i].vm->vcpu->gs.poll = 1;
	}
	for (unsigned i = 0; i < 3; i++)
		start(&g[i]);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(g[i].thread, NULL);
		vm_free(g[i].vm);
	}
}

/* ---- held in a device ---- */

static void flush(struct guest *g)
{
	if (g->calls == 1)
		/* all others are to be outside of translated code, and the writer is not */
		__atomic_store_n(&g->refused, !jit_flush(g->vm->vcpu->jit), __ATOMIC_RELEASE);
}

static void let_go(void *arg) { __atomic_store_n(&((struct guest *)arg)->go, true, __ATOMIC_RELEASE); }

/* It waits for the flush with a page and a record in its hands; neither may go. */
static void in_the_middle(struct monitor *mon, struct guest *other)
{
	const struct machine_page *code = pmap_peek(other->vm->ram, gpa(CODE_VA & 0x1fffffff));

	while (!__atomic_load_n(&other->vm->vcpu->stop.holds, __ATOMIC_ACQUIRE))
		sched_yield();
	if (monitor_move(mon, NULL, code->mpn, !code->node) != -EAGAIN)
		fail("a page has gone that a vCPU is about to execute from");
}

static bool flushes(const struct monitor *mon) { return __atomic_load_n(&mon->code->stopping, __ATOMIC_SEQ_CST); }

/* The writer is held; the two others have not begun. */
static void hold(struct monitor *mon, struct guest *writer, struct guest *flusher, struct guest *other)
{
	make(writer, mon);
	make(flusher, mon);
	make(other, mon);
	put_writer(writer->vm);
	put_counter(flusher->vm, false);
	put_counter(other->vm, true);
	start(writer);
	while (!__atomic_load_n(&writer->held, __ATOMIC_ACQUIRE))
		sched_yield();
}

/*
 * The writer is in its device, inside of translated code; one flushes the code cache, which waits for that, and another one has to wait
 * for the flush.  All can be stopped; what lets the writer go is done while they are.
 */
static void held(struct monitor *mon)
{
	struct guest writer = {0}, flusher = {.idle = flush}, other = {0};

	hold(mon, &writer, &flusher, &other);
	mon->code->flush_wait_ns = 1000000000000; /* until it is let go */
	audit(mon, NULL);
	flusher.vm->vcpu->gs.poll = 1;
	start(&flusher);
	while (!flushes(mon))
		sched_yield();
	start(&other);
	in_the_middle(mon, &other);
	for (unsigned i = 0; i < 20; i++)
		audit(mon, NULL);
	if (!flushes(mon))
		fail("nothing waited for a flush");
	(void)rendezvous(mon->rendezvous, NULL, (struct rendezvous_set){0}, let_go, &writer);
	wait_for_work(&other, 1);
	if (__atomic_load_n(&flusher.refused, __ATOMIC_ACQUIRE))
		fail("a flush was given up too soon");
	end(&writer);
	end(&flusher);
	end(&other);
	mon->code->flush_wait_ns = FLUSH_WAIT_NS;
}

/* Nobody lets the writer go: others get on all the same. */
static void held_for_long(struct monitor *mon)
{
	struct guest writer = {0}, flusher = {.idle = flush}, other = {0};

	hold(mon, &writer, &flusher, &other);
	flusher.vm->vcpu->gs.poll = 1;
	start(&flusher);
	start(&other);
	wait_for_work(&flusher, 1);
	wait_for_work(&other, 1);
	while (!__atomic_load_n(&flusher.refused, __ATOMIC_ACQUIRE))
		sched_yield();
	let_go(&writer);
	end(&writer);
	end(&flusher);
	end(&other);
}

/* ---- those that come and go ---- */

static void *come_and_go(void *arg)
{
	for (unsigned i = 0; i < 12; i++) {
		struct guest g = {0};

		make(&g, arg);
		vm_change(g.vm);
		put_counter(g.vm, i % 2);
		vm_changed(g.vm);
		start(&g);
		end(&g);
	}
	return NULL;
}

static void coming_and_going(struct monitor *mon)
{
	pthread_t thread[2];

	for (unsigned i = 0; i < 2; i++)
		if (pthread_create(&thread[i], NULL, come_and_go, mon))
			abort();
	for (unsigned i = 0; i < 60; i++)
		audit(mon, NULL);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}

/* ---- shootdown ---- */

struct replace {
	struct vm *vm;
	bool stood, known;
};

static void look_if_it_stands(void *arg)
{
	struct replace *r = arg;
	uint32_t w = word(r->vm, COUNTER_VA);

	for (unsigned k = 0; k < 2; k++)
		sched_yield();
	r->stood = w == word(r->vm, COUNTER_VA);
	r->known = pmap_row(r->vm->ram, gpa(COUNTER_VA & 0x1fffffff))->n_backmaps;
}

/* Who does not use the page is not waited for: its writer is held where it is inside. */
static void shootdown(struct monitor *mon)
{
	struct guest user = {0}, other = {0};
	struct replace r;

	make(&user, mon);
	make(&other, mon);
	put_counter(user.vm, false);
	start(&user);
	wait_for_work(&user, 1);
	vm_change(other.vm); /* never looks around */
	r = (struct replace){.vm = user.vm};
	for (unsigned i = 0; i < 30; i++) {
		struct machine_page *page = pmap_peek(user.vm->ram, gpa(COUNTER_VA & 0x1fffffff));

		if (monitor_shootdown(mon, NULL, page, look_if_it_stands, &r) != 1 || !r.stood)
			fail("a page's user was not stopped");
		if (r.known)
			fail("an entry of an L2TLB is left");
		wait_for_work(&user, 1);
	}
	vm_changed(other.vm);
	audit(mon, NULL);
	end(&user);
	vm_free(other.vm);
}

int main(void)
{
	struct rendezvous_stats stats;
	struct monitor *mon;

	alarm(120);
	if (monitor_new(&mon, &(struct monitor_config){
				  .memory_bytes = 8 * RAM_BYTES, .nodes = 2, .share = true, .processors = 4}))
		abort();
	by_a_thread(mon);
	by_each_other(mon);
	held(mon);
	held_for_long(mon);
	coming_and_going(mon);
	shootdown(mon);
	rendezvous_count(mon->rendezvous, &stats);
	printf("stops: %lu, %.1f us to all outside on average, %.1f at most\n", (unsigned long)stats.stops,
	       (double)stats.wait_ns / 1000 / (double)stats.stops, (double)stats.longest_ns / 1000);
	monitor_free(mon);
	return failed;
}
