/* SPDX-License-Identifier: MIT */
#ifndef TESTS_GUEST_MANUAL_H
#define TESTS_GUEST_MANUAL_H

/*
 * The guest `manual`: what MIPS32 volumes II and III say and QEMU does not do.  It judges itself: each line ends in "ok" or
 * "WRONG".  Code under test is in two pages at MANUAL_CODE_VA, mapped by TLB entry MANUAL_TLB_CODE.
 */
#include "guest/bare/guest.h"
#include "tests/guest/words.h"

#define MANUAL_CODE_VA    0x00600000u
#define MANUAL_NONE_VA    0x00900000u /* no TLB entry; so is the page after it */
#define MANUAL_INVALID_VA 0x00a00000u
#define MANUAL_RO_VA      0x00c00000u /* not writable; the page after it: no reading (CPUs with RI) */
#define MANUAL_DATA_VA    0x00e00000u
enum { MANUAL_TLB_CODE = 4, MANUAL_TLB_OTHER = 8 };

enum { EXC_MOD = 1, EXC_TLBL = 2, EXC_TLBS = 3, EXC_RI = 10 };
#define STATUS_FR       0x04000000u
#define STATUS_RE       0x02000000u
#define CAUSE_BD        0x80000000u
#define CAUSE_CE(cause) ((cause) >> 28 & 3)

extern uint32_t manual_code[2 * PAGE / 4]; /* page aligned */
extern uint32_t manual_data[PAGE / 4];     /* likewise; at MANUAL_DATA_VA */

/* Word i of the code, counted from MANUAL_CODE_VA. */
void manual_put(uint32_t i, uint32_t word);

void manual_addresses(void); /* PREF, PREFX, SYNCI, CACHE: manual.c */
void manual_reverse(void);   /* Status.RE: manual_reverse.c */
void manual_modes(void);     /* what changes while code runs: manual_modes.c */

#endif
