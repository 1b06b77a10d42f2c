/* SPDX-License-Identifier: MIT */
/* Virtio devices in a machine: their place on the bus, guest memory, translations of what they write, interrupts, wake-ups. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pv-drivers/virtio/devices.h"
#include "pv-drivers/virtio/virtio_pci.h"
#include "tests/unit/vmm_machine.h"
#include "vmm/board/pci.h"
#include "vmm/cpu/run_loop.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/devices/virtio_bus.h"

enum {
	GT = 0x1be00000,
	BAR_PA = 0x10000000, /* of the first device; the n-th 64 KiB further */
	BAR_STEP = 0x10000,
	RINGS_PA = 0x200000,
	PATCHED_VA = 0x80010000,
	REG_STATUS = 20,
	REG_QUEUE_ENABLE = 28,
};

/* A device whose doings are the test's. */
struct probe {
	struct virtio_device dev; /* must be first */
	unsigned notified, polled, resets, retried;
	bool *freed;
	void (*on_notify)(struct probe *p);
	void (*on_poll)(struct probe *p);
	void (*on_retry)(struct probe *p);
};

static void probe_notify(struct virtio_device *d, unsigned queue)
{
	struct probe *p = (struct probe *)d;

	(void)queue;
	p->notified++;
	if (p->on_notify)
		p->on_notify(p);
}

static void probe_poll(struct virtio_device *d)
{
	struct probe *p = (struct probe *)d;

	p->polled++;
	if (p->on_poll)
		p->on_poll(p);
}

static void probe_retry(struct virtio_device *d)
{
	struct probe *p = (struct probe *)d;

	p->retried++;
	if (p->on_retry)
		p->on_retry(p);
}

static void probe_reset(struct virtio_device *d) { ((struct probe *)d)->resets++; }

static void probe_free(struct virtio_device *d)
{
	struct probe *p = (struct probe *)d;

	if (p->freed)
		*p->freed = true;
	free(p);
}

static const struct virtio_ops probe_ops = {
    .notify = probe_notify, .poll = probe_poll, .retry = probe_retry, .reset = probe_reset, .free = probe_free};

static struct probe *probe_new(bool *freed)
{
	struct probe *p = calloc(1, sizeof(*p));

	virtio_device_init(&p->dev, "probe", VIRTIO_ID_BLOCK, 0, &probe_ops);
	p->dev.n_queues = 1;
	p->dev.queue_max[0] = 16;
	p->freed = freed;
	return p;
}

/* ---- what a guest does, from outside ---- */

static uint32_t config_read(struct vm *vm, unsigned slot, unsigned fn, unsigned reg)
{
	bool claimed;

	board_write(vm->board, gpa(GT + 0xcf8), 0x80000000u | slot << 11 | fn << 8 | (reg & 0xfc), 4, &claimed);
	return (uint32_t)board_read(vm->board, gpa(GT + 0xcfc + (reg & 3)), 4 - (reg & 3), &claimed);
}

static void config_write(struct vm *vm, unsigned slot, unsigned fn, unsigned reg, uint32_t v)
{
	bool claimed;

	board_write(vm->board, gpa(GT + 0xcf8), 0x80000000u | slot << 11 | fn << 8 | reg, 4, &claimed);
	board_write(vm->board, gpa(GT + 0xcfc), v, 4, &claimed);
}

static uint32_t bar_read(struct vm *vm, uint32_t off, unsigned bytes)
{
	bool claimed = false;
	uint32_t v = (uint32_t)board_read(vm->board, gpa(BAR_PA + off), bytes, &claimed);

	cr_assert(claimed);
	return v;
}

static void bar_write(struct vm *vm, uint32_t off, uint32_t v, unsigned bytes)
{
	bool claimed = false;

	board_write(vm->board, gpa(BAR_PA + off), v, bytes, &claimed);
	cr_assert(claimed);
}

/* Map the BAR of the n-th device, and bring the device up with one queue of 8. */
static void start_device(struct vm *vm, unsigned n)
{
	uint32_t at = n * BAR_STEP;

	config_write(vm, 18 + n / 8, n % 8, PCI_REG_BAR0, BAR_PA + at);
	config_write(vm, 18 + n / 8, n % 8, PCI_REG_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	bar_write(vm, at + REG_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER, 1);
	bar_write(vm, at + 8, 1, 4);
	bar_write(vm, at + 12, 1, 4);
	bar_write(vm, at + REG_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK, 1);
	bar_write(vm, at + 22, 0, 2);
	bar_write(vm, at + 24, 8, 2);
	bar_write(vm, at + 32, RINGS_PA, 4);
	bar_write(vm, at + 40, RINGS_PA + 0x1000, 4);
	bar_write(vm, at + 48, RINGS_PA + 0x2000, 4);
	bar_write(vm, at + REG_QUEUE_ENABLE, 1, 2);
	bar_write(vm, at + REG_STATUS, 0xf, 1);
	cr_assert_eq(bar_read(vm, at + REG_STATUS, 1), 0xf);
}

static struct vm *machine_with(struct probe **p, const struct vm_config *cfg, enum tiers t)
{
	struct vm *vm = machine_open(cfg, t);

	*p = probe_new(NULL);
	cr_assert_eq(vm_add_virtio(vm, &(*p)->dev), 0);
	start_device(vm, 0);
	return vm;
}

Test(vmm_virtio, places_on_the_bus)
{
	struct vm *vm = machine_open(&(struct vm_config){0}, TIERS_INTERP);
	bool freed = false;
	struct virtio_device *d;
	unsigned n = 0, room;

	cr_assert_null(virtio_bus_device(vm, 0));
	room = PCI_MAX_DEVICES - board_pci(vm->board)->count;
	for (; n < room; n++) {
		uint32_t fn = n % 8, slot = 18 + n / 8;

		cr_assert_eq(virtio_rng_new(&d), 0);
		cr_assert_eq(vm_add_virtio(vm, d), 0);
		cr_assert_eq(virtio_bus_device(vm, n), d);
		cr_assert_eq(config_read(vm, slot, fn, PCI_REG_VENDOR), 0x10441af4);
		cr_assert_eq(config_read(vm, slot, fn, PCI_REG_INTERRUPT_LINE) >> 8 & 0xff, 1 + fn % 4);
		cr_assert_eq(config_read(vm, slot, fn, PCI_REG_CACHE_LINE) >> 16 & 0x80, fn ? 0 : 0x80);
	}
	d = &probe_new(&freed)->dev;
	cr_assert_eq(vm_add_virtio(vm, d), -ENOSPC);
	cr_assert(freed, "taken all the same");
	cr_assert_null(virtio_bus_device(vm, n));
	vm_free_alone(vm);
}

Test(vmm_virtio, capabilities_lead_to_the_registers)
{
	struct probe *p;
	struct vm *vm = machine_with(&p, &(struct vm_config){0}, TIERS_INTERP);
	unsigned seen = 0, window = 0;

	for (uint32_t at = config_read(vm, 18, 0, PCI_REG_CAPABILITIES) & 0xff; at;
	     at = config_read(vm, 18, 0, at) >> 8 & 0xff) {
		uint32_t type = config_read(vm, 18, 0, at) >> 24;

		cr_assert_eq(config_read(vm, 18, 0, at) & 0xff, 9);
		seen |= 1u << type;
		if (type == 1)
			cr_assert_eq(config_read(vm, 18, 0, at + 8), VIRTIO_PCI_COMMON);
		if (type == 2) {
			cr_assert_eq(config_read(vm, 18, 0, at + 8), VIRTIO_PCI_NOTIFY);
			cr_assert_eq(config_read(vm, 18, 0, at + 16), VIRTIO_PCI_NOTIFY_STEP);
		}
		if (type == 5)
			window = at;
	}
	cr_assert_eq(seen, 1u << 1 | 1u << 2 | 1u << 3 | 1u << 5, "no device area: it has no configuration");
	/* 4.1.4.9: the same registers through configuration space */
	config_write(vm, 18, 0, window + 4, 0);
	config_write(vm, 18, 0, window + 8, REG_STATUS);
	config_write(vm, 18, 0, window + 12, 1);
	cr_assert_eq(config_read(vm, 18, 0, window + 16) & 0xff, 0xf);
	config_write(vm, 18, 0, window + 8, VIRTIO_PCI_NOTIFY);
	config_write(vm, 18, 0, window + 12, 2);
	config_write(vm, 18, 0, window + 16, 0);
	cr_assert_eq(p->notified, 1);
	config_write(vm, 18, 0, window + 12, 3); /* lengths and places that are none */
	config_write(vm, 18, 0, window + 16, 0);
	config_write(vm, 18, 0, window + 12, 4);
	config_write(vm, 18, 0, window + 8, VIRTIO_PCI_NOTIFY + 2);
	config_write(vm, 18, 0, window + 16, 0);
	config_write(vm, 18, 0, window + 8, 0xfffffffc);
	config_write(vm, 18, 0, window + 16, 0);
	config_read(vm, 18, 0, window + 16);
	config_write(vm, 18, 0, window + 8, VIRTIO_PCI_NOTIFY);
	config_write(vm, 18, 0, window + 4, 1);
	config_write(vm, 18, 0, window + 16, 0);
	cr_assert_eq(p->notified, 1);
	vm_free_alone(vm);
}

Test(vmm_virtio, interrupts_reach_the_cpu_and_a_reset_ends_them)
{
	struct probe *p;
	struct vm *vm = machine_with(&p, &(struct vm_config){0}, TIERS_INTERP);
	struct pci_bus *b = board_pci(vm->board);
	unsigned resets = p->resets;

	cr_assert_eq(b->pirq_users[0], 0);
	virtio_interrupt(&p->dev, VIRTIO_ISR_QUEUE);
	cr_assert_eq(b->pirq_users[0], 1, "slot 18, INTA");
	cr_assert_eq(bar_read(vm, VIRTIO_PCI_ISR, 1), VIRTIO_ISR_QUEUE);
	cr_assert_eq(b->pirq_users[0], 0);
	virtio_interrupt(&p->dev, VIRTIO_ISR_QUEUE);
	board_reset(vm->board);
	cr_assert_eq(b->pirq_users[0], 0);
	cr_assert_eq(p->dev.status, 0);
	cr_assert_eq(p->resets, resets + 1);
	cr_assert_eq(p->dev.queue[0].enabled, false);
	vm_free_alone(vm);
}

Test(vmm_virtio, guest_memory_as_far_as_it_goes)
{
	struct probe *p;
	struct vm *vm = machine_with(&p, &(struct vm_config){0}, TIERS_INTERP);
	const struct virtio_host *h = &p->dev.host;
	struct machine_page *page;
	uint64_t n = 10 * PAGE_BYTES;
	int err;
	uint8_t *host;

	/* touched out of order: not adjacent in the host */
	cr_assert_not_null(pmap_get(vm->ram, gpa(0x102000), 0, PMAP_WRITE, &err));
	cr_assert_not_null(pmap_get(vm->ram, gpa(0x101000), 0, PMAP_WRITE, &err));
	host = h->map(h->opaque, gpa(0x101010), &n, true, &err);
	page = pmap_peek(vm->ram, gpa(0x101000));
	cr_assert_eq(host, page->host + 0x10);
	cr_assert_eq(n, PAGE_BYTES - 0x10);
	n = 10 * PAGE_BYTES; /* first touches: in order */
	host = h->map(h->opaque, gpa(0x120ff0), &n, true, &err);
	cr_assert_eq(host, pmap_peek(vm->ram, gpa(0x120000))->host + 0xff0);
	cr_assert_eq(n, 10 * PAGE_BYTES);
	n = 100;
	cr_assert_not_null(h->map(h->opaque, gpa(RAM_BYTES - 10), &n, true, &err));
	cr_assert_eq(n, 10);
	for (unsigned i = 0; i < 4; i++) {
		static const uint64_t outside[] = {RAM_BYTES, BAR_PA, UINT64_MAX, 0x20000000};

		n = 16;
		cr_assert_null(h->map(h->opaque, gpa(outside[i]), &n, true, &err));
		cr_assert_eq(err, -EFAULT);
		h->written(h->opaque, gpa(outside[i]), 16);
		h->release(h->opaque, gpa(outside[i] & ~PAGE_MASK), 3 * PAGE_BYTES);
	}
	vm_free_alone(vm);
}

/* ---- a device writes code that has been translated ---- */

/* The function at PATCHED_VA adds another constant from now on. */
static void patch(struct probe *p)
{
	const struct virtio_host *h = &p->dev.host;
	struct gpa pa = gpa(PATCHED_VA & 0x1fffffff);
	uint64_t n = 4;
	int err;
	uint32_t word = A_ADDIU(S0, S0, (uint16_t)(3 * p->notified)),
		 *host = (uint32_t *)h->map(h->opaque, pa, &n, true, &err);

	*host = word;
	h->written(h->opaque, pa, 4);
}

/* Call the function, notify the device, which changes it; 500 times.  s0 is the sum, then the machine ends. */
static void put_calls(struct vm *vm)
{
	PUT(vm, PATCHED_VA, A_ADDIU(S0, S0, 0), A_JR(RA), A_NOP);
	PUT(vm, CODE_VA, A_ADDIU(T1, ZERO, 500), A_LUI(T2, PATCHED_VA >> 16), A_LUI(T3, 0xb000),
	    A_ORI(T3, T3, VIRTIO_PCI_NOTIFY), R_TYPE(T2, 0, RA, 0, 0x09), A_NOP, /* loop: jalr t2 */
	    A_SW(ZERO, 0, T3), A_ADDIU(T1, T1, -1),                              /* notify */
	    A_BEQ(T1, ZERO, 3), A_NOP,                                           /* */
	    A_BEQ(ZERO, ZERO, -7), A_NOP, A_RESET);
}

Test(vmm_virtio, translations_of_what_a_device_writes_are_dropped, .timeout = 120)
{
	for (enum tiers t = TIERS_INTERP; t < NUM_TIERS; t++) {
		for (int icount = 0; icount < 2; icount++) {
			struct probe *p;
			struct vm *vm = machine_with(&p, &(struct vm_config){.icount = icount}, t);

			p->on_notify = patch;
			put_calls(vm);
			cr_assert_eq(vm_run(vm), VM_RESET);
			cr_assert_eq(p->notified, 500);
			cr_assert_eq(vm->vcpu->gs.reg[S0], 3 * 499 * 500 / 2, "tiers %d", t);
			vm_free_alone(vm);
		}
	}
}

/*
 * One write that goes over a page's end, with the function in the second page: its last words are the first of that page, so
 * that whoever drops the first page only goes on running what was there.
 */
static void patch_across(struct probe *p)
{
	const struct virtio_host *h = &p->dev.host;
	uint32_t word = A_ADDIU(S0, S0, (uint16_t)(3 * p->notified));
	struct gpa pa = gpa((PATCHED_VA & 0x1fffffff) - 4);

	for (unsigned i = 0; i < 2; i++) { /* the last word of the page before, then the function's first */
		uint64_t n = 4;
		int err;
		uint32_t *host = (uint32_t *)h->map(h->opaque, gpa(pa.v + 4 * i), &n, true, &err);

		cr_assert_eq(n, 4);
		*host = i ? word : 0x12345678;
	}
	h->written(h->opaque, pa, 8);
}

/* And over three pages: a page in between, and the end of the third, which has the function at its begin. */
static void patch_over_three(struct probe *p)
{
	const struct virtio_host *h = &p->dev.host;
	struct gpa pa = gpa(PATCHED_VA & 0x1fffffff);
	uint32_t word = A_ADDIU(S0, S0, (uint16_t)(3 * p->notified)), *host;
	uint64_t n = 4;
	int err;

	host = (uint32_t *)h->map(h->opaque, pa, &n, true, &err);
	*host = word;
	h->written(h->opaque, gpa(pa.v - PAGE_BYTES - 16), PAGE_BYTES + 20);
}

Test(vmm_virtio, translations_are_dropped_in_all_pages_of_a_write, .timeout = 120)
{
	static void (*const patches[])(struct probe * p) = {patch_across, patch_over_three};

	for (enum tiers t = TIERS_INTERP; t < NUM_TIERS; t++) {
		for (unsigned i = 0; i < ARRAY_LEN(patches); i++) {
			struct probe *p;
			struct vm *vm = machine_with(&p, &(struct vm_config){0}, t);

			p->on_notify = patches[i];
			put_calls(vm);
			/* code in the first page too, run once: so that there is something to be dropped in both */
			PUT(vm, PATCHED_VA - 16, A_JR(RA), A_NOP, A_NOP, A_NOP);
			cr_assert_eq(vm_run(vm), VM_RESET);
			cr_assert_eq(p->notified, 500);
			cr_assert_eq(vm->vcpu->gs.reg[S0], 3 * 499 * 500 / 2, "tiers %d, write %u", t, i);
			vm_free_alone(vm);
		}
	}
}

/* ---- pages given back ---- */

static void release_page(struct probe *p)
{
	const struct virtio_host *h = &p->dev.host;

	h->release(h->opaque, gpa(PATCHED_VA & 0x1fffffff), PAGE_BYTES);
	h->release(h->opaque, gpa(DATA_VA & 0x1fffffff), PAGE_BYTES);
}

static void wake_on_notify(struct probe *p) { virtio_wake(&p->dev); }

/* Write data, call code, notify; the code page then reads as NOPs up to its end, where the next page goes back. */
static void put_release(struct vm *vm)
{
	PUT(vm, PATCHED_VA, A_ADDIU(S0, S0, 1), A_JR(RA), A_NOP);
	PUT(vm, PATCHED_VA + PAGE_BYTES, A_JR(RA), A_NOP);
	PUT(vm, CODE_VA, A_LUI(T0, DATA_VA >> 16), A_LUI(T2, PATCHED_VA >> 16), A_LUI(T3, 0xb000),
	    A_ORI(T3, T3, VIRTIO_PCI_NOTIFY), A_ADDIU(T1, ZERO, 20), A_SW(T2, 8, T0), R_TYPE(T2, 0, RA, 0, 0x09),
	    A_NOP,                                                                        /* loop */
	    A_ADDIU(T1, T1, -1), A_BEQ(T1, ZERO, 3), A_NOP,                               /* */
	    A_BEQ(ZERO, ZERO, -7), A_NOP,                                                 /* */
	    A_SW(ZERO, 0, T3), A_ADDIU(T1, ZERO, 500),                                    /* notify */
	    A_ADDIU(T1, T1, -1), A_BEQ(T1, ZERO, 3), A_NOP, A_BEQ(ZERO, ZERO, -4), A_NOP, /* wait for poll() */
	    A_LW(V0, 8, T0), R_TYPE(T2, 0, RA, 0, 0x09), A_NOP, A_SW(T2, 12, T0), A_LW(V1, 12, T0), A_RESET);
}

Test(vmm_virtio, released_pages_read_as_zeroes_and_come_back, .timeout = 120)
{
	for (enum tiers t = TIERS_INTERP; t < NUM_TIERS; t++) {
		struct probe *p;
		struct vm *vm = machine_with(&p, &(struct vm_config){.icount = true}, t);
		const struct guest_state *gs = &vm->vcpu->gs;
		uint64_t used;

		p->on_notify = wake_on_notify;
		p->on_poll = release_page;
		put_release(vm);
		used = machine_memory_pages_used(vm->monitor->memory, -1);
		cr_assert_eq(vm_run(vm), VM_RESET);
		cr_assert_eq(p->polled, 1);
		cr_assert_eq(gs->reg[S0], 20, "tiers %d: the function is gone, not its old translation", t);
		cr_assert_eq(gs->reg[V0], 0);
		cr_assert_eq(gs->reg[V1], PATCHED_VA, "memory like any other");
		cr_assert_leq(machine_memory_pages_used(vm->monitor->memory, -1), used + 1);
		vm_free_alone(vm);
	}
}

Test(vmm_virtio, pages_of_requests_in_flight_stay)
{
	struct probe *p, *other;
	struct vm *vm = machine_with(&p, &(struct vm_config){0}, TIERS_1);
	const struct virtio_host *h;
	struct virtq_chain *c;
	uint64_t desc[2] = {0x300000, 16 | 2ull << 32}, used;
	uint16_t avail[3] = {0, 1, 0};

	other = probe_new(NULL);
	cr_assert_eq(vm_add_virtio(vm, &other->dev), 0);
	h = &other->dev.host;
	cr_assert_eq(pmap_write(vm->ram, gpa(RINGS_PA), desc, sizeof(desc)), 0);
	cr_assert_eq(pmap_write(vm->ram, gpa(RINGS_PA + 0x1000), avail, sizeof(avail)), 0);
	cr_assert_eq(virtq_pop(&p->dev.queue[0], &c), 1);
	used = machine_memory_pages_used(vm->monitor->memory, -1);
	h->release(h->opaque, gpa(0x300000), PAGE_BYTES);
	cr_assert_eq(machine_memory_pages_used(vm->monitor->memory, -1), used, "its thread may be writing there");
	virtq_push(c, 16);
	h->release(h->opaque, gpa(0x2ff000), 3 * PAGE_BYTES);
	cr_assert_eq(machine_memory_pages_used(vm->monitor->memory, -1), used - 1);
	vm_free_alone(vm);
}

/* ---- what the user is told ---- */

static unsigned reports;
static char reported[256];

static void on_report(void *opaque, const char *text)
{
	reports++;
	snprintf(reported, sizeof(reported), "%s", text);
}

/* A device says nothing by itself: what it has to say reaches the command whose machine it is in, once. */
Test(vmm_virtio, a_broken_device_is_reported_once)
{
	struct probe *p;
	struct vm *vm = machine_with(&p, &(struct vm_config){.report = on_report}, TIERS_INTERP);

	for (unsigned i = 0; i < 3; i++) {
		virtio_break(&p->dev, "its driver lies");
		virtio_reset(&p->dev);
		start_device(vm, 0);
	}
	cr_assert_eq(reports, 1);
	cr_assert_str_eq(reported, "probe: its driver lies; stopped until its driver resets it");
	vm_free_alone(vm);
}

/* ---- other threads ---- */

static void *waker(void *arg)
{
	struct probe *p = arg;

	usleep(20000);
	virtio_wake(&p->dev);
	return NULL;
}

static void end_it(struct probe *p) { vm_end((struct vm *)p->dev.config, VM_QUIT); }

Test(vmm_virtio, a_thread_wakes_an_idle_guest, .timeout = 60)
{
	static const uint32_t loops[2][3] = {{A_WAIT, A_BEQ(ZERO, ZERO, -2), A_NOP},
					     {A_NOP, A_BEQ(ZERO, ZERO, -2), A_NOP}};

	for (unsigned i = 0; i < 2; i++) {
		struct probe *p;
		struct vm *vm = machine_with(&p, &(struct vm_config){0}, TIERS_12);
		pthread_t thread;

		p->dev.config = (uint8_t *)vm; /* config_bytes is 0: nobody reads it */
		p->on_poll = end_it;
		machine_put(vm, CODE_VA, loops[i], 3);
		cr_assert_eq(pthread_create(&thread, NULL, waker, p), 0);
		cr_assert_eq(vm_run(vm), VM_QUIT);
		pthread_join(thread, NULL);
		cr_assert_eq(p->polled, 1);
		vm_free_alone(vm);
	}
}

/* ---- a machine that a device has paused ---- */

static void pause_it(struct probe *p) { virtio_pause(&p->dev, true); }
static void go_on(struct probe *p) { virtio_pause(&p->dev, false); }

/* v0: Count before the device is notified; v1: after that and what follows. */
static void put_pause(struct vm *vm)
{
	PUT(vm, CODE_VA, A_LUI(T3, 0xb000), A_ORI(T3, T3, VIRTIO_PCI_NOTIFY), A_MFC0(V0, 9), A_SW(ZERO, 0, T3),
	    A_ADDIU(T1, ZERO, 5000), A_ADDIU(T1, T1, -1), A_BEQ(T1, ZERO, 3), A_NOP, /* loop */
	    A_BEQ(ZERO, ZERO, -4), A_ADDIU(S0, S0, 1), A_MFC0(V1, 9), A_RESET);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The guest does not run, its time stands, and the device is asked about once a second, until it lets it go. */
Test(vmm_virtio, a_paused_machine_does_nothing_and_no_time_passes, .timeout = 120)
{
	for (enum tiers t = TIERS_INTERP; t < NUM_TIERS; t++) {
		uint64_t hash[2];

		for (int icount = 0; icount < 3; icount++) { /* 0: not; 1: without a pause; 2: with one */
			struct probe *p;
			struct vm *vm = machine_with(&p, &(struct vm_config){.icount = icount}, t);
			double begin = now_s(), took;

			p->on_notify = icount == 1 ? NULL : pause_it;
			p->on_retry = go_on;
			put_pause(vm);
			cr_assert_eq(vm_run(vm), VM_RESET);
			took = now_s() - begin;
			cr_assert_eq(p->notified, 1);
			cr_assert_eq(p->retried, icount != 1, "tiers %d", t);
			cr_assert_eq(vm->vcpu->gs.reg[S0], 4999);
			if (icount != 1)
				cr_assert(took > 0.9 && took < 30, "%f s", took);
			if (icount)
				hash[icount - 1] = vm_state_hash(vm);
			else /* 100 MHz: a second is 100 million */
				cr_assert_lt((uint32_t)(vm->vcpu->gs.reg[V1] - vm->vcpu->gs.reg[V0]), 80000000);
			vm_free_alone(vm);
		}
		cr_assert_eq(hash[0], hash[1], "tiers %d: a pause is seen", t);
	}
}

struct ender {
	struct vm *vm;
	struct probe *p;
	int fd;
	bool stop;
};

static void *end_later(void *arg)
{
	usleep(100000);
	vm_end(((struct ender *)arg)->vm, VM_QUIT);
	return NULL;
}

static void *type_later(void *arg)
{
	usleep(100000);
	cr_assert_eq(write(((struct ender *)arg)->fd, "x", 1), 1);
	return NULL;
}

static void *wake_often(void *arg)
{
	struct ender *e = arg;

	while (!__atomic_load_n(&e->stop, __ATOMIC_ACQUIRE)) {
		virtio_wake(&e->p->dev);
		usleep(200);
	}
	return NULL;
}

static size_t quit_key(void *opaque, uint8_t *data, size_t n, int *end)
{
	*end = 2;
	return 0;
}

/* It ends as any machine does, at once: from another thread (signals), by the monitor's keys. */
Test(vmm_virtio, a_paused_machine_ends_at_once, .timeout = 60)
{
	static void *(*const enders[])(void *) = {end_later, type_later};

	for (unsigned i = 0; i < 2; i++) {
		int fd[2];
		struct probe *p;
		struct ender e;
		pthread_t thread;
		double begin = now_s();
		struct vm *vm;

		cr_assert_eq(pipe(fd), 0);
		vm = machine_with(&p, &(struct vm_config){.input_fd = fd[0], .console_rx = quit_key}, TIERS_1);
		e = (struct ender){.vm = vm, .p = p, .fd = fd[1]};
		p->on_notify = pause_it;
		put_pause(vm);
		cr_assert_eq(pthread_create(&thread, NULL, enders[i], &e), 0);
		cr_assert_eq(vm_run(vm), VM_QUIT);
		cr_assert_lt(now_s() - begin, 0.9, "before the device is asked again");
		cr_assert_eq(vm->pauses, 1);
		pthread_join(thread, NULL);
		vm_free_alone(vm);
		close(fd[0]);
		close(fd[1]);
	}
}

/* A cable that has something all the time does not keep the disk from being asked. */
Test(vmm_virtio, wakeups_do_not_delay_the_retry, .timeout = 60)
{
	struct probe *p;
	struct vm *vm = machine_with(&p, &(struct vm_config){0}, TIERS_1);
	struct ender e = {.vm = vm, .p = p};
	pthread_t thread;
	double begin = now_s();

	p->on_notify = pause_it;
	p->on_retry = go_on;
	put_pause(vm);
	cr_assert_eq(pthread_create(&thread, NULL, wake_often, &e), 0);
	cr_assert_eq(vm_run(vm), VM_RESET);
	cr_assert_eq(p->retried, 1);
	cr_assert_gt(p->polled, 10);
	cr_assert_lt(now_s() - begin, 20);
	__atomic_store_n(&e.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	vm_free_alone(vm);
}
