/* SPDX-License-Identifier: MIT */
/* Cards of hand-made machines on one lan: from one's transmit ring into the other's receive buffers. */
#include "pv-drivers/virtio/devices.h"

#include <criterion/criterion.h>

#include "pv-drivers/net/net_card.h"
#include "pv-drivers/net/net_switch.h"
#include "tests/unit/pv_net_frames.h"
#include "tests/unit/pv_ring.h"

enum { RX = 0, TX = 1, MEM = 8 << 20, HDR = 12, PAGE = 4096 };
#define ALL (~(VIRTIO_F_EVENT_IDX))

struct machine {
	struct net *net;
	struct ring_rig ring;
	uint8_t mac[6];
	uint64_t buffers; /* where the receive buffers begin, one after the other */
	uint32_t buffer_bytes, taken;
};

static struct machine *make(struct net_switch *sw, unsigned number, uint16_t mtu, uint64_t features)
{
	struct net_config cfg = {.kind = NET_LAN, .net_switch = sw, .machine = number, .mtu = mtu};
	struct machine *m = calloc(1, sizeof(*m));
	struct virtio_device *d;
	struct net_error err;

	cr_assert_eq(net_open(&m->net, &cfg, &err), 0, "%s", err.text);
	cr_assert_eq(virtio_net_new(&d, m->net, "net test"), 0);
	ring_init(&m->ring, d, MEM, true);
	ring_start(&m->ring, features);
	net_mac(m->net, m->mac);
	return m;
}

static void unmake(struct machine *m)
{
	ring_free(&m->ring);
	net_close(m->net);
	free(m);
}

static void give(struct machine *m, unsigned n, uint32_t bytes)
{
	m->buffer_bytes = (bytes + 15) & ~15u;
	m->taken = 0;
	for (unsigned i = 0; i < n; i++) {
		struct ring_buf b = {ring_alloc(&m->ring, bytes), bytes};

		m->buffers = i ? m->buffers : b.pa;
		ring_add(&m->ring, RX, NULL, 0, &b, 1);
	}
	ring_kick(&m->ring, RX);
}

static void transmit(struct machine *m, const struct net_hdr *h, const uint8_t *f, uint32_t bytes)
{
	struct ring_buf b[2] = {{ring_alloc(&m->ring, HDR), HDR}, {ring_alloc(&m->ring, bytes), bytes}};

	memcpy(m->ring.mem + b[0].pa, h, HDR);
	memcpy(m->ring.mem + b[1].pa, f, bytes);
	ring_add(&m->ring, TX, b, 2, NULL, 0);
	ring_kick(&m->ring, TX);
}

/* The next frame with its header, put together from buffers; its bytes, 0: none. */
static uint32_t take(struct machine *m, uint8_t *out)
{
	uint32_t id, n, at = 0, buffers = 1;
	struct net_hdr h;

	for (uint32_t i = 0; i < buffers; i++) {
		if (!ring_used(&m->ring, RX, &id, &n))
			return 0;
		memcpy(out + at, m->ring.mem + m->buffers + (uint64_t)m->buffer_bytes * m->taken++, n);
		at += n;
		memcpy(&h, out, HDR);
		buffers = h.num_buffers;
	}
	return at;
}

Test(net_lan_card, large_segments_pass)
{
	struct net_switch *sw;
	struct frame_spec s = {.payload = 60000, .flags = 0x18, .seq = 5};
	static uint8_t f[NET_MAX_FRAME_BYTES], got[HDR + NET_MAX_FRAME_BYTES];
	struct net_hdr h = frame_hdr(&s, 1448), seen;
	uint32_t bytes = frame_make(&s, f, true);
	struct machine *a, *b;
	struct net_counters n;

	cr_assert_eq(net_switch_new(&sw, NULL), 0);
	a = make(sw, 0, 65535, ALL);
	b = make(sw, 1, 65535, ALL);
	cr_assert(b->ring.d->features & NET_F_MTU);
	cr_assert_arr_eq(b->ring.d->config + 10, "\xff\xff", 2);
	cr_assert_arr_eq(b->ring.d->config, b->mac, 6);
	memcpy(f, b->mac, 6);
	memcpy(f + 6, a->mac, 6);
	give(b, 40, PAGE);
	transmit(a, &h, f, bytes);
	cr_assert(ring_poll(&b->ring), "it is woken");
	cr_assert_eq(take(b, got), HDR + bytes);
	memcpy(&seen, got, HDR);
	cr_assert_eq(seen.gso_size, 1448, "nobody has cut it up");
	cr_assert_eq(seen.flags, NET_HDR_NEEDS_CSUM, "nor computed a checksum");
	cr_assert_arr_eq(got + HDR, f, bytes);
	/* No segment, but one frame of 64 KiB. */
	memset(f + 14, 0x11, sizeof(f) - 14);
	transmit(a, &(struct net_hdr){0}, f, NET_MAX_FRAME_BYTES - 8);
	cr_assert(ring_poll(&b->ring));
	cr_assert_eq(take(b, got), HDR + NET_MAX_FRAME_BYTES - 8);
	cr_assert_arr_eq(got + HDR, f, NET_MAX_FRAME_BYTES - 8);
	cr_assert(virtio_net_count(a->ring.d, &n));
	cr_assert_eq(n.tx_frames, 2);
	cr_assert_eq(n.tx_bytes, bytes + NET_MAX_FRAME_BYTES - 8);
	cr_assert_eq(n.copied_bytes, n.tx_bytes);
	cr_assert_eq(n.rx_frames, 0);
	cr_assert(virtio_net_count(b->ring.d, &n));
	cr_assert_eq(n.rx_frames, 2);
	cr_assert_eq(n.rx_bytes, bytes + NET_MAX_FRAME_BYTES - 8);
	cr_assert_eq(n.copied_bytes, n.rx_bytes);
	unmake(a);
	unmake(b);
	net_switch_free(sw);
}

/* Of a broadcast each gets what it takes: one the large segment, one its pieces. */
Test(net_lan_card, each_as_it_takes_it)
{
	struct net_switch *sw;
	struct frame_spec s = {.payload = 5000, .flags = 0x18, .seq = 77};
	static uint8_t f[70000], got[70000];
	struct net_hdr h = frame_hdr(&s, 1000);
	uint32_t bytes = frame_make(&s, f, true);
	struct machine *a, *large, *simple, *tiny;
	struct net_counters n;

	cr_assert_eq(net_switch_new(&sw, NULL), 0);
	a = make(sw, 0, 1500, ALL);
	large = make(sw, 1, 1500, ALL);
	simple = make(sw, 2, 1500, 0);
	tiny = make(sw, 3, 1500, ALL & ~NET_F_MRG_RXBUF);
	memset(f, 0xff, 6);
	memcpy(f + 6, a->mac, 6);
	give(large, 4, 2048);
	give(simple, 8, 1536);
	give(tiny, 2, 1536);
	transmit(a, &h, f, bytes);
	cr_assert(ring_poll(&large->ring));
	cr_assert(ring_poll(&simple->ring));
	cr_assert(ring_poll(&tiny->ring));
	cr_assert_eq(take(large, got), HDR + bytes);
	cr_assert_arr_eq(got + HDR, f, bytes);
	for (unsigned i = 0; i < 5; i++) {
		struct frame_spec one = s;

		cr_assert_eq(take(simple, got), HDR + frame_headers(&s) + 1000, "piece %u", i);
		cr_assert_eq(got[0] | got[1], 0);
		cr_assert(frame_right(&one, got + HDR, frame_headers(&s) + 1000), "piece %u", i);
	}
	cr_assert_eq(take(simple, got), 0);
	cr_assert_eq(take(tiny, got), 0);
	cr_assert(virtio_net_count(tiny->ring.d, &n));
	cr_assert_eq(n.rx_too_long, 1, "lost, and said");
	unmake(a);
	unmake(large);
	unmake(simple);
	unmake(tiny);
	net_switch_free(sw);
}

/* A machine without buffers keeps nobody from sending, and gets what fits of what came meanwhile. */
Test(net_lan_card, without_buffers)
{
	struct net_switch *sw;
	struct machine *a, *b;
	static uint8_t f[2000], got[4000];
	struct net_counters n;
	uint32_t id, bytes, sent = 0, came = 0;

	cr_assert_eq(net_switch_new(&sw, NULL), 0);
	a = make(sw, 0, 65535, ALL);
	b = make(sw, 1, 65535, ALL);
	memcpy(f, b->mac, 6);
	memcpy(f + 6, a->mac, 6);
	for (; sent < 3000; sent++) {
		transmit(a, &(struct net_hdr){0}, f, sizeof(f));
		cr_assert(ring_used(&a->ring, TX, &id, &bytes), "frame %u: it waits", sent);
		a->ring.next = ring_queue_base(VIRTIO_MAX_QUEUES);
	}
	cr_assert(virtio_net_count(b->ring.d, &n));
	cr_assert_gt(n.rx_no_room, 1000);
	cr_assert(ring_poll(&b->ring));
	for (;; came++) {
		give(b, 1, 4000);
		if (!take(b, got))
			break;
	}
	cr_assert_eq(came + n.rx_no_room, sent);
	unmake(a);
	unmake(b);
	net_switch_free(sw);
}
