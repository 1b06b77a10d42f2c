/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tlb/table.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/segments.h"

#define TABLES_BYTES (sizeof(struct l2tlb_table) * TABLES)
#define ENTRY_BYTES  (sizeof(struct l2tlb_entry) * L2TLB_ENTRIES)
#define NO_PAGE      UINT64_MAX

_Static_assert(L2TLB_ENTRIES % 64 == 0, "bitmaps of whole words");
_Static_assert(sizeof(struct l2tlb_table) % PAGE_BYTES == 0, "each table begins where a host page does");

static struct l2tlb_entry *table_entries(const struct l2tlb *l, unsigned t) { return l->tables[t].entry; }

static unsigned index_of(uint64_t va) { return (va >> PAGE_SHIFT) & (L2TLB_ENTRIES - 1); }

/*
 * Where the entry goes that another page takes the place of.  Translated code does not look there: l2tlb_bring_back() does, when it
 * asks.  Two pages of one place that are used in turn else cost a whole refill each time.
 */
static unsigned other_place(unsigned index) { return index ^ L2TLB_ENTRIES / 2; }

/* The guest page that an entry is for, from whichever tag is valid. */
static uint64_t entry_page(const struct l2tlb_entry *e)
{
	if (e->read_tag != L2TLB_TAG_INVALID)
		return e->read_tag;
	if (e->write_tag != L2TLB_TAG_INVALID)
		return e->write_tag;
	return e->exec != L2TLB_TAG_INVALID ? (uint32_t)e->exec : NO_PAGE;
}

static bool entry_maps(const struct l2tlb_entry *e, const struct machine_page *page)
{
	uint64_t va = entry_page(e);

	return va != NO_PAGE && va + (uint64_t)e->addend == (uint64_t)(uintptr_t)page->host;
}

static void entry_init(struct l2tlb_entry *e)
{
	e->read_tag = e->write_tag = e->exec = L2TLB_TAG_INVALID;
	e->addend = 0;
}

/* ---- addends by page ---- */

/* They are what the tags of va's entry say. */
static void show(struct l2tlb *l, unsigned t, uint64_t va, const struct l2tlb_entry *e)
{
	struct l2tlb_table *tab = &l->tables[t];

	tab->read[va >> PAGE_SHIFT] = e->read_tag == va ? e->addend : 0;
	tab->write[va >> PAGE_SHIFT] = e->write_tag == va ? e->addend : 0;
}

static void entry_clear(struct l2tlb *l, unsigned t, struct l2tlb_entry *e)
{
	uint64_t va = entry_page(e);

	entry_init(e);
	if (va != NO_PAGE)
		show(l, t, va, e);
}

static void takes_more(struct l2tlb *l, int64_t bytes)
{
	__atomic_fetch_add(&l->takes, (uint64_t)bytes, __ATOMIC_RELAXED);
}

/* Addends for va's page are about to be written.  False: that is one host page more than a table may have. */
static bool chunk_take(struct l2tlb *l, unsigned t, uint64_t va)
{
	struct table *tab = &l->table[t];
	uint64_t *word = &tab->chunk[CHUNK_OF(va) / 64], bit = 1ull << CHUNK_OF(va) % 64;

	if (*word & bit)
		return true;
	if (tab->n_chunks == CHUNKS_AT_MOST)
		return false;
	*word |= bit;
	tab->n_chunks++;
	takes_more(l, 2 * (int64_t)PAGE_BYTES);
	return true;
}

/* The host has their memory again. All entries are clear. */
static void chunks_give_back(struct l2tlb *l, unsigned t)
{
	struct table *tab = &l->table[t];
	struct l2tlb_table *at = &l->tables[t];

	if (madvise(at->read, sizeof(at->read) + sizeof(at->write), MADV_DONTNEED))
		panic("tables of addresses cannot be given back");
	takes_more(l, -2 * (int64_t)PAGE_BYTES * tab->n_chunks);
	tab->n_chunks = 0;
	memset(tab->chunk, 0, sizeof(tab->chunk));
}

/* ---- tables ---- */

/* False: the host has no memory for it. */
static bool table_make(struct l2tlb *l, unsigned t)
{
	struct l2tlb_entry *e = table_entries(l, t);

	if (mprotect(&l->tables[t], sizeof(l->tables[t]), PROT_READ | PROT_WRITE))
		return false;
	for (unsigned i = 0; i < L2TLB_ENTRIES; i++)
		entry_init(&e[i]);
	l->table[t].made = true;
	takes_more(l, ENTRY_BYTES);
	return true;
}

uint64_t l2tlb_bytes(void) { return TABLES_BYTES; }

uint64_t tables_take(const struct l2tlb *l) { return __atomic_load_n(&l->takes, __ATOMIC_RELAXED); }

int tables_init(struct l2tlb *l)
{
	void *p = mmap(NULL, TABLES_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	l->tables = p;
	l->in_use = TABLES;
	for (unsigned t = 0; t < TABLES; t++)
		l->table[t].asid = -1;
	/* there is always one for each kind of mode */
	if (!table_make(l, TABLE_KERNEL) || !table_make(l, TABLE_KERNEL + 1))
		return -ENOMEM;
	l->current = TABLE_KERNEL;
	return 0;
}

void tables_fini(struct l2tlb *l)
{
	if (l->tables)
		munmap(l->tables, TABLES_BYTES);
	l->tables = NULL;
}

/* Empty the entries whose bit is set, and the bits. Cost O(entries that were filled). */
static void table_clear(struct l2tlb *l, unsigned t, uint64_t *bits)
{
	struct table *tab = &l->table[t];

	for (unsigned w = 0; w < TABLE_WORDS; w++) {
		uint64_t gone = bits[w];

		for (uint64_t left = gone; left; left &= left - 1)
			entry_clear(l, t, &table_entries(l, t)[w * 64 + (unsigned)__builtin_ctzll(left)]);
		tab->filled[w] &= ~gone;
		tab->local[w] &= ~gone;
	}
}

void l2tlb_flush_tables(struct l2tlb *l)
{
	for (unsigned t = 0; t < TABLES; t++)
		table_clear(l, t, l->table[t].filled);
}

/* ---- selecting ---- */

/* A user table that is free, or else the one not used for longest. Never the one in force: it has just been used. */
static unsigned table_recycle(struct l2tlb *l)
{
	unsigned best = TABLE_KERNEL + 1;

	for (unsigned t = TABLE_KERNEL + 1; t < l->in_use; t++) {
		if (l->table[t].asid < 0 && (l->table[t].made || table_make(l, t)))
			return t;
		if (l->table[t].asid < 0) {
			l->in_use = t; /* the host has no memory for more of them */
			break;
		}
		if (l->table[t].last_use < l->table[best].last_use)
			best = t;
	}
	l->of_asid[l->table[best].asid] = 0;
	table_clear(l, best, l->table[best].filled);
	l->stats.tables_recycled++;
	return best;
}

static unsigned user_table(struct l2tlb *l, uint8_t asid)
{
	unsigned t = l->of_asid[asid];

	if (!t) {
		t = table_recycle(l);
		l->table[t].asid = asid;
		l->of_asid[asid] = (uint8_t)t;
	}
	l->table[t].last_use = ++l->tick;
	return t;
}

struct l2tlb_table *l2tlb_select(struct l2tlb *l, uint8_t asid, bool user)
{
	unsigned t = user ? user_table(l, asid) : TABLE_KERNEL;

	if (!user && l->kernel_asid != asid) {
		table_clear(l, TABLE_KERNEL, l->table[TABLE_KERNEL].local);
		l->kernel_asid = asid;
	}
	if (t != l->current)
		l->stats.bank_swaps++;
	l->current = t;
	return &l->tables[t];
}

/* ---- two places ---- */

static void swap_bits(uint64_t *bits, unsigned i, unsigned k)
{
	uint64_t differ = (bits[i / 64] >> i % 64 ^ bits[k / 64] >> k % 64) & 1;

	bits[i / 64] ^= differ << i % 64;
	bits[k / 64] ^= differ << k % 64;
}

/* The entry of a place, and what is in its other one. */
static void swap_places(struct l2tlb *l, unsigned t, unsigned i)
{
	struct l2tlb_entry *e = table_entries(l, t), was = e[i];
	unsigned other = other_place(i);

	e[i] = e[other];
	e[other] = was;
	swap_bits(l->table[t].filled, i, other);
	swap_bits(l->table[t].local, i, other);
}

bool l2tlb_bring_back(struct l2tlb *l, struct gva va)
{
	uint64_t at = va.v & ~PAGE_MASK;
	unsigned i = index_of(at);
	const struct l2tlb_entry *e = table_entries(l, l->current);

	if (entry_page(&e[other_place(i)]) != at)
		return false;
	swap_places(l, l->current, i);
	l->stats.brought_back++;
	return true;
}

static unsigned table_of(const struct l2tlb *l, const struct l2tlb_entry *e)
{
	return (unsigned)(((uintptr_t)e - (uintptr_t)l->tables) / sizeof(struct l2tlb_table));
}

/* Of the two places of a page one: what backmaps name, for both. */
static struct l2tlb_entry *first_place(const struct l2tlb *l, struct l2tlb_entry *e)
{
	struct l2tlb_entry *entries = table_entries(l, table_of(l, e));

	return &entries[(size_t)(e - entries) & ~(size_t)(L2TLB_ENTRIES / 2)];
}

static struct l2tlb_entry *second_place(struct l2tlb_entry *first) { return first + L2TLB_ENTRIES / 2; }

bool l2tlb_knows_place(const struct l2tlb *l, const struct guest_page *g, const struct l2tlb_entry *e)
{
	for (unsigned i = 0; i < g->n_backmaps; i++)
		if (g->backmap[i].entry == first_place(l, (struct l2tlb_entry *)e))
			return true;
	return g->backmaps_overflow;
}

/* ---- purging a range ---- */

static void clear_within(struct l2tlb *l, unsigned t, unsigned index, uint64_t va, uint64_t bytes)
{
	struct l2tlb_entry *e = &table_entries(l, t)[index];
	uint64_t page = entry_page(e);

	if (page != NO_PAGE && page - va < bytes) {
		entry_clear(l, t, e);
		l->table[t].filled[index / 64] &= ~(1ull << index % 64);
		l->table[t].local[index / 64] &= ~(1ull << index % 64);
	}
}

static void clear_both_within(struct l2tlb *l, unsigned t, unsigned index, uint64_t va, uint64_t bytes)
{
	clear_within(l, t, index, va, bytes);
	clear_within(l, t, other_place(index), va, bytes);
}

static void table_purge(struct l2tlb *l, unsigned t, uint64_t va, uint64_t bytes)
{
	if (bytes >> PAGE_SHIFT < L2TLB_ENTRIES) {
		for (uint64_t page = va; page < va + bytes; page += PAGE_BYTES)
			clear_both_within(l, t, index_of(page), va, bytes);
		return;
	}
	for (unsigned w = 0; w < TABLE_WORDS; w++)
		for (uint64_t left = l->table[t].filled[w]; left; left &= left - 1)
			clear_within(l, t, w * 64 + (unsigned)__builtin_ctzll(left), va, bytes);
}

void l2tlb_drop_address(struct l2tlb *l, struct gva va)
{
	for (unsigned t = 0; t < TABLES; t++)
		if (l->table[t].made)
			table_purge(l, t, va.v & ~PAGE_MASK, PAGE_BYTES);
}

void tables_purge(struct l2tlb *l, const struct guest_tlb_entry *e)
{
	uint64_t bytes = guest_tlb_entry_bytes(e), va = e->vpn2 & ~(bytes - 1);

	/* Flush loops fill the TLB with addresses in KSEG0; what tables hold there has nothing to do with it. */
	if (segment_is_unmapped(va))
		return;
	if (e->global || e->asid == l->kernel_asid)
		table_purge(l, TABLE_KERNEL, va, bytes);
	if (!segment_is_user(va))
		return;
	if (!e->global) {
		if (l->of_asid[e->asid])
			table_purge(l, l->of_asid[e->asid], va, bytes);
		return;
	}
	for (unsigned t = TABLE_KERNEL + 1; t < TABLES; t++)
		if (l->table[t].asid >= 0)
			table_purge(l, t, va, bytes);
}

/* ---- filling, and the backmaps ---- */

static bool owns(const struct l2tlb *l, const struct l2tlb_entry *e)
{
	return (uintptr_t)e - (uintptr_t)l->tables < TABLES_BYTES;
}

/*
 * Forget backmaps of ours whose entry has been filled with something else since.  Those of another L2TLB stay: it may
 * be gone, and its entries with it.
 */
static void prune_backmaps(const struct l2tlb *l, struct guest_page *g)
{
	for (unsigned i = 0; i < g->n_backmaps;) {
		struct l2tlb_entry *e = g->backmap[i].entry;

		if (owns(l, e) && !entry_maps(e, g->page) && !entry_maps(second_place(e), g->page))
			g->backmap[i] = g->backmap[--g->n_backmaps];
		else
			i++;
	}
}

static void add_backmap(struct l2tlb *l, struct guest_page *g, struct l2tlb_entry *e)
{
	if (g->mapper != l) {
		g->many_mappers |= g->mapper != NULL;
		g->mapper = l;
	}
	if (g->n_backmaps == NUMA_BACKMAPS)
		prune_backmaps(l, g);
	guest_page_backmap_add(g, first_place(l, e));
}

/* Does a translation of va hold for the current ASID only? Also counts who answered. */
static bool fill_is_local(struct l2tlb *l, uint64_t va)
{
	bool global = false;

	if (segment_is_unmapped(va))
		return false;
	if (l->last.from != FROM_NONE && l->last.page == va) {
		l->stats.refills_arch += l->last.from == FROM_ARCH;
		l->stats.refills_bank += l->last.from == FROM_BANK;
		global = l->last.global;
	}
	l->last.from = FROM_NONE;
	/* All of kuseg counts as local to its address space: simple, and kernels have no global pages there. */
	return segment_is_user(va) || !global;
}

void l2tlb_fill(struct l2tlb *l, struct gva va, struct guest_page *g, bool read, bool write, uint32_t code_id)
{
	uint64_t at = va.v & ~PAGE_MASK, bit;
	unsigned index = index_of(at), t = l->current;
	struct l2tlb_entry *e = &table_entries(l, t)[index];
	bool local = fill_is_local(l, at);

	/* Supervisor mode shares the user's table, which must not answer for sseg: such accesses stay slow. */
	if (t != TABLE_KERNEL && !segment_is_user(at))
		return;
	if (!chunk_take(l, t, at)) {
		table_clear(l, t, l->table[t].filled);
		chunks_give_back(l, t);
		(void)chunk_take(l, t, at);
	}
	if (entry_page(e) != at &&
	    (entry_page(e) != NO_PAGE || entry_page(&table_entries(l, t)[other_place(index)]) == at))
		swap_places(l, t, index);
	if (entry_page(e) != at || !entry_maps(e, g->page)) {
		entry_clear(l, t, e);
		e->addend = (int64_t)((uint64_t)(uintptr_t)g->page->host - at);
	}
	if (read)
		e->read_tag = at;
	if (write)
		e->write_tag = at;
	if (code_id)
		e->exec = L2TLB_EXEC(at, code_id);
	show(l, t, at, e);
	bit = 1ull << index % 64;
	l->table[t].filled[index / 64] |= bit;
	if (local)
		l->table[t].local[index / 64] |= bit;
	else
		l->table[t].local[index / 64] &= ~bit;
	add_backmap(l, g, e);
}

/* ---- shootdown ---- */

enum taken { TAKE_WRITE, TAKE_CODE, TAKE_ALL };

static void take_away(struct l2tlb *l, struct l2tlb_entry *e, enum taken what)
{
	unsigned t = table_of(l, e);

	switch (what) {
	case TAKE_WRITE:
		if (e->write_tag != L2TLB_TAG_INVALID)
			l->tables[t].write[e->write_tag >> PAGE_SHIFT] = 0;
		e->write_tag = L2TLB_TAG_INVALID;
		return;
	case TAKE_CODE:
		e->exec = L2TLB_TAG_INVALID;
		return;
	case TAKE_ALL:
		entry_clear(l, t, e);
		return;
	}
}

/*
 * Look at every entry.  If nobody else has entries for the page, what is left can be recorded afresh, and the next
 * shootdown is cheap again.
 */
static void sweep(struct l2tlb *l, struct guest_page *g, enum taken what)
{
	bool alone = g->mapper == l && !g->many_mappers;

	l->stats.sweeps++;
	if (alone) {
		g->n_backmaps = 0;
		g->backmaps_overflow = false;
	}
	for (unsigned t = 0; t < TABLES; t++) {
		for (unsigned w = 0; w < TABLE_WORDS; w++) {
			for (uint64_t left = l->table[t].filled[w]; left; left &= left - 1) {
				unsigned index = w * 64 + (unsigned)__builtin_ctzll(left);
				struct l2tlb_entry *e = &table_entries(l, t)[index];

				if (!entry_maps(e, g->page))
					continue;
				take_away(l, e, what);
				if (alone && entry_maps(e, g->page))
					guest_page_backmap_add(g, first_place(l, e));
			}
		}
	}
}

static void shoot_down(struct l2tlb *l, struct guest_page *g, enum taken what)
{
	l->stats.shootdowns++;
	if (g->backmaps_overflow) {
		sweep(l, g, what);
		return;
	}
	for (unsigned i = 0; i < g->n_backmaps; i++) {
		struct l2tlb_entry *first = g->backmap[i].entry;

		if (!owns(l, first))
			continue;
		if (entry_maps(first, g->page))
			take_away(l, first, what);
		if (entry_maps(second_place(first), g->page))
			take_away(l, second_place(first), what);
	}
	prune_backmaps(l, g);
}

void l2tlb_drop_writes(struct l2tlb *l, struct guest_page *g) { shoot_down(l, g, TAKE_WRITE); }

void l2tlb_drop_page(struct l2tlb *l, struct guest_page *g) { shoot_down(l, g, TAKE_ALL); }

bool l2tlb_maps(const struct l2tlb *l, const struct guest_page *g)
{
	if (g->backmaps_overflow)
		return g->mapper == l || g->many_mappers;
	for (unsigned i = 0; i < g->n_backmaps; i++)
		if (owns(l, g->backmap[i].entry) && (entry_maps(g->backmap[i].entry, g->page) ||
						     entry_maps(second_place(g->backmap[i].entry), g->page)))
			return true;
	return false;
}

void l2tlb_drop_code(struct l2tlb *l, struct guest_page *g) { shoot_down(l, g, TAKE_CODE); }
