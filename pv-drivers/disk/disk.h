/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_DISK_H
#define PV_DRIVERS_DISK_H

/*
 * The medium behind a virtual disk: an image file, raw or qcow2, with or without a copy-on-write layer over it
 * (SOSP'97 4.2.5; disco-facts.md 6.2).  Outlives a reset of the machine.
 */
#include <sys/uio.h>

#include "base/panic.h"
#include "base/types.h"
#include "numa/share.h"

struct disk;

enum { DISK_SECTOR_BYTES = 512 };

enum disk_mode {
	DISK_RW,  /* writes go to the image (raw only) */
	DISK_RO,  /* writes are refused */
	DISK_COW, /* writes go to a layer of this machine's own; the image is never changed */
};

/*
 * What an image is.  AUTO: a name that ends in .qcow2 or .qcow with that format's magic is qcow2, anything without the
 * magic and without such a name is raw, and where the two disagree the image is refused: a guest that may write a raw
 * image can write any magic into it, so the contents alone never decide.
 */
enum disk_format { DISK_FORMAT_AUTO, DISK_FORMAT_RAW, DISK_FORMAT_QCOW2 };

/*
 * What becomes of a request that fails on the host; QEMU's words.  STOP: the machine waits and the request is done again, until
 * it works; ENOSPC: STOP for a full disk or quota, REPORT for the rest; IGNORE: the guest is told that it was done.
 */
enum disk_policy { DISK_REPORT, DISK_STOP, DISK_IGNORE, DISK_ENOSPC };
enum disk_verdict { DISK_FAIL, DISK_WAIT, DISK_PASS };

struct disk_config {
	const char *path;
	enum disk_mode mode;
	enum disk_format format;
	const char *overlay;             /* DISK_COW: keep the layer in this file, or NULL: gone with the disk */
	enum disk_policy werror, rerror; /* for what changes the disk, and for reads (not DISK_ENOSPC) */
	/*
	 * A host error (a full disk, an unreadable image), once per file and kind, and that the machine waits, or goes on: one
	 * line for the user without its end. Any thread.  NULL: nobody is told.
	 */
	void (*complain)(void *opaque, const char *line);
	void *opaque;
};

/* A writable disk has SIGXFSZ ignored in the process if nobody handles it: a file limit is an error like a full disk. */
struct disk_error {
	char text[512]; /* one line without "disco: ": the file and what is wrong; for a locked image, who has it */
};

/* 0 or -errno with err filled. */
MUST_CHECK int disk_open(struct disk **out, const struct disk_config *cfg, struct disk_error *err);
/* Flushes what mode=rw or an overlay file still has to get. 0 or -errno. */
int disk_close(struct disk *d);
uint64_t disk_bytes(const struct disk *d); /* multiple of DISK_SECTOR_BYTES */
bool disk_read_only(const struct disk *d);

/* What the disk's image is, for who shares its blocks. False: they are not to be shared (mode=rw, or no regular file). */
bool disk_image(const struct disk *d, struct share_image *out);
/*
 * Are these bytes what the image has, with nothing of this machine's over it?  Once they are not, they never will be again.
 * Any thread.
 */
bool disk_is_image(struct disk *d, uint64_t off, uint64_t bytes);

/*
 * off and the iovecs' total are multiples of DISK_SECTOR_BYTES and inside the disk (the caller has checked: -EINVAL).
 * 0 or -errno (-ENOSPC, -EIO, -EROFS, ...); -ENOTRECOVERABLE: a sync has failed, no flush will succeed any more.
 * Any thread, several at a time.  May block.  What failed may be done again as it was.
 */
MUST_CHECK int disk_readv(struct disk *d, uint64_t off, const struct iovec *iov, unsigned n);
/* As disk_readv() if that takes no wait for the host's disk, else -EAGAIN; what the iovecs then hold is undefined. */
MUST_CHECK int disk_readv_nowait(struct disk *d, uint64_t off, const struct iovec *iov, unsigned n);
MUST_CHECK int disk_writev(struct disk *d, uint64_t off, const struct iovec *iov, unsigned n);
/* What was written before is on the host's stable storage when it returns 0. */
MUST_CHECK int disk_flush(struct disk *d);
/* The guest no longer needs it: the host may get the space back; reads give zeroes or what was there. */
MUST_CHECK int disk_discard(struct disk *d, uint64_t off, uint64_t bytes);
/* Reads give zeroes; unmap: and the space may go back to the host. */
MUST_CHECK int disk_write_zeroes(struct disk *d, uint64_t off, uint64_t bytes, bool unmap);

/* What to do about a request that failed with err. write: it was no read. Any thread. */
enum disk_verdict disk_verdict(const struct disk *d, bool write, int err);
/* The machine waits for a request that failed (DISK_WAIT): the user is told what for, once until disk_go().  vCPU thread. */
void disk_wait(struct disk *d);
/* All that it waited for has been done. vCPU thread. */
void disk_go(struct disk *d);

#endif
