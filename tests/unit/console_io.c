/* SPDX-License-Identifier: MIT */
/* The console on pipes and on a pseudo-terminal: bytes, escapes, and a terminal that is given back. */
#define _GNU_SOURCE /* posix_openpt, ptsname_r */
#include "vmm/host/console.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

struct pty {
	int master, slave;
};

static struct pty pty_open(void)
{
	struct pty p = {.master = posix_openpt(O_RDWR | O_NOCTTY)};
	char name[64];

	cr_assert_geq(p.master, 0);
	cr_assert_eq(grantpt(p.master) | unlockpt(p.master), 0);
	cr_assert_eq(ptsname_r(p.master, name, sizeof(name)), 0);
	p.slave = open(name, O_RDWR | O_NOCTTY);
	cr_assert_geq(p.slave, 0);
	return p;
}

/* What is there within two seconds, up to the end of `until`. */
static void read_until(int fd, const char *until, char *out, size_t room)
{
	size_t used = 0;
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	out[0] = 0;
	while (used + 1 < room && !strstr(out, until) && poll(&pfd, 1, 2000) > 0) {
		ssize_t n = read(fd, out + used, room - 1 - used);

		if (n <= 0)
			break;
		used += (size_t)n;
		out[used] = 0;
	}
}

static bool readable(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, 0) > 0;
}

static void put(struct console *c, const char *s) { console_write(c, (const uint8_t *)s, strlen(s)); }

Test(console, pipe_output)
{
	struct console *c;
	char buf[16384];
	int p[2];

	cr_assert_eq(pipe(p), 0);
	cr_assert_eq(console_open(&c, -1, p[1]), 0);
	put(c, "pro");
	put(c, "mpt");
	cr_assert(!readable(p[0]), "a byte, a system call");
	console_flush(c);
	read_until(p[0], "prompt", buf, sizeof(buf));
	cr_assert_str_eq(buf, "prompt");
	put(c, "a line\n");
	cr_assert(readable(p[0]), "a line must not wait");
	read_until(p[0], "\n", buf, sizeof(buf));
	cr_assert_str_eq(buf, "a line\n");
	put(c, "old");
	usleep(10000);
	put(c, "er");
	cr_assert(readable(p[0]), "older than 5 ms");
	read_until(p[0], "older", buf, sizeof(buf));
	/* More than the buffer, without a line end. */
	memset(buf, 'x', 10000);
	buf[10000] = 0;
	put(c, buf);
	console_close(c);
	close(p[1]);
	read_until(p[0], "\n", buf, sizeof(buf));
	cr_assert_eq(strlen(buf), 10000);
}

Test(console, pipe_input_is_raw)
{
	struct console *c;
	uint8_t buf[16];
	int p[2];

	cr_assert_eq(pipe(p), 0);
	cr_assert_eq(console_open(&c, p[0], STDOUT_FILENO), 0);
	cr_assert_eq(console_read(c, buf, sizeof(buf)), 0, "would wait");
	cr_assert_eq(console_fd(c), p[0]);
	cr_assert_eq(write(p[1], "\x01x\0\xff", 4), 4);
	cr_assert_eq(console_read(c, buf, 3), 3);
	cr_assert_eq(console_read(c, buf + 3, 13), 1);
	cr_assert_arr_eq(buf, "\x01x\0\xff", 4);
	close(p[1]);
	cr_assert_eq(console_read(c, buf, sizeof(buf)), 0);
	cr_assert_eq(console_fd(c), -1, "end of input");
	cr_assert_eq(console_read(c, buf, sizeof(buf)), 0);
	console_close(c);
}

Test(console, output_refused)
{
	struct console *c;
	int p[2];

	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(pipe(p), 0);
	close(p[0]);
	cr_assert_eq(console_open(&c, -1, p[1]), 0);
	put(c, "nobody reads this\n");
	cr_assert_eq(console_close(c), EPIPE);
	/* the first error counts; what nobody wrote is not lost */
	cr_assert_eq(console_open(&c, -1, p[1]), 0);
	cr_assert_eq(console_close(c), 0);
	close(p[1]);
	p[1] = open("/dev/full", O_WRONLY);
	cr_assert_eq(console_open(&c, -1, p[1]), 0);
	put(c, "lost");
	console_flush(c);
	cr_assert_eq(dup2(open("/dev/null", O_WRONLY), p[1]), p[1]);
	put(c, "not lost\n");
	cr_assert_eq(console_close(c), ENOSPC);
}

Test(console, terminal)
{
	struct pty p = pty_open();
	struct termios before, raw, after;
	struct console *c, *second;
	uint8_t in[64];
	char out[1024];

	cr_assert_eq(tcgetattr(p.slave, &before), 0);
	cr_assert_eq(console_open(&c, p.slave, p.slave), 0);
	cr_assert_eq(tcgetattr(p.slave, &raw), 0);
	cr_assert_eq(raw.c_lflag & (ICANON | ECHO | ISIG), 0u);
	cr_assert_eq(console_open(&second, p.slave, p.slave), -EBUSY);

	/* Ctrl-C is the guest's; Ctrl-A twice sends one; Ctrl-A and an unknown key is eaten. */
	cr_assert_eq(write(p.master, "\x03q\x01\x01\x01ze", 7), 7);
	cr_assert_eq(poll(&(struct pollfd){.fd = console_fd(c), .events = POLLIN}, 1, 2000), 1);
	cr_assert_eq(console_read(c, in, sizeof(in)), 4);
	cr_assert_arr_eq(in,
			 "\x03q\x01"
			 "e",
			 4);

	cr_assert_eq(write(p.master, "\x01h", 2), 2);
	cr_assert_eq(poll(&(struct pollfd){.fd = console_fd(c), .events = POLLIN}, 1, 2000), 1);
	cr_assert_eq(console_read(c, in, sizeof(in)), 0);
	read_until(p.master, "send Ctrl-A", out, sizeof(out));
	cr_assert(strstr(out, "quit"), "%s", out);

	/* The escape is remembered from one read to the next. */
	cr_assert_eq(write(p.master, "\x01", 1), 1);
	cr_assert_eq(poll(&(struct pollfd){.fd = console_fd(c), .events = POLLIN}, 1, 2000), 1);
	cr_assert_eq(console_read(c, in, sizeof(in)), 0);
	cr_assert_eq(write(p.master, "x", 1), 1);
	cr_assert_eq(poll(&(struct pollfd){.fd = console_fd(c), .events = POLLIN}, 1, 2000), 1);
	cr_assert_eq(console_read(c, in, sizeof(in)), CONSOLE_QUIT);

	console_close(c);
	cr_assert_eq(tcgetattr(p.slave, &after), 0);
	cr_assert_eq(after.c_lflag, before.c_lflag);
	cr_assert_eq(after.c_iflag, before.c_iflag);
	cr_assert_eq(after.c_oflag, before.c_oflag);
	/* And it can be opened again. */
	cr_assert_eq(console_open(&c, p.slave, p.slave), 0);
	console_close(c);
}

static void die_by_signal(int sig)
{
	signal(sig, SIG_DFL); /* Criterion's and a sanitizer's own handlers are not what runs in a disco process */
}

/* A child opens the terminal, signals readiness, and ends in some way; the parent looks at the terminal. */
static void check_restored(int sig, void (*end)(void))
{
	struct pty p = pty_open();
	struct termios before, after;
	struct console *c;
	int status, ready[2];
	char byte;
	pid_t pid;

	cr_assert_eq(tcgetattr(p.slave, &before), 0);
	cr_assert_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		static const int usual[] = {SIGTERM, SIGINT, SIGHUP, SIGABRT, SIGSEGV, SIGTSTP, SIGPIPE};

		for (size_t i = 0; i < ARRAY_LEN(usual); i++)
			die_by_signal(usual[i]);
		if (console_open(&c, p.slave, p.slave) != 0)
			_exit(99);
		if (write(ready[1], "r", 1) != 1)
			_exit(98);
		if (end)
			end();
		for (;;)
			pause();
	}
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	if (sig)
		kill(pid, sig);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	if (sig)
		cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == sig, "status %x", status);
	cr_assert_eq(tcgetattr(p.slave, &after), 0);
	cr_assert_eq(after.c_lflag, before.c_lflag);
	cr_assert_eq(after.c_iflag, before.c_iflag);
	close(p.master);
	close(p.slave);
}

static void end_by_exit(void) { exit(3); }
static void end_by_panic(void) { panic("a test of the panic hook"); }

Test(console, restored_by_sigterm) { check_restored(SIGTERM, NULL); }
Test(console, restored_by_sigint) { check_restored(SIGINT, NULL); }
Test(console, restored_by_sighup) { check_restored(SIGHUP, NULL); }
Test(console, restored_by_sigsegv) { check_restored(SIGSEGV, NULL); }
Test(console, restored_by_panic) { check_restored(0, end_by_panic); }
Test(console, restored_by_exit) { check_restored(0, end_by_exit); }

/* While stopped the terminal is the shell's; after SIGCONT it is the guest's again. */
Test(console, stop_and_continue)
{
	struct pty p = pty_open();
	struct termios t;
	struct console *c;
	int status, ready[2];
	char byte;
	pid_t pid;

	cr_assert_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0); /* not an orphaned group: SIGTSTP would be ignored in one */
		signal(SIGTSTP, SIG_DFL);
		if (console_open(&c, p.slave, p.slave) != 0 || write(ready[1], "r", 1) != 1)
			_exit(99);
		for (;;)
			pause();
	}
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	kill(pid, SIGTSTP);
	cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
	cr_assert(WIFSTOPPED(status));
	cr_assert_eq(tcgetattr(p.slave, &t), 0);
	cr_assert(t.c_lflag & ECHO);
	kill(pid, SIGCONT);
	for (int i = 0; i < 200 && t.c_lflag & ECHO; i++) {
		usleep(10000);
		cr_assert_eq(tcgetattr(p.slave, &t), 0);
	}
	cr_assert_eq(t.c_lflag & ECHO, 0u);
	kill(pid, SIGTERM);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
}
