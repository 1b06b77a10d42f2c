/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_DISK_INTERNAL_H
#define PV_DRIVERS_DISK_INTERNAL_H

/*
 * The parts of a disk, from the guest down:
 *
 *   disk.c        checks, modes
 *   disk_errors.c what becomes of an error of the host, messages
 *   disk_cow.c    the machine's own layer: a range tree over memory, a temporary file or an overlay file
 *   disk_log.c    the overlay file's header and its log of ranges
 *   disk_raw.c    an image as it is       } the base
 *   disk_qcow2.c  an image by libqcow     }
 *   disk_lock.c   who may open what
 *
 * All offsets and sizes are bytes, multiples of DISK_SECTOR_BYTES, inside the disk, unless they are said to be sectors.
 */
#include <sys/types.h>

#include "pv-drivers/disk/disk_errors.h"

/*
 * The host's calls that touch image data, so that a test can fail the n-th of them, and bounds, so that it can reach them.
 * As the functions of the same name: -1 and errno.
 */
struct disk_host {
	ssize_t (*preadv2)(int fd, const struct iovec *iov, int n, off_t off, int flags);
	ssize_t (*pwritev)(int fd, const struct iovec *iov, int n, off_t off);
	int (*fdatasync)(int fd);
	int (*fallocate)(int fd, int mode, off_t off, off_t bytes);
	uint64_t cow_memory_bytes; /* a layer without a file stays in memory up to here */
	uint64_t cow_ranges;       /* above so many ranges, writes are rounded to COW_COARSE_BYTES */
};
extern const struct disk_host disk_host_default;

/* disk_open() on another host. host must outlive the disk. */
MUST_CHECK int disk_open_on(struct disk **out, const struct disk_config *cfg, const struct disk_host *host,
			    struct disk_error *err);

/* err->text = "PATH: ..."; returns code, so that a caller can return what it says. */
int disk_say(struct disk_error *err, int code, const char *path, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* strerror(3) of a positive errno, any thread. */
const char *disk_strerror(int err);

/* ---- whole transfers (disk_raw.c): no short counts, any number of iovecs ---- */
/* [off, off + bytes) from or to the iovecs from byte iov_off on.  -EIO at the end of the file; -EAGAIN if nowait. */
MUST_CHECK int disk_pread(const struct disk_host *host, int fd, uint64_t off, uint64_t bytes, const struct iovec *iov,
			  unsigned n, uint64_t iov_off, bool nowait);
MUST_CHECK int disk_pwrite(const struct disk_host *host, int fd, uint64_t off, uint64_t bytes, const struct iovec *iov,
			   unsigned n, uint64_t iov_off);
MUST_CHECK int disk_pread_buf(const struct disk_host *host, int fd, uint64_t off, void *buf, uint64_t bytes);
MUST_CHECK int disk_pwrite_buf(const struct disk_host *host, int fd, uint64_t off, const void *buf, uint64_t bytes);
/* fdatasync(2). Any error is final: struct disk_fault. */
MUST_CHECK int disk_sync(const struct disk_host *host, int fd);
/* Zeroes into an open file: the space is given back (punch), or kept, or zeroes are written if the host can do neither. */
MUST_CHECK int disk_pzero(const struct disk_host *host, int fd, uint64_t off, uint64_t bytes, bool punch);
/* Bytes of iov from iov_off on, to or from a buffer; NULL `from`: zeroes. */
void disk_iov_put(const struct iovec *iov, unsigned n, uint64_t iov_off, const uint8_t *from, uint64_t bytes);
void disk_iov_get(const struct iovec *iov, unsigned n, uint64_t iov_off, uint8_t *to, uint64_t bytes);

/* ---- the base: an image file, open and locked ---- */
struct disk_base;
struct disk_base_ops {
	/* Any thread.  nowait: -EAGAIN if it could block. */
	int (*read)(struct disk_base *b, uint64_t off, uint64_t bytes, const struct iovec *iov, unsigned n,
		    uint64_t iov_off, bool nowait);
	/* NULL: cannot be written. */
	int (*write)(struct disk_base *b, uint64_t off, const struct iovec *iov, unsigned n, uint64_t bytes);
	int (*flush)(struct disk_base *b);
	int (*discard)(struct disk_base *b, uint64_t off, uint64_t bytes);
	int (*zero)(struct disk_base *b, uint64_t off, uint64_t bytes, bool unmap);
	/* Frees what the format added; the file descriptor is closed by disk.c. */
	void (*close)(struct disk_base *b);
};
struct disk_base {
	const struct disk_base_ops *ops;
	const struct disk_host *host;
	int fd;
	uint64_t bytes;
	void *format; /* the format's own */
};
/* fd: open as the mode needs; file_bytes: its size.  Fill ops and bytes.  0 or -errno with err filled. */
MUST_CHECK int disk_raw_open(struct disk_base *b, const char *path, uint64_t file_bytes, struct disk_error *err);
MUST_CHECK int disk_qcow2_open(struct disk_base *b, const char *path, uint64_t file_bytes, struct disk_error *err);
/* The magic is there. */
bool disk_qcow2_magic(const uint8_t *head, size_t bytes);

/* ---- disk_lock.c ---- */
/*
 * Lock an open file for this open file description, until it is closed: exclusive, or shared.  The bytes locked are those
 * that QEMU locks, so that neither opens what the other writes.
 * 0, -EBUSY with err naming who has it, or another -errno.
 */
MUST_CHECK int disk_lock(int fd, const char *path, bool exclusive, struct disk_error *err);

/* ---- disk_cow.c: the layer ---- */
struct cow;
struct range_tree;
struct cow_log;
/* log: an open overlay, whose owner the layer becomes, or NULL: memory, then a temporary file.  0 or -ENOMEM. */
MUST_CHECK int cow_new(struct cow **out, struct disk_base *base, struct cow_log *log);
/* Ranges that an overlay had already; *tree is empty afterwards. */
void cow_set_tree(struct cow *c, struct range_tree *tree);
/* Does not flush. Frees the log too. */
void cow_free(struct cow *c);
/* *f, of these four: where it failed, if it did. */
MUST_CHECK int cow_read(struct cow *c, uint64_t off, const struct iovec *iov, unsigned n, uint64_t bytes, bool nowait,
			struct disk_fault *f);
MUST_CHECK int cow_write(struct cow *c, uint64_t off, const struct iovec *iov, unsigned n, uint64_t bytes,
			 struct disk_fault *f);
/* Discard and write-zeroes alike: a range without data. */
MUST_CHECK int cow_zero(struct cow *c, uint64_t off, uint64_t bytes, struct disk_fault *f);
MUST_CHECK int cow_flush(struct cow *c, struct disk_fault *f);
/* The directory of the temporary file of a layer without an overlay; NULL: none was needed yet. */
const char *cow_temporary_dir(struct cow *c);
/* Is any of these bytes in the layer? What is, stays there. */
bool cow_has(struct cow *c, uint64_t off, uint64_t bytes);
/* For tests: ranges in the tree, bytes in memory. */
uint64_t cow_ranges(struct cow *c);
uint64_t cow_memory(struct cow *c);
struct cow *disk_cow(struct disk *d);

#endif
