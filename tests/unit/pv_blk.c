/* SPDX-License-Identifier: MIT */
/* The block device by its ring: each request, each refusal, and a reset with requests in flight. */
#include <semaphore.h>
#include <stdatomic.h>

#include "pv-drivers/virtio/devices.h"
#include "tests/unit/pv_disk.h"
#include "tests/unit/pv_ring.h"

enum { MiB = 1 << 20, IMAGE_BYTES = 4 * MiB };
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2, S_NONE = 0xee };

/* All features but one, and without the event index, so that each kick is one. */
#define FEATURES (~0ull & ~VIRTIO_F_EVENT_IDX)
#define F_FLUSH  (1ull << 9)
#define F_WCE    (1ull << 11)

static struct bench b;
static struct ring_rig rig;
static struct disk *disk;

static void start(enum disk_mode mode, bool synchronous, uint64_t features)
{
	struct virtio_device *d;

	bench_init(&b);
	bench_image(&b, "a.img", IMAGE_BYTES);
	disk = bench_disk(&b, "a.img", mode, NULL);
	cr_assert_eq(virtio_blk_new(&d, disk, "disk a.img", "serial-0123456789-and-more"), 0);
	ring_init(&rig, d, 16 * MiB, synchronous);
	ring_start(&rig, features);
	cr_assert(virtio_running(d));
}

static void stop(void)
{
	ring_free(&rig);
	cr_assert_eq(disk_close(disk), 0);
	bench_free(&b);
}

struct req {
	uint64_t header, data, status;
	uint32_t bytes;
};

/* Make a request available: the data is out for a write, in for a read. */
static struct req add(uint32_t type, uint64_t sector, uint32_t bytes, const void *data)
{
	struct req r = {ring_alloc(&rig, 16), ring_alloc(&rig, bytes + 16), ring_alloc(&rig, 1), bytes};
	bool in = type == T_IN || type == T_GET_ID;
	struct ring_buf out[2] = {{r.header, 16}, {r.data, bytes}}, to[2] = {{r.data, bytes}, {r.status, 1}};
	uint32_t head[4] = {type, 0, (uint32_t)sector, (uint32_t)(sector >> 32)};

	memcpy(rig.mem + r.header, head, 16);
	if (data)
		memcpy(rig.mem + r.data, data, bytes);
	rig.mem[r.status] = S_NONE;
	if (in)
		ring_add(&rig, 0, out, 1, bytes ? to : to + 1, bytes ? 2 : 1);
	else
		ring_add(&rig, 0, out, bytes ? 2 : 1, to + 1, 1);
	return r;
}

static void wait_for(unsigned n)
{
	uint32_t id, bytes;

	while (n) {
		if (ring_used(&rig, 0, &id, &bytes))
			n--;
		else
			cr_assert(ring_poll(&rig), "the device does not answer");
	}
}

static uint8_t ask(uint32_t type, uint64_t sector, uint32_t bytes, const void *data, struct req *out)
{
	struct req r = add(type, sector, bytes, data);

	ring_kick(&rig, 0);
	wait_for(1);
	if (out)
		*out = r;
	return rig.mem[r.status];
}

static const uint8_t *at(uint64_t pa) { return rig.mem + pa; }

static void requests(enum disk_mode mode, bool synchronous)
{
	uint8_t data[8192];
	struct req r;

	start(mode, synchronous, FEATURES);
	memset(data, 0x5a, sizeof(data));
	cr_assert_eq(ask(T_IN, 3, 4096, NULL, &r), S_OK);
	for (unsigned i = 0; i < 4096; i++)
		cr_assert_eq(at(r.data)[i], pattern(3 * 512 + i));
	cr_assert_eq(rig.written_bytes >= 4097, true);
	cr_assert_eq(ask(T_OUT, 8, 8192, data, NULL), S_OK);
	cr_assert_eq(ask(T_IN, 8, 8192, NULL, &r), S_OK);
	cr_assert_eq(memcmp(at(r.data), data, 8192), 0);
	cr_assert_eq(ask(T_FLUSH, 0, 0, NULL, NULL), S_OK);
	cr_assert_eq(ask(T_GET_ID, 0, 20, NULL, &r), S_OK);
	cr_assert_eq(memcmp(at(r.data), "serial-0123456789-an", 20), 0);
	cr_assert_eq(ask(T_GET_ID, 0, 6, NULL, &r), S_OK);
	cr_assert_eq(memcmp(at(r.data), "serial", 6), 0);
	cr_assert_eq(ask(99, 0, 0, NULL, NULL), S_UNSUPP);
	cr_assert_eq(rig.d->stats.requests, 7);
	cr_assert_eq(rig.d->stats.notifies, 7);
	stop();
}

Test(pv_blk, requests_rw) { requests(DISK_RW, false); }
Test(pv_blk, requests_cow) { requests(DISK_COW, false); }
Test(pv_blk, requests_synchronous) { requests(DISK_COW, true); }

/* Under --icount the answer is there when the notification returns. */
Test(pv_blk, synchronous_needs_no_poll)
{
	struct req r;
	uint32_t id, bytes;

	start(DISK_RW, true, FEATURES);
	r = add(T_FLUSH, 0, 0, NULL);
	ring_kick(&rig, 0);
	cr_assert(ring_used(&rig, 0, &id, &bytes));
	cr_assert_eq(at(r.status)[0], S_OK);
	stop();
}

Test(pv_blk, bounds)
{
	const uint64_t end = IMAGE_BYTES / 512;
	uint8_t data[1024] = {1};

	start(DISK_RW, false, FEATURES);
	cr_assert_eq(ask(T_IN, end - 1, 512, NULL, NULL), S_OK);
	cr_assert_eq(ask(T_IN, end - 1, 1024, NULL, NULL), S_IOERR);
	cr_assert_eq(ask(T_IN, end, 512, NULL, NULL), S_IOERR);
	cr_assert_eq(ask(T_IN, UINT64_MAX, 512, NULL, NULL), S_IOERR);
	cr_assert_eq(ask(T_IN, 1ull << 55, 512, NULL, NULL), S_IOERR);
	cr_assert_eq(ask(T_IN, 0, 100, NULL, NULL), S_IOERR);
	cr_assert_eq(ask(T_OUT, end - 1, 1024, data, NULL), S_IOERR);
	cr_assert_eq(ask(T_OUT, UINT64_MAX - 1, 1024, data, NULL), S_IOERR);
	cr_assert_eq(ask(T_OUT, 0, 513, data, NULL), S_IOERR);
	cr_assert(holds(disk, 0, IMAGE_BYTES, -1));
	cr_assert(virtio_running(rig.d));
	stop();
}

Test(pv_blk, read_only)
{
	uint8_t data[512] = {1};
	uint32_t segment[4] = {0, 0, 8, 0};

	start(DISK_RO, false, FEATURES);
	cr_assert(rig.d->features & 1 << 5);
	cr_assert_eq(ask(T_OUT, 0, 512, data, NULL), S_IOERR);
	cr_assert_eq(ask(T_DISCARD, 0, 16, segment, NULL), S_UNSUPP);
	cr_assert_eq(ask(T_WRITE_ZEROES, 0, 16, segment, NULL), S_UNSUPP);
	cr_assert_eq(ask(T_FLUSH, 0, 0, NULL, NULL), S_OK);
	cr_assert_eq(ask(T_IN, 0, 512, NULL, NULL), S_OK);
	stop();
}

Test(pv_blk, discard_and_zeroes)
{
	uint32_t two[8] = {0, 0, 8, 0, 64, 0, 16, 1}, s[4] = {0, 0, 8, 0};
	uint32_t many[33 * 4] = {0};

	start(DISK_RW, false, FEATURES);
	cr_assert_eq(ask(T_WRITE_ZEROES, 0, sizeof(two), two, NULL), S_OK);
	cr_assert(holds(disk, 0, 4096, 0) && holds(disk, 4096, 56 * 512, -1) && holds(disk, 64 * 512, 8192, 0));
	s[0] = 1024;
	cr_assert_eq(ask(T_DISCARD, 0, sizeof(s), s, NULL), S_OK);
	s[3] = 1; /* unmap is not for a discard */
	cr_assert_eq(ask(T_DISCARD, 0, sizeof(s), s, NULL), S_UNSUPP);
	s[3] = 2;
	cr_assert_eq(ask(T_WRITE_ZEROES, 0, sizeof(s), s, NULL), S_UNSUPP);
	s[3] = 0;
	s[2] = IMAGE_BYTES / 512 - 1023;
	cr_assert_eq(ask(T_WRITE_ZEROES, 0, sizeof(s), s, NULL), S_IOERR);
	s[1] = 0xffffffff;
	cr_assert_eq(ask(T_DISCARD, 0, sizeof(s), s, NULL), S_IOERR);
	cr_assert_eq(ask(T_DISCARD, 0, 0, NULL, NULL), S_IOERR);
	cr_assert_eq(ask(T_DISCARD, 0, 15, s, NULL), S_IOERR);
	cr_assert_eq(ask(T_DISCARD, 0, sizeof(many), many, NULL), S_IOERR);
	cr_assert(holds(disk, 2 * MiB, 2 * MiB, -1));
	stop();
}

/* A header that is cut off is an error; without room for a status nothing can be said: the device stops until a reset. */
Test(pv_blk, malformed)
{
	struct ring_buf out = {0, 8}, status = {0, 1};

	start(DISK_RW, false, FEATURES);
	out.pa = ring_alloc(&rig, 16);
	status.pa = ring_alloc(&rig, 1);
	ring_add(&rig, 0, &out, 1, &status, 1);
	ring_kick(&rig, 0);
	wait_for(1);
	cr_assert_eq(at(status.pa)[0], S_IOERR);
	out.bytes = 16;
	ring_add(&rig, 0, &out, 1, NULL, 0);
	ring_kick(&rig, 0);
	cr_assert(rig.d->status & VIRTIO_NEEDS_RESET);
	ring_start(&rig, FEATURES);
	cr_assert_eq(ask(T_IN, 0, 512, NULL, NULL), S_OK);
	stop();
}

/* The header in pieces, the status in the segment of the data: framing means nothing (2.6.4). */
Test(pv_blk, framing)
{
	struct ring_buf out[3], in[2];
	uint32_t head[4] = {T_IN, 0, 5, 0};

	start(DISK_RW, false, FEATURES);
	out[0] = (struct ring_buf){ring_alloc(&rig, 16), 3};
	out[1] = (struct ring_buf){out[0].pa + 3, 10};
	out[2] = (struct ring_buf){out[0].pa + 13, 3};
	memcpy(rig.mem + out[0].pa, head, 16);
	in[0] = (struct ring_buf){ring_alloc(&rig, 600), 300};
	in[1] = (struct ring_buf){in[0].pa + 300, 213};
	rig.mem[in[0].pa + 512] = S_NONE;
	ring_add(&rig, 0, out, 3, in, 2);
	ring_kick(&rig, 0);
	wait_for(1);
	cr_assert_eq(at(in[0].pa)[512], S_OK);
	for (unsigned i = 0; i < 512; i++)
		cr_assert_eq(at(in[0].pa)[i], pattern(5 * 512 + i));
	stop();
}

/* ---- what the host is asked to do ---- */

static int syncs;
static sem_t may_write, wrote;
static atomic_bool blocking;

static int counting_fdatasync(int fd)
{
	__atomic_add_fetch(&syncs, 1, __ATOMIC_RELAXED);
	return fdatasync(fd);
}

static ssize_t slow_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	ssize_t done;

	if (blocking)
		sem_wait(&may_write);
	done = pwritev(fd, iov, n, off);
	sem_post(&wrote);
	return done;
}

static void start_counting(uint64_t features)
{
	struct virtio_device *d;

	bench_init(&b);
	b.host.fdatasync = counting_fdatasync;
	b.host.pwritev = slow_pwritev;
	sem_init(&may_write, 0, 0);
	sem_init(&wrote, 0, 0);
	bench_image(&b, "a.img", IMAGE_BYTES);
	disk = bench_disk(&b, "a.img", DISK_RW, NULL);
	cr_assert_eq(virtio_blk_new(&d, disk, "disk a.img", ""), 0);
	ring_init(&rig, d, 16 * MiB, false);
	ring_start(&rig, features);
}

Test(pv_blk, write_back_and_through)
{
	uint8_t data[512] = {1};

	start_counting(FEATURES);
	cr_assert_eq(rig.d->config[32], 1);
	cr_assert_eq(rig.d->config_writable[32], 0xff);
	cr_assert_eq(ask(T_OUT, 0, 512, data, NULL), S_OK);
	cr_assert_eq(syncs, 0);
	cr_assert_eq(ask(T_FLUSH, 0, 0, NULL, NULL), S_OK);
	cr_assert_eq(syncs, 1);
	rig.d->config[32] = 0; /* the driver chooses write-through */
	cr_assert_eq(ask(T_OUT, 0, 512, data, NULL), S_OK);
	cr_assert_eq(syncs, 2);
	ring_start(&rig, FEATURES);
	cr_assert_eq(rig.d->config[32], 1);
	/* A driver that knows nothing of flushes must not lose what it wrote. */
	ring_start(&rig, FEATURES & ~(F_FLUSH | F_WCE));
	cr_assert_eq(ask(T_OUT, 0, 512, data, NULL), S_OK);
	cr_assert_eq(syncs, 3);
	stop();
}

/* The vCPU thread goes on while the host writes; reads overtake; all are done in the end, with few interrupts. */
Test(pv_blk, many_in_flight)
{
	enum { N = 60 };
	struct req r[N];
	uint8_t data[512];

	start_counting(FEATURES);
	blocking = true;
	for (unsigned i = 0; i < N; i++) {
		memset(data, (int)i, sizeof(data));
		r[i] = add(T_OUT, i, 512, data);
	}
	ring_kick(&rig, 0);
	cr_assert_eq(rig.d->queue[0].in_flight, N);
	cr_assert_eq(rig.d->stats.notifies, 1);
	blocking = false;
	for (unsigned i = 0; i < N; i++)
		sem_post(&may_write);
	wait_for(N);
	for (unsigned i = 0; i < N; i++) {
		cr_assert_eq(at(r[i].status)[0], S_OK);
		cr_assert(holds(disk, i * 512, 512, (int)i));
	}
	stop();
}

/* A reset waits for what the host is at, forgets the rest, and touches guest memory no more. */
Test(pv_blk, reset_in_flight)
{
	enum { N = 40 };
	uint8_t data[512];

	start_counting(FEATURES);
	for (unsigned round = 0; round < 10; round++) {
		unsigned done = 0;

		blocking = true;
		memset(data, 0x30 + (int)round, sizeof(data));
		for (unsigned i = 0; i < N; i++)
			add(T_OUT, i, 512, data);
		ring_kick(&rig, 0);
		cr_assert_eq(rig.d->queue[0].in_flight, N);
		for (unsigned i = 0; i < N; i++) /* those that have begun may end */
			sem_post(&may_write);
		virtio_reset(rig.d);
		cr_assert_eq(rig.d->queue[0].in_flight, 0);
		while (!sem_trywait(&wrote))
			done++;
		cr_assert_leq(done, N);
		memset(rig.mem, 0xcc, rig.mem_bytes); /* would be seen by a late write */
		while (!sem_trywait(&may_write))
			;
		blocking = false;
		ring_start(&rig, FEATURES);
		cr_assert_eq(ask(T_IN, 0, 512, NULL, NULL), S_OK);
		cr_assert(holds(disk, N * 512, 512, -1));
	}
	stop();
}

static ssize_t full_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	errno = ENOSPC;
	return -1;
}

Test(pv_blk, full_host_disk)
{
	uint8_t data[512] = {1};
	struct req r;

	start_counting(FEATURES);
	b.host.pwritev = full_pwritev;
	for (unsigned i = 0; i < 5; i++)
		cr_assert_eq(ask(T_OUT, i, 512, data, NULL), S_IOERR);
	cr_assert_eq(b.complaints, 1);
	cr_assert(strstr(b.complaint, "No space left on device"));
	cr_assert_eq(ask(T_IN, 0, 512, NULL, &r), S_OK);
	cr_assert_eq(at(r.data)[9], pattern(9));
	b.host.pwritev = slow_pwritev;
	cr_assert_eq(ask(T_OUT, 0, 512, data, NULL), S_OK);
	stop();
}

/* Random rings: whatever they hold, the device answers or breaks, and the image's other half stays as it was. */
Test(pv_blk, random_requests)
{
	uint64_t state = 4101842887655102017u;

	start(DISK_RW, false, FEATURES);
	for (unsigned round = 0; round < 300; round++) {
		unsigned n = 1 + (unsigned)(state >> 60);

		for (unsigned i = 0; i < n; i++) {
			uint8_t data[2048];
			uint64_t sector;
			uint32_t bytes;

			for (unsigned k = 0; k < sizeof(data); k += 8) {
				state = state * 6364136223846793005u + 1442695040888963407u;
				memcpy(data + k, &state, 8);
			}
			sector = state >> 40 & 1 ? (state >> 20) % 4096 : state;
			bytes = (uint32_t)(state >> 50) % 2048;
			memset(data + 4, 0, 4);
			data[1] = data[2] = data[3] = 0;
			data[0] %= 16;
			data[6] = data[14] = 0;
			/* Only the first half: sectors of segments, and of writes that are inside. */
			if (data[0] == T_OUT && sector < 8192 && sector >= 4000)
				sector = 0;
			if (data[0] == T_DISCARD || data[0] == T_WRITE_ZEROES)
				for (unsigned s = 0; s < sizeof(data); s += 16)
					data[s + 1] &= 7, data[s + 2] = 0, data[s + 9] &= 7,
								   data[s + 10] = data[s + 11] = 0;
			add(data[0], sector, bytes, data);
		}
		ring_kick(&rig, 0);
		wait_for(n);
		ring_start(&rig, FEATURES);
	}
	cr_assert(holds(disk, IMAGE_BYTES / 2 + 3000 * 512, MiB / 4, -1));
	stop();
}
