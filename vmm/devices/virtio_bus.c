/* SPDX-License-Identifier: MIT */
#include "vmm/devices/virtio_bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pv-drivers/virtio/virtio_pci.h"
#include "vmm/board/pci.h"
#include "vmm/devices/virtio_memory.h"
#include "vmm/monitor/monitor.h"
#include "vmm/monitor/vm.h"

enum {
	FIRST_SLOT = 18, /* the connectors: what Linux knows the interrupt wiring of (vmm/board/README.md) */
	LAST_SLOT = 21,
	FUNCTIONS = 8,
	MAX_DEVICES = (LAST_SLOT - FIRST_SLOT + 1) * FUNCTIONS,
	VENDOR = 0x1af4,      /* 4.1.2.1 */
	DEVICE_BASE = 0x1040, /* + the virtio device id */
	REVISION = 1,         /* modern only: 1 or higher (4.1.2.1) */
	MULTIFUNCTION = 0x80, /* of the header type */
	BAR = 0,
};

/* 4.1.4 "Virtio Structure PCI Capabilities": struct virtio_pci_cap */
enum {
	CAP_ID = 0x09, /* vendor specific */
	CAP_LEN = 2,
	CAP_TYPE = 3,
	CAP_BAR = 4,
	CAP_OFFSET = 8,
	CAP_LENGTH = 12,
	CAP_BYTES = 16,
	CAP_EXTRA = 16, /* notify: notify_off_multiplier; configuration access: pci_cfg_data */
};
enum { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_ISR = 3, CAP_DEVICE = 4, CAP_PCI = 5 };

/* One device on the bus. */
struct virtio_function {
	struct pci_device pci; /* must be first */
	struct virtio_pci regs;
	struct virtio_device *dev;
	struct vm *vm;
	unsigned window; /* its configuration access capability */
};

struct virtio_bus {
	unsigned n;
	struct virtio_function *f[MAX_DEVICES];
};

/* ---- what a device gets from the machine ---- */

static uint8_t *host_map(void *opaque, struct gpa pa, uint64_t *bytes, bool write, int *err)
{
	return virtio_memory_map(((struct virtio_function *)opaque)->vm, pa, bytes, write, err);
}

static void host_written(void *opaque, struct gpa pa, uint64_t bytes)
{
	virtio_memory_written(((struct virtio_function *)opaque)->vm, pa, bytes);
}

static void host_release(void *opaque, struct gpa pa, uint64_t bytes)
{
	struct virtio_function *f = opaque;

	virtio_memory_release(f->vm, f->dev, pa, bytes);
}

bool virtio_bus_uses(const struct vm *vm, const struct virtio_device *but, const uint8_t *host, bool written)
{
	const struct virtio_bus *b = vm->virtio;

	for (unsigned i = 0; b && i < b->n; i++)
		if (b->f[i]->dev != but && virtio_uses(b->f[i]->dev, host, PAGE_BYTES, written))
			return true;
	return false;
}

static void host_set_irq(void *opaque, bool level)
{
	struct virtio_function *f = opaque;

	pci_device_set_irq(&f->pci, level);
}

static void host_wake(void *opaque)
{
	struct virtio_function *f = opaque;

	clock_kick(f->vm->clock);
}

static void host_pause(void *opaque, bool on)
{
	struct virtio_function *f = opaque;

	if (on)
		vm_pause(f->vm);
	else
		vm_go(f->vm);
}

static void host_report(void *opaque, const char *line)
{
	const struct vm *vm = ((struct virtio_function *)opaque)->vm;

	if (vm->cfg.report)
		vm->cfg.report(vm->cfg.opaque, line);
}

static uint32_t share_image(void *opaque, const struct share_image *image)
{
	return share_image_number(((struct virtio_function *)opaque)->vm->monitor->memory, image);
}

static bool share_is_memory(void *opaque, struct gpa pa, uint64_t bytes)
{
	return virtio_memory_inside(((struct virtio_function *)opaque)->vm, pa, bytes);
}

static const uint8_t *share_map_block(void *opaque, struct gpa pa, struct block_name name)
{
	return virtio_memory_map_block(((struct virtio_function *)opaque)->vm, pa, name);
}

static struct machine_page *share_new_page(void *opaque)
{
	return virtio_memory_new_page(((struct virtio_function *)opaque)->vm);
}

static void share_drop_page(void *opaque, struct machine_page *page)
{
	share_page_drop(((struct virtio_function *)opaque)->vm->ram, page);
}

static void share_give_block(void *opaque, struct gpa pa, struct block_name name, struct machine_page *page)
{
	virtio_memory_give_block(((struct virtio_function *)opaque)->vm, pa, name, page);
}

static struct machine_page *share_lend(void *opaque, const uint8_t *host)
{
	return virtio_memory_lend(((struct virtio_function *)opaque)->vm, host);
}

static bool share_take(void *opaque, struct gpa pa, struct machine_page *page)
{
	return virtio_memory_take(((struct virtio_function *)opaque)->vm, pa, page);
}

static const struct virtio_share share_ops = {.image = share_image,
					      .is_memory = share_is_memory,
					      .map_block = share_map_block,
					      .new_page = share_new_page,
					      .drop_page = share_drop_page,
					      .give_block = share_give_block,
					      .lend = share_lend,
					      .take = share_take};

/* ---- registers ---- */

static uint64_t bar_read(void *opaque, uint32_t off, unsigned bytes)
{
	struct virtio_function *f = opaque;

	return virtio_pci_read(&f->regs, off, bytes);
}

static void bar_write(void *opaque, uint32_t off, uint64_t value, unsigned bytes)
{
	struct virtio_function *f = opaque;

	virtio_pci_write(&f->regs, off, (uint32_t)value, bytes);
}

static const struct io_ops bar_ops = {bar_read, bar_write};

/*
 * 4.1.4.9 "PCI configuration access capability": pci_cfg_data is a window onto `length` bytes at `offset` of a BAR.
 * False: what the driver has set up is not an access.
 */
static bool window_target(const struct virtio_function *f, uint32_t *off, unsigned *bytes)
{
	const struct pci_device *d = &f->pci;
	uint32_t n = pci_get32(d, f->window + CAP_LENGTH);

	*off = pci_get32(d, f->window + CAP_OFFSET);
	*bytes = n;
	return d->s.config[f->window + CAP_BAR] == BAR && (n == 1 || n == 2 || n == 4) && *off % n == 0 &&
	       *off < VIRTIO_PCI_BAR_BYTES;
}

static bool in_window(const struct virtio_function *f, unsigned reg)
{
	return reg >= f->window + CAP_EXTRA && reg < f->window + CAP_EXTRA + 4;
}

static bool window_read(struct pci_device *d, unsigned reg, unsigned bytes, uint32_t *value)
{
	struct virtio_function *f = (struct virtio_function *)d;
	unsigned n;
	uint32_t off;

	(void)bytes;
	if (!in_window(f, reg) || !window_target(f, &off, &n))
		return false;
	*value = virtio_pci_read(&f->regs, off, n) >> (8 * (reg - f->window - CAP_EXTRA));
	return true;
}

static void window_written(struct pci_device *d, unsigned reg, unsigned bytes)
{
	struct virtio_function *f = (struct virtio_function *)d;
	unsigned n;
	uint32_t off;

	(void)bytes;
	if (in_window(f, reg) && window_target(f, &off, &n))
		virtio_pci_write(&f->regs, off, pci_get32(d, f->window + CAP_EXTRA), n);
}

static void bus_reset(struct pci_device *d) { virtio_pci_reset(&((struct virtio_function *)d)->regs); }

/* ---- putting a device on the bus ---- */

/* Class codes, PCI Local Bus Specification, appendix D; drivers go by the device id alone. */
static uint32_t class_of(const struct virtio_device *d)
{
	switch (d->id) {
	case VIRTIO_ID_NET:
		return 0x020000; /* Ethernet */
	case VIRTIO_ID_BLOCK:
		return 0x018000; /* other mass storage */
	case VIRTIO_ID_CONSOLE:
		return 0x078000; /* other communication */
	case VIRTIO_ID_9P:
		return 0x018000;
	case VIRTIO_ID_RNG:
		return 0x108000; /* other encryption */
	default:
		return 0x00ff00; /* not one of these */
	}
}

static unsigned add_cap(struct virtio_function *f, uint8_t type, uint32_t off, uint32_t length, unsigned extra)
{
	struct pci_device *d = &f->pci;
	unsigned at = pci_device_add_capability(d, CAP_ID, CAP_BYTES + extra);

	if (!at)
		panic("no room for virtio capability %u", type); /* they are always the same five */
	d->s.config[at + CAP_LEN] = (uint8_t)(CAP_BYTES + extra);
	d->s.config[at + CAP_TYPE] = type;
	d->s.config[at + CAP_BAR] = BAR;
	pci_put32(d, at + CAP_OFFSET, off);
	pci_put32(d, at + CAP_LENGTH, length);
	return at;
}

static void add_caps(struct virtio_function *f)
{
	unsigned notify;

	add_cap(f, CAP_COMMON, VIRTIO_PCI_COMMON, VIRTIO_PCI_ISR - VIRTIO_PCI_COMMON, 0);
	notify = add_cap(f, CAP_NOTIFY, VIRTIO_PCI_NOTIFY, VIRTIO_PCI_BAR_BYTES - VIRTIO_PCI_NOTIFY, 4);
	pci_put32(&f->pci, notify + CAP_EXTRA, VIRTIO_PCI_NOTIFY_STEP);
	add_cap(f, CAP_ISR, VIRTIO_PCI_ISR, 1, 0);
	if (f->dev->config_bytes)
		add_cap(f, CAP_DEVICE, VIRTIO_PCI_DEVICE, VIRTIO_PCI_NOTIFY - VIRTIO_PCI_DEVICE, 0);
	f->window = add_cap(f, CAP_PCI, 0, 0, 4);
	f->pci.writable[f->window + CAP_BAR] = 0xff;
	for (unsigned i = 0; i < 12; i++) /* offset, length, data */
		f->pci.writable[f->window + CAP_OFFSET + i] = 0xff;
}

static int function_open(struct virtio_function *f, unsigned place)
{
	struct pci_device *d = &f->pci;
	struct pci_bar bar = {.bytes = VIRTIO_PCI_BAR_BYTES, .ops = &bar_ops, .opaque = f, .width = 4};
	unsigned function = place % FUNCTIONS;
	int err;

	pci_device_init(d, VENDOR, (uint16_t)(DEVICE_BASE + f->dev->id), REVISION, class_of(f->dev));
	pci_put16(d, PCI_REG_SUBSYSTEM_VENDOR, f->dev->vendor ? f->dev->vendor : VENDOR);
	pci_put16(d, PCI_REG_SUBSYSTEM, f->dev->id);
	d->s.config[PCI_REG_INTERRUPT_PIN] = (uint8_t)(1 + function % 4);
	if (!function)
		d->s.config[PCI_REG_HEADER_TYPE] = MULTIFUNCTION;
	err = pci_device_set_bar(d, BAR, &bar);
	if (err)
		return err;
	add_caps(f);
	d->config_read = window_read;
	d->config_written = window_written;
	d->reset = bus_reset;
	f->dev->host = (struct virtio_host){
	    .map = host_map,
	    .written = host_written,
	    .release = host_release,
	    .set_irq = host_set_irq,
	    .wake = host_wake,
	    .pause = host_pause,
	    .report = host_report,
	    .share = f->vm->monitor->share ? &share_ops : NULL,
	    .tracer = &f->vm->tracer,
	    .trace_name = trace_text(f->vm->monitor->trace, f->dev->name),
	    .synchronous = f->vm->cfg.icount,
	    .opaque = f,
	};
	f->regs.dev = f->dev;
	ASSERT(f->dev->n_queues <= VIRTIO_MAX_QUEUES);
	virtio_pci_reset(&f->regs);
	return pci_bus_add(board_pci(f->vm->board), d, FIRST_SLOT + place / FUNCTIONS, function);
}

int vm_add_virtio(struct vm *vm, struct virtio_device *d)
{
	struct virtio_bus *b = vm->virtio;
	struct virtio_function *f;
	int err = -ENOMEM;

	if (!b)
		b = vm->virtio = calloc(1, sizeof(*b));
	f = calloc(1, sizeof(*f));
	if (b && f) {
		f->vm = vm;
		f->dev = d;
		err = b->n < MAX_DEVICES ? function_open(f, b->n) : -ENOSPC;
	}
	if (err) {
		virtio_device_free(d);
		free(f);
		return err;
	}
	b->f[b->n++] = f;
	return 0;
}

void virtio_bus_poll(struct vm *vm)
{
	for (unsigned i = 0; vm->virtio && i < vm->virtio->n; i++)
		virtio_poll(vm->virtio->f[i]->dev);
}

void virtio_bus_retry(struct vm *vm)
{
	for (unsigned i = 0; vm->virtio && i < vm->virtio->n; i++)
		virtio_retry(vm->virtio->f[i]->dev);
}

/* ---- states ---- */

size_t virtio_bus_state_bytes(const struct vm *vm, const char **name)
{
	size_t bytes = 0;

	*name = NULL;
	for (unsigned i = 0; vm->virtio && i < vm->virtio->n; i++) {
		const struct virtio_device *d = vm->virtio->f[i]->dev;

		if (!*name && !virtio_savable(d))
			*name = d->name;
		bytes += sizeof(struct virtio_pci) + virtio_state_bytes(d);
	}
	return bytes;
}

bool virtio_bus_save(const struct vm *vm, void *state)
{
	uint8_t *to = state;

	for (unsigned i = 0; vm->virtio && i < vm->virtio->n; i++) {
		const struct virtio_function *f = vm->virtio->f[i];

		memcpy(to, &f->regs, sizeof(f->regs));
		to += sizeof(f->regs);
		if (!virtio_save(f->dev, to))
			return false;
		to += virtio_state_bytes(f->dev);
	}
	return true;
}

void virtio_bus_restore(struct vm *vm, const void *state)
{
	const uint8_t *from = state;

	for (unsigned i = 0; vm->virtio && i < vm->virtio->n; i++) {
		struct virtio_function *f = vm->virtio->f[i];

		memcpy(&f->regs, from, sizeof(f->regs));
		from += sizeof(f->regs);
		virtio_restore(f->dev, from);
		from += virtio_state_bytes(f->dev);
	}
}

void virtio_bus_free(struct virtio_bus *b)
{
	if (!b)
		return;
	for (unsigned i = 0; i < b->n; i++) {
		virtio_device_free(b->f[i]->dev);
		free(b->f[i]);
	}
	free(b);
}

const struct virtio_device *virtio_bus_device(const struct vm *vm, unsigned i)
{
	return vm->virtio && i < vm->virtio->n ? vm->virtio->f[i]->dev : NULL;
}
