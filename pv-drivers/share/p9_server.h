/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_P9_SERVER_H
#define PV_DRIVERS_P9_SERVER_H

/* Inside the 9P server: its state, and what its files (p9*.c) have of each other. */
#include <sys/stat.h>
#include <sys/types.h>

#include "pv-drivers/share/p9.h"
#include "pv-drivers/share/p9_node.h"
#include "pv-drivers/share/p9_wire.h"

enum p9_fid_kind {
	P9_FID_PATH,      /* a file that is not open */
	P9_FID_OPEN,      /* fd is open for reading or writing */
	P9_FID_XATTR_GET, /* data[] is a value or a list of names, to be read; no node */
	P9_FID_XATTR_SET, /* data[] is filled by Twrite, set by Tclunk */
};

/* Locks of one file, p9_lock.c. */
struct p9_locks;

struct p9_fid {
	struct p9_fid *next; /* in its bucket */
	uint32_t id;
	enum p9_fid_kind kind;
	struct p9_node *node;                 /* NULL: P9_FID_XATTR_GET */
	int fd;                               /* P9_FID_OPEN, or -1 */
	int flags;                            /* P9_FID_OPEN: access mode */
	struct p9_fid *next_open, *prev_open; /* P9_FID_OPEN: of node */
	struct p9_locks *locks;               /* NULL until it has locked */

	uint8_t *data;
	uint32_t data_bytes, data_done;
	uint32_t xattr_flags;
	char *xattr_name;
};

enum { P9_BUCKETS = 4096, P9_BUFFER_BYTES = 65536 };

struct p9_server {
	int root;  /* O_PATH */
	int proc;  /* /proc/self/fd, to open again what an O_PATH descriptor names */
	dev_t dev; /* of root */
	ino_t ino;
	uid_t uid;
	gid_t gid;
	bool read_only;
	bool local; /* the file system of root */
	bool no_openat2;
	uint32_t msize; /* 0 before Tversion */
	unsigned n_fids, max_fids;
	uint32_t value_bytes; /* of all fids' data[] */
	struct p9_nodes nodes;
	struct p9_fid *bucket[P9_BUCKETS];
	struct p9_locks *locks;
	uint8_t message[P9_BUFFER_BYTES]; /* a copy of what the guest sent */
	uint8_t reply[P9_BUFFER_BYTES];
	_Alignas(8) uint8_t entries[P9_BUFFER_BYTES / 2]; /* of a directory, as the host gives them */
};

/* One message. */
struct p9_request {
	struct p9_server *s;
	struct p9_in in;   /* after the header */
	struct p9_out out; /* after the header */
	/* In guest memory, the header included. */
	const struct iovec *from, *to;
	unsigned n_from, n_to;
	uint32_t size;     /* of the message */
	bool now;          /* answer without waiting, or P9_LATER */
	uint64_t to_bytes; /* room for the reply: msize at most */
	uint32_t direct;   /* bytes that are already in `to`, behind what is in out (Rread) */
};

/* Not an errno: it cannot be done now, and nothing has been done. */
enum { P9_LATER = -4096 };
/* Handlers return 0, -errno or P9_LATER, of the host; then what they have put into out is not sent. */
typedef int p9_handler(struct p9_request *q);
#define P9_OP(number, name, writes, now) p9_handler p9_##name;
#include "pv-drivers/share/p9_ops.def"
#undef P9_OP

/* p9_session.c: fids */
struct p9_fid *p9_fid_find(struct p9_server *s, uint32_t id);
/* The fid that the message names next; NULL if there is none. */
struct p9_fid *p9_get_fid(struct p9_request *q);
/* A new fid of node, to which it gets a reference; node may be NULL.  Returns 0, -EEXIST, -EMFILE, -ENOMEM. */
MUST_CHECK int p9_fid_new(struct p9_server *s, uint32_t id, struct p9_node *node, struct p9_fid **out);
void p9_fid_free(struct p9_server *s, struct p9_fid *f);
/* A descriptor of what f names, as p9_node_fd(). */
MUST_CHECK int p9_fid_fd(struct p9_server *s, struct p9_fid *f, bool now);
/* Room for a value of f's: 0, -ENOMEM. */
MUST_CHECK int p9_value_alloc(struct p9_server *s, struct p9_fid *f, uint32_t bytes);

/* p9_host.c: the only place that opens anything */
/* 0, -ENOENT, -EINVAL: a name that is one step down: not empty, ".", "..", and without a slash. */
MUST_CHECK int p9_name_check(const char *name);
/* A name from the message, checked. */
MUST_CHECK int p9_get_name(struct p9_request *q, char out[P9_NAME_BYTES]);
/*
 * Descriptor (O_PATH) of dir's entry; a symbolic link is not followed.  Or -errno; P9_LATER if now and the host would have to
 * look it up on the disk, or it is on another file system.
 */
MUST_CHECK int p9_open_child(struct p9_server *s, int dir, const char *name, bool now);
/* The process, or the host, has no more descriptors: one of ours is closed, which can be opened again. Worth another try? */
bool p9_make_way(struct p9_server *s, int error);
/* A new file: a descriptor, or -errno. */
MUST_CHECK int p9_create(struct p9_server *s, int dir, const char *name, int flags);
/* What fd names, opened again with these flags; only regular files and directories. Or -errno. */
MUST_CHECK int p9_open_again(struct p9_server *s, int fd, mode_t type, int flags);
/* The name of fd's entry in s->proc, for calls that have no form for O_PATH descriptors. */
struct p9_proc_name {
	char name[16];
};
struct p9_proc_name p9_proc_name(int fd);
/* The same as a path from the root of the host. */
struct p9_proc_path {
	char path[40];
};
struct p9_proc_path p9_proc_path(int fd);
MUST_CHECK int p9_stat(int fd, struct statx *x);
dev_t p9_dev(const struct statx *x);
struct p9_qid p9_qid_of(const struct p9_server *s, const struct statx *x);
uint64_t p9_qid_path(const struct p9_server *s, dev_t dev, uint64_t ino);

/* p9_xattr.c: the value is complete (Tclunk). */
MUST_CHECK int p9_xattr_commit(struct p9_server *s, struct p9_fid *f);
/* p9_lock.c: fid f does not need them any more. */
void p9_locks_put(struct p9_server *s, struct p9_fid *f);

/* p9_errno.c: the number by which a MIPS guest knows a host's errno. */
uint32_t p9_guest_errno(int host);

#endif
