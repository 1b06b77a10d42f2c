/* SPDX-License-Identifier: MIT */
/*
 * Code pages that come and go: random sequences of page contents (often equal ones), mappings, ASIDs, TLB evictions and
 * calls, so that entries, links, caches and side exits of translated code meet pages that they were not made for.  What each
 * call returns follows from the guest's own page tables; a monitor that goes round without getting on never ends.
 *
 * The command line "scale=N" divides the number of steps, "seed=N" gives other ones.
 */
#include "guest/bare/guest.h"
#include "tests/guest/words.h"

enum { CODE_PAGES = 6, DATA_PAGES = 4, CODE_SLOTS = 4, DATA_SLOTS = 4, ASIDS = 3, DATA_WORDS = PAGE / 4, LOOPS = 24 };

#define CODE_VA(slot) (0x00400000u + (slot)*PAGE) /* two to a TLB entry */
#define DATA_VA(slot) (0x00800000u + (slot)*PAGE)

/* A page of code has four functions: uint32_t f(const uint32_t *data, uint32_t n, uint32_t leaf) */
enum { F_SUM = 0x100, F_CALLS = 0x300, F_FILL = 0x500, F_LEAF = 0x700 };
enum { KINDS = 3 };

static PAGE_ALIGNED volatile uint32_t code[CODE_PAGES][PAGE / 4], data[DATA_PAGES][PAGE / 4];
static uint32_t kind[CODE_PAGES], salt[CODE_PAGES];
static uint8_t code_map[ASIDS][CODE_SLOTS], data_map[ASIDS][DATA_SLOTS];
static uint32_t asid, seed, wrong, calls, refills;

typedef uint32_t code_fn(uint32_t data, uint32_t n, uint32_t leaf);

static uint32_t pick(uint32_t n) { return random_next(&seed) % n; }

/* ---- the TLB, filled from the tables above ---- */
static uint32_t lo_of(uint32_t va, uint32_t space)
{
	uint32_t slot = va >> 12 & 3;
	const volatile uint32_t *page = va >= DATA_VA(0) ? data[data_map[space][slot]] : code[code_map[space][slot]];

	return LO(PHYS(page), LO_V | LO_D);
}

static void refill(volatile struct trap *t)
{
	uint32_t va = t->badvaddr & ~0x1fffu, hi = READ_C0(10, 0);

	if (TRAP_CODE != 2 && TRAP_CODE != 3) {
		put_text("paging: WRONG exception");
		put_field("code", TRAP_CODE);
		put_field("epc", t->epc);
		put_char('\n');
		guest_end();
	}
	refills++;
	WRITE_C0(5, 0, 0);
	WRITE_C0(2, 0, lo_of(va, asid));
	WRITE_C0(3, 0, lo_of(va + PAGE, asid));
	WRITE_C0(10, 0, (hi & 0xff) | va);
	__asm__ volatile("tlbwr\n\tehb" ::: "memory");
}

/* What the TLB knows of va in the ASID in force is gone: TLBP, TLBWI, as a kernel does it. */
static void flush(uint32_t va)
{
	WRITE_C0(10, 0, (va & ~0x1fffu) | asid);
	__asm__ volatile("tlbp\n\tehb" ::: "memory");
	if (!(READ_C0(0, 0) >> 31))
		tlb_put(READ_C0(0, 0), PAGEMASK_4K, TLB_NOWHERE(READ_C0(0, 0)), 0, 0);
	WRITE_C0(10, 0, asid);
}

/* ---- contents ---- */
static void put(uint32_t page, uint32_t off, uint32_t word) { code[page][off / 4] = word; }

/* v0 = salt; while (n--) v0 = op(v0, *data++); the loop's first instruction is the load, which may miss. */
static void write_sum(uint32_t p)
{
	static const uint32_t op[KINDS] = {W_R(V0, T0, V0, 0, 0x21), W_R(V0, T0, V0, 0, 0x26),
					   W_R(V0, T0, V0, 0, 0x23)};
	uint32_t at = F_SUM;

	put(p, at, ADDIU(V0, ZERO, salt[p]));
	put(p, at + 4, LW(T0, 0, A0));
	put(p, at + 8, ADDIU(A1, A1, -1));
	put(p, at + 12, op[kind[p]]);
	put(p, at + 16, BNE(A1, ZERO, -4));
	put(p, at + 20, ADDIU(A0, A0, 4));
	put(p, at + 24, JR(RA));
	put(p, at + 28, NOP);
}

/* v0 = 0; t2 = return; while (n--) v0 += leaf(data): calls through a register, into another page. */
static void write_calls(uint32_t p)
{
	uint32_t at = F_CALLS;

	put(p, at, ADDU(T2, RA, ZERO));
	put(p, at + 4, ADDU(T3, ZERO, ZERO));
	put(p, at + 8, JALR(RA, A2));
	put(p, at + 12, ADDIU(A1, A1, -1));
	put(p, at + 16, ADDU(T3, T3, V0));
	put(p, at + 20, BNE(A1, ZERO, -4));
	put(p, at + 24, ADDIU(A0, A0, 4));
	put(p, at + 28, JR(T2));
	put(p, at + 32, ADDU(V0, T3, ZERO));
	put(p, F_LEAF, LW(T0, 0, A0));
	put(p, F_LEAF + 4, JR(RA));
	put(p, F_LEAF + 8, ADDIU(V0, T0, salt[p]));
}

/* while (n--) *data++ = salt + n: the store at the head of the loop misses. */
static void write_fill(uint32_t p)
{
	uint32_t at = F_FILL;

	put(p, at, ADDIU(T1, ZERO, salt[p]));
	put(p, at + 4, SW(T1, 0, A0));
	put(p, at + 8, ADDIU(A1, A1, -1));
	put(p, at + 12, ADDIU(T1, T1, 1));
	put(p, at + 16, BNE(A1, ZERO, -4));
	put(p, at + 20, ADDIU(A0, A0, 4));
	put(p, at + 24, JR(RA));
	put(p, at + 28, ADDU(V0, T1, ZERO));
}

/* Few salts and kinds, so that pages are equal often. */
static void write_page(uint32_t p)
{
	salt[p] = pick(3) * 0x111;
	kind[p] = pick(KINDS);
	write_sum(p);
	write_calls(p);
	write_fill(p);
}

/* ---- what a call must return ---- */
static volatile uint32_t *data_at(uint32_t va, uint32_t i)
{
	uint32_t at = va + 4 * i;

	return &data[data_map[asid][at >> 12 & 3]][(at & (PAGE - 1)) / 4];
}

static uint32_t want_sum(uint32_t p, uint32_t va, uint32_t n)
{
	uint32_t v = salt[p];

	for (uint32_t i = 0; i < n; i++) {
		uint32_t x = *data_at(va, i);

		v = kind[p] == 0 ? v + x : kind[p] == 1 ? v ^ x : v - x;
	}
	return v;
}

static uint32_t want_calls(uint32_t leaf_page, uint32_t va, uint32_t n)
{
	uint32_t v = 0;

	for (uint32_t i = 0; i < n; i++)
		v += *data_at(va, i) + salt[leaf_page];
	return v;
}

static void expect(const char *what, uint32_t seen, uint32_t want)
{
	calls++;
	if (seen == want || wrong++ > 3)
		return;
	put_text(what);
	put_text(": WRONG");
	put_field("call", calls);
	put_field("seen", seen);
	put_field("want", want);
	put_char('\n');
}

static uint32_t call(uint32_t va, uint32_t d, uint32_t n, uint32_t leaf)
{
	return ((code_fn *)(uintptr_t)va)(d, n, leaf);
}

static void one_call(void)
{
	uint32_t slot = pick(CODE_SLOTS), other = pick(CODE_SLOTS), p = code_map[asid][slot];
	uint32_t n = 1 + pick(LOOPS), va = DATA_VA(pick(DATA_SLOTS - 1)) + 4 * pick(DATA_WORDS), want, i;

	switch (pick(4)) {
	case 0:
	case 1:
		want = want_sum(p, va, n);
		expect("sum", call(CODE_VA(slot) + F_SUM, va, n, 0), want);
		return;
	case 2:
		want = want_calls(code_map[asid][other], va, n);
		expect("calls", call(CODE_VA(slot) + F_CALLS, va, n, CODE_VA(other) + F_LEAF), want);
		return;
	default:
		expect("fill", call(CODE_VA(slot) + F_FILL, va, n, 0), salt[p] + n);
		for (i = 0; i < n && *data_at(va, i) == salt[p] + i; i++)
			;
		/* two slots may be one page: what was written last is there */
		if (data_map[asid][va >> 12 & 3] != data_map[asid][(va + 4 * (n - 1)) >> 12 & 3] ||
		    (va & ~(PAGE - 1)) == ((va + 4 * (n - 1)) & ~(PAGE - 1)))
			expect("filled", i, n);
	}
}

/* One change to contents, mappings, TLB or address space. */
static void one_change(void)
{
	uint32_t slot, p;

	switch (pick(8)) {
	case 0:
		write_page(pick(CODE_PAGES));
		return;
	case 1:
	case 2:
		slot = pick(CODE_SLOTS);
		code_map[asid][slot] = (uint8_t)pick(CODE_PAGES);
		flush(CODE_VA(slot));
		return;
	case 3:
		slot = pick(DATA_SLOTS);
		data_map[asid][slot] = (uint8_t)pick(DATA_PAGES);
		flush(DATA_VA(slot));
		return;
	case 4:
		asid = pick(ASIDS);
		WRITE_C0(10, 0, asid);
		return;
	case 5:
		tlb_clear();
		WRITE_C0(10, 0, asid);
		return;
	case 6: /* evict: TLBWR of what nobody uses */
		for (uint32_t i = pick(80); i; i--) {
			WRITE_C0(5, 0, 0);
			WRITE_C0(2, 0, 0);
			WRITE_C0(3, 0, 0);
			WRITE_C0(10, 0, 0x10000000u + (pick(4096) << 13) + asid);
			__asm__ volatile("tlbwr\n\tehb" ::: "memory");
		}
		WRITE_C0(10, 0, asid);
		return;
	default:
		p = pick(DATA_PAGES);
		data[p][pick(DATA_WORDS)] = random_next(&seed);
	}
}

static uint32_t argument(const char *s, const char *key, uint32_t otherwise)
{
	for (; *s; s++) {
		uint32_t i = 0, n = 0;

		while (key[i] && s[i] == key[i])
			i++;
		if (key[i])
			continue;
		for (s += i; *s >= '0' && *s <= '9'; s++)
			n = n * 10 + (uint32_t)(*s - '0');
		return n ? n : otherwise;
	}
	return otherwise;
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	const char *line = argc > 1 ? (const char *)(uintptr_t)argv[1] : "";
	uint32_t steps = 40000 / argument(line, "scale=", 1);

	seed = argument(line, "seed=", 0x1234567);
	trap_resume = refill;
	for (uint32_t p = 0; p < CODE_PAGES; p++)
		write_page(p);
	for (uint32_t a = 0; a < ASIDS; a++)
		for (uint32_t s = 0; s < CODE_SLOTS; s++) {
			code_map[a][s] = (uint8_t)pick(CODE_PAGES);
			data_map[a][s] = (uint8_t)pick(DATA_PAGES);
		}
	for (uint32_t p = 0; p < DATA_PAGES; p++)
		for (uint32_t i = 0; i < DATA_WORDS; i++)
			data[p][i] = random_next(&seed);
	tlb_clear();
	for (uint32_t i = 0; i < steps; i++) {
		one_call();
		if (pick(3) == 0)
			one_change();
	}
	put_check("paging", wrong == 0, wrong);
	put_text("calls");
	put_field("n", calls);
	put_char('\n');
}
