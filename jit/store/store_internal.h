/* SPDX-License-Identifier: MIT */
#ifndef JIT_STORE_STORE_INTERNAL_H
#define JIT_STORE_STORE_INTERNAL_H

/*
 * A file of the store, and what is known of it in memory.  Nobody outside jit/store/ includes this, except tests/unit/.
 *
 *	file     segment ...                         each added at once, by one process, with the folder locked
 *	segment  struct store_head
 *	         struct store_row [n]                what is in it
 *	         uint32_t [n], filled up to 8        minutes since 1970 when each was used last; no checksum
 *	         blocks, each at a multiple of 8     uint64_t checksum of what follows, seeded with the key; the block
 *
 * Native byte order: a file is of one build.
 */
#include <pthread.h>
#include <xxhash.h>

#include "jit/store/store.h"

#define STORE_FORMAT 1u
#define STORE_MAGIC  0x314f435349440a1aull
#define STORE_SUFFIX ".code"
#define STORE_TMP    ".tmp"

struct store_key {
	XXH128_hash_t hash;
};

struct store_head {
	uint64_t magic;
	XXH128_hash_t key;
	uint64_t n_rows;
	uint64_t bytes; /* of the blocks */
	uint64_t rows;  /* checksum of the rows */
	uint64_t head;  /* checksum of what stands above */
};
_Static_assert(sizeof(struct store_head) == 56, "no holes: it is hashed as it stands");

/* Blocks are of at most that many bytes and words. */
#define STORE_BLOCK_MAX (1u << 20)
#define STORE_WORDS_MAX 255u

struct store_row {
	uint64_t words;   /* hash of place and guest words */
	uint64_t at;      /* of the block's checksum, from the segment's first block */
	uint32_t first;   /* hash of place and first word: the block is found by this */
	uint32_t n_words; /* in the low 8 bits; above, bytes of the block */
};
_Static_assert(sizeof(struct store_row) == 24, "no holes: it is hashed as it stands");

static inline uint32_t store_row_words(const struct store_row *r) { return r->n_words & STORE_WORDS_MAX; }
static inline uint32_t store_row_bytes(const struct store_row *r) { return r->n_words >> 8; }
/* With its checksum. */
static inline uint64_t store_row_room(uint32_t bytes) { return 8 + (((uint64_t)bytes + 7) & ~7ull); }
static inline uint64_t store_used_bytes(uint64_t n) { return (4 * n + 7) & ~7ull; }
static inline uint64_t store_blocks_at(uint64_t segment_at, uint64_t n)
{
	return segment_at + sizeof(struct store_head) + n * sizeof(struct store_row) + store_used_bytes(n);
}

/* ---- in memory ---- */

enum known_state {
	KNOWN_GONE,    /* damaged, or another one has taken its place */
	KNOWN_IN_FILE, /* can be read */
	KNOWN_ADDED,   /* by this process: written, or about to be */
};

struct known {
	uint64_t words;
	uint64_t at; /* KNOWN_IN_FILE: in the file */
	uint32_t first, n_words;
	uint32_t next;      /* of the same bucket, 0: none */
	uint32_t used : 29; /* minutes since 1970, when the file was opened */
	uint32_t state : 2; /* enum known_state */
	uint32_t taken : 1; /* by this process */
};
_Static_assert(sizeof(struct known) == 32, "a hundred thousand of them");

struct store_segment {
	uint64_t at;       /* in the file */
	uint32_t first, n; /* its blocks in known[] */
};

/* New blocks, before they are written. */
struct store_batch {
	struct store_row *row;
	uint32_t n, room;
	uint8_t *block;
	uint64_t bytes, bytes_room;
};

enum { STORE_WINDOWS = 16, STORE_WINDOW_BYTES = 32768 };

/* A stretch of the file as it was when it was read: what is validated is what is used, whatever happens to the file. */
struct store_window {
	uint64_t at;
	uint32_t bytes;
	uint8_t data[STORE_WINDOW_BYTES];
};

struct store {
	struct store_config cfg; /* constant, as all above the lock is after store_begin() */
	int folder;              /* descriptor; its flock() is the lock of all files in it */
	struct store_key key;
	char name[48];
	int fd; /* the file as it was at store_begin(), or -1: there was none, or none that is ours */
	pthread_t writer;
	bool writing;                 /* there is that thread */
	struct store_window *windows; /* [STORE_WINDOWS]; of who calls store_find() */
	uint8_t *block;               /* [STORE_BLOCK_MAX], likewise */

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	bool ending, broken; /* broken: nothing is written any more, and it was said */
	struct known *known; /* [room]; [0] is nobody */
	uint32_t n_known, room;
	uint32_t *bucket; /* [n_buckets], a power of two */
	uint32_t n_buckets;
	struct store_segment *segment;
	uint32_t n_segments;
	uint64_t file_bytes; /* up to the end of the last segment */
	uint64_t twice;      /* of them, blocks that are there once more */
	struct store_batch batch;
	struct store_stats stats;
};

/* ---- key.c ---- */
/* False: there is no telling this build from others. */
MUST_CHECK bool store_make_key(const void *flavour, size_t flavour_bytes, struct store_key *out);

/* ---- known.c ---- */
/* Hash of place and first word. */
uint64_t store_hash_first(const struct store_place *at, uint32_t word);
uint64_t store_hash_words(uint64_t first, const void *words, uint32_t n);
/* The block, or NULL. */
struct known *known_find(struct store *s, const struct store_row *row);
/* Replaces an equal one. NULL: out of memory. */
struct known *known_add(struct store *s, const struct store_row *row, enum known_state state);

/* ---- segment.c: all with any descriptor of a file ---- */
/* The head at `at` of a file of file_bytes.  False: none that is this key's and lies within the file. */
MUST_CHECK bool segment_head(int fd, uint64_t at, uint64_t file_bytes, const struct store_key *key,
			     struct store_head *out);
uint64_t segment_bytes(const struct store_head *h);
/* Rows and minutes of a segment, allocated. False: damaged, or no memory. */
MUST_CHECK bool segment_rows(int fd, uint64_t at, const struct store_head *h, struct store_row **rows, uint32_t **used);
uint64_t store_sum(const struct store_key *key, const void *block, uint32_t bytes);
/* A segment of these rows and blocks at the end of the file: 0 or -errno.  used: of all of them. */
MUST_CHECK int segment_write(int fd, uint64_t at, const struct store_key *key, const struct store_batch *b,
			     const uint32_t *used);
/* All of it or nothing. */
MUST_CHECK bool read_at(int fd, uint64_t at, void *out, size_t bytes);
MUST_CHECK int write_at(int fd, uint64_t at, const void *data, size_t bytes);
/* Room for one more of n elements. False: no memory, and it stays as it is. */
MUST_CHECK bool batch_add(struct store_batch *b, const struct store_row *row, const struct store_key *key,
			  const void *block);
void batch_free(struct store_batch *b);

/* ---- folder.c ---- */
MUST_CHECK int folder_open(const char *path, struct store_error *err);
/* A regular file of this user's that others may not write to, or -errno. */
MUST_CHECK int folder_open_file(int folder, const char *name, int flags);
/* False: somebody else has it, for longer than one waits. */
MUST_CHECK bool folder_lock(int folder);
void folder_unlock(int folder);
/* Bytes of all files of the folder, after those of other builds, the oldest first, made way for more than `most` - `ours`. */
void folder_trim(struct store *s, uint64_t ours);

/* ---- trim.c: with the folder locked ---- */
/* Makes the file anew with what was used last, of at most `most` bytes. */
MUST_CHECK int store_rewrite(struct store *s, uint64_t most);
/* Says in the file which blocks were used. */
void store_note_used(struct store *s);
uint32_t store_minutes(void);

#endif
