/* SPDX-License-Identifier: MIT */
/*
 * Several machines of one monitor, each with a thread of its own, share memory and stop sharing it: blocks of one image, equal
 * pages, pages of zeroes; loads and stores through the L2TLB, code that is executed from shared pages and patched.  What each
 * must find in its memory is known from its own operations alone.  Another thread stops them all, again and again, wherever they are, and
 * audits; and one moves their pages from node to node.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frontend/cp0.h"
#include "numa/move.h"
#include "numa/share.h"
#include "tests/oracle/asm.h"
#include "vmm/boot/loader.h"
#include "vmm/cpu/helpers.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/devices/virtio_memory.h"
#include "vmm/monitor/audit.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/move.h"
#include "vmm/monitor/vm.h"

enum { VMS = 4, RAM_BYTES = 2 << 20, PAGES = 24, FIRST = 0x100000, BLOCKS = 10, ROUNDS = 20000, CODE_PA = 0x1000 };
enum { T0 = 8, T1 = 9, T2 = 10, AT = 1, K0 = 26 };

struct guest {
	struct vm *vm;
	pthread_t thread;
	uint32_t x, image;
	uint32_t word[PAGES]; /* every word of a page is this one */
	const char *wrong;
};

static uint32_t roll(struct guest *g, uint32_t n)
{
	g->x = g->x * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)(g->x >> 4) * n >> 28);
}

static struct gpa page_at(unsigned n) { return gpa(FIRST + (uint64_t)n * PAGE_BYTES); }

static void fill(uint32_t *page, uint32_t word)
{
	for (unsigned i = 0; i < PAGE_BYTES / 4; i++)
		page[i] = word;
}

static const char *read_block(struct guest *g, unsigned n)
{
	struct block_name name = {g->image, roll(g, BLOCKS)};
	struct machine_page *page;

	g->word[n] = 0x10000 + (uint32_t)name.block;
	if (pmap_map_block(g->vm->ram, page_at(n), name))
		return NULL;
	page = share_page_new(g->vm->ram, 0);
	if (!page)
		return "no machine memory";
	fill((uint32_t *)(void *)page->host, g->word[n]);
	return pmap_give_block(g->vm->ram, page_at(n), name, page) ? "a block is not given" : NULL;
}

/* All words, by the CPU: the page may be anybody's at the first of them, and is one's own after it. */
static void store_page(struct guest *g, unsigned n, uint32_t word)
{
	for (uint32_t i = 0; i < PAGE_BYTES; i += 4)
		mem_store(&g->vm->vcpu->gs, 0x80000000u + (uint32_t)page_at(n).v + i, word, MEM_META(2, 0));
	g->word[n] = word;
}

static const char *load_page(struct guest *g, unsigned n)
{
	for (uint32_t i = 0; i < PAGE_BYTES; i += 64)
		if (mem_load(&g->vm->vcpu->gs, 0x80000000u + (uint32_t)page_at(n).v + i, MEM_META(2, 0), 0) !=
		    g->word[n])
			return "a load found another word";
	return NULL;
}

/* A program that all of them have, which ends with T0 in T1's place of memory; some patch what T0 is. */
static const char *run_code(struct guest *g)
{
	uint32_t value = roll(g, 3), words[] = {
					 A_ORI(T0, 0, value),   A_LUI(T2, 0x8000),
					 A_ORI(T2, T2, 0x4000), A_SW(T0, 0, T2),
					 A_LUI(AT, 0xbf00),     A_ORI(AT, AT, 0x500),
					 A_ORI(K0, 0, 0x42),    A_SW(K0, 0, AT),
					 A_BEQ(0, 0, -1),       A_NOP,
				     };
	uint32_t got, page[PAGE_BYTES / 4] = {0};
	struct vcpu *v = g->vm->vcpu;
	enum vm_end ended;

	if (roll(g, 2)) { /* what others have too */
		memcpy(page, words, sizeof(words));
		virtio_memory_release(g->vm, NULL, gpa(0x5000), PAGE_BYTES);
		if (pmap_write(g->vm->ram, gpa(0x5000), page, sizeof(page)))
			return "no machine memory";
		pmap_share_equal(g->vm->ram, gpa(0x5000), PAGE_BYTES);
		v->gs.pc = 0x80005000u;
	} else { /* one word of what is there */
		for (unsigned i = 0; i < ARRAY_LEN(words); i++)
			mem_store(&v->gs, 0x80000000u + CODE_PA + 4 * i, words[i], MEM_META(2, 0));
		pmap_share_equal(g->vm->ram, gpa(CODE_PA), PAGE_BYTES);
		v->gs.pc = 0x80000000u + CODE_PA;
	}
	g->vm->end = VM_RUNS;
	vcpu_update_mode(v);
	vm_changed(g->vm); /* from here on it is the vCPU that others stop */
	ended = vm_run(g->vm);
	vm_change(g->vm);
	if (ended != VM_RESET)
		return "the program did not end";
	if (pmap_read(g->vm->ram, gpa(0x4000), &got, 4) || got != value)
		return "another program was executed";
	return NULL;
}

static const char *one_round(struct guest *g)
{
	unsigned n = roll(g, PAGES);
	int err;

	switch (roll(g, 9)) {
	case 8: /* to the node of a processor that it might run on */
		err = pmap_bring(g->vm->ram, page_at(n), roll(g, 2));
		return err && err != -ENOENT && err != -EBUSY ? "a page does not come" : NULL;
	case 0:
	case 1:
		return read_block(g, n);
	case 2:
		store_page(g, n, roll(g, 4));
		return NULL;
	case 3:
		pmap_merge(g->vm->ram, RAM_BYTES / PAGE_BYTES / 2);
		return NULL;
	case 4:
		pmap_share_equal(g->vm->ram, page_at(n), PAGE_BYTES);
		return NULL;
	case 5:
		return roll(g, 8) ? NULL : run_code(g);
	default:
		return load_page(g, n);
	}
}

static void *run(void *arg)
{
	struct guest *g = arg;

	for (unsigned i = 0; i < ROUNDS && !g->wrong; i++) {
		vm_change(g->vm);
		g->wrong = one_round(g);
		vm_changed(g->vm);
	}
	vm_change(g->vm);
	for (unsigned n = 0; n < PAGES && !g->wrong; n++)
		g->wrong = load_page(g, n);
	vm_changed(g->vm);
	return NULL;
}

static int fail(const char *what)
{
	fprintf(stderr, "one_copy: %s\n", what);
	return 1;
}

static struct {
	struct monitor *mon;
	bool over; /* atomic */
	uint64_t stops, entries, compared;
	struct monitor_audit last;
} audits;

static void *audit(void *arg)
{
	uint32_t x = 1;

	while (!__atomic_load_n(&audits.over, __ATOMIC_ACQUIRE) && !audits.last.errors) {
		struct timespec pause = {.tv_nsec = (x = x * 1664525u + 1013904223u) >> 14};

		nanosleep(&pause, NULL); /* a quarter of a millisecond at most */
		monitor_audit_live(audits.mon, NULL, &audits.last);
		audits.stops++;
		audits.entries += audits.last.entries;
		audits.compared += audits.last.compared;
	}
	return NULL;
}

/* Pages go from node to node under them, whichever. */
static struct {
	struct monitor *mon;
	uint64_t tried, moved, busy, full;
} moves;

static void *move(void *arg)
{
	uint32_t x = 5, pages = VMS * RAM_BYTES / PAGE_BYTES;

	while (!__atomic_load_n(&audits.over, __ATOMIC_ACQUIRE)) {
		uint32_t at = (x = x * 1664525u + 1013904223u) >> 9;
		int err = monitor_move(moves.mon, NULL, at % pages, at / pages & 1);

		moves.tried++;
		moves.moved += !err;
		moves.busy += err == -EBUSY;
		moves.full += err == -ENOMEM;
	}
	return NULL;
}

static int open_guest(struct guest *g, struct monitor *mon, unsigned n)
{
	struct share_image image = {.dev = 1, .ino = 2, .bytes = 3};
	struct vm_config cfg = {.ram_bytes = RAM_BYTES,
				.cpu = cpu_model_find(CPU_DEFAULT),
				.code_bytes = 16u << 20,
				.tier1 = true,
				.input_fd = -1};
	size_t pokes;
	const struct loader_poke *p = loader_yamon_pokes(&pokes);
	bool claimed;

	if (vm_new(&g->vm, mon, &cfg))
		return fail("no machine");
	for (size_t i = 0; i < pokes; i++)
		board_write(g->vm->board, gpa(p[i].pa), p[i].value, 4, &claimed);
	g->vm->vcpu->gs.cp0[CP0_Status] = ST_CU0 | ST_CU1;
	vcpu_update_mode(g->vm->vcpu);
	g->x = 77 * (n + 1);
	g->image = share_image_number(mon->memory, &image);
	return 0;
}

int main(void)
{
	struct guest g[VMS] = {0};
	struct monitor *mon;
	uint64_t shared = 0, broken = 0, copies = 0, brought = 0;
	pthread_t auditor, mover;
	int status = 0;

	if (monitor_new(&mon, &(struct monitor_config){.memory_bytes = VMS * RAM_BYTES, .nodes = 2, .share = true}))
		return fail("no monitor");
	for (unsigned i = 0; i < VMS; i++)
		if (open_guest(&g[i], mon, i))
			return 1;
	for (unsigned i = 0; i < VMS; i++)
		if (pthread_create(&g[i].thread, NULL, run, &g[i]))
			return fail("no thread");
	audits.mon = moves.mon = mon;
	if (pthread_create(&auditor, NULL, audit, NULL) || pthread_create(&mover, NULL, move, NULL))
		return fail("no thread");
	for (unsigned i = 0; i < VMS; i++) {
		pthread_join(g[i].thread, NULL);
		status |= g[i].wrong ? fail(g[i].wrong) : 0;
		shared += pmap_stats(g[i].vm->ram)->block_hits + pmap_stats(g[i].vm->ram)->merged;
		broken += pmap_stats(g[i].vm->ram)->breaks;
		copies += pmap_stats(g[i].vm->ram)->replicated;
		brought += pmap_stats(g[i].vm->ram)->moved;
	}
	__atomic_store_n(&audits.over, true, __ATOMIC_RELEASE);
	pthread_join(auditor, NULL);
	pthread_join(mover, NULL);
	if (!audits.last.errors)
		monitor_audit(mon, &audits.last);
	if (audits.last.errors)
		status = fail(audits.last.first);
	printf("one_copy: %lu stops, %lu entries of L2TLBs and the bytes of %lu shared pages looked at\n",
	       (unsigned long)audits.stops, (unsigned long)audits.entries, (unsigned long)audits.compared);
	printf("one_copy: %lu pages moved to another node, of %lu tried; %lu busy, %lu that had no room\n",
	       (unsigned long)moves.moved, (unsigned long)moves.tried, (unsigned long)moves.busy,
	       (unsigned long)moves.full);
	printf("one_copy: %lu pages brought to a node, and %lu copies of shared ones\n", (unsigned long)brought,
	       (unsigned long)copies);
	if (copies < 100 || brought < 100)
		status = fail("machines have hardly brought a page anywhere");
	if (moves.moved < 100)
		status = fail("hardly a page was moved");
	if (!audits.stops || !audits.entries || !audits.compared)
		status = fail("nothing was audited");
	if (shared < ROUNDS / 8 || broken < ROUNDS / 40)
		status = fail("hardly anything was shared");
	for (unsigned i = 0; i < VMS; i++)
		vm_free(g[i].vm);
	monitor_free(mon);
	return status;
}
