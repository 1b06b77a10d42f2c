/* SPDX-License-Identifier: MIT */
/*
 * The network card: virtio 1.2, 5.1 "Network Device".
 *
 *     guest -> cable    notify(): chain after chain to the cable, until it takes no more; that one is held
 *     cable -> guest    poll(): frame after frame into receive buffers, until there are none; the rest waits in the ring
 *
 * What the guest's headers say is checked here, once, for all cables.  What a cable delivers is brought into a form that
 * this guest has said it takes: checksummed, or cut up, if it does not do that itself.
 */
#include "pv-drivers/net/net_card.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pv-drivers/virtio/devices.h"
#include "pv-drivers/net/net_offload.h"
#include "pv-drivers/net/net_pages.h"

enum {
	RX = 0,
	TX = 1,
	CTRL = 2,
	PAGES = 3, /* for received payload, with NET_F_PAGES */
	PAGES_SIZE = 512,
	RX_SIZE = 256,
	TX_SIZE = 256,
	CTRL_SIZE = 64,
	/* 5.1.4 "Device configuration layout" */
	CONFIG_MAC = 0,
	CONFIG_STATUS = 6,
	CONFIG_MTU = 10,
	CONFIG_SPEED = 12,
	CONFIG_DUPLEX = 16,
	CONFIG_BYTES = 17,
	LINK_UP = 1,
	SPEED_MBIT = 10000,
	DUPLEX_FULL = 1,
	HDR_BYTES = sizeof(struct net_hdr),
	/* Frames that the guest's filter refuses cost it no buffers, so that others could send them for ever. */
	RX_TURN_FRAMES = 512,
	/* Segments of a frame that go to the cable as they are; one in more pieces is copied together. */
	TX_IOVS = 64,
};

#define FEATURES                                                                                                       \
	(NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_CTRL_GUEST_OFFLOADS | NET_F_MAC | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | \
	 NET_F_GUEST_ECN | NET_F_HOST_TSO4 | NET_F_HOST_TSO6 | NET_F_HOST_ECN | NET_F_MRG_RXBUF | NET_F_STATUS |       \
	 NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_CTRL_VLAN | NET_F_CTRL_RX_EXTRA | NET_F_CTRL_MAC_ADDR |                 \
	 NET_F_SPEED_DUPLEX)

struct card {
	struct virtio_device dev; /* must be first */
	struct net *net;
	char name[64];
	uint8_t config[CONFIG_BYTES];
	bool splits;       /* NET_F_PAGES: headers and payload go into buffers of their own */
	uint64_t offloads; /* the NET_GUEST_OFFLOADS that are on */
	struct net_filter filter;
	struct virtq_chain *held;                    /* a frame that the cable has not taken yet */
	struct virtq_chain *buffers[VIRTQ_MAX_SIZE]; /* of the frame being received */
	bool segmenting;                             /* the frame in front is in pieces: how far they have come */
	uint32_t segments_done, segment_now;
	uint8_t gathered[NET_MAX_FRAME_BYTES]; /* a frame in very many pieces */
	uint8_t segment[NET_HEAD_BYTES + UINT16_MAX];
};

static struct card *card_of(struct virtio_device *d) { return (struct card *)d; }

/* ---- transmission ---- */

/* May the driver ask for this, with the features that it accepted? */
static bool hdr_allowed(uint64_t features, const struct net_hdr *h)
{
	if (h->flags & NET_HDR_NEEDS_CSUM && !(features & NET_F_CSUM))
		return false;
	if (h->gso_type & NET_GSO_ECN && !(features & NET_F_HOST_ECN))
		return false;
	switch (h->gso_type & ~NET_GSO_ECN) {
	case NET_GSO_NONE:
		return true;
	case NET_GSO_TCPV4:
		return features & NET_F_HOST_TSO4;
	case NET_GSO_TCPV6:
		return features & NET_F_HOST_TSO6;
	default:
		return false;
	}
}

static int bad(struct card *c)
{
	net_tally(&c->net->count.tx_bad, 1);
	return 1;
}

/* 1: gone, or dropped as nonsense; 0: the cable is full. */
static int transmit(struct card *c, const struct virtq_chain *chain)
{
	uint32_t bytes = (uint32_t)(chain->out_bytes - HDR_BYTES);
	uint8_t head[NET_HEAD_BYTES];
	struct iovec iov[TX_IOVS];
	struct net_hdr h;
	int n;

	if (chain->out_bytes < HDR_BYTES + NET_ETH_BYTES || chain->out_bytes > HDR_BYTES + NET_MAX_FRAME_BYTES)
		return bad(c);
	virtq_read(chain, 0, &h, sizeof(h));
	virtq_read(chain, HDR_BYTES, head, sizeof(head));
	if (!hdr_allowed(c->dev.features, &h) || net_hdr_check(&h, head, bytes) < 0)
		return bad(c);
	n = iov_slice(chain->out, chain->n_out, HDR_BYTES, bytes, iov, TX_IOVS);
	if (n < 0) {
		virtq_read(chain, HDR_BYTES, c->gathered, bytes);
		net_tally(&c->net->count.copied_bytes, bytes);
		iov[0] = (struct iovec){c->gathered, bytes};
		n = 1;
	}
	if (!net_send(c->net, &h, iov, (unsigned)n, bytes))
		return 0;
	net_tally(&c->net->count.tx_frames, 1);
	net_tally(&c->net->count.tx_bytes, bytes);
	return 1;
}

static void send_waiting(struct card *c)
{
	struct virtq *q = &c->dev.queue[TX];
	bool was_held = c->held;

	while (c->held || virtq_pop(q, &c->held) == 1) {
		if (!transmit(c, c->held)) {
			/* The driver need not say that there is more: the cable wakes us. */
			if (!was_held)
				virtq_set_notification(q, false);
			break;
		}
		virtq_push(c->held, 0);
		c->held = NULL;
	}
	net_flush(c->net);
	if (was_held && !c->held && !c->dev.queue[TX].broken) {
		virtq_set_notification(q, true);
		if (virtq_has_work(q))
			virtio_wake(&c->dev);
	}
	virtq_signal(q);
}

/* ---- reception ---- */

static void put_back(struct card *c, struct virtq *q, unsigned n)
{
	for (unsigned i = n; i-- > 0;)
		virtq_drop(c->buffers[i]);
	virtq_rewind(q, n);
}

/*
 * Buffers for `bytes`, into c->buffers.  How many; 0: not enough now; -E2BIG: this frame will never fit, drop it;
 * -EPROTO and others: the queue is broken.
 */
static int take_buffers(struct card *c, uint64_t bytes)
{
	struct virtq *q = &c->dev.queue[RX];
	bool mergeable = virtio_has(&c->dev, NET_F_MRG_RXBUF);
	uint64_t room = 0;
	unsigned n = 0;
	int got;

	while (room < bytes) {
		if (n && (!mergeable || n == q->size)) {
			put_back(c, q, n);
			return -E2BIG;
		}
		got = virtq_pop(q, &c->buffers[n]);
		if (got != 1) {
			put_back(c, q, n);
			return got;
		}
		if (!n && c->buffers[0]->in_bytes < HDR_BYTES) {
			virtq_drop(c->buffers[0]);
			virtq_break(q, "a receive buffer that does not hold a header");
			return -EPROTO;
		}
		room += c->buffers[n++]->in_bytes;
	}
	return (int)n;
}

/* The same for a driver that has headers and payload in one. */
static int put_whole(struct card *c, struct net_hdr h, const uint8_t *data, uint32_t bytes, uint32_t payload)
{
	struct virtq *q = &c->dev.queue[RX];
	int n = take_buffers(c, (uint64_t)HDR_BYTES + bytes);
	uint32_t at = 0;

	if (n == -E2BIG)
		net_tally(&c->net->count.rx_too_long, 1);
	if (n <= 0)
		return n == -E2BIG;
	h.num_buffers = (uint16_t)n;
	for (int i = 0; i < n; i++) {
		uint64_t off = i ? 0 : virtq_write(c->buffers[0], 0, &h, HDR_BYTES);
		uint64_t put = virtq_write(c->buffers[i], off, data + at, bytes - at);

		at += (uint32_t)put;
		virtq_fill(c->buffers[i], off + put, (unsigned)i);
	}
	virtq_flush(q, (unsigned)n);
	net_tally(&c->net->count.rx_frames, 1);
	net_tally(&c->net->count.rx_bytes, bytes);
	net_tally(&c->net->count.copied_bytes, bytes);
	net_tally(&c->net->count.payload_copied, bytes - payload);
	return 1;
}

/* One frame, in the form in which the guest gets it; only where it splits, pages may be lent.  1: done with it, 0: no buffers now. */
static int put_frame(struct card *c, struct net_hdr h, const struct net_parts *p)
{
	uint32_t have = p->bytes < NET_HEAD_BYTES ? p->bytes : (uint32_t)NET_HEAD_BYTES;
	uint32_t payload = p->n_lent ? p->payload : net_payload_at(p->data, have, p->bytes);

	if (c->splits)
		return net_split_put(c->net, &c->dev.queue[RX], &c->dev.queue[PAGES], h, p, payload);
	return put_whole(c, h, p->data, p->bytes, payload);
}

/* A piece of the frame in front.  Those that went before buffers ran out are not repeated. */
static bool put_segment(void *opaque, const uint8_t *frame, uint32_t bytes)
{
	struct card *c = opaque;
	struct net_hdr h = {.flags = c->offloads & NET_F_GUEST_CSUM ? NET_HDR_DATA_VALID : 0};

	if (c->segment_now++ < c->segments_done)
		return true;
	if (!put_frame(c, h, &(struct net_parts){.data = frame, .bytes = bytes}))
		return false;
	c->segments_done++;
	return true;
}

static bool takes_gso(const struct card *c, uint8_t type)
{
	if (type & NET_GSO_ECN && !(c->offloads & NET_F_GUEST_ECN))
		return false;
	return c->offloads & ((type & ~NET_GSO_ECN) == NET_GSO_TCPV6 ? NET_F_GUEST_TSO6 : NET_F_GUEST_TSO4);
}

/* It is to be worked on, or its driver wants it in one: lent pages are copied, which stay in the ring until the frame goes. */
static void put_together(struct card *c, struct net_parts *p)
{
	if (!p->n_lent)
		return;
	net_parts_gather(p, c->gathered);
	net_tally(&c->net->count.copied_bytes, p->n_lent * PAGE_BYTES);
	*p = (struct net_parts){.data = c->gathered, .bytes = p->bytes};
}

/* A large segment for a driver that takes none. */
static int receive_in_segments(struct card *c, const struct net_frame *f, const struct net_parts *p, bool go_on)
{
	c->segments_done = go_on ? c->segments_done : 0;
	c->segment_now = 0;
	c->segmenting = !net_segment(&f->hdr, p->data, p->bytes, c->segment, put_segment, c);
	return !c->segmenting;
}

/* 1: done with it, 0: it stays in front until there are buffers. */
static int receive(struct card *c, struct net_frame *f)
{
	bool takes_csum = c->offloads & NET_F_GUEST_CSUM, go_on = c->segmenting;
	bool in_segments = f->hdr.gso_type && (!takes_csum || !takes_gso(c, f->hdr.gso_type));
	struct net_parts p = net_frame_parts(f);
	struct net_hdr own = f->hdr, *h = &f->hdr;

	c->segmenting = false;
	if (!net_filter_takes(&c->filter, f->data, f->bytes))
		return 1;
	if (!c->splits || in_segments || !takes_csum)
		put_together(c, &p);
	if (in_segments)
		return receive_in_segments(c, f, &p, go_on);
	if (p.data != f->data) /* made anew the next time, without what is done to it now */
		h = &own;
	if (!takes_csum) {
		net_csum_complete(h, (uint8_t *)(uintptr_t)p.data, p.bytes);
		h->flags = 0;
	} else if (!(h->flags & NET_HDR_NEEDS_CSUM) && c->net->checksums_good) {
		h->flags |= NET_HDR_DATA_VALID;
	}
	return put_frame(c, *h, &p);
}

static void receive_waiting(struct card *c)
{
	struct net_frame *f;
	unsigned n = 0;

	if (!virtio_running(&c->dev))
		return;
	while ((f = net_rx_peek(c->net)) && n++ < RX_TURN_FRAMES && receive(c, f))
		net_rx_pop(c->net);
	if (n > RX_TURN_FRAMES)
		virtio_wake(&c->dev);
	if (c->splits)
		virtq_signal(&c->dev.queue[PAGES]);
	virtq_signal(&c->dev.queue[RX]);
}

/* ---- the device ---- */

static void card_wake(void *opaque) { virtio_wake(&((struct card *)opaque)->dev); }

static void card_activate(struct virtio_device *d)
{
	struct card *c = card_of(d);

	const struct virtio_share *share = d->host.share;

	c->offloads = d->features & NET_GUEST_OFFLOADS;
	c->splits = virtio_has(d, NET_F_PAGES);
	d->late_in = c->splits && share ? 1u << PAGES : 0;
	net_use_pages(c->net, d->late_in, share ? share->lend : NULL, d->host.opaque);
	net_filter_reset(&c->filter, c->config + CONFIG_MAC, d->features);
	net_listen(c->net, true);
}

static void card_notify(struct virtio_device *d, unsigned queue)
{
	struct card *c = card_of(d);

	if (queue == RX || queue == PAGES)
		receive_waiting(c);
	else if (queue == TX)
		send_waiting(c);
	else
		net_ctrl_notify(&d->queue[CTRL], &c->filter, &c->offloads);
}

static void card_poll(struct virtio_device *d)
{
	send_waiting(card_of(d));
	receive_waiting(card_of(d));
}

static void card_reset(struct virtio_device *d)
{
	struct card *c = card_of(d);

	net_listen(c->net, false);
	if (c->held)
		virtq_drop(c->held);
	c->held = NULL;
	c->segmenting = false;
	c->splits = false;
	net_use_pages(c->net, false, NULL, NULL);
}

static void card_free(struct virtio_device *d)
{
	net_detach(card_of(d)->net);
	free(d);
}

bool virtio_net_count(const struct virtio_device *d, struct net_counters *out)
{
	if (d->id != VIRTIO_ID_NET)
		return false;
	*out = net_count(((const struct card *)d)->net);
	return true;
}

static void put_le(uint8_t *to, uint32_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(v >> 8 * i);
}

int virtio_net_new(struct virtio_device **out, struct net *net, const char *name)
{
	static const struct virtio_ops ops = {.activate = card_activate,
					      .notify = card_notify,
					      .poll = card_poll,
					      .reset = card_reset,
					      .free = card_free};
	struct card *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (!c)
		return -ENOMEM;
	strncpy(c->name, name, sizeof(c->name) - 1);
	virtio_device_init(&c->dev, c->name, VIRTIO_ID_NET,
			   FEATURES | (net->mtu ? NET_F_MTU : 0) | (net->memory ? NET_F_PAGES : 0), &ops);
	c->net = net;
	c->dev.vendor = net->memory ? VIRTIO_VENDOR_DISCO : 0;
	c->dev.n_queues = net->memory ? 4 : 3;
	c->dev.queue_max[RX] = RX_SIZE;
	c->dev.queue_max[TX] = TX_SIZE;
	c->dev.queue_max[CTRL] = CTRL_SIZE;
	c->dev.queue_max[PAGES] = PAGES_SIZE;
	c->dev.config = c->config;
	c->dev.config_bytes = CONFIG_BYTES;
	net_mac(net, c->config + CONFIG_MAC);
	put_le(c->config + CONFIG_STATUS, net->link_up ? LINK_UP : 0, 2);
	put_le(c->config + CONFIG_MTU, net->mtu, 2);
	put_le(c->config + CONFIG_SPEED, SPEED_MBIT, 4);
	c->config[CONFIG_DUPLEX] = DUPLEX_FULL;
	net_attach(net, card_wake, c);
	*out = &c->dev;
	return 0;
}
