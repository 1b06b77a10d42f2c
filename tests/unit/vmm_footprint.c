/* SPDX-License-Identifier: MIT */
/* What the process takes by class: each class is what was done for it, and all of them are what the host says. */
#include "tests/unit/vmm_machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/resident.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/monitor/footprint.h"

enum {
	SLACK = 2 << 20, /* the test's own heap and stack */
	RELOCATED_MAX = 64 << 20,
};

/* What the host calls shared memory without a file: translated code (jit/code_mem.c). */
#define CODE_MAPPING "/dev/zero (deleted)"

/* Of all mappings whose name has this in it and that are of no file, but memfds and such, as the host says. */
static uint64_t mapped(const char *name)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	uint64_t kib, all = 0;
	bool is = false;

	cr_assert(f);
	while (fgets(line, sizeof(line), f)) {
		const char *dash = strchr(line, '-'), *space = strchr(line, ' ');

		if (strchr("0123456789abcdef", line[0]) && dash && dash < space)
			is = strstr(line, name) &&
			     (!strchr(line, '/') || strstr(line, "/memfd:") || strstr(line, CODE_MAPPING));
		else if (is && sscanf(line, "Pss: %" SCNu64, &kib) == 1)
			all += kib << 10;
	}
	fclose(f);
	return all;
}

static bool near(uint64_t a, uint64_t b, uint64_t slack) { return a > b ? a - b <= slack : b - a <= slack; }

/*
 * The program's share of files is not looked at: it depends on who else runs it.  relocated: what of its mappings is not as in the file,
 * which the heap's class has; 0: found out.
 */
static void check_sum(struct monitor *mon, uint64_t *relocated)
{
	struct footprint f = footprint(mon);
	uint64_t sum = 0, all = mapped("");

	for (unsigned i = 0; i < NUM_FOOTPRINTS; i++)
		sum += i == FOOTPRINT_PROGRAM ? 0 : f.bytes[i];
	cr_expect(near(f.total, sum + f.bytes[FOOTPRINT_PROGRAM], SLACK / 8), "total %" PRIu64 ", classes %" PRIu64,
		  f.total, sum + f.bytes[FOOTPRINT_PROGRAM]);
	if (!*relocated)
		*relocated = sum - all;
	cr_expect_lt(*relocated, RELOCATED_MAX);
	cr_expect(near(sum - *relocated, all, SLACK), "classes %" PRIu64 ", mappings %" PRIu64, sum - *relocated, all);
	cr_expect_eq(f.bytes[FOOTPRINT_GUESTS], mapped("memfd:disco-node"));
	cr_expect(near(f.bytes[FOOTPRINT_CODE], mapped(CODE_MAPPING), SLACK / 8));
}

static uint64_t without_program(const struct footprint *f) { return f->total - f->bytes[FOOTPRINT_PROGRAM]; }

static void touch_all(struct vm *vm)
{
	for (uint64_t at = 0; at < RAM_BYTES; at += PAGE_BYTES)
		memset(pmap_get(vm->ram, gpa(at), 0, PMAP_WRITE, &(int){0})->page->host, 0x5a, PAGE_BYTES);
}

enum { BLOCK_EVERY = 128 };

/* Blocks of two instructions all over the machine's memory, that lead from one to the next. */
static void run_everywhere(struct vm *vm)
{
	uint32_t last = 0x80000000u + RAM_BYTES - PAGE_BYTES;

	for (uint32_t va = CODE_VA; va < last; va += BLOCK_EVERY)
		PUT(vm, va, A_BEQ(ZERO, ZERO, BLOCK_EVERY / 4 - 1), A_NOP);
	PUT(vm, last, A_RESET);
	cr_assert_eq(vm_run(vm), VM_RESET);
}

Test(vmm_footprint, classes)
{
	struct monitor *mon;
	struct footprint was, is;
	struct vm *vm;
	uint64_t relocated = 0;
	uint8_t *heap;

	cr_assert_eq(monitor_new(&mon, &(struct monitor_config){.memory_bytes = 2 * RAM_BYTES, .nodes = 1}), 0);
	was = footprint(mon);
	cr_expect_eq(was.bytes[FOOTPRINT_GUESTS] + was.bytes[FOOTPRINT_CODE], 0u);
	vm = machine_open_in(mon, &(struct vm_config){0}, TIERS_1);
	was = footprint(mon);
	check_sum(mon, &relocated);

	touch_all(vm);
	is = footprint(mon);
	check_sum(mon, &relocated);
	cr_expect_eq(is.bytes[FOOTPRINT_GUESTS], RAM_BYTES);
	cr_expect_geq(is.bytes[FOOTPRINT_TABLES] - was.bytes[FOOTPRINT_TABLES],
		      RAM_BYTES / PAGE_BYTES * sizeof(struct machine_page) - PAGE_BYTES);
	was = is;

	run_everywhere(vm);
	is = footprint(mon);
	check_sum(mon, &relocated);
	/* 40 bytes and more of code for each of 32000 blocks, and 72 of what is known of it */
	cr_expect_gt(is.bytes[FOOTPRINT_CODE] - was.bytes[FOOTPRINT_CODE], 1u << 20);
	cr_expect_gt(is.bytes[FOOTPRINT_TRANSLATIONS] - was.bytes[FOOTPRINT_TRANSLATIONS], 2u << 20);
	was = is;

	/* not by malloc(): a sanitizer's has memory of its own for it */
	heap = mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert(heap != MAP_FAILED);
	memset(heap, 1, 16 << 20);
	is = footprint(mon);
	check_sum(mon, &relocated);
	cr_expect(near(is.bytes[FOOTPRINT_HEAP] - was.bytes[FOOTPRINT_HEAP], 16 << 20, SLACK));
	cr_expect(near(without_program(&is) - without_program(&was), 16 << 20, SLACK));
	munmap(heap, 16 << 20);
	vm_free(vm);
	is = footprint(mon);
	cr_expect_eq(is.bytes[FOOTPRINT_GUESTS], mapped("memfd:disco-node"));
	cr_expect_lt(is.bytes[FOOTPRINT_GUESTS], RAM_BYTES);
	monitor_free(mon);
}

Test(vmm_footprint, what_was_only_read_takes_nothing)
{
	enum { BYTES = 1 << 20 };
	volatile uint8_t *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned sum = 0;

	cr_assert_neq(p, MAP_FAILED);
	cr_expect_eq(resident_bytes((const void *)p, BYTES), 0u);
	for (unsigned i = 0; i < BYTES; i += PAGE_BYTES)
		sum += p[i];
	cr_expect_eq(sum + resident_bytes((const void *)p, BYTES), 0u);
	for (unsigned i = 0; i < BYTES; i += 2 * PAGE_BYTES)
		p[i] = 1;
	cr_expect_eq(resident_bytes((const void *)p, BYTES), BYTES / 2);
	cr_expect_eq(resident_bytes((const uint8_t *)(uintptr_t)p + 100, PAGE_BYTES), PAGE_BYTES,
		     "two pages, one of them in memory");
	cr_expect_eq(resident_bytes(NULL, BYTES), 0u);
	munmap((void *)(uintptr_t)p, BYTES);
}
