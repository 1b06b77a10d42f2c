/* SPDX-License-Identifier: MIT */
/*
 * One machine with several vCPUs on several processors, in every tier and byte order: what they see of each other's loads, stores,
 * LL, SC, SYNC, code and doorbells, at times while their pages go from node to node.  Each program's result is exact, or a load that must not have seen what it saw.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "frontend/cp0.h"
#include "numa/move.h"
#include "tests/oracle/asm.h"
#include "vmm/boot/loader.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/audit.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/move.h"
#include "vmm/monitor/siblings.h"

enum { VCPUS = 8, PROCESSORS = 4, RAM_BYTES = 8 << 20 };
enum {
	CODE_VA = 0x80001000,
	END_VA = 0x80002000,
	CALLED_VA = 0x80003000,
	POP_VA = CODE_VA + 0x200,
	PUSH_VA = CODE_VA + 0x300
};
enum { DATA_VA = 0x80100000 };
enum { ZERO = 0, AT = 1, V0 = 2, A0 = 4, A1 = 5, A2 = 6, T0 = 8, T1 = 9, T2 = 10, K0 = 26, RA = 31 };
enum { S0 = 16, S1 = 17, S2 = 18, S3 = 19, S4 = 20, S5 = 21, S6 = 22, S7 = 23 };
enum { A_SYNC = 0x0000000f, A_WAIT = 0x42000020, A_HYPCALL = 0x42000828, CALL_STOP = 8, CALL_RING = 9 };
#define A_ADDU(rd, rs, rt) R_TYPE(rs, rt, rd, 0, 0x21)
#define A_JALR(rs)         R_TYPE(rs, 0, RA, 0, 0x09)
#define A_MOVE(rd, rs)     A_ADDU(rd, rs, ZERO)
#define A_RESET                                                                                                        \
	A_LUI(AT, 0xbf00), A_ORI(AT, AT, 0x500), A_ORI(K0, ZERO, 0x42), A_SW(K0, 0, AT), A_BEQ(ZERO, ZERO, -1), A_NOP

/* Words of DATA_VA, by offset. */
enum { COUNTER = 0, DONE = 0x40, HEAD = 0x80, WRONG = 0xc0, NODES = 0x1000, PAGES = 0x10000 };
enum { NODE_BYTES = 16, NUM_NODES = 2 * VCPUS + 1, NUM_PAGES = 500 };
static uint32_t at(unsigned line) { return DATA_VA + 0x400 + 0x40 * line; } /* a line of the cache each */

static const char *const tier_names[] = {"interp", "1", "2", "12"};
enum { TIERS_INTERP, TIERS_1, TIERS_2, TIERS_12, NUM_TIERS };

static int failed;

static void fail(const char *what, unsigned tiers, unsigned long got, unsigned long want)
{
	fprintf(stderr, "vcpus: tiers %s: %s: %lu, and it should be %lu\n", tier_names[tiers], what, got, want);
	failed = 1;
}

/* ---- a machine ---- */

static uint32_t order(const struct vm *vm, uint32_t w) { return vm->cfg.big_endian ? __builtin_bswap32(w) : w; }

static void put(struct vm *vm, uint32_t va, const uint32_t *words, size_t n)
{
	vm_change(vm);
	for (size_t i = 0; i < n; i++) {
		uint32_t w = order(vm, words[i]);

		if (pmap_write(vm->ram, gpa((va & 0x1fffffff) + 4 * i), &w, sizeof(w)))
			abort();
	}
	vm_changed(vm);
}
#define PUT(vm, va, ...) put(vm, va, (const uint32_t[]){__VA_ARGS__}, ARRAY_LEN(((const uint32_t[]){__VA_ARGS__})))

static uint32_t word(struct vm *vm, uint32_t va)
{
	uint32_t w;

	if (pmap_read(vm->ram, gpa(va & 0x1fffffff), &w, sizeof(w)))
		abort();
	return order(vm, w);
}

/* What each program goes on to: count who is through; the first vCPU waits for all and ends the machine. */
static void put_end(struct vm *vm)
{
	PUT(vm, END_VA, A_LL(T0, DONE, S0), A_ADDIU(T0, T0, 1), A_SC(T0, DONE, S0), A_BEQ(T0, ZERO, -4), A_NOP, /* */
	    A_BNE(A0, ZERO, 10), A_NOP, A_LW(T0, DONE, S0), A_BNE(T0, A2, -2), A_NOP, A_RESET,                  /* */
	    A_ORI(V0, ZERO, CALL_STOP), A_HYPCALL, A_BEQ(ZERO, ZERO, -1), A_NOP);
}

struct setting {
	struct monitor *mon;
	unsigned tiers, vcpus;
	bool big_endian, icount;
	bool moving; /* their pages go from node to node meanwhile */
};

/* vCPUs at CODE_VA: a0 number, a1 rounds, a2 how many, s0 the data. */
static struct vm *make(const struct setting *s, unsigned rounds)
{
	struct vm_config cfg = {
	    .ram_bytes = RAM_BYTES,
	    .cpu = cpu_model_find("max"),
	    .vcpus = s->vcpus,
	    .big_endian = s->big_endian,
	    .icount = s->icount,
	    .tier1 = s->tiers == TIERS_1 || s->tiers == TIERS_12,
	    .tier2 = s->tiers == TIERS_2 || s->tiers == TIERS_12,
	    .code_bytes = 16u << 20,
	    .hot_threshold = 50,
	    .input_fd = -1,
	};
	size_t n;
	const struct loader_poke *poke = loader_yamon_pokes(&n);
	struct vm *vm;
	bool claimed;

	if (vm_new(&vm, s->mon, &cfg))
		abort();
	for (size_t i = 0; i < n; i++)
		board_write(vm->board, gpa(poke[i].pa), order(vm, poke[i].value), 4, &claimed);
	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		struct vcpu *v = &vm->vcpu[i];

		v->power = VCPU_ON;
		v->idle = false;
		v->gs.pc = CODE_VA;
		v->gs.cp0[CP0_Status] = ST_CU0;
		v->gs.reg[A0] = i;
		v->gs.reg[A1] = rounds;
		v->gs.reg[A2] = vm->n_vcpus;
		v->gs.reg[S0] = DATA_VA;
	}
	put_end(vm);
	return vm;
}

enum { ENOUGH_MOVES = 24 };
static struct {
	struct monitor *mon;
	bool over; /* atomic */
	uint64_t moved;
} mover;

static void *move(void *arg)
{
	uint64_t rng = 1;

	while (!__atomic_load_n(&mover.over, __ATOMIC_ACQUIRE)) {
		unsigned node;
		uint32_t mpn;

		rng = rng * 6364136223846793005u + 1442695040888963407u;
		page_any(mover.mon->memory, rng >> 16, &mpn, &node);
		mover.moved += monitor_move(mover.mon, NULL, mpn, node) == 0;
		if (rng >> 62 == 0)
			usleep(50); /* that they get on */
	}
	return NULL;
}

static uint64_t run(struct vm *vm, const struct setting *s, const char *what)
{
	enum vm_end why;
	pthread_t thread;

	mover.mon = s->mon;
	mover.over = false;
	if (s->moving && pthread_create(&thread, NULL, move, NULL))
		abort();
	why = vm_run(vm);
	__atomic_store_n(&mover.over, true, __ATOMIC_RELEASE);
	if (s->moving)
		pthread_join(thread, NULL);
	if (why != VM_RESET)
		fail(what, s->tiers, why, VM_RESET);
	return s->icount ? vm_state_hash(vm) : 0;
}

/* ---- LL and SC ---- */

static uint64_t counters(const struct setting *s)
{
	enum { ROUNDS = 20000 };
	struct vm *vm = make(s, ROUNDS);
	uint64_t hash;

	PUT(vm, CODE_VA, A_LL(T0, COUNTER, S0), A_ADDIU(T0, T0, 1), A_SC(T0, COUNTER, S0), A_BEQ(T0, ZERO, -4), A_NOP,
	    A_ADDIU(A1, A1, -1), A_BNE(A1, ZERO, -7), A_NOP, A_J(END_VA), A_NOP);
	hash = run(vm, s, "counters");
	if (word(vm, DATA_VA + COUNTER) != s->vcpus * ROUNDS)
		fail("counter", s->tiers, word(vm, DATA_VA + COUNTER), (unsigned long)s->vcpus * ROUNDS);
	vm_free(vm);
	return hash;
}

/*
 * A list without locks and without counters in its pointers: two nodes are taken off, counted in, and put back in the same order.
 * It breaks if an SC succeeds after the head was another one in between: what is behind it is not what it was.
 */
static uint64_t list(const struct setting *s)
{
	enum { ROUNDS = 1000 };
	struct vm *vm = make(s, ROUNDS);
	uint32_t taken = 0, nodes = 0;
	uint64_t hash;

	for (uint32_t i = 0; i < NUM_NODES; i++) {
		uint32_t node = DATA_VA + NODES + i * NODE_BYTES;

		PUT(vm, node, i + 1 < NUM_NODES ? node + NODE_BYTES : 0, 0);
	}
	PUT(vm, DATA_VA + HEAD, DATA_VA + NODES);
	/* some take their time between LL and SC */
	for (unsigned i = 0; i < s->vcpus; i++)
		vm->vcpu[i].gs.reg[S2] = 1 + 50 * i;
	PUT(vm, POP_VA, A_LL(T0, HEAD, S0), A_BEQ(T0, ZERO, -2), A_NOP, A_LW(T1, 0, T0), A_MOVE(T2, S2),
	    A_ADDIU(T2, T2, -1), A_BNE(T2, ZERO, -2), A_NOP, A_SC(T1, HEAD, S0), A_BEQ(T1, ZERO, -10), A_NOP,
	    A_LW(T2, 4, T0), A_ADDIU(T2, T2, 1), A_SW(T2, 4, T0), A_JR(RA), A_NOP);
	PUT(vm, PUSH_VA, A_LW(T1, HEAD, S0), A_SW(T1, 0, T0), A_SYNC, A_LL(T2, HEAD, S0), A_BNE(T2, T1, -5), A_NOP,
	    A_MOVE(T2, T0), A_SC(T2, HEAD, S0), A_BEQ(T2, ZERO, -9), A_NOP, A_JR(RA), A_NOP);
	PUT(vm, CODE_VA, A_JAL(POP_VA), A_NOP, A_MOVE(S3, T0), A_JAL(POP_VA), A_NOP, A_MOVE(S4, T0), A_MOVE(T0, S3),
	    A_JAL(PUSH_VA), A_NOP, A_MOVE(T0, S4), A_JAL(PUSH_VA), A_NOP, A_ADDIU(A1, A1, -1), A_BNE(A1, ZERO, -14),
	    A_NOP, A_J(END_VA), A_NOP);
	hash = run(vm, s, "list");
	for (uint32_t node = word(vm, DATA_VA + HEAD); node && nodes <= NUM_NODES; node = word(vm, node)) {
		taken += word(vm, node + 4);
		nodes++;
	}
	if (nodes != NUM_NODES)
		fail("nodes of the list", s->tiers, nodes, NUM_NODES);
	if (taken != s->vcpus * 2 * ROUNDS)
		fail("nodes taken", s->tiers, taken, (unsigned long)s->vcpus * 2 * ROUNDS);
	vm_free(vm);
	return hash;
}

/* ---- first touches ---- */

static uint64_t pages(const struct setting *s)
{
	struct vm *vm = make(s, NUM_PAGES);
	uint32_t sum = 0;
	uint64_t hash;

	PUT(vm, CODE_VA, A_LUI(S1, (DATA_VA + PAGES) >> 16), A_LL(T0, 0, S1), A_ADDIU(T0, T0, 1), A_SC(T0, 0, S1),
	    A_BEQ(T0, ZERO, -4), A_NOP, A_ADDIU(S1, S1, PAGE_BYTES), A_ADDIU(A1, A1, -1), A_BNE(A1, ZERO, -8), A_NOP,
	    A_J(END_VA), A_NOP);
	hash = run(vm, s, "pages");
	for (unsigned i = 0; i < NUM_PAGES; i++)
		sum += word(vm, DATA_VA + PAGES + i * (uint32_t)PAGE_BYTES);
	if (sum != s->vcpus * NUM_PAGES)
		fail("pages touched", s->tiers, sum, (unsigned long)s->vcpus * NUM_PAGES);
	vm_free(vm);
	return hash;
}

/*
 * ---- orders: two vCPUs, in rounds.  Each waits for the other, which on a busy host takes some slices of it: they have as many
 * rounds as there is time for ----
 */

struct limit {
	struct vm *vm;
	bool over; /* atomic */
};

static void *end_in_time(void *arg)
{
	const struct timespec ms5 = {.tv_nsec = 5000000};
	struct limit *limit = arg;

	for (unsigned i = 0; i < 50 && !__atomic_load_n(&limit->over, __ATOMIC_RELAXED); i++)
		nanosleep(&ms5, NULL);
	vm_end(limit->vm, VM_QUIT);
	return NULL;
}

static void run_rounds(struct vm *vm)
{
	struct limit limit = {.vm = vm};
	pthread_t thread;

	if (pthread_create(&thread, NULL, end_in_time, &limit))
		abort();
	(void)vm_run(vm);
	__atomic_store_n(&limit.over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

/* That both are through with. */
static uint32_t rounds_of(struct vm *vm)
{
	uint32_t a = word(vm, at(2)), b = word(vm, at(3)), least = a < b ? a : b;

	return least ? least - 1 : 0;
}

static void pair(struct vm *vm, unsigned reg, unsigned mine, unsigned others)
{
	vm->vcpu[0].gs.reg[reg] = at(mine);
	vm->vcpu[1].gs.reg[reg] = at(others);
	vm->vcpu[0].gs.reg[reg + 1] = at(others);
	vm->vcpu[1].gs.reg[reg + 1] = at(mine);
}

/*
 * Store buffering: x = r; SYNC; look at y  beside  y = r; SYNC; look at x.  One of them sees the other's.  s2, s3: x and y; s5, s6:
 * who has begun the round; s4: what was seen.
 */
static void store_buffering(const struct setting *s)
{
	enum { ROUNDS = 20000, SEEN = DATA_VA + 0x100000 };
	struct setting two = *s;
	unsigned long both = 0;
	struct vm *vm;

	two.vcpus = 2;
	vm = make(&two, ROUNDS);
	pair(vm, S2, 0, 1);
	pair(vm, S5, 2, 3);
	for (unsigned i = 0; i < 2; i++)
		vm->vcpu[i].gs.reg[S4] = SEEN + i * 0x80000u;
	PUT(vm, CODE_VA, A_ADDIU(S1, S1, 1), A_SW(S1, 0, S5), A_ADDIU(T1, S1, -1), A_LW(T0, 0, S6), A_BEQ(T0, T1, -2),
	    A_NOP, A_SW(S1, 0, S2), A_SYNC, A_LW(T0, 0, S3), A_SW(T0, 0, S4), A_ADDIU(S4, S4, 4), A_BNE(S1, A1, -12),
	    A_NOP, A_J(END_VA), A_NOP);
	run_rounds(vm);
	for (uint32_t r = 1; r <= rounds_of(vm); r++)
		both += word(vm, SEEN + 4 * (r - 1)) != r && word(vm, SEEN + 0x80000u + 4 * (r - 1)) != r;
	if (both)
		fail("both passed their store", s->tiers, both, 0);
	vm_free(vm);
}

/* Message passing: data, SYNC, flag  beside  flag, SYNC, data.  s2: data; s5: flag of the one, s6: of the other. */
static void message_passing(const struct setting *s)
{
	enum { ROUNDS = 20000 };
	struct setting two = *s;
	struct vm *vm;

	two.vcpus = 2;
	vm = make(&two, ROUNDS);
	pair(vm, S5, 2, 3);
	vm->vcpu[0].gs.reg[S2] = vm->vcpu[1].gs.reg[S2] = at(0);
	vm->vcpu[1].gs.pc = CODE_VA + 0x100;
	PUT(vm, CODE_VA, A_ADDIU(S1, S1, 1), A_SW(S1, 0, S2), A_SYNC, A_SW(S1, 0, S5), A_LW(T0, 0, S6),
	    A_BNE(T0, S1, -2), A_NOP, A_BNE(S1, A1, -8), A_NOP, A_J(END_VA), A_NOP);
	PUT(vm, CODE_VA + 0x100, A_ADDIU(S1, S1, 1), A_LW(T0, 0, S6), A_BNE(T0, S1, -2), A_NOP, A_SYNC, A_LW(T0, 0, S2),
	    A_BEQ(T0, S1, 4), A_NOP, A_LW(T1, WRONG, S0), A_ADDIU(T1, T1, 1), A_SW(T1, WRONG, S0), A_SW(S1, 0, S5),
	    A_BNE(S1, A1, -13), A_NOP, A_J(END_VA), A_NOP);
	run_rounds(vm);
	if (word(vm, DATA_VA + WRONG))
		fail("stale data behind a flag", s->tiers, word(vm, DATA_VA + WRONG), 0);
	vm_free(vm);
}

/*
 * The one writes code, the other one calls it, from another page or from the same.  s2: the word; s3: what to write there, its low
 * half the round.
 */
static void code(const struct setting *s, uint32_t caller)
{
	enum { ROUNDS = 2000 };
	struct setting two = *s;
	struct vm *vm;

	two.vcpus = 2;
	vm = make(&two, ROUNDS);
	pair(vm, S5, 2, 3);
	vm->vcpu[0].gs.reg[S2] = vm->vcpu[1].gs.reg[S2] = CALLED_VA;
	vm->vcpu[0].gs.reg[S3] = A_ORI(V0, ZERO, 0);
	vm->vcpu[1].gs.pc = caller;
	PUT(vm, CALLED_VA, A_ORI(V0, ZERO, 0), A_JR(RA), A_NOP);
	PUT(vm, CODE_VA, A_ADDIU(S1, S1, 1), A_ADDIU(S3, S3, 1), A_SW(S3, 0, S2), A_SYNC, A_SW(S1, 0, S5),
	    A_LW(T0, 0, S6), A_BNE(T0, S1, -2), A_NOP, A_BNE(S1, A1, -9), A_NOP, A_J(END_VA), A_NOP);
	PUT(vm, caller, A_ADDIU(S1, S1, 1), A_LW(T0, 0, S6), A_BNE(T0, S1, -2), A_NOP, A_JALR(S2), A_NOP,
	    A_BEQ(V0, S1, 4), A_NOP, A_LW(T1, WRONG, S0), A_ADDIU(T1, T1, 1), A_SW(T1, WRONG, S0), A_SW(S1, 0, S5),
	    A_BNE(S1, A1, -13), A_NOP, A_J(END_VA), A_NOP);
	run_rounds(vm);
	if (word(vm, DATA_VA + WRONG))
		fail("calls of old code", s->tiers, word(vm, DATA_VA + WRONG), 0);
	vm_free(vm);
}

/* ---- doorbells: a token goes round; who has not got it waits with WAIT.  s5: own word, s6: the next one's, s7: its number ---- */

static uint64_t bells(const struct setting *s)
{
	enum { ROUNDS = 300 };
	struct vm *vm = make(s, ROUNDS);
	uint64_t hash;

	for (unsigned i = 0; i < s->vcpus; i++) {
		uint64_t *reg = vm->vcpu[i].gs.reg;
		unsigned next = (i + 1) % s->vcpus;

		vm->vcpu[i].gs.cp0[CP0_Status] = ST_CU0 | CA_IP1;
		reg[S5] = at(i);
		reg[S6] = at(next);
		reg[S7] = next;
		reg[S3] = next == 0;
		reg[S4] = i;
	}
	PUT(vm, at(0), 1);
	PUT(vm, CODE_VA, A_ADDIU(S1, S1, 1), A_MTC0(ZERO, CP0_Cause), A_LW(T0, 0, S5), A_BEQ(T0, S1, 4), A_NOP, A_WAIT,
	    A_BEQ(ZERO, ZERO, -6), A_NOP, A_ADDU(T0, S1, S3), A_SW(T0, 0, S6), A_SYNC, A_MOVE(A0, S7),
	    A_ORI(V0, ZERO, CALL_RING), A_HYPCALL, A_BNE(S1, A1, -15), A_NOP, A_MOVE(A0, S4), A_J(END_VA), A_NOP);
	hash = run(vm, s, "bells");
	if (word(vm, at(0)) != ROUNDS + 1)
		fail("rounds of the token", s->tiers, word(vm, at(0)), ROUNDS + 1);
	vm_free(vm);
	return hash;
}

/* ---- from outside: paused, looked at, and ended ---- */

static void *end_it(void *arg)
{
	const struct timespec ms = {.tv_nsec = 1000000};
	struct vm *vm = arg;

	while (!__atomic_load_n(&vm->running, __ATOMIC_RELAXED))
		nanosleep(&ms, NULL);
	for (unsigned i = 0; i < 20; i++) {
		vm_lock(vm);
		vm_pause(vm);
		siblings_stop(vm);
		vm_unlock(vm);
		clock_kick(vm->clock);
		nanosleep(&ms, NULL);
		vm_lock(vm);
		vm_go(vm);
		vm_unlock(vm);
		clock_kick(vm->clock);
		nanosleep(&ms, NULL);
	}
	vm_end(vm, VM_QUIT);
	return NULL;
}

static void ended(const struct setting *s)
{
	struct vm *vm = make(s, 1);
	pthread_t thread;
	enum vm_end why;

	PUT(vm, CODE_VA, A_LL(T0, COUNTER, S0), A_ADDIU(T0, T0, 1), A_SC(T0, COUNTER, S0), A_MFC0(T1, CP0_Count),
	    A_BEQ(ZERO, ZERO, -5), A_NOP);
	if (pthread_create(&thread, NULL, end_it, vm))
		abort();
	why = vm_run(vm);
	pthread_join(thread, NULL);
	if (why != VM_QUIT)
		fail("its end", s->tiers, why, VM_QUIT);
	vm_free(vm);
}

static struct monitor *monitor(bool repeatable, bool share)
{
	struct monitor *mon;

	if (monitor_new(&mon, &(struct monitor_config){.memory_bytes = 2 * RAM_BYTES,
						       .nodes = 2,
						       .processors = PROCESSORS,
						       .share = share,
						       .repeatable = repeatable}))
		abort();
	return mon;
}

/* Everybody is stopped at random moments, and all that is known of them compared. */
struct auditor {
	struct monitor *mon;
	unsigned tiers;
	bool over; /* atomic */
	unsigned long stops, entries;
	pthread_t thread;
};

static void *audit(void *arg)
{
	struct auditor *a = arg;
	struct monitor_audit got;
	uint32_t x = 1;

	while (!__atomic_load_n(&a->over, __ATOMIC_ACQUIRE)) {
		struct timespec pause = {.tv_nsec = (x = x * 1664525u + 1013904223u) >> 7};

		nanosleep(&pause, NULL); /* thirty milliseconds at most */
		monitor_audit_live(a->mon, NULL, &got);
		if (got.errors) {
			fprintf(stderr, "vcpus: tiers %s: audit: %s\n", tier_names[a->tiers], got.first);
			failed = 1;
			break;
		}
		a->stops++;
		a->entries += got.entries;
	}
	return NULL;
}

static void all(unsigned tiers, bool big_endian)
{
	struct setting s = {
	    .mon = monitor(false, big_endian), .tiers = tiers, .vcpus = VCPUS, .big_endian = big_endian};
	struct auditor auditor = {.mon = s.mon, .tiers = tiers};

	if (pthread_create(&auditor.thread, NULL, audit, &auditor))
		abort();
	counters(&s);
	list(&s);
	pages(&s);
	store_buffering(&s);
	message_passing(&s);
	code(&s, CODE_VA + 0x100);
	code(&s, CALLED_VA + 0x100);
	bells(&s);
	ended(&s);
	if (tiers == TIERS_1 || tiers == TIERS_12) {
		/* how many pages go in that time depends on what else the host does */
		uint64_t enough = mover.moved + ENOUGH_MOVES;

		s.moving = true;
		for (unsigned i = 0; i < 4 && mover.moved < enough; i++) {
			counters(&s);
			list(&s);
			pages(&s);
		}
	}
	__atomic_store_n(&auditor.over, true, __ATOMIC_RELEASE);
	pthread_join(auditor.thread, NULL);
	if (!auditor.stops || !auditor.entries)
		fail("entries that were audited", tiers, auditor.entries, 1);
	monitor_free(s.mon);
}

/* --icount: the same in each run and on all tiers, with exact results. */
static void repeated(uint64_t (*program)(const struct setting *s), const char *what)
{
	uint64_t want = 0;

	for (unsigned i = 0; i < NUM_TIERS + 1; i++) {
		struct setting s = {.mon = monitor(true, i & 1), .tiers = i % NUM_TIERS, .vcpus = 4, .icount = true};
		uint64_t got = program(&s);

		monitor_free(s.mon);
		want = i ? want : got;
		if (got != want)
			fail(what, s.tiers, got, want);
	}
}

int main(void)
{
	alarm(300); /* what hangs has failed */
	for (unsigned t = 0; t < NUM_TIERS; t++)
		all(t, t % 2);
	repeated(counters, "state after counters");
	repeated(list, "state after the list");
	repeated(pages, "state after the pages");
	repeated(bells, "state after the bells");
	printf("vcpus: %lu pages moved under them\n", (unsigned long)mover.moved);
	if (mover.moved < ENOUGH_MOVES / 8) {
		fprintf(stderr, "vcpus: hardly a page was moved\n");
		failed = 1;
	}
	return failed;
}
