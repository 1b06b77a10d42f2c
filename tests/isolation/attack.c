/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/cp0.h"
#include "pv-drivers/disk/disk.h"
#include "pv-drivers/net/net.h"
#include "pv-drivers/net/net_cable.h"
#include "pv-drivers/net/net_offload.h"
#include "pv-drivers/virtio/devices.h"
#include "pv-drivers/virtio/virtio_pci.h"
#include "tests/guest/random_words.h"
#include "tests/isolation/isolation.h"
#include "tests/oracle/asm.h"
#include "vmm/board/pci.h"
#include "vmm/cpu/helpers.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/devices/virtio_bus.h"
#include "vmm/devices/virtio_memory.h"

/*
 * Machine A.  An input is a stream of random words with random registers, TLB entries and modes, executed for TIME_NS at most; and
 * chains in the rings of one device, mostly well-formed, so that they reach deep into it, some of them then damaged.  Exceptions end at
 * the vectors, which press the reset button.
 */
enum {
	DEVICES = 7,
	QUEUES = 2,          /* of a device, that are used */
	CODE_PA = 0x10000,   /* two pages */
	RINGS_PA = 0x200000, /* three pages for each queue */
	INDIRECT_PA = RINGS_PA - 0x1000,
	DATA_PA = 0x300000, /* up to the end of memory */
	QUEUE_SIZE = 16,
	INPUTS_OF_A_MACHINE = 256,
	TIME_NS = 300000,
	GT = 0x1be00000,
	BAR_PA = 0x10000000, /* of the first device; the n-th 64 KiB further */
	BAR_STEP = 0x10000,
	FIRST_SLOT = 18,
};
enum { ZERO = 0, AT = 1, V0 = 2, A0 = 4, K0 = 26 };
#define A_SH(rt, o, rs) I_TYPE(0x29, rs, rt, o)

struct attack {
	struct monitor *mon;
	const struct scratch *s;
	bool tier1, tier2;
	struct vm *vm;
	struct virtio_device *dev[DEVICES];
	struct disk *disk, *image;
	struct net *cable, *peer;
	unsigned inputs; /* of this machine */
	uint16_t next_desc[QUEUES], avail[QUEUES];
	struct attack_counts counts;
	struct random r;
};

static uint32_t roll(struct attack *a, uint32_t n) { return random_below(&a->r, n); }
static uint32_t word(struct attack *a) { return (uint32_t)random_next(&a->r); }

/* ---- the machine ---- */

struct vm *isolation_machine(struct monitor *mon, bool tier1, bool tier2)
{
	struct vm_config cfg = {.ram_bytes = ISOLATION_RAM_BYTES,
				.cpu = cpu_model_find("max"),
				.tier1 = tier1,
				.tier2 = tier2,
				.count_insns = true,
				.code_bytes = 8u << 20,
				.hot_threshold = 200,
				.input_fd = -1};
	struct vm *vm;

	return vm_new(&vm, mon, &cfg) ? NULL : vm;
}

static size_t swallow(void *opaque, const uint8_t *data, size_t n)
{
	(void)data;
	return n > 100 ? n / 2 : n;
}

static bool make_devices(struct attack *a)
{
	const struct console_port ports[2] = {{.name = "terminal", .is_console = true, .tx = swallow},
					      {.name = "port", .tx = swallow}};

	return virtio_blk_new(&a->dev[0], a->disk, "disk", "serial") == 0 &&
	       virtio_blk_new(&a->dev[1], a->image, "image", "serial") == 0 &&
	       virtio_net_new(&a->dev[2], a->cable, "net") == 0 &&
	       virtio_9p_new(&a->dev[3], a->s->share, "share", false) == 0 &&
	       virtio_balloon_new(&a->dev[4], ISOLATION_RAM_BYTES) == 0 &&
	       virtio_console_new(&a->dev[5], ports, 2) == 0 && virtio_rng_new(&a->dev[6]) == 0;
}

static void config_write(struct vm *vm, unsigned device, unsigned reg, uint32_t value)
{
	unsigned slot = FIRST_SLOT + device / 8, fn = device % 8;
	bool claimed;

	board_write(vm->board, gpa(GT + 0xcf8), 0x80000000u | slot << 11 | fn << 8 | reg, 4, &claimed);
	board_write(vm->board, gpa(GT + 0xcfc), value, 4, &claimed);
}

static void make_machine(struct attack *a)
{
	bool ok = true;

	a->vm = isolation_machine(a->mon, a->tier1, a->tier2);
	ok = a->vm && make_devices(a);
	for (unsigned i = 0; ok && i < DEVICES; i++) {
		a->dev[i]->said_broken = true; /* a million lines help nobody */
		ok = vm_add_virtio(a->vm, a->dev[i]) == 0;
		config_write(a->vm, i, PCI_REG_BAR0, BAR_PA + i * BAR_STEP);
		config_write(a->vm, i, 4, 6); /* memory and bus master */
	}
	if (!ok) {
		fprintf(stderr, "isolation: machine A cannot be made\n");
		exit(2);
	}
	a->inputs = 0;
	a->counts.machines++;
}

void attack_forget_machine(struct attack *a)
{
	if (!a->vm)
		return;
	for (unsigned i = 0; i < DEVICES; i++)
		a->counts.requests += a->dev[i]->stats.requests;
	for (unsigned i = 0; i < ARRAY_LEN(a->vm->vcpu->gs.insns); i++)
		a->counts.insns += a->vm->vcpu->gs.insns[i];
	a->counts.insns -= a->vm->vcpu->insns_refunded;
	for (unsigned i = 0; i < ARRAY_LEN(a->vm->vcpu->stats.exceptions); i++)
		a->counts.exceptions += a->vm->vcpu->stats.exceptions[i];
	vm_free(a->vm);
	a->vm = NULL;
}

/* ---- memory, as the guest would write it ---- */

static void put(struct attack *a, uint64_t pa, const void *data, uint64_t bytes)
{
	if (pa > ISOLATION_RAM_BYTES || bytes > ISOLATION_RAM_BYTES - pa)
		return;
	if (pmap_write(a->vm->ram, gpa(pa), data, bytes))
		abort();
	virtio_memory_written(a->vm, gpa(pa), bytes);
}

static void put32(struct attack *a, uint64_t pa, uint32_t v) { put(a, pa, &v, 4); }

/* ---- the instruction stream ---- */

/* What a register, or an address, may well be. */
static uint32_t likely(struct attack *a)
{
	uint32_t in = roll(a, 2 * PAGE_BYTES) & (roll(a, 4) ? ~3u : ~0u);

	switch (roll(a, 10)) {
	case 0:
		return word(a);
	case 1:
		return roll(a, 64) - 32;
	case 2:
		return 0x00400000u + in + roll(a, 64) * PAGE_BYTES; /* where B works, too */
	case 3:
		return 0xc0000000u + in;
	case 4:
		return 0x80000000u + ISOLATION_RAM_BYTES + in - PAGE_BYTES; /* the end of memory */
	case 5:
		return 0xb0000000u + roll(a, DEVICES) * BAR_STEP + (roll(a, 2) ? VIRTIO_PCI_NOTIFY : roll(a, 64));
	case 6:
		return 0xb8000000u + roll(a, 0x1000);
	case 7:
		return 0xbbe00000u + roll(a, 0x1000);
	default:
		return 0x80000000u + roll(a, 2) * (DATA_PA - CODE_PA) + CODE_PA + in;
	}
}

static void put_vectors(struct attack *a)
{
	static const uint32_t end[] = {A_LUI(K0, 0xbf00), A_ORI(K0, K0, 0x500),  A_ORI(AT, ZERO, 0x42),
				       A_SW(AT, 0, K0),   A_BEQ(ZERO, ZERO, -1), A_NOP};
	static const uint32_t at[] = {0, 0x100, 0x180, 0x200};

	for (unsigned i = 0; i < ARRAY_LEN(at); i++)
		put(a, at[i], end, sizeof(end));
}

/* kick: the first thing that it does is to notify a queue of that device. */
static void put_code(struct attack *a, int kick, unsigned queue, uint32_t *pc)
{
	uint32_t code[400], n = 16 + roll(a, 380), i = 0, at = CODE_PA + roll(a, PAGE_BYTES / 16) * 16;

	if (kick >= 0) {
		code[i++] = A_LUI(A0, (0xb0000000u + (uint32_t)kick * BAR_STEP) >> 16);
		code[i++] = A_ORI(V0, ZERO, queue);
		code[i++] = A_SH(V0, VIRTIO_PCI_NOTIFY + VIRTIO_PCI_NOTIFY_STEP * queue, A0);
		a->counts.kicks++;
	}
	while (i < n)
		code[i] = random_insn(word(a), word(a)), i++;
	put(a, at, code, 4 * n);
	*pc = 0x80000000u + at;
}

static void random_tlb(struct attack *a)
{
	struct guest_state *gs = &a->vm->vcpu->gs;

	for (unsigned n = roll(a, 6); n; n--) {
		gs->cp0[CP0_Index] = roll(a, 64);
		gs->cp0[CP0_PageMask] = roll(a, 4) ? 0 : word(a) & 0x1fffe000u;
		gs->cp0[CP0_EntryHi] = likely(a) & 0xffffe0ffu & (roll(a, 2) ? ~0xffu : ~0u);
		gs->cp0[CP0_EntryLo0] = roll(a, 4) ? roll(a, ISOLATION_RAM_BYTES) >> 6 | roll(a, 64) : word(a);
		gs->cp0[CP0_EntryLo1] = roll(a, 4) ? roll(a, ISOLATION_RAM_BYTES) >> 6 | roll(a, 64) : word(a);
		cp0_tlbwi(gs, 0, 0, 0);
	}
}

static void set_registers(struct attack *a, uint32_t pc)
{
	struct vcpu *v = a->vm->vcpu;

	vcpu_reset(v);
	for (unsigned i = 1; i < 32; i++)
		v->gs.reg[i] = likely(a);
	random_tlb(a);
	v->gs.cp0[CP0_EntryHi] = roll(a, 4) ? 0 : roll(a, 256);
	v->gs.cp0[CP0_Status] =
	    ST_CU0 | (roll(a, 4) ? ST_CU1 : 0) | (word(a) & 0x04000017u & (roll(a, 3) ? ~0x10u : ~0u));
	v->gs.pc = pc;
	if (v->gs.cp0[CP0_Status] & ST_KSU && !(v->gs.cp0[CP0_Status] & (ST_EXL | ST_ERL)))
		v->gs.pc = roll(a, 2) ? pc : 0x00400000u + (pc & PAGE_MASK);
	vcpu_update_mode(v);
}

static void time_is_over(void *arg) { vm_end(arg, VM_QUIT); }

static void execute(struct attack *a)
{
	struct clock_ops clock = clock_as_ops(a->vm->clock);

	__atomic_store_n(&a->vm->end, VM_RUNS, __ATOMIC_RELEASE);
	device_alarm(&clock, device_now_ns(&clock) + TIME_NS, time_is_over, a->vm);
	a->counts.ends[vm_run(a->vm)]++;
	device_alarm(&clock, DEVICE_NO_ALARM, time_is_over, a->vm);
}

/* ---- the rings ---- */

/* Numbers with a meaning somewhere, or at a border. */
static uint32_t number(struct attack *a)
{
	static const uint32_t known[] = {0,          1,          2,      3,       4,          5,
					 8,          16,         255,    256,     511,        512,
					 513,        2047,       2048,   4095,    4096,       4097,
					 0x7fffffff, 0x80000000, 0xffff, 0x10000, 0xffffffff, ISOLATION_RAM_BYTES};

	return roll(a, 8) ? known[roll(a, ARRAY_LEN(known))] : word(a);
}

static uint64_t buffer(struct attack *a)
{
	switch (roll(a, 200)) {
	case 0:
		return (uint64_t)ISOLATION_RAM_BYTES - roll(a, 4) * 16; /* over the end */
	case 1:
		return (uint64_t)number(a) << 32 | number(a);
	case 2:
		return number(a);
	default:
		return DATA_PA + (uint64_t)roll(a, (ISOLATION_RAM_BYTES - DATA_PA) / PAGE_BYTES) * PAGE_BYTES +
		       (roll(a, 2) ? 0 : roll(a, 256) * 16);
	}
}

/* What the first buffer of a request begins with; its size. */
static uint32_t put_header(struct attack *a, unsigned device, uint64_t pa)
{
	static const uint8_t blk[] = {0, 0, 0, 0, 1, 1, 1, 4, 8, 11, 13, 2},
			     p9[] = {100, 104, 110, 12, 24, 40, 116, 118, 120, 72, 14, 76};
	uint32_t w[8];

	for (unsigned i = 0; i < 8; i++)
		w[i] = number(a);
	switch (device) {
	case 0:
	case 1:
		w[0] = blk[roll(a, ARRAY_LEN(blk))];
		w[2] = roll(a, ISOLATION_BLOCKS) * 8;
		w[3] = roll(a, 64) == 0;
		put(a, pa, w, 16);
		return 16;
	case 2:
		w[0] &= 0x00010503;
		put(a, pa, w, 32);
		return 32;
	case 3:
		w[0] = 7 + roll(a, 25);
		w[1] = p9[roll(a, ARRAY_LEN(p9))] | roll(a, 4) << 24;
		put(a, pa, w, 32);
		return w[0];
	default:
		put(a, pa, w, 32);
		return roll(a, 64);
	}
}

static void put_desc(struct attack *a, uint64_t table, unsigned at, uint64_t pa, uint32_t len, unsigned flags,
		     unsigned next)
{
	struct {
		uint64_t pa;
		uint32_t len;
		uint16_t flags, next;
	} d = {pa, len, (uint16_t)flags, (uint16_t)next};

	put(a, table + 16 * (uint64_t)at, &d, sizeof(d));
}

static uint64_t ring_of(unsigned queue) { return RINGS_PA + (uint64_t)queue * 3 * PAGE_BYTES; }

/* Up to 6 buffers: readable ones, the first with a header, then writable ones; the table is the queue's or an indirect one. */
static void offer(struct attack *a, unsigned device, unsigned q)
{
	enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };
	uint64_t ring = ring_of(q), table = ring;
	uint32_t n_out = roll(a, 4) ? 1 : roll(a, 4), n = n_out + roll(a, 4), base = a->next_desc[q];
	bool indirect = roll(a, 4) == 0, status = device < 2;

	n += !n;
	if (indirect)
		table = INDIRECT_PA + roll(a, 8) * 256;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t pa = buffer(a);
		uint32_t len = i == 0 && n_out        ? put_header(a, device, pa)
			       : status && i == n - 1 ? 1
			       : roll(a, 8)           ? 512 * (1 + roll(a, 16))
						      : number(a);

		put_desc(a, table, indirect ? i : (base + i) % QUEUE_SIZE, pa, len,
			 (i >= n_out ? WRITE : 0) | (i + 1 < n ? NEXT : 0),
			 indirect ? i + 1 : (base + i + 1) % QUEUE_SIZE);
	}
	if (indirect)
		put_desc(a, ring, base % QUEUE_SIZE, table, 16 * n, INDIRECT, 0);
	put(a, ring + PAGE_BYTES + 4 + 2 * (a->avail[q] % QUEUE_SIZE), &(uint16_t){(uint16_t)(base % QUEUE_SIZE)}, 2);
	a->avail[q]++;
	put(a, ring + PAGE_BYTES + 2, &a->avail[q], 2);
	a->next_desc[q] = (uint16_t)(base + (indirect ? 1 : n));
	a->counts.rings++;
}

static void damage(struct attack *a, unsigned q)
{
	uint64_t ring = ring_of(q), at = roll(a, 3) ? roll(a, 16 * QUEUE_SIZE / 2) * 2 : PAGE_BYTES + roll(a, 20) * 2;

	put(a, ring + at, &(uint16_t){(uint16_t)number(a)}, 2);
	if (roll(a, 4) == 0)
		put32(a, INDIRECT_PA + roll(a, 1024) * 4, number(a));
}

/* As a driver does it. */
static void start_device(struct attack *a, struct virtio_device *d)
{
	static const uint8_t zeroes[3 * PAGE_BYTES];
	uint8_t status = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER;

	virtio_set_status(d, 0, 0);
	virtio_set_status(d, status, 0);
	status |= VIRTIO_FEATURES_OK;
	virtio_set_status(d, status,
			  (d->features_offered & (roll(a, 2) ? ~0ull : random_next(&a->r))) | VIRTIO_F_VERSION_1);
	for (unsigned q = 0; q < QUEUES && q < d->n_queues; q++) {
		put(a, ring_of(q), zeroes, sizeof(zeroes));
		d->queue[q].size = QUEUE_SIZE;
		d->queue[q].desc = gpa(ring_of(q));
		d->queue[q].avail = gpa(ring_of(q) + PAGE_BYTES);
		d->queue[q].used = gpa(ring_of(q) + 2 * PAGE_BYTES);
		if (roll(a, 64) == 0)
			d->queue[q].used = gpa(buffer(a) & ~3ull);
		a->avail[q] = a->next_desc[q] = 0;
		virtio_enable_queue(d, q);
	}
	virtio_set_status(d, status | VIRTIO_DRIVER_OK, 0);
}

/* Returns the queue that is to be notified. */
static unsigned put_rings(struct attack *a, unsigned device)
{
	struct virtio_device *d = a->dev[device];
	unsigned used = d->n_queues < QUEUES ? d->n_queues : QUEUES;

	if (!virtio_running(d) || roll(a, 8) == 0)
		start_device(a, d);
	for (unsigned n = 1 + roll(a, 4); n; n--)
		offer(a, device, roll(a, used));
	if (roll(a, 6) == 0)
		damage(a, roll(a, used));
	if (d->id == VIRTIO_ID_BALLOON)
		virtio_balloon_set_target(d, number(a));
	return roll(a, used);
}

/* ---- an input ---- */

void attack_input(struct attack *a, uint64_t seed)
{
	unsigned device, queue;
	uint32_t pc;

	a->r = (struct random){seed};
	if (a->inputs++ == INPUTS_OF_A_MACHINE)
		attack_forget_machine(a);
	if (!a->vm)
		make_machine(a);
	vm_change(a->vm);
	device = roll(a, DEVICES);
	queue = put_rings(a, device);
	put_vectors(a);
	put_code(a, roll(a, 2) ? (int)device : -1, queue, &pc);
	set_registers(a, pc);
	vm_changed(a->vm);
	execute(a);
	vm_change(a->vm);
	virtio_notify(a->dev[device], queue);
	virtio_bus_poll(a->vm);
	a->counts.broken += (a->dev[device]->status & VIRTIO_NEEDS_RESET) != 0;
	vm_changed(a->vm);
	a->counts.inputs++;
}

/* ---- all of it ---- */

/* What another card on the lan gets is whole. */
static void hears(void *opaque)
{
	struct attack *a = opaque;
	struct net_frame *f;

	for (; (f = net_rx_peek(a->peer)); a->counts.frames++) {
		struct net_hdr again = f->hdr;

		if (net_hdr_check(&again, f->data, f->bytes) || memcmp(&again, &f->hdr, sizeof(again)) != 0)
			panic("a machine got a frame that contradicts itself");
		net_rx_pop(a->peer);
	}
}

static bool open_net(struct attack *a)
{
	struct net_config cfg = {.kind = NET_LAN, .mtu = NET_MOST_MTU, .net_switch = a->mon->net_switch, .machine = 1};
	struct net_error err;

	if (net_open(&a->cable, &cfg, &err))
		return false;
	cfg.machine = 3;
	if (net_open(&a->peer, &cfg, &err))
		return false;
	net_attach(a->peer, hears, a);
	net_listen(a->peer, true);
	return true;
}

struct attack *attack_new(struct monitor *mon, const struct scratch *s, bool tier1, bool tier2)
{
	struct disk_config rw = {.path = s->disk, .mode = DISK_RW, .format = DISK_FORMAT_RAW};
	struct disk_config cow = {.path = s->image, .mode = DISK_COW, .format = DISK_FORMAT_RAW};
	struct attack *a = calloc(1, sizeof(*a));
	struct disk_error err = {""};

	if (!a)
		return NULL;
	*a = (struct attack){.mon = mon, .s = s, .tier1 = tier1, .tier2 = tier2};
	if (disk_open(&a->disk, &rw, &err) || disk_open(&a->image, &cow, &err) || !open_net(a)) {
		fprintf(stderr, "isolation: machine A's disks or net: %s\n", err.text);
		exit(2);
	}
	return a;
}

const struct attack_counts *attack_counts(const struct attack *a) { return &a->counts; }

void attack_free(struct attack *a)
{
	attack_forget_machine(a);
	net_detach(a->peer);
	net_close(a->peer);
	net_close(a->cable);
	if (disk_close(a->disk) | disk_close(a->image))
		fprintf(stderr, "isolation: a disk cannot be closed\n");
	free(a);
}
