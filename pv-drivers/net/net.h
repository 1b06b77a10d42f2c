/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_NET_H
#define PV_DRIVERS_NET_H

/*
 * What a virtual network card's cable leads to: NAT behind libslirp ("user"), an Ethernet shared by the Disco machines of
 * several processes over Unix sockets ("socket"), nothing ("none").  Outlives a reset of the machine.
 */
#include <sys/uio.h>

#include "base/option.h"
#include "base/panic.h"
#include "base/types.h"

struct net;

enum { NET_MAX_FRAME_BYTES = 65550 /* with TSO: 64 KiB of IP and the Ethernet header */ };

enum net_kind { NET_NONE, NET_USER, NET_SOCKET };

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
	unsigned n_forwards;
	struct net_forward forward[NET_MAX_FORWARDS];
	bool restricted;    /* NET_USER: nothing but hostfwd and DHCP */
	bool host_loopback; /* NET_USER: 10.0.2.2 leads to the host's loopback */
	bool has_mac;
	uint8_t mac[6];
	const char *hostname; /* for DHCP, or NULL */
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

/* Frames lost, by reason. */
struct net_counters {
	uint64_t rx_no_room;  /* to the card: it does not take them fast enough */
	uint64_t tx_dropped;  /* nobody there, or a machine that does not read */
	uint64_t tx_bad;      /* from the guest, with a header that contradicts the frame */
	uint64_t rx_bad;      /* the same from another machine */
	uint64_t guest_error; /* libslirp did not like what the guest sent */
	uint64_t tx_refused;  /* to where restrict= and host-loopback= do not let it */
};
/* What was counted until now; exact once the machine has stopped. */
struct net_counters net_count(const struct net *n);

#endif
