/* SPDX-License-Identifier: MIT */
#ifndef VMM_DUMP_AGAIN_H
#define VMM_DUMP_AGAIN_H

/*
 * What `disco run --dump` has shown before: a block or region that comes again says why, and which other modes the same
 * code was translated in.  It remembers the last one in each mode; of two places that share a row, the later one (so a
 * heading may lack the reason, but has no wrong one).
 */
#include "base/panic.h"
#include "base/types.h"

#define DUMP_AGAIN_BYTES 256

struct dump_again;

/* What is about to be shown. */
struct dump_shown {
	uint64_t pc;
	uint8_t tier;     /* enum tier */
	bool region;      /* else block */
	uint32_t mode;    /* enum ir_mode */
	uint32_t page;    /* machine page number */
	uint64_t code;    /* hash of the guest words */
	uint32_t n_guest; /* of a block */
	uint32_t n_blocks;
	uint64_t head;        /* of a block of tier 2: pc of the region that it was lifted for */
	uint64_t flushes;     /* jit_stats: code memory was dropped */
	uint64_t invalidated; /* translations were dropped by writes */
};

/* NULL: no host memory. */
struct dump_again *dump_again_new(void);
void dump_again_free(struct dump_again *a);
/* Remember it; text: what its heading adds, "" for nothing. */
void dump_again_note(struct dump_again *a, const struct dump_shown *now, char text[DUMP_AGAIN_BYTES]);

#endif
