/* SPDX-License-Identifier: MIT */
#ifndef JIT_WINDOW_H
#define JIT_WINDOW_H

/*
 * LOADs and STOREs that one L2TLB probe does for: they are off one value, close to each other, and nothing between them can
 * change where a page is.  The first one probes, and finds out whether all bytes of the window are in that page; the others
 * use what it found.  Found at compile time, per block; whether it is so, at run time.
 *
 *	lw t0, 8(sp)   first: probe, and is [sp, sp + 16) in this page?
 *	sw t1, 12(sp)  member, if the page may be written too
 *	lw t2, 0(sp)   member
 */
#include "ir/ir.h"

enum {
	WINDOW_MAX = 48,   /* of a block; what comes then is probed */
	WINDOW_LIVE = 4,   /* at a time */
	WINDOW_SPAN = 512, /* bytes; a longer one is the less likely in one page */
};

struct window {
	ir_ref base;          /* IR_NONE: the addresses are constants */
	int64_t lo, hi;       /* off the base: bytes lo .. hi - 1 */
	int64_t first_off;    /* of the first access */
	uint8_t align_log2;   /* of the first access's address; then all are aligned */
	bool reads, writes;   /* what they do */
	uint16_t n;           /* accesses: 2 or more */
	uint16_t first, last; /* IR instructions */
};

struct windows {
	unsigned n;
	struct window w[WINDOW_MAX];
	uint8_t of[IR_MAX_INS]; /* window of a LOAD or STORE and one more, or 0 */
};

/* log2 of the bytes that a LOAD or STORE accesses. */
unsigned window_size_log2(uint8_t op);
bool window_is_store(uint8_t op);
/* Cost O(instructions). */
void windows_find(struct windows *ws, const struct ir_block *b);
/* The window of instruction i, or NULL. */
static inline const struct window *window_of(const struct windows *ws, uint32_t i)
{
	return ws->of[i] ? &ws->w[ws->of[i] - 1] : NULL;
}
/* Does instruction i, a LOAD or STORE, probe? */
static inline bool window_probes(const struct windows *ws, uint32_t i)
{
	return !ws->of[i] || window_of(ws, i)->first == i;
}

#endif
