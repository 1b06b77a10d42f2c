/* SPDX-License-Identifier: MIT */
/*
 * Guests that do not end.  How says the one word of the command line that is one letter (others are the monitor's, as "nokaslr"):
 *   s  spins, interrupts off          w  WAIT with nothing that could wake it
 *   p  prints for ever                r  resets the machine, again and again
 *   d  writes nonsense to all devices but the console's, and spins
 *   q  prints nothing
 *   c  changes its own code and runs it, again and again
 *   f  runs more code than a small --jit-mem has room for, and resets the machine; prints nothing
 */
#include "guest/bare/guest.h"

static void spin(void)
{
	for (;;)
		__asm__ volatile("");
}

static void wait_for_ever(void)
{
	for (;;)
		__asm__ volatile("wait");
}

static void print_for_ever(void)
{
	for (;;)
		put_text("the quick brown fox jumps over the lazy dog\n");
}

static void wreck_devices(void)
{
	static const struct {
		uint32_t base, bytes;
	} range[] = {{0x1be00000, 0x1000}, {0x18000000, 0x3f8}, {0x18000400, 0xc00}, {0x10000000, 0x10000}};
	uint32_t seed = 1;

	for (uint32_t n = 0; n < 20000; n++) {
		uint32_t which = random_next(&seed) % ARRAY_LEN(range);
		uint32_t at = range[which].base + random_next(&seed) % range[which].bytes;

		/* not 0x92, 0xcf9 and the keyboard's 0x64, which reset, nor SUS_EN */
		if (which == 1 || which == 2)
			at &= ~0x7u;
		*(volatile uint8_t *)KSEG1(at) = (uint8_t)random_next(&seed);
	}
	spin();
}

static void change_code(void)
{
	/* addiu v0, zero, N; jr ra; nop */
	volatile uint32_t *code = (volatile uint32_t *)KSEG0(0x00200000);

	code[1] = 0x03e00008;
	code[2] = 0;
	for (uint32_t n = 0;; n++) {
		code[0] = 0x24020000 | (n & 0x7fff);
		((void (*)(void))(uintptr_t)code)();
	}
}

/* Blocks of three words, each of which jumps to the next. */
static void fill_code_memory(void)
{
	enum { BLOCKS = 1 << 16, ROUNDS = 3 };
	volatile uint32_t *code = (volatile uint32_t *)KSEG0(0x00200000);

	for (uint32_t i = 0; i < BLOCKS; i++, code += 3) {
		code[0] = 0x24420001; /* addiu v0, v0, 1 */
		code[1] = 0x10000001; /* b .+8 */
		code[2] = 0;
	}
	code[0] = 0x03e00008; /* jr ra */
	code[1] = 0;
	for (uint32_t n = 0; n < ROUNDS; n++)
		((void (*)(void))(uintptr_t)KSEG0(0x00200000))();
}

/* 0: there is none. */
static char one_letter_word(const char *line)
{
	char before = ' ';

	for (; *line; before = *line++)
		if (before == ' ' && *line != ' ' && (!line[1] || line[1] == ' '))
			return *line;
	return 0;
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	char how = argc > 1 ? one_letter_word((const char *)(uintptr_t)argv[1]) : 's';

	WRITE_C0(12, 0, STATUS_KERNEL); /* IE off, nothing unmasked */
	if (how != 'q' && how != 'f')
		put_text("ready\n");
	switch (how) {
	case 'w':
		wait_for_ever();
		break;
	case 'p':
		print_for_ever();
		break;
	case 'r':
		return;
	case 'd':
		wreck_devices();
		break;
	case 'c':
		change_code();
		break;
	case 'f':
		fill_code_memory();
		break;
	default:
		spin();
	}
}
