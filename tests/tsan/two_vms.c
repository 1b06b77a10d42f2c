/* SPDX-License-Identifier: MIT */
/*
 * Two machines of one monitor in two threads, each with its tier 2 compiler and its clock beside it, and a third thread
 * that ends a machine from outside.  Not a Criterion program: it is made to run under TSan, whose runtime does not get
 * along with Criterion's forks.  The guest's checksum is compared with the same computation in C.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frontend/cp0.h"
#include "vmm/boot/loader.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/vm.h"

#define OUTER         8000000u /* calls; 2800 million instructions: seconds, so that LLVM has its turn on a busy host */
#define INNER         32u
#define FUNCTIONS     8u
#define RAM_BYTES     (4u << 20)
#define PATCH_EVERY   65536u
#define MAIN_GPA      0x00100000u
#define FUNCTIONS_GPA 0x00110000u /* one every 256 bytes */
#define DATA_HI       0x8012u
#define PATCHED       3u  /* this function's ADDIU is written to while the machine runs */
#define ADDIU_OFF     12u /* of it in a function */

enum reg { R0 = 0, V0 = 2, T0 = 8, T1, T2, T3, T4, T5, T6, S0 = 16, S1, RA = 31 };

static uint32_t op_i(uint32_t op, uint32_t rs, uint32_t rt, int32_t imm)
{
	return op << 26 | rs << 21 | rt << 16 | ((uint32_t)imm & 0xffff);
}
static uint32_t op_r(uint32_t rs, uint32_t rt, uint32_t rd, uint32_t sa, uint32_t fn)
{
	return rs << 21 | rt << 16 | rd << 11 | sa << 6 | fn;
}
static uint32_t addiu(uint32_t rt, uint32_t rs, int32_t imm) { return op_i(9, rs, rt, imm); }
static uint32_t andi(uint32_t rt, uint32_t rs, int32_t imm) { return op_i(12, rs, rt, imm); }
static uint32_t lui(uint32_t rt, int32_t imm) { return op_i(15, 0, rt, imm); }
static uint32_t lw(uint32_t rt, uint32_t base, int32_t off) { return op_i(35, base, rt, off); }
static uint32_t sw(uint32_t rt, uint32_t base, int32_t off) { return op_i(43, base, rt, off); }
static uint32_t addu(uint32_t rd, uint32_t rs, uint32_t rt) { return op_r(rs, rt, rd, 0, 0x21); }
/* words from the delay slot on */
static uint32_t bnez(uint32_t rs, int32_t words) { return op_i(5, rs, R0, words); }

static const uint32_t branch_to_self = 0x1000ffff;

/* Call one of the functions, OUTER times; every PATCH_EVERYth time, add 1 to an immediate in one. */
static void put_main(struct pmap *ram)
{
	const uint32_t patch_off = PATCHED * 256 + ADDIU_OFF;
	const uint32_t code[] = {
	    lui(S1, DATA_HI),
	    addiu(V0, R0, 1),
	    lui(S0, OUTER >> 16),
	    op_i(13, S0, S0, OUTER & 0xffff), /* ori */
	    andi(T0, S0, FUNCTIONS - 1),
	    op_r(0, T0, T0, 8, 0), /* sll */
	    lui(T1, 0x8011),
	    addu(T1, T1, T0),
	    op_r(T1, 0, RA, 0, 9), /* jalr */
	    0,
	    andi(T0, S0, PATCH_EVERY - 1),
	    bnez(T0, 5),
	    lui(T1, 0x8011),
	    lw(T2, T1, (int32_t)patch_off),
	    addiu(T2, T2, 1),
	    sw(T2, T1, (int32_t)patch_off),
	    0,
	    addiu(S0, S0, -1),
	    bnez(S0, -15),
	    0,
	    lui(T0, 0xbf00), /* SOFTRES: Malta User's Manual, "Software reset" */
	    addiu(T1, R0, 0x42),
	    sw(T1, T0, 0x500),
	    branch_to_self,
	    0,
	};

	if (pmap_write(ram, gpa(MAIN_GPA), code, sizeof(code)))
		abort();
}

static void put_function(struct pmap *ram, uint32_t k)
{
	const uint32_t code[] = {
	    addiu(T3, R0, INNER),
	    op_r(0, V0, T4, 5, 0),     /* sll */
	    op_r(T4, V0, V0, 0, 0x23), /* subu */
	    addiu(V0, V0, (int32_t)k),
	    andi(T5, V0, 0xffc),
	    addu(T5, T5, S1),
	    lw(T6, T5, 0),
	    addu(T6, T6, V0),
	    sw(T6, T5, 0),
	    op_r(V0, T6, V0, 0, 0x26), /* xor */
	    addiu(T3, T3, -1),
	    bnez(T3, -11),
	    0,
	    op_r(RA, 0, 0, 0, 8), /* jr */
	    0,
	};

	if (pmap_write(ram, gpa(FUNCTIONS_GPA + 256 * k), code, sizeof(code)))
		abort();
}

/* What the guest computes. */
static uint32_t expected(void)
{
	uint32_t data[1024] = {0}, v = 1, imm[FUNCTIONS];

	for (uint32_t k = 0; k < FUNCTIONS; k++)
		imm[k] = k;
	for (uint32_t n = OUTER; n; n--) {
		for (uint32_t i = 0; i < INNER; i++) {
			uint32_t *d;

			v = v * 31 + imm[n % FUNCTIONS];
			d = &data[(v & 0xffc) / 4];
			*d += v;
			v ^= *d;
		}
		if (n % PATCH_EVERY == 0)
			imm[PATCHED]++;
	}
	return v;
}

static size_t no_input(void *opaque, uint8_t *data, size_t n, int *end)
{
	*end = 1;
	return 0;
}

static void nothing(void *opaque) {}

static struct vm *machine_make(struct monitor *mon, uint32_t entry)
{
	struct vm_config cfg = {
	    .ram_bytes = RAM_BYTES,
	    .cpu = cpu_model_find("max"),
	    .count_insns = true,
	    .tier1 = true,
	    .tier2 = true,
	    .code_bytes = 16u << 20,
	    .hot_threshold = 50,
	    .input_fd = -1,
	    .console_rx = no_input,
	    .idle = nothing,
	};
	size_t n;
	const struct loader_poke *poke = loader_yamon_pokes(&n);
	struct vm *vm;
	bool claimed;
	int err = vm_new(&vm, mon, &cfg);

	if (err) {
		fprintf(stderr, "two_vms: vm_new: %s\n", strerror(-err));
		exit(2);
	}
	for (size_t i = 0; i < n; i++)
		board_write(vm->board, gpa(poke[i].pa), poke[i].value, 4, &claimed);
	put_main(vm->ram);
	for (uint32_t k = 0; k < FUNCTIONS; k++)
		put_function(vm->ram, k);
	vm->vcpu->gs.pc = entry;
	vm->vcpu->gs.cp0[CP0_Status] = ST_BEV | ST_CU0;
	return vm;
}

struct job {
	struct monitor *mon;
	uint32_t want;
	int failed;
};

static void *compute(void *arg)
{
	struct job *job = arg;
	struct vm *vm = machine_make(job->mon, 0x80000000u | MAIN_GPA);
	enum vm_end why = vm_run(vm);
	const struct guest_state *gs = &vm->vcpu->gs;
	const struct jit_stats s = jit_stats(vm->vcpu->jit);

	if (why != VM_RESET || (uint32_t)gs->reg[V0] != job->want) {
		fprintf(stderr, "two_vms: end %d, checksum %08x, wanted %d and %08x\n", (int)why, (uint32_t)gs->reg[V0],
			(int)VM_RESET, job->want);
		job->failed = 1;
	}
	if (s.regions == 0 || gs->insns[TIER_2] == 0 || s.invalidated == 0) {
		fprintf(stderr,
			"two_vms: %lu regions, %lu instructions in tier 2, %lu invalidated: nothing was tested\n",
			(unsigned long)s.regions, (unsigned long)gs->insns[TIER_2], (unsigned long)s.invalidated);
		job->failed = 1;
	}
	printf("two_vms: tier 1 %lu, tier 2 %lu instructions, %lu regions, %lu invalidated\n",
	       (unsigned long)gs->insns[TIER_1], (unsigned long)gs->insns[TIER_2], (unsigned long)s.regions,
	       (unsigned long)s.invalidated);
	vm_free(vm);
	return NULL;
}

static void *end_from_outside(void *arg)
{
	struct timespec ms50 = {.tv_nsec = 50000000};

	nanosleep(&ms50, NULL);
	vm_end(arg, VM_QUIT);
	return NULL;
}

/* A guest that never ends is ended by another thread. */
static int quit(struct monitor *mon)
{
	struct vm *vm = machine_make(mon, 0x80000000u | MAIN_GPA);
	pthread_t other;
	enum vm_end why;

	if (pmap_write(vm->ram, gpa(MAIN_GPA), &branch_to_self, sizeof(branch_to_self)) ||
	    pthread_create(&other, NULL, end_from_outside, vm))
		abort();
	why = vm_run(vm);
	pthread_join(other, NULL);
	vm_free(vm);
	if (why == VM_QUIT)
		return 0;
	fprintf(stderr, "two_vms: end %d from outside, wanted %d\n", (int)why, (int)VM_QUIT);
	return 1;
}

int main(void)
{
	struct job job[2];
	pthread_t thread[2];
	struct monitor *mon;
	int failed = 0;

	if (monitor_new(&mon, &(struct monitor_config){.memory_bytes = 2 * RAM_BYTES, .nodes = 2}))
		abort();
	for (unsigned i = 0; i < 2; i++) {
		job[i] = (struct job){.mon = mon, .want = expected()};
		if (pthread_create(&thread[i], NULL, compute, &job[i]))
			abort();
	}
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
		failed |= job[i].failed;
	}
	failed |= quit(mon);
	monitor_free(mon);
	return failed;
}
