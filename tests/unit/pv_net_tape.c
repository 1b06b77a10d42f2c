/* SPDX-License-Identifier: MIT */
/* A tape between a card and its cable: what is taken is the card's, and what was taken once comes again the same; what the cable does not take is lost. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "pv-drivers/net/net_tape.h"

struct end {
	struct net net; /* must be first */
	unsigned sent, kicks;
	bool full, *closed;
};

static int end_send(struct net *n, const struct net_hdr *h, const struct iovec *iov, unsigned n_iov, uint32_t bytes)
{
	struct end *e = (struct end *)n;

	e->sent += !e->full;
	return !e->full;
}

static void end_close(struct net *n)
{
	*((struct end *)n)->closed = true;
	net_fini(n);
	free(n);
}

static const struct net_ops end_ops = {.send = end_send, .close = end_close};
static const struct net_config user = {.kind = NET_USER, .has_mac = true, .mac = {2, 0, 0, 0, 0, 1}};

static void kick(void *opaque) { ++*(unsigned *)opaque; }
static void wake(void *opaque) { ++*(unsigned *)opaque; }

static struct end *end_new(bool *closed)
{
	struct end *e = calloc(1, sizeof(*e));

	cr_assert(e);
	cr_assert_eq(net_init(&e->net, &user, &end_ops, NET_RX_RING_BYTES), 0);
	e->closed = closed;
	return e;
}

static void deliver(struct end *e, uint32_t bytes, uint8_t fill)
{
	struct net_frame *f = net_ring_reserve(&e->net.rx, bytes);

	cr_assert(f);
	f->bytes = bytes;
	f->hdr = (struct net_hdr){.flags = NET_HDR_DATA_VALID, .num_buffers = fill};
	memset(f->data, fill, bytes);
	net_deliver(&e->net, f);
}

static void expect(struct net *tape, uint32_t bytes, uint8_t fill)
{
	struct net_frame *f = net_rx_peek(tape);

	cr_assert(f);
	cr_assert_eq(f->bytes, bytes);
	cr_assert_eq(f->hdr.flags, NET_HDR_DATA_VALID);
	cr_assert_eq(f->hdr.num_buffers, fill);
	cr_assert_eq(f->data[0], fill);
	cr_assert_eq(f->data[bytes - 1], fill);
	net_rx_pop(tape);
}

Test(pv_net_tape, taken_once_and_again)
{
	static uint8_t frame[3][NET_TAPE_BYTES], more[NET_TAPE_BYTES];
	const uint32_t bytes[3] = {60, NET_MAX_FRAME_BYTES, 1514};
	unsigned kicks = 0, wakes = 0;
	struct net *tape, *again;
	bool closed = false;
	size_t n[3];

	struct end *e = end_new(&closed);

	cr_assert_eq(net_tape_new(&tape, &user, &e->net, kick, &kicks), 0);
	cr_assert(tape->checksums_good);
	net_attach(tape, wake, &wakes);
	cr_assert_eq(net_tape_take(tape, more), 0);
	net_listen(tape, true);
	cr_assert_eq(net_tape_take(tape, more), 0);
	cr_assert(net_listening(&e->net)); /* as the card does */
	for (unsigned i = 0; i < 3; i++)
		deliver(e, bytes[i], (uint8_t)(i + 1));
	cr_assert_gt(kicks, 0);
	cr_assert_null(net_rx_peek(tape), "nothing is the card's before it is taken");
	for (unsigned i = 0; i < 3; i++)
		n[i] = net_tape_take(tape, frame[i]);
	cr_assert_gt(wakes, 0);
	cr_assert_eq(net_tape_take(tape, more), 0);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(n[i], sizeof(struct net_hdr) + bytes[i]);
		expect(tape, bytes[i], (uint8_t)(i + 1));
	}
	net_close(tape);
	cr_assert(closed);

	cr_assert_eq(net_tape_new(&again, &user, NULL, kick, &kicks), 0);
	net_listen(again, true);
	cr_assert_eq(net_tape_take(again, more), 0);
	for (unsigned i = 0; i < 3; i++)
		cr_assert(net_tape_put(again, frame[i], n[i]));
	for (unsigned i = 0; i < 3; i++)
		expect(again, bytes[i], (uint8_t)(i + 1));
	cr_assert_not(net_tape_put(again, frame[0], sizeof(struct net_hdr) + NET_ETH_BYTES - 1));
	cr_assert_not(net_tape_put(again, frame[0], NET_TAPE_BYTES + 1));
	cr_assert_null(net_rx_peek(again));
	net_close(again);
}

/* The card's ring is bounded, and what has no room there is not noted: it stays with the cable. */
Test(pv_net_tape, no_room)
{
	static uint8_t frame[NET_TAPE_BYTES];
	bool closed = false;
	struct end *e = end_new(&closed);
	unsigned kicks = 0, taken = 0;
	struct net *tape;

	cr_assert_eq(net_tape_new(&tape, &user, &e->net, kick, &kicks), 0);
	net_listen(tape, true);
	(void)net_tape_take(tape, frame);
	for (unsigned i = 0; i < 200; i++) {
		struct net_frame *f = net_ring_reserve(&e->net.rx, NET_MAX_FRAME_BYTES);

		if (f)
			deliver(e, NET_MAX_FRAME_BYTES, 1);
		taken += net_tape_take(tape, frame) != 0;
	}
	cr_assert_lt(taken, 200);
	cr_assert_gt(taken, 20);
	cr_assert(net_rx_peek(&e->net));
	net_rx_pop(tape);
	net_rx_pop(tape);
	cr_assert_neq(net_tape_take(tape, frame), 0);
	net_close(tape);
}

/* The guest cannot see that it waits. */
Test(pv_net_tape, what_the_cable_does_not_take)
{
	const struct net_hdr h = {0};
	uint8_t data[60] = {0};
	const struct iovec iov = {data, sizeof(data)};
	bool closed = false;
	struct end *e = end_new(&closed);
	unsigned kicks = 0;
	struct net *tape;

	cr_assert_eq(net_tape_new(&tape, &user, &e->net, kick, &kicks), 0);
	cr_assert_eq(net_send(tape, &h, &iov, 1, sizeof(data)), 1);
	cr_assert_eq(e->sent, 1);
	e->full = true;
	cr_assert_eq(net_send(tape, &h, &iov, 1, sizeof(data)), 1);
	cr_assert_eq(e->sent, 1);
	cr_assert_eq(net_count(tape).tx_dropped, 1);
	net_close(tape);
}
