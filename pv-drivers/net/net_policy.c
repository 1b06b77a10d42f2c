/* SPDX-License-Identifier: MIT */
#include "pv-drivers/net/net_policy.h"

#include <errno.h>
#include <string.h>

enum {
	ETH = NET_ETH_BYTES,
	TYPE_IPV4 = 0x0800,
	TYPE_IPV6 = 0x86dd,
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_ICMPV6 = 58,
	PORT_DNS = 53,
	PORT_DHCP = 67,
	PORT_DHCPV6 = 547,
	TCP_FLAGS = 13,
	TCP_SYN = 2,
	TCP_ACK = 16,
	BROADCAST = -1,
};

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }

/* Where things are in a packet that is whole. */
struct packet {
	bool v6;
	uint8_t proto;
	uint32_t src, dst; /* IPv4 */
	const uint8_t *dst6;
	const uint8_t *l4;
	uint32_t l4_bytes;
	uint16_t src_port, dst_port;
};

/* False: not one that libslirp could do anything with. */
static bool parse(struct packet *k, const uint8_t *frame, uint32_t bytes)
{
	const uint8_t *ip = frame + ETH;
	uint32_t hl = IPV6_BYTES;

	if (bytes < ETH + IPV4_BYTES)
		return false;
	k->v6 = get16(frame + 12) == TYPE_IPV6;
	if (!k->v6) {
		hl = (ip[0] & 15) * 4u;
		if (ip[0] >> 4 != 4 || hl < IPV4_BYTES || get16(ip + 6) & 0x3fff)
			return false;
	}
	if (bytes < ETH + hl || (k->v6 && ip[0] >> 4 != 6))
		return false;
	k->proto = k->v6 ? ip[6] : ip[9];
	k->src = k->v6 ? 0 : get32(ip + 12);
	k->dst = k->v6 ? 0 : get32(ip + 16);
	k->dst6 = ip + 24;
	k->l4 = ip + hl;
	k->l4_bytes = bytes - ETH - hl;
	if (k->proto != PROTO_TCP && k->proto != PROTO_UDP)
		return true;
	if (k->l4_bytes < (k->proto == PROTO_TCP ? TCP_FLAGS + 1u : 8u))
		return false;
	k->src_port = get16(k->l4);
	k->dst_port = get16(k->l4 + 2);
	return true;
}

/* Of a connection that is there already, or of none: only a SYN makes libslirp connect. */
static bool is_later_tcp(const struct packet *k)
{
	return k->proto == PROTO_TCP && (k->l4[TCP_FLAGS] & (TCP_SYN | TCP_ACK)) != TCP_SYN;
}

/* ---- who may be answered ---- */

static bool is_forwarded(const struct net_policy *p, uint32_t guest_addr, uint16_t guest_port)
{
	for (unsigned i = 0; i < p->n_forwards; i++) {
		const struct net_forward *f = &p->forward[i];
		uint32_t addr = f->guest_addr ? f->guest_addr : (uint32_t)NET_USER_GUEST;

		if (f->udp && addr == guest_addr && f->guest_port == guest_port)
			return true;
	}
	return false;
}

static bool is_answer(const struct net_policy *p, const struct packet *k, int64_t now_ms)
{
	for (unsigned i = 0; i < NET_POLICY_PEERS && !k->v6 && k->proto == PROTO_UDP; i++) {
		const struct net_peer *e = &p->peer[i];

		if (e->addr && e->addr == k->dst && e->port == k->dst_port && e->guest_addr == k->src &&
		    e->guest_port == k->src_port && now_ms - e->ms < NET_POLICY_PEER_MS)
			return true;
	}
	return false;
}

void net_policy_in(struct net_policy *p, const uint8_t *frame, uint32_t bytes, int64_t now_ms)
{
	struct net_peer *at = &p->peer[0];
	struct packet k;

	if (!p->n_forwards || bytes < ETH + IPV4_BYTES || get16(frame + 12) != TYPE_IPV4 || !parse(&k, frame, bytes) ||
	    k.proto != PROTO_UDP || !is_forwarded(p, k.dst, k.dst_port))
		return;
	for (unsigned i = 0; i < NET_POLICY_PEERS; i++) {
		struct net_peer *e = &p->peer[i];

		if (e->addr == k.src && e->port == k.src_port && e->guest_addr == k.dst &&
		    e->guest_port == k.dst_port) {
			at = e;
			break;
		}
		if (at->addr && (!e->addr || e->ms < at->ms))
			at = e;
	}
	*at = (struct net_peer){
	    .guest_addr = k.dst, .addr = k.src, .guest_port = k.dst_port, .port = k.src_port, .ms = now_ms};
}

/* ---- the verdict ---- */

enum place { ELSEWHERE, LOOPBACK, NAME_SERVER, GATEWAY, MULTICAST };

static enum place place_of_ipv4(uint32_t dst)
{
	if (dst >> 28 >= 14)
		return MULTICAST; /* and what is reserved, and the broadcast */
	if (dst >> 24 == 127 || dst >> 24 == 0)
		return LOOPBACK;
	if ((dst & NET_USER_MASK) != NET_USER_ADDR)
		return ELSEWHERE;
	return dst == NET_USER_DNS ? NAME_SERVER : dst == NET_USER_HOST ? GATEWAY : LOOPBACK;
}

static enum place place_of_ipv6(const uint8_t *dst)
{
	static const uint8_t zero[12], prefix[8] = {0xfe, 0xc0};
	bool in_prefix = !memcmp(dst, prefix, sizeof(prefix));

	if (dst[0] == 0xff)
		return MULTICAST;
	if (in_prefix && get32(dst + 8) == 0 && get32(dst + 12) == 3)
		return NAME_SERVER;
	/* The NAT's own, the link's; ::1, ::, and IPv4 in its two disguises. */
	if (in_prefix || (dst[0] == 0xfe && (dst[1] & 0xc0) == 0x80) || !memcmp(dst, zero, sizeof(zero)) ||
	    (!memcmp(dst, zero, 10) && get16(dst + 10) == 0xffff))
		return LOOPBACK;
	return ELSEWHERE;
}

/* What the NAT answers by itself: DHCP, its own ping, what IPv6 needs on a link. */
static bool is_nats_own(const struct packet *k, enum place place)
{
	if (k->v6)
		return k->proto == PROTO_ICMPV6 ||
		       (k->proto == PROTO_UDP && k->dst_port == PORT_DHCPV6 && place == MULTICAST);
	if (k->proto == PROTO_ICMP)
		return place == GATEWAY || place == NAME_SERVER;
	return k->proto == PROTO_UDP && k->dst_port == PORT_DHCP && (place == GATEWAY || k->dst == (uint32_t)BROADCAST);
}

enum net_verdict net_policy_out(const struct net_policy *p, const uint8_t *frame, uint32_t bytes, int64_t now_ms)
{
	uint16_t type = bytes >= ETH ? get16(frame + 12) : 0;
	enum place place;
	struct packet k;

	if (type != TYPE_IPV4 && type != TYPE_IPV6)
		return NET_PASS; /* ARP; everything else is nothing to libslirp */
	if (p->host_loopback && !p->restricted)
		return NET_PASS;
	if (!parse(&k, frame, bytes))
		return NET_DROP;
	place = k.v6 ? place_of_ipv6(k.dst6) : place_of_ipv4(k.dst);
	if (is_nats_own(&k, place) || is_later_tcp(&k) || is_answer(p, &k, now_ms))
		return NET_PASS;
	if (place == MULTICAST)
		return NET_DROP;
	if (p->restricted)
		return NET_REFUSE;
	if (place == ELSEWHERE ||
	    (place == NAME_SERVER && k.dst_port == PORT_DNS && (k.proto == PROTO_UDP || k.proto == PROTO_TCP)))
		return NET_PASS;
	return NET_REFUSE_LOOPBACK;
}

void net_policy_init(struct net_policy *p, const struct net_config *cfg)
{
	*p = (struct net_policy){.restricted = cfg->restricted, .host_loopback = cfg->host_loopback};
}

int net_policy_forward(struct net_policy *p, const struct net_forward *f)
{
	if (p->n_forwards == NET_POLICY_FORWARDS)
		return -ENOSPC;
	p->forward[p->n_forwards++] = *f;
	return 0;
}

void net_policy_unforward(struct net_policy *p, const struct net_forward *f)
{
	for (unsigned i = 0; i < p->n_forwards; i++)
		if (net_same_forward(&p->forward[i], f)) {
			p->forward[i] = p->forward[--p->n_forwards];
			return;
		}
}

/* ---- the message to the guest ---- */

/* The gateway's addresses at the NAT, from which it comes. */
static const uint8_t gateway4[4] = {10, 0, 2, 2}, gateway6[16] = {0xfe, 0xc0, [15] = 2};

static void put_checksum(uint8_t *at, uint16_t sum)
{
	sum = (uint16_t)~sum;
	memcpy(at, &sum, 2);
}

/* The refused packet's header and the next 8 bytes go back with it. */
static uint32_t refusal4(const uint8_t *ip, uint32_t ip_bytes, uint8_t *out)
{
	uint32_t quoted = (ip[0] & 15) * 4u + 8, bytes;
	uint8_t *icmp = out + IPV4_BYTES;

	quoted = quoted > ip_bytes ? ip_bytes : quoted > 48 ? 48 : quoted;
	bytes = IPV4_BYTES + 8 + quoted;
	memset(out, 0, bytes);
	out[0] = 0x45;
	out[3] = (uint8_t)bytes;
	out[8] = 64;
	out[9] = PROTO_ICMP;
	memcpy(out + 12, gateway4, 4);
	memcpy(out + 16, ip + 12, 4);
	put_checksum(out + 10, net_sum(out, IPV4_BYTES));
	icmp[0] = 3; /* destination unreachable */
	icmp[1] = 13;
	memcpy(icmp + 8, ip, quoted);
	put_checksum(icmp + 2, net_sum(icmp, 8 + quoted));
	return bytes;
}

static uint32_t refusal6(const uint8_t *ip, uint32_t ip_bytes, uint8_t *out)
{
	uint32_t quoted = ip_bytes < 48 ? ip_bytes : 48, icmp_bytes = 8 + quoted;
	uint8_t *icmp = out + IPV6_BYTES, pseudo[IPV6_BYTES + 8 + 48] = {0};

	memset(out, 0, IPV6_BYTES + icmp_bytes);
	out[0] = 0x60;
	out[5] = (uint8_t)icmp_bytes;
	out[6] = PROTO_ICMPV6;
	out[7] = 255;
	memcpy(out + 8, gateway6, 16);
	memcpy(out + 24, ip + 8, 16);
	icmp[0] = 1; /* destination unreachable */
	icmp[1] = 1;
	memcpy(icmp + 8, ip, quoted);
	memcpy(pseudo, out + 8, 32);
	pseudo[35] = (uint8_t)icmp_bytes;
	pseudo[39] = PROTO_ICMPV6;
	memcpy(pseudo + 40, icmp, icmp_bytes);
	put_checksum(icmp + 2, net_sum(pseudo, 40 + icmp_bytes));
	return IPV6_BYTES + icmp_bytes;
}

uint32_t net_policy_refusal(const uint8_t *frame, uint32_t bytes, uint8_t reply[NET_POLICY_REFUSAL_BYTES])
{
	struct packet k;

	/* RFC 1122, 3.2.2: no error about an error. */
	if (!parse(&k, frame, bytes) || (!k.v6 && k.proto == PROTO_ICMP && (!k.l4_bytes || k.l4[0] != 8)))
		return 0;
	memcpy(reply, frame + 6, 6);
	memcpy(reply + 6, frame, 6);
	memcpy(reply + 12, frame + 12, 2);
	return ETH + (k.v6 ? refusal6 : refusal4)(frame + ETH, bytes - ETH, reply + ETH);
}
