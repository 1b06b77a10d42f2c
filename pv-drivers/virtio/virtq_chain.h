/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_VIRTQ_CHAIN_H
#define PV_DRIVERS_VIRTQ_CHAIN_H

/* Private to the virtqueue and the transport: descriptor chains.  vCPU thread. */
#include "pv-drivers/virtio/virtq.h"

enum { VIRTQ_DESC_BYTES = 16 };

/*
 * Follow the chain from descriptor `head` into *c, and count it as in flight.  0, -EPROTO (the queue is broken now),
 * -ENOMEM.  Cost O(descriptors + pages).
 */
MUST_CHECK int virtq_chain_gather(struct virtq *q, uint16_t head, struct virtq_chain **c);
/* The device wrote the first n bytes of in: drop translations of them. */
void virtq_chain_written(const struct virtq_chain *c, uint64_t n);
void virtq_chain_free(struct virtq_chain *c);

/* Is [host, host + bytes) part of a chain in flight; written: of what is to be written? Cost O(segments in flight). */
bool virtq_uses(const struct virtq *q, const uint8_t *host, uint64_t bytes, bool written);

/* 0, -EINVAL (size, alignment), -EFAULT (an area is not in memory), -ENOMEM: before the queue is enabled. */
MUST_CHECK int virtq_check(const struct virtq *q);
/* DRIVER_OK: begin, with notifications on. */
void virtq_activate(struct virtq *q);
/* As at power-on. No chain may be in flight. */
void virtq_reset(struct virtq *q, struct virtio_device *d, unsigned index);

#endif
