/* SPDX-License-Identifier: MIT */
/*
 * Forced moves: two bare machines count by LL and SC, and write and read back eight pages, in code that tier 1 and tier 2 have made,
 * while other threads take their pages, of code and of data, from node to node as fast as they can.  Each program checks what it reads,
 * and its numbers at the end are known.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "numa/numa.h"
#include "tests/oracle/asm.h"
#include "vmm/boot/loader.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/audit.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/move.h"
#include "vmm/monitor/vm.h"

enum { VMS = 2, NODES = 4, MOVERS = 2, RAM_BYTES = 4 << 20, AUDITS = 8 };
enum { CODE_VA = 0x80001000, COUNTER_PA = 0x100000, DATA_PA = 0x120000, RESULT_PA = 0x140000 };
enum { ZERO = 0, AT = 1, T0 = 8, T1 = 9, T2 = 10, T3 = 11, T4 = 12, I = 16, N = 17, BAD = 18, K0 = 26 };

static uint32_t rounds = 3000000;

struct guest {
	struct vm *vm;
	pthread_t thread;
	enum vm_end ended;
};

static int fail(const char *what)
{
	fprintf(stderr, "moves: %s\n", what);
	return 1;
}

static int put_program(struct vm *vm)
{
	const uint32_t words[] = {
	    A_LUI(T0, 0x8000 | COUNTER_PA >> 16),
	    A_LUI(T2, 0x8000 | DATA_PA >> 16),
	    A_LUI(N, rounds >> 16),
	    A_ORI(N, N, rounds & 0xffff),
	    A_ORI(I, ZERO, 0),
	    A_ORI(BAD, ZERO, 0),
	    /* again: */
	    A_LL(T1, 0, T0),
	    A_ADDIU(T1, T1, 1),
	    A_SC(T1, 0, T0),
	    A_BEQ(T1, ZERO, -4),
	    A_ANDI(T3, I, 0x7ffc),
	    R_TYPE(T3, T2, T3, 0, 0x21), /* addu */
	    A_SW(I, 0, T3),
	    A_LW(T4, 0, T3),
	    A_XOR(T4, T4, I),
	    R_TYPE(BAD, T4, BAD, 0, 0x25), /* or */
	    A_ADDIU(I, I, 1),
	    A_BNE(I, N, -12),
	    A_NOP,
	    A_LUI(T2, 0x8000 | RESULT_PA >> 16),
	    A_SW(BAD, 0, T2),
	    A_ORI(T1, ZERO, 1),
	    A_SW(T1, 4, T2),
	    A_LUI(AT, 0xbf00),
	    A_ORI(AT, AT, 0x500),
	    A_ORI(K0, ZERO, 0x42),
	    A_SW(K0, 0, AT),
	    A_BEQ(ZERO, ZERO, -1),
	    A_NOP,
	};

	return pmap_write(vm->ram, gpa(CODE_VA & 0x1fffffff), words, sizeof(words));
}

static int make(struct guest *g, struct monitor *mon)
{
	struct vm_config cfg = {.ram_bytes = RAM_BYTES,
				.cpu = cpu_model_find("max"),
				.tier1 = true,
				.tier2 = true,
				.hot_threshold = 1000,
				.code_bytes = 16u << 20,
				.input_fd = -1};
	size_t n;
	const struct loader_poke *poke = loader_yamon_pokes(&n);
	bool claimed;

	if (vm_new(&g->vm, mon, &cfg) || put_program(g->vm))
		return fail("no machine");
	for (size_t i = 0; i < n; i++)
		board_write(g->vm->board, gpa(poke[i].pa), poke[i].value, 4, &claimed);
	g->vm->vcpu->gs.pc = CODE_VA;
	g->vm->vcpu->gs.cp0[CP0_Status] = ST_CU0;
	return 0;
}

static void *run(void *arg)
{
	struct guest *g = arg;

	g->ended = vm_run(g->vm);
	return NULL;
}

static uint32_t word(struct vm *vm, uint64_t pa)
{
	uint32_t w = 0;

	return pmap_read(vm->ram, gpa(pa), &w, 4) ? ~0u : w;
}

struct mover {
	struct monitor *mon;
	pthread_t thread;
	uint32_t x;
	bool over; /* atomic */
	uint64_t tried, moved;
};

/* The pages in use are at the start of each node: one of the first 16. */
static void *move(void *arg)
{
	struct mover *m = arg;
	uint32_t each = VMS * RAM_BYTES / PAGE_BYTES / NODES;

	while (!__atomic_load_n(&m->over, __ATOMIC_ACQUIRE)) {
		uint32_t at = (m->x = m->x * 1664525u + 1013904223u) >> 8;
		int err = monitor_move(m->mon, NULL, at % NODES * each + at / NODES % 16, at / NODES / 16 % NODES);

		m->tried++;
		m->moved += !err;
	}
	return NULL;
}

static int check(struct guest *g)
{
	if (g->ended != VM_RESET)
		return fail("a machine did not end by itself");
	if (word(g->vm, RESULT_PA + 4) != 1)
		return fail("a machine's last words are missing");
	if (word(g->vm, RESULT_PA))
		return fail("a load did not find what had just been stored");
	if (word(g->vm, COUNTER_PA) != rounds)
		return fail("LL and SC lost count");
	for (uint32_t i = rounds - 0x8000; i < rounds; i++)
		if ((i & 3) == 3 && word(g->vm, DATA_PA + (i & 0x7ffc)) != i)
			return fail("a page has lost a store");
	return 0;
}

static int audit(struct monitor *mon)
{
	struct monitor_audit a;

	monitor_audit_live(mon, NULL, &a);
	return a.errors ? fail(a.first) : 0;
}

int main(void)
{
	struct guest g[VMS] = {0};
	struct mover m[MOVERS] = {0};
	const char *more = getenv("DISCO_COUNT");
	uint64_t moved = 0, tried = 0;
	struct monitor *mon;
	int status = 0;

	rounds = more ? (uint32_t)strtoul(more, NULL, 0) : rounds;
	alarm(more ? 3000 : 170);
	if (monitor_new(&mon, &(struct monitor_config){
				  .memory_bytes = VMS * RAM_BYTES, .nodes = NODES, .share = true, .processors = VMS}))
		return fail("no monitor");
	for (unsigned i = 0; i < VMS; i++)
		if (make(&g[i], mon))
			return 1;
	for (unsigned i = 0; i < VMS; i++)
		pthread_create(&g[i].thread, NULL, run, &g[i]);
	for (unsigned i = 0; i < MOVERS; i++) {
		m[i] = (struct mover){.mon = mon, .x = i + 1};
		pthread_create(&m[i].thread, NULL, move, &m[i]);
	}
	for (unsigned i = 0; i < AUDITS; i++) {
		usleep(20000);
		status |= audit(mon);
	}
	for (unsigned i = 0; i < VMS; i++)
		pthread_join(g[i].thread, NULL);
	for (unsigned i = 0; i < MOVERS; i++) {
		__atomic_store_n(&m[i].over, true, __ATOMIC_RELEASE);
		pthread_join(m[i].thread, NULL);
		moved += m[i].moved;
		tried += m[i].tried;
	}
	printf("moves: %lu of %lu\n", (unsigned long)moved, (unsigned long)tried);
	if (moved < 100)
		status = fail("hardly a page was moved");
	status |= audit(mon);
	for (unsigned i = 0; i < VMS; i++) {
		status |= check(&g[i]);
		vm_free(g[i].vm);
	}
	monitor_free(mon);
	return status;
}
