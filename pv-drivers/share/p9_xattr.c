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

/* size[4] Txattrwalk tag[2] fid[4] newfid[4] name[s] -> size[4] Rxattrwalk tag[2] size[8] */
int p9_xattrwalk(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q), *made;
	uint32_t id = p9_get32(&q->in);
	char name[P9_NAME_BYTES];
	struct p9_proc_path path;
	uint8_t *data;
	ssize_t n;
	int r = p9_get_string(&q->in, name, sizeof(name));

	if (q->in.bad || r)
		return q->in.bad ? -EPROTO : r;
	if (!f || f->fd < 0)
		return -EBADF;
	if (name[0] && !users(name))
		return -EOPNOTSUPP;
	/* A link has none of the user's, and its entry in /proc would not lead to it. */
	if (!S_ISREG(f->type) && !S_ISDIR(f->type) && name[0])
		return -EOPNOTSUPP;
	if (q->now)
		return P9_LATER;
	data = malloc(XATTR_SIZE_MAX);
	if (!data)
		return -ENOMEM;
	path = p9_proc_path(f->fd);
	if (!S_ISREG(f->type) && !S_ISDIR(f->type))
		n = 0;
	else if (name[0])
		n = getxattr(path.path, name, data, XATTR_SIZE_MAX);
	else
		n = listxattr(path.path, (char *)data, XATTR_LIST_MAX);
	r = n < 0 ? -errno : p9_fid_new(q->s, id, -1, 0, "", NULL, &made);
	if (r) {
		free(data);
		return r;
	}
	made->kind = P9_FID_XATTR_GET;
	made->data = data;
	made->data_bytes = name[0] ? (uint32_t)n : filter((char *)data, n);
	/* What a fid holds on to is what there is, not the most that there could be. */
	data = realloc(data, made->data_bytes ? made->data_bytes : 1);
	if (data)
		made->data = data;
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
	uint8_t *data;
	char *copy;

	if (q->in.bad || r)
		return q->in.bad ? -EPROTO : r;
	if (!f || f->kind != P9_FID_PATH)
		return -EBADF;
	if (!users(name) || (!S_ISREG(f->type) && !S_ISDIR(f->type)))
		return -EOPNOTSUPP;
	if (flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (size > XATTR_SIZE_MAX)
		return -E2BIG;
	data = malloc(size ? size : 1);
	copy = strdup(name);
	if (!data || !copy) {
		free(data);
		free(copy);
		return -ENOMEM;
	}
	f->kind = P9_FID_XATTR_SET;
	f->data = data;
	f->data_bytes = (uint32_t)size;
	f->data_done = 0;
	f->xattr_flags = flags;
	f->xattr_name = copy;
	return 0;
}

int p9_xattr_commit(struct p9_fid *f)
{
	struct p9_proc_path path = p9_proc_path(f->fd);
	int r;

	if (f->data_done != f->data_bytes)
		return -EIO;
	if (f->data_bytes)
		r = setxattr(path.path, f->xattr_name, f->data, f->data_bytes, (int)f->xattr_flags);
	else
		r = removexattr(path.path, f->xattr_name);
	return r ? -errno : 0;
}
