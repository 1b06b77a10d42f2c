/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "vmm/host/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/host/stream.h"

#define TERMINAL_BYTES 16384

/* A buffer that is only ever moved to its beginning: terminals are slow. */
struct buffer {
	size_t n;
	uint8_t data[TERMINAL_BYTES];
};

struct terminal {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* of the socket; empty: a pseudo-terminal */
	int listen_fd, slave_fd;                                /* one of them -1 */
	int event;
	struct wakeup *wakeup;
	pthread_t thread;
	bool short_put; /* vCPU thread */

	pthread_mutex_t lock; /* guards what follows */
	int fd;               /* the connection, or the pseudo-terminal; -1: nobody */
	bool stop;
	struct buffer in, out;
};

static size_t buffer_add(struct buffer *b, const uint8_t *data, size_t n)
{
	size_t room = sizeof(b->data) - b->n;

	if (n > room)
		n = room;
	memcpy(b->data + b->n, data, n);
	b->n += n;
	return n;
}

static void buffer_remove(struct buffer *b, size_t n)
{
	b->n -= n;
	memmove(b->data, b->data + n, b->n);
}

static void wake(struct terminal *t)
{
	uint64_t one = 1;

	(void)!write(t->event, &one, sizeof(one));
}

static void disconnect(struct terminal *t)
{
	if (t->listen_fd < 0)
		return; /* a pseudo-terminal stays */
	close(t->fd);
	t->fd = -1;
	t->out.n = 0;
}

/* With the lock. All descriptors here are our own, and not blocking. */
static void move(struct terminal *t)
{
	ssize_t n;

	if (t->out.n) {
		n = write(t->fd, t->out.data, t->out.n);
		if (n > 0)
			buffer_remove(&t->out, (size_t)n);
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			disconnect(t);
	}
	if (t->fd >= 0 && t->in.n < sizeof(t->in.data)) {
		n = read(t->fd, t->in.data + t->in.n, sizeof(t->in.data) - t->in.n);
		if (n > 0)
			t->in.n += (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			disconnect(t);
	}
}

static void accept_one(struct terminal *t)
{
	int fd = accept4(t->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (t->fd >= 0)
		close(fd); /* one at a time */
	else
		t->fd = fd;
}

static void *terminal_thread(void *arg)
{
	struct terminal *t = arg;

	for (;;) {
		struct pollfd p[3] = {{.fd = t->event, .events = POLLIN}, {.fd = t->listen_fd, .events = POLLIN}};
		uint64_t n;
		bool stop;

		pthread_mutex_lock(&t->lock);
		stop = t->stop;
		p[2].fd = t->fd;
		p[2].events = (short)((t->in.n < sizeof(t->in.data) ? POLLIN : 0) | (t->out.n ? POLLOUT : 0));
		pthread_mutex_unlock(&t->lock);
		if (stop)
			return NULL;
		if (poll(p, ARRAY_LEN(p), -1) < 0)
			continue;
		if (p[0].revents)
			(void)!read(t->event, &n, sizeof(n));
		pthread_mutex_lock(&t->lock);
		if (p[1].revents)
			accept_one(t);
		if (t->fd >= 0 && p[2].revents)
			move(t);
		pthread_mutex_unlock(&t->lock);
		wakeup_kick(t->wakeup);
	}
}

size_t terminal_put(struct terminal *t, const uint8_t *data, size_t n)
{
	size_t done;

	pthread_mutex_lock(&t->lock);
	/* A pseudo-terminal that nobody has opened fills up; then the oldest is of no more use than the newest. */
	done = t->fd < 0 ? n : buffer_add(&t->out, data, n);
	pthread_mutex_unlock(&t->lock);
	if (done < n && t->listen_fd < 0)
		done = n;
	t->short_put = done < n;
	wake(t);
	return done;
}

bool terminal_has_room(struct terminal *t)
{
	bool room;

	if (!t->short_put)
		return false;
	pthread_mutex_lock(&t->lock);
	room = t->fd < 0 || t->out.n <= sizeof(t->out.data) / 2;
	pthread_mutex_unlock(&t->lock);
	t->short_put = !room;
	return room;
}

size_t terminal_get(struct terminal *t, uint8_t *data, size_t n)
{
	bool full;

	pthread_mutex_lock(&t->lock);
	full = t->in.n == sizeof(t->in.data);
	if (n > t->in.n)
		n = t->in.n;
	memcpy(data, t->in.data, n);
	buffer_remove(&t->in, n);
	pthread_mutex_unlock(&t->lock);
	if (full && n)
		wake(t);
	return n;
}

/* ---- making and unmaking ---- */

/* A socket that a killed process left behind. */
static int remove_stale(const struct sockaddr_un *addr)
{
	struct stat st;
	int fd, r;

	if (lstat(addr->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 ? -EADDRINUSE : -errno;
	close(fd);
	if (r == -EAGAIN)
		return -EADDRINUSE;
	return r != -ECONNREFUSED ? r : unlink(addr->sun_path) ? -errno : 0;
}

static int open_socket(struct terminal *t, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int r;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	r = remove_stale(&addr);
	if (r)
		return r;
	t->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->listen_fd < 0 || bind(t->listen_fd, (const struct sockaddr *)&addr, sizeof(addr)))
		return -errno;
	strcpy(t->path, path);
	return listen(t->listen_fd, 1) ? -errno : 0;
}

static int open_pty(struct terminal *t, const char *speaker)
{
	struct termios raw;
	char name[64];
	int r;

	t->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->fd < 0 || grantpt(t->fd) || unlockpt(t->fd))
		return -errno;
	r = ptsname_r(t->fd, name, sizeof(name));
	if (r)
		return -r;
	/* Held open, so that the master does not fail while nobody else has it. */
	t->slave_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->slave_fd < 0 || tcgetattr(t->slave_fd, &raw))
		return -errno;
	cfmakeraw(&raw);
	if (tcsetattr(t->slave_fd, TCSANOW, &raw) || fcntl(t->fd, F_SETFL, O_NONBLOCK))
		return -errno;
	fprintf(stderr, "%s: --terminal pty: %s\n", speaker, name);
	return 0;
}

int terminal_open(struct terminal **out, const char *path, struct wakeup *w, const char *speaker)
{
	struct terminal *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->listen_fd = t->slave_fd = t->fd = -1;
	t->wakeup = w;
	t->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = t->event < 0 ? -errno : path ? open_socket(t, path) : open_pty(t, speaker);
	if (!r)
		r = -pthread_mutex_init(&t->lock, NULL);
	if (!r) {
		r = -pthread_create(&t->thread, NULL, terminal_thread, t);
		if (!r) {
			*out = t;
			return 0;
		}
		pthread_mutex_destroy(&t->lock);
	}
	t->stop = true; /* there is no thread */
	terminal_close(t);
	return r;
}

void terminal_close(struct terminal *t)
{
	const int fds[] = {t ? t->listen_fd : -1, t ? t->slave_fd : -1, t ? t->event : -1};

	if (!t)
		return;
	if (!t->stop) {
		pthread_mutex_lock(&t->lock);
		t->stop = true;
		pthread_mutex_unlock(&t->lock);
		wake(t);
		pthread_join(t->thread, NULL);
		pthread_mutex_destroy(&t->lock);
	}
	if (t->fd >= 0)
		close(t->fd);
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (t->path[0])
		unlink(t->path);
	free(t);
}
