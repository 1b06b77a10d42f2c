/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_NET_CARD_H
#define PV_DRIVERS_NET_CARD_H

/* Private to the card: what it takes of the cable, and the queue by which its driver says so.  vCPU thread. */
#include "pv-drivers/net/net_cable.h"
#include "pv-drivers/virtio/virtio.h"

/* virtio 1.2, 5.1.3 "Feature bits" */
#define NET_F_CSUM                (1ull << 0)
#define NET_F_GUEST_CSUM          (1ull << 1)
#define NET_F_CTRL_GUEST_OFFLOADS (1ull << 2)
#define NET_F_MTU                 (1ull << 3)
#define NET_F_MAC                 (1ull << 5)
#define NET_F_GUEST_TSO4          (1ull << 7)
#define NET_F_GUEST_TSO6          (1ull << 8)
#define NET_F_GUEST_ECN           (1ull << 9)
#define NET_F_HOST_TSO4           (1ull << 11)
#define NET_F_HOST_TSO6           (1ull << 12)
#define NET_F_HOST_ECN            (1ull << 13)
#define NET_F_MRG_RXBUF           (1ull << 15)
#define NET_F_STATUS              (1ull << 16)
#define NET_F_CTRL_VQ             (1ull << 17)
#define NET_F_CTRL_RX             (1ull << 18)
#define NET_F_CTRL_VLAN           (1ull << 19)
#define NET_F_CTRL_RX_EXTRA       (1ull << 20)
#define NET_F_CTRL_MAC_ADDR       (1ull << 23)
#define NET_F_SPEED_DUPLEX        (1ull << 63)
/* Not of the standard, and offered with VIRTIO_VENDOR_DISCO only: docs/disco-net.md. */
#define NET_F_PAGES (1ull << 58)
/* What CTRL_GUEST_OFFLOADS may switch off and on again. */
#define NET_GUEST_OFFLOADS (NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_ECN)

enum { NET_MAX_MACS = 64, NET_VLANS = 4096, NET_MAC_BYTES = 6 };

/* Which frames the driver wants: 5.1.6.5.1 and .2, 5.1.6.5.3. */
struct net_filter {
	uint8_t mac[NET_MAC_BYTES];
	/* enum rx_mode as bits */
	bool promiscuous, all_multicast, all_unicast, no_multicast, no_unicast, no_broadcast;
	/* unicast first; a table that does not fit is "all" */
	uint8_t table[NET_MAX_MACS][NET_MAC_BYTES];
	unsigned n_unicast, n_table;
	bool unicast_overflow, multicast_overflow;
	bool by_vlan;
	uint8_t vlan[NET_VLANS / 8];
};

/* What a card takes after a reset, with these features: all, until its driver says otherwise. */
void net_filter_reset(struct net_filter *f, const uint8_t mac[6], uint64_t features);
/* Does the driver want a frame that begins so (NET_ETH_BYTES + 2 bytes at least, or as many as the frame has)? */
bool net_filter_takes(const struct net_filter *f, const uint8_t *frame, uint32_t bytes);
/* Handle all requests of the control queue.  offloads: what CTRL_GUEST_OFFLOADS sets. */
void net_ctrl_notify(struct virtq *q, struct net_filter *f, uint64_t *offloads);

#endif
