/* SPDX-License-Identifier: MIT */
#ifndef VMM_VIRTIO_MEMORY_H
#define VMM_VIRTIO_MEMORY_H

/* Guest memory as the virtio devices of a machine get it: struct virtio_host.  vCPU thread. */
#include "numa/share.h"
#include "pv-drivers/virtio/virtio.h"

struct vm;

uint8_t *virtio_memory_map(struct vm *vm, struct gpa pa, uint64_t *bytes, bool write, int *err);
void virtio_memory_written(struct vm *vm, struct gpa pa, uint64_t bytes);
/* d: whose requests do not count as in flight. */
void virtio_memory_release(struct vm *vm, const struct virtio_device *d, struct gpa pa, uint64_t bytes);
/* struct virtio_share */
bool virtio_memory_inside(const struct vm *vm, struct gpa pa, uint64_t bytes);
const uint8_t *virtio_memory_map_block(struct vm *vm, struct gpa pa, struct block_name name);
struct machine_page *virtio_memory_new_page(struct vm *vm);
void virtio_memory_give_block(struct vm *vm, struct gpa pa, struct block_name name, struct machine_page *page);
struct machine_page *virtio_memory_lend(struct vm *vm, const uint8_t *host);
bool virtio_memory_take(struct vm *vm, struct gpa pa, struct machine_page *page);
/* What the machine's door asks it: numa/numa.h. */
struct pmap_ops virtio_memory_pmap_ops(struct vm *vm);

#endif
