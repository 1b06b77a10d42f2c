/* SPDX-License-Identifier: MIT */
/*
 * The host's end of the guest agent against a guest that is this test: what is sent to run a command, when a run ends and with
 * which status, and that nothing a guest says does more than end it.
 */
#include "vmm/devices/agent.c" /* its callbacks are what a guest reaches, and have no other name */

#include <criterion/criterion.h>
#include <fcntl.h>
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

static struct agent *start(bool command)
{
	struct agent *a;
	int nothing[2];

	memset(&guest, 0, sizeof(guest));
	guest.room = SIZE_MAX;
	options =
	    (struct run_options){.command = command, .argc = 2, .argv = argv, .n_env = 2, .env = {"TERM=mine", "X=y"}};
	/* standard input at its end */
	cr_assert_eq(pipe(nothing), 0);
	cr_assert_eq(dup2(nothing[0], STDIN_FILENO), STDIN_FILENO);
	close(nothing[0]);
	close(nothing[1]);
	cr_assert_eq(wakeup_new(&wake), 0);
	cr_assert_eq(agent_open(&a, &options, wake, ready, NULL), 0);
	cr_assert_eq(agent_plug(a, (struct vm *)&guest), 0);
	return a;
}

static void stop(struct agent *a)
{
	agent_unplug(a);
	(void)agent_close(a, 0);
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
	p += HEADER_BYTES + 12;
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
	r = agent_close(a, status);
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
	    {'X', 20, true}, {'X', 19, false}, {'X', 0, false}, {'H', 4, false},   {'H', 5, true},    {'C', 12, false},
	    {0, 0, true},    {'R', 1, true},   {'F', 0, true},  {'F', 256, false}, {'F', 257, false}, {'K', 4, true},
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
				m[k] = x >> 28 ? (uint8_t)(x >> 24) & 0x0f : (uint8_t) "HRXFCKZP"[x >> 16 & 7];
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
	/* there is no command to talk about */
	hello(VERSION);
	is(a, AGENT_REFUSED, 0);
	stop(a);
}
