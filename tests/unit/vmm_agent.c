/* SPDX-License-Identifier: MIT */
/*
 * The host's end of the guest agent against a guest that is this test: what is sent to run a command, when a run ends and with
 * which status, and that nothing a guest says does more than end it.
 */
#define _GNU_SOURCE            /* posix_openpt */
#include "vmm/devices/agent.c" /* its callbacks are what a guest reaches, and have no other name */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* ---- the machine around it, in place of the real ones ---- */

static struct guest {
	const struct console_port *port;
	struct console_port ports[NUM_PORTS];
	uint8_t sent[NUM_PORTS][1 << 16];
	size_t n_sent[NUM_PORTS];
	size_t room; /* that each port takes at once */
	int ended;   /* vm_end() was called so often */
	int ready;
} guest;

int virtio_console_new(struct virtio_device **out, const struct console_port *ports, unsigned n)
{
	memcpy(guest.ports, ports, n * sizeof(*ports));
	*out = NULL;
	return 0;
}

size_t virtio_console_send(struct virtio_device *console, unsigned port, const uint8_t *data, size_t n)
{
	if (n > guest.room)
		n = guest.room;
	if (n > sizeof(guest.sent[port]) - guest.n_sent[port])
		n = sizeof(guest.sent[port]) - guest.n_sent[port];
	memcpy(guest.sent[port] + guest.n_sent[port], data, n);
	guest.n_sent[port] += n;
	return n;
}

size_t virtio_console_room(struct virtio_device *console, unsigned port)
{
	size_t left = sizeof(guest.sent[port]) - guest.n_sent[port];

	return left < guest.room ? left : guest.room;
}

void virtio_console_ready(struct virtio_device *console, unsigned port) {}
int vm_add_virtio(struct vm *vm, struct virtio_device *d) { return 0; }
void vm_end(struct vm *vm, enum vm_end why) { guest.ended++; }
static void ready(void *opaque) { guest.ready++; }

/* ---- what the guest does ---- */

static void say(char type, const void *payload, uint32_t n)
{
	uint8_t m[HEADER_BYTES + 512] = {(uint8_t)type};

	put32(m + 4, n);
	memcpy(m + HEADER_BYTES, payload, n);
	/* in pieces, as a ring may bring it */
	for (size_t i = 0; i < HEADER_BYTES + n; i++)
		cr_assert_eq(guest.ports[PORT_CONTROL].tx(guest.ports[PORT_CONTROL].opaque, m + i, 1), 1);
}

static void hello(uint32_t version)
{
	uint8_t v[4];

	put32(v, version);
	say('H', v, 4);
}

static void say_exit(uint32_t status, uint64_t out, uint64_t err)
{
	uint8_t p[20] = {0};

	put32(p, status);
	put32(p + 4, (uint32_t)out);
	put32(p + 12, (uint32_t)err);
	say('X', p, sizeof(p));
}

static struct run_options options;
static struct wakeup *wake;
static char *const argv[] = {(char *)"a b", (char *)"", NULL};

static struct agent *start_on(bool command, enum run_tty tty)
{
	struct agent *a;

	memset(&guest, 0, sizeof(guest));
	guest.room = SIZE_MAX;
	options =
	    (struct run_options){.command = command, .argc = 2, .argv = argv, .n_env = 2, .env = {"TERM=mine", "X=y"}};
	options.tty = tty;
	options.speaker = "disco run";
	signal(SIGPIPE, SIG_IGN); /* the session blocks it */
	cr_assert_eq(wakeup_new(&wake), 0);
	cr_assert_eq(agent_open(&a, &options, NULL, wake, ready, NULL), 0);
	cr_assert_eq(agent_plug(a, (struct vm *)&guest), 0);
	return a;
}

static struct agent *start(bool command)
{
	int nothing[2];

	/* standard input at its end */
	cr_assert_eq(pipe(nothing), 0);
	cr_assert_eq(dup2(nothing[0], STDIN_FILENO), STDIN_FILENO);
	close(nothing[0]);
	close(nothing[1]);
	return start_on(command, RUN_TTY_OFF);
}

static void stop(struct agent *a)
{
	agent_unplug(a);
	(void)agent_close(a, true, 0);
	wakeup_free(wake);
}

static void is(struct agent *a, enum agent_result want, int want_status)
{
	int status;

	cr_expect_eq(agent_result(a, &status), want);
	if (want == AGENT_STATUS)
		cr_expect_eq(status, want_status);
	cr_expect_eq(guest.ended, want != AGENT_NOTHING);
}

/* The bytes of 'C', and of 'Z' after it, though the port takes only three at a time. */
Test(agent, command, .timeout = 60)
{
	struct agent *a = start(true);
	const char *p = (const char *)guest.sent[PORT_CONTROL];
	unsigned argc, envc, seen = 0;
	uint32_t n;

	guest.room = 3;
	agent_poll(a);
	cr_assert_eq(guest.n_sent[PORT_CONTROL], 0, "nothing before the agent is there");
	hello(VERSION);
	n = get32((const uint8_t *)p + 4);
	cr_assert_eq(p[0], 'C');
	argc = get32((const uint8_t *)p + 8);
	envc = get32((const uint8_t *)p + 12);
	cr_assert(argc == 2 && get32((const uint8_t *)p + 16) == 0);
	for (unsigned i = 0; i < AGENT_TTY_BYTES; i++)
		cr_assert_eq(p[HEADER_BYTES + 12 + i], 0, "a terminal");
	p += HEADER_BYTES + 12 + AGENT_TTY_BYTES;
	cr_assert_str_eq(p, "a b");
	cr_assert_str_eq(p + 4, "");
	p += 5;
	for (unsigned i = 0; i < envc; i++, p += strlen(p) + 1) {
		seen |=
		    (strcmp(p, "TERM=mine") == 0) | (strcmp(p, "X=y") == 0) << 1 | (strcmp(p, "HOME=/root") == 0) << 2;
		cr_expect(strncmp(p, "TERM=", 5) != 0 || strcmp(p, "TERM=mine") == 0, "TERM is there twice");
	}
	cr_assert_eq(seen, 7);
	cr_assert_eq((size_t)(p - (const char *)guest.sent[PORT_CONTROL]), HEADER_BYTES + n);
	while (guest.n_sent[PORT_CONTROL] < HEADER_BYTES + n + HEADER_BYTES + 8)
		agent_poll(a);
	cr_assert(p[0] == 'Z' && get64((const uint8_t *)p + HEADER_BYTES) == 0);
	is(a, AGENT_NOTHING, 0);
	stop(a);
}

/* Signals go to a command that runs, and to nothing else. */
Test(agent, signals_are_the_commands, .timeout = 60)
{
	struct agent *a = start(true);
	const uint8_t *p = guest.sent[PORT_CONTROL];
	uint32_t at;

	cr_assert_not(agent_started(a));
	cr_assert_not(agent_signal(a, SIGTERM), "nobody is there yet");
	hello(VERSION);
	cr_assert(agent_started(a));
	at = (uint32_t)guest.n_sent[PORT_CONTROL];
	cr_assert(agent_signal(a, SIGTERM));
	cr_assert_eq(guest.n_sent[PORT_CONTROL], at, "by the vCPU's thread only");
	agent_poll(a);
	cr_assert(p[at] == 'K' && get32(p + at + 4) == 4 && get32(p + at + HEADER_BYTES) == SIGTERM);
	is(a, AGENT_NOTHING, 0);
	cr_assert(agent_signal(a, SIGINT));
	say_exit(3, 0, 0);
	cr_assert_not(agent_signal(a, SIGTERM), "it has ended");
	at = (uint32_t)guest.n_sent[PORT_CONTROL];
	agent_poll(a);
	for (; at < guest.n_sent[PORT_CONTROL]; at += HEADER_BYTES + get32(p + at + 4))
		cr_assert_neq(p[at], 'K', "one that came too late");
	is(a, AGENT_STATUS, 3);
	stop(a);
}

/* The status counts when all of the output is here, in whichever order they come. */
Test(agent, status_after_output, .timeout = 60)
{
	struct agent *a = start(true);

	hello(VERSION);
	say_exit(42, 3, 0);
	agent_poll(a);
	is(a, AGENT_NOTHING, 0);
	cr_assert_eq(guest.ports[PORT_OUT].tx(guest.ports[PORT_OUT].opaque, (const uint8_t *)"\n\n\n", 3), 3);
	agent_poll(a);
	is(a, AGENT_STATUS, 42);
	stop(a);
}

/* Standard output (0) or error (1) is a file of that name: what a run of `status` ends with after a byte to it. */
static int ends_with(unsigned which, const char *file, int status)
{
	struct agent *a;
	int saved, fd, r;

	saved = dup(1 + (int)which);
	fd = file ? open(file, O_WRONLY) : -1;
	if (!file) {
		int nobody[2];

		cr_assert_eq(pipe(nobody), 0);
		close(nobody[0]);
		fd = nobody[1];
	}
	cr_assert_eq(dup2(fd, 1 + (int)which), 1 + (int)which);
	close(fd);
	a = start(true);
	hello(VERSION);
	cr_assert_eq(guest.ports[PORT_OUT + which].tx(guest.ports[PORT_OUT + which].opaque, (const uint8_t *)"x", 1),
		     1);
	agent_unplug(a);
	r = agent_close(a, true, status);
	wakeup_free(wake);
	cr_assert_eq(dup2(saved, 1 + (int)which), 1 + (int)which);
	close(saved);
	return r;
}

/* Lost output is never status 0. */
Test(agent, lost_output, .timeout = 60)
{
	for (unsigned which = 0; which < 2; which++) {
		cr_expect_eq(ends_with(which, "/dev/null", 0), 0);
		cr_expect_eq(ends_with(which, "/dev/null", 9), 9);
		cr_expect_eq(ends_with(which, "/dev/full", 0), 1);
		cr_expect_eq(ends_with(which, "/dev/full", 9), 9);
		cr_expect_eq(ends_with(which, "/dev/full", 128 + SIGPIPE), 1, "it is why the guest had SIGPIPE");
		cr_expect_eq(ends_with(which, NULL, 0), 128 + SIGPIPE);
		cr_expect_eq(ends_with(which, NULL, 128 + SIGPIPE), 128 + SIGPIPE);
	}
}

Test(agent, refused, .timeout = 60)
{
	static const uint8_t zeroes[300];
	static const struct {
		char type;
		uint32_t n;
		bool before; /* said before the hello */
	} t[] = {
	    {'X', 20, true},   {'X', 19, false},  {'X', 0, false}, {'H', 4, false}, {'H', 5, true},
	    {'C', 12, false},  {'W', 4, false},   {0, 0, true},    {'R', 1, true},  {'F', 0, true},
	    {'F', 256, false}, {'F', 257, false}, {'K', 4, true},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct agent *a = start(true);

		if (!t[i].before)
			hello(VERSION);
		say(t[i].type, zeroes, t[i].n);
		is(a, AGENT_REFUSED, 0);
		cr_expect_eq(guest.ended, 1, "%c: ended %d times", t[i].type, guest.ended);
		/* what comes after that means nothing */
		hello(VERSION);
		say_exit(0, 0, 0);
		agent_poll(a);
		is(a, AGENT_REFUSED, 0);
		stop(a);
	}
}

/* Why, on one line and without what a terminal would obey. */
Test(agent, failure_is_printable, .timeout = 60)
{
	struct agent *a = start(true);

	say('F', "no\x1b[31m\nroot", 13);
	is(a, AGENT_REFUSED, 0);
	cr_assert_str_eq(agent_failure(a), "no?[31m?root");
	stop(a);
	a = start(true);
	hello(VERSION + 1);
	is(a, AGENT_REFUSED, 0);
	cr_assert(strstr(agent_failure(a), "version"));
	stop(a);
}

/* Any bytes at all. */
Test(agent, noise, .timeout = 120)
{
	uint32_t x = 1;

	for (int round = 0; round < 60; round++) {
		struct agent *a = start(true);

		for (int i = 0; i < 200; i++) {
			uint8_t m[64];
			size_t n = (x >> 8) % sizeof(m);
			unsigned port = (x >> 20) % NUM_PORTS;

			for (size_t k = 0; k < n; k++) {
				x = x * 1664525u + 1013904223u;
				m[k] = x >> 28 ? (uint8_t)(x >> 24) & 0x0f : (uint8_t) "HRXFCKZPW"[(x >> 16) % 9];
			}
			if (port == PORT_OUT || port == PORT_ERR)
				continue; /* that would only be printed */
			cr_assert_eq(guest.ports[port].tx(guest.ports[port].opaque, m, n), n);
			agent_poll(a);
			cr_assert_leq(guest.n_sent[PORT_CONTROL], sizeof(guest.sent[0]));
			x = x * 1664525u + 1013904223u;
		}
		cr_assert_leq(guest.ended, 1);
		stop(a);
	}
}

Test(agent, ready, .timeout = 60)
{
	struct agent *a = start(false);

	say('R', "", 0);
	cr_assert_eq(guest.ready, 1);
	agent_poll(a);
	is(a, AGENT_NOTHING, 0);
	/* there is no command to talk about: nothing of it is heard, and the machine is the user's */
	hello(VERSION);
	say('R', "", 0);
	say_exit(1, 0, 0);
	agent_poll(a);
	cr_assert_eq(guest.ready, 1);
	cr_assert_eq(guest.n_sent[PORT_CONTROL], 0);
	is(a, AGENT_NOTHING, 0);
	stop(a);
}

/* ---- a terminal ---- */

/* Standard input and output are a new pseudo-terminal, whose other side is returned. */
static int on_terminal(uint16_t columns, uint16_t rows)
{
	struct winsize w = {.ws_col = columns, .ws_row = rows};
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;

	cr_assert_eq(grantpt(master) | unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	cr_assert_geq(slave, 0);
	cr_assert_eq(ioctl(master, TIOCSWINSZ, &w), 0);
	dup2(slave, STDIN_FILENO);
	dup2(slave, STDOUT_FILENO);
	close(slave);
	return master;
}

static bool is_raw(void)
{
	struct termios t;

	cr_assert_eq(tcgetattr(STDIN_FILENO, &t), 0);
	return !(t.c_lflag & (ICANON | ECHO | ISIG)) && !(t.c_oflag & OPOST);
}

/* What was sent to a port since the last time, once it is n bytes; or what there is after two seconds. */
static const uint8_t *sent(struct agent *a, unsigned port, size_t n)
{
	for (int i = 0; i < 2000 && guest.n_sent[port] < n; i++) {
		agent_poll(a);
		usleep(1000);
	}
	cr_assert_eq(guest.n_sent[port], n, "port %u: %zu bytes", port, guest.n_sent[port]);
	guest.n_sent[port] = 0;
	return guest.sent[port];
}

/* Raw from the command's beginning to the machine's end; its keys and its size go to the guest. */
Test(agent, terminal, .timeout = 60)
{
	int master = on_terminal(101, 33);
	struct termios before, after;
	const uint8_t *tty = guest.sent[PORT_CONTROL] + HEADER_BYTES + 12;
	struct agent *a;

	cr_assert_eq(tcgetattr(STDIN_FILENO, &before), 0);
	before.c_cc[VINTR] = 7;
	before.c_iflag &= ~(tcflag_t)IUTF8;
	cr_assert_eq(tcsetattr(STDIN_FILENO, TCSANOW, &before), 0);
	a = start_on(true, RUN_TTY_AUTO);
	cr_assert(!is_raw(), "Ctrl-C must end a boot");
	hello(VERSION);
	cr_assert(is_raw());
	cr_assert_eq(get32(tty), AGENT_TTY_ON | (isatty(STDERR_FILENO) ? AGENT_TTY_STDERR : 0));
	cr_assert(tty[4] == 101 && tty[5] == 0 && tty[6] == 33 && tty[7] == 0);
	cr_assert_arr_eq(tty + 8, "\x07\x1c\x7f\x15\x04\x11\x13\x1a", 8);

	cr_assert_eq(write(master, "\x03q\x01\x01\x01ze\xff", 8), 8);
	cr_assert_arr_eq(sent(a, PORT_IN, 5),
			 "\x03q\x01"
			 "e\xff",
			 5);
	agent_leave_terminal(a, true);
	cr_assert_eq(tcgetattr(STDIN_FILENO, &after), 0);
	cr_assert_eq(after.c_lflag, before.c_lflag);
	cr_assert_eq(after.c_oflag, before.c_oflag);
	cr_assert_eq(after.c_iflag, before.c_iflag);
	/* what is typed now is the shell's */
	cr_assert_eq(write(master, "x\n", 2), 2);
	usleep(50000);
	cr_assert_eq(poll(&(struct pollfd){.fd = STDIN_FILENO, .events = POLLIN}, 1, 2000), 1);
	stop(a);
}

/* Only the last size waits, and only if it is another. */
Test(agent, terminal_size, .timeout = 60)
{
	int master = on_terminal(80, 24);
	struct winsize w = {.ws_row = 50};
	struct agent *a = start_on(true, RUN_TTY_AUTO);

	hello(VERSION);
	guest.n_sent[PORT_CONTROL] = 0;
	agent_poll(a);
	agent_resized(a);
	agent_poll(a);
	cr_assert_eq(guest.n_sent[PORT_CONTROL], 0, "the same size");
	guest.room = 0;
	for (int i = 0; i < 100000; i++) {
		w.ws_col = (uint16_t)(100 + i % 7);
		cr_assert_eq(ioctl(master, TIOCSWINSZ, &w), 0);
		agent_resized(a);
		agent_poll(a);
	}
	is(a, AGENT_NOTHING, 0);
	guest.room = SIZE_MAX;
	cr_assert_arr_eq(sent(a, PORT_CONTROL, 24) + 12, "W\0\0\0\4\0\0\0\x68\0\x32\0", 12, "the last of them");
	/* no size at all is none */
	w.ws_col = 0;
	cr_assert_eq(ioctl(master, TIOCSWINSZ, &w), 0);
	agent_resized(a);
	agent_poll(a);
	cr_assert_eq(guest.n_sent[PORT_CONTROL], 0);
	stop(a);
}

/* The user can leave also when the guest takes nothing, and whatever he typed before. */
Test(agent, terminal_quit, .timeout = 60)
{
	for (unsigned room = 0; room < 3; room++) {
		int master = on_terminal(80, 24);
		struct agent *a = start_on(true, RUN_TTY_AUTO);
		int status;

		hello(VERSION);
		guest.room = room;
		cr_assert_eq(write(master, "abc\x01\x01\x01x", 7), 7);
		for (int i = 0; i < 2000 && !guest.ended; i++) {
			agent_poll(a);
			usleep(1000);
		}
		cr_assert_eq(agent_result(a, &status), AGENT_QUIT, "room for %u", room);
		cr_assert_leq(guest.n_sent[PORT_IN], 4);
		cr_assert_eq(guest.ended, 1);
		agent_leave_terminal(a, true);
		cr_assert(!is_raw());
		stop(a);
		close(master);
	}
}

/* Forced, on pipes: the keys of the monitor are bytes like others. */
Test(agent, terminal_forced, .timeout = 60)
{
	const uint8_t *tty = guest.sent[PORT_CONTROL] + HEADER_BYTES + 12;
	struct agent *a;
	int in[2], out[2];

	cr_assert_eq(pipe(in) | pipe(out), 0);
	cr_assert_eq(write(in[1], "\x01x", 2), 2);
	dup2(in[0], STDIN_FILENO);
	dup2(out[1], STDOUT_FILENO);
	a = start_on(true, RUN_TTY_ON);
	hello(VERSION);
	cr_assert_eq(get32(tty), AGENT_TTY_ON | AGENT_TTY_STDERR | AGENT_TTY_UTF8);
	if (!isatty(STDERR_FILENO))
		cr_assert(tty[4] == 80 && tty[6] == 24);
	cr_assert_arr_eq(tty + 8, "\x03\x1c\x7f\x15\x04\x11\x13\x1a", 8);
	cr_assert_arr_eq(sent(a, PORT_IN, 2), "\x01x", 2);
	is(a, AGENT_NOTHING, 0);
	stop(a);
}

/* Whatever the guest says or writes, the terminal is given back. */
Test(agent, terminal_hostile, .timeout = 60)
{
	static const char types[] = "HRXFCKZPW\0";

	for (size_t i = 0; i < sizeof(types); i++) {
		int master = on_terminal(80, 24);
		struct agent *a = start_on(true, RUN_TTY_AUTO);
		uint8_t zeroes[300] = {0};
		int status;

		hello(VERSION);
		say(types[i], zeroes, i % 2 ? 4 : 300);
		agent_poll(a);
		if (types[i] != 'R')
			cr_expect_eq(agent_result(a, &status), AGENT_REFUSED, "%c", types[i]);
		agent_leave_terminal(a, true);
		cr_assert(!is_raw(), "%c", types[i]);
		stop(a);
		close(master);
	}
}

/* The console's size: told when userland begins, then at each change; in each boot anew. */
Test(agent, console_size, .timeout = 60)
{
	int master = on_terminal(101, 33);
	struct winsize w = {.ws_col = 90, .ws_row = 20};
	struct tty_size size;
	struct agent *a;

	options = (struct run_options){.initrd = "initrd"};
	cr_assert(agent_console_size(&options, &size) && size.columns == 101 && size.rows == 33);
	options.icount = true;
	cr_assert(!agent_console_size(&options, &size));
	options = (struct run_options){.initrd = "initrd", .command = true};
	cr_assert(!agent_console_size(&options, &size));
	options = (struct run_options){0};
	cr_assert(!agent_console_size(&options, &size), "nobody to tell it");

	memset(&guest, 0, sizeof(guest));
	guest.room = SIZE_MAX;
	options.initrd = "initrd";
	cr_assert_eq(wakeup_new(&wake), 0);
	cr_assert_eq(agent_open(&a, &options, NULL, wake, ready, NULL), 0);
	for (int boot = 0; boot < 2; boot++) {
		cr_assert_eq(agent_plug(a, (struct vm *)&guest), 0);
		agent_resized(a);
		agent_poll(a);
		cr_assert_eq(guest.n_sent[PORT_CONTROL], 0, "nobody listens yet");
		say('R', "", 0);
		cr_assert_arr_eq(sent(a, PORT_CONTROL, 12),
				 boot ? "W\0\0\0\4\0\0\0\x5a\0\x14\0" : "W\0\0\0\4\0\0\0\x65\0\x21\0", 12);
		cr_assert_eq(ioctl(master, TIOCSWINSZ, &w), 0);
		agent_resized(a);
		if (!boot)
			cr_assert_arr_eq(sent(a, PORT_CONTROL, 12), "W\0\0\0\4\0\0\0\x5a\0\x14\0", 12);
		agent_unplug(a);
	}
	cr_assert(!is_raw(), "that is the console's matter");
	is(a, AGENT_NOTHING, 0);
	cr_assert_eq(agent_close(a, true, 0), 0);
	wakeup_free(wake);
}
