/* SPDX-License-Identifier: MIT */
#include "pv-drivers/net/net_offload.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

enum {
	ETH_IPV4 = 0x0800,
	ETH_VLAN = 0x8100,
	ETH_QINQ = 0x88a8,
	ETH_IPV6 = 0x86dd,
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	TCP_BYTES = 20,
	UDP_BYTES = 8,
	TCP_CSUM = 16,
	TCP_FLAGS = 13,
	TCP_FIN = 0x01,
	TCP_PSH = 0x08,
	TCP_CWR = 0x80,
};

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }
static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

static uint16_t fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Whole 32-bit words into a 64-bit sum: it cannot overflow below 16 GiB, and gcc makes vectors of it. */
uint16_t net_sum(const uint8_t *p, size_t n)
{
	uint64_t sum = 0;
	uint32_t word, last = 0;

	for (; n >= sizeof(word); n -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum += word;
	}
	memcpy(&last, p, n);
	return fold(sum + last);
}

/* To where TCP begins, past the extension headers that may stand in a segment. */
static bool skip_ipv6(uint32_t *off, const uint8_t *head, uint32_t have)
{
	uint8_t next;
	uint32_t at = *off;

	if (at + IPV6_BYTES > have || head[at] >> 4 != 6)
		return false;
	next = head[at + 6];
	at += IPV6_BYTES;
	while (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS) {
		if (at + 8 > have)
			return false;
		next = head[at];
		at += 8 + 8u * head[at + 1];
	}
	*off = at;
	return next == IPPROTO_TCP && at <= have;
}

static bool skip_ipv4(uint32_t *off, const uint8_t *head, uint32_t have)
{
	uint32_t at = *off, n;

	if (at + IPV4_BYTES > have || head[at] >> 4 != 4)
		return false;
	n = (head[at] & 15) * 4u;
	if (n < IPV4_BYTES || head[at + 9] != IPPROTO_TCP || get16(head + at + 6) & 0x3fff)
		return false;
	*off = at + n;
	return *off <= have;
}

bool net_tcp_parse(struct net_tcp *t, const uint8_t *head, uint32_t have, uint32_t bytes)
{
	uint32_t off = NET_ETH_BYTES, n;
	uint16_t type;

	if (have < NET_ETH_BYTES)
		return false;
	type = get16(head + 12);
	for (int tags = 0; tags < 2 && (type == ETH_VLAN || type == ETH_QINQ); tags++) {
		if (off + 4 > have)
			return false;
		type = get16(head + off + 2);
		off += 4;
	}
	t->v6 = type == ETH_IPV6;
	if (type != ETH_IPV4 && type != ETH_IPV6)
		return false;
	t->l3 = off;
	if (!(t->v6 ? skip_ipv6(&off, head, have) : skip_ipv4(&off, head, have)))
		return false;
	t->l4 = off;
	if (off + TCP_BYTES > have)
		return false;
	n = (head[off + 12] >> 4) * 4u;
	t->payload = off + n;
	return n >= TCP_BYTES && t->payload <= have && t->payload <= bytes;
}

uint32_t net_payload_at(const uint8_t *head, uint32_t have, uint32_t bytes)
{
	struct net_tcp t = {0};
	uint32_t at;
	uint8_t proto;

	if (net_tcp_parse(&t, head, have, bytes))
		return t.payload;
	at = t.l3;
	if (!at || at + IPV4_BYTES > have)
		return bytes;
	if (t.v6) {
		proto = head[at + 6];
		at += IPV6_BYTES;
	} else {
		proto = get16(head + at + 6) & 0x1fff ? 0 : head[at + 9]; /* of the first fragment */
		at += (head[at] & 15) * 4u;
	}
	if (proto == IPPROTO_UDP)
		at += UDP_BYTES;
	return at <= have && at <= bytes ? at : bytes;
}

int net_hdr_check(struct net_hdr *h, const uint8_t *head, uint32_t bytes)
{
	uint8_t type = h->gso_type & (uint8_t)~NET_GSO_ECN;
	struct net_tcp t;

	h->flags &= NET_HDR_NEEDS_CSUM;
	h->num_buffers = 0;
	if (!(h->flags & NET_HDR_NEEDS_CSUM))
		h->csum_start = h->csum_offset = 0;
	else if (h->csum_start < NET_ETH_BYTES || (uint32_t)h->csum_start + h->csum_offset + 2 > bytes)
		return -EINVAL;
	if (type == NET_GSO_NONE) {
		h->gso_type = 0;
		h->hdr_len = h->gso_size = 0;
		return 0;
	}
	if ((type != NET_GSO_TCPV4 && type != NET_GSO_TCPV6) || h->gso_size < NET_MIN_GSO_BYTES ||
	    !net_tcp_parse(&t, head, bytes < NET_HEAD_BYTES ? bytes : NET_HEAD_BYTES, bytes) ||
	    t.v6 != (type == NET_GSO_TCPV6))
		return -EINVAL;
	/* A large segment without its checksum asked for would be cut into segments with wrong ones. */
	if (!(h->flags & NET_HDR_NEEDS_CSUM) || h->csum_start != t.l4 || h->csum_offset != TCP_CSUM)
		return -EINVAL;
	if (bytes - t.l3 - (t.v6 ? IPV6_BYTES : 0) > UINT16_MAX)
		return -EINVAL;
	h->hdr_len = (uint16_t)t.payload;
	return 0;
}

/* Of the pseudo header, for a TCP segment of `bytes`. */
static uint64_t pseudo_sum(const uint8_t *frame, const struct net_tcp *t, uint32_t bytes)
{
	uint64_t sum = (uint64_t)htons(IPPROTO_TCP) + htons((uint16_t)bytes);

	return sum + (t->v6 ? net_sum(frame + t->l3 + 8, 32) : net_sum(frame + t->l3 + 12, 8));
}

static void put_csum(uint8_t *at, uint64_t sum)
{
	uint16_t c = (uint16_t)~fold(sum);

	/* All ones is the same number, and for UDP zero would mean "none". */
	c = c ? c : 0xffff;
	memcpy(at, &c, 2);
}

static void tcp_csum(uint8_t *frame, const struct net_tcp *t, uint32_t bytes)
{
	uint8_t *at = frame + t->l4 + TCP_CSUM;
	uint32_t n = bytes - t->l4;

	memset(at, 0, 2);
	put_csum(at, pseudo_sum(frame, t, n) + net_sum(frame + t->l4, n));
}

static void ipv4_csum(uint8_t *ip)
{
	memset(ip + 10, 0, 2);
	put_csum(ip + 10, net_sum(ip, (ip[0] & 15) * 4u));
}

static void set_ip_bytes(uint8_t *frame, const struct net_tcp *t, uint32_t bytes)
{
	uint8_t *ip = frame + t->l3;

	if (t->v6) {
		put16(ip + 4, (uint16_t)(bytes - t->l3 - IPV6_BYTES));
	} else {
		put16(ip + 2, (uint16_t)(bytes - t->l3));
		ipv4_csum(ip);
	}
}

void net_csum_complete(struct net_hdr *h, uint8_t *frame, uint32_t bytes)
{
	struct net_tcp t;
	uint8_t *at;

	if (!(h->flags & NET_HDR_NEEDS_CSUM))
		return;
	if (h->gso_type && net_tcp_parse(&t, frame, bytes < NET_HEAD_BYTES ? bytes : NET_HEAD_BYTES, bytes)) {
		set_ip_bytes(frame, &t, bytes);
		tcp_csum(frame, &t, bytes);
	} else {
		/* The field holds the pseudo header's sum, and is part of what is summed. */
		at = frame + h->csum_start + h->csum_offset;
		put_csum(at, net_sum(frame + h->csum_start, bytes - h->csum_start));
	}
	h->flags &= (uint8_t)~NET_HDR_NEEDS_CSUM;
	h->csum_start = h->csum_offset = 0;
}

bool net_segment(const struct net_hdr *h, const uint8_t *frame, uint32_t bytes, uint8_t *segment,
		 bool (*emit)(void *opaque, const uint8_t *frame, uint32_t bytes), void *opaque)
{
	uint32_t have = bytes < NET_HEAD_BYTES ? bytes : NET_HEAD_BYTES, seq, off, n;
	struct net_tcp t;
	uint16_t id, count = 0;
	uint8_t flags;

	if (!net_tcp_parse(&t, frame, have, bytes))
		return true;
	memcpy(segment, frame, t.payload);
	seq = get32(frame + t.l4 + 4);
	id = get16(frame + t.l3 + 4);
	flags = frame[t.l4 + TCP_FLAGS];
	off = t.payload;
	do {
		uint8_t f = flags;

		n = bytes - off < h->gso_size ? bytes - off : h->gso_size;
		memcpy(segment + t.payload, frame + off, n);
		put32(segment + t.l4 + 4, seq + (off - t.payload));
		if (off + n < bytes)
			f &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		if (count)
			f &= (uint8_t)~TCP_CWR;
		segment[t.l4 + TCP_FLAGS] = f;
		if (!t.v6)
			put16(segment + t.l3 + 4, (uint16_t)(id + count));
		set_ip_bytes(segment, &t, t.payload + n);
		tcp_csum(segment, &t, t.payload + n);
		if (!emit(opaque, segment, t.payload + n))
			return false;
		count++;
		off += n;
	} while (off < bytes);
	return true;
}

/* ---- putting together ---- */

/* A segment that may become part of a larger frame: nothing in it but data. */
static bool gro_parse(struct net_tcp *t, const uint8_t *frame, uint32_t bytes)
{
	uint32_t have = bytes < NET_HEAD_BYTES ? bytes : NET_HEAD_BYTES, l3_bytes;

	if (!net_tcp_parse(t, frame, have, bytes) || t->payload == bytes || frame[t->l4 + TCP_FLAGS] & ~TCP_PSH & ~0x10)
		return false;
	l3_bytes = t->v6 ? get16(frame + t->l3 + 4) + (uint32_t)IPV6_BYTES : get16(frame + t->l3 + 2);
	return t->l3 + l3_bytes == bytes; /* no padding */
}

/* May a frame with these headers follow the one that is held? */
static bool gro_follows(const struct net_gro *g, const struct net_tcp *t, const uint8_t *frame, uint32_t bytes)
{
	const uint8_t *a = g->f->data, *b = frame;
	uint32_t ip = t->l3, tcp = t->l4;

	if (t->l3 != g->t.l3 || t->l4 != g->t.l4 || t->payload != g->t.payload || t->v6 != g->t.v6)
		return false;
	if (get32(b + tcp + 4) != g->next_seq || bytes - t->payload > g->segment)
		return false;
	if (g->f->bytes + bytes - t->payload - ip > UINT16_MAX)
		return false;
	/* Ethernet, then IP but for its length, id and checksum */
	if (memcmp(a, b, ip) != 0)
		return false;
	if (t->v6 ? memcmp(a + ip, b + ip, 4) != 0 || memcmp(a + ip + 6, b + ip + 6, tcp - ip - 6) != 0
		  : memcmp(a + ip, b + ip, 2) != 0 || memcmp(a + ip + 6, b + ip + 6, 4) != 0 ||
			memcmp(a + ip + 12, b + ip + 12, tcp - ip - 12) != 0)
		return false;
	/* ports; acknowledgement; options */
	return memcmp(a + tcp, b + tcp, 4) == 0 && memcmp(a + tcp + 8, b + tcp + 8, 5) == 0 &&
	       memcmp(a + tcp + TCP_BYTES, b + tcp + TCP_BYTES, t->payload - tcp - TCP_BYTES) == 0;
}

static void gro_append(struct net_gro *g, const uint8_t *frame, uint32_t bytes)
{
	struct net_frame *f = g->f;
	uint32_t n = bytes - g->t.payload;

	memcpy(f->data + f->bytes, frame + g->t.payload, n);
	f->bytes += n;
	f->data[g->t.l4 + TCP_FLAGS] |= frame[g->t.l4 + TCP_FLAGS];
	memcpy(f->data + g->t.l4 + 14, frame + g->t.l4 + 14, 2); /* the latest window */
	g->next_seq += n;
	g->count++;
}

void net_gro_flush(struct net_gro *g, struct net *n)
{
	struct net_frame *f = g->f;
	uint16_t sum;

	if (!f)
		return;
	g->f = NULL;
	if (g->count > 1) {
		set_ip_bytes(f->data, &g->t, f->bytes);
		sum = fold(pseudo_sum(f->data, &g->t, f->bytes - g->t.l4));
		memcpy(f->data + g->t.l4 + TCP_CSUM, &sum, 2);
		f->hdr = (struct net_hdr){
		    .flags = NET_HDR_NEEDS_CSUM,
		    .gso_type = g->t.v6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4,
		    .hdr_len = (uint16_t)g->t.payload,
		    .gso_size = g->segment,
		    .csum_start = (uint16_t)g->t.l4,
		    .csum_offset = TCP_CSUM,
		};
	}
	net_deliver(n, f);
}

void net_gro_add(struct net_gro *g, struct net *n, const uint8_t *frame, uint32_t bytes)
{
	struct net_tcp t;
	bool tcp;
	uint8_t psh;

	if (bytes > NET_MAX_FRAME_BYTES)
		return;
	tcp = gro_parse(&t, frame, bytes);
	psh = tcp ? frame[t.l4 + TCP_FLAGS] & TCP_PSH : 0;
	if (g->f && tcp && gro_follows(g, &t, frame, bytes)) {
		gro_append(g, frame, bytes);
		if (psh || bytes - t.payload < g->segment)
			net_gro_flush(g, n);
		return;
	}
	net_gro_flush(g, n);
	tcp = tcp && !psh;
	g->f = net_ring_reserve(&n->rx, tcp ? NET_MAX_FRAME_BYTES : bytes);
	if (!g->f) {
		net_tally(&n->count.rx_no_room, 1);
		return;
	}
	memcpy(g->f->data, frame, bytes);
	g->f->bytes = bytes;
	g->f->hdr = (struct net_hdr){0};
	g->count = 1;
	if (!tcp) {
		net_gro_flush(g, n);
		return;
	}
	g->t = t;
	g->segment = (uint16_t)(bytes - t.payload);
	g->next_seq = get32(frame + t.l4 + 4) + g->segment;
}
