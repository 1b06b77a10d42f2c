/* SPDX-License-Identifier: MIT */
/* What restrict= and host-loopback= let through, packet by packet, and what the guest is told of the rest. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>

#include "pv-drivers/net/net_policy.h"
#include "tests/unit/pv_net_frames.h"

enum { ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58, SYN = 2, ACK = 16, FRAME = 14 + 40 + 20 };

static struct net_policy policy_of(const char *text)
{
	struct net_policy p;
	struct net_config c;
	struct options_error err = {""};

	cr_assert_eq(net_config_parse(text, &c, &err), 0, "%s", err.text);
	net_policy_init(&p, &c);
	for (unsigned i = 0; i < c.n_forwards; i++)
		cr_assert_eq(net_policy_forward(&p, &c.forward[i]), 0);
	net_config_free(&c);
	return p;
}

/* A packet to dst, IPv4 or IPv6 by its form; its bytes. */
static unsigned packet(uint8_t f[FRAME], const char *src, const char *dst, uint8_t proto, unsigned sport,
		       unsigned dport, uint8_t flags)
{
	bool v6 = strchr(dst, ':');
	unsigned l4 = v6 ? 54 : 34;

	memset(f, 0, FRAME);
	memcpy(f, "\x52\x55\x0a\x00\x02\x02\x02\x00\x00\x00\x00\x02", 12);
	frame_put16(f + 12, v6 ? 0x86dd : 0x0800);
	f[14] = v6 ? 0x60 : 0x45;
	f[v6 ? 20 : 23] = proto;
	cr_assert_eq(inet_pton(v6 ? AF_INET6 : AF_INET, src, f + (v6 ? 22 : 26)), 1);
	cr_assert_eq(inet_pton(v6 ? AF_INET6 : AF_INET, dst, f + (v6 ? 38 : 30)), 1);
	frame_put16(f + 16, v6 ? 0 : 40);
	if (proto == ICMP || proto == ICMPV6) {
		f[l4] = proto == ICMP ? 8 : 128; /* echo */
	} else {
		frame_put16(f + l4, sport);
		frame_put16(f + l4 + 2, dport);
	}
	if (proto == TCP)
		f[l4 + 13] = flags;
	return l4 + 20;
}

static enum net_verdict verdict(const char *config, const char *dst, uint8_t proto, unsigned dport, uint8_t flags)
{
	struct net_policy p = policy_of(config);
	uint8_t f[FRAME];
	unsigned n = packet(f, strchr(dst, ':') ? "fec0::15" : "10.0.2.15", dst, proto, 4000, dport, flags);

	return net_policy_out(&p, f, n, 0);
}

/* What restrict=on and host-loopback=off say to a SYN, or a packet of another kind. */
static const struct {
	const char *dst;
	uint8_t proto;
	unsigned port;
	enum net_verdict restricted, otherwise;
} rows[] = {
    {"10.0.2.2", TCP, 80, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"10.0.2.2", UDP, 80, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"10.0.2.2", UDP, 69, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"10.0.2.2", UDP, 67, NET_PASS, NET_PASS},
    {"10.0.2.2", TCP, 67, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"255.255.255.255", UDP, 67, NET_PASS, NET_PASS},
    {"255.255.255.255", UDP, 68, NET_DROP, NET_DROP},
    {"10.0.2.2", ICMP, 0, NET_PASS, NET_PASS},
    {"10.0.2.3", ICMP, 0, NET_PASS, NET_PASS},
    {"10.0.2.4", ICMP, 0, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"127.0.0.1", ICMP, 0, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"10.0.2.3", UDP, 53, NET_REFUSE, NET_PASS},
    {"10.0.2.3", TCP, 53, NET_REFUSE, NET_PASS},
    {"10.0.2.3", TCP, 80, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"10.0.2.3", 50, 53, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"10.0.2.2", UDP, 53, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"10.0.2.0", TCP, 80, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"10.0.2.15", TCP, 80, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"10.0.2.255", UDP, 80, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"127.0.0.1", TCP, 80, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"127.255.255.255", UDP, 67, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"0.0.0.0", TCP, 80, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"0.1.2.3", UDP, 80, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"224.0.0.251", UDP, 5353, NET_DROP, NET_DROP},
    {"240.0.0.1", TCP, 80, NET_DROP, NET_DROP},
    {"10.0.1.255", TCP, 80, NET_REFUSE, NET_PASS},
    {"10.0.3.0", TCP, 80, NET_REFUSE, NET_PASS},
    {"126.255.255.255", TCP, 80, NET_REFUSE, NET_PASS},
    {"128.0.0.1", UDP, 80, NET_REFUSE, NET_PASS},
    {"1.0.0.1", UDP, 53, NET_REFUSE, NET_PASS},
    {"192.0.2.1", ICMP, 0, NET_REFUSE, NET_PASS},
    {"fec0::2", TCP, 80, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"fec0::3", TCP, 53, NET_REFUSE, NET_PASS},
    {"fec0::3", UDP, 53, NET_REFUSE, NET_PASS},
    {"fec0::3", TCP, 54, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"fec0::1:0:0:3", TCP, 53, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"fec0:0:0:1::3", TCP, 80, NET_REFUSE, NET_PASS},
    {"fe80::2", TCP, 80, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"febf::2", UDP, 547, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"::1", TCP, 80, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"::", TCP, 80, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"::127.0.0.1", UDP, 80, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"::ffff:127.0.0.1", TCP, 80, NET_REFUSE, NET_REFUSE_LOOPBACK},
    {"ff02::1:2", UDP, 547, NET_PASS, NET_PASS},
    {"ff02::fb", UDP, 5353, NET_DROP, NET_DROP},
    {"ff02::1", ICMPV6, 0, NET_PASS, NET_PASS},
    {"fe80::2", ICMPV6, 0, NET_PASS, NET_PASS},
    {"2001:db8::1", TCP, 80, NET_REFUSE, NET_PASS},
};

Test(net_policy, table)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cr_expect_eq(verdict("user,restrict=on", rows[i].dst, rows[i].proto, rows[i].port, SYN),
			     rows[i].restricted, "restricted: %s, %u, port %u", rows[i].dst, rows[i].proto,
			     rows[i].port);
		cr_expect_eq(verdict("user", rows[i].dst, rows[i].proto, rows[i].port, SYN), rows[i].otherwise,
			     "%s, %u, port %u", rows[i].dst, rows[i].proto, rows[i].port);
		cr_expect_eq(verdict("user,host-loopback=on", rows[i].dst, rows[i].proto, rows[i].port, SYN), NET_PASS,
			     "open: %s, %u, port %u", rows[i].dst, rows[i].proto, rows[i].port);
	}
}

/* Only a SYN begins a connection; FIN, RST or URG beside it make libslirp refuse it, or not. */
Test(net_policy, connections)
{
	for (unsigned flags = 0; flags < 64; flags++) {
		bool later = (flags & (SYN | ACK)) != SYN;

		cr_expect_eq(verdict("user", "10.0.2.2", TCP, 80, (uint8_t)flags),
			     later ? NET_PASS : NET_REFUSE_LOOPBACK, "%x", flags);
		cr_expect_eq(verdict("user,restrict=on", "192.0.2.1", TCP, 80, (uint8_t)flags),
			     later ? NET_PASS : NET_REFUSE, "%x", flags);
	}
}

/* What is cut short, or no packet, or a fragment, is nothing to let through. */
Test(net_policy, nonsense)
{
	struct net_policy p = policy_of("user");
	uint8_t f[FRAME], reply[NET_POLICY_REFUSAL_BYTES];
	static const char *const dsts[] = {"192.0.2.1", "10.0.2.2", "2001:db8::1", "::1"};

	for (size_t i = 0; i < ARRAY_LEN(dsts); i++) {
		unsigned l4 = strchr(dsts[i], ':') ? 54 : 34;

		packet(f, l4 == 54 ? "fec0::15" : "10.0.2.15", dsts[i], TCP, 4000, 80, SYN);
		for (unsigned n = 14; n < l4 + 14; n++) {
			cr_expect_eq(net_policy_out(&p, f, n, 0), NET_DROP, "%s, %u bytes", dsts[i], n);
			cr_expect_eq(net_policy_refusal(f, n, reply), 0);
		}
		f[14] ^= 0x70;
		cr_expect_eq(net_policy_out(&p, f, l4 + 20, 0), NET_DROP, "another version");
	}
	packet(f, "10.0.2.15", "10.0.2.2", TCP, 4000, 80, SYN);
	frame_put16(f + 20, 0x2000);
	cr_expect_eq(net_policy_out(&p, f, 54, 0), NET_DROP, "a first fragment");
	frame_put16(f + 20, 0x0001);
	cr_expect_eq(net_policy_out(&p, f, 54, 0), NET_DROP, "a later one");
	frame_put16(f + 20, 0x4000);
	cr_expect_eq(net_policy_out(&p, f, 54, 0), NET_REFUSE_LOOPBACK, "none");
	/* With options the ports are further back. */
	f[14] = 0x46;
	frame_put16(f + 38 + 2, 80);
	f[38 + 13] = ACK;
	cr_expect_eq(net_policy_out(&p, f, 58, 0), NET_PASS);
	f[38 + 13] = SYN;
	cr_expect_eq(net_policy_out(&p, f, 58, 0), NET_REFUSE_LOOPBACK);
	f[14] = 0x44;
	cr_expect_eq(net_policy_out(&p, f, 58, 0), NET_DROP, "a header of 16 bytes");
	frame_put16(f + 12, 0x0806);
	cr_expect_eq(net_policy_out(&p, f, 58, 0), NET_PASS, "ARP");
	cr_expect_eq(net_policy_out(&p, f, 5, 0), NET_PASS, "nothing at all, which libslirp drops");
}

static enum net_verdict answer(struct net_policy *p, unsigned sport, const char *dst, unsigned dport, int64_t ms)
{
	uint8_t f[FRAME];

	return net_policy_out(p, f, packet(f, "10.0.2.15", dst, UDP, sport, dport, 0), ms);
}

static void asked(struct net_policy *p, const char *src, unsigned sport, const char *guest, unsigned port, int64_t ms)
{
	uint8_t f[FRAME];

	net_policy_in(p, f, packet(f, src, guest, UDP, sport, port, 0), ms);
}

Test(net_policy, answers)
{
	struct net_policy p = policy_of("user,restrict=on,hostfwd=udp::5000-:53,hostfwd=tcp::5001-:54");

	cr_expect_eq(answer(&p, 53, "10.0.2.2", 7777, 0), NET_REFUSE, "nobody has asked");
	asked(&p, "10.0.2.2", 7777, "10.0.2.15", 53, 1000);
	asked(&p, "192.0.2.9", 7778, "10.0.2.15", 53, 1000);
	asked(&p, "10.0.2.2", 7779, "10.0.2.15", 54, 1000); /* no forwarded UDP port */
	asked(&p, "10.0.2.2", 7779, "10.0.2.16", 53, 1000); /* no address of one */
	cr_expect_eq(answer(&p, 53, "10.0.2.2", 7777, 1001), NET_PASS);
	cr_expect_eq(answer(&p, 53, "192.0.2.9", 7778, 1001), NET_PASS);
	cr_expect_eq(answer(&p, 53, "10.0.2.2", 7778, 1001), NET_REFUSE);
	cr_expect_eq(answer(&p, 54, "10.0.2.2", 7777, 1001), NET_REFUSE);
	cr_expect_eq(answer(&p, 54, "10.0.2.2", 7779, 1001), NET_REFUSE);
	cr_expect_eq(answer(&p, 53, "10.0.2.2", 7777, 1000 + NET_POLICY_PEER_MS), NET_REFUSE, "too long ago");
	/* Asked again, it is known longer; of too many the oldest is forgotten. */
	asked(&p, "10.0.2.2", 7777, "10.0.2.15", 53, 5000);
	for (unsigned i = 0; i < NET_POLICY_PEERS - 1; i++)
		asked(&p, "10.0.2.2", 8000 + i, "10.0.2.15", 53, 6000 + i);
	cr_expect_eq(answer(&p, 53, "192.0.2.9", 7778, 7000), NET_REFUSE);
	cr_expect_eq(answer(&p, 53, "10.0.2.2", 7777, 7000), NET_PASS);
	asked(&p, "10.0.2.2", 9000, "10.0.2.15", 53, 7000);
	cr_expect_eq(answer(&p, 53, "10.0.2.2", 7777, 7000), NET_REFUSE);
	cr_expect_eq(answer(&p, 53, "10.0.2.2", 8000, 7000), NET_PASS);
}

/* The message is whole, goes back to who sent the packet, and has its beginning in it. */
Test(net_policy, refusal)
{
	uint8_t f[FRAME], r[NET_POLICY_REFUSAL_BYTES], pseudo[40] = {0};
	unsigned n = packet(f, "10.0.2.15", "10.0.2.2", TCP, 4000, 80, SYN);

	cr_expect_eq(net_policy_refusal(f, n, r), 14 + 20 + 8 + 28);
	cr_expect_eq(memcmp(r, f + 6, 6), 0);
	cr_expect_eq(memcmp(r + 6, f, 6), 0);
	cr_expect_eq(memcmp(r + 26, "\x0a\x00\x02\x02\x0a\x00\x02\x0f", 8), 0);
	cr_expect_eq(frame_get16(r + 16), 20 + 8 + 28);
	cr_expect_eq(frame_sum(0, r + 14, 20), 0xffff);
	cr_expect_eq(frame_sum(0, r + 34, 8 + 28), 0xffff);
	cr_expect_eq(memcmp(r + 42, f + 14, 28), 0);
	f[14] = 0x4f; /* 40 bytes of options, and not so many bytes */
	cr_expect_eq(net_policy_refusal(f, n, r), 0);
	n = packet(f, "fec0::15", "2001:db8::1", UDP, 4000, 80, 0);
	cr_expect_eq(net_policy_refusal(f, n, r), 14 + 40 + 8 + 48);
	cr_expect_eq(memcmp(r + 38, f + 22, 16), 0);
	memcpy(pseudo, r + 22, 32);
	pseudo[35] = 56;
	pseudo[39] = 58;
	cr_expect_eq(frame_sum(frame_sum(0, pseudo, 40), r + 54, 56), 0xffff);
	/* Of a packet that is shorter, what there is. */
	packet(f, "10.0.2.15", "10.0.2.2", 50, 0, 0, 0);
	cr_expect_eq(net_policy_refusal(f, 14 + 22, r), 14 + 20 + 8 + 22);
	/* No error about an error. */
	n = packet(f, "10.0.2.15", "192.0.2.1", ICMP, 0, 0, 0);
	cr_expect_gt(net_policy_refusal(f, n, r), 0);
	f[34] = 3;
	cr_expect_eq(net_policy_refusal(f, n, r), 0);
}

/* Whatever the bytes and their number, nothing outside of them is looked at (with ASan), and the reply fits. */
Test(net_policy, by_chance)
{
	struct net_policy p = policy_of("user,hostfwd=udp::5000-:53");
	uint8_t reply[NET_POLICY_REFUSAL_BYTES];
	uint64_t seed = 5;

	for (unsigned i = 0; i < 200000; i++) {
		unsigned n;
		uint8_t *f;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		n = (seed >> 33) % 120;
		f = malloc(n ? n : 1);
		for (unsigned k = 0; k < n; k++)
			f[k] = (uint8_t)(seed >> k % 50) ^ (uint8_t)(k * 37);
		if (n > 23) {
			frame_put16(f + 12, seed & 1 ? 0x0800 : 0x86dd);
			f[14] = seed & 1 ? (uint8_t)(0x45 + (seed >> 9) % 11) : 0x60;
			f[20] = seed & 2 ? 6 : 17;
			f[seed & 1 ? 21 : 20] = seed & 1 ? 0 : f[20];
			f[23] = seed & 2 ? 6 : 17;
		}
		net_policy_in(&p, f, n, i);
		(void)net_policy_out(&p, f, n, i);
		cr_assert_leq(net_policy_refusal(f, n, reply), sizeof(reply));
		free(f);
	}
}
