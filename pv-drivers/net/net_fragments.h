/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_NET_FRAGMENTS_H
#define PV_DRIVERS_NET_FRAGMENTS_H

/*
 * IPv4 fragments that the guest sends, put together before libslirp sees them: its own reassembly (4.7.0, ip_reass(), as
 * Debian builds it) can be made to write through a wild pointer, which a test with random fragments showed within seconds.
 * Source: RFC 791, 3.2; RFC 5722 (overlaps).  One thread.  Memory is bounded; it is zeroes at first.
 */
#include "pv-drivers/net/net_offload.h"

enum {
	NET_FRAGMENTED = 8, /* datagrams at a time */
	NET_FRAGMENT_TIMEOUT_MS = 15000,
	NET_FRAGMENT_HEAD = NET_ETH_BYTES + 60, /* Ethernet, IP with options */
};

struct net_fragmented {
	bool used;
	uint8_t key[11]; /* source, destination, id, protocol */
	int64_t since_ms;
	uint32_t total; /* bytes of payload, once the last fragment is there; else 0 */
	uint32_t have, furthest, header_bytes;
	uint8_t seen[65536 / 8 / 8]; /* a bit for each eight bytes */
	uint8_t headers[NET_FRAGMENT_HEAD];
	uint8_t datagram[NET_FRAGMENT_HEAD + 65536]; /* the headers will end where the payload begins */
};

struct net_fragments {
	struct net_fragmented d[NET_FRAGMENTED];
};

/*
 * Frame of *bytes from the guest.  Returns it, if it is no fragment; the whole datagram as one frame (*bytes changed; valid
 * until the next call) if this was the last that was missing; NULL if it is kept, or nonsense.
 */
uint8_t *net_fragments_add(struct net_fragments *f, uint8_t *frame, uint32_t *bytes, int64_t now_ms);

#endif
