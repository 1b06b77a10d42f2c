/* SPDX-License-Identifier: MIT */
/*
 * A lan whose machines send all at once, each from its own thread, to each other, to all and to one that never reads, while
 * another joins and leaves.  What arrives is whole, in its sender's order, and with what was lost makes up what was sent.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pv-drivers/net/net_cable.h"
#include "pv-drivers/net/net_switch.h"

enum { MACHINES = 4, DEAF = MACHINES, FRAMES = 30000, MAX_BYTES = 3000, HEAD = 24, JOINS = 200 };

struct machine {
	struct net *net;
	unsigned number;
	sem_t woken;
	uint32_t last[MACHINES]; /* of each sender: the number of its latest frame */
	uint64_t got, to_all, to[MACHINES + 1];
};

static struct net_switch *sw;
static struct machine machine[MACHINES + 1];
static pthread_barrier_t start;

static void wrong(const char *what, unsigned a, unsigned b)
{
	fprintf(stderr, "lan: %s (%u, %u)\n", what, a, b);
	exit(1);
}

static void wake(void *opaque) { sem_post(opaque); }

static struct net *join(unsigned number, sem_t *woken)
{
	struct net_config cfg = {.kind = NET_LAN, .net_switch = sw, .machine = number, .mtu = NET_MOST_MTU};
	struct net_error err;
	struct net *n;

	if (net_open(&n, &cfg, &err)) {
		fprintf(stderr, "lan: %s\n", err.text);
		exit(1);
	}
	net_attach(n, wake, woken);
	net_listen(n, true);
	return n;
}

/* 2:0:0:0:N:1, 2:0:0:0:M:1, type, sender, number, bytes, and then the number's low byte */
static void take(struct machine *m, const struct net_frame *f)
{
	uint32_t head[3];

	memcpy(head, f->data + 12, sizeof(head));
	if (head[0] >= MACHINES || head[0] == m->number || head[2] != f->bytes)
		wrong("a frame from nobody, or cut", m->number, head[0]);
	if (head[1] <= m->last[head[0]])
		wrong("out of order", head[1], m->last[head[0]]);
	for (uint32_t i = HEAD; i < f->bytes; i++)
		if (f->data[i] != (uint8_t)head[1])
			wrong("another frame's bytes", head[1], i);
	m->last[head[0]] = head[1];
	m->got++;
}

static void take_all(struct machine *m)
{
	struct net_frame *f;

	while ((f = net_rx_peek(m->net))) {
		take(m, f);
		net_rx_pop(m->net);
	}
}

static void *run(void *opaque)
{
	static const struct net_hdr none;
	struct machine *m = opaque;
	uint8_t *f = malloc(MAX_BYTES);
	uint64_t seed = m->number + 1;

	pthread_barrier_wait(&start);
	for (uint32_t n = 1; n <= FRAMES; n++) {
		uint32_t head[3] = {m->number, n, 0}, to;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		head[2] = HEAD + (uint32_t)(seed >> 40) % (MAX_BYTES - HEAD);
		to = (uint32_t)(seed >> 33) % (MACHINES + 2);
		memcpy(f, "\2\0\0\0\0\1\2\0\0\0\0\1", 12);
		f[4] = (uint8_t)to;
		f[10] = (uint8_t)m->number;
		if (to > DEAF)
			memset(f, 0xff, 6);
		m->to_all += to > DEAF;
		if (to <= DEAF)
			m->to[to]++;
		memcpy(f + 12, head, sizeof(head));
		memset(f + HEAD, (int)n, head[2] - HEAD);
		net_send(m->net, &none, &(struct iovec){f, head[2]}, 1, head[2]);
		take_all(m);
		if (n % 64 == 0)
			sched_yield();
	}
	free(f);
	pthread_barrier_wait(&start);
	take_all(m);
	return NULL;
}

/* A machine that is there only now and then. */
static void *come_and_go(void *opaque)
{
	sem_t woken;

	sem_init(&woken, 0, 0);
	pthread_barrier_wait(&start);
	for (unsigned i = 0; i < JOINS; i++) {
		struct net *n = join(77, &woken);

		for (struct net_frame *f; i % 2 && (f = net_rx_peek(n));)
			net_rx_pop(n);
		net_detach(n);
		net_close(n);
	}
	sem_destroy(&woken);
	pthread_barrier_wait(&start);
	return NULL;
}

/* Everything that was sent to a machine has come, is still in its ring, or was counted as lost. */
static void check(unsigned i)
{
	struct machine *m = &machine[i];
	uint64_t sent = 0, lost = net_count(m->net).rx_no_room;

	for (unsigned k = 0; k < MACHINES; k++)
		sent += k == i ? 0 : machine[k].to[i] + machine[k].to_all;
	take_all(m);
	printf("lan: machine %u got %lu frames, lost %lu\n", i, (unsigned long)m->got, (unsigned long)lost);
	if (!m->got || m->got + lost != sent)
		wrong("frames that came or were lost, and frames sent", (unsigned)(m->got + lost), (unsigned)sent);
	if (i == DEAF && !lost)
		wrong("nothing is lost of what nobody reads", i, 0);
}

int main(void)
{
	pthread_t t[MACHINES + 1];

	if (net_switch_new(&sw, NULL))
		return 1;
	pthread_barrier_init(&start, NULL, MACHINES + 1);
	for (unsigned i = 0; i <= DEAF; i++) {
		machine[i].number = i;
		sem_init(&machine[i].woken, 0, 0);
		machine[i].net = join(i, &machine[i].woken);
	}
	for (unsigned i = 0; i <= MACHINES; i++)
		if (pthread_create(&t[i], NULL, i < MACHINES ? run : come_and_go, &machine[i]))
			return 1;
	for (unsigned i = 0; i <= MACHINES; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 0; i <= DEAF; i++)
		check(i);
	for (unsigned i = 0; i <= DEAF; i++) {
		net_detach(machine[i].net);
		net_close(machine[i].net);
		sem_destroy(&machine[i].woken);
	}
	pthread_barrier_destroy(&start);
	net_switch_free(sw);
	return 0;
}
