/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_VMM_SHARE_H
#define TESTS_UNIT_VMM_SHARE_H

/* Machines of one monitor that share, each with a disk that the test drives from outside as the machine's guest would. */
#include <time.h>

#include "pv-drivers/virtio/devices.h"
#include "tests/unit/pv_disk.h"
#include "tests/unit/vmm_machine.h"
#include "vmm/cpu/mem.h"
#include "vmm/devices/virtio_bus.h"
#include "vmm/monitor/audit.h"

enum { SHARE_RINGS = 0x200000, SHARE_HEADER = SHARE_RINGS + 0x3000, SHARE_STATUS = SHARE_HEADER + 16 };
enum { SHARE_IN = 0, SHARE_OUT = 1 };

struct share_vm {
	struct vm *vm;
	struct disk *disk;
	struct virtio_device *d;
	uint16_t next, used;
};

static inline struct monitor *share_monitor(uint64_t bytes)
{
	struct monitor *mon;

	cr_assert_eq(monitor_new(&mon, &(struct monitor_config){.memory_bytes = bytes, .nodes = 1, .share = true}), 0);
	return mon;
}

static inline void share_write(struct share_vm *s, uint64_t pa, const void *data, size_t n)
{
	cr_assert_eq(pmap_write(s->vm->ram, gpa(pa), data, n), 0);
}

static inline void share_open(struct share_vm *s, struct monitor *mon, enum tiers tiers, struct disk *disk)
{
	struct virtio_device *d;

	*s = (struct share_vm){.vm = machine_open_in(mon, &(struct vm_config){0}, tiers), .disk = disk};
	cr_assert_eq(virtio_blk_new(&d, disk, "disk", "serial"), 0);
	cr_assert_eq(vm_add_virtio(s->vm, d), 0);
	s->d = d;
	d->queue[0].size = 16;
	d->queue[0].desc = gpa(SHARE_RINGS);
	d->queue[0].avail = gpa(SHARE_RINGS + 0x1000);
	d->queue[0].used = gpa(SHARE_RINGS + 0x2000);
	virtio_set_status(d, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER, 0);
	virtio_set_status(d, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK,
			  d->features_offered & ~VIRTIO_F_EVENT_IDX);
	virtio_enable_queue(d, 0);
	virtio_set_status(d, 0xf, 0);
	cr_assert(virtio_running(d));
}

static inline void share_close(struct share_vm *s)
{
	vm_free(s->vm);
	cr_assert_eq(disk_close(s->disk), 0);
}

/* A request is on its way. */
static inline void share_ask(struct share_vm *s, uint32_t type, uint64_t sector, uint64_t pa, uint32_t bytes)
{
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc[3] = {{SHARE_HEADER, 16, 1, 1}, {pa, bytes, type == SHARE_IN ? 3 : 1, 2}, {SHARE_STATUS, 1, 2, 0}};
	uint32_t header[4] = {type, 0, (uint32_t)sector, (uint32_t)(sector >> 32)};
	uint16_t head = 0, slot = s->next++ % 16;

	share_write(s, SHARE_HEADER, header, sizeof(header));
	share_write(s, SHARE_STATUS, "\xee", 1);
	share_write(s, SHARE_RINGS, desc, sizeof(desc));
	share_write(s, SHARE_RINGS + 0x1004 + 2 * slot, &head, 2);
	share_write(s, SHARE_RINGS + 0x1002, &s->next, 2);
	virtio_notify(s->d, 0);
}

/* Its status, when it is done. */
static inline uint8_t share_wait(struct share_vm *s)
{
	const struct timespec ms = {0, 1000000};
	uint16_t used = s->used;
	uint8_t status;

	s->used++;
	for (unsigned i = 0; used != s->used; i++) {
		cr_assert_eq(pmap_read(s->vm->ram, gpa(SHARE_RINGS + 0x2002), &used, 2), 0);
		if (used != s->used) {
			nanosleep(&ms, NULL);
			virtio_bus_poll(s->vm);
			cr_assert_lt(i, 20000u, "the disk does not answer");
		}
	}
	cr_assert_eq(pmap_read(s->vm->ram, gpa(SHARE_STATUS), &status, 1), 0);
	return status;
}

static inline uint8_t share_do(struct share_vm *s, uint32_t type, uint64_t sector, uint64_t pa, uint32_t bytes)
{
	share_ask(s, type, sector, pa, bytes);
	return share_wait(s);
}

static inline void share_audit(struct monitor *mon)
{
	struct monitor_audit audit;

	monitor_audit(mon, &audit);
	cr_assert_eq(audit.errors, 0u, "%s", audit.first);
}

static inline uint64_t share_used(const struct share_vm *s)
{
	return machine_memory_pages_used(s->vm->monitor->memory, -1);
}

#endif
