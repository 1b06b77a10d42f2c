/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_NET_CABLE_H
#define PV_DRIVERS_NET_CABLE_H

/*
 * Between the network card (virtio_net_new(), vCPU thread) and what its cable leads to (struct net_ops, a thread of its
 * own where it has to wait for the host).
 *
 *     card -> cable   net_send(): taken, or not now: then the request stays in the guest's ring, and the card is woken
 *                     when it is worth trying again
 *     cable -> card   the ring `rx`, bounded; the card is woken when it sleeps
 *
 * A frame travels with its virtio-net header, so that a large TCP segment need not be cut up, nor a checksum computed,
 * where the other end can do without: between two cards, and into libslirp.
 */
#include <pthread.h>

#include "pv-drivers/net/net.h"

/* virtio 1.2, 5.1.6 "Device Operation": struct virtio_net_hdr, little-endian as this host is. */
struct net_hdr {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size; /* TCP payload of each segment but the last */
	uint16_t csum_start;
	uint16_t csum_offset; /* from csum_start */
	uint16_t num_buffers;
};
_Static_assert(sizeof(struct net_hdr) == 12, "laid out by the standard");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "struct net_hdr is used as it is in guest memory");

enum {
	NET_HDR_NEEDS_CSUM = 1, /* flags */
	NET_HDR_DATA_VALID = 2,
	NET_GSO_NONE = 0, /* gso_type */
	NET_GSO_TCPV4 = 1,
	NET_GSO_TCPV6 = 4,
	NET_GSO_ECN = 0x80,
	NET_ETH_BYTES = 14,
	NET_FRAME_ALIGN = 16,
};

/*
 * A frame in a ring.  Pages of it may be lent (net_pages.h): then data has what is between them, and behind that the list of them.  It
 * takes as much of the ring as if it were copied, so that what is on its way to a card that does not read is bounded.
 */
struct net_frame {
	uint32_t bytes;  /* of all of it */
	uint16_t n_lent; /* net_frame_lent() */
	/*
	 * If there are any: where the payload begins, as who has lent them has found it in the frame.  It cannot be looked for again: what
	 * data has behind the place of the first of them is not what followed in the frame.
	 */
	uint16_t payload;
	struct net_hdr hdr;
	_Alignas(16) uint8_t data[];
};
_Static_assert(sizeof(struct net_frame) == 32, "data is aligned");

struct net_lent {
	struct machine_page *page; /* numa/share.h; NULL: it has been taken */
	uint32_t at;               /* of the frame: PAGE_BYTES from there on are in it */
};
static inline struct net_lent *net_frame_lent(struct net_frame *f)
{
	uint64_t copied = f->bytes - (uint64_t)f->n_lent * PAGE_BYTES;

	return (struct net_lent *)(void *)(f->data + ((copied + 15) & ~15ull));
}

/*
 * Frames from one thread to one other, without locks.  A frame is contiguous.  Positions run freely; what lies between
 * tail and head is the consumer's, the rest the producer's.
 */
struct net_ring {
	uint8_t *mem;
	uint32_t size;              /* power of two, several times the largest frame */
	_Alignas(64) uint32_t head; /* written by the producer */
	uint32_t reserved;          /* where the frame given out by net_ring_reserve() begins; producer only */
	_Alignas(64) uint32_t tail; /* written by the consumer */
	_Alignas(64) int want_data; /* the consumer sleeps; any thread */
	int want_room;              /* the producer waits */
};

MUST_CHECK int net_ring_init(struct net_ring *r, uint32_t size);
void net_ring_free(struct net_ring *r);
/* Producer: room for a frame of up to `bytes`, or NULL.  Nothing is taken until the commit; the last call counts. */
struct net_frame *net_ring_reserve(struct net_ring *r, uint32_t bytes);
/* Producer: publish it (f->bytes is set, at most what was reserved).  True if the consumer sleeps and is to be woken. */
MUST_CHECK bool net_ring_commit(struct net_ring *r, struct net_frame *f);
/* Consumer: the oldest frame, or NULL.  The consumer may change its contents. */
struct net_frame *net_ring_peek(struct net_ring *r);
/* Consumer: done with it.  True if the producer waits for room, at least half of the ring is free, and it is to be woken. */
MUST_CHECK bool net_ring_pop(struct net_ring *r);
/* Before sleeping: true if nothing (or no room) came meanwhile. Whoever wakes it resets the mark. */
MUST_CHECK bool net_ring_sleep(struct net_ring *r);
MUST_CHECK bool net_ring_await_room(struct net_ring *r, uint32_t bytes);

struct net_ops {
	/*
	 * A frame from the card, headers already checked.  1: taken or lost, 0: not now, the card will be woken.
	 * iov is only borrowed.  vCPU thread.
	 */
	int (*send)(struct net *n, const struct net_hdr *h, const struct iovec *iov, unsigned n_iov, uint32_t bytes);
	/* End of a batch of send(). May be NULL. */
	void (*flush)(struct net *n);
	/* The card has made room in rx, which the cable waits for. Any state.  vCPU thread.  May be NULL. */
	void (*room)(struct net *n);
	/* Stop the thread, free what is behind the cable and n itself. */
	void (*close)(struct net *n);
};

/* A cable embeds it as first member. */
struct net {
	const struct net_ops *ops;
	uint8_t mac[6];
	bool link_up;
	uint16_t mtu;        /* what the driver is told; 0: nothing, it is Ethernet's */
	bool checksums_good; /* what it delivers has right checksums */
	struct net_ring rx;
	/* Of machines that lend pages to each other, or NULL. */
	struct machine_memory *memory;
	int takes_pages; /* the card does (atomic) */
	/* Of the card, its vCPU thread: virtio_share.lend. NULL: it lends none. */
	struct machine_page *(*lend)(void *opaque, const uint8_t *host);
	void *lend_opaque;
	int listening;             /* a card takes frames; otherwise they are dropped (atomic) */
	struct net_counters count; /* net_tally() */
	void (*complain)(void *opaque, const char *line);
	void *complain_opaque;

	pthread_mutex_t card_lock;
	void (*wake)(void *opaque); /* the card's, any thread; NULL: no card */
	void *wake_opaque;
};

/* ---- net.c, for the cables ---- */
enum { NET_RX_RING_BYTES = 2 << 20, NET_TX_RING_BYTES = 1 << 20 };
/* Others read counters while they are counted. */
static inline void net_tally(uint64_t *counter, uint64_t n) { __atomic_fetch_add(counter, n, __ATOMIC_RELAXED); }
/* The first `bytes` of what iov points at, which has as many. */
void net_gather(const struct iovec *iov, unsigned n_iov, uint8_t *to, uint32_t bytes);
/* Common part; 0 or -errno. */
MUST_CHECK int net_init(struct net *n, const struct net_config *cfg, const struct net_ops *ops, uint32_t rx_bytes);
void net_fini(struct net *n);
void net_wake_card(struct net *n);
static inline bool net_listening(const struct net *n) { return __atomic_load_n(&n->listening, __ATOMIC_ACQUIRE); }
/* Publish a frame reserved in n->rx, and wake the card if it sleeps.  The cable's thread. */
void net_deliver(struct net *n, struct net_frame *f);
void net_complain(struct net *n, const char *fmt, ...) PRINTF_LIKE(2, 3);

static inline bool net_same_forward(const struct net_forward *a, const struct net_forward *b)
{
	return a->udp == b->udp && a->host_addr == b->host_addr && a->guest_addr == b->guest_addr &&
	       a->host_port == b->host_port && a->guest_port == b->guest_port;
}
/*
 * A port of the host's leads to one of the guest's from now on (0 or -errno, err filled), or no longer.  n is NET_USER.  Any thread
 * but libslirp's, one at a time; waits for that.
 */
MUST_CHECK int net_user_forward(struct net *n, const struct net_forward *f, struct net_error *err);
void net_user_unforward(struct net *n, const struct net_forward *f);
MUST_CHECK int net_user_open(struct net **out, const struct net_config *cfg, struct net_error *err);
MUST_CHECK int net_lan_open(struct net **out, const struct net_config *cfg, struct net_error *err);
MUST_CHECK int net_socket_open(struct net **out, const struct net_config *cfg, struct net_error *err);

/* ---- net.c, for the card; vCPU thread ---- */
void net_attach(struct net *n, void (*wake)(void *opaque), void *opaque);
/* On return nobody calls wake() any more. */
void net_detach(struct net *n);
/* Off: frames are dropped, and what waits is thrown away. */
void net_listen(struct net *n, bool on);
/* Lent pages may come, or not; how the card lends its own. */
void net_use_pages(struct net *n, bool takes, struct machine_page *(*lend)(void *opaque, const uint8_t *host),
		   void *opaque);
struct net_frame *net_rx_peek(struct net *n);
/* What it still has of lent pages is given back. */
void net_rx_pop(struct net *n);
static inline int net_send(struct net *n, const struct net_hdr *h, const struct iovec *iov, unsigned n_iov,
			   uint32_t bytes)
{
	return n->ops->send(n, h, iov, n_iov, bytes);
}
static inline void net_flush(struct net *n)
{
	if (n->ops->flush)
		n->ops->flush(n);
}

#endif
