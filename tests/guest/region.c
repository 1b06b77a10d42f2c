/* SPDX-License-Identifier: MIT */
/*
 * A region between two machines (docs/monitor-calls.md).  Command line: "N ROUNDS LOCKS", N = 1 or 2.  The two hand a flag to and fro
 * ROUNDS times, each time with a word of data behind it; then each adds to one counter by LL and SC, LOCKS times, at the same time.
 * Machine 1 ends last, with what is in the region.
 */
#include "guest/bare/guest.h"
#include "tests/guest/region.h"

enum { CALL_REGION = 3, CALL_REGION_MAP = 4, CALL_REGION_LEAVE = 5, PAGES = 4 };

static uint8_t window[PAGES][PAGE] PAGE_ALIGNED;
static char name[32];

static int32_t call(uint32_t number, uint32_t a, uint32_t b)
{
	register uint32_t v0 __asm__("$2") = number;
	register uint32_t a0 __asm__("$4") = a;
	register uint32_t a1 __asm__("$5") = b;

	__asm__ volatile(".word 0x42000828" : "+r"(v0) : "r"(a0), "r"(a1) : "memory");
	return (int32_t)v0;
}

/* What stands in front of it is the monitor's. */
static uint32_t number(const char **s)
{
	uint32_t n = 0;

	while (**s && (**s < '0' || **s > '9'))
		(*s)++;
	for (; **s >= '0' && **s <= '9'; (*s)++)
		n = 10 * n + (uint32_t)(**s - '0');
	return n;
}

/* What the monitor refuses, and that it leaves things as they are. */
static void refused(void)
{
	put_check("no such region",
		  call(CALL_REGION, 1, PHYS(name)) == -2 && call(CALL_REGION_MAP, PHYS(window), 1u << 24) == -2, 0);
	put_check("name outside of memory", call(CALL_REGION, 0, 0x1fc00000) == -14, 0);
	put_check("not a page", call(CALL_REGION_MAP, PHYS(window) + 4, 0) == -22, 0);
	put_check("beyond the region",
		  call(CALL_REGION_MAP, PHYS(window), PAGES) == -22 &&
		      call(CALL_REGION_MAP, PHYS(window), 0xffffff) == -22,
		  0);
	put_check("into a device",
		  call(CALL_REGION_MAP, 0x18000000, 0) == -14 && call(CALL_REGION_MAP, 0x1fc00000, 0) == -14, 0);
	put_check("out of a device", call(CALL_REGION_LEAVE, 0x18000000, 1) == -14, 0);
}

static void map(void)
{
	int32_t pages = call(CALL_REGION, 0, PHYS(name));

	put_text(name);
	put_check("", pages == PAGES, (uint32_t)pages);
	for (uint32_t i = 0; i < PAGES; i++) {
		window[i][0] = 0x55;
		put_check("mapped", call(CALL_REGION_MAP, PHYS(window[i]), i) == 0 && window[i][0] != 0x55, i);
	}
	/* A page in two places; and one that is given back is this machine's own again. */
	put_check("twice", call(CALL_REGION_MAP, PHYS(window[3]), 2) == 0, 0);
	window[3][5] = 7;
	put_check("the same", window[2][5] == 7, 0);
	put_check("left", call(CALL_REGION_LEAVE, PHYS(window[3]), 1) == 0 && window[3][5] == 0, 0);
	window[3][6] = 9;
	put_check("its own", window[2][6] != 9, 0);
	put_check("mapped again", call(CALL_REGION_MAP, PHYS(window[3]), 3) == 0 && window[3][6] != 9, 0);
}

/* It is executed at once, so that the page is looked at as code, and not only refused when it is mapped. */
static void no_code(void)
{
	uint32_t gpr[32] = {0};

	guest_run(KSEG0(PHYS(window[1])), STATUS_KERNEL, gpr);
	put_check("no code runs there", TRAP_CODE == 6, trap.cause); /* IBE */
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	const char *line = argc > 1 ? (const char *)(uintptr_t)argv[1] : "";
	uint32_t me = number(&line) - 1, rounds = number(&line), locks = number(&line), bad;
	struct shared *s = (struct shared *)(void *)window[0];

	refused();
	map();
	no_code();
	meet(s, me);
	bad = exchange(s, me, rounds);
	put_check("exchanges", !bad, bad);
	count(s, locks);
	put_check("counter", s->counter == 2 * locks, s->counter);
	put_text("end\n");
}
