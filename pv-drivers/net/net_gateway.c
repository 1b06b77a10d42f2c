/* SPDX-License-Identifier: MIT */
/*
 * A lan's gateway: libslirp as a port of the lan.  To net_user.c this is a card like any other; its frames come on libslirp's
 * thread, and go on to the lan at once.
 *
 *     lan -- put(): what is for the gateway ------> net_send() of "user"
 *     lan <- lan_forward() <- pump(), in wake() <-- its rx ring
 */
#include "pv-drivers/net/net_lan.h"
#include "pv-drivers/net/net_policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gateway_forward {
	struct net_forward f;
	unsigned users; /* cards */
};

struct lan_gateway {
	struct lan_port port; /* must be first */
	struct net_lan *lan;
	struct net *user;
	unsigned users; /* cards that ask for it; guarded by lan.gateway_lock */
	struct net_config cfg;
	struct gateway_forward forward[NET_POLICY_FORWARDS]; /* guarded by lan.gateway_lock */
	unsigned n_forwards;
	pthread_mutex_t tx_lock; /* of who writes to user's ring */
};

enum {
	TYPE_IPV4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_IPV6 = 0x86dd,
	PROTO_UDP = 17,
	PORT_DHCP = 67,
	/* Ethernet, the longest IPv4 header, UDP's ports */
	HEAD_BYTES = NET_ETH_BYTES + 60 + 4,
};

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static bool is_dhcp(const uint8_t *head, uint32_t have)
{
	const uint8_t *ip = head + NET_ETH_BYTES;
	uint32_t hl = (ip[0] & 15) * 4u;

	return have >= NET_ETH_BYTES + hl + 4 && ip[9] == PROTO_UDP && !(get16(ip + 6) & 0x1fff) &&
	       get16(ip + hl + 2) == PORT_DHCP;
}

/*
 * libslirp does not look at the address of Ethernet: what machines say to each other, or to all, it would carry outside, or
 * refuse.  So it gets what is to the gateway, and of what is to all the questions that it answers.
 */
static bool wanted(const struct lan_frame *f)
{
	uint8_t head[HEAD_BYTES] = {0};
	uint32_t have = f->bytes < sizeof(head) ? f->bytes : (uint32_t)sizeof(head);
	uint64_t to;
	uint16_t type;

	net_gather(f->iov, f->n_iov, head, have);
	to = lan_mac(head);
	if (!lan_is_group(to))
		return lan_is_gateways(to);
	type = get16(head + 12);
	return type == TYPE_ARP || type == TYPE_IPV6 || (type == TYPE_IPV4 && is_dhcp(head, have));
}

static bool gateway_put(struct lan_port *p, const struct lan_frame *f)
{
	struct lan_gateway *g = (struct lan_gateway *)p;
	int taken;

	if (!wanted(f))
		return false;
	pthread_mutex_lock(&g->tx_lock);
	taken = net_send(g->user, f->hdr, f->iov, f->n_iov, f->bytes);
	pthread_mutex_unlock(&g->tx_lock);
	if (taken)
		net_tally(f->copied_bytes, f->bytes);
	return taken;
}

/* libslirp's thread, but for the first time; one at a time (net.card_lock). */
static void pump(void *opaque)
{
	struct lan_gateway *g = opaque;
	struct net_frame *f;

	while ((f = net_rx_peek(g->user))) {
		struct iovec iov = {f->data, f->bytes};
		struct lan_frame lf = {&f->hdr, &iov, 1, f->bytes, &g->user->count.copied_bytes, NULL};

		/* Its checksums are right, or left to the card: nothing was on a wire. */
		if (!(f->hdr.flags & NET_HDR_NEEDS_CSUM))
			f->hdr.flags |= NET_HDR_DATA_VALID;
		(void)lan_forward(&g->port, &lf);
		net_rx_pop(g->user);
	}
}

static void on_complain(void *opaque, const char *line) { lan_complain(((struct lan_gateway *)opaque)->lan, line); }

/* ---- opening and closing ---- */

static int open_user(struct lan_gateway *g, struct net_error *err)
{
	int e;

	g->cfg.kind = NET_USER;
	g->cfg.n_forwards = 0;
	g->cfg.complain = on_complain;
	g->cfg.opaque = g;
	e = net_open(&g->user, &g->cfg, err);
	if (e)
		return e;
	e = lan_join(g->lan, &g->port, true);
	if (e) {
		net_close(g->user);
		return e;
	}
	/* Nobody takes frames yet, so that net_listen() may throw away what is there; what comes until the pump is there it finds. */
	net_listen(g->user, true);
	net_attach(g->user, pump, g);
	net_wake_card(g->user);
	return 0;
}

static int gateway_open(struct lan_gateway **out, struct net_lan *lan, const struct net_config *cfg,
			struct net_error *err)
{
	struct lan_gateway *g = calloc(1, sizeof(*g));
	int e;

	if (!g)
		return -ENOMEM;
	g->lan = lan;
	g->port.put = gateway_put;
	g->cfg = *cfg;
	pthread_mutex_init(&g->tx_lock, NULL);
	e = open_user(g, err);
	/* Of the asker. */
	g->cfg.lan = g->cfg.path = g->cfg.hostname = NULL;
	if (e) {
		pthread_mutex_destroy(&g->tx_lock);
		free(g);
		return e;
	}
	*out = g;
	return 0;
}

static void gateway_close(struct lan_gateway *g)
{
	lan_leave(&g->port);
	net_attach(g->user, NULL, NULL); /* on return no pump runs any more */
	net_close(g->user);
	pthread_mutex_destroy(&g->tx_lock);
	free(g);
}

/* ---- forwarded ports; under the lan's gateway_lock ---- */

static struct gateway_forward *find_forward(struct lan_gateway *g, const struct net_forward *f)
{
	for (unsigned i = 0; i < g->n_forwards; i++)
		if (net_same_forward(&g->forward[i].f, f))
			return &g->forward[i];
	return NULL;
}

static void drop_forward(struct lan_gateway *g, const struct net_forward *f)
{
	struct gateway_forward *at = find_forward(g, f);

	if (--at->users)
		return;
	net_user_unforward(g->user, f);
	*at = g->forward[--g->n_forwards];
}

static int add_forward(struct lan_gateway *g, const struct net_forward *f, struct net_error *err)
{
	struct gateway_forward *at = find_forward(g, f);
	int e;

	if (at) {
		at->users++;
		return 0;
	}
	/* Of more than there is room for, it says so. */
	e = net_user_forward(g->user, f, err);
	if (!e)
		g->forward[g->n_forwards++] = (struct gateway_forward){*f, 1};
	return e;
}

static int add_forwards(struct lan_gateway *g, const struct lan_forwards *forwards, struct net_error *err)
{
	for (unsigned i = 0; i < forwards->n; i++) {
		int e = add_forward(g, &forwards->f[i], err);

		if (!e)
			continue;
		while (i--)
			drop_forward(g, &forwards->f[i]);
		return e;
	}
	return 0;
}

/* ---- whoever asks ---- */

static void close_unused(struct net_lan *lan)
{
	if (lan->gateway->users)
		return;
	gateway_close(lan->gateway);
	lan->gateway = NULL;
}

int lan_gateway_get(struct net_lan *lan, const struct net_config *cfg, const struct lan_forwards *forwards,
		    struct net_error *err)
{
	struct lan_gateway *g;
	int e = 0;

	pthread_mutex_lock(&lan->gateway_lock);
	if (!lan->gateway)
		e = gateway_open(&lan->gateway, lan, cfg, err);
	g = lan->gateway;
	if (!e && (g->cfg.restricted != cfg->restricted || g->cfg.host_loopback != cfg->host_loopback)) {
		snprintf(err->text, sizeof(err->text),
			 "lan%s%s: its gateway is there already, with another restrict= or host-loopback=",
			 *lan->name ? "=" : "", lan->name);
		e = -EEXIST;
	}
	if (g) {
		e = e ? e : add_forwards(g, forwards, err);
		g->users += !e;
		close_unused(lan);
	}
	pthread_mutex_unlock(&lan->gateway_lock);
	return e;
}

void lan_gateway_release(struct net_lan *lan, const struct lan_forwards *forwards)
{
	pthread_mutex_lock(&lan->gateway_lock);
	for (unsigned i = 0; i < forwards->n; i++)
		drop_forward(lan->gateway, &forwards->f[i]);
	lan->gateway->users--;
	close_unused(lan);
	pthread_mutex_unlock(&lan->gateway_lock);
}
