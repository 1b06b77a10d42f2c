/* SPDX-License-Identifier: MIT */
/* The switch of a monitor: who gets a frame, what a port that does not read loses, and the gateway. */
#include "pv-drivers/net/net_lan.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/pv_net_end.h"

enum { SMALL = 60, MEMBERS = 6 };

static void mac_of(const struct end *e, uint8_t mac[6]) { net_mac(e->n, mac); }

static void send_mac(struct end *e, const uint8_t *to, const uint8_t *from, uint8_t what)
{
	uint8_t f[SMALL] = {0};

	memcpy(f, to, 6);
	memcpy(f + 6, from, 6);
	f[20] = what;
	cr_assert_eq(end_send(e, NULL, f, sizeof(f)), 1);
}

static void send_to(struct end *e, const struct end *to, uint8_t what)
{
	uint8_t a[6], b[6];

	mac_of(to, a);
	mac_of(e, b);
	send_mac(e, a, b, what);
}

/* What is sent is there when net_send() returns. */
static void expect(struct end *e, uint8_t what)
{
	struct net_frame *f = net_rx_peek(e->n);

	cr_assert_not_null(f, "frame %u did not come", what);
	cr_assert_eq(f->bytes, SMALL);
	cr_assert_eq(f->data[20], what, "frame %u, wanted %u", f->data[20], what);
	drop(e);
}

static void expect_nothing(struct end *e) { cr_assert_null(net_rx_peek(e->n)); }

static const uint8_t all[6] = {255, 255, 255, 255, 255, 255}, group[6] = {0x33, 0x33, 0, 0, 0, 1},
		     far[6] = {2, 9, 9, 9, 9, 9}, nobody[6] = {2, 8, 8, 8, 8, 8};

static struct net_switch *make_switch(void)
{
	struct net_switch *sw;

	cr_assert_eq(net_switch_new(&sw, NULL), 0);
	return sw;
}

Test(net_lan, own_addresses)
{
	struct net_switch *sw = make_switch();
	struct end *e[6];
	uint8_t m[6];

	for (unsigned i = 0; i < 4; i++)
		e[i] = end_open_on(sw, i < 3 ? i : 300, "lan");
	mac_of(e[0], m);
	cr_assert_arr_eq(m, "\x02\0\0\0\0\x01", 6);
	mac_of(e[2], m);
	cr_assert_arr_eq(m, "\x02\0\0\0\x02\x01", 6, "by the machine's number");
	mac_of(e[3], m);
	cr_assert_arr_eq(m, "\x02\0\0\x01\x2c\x01", 6);
	e[4] = end_open_on(sw, 2, "lan");
	mac_of(e[4], m);
	cr_assert_arr_eq(m, "\x02\0\0\0\x02\x02", 6, "the next that is free");
	e[5] = end_open_on(sw, 2, "lan=other");
	mac_of(e[5], m);
	cr_assert_arr_eq(m, "\x02\0\0\0\x02\x01", 6, "another lan");
	for (unsigned i = 0; i < 6; i++)
		end_close(e[i]);
	net_switch_free(sw);
}

Test(net_lan, an_address_belongs_to_one_card)
{
	struct net_switch *sw = make_switch();
	struct net_config cfg = {.kind = NET_LAN, .has_mac = true, .mac = {2, 0, 0, 0, 0, 1}, .net_switch = sw};
	struct end *a = end_open_on(sw, 0, "lan"), *b;
	struct net_error err = {""};
	struct net *n;

	cr_assert_eq(net_open(&n, &cfg, &err), -EADDRINUSE);
	cr_assert_not_null(strstr(err.text, "mac=02:00:00:00:00:01"), "%s", err.text);
	end_close(a);
	b = end_open_on(sw, 0, "lan,mac=02:00:00:00:00:01");
	a = end_open_on(sw, 0, "lan");
	send_to(a, b, 1);
	expect(b, 1);
	end_close(a);
	end_close(b);
	net_switch_free(sw);
}

Test(net_lan, is_a_switch)
{
	struct net_switch *sw = make_switch();
	struct end *a = end_open_on(sw, 0, "lan"), *b = end_open_on(sw, 1, "lan"), *c = end_open_on(sw, 2, "lan");
	struct end *alone = end_open_on(sw, 3, "lan=alone");
	uint8_t mac_a[6], mac_b[6];

	mac_of(a, mac_a);
	mac_of(b, mac_b);
	/* What has never spoken is known: it is a card's own. */
	send_to(a, b, 1);
	cr_assert_eq(sem_trywait(&b->woken), 0, "it sleeps, and is to be told");
	send_to(a, b, 2);
	cr_assert_eq(sem_trywait(&b->woken), -1, "once");
	expect(b, 1);
	expect(b, 2);
	send_mac(a, all, mac_a, 2);
	expect(b, 2);
	expect(c, 2);
	send_mac(b, group, mac_b, 3);
	expect(a, 3);
	expect(c, 3);
	/* Behind a card: to all, until it speaks. */
	send_mac(a, far, mac_a, 4);
	expect(b, 4);
	expect(c, 4);
	send_mac(b, mac_a, far, 5);
	expect(a, 5);
	send_mac(a, far, mac_a, 6);
	expect(b, 6);
	/* It moves. */
	send_mac(c, mac_a, far, 7);
	expect(a, 7);
	send_mac(a, far, mac_a, 8);
	expect(c, 8);
	end_close(a);
	end_close(b);
	end_close(c);
	expect_nothing(alone);
	end_close(alone);
	net_switch_free(sw);
}

Test(net_lan, what_is_learned_and_what_not)
{
	struct net_switch *sw = make_switch();
	struct end *a = end_open_on(sw, 0, "lan"), *b = end_open_on(sw, 1, "lan"), *c = end_open_on(sw, 2, "lan");
	struct end *alone = end_open_on(sw, 3, "lan=alone");
	uint8_t mac_a[6], mac_b[6];

	mac_of(a, mac_a);
	mac_of(b, mac_b);
	send_mac(c, mac_a, far, 8);
	expect(a, 8);
	/* Nobody takes a card's own address. */
	send_mac(c, mac_a, mac_b, 9);
	expect(a, 9);
	send_mac(a, mac_b, mac_a, 10);
	expect(b, 10);
	/* To oneself, nor a group or nothing as the sender. */
	send_mac(a, mac_a, mac_a, 11);
	cr_assert_eq(net_count(a->n).tx_dropped, 1);
	send_mac(b, mac_a, group, 12);
	expect(a, 12);
	send_mac(b, mac_a, (const uint8_t[6]){0}, 13);
	expect(a, 13);
	send_mac(a, (const uint8_t[6]){0}, mac_a, 14);
	expect(b, 14);
	expect(c, 14);
	/* What was behind it goes with it. */
	end_close(c);
	send_mac(a, far, mac_a, 15);
	expect(b, 15);
	expect_nothing(a);
	expect_nothing(b);
	send_mac(alone, all, far, 16);
	cr_assert_eq(net_count(alone->n).tx_dropped, 1, "nobody there");
	expect_nothing(alone);
	end_close(b);
	send_mac(a, all, mac_a, 17);
	end_close(a);
	end_close(alone);
	net_switch_free(sw);
}

/* Up to 64 KiB in one piece, with what is left to the receiver; what was copied is counted. */
Test(net_lan, large_frames)
{
	struct net_switch *sw = make_switch();
	struct end *a = end_open_on(sw, 0, "lan"), *b = end_open_on(sw, 1, "lan"), *c = end_open_on(sw, 2, "lan");
	struct frame_spec s = {.payload = 65535 - 40, .flags = 0x10};
	struct net_hdr h = frame_hdr(&s, 1448);
	uint8_t *f = calloc(1, NET_MAX_FRAME_BYTES);
	uint32_t bytes = frame_make(&s, f, true);
	struct net_frame *got;
	struct net_counters n;

	mac_of(b, f);
	mac_of(a, f + 6);
	cr_assert_eq(net_hdr_check(&h, f, bytes), 0);
	cr_assert_eq(end_send(a, &h, f, bytes), 1);
	got = net_rx_peek(b->n);
	cr_assert_not_null(got);
	cr_assert_eq(got->bytes, bytes);
	cr_assert_arr_eq(got->data, f, bytes);
	cr_assert_arr_eq(&got->hdr, &h, sizeof(h));
	drop(b);
	memset(f, 0xff, 6);
	cr_assert_eq(end_send(a, NULL, f, NET_MAX_FRAME_BYTES), 1);
	for (unsigned i = 0; i < 2; i++) {
		got = net_rx_peek((i ? b : c)->n);
		cr_assert_not_null(got);
		cr_assert_eq(got->bytes, NET_MAX_FRAME_BYTES);
		cr_assert_arr_eq(got->data, f, NET_MAX_FRAME_BYTES);
		drop(i ? b : c);
	}
	n = net_count(a->n);
	cr_assert_eq(n.copied_bytes, bytes + 2u * NET_MAX_FRAME_BYTES);
	cr_assert_eq(n.tx_dropped, 0);
	cr_assert_eq(a->n->mtu, 65535);
	end_close(a);
	end_close(b);
	end_close(c);
	free(f);
	net_switch_free(sw);
}

/* A machine that never reads: its own frames are lost, counted, and nobody else's. */
Test(net_lan, holds_nobody_up)
{
	struct net_switch *sw = make_switch();
	struct end *a = end_open_on(sw, 0, "lan"), *deaf = end_open_on(sw, 1, "lan"), *c = end_open_on(sw, 2, "lan");
	uint8_t *f = calloc(1, 60000), mac_c[6], mac_deaf[6];
	struct net_counters n;
	unsigned kept = 0;

	mac_of(c, mac_c);
	mac_of(deaf, mac_deaf);
	mac_of(a, f + 6);
	for (unsigned i = 0; i < 500; i++) {
		memcpy(f, mac_deaf, 6);
		cr_assert_eq(end_send(a, NULL, f, 60000), 1, "taken or lost, never refused");
		memcpy(f, i % 2 ? all : mac_c, 6);
		f[20] = (uint8_t)i;
		cr_assert_eq(end_send(a, NULL, f, SMALL), 1);
		expect(c, (uint8_t)i);
	}
	n = net_count(deaf->n);
	cr_assert_geq(n.rx_no_room, 400);
	for (struct net_frame *g; (g = net_rx_peek(deaf->n)); kept++)
		drop(deaf);
	cr_assert_eq(kept + n.rx_no_room, 500 + 250);
	cr_assert_geq(kept, 20);
	cr_assert_eq(net_count(c->n).rx_no_room, 0);
	send_to(a, deaf, 7);
	cr_assert_not_null(net_rx_peek(deaf->n), "it reads again");
	drop(deaf);
	/* One whose driver has stopped is nobody. */
	net_listen(deaf->n, false);
	n = net_count(a->n);
	send_to(a, deaf, 8);
	cr_assert_eq(net_count(a->n).tx_dropped, n.tx_dropped + 1);
	expect_nothing(deaf);
	end_close(a);
	end_close(deaf);
	end_close(c);
	free(f);
	net_switch_free(sw);
}

static bool put_nothing(struct lan_port *p, const struct lan_frame *f) { return false; }

Test(net_lan, bounds_ports)
{
	static struct lan_port p[LAN_MAX_PORTS + 1];
	struct net_switch *sw = make_switch();
	struct net_config cfg = {.kind = NET_LAN, .lan = "x", .net_switch = sw};
	struct net_lan *lan = lan_get(sw, "x");
	struct net_error err = {""};
	struct net *n;

	for (unsigned i = 0; i <= LAN_MAX_PORTS; i++)
		p[i] = (struct lan_port){.mac = lan_mac(far), .put = put_nothing};
	for (unsigned i = 0; i < LAN_MAX_PORTS; i++)
		cr_assert_eq(lan_join(lan, &p[i], false), 0);
	cr_assert_eq(lan_join(lan, &p[LAN_MAX_PORTS], false), -ENOSPC);
	cr_assert_eq(net_open(&n, &cfg, &err), -ENOSPC);
	cr_assert_not_null(strstr(err.text, "lan=x: more than 1024 cards"), "%s", err.text);
	cr_assert_eq(p[LAN_MAX_PORTS - 1].mac, lan_mac(far) + LAN_MAX_PORTS - 1);
	for (unsigned i = 0; i < LAN_MAX_PORTS; i++)
		lan_leave(&p[i]);
	lan_release(lan);
	net_switch_free(sw);
}

/* ---- random frames, against a list ---- */

struct model {
	struct net_switch *sw;
	struct end *e[MEMBERS];
	bool listens[MEMBERS];
	uint8_t own[MEMBERS][6];
	int behind[256]; /* where address 02:09:..:N is; -1: not known */
	uint64_t seed;
	uint32_t sent;
};

static uint32_t pick(struct model *m, uint32_t n)
{
	m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(m->seed >> 33) % n;
}

static void model_open(struct model *m, unsigned i)
{
	m->e[i] = end_open_on(m->sw, i, "lan");
	m->listens[i] = true;
	mac_of(m->e[i], m->own[i]);
}

static void model_close(struct model *m, unsigned i)
{
	end_close(m->e[i]);
	m->e[i] = NULL;
	for (unsigned k = 0; k < ARRAY_LEN(m->behind); k++)
		m->behind[k] = m->behind[k] == (int)i ? -1 : m->behind[k];
}

/* An address: a card's own, one behind a card, all. Returns the member that has it, -1 if none or all. */
static int pick_address(struct model *m, uint8_t mac[6])
{
	uint32_t what = pick(m, 10), i = pick(m, MEMBERS);

	memcpy(mac, what ? far : all, 6);
	if (what > 5) {
		mac[5] = (uint8_t)pick(m, 256);
		return m->behind[mac[5]];
	}
	if (!what || !m->e[i])
		return -1;
	memcpy(mac, m->own[i], 6);
	return (int)i;
}

static void model_send(struct model *m, unsigned from)
{
	uint8_t f[2000] = {0};
	uint32_t bytes = SMALL + pick(m, sizeof(f) - SMALL);
	int to = pick_address(m, f), other = pick_address(m, f + 6);

	if (f[6] == 0xff)
		memcpy(f + 6, m->own[from], 6);
	else if (memcmp(f + 6, far, 5) == 0)
		m->behind[f[11]] = (int)from;
	(void)other;
	if (f[0] != 0xff && memcmp(f, far, 5) == 0)
		to = m->behind[f[5]];
	m->sent++;
	memcpy(f + 14, &m->sent, 4);
	f[bytes - 1] = (uint8_t)(m->sent * 7);
	cr_assert_eq(end_send(m->e[from], NULL, f, bytes), 1);
	for (int i = 0; i < MEMBERS; i++) {
		struct net_frame *g = m->e[i] ? net_rx_peek(m->e[i]->n) : NULL;
		bool want = m->e[i] && m->listens[i] && i != (int)from && (to < 0 || to == i);

		cr_assert_eq(!!g, want, "frame %u from %u to %d: at %d", m->sent, from, to, i);
		if (!g)
			continue;
		cr_assert_eq(g->bytes, bytes);
		cr_assert_arr_eq(g->data, f, bytes);
		drop(m->e[i]);
	}
}

Test(net_lan, random_frames)
{
	struct model m = {.sw = make_switch(), .seed = 20};
	const char *seed = getenv("DISCO_SEED");

	m.seed = seed ? strtoull(seed, NULL, 0) : m.seed;
	memset(m.behind, -1, sizeof(m.behind));
	for (unsigned step = 0; step < 50000; step++) {
		unsigned i = pick(&m, MEMBERS), what = pick(&m, 100);

		if (!m.e[i]) {
			model_open(&m, i);
		} else if (what == 0) {
			model_close(&m, i);
		} else if (what == 1) {
			m.listens[i] = !m.listens[i];
			net_listen(m.e[i]->n, m.listens[i]);
		} else {
			model_send(&m, i);
		}
	}
	for (unsigned i = 0; i < MEMBERS; i++)
		if (m.e[i])
			end_close(m.e[i]);
	net_switch_free(m.sw);
}

/* More addresses than are remembered: none is lost, some go to all. */
Test(net_lan, forgets_when_full)
{
	struct net_switch *sw = make_switch();
	struct end *a = end_open_on(sw, 0, "lan"), *b = end_open_on(sw, 1, "lan"), *c = end_open_on(sw, 2, "lan");
	uint8_t mac[6] = {2, 9}, mac_a[6];
	unsigned to_all = 0;

	mac_of(a, mac_a);
	for (unsigned i = 0; i < 4 * LAN_LEARNED; i++) {
		frame_put16(mac + 4, i);
		send_mac(b, mac_a, mac, 1);
		expect(a, 1);
	}
	for (unsigned i = 0; i < 4 * LAN_LEARNED; i++) {
		frame_put16(mac + 4, i);
		send_mac(a, mac, mac_a, 2);
		expect(b, 2);
		to_all += net_rx_peek(c->n) != NULL;
		while (net_rx_peek(c->n))
			drop(c);
	}
	cr_assert_geq(to_all, 3 * LAN_LEARNED, "%u", to_all);
	cr_assert_leq(to_all, 4 * LAN_LEARNED - LAN_LEARNED / 2, "%u", to_all);
	end_close(a);
	end_close(b);
	end_close(c);
	net_switch_free(sw);
}

/* ---- the gateway ---- */

/* ARP: who has 10.0.2.N? */
static void ask(struct end *e, uint8_t n)
{
	uint8_t f[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1};

	mac_of(e, f + 6);
	mac_of(e, f + 22);
	memcpy(f + 28, "\x0a\0\x02", 3);
	f[31] = (uint8_t)(100 + f[10]);
	memcpy(f + 38, "\x0a\0\x02", 3);
	f[41] = n;
	cr_assert_eq(end_send(e, NULL, f, sizeof(f)), 1);
}

/* The answer's address; false: there is none. */
static bool answered(struct end *e, uint8_t mac[6], int ms)
{
	struct net_frame *f;
	bool yes;

	while ((f = end_wait(e, ms))) {
		yes = f->bytes >= 42 && memcmp(f->data + 12, "\x08\x06", 2) == 0 && f->data[21] == 2;
		if (yes)
			memcpy(mac, f->data + 22, 6);
		drop(e);
		if (yes)
			return true;
	}
	return false;
}

static void quiet(struct end *e)
{
	while (net_rx_peek(e->n))
		drop(e);
}

/* Echo request to 10.0.2.2, `payload` bytes; to: Ethernet's destination. */
static void ping(struct end *e, const uint8_t *to, const char *ip, uint16_t payload)
{
	uint8_t *f = calloc(1, NET_MAX_FRAME_BYTES);
	unsigned bytes = 14u + 20 + 8 + payload;

	memcpy(f, to, 6);
	mac_of(e, f + 6);
	frame_put16(f + 12, 0x0800);
	f[14] = 0x45;
	frame_put16(f + 16, bytes - 14);
	f[22] = 64;
	f[23] = 1;
	memcpy(f + 26, "\x0a\0\x02", 3);
	f[29] = (uint8_t)(100 + f[10]);
	memcpy(f + 30, ip, 4);
	frame_put16(f + 24, 0xffff & ~frame_sum(0, f + 14, 20));
	f[34] = 8;
	frame_put16(f + 36, 0xffff & ~frame_sum(0, f + 34, bytes - 34));
	cr_assert_eq(end_send(e, NULL, f, bytes), 1);
	free(f);
}

/* The next ICMP frame's type, or -1. */
static int icmp(struct end *e, int ms)
{
	struct net_frame *f;
	int type = -1;

	while (type < 0 && (f = end_wait(e, ms))) {
		if (memcmp(f->data + 12, "\x08\0", 2) == 0 && f->data[23] == 1)
			type = f->data[34];
		drop(e);
	}
	return type;
}

Test(net_lan, gateway, .timeout = 120)
{
	struct net_switch *sw = make_switch();
	struct end *a = end_open_on(sw, 0, "lan,gateway=on"), *b = end_open_on(sw, 1, "lan");
	struct end *c = end_open_on(sw, 2, "lan,gateway=on"), *alone = end_open_on(sw, 3, "lan=alone");
	uint8_t mac[6], mac_b[6];

	for (unsigned i = 0; i < 3; i++) {
		struct end *e = i == 0 ? a : i == 1 ? b : c;

		ask(e, 2);
		cr_assert(answered(e, mac, 30000), "machine %u: no gateway", i);
		cr_assert_arr_eq(mac, "\x52\x55\x0a\0\x02\x02", 6);
		ping(e, mac, "\x0a\0\x02\x02", 500);
		cr_assert_eq(icmp(e, 30000), 0, "machine %u: no answer", i);
	}
	quiet(a);
	quiet(b);
	quiet(c);
	/* What machines say to each other is none of its business: it is neither carried nor refused. */
	mac_of(b, mac_b);
	ping(a, mac_b, "\x0a\0\x02\x65", 100);
	cr_assert_eq(icmp(b, 30000), 8);
	ping(a, all, "\x0a\0\x02\xff", 100);
	cr_assert_eq(icmp(b, 30000), 8);
	ping(a, nobody, "\x0a\0\x02\x63", 100);
	cr_assert_eq(icmp(b, 30000), 8);
	/* What it refuses, to its own address, comes at once: nothing else did before. */
	ping(a, mac, "\x7f\0\0\x01", 100);
	cr_assert_eq(icmp(a, 30000), 3);
	cr_assert_eq(icmp(a, 300), -1);
	/* Nobody else is the gateway. */
	quiet(b);
	send_mac(b, all, mac, 1);
	quiet(a);
	ping(a, mac, "\x0a\0\x02\x02", 10);
	cr_assert_eq(icmp(a, 30000), 0);
	expect_nothing(b);
	ask(alone, 2);
	cr_assert_not(answered(alone, mac, 300), "another lan");
	/* It is there as long as somebody asks for it. */
	end_close(a);
	ask(b, 2);
	cr_assert(answered(b, mac, 30000));
	end_close(c);
	ask(b, 2);
	cr_assert_not(answered(b, mac, 300));
	end_close(b);
	end_close(alone);
	net_switch_free(sw);
}

static bool listens(const struct sockaddr_in *at)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);
	bool yes = connect(s, (const struct sockaddr *)at, sizeof(*at)) == 0;

	close(s);
	return yes;
}

/* A port of the host's that is free. */
static struct sockaddr_in free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(a);
	int s = socket(AF_INET, SOCK_STREAM, 0);

	cr_assert_eq(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	getsockname(s, (struct sockaddr *)&a, &n);
	close(s);
	return a;
}

/* The next frame asks by ARP for 10.0.2.N: somebody connects to a port that leads there. */
static bool asked_for(struct end *e, uint8_t n)
{
	struct net_frame *f;
	bool yes = false;

	while (!yes && (f = end_wait(e, 30000))) {
		yes = memcmp(f->data + 12, "\x08\x06", 2) == 0 && f->data[21] == 1 && f->data[41] == n;
		drop(e);
	}
	return yes;
}

/* Each machine brings its own forwarded ports, and takes them with it; what two ask for alike is there as long as one of them. */
Test(net_lan, forwards_of_each, .timeout = 120)
{
	struct net_switch *sw = make_switch();
	struct sockaddr_in p[3] = {free_port(), free_port(), free_port()};
	struct net_error err = {""};
	struct options_error wrong = {""};
	struct net_config cfg;
	struct end *e[2];
	char text[200];
	struct net *n;

	for (unsigned i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), "lan,gateway=on,hostfwd=tcp::%u-:22,hostfwd=tcp::%u-10.0.2.77:80",
			 ntohs(p[i].sin_port), ntohs(p[2].sin_port));
		e[i] = end_open_on(sw, i + 1, text);
	}
	for (unsigned i = 0; i < 3; i++) {
		cr_assert(listens(&p[i]), "port %u", i);
		cr_assert(asked_for(e[0], i < 2 ? 101 + i : 77), "port %u leads elsewhere", i);
	}
	/* A port that is taken: nothing of it stays. */
	snprintf(text, sizeof(text), "lan,gateway=on,hostfwd=udp::%u-:5,hostfwd=tcp::%u-:23", ntohs(p[1].sin_port),
		 ntohs(p[0].sin_port));
	cr_assert_eq(net_config_parse(text, &cfg, &wrong), 0);
	cfg.net_switch = sw;
	cfg.machine = 9;
	cr_assert_eq(net_open(&n, &cfg, &err), -EADDRINUSE);
	cr_assert_not_null(strstr(err.text, "in use"), "%s", err.text);
	end_close(e[0]);
	cr_assert_not(listens(&p[0]));
	cr_assert(listens(&p[1]));
	cr_assert(listens(&p[2]));
	cr_assert_eq(net_open(&n, &cfg, &err), 0, "%s", err.text);
	cr_assert(listens(&p[0]), "it is another one's now");
	net_close(n);
	net_config_free(&cfg);
	end_close(e[1]);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_not(listens(&p[i]), "port %u", i);
	net_switch_free(sw);
}

Test(net_lan, one_gateway, .timeout = 120)
{
	struct net_switch *sw = make_switch();
	struct end *a = end_open_on(sw, 0, "lan=x,gateway=on,restrict=on"), *b;
	struct net_config cfg;
	struct options_error wrong = {""};
	struct net_error err = {""};
	struct net *n;

	cr_assert_eq(net_config_parse("lan=x,gateway=on", &cfg, &wrong), 0);
	cfg.net_switch = sw;
	cr_assert_eq(net_open(&n, &cfg, &err), -EEXIST);
	cr_assert_not_null(strstr(err.text, "lan=x: its gateway"), "%s", err.text);
	b = end_open_on(sw, 1, "lan=x,restrict=on,gateway=on");
	end_close(a);
	end_close(b);
	cr_assert_eq(net_open(&n, &cfg, &err), 0, "%s", err.text);
	net_config_free(&cfg);
	net_close(n);
	net_switch_free(sw);
}
