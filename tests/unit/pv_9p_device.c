/* SPDX-License-Identifier: MIT */
/* The shared folder as a virtio device: its worker, its answers in the ring, flush, and a reset in the middle of work. */
#define _GNU_SOURCE /* nftw, memmem */
#include "pv-drivers/virtio/devices.h"

#include <criterion/criterion.h>

#include "tests/unit/pv_9p_gen.h"
#include "tests/unit/pv_ring.h"

enum { BIG_BYTES = 480000, ROOM = 512 };

struct fixture {
	struct p9_place place;
	struct ring_rig r;
	struct p9_message m;
};

static void start(struct fixture *f, bool synchronous)
{
	struct virtio_device *d;

	p9_place_make(&f->place);
	cr_assert_eq(virtio_9p_new(&d, f->place.share, "tag", false), 0);
	ring_init(&f->r, d, 8 << 20, synchronous);
	ring_start(&f->r, 0);
}

static void end(struct fixture *f)
{
	ring_free(&f->r);
	cr_expect(p9_outside_intact(&f->place));
	p9_place_remove(&f->place);
}

/* Put m into the ring; where its answer will be. */
static uint64_t put(struct fixture *f, uint32_t room)
{
	struct ring_buf out = {ring_alloc(&f->r, f->m.n), f->m.n}, in = {ring_alloc(&f->r, room), room};

	p9_end(&f->m);
	memcpy(f->r.mem + out.pa, f->m.b, f->m.n);
	ring_add(&f->r, 0, &out, 1, &in, 1);
	return in.pa;
}

/* The next answer: its length. */
static uint32_t next(struct fixture *f)
{
	uint32_t id, bytes;

	while (!ring_used(&f->r, 0, &id, &bytes))
		cr_assert(ring_poll(&f->r), "no answer");
	return bytes;
}

static uint64_t put_version(struct fixture *f)
{
	p9_begin(&f->m, TVERSION, 0xffff);
	p9_add(&f->m, 512000, 4);
	p9_add_string(&f->m, "9P2000.L", 8);
	return put(f, ROOM);
}

static uint64_t put_attach(struct fixture *f)
{
	p9_begin(&f->m, TATTACH, 1);
	p9_add(&f->m, 0, 4);
	p9_add(&f->m, UINT32_MAX, 4);
	p9_add(&f->m, 0, 2);
	p9_add(&f->m, 0, 2);
	p9_add(&f->m, 0, 4);
	return put(f, ROOM);
}

static uint64_t put_walk(struct fixture *f, uint16_t tag, uint32_t fid, const char *name)
{
	p9_begin(&f->m, TWALK, tag);
	p9_add(&f->m, 0, 4);
	p9_add(&f->m, fid, 4);
	p9_add(&f->m, 1, 2);
	p9_add_string(&f->m, name, strlen(name));
	return put(f, ROOM);
}

/* Always the worker's. */
static uint64_t put_unlink(struct fixture *f, uint16_t tag, const char *name)
{
	p9_begin(&f->m, TUNLINKAT, tag);
	p9_add(&f->m, 0, 4);
	p9_add_string(&f->m, name, strlen(name));
	p9_add(&f->m, 0, 4);
	return put(f, ROOM);
}

static uint64_t put_open(struct fixture *f, uint32_t fid)
{
	p9_begin(&f->m, TLOPEN, 1);
	p9_add(&f->m, fid, 4);
	p9_add(&f->m, 2, 4);
	return put(f, ROOM);
}

static void session(struct fixture *f)
{
	put_version(f);
	put_attach(f);
	ring_kick(&f->r, 0);
	cr_assert_eq(next(f), 21);
	cr_assert_eq(next(f), 20);
}

Test(pv_9p_device, configuration)
{
	struct virtio_device *d;
	struct p9_place p;
	char tag[257];

	p9_place_make(&p);
	memset(tag, 't', 256);
	tag[256] = 0;
	cr_expect_eq(virtio_9p_new(&d, p.share, tag, false), -EINVAL);
	cr_expect_eq(virtio_9p_new(&d, p.share, "", false), -EINVAL);
	cr_expect_eq(virtio_9p_new(&d, "/none/such", "tag", false), -ENOENT);
	tag[255] = 0;
	cr_assert_eq(virtio_9p_new(&d, p.share, tag, false), 0);
	cr_expect_eq(d->config_bytes, 257);
	cr_expect_eq(d->config[0] | d->config[1] << 8, 255);
	virtio_device_free(d);
	p9_place_remove(&p);
}

/* Under --icount everything is done when notify() returns. */
Test(pv_9p_device, synchronous)
{
	struct fixture f;
	uint32_t id, bytes;

	start(&f, true);
	put_version(&f);
	put_attach(&f);
	ring_kick(&f.r, 0);
	cr_expect(ring_used(&f.r, 0, &id, &bytes));
	cr_expect(ring_used(&f.r, 0, &id, &bytes));
	cr_expect_eq(bytes, 20);
	cr_expect_gt(f.r.irqs, 0);
	end(&f);
}

/* A header of count bytes at 5 of fid 1: Tread or Twrite. */
static void begin_transfer(struct fixture *f, uint8_t type, uint32_t count)
{
	p9_begin(&f->m, type, 1);
	p9_add(&f->m, 1, 4);
	p9_add(&f->m, 5, 8);
	p9_add(&f->m, count, 4);
	f->m.n += type == TWRITE ? count : 0;
	p9_end(&f->m);
}

/* What the file of the share has from 5 on. */
static void read_file(const struct fixture *f, uint8_t *to, size_t bytes)
{
	char path[200];
	FILE *file;

	snprintf(path, sizeof(path), "%s/file", f->place.share);
	file = fopen(path, "r");
	cr_assert_eq(fseek(file, 5, SEEK_SET), 0);
	cr_assert_eq(fread(to, 1, bytes, file), bytes);
	fclose(file);
}

/* Data go between the file and the guest's buffers, however these are cut. */
Test(pv_9p_device, big_transfers)
{
	struct fixture f;
	struct ring_buf out[120], in[120];
	static uint8_t back[BIG_BYTES], data[BIG_BYTES];
	unsigned n = 1;

	start(&f, false);
	session(&f);
	put_walk(&f, 1, 1, "file");
	put_open(&f, 1);
	ring_kick(&f.r, 0);
	cr_assert_eq(next(&f), 22);
	cr_assert_eq(next(&f), 24);
	for (unsigned i = 0; i < BIG_BYTES; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 11);
	/* Header and data in buffers of 4096 bytes, of which none is beside the other */
	out[0] = (struct ring_buf){ring_alloc(&f.r, 23), 23};
	begin_transfer(&f, TWRITE, BIG_BYTES);
	memcpy(f.r.mem + out[0].pa, f.m.b, 23);
	for (uint32_t at = 0; at < BIG_BYTES; at += out[n++].bytes) {
		uint32_t bytes = BIG_BYTES - at < 4096 ? BIG_BYTES - at : 4096;

		ring_alloc(&f.r, 16);
		out[n] = (struct ring_buf){ring_alloc(&f.r, bytes), bytes};
		memcpy(f.r.mem + out[n].pa, data + at, bytes);
	}
	in[0] = (struct ring_buf){ring_alloc(&f.r, 11), 11};
	ring_add(&f.r, 0, out, n, in, 1);
	ring_kick(&f.r, 0);
	cr_assert_eq(next(&f), 11);
	cr_assert_eq(p9_at(f.r.mem + in[0].pa + 7, 4), BIG_BYTES);
	read_file(&f, back, BIG_BYTES);
	cr_assert_eq(memcmp(back, data, BIG_BYTES), 0);
	/* Tread, into the same buffers */
	for (unsigned i = 1; i < n; i++) {
		in[i] = out[i];
		memset(f.r.mem + in[i].pa, 0, in[i].bytes);
	}
	begin_transfer(&f, TREAD, 500000);
	memcpy(f.r.mem + out[0].pa, f.m.b, 23);
	ring_add(&f.r, 0, out, 1, in, n);
	ring_kick(&f.r, 0);
	cr_assert_eq(next(&f), 11 + BIG_BYTES);
	for (uint32_t i = 1, at = 0; i < n; at += in[i++].bytes)
		cr_assert_eq(memcmp(f.r.mem + in[i].pa, data + at, in[i].bytes), 0, "buffer %u", i);
	end(&f);
}

/* Answers come in order; a Tflush comes after what it flushes, which is answered or given back with nothing in it. */
Test(pv_9p_device, flush)
{
	struct fixture f;

	start(&f, false);
	session(&f);
	for (unsigned round = 0; round < 100; round++) {
		uint32_t bytes[40], id;
		unsigned seen = 0, flushed_at = 0, flush_at = 0;

		f.r.next = ring_queue_base(VIRTIO_MAX_QUEUES);
		for (uint16_t i = 0; i < 20; i++) {
			p9_begin(&f.m, TSTATFS, i); /* always the worker's */
			p9_add(&f.m, 0, 4);
			put(&f, ROOM);
		}
		p9_begin(&f.m, TFLUSH, 100);
		p9_add(&f.m, 19, 2);
		put(&f, ROOM);
		ring_kick(&f.r, 0);
		while (seen < 21) {
			if (!ring_used(&f.r, 0, &id, &bytes[seen])) {
				cr_assert(ring_poll(&f.r));
				continue;
			}
			if (bytes[seen] == 7)
				flush_at = seen;
			else if (!bytes[seen])
				flushed_at = seen;
			else
				cr_assert_eq(bytes[seen], 67);
			seen++;
		}
		cr_assert_eq(bytes[flush_at], 7);
		if (!bytes[flushed_at])
			cr_assert_lt(flushed_at, flush_at);
	}
	end(&f);
}

/* No header: the buffers are given back, and the device goes on. */
Test(pv_9p_device, no_message)
{
	struct fixture f;
	struct ring_buf b = {0};

	start(&f, false);
	b = (struct ring_buf){ring_alloc(&f.r, 16), 3};
	ring_add(&f.r, 0, &b, 1, NULL, 0);
	ring_add(&f.r, 0, NULL, 0, &b, 1);
	ring_kick(&f.r, 0);
	cr_expect_eq(next(&f), 0);
	cr_expect_eq(next(&f), 0);
	session(&f);
	end(&f);
}

/* The driver goes away while the worker works: afterwards nothing is written, and the fids are gone. */
Test(pv_9p_device, reset)
{
	struct fixture f;

	start(&f, false);
	for (unsigned round = 0; round < 50; round++) {
		uint32_t id, bytes;

		session(&f);
		for (uint16_t i = 0; i < 60; i++)
			if (i % 2)
				put_walk(&f, i, 1 + i, "file");
			else
				put_unlink(&f, i, "none");
		ring_kick(&f.r, 0);
		if (round % 2)
			ring_poll(&f.r);
		ring_start(&f.r, 0); /* clears memory */
		for (uint64_t at = f.r.next; at < f.r.next + 100000; at++)
			cr_assert_eq(f.r.mem[at], 0);
		cr_assert_not(ring_used(&f.r, 0, &id, &bytes));
	}
	/* Before Tversion there is no session. */
	uint64_t answer = put_walk(&f, 1, 1, "file");

	ring_kick(&f.r, 0);
	cr_expect_eq(next(&f), 11);
	cr_expect_eq(f.r.mem[answer + 4], RLERROR);
	end(&f);
}
