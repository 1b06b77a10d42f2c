/* SPDX-License-Identifier: MIT */
#include "vmm/devices/virtio_memory.h"

#include <errno.h>

#include "numa/move.h"
#include "vmm/cpu/vcpu.h"
#include "vmm/devices/virtio_bus.h"
#include "vmm/monitor/siblings.h"
#include "vmm/monitor/vm.h"

/* As far as the guest's pages are adjacent in the host, which they mostly are: they are handed out in order of first touch. */
uint8_t *virtio_memory_map(struct vm *vm, struct gpa pa, uint64_t *bytes, bool write, int *err)
{
	uint64_t got = 0;
	uint8_t *host = NULL;

	*err = -EFAULT;
	siblings_stop(vm);
	while (got < *bytes) {
		struct gpa at = gpa(pa.v + got), ram;
		uint64_t room = PAGE_BYTES - (at.v & PAGE_MASK);
		enum pmap_access access = write ? PMAP_WRITE : PMAP_READ;
		struct guest_page *g =
		    vm_ram(vm, at, &ram) ? pmap_get(vm->ram, ram, vm->vcpu->node, access, err) : NULL;

		if (!g || (host && g->page->host != host + got))
			break;
		if (!host)
			host = g->page->host + (at.v & PAGE_MASK);
		got += room;
	}
	if (!host && *err == -ENOMEM)
		vm_end(vm, VM_NO_MEMORY);
	if (got < *bytes)
		*bytes = got;
	return host;
}

static void leave_code(struct vm *vm)
{
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		__atomic_store_n(&vm->vcpu[i].gs.poll, 1, __ATOMIC_RELAXED);
}

/*
 * Translations of a page that a device wrote to go, as for a store of the guest's (mem.c).  A page that is shared was not written
 * to: what the device had was another one, which the guest page has lost meanwhile.
 */
static void written_page(struct vcpu *v, struct machine_page *page, struct gpa pa, uint32_t bytes)
{
	if (!page_has(page, PAGE_CODE) || page_has(page, PAGE_SHARED))
		return;
	/* what was just run may be gone: leave it at the next poll point */
	if (vcpu_written(v, page, pa, (uint32_t)(pa.v & PAGE_MASK), bytes))
		leave_code(v->vm);
}

void virtio_memory_written(struct vm *vm, struct gpa pa, uint64_t bytes)
{
	siblings_stop(vm);
	while (bytes) {
		uint64_t off = pa.v & PAGE_MASK, n = bytes < PAGE_BYTES - off ? bytes : PAGE_BYTES - off;
		struct machine_page *page;
		struct gpa ram;

		page = vm_ram(vm, pa, &ram) ? pmap_peek(vm->ram, ram) : NULL;
		if (page)
			written_page(vm->vcpu, page, pa, (uint32_t)n);
		pa.v += n;
		bytes -= n;
	}
}

/* ---- blocks of images ---- */

bool virtio_memory_inside(const struct vm *vm, struct gpa pa, uint64_t bytes)
{
	struct gpa ram;

	for (uint64_t at = pa.v & ~PAGE_MASK; at < pa.v + bytes; at += PAGE_BYTES)
		if (!vm_ram(vm, gpa(at), &ram))
			return false;
	return true;
}

const uint8_t *virtio_memory_map_block(struct vm *vm, struct gpa pa, struct block_name name)
{
	struct gpa ram;

	siblings_stop(vm);
	if (!vm_ram(vm, pa, &ram) || !pmap_map_block(vm->ram, ram, name))
		return NULL;
	return pmap_peek(vm->ram, ram)->host;
}

struct machine_page *virtio_memory_new_page(struct vm *vm)
{
	struct machine_page *page = share_page_new(vm->ram, vm->vcpu->node);

	if (!page)
		vm_end(vm, VM_NO_MEMORY);
	return page;
}

void virtio_memory_give_block(struct vm *vm, struct gpa pa, struct block_name name, struct machine_page *page)
{
	struct gpa ram;

	siblings_stop(vm);
	if (!vm_ram(vm, pa, &ram))
		share_page_drop(vm->ram, page);
	else if (pmap_give_block(vm->ram, ram, name, page))
		vm_end(vm, VM_NO_MEMORY);
}

/* ---- pages from machine to machine ---- */

struct machine_page *virtio_memory_lend(struct vm *vm, const uint8_t *host)
{
	siblings_stop(vm);
	return pmap_lend(vm->ram, host);
}

bool virtio_memory_take(struct vm *vm, struct gpa pa, struct machine_page *page)
{
	struct gpa ram;

	siblings_stop(vm);
	return vm_ram(vm, pa, &ram) && pmap_take(vm->ram, ram, page) == 0;
}

/* ---- what the door asks ---- */

static void unmap(void *opaque, struct gpa ram, struct guest_page *g)
{
	struct vm *vm = opaque;

	if (page_has(g->page, PAGE_CODE))
		leave_code(vm);
	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		vcpu_forget_page(&vm->vcpu[i], g->page, vm_ram_physical(ram));
		l2tlb_drop_page(vm->vcpu[i].l2tlb, g);
	}
}

static void protect(void *opaque, struct gpa ram, struct guest_page *g)
{
	struct vm *vm = opaque;

	for (unsigned i = 0; i < vm->n_vcpus; i++)
		l2tlb_drop_writes(vm->vcpu[i].l2tlb, g);
	vcpu_code_stays(vm->vcpu, g, vm_ram_physical(ram));
}

static bool in_flight(void *opaque, const uint8_t *host, bool written)
{
	return virtio_bus_uses(opaque, NULL, host, written);
}

struct pmap_ops virtio_memory_pmap_ops(struct vm *vm)
{
	return (struct pmap_ops){.unmap = unmap, .protect = protect, .in_flight = in_flight, .opaque = vm};
}

/* ---- giving back ---- */

/* Take away what refers to the page of guest memory.  False: a request of another device may be in the hands of its thread. */
static bool forget_page(struct vm *vm, const struct virtio_device *d, struct gpa ram)
{
	struct guest_page *g;

	pmap_collapse(vm->ram, ram, vm->vcpu->node); /* of copies a request may have any */
	g = pmap_row(vm->ram, ram);
	if (!g || !g->page || virtio_bus_uses(vm, d, g->page->host, false))
		return false;
	unmap(vm, ram, g);
	return true;
}

void virtio_memory_release(struct vm *vm, const struct virtio_device *d, struct gpa pa, uint64_t bytes)
{
	struct gpa first = gpa(0), at;
	uint64_t run = 0; /* bytes from `first` on that can go */

	siblings_stop(vm);
	for (uint64_t off = 0; off < bytes; off += PAGE_BYTES) {
		if (!vm_ram(vm, gpa(pa.v + off), &at) || !forget_page(vm, d, at))
			continue;
		if (run && at.v != first.v + run) {
			pmap_release(vm->ram, first, run);
			run = 0;
		}
		if (!run)
			first = at;
		run += PAGE_BYTES;
	}
	if (run)
		pmap_release(vm->ram, first, run);
}
