/* SPDX-License-Identifier: MIT */
#ifndef TESTS_GUEST_EXC_CASES_H
#define TESTS_GUEST_EXC_CASES_H

#include "guest/bare/guest.h"

/*
 * Virtual addresses of the exception guests.  One TLB entry maps CODE_VA's two pages to physical pages that are not
 * neighbours.  Registers when a case starts:
 *   a0 = RW_VA    valid, dirty                 a1 = RO_VA    valid, not dirty
 *   a2 = NONE_VA  no TLB entry                 a3 = INVALID_VA  TLB entry, V = 0
 *   t8 = what the case's `t8` says             t9 = where a JR in front of the instruction goes
 *   s0 = 0x7fffffff  s1 = s6 = 1  s2 = 0x80000000  s3 = 0xffffffff  s4 = a KSEG0 address  s5 = BUS_VA, nothing answers there
 *   t0-t7, v0, v1: the register's number times 0x01010101
 *   f0 = 1.0f  f2 = 0.0f  f4 = greatest finite  f6 = smallest normal  f8 = signaling NaN  f10 = -1.0f  f12 (pair) = 1.0
 *   f14 (pair) = 0.0  f16 = quiet NaN  f20, f21 = 0x12345678
 */
#define CODE_VA    0x00400000u
#define RW_VA      0x00600000u
#define RO_VA      0x00601000u
#define INVALID_VA 0x00602000u
#define BUS_VA     0x00604000u
#define NONE_VA    0x00800000u
#define BUS_PA     0x40000000u

struct exc_case {
	const char *name;
	uint32_t word;
	uint32_t pre;    /* executed before it, and before the branch in front; 0 is NOP */
	uint32_t status; /* bits added to Status */
	uint32_t fcsr;
	uint32_t t8;
	bool no_cu1; /* Status.CU1 = 0 */
};

extern const struct exc_case exc_cases[];
extern const unsigned exc_num_cases;

#endif
