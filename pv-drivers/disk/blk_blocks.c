/* SPDX-License-Identifier: MIT */
#include "pv-drivers/disk/blk_blocks.h"

#include <errno.h>
#include <stdlib.h>

#include "base/array.h"

/* What place() needs: it is called for one piece of guest memory after the other. */
struct placing {
	struct blk_blocks *b;
	const struct blk_read *rd;
	bool no_memory;
};

/* [at, at + bytes) of the data has to be read.  It may have been said before, of memory that is not adjacent in the host. */
static bool add_to_run(struct blk_blocks *b, uint64_t at, uint64_t bytes)
{
	struct blk_run *last = b->n_runs ? &b->run[b->n_runs - 1] : NULL;

	if (last && last->at + last->bytes >= at) {
		if (last->at + last->bytes < at + bytes)
			last->bytes = at + bytes - last->at;
		return true;
	}
	if (!array_room((void **)&b->run, b->n_runs, &b->runs_room, sizeof(*b->run)))
		return false;
	b->run[b->n_runs++] = (struct blk_run){.at = at, .bytes = bytes};
	return true;
}

/* A page whose block is not in memory.  NULL: no machine memory, or none of the host's. */
static uint8_t *page_to_fill(struct placing *p, struct gpa pa, uint64_t at)
{
	const struct virtio_host *host = &p->rd->dev->host;
	struct blk_blocks *b = p->b;
	struct machine_page *page;

	if (!array_room((void **)&b->block, b->n, &b->room, sizeof(*b->block)) || !add_to_run(b, at, PAGE_BYTES))
		return NULL;
	page = host->share->new_page(host->opaque);
	if (!page)
		return NULL;
	b->block[b->n++] = (struct blk_block){pa, p->rd->off + at, page};
	return page->host;
}

/* How far from pa on the guest's own memory is read into: to the next page that can be a block. */
static uint64_t plain_bytes(const struct blk_read *rd, struct gpa pa, uint64_t at, uint64_t bytes)
{
	uint64_t to_page = PAGE_BYTES - (pa.v & PAGE_MASK);

	if (((rd->off + at) ^ pa.v) & PAGE_MASK) /* they never meet at a border */
		return bytes;
	return bytes < to_page ? bytes : to_page;
}

static uint8_t *place(void *opaque, struct gpa pa, uint64_t at, uint64_t *bytes)
{
	struct placing *p = opaque;
	const struct blk_read *rd = p->rd;
	const struct virtio_host *host = &rd->dev->host;
	uint64_t off = rd->off + at;
	struct block_name name = {rd->image, off / PAGE_BYTES};
	uint8_t *mapped;

	if (at >= rd->bytes) /* the status */
		return NULL;
	if (*bytes > rd->bytes - at)
		*bytes = rd->bytes - at;
	if (pa.v & PAGE_MASK || off & PAGE_MASK || *bytes < PAGE_BYTES || !disk_is_image(rd->disk, off, PAGE_BYTES)) {
		*bytes = plain_bytes(rd, pa, at, *bytes);
		p->no_memory |= !add_to_run(p->b, at, *bytes);
		return NULL;
	}
	*bytes = PAGE_BYTES;
	mapped = (uint8_t *)(uintptr_t)host->share->map_block(host->opaque, pa, name); /* no run goes there */
	if (mapped)
		return mapped;
	mapped = page_to_fill(p, pa, at);
	p->no_memory |= !mapped;
	return mapped;
}

/* The iovecs of the runs. */
static int slice(struct blk_blocks *b, const struct virtq_chain *c)
{
	unsigned room = c->n_in + 2 * b->n_runs, used = 0;

	b->iov = malloc((room ? room : 1) * sizeof(*b->iov));
	if (!b->iov)
		return -ENOMEM;
	for (unsigned i = 0; i < b->n_runs; i++) {
		struct blk_run *r = &b->run[i];
		int got = iov_slice(c->in, c->n_in, r->at, r->bytes, b->iov + used, room - used);

		if (got < 0)
			return got;
		r->first = used;
		r->n = (unsigned)got;
		used += r->n;
	}
	return 0;
}

int blk_blocks_place(struct blk_blocks *b, const struct blk_read *rd, struct virtq_chain *c)
{
	struct placing p = {b, rd, false};
	int err;

	*b = (struct blk_blocks){0};
	err = virtq_place(c, place, &p);
	err = err ? err : p.no_memory ? -ENOMEM : slice(b, c);
	if (err)
		blk_blocks_drop(b, rd->dev);
	return err;
}

int blk_blocks_read(const struct blk_blocks *b, const struct blk_read *rd, bool nowait)
{
	int err = 0;

	for (unsigned i = 0; i < b->n_runs && !err; i++) {
		const struct blk_run *r = &b->run[i];

		err = nowait ? disk_readv_nowait(rd->disk, rd->off + r->at, b->iov + r->first, r->n)
			     : disk_readv(rd->disk, rd->off + r->at, b->iov + r->first, r->n);
	}
	return err;
}

static void empty(struct blk_blocks *b)
{
	free(b->block);
	free(b->run);
	free(b->iov);
	*b = (struct blk_blocks){0};
}

void blk_blocks_give(struct blk_blocks *b, const struct blk_read *rd)
{
	const struct virtio_host *host = &rd->dev->host;

	for (unsigned i = 0; i < b->n; i++) {
		const struct blk_block *k = &b->block[i];
		struct block_name name = {rd->image, k->off / PAGE_BYTES};

		/* a write that came while it was read may be in it */
		if (!disk_is_image(rd->disk, k->off, PAGE_BYTES))
			name.image = 0;
		host->share->give_block(host->opaque, k->pa, name, k->page);
	}
	empty(b);
}

void blk_blocks_drop(struct blk_blocks *b, struct virtio_device *dev)
{
	for (unsigned i = 0; i < b->n; i++)
		dev->host.share->drop_page(dev->host.opaque, b->block[i].page);
	empty(b);
}

uint64_t blk_blocks_bytes(const struct blk_blocks *b)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < b->n_runs; i++)
		sum += b->run[i].bytes;
	return sum;
}
