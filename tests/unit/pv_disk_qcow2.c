/* SPDX-License-Identifier: MIT */
/*
 * qcow2 images made by hand (tests/system/disk_qcow2.sh has qemu-img's): what libqcow reads wrongly is read rightly, what
 * nobody can read is refused, and damage at any place is an error or other data, never more.
 */
#include <endian.h>

#include "tests/unit/pv_disk.h"

enum { CLUSTER_BITS = 12, CLUSTER = 1 << CLUSTER_BITS, DISK_BYTES = 64 * CLUSTER, FILE_BYTES = 6 * CLUSTER };
enum { L1 = CLUSTER, L2 = 2 * CLUSTER, DATA = 3 * CLUSTER };

static struct bench b;
static uint8_t image[FILE_BYTES];

static void put32(unsigned at, uint32_t v)
{
	v = htobe32(v);
	memcpy(image + at, &v, 4);
}

static void put64(unsigned at, uint64_t v)
{
	v = htobe64(v);
	memcpy(image + at, &v, 8);
}

/* Cluster 0 is data, 1 zeroes, 2 zeroes with data allocated, 3 and 5 data, the others are not there. */
static void make(unsigned version)
{
	memset(image, 0, sizeof(image));
	memcpy(image, "QFI\xfb", 4);
	put32(4, version);
	put32(20, CLUSTER_BITS);
	put64(24, DISK_BYTES);
	put32(36, 1);
	put64(40, L1);
	if (version == 3) {
		put32(96, 4);
		put32(100, 104);
	}
	put64(L1, L2 | 1ull << 63);
	put64(L2, DATA | 1ull << 63);
	if (version == 3) {
		put64(L2 + 8, 1);
		put64(L2 + 16, DATA | 1);
	}
	put64(L2 + 24, (DATA + CLUSTER) | 1ull << 63);
	put64(L2 + 40, (DATA + 2 * CLUSTER) | 1ull << 63);
	for (unsigned i = 0; i < 3 * CLUSTER; i++)
		image[DATA + i] = (uint8_t)(1 + i / CLUSTER);
}

static void save(const char *name, size_t bytes)
{
	FILE *f = fopen(bench_path(&b, name), "wb");

	cr_assert(f);
	cr_assert_eq(fwrite(image, 1, bytes, f), bytes);
	fclose(f);
}

static void setup(void) { bench_init(&b); }
static void teardown(void) { bench_free(&b); }
TestSuite(pv_disk_qcow2, .init = setup, .fini = teardown);

static void expect_contents(struct disk *d)
{
	cr_assert_eq(disk_bytes(d), DISK_BYTES);
	cr_assert(holds(d, 0, CLUSTER, 1) && holds(d, CLUSTER, 2 * CLUSTER, 0) && holds(d, 3 * CLUSTER, CLUSTER, 2));
	cr_assert(holds(d, 4 * CLUSTER, CLUSTER, 0) && holds(d, 5 * CLUSTER, CLUSTER, 3));
	cr_assert(holds(d, 6 * CLUSTER, 58 * CLUSTER, 0));
}

Test(pv_disk_qcow2, read_and_layered)
{
	for (unsigned version = 2; version <= 3; version++) {
		struct disk *d;
		uint64_t sum;

		make(version);
		save("a.qcow2", FILE_BYTES);
		sum = bench_sum(&b, "a.qcow2");
		d = bench_disk(&b, "a.qcow2", DISK_RO, NULL);
		expect_contents(d);
		cr_assert_eq(fill(d, 0, 512, 1), -EROFS);
		cr_assert_eq(disk_close(d), 0);
		unlink(bench_path(&b, "o"));
		for (unsigned i = 0; i < 2; i++) {
			d = bench_disk(&b, "a.qcow2", DISK_COW, i ? "o" : NULL);
			expect_contents(d);
			cr_assert_eq(fill(d, CLUSTER + 512, 512, 9), 0);
			cr_assert(holds(d, CLUSTER + 512, 512, 9) && holds(d, CLUSTER, 512, 0));
			cr_assert_eq(disk_close(d), 0);
		}
		d = bench_disk(&b, "a.qcow2", DISK_COW, "o");
		cr_assert(holds(d, CLUSTER + 512, 512, 9));
		cr_assert_eq(disk_close(d), 0);
		cr_assert_eq(bench_sum(&b, "a.qcow2"), sum);
	}
}

static void refused(const char *why)
{
	struct disk *d;

	save("x.qcow2", FILE_BYTES);
	cr_assert_lt(bench_open(&b, &d, "x.qcow2", DISK_COW, NULL), 0);
	cr_assert(strstr(b.err.text, why) && !strchr(b.err.text, '\n'), "'%s' is not '%s'", b.err.text, why);
}

Test(pv_disk_qcow2, refusals)
{
	struct disk *d;

	make(3);
	save("a.qcow2", FILE_BYTES);
	cr_assert_eq(bench_open(&b, &d, "a.qcow2", DISK_RW, NULL), -ENOTSUP);
	cr_assert(strstr(b.err.text, "mode=cow"));
	put64(8, 512);
	refused("backing file");
	make(3);
	put32(32, 1);
	refused("encrypted");
	make(3);
	put64(72, 2);
	refused("corrupt");
	make(3);
	put64(72, 4);
	refused("external data file");
	make(3);
	put64(72, 8);
	put32(100, 112);
	image[104] = 1;
	refused("not zlib");
	make(3);
	put64(72, 16);
	refused("not supported");
	make(3);
	put32(4, 4);
	refused("version 2 or 3");
	make(3);
	put32(20, 40);
	refused("cluster bits");
	make(3);
	put64(24, 100);
	refused("impossible size");
	make(3);
	put32(36, 0);
	refused("L1 table");
	make(3);
	put64(40, FILE_BYTES);
	refused("L1 table");
	make(3);
	put64(L1, FILE_BYTES | 1ull << 63);
	refused("damaged or truncated");
	make(3);
	put64(L2, FILE_BYTES | 1ull << 63);
	refused("damaged or truncated");
	make(3);
	put64(L2, DATA + 512);
	refused("damaged or truncated");
	make(2);
	put64(L2, DATA | 1);
	refused("damaged or truncated");
	make(3);
	put64(L2, 1ull << 62 | FILE_BYTES);
	refused("damaged or truncated");
}

static void read_all(const char *name)
{
	uint8_t *buf = malloc(DISK_BYTES);
	struct disk *d;

	if (!bench_open(&b, &d, name, DISK_COW, NULL)) {
		for (uint64_t off = 0; off < disk_bytes(d) && off < DISK_BYTES; off += CLUSTER) {
			uint64_t n = disk_bytes(d) - off < CLUSTER ? disk_bytes(d) - off : CLUSTER;

			(void)!get(d, off, buf, n);
		}
		(void)!disk_close(d);
	} else {
		cr_assert(strlen(b.err.text) && !strchr(b.err.text, '\n'));
	}
	free(buf);
}

/* The file ends before something begins: it is refused, wherever that is. */
Test(pv_disk_qcow2, cut_off_anywhere)
{
	make(3);
	for (unsigned bytes = 0; bytes <= DATA + 2 * CLUSTER; bytes += bytes < 128 ? 1 : 509) {
		struct disk *d;

		save("x.qcow2", bytes);
		cr_assert_lt(bench_open(&b, &d, "x.qcow2", DISK_RO, NULL), 0, "%u bytes", bytes);
		cr_assert(!strchr(b.err.text, '\n'));
	}
}

/* The file ends inside of its last cluster, at a sector or anywhere: the rest of the cluster reads as zeroes. */
Test(pv_disk_qcow2, last_cluster_is_cut)
{
	const unsigned last = DATA + 2 * CLUSTER;

	make(3);
	put64(L2 + 64, last | 1ull << 63); /* a second cluster of the disk there, as a shared one would be */
	for (unsigned have = 1; have <= CLUSTER; have += have % 512 == 511 || have % 512 == 0 ? 1 : 73) {
		struct disk *d;
		uint8_t buf[3 * CLUSTER], want[3 * CLUSTER] = {0};
		struct iovec iov[3] = {{buf, 700}, {buf + 700, CLUSTER}, {buf + 700 + CLUSTER, 2 * CLUSTER - 700}};

		save("x.qcow2", last + have);
		memset(want + CLUSTER, 3, have);
		for (unsigned m = DISK_RO; m <= DISK_COW; m++) {
			d = bench_disk(&b, "x.qcow2", (enum disk_mode)m, NULL);
			memset(buf, 0x99, sizeof(buf));
			cr_assert_eq(disk_readv(d, 4 * CLUSTER, iov, 3), 0);
			cr_assert_eq(memcmp(buf, want, sizeof(buf)), 0, "%u bytes of the cluster", have);
			for (unsigned s = 0; s < CLUSTER; s += 512) {
				cr_assert_eq(get(d, 8 * CLUSTER + s, buf, 512), 0);
				cr_assert_eq(memcmp(buf, want + CLUSTER + s, 512), 0, "%u bytes, sector at %u", have,
					     s);
			}
			cr_assert(holds(d, 3 * CLUSTER, CLUSTER, 2) && holds(d, 0, CLUSTER, 1));
			if (m == DISK_COW) {
				cr_assert_eq(fill(d, 6 * CLUSTER - 512, 512, 9), 0);
				cr_assert(holds(d, 6 * CLUSTER - 512, 512, 9));
			}
			cr_assert_eq(disk_close(d), 0);
		}
	}
}

Test(pv_disk_qcow2, damaged_anywhere)
{
	uint64_t state = 88172645463325252u;

	for (unsigned i = 0; i < 1500; i++) {
		make(2 + i % 2);
		for (unsigned k = 0; k < 1 + i % 3; k++) {
			static const unsigned places[][2] = {{0, 112}, {L1, 16}, {L2, 64}};
			unsigned w, at;

			state = state * 6364136223846793005u + 1442695040888963407u;
			w = (unsigned)(state >> 60) % 3;
			at = places[w][0] + (unsigned)(state >> 40) % places[w][1];
			image[at] =
			    state >> 30 & 1 ? (uint8_t)(state >> 50) : image[at] ^ (uint8_t)(1u << (state >> 55 & 7));
		}
		save("x.qcow2", FILE_BYTES);
		read_all("x.qcow2");
	}
}
