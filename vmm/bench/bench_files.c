/* SPDX-License-Identifier: MIT */
#include "vmm/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK_BYTES  (16 << 20)
#define CPIO_ALIGN  4
#define CPIO_HEADER 110

static int failed(struct bench_error *err, const char *path)
{
	int e = errno ? errno : EIO;

	snprintf(err->text, sizeof(err->text), "%.400s: %s", path, strerror(e));
	return -e;
}

void bench_program_path(const struct bench_options *opt, enum micro_program program, char *out, size_t bytes)
{
	static const char *const name[NUM_MICRO_PROGRAMS] = {[MICRO_BARE] = "bare.elf", [MICRO_LINUX] = "linux"};
	char exe[2048];
	ssize_t n;
	char *slash;

	if (opt->programs) {
		snprintf(out, bytes, "%s/%s", opt->programs, name[program]);
		return;
	}
	/* In the build tree beside the program; installed, in ../lib/disco/bench. */
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	slash = strrchr(exe, '/');
	if (slash)
		*slash = '\0';
	snprintf(out, bytes, "%s/bench/%s", exe, name[program]);
	if (access(out, R_OK))
		snprintf(out, bytes, "%s/../lib/disco/bench/%s", exe, name[program]);
}

static int copy(FILE *to, const char *path, uint64_t *bytes, struct bench_error *err)
{
	FILE *from = fopen(path, "rb");
	char buf[65536];
	size_t n;
	int e = 0;

	if (!from)
		return failed(err, path);
	while ((n = fread(buf, 1, sizeof(buf), from)) > 0) {
		*bytes += n;
		if (fwrite(buf, 1, n, to) != n) {
			e = failed(err, "the scratch initramfs");
			break;
		}
	}
	if (!e && ferror(from))
		e = failed(err, path);
	fclose(from);
	return e;
}

static void pad(FILE *to, uint64_t *at, unsigned align)
{
	while (*at % align) {
		fputc(0, to);
		++*at;
	}
}

/*
 * One member of a "newc" cpio archive: 13 numbers of 8 hexadecimal digits after the magic.
 * Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
 */
static void cpio_header(FILE *to, uint64_t *at, const char *name, unsigned mode, uint64_t bytes)
{
	fprintf(to, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 1, mode, 0, 0, 1, 0, (unsigned)bytes,
		0, 0, 0, 0, (unsigned)strlen(name) + 1, 0);
	fwrite(name, 1, strlen(name) + 1, to);
	*at += CPIO_HEADER + strlen(name) + 1;
	pad(to, at, CPIO_ALIGN);
}

/* The kernel unpacks archives that follow each other one over the other. */
static int make_initrd(const struct bench_options *opt, const char *dir, struct bench_error *err)
{
	char path[4200], program[4096];
	uint64_t base = 0, at = 0;
	struct stat st;
	FILE *to;
	int e;

	snprintf(path, sizeof(path), "%s/initrd", dir);
	bench_program_path(opt, MICRO_LINUX, program, sizeof(program));
	if (stat(program, &st))
		return failed(err, program);
	to = fopen(path, "wb");
	if (!to)
		return failed(err, path);
	e = copy(to, opt->initrd, &base, err);
	pad(to, &base, 512);
	cpio_header(to, &at, "tests", 040755, 0);
	cpio_header(to, &at, "tests/micro", 0100755, (uint64_t)st.st_size);
	if (!e)
		e = copy(to, program, &at, err);
	pad(to, &at, CPIO_ALIGN);
	cpio_header(to, &at, "TRAILER!!!", 0, 0);
	pad(to, &at, 512);
	if (ferror(to) && !e)
		e = failed(err, path);
	if (fclose(to) && !e)
		e = failed(err, path);
	return e;
}

static int make_disk(const char *dir, struct bench_error *err)
{
	char path[4200];
	int fd, e = 0;

	snprintf(path, sizeof(path), "%s/disk", dir);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed(err, path);
	/* Allocated now, so that no round pays for it. */
	errno = posix_fallocate(fd, 0, DISK_BYTES);
	if (errno)
		e = failed(err, path);
	close(fd);
	return e;
}

int bench_files_make(const struct bench_options *opt, const char *dir, struct bench_error *err)
{
	int e = make_initrd(opt, dir, err);

	return e ? e : make_disk(dir, err);
}

void bench_files_remove(const char *dir)
{
	static const char *const names[] = {"initrd", "disk", "stats"};
	char path[4200];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}
