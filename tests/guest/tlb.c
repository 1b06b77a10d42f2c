/* SPDX-License-Identifier: MIT */
/*
 * The TLB as the guest sees it: page sizes, ASIDs, global pages, TLBP, TLBR, TLBWI, TLBWR with Wired, and a long random
 * sequence of writes, probes, reads and accesses.  What is printed is compared with QEMU's.
 *
 * Random's sequence is the implementation's: only its range is checked, here.  What TLBWR evicts may still translate on
 * Disco (tlb/README.md) until the guest can tell, so the sequence that is compared uses TLBWI.
 * TLBP that misses: Index.P is defined, the rest of Index is not (QEMU keeps it).
 * TLBR of an entry whose PFN or VPN2 has bits under PageMask: undefined; addresses are aligned here.
 */
#include "guest/bare/guest.h"
#include "tests/guest/words.h"

#define VA          0x40000000u
#define HIGH        0x04000000u /* 64 MiB */
#define MIDDLE      0x03000000u /* 48 MiB */
#define RAM_BYTES   0x08000000u
#define INDEX_P     0x80000000u
#define WORD_AT(pa) (*(volatile uint32_t *)(uintptr_t)KSEG0(pa))

static uint32_t access_code[4];

/* One load (or store of value): the exception code, EXC_SYS when there was none; what was loaded is in *value. */
static uint32_t access_at(uint32_t va, uint32_t asid, bool store, uint32_t *value)
{
	uint32_t gpr[32] = {[A0] = va, [V0] = *value};

	WRITE_C0(10, 0, asid);
	guest_run((uint32_t)(uintptr_t)&access_code[store ? 2 : 0], 0, gpr);
	*value = trap.gpr[V0];
	return TRAP_CODE;
}

static void show_load(uint32_t va, uint32_t asid)
{
	uint32_t value = 0xdead, code = access_at(va, asid, false, &value);

	put_field("va", va);
	if (code == EXC_SYS) {
		put_field("value", value);
	} else {
		put_field("code", code);
		put_field("vector", trap.vector);
		put_field("entryhi", trap.entryhi);
		put_field("context", trap.context);
	}
}

static void show_entry(uint32_t index)
{
	WRITE_C0(0, 0, index);
	__asm__ volatile("tlbr\n\tehb" ::: "memory");
	put_field("index", index);
	put_field("mask", READ_C0(5, 0));
	put_field("hi", READ_C0(10, 0));
	put_field("lo0", READ_C0(2, 0));
	put_field("lo1", READ_C0(3, 0));
}

/* Index, or INDEX_P alone. */
static uint32_t probe(uint32_t va, uint32_t asid)
{
	uint32_t index;

	WRITE_C0(10, 0, (va & ~0x1fffu) | asid);
	__asm__ volatile("tlbp\n\tehb" ::: "memory");
	index = READ_C0(0, 0);
	return index & INDEX_P ? INDEX_P : index;
}

/* Physical addresses of every page size's corners get a word of their own. */
static void page_sizes(void)
{
	for (uint32_t bits = 0; bits <= 14; bits += 2) {
		uint32_t size = PAGE << bits, even = HIGH, odd = size <= 0x1000000u ? MIDDLE : HIGH;
		uint32_t off[] = {0, 4, size / 2, size - 4};

		tlb_clear();
		for (unsigned i = 0; i < ARRAY_LEN(off); i++) {
			WORD_AT(odd + off[i]) = 0x0dd00000u + bits * 0x1000 + i;
			WORD_AT(even + off[i]) = 0xe0000000u + bits * 0x1000 + i;
		}
		tlb_put(7, PAGEMASK_BITS(bits), VA, LO(even, LO_V | LO_D), LO(odd, LO_V));
		put_text("size");
		put_field("bytes", size);
		for (unsigned i = 0; i < ARRAY_LEN(off); i++) {
			show_load(VA + off[i], 0);
			show_load(VA + size + off[i], 0);
		}
		show_load(VA + 2 * size, 0);
		show_load(VA - 4, 0);
		put_field("probe", probe(VA + size / 2, 0));
		put_field("probe_out", probe(VA + 2 * size, 0));
		show_entry(7);
		put_char('\n');
	}
	/* 256 MiB: the register and the match; no RAM is that large */
	tlb_put(7, PAGEMASK_BITS(16), VA, LO(0, LO_V), LO(0, 0));
	show_load(VA + HIGH, 0);
	show_load(VA + 0x10000000u, 0);
	show_load(VA + 0x20000000u, 0);
	put_field("probe", probe(VA + 0x0fffe000u, 0));
	show_entry(7);
	put_char('\n');
}

static void address_spaces(void)
{
	uint32_t n = tlb_entries();

	tlb_clear();
	for (uint32_t i = 0; i < n; i++) {
		WORD_AT(HIGH + i * PAGE) = 0xa5100000u + i;
		tlb_put(i, PAGEMASK_4K, VA | i * 4, LO(HIGH + i * PAGE, LO_V), LO(HIGH, 0));
	}
	for (uint32_t asid = 0; asid < 256; asid++) {
		put_text("asid");
		put_field("asid", asid);
		show_load(VA, asid);
		put_field("probe", probe(VA, asid));
		put_char('\n');
	}
	/* the same ASID again, for another page; then global in one, the other and both halves */
	tlb_put(5, PAGEMASK_4K, VA | 20, LO(HIGH + 9 * PAGE, LO_V), LO(0, 0));
	show_load(VA, 20);
	tlb_clear();
	for (uint32_t g = 0; g < 4; g++) {
		uint32_t g0 = g & 1 ? LO_G : 0, g1 = g & 2 ? LO_G : 0;

		tlb_put(3, PAGEMASK_4K, VA | 7, LO(HIGH, LO_V | g0), LO(HIGH + PAGE, LO_V | g1));
		put_text("global");
		show_load(VA, 7);
		show_load(VA + PAGE, 8);
		put_field("probe", probe(VA, 9));
		show_entry(3);
		put_char('\n');
	}
}

/* A mapping that is used, then changed under the same address. */
static void changes(void)
{
	static const uint32_t flags[] = {LO_V, LO_V | LO_D, 0, LO_D, LO_V | LO_D};
	uint32_t value;

	tlb_clear();
	for (uint32_t i = 0; i < 40; i++) {
		tlb_put(2, PAGEMASK_4K, VA | 1, LO(HIGH + i % 3 * PAGE, flags[i % 5]), LO(HIGH, 0));
		put_text("change");
		show_load(VA + 8, 1);
		value = 0xc0000000u + i;
		put_field("store", access_at(VA + 8, 1, true, &value));
		show_load(VA + 8, 1);
		put_field("page0", WORD_AT(HIGH + 8));
		put_field("page1", WORD_AT(HIGH + PAGE + 8));
		put_char('\n');
	}
}

static void random_and_wired(void)
{
	uint32_t n = tlb_entries(), wrong = 0, seen;

	WRITE_C0(6, 0, 0);
	for (uint32_t wired = 0; wired < n; wired += 5) {
		uint64_t hit = 0;

		tlb_clear();
		for (uint32_t i = 0; i < wired; i++)
			tlb_put(i, PAGEMASK_4K, VA + i * 2 * PAGE, LO(HIGH, LO_V), LO(HIGH, LO_V));
		WRITE_C0(6, 0, wired);
		put_field("wired", READ_C0(6, 0));
		for (uint32_t i = 0; i < 40 * n; i++) {
			seen = READ_C0(1, 0);
			wrong += seen < wired || seen >= n;
			WRITE_C0(10, 0, VA + 0x1000000u + i * 2 * PAGE);
			WRITE_C0(2, 0, 0);
			WRITE_C0(3, 0, 0);
			WRITE_C0(5, 0, 0);
			__asm__ volatile("tlbwr\n\tehb" ::: "memory");
		}
		for (uint32_t i = 0; i < n; i++) {
			WRITE_C0(0, 0, i);
			__asm__ volatile("tlbr\n\tehb" ::: "memory");
			if (READ_C0(10, 0) >= VA + 0x1000000u && READ_C0(10, 0) < 0x80000000u)
				hit |= (uint64_t)1 << i;
			else if (i >= wired)
				wrong++; /* 40 times as many writes as entries have left this one out */
		}
		wrong += (hit & (((uint64_t)1 << wired) - 1)) != 0;
		put_field("replaced_low", (uint32_t)hit);
		put_field("replaced_high", (uint32_t)(hit >> 32));
		put_char('\n');
	}
	put_check("random and wired", wrong == 0, wrong);
	WRITE_C0(6, 0, 0);
}

/* What the guest knows to be in the TLB, so that no two entries match one address (UNDEFINED). */
static struct {
	uint32_t hi, mask;
	bool global, used;
} model[64];

static void write_entry(uint32_t n, uint32_t *seed)
{
	uint32_t i = random_next(seed) % n, bits = random_next(seed) % 8 ? 0 : random_next(seed) % 3 * 2;
	uint32_t mask = PAGEMASK_BITS(bits), r = random_next(seed), size = PAGE << bits;
	uint32_t hi = ((VA + random_next(seed) % 24 * 2 * PAGE) & ~(mask | 0x1fffu)) | random_next(seed) % 4;
	bool global = r % 5 == 0;
	uint32_t g = global ? LO_G : r >> 20 & LO_G & (r % 3 == 0);

	for (uint32_t j = 0; j < n; j++) {
		uint32_t wide = ~(model[j].mask | mask | 0x1fffu);

		if (!model[j].used || ((model[j].hi ^ hi) & wide))
			continue;
		if (model[j].global || global || (model[j].hi & 255) == (hi & 255)) {
			tlb_put(j, PAGEMASK_4K, TLB_NOWHERE(j), 0, 0);
			model[j].used = false;
		}
	}
	tlb_put(i, mask, hi, LO((HIGH + (r >> 4) % 16 * PAGE) & ~(size - 1), (r >> 8 & 6) | g),
		LO((HIGH + (r >> 12) % 16 * PAGE) & ~(size - 1), (r >> 16 & 6) | (global ? LO_G : 0)));
	model[i].hi = hi;
	model[i].mask = mask;
	model[i].global = global;
	model[i].used = true;
}

static uint32_t random_step(uint32_t n, uint32_t h, uint32_t *seed)
{
	uint32_t r = random_next(seed), value = r, va = VA + random_next(seed) % (50 * PAGE) / 4 * 4, asid = r >> 8 & 3;

	switch (r % 8) {
	case 0:
		write_entry(n, seed);
		break;
	case 1:
		h = hash_word(h, probe(va, asid));
		break;
	case 2:
		WRITE_C0(0, 0, r >> 12 & (n - 1));
		__asm__ volatile("tlbr\n\tehb" ::: "memory");
		h = hash_word(hash_word(h, READ_C0(10, 0)), READ_C0(5, 0));
		h = hash_word(hash_word(h, READ_C0(2, 0)), READ_C0(3, 0));
		break;
	default:
		h = hash_word(h, access_at(va, asid, r % 8 < 4, &value));
		h = hash_word(hash_word(h, value), trap.vector);
		h = hash_word(hash_word(h, trap.badvaddr), trap.entryhi);
		break;
	}
	return h;
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	uint32_t seed = 12345, h = HASH_START;

	access_code[0] = LW(V0, 0, A0);
	access_code[1] = access_code[3] = SYSCALL(0);
	access_code[2] = SW(V0, 0, A0);
	put_field("entries", tlb_entries());
	put_char('\n');
	page_sizes();
	address_spaces();
	changes();
	random_and_wired();
	tlb_clear();
	for (uint32_t i = 1; i <= 60000; i++) {
		h = random_step(tlb_entries(), h, &seed);
		if (i % 1000 == 0) {
			put_text("random");
			put_field("step", i);
			put_field("hash", h);
			put_char('\n');
		}
	}
}
