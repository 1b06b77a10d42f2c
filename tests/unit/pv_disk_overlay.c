/* SPDX-License-Identifier: MIT */
/* Overlay files: kept over runs, over a crash at any moment, over a full host disk; and refused when they do not belong. */
#include <signal.h>
#include <sys/wait.h>

#include "pv-drivers/disk/disk_log.h"
#include "tests/unit/pv_disk.h"

enum { MiB = 1 << 20, FULL = -1 };

static struct bench b;

static void setup(void) { bench_init(&b); }
static void teardown(void) { bench_free(&b); }
TestSuite(pv_disk_overlay, .init = setup, .fini = teardown);

static void copy(const char *from, const char *to)
{
	char command[256];

	snprintf(command, sizeof(command), "cp --sparse=always '%s/%s' '%s/%s'", b.dir, from, b.dir, to);
	cr_assert_eq(system(command), 0);
}

static void poke(const char *name, off_t off, const void *data, size_t n)
{
	int fd = open(bench_path(&b, name), O_RDWR);

	cr_assert(fd >= 0);
	cr_assert_eq(pwrite(fd, data, n, off), (ssize_t)n);
	close(fd);
}

Test(pv_disk_overlay, kept_over_runs)
{
	uint64_t sum;
	struct disk *d;

	bench_image(&b, "a.img", MiB);
	sum = bench_sum(&b, "a.img");
	d = bench_disk(&b, "a.img", DISK_COW, "o");
	cr_assert_eq(fill(d, 8192, 1024, 5), 0);
	cr_assert_eq(disk_write_zeroes(d, 65536, 65536, true), 0);
	cr_assert_eq(disk_close(d), 0); /* flushes */
	for (unsigned run = 0; run < 5; run++) {
		d = bench_disk(&b, "a.img", DISK_COW, "o");
		cr_assert(holds(d, 0, 8192, -1) && holds(d, 8192, 1024, 5) && holds(d, 65536, 65536, 0));
		cr_assert_eq(fill(d, 16384 + run * 512, 512, (uint8_t)(10 + run)), 0);
		cr_assert_eq(disk_close(d), 0);
	}
	d = bench_disk(&b, "a.img", DISK_COW, "o");
	for (unsigned run = 0; run < 5; run++)
		cr_assert(holds(d, 16384 + run * 512, 512, 10 + (int)run));
	cr_assert_eq(disk_close(d), 0);
	cr_assert_eq(bench_sum(&b, "a.img"), sum);
}

/* What was flushed is there after kill -9; what was not is old or new. */
Test(pv_disk_overlay, killed)
{
	struct disk *d;
	int status;
	pid_t pid;

	bench_image(&b, "a.img", MiB);
	for (unsigned run = 0; run < 8; run++) {
		pid = fork();
		cr_assert(pid >= 0);
		if (!pid) {
			bool ok = !bench_open(&b, &d, "a.img", DISK_COW, "o");

			for (unsigned i = 0; i <= run && ok; i++)
				ok = !fill(d, (run * 8 + i) * 1024, 512, (uint8_t)(run + 1)) && !disk_flush(d);
			ok = ok && !fill(d, MiB / 2 + run * 512, 512, 0xee);
			kill(ok ? getpid() : 0, SIGKILL);
			_exit(1);
		}
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert(WIFSIGNALED(status));
	}
	d = bench_disk(&b, "a.img", DISK_COW, "o");
	for (unsigned run = 0; run < 8; run++) {
		for (unsigned i = 0; i <= run; i++)
			cr_assert(holds(d, (run * 8 + i) * 1024, 512, (int)run + 1), "run %u, write %u", run, i);
		cr_assert(holds(d, MiB / 2 + run * 512, 512, -1) || holds(d, MiB / 2 + run * 512, 512, 0xee));
	}
	cr_assert_eq(disk_close(d), 0);
}

static off_t log_start(uint64_t disk_bytes, uint64_t generation, const char *name)
{
	uint64_t capacity;
	int fd = open(bench_path(&b, name), O_RDONLY);

	/* struct header: generation and capacity come after magic, version, bytes and the identity */
	cr_assert(fd >= 0);
	cr_assert_eq(pread(fd, &capacity, 8, (off_t)(generation % 2 * 4096 + 64)), 8);
	close(fd);
	return (off_t)(COW_LOG_DATA + disk_bytes + generation % 2 * ((capacity * 40 + 4095) / 4096 * 4096));
}

/* A log that is cut anywhere in its last batch opens, with the batches before it. */
Test(pv_disk_overlay, torn_batch)
{
	enum { RECORDS = 3 };
	off_t at;
	struct disk *d;

	bench_image(&b, "a.img", MiB);
	d = bench_disk(&b, "a.img", DISK_COW, "o");
	cr_assert_eq(fill(d, 0, 512, 1), 0);
	cr_assert_eq(disk_flush(d), 0);
	for (unsigned i = 0; i < RECORDS; i++)
		cr_assert_eq(fill(d, 8192 + i * 4096, 512, 2), 0);
	cr_assert_eq(disk_close(d), 0);
	at = log_start(MiB, 1, "o");
	for (unsigned cut = 1; cut <= RECORDS; cut++) {
		char name[16];

		snprintf(name, sizeof(name), "cut%u", cut);
		copy("o", name);
		poke(name, at + 40 * cut + 8, "\x55\x55\x55", 3);
		d = bench_disk(&b, "a.img", DISK_COW, name);
		cr_assert(holds(d, 0, 512, 1));
		for (unsigned i = 0; i < RECORDS; i++)
			cr_assert(holds(d, 8192 + i * 4096, 512, i + 1 < cut ? 2 : -1), "cut %u, record %u", cut, i);
		/* What came behind the cut must not come back. */
		cr_assert_eq(fill(d, MiB / 2, 512, 3), 0);
		cr_assert_eq(disk_close(d), 0);
		d = bench_disk(&b, "a.img", DISK_COW, name);
		for (unsigned i = 0; i < RECORDS; i++)
			cr_assert(holds(d, 8192 + i * 4096, 512, i + 1 < cut ? 2 : -1));
		cr_assert(holds(d, MiB / 2, 512, 3));
		cr_assert_eq(disk_close(d), 0);
	}
}

static void expect_refused(const char *image, const char *overlay, const char *why)
{
	struct disk *d;

	cr_assert_lt(bench_open(&b, &d, image, DISK_COW, overlay), 0);
	cr_assert(strstr(b.err.text, why) && !strchr(b.err.text, '\n'), "'%s' is not '%s'", b.err.text, why);
}

Test(pv_disk_overlay, damage_is_seen)
{
	struct disk *d;
	off_t at;

	bench_image(&b, "a.img", MiB);
	d = bench_disk(&b, "a.img", DISK_COW, "o");
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(fill(d, i * 8192, 512, 1), 0);
		cr_assert_eq(disk_flush(d), 0);
	}
	cr_assert_eq(disk_close(d), 0);
	at = log_start(MiB, 1, "o");
	copy("o", "record"); /* a batch that had been synced, as the ones after it show */
	poke("record", at + 40, "\x55", 1);
	expect_refused("a.img", "record", "damaged");
	copy("o", "header");
	poke("header", 4096 + 20, "\x55", 1);
	expect_refused("a.img", "header", "damaged");
	d = bench_disk(&b, "a.img", DISK_COW, "o"); /* now generation 2, whose first records are a snapshot */
	cr_assert_eq(disk_close(d), 0);
	copy("o", "snapshot");
	poke("snapshot", log_start(MiB, 2, "snapshot") + 40 * 3 + 1, "\x55", 1);
	expect_refused("a.img", "snapshot", "damaged");
	copy("o", "version");
	poke("version", 8, "\x09", 1);
	expect_refused("a.img", "version", "version 9");
	bench_image(&b, "noise", 20000);
	expect_refused("a.img", "noise", "not an overlay");
	bench_image(&b, "short", 100);
	expect_refused("a.img", "short", "not an overlay");
	expect_refused("a.img", "a.img", "image itself");
	expect_refused("a.img", ".", "directory");
}

Test(pv_disk_overlay, belongs_to_one_image)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {1000, 5}};
	struct disk *d;

	bench_image(&b, "a.img", 2 * MiB);
	bench_image(&b, "b.img", 3 * MiB);
	bench_image(&b, "c.img", 2 * MiB);
	poke("c.img", 0, "x", 1);
	d = bench_disk(&b, "a.img", DISK_COW, "o");
	cr_assert_eq(disk_close(d), 0);
	expect_refused("b.img", "o", "size differs");
	expect_refused("c.img", "o", "first MiB differs");
	cr_assert_eq(utimensat(AT_FDCWD, bench_path(&b, "a.img"), times, 0), 0);
	expect_refused("a.img", "o", "touch -d @");
	/* The remedy that the message names. */
	{
		char command[2 * PATH_MAX + 256], when[128];

		cr_assert_eq(sscanf(strstr(b.err.text, "touch"), "touch -d %127s", when), 1);
		snprintf(command, sizeof(command), "touch -d %s '%s'", when, bench_path(&b, "a.img"));
		cr_assert_eq(system(command), 0);
	}
	d = bench_disk(&b, "a.img", DISK_COW, "o");
	cr_assert_eq(disk_close(d), 0);
	d = bench_disk(&b, "a.img", DISK_RW, NULL);
	cr_assert_eq(fill(d, MiB + MiB / 2, 512, 1), 0);
	cr_assert_eq(disk_close(d), 0);
	expect_refused("a.img", "o", "has been written since");
}

Test(pv_disk_overlay, a_file_of_no_bytes_is_new)
{
	struct disk *d;

	bench_image(&b, "a.img", MiB);
	bench_image(&b, "o", 0);
	d = bench_disk(&b, "a.img", DISK_COW, "o");
	cr_assert_eq(fill(d, 0, 512, 1), 0);
	cr_assert_eq(disk_close(d), 0);
	d = bench_disk(&b, "a.img", DISK_COW, "o");
	cr_assert(holds(d, 0, 512, 1));
	cr_assert_eq(disk_close(d), 0);
}

/* ---- a host that fails ---- */

static int countdown;     /* calls until the host fails, < 0: never */
static int fail_error;    /* with this */
static bool fail_forever; /* or once */
static bool has_failed;

static bool fails(void)
{
	if (countdown < 0 || countdown-- > 0)
		return false;
	countdown = fail_forever ? 0 : -1;
	has_failed = true;
	errno = fail_error;
	return true;
}

static ssize_t failing_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	return fails() ? -1 : pwritev(fd, iov, n, off);
}
static int failing_fdatasync(int fd) { return fails() ? -1 : fdatasync(fd); }

/*
 * Fail the n-th write or sync, for every n, once or from then on; then kill.  What a flush that said so covers is there;
 * what it does not cover is old or new; the overlay opens.
 */
static void fail_each(bool forever, int error, uint64_t ranges)
{
	enum { BLOCKS = 12 };

	bench_image(&b, "a.img", MiB);
	b.host.cow_ranges = ranges;
	for (int n = 0;; n++) {
		uint8_t safe[BLOCKS] = {0}, tried[BLOCKS] = {0};
		bool was_reached, ok = true;
		struct disk *d;

		unlink(bench_path(&b, "o"));
		b.host.pwritev = pwritev;
		b.host.fdatasync = fdatasync;
		b.complaints = 0;
		d = bench_disk(&b, "a.img", DISK_COW, "o");
		b.host.pwritev = failing_pwritev;
		b.host.fdatasync = failing_fdatasync;
		countdown = n;
		has_failed = false;
		fail_error = error;
		fail_forever = forever;
		for (unsigned i = 0; i < 3 * BLOCKS; i++) {
			unsigned block = i * 7 % BLOCKS;

			tried[block] = (uint8_t)(1 + i);
			ok &= !fill(d, block * 8192, 512, (uint8_t)(1 + i));
			if (i % 5 != 4)
				continue;
			if (!disk_flush(d) && ok)
				memcpy(safe, tried, BLOCKS);
		}
		was_reached = has_failed;
		cr_assert(!was_reached || b.complaints, "nobody was told");
		cr_assert_leq(b.complaints, 2); /* once per kind */
		/* As after a kill: nothing more reaches the file. */
		countdown = 0;
		fail_forever = true;
		(void)!disk_close(d);
		countdown = -1;
		d = bench_disk(&b, "a.img", DISK_COW, "o");
		for (unsigned i = 0; i < BLOCKS; i++) {
			if (safe[i] && safe[i] == tried[i])
				cr_assert(holds(d, i * 8192, 512, safe[i]), "n %d block %u", n, i);
			else
				cr_assert(!safe[i] || !holds(d, i * 8192, 512, -1), "n %d block %u lost", n, i);
			cr_assert(holds(d, i * 8192 + 512, 8192 - 512, -1));
		}
		cr_assert_eq(disk_close(d), 0);
		if (!was_reached)
			return;
	}
}

Test(pv_disk_overlay, fail_each_once) { fail_each(false, EIO, 1 << 20); }
Test(pv_disk_overlay, fail_each_full) { fail_each(true, ENOSPC, 1 << 20); }
Test(pv_disk_overlay, fail_each_once_coarse) { fail_each(false, ENOSPC, 6); }

/* A host's disk that is full for a while: errors meanwhile, one line, and no harm. */
Test(pv_disk_overlay, full_for_a_while)
{
	struct disk *d;

	bench_image(&b, "a.img", MiB);
	b.host.pwritev = failing_pwritev;
	countdown = FULL;
	d = bench_disk(&b, "a.img", DISK_COW, "o");
	cr_assert_eq(fill(d, 0, 4096, 1), 0);
	countdown = 0;
	fail_error = ENOSPC;
	fail_forever = true;
	cr_assert_eq(fill(d, 8192, 4096, 2), -ENOSPC);
	cr_assert_eq(fill(d, 8192, 4096, 2), -ENOSPC);
	cr_assert_eq(disk_flush(d), -ENOSPC);
	cr_assert_eq(b.complaints, 2); /* a write, a sync */
	cr_assert(strstr(b.complaint, "No space left on device") && strstr(b.complaint, "/o: ") &&
		  !strstr(b.complaint, "a.img"));
	countdown = -1;
	cr_assert(holds(d, 0, 4096, 1) && holds(d, 8192, 4096, -1));
	cr_assert_eq(fill(d, 8192, 4096, 3), 0);
	cr_assert_eq(disk_close(d), 0);
	d = bench_disk(&b, "a.img", DISK_COW, "o");
	cr_assert(holds(d, 0, 4096, 1) && holds(d, 8192, 4096, 3));
	cr_assert_eq(disk_close(d), 0);
}

/* A sync that failed has lost data that the host will not name: no later one may succeed. */
Test(pv_disk_overlay, a_failed_sync_is_final)
{
	struct disk *d;

	bench_image(&b, "a.img", MiB);
	b.host.fdatasync = failing_fdatasync;
	for (unsigned i = 0; i < 2; i++) {
		countdown = -1;
		d = i ? bench_disk(&b, "a.img", DISK_COW, "o") : bench_disk(&b, "a.img", DISK_RW, NULL);
		cr_assert_eq(fill(d, 0, 512, 1), 0);
		countdown = 0;
		fail_forever = false;
		fail_error = EIO;
		cr_assert_eq(disk_flush(d), -ENOTRECOVERABLE);
		cr_assert(strstr(b.complaint, "cannot be synced: Input/output error"));
		cr_assert_eq(disk_flush(d), -ENOTRECOVERABLE);
		cr_assert_eq(b.complaints, 2 * i + 1);
		cr_assert_eq(disk_close(d), -ENOTRECOVERABLE);
		cr_assert(strstr(b.complaint, "may be lost"));
	}
}

/* A log that is written over and over stays in its area. */
Test(pv_disk_overlay, log_is_rewritten_when_full)
{
	struct stat st;
	struct disk *d;

	b.host.cow_ranges = 4; /* an area of some 4000 records */
	bench_image(&b, "a.img", MiB);
	d = bench_disk(&b, "a.img", DISK_COW, "o");
	for (unsigned i = 0; i < 12000; i++) {
		if (i & 1)
			cr_assert_eq(fill(d, 65536, 65536, (uint8_t)i), 0);
		else
			cr_assert_eq(disk_write_zeroes(d, 65536, 65536, true), 0);
		if (i % 1000 == 999)
			cr_assert_eq(disk_flush(d), 0);
	}
	cr_assert_eq(disk_close(d), 0);
	cr_assert_eq(stat(bench_path(&b, "o"), &st), 0);
	cr_assert_leq(st.st_size, log_start(MiB, 1, "o") + 5000 * 40);
	d = bench_disk(&b, "a.img", DISK_COW, "o");
	cr_assert(holds(d, 65536, 65536, 11999 & 0xff) && holds(d, 0, 65536, -1));
	cr_assert_eq(disk_close(d), 0);
}
