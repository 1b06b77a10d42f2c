/* SPDX-License-Identifier: MIT */
/* Disks in each mode: what is read back, what the image holds afterwards, what is refused. */
#include <pthread.h>

#include "tests/unit/pv_disk.h"

enum { MiB = 1 << 20 };

static struct bench b;

static void setup(void) { bench_init(&b); }
static void teardown(void) { bench_free(&b); }
TestSuite(pv_disk_modes, .init = setup, .fini = teardown);

Test(pv_disk_modes, rw_reaches_the_file)
{
	struct disk *d;
	uint8_t buf[512];
	FILE *f;

	bench_image(&b, "a.img", MiB);
	d = bench_disk(&b, "a.img", DISK_RW, NULL);
	cr_assert_eq(disk_bytes(d), MiB);
	cr_assert_not(disk_read_only(d));
	cr_assert(holds(d, 0, MiB, -1));
	cr_assert_eq(fill(d, 4096, 1024, 0xab), 0);
	cr_assert(holds(d, 4096, 1024, 0xab));
	cr_assert(holds(d, 5120, 512, -1));
	cr_assert_eq(disk_flush(d), 0);
	f = fopen(bench_path(&b, "a.img"), "rb");
	cr_assert(f && !fseek(f, 4096, SEEK_SET) && fread(buf, 1, 512, f) == 512 && buf[7] == 0xab);
	fclose(f);
	cr_assert_eq(disk_write_zeroes(d, 8192, 4096, true), 0);
	cr_assert(holds(d, 8192, 4096, 0));
	cr_assert_eq(disk_write_zeroes(d, 16384 + 512, 512, false), 0);
	cr_assert(holds(d, 16384 + 512, 512, 0));
	cr_assert(holds(d, 16384 + 1024, 512, -1));
	cr_assert_eq(disk_discard(d, 65536, 65536), 0);
	cr_assert_eq(disk_close(d), 0);
}

Test(pv_disk_modes, discard_gives_space_back)
{
	struct disk *d;
	struct stat before, after;

	bench_image(&b, "a.img", 4 * MiB);
	d = bench_disk(&b, "a.img", DISK_RW, NULL);
	cr_assert_eq(disk_flush(d), 0);
	cr_assert_eq(stat(bench_path(&b, "a.img"), &before), 0);
	cr_assert_eq(disk_discard(d, MiB, 2 * MiB), 0);
	cr_assert_eq(stat(bench_path(&b, "a.img"), &after), 0);
	cr_assert_eq(after.st_size, before.st_size);
	cr_assert_lt(after.st_blocks, before.st_blocks);
	cr_assert_eq(disk_close(d), 0);
}

Test(pv_disk_modes, ro_refuses_and_changes_nothing)
{
	uint64_t sum;
	struct disk *d;

	bench_image(&b, "a.img", MiB);
	sum = bench_sum(&b, "a.img");
	d = bench_disk(&b, "a.img", DISK_RO, NULL);
	cr_assert(disk_read_only(d));
	cr_assert(holds(d, 0, MiB, -1));
	cr_assert_eq(fill(d, 0, 512, 1), -EROFS);
	cr_assert_eq(disk_discard(d, 0, 512), -EROFS);
	cr_assert_eq(disk_write_zeroes(d, 0, 512, true), -EROFS);
	cr_assert_eq(disk_flush(d), 0);
	cr_assert_eq(disk_close(d), 0);
	cr_assert_eq(bench_sum(&b, "a.img"), sum);
}

Test(pv_disk_modes, outside_and_unaligned_are_refused)
{
	struct disk *d;
	uint8_t buf[1024];

	bench_image(&b, "a.img", 65536);
	d = bench_disk(&b, "a.img", DISK_COW, NULL);
	cr_assert_eq(get(d, 65536, buf, 512), -EINVAL);
	cr_assert_eq(get(d, 65536 - 512, buf, 1024), -EINVAL);
	cr_assert_eq(get(d, 1, buf, 512), -EINVAL);
	cr_assert_eq(get(d, 0, buf, 100), -EINVAL);
	cr_assert_eq(get(d, UINT64_MAX - 511, buf, 512), -EINVAL);
	cr_assert_eq(put(d, 65536, buf, 512), -EINVAL);
	cr_assert_eq(disk_discard(d, UINT64_MAX - 511, 1024), -EINVAL);
	cr_assert_eq(disk_write_zeroes(d, 512, 65536, true), -EINVAL);
	cr_assert_eq(disk_close(d), 0);
}

Test(pv_disk_modes, cow_is_private_and_gone_afterwards)
{
	uint64_t sum;
	struct disk *x, *y;

	bench_image(&b, "a.img", 4 * MiB);
	sum = bench_sum(&b, "a.img");
	x = bench_disk(&b, "a.img", DISK_COW, NULL);
	y = bench_disk(&b, "a.img", DISK_COW, NULL);
	cr_assert_eq(fill(x, 512, 512, 1), 0); /* less than a page: the temporary file */
	cr_assert_eq(fill(x, 8192, 8192, 2), 0);
	cr_assert_eq(fill(x, 12288, 512, 3), 0); /* in a page that is in memory */
	cr_assert_eq(fill(y, 8192, 512, 4), 0);
	cr_assert(holds(x, 0, 512, -1) && holds(x, 512, 512, 1) && holds(x, 1024, 7168, -1));
	cr_assert(holds(x, 8192, 4096, 2) && holds(x, 12288, 512, 3) && holds(x, 12800, 3584, 2));
	cr_assert(holds(y, 512, 512, -1) && holds(y, 8192, 512, 4) && holds(y, 8704, 512, -1));
	cr_assert_eq(disk_write_zeroes(x, 0, 2 * MiB, true), 0);
	cr_assert_eq(disk_discard(x, 2 * MiB, MiB), 0);
	cr_assert(holds(x, 0, 3 * MiB, 0));
	cr_assert_eq(cow_memory(disk_cow(x)), 0);
	cr_assert_eq(cow_ranges(disk_cow(x)), 1);
	cr_assert_eq(disk_close(x), 0);
	cr_assert_eq(disk_close(y), 0);
	x = bench_disk(&b, "a.img", DISK_COW, NULL);
	cr_assert(holds(x, 0, 4 * MiB, -1));
	cr_assert_eq(disk_close(x), 0);
	cr_assert_eq(bench_sum(&b, "a.img"), sum);
}

/* Random requests in every mode, against an array; bounds so tight that memory overflows and ranges get coarse. */
static void soak(enum disk_mode mode, const char *overlay, uint64_t memory, uint64_t ranges)
{
	enum { BYTES = 1024 * 1024 + 512 * 3 };
	uint8_t *model = malloc(BYTES), *buf = malloc(BYTES);
	uint64_t state = 88172645463325252u;
	struct disk *d;

	bench_image(&b, "soak.img", BYTES);
	b.host.cow_memory_bytes = memory;
	b.host.cow_ranges = ranges;
	for (unsigned i = 0; i < BYTES; i++)
		model[i] = pattern(i);
	d = bench_disk(&b, "soak.img", mode, overlay);
	for (unsigned i = 0; i < 4000; i++) {
		uint64_t what, off, n;

		state = state * 6364136223846793005u + 1442695040888963407u;
		what = state >> 60;
		off = (state >> 20) % (BYTES / 512);
		n = 1 + (state >> 40) % (state >> 33 & 1 ? 9 : 300);
		n = n > BYTES / 512 - off ? BYTES / 512 - off : n;
		off *= 512;
		n *= 512;
		if (what < 6) {
			memset(buf, (int)i, n);
			buf[0] = 0x77;
			memcpy(model + off, buf, n);
			cr_assert_eq(put(d, off, buf, n), 0);
		} else if (what < 9) {
			memset(model + off, 0, n);
			cr_assert_eq(disk_write_zeroes(d, off, n, what & 1), 0);
		} else if (what == 9 && mode == DISK_COW) {
			memset(model + off, 0, n); /* what a layer's discard gives */
			cr_assert_eq(disk_discard(d, off, n), 0);
		} else if (what == 10) {
			cr_assert_eq(disk_flush(d), 0);
		} else if (what == 11 && overlay && i % 4 == 0) {
			cr_assert_eq(disk_close(d), 0);
			d = bench_disk(&b, "soak.img", mode, overlay);
		} else {
			cr_assert_eq(get(d, off, buf, n), 0);
			cr_assert_eq(memcmp(buf, model + off, n), 0, "request %u", i);
		}
		if (mode == DISK_COW) {
			cr_assert_leq(cow_memory(disk_cow(d)), memory);
			cr_assert_leq(cow_ranges(disk_cow(d)), ranges + 2 * (BYTES / 65536 + 2));
		}
	}
	cr_assert_eq(get(d, 0, buf, BYTES), 0);
	cr_assert_eq(memcmp(buf, model, BYTES), 0);
	cr_assert_eq(disk_close(d), 0);
	free(model);
	free(buf);
}

Test(pv_disk_modes, soak_rw) { soak(DISK_RW, NULL, 0, 1 << 20); }
Test(pv_disk_modes, soak_cow) { soak(DISK_COW, NULL, 64 * MiB, 1 << 20); }
Test(pv_disk_modes, soak_cow_little_memory) { soak(DISK_COW, NULL, 200 << 10, 1 << 20); }
Test(pv_disk_modes, soak_cow_file_only) { soak(DISK_COW, NULL, 0, 1 << 20); }
Test(pv_disk_modes, soak_cow_few_ranges) { soak(DISK_COW, NULL, 300 << 10, 8); }
Test(pv_disk_modes, soak_overlay) { soak(DISK_COW, "o", 0, 1 << 20); }
Test(pv_disk_modes, soak_overlay_few_ranges) { soak(DISK_COW, "o", 0, 4); }

/* Many threads on sectors of their own, while ranges are made coarse under them. */
struct worker {
	struct disk *d;
	unsigned n;
	bool ok;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	w->ok = true;
	for (unsigned round = 0; round < 6 && w->ok; round++) {
		for (unsigned i = 0; i < 64 && w->ok; i++)
			w->ok = !fill(w->d, (i * 8 + w->n) * 512ull, 512, (uint8_t)(1 + round + w->n));
		if (round % 2)
			w->ok = w->ok && !disk_flush(w->d);
		for (unsigned i = 0; i < 64 && w->ok; i++)
			w->ok = holds(w->d, (i * 8 + w->n) * 512ull, 512, (uint8_t)(1 + round + w->n));
	}
	return NULL;
}

static void threads(enum disk_mode mode, const char *overlay)
{
	pthread_t t[8];
	struct worker w[8];
	struct disk *d;

	b.host.cow_ranges = 16;
	bench_image(&b, "a.img", 512 * 512);
	d = bench_disk(&b, "a.img", mode, overlay);
	for (unsigned i = 0; i < 8; i++) {
		w[i] = (struct worker){.d = d, .n = i};
		cr_assert_eq(pthread_create(&t[i], NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; i < 8; i++) {
		pthread_join(t[i], NULL);
		cr_assert(w[i].ok, "thread %u", i);
	}
	cr_assert_eq(disk_close(d), 0);
}

Test(pv_disk_modes, threads_rw) { threads(DISK_RW, NULL); }
Test(pv_disk_modes, threads_cow) { threads(DISK_COW, NULL); }
Test(pv_disk_modes, threads_overlay) { threads(DISK_COW, "o"); }

/* A read that need not wait gives what the other gives, or -EAGAIN. */
Test(pv_disk_modes, nowait)
{
	struct disk *d;
	uint8_t buf[8192];
	struct iovec iov = {buf, sizeof(buf)};
	int err;

	bench_image(&b, "a.img", MiB);
	d = bench_disk(&b, "a.img", DISK_COW, NULL);
	cr_assert_eq(fill(d, 0, 4096, 9), 0);
	cr_assert_eq(disk_write_zeroes(d, 4096, 4096, true), 0);
	cr_assert_eq(disk_readv_nowait(d, 0, &iov, 1), 0);
	cr_assert(buf[0] == 9 && buf[4095] == 9 && !buf[4096] && !buf[8191]);
	err = disk_readv_nowait(d, 65536, &iov, 1);
	cr_assert(err == -EAGAIN || (!err && buf[1] == pattern(65537)));
	cr_assert_eq(b.complaints, 0);
	cr_assert_eq(disk_close(d), 0);
}

Test(pv_disk_modes, scattered)
{
	enum { N = 300 };
	struct iovec iov[N];
	uint8_t *buf = malloc(N * 512);
	struct disk *d;

	bench_image(&b, "a.img", MiB);
	d = bench_disk(&b, "a.img", DISK_COW, NULL);
	/* Odd pieces, in an order that is not that of memory. */
	for (unsigned i = 0; i < N; i++)
		iov[i] = (struct iovec){buf + (i ^ 1) * 512, 512};
	for (unsigned i = 0; i < N; i += 2) {
		iov[i] = (struct iovec){buf + i * 512, 100};
		iov[i + 1] = (struct iovec){buf + i * 512 + 100, 924};
	}
	cr_assert_eq(disk_readv(d, 4096, iov, N), 0);
	for (unsigned i = 0; i < N * 512; i++)
		cr_assert_eq(buf[i], pattern(4096 + i));
	cr_assert_eq(disk_writev(d, 512, iov, N), 0);
	memset(buf, 0, N * 512);
	cr_assert_eq(disk_readv(d, 512, iov, N), 0);
	for (unsigned i = 0; i < N * 512; i++)
		cr_assert_eq(buf[i], pattern(4096 + i));
	cr_assert_eq(disk_close(d), 0);
	free(buf);
}

static int open_as(const char *name, enum disk_mode mode, enum disk_format format)
{
	char path[PATH_MAX];
	struct disk_config cfg = {.path = path, .mode = mode, .format = format};
	struct disk *d;
	int err;

	snprintf(path, sizeof(path), "%s/%s", b.dir, name);
	err = disk_open(&d, &cfg, &b.err);
	if (!err)
		cr_assert_eq(disk_close(d), 0);
	else
		cr_assert(strstr(b.err.text, name) && !strchr(b.err.text, '\n'), "%s", b.err.text);
	return err;
}

Test(pv_disk_modes, what_is_no_image_is_refused)
{
	static const char *const names[] = {"empty.img", "odd.img", "dir.img"};

	bench_image(&b, "empty.img", 0);
	bench_image(&b, "odd.img", 1000);
	cr_assert_eq(mkdir(bench_path(&b, "dir.img"), 0777), 0);
	cr_assert_eq(mkfifo(bench_path(&b, "fifo.img"), 0666), 0);
	for (unsigned i = 0; i < 3; i++)
		for (unsigned m = DISK_RW; m <= DISK_COW; m++)
			cr_assert_lt(open_as(names[i], (enum disk_mode)m, DISK_FORMAT_AUTO), 0);
	cr_assert_lt(open_as("fifo.img", DISK_RO, DISK_FORMAT_AUTO), 0);
	cr_assert_eq(open_as("missing.img", DISK_RW, DISK_FORMAT_AUTO), -ENOENT);
	cr_assert_eq(open_as("missing.img", DISK_COW, DISK_FORMAT_AUTO), -ENOENT);
}

/* A guest may write qcow2's magic into its raw disk: the next run must not believe it. */
Test(pv_disk_modes, contents_alone_do_not_make_qcow2)
{
	uint8_t head[512] = "QFI\xfb";
	struct disk *d;

	bench_image(&b, "a.img", 65536);
	d = bench_disk(&b, "a.img", DISK_RW, NULL);
	cr_assert_eq(put(d, 0, head, sizeof(head)), 0);
	cr_assert_eq(disk_close(d), 0);
	for (unsigned m = DISK_RW; m <= DISK_COW; m++) {
		cr_assert_eq(open_as("a.img", (enum disk_mode)m, DISK_FORMAT_AUTO), -EINVAL);
		cr_assert(strstr(b.err.text, "format=raw"));
		cr_assert_eq(open_as("a.img", (enum disk_mode)m, DISK_FORMAT_RAW), 0);
	}
	bench_image(&b, "b.qcow2", 65536);
	cr_assert_eq(open_as("b.qcow2", DISK_COW, DISK_FORMAT_AUTO), -EINVAL);
	cr_assert_eq(open_as("b.qcow2", DISK_COW, DISK_FORMAT_RAW), 0);
	cr_assert_eq(open_as("b.qcow2", DISK_COW, DISK_FORMAT_QCOW2), -EINVAL);
}
