/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_PV_FAULT_HOST_H
#define TESTS_UNIT_PV_FAULT_HOST_H

/*
 * A host's disk under the disks of a test: the n-th call of those that touch data fails, in each way that the system's manual
 * allows; and it can lose its power.  Then the file under test has what was synced, and of the rest the worst: nothing.  A sync
 * that fails forgets what it could not write, as Linux does: a later one succeeds and has not written it.
 *
 * One at a time, for disk_host's functions have no argument of their own.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/pv_disk.h"

enum fault_kind { FAULT_ENOSPC, FAULT_EDQUOT, FAULT_EIO, FAULT_EINTR, FAULT_SHORT, FAULT_SHORT_ENOSPC, NUM_FAULTS };
enum fault_call { CALL_WRITE, CALL_READ, CALL_SYNC, CALL_ALLOCATE, NUM_CALLS };

static struct fault_host {
	pthread_mutex_t lock;
	enum fault_kind kind;
	long countdown;             /* calls until the one that fails; < 0: none any more */
	unsigned times;             /* so many fail in turn */
	unsigned failed;            /* have so far */
	enum fault_call first;      /* which call the first was */
	unsigned errors[NUM_CALLS]; /* failed, and not just interrupted */
	bool dead;                  /* the power is gone: nothing has an effect */
	bool healthy;               /* no faults for now, and no counting */

	struct stat file; /* the one whose durable contents are kept */
	int durable;      /* a copy with what has been synced */
	struct {
		off_t off;
		size_t bytes;
	} dirty[4096];
	unsigned n_dirty;
} fh = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* True: this call fails. */
static bool fault_now(enum fault_call call)
{
	if (fh.healthy || fh.countdown < 0 || fh.countdown-- > 0)
		return false;
	if (!fh.failed++)
		fh.first = call;
	fh.countdown = fh.failed < fh.times ? 0 : -1;
	return true;
}

static int fault_errno(enum fault_call call)
{
	static const int codes[NUM_FAULTS] = {
	    [FAULT_ENOSPC] = ENOSPC, [FAULT_EDQUOT] = EDQUOT, [FAULT_EIO] = EIO,
	    [FAULT_EINTR] = EINTR,   [FAULT_SHORT] = EINTR,   [FAULT_SHORT_ENOSPC] = ENOSPC};

	fh.errors[call] += codes[fh.kind] != EINTR;
	return codes[fh.kind];
}

static bool fault_watched(int fd)
{
	struct stat st;

	return fh.durable >= 0 && !fstat(fd, &st) && st.st_dev == fh.file.st_dev && st.st_ino == fh.file.st_ino;
}

static void fault_dirty(int fd, off_t off, size_t bytes)
{
	if (!fault_watched(fd))
		return;
	cr_assert_lt(fh.n_dirty, ARRAY_LEN(fh.dirty));
	fh.dirty[fh.n_dirty].off = off;
	fh.dirty[fh.n_dirty++].bytes = bytes;
}

/* At most `bytes` of the iovecs. */
static int fault_cut(const struct iovec *iov, int n, size_t bytes, struct iovec *out)
{
	int m = 0;

	for (; m < n && bytes; m++) {
		out[m] = iov[m];
		if (out[m].iov_len > bytes)
			out[m].iov_len = bytes;
		bytes -= out[m].iov_len;
	}
	return m;
}

static size_t fault_sum(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* Is it the kind that transfers a part?  The call that follows one of SHORT_ENOSPC fails: the disk is full in between. */
static bool fault_is_short(void) { return fh.kind == FAULT_SHORT || (fh.kind == FAULT_SHORT_ENOSPC && fh.failed == 1); }

static ssize_t fault_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	struct iovec part[1024];
	ssize_t done = -1;

	pthread_mutex_lock(&fh.lock);
	if (fh.dead) {
		done = (ssize_t)fault_sum(iov, n);
	} else if (!fault_now(CALL_WRITE)) {
		done = pwritev(fd, iov, n, off);
	} else if (fault_is_short()) {
		done = pwritev(fd, part, fault_cut(iov, n, fault_sum(iov, n) / 2 + 7, part), off);
	} else {
		errno = fault_errno(CALL_WRITE);
	}
	if (done > 0 && !fh.dead)
		fault_dirty(fd, off, (size_t)done);
	pthread_mutex_unlock(&fh.lock);
	return done;
}

static ssize_t fault_preadv2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	struct iovec part[1024];
	ssize_t done = -1;

	if (flags) { /* RWF_NOWAIT: what is in memory is the real host's affair, and not to be counted */
		errno = EAGAIN;
		return -1;
	}
	pthread_mutex_lock(&fh.lock);
	if (!fault_now(CALL_READ))
		done = preadv2(fd, iov, n, off, flags);
	else if (fault_is_short())
		done = preadv2(fd, part, fault_cut(iov, n, fault_sum(iov, n) / 2 + 7, part), off, flags);
	else /* a full disk can be read */
		errno = fault_errno(CALL_READ) == EINTR ? EINTR : EIO;
	pthread_mutex_unlock(&fh.lock);
	return done;
}

static void fault_copy(int fd, off_t off, size_t bytes)
{
	static uint8_t buf[65536];

	while (bytes) {
		size_t n = bytes < sizeof(buf) ? bytes : sizeof(buf);
		ssize_t got = pread(fd, buf, n, off);

		if (got <= 0)
			return; /* beyond its end */
		cr_assert_eq(pwrite(fh.durable, buf, (size_t)got, off), got);
		off += got;
		bytes -= (size_t)got;
	}
}

static int fault_fdatasync(int fd)
{
	int r = 0;

	pthread_mutex_lock(&fh.lock);
	if (!fh.dead && fault_now(CALL_SYNC) && !fault_is_short()) {
		errno = fault_errno(CALL_SYNC);
		r = -1;
	}
	if (fault_watched(fd) && !fh.dead) {
		for (unsigned i = 0; !r && i < fh.n_dirty; i++)
			fault_copy(fd, fh.dirty[i].off, fh.dirty[i].bytes);
		if (!r || errno != EINTR)
			fh.n_dirty = 0;
	}
	pthread_mutex_unlock(&fh.lock);
	return r;
}

static int fault_fallocate(int fd, int mode, off_t off, off_t bytes)
{
	int r = 0;

	pthread_mutex_lock(&fh.lock);
	if (!fh.dead) {
		if (fault_now(CALL_ALLOCATE) && !fault_is_short()) {
			errno = fault_errno(CALL_ALLOCATE);
			r = -1;
		} else {
			r = fallocate(fd, mode, off, bytes);
			if (!r)
				fault_dirty(fd, off, (size_t)bytes);
		}
	}
	pthread_mutex_unlock(&fh.lock);
	return r;
}

/* No faults, everything durable so far: name, a file of the bench that is there, is watched from now on. */
static void fault_watch(struct bench *b, const char *name)
{
	static uint8_t buf[4096];
	int fd = open(bench_path(b, name), O_RDONLY | O_CLOEXEC);
	off_t at = 0, hole;

	cr_assert(fd >= 0 && !fstat(fd, &fh.file));
	fh.durable = open(bench_path(b, "durable"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	cr_assert(fh.durable >= 0 && !ftruncate(fh.durable, fh.file.st_size));
	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		for (hole = lseek(fd, at, SEEK_HOLE); at < hole;) {
			ssize_t got = pread(fd, buf, sizeof(buf), at);

			cr_assert(got > 0 && pwrite(fh.durable, buf, (size_t)got, at) == got);
			at += got;
		}
	}
	close(fd);
	fh.n_dirty = 0;
}

static void fault_reset(struct bench *b)
{
	if (fh.durable > 0)
		close(fh.durable);
	fh = (struct fault_host){.lock = PTHREAD_MUTEX_INITIALIZER, .countdown = -1, .durable = -1};
	b->host.pwritev = fault_pwritev;
	b->host.preadv2 = fault_preadv2;
	b->host.fdatasync = fault_fdatasync;
	b->host.fallocate = fault_fallocate;
}

#endif
