/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_PV_NET_END_H
#define TESTS_UNIT_PV_NET_END_H

/* A cable with the test at the card's end. */
#include <criterion/criterion.h>
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "tests/unit/pv_net_frames.h"

static inline void on_wake(void *opaque) { sem_post(opaque); }

struct end {
	struct net *n;
	sem_t woken;
};

/* Of machine number `machine`; sw: where its lans are. */
static inline struct end *end_open_on(struct net_switch *sw, unsigned machine, const char *text)
{
	struct end *e = calloc(1, sizeof(*e));
	struct net_config cfg;
	struct options_error wrong = {""};
	struct net_error err = {""};

	cr_assert_eq(net_config_parse(text, &cfg, &wrong), 0, "%s", wrong.text);
	cfg.net_switch = sw;
	cfg.machine = machine;
	cr_assert_eq(net_open(&e->n, &cfg, &err), 0, "%s", err.text);
	net_config_free(&cfg);
	sem_init(&e->woken, 0, 0);
	net_attach(e->n, on_wake, &e->woken);
	net_listen(e->n, true);
	return e;
}

static inline struct end *end_open(const char *text) { return end_open_on(NULL, 0, text); }

static inline void end_close(struct end *e)
{
	net_detach(e->n);
	net_close(e->n);
	free(e);
}

static inline int end_send(struct end *e, const struct net_hdr *h, const uint8_t *f, uint32_t bytes)
{
	/* In two pieces, as a driver does it. */
	struct iovec iov[2] = {{(void *)f, 14}, {(void *)(f + 14), bytes - 14}};
	static const struct net_hdr none;

	return net_send(e->n, h ? h : &none, iov, 2, bytes);
}

/* The next frame, waited for; NULL after ms milliseconds without. */
static inline struct net_frame *end_wait(struct end *e, int ms)
{
	struct timespec until;
	struct net_frame *f;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (!(f = net_rx_peek(e->n)))
		if (sem_timedwait(&e->woken, &until) < 0 && errno != EINTR)
			return NULL;
	return f;
}

static inline void drop(struct end *e) { net_rx_pop(e->n); }

#endif
