/* SPDX-License-Identifier: MIT */
#include "pv-drivers/net/net_fragments.h"

#include <string.h>

enum { IP = NET_ETH_BYTES, MORE = 0x2000, OFFSET = 0x1fff };

static uint32_t get16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }

static void make_key(uint8_t key[11], const uint8_t *ip)
{
	memcpy(key, ip + 12, 8);
	memcpy(key + 8, ip + 4, 2);
	key[10] = ip[9];
}

/* The one of this key, or a new one: an unused place, else the oldest. */
static struct net_fragmented *find(struct net_fragments *f, const uint8_t *key, int64_t now_ms)
{
	struct net_fragmented *d = &f->d[0];

	for (unsigned i = 0; i < NET_FRAGMENTED; i++) {
		if (f->d[i].used && memcmp(f->d[i].key, key, sizeof(f->d[i].key)) == 0) {
			d = &f->d[i];
			break;
		}
		if (d->used && (!f->d[i].used || f->d[i].since_ms < d->since_ms))
			d = &f->d[i];
	}
	if (d->used && memcmp(d->key, key, sizeof(d->key)) == 0 && now_ms - d->since_ms < NET_FRAGMENT_TIMEOUT_MS)
		return d;
	d->used = true;
	memcpy(d->key, key, sizeof(d->key));
	d->since_ms = now_ms;
	d->total = d->have = d->furthest = d->header_bytes = 0;
	memset(d->seen, 0, sizeof(d->seen));
	return d;
}

/* False: it overlaps with what is there, or goes beyond the end. */
static bool put(struct net_fragmented *d, uint32_t off, const uint8_t *from, uint32_t n, bool last)
{
	if (d->total ? last || off + n > d->total : last && d->furthest > off)
		return false;
	for (uint32_t unit = off / 8; unit < (off + n + 7) / 8; unit++) {
		if (d->seen[unit / 8] >> unit % 8 & 1)
			return false;
		d->seen[unit / 8] |= (uint8_t)(1 << unit % 8);
	}
	memcpy(d->datagram + NET_FRAGMENT_HEAD + off, from, n);
	d->have += n;
	d->furthest = off + n > d->furthest ? off + n : d->furthest;
	d->total = last ? off + n : d->total;
	return true;
}

/* Everything is there: the first fragment's headers, made those of the whole. */
static uint8_t *whole(struct net_fragmented *d, uint32_t *bytes)
{
	uint8_t *frame = d->datagram + NET_FRAGMENT_HEAD - d->header_bytes, *ip = frame + IP;
	uint32_t total = d->header_bytes - IP + d->total;
	uint16_t sum;

	d->used = false;
	if (total > UINT16_MAX)
		return NULL;
	memcpy(frame, d->headers, d->header_bytes);
	ip[2] = (uint8_t)(total >> 8);
	ip[3] = (uint8_t)total;
	memset(ip + 6, 0, 2);
	memset(ip + 10, 0, 2);
	sum = (uint16_t)~net_sum(ip, d->header_bytes - IP);
	memcpy(ip + 10, &sum, 2);
	*bytes = IP + total;
	return frame;
}

uint8_t *net_fragments_add(struct net_fragments *f, uint8_t *frame, uint32_t *bytes, int64_t now_ms)
{
	uint8_t *ip = frame + IP, key[11];
	struct net_fragmented *d;
	uint32_t hl, total, off;
	bool last;

	if (*bytes < IP + 20 || get16(frame + 12) != 0x0800 || !(get16(ip + 6) & (MORE | OFFSET)))
		return frame;
	hl = (ip[0] & 15) * 4u;
	total = get16(ip + 2);
	off = (get16(ip + 6) & OFFSET) * 8;
	last = !(get16(ip + 6) & MORE);
	if (ip[0] >> 4 != 4 || hl < 20 || total <= hl || total > *bytes - IP || net_sum(ip, hl) != 0xffff ||
	    off + total - hl > UINT16_MAX || (!last && (total - hl) % 8))
		return NULL;
	make_key(key, ip);
	d = find(f, key, now_ms);
	if (!put(d, off, ip + hl, total - hl, last)) {
		d->used = false;
		return NULL;
	}
	if (!off) {
		d->header_bytes = IP + hl;
		memcpy(d->headers, frame, IP + hl);
	}
	return d->total && d->have == d->total ? whole(d, bytes) : NULL;
}
