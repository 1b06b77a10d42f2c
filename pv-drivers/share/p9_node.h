/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_P9_NODE_H
#define PV_DRIVERS_P9_NODE_H

/*
 * What the guest knows of the share: a tree of names.  A fid is of a node, and a node is a name in the node above it, up to
 * the root; so no path is ever put together, and a directory may be as deep as the host's file system allows.
 *
 * A node's descriptor (O_PATH) is a cache: where the process has no more to give, the ones used longest ago are closed, and
 * opened again by name when they are needed: step by step from the next directory above that is open, each step through the
 * walls (p9_host.c), and only if what is there has the inode that the node had.  So a fid is never quietly of another file; it
 * is ESTALE if the host has moved its file meanwhile.  What the guest renames takes its nodes, and those below, along.
 *
 * A node without a name (its file was removed, or another file has taken the name) cannot be opened again.  Its descriptor
 * stays, or that of a fid that has it open.
 *
 * Nodes are shared: two fids of one name have one node, and one descriptor.
 */
#include <sys/stat.h>
#include <sys/types.h>

#include "base/panic.h"
#include "base/types.h"

struct p9_server;
struct p9_fid;
struct statx;

struct p9_node {
	struct p9_node *parent;        /* NULL: the root, or a node without a name */
	struct p9_node *next;          /* in its bucket */
	struct p9_node *newer, *older; /* among those that may be closed, by use; NULL: not among them */
	struct p9_node *down;          /* p9_node_fd()'s, on its way */
	struct p9_fid *open;           /* the fids that have it open, one after another */
	char *name;
	uint32_t refs; /* fids, nodes below, and who is at work with it */
	uint32_t used; /* the number of the message that last used fd: it is not closed during that message */
	int fd;        /* O_PATH, or -1 */
	bool local;    /* looking at it needs no I/O: memory of a local file system */
	mode_t type;   /* S_IFMT bits */
	dev_t dev;
	ino_t ino;
};

enum { P9_NODE_BUCKETS = 8192 };

/* Those of one server. */
struct p9_nodes {
	struct p9_node root;
	struct p9_node lru; /* newer: the one used longest ago; older: the last one used; itself: none */
	unsigned n, max;
	unsigned n_fds, max_fds; /* descriptors of nodes, of open fids and of locks */
	uint32_t message;        /* the number of the one that is being answered */
	uint64_t seed;
	struct p9_node *bucket[P9_NODE_BUCKETS];
};

/* fd is the root's, and the caller's. 0, or -errno. */
MUST_CHECK int p9_nodes_init(struct p9_server *s, int fd, unsigned max_fds);

/*
 * The node of `name` in parent, which is there already or is made; *out has one reference more.  x is what the host says of
 * it now: a node of the same name with another inode loses its name.
 *
 * fd      O_PATH descriptor of it, or -1; taken, also on failure.  Its place was made by p9_fd_reserve().
 * Returns 0, -ENOMEM, -EMFILE.
 */
MUST_CHECK int p9_node_child(struct p9_server *s, struct p9_node *parent, const char *name, const struct statx *x,
			     int fd, struct p9_node **out);
static inline struct p9_node *p9_node_get(struct p9_node *n)
{
	n->refs++;
	return n;
}
/* One reference less; the last one frees it, and those above that nobody else needs. NULL is fine. */
void p9_node_put(struct p9_server *s, struct p9_node *n);

/* x is what the host says of n's file. */
void p9_node_identify(const struct p9_server *s, struct p9_node *n, const struct statx *x);

/*
 * Descriptor of n, good until the message has been answered; the caller must not close it.
 * Returns -errno (-ESTALE: it is not there any more); P9_LATER if now and it must be opened again.
 */
MUST_CHECK int p9_node_fd(struct p9_server *s, struct p9_node *n, bool now);
/*
 * Descriptor of the directory in which n's name still is n.  As p9_node_fd().
 * Returns -EBUSY: n is the root; -ENOENT: it has no name; -ESTALE: the name is another file's.
 */
MUST_CHECK int p9_node_dir(struct p9_server *s, const struct p9_node *n);

/* The host's call, and what follows for the nodes.  Return 0 or -errno. */
MUST_CHECK int p9_node_unlink(struct p9_server *s, struct p9_node *dir, const char *name, int flags);
MUST_CHECK int p9_node_rename(struct p9_server *s, struct p9_node *old_dir, const char *old_name,
			      struct p9_node *new_dir, const char *new_name);

/* f's descriptor fd has n open: it serves for n too, and n's own may be closed. */
void p9_node_opened(struct p9_server *s, struct p9_node *n, struct p9_fid *f);
/* f->fd is closed. */
void p9_node_closed(struct p9_server *s, struct p9_fid *f);

/*
 * Make sure of room for one more descriptor, closing others.  Who then has one counts it in n_fds (p9_node_child() and
 * p9_node_opened() do).  Returns 0, -EMFILE; P9_LATER if now and others must be closed.
 */
MUST_CHECK int p9_fd_reserve(struct p9_server *s, bool now);
/* Close the descriptor that was used longest ago; false if there is none that may be closed. */
bool p9_node_evict(struct p9_server *s);

#endif
