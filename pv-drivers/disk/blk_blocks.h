/* SPDX-License-Identifier: MIT */
#ifndef PV_DRIVERS_BLK_BLOCKS_H
#define PV_DRIVERS_BLK_BLOCKS_H

/*
 * Reads through the global buffer cache (SOSP'97 4.2.5): of a read's pages that lie at page borders, of the disk and of guest
 * memory, those whose block is in memory are mapped at once, and the others are read into pages that no guest has, and mapped when that
 * is done.  So the guest that asked cannot have written to what others get as the image's block.
 */
#include "pv-drivers/disk/disk.h"
#include "pv-drivers/virtio/virtio.h"

/* A page that is being read. */
struct blk_block {
	struct gpa pa;
	uint64_t off; /* in the disk */
	struct machine_page *page;
};

/* Bytes that have to be read, one after the other on the disk: all that lies between two pages that were mapped. */
struct blk_run {
	uint64_t at, bytes; /* of the request's data */
	unsigned first, n;  /* its iovecs: blk_blocks.iov */
};

struct blk_blocks {
	unsigned n, n_runs;
	size_t room, runs_room;
	struct blk_block *block;
	struct blk_run *run;
	struct iovec *iov;
};

struct blk_read {
	struct virtio_device *dev;
	struct disk *disk;
	uint32_t image; /* share_image_number() */
	uint64_t off, bytes;
};

/*
 * Find host memory for the chain of a read (virtq_place()), inside of the disk.  0, -ENOMEM: b is empty again.  vCPU thread.
 */
MUST_CHECK int blk_blocks_place(struct blk_blocks *b, const struct blk_read *rd, struct virtq_chain *c);
/* As disk_readv(), disk_readv_nowait(), of the runs.  Any thread. */
MUST_CHECK int blk_blocks_read(const struct blk_blocks *b, const struct blk_read *rd, bool nowait);
/* It has been read: the pages are mapped.  Empties b.  vCPU thread. */
void blk_blocks_give(struct blk_blocks *b, const struct blk_read *rd);
/* It will not be.  Empties b.  vCPU thread. */
void blk_blocks_drop(struct blk_blocks *b, struct virtio_device *dev);
/* Bytes that the runs have. */
uint64_t blk_blocks_bytes(const struct blk_blocks *b);

#endif
