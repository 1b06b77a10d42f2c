/* SPDX-License-Identifier: MIT */
#include "pv-drivers/net/net_cable.h"
#include "numa/share.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Locally administered, not a group address; not 52:54:00, which QEMU's machines on the same wire may have. */
static int random_mac(uint8_t mac[6])
{
	if (getrandom(mac, 6, 0) != 6)
		return -EIO;
	mac[0] = 0x02;
	return 0;
}

int net_init(struct net *n, const struct net_config *cfg, const struct net_ops *ops, uint32_t rx_bytes)
{
	int err = 0;

	n->ops = ops;
	n->link_up = true;
	n->complain = cfg->complain;
	n->complain_opaque = cfg->opaque;
	if (cfg->has_mac)
		memcpy(n->mac, cfg->mac, 6);
	else
		err = random_mac(n->mac);
	if (!err && rx_bytes)
		err = net_ring_init(&n->rx, rx_bytes);
	if (!err)
		err = -pthread_mutex_init(&n->card_lock, NULL);
	if (err)
		net_ring_free(&n->rx);
	return err;
}

void net_fini(struct net *n)
{
	/* One that was sent while the card left. */
	while (n->rx.mem && net_ring_peek(&n->rx))
		net_rx_pop(n);
	pthread_mutex_destroy(&n->card_lock);
	net_ring_free(&n->rx);
}

void net_gather(const struct iovec *iov, unsigned n_iov, uint8_t *to, uint32_t bytes)
{
	for (unsigned i = 0; i < n_iov && bytes; i++) {
		uint32_t n = iov[i].iov_len < bytes ? (uint32_t)iov[i].iov_len : bytes;

		memcpy(to, iov[i].iov_base, n);
		to += n;
		bytes -= n;
	}
}

void net_complain(struct net *n, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!n->complain)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	n->complain(n->complain_opaque, line);
}

void net_wake_card(struct net *n)
{
	pthread_mutex_lock(&n->card_lock);
	if (n->wake)
		n->wake(n->wake_opaque);
	pthread_mutex_unlock(&n->card_lock);
}

void net_deliver(struct net *n, struct net_frame *f)
{
	if (net_ring_commit(&n->rx, f))
		net_wake_card(n);
}

void net_attach(struct net *n, void (*wake)(void *opaque), void *opaque)
{
	pthread_mutex_lock(&n->card_lock);
	n->wake = wake;
	n->wake_opaque = opaque;
	pthread_mutex_unlock(&n->card_lock);
}

void net_detach(struct net *n)
{
	net_listen(n, false);
	net_attach(n, NULL, NULL);
}

void net_listen(struct net *n, bool on)
{
	__atomic_store_n(&n->listening, on, __ATOMIC_RELEASE);
	if (!n->rx.mem)
		return;
	/* Also what came for the machine before its reset. */
	while (net_ring_peek(&n->rx))
		net_rx_pop(n);
	if (on && !net_ring_sleep(&n->rx))
		net_wake_card(n);
}

struct net_frame *net_rx_peek(struct net *n)
{
	struct net_frame *f;

	if (!n->rx.mem)
		return NULL;
	f = net_ring_peek(&n->rx);
	if (f || net_ring_sleep(&n->rx))
		return f;
	return net_ring_peek(&n->rx);
}

void net_use_pages(struct net *n, bool takes, struct machine_page *(*lend)(void *opaque, const uint8_t *host),
		   void *opaque)
{
	n->lend = lend;
	n->lend_opaque = opaque;
	__atomic_store_n(&n->takes_pages, takes, __ATOMIC_RELAXED);
}

void net_rx_pop(struct net *n)
{
	struct net_frame *f = net_ring_peek(&n->rx);

	for (unsigned i = 0; i < f->n_lent; i++)
		if (net_frame_lent(f)[i].page)
			share_give_back(n->memory, net_frame_lent(f)[i].page);
	if (net_ring_pop(&n->rx) && n->ops->room)
		n->ops->room(n);
}

/* ---- "none": a card without a cable ---- */

static int none_send(struct net *n, const struct net_hdr *h, const struct iovec *iov, unsigned n_iov, uint32_t bytes)
{
	net_tally(&n->count.tx_dropped, 1);
	return 1;
}

static void none_close(struct net *n)
{
	net_fini(n);
	free(n);
}

static int net_none_open(struct net **out, const struct net_config *cfg)
{
	static const struct net_ops ops = {.send = none_send, .close = none_close};
	struct net *n = calloc(1, sizeof(*n));
	int err = n ? net_init(n, cfg, &ops, 0) : -ENOMEM;

	if (err) {
		free(n);
		return err;
	}
	n->link_up = false;
	*out = n;
	return 0;
}

int net_open(struct net **out, const struct net_config *cfg, struct net_error *err)
{
	int e = -EINVAL;

	*out = NULL;
	err->text[0] = '\0';
	switch (cfg->kind) {
	case NET_NONE:
		e = net_none_open(out, cfg);
		break;
	case NET_USER:
		e = net_user_open(out, cfg, err);
		break;
	case NET_LAN:
		e = net_lan_open(out, cfg, err);
		break;
	case NET_SOCKET:
		e = net_socket_open(out, cfg, err);
		break;
	}
	if (e && !err->text[0])
		snprintf(err->text, sizeof(err->text), "the network: %s", strerror(-e));
	return e;
}

void net_close(struct net *n)
{
	if (n)
		n->ops->close(n);
}

void net_mac(const struct net *n, uint8_t mac[6]) { memcpy(mac, n->mac, 6); }

struct net_counters net_count(const struct net *n)
{
	struct net_counters c;

#define NET_COUNTER(name, unit, text) c.name = __atomic_load_n(&n->count.name, __ATOMIC_RELAXED);
#include "pv-drivers/net/net_counters.def"
#undef NET_COUNTER
	return c;
}
