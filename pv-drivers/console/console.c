/* SPDX-License-Identifier: MIT */
/*
 * Terminals and named byte channels: virtio 1.2, 5.3 "Console Device", with F_MULTIPORT.
 *
 *     host      virtio_console_send() -> ring of the port -> receive buffers of the guest
 *     guest     transmit chain -> tx(), as much as it takes; the rest stays in the chain: that is the back-pressure
 *     control   one bit for each message that the guest has still to be told (enum tell): the guest cannot make a queue
 *               of them grow, however often it asks
 *
 * Everything is done at once on the vCPU thread.
 */
#include "pv-drivers/virtio/devices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* 5.3.3 "Feature bits" */
#define F_SIZE        (1ull << 0)
#define F_MULTIPORT   (1ull << 1)
#define F_EMERG_WRITE (1ull << 2)

enum {
	/* 5.3.2 "Virtqueues" */
	CONTROL_RX = 2,
	CONTROL_TX = 3,
	CONTROL_SIZE = 32,
	DATA_SIZE = 64,
	NAME_BYTES = 64,
	HEADER_BYTES = 8,
	/* 5.3.4 "Device configuration layout" */
	CONFIG_COLS = 0,
	CONFIG_ROWS = 2,
	CONFIG_PORTS = 4,
	CONFIG_EMERG = 8,
	CONFIG_BYTES = 12,
	/* Chains handled before the vCPU has its turn again. */
	BATCH = 256,
};

/* 5.3.6.2 "Multiport Device Operation" */
enum event {
	DEVICE_READY = 0,
	PORT_ADD = 1,
	PORT_READY = 3,
	CONSOLE_PORT = 4,
	RESIZE = 5,
	PORT_OPEN = 6,
	PORT_NAME = 7,
};

/* What the guest is to be told of a port, in this order. */
enum tell {
	TELL_ADD = 1 << 0,
	TELL_CONSOLE = 1 << 1,
	TELL_NAME = 1 << 2,
	TELL_CLOSED = 1 << 3, /* before TELL_OPEN: an end of file that is not to be missed */
	TELL_OPEN = 1 << 4,
	TELL_SIZE = 1 << 5,
};

struct port {
	struct console_port p;
	char name[NAME_BYTES];
	unsigned index;

	bool host_open; /* what the host wants the guest to see */
	bool guest_open;
	bool ready;         /* the driver has sent PORT_READY */
	bool hang_up_after; /* TELL_CLOSED once the ring is empty */
	bool wants_room;    /* virtio_console_send() took less than it was given */
	unsigned tell;
	uint16_t columns, rows;

	/* For the guest: ring_bytes bytes from ring_at on. */
	uint8_t *ring;
	size_t ring_at, ring_bytes;

	/* From the guest: the chain that tx() has taken `taken` bytes of. */
	struct virtq_chain *held;
	uint64_t taken;
	bool in_tx; /* tx() is running: do not call it again */
};

struct console {
	struct virtio_device dev;
	unsigned n;
	struct port port[VIRTIO_CONSOLE_MAX_PORTS];
	bool resetting; /* callbacks run: no queue may be touched */
	uint8_t config[CONFIG_BYTES];
};

static const uint8_t emergency_mask[CONFIG_BYTES] = {[CONFIG_EMERG] = 255, 255, 255, 255};

static struct console *of(struct virtio_device *d) { return (struct console *)d; }

static void put16(uint8_t *to, uint32_t v)
{
	to[0] = (uint8_t)v;
	to[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *to, uint32_t v)
{
	put16(to, v);
	put16(to + 2, v >> 16);
}

static uint32_t get16(const uint8_t *from) { return from[0] | (uint32_t)from[1] << 8; }
static uint32_t get32(const uint8_t *from) { return get16(from) | get16(from + 2) << 16; }

static unsigned rx_queue(const struct port *p) { return p->index ? 2 * p->index + 2 : 0; }
static unsigned tx_queue(const struct port *p) { return rx_queue(p) + 1; }

/* A queue that may be worked on; without F_MULTIPORT, port 0's only. */
static struct virtq *live(struct console *c, unsigned queue)
{
	struct virtq *q = &c->dev.queue[queue];

	if (c->resetting || !virtio_running(&c->dev) || !q->enabled || q->broken)
		return NULL;
	return queue < CONTROL_RX || virtio_has(&c->dev, F_MULTIPORT) ? q : NULL;
}

static struct port *port_at(struct virtio_device *d, unsigned port)
{
	return port < of(d)->n ? &of(d)->port[port] : NULL;
}

/* Control messages to the guest */

/* The next message for the guest of port p; returns its bytes, 0 if there is none. */
static unsigned next_message(struct port *p, uint8_t *out)
{
	unsigned bit = p->tell & -p->tell, event, value = 1, bytes = HEADER_BYTES;

	switch ((enum tell)bit) {
	case TELL_ADD:
		event = PORT_ADD;
		break;
	case TELL_CONSOLE:
		event = CONSOLE_PORT;
		break;
	case TELL_NAME:
		event = PORT_NAME;
		memcpy(out + bytes, p->name, strlen(p->name));
		bytes += (unsigned)strlen(p->name);
		break;
	case TELL_CLOSED:
	case TELL_OPEN:
		event = PORT_OPEN;
		value = bit == TELL_OPEN;
		break;
	case TELL_SIZE:
		/* In the order of the standard; Linux before 6.16 and its stable series of 2025 takes them the other way round. */
		event = RESIZE;
		put16(out + bytes, p->columns);
		put16(out + bytes + 2, p->rows);
		bytes += 4;
		break;
	default:
		return 0;
	}
	p->tell &= ~bit;
	put32(out, p->index);
	put16(out + 4, event);
	put16(out + 6, value);
	return bytes;
}

/* Tell the guest, as far as it has given buffers. */
static void tell(struct console *c)
{
	struct virtq *q = live(c, CONTROL_RX);
	bool pushed = false;

	if (!q)
		return;
	for (unsigned i = 0; i < c->n; i++) {
		while (c->port[i].tell) {
			uint8_t message[HEADER_BYTES + NAME_BYTES];
			struct virtq_chain *chain;

			if (virtq_pop(q, &chain) <= 0)
				goto out;
			virtq_push(chain, virtq_write(chain, 0, message, next_message(&c->port[i], message)));
			pushed = true;
		}
	}
out:
	if (pushed)
		virtq_signal(q);
}

/* What the guest must know when it has a port (again). */
static unsigned introduction(const struct port *p)
{
	return (p->p.is_console ? TELL_CONSOLE : 0) | TELL_NAME | (p->host_open ? TELL_OPEN : 0) |
	       (p->p.is_console && p->rows ? TELL_SIZE : 0);
}

/* Data to the guest */

/* Copy from the ring into chain; returns the bytes. */
static uint64_t from_ring(struct port *p, struct virtq_chain *chain)
{
	uint64_t done = 0;

	while (p->ring_bytes && done < chain->in_bytes) {
		size_t run = VIRTIO_CONSOLE_BUFFER_BYTES - p->ring_at;
		uint64_t n = virtq_write(chain, done, p->ring + p->ring_at, run < p->ring_bytes ? run : p->ring_bytes);

		if (!n)
			break;
		p->ring_at = (p->ring_at + n) % VIRTIO_CONSOLE_BUFFER_BYTES;
		p->ring_bytes -= n;
		done += n;
	}
	return done;
}

/* The ring is empty: an end of file that waited for it may go. */
static void drained(struct console *c, struct port *p)
{
	if (!p->hang_up_after || p->ring_bytes)
		return;
	p->hang_up_after = false;
	if (!p->ready)
		return;
	p->tell = (p->tell & ~TELL_OPEN) | TELL_CLOSED | (p->host_open ? TELL_OPEN : 0);
	tell(c);
}

/* Fill the guest's buffers from the ring; the ring is empty, or the buffers are, or it has been a long time. */
static void fill(struct virtq *q, struct port *p)
{
	bool pushed = false;

	/* A chain with no room at all is used up too. */
	for (unsigned i = 0; p->ring_bytes && i < BATCH; i++) {
		struct virtq_chain *chain;

		if (virtq_pop(q, &chain) <= 0)
			break;
		virtq_push(chain, from_ring(p, chain));
		pushed = true;
	}
	if (pushed)
		virtq_signal(q);
}

static void flush(struct console *c, struct port *p)
{
	struct virtq *q = live(c, rx_queue(p));

	if (q) {
		fill(q, p);
		/* Buffers that the guest adds are news only while something waits for them. */
		virtq_set_notification(q, p->ring_bytes > 0);
		fill(q, p);
	}
	drained(c, p);
}

static void drop_ring(struct console *c, struct port *p)
{
	p->ring_at = p->ring_bytes = 0;
	drained(c, p);
}

static void set_guest_open(struct console *c, struct port *p, bool open)
{
	if (p->guest_open == open)
		return;
	p->guest_open = open;
	if (!open)
		drop_ring(c, p);
	if (p->p.opened)
		p->p.opened(p->p.opaque, open);
}

/* Data from the guest */

/* Give the held chain to tx(); true if it is done with. */
static bool offer(struct port *p)
{
	struct virtq_chain *c = p->held;
	uint64_t before = 0;

	p->in_tx = true;
	for (unsigned i = 0; i < c->n_out; i++) {
		size_t len = c->out[i].iov_len;

		while (p->taken < before + len) {
			size_t skip = (size_t)(p->taken - before);
			size_t n = p->p.tx(p->p.opaque, (const uint8_t *)c->out[i].iov_base + skip, len - skip);

			if (!n) {
				p->in_tx = false;
				return false;
			}
			p->taken += n < len - skip ? n : len - skip;
		}
		before += len;
	}
	p->in_tx = false;
	return true;
}

static void transmit(struct console *c, struct port *p)
{
	struct virtq *q = live(c, tx_queue(p));
	bool pushed = false;
	unsigned i;

	if (p->in_tx || !q)
		return;
	for (i = 0; i < BATCH; i++) {
		if (!p->held) {
			if (virtq_pop(q, &p->held) <= 0) {
				p->held = NULL;
				break;
			}
			p->taken = 0;
		}
		if (!offer(p))
			break;
		virtq_push(p->held, 0);
		p->held = NULL;
		pushed = true;
	}
	if (pushed)
		virtq_signal(q);
	if (i == BATCH)
		virtio_wake(&c->dev);
}

/* Control messages from the guest */

static void control_message(struct console *c, uint32_t id, unsigned event, unsigned value)
{
	struct port *p = id < c->n ? &c->port[id] : NULL;

	if (event == DEVICE_READY && value == 1) {
		for (unsigned i = 0; i < c->n; i++)
			c->port[i].tell |= TELL_ADD;
	} else if (event == PORT_READY && value == 1 && p) {
		p->ready = true;
		p->tell |= introduction(p);
	} else if (event == PORT_OPEN && p) {
		set_guest_open(c, p, value);
	}
	/* Value 0 of the first two: the driver could not; nothing is to be done for it.  The rest is not for a device. */
}

static void control(struct console *c)
{
	struct virtq *q = live(c, CONTROL_TX);
	struct virtq_chain *chain;
	unsigned i;

	if (!q)
		return;
	for (i = 0; i < BATCH && virtq_pop(q, &chain) > 0; i++) {
		uint8_t message[HEADER_BYTES];
		uint64_t n = virtq_read(chain, 0, message, sizeof(message));

		virtq_push(chain, 0);
		if (n == sizeof(message))
			control_message(c, get32(message), get16(message + 4), get16(message + 6));
		/* A callback may have hung up; the rings may be other ones only after a reset, which it cannot cause. */
	}
	if (i)
		virtq_signal(q);
	if (i == BATCH)
		virtio_wake(&c->dev);
	tell(c);
}

/* struct virtio_ops */

static void notify(struct virtio_device *d, unsigned queue)
{
	struct console *c = of(d);
	struct port *p;

	if (queue == CONTROL_RX) {
		tell(c);
		return;
	}
	if (queue == CONTROL_TX) {
		control(c);
		return;
	}
	p = port_at(d, queue < CONTROL_RX ? 0 : queue / 2 - 1);
	if (!p)
		return;
	if (queue == tx_queue(p)) {
		transmit(c, p);
		return;
	}
	flush(c, p);
	if (p->wants_room && virtio_console_room(d, p->index) >= VIRTIO_CONSOLE_BUFFER_BYTES / 2) {
		p->wants_room = false;
		if (p->p.room)
			p->p.room(p->p.opaque);
	}
}

static void activate(struct virtio_device *d)
{
	struct console *c = of(d);

	/* Without F_MULTIPORT there is one port, and nothing to open it with. */
	if (!virtio_has(d, F_MULTIPORT))
		set_guest_open(c, &c->port[0], true);
}

static void poll(struct virtio_device *d)
{
	struct console *c = of(d);

	control(c);
	for (unsigned i = 0; i < c->n; i++)
		transmit(c, &c->port[i]);
}

static void reset(struct virtio_device *d)
{
	struct console *c = of(d);

	c->resetting = true;
	for (unsigned i = 0; i < c->n; i++) {
		struct port *p = &c->port[i];

		if (p->held)
			virtq_drop(p->held);
		p->held = NULL;
		p->ready = p->hang_up_after = p->wants_room = false;
		p->tell = 0;
		set_guest_open(c, p, false);
	}
	memset(c->config + CONFIG_EMERG, 0, 4);
	c->resetting = false;
}

static void config_written(struct virtio_device *d, unsigned off, unsigned bytes)
{
	struct console *c = of(d);

	/* 5.3.4: a character "even in early boot", before there are queues; lost if the terminal takes nothing now. */
	if (off <= CONFIG_EMERG && off + bytes > CONFIG_EMERG)
		for (unsigned i = 0; i < c->n; i++)
			if (c->port[i].p.is_console) {
				(void)c->port[i].p.tx(c->port[i].p.opaque, c->config + CONFIG_EMERG, 1);
				break;
			}
}

static void console_free(struct virtio_device *d)
{
	struct console *c = of(d);

	for (unsigned i = 0; i < c->n; i++)
		free(c->port[i].ring);
	free(c);
}

static const struct virtio_ops console_ops = {
    .activate = activate,
    .notify = notify,
    .poll = poll,
    .reset = reset,
    .config_written = config_written,
    .free = console_free,
};

static int port_init(struct port *p, const struct console_port *from, unsigned index)
{
	size_t n = from->name ? strlen(from->name) : 0;

	if (!n || n >= sizeof(p->name) || !from->tx)
		return -EINVAL;
	p->p = *from;
	memcpy(p->name, from->name, n + 1);
	p->p.name = p->name;
	p->index = index;
	p->host_open = true;
	p->ring = malloc(VIRTIO_CONSOLE_BUFFER_BYTES);
	return p->ring ? 0 : -ENOMEM;
}

int virtio_console_new(struct virtio_device **out, const struct console_port *ports, unsigned n)
{
	struct console *c;
	bool terminal = false;
	int r = 0;

	if (!n || n > VIRTIO_CONSOLE_MAX_PORTS)
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	for (c->n = 0; c->n < n && !r; c->n++) {
		r = port_init(&c->port[c->n], &ports[c->n], c->n);
		terminal |= ports[c->n].is_console;
	}
	if (r) {
		console_free(&c->dev);
		return r;
	}
	virtio_device_init(&c->dev, "console", VIRTIO_ID_CONSOLE, F_SIZE | F_MULTIPORT | (terminal ? F_EMERG_WRITE : 0),
			   &console_ops);
	c->dev.n_queues = 2 * n + 2;
	for (unsigned i = 0; i < c->dev.n_queues; i++)
		c->dev.queue_max[i] = i == CONTROL_RX || i == CONTROL_TX ? CONTROL_SIZE : DATA_SIZE;
	c->dev.config = c->config;
	c->dev.config_bytes = sizeof(c->config);
	c->dev.config_writable = terminal ? emergency_mask : NULL;
	put32(c->config + CONFIG_PORTS, n);
	*out = &c->dev;
	return 0;
}

size_t virtio_console_room(struct virtio_device *d, unsigned port)
{
	struct port *p = port_at(d, port);

	if (!p || !p->guest_open || !p->host_open || p->hang_up_after || of(d)->resetting)
		return 0;
	return VIRTIO_CONSOLE_BUFFER_BYTES - p->ring_bytes;
}

/* As much of data as the ring holds. */
static size_t to_ring(struct port *p, const uint8_t *data, size_t n)
{
	size_t done = 0;

	while (done < n && p->ring_bytes < VIRTIO_CONSOLE_BUFFER_BYTES) {
		size_t end = (p->ring_at + p->ring_bytes) % VIRTIO_CONSOLE_BUFFER_BYTES;
		size_t room = VIRTIO_CONSOLE_BUFFER_BYTES - p->ring_bytes, run = VIRTIO_CONSOLE_BUFFER_BYTES - end;

		run = run < room ? run : room;
		run = run < n - done ? run : n - done;
		memcpy(p->ring + end, data + done, run);
		p->ring_bytes += run;
		done += run;
	}
	return done;
}

size_t virtio_console_send(struct virtio_device *d, unsigned port, const uint8_t *data, size_t n)
{
	struct port *p = port_at(d, port);
	size_t done = 0;

	while (done < n && virtio_console_room(d, port)) {
		done += to_ring(p, data + done, n - done);
		flush(of(d), p);
	}
	if (p && done < n)
		p->wants_room = true;
	return done;
}

void virtio_console_hang_up(struct virtio_device *d, unsigned port)
{
	struct port *p = port_at(d, port);

	if (!p || !p->host_open)
		return;
	p->host_open = false;
	p->hang_up_after = true;
	flush(of(d), p);
}

void virtio_console_connect(struct virtio_device *d, unsigned port)
{
	struct port *p = port_at(d, port);

	if (!p || p->host_open)
		return;
	p->host_open = true;
	/* While data wait for the guest, drained() tells it both. */
	if (!p->hang_up_after && p->ready)
		p->tell |= TELL_OPEN;
	tell(of(d));
}

void virtio_console_ready(struct virtio_device *d, unsigned port)
{
	struct port *p = port_at(d, port);

	if (p)
		transmit(of(d), p);
}

void virtio_console_resize(struct virtio_device *d, unsigned port, uint16_t columns, uint16_t rows)
{
	struct port *p = port_at(d, port);

	if (!p || (p->columns == columns && p->rows == rows))
		return;
	p->columns = columns;
	p->rows = rows;
	if (port == 0) {
		put16(of(d)->config + CONFIG_COLS, columns);
		put16(of(d)->config + CONFIG_ROWS, rows);
		if (virtio_running(d) && !virtio_has(d, F_MULTIPORT) && virtio_has(d, F_SIZE))
			virtio_config_changed(d);
	}
	if (p->p.is_console && p->ready) {
		p->tell |= TELL_SIZE;
		tell(of(d));
	}
}
