/* SPDX-License-Identifier: MIT */
/*
 * A hostile driver of every virtio device that is on the bus: registers, configuration space and rings, most requests
 * well-formed, some damaged.  The command line is a seed and a number of inputs ("7 10000").
 * It keeps off its own memory: what devices are told to write, and pages that the balloon is given, lie above RINGS.
 */
#include "guest/bare/guest.h"

enum {
	MAX_DEVICES = 27,
	MAX_QUEUES = 10,
	QUEUE_SIZE = 16,
	BAR_STEP = 0x10000,
	RINGS = 0x04000000, /* three pages a queue */
	DATA = 0x04800000,
	DATA_BYTES = 0x400000,
	BALLOON_DATA = 0x03000000,
	RAM_BYTES = 0x08000000,
	TABLES = DATA - PAGE, /* indirect */
};
enum {
	R_FEATURE_SELECT = 0,
	R_FEATURE = 4,
	R_DRIVER_SELECT = 8,
	R_DRIVER = 12,
	R_QUEUES = 18,
	R_STATUS = 20,
	R_QUEUE = 22,
	R_SIZE = 24,
	R_ENABLE = 28,
	R_DESC = 32,
	R_ISR = 0x1000,
	R_CONFIG = 0x2000,
	R_NOTIFY = 0x3000,
	BAR_BYTES = 0x4000
};
enum { F_NEXT = 1, F_WRITE = 2, F_INDIRECT = 4 };
enum { ID_NET = 1, ID_BLOCK = 2, ID_CONSOLE = 3, ID_RNG = 4, ID_BALLOON = 5, ID_9P = 9 };
enum { ALL_OK = 0xf, NEEDS_RESET = 64 };

struct device {
	uint32_t slot, function, id, bar, n_queues;
	uint32_t inputs, used, broken;
	bool started;
	uint16_t avail[MAX_QUEUES], next[MAX_QUEUES];
};

static struct device device[MAX_DEVICES];
static unsigned n_devices;
static uint32_t seed;

static uint32_t rnd(void) { return random_next(&seed); }

/* ---- little-endian memory and registers, on either CPU ---- */

static uint32_t le32(uint32_t v) { return *(const uint8_t *)&(const uint16_t){1} ? v : __builtin_bswap32(v); }
static uint16_t le16(uint32_t v)
{
	return *(const uint8_t *)&(const uint16_t){1} ? (uint16_t)v : __builtin_bswap16((uint16_t)v);
}

static void m8(uint32_t pa, uint32_t v) { *(volatile uint8_t *)(uintptr_t)KSEG0(pa) = (uint8_t)v; }
static void m16(uint32_t pa, uint32_t v) { *(volatile uint16_t *)(uintptr_t)KSEG0(pa) = le16(v); }
static void m32(uint32_t pa, uint32_t v) { *(volatile uint32_t *)(uintptr_t)KSEG0(pa) = le32(v); }
static uint32_t get16(uint32_t pa) { return le16(*(volatile uint16_t *)(uintptr_t)KSEG0(pa)); }

static uint32_t in(uint32_t pa, uint32_t bytes)
{
	uint32_t va = KSEG1(pa);

	return bytes == 1   ? *(volatile uint8_t *)(uintptr_t)va
	       : bytes == 2 ? le16(*(volatile uint16_t *)(uintptr_t)va)
			    : le32(*(volatile uint32_t *)(uintptr_t)va);
}

static void out(uint32_t pa, uint32_t v, uint32_t bytes)
{
	uint32_t va = KSEG1(pa);

	if (bytes == 1)
		*(volatile uint8_t *)(uintptr_t)va = (uint8_t)v;
	else if (bytes == 2)
		*(volatile uint16_t *)(uintptr_t)va = le16(v);
	else
		*(volatile uint32_t *)(uintptr_t)va = le32(v);
}

/* ---- the bus ---- */

/* PCI0_CMD.MByteSwap as the reset leaves it: configuration data have the CPU's byte order. */
#define CONFIG_DATA (*(volatile uint32_t *)0xbbe00cfc)

static void config_at(uint32_t slot, uint32_t function, uint32_t reg)
{
	out(0x1be00cf8, 0x80000000u | slot << 11 | function << 8 | (reg & 0xfc), 4);
}

static uint32_t config_get(uint32_t slot, uint32_t function, uint32_t reg)
{
	config_at(slot, function, reg);
	return CONFIG_DATA;
}

static void config_put(uint32_t slot, uint32_t function, uint32_t reg, uint32_t v)
{
	config_at(slot, function, reg);
	CONFIG_DATA = v;
}

static void map(struct device *d)
{
	config_put(d->slot, d->function, 0x10, d->bar);
	config_put(d->slot, d->function, 4, 6);
}

static void find(void)
{
	for (uint32_t at = 18 * 8; at < 22 * 8 && n_devices < MAX_DEVICES; at++) {
		uint32_t id = config_get(at / 8, at % 8, 0);
		struct device *d = &device[n_devices];

		if ((id & 0xffff) != 0x1af4)
			continue;
		*d = (struct device){.slot = at / 8,
				     .function = at % 8,
				     .id = (id >> 16) - 0x1040,
				     .bar = 0x10000000 + n_devices * BAR_STEP};
		map(d);
		d->n_queues = in(d->bar + R_QUEUES, 2);
		d->n_queues = d->n_queues > MAX_QUEUES ? MAX_QUEUES : d->n_queues;
		n_devices++;
	}
}

/* ---- queues ---- */

/* Rings are used by one device after the other: each is reset before the next one's turn. */
static uint32_t desc_of(uint32_t queue) { return RINGS + queue * 3 * PAGE; }
static uint32_t avail_of(uint32_t queue) { return desc_of(queue) + PAGE; }
static uint32_t used_of(uint32_t queue) { return desc_of(queue) + 2 * PAGE; }

static void reset(struct device *d)
{
	for (uint32_t q = 0; d->started && q < d->n_queues; q++)
		d->used += get16(used_of(q) + 2);
	d->broken += (in(d->bar + R_STATUS, 1) & NEEDS_RESET) != 0;
	out(d->bar + R_STATUS, 0, 1);
	if (in(d->bar + R_STATUS, 1) || in(d->bar + R_ISR, 1))
		put_check("reset", false, d->id);
	d->started = false;
}

static void start(struct device *d, uint32_t refuse)
{
	uint32_t low, high;

	reset(d);
	out(d->bar + R_STATUS, 3, 1);
	out(d->bar + R_FEATURE_SELECT, 0, 4);
	low = in(d->bar + R_FEATURE, 4) & ~refuse;
	out(d->bar + R_FEATURE_SELECT, 1, 4);
	high = in(d->bar + R_FEATURE, 4);
	out(d->bar + R_DRIVER_SELECT, 0, 4);
	out(d->bar + R_DRIVER, low, 4);
	out(d->bar + R_DRIVER_SELECT, 1, 4);
	out(d->bar + R_DRIVER, high, 4);
	out(d->bar + R_STATUS, 11, 1);
	for (uint32_t q = 0; q < d->n_queues; q++) {
		for (uint32_t i = 0; i < 3 * PAGE; i += 4)
			if (i % PAGE < 512)
				m32(desc_of(q) + i, 0);
		d->avail[q] = d->next[q] = 0;
		out(d->bar + R_QUEUE, q, 2);
		out(d->bar + R_SIZE, QUEUE_SIZE, 2);
		out(d->bar + R_DESC, desc_of(q), 4);
		out(d->bar + R_DESC + 8, avail_of(q), 4);
		out(d->bar + R_DESC + 16, used_of(q), 4);
		out(d->bar + R_ENABLE, 1, 2);
	}
	out(d->bar + R_STATUS, ALL_OK, 1);
	d->started = true;
}

static void put_desc(uint32_t table, uint32_t i, uint32_t addr, uint32_t len, uint32_t flags, uint32_t next)
{
	m32(table + 16 * i, addr);
	m32(table + 16 * i + 4, 0);
	m32(table + 16 * i + 8, len);
	m16(table + 16 * i + 12, flags);
	m16(table + 16 * i + 14, next);
}

static void offer(struct device *d, uint32_t q, uint32_t head)
{
	m16(avail_of(q) + 4 + 2 * (d->avail[q] % QUEUE_SIZE), head);
	d->avail[q]++;
	m16(avail_of(q) + 2, d->avail[q]);
}

static void notify(const struct device *d, uint32_t q) { out(d->bar + R_NOTIFY + 4 * q, q, 2); }

/* ---- requests ---- */

static uint32_t number(void)
{
	static const uint32_t known[] = {0,          1,          2,          3,          4,   5,    8,    16,
					 255,        256,        511,        512,        513, 2048, 4095, 4096,
					 0xffff,     0x10000,    0xffffffff, 0xfffffffe, 20,  1024, 0x80, 64,
					 0x7fffffff, 0x80000000, 6,          7,          9,   10};

	return rnd() % 8 ? known[rnd() % ARRAY_LEN(known)] : rnd();
}

/*
 * The balloon has data of its own, below that of the others, whose writes go upwards from where they begin: what those left
 * would be page numbers, of the guest's own pages among them.
 */
static uint32_t data_of(const struct device *d) { return d->id == ID_BALLOON ? BALLOON_DATA : DATA; }

/* Where a device may write: data, the end of memory, or where there is none. */
static uint32_t target(const struct device *d)
{
	switch (rnd() % 128) {
	case 0:
		if (d->id == ID_BALLOON)
			return data_of(d);
		return RAM_BYTES - rnd() % 8192;
	case 1:
		return RAM_BYTES + (rnd() & 0x0fffffff);
	case 2:
		return 0x10000000 + rnd() % (n_devices * BAR_STEP);
	case 3:
		return 0xffffffff - rnd() % 64;
	default:
		return data_of(d) + rnd() % DATA_BYTES;
	}
}

static uint32_t safe_pfn(void) { return rnd() % 4 ? (DATA + 2 * DATA_BYTES) / PAGE + rnd() % 4096 : rnd() | 0x10000; }

/* The bytes of a request's first buffer. Returns its length. */
static uint32_t header(const struct device *d, uint32_t at)
{
	static const uint8_t blk[] = {0, 0, 0, 1, 1, 1, 4, 8, 11, 13, 2, 20};
	static const uint8_t p9[] = {8,  12, 14, 16,  18,  22,  24,  26,  30,  32,  40,  50,  52,  54,  70,
				     72, 74, 76, 100, 104, 108, 110, 112, 114, 116, 118, 120, 122, 124, 126};
	uint32_t n = 32;

	for (uint32_t i = 0; i < 32; i += 4)
		m32(at + i, d->id == ID_BALLOON ? safe_pfn() : number());
	switch (d->id) {
	case ID_BLOCK:
		m32(at, blk[rnd() % ARRAY_LEN(blk)]);
		m32(at + 8, rnd() % 2048);
		m32(at + 12, rnd() % 64 == 0);
		n = 16;
		break;
	case ID_9P:
		n = 7 + rnd() % 26;
		m32(at, n);
		m8(at + 4, p9[rnd() % ARRAY_LEN(p9)]);
		m8(at + 6, 0);
		m8(at + 7, rnd() % 4);
		break;
	case ID_CONSOLE:
		m32(at, rnd() % 4);
		m16(at + 4, rnd() % 9);
		n = 8;
		break;
	default:
		break;
	}
	return n;
}

static uint32_t chain(struct device *d, uint32_t q)
{
	uint32_t n_out = rnd() & 3, n = n_out + (rnd() & 3), base = d->next[q], head = base % QUEUE_SIZE;
	bool indirect = rnd() % 4 == 0;
	uint32_t table = indirect ? TABLES + rnd() % 8 * 256 : desc_of(q);

	if (d->id == ID_BLOCK && rnd() % 8) { /* with room for a status, and a header */
		n += n_out == 0;
		n_out += n_out == 0;
		n += n == n_out;
	}
	n += !n;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = indirect ? i : (base + i) % QUEUE_SIZE, addr = target(d), len = 512 * (1 + rnd() % 16);

		if (!i && n_out) {
			addr = data_of(d) + rnd() % (DATA_BYTES - 64) & ~15u;
			len = header(d, addr);
		} else if (d->id == ID_BLOCK && i + 1 == n) {
			len = 1;
		} else if (rnd() % 8 == 0) {
			len = number();
		}
		put_desc(table, at, addr, len, (i >= n_out ? F_WRITE : 0) | (i + 1 < n ? F_NEXT : 0),
			 indirect ? i + 1 : (base + i + 1) % QUEUE_SIZE);
	}
	if (indirect)
		put_desc(desc_of(q), head, table, 16 * n, F_INDIRECT, 0);
	d->next[q] = (uint16_t)(base + (indirect ? 1 : n));
	return head;
}

static void damage(struct device *d, uint32_t q)
{
	uint32_t slot = rnd() % QUEUE_SIZE, v = number();

	switch (rnd() % 8) {
	case 0:
		m32(desc_of(q) + 16 * slot, target(d));
		m32(desc_of(q) + 16 * slot + 4, rnd() % 4 ? 0 : v);
		break;
	case 1:
		m32(desc_of(q) + 16 * slot + 8, v);
		break;
	case 2:
		m16(desc_of(q) + 16 * slot + 12, v);
		break;
	case 3:
		m16(desc_of(q) + 16 * slot + 14, v);
		break;
	case 4:
		m16(avail_of(q) + 4 + 2 * slot, v);
		break;
	case 5:
		d->avail[q] = (uint16_t)(d->avail[q] + v % 20);
		m16(avail_of(q) + 2, d->avail[q]);
		break;
	case 6:
		m16(avail_of(q) + (rnd() & 1 ? 0 : 4 + 2 * QUEUE_SIZE), v);
		break;
	default:
		m32(TABLES + rnd() % 2048 / 16 * 16 + 8, v);
		break;
	}
}

/* ---- registers and configuration space ---- */

static void registers(struct device *d)
{
	uint32_t bytes = 1u << rnd() % 3, reg = rnd() % 4 ? rnd() % 64 : rnd() % BAR_BYTES;

	reg &= ~(bytes - 1);
	/* an address of a queue that would be anywhere in memory might be the guest's own */
	if (reg >= R_DESC && reg < R_DESC + 24)
		out(d->bar + R_DESC + 8 * (rnd() % 3), target(d), 4);
	else if (rnd() & 1)
		out(d->bar + reg, number(), bytes);
	else
		in(d->bar + reg, bytes);
}

static void configuration(const struct device *d)
{
	uint32_t reg = rnd() & 0xfc;

	if (rnd() & 1) {
		config_get(d->slot, d->function, reg);
	} else if (reg != 0x10 && reg != 4) {
		/* with the window of 4.1.4.9, too, no queue gets an address that may be the guest's own memory */
		config_put(d->slot, d->function, reg, rnd() & 1 ? number() : rnd() % BAR_BYTES | 64);
	}
}

static void one_op(struct device *d)
{
	uint32_t op = rnd() % 32, q = rnd() % d->n_queues;

	if (!d->started)
		op |= 16;
	if (op < 12) {
		offer(d, q, chain(d, q));
		if (op == 0)
			damage(d, q);
	} else if (op < 16) {
		notify(d, q);
	} else if (op < 20) {
		in(d->bar + R_ISR, 1);
	} else if (op < 24) {
		registers(d);
	} else if (op < 26) {
		configuration(d);
	} else if (op < 28) {
		in(d->bar + R_CONFIG + (rnd() % 32 & ~3u), 4);
	} else if (op == 28 && d->started) {
		damage(d, q);
	} else if (op == 29 && rnd() % 8 == 0) {
		start(d, rnd() & 1 ? rnd() : 0);
	} else if (op == 30 && rnd() % 8 == 0) {
		out(d->bar + R_STATUS, rnd(), 1);
	}
}

static void input(struct device *d)
{
	uint32_t ops = 4 + rnd() % 60;

	d->inputs++;
	if (rnd() % 8)
		start(d, rnd() % 4 ? 0 : 1u << rnd() % 32);
	while (ops--)
		one_op(d);
	map(d); /* the window of 4.1.4.9 may have been left anywhere; the BAR is where it was */
	reset(d);
}

/* After all that: random bytes, or a sector, must come. */
static void good(struct device *d)
{
	bool blk = d->id == ID_BLOCK;
	uint32_t wait = 0;

	if (!blk && d->id != ID_RNG)
		return;
	start(d, 0);
	for (uint32_t i = 0; i < 16; i += 4)
		m32(DATA + i, 0);
	m32(DATA + 16, 0xff);
	put_desc(desc_of(0), 0, DATA, 16, F_NEXT, 1);
	put_desc(desc_of(0), 1, DATA + PAGE, 512, F_WRITE | F_NEXT, 2);
	put_desc(desc_of(0), 2, DATA + 16, 1, F_WRITE, 0);
	offer(d, 0, blk ? 0 : 1);
	notify(d, 0);
	while (get16(used_of(0) + 2) != 1 && wait++ < 100000000)
		;
	put_text(blk ? "disk" : "rng");
	put_check(" serves",
		  get16(used_of(0) + 2) == 1 && (!blk || *(volatile uint8_t *)(uintptr_t)KSEG0(DATA + 16) == 0), wait);
	reset(d);
}

static uint32_t decimal(const char **s)
{
	uint32_t v = 0;

	while (**s == ' ')
		++*s;
	while (**s >= '0' && **s <= '9')
		v = v * 10 + (uint32_t)(*(*s)++ - '0');
	return v;
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	const char *s = argc > 1 ? (const char *)(uintptr_t)argv[1] : "1 1000";
	uint32_t count;

	while (*s && (*s < '0' || *s > '9')) /* words for a Linux, of a machine that shares */
		s++;
	seed = decimal(&s) * 2654435761u + 1;
	count = decimal(&s);
	find();
	if (!n_devices) {
		put_text("no virtio device\n");
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		input(&device[rnd() % n_devices]);
	for (unsigned i = 0; i < n_devices; i++) {
		struct device *d = &device[i];

		put_text("device ");
		put_dec(d->id);
		put_text(": inputs ");
		put_dec(d->inputs);
		put_text(", requests done ");
		put_dec(d->used);
		put_text(", broken ");
		put_dec(d->broken);
		put_char('\n');
		good(d);
	}
	put_text("end\n");
}
