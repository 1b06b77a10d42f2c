/* SPDX-License-Identifier: MIT */
/* A card's cable to a lan of its monitor's switch (net_lan.h). */
#include "pv-drivers/net/net_lan.h"
#include "pv-drivers/net/net_pages.h"
#include "pv-drivers/net/net_policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lan_card {
	struct net net; /* must be first */
	struct lan_port port;
	struct net_lan *lan;
	pthread_mutex_t rx_lock; /* of who writes to net.rx */
	bool joined;
	struct lan_forwards forwards;
};

/* ---- to the card: the senders' threads ---- */

/*
 * The one place where a frame's bytes go from machine to machine.  Twice at most are they copied: here, because a guest's memory
 * is touched on its own vCPU's side alone, and from the ring into the receive buffers; pages that are lent are not (net_pages.h).
 */
static bool card_put(struct lan_port *p, const struct lan_frame *f)
{
	struct lan_card *c = (struct lan_card *)p->card;
	uint32_t copied = f->bytes;
	struct net_frame *to;
	bool wake = false;

	if (!net_listening(&c->net))
		return false;
	pthread_mutex_lock(&c->rx_lock);
	to = net_ring_reserve(&c->net.rx, f->bytes);
	if (to) {
		net_frame_fill(to, f, __atomic_load_n(&c->net.takes_pages, __ATOMIC_RELAXED));
		copied -= to->n_lent * (uint32_t)PAGE_BYTES;
		wake = net_ring_commit(&c->net.rx, to);
	}
	pthread_mutex_unlock(&c->rx_lock);
	net_tally(to ? f->copied_bytes : &c->net.count.rx_no_room, to ? copied : 1);
	if (wake)
		net_wake_card(&c->net);
	return to;
}

/* ---- from the card: vCPU thread ---- */

static int card_send(struct net *n, const struct net_hdr *h, const struct iovec *iov, unsigned n_iov, uint32_t bytes)
{
	struct lan_card *c = (struct lan_card *)n;
	struct lan_frame f = {h, iov, n_iov, bytes, &n->count.copied_bytes, n};

	if (!lan_forward(&c->port, &f))
		net_tally(&n->count.tx_dropped, 1);
	return 1;
}

/* ---- joining and leaving ---- */

static void card_free(struct lan_card *c)
{
	if (c->joined)
		lan_leave(&c->port);
	if (c->port.asks)
		lan_gateway_release(c->lan, &c->forwards);
	lan_release(c->lan);
	pthread_mutex_destroy(&c->rx_lock);
	net_fini(&c->net);
	free(c);
}

static void card_close(struct net *n) { card_free((struct lan_card *)n); }

static int refuse(int e, const struct net_config *cfg, struct net_error *err)
{
	const uint8_t *m = cfg->mac;

	if (e == -EADDRINUSE)
		snprintf(err->text, sizeof(err->text),
			 "mac=%02x:%02x:%02x:%02x:%02x:%02x: another card of the lan has this address", m[0], m[1],
			 m[2], m[3], m[4], m[5]);
	else
		snprintf(err->text, sizeof(err->text), "lan%s%s: more than %d cards on it", cfg->lan ? "=" : "",
			 cfg->lan ? cfg->lan : "", LAN_MAX_PORTS);
	return e;
}

/*
 * A port leads to the machine that asks for it: to the address that Disco's initramfs gives to one of several (guest/agent/devices.c),
 * by the number in the card's own address.
 */
static void take_forwards(struct lan_card *c, const struct net_config *cfg)
{
	c->forwards.n = cfg->n_forwards;
	memcpy(c->forwards.f, cfg->forward, sizeof(c->forwards.f));
	for (unsigned i = 0; i < c->forwards.n; i++)
		if (!c->forwards.f[i].guest_addr && cfg->machine && cfg->machine <= 254 - 100 && !cfg->has_mac)
			c->forwards.f[i].guest_addr = NET_USER_ADDR + 100 + cfg->machine;
}

static int join(struct lan_card *c, const struct net_config *cfg, struct net_error *err)
{
	int e;

	if (cfg->gateway) {
		take_forwards(c, cfg);
		e = lan_gateway_get(c->lan, cfg, &c->forwards, err);
		if (e)
			return e;
		c->port.asks = true;
	}
	c->port.card = &c->net;
	c->port.put = card_put;
	c->port.mac = lan_mac(c->net.mac);
	e = lan_join(c->lan, &c->port, cfg->has_mac);
	if (e)
		return refuse(e, cfg, err);
	c->joined = true;
	for (int i = 0; i < 6; i++)
		c->net.mac[i] = (uint8_t)(c->port.mac >> (40 - 8 * i));
	return 0;
}

/* The same machine has the same address in every run, and no two machines the same. */
static void default_mac(uint8_t mac[6], const struct net_config *cfg)
{
	const uint8_t m[6] = {2, 0, 0, (uint8_t)(cfg->machine >> 8), (uint8_t)cfg->machine, (uint8_t)(1 + cfg->card)};

	memcpy(mac, m, sizeof(m));
}

int net_lan_open(struct net **out, const struct net_config *cfg, struct net_error *err)
{
	static const struct net_ops ops = {.send = card_send, .close = card_close};
	struct lan_card *c = calloc(1, sizeof(*c));
	struct net_config with_mac = *cfg;
	int e = -ENOMEM;

	if (c)
		c->lan = lan_get(cfg->net_switch, cfg->lan ? cfg->lan : "");
	if (c && c->lan) {
		with_mac.has_mac = true;
		if (!cfg->has_mac)
			default_mac(with_mac.mac, cfg);
		e = net_init(&c->net, &with_mac, &ops, NET_LAN_RX_BYTES);
		if (e)
			lan_release(c->lan);
	}
	if (e) {
		free(c);
		return e;
	}
	pthread_mutex_init(&c->rx_lock, NULL);
	c->net.mtu = cfg->mtu;
	c->net.memory = net_switch_memory(cfg->net_switch);
	e = join(c, cfg, err);
	if (e) {
		card_free(c);
		return e;
	}
	*out = &c->net;
	return 0;
}
