/* SPDX-License-Identifier: MIT */
/* Machines of one monitor that share memory: blocks of one image, equal pages, code; and what is not to be shared. */
#define _GNU_SOURCE
#include <semaphore.h>

#include "tests/unit/vmm_share.h"
#include "vmm/cpu/run_loop.h"

enum { VMS = 3, IMAGE_BYTES = 1 << 20, PAGE_PA = 0x100000 };

static struct bench b;
static struct monitor *mon;
static struct share_vm s[VMS];

static void start(enum disk_mode mode, enum tiers tiers)
{
	bench_init(&b);
	bench_image(&b, "a.img", IMAGE_BYTES);
	mon = share_monitor(VMS * (uint64_t)RAM_BYTES);
	for (unsigned i = 0; i < VMS; i++)
		share_open(&s[i], mon, tiers, bench_disk(&b, "a.img", mode, NULL));
}

static void stop(void)
{
	share_audit(mon);
	for (unsigned i = 0; i < VMS; i++)
		share_close(&s[i]);
	cr_assert_eq(machine_memory_pages_used(mon->memory, -1), share_idle_pages(mon->memory));
	monitor_free(mon);
	bench_free(&b);
}

static uint8_t byte_at(unsigned vm, uint64_t pa)
{
	uint8_t x;

	cr_assert_eq(pmap_read(s[vm].vm->ram, gpa(pa), &x, 1), 0);
	return x;
}

static void holds_block(unsigned vm, uint64_t pa, uint64_t off, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i++)
		cr_assert_eq(byte_at(vm, pa + i), pattern(off + i), "VM %u, %lx", vm, pa + i);
}

static const struct pmap_stats *stats(unsigned vm) { return pmap_stats(s[vm].vm->ram); }

static void one_copy(enum disk_mode mode)
{
	uint64_t before, hash;

	start(mode, TIERS_INTERP);
	for (unsigned vm = 0; vm < VMS; vm++) /* the rings' pages */
		cr_assert_eq(share_do(&s[vm], SHARE_IN, 0, PAGE_PA + 0x200, 512), 0);
	before = share_used(&s[0]);
	cr_assert_eq(share_do(&s[0], SHARE_IN, 16, PAGE_PA + 0x2000, 0x8000), 0);
	cr_assert_eq(share_used(&s[0]), before + 8);
	cr_assert_eq(stats(0)->block_misses, 8u);
	for (unsigned vm = 1; vm < VMS; vm++) {
		cr_assert_eq(share_do(&s[vm], SHARE_IN, 16, PAGE_PA + 0x2000, 0x8000), 0);
		holds_block(vm, PAGE_PA + 0x2000, 16 * 512, 0x8000);
		cr_assert_eq(stats(vm)->block_hits, 8u);
	}
	cr_assert_eq(share_used(&s[0]), before + 8, "not one page more");
	share_audit(mon);
	hash = pmap_hash(s[2].vm->ram);
	share_write(&s[1], PAGE_PA + 0x3004, "x", 1);
	cr_assert_eq(share_used(&s[0]), before + 9, "the writer has one page more");
	cr_assert_eq(pmap_hash(s[2].vm->ram), hash);
	holds_block(0, PAGE_PA + 0x2000, 16 * 512, 0x8000);
	stop();
}

Test(vmm_share, blocks_of_a_read_only_disk_are_one_copy) { one_copy(DISK_RO); }
Test(vmm_share, blocks_under_a_cow_layer_are_one_copy) { one_copy(DISK_COW); }

Test(vmm_share, a_writable_disk_is_not_shared)
{
	bench_init(&b);
	bench_image(&b, "a.img", IMAGE_BYTES);
	mon = share_monitor(RAM_BYTES);
	share_open(&s[0], mon, TIERS_INTERP, bench_disk(&b, "a.img", DISK_RW, NULL));
	cr_assert_eq(share_do(&s[0], SHARE_IN, 16, PAGE_PA, 0x8000), 0);
	cr_assert_eq(share_class_pages(mon->memory, MEMORY_BLOCK), 0u);
	share_close(&s[0]);
	monitor_free(mon);
	bench_free(&b);
}

/* Half pages, sectors that are no page's first, guest memory that is no page's: as without sharing. */
Test(vmm_share, what_is_not_a_page_is_copied)
{
	static const struct {
		uint64_t sector, pa;
		uint32_t bytes, shared;
	} reads[] = {
	    {8, 0x0, 0x1000, 1},    {8, 0x200, 0x1000, 0},    {9, 0x0, 0x1000, 0},  {9, 0x200, 0x2e00, 2},
	    {15, 0xe00, 0x1200, 1}, {15, 0xe00, 0x11fe00, 0}, {16, 0x0, 0x1e00, 1}, {17, 0x234, 0x4000, 0},
	    {2040, 0x0, 0x1000, 1}, {2041, 0x0, 0x1000, 0},   {0, 0x0, 0x0, 0},     {8, 0x0, 100, 0},
	    {8, 0x0, 0x10000, 16},
	};

	start(DISK_COW, TIERS_INTERP);
	for (unsigned i = 0; i < ARRAY_LEN(reads); i++) {
		bool good = reads[i].bytes % 512 == 0 && reads[i].sector * 512 + reads[i].bytes <= IMAGE_BYTES;

		for (unsigned vm = 0; vm < VMS; vm++) {
			uint64_t had = stats(vm)->block_hits + stats(vm)->block_misses;

			if (reads[i].bytes > 0x100000)
				continue;
			cr_assert_eq(share_do(&s[vm], SHARE_IN, reads[i].sector, PAGE_PA + reads[i].pa, reads[i].bytes),
				     good ? 0 : 1, "read %u", i);
			if (good)
				holds_block(vm, PAGE_PA + reads[i].pa, reads[i].sector * 512, reads[i].bytes);
			cr_assert_eq(stats(vm)->block_hits + stats(vm)->block_misses - had, good ? reads[i].shared : 0,
				     "read %u", i);
		}
		share_audit(mon);
	}
	stop();
}

/* What a machine has written is its own, and the others' blocks, read before and after, are the image's. */
Test(vmm_share, a_layer_is_its_machines_own)
{
	uint8_t page[PAGE_BYTES];
	uint64_t sum;

	start(DISK_COW, TIERS_INTERP);
	sum = bench_sum(&b, "a.img");
	memset(page, 0x5a, sizeof(page));
	cr_assert_eq(share_do(&s[0], SHARE_IN, 8, PAGE_PA, 0x4000), 0);
	share_write(&s[1], PAGE_PA + 0x10000, page, sizeof(page));
	cr_assert_eq(share_do(&s[1], SHARE_OUT, 17, PAGE_PA + 0x10000, 512), 0, "one sector of block 2");
	cr_assert_eq(share_do(&s[1], SHARE_IN, 8, PAGE_PA, 0x4000), 0);
	holds_block(1, PAGE_PA, 8 * 512, 0x1200);
	cr_assert_eq(byte_at(1, PAGE_PA + 0x1200), 0x5a);
	holds_block(1, PAGE_PA + 0x1400, 18 * 512, 0x2c00);
	cr_assert_eq(stats(1)->block_hits, 3u);
	cr_assert_eq(share_do(&s[2], SHARE_IN, 8, PAGE_PA, 0x4000), 0);
	holds_block(2, PAGE_PA, 8 * 512, 0x4000);
	holds_block(0, PAGE_PA, 8 * 512, 0x4000);
	share_audit(mon);
	cr_assert_eq(bench_sum(&b, "a.img"), sum);
	stop();
}

/* A page that the guest writes from: what goes to the disk is what was there when it asked, or later; never another's. */
Test(vmm_share, a_shared_page_can_be_written_to_a_disk)
{
	start(DISK_COW, TIERS_INTERP);
	for (unsigned vm = 0; vm < VMS; vm++)
		cr_assert_eq(share_do(&s[vm], SHARE_IN, 8, PAGE_PA, 0x1000), 0);
	cr_assert_eq(share_do(&s[1], SHARE_OUT, 80, PAGE_PA, 0x1000), 0);
	cr_assert_eq(stats(1)->breaks + stats(1)->taken_over, 0u, "reading it breaks nothing");
	cr_assert_eq(share_do(&s[1], SHARE_IN, 80, PAGE_PA + 0x1000, 0x1000), 0);
	holds_block(1, PAGE_PA + 0x1000, 8 * 512, 0x1000);
	stop();
}

/* ---- while a read is on its way ---- */

/* The host has nothing in memory, and its disk is as slow as the test wants. */
static sem_t gate;
static int slow;

static ssize_t slow_preadv2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	if (flags & RWF_NOWAIT) {
		errno = EAGAIN;
		return -1;
	}
	if (__atomic_load_n(&slow, __ATOMIC_ACQUIRE))
		sem_wait(&gate);
	return preadv2(fd, iov, n, off, flags);
}

static void start_slow(void)
{
	bench_init(&b);
	b.host.preadv2 = slow_preadv2;
	sem_init(&gate, 0, 0);
	bench_image(&b, "a.img", IMAGE_BYTES);
	mon = share_monitor(VMS * (uint64_t)RAM_BYTES);
	for (unsigned i = 0; i < VMS; i++)
		share_open(&s[i], mon, TIERS_INTERP, bench_disk(&b, "a.img", DISK_COW, NULL));
	__atomic_store_n(&slow, 1, __ATOMIC_RELEASE);
}

static void finish_read(unsigned vm)
{
	__atomic_store_n(&slow, 0, __ATOMIC_RELEASE);
	sem_post(&gate);
	cr_assert_eq(share_wait(&s[vm]), 0);
}

/* What a guest stores into the page that is being read into is seen by nobody else, nor by itself when the read is done. */
Test(vmm_share, a_store_into_what_is_being_read)
{
	start_slow();
	share_write(&s[0], PAGE_PA, "before", 6);
	share_ask(&s[0], SHARE_IN, 8, PAGE_PA, 0x1000);
	mem_store(&s[0].vm->vcpu->gs, 0x80000000u + PAGE_PA, 0x12345678, MEM_META(2, 0));
	share_audit(mon);
	finish_read(0);
	holds_block(0, PAGE_PA, 4096, 4096);
	mem_store(&s[0].vm->vcpu->gs, 0x80000000u + PAGE_PA + 4, 0x12345678, MEM_META(2, 0));
	cr_assert_eq(share_do(&s[1], SHARE_IN, 8, PAGE_PA, 0x1000), 0);
	holds_block(1, PAGE_PA, 4096, 4096);
	stop();
}

/* Two machines read one block at the same time: the second to end gets the first one's page. */
Test(vmm_share, two_read_one_block)
{
	uint64_t used;

	start_slow();
	share_ask(&s[0], SHARE_IN, 8, PAGE_PA, 0x1000);
	share_ask(&s[1], SHARE_IN, 8, PAGE_PA, 0x1000);
	used = share_used(&s[0]);
	finish_read(0);
	finish_read(1);
	cr_assert_eq(pmap_peek(s[0].vm->ram, gpa(PAGE_PA)), pmap_peek(s[1].vm->ram, gpa(PAGE_PA)));
	cr_assert_eq(share_used(&s[0]), used - 1);
	holds_block(1, PAGE_PA, 4096, 4096);
	stop();
}

/* A write to the block while it is read: what was read may be the new contents, which are this machine's only. */
Test(vmm_share, a_write_to_what_is_being_read)
{
	uint8_t page[PAGE_BYTES];
	struct iovec iov = {page, sizeof(page)};

	start_slow();
	memset(page, 0x5a, sizeof(page));
	share_ask(&s[0], SHARE_IN, 8, PAGE_PA, 0x1000);
	cr_assert_eq(disk_writev(s[0].disk, 4096, &iov, 1), 0);
	finish_read(0);
	cr_assert_eq(stats(0)->block_misses, 0u, "it is not the image's block");
	cr_assert_eq(share_class_pages(mon->memory, MEMORY_BLOCK), 0u);
	cr_assert_eq(share_do(&s[1], SHARE_IN, 8, PAGE_PA, 0x1000), 0);
	holds_block(1, PAGE_PA, 4096, 4096);
	cr_assert_eq(share_do(&s[0], SHARE_IN, 8, PAGE_PA, 0x1000), 0);
	cr_assert_eq(byte_at(0, PAGE_PA + 9), 0x5a);
	stop();
}

/* The machine is reset, or ends, with a read on its way: its pages go back. */
Test(vmm_share, a_reset_while_it_is_read)
{
	start_slow();
	share_ask(&s[0], SHARE_IN, 8, PAGE_PA, 0x3000);
	__atomic_store_n(&slow, 0, __ATOMIC_RELEASE);
	sem_post(&gate);
	virtio_reset(s[0].d);
	share_audit(mon);
	cr_assert_eq(share_class_pages(mon->memory, MEMORY_BLOCK), 0u);
	stop();
}

/* ---- code in shared pages ---- */

/* Image block 1: add 1 to the word at DATA_VA and end.  Every machine runs it; one patches it. */
static void put_code_block(void)
{
	uint32_t words[] = {A_LUI(T2, DATA_VA >> 16), A_LW(T0, 0, T2), A_ADDIU(T0, T0, 1), A_SW(T0, 0, T2), A_RESET};
	int fd = open(bench_path(&b, "a.img"), O_WRONLY);

	cr_assert(fd >= 0 && pwrite(fd, words, sizeof(words), 4096) == (ssize_t)sizeof(words) && !close(fd));
}

static void run(unsigned vm)
{
	s[vm].vm->end = VM_RUNS;
	s[vm].vm->vcpu->gs.pc = CODE_VA;
	vcpu_update_mode(s[vm].vm->vcpu);
	cr_assert_eq(vm_run(s[vm].vm), VM_RESET);
}

static void code(enum tiers tiers)
{
	uint32_t patched = A_ADDIU(T0, T0, 100);

	bench_init(&b);
	bench_image(&b, "a.img", IMAGE_BYTES);
	put_code_block();
	mon = share_monitor(VMS * (uint64_t)RAM_BYTES);
	for (unsigned i = 0; i < VMS; i++) {
		share_open(&s[i], mon, tiers, bench_disk(&b, "a.img", DISK_COW, NULL));
		cr_assert_eq(share_do(&s[i], SHARE_IN, 8, CODE_VA & 0x1fffffff, 4096), 0);
		run(i);
		run(i);
		cr_assert_eq(machine_word(s[i].vm, DATA_VA), 2u);
	}
	cr_assert_eq(stats(1)->block_hits, 1u);
	/* a store of the guest's own */
	mem_store(&s[1].vm->vcpu->gs, CODE_VA + 8, patched, MEM_META(2, 0));
	share_audit(mon);
	for (unsigned i = 0; i < VMS; i++) {
		run(i);
		cr_assert_eq(machine_word(s[i].vm, DATA_VA), i == 1 ? 102u : 3u, "VM %u", i);
	}
	/* and the disk puts the block there again */
	cr_assert_eq(share_do(&s[1], SHARE_IN, 8, CODE_VA & 0x1fffffff, 4096), 0);
	run(1);
	cr_assert_eq(machine_word(s[1].vm, DATA_VA), 103u);
	stop();
}

Test(vmm_share, code_interp) { code(TIERS_INTERP); }
Test(vmm_share, code_tier1) { code(TIERS_1); }
Test(vmm_share, code_tiers12) { code(TIERS_12); }

/*
 * A program that patches the instruction behind its own store, in a page that it shares: it executes what it wrote, as on a page
 * of its own.
 */
static void own_code(enum tiers tiers)
{
	uint32_t words[] = {
	    A_LUI(T2, DATA_VA >> 16), /* what to write */
	    A_LW(T0, 4, T2),
	    A_LUI(T3, CODE_VA >> 16),
	    A_ORI(T3, T3, CODE_VA & 0xffff),
	    A_SW(T0, 24, T3),
	    A_NOP,
	    A_ORI(T1, ZERO, 1), /* 24: patched */
	    A_SW(T1, 0, T2),
	    A_RESET,
	};

	start(DISK_COW, tiers);
	for (unsigned vm = 0; vm < VMS; vm++) {
		uint32_t patch = A_ORI(T1, ZERO, 50 + vm);

		machine_put(s[vm].vm, CODE_VA, words, ARRAY_LEN(words));
		pmap_share_equal(s[vm].vm->ram, gpa(CODE_VA & 0x1fffffff), PAGE_BYTES);
		machine_put(s[vm].vm, DATA_VA + 4, &patch, 1);
	}
	cr_assert_eq(pmap_peek(s[0].vm->ram, gpa(CODE_VA & 0x1fffffff))->refs, 3u);
	for (unsigned vm = 0; vm < VMS; vm++) {
		run(vm);
		cr_assert_eq(machine_word(s[vm].vm, DATA_VA), 50 + vm, "VM %u", vm);
		share_audit(mon);
	}
	stop();
}

Test(vmm_share, own_code_interp) { own_code(TIERS_INTERP); }
Test(vmm_share, own_code_tier1) { own_code(TIERS_1); }
Test(vmm_share, own_code_tiers12) { own_code(TIERS_12); }

/*
 * Translated code of one page that is linked to another page's: when that is another page all of a sudden (a store, a disk), what is
 * linked must not be gone to.  The function is the image's block 1, a machine's caller is its own.
 */
static void called_code(enum tiers tiers)
{
	enum { FUNCTION_VA = 0x80003000 };
	uint32_t function[] = {A_JR(RA), A_ADDIU(T0, T0, 1)}, patched = A_ADDIU(T0, T0, 100);
	int fd;

	bench_init(&b);
	bench_image(&b, "a.img", IMAGE_BYTES);
	fd = open(bench_path(&b, "a.img"), O_WRONLY);
	cr_assert(fd >= 0 && pwrite(fd, function, sizeof(function), 4096) == (ssize_t)sizeof(function) && !close(fd));
	mon = share_monitor(VMS * (uint64_t)RAM_BYTES);
	for (unsigned i = 0; i < VMS; i++) {
		share_open(&s[i], mon, tiers, bench_disk(&b, "a.img", DISK_COW, NULL));
		cr_assert_eq(share_do(&s[i], SHARE_IN, 8, FUNCTION_VA & 0x1fffffff, 4096), 0);
		PUT(s[i].vm, CODE_VA, A_ORI(T0, ZERO, 0), A_ORI(T1, ZERO, 50), A_JAL(FUNCTION_VA), A_NOP,
		    A_ADDIU(T1, T1, -1), A_BNE(T1, ZERO, -4), A_NOP, A_LUI(T2, DATA_VA >> 16), A_SW(T0, 0, T2),
		    A_RESET);
		run(i);
		run(i);
		cr_assert_eq(machine_word(s[i].vm, DATA_VA), 50u);
	}
	mem_store(&s[1].vm->vcpu->gs, FUNCTION_VA + 4, patched, MEM_META(2, 0));
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < VMS; i++) {
			run(i);
			cr_assert_eq(machine_word(s[i].vm, DATA_VA), i == 1 ? 5000u : 50u, "VM %u", i);
		}
	cr_assert_eq(share_do(&s[1], SHARE_IN, 8, FUNCTION_VA & 0x1fffffff, 4096), 0);
	run(1);
	cr_assert_eq(machine_word(s[1].vm, DATA_VA), 50u);
	stop();
}

Test(vmm_share, called_code_interp) { called_code(TIERS_INTERP); }
Test(vmm_share, called_code_tier1) { called_code(TIERS_1); }
Test(vmm_share, called_code_tiers12) { called_code(TIERS_12); }

/* ---- everything at once ---- */

enum { FIRST_GPN = 256, PAGES = 48, REGION = PAGES * PAGE_BYTES, SPACES = 3, PAIRS = 8, KUSEG = 0x400000 };

struct load {
	uint32_t x;
	uint8_t memory[VMS][REGION], image[VMS][IMAGE_BYTES];
	uint32_t pair[VMS][SPACES][PAIRS]; /* pages of the region, by address space and pair of pages in it */
	unsigned asid[VMS];
	uint64_t answered;
};

static uint32_t roll(struct load *l, uint32_t n)
{
	l->x = l->x * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)(l->x >> 4) * n >> 28);
}

static void map_pair(struct load *l, unsigned vm, unsigned asid, unsigned k)
{
	uint32_t page = roll(l, PAGES / 2) * 2, pa = (FIRST_GPN + page) << 12;

	l->pair[vm][asid][k] = page;
	machine_map(s[vm].vm, asid * PAIRS + k, (KUSEG + k * 0x2000) | asid, LO(pa, LO_V | LO_D | 3 << 3),
		    LO(pa + 4096, LO_V | LO_D | 3 << 3));
}

static void transfer(struct load *l, unsigned vm)
{
	bool aligned = roll(l, 4), write = !roll(l, 3);
	uint32_t sectors = aligned ? 8 * (1 + roll(l, 4)) : 1 + roll(l, 30);
	uint64_t sector = aligned ? 8ull * roll(l, IMAGE_BYTES / 4096 - 4) : roll(l, IMAGE_BYTES / 512 - 30);
	uint64_t at = aligned ? 4096ull * roll(l, PAGES - 4) : roll(l, REGION - 30 * 512);
	uint8_t *memory = l->memory[vm] + at, *image = l->image[vm] + sector * 512;

	uint8_t status =
	    share_do(&s[vm], write ? SHARE_OUT : SHARE_IN, sector, FIRST_GPN * PAGE_BYTES + at, sectors * 512);

	cr_assert_eq(status, 0, "%d: write %d, sector %lu, %u sectors, at %lx", status, write, sector, sectors, at);
	if (write)
		memcpy(image, memory, 512 * sectors);
	else
		memcpy(memory, image, 512 * sectors);
}

/* A word, through KSEG0 or an address space. */
static void access_word(struct load *l, unsigned vm)
{
	struct guest_state *gs = &s[vm].vm->vcpu->gs;
	unsigned k = roll(l, PAIRS);
	uint32_t in = roll(l, 2048) * 4, va, at, value = roll(l, 0xfffffff);

	if (roll(l, 2)) {
		at = roll(l, REGION / 4) * 4;
		va = 0x80000000u + FIRST_GPN * 4096 + at;
	} else {
		at = l->pair[vm][l->asid[vm]][k] * 4096 + in;
		va = KUSEG + k * 0x2000 + in;
	}
	if (roll(l, 3)) {
		uint32_t want;

		memcpy(&want, l->memory[vm] + at, 4);
		cr_assert_eq((uint32_t)mem_load(gs, va, MEM_META(2, 0), 0), want, "VM %u %x", vm, va);
		l->answered++;
		return;
	}
	mem_store(gs, va, value, MEM_META(2, 0));
	memcpy(l->memory[vm] + at, &value, 4);
}

static void one_operation(struct load *l, unsigned vm)
{
	struct vcpu *v = s[vm].vm->vcpu;
	uint32_t op = roll(l, 32), page;

	if (op < 8) {
		transfer(l, vm);
	} else if (op < 10) {
		map_pair(l, vm, roll(l, SPACES), roll(l, PAIRS));
	} else if (op < 13) {
		l->asid[vm] = roll(l, SPACES);
		v->gs.cp0[CP0_EntryHi] = l->asid[vm];
		vcpu_update_mode(v);
	} else if (op == 13) {
		page = roll(l, PAGES);
		s[vm].d->host.release(s[vm].d->host.opaque, gpa((uint64_t)(FIRST_GPN + page) << 12), PAGE_BYTES);
		memset(l->memory[vm] + page * 4096, 0, 4096);
	} else if (op == 14) { /* as over a network: what another machine has */
		page = roll(l, PAGES);
		memcpy(l->memory[vm] + page * 4096, l->memory[(vm + 1) % VMS] + page * 4096, 4096);
		share_write(&s[vm], (uint64_t)(FIRST_GPN + page) << 12, l->memory[vm] + page * 4096, 4096);
	} else if (op == 15) {
		for (unsigned i = 0; i < 3 * VMS; i++)
			pmap_merge(s[i % VMS].vm->ram, RAM_BYTES >> PAGE_SHIFT);
	} else {
		for (unsigned i = 0; i < 8; i++)
			access_word(l, vm);
	}
}

static void check_all(const struct load *l)
{
	static uint8_t now[REGION];

	for (unsigned vm = 0; vm < VMS; vm++) {
		cr_assert_eq(pmap_read(s[vm].vm->ram, gpa(FIRST_GPN * PAGE_BYTES), now, REGION), 0);
		for (unsigned i = 0; i < REGION; i++)
			cr_assert_eq(now[i], l->memory[vm][i], "VM %u, byte %x", vm, i);
	}
}

/* every: one operation in so many is looked at. */
static void random_load(unsigned rounds, uint32_t seed, unsigned every)
{
	static struct load l;
	uint64_t sum;

	l = (struct load){.x = seed};
	start(DISK_COW, TIERS_INTERP);
	sum = bench_sum(&b, "a.img");
	for (unsigned vm = 0; vm < VMS; vm++) {
		for (uint64_t i = 0; i < IMAGE_BYTES; i++)
			l.image[vm][i] = pattern(i);
		for (unsigned a = 0; a < SPACES; a++)
			for (unsigned k = 0; k < PAIRS; k++)
				map_pair(&l, vm, a, k);
	}
	for (unsigned r = 0; r < rounds; r++) {
		unsigned vm = roll(&l, VMS), other = (vm + 1) % VMS;
		bool look = !roll(&l, every);
		uint64_t hash = look ? pmap_hash(s[other].vm->ram) : 0;

		one_operation(&l, vm);
		if (look) {
			cr_assert_eq(pmap_hash(s[other].vm->ram), hash, "VM %u saw VM %u's work", other, vm);
			share_audit(mon);
		}
		if (r % 512 == 0)
			check_all(&l);
	}
	check_all(&l);
	for (unsigned vm = 0; vm < VMS; vm++) {
		cr_assert_gt(stats(vm)->block_hits, 10u);
		cr_assert_gt(stats(vm)->breaks, 2u);
		cr_assert_gt(stats(vm)->taken_over, 5u);
		cr_assert_gt(stats(vm)->merged, 5u);
		cr_assert_eq(s[vm].vm->end, VM_RUNS);
	}
	cr_assert_eq(bench_sum(&b, "a.img"), sum, "the image is as it was");
	stop();
}

Test(vmm_share, random_load_1) { random_load(6000, 1, 8); }
Test(vmm_share, random_load_2) { random_load(6000, 77, 8); }
Test(vmm_share, random_load_each_looked_at) { random_load(2000, 5, 1); }
