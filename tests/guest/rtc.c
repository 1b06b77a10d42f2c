/* SPDX-License-Identifier: MIT */
/*
 * What the battery of the real-time clock keeps.  The first boot sets memory and date and resets the machine; the second finds
 * the marks, looks, and stays (it ends by itself on no machine: whoever runs it ends it).  With "seconds" on the command line:
 * prints the date now and whenever its second changes, without looking at the update bit.
 */
#include "guest/bare/guest.h"

enum { SECOND = 0, MINUTE = 2, HOUR = 4, DAY = 7, MONTH = 8, YEAR = 9, B = 11, SET = 0x80, CENTURY = 0x32 };
enum { MARK = 0x60, LAST = 0x7f, BANK2_MARK = 0x20 };

static volatile uint8_t *port(uint32_t n) { return (volatile uint8_t *)KSEG1(0x18000000u + n); }

static uint32_t rtc_get(uint32_t reg)
{
	*port(0x70) = (uint8_t)reg;
	return *port(0x71);
}

static void rtc_put(uint32_t reg, uint32_t v)
{
	*port(0x70) = (uint8_t)reg;
	*port(0x71) = (uint8_t)v;
}

static bool marked(void)
{
	bool all = true;

	for (uint32_t i = MARK; i <= LAST; i++)
		all &= rtc_get(i) == (i ^ 0xa5);
	*port(0x72) = BANK2_MARK;
	return all && *port(0x73) == 0x3c;
}

static void mark(void)
{
	for (uint32_t i = MARK; i <= LAST; i++)
		rtc_put(i, i ^ 0xa5);
	*port(0x72) = BANK2_MARK;
	*port(0x73) = 0x3c;
	rtc_put(B, rtc_get(B) | SET);
	rtc_put(YEAR, 0x33);
	rtc_put(MONTH, 0x07);
	rtc_put(DAY, 0x14);
	rtc_put(HOUR, 0x11);
	rtc_put(MINUTE, 0x30);
	rtc_put(B, rtc_get(B) & ~SET);
}

static void show_seconds(void)
{
	static const uint32_t reg[] = {CENTURY, YEAR, MONTH, DAY, HOUR, MINUTE, SECOND};
	for (;;) {
		uint32_t last = rtc_get(SECOND);

		for (uint32_t i = 0; i < ARRAY_LEN(reg); i++) {
			uint32_t bcd = rtc_get(reg[i]);

			put_char((char)('0' + (bcd >> 4)));
			put_char((char)('0' + (bcd & 15)));
		}
		put_text("\n");
		while (rtc_get(SECOND) == last)
			;
	}
}

void guest_main(uint32_t argc, const uint32_t *argv)
{
	if (argc > 1 && *(const char *)(uintptr_t)argv[1] == 's')
		show_seconds();
	if (!marked()) {
		mark();
		put_text("set\n");
		return; /* by a reset */
	}
	put_check("memory", true, 0);
	put_check("year", rtc_get(YEAR) == 0x33, rtc_get(YEAR));
	put_check("month", rtc_get(MONTH) == 0x07, rtc_get(MONTH));
	put_check("day", rtc_get(DAY) == 0x14, rtc_get(DAY));
	put_check("hour", rtc_get(HOUR) == 0x11, rtc_get(HOUR));
	put_check("minute", rtc_get(MINUTE) == 0x30 || rtc_get(MINUTE) == 0x31, rtc_get(MINUTE));
	put_text("end\n");
	for (;;)
		;
}
