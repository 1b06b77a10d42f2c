/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_PV_NET_FRAMES_H
#define TESTS_UNIT_PV_NET_FRAMES_H

/* Frames for the tests of the network, and a checksum that is computed another way than the one under test. */
#include <stdint.h>
#include <string.h>

#include "pv-drivers/net/net_offload.h"

static inline void frame_put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static inline unsigned frame_get16(const uint8_t *p) { return (unsigned)p[0] << 8 | p[1]; }
static inline void frame_put32(uint8_t *p, uint32_t v)
{
	frame_put16(p, v >> 16);
	frame_put16(p + 2, v & 0xffff);
}
static inline uint32_t frame_get32(const uint8_t *p) { return (uint32_t)frame_get16(p) << 16 | frame_get16(p + 2); }

/* RFC 1071, word by word in network order. */
static inline uint32_t frame_sum(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

struct frame_spec {
	bool v6, vlan;
	unsigned payload, ip_options, tcp_options; /* bytes */
	uint8_t flags;
	uint32_t seq, ack;
	uint16_t sport, window;
};

/* Offsets in a frame made from a spec. */
static inline unsigned frame_l3(const struct frame_spec *s) { return 14 + (s->vlan ? 4 : 0); }
static inline unsigned frame_l4(const struct frame_spec *s) { return frame_l3(s) + (s->v6 ? 40 : 20) + s->ip_options; }
static inline unsigned frame_headers(const struct frame_spec *s) { return frame_l4(s) + 20 + s->tcp_options; }

static inline uint32_t frame_pseudo(const struct frame_spec *s, const uint8_t *f, unsigned l4_bytes)
{
	const uint8_t *ip = f + frame_l3(s);

	return frame_sum(6 + l4_bytes, s->v6 ? ip + 8 : ip + 12, s->v6 ? 32 : 8);
}

/* Is a frame of the spec's shape as a receiver wants it: lengths and both checksums right? */
static inline bool frame_right(const struct frame_spec *s, const uint8_t *f, unsigned bytes)
{
	unsigned l3 = frame_l3(s), l4 = frame_l4(s);
	bool ok = frame_sum(frame_pseudo(s, f, bytes - l4), f + l4, bytes - l4) == 0xffff;

	if (s->v6)
		return ok && frame_get16(f + l3 + 4) == bytes - l3 - 40;
	return ok && frame_get16(f + l3 + 2) == bytes - l3 && frame_sum(0, f + l3, 20 + s->ip_options) == 0xffff;
}

/* What a payload has at byte i of the stream. */
static inline uint8_t frame_byte(uint32_t i) { return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16)); }

/* Returns its bytes.  partial: the TCP checksum is left at the pseudo header's sum, as a driver that offloads does. */
static inline unsigned frame_make(const struct frame_spec *s, uint8_t *f, bool partial)
{
	unsigned l3 = frame_l3(s), l4 = frame_l4(s), head = frame_headers(s), bytes = head + s->payload;

	memset(f, 0, head);
	memcpy(f, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02", 12);
	if (s->vlan) {
		frame_put16(f + 12, 0x8100);
		frame_put16(f + 14, 5);
	}
	frame_put16(f + l3 - 2, s->v6 ? 0x86dd : 0x0800);
	if (s->v6) {
		f[l3] = 0x60;
		frame_put16(f + l3 + 4, bytes - l3 - 40);
		f[l3 + 6] = 6;
		f[l3 + 7] = 64;
		memset(f + l3 + 8, 0xa1, 16);
		memset(f + l3 + 24, 0xb2, 16);
	} else {
		f[l3] = (uint8_t)(0x45 + s->ip_options / 4);
		frame_put16(f + l3 + 2, bytes - l3);
		frame_put16(f + l3 + 4, 0x1234);
		f[l3 + 6] = 0x40;
		f[l3 + 8] = 64;
		f[l3 + 9] = 6;
		memcpy(f + l3 + 12, "\x0a\x00\x02\x0f\x0a\x00\x02\x02", 8);
		memset(f + l3 + 20, 1, s->ip_options);
		frame_put16(f + l3 + 10, 0xffff & ~frame_sum(0, f + l3, 20 + s->ip_options));
	}
	frame_put16(f + l4, s->sport);
	frame_put16(f + l4 + 2, 80);
	frame_put32(f + l4 + 4, s->seq);
	frame_put32(f + l4 + 8, s->ack);
	f[l4 + 12] = (uint8_t)((5 + s->tcp_options / 4) << 4);
	f[l4 + 13] = s->flags;
	frame_put16(f + l4 + 14, s->window);
	memset(f + l4 + 20, 1, s->tcp_options);
	for (unsigned i = 0; i < s->payload; i++)
		f[head + i] = frame_byte(s->seq + i);
	frame_put16(f + l4 + 16, partial ? frame_pseudo(s, f, bytes - l4)
					 : 0xffff & ~frame_sum(frame_pseudo(s, f, bytes - l4), f + l4, bytes - l4));
	return bytes;
}

/* The header that goes with a partial frame to be cut into segments of gso payload bytes; 0: only the checksum. */
static inline struct net_hdr frame_hdr(const struct frame_spec *s, unsigned gso)
{
	return (struct net_hdr){.flags = NET_HDR_NEEDS_CSUM,
				.gso_type = !gso    ? NET_GSO_NONE
					    : s->v6 ? NET_GSO_TCPV6
						    : NET_GSO_TCPV4,
				.hdr_len = (uint16_t)frame_headers(s),
				.gso_size = (uint16_t)gso,
				.csum_start = (uint16_t)frame_l4(s),
				.csum_offset = 16};
}

#endif
