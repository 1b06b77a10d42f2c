/* SPDX-License-Identifier: MIT */
#ifndef TESTS_GUEST_REGION_H
#define TESTS_GUEST_REGION_H

/* What two machines do in the first page of a region: of region.c (no operating system) and region_linux.c (a program). */
#include <stdint.h>

enum { SLOTS = 1024 - 64 };

/* Offsets are those of lines of a cache: what one writes while the other does is not on one of them. */
struct shared {
	volatile uint32_t here[2];
	uint32_t pad0[14];
	volatile uint32_t turn;
	uint32_t pad1[15];
	volatile uint32_t counter;
	uint32_t pad2[15];
	volatile uint32_t done;
	uint32_t pad3[15];
	volatile uint32_t data[SLOTS];
};

static inline void sync(void) { __asm__ volatile("sync" ::: "memory"); }

static inline void add_one(volatile uint32_t *at)
{
	uint32_t v;

	__asm__ volatile(".set push\n\t.set noreorder\n"
			 "1:\tll %0, %1\n\t"
			 "addiu %0, %0, 1\n\t"
			 "sc %0, %1\n\t"
			 "beqz %0, 1b\n\t"
			 "nop\n\t"
			 ".set pop"
			 : "=&r"(v), "+m"(*at)::"memory");
}

/* me: 0 or 1 */
static inline void meet(struct shared *s, uint32_t me)
{
	s->here[me] = 1;
	while (!s->here[!me])
		;
}

/* Hand the flag to and fro, each time with a word behind it: how many of those were not what they should be. */
static inline uint32_t exchange(struct shared *s, uint32_t me, uint32_t rounds)
{
	uint32_t bad = 0;

	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t slot = i % SLOTS;

		if (i % 2 == me) {
			s->data[slot] = i * 2654435761u;
			sync();
			s->turn = i + 1;
		} else {
			while (s->turn != i + 1)
				;
			sync();
			bad += s->data[slot] != i * 2654435761u;
		}
	}
	return bad;
}

/* Both add to one counter at the same time; on return both have. */
static inline void count(struct shared *s, uint32_t times)
{
	for (uint32_t i = 0; i < times; i++)
		add_one(&s->counter);
	sync();
	add_one(&s->done);
	while (s->done != 2)
		;
	sync();
}

#endif
