/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/pv_net_frames.h"

enum { ACK = 0x10, PSH = 0x08, FIN = 0x01, SYN = 0x02, CWR = 0x80 };

static const struct frame_spec shapes[] = {
    {.payload = 5000, .flags = ACK, .seq = 1000, .sport = 4000},
    {.payload = 5000, .flags = ACK | PSH, .seq = 0xfffffff0, .sport = 4000, .tcp_options = 12},
    {.payload = 4380, .flags = ACK | FIN | CWR, .seq = 7, .ip_options = 8},
    {.v6 = true, .payload = 9999, .flags = ACK | PSH, .seq = 1, .tcp_options = 12},
    {.v6 = true, .vlan = true, .payload = 1, .flags = ACK},
    {.vlan = true, .payload = 65535 - 20 - 32, .tcp_options = 12, .flags = ACK | PSH, .seq = 99},
};

static uint64_t random_next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

Test(net_offload, sum_is_rfc1071_at_every_length_and_offset)
{
	uint8_t buf[300];
	uint64_t seed = 1;

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)random_next(&seed);
	for (size_t at = 0; at < 9; at++)
		for (size_t n = 0; n + at <= sizeof(buf); n++) {
			uint16_t got = net_sum(buf + at, n);
			uint32_t want = frame_sum(0, buf + at, n);

			cr_assert_eq(frame_get16((uint8_t *)&got) % 0xffff, want % 0xffff, "%zu bytes at %zu", n, at);
		}
	memset(buf, 0xff, sizeof(buf));
	cr_assert_eq(net_sum(buf, 256), 0xffff);
}

Test(net_offload, completes_a_checksum)
{
	uint8_t *f = malloc(70000);

	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		unsigned bytes = frame_make(&shapes[i], f, true);
		struct net_hdr h = frame_hdr(&shapes[i], 0);

		cr_assert_eq(net_hdr_check(&h, f, bytes), 0);
		cr_assert_not(frame_right(&shapes[i], f, bytes));
		net_csum_complete(&h, f, bytes);
		cr_assert(frame_right(&shapes[i], f, bytes), "shape %zu", i);
		cr_assert_eq(h.flags, 0);
		/* A second time does nothing. */
		net_csum_complete(&h, f, bytes);
		cr_assert(frame_right(&shapes[i], f, bytes));
		/* As one large segment, whatever the driver left in the field and in the length. */
		bytes = frame_make(&shapes[i], f, true);
		h = frame_hdr(&shapes[i], 1000);
		f[frame_l4(&shapes[i]) + 16] ^= 0x5a;
		cr_assert_eq(net_hdr_check(&h, f, bytes), 0);
		net_csum_complete(&h, f, bytes);
		cr_assert(frame_right(&shapes[i], f, bytes), "shape %zu, large", i);
	}
	free(f);
}

struct cut {
	const struct frame_spec *s;
	unsigned gso, count, total, stop_after;
	bool last_seen;
};

static bool on_segment(void *opaque, const uint8_t *f, uint32_t bytes)
{
	struct cut *c = opaque;
	unsigned head = frame_headers(c->s), l4 = frame_l4(c->s), n = bytes - head;
	bool last = c->total + n == c->s->payload;
	uint8_t flags = c->s->flags;

	cr_assert_not(c->last_seen, "nothing comes after the last");
	cr_assert(frame_right(c->s, f, bytes), "segment %u", c->count);
	cr_assert(last ? n <= c->gso : n == c->gso);
	cr_assert_eq(frame_get32(f + l4 + 4), c->s->seq + c->total);
	if (!last)
		flags &= (uint8_t) ~(FIN | PSH);
	if (c->count)
		flags &= (uint8_t)~CWR;
	cr_assert_eq(f[l4 + 13], flags);
	if (!c->s->v6)
		cr_assert_eq(frame_get16(f + frame_l3(c->s) + 4), 0x1234 + c->count);
	for (unsigned i = 0; i < n; i++)
		cr_assert_eq(f[head + i], frame_byte(c->s->seq + c->total + i));
	c->total += n;
	c->count++;
	c->last_seen = last;
	return c->count != c->stop_after;
}

Test(net_offload, cuts_segments)
{
	static const unsigned sizes[] = {8, 536, 1448, 1460, 8960, 65535};
	uint8_t *f = malloc(70000), *scratch = malloc(NET_HEAD_BYTES + 65535);

	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
			struct cut c = {.s = &shapes[i], .gso = sizes[k]};
			unsigned bytes = frame_make(&shapes[i], f, true);
			struct net_hdr h = frame_hdr(&shapes[i], sizes[k]);

			cr_assert_eq(net_hdr_check(&h, f, bytes), 0, "shape %zu", i);
			cr_assert(net_segment(&h, f, bytes, scratch, on_segment, &c));
			cr_assert_eq(c.total, shapes[i].payload);
			cr_assert_eq(c.count, (shapes[i].payload + sizes[k] - 1) / sizes[k]);
			c = (struct cut){.s = &shapes[i], .gso = sizes[k], .stop_after = 1};
			cr_assert_eq(net_segment(&h, f, bytes, scratch, on_segment, &c), false, "stops when told");
			cr_assert_eq(c.count, 1);
		}
	free(f);
	free(scratch);
}

/* Each field of the header by itself made to lie. */
Test(net_offload, refuses_headers_that_lie)
{
	const struct frame_spec s = {.payload = 3000, .flags = ACK};
	uint8_t f[4096];
	unsigned bytes = frame_make(&s, f, true);
	struct net_hdr h, good = frame_hdr(&s, 1000);

#define LIES(field, value)                                                                                             \
	do {                                                                                                           \
		h = good;                                                                                              \
		h.field = (value);                                                                                     \
		cr_assert_eq(net_hdr_check(&h, f, bytes), -EINVAL, #field " = " #value);                               \
	} while (0)
	LIES(gso_type, 2);
	LIES(gso_type, 3);
	LIES(gso_type, NET_GSO_TCPV6);
	LIES(gso_type, 0x7f);
	LIES(gso_size, 0);
	LIES(gso_size, 7);
	LIES(csum_start, 0);
	LIES(csum_start, 33);
	LIES(csum_start, 35);
	LIES(csum_start, (uint16_t)(bytes - 17));
	LIES(csum_start, 65535);
	LIES(csum_offset, 6);
	LIES(csum_offset, 65535);
	LIES(flags, 0);
#undef LIES
	/* What says nothing is made normal: hdr_len is not believed (5.1.6.2.2). */
	h = good;
	h.hdr_len = 65535;
	h.flags |= 0xf2;
	h.num_buffers = 77;
	cr_assert_eq(net_hdr_check(&h, f, bytes), 0);
	cr_assert_eq(h.hdr_len, 54);
	cr_assert_eq(h.flags, NET_HDR_NEEDS_CSUM);
	cr_assert_eq(h.num_buffers, 0);
	h = (struct net_hdr){.csum_start = 65535, .csum_offset = 65535, .gso_size = 1};
	cr_assert_eq(net_hdr_check(&h, f, bytes), 0);
	cr_assert_eq(h.csum_start | h.gso_size, 0);
	h = (struct net_hdr){.flags = NET_HDR_NEEDS_CSUM, .csum_start = 14, .csum_offset = (uint16_t)(bytes - 16)};
	cr_assert_eq(net_hdr_check(&h, f, bytes), 0, "the last two bytes");
	h.csum_offset++;
	cr_assert_eq(net_hdr_check(&h, f, bytes), -EINVAL);
}

Test(net_offload, refuses_frames_that_lie)
{
	const struct frame_spec s = {.payload = 3000, .flags = ACK}, s6 = {.v6 = true, .payload = 3000, .flags = ACK};
	uint8_t f[4096];
	struct net_hdr h;
	unsigned bytes;

	for (unsigned n = 0; n < frame_headers(&s); n++) {
		bytes = frame_make(&s, f, true);
		h = frame_hdr(&s, 1000);
		cr_assert_eq(net_hdr_check(&h, f, n), -EINVAL, "cut off after %u bytes", n);
	}
#define LIES(spec, at, value)                                                                                          \
	do {                                                                                                           \
		bytes = frame_make(&(spec), f, true);                                                                  \
		h = frame_hdr(&(spec), 1000);                                                                          \
		f[at] = (value);                                                                                       \
		cr_assert_eq(net_hdr_check(&h, f, bytes), -EINVAL, "byte %d", at);                                     \
	} while (0)
	LIES(s, 12, 0x86);           /* another protocol */
	LIES(s, 14, 0x65);           /* version */
	LIES(s, 14, 0x44);           /* header too short */
	LIES(s, 14, 0x4f);           /* TCP elsewhere than csum_start says */
	LIES(s, 14 + 6, 0x20);       /* a fragment */
	LIES(s, 14 + 7, 1);          /* a fragment */
	LIES(s, 14 + 9, 17);         /* UDP */
	LIES(s, 14 + 20 + 12, 0x40); /* TCP header too short */
	LIES(s6, 14, 0x45);
	LIES(s6, 14 + 6, 17);
	LIES(s6, 14 + 6, 44); /* a fragment header */
	LIES(s6, 14 + 6, 0);  /* an option header that leads elsewhere */
#undef LIES
}

static bool on_any(void *opaque, const uint8_t *f, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i += 64)
		*(uint64_t *)opaque += f[i];
	return bytes > 0;
}

/* Random bytes, mostly plausible: nothing outside of the frame is touched (the frame ends where its memory does). */
Test(net_offload, survives_nonsense)
{
	uint64_t seed = 12345;
	uint8_t *scratch = malloc(NET_HEAD_BYTES + 65535);
	unsigned accepted = 0;

	for (int round = 0; round < 20000; round++) {
		uint64_t r = random_next(&seed);
		struct frame_spec s = {.v6 = r & 1,
				       .vlan = r >> 1 & 1,
				       .payload = r >> 8 & 1023,
				       .flags = ACK,
				       .tcp_options = (r >> 2 & 3) * 4};
		unsigned whole = frame_headers(&s) + s.payload;
		uint8_t *big = malloc(whole), *f;
		unsigned bytes = whole - (r >> 20 & 7 ? 0 : (unsigned)(r >> 24) % whole);
		struct net_hdr h = frame_hdr(&s, r >> 5 & 1 ? 8 + (r >> 40 & 255) : 0);

		frame_make(&s, big, true);
		for (unsigned i = r >> 60; i > 8; i--)
			big[random_next(&seed) % 80 % whole] = (uint8_t)random_next(&seed);
		for (unsigned i = r >> 56 & 3; i > 2; i--)
			((uint8_t *)&h)[random_next(&seed) % sizeof(h)] = (uint8_t)random_next(&seed);
		f = malloc(bytes ? bytes : 1);
		memcpy(f, big, bytes);
		if (net_hdr_check(&h, f, bytes) == 0) {
			accepted++;
			if (h.gso_type)
				net_segment(&h, f, bytes, scratch, on_any, &seed);
			net_csum_complete(&h, f, bytes);
		}
		free(f);
		free(big);
	}
	cr_assert_gt(accepted, 5000);
	free(scratch);
}

/* ---- putting together ---- */

struct gro_rig {
	struct net n;
	struct net_gro g;
};

static struct gro_rig *gro_make(void)
{
	static const struct net_ops ops = {0};
	struct gro_rig *r = calloc(1, sizeof(*r));
	struct net_config cfg = {.has_mac = true};

	cr_assert_eq(net_init(&r->n, &cfg, &ops, NET_RX_RING_BYTES), 0);
	return r;
}

static void gro_free(struct gro_rig *r)
{
	cr_assert_null(net_rx_peek(&r->n), "nothing is left over");
	net_fini(&r->n);
	free(r);
}

static void gro_put(struct gro_rig *r, const struct frame_spec *s)
{
	uint8_t f[2048];

	net_gro_add(&r->g, &r->n, f, frame_make(s, f, false));
}

/* The next frame delivered is the spec's, whole; count: of so many segments. */
static void gro_expect(struct gro_rig *r, const struct frame_spec *s, unsigned segment)
{
	struct net_frame *f = net_rx_peek(&r->n);
	unsigned head = frame_headers(s);

	cr_assert_not_null(f);
	cr_assert_eq(f->bytes, head + s->payload);
	if (segment) {
		cr_assert_eq(f->hdr.gso_type, s->v6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4);
		cr_assert_eq(f->hdr.gso_size, segment);
		cr_assert_eq(net_hdr_check(&f->hdr, f->data, f->bytes), 0, "what is made here is right");
		/* A partial checksum: the pseudo header's sum is in the field. */
		cr_assert_eq(frame_get16(f->data + frame_l4(s) + 16), frame_pseudo(s, f->data, f->bytes - frame_l4(s)));
		net_csum_complete(&f->hdr, f->data, f->bytes);
	} else {
		cr_assert_eq(f->hdr.gso_type, NET_GSO_NONE);
	}
	cr_assert(frame_right(s, f->data, f->bytes));
	cr_assert_eq(f->data[frame_l4(s) + 13], s->flags);
	cr_assert_eq(frame_get16(f->data + frame_l4(s) + 14), s->window);
	for (unsigned i = 0; i < s->payload; i++)
		cr_assert_eq(f->data[head + i], frame_byte(s->seq + i));
	net_rx_pop(&r->n);
}

Test(net_offload, puts_segments_together)
{
	struct gro_rig *r = gro_make();

	for (int v6 = 0; v6 < 2; v6++) {
		struct frame_spec s = {
		    .v6 = v6, .payload = 1460, .flags = ACK, .seq = 0xfffff000, .ack = 5, .window = 100};
		struct frame_spec whole = s;

		for (int i = 0; i < 10; i++, s.seq += 1460, s.window++)
			gro_put(r, &s);
		s.payload = 200;
		s.flags |= PSH;
		gro_put(r, &s);
		/* The short one ends it, without a flush. */
		whole.payload = 14800;
		whole.flags = s.flags;
		whole.window = s.window;
		gro_expect(r, &whole, 1460);
		cr_assert_null(r->g.f);
		/* One alone stays as it is. */
		s = (struct frame_spec){.v6 = v6, .payload = 900, .flags = ACK};
		gro_put(r, &s);
		cr_assert_null(net_rx_peek(&r->n));
		net_gro_flush(&r->g, &r->n);
		gro_expect(r, &s, 0);
	}
	gro_free(r);
}

Test(net_offload, never_exceeds_an_ip_packet)
{
	struct gro_rig *r = gro_make();
	struct frame_spec s = {.payload = 1460, .flags = ACK}, whole = s;
	unsigned most = (65535 - 40) / 1460;

	for (unsigned i = 0; i < most + 1; i++, s.seq += 1460)
		gro_put(r, &s);
	whole.payload = most * 1460;
	gro_expect(r, &whole, 1460);
	net_gro_flush(&r->g, &r->n);
	s.seq -= 1460;
	gro_expect(r, &s, 0);
	gro_free(r);
}

/* Each difference that a receiver could see keeps two segments apart. */
Test(net_offload, keeps_apart_what_does_not_belong_together)
{
	struct gro_rig *r = gro_make();
	const struct frame_spec first = {.payload = 100, .flags = ACK, .seq = 50, .ack = 9, .sport = 1};
	const struct frame_spec next = {.payload = 100, .flags = ACK, .seq = 150, .ack = 9, .sport = 1};
	struct frame_spec other[] = {next, next, next, next, next, next, next, next, next};

	other[0].seq++;
	other[1].ack++;
	other[2].sport++;
	other[3].flags |= FIN;
	other[4].payload = 101;
	other[5].tcp_options = 4;
	other[6].vlan = true;
	other[7].v6 = true;
	other[8].payload = 0;
	for (size_t i = 0; i < ARRAY_LEN(other); i++) {
		gro_put(r, &first);
		gro_put(r, &other[i]);
		net_gro_flush(&r->g, &r->n);
		gro_expect(r, &first, 0);
		gro_expect(r, &other[i], 0);
	}
	gro_put(r, &first);
	gro_put(r, &next);
	net_gro_flush(&r->g, &r->n);
	gro_expect(r, &(struct frame_spec){.payload = 200, .flags = ACK, .seq = 50, .ack = 9, .sport = 1}, 100);
	gro_free(r);
}
