/* SPDX-License-Identifier: MIT */
/* Open files and directories: Tlopen, Tlcreate, Tread, Twrite, Tfsync, Treaddir. */
#define _GNU_SOURCE /* O_PATH, O_DIRECT ..., getdents64 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pv-drivers/share/p9_server.h"

/* Of Tlopen and Tlcreate: numbers of their own, the same for every guest. */
enum dotl_flags {
	DOTL_ACCMODE = 3,
	DOTL_EXCL = 0200,
	DOTL_TRUNC = 01000,
	DOTL_APPEND = 02000,
	DOTL_DSYNC = 010000,
	DOTL_DIRECTORY = 0200000,
	DOTL_SYNC = 04000000,
};

enum {
	IOVECS = 256,
	/* A read on the vCPU thread: no more than takes about as long as the way to the worker. */
	NOW_BYTES = 65536,
	NOW_IOVECS = 32,
};

/* The host's flags: those that mean something here.  The others are the guest's own business (O_NONBLOCK, O_NOFOLLOW). */
static int host_flags(uint32_t dotl)
{
	static const int access_mode[4] = {O_RDONLY, O_WRONLY, O_RDWR, -1};
	int flags = access_mode[dotl & DOTL_ACCMODE];

	if (flags < 0)
		return -EINVAL;
	flags |= dotl & DOTL_TRUNC ? O_TRUNC : 0;
	flags |= dotl & DOTL_APPEND ? O_APPEND : 0;
	flags |= dotl & DOTL_DSYNC ? O_DSYNC : 0;
	flags |= dotl & DOTL_SYNC ? O_SYNC : 0;
	flags |= dotl & DOTL_DIRECTORY ? O_DIRECTORY : 0;
	return flags;
}

/* f has its node open, as fd. */
static void set_open(struct p9_server *s, struct p9_fid *f, int fd, int flags)
{
	f->fd = fd;
	f->flags = flags & O_ACCMODE;
	f->kind = P9_FID_OPEN;
	p9_node_opened(s, f->node, f);
}

/* qid[13] iounit[4]: no size of I/O is better than another. */
static void put_opened(struct p9_request *q, const struct statx *x)
{
	p9_put_qid(&q->out, p9_qid_of(q->s, x));
	p9_put32(&q->out, 0);
}

/* size[4] Tlopen tag[2] fid[4] flags[4] -> size[4] Rlopen tag[2] qid[13] iounit[4] */
int p9_lopen(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	int flags = host_flags(p9_get32(&q->in)), fd, r;
	struct statx x;

	if (q->in.bad || flags < 0)
		return q->in.bad ? -EPROTO : flags;
	if (!f || f->kind != P9_FID_PATH)
		return -EBADF;
	if (q->s->read_only && ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC))
		return -EROFS;
	if (q->now && (!f->node->local || (flags & ~O_DIRECTORY) != O_RDONLY))
		return P9_LATER;
	fd = p9_node_fd(q->s, f->node, q->now);
	r = fd < 0 ? fd : p9_fd_reserve(q->s, q->now);
	if (r)
		return r;
	fd = p9_open_again(q->s, fd, f->node->type, flags);
	if (fd < 0)
		return fd;
	r = p9_stat(fd, &x);
	if (r) {
		close(fd);
		return r;
	}
	/* A stack of file systems may give the file another inode when it is opened for writing. */
	p9_node_identify(q->s, f->node, &x);
	set_open(q->s, f, fd, flags);
	put_opened(q, &x);
	return 0;
}

/*
 * Make and open a file.  One that is there already is opened like any other: never by its name, which may be a fifo's or
 * a link's.
 */
static int create(struct p9_server *s, int dir, const char *name, int flags, bool exclusive, mode_t mode)
{
	int fd = p9_create(s, dir, name, flags), path, r;
	struct statx x;

	if (fd >= 0) {
		/* The guest has applied its umask; the host's is not to be in it. */
		if (fchmod(fd, mode & 0777)) {
			r = -errno;
			close(fd);
			return r;
		}
		return fd;
	}
	if (fd != -EEXIST || exclusive)
		return fd;
	path = p9_open_child(s, dir, name, false);
	if (path < 0)
		return path;
	r = p9_stat(path, &x);
	fd = r ? r : S_ISDIR(x.stx_mode) ? -EISDIR : p9_open_again(s, path, x.stx_mode & S_IFMT, flags);
	close(path);
	return fd;
}

/* size[4] Tlcreate tag[2] fid[4] name[s] flags[4] mode[4] gid[4] -> size[4] Rlcreate tag[2] qid[13] iounit[4] */
int p9_lcreate(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	char name[P9_NAME_BYTES];
	int r = p9_get_name(q, name), flags, fd;
	uint32_t dotl = p9_get32(&q->in), mode = p9_get32(&q->in);
	struct p9_node *node;
	struct statx x;

	p9_get32(&q->in); /* gid: the host user's, as everything */
	flags = host_flags(dotl);
	if (q->in.bad || r || flags < 0)
		return q->in.bad ? -EPROTO : r ? r : flags;
	if (!f || f->kind != P9_FID_PATH)
		return -EBADF;
	if (!S_ISDIR(f->node->type))
		return -ENOTDIR;
	fd = p9_node_fd(q->s, f->node, false);
	r = fd < 0 ? fd : p9_fd_reserve(q->s, false);
	if (r)
		return r;
	fd = create(q->s, fd, name, flags & ~O_DIRECTORY, dotl & DOTL_EXCL, mode);
	if (fd < 0)
		return fd;
	r = p9_stat(fd, &x);
	if (!r)
		r = p9_node_child(q->s, f->node, name, &x, -1, &node);
	if (r) {
		close(fd);
		return r;
	}
	p9_node_put(q->s, f->node);
	f->node = node;
	set_open(q->s, f, fd, flags);
	put_opened(q, &x);
	return 0;
}

/* Of a value: from data[]. */
static int read_data(struct p9_request *q, const struct p9_fid *f, uint64_t off, uint32_t count)
{
	uint32_t n = off < f->data_bytes ? f->data_bytes - (uint32_t)off : 0;

	n = n < count ? n : count;
	n = n < q->out.room - q->out.n - 4 ? n : (uint32_t)(q->out.room - q->out.n - 4);
	p9_put32(&q->out, n);
	if (n)
		p9_put_bytes(&q->out, f->data + off, n);
	return 0;
}

/*
 * Move count bytes between the file and guest memory from `skip` on, straight.  Returns the bytes, or -errno if there are
 * none.
 */
static int64_t transfer(int fd, bool writing, const struct iovec *iov, unsigned n_iov, uint64_t skip, uint64_t off,
			uint32_t count)
{
	uint64_t done = 0;

	while (done < count) {
		struct iovec part[IOVECS];
		uint64_t bytes;
		unsigned n = p9_iov_take(iov, n_iov, skip + done, count - done, part, IOVECS, &bytes);
		ssize_t r;

		if (!n)
			break;
		r = writing ? pwritev(fd, part, (int)n, (off_t)(off + done))
			    : preadv(fd, part, (int)n, (off_t)(off + done));
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return done ? (int64_t)done : -errno;
		done += (uint64_t)r;
		if ((uint64_t)r < bytes && (!writing || !r))
			break;
	}
	return (int64_t)done;
}

/*
 * What the host has in memory.  A part is as good as nothing: p9_serve() will read all of it, over what this has put into
 * the guest's buffers.
 */
static int read_now(struct p9_request *q, const struct p9_fid *f, uint64_t off, uint32_t count)
{
	struct iovec part[NOW_IOVECS];
	uint64_t bytes;
	unsigned n = p9_iov_take(q->to, q->n_to, P9_READ_HEADER_BYTES, count, part, NOW_IOVECS, &bytes);
	struct statx x;
	ssize_t r;

	if (!f->node->local || count > NOW_BYTES || bytes < count || p9_stat(f->fd, &x))
		return P9_LATER;
	r = preadv2(f->fd, part, (int)n, (off_t)off, RWF_NOWAIT);
	if (r < 0 || ((uint64_t)r < count && off + (uint64_t)r < x.stx_size))
		return P9_LATER;
	p9_put32(&q->out, (uint32_t)r);
	q->direct = (uint32_t)r;
	return 0;
}

/* size[4] Tread tag[2] fid[4] offset[8] count[4] -> size[4] Rread tag[2] count[4] data[count] */
int p9_read(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	uint64_t off = p9_get64(&q->in);
	uint32_t count = p9_get32(&q->in);
	int64_t n;

	if (q->in.bad)
		return -EPROTO;
	if (f && f->kind == P9_FID_XATTR_GET)
		return read_data(q, f, off, count);
	if (!f || f->kind != P9_FID_OPEN || f->flags == O_WRONLY)
		return -EBADF;
	if (S_ISDIR(f->node->type))
		return -EISDIR;
	if (off > INT64_MAX - P9_MAX_MSIZE)
		return -EINVAL;
	if (q->to_bytes < P9_READ_HEADER_BYTES)
		return -EMSGSIZE;
	if (count > q->to_bytes - P9_READ_HEADER_BYTES)
		count = (uint32_t)(q->to_bytes - P9_READ_HEADER_BYTES);
	if (q->now)
		return read_now(q, f, off, count);
	n = transfer(f->fd, false, q->to, q->n_to, P9_READ_HEADER_BYTES, off, count);
	if (n < 0)
		return (int)n;
	p9_put32(&q->out, (uint32_t)n);
	q->direct = (uint32_t)n;
	return 0;
}

/* A piece of a value that Tclunk sets. */
static int write_data(struct p9_request *q, struct p9_fid *f, uint64_t off, uint32_t count)
{
	if (off != f->data_done || count > f->data_bytes - f->data_done)
		return -EINVAL;
	count = (uint32_t)p9_iov_read(q->from, q->n_from, P9_WRITE_HEADER_BYTES, f->data + off, count);
	f->data_done += count;
	p9_put32(&q->out, count);
	return 0;
}

/* size[4] Twrite tag[2] fid[4] offset[8] count[4] data[count] -> size[4] Rwrite tag[2] count[4] */
int p9_write(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	uint64_t off = p9_get64(&q->in);
	uint32_t count = p9_get32(&q->in);
	int64_t n;

	if (q->in.bad || count > q->size - P9_WRITE_HEADER_BYTES)
		return -EPROTO;
	if (f && f->kind == P9_FID_XATTR_SET)
		return write_data(q, f, off, count);
	if (!f || f->kind != P9_FID_OPEN || f->flags == O_RDONLY)
		return -EBADF;
	if (off > INT64_MAX - P9_MAX_MSIZE)
		return -EFBIG;
	n = transfer(f->fd, true, q->from, q->n_from, P9_WRITE_HEADER_BYTES, off, count);
	if (n < 0)
		return (int)n;
	p9_put32(&q->out, (uint32_t)n);
	return 0;
}

/* size[4] Tfsync tag[2] fid[4] datasync[4] -> size[4] Rfsync tag[2] */
int p9_fsync(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	uint32_t data_only = q->in.left >= 4 ? p9_get32(&q->in) : 0; /* old clients have no such word */

	if (q->in.bad)
		return -EPROTO;
	if (!f || f->kind != P9_FID_OPEN)
		return -EBADF;
	return (data_only ? fdatasync(f->fd) : fsync(f->fd)) ? -errno : 0;
}

/* An entry into the reply: qid[13] offset[8] type[1] name[s]; false if it has no room. */
static bool put_entry(struct p9_request *q, const struct statx *dir, const struct dirent64 *e, size_t room)
{
	struct p9_qid qid = {.type = P9_QID_FILE, .path = p9_qid_path(q->s, p9_dev(dir), e->d_ino)};

	if (P9_QID_BYTES + 8 + 1 + 2 + strlen(e->d_name) > room)
		return false;
	if (e->d_type == DT_DIR)
		qid.type = P9_QID_DIR;
	else if (e->d_type == DT_LNK)
		qid.type = P9_QID_SYMLINK;
	/* What is above the root is not for the guest. */
	if (!strcmp(e->d_name, "..") && p9_dev(dir) == q->s->dev && dir->stx_ino == q->s->ino)
		qid.path = p9_qid_path(q->s, q->s->dev, q->s->ino);
	p9_put_qid(&q->out, qid);
	p9_put64(&q->out, (uint64_t)e->d_off);
	p9_put8(&q->out, e->d_type);
	p9_put_string(&q->out, e->d_name);
	return true;
}

/* size[4] Treaddir tag[2] fid[4] offset[8] count[4] -> size[4] Rreaddir tag[2] count[4] data[count] */
int p9_readdir(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	uint64_t off = p9_get64(&q->in);
	uint32_t count = p9_get32(&q->in);
	size_t start = q->out.n + 4, room = q->out.room - start;
	struct p9_out count_at = {.buf = q->out.buf, .n = q->out.n, .room = q->out.room};
	struct statx x;
	ssize_t n = 0;
	int r;

	if (q->in.bad)
		return -EPROTO;
	if (!f || f->kind != P9_FID_OPEN)
		return -EBADF;
	if (!S_ISDIR(f->node->type))
		return -ENOTDIR;
	if (q->out.room <= start)
		return -EMSGSIZE;
	r = p9_stat(f->fd, &x);
	if (r)
		return r;
	/* offset is what the last entry had, or 0. */
	if (lseek(f->fd, (off_t)off, SEEK_SET) < 0)
		return -errno;
	room = room < count ? room : count;
	p9_put32(&q->out, 0);
	while ((n = getdents64(f->fd, q->s->entries, sizeof(q->s->entries))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *e = (const void *)(q->s->entries + at);

			if (!put_entry(q, &x, e, room - (q->out.n - start)))
				goto full;
			at += e->d_reclen;
		}
	}
	if (n < 0 && q->out.n == start)
		return -errno;
full:
	if (n > 0 && q->out.n == start)
		return -EINVAL; /* not even one: as getdents64() */
	p9_put32(&count_at, (uint32_t)(q->out.n - start));
	return 0;
}
