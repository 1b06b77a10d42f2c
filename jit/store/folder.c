/* SPDX-License-Identifier: MIT */
/* The folder: whose it is, its lock, and how much is in it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "jit/store/store_internal.h"

static int failed(struct store_error *err, int e, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int failed(struct store_error *err, int e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return e;
}

int folder_open(const char *path, struct store_error *err)
{
	struct stat st;
	int fd, e;

	if (mkdir(path, 0700) && errno != EEXIST)
		return failed(err, -errno, "%s: %s", path, strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return failed(err, -errno, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 022))
		return fd;
	e = st.st_uid == geteuid() ? failed(err, -EPERM, "%s: others may write to it", path)
				   : failed(err, -EPERM, "%s: is another user's", path);
	close(fd);
	return e;
}

int folder_open_file(int folder, const char *name, int flags)
{
	int fd = openat(folder, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600), e;
	struct stat st;

	if (fd < 0)
		return -errno;
	e = fstat(fd, &st) ? -errno : 0;
	if (!e && (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 022))
		e = -EPERM;
	if (!e)
		return fd;
	close(fd);
	return e;
}

bool folder_lock(int folder)
{
	enum { TRIES = 100 };
	const struct timespec pause = {0, 10000000};

	for (int i = 0; i < TRIES; i++) {
		if (flock(folder, LOCK_EX | LOCK_NB) == 0)
			return true;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return false;
		nanosleep(&pause, NULL);
	}
	return false;
}

void folder_unlock(int folder) { flock(folder, LOCK_UN); }

/* ---- how much is in it ---- */

struct file {
	char name[64];
	uint64_t bytes;
	struct timespec when;
};

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n >= k && strcmp(name + n - k, end) == 0;
}

static int by_age(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	if (x->when.tv_sec != y->when.tv_sec)
		return x->when.tv_sec < y->when.tv_sec ? -1 : 1;
	return x->when.tv_nsec < y->when.tv_nsec ? -1 : x->when.tv_nsec > y->when.tv_nsec;
}

/* Other builds' files; what a killed process has left of one goes at once, since nobody writes one without the lock. */
static struct file *list(struct store *s, DIR *dir, size_t *n)
{
	struct file *files = NULL, *more;
	struct dirent *e;
	struct stat st;

	*n = 0;
	while ((e = readdir(dir)) != NULL) {
		if (ends_in(e->d_name, STORE_SUFFIX STORE_TMP)) {
			unlinkat(s->folder, e->d_name, 0);
			continue;
		}
		if (!ends_in(e->d_name, STORE_SUFFIX) || strcmp(e->d_name, s->name) == 0 ||
		    strlen(e->d_name) >= sizeof(files->name) ||
		    fstatat(s->folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
			continue;
		more = realloc(files, (*n + 1) * sizeof(*files));
		if (!more)
			break;
		files = more;
		files[*n] = (struct file){.bytes = (uint64_t)st.st_size, .when = st.st_mtim};
		strcpy(files[(*n)++].name, e->d_name);
	}
	return files;
}

void folder_trim(struct store *s, uint64_t ours)
{
	int fd = openat(s->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct file *files;
	uint64_t sum = ours;
	size_t n;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	files = list(s, dir, &n);
	if (n)
		qsort(files, n, sizeof(*files), by_age);
	for (size_t i = 0; i < n; i++)
		sum += files[i].bytes;
	for (size_t i = 0; i < n && sum > s->cfg.bytes; i++) {
		unlinkat(s->folder, files[i].name, 0);
		sum -= files[i].bytes;
	}
	free(files);
	closedir(dir);
}
