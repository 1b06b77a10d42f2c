/* SPDX-License-Identifier: MIT */
#include "pv-drivers/net/net_tape.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct tape {
	struct net net; /* must be first */
	struct net *inner;
};

static struct tape *tape_of(struct net *n) { return (struct tape *)n; }

static int send_on(struct net *n, const struct net_hdr *h, const struct iovec *iov, unsigned n_iov, uint32_t bytes)
{
	struct net *inner = tape_of(n)->inner;

	if (!inner || !net_send(inner, h, iov, n_iov, bytes))
		net_tally(&n->count.tx_dropped, 1);
	return 1;
}

static void flush(struct net *n)
{
	if (tape_of(n)->inner)
		net_flush(tape_of(n)->inner);
}

static void close_tape(struct net *n)
{
	struct net *inner = tape_of(n)->inner;

	if (inner)
		net_detach(inner);
	net_close(inner);
	net_fini(n);
	free(n);
}

int net_tape_new(struct net **out, const struct net_config *cfg, struct net *inner, void (*kick)(void *opaque),
		 void *opaque)
{
	static const struct net_ops ops = {.send = send_on, .flush = flush, .close = close_tape};
	struct tape *t = calloc(1, sizeof(*t));
	int err = t ? net_init(&t->net, cfg, &ops, NET_RX_RING_BYTES) : -ENOMEM;

	if (err) {
		free(t);
		return err;
	}
	t->inner = inner;
	t->net.checksums_good = cfg->kind == NET_USER; /* as the cable says, which is not there when it is repeated */
	if (inner)
		net_attach(inner, kick, opaque);
	*out = &t->net;
	return 0;
}

static bool put(struct net *n, const struct net_hdr *h, const uint8_t *data, uint32_t bytes)
{
	struct net_frame *f = net_ring_reserve(&n->rx, bytes);

	if (!f)
		return false;
	f->bytes = bytes;
	f->payload = 0;
	f->hdr = *h;
	memcpy(f->data, data, bytes);
	net_deliver(n, f);
	return true;
}

size_t net_tape_take(struct net *tape, uint8_t out[NET_TAPE_BYTES])
{
	struct net *inner = tape_of(tape)->inner;
	struct net_frame *f;
	uint32_t bytes;

	if (!inner)
		return 0;
	if (net_listening(inner) != net_listening(tape))
		net_listen(inner, net_listening(tape));
	f = net_rx_peek(inner);
	if (!f || f->bytes > NET_MAX_FRAME_BYTES || !put(tape, &f->hdr, f->data, f->bytes))
		return 0;
	bytes = f->bytes;
	memcpy(out, &f->hdr, sizeof(f->hdr));
	memcpy(out + sizeof(f->hdr), f->data, bytes);
	net_rx_pop(inner);
	return sizeof(struct net_hdr) + bytes;
}

bool net_tape_put(struct net *tape, const uint8_t *frame, size_t bytes)
{
	struct net_hdr h;

	if (bytes < sizeof(h) + NET_ETH_BYTES || bytes > NET_TAPE_BYTES)
		return false;
	memcpy(&h, frame, sizeof(h));
	return put(tape, &h, frame + sizeof(h), (uint32_t)(bytes - sizeof(h)));
}
