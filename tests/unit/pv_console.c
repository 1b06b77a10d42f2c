/* SPDX-License-Identifier: MIT */
/* The console device, driven through its rings: introduction of ports, both directions, back-pressure, end of file. */
#include "pv-drivers/virtio/devices.h"

#include <criterion/criterion.h>

#include "tests/unit/pv_ring.h"

#define F_MULTIPORT (1ull << 1)
enum { CONTROL_RX = 2, CONTROL_TX = 3, RX0 = 0, TX0 = 1, RX1 = 4, TX1 = 5 };
enum { DEVICE_READY = 0, PORT_ADD = 1, PORT_READY = 3, CONSOLE_PORT = 4, RESIZE = 5, PORT_OPEN = 6, PORT_NAME = 7 };

/* The host's end of one port. */
struct end {
	uint8_t got[1 << 16];
	size_t n, allow; /* tx takes so many more */
	int opened, closed, rooms;
	struct virtio_device *device;
	unsigned port;
	bool send_when_closed;
};

struct fixture {
	struct ring_rig r;
	struct end end[2];
	uint64_t control[8]; /* receive buffers, in order of use */
	unsigned control_next;
};

static size_t tx(void *opaque, const uint8_t *data, size_t n)
{
	struct end *e = opaque;

	if (n > e->allow)
		n = e->allow;
	memcpy(e->got + e->n, data, n);
	e->n += n;
	e->allow -= n;
	return n;
}

static void opened(void *opaque, bool open)
{
	struct end *e = opaque;

	if (open)
		e->opened++;
	else
		e->closed++;
	if (!open && e->send_when_closed)
		for (unsigned i = 0; i < 2; i++) {
			cr_expect_eq(virtio_console_send(e->device, i, (const uint8_t *)"x", 1), 0);
			virtio_console_ready(e->device, i);
		}
}

static void room(void *opaque) { ((struct end *)opaque)->rooms++; }

static void setup(struct fixture *f)
{
	struct virtio_device *d;
	struct console_port ports[2] = {
	    {.name = "terminal", .is_console = true, .tx = tx, .opened = opened, .room = room, .opaque = &f->end[0]},
	    {.name = "disco.data", .tx = tx, .opened = opened, .room = room, .opaque = &f->end[1]},
	};

	memset(f, 0, sizeof(*f));
	cr_assert_eq(virtio_console_new(&d, ports, 2), 0);
	f->end[0].allow = f->end[1].allow = SIZE_MAX / 2;
	for (unsigned i = 0; i < 2; i++) {
		f->end[i].device = d;
		f->end[i].port = i;
	}
	ring_init(&f->r, d, 4 << 20, false);
	ring_start(&f->r, F_MULTIPORT);
}

static void give_control(struct fixture *f, unsigned n)
{
	while (n--) {
		struct ring_buf b = {ring_alloc(&f->r, 80), 80};

		f->control[f->control_next++ % ARRAY_LEN(f->control)] = b.pa;
		ring_add(&f->r, CONTROL_RX, NULL, 0, &b, 1);
	}
	ring_kick(&f->r, CONTROL_RX);
}

static void say(struct fixture *f, uint32_t id, uint16_t event, uint16_t value)
{
	struct ring_buf b = {ring_alloc(&f->r, 8), 8};
	uint32_t used, bytes;

	memcpy(f->r.mem + b.pa, &id, 4);
	memcpy(f->r.mem + b.pa + 4, &event, 2);
	memcpy(f->r.mem + b.pa + 6, &value, 2);
	ring_add(&f->r, CONTROL_TX, &b, 1, NULL, 0);
	ring_kick(&f->r, CONTROL_TX);
	cr_assert(ring_used(&f->r, CONTROL_TX, &used, &bytes));
}

/* The next control message must be this one. */
static void expect(struct fixture *f, unsigned line, uint32_t id, uint16_t event, uint16_t value, const char *more,
		   size_t n)
{
	uint32_t used = 0, bytes = 0, seen_id;
	uint16_t seen[2];
	uint8_t *m;
	uint64_t pa;

	cr_assert(ring_used(&f->r, CONTROL_RX, &used, &bytes), "line %u: no message", line);
	cr_assert_eq(bytes, 8 + n, "line %u: %u bytes", line, bytes);
	memcpy(&pa, f->r.mem + f->r.d->queue[CONTROL_RX].desc.v + 16 * used, 8);
	m = f->r.mem + pa;
	memcpy(&seen_id, m, 4);
	memcpy(seen, m + 4, 4);
	cr_assert(seen_id == id && seen[0] == event && seen[1] == value, "line %u: port %u event %u value %u", line,
		  seen_id, seen[0], seen[1]);
	cr_assert_eq(memcmp(m + 8, more, n), 0, "line %u", line);
}
#define EXPECT(f, id, event, value, more) expect(f, __LINE__, id, event, value, more, sizeof(more) - 1)

static void silence(struct fixture *f)
{
	uint32_t used, bytes;

	cr_assert_not(ring_used(&f->r, CONTROL_RX, &used, &bytes));
}

/* As Linux does: all of the handshake; both ports open. */
static void introduce(struct fixture *f)
{
	give_control(f, 7);
	say(f, 0, DEVICE_READY, 1);
	EXPECT(f, 0, PORT_ADD, 1, "");
	EXPECT(f, 1, PORT_ADD, 1, "");
	say(f, 0, PORT_READY, 1);
	EXPECT(f, 0, CONSOLE_PORT, 1, "");
	EXPECT(f, 0, PORT_NAME, 1, "terminal");
	EXPECT(f, 0, PORT_OPEN, 1, "");
	say(f, 1, PORT_READY, 1);
	EXPECT(f, 1, PORT_NAME, 1, "disco.data");
	EXPECT(f, 1, PORT_OPEN, 1, "");
	silence(f);
	say(f, 0, PORT_OPEN, 1);
	say(f, 1, PORT_OPEN, 1);
}

static void transmit(struct fixture *f, unsigned queue, const char *a, const char *b)
{
	struct ring_buf bufs[2] = {{ring_alloc(&f->r, 64), (uint32_t)strlen(a)},
				   {ring_alloc(&f->r, 64), (uint32_t)strlen(b)}};

	memcpy(f->r.mem + bufs[0].pa, a, strlen(a));
	memcpy(f->r.mem + bufs[1].pa, b, strlen(b));
	ring_add(&f->r, queue, bufs, 2, NULL, 0);
	ring_kick(&f->r, queue);
}

static uint64_t give(struct fixture *f, unsigned queue, uint32_t bytes)
{
	struct ring_buf b = {ring_alloc(&f->r, bytes), bytes};

	ring_add(&f->r, queue, NULL, 0, &b, 1);
	ring_kick(&f->r, queue);
	return b.pa;
}

Test(pv_console, bad_ports)
{
	struct virtio_device *d;
	struct console_port many[VIRTIO_CONSOLE_MAX_PORTS + 1], p = {.name = "", .tx = tx};
	char name[65];

	for (unsigned i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (struct console_port){.name = "p", .tx = tx};
	cr_expect_eq(virtio_console_new(&d, many, ARRAY_LEN(many)), -EINVAL);
	cr_expect_eq(virtio_console_new(&d, many, 0), -EINVAL);
	cr_expect_eq(virtio_console_new(&d, &p, 1), -EINVAL);
	memset(name, 'n', 64);
	name[64] = 0;
	p.name = name;
	cr_expect_eq(virtio_console_new(&d, &p, 1), -EINVAL);
	name[63] = 0;
	cr_assert_eq(virtio_console_new(&d, &p, 1), 0);
	virtio_device_free(d);
	cr_assert_eq(virtio_console_new(&d, many, VIRTIO_CONSOLE_MAX_PORTS), 0);
	cr_expect_leq(d->n_queues, VIRTIO_MAX_QUEUES);
	cr_expect_eq(VIRTIO_CONSOLE_MAX_PORTS, 8, "pv-drivers/README.md says so");
	virtio_device_free(d);
}

Test(pv_console, introduction)
{
	struct fixture f;

	setup(&f);
	introduce(&f);
	cr_expect_eq(f.end[0].opened, 1);
	cr_expect_eq(f.end[1].opened, 1);
	say(&f, 1, PORT_OPEN, 1);
	cr_expect_eq(f.end[1].opened, 1, "only changes are told");
	say(&f, 1, PORT_OPEN, 0);
	cr_expect_eq(f.end[1].closed, 1);
	say(&f, 77, PORT_OPEN, 1);
	say(&f, 77, PORT_READY, 1);
	say(&f, 0, 99, 1);
	silence(&f);
	give_control(&f, 1);
	virtio_console_resize(f.r.d, 0, 132, 43);
	EXPECT(&f, 0, RESIZE, 1, "\x84\x00\x2b\x00");
	ring_free(&f.r);
}

/* However often the guest asks, what is owed to it is bounded; and it comes when there are buffers. */
Test(pv_console, no_control_buffers)
{
	struct fixture f;

	setup(&f);
	for (unsigned i = 0; i < 10000; i++) {
		say(&f, 0, DEVICE_READY, 1);
		say(&f, 1, PORT_READY, 1);
		f.r.next = ring_queue_base(VIRTIO_MAX_QUEUES);
	}
	give_control(&f, 2);
	EXPECT(&f, 0, PORT_ADD, 1, "");
	EXPECT(&f, 1, PORT_ADD, 1, "");
	give_control(&f, 6);
	EXPECT(&f, 1, PORT_NAME, 1, "disco.data");
	EXPECT(&f, 1, PORT_OPEN, 1, "");
	silence(&f);
	ring_free(&f.r);
}

Test(pv_console, from_guest)
{
	struct fixture f;
	uint32_t id, bytes;

	setup(&f);
	introduce(&f);
	transmit(&f, TX1, "hello ", "world");
	cr_assert(ring_used(&f.r, TX1, &id, &bytes));
	cr_expect_eq(bytes, 0);
	cr_expect_eq(f.end[1].n, 11);
	cr_expect_eq(memcmp(f.end[1].got, "hello world", 11), 0);

	/* Takes eight bytes, and no more: the chain is kept, and so are those after it. */
	f.end[1].allow = 8;
	f.end[1].n = 0;
	transmit(&f, TX1, "hello ", "world");
	transmit(&f, TX1, "an", "d more");
	cr_expect_eq(f.end[1].n, 8);
	cr_expect_not(ring_used(&f.r, TX1, &id, &bytes));
	virtio_console_ready(f.r.d, 1);
	cr_expect_not(ring_used(&f.r, TX1, &id, &bytes));
	f.end[1].allow = 5;
	virtio_console_ready(f.r.d, 1);
	cr_expect(ring_used(&f.r, TX1, &id, &bytes));
	cr_expect_not(ring_used(&f.r, TX1, &id, &bytes));
	f.end[1].allow = 1000;
	virtio_console_ready(f.r.d, 1);
	cr_expect(ring_used(&f.r, TX1, &id, &bytes));
	cr_expect_eq(f.end[1].n, 19);
	cr_expect_eq(memcmp(f.end[1].got, "hello worldand more", 19), 0);
	cr_expect_eq(f.end[0].n, 0);
	ring_free(&f.r);
}

Test(pv_console, to_guest)
{
	struct fixture f;
	uint32_t id, bytes;
	uint64_t a, b;

	setup(&f);
	cr_expect_eq(virtio_console_send(f.r.d, 1, (const uint8_t *)"early", 5), 0, "not open");
	introduce(&f);
	a = give(&f, RX1, 4);
	cr_expect_eq(virtio_console_send(f.r.d, 1, (const uint8_t *)"abcdefgh", 8), 8);
	cr_assert(ring_used(&f.r, RX1, &id, &bytes));
	cr_expect_eq(bytes, 4);
	cr_expect_eq(memcmp(f.r.mem + a, "abcd", 4), 0);
	cr_expect_gt(f.r.irqs, 0);
	b = give(&f, RX1, 100);
	cr_assert(ring_used(&f.r, RX1, &id, &bytes));
	cr_expect_eq(bytes, 4);
	cr_expect_eq(memcmp(f.r.mem + b, "efgh", 4), 0);
	cr_expect_eq(virtio_console_send(f.r.d, 9, (const uint8_t *)"x", 1), 0);
	ring_free(&f.r);
}

/* A stream through odd sizes: nothing lost, nothing twice, the bound kept, room told. */
Test(pv_console, stream_to_guest)
{
	struct fixture f;
	static uint8_t chunk[30011];
	uint64_t sent = 0, seen = 0, total = 3000000;
	int rooms_seen = -1;

	setup(&f);
	introduce(&f);
	while (seen < total) {
		uint32_t id, bytes;
		uint64_t pa;

		/* When told that there is room, as a pump would: as much as goes. */
		while (f.end[1].rooms != rooms_seen && sent < total) {
			size_t n = total - sent < sizeof(chunk) ? total - sent : sizeof(chunk), taken;

			for (size_t i = 0; i < n; i++)
				chunk[i] = (uint8_t)((sent + i) * 2654435761u >> 13);
			taken = virtio_console_send(f.r.d, 1, chunk, n);
			sent += taken;
			if (taken < n)
				rooms_seen = f.end[1].rooms;
		}
		cr_assert_leq(sent - seen, VIRTIO_CONSOLE_BUFFER_BYTES);
		pa = give(&f, RX1, 1 + (uint32_t)(seen % 5000));
		while (ring_used(&f.r, RX1, &id, &bytes))
			for (uint32_t i = 0; i < bytes; i++, seen++)
				cr_assert_eq(f.r.mem[pa + i], (uint8_t)(seen * 2654435761u >> 13));
		f.r.next = pa;
	}
	cr_expect_eq(seen, total);
	cr_expect_gt(rooms_seen, 50);
	cr_expect_lt(rooms_seen, 120, "told when half is free, not at each byte");
	ring_free(&f.r);
}

Test(pv_console, end_of_file)
{
	struct fixture f;
	uint32_t id, bytes;

	setup(&f);
	introduce(&f);
	give_control(&f, 5);
	cr_expect_eq(virtio_console_send(f.r.d, 1, (const uint8_t *)"tail", 4), 4);
	virtio_console_hang_up(f.r.d, 1);
	silence(&f);
	cr_expect_eq(virtio_console_send(f.r.d, 1, (const uint8_t *)"x", 1), 0);
	/* Open again before the guest has seen the end: it sees data, end, open. */
	virtio_console_connect(f.r.d, 1);
	silence(&f);
	give(&f, RX1, 100);
	cr_assert(ring_used(&f.r, RX1, &id, &bytes));
	cr_expect_eq(bytes, 4);
	EXPECT(&f, 1, PORT_OPEN, 0, "");
	EXPECT(&f, 1, PORT_OPEN, 1, "");
	cr_expect_eq(virtio_console_send(f.r.d, 1, (const uint8_t *)"more", 4), 4);
	/* The guest closes without reading: the end follows at once. */
	virtio_console_hang_up(f.r.d, 1);
	silence(&f);
	say(&f, 1, PORT_OPEN, 0);
	EXPECT(&f, 1, PORT_OPEN, 0, "");
	virtio_console_connect(f.r.d, 1);
	EXPECT(&f, 1, PORT_OPEN, 1, "");
	/* Closed, opened, closed with no buffer for the guest to be told in: what matters is told. */
	virtio_console_hang_up(f.r.d, 1);
	EXPECT(&f, 1, PORT_OPEN, 0, "");
	virtio_console_connect(f.r.d, 1);
	virtio_console_hang_up(f.r.d, 1);
	give_control(&f, 2);
	EXPECT(&f, 1, PORT_OPEN, 0, "");
	silence(&f);
	ring_free(&f.r);
}

/* The state of the host's end outlives a reset; callbacks in a reset find nothing to touch. */
Test(pv_console, reset)
{
	struct fixture f;

	setup(&f);
	introduce(&f);
	f.end[1].allow = 1;
	f.end[0].send_when_closed = f.end[1].send_when_closed = true;
	transmit(&f, TX1, "kept", "back");
	virtio_console_hang_up(f.r.d, 0);
	ring_start(&f.r, F_MULTIPORT);
	cr_expect_eq(f.end[0].closed, 1);
	cr_expect_eq(f.end[1].closed, 1);
	f.end[1].allow = 100;
	virtio_console_ready(f.r.d, 1);
	cr_expect_eq(f.end[1].n, 1, "the chain went with the reset");
	give_control(&f, 6);
	say(&f, 0, PORT_READY, 1);
	EXPECT(&f, 0, CONSOLE_PORT, 1, "");
	EXPECT(&f, 0, PORT_NAME, 1, "terminal");
	silence(&f);
	ring_free(&f.r);
}

Test(pv_console, one_port_driver)
{
	struct fixture f;
	uint32_t id, bytes;

	setup(&f);
	ring_start(&f.r, 0);
	cr_expect_eq(f.end[0].opened, 1);
	give(&f, RX0, 10);
	cr_expect_eq(virtio_console_send(f.r.d, 0, (const uint8_t *)"one", 3), 3);
	cr_expect(ring_used(&f.r, RX0, &id, &bytes));
	transmit(&f, TX0, "tw", "o");
	cr_expect_eq(f.end[0].n, 3);
	transmit(&f, TX1, "not", "there");
	cr_expect_eq(f.end[1].n, 0);
	/* 5.3.4: the emergency character */
	memcpy(f.r.d->config + 8, "!", 1);
	f.r.d->ops->config_written(f.r.d, 8, 4);
	cr_expect_eq(f.end[0].n, 4);
	cr_expect_eq(f.end[0].got[3], '!');
	ring_free(&f.r);
}
