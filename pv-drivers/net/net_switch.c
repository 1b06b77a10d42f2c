/* SPDX-License-Identifier: MIT */
#include "pv-drivers/net/net_lan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "numa/share.h"

struct net_switch {
	struct machine_memory *memory; /* or NULL */
	pthread_mutex_t lock;
	struct net_lan *lans; /* through next */
};

int net_switch_new(struct net_switch **out, struct machine_memory *memory)
{
	struct net_switch *sw = calloc(1, sizeof(*sw));

	if (!sw)
		return -ENOMEM;
	sw->memory = memory && share_is_on(memory) ? memory : NULL;
	pthread_mutex_init(&sw->lock, NULL);
	*out = sw;
	return 0;
}

void net_switch_free(struct net_switch *sw)
{
	if (!sw)
		return;
	ASSERT(!sw->lans);
	pthread_mutex_destroy(&sw->lock);
	free(sw);
}

struct machine_memory *net_switch_memory(const struct net_switch *sw) { return sw->memory; }

/* ---- lans ---- */

static struct net_lan *lan_new(struct net_switch *sw, const char *name)
{
	struct net_lan *lan = calloc(1, sizeof(*lan));
	pthread_rwlockattr_t a;

	if (!lan)
		return NULL;
	lan->sw = sw;
	lan->name = strdup(name);
	if (!lan->name) {
		free(lan);
		return NULL;
	}
	/* Machines that send all the time do not keep one from joining. */
	pthread_rwlockattr_init(&a);
	pthread_rwlockattr_setkind_np(&a, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&lan->lock, &a);
	pthread_rwlockattr_destroy(&a);
	pthread_mutex_init(&lan->gateway_lock, NULL);
	return lan;
}

static void lan_free(struct net_lan *lan)
{
	ASSERT(!lan->n_ports && !lan->gateway);
	pthread_rwlock_destroy(&lan->lock);
	pthread_mutex_destroy(&lan->gateway_lock);
	free(lan->name);
	free(lan);
}

struct net_lan *lan_get(struct net_switch *sw, const char *name)
{
	struct net_lan *lan;

	pthread_mutex_lock(&sw->lock);
	for (lan = sw->lans; lan && strcmp(lan->name, name) != 0;)
		lan = lan->next;
	if (!lan && (lan = lan_new(sw, name))) {
		lan->next = sw->lans;
		sw->lans = lan;
	}
	if (lan)
		lan->users++;
	pthread_mutex_unlock(&sw->lock);
	return lan;
}

void lan_release(struct net_lan *lan)
{
	struct net_switch *sw = lan->sw;
	struct net_lan **at = &sw->lans;
	bool last;

	pthread_mutex_lock(&sw->lock);
	last = --lan->users == 0;
	if (last) {
		while (*at != lan)
			at = &(*at)->next;
		*at = lan->next;
	}
	pthread_mutex_unlock(&sw->lock);
	if (last)
		lan_free(lan);
}

void lan_complain(struct net_lan *lan, const char *line)
{
	pthread_rwlock_rdlock(&lan->lock);
	for (unsigned i = 0; i < lan->n_slots; i++)
		if (lan->port[i] && lan->port[i]->asks) {
			net_complain(lan->port[i]->card, "%s", line);
			break;
		}
	pthread_rwlock_unlock(&lan->lock);
}

/* ---- where an address is; under the lan's lock ---- */

static uint32_t hash(uint64_t mac) { return (uint32_t)(mac * 0x9e3779b97f4a7c15u >> 32); }
static uint64_t entry(uint64_t mac, uint16_t port) { return mac << 16 | port; }

static int own_port(const struct net_lan *lan, uint64_t mac)
{
	uint64_t e;

	for (uint32_t i = hash(mac);; i++) {
		e = lan->own[i & (LAN_OWN - 1)];
		if (!e || e >> 16 == mac)
			return e ? (int)(e & 0xffff) : -1;
	}
}

/* It is never more than half full. */
static void put_own(struct net_lan *lan, const struct lan_port *p)
{
	uint32_t i = hash(p->mac);

	while (lan->own[i & (LAN_OWN - 1)])
		i++;
	lan->own[i & (LAN_OWN - 1)] = entry(p->mac, p->index);
}

static uint64_t *set_of(struct net_lan *lan, uint64_t mac)
{
	return &lan->learned[hash(mac) & (LAN_LEARNED - 1) & ~(uint32_t)(LAN_WAYS - 1)];
}

/* Its slot, and what stood there: another sender may put something else there at any time. */
static uint64_t *find_learned(struct net_lan *lan, uint64_t mac, uint64_t *found)
{
	uint64_t *set = set_of(lan, mac);

	for (unsigned i = 0; mac && i < LAN_WAYS; i++) {
		*found = __atomic_load_n(&set[i], __ATOMIC_RELAXED);
		if (*found >> 16 == mac)
			return &set[i];
	}
	return NULL;
}

/* The sender is there now.  What a card has as its own stays with it, and so does what the gateway stands for. */
static void learn(struct lan_port *from, uint64_t mac)
{
	struct net_lan *lan = from->lan;
	uint64_t *set = set_of(lan, mac), *at, was = 0, want = entry(mac, from->index);

	if (mac == from->mac || !mac || lan_is_group(mac) || own_port(lan, mac) >= 0 ||
	    (lan->gateway_port && lan_is_gateways(mac)))
		return;
	at = find_learned(lan, mac, &was);
	for (unsigned i = 0; !at && i < LAN_WAYS; i++)
		at = __atomic_load_n(&set[i], __ATOMIC_RELAXED) ? NULL : &set[i];
	/* Of a full set, the one that the hash says: any is as good. */
	if (!at)
		at = &set[hash(mac) >> 16 & (LAN_WAYS - 1)];
	if (was != want)
		__atomic_store_n(at, want, __ATOMIC_RELAXED);
}

/* NULL: all of them. */
static struct lan_port *port_of(struct net_lan *lan, uint64_t mac)
{
	uint64_t found;
	int own;

	if (lan_is_group(mac))
		return NULL;
	own = own_port(lan, mac);
	if (own >= 0)
		return lan->port[own];
	if (lan->gateway_port && lan_is_gateways(mac))
		return lan->gateway_port;
	return find_learned(lan, mac, &found) ? lan->port[found & 0xffff] : NULL;
}

/* ---- ports ---- */

/* 0 or -EADDRINUSE. */
static int give_mac(const struct net_lan *lan, struct lan_port *p, bool fixed)
{
	if (!p->mac)
		return 0;
	while (own_port(lan, p->mac) >= 0) {
		if (fixed)
			return -EADDRINUSE;
		p->mac++;
	}
	return 0;
}

/* What has been learned of the address, or leads to the port, is no longer so. */
static void forget(struct net_lan *lan, const struct lan_port *p)
{
	for (unsigned i = 0; i < LAN_LEARNED; i++) {
		uint64_t e = lan->learned[i];

		if (e && ((e & 0xffff) == p->index || e >> 16 == p->mac || (!p->card && lan_is_gateways(e >> 16))))
			lan->learned[i] = 0;
	}
}

int lan_join(struct net_lan *lan, struct lan_port *p, bool fixed)
{
	unsigned i = 0;
	int err;

	pthread_rwlock_wrlock(&lan->lock);
	while (i < lan->n_slots && lan->port[i])
		i++;
	err = i < LAN_MAX_PORTS ? give_mac(lan, p, fixed) : -ENOSPC;
	if (!err) {
		p->lan = lan;
		p->index = (uint16_t)i;
		lan->port[i] = p;
		lan->n_slots += i == lan->n_slots;
		lan->n_ports++;
		if (p->mac)
			put_own(lan, p);
		else
			lan->gateway_port = p;
		forget(lan, p);
	}
	pthread_rwlock_unlock(&lan->lock);
	return err;
}

void lan_leave(struct lan_port *p)
{
	struct net_lan *lan = p->lan;

	pthread_rwlock_wrlock(&lan->lock);
	lan->port[p->index] = NULL;
	while (lan->n_slots && !lan->port[lan->n_slots - 1])
		lan->n_slots--;
	lan->n_ports--;
	if (lan->gateway_port == p)
		lan->gateway_port = NULL;
	/* A hole in open addressing would hide what is behind it. */
	memset(lan->own, 0, sizeof(lan->own));
	for (unsigned i = 0; i < lan->n_slots; i++)
		if (lan->port[i] && lan->port[i]->mac)
			put_own(lan, lan->port[i]);
	forget(lan, p);
	pthread_rwlock_unlock(&lan->lock);
}

/* ---- sending ---- */

static void addresses(const struct lan_frame *f, uint64_t *to, uint64_t *from)
{
	uint8_t head[12];

	net_gather(f->iov, f->n_iov, head, sizeof(head));
	*to = lan_mac(head);
	*from = lan_mac(head + 6);
}

unsigned lan_forward(struct lan_port *p, const struct lan_frame *f)
{
	struct net_lan *lan = p->lan;
	struct lan_port *only;
	uint64_t to, from;
	unsigned taken = 0;

	addresses(f, &to, &from);
	pthread_rwlock_rdlock(&lan->lock);
	learn(p, from);
	only = port_of(lan, to);
	if (only)
		taken = only != p && only->put(only, f);
	else
		for (unsigned i = 0; i < lan->n_slots; i++)
			taken += lan->port[i] && lan->port[i] != p && lan->port[i]->put(lan->port[i], f);
	pthread_rwlock_unlock(&lan->lock);
	return taken;
}
