/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_PV_DISK_H
#define TESTS_UNIT_PV_DISK_H

/* Images in a directory of the test's own, and disks on them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pv-drivers/disk/disk_internal.h"

struct bench {
	char dir[64];
	char path[PATH_MAX]; /* of bench_path() */
	struct disk_error err;
	struct disk_host host; /* what disks are opened on */
	unsigned complaints;
	char complaint[512], complaints_all[4096]; /* the last; all, a line each */
	enum disk_policy werror, rerror;
};

static inline void bench_init_in(struct bench *b, const char *parent)
{
	memset(b, 0, sizeof(*b));
	snprintf(b->dir, sizeof(b->dir), "%s/disco-disk-XXXXXX", parent);
	cr_assert(mkdtemp(b->dir));
	b->host = disk_host_default;
}

static inline void bench_init(struct bench *b) { bench_init_in(b, "/tmp"); }

static inline void bench_free(struct bench *b)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", b->dir);
	cr_assert_eq(system(command), 0);
}

static inline const char *bench_path(struct bench *b, const char *name)
{
	snprintf(b->path, sizeof(b->path), "%s/%s", b->dir, name);
	return b->path;
}

/* The byte of a test image at this offset: any two sectors differ. */
static inline uint8_t pattern(uint64_t off) { return (uint8_t)((off / 512) * 37 + off % 512 + (off >> 17)); }

static inline void bench_image(struct bench *b, const char *name, uint64_t bytes)
{
	FILE *f = fopen(bench_path(b, name), "wb");

	cr_assert(f);
	for (uint64_t i = 0; i < bytes; i++)
		putc(pattern(i), f);
	cr_assert_eq(fclose(f), 0);
}

static inline uint64_t bench_sum(struct bench *b, const char *name)
{
	FILE *f = fopen(bench_path(b, name), "rb");
	uint64_t sum = 14695981039346656037u;
	int c;

	cr_assert(f);
	while ((c = getc(f)) != EOF)
		sum = (sum ^ (uint64_t)c) * 1099511628211u;
	fclose(f);
	return sum;
}

static inline void bench_complain(void *opaque, const char *line)
{
	struct bench *b = opaque;

	b->complaints++;
	snprintf(b->complaint, sizeof(b->complaint), "%s", line);
	if (strlen(b->complaints_all) + strlen(line) + 2 < sizeof(b->complaints_all)) {
		strcat(b->complaints_all, line);
		strcat(b->complaints_all, "\n");
	}
}

static inline int bench_open(struct bench *b, struct disk **d, const char *name, enum disk_mode mode,
			     const char *overlay)
{
	char path[PATH_MAX], over[PATH_MAX];
	struct disk_config cfg = {.path = path,
				  .mode = mode,
				  .werror = b->werror,
				  .rerror = b->rerror,
				  .complain = bench_complain,
				  .opaque = b};

	snprintf(path, sizeof(path), "%s/%s", b->dir, name);
	snprintf(over, sizeof(over), "%s/%s", b->dir, overlay ? overlay : "");
	cfg.overlay = overlay ? over : NULL;
	memset(&b->err, 0, sizeof(b->err));
	*d = NULL;
	return disk_open_on(d, &cfg, &b->host, &b->err);
}

static inline struct disk *bench_disk(struct bench *b, const char *name, enum disk_mode mode, const char *overlay)
{
	struct disk *d;
	int err = bench_open(b, &d, name, mode, overlay);

	cr_assert_eq(err, 0, "%s", b->err.text);
	return d;
}

static inline int put(struct disk *d, uint64_t off, const void *data, size_t n)
{
	struct iovec iov = {(void *)(uintptr_t)data, n};

	return disk_writev(d, off, &iov, 1);
}

static inline int get(struct disk *d, uint64_t off, void *data, size_t n)
{
	struct iovec iov = {data, n};

	return disk_readv(d, off, &iov, 1);
}

static inline int fill(struct disk *d, uint64_t off, size_t n, uint8_t value)
{
	uint8_t *buf = malloc(n);
	int err;

	memset(buf, value, n);
	err = put(d, off, buf, n);
	free(buf);
	return err;
}

/* [off, off + n) of the disk holds this byte; -1: the image's pattern. */
static inline bool holds(struct disk *d, uint64_t off, size_t n, int value)
{
	uint8_t *buf = malloc(n);
	bool same = !get(d, off, buf, n);

	for (size_t i = 0; i < n && same; i++)
		same = buf[i] == (value < 0 ? pattern(off + i) : value);
	free(buf);
	return same;
}

#endif
