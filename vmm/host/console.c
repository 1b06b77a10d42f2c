/* SPDX-License-Identifier: MIT */
#include "vmm/host/console.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/host_clock.h"
#include "vmm/host/prompt.h"
#include "vmm/host/tty.h"

#define BUFFER_BYTES 4096
#define MAX_AGE_NS   5000000

enum { PROMPT_NAME_BYTES = 192 };

struct console {
	int in_fd, out_fd; /* in_fd: -1 after the end of input */
	int own_fd;        /* to be closed, or -1 */
	bool has_sink;
	struct console_sink sink; /* instead of out_fd */
	bool is_tty;              /* input is a terminal: raw, with the monitor's keys */
	bool stop;                /* atomic: console_stop() */
	int lost;                 /* errno of the first output that was */
	struct tty_keys keys;
	char machine[PROMPT_NAME_BYTES]; /* of console_offer_prompt(), or empty */
	struct prompt *prompt;           /* from the first Ctrl-A c on; of who reads */
	bool prompted;                   /* what is typed is for it */

	pthread_mutex_t lock; /* guards what follows */
	size_t used;
	uint64_t first_ns; /* when the oldest byte of buffer came */
	uint8_t buffer[BUFFER_BYTES];
};

/* The other side takes something, after a wait if need be; false: it does not, and nobody waits any more. */
static bool may_write(int fd, const bool *stop)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return !__atomic_load_n(stop, __ATOMIC_ACQUIRE) || poll(&p, 1, 0) > 0;
}

int console_write_all(int fd, const bool *stop, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n && may_write(fd, stop)) {
		ssize_t w = write(fd, p, n);

		if (w > 0) {
			p += w;
			n -= (size_t)w;
		} else if (w < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			struct pollfd pfd = {.fd = fd, .events = POLLOUT};

			poll(&pfd, 1, -1);
		} else if (w == 0 || errno != EINTR) {
			return w ? errno : EIO;
		}
	}
	return 0;
}

static int write_out(const struct console *c, const void *data, size_t n)
{
	return c->has_sink ? c->sink.write(c->sink.opaque, data, n) : console_write_all(c->out_fd, &c->stop, data, n);
}

static void flush_locked(struct console *c)
{
	int err = write_out(c, c->buffer, c->used);

	c->lost = c->lost ? c->lost : err;
	c->used = 0;
}

static void on_panic(void *arg)
{
	struct console *c = arg;

	/* The panic may be inside console_write(). */
	if (pthread_mutex_trylock(&c->lock) == 0) {
		flush_locked(c);
		pthread_mutex_unlock(&c->lock);
	}
	if (c->is_tty)
		tty_restore();
}

int console_open(struct console **out, int in_fd, int out_fd)
{
	struct console *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->in_fd = in_fd;
	c->out_fd = out_fd;
	c->own_fd = -1;
	c->is_tty = in_fd >= 0 && isatty(in_fd);
	/* Messages of the monitor get their carriage returns; the guest sends its own, which does no harm. */
	r = c->is_tty ? tty_enter(in_fd, TTY_OUTPUT_COOKED) : 0;
	if (!r) {
		r = -pthread_mutex_init(&c->lock, NULL);
		if (r && c->is_tty)
			tty_leave();
	}
	if (r) {
		free(c);
		return r;
	}
	panic_set_hook(on_panic, c);
	*out = c;
	return 0;
}

int console_open_sink(struct console **out, int in_fd, const struct console_sink *sink)
{
	struct console *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->in_fd = c->own_fd = in_fd;
	c->out_fd = -1;
	c->has_sink = true;
	c->sink = *sink;
	pthread_mutex_init(&c->lock, NULL);
	panic_set_hook(on_panic, c);
	*out = c;
	return 0;
}

int console_close(struct console *c)
{
	int lost;

	if (!c)
		return 0;
	prompt_close(c->prompt);
	console_flush(c);
	panic_set_hook(NULL, NULL);
	if (c->is_tty)
		tty_leave();
	lost = c->lost;
	if (c->has_sink)
		c->sink.close(c->sink.opaque);
	if (c->own_fd >= 0)
		close(c->own_fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
	return lost;
}

void console_write(struct console *c, const uint8_t *data, size_t n)
{
	bool line_ends = memchr(data, '\n', n) != NULL;
	uint64_t now = host_now_ns();

	pthread_mutex_lock(&c->lock);
	while (n) {
		size_t room = BUFFER_BYTES - c->used, part = n < room ? n : room;

		if (c->used == 0)
			c->first_ns = now;
		memcpy(c->buffer + c->used, data, part);
		c->used += part;
		data += part;
		n -= part;
		if (c->used == BUFFER_BYTES)
			flush_locked(c);
	}
	if (c->used && (line_ends || now - c->first_ns >= MAX_AGE_NS))
		flush_locked(c);
	pthread_mutex_unlock(&c->lock);
}

void console_flush(struct console *c)
{
	pthread_mutex_lock(&c->lock);
	if (c->used)
		flush_locked(c);
	pthread_mutex_unlock(&c->lock);
}

void console_stop(struct console *c)
{
	__atomic_store_n(&c->stop, true, __ATOMIC_RELEASE);
	if (c->has_sink)
		c->sink.stop(c->sink.opaque);
}

int console_fd(const struct console *c) { return c->in_fd; }

void console_offer_prompt(struct console *c, const char *machine)
{
	snprintf(c->machine, sizeof(c->machine), "%s", machine);
}

/* The monitor's, behind what the guest has printed. */
static void put_own(void *console, const void *data, size_t n)
{
	struct console *c = console;

	pthread_mutex_lock(&c->lock);
	flush_locked(c);
	(void)write_out(c, data, n);
	pthread_mutex_unlock(&c->lock);
}

static void show_keys(struct console *c)
{
	put_own(c, tty_keys_help, strlen(tty_keys_help));
	if (*c->machine)
		put_own(c, tty_keys_help_monitor, strlen(tty_keys_help_monitor));
}

/* Between the guest and the monitor's prompt. */
static void change_prompt(struct console *c)
{
	const struct prompt_config cfg = {put_own, c, c->in_fd};
	char text[80];
	int err = 0;

	if (!*c->machine)
		return;
	c->prompted = !c->prompted;
	put_own(c, "\r\n", 2);
	if (!c->prompted)
		return;
	if (prompt_is_open(c->prompt)) {
		prompt_type(c->prompt, (const uint8_t *)"\n", 1); /* the prompt once more */
		return;
	}
	prompt_close(c->prompt);
	c->prompt = NULL;
	err = prompt_open(&c->prompt, c->machine, &cfg);
	if (!err)
		return;
	c->prompted = false;
	snprintf(text, sizeof(text), "disco: the monitor's prompt: %s\r\n", strerror(-err));
	put_own(c, text, strlen(text));
}

/* Keys of the monitor's out of buf[0..n). How many bytes are left for the guest, or -1: the user quits. */
static long take_keys(struct console *c, uint8_t *buf, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t b = buf[i];
		enum tty_key key = tty_keys_next(&c->keys, &b);

		c->prompted &= prompt_is_open(c->prompt);
		if (key == TTY_KEY_QUIT)
			return -1;
		if (key == TTY_KEY_HELP)
			show_keys(c);
		if (key == TTY_KEY_MONITOR)
			change_prompt(c);
		if (key == TTY_KEY_TYPED && c->prompted)
			prompt_type(c->prompt, &b, 1);
		else if (key == TTY_KEY_TYPED)
			buf[kept++] = b;
	}
	return (long)kept;
}

long console_read(struct console *c, uint8_t *buf, size_t n)
{
	struct pollfd pfd = {.fd = c->in_fd, .events = POLLIN};
	ssize_t r;

	/* The descriptor may be shared with the user's shell, so it is not made non-blocking. */
	if (c->in_fd < 0 || poll(&pfd, 1, 0) <= 0)
		return 0;
	r = read(c->in_fd, buf, n);
	if (r < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (r <= 0) {
		c->in_fd = -1;
		return 0;
	}
	if (c->is_tty)
		r = take_keys(c, buf, (size_t)r);
	return r < 0 ? CONSOLE_QUIT : r;
}
