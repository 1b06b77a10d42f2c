/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "pv-drivers/disk/disk_log.h"

enum {
	VERSION = 1,
	SLOT_BYTES = 4096,
	COARSE_BYTES = 64 << 10,
	IO_RECORDS = 4096,
	SCAN_RECORDS = 1 << 17, /* how far behind the end a synced batch is looked for: twice the longest batch */
};
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is little-endian, and so is the host");

static const char magic[8] = "DiscoOvl";

struct header {
	char magic[8];
	uint32_t version, bytes;
	struct cow_identity id;
	uint64_t generation, capacity;
	uint64_t first_records; /* those that the log began with, synced before this header was written */
	uint64_t sum;
};

struct record {
	uint64_t start, end; /* sectors */
	uint32_t kind, reserved;
	uint32_t index, batch;
	uint64_t sum;
};
_Static_assert(sizeof(struct record) == 40 && sizeof(struct cow_identity) == 40 && sizeof(struct header) == 88, "file");

static uint64_t header_sum(const struct header *h) { return XXH3_64bits(h, offsetof(struct header, sum)); }

static uint64_t record_sum(const struct record *r, uint64_t generation)
{
	return XXH3_64bits_withSeed(r, offsetof(struct record, sum), generation);
}

static uint64_t round_up(uint64_t v) { return (v + SLOT_BYTES - 1) / SLOT_BYTES * SLOT_BYTES; }

static uint64_t area_bytes(uint64_t capacity) { return round_up(capacity * sizeof(struct record)); }

static uint64_t area_offset(const struct cow_log *log, uint64_t generation)
{
	return COW_LOG_DATA + round_up(log->id.disk_bytes) + generation % 2 * area_bytes(log->capacity);
}

int cow_log_sync(struct cow_log *log)
{
	int err = log->failed ? -ENOTRECOVERABLE : disk_sync(log->host, log->fd);

	/* The host has forgotten what it could not write, data of the disk's among it: a later sync would lie. */
	log->failed |= err != 0;
	return err;
}

static void punch(struct cow_log *log, uint64_t off, uint64_t bytes)
{
	/* Only for the space: what is outdated has another generation. */
	(void)!log->host->fallocate(log->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)bytes);
}

int cow_identify(struct cow_identity *id, const struct disk_base *base, const struct stat *st)
{
	uint64_t file_bytes = (uint64_t)st->st_size;
	size_t n;
	uint8_t *head;
	int err;

	if (S_ISBLK(st->st_mode))
		file_bytes = base->bytes;
	n = file_bytes < (1u << 20) ? file_bytes : 1u << 20;
	head = malloc(n);
	if (!head)
		return -ENOMEM;
	err = disk_pread_buf(base->host, base->fd, 0, head, n);
	*id = (struct cow_identity){.disk_bytes = base->bytes, .file_bytes = file_bytes, .hash = XXH3_64bits(head, n)};
	if (S_ISREG(st->st_mode)) {
		id->mtime_s = st->st_mtim.tv_sec;
		id->mtime_ns = st->st_mtim.tv_nsec;
	}
	free(head);
	return err;
}

/* ---- writing ---- */

/*
 * *written: the slot has the new header, on the disk or on its way there.  If not, whatever is there is not valid, and the
 * other slot counts still.
 */
static int write_header(struct cow_log *log, uint64_t generation, uint64_t first_records, bool *written)
{
	union {
		struct header h;
		uint8_t bytes[SLOT_BYTES];
	} slot = {.bytes = {0}};
	uint64_t at = generation % 2 * SLOT_BYTES;
	struct header now;
	int err;

	memcpy(slot.h.magic, magic, sizeof(magic));
	slot.h.version = VERSION;
	slot.h.bytes = sizeof(slot.h);
	slot.h.id = log->id;
	slot.h.generation = generation;
	slot.h.capacity = log->capacity;
	slot.h.first_records = first_records;
	slot.h.sum = header_sum(&slot.h);
	err = disk_pwrite_buf(log->host, log->fd, at, &slot, sizeof(slot));
	*written =
	    !err || disk_pread_buf(log->host, log->fd, at, &now, sizeof(now)) || !memcmp(&now, &slot.h, sizeof(now));
	return err ? err : cow_log_sync(log);
}

/* Buffered records on their way into an area. */
struct writer {
	struct cow_log *log;
	struct record *buf;
	uint64_t generation, batch, next; /* index of the next record */
	unsigned n;                       /* in buf */
};

static int writer_flush(struct writer *w)
{
	uint64_t at = area_offset(w->log, w->generation) + (w->next - w->n) * sizeof(struct record);
	int err = w->n ? disk_pwrite_buf(w->log->host, w->log->fd, at, w->buf, w->n * sizeof(struct record)) : 0;

	w->n = 0;
	return err;
}

static int writer_add(struct writer *w, const struct range *r)
{
	struct record *out = &w->buf[w->n];

	*out = (struct record){
	    .start = r->start,
	    .end = r->end,
	    .kind = r->kind,
	    .index = (uint32_t)w->next,
	    .batch = (uint32_t)w->batch,
	};
	out->sum = record_sum(out, w->generation);
	w->next++;
	w->n++;
	return w->n == IO_RECORDS ? writer_flush(w) : 0;
}

int cow_log_append(struct cow_log *log, const struct range *r, uint64_t n)
{
	struct writer w = {.log = log, .generation = log->generation, .batch = log->records, .next = log->records};
	int err = 0;

	if (log->failed)
		return -ENOTRECOVERABLE;
	if (log->tail_unknown || n > log->capacity - log->records)
		return -EFBIG;
	w.buf = malloc(IO_RECORDS * sizeof(struct record));
	if (!w.buf)
		return -ENOMEM;
	for (uint64_t i = 0; i < n && !err; i++)
		err = writer_add(&w, &r[i]);
	err = err ? err : writer_flush(&w);
	err = err ? err : cow_log_sync(log);
	free(w.buf);
	if (err)
		log->tail_unknown = true;
	else
		log->records += n;
	return err;
}

int cow_log_rewrite(struct cow_log *log, const struct range_tree *tree)
{
	struct writer w = {.log = log, .generation = log->generation + 1};
	struct range r = {0};
	bool written;
	int err = 0;

	if (log->failed)
		return -ENOTRECOVERABLE;
	if (tree->count > log->capacity)
		return -ENOSPC;
	w.buf = malloc(IO_RECORDS * sizeof(struct record));
	if (!w.buf)
		return -ENOMEM;
	punch(log, area_offset(log, w.generation), area_bytes(log->capacity));
	while (!err && range_tree_find(tree, r.end, &r))
		err = writer_add(&w, &r);
	err = err ? err : writer_flush(&w);
	err = err ? err : cow_log_sync(log);
	free(w.buf);
	if (err)
		return err;
	err = write_header(log, w.generation, w.next, &written);
	if (err) {
		log->failed |= written; /* which generation counts is not known */
		return err;
	}
	punch(log, area_offset(log, log->generation), area_bytes(log->capacity));
	log->generation = w.generation;
	log->records = w.next;
	log->tail_unknown = false;
	return 0;
}

/* ---- reading ---- */

static bool record_ok(const struct cow_log *log, const struct record *r, uint64_t index)
{
	/* The checksum last: behind the end of a log there are many zeroes. */
	return r->index == index && r->batch <= index && r->start < r->end &&
	       r->end <= log->id.disk_bytes / DISK_SECTOR_BYTES && (r->kind == COW_ZERO || r->kind == COW_FILE) &&
	       r->sum == record_sum(r, log->generation);
}

/* Up to n records from `index` on, fewer at the end of the area or file. */
static int read_records(const struct cow_log *log, uint64_t index, struct record *buf, unsigned n, unsigned *got)
{
	uint64_t off = area_offset(log, log->generation) + index * sizeof(*buf), left = log->capacity - index;
	struct stat st;

	*got = 0;
	if (fstat(log->fd, &st))
		return -errno;
	if ((uint64_t)st.st_size <= off)
		return 0;
	if (n > left)
		n = (unsigned)left;
	if (n > ((uint64_t)st.st_size - off) / sizeof(*buf))
		n = (unsigned)(((uint64_t)st.st_size - off) / sizeof(*buf));
	*got = n;
	return n ? disk_pread_buf(log->host, log->fd, off, buf, n * sizeof(*buf)) : 0;
}

/* Read the log into *tree.  -EUCLEAN: a record that had been synced is damaged. */
static int replay(struct cow_log *log, uint64_t first_records, struct range_tree *tree)
{
	struct record *buf = malloc(IO_RECORDS * sizeof(*buf));
	uint64_t index = 0, bad = UINT64_MAX;
	unsigned got = 1;
	int err = buf ? 0 : -ENOMEM;

	while (!err && got && (bad == UINT64_MAX || index < bad + SCAN_RECORDS)) {
		err = read_records(log, index, buf, IO_RECORDS, &got);
		for (unsigned i = 0; i < got && !err; i++, index++) {
			bool ok = record_ok(log, &buf[i], index);

			if (bad != UINT64_MAX)
				err = ok && buf[i].batch > bad ? -EUCLEAN : 0;
			else if (!ok)
				bad = index;
			else
				err = range_tree_set(tree, buf[i].start, buf[i].end, buf[i].kind);
		}
	}
	free(buf);
	log->records = bad < index ? bad : index;
	if (!err && log->records < first_records)
		err = -EUCLEAN;
	return err;
}

static int read_slots(struct cow_log *log, const char *path, struct header *best, struct disk_error *err)
{
	struct header h;
	bool any = false;

	for (unsigned i = 0; i < 2; i++) {
		int e = disk_pread_buf(log->host, log->fd, i * SLOT_BYTES, &h, sizeof(h));

		if (e == -EIO || memcmp(h.magic, magic, sizeof(magic)))
			continue;
		if (e)
			return disk_say(err, e, path, "cannot be read: %s", disk_strerror(-e));
		if (h.version != VERSION)
			return disk_say(err, -ENOTSUP, path, "is an overlay of version %u; this Disco knows version %d",
					h.version, VERSION);
		if (h.bytes != sizeof(h) || h.sum != header_sum(&h) || !h.capacity || h.capacity > UINT32_MAX)
			continue;
		if (!any || h.generation > best->generation)
			*best = h;
		any = true;
	}
	if (!any)
		return disk_say(err, -EINVAL, path, "is not an overlay of Disco, or its header is damaged");
	return 0;
}

static int check_identity(const struct cow_identity *have, const struct cow_identity *want, const char *path,
			  struct disk_error *err)
{
	if (have->disk_bytes != want->disk_bytes || have->file_bytes != want->file_bytes)
		return disk_say(err, -ESTALE, path, "is the overlay of another image: the size differs");
	if (have->hash != want->hash)
		return disk_say(
		    err, -ESTALE, path,
		    "is the overlay of another image, or the image has been changed: its first MiB differs");
	if (have->mtime_s != want->mtime_s || have->mtime_ns != want->mtime_ns)
		return disk_say(err, -ESTALE, path,
				"the image has been written since this overlay was made (if it is the same for sure: "
				"touch -d @%lld.%09lld it)",
				(long long)have->mtime_s, (long long)have->mtime_ns);
	return 0;
}

static int load(struct cow_log *log, const char *path, struct range_tree *tree, struct disk_error *err)
{
	struct header h = {0};
	int e = read_slots(log, path, &h, err);

	e = e ? e : check_identity(&h.id, &log->id, path, err);
	if (e)
		return e;
	log->generation = h.generation;
	log->capacity = h.capacity;
	e = replay(log, h.first_records, tree);
	if (e == -EUCLEAN)
		return disk_say(err, -EINVAL, path, "is damaged: a record of its log cannot be read");
	return e ? disk_say(err, e, path, "cannot be read: %s", disk_strerror(-e)) : 0;
}

static int sync_directory(const char *path)
{
	char dir[PATH_MAX] = ".";
	const char *slash = strrchr(path, '/');
	int fd, err = 0;

	if (slash && (size_t)(slash - path) + 1 < sizeof(dir)) {
		memcpy(dir, path, (size_t)(slash - path) + 1); /* with the slash: "/" stays "/" */
		dir[slash - path + 1] = 0;
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) && errno != EINVAL) /* EINVAL: a file system that has nothing to sync */
		err = -errno;
	close(fd);
	return err;
}

static int create(struct cow_log *log, const char *path, struct disk_error *err)
{
	static const uint8_t zeroes[SLOT_BYTES];
	bool written;
	int e;

	log->generation = 1;
	log->capacity = 2 * (log->host->cow_ranges + 2 * (log->id.disk_bytes / COARSE_BYTES + 1)) + IO_RECORDS;
	e = log->capacity > UINT32_MAX ? -EFBIG : write_header(log, log->generation, 0, &written);
	/* The other slot gets its room now: a disk that is full later cannot keep the log from being rewritten for so little. */
	e = e ? e : disk_pwrite_buf(log->host, log->fd, 0, zeroes, sizeof(zeroes));
	if (!e && fsync(log->fd))
		e = -errno;
	e = e ? e : sync_directory(path);
	return e ? disk_say(err, e, path, "cannot be created: %s", disk_strerror(-e)) : 0;
}

static int open_file(struct cow_log *log, const char *path, int image_fd, struct stat *st, struct disk_error *err)
{
	struct stat image;
	int e;

	log->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
	if (log->fd < 0) {
		e = -errno;
		return disk_say(err, e, path, "%s", disk_strerror(-e));
	}
	if (fstat(log->fd, st) || fstat(image_fd, &image)) {
		e = -errno;
		return disk_say(err, e, path, "%s", disk_strerror(-e));
	}
	if (!S_ISREG(st->st_mode))
		return disk_say(err, -EINVAL, path, "is not a regular file: not an overlay");
	if (st->st_dev == image.st_dev && st->st_ino == image.st_ino)
		return disk_say(err, -EINVAL, path, "is the image itself: the overlay is another file");
	e = disk_lock(log->fd, path, true, err);
	if (!e && fstat(log->fd, st)) /* the size, now that nobody else writes it */
		e = disk_say(err, -errno, path, "cannot be read");
	return e;
}

int cow_log_open(struct cow_log **out, const char *path, const struct cow_identity *id, int image_fd,
		 const struct disk_host *host, struct range_tree *tree, struct disk_error *err)
{
	struct cow_log *log = calloc(1, sizeof(*log));
	struct stat st;
	int e;

	if (!log)
		return disk_say(err, -ENOMEM, path, "%s", disk_strerror(ENOMEM));
	log->host = host;
	log->id = *id;
	e = open_file(log, path, image_fd, &st, err);
	if (!e && !st.st_size) { /* new, or its creation was cut short */
		e = create(log, path, err);
	} else if (!e) {
		e = load(log, path, tree, err);
		if (!e) {
			/* Data behind a record is synced by then; a new generation leaves a torn tail behind. */
			e = cow_log_rewrite(log, tree);
			if (e)
				disk_say(err, e, path, "cannot be written: %s", disk_strerror(-e));
		}
	}
	if (e) {
		range_tree_free(tree);
		cow_log_free(log);
		return e;
	}
	*out = log;
	return 0;
}

void cow_log_free(struct cow_log *log)
{
	if (!log)
		return;
	if (log->fd >= 0)
		close(log->fd);
	free(log);
}
