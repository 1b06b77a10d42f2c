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
static struct p9_node *get_dir(struct p9_request *q, int *r)
{
	struct p9_fid *f = p9_get_fid(q);

	*r = q->in.bad ? -EPROTO : !f || !f->node ? -EBADF : !S_ISDIR(f->node->type) ? -ENOTDIR : 0;
	return *r ? NULL : f->node;
}

/* The same with a name in it: the directory's descriptor, or -errno. */
static int get_place(struct p9_request *q, char name[P9_NAME_BYTES])
{
	int r, name_r;
	struct p9_node *dir = get_dir(q, &r);

	name_r = p9_get_name(q, name);
	if (r || q->in.bad || name_r)
		return r ? r : q->in.bad ? -EPROTO : name_r;
	return p9_node_fd(q->s, dir, false);
}

/* The qid of what has just been made. */
static int put_made(struct p9_request *q, int dir, const char *name)
{
	int fd = p9_open_child(q->s, dir, name, false), r;
	struct statx x;

	if (fd < 0)
		return fd;
	r = p9_stat(fd, &x);
	close(fd);
	if (!r)
		p9_put_qid(&q->out, p9_qid_of(q->s, &x));
	return r;
}

/* size[4] Tmkdir tag[2] dfid[4] name[s] mode[4] gid[4] -> size[4] Rmkdir tag[2] qid[13] */
int p9_mkdir(struct p9_request *q)
{
	char name[P9_NAME_BYTES];
	int dir = get_place(q, name), fd, r;
	uint32_t mode = p9_get32(&q->in);
	struct statx x;

	if (q->in.bad || dir < 0)
		return q->in.bad ? -EPROTO : dir;
	if (mkdirat(dir, name, 0700))
		return -errno;
	fd = p9_open_child(q->s, dir, name, false);
	if (fd < 0)
		return fd;
	r = p9_stat(fd, &x);
	/* The guest has applied its umask; the host's is not to be in it. */
	if (!r && S_ISDIR(x.stx_mode) && fchmodat(q->s->proc, p9_proc_name(fd).name, mode & 01777, 0))
		r = -errno;
	close(fd);
	if (!r)
		p9_put_qid(&q->out, p9_qid_of(q->s, &x));
	return r;
}

/* size[4] Tmknod tag[2] dfid[4] name[s] mode[4] major[4] minor[4] gid[4] -> size[4] Rmknod tag[2] qid[13] */
int p9_mknod(struct p9_request *q)
{
	char name[P9_NAME_BYTES];
	int dir = get_place(q, name), fd, r;
	uint32_t mode = p9_get32(&q->in);

	if (q->in.bad || dir < 0)
		return q->in.bad ? -EPROTO : dir;
	/* Devices, fifos and sockets would be the host's: they block or do worse to those who open them there. */
	if (mode & S_IFMT && !S_ISREG(mode))
		return -EPERM;
	fd = p9_create(q->s, dir, name, O_WRONLY);
	if (fd < 0)
		return fd;
	r = fchmod(fd, mode & 0777) ? -errno : 0;
	close(fd);
	return r ? r : put_made(q, dir, name);
}

/* size[4] Tsymlink tag[2] fid[4] name[s] symtgt[s] gid[4] -> size[4] Rsymlink tag[2] qid[13] */
int p9_symlink(struct p9_request *q)
{
	char name[P9_NAME_BYTES], target[P9_PATH_BYTES];
	int dir = get_place(q, name), r = p9_get_string(&q->in, target, sizeof(target));

	if (q->in.bad || dir < 0 || r)
		return q->in.bad ? -EPROTO : dir < 0 ? dir : r;
	if (symlinkat(target, dir, name))
		return -errno;
	return put_made(q, dir, name);
}

/* size[4] Treadlink tag[2] fid[4] -> size[4] Rreadlink tag[2] target[s] */
int p9_readlink(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	char target[P9_PATH_BYTES];
	ssize_t n;
	int fd;

	if (q->in.bad)
		return -EPROTO;
	if (!f || !f->node)
		return -EBADF;
	if (!S_ISLNK(f->node->type))
		return -EINVAL;
	fd = p9_node_fd(q->s, f->node, false);
	if (fd < 0)
		return fd;
	n = readlinkat(fd, "", target, sizeof(target) - 1);
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
	int r, name_r, to, fd;
	struct p9_node *dir = get_dir(q, &r);
	struct p9_fid *f = p9_get_fid(q);

	name_r = p9_get_name(q, name);
	if (r || q->in.bad || name_r)
		return r ? r : q->in.bad ? -EPROTO : name_r;
	if (!f || !f->node)
		return -EBADF;
	to = p9_node_fd(q->s, dir, false);
	fd = to < 0 ? to : p9_fid_fd(q->s, f, false);
	if (fd < 0)
		return fd;
	/* By its entry in /proc, which is followed to the file and no further: needs no privilege, as AT_EMPTY_PATH would. */
	return linkat(q->s->proc, p9_proc_name(fd).name, to, name, AT_SYMLINK_FOLLOW) ? -errno : 0;
}

/* size[4] Trename tag[2] fid[4] dfid[4] name[s] -> size[4] Rrename tag[2] */
int p9_rename(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	char name[P9_NAME_BYTES], old_name[P9_NAME_BYTES];
	struct p9_node *dir;
	int r, name_r;

	dir = get_dir(q, &r);
	name_r = p9_get_name(q, name);
	if (r || q->in.bad || name_r)
		return r ? r : q->in.bad ? -EPROTO : name_r;
	if (!f || !f->node)
		return -EBADF;
	r = p9_node_dir(q->s, f->node);
	if (r < 0)
		return r;
	snprintf(old_name, sizeof(old_name), "%s", f->node->name);
	return p9_node_rename(q->s, f->node->parent, old_name, dir, name);
}

/* size[4] Trenameat tag[2] olddirfid[4] oldname[s] newdirfid[4] newname[s] -> size[4] Rrenameat tag[2] */
int p9_renameat(struct p9_request *q)
{
	char old_name[P9_NAME_BYTES], new_name[P9_NAME_BYTES];
	int r, new_r, old_name_r, new_name_r;
	struct p9_node *old_dir = get_dir(q, &r), *new_dir;

	old_name_r = p9_get_name(q, old_name);
	new_dir = get_dir(q, &new_r);
	new_name_r = p9_get_name(q, new_name);
	if (q->in.bad)
		return -EPROTO;
	if (r || new_r)
		return r ? r : new_r;
	if (old_name_r || new_name_r)
		return old_name_r ? old_name_r : new_name_r;
	return p9_node_rename(q->s, old_dir, old_name, new_dir, new_name);
}

/* size[4] Tunlinkat tag[2] dirfd[4] name[s] flags[4] -> size[4] Runlinkat tag[2] */
int p9_unlinkat(struct p9_request *q)
{
	char name[P9_NAME_BYTES];
	int r, name_r;
	struct p9_node *dir = get_dir(q, &r);
	uint32_t flags;

	name_r = p9_get_name(q, name);
	flags = p9_get32(&q->in);
	if (r || q->in.bad || name_r)
		return r ? r : q->in.bad ? -EPROTO : name_r;
	return p9_node_unlink(q->s, dir, name, flags & DOTL_REMOVEDIR ? AT_REMOVEDIR : 0);
}

/* f's file by its name, if that is still f's. */
static int remove_file(struct p9_server *s, const struct p9_fid *f)
{
	char name[P9_NAME_BYTES];
	int r;

	if (s->read_only)
		return -EROFS;
	if (!f->node)
		return -EBADF;
	r = p9_node_dir(s, f->node);
	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "%s", f->node->name);
	return p9_node_unlink(s, f->node->parent, name, S_ISDIR(f->node->type) ? AT_REMOVEDIR : 0);
}

/* size[4] Tremove tag[2] fid[4] -> size[4] Rremove tag[2]: the fid is gone in any case (remove(5)) */
int p9_remove(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	int r;

	if (!f)
		return q->in.bad ? -EPROTO : -EBADF;
	r = remove_file(q->s, f);
	p9_fid_free(q->s, f);
	return r;
}
