/* SPDX-License-Identifier: MIT */
/*
 * Microbenchmarks without an operating system; the same image runs on Disco and on QEMU.
 *   micro_rate TICKS PIT      Count went on by TICKS while the i8254 did by PIT: no monitor's idea of Count is believed
 *   micro NAME N EACH TICKS   a repetition: N * EACH operations took TICKS of Count
 */
#include "bench/micro/only.h"
#include "guest/bare/guest.h"

#define PIT_COUNT   (*(volatile uint8_t *)0xb8000040)
#define PIT_CONTROL (*(volatile uint8_t *)0xb8000043)
#define PIT_WINDOW  47727u /* 40 ms at 1193182 Hz */
#define UART_SCR    (*(volatile uint8_t *)0xb80003ff)

#define PAGE_TABLE 0x80800000u /* Context's PTEBase: 16 bytes for each pair of pages */
#define MAPPED     0x10000000u /* the first mapped address; 64 MiB of physical memory from ARENA on */
#define ARENA      0x04000000u
#define REACH      256u /* pages of tlb_reach */
#define BIG        0x04000000u

#define REPEAT 5

static uint32_t enough_ticks; /* of Count: 20 ms */
static const char *only;      /* "NAME,NAME,", or NULL: all */
static volatile uint32_t sink;

static uint32_t pit_read(void)
{
	uint32_t low;

	PIT_CONTROL = 0; /* latch channel 0 */
	low = PIT_COUNT;
	return low | (uint32_t)PIT_COUNT << 8;
}

static uint32_t now(void) { return READ_C0(9, 0); }

static void put_numbers(const char *text, const uint32_t *v, unsigned n)
{
	put_text(text);
	for (unsigned i = 0; i < n; i++) {
		put_char(' ');
		put_dec(v[i]);
	}
	put_char('\n');
}

static void calibrate(void)
{
	uint32_t from, begin, gone;

	PIT_CONTROL = 0x34; /* channel 0, low then high byte, mode 2 */
	PIT_COUNT = 0;
	PIT_COUNT = 0;
	while (pit_read() > 60000)
		;
	from = pit_read();
	begin = now();
	do
		gone = from - pit_read();
	while (gone < PIT_WINDOW);
	enough_ticks = now() - begin;
	put_numbers("micro_rate", (const uint32_t[]){enough_ticks, gone}, 2);
	enough_ticks /= 2;
}

/* fn(n) does n * each operations.  n is doubled until it takes long enough; what was needed for that also warms up. */
static void measure(const char *name, void (*fn)(uint32_t n), uint32_t each)
{
	uint32_t n = 16, begin, ticks;

	if (!only_wants(only, name))
		return;
	for (;;) {
		begin = now();
		fn(n);
		ticks = now() - begin;
		if (ticks >= enough_ticks || n >= 1u << 28)
			break;
		n *= 2;
	}
	for (unsigned i = 0; i < REPEAT; i++) {
		begin = now();
		fn(n);
		ticks = now() - begin;
		put_text("micro ");
		put_numbers(name, (const uint32_t[]){n, each, ticks}, 3);
	}
}

/* ---- the CPU ---- */

#define X4(insn) insn "\n\t" insn "\n\t" insn "\n\t" insn "\n\t"
#define X8(insn) X4(insn) X4(insn)

static void add(uint32_t n)
{
	uint32_t a = 1, b = n;

	while (n--)
		__asm__ volatile(X4("addu %0, %0, %1\n\txor %0, %0, %1") : "+r"(a) : "r"(b));
	sink = a;
}

static void mfc0(uint32_t n)
{
	uint32_t v;

	while (n--)
		__asm__ volatile(X8("mfc0 %0, $14") : "=r"(v));
}

static void mtc0(uint32_t n)
{
	while (n--)
		__asm__ volatile(X8("mtc0 %0, $14")::"r"(n));
}

static void mtc0_asid(uint32_t n)
{
	while (n--)
		__asm__ volatile("mtc0 %0, $10\n\tmtc0 %1, $10" ::"r"(1), "r"(2));
	WRITE_C0(10, 0, 0);
}

static void exception(uint32_t n)
{
	while (n--)
		__asm__ volatile("syscall" ::: "$26", "$27");
}

static void llsc(uint32_t n)
{
	static uint32_t word;
	uint32_t t;

	while (n--)
		__asm__ volatile("ll %0, %1\n\taddiu %0, %0, 1\n\tsc %0, %1" : "=&r"(t), "+m"(word));
}

/* ---- calls ---- */

#define TARGET(i)                                                                                                      \
	__attribute__((noinline)) static uint32_t target_##i(uint32_t v)                                               \
	{                                                                                                              \
		__asm__ volatile("" : "+r"(v));                                                                        \
		return v + i + 1;                                                                                      \
	}
TARGET(0)
TARGET(1)
TARGET(2)
TARGET(3)
TARGET(4)
TARGET(5)
TARGET(6)
TARGET(7)

static uint32_t (*volatile targets[8])(uint32_t) = {target_0, target_1, target_2, target_3,
						    target_4, target_5, target_6, target_7};

static void call(uint32_t n)
{
	uint32_t v = 0;

	while (n--)
		v = target_0(v);
	sink = v;
}

static void indirect_1(uint32_t n)
{
	uint32_t v = 0;

	while (n--)
		v = targets[0](v);
	sink = v;
}

static void indirect_8(uint32_t n)
{
	uint32_t v = 0;

	while (n--)
		v = targets[n & 7](v);
	sink = v;
}

/* ---- floating point ---- */

static void fp_add(uint32_t n)
{
	double a = 1, b = 1e-9;

	while (n--)
		__asm__ volatile(X8("add.d %0, %0, %1") : "+f"(a) : "f"(b));
	sink = (uint32_t)a;
}

static void fp_mul(uint32_t n)
{
	double a = 1, b = 1.0000000001;

	while (n--)
		__asm__ volatile(X8("mul.d %0, %0, %1") : "+f"(a) : "f"(b));
	sink = a > 1;
}

static void fp_div(uint32_t n)
{
	double a = 1e100, b = 1.0000000001;

	while (n--)
		__asm__ volatile(X8("div.d %0, %0, %1") : "+f"(a) : "f"(b));
	sink = a > 1;
}

static void fp_cvt(uint32_t n)
{
	double a = 5;

	while (n--)
		__asm__ volatile("trunc.w.d %0, %0\n\tcvt.d.w %0, %0" : "+f"(a));
	sink = a > 1;
}

/* ---- memory ---- */

static volatile uint32_t *chain; /* where the chase is; each word holds the address of the next */

static void chase(uint32_t n)
{
	uint32_t p = (uint32_t)(uintptr_t)chain;

	while (n--)
		__asm__ volatile(X8("lw %0, 0(%0)") : "+r"(p));
	chain = (volatile uint32_t *)(uintptr_t)p;
}

/* A cycle through all `bytes` from base in steps of `step`, in an order that no prefetcher follows. bytes: a power of 2. */
static void make_chain(uint32_t base, uint32_t bytes, uint32_t step)
{
	uint32_t slots = bytes / step, at = 0;

	for (uint32_t i = 0; i < slots; i++) {
		uint32_t next = (at * 5 + 12345) & (slots - 1); /* a full-period congruential generator */

		*(volatile uint32_t *)(uintptr_t)(base + at * step) = base + next * step;
		at = next;
	}
	chain = (volatile uint32_t *)(uintptr_t)base;
}

/* One load from each page, from MAPPED on; `pages` a power of two. */
static void walk(uint32_t n, uint32_t pages)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += *(volatile uint32_t *)(uintptr_t)(MAPPED + (i & (pages - 1)) * PAGE);
	sink = sum;
}

static void load_miss(uint32_t n) { walk(n, BIG / PAGE); }
static void tlb_reach(uint32_t n) { walk(n, REACH); }

/* With all entries but the last wired, TLBWR goes there, and from there it is taken away again. */
static void tlb_refill(uint32_t n)
{
	uint32_t last = tlb_entries() - 1;

	tlb_clear();
	WRITE_C0(6, 0, last);
	while (n--) {
		tlb_put(last, PAGEMASK_4K, TLB_NOWHERE(last), 0, 0);
		sink = *(volatile uint32_t *)(uintptr_t)MAPPED;
	}
	WRITE_C0(6, 0, 0);
}

static void stream_read(uint32_t n)
{
	uint32_t sum = 0;

	while (n--) {
		const volatile uint32_t *p = (const volatile uint32_t *)KSEG0(ARENA);

		for (uint32_t i = 0; i < (1u << 18); i += 8)
			sum += p[i] + p[i + 1] + p[i + 2] + p[i + 3] + p[i + 4] + p[i + 5] + p[i + 6] + p[i + 7];
	}
	sink = sum;
}

static void stream_write(uint32_t n)
{
	while (n--) {
		volatile uint32_t *p = (volatile uint32_t *)KSEG0(ARENA);

		for (uint32_t i = 0; i < (1u << 18); i += 4)
			p[i] = p[i + 1] = p[i + 2] = p[i + 3] = n;
	}
}

static void stream_copy(uint32_t n)
{
	while (n--) {
		const volatile uint32_t *p = (const volatile uint32_t *)KSEG0(ARENA);
		volatile uint32_t *q = (volatile uint32_t *)KSEG0(ARENA + (1u << 20));

		for (uint32_t i = 0; i < (1u << 18); i += 4) {
			uint32_t a = p[i], b = p[i + 1], c = p[i + 2], d = p[i + 3];

			q[i] = a;
			q[i + 1] = b;
			q[i + 2] = c;
			q[i + 3] = d;
		}
	}
}

static void device_read(uint32_t n)
{
	while (n--)
		sink = UART_SCR;
}

/* ---- setting up ---- */

/* Refill: the pair that Context points at, to wherever Random says; general: behind the SYSCALL. */
static void put_handlers(void)
{
	extern const uint32_t refill_code[], refill_end[], general_code[], general_end[];

	for (unsigned i = 0; refill_code + i < refill_end; i++)
		((volatile uint32_t *)0x80000000)[i] = refill_code[i];
	for (unsigned i = 0; general_code + i < general_end; i++)
		((volatile uint32_t *)0x80000180)[i] = general_code[i];
	WRITE_C0(4, 0, PAGE_TABLE);
}

__asm__(".pushsection .text\n\t.set push\n\t.set noreorder\n\t.set noat\n\t.set mips32r2\n"
	".globl refill_code\nrefill_code:\n\t"
	"mfc0 $26, $4\n\tlw $27, 0($26)\n\tlw $26, 8($26)\n\tmtc0 $27, $2\n\tmtc0 $26, $3\n\tehb\n\ttlbwr\n\teret\n"
	".globl refill_end\nrefill_end:\n"
	".globl general_code\ngeneral_code:\n\t"
	"mfc0 $26, $14\n\taddiu $26, $26, 4\n\tmtc0 $26, $14\n\tehb\n\teret\n"
	".globl general_end\ngeneral_end:\n\t.set pop\n\t.popsection");

static void put_page_table(void)
{
	for (uint32_t i = 0; i < REACH / 2; i++) {
		volatile uint32_t *pair = (volatile uint32_t *)(uintptr_t)(PAGE_TABLE + ((MAPPED >> 13) + i) * 16);

		pair[0] = LO(ARENA + 2 * i * PAGE, LO_G | LO_V | LO_D);
		pair[2] = LO(ARENA + (2 * i + 1) * PAGE, LO_G | LO_V | LO_D);
	}
}

/* 64 MiB from MAPPED in two pages of 16 MiB each, twice. */
static void put_big_pages(void)
{
	for (uint32_t i = 0; i < 2; i++)
		tlb_put(i, PAGEMASK_BITS(12), MAPPED + (i << 25), LO(ARENA + (i << 25), LO_G | LO_V | LO_D),
			LO(ARENA + (i << 25) + (1u << 24), LO_G | LO_V | LO_D));
	WRITE_C0(5, 0, PAGEMASK_4K);
}

static void chases(void)
{
	make_chain(KSEG0(ARENA), PAGE, 64);
	measure("load_kseg0", chase, 8);
	make_chain(MAPPED, PAGE, 64);
	measure("load_hit", chase, 8);
	measure("load_miss", load_miss, 1);
	make_chain(MAPPED, 16 << 10, 64);
	measure("chase_16k", chase, 8);
	make_chain(MAPPED, 1 << 20, 64);
	measure("chase_1m", chase, 8);
	make_chain(MAPPED, 16 << 20, 64);
	measure("chase_16m", chase, 8);
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	const char *line = argc > 1 ? (const char *)(uintptr_t)argv[1] : "";

	if (starts_with(line, "only=", 0))
		only = line + 5;
	calibrate();
	put_handlers();
	put_page_table();
	measure("add", add, 8);
	measure("mfc0", mfc0, 8);
	measure("mtc0", mtc0, 8);
	measure("mtc0_asid", mtc0_asid, 2);
	measure("exception", exception, 1);
	measure("llsc", llsc, 1);
	measure("call", call, 1);
	measure("indirect_1", indirect_1, 1);
	measure("indirect_8", indirect_8, 1);
	measure("fp_add", fp_add, 8);
	measure("fp_mul", fp_mul, 8);
	measure("fp_div", fp_div, 8);
	measure("fp_cvt", fp_cvt, 1);
	measure("tlb_reach", tlb_reach, 1);
	measure("tlb_refill", tlb_refill, 1);
	put_big_pages();
	chases();
	measure("stream_read", stream_read, 1 << 20);
	measure("stream_write", stream_write, 1 << 20);
	measure("stream_copy", stream_copy, 1 << 20);
	measure("device_read", device_read, 1);
	put_text("micro end\n");
}
