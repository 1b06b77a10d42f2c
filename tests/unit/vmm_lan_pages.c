/* SPDX-License-Identifier: MIT */
/* Machines of one monitor on a lan: pages of payload are mapped into the receiver, if its driver takes them (docs/disco-net.md). */
#include "pv-drivers/net/net_card.h"
#include "pv-drivers/net/net_offload.h"
#include "pv-drivers/virtio/devices.h"

#include "numa/region.h"
#include "numa/share.h"
#include "tests/unit/pv_net_frames.h"
#include "tests/unit/vmm_machine.h"
#include "vmm/devices/virtio_bus.h"
#include "vmm/monitor/audit.h"
#include "vmm/monitor/monitor.h"

enum { RX = 0, TX = 1, PAGES = 3, QUEUES = 4, SIZE = 64, RINGS = 0x200000, RING_BYTES = 0x4000 };
enum { HEADS = 0x280000, HEAD_BYTES = 12 + 256, POOL = 0x300000, OUT = 0x100000 };

struct member {
	struct vm *vm;
	struct net *net;
	struct virtio_device *d;
	uint8_t mac[6];
	uint16_t desc[QUEUES], avail[QUEUES], used[QUEUES];
};

struct part {
	uint64_t pa;
	uint32_t bytes;
};

static struct monitor *monitor(void)
{
	struct monitor *mon;

	cr_assert_eq(
	    monitor_new(&mon, &(struct monitor_config){.memory_bytes = 4 * RAM_BYTES, .nodes = 1, .share = true}), 0);
	return mon;
}

static uint64_t ring(unsigned q) { return RINGS + q * (uint64_t)RING_BYTES; }

static void put(struct member *m, uint64_t pa, const void *data, size_t n)
{
	cr_assert_eq(pmap_write(m->vm->ram, gpa(pa), data, n), 0);
}

static void get(struct member *m, uint64_t pa, void *data, size_t n)
{
	cr_assert_eq(pmap_read(m->vm->ram, gpa(pa), data, n), 0);
}

static struct machine_page *page(struct member *m, uint64_t pa) { return pmap_peek(m->vm->ram, gpa(pa)); }

static void start(struct member *m, uint64_t features)
{
	virtio_reset(m->d);
	memset(m->desc, 0, sizeof(m->desc));
	memset(m->avail, 0, sizeof(m->avail));
	memset(m->used, 0, sizeof(m->used));
	virtio_set_status(m->d, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER, 0);
	virtio_set_status(m->d, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK, features);
	for (unsigned q = 0; q < QUEUES; q++) {
		uint8_t none[RING_BYTES] = {0};

		put(m, ring(q), none, sizeof(none));
		m->d->queue[q].size = SIZE;
		m->d->queue[q].desc = gpa(ring(q));
		m->d->queue[q].avail = gpa(ring(q) + 0x1000);
		m->d->queue[q].used = gpa(ring(q) + 0x2000);
		virtio_enable_queue(m->d, q);
	}
	virtio_set_status(m->d, 0xf, 0);
	cr_assert(virtio_running(m->d));
}

#define PAGES_TOO    (m->d->features_offered & ~VIRTIO_F_EVENT_IDX)
#define WITHOUT(bit) (m->d->features_offered & ~VIRTIO_F_EVENT_IDX & ~(bit))

static struct member *join(struct monitor *mon, unsigned number)
{
	struct net_config cfg = {.kind = NET_LAN, .net_switch = mon->net_switch, .machine = number, .mtu = 65535};
	struct member *m = calloc(1, sizeof(*m));
	struct net_error err;

	m->vm = machine_open_in(mon, &(struct vm_config){0}, TIERS_INTERP);
	cr_assert_eq(net_open(&m->net, &cfg, &err), 0, "%s", err.text);
	cr_assert_eq(virtio_net_new(&m->d, m->net, "net"), 0);
	cr_assert_eq(m->d->vendor, VIRTIO_VENDOR_DISCO);
	cr_assert_eq(vm_add_virtio(m->vm, m->d), 0);
	net_mac(m->net, m->mac);
	start(m, PAGES_TOO);
	return m;
}

static void leave(struct member *m)
{
	vm_free(m->vm);
	net_close(m->net);
	free(m);
}

static void audit(struct monitor *mon)
{
	char first[300] = "";

	cr_assert_eq(machine_memory_audit(mon->memory, NULL, first, sizeof(first)), 0u, "%s", first);
}

static void add(struct member *m, unsigned q, const struct part *p, unsigned n, bool in)
{
	uint16_t head = m->desc[q] % SIZE;

	for (unsigned i = 0; i < n; i++) {
		uint16_t at = m->desc[q]++ % SIZE;
		struct {
			uint64_t addr;
			uint32_t len;
			uint16_t flags, next;
		} d = {p[i].pa, p[i].bytes, (uint16_t)((i + 1 < n) | in << 1), m->desc[q] % SIZE};

		put(m, ring(q) + 16u * at, &d, sizeof(d));
	}
	put(m, ring(q) + 0x1004 + 2 * (m->avail[q]++ % SIZE), &head, 2);
	put(m, ring(q) + 0x1002, &m->avail[q], 2);
	virtio_notify(m->d, q);
}

/* The next used element's length; -1: there is none. */
static int64_t taken(struct member *m, unsigned q)
{
	uint16_t index;
	uint32_t len;

	get(m, ring(q) + 0x2002, &index, 2);
	if (index == m->used[q])
		return -1;
	get(m, ring(q) + 0x2004 + 8 * (m->used[q]++ % SIZE) + 4, &len, 4);
	return len;
}

static void give_head(struct member *m, unsigned n)
{
	add(m, RX, &(struct part){HEADS + n * 0x200, HEAD_BYTES}, 1, true);
}

static void give_pages(struct member *m, uint64_t pa, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		add(m, PAGES, &(struct part){pa + i * PAGE_BYTES, PAGE_BYTES}, 1, true);
}

/* A TCP frame with `payload` bytes to b, in OUT: its headers, then pages. Bytes of headers. */
static uint32_t prepare(struct member *a, const uint8_t *to, uint32_t payload)
{
	struct frame_spec s = {.payload = payload, .flags = 0x18, .seq = 5};
	static uint8_t f[NET_MAX_FRAME_BYTES];
	struct net_hdr h = frame_hdr(&s, 4096);
	uint32_t bytes = frame_make(&s, f, true), head = net_payload_at(f, NET_HEAD_BYTES, bytes);

	cr_assert_eq(bytes, head + payload);
	memcpy(f, to, 6);
	memcpy(f + 6, a->mac, 6);
	for (uint32_t i = 0; i < payload; i++)
		f[head + i] = (uint8_t)(i * 7 + (i >> 12));
	put(a, OUT - 512, &h, sizeof(h));
	put(a, OUT - 500, f, head);
	put(a, OUT, f + head, payload);
	return head;
}

static void transmit(struct member *a, uint32_t head, uint32_t payload)
{
	struct part p[3] = {{OUT - 512, 12}, {OUT - 500, head}, {OUT, payload}};

	add(a, TX, p, 3, false);
	cr_assert_eq(taken(a, TX), 0, "it is sent at once");
}

static bool same(struct member *m, uint64_t pa, uint32_t from, uint32_t bytes)
{
	static uint8_t got[65536];

	get(m, pa, got, bytes);
	for (uint32_t i = 0; i < bytes; i++)
		if (got[i] != (uint8_t)((from + i) * 7 + ((from + i) >> 12)))
			return false;
	return true;
}

static struct net_counters counted(struct member *m)
{
	struct net_counters n;

	cr_assert(virtio_net_count(m->d, &n));
	return n;
}

Test(lan_pages, payload_is_mapped_as_it_was_sent)
{
	struct monitor *mon = monitor();
	struct member *a = join(mon, 0), *b = join(mon, 1);
	uint32_t head = prepare(a, b->mac, 2 * PAGE_BYTES + 100);
	struct machine_page *sent[2] = {page(a, OUT), page(a, OUT + PAGE_BYTES)};
	uint8_t seven[PAGE_BYTES];
	struct net_hdr h;

	memset(seven, 7, sizeof(seven));
	transmit(a, head, 2 * PAGE_BYTES + 100);
	audit(mon);
	put(a, OUT, seven, sizeof(seven)); /* while it is on its way */
	give_head(b, 0);
	virtio_bus_poll(b->vm);
	cr_assert_eq(taken(b, RX), -1, "there are no pages yet");
	give_pages(b, POOL, 4);
	cr_assert_eq(taken(b, RX), 12 + head);
	get(b, HEADS, &h, sizeof(h));
	cr_assert_eq(h.num_buffers, 3);
	cr_assert_eq(h.gso_size, 4096);
	cr_assert_eq(taken(b, PAGES), PAGE_BYTES);
	cr_assert_eq(taken(b, PAGES), PAGE_BYTES);
	cr_assert_eq(taken(b, PAGES), 100);
	cr_assert_eq(taken(b, PAGES), -1);
	cr_assert_eq(page(b, POOL), sent[0], "no copy");
	cr_assert_eq(page(b, POOL + PAGE_BYTES), sent[1]);
	cr_assert_eq(page(a, OUT + PAGE_BYTES), sent[1]);
	cr_assert_neq(page(a, OUT), sent[0]);
	cr_assert(same(b, POOL, 0, 2 * PAGE_BYTES + 100), "nothing of what came later");
	audit(mon);
	put(b, POOL + PAGE_BYTES, seven, 1);
	cr_assert(same(a, OUT + PAGE_BYTES, PAGE_BYTES, PAGE_BYTES), "nor does the sender see the receiver's");
	cr_assert_eq(counted(b).payload_mapped, 2 * PAGE_BYTES);
	cr_assert_eq(counted(b).payload_copied, 100u);
	cr_assert_eq(counted(a).copied_bytes, head + 100);
	audit(mon);
	leave(a);
	cr_assert(same(b, POOL, 0, PAGE_BYTES), "it outlives the sender");
	audit(mon);
	leave(b);
	monitor_free(mon);
}

/* Without the module, with offloads that the driver does not have, across pages, by two that are together: copied, and counted. */
Test(lan_pages, the_rest_is_copied)
{
	static const uint64_t without[] = {NET_F_PAGES, NET_F_GUEST_TSO4, NET_F_GUEST_CSUM | NET_F_GUEST_TSO4};
	struct monitor *mon = monitor();
	struct member *a = join(mon, 0), *m = join(mon, 1);

	for (unsigned i = 0; i < ARRAY_LEN(without); i++) {
		uint32_t head = prepare(a, m->mac, 8 * PAGE_BYTES);
		struct net_counters was = counted(m), is;

		start(m, WITHOUT(without[i]));
		for (unsigned k = 0; k < 16; k++)
			if (i)
				give_head(m, k);
			else
				add(m, RX, &(struct part){POOL + k * 0x4000, 0x4000}, 1, true);
		if (i)
			give_pages(m, POOL, 16);
		transmit(a, head, 8 * PAGE_BYTES);
		virtio_bus_poll(m->vm);
		cr_assert_gt(taken(m, RX), 0);
		is = counted(m);
		cr_assert_eq(is.payload_mapped, was.payload_mapped);
		cr_assert_eq(is.payload_copied, was.payload_copied + 8 * PAGE_BYTES);
		if (i)
			for (unsigned k = 0; k < 8; k++) {
				cr_assert_eq(taken(m, PAGES), PAGE_BYTES, "a segment");
				cr_assert(same(m, POOL + k * PAGE_BYTES, k * PAGE_BYTES, PAGE_BYTES));
			}
		else
			cr_assert(same(m, POOL + 12 + head, 0, 0x4000 - 12 - head));
		audit(mon);
	}
	leave(a);
	leave(m);
	monitor_free(mon);
}

Test(lan_pages, to_all)
{
	static const uint8_t all[6] = {255, 255, 255, 255, 255, 255};
	struct monitor *mon = monitor();
	struct member *a = join(mon, 0), *b = join(mon, 1), *c = join(mon, 2);
	uint32_t head = prepare(a, all, PAGE_BYTES);

	transmit(a, head, PAGE_BYTES);
	for (unsigned i = 0; i < 2; i++) {
		give_head(i ? c : b, 0);
		give_pages(i ? c : b, POOL, 1);
		cr_assert_eq(page(i ? c : b, POOL), page(a, OUT));
	}
	audit(mon);
	leave(b);
	leave(a);
	cr_assert(same(c, POOL, 0, PAGE_BYTES));
	leave(c);
	monitor_free(mon);
}

/* What a driver may do wrong: its device stops, or the payload is copied; nobody else is touched. */
Test(lan_pages, hostile_receivers)
{
	static const struct {
		struct part head, page;
		bool works;
	} cases[] = {
	    {{HEADS, HEAD_BYTES - 1}, {POOL, PAGE_BYTES}, false},
	    {{HEADS, HEAD_BYTES}, {POOL + 16, PAGE_BYTES}, false},
	    {{HEADS, HEAD_BYTES}, {POOL, PAGE_BYTES - 1}, false},
	    {{HEADS, HEAD_BYTES}, {POOL, 2 * PAGE_BYTES}, false},
	    {{HEADS, HEAD_BYTES}, {0x1fc00000, PAGE_BYTES}, false}, /* the flash */
	    {{HEADS, HEAD_BYTES}, {0x18000000, PAGE_BYTES}, false}, /* a device */
	    {{HEADS, HEAD_BYTES}, {RAM_BYTES, PAGE_BYTES}, false},  /* nothing */
	    {{HEADS, HEAD_BYTES}, {0xfffffffffffff000, PAGE_BYTES}, false},
	    {{0x18000000, HEAD_BYTES}, {POOL, PAGE_BYTES}, false},
	    {{POOL, HEAD_BYTES}, {POOL, PAGE_BYTES}, true},                    /* over its own headers */
	    {{HEADS, HEAD_BYTES}, {RINGS + 1 * RING_BYTES, PAGE_BYTES}, true}, /* over a ring of its own */
	    {{HEADS, HEAD_BYTES}, {POOL + 0x10000, PAGE_BYTES}, true},         /* of a region */
	    {{HEADS, HEAD_BYTES}, {POOL + 0x20000, PAGE_BYTES}, true},         /* given up meanwhile */
	};
	struct monitor *mon = monitor();
	struct member *a = join(mon, 0), *m = join(mon, 1);
	struct region *r;

	cr_assert_eq(region_get(&r, mon->memory, "ring", PAGE_BYTES), 0);
	cr_assert_eq(pmap_map_region(m->vm->ram, gpa(POOL + 0x10000), r, 0), 0);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t head = prepare(a, m->mac, PAGE_BYTES);

		start(m, PAGES_TOO);
		add(m, PAGES, &cases[i].page, 1, true);
		add(m, RX, &cases[i].head, 1, true);
		pmap_release(m->vm->ram, gpa(POOL + 0x20000), PAGE_BYTES);
		transmit(a, head, PAGE_BYTES);
		virtio_bus_poll(m->vm);
		cr_assert_eq(virtio_running(m->d), cases[i].works, "case %u", i);
		audit(mon);
		start(a, a->d->features);
		prepare(a, m->mac, PAGE_BYTES);
		cr_assert(same(a, OUT, 0, PAGE_BYTES), "case %u: the sender's memory", i);
	}
	cr_assert_eq(page(m, POOL + 0x10000)->flags & PAGE_REGION, PAGE_REGION, "it is still the region's");
	cr_assert(same(m, POOL + 0x10000, 0, PAGE_BYTES), "and has what came");
	leave(a);
	leave(m);
	region_put(r);
	monitor_free(mon);
}

/* A receiver that does not read: what is on its way to it is bounded, and goes when it is reset, or leaves. */
Test(lan_pages, a_receiver_that_does_not_read)
{
	struct monitor *mon = monitor();
	struct member *a = join(mon, 0), *m = join(mon, 1);
	uint32_t head = prepare(a, m->mac, 15 * PAGE_BYTES);
	uint8_t b[PAGE_BYTES] = {0};
	uint64_t before;

	for (unsigned how = 0; how < 2; how++) {
		before = machine_memory_pages_used(mon->memory, -1);
		for (unsigned i = 0; i < 100; i++) {
			for (unsigned k = 0; k < 15; k++) { /* each time other pages */
				b[0] = (uint8_t)i;
				put(a, OUT + k * PAGE_BYTES, b, 1);
			}
			transmit(a, head, 15 * PAGE_BYTES);
		}
		cr_assert_gt(counted(m).rx_no_room, 50u);
		cr_assert_leq(machine_memory_pages_used(mon->memory, -1), before + NET_LAN_LENT_BYTES / PAGE_BYTES,
			      "no more than the ring has room for");
		audit(mon);
		if (how)
			break;
		start(m, PAGES_TOO);
		cr_assert_leq(machine_memory_pages_used(mon->memory, -1), before + 15);
		audit(mon);
	}
	leave(m);
	audit(mon);
	cr_assert_leq(machine_memory_pages_used(mon->memory, -1), before);
	leave(a);
	monitor_free(mon);
}

/* A frame whose headers are not where they end: in a page that is lent, and other ones behind it, where a receiver would find them. */
static void send_crooked(struct member *a, struct member *m, uint8_t ihl, uint8_t data_offset, uint32_t first)
{
	uint8_t f[128] = {0}, behind[512], zero[12] = {0};
	struct part p[4] = {{OUT - 512, 12}, {OUT - 500, first}, {OUT, PAGE_BYTES}, {OUT + PAGE_BYTES, sizeof(behind)}};
	struct frame_spec s = {.payload = 20, .flags = 0x18};

	frame_make(&s, f, true);
	memcpy(f, m->mac, 6);
	memcpy(f + 6, a->mac, 6);
	/* from where the page is taken out: the longest IP and TCP headers that there are */
	memset(behind, 0xf0, sizeof(behind));
	if (first < 34)
		memcpy(behind, f + first, 34 - first);
	behind[0] = first < 34 ? 0x4f : behind[0];
	f[14] = (uint8_t)(0x40 | ihl);
	f[46] = data_offset;
	put(a, OUT - 512, zero, sizeof(zero));
	put(a, OUT - 500, f, first);
	put(a, OUT, f + first, sizeof(f) - first);
	put(a, OUT + PAGE_BYTES, behind, sizeof(behind));
	add(a, TX, p, 4, false);
	cr_assert_eq(taken(a, TX), 0);
}

Test(lan_pages, headers_that_are_not_what_they_say)
{
	struct monitor *mon = monitor();
	struct member *a = join(mon, 0), *m = join(mon, 1);

	for (uint32_t first = 14; first <= 66; first += 4) {
		for (unsigned ihl = 0; ihl < 16; ihl++) {
			for (unsigned off = 0; off < 16; off++) {
				uint32_t bytes = first + PAGE_BYTES + 512, head;
				uint8_t got[256];

				start(a, a->d->features);
				start(m, m->d->features);
				send_crooked(a, m, (uint8_t)ihl, (uint8_t)(off << 4), first);
				give_pages(m, POOL, 4);
				give_head(m, 0);
				virtio_bus_poll(m->vm);
				head = (uint32_t)taken(m, RX) - 12;
				cr_assert_leq(head, 256u);
				get(m, HEADS + 12, got, head < first ? head : first);
				cr_assert_eq(memcmp(got, m->mac, 6), 0);
				for (int64_t n; (n = taken(m, PAGES)) >= 0;)
					head += (uint32_t)n;
				cr_assert_eq(head, bytes, "all of it, once");
			}
		}
	}
	cr_assert_gt(counted(m).payload_mapped, 0u, "or nothing was tested");
	audit(mon);
	leave(a);
	leave(m);
	monitor_free(mon);
}
