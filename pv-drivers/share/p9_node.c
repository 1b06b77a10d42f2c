/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* O_PATH, statx */
#include "pv-drivers/share/p9_node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "pv-drivers/share/p9_server.h"

/* ---- names ---- */

/* With a seed by chance: names that all fall into one bucket cannot be chosen. */
static struct p9_node **bucket_of(struct p9_nodes *t, const struct p9_node *parent, const char *name)
{
	uint64_t h = t->seed ^ (uint64_t)(uintptr_t)parent;

	for (; *name; name++) {
		h = (h ^ (uint8_t)*name) * 0x9e3779b97f4a7c15;
		h ^= h >> 29;
	}
	return &t->bucket[h % P9_NODE_BUCKETS];
}

static struct p9_node *find(struct p9_nodes *t, const struct p9_node *parent, const char *name)
{
	struct p9_node *n = *bucket_of(t, parent, name);

	while (n && (n->parent != parent || strcmp(n->name, name)))
		n = n->next;
	return n;
}

static void hash(struct p9_nodes *t, struct p9_node *n)
{
	struct p9_node **b = bucket_of(t, n->parent, n->name);

	n->next = *b;
	*b = n;
}

static void unhash(struct p9_nodes *t, struct p9_node *n)
{
	struct p9_node **at = bucket_of(t, n->parent, n->name);

	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
}

static bool is(const struct p9_node *n, const struct statx *x)
{
	return n->ino == x->stx_ino && n->dev == p9_dev(x) && n->type == (x->stx_mode & S_IFMT);
}

/* Is dir's entry `name` n?  0, -ESTALE if it is another, or -errno. */
static int names(int dir, const char *name, const struct p9_node *n)
{
	struct statx x;

	if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &x))
		return -errno;
	return is(n, &x) ? 0 : -ESTALE;
}

/* ---- descriptors ---- */

static bool nameless(const struct p9_nodes *t, const struct p9_node *n) { return !n->parent && n != &t->root; }

static void leave_lru(struct p9_node *n)
{
	if (!n->newer)
		return;
	n->newer->older = n->older;
	n->older->newer = n->newer;
	n->newer = n->older = NULL;
}

/* n has been used, or something about it has changed: among those that may be closed it is the last one used, or is none. */
static void touch(struct p9_nodes *t, struct p9_node *n)
{
	leave_lru(n);
	if (n->fd < 0 || n == &t->root || (nameless(t, n) && !n->open))
		return;
	n->older = t->lru.older;
	n->newer = &t->lru;
	n->older->newer = n;
	t->lru.older = n;
}

static void set_fd(struct p9_nodes *t, struct p9_node *n, int fd)
{
	n->fd = fd;
	t->n_fds++;
	touch(t, n);
}

static void drop_fd(struct p9_nodes *t, struct p9_node *n)
{
	leave_lru(n);
	if (n->fd < 0)
		return;
	close(n->fd);
	n->fd = -1;
	t->n_fds--;
}

bool p9_node_evict(struct p9_server *s)
{
	struct p9_nodes *t = &s->nodes;
	struct p9_node *n = t->lru.newer;

	/* What this message uses was used last, so that only such are left. */
	if (n == &t->lru || n->used == t->message)
		return false;
	drop_fd(t, n);
	return true;
}

int p9_fd_reserve(struct p9_server *s, bool now)
{
	struct p9_nodes *t = &s->nodes;
	unsigned some = t->max_fds / 16;

	if (t->n_fds < t->max_fds)
		return 0;
	if (now)
		return P9_LATER;
	/* A few more at once, so that the next ones need not wait for this. */
	while (t->n_fds + some >= t->max_fds && p9_node_evict(s))
		;
	return t->n_fds < t->max_fds ? 0 : -EMFILE;
}

static bool has_fd(const struct p9_node *n) { return n->fd >= 0 || n->open; }

static int use(struct p9_nodes *t, struct p9_node *n)
{
	n->used = t->message;
	touch(t, n);
	return n->fd >= 0 ? n->fd : n->open->fd;
}

/* From dir, n->down and so on are opened; the last one's descriptor, or -errno. */
static int open_down(struct p9_server *s, int dir, const struct p9_node *n)
{
	struct statx x;
	int at = dir, next, r = 0;

	for (n = n->down; n; n = n->down) {
		next = p9_open_child(s, at, n->name, false);
		if (at != dir)
			close(at);
		if (next < 0)
			return next == -ENOENT || next == -ENOTDIR ? -ESTALE : next;
		at = next;
		r = p9_stat(at, &x);
		if (!r && !is(n, &x))
			r = -ESTALE;
		if (r) {
			close(at);
			return r;
		}
	}
	return at;
}

static int open_again(struct p9_server *s, struct p9_node *n)
{
	struct p9_nodes *t = &s->nodes;
	struct p9_node *at = n;
	uint32_t used;
	int fd, r;

	n->down = NULL;
	while (!has_fd(at)) {
		if (!at->parent)
			return -ESTALE;
		at->parent->down = at;
		at = at->parent;
	}
	used = at->used;
	fd = use(t, at);
	r = p9_fd_reserve(s, false);
	fd = r ? r : open_down(s, fd, at);
	at->used = used;
	if (fd < 0)
		return fd;
	set_fd(t, n, fd);
	return 0;
}

int p9_node_fd(struct p9_server *s, struct p9_node *n, bool now)
{
	int r = has_fd(n) ? 0 : now ? P9_LATER : open_again(s, n);

	return r ? r : use(&s->nodes, n);
}

int p9_node_dir(struct p9_server *s, const struct p9_node *n)
{
	int dir, r;

	if (!n->parent)
		return n == &s->nodes.root ? -EBUSY : -ENOENT;
	dir = p9_node_fd(s, n->parent, false);
	r = dir < 0 ? dir : names(dir, n->name, n);
	return r ? r : dir;
}

void p9_node_opened(struct p9_server *s, struct p9_node *n, struct p9_fid *f)
{
	s->nodes.n_fds++;
	f->prev_open = NULL;
	f->next_open = n->open;
	if (n->open)
		n->open->prev_open = f;
	n->open = f;
	touch(&s->nodes, n);
}

void p9_node_closed(struct p9_server *s, struct p9_fid *f)
{
	struct p9_nodes *t = &s->nodes;
	struct p9_node *n = f->node;
	int fd = -1;

	if (f->prev_open)
		f->prev_open->next_open = f->next_open;
	else
		n->open = f->next_open;
	if (f->next_open)
		f->next_open->prev_open = f->prev_open;
	/* The last descriptor of a file without a name: other fids of it live on by one that replaces it. */
	if (nameless(t, n) && !has_fd(n) && n->refs > 1)
		fd = p9_open_again(s, f->fd, n->type, O_PATH);
	close(f->fd);
	f->fd = -1;
	t->n_fds--;
	if (fd >= 0)
		set_fd(t, n, fd);
	else
		touch(t, n);
}

/* ---- nodes ---- */

int p9_nodes_init(struct p9_server *s, int fd, unsigned max_fds)
{
	struct p9_nodes *t = &s->nodes;
	struct statx x;
	int r = p9_stat(fd, &x);

	if (r)
		return r;
	if (getrandom(&t->seed, sizeof(t->seed), 0) != sizeof(t->seed))
		return -EIO;
	t->lru.newer = t->lru.older = &t->lru;
	t->max = P9_MAX_NODES;
	t->max_fds = max_fds;
	t->root = (struct p9_node){.name = NULL, .refs = 1, .fd = fd};
	p9_node_identify(s, &t->root, &x);
	return 0;
}

void p9_node_identify(const struct p9_server *s, struct p9_node *n, const struct statx *x)
{
	n->dev = p9_dev(x);
	n->ino = x->stx_ino;
	n->type = x->stx_mode & S_IFMT;
	n->local = s->local && n->dev == s->dev;
}

void p9_node_put(struct p9_server *s, struct p9_node *n)
{
	struct p9_nodes *t = &s->nodes;

	while (n && !--n->refs) {
		struct p9_node *up = n->parent;

		if (up)
			unhash(t, n);
		drop_fd(t, n);
		free(n->name);
		free(n);
		t->n--;
		n = up;
	}
}

/* n's name is not n's any more.  The caller has a reference to what is above. */
static void lose_name(struct p9_server *s, struct p9_node *n)
{
	struct p9_node *up = n->parent;

	unhash(&s->nodes, n);
	n->parent = NULL;
	touch(&s->nodes, n);
	p9_node_put(s, up);
}

int p9_node_child(struct p9_server *s, struct p9_node *parent, const char *name, const struct statx *x, int fd,
		  struct p9_node **out)
{
	struct p9_nodes *t = &s->nodes;
	struct p9_node *n = find(t, parent, name);
	char *copy;

	if (n && is(n, x)) {
		if (fd >= 0 && n->fd >= 0)
			close(fd);
		else if (fd >= 0)
			set_fd(t, n, fd);
		*out = p9_node_get(n);
		return 0;
	}
	if (n)
		lose_name(s, n);
	copy = strdup(name);
	n = copy && t->n < t->max ? calloc(1, sizeof(*n)) : NULL;
	if (!n) {
		free(copy);
		if (fd >= 0)
			close(fd);
		return t->n < t->max ? -ENOMEM : -EMFILE;
	}
	*n = (struct p9_node){.parent = p9_node_get(parent), .name = copy, .refs = 1, .fd = -1};
	p9_node_identify(s, n, x);
	hash(t, n);
	t->n++;
	if (fd >= 0)
		set_fd(t, n, fd);
	*out = n;
	return 0;
}

int p9_node_unlink(struct p9_server *s, struct p9_node *dir, const char *name, int flags)
{
	struct p9_node *n = find(&s->nodes, dir, name);
	int fd = p9_node_fd(s, dir, false);

	if (fd < 0)
		return fd;
	/* There is no other way to it afterwards.  If there is none now: fids of it are stale. */
	if (n && !has_fd(n))
		(void)!p9_node_fd(s, n, false);
	if (unlinkat(fd, name, flags))
		return -errno;
	if (n)
		lose_name(s, n);
	return 0;
}

/* n is `name` in dir now. */
static void move(struct p9_server *s, struct p9_node *n, struct p9_node *dir, const char *name)
{
	struct p9_nodes *t = &s->nodes;
	struct p9_node *up = n->parent;
	char *copy = find(t, dir, name) ? NULL : strdup(name);

	/*
	 * Below itself: not on the host, which refuses it, but if the host has moved dir meanwhile, it may be in our tree.
	 * A tree must not become a ring.
	 */
	for (const struct p9_node *at = dir; copy && at; at = at->parent)
		if (at == n) {
			free(copy);
			copy = NULL;
		}
	if (!copy) {
		lose_name(s, n);
		return;
	}
	unhash(t, n);
	free(n->name);
	n->name = copy;
	n->parent = p9_node_get(dir);
	hash(t, n);
	p9_node_put(s, up);
}

int p9_node_rename(struct p9_server *s, struct p9_node *old_dir, const char *old_name, struct p9_node *new_dir,
		   const char *new_name)
{
	struct p9_node *n = find(&s->nodes, old_dir, old_name), *over = find(&s->nodes, new_dir, new_name);
	int from = p9_node_fd(s, old_dir, false), to = from < 0 ? from : p9_node_fd(s, new_dir, false);

	if (to < 0)
		return to;
	if (over && !has_fd(over))
		(void)!p9_node_fd(s, over, false);
	if (renameat(from, old_name, to, new_name))
		return -errno;
	/* Of two names of one file, rename(2) leaves both. */
	if (over && names(to, new_name, over))
		lose_name(s, over);
	if (n && !names(to, new_name, n) && names(from, old_name, n))
		move(s, n, new_dir, new_name);
	return 0;
}
