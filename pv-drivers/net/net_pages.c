/* SPDX-License-Identifier: MIT */
#include "pv-drivers/net/net_pages.h"

#include <errno.h>
#include <string.h>

#include "pv-drivers/net/net_lan.h"
#include "pv-drivers/net/net_offload.h"

/* ---- sending ---- */

/* A whole page of the frame's, by its place in the host and in the frame. */
struct candidate {
	const uint8_t *host;
	uint32_t at;
};

/* More than the largest frame has. */
enum { MAX_CANDIDATES = NET_MAX_FRAME_BYTES / PAGE_BYTES + 1 };

static unsigned find_pages(const struct lan_frame *f, uint32_t payload, struct candidate *c)
{
	uint32_t pos = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < f->n_iov; i++) {
		const uint8_t *base = f->iov[i].iov_base, *end = base + f->iov[i].iov_len;
		const uint8_t *page = base + (-(uintptr_t)base & PAGE_MASK);

		for (; page + PAGE_BYTES <= end; page += PAGE_BYTES)
			if (pos + (uint32_t)(page - base) >= payload)
				c[n++] = (struct candidate){page, pos + (uint32_t)(page - base)};
		pos += (uint32_t)f->iov[i].iov_len;
	}
	return n;
}

static uint32_t pages_for(uint32_t bytes) { return (uint32_t)((bytes + PAGE_MASK) >> PAGE_SHIFT); }

/* Pages that the receiver needs, with the frame's headers elsewhere. */
static uint32_t pieces(const struct candidate *c, unsigned n, uint32_t payload, uint32_t bytes)
{
	uint32_t sum = n, from = payload;

	for (unsigned i = 0; i < n; i++) {
		sum += pages_for(c[i].at - from);
		from = c[i].at + PAGE_BYTES;
	}
	return sum + pages_for(bytes - from);
}

/* *payload_at: where that begins, if there are any: no further than the first of them. */
static unsigned lend_pages(const struct lan_frame *f, struct net_lent *lent, uint16_t *payload_at)
{
	struct candidate c[MAX_CANDIDATES];
	uint8_t head[NET_HEAD_BYTES];
	uint32_t have = f->bytes < sizeof(head) ? f->bytes : (uint32_t)sizeof(head), payload;
	unsigned n, lent_n = 0;

	if (!f->from || !f->from->lend || f->bytes < PAGE_BYTES)
		return 0;
	net_gather(f->iov, f->n_iov, head, have);
	payload = net_payload_at(head, have, f->bytes);
	if (payload > NET_SPLIT_HEAD_BYTES)
		return 0;
	n = find_pages(f, payload, c);
	if (pieces(c, n, payload, f->bytes) > NET_PIECES)
		return 0;
	for (unsigned i = 0; i < n; i++) {
		struct machine_page *page = f->from->lend(f->from->lend_opaque, c[i].host);

		if (page)
			lent[lent_n++] = (struct net_lent){page, c[i].at};
	}
	*payload_at = (uint16_t)payload;
	return lent_n;
}

/* [from, from + bytes) of the frame. */
static uint8_t *copy_part(const struct lan_frame *f, uint32_t from, uint32_t bytes, uint8_t *to)
{
	for (unsigned i = 0; i < f->n_iov && bytes; i++) {
		uint32_t len = (uint32_t)f->iov[i].iov_len, n;

		if (from >= len) {
			from -= len;
			continue;
		}
		n = len - from < bytes ? len - from : bytes;
		memcpy(to, (const uint8_t *)f->iov[i].iov_base + from, n);
		to += n;
		bytes -= n;
		from = 0;
	}
	return to;
}

void net_frame_fill(struct net_frame *to, const struct lan_frame *f, bool lend)
{
	struct net_lent lent[MAX_CANDIDATES];
	uint16_t payload = 0;
	unsigned n = lend ? lend_pages(f, lent, &payload) : 0;
	uint8_t *data = to->data;
	uint32_t from = 0;

	to->bytes = f->bytes;
	to->hdr = *f->hdr;
	to->n_lent = (uint16_t)n;
	to->payload = payload;
	for (unsigned i = 0; i < n; i++) {
		data = copy_part(f, from, lent[i].at - from, data);
		from = lent[i].at + PAGE_BYTES;
	}
	copy_part(f, from, f->bytes - from, data);
	if (n) /* there is room: each of them has left that of a page */
		memcpy(net_frame_lent(to), lent, n * sizeof(*lent));
}

/* ---- receiving ---- */

void net_parts_gather(const struct net_parts *p, uint8_t *to)
{
	const uint8_t *data = p->data;
	uint32_t at = 0;

	for (unsigned i = 0; i < p->n_lent; i++) {
		uint32_t n = p->lent[i].at - at;

		memcpy(to + at, data, n);
		memcpy(to + at + n, p->lent[i].page->host, PAGE_BYTES);
		data += n;
		at += n + PAGE_BYTES;
	}
	memcpy(to + at, data, p->bytes - at);
}

/* What goes into one of the receiver's pages. */
struct piece {
	const uint8_t *data;
	uint32_t bytes;
	struct net_lent *lent; /* or NULL: data is copied */
};

static unsigned add_copied(struct piece *out, unsigned n, const uint8_t *data, uint32_t bytes)
{
	while (bytes && n < NET_PIECES) {
		uint32_t part = bytes < PAGE_BYTES ? bytes : (uint32_t)PAGE_BYTES;

		out[n++] = (struct piece){data, part, NULL};
		data += part;
		bytes -= part;
	}
	return n;
}

/*
 * All behind the first `linear` bytes; never more than there is room for, nor behind the first lent page: linear is what net_frame_fill() has
 * counted with.
 */
static unsigned cut(const struct net_parts *p, uint32_t linear, struct piece *out)
{
	const uint8_t *data = p->data + linear;
	uint32_t at = linear;
	unsigned n = 0;

	for (unsigned i = 0; i < p->n_lent; i++) {
		uint32_t before = p->lent[i].at - at;

		if (p->lent[i].at < at || n + pages_for(before) >= NET_PIECES)
			panic("a frame with lent pages is not what its sender has counted");
		n = add_copied(out, n, data, before);
		out[n++] = (struct piece){NULL, PAGE_BYTES, &p->lent[i]};
		data += before;
		at += before + (uint32_t)PAGE_BYTES;
	}
	return add_copied(out, n, data, p->bytes - at);
}

struct buffers {
	struct virtq_chain *head, *page[NET_PIECES];
	unsigned n_pages;
};

static void put_back(struct buffers *b, struct virtq *heads, struct virtq *pages)
{
	for (unsigned i = b->n_pages; i-- > 0;)
		virtq_drop(b->page[i]);
	virtq_rewind(pages, b->n_pages);
	if (b->head) {
		virtq_drop(b->head);
		virtq_rewind(heads, 1);
	}
}

static bool is_page(const struct virtq_chain *c)
{
	return !c->n_out && c->in_bytes == PAGE_BYTES && c->n_ranges == 1 && !(c->ranges[0].pa.v & PAGE_MASK);
}

/* A header buffer and n pages.  False: there are not so many now, or a queue is broken; then none is taken. */
static bool take_buffers(struct buffers *b, struct virtq *heads, struct virtq *pages, unsigned n)
{
	*b = (struct buffers){0};
	if (virtq_pop(heads, &b->head) != 1)
		return false;
	if (b->head->in_bytes < sizeof(struct net_hdr) + NET_SPLIT_HEAD_BYTES) {
		put_back(b, heads, pages);
		virtq_break(heads, "a receive buffer that has no room for a frame's headers");
		return false;
	}
	while (b->n_pages < n && virtq_pop(pages, &b->page[b->n_pages]) == 1) {
		b->n_pages++;
		if (!is_page(b->page[b->n_pages - 1])) {
			put_back(b, heads, pages);
			virtq_break(pages, "a buffer for payload that is not a page");
			return false;
		}
	}
	if (b->n_pages == n)
		return true;
	put_back(b, heads, pages);
	return false;
}

/* For virtq_place(): what the guest has there. */
static uint8_t *as_it_is(void *opaque, struct gpa pa, uint64_t at, uint64_t *bytes) { return NULL; }

/* True: it is mapped, and not copied. */
static bool put_piece(struct virtq_chain *c, const struct piece *p)
{
	struct virtio_device *d = c->q->dev;
	const struct virtio_host *host = &d->host;
	bool late = d->late_in >> c->q->index & 1;

	if (p->lent && late && host->share->take(host->opaque, c->ranges[0].pa, p->lent->page)) {
		p->lent->page = NULL;
		return true;
	}
	if (!late || !virtq_place(c, as_it_is, NULL)) /* no memory: the machine ends */
		virtq_write(c, 0, p->lent ? p->lent->page->host : p->data, p->bytes);
	return false;
}

int net_split_put(struct net *n, struct virtq *heads, struct virtq *pages, struct net_hdr h, const struct net_parts *p,
		  uint32_t payload)
{
	uint32_t linear = payload < NET_SPLIT_HEAD_BYTES ? payload : NET_SPLIT_HEAD_BYTES, copied = p->bytes,
		 mapped = 0;
	struct piece piece[NET_PIECES];
	struct buffers b;
	unsigned count;

	linear = p->bytes <= NET_SPLIT_HEAD_BYTES ? p->bytes : linear;
	count = cut(p, linear, piece);
	if (count > pages->size) {
		net_tally(&n->count.rx_too_long, 1);
		return 1;
	}
	if (!take_buffers(&b, heads, pages, count))
		return 0;
	h.num_buffers = (uint16_t)count;
	for (unsigned i = 0; i < count; i++) {
		if (put_piece(b.page[i], &piece[i]))
			mapped += piece[i].bytes;
		virtq_fill(b.page[i], piece[i].bytes, i);
	}
	virtq_write(b.head, 0, &h, sizeof(h));
	virtq_write(b.head, sizeof(h), p->data, linear);
	virtq_fill(b.head, sizeof(h) + linear, 0);
	virtq_flush(pages, count); /* before the header that speaks of them */
	virtq_flush(heads, 1);
	copied -= mapped;
	net_tally(&n->count.rx_frames, 1);
	net_tally(&n->count.rx_bytes, p->bytes);
	net_tally(&n->count.copied_bytes, copied);
	net_tally(&n->count.payload_mapped, mapped);
	net_tally(&n->count.payload_copied, p->bytes - payload - mapped);
	return 1;
}
