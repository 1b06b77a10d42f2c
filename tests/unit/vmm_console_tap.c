/* SPDX-License-Identifier: MIT */
/* Visitors of a console: all that is kept, then what comes; one who does not read; what they type; more than there is room for. */
#include "vmm/host/console_tap.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/host/stream.h"

static struct wakeup *wake;

static struct console_tap *start(void)
{
	struct console_tap *t;

	cr_assert_eq(wakeup_new(&wake), 0);
	cr_assert_eq(console_tap_new(&t, wake), 0);
	return t;
}

static void end(struct console_tap *t)
{
	console_tap_free(t);
	wakeup_free(wake);
}

static void put(struct console_tap *t, const char *text) { console_tap_put(t, (const uint8_t *)text, strlen(text)); }

/* A visitor's end of the line. */
static int come(struct console_tap *t)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	cr_assert_eq(console_tap_visit(t, fds[1]), 0);
	return fds[0];
}

static void hears(int fd, const char *text)
{
	char got[100] = "";

	cr_assert_eq(recv(fd, got, strlen(text), MSG_WAITALL), (ssize_t)strlen(text));
	cr_assert_str_eq(got, text);
}

Test(console_tap, kept_and_new, .timeout = 30)
{
	struct console_tap *t = start();
	char byte;
	int a, b;

	put(t, "before, ");
	a = come(t);
	hears(a, "before, ");
	put(t, "then");
	hears(a, "then");
	b = come(t);
	hears(b, "before, then");
	put(t, "!");
	hears(a, "!");
	close(a);
	put(t, "?");
	hears(b, "!?");
	end(t);
	cr_assert_eq(read(b, &byte, 1), 0, "he is shown out");
	close(b);
}

Test(console_tap, typed, .timeout = 30)
{
	struct console_tap *t = start();
	uint8_t got[8];
	size_t n = 0;
	int a = come(t);

	cr_assert_eq(console_tap_get(t, got, sizeof(got)), 0);
	cr_assert_eq(write(a, "keys", 4), 4);
	while (n < 4)
		n += console_tap_get(t, got + n, 1);
	cr_assert_arr_eq(got, "keys", 4);
	close(a);
	end(t);
}

/* He who does not read misses what is old, and the guest is not held. */
Test(console_tap, slow, .timeout = 60)
{
	static char data[TAP_BYTES];
	struct console_tap *t = start();
	int a = come(t);
	size_t n = 0;
	ssize_t got;

	memset(data, 'x', sizeof(data));
	for (unsigned i = 0; i < 200; i++)
		console_tap_put(t, (const uint8_t *)data, sizeof(data));
	put(t, "the end");
	/* what was on its way, and what is kept; then no more comes */
	usleep(100000);
	while ((got = recv(a, data, sizeof(data), 0)) > 0) {
		n += (size_t)got;
		if (got >= 7 && memcmp(data + got - 7, "the end", 7) == 0)
			break;
		usleep(1000);
	}
	cr_assert_gt(got, 0);
	cr_assert_geq(n, TAP_BYTES);
	cr_assert_lt(n, 100u * TAP_BYTES);
	close(a);
	end(t);
}

Test(console_tap, too_many, .timeout = 30)
{
	struct console_tap *t = start();
	int fd[TAP_VISITORS], fds[2];

	for (unsigned i = 0; i < TAP_VISITORS; i++)
		fd[i] = come(t);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	cr_assert_eq(console_tap_visit(t, fds[1]), -EBUSY);
	put(t, "x");
	for (unsigned i = 0; i < TAP_VISITORS; i++) {
		hears(fd[i], "x");
		close(fd[i]);
	}
	/* their places are free once it is seen that they have gone */
	for (unsigned i = 0; i < 1000 && console_tap_visit(t, fds[1]) == -EBUSY; i++)
		usleep(1000);
	hears(fds[0], "x");
	close(fds[0]);
	end(t);
}
