/* SPDX-License-Identifier: MIT */
#ifndef VMM_REPLAY_JOURNAL_H
#define VMM_REPLAY_JOURNAL_H

/*
 * What a machine of a repeatable run has heard from outside, in order; and the file of it (--record, --replay):
 *
 *     disco recording 1              lines of text, "KEY VALUE": what the run depends on
 *     build 1f0a...
 *     kernel 9c21...
 *                                    an empty line
 *     struct journal_on_disk, bytes  for each event; each has a checksum over itself and all that came before
 *
 * Native byte order: a recording is for one build.  One thread at a time.
 */
#include <stdio.h>

#include "base/panic.h"
#include "base/types.h"

enum journal_kind {
	JOURNAL_BOOT,    /* a machine begins */
	JOURNAL_CONSOLE, /* bytes that the console's UART has taken */
	JOURNAL_END,     /* it has ended: struct journal_end */
	JOURNAL_FRAME,   /* one for a network card: the card's number, and what net_tape_take() gave */
	JOURNAL_KINDS
};
enum { JOURNAL_MAX_BYTES = 1 << 20 }; /* of one event */

/*
 * A moment of a machine's: in ns of its time, which is instructions executed and what was skipped, and how many exceptions it has taken,
 * since these take no time.  Where a turn of the dispatch loop begins, no two of a boot are the same that differ in anything else.
 */
struct journal_place {
	uint64_t ns, exceptions;
};

struct journal_end {
	uint32_t why;    /* enum vm_end */
	uint8_t outside; /* somebody outside wanted it */
	uint8_t again;   /* another boot follows */
	uint8_t zero[2];
	uint64_t insns, state; /* clock_insns(), vm_state_hash() */
};

struct journal_event {
	enum journal_kind kind;
	struct journal_place at;
	uint32_t pc; /* where the vCPU stands: to see that it is the same run */
	uint32_t bytes;
	size_t data; /* offset in journal.data */
};

struct journal {
	size_t n, room;
	struct journal_event *event;
	size_t bytes, data_room;
	uint8_t *data;

	FILE *out; /* --record; or NULL */
	int lost;  /* errno of the first write that failed */
	uint64_t check;
};

static inline const uint8_t *journal_data(const struct journal *j, const struct journal_event *e)
{
	return j->data + e->data;
}

/* Adds one, to the file too.  0 or -ENOMEM. */
MUST_CHECK int journal_add(struct journal *j, const struct journal_event *e, const void *data);

struct journal_error {
	char text[512]; /* one line: "FILE: what is wrong with it" */
};
/* A new file, which must not exist, for what is added from now on.  header: lines, without the first and the empty one.  0 or -errno. */
MUST_CHECK int journal_create(struct journal *j, const char *path, const char *header, struct journal_error *err);
/*
 * All of a file.  It is refused if its header is not that one (err says which line is another), or if anything of it is missing or damaged.
 * 0 or -errno.
 */
MUST_CHECK int journal_load(struct journal *j, const char *path, const char *header, struct journal_error *err);
/* Frees what it has; errno of output that was lost, or 0. */
int journal_close(struct journal *j);

#endif
