/* SPDX-License-Identifier: MIT */
/* The store's life, and what the translator asks it. */
#include "jit/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "jit/store/store_internal.h"

/* A limit of file sizes is a full disk. */
static void ignore_file_limit(void)
{
	struct sigaction sa;

	if (!sigaction(SIGXFSZ, NULL, &sa) && !(sa.sa_flags & SA_SIGINFO) && sa.sa_handler == SIG_DFL)
		signal(SIGXFSZ, SIG_IGN);
}

int store_open(struct store **out, const struct store_config *cfg, struct store_error *err)
{
	struct store *s = calloc(1, sizeof(*s));
	int e;

	*out = NULL;
	if (!s) {
		snprintf(err->text, sizeof(err->text), "the host has no memory left");
		return -ENOMEM;
	}
	s->cfg = *cfg;
	s->fd = -1;
	e = s->folder = folder_open(cfg->folder, err);
	if (e < 0) {
		free(s);
		return e;
	}
	s->cfg.folder = NULL; /* it may be gone */
	ignore_file_limit();
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	*out = s;
	return 0;
}

/* ---- reading it ---- */

static bool learn(struct store *s, uint64_t at, const struct store_head *h)
{
	struct store_segment *more = realloc(s->segment, (s->n_segments + 1) * sizeof(*more));
	struct store_row *row;
	uint32_t *used, first;

	if (!more)
		return false;
	s->segment = more;
	if (!segment_rows(s->fd, at, h, &row, &used)) {
		s->stats.damaged++;
		return true; /* the next one may be well */
	}
	first = s->n_known ? s->n_known : 1;
	for (uint64_t i = 0; i < h->n_rows; i++) {
		struct known *k;

		row[i].at += store_blocks_at(at, h->n_rows);
		k = known_add(s, &row[i], KNOWN_IN_FILE);
		if (!k)
			break;
		k->used = used[i] & ((1u << 29) - 1);
	}
	s->segment[s->n_segments++] = (struct store_segment){at, first, s->n_known - first};
	free(row);
	free(used);
	return true;
}

static void read_all(struct store *s)
{
	struct store_head h;
	struct stat st;

	if (fstat(s->fd, &st))
		return;
	while (segment_head(s->fd, s->file_bytes, (uint64_t)st.st_size, &s->key, &h) && learn(s, s->file_bytes, &h))
		s->file_bytes += segment_bytes(&h);
}

static bool get_memory(struct store *s)
{
	s->windows = calloc(STORE_WINDOWS, sizeof(*s->windows));
	s->block = malloc(STORE_BLOCK_MAX + 8);
	return s->windows && s->block;
}

/* ---- writing: a thread, so that no vCPU waits for a disk ---- */

enum { BATCH_BYTES = 1 << 20, BATCH_MAX_BYTES = 64 << 20 };

/* Holding the lock. */
static void give_up(struct store *s, const char *what, int err)
{
	char text[256];

	if (s->broken)
		return;
	s->broken = true;
	snprintf(text, sizeof(text), "the translation store: %s: %s; nothing more is stored", what, strerror(err));
	pthread_mutex_unlock(&s->lock);
	if (s->cfg.warn)
		s->cfg.warn(s->cfg.opaque, text);
	pthread_mutex_lock(&s->lock);
}

/* Where the last whole segment ends. */
static uint64_t end_of(const struct store *s, int fd, uint64_t file_bytes)
{
	struct store_head h;
	uint64_t at = 0;

	while (segment_head(fd, at, file_bytes, &s->key, &h))
		at += segment_bytes(&h);
	return at;
}

/* With the folder locked.  *size: of the file then. */
static int append(const struct store *s, int fd, const struct store_batch *b, uint64_t *size)
{
	struct stat st;
	uint32_t *used = malloc(b->n * sizeof(*used));
	uint64_t at;
	int err = used ? 0 : -ENOMEM;

	if (!err && fstat(fd, &st))
		err = -errno;
	if (!err) {
		at = end_of(s, fd, (uint64_t)st.st_size);
		if (at < (uint64_t)st.st_size && ftruncate(fd, (off_t)at)) /* damaged, or cut short */
			err = -errno;
	}
	for (uint32_t i = 0; !err && i < b->n; i++)
		used[i] = store_minutes();
	if (!err) {
		err = segment_write(fd, at, &s->key, b, used);
		*size = store_blocks_at(at, b->n) + b->bytes;
		if (err && ftruncate(fd, (off_t)at))
			err = -errno;
	}
	free(used);
	return err;
}

/* 0 or -errno; -EBUSY: others have the folder, and it is as if it had been written. */
static int write_batch(struct store *s, const struct store_batch *b)
{
	uint64_t size = 0;
	int fd, err;

	if (!folder_lock(s->folder))
		return -EBUSY;
	fd = err = folder_open_file(s->folder, s->name, O_RDWR | O_CREAT);
	if (fd >= 0) {
		err = append(s, fd, b, &size);
		close(fd);
	}
	if (!err)
		folder_trim(s, size);
	if (!err && size > s->cfg.bytes)
		err = store_rewrite(s, s->cfg.bytes / 4 * 3);
	folder_unlock(s->folder);
	return err;
}

/* Holding the lock, which is let go of meanwhile. */
static void write_new(struct store *s)
{
	struct store_batch b = s->batch;
	int err;

	if (!b.n)
		return;
	s->batch = (struct store_batch){0};
	if (!s->broken) {
		pthread_mutex_unlock(&s->lock);
		err = write_batch(s, &b);
		pthread_mutex_lock(&s->lock);
		if (err && err != -EBUSY)
			give_up(s, "writing", -err);
	}
	batch_free(&b);
}

static void *writer(void *arg)
{
	struct store *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->ending) {
		while (!s->ending && s->batch.bytes < BATCH_BYTES)
			pthread_cond_wait(&s->changed, &s->lock);
		if (s->batch.bytes >= BATCH_BYTES)
			write_new(s);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

bool store_begin(struct store *s, const void *flavour, size_t flavour_bytes)
{
	if (!get_memory(s) || !store_make_key(flavour, flavour_bytes, &s->key))
		return false;
	snprintf(s->name, sizeof(s->name), "%016" PRIx64 "%016" PRIx64 STORE_SUFFIX, (uint64_t)s->key.hash.high64,
		 (uint64_t)s->key.hash.low64);
	s->fd = folder_open_file(s->folder, s->name, O_RDWR);
	if (s->fd >= 0)
		read_all(s);
	s->stats.known = s->n_known ? s->n_known - 1 : 0;
	s->writing = pthread_create(&s->writer, NULL, writer, s) == 0;
	return true;
}

static void end_writer(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	if (s->writing)
		pthread_join(s->writer, NULL);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	end_writer(s);
	pthread_mutex_lock(&s->lock);
	write_new(s);
	store_note_used(s);
	pthread_mutex_unlock(&s->lock);
	if (s->fd >= 0)
		close(s->fd);
	close(s->folder);
	batch_free(&s->batch);
	free(s->known);
	free(s->bucket);
	free(s->segment);
	free(s->windows);
	free(s->block);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- what the translator asks ---- */

/* Through what was read of the file: blocks are wanted about in the order in which they were made. */
static bool read_block(struct store *s, uint64_t at, void *out, size_t bytes)
{
	uint64_t begin = at - at % STORE_WINDOW_BYTES;
	struct store_window *w = &s->windows[begin / STORE_WINDOW_BYTES % STORE_WINDOWS];
	ssize_t n;

	if (at + bytes > begin + STORE_WINDOW_BYTES)
		return read_at(s->fd, at, out, bytes);
	if (!w->bytes || w->at != begin) {
		n = pread(s->fd, w->data, STORE_WINDOW_BYTES, (off_t)begin);
		w->bytes = n > 0 ? (uint32_t)n : 0;
		w->at = begin;
	}
	if (at - begin + bytes > w->bytes)
		return false;
	memcpy(out, w->data + (at - begin), bytes);
	return true;
}

static bool is_whole(const struct store *s, uint32_t bytes)
{
	uint64_t sum;

	memcpy(&sum, s->block, sizeof(sum));
	return sum == store_sum(&s->key, s->block + 8, bytes);
}

/* The first block of that place whose words are the page's. */
static struct known *look_up(struct store *s, const struct store_place *at, const uint8_t *page)
{
	uint32_t word;
	uint64_t first;

	if (!s->n_buckets)
		return NULL;
	memcpy(&word, page + at->off, sizeof(word));
	first = store_hash_first(at, word);
	for (uint32_t i = s->bucket[first & (s->n_buckets - 1)]; i; i = s->known[i].next) {
		struct known *k = &s->known[i];
		uint32_t n = k->n_words & STORE_WORDS_MAX;

		if (k->first == (uint32_t)first && k->state == KNOWN_IN_FILE && at->off + 4 * n <= PAGE_BYTES &&
		    store_hash_words(first, page + at->off, n) == k->words)
			return k;
	}
	return NULL;
}

const void *store_find(struct store *s, const struct store_place *at, const void *page, uint32_t *bytes)
{
	struct known *k;
	const void *block = NULL;

	pthread_mutex_lock(&s->lock);
	k = s->fd < 0 ? NULL : look_up(s, at, page);
	if (k) {
		*bytes = k->n_words >> 8;
		if (read_block(s, k->at, s->block, 8 + (size_t)*bytes) && is_whole(s, *bytes)) {
			block = s->block + 8;
			s->stats.taken += !k->taken;
			k->taken = true;
		} else {
			k->state = KNOWN_GONE;
			s->stats.damaged++;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return block;
}

static struct store_row row_of(const struct store_place *at, const uint32_t *words, uint32_t n_words, uint32_t bytes)
{
	uint64_t first = store_hash_first(at, words[0]);

	return (struct store_row){.words = store_hash_words(first, words, n_words),
				  .first = (uint32_t)first,
				  .n_words = n_words | bytes << 8};
}

bool store_has(struct store *s, const struct store_place *at, const uint32_t *words, uint32_t n_words)
{
	struct store_row row;
	bool has;

	if (!n_words || n_words > STORE_WORDS_MAX)
		return true; /* no place for it */
	row = row_of(at, words, n_words, 0);
	pthread_mutex_lock(&s->lock);
	has = s->broken || !s->writing || known_find(s, &row);
	pthread_mutex_unlock(&s->lock);
	return has;
}

void store_add(struct store *s, const struct store_place *at, const uint32_t *words, uint32_t n_words,
	       const void *block, uint32_t bytes)
{
	struct store_row row;

	if (!n_words || n_words > STORE_WORDS_MAX || bytes > STORE_BLOCK_MAX)
		return;
	row = row_of(at, words, n_words, bytes);
	pthread_mutex_lock(&s->lock);
	/* the disk is slower than the translator */
	if (s->batch.bytes < BATCH_MAX_BYTES && !known_find(s, &row) && known_add(s, &row, KNOWN_ADDED) &&
	    batch_add(&s->batch, &row, &s->key, block)) {
		s->stats.added++;
		if (s->batch.bytes >= BATCH_BYTES)
			pthread_cond_signal(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
}

struct store_stats store_stats(struct store *s)
{
	struct store_stats st;

	pthread_mutex_lock(&s->lock);
	st = s->stats;
	pthread_mutex_unlock(&s->lock);
	return st;
}
