/* SPDX-License-Identifier: MIT */
/* A file that is too large, or says things twice, is made anew with what was used last; and what was used is noted. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "jit/store/store_internal.h"

uint32_t store_minutes(void) { return (uint32_t)((uint64_t)time(NULL) / 60) & ((1u << 29) - 1); }

/* ---- a file made anew ---- */

/* A block of the old file. */
struct kept {
	struct store_row row; /* at: in the file */
	uint32_t used;
	bool gone;
};

struct rewrite {
	struct store *s;
	int from;
	struct kept *kept;
	uint32_t n;
};

static int collect_segment(struct rewrite *w, uint64_t at, const struct store_head *h)
{
	struct store_row *row;
	struct kept *more;
	uint32_t *used;

	if (!segment_rows(w->from, at, h, &row, &used))
		return 0;
	more = realloc(w->kept, (w->n + h->n_rows) * sizeof(*more));
	if (more) {
		w->kept = more;
		for (uint64_t i = 0; i < h->n_rows; i++) {
			row[i].at += store_blocks_at(at, h->n_rows);
			w->kept[w->n++] = (struct kept){.row = row[i], .used = used[i]};
		}
	}
	free(row);
	free(used);
	return more ? 0 : -ENOMEM;
}

static int collect(struct rewrite *w)
{
	struct store_head h;
	struct stat st;
	uint64_t at = 0;
	int err = fstat(w->from, &st) ? -errno : 0;

	while (!err && segment_head(w->from, at, (uint64_t)st.st_size, &w->s->key, &h)) {
		err = collect_segment(w, at, &h);
		at += segment_bytes(&h);
	}
	return err;
}

/* The same block behind each other, the newest of them first. */
static int by_words(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	if (x->row.words != y->row.words)
		return x->row.words < y->row.words ? -1 : 1;
	if (x->row.first != y->row.first)
		return x->row.first < y->row.first ? -1 : 1;
	return x->row.at > y->row.at ? -1 : x->row.at < y->row.at;
}

static int by_use(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	if (x->gone != y->gone)
		return x->gone ? 1 : -1;
	if (x->used != y->used)
		return x->used > y->used ? -1 : 1;
	return x->row.at > y->row.at ? -1 : x->row.at < y->row.at;
}

static int by_place(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	return x->row.at < y->row.at ? -1 : x->row.at > y->row.at;
}

/* What is in there once, as far as it goes, in the order in which it was made. */
static void choose(struct rewrite *w, uint64_t most)
{
	uint64_t bytes = sizeof(struct store_head);
	uint32_t n = 0;

	qsort(w->kept, w->n, sizeof(*w->kept), by_words);
	for (uint32_t i = 1; i < w->n; i++)
		w->kept[i].gone = w->kept[i].row.words == w->kept[i - 1].row.words &&
				  w->kept[i].row.first == w->kept[i - 1].row.first;
	qsort(w->kept, w->n, sizeof(*w->kept), by_use);
	while (n < w->n && !w->kept[n].gone) {
		bytes += sizeof(struct store_row) + 8 + store_row_room(store_row_bytes(&w->kept[n].row));
		if (bytes > most)
			break;
		n++;
	}
	w->n = n;
	qsort(w->kept, w->n, sizeof(*w->kept), by_place);
}

/* A damaged one is left behind. */
static int copy_block(const struct rewrite *w, const struct kept *k, struct store_batch *b)
{
	uint32_t bytes = store_row_bytes(&k->row);
	uint8_t *block = malloc(8 + (size_t)bytes);
	uint64_t sum;
	int err = 0;

	if (!block)
		return -ENOMEM;
	if (read_at(w->from, k->row.at, block, 8 + (size_t)bytes)) {
		memcpy(&sum, block, sizeof(sum));
		if (sum == store_sum(&w->s->key, block + 8, bytes) && !batch_add(b, &k->row, &w->s->key, block + 8))
			err = -ENOMEM;
	}
	free(block);
	return err;
}

/* In segments of some megabytes, so that memory is not what limits the store. */
static int copy(const struct rewrite *w, int to)
{
	enum { SEGMENT_BYTES = 16 << 20 };
	uint32_t *used = malloc((w->n + 1) * sizeof(*used));
	struct store_batch b = {0};
	uint64_t at = 0;
	int err = used ? 0 : -ENOMEM;

	for (uint32_t i = 0; !err && i < w->n; i++) {
		uint32_t n = b.n;

		err = copy_block(w, &w->kept[i], &b);
		if (b.n > n)
			used[n] = w->kept[i].used;
		if (!err && b.n && (b.bytes >= SEGMENT_BYTES || i + 1 == w->n)) {
			err = segment_write(to, at, &w->s->key, &b, used);
			at = store_blocks_at(at, b.n) + b.bytes;
			batch_free(&b);
		}
	}
	batch_free(&b);
	free(used);
	return err;
}

int store_rewrite(struct store *s, uint64_t most)
{
	struct rewrite w = {.s = s};
	char tmp[sizeof(s->name) + sizeof(STORE_TMP)];
	int to = -1, err;

	snprintf(tmp, sizeof(tmp), "%s" STORE_TMP, s->name);
	w.from = err = folder_open_file(s->folder, s->name, O_RDONLY);
	if (w.from < 0)
		return err;
	err = collect(&w);
	if (!err) {
		choose(&w, most);
		unlinkat(s->folder, tmp, 0);
		to = err = folder_open_file(s->folder, tmp, O_RDWR | O_CREAT | O_EXCL);
	}
	if (to >= 0)
		err = copy(&w, to);
	if (!err && renameat(s->folder, tmp, s->folder, s->name))
		err = -errno;
	if (err)
		unlinkat(s->folder, tmp, 0);
	if (to >= 0)
		close(to);
	close(w.from);
	free(w.kept);
	return err;
}

/* ---- what was used ---- */

enum { STALE_MINUTES = 60 };

static bool note_segment(struct store *s, const struct store_segment *g, uint32_t now)
{
	uint32_t *used = malloc((g->n + 1) * sizeof(*used));
	struct store_head h;
	bool stale = false, ok;

	ok = used && read_at(s->fd, g->at, &h, sizeof(h));
	for (uint32_t i = 0; ok && i < g->n; i++) {
		const struct known *k = &s->known[g->first + i];
		bool old = now - k->used >= STALE_MINUTES && k->taken;

		stale |= old;
		used[i] = old ? now : k->used;
	}
	if (ok && stale)
		ok = write_at(s->fd, g->at + sizeof(h) + h.n_rows * sizeof(struct store_row), used,
			      g->n * sizeof(*used)) == 0;
	free(used);
	return ok;
}

/* Is the file still the one that was read? */
static bool is_current(const struct store *s)
{
	struct stat ours, theirs;

	return fstat(s->fd, &ours) == 0 && fstatat(s->folder, s->name, &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

void store_note_used(struct store *s)
{
	uint32_t now = store_minutes();
	bool ok = true;

	if (s->fd < 0 || s->broken || (!s->stats.taken && !s->twice) || !folder_lock(s->folder))
		return;
	if (is_current(s)) {
		for (uint32_t i = 0; ok && i < s->n_segments; i++)
			ok = note_segment(s, &s->segment[i], now);
		/* should that fail, it is as good as it was */
		if (s->twice > s->file_bytes / 3 && store_rewrite(s, s->cfg.bytes))
			s->broken = true;
	}
	folder_unlock(s->folder);
}
