/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ISOLATION_H
#define TESTS_ISOLATION_H

/*
 * A hostile machine beside one that computes, in one monitor.
 *
 *   attack.c    machine A: random instruction streams in kernel and user mode, random virtio rings; made anew again and again
 *   victim.c    machine B, which computes; canaries in all of its pages, around them, in the monitor, around A's own structures
 *   isolation.c the inputs, one after the other, and what comes of it
 */
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/vm.h"

enum {
	ISOLATION_RAM_BYTES = 4 << 20,
	ISOLATION_BLOCKS = 64, /* of the image that both machines have */
};

/* Files of the run; `outside` lies beside what A may see. */
struct scratch {
	char dir[100], disk[120], image[120], share[120], outside[120];
};

struct random {
	uint64_t state;
};

/* splitmix64 */
static inline uint64_t random_next(struct random *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}
static inline uint32_t random_below(struct random *r, uint32_t n)
{
	return (uint32_t)((random_next(r) >> 32) * n >> 32);
}

struct vm *isolation_machine(struct monitor *mon, bool tier1, bool tier2);

/* ---- attack.c ---- */
struct attack_counts {
	uint64_t inputs, machines;
	uint64_t ends[VM_NO_MEMORY + 1]; /* by enum vm_end; VM_QUIT: its time was over */
	uint64_t insns, exceptions;
	uint64_t rings, kicks, broken; /* offered chains; queues that were notified; devices that gave up */
	uint64_t requests;             /* done: entries of used rings */
	uint64_t frames;               /* that came over the lan */
};
struct attack;
/* NULL: the host lacks something, which was said. */
struct attack *attack_new(struct monitor *mon, const struct scratch *s, bool tier1, bool tier2);
/* The input of that number: the same seed, the same input, if what came before it since the machine was made is too. */
void attack_input(struct attack *a, uint64_t seed);
/* Machine A goes, and the next input makes another one. */
void attack_forget_machine(struct attack *a);
const struct attack_counts *attack_counts(const struct attack *a);
void attack_free(struct attack *a);

/* ---- victim.c ---- */
/* The image of which both machines have blocks; and whether it is still so. */
bool victim_make_image(const char *path, uint64_t seed);
bool victim_image_is(const char *path, uint64_t seed);
struct victim;
struct victim *victim_new(struct monitor *mon, const struct scratch *s, uint64_t seed, bool tier1, bool tier2);
/* Stop everybody, and look: how many canaries have changed; the first one, or what an audit says, as text. */
unsigned victim_check(struct victim *v, char *text, size_t bytes);
/* Rounds that it has done so far. */
uint64_t victim_rounds(struct victim *v);
/* Let it end. False: its result is not right, which is said. */
bool victim_end(struct victim *v);
void victim_free(struct victim *v);

#endif
