/* SPDX-License-Identifier: MIT */
/*
 * Files of a share (disco run --share DIR): a driver for virtio 1.2 over PCI (4.1) that has one request at a time, and of 9P2000.L
 * what reading a file needs.  It looks whether a request is done, and takes no interrupt: SPLASHOS has none.
 *
 *	sp_share_read() ─► version, attach once; walk, getattr, lopen, read..., clunk ─► request() ─► ring ─► notify, wait
 */
#include "guest/splashos/splashos.h"

#define PHYSICAL(p)   ((uint32_t)(uintptr_t)(p)&0x1fffffff)
#define UNCACHED(pa)  ((uintptr_t)((pa) | 0xa0000000u))
#define IS_LITTLE     (*(const uint8_t *)&(const uint16_t){1})
#define CONFIG_ADDR   0x1be00cf8u
#define CONFIG_DATA   (*(volatile uint32_t *)0xbbe00cfc) /* in the CPU's byte order, as the reset leaves the bridge */
#define WINDOW        0x10000000u                        /* of PCI memory: the BAR goes there */
#define FIRST_SLOT    18u
#define SLOTS         4u
#define RING          4u /* descriptors: message, head of the reply, and what is behind it */
#define MESSAGE_BYTES 4096u
#define MSIZE         (MESSAGE_BYTES + READ_BYTES)
#define READ_BYTES    (60u << 10)
#define HEAD_BYTES    11u /* of a reply: size, type, tag, and the error or the length of what was read */

enum { VENDOR_VIRTIO = 0x1af4, DEVICE_9P = 0x1049, CAP_VENDOR = 9, CAP_COMMON = 1, CAP_NOTIFY = 2 };
enum {
	C_FEATURE_SELECT = 8,
	C_FEATURE = 12,
	C_STATUS = 20,
	C_QUEUE = 22,
	C_SIZE = 24,
	C_ENABLE = 28,
	C_NOTIFY = 30,
	C_RINGS = 32
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64, LOOKS = 4096 };
enum { F_NEXT = 1, F_WRITE = 2 };
enum { LERROR = 7, LOPEN = 12, GETATTR = 24, VERSION = 100, ATTACH = 104, WALK = 110, READ = 116, CLUNK = 120 };
enum { ROOT_FID = 1, FILE_FID = 2, MOST_NAMES = 16, ENOENT = 2 };

static struct {
	uint8_t desc[16 * RING], avail[6 + 2 * RING], unused[2], used[6 + 8 * RING];
} __attribute__((aligned(128))) ring; /* of its parts: 16, 2 and 4 */
static uint8_t message[MESSAGE_BYTES] __attribute__((aligned(128)));
static uint8_t reply[MESSAGE_BYTES] __attribute__((aligned(128)));
static uint32_t n_message; /* bytes of it */

static struct sp_lock lock;
static bool attached;
static uint32_t common, notify_at; /* physical */
static uint16_t offered;

/* ---- little-endian memory and registers, on either CPU ---- */

static uint32_t le32(uint32_t v) { return IS_LITTLE ? v : __builtin_bswap32(v); }
static uint16_t le16(uint16_t v) { return IS_LITTLE ? v : __builtin_bswap16(v); }

static void out8(uint32_t pa, uint8_t v) { *(volatile uint8_t *)UNCACHED(pa) = v; }
static void out16(uint32_t pa, uint16_t v) { *(volatile uint16_t *)UNCACHED(pa) = le16(v); }
static void out32(uint32_t pa, uint32_t v) { *(volatile uint32_t *)UNCACHED(pa) = le32(v); }
static uint8_t in8(uint32_t pa) { return *(volatile uint8_t *)UNCACHED(pa); }
static uint16_t in16(uint32_t pa) { return le16(*(volatile uint16_t *)UNCACHED(pa)); }

static void put(uint8_t *at, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		((volatile uint8_t *)at)[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get(const uint8_t *at, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)((const volatile uint8_t *)at)[i] << 8 * i;
	return v;
}

/* ---- the device ---- */

static uint32_t config(unsigned function, uint32_t reg)
{
	out32(CONFIG_ADDR, 0x80000000u | (FIRST_SLOT + function / 8) << 11 | (function % 8) << 8 | (reg & 0xfc));
	return CONFIG_DATA;
}

static void set_config(unsigned function, uint32_t reg, uint32_t v)
{
	(void)config(function, reg);
	CONFIG_DATA = v;
}

/* Where its capabilities say that the registers are, in the BAR that is the only one. */
static void find_registers(unsigned function)
{
	uint32_t multiplier = 0, notify = 0;

	for (uint32_t cap = config(function, 0x34) & 0xfc; cap; cap = config(function, cap) >> 8 & 0xfc) {
		uint32_t head = config(function, cap);

		if ((head & 0xff) != CAP_VENDOR)
			continue;
		if (head >> 24 == CAP_COMMON)
			common = WINDOW + config(function, cap + 8);
		if (head >> 24 == CAP_NOTIFY) {
			notify = WINDOW + config(function, cap + 8);
			multiplier = config(function, cap + 16);
		}
	}
	if (!common || !notify)
		sp_fail("the share's device has no registers");
	out16(common + C_QUEUE, 0);
	notify_at = notify + multiplier * in16(common + C_NOTIFY);
}

static void start_queue(void)
{
	const uint8_t *const part[] = {ring.desc, ring.avail, ring.used};

	out16(common + C_QUEUE, 0);
	out16(common + C_SIZE, RING);
	for (unsigned i = 0; i < 3; i++) {
		out32(common + C_RINGS + 8 * i, PHYSICAL(part[i]));
		out32(common + C_RINGS + 8 * i + 4, 0);
	}
	out16(common + C_ENABLE, 1);
}

/* The first share.  False: there is none. */
static bool start_device(void)
{
	unsigned f = 0;

	while (f < SLOTS * 8 && config(f, 0) != ((uint32_t)DEVICE_9P << 16 | VENDOR_VIRTIO))
		f++;
	if (f == SLOTS * 8)
		return false;
	set_config(f, 0x10, WINDOW);
	set_config(f, 4, 6); /* memory, and bus master */
	find_registers(f);
	out8(common + C_STATUS, 0);
	out8(common + C_STATUS, ACKNOWLEDGE | DRIVER);
	out32(common + C_FEATURE_SELECT, 1);
	out32(common + C_FEATURE, 1); /* VIRTIO_F_VERSION_1, and nothing else */
	out8(common + C_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	start_queue();
	out8(common + C_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	return true;
}

static void describe(unsigned i, const void *at, uint32_t bytes, uint32_t flags)
{
	uint8_t *d = ring.desc + 16 * i;

	put(d, PHYSICAL(at), 8);
	put(d + 8, bytes, 4);
	put(d + 12, flags, 2);
	put(d + 14, i + 1, 2);
}

/*
 * The message to the host, and its answer to reply; with data, what is behind the head goes there.  0, or what Rlerror says.
 */
static uint32_t request(void *data, uint32_t data_bytes)
{
	uint8_t type;

	put(message, n_message, 4);
	describe(0, message, n_message, F_NEXT);
	describe(1, reply, data ? HEAD_BYTES : MESSAGE_BYTES, data ? F_WRITE | F_NEXT : F_WRITE);
	if (data)
		describe(2, data, data_bytes, F_WRITE);
	put(ring.avail + 4 + 2 * (offered % RING), 0, 2);
	sp_sync();
	put(ring.avail + 2, ++offered, 2);
	sp_sync();
	out16(notify_at, 0);
	for (uint32_t spins = 1; get(ring.used + 2, 2) != offered; spins++)
		if (spins % LOOKS == 0 && in8(common + C_STATUS) & NEEDS_RESET)
			sp_fail("the share's device has stopped");
	sp_sync();
	type = reply[4];
	if (type == LERROR)
		return (uint32_t)get(reply + 7, 4);
	if (type != message[4] + 1)
		sp_fail("the share answers something else than it was asked");
	return 0;
}

/* ---- 9P2000.L ---- */

static void add(uint64_t v, unsigned bytes)
{
	if (n_message + bytes > MESSAGE_BYTES)
		sp_fail("a file's name is too long");
	put(message + n_message, v, bytes);
	n_message += bytes;
}

static void begin(unsigned type)
{
	n_message = 4;
	add(type, 1);
	add(type == VERSION ? 0xffff : 0, 2);
}

static void add_text(const char *text, uint32_t n)
{
	add(n, 2);
	while (n--)
		add((uint8_t)*text++, 1);
}

static bool attach(void)
{
	if (attached)
		return true;
	if (!start_device())
		return false;
	begin(VERSION);
	add(MSIZE, 4);
	add_text("9P2000.L", 8);
	if (request(NULL, 0) || get(reply + 7, 4) < MSIZE)
		sp_fail("the share speaks another protocol");
	begin(ATTACH);
	add(ROOT_FID, 4);
	add(0xffffffff, 4);
	add_text("root", 4);
	add_text("", 0);
	add(0, 4);
	if (request(NULL, 0))
		sp_fail("the share cannot be attached to");
	attached = true;
	return true;
}

static uint32_t walk(const char *path)
{
	uint32_t names = 0, where;

	begin(WALK);
	add(ROOT_FID, 4);
	add(FILE_FID, 4);
	where = n_message;
	add(0, 2);
	while (*path) {
		uint32_t n = 0;

		while (*path == '/')
			path++;
		while (path[n] && path[n] != '/')
			n++;
		if (n && names++ == MOST_NAMES)
			sp_fail("a file's name has too many parts");
		if (n)
			add_text(path, n);
		path += n;
	}
	put(message + where, names, 2);
	if (request(NULL, 0))
		return ENOENT;
	return get(reply + 7, 2) == names ? 0 : ENOENT; /* then FILE_FID is none */
}

static uint32_t size_of(void)
{
	begin(GETATTR);
	add(FILE_FID, 4);
	add(0x200, 8); /* its size */
	if (request(NULL, 0) || get(reply + 56, 8) > 0x7fffffff)
		sp_fail("a file of the share has no size, or is too large");
	return (uint32_t)get(reply + 56, 8);
}

static void read_all(uint8_t *to, uint32_t bytes)
{
	begin(LOPEN);
	add(FILE_FID, 4);
	add(0, 4);
	if (request(NULL, 0))
		sp_fail("a file of the share cannot be opened");
	for (uint32_t at = 0, got; at < bytes; at += got) {
		uint32_t want = bytes - at < READ_BYTES ? bytes - at : READ_BYTES;

		begin(READ);
		add(FILE_FID, 4);
		add(at, 8);
		add(want, 4);
		if (request(to + at, want))
			sp_fail("a file of the share cannot be read");
		got = (uint32_t)get(reply + 7, 4);
		if (!got || got > want)
			sp_fail("a file of the share has become shorter");
	}
}

const void *sp_share_read(const char *path, size_t *bytes)
{
	uint8_t *data = NULL;

	sp_lock(&lock);
	*bytes = 0;
	if (attach() && walk(path) == 0) {
		*bytes = size_of();
		data = sp_alloc(*bytes + 1);
		read_all(data, *bytes);
		begin(CLUNK);
		add(FILE_FID, 4);
		(void)request(NULL, 0);
	}
	sp_unlock(&lock);
	return data;
}
