/* SPDX-License-Identifier: MIT */
#include "pv-drivers/net/net_cable.h"

#include <errno.h>
#include <stdlib.h>

/* A frame with this length is no frame: the rest of the ring up to its end is skipped. */
#define SKIP UINT32_MAX

static uint32_t room_for(uint32_t bytes)
{
	return ((uint32_t)sizeof(struct net_frame) + bytes + NET_FRAME_ALIGN - 1) & ~(uint32_t)(NET_FRAME_ALIGN - 1);
}

static struct net_frame *frame_at(const struct net_ring *r, uint32_t pos)
{
	return (struct net_frame *)(r->mem + (pos & (r->size - 1)));
}

int net_ring_init(struct net_ring *r, uint32_t size)
{
	*r = (struct net_ring){.size = size};
	r->mem = aligned_alloc(64, size);
	return r->mem ? 0 : -ENOMEM;
}

void net_ring_free(struct net_ring *r)
{
	free(r->mem);
	r->mem = NULL;
}

struct net_frame *net_ring_reserve(struct net_ring *r, uint32_t bytes)
{
	uint32_t tail = __atomic_load_n(&r->tail, __ATOMIC_SEQ_CST), pos = r->head, need = room_for(bytes);
	uint32_t to_end = r->size - (pos & (r->size - 1));

	if (need > to_end) {
		if (to_end + need > r->size - (pos - tail))
			return NULL;
		frame_at(r, pos)->bytes = SKIP; /* seen by nobody before the commit */
		pos += to_end;
	} else if (need > r->size - (pos - tail)) {
		return NULL;
	}
	r->reserved = pos;
	frame_at(r, pos)->n_lent = 0;
	return frame_at(r, pos);
}

bool net_ring_commit(struct net_ring *r, struct net_frame *f)
{
	__atomic_store_n(&r->head, r->reserved + room_for(f->bytes), __ATOMIC_SEQ_CST);
	return __atomic_load_n(&r->want_data, __ATOMIC_SEQ_CST) &&
	       __atomic_exchange_n(&r->want_data, 0, __ATOMIC_SEQ_CST);
}

struct net_frame *net_ring_peek(struct net_ring *r)
{
	uint32_t head = __atomic_load_n(&r->head, __ATOMIC_SEQ_CST);

	if (head == r->tail)
		return NULL;
	if (frame_at(r, r->tail)->bytes == SKIP)
		__atomic_store_n(&r->tail, r->tail + r->size - (r->tail & (r->size - 1)), __ATOMIC_RELEASE);
	return frame_at(r, r->tail);
}

bool net_ring_pop(struct net_ring *r)
{
	uint32_t tail = r->tail + room_for(frame_at(r, r->tail)->bytes);

	__atomic_store_n(&r->tail, tail, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&r->want_room, __ATOMIC_SEQ_CST))
		return false;
	/* Not for each frame: whoever waits is to find room for many. */
	if (__atomic_load_n(&r->head, __ATOMIC_RELAXED) - tail > r->size / 2)
		return false;
	return __atomic_exchange_n(&r->want_room, 0, __ATOMIC_SEQ_CST);
}

bool net_ring_sleep(struct net_ring *r)
{
	__atomic_store_n(&r->want_data, 1, __ATOMIC_SEQ_CST);
	return !net_ring_peek(r);
}

bool net_ring_await_room(struct net_ring *r, uint32_t bytes)
{
	__atomic_store_n(&r->want_room, 1, __ATOMIC_SEQ_CST);
	/* Sequentially consistent, all of it: the mark is there before tail is looked at. */
	if (!net_ring_reserve(r, bytes))
		return true;
	__atomic_store_n(&r->want_room, 0, __ATOMIC_SEQ_CST);
	return false;
}
