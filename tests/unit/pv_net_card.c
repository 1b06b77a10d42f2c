/* SPDX-License-Identifier: MIT */
/* The card, between hand-made rings and a cable that is the test. */
#include "pv-drivers/virtio/devices.h"

#include <criterion/criterion.h>

#include "pv-drivers/net/net_card.h"
#include "tests/unit/pv_net_frames.h"
#include "tests/unit/pv_ring.h"

enum { RX = 0, TX = 1, CTRL = 2, MEM = 8 << 20, HDR = 12 };
#define ALL (~(VIRTIO_F_EVENT_IDX))

struct fake {
	struct net n;
	bool full;
	unsigned sent, pieces;
	struct net_hdr h;
	uint8_t last[70000];
	uint32_t bytes;
};

struct rig {
	struct fake cable;
	struct ring_rig ring;
};

static int fake_send(struct net *n, const struct net_hdr *h, const struct iovec *iov, unsigned n_iov, uint32_t bytes)
{
	struct fake *f = (struct fake *)n;

	if (f->full)
		return 0;
	f->bytes = 0;
	for (unsigned i = 0; i < n_iov; i++) {
		memcpy(f->last + f->bytes, iov[i].iov_base, iov[i].iov_len);
		f->bytes += (uint32_t)iov[i].iov_len;
	}
	cr_assert_eq(f->bytes, bytes);
	f->h = *h;
	f->pieces = n_iov;
	f->sent++;
	return 1;
}

static struct rig *make(uint64_t features)
{
	static const struct net_ops ops = {.send = fake_send};
	struct net_config cfg = {.has_mac = true, .mac = {2, 0, 0, 0, 0, 1}};
	struct rig *r = calloc(1, sizeof(*r));
	struct virtio_device *d;

	cr_assert_eq(net_init(&r->cable.n, &cfg, &ops, NET_RX_RING_BYTES), 0);
	cr_assert_eq(virtio_net_new(&d, &r->cable.n, "net test"), 0);
	ring_init(&r->ring, d, MEM, true);
	ring_start(&r->ring, features);
	return r;
}

static void unmake(struct rig *r)
{
	ring_free(&r->ring);
	net_fini(&r->cable.n);
	free(r);
}

/* ---- transmission ---- */

/* A request of header and frame, the latter in `pieces` pieces. */
static void transmit(struct rig *r, const struct net_hdr *h, const uint8_t *f, uint32_t bytes, unsigned pieces)
{
	struct ring_buf b[RING_MAX_BUFS];
	uint32_t at = 0;

	b[0] = (struct ring_buf){ring_alloc(&r->ring, HDR), HDR};
	memcpy(r->ring.mem + b[0].pa, h, HDR);
	for (unsigned i = 1; i <= pieces; i++) {
		b[i].bytes = i == pieces ? bytes - at : bytes / pieces;
		b[i].pa = ring_alloc(&r->ring, b[i].bytes + 32);
		memcpy(r->ring.mem + b[i].pa, f + at, b[i].bytes);
		at += b[i].bytes;
	}
	ring_add(&r->ring, TX, b, pieces + 1, NULL, 0);
	ring_kick(&r->ring, TX);
}

static unsigned used(struct rig *r, unsigned queue)
{
	uint32_t id, bytes;
	unsigned n = 0;

	while (ring_used(&r->ring, queue, &id, &bytes))
		n++;
	return n;
}

Test(net_card, config_and_features)
{
	struct rig *r = make(ALL);
	struct virtio_device *d = r->ring.d;

	cr_assert_eq(d->id, 1);
	cr_assert_arr_eq(d->config, "\x02\x00\x00\x00\x00\x01", 6);
	cr_assert_eq(d->config[6], 1, "the link is up");
	cr_assert(d->features_offered & NET_F_MRG_RXBUF);
	cr_assert_not(d->features_offered & (1ull << 14), "no UFO");
	cr_assert(net_listening(&r->cable.n));
	virtio_reset(d);
	cr_assert_not(net_listening(&r->cable.n), "what comes is for nobody");
	unmake(r);
}

Test(net_card, transmits_pieces_and_offloads)
{
	struct rig *r = make(ALL);
	struct frame_spec s = {.payload = 30000, .flags = 0x10};
	static uint8_t f[70000];
	uint32_t bytes = frame_make(&s, f, true);
	struct net_hdr h = frame_hdr(&s, 1448);

	for (unsigned pieces = 1; pieces < 60; pieces += 7) {
		transmit(r, &h, f, bytes, pieces);
		cr_assert_eq(r->cable.bytes, bytes);
		cr_assert_arr_eq(r->cable.last, f, bytes);
		cr_assert_eq(r->cable.h.gso_size, 1448);
	}
	cr_assert_eq(used(r, TX), 9);
	cr_assert_gt(r->ring.irqs, 0);
	unmake(r);
}

/* Many small descriptors: copied together, not cut short. */
Test(net_card, transmits_very_many_pieces)
{
	struct rig *r = make(ALL);
	struct ring_buf b[101];
	struct net_hdr h = {0};

	b[0] = (struct ring_buf){ring_alloc(&r->ring, HDR), HDR};
	memcpy(r->ring.mem + b[0].pa, &h, HDR);
	for (unsigned i = 1; i <= 100; i++) {
		b[i] = (struct ring_buf){ring_alloc(&r->ring, 64), 7};
		memset(r->ring.mem + b[i].pa, (int)i, 7);
	}
	ring_add(&r->ring, TX, b, 101, NULL, 0);
	ring_kick(&r->ring, TX);
	cr_assert_eq(r->cable.sent, 1);
	cr_assert_eq(r->cable.bytes, 700);
	cr_assert_eq(r->cable.pieces, 1);
	for (unsigned i = 0; i < 700; i++)
		cr_assert_eq(r->cable.last[i], i / 7 + 1);
	unmake(r);
}

/* Nonsense is used up, reported to nobody, and reaches no cable; the next good frame goes. */
Test(net_card, drops_hostile_requests)
{
	struct rig *r = make(ALL);
	struct frame_spec s = {.payload = 3000, .flags = 0x10};
	static uint8_t f[70000];
	uint32_t bytes = frame_make(&s, f, true);
	const struct net_hdr good = frame_hdr(&s, 1000), none = {0};
	struct net_hdr bad[6] = {good, good, good, good, good, good};
	struct ring_buf b;

	bad[0].gso_size = 0;
	bad[1].gso_type = 3;
	bad[2].csum_start = 65535;
	bad[3].csum_offset = 65535;
	bad[4].gso_type = NET_GSO_TCPV6;
	bad[5].flags = 0;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		transmit(r, &bad[i], f, bytes, 2);
	transmit(r, &none, f, 13, 1);
	transmit(r, &none, f, NET_MAX_FRAME_BYTES + 1, 1);
	for (uint32_t n = 1; n < HDR; n++) {
		b = (struct ring_buf){ring_alloc(&r->ring, HDR), n};
		ring_add(&r->ring, TX, &b, 1, NULL, 0);
	}
	ring_kick(&r->ring, TX);
	cr_assert_eq(r->cable.sent, 0);
	cr_assert_eq(used(r, TX), ARRAY_LEN(bad) + 2 + HDR - 1);
	cr_assert_eq(net_count(&r->cable.n).tx_bad, ARRAY_LEN(bad) + 2 + HDR - 1);
	transmit(r, &good, f, bytes, 2);
	cr_assert_eq(r->cable.sent, 1);
	unmake(r);
}

Test(net_card, refuses_offloads_not_negotiated)
{
	struct rig *r = make(NET_F_CSUM | NET_F_HOST_TSO4);
	struct frame_spec s = {.payload = 3000, .flags = 0x10}, s6 = {.v6 = true, .payload = 3000, .flags = 0x10};
	static uint8_t f[70000];
	struct net_hdr h = frame_hdr(&s, 1000);

	transmit(r, &h, f, frame_make(&s, f, true), 1);
	cr_assert_eq(r->cable.sent, 1);
	h.gso_type |= NET_GSO_ECN;
	transmit(r, &h, f, frame_make(&s, f, true), 1);
	h = frame_hdr(&s6, 1000);
	transmit(r, &h, f, frame_make(&s6, f, true), 1);
	cr_assert_eq(r->cable.sent, 1);
	unmake(r);
	r = make(0);
	h = frame_hdr(&s, 0);
	transmit(r, &h, f, frame_make(&s, f, true), 1);
	cr_assert_eq(r->cable.sent, 0);
	unmake(r);
}

/* A full cable: requests stay the guest's, in order, and go when it says so. */
Test(net_card, holds_back_when_the_cable_is_full)
{
	struct rig *r = make(ALL);
	struct net_hdr h = {0};
	uint8_t f[60] = {0};

	r->cable.full = true;
	for (f[20] = 0; f[20] < 5; f[20]++)
		transmit(r, &h, f, sizeof(f), 1);
	cr_assert_eq(used(r, TX), 0);
	net_wake_card(&r->cable.n);
	cr_assert(ring_poll(&r->ring), "still full");
	cr_assert_eq(used(r, TX), 0);
	r->cable.full = false;
	net_wake_card(&r->cable.n);
	cr_assert(ring_poll(&r->ring));
	cr_assert_eq(r->cable.sent, 5);
	cr_assert_eq(r->cable.last[20], 4);
	cr_assert_eq(used(r, TX), 5);
	/* A reset while one is held. */
	r->cable.full = true;
	transmit(r, &h, f, sizeof(f), 1);
	ring_start(&r->ring, ALL);
	r->cable.full = false;
	net_wake_card(&r->cable.n);
	cr_assert(ring_poll(&r->ring));
	cr_assert_eq(r->cable.sent, 5, "it is gone with the ring");
	unmake(r);
}

/* ---- reception ---- */

static void deliver(struct rig *r, const struct net_hdr *h, const uint8_t *f, uint32_t bytes)
{
	struct net_frame *to = net_ring_reserve(&r->cable.n.rx, bytes);

	cr_assert_not_null(to);
	memcpy(to->data, f, bytes);
	to->bytes = bytes;
	to->hdr = *h;
	net_deliver(&r->cable.n, to);
}

/* n receive buffers; their addresses are in order from the one returned on, `bytes` rounded up to 16 apart. */
static uint64_t give(struct rig *r, unsigned n, uint32_t bytes)
{
	uint64_t first = 0;

	for (unsigned i = 0; i < n; i++) {
		struct ring_buf b = {ring_alloc(&r->ring, bytes), bytes};

		first = first ? first : b.pa;
		ring_add(&r->ring, RX, NULL, 0, &b, 1);
	}
	return first;
}

Test(net_card, spreads_over_mergeable_buffers)
{
	struct rig *r = make(ALL);
	struct frame_spec s = {.payload = 5000, .flags = 0x10};
	static uint8_t f[70000], got[70000];
	uint32_t bytes = frame_make(&s, f, true), id, n, at = 0, count = 0;
	struct net_hdr h = frame_hdr(&s, 1000), *seen;
	uint64_t pa = give(r, 2, 1536);

	deliver(r, &h, f, bytes);
	ring_kick(&r->ring, RX);
	cr_assert_eq(used(r, RX), 0, "too few buffers: nothing is visible");
	give(r, 4, 1536);
	ring_kick(&r->ring, RX);
	for (; ring_used(&r->ring, RX, &id, &n); count++, at += n)
		memcpy(got + at, r->ring.mem + pa + 1536 * count, n);
	cr_assert_eq(count, 4);
	cr_assert_eq(at, HDR + bytes);
	seen = (struct net_hdr *)got;
	cr_assert_eq(seen->num_buffers, 4);
	cr_assert_eq(seen->gso_type, NET_GSO_TCPV4);
	cr_assert_eq(seen->gso_size, 1000);
	cr_assert_eq(seen->flags, NET_HDR_NEEDS_CSUM);
	cr_assert_arr_eq(got + HDR, f, bytes);
	/* Never enough: dropped, and the next one comes. */
	deliver(r, &h, f, bytes);
	deliver(r, &(struct net_hdr){0}, f, 60);
	ring_kick(&r->ring, RX);
	cr_assert_eq(used(r, RX), 0, "two are left, and more may come");
	unmake(r);
}

/* A guest without offloads gets checked, cut up frames, also when its buffers run out in between. */
Test(net_card, cuts_up_for_a_simple_guest)
{
	struct rig *r = make(0);
	struct frame_spec s = {.payload = 5000, .flags = 0x18, .seq = 77}, one = s;
	static uint8_t f[70000];
	uint32_t bytes = frame_make(&s, f, true), id, n, total = 0;
	struct net_hdr h = frame_hdr(&s, 1000);
	uint64_t pa = give(r, 3, 1536);

	deliver(r, &h, f, bytes);
	ring_kick(&r->ring, RX);
	for (unsigned i = 0; i < 5; i++) {
		const uint8_t *p;

		if (i == 3) {
			cr_assert_not(ring_used(&r->ring, RX, &id, &n));
			give(r, 4, 1536);
			ring_kick(&r->ring, RX);
		}
		cr_assert(ring_used(&r->ring, RX, &id, &n), "segment %u", i);
		cr_assert_eq(n, HDR + frame_headers(&s) + 1000);
		p = r->ring.mem + pa + 1536 * i;
		cr_assert_eq(p[0] | p[1], 0, "nothing is left to do");
		cr_assert_eq(p[10], 1, "one buffer");
		cr_assert(frame_right(&one, p + HDR, n - HDR));
		for (unsigned k = 0; k < 1000; k++)
			cr_assert_eq(p[HDR + frame_headers(&s) + k], frame_byte(77 + total + k));
		total += 1000;
	}
	/* Only the checksum; then one that fits no buffer, and one that does. */
	s.payload = 100;
	h = frame_hdr(&s, 0);
	deliver(r, &h, f, frame_make(&s, f, true));
	deliver(r, &(struct net_hdr){0}, f, 4000);
	deliver(r, &(struct net_hdr){0}, f, 60);
	ring_kick(&r->ring, RX);
	cr_assert(ring_used(&r->ring, RX, &id, &n));
	cr_assert(frame_right(&s, r->ring.mem + pa + 1536 * 5 + HDR, n - HDR));
	cr_assert(ring_used(&r->ring, RX, &id, &n));
	cr_assert_eq(n, HDR + 60, "the large one is lost");
	unmake(r);
}

Test(net_card, says_that_checksums_are_good)
{
	struct rig *r = make(ALL);
	uint8_t f[60] = {0};
	uint64_t pa = give(r, 2, 200);

	deliver(r, &(struct net_hdr){0}, f, 60);
	ring_kick(&r->ring, RX);
	cr_assert_eq(r->ring.mem[pa], 0);
	r->cable.n.checksums_good = true;
	deliver(r, &(struct net_hdr){0}, f, 60);
	ring_kick(&r->ring, RX);
	cr_assert_eq(r->ring.mem[pa + 208], NET_HDR_DATA_VALID);
	unmake(r);
}

Test(net_card, breaks_on_a_buffer_without_room_for_a_header)
{
	struct rig *r = make(ALL);
	uint8_t f[60] = {0};

	give(r, 1, 11);
	deliver(r, &(struct net_hdr){0}, f, 60);
	ring_kick(&r->ring, RX);
	cr_assert(r->ring.d->status & VIRTIO_NEEDS_RESET);
	ring_start(&r->ring, ALL);
	give(r, 1, 100);
	deliver(r, &(struct net_hdr){0}, f, 60);
	ring_kick(&r->ring, RX);
	cr_assert_eq(used(r, RX), 1, "a reset mends it");
	unmake(r);
}

/* ---- the control queue ---- */

/* The answer to a command: 0 or 1. */
static unsigned command(struct rig *r, unsigned class, unsigned cmd, const void *data, uint32_t bytes)
{
	struct ring_buf out[2] = {{ring_alloc(&r->ring, 2), 2}, {ring_alloc(&r->ring, bytes), bytes}};
	struct ring_buf in = {ring_alloc(&r->ring, 1), 1};

	r->ring.mem[out[0].pa] = (uint8_t) class;
	r->ring.mem[out[0].pa + 1] = (uint8_t)cmd;
	memcpy(r->ring.mem + out[1].pa, data, bytes);
	r->ring.mem[in.pa] = 0xaa;
	ring_add(&r->ring, CTRL, out, bytes ? 2 : 1, &in, 1);
	ring_kick(&r->ring, CTRL);
	cr_assert_eq(used(r, CTRL), 1);
	return r->ring.mem[in.pa];
}

/* Does a frame to this address reach the guest? */
static bool reaches(struct rig *r, const void *to, int vlan)
{
	uint8_t f[64] = {0};

	memcpy(f, to, 6);
	if (vlan >= 0) {
		frame_put16(f + 12, 0x8100);
		frame_put16(f + 14, 0xe000u | (unsigned)vlan);
	}
	give(r, 1, 128);
	deliver(r, &(struct net_hdr){0}, f, sizeof(f));
	ring_kick(&r->ring, RX);
	if (used(r, RX))
		return true;
	/* Use up the buffer. */
	cr_assert_null(net_rx_peek(&r->cable.n));
	return false;
}

static const uint8_t own[6] = {2, 0, 0, 0, 0, 1}, other[6] = {2, 0, 0, 0, 0, 9}, group[6] = {0x33, 0x33, 0, 0, 0, 1},
		     all[6] = {255, 255, 255, 255, 255, 255};

Test(net_card, filters_by_address)
{
	struct rig *r = make(ALL & ~NET_F_CTRL_VLAN);
	static const uint8_t table[] = {1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 1, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 1};
	static const uint8_t on = 1, off = 0;
	uint8_t many[4 + 100 * 6 + 4] = {100}, mac[6] = {2, 7, 7, 7, 7, 7};

	cr_assert(reaches(r, other, -1), "until the driver says otherwise, all");
	cr_assert_eq(command(r, 0, 0, &off, 1), 0);
	cr_assert(reaches(r, own, -1));
	cr_assert(reaches(r, all, -1));
	cr_assert_not(reaches(r, other, -1));
	cr_assert_not(reaches(r, group, -1));
	cr_assert_eq(command(r, 1, 0, table, sizeof(table)), 0);
	cr_assert(reaches(r, other, -1));
	cr_assert(reaches(r, group, -1));
	cr_assert_eq(command(r, 1, 0, "\0\0\0\0\0\0\0", 8), 0);
	cr_assert_not(reaches(r, other, -1));
	cr_assert_not(reaches(r, group, -1));
	cr_assert_eq(command(r, 0, 1, &on, 1), 0);
	cr_assert(reaches(r, group, -1), "all multicast");
	cr_assert_eq(command(r, 0, 3, &on, 1), 0);
	cr_assert_not(reaches(r, group, -1), "none");
	cr_assert_eq(command(r, 0, 5, &on, 1), 0);
	cr_assert_not(reaches(r, all, -1), "no broadcast");
	cr_assert_eq(command(r, 0, 2, &on, 1), 0);
	cr_assert(reaches(r, other, -1), "all unicast");
	cr_assert_eq(command(r, 0, 2, &off, 1), 0);
	cr_assert_eq(command(r, 1, 0, many, sizeof(many)), 0);
	cr_assert(reaches(r, other, -1), "more than fit are all");
	cr_assert_eq(command(r, 1, 0, table, sizeof(table)), 0);
	cr_assert_eq(command(r, 1, 1, mac, 6), 0);
	cr_assert(reaches(r, mac, -1));
	cr_assert_not(reaches(r, own, -1));
	cr_assert_eq(command(r, 0, 4, &on, 1), 0);
	cr_assert_not(reaches(r, mac, -1), "no unicast");
	cr_assert_eq(command(r, 0, 0, &on, 1), 0);
	cr_assert(reaches(r, own, -1), "promiscuous");
	unmake(r);
}

/* What the filter refuses takes its turns too: the guest comes to run in between, and its own frame comes. */
Test(net_card, refuses_in_turns)
{
	struct rig *r = make(ALL & ~NET_F_CTRL_VLAN);
	static const uint8_t off = 0;
	uint8_t f[60] = {0};
	unsigned turns = 1;

	cr_assert_eq(command(r, 0, 0, &off, 1), 0);
	memcpy(f, other, 6);
	for (unsigned i = 0; i < 3000; i++)
		deliver(r, &(struct net_hdr){0}, f, sizeof(f));
	memcpy(f, own, 6);
	deliver(r, &(struct net_hdr){0}, f, sizeof(f));
	give(r, 1, 128);
	for (ring_kick(&r->ring, RX); !used(r, RX); turns++)
		cr_assert(ring_poll(&r->ring), "it does not go on");
	cr_assert_geq(turns, 5);
	cr_assert_leq(turns, 7);
	unmake(r);
}

Test(net_card, filters_by_vlan)
{
	struct rig *r = make(ALL);

	cr_assert(reaches(r, own, -1), "untagged");
	cr_assert_not(reaches(r, own, 5));
	cr_assert_eq(command(r, 2, 0, "\x05", 2), 0);
	cr_assert(reaches(r, own, 5));
	cr_assert_not(reaches(r, own, 4));
	cr_assert_eq(command(r, 2, 0, "\xff\x0f", 2), 0);
	cr_assert(reaches(r, own, 4095));
	cr_assert_eq(command(r, 2, 1, "\x05", 2), 0);
	cr_assert_not(reaches(r, own, 5));
	cr_assert_eq(command(r, 2, 0, "\x00\x10", 2), 1, "4096 is none");
	unmake(r);
}

Test(net_card, switches_offloads)
{
	struct rig *r = make(ALL & ~NET_F_MRG_RXBUF);
	struct frame_spec s = {.payload = 2000, .flags = 0x10};
	static uint8_t f[70000];
	struct net_hdr h = frame_hdr(&s, 1000);
	uint64_t none = 0, too_much = NET_GUEST_OFFLOADS | NET_F_HOST_TSO4, rest = NET_GUEST_OFFLOADS;

	cr_assert_eq(command(r, 5, 0, &none, 8), 0);
	give(r, 2, 3000);
	deliver(r, &h, f, frame_make(&s, f, true));
	ring_kick(&r->ring, RX);
	cr_assert_eq(used(r, RX), 2, "cut up");
	cr_assert_eq(command(r, 5, 0, &too_much, 8), 1);
	cr_assert_eq(command(r, 5, 1, &rest, 8), 1);
	cr_assert_eq(command(r, 5, 0, &rest, 7), 1);
	cr_assert_eq(command(r, 5, 0, &rest, 8), 0);
	give(r, 1, 3000);
	deliver(r, &h, f, frame_make(&s, f, true));
	ring_kick(&r->ring, RX);
	cr_assert_eq(used(r, RX), 1, "whole");
	unmake(r);
}

Test(net_card, refuses_bad_commands)
{
	struct rig *r = make(ALL);
	static const uint8_t lies[][8] = {{0xff, 0xff, 0xff, 0xff}, {1, 0, 0, 0, 2, 0, 0, 0}, {0, 0, 0, 0, 1, 0, 0, 0}};
	struct ring_buf out = {ring_alloc(&r->ring, 2), 2};

	for (unsigned class = 0; class < 256; class += class < 8 ? 1 : 31)
		for (unsigned cmd = 6; cmd < 256; cmd += 50)
			cr_assert_eq(command(r, class, cmd, "\1\0\0\0\0\0\0", 8), 1, "class %u, command %u", class,
				     cmd);
	for (unsigned class = 0; class < 6; class ++)
		cr_assert_eq(command(r, class, 0, "", 0), 1, "class %u without data", class);
	for (unsigned i = 0; i < 3; i++)
		for (uint32_t n = 1; n <= 8; n++)
			cr_assert_eq(command(r, 1, 0, lies[i], n), 1);
	/* No room for the answer. */
	ring_add(&r->ring, CTRL, &out, 1, NULL, 0);
	ring_kick(&r->ring, CTRL);
	cr_assert(r->ring.d->status & VIRTIO_NEEDS_RESET);
	unmake(r);
	r = make(NET_F_CTRL_VQ);
	cr_assert_eq(command(r, 0, 0, "\1", 1), 1, "not negotiated");
	cr_assert_eq(command(r, 1, 1, "\2\0\0\0\0\1", 6), 1);
	cr_assert_eq(command(r, 2, 0, "\1", 2), 1);
	cr_assert_eq(command(r, 5, 0, "\0\0\0\0\0\0\0", 8), 1);
	unmake(r);
}
