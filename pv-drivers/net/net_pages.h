/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_NET_PAGES_H
#define PV_DRIVERS_NET_PAGES_H

/*
 * Payload that goes from machine to machine without a copy (SOSP'97 4.2.5; docs/disco-net.md).
 *
 *     sender's buffers        ring to the receiver's card          receiver's buffers (its driver has NET_F_PAGES)
 *     headers  ───────────►   headers            (copied)  ─────►  header buffer
 *     page     ── lent ───►   page 17, at 66               ─────►  page 17 is mapped there, copy-on-write
 *     page     ── lent ───►   page 18, at 4162             ─────►  page 18
 *     the rest ───────────►   the rest           (copied)  ─────►  its page is written to
 *
 * Whole pages of the payload are lent when the frame is sent (numa/share.h), so that nothing that the sender does afterwards shows.
 */
#include "pv-drivers/net/net_cable.h"
#include "pv-drivers/virtio/virtio.h"

struct lan_frame;

enum {
	/* Pages that a frame's payload comes in, at most: what Linux has room for in a packet (MAX_SKB_FRAGS). */
	NET_PIECES = 17,
	/* Headers that a receiver has room for before the pages; a frame with more of them is copied. */
	NET_SPLIT_HEAD_BYTES = 256,
};

/* ---- the sender's thread ---- */
/*
 * Fill to, which has room for f->bytes, with the frame: pages of its payload are lent by f->from's card where `lend` and where they can
 * be, the rest is copied.
 */
void net_frame_fill(struct net_frame *to, const struct lan_frame *f, bool lend);

/* ---- the receiver's vCPU thread ---- */
/* A frame as it is in the ring, or made of it. */
struct net_parts {
	const uint8_t *data;   /* what is not lent, in one piece */
	uint32_t bytes;        /* of the whole frame */
	struct net_lent *lent; /* [n_lent]; the page becomes NULL when it is taken */
	unsigned n_lent;
	uint32_t payload; /* struct net_frame */
};
static inline struct net_parts net_frame_parts(struct net_frame *f)
{
	return (struct net_parts){f->data, f->bytes, net_frame_lent(f), f->n_lent, f->payload};
}
/* All of it, copied, to to[p->bytes]. */
void net_parts_gather(const struct net_parts *p, uint8_t *to);

/*
 * Give the guest a frame in the form of NET_F_PAGES: its headers into a buffer of the queue `heads`, its payload into or as pages of
 * the queue `pages`.  h: as the guest is to see it, but for num_buffers.  payload: where that begins.
 * 1: done with it; 0: not enough buffers now, or a queue is broken: nothing has happened.
 */
int net_split_put(struct net *n, struct virtq *heads, struct virtq *pages, struct net_hdr h, const struct net_parts *p,
		  uint32_t payload);

#endif
