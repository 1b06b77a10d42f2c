/* SPDX-License-Identifier: MIT */
#include "numa/flash/controller.h"

#include <string.h>

#define WORDS (CONTROLLER_WINDOW_SLOTS / 64)

static uint64_t *word_of(struct controller *c, uint64_t slot) { return &c->taken[slot / 64 % WORDS]; }

/* Remember slot too: the window ends with its word, and forgets what is before that. */
static void reach(struct controller *c, uint64_t slot)
{
	uint64_t end = (slot / 64 + 1) * 64, words;

	if (end <= c->start + CONTROLLER_WINDOW_SLOTS)
		return;
	words = (end - CONTROLLER_WINDOW_SLOTS - c->start) / 64;
	if (words >= WORDS)
		memset(c->taken, 0, sizeof(c->taken));
	else
		for (uint64_t i = 0; i < words; i++)
			*word_of(c, c->start + i * 64) = 0;
	c->start = end - CONTROLLER_WINDOW_SLOTS;
}

/* The lowest n of the bits; all, if there are no more. */
static uint64_t lowest(uint64_t bits, unsigned n)
{
	uint64_t rest = bits;

	while (n-- && rest)
		rest &= rest - 1;
	return bits & ~rest;
}

uint64_t controller_request(struct controller *c, uint64_t at, uint64_t cycles)
{
	uint64_t first = at / CONTROLLER_SLOT_CYCLES, slot = first, last = first, waited;
	uint64_t slots = (cycles + CONTROLLER_SLOT_CYCLES - 1) / CONTROLLER_SLOT_CYCLES;

	if (!slots)
		return 0;
	c->requests++;
	c->busy += slots * CONTROLLER_SLOT_CYCLES;
	if (first < c->start) {
		c->unqueued++;
		return 0;
	}
	if (slots + slot % 64 <= 64) { /* the usual case: all of them are free, in one word */
		uint64_t run = (slots < 64 ? ((uint64_t)1 << slots) - 1 : ~0ull) << slot % 64;

		reach(c, slot);
		if (!(*word_of(c, slot) & run)) {
			*word_of(c, slot) |= run;
			return 0;
		}
	}
	for (uint64_t left = slots; left; slot = (slot / 64 + 1) * 64) {
		uint64_t *word, take;

		reach(c, slot);
		word = word_of(c, slot);
		take = lowest(~*word & ~0ull << slot % 64, left < 64 ? (unsigned)left : 64);
		if (!take)
			continue;
		*word |= take;
		left -= (unsigned)__builtin_popcountll(take);
		last = slot / 64 * 64 + 63 - (unsigned)__builtin_clzll(take);
	}
	waited = (last + 1 - first - slots) * CONTROLLER_SLOT_CYCLES;
	c->waited += waited;
	return waited;
}
