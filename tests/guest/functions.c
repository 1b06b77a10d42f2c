/* SPDX-License-Identifier: MIT */
/* For profiles: of its time hot() takes four parts, cool() one, for good. */
#include "guest/bare/guest.h"

#define NOINLINE __attribute__((noinline))

static volatile uint32_t sink;

NOINLINE void cool(uint32_t rounds)
{
	for (uint32_t i = 0; i < rounds; i++)
		sink = sink * 5 + i;
}

NOINLINE void hot(uint32_t rounds)
{
	for (uint32_t i = 0; i < rounds; i++)
		sink = sink * 5 + i;
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	put_text("ready\n");
	for (;;) {
		hot(400000);
		cool(100000);
	}
}
