/* SPDX-License-Identifier: MIT */
/*
 * Extended attributes: Txattrwalk, Txattrcreate.  Only those of the user (user.*): the others mean something to the host's
 * kernel.
 */
#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "pv-drivers/share/p9_server.h"

static bool users(const char *name) { return !strncmp(name, "user.", 5) && name[5]; }

/* Keep of a list of names only those that the guest may see; returns the bytes. */
static uint32_t filter(char *list, ssize_t bytes)
{
	uint32_t kept = 0;

	for (ssize_t at = 0; at < bytes;) {
		size_t n = strlen(list + at) + 1;

		if (users(list + at)) {
			memmove(list + kept, list + at, n);
			kept += (uint32_t)n;
		}
		at += (ssize_t)n;
	}
	return kept;
}

/* The value of name, or the list of names, into data (XATTR_SIZE_MAX bytes); the bytes, or -errno. */
static ssize_t get_value(const struct p9_fid *f, struct p9_proc_path path, const char *name, uint8_t *data)
{
	ssize_t n;

	if (!S_ISREG(f->node->type) && !S_ISDIR(f->node->type))
		return 0;
	n = name[0] ? getxattr(path.path, name, data, XATTR_SIZE_MAX)
		    : listxattr(path.path, (char *)data, XATTR_LIST_MAX);
	if (n < 0)
		return -errno;
	return name[0] ? n : filter((char *)data, n);
}

/* size[4] Txattrwalk tag[2] fid[4] newfid[4] name[s] -> size[4] Rxattrwalk tag[2] size[8] */
int p9_xattrwalk(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q), *made;
	uint32_t id = p9_get32(&q->in);
	char name[P9_NAME_BYTES];
	uint8_t *data;
	ssize_t n;
	int r = p9_get_string(&q->in, name, sizeof(name));

	if (q->in.bad || r)
		return q->in.bad ? -EPROTO : r;
	if (!f || !f->node)
		return -EBADF;
	if (name[0] && !users(name))
		return -EOPNOTSUPP;
	/* A link has none of the user's, and its entry in /proc would not lead to it. */
	if (!S_ISREG(f->node->type) && !S_ISDIR(f->node->type) && name[0])
		return -EOPNOTSUPP;
	if (q->now)
		return P9_LATER;
	r = p9_fid_fd(q->s, f, false);
	if (r < 0)
		return r;
	data = malloc(XATTR_SIZE_MAX);
	if (!data)
		return -ENOMEM;
	n = get_value(f, p9_proc_path(r), name, data);
	r = n < 0 ? (int)n : p9_fid_new(q->s, id, NULL, &made);
	if (!r) {
		made->kind = P9_FID_XATTR_GET;
		r = p9_value_alloc(q->s, made, (uint32_t)n);
		if (r)
			p9_fid_free(q->s, made);
		else
			memcpy(made->data, data, (size_t)n);
	}
	free(data);
	if (r)
		return r;
	p9_put64(&q->out, made->data_bytes);
	return 0;
}

/*
 * size[4] Txattrcreate tag[2] fid[4] name[s] attr_size[8] flags[4] -> size[4] Rxattrcreate tag[2]
 * The fid then takes the value by Twrite, and Tclunk sets it.  No bytes at all: the attribute is removed.
 */
int p9_xattrcreate(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	char name[P9_NAME_BYTES];
	int r = p9_get_string(&q->in, name, sizeof(name));
	uint64_t size = p9_get64(&q->in);
	uint32_t flags = p9_get32(&q->in);
	char *copy;

	if (q->in.bad || r)
		return q->in.bad ? -EPROTO : r;
	if (!f || f->kind != P9_FID_PATH)
		return -EBADF;
	if (!users(name) || (!S_ISREG(f->node->type) && !S_ISDIR(f->node->type)))
		return -EOPNOTSUPP;
	if (flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (size > XATTR_SIZE_MAX)
		return -E2BIG;
	copy = strdup(name);
	r = copy ? p9_value_alloc(q->s, f, (uint32_t)size) : -ENOMEM;
	if (r) {
		free(copy);
		return r;
	}
	f->kind = P9_FID_XATTR_SET;
	f->data_done = 0;
	f->xattr_flags = flags;
	f->xattr_name = copy;
	return 0;
}

int p9_xattr_commit(struct p9_server *s, struct p9_fid *f)
{
	struct p9_proc_path path;
	int r, fd;

	if (f->data_done != f->data_bytes)
		return -EIO;
	fd = p9_fid_fd(s, f, false);
	if (fd < 0)
		return fd;
	path = p9_proc_path(fd);
	if (f->data_bytes)
		r = setxattr(path.path, f->xattr_name, f->data, f->data_bytes, (int)f->xattr_flags);
	else
		r = removexattr(path.path, f->xattr_name);
	return r ? -errno : 0;
}
