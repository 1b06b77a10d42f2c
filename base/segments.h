/* SPDX-License-Identifier: MIT */
#ifndef BASE_SEGMENTS_H
#define BASE_SEGMENTS_H

/*
 * The segments of a 32-bit MIPS address space (MIPS32 PRA volume III, "Virtual memory map").  Where user code may be
 * (useg, mapped), and above it:
 *
 *	80000000  KSEG0  unmapped, cached: physical 00000000 to 1fffffff
 *	a0000000  KSEG1  unmapped, uncached: the same
 *	c0000000  KSEG2  mapped; sseg, which supervisor mode may use too
 *	e0000000  KSEG3  mapped
 */
#include <stdbool.h>
#include <stdint.h>

#define KSEG0 0x80000000u
#define KSEG1 0xa0000000u
#define KSEG2 0xc0000000u
#define KSEG3 0xe0000000u

/* Physical address behind an address of KSEG0 or KSEG1. */
#define UNMAPPED_MASK 0x1fffffffu

/* va: zero-extended gva. */
static inline bool segment_is_user(uint64_t va) { return va < KSEG0; }
static inline bool segment_is_unmapped(uint64_t va) { return va >= KSEG0 && va < KSEG2; }

#endif
