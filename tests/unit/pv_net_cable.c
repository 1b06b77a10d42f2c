/* SPDX-License-Identifier: MIT */
#include <errno.h>
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

#include "tests/unit/pv_net_end.h"

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
