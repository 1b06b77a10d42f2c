/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pv-drivers/disk/disk_internal.h"

/*
 * Locks belong to the open file description (F_OFD_SETLK), not to the process: two machines in one process exclude each
 * other, and closing another descriptor of the same file (libqcow opens one) drops nothing.
 *
 * The bytes are QEMU's (its "image locking", block/file-posix.c): whoever does X holds a read lock on USES + X, whoever
 * cannot bear others doing X holds one on REFUSES + X; each then looks whether anybody refuses what it does, or does what
 * it refuses.  Two that open at the same moment may both be refused; never do both get in.
 */
enum { USES = 100, REFUSES = 200 };
enum { USE_READ = 0, USE_WRITE = 1, USE_RESIZE = 3 };

static int lock_byte(int fd, off_t byte)
{
	struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return fcntl(fd, F_OFD_SETLK, &l) ? -errno : 0;
}

/* 1: another open file description holds this byte. */
static int byte_held(int fd, off_t byte)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	if (fcntl(fd, F_OFD_GETLK, &l))
		return -errno;
	return l.l_type != F_UNLCK;
}

/* ---- who has it: the kernel gives no pid for such a lock, but /proc shows each open file's locks ---- */

static bool number(const char *s)
{
	for (; isdigit((unsigned char)*s); s++)
		;
	return !*s;
}

static bool shows_lock(const char *fdinfo)
{
	char line[256];
	bool found = false;
	FILE *f = fopen(fdinfo, "re");

	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "lock:", 5);
	if (f)
		fclose(f);
	return found;
}

/* True if a process, other than by our own fd, has the file open with locks. */
static bool process_has(const char *pid, int own_fd, const struct stat *file)
{
	char path[300];
	struct dirent *e;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	dir = opendir(path);
	while (dir && !found && (e = readdir(dir))) {
		struct stat st;

		if (e->d_name[0] == '.' || (own_fd >= 0 && atoi(e->d_name) == own_fd))
			continue;
		if (fstatat(dirfd(dir), e->d_name, &st, 0) || st.st_dev != file->st_dev || st.st_ino != file->st_ino)
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/fdinfo/%.20s", pid, e->d_name);
		found = shows_lock(path);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* A process's name is its own to choose: what reaches the terminal is printable. */
static void process_name(const char *pid, char *out, size_t bytes)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(out, (int)bytes, f))
		snprintf(out, bytes, "?");
	if (f)
		fclose(f);
	out[strcspn(out, "\n")] = 0;
	for (char *p = out; *p; p++)
		if (!isprint((unsigned char)*p))
			*p = '?';
}

static int say_busy(int fd, const char *path, bool exclusive, struct disk_error *err)
{
	const char *what = exclusive ? "in use" : "being written";
	char own[24], name[64];
	struct dirent *e;
	struct stat file;
	DIR *dir = NULL;

	snprintf(own, sizeof(own), "%d", (int)getpid());
	if (!fstat(fd, &file))
		dir = opendir("/proc");
	while (dir && (e = readdir(dir))) {
		bool self = !strcmp(e->d_name, own);

		if (!number(e->d_name) || !process_has(e->d_name, self ? fd : -1, &file))
			continue;
		process_name(e->d_name, name, sizeof(name));
		if (self)
			disk_say(err, 0, path, "is %s by another disk of this process (%s %s)", what, name, own);
		else
			disk_say(err, 0, path, "is %s by process %.20s (%s)", what, e->d_name, name);
		closedir(dir);
		return -EBUSY;
	}
	if (dir)
		closedir(dir);
	return disk_say(err, -EBUSY, path, "is %s by another process", what);
}

int disk_lock(int fd, const char *path, bool exclusive, struct disk_error *err)
{
	/* Every disk refuses that others write or resize: a cache, a tree over it, or a guest would not see it. */
	static const off_t shared_bytes[] = {USES + USE_READ, REFUSES + USE_WRITE, REFUSES + USE_RESIZE};
	static const off_t shared_against[] = {REFUSES + USE_READ, USES + USE_WRITE, USES + USE_RESIZE};
	int e = 0, held = 0;

	for (unsigned i = 0; i < ARRAY_LEN(shared_bytes) && !e; i++)
		e = lock_byte(fd, shared_bytes[i]);
	if (exclusive && !e)
		e = lock_byte(fd, USES + USE_WRITE);
	for (unsigned i = 0; i < ARRAY_LEN(shared_against) && !e && !held; i++) {
		held = byte_held(fd, shared_against[i]);
		e = held < 0 ? held : 0;
	}
	if (exclusive && !e && !held) {
		held = byte_held(fd, REFUSES + USE_WRITE);
		e = held < 0 ? held : 0;
	}
	if (e == -EAGAIN || e == -EACCES || held > 0)
		return say_busy(fd, path, exclusive, err);
	if (e)
		return disk_say(err, e, path, "cannot be locked: %s", disk_strerror(-e));
	return 0;
}
