/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* accept4, struct ucred */
#include "vmm/control/socket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SUFFIX ".sock"

static int failed(struct control_error *err, int e, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int failed(struct control_error *err, int e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return e;
}

int control_folder(char *out, size_t bytes, bool make, struct control_error *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	struct stat st;
	int n;

	n = runtime && *runtime == '/' ? snprintf(out, bytes, "%s/disco", runtime)
				       : snprintf(out, bytes, "/tmp/disco-%u", (unsigned)geteuid());
	if (n < 0 || (size_t)n >= bytes)
		return failed(err, -ENAMETOOLONG, "the folder of control sockets: its name is too long");
	if (make && mkdir(out, 0700) && errno != EEXIST)
		return failed(err, -errno, "%s: %s", out, strerror(errno));
	if (lstat(out, &st))
		return errno == ENOENT ? -ENOENT : failed(err, -errno, "%s: %s", out, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077)
		return failed(err, -EPERM, "%s: is not a folder of this user's alone (mode 0700)", out);
	return 0;
}

static int path_of(const char *folder, const char *name, struct sockaddr_un *addr)
{
	int n;

	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(addr->sun_path, sizeof(addr->sun_path), "%s/%s" SUFFIX, folder, name);
	return n < 0 || (size_t)n >= sizeof(addr->sun_path) ? -ENAMETOOLONG : 0;
}

static int connect_to(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
		return fd;
	close(fd);
	return -errno;
}

int control_connect(const char *name)
{
	char folder[256];
	struct control_error err;
	struct sockaddr_un addr;
	int r = control_folder(folder, sizeof(folder), false, &err);

	r = r ? r : path_of(folder, name, &addr);
	return r ? r : connect_to(&addr);
}

/* With the folder locked: two that begin at once do not both find it stale. */
static int take_over(const struct sockaddr_un *addr, const char *name, struct control_error *err)
{
	struct stat st;
	int fd;

	if (lstat(addr->sun_path, &st))
		return errno == ENOENT ? 0 : failed(err, -errno, "%s: %s", addr->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return failed(err, -EEXIST, "%s: is there, and no socket", addr->sun_path);
	fd = connect_to(addr);
	if (fd >= 0)
		close(fd);
	/* EAGAIN: more wait there than it takes at once */
	if (fd >= 0 || fd == -EAGAIN)
		return failed(err, -EADDRINUSE, "--control %s: a monitor of that name runs already", name);
	if (fd != -ECONNREFUSED)
		return failed(err, fd, "%s: %s", addr->sun_path, strerror(-fd));
	if (unlink(addr->sun_path) && errno != ENOENT)
		return failed(err, -errno, "%s: %s", addr->sun_path, strerror(errno));
	return 0;
}

static int listen_at(const struct sockaddr_un *addr, struct control_error *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), e;

	if (fd < 0)
		return failed(err, -errno, "the control socket: %s", strerror(errno));
	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 && listen(fd, 16) == 0)
		return fd;
	e = -errno;
	close(fd);
	return failed(err, e, "%s: %s", addr->sun_path, strerror(-e));
}

/* What killed processes have left: names that only a process of that number can have. */
static void sweep(const char *folder)
{
	char path[600];
	struct dirent *e;
	DIR *dir = opendir(folder);

	while (dir && (e = readdir(dir))) {
		int pid, end = 0;

		if (sscanf(e->d_name, CONTROL_RUN_PREFIX "%9d" SUFFIX "%n", &pid, &end) != 1 || !end ||
		    e->d_name[end] || pid <= 0)
			continue;
		if (kill(pid, 0) == 0 || errno != ESRCH)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		(void)unlink(path);
	}
	if (dir)
		closedir(dir);
}

int control_listen(const char *name, struct control_path *path, struct control_error *err)
{
	char folder[256];
	struct sockaddr_un addr;
	int dir, r = control_folder(folder, sizeof(folder), true, err);

	if (r)
		return r;
	if (path_of(folder, name, &addr))
		return failed(err, -ENAMETOOLONG, "%s/%s" SUFFIX ": is too long for a socket", folder, name);
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || flock(dir, LOCK_EX))
		r = failed(err, -errno, "%s: %s", folder, strerror(errno));
	if (!r)
		sweep(folder);
	r = r ? r : take_over(&addr, name, err);
	r = r ? r : listen_at(&addr, err);
	if (dir >= 0)
		close(dir); /* and its lock */
	if (r >= 0)
		memcpy(path->text, addr.sun_path, sizeof(path->text));
	return r;
}

bool control_peer_is_mine(int fd)
{
	struct ucred who;
	socklen_t n = sizeof(who);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) && (who.uid == geteuid() || who.uid == 0);
}

void control_each_name(void (*fn)(void *opaque, const char *name), void *opaque)
{
	char folder[256], name[256];
	struct control_error err;
	struct dirent *e;
	DIR *dir;

	if (control_folder(folder, sizeof(folder), false, &err))
		return;
	dir = opendir(folder);
	while (dir && (e = readdir(dir))) {
		size_t n = strlen(e->d_name);

		if (n <= strlen(SUFFIX) || strcmp(e->d_name + n - strlen(SUFFIX), SUFFIX) != 0)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(n - strlen(SUFFIX)), e->d_name);
		fn(opaque, name);
	}
	if (dir)
		closedir(dir);
}
