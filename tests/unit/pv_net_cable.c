/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/pv_net_frames.h"

/* ---- the ring ---- */

Test(net_ring, keeps_order_and_bytes_around_its_end)
{
	struct net_ring r;
	uint32_t put = 0, got = 0, fill, most = 0;
	uint64_t seed = 7;

	cr_assert_eq(net_ring_init(&r, 1 << 18), 0);
	while (got < 20000) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		for (fill = seed >> 60; fill; fill--) {
			uint32_t bytes = (put * 7919) % (put % 16 ? 2000 : NET_MAX_FRAME_BYTES + 1);
			struct net_frame *f = net_ring_reserve(&r, bytes + put % 3 * 100);

			if (!f)
				break;
			cr_assert((uint8_t *)f >= r.mem && f->data + bytes <= r.mem + r.size);
			f->bytes = bytes;
			memset(f->data, (int)put, bytes);
			cr_assert_not(net_ring_commit(&r, f), "nobody sleeps");
			put++;
		}
		most = put - got > most ? put - got : most;
		for (unsigned n = seed >> 40 & 15; n && net_ring_peek(&r); n--) {
			struct net_frame *f = net_ring_peek(&r);

			cr_assert_eq(f->bytes, (got * 7919) % (got % 16 ? 2000 : NET_MAX_FRAME_BYTES + 1));
			for (uint32_t i = 0; i < f->bytes; i++)
				if (f->data[i] != (uint8_t)got)
					cr_assert_fail("frame %u, byte %u", got, i);
			cr_assert_not(net_ring_pop(&r));
			got++;
		}
	}
	cr_assert_gt(most, 20);
	net_ring_free(&r);
}

Test(net_ring, wakes_once)
{
	struct net_ring r;
	struct net_frame *f;
	unsigned n = 0, wakes = 0;

	cr_assert_eq(net_ring_init(&r, 1 << 18), 0);
	cr_assert(net_ring_sleep(&r));
	f = net_ring_reserve(&r, 10);
	f->bytes = 10;
	cr_assert(net_ring_commit(&r, f), "the consumer sleeps");
	f = net_ring_reserve(&r, 10);
	f->bytes = 10;
	cr_assert_not(net_ring_commit(&r, f), "it has been woken");
	cr_assert_not(net_ring_sleep(&r), "something is there");
	/* Full: the producer waits, and is woken when there is room for many. */
	while ((f = net_ring_reserve(&r, 4000))) {
		f->bytes = 4000;
		(void)!net_ring_commit(&r, f);
		n++;
	}
	cr_assert(net_ring_await_room(&r, 4000));
	for (unsigned i = 0; net_ring_peek(&r); i++)
		if (net_ring_pop(&r)) {
			cr_assert_geq(i, n / 2 - 2);
			wakes++;
		}
	cr_assert_eq(wakes, 1);
	cr_assert_not(net_ring_await_room(&r, 4000), "there is room now");
	net_ring_free(&r);
}

struct stream {
	struct net_ring r;
	sem_t data, room;
};

static void *stream_producer(void *opaque)
{
	struct stream *s = opaque;

	for (uint32_t i = 0; i < 200000; i++) {
		uint32_t bytes = 4 + i * 37 % 1500;
		struct net_frame *f;

		while (!(f = net_ring_reserve(&s->r, bytes)))
			if (net_ring_await_room(&s->r, bytes))
				sem_wait(&s->room);
		f->bytes = bytes;
		memcpy(f->data, &i, 4);
		f->data[bytes - 1] ^= 1;
		if (net_ring_commit(&s->r, f))
			sem_post(&s->data);
	}
	return NULL;
}

/* Two threads that sleep whenever they can: a wake-up that is lost hangs it. */
Test(net_ring, loses_no_wakeup, .timeout = 120)
{
	struct stream s;
	pthread_t t;

	cr_assert_eq(net_ring_init(&s.r, 1 << 15), 0);
	sem_init(&s.data, 0, 0);
	sem_init(&s.room, 0, 0);
	pthread_create(&t, NULL, stream_producer, &s);
	for (uint32_t i = 0; i < 200000; i++) {
		struct net_frame *f;

		while (!(f = net_ring_peek(&s.r)))
			if (net_ring_sleep(&s.r))
				sem_wait(&s.data);
		cr_assert_eq(f->bytes, 4 + i * 37 % 1500);
		cr_assert_arr_eq(f->data, &i, 4 - (f->bytes == 4));
		if (net_ring_pop(&s.r))
			sem_post(&s.room);
	}
	pthread_join(t, NULL);
	net_ring_free(&s.r);
}

/* ---- cables ---- */

static void on_wake(void *opaque) { sem_post(opaque); }

struct end {
	struct net *n;
	sem_t woken;
};

static struct end *end_open(const char *text)
{
	struct end *e = calloc(1, sizeof(*e));
	struct net_config cfg;
	struct options_error wrong = {""};
	struct net_error err = {""};

	cr_assert_eq(net_config_parse(text, &cfg, &wrong), 0, "%s", wrong.text);
	cr_assert_eq(net_open(&e->n, &cfg, &err), 0, "%s", err.text);
	net_config_free(&cfg);
	sem_init(&e->woken, 0, 0);
	net_attach(e->n, on_wake, &e->woken);
	net_listen(e->n, true);
	return e;
}

static void end_close(struct end *e)
{
	net_detach(e->n);
	net_close(e->n);
	free(e);
}

static int end_send(struct end *e, const struct net_hdr *h, const uint8_t *f, uint32_t bytes)
{
	/* In two pieces, as a driver does it. */
	struct iovec iov[2] = {{(void *)f, 14}, {(void *)(f + 14), bytes - 14}};
	static const struct net_hdr none;

	return net_send(e->n, h ? h : &none, iov, 2, bytes);
}

/* The next frame, waited for; NULL after ms milliseconds without. */
static struct net_frame *end_wait(struct end *e, int ms)
{
	struct timespec until;
	struct net_frame *f;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (!(f = net_rx_peek(e->n)))
		if (sem_timedwait(&e->woken, &until) < 0 && errno != EINTR)
			return NULL;
	return f;
}

static void drop(struct end *e) { net_rx_pop(e->n); }

Test(net_cable, none_is_down_and_takes_everything)
{
	struct end *e = end_open("none");
	uint8_t f[60] = {0}, mac[6];

	cr_assert_not(e->n->link_up);
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(end_send(e, NULL, f, sizeof(f)), 1);
	cr_assert_eq(e->n->count.tx_dropped, 1000);
	cr_assert_null(net_rx_peek(e->n));
	net_mac(e->n, mac);
	cr_assert_eq(mac[0], 2, "locally administered, one machine's");
	end_close(e);
}

Test(net_cable, macs_differ)
{
	struct end *a = end_open("none"), *b = end_open("none"), *c = end_open("none,mac=02:11:22:33:44:55");
	uint8_t x[6], y[6];

	net_mac(a->n, x);
	net_mac(b->n, y);
	cr_assert_arr_neq(x, y, 6);
	net_mac(c->n, x);
	cr_assert_arr_eq(x, "\x02\x11\x22\x33\x44\x55", 6);
	end_close(a);
	end_close(b);
	end_close(c);
}

/* ---- user ---- */

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
Test(net_cable, user_carries_large_segments, .timeout = 120)
{
	struct tcp_guest g = {.e = end_open("user"), .seq = 100};
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

Test(net_cable, user_forwards_and_names_a_taken_port, .timeout = 60)
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
Test(net_cable, user_survives_noise, .timeout = 120)
{
	struct end *e = end_open("user");
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

/* ---- socket ---- */

static char dir[64], opt[96];

static void make_lan(void)
{
	snprintf(dir, sizeof(dir), "/tmp/disco-lan-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(opt, sizeof(opt), "socket=%s/lan", dir);
	strcat(dir, "/lan");
}

static void remove_lan(void)
{
	cr_assert_eq(access(dir, F_OK), -1, "the last one out removes it");
	*strrchr(dir, '/') = '\0';
	cr_assert_eq(rmdir(dir), 0);
}

static unsigned entries(void)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	for (struct dirent *e; d && (e = readdir(d));)
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static void set_macs(uint8_t *f, uint8_t to, uint8_t from)
{
	memcpy(f, "\x02\x00\x00\x00\x00", 5);
	f[5] = to;
	memcpy(f + 6, "\x02\x00\x00\x00\x00", 5);
	f[11] = from;
	if (to == 0xff)
		memset(f, 0xff, 6);
}

static void send_small(struct end *e, uint8_t to, uint8_t from, uint8_t what)
{
	uint8_t f[60] = {0};

	set_macs(f, to, from);
	f[20] = what;
	cr_assert_eq(end_send(e, NULL, f, sizeof(f)), 1);
}

static void expect_small(struct end *e, uint8_t what)
{
	struct net_frame *f = end_wait(e, 30000);

	cr_assert_not_null(f, "frame %u did not come", what);
	cr_assert_eq(f->bytes, 60);
	cr_assert_eq(f->data[20], what);
	drop(e);
}

Test(net_cable, socket_is_a_switch, .timeout = 60)
{
	struct end *a, *b, *c;
	struct frame_spec s = {.payload = 60000, .flags = 0x10};
	struct net_hdr h = frame_hdr(&s, 1448);
	uint8_t *big = malloc(70000);
	struct net_frame *f;
	unsigned bytes;

	make_lan();
	a = end_open(opt);
	send_small(a, 0xff, 1, 1); /* to nobody */
	b = end_open(opt);
	c = end_open(opt);
	cr_assert_eq(entries(), 3);
	/* c saw both when it came; they learn of it from the directory, or from its frames at the latest. */
	send_small(c, 0xff, 3, 3);
	expect_small(a, 3);
	expect_small(b, 3);
	send_small(b, 0xff, 2, 2);
	expect_small(a, 2);
	expect_small(c, 2);
	/* 1 has only spoken before they came: to all. */
	send_small(b, 1, 2, 4);
	expect_small(a, 4);
	expect_small(c, 4);
	send_small(a, 2, 1, 5);
	expect_small(b, 5);
	/* Now everybody knows where 1 and 2 are; c gets the frame after these, and not these. */
	send_small(b, 1, 2, 6);
	expect_small(a, 6);
	bytes = frame_make(&s, big, true);
	set_macs(big, 2, 1);
	cr_assert_eq(net_hdr_check(&h, big, bytes), 0);
	cr_assert_eq(end_send(a, &h, big, bytes), 1);
	f = end_wait(b, 30000);
	cr_assert_not_null(f);
	cr_assert_eq(f->bytes, bytes, "a large segment goes in one piece");
	cr_assert_arr_eq(f->data, big, bytes);
	cr_assert_eq(f->hdr.gso_size, 1448);
	cr_assert_eq(f->hdr.flags, NET_HDR_NEEDS_CSUM);
	drop(b);
	send_small(a, 0xff, 1, 7);
	expect_small(b, 7);
	expect_small(c, 7);
	end_close(a);
	send_small(b, 3, 2, 8);
	expect_small(c, 8);
	end_close(b);
	cr_assert_eq(entries(), 1);
	end_close(c);
	free(big);
	remove_lan();
}

Test(net_cable, socket_forgets_the_killed, .timeout = 60)
{
	struct end *a, *b;
	struct sockaddr_un dead = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_DGRAM, 0);

	make_lan();
	a = end_open(opt);
	/* What a killed process leaves: a socket that nobody has open. */
	snprintf(dead.sun_path, sizeof(dead.sun_path), "%s/0123456789abcdef", dir);
	cr_assert_eq(bind(s, (struct sockaddr *)&dead, sizeof(dead)), 0);
	close(s);
	b = end_open(opt);
	cr_assert_eq(entries(), 2, "removed by who came next");
	send_small(b, 0xff, 2, 1);
	expect_small(a, 1);
	end_close(b);
	end_close(a);
	remove_lan();
}

/* Lies in a datagram of somebody who may write to the directory. */
Test(net_cable, socket_believes_nobody, .timeout = 60)
{
	struct end *a;
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_DGRAM, 0);
	uint8_t m[200] = {'D', 'C', 'N', '1', 1, 0, 0, 0, 0, 0, 0, 0};
	DIR *d;

	make_lan();
	a = end_open(opt);
	d = opendir(dir);
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.')
			snprintf(to.sun_path, sizeof(to.sun_path), "%s/%.16s", dir, e->d_name);
	closedir(d);
	cr_assert_eq(connect(s, (struct sockaddr *)&to, sizeof(to)), 0);
	for (size_t n = 0; n < 24 + 14; n++)
		cr_assert_eq(send(s, m, n, 0), (ssize_t)n);
	m[0] = 'X';
	cr_assert_eq(send(s, m, sizeof(m), 0), (ssize_t)sizeof(m));
	m[0] = 'D';
	m[12] = NET_HDR_NEEDS_CSUM;
	m[18] = m[19] = 0xff;
	cr_assert_eq(send(s, m, sizeof(m), 0), (ssize_t)sizeof(m));
	m[12] = 0;
	m[13] = NET_GSO_TCPV4;
	cr_assert_eq(send(s, m, sizeof(m), 0), (ssize_t)sizeof(m));
	m[13] = 0;
	m[24 + 20] = 42;
	cr_assert_eq(send(s, m, 24 + 60, 0), 24 + 60);
	expect_small(a, 42);
	cr_assert_eq(a->n->count.rx_bad, 24 + 14 + 3);
	close(s);
	end_close(a);
	remove_lan();
}

/* A machine that stops reading holds the sender up for a moment, and then loses its own frames only. */
Test(net_cable, socket_waits_and_then_drops, .timeout = 120)
{
	struct end *a, *b;
	uint8_t *f = calloc(1, 60000);
	unsigned blocked = 0, sent = 0;

	make_lan();
	a = end_open(opt);
	b = end_open(opt);
	send_small(b, 0xff, 2, 1);
	expect_small(a, 1);
	set_macs(f, 2, 1);
	/* b's ring, its socket, then a waits to be woken: either way it ends. */
	while (a->n->count.tx_dropped < 100) {
		if (end_send(a, NULL, f, 60000)) {
			sent++;
			continue;
		}
		blocked++;
		cr_assert_lt(blocked, 1000);
		cr_assert_eq(sem_wait(&a->woken), 0);
	}
	cr_assert_geq(blocked, 1);
	/* It reads again: what was kept comes, and then new frames. */
	for (unsigned n = (unsigned)(sent - a->n->count.tx_dropped); n; n--) {
		cr_assert_not_null(end_wait(b, 30000), "%u frames that were taken did not come", n);
		drop(b);
	}
	send_small(a, 2, 1, 9);
	expect_small(b, 9);
	end_close(a);
	end_close(b);
	free(f);
	remove_lan();
}

Test(net_cable, socket_refuses_bad_places)
{
	struct net_config cfg = {.kind = NET_SOCKET};
	struct net_error err;
	struct net *n;
	char open_to_all[] = "/tmp/disco-lan-XXXXXX";

	cfg.path = "/dev/null";
	cr_assert_eq(net_open(&n, &cfg, &err), -EACCES);
	cr_assert_not_null(strstr(err.text, "/dev/null"), "%s", err.text);
	cfg.path = "/nonexistent/lan";
	cr_assert_eq(net_open(&n, &cfg, &err), -ENOENT);
	cr_assert_not_null(strstr(err.text, "/nonexistent/lan"), "%s", err.text);
	cr_assert_not_null(mkdtemp(open_to_all));
	cr_assert_eq(chmod(open_to_all, 0777), 0);
	cfg.path = open_to_all;
	cr_assert_eq(net_open(&n, &cfg, &err), -EACCES);
	cr_assert_not_null(strstr(err.text, "everybody"), "%s", err.text);
	cr_assert_eq(rmdir(open_to_all), 0, "and nothing was left in it");
}
