/* SPDX-License-Identifier: MIT */
/* The card's control queue and the filter that it sets: virtio 1.2, 5.1.6.5 "Control Virtqueue". */
#include "pv-drivers/net/net_card.h"

#include <string.h>

enum ctrl_class { CTRL_RX = 0, CTRL_MAC = 1, CTRL_VLAN = 2, CTRL_GUEST_OFFLOADS = 5 };
enum ctrl_rx { RX_PROMISC, RX_ALLMULTI, RX_ALLUNI, RX_NOMULTI, RX_NOUNI, RX_NOBCAST };
enum ctrl_mac { MAC_TABLE_SET, MAC_ADDR_SET };
enum ctrl_vlan { VLAN_ADD, VLAN_DEL };
enum { GUEST_OFFLOADS_SET = 0, ACK_OK = 0, ACK_ERR = 1, HEADER_BYTES = 2 };

void net_filter_reset(struct net_filter *f, const uint8_t mac[6], uint64_t features)
{
	*f = (struct net_filter){.promiscuous = true, .by_vlan = features & NET_F_CTRL_VLAN};
	memcpy(f->mac, mac, NET_MAC_BYTES);
}

static bool in_table(const struct net_filter *f, unsigned from, unsigned to, const uint8_t *mac)
{
	for (unsigned i = from; i < to; i++)
		if (memcmp(f->table[i], mac, NET_MAC_BYTES) == 0)
			return true;
	return false;
}

static bool takes_vlan(const struct net_filter *f, const uint8_t *frame, uint32_t bytes)
{
	unsigned id;

	if (!f->by_vlan || bytes < NET_ETH_BYTES + 2 || frame[12] != 0x81 || frame[13] != 0x00)
		return true;
	id = (unsigned)(frame[14] & 15) << 8 | frame[15];
	return f->vlan[id / 8] >> (id % 8) & 1;
}

bool net_filter_takes(const struct net_filter *f, const uint8_t *frame, uint32_t bytes)
{
	static const uint8_t broadcast[NET_MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	if (!takes_vlan(f, frame, bytes))
		return false;
	if (f->promiscuous)
		return true;
	if (memcmp(frame, broadcast, NET_MAC_BYTES) == 0)
		return !f->no_broadcast;
	if (frame[0] & 1)
		return !f->no_multicast &&
		       (f->all_multicast || f->multicast_overflow || in_table(f, f->n_unicast, f->n_table, frame));
	if (f->no_unicast)
		return false;
	return f->all_unicast || f->unicast_overflow || memcmp(frame, f->mac, NET_MAC_BYTES) == 0 ||
	       in_table(f, 0, f->n_unicast, frame);
}

static bool set_rx(struct net_filter *f, uint8_t cmd, const struct virtq_chain *c)
{
	bool *flag[] = {
	    [RX_PROMISC] = &f->promiscuous,  [RX_ALLMULTI] = &f->all_multicast, [RX_ALLUNI] = &f->all_unicast,
	    [RX_NOMULTI] = &f->no_multicast, [RX_NOUNI] = &f->no_unicast,       [RX_NOBCAST] = &f->no_broadcast};
	uint64_t offered = c->q->dev->features;
	uint8_t on;

	if (cmd >= ARRAY_LEN(flag) || !(offered & (cmd <= RX_ALLMULTI ? NET_F_CTRL_RX : NET_F_CTRL_RX_EXTRA)) ||
	    virtq_read(c, HEADER_BYTES, &on, 1) != 1)
		return false;
	*flag[cmd] = on;
	return true;
}

/* Two lists, each a count and so many addresses; *off moves past the one read. */
static bool read_macs(struct net_filter *f, const struct virtq_chain *c, uint64_t *off, bool *overflow)
{
	uint32_t n;

	if (virtq_read(c, *off, &n, sizeof(n)) != sizeof(n) || n > (c->out_bytes - *off - sizeof(n)) / NET_MAC_BYTES)
		return false;
	*off += sizeof(n);
	*overflow = n > NET_MAX_MACS - f->n_table;
	for (uint32_t i = 0; !*overflow && i < n; i++)
		if (virtq_read(c, *off + (uint64_t)NET_MAC_BYTES * i, f->table[f->n_table++], NET_MAC_BYTES) !=
		    NET_MAC_BYTES)
			return false;
	*off += (uint64_t)NET_MAC_BYTES * n;
	return true;
}

static bool set_macs(struct net_filter *f, const struct virtq_chain *c)
{
	struct net_filter new = *f;
	uint64_t off = HEADER_BYTES;

	new.n_table = 0;
	if (!read_macs(&new, c, &off, &new.unicast_overflow))
		return false;
	new.n_unicast = new.n_table;
	if (!read_macs(&new, c, &off, &new.multicast_overflow))
		return false;
	*f = new;
	return true;
}

static bool set_mac(struct net_filter *f, uint8_t cmd, const struct virtq_chain *c)
{
	uint64_t offered = c->q->dev->features;
	uint8_t mac[NET_MAC_BYTES];

	if (cmd == MAC_TABLE_SET)
		return (offered & NET_F_CTRL_RX) && set_macs(f, c);
	if (cmd != MAC_ADDR_SET || !(offered & NET_F_CTRL_MAC_ADDR) ||
	    virtq_read(c, HEADER_BYTES, mac, sizeof(mac)) != sizeof(mac))
		return false;
	memcpy(f->mac, mac, sizeof(mac));
	return true;
}

static bool set_vlan(struct net_filter *f, uint8_t cmd, const struct virtq_chain *c)
{
	uint16_t id;

	if (cmd > VLAN_DEL || !f->by_vlan || virtq_read(c, HEADER_BYTES, &id, sizeof(id)) != sizeof(id) ||
	    id >= NET_VLANS)
		return false;
	if (cmd == VLAN_ADD)
		f->vlan[id / 8] |= (uint8_t)(1 << id % 8);
	else
		f->vlan[id / 8] &= (uint8_t) ~(1 << id % 8);
	return true;
}

static bool set_offloads(uint64_t *offloads, uint8_t cmd, const struct virtq_chain *c)
{
	uint64_t accepted = c->q->dev->features, want;

	if (cmd != GUEST_OFFLOADS_SET || !(accepted & NET_F_CTRL_GUEST_OFFLOADS) ||
	    virtq_read(c, HEADER_BYTES, &want, sizeof(want)) != sizeof(want) || want & ~(accepted & NET_GUEST_OFFLOADS))
		return false;
	*offloads = want;
	return true;
}

static bool command(const struct virtq_chain *c, struct net_filter *f, uint64_t *offloads)
{
	uint8_t head[HEADER_BYTES];

	if (virtq_read(c, 0, head, sizeof(head)) != sizeof(head))
		return false;
	switch (head[0]) {
	case CTRL_RX:
		return set_rx(f, head[1], c);
	case CTRL_MAC:
		return set_mac(f, head[1], c);
	case CTRL_VLAN:
		return set_vlan(f, head[1], c);
	case CTRL_GUEST_OFFLOADS:
		return set_offloads(offloads, head[1], c);
	default:
		return false;
	}
}

void net_ctrl_notify(struct virtq *q, struct net_filter *f, uint64_t *offloads)
{
	struct virtq_chain *c;
	uint8_t ack;

	while (virtq_pop(q, &c) == 1) {
		if (!c->in_bytes) {
			virtq_drop(c);
			virtq_break(q, "a control request without room for its answer");
			return;
		}
		ack = command(c, f, offloads) ? ACK_OK : ACK_ERR;
		virtq_push(c, virtq_write(c, 0, &ack, 1));
	}
	virtq_signal(q);
}
