/* SPDX-License-Identifier: MIT */
/*
 * NAT: libslirp, in a thread of its own, because it is not thread-safe and has to wait for the host's sockets.
 *
 *     card -> tx ring -> net_policy -> slirp_input()      checksums completed here, off the vCPU thread
 *     slirp_pollfds_poll() -> send_packet() -> GRO -> rx ring -> card
 *
 * TCP of IPv4 goes into libslirp in pieces as large as the guest makes them (up to 64 KiB): ip_input() and tcp_input() of
 * 4.7 take any length; only IPv6 is checked against the MTU, and cut up here first.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/host_clock.h"
#include "pv-drivers/net/net_fragments.h"
#include "pv-drivers/net/net_policy.h"

enum {
	MTU = 1500,
	/* libslirp wants to be called so often. */
	MAX_WAIT_MS = 1000,
	/* Below so much room in the ring to the card the host's sockets are left alone. */
	RX_RESERVE_BYTES = NET_RX_RING_BYTES / 4,
	/* Frames taken from the card in a row before the sockets have their turn. */
	TX_BATCH = 64,
};

struct user {
	struct net net;
	struct net_ring tx;
	int event; /* eventfd: the thread is to look at tx, rx and stop */
	int stop;  /* atomic */
	pthread_t thread;

	/* What somebody has the thread do, and waits for. */
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct {
		const struct net_forward *forward; /* NULL: nothing */
		bool remove;
		struct net_error *err;
		int result;
	} asked;

	/* The thread's, once it runs. */
	Slirp *slirp;
	struct net_gro gro;
	struct net_fragments fragments;
	struct net_policy policy;
	bool told;     /* the user: that the guest asks for the host's loopback */
	int64_t ra_ms; /* when SLIRP_TIMER_RA is due; 0: not armed */
	void *ra_opaque;
	struct pollfd *fds;
	unsigned n_fds, max_fds;
	uint8_t segment[NET_HEAD_BYTES + UINT16_MAX];
};

static void kick(struct user *u)
{
	uint64_t one = 1;

	/* It can only fail when the counter is full, and then the thread is awake. */
	if (write(u->event, &one, sizeof(one)) < 0)
		return;
}

/* ---- the card's side: vCPU thread ---- */

static int user_send(struct net *n, const struct net_hdr *h, const struct iovec *iov, unsigned n_iov, uint32_t bytes)
{
	struct user *u = (struct user *)n;
	struct net_frame *f = net_ring_reserve(&u->tx, bytes);

	if (!f) {
		if (net_ring_await_room(&u->tx, bytes)) {
			kick(u);
			return 0;
		}
		f = net_ring_reserve(&u->tx, bytes);
		if (!f)
			return 0;
	}
	net_gather(iov, n_iov, f->data, bytes);
	net_tally(&n->count.copied_bytes, bytes);
	f->bytes = bytes;
	f->hdr = *h;
	if (net_ring_commit(&u->tx, f))
		kick(u);
	return 1;
}

static void user_room(struct net *n) { kick((struct user *)n); }

/* ---- libslirp's callbacks: the thread ---- */

static ssize_t on_packet(const void *buf, size_t len, void *opaque)
{
	struct user *u = opaque;
	uint32_t bytes = len > NET_MAX_FRAME_BYTES ? NET_MAX_FRAME_BYTES : (uint32_t)len;

	net_policy_in(&u->policy, buf, bytes, (int64_t)host_now_ms());
	if (net_listening(&u->net))
		net_gro_add(&u->gro, &u->net, buf, bytes);
	return (ssize_t)len;
}

static void on_guest_error(const char *msg, void *opaque)
{
	net_tally(&((struct user *)opaque)->net.count.guest_error, 1);
}
static int64_t on_clock(void *opaque) { return (int64_t)host_now_ns(); }

/* The one timer of libslirp 4: router advertisements. */
static void *on_timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
	struct user *u = opaque;

	u->ra_opaque = cb_opaque;
	return u;
}

static void on_timer_free(void *timer, void *opaque) { ((struct user *)opaque)->ra_ms = 0; }
static void on_timer_mod(void *timer, int64_t expire_ms, void *opaque) { ((struct user *)opaque)->ra_ms = expire_ms; }
static void on_poll_fd(int fd, void *opaque) {}
static void on_notify(void *opaque) {}

static const SlirpCb callbacks = {
    .send_packet = on_packet,
    .guest_error = on_guest_error,
    .clock_get_ns = on_clock,
    .timer_new_opaque = on_timer_new,
    .timer_free = on_timer_free,
    .timer_mod = on_timer_mod,
    .register_poll_fd = on_poll_fd,
    .unregister_poll_fd = on_poll_fd,
    .notify = on_notify,
};

static int add_poll(int fd, int events, void *opaque)
{
	struct user *u = opaque;
	short e = 0;

	if (u->n_fds == u->max_fds) {
		struct pollfd *more = realloc(u->fds, 2 * u->max_fds * sizeof(*more));

		if (!more)
			return -1; /* not looked at this time */
		u->fds = more;
		u->max_fds *= 2;
	}
	e |= events & SLIRP_POLL_IN ? POLLIN : 0;
	e |= events & SLIRP_POLL_OUT ? POLLOUT : 0;
	e |= events & SLIRP_POLL_PRI ? POLLPRI : 0;
	u->fds[u->n_fds] = (struct pollfd){.fd = fd, .events = e};
	return (int)u->n_fds++;
}

static int get_revents(int i, void *opaque)
{
	struct user *u = opaque;
	short e = i >= 0 && (unsigned)i < u->n_fds ? u->fds[i].revents : 0;

	return (e & POLLIN ? SLIRP_POLL_IN : 0) | (e & POLLOUT ? SLIRP_POLL_OUT : 0) |
	       (e & POLLPRI ? SLIRP_POLL_PRI : 0) | (e & POLLERR ? SLIRP_POLL_ERR : 0) |
	       (e & POLLHUP ? SLIRP_POLL_HUP : 0);
}

/* ---- the thread ---- */

/* The one door to libslirp. */
static bool enter(void *opaque, const uint8_t *frame, uint32_t bytes)
{
	struct user *u = opaque;
	uint8_t reply[NET_POLICY_REFUSAL_BYTES];
	enum net_verdict verdict = net_policy_out(&u->policy, frame, bytes, (int64_t)host_now_ms());

	if (verdict == NET_PASS) {
		slirp_input(u->slirp, frame, (int)bytes);
		return true;
	}
	net_tally(&u->net.count.tx_refused, 1);
	if (verdict == NET_REFUSE_LOOPBACK && !u->told) {
		u->told = true;
		net_complain(&u->net, "a guest asks for the loopback of this host, which host-loopback=on of --net "
				      "lets it reach");
	}
	bytes = verdict == NET_DROP ? 0 : net_policy_refusal(frame, bytes, reply);
	if (bytes && net_listening(&u->net))
		net_gro_add(&u->gro, &u->net, reply, bytes);
	return true;
}

static void input(struct user *u, struct net_frame *f)
{
	uint32_t bytes = f->bytes;
	uint8_t *frame;

	if (f->hdr.gso_type && (f->hdr.gso_type & ~NET_GSO_ECN) != NET_GSO_TCPV4) {
		net_segment(&f->hdr, f->data, f->bytes, u->segment, enter, u);
		return;
	}
	net_csum_complete(&f->hdr, f->data, f->bytes);
	frame = net_fragments_add(&u->fragments, f->data, &bytes, (int64_t)host_now_ms());
	if (frame)
		enter(u, frame, bytes);
}

/* Frames from the card. True: there are more. */
static bool drain(struct user *u)
{
	struct net_frame *f;

	for (unsigned i = 0; i < TX_BATCH; i++) {
		f = net_ring_peek(&u->tx);
		if (!f)
			return false;
		input(u, f);
		if (net_ring_pop(&u->tx))
			net_wake_card(&u->net);
	}
	return true;
}

static void run_timer(struct user *u)
{
	if (!u->ra_ms || (int64_t)host_now_ms() < u->ra_ms)
		return;
	u->ra_ms = 0;
	slirp_handle_timer(u->slirp, SLIRP_TIMER_RA, u->ra_opaque);
}

static int wait_ms(const struct user *u, uint32_t ms)
{
	int64_t ra;

	if (!u->ra_ms)
		return (int)ms;
	ra = u->ra_ms - (int64_t)host_now_ms();
	ra = ra < 0 ? 0 : ra;
	return ra < ms ? (int)ra : (int)ms;
}

/* Room for what one turn may bring; otherwise the card wakes the thread when there is. */
static bool card_takes(struct user *u)
{
	struct net_ring *r = &u->net.rx;
	uint32_t used = __atomic_load_n(&r->head, __ATOMIC_RELAXED) - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);

	if (!net_listening(&u->net) || r->size - used >= RX_RESERVE_BYTES)
		return true;
	return !net_ring_await_room(r, RX_RESERVE_BYTES);
}

static struct in_addr ipv4(uint32_t addr) { return (struct in_addr){htonl(addr)}; }

static int forward(struct user *u, const struct net_forward *f, struct net_error *err)
{
	char host[INET_ADDRSTRLEN], guest[INET_ADDRSTRLEN] = "";
	struct in_addr h = ipv4(f->host_addr), g = ipv4(f->guest_addr ? f->guest_addr : (uint32_t)NET_USER_GUEST);
	int e = -net_policy_forward(&u->policy, f);

	errno = 0;
	if (!e && slirp_add_hostfwd(u->slirp, f->udp, h, f->host_port, g, f->guest_port) == 0)
		return 0;
	if (!e) {
		e = errno ? errno : EINVAL;
		net_policy_unforward(&u->policy, f);
	}
	inet_ntop(AF_INET, &h, host, sizeof(host));
	if (f->guest_addr)
		inet_ntop(AF_INET, &g, guest, sizeof(guest));
	snprintf(err->text, sizeof(err->text), "hostfwd=%s:%s:%u-%s:%u: port %u of the host: %s",
		 f->udp ? "udp" : "tcp", host, f->host_port, guest, f->guest_port, f->host_port, strerror(e));
	return -e;
}

/* What ask() waits for. */
static void answer(struct user *u)
{
	const struct net_forward *f;

	pthread_mutex_lock(&u->lock);
	f = u->asked.forward;
	if (f && u->asked.remove) {
		slirp_remove_hostfwd(u->slirp, f->udp, ipv4(f->host_addr), f->host_port);
		net_policy_unforward(&u->policy, f);
		u->asked.result = 0;
	} else if (f) {
		u->asked.result = forward(u, f, u->asked.err);
	}
	u->asked.forward = NULL;
	pthread_cond_broadcast(&u->done);
	pthread_mutex_unlock(&u->lock);
}

/* One turn: wait for the host's sockets and the card, then look after both. */
static void turn(struct user *u)
{
	bool sockets = card_takes(u), more = drain(u);
	uint32_t ms = MAX_WAIT_MS;
	uint64_t count;
	int n, wait;

	u->n_fds = 1;
	if (sockets)
		slirp_pollfds_fill(u->slirp, &ms, add_poll, u);
	net_gro_flush(&u->gro, &u->net);
	wait = more || !net_ring_sleep(&u->tx) ? 0 : wait_ms(u, ms);
	n = poll(u->fds, u->n_fds, wait);
	if (u->fds[0].revents && read(u->event, &count, sizeof(count)) < 0)
		u->fds[0].revents = 0;
	if (sockets)
		slirp_pollfds_poll(u->slirp, n < 0, get_revents, u);
	run_timer(u);
	net_gro_flush(&u->gro, &u->net);
	answer(u);
}

static void *user_main(void *opaque)
{
	struct user *u = opaque;

	while (!__atomic_load_n(&u->stop, __ATOMIC_ACQUIRE))
		turn(u);
	return NULL;
}

/* ---- opening and closing ---- */

/* Is there a way to the IPv6 Internet?  A guest that believes so without one waits for time-outs. */
static bool host_has_ipv6(void)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
	int s = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool yes;

	if (s < 0)
		return false;
	/* Of a datagram socket, this only looks at the routes. */
	to.sin6_addr.s6_addr[0] = 0x20;
	to.sin6_addr.s6_addr[15] = 1;
	yes = connect(s, (struct sockaddr *)&to, sizeof(to)) == 0;
	close(s);
	return yes;
}

static int make_slirp(struct user *u, const struct net_config *cfg)
{
	SlirpConfig c = {
	    .version = SLIRP_CONFIG_VERSION_MAX,
	    .in_enabled = true,
	    .vnetwork = ipv4(NET_USER_ADDR),
	    .vnetmask = ipv4(NET_USER_MASK),
	    .vhost = ipv4(NET_USER_HOST),
	    .vdhcp_start = ipv4(NET_USER_GUEST),
	    .vnameserver = ipv4(NET_USER_DNS),
	    .vprefix_len = 64,
	    .vhostname = cfg->hostname,
	    .if_mtu = MTU,
	    .if_mru = MTU,
	};

	c.in6_enabled = host_has_ipv6();
	c.vprefix_addr6.s6_addr[0] = 0xfe;
	c.vprefix_addr6.s6_addr[1] = 0xc0;
	c.vhost6 = c.vnameserver6 = c.vprefix_addr6;
	c.vhost6.s6_addr[15] = 2;
	c.vnameserver6.s6_addr[15] = 3;
	u->slirp = slirp_new(&c, &callbacks, u);
	return u->slirp ? 0 : -ENOMEM;
}

static int ask(struct user *u, const struct net_forward *f, bool remove, struct net_error *err)
{
	int e;

	pthread_mutex_lock(&u->lock);
	u->asked.forward = f;
	u->asked.remove = remove;
	u->asked.err = err;
	kick(u);
	while (u->asked.forward)
		pthread_cond_wait(&u->done, &u->lock);
	e = u->asked.result;
	pthread_mutex_unlock(&u->lock);
	return e;
}

int net_user_forward(struct net *n, const struct net_forward *f, struct net_error *err)
{
	return ask((struct user *)n, f, false, err);
}

void net_user_unforward(struct net *n, const struct net_forward *f) { (void)ask((struct user *)n, f, true, NULL); }

static void user_free(struct user *u)
{
	if (u->slirp)
		slirp_cleanup(u->slirp);
	if (u->event >= 0)
		close(u->event);
	net_ring_free(&u->tx);
	pthread_mutex_destroy(&u->lock);
	pthread_cond_destroy(&u->done);
	free(u->fds);
	net_fini(&u->net);
	free(u);
}

static void user_close(struct net *n)
{
	struct user *u = (struct user *)n;

	__atomic_store_n(&u->stop, 1, __ATOMIC_RELEASE);
	kick(u);
	pthread_join(u->thread, NULL);
	user_free(u);
}

/* Signals are the other threads': SIGPIPE of libslirp's sockets with them. */
static int start(struct user *u)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&u->thread, NULL, user_main, u);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

int net_user_open(struct net **out, const struct net_config *cfg, struct net_error *err)
{
	static const struct net_ops ops = {.send = user_send, .room = user_room, .close = user_close};
	struct user *u = calloc(1, sizeof(*u));
	int e = u ? net_init(&u->net, cfg, &ops, NET_RX_RING_BYTES) : -ENOMEM;

	if (e) {
		free(u);
		return e;
	}
	u->net.checksums_good = true;
	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->done, NULL);
	u->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	u->max_fds = 16;
	u->fds = calloc(u->max_fds, sizeof(*u->fds));
	e = u->event < 0 ? -errno : !u->fds ? -ENOMEM : net_ring_init(&u->tx, NET_TX_RING_BYTES);
	if (!e) {
		u->fds[0] = (struct pollfd){.fd = u->event, .events = POLLIN};
		net_policy_init(&u->policy, cfg);
		e = make_slirp(u, cfg);
	}
	for (unsigned i = 0; !e && i < cfg->n_forwards; i++)
		e = forward(u, &cfg->forward[i], err);
	if (!e)
		e = start(u);
	if (e) {
		user_free(u);
		return e;
	}
	*out = &u->net;
	return 0;
}
