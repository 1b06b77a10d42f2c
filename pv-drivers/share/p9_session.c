/* SPDX-License-Identifier: MIT */
/* Sessions and fids: Tversion, Tattach, Twalk, Tclunk. */
#define _GNU_SOURCE /* statx */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pv-drivers/share/p9_server.h"

enum { MAX_WALK = 16 };

static struct p9_fid **bucket_of(struct p9_server *s, uint32_t id)
{
	return &s->bucket[(id * 2654435761u >> 16) % P9_BUCKETS];
}

struct p9_fid *p9_fid_find(struct p9_server *s, uint32_t id)
{
	struct p9_fid *f = *bucket_of(s, id);

	while (f && f->id != id)
		f = f->next;
	return f;
}

struct p9_fid *p9_get_fid(struct p9_request *q) { return p9_fid_find(q->s, p9_get32(&q->in)); }

int p9_fid_new(struct p9_server *s, uint32_t id, struct p9_node *node, struct p9_fid **out)
{
	struct p9_fid *f;

	if (p9_fid_find(s, id))
		return -EEXIST;
	if (s->n_fids >= s->max_fids)
		return -EMFILE;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->id = id;
	f->fd = -1;
	f->node = node ? p9_node_get(node) : NULL;
	f->next = *bucket_of(s, id);
	*bucket_of(s, id) = f;
	s->n_fids++;
	*out = f;
	return 0;
}

/* f names nothing any more. */
static void let_go(struct p9_server *s, struct p9_fid *f)
{
	p9_locks_put(s, f);
	if (f->fd >= 0)
		p9_node_closed(s, f);
	p9_node_put(s, f->node);
	f->node = NULL;
}

void p9_fid_free(struct p9_server *s, struct p9_fid *f)
{
	struct p9_fid **at = bucket_of(s, f->id);

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	s->n_fids--;
	let_go(s, f);
	s->value_bytes -= f->data_bytes;
	free(f->data);
	free(f->xattr_name);
	free(f);
}

int p9_fid_fd(struct p9_server *s, struct p9_fid *f, bool now)
{
	return f->fd >= 0 ? f->fd : p9_node_fd(s, f->node, now);
}

int p9_value_alloc(struct p9_server *s, struct p9_fid *f, uint32_t bytes)
{
	if (bytes > P9_MAX_VALUE_BYTES - s->value_bytes)
		return -ENOMEM;
	f->data = malloc(bytes ? bytes : 1);
	if (!f->data)
		return -ENOMEM;
	f->data_bytes = bytes;
	s->value_bytes += bytes;
	return 0;
}

void p9_server_reset(struct p9_server *s)
{
	for (unsigned i = 0; i < P9_BUCKETS; i++)
		while (s->bucket[i])
			p9_fid_free(s, s->bucket[i]);
	s->msize = 0;
}

/* size[4] Tversion tag[2] msize[4] version[s] -> size[4] Rversion tag[2] msize[4] version[s] */
int p9_version(struct p9_request *q)
{
	uint32_t msize = p9_get32(&q->in);
	char version[32];
	int r = p9_get_string(&q->in, version, sizeof(version));

	if (q->in.bad)
		return -EPROTO;
	p9_server_reset(q->s);
	if (msize < P9_MIN_MSIZE)
		return -EMSGSIZE;
	msize = msize < P9_MAX_MSIZE ? msize : P9_MAX_MSIZE;
	p9_put32(&q->out, msize);
	if (r || strcmp(version, "9P2000.L")) {
		p9_put_string(&q->out, "unknown");
		return 0;
	}
	p9_put_string(&q->out, "9P2000.L");
	q->s->msize = msize;
	return 0;
}

/* size[4] Tattach tag[2] fid[4] afid[4] uname[s] aname[s] n_uname[4] -> size[4] Rattach tag[2] qid[13] */
int p9_attach(struct p9_request *q)
{
	uint32_t id = p9_get32(&q->in);
	char uname[P9_NAME_BYTES], aname[P9_NAME_BYTES];
	struct p9_fid *f;
	struct statx x;
	int r;

	p9_get32(&q->in); /* afid: there is no authentication; the guest has the share or it has not */
	r = p9_get_string(&q->in, uname, sizeof(uname));
	if (!r)
		r = p9_get_string(&q->in, aname, sizeof(aname));
	p9_get32(&q->in);
	if (r || q->in.bad)
		return r ? r : -EPROTO;
	if (aname[0] && strcmp(aname, "/"))
		return -ENOENT; /* one tree */
	r = p9_stat(q->s->root, &x);
	if (!r)
		r = p9_fid_new(q->s, id, &q->s->nodes.root, &f);
	if (!r)
		p9_put_qid(&q->out, p9_qid_of(q->s, &x));
	return r;
}

/* One step from *at, to which the caller's reference goes on; the qid goes into the reply. */
static int step(struct p9_request *q, struct p9_node **at, const char *name)
{
	struct p9_server *s = q->s;
	struct p9_node *to;
	struct statx x;
	int fd, r;

	if (!S_ISDIR((*at)->type))
		return -ENOTDIR;
	if (q->now && !(*at)->local)
		return P9_LATER;
	fd = p9_node_fd(s, *at, q->now);
	r = fd < 0 ? fd : p9_fd_reserve(s, q->now);
	if (r)
		return r;
	fd = p9_open_child(s, fd, name, q->now);
	if (fd < 0)
		return fd;
	r = p9_stat(fd, &x);
	if (r) {
		close(fd);
		return r;
	}
	r = p9_node_child(s, *at, name, &x, fd, &to);
	if (r)
		return r;
	p9_node_put(s, *at);
	*at = to;
	p9_put_qid(&q->out, p9_qid_of(s, &x));
	return 0;
}

/*
 * Walk the names of the message from *at on.  Returns 0 and how many steps were made; an error only if the first could not be
 * made (walk(5)), or the message is wrong.
 */
static int steps(struct p9_request *q, struct p9_node **at, unsigned names, unsigned *made)
{
	int r = 0;

	for (*made = 0; *made < names && !r; *made += !r) {
		char name[P9_NAME_BYTES];

		r = p9_get_name(q, name);
		if (q->in.bad)
			return -EPROTO;
		if (!r)
			r = step(q, at, name);
	}
	return r == P9_LATER || !*made ? r : 0;
}

/* size[4] Twalk tag[2] fid[4] newfid[4] nwname[2] nwname*(wname[s]) -> size[4] Rwalk tag[2] nwqid[2] nwqid*(qid[13]) */
int p9_walk(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q), *made_fid;
	uint32_t new_id = p9_get32(&q->in);
	unsigned names = p9_get16(&q->in), made = 0;
	size_t count_at = q->out.n;
	struct p9_node *at;
	int r;

	if (q->in.bad || names > MAX_WALK)
		return -EPROTO;
	if (!f || (f->kind != P9_FID_PATH && f->kind != P9_FID_OPEN))
		return -EBADF;
	if (q->now && new_id == f->id && f->kind != P9_FID_PATH)
		return P9_LATER; /* of an open file: moving the fid closes it */
	if (new_id != f->id && p9_fid_find(q->s, new_id))
		return -EEXIST;
	if (new_id != f->id && q->s->n_fids >= q->s->max_fids)
		return -EMFILE;
	p9_put16(&q->out, 0);
	at = p9_node_get(f->node);
	r = steps(q, &at, names, &made);
	if (!r && made == names && new_id == f->id) {
		let_go(q->s, f);
		f->node = p9_node_get(at);
		f->kind = P9_FID_PATH;
	} else if (!r && made == names) {
		r = p9_fid_new(q->s, new_id, at, &made_fid);
	}
	p9_node_put(q->s, at);
	q->out.buf[count_at] = (uint8_t)made;
	return r;
}

/*
 * Can f be closed without waiting?  Not if it may be the last to hold a deleted file, whose blocks go then, or if the file
 * system may want to write what was written.
 */
static bool closes_at_once(const struct p9_fid *f)
{
	struct statx x;
	int fd = f->node ? f->node->fd : -1;

	if (f->kind == P9_FID_XATTR_GET)
		return true;
	if (!f->node->local || f->locks || f->kind == P9_FID_XATTR_SET ||
	    (f->kind == P9_FID_OPEN && f->flags != O_RDONLY))
		return false;
	if (f->kind == P9_FID_PATH && (fd < 0 || f->node->refs > 1))
		return true; /* nothing is closed */
	return !p9_stat(f->fd >= 0 ? f->fd : fd, &x) && x.stx_nlink;
}

/* size[4] Tclunk tag[2] fid[4] -> size[4] Rclunk tag[2] */
int p9_clunk(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	int r = 0;

	if (!f)
		return q->in.bad ? -EPROTO : -EBADF;
	if (q->now && !closes_at_once(f))
		return P9_LATER;
	if (f->kind == P9_FID_XATTR_SET)
		r = p9_xattr_commit(q->s, f);
	p9_fid_free(q->s, f); /* also after an error: clunk(5) */
	return r;
}
