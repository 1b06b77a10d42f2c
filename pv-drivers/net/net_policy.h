/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_NET_POLICY_H
#define PV_DRIVERS_NET_POLICY_H

/*
 * What of the guest's may enter libslirp (net_user.c), where a new connection or a datagram becomes one of the host's.
 * It is decided here, and not by libslirp's own `restricted` and `disable_host_loopback`: these take the answers away from
 * a forwarded UDP port, leave 127.0.0.0/8 and 0.0.0.0 open to a guest that routes them to its card, and all ports of the host
 * at the name server's address where the host's resolver is on its loopback.
 *
 *                          restrict=on          host-loopback=off        host-loopback=on
 *   DHCP, gateway's ICMP   yes                  yes                      yes
 *   name server            no                   port 53                  yes
 *   host's loopback        no                   no                       yes
 *   everywhere else        no                   yes                      yes
 *   what hostfwd= brings   yes: TCP once connected, UDP to whom a datagram came from
 *
 * The host's loopback is 10.0.2.0/24 but for the name server, 127.0.0.0/8, 0.0.0.0/8; of IPv6 the NAT's own prefix and link,
 * ::/96 and what is IPv4 in disguise.  Multicast is looped back by the host, and so belongs to it.
 *
 * Pure functions over bytes that nobody vouches for.  One thread.
 * Source: RFC 792 (code 13: RFC 1812, 5.2.7.1), RFC 4443; the addresses are those of QEMU's user networking.
 */
#include "pv-drivers/net/net_offload.h"

enum {
	NET_USER_ADDR = 0x0a000200,
	NET_USER_MASK = 0xffffff00,
	NET_USER_HOST = NET_USER_ADDR + 2,
	NET_USER_DNS = NET_USER_ADDR + 3,
	NET_USER_GUEST = NET_USER_ADDR + 15,
	/* Who sent datagrams to forwarded ports: the last ones, as long as libslirp keeps a datagram's socket. */
	NET_POLICY_PEERS = 256,
	NET_POLICY_PEER_MS = 240000,
	NET_POLICY_FORWARDS = 256, /* of all machines behind it */
	NET_POLICY_REFUSAL_BYTES = NET_ETH_BYTES + 40 + 8 + 48,
};

struct net_policy {
	bool restricted, host_loopback;
	unsigned n_forwards;
	struct net_forward forward[NET_POLICY_FORWARDS];
	struct net_peer {
		uint32_t guest_addr, addr; /* host order; 0: unused */
		uint16_t guest_port, port;
		int64_t ms;
	} peer[NET_POLICY_PEERS];
};

enum net_verdict {
	NET_PASS,
	NET_REFUSE,          /* the guest is told (net_policy_refusal()) */
	NET_REFUSE_LOOPBACK, /* the same, because it is the host's loopback */
	NET_DROP,            /* nobody is told: multicast, or no packet at all */
};

/* Nothing is forwarded yet. */
void net_policy_init(struct net_policy *p, const struct net_config *cfg);
/* 0 or -ENOSPC. */
MUST_CHECK int net_policy_forward(struct net_policy *p, const struct net_forward *f);
void net_policy_unforward(struct net_policy *p, const struct net_forward *f);
/* Of a whole frame from the guest: no IPv4 fragment, no segment that is to be cut. */
enum net_verdict net_policy_out(const struct net_policy *p, const uint8_t *frame, uint32_t bytes, int64_t now_ms);
/* A frame to the guest: who asks a forwarded UDP port may be answered. */
void net_policy_in(struct net_policy *p, const uint8_t *frame, uint32_t bytes, int64_t now_ms);
/* The ICMP message to the sender of a refused frame, "administratively prohibited"; its bytes, or 0: none is sent. */
uint32_t net_policy_refusal(const uint8_t *frame, uint32_t bytes, uint8_t reply[NET_POLICY_REFUSAL_BYTES]);

#endif
