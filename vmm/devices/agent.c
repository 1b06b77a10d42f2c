/* SPDX-License-Identifier: MIT */
#include "vmm/devices/agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pv-drivers/virtio/devices.h"
#include "vmm/cli/options.h"
#include "vmm/devices/agent_command.h"
#include "vmm/devices/agent_tty.h"
#include "vmm/devices/virtio_bus.h"
#include "vmm/host/stream.h"
#include "vmm/monitor/vm.h"

enum { PORT_CONTROL, PORT_IN, PORT_OUT, PORT_ERR, NUM_PORTS };
enum { HEADER_BYTES = 8, MAX_MESSAGE = 256, VERSION = 2, MAX_QUEUED = 64 << 10 };

struct agent_port {
	struct agent *agent;
	unsigned n;
};

struct agent {
	const struct run_options *opt;
	const struct agent_outputs *outputs; /* or NULL */
	struct wakeup *wakeup;
	void (*on_ready)(void *opaque);
	void *opaque;
	char *script;
	size_t script_bytes;

	struct vm *vm; /* that runs now, or NULL */
	struct virtio_device *console;
	struct agent_port port[NUM_PORTS];

	/* Control messages: the one that comes in, and what waits to go out. */
	uint8_t in[HEADER_BYTES + MAX_MESSAGE];
	size_t in_bytes;
	uint8_t *out;
	size_t out_at, out_bytes, out_max;

	/* The command. */
	struct stream_in *stdin_;
	struct stream_out *stream[2]; /* standard output and error */
	uint64_t moved[2];            /* bytes of them that came from the guest */
	uint64_t stdin_bytes;
	struct agent_tty tty;
	bool started; /* atomic */
	bool stdin_told, close_told[2], error_said[2];
	int lost[2];    /* errno of the first output that was */
	bool ended;     /* the agent has said so; atomic */
	bool ready;     /* userland has begun; atomic */
	bool deaf;      /* what it says is no longer listened to; atomic */
	bool power_off; /* atomic: asked for */
	uint64_t total[2];
	int status;
	enum agent_result result;
	char failure[MAX_MESSAGE + 1];

	int signals[8]; /* that came, oldest first; atomic; 0: none */
};

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get64(const uint8_t *p) { return get32(p) | (uint64_t)get32(p + 4) << 32; }

static void put32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

/* ---- messages to the guest ---- */

static void flush_control(struct agent *a)
{
	while (a->out_at < a->out_bytes) {
		size_t n = virtio_console_send(a->console, PORT_CONTROL, a->out + a->out_at, a->out_bytes - a->out_at);

		if (!n)
			return;
		a->out_at += n;
	}
	a->out_at = a->out_bytes = 0;
}

/* Room for n more bytes to go out, or NULL: the host has no memory. */
static uint8_t *reserve(struct agent *a, size_t n)
{
	if (a->out_max - a->out_bytes < n) {
		uint8_t *more = realloc(a->out, a->out_bytes + n);

		if (!more)
			return NULL;
		a->out = more;
		a->out_max = a->out_bytes + n;
	}
	a->out_bytes += n;
	return a->out + a->out_bytes - n;
}

static void fail(struct agent *a, const char *why)
{
	__atomic_store_n(&a->deaf, !a->opt->command, __ATOMIC_RELEASE);
	if (a->result != AGENT_NOTHING || a->deaf)
		return;
	a->result = AGENT_REFUSED;
	snprintf(a->failure, sizeof(a->failure), "%s", why);
	if (a->vm)
		vm_end(a->vm, VM_QUIT);
}

static void send_message(struct agent *a, char type, const void *payload, size_t n)
{
	uint8_t *p = a->out_bytes < MAX_QUEUED ? reserve(a, HEADER_BYTES + n) : NULL;

	if (!p) {
		fail(a, "the guest does not take what is sent to its agent");
		return;
	}
	memset(p, 0, HEADER_BYTES);
	p[0] = (uint8_t)type;
	put32(p + 4, (uint32_t)n);
	memcpy(p + HEADER_BYTES, payload, n);
	flush_control(a);
}

static void send_command(struct agent *a)
{
	uint8_t tty[AGENT_TTY_BYTES];
	char *text;
	size_t n;

	agent_tty_describe(&a->tty, tty);
	text = agent_command_text(a->opt, a->script, a->script_bytes, tty, &n);
	if (text)
		send_message(a, 'C', text, n);
	else
		fail(a, "the host has no memory left");
	free(text);
}

/* Only the last size matters: one message waits at most, however often the user pulls at the window. */
static void send_size(struct agent *a)
{
	uint8_t size[4];

	if ((a->started || a->ready) && !a->ended && !a->deaf && !a->out_bytes && agent_tty_resized(&a->tty, size))
		send_message(a, 'W', size, sizeof(size));
}

bool agent_power_off(struct agent *a)
{
	if (a->opt->command || !__atomic_load_n(&a->ready, __ATOMIC_ACQUIRE) ||
	    __atomic_load_n(&a->deaf, __ATOMIC_ACQUIRE))
		return false;
	__atomic_store_n(&a->power_off, true, __ATOMIC_RELEASE);
	wakeup_kick(a->wakeup);
	return true;
}

static void send_power_off(struct agent *a)
{
	static const uint8_t none[4];

	if (a->ready && !a->deaf && !a->out_bytes && __atomic_exchange_n(&a->power_off, false, __ATOMIC_ACQ_REL))
		send_message(a, 'O', none, sizeof(none));
}

void agent_resized(struct agent *a)
{
	if (!a)
		return;
	__atomic_store_n(&a->tty.look, true, __ATOMIC_RELEASE);
	wakeup_kick(a->wakeup);
}

/* ---- messages from the guest ---- */

/* The agent is there.  Until now the terminal was as ever: Ctrl-C ended the run, and what was typed is still to be read. */
static void command_begins(struct agent *a)
{
	char why[MAX_MESSAGE + 1];
	int r;

	__atomic_store_n(&a->started, true, __ATOMIC_RELEASE);
	send_command(a);
	r = agent_tty_enter(&a->tty);
	snprintf(why, sizeof(why), "the terminal: %s", strerror(-r));
	if (r)
		fail(a, why);
	stream_in_release(a->stdin_);
}

static void printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

static void handle(struct agent *a, char type, const uint8_t *p, uint32_t n)
{
	char text[MAX_MESSAGE + 1] = "";

	if (type == 'H' && n == 4 && !a->started && a->opt->command) {
		if (get32(p) != VERSION) {
			fail(a, "the agent of this initramfs is of another version of Disco");
			return;
		}
		command_begins(a);
	} else if (type == 'R' && n == 0) {
		a->on_ready(a->opaque);
		__atomic_store_n(&a->ready, true, __ATOMIC_RELEASE);
		a->tty.told = (struct tty_size){0}; /* what it was at the machine's start may not be true any more */
		agent_resized(a);
	} else if (type == 'X' && n == 20 && a->started && !a->ended) {
		__atomic_store_n(&a->ended, true, __ATOMIC_RELEASE);
		a->status = (int)(get32(p) & 0xff);
		a->total[0] = get64(p + 4);
		a->total[1] = get64(p + 12);
	} else if (type == 'F') {
		memcpy(text, p, n);
		printable(text);
		fail(a, text);
	} else {
		fail(a, "the guest's agent says what no agent says");
	}
}

static size_t control_tx(struct agent *a, const uint8_t *data, size_t n)
{
	size_t done = 0;

	while (done < n && a->result == AGENT_NOTHING && !a->deaf) {
		size_t want = HEADER_BYTES, part;

		if (a->in_bytes >= HEADER_BYTES)
			want += get32(a->in + 4);
		if (want > sizeof(a->in)) {
			fail(a, "the guest's agent says more than any agent");
			break;
		}
		part = want - a->in_bytes < n - done ? want - a->in_bytes : n - done;
		memcpy(a->in + a->in_bytes, data + done, part);
		a->in_bytes += part;
		done += part;
		if (a->in_bytes == HEADER_BYTES && get32(a->in + 4))
			continue;
		if (a->in_bytes >= HEADER_BYTES && a->in_bytes == HEADER_BYTES + get32(a->in + 4)) {
			a->in_bytes = 0;
			handle(a, (char)a->in[0], a->in + HEADER_BYTES, get32(a->in + 4));
		}
	}
	return n;
}

/* ---- streams ---- */

static size_t on_tx(void *opaque, const uint8_t *data, size_t n)
{
	struct agent_port *port = opaque;
	struct agent *a = port->agent;
	unsigned which = port->n - PORT_OUT;

	if (port->n == PORT_CONTROL)
		return control_tx(a, data, n);
	if (port->n == PORT_IN || !a->stream[which])
		return n;
	n = stream_out_put(a->stream[which], data, n);
	a->moved[which] += n;
	return n;
}

static void quit(struct agent *a)
{
	if (a->result != AGENT_NOTHING)
		return;
	a->result = AGENT_QUIT;
	vm_end(a->vm, VM_QUIT);
}

/* From a terminal, without the monitor's keys. They are seen also when the guest takes nothing. False: not all was moved. */
static bool move_typed(struct agent *a)
{
	const uint8_t *data;
	size_t n;

	while ((n = stream_in_peek(a->stdin_, &data)) != 0) {
		size_t room = virtio_console_room(a->console, PORT_IN);
		struct tty_keys ahead = a->tty.keys;
		uint8_t buf[1024];
		bool help;
		long left;

		n = n < sizeof(buf) ? n : sizeof(buf);
		memcpy(buf, data, n);
		if (tty_keys_filter(&ahead, buf, n, &help) < 0) {
			quit(a);
			return false;
		}
		n = n < room ? n : room;
		if (!n)
			return false;
		memcpy(buf, data, n);
		left = tty_keys_filter(&a->tty.keys, buf, n, &help);
		stream_in_take(a->stdin_, n);
		a->stdin_bytes += virtio_console_send(a->console, PORT_IN, buf, (size_t)left);
		if (help)
			(void)stream_out_put(a->stream[0], (const uint8_t *)tty_keys_help, strlen(tty_keys_help));
	}
	return true;
}

static void move_input(struct agent *a)
{
	uint8_t bytes[8];
	const uint8_t *data;
	size_t n;

	if (!a->started || a->stdin_told)
		return;
	if (a->tty.raw_fd >= 0 && !move_typed(a))
		return;
	while ((n = stream_in_peek(a->stdin_, &data)) != 0) {
		n = virtio_console_send(a->console, PORT_IN, data, n);
		if (!n)
			return;
		stream_in_take(a->stdin_, n);
		a->stdin_bytes += n;
	}
	if (!stream_in_ended(a->stdin_))
		return;
	a->stdin_told = true;
	put32(bytes, (uint32_t)a->stdin_bytes);
	put32(bytes + 4, (uint32_t)(a->stdin_bytes >> 32));
	send_message(a, 'Z', bytes, sizeof(bytes));
}

static void on_room(void *opaque)
{
	struct agent_port *port = opaque;

	if (port->n == PORT_CONTROL)
		flush_control(port->agent);
	else if (port->n == PORT_IN)
		move_input(port->agent);
}

static void say_lost(struct agent *a, unsigned which, int err)
{
	/* A reader that went away is nothing to talk about. */
	if (err && err != EPIPE && !a->error_said[which])
		options_say(a->opt, "standard %s: %s", which ? "error" : "output", strerror(err));
	a->error_said[which] = true;
}

static void look_at_output(struct agent *a, unsigned which)
{
	int err = stream_out_error(a->stream[which]);
	uint8_t n[4];

	if (stream_out_has_room(a->stream[which]))
		virtio_console_ready(a->console, PORT_OUT + which);
	if (!err || a->close_told[which])
		return;
	say_lost(a, which, err);
	a->close_told[which] = true;
	put32(n, 1 + which);
	if (a->started && !a->ended)
		send_message(a, 'P', n, sizeof(n));
}

/* ---- signals ---- */

bool agent_started(const struct agent *a) { return __atomic_load_n(&a->started, __ATOMIC_ACQUIRE); }

bool agent_signal(struct agent *a, int sig)
{
	if (!agent_started(a) || __atomic_load_n(&a->ended, __ATOMIC_ACQUIRE))
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(a->signals); i++) {
		int none = 0;

		if (__atomic_compare_exchange_n(&a->signals[i], &none, sig, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			break;
	}
	wakeup_kick(a->wakeup);
	return true;
}

static void take_signals(struct agent *a)
{
	for (unsigned i = 0; i < ARRAY_LEN(a->signals); i++) {
		int sig = __atomic_exchange_n(&a->signals[i], 0, __ATOMIC_SEQ_CST);
		uint8_t n[4];

		if (!sig || a->ended)
			continue;
		put32(n, (uint32_t)sig);
		send_message(a, 'K', n, sizeof(n));
	}
}

void agent_poll(struct agent *a)
{
	if (!a)
		return;
	flush_control(a);
	send_size(a);
	send_power_off(a);
	if (!a->opt->command)
		return;
	take_signals(a);
	move_input(a);
	for (unsigned i = 0; i < ARRAY_LEN(a->stream); i++)
		look_at_output(a, i);
	if (a->ended && a->result == AGENT_NOTHING && a->moved[0] >= a->total[0] && a->moved[1] >= a->total[1]) {
		a->result = AGENT_STATUS;
		vm_end(a->vm, VM_QUIT);
	}
}

/* ---- making and unmaking ---- */

static int open_streams(struct agent *a)
{
	const struct agent_outputs *to = a->outputs;
	int r = stream_in_open(&a->stdin_, to ? -1 : STDIN_FILENO, true, a->wakeup);

	for (unsigned i = 0; !r && i < ARRAY_LEN(a->stream); i++)
		r = to ? stream_out_open_lines(&a->stream[i], to->lines[i], to->name, a->wakeup)
		       : stream_out_open(&a->stream[i], i ? STDERR_FILENO : STDOUT_FILENO, a->wakeup);
	if (r)
		options_say(a->opt, "standard input and output: %s", strerror(-r));
	return r;
}

bool agent_console_size(const struct run_options *opt, struct tty_size *size)
{
	return !opt->command && opt->initrd && !opt->icount && isatty(STDIN_FILENO) && tty_size(STDOUT_FILENO, size);
}

bool agent_wants_sizes(const struct run_options *opt)
{
	struct agent_tty tty = {.size_fd = -1};
	struct tty_size size;

	if (!opt->command)
		return agent_console_size(opt, &size);
	agent_tty_init(&tty, opt->tty);
	return tty.size_fd >= 0;
}

int agent_open(struct agent **out, const struct run_options *opt, const struct agent_outputs *outputs, struct wakeup *w,
	       void (*on_ready)(void *opaque), void *opaque)
{
	struct agent *a = calloc(1, sizeof(*a));
	struct tty_size size;
	int r = 0;

	if (!a) {
		options_say(opt, "the host has no memory left");
		return -ENOMEM;
	}
	a->opt = opt;
	a->outputs = outputs;
	a->wakeup = w;
	a->on_ready = on_ready;
	a->opaque = opaque;
	if (opt->script)
		r = agent_script_read(opt, &a->script, &a->script_bytes);
	a->tty.raw_fd = a->tty.size_fd = -1;
	if (opt->command)
		agent_tty_init(&a->tty, opt->tty);
	else if (agent_console_size(opt, &size))
		a->tty.size_fd = STDOUT_FILENO;
	if (!r && opt->command)
		r = open_streams(a);
	if (r) {
		(void)agent_close(a, false, 0);
		return r;
	}
	*out = a;
	return 0;
}

/* What a run's status becomes when the error err has lost output. */
static int lost_status(int status, int err)
{
	if (!err)
		return status;
	if (err == EPIPE)
		return status ? status : 128 + SIGPIPE;
	return status && status != 128 + SIGPIPE ? status : 1;
}

bool agent_drained(const struct agent *a)
{
	bool all = true;

	for (unsigned i = 0; i < ARRAY_LEN(a->stream); i++)
		all &= !a->stream[i] || stream_out_empty(a->stream[i]);
	return all;
}

static void close_streams(struct agent *a, bool drain)
{
	stream_in_close(a->stdin_);
	a->stdin_ = NULL;
	for (unsigned i = 0; i < ARRAY_LEN(a->stream); i++) {
		int err = stream_out_close(a->stream[i], drain && a->result != AGENT_QUIT);

		a->stream[i] = NULL;
		if (!err)
			continue;
		a->lost[i] = err;
		say_lost(a, i, err);
	}
}

void agent_leave_terminal(struct agent *a, bool drain)
{
	if (!a || !a->tty.entered)
		return;
	/* What is typed from here on is not the guest's; what it wrote last is for the terminal as it was then. */
	close_streams(a, drain);
	agent_tty_leave(&a->tty);
}

int agent_close(struct agent *a, bool drain, int status)
{
	if (!a)
		return status;
	close_streams(a, drain);
	agent_tty_leave(&a->tty);
	for (unsigned i = 0; i < ARRAY_LEN(a->stream); i++)
		status = lost_status(status, a->lost[i]);
	free(a->script);
	free(a->out);
	free(a);
	return status;
}

int agent_plug(struct agent *a, struct vm *vm)
{
	static const char *const names[] = {"disco.control", "disco.stdin", "disco.stdout", "disco.stderr"};
	struct console_port ports[NUM_PORTS] = {{0}};
	unsigned n = a->opt->command ? NUM_PORTS : 1;
	int r;

	for (unsigned i = 0; i < n; i++) {
		a->port[i] = (struct agent_port){a, i};
		ports[i] = (struct console_port){.name = names[i], .tx = on_tx, .room = on_room, .opaque = &a->port[i]};
	}
	r = virtio_console_new(&a->console, ports, n);
	if (r)
		return r;
	a->vm = vm;
	a->in_bytes = a->out_at = a->out_bytes = 0;
	__atomic_store_n(&a->ready, false, __ATOMIC_RELEASE);
	__atomic_store_n(&a->deaf, false, __ATOMIC_RELEASE);
	__atomic_store_n(&a->power_off, false, __ATOMIC_RELEASE);
	return vm_add_virtio(vm, a->console);
}

void agent_unplug(struct agent *a)
{
	if (a)
		a->vm = NULL;
}

enum agent_result agent_result(const struct agent *a, int *status)
{
	*status = a->status;
	return a->result;
}

const char *agent_failure(const struct agent *a) { return a->failure; }
