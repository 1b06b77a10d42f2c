/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_NET_OFFLOAD_H
#define PV_DRIVERS_NET_OFFLOAD_H

/*
 * What a card with offloads does to frames: check headers, complete checksums, cut up and put together TCP segments.
 * Pure functions over bytes that nobody vouches for.  Any thread.
 * Source: virtio 1.2, 5.1.6.2 "Packet Transmission"; RFC 1071 (checksum), 791, 8200, 9293 (headers).
 */
#include "pv-drivers/net/net_cable.h"

enum {
	/* So many bytes of a frame's beginning are enough to check its headers; with more of them it is refused. */
	NET_HEAD_BYTES = 512,
	/* Less in each segment serves nobody and makes many of them. */
	NET_MIN_GSO_BYTES = 8,
};

/* Where a TCP frame's headers are. */
struct net_tcp {
	uint32_t l3, l4, payload; /* offsets in the frame */
	bool v6;
};

/*
 * Parse Ethernet (with up to two VLAN tags), IP, TCP.  have: bytes at head, of a frame of `bytes`.
 * False: something else, a fragment, or headers that do not fit.
 */
MUST_CHECK bool net_tcp_parse(struct net_tcp *t, const uint8_t *head, uint32_t have, uint32_t bytes);
/*
 * Where the payload of TCP, UDP or what else is in an IP packet begins; `bytes`: there is none.  have: bytes at head, of a frame of
 * `bytes`.
 */
uint32_t net_payload_at(const uint8_t *head, uint32_t have, uint32_t bytes);
/*
 * Does the header fit the frame?  On success *h is normal: flags without what a sender may not set, fields without a
 * meaning are zero, hdr_len is right.  head: the first min(bytes, NET_HEAD_BYTES).  0 or -EINVAL.
 */
MUST_CHECK int net_hdr_check(struct net_hdr *h, const uint8_t *head, uint32_t bytes);
/* Compute what NEEDS_CSUM asks for, in place; a frame with gso_type is treated as one large segment. h has been checked. */
void net_csum_complete(struct net_hdr *h, uint8_t *frame, uint32_t bytes);
/*
 * Cut a frame with gso_type (checked) into whole ones with checksums.  segment: room for NET_HEAD_BYTES + gso_size.
 * Stops when emit() returns false; that is also the return value.
 */
bool net_segment(const struct net_hdr *h, const uint8_t *frame, uint32_t bytes, uint8_t *segment,
		 bool (*emit)(void *opaque, const uint8_t *frame, uint32_t bytes), void *opaque);
/* Internet checksum's sum over n bytes, folded to 16 bits, not complemented, in memory order. */
uint16_t net_sum(const uint8_t *p, size_t n);

/*
 * Putting together: in-order TCP segments of one connection, as they come, into one frame that a guest takes in one
 * piece.  The frame grows in place, in the ring to the card.
 */
struct net_gro {
	struct net_frame *f; /* reserved in the ring, not committed; NULL: nothing is held */
	struct net_tcp t;
	uint32_t next_seq;
	uint16_t segment; /* payload of each segment */
	uint16_t count;
};

/* Take frame (right checksums); what was held and does not go with it is delivered.  The cable's thread. */
void net_gro_add(struct net_gro *g, struct net *n, const uint8_t *frame, uint32_t bytes);
/* Deliver what is held. */
void net_gro_flush(struct net_gro *g, struct net *n);

#endif
