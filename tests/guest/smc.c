/* SPDX-License-Identifier: MIT */
/*
 * Self-modifying code, 100000 patches: the instruction behind the store, branch targets, delay slots, hot loops; through
 * KSEG0, KSEG1 and mapped addresses other than the one that is executed; with every kind of store; pages that are used
 * again for other code or mapped elsewhere.  Results are checked here.
 *
 * No CACHE and no SYNCI: a real CPU with caches needs them, QEMU and Disco promise to do without.
 */
#include "guest/bare/guest.h"
#include "tests/guest/words.h"

#define MAP_A 0x00400000u /* two pages: code, page_b */
#define MAP_B 0x00500000u /* the same physical pages, the other way round */
#define MAP_C 0x00600000u /* changes, as MAP_D */
#define MAP_D 0x00700000u

static PAGE_ALIGNED uint32_t code[PAGE / 4], page_b[PAGE / 4];
static PAGE_ALIGNED volatile uint32_t slots[4][PAGE / 4];
static uint32_t patches, wrong, first_wrong, test;

typedef uint32_t code_fn(uint32_t a, uint32_t b, uint32_t c);

static uint32_t call(uint32_t va, uint32_t a, uint32_t b, uint32_t c) { return ((code_fn *)(uintptr_t)va)(a, b, c); }

static void put(uint32_t va, uint32_t word) { *(volatile uint32_t *)(uintptr_t)va = word; }

static void expect(uint32_t seen, uint32_t want)
{
	patches++;
	if (seen == want)
		return;
	if (!wrong++) {
		first_wrong = test;
		put_text("first:");
		put_field("patch", patches);
		put_field("seen", seen);
		put_field("want", want);
		put_char('\n');
	}
}

static void done(const char *name)
{
	put_check(name, wrong == 0, first_wrong);
	wrong = 0;
	test++;
}

static uint32_t kseg0(const volatile uint32_t *page) { return KSEG0(PHYS(page)); }

/* v0 = imm (positive, 15 bits); return */
static void put_constant(uint32_t va, uint32_t imm)
{
	put(va, ADDIU(V0, ZERO, imm));
	put(va + 4, JR(RA));
	put(va + 8, NOP);
}

/* exec: where it runs; write: where its stores go */
static void next_instruction(uint32_t exec, uint32_t write, uint32_t n)
{
	put(exec + 0x100, SW(A0, 0x108, A1));
	put(exec + 0x104, ADDIU(V0, ZERO, 1));
	put(exec + 0x108, ADDIU(V0, ZERO, 2)); /* patched: by the store two in front */
	put(exec + 0x10c, JR(RA));
	put(exec + 0x110, NOP);
	put(exec + 0x200, SW(A0, 0x204, A1));
	put(exec + 0x204, ADDIU(V0, ZERO, 2)); /* patched: right behind the store */
	put(exec + 0x208, JR(RA));
	put(exec + 0x20c, NOP);
	for (uint32_t i = 0; i < n; i++) {
		expect(call(exec + 0x100, ADDIU(V0, ZERO, i & 0x7fff), write, 0), i & 0x7fff);
		expect(call(exec + 0x200, ADDIU(V0, ZERO, (i ^ 5) & 0x7fff), write, 0), (i ^ 5) & 0x7fff);
	}
}

/* The store in a delay slot patches the target; a store patches the slot of the branch behind it. */
static void slots_and_targets(uint32_t exec, uint32_t write, uint32_t n)
{
	put(exec + 0x300, BEQ(ZERO, ZERO, 3));
	put(exec + 0x304, SW(A0, 0x310, A1));
	put(exec + 0x308, ADDIU(V0, ZERO, 3));
	put(exec + 0x30c, NOP);
	put(exec + 0x310, NOP); /* patched */
	put(exec + 0x314, JR(RA));
	put(exec + 0x318, NOP);
	put(exec + 0x380, SW(A0, 0x388, A1));
	put(exec + 0x384, JR(RA));
	put(exec + 0x388, NOP); /* patched */
	for (uint32_t i = 0; i < n; i++) {
		expect(call(exec + 0x300, ADDIU(V0, ZERO, i & 0x7fff), write, 0), i & 0x7fff);
		expect(call(exec + 0x380, ADDIU(V0, ZERO, (i * 3) & 0x7fff), write, 0), (i * 3) & 0x7fff);
	}
}

/* Each kind of store changes the immediate (low half) of "addiu v0, zero, imm", or the whole word. */
static void kinds_of_store(uint32_t exec, uint32_t write, uint32_t n)
{
	bool big = READ_C0(16, 0) & 0x8000;
	uint32_t low_half = big ? 2 : 0, low_byte = big ? 3 : 0;
	uint32_t at = exec + 0x400;
	volatile uint8_t *p = (volatile uint8_t *)(uintptr_t)(write + 0x400);

	put_constant(at, 0x1234);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t v = i & 0x7fff, w = ADDIU(V0, ZERO, v ^ 0x55), ok, hi = JR(RA);

		*(volatile uint16_t *)(p + low_half) = (uint16_t)v;
		expect(call(at, 0, 0, 0), v);
		p[low_byte] = (uint8_t)(v ^ 0xff);
		expect(call(at, 0, 0, 0), (v & 0x7f00) | ((v ^ 0xff) & 0xff));
		__asm__ volatile("swl %0, %2(%1)\n\tswr %0, %3(%1)" ::"r"(w), "r"(p), "i"(0), "i"(3) : "memory");
		if (!big) /* the left half is at the higher address */
			__asm__ volatile("swl %0, 3(%1)\n\tswr %0, 0(%1)" ::"r"(w), "r"(p) : "memory");
		expect(call(at, 0, 0, 0), v ^ 0x55);
		w = ADDIU(V0, ZERO, v ^ 0x111);
		__asm__ volatile(".set noreorder\n1:	ll $8, 0(%2)\n	move $8, %1\n	sc $8, 0(%2)\n	beqz $8, 1b\n"
				 "	move %0, $8\n.set reorder"
				 : "=&r"(ok)
				 : "r"(w), "r"(p)
				 : "memory", "$8");
		expect(call(at, 0, 0, 0), v ^ 0x111);
		w = ADDIU(V0, ZERO, v ^ 0x222);
		__asm__ volatile("mtc1 %0, $f4\n\tswc1 $f4, 0(%1)" ::"r"(w), "r"(p) : "memory");
		expect(call(at, 0, 0, 0), v ^ 0x222);
		w = ADDIU(V0, ZERO, v ^ 0x333);
		if (big) /* the register with the even number holds the low word */
			__asm__ volatile("mtc1 %0, $f5\n\tmtc1 %1, $f4\n\tsdc1 $f4, 0(%2)" ::"r"(w), "r"(hi), "r"(p)
					 : "memory");
		else
			__asm__ volatile("mtc1 %0, $f4\n\tmtc1 %1, $f5\n\tsdc1 $f4, 0(%2)" ::"r"(w), "r"(hi), "r"(p)
					 : "memory");
		expect(call(at, 0, 0, 0), v ^ 0x333);
	}
}

/* A loop that runs long enough to be compiled again, patches itself once in the middle, and goes on. */
static void hot_loop(uint32_t exec, uint32_t write, uint32_t rounds)
{
	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t at = exec + 0x500, half = 1500 + i, all = 3001 + i, step = i % 50 + 2;

		put(at + 0x00, ADDU(V0, ZERO, ZERO));
		put(at + 0x04, ADDIU(A0, A0, 0xffff)); /* loop: a0 counts down */
		put(at + 0x08, ADDIU(V0, V0, 1));      /* patched when a0 == half */
		put(at + 0x0c, BNE(A0, V1, 3));
		put(at + 0x10, NOP);
		put(at + 0x14, SW(A2, 0x508, A1));
		put(at + 0x18, NOP);
		put(at + 0x1c, BNE(A0, ZERO, 0xfff9));
		put(at + 0x20, NOP);
		put(at + 0x24, JR(RA));
		put(at + 0x28, NOP);
		put(at - 0x08, ORI(V1, ZERO, half));
		put(at - 0x04, NOP);
		/* all - half times 1, the round of the patch among them; half times step */
		expect(call(at - 8, all, write, ADDIU(V0, V0, step)), all - half + half * step);
	}
}

/* The page gets other code each time: a chain of additions of another length, called through several entries. */
static void page_reused(uint32_t exec, uint32_t write, uint32_t rounds)
{
	uint32_t seed = 99;

	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t n = random_next(&seed) % 24 + 1, sum = 0, entry = random_next(&seed) % n, want = 0;

		for (uint32_t k = 0; k < n; k++) {
			uint32_t v = random_next(&seed) & 0xff;

			put(write + 0x800 + 4 * k, ADDIU(A0, A0, v));
			sum += v;
			want += k >= entry ? v : 0;
		}
		put(write + 0x800 + 4 * n, JR(RA));
		put(write + 0x800 + 4 * n + 4, ADDU(V0, A0, ZERO));
		expect(call(exec + 0x800, 7, 0, 0), 7 + sum);
		expect(call(exec + 0x800 + 4 * entry, 9, 0, 0), 9 + want);
	}
}

/* A branch in the last word of MAP_A's first page, its slot in the second; both are patched. */
static void across_pages(uint32_t rounds)
{
	put_constant(MAP_A + PAGE + 0x40, 0);
	put(MAP_A + PAGE + 0x40, NOP);
	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t v = i & 0x7fff;

		put(kseg0(code) + 0xffc, BEQ(ZERO, ZERO, i & 1 ? 0x10 : 0x14));
		put(MAP_A + PAGE + 0x50, JR(RA));
		put(MAP_A + PAGE + 0x54, ADDIU(V0, V0, 1));
		put(kseg0(page_b), ADDIU(V0, ZERO, v));
		expect(call(MAP_A + 0xffc, 0, 0, 0), i & 1 ? v : v + 1);
	}
}

/*
 * The branch stays, its slot is on a page that is mapped elsewhere each time, or the branch's page is seen at another address
 * with another neighbour.  The words of all slots are different, and now and then changed as well.
 */
static void slot_remapped(uint32_t rounds)
{
	put(kseg0(code) + 0xffc, BEQ(ZERO, ZERO, 0x10)); /* to the other page, + 0x40 */
	for (uint32_t k = 0; k < 4; k++) {
		put(kseg0(slots[k]), ADDIU(V0, ZERO, k));
		put(kseg0(slots[k]) + 0x40, JR(RA));
		put(kseg0(slots[k]) + 0x44, ADDIU(V0, V0, k * 0x100));
	}
	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t k = (i ^ i >> 3) & 3, j = (k + 1) & 3;

		if (i % 16 == 0)
			put(kseg0(slots[k]), ADDIU(V0, ZERO, k + (i & 0xf0)));
		tlb_put(2, PAGEMASK_4K, MAP_C, LO(PHYS(code), LO_V), LO(PHYS(slots[k]), LO_V));
		tlb_put(3, PAGEMASK_4K, MAP_D, LO(PHYS(code), LO_V), LO(PHYS(slots[j]), LO_V));
		for (unsigned again = 0; again < 3; again++) {
			expect(call(MAP_C + 0xffc, 0, 0, 0), (slots[k][0] & 0xffff) + k * 0x100);
			expect(call(MAP_D + 0xffc, 0, 0, 0), (slots[j][0] & 0xffff) + j * 0x100);
		}
	}
}

/* One virtual page, two physical ones in turn; each with code of its own, and both patched while the other is mapped. */
static void remapped(uint32_t rounds)
{
	for (uint32_t i = 0; i < rounds; i++) {
		const uint32_t *in = i & 1 ? page_b : code, *out = i & 1 ? code : page_b;

		put_constant(kseg0(in) + 0xa00, i & 0x3fff);
		tlb_put(2, PAGEMASK_4K, MAP_C, LO(PHYS(in), LO_V | LO_D), LO(PHYS(out), LO_V | LO_D));
		expect(call(MAP_C + 0xa00, 0, 0, 0), i & 0x3fff);
		put_constant(MAP_C + PAGE + 0xa00, 0x4000 + (i & 0x3fff));
		expect(call(MAP_C + PAGE + 0xa00, 0, 0, 0), 0x4000 + (i & 0x3fff));
		expect(call(MAP_C + 0xa00, 0, 0, 0), i & 0x3fff);
	}
}

/* Data beside code in one page: stores that hit no instruction, then one that does. */
static void data_beside_code(uint32_t exec, uint32_t write, uint32_t rounds)
{
	volatile uint32_t *data = (volatile uint32_t *)(uintptr_t)(write + 0xc00);

	put_constant(exec + 0xb00, 1);
	for (uint32_t i = 0; i < rounds; i++) {
		data[i % 64] = i;
		data[(i + 7) % 64] += i;
		if (i % 8 == 0)
			put(write + 0xb00, ADDIU(V0, ZERO, i & 0x7fff));
		expect(call(exec + 0xb00, 0, 0, 0), (i & ~7u) & 0x7fff);
	}
}

static const struct {
	const char *name;
	uint32_t exec, write;
} ways[] = {
    {"KSEG0, KSEG0", 0x80000000u, 0x80000000u}, {"KSEG0, KSEG1", 0x80000000u, 0xa0000000u},
    {"KSEG1, KSEG0", 0xa0000000u, 0x80000000u}, {"mapped, KSEG0", MAP_A, 0x80000000u},
    {"KSEG0, mapped", 0x80000000u, MAP_A},      {"mapped, the same", MAP_A, MAP_A},
    {"mapped, another", MAP_A, MAP_B + PAGE},   {"another, mapped", MAP_B + PAGE, MAP_A},
};

static uint32_t address(uint32_t way) { return way >= 0x80000000u ? way | PHYS(code) : way; }

/* The command line "scale=N" divides the number of rounds, for monitors to which each patch costs a compilation. */
static uint32_t read_scale(uint32_t argc, const uint32_t *argv)
{
	const char *s = argc > 1 ? (const char *)(uintptr_t)argv[1] : "", *key = "scale=";
	uint32_t n = 0;

	while (*key && *s == *key) {
		s++;
		key++;
	}
	while (!*key && *s >= '0' && *s <= '9')
		n = n * 10 + (uint32_t)(*s++ - '0');
	return n ? n : 1;
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	uint32_t scale = read_scale(argc, argv);

	tlb_put(0, PAGEMASK_4K, MAP_A, LO(PHYS(code), LO_V | LO_D), LO(PHYS(page_b), LO_V | LO_D));
	tlb_put(1, PAGEMASK_4K, MAP_B, LO(PHYS(page_b), LO_V | LO_D), LO(PHYS(code), LO_V | LO_D));
	WRITE_C0(10, 0, 0);
	for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
		uint32_t exec = address(ways[i].exec), write = address(ways[i].write);

		put_text("executed, stored to: ");
		put_text(ways[i].name);
		put_char('\n');
		next_instruction(exec, write, 1800 / scale);
		done("the next instruction");
		slots_and_targets(exec, write, 1800 / scale);
		done("slots and targets");
		kinds_of_store(exec, write, 300 / scale);
		done("kinds of store");
		hot_loop(exec, write, 60 / scale);
		done("a hot loop");
		page_reused(exec, write, 1000 / scale);
		done("a page used again");
		data_beside_code(exec, write, 1000 / scale);
		done("data beside code");
	}
	across_pages(1500 / scale);
	done("a slot on the next page");
	remapped(1500 / scale);
	done("a page mapped elsewhere");
	slot_remapped(1500 / scale);
	done("a slot's page mapped elsewhere");
	put_text("patches: ");
	put_dec(patches);
	put_char('\n');
}
