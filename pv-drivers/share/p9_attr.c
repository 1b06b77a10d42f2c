/* SPDX-License-Identifier: MIT */
/*
 * Attributes: Tgetattr, Tsetattr, Tstatfs.
 *
 * Owners are as in a user namespace that maps one id: what belongs to the user who runs Disco belongs to root in the guest,
 * everything else to nobody.  A guest's chown succeeds and does nothing.
 */
#define _GNU_SOURCE /* AT_EMPTY_PATH, statx */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "pv-drivers/share/p9_server.h"

enum { NOBODY = 65534, NS_PER_S = 1000000000 };

enum getattr_bits {
	GETATTR_BASIC = 0x7ff,
	GETATTR_BTIME = 0x800,
};

enum setattr_bits {
	SETATTR_MODE = 0x1,
	SETATTR_SIZE = 0x8,
	SETATTR_ATIME = 0x10,
	SETATTR_MTIME = 0x20,
	SETATTR_ATIME_SET = 0x80,
	SETATTR_MTIME_SET = 0x100,
};

static void put_time(struct p9_out *out, const struct statx_timestamp *t)
{
	p9_put64(out, (uint64_t)t->tv_sec);
	p9_put64(out, t->tv_nsec);
}

/*
 * size[4] Tgetattr tag[2] fid[4] request_mask[8] ->
 * size[4] Rgetattr tag[2] valid[8] qid[13] mode[4] uid[4] gid[4] nlink[8] rdev[8] size[8] blksize[8] blocks[8]
 *         atime_sec[8] atime_nsec[8] mtime_sec[8] mtime_nsec[8] ctime_sec[8] ctime_nsec[8] btime_sec[8] btime_nsec[8]
 *         gen[8] data_version[8]
 */
int p9_getattr(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	struct p9_out *out = &q->out;
	struct statx x;
	int fd, r;

	p9_get64(&q->in); /* all of it is always given */
	if (q->in.bad)
		return -EPROTO;
	if (!f || !f->node)
		return -EBADF;
	if (q->now && !f->node->local)
		return P9_LATER;
	fd = p9_fid_fd(q->s, f, q->now);
	r = fd < 0 ? fd : p9_stat(fd, &x);
	if (r)
		return r;
	p9_put64(out, GETATTR_BASIC | (x.stx_mask & STATX_BTIME ? GETATTR_BTIME : 0));
	p9_put_qid(out, p9_qid_of(q->s, &x));
	p9_put32(out, x.stx_mode);
	p9_put32(out, x.stx_uid == q->s->uid ? 0 : NOBODY);
	p9_put32(out, x.stx_gid == q->s->gid ? 0 : NOBODY);
	p9_put64(out, x.stx_nlink);
	p9_put64(out, 0); /* rdev: the host's devices are not the guest's */
	p9_put64(out, x.stx_size);
	p9_put64(out, x.stx_blksize);
	p9_put64(out, x.stx_blocks);
	put_time(out, &x.stx_atime);
	put_time(out, &x.stx_mtime);
	put_time(out, &x.stx_ctime);
	put_time(out, &x.stx_btime);
	p9_put64(out, 0);
	p9_put64(out, 0);
	return 0;
}

static struct timespec time_of(uint32_t valid, uint32_t bit, uint32_t set, uint64_t s, uint64_t ns)
{
	if (!(valid & bit))
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	if (!(valid & set))
		return (struct timespec){.tv_nsec = UTIME_NOW};
	return (struct timespec){.tv_sec = (time_t)s, .tv_nsec = (long)(ns % NS_PER_S)};
}

static int set_size(struct p9_fid *f, int fd, uint64_t size)
{
	if (size > INT64_MAX)
		return -EFBIG;
	if (f->kind == P9_FID_OPEN && f->flags != O_RDONLY)
		return ftruncate(f->fd, (off_t)size) ? -errno : 0;
	if (!S_ISREG(f->node->type))
		return S_ISDIR(f->node->type) ? -EISDIR : -EINVAL;
	return truncate(p9_proc_path(fd).path, (off_t)size) ? -errno : 0;
}

static int set_mode(struct p9_server *s, struct p9_fid *f, int fd, uint32_t mode)
{
	if (S_ISLNK(f->node->type))
		return -EOPNOTSUPP;
	/* No set-id bits: the guest's root would make programs that run as the host's user for others. */
	return fchmodat(s->proc, p9_proc_name(fd).name, mode & 01777, 0) ? -errno : 0;
}

/*
 * size[4] Tsetattr tag[2] fid[4] valid[4] mode[4] uid[4] gid[4] size[8] atime_sec[8] atime_nsec[8] mtime_sec[8]
 * mtime_nsec[8] -> size[4] Rsetattr tag[2]
 */
int p9_setattr(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	uint32_t valid = p9_get32(&q->in), mode = p9_get32(&q->in);
	uint64_t size, atime[2], mtime[2];
	struct timespec t[2];
	int fd, r = 0;

	p9_get64(&q->in); /* uid, gid */
	size = p9_get64(&q->in);
	for (unsigned i = 0; i < 2; i++)
		atime[i] = p9_get64(&q->in);
	for (unsigned i = 0; i < 2; i++)
		mtime[i] = p9_get64(&q->in);
	if (q->in.bad)
		return -EPROTO;
	if (!f || !f->node)
		return -EBADF;
	fd = p9_fid_fd(q->s, f, false);
	if (fd < 0)
		return fd;
	if (valid & SETATTR_MODE)
		r = set_mode(q->s, f, fd, mode);
	if (!r && valid & SETATTR_SIZE)
		r = set_size(f, fd, size);
	if (r || !(valid & (SETATTR_ATIME | SETATTR_MTIME)))
		return r;
	t[0] = time_of(valid, SETATTR_ATIME, SETATTR_ATIME_SET, atime[0], atime[1]);
	t[1] = time_of(valid, SETATTR_MTIME, SETATTR_MTIME_SET, mtime[0], mtime[1]);
	if (S_ISREG(f->node->type) || S_ISDIR(f->node->type))
		r = utimensat(q->s->proc, p9_proc_name(fd).name, t, 0);
	else
		r = utimensat(fd, "", t, AT_EMPTY_PATH);
	return r ? -errno : 0;
}

/*
 * size[4] Tstatfs tag[2] fid[4] -> size[4] Rstatfs tag[2] type[4] bsize[4] blocks[8] bfree[8] bavail[8] files[8] ffree[8]
 *                                  fsid[8] namelen[4]
 */
int p9_statfs(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	struct p9_out *out = &q->out;
	struct statvfs v;
	int fd;

	if (q->in.bad)
		return -EPROTO;
	if (!f || !f->node)
		return -EBADF;
	fd = p9_fid_fd(q->s, f, false);
	if (fd < 0)
		return fd;
	if (fstatvfs(fd, &v))
		return -errno;
	p9_put32(out, 0x01021997); /* V9FS_MAGIC */
	p9_put32(out, (uint32_t)v.f_frsize);
	p9_put64(out, v.f_blocks);
	p9_put64(out, v.f_bfree);
	p9_put64(out, v.f_bavail);
	p9_put64(out, v.f_files);
	p9_put64(out, v.f_ffree);
	p9_put64(out, p9_qid_path(q->s, q->s->dev, 0));
	p9_put32(out, v.f_namemax < P9_NAME_BYTES ? (uint32_t)v.f_namemax : P9_NAME_BYTES - 1);
	return 0;
}
