/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pv-drivers/disk/blk_blocks.h"
#include "pv-drivers/disk/blk_pool.h"
#include "pv-drivers/virtio/devices.h"
#include "pv-drivers/disk/disk.h"

/*
 * Block device: virtio 1.2, 5.2.
 *
 * A request is judged, and its header copied, on the vCPU thread.  A read that the host has in memory is done there
 * too (disk_readv_nowait()): it costs less than the two thread switches of handing it over (8000 reads of 4 KiB by dd with
 * O_DIRECT, on a busy host with 2 CPUs: 0.49 s, and 2.17 s by the pool).  Everything else goes to the
 * pool and is pushed by poll().  One that fails on the host and is to wait (disk_verdict()) stays with the device, which pauses
 * the machine and does it again every second, until none waits.  Requests are done in any order; a flush covers those that the driver has seen
 * completed, as 5.2.6.2 asks.
 */
enum {
	QUEUE_SIZE = 256,
	SEG_MAX = QUEUE_SIZE - 2, /* header and status take one each */
	SIZE_MAX_BYTES = 64 << 10,
	THREADS = 4,
	HEADER_BYTES = 16,
	SEGMENT_BYTES = 16, /* struct virtio_blk_discard_write_zeroes */
	MAX_SEGMENTS = 32,
	ID_BYTES = 20,
	FEW_IOVECS = 16,
	REQUEST_MAX_BYTES = SEG_MAX * SIZE_MAX_BYTES + (64 << 10), /* what a driver that keeps to the above can send */
	MAX_DISCARD_SECTORS = 1 << 22,
	MAX_ZERO_SECTORS = 1 << 17, /* less: a host that can only write them must be done soon, a reset waits */
	NOWAIT_BYTES = 256 << 10,   /* more than that is handed over, so that the guest runs on meanwhile */
};

/* 5.2.3 "Feature bits" */
#define F_SIZE_MAX     (1ull << 1)
#define F_SEG_MAX      (1ull << 2)
#define F_RO           (1ull << 5)
#define F_BLK_SIZE     (1ull << 6)
#define F_FLUSH        (1ull << 9)
#define F_TOPOLOGY     (1ull << 10)
#define F_CONFIG_WCE   (1ull << 11)
#define F_DISCARD      (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)

/* 5.2.6 "Device Operation" */
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2, ZEROES_UNMAP = 1 };

/* 5.2.4 "Device configuration layout" */
struct config {
	uint64_t capacity; /* sectors */
	uint32_t size_max, seg_max;
	uint8_t geometry[4];
	uint32_t blk_size;
	uint8_t physical_block_exp, alignment_offset;
	uint16_t min_io_size;
	uint32_t opt_io_size;
	uint8_t writeback, unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
	uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap, unused1[3];
};
_Static_assert(sizeof(struct config) == 64 && offsetof(struct config, writeback) == 32, "with 4 bytes of padding");
enum { CONFIG_BYTES = 60 };

struct segment {
	uint64_t off, bytes;
	bool unmap;
};

struct request {
	struct blk_job job; /* must be first */
	struct virtq_chain *chain;
	struct request *next_free;
	uint32_t type;
	bool sync;  /* the driver sees a write-through cache: flush after it */
	bool waits; /* has failed, and is done again: counted in blk.waiting */
	uint8_t status;
	int err; /* of the host */
	uint64_t off;
	struct iovec *iov; /* the data, without header and status */
	unsigned n_iov, n_segments;
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header;       /* as it was when it was taken */
	bool cut_off;   /* it has none */
	bool by_blocks; /* a read through the buffer cache: by `blocks`, not by iov */
	struct blk_blocks blocks;
	struct iovec few[FEW_IOVECS];
	struct segment segment[MAX_SEGMENTS];
};

struct blk {
	struct virtio_device dev; /* must be first */
	struct disk *disk;
	uint32_t image;        /* whose blocks are shared with other machines; 0: they are not */
	struct blk_pool *pool; /* NULL: all work is done in notify() */
	struct config config;
	uint8_t config_mask[CONFIG_BYTES];
	char id[ID_BYTES];
	bool look_again;               /* poll() is to: there was no memory, or no request free, for more */
	unsigned waiting;              /* requests that have failed and will be done again: the machine is paused */
	struct blk_job *failed, **end; /* those of them that nobody is doing now, in order */
	struct request *free;
	struct request request[QUEUE_SIZE]; /* a queue has no more in flight */
};

/* ---- doing it: any thread ---- */

static int do_segments(struct blk *b, struct request *r)
{
	int err = 0;

	for (unsigned i = 0; i < r->n_segments && !err; i++) {
		const struct segment *s = &r->segment[i];

		if (r->type == T_DISCARD)
			err = disk_discard(b->disk, s->off, s->bytes);
		else
			err = disk_write_zeroes(b->disk, s->off, s->bytes, s->unmap);
	}
	return err;
}

static struct blk_read read_of(struct blk *b, const struct request *r)
{
	return (struct blk_read){
	    .dev = &b->dev, .disk = b->disk, .image = b->image, .off = r->off, .bytes = r->chain->in_bytes - 1};
}

static int do_read(struct blk *b, struct request *r, bool nowait)
{
	struct blk_read rd = read_of(b, r);

	if (r->by_blocks)
		return blk_blocks_read(&r->blocks, &rd, nowait);
	return nowait ? disk_readv_nowait(b->disk, r->off, r->iov, r->n_iov)
		      : disk_readv(b->disk, r->off, r->iov, r->n_iov);
}

static void do_request(void *opaque, struct blk_job *job)
{
	struct request *r = (struct request *)job;
	struct blk *b = opaque;
	int err = 0;

	switch (r->type) {
	case T_IN:
		err = do_read(b, r, false);
		break;
	case T_OUT:
		err = disk_writev(b->disk, r->off, r->iov, r->n_iov);
		break;
	case T_FLUSH:
		err = disk_flush(b->disk);
		break;
	default:
		err = do_segments(b, r);
		break;
	}
	if (!err && r->sync)
		err = disk_flush(b->disk);
	r->err = err;
}

static void wake(void *opaque) { virtio_wake(&((struct blk *)opaque)->dev); }

/* ---- judging it: vCPU thread ---- */

static bool in_disk(const struct blk *b, uint64_t sector, uint64_t sectors)
{
	uint64_t all = disk_bytes(b->disk) / DISK_SECTOR_BYTES;

	return sector <= all && sectors <= all - sector;
}

/* The data's iovecs: [skip, skip + bytes) of the chain's. */
static uint8_t take_data(struct request *r, const struct iovec *iov, unsigned n, uint64_t skip, uint64_t bytes)
{
	int got;

	if (n > FEW_IOVECS) {
		r->iov = malloc(n * sizeof(*iov));
		if (!r->iov) {
			r->iov = r->few;
			return S_IOERR;
		}
	}
	got = iov_slice(iov, n, skip, bytes, r->iov, n > FEW_IOVECS ? n : FEW_IOVECS);
	r->n_iov = got > 0 ? (unsigned)got : 0;
	return got < 0 ? S_IOERR : S_OK;
}

/* The protocol wants whole sectors (5.2.6.1), inside of the disk (5.2.6.2: "must fail"), and none for writing on a read-only one. */
static uint8_t judge_transfer(struct blk *b, struct request *r, uint64_t sector)
{
	struct virtq_chain *c = r->chain;
	uint64_t bytes = r->type == T_IN ? c->in_bytes - 1 : c->out_bytes - HEADER_BYTES;

	if (bytes % DISK_SECTOR_BYTES || !in_disk(b, sector, bytes / DISK_SECTOR_BYTES))
		return S_IOERR;
	if (r->type == T_OUT && disk_read_only(b->disk))
		return S_IOERR;
	r->off = sector * DISK_SECTOR_BYTES;
	if (r->by_blocks)
		return S_OK;
	if (r->type == T_IN)
		return take_data(r, c->in, c->n_in, 0, bytes);
	return take_data(r, c->out, c->n_out, HEADER_BYTES, bytes);
}

static uint8_t judge_segments(struct blk *b, struct request *r)
{
	bool zeroes = r->type == T_WRITE_ZEROES;
	uint64_t bytes = r->chain->out_bytes - HEADER_BYTES;
	uint32_t max = zeroes ? MAX_ZERO_SECTORS : MAX_DISCARD_SECTORS;

	if (!virtio_has(&b->dev, zeroes ? F_WRITE_ZEROES : F_DISCARD))
		return S_UNSUPP;
	if (!bytes || bytes % SEGMENT_BYTES || bytes / SEGMENT_BYTES > MAX_SEGMENTS || disk_read_only(b->disk))
		return S_IOERR;
	for (r->n_segments = 0; r->n_segments < bytes / SEGMENT_BYTES; r->n_segments++) {
		struct {
			uint64_t sector;
			uint32_t sectors, flags;
		} s;

		virtq_read(r->chain, HEADER_BYTES + (uint64_t)r->n_segments * SEGMENT_BYTES, &s, sizeof(s));
		s.sector = le64toh(s.sector);
		s.sectors = le32toh(s.sectors);
		s.flags = le32toh(s.flags);
		if (s.flags & ~(zeroes ? ZEROES_UNMAP : 0u))
			return S_UNSUPP;
		if (s.sectors > max || !in_disk(b, s.sector, s.sectors))
			return S_IOERR;
		r->segment[r->n_segments] = (struct segment){.off = s.sector * DISK_SECTOR_BYTES,
							     .bytes = (uint64_t)s.sectors * DISK_SECTOR_BYTES,
							     .unmap = s.flags & ZEROES_UNMAP};
	}
	return S_OK;
}

static uint8_t give_id(struct blk *b, struct request *r)
{
	uint64_t room = r->chain->in_bytes - 1;

	virtq_write(r->chain, 0, b->id, room < ID_BYTES ? room : ID_BYTES);
	return S_OK;
}

/* 5.2.5.2: write-through if the driver chose so, or cannot flush. */
static bool write_through(const struct blk *b)
{
	if (virtio_has(&b->dev, F_CONFIG_WCE))
		return !b->config.writeback;
	return !virtio_has(&b->dev, F_FLUSH);
}

static void finish(struct blk *b, struct request *r)
{
	struct virtq_chain *c = r->chain;

	/* The status is the last byte: all of `in` counts as written. */
	virtq_write(c, c->in_bytes - 1, &r->status, 1);
	virtq_push(c, c->in_bytes);
	if (r->iov != r->few)
		free(r->iov);
	r->next_free = b->free;
	b->free = r;
}

/* ---- what the host did ---- */

static void wait_for_host(struct blk *b, struct request *r)
{
	r->job.next = NULL;
	*b->end = &r->job;
	b->end = &r->job.next;
	b->waiting += !r->waits;
	r->waits = true;
	disk_wait(b->disk);
	virtio_pause(&b->dev, true);
}

/* The pages that were read are the guest's now, or, if they were not, nobody's. */
static void end_blocks(struct blk *b, struct request *r)
{
	struct blk_read rd = read_of(b, r);

	if (r->by_blocks && !r->err)
		blk_blocks_give(&r->blocks, &rd);
	else if (r->by_blocks)
		blk_blocks_drop(&r->blocks, &b->dev);
	r->by_blocks = false;
}

/* It was done, or it failed. True: it is finished. */
static bool conclude(struct blk *b, struct request *r)
{
	enum disk_verdict verdict = r->err ? disk_verdict(b->disk, r->type != T_IN, r->err) : DISK_PASS;

	if (verdict == DISK_WAIT && b->dev.host.pause) {
		wait_for_host(b, r);
		return false;
	}
	r->status = verdict == DISK_PASS ? S_OK : S_IOERR;
	end_blocks(b, r);
	b->waiting -= r->waits;
	r->waits = false;
	finish(b, r);
	if (b->dev.paused && !b->waiting) {
		virtio_pause(&b->dev, false);
		disk_go(b->disk);
	}
	return true;
}

/* True: it is to be done; else r->status is the answer. */
static bool judge(struct blk *b, struct request *r)
{
	if (r->cut_off) {
		r->status = S_IOERR;
		return false;
	}
	r->type = le32toh(r->header.type);
	switch (r->type) {
	case T_IN:
	case T_OUT:
		r->status = judge_transfer(b, r, le64toh(r->header.sector));
		break;
	case T_FLUSH: /* a driver that did not negotiate it may send it all the same */
		r->status = S_OK;
		break;
	case T_GET_ID:
		r->status = give_id(b, r);
		return false;
	case T_DISCARD:
	case T_WRITE_ZEROES:
		r->status = judge_segments(b, r);
		break;
	default:
		r->status = S_UNSUPP;
		break;
	}
	r->sync = r->type != T_IN && r->type != T_FLUSH && write_through(b);
	return r->status == S_OK;
}

static uint64_t data_bytes(const struct request *r)
{
	uint64_t sum = r->by_blocks ? blk_blocks_bytes(&r->blocks) : 0;

	for (unsigned i = 0; i < r->n_iov; i++)
		sum += r->iov[i].iov_len;
	return sum;
}

/* What judge_transfer() wants of a read, and that its pages may be blocks of the image. */
static bool may_be_blocks(const struct blk *b, const struct request *r)
{
	uint64_t sector = le64toh(r->header.sector), bytes = r->chain->in_bytes - 1;

	return !r->cut_off && le32toh(r->header.type) == T_IN && bytes % DISK_SECTOR_BYTES == 0 &&
	       in_disk(b, sector, bytes / DISK_SECTOR_BYTES);
}

static uint8_t *place_nothing(void *opaque, struct gpa pa, uint64_t at, uint64_t *bytes) { return NULL; }

/* Find host memory for what the request is answered with.  False: there is none. */
static bool place(struct blk *b, struct request *r)
{
	struct blk_read rd;

	if (!b->dev.late_in)
		return true;
	if (!may_be_blocks(b, r))
		return !virtq_place(r->chain, place_nothing, NULL);
	r->off = le64toh(r->header.sector) * DISK_SECTOR_BYTES;
	rd = read_of(b, r);
	r->by_blocks = true;
	return !blk_blocks_place(&r->blocks, &rd, r->chain);
}

/* The machine ends (virtio_host.map has seen to it), or the host has no memory for the book-keeping: the request is lost. */
static void lose(struct blk *b, struct request *r)
{
	virtq_break(r->chain->q, "no memory on the host for its requests");
	virtq_drop(r->chain);
	r->next_free = b->free;
	b->free = r;
}

/* Answer it, do it, or hand it over. True: it is finished. */
static bool begin(struct blk *b, struct request *r)
{
	r->cut_off = virtq_read(r->chain, 0, &r->header, sizeof(r->header)) < sizeof(r->header);
	if (!place(b, r)) {
		lose(b, r);
		return false;
	}
	if (!judge(b, r)) {
		finish(b, r);
		return true;
	}
	if (b->pool && !(r->type == T_IN && data_bytes(r) <= NOWAIT_BYTES && !do_read(b, r, true))) {
		blk_pool_add(b->pool, &r->job);
		return false;
	}
	if (!b->pool)
		do_request(b, &r->job);
	return conclude(b, r);
}

static bool take_one(struct blk *b, struct virtq_chain *c, bool *finished)
{
	struct request *r = b->free;

	if (!c->in_bytes) {
		virtq_break(c->q, "a block request without room for its status");
		virtq_drop(c);
		return false;
	}
	b->free = r->next_free;
	r->chain = c;
	r->iov = r->few;
	r->n_iov = r->n_segments = 0;
	r->waits = r->by_blocks = false;
	r->err = 0;
	*finished |= begin(b, r);
	return true;
}

static void process(struct blk *b, struct virtq *q)
{
	bool finished = false;
	struct virtq_chain *c;
	int got = 1;

	while (b->free && (got = virtq_pop(q, &c)) == 1 && take_one(b, c, &finished))
		;
	b->look_again = got == -ENOMEM || !b->free;
	if (got == -ENOMEM && !q->in_flight)
		virtq_break(q, "no memory on the host for its requests");
	if (finished)
		virtq_signal(q);
}

static void notify(struct virtio_device *d, unsigned queue) { process((struct blk *)d, &d->queue[queue]); }

static void poll(struct virtio_device *d)
{
	struct blk *b = (struct blk *)d;
	struct blk_job *next, *job = b->pool ? blk_pool_collect(b->pool) : NULL;
	bool look = b->look_again, finished = false;

	for (; job; job = next) {
		next = job->next;
		finished |= conclude(b, (struct request *)job);
	}
	if (finished)
		virtq_signal(&d->queue[0]);
	if (look)
		process(b, &d->queue[0]);
}

static void forget_failed(struct blk *b)
{
	b->failed = NULL;
	b->end = &b->failed;
}

static void retry(struct virtio_device *d)
{
	struct blk *b = (struct blk *)d;
	struct blk_job *next, *job = b->failed;
	bool finished = false;

	forget_failed(b);
	for (; job; job = next) {
		next = job->next;
		if (b->pool) {
			blk_pool_add(b->pool, job);
		} else {
			do_request(b, job);
			finished |= conclude(b, (struct request *)job);
		}
	}
	if (finished)
		virtq_signal(&d->queue[0]);
}

/* ---- life ---- */

static void make_free_list(struct blk *b)
{
	b->free = NULL;
	for (unsigned i = QUEUE_SIZE; i-- > 0;) {
		b->request[i].next_free = b->free;
		b->free = &b->request[i];
	}
}

static void activate(struct virtio_device *d)
{
	struct blk *b = (struct blk *)d;
	struct share_image image;

	if (d->host.share && disk_image(b->disk, &image))
		b->image = d->host.share->image(d->host.opaque, &image);
	d->late_in = b->image != 0;
	if (d->host.synchronous || b->pool)
		return;
	if (blk_pool_new(&b->pool, THREADS, do_request, wake, b))
		b->pool = NULL; /* no threads: the vCPU waits for the host's disk, but the guest works */
}

static void drop_all(struct blk *b, struct blk_job *job)
{
	struct blk_job *next;

	for (; job; job = next) {
		struct request *r = (struct request *)job;

		next = job->next;
		if (r->by_blocks)
			blk_blocks_drop(&r->blocks, &b->dev);
		virtq_drop(r->chain);
		if (r->iov != r->few)
			free(r->iov);
	}
}

static void reset(struct virtio_device *d)
{
	struct blk *b = (struct blk *)d;

	drop_all(b, b->pool ? blk_pool_cancel(b->pool) : NULL);
	drop_all(b, b->failed);
	forget_failed(b);
	b->waiting = 0;
	virtio_pause(d, false);
	make_free_list(b);
	b->look_again = false;
	b->config.writeback = 1;
}

static void blk_free(struct virtio_device *d)
{
	struct blk *b = (struct blk *)d;

	blk_pool_free(b->pool);
	free(b);
}

static void fill_config(struct blk *b, bool writable)
{
	b->config = (struct config){
	    .capacity = htole64(disk_bytes(b->disk) / DISK_SECTOR_BYTES),
	    .size_max = htole32(SIZE_MAX_BYTES),
	    .seg_max = htole32(SEG_MAX),
	    .blk_size = htole32(DISK_SECTOR_BYTES),
	    /* The host's page: what costs least to write. */
	    .physical_block_exp = 3,
	    .min_io_size = htole16(8),
	};
	if (!writable)
		return;
	b->config.max_discard_sectors = htole32(MAX_DISCARD_SECTORS);
	b->config.max_discard_seg = htole32(MAX_SEGMENTS);
	b->config.discard_sector_alignment = htole32(8);
	b->config.max_write_zeroes_sectors = htole32(MAX_ZERO_SECTORS);
	b->config.max_write_zeroes_seg = htole32(MAX_SEGMENTS);
	b->config.write_zeroes_may_unmap = 1;
}

/* What a disk has been written to stays written to. */
static bool savable(const struct virtio_device *d) { return disk_read_only(((const struct blk *)d)->disk); }

static void save(const struct virtio_device *d, void *state)
{
	memcpy(state, &((const struct blk *)d)->look_again, sizeof(bool));
}

static void restore(struct virtio_device *d, const void *state)
{
	memcpy(&((struct blk *)d)->look_again, state, sizeof(bool));
}

int virtio_blk_new(struct virtio_device **out, struct disk *disk, const char *name, const char *serial)
{
	static const struct virtio_ops ops = {.activate = activate,
					      .notify = notify,
					      .poll = poll,
					      .retry = retry,
					      .reset = reset,
					      .savable = savable,
					      .state_bytes = sizeof(bool),
					      .save = save,
					      .restore = restore,
					      .free = blk_free};
	uint64_t features = F_SIZE_MAX | F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_CONFIG_WCE;
	struct blk *b = calloc(1, sizeof(*b));

	*out = NULL;
	if (!b)
		return -ENOMEM;
	b->disk = disk;
	features |= disk_read_only(disk) ? F_RO : F_DISCARD | F_WRITE_ZEROES;
	virtio_device_init(&b->dev, name, VIRTIO_ID_BLOCK, features, &ops);
	b->dev.n_queues = 1;
	b->dev.queue_max[0] = QUEUE_SIZE;
	b->dev.request_max_bytes = REQUEST_MAX_BYTES;
	fill_config(b, !disk_read_only(disk));
	b->config.writeback = 1;
	b->config_mask[offsetof(struct config, writeback)] = 0xff;
	b->dev.config = (uint8_t *)&b->config;
	b->dev.config_bytes = CONFIG_BYTES;
	b->dev.config_writable = b->config_mask;
	memcpy(b->id, serial, strnlen(serial, sizeof(b->id))); /* not terminated when it is as long as that (5.2.6) */
	make_free_list(b);
	forget_failed(b);
	*out = &b->dev;
	return 0;
}
