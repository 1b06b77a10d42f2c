/* SPDX-License-Identifier: MIT */
/* Bytes between descriptors and the vCPU thread: all of them, in order, bounded; ends, errors, and the console's tail. */
#define _GNU_SOURCE
#include "vmm/host/console_tail.h"
#include "vmm/host/stream.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/types.h"

enum { TOTAL = 3 << 20 };

static uint8_t byte_at(size_t i) { return (uint8_t)(i * 2654435761u >> 13); }

static void *writer(void *arg)
{
	int fd = *(int *)arg;
	uint8_t buf[777];

	for (size_t i = 0; i < TOTAL;) {
		size_t n = 0;

		for (; n < sizeof(buf) && i + n < TOTAL; n++)
			buf[n] = byte_at(i + n);
		cr_assert_eq(write(fd, buf, n), (ssize_t)n);
		i += n;
	}
	close(fd);
	return NULL;
}

Test(stream, in, .timeout = 60)
{
	struct wakeup *w;
	struct stream_in *s;
	pthread_t thread;
	size_t got = 0;
	int fds[2];

	cr_assert_eq(wakeup_new(&w), 0);
	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(stream_in_open(&s, fds[0], false, w), 0);
	cr_assert_eq(pthread_create(&thread, NULL, writer, &fds[1]), 0);
	while (!stream_in_ended(s)) {
		const uint8_t *data;
		size_t n = stream_in_peek(s, &data);

		if (!n) {
			sched_yield();
			continue;
		}
		n = n > 1000 ? n - 999 : n;
		for (size_t i = 0; i < n; i++)
			cr_assert_eq(data[i], byte_at(got + i), "byte %zu", got + i);
		stream_in_take(s, n);
		got += n;
	}
	cr_assert_eq(got, TOTAL);
	pthread_join(thread, NULL);
	stream_in_close(s);
	close(fds[0]);
	wakeup_free(w);
}

/* Nothing is taken: it reads as much as it has room for, and can be closed while it waits. */
Test(stream, in_is_bounded, .timeout = 60)
{
	struct wakeup *w;
	struct stream_in *s;
	const uint8_t *data;
	uint8_t buf[4096] = {0};
	size_t sent = 0;
	int fds[2];

	cr_assert_eq(wakeup_new(&w), 0);
	cr_assert_eq(pipe2(fds, O_NONBLOCK), 0);
	cr_assert_eq(stream_in_open(&s, fds[0], false, w), 0);
	while (stream_in_peek(s, &data) < STREAM_BYTES) {
		ssize_t n = write(fds[1], buf, sizeof(buf));

		if (n > 0)
			sent += (size_t)n;
	}
	cr_assert_geq(sent, STREAM_BYTES);
	cr_assert_eq(stream_in_peek(s, &data), STREAM_BYTES);
	cr_assert(!stream_in_ended(s));
	stream_in_close(s);
	close(fds[0]);
	close(fds[1]);
	wakeup_free(w);
}

/* A terminal that is not raw yet: what is typed there is not taken away, and its end is not seen. */
Test(stream, in_held, .timeout = 60)
{
	struct wakeup *w;
	struct stream_in *s;
	const uint8_t *data;
	int fds[2];

	cr_assert_eq(wakeup_new(&w), 0);
	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(write(fds[1], "abc", 3), 3);
	close(fds[1]);
	cr_assert_eq(stream_in_open(&s, fds[0], true, w), 0);
	usleep(50000);
	cr_assert_eq(stream_in_peek(s, &data), 0);
	cr_assert(!stream_in_ended(s));
	stream_in_release(s);
	while (stream_in_peek(s, &data) < 3)
		sched_yield();
	cr_assert_arr_eq(data, "abc", 3);
	stream_in_take(s, 3);
	while (!stream_in_ended(s))
		sched_yield();
	stream_in_close(s);
	close(fds[0]);
	wakeup_free(w);
}

Test(stream, in_of_nothing, .timeout = 60)
{
	struct wakeup *w;
	struct stream_in *s;

	cr_assert_eq(wakeup_new(&w), 0);
	cr_assert_eq(stream_in_open(&s, -1, false, w), 0);
	cr_assert(stream_in_ended(s));
	stream_in_close(s);
	wakeup_free(w);
}

static void *reader(void *arg)
{
	int fd = *(int *)arg;
	uint8_t buf[5000];
	size_t got = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++, got++)
			cr_assert_eq(buf[i], byte_at(got), "byte %zu", got);
	cr_assert_eq(got, TOTAL);
	return NULL;
}

Test(stream, out, .timeout = 60)
{
	struct wakeup *w;
	struct stream_out *s;
	pthread_t thread;
	uint8_t buf[100000];
	bool was_full = false;
	size_t sent = 0;
	int fds[2];

	cr_assert_eq(wakeup_new(&w), 0);
	cr_assert_eq(pipe2(fds, 0), 0);
	cr_assert_eq(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0); /* as a user's shell may leave it */
	cr_assert_eq(stream_out_open(&s, fds[1], w), 0);
	cr_assert_eq(pthread_create(&thread, NULL, reader, &fds[0]), 0);
	while (sent < TOTAL) {
		size_t n = 0;

		for (; n < sizeof(buf) && sent + n < TOTAL; n++)
			buf[n] = byte_at(sent + n);
		size_t took = stream_out_put(s, buf, n);

		sent += took;
		if (took == n)
			continue;
		was_full = true;
		while (!stream_out_has_room(s))
			sched_yield();
		cr_assert(!stream_out_has_room(s), "room is told once");
	}
	cr_assert(was_full, "the test wrote slower than the stream");
	cr_assert_eq(stream_out_close(s, true), 0);
	close(fds[1]);
	pthread_join(thread, NULL);
	close(fds[0]);
	wakeup_free(w);
}

/* A reader that went away is an error, and does not stop what comes; one that does not read is left when told to. */
Test(stream, out_without_reader, .timeout = 60)
{
	static const uint8_t data[STREAM_BYTES];
	struct wakeup *w;
	struct stream_out *s;
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(wakeup_new(&w), 0);
	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(stream_out_open(&s, fds[1], w), 0);
	close(fds[0]);
	cr_assert_eq(stream_out_put(s, data, sizeof(data)), sizeof(data));
	while (!stream_out_empty(s))
		sched_yield();
	cr_assert_eq(stream_out_error(s), EPIPE);
	cr_assert_eq(stream_out_put(s, data, 1), 1);
	cr_assert_eq(stream_out_close(s, true), EPIPE);
	close(fds[1]);

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(stream_out_open(&s, fds[1], w), 0);
	while (stream_out_put(s, data, sizeof(data)))
		;
	cr_assert_eq(stream_out_close(s, false), 0);
	close(fds[0]);
	close(fds[1]);
	wakeup_free(w);
}

/* The last write, which only the end waits for, fails like any other. */
Test(stream, out_lost_at_the_end, .timeout = 60)
{
	struct wakeup *w;
	struct stream_out *s;
	int fd = open("/dev/full", O_WRONLY);

	cr_assert_eq(wakeup_new(&w), 0);
	cr_assert_eq(stream_out_open(&s, fd, w), 0);
	cr_assert_eq(stream_out_put(s, (const uint8_t *)"x", 1), 1);
	cr_assert_eq(stream_out_close(s, true), ENOSPC);
	close(fd);
	wakeup_free(w);
}

static const char *tail(const struct console_tail *t, char *buf, size_t n)
{
	FILE *f = fmemopen(buf, n, "w");

	memset(buf, 0, n);
	console_tail_print(t, f);
	fclose(f);
	return buf;
}

static void add(struct console_tail *t, const char *text) { console_tail_add(t, (const uint8_t *)text, strlen(text)); }

Test(console_tail, lines)
{
	static struct console_tail t;
	static char buf[2 * CONSOLE_TAIL_BYTES];
	char line[64];

	cr_assert_str_eq(tail(&t, buf, sizeof(buf)), "");
	add(&t, "no end");
	cr_assert_str_eq(tail(&t, buf, sizeof(buf)), "no end\n");
	add(&t, "\r\n\x1b[31mred\a\r\n");
	cr_assert_str_eq(tail(&t, buf, sizeof(buf)), "no end\n?[31mred?\n");
	for (int i = 0; i < 5000; i++) {
		snprintf(line, sizeof(line), "line %d\r\n", i);
		add(&t, line);
	}
	tail(&t, buf, sizeof(buf));
	cr_assert_eq(strncmp(buf, "line 4970\n", 10), 0, "%.20s", buf);
	cr_assert_str_eq(buf + strlen(buf) - 10, "line 4999\n");
	/* lines so long that there are less of them: the first whole one */
	for (int i = 0; i < 10; i++) {
		for (int k = 0; k < 100; k++)
			add(&t, "0123456789");
		add(&t, i == 2 ? "two\n" : "\n");
	}
	tail(&t, buf, sizeof(buf));
	cr_assert_eq(strncmp(buf, "0123456789", 10), 0);
	cr_assert_eq(strlen(buf), 8011);
	/* one endless line: there is no whole one */
	for (int k = 0; k < 2000; k++)
		add(&t, "0123456789");
	cr_assert_str_eq(tail(&t, buf, sizeof(buf)), "");
}
