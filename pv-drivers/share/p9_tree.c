/* SPDX-License-Identifier: MIT */
/* The tree: Tmkdir, Tmknod, Tsymlink, Treadlink, Tlink, Trename, Trenameat, Tunlinkat, Tremove. */
#define _GNU_SOURCE /* O_PATH */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pv-drivers/share/p9_server.h"

enum { DOTL_REMOVEDIR = 0x200 };

/* A directory in which a message changes something; NULL and *r if the fid is not one. */
static struct p9_fid *get_dir(struct p9_request *q, int *r)
{
	struct p9_fid *f = p9_get_fid(q);

	*r = q->in.bad ? -EPROTO : !f || f->fd < 0 ? -EBADF : !S_ISDIR(f->type) ? -ENOTDIR : 0;
	return *r ? NULL : f;
}

/* The qid of what has just been made. */
static int put_made(struct p9_request *q, int dir, const char *name)
{
	int fd = p9_open_child(q->s, dir, name, false), r;
	struct stat st;

	if (fd < 0)
		return fd;
	r = p9_stat(fd, &st);
	close(fd);
	if (!r)
		p9_put_qid(&q->out, p9_qid_of(q->s, &st));
	return r;
}

/* size[4] Tmkdir tag[2] dfid[4] name[s] mode[4] gid[4] -> size[4] Rmkdir tag[2] qid[13] */
int p9_mkdir(struct p9_request *q)
{
	char name[P9_NAME_BYTES];
	int r, fd, name_r;
	struct p9_fid *dir = get_dir(q, &r);
	struct stat st;
	uint32_t mode;

	name_r = p9_get_name(q, name);
	mode = p9_get32(&q->in);
	if (r || q->in.bad || name_r)
		return r ? r : q->in.bad ? -EPROTO : name_r;
	if (mkdirat(dir->fd, name, 0700))
		return -errno;
	fd = p9_open_child(q->s, dir->fd, name, false);
	if (fd < 0)
		return fd;
	r = p9_stat(fd, &st);
	/* The guest has applied its umask; the host's is not to be in it. */
	if (!r && S_ISDIR(st.st_mode) && fchmodat(q->s->proc, p9_proc_name(fd).name, mode & 01777, 0))
		r = -errno;
	close(fd);
	if (!r)
		p9_put_qid(&q->out, p9_qid_of(q->s, &st));
	return r;
}

/* size[4] Tmknod tag[2] dfid[4] name[s] mode[4] major[4] minor[4] gid[4] -> size[4] Rmknod tag[2] qid[13] */
int p9_mknod(struct p9_request *q)
{
	char name[P9_NAME_BYTES];
	int r, fd, name_r;
	struct p9_fid *dir = get_dir(q, &r);
	uint32_t mode;

	name_r = p9_get_name(q, name);
	mode = p9_get32(&q->in);
	if (r || q->in.bad || name_r)
		return r ? r : q->in.bad ? -EPROTO : name_r;
	/* Devices, fifos and sockets would be the host's: they block or do worse to those who open them there. */
	if (mode & S_IFMT && !S_ISREG(mode))
		return -EPERM;
	fd = openat(dir->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fchmod(fd, mode & 0777) ? -errno : 0;
	close(fd);
	return r ? r : put_made(q, dir->fd, name);
}

/* size[4] Tsymlink tag[2] fid[4] name[s] symtgt[s] gid[4] -> size[4] Rsymlink tag[2] qid[13] */
int p9_symlink(struct p9_request *q)
{
	char name[P9_NAME_BYTES], target[P9_PATH_BYTES];
	int r, name_r, target_r;
	struct p9_fid *dir = get_dir(q, &r);

	name_r = p9_get_name(q, name);
	target_r = p9_get_string(&q->in, target, sizeof(target));
	if (r || q->in.bad)
		return r ? r : -EPROTO;
	if (name_r || target_r)
		return name_r ? name_r : target_r;
	if (symlinkat(target, dir->fd, name))
		return -errno;
	return put_made(q, dir->fd, name);
}

/* size[4] Treadlink tag[2] fid[4] -> size[4] Rreadlink tag[2] target[s] */
int p9_readlink(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	char target[P9_PATH_BYTES];
	ssize_t n;

	if (q->in.bad)
		return -EPROTO;
	if (!f || f->fd < 0)
		return -EBADF;
	if (!S_ISLNK(f->type))
		return -EINVAL;
	n = readlinkat(f->fd, "", target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = 0;
	p9_put_string(&q->out, target);
	return 0;
}

/* size[4] Tlink tag[2] dfid[4] fid[4] name[s] -> size[4] Rlink tag[2] */
int p9_link(struct p9_request *q)
{
	char name[P9_NAME_BYTES];
	int r, name_r;
	struct p9_fid *dir = get_dir(q, &r), *f = p9_get_fid(q);

	name_r = p9_get_name(q, name);
	if (r || q->in.bad || name_r)
		return r ? r : q->in.bad ? -EPROTO : name_r;
	if (!f || f->fd < 0)
		return -EBADF;
	/* By its entry in /proc, which is followed to the file and no further: needs no privilege, as AT_EMPTY_PATH would. */
	return linkat(q->s->proc, p9_proc_name(f->fd).name, dir->fd, name, AT_SYMLINK_FOLLOW) ? -errno : 0;
}

/* size[4] Trename tag[2] fid[4] dfid[4] name[s] -> size[4] Rrename tag[2] */
int p9_rename(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q), *dir;
	char name[P9_NAME_BYTES], *path;
	const char *old_name;
	int r, name_r, parent;

	dir = get_dir(q, &r);
	name_r = p9_get_name(q, name);
	if (r || q->in.bad || name_r)
		return r ? r : q->in.bad ? -EPROTO : name_r;
	if (!f || f->fd < 0)
		return -EBADF;
	path = p9_path_join(dir->path, name);
	if (!path)
		return -ENAMETOOLONG;
	parent = p9_open_parent(q->s, f, &old_name);
	r = parent < 0 ? parent : renameat(parent, old_name, dir->fd, name) ? -errno : 0;
	if (parent >= 0)
		close(parent);
	if (r) {
		free(path);
		return r;
	}
	free(f->path);
	f->path = path;
	return 0;
}

/* size[4] Trenameat tag[2] olddirfid[4] oldname[s] newdirfid[4] newname[s] -> size[4] Rrenameat tag[2] */
int p9_renameat(struct p9_request *q)
{
	char old_name[P9_NAME_BYTES], new_name[P9_NAME_BYTES];
	int r, new_r, old_name_r, new_name_r;
	struct p9_fid *old_dir = get_dir(q, &r), *new_dir;

	old_name_r = p9_get_name(q, old_name);
	new_dir = get_dir(q, &new_r);
	new_name_r = p9_get_name(q, new_name);
	if (q->in.bad)
		return -EPROTO;
	if (r || new_r)
		return r ? r : new_r;
	if (old_name_r || new_name_r)
		return old_name_r ? old_name_r : new_name_r;
	return renameat(old_dir->fd, old_name, new_dir->fd, new_name) ? -errno : 0;
}

/* size[4] Tunlinkat tag[2] dirfd[4] name[s] flags[4] -> size[4] Runlinkat tag[2] */
int p9_unlinkat(struct p9_request *q)
{
	char name[P9_NAME_BYTES];
	int r, name_r;
	struct p9_fid *dir = get_dir(q, &r);
	uint32_t flags;

	name_r = p9_get_name(q, name);
	flags = p9_get32(&q->in);
	if (r || q->in.bad || name_r)
		return r ? r : q->in.bad ? -EPROTO : name_r;
	return unlinkat(dir->fd, name, flags & DOTL_REMOVEDIR ? AT_REMOVEDIR : 0) ? -errno : 0;
}

/* size[4] Tremove tag[2] fid[4] -> size[4] Rremove tag[2]: the fid is gone in any case (remove(5)) */
int p9_remove(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	const char *name;
	int r, parent;

	if (!f)
		return q->in.bad ? -EPROTO : -EBADF;
	parent = q->s->read_only ? -EROFS : f->fd < 0 ? -EBADF : p9_open_parent(q->s, f, &name);
	r = parent < 0 ? parent : unlinkat(parent, name, S_ISDIR(f->type) ? AT_REMOVEDIR : 0) ? -errno : 0;
	if (parent >= 0)
		close(parent);
	p9_fid_free(q->s, f);
	return r;
}
