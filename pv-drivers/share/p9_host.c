/* SPDX-License-Identifier: MIT */
/*
 * The walls of a shared directory.  A guest is kept in it by this:
 *
 *   - A name is one step: p9_name_check() refuses "", ".", ".." and "/".
 *   - Each step is an openat2() from the descriptor of the directory before, which follows no symbolic link and does not go
 *     up.  Symbolic links are text: the guest follows them, in its own tree.
 *   - What a fid names is used by an O_PATH descriptor (p9_node.h), so that it cannot be exchanged for something else between
 *     the look at it and its use.  To be read and written it is opened once more by /proc/self/fd, and only if it is a
 *     regular file or a directory: no fifo that blocks, no device of the host's.
 *
 * A directory that the host itself moves out of the share while the guest has a fid of it stays reachable to the guest, from
 * there downwards, as long as its descriptor is kept.
 */
#define _GNU_SOURCE /* O_PATH, AT_EMPTY_PATH */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "pv-drivers/share/p9_server.h"

int p9_name_check(const char *name)
{
	if (!name[0])
		return -ENOENT;
	if (strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
		return -EINVAL;
	return 0;
}

int p9_get_name(struct p9_request *q, char out[P9_NAME_BYTES])
{
	int r = p9_get_string(&q->in, out, P9_NAME_BYTES);

	return r ? r : p9_name_check(out);
}

/* openat2(), or what a host before 5.6 has: one step that is not "..", and no link followed, is as good. */
static int open_beneath(struct p9_server *s, int dir, const char *name, bool now)
{
	struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS};
	long fd;

	if (now)
		how.resolve |= RESOLVE_CACHED | RESOLVE_NO_XDEV;
	if (!s->no_openat2) {
		fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		/* EINVAL: a host before 5.12 does not know RESOLVE_CACHED. */
		if (now && (errno == EAGAIN || errno == EXDEV || errno == EINVAL || errno == ENOSYS))
			return P9_LATER;
		if (errno != ENOSYS)
			return -errno;
		s->no_openat2 = true;
	}
	if (now)
		return P9_LATER;
	fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : (int)fd;
}

bool p9_make_way(struct p9_server *s, int error) { return (error == -EMFILE || error == -ENFILE) && p9_node_evict(s); }

int p9_open_child(struct p9_server *s, int dir, const char *name, bool now)
{
	int fd;

	if (p9_name_check(name))
		return -EINVAL;
	do
		fd = open_beneath(s, dir, name, now);
	while (p9_make_way(s, fd));
	return fd;
}

int p9_create(struct p9_server *s, int dir, const char *name, int flags)
{
	int fd;

	if (p9_name_check(name))
		return -EINVAL;
	do {
		fd = openat(dir, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
		fd = fd < 0 ? -errno : fd;
	} while (p9_make_way(s, fd));
	return fd;
}

struct p9_proc_name p9_proc_name(int fd)
{
	struct p9_proc_name n;

	snprintf(n.name, sizeof(n.name), "%d", fd);
	return n;
}

struct p9_proc_path p9_proc_path(int fd)
{
	struct p9_proc_path p;

	snprintf(p.path, sizeof(p.path), "/proc/self/fd/%d", fd);
	return p;
}

int p9_open_again(struct p9_server *s, int fd, mode_t type, int flags)
{
	int r;

	if (S_ISLNK(type))
		return -ELOOP;
	if (!S_ISREG(type) && !S_ISDIR(type))
		return -ENXIO;
	do {
		r = openat(s->proc, p9_proc_name(fd).name, flags | O_CLOEXEC | O_NOCTTY);
		r = r < 0 ? -errno : r;
	} while (p9_make_way(s, r));
	return r;
}

int p9_stat(int fd, struct statx *x)
{
	return statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, x) ? -errno : 0;
}

dev_t p9_dev(const struct statx *x) { return makedev(x->stx_dev_major, x->stx_dev_minor); }

/* A share may span file systems, whose inode numbers are the same: those of others than the root's are moved away. */
uint64_t p9_qid_path(const struct p9_server *s, dev_t dev, uint64_t ino)
{
	uint64_t h = (uint64_t)dev ^ (uint64_t)s->dev;

	h *= 0x9e3779b97f4a7c15;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93;
	return ino ^ h; /* h is 0 for the root's own */
}

struct p9_qid p9_qid_of(const struct p9_server *s, const struct statx *x)
{
	struct p9_qid q = {.type = P9_QID_FILE, .path = p9_qid_path(s, p9_dev(x), x->stx_ino)};

	if (S_ISDIR(x->stx_mode))
		q.type = P9_QID_DIR;
	else if (S_ISLNK(x->stx_mode))
		q.type = P9_QID_SYMLINK;
	return q;
}
