/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "pv-drivers/disk/disk_internal.h"

const struct disk_host disk_host_default = {
    .preadv2 = preadv2,
    .pwritev = pwritev,
    .fdatasync = fdatasync,
    .fallocate = fallocate,
    .cow_memory_bytes = 256ull << 20,
    .cow_ranges = 1u << 20,
};

/* ---- iovecs ---- */

enum { BATCH = 64 }; /* iovecs for one system call; a request of a guest's page cache is rarely longer */

struct cursor {
	const struct iovec *iov;
	unsigned n, i;
	uint64_t skip; /* bytes of iov[i] that are done */
};

static struct cursor cursor_at(const struct iovec *iov, unsigned n, uint64_t off)
{
	struct cursor c = {iov, n, 0, off};

	while (c.i < n && c.skip >= iov[c.i].iov_len)
		c.skip -= iov[c.i++].iov_len;
	return c;
}

/* The next at most `bytes` bytes as out[0..*m); returns how many bytes, 0 at the end of the iovecs. Does not advance. */
static uint64_t cursor_peek(const struct cursor *at, uint64_t bytes, struct iovec *out, unsigned *m)
{
	struct cursor c = *at;
	uint64_t sum = 0;

	for (*m = 0; c.i < c.n && *m < BATCH && sum < bytes; c.i++, c.skip = 0) {
		uint64_t len = c.iov[c.i].iov_len - c.skip;

		if (len > bytes - sum)
			len = bytes - sum;
		if (!len)
			continue;
		out[(*m)++] = (struct iovec){(uint8_t *)c.iov[c.i].iov_base + c.skip, len};
		sum += len;
	}
	return sum;
}

static void cursor_advance(struct cursor *c, uint64_t bytes)
{
	c->skip += bytes;
	while (c->i < c->n && c->skip >= c->iov[c->i].iov_len)
		c->skip -= c->iov[c->i++].iov_len;
}

void disk_iov_put(const struct iovec *iov, unsigned n, uint64_t iov_off, const uint8_t *from, uint64_t bytes)
{
	struct cursor c = cursor_at(iov, n, iov_off);

	for (; bytes && c.i < n; c.i++, c.skip = 0) {
		uint64_t len = iov[c.i].iov_len - c.skip;
		uint8_t *to = (uint8_t *)iov[c.i].iov_base + c.skip;

		if (len > bytes)
			len = bytes;
		if (from)
			memcpy(to, from, len);
		else
			memset(to, 0, len);
		from = from ? from + len : NULL;
		bytes -= len;
	}
}

void disk_iov_get(const struct iovec *iov, unsigned n, uint64_t iov_off, uint8_t *to, uint64_t bytes)
{
	struct cursor c = cursor_at(iov, n, iov_off);

	for (; bytes && c.i < n; c.i++, c.skip = 0) {
		uint64_t len = iov[c.i].iov_len - c.skip;

		if (len > bytes)
			len = bytes;
		memcpy(to, (const uint8_t *)iov[c.i].iov_base + c.skip, len);
		to += len;
		bytes -= len;
	}
}

/* ---- whole transfers ---- */

int disk_pread(const struct disk_host *host, int fd, uint64_t off, uint64_t bytes, const struct iovec *iov, unsigned n,
	       uint64_t iov_off, bool nowait)
{
	struct cursor c = cursor_at(iov, n, iov_off);

	while (bytes) {
		struct iovec part[BATCH];
		unsigned m;
		uint64_t want = cursor_peek(&c, bytes, part, &m);
		ssize_t got;

		if (!want)
			return -EINVAL;
		got = host->preadv2(fd, part, (int)m, (off_t)off, nowait ? RWF_NOWAIT : 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return nowait ? -EAGAIN
				      : -errno; /* some file systems know no RWF_NOWAIT: the slow way says why */
		if (nowait && (uint64_t)got < want)
			return -EAGAIN;
		if (!got)
			return -EIO; /* shorter than when it was opened */
		cursor_advance(&c, (uint64_t)got);
		off += (uint64_t)got;
		bytes -= (uint64_t)got;
	}
	return 0;
}

int disk_pwrite(const struct disk_host *host, int fd, uint64_t off, uint64_t bytes, const struct iovec *iov, unsigned n,
		uint64_t iov_off)
{
	struct cursor c = cursor_at(iov, n, iov_off);

	while (bytes) {
		struct iovec part[BATCH];
		unsigned m;
		uint64_t want = cursor_peek(&c, bytes, part, &m);
		ssize_t got;

		if (!want)
			return -EINVAL;
		got = host->pwritev(fd, part, (int)m, (off_t)off);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -EIO;
		cursor_advance(&c, (uint64_t)got);
		off += (uint64_t)got;
		bytes -= (uint64_t)got;
	}
	return 0;
}

int disk_pread_buf(const struct disk_host *host, int fd, uint64_t off, void *buf, uint64_t bytes)
{
	struct iovec iov = {buf, bytes};

	return disk_pread(host, fd, off, bytes, &iov, 1, 0, false);
}

int disk_pwrite_buf(const struct disk_host *host, int fd, uint64_t off, const void *buf, uint64_t bytes)
{
	struct iovec iov = {(void *)(uintptr_t)buf, bytes};

	return disk_pwrite(host, fd, off, bytes, &iov, 1, 0);
}

static int allocate(const struct disk_host *host, int fd, int mode, uint64_t off, uint64_t bytes)
{
	while (host->fallocate(fd, mode, (off_t)off, (off_t)bytes)) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int disk_sync(const struct disk_host *host, int fd)
{
	while (host->fdatasync(fd)) {
		if (errno != EINTR) /* interrupted is not failed */
			return -errno;
	}
	return 0;
}

/* The host's file system, or its block device, cannot do this at all (as opposed to: has failed to). */
static bool unsupported(int err) { return err == -EOPNOTSUPP || err == -ENOSYS || err == -EINVAL || err == -ENODEV; }

int disk_pzero(const struct disk_host *host, int fd, uint64_t off, uint64_t bytes, bool punch)
{
	static const uint8_t zeroes[64 << 10];
	int err = -EOPNOTSUPP;

	if (punch)
		err = allocate(host, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, bytes);
	if (unsupported(err))
		err = allocate(host, fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, off, bytes);
	if (!unsupported(err))
		return err;
	for (err = 0; bytes && !err;) {
		uint64_t n = bytes < sizeof(zeroes) ? bytes : sizeof(zeroes);

		err = disk_pwrite_buf(host, fd, off, zeroes, n);
		off += n;
		bytes -= n;
	}
	return err;
}

/* ---- a raw image ---- */

static int raw_read(struct disk_base *b, uint64_t off, uint64_t bytes, const struct iovec *iov, unsigned n,
		    uint64_t iov_off, bool nowait)
{
	return disk_pread(b->host, b->fd, off, bytes, iov, n, iov_off, nowait);
}

static int raw_write(struct disk_base *b, uint64_t off, const struct iovec *iov, unsigned n, uint64_t bytes)
{
	return disk_pwrite(b->host, b->fd, off, bytes, iov, n, 0);
}

static int raw_flush(struct disk_base *b) { return disk_sync(b->host, b->fd); }

/* A discard is a hint (virtio 1.2, 5.2.6): a host that cannot is no error. */
static int raw_discard(struct disk_base *b, uint64_t off, uint64_t bytes)
{
	int err = allocate(b->host, b->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, bytes);

	return unsupported(err) ? 0 : err;
}

static int raw_zero(struct disk_base *b, uint64_t off, uint64_t bytes, bool unmap)
{
	return disk_pzero(b->host, b->fd, off, bytes, unmap);
}

static void raw_close(struct disk_base *b) {}

int disk_raw_open(struct disk_base *b, const char *path, uint64_t file_bytes, struct disk_error *err)
{
	static const struct disk_base_ops ops = {
	    .read = raw_read,
	    .write = raw_write,
	    .flush = raw_flush,
	    .discard = raw_discard,
	    .zero = raw_zero,
	    .close = raw_close,
	};

	if (!file_bytes)
		return disk_say(err, -EINVAL, path, "is empty");
	if (file_bytes % DISK_SECTOR_BYTES)
		return disk_say(err, -EINVAL, path,
				"its size, %llu bytes, is not a multiple of %d; truncate -s %%%d would round it up",
				(unsigned long long)file_bytes, DISK_SECTOR_BYTES, DISK_SECTOR_BYTES);
	b->ops = &ops;
	b->bytes = file_bytes;
	return 0;
}
