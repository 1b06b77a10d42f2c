/* SPDX-License-Identifier: MIT */
#ifndef VMM_KALLSYMS_H
#define VMM_KALLSYMS_H

/*
 * The symbol table that a Linux kernel carries inside itself (CONFIG_KALLSYMS), found by its structure: a kernel image has
 * no names that lead to it.  Layout, as scripts/kallsyms.c of Linux 5.0 to 6.17 writes it and kernel/kallsyms.c reads it,
 * for 32-bit kernels; every array is aligned to 4 bytes:
 *
 *	names		n times: length (one byte, or two of ULEB128), then that many bytes, each the number of a token;
 *			the first character of a name is its type, as nm's
 *	n		u32, directly before the names
 *	markers		u32 for each 256 names: where in `names` they begin
 *	tokens		256 strings, each with its NUL; a character that occurs in some name is its own token
 *	token index	256 times u16: where in `tokens` a token begins; directly behind the tokens
 *	addresses	n times, ascending; a pointer each (absolute), or a u32 to be added to a pointer behind the array (relative).
 *			Before n (up to 6.4), or behind the token index (from 6.5 on)
 *
 * Between markers and tokens there may be another array (6.2 to 6.4).  The image is hostile: all reads are checked, and the
 * search ends after a number of steps that an honest image needs a fraction of.
 */
#include "base/panic.h"
#include "base/types.h"

#define KALLSYMS_MAX       (1u << 20) /* symbols; a kernel with all drivers built in has a quarter */
#define KALLSYMS_MAX_NAME  511        /* bytes of a name; more are cut */
#define KALLSYMS_MAX_BYTES (1u << 30) /* of an image */

/* Where things are in an image of `bytes` bytes; all of it was checked. */
struct kallsyms {
	const uint8_t *data;
	uint32_t bytes;
	bool big_endian;
	uint32_t n;
	uint32_t names, tokens, token_index, addresses; /* offsets into data */
	bool relative;
	uint32_t pointer; /* offset of a pointer that changes when the kernel moves: the base, or the last address */
};

struct kallsyms_symbol {
	uint32_t address; /* as linked */
	char type;        /* nm's: t, T: code */
	uint32_t name_bytes;
	char name[KALLSYMS_MAX_NAME + 1];
};

/* False: there is none. data must outlive k.  Any thread.  Cost some 20 ms for Debian's kernel of 16 MiB. */
MUST_CHECK bool kallsyms_find(struct kallsyms *k, const uint8_t *data, size_t bytes, bool big_endian);

/* Address of the first symbol, the lowest. */
uint32_t kallsyms_first(const struct kallsyms *k);
/* Each symbol, in the order of the table, until fn returns something else than 0, which is then returned. */
MUST_CHECK int kallsyms_each(const struct kallsyms *k, int (*fn)(void *ctx, const struct kallsyms_symbol *s),
			     void *ctx);

#endif
