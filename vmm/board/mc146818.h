/* SPDX-License-Identifier: MIT */
#ifndef VMM_BOARD_MC146818_H
#define VMM_BOARD_MC146818_H

/*
 * The real-time clock and its battery-backed RAM in the PIIX4: an MC146818A run from 32.768 kHz, with 256 bytes of RAM in
 * two banks and the century in byte 0x32.  IRQ 8.  It shows the date outside (clock_ops.date_ns), to the nanosecond, plus
 * what the guest has set it ahead.
 * Source: Motorola MC146818A data sheet; 82371AB (PIIX4) data sheet, section 8.6.
 *
 * A guest that polls register A for its update bit (Linux does so for a second of each Malta boot, to measure its clock)
 * is taken forward in virtual time to the next change of the bit: see MC146818_POLLS.  That does not move the date: only
 * as long as the guest polls, it sees a clock that is ahead.  It ends when another register is used, or none for a second of
 * virtual time.  A guest that polls and then reads more than the seconds has waited for the change to know the time: that it
 * reads ahead (by less than a second, mostly), once; from then on it waits as on a Malta.
 */
#include "vmm/board/device.h"

enum {
	MC146818_POLLS = 32,               /* reads of register A without a change that make a poll */
	MC146818_POLL_GAP_NS = 1000000,    /* and no more virtual time than this between two of them */
	MC146818_POLL_END_NS = 1000000000, /* this long without a look at UIP: the poll is over */
	MC146818_UPDATE_NS = 2228000,      /* UIP is up for 244 us before, and 1984 us of, the update */
	MC146818_RAM = 256,
};

struct mc146818_time {
	int year;  /* 0..9999 */
	int month; /* 1..12 */
	int day;   /* 1..31 */
	int hour, minute, second;
	int weekday; /* 1 = Sunday */
};

/* Proleptic Gregorian calendar; fields may be out of range by any int8 amount and are carried. */
int64_t mc146818_seconds(const struct mc146818_time *t);
void mc146818_civil(int64_t seconds, struct mc146818_time *t);

struct mc146818_state {
	uint8_t index, index2;
	uint8_t a, b, c;
	uint8_t ram[MC146818_RAM]; /* bytes 0..13 and 0x32 are used while the clock is held; alarms always */

	/* The clock shows base_s + (date_ns + phase_ns) / 1e9. */
	int64_t base_s;
	uint64_t phase_ns;
	uint8_t weekday_offset; /* the guest may count weekdays from another day */
	bool held;              /* SET, or divider in reset: time registers are in ram[] */

	/* How far the flags in C have been brought. */
	int64_t seen_s;
	uint64_t seen_tick; /* of 32.768 kHz */

	unsigned polls;
	bool poll_uip;
	bool polls_for_date; /* the guest waits for UIP to read the time: do not skip */
	uint64_t poll_ns;    /* virtual */
	uint64_t ahead_ns;   /* that this poll has skipped: UIP is of so much later */
};

/* What the battery keeps while there is no machine: the memory, and how far the time is from the date outside. */
struct mc146818_battery {
	bool charged; /* false: as bought, showing the date outside */
	struct mc146818_state s;
};

struct mc146818 {
	struct mc146818_state s;
	struct clock_ops clock;
	struct irq_line irq;
};

/* battery: of the machine before, or NULL. */
void mc146818_init(struct mc146818 *r, const struct clock_ops *clock, const struct irq_line *irq,
		   const struct mc146818_battery *battery);
/* For the next machine. */
void mc146818_save(const struct mc146818 *r, struct mc146818_battery *battery);
/* The reset pin: interrupts off; time and RAM live on the battery. */
void mc146818_reset(struct mc146818 *r);
/* Cancels the alarm. */
void mc146818_stop(struct mc146818 *r);

extern const struct io_ops mc146818_ops; /* 4 ports, 0x70: index, data, index and data of the second bank */

#endif
