/* SPDX-License-Identifier: MIT */
#include "vmm/board/mc146818.h"

enum { SECONDS_PER_DAY = 86400, DAYS_PER_400_YEARS = 146097, EPOCH_WEEKDAY = 4 /* Thursday, from Sunday = 0 */ };

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

/* Days from 1970-01-01 to the first of March of the year; March first makes the leap day the last of its year. */
static int64_t days_to_march(int64_t year)
{
	int64_t leaps = floor_div(year, 4) - floor_div(year, 100) + floor_div(year, 400);

	return year * 365 + leaps - 719468;
}

int64_t mc146818_seconds(const struct mc146818_time *t)
{
	/* Months from March of year 0, so that a month out of range carries into the year. */
	int64_t months = (int64_t)t->year * 12 + t->month - 3;
	int64_t year = floor_div(months, 12);
	int64_t month = months - year * 12;
	/* Lengths from March: 31 30 31 30 31, twice, then 31 and February: (153 m + 2) / 5 sums them. */
	int64_t days = days_to_march(year) + (153 * month + 2) / 5 + t->day - 1;

	return ((days * 24 + t->hour) * 60 + t->minute) * 60 + t->second;
}

void mc146818_civil(int64_t seconds, struct mc146818_time *t)
{
	int64_t days = floor_div(seconds, SECONDS_PER_DAY);
	int64_t second = seconds - days * SECONDS_PER_DAY;
	int64_t year = floor_div((days + 719468) * 400, DAYS_PER_400_YEARS);
	int64_t rest, month;

	/* The estimate is off by at most one year. */
	if (days_to_march(year) > days)
		year--;
	else if (days_to_march(year + 1) <= days)
		year++;
	rest = days - days_to_march(year);
	month = (5 * rest + 2) / 153;
	t->day = (int)(rest - (153 * month + 2) / 5 + 1);
	t->month = (int)(month < 10 ? month + 3 : month - 9);
	t->year = (int)(year + (month >= 10));
	t->hour = (int)(second / 3600);
	t->minute = (int)(second / 60 % 60);
	t->second = (int)(second % 60);
	t->weekday = (int)((days + EPOCH_WEEKDAY) - floor_div(days + EPOCH_WEEKDAY, 7) * 7) + 1;
}
