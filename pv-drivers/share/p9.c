/* SPDX-License-Identifier: MIT */
/* The 9P server as a whole: made, freed, and the way of one message through it. */
#define _GNU_SOURCE /* O_PATH */
#include "pv-drivers/share/p9.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "pv-drivers/share/p9_server.h"

enum message_type {
	RLERROR = 7,
	TVERSION = 100,
	TFLUSH = 108,
	TWRITE = 118,
};

/* size[4] Tflush tag[2] oldtag[2] -> size[4] Rflush tag[2]: what came before is done when this is seen (9p.c). */
int p9_flush(struct p9_request *q)
{
	p9_get16(&q->in);
	return q->in.bad ? -EPROTO : 0;
}

static const struct {
	p9_handler *run;
	bool writes, now;
} ops[128] = {
#define P9_OP(number, name, writes, now) [number] = {p9_##name, writes, now},
#include "pv-drivers/share/p9_ops.def"
#undef P9_OP
};

static int run(struct p9_request *q, uint8_t type)
{
	int r;

	if (type >= ARRAY_LEN(ops) || !ops[type].run)
		return -EOPNOTSUPP;
	if (type != TVERSION && !q->s->msize)
		return -EPROTO;
	if (q->s->read_only && ops[type].writes)
		return -EROFS;
	if (q->now && !ops[type].now)
		return P9_LATER;
	r = ops[type].run(q);
	return !r && q->out.full ? -EMSGSIZE : r;
}

static void put_header(uint8_t *to, uint32_t size, uint8_t type, uint16_t tag)
{
	struct p9_out out = {.buf = to, .room = P9_HEADER_BYTES};

	p9_put32(&out, size);
	p9_put8(&out, type);
	p9_put16(&out, tag);
}

/* False: later (q.now); otherwise *reply_bytes. */
static bool serve(struct p9_request q, uint32_t *reply_bytes)
{
	struct p9_server *s = q.s;
	uint32_t limit = s->msize ? s->msize : P9_MIN_MSIZE;
	uint64_t there = p9_iov_bytes(q.from, q.n_from);
	size_t copied = p9_iov_read(q.from, q.n_from, 0, s->message, P9_HEADER_BYTES);
	uint8_t type;
	uint16_t tag;
	int r = 0;

	*reply_bytes = 0;
	if (copied < P9_HEADER_BYTES)
		return true;
	q.in = (struct p9_in){.at = s->message, .left = copied};
	q.size = p9_get32(&q.in);
	type = p9_get8(&q.in);
	tag = p9_get16(&q.in);
	if (q.size < P9_HEADER_BYTES || q.size > there || q.size > limit)
		r = -EMSGSIZE;
	else if (type != TWRITE && q.size > sizeof(s->message))
		r = -EMSGSIZE;
	else {
		/* The data of Twrite stay where they are. */
		size_t want = type == TWRITE && q.size > P9_WRITE_HEADER_BYTES ? P9_WRITE_HEADER_BYTES : q.size;

		q.in.left = p9_iov_read(q.from, q.n_from, P9_HEADER_BYTES, s->message + P9_HEADER_BYTES,
					want - P9_HEADER_BYTES);
	}
	q.to_bytes = p9_iov_bytes(q.to, q.n_to);
	q.to_bytes = q.to_bytes < limit ? q.to_bytes : limit;
	if (q.to_bytes < P9_HEADER_BYTES + 4)
		return true;
	q.out = (struct p9_out){.buf = s->reply, .n = P9_HEADER_BYTES, .room = sizeof(s->reply)};
	q.out.room = q.out.room < q.to_bytes ? q.out.room : (size_t)q.to_bytes;
	s->nodes.message++;
	r = r ? r : run(&q, type);
	if (r == P9_LATER)
		return false;
	if (r) {
		q.direct = 0;
		q.out.n = P9_HEADER_BYTES;
		q.out.full = false;
		p9_put32(&q.out, p9_guest_errno(-r));
	}
	put_header(s->reply, (uint32_t)q.out.n + q.direct, r ? RLERROR : (uint8_t)(type + 1), tag);
	p9_iov_write(q.to, q.n_to, s->reply, q.out.n);
	*reply_bytes = (uint32_t)q.out.n + q.direct;
	return true;
}

uint32_t p9_serve(struct p9_server *s, const struct iovec *from, unsigned n_from, const struct iovec *to, unsigned n_to)
{
	uint32_t reply_bytes;

	serve((struct p9_request){.s = s, .from = from, .n_from = n_from, .to = to, .n_to = n_to}, &reply_bytes);
	return reply_bytes;
}

bool p9_serve_now(struct p9_server *s, const struct iovec *from, unsigned n_from, const struct iovec *to, unsigned n_to,
		  uint32_t *reply_bytes)
{
	return serve((struct p9_request){.s = s, .now = true, .from = from, .n_from = n_from, .to = to, .n_to = n_to},
		     reply_bytes);
}

bool p9_peek(const struct iovec *from, unsigned n_from, struct p9_header *h)
{
	uint8_t head[P9_HEADER_BYTES + 2];
	struct p9_in in = {.at = head, .left = p9_iov_read(from, n_from, 0, head, sizeof(head))};

	p9_get32(&in);
	h->type = p9_get8(&in);
	h->tag = p9_get16(&in);
	if (in.bad)
		return false;
	h->is_flush = h->type == TFLUSH;
	h->old_tag = h->is_flush ? p9_get16(&in) : 0;
	return true;
}

/* Have room for descriptors, and leave room for the rest of the process. */
static unsigned fd_limit(void)
{
	struct rlimit l;
	rlim_t n;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return P9_MIN_FDS;
	if (l.rlim_cur < l.rlim_max) {
		struct rlimit more = {.rlim_cur = l.rlim_max, .rlim_max = l.rlim_max};

		if (!setrlimit(RLIMIT_NOFILE, &more))
			l = more;
	}
	n = l.rlim_cur / 4 < P9_FEW_FDS ? l.rlim_cur / 4 : P9_FEW_FDS;
	n = l.rlim_cur / 16 > n ? l.rlim_cur / 16 : n;
	if (n < P9_MIN_FDS)
		return P9_MIN_FDS;
	return n < P9_MAX_FDS ? (unsigned)n : P9_MAX_FDS;
}

/* File systems whose inodes and names, once in memory, need nobody's answer. */
static bool local(int fd)
{
	static const uint32_t types[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,       BTRFS_SUPER_MAGIC,
					 TMPFS_MAGIC,      OVERLAYFS_SUPER_MAGIC, F2FS_SUPER_MAGIC};
	struct statfs f;

	if (fstatfs(fd, &f))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if ((uint32_t)f.f_type == types[i])
			return true;
	return false;
}

int p9_server_new(struct p9_server **out, const char *dir, bool read_only)
{
	struct p9_server *s = calloc(1, sizeof(*s));
	struct statx x;
	int r = 0;

	if (!s)
		return -ENOMEM;
	s->proc = -1;
	s->root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0 || faccessat(s->root, ".", R_OK | X_OK, AT_EACCESS))
		r = -errno;
	else if ((s->proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		r = -errno;
	else
		r = p9_stat(s->root, &x);
	if (r) {
		p9_server_free(s);
		return r;
	}
	s->dev = p9_dev(&x);
	s->ino = x.stx_ino;
	s->local = local(s->root);
	s->uid = geteuid();
	s->gid = getegid();
	s->read_only = read_only;
	s->max_fids = P9_MAX_FIDS;
	r = p9_nodes_init(s, s->root, fd_limit());
	if (r)
		p9_server_free(s);
	else
		*out = s;
	return r;
}

void p9_server_free(struct p9_server *s)
{
	if (!s)
		return;
	p9_server_reset(s);
	if (s->root >= 0)
		close(s->root);
	if (s->proc >= 0)
		close(s->proc);
	free(s);
}
