/* SPDX-License-Identifier: MIT */
/*
 * POSIX record locks: Tlock, Tgetlock.
 *
 * Between the processes of one guest its own kernel decides, before it asks us.  Towards the host's programs, and other
 * guests with the same share, a file's locks are those of one open file of ours (F_OFD_SETLK), which holds what all of
 * the guest's processes hold together.  So there must be a list of who holds what: a range stays locked on the host until
 * the last of its readers has given it up.  One fid's descriptor would not do: a POSIX lock belongs to the process, which
 * may take it by one descriptor and give it up by another.
 */
#define _GNU_SOURCE /* F_OFD_SETLK */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pv-drivers/share/p9_server.h"

enum lock_type { READ_LOCK = 0, WRITE_LOCK = 1, NO_LOCK = 2 };
enum lock_status { STATUS_SUCCESS = 0, STATUS_BLOCKED = 1, STATUS_ERROR = 2 };
enum { MAX_RANGES = 256, MAX_CLIENT_ID = 256 };

struct range {
	uint64_t start, end; /* inclusive */
	uint32_t owner;      /* process of the guest */
	bool write;
};

struct p9_locks {
	struct p9_locks *next;
	dev_t dev;
	ino_t ino;
	int fd;         /* open for reading and writing where the host allows it */
	unsigned users; /* fids */
	unsigned n;
	struct range range[MAX_RANGES];
};

/* What is asked for. */
struct lock_request {
	uint8_t type;
	struct range r;
};

static int host_lock(int fd, int command, short type, uint64_t start, uint64_t end, struct flock *l)
{
	*l = (struct flock){.l_type = type,
			    .l_whence = SEEK_SET,
			    .l_start = (off_t)start,
			    .l_len = end == INT64_MAX ? 0 : (off_t)(end - start + 1)};
	return fcntl(fd, command, l) ? -errno : 0;
}

static bool overlap(const struct range *a, const struct range *b) { return a->start <= b->end && b->start <= a->end; }

static const struct range *conflict(const struct p9_locks *k, const struct range *want)
{
	for (unsigned i = 0; i < k->n; i++) {
		const struct range *r = &k->range[i];

		if (r->owner != want->owner && (r->write || want->write) && overlap(r, want))
			return r;
	}
	return NULL;
}

/* Take [gone->start, gone->end] away from what its owner holds: there are at most n + 1 ranges then. */
static void cut(struct p9_locks *k, const struct range *gone)
{
	unsigned n = k->n;

	for (unsigned i = 0; i < n;) {
		struct range *r = &k->range[i], old = *r;

		if (r->owner != gone->owner || !overlap(r, gone)) {
			i++;
			continue;
		}
		if (old.start < gone->start && old.end > gone->end) {
			r->end = gone->start - 1;
			old.start = gone->end + 1;
			k->range[k->n++] = old;
			i++;
		} else if (old.start < gone->start) {
			r->end = gone->start - 1;
			i++;
		} else if (old.end > gone->end) {
			r->start = gone->end + 1;
			i++;
		} else {
			*r = k->range[--k->n];
			n = n < k->n ? n : k->n;
		}
	}
}

/* Add a range whose place is free of its owner's, merged with its neighbours. */
static void add(struct p9_locks *k, struct range want)
{
	for (unsigned i = 0; i < k->n;) {
		const struct range *r = &k->range[i];

		if (r->owner == want.owner && r->write == want.write &&
		    (r->end + 1 == want.start || want.end + 1 == r->start)) {
			want.start = r->start < want.start ? r->start : want.start;
			want.end = r->end > want.end ? r->end : want.end;
			k->range[i] = k->range[--k->n];
			i = 0;
			continue;
		}
		i++;
	}
	k->range[k->n++] = want;
}

/* The first byte from `at` on that somebody holds, UINT64_MAX if none does; *end is the last of that range. */
static uint64_t next_held(const struct p9_locks *k, uint64_t at, uint64_t *end)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < k->n; i++) {
		const struct range *r = &k->range[i];
		uint64_t from = r->start > at ? r->start : at;

		if (r->end >= at && from < best) {
			best = from;
			*end = r->end;
		}
	}
	return best;
}

/* Unlock on the host what nobody in the guest holds of [start, end]. */
static void release(struct p9_locks *k, uint64_t start, uint64_t end)
{
	while (start <= end) {
		uint64_t held_end = 0, held = next_held(k, start, &held_end);
		uint64_t last = held > end ? end : held - 1;
		struct flock l;

		/* A failure (no memory in the host) leaves too much locked, until the file is closed. */
		if (held > start)
			(void)host_lock(k->fd, F_OFD_SETLK, F_UNLCK, start, last, &l);
		if (held > end)
			return;
		start = held_end + 1;
	}
}

static int lock(struct p9_locks *k, const struct range *want)
{
	struct flock l;
	int r;

	if (conflict(k, want))
		return STATUS_BLOCKED;
	/* Cutting may leave one more than there was, and there is the new one. */
	if (k->n + 2 > MAX_RANGES)
		return STATUS_ERROR;
	r = host_lock(k->fd, F_OFD_SETLK, want->write ? F_WRLCK : F_RDLCK, want->start, want->end, &l);
	if (r)
		return r == -EAGAIN || r == -EACCES ? STATUS_BLOCKED : STATUS_ERROR;
	cut(k, want);
	add(k, *want);
	return STATUS_SUCCESS;
}

static int unlock(struct p9_locks *k, const struct range *gone)
{
	if (k->n + 1 > MAX_RANGES)
		return STATUS_ERROR;
	cut(k, gone);
	release(k, gone->start, gone->end);
	return STATUS_SUCCESS;
}

void p9_locks_put(struct p9_server *s, struct p9_fid *f)
{
	struct p9_locks **at = &s->locks, *k = f->locks;

	f->locks = NULL;
	if (!k || --k->users)
		return;
	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	close(k->fd);
	s->nodes.n_fds--;
	free(k);
}

/* f is open. */
static int open_for_locks(struct p9_server *s, const struct p9_fid *f)
{
	int fd = s->read_only ? -EROFS : p9_open_again(s, f->fd, f->node->type, O_RDWR);

	return fd < 0 ? p9_open_again(s, f->fd, f->node->type, f->flags == O_WRONLY ? O_WRONLY : O_RDONLY) : fd;
}

/* The locks of f's file. */
static int locks_of(struct p9_server *s, struct p9_fid *f)
{
	struct p9_locks *k = s->locks;
	struct statx x;
	int r;

	if (f->locks)
		return 0;
	r = p9_stat(f->fd, &x);
	if (r)
		return r;
	while (k && (k->dev != p9_dev(&x) || k->ino != x.stx_ino))
		k = k->next;
	if (!k) {
		r = p9_fd_reserve(s, false);
		k = r ? NULL : calloc(1, sizeof(*k));
		if (!k)
			return r ? r : -ENOMEM;
		k->fd = open_for_locks(s, f);
		if (k->fd < 0) {
			r = k->fd;
			free(k);
			return r;
		}
		s->nodes.n_fds++;
		k->dev = p9_dev(&x);
		k->ino = x.stx_ino;
		k->next = s->locks;
		s->locks = k;
	}
	k->users++;
	f->locks = k;
	return 0;
}

/* What both messages have: start[8] length[8] proc_id[4] client_id[s] */
static int get_request(struct p9_request *q, struct lock_request *l, char client[MAX_CLIENT_ID])
{
	uint64_t length;
	int r;

	l->r.start = p9_get64(&q->in);
	length = p9_get64(&q->in);
	l->r.owner = p9_get32(&q->in);
	l->r.write = l->type == WRITE_LOCK;
	r = p9_get_string(&q->in, client, MAX_CLIENT_ID);
	if (q->in.bad || r)
		return q->in.bad ? -EPROTO : r;
	if (l->type > NO_LOCK || l->r.start > INT64_MAX || length > (uint64_t)INT64_MAX - l->r.start + 1)
		return -EINVAL;
	l->r.end = length ? l->r.start + length - 1 : INT64_MAX;
	return 0;
}

/*
 * size[4] Tlock tag[2] fid[4] type[1] flags[4] start[8] length[8] proc_id[4] client_id[s] -> size[4] Rlock tag[2] status[1]
 * Never waits: a client that wants to, asks again.
 */
int p9_lock(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	struct lock_request l = {.type = p9_get8(&q->in)};
	char client[MAX_CLIENT_ID];
	int r;

	p9_get32(&q->in); /* flags: "may wait", "reclaim" */
	r = get_request(q, &l, client);
	if (r)
		return r;
	if (!f || f->kind != P9_FID_OPEN)
		return -EBADF;
	r = locks_of(q->s, f);
	if (r)
		return r;
	p9_put8(&q->out, (uint8_t)(l.type == NO_LOCK ? unlock(f->locks, &l.r) : lock(f->locks, &l.r)));
	return 0;
}

/*
 * size[4] Tgetlock tag[2] fid[4] type[1] start[8] length[8] proc_id[4] client_id[s] ->
 * size[4] Rgetlock tag[2] type[1] start[8] length[8] proc_id[4] client_id[s]
 */
int p9_getlock(struct p9_request *q)
{
	struct p9_fid *f = p9_get_fid(q);
	struct lock_request l = {.type = p9_get8(&q->in)};
	char client[MAX_CLIENT_ID];
	const struct range *other;
	struct flock host;
	int r = get_request(q, &l, client);

	if (r)
		return r;
	if (!f || f->kind != P9_FID_OPEN)
		return -EBADF;
	if (l.type == NO_LOCK)
		return -EINVAL;
	r = locks_of(q->s, f);
	if (r)
		return r;
	other = conflict(f->locks, &l.r);
	if (other) {
		l.type = other->write ? WRITE_LOCK : READ_LOCK;
		l.r = *other;
	} else {
		r = host_lock(f->locks->fd, F_OFD_GETLK, l.r.write ? F_WRLCK : F_RDLCK, l.r.start, l.r.end, &host);
		if (r)
			return r;
		if (host.l_type == F_UNLCK) {
			l.type = NO_LOCK;
		} else {
			l.type = host.l_type == F_WRLCK ? WRITE_LOCK : READ_LOCK;
			l.r.start = (uint64_t)host.l_start;
			l.r.end = host.l_len ? (uint64_t)(host.l_start + host.l_len - 1) : INT64_MAX;
			l.r.owner = 0; /* none of the guest's processes */
		}
	}
	p9_put8(&q->out, l.type);
	p9_put64(&q->out, l.r.start);
	p9_put64(&q->out, l.r.end == INT64_MAX ? 0 : l.r.end - l.r.start + 1);
	p9_put32(&q->out, l.r.owner);
	p9_put_string(&q->out, client);
	return 0;
}
