/* SPDX-License-Identifier: MIT */
#include "guest/agent/agent.h"

/*
 * A command of the host's: its program with pipes for standard input, output and error, or a pseudo-terminal, and between these
 * and the ports disco.stdin, disco.stdout, disco.stderr the loop that moves bytes.  Control messages carry how many bytes there were:
 * each port is a queue of its own, so their order says nothing.
 */
enum { BUFFER_BYTES = 32768, MAX_ENV = 256, MAX_ARGS = 65536 };
enum { IN, OUT, ERR, STREAMS };
enum { HEAD_BYTES = 28 }; /* of AGENT_COMMAND's payload, before the strings */
/* A shell that lets SIGTERM pass has so long until its terminal is gone. A terminal's input has ended: said so often. */
enum { HANG_UP_MS = 300, END_MS = 200 };

static const char *const port_names[STREAMS] = {"disco.stdin", "disco.stdout", "disco.stderr"};

/* One direction. */
struct stream {
	int from, to;
	size_t at, n; /* bytes of buf that are still to be written: [at, n) */
	uint64_t moved;
	bool ended;   /* nothing more comes out of `from` */
	bool refused; /* `to` takes nothing more: what comes is dropped */
	char buf[BUFFER_BYTES];
};

struct serve {
	int control, signals;
	int pid;
	unsigned tty; /* AGENT_TTY_*, 0: pipes */
	struct pty pty;
	bool hang_up; /* SIGTERM was there */
	uint32_t hang_up_at_ms;
	bool exited;
	int status;
	bool have_total; /* the host has said how long standard input is */
	uint64_t total;
	size_t got; /* bytes of the control message that is being read */
	uint8_t message[AGENT_HEADER_BYTES + 16];
	struct stream stream[STREAMS];
};

/* What the host says to run. */
struct command {
	uint32_t argc, envc, script_bytes;
	unsigned tty;
	uint16_t columns, rows;
	uint8_t characters[8];
	char **argv; /* argv[0] is left free for an interpreter; the command's own begin at argv[1] */
	char *script;
	char *env[MAX_ENV];
};

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* Wait for an event of one descriptor. */
static void wait_for(int fd, int16_t events)
{
	struct sys_pollfd p = {.fd = fd, .events = events};

	sys_poll(&p, 1, 1000);
}

static void write_all(int fd, const void *data, size_t n)
{
	const char *p = data;

	while (n) {
		long w = sys_write(fd, p, n);

		if (w > 0) {
			p += w;
			n -= (size_t)w;
		} else if (w == -EAGAIN) {
			wait_for(fd, POLLOUT);
		} else if (w != -EINTR) {
			return;
		}
	}
}

static bool read_all(int fd, void *data, size_t n)
{
	char *p = data;

	while (n) {
		long r = sys_read(fd, p, n);

		if (r > 0) {
			p += r;
			n -= (size_t)r;
		} else if (r == -EAGAIN) {
			wait_for(fd, POLLIN);
		} else if (r != -EINTR) {
			return false;
		}
	}
	return true;
}

static void send(int control, char type, const void *payload, size_t n)
{
	uint8_t m[AGENT_HEADER_BYTES + 256] = {(uint8_t)type};

	if (n > 256)
		n = 256;
	put32(m + 4, (uint32_t)n);
	memcpy(m + AGENT_HEADER_BYTES, payload, n);
	write_all(control, m, AGENT_HEADER_BYTES + n);
}

/* The host switches the machine off when it has got everything; without a host there is nobody to wait for. */
static void wait_for_the_end(void)
{
	for (;;)
		sys_sleep_ms(1000);
}

void command_fail(int control, const char *why)
{
	say(why);
	if (control >= 0) {
		send(control, AGENT_FAILED, why, strlen(why));
		wait_for_the_end();
	}
	sys_reboot(RB_POWER_OFF);
	sys_exit(1);
}

void command_ready(int control) { send(control, AGENT_READY, "", 0); }

/* ---- what to run ---- */

static void receive(int control, struct command *c)
{
	uint8_t head[AGENT_HEADER_BYTES + HEAD_BYTES];
	uint32_t bytes;
	char *p, *end;

	if (!read_all(control, head, sizeof(head)) || head[0] != AGENT_COMMAND)
		command_fail(control, "the host sent no command");
	bytes = get32(head + 4) - HEAD_BYTES;
	c->argc = get32(head + 8);
	c->envc = get32(head + 12);
	c->script_bytes = get32(head + 16);
	c->tty = get32(head + 20);
	c->columns = get16(head + 24);
	c->rows = get16(head + 26);
	memcpy(c->characters, head + 28, sizeof(c->characters));
	if (bytes > AGENT_MAX_COMMAND || c->argc > MAX_ARGS || c->envc >= MAX_ENV || c->script_bytes > bytes)
		command_fail(control, "the command is too large");
	p = sys_pages(bytes + 1 + (c->argc + 2) * sizeof(char *));
	if (!p)
		command_fail(control, "no memory for the command");
	c->argv = (char **)(void *)p;
	p += (c->argc + 2) * sizeof(char *);
	end = p + bytes - c->script_bytes;
	if (!read_all(control, p, bytes))
		command_fail(control, "the host sent half a command");
	c->script = end;
	for (uint32_t i = 0; i < c->argc + c->envc && p < end; i++) {
		if (i < c->argc)
			c->argv[1 + i] = p;
		else
			c->env[i - c->argc] = p;
		p += strlen(p) + 1;
	}
}

/* A script becomes a file, and that the command. */
static void place_script(int control, struct command *c)
{
	static const char path[] = "/run/disco-script";
	int fd;

	if (!c->script_bytes)
		return;
	fd = (int)sys_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	if (fd < 0)
		command_fail(control, "cannot make /run/disco-script");
	write_all(fd, c->script, c->script_bytes);
	sys_close(fd);
}

/* ---- in the child ---- */

static void complain(const char *name, const char *what)
{
	const char *const parts[] = {"disco-guest: ", name, ": ", what, "\n", NULL};

	say_parts(parts);
}

/* As a shell: a file that is no program is a script for it. */
static long execute(const char *path, struct command *c)
{
	enum { ENOEXEC = 8 };
	long r = sys_execve(path, c->argv + 1, c->env);

	if (r == -ENOEXEC) {
		char *name = c->argv[1];

		c->argv[0] = (char *)(uintptr_t) "sh";
		c->argv[1] = (char *)(uintptr_t)path;
		r = sys_execve("/bin/sh", c->argv, c->env);
		c->argv[1] = name;
	}
	return r;
}

static const char *variable(const struct command *c, const char *name)
{
	size_t n = strlen(name);

	for (uint32_t i = 0; i < c->envc; i++)
		if (strncmp(c->env[i], name, n) == 0 && c->env[i][n] == '=')
			return c->env[i] + n + 1;
	return "";
}

/* POSIX, XCU 2.9.1.1 "Command Search and Execution": the status is 127 if nothing was found, 126 if it cannot be run. */
static int search(struct command *c)
{
	const char *name = c->argv[1], *at = variable(c, "PATH");
	long r = -ENOENT, denied = 0;
	char path[4096];

	if (strchr(name, '/')) {
		denied = r = execute(name, c);
	} else {
		while (*name && *at) {
			struct text t = TEXT(path);
			char part[2] = {0};

			for (; *at && *at != ':'; at++) {
				part[0] = *at;
				text_join(&t, (const char *const[]){part, NULL});
			}
			at += *at == ':';
			text_join(&t, (const char *const[]){t.n ? "/" : "./", name, NULL});
			r = execute(path, c);
			if (r != -ENOENT && r != -20 /* ENOTDIR */)
				denied = r;
		}
	}
	if (!denied || denied == -ENOENT) {
		complain(name, "not found");
		return 127;
	}
	complain(name, denied == -EACCES ? "permission denied"
		       : denied == -7    ? "argument list too long"
					 : "cannot be run");
	return 126;
}

static void child(struct serve *s, struct command *c, int fds[STREAMS]) __attribute__((noreturn));
static void child(struct serve *s, struct command *c, int fds[STREAMS])
{
	sys_setsid();
	sys_block_signals(0);
	if (s->tty && pty_control(&s->pty, fds, s->tty & AGENT_TTY_STDERR)) {
		say(s->pty.path, ": cannot be opened");
		sys_exit(126);
	}
	for (int i = 0; i < STREAMS; i++)
		sys_dup2(fds[i], i);
	if (sys_chdir("/root"))
		sys_chdir("/");
	sys_exit(search(c));
}

/* ---- in process 1 ---- */

static void make_terminal(struct serve *s, const struct command *c)
{
	if (pty_new(&s->pty, c->tty, c->characters))
		command_fail(s->control, "cannot make a terminal");
	tty_resize(s->pty.slave, c->columns, c->rows);
	s->stream[IN].to = s->stream[OUT].from = s->pty.master;
	/* nothing comes that way; a program that knows the descriptor from before is told so by itself */
	if (c->tty & AGENT_TTY_STDERR)
		s->stream[ERR].ended = true;
}

static void make_pipe(struct serve *s, int i, int *theirs)
{
	int fds[2], ours;

	if (sys_pipe(fds, O_CLOEXEC))
		command_fail(s->control, "cannot make a pipe");
	*theirs = fds[i != IN];
	ours = fds[i == IN];
	sys_fcntl(ours, F_SETFL, O_NONBLOCK);
	if (i == IN)
		s->stream[i].to = ours;
	else
		s->stream[i].from = ours;
}

static void spawn(struct serve *s, struct command *c)
{
	int theirs[STREAMS] = {-1, -1, -1};

	s->tty = c->tty;
	if (s->tty)
		make_terminal(s, c);
	for (int i = 0; i < STREAMS; i++)
		if (!s->tty || (i == ERR && !(s->tty & AGENT_TTY_STDERR)))
			make_pipe(s, i, &theirs[i]);
	s->pid = (int)sys_fork();
	if (s->pid < 0)
		command_fail(s->control, "cannot make a process");
	if (s->pid == 0)
		child(s, c, theirs);
	for (int i = 0; i < STREAMS; i++)
		if (theirs[i] >= 0)
			sys_close(theirs[i]);
}

static uint32_t uptime_ms(void)
{
	uint32_t s, ns;

	sys_uptime(&s, &ns);
	return s * 1000 + ns / 1000000;
}

static void signal_command(struct serve *s, int sig)
{
	if (s->tty) {
		pty_signal(&s->pty, s->pid, sig);
		s->hang_up |= sig == SIGTERM;
		s->hang_up_at_ms = uptime_ms() + HANG_UP_MS;
	} else if (sys_kill(-s->pid, sig)) {
		/* its group, as a terminal does; if that is not there yet, it alone */
		sys_kill(s->pid, sig);
	}
}

/* Nobody reads it any more: the command gets SIGPIPE or EPIPE when it writes there; a terminal is gone. */
static void stream_close(struct serve *s, struct stream *t)
{
	if (s->tty && t == &s->stream[OUT]) {
		t->refused = true;
		signal_command(s, SIGHUP);
		return;
	}
	if (!t->ended)
		sys_close(t->from);
	t->ended = true;
	t->at = t->n = 0;
}

static void control_message(struct serve *s)
{
	const uint8_t *p = s->message + AGENT_HEADER_BYTES;

	if (s->message[0] == AGENT_SIGNAL && !s->exited) {
		signal_command(s, (int)get32(p));
	} else if (s->message[0] == AGENT_SIZE && s->tty) {
		tty_resize(s->pty.master, get16(p), get16(p + 2));
	} else if (s->message[0] == AGENT_CLOSE && (get32(p) == OUT || get32(p) == ERR)) {
		stream_close(s, &s->stream[get32(p)]);
	} else if (s->message[0] == AGENT_INPUT_END) {
		s->have_total = true;
		s->total = get32(p) | (uint64_t)get32(p + 4) << 32;
	}
}

static void control_read(struct serve *s)
{
	for (;;) {
		size_t want = AGENT_HEADER_BYTES;
		long r;

		if (s->got >= want)
			want += get32(s->message + 4);
		if (s->got == want && s->got > AGENT_HEADER_BYTES) {
			control_message(s);
			s->got = 0;
			continue;
		}
		if (want > sizeof(s->message))
			command_fail(s->control, "a control message that is too long");
		r = sys_read(s->control, s->message + s->got, want - s->got);
		if (r <= 0)
			return;
		s->got += (size_t)r;
	}
}

static void reap(struct serve *s)
{
	uint8_t info[128];
	int status;
	long pid;

	while (sys_read(s->signals, info, sizeof(info)) > 0)
		;
	while ((pid = sys_wait(-1, &status, WNOHANG)) > 0) {
		if (pid != s->pid || s->exited)
			continue;
		s->exited = true;
		s->status = status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
	}
}

/* A pipe that is empty when the command has ended is at its end, whoever still holds the other side. */
static void stream_fill(struct serve *s, struct stream *t, bool is_input)
{
	long r = sys_read(t->from, t->buf, sizeof(t->buf));

	if (r > 0) {
		t->at = 0;
		t->n = (size_t)r;
	} else if (!is_input && (r != -EAGAIN || s->exited) && r != -EINTR) {
		t->ended = true;
	}
}

static void stream_move(struct serve *s, int which)
{
	struct stream *t = &s->stream[which];

	for (;;) {
		long w;

		if (t->at == t->n && !t->ended)
			stream_fill(s, t, which == IN);
		if (t->at == t->n)
			break;
		w = t->refused ? (long)(t->n - t->at) : sys_write(t->to, t->buf + t->at, t->n - t->at);
		if (w == -EAGAIN || w == -EINTR)
			break;
		if (w < 0) {
			t->refused = true;
			continue;
		}
		t->at += (size_t)w;
		t->moved += (uint64_t)w;
		if (t->at == t->n)
			t->at = t->n = 0;
	}
	if (which == IN && !t->ended && s->have_total && t->moved >= s->total && t->at == t->n) {
		t->ended = true;
		if (s->tty)
			pty_end_input(&s->pty);
		else
			sys_close(t->to);
	}
}

/* What is due at a time: milliseconds until the next of it, -1: nothing. */
static int look_at_time(struct serve *s)
{
	int32_t left = (int32_t)(s->hang_up_at_ms - uptime_ms());

	if (!s->tty || s->exited)
		return -1;
	if (s->hang_up && left <= 0) {
		s->hang_up = false;
		pty_signal(&s->pty, s->pid, SIGHUP);
	}
	if (s->stream[IN].ended)
		pty_end_input(&s->pty);
	if (s->hang_up)
		return left;
	return s->stream[IN].ended ? END_MS : -1;
}

/* Wait until something can be moved. */
static void wait_for_any(struct serve *s)
{
	struct sys_pollfd p[2 + STREAMS] = {
	    {.fd = s->control, .events = POLLIN},
	    {.fd = s->signals, .events = POLLIN},
	};

	for (int i = 0; i < STREAMS; i++) {
		const struct stream *t = &s->stream[i];
		bool full = t->at != t->n;

		p[2 + i] = (struct sys_pollfd){.fd = full ? t->to : t->from, .events = full ? POLLOUT : POLLIN};
		if (t->ended && !full)
			p[2 + i].fd = -1;
	}
	if (sys_poll(p, ARRAY_LEN(p), look_at_time(s)) > 0 && p[0].revents & POLLHUP)
		sys_sleep_ms(1); /* the host has closed its end: it is about to switch the machine off */
}

void command_serve(int control)
{
	struct serve *s = sys_pages(sizeof(*s));
	struct command *c = sys_pages(sizeof(*c));
	uint8_t result[20];

	if (!s || !c)
		command_fail(control, "no memory for the command");
	s->control = control;
	for (int i = 0; i < STREAMS; i++) {
		int fd = (int)port_open(port_names[i]);

		if (fd < 0)
			command_fail(control, "a port of the host's is missing");
		if (i == IN)
			s->stream[i].from = fd;
		else
			s->stream[i].to = fd;
	}
	put32(result, AGENT_VERSION);
	send(control, AGENT_HELLO, result, 4);
	receive(control, c);
	place_script(control, c);
	sys_block_signals(1u << (SIGCHLD - 1) | 1u << (SIGPIPE - 1));
	s->signals = (int)sys_signalfd(1u << (SIGCHLD - 1));
	spawn(s, c);
	while (!s->exited || !s->stream[OUT].ended || !s->stream[ERR].ended || s->stream[OUT].at != s->stream[OUT].n ||
	       s->stream[ERR].at != s->stream[ERR].n) {
		wait_for_any(s);
		reap(s);
		control_read(s);
		for (int i = 0; i < STREAMS; i++)
			stream_move(s, i);
	}
	file_systems_close();
	put32(result, (uint32_t)s->status);
	for (int i = 0; i < 2; i++) {
		put32(result + 4 + 8 * i, (uint32_t)s->stream[OUT + i].moved);
		put32(result + 8 + 8 * i, (uint32_t)(s->stream[OUT + i].moved >> 32));
	}
	send(control, AGENT_EXIT, result, sizeof(result));
	wait_for_the_end();
	sys_exit(0);
}
