/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* accept4 */
#include "vmm/control/control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/control/frame.h"
#include "vmm/control/qmp.h"

enum { MAX_EVENTS = 256, HEARD_BYTES = 4096 };

struct client {
	int fd; /* -1: free */
	uint64_t id;
	bool busy; /* a job of it is not done */
	struct qmp qmp;
	struct frame frame;
	bool gone;
	size_t in_bytes, out_bytes, out_room;
	char *out; /* what it has not read yet */
	char in[CONTROL_MAX_REQUEST];
	size_t heard_at, n_heard; /* what has come and was not looked at yet */
	char heard[HEARD_BYTES];
};

/* What takes time. */
struct job {
	struct job *next;
	uint64_t client;
	json_t *request, *answer;
};

struct event {
	enum control_event what;
	char machine[CONTROL_NAME_BYTES];
	const char *reason;
};

struct control {
	struct control_ops ops;
	struct control_path path;
	int listen_fd, wake_fd;
	pthread_t thread;
	bool stop; /* atomic */

	struct client *client[CONTROL_MAX_CLIENTS]; /* the thread's, as is: */
	uint64_t n_met;

	pthread_mutex_t lock; /* guards what follows */
	unsigned n_events;
	struct event event[MAX_EVENTS]; /* that clients are to be told; more are lost */
	struct job *waiting, *done;     /* in the order in which they came */
	bool works, end_work;           /* there is a thread for jobs; it is to end behind the one it has */
	pthread_t worker;
	pthread_cond_t work;
};

static void wake(struct control *c)
{
	uint64_t one = 1;

	(void)!write(c->wake_fd, &one, sizeof(one));
}

/* ---- to a client ---- */

static void flush(struct client *c)
{
	ssize_t n = c->out_bytes ? send(c->fd, c->out, c->out_bytes, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

	if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
		c->gone = true;
	if (n <= 0)
		return;
	c->out_bytes -= (size_t)n;
	memmove(c->out, c->out + n, c->out_bytes);
}

static bool make_room(struct client *c, size_t n)
{
	size_t room = c->out_room ? c->out_room : 4096;
	char *more;

	if (c->out_bytes + n > CONTROL_MAX_UNREAD)
		return false;
	while (room < c->out_bytes + n)
		room *= 2;
	more = room == c->out_room ? c->out : realloc(c->out, room);
	if (!more)
		return false;
	c->out = more;
	c->out_room = room;
	return true;
}

/* Frees it. A client that there is no room for is left. */
static void say(struct client *c, json_t *what)
{
	char *text = what ? json_dumps(what, JSON_COMPACT) : NULL;
	size_t n = text ? strlen(text) : 0;

	json_decref(what);
	if (!text || c->gone || !make_room(c, n + 2)) {
		c->gone = true;
		free(text);
		return;
	}
	memcpy(c->out + c->out_bytes, text, n);
	memcpy(c->out + c->out_bytes + n, "\r\n", 2);
	c->out_bytes += n + 2;
	free(text);
}

/* ---- jobs ---- */

static void append(struct job **at, struct job *job)
{
	while (*at)
		at = &(*at)->next;
	*at = job;
	job->next = NULL;
}

static struct job *take_first(struct job **list)
{
	struct job *job = *list;

	if (job)
		*list = job->next;
	return job;
}

static void *worker_main(void *arg)
{
	struct control *c = arg;
	struct job *job;

	pthread_mutex_lock(&c->lock);
	while (!c->end_work) {
		job = take_first(&c->waiting);
		if (!job) {
			pthread_cond_wait(&c->work, &c->lock);
			continue;
		}
		pthread_mutex_unlock(&c->lock);
		job->answer = qmp_job(&c->ops, job->request);
		pthread_mutex_lock(&c->lock);
		append(&c->done, job);
		wake(c);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* The client is not listened to until it has its answer. */
static void begin_job(struct control *c, struct client *client)
{
	struct job *job = calloc(1, sizeof(*job));
	int err = job ? 0 : -ENOMEM;

	pthread_mutex_lock(&c->lock);
	err = c->end_work ? -ESHUTDOWN : err;
	if (!err && !c->works)
		err = -pthread_create(&c->worker, NULL, worker_main, c);
	c->works |= !err;
	if (!err) {
		*job = (struct job){.client = client->id, .request = client->qmp.job};
		append(&c->waiting, job);
		client->busy = true;
		pthread_cond_signal(&c->work);
	}
	pthread_mutex_unlock(&c->lock);
	if (err) {
		free(job);
		json_decref(client->qmp.job);
		client->gone = true; /* the host has nothing left to answer with */
	}
	client->qmp.job = NULL;
}

/* ---- from a client ---- */

static void take_byte(struct control *control, struct client *c, char byte)
{
	json_t *answer;
	enum frame_next next = frame_byte(&c->frame, byte);

	if (next == FRAME_NOTHING)
		return;
	if (next == FRAME_GARBAGE) {
		say(c, qmp_bad_json());
		c->in_bytes = 0;
		return;
	}
	if (c->frame.garbage)
		return; /* not kept */
	if (c->in_bytes == sizeof(c->in)) {
		c->gone = true; /* no request is that long */
		return;
	}
	c->in[c->in_bytes++] = byte;
	if (next != FRAME_OBJECT)
		return;
	answer = qmp_answer(&c->qmp, c->in, c->in_bytes);
	c->in_bytes = 0;
	if (c->qmp.job)
		begin_job(control, c);
	else
		say(c, answer);
}

static void take_heard(struct control *control, struct client *c)
{
	while (c->heard_at < c->n_heard && !c->gone && !c->qmp.leaves && !c->busy)
		take_byte(control, c, c->heard[c->heard_at++]);
}

static void hear(struct control *control, struct client *c)
{
	ssize_t n = recv(c->fd, c->heard, sizeof(c->heard), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0)
		c->gone = true;
	c->heard_at = 0;
	c->n_heard = n > 0 ? (size_t)n : 0;
	take_heard(control, c);
}

static void finish_jobs(struct control *c)
{
	struct job *job;

	for (;;) {
		pthread_mutex_lock(&c->lock);
		job = take_first(&c->done);
		pthread_mutex_unlock(&c->lock);
		if (!job)
			return;
		for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++) {
			struct client *k = c->client[i];

			if (!k || k->id != job->client)
				continue;
			say(k, json_incref(job->answer));
			k->busy = false;
			take_heard(c, k);
		}
		json_decref(job->answer);
		free(job);
	}
}

static void leave(struct control *c, unsigned i)
{
	if (c->client[i]->fd >= 0)
		close(c->client[i]->fd);
	free(c->client[i]->out);
	free(c->client[i]);
	c->client[i] = NULL;
}

/* All that it was told is sent: from here on it is a console's, or a debugger's. */
static void hand_over(struct control *c, unsigned i)
{
	struct client *k = c->client[i];

	if (!k->gone && (k->qmp.debugs ? c->ops.debug : c->ops.visit)(c->ops.opaque, k->qmp.console, k->fd))
		k->fd = -1;
	leave(c, i);
}

static void meet(struct control *c)
{
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client;
	unsigned i = 0;

	if (fd < 0)
		return;
	while (i < CONTROL_MAX_CLIENTS && c->client[i])
		i++;
	client = i < CONTROL_MAX_CLIENTS && control_peer_is_mine(fd) ? calloc(1, sizeof(*client)) : NULL;
	if (!client) {
		close(fd);
		return;
	}
	client->fd = fd;
	client->id = c->n_met++;
	client->qmp.ops = &c->ops;
	c->client[i] = client;
	say(client, qmp_greeting());
}

/* ---- the thread ---- */

/* Half a bufferful unread: nothing more is listened to. */
static bool hears(const struct client *c)
{
	return c->out_bytes < CONTROL_MAX_UNREAD / 2 && !c->qmp.leaves && !c->busy;
}

static void tell_events(struct control *c)
{
	struct event event[MAX_EVENTS];
	unsigned n;

	pthread_mutex_lock(&c->lock);
	n = c->n_events;
	memcpy(event, c->event, n * sizeof(*event));
	c->n_events = 0;
	pthread_mutex_unlock(&c->lock);
	for (unsigned k = 0; k < n; k++)
		for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++)
			if (c->client[i] && c->client[i]->qmp.open && !c->client[i]->qmp.leaves)
				say(c->client[i], qmp_event(event[k].what, event[k].machine, event[k].reason));
}

static void look_after_clients(struct control *c)
{
	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		if (!c->client[i])
			continue;
		flush(c->client[i]);
		if (c->client[i]->qmp.leaves && !c->client[i]->out_bytes)
			hand_over(c, i);
		else if (c->client[i]->gone)
			leave(c, i);
	}
}

static void *control_main(void *arg)
{
	struct control *c = arg;

	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
		struct pollfd p[2 + CONTROL_MAX_CLIENTS] = {{c->wake_fd, POLLIN, 0}, {c->listen_fd, POLLIN, 0}};
		uint64_t n;

		for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++) {
			const struct client *k = c->client[i];

			p[2 + i].fd = k ? k->fd : -1;
			if (k)
				p[2 + i].events = (short)((hears(k) ? POLLIN : 0) | (k->out_bytes ? POLLOUT : 0));
		}
		if (poll(p, ARRAY_LEN(p), -1) < 0)
			continue;
		if (p[0].revents)
			(void)!read(c->wake_fd, &n, sizeof(n));
		for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++) {
			if (p[2 + i].revents & POLLIN)
				hear(c, c->client[i]);
			else if (p[2 + i].revents & (POLLHUP | POLLERR))
				c->client[i]->gone = true;
		}
		if (p[1].revents)
			meet(c);
		tell_events(c);
		finish_jobs(c);
		look_after_clients(c);
	}
	tell_events(c);
	finish_jobs(c);
	look_after_clients(c);
	return NULL;
}

void control_event(struct control *c, enum control_event what, const char *machine, const char *reason)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	if (c->n_events < MAX_EVENTS) {
		struct event *e = &c->event[c->n_events++];

		*e = (struct event){.what = what, .reason = reason};
		snprintf(e->machine, sizeof(e->machine), "%s", machine);
	}
	pthread_mutex_unlock(&c->lock);
	wake(c);
}

int control_open(struct control **out, const char *name, const struct control_ops *ops, struct control_error *err)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		snprintf(err->text, sizeof(err->text), "the host has no memory left");
		return -ENOMEM;
	}
	c->ops = *ops;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->work, NULL);
	c->listen_fd = control_listen(name, &c->path, err);
	if (c->listen_fd < 0) {
		r = c->listen_fd;
		free(c);
		return r;
	}
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = c->wake_fd < 0 ? -errno : -pthread_create(&c->thread, NULL, control_main, c);
	if (!r) {
		*out = c;
		return 0;
	}
	snprintf(err->text, sizeof(err->text), "the control socket: %s", strerror(-r));
	unlink(c->path.text);
	close(c->listen_fd);
	if (c->wake_fd >= 0)
		close(c->wake_fd);
	free(c);
	return r;
}

/* Behind the job that it has; what waits is not done. */
static void end_work(struct control *c)
{
	pthread_mutex_lock(&c->lock);
	c->end_work = true;
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
	if (c->works)
		pthread_join(c->worker, NULL);
	for (struct job *job; (job = take_first(&c->waiting)) != NULL; free(job))
		json_decref(job->request);
}

void control_close(struct control *c)
{
	if (!c)
		return;
	unlink(c->path.text); /* while it is still ours: afterwards somebody might have taken it over */
	end_work(c);
	__atomic_store_n(&c->stop, true, __ATOMIC_RELEASE);
	wake(c);
	pthread_join(c->thread, NULL);
	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++)
		if (c->client[i])
			leave(c, i);
	close(c->listen_fd);
	close(c->wake_fd);
	pthread_cond_destroy(&c->work);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
