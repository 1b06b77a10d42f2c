/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_NET_LAN_H
#define PV_DRIVERS_NET_LAN_H

/*
 * Private to the switch.  A lan is a learning bridge (IEEE 802.1D, without ageing and spanning trees) whose ports are the cards
 * of machines (net_lan.c) and at most one gateway (net_gateway.c).
 *
 *     card A -- lan_forward() --+-- the destination is B's -----> put() of B: copied into B's own ring, B is woken
 *     (A's vCPU thread)         +-- a group, or nobody's yet ---> put() of every port but A
 *
 * Senders run at once: of the lan they only read, and what two of them send to one port goes into its ring one after the other.
 * A port that does not read has a full ring and loses frames, its own: nobody waits for it.
 */
#include "pv-drivers/net/net_cable.h"
#include "pv-drivers/net/net_switch.h"

enum {
	LAN_MAX_PORTS = 1024,
	LAN_OWN = 2 * LAN_MAX_PORTS, /* slots; a power of two */
	LAN_LEARNED = 1024,          /* addresses that are not a card's own; a power of two */
	LAN_WAYS = 4,
};

struct net_lan {
	struct net_switch *sw;
	char *name; /* "": the one without */

	/* Guarded by the switch's lock. */
	struct net_lan *next;
	unsigned users; /* lan_get() without its lan_release() */

	pthread_mutex_t gateway_lock;
	struct lan_gateway *gateway; /* or NULL */

	/* To send is to read; to join or leave, to write. */
	pthread_rwlock_t lock;
	struct lan_port *port[LAN_MAX_PORTS];
	unsigned n_slots, n_ports; /* ports are below n_slots, with gaps */
	struct lan_port *gateway_port;
	/*
	 * Where addresses are: the address, then 16 bits of the port; 0: free.  own[]: of cards, open addressing, nobody takes these.
	 * learned[]: of what stands behind cards, sets of LAN_WAYS; senders write it (atomic).
	 */
	uint64_t own[LAN_OWN];
	uint64_t learned[LAN_LEARNED];
};

/* A frame on its way; what it points at is only borrowed. */
struct lan_frame {
	const struct net_hdr *hdr; /* checked */
	const struct iovec *iov;
	unsigned n_iov;
	uint32_t bytes;         /* NET_ETH_BYTES at least */
	uint64_t *copied_bytes; /* the sender's counter */
	struct net *from;       /* the sender's card; NULL: the gateway's */
};

struct lan_port {
	struct net_lan *lan;
	uint16_t index; /* in lan.port */
	uint64_t mac;   /* its own; 0: the gateway's, which has many (lan_is_gateways()) */
	/* Take a copy; false: it is not wanted, or lost.  Any thread, several at once. */
	bool (*put)(struct lan_port *p, const struct lan_frame *f);
	struct net *card; /* NULL: the gateway's */
	bool asks;        /* a card whose machine asks for the gateway */
};

/* The address as a number, first byte most significant. */
static inline uint64_t lan_mac(const uint8_t *mac)
{
	uint64_t m = 0;

	for (int i = 0; i < 6; i++)
		m = m << 8 | mac[i];
	return m;
}
static inline bool lan_is_group(uint64_t mac) { return mac >> 40 & 1; }
/* libslirp makes the addresses of all that it stands for of these and the IP addresses. */
static inline bool lan_is_gateways(uint64_t mac) { return mac >> 32 == 0x5255 || mac >> 32 == 0x5256; }

/* ---- net_switch.c; any thread ---- */

/* The lan of this name, made if it is not there. NULL: no memory. */
struct net_lan *lan_get(struct net_switch *sw, const char *name);
/* Of the last user: it is gone. */
void lan_release(struct net_lan *lan);
/*
 * Put a port on the lan; its index and lan are filled.  If p->mac is another card's, p->mac becomes the next one that is free,
 * unless it is fixed.  0, -EADDRINUSE, -ENOSPC (LAN_MAX_PORTS).
 */
MUST_CHECK int lan_join(struct net_lan *lan, struct lan_port *p, bool fixed);
/* On return nobody calls put() any more. */
void lan_leave(struct lan_port *p);
/* A frame from p: how many ports took it.  One thread at a time for each p. */
unsigned lan_forward(struct lan_port *p, const struct lan_frame *f);
/* A line for the user, by a machine that asks for the gateway. */
void lan_complain(struct net_lan *lan, const char *line);

/* ---- net_gateway.c; any thread ---- */

/* The ports that a card's --net forwards. */
struct lan_forwards {
	unsigned n;
	struct net_forward f[NET_MAX_FORWARDS];
};

/*
 * A card asks for the lan's gateway: the first opens it, with cfg's restrict= and host-loopback=; the others have the same, or get
 * -EEXIST.  Its forwards are there until it releases the gateway; what several ask for alike is there once.
 * 0 or -errno, err filled.
 */
MUST_CHECK int lan_gateway_get(struct net_lan *lan, const struct net_config *cfg, const struct lan_forwards *forwards,
			       struct net_error *err);
/* Of the last card: it is closed. */
void lan_gateway_release(struct net_lan *lan, const struct lan_forwards *forwards);

#endif
