/* SPDX-License-Identifier: MIT */
#ifndef TESTS_GUEST_RANDOM_WORDS_H
#define TESTS_GUEST_RANDOM_WORDS_H

#include <stdint.h>

/*
 * An instruction word of two random numbers.  Half of the time any word, otherwise one of an opcode that exists, mostly with short
 * branches and near addresses.
 */
static inline uint32_t random_insn(uint32_t word, uint32_t choice)
{
	static const uint8_t opcodes[] = {0,  0,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13,
					  14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 28, 31, 32, 33, 34, 35,
					  36, 37, 38, 40, 41, 42, 43, 46, 47, 48, 49, 51, 53, 56, 57, 61};

	if (choice & 1)
		return word;
	word = (word & 0x03ffffffu) | (uint32_t)opcodes[(choice >> 8 & 0xffff) % (sizeof(opcodes) / sizeof(opcodes[0]))]
					  << 26;
	return choice & 6 ? word & 0xffff00ffu : word;
}

#endif
