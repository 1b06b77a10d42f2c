/* SPDX-License-Identifier: MIT */
#ifndef VMM_VIRTIO_BUS_H
#define VMM_VIRTIO_BUS_H

/*
 * The virtio devices of a machine: each is a function of one of the Malta's four PCI connectors, and gets from here guest
 * memory, its interrupt line and a way to be called from its own threads (struct virtio_host).
 * Source: virtio 1.2, 4.1 "Virtio Over PCI Bus".  vCPU thread.
 */
#include "base/panic.h"
#include "pv-drivers/virtio/virtio.h"

struct vm;
struct virtio_bus;

/*
 * Put d on the bus, in the next free place: slot 18 function 0, ... slot 21 function 7.  Linux finds the devices in that
 * order, so that the first disk added is /dev/vda.  After vm_new() and before vm_run().
 *
 * Takes d: vm_free() frees it, or this function if it fails.
 * Returns  0, -ENOSPC (no place), -ENOMEM.
 */
MUST_CHECK int vm_add_virtio(struct vm *vm, struct virtio_device *d);
/* Calls poll() of those that asked for it. The dispatch loop, outside translated code. */
void virtio_bus_poll(struct vm *vm);
/* Have the devices that paused the machine try again what it waits for. */
void virtio_bus_retry(struct vm *vm);
/* Before the clock and the board are freed: threads of the devices use them.  NULL is fine. */
/* The devices' states, to be gone back to.  *name: of one that cannot; NULL: all can.  Before the machine runs, and between two instructions. */
size_t virtio_bus_state_bytes(const struct vm *vm, const char **name);
/* False: not now, requests are in flight. */
MUST_CHECK bool virtio_bus_save(const struct vm *vm, void *state);
void virtio_bus_restore(struct vm *vm, const void *state);
void virtio_bus_free(struct virtio_bus *b);

/* Has a request in flight, of any device but that one (or NULL), this page of host memory; written: to write to it? */
bool virtio_bus_uses(const struct vm *vm, const struct virtio_device *but, const uint8_t *host, bool written);
/* For --stats: the i-th device, or NULL at the end. */
const struct virtio_device *virtio_bus_device(const struct vm *vm, unsigned i);

#endif
