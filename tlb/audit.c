/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>

#include "base/segments.h"
#include "tlb/table.h"

/* l2tlb_audit(): is there behind each tag what it says? */

struct audit {
	const struct l2tlb *l;
	const struct l2tlb_audit *ask;
	uint64_t entries;
	unsigned errors;
	char *first;
	size_t bytes;
};

static void PRINTF_LIKE(2, 3) wrong(struct audit *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!a->errors++)
		vsnprintf(a->first, a->bytes, fmt, ap);
	va_end(ap);
}

/* What the guest, or what it once had, says of va. False: nothing. */
static bool translated(const struct l2tlb *l, uint64_t va, uint8_t asid, struct gpa *pa, bool *dirty)
{
	int i = guest_tlb_find(l->arch, gva(va), asid);
	const struct guest_tlb_entry *e = i >= 0 ? &l->arch->e[i] : banks_find(&l->banks, gva(va), asid);
	uint64_t page_bytes;

	/* for the widest use of it: whether it may be read is not asked (RI) */
	return e && (guest_tlb_entry_translate(e, gva(va), TLB_READ, pa, &page_bytes, dirty) == GUEST_OK ||
		     guest_tlb_entry_translate(e, gva(va), TLB_EXEC, pa, &page_bytes, dirty) == GUEST_OK);
}

/* The page of its tags, which are all for one; L2TLB_TAG_INVALID: it has none. */
static uint64_t tagged(struct audit *a, const struct l2tlb_entry *e, unsigned t)
{
	uint64_t exec = e->exec == L2TLB_TAG_INVALID ? e->exec : (uint32_t)e->exec, va = L2TLB_TAG_INVALID;
	const uint64_t tags[] = {e->write_tag, e->read_tag, exec};

	for (unsigned i = 0; i < ARRAY_LEN(tags); i++) {
		if (tags[i] == L2TLB_TAG_INVALID)
			continue;
		if (va != L2TLB_TAG_INVALID && tags[i] != va)
			wrong(a, "table %u: one entry is for %#llx and %#llx", t, (unsigned long long)va,
			      (unsigned long long)tags[i]);
		va = tags[i];
	}
	return va;
}

/* What translated code finds of the entry's page, without looking at the entry. */
static void check_addends(struct audit *a, const struct l2tlb_entry *e, unsigned t, uint64_t va)
{
	const struct l2tlb_table *tab = &a->l->tables[t];
	int64_t read = e->read_tag == va ? e->addend : 0, write = e->write_tag == va ? e->addend : 0;

	if (tab->read[va >> PAGE_SHIFT] != read || tab->write[va >> PAGE_SHIFT] != write)
		wrong(a, "table %u: the addends of %#llx are not what its entry says", t, (unsigned long long)va);
}

/* Every page that has an addend has an entry. */
static void check_chunks(struct audit *a, unsigned t)
{
	const struct l2tlb_table *tab = &a->l->tables[t];

	for (unsigned p = 0; p < L2TLB_PAGES; p++) {
		uint64_t va = (uint64_t)p << PAGE_SHIFT;
		unsigned i = p % L2TLB_ENTRIES, other = i ^ L2TLB_ENTRIES / 2;

		if (!(a->l->table[t].chunk[CHUNK_OF(va) / 64] >> CHUNK_OF(va) % 64 & 1)) {
			p |= (1u << 9) - 1;
			continue;
		}
		if ((tab->read[p] && tab->entry[i].read_tag != va && tab->entry[other].read_tag != va) ||
		    (tab->write[p] && tab->entry[i].write_tag != va && tab->entry[other].write_tag != va))
			wrong(a, "table %u: an addend of %#llx that has no entry", t, (unsigned long long)va);
	}
}

static void check_entry(struct audit *a, const struct l2tlb_entry *e, unsigned t)
{
	bool writes = e->write_tag != L2TLB_TAG_INVALID, dirty = true;
	uint64_t va = tagged(a, e, t);
	uint8_t asid = t == TABLE_KERNEL ? a->l->kernel_asid : (uint8_t)a->l->table[t].asid;
	const struct guest_page *g;
	struct gpa pa = gpa(va & UNMAPPED_MASK);

	if (va == L2TLB_TAG_INVALID)
		return;
	if (!segment_is_unmapped(va) && !translated(a->l, va, asid, &pa, &dirty)) {
		if (t == TABLE_KERNEL && segment_is_user(va)) /* Status.ERL: not mapped */
			pa = gpa(va);
		else
			return wrong(a, "table %u: a tag of %#llx that nothing is behind", t, (unsigned long long)va);
	}
	a->entries++;
	g = a->ask->row(a->ask->opaque, pa);
	if (!g || !g->page || va + (uint64_t)e->addend != (uint64_t)(uintptr_t)g->page->host)
		wrong(a, "table %u: %#llx leads to another page than guest page %#llx has", t, (unsigned long long)va,
		      (unsigned long long)pa.v);
	else if (writes && (!dirty || !guest_page_writable(g)))
		wrong(a, "table %u: %#llx can be written to without asking (flags %#x)", t, (unsigned long long)va,
		      g->page->flags);
	else if (!l2tlb_knows_place(a->l, g, e))
		wrong(a, "table %u: guest page %#llx does not know that %#llx leads to it", t, (unsigned long long)pa.v,
		      (unsigned long long)va);
	else if (e->exec != L2TLB_TAG_INVALID && e->exec >> 32 != a->ask->code_id(a->ask->opaque, g->page))
		wrong(a, "table %u: %#llx is executed by record %u, and its page has %u", t, (unsigned long long)va,
		      (unsigned)(e->exec >> 32), (unsigned)a->ask->code_id(a->ask->opaque, g->page));
	check_addends(a, e, t, va);
}

void l2tlb_count(const struct l2tlb *l, struct l2tlb_counts *out)
{
	*out = (struct l2tlb_counts){.kept = l->banks.n};
	for (unsigned t = 0; t < TABLES; t++) {
		const struct l2tlb_entry *e = l->tables[t].entry;
		uint64_t before = out->entries;

		for (unsigned i = 0; l->table[t].made && i < L2TLB_ENTRIES; i++)
			out->entries += e[i].read_tag != L2TLB_TAG_INVALID || e[i].write_tag != L2TLB_TAG_INVALID ||
					e[i].exec != L2TLB_TAG_INVALID;
		out->tables += out->entries != before;
	}
}

unsigned l2tlb_audit(const struct l2tlb *l, const struct l2tlb_audit *ask, uint64_t *entries, char *first, size_t bytes)
{
	struct audit a = {.l = l, .ask = ask, .first = first, .bytes = bytes};

	for (unsigned t = 0; t < TABLES; t++) {
		const struct l2tlb_entry *e = l->tables[t].entry;

		if (!l->table[t].made)
			continue;
		for (unsigned i = 0; i < L2TLB_ENTRIES; i++)
			check_entry(&a, &e[i], t);
		check_chunks(&a, t);
	}
	*entries += a.entries;
	return a.errors;
}
