/* SPDX-License-Identifier: MIT */
/*
 * Listens to its console while a timer interrupts it and it computes: what it prints depends on the instruction at which each byte came. 'w': it
 * sleeps between looks from now on, or no longer; 'r': it resets the machine; 'q': the end.
 */
#include "guest/bare/guest.h"

#define UART_DATA (*(volatile uint8_t *)0xb80003f8)
#define UART_LSR  (*(volatile uint8_t *)0xb80003fd)
#define LSR_READY 0x01
#define COUNT     READ_C0(9, 0)
#define TICKS     10000u /* of Count: 0.1 ms */
#define IM7       0x8000u

volatile uint32_t ticks, turns, hash = HASH_START;
static volatile uint32_t table[64];
static bool sleeps;

static void tick(volatile struct trap *t)
{
	ticks++;
	hash = hash_word(hash, t->epc);
	WRITE_C0(11, 0, COUNT + TICKS);
}

static void turn(void)
{
	uint32_t x = turns++;

	for (unsigned i = 0; i < 16; i++)
		table[(x + i) % 64] = table[(x + 3 * i) % 64] * 1664525u + hash + x;
	if (sleeps)
		__asm__ volatile("wait");
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	char c = 0;

	trap_resume = tick;
	WRITE_C0(11, 0, COUNT + TICKS);
	WRITE_C0(12, 0, STATUS_KERNEL | IM7 | STATUS_IE);
	put_text("listening\n");
	while (c != 'q' && c != 'r') {
		turn();
		if (!(UART_LSR & LSR_READY))
			continue;
		c = (char)UART_DATA;
		hash = hash_word(hash, (uint32_t)c ^ COUNT);
		put_field("at", COUNT);
		put_field("turns", turns);
		put_char('\n');
		sleeps ^= c == 'w';
	}
	WRITE_C0(12, 0, STATUS_KERNEL);
	put_text("heard:");
	put_field("ticks", ticks);
	put_field("hash", hash);
	put_field("table", table[0]);
	put_char('\n');
}
