/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_NET_H
#define PV_DRIVERS_NET_H

/*
 * What a virtual network card's cable leads to: NAT behind libslirp ("user"), an Ethernet of the machines of one monitor ("lan")
 * or of several processes over Unix sockets ("socket"), nothing ("none").  Outlives a reset of the machine.
 */
#include <sys/uio.h>

#include "base/option.h"
#include "base/panic.h"
#include "base/types.h"

struct net;
struct net_switch;

enum {
	NET_MAX_FRAME_BYTES = 65535 + 14 + 8, /* the largest IP packet, Ethernet's header, two VLAN tags */
	NET_LEAST_MTU = 68,                   /* RFC 791 */
	NET_MOST_MTU = 65535,
	NET_LAN_RX_BYTES = 2 << 20, /* what a lan card's guest may leave unread: 32 of the largest frames */
	/* and the machine memory that this takes at most: pages that their senders have lent, and no guest page stands for */
	NET_LAN_LENT_BYTES = NET_LAN_RX_BYTES + (64 << 10),
};

enum net_kind { NET_NONE, NET_USER, NET_LAN, NET_SOCKET };

#define NET_MAX_FORWARDS 16
struct net_forward {
	bool udp;
	uint32_t host_addr;  /* IPv4, host order; 0: all of the host's */
	uint32_t guest_addr; /* 0: the guest's DHCP address */
	uint16_t host_port, guest_port;
};

struct net_config {
	enum net_kind kind;
	const char *path; /* NET_SOCKET: a directory, made by the first machine (mode 0700) and removed by the last */
	const char *lan;  /* NET_LAN: its name; NULL: the one without */
	bool gateway;     /* NET_LAN: has a gateway to the outside while a card with this is on it */
	uint16_t mtu;     /* NET_LAN: of IP, NET_LEAST_MTU .. NET_MOST_MTU */
	unsigned n_forwards;
	struct net_forward forward[NET_MAX_FORWARDS];
	bool restricted;    /* NET_USER, a gateway: nothing but hostfwd and DHCP */
	bool host_loopback; /* NET_USER, a gateway: 10.0.2.2 leads to the host's loopback */
	bool has_mac;
	uint8_t mac[6];
	const char *hostname; /* for DHCP, or NULL */
	/* Not of --net, but the opener's: NET_LAN, the monitor's switch; the machine's number there and the card's in it make the address. */
	struct net_switch *net_switch;
	unsigned machine, card;
	/* One line for the user, once per kind of trouble.  Any thread.  NULL: nobody is told. */
	void (*complain)(void *opaque, const char *line);
	void *opaque;
};

struct net_error {
	char text[512]; /* one line without "disco: " */
};

/*
 * Parse the value of --net: a kind and keys, as net_keys.def has them; in a PATH ",," is one comma.  A hostfwd without the
 * first ADDR listens on 127.0.0.1, with 0.0.0.0 on all of the host's addresses, which it does without one on QEMU.
 * Strings of *out are allocated (net_config_free).  0 or -EINVAL with err filled.
 */
MUST_CHECK int net_config_parse(const char *text, struct net_config *out, struct options_error *err);
extern const struct option_row net_config_rows[]; /* the kinds, then the keys */
void net_config_free(struct net_config *cfg);

/* cfg's strings need not outlive the call.  0, or -errno with err filled (a port that is taken: -EADDRINUSE). */
MUST_CHECK int net_open(struct net **out, const struct net_config *cfg, struct net_error *err);
/* No card may be attached any more (virtio_device_free()). */
void net_close(struct net *n);
void net_mac(const struct net *n, uint8_t mac[6]);

/* What a card counts, as net_counters.def has it. */
struct net_counters {
#define NET_COUNTER(name, unit, text) uint64_t name;
#include "pv-drivers/net/net_counters.def"
#undef NET_COUNTER
};
/* What was counted until now; each number by itself, unless the machine has stopped. Any thread. */
struct net_counters net_count(const struct net *n);

#endif
