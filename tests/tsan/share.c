/* SPDX-License-Identifier: MIT */
/*
 * A shared folder's device and its worker: messages that either of the two threads answers, flushes, and resets in the middle.
 * Not a Criterion program, for the reason that two_vms.c gives.
 */
#define _GNU_SOURCE /* nftw, memmem */
#include "pv-drivers/virtio/devices.h"
#include "tests/unit/pv_9p_gen.h"
#include "tests/unit/pv_ring.h"

enum { ROUNDS = 200, MESSAGES = 40, ROOM = 512 };

static struct ring_rig rig;
static struct p9_message m;

static void put(void)
{
	struct ring_buf out = {ring_alloc(&rig, m.n), m.n}, in = {ring_alloc(&rig, ROOM), ROOM};

	p9_end(&m);
	memcpy(rig.mem + out.pa, m.b, m.n);
	ring_add(&rig, 0, &out, 1, &in, 1);
}

static void put_session(void)
{
	p9_begin(&m, TVERSION, 0xffff);
	p9_add(&m, 8192, 4);
	p9_add_string(&m, "9P2000.L", 8);
	put();
	p9_begin(&m, TATTACH, 1);
	p9_add(&m, 0, 4);
	p9_add(&m, UINT32_MAX, 4);
	p9_add(&m, 0, 8);
	put();
}

/* Tgetattr is answered at once where the worker is idle; Tstatfs is always the worker's. */
static void put_one(unsigned i)
{
	p9_begin(&m, i % 3 == 2 ? TFLUSH : i % 3 ? TGETATTR : TSTATFS, (uint16_t)i);
	if (i % 3 == 2) {
		p9_add(&m, i - 2, 2);
	} else {
		p9_add(&m, 0, 4);
		p9_add(&m, 0, i % 3 ? 8 : 0);
	}
	put();
}

/* n answers; false if they do not come. */
static bool take(unsigned n)
{
	uint32_t id, bytes;

	while (n)
		if (ring_used(&rig, 0, &id, &bytes))
			n--;
		else if (!ring_poll(&rig))
			return false;
	return true;
}

int main(void)
{
	struct virtio_device *d;
	struct p9_place place;
	bool ok = true;

	p9_place_make(&place);
	if (virtio_9p_new(&d, place.share, "tag", false))
		abort();
	ring_init(&rig, d, 1 << 20, false);
	for (unsigned round = 0; ok && round < ROUNDS; round++) {
		ring_start(&rig, 0);
		put_session();
		for (unsigned i = 0; i < MESSAGES; i++) {
			put_one(i);
			if (i % 4 == round % 4)
				ring_kick(&rig, 0);
		}
		ring_kick(&rig, 0);
		/* Every other round, the driver does not wait for all of it. */
		ok = take(round % 2 ? MESSAGES + 2 : round % MESSAGES);
	}
	ring_free(&rig);
	ok = ok && p9_outside_intact(&place);
	p9_place_remove(&place);
	printf("%s\n", ok ? "passed" : "FAILED");
	return !ok;
}
