/* SPDX-License-Identifier: MIT */
#include "vmm/host/console.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/host_clock.h"

#define BUFFER_BYTES 4096
#define MAX_AGE_NS   5000000
#define CTRL_A       1

struct console {
	int in_fd, out_fd; /* in_fd: -1 after the end of input */
	bool is_tty;       /* input is a terminal: raw, with escapes */
	bool escape;       /* Ctrl-A was the last byte read */
	int lost;          /* errno of the first output that was */

	pthread_mutex_t lock; /* guards what follows */
	size_t used;
	uint64_t first_ns; /* when the oldest byte of buffer came */
	uint8_t buffer[BUFFER_BYTES];
};

/*
 * What signal handlers and atexit() need, and they take no argument: the only mutable global state of Disco.
 * Written before `active` is set; the handlers only read it.
 */
static struct {
	volatile sig_atomic_t active;
	int fd;
	struct termios cooked, raw;
} terminal;

static const int fatal_signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGABRT, SIGSEGV,
				    SIGBUS, SIGFPE, SIGILL,  SIGXCPU, SIGALRM, SIGTSTP};

static const char keys[] = "\r\nCtrl-A x       quit: switch the machine off\r\n"
			   "Ctrl-A h       show this\r\n"
			   "Ctrl-A Ctrl-A  send Ctrl-A to the guest\r\n";

/* Async-signal-safe, as tcsetattr() is (POSIX.1-2017, 2.4.3). */
static void terminal_restore(void)
{
	if (terminal.active)
		tcsetattr(terminal.fd, TCSANOW, &terminal.cooked);
}

/* Fatal, or a stop: restore, then let the signal do what it does by default. */
static void on_signal(int sig)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL}, old;
	int saved = errno;
	sigset_t set;

	terminal_restore();
	sigaction(sig, &dfl, &old);
	raise(sig);
	/* Blocked while its handler runs: let it through here, so that a stop happens inside the handler. */
	sigemptyset(&set);
	sigaddset(&set, sig);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	/* Still here: it was a stop, and this is after SIGCONT. */
	sigaction(sig, &old, NULL);
	if (terminal.active)
		tcsetattr(terminal.fd, TCSANOW, &terminal.raw);
	errno = saved;
}

/* Signals that somebody else handles or ignores are left to them. */
static void signals_install(void (*from)(int), void (*to)(int))
{
	for (size_t i = 0; i < ARRAY_LEN(fatal_signals); i++) {
		struct sigaction sa = {.sa_handler = to, .sa_flags = SA_RESTART}, old;

		sigemptyset(&sa.sa_mask);
		if (sigaction(fatal_signals[i], NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
		    old.sa_handler == from)
			sigaction(fatal_signals[i], &sa, NULL);
	}
}

static void register_atexit(void)
{
	/* A failure leaves the other ways of restoring. */
	(void)!atexit(terminal_restore);
}

static int terminal_enter(int fd)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int r;

	if (terminal.active)
		return -EBUSY;
	if (tcgetattr(fd, &terminal.cooked) != 0)
		return -errno;
	terminal.raw = terminal.cooked;
	cfmakeraw(&terminal.raw);
	/* Messages of the monitor itself still get their carriage returns; the guest sends its own, which does no harm. */
	terminal.raw.c_oflag |= terminal.cooked.c_oflag & OPOST;
	terminal.raw.c_cc[VMIN] = 1;
	terminal.raw.c_cc[VTIME] = 0;
	terminal.fd = fd;
	terminal.active = 1;
	pthread_once(&once, register_atexit);
	signals_install(SIG_DFL, on_signal);
	if (tcsetattr(fd, TCSANOW, &terminal.raw) == 0)
		return 0;
	r = -errno;
	signals_install(on_signal, SIG_DFL);
	terminal.active = 0;
	return r;
}

static void terminal_leave(void)
{
	terminal_restore();
	signals_install(on_signal, SIG_DFL);
	terminal.active = 0;
}

/* Write all of it, waiting if the other side is slow; give up on an error, which it returns. */
static int write_all(int fd, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n) {
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

static void flush_locked(struct console *c)
{
	int err = write_all(c->out_fd, c->buffer, c->used);

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
		terminal_restore();
}

int console_open(struct console **out, int in_fd, int out_fd)
{
	struct console *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->in_fd = in_fd;
	c->out_fd = out_fd;
	c->is_tty = in_fd >= 0 && isatty(in_fd);
	r = c->is_tty ? terminal_enter(in_fd) : 0;
	if (!r) {
		r = -pthread_mutex_init(&c->lock, NULL);
		if (r && c->is_tty)
			terminal_leave();
	}
	if (r) {
		free(c);
		return r;
	}
	panic_set_hook(on_panic, c);
	*out = c;
	return 0;
}

int console_close(struct console *c)
{
	int lost;

	if (!c)
		return 0;
	console_flush(c);
	panic_set_hook(NULL, NULL);
	if (c->is_tty)
		terminal_leave();
	lost = c->lost;
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

int console_fd(const struct console *c) { return c->in_fd; }

static void show_keys(struct console *c)
{
	pthread_mutex_lock(&c->lock);
	flush_locked(c);
	(void)write_all(c->out_fd, keys, sizeof(keys) - 1);
	pthread_mutex_unlock(&c->lock);
}

/* Take the escapes out of buf[0..n). Returns how many bytes are left for the guest, or CONSOLE_QUIT. */
static long filter_escapes(struct console *c, uint8_t *buf, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t b = buf[i];

		if (!c->escape) {
			if (b == CTRL_A)
				c->escape = true;
			else
				buf[kept++] = b;
			continue;
		}
		c->escape = false;
		if (b == 'x' || b == 'X')
			return CONSOLE_QUIT;
		if (b == CTRL_A || b == 'a')
			buf[kept++] = CTRL_A;
		else if (b == 'h' || b == '?')
			show_keys(c);
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
	return c->is_tty ? filter_escapes(c, buf, (size_t)r) : r;
}
