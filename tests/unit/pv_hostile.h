/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_PV_HOSTILE_H
#define TESTS_UNIT_PV_HOSTILE_H

/*
 * A hostile driver for every virtio device: bytes (of a fuzzer, or of a generator) choose a device and what is done to it
 * through its registers and rings.  Most requests are well-formed, so that they reach deep into the device; some are then
 * damaged.  After each input the device must be as new after a reset, have written nowhere but into guest memory (whose
 * pages are single allocations), and serve a good request.
 */
#include <stdio.h>
#include <unistd.h>

#include "pv-drivers/virtio/devices.h"
#include "pv-drivers/disk/disk.h"
#include "pv-drivers/net/net_switch.h"
#include "pv-drivers/virtio/virtio_pci.h"
#include "tests/unit/pv_guest.h"
#include "tests/unit/pv_net_frames.h"

enum {
	HOSTILE_PAGES = 128,
	HOSTILE_DATA_PAGE = 64, /* below: three pages for each queue */
	HOSTILE_QUEUE_SIZE = 16,
	HOSTILE_DEVICES = 8,
	HOSTILE_DISK_BYTES = 1 << 20,
	HOSTILE_MAX_OPS = 300,
};

struct hostile_device {
	struct virtio_device *d;
	struct virtio_pci regs;
	struct pv_guest *g;
	struct pv_driver q[VIRTIO_MAX_QUEUES];
	uint16_t next_desc[VIRTIO_MAX_QUEUES];
};

struct hostile {
	char dir[64];
	struct disk *disk;
	struct net_switch *sw;
	struct net *net, *peer; /* on one lan: what the hostile machine says, another one hears */
	struct pv_guest g[HOSTILE_DEVICES];
	struct hostile_device dev[HOSTILE_DEVICES];
	unsigned n;
	/* the input */
	const uint8_t *data;
	size_t left;
	/* what was seen, so that a run can show that it got somewhere */
	uint64_t good, requests, broken, frames;
};

/* ---- input ---- */

static inline uint32_t hostile_byte(struct hostile *h)
{
	if (!h->left)
		return 0;
	h->left--;
	return *h->data++;
}

static inline uint32_t hostile_word(struct hostile *h)
{
	uint32_t v = hostile_byte(h);

	v |= hostile_byte(h) << 8;
	v |= hostile_byte(h) << 16;
	return v | hostile_byte(h) << 24;
}

static inline void hostile_bytes(struct hostile *h, uint8_t *to, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		to[i] = (uint8_t)hostile_byte(h);
}

/* ---- devices ---- */

static inline size_t hostile_console_tx(void *opaque, const uint8_t *data, size_t n)
{
	struct hostile *h = opaque;

	(void)data;
	/* sometimes it takes less than there is */
	return n > 100 && h->left % 2 ? n / 2 : n;
}

static inline void hostile_add(struct hostile *h, struct virtio_device *d, bool synchronous)
{
	struct hostile_device *v = &h->dev[h->n];

	pv_guest_init(&h->g[h->n], HOSTILE_PAGES, 0);
	v->g = &h->g[h->n];
	v->d = d;
	d->host = pv_guest_host(v->g, synchronous);
	d->said_broken = true; /* a million lines help nobody */
	v->regs.dev = d;
	virtio_pci_reset(&v->regs);
	h->n++;
}

static inline bool hostile_open_disk(struct hostile *h)
{
	char path[80];
	struct disk_config cfg = {.path = path, .mode = DISK_RW, .format = DISK_FORMAT_RAW};
	struct disk_error err;
	FILE *f;

	snprintf(path, sizeof(path), "%s/disk", h->dir);
	f = fopen(path, "w");
	if (!f || ftruncate(fileno(f), HOSTILE_DISK_BYTES) || fclose(f))
		return false;
	return disk_open(&h->disk, &cfg, &err) == 0;
}

static inline bool hostile_open_share(struct hostile *h, struct virtio_device **out)
{
	char share[80], path[160];
	FILE *f;

	snprintf(share, sizeof(share), "%s/share", h->dir);
	snprintf(path, sizeof(path), "mkdir -p %s/a/b", share);
	if (system(path))
		return false;
	snprintf(path, sizeof(path), "%s/a/file", share);
	f = fopen(path, "w");
	if (!f || fputs("contents", f) < 0 || fclose(f))
		return false;
	return virtio_9p_new(out, share, "share", false) == 0;
}

/* What another machine gets is whole, and its header fits it. */
static inline void hostile_hears(void *opaque)
{
	struct hostile *h = opaque;
	struct net_frame *f;

	for (; (f = net_rx_peek(h->peer)); h->frames++) {
		struct net_hdr again = f->hdr;

		if (f->bytes < NET_ETH_BYTES || f->bytes > NET_MAX_FRAME_BYTES ||
		    net_hdr_check(&again, f->data, f->bytes) || memcmp(&again, &f->hdr, sizeof(again)) != 0)
			panic("a machine got a frame that contradicts itself");
		net_rx_pop(h->peer);
	}
}

static inline bool hostile_open_net(struct hostile *h)
{
	struct net_config cfg = {.kind = NET_LAN, .mtu = NET_MOST_MTU};
	struct net_error err;

	if (net_switch_new(&h->sw, NULL))
		return false;
	cfg.net_switch = h->sw;
	if (net_open(&h->net, &cfg, &err) || net_open(&h->peer, &cfg, &err))
		return false;
	net_attach(h->peer, hostile_hears, h);
	net_listen(h->peer, true);
	return true;
}

/* False: the host lacks something. */
static inline bool hostile_open(struct hostile *h)
{
	const struct console_port ports[2] = {
	    {.name = "terminal", .is_console = true, .tx = hostile_console_tx, .opaque = h},
	    {.name = "port", .tx = hostile_console_tx, .opaque = h}};
	struct virtio_device *d[7];
	const char *tmp = getenv("TMPDIR");

	*h = (struct hostile){0};
	if (snprintf(h->dir, sizeof(h->dir), "%s/disco-hostile.XXXXXX", tmp && *tmp ? tmp : "/tmp") >=
	    (int)sizeof(h->dir))
		return false;
	if (!mkdtemp(h->dir) || !hostile_open_disk(h) || !hostile_open_net(h) || !hostile_open_share(h, &d[5]))
		return false;
	if (virtio_rng_new(&d[0]) || virtio_balloon_new(&d[1], (uint64_t)HOSTILE_PAGES * PAGE_BYTES) ||
	    virtio_console_new(&d[2], ports, 2) || virtio_blk_new(&d[3], h->disk, "disk", "serial") ||
	    virtio_net_new(&d[4], h->net, "net") || virtio_blk_new(&d[6], h->disk, "disk with threads", "serial"))
		return false;
	for (unsigned i = 0; i < 7; i++)
		hostile_add(h, d[i], i != 6);
	return true;
}

static inline void hostile_close(struct hostile *h)
{
	char command[80];

	for (unsigned i = 0; i < h->n; i++) {
		virtio_device_free(h->dev[i].d);
		pv_guest_free(&h->g[i]);
	}
	if (h->disk)
		(void)disk_close(h->disk);
	net_close(h->net);
	if (h->peer)
		net_detach(h->peer);
	net_close(h->peer);
	net_switch_free(h->sw);
	snprintf(command, sizeof(command), "rm -rf %s", h->dir);
	if (system(command))
		fprintf(stderr, "%s stays\n", h->dir);
}

/* ---- registers ---- */

enum {
	HOSTILE_REG_FEATURE_SELECT = 8,
	HOSTILE_REG_FEATURE = 12,
	HOSTILE_REG_STATUS = 20,
	HOSTILE_REG_QUEUE = 22,
	HOSTILE_REG_SIZE = 24,
	HOSTILE_REG_ENABLE = 28,
	HOSTILE_REG_DESC = 32,
};

static inline void hostile_reg(struct hostile_device *v, uint32_t off, uint32_t value, unsigned bytes)
{
	virtio_pci_write(&v->regs, off, value, bytes);
}

static inline void hostile_start_queue(struct hostile_device *v, unsigned i)
{
	uint64_t base = (uint64_t)(3 * i + 1) * PAGE_BYTES;
	struct pv_driver *q = &v->q[i];

	for (unsigned p = 0; p < 3; p++)
		memset(v->g->page[3 * i + 1 + p], 0, PAGE_BYTES);
	*q = (struct pv_driver){.g = v->g,
				.desc = base,
				.avail = base + PAGE_BYTES,
				.used = base + 2 * PAGE_BYTES,
				.size = HOSTILE_QUEUE_SIZE};
	v->next_desc[i] = 0;
	hostile_reg(v, HOSTILE_REG_QUEUE, i, 2);
	hostile_reg(v, HOSTILE_REG_SIZE, HOSTILE_QUEUE_SIZE, 2);
	hostile_reg(v, HOSTILE_REG_DESC, (uint32_t)q->desc, 4);
	hostile_reg(v, HOSTILE_REG_DESC + 8, (uint32_t)q->avail, 4);
	hostile_reg(v, HOSTILE_REG_DESC + 16, (uint32_t)q->used, 4);
	hostile_reg(v, HOSTILE_REG_ENABLE, 1, 2);
}

/* As a driver does it; refuse: features that it does not want. */
static inline void hostile_start(struct hostile_device *v, uint64_t refuse)
{
	uint64_t features = (v->d->features_offered & ~refuse) | VIRTIO_F_VERSION_1;
	unsigned n = v->d->n_queues < HOSTILE_DATA_PAGE / 3 ? v->d->n_queues : HOSTILE_DATA_PAGE / 3 - 1;

	hostile_reg(v, HOSTILE_REG_STATUS, 0, 1);
	hostile_reg(v, HOSTILE_REG_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER, 1);
	hostile_reg(v, HOSTILE_REG_FEATURE_SELECT, 0, 4);
	hostile_reg(v, HOSTILE_REG_FEATURE, (uint32_t)features, 4);
	hostile_reg(v, HOSTILE_REG_FEATURE_SELECT, 1, 4);
	hostile_reg(v, HOSTILE_REG_FEATURE, (uint32_t)(features >> 32), 4);
	hostile_reg(v, HOSTILE_REG_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK, 1);
	for (unsigned i = 0; i < n; i++)
		hostile_start_queue(v, i);
	hostile_reg(v, HOSTILE_REG_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK,
		    1);
}

/* ---- requests ---- */

/* Numbers with a meaning somewhere, or at a border. */
static inline uint32_t hostile_number(struct hostile *h)
{
	static const uint32_t known[] = {0,    1,    2,          3,          4,      5,       7,          8,
					 16,   255,  256,        511,        512,    513,     2047,       2048,
					 4095, 4096, 0x7fffffff, 0x80000000, 0xffff, 0x10000, 0xffffffff, 0xfffffffe};
	uint32_t b = hostile_byte(h);

	return b < 200 ? known[b % ARRAY_LEN(known)] : b < 230 ? hostile_word(h) : b % 16;
}

/* A 9P2000.L message with few fids and names that exist; words: what else comes. */
static inline unsigned hostile_9p(struct hostile *h, uint8_t *to, const uint32_t word[8])
{
	static const uint8_t p9[] = {8,   12,  14,  16,  18,  22,  24,  26,  30,  32,  40,  50,
				     52,  54,  70,  72,  74,  76,  100, 104, 108, 110, 110, 110,
				     112, 114, 116, 116, 118, 118, 120, 120, 122, 124, 126};
	uint32_t bytes = 7 + hostile_byte(h) % 26;

	memcpy(to, &bytes, 4);
	to[4] = p9[hostile_byte(h) % ARRAY_LEN(p9)];
	to[5] = (uint8_t)hostile_byte(h); /* tag */
	to[6] = 0;
	memcpy(to + 7, word + 1, 25);
	to[7] &= 3; /* fid */
	to[8] = to[9] = to[10] = 0;
	if (to[4] == 110) { /* Twalk: newfid, names */
		memcpy(to + 11, "\1\0\0\0\2\0\1\0a\4\0file", 15);
		to[11] = (uint8_t)hostile_byte(h) & 3;
		to[15] = (uint8_t)hostile_byte(h) % 3;
		bytes = to[15] == 0 ? 17 : to[15] == 1 ? 20 : 26;
		to[0] = (uint8_t)bytes;
	}
	return bytes;
}

/* What the first buffer of a request of this device begins with; returns its size. */
static inline unsigned hostile_header(struct hostile *h, const struct hostile_device *v, unsigned queue, uint8_t *to)
{
	static const uint8_t blk[] = {0, 0, 0, 1, 1, 1, 4, 8, 11, 13, 2, 20};
	uint32_t word[8];

	for (unsigned i = 0; i < 8; i++)
		word[i] = hostile_number(h);
	switch (v->d->id) {
	case VIRTIO_ID_BLOCK:
		word[0] = blk[word[0] % ARRAY_LEN(blk)];
		word[2] = hostile_byte(h) * 8; /* sector */
		word[3] = hostile_byte(h) == 255;
		memcpy(to, word, 16);
		return 16;
	case VIRTIO_ID_9P:
		return hostile_9p(h, to, word);
	case VIRTIO_ID_NET:
		to[0] = (uint8_t)hostile_byte(h) & 3;
		to[1] = (uint8_t)hostile_byte(h) & 5;
		memcpy(to + 2, word, 30);
		return queue == 2 ? 2 + word[0] % 8 : 32;
	case VIRTIO_ID_CONSOLE:
		to[0] = (uint8_t)hostile_byte(h) % 4;
		to[1] = to[2] = to[3] = 0;
		to[4] = (uint8_t)hostile_byte(h) % 9;
		to[5] = 0;
		memcpy(to + 6, word, 2);
		return 8;
	default:
		memcpy(to, word, 32);
		return 32;
	}
}

/* A buffer in the data pages, or (rarely) anywhere. */
static inline struct pv_desc hostile_buffer(struct hostile *h, uint32_t len)
{
	uint32_t at = hostile_byte(h), off = hostile_byte(h);
	uint64_t pa = (HOSTILE_DATA_PAGE + at % (HOSTILE_PAGES - HOSTILE_DATA_PAGE)) * (uint64_t)PAGE_BYTES + off * 16;

	return (struct pv_desc){pa, len, 0, 0};
}

/*
 * A request of up to 6 buffers: readable ones, the first with a header, then writable ones.  Returns the first descriptor;
 * the table is the queue's or an indirect one.
 */
static inline uint16_t hostile_chain(struct hostile *h, struct hostile_device *v, unsigned queue)
{
	struct pv_driver *q = &v->q[queue];
	uint32_t shape = hostile_byte(h), n_out = shape & 3, n_in = shape >> 2 & 3, n = n_out + n_in;
	bool indirect = shape >> 4 & 1, last_is_byte = v->d->id == VIRTIO_ID_BLOCK;
	uint64_t table = indirect ? (uint64_t)(HOSTILE_PAGES - 1) * PAGE_BYTES + (shape >> 5) * 256 : q->desc;
	uint16_t base = v->next_desc[queue], head = (uint16_t)(base % HOSTILE_QUEUE_SIZE);
	uint8_t header[32];

	if (last_is_byte && hostile_byte(h) % 8) { /* with room for a status, and a header */
		n += n_out == 0;
		n_out += n_out == 0;
		n += n == n_out;
	}
	n += !n;
	for (unsigned i = 0; i < n; i++) {
		uint32_t len = last_is_byte && i + 1 == n ? 1 : i ? 512 * (1 + hostile_byte(h) % 8) : 0;
		unsigned at = indirect ? i : (base + i) % HOSTILE_QUEUE_SIZE;
		struct pv_desc d = hostile_buffer(h, len);

		if (!i && n_out) {
			d.len = hostile_header(h, v, queue, header);
			pv_guest_put(v->g, d.addr, header, d.len);
		} else if (!len) {
			d.len = hostile_number(h) % 70000;
		}
		d.flags = (uint16_t)((i >= n_out ? PV_WRITE : 0) | (i + 1 < n ? PV_NEXT : 0));
		d.next = (uint16_t)(indirect ? i + 1 : (base + i + 1) % HOSTILE_QUEUE_SIZE);
		pv_put_desc(v->g, table, at, d);
	}
	if (indirect)
		pv_put_desc(v->g, q->desc, head, (struct pv_desc){table, 16 * n, PV_INDIRECT, 0});
	v->next_desc[queue] = (uint16_t)(base + (indirect ? 1 : n));
	return head;
}

/* A chain of one readable and one writable buffer, well-formed, done. */
static inline void hostile_exchange(struct hostile_device *v, unsigned queue, const void *out, uint32_t n, uint32_t in)
{
	struct pv_driver *q = &v->q[queue];
	uint64_t at = HOSTILE_DATA_PAGE * (uint64_t)PAGE_BYTES;
	uint16_t head = v->next_desc[queue] % HOSTILE_QUEUE_SIZE;

	pv_guest_put(v->g, at, out, n);
	pv_put_desc(v->g, q->desc, head, (struct pv_desc){at, n, PV_NEXT, (uint16_t)((head + 1) % HOSTILE_QUEUE_SIZE)});
	pv_put_desc(v->g, q->desc, (head + 1) % HOSTILE_QUEUE_SIZE, (struct pv_desc){at + PAGE_BYTES, in, PV_WRITE, 0});
	v->next_desc[queue] = (uint16_t)(v->next_desc[queue] + 2);
	pv_offer(q, head);
	virtio_pci_write(&v->regs, VIRTIO_PCI_NOTIFY + VIRTIO_PCI_NOTIFY_STEP * queue, queue, 2);
	virtio_poll(v->d);
}

/* What a driver says first: version and attach of a share. */
static inline void hostile_hello(struct hostile_device *v)
{
	static const char version[] = "\x15\0\0\0\x64\xff\xff\0\x10\0\0\x08\0"
				      "9P2000.L";
	static const char attach[] = "\x17\0\0\0\x68\0\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0";

	if (v->d->id != VIRTIO_ID_9P)
		return;
	hostile_exchange(v, 0, version, 21, 512);
	hostile_exchange(v, 0, attach, 23, 512);
}

/* One field of a descriptor, of a ring or of anything in the first pages becomes another. */
static inline void hostile_damage(struct hostile *h, struct hostile_device *v, unsigned queue)
{
	struct pv_driver *q = &v->q[queue];
	uint32_t what = hostile_byte(h) % 8, v32 = hostile_number(h);
	uint64_t slot = hostile_byte(h) % HOSTILE_QUEUE_SIZE, v64 = (uint64_t)hostile_number(h) << 32 | v32;

	switch (what) {
	case 0:
		pv_guest_put64(v->g, q->desc + 16 * slot, hostile_byte(h) & 1 ? v64 : v32);
		break;
	case 1:
		pv_guest_put(v->g, q->desc + 16 * slot + 8, &v32, 4);
		break;
	case 2:
		pv_guest_put16(v->g, q->desc + 16 * slot + 12, (uint16_t)v32);
		break;
	case 3:
		pv_guest_put16(v->g, q->desc + 16 * slot + 14, (uint16_t)v32);
		break;
	case 4:
		pv_guest_put16(v->g, q->avail + 4 + 2 * slot, (uint16_t)v32);
		break;
	case 5:
		q->avail_index = (uint16_t)(q->avail_index + v32 % 20);
		pv_guest_put16(v->g, q->avail + 2, q->avail_index);
		break;
	case 6:
		pv_guest_put16(v->g, hostile_byte(h) & 1 ? q->avail : pv_used_event_at(q), (uint16_t)v32);
		break;
	default: /* of an indirect table, or a header */
		pv_guest_put(v->g, (uint64_t)(HOSTILE_PAGES - 1 - (v32 & 1)) * PAGE_BYTES + 2 * hostile_byte(h), &v32,
			     4);
		break;
	}
}

/* Another machine sends to the hostile one, or to all. */
static inline void hostile_frame(struct hostile *h, uint32_t b)
{
	struct frame_spec s = {.v6 = b & 1, .vlan = b >> 1 & 1, .payload = hostile_number(h) % 60000, .flags = 0x10};
	struct net_hdr hdr = frame_hdr(&s, b >> 2 & 1 ? 200 + hostile_byte(h) * 100 : 0);
	static uint8_t f[NET_MAX_FRAME_BYTES];
	struct iovec iov = {f, frame_make(&s, f, true)};

	memset(f, 0xff, 6);
	if (b >> 3 & 1)
		net_mac(h->net, f);
	if (net_hdr_check(&hdr, f, (uint32_t)iov.iov_len) == 0)
		(void)net_send(h->peer, &hdr, &iov, 1, (uint32_t)iov.iov_len);
}

/* What happens on the host's side of the device meanwhile. */
static inline void hostile_backend(struct hostile *h, struct hostile_device *v)
{
	uint8_t buf[64];
	uint32_t b = hostile_byte(h);

	switch (v->d->id) {
	case VIRTIO_ID_BALLOON:
		virtio_balloon_set_target(v->d, hostile_number(h));
		virtio_balloon_refresh_stats(v->d);
		break;
	case VIRTIO_ID_CONSOLE:
		hostile_bytes(h, buf, sizeof(buf));
		if (b & 1)
			(void)virtio_console_send(v->d, b >> 1 & 1, buf, b >> 2);
		else
			virtio_console_ready(v->d, b >> 1 & 1);
		if (b == 255)
			virtio_console_hang_up(v->d, 1);
		break;
	case VIRTIO_ID_NET:
		hostile_frame(h, b);
		break;
	default:
		break;
	}
}

static inline void hostile_op(struct hostile *h, struct hostile_device *v)
{
	uint32_t op = hostile_byte(h), queue = hostile_byte(h) % v->d->n_queues, value;
	static const uint8_t widths[] = {1, 2, 4, 4};

	if (!v->q[queue].size) /* never started */
		op |= 15;
	switch (op & 15) {
	case 0 ... 5:
		pv_offer(&v->q[queue], hostile_chain(h, v, queue));
		if (op >> 4 == 0)
			hostile_damage(h, v, queue);
		break;
	case 6:
	case 7:
		virtio_pci_write(&v->regs, VIRTIO_PCI_NOTIFY + VIRTIO_PCI_NOTIFY_STEP * queue, queue, 2);
		break;
	case 8:
		virtio_poll(v->d);
		break;
	case 9: /* registers: mostly those of a queue, or the status */
		value = hostile_number(h);
		hostile_reg(v, op & 16 ? hostile_byte(h) % 64 : hostile_word(h) % VIRTIO_PCI_BAR_BYTES, value,
			    widths[op >> 5 & 3]);
		break;
	case 10:
		(void)virtio_pci_read(&v->regs, op & 16 ? VIRTIO_PCI_ISR : hostile_word(h) % VIRTIO_PCI_BAR_BYTES,
				      widths[op >> 5 & 3]);
		break;
	case 11:
		if (op >> 4 < 4)
			hostile_damage(h, v, queue);
		break;
	case 12:
		hostile_reg(v, VIRTIO_PCI_DEVICE + hostile_byte(h) % 32, hostile_number(h), widths[op >> 5 & 3]);
		break;
	case 13:
		hostile_backend(h, v);
		break;
	case 14:
		if (op >> 4 == 0)
			hostile_reg(v, HOSTILE_REG_STATUS, hostile_byte(h), 1);
		break;
	default:
		if (op >> 4 < 2 || !v->q[0].size)
			hostile_start(v, op >> 4 & 1 ? hostile_word(h) : 0);
		break;
	}
}

/* ---- after an input ---- */

#define HOSTILE_MUST(c)                                                                                                \
	do {                                                                                                           \
		if (!(c))                                                                                              \
			panic("%s: not so: %s", v->d->name, #c);                                                       \
	} while (0)

static inline void hostile_reset_and_check(struct hostile *h, struct hostile_device *v)
{
	struct virtio_device *d = v->d;

	HOSTILE_MUST(v->g->irq == (d->isr != 0));
	h->broken += (d->status & VIRTIO_NEEDS_RESET) != 0;
	virtio_pci_reset(&v->regs);
	HOSTILE_MUST(v->g->outside == 0);
	HOSTILE_MUST(!d->status && !d->isr && !v->g->irq && !d->features);
	for (unsigned i = 0; i < d->n_queues; i++)
		HOSTILE_MUST(!d->queue[i].in_flight && !d->queue[i].first_in_flight && !d->queue[i].enabled);
}

/* A request that must be done: a read of the disk, random bytes. */
static inline void hostile_good_request(struct hostile *h, struct hostile_device *v)
{
	static const uint8_t read_sector_0[16];
	struct pv_driver *q = &v->q[0];
	uint64_t at = HOSTILE_DATA_PAGE * (uint64_t)PAGE_BYTES;
	bool blk = v->d->id == VIRTIO_ID_BLOCK;
	uint32_t id, len;
	uint8_t status = 0xff;

	if (!blk && v->d->id != VIRTIO_ID_RNG)
		return;
	hostile_start(v, 0);
	pv_guest_put(v->g, at, read_sector_0, 16);
	pv_guest_put(v->g, at + 16, &status, 1);
	pv_put_desc(v->g, q->desc, 0, (struct pv_desc){at, 16, PV_NEXT, 1});
	pv_put_desc(v->g, q->desc, 1, (struct pv_desc){at + PAGE_BYTES, 512, PV_WRITE | PV_NEXT, 2});
	pv_put_desc(v->g, q->desc, 2, (struct pv_desc){at + 16, 1, PV_WRITE, 0});
	pv_offer(q, blk ? 0 : 1);
	virtio_pci_write(&v->regs, VIRTIO_PCI_NOTIFY, 0, 2);
	while (!v->d->host.synchronous && v->q[0].used_index == pv_guest_get16(v->g, q->used + 2)) {
		usleep(10);
		virtio_poll(v->d);
	}
	HOSTILE_MUST(pv_take(q, &id, &len) && id == !blk && len == 513);
	pv_guest_get(v->g, at + 16, &status, 1);
	HOSTILE_MUST(!blk || status == 0);
	h->good++;
	hostile_reset_and_check(h, v);
}

/* One input, from any state but with a fresh device. */
static inline void hostile_run(struct hostile *h, const uint8_t *data, size_t bytes)
{
	struct hostile_device *v;
	uint64_t before;
	uint32_t first;

	h->data = data;
	h->left = bytes;
	v = &h->dev[hostile_byte(h) % h->n];
	first = hostile_byte(h);
	before = v->d->stats.requests;
	if (first & 7)
		hostile_start(v, first & 8 ? 1ull << (first >> 4) : first & 16 ? VIRTIO_F_EVENT_IDX : 0);
	else
		v->q[0].size = 0;
	if (first & 3)
		hostile_hello(v);
	for (unsigned i = 0; i < HOSTILE_MAX_OPS && h->left; i++)
		hostile_op(h, v);
	hostile_reset_and_check(h, v);
	h->requests += v->d->stats.requests - before;
	if (first % 8 == 7)
		hostile_good_request(h, v);
}

#endif
