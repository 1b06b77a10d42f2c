/* SPDX-License-Identifier: MIT */
/* Several writers on one descriptor: whole lines with names, bounded, and ended from outside. */
#define _GNU_SOURCE /* F_SETPIPE_SZ */
#include "vmm/host/lines.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WRITERS = 8, LINES = 3000 };

static void put(struct lines_port *p, const char *text) { lines_put(p, (const uint8_t *)text, strlen(text)); }

/* All that is there until the other end is closed. */
static char *read_all(int fd)
{
	size_t n = 0, room = 1 << 20;
	char *text = malloc(room);
	ssize_t got;

	while ((got = read(fd, text + n, room - n - 1)) > 0) {
		n += (size_t)got;
		if (room - n < 65536)
			text = realloc(text, room *= 2);
	}
	text[n] = '\0';
	return text;
}

Test(lines, names_and_ends, .timeout = 60)
{
	struct lines *l;
	struct lines_port *a, *b;
	int fds[2];
	char *text;

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(lines_open(&l, fds[1]), 0);
	cr_assert_eq(lines_port_open(&a, l, "a"), 0);
	cr_assert_eq(lines_port_open(&b, l, "long-name"), 0);
	put(a, "on");
	put(b, "two\nthree\n\nfo");
	cr_assert(lines_port_written(a), "no whole line yet");
	put(a, "e\n");
	put(b, "ur");
	put(a, "\x01\xff\r\n");
	lines_port_close(b);
	lines_port_close(a);
	cr_assert_eq(lines_close(l, true), 0);
	close(fds[1]);
	text = read_all(fds[0]);
	cr_assert_str_eq(text,
			 "long-name| two\nlong-name| three\nlong-name| \na| one\na| \x01\xff\r\nlong-name| four\n");
	free(text);
}

static void *read_thread(void *fd) { return read_all(*(int *)fd); }

struct writer {
	struct lines *lines;
	unsigned n;
};

static void *write_lines(void *arg)
{
	struct writer *w = arg;
	struct lines_port *p;
	char name[8], line[300];

	snprintf(name, sizeof(name), "w%u", w->n);
	cr_assert_eq(lines_port_open(&p, w->lines, name), 0);
	for (unsigned i = 0; i < LINES; i++) {
		int n = snprintf(line, sizeof(line), "%u %0*u\n", i, 1 + (int)(i * 7 % 250), w->n);

		/* in two pieces, so that others come in between */
		lines_put(p, (const uint8_t *)line, (size_t)n / 2);
		lines_put(p, (const uint8_t *)line + n / 2, (size_t)n - (size_t)n / 2);
	}
	lines_port_close(p);
	return NULL;
}

Test(lines, whole_and_in_order, .timeout = 60)
{
	struct writer w[WRITERS];
	pthread_t thread[WRITERS + 1];
	unsigned next[WRITERS] = {0}, total = 0;
	struct lines *l;
	void *text;
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(lines_open(&l, fds[1]), 0);
	cr_assert_eq(pthread_create(&thread[WRITERS], NULL, read_thread, &fds[0]), 0);
	for (unsigned i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){l, i};
		cr_assert_eq(pthread_create(&thread[i], NULL, write_lines, &w[i]), 0);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(lines_close(l, true), 0);
	close(fds[1]);
	pthread_join(thread[WRITERS], &text);
	for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1, total++) {
		unsigned n, i, last;
		int at = 0;

		*end = '\0';
		cr_assert_eq(sscanf(line, "w%u| %u %n%u", &n, &i, &at, &last), 3, "'%s'", line);
		cr_assert(n < WRITERS && last == n && i == next[n], "'%s'", line);
		cr_assert_eq(end - line - at, 1 + (int)(i * 7 % 250), "'%s'", line);
		next[n]++;
	}
	cr_assert_eq(total, WRITERS * LINES);
	free(text);
}

Test(lines, a_line_without_end_is_broken, .timeout = 60)
{
	static char many[3 * LINES_MAX_BYTES];
	struct lines *l;
	struct lines_port *p;
	int fds[2];
	char *text;

	memset(many, 'x', sizeof(many));
	cr_assert_eq(pipe(fds), 0);
	cr_assert_geq(fcntl(fds[1], F_SETPIPE_SZ, 1 << 20), 0);
	cr_assert_eq(lines_open(&l, fds[1]), 0);
	cr_assert_eq(lines_port_open(&p, l, "p"), 0);
	lines_put(p, (const uint8_t *)many, sizeof(many));
	lines_port_close(p);
	cr_assert_eq(lines_close(l, true), 0);
	close(fds[1]);
	text = read_all(fds[0]);
	cr_assert_eq(strlen(text), 3 * (LINES_MAX_BYTES + 4));
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(memcmp(text + i * (LINES_MAX_BYTES + 4), "p| xxx", 6), 0);
	free(text);
}

static void *fill(void *port)
{
	for (unsigned i = 0; i < 100000; i++)
		put(port, "a line that nobody reads\n");
	return NULL;
}

/* One that waits for room is let go, and the other goes on. */
Test(lines, nobody_reads, .timeout = 60)
{
	struct lines_port *a, *b;
	struct lines *l;
	pthread_t thread;
	int fds[2];
	char *text;

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(lines_open(&l, fds[1]), 0);
	cr_assert_eq(lines_port_open(&a, l, "a"), 0);
	cr_assert_eq(lines_port_open(&b, l, "b"), 0);
	cr_assert_eq(pthread_create(&thread, NULL, fill, a), 0);
	usleep(100000);
	cr_assert(!lines_empty(l) && !lines_port_written(a) && lines_port_written(b));
	lines_port_stop(a);
	pthread_join(thread, NULL);
	lines_port_close(a);
	lines_port_close(b);
	/* what is left is not waited for */
	cr_assert_eq(lines_close(l, false), 0);
	close(fds[1]);
	text = read_all(fds[0]);
	cr_assert_gt(strlen(text), 4096);
	free(text);
}

Test(lines, a_reader_that_went_away, .timeout = 60)
{
	struct lines_port *p;
	struct lines *l;
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(pipe(fds), 0);
	close(fds[0]);
	cr_assert_eq(lines_open(&l, fds[1]), 0);
	cr_assert_eq(lines_port_open(&p, l, "p"), 0);
	put(p, "x\n");
	for (unsigned i = 0; i < 1000 && !lines_error(l); i++)
		usleep(1000);
	cr_assert_eq(lines_error(l), EPIPE);
	for (unsigned i = 0; i < 100000; i++)
		put(p, "more than there is room for\n");
	cr_assert(lines_port_written(p));
	lines_port_close(p);
	cr_assert_eq(lines_close(l, true), EPIPE);
}
