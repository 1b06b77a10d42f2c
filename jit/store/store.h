/* SPDX-License-Identifier: MIT */
#ifndef JIT_STORE_STORE_H
#define JIT_STORE_STORE_H

/*
 * The translation store: blocks of tier 1 that earlier runs have made, in files of a folder that is this user's alone.  README.md
 * beside this file says what is in them and why nothing there is believed.
 *
 * One for a process.  Every function is for any thread, but store_open(), store_begin() and store_close().
 */
#include "base/panic.h"
#include "base/types.h"

struct store;

#define STORE_MIN_BYTES     (1ull << 20)
#define STORE_MAX_BYTES     (16ull << 30)
#define STORE_DEFAULT_BYTES (512ull << 20)

struct store_config {
	const char *folder; /* made if it is not there; its parent must be */
	uint64_t
	    bytes; /* of all files together, from STORE_MIN_BYTES to STORE_MAX_BYTES: what was not used for longest goes */
	/* What the user should know, one line; at most once.  Any thread. */
	void (*warn)(void *opaque, const char *text);
	void *opaque;
};

struct store_error {
	char text[512];
};

struct store_stats {
	uint64_t known;   /* blocks in the file when it was opened */
	uint64_t taken;   /* of them, used by this process */
	uint64_t damaged; /* of them, not what they should be */
	uint64_t added;   /* blocks that this process has written, or is about to */
};

/* A block, as it is looked for: guest code at an offset of a page. */
struct store_place {
	uint64_t abs_page; /* MODE_ABS: gva of the page; else 0 */
	uint32_t mode;
	uint32_t off;
};

/*
 * 0 or -errno, with the reason in err: the folder is another user's, others may write to it, or it cannot be made.
 * Nothing is read yet.  SIGXFSZ is ignored in the process from then on, if nobody handles it.
 */
MUST_CHECK int store_open(struct store **out, const struct store_config *cfg, struct store_error *err);
/*
 * What stores of this host's processor and this build have that fits `flavour`: whatever else the code depends on.  Once.  Cost: an
 * index entry of 32 bytes for each block there is.  False: this build cannot be told from others, so there is none.
 */
bool store_begin(struct store *s, const void *flavour, size_t flavour_bytes);
/* Writes what is new. Takes as long as the folder's disk, but does not wait for another process for longer than a second. NULL: none. */
void store_close(struct store *s);

/*
 * The bytes of a block whose guest words are those of the page: [*bytes], which live until the next call with this store; NULL: it has
 * none.  They are what was given to store_add(), unless two different ones have the same hash of 64 bits.  The caller has a lock that
 * all who call this share.
 */
const void *store_find(struct store *s, const struct store_place *at, const void *page, uint32_t *bytes);
/* Is it known already, or being written? */
bool store_has(struct store *s, const struct store_place *at, const uint32_t *words, uint32_t n_words);
/*
 * To be written, soon.  words: as they are in memory, of the whole block.  Bytes are copied.  Drops it if memory is short.
 * Cost: a copy; the disk is another thread's.
 */
void store_add(struct store *s, const struct store_place *at, const uint32_t *words, uint32_t n_words,
	       const void *block, uint32_t bytes);

struct store_stats store_stats(struct store *s);

#endif
