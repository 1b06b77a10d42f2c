/* SPDX-License-Identifier: MIT */
/* Who may open what beside whom: within a process, and between two. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/unit/pv_disk.h"

static struct bench b;

static void setup(void)
{
	bench_init(&b);
	bench_image(&b, "a.img", 65536);
}
static void teardown(void) { bench_free(&b); }
TestSuite(pv_disk_lock, .init = setup, .fini = teardown);

/* rw excludes everybody; ro and cow share. */
static bool compatible(enum disk_mode x, enum disk_mode y) { return x != DISK_RW && y != DISK_RW; }

Test(pv_disk_lock, in_one_process)
{
	for (unsigned x = DISK_RW; x <= DISK_COW; x++) {
		for (unsigned y = DISK_RW; y <= DISK_COW; y++) {
			struct disk *first = bench_disk(&b, "a.img", (enum disk_mode)x, NULL), *second;
			int err = bench_open(&b, &second, "a.img", (enum disk_mode)y, NULL);

			cr_assert_eq(err, compatible((enum disk_mode)x, (enum disk_mode)y) ? 0 : -EBUSY, "%u %u", x, y);
			if (err) {
				cr_assert(strstr(b.err.text, "another disk of this process"), "%s", b.err.text);
				cr_assert_eq(disk_close(first), 0);
				second = bench_disk(&b, "a.img", (enum disk_mode)y, NULL); /* free at once */
				cr_assert_eq(disk_close(second), 0);
			} else {
				cr_assert_eq(disk_close(second), 0);
				cr_assert_eq(disk_close(first), 0);
			}
		}
	}
}

static pid_t other_process(enum disk_mode mode, const char *overlay)
{
	int pipes[2];
	char c = 0;
	pid_t pid;

	cr_assert_eq(pipe(pipes), 0);
	pid = fork();
	cr_assert(pid >= 0);
	if (!pid) {
		struct disk *d;

		c = bench_open(&b, &d, "a.img", mode, overlay) ? 'n' : 'y';
		if (write(pipes[1], &c, 1) == 1)
			pause();
		_exit(0);
	}
	close(pipes[1]);
	cr_assert_eq(read(pipes[0], &c, 1), 1);
	cr_assert_eq(c, 'y');
	close(pipes[0]);
	return pid;
}

static void end_process(pid_t pid)
{
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(pv_disk_lock, in_two_processes)
{
	for (unsigned x = DISK_RW; x <= DISK_COW; x++) {
		pid_t pid = other_process((enum disk_mode)x, NULL);
		char named[64];

		snprintf(named, sizeof(named), "by process %d (", (int)pid);
		for (unsigned y = DISK_RW; y <= DISK_COW; y++) {
			struct disk *d;
			int err = bench_open(&b, &d, "a.img", (enum disk_mode)y, NULL);

			cr_assert_eq(err, compatible((enum disk_mode)x, (enum disk_mode)y) ? 0 : -EBUSY, "%u %u", x, y);
			if (err)
				cr_assert(strstr(b.err.text, named), "'%s' does not name '%s'", b.err.text, named);
			else
				cr_assert_eq(disk_close(d), 0);
		}
		end_process(pid); /* kill -9 leaves nothing behind */
		for (unsigned y = DISK_RW; y <= DISK_COW; y++)
			cr_assert_eq(disk_close(bench_disk(&b, "a.img", (enum disk_mode)y, NULL)), 0);
	}
}

Test(pv_disk_lock, overlays_have_one_owner)
{
	pid_t pid = other_process(DISK_COW, "o");
	struct disk *d, *e;
	char named[64];

	snprintf(named, sizeof(named), "o: is in use by process %d (", (int)pid);
	cr_assert_eq(bench_open(&b, &d, "a.img", DISK_COW, "o"), -EBUSY);
	cr_assert(strstr(b.err.text, named), "%s", b.err.text);
	d = bench_disk(&b, "a.img", DISK_COW, "another");
	cr_assert_eq(bench_open(&b, &e, "a.img", DISK_COW, "another"), -EBUSY);
	cr_assert_eq(disk_close(d), 0);
	end_process(pid);
	cr_assert_eq(disk_close(bench_disk(&b, "a.img", DISK_COW, "o")), 0);
}

/* Another descriptor of the same file, closed: with a lock of the process that would have been the end of it. */
Test(pv_disk_lock, another_descriptor_drops_nothing)
{
	struct disk *d = bench_disk(&b, "a.img", DISK_RW, NULL), *e;
	int fd = open(bench_path(&b, "a.img"), O_RDWR);

	cr_assert(fd >= 0);
	close(fd);
	cr_assert_eq(bench_open(&b, &e, "a.img", DISK_RW, NULL), -EBUSY);
	cr_assert_eq(disk_close(d), 0);
}

/* A limit of the process instead of a full disk: an error, not a signal; what fits is written. */
Test(pv_disk_lock, file_size_limit)
{
	struct rlimit limit = {2 << 20, 2 << 20};
	int status;
	pid_t pid;

	cr_assert_eq(truncate(bench_path(&b, "a.img"), 64 << 20), 0);
	pid = fork();
	cr_assert(pid >= 0);
	if (!pid) {
		struct disk *d;
		bool ok = !setrlimit(RLIMIT_FSIZE, &limit) && !bench_open(&b, &d, "a.img", DISK_RW, NULL);

		ok = ok && !fill(d, 1 << 20, 4096, 1) && fill(d, 32 << 20, 4096, 1) == -EFBIG;
		ok = ok && fill(d, 48 << 20, 4096, 1) == -EFBIG && b.complaints == 1;
		ok = ok && strstr(b.complaint, "File too large") && holds(d, 1 << 20, 4096, 1);
		ok = ok && !disk_close(d) && !bench_open(&b, &d, "a.img", DISK_COW, "o");
		b.complaints = 0;
		ok = ok && !fill(d, 0, 4096, 1) && fill(d, 32 << 20, 4096, 1) == -EFBIG && b.complaints == 1;
		ok = ok && holds(d, 0, 4096, 1);
		_exit(!ok);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && !WEXITSTATUS(status), "status %#x", status);
}
