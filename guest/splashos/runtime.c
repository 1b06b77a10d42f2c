/* SPDX-License-Identifier: MIT */
#include "guest/splashos/splashos.h"

#include <stdarg.h>

#define UART_DATA    (*(volatile uint8_t *)0xb80003f8)
#define UART_LSR     (*(volatile uint8_t *)0xb80003fd)
#define LSR_THRE     0x20
#define PIC_MASK(n)  (*(volatile uint8_t *)(0xb8000021 + 0x80 * (n)))
#define PHYSICAL(p)  ((uint32_t)(uintptr_t)(p)&0x1fffffff)
#define KSEG0(pa)    ((void *)(uintptr_t)((uint32_t)(pa) | 0x80000000u))
#define LOW_MEMORY   (256u << 20)
#define STACK_BYTES  65536
#define LINE_BYTES   128u
#define COUNT_PER_US 100
#define SPINS        200

enum { CALL_VCPUS = 6, CALL_START = 7, CALL_STOP = 8, CALL_RING = 9, CALL_EXIT = 10, RI = 10 };
int sp_call(uint32_t number, uint32_t a0, uint32_t a1);
void sp_begin(void);
void sp_boot(int argc, char **argv, char **env, uint32_t memory) __attribute__((noreturn));
void sp_thread(uint32_t n) __attribute__((noreturn));
void sp_trap(uint32_t cause, uint32_t epc, uint32_t address) __attribute__((noreturn));
extern const uint32_t sp_vector[4];
extern uint8_t _end[];

static struct sp_lock console;
static unsigned vcpus;
static uint32_t heap, heap_end; /* physical */
static const void *file;
static size_t file_bytes;

/* The compiler calls these. */
void *memset(void *to, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n)
{
	volatile uint8_t *p = to;

	while (n--)
		*p++ = (uint8_t)c;
	return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
	volatile uint8_t *p = to;
	const uint8_t *q = from;

	while (n--)
		*p++ = *q++;
	return to;
}

/* ---- words ---- */

uint32_t sp_add(volatile uint32_t *word, uint32_t by)
{
	uint32_t old, new;

	__asm__ volatile("sync\n"
			 "1:	ll %0, %2\n"
			 "	addu %1, %0, %3\n"
			 "	sc %1, %2\n"
			 "	beqz %1, 1b\n"
			 "	sync"
			 : "=&r"(old), "=&r"(new), "+m"(*word)
			 : "r"(by)
			 : "memory");
	return old;
}

uint32_t sp_swap(volatile uint32_t *word, uint32_t to)
{
	uint32_t old, new;

	__asm__ volatile("sync\n"
			 "1:	ll %0, %2\n"
			 "	move %1, %3\n"
			 "	sc %1, %2\n"
			 "	beqz %1, 1b\n"
			 "	sync"
			 : "=&r"(old), "=&r"(new), "+m"(*word)
			 : "r"(to)
			 : "memory");
	return old;
}

bool sp_compare_swap(volatile uint32_t *word, uint32_t old, uint32_t to)
{
	uint32_t seen, new;

	__asm__ volatile("sync\n"
			 "1:	ll %0, %2\n"
			 "	bne %0, %3, 2f\n"
			 "	move %1, %4\n"
			 "	sc %1, %2\n"
			 "	beqz %1, 1b\n"
			 "2:	sync"
			 : "=&r"(seen), "=&r"(new), "+m"(*word)
			 : "r"(old), "r"(to)
			 : "memory");
	return seen == old;
}

/* ---- doorbells ---- */

static void no_doorbell(void) { __asm__ volatile("mtc0 $0, $13\n\tehb\n\tsync" ::: "memory"); }
static void wait_for_doorbell(void) { __asm__ volatile("wait" ::: "memory"); }

static void ring(unsigned thread)
{
	sp_sync();
	(void)sp_call(CALL_RING, thread, 0);
}

/* Until *word is not `old` any more; whoever changes it rings. */
static void wait_while(volatile uint32_t *word, uint32_t old)
{
	for (unsigned i = 0; i < SPINS; i++)
		if (*word != old)
			return;
	for (;;) {
		no_doorbell();
		if (*word != old)
			return;
		wait_for_doorbell();
	}
}

/* ---- locks and barriers ---- */

static void set_bit(volatile uint32_t *words, unsigned n, bool on)
{
	volatile uint32_t *w = &words[n / 32];
	uint32_t bit = 1u << n % 32, old;

	do
		old = *w;
	while (!sp_compare_swap(w, old, on ? old | bit : old & ~bit));
}

static void ring_one(struct sp_lock *l)
{
	for (unsigned i = 0; i < SP_MAX_THREADS / 32; i++) {
		uint32_t w = *(volatile uint32_t *)&l->waiting[i];

		if (!w)
			continue;
		ring(i * 32 + (unsigned)__builtin_ctz(w));
		return;
	}
}

void sp_lock(struct sp_lock *l)
{
	unsigned self = sp_self();

	for (unsigned i = 0; i < SPINS; i++)
		if (*(volatile uint32_t *)&l->state == 0 && sp_compare_swap(&l->state, 0, 1))
			return;
	set_bit(l->waiting, self, true);
	for (;;) {
		no_doorbell();
		if (sp_swap(&l->state, 2) == 0)
			break;
		wait_for_doorbell();
	}
	set_bit(l->waiting, self, false);
}

/* State 2 stays with the one that gets it next, so that it rings for the others in its turn. */
void sp_unlock(struct sp_lock *l)
{
	if (sp_swap(&l->state, 0) == 2)
		ring_one(l);
}

void sp_barrier(struct sp_barrier *b, unsigned n)
{
	uint32_t generation = *(volatile uint32_t *)&b->generation;

	if (sp_add(&b->here, 1) + 1 < n) {
		wait_while(&b->generation, generation);
		sp_sync();
		return;
	}
	b->here = 0;
	sp_sync();
	*(volatile uint32_t *)&b->generation = generation + 1;
	for (unsigned i = 0; i < n; i++)
		if (i != sp_self())
			ring(i);
}

/* ---- threads ---- */

static struct {
	uint32_t stack; /* top, 0: it has none yet */
	volatile uint32_t busy;
} thread[SP_MAX_THREADS];
static void (*volatile work)(unsigned i);
static volatile uint32_t left;

unsigned sp_vcpus(void) { return vcpus; }

unsigned sp_self(void)
{
	uint32_t ebase;

	__asm__ volatile("mfc0 %0, $15, 1" : "=r"(ebase));
	return ebase & 1023;
}

static void begin(unsigned i)
{
	uint32_t block[3];

	if (!thread[i].stack)
		thread[i].stack = (uint32_t)(uintptr_t)sp_alloc(STACK_BYTES) + STACK_BYTES - 64;
	block[0] = (uint32_t)(uintptr_t)sp_begin;
	block[1] = thread[i].stack;
	block[2] = i;
	__asm__ volatile("" ::"r"(block) : "memory");
	/* it may not have come to its STOP yet */
	while (sp_call(CALL_START, i, PHYSICAL(block)) != 0)
		;
}

void sp_thread(uint32_t n)
{
	work(n);
	if (sp_add(&left, -1u) == 1)
		ring(0);
	for (;;)
		(void)sp_call(CALL_STOP, 0, 0);
}

void sp_run(unsigned n, void (*fn)(unsigned i))
{
	if (n > vcpus)
		sp_fail("more threads than vCPUs (disco run --vcpus)");
	work = fn;
	left = n - 1;
	sp_sync();
	for (unsigned i = 1; i < n; i++)
		begin(i);
	fn(0);
	for (uint32_t seen; (seen = left) != 0;)
		wait_while(&left, seen);
	sp_sync();
}

/* ---- memory, file ---- */

void *sp_alloc(size_t bytes)
{
	uint32_t size = ((uint32_t)bytes + LINE_BYTES - 1) & ~(LINE_BYTES - 1), at = sp_add(&heap, size);

	if (size < bytes || at + size < at || at + size > heap_end)
		sp_fail("out of memory (disco run --mem)");
	return KSEG0(at);
}

const void *sp_file(size_t *bytes)
{
	*bytes = file_bytes;
	return file;
}

/* ---- console, time, end ---- */

static void put(char c)
{
	while (!(UART_LSR & LSR_THRE))
		;
	UART_DATA = (uint8_t)c;
}

static void put_number(uint32_t v, unsigned base, unsigned least)
{
	char digits[32];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v || n < least);
	while (n)
		put(digits[--n]);
}

static void put_signed(int32_t v)
{
	if (v < 0)
		put('-');
	put_number(v < 0 ? -(uint32_t)v : (uint32_t)v, 10, 1);
}

static void print(const char *fmt, va_list ap)
{
	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			put(*fmt);
			continue;
		}
		switch (*++fmt) {
		case 's':
			for (const char *s = va_arg(ap, const char *); *s; s++)
				put(*s);
			break;
		case 'u':
			put_number(va_arg(ap, uint32_t), 10, 1);
			break;
		case 'd':
			put_signed(va_arg(ap, int32_t));
			break;
		case 'x':
			put_number(va_arg(ap, uint32_t), 16, 1);
			break;
		case 'c':
			put((char)va_arg(ap, int));
			break;
		default:
			put('%');
		}
	}
}

void sp_print(const char *fmt, ...)
{
	va_list ap;

	sp_lock(&console);
	va_start(ap, fmt);
	print(fmt, ap);
	va_end(ap);
	sp_unlock(&console);
}

void sp_print_fixed(double x, unsigned digits)
{
	uint32_t whole, scale = 1;

	for (unsigned i = 0; i < digits; i++)
		scale *= 10;
	if (x < 0)
		put('-');
	x = (x < 0 ? -x : x) + 0.5 / scale;
	whole = (uint32_t)x;
	put_number(whole, 10, 1);
	put('.');
	put_number((uint32_t)((x - whole) * scale), 10, digits);
}

uint32_t sp_microseconds(void)
{
	uint32_t count;

	__asm__ volatile("mfc0 %0, $9" : "=r"(count));
	return count / COUNT_PER_US;
}

void sp_exit(int status)
{
	for (;;)
		(void)sp_call(CALL_EXIT, (uint32_t)status, 0);
}

void sp_fail(const char *what)
{
	sp_print("splashos: %s\n", what);
	sp_exit(1);
}

/* An exception: there are none but by a mistake. On a machine without monitor calls this is where VCPUS comes to. */
void sp_trap(uint32_t cause, uint32_t epc, uint32_t address)
{
	console.state = 0;
	sp_print("splashos: exception %u at %x, address %x\n", cause >> 2 & 31, epc, address);
	if ((cause >> 2 & 31) != RI)
		sp_exit(1);
	for (;;)
		;
}

double sp_sqrt(double x)
{
	double r;

	__asm__("sqrt.d %0, %1" : "=f"(r) : "f"(x));
	return r;
}

/* ---- arguments ---- */

static bool begins(const char *s, const char *with, const char **rest)
{
	while (*with && *s == *with) {
		s++;
		with++;
	}
	*rest = s;
	return !*with;
}

static uint32_t number(const char **at)
{
	const char *s = *at;
	bool hex = s[0] == '0' && s[1] == 'x';
	uint32_t v = 0;

	for (s += hex ? 2 : 0;; s++) {
		uint32_t digit = *s >= '0' && *s <= '9'          ? (uint32_t)(*s - '0')
				 : hex && *s >= 'a' && *s <= 'f' ? (uint32_t)(*s - 'a' + 10)
								 : 16;
		if (digit >= (hex ? 16u : 10u))
			break;
		v = v * (hex ? 16 : 10) + digit;
	}
	*at = s;
	return v;
}

const char *sp_text_argument(int argc, char **argv, const char *name)
{
	const char *value = NULL, *rest;

	for (int i = 1; i < argc; i++)
		if (begins(argv[i], name, &rest) && *rest == '=')
			value = rest + 1;
	return value;
}

unsigned sp_argument(int argc, char **argv, const char *name, unsigned by_default)
{
	const char *value = sp_text_argument(argc, argv, name);

	if (value)
		by_default = number(&value);
	if (value && *value)
		sp_fail("an argument is NAME=NUMBER");
	return by_default;
}

/* The boot loader has the command line as one string, with rd_start= and rd_size= in it if there is an initrd. */
static int split(char *line, char **argv, int most)
{
	int n = 1;

	while (*line) {
		const char *rest;

		while (*line == ' ')
			*line++ = 0;
		if (!*line)
			break;
		if (begins(line, "rd_start=", &rest)) {
			file = (const void *)(uintptr_t)number(&rest);
		} else if (begins(line, "rd_size=", &rest)) {
			file_bytes = number(&rest);
		} else if (n < most) {
			argv[n++] = line;
		}
		while (*line && *line != ' ')
			line++;
	}
	return n;
}

void sp_boot(int argc, char **argv, char **env, uint32_t memory)
{
	static char *arg[32];
	static const uint32_t vector[] = {0x80000000, 0x80000180, 0x80000200};
	int n = 1;

	(void)env;
	PIC_MASK(0) = PIC_MASK(1) = 0xff;
	for (unsigned i = 0; i < 3; i++)
		for (unsigned w = 0; w < 4; w++)
			((volatile uint32_t *)(uintptr_t)vector[i])[w] = sp_vector[w];
	no_doorbell();
	arg[0] = argc > 0 ? argv[0] : "";
	if (argc > 1)
		n = split(argv[1], arg, 32);
	if (memory > LOW_MEMORY)
		memory = LOW_MEMORY;
	heap = PHYSICAL(_end);
	heap_end = file ? PHYSICAL(file) : memory;
	vcpus = (unsigned)sp_call(CALL_VCPUS, 0, 0);
	if (vcpus - 1 >= SP_MAX_THREADS)
		sp_fail("no vCPUs: this is no Disco that has them");
	sp_exit(sp_main(n, arg));
}
