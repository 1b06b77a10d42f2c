/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* accept4, struct ucred */
#include "vmm/debug/server.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/debug/stub.h"

enum { HEARD_BYTES = 4096 };

struct debug_server {
	struct debug_machines machines;
	int listen_fd; /* -1: none */
	int wake_fd;
	char name[320];
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* to be removed; "": none */
	pthread_t thread;
	bool stop; /* atomic */

	/* The thread's. */
	int fd; /* of the debugger, -1: none */
	struct stub *stub;
	size_t heard_at, n_heard;
	uint8_t heard[HEARD_BYTES];

	pthread_mutex_t lock; /* guards what follows */
	int visitor;          /* who came by debug_server_visit(), -1: nobody */
	unsigned first;       /* and for which machine */
	bool busy;            /* there is one, or one is about to be */
};

static int failed(struct debug_error *err, int e, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int failed(struct debug_error *err, int e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return e;
}

/* ---- who may come ---- */

static bool is_loopback(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return a->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

static uint16_t port_of(const struct sockaddr_storage *a)
{
	return ntohs(a->ss_family == AF_INET ? ((const struct sockaddr_in *)a)->sin_port
					     : ((const struct sockaddr_in6 *)a)->sin6_port);
}

/* The kernel's list of TCP sockets: whose is the other end, which is on this host?  False: that is not known. */
static bool owner_of(const char *list, uint16_t local, uint16_t remote, uid_t *uid)
{
	FILE *f = fopen(list, "re");
	char line[512];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		unsigned from, to, owner;

		found = sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%x %*x %*x:%*x %*x:%*x %*x %u", &from, &to,
			       &owner) == 3 &&
			from == local && to == remote;
		if (found)
			*uid = (uid_t)owner;
	}
	if (f)
		fclose(f);
	return found;
}

static bool may_come(int fd)
{
	struct sockaddr_storage here, there;
	socklen_t n = sizeof(here), m = sizeof(there);
	struct ucred who;
	uid_t uid;

	if (getsockname(fd, (struct sockaddr *)&here, &n) || getpeername(fd, (struct sockaddr *)&there, &m))
		return false;
	if (here.ss_family == AF_UNIX) {
		socklen_t bytes = sizeof(who);

		return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) && (who.uid == geteuid() || !who.uid);
	}
	if (!is_loopback(&there))
		return true; /* whoever listens beyond the loopback has said so */
	return owner_of(there.ss_family == AF_INET ? "/proc/net/tcp" : "/proc/net/tcp6", port_of(&there),
			port_of(&here), &uid) &&
	       (uid == geteuid() || !uid);
}

/* ---- one debugger ---- */

static void leave(struct debug_server *s)
{
	stub_free(s->stub);
	s->stub = NULL;
	close(s->fd);
	s->fd = -1;
	pthread_mutex_lock(&s->lock);
	s->busy = false;
	pthread_mutex_unlock(&s->lock);
}

static void begin(struct debug_server *s, int fd, unsigned first)
{
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->fd = fd;
	s->heard_at = s->n_heard = 0;
	s->stub = stub_new(&s->machines, first);
	if (!s->stub)
		leave(s);
}

static void meet(struct debug_server *s)
{
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	bool taken;

	if (fd < 0)
		return;
	pthread_mutex_lock(&s->lock);
	taken = s->busy || !may_come(fd);
	s->busy |= !taken;
	pthread_mutex_unlock(&s->lock);
	if (taken)
		close(fd);
	else
		begin(s, fd, 0);
}

static void take_visitor(struct debug_server *s)
{
	int fd;

	pthread_mutex_lock(&s->lock);
	fd = s->visitor;
	s->visitor = -1;
	pthread_mutex_unlock(&s->lock);
	if (fd >= 0)
		begin(s, fd, s->first);
}

static void take_heard(struct debug_server *s)
{
	s->heard_at += stub_hear(s->stub, s->heard + s->heard_at, s->n_heard - s->heard_at);
}

/* False: it has gone. */
static bool hear(struct debug_server *s)
{
	ssize_t n = recv(s->fd, s->heard, sizeof(s->heard), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return true;
	s->heard_at = 0;
	s->n_heard = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static bool tell(struct debug_server *s)
{
	size_t n;
	const char *text = stub_says(s->stub, &n);
	ssize_t sent = n ? send(s->fd, text, n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

	if (sent < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
	stub_sent(s->stub, (size_t)sent);
	return true;
}

static void look_after_debugger(struct debug_server *s)
{
	bool good = true;
	size_t was;

	do {
		was = s->heard_at;
		stub_look(s->stub);
		take_heard(s);
	} while (s->heard_at != was);
	good = tell(s);
	if (!good || stub_is_over(s->stub))
		leave(s);
}

/* ---- the thread ---- */

static void *server_main(void *arg)
{
	struct debug_server *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		struct pollfd p[3] = {{s->wake_fd, POLLIN, 0}, {s->listen_fd, POLLIN, 0}, {s->fd, 0, 0}};
		uint64_t n;
		size_t unsent = 0;

		if (s->stub)
			(void)stub_says(s->stub, &unsent);
		/* what it has said already comes first, and so does what it has not read */
		p[2].events = (short)((s->heard_at == s->n_heard && !unsent ? POLLIN : 0) | (unsent ? POLLOUT : 0));
		if (poll(p, ARRAY_LEN(p), -1) < 0)
			continue;
		if (p[0].revents)
			(void)!read(s->wake_fd, &n, sizeof(n));
		take_visitor(s);
		if (s->stub && p[2].fd == s->fd &&
		    (p[2].revents & POLLIN ? !hear(s) : p[2].revents & (POLLHUP | POLLERR)))
			leave(s);
		if (s->stub)
			look_after_debugger(s);
		if (p[1].revents)
			meet(s);
	}
	if (s->stub)
		leave(s);
	return NULL;
}

void debug_server_notify(void *server)
{
	struct debug_server *s = server;
	uint64_t one = 1;

	(void)!write(s->wake_fd, &one, sizeof(one));
}

bool debug_server_visit(struct debug_server *s, int fd, unsigned machine)
{
	bool taken;

	pthread_mutex_lock(&s->lock);
	taken = s->busy;
	if (!taken) {
		s->busy = true;
		s->visitor = fd;
		s->first = machine;
	}
	pthread_mutex_unlock(&s->lock);
	if (!taken)
		debug_server_notify(s);
	return !taken;
}

const char *debug_server_name(const struct debug_server *s) { return s->name; }

/* ---- listening ---- */

static int listen_unix(struct debug_server *s, const char *path, struct debug_error *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	mode_t mask;
	int fd, e = 0;

	if (strlen(path) >= sizeof(addr.sun_path))
		return failed(err, -ENAMETOOLONG, "is too long for a socket");
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return failed(err, -errno, "%s", strerror(errno));
	mask = umask(0177);
	if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 4))
		e = errno;
	umask(mask);
	if (e) {
		close(fd);
		return failed(err, -e, "%s", e == EADDRINUSE ? "is there already" : strerror(e));
	}
	strcpy(s->path, path);
	snprintf(s->name, sizeof(s->name), "%s", path);
	return fd;
}

static void name_port(struct debug_server *s, int fd)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);
	char host[128] = "";

	if (getsockname(fd, (struct sockaddr *)&a, &n) ||
	    getnameinfo((struct sockaddr *)&a, n, host, sizeof(host), NULL, 0, NI_NUMERICHOST))
		return;
	snprintf(s->name, sizeof(s->name), a.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port_of(&a));
}

static int listen_tcp(struct debug_server *s, const struct debug_address *at, struct debug_error *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list;
	int fd, one = 1, e = 0;
	char port[8];

	snprintf(port, sizeof(port), "%u", at->port);
	e = getaddrinfo(at->host[0] ? at->host : "127.0.0.1", port, &hints, &list);
	if (e)
		return failed(err, -EINVAL, "%s", gai_strerror(e));
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) || listen(fd, 4))
		e = errno;
	freeaddrinfo(list);
	if (!e) {
		name_port(s, fd);
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return failed(err, -e, "%s", e == EADDRINUSE ? "the port is in use" : strerror(e));
}

static void free_server(struct debug_server *s)
{
	if (s->path[0])
		unlink(s->path);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int debug_server_open(struct debug_server **out, const struct debug_machines *machines, const struct debug_address *at,
		      struct debug_error *err)
{
	struct debug_server *s = calloc(1, sizeof(*s));
	int r = 0;

	if (!s)
		return failed(err, -ENOMEM, "the host has no memory left");
	*s = (struct debug_server){.machines = *machines, .listen_fd = -1, .fd = -1, .visitor = -1};
	pthread_mutex_init(&s->lock, NULL);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0)
		r = failed(err, -errno, "%s", strerror(errno));
	if (!r && at && at->text) {
		s->listen_fd = at->path ? listen_unix(s, at->path, err) : listen_tcp(s, at, err);
		r = s->listen_fd < 0 ? s->listen_fd : 0;
	}
	if (r) {
		free_server(s);
		return r;
	}
	*out = s;
	r = -pthread_create(&s->thread, NULL, server_main, s);
	if (!r)
		return 0;
	free_server(s);
	*out = NULL;
	return failed(err, r, "%s", strerror(-r));
}

void debug_server_close(struct debug_server *s)
{
	if (!s)
		return;
	__atomic_store_n(&s->stop, true, __ATOMIC_RELEASE);
	debug_server_notify(s);
	pthread_join(s->thread, NULL);
	if (s->visitor >= 0)
		close(s->visitor);
	free_server(s);
}
