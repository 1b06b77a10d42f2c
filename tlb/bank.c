/* SPDX-License-Identifier: MIT */
#include "tlb/bank.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/resident.h"

#define PAIR_SHIFT (PAGE_SHIFT + 1)

static uint64_t class_bytes(unsigned class) { return (uint64_t)1 << (PAIR_SHIFT + 2 * class); }

static unsigned entry_class(const struct guest_tlb_entry *e)
{
	return (unsigned)(__builtin_ctzll(guest_tlb_entry_bytes(e)) - PAIR_SHIFT) / 2;
}

static unsigned entry_bank(const struct guest_tlb_entry *e) { return e->global ? BANK_GLOBAL : e->asid; }

static unsigned entry_half(const struct guest_tlb_entry *e) { return e->vpn2 >> 31 & 1; }

/* vpn2 is aligned to its class. */
static uint32_t hash(unsigned bank, uint64_t vpn2, unsigned class)
{
	uint64_t key = vpn2 >> PAIR_SHIFT ^ (uint64_t)bank << 40 ^ (uint64_t) class << 52;

	return (uint32_t)(key * 0x9e3779b97f4a7c15ull >> (64 - HASH_HEADS_LOG2)); /* multiplicative, golden ratio */
}

static uint32_t kept_hash(const struct kept *k) { return hash(entry_bank(&k->e), k->e.vpn2, k->page_class); }

int banks_init(struct banks *b, void (*on_drop)(void *arg, const struct guest_tlb_entry *e), void *arg)
{
	memset(b, 0, sizeof(*b));
	b->on_drop = on_drop;
	b->arg = arg;
	b->fresh = 1;
	b->node = calloc(KEPT_MAX + 1, sizeof(*b->node)); /* large: the host commits what gets used */
	b->head = calloc((size_t)1 << HASH_HEADS_LOG2, sizeof(*b->head));
	if (b->node && b->head)
		return 0;
	banks_fini(b);
	return -ENOMEM;
}

void banks_fini(struct banks *b)
{
	free(b->node);
	free(b->head);
	b->node = NULL;
	b->head = NULL;
}

uint64_t banks_take(const struct banks *b)
{
	return resident_bytes(b->node, (KEPT_MAX + 1) * sizeof(*b->node)) +
	       resident_bytes(b->head, sizeof(*b->head) << HASH_HEADS_LOG2);
}

/* ---- lists ---- */

static void link_node(struct banks *b, uint32_t id)
{
	struct kept *k = &b->node[id];
	uint32_t *head = &b->head[kept_hash(k)], *slot = &b->slot[k->slot];
	struct bank_list *bank = &b->bank[entry_bank(&k->e)];

	k->hash_next = *head;
	*head = id;
	k->slot_prev = 0;
	k->slot_next = *slot;
	if (*slot)
		b->node[*slot].slot_prev = id;
	*slot = id;
	k->bank_prev = 0;
	k->bank_next = bank->first;
	if (bank->first)
		b->node[bank->first].bank_prev = id;
	bank->first = id;
	bank->n++;
	b->n++;
	b->n_class[k->page_class]++;
	if (!k->e.global)
		b->n_local[entry_half(&k->e)]++;
}

static void unlink_node(struct banks *b, uint32_t id)
{
	struct kept *k = &b->node[id];
	struct bank_list *bank = &b->bank[entry_bank(&k->e)];
	uint32_t *at = &b->head[kept_hash(k)];

	while (*at != id)
		at = &b->node[*at].hash_next;
	*at = k->hash_next;
	*(k->slot_prev ? &b->node[k->slot_prev].slot_next : &b->slot[k->slot]) = k->slot_next;
	if (k->slot_next)
		b->node[k->slot_next].slot_prev = k->slot_prev;
	*(k->bank_prev ? &b->node[k->bank_prev].bank_next : &bank->first) = k->bank_next;
	if (k->bank_next)
		b->node[k->bank_next].bank_prev = k->bank_prev;
	bank->n--;
	b->n--;
	b->n_class[k->page_class]--;
	if (!k->e.global)
		b->n_local[entry_half(&k->e)]--;
}

static void drop(struct banks *b, uint32_t id)
{
	struct kept *k = &b->node[id];

	unlink_node(b, id);
	b->on_drop(b->arg, &k->e);
	k->hash_next = b->free;
	b->free = id;
}

static void drop_bank(struct banks *b, unsigned bank)
{
	while (b->bank[bank].first)
		drop(b, b->bank[bank].first);
}

void banks_drop_slot(struct banks *b, unsigned slot)
{
	while (b->slot[slot])
		drop(b, b->slot[slot]);
}

void banks_drop_all(struct banks *b)
{
	for (unsigned i = 0; i < BANKS; i++)
		drop_bank(b, i);
}

/* ---- lookup ---- */

/* The node of exactly this page size that covers va in this bank; 0: none. */
static uint32_t find_class(const struct banks *b, unsigned bank, uint64_t va, unsigned class)
{
	uint64_t vpn2 = va & ~(class_bytes(class) - 1);
	uint32_t id = b->head[hash(bank, vpn2, class)];

	for (; id; id = b->node[id].hash_next) {
		const struct kept *k = &b->node[id];

		if (k->e.vpn2 == vpn2 && k->page_class == class && entry_bank(&k->e) == bank)
			break;
	}
	return id;
}

static uint32_t find(const struct banks *b, uint64_t va, uint8_t asid)
{
	for (unsigned class = 0; class < PAGE_CLASSES; class ++) {
		uint32_t id;

		if (!b->n_class[class])
			continue;
		id = find_class(b, asid, va, class);
		if (!id)
			id = find_class(b, BANK_GLOBAL, va, class);
		if (id)
			return id;
	}
	return 0;
}

const struct guest_tlb_entry *banks_find(const struct banks *b, struct gva va, uint8_t asid)
{
	uint32_t id = find(b, va.v, asid);

	return id ? &b->node[id].e : NULL;
}

void banks_drop_va(struct banks *b, struct gva va, uint8_t asid)
{
	uint32_t id = find(b, va.v, asid);

	if (id)
		drop(b, id);
}

/* ---- overlap ---- */

static bool has_smaller(const struct banks *b, unsigned class)
{
	while (class --)
		if (b->n_class[class])
			return true;
	return false;
}

static void drop_overlap_in(struct banks *b, unsigned bank, const struct guest_tlb_entry *e)
{
	unsigned class = entry_class(e);

	if (!b->bank[bank].n)
		return;
	for (unsigned c = class; c < PAGE_CLASSES; c++) {
		uint32_t id = b->n_class[c] ? find_class(b, bank, e->vpn2, c) : 0;

		if (id)
			drop(b, id);
	}
	if (!has_smaller(b, class))
		return;
	for (uint32_t id = b->bank[bank].first, next; id; id = next) {
		next = b->node[id].bank_next;
		if (guest_tlb_entries_overlap(&b->node[id].e, e))
			drop(b, id);
	}
}

void banks_drop_overlap(struct banks *b, const struct guest_tlb_entry *e)
{
	if (!b->n)
		return;
	drop_overlap_in(b, BANK_GLOBAL, e);
	if (!e->global) {
		drop_overlap_in(b, e->asid, e);
		return;
	}
	/* A global entry meets those of every ASID; kernels keep the two apart, so there are hardly ever any. */
	for (unsigned i = 0; i < BANK_GLOBAL && b->n_local[entry_half(e)]; i++)
		drop_overlap_in(b, i, e);
}

/* ---- insertion ---- */

static uint32_t take_node(struct banks *b)
{
	uint32_t id = b->free;

	if (!id)
		return b->fresh++;
	b->free = b->node[id].hash_next;
	return id;
}

void banks_keep(struct banks *b, const struct guest_tlb_entry *e, unsigned slot)
{
	unsigned bank = entry_bank(e);
	struct kept *k;
	uint32_t id;

	banks_drop_overlap(b, e);
	if (b->bank[bank].n == BANK_KEPT_MAX) {
		drop_bank(b, bank);
		b->overflows++;
	}
	if (b->n == KEPT_MAX) {
		for (unsigned i = 0; i < BANKS; i++)
			b->overflows += b->bank[i].n != 0;
		banks_drop_all(b);
	}
	id = take_node(b);
	k = &b->node[id];
	k->e = *e;
	k->page_class = (uint8_t)entry_class(e);
	k->e.vpn2 &= ~(class_bytes(k->page_class) - 1);
	k->slot = (uint8_t)slot;
	link_node(b, id);
}
