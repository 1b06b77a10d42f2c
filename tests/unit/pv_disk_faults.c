/* SPDX-License-Identifier: MIT */
/*
 * Each call to the host fails in turn, in each way, under each kind of disk and each policy: every request is answered exactly
 * once, what the answer says is true, what was flushed outlives a power failure, and nobody waits without end.
 */
#define _GNU_SOURCE
#include "pv-drivers/virtio/devices.h"
#include "tests/unit/pv_fault_host.h"
#include "tests/unit/pv_ring.h"

enum { SECTORS = 512, BYTES = SECTORS * 512, MEM_BYTES = 2 << 20, FOREVER = 1000000, HEAL_TICKS = 3 };
enum { READ = 0, WRITE = 1, FLUSH = 4, DISCARD = 11, ZERO = 13 };
enum { S_OK = 0, S_IOERR = 1, S_NONE = 0xee };

/* No event index: each kick is one. */
#define FEATURES (~0ull & ~VIRTIO_F_EVENT_IDX)

static const struct kind {
	const char *what;
	enum disk_mode mode;
	const char *overlay;
	const char *watched; /* what must hold what was flushed; NULL: nothing outlives the run */
	const char *named;   /* the file that is full then */
	uint64_t memory, ranges;
} kinds[] = {
    {"raw", DISK_RW, NULL, "a.img", "/a.img: ", 0, 1000},
    {"overlay", DISK_COW, "o", "o", "/o: ", 0, 1000},
    {"coarse overlay", DISK_COW, "o", "o", "/o: ", 0, 3},
    {"scratch", DISK_COW, NULL, NULL, "the temporary file in ", 16 << 10, 1000},
    {"coarse scratch", DISK_COW, NULL, NULL, "the temporary file in ", 0, 3},
};

static const struct step {
	uint32_t type, sector, sectors;
} steps[] = {
    {WRITE, 0, 8},   {WRITE, 100, 1},  {FLUSH, 0, 0},    {WRITE, 4, 8},   {ZERO, 64, 16}, {WRITE, 200, 130},
    {FLUSH, 0, 0},   {DISCARD, 96, 8}, {READ, 0, 128},   {WRITE, 101, 3}, {FLUSH, 0, 0},  {ZERO, 200, 64},
    {WRITE, 210, 1}, {WRITE, 301, 3},  {READ, 190, 200}, {FLUSH, 0, 0},   {WRITE, 0, 1},
};

/*
 * What a sector may hold, as bits: 0 what the image has, 1 zeroes, 2 + i the byte of step i, TORN anything.  `now`: what is read;
 * `kept`: what is there after a power failure.
 */
#define TORN (1ull << 63)
static uint64_t now[SECTORS], kept[SECTORS];

static struct bench b;
static struct ring_rig rig;
static struct disk *disk;
static const struct kind *kind;

static uint8_t byte_of(unsigned step) { return (uint8_t)(0xa0 + step); }

static uint64_t bit_of(const uint8_t *sector, unsigned n)
{
	static const uint8_t zeroes[512];
	bool same = true;

	if (!memcmp(sector, zeroes, 512))
		return 2;
	for (unsigned i = 1; i < 512; i++)
		same &= sector[i] == sector[0];
	if (same && sector[0] >= 0xa0)
		return 4ull << (sector[0] - 0xa0);
	for (unsigned i = 0; i < 512; i++)
		if (sector[i] != pattern(n * 512 + i))
			return TORN;
	return 1;
}

static void check_sectors(const uint8_t *data, unsigned first, unsigned n, const uint64_t *may, const char *when)
{
	for (unsigned i = first; i < first + n; i++) {
		uint64_t bit = bit_of(data + 512ul * (i - first), i);

		cr_assert(bit & may[i] || may[i] & TORN, "%s, call %u: %s, sector %u is %#llx, may be %#llx",
			  kind->what, (unsigned)fh.first, when, i, (unsigned long long)bit, (unsigned long long)may[i]);
	}
}

/* In memory if that can be: thousands of disks are opened. */
static void bench_begin(void) { bench_init_in(&b, access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm"); }

static void image(void)
{
	static uint8_t data[BYTES];
	int fd = open(bench_path(&b, "a.img"), O_RDWR | O_CREAT, 0600);

	for (unsigned i = 0; i < BYTES; i++)
		data[i] = pattern(i);
	cr_assert(fd >= 0 && pwrite(fd, data, BYTES, 0) == BYTES);
	close(fd);
}

static void start(const struct kind *k, bool synchronous)
{
	struct virtio_device *d;

	kind = k;
	b.host.cow_memory_bytes = k->memory;
	b.host.cow_ranges = k->ranges;
	b.complaints = 0;
	b.complaints_all[0] = 0;
	fault_reset(&b);
	if (k->mode == DISK_RW)
		image();
	disk = bench_disk(&b, "a.img", k->mode, k->overlay);
	if (k->watched)
		fault_watch(&b, k->watched);
	cr_assert_eq(virtio_blk_new(&d, disk, "disk a.img", ""), 0);
	ring_init(&rig, d, MEM_BYTES, synchronous);
	ring_start(&rig, FEATURES);
	for (unsigned i = 0; i < SECTORS; i++)
		now[i] = kept[i] = 1;
}

struct sent {
	uint16_t head;
	uint64_t data, status;
	bool done;
};

static struct sent submit(unsigned i)
{
	const struct step *s = &steps[i];
	bool in = s->type == READ, segment = s->type == DISCARD || s->type == ZERO;
	uint32_t bytes = segment ? 16 : s->sectors * 512,
		 head[4] = {s->type, 0, in || s->type == WRITE ? s->sector : 0, 0};
	uint32_t range[4] = {s->sector, 0, s->sectors, s->type == ZERO};
	struct ring_buf out[2] = {{ring_alloc(&rig, 16), 16}, {0, bytes}}, to[2] = {{0, bytes}, {0, 1}};
	struct sent r = {.data = ring_alloc(&rig, bytes + 16), .status = ring_alloc(&rig, 1)};

	memcpy(rig.mem + out[0].pa, head, 16);
	if (segment)
		memcpy(rig.mem + r.data, range, 16);
	else
		memset(rig.mem + r.data, byte_of(i), bytes);
	rig.mem[r.status] = S_NONE;
	out[1].pa = to[0].pa = r.data;
	to[1].pa = r.status;
	r.head = in ? ring_add(&rig, 0, out, 1, to, 2) : ring_add(&rig, 0, out, bytes ? 2 : 1, to + 1, 1);
	return r;
}

/* The answers that are there, each to a request that has none yet. Returns how many. */
static unsigned take_answers(struct sent *sent, unsigned n)
{
	uint32_t id, bytes;
	unsigned got = 0;

	while (ring_used(&rig, 0, &id, &bytes)) {
		unsigned i = 0;

		while (i < n && (sent[i].head != id || sent[i].done))
			i++;
		cr_assert_lt(i, n, "%s: an answer that nobody waits for", kind->what);
		cr_assert_neq(rig.mem[sent[i].status], S_NONE);
		sent[i].done = true;
		got++;
	}
	return got;
}

/* Until all of n are answered.  A machine that is paused gets its ticks; after a few of them the host is well again. */
static void wait_for(struct sent *sent, unsigned n)
{
	unsigned left = n, ticks = 0;

	for (unsigned rounds = 0; left; rounds++) {
		left -= take_answers(sent, n);
		cr_assert_lt(rounds, 30000, "%s: never answered", kind->what);
		if (!left || virtio_poll(rig.d))
			continue;
		if (!rig.paused || rig.d->queue[0].in_flight == 0) {
			cr_assert_not(rig.d->host.synchronous, "%s: nobody does it", kind->what);
			usleep(1000);
			continue;
		}
		cr_assert(rig.d->ops->retry, "the machine waits for nothing");
		if (++ticks == HEAL_TICKS)
			fh.healthy = true;
		virtio_retry(rig.d);
		usleep(rig.d->host.synchronous ? 0 : 500);
	}
	cr_assert_eq(take_answers(sent, n), 0);
}

/* What the answer to step i means for the disk. */
static void learn(unsigned i, uint8_t status, const uint8_t *data)
{
	const struct step *s = &steps[i];
	uint64_t bit = s->type == WRITE ? 4ull << i : 2;

	cr_assert(status == S_OK || status == S_IOERR);
	if (s->type == FLUSH && status == S_OK) {
		memcpy(kept, now, sizeof(kept));
	} else if (s->type == READ) {
		if (status == S_OK)
			check_sectors(data, s->sector, s->sectors, now, "read");
	} else if (s->type != FLUSH) {
		for (unsigned k = s->sector; k < s->sector + s->sectors; k++) {
			/* A discard of an image is a hint; of what failed, any part is done. */
			bool sure = status == S_OK && (s->type != DISCARD || kind->mode == DISK_COW);

			now[k] = sure ? bit : now[k] | bit | (status == S_OK ? 0 : TORN);
			kept[k] |= bit | (status == S_OK ? 0 : TORN);
		}
	}
}

static void power_failure(void)
{
	static uint8_t data[BYTES];
	struct disk_host was = b.host;
	struct disk *d;

	fh.dead = true;
	ring_free(&rig);
	(void)!disk_close(disk);
	if (kind->watched) {
		b.host.pwritev = pwritev;
		b.host.preadv2 = preadv2;
		b.host.fdatasync = fdatasync;
		b.host.fallocate = fallocate;
		d = kind->overlay ? bench_disk(&b, "a.img", kind->mode, "durable")
				  : bench_disk(&b, "durable", DISK_RO, NULL);
		cr_assert_eq(get(d, 0, data, BYTES), 0);
		check_sectors(data, 0, SECTORS, kept, "after a power failure");
		cr_assert_eq(disk_close(d), 0);
		b.host = was;
	}
	if (kind->overlay)
		unlink(bench_path(&b, kind->overlay));
}

/* Lines name the file that it is about, and come in pairs where the machine waits. */
static void check_lines(void)
{
	const char *line = b.complaints_all;
	bool read = strstr(line, "cannot be read"); /* that may be of the image too */
	unsigned waits = 0, goes = 0;

	for (; *line; line = strchr(line, '\n') + 1) {
		char text[600];

		snprintf(text, sizeof(text), "%.*s", (int)(strchr(line, '\n') - line), line);
		if (!read)
			cr_assert(strstr(text, kind->named), "%s: '%s'", kind->what, text);
		waits += strstr(text, "the machine waits") != NULL;
		goes += strstr(text, "the machine goes on") != NULL;
	}
	cr_assert_eq(waits, goes, "%s", b.complaints_all);
	cr_assert(rig.pauses <= waits && !rig.pauses == !waits, "%u pauses: %s", rig.pauses, b.complaints_all);
	cr_assert_not(rig.paused);
}

/* One after the other, the call number n failing. False: there was no such call. */
static bool one_by_one(const struct kind *k, enum fault_kind fault, unsigned times, long n)
{
	static uint8_t all[BYTES];
	bool sync_failed = false, waits = b.werror == DISK_STOP || (b.werror == DISK_ENOSPC && fault != FAULT_EIO);

	start(k, true);
	fh.kind = fault;
	fh.times = times;
	fh.countdown = n;
	for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
		unsigned failed = fh.failed, syncs = fh.errors[CALL_SYNC], reads = fh.errors[CALL_READ];
		struct sent sent = submit(i);
		uint8_t status;

		ring_kick(&rig, 0);
		wait_for(&sent, 1);
		status = rig.mem[sent.status];
		if (fh.failed == failed && !sync_failed)
			cr_assert_eq(status, S_OK, "%s, fault %d: step %u fails by itself", k->what, fault, i);
		if (fault == FAULT_EINTR || fault == FAULT_SHORT || (b.werror == DISK_IGNORE && steps[i].type != READ))
			cr_assert_eq(status, S_OK, "%s, fault %d: step %u", k->what, fault, i);
		sync_failed |= fh.errors[CALL_SYNC] > syncs;
		if (waits && !sync_failed && (b.rerror == DISK_STOP || fh.errors[CALL_READ] == reads))
			cr_assert_eq(status, S_OK, "%s, fault %d: step %u does not wait", k->what, fault, i);
		if (sync_failed && steps[i].type == FLUSH && b.werror != DISK_IGNORE)
			cr_assert_eq(status, S_IOERR, "%s: a flush after one that has lost data", k->what);
		if (b.werror != DISK_IGNORE)
			learn(i, status, rig.mem + sent.data);
	}
	fh.healthy = true;
	if (b.werror != DISK_IGNORE) {
		cr_assert_eq(get(disk, 0, all, BYTES), 0);
		check_sectors(all, 0, SECTORS, now, "at the end");
	} else {
		memset(kept, 0xff, sizeof(kept));
	}
	check_lines();
	if (fault == FAULT_EINTR || fault == FAULT_SHORT)
		cr_assert_eq(b.complaints, 0, "%s", b.complaints_all);
	power_failure();
	return fh.failed > 0;
}

static void each_call(enum disk_policy werror, enum fault_kind fault, unsigned times)
{
	bench_begin();
	b.werror = werror;
	b.rerror = werror == DISK_ENOSPC ? DISK_REPORT : werror;
	for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
		long n = 0;

		image(); /* a raw disk has written it */
		while (one_by_one(&kinds[k], fault, times, n))
			n++;
		cr_assert_gt(n, 10, "%s: %ld calls", kinds[k].what, n);
	}
	bench_free(&b);
}

Test(pv_disk_faults, report_once, .timeout = 300)
{
	for (enum fault_kind f = 0; f < NUM_FAULTS; f++)
		each_call(DISK_REPORT, f, f == FAULT_SHORT_ENOSPC ? 2 : 1);
}
Test(pv_disk_faults, report_for_good, .timeout = 300)
{
	each_call(DISK_REPORT, FAULT_ENOSPC, FOREVER);
	each_call(DISK_REPORT, FAULT_EIO, FOREVER);
}
Test(pv_disk_faults, interrupted_again_and_again, .timeout = 300) { each_call(DISK_REPORT, FAULT_EINTR, 50); }
Test(pv_disk_faults, wait_for_room, .timeout = 300)
{
	each_call(DISK_ENOSPC, FAULT_ENOSPC, 1);
	each_call(DISK_ENOSPC, FAULT_ENOSPC, FOREVER);
	each_call(DISK_ENOSPC, FAULT_EDQUOT, 2);
	each_call(DISK_ENOSPC, FAULT_SHORT_ENOSPC, FOREVER);
}
Test(pv_disk_faults, report_the_rest, .timeout = 300) { each_call(DISK_ENOSPC, FAULT_EIO, 1); }
Test(pv_disk_faults, stop, .timeout = 300)
{
	each_call(DISK_STOP, FAULT_EIO, 1);
	each_call(DISK_STOP, FAULT_EIO, FOREVER);
}
Test(pv_disk_faults, ignore, .timeout = 300)
{
	each_call(DISK_IGNORE, FAULT_EIO, 1);
	each_call(DISK_IGNORE, FAULT_ENOSPC, FOREVER);
}

/* ---- many at a time, by the threads of the device ---- */

static bool all_at_once(const struct kind *k, enum fault_kind fault, unsigned times, long n)
{
	struct sent sent[ARRAY_LEN(steps)];
	unsigned good = 0, count = 0;
	bool was;

	start(k, false);
	fh.kind = fault;
	fh.times = times;
	fh.countdown = n;
	for (unsigned i = 0; i < ARRAY_LEN(steps); i++)
		sent[count++] = submit(i);
	ring_kick(&rig, 0);
	wait_for(sent, count);
	for (unsigned i = 0; i < count; i++)
		good += rig.mem[sent[i].status] == S_OK;
	was = fh.failed > 0;
	if (b.werror == DISK_ENOSPC && !fh.errors[CALL_SYNC] && !fh.errors[CALL_READ])
		cr_assert_eq(good, count, "%s: %u of %u", k->what, good, count);
	cr_assert(good || times > 1);
	cr_assert_eq(rig.d->queue[0].in_flight, 0);
	fh.healthy = true;
	check_lines();
	memset(kept, 0xff, sizeof(kept));
	power_failure();
	return was;
}

static void each_call_at_once(enum disk_policy werror, enum fault_kind fault, unsigned times)
{
	bench_begin();
	b.werror = werror;
	for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
		image();
		for (long n = 0; all_at_once(&kinds[k], fault, times, n); n += 3)
			;
	}
	bench_free(&b);
}

Test(pv_disk_faults, at_once_reported, .timeout = 300) { each_call_at_once(DISK_REPORT, FAULT_ENOSPC, 5); }
Test(pv_disk_faults, at_once_waiting, .timeout = 300) { each_call_at_once(DISK_ENOSPC, FAULT_ENOSPC, FOREVER); }

/* A machine that is paused can be reset, and ended, with all requests waiting; none is answered afterwards. */
Test(pv_disk_faults, reset_while_waiting, .timeout = 60)
{
	bench_begin();
	b.werror = DISK_ENOSPC;
	for (unsigned round = 0; round < 20; round++) {
		struct sent sent[4];

		image();
		start(&kinds[round % 3], round & 1);
		fh.kind = FAULT_ENOSPC;
		fh.times = FOREVER;
		fh.countdown = 0;
		for (unsigned i = 0; i < 4; i++)
			sent[i] = submit(i == 2 ? 3 : i);
		ring_kick(&rig, 0);
		for (unsigned i = 0; i < 1000 && !rig.paused; i++) {
			usleep(1000);
			virtio_poll(rig.d);
		}
		cr_assert(rig.paused);
		if (round & 2)
			virtio_retry(rig.d);
		virtio_reset(rig.d);
		cr_assert_not(rig.paused);
		cr_assert_eq(rig.d->queue[0].in_flight, 0);
		memset(rig.mem, 0xcc, MEM_BYTES);
		fh.healthy = true;
		usleep(2000);
		virtio_poll(rig.d);
		for (unsigned i = 0; i < MEM_BYTES; i++)
			cr_assert_eq(rig.mem[i], 0xcc);
		ring_start(&rig, FEATURES);
		sent[0] = submit(0);
		ring_kick(&rig, 0);
		wait_for(sent, 1);
		cr_assert_eq(rig.mem[sent[0].status], S_OK);
		memset(kept, 0xff, sizeof(kept));
		power_failure();
	}
	bench_free(&b);
}
