/* SPDX-License-Identifier: MIT */
#include "guest/bare/guest.h"

#define UART_DATA    (*(volatile uint8_t *)0xb80003f8)
#define UART_LSR     (*(volatile uint8_t *)0xb80003fd)
#define LSR_THRE     0x20
#define PIC_MASK(n)  (*(volatile uint8_t *)(0xb8000021 + 0x80 * (n)))
#define SOFTRES      (*(volatile uint32_t *)0xbf000500)
#define SOFTRES_CODE 0x42

extern const uint32_t vector_stub[4];

/* The compiler calls these for loops and assignments that it recognises. */
void *memset(void *to, int c, unsigned long n);
void *memcpy(void *to, const void *from, unsigned long n);

void *memset(void *to, int c, unsigned long n)
{
	volatile uint8_t *p = to;

	while (n--)
		*p++ = (uint8_t)c;
	return to;
}

void *memcpy(void *to, const void *from, unsigned long n)
{
	volatile uint8_t *p = to;
	const uint8_t *q = from;

	while (n--)
		*p++ = *q++;
	return to;
}

void put_char(char c)
{
	while (!(UART_LSR & LSR_THRE))
		;
	UART_DATA = (uint8_t)c;
}

void put_text(const char *s)
{
	while (*s)
		put_char(*s++);
}

void put_hex(uint32_t v)
{
	for (int shift = 28; shift >= 0; shift -= 4)
		put_char("0123456789abcdef"[v >> shift & 15]);
}

void put_dec(uint32_t v)
{
	char digits[10];
	unsigned n = 0;

	do {
		digits[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	while (n)
		put_char(digits[--n]);
}

void put_field(const char *name, uint32_t v)
{
	put_char(' ');
	put_text(name);
	put_char('=');
	put_hex(v);
}

void put_check(const char *name, bool ok, uint32_t seen)
{
	put_text(name);
	put_text(ok ? ": ok" : ": WRONG");
	if (!ok)
		put_field("seen", seen);
	put_char('\n');
}

uint32_t hash_word(uint32_t h, uint32_t w)
{
	for (unsigned i = 0; i < 4; i++, w >>= 8)
		h = (h ^ (w & 255)) * 0x01000193u;
	return h;
}

uint32_t random_next(uint32_t *state)
{
	uint32_t x = *state;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	*state = x;
	return x;
}

static void put_stub(uint32_t base, uint32_t offset)
{
	volatile uint32_t *p = (volatile uint32_t *)(uintptr_t)(base + offset);

	for (unsigned i = 0; i < 4; i++)
		p[i] = vector_stub[i];
	p[3] |= (offset & 0xffff) + (base >> 4 & 0xf000); /* where it was: base/64K in the top digit */
}

void guest_put_vectors(uint32_t base, uint32_t spacing)
{
	put_stub(base, 0);
	put_stub(base, 0x180);
	for (uint32_t i = 0; i < (spacing ? 8 : 1); i++)
		put_stub(base, 0x200 + i * spacing);
}

void tlb_put(uint32_t index, uint32_t mask, uint32_t hi, uint32_t lo0, uint32_t lo1)
{
	WRITE_C0(0, 0, index);
	WRITE_C0(5, 0, mask);
	WRITE_C0(2, 0, lo0);
	WRITE_C0(3, 0, lo1);
	WRITE_C0(10, 0, hi);
	__asm__ volatile("tlbwi\n\tehb" ::: "memory");
}

uint32_t tlb_entries(void) { return (READ_C0(16, 1) >> 25 & 63) + 1; }

void tlb_clear(void)
{
	for (uint32_t i = 0; i < tlb_entries(); i++)
		tlb_put(i, PAGEMASK_4K, TLB_NOWHERE(i), 0, 0);
}

void guest_setup(void);
void guest_setup(void)
{
	PIC_MASK(0) = PIC_MASK(1) = 0xff; /* the i8254 runs as the reset left it */
	__asm__ volatile("ctc1 $0, $31");
	WRITE_C0(13, 0, 0);
	WRITE_C0(11, 0, READ_C0(9, 0) + 0x7fffffffu);
	WRITE_C0(6, 0, 0);
	WRITE_C0(4, 0, 0);
	WRITE_C0(7, 0, 0);
	guest_put_vectors(0x80000000u, 0);
	tlb_clear();
	WRITE_C0(10, 0, 0);
}

/* SOFTRES: with --no-reboot (-no-reboot) the machine ends. */
void guest_end(void)
{
	SOFTRES = SOFTRES_CODE;
	for (;;)
		;
}
