/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pv-drivers/disk/disk_log.h"

struct disk {
	struct disk_base base;
	struct cow *cow; /* NULL unless DISK_COW */
	enum disk_mode mode;
	char *path, *overlay; /* overlay: or NULL */
	struct share_image image;
	bool shareable; /* what it says of the image is true as long as the disk is open */
	struct disk_errors errors;
	atomic_bool sync_failed; /* of an image: disk_fault.final */
};

/* ---- messages ---- */

enum { NAME_BYTES = 300 };

/* What the user knows this file by. */
static const char *name_of(const struct disk *d, enum disk_file file, char *buf)
{
	const char *dir;

	if (file == DISK_IMAGE)
		return d->path;
	if (d->overlay)
		return d->overlay;
	dir = cow_temporary_dir(d->cow);
	snprintf(buf, NAME_BYTES, "the temporary file in %.128s of %.128s", dir ? dir : "memory", d->path);
	return buf;
}

/* Returns what the caller is to return: err, or that it is final. */
static int trouble(struct disk *d, bool write, const struct disk_fault *f, int err)
{
	char buf[NAME_BYTES];

	return err ? disk_errors_see(&d->errors, write, f, err, name_of(d, f->file, buf)) : 0;
}

enum disk_verdict disk_verdict(const struct disk *d, bool write, int err)
{
	return disk_errors_verdict(&d->errors, write, err);
}

void disk_wait(struct disk *d)
{
	struct disk_fault f;
	char buf[NAME_BYTES];
	int err;

	disk_errors_last(&d->errors, &f, &err);
	disk_errors_wait(&d->errors, &f, err, name_of(d, f.file, buf));
}

void disk_go(struct disk *d)
{
	char buf[NAME_BYTES];
	const char *const names[NUM_DISK_FILES] = {
	    [DISK_IMAGE] = d->path, [DISK_LAYER] = d->cow ? name_of(d, DISK_LAYER, buf) : d->path};

	disk_errors_go(&d->errors, names);
}

/* ---- open ---- */

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

/* True: qcow2.  See enum disk_format for why contents alone do not decide. */
static int is_qcow2(const struct disk_config *cfg, const struct disk *d, uint64_t file_bytes, bool *qcow2,
		    struct disk_error *err)
{
	bool name = ends_in(cfg->path, ".qcow2") || ends_in(cfg->path, ".qcow"), magic;
	uint8_t head[4] = {0};
	int e = file_bytes < sizeof(head) ? 0 : disk_pread_buf(d->base.host, d->base.fd, 0, head, sizeof(head));

	if (e)
		return disk_say(err, e, cfg->path, "cannot be read: %s", disk_strerror(-e));
	magic = disk_qcow2_magic(head, sizeof(head));
	*qcow2 = cfg->format == DISK_FORMAT_QCOW2 || (cfg->format == DISK_FORMAT_AUTO && name && magic);
	if (cfg->format == DISK_FORMAT_AUTO && magic && !name)
		return disk_say(err, -EINVAL, cfg->path,
				"looks like qcow2, but is not named so: say format=qcow2 or format=raw");
	if (cfg->format == DISK_FORMAT_AUTO && name && !magic)
		return disk_say(err, -EINVAL, cfg->path,
				"is named as qcow2, but is not one: damaged, or say format=raw");
	if (cfg->format == DISK_FORMAT_QCOW2 && !magic)
		return disk_say(err, -EINVAL, cfg->path, "is not a qcow2 image");
	if (*qcow2 && cfg->mode == DISK_RW)
		return disk_say(err, -ENOTSUP, cfg->path,
				"qcow2 images are not written: use mode=cow (with overlay=FILE to keep changes), or "
				"convert it to raw");
	return 0;
}

static int file_size(const struct disk_config *cfg, int fd, const struct stat *st, uint64_t *bytes,
		     struct disk_error *err)
{
	*bytes = (uint64_t)st->st_size;
	if (S_ISDIR(st->st_mode))
		return disk_say(err, -EISDIR, cfg->path, "is a directory");
	if (S_ISBLK(st->st_mode) && ioctl(fd, BLKGETSIZE64, bytes)) {
		int e = -errno;

		return disk_say(err, e, cfg->path, "its size: %s", disk_strerror(-e));
	}
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return disk_say(err, -EINVAL, cfg->path, "is neither a file nor a block device");
	return 0;
}

static int64_t ns_of(struct timespec t) { return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }

static int open_image(struct disk *d, const struct disk_config *cfg, struct stat *st, struct disk_error *err)
{
	/* O_NONBLOCK: a FIFO does not hang us; no effect on what is accepted. */
	int flags = (cfg->mode == DISK_RW ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	uint64_t bytes;
	bool qcow2 = false;
	int e;

	if (stat(cfg->path, st)) {
		e = -errno;
		return disk_say(err, e, cfg->path, "%s", disk_strerror(-e));
	}
	if (S_ISBLK(st->st_mode) && cfg->mode == DISK_RW)
		flags |= O_EXCL; /* refused while the host has it mounted */
	d->base.fd = open(cfg->path, flags);
	if (d->base.fd < 0 || fstat(d->base.fd, st)) {
		e = -errno;
		return disk_say(err, e, cfg->path, "%s%s", disk_strerror(-e),
				e == -EACCES && cfg->mode == DISK_RW ? " (for writing: try mode=ro or mode=cow)" : "");
	}
	e = file_size(cfg, d->base.fd, st, &bytes, err);
	e = e ? e : disk_lock(d->base.fd, cfg->path, cfg->mode == DISK_RW, err);
	if (!e && fstat(d->base.fd, st))
		e = disk_say(err, -errno, cfg->path, "cannot be read");
	e = e ? e : file_size(cfg, d->base.fd, st, &bytes, err); /* now that nobody else changes it */
	e = e ? e : is_qcow2(cfg, d, bytes, &qcow2, err);
	if (e)
		return e;
	d->shareable = cfg->mode != DISK_RW && S_ISREG(st->st_mode);
	d->image = (struct share_image){.dev = st->st_dev,
					.ino = st->st_ino,
					.bytes = bytes,
					.mtime_ns = ns_of(st->st_mtim),
					.ctime_ns = ns_of(st->st_ctim),
					.format = qcow2};
	return qcow2 ? disk_qcow2_open(&d->base, cfg->path, bytes, err)
		     : disk_raw_open(&d->base, cfg->path, bytes, err);
}

static int open_layer(struct disk *d, const struct disk_config *cfg, const struct stat *st, struct disk_error *err)
{
	struct range_tree tree = {0};
	struct cow_identity id;
	struct cow_log *log = NULL;
	int e = 0;

	if (cfg->overlay) {
		e = cow_identify(&id, &d->base, st);
		if (e)
			return disk_say(err, e, cfg->path, "cannot be read: %s", disk_strerror(-e));
		e = cow_log_open(&log, cfg->overlay, &id, d->base.fd, d->base.host, &tree, err);
		if (e)
			return e;
	}
	e = cow_new(&d->cow, &d->base, log);
	if (e) {
		cow_log_free(log);
		range_tree_free(&tree);
		return disk_say(err, e, cfg->path, "%s", disk_strerror(-e));
	}
	cow_set_tree(d->cow, &tree);
	return 0;
}

static void ignore_sigxfsz(void)
{
	struct sigaction sa;

	if (!sigaction(SIGXFSZ, NULL, &sa) && !(sa.sa_flags & SA_SIGINFO) && sa.sa_handler == SIG_DFL)
		signal(SIGXFSZ, SIG_IGN);
}

static void disk_free(struct disk *d)
{
	cow_free(d->cow);
	if (d->base.ops)
		d->base.ops->close(&d->base);
	if (d->base.fd >= 0)
		close(d->base.fd); /* and with it the locks */
	free(d->path);
	free(d->overlay);
	free(d);
}

int disk_open_on(struct disk **out, const struct disk_config *cfg, const struct disk_host *host, struct disk_error *err)
{
	struct disk *d;
	struct stat st;
	int e;

	if (cfg->overlay && cfg->mode != DISK_COW)
		return disk_say(err, -EINVAL, cfg->path, "an overlay needs mode=cow");
	d = calloc(1, sizeof(*d));
	if (!d || !(d->path = strdup(cfg->path)) || (cfg->overlay && !(d->overlay = strdup(cfg->overlay)))) {
		if (d)
			free(d->path);
		free(d);
		return disk_say(err, -ENOMEM, cfg->path, "%s", disk_strerror(ENOMEM));
	}
	d->base.host = host;
	d->base.fd = -1;
	d->mode = cfg->mode;
	d->errors.complain = cfg->complain;
	d->errors.opaque = cfg->opaque;
	d->errors.werror = cfg->werror;
	d->errors.rerror = cfg->rerror;
	if (cfg->mode != DISK_RO)
		ignore_sigxfsz();
	e = open_image(d, cfg, &st, err);
	if (!e && cfg->mode == DISK_COW)
		e = open_layer(d, cfg, &st, err);
	if (e) {
		disk_free(d);
		return e;
	}
	*out = d;
	return 0;
}

int disk_open(struct disk **out, const struct disk_config *cfg, struct disk_error *err)
{
	return disk_open_on(out, cfg, &disk_host_default, err);
}

/* f: where it failed, if it did. */
static int flush(struct disk *d, struct disk_fault *f)
{
	int err;

	*f = (struct disk_fault){.file = DISK_IMAGE, .doing = DISK_SYNCING};
	if (d->cow)
		return cow_flush(d->cow, f);
	f->final = true;
	if (atomic_load(&d->sync_failed))
		return -ENOTRECOVERABLE;
	err = d->base.ops->flush(&d->base);
	if (err)
		atomic_store(&d->sync_failed, true);
	return err;
}

int disk_close(struct disk *d)
{
	struct disk_fault f;
	char buf[NAME_BYTES];
	int err = d->mode == DISK_RO ? 0 : flush(d, &f);

	if (err)
		disk_errors_lost(&d->errors, &f, err, name_of(d, f.file, buf));
	disk_free(d);
	return err;
}

uint64_t disk_bytes(const struct disk *d) { return d->base.bytes; }
bool disk_read_only(const struct disk *d) { return d->mode == DISK_RO; }
struct cow *disk_cow(struct disk *d) { return d->cow; }

/* ---- requests ---- */

static bool in_disk(const struct disk *d, uint64_t off, uint64_t bytes)
{
	return off % DISK_SECTOR_BYTES == 0 && bytes % DISK_SECTOR_BYTES == 0 && off <= d->base.bytes &&
	       bytes <= d->base.bytes - off;
}

static uint64_t iov_bytes(const struct iovec *iov, unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

static int read_some(struct disk *d, uint64_t off, const struct iovec *iov, unsigned n, bool nowait)
{
	struct disk_fault f = {.file = DISK_IMAGE, .doing = DISK_READING};
	uint64_t bytes = iov_bytes(iov, n);
	int err;

	if (!in_disk(d, off, bytes))
		return -EINVAL;
	if (!bytes)
		return 0;
	if (d->cow)
		err = cow_read(d->cow, off, iov, n, bytes, nowait, &f);
	else
		err = d->base.ops->read(&d->base, off, bytes, iov, n, 0, nowait);
	return trouble(d, false, &f, err);
}

int disk_readv(struct disk *d, uint64_t off, const struct iovec *iov, unsigned n)
{
	return read_some(d, off, iov, n, false);
}

int disk_readv_nowait(struct disk *d, uint64_t off, const struct iovec *iov, unsigned n)
{
	return read_some(d, off, iov, n, true);
}

bool disk_image(const struct disk *d, struct share_image *out)
{
	*out = d->image;
	return d->shareable;
}

bool disk_is_image(struct disk *d, uint64_t off, uint64_t bytes)
{
	return in_disk(d, off, bytes) && (!d->cow || !cow_has(d->cow, off, bytes));
}

/* What every change checks. 1: go on. */
static int may_change(const struct disk *d, uint64_t off, uint64_t bytes)
{
	if (!in_disk(d, off, bytes))
		return -EINVAL;
	if (d->mode == DISK_RO)
		return -EROFS;
	return bytes > 0;
}

int disk_writev(struct disk *d, uint64_t off, const struct iovec *iov, unsigned n)
{
	struct disk_fault f = {.file = DISK_IMAGE, .doing = DISK_WRITING};
	uint64_t bytes = iov_bytes(iov, n);
	int err = may_change(d, off, bytes);

	if (err <= 0)
		return err;
	err = d->cow ? cow_write(d->cow, off, iov, n, bytes, &f) : d->base.ops->write(&d->base, off, iov, n, bytes);
	return trouble(d, true, &f, err);
}

int disk_flush(struct disk *d)
{
	struct disk_fault f;

	if (d->mode == DISK_RO)
		return 0;
	return trouble(d, true, &f, flush(d, &f));
}

int disk_discard(struct disk *d, uint64_t off, uint64_t bytes)
{
	struct disk_fault f = {.file = DISK_IMAGE, .doing = DISK_WRITING};
	int err = may_change(d, off, bytes);

	if (err <= 0)
		return err;
	err = d->cow ? cow_zero(d->cow, off, bytes, &f) : d->base.ops->discard(&d->base, off, bytes);
	return trouble(d, true, &f, err);
}

int disk_write_zeroes(struct disk *d, uint64_t off, uint64_t bytes, bool unmap)
{
	struct disk_fault f = {.file = DISK_IMAGE, .doing = DISK_WRITING};
	int err = may_change(d, off, bytes);

	if (err <= 0)
		return err;
	err = d->cow ? cow_zero(d->cow, off, bytes, &f) : d->base.ops->zero(&d->base, off, bytes, unmap);
	return trouble(d, true, &f, err);
}
