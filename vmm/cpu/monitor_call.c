/* SPDX-License-Identifier: MIT */
#include "vmm/cpu/monitor_call.h"

#include <errno.h>
#include <string.h>

#include "numa/region.h"
#include "vmm/cpu/helpers.h"
#include "vmm/cpu/mem.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/devices/virtio_memory.h"
#include "vmm/monitor/siblings.h"
#include "vmm/monitor/vm.h"

/* As the guest's kernel numbers them. */
enum {
	GUEST_ENOENT = 2,
	GUEST_EAGAIN = 11,
	GUEST_ENOMEM = 12,
	GUEST_EFAULT = 14,
	GUEST_EBUSY = 16,
	GUEST_EINVAL = 22,
	GUEST_ENOSYS = 89,
};

static int64_t version(struct vcpu *v, uint32_t a0, uint32_t a1) { return MONITOR_CALL_ABI; }

/* Whole pages of RAM: 0, or the guest's error. */
static int64_t check_pages(const struct vcpu *v, uint32_t pa, uint32_t pages)
{
	if (pa & PAGE_MASK || pages > MONITOR_CALL_MAX_PAGES)
		return -GUEST_EINVAL;
	return virtio_memory_inside(v->vm, gpa(pa), (uint64_t)pages * PAGE_BYTES) ? 0 : -GUEST_EFAULT;
}

/* In place, because it is about to be used; a page that was never touched is zeroes already. */
static void zero_page(struct vcpu *v, struct gpa pa)
{
	uint64_t bytes = PAGE_BYTES;
	struct machine_page *page;
	struct gpa ram;
	uint8_t *host;
	int err;

	page = vm_ram(v->vm, pa, &ram) ? pmap_peek(v->vm->ram, ram) : NULL;
	if (!page)
		return;
	host = virtio_memory_map(v->vm, pa, &bytes, true, &err);
	if (!host)
		return; /* no memory: the machine ends */
	memset(host, 0, PAGE_BYTES);
	virtio_memory_written(v->vm, pa, PAGE_BYTES);
	v->stats.pages_zeroed++;
}

static int64_t zero(struct vcpu *v, uint32_t a0, uint32_t a1)
{
	int64_t bad = check_pages(v, a0, a1);

	for (uint32_t i = 0; !bad && i < a1; i++)
		zero_page(v, gpa(a0 + (uint64_t)i * PAGE_BYTES));
	return bad;
}

static int64_t give_up(struct vcpu *v, uint32_t a0, uint32_t a1)
{
	int64_t bad = check_pages(v, a0, a1);

	if (bad || !a1)
		return bad;
	if (v->freed_bytes)
		return -GUEST_EAGAIN;
	v->freed = gpa(a0);
	v->freed_bytes = (uint64_t)a1 * PAGE_BYTES;
	if (v->caches.flash)
		caches_stop_soon(v);
	__atomic_store_n(&v->gs.poll, 1, __ATOMIC_RELAXED);
	return 0;
}

/* ---- regions (numa/region.h): by the numbers that the machine's options gave them ---- */

static struct region *region_of(const struct vcpu *v, uint32_t n)
{
	return n < v->vm->cfg.n_regions ? v->vm->cfg.region[n] : NULL;
}

/* Its name, with zeroes behind it, to guest memory. */
static int64_t region(struct vcpu *v, uint32_t a0, uint32_t a1)
{
	const struct region *r = region_of(v, a0);
	char name[REGION_NAME_BYTES] = {0};

	if (!r)
		return -GUEST_ENOENT;
	strncpy(name, region_name(r), sizeof(name) - 1);
	for (uint64_t done = 0; done < sizeof(name);) {
		uint64_t bytes = sizeof(name) - done;
		int err;
		uint8_t *host = virtio_memory_map(v->vm, gpa(a1 + done), &bytes, true, &err);

		if (!host)
			return -GUEST_EFAULT;
		memcpy(host, name + done, bytes);
		virtio_memory_written(v->vm, gpa(a1 + done), bytes);
		done += bytes;
	}
	return (int64_t)region_pages(r);
}

static int64_t guest_error(int err) { return err == -ENOMEM ? -GUEST_ENOMEM : err ? -GUEST_EFAULT : 0; }

static int64_t region_map(struct vcpu *v, uint32_t a0, uint32_t a1)
{
	uint32_t page = a1 & ((1u << MONITOR_CALL_REGION_SHIFT) - 1);
	struct region *r = region_of(v, a1 >> MONITOR_CALL_REGION_SHIFT);
	struct gpa ram;

	if (!r)
		return -GUEST_ENOENT;
	if (a0 & PAGE_MASK || page >= region_pages(r))
		return -GUEST_EINVAL;
	if (!vm_ram(v->vm, gpa(a0), &ram))
		return -GUEST_EFAULT;
	return guest_error(pmap_map_region(v->vm->ram, ram, r, page));
}

static int64_t region_leave(struct vcpu *v, uint32_t a0, uint32_t a1)
{
	int64_t bad = check_pages(v, a0, a1);
	struct gpa ram;

	for (uint32_t i = 0; !bad && i < a1; i++)
		if (vm_ram(v->vm, gpa(a0 + (uint64_t)i * PAGE_BYTES), &ram))
			bad = guest_error(pmap_leave_region(v->vm->ram, ram));
	return bad;
}

/* ---- vCPUs ---- */

static int64_t vcpus(struct vcpu *v, uint32_t a0, uint32_t a1) { return v->vm->n_vcpus; }

/* a1: physical address of three words, pc, $29 and $4. */
static int64_t start(struct vcpu *v, uint32_t a0, uint32_t a1)
{
	uint32_t word[3];
	struct gpa ram;
	int err;

	if (a1 & 3)
		return -GUEST_EINVAL;
	for (unsigned i = 0; i < ARRAY_LEN(word); i++) {
		if (!vm_ram(v->vm, gpa((uint64_t)a1 + 4 * i), &ram) ||
		    pmap_read(v->vm->ram, ram, &word[i], sizeof(word[i])))
			return -GUEST_EFAULT;
		word[i] = v->vm->cfg.big_endian ? __builtin_bswap32(word[i]) : word[i];
	}
	err = vcpu_start(v, a0, word[0], word[1], word[2]);
	return err == -EBUSY ? -GUEST_EBUSY : err ? -GUEST_EINVAL : 0;
}

/* The only one there is would never be started again. */
static int64_t stop(struct vcpu *v, uint32_t a0, uint32_t a1)
{
	if (!vm_has_siblings(v->vm))
		return -GUEST_EINVAL;
	vcpu_power_off(v);
	return 0;
}

static int64_t ring(struct vcpu *v, uint32_t a0, uint32_t a1) { return vcpu_ring(v->vm, a0) ? -GUEST_EINVAL : 0; }

/* The first call says with what. */
static int64_t end_machine(struct vcpu *v, uint32_t a0, uint32_t a1)
{
	int none = -1;

	__atomic_compare_exchange_n(&v->vm->exit_status, &none, (int)(a0 & 255), false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
	vm_end(v->vm, VM_POWER_OFF);
	return 0;
}

/* Others than these change what all have, or look at memory through it. */
static bool needs_parking(const struct vcpu *v, uint64_t number)
{
	return vm_has_siblings(v->vm) && number != MONITOR_CALL_VERSION && number != MONITOR_CALL_VCPUS &&
	       number != MONITOR_CALL_STOP && number != MONITOR_CALL_RING && number != MONITOR_CALL_EXIT;
}

HELPER_FN(monitor_call)
{
	static int64_t (*const call[])(struct vcpu * v, uint32_t a0, uint32_t a1) = {
#define MONITOR_CALL(number, name, function) [MONITOR_CALL_##name] = function,
#include "vmm/cpu/monitor_call.def"
#undef MONITOR_CALL
	};
	struct vcpu *v = vcpu_of(gs);
	bool parking = needs_parking(v, a);
	int64_t result;

	if (parking && !v->step) {
		mem_step_alone(v);
		return 0;
	}
	v->stats.monitor_calls++;
	TRACE(&v->tracer, MONITOR_CALL, a, b, c, gs->pc);
	if (parking)
		siblings_stop_from(v);
	result = a < ARRAY_LEN(call) ? call[a](v, (uint32_t)b, (uint32_t)c) : -GUEST_ENOSYS;
	if (parking)
		siblings_go_from(v);
	return (uint32_t)result;
}

void monitor_call_finish(struct vcpu *v)
{
	uint64_t bytes = v->freed_bytes;

	if (!bytes)
		return;
	v->freed_bytes = 0;
	virtio_memory_release(v->vm, NULL, v->freed, bytes);
	v->stats.pages_freed += bytes / PAGE_BYTES;
}
