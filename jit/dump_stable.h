/* SPDX-License-Identifier: MIT */
#ifndef JIT_DUMP_STABLE_H
#define JIT_DUMP_STABLE_H

/*
 * Host addresses as labels (struct jit_dump.stable): they vary from run to run, what they stand for does not.  A label is
 * where the address is in the translation, or what fixed code or data of the JIT it is; of others, only which ones are the
 * same (@0, @1, ... by first appearance in the translation).
 */
#include "jit/jit_internal.h"

#define STABLE_TEXT_BYTES 256

struct stable_names {
	const struct jit *j;
	const struct translation *t;
	unsigned n;
	uint64_t other[32]; /* labelled by number; more share the last one */
};

/*
 * Of an x86 instruction of `bytes` bytes at `address`: its operands as Capstone prints them, addresses replaced.  jumps: the
 * operand is where it goes.
 */
void stable_operands(struct stable_names *s, const char *operands, uint64_t address, unsigned bytes, bool jumps,
		     char out[STABLE_TEXT_BYTES]);

#endif
