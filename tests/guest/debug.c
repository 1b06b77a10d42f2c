/* SPDX-License-Identifier: MIT */
/*
 * For debuggers: something to stop at, to step through and to watch.  With "spin" on its command line it waits for `released`, which a
 * debugger sets.
 */
#include "guest/bare/guest.h"

#define NOINLINE __attribute__((noinline))

volatile uint32_t counter, released, ticks;
volatile double ratio = 1.5;
static volatile uint32_t table[64];
static uint32_t code[4];
static uint8_t packed[32];

NOINLINE void bump(uint32_t by) { counter += by; }

/* Of a delay slot that stores. */
NOINLINE uint32_t leaf(uint32_t x, volatile uint32_t *to)
{
	*to = x;
	return x * 2654435761u >> 3;
}

static uint32_t swap_bits(uint32_t x)
{
	switch (x & 7) {
	case 0:
		return x << 1;
	case 1:
		return x >> 3 | x << 29;
	case 2:
		return ~x;
	case 3:
		return x / 7 + x % 5;
	case 4:
		return (uint32_t)((int32_t)x >> 2);
	case 5:
		return x * 33;
	default:
		return x ^ x >> 16;
	}
}

/* LL and SC, with what a debugger's step must not break between them. */
static uint32_t exchange(volatile uint32_t *p, uint32_t x)
{
	uint32_t old, done;

	do
		__asm__ volatile("ll %0, %2\n\tmove %1, %3\n\tsc %1, %2" : "=&r"(old), "=&r"(done), "+m"(*p) : "r"(x));
	while (!done);
	return old;
}

static uint32_t unaligned(uint32_t i)
{
	uint32_t x;

	__builtin_memcpy(&x, packed + i % 28, sizeof(x));
	x += i;
	__builtin_memcpy(packed + (i * 5) % 28, &x, sizeof(x));
	return x;
}

/* A system call, by way of the handler. */
static void call(uint32_t x)
{
	uint32_t gpr[32] = {0};

	gpr[4] = x;
	code[0] = 0x00042021; /* addu $4, $0, $4 */
	code[1] = 0x0000000c; /* syscall */
	guest_run((uint32_t)(uintptr_t)code, STATUS_KERNEL, gpr);
}

/* Of all kinds; nothing that a clock or a device decides. */
NOINLINE uint32_t work(uint32_t rounds)
{
	uint32_t x = 1, sum = 0;

	for (uint32_t i = 0; i < rounds; i++) {
		x = leaf(x + i, &table[i % 64]);
		sum += swap_bits(x);
		if (i % 3 == 0)
			sum += exchange(&table[(i + 1) % 64], x);
		if (i % 5 == 0)
			sum ^= unaligned(i);
		if (i % 50 == 7)
			call(i);
	}
	return sum;
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	const char *line = argc > 1 ? (const char *)(uintptr_t)argv[1] : "";
	uint32_t sum;

	for (uint32_t i = 1; i <= 3; i++)
		bump(i);
	sum = work(1000);
	ratio = ratio * 2.0;
	put_text("debug:");
	put_field("counter", counter);
	put_field("sum", sum);
	put_char('\n');
	while (line[0] == 's' && !released)
		ticks++;
	if (released) {
		put_text("released\n");
		bump(100);
	}
}
