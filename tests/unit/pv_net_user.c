/* SPDX-License-Identifier: MIT */
/* The cable behind NAT: libslirp, and what of the host the guest reaches and is reached by. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/pv_net_end.h"

static const uint8_t guest_mac[6] = {0x02, 0, 0, 0, 0, 2};

/* Who has 10.0.2.2?  Also tells libslirp where 10.0.2.15 is.  The gateway's address into mac. */
static void arp(struct end *e, uint8_t mac[6])
{
	static const uint8_t ask[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,  2, 8, 6,
					0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0,  0, 0, 2,
					10,   0,    2,    15,   0,    0,    0, 0, 0, 0, 10, 0, 2, 2};
	struct net_frame *f;

	cr_assert_eq(end_send(e, NULL, ask, sizeof(ask)), 1);
	while ((f = end_wait(e, 30000)) && memcmp(f->data + 12, "\x08\x06", 2) != 0)
		drop(e);
	cr_assert_not_null(f, "no answer to ARP");
	cr_assert_eq(f->data[21], 2, "a reply");
	memcpy(mac, f->data + 22, 6);
	drop(e);
}

static int listen_on(struct sockaddr_in *a)
{
	socklen_t n = sizeof(*a);
	int s = socket(AF_INET, SOCK_STREAM, 0);

	*a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	cr_assert_eq(bind(s, (struct sockaddr *)a, sizeof(*a)), 0);
	cr_assert_eq(listen(s, 4), 0);
	getsockname(s, (struct sockaddr *)a, &n);
	return s;
}

/* The next TCP frame, of the shape that libslirp sends. */
static struct net_frame *tcp_wait(struct end *e)
{
	struct net_frame *f;

	while ((f = end_wait(e, 30000)) && (memcmp(f->data + 12, "\x08\x00", 2) != 0 || f->data[23] != 6))
		drop(e);
	cr_assert_not_null(f, "no TCP frame");
	return f;
}

struct tcp_guest {
	struct end *e;
	uint8_t gateway[6];
	uint16_t port;
	uint32_t seq, ack;
};

/* flags and payload bytes of the stream at seq; whether large or not, the checksum is the cable's to complete */
static void tcp_send(struct tcp_guest *g, uint8_t flags, unsigned payload, unsigned gso)
{
	struct frame_spec s = {
	    .payload = payload, .flags = flags, .seq = g->seq, .ack = g->ack, .sport = 1234, .window = 60000};
	uint8_t *f = malloc(70000);
	unsigned bytes = frame_make(&s, f, true);
	struct net_hdr h = frame_hdr(&s, gso);

	memcpy(f, g->gateway, 6);
	memcpy(f + 6, guest_mac, 6);
	frame_put16(f + 36, g->port);
	/* the port is under the checksum, but not in its partial sum */
	cr_assert_eq(net_hdr_check(&h, f, bytes), 0);
	cr_assert_eq(end_send(g->e, &h, f, bytes), 1);
	g->seq += payload + (flags & 2);
	g->seq -= flags & 2 ? 1 : 0;
	free(f);
}

/* A connection of a hand-made guest to a server on the host: large segments out, put-together ones back. */
Test(net_user, carries_large_segments, .timeout = 120)
{
	struct tcp_guest g = {.e = end_open("user,host-loopback=on"), .seq = 100};
	struct sockaddr_in at;
	int s = listen_on(&at), c;
	struct net_frame *f;
	uint8_t *buf = malloc(1 << 17);
	uint32_t first = 0, got = 0, largest = 0;

	arp(g.e, g.gateway);
	g.port = ntohs(at.sin_port);
	tcp_send(&g, 2, 0, 0);
	c = accept(s, NULL, NULL);
	cr_assert_geq(c, 0);
	f = tcp_wait(g.e);
	cr_assert_eq(f->data[47] & 0x12, 0x12, "SYN, ACK");
	g.ack = frame_get32(f->data + 38) + 1;
	drop(g.e);
	first = g.seq;
	tcp_send(&g, 0x10, 0, 0);
	tcp_send(&g, 0x18, 40000, 1460);
	for (uint32_t n = 0; n < 40000;) {
		ssize_t k = recv(c, buf, 1 << 17, 0);

		cr_assert_gt(k, 0);
		for (ssize_t i = 0; i < k; i++)
			cr_assert_eq(buf[i], frame_byte(first + n + (uint32_t)i), "byte %zd after %u", i, n);
		n += (uint32_t)k;
	}
	for (uint32_t i = 0; i < 30000; i++)
		buf[i] = frame_byte(i);
	cr_assert_eq(send(c, buf, 30000, 0), 30000);
	while (got < 30000) {
		struct frame_spec shape = {0};
		unsigned n;

		f = tcp_wait(g.e);
		n = f->bytes - 54;
		net_csum_complete(&f->hdr, f->data, f->bytes);
		cr_assert(frame_right(&shape, f->data, f->bytes));
		cr_assert(!n || frame_get32(f->data + 38) == g.ack, "in order");
		for (unsigned i = 0; i < n; i++)
			cr_assert_eq(f->data[54 + i], frame_byte(got + i));
		got += n;
		g.ack += n;
		largest = f->bytes > largest ? f->bytes : largest;
		drop(g.e);
		if (n)
			tcp_send(&g, 0x10, 0, 0);
	}
	cr_assert_gt(largest, 1514, "segments come together");
	close(c);
	close(s);
	end_close(g.e);
	free(buf);
}

Test(net_user, forwards_and_names_a_taken_port, .timeout = 60)
{
	struct sockaddr_in at;
	int s = listen_on(&at);
	struct net_config cfg;
	struct options_error wrong = {""};
	struct net_error err = {""};
	struct net *n;
	char text[100], port[10];

	snprintf(port, sizeof(port), "%u", ntohs(at.sin_port));
	snprintf(text, sizeof(text), "user,hostfwd=tcp:127.0.0.1:%s-:22", port);
	cr_assert_eq(net_config_parse(text, &cfg, &wrong), 0);
	cr_assert_eq(net_open(&n, &cfg, &err), -EADDRINUSE);
	cr_assert_null(n);
	cr_assert_not_null(strstr(err.text, port), "%s", err.text);
	cr_assert_not_null(strstr(err.text, "in use"), "%s", err.text);
	close(s);
	cr_assert_eq(net_open(&n, &cfg, &err), 0, "%s", err.text);
	/* Somebody listens there now. */
	s = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(connect(s, (struct sockaddr *)&at, sizeof(at)), 0);
	close(s);
	net_close(n);
	s = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(connect(s, (struct sockaddr *)&at, sizeof(at)), -1, "and nobody any more");
	close(s);
	net_config_free(&cfg);
}

/* Frames of noise: libslirp and what feeds it survive, and still answer. */
static void noise(const char *text)
{
	struct end *e = end_open(text);
	uint8_t mac[6], *f = malloc(NET_MAX_FRAME_BYTES);
	uint64_t seed = 99;

	arp(e, mac);
	for (int i = 0; i < 20000; i++) {
		struct net_hdr h;
		uint32_t bytes;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		bytes = 14 + (seed >> 33) % (i % 64 ? 300 : NET_MAX_FRAME_BYTES - 14);
		for (uint32_t k = 0; k < bytes && k < 128; k++)
			f[k] = (uint8_t)(seed >> (k % 56)) ^ (uint8_t)(k * seed);
		memcpy(f, mac, 6);
		memcpy(f + 12, seed & 1 ? "\x08\x00\x45" : "\x86\xdd\x60", 3);
		memcpy(f + 26, "\x0a\x00\x02\x0f\x0a\x00\x02\x02", 8);
		f[23] = seed >> 8 & 1 ? 6 : 17;
		h = (struct net_hdr){.flags = seed >> 9 & 1,
				     .csum_start = 34,
				     .csum_offset = 16,
				     .gso_size = 100,
				     .gso_type = seed >> 10 & 1 ? (seed & 1 ? 1 : 4) : 0};
		if (seed & 1 && bytes > 34) {
			frame_put16(f + 16, bytes - 14);
			memset(f + 24, 0, 2);
			frame_put16(f + 24, 0xffff & ~frame_sum(0, f + 14, 20));
		}
		if (net_hdr_check(&h, f, bytes) == 0)
			while (!end_send(e, &h, f, bytes))
				usleep(100);
		while (net_rx_peek(e->n))
			drop(e);
	}
	arp(e, mac);
	end_close(e);
	free(f);
}

Test(net_user, survives_noise, .timeout = 120) { noise("user,host-loopback=on"); }
Test(net_user, survives_noise_through_the_policy, .timeout = 120) { noise("user"); }

/* ---- who reaches whom ---- */

/* A frame of the guest's: IPv4 with this protocol, to dst; l4 bytes at l4, whose checksum is the caller's. */
static void ip_send(struct tcp_guest *g, uint8_t proto, uint32_t dst, const uint8_t *l4, unsigned n)
{
	uint8_t f[200] = {0};

	memcpy(f, g->gateway, 6);
	memcpy(f + 6, guest_mac, 6);
	f[12] = 8;
	f[14] = 0x45;
	frame_put16(f + 16, 20 + n);
	f[22] = 64;
	f[23] = proto;
	frame_put32(f + 26, 0x0a00020f);
	frame_put32(f + 30, dst);
	frame_put16(f + 24, 0xffff & ~frame_sum(0, f + 14, 20));
	memcpy(f + 34, l4, n);
	cr_assert_eq(end_send(g->e, NULL, f, 34 + n), 1);
}

/* TCP without payload, by g's seq and ack; SYN counts. */
static void segment_send(struct tcp_guest *g, uint32_t dst, uint16_t sport, uint16_t dport, uint8_t flags)
{
	uint8_t l4[20] = {0}, pseudo[12] = {10, 0, 2, 15, [9] = 6, [11] = 20};

	frame_put16(l4, sport);
	frame_put16(l4 + 2, dport);
	frame_put32(l4 + 4, g->seq);
	frame_put32(l4 + 8, g->ack);
	l4[12] = 5 << 4;
	l4[13] = flags;
	frame_put16(l4 + 14, 60000);
	frame_put32(pseudo + 4, dst);
	frame_put16(l4 + 16, 0xffff & ~frame_sum(frame_sum(0, pseudo, 12), l4, 20));
	ip_send(g, 6, dst, l4, 20);
	g->seq += flags & 2 ? 1 : 0;
}

static void datagram_send(struct tcp_guest *g, uint32_t dst, uint16_t sport, uint16_t dport, const char text[4])
{
	uint8_t l4[12] = {0};

	frame_put16(l4, sport);
	frame_put16(l4 + 2, dport);
	frame_put16(l4 + 4, sizeof(l4));
	memcpy(l4 + 8, text, 4);
	ip_send(g, 17, dst, l4, sizeof(l4));
}

/* The next frame of IPv4 with this protocol. */
static struct net_frame *ip_wait(struct tcp_guest *g, uint8_t proto, int ms)
{
	struct net_frame *f;

	while ((f = end_wait(g->e, ms)) && (memcmp(f->data + 12, "\x08\x00", 2) != 0 || f->data[23] != proto))
		drop(g->e);
	return f;
}

/* Is the next thing that the guest hears of ICMP "administratively prohibited"? */
static bool told_off(struct tcp_guest *g)
{
	struct net_frame *f = ip_wait(g, 1, 20000);
	bool yes = f && f->data[34] == 3 && f->data[35] == 13;

	cr_assert_not_null(f, "no answer at all");
	drop(g->e);
	return yes;
}

static bool comes(int s, int ms)
{
	struct pollfd p = {.fd = s, .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

static struct tcp_guest guest_open(const char *text)
{
	struct tcp_guest g = {.e = end_open(text), .seq = 100};

	arp(g.e, g.gateway);
	return g;
}

static void on_complaint(void *opaque, const char *line)
{
	cr_expect_not_null(strstr(line, "host-loopback=on"), "%s", line);
	++*(int *)opaque;
}

/* By the gateway's address, the host's own, others of the NAT's and the host's, the name server's; TCP and UDP. */
Test(net_user, hosts_loopback_is_not_the_guests, .timeout = 120)
{
	static const uint32_t ways[] = {0x0a000202, 0x7f000001, 0x0a00024d, 0x7f000002, 0, 0x0a000203};
	struct tcp_guest g = guest_open("user");
	struct sockaddr_in at, udp_at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int s = listen_on(&at), udp = socket(AF_INET, SOCK_DGRAM, 0), complaints = 0;
	socklen_t n = sizeof(udp_at);
	char text[4];

	cr_assert_eq(bind(udp, (struct sockaddr *)&udp_at, sizeof(udp_at)), 0);
	getsockname(udp, (struct sockaddr *)&udp_at, &n);
	g.e->n->complain = on_complaint;
	g.e->n->complain_opaque = &complaints;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		segment_send(&g, ways[i], 4000, ntohs(at.sin_port), 2);
		cr_expect(told_off(&g), "TCP by %08x", ways[i]);
		datagram_send(&g, ways[i], 4000, ntohs(udp_at.sin_port), "way?");
		cr_expect(told_off(&g), "UDP by %08x", ways[i]);
	}
	cr_expect_not(comes(s, 200));
	cr_expect_not(comes(udp, 1));
	cr_expect_eq(complaints, 1, "one line, however often");
	cr_expect_eq(net_count(g.e->n).tx_refused, 2 * ARRAY_LEN(ways));
	end_close(g.e);
	/* Where it is asked for, the first two are ways: the test above is none of nothing. */
	g = guest_open("user,host-loopback=on");
	for (size_t i = 0; i < 2; i++) {
		segment_send(&g, ways[i], (uint16_t)(4000 + i), ntohs(at.sin_port), 2);
		cr_assert(comes(s, 20000), "by %08x", ways[i]);
		close(accept(s, NULL, NULL));
		datagram_send(&g, ways[i], (uint16_t)(4000 + i), ntohs(udp_at.sin_port), "way!");
		cr_assert(comes(udp, 20000), "UDP by %08x", ways[i]);
		recv(udp, text, 4, 0);
	}
	close(s);
	close(udp);
	end_close(g.e);
}

/* A free port of both addresses, for TCP or UDP. */
static uint16_t free_port(int type)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t n = sizeof(a);
	int s = socket(AF_INET, type, 0);

	cr_assert_eq(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	getsockname(s, (struct sockaddr *)&a, &n);
	close(s);
	return ntohs(a.sin_port);
}

/* 0 or errno; *out is the connection. */
static int try_connect(uint32_t addr, uint16_t port, int *out)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(addr)}};
	int s = socket(AF_INET, SOCK_STREAM, 0), r = connect(s, (struct sockaddr *)&a, sizeof(a)) ? errno : 0;

	*out = s;
	return r;
}

/* 127.0.0.2 stands for every other address of the host. */
Test(net_user, forwards_on_the_loopback_unless_told, .timeout = 60)
{
	static const struct {
		const char *addr;
		int here, elsewhere;
	} cases[] = {
	    {"", 0, ECONNREFUSED}, {"127.0.0.1", 0, ECONNREFUSED}, {"127.0.0.2", ECONNREFUSED, 0}, {"0.0.0.0", 0, 0}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint16_t port = free_port(SOCK_STREAM);
		char text[100];
		struct end *e;
		int s;

		snprintf(text, sizeof(text), "user,hostfwd=tcp:%s:%u-:22", cases[i].addr, port);
		e = end_open(text);
		cr_expect_eq(try_connect(0x7f000001, port, &s), cases[i].here, "%s", text);
		close(s);
		cr_expect_eq(try_connect(0x7f000002, port, &s), cases[i].elsewhere, "%s", text);
		close(s);
		end_close(e);
	}
}

/* The guest's server answers a connection that came by hostfwd=, whatever else is closed to it. */
static void serve_forwarded(const char *more)
{
	uint16_t port = free_port(SOCK_STREAM), client;
	char text[100], answer[1];
	struct tcp_guest g;
	struct net_frame *f;
	int s;

	snprintf(text, sizeof(text), "user,hostfwd=tcp::%u-:22%s", port, more);
	g = guest_open(text);
	cr_assert_eq(try_connect(0x7f000001, port, &s), 0);
	f = ip_wait(&g, 6, 20000);
	cr_assert_not_null(f);
	cr_expect_eq(f->data[47], 2, "SYN");
	cr_expect_eq(frame_get32(f->data + 26), 0x0a000202);
	client = (uint16_t)frame_get16(f->data + 34);
	g.ack = frame_get32(f->data + 38) + 1;
	drop(g.e);
	segment_send(&g, 0x0a000202, 22, client, 0x12);
	/* Established, and closed by the guest: both are seen by the client. */
	f = ip_wait(&g, 6, 20000);
	cr_assert(f && f->data[47] & 0x10);
	drop(g.e);
	segment_send(&g, 0x0a000202, 22, client, 0x11);
	cr_expect(comes(s, 20000));
	cr_expect_eq(recv(s, answer, 1, 0), 0, "end of file");
	close(s);
	end_close(g.e);
}

Test(net_user, serves_forwarded_tcp, .timeout = 60) { serve_forwarded(""); }
Test(net_user, serves_forwarded_tcp_restricted, .timeout = 60) { serve_forwarded(",restrict=on"); }

/* A datagram to a forwarded port is answered, and nobody else's port is reached on its way. */
static void answer_forwarded(const char *more)
{
	uint16_t port = free_port(SOCK_DGRAM), client;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in other_at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int s = socket(AF_INET, SOCK_DGRAM, 0), other = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t n = sizeof(other_at);
	char text[100], answer[4] = "";
	struct tcp_guest g;
	struct net_frame *f;

	cr_assert_eq(bind(other, (struct sockaddr *)&other_at, sizeof(other_at)), 0);
	getsockname(other, (struct sockaddr *)&other_at, &n);
	snprintf(text, sizeof(text), "user,hostfwd=udp::%u-:53%s", port, more);
	g = guest_open(text);
	cr_assert_eq(sendto(s, "ask?", 4, 0, (struct sockaddr *)&to, sizeof(to)), 4);
	f = ip_wait(&g, 17, 20000);
	cr_assert_not_null(f);
	client = (uint16_t)frame_get16(f->data + 34);
	cr_expect_eq(memcmp(f->data + 42, "ask?", 4), 0);
	drop(g.e);
	datagram_send(&g, 0x0a000202, 53, ntohs(other_at.sin_port), "evil");
	cr_expect(told_off(&g), "not to another port");
	datagram_send(&g, 0x0a000202, 54, client, "evil");
	cr_expect(told_off(&g), "nor from another");
	datagram_send(&g, 0x0a000202, 53, client, "told");
	cr_expect(comes(s, 20000));
	cr_expect_eq(recv(s, answer, sizeof(answer), 0), 4);
	cr_expect_eq(memcmp(answer, "told", 4), 0);
	cr_expect_not(comes(other, 100));
	close(s);
	close(other);
	end_close(g.e);
}

Test(net_user, answers_forwarded_udp, .timeout = 60) { answer_forwarded(""); }
Test(net_user, answers_forwarded_udp_restricted, .timeout = 60) { answer_forwarded(",restrict=on"); }
