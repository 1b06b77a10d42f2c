/* SPDX-License-Identifier: MIT */
#include "vmm/control/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct control_client {
	FILE *in;
	int fd;
	char *line;
	size_t room;
};

/* The next line. NULL: the monitor is gone, or silent, or says what no monitor says. */
static json_t *read_line(struct control_client *c)
{
	ssize_t n;

	do { /* a client that was stopped and goes on (Ctrl-Z, a debugger) is interrupted: signal(7), of sockets with a time limit */
		errno = 0;
		clearerr(c->in);
		n = getline(&c->line, &c->room, c->in);
	} while (n < 0 && errno == EINTR);
	return n > 0 ? json_loadb(c->line, (size_t)n, 0, NULL) : NULL;
}

static bool send_all(struct control_client *c, const char *text)
{
	size_t n = strlen(text);

	while (n) {
		ssize_t w = send(c->fd, text, n, MSG_NOSIGNAL);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return false;
		text += w;
		n -= (size_t)w;
	}
	return true;
}

/* Its answer, past events. NULL: none. */
static json_t *ask(struct control_client *c, const char *command, json_t *arguments)
{
	json_t *request = arguments ? json_pack("{s:s, s:o}", "execute", command, "arguments", arguments)
				    : json_pack("{s:s}", "execute", command);
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	bool sent = text && send_all(c, text); /* without a line end, which could become a console's input */
	json_t *answer = NULL;

	json_decref(request);
	free(text);
	while (sent && (answer = read_line(c)) && json_object_get(answer, "event"))
		json_decref(answer);
	return answer;
}

static json_t *call(struct control_client *c, const char *command, json_t *arguments, struct control_error *err)
{
	json_t *answer = ask(c, command, arguments), *value = json_object_get(answer, "return");
	const char *why = json_string_value(json_object_get(json_object_get(answer, "error"), "desc"));

	json_incref(value);
	if (!value)
		snprintf(err->text, sizeof(err->text), "%s", why ? why : "its monitor is gone, or does not answer");
	for (char *p = err->text; !value && *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	json_decref(answer);
	return value;
}

static void set_wait(struct control_client *c, unsigned seconds)
{
	struct timeval wait = {.tv_sec = (time_t)seconds};

	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	(void)setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
}

json_t *control_client_call(struct control_client *c, const char *command, const char *machine,
			    struct control_error *err)
{
	return call(c, command, machine ? json_pack("{s:s}", "machine", machine) : NULL, err);
}

json_t *control_client_ask(struct control_client *c, const char *command, json_t *arguments, unsigned wait_s,
			   struct control_error *err)
{
	json_t *value;

	set_wait(c, wait_s);
	value = call(c, command, arguments, err);
	set_wait(c, CLIENT_WAIT_S);
	return value;
}

static int open_within(struct control_client **out, const char *name, unsigned greeting_s)
{
	struct control_client *c;
	struct control_error err;
	json_t *greeting, *open;
	int fd = control_connect(name);

	if (fd < 0)
		return fd;
	c = calloc(1, sizeof(*c));
	if (c)
		c->in = fdopen(fd, "r");
	if (!c || !c->in || !control_peer_is_mine(fd)) {
		close(fd);
		free(c);
		return -ENOENT;
	}
	c->fd = fd;
	(void)setvbuf(c->in, NULL, _IONBF, 0); /* what is behind an answer may be a console's */
	set_wait(c, greeting_s);
	errno = 0;
	greeting = read_line(c);
	if (!greeting && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		control_client_close(c);
		return -ETIMEDOUT;
	}
	set_wait(c, CLIENT_WAIT_S);
	open = json_object_get(greeting, "QMP") ? control_client_call(c, "qmp_capabilities", NULL, &err) : NULL;
	json_decref(greeting);
	if (!open) {
		control_client_close(c);
		return -ECONNREFUSED;
	}
	json_decref(open);
	*out = c;
	return 0;
}

int control_client_find(struct control_client **out, const char *name)
{
	return open_within(out, name, CLIENT_GREETING_S);
}

int control_client_open(struct control_client **out, const char *name) { return open_within(out, name, CLIENT_WAIT_S); }

int control_client_fd(const struct control_client *c) { return c->fd; }

void control_client_close(struct control_client *c)
{
	if (!c)
		return;
	fclose(c->in); /* and fd */
	free(c->line);
	free(c);
}
