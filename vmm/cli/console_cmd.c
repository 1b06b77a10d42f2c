/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/cli/commands.h"
#include "vmm/cli/control_cmd.h"
#include "vmm/cli/control_find.h"
#include "vmm/cli/options.h"
#include "vmm/control/client.h"
#include "vmm/host/tty.h"

/* `disco console`: bytes between this terminal and a machine's console. */

struct visit {
	int fd;      /* the console */
	bool is_tty; /* standard input is a terminal, and raw */
	bool input;  /* there may be more */
	struct tty_keys keys;
};

/* False: it does not go. */
static bool write_all(int fd, const uint8_t *data, size_t n)
{
	while (n) {
		ssize_t w = write(fd, data, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return false;
		data += w;
		n -= (size_t)w;
	}
	return true;
}

/* False: the user leaves, or the machine has ended. */
static bool typed(struct visit *v)
{
	uint8_t buf[1024];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
	bool help = false;
	long left;

	if (n < 0 && errno == EINTR)
		return true;
	v->input = n > 0;
	if (n <= 0)
		return true;
	left = v->is_tty ? tty_keys_filter(&v->keys, buf, (size_t)n, &help) : n;
	if (help)
		fputs("\r\nCtrl-A x       leave; the machine goes on\r\nCtrl-A Ctrl-A  send Ctrl-A\r\n", stderr);
	for (long at = 0; at < left;) {
		ssize_t w = send(v->fd, buf + at, (size_t)(left - at), MSG_NOSIGNAL);

		if (w < 0 && errno != EINTR)
			return false;
		at += w > 0 ? w : 0;
	}
	return left >= 0;
}

/* False: the machine has ended, or nobody takes what it prints. */
static bool printed(const struct visit *v)
{
	uint8_t buf[4096];
	ssize_t n = recv(v->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
		return true;
	return n > 0 && write_all(STDOUT_FILENO, buf, (size_t)n);
}

static int come_in(int fd)
{
	struct visit v = {.fd = fd, .is_tty = isatty(STDIN_FILENO) != 0, .input = true};
	int err = v.is_tty ? tty_enter(STDIN_FILENO, TTY_OUTPUT_RAW) : 0;
	bool on = true;

	if (err) {
		fprintf(stderr, "disco console: the terminal: %s\n", strerror(-err));
		return STATUS_FAILED;
	}
	while (on) {
		struct pollfd p[2] = {{.fd = fd, .events = POLLIN},
				      {.fd = v.input ? STDIN_FILENO : -1, .events = POLLIN}};

		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents)
			on = printed(&v);
		if (on && p[1].revents)
			on = typed(&v);
	}
	if (v.is_tty)
		tty_leave();
	return STATUS_OK;
}

static int visit(const struct found_machine *f, const struct control_options *opt, int argc, char **argv)
{
	struct control_client *c;
	struct control_error err = {"its monitor is gone"};
	json_t *answer = NULL;
	int status;

	if (control_client_open(&c, f->monitor))
		c = NULL;
	else
		answer = control_client_call(c, "x-console", f->name, &err);
	if (answer) {
		status = come_in(control_client_fd(c));
	} else {
		fprintf(stderr, "disco console: %s: %s\n", f->name, err.text);
		status = STATUS_FAILED;
	}
	json_decref(answer);
	control_client_close(c);
	return status;
}

int control_console(int argc, char **argv) { return control_with_machine(argc, argv, visit); }
