/* SPDX-License-Identifier: MIT */
/* Sessions and fids: Tversion, Tattach, Twalk, Tclunk. */
#define _GNU_SOURCE /* O_PATH */
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

char *p9_path_join(const char *parent, const char *name)
{
	size_t n = strlen(parent), m = name ? strlen(name) : 0;
	char *p;

	if (n + m + 2 > P9_PATH_BYTES)
		return NULL;
	p = malloc(n + m + 2);
	if (!p)
		return NULL;
	memcpy(p, parent, n + 1);
	if (m) {
		if (n)
			p[n++] = '/';
		memcpy(p + n, name, m + 1);
	}
	return p;
}

int p9_fid_new(struct p9_server *s, uint32_t id, int fd, mode_t type, const char *parent, const char *name,
	       struct p9_fid **out)
{
	struct p9_fid *f = NULL;
	int r = 0;

	if (p9_fid_find(s, id))
		r = -EEXIST;
	else if (s->n_fids >= s->max_fids)
		r = -EMFILE;
	else if (!(f = calloc(1, sizeof(*f))))
		r = -ENOMEM;
	else if (!(f->path = p9_path_join(parent, name)))
		r = -ENAMETOOLONG;
	if (r) {
		free(f);
		if (fd >= 0)
			close(fd);
		return r;
	}
	f->id = id;
	f->fd = fd;
	f->type = type & S_IFMT;
	f->next = *bucket_of(s, id);
	*bucket_of(s, id) = f;
	s->n_fids++;
	*out = f;
	return 0;
}

void p9_fid_free(struct p9_server *s, struct p9_fid *f)
{
	struct p9_fid **at = bucket_of(s, f->id);

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	s->n_fids--;
	p9_locks_put(s, f);
	if (f->fd >= 0)
		close(f->fd);
	free(f->data);
	free(f->xattr_name);
	free(f->path);
	free(f);
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
	struct stat st;
	int r, fd;

	p9_get32(&q->in); /* afid: there is no authentication; the guest has the share or it has not */
	r = p9_get_string(&q->in, uname, sizeof(uname));
	if (!r)
		r = p9_get_string(&q->in, aname, sizeof(aname));
	p9_get32(&q->in);
	if (r || q->in.bad)
		return r ? r : -EPROTO;
	if (aname[0] && strcmp(aname, "/"))
		return -ENOENT; /* one tree */
	fd = fcntl(q->s->root, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = p9_stat(fd, &st);
	if (r) {
		close(fd);
		return r;
	}
	r = p9_fid_new(q->s, id, fd, st.st_mode, "", NULL, &f);
	if (!r)
		f->local = p9_is_local(q->s, &st);
	if (!r)
		p9_put_qid(&q->out, p9_qid_of(q->s, &st));
	return r;
}

/* Where a walk is. */
struct walk {
	int fd;
	mode_t type;
	bool local;
	char *path;
};

/* One step; the qid goes into the reply. */
static int step(struct p9_request *q, struct walk *w, const char *name)
{
	struct stat st;
	char *path;
	int fd, r;

	if (!S_ISDIR(w->type))
		return -ENOTDIR;
	fd = p9_open_child(q->s, w->fd, name, q->now);
	if (fd < 0)
		return fd;
	r = p9_stat(fd, &st);
	path = r ? NULL : p9_path_join(w->path, name);
	if (!r && !path)
		r = -ENAMETOOLONG;
	if (r) {
		close(fd);
		return r;
	}
	close(w->fd);
	free(w->path);
	*w = (struct walk){.fd = fd, .type = st.st_mode & S_IFMT, .local = p9_is_local(q->s, &st), .path = path};
	p9_put_qid(&q->out, p9_qid_of(q->s, &st));
	return 0;
}

/*
 * Walk the names of the message from w on.  Returns 0 and how many steps were made; an error only if the first could not be
 * made (walk(5)), or the message is wrong.
 */
static int steps(struct p9_request *q, struct walk *w, unsigned names, unsigned *made)
{
	int r = 0;

	for (*made = 0; *made < names && !r; *made += !r) {
		char name[P9_NAME_BYTES];

		r = p9_get_name(q, name);
		if (q->in.bad)
			return -EPROTO;
		if (!r)
			r = step(q, w, name);
	}
	return r == P9_LATER || !*made ? r : 0;
}

/* Give f's place to what has been walked to. */
static void move_fid(struct p9_server *s, struct p9_fid *f, struct walk *w)
{
	p9_locks_put(s, f);
	close(f->fd);
	free(f->path);
	f->fd = w->fd;
	f->type = w->type;
	f->path = w->path;
	f->local = w->local;
	f->kind = P9_FID_PATH;
	*w = (struct walk){.fd = -1};
}

/* size[4] Twalk tag[2] fid[4] newfid[4] nwname[2] nwname*(wname[s]) -> size[4] Rwalk tag[2] nwqid[2] nwqid*(qid[13]) */
int p9_walk(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q), *made_fid;
	uint32_t new_id = p9_get32(&q->in);
	unsigned names = p9_get16(&q->in), made = 0;
	size_t count_at = q->out.n;
	struct walk w;
	int r;

	if (q->in.bad || names > MAX_WALK)
		return -EPROTO;
	if (!f || f->fd < 0)
		return -EBADF;
	if (q->now && (!f->local || (new_id == f->id && f->kind != P9_FID_PATH)))
		return P9_LATER; /* of an open file: moving the fid closes it */
	if (new_id != f->id && p9_fid_find(q->s, new_id))
		return -EEXIST;
	if (new_id != f->id && q->s->n_fids >= q->s->max_fids)
		return -EMFILE;
	w = (struct walk){.fd = p9_open_path(q->s, f->fd, f->type),
			  .type = f->type,
			  .local = f->local,
			  .path = p9_path_join(f->path, NULL)};
	p9_put16(&q->out, 0);
	r = w.fd < 0 ? w.fd : w.path ? steps(q, &w, names, &made) : -ENOMEM;
	if (!r && made == names) {
		if (new_id == f->id)
			move_fid(q->s, f, &w);
		else {
			r = p9_fid_new(q->s, new_id, w.fd, w.type, w.path, NULL, &made_fid);
			if (!r)
				made_fid->local = w.local;
			w.fd = -1;
		}
	}
	if (w.fd >= 0)
		close(w.fd);
	free(w.path);
	q->out.buf[count_at] = (uint8_t)made;
	return r;
}

/*
 * Can f be closed without waiting?  Not if it may be the last to hold a deleted file, whose blocks go then, or if the file
 * system may want to write what was written.
 */
static bool closes_at_once(const struct p9_fid *f)
{
	struct stat st;

	if (f->kind == P9_FID_XATTR_GET)
		return true;
	if (!f->local || f->locks || f->kind == P9_FID_XATTR_SET || (f->kind == P9_FID_OPEN && f->flags != O_RDONLY))
		return false;
	return !p9_stat(f->fd, &st) && st.st_nlink;
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
		r = p9_xattr_commit(f);
	p9_fid_free(q->s, f); /* also after an error: clunk(5) */
	return r;
}
