/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pv-drivers/disk/disk_log.h"

/*
 * The layer of one machine over an image that never changes: a tree of the sectors that it has written, and their data,
 * which lies at the same offset as in the disk, in a reservation of memory or in a sparse file.  So the tree says only
 * which, neighbours always merge, and there is nothing to allocate or to compact.
 *
 * A layer that is gone with the disk keeps whole pages in memory up to disk_host.cow_memory_bytes, and the rest in an
 * unlinked temporary file: a guest that rewrites its whole disk costs the host disk space, not its memory.  An overlay keeps
 * everything in its file.
 *
 * Ranges, 64 bytes each, are bounded too: with more than disk_host.cow_ranges, a write is rounded out to COARSE_BYTES,
 * what it does not cover being copied from below, so that the tree can grow by no more than two ranges for each.
 *
 * Locks: `io` is held for reading by a write from before its data until its range is in the tree, and for writing by one
 * that copies from below (it must not overwrite what another wrote meanwhile).  `lock` guards the tree and what is to be
 * logged; `flushing` orders flushes.  Order: flushing, io, lock.
 */
enum { COARSE_BYTES = 64 << 10, MAX_PENDING = 1 << 16 };

struct cow {
	struct disk_base *base;
	const struct disk_host *host;
	pthread_rwlock_t io;
	pthread_mutex_t lock, flushing;
	struct range_tree tree;
	uint8_t *memory; /* as many addresses as the disk has, or NULL */
	size_t memory_bytes;
	int fd;                    /* the overlay's, or a temporary file's; -1: not yet */
	const char *temporary_dir; /* where that is, or could not be made */
	uint64_t data;             /* offset of sector 0 in fd */

	/* An overlay only. */
	struct cow_log *log;
	struct range *pending; /* what to log at the next flush */
	uint64_t n_pending, max_pending;
};

static struct range piece_at(struct cow *c, uint64_t at, uint64_t end)
{
	struct range r;

	pthread_mutex_lock(&c->lock);
	r = range_tree_piece(&c->tree, at, end);
	pthread_mutex_unlock(&c->lock);
	return r;
}

/* Where it failed, for who tells the user; err is returned. */
static int fault(struct disk_fault *f, enum disk_file file, enum disk_doing doing, int err)
{
	if (err)
		*f = (struct disk_fault){.file = file, .doing = doing};
	return err;
}

/* ---- what a flush is to log ---- */

static int reserve_pending(struct cow *c)
{
	uint64_t max = c->max_pending ? 2 * c->max_pending : 64;
	struct range *p;

	if (!c->log || c->n_pending < c->max_pending)
		return 0;
	p = realloc(c->pending, max * sizeof(*p));
	if (!p)
		return -ENOMEM;
	c->pending = p;
	c->max_pending = max;
	return 0;
}

static void add_pending(struct cow *c, uint64_t start, uint64_t end, unsigned kind)
{
	struct range *last = c->n_pending ? &c->pending[c->n_pending - 1] : NULL;

	if (last && last->kind == kind && last->end == start)
		last->end = end;
	else
		c->pending[c->n_pending++] = (struct range){start, end, kind};
}

/* Put a range into the tree, and have it logged unless the log says so already. */
static int set_range(struct cow *c, uint64_t start, uint64_t end, unsigned kind)
{
	struct range now;
	int err;

	pthread_mutex_lock(&c->lock);
	now = range_tree_piece(&c->tree, start, end);
	err = reserve_pending(c);
	if (!err && (now.end < end || now.kind != kind)) {
		err = range_tree_set(&c->tree, start, end, kind);
		if (!err && c->log)
			add_pending(c, start, end, kind);
	}
	pthread_mutex_unlock(&c->lock);
	return err;
}

/* ---- reading ---- */

int cow_read(struct cow *c, uint64_t off, const struct iovec *iov, unsigned n, uint64_t bytes, bool nowait,
	     struct disk_fault *f)
{
	uint64_t at = off / DISK_SECTOR_BYTES, end = (off + bytes) / DISK_SECTOR_BYTES, done = 0;
	int err = 0;

	while (at < end && !err) {
		struct range r = piece_at(c, at, end);
		uint64_t len = (r.end - r.start) * DISK_SECTOR_BYTES, from = r.start * DISK_SECTOR_BYTES;

		if (r.kind == COW_ZERO)
			disk_iov_put(iov, n, done, NULL, len);
		else if (r.kind == COW_MEMORY)
			disk_iov_put(iov, n, done, c->memory + from, len);
		else if (r.kind == COW_FILE)
			err = fault(f, DISK_LAYER, DISK_READING,
				    disk_pread(c->host, c->fd, c->data + from, len, iov, n, done, nowait));
		else
			err = fault(f, DISK_IMAGE, DISK_READING,
				    c->base->ops->read(c->base, from, len, iov, n, done, nowait));
		done += len;
		at = r.end;
	}
	return err;
}

bool cow_has(struct cow *c, uint64_t off, uint64_t bytes)
{
	uint64_t at = off / DISK_SECTOR_BYTES, end = (off + bytes) / DISK_SECTOR_BYTES;
	struct range r = piece_at(c, at, end);

	return r.kind != RANGE_NONE || r.end < end;
}

/* ---- writing ---- */

/* A file without a name, on a disk rather than in memory (/tmp is often a tmpfs). *dir: where, or where it failed last. */
static int open_temporary(const char **dir)
{
	const char *dirs[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};
	char name[4096];
	int fd = -1, err = ENOENT;

	for (unsigned i = 0; i < ARRAY_LEN(dirs) && fd < 0; i++) {
		if (!dirs[i] || !*dirs[i])
			continue;
		*dir = dirs[i];
		fd = open(dirs[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (fd < 0 && snprintf(name, sizeof(name), "%s/disco-XXXXXX", dirs[i]) < (int)sizeof(name)) {
			fd = mkostemp(name, O_CLOEXEC);
			if (fd >= 0)
				unlink(name);
		}
		if (fd < 0)
			err = errno;
	}
	return fd >= 0 ? fd : -err;
}

static int need_file(struct cow *c)
{
	int fd, err = 0;

	pthread_mutex_lock(&c->lock);
	if (c->fd < 0) {
		fd = open_temporary(&c->temporary_dir);
		if (fd < 0)
			err = fd;
		else
			c->fd = fd;
	}
	pthread_mutex_unlock(&c->lock);
	return err;
}

const char *cow_temporary_dir(struct cow *c)
{
	const char *dir;

	pthread_mutex_lock(&c->lock);
	dir = c->temporary_dir;
	pthread_mutex_unlock(&c->lock);
	return dir;
}

static int to_file(struct cow *c, uint64_t off, uint64_t bytes, const struct iovec *iov, unsigned n, uint64_t iov_off,
		   struct disk_fault *f)
{
	int err = need_file(c);

	err = err ? err : disk_pwrite(c->host, c->fd, c->data + off, bytes, iov, n, iov_off);
	err = err ? err : set_range(c, off / DISK_SECTOR_BYTES, (off + bytes) / DISK_SECTOR_BYTES, COW_FILE);
	return fault(f, DISK_LAYER, DISK_WRITING, err);
}

/* Whole pages that are not in the layer may go to memory while there is room.  *r is cut to what is of one page kind. */
static bool fits_memory(struct cow *c, struct range *r)
{
	const uint64_t per_page = PAGE_BYTES / DISK_SECTOR_BYTES;
	uint64_t whole_end = r->end / per_page * per_page, used;

	if (!c->memory)
		return false;
	if (r->start % per_page) {
		uint64_t next = (r->start / per_page + 1) * per_page;

		r->end = r->end < next ? r->end : next;
		return false;
	}
	if (whole_end == r->start)
		return false;
	r->end = whole_end;
	pthread_mutex_lock(&c->lock);
	used = c->tree.total[COW_MEMORY] * DISK_SECTOR_BYTES;
	pthread_mutex_unlock(&c->lock);
	return used + (r->end - r->start) * DISK_SECTOR_BYTES <= c->host->cow_memory_bytes;
}

static int write_piece(struct cow *c, struct range *r, const struct iovec *iov, unsigned n, uint64_t done,
		       struct disk_fault *f)
{
	bool memory = r->kind == COW_MEMORY || (r->kind != COW_FILE && fits_memory(c, r));
	uint64_t off = r->start * DISK_SECTOR_BYTES, len = (r->end - r->start) * DISK_SECTOR_BYTES;

	if (!memory)
		return to_file(c, off, len, iov, n, done, f);
	disk_iov_get(iov, n, done, c->memory + off, len);
	return fault(f, DISK_LAYER, DISK_WRITING, set_range(c, r->start, r->end, COW_MEMORY));
}

static void drop_memory(struct cow *c, uint64_t off, uint64_t bytes)
{
	uint64_t from = (off + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES, to = (off + bytes) / PAGE_BYTES * PAGE_BYTES;

	if (c->memory && from < to)
		madvise(c->memory + from, to - from, MADV_DONTNEED);
}

/* One coarse block: read it, lay the new data (iov NULL: zeroes) over it, write it whole.  c->io is held for writing. */
static int write_coarse_block(struct cow *c, uint64_t block, uint64_t from, uint64_t to, const struct iovec *iov,
			      unsigned n, uint64_t done, uint8_t *buf, struct disk_fault *f)
{
	uint64_t len = c->base->bytes - block < COARSE_BYTES ? c->base->bytes - block : COARSE_BYTES;
	struct iovec whole = {buf, len};
	int err = cow_read(c, block, &whole, 1, len, false, f);

	if (err)
		return err;
	if (iov)
		disk_iov_get(iov, n, done, buf + (from - block), to - from);
	else
		memset(buf + (from - block), 0, to - from);
	err = to_file(c, block, len, &whole, 1, 0, f);
	if (!err)
		drop_memory(c, block, len);
	return err;
}

static int write_coarse(struct cow *c, uint64_t off, uint64_t bytes, const struct iovec *iov, unsigned n,
			struct disk_fault *f)
{
	uint8_t *buf = malloc(COARSE_BYTES);
	uint64_t at = off, end = off + bytes;
	int err = fault(f, DISK_LAYER, DISK_WRITING, buf ? 0 : -ENOMEM);

	pthread_rwlock_wrlock(&c->io);
	while (at < end && !err) {
		uint64_t block = at / COARSE_BYTES * COARSE_BYTES;
		uint64_t to = block + COARSE_BYTES < end ? block + COARSE_BYTES : end;

		err = write_coarse_block(c, block, at, to, iov, n, at - off, buf, f);
		at = to;
	}
	pthread_rwlock_unlock(&c->io);
	free(buf);
	return err;
}

static bool crowded(struct cow *c)
{
	bool yes;

	pthread_mutex_lock(&c->lock);
	yes = c->tree.count >= c->host->cow_ranges;
	pthread_mutex_unlock(&c->lock);
	return yes;
}

/* A guest that never flushes must not fill the host's memory with what is to be logged. */
static int flush_if_long(struct cow *c, struct disk_fault *f)
{
	bool yes;

	pthread_mutex_lock(&c->lock);
	yes = c->n_pending >= MAX_PENDING;
	pthread_mutex_unlock(&c->lock);
	return yes ? cow_flush(c, f) : 0;
}

int cow_write(struct cow *c, uint64_t off, const struct iovec *iov, unsigned n, uint64_t bytes, struct disk_fault *f)
{
	uint64_t start = off / DISK_SECTOR_BYTES, end = (off + bytes) / DISK_SECTOR_BYTES, at = start;
	int err = 0;

	if (crowded(c)) {
		struct range r = piece_at(c, start, end);

		/* Over what the layer has already, no range is added. */
		if (r.end < end || r.kind < COW_FILE) {
			err = write_coarse(c, off, bytes, iov, n, f);
			return err ? err : flush_if_long(c, f);
		}
	}
	pthread_rwlock_rdlock(&c->io);
	while (at < end && !err) {
		struct range r = piece_at(c, at, end);

		err = write_piece(c, &r, iov, n, (at - start) * DISK_SECTOR_BYTES, f);
		at = r.end;
	}
	pthread_rwlock_unlock(&c->io);
	return err ? err : flush_if_long(c, f);
}

/* ---- ranges without data ---- */

/* The tree first, then the space: who reads in between gets the old data or zeroes. */
static int zero_piece(struct cow *c, const struct range *r)
{
	const uint64_t per_page = PAGE_BYTES / DISK_SECTOR_BYTES;
	uint64_t off = r->start * DISK_SECTOR_BYTES, len = (r->end - r->start) * DISK_SECTOR_BYTES;
	int err;

	if (r->kind == COW_ZERO)
		return 0;
	if (r->kind == COW_MEMORY && (r->start % per_page || r->end % per_page)) {
		/* A page stays whole, or it would be counted as less than it takes. */
		uint64_t from = (r->start + per_page - 1) / per_page * per_page, to = r->end / per_page * per_page;

		memset(c->memory + off, 0, len);
		if (from >= to)
			return 0;
		return zero_piece(c, &(struct range){from, to, COW_MEMORY});
	}
	err = set_range(c, r->start, r->end, COW_ZERO);
	if (!err && r->kind == COW_MEMORY)
		drop_memory(c, off, len);
	if (!err && r->kind == COW_FILE) /* for the space only: the tree says that it is zeroes */
		(void)!c->host->fallocate(c->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(c->data + off),
					  (off_t)len);
	return err;
}

static int zero_pieces(struct cow *c, uint64_t off, uint64_t end_off)
{
	uint64_t at = off / DISK_SECTOR_BYTES, end = end_off / DISK_SECTOR_BYTES;
	int err = 0;

	pthread_rwlock_rdlock(&c->io);
	while (at < end && !err) {
		struct range r = piece_at(c, at, end);

		err = zero_piece(c, &r);
		at = r.end;
	}
	pthread_rwlock_unlock(&c->io);
	return err;
}

int cow_zero(struct cow *c, uint64_t off, uint64_t bytes, struct disk_fault *f)
{
	uint64_t end = off + bytes, from = off, to = end;
	int err = 0;

	if (crowded(c)) { /* whole blocks as a range, what sticks out of them as data */
		from = (off + COARSE_BYTES - 1) / COARSE_BYTES * COARSE_BYTES;
		to = end / COARSE_BYTES * COARSE_BYTES;
		if (from > to) /* inside of one block */
			from = to = end;
		if (from > off)
			err = write_coarse(c, off, from - off, NULL, 0, f);
		if (!err && end > to)
			err = write_coarse(c, to, end - to, NULL, 0, f);
	}
	if (!err && from < to)
		err = fault(f, DISK_LAYER, DISK_WRITING, zero_pieces(c, from, to));
	return err ? err : flush_if_long(c, f);
}

/* ---- flush ---- */

static int log_pending(struct cow *c, struct range *batch, uint64_t n)
{
	int err = cow_log_sync(c->log);

	if (err || !n)
		return err;
	err = cow_log_append(c->log, batch, n);
	if (err != -EFBIG)
		return err;
	/*
	 * The tree is ahead of `batch`: what it has more must be synced too before it is logged, and no write may come in
	 * between.
	 */
	pthread_rwlock_wrlock(&c->io);
	err = cow_log_sync(c->log);
	pthread_mutex_lock(&c->lock);
	if (!err)
		err = cow_log_rewrite(c->log, &c->tree);
	pthread_mutex_unlock(&c->lock);
	pthread_rwlock_unlock(&c->io);
	return err;
}

/* What could not be logged is pending still, before what has come since. */
static void put_back(struct cow *c, struct range *batch, uint64_t n)
{
	struct range *p;

	pthread_mutex_lock(&c->lock);
	p = realloc(batch, (n + c->n_pending + 64) * sizeof(*p));
	if (p) {
		if (c->n_pending)
			memcpy(p + n, c->pending, c->n_pending * sizeof(*p));
		free(c->pending);
		c->pending = p;
		c->max_pending = n + c->n_pending + 64;
		c->n_pending += n;
	} else {
		c->log->tail_unknown = true; /* so that the next flush logs the whole tree */
		free(batch);
	}
	pthread_mutex_unlock(&c->lock);
}

int cow_flush(struct cow *c, struct disk_fault *f)
{
	struct range *batch;
	uint64_t n;
	int err;

	if (!c->log)
		return 0;
	pthread_mutex_lock(&c->flushing);
	pthread_mutex_lock(&c->lock);
	batch = c->pending;
	n = c->n_pending;
	c->pending = NULL;
	c->n_pending = c->max_pending = 0;
	pthread_mutex_unlock(&c->lock);
	err = log_pending(c, batch, n);
	if (err && n)
		put_back(c, batch, n);
	else
		free(batch);
	fault(f, DISK_LAYER, DISK_SYNCING, err);
	f->final = c->log->failed;
	pthread_mutex_unlock(&c->flushing);
	return err;
}

/* ---- life ---- */

int cow_new(struct cow **out, struct disk_base *base, struct cow_log *log)
{
	struct cow *c = calloc(1, sizeof(*c));
	void *p;

	if (!c)
		return -ENOMEM;
	c->base = base;
	c->host = base->host;
	c->log = log;
	c->fd = log ? log->fd : -1;
	c->data = log ? COW_LOG_DATA : 0;
	pthread_rwlock_init(&c->io, NULL);
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->flushing, NULL);
	if (!log && c->host->cow_memory_bytes) {
		c->memory_bytes = (base->bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
		p = mmap(NULL, c->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			 0);
		c->memory = p == MAP_FAILED ? NULL : p; /* no room for the addresses: everything is in the file */
	}
	*out = c;
	return 0;
}

void cow_set_tree(struct cow *c, struct range_tree *tree)
{
	c->tree = *tree;
	*tree = (struct range_tree){0};
}

void cow_free(struct cow *c)
{
	if (!c)
		return;
	if (c->memory)
		munmap(c->memory, c->memory_bytes);
	if (c->log)
		cow_log_free(c->log); /* and fd */
	else if (c->fd >= 0)
		close(c->fd);
	range_tree_free(&c->tree);
	free(c->pending);
	pthread_mutex_destroy(&c->flushing);
	pthread_mutex_destroy(&c->lock);
	pthread_rwlock_destroy(&c->io);
	free(c);
}

uint64_t cow_ranges(struct cow *c)
{
	uint64_t n;

	pthread_mutex_lock(&c->lock);
	n = c->tree.count;
	pthread_mutex_unlock(&c->lock);
	return n;
}

uint64_t cow_memory(struct cow *c)
{
	uint64_t n;

	pthread_mutex_lock(&c->lock);
	n = c->tree.total[COW_MEMORY] * DISK_SECTOR_BYTES;
	pthread_mutex_unlock(&c->lock);
	return n;
}
