/* SPDX-License-Identifier: MIT */
/*
 * The L2TLB against two brute-force models of the same random guest:
 *
 *  rules      a plain list of translations that the rules of tlb/README.md are applied to, entry by entry.  Every
 *             answer of the L2TLB must be the model's.
 *  knowledge  for every translation the set of slots where a guest that knows nothing of how TLBWR picks could still
 *             suppose it to be.  An answer whose set is empty would be stale: the guest knows that it is gone.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <string.h>

#include "tlb/l2tlb.h"

#define OPS       150000u /* per run */
#define MAX_RECS  4096u
#define ASIDS     4u
#define RAM_PAGES 64u
#define VD        (ENTRYLO_V | ENTRYLO_D)

struct rec {
	struct guest_tlb_entry e;
	uint64_t base, bytes;
	unsigned slot;
	bool arch;      /* in the guest's own TLB, at slot; else kept */
	uint64_t slots; /* knowledge */
};

struct run {
	unsigned entries;
	bool tidy; /* the guest never makes two of its entries overlap */
	uint32_t seed;
};

struct model {
	struct run run;
	uint64_t random;
	struct machine_memory *m;
	struct pmap *p;
	struct guest_tlb arch;
	struct l2tlb *l;
	uint8_t asid;
	bool user;
	unsigned wired;
	struct rec rec[MAX_RECS];
	unsigned n;
	uint64_t answered[2]; /* by the bank, by the guest's own TLB */
	uint64_t refused[6];
	uint64_t brought_back;
};

static uint32_t roll(struct model *m, uint32_t n)
{
	m->random = m->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((m->random >> 33) % n);
}

/* ---- the list ---- */

static bool meets(const struct rec *a, const struct rec *b)
{
	if (a->base + a->bytes <= b->base || b->base + b->bytes <= a->base)
		return false;
	return a->e.global || b->e.global || a->e.asid == b->e.asid;
}

static bool covers(const struct rec *r, uint64_t va, uint8_t asid)
{
	return va >= r->base && va < r->base + r->bytes && (r->e.global || r->e.asid == asid);
}

static void forget(struct model *m, unsigned i) { m->rec[i] = m->rec[--m->n]; }

/* The guest's own entry with the lowest index, or else the kept one; NULL: neither. */
static struct rec *lookup(struct model *m, uint64_t va, uint8_t asid)
{
	struct rec *best = NULL;

	for (unsigned i = 0; i < m->n; i++) {
		struct rec *r = &m->rec[i];

		if (!covers(r, va, asid))
			continue;
		if (!best || (r->arch && (!best->arch || r->slot < best->slot)))
			best = r;
	}
	return best;
}

static enum tlb_result allowed(const struct rec *r, uint64_t va, enum tlb_access acc, uint64_t *pa)
{
	bool odd = va - r->base >= r->bytes / 2;
	uint64_t lo = r->e.lo[odd], page = r->bytes / 2;
	enum tlb_result no = GUEST_OK;

	if (acc == TLB_WRITE && !(lo >> 2 & 1))
		no = GUEST_TLB_MODIFIED;
	if (acc == TLB_EXEC && (lo >> 30 & 1))
		no = GUEST_TLB_XI;
	if (acc == TLB_READ && (lo >> 31 & 1))
		no = GUEST_TLB_RI;
	if (!(lo >> 1 & 1))
		no = GUEST_TLB_INVALID;
	*pa = (lo >> 6 & 0xffffff) * 4096 / page * page + (va - r->base) % page;
	return no != GUEST_OK && !r->arch ? GUEST_TLB_REFILL : no;
}

static bool only_allows_more(const struct rec *old, const struct rec *new)
{
	bool some = false;

	if (!old || old->base != new->base || old->bytes != new->bytes || old->e.global != new->e.global)
		return false;
	if (!new->e.global && old->e.asid != new->e.asid)
		return false;
	for (unsigned h = 0; h < 2; h++) {
		uint64_t a = old->e.lo[h], b = new->e.lo[h];
		bool lost_d = (a & 4) && !(b & 4), more_ri = (b >> 31 & 1) > (a >> 31 & 1),
		     more_xi = (b >> 30 & 1) > (a >> 30 & 1);

		some |= b >> 1 & 1;
		if ((a & 2) && (!(b & 2) || (a >> 6 & 0xffffff) != (b >> 6 & 0xffffff) || lost_d || more_ri || more_xi))
			return false;
	}
	return some;
}

/* ---- the guest's operations ---- */

static uint64_t pick_va(struct model *m)
{
	static const uint64_t region[] = {0x00400000,
					  0x00408000,
					  0x7ffe0000,
					  0xc0000000,
					  0xfffe0000,
					  /* the same places in a table */ 0x01400000,
					  0x00c00000};

	return region[roll(m, 7)] + roll(m, 8) * 0x2000;
}

static struct rec pick_entry(struct model *m)
{
	static const uint32_t masks[] = {0, 0, 0, 0, 0, 0, 0x6000, 0x1e000, 0x1fffe000};
	uint32_t mask = masks[roll(m, 8 + (roll(m, 20) == 0))];
	uint64_t va = pick_va(m);
	struct rec r = {.bytes = (uint64_t)mask + 0x2000};

	if (roll(m, 16) == 0) /* as flush loops do */
		va = 0x80000000 + roll(m, 64) * 0x2000;
	r.base = va & ~(r.bytes - 1);
	r.e = (struct guest_tlb_entry){.vpn2 = r.base, .mask = mask, .asid = (uint8_t)roll(m, ASIDS)};
	r.e.global = va >= 0xc0000000 ? roll(m, 4) != 0 : roll(m, 32) == 0;
	for (unsigned h = 0; h < 2; h++) {
		uint32_t bits = roll(m, 4) ? ENTRYLO_V : 0;

		bits |= roll(m, 2) ? ENTRYLO_D : 0;
		bits |= roll(m, 8) ? 0 : ENTRYLO_RI;
		bits |= roll(m, 8) ? 0 : ENTRYLO_XI;
		r.e.lo[h] = (uint64_t)roll(m, RAM_PAGES) << 6 | bits;
		if (roll(m, 64) == 0)
			r.e.lo[h] |= 0xabcd00ull << 6; /* far outside RAM */
	}
	return r;
}

static struct rec *in_slot(struct model *m, unsigned slot)
{
	for (unsigned i = 0; i < m->n; i++)
		if (m->rec[i].arch && m->rec[i].slot == slot)
			return &m->rec[i];
	return NULL;
}

static void forget_kept_that_meet(struct model *m, const struct rec *r)
{
	for (unsigned i = 0; i < m->n;)
		if (!m->rec[i].arch && meets(&m->rec[i], r))
			forget(m, i);
		else
			i++;
}

static void forget_kept_of_slot(struct model *m, unsigned slot)
{
	for (unsigned i = 0; i < m->n;)
		if (!m->rec[i].arch && m->rec[i].slot == slot)
			forget(m, i);
		else
			i++;
}

static void add(struct model *m, struct rec r, bool arch)
{
	cr_assert_lt(m->n, MAX_RECS);
	r.arch = arch;
	m->rec[m->n++] = r;
}

static void model_write(struct model *m, unsigned slot, struct rec new, bool random)
{
	struct rec *at = in_slot(m, slot), old = {0};
	bool replaces = !random && !only_allows_more(at, &new), had = at;

	if (at) {
		old = *at;
		forget(m, (unsigned)(at - m->rec));
	}
	if (replaces)
		forget_kept_of_slot(m, slot);
	forget_kept_that_meet(m, &new);
	if (had && random && ((old.e.lo[0] | old.e.lo[1]) & 2) && !meets(&old, &new) &&
	    !(old.base >= 0x80000000 && old.base < 0xc0000000)) {
		forget_kept_that_meet(m, &old);
		add(m, old, false);
	}
	for (unsigned i = 0; i < m->n; i++) {
		if (replaces)
			m->rec[i].slots &= ~(1ull << slot);
		if (meets(&m->rec[i], &new))
			m->rec[i].slots = 0;
	}
	new.slot = slot;
	new.slots = random ? ~0ull << m->wired & ~0ull >> (64 - m->run.entries) : 1ull << slot;
	add(m, new, true);
}

static void op_write(struct model *m, struct rec new, unsigned slot, bool random)
{
	struct guest_tlb_entry old = m->arch.e[slot];

	for (unsigned i = 0; m->run.tidy && i < m->n; i++)
		if (m->rec[i].arch && m->rec[i].slot != slot && meets(&m->rec[i], &new))
			return;
	model_write(m, slot, new, random);
	m->arch.e[slot] = new.e;
	l2tlb_on_write(m->l, slot, &old, random);
}

/* The page fault handler: TLBP, and if it hits, TLBWI of the same entry with more, less or another frame. */
static void op_update(struct model *m, uint64_t va)
{
	int i = guest_tlb_find(&m->arch, gva(va), m->asid);
	struct rec new;

	if (i < 0)
		return;
	new = *in_slot(m, (unsigned)i);
	for (unsigned h = 0; h < 2; h++) {
		if (roll(m, 2))
			new.e.lo[h] |= VD;
		if (roll(m, 4) == 0)
			new.e.lo[h] &= ~(uint64_t)(ENTRYLO_RI | ENTRYLO_XI);
		if (roll(m, 16) == 0)
			new.e.lo[h] ^= 1ull << roll(m, 12);
		new.e.lo[h] &= ~(uint64_t)ENTRYLO_G;
	}
	op_write(m, new, (unsigned)i, false);
}

static void op_flush_all(struct model *m)
{
	for (unsigned i = m->wired; i < m->run.entries; i++) {
		struct rec r = {.base = 0x80000000 + i * 0x2000, .bytes = 0x2000, .e.asid = m->asid};

		r.e.vpn2 = r.base;
		op_write(m, r, i, false);
	}
}

static void seen_to_be_gone(struct model *m, uint64_t va)
{
	l2tlb_on_probe_miss(m->l, gva(va), m->asid);
	for (unsigned i = 0; i < m->n;)
		if (covers(&m->rec[i], va, m->asid))
			forget(m, i);
		else
			i++;
}

static void op_tlbp(struct model *m, uint64_t va)
{
	int i = guest_tlb_find(&m->arch, gva(va), m->asid);
	struct rec *r = lookup(m, va, m->asid);

	cr_assert_eq(i, r && r->arch ? (int)r->slot : -1);
	if (i < 0)
		seen_to_be_gone(m, va);
	else
		r->slots &= 1ull << i;
}

static void op_tlbr(struct model *m, unsigned slot)
{
	l2tlb_on_read(m->l, slot);
	forget_kept_of_slot(m, slot);
	for (unsigned i = 0; i < m->n; i++) {
		if (m->rec[i].arch && m->rec[i].slot == slot)
			m->rec[i].slots &= 1ull << slot;
		else
			m->rec[i].slots &= ~(1ull << slot);
	}
}

static void fill_and_probe(struct model *m, uint64_t va, uint64_t pa, enum tlb_access acc)
{
	struct l2tlb_entry *table = l2tlb_select(m->l, m->asid, m->user && va < 0x80000000)->entry;
	const struct l2tlb_entry *e = &table[(va >> PAGE_SHIFT) & (L2TLB_ENTRIES - 1)];
	struct guest_page *g;
	int err;

	g = pmap_get(m->p, gpa(pa), 0, PMAP_WRITE, &err);
	if (!g)
		return;
	l2tlb_fill(m->l, gva(va), g, acc == TLB_READ, acc == TLB_WRITE, acc == TLB_EXEC);
	cr_assert_eq(acc == TLB_READ    ? e->read_tag
		     : acc == TLB_WRITE ? e->write_tag
					: (uint32_t)e->exec,
		     va & ~PAGE_MASK);
	cr_assert_eq(va + (uint64_t)e->addend, (uintptr_t)g->page->host + (va & PAGE_MASK));
}

/* As the slow path does first.  What is there then is looked at with all the rest: check_tables(). */
static void bring_back(struct model *m, uint64_t va)
{
	struct l2tlb_entry *table = l2tlb_select(m->l, m->asid, m->user && va < 0x80000000)->entry;
	unsigned i = (va >> PAGE_SHIFT) & (L2TLB_ENTRIES - 1);
	uint64_t tag = table[i ^ L2TLB_ENTRIES / 2].read_tag;

	if (roll(m, 4) == 0)
		return;
	if (l2tlb_bring_back(m->l, gva(va)))
		m->brought_back++;
	else
		cr_assert_neq(tag, va & ~PAGE_MASK);
}

static void op_access(struct model *m, uint64_t va)
{
	enum tlb_access acc = (enum tlb_access)roll(m, 3);
	const struct rec *r = lookup(m, va, m->asid);
	uint64_t pa = 0;
	enum tlb_result want = r ? allowed(r, va, acc, &pa) : GUEST_TLB_REFILL, got;
	struct gpa out = gpa(0);
	bool dirty;

	bring_back(m, va);
	got = l2tlb_translate(m->l, gva(va), m->asid, acc, &out, &dirty);
	cr_assert_eq(got, want, "va %lx asid %u: %d, not %d", va, m->asid, got, want);
	m->refused[got]++;
	if (got == GUEST_TLB_REFILL)
		seen_to_be_gone(m, va); /* the exception tells the guest */
	if (got != GUEST_OK)
		return;
	cr_assert_eq(out.v, pa, "va %lx: %lx, not %lx", va, out.v, pa);
	cr_assert_eq(dirty, (bool)(r->e.lo[va - r->base >= r->bytes / 2] & ENTRYLO_D));
	cr_assert(!m->run.tidy || r->slots, "va %lx asid %u: the guest knows that it is gone", va, m->asid);
	m->answered[r->arch]++;
	fill_and_probe(m, va, pa, acc);
}

/* Two pages of one place. */
static void op_access_in_turn(struct model *m, uint64_t va)
{
	op_access(m, va);
	if (va < 0x02000000)
		op_access(m, va ^ 0x01000000);
	op_access(m, va);
}

/* ---- the tables ---- */

/*
 * Is there a translation behind the tag?  Of an untidy guest's duplicates, which are UNPREDICTABLE, any one will do: a
 * global entry's tag stays when the ASID changes to one where an entry of its own comes first.
 */
static bool backed(struct model *m, uint64_t tag, const struct l2tlb_entry *e, uint8_t asid, enum tlb_access acc)
{
	const struct rec *first = lookup(m, tag, asid);

	for (unsigned i = 0; i < m->n; i++) {
		const struct machine_page *page;
		uint64_t pa;

		if (!covers(&m->rec[i], tag, asid) || (m->run.tidy && &m->rec[i] != first))
			continue;
		if (allowed(&m->rec[i], tag, acc, &pa) != GUEST_OK)
			continue;
		page = pmap_peek(m->p, gpa(pa));
		if (page && tag + (uint64_t)e->addend == (uintptr_t)page->host)
			return true;
	}
	return false;
}

/* As the other tags. */
static uint64_t exec_page(const struct l2tlb_entry *e)
{
	return e->exec == L2TLB_TAG_INVALID ? L2TLB_TAG_INVALID : (uint32_t)e->exec;
}

static void check_tag(struct model *m, uint64_t tag, const struct l2tlb_entry *e, unsigned index, uint8_t asid,
		      enum tlb_access acc)
{
	if (tag == L2TLB_TAG_INVALID)
		return;
	/* the other place is of those that had to make room */
	cr_assert_eq((tag >> PAGE_SHIFT) & (L2TLB_ENTRIES / 2 - 1), index % (L2TLB_ENTRIES / 2));
	cr_assert(backed(m, tag, e, asid, acc), "a tag for %lx asid %u outlived its translation", tag, asid);
}

/* What translated code finds is what the entry says, in whichever of its two places. */
static void check_addends(const struct l2tlb_table *table, uint64_t va)
{
	uint64_t page = (va & 0xffffffff) >> PAGE_SHIFT, at = page << PAGE_SHIFT;
	int64_t read = 0, write = 0;

	for (unsigned other = 0; other < 2; other++) {
		const struct l2tlb_entry *e =
		    &table->entry[(page ^ (other ? L2TLB_ENTRIES / 2 : 0)) & (L2TLB_ENTRIES - 1)];

		read += e->read_tag == at ? e->addend : 0;
		write += e->write_tag == at ? e->addend : 0;
	}
	cr_assert_eq(table->read[page], read, "read[] of %lx", at);
	cr_assert_eq(table->write[page], write, "write[] of %lx", at);
}

static void check_table(struct model *m, uint8_t asid, bool user)
{
	const struct l2tlb_table *table = l2tlb_select(m->l, asid, user);
	const struct l2tlb_entry *t = table->entry;

	for (unsigned i = 0; i < m->n; i++)
		check_addends(table, m->rec[i].e.vpn2 & 0xffffffff);
	for (unsigned i = 0; i < L2TLB_ENTRIES; i++) {
		const struct l2tlb_entry *other = &t[i ^ L2TLB_ENTRIES / 2];

		cr_assert(t[i].read_tag == L2TLB_TAG_INVALID || t[i].read_tag != other->read_tag, "in both places");
		if (t[i].read_tag != L2TLB_TAG_INVALID)
			check_addends(table, t[i].read_tag);
		if (t[i].write_tag != L2TLB_TAG_INVALID)
			check_addends(table, t[i].write_tag);
		check_tag(m, t[i].read_tag, &t[i], i, asid, TLB_READ);
		check_tag(m, t[i].write_tag, &t[i], i, asid, TLB_WRITE);
		check_tag(m, exec_page(&t[i]), &t[i], i, asid, TLB_EXEC);
	}
}

static void check_tables(struct model *m)
{
	for (unsigned asid = 0; asid < ASIDS; asid++)
		check_table(m, (uint8_t)asid, true);
	check_table(m, m->asid, false);
}

/* ---- runs ---- */

static void step(struct model *m)
{
	uint64_t va = pick_va(m) + roll(m, 0x2000);
	uint32_t what = roll(m, 1000);

	if (what < 250)
		op_access_in_turn(m, va);
	else if (what < 700)
		op_access(m, va);
	else if (what < 850)
		op_write(m, pick_entry(m), m->wired + roll(m, m->run.entries - m->wired), true);
	else if (what < 880)
		op_write(m, pick_entry(m), roll(m, m->run.entries), false);
	else if (what < 920)
		op_update(m, va);
	else if (what < 950)
		op_tlbp(m, va);
	else if (what < 955)
		op_tlbr(m, roll(m, m->run.entries));
	else if (what < 956)
		op_flush_all(m);
	else if (what < 958)
		m->wired = roll(m, m->run.entries / 2);
	else if (what < 959)
		l2tlb_flush_tables(m->l);
	else
		m->asid = (uint8_t)roll(m, ASIDS);
	m->user = roll(m, 2);
	l2tlb_select(m->l, m->asid, m->user);
	if (roll(m, 200) == 0)
		check_tables(m);
}

static struct run runs[] = {{4, true, 1},  {16, true, 2},  {64, true, 3},  {16, true, 4},
			    {4, false, 5}, {16, false, 6}, {64, false, 7}, {32, false, 8}};

ParameterizedTestParameters(l2tlb_model, agrees) { return cr_make_param_array(struct run, runs, ARRAY_LEN(runs)); }

ParameterizedTest(struct run *run, l2tlb_model, agrees)
{
	struct model *m = calloc(1, sizeof(*m));

	m->run = *run;
	m->random = run->seed;
	cr_assert_eq(
	    machine_memory_new(&m->m, &(struct machine_memory_config){.bytes = RAM_PAGES * PAGE_BYTES, .nodes = 1}), 0);
	cr_assert_eq(pmap_new(&m->p, m->m, RAM_PAGES * PAGE_BYTES), 0);
	guest_tlb_reset(&m->arch, run->entries);
	cr_assert_eq(l2tlb_new(&m->l, &m->arch), 0);
	for (unsigned i = 0; i < OPS; i++)
		step(m);
	/* The run must have seen what it is about. */
	cr_assert_gt(m->answered[0], OPS / 100, "answers of the bank: %lu", m->answered[0]);
	cr_assert_gt(m->brought_back, 20, "brought back: %lu", m->brought_back);
	cr_assert_gt(m->answered[1], OPS / 100, "answers of the guest's TLB: %lu", m->answered[1]);
	for (unsigned r = 0; r < ARRAY_LEN(m->refused); r++)
		cr_assert_gt(m->refused[r], OPS / 1000, "result %u: %lu times", r, m->refused[r]);
	l2tlb_free(m->l);
	pmap_free(m->p);
	machine_memory_free(m->m);
	free(m);
}
