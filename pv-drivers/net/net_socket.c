/* SPDX-License-Identifier: MIT */
/*
 * An Ethernet shared by the Disco machines of several processes, without one that all depend on: PATH is a directory in
 * which each member has a datagram socket.  A frame goes to the member that its destination was last seen at, or to all.
 *
 *     PATH/2f30c6d19b7e4a58    a member: named by chance, gone when it leaves; of a killed one, removed by the next who looks
 *     PATH/.2f30...            one that is being made: it takes its name when it can take frames
 *
 * There is no hub, so there is none to be taken over when its process ends; inotify tells of who comes and goes.  The
 * directory's permissions say who may join.  Frames carry their virtio-net header: a 64 KiB segment between two guests is one
 * datagram, and its checksum is computed by nobody.
 *
 * The vCPU thread sends, straight into the other's socket; the member's own thread receives and looks after the directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/host_clock.h"
#include "pv-drivers/net/net_offload.h"

enum {
	NAME_DIGITS = 16,
	MAX_PEERS = 64,
	MACS = 256, /* remembered; direct mapped */
	SEND_BUFFER_BYTES = 1 << 20,
	RECEIVE_BATCH = 64,
	/* A peer that does not take a frame for so long is not waited for again until it has taken one. */
	STALL_MS = 200,
	/* Lost races against the last member's removal of the directory, after which something else is wrong. */
	JOIN_TRIES = 100,
	MAGIC = 0x314e4344, /* "DCN1": the format of this message */
};

struct message {
	uint32_t magic;
	uint64_t member; /* who sends */
	struct net_hdr hdr;
} __attribute__((packed));

struct peer {
	uint64_t id; /* 0: free */
	int fd;      /* connected to it */
	bool stalled;
};

struct mac_entry {
	uint8_t mac[6];
	uint64_t id; /* 0: free */
};

struct member {
	struct net net;
	uint64_t id;
	char name[NAME_DIGITS + 1];
	char *path;
	int dir, fd, watch, event;
	int stop; /* atomic */
	pthread_t thread;
	uint8_t *sink; /* a frame that nobody takes */

	pthread_mutex_t lock; /* of what follows */
	struct peer peer[MAX_PEERS];
	struct mac_entry mac[MACS];
	int blocked; /* index of the peer that the card waits for, or -1 */
	int64_t blocked_ms;
	bool said_full;
};

static void kick(struct member *m)
{
	uint64_t one = 1;

	/* It can only fail when the counter is full, and then the thread is awake. */
	if (write(m->event, &one, sizeof(one)) < 0)
		return;
}

/* By way of the directory's descriptor: a path of any length, and always the same directory. */
static void address(struct sockaddr_un *a, int dir, const char *prefix, const char *name)
{
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/%s%.*s", dir, prefix, NAME_DIGITS, name);
}

static struct mac_entry *mac_slot(struct member *m, const uint8_t *mac)
{
	uint32_t h = (uint32_t)mac[0] << 8 ^ (uint32_t)mac[1] << 16 ^ (uint32_t)mac[2] << 24 ^ (uint32_t)mac[3] << 16 ^
		     (uint32_t)mac[4] << 8 ^ mac[5];

	return &m->mac[(h * 2654435761u) >> 24];
}
_Static_assert(MACS == 256, "the hash has 8 bits");

/* ---- members; under the lock ---- */

static struct peer *find_peer(struct member *m, uint64_t id)
{
	for (unsigned i = 0; id && i < MAX_PEERS; i++)
		if (m->peer[i].id == id)
			return &m->peer[i];
	return NULL;
}

/* It has left, or been killed: then its socket is still there, and answers nobody. */
static void drop_peer(struct member *m, struct peer *p, bool dead)
{
	char name[NAME_DIGITS + 1];

	if (dead) {
		snprintf(name, sizeof(name), "%016llx", (unsigned long long)p->id);
		unlinkat(m->dir, name, 0);
	}
	close(p->fd);
	if (m->blocked == p - m->peer)
		m->blocked = -1;
	*p = (struct peer){.fd = -1};
}

static void add_peer(struct member *m, uint64_t id, const char *name)
{
	struct peer *p = NULL;
	struct sockaddr_un a;
	int bytes = SEND_BUFFER_BYTES, fd;

	for (unsigned i = 0; !p && i < MAX_PEERS; i++)
		p = m->peer[i].id ? NULL : &m->peer[i];
	if (!p) {
		if (!m->said_full)
			net_complain(&m->net, "socket=%s: more than %d machines: not all of them are reached", m->path,
				     MAX_PEERS + 1);
		m->said_full = true;
		return;
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	address(&a, m->dir, "", name);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
		*p = (struct peer){.id = id, .fd = fd};
		return;
	}
	if (errno == ECONNREFUSED)
		unlinkat(m->dir, name, 0);
	close(fd);
}

static bool member_name(const char *name, uint64_t *id)
{
	char *end;

	if (strlen(name) != NAME_DIGITS || strspn(name, "0123456789abcdef") != NAME_DIGITS)
		return false;
	*id = strtoull(name, &end, 16);
	return *id != 0;
}

/* Who is there that we do not know, and whom do we know that is not there? */
static void scan(struct member *m)
{
	bool seen[MAX_PEERS] = {false};
	int fd = openat(m->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	uint64_t id;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(d))) {
		struct peer *p;

		if (!member_name(e->d_name, &id) || id == m->id)
			continue;
		if (!find_peer(m, id))
			add_peer(m, id, e->d_name);
		p = find_peer(m, id);
		if (p)
			seen[p - m->peer] = true;
	}
	closedir(d);
	for (unsigned i = 0; i < MAX_PEERS; i++)
		if (m->peer[i].id && !seen[i])
			drop_peer(m, &m->peer[i], false);
}

/* ---- sending: vCPU thread ---- */

/* 1: taken or lost, 0: it has no room. */
static int send_to(struct member *m, struct peer *p, const struct msghdr *msg)
{
	ssize_t n;

	do
		n = sendmsg(p->fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0) {
		p->stalled = false;
		return 1;
	}
	if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
		return 0;
	net_tally(&m->net.count.tx_dropped, 1);
	if (errno != EMSGSIZE)
		drop_peer(m, p, errno == ECONNREFUSED || errno == ECONNRESET || errno == ENOTCONN);
	return 1;
}

static void send_to_all(struct member *m, const struct msghdr *msg)
{
	for (unsigned i = 0; i < MAX_PEERS; i++)
		if (m->peer[i].id && !send_to(m, &m->peer[i], msg))
			net_tally(&m->net.count.tx_dropped, 1);
}

static int send_frame(struct member *m, const uint8_t *to, const struct msghdr *msg)
{
	struct mac_entry *e = mac_slot(m, to);
	struct peer *p = to[0] & 1 || memcmp(e->mac, to, 6) != 0 ? NULL : find_peer(m, e->id);

	if (!p) {
		send_to_all(m, msg);
		return 1;
	}
	if (send_to(m, p, msg))
		return 1;
	if (p->stalled) {
		net_tally(&m->net.count.tx_dropped, 1);
		return 1;
	}
	if (m->blocked < 0) {
		m->blocked = (int)(p - m->peer);
		m->blocked_ms = (int64_t)host_now_ms();
		kick(m);
	}
	return 0;
}

static int socket_send(struct net *n, const struct net_hdr *h, const struct iovec *iov, unsigned n_iov, uint32_t bytes)
{
	struct member *m = (struct member *)n;
	struct message head = {MAGIC, m->id, *h};
	struct iovec all[128];
	struct msghdr msg = {.msg_iov = all, .msg_iovlen = n_iov + 1};
	uint8_t to[6];
	int taken;

	if (n_iov + 1 > ARRAY_LEN(all))
		return 1;
	all[0] = (struct iovec){&head, sizeof(head)};
	memcpy(all + 1, iov, n_iov * sizeof(*iov));
	net_gather(iov, n_iov, to, sizeof(to)); /* a frame has more */
	pthread_mutex_lock(&m->lock);
	taken = send_frame(m, to, &msg);
	pthread_mutex_unlock(&m->lock);
	return taken;
}

static void socket_room(struct net *n) { kick((struct member *)n); }

/* ---- receiving: the member's thread ---- */

static void learn(struct member *m, const uint8_t *mac, uint64_t id)
{
	struct mac_entry *e = mac_slot(m, mac);

	if (mac[0] & 1 || (e->id == id && memcmp(e->mac, mac, 6) == 0))
		return;
	pthread_mutex_lock(&m->lock);
	memcpy(e->mac, mac, 6);
	e->id = id;
	/* Its file may have been made a moment ago. */
	if (!find_peer(m, id))
		scan(m);
	pthread_mutex_unlock(&m->lock);
}

/* One datagram, into the ring to the card.  False: none waits, or there is no room. */
static bool receive(struct member *m, bool *no_room)
{
	struct net_frame *f = net_listening(&m->net) ? net_ring_reserve(&m->net.rx, NET_MAX_FRAME_BYTES) : NULL;
	bool keep = f;
	struct message head;
	struct iovec iov[2] = {{&head, sizeof(head)}, {keep ? f->data : m->sink, NET_MAX_FRAME_BYTES}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n;

	*no_room = !f && net_listening(&m->net);
	if (*no_room)
		return false;
	n = recvmsg(m->fd, &msg, MSG_DONTWAIT);
	if (n < 0)
		return errno == EINTR;
	if (!keep)
		return true;
	if ((size_t)n < sizeof(head) + NET_ETH_BYTES || msg.msg_flags & MSG_TRUNC || head.magic != MAGIC) {
		net_tally(&m->net.count.rx_bad, 1);
		return true;
	}
	f->bytes = (uint32_t)((size_t)n - sizeof(head));
	f->hdr = head.hdr;
	/* What another process says is not believed, were it the same program. */
	if (net_hdr_check(&f->hdr, f->data, f->bytes) < 0) {
		net_tally(&m->net.count.rx_bad, 1);
		return true;
	}
	learn(m, f->data + 6, head.member);
	net_deliver(&m->net, f);
	return true;
}

static void receive_waiting(struct member *m)
{
	bool no_room = false;

	for (unsigned i = 0; i < RECEIVE_BATCH; i++)
		if (!receive(m, &no_room))
			return;
}

static void read_events(struct member *m)
{
	_Alignas(struct inotify_event) char buf[4096];
	uint64_t count;
	bool changed = false;

	if (read(m->event, &count, sizeof(count)) < 0)
		count = 0;
	while (read(m->watch, buf, sizeof(buf)) > 0)
		changed = true;
	if (!changed)
		return;
	pthread_mutex_lock(&m->lock);
	scan(m);
	pthread_mutex_unlock(&m->lock);
}

/* The peer that the card waits for: it has room, or has not had for too long. */
static void look_at_blocked(struct member *m, bool writable)
{
	bool wake = false;

	pthread_mutex_lock(&m->lock);
	if (m->blocked >= 0) {
		struct peer *p = &m->peer[m->blocked];

		p->stalled = !writable && (int64_t)host_now_ms() - m->blocked_ms >= STALL_MS;
		wake = writable || p->stalled;
	}
	if (wake)
		m->blocked = -1;
	pthread_mutex_unlock(&m->lock);
	if (wake)
		net_wake_card(&m->net);
}

static void turn(struct member *m)
{
	struct pollfd fds[4] = {{.fd = m->event, .events = POLLIN},
				{.fd = m->watch, .events = POLLIN},
				{.fd = m->fd, .events = POLLIN},
				{.fd = -1, .events = POLLOUT}};
	bool blocked;

	/* The other end of back-pressure: what does not fit stays in the socket, and its senders wait. */
	if (net_listening(&m->net) && !net_ring_reserve(&m->net.rx, NET_MAX_FRAME_BYTES) &&
	    net_ring_await_room(&m->net.rx, NET_MAX_FRAME_BYTES))
		fds[2].fd = -1;
	pthread_mutex_lock(&m->lock);
	blocked = m->blocked >= 0;
	/* Of its own: the peer may be dropped by the vCPU thread while this one polls. */
	if (blocked)
		fds[3].fd = dup(m->peer[m->blocked].fd);
	pthread_mutex_unlock(&m->lock);
	if (poll(fds, ARRAY_LEN(fds), blocked ? STALL_MS : -1) < 0)
		fds[3].revents = 0;
	if (blocked)
		look_at_blocked(m, fds[3].fd >= 0 && fds[3].revents);
	if (fds[3].fd >= 0)
		close(fds[3].fd);
	read_events(m);
	if (fds[2].fd >= 0)
		receive_waiting(m);
}

static void *member_main(void *opaque)
{
	struct member *m = opaque;

	while (!__atomic_load_n(&m->stop, __ATOMIC_ACQUIRE))
		turn(m);
	return NULL;
}

/* ---- joining and leaving ---- */

static int refuse(const char *path, const char *why, struct net_error *err)
{
	snprintf(err->text, sizeof(err->text), "socket=%s: %s", path, why);
	return -EACCES;
}

static int fail(const char *path, int e, struct net_error *err)
{
	snprintf(err->text, sizeof(err->text), "socket=%s: %s", path, strerror(e));
	return -e;
}

/* Whoever could put a socket there would see what the guests say to each other. */
static int open_directory(struct member *m, struct net_error *err)
{
	struct stat st;

	if (mkdir(m->path, 0700) < 0 && errno != EEXIST)
		return fail(m->path, errno, err);
	m->dir = open(m->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->dir < 0 && errno == ENOTDIR)
		return refuse(m->path, "is there already, and not a directory that Disco made", err);
	if (m->dir < 0)
		return errno == ENOENT ? -ENOENT : fail(m->path, errno, err);
	if (fstat(m->dir, &st) < 0)
		return fail(m->path, errno, err);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return refuse(m->path, "belongs to another user", err);
	if (st.st_mode & S_IWOTH)
		return refuse(m->path, "everybody may write to it: choose a directory below it", err);
	return 0;
}

/* -ENOENT: the directory has just been removed by the last who left. */
static int bind_in(struct member *m, struct net_error *err)
{
	struct sockaddr_un a;
	char hidden[NAME_DIGITS + 2];

	m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (m->fd < 0)
		return fail(m->path, errno, err);
	address(&a, m->dir, ".", m->name);
	snprintf(hidden, sizeof(hidden), ".%s", m->name);
	if (bind(m->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return errno == ENOENT ? -ENOENT : fail(m->path, errno, err);
	/* A socket is in the directory before it is bound, and would be taken for a dead one. */
	if (renameat(m->dir, hidden, m->dir, m->name) < 0)
		return fail(m->path, errno, err);
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int join(struct member *m, struct net_error *err)
{
	int e = -ENOENT;

	for (int i = 0; e == -ENOENT && i < JOIN_TRIES; i++) {
		close_fd(&m->fd);
		close_fd(&m->dir);
		e = open_directory(m, err);
		if (!e)
			e = bind_in(m, err);
	}
	return e == -ENOENT ? fail(m->path, ENOENT, err) : e;
}

static int watch(struct member *m, struct net_error *err)
{
	char dir[32];

	snprintf(dir, sizeof(dir), "/proc/self/fd/%d", m->dir);
	m->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (m->watch < 0 || inotify_add_watch(m->watch, dir, IN_MOVED_TO | IN_DELETE | IN_ONLYDIR) < 0)
		return fail(m->path, errno, err);
	m->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return m->event < 0 ? fail(m->path, errno, err) : 0;
}

static void leave(struct member *m)
{
	struct stat st;

	if (m->fd >= 0)
		unlinkat(m->dir, m->name, 0);
	/* The last one removes what the first has made; it does not work while anything is in it. */
	if (m->dir >= 0 && fstat(m->dir, &st) == 0 && (st.st_mode & 0777) == 0700)
		rmdir(m->path);
	for (unsigned i = 0; i < MAX_PEERS; i++)
		if (m->peer[i].id)
			drop_peer(m, &m->peer[i], false);
	close_fd(&m->fd);
	close_fd(&m->watch);
	close_fd(&m->event);
	close_fd(&m->dir);
}

static void socket_free(struct member *m)
{
	leave(m);
	pthread_mutex_destroy(&m->lock);
	net_fini(&m->net);
	free(m->sink);
	free(m->path);
	free(m);
}

static void socket_close(struct net *n)
{
	struct member *m = (struct member *)n;

	__atomic_store_n(&m->stop, 1, __ATOMIC_RELEASE);
	kick(m);
	pthread_join(m->thread, NULL);
	socket_free(m);
}

/* Signals are the other threads'. */
static int start(struct member *m)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&m->thread, NULL, member_main, m);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

static int make(struct member *m, const struct net_config *cfg)
{
	m->dir = m->fd = m->watch = m->event = m->blocked = -1;
	m->path = strdup(cfg->path);
	m->sink = malloc(NET_MAX_FRAME_BYTES);
	if (!m->path || !m->sink)
		return -ENOMEM;
	while (!m->id)
		if (getrandom(&m->id, sizeof(m->id), 0) != sizeof(m->id))
			return -EIO;
	snprintf(m->name, sizeof(m->name), "%016llx", (unsigned long long)m->id);
	return 0;
}

int net_socket_open(struct net **out, const struct net_config *cfg, struct net_error *err)
{
	static const struct net_ops ops = {.send = socket_send, .room = socket_room, .close = socket_close};
	struct member *m = calloc(1, sizeof(*m));
	int e = m ? net_init(&m->net, cfg, &ops, NET_RX_RING_BYTES) : -ENOMEM;

	if (e) {
		free(m);
		return e;
	}
	pthread_mutex_init(&m->lock, NULL);
	e = make(m, cfg);
	if (!e)
		e = join(m, err);
	if (!e)
		e = watch(m, err);
	if (!e) {
		scan(m);
		e = start(m);
	}
	if (e) {
		socket_free(m);
		return e;
	}
	*out = &m->net;
	return 0;
}
