/* SPDX-License-Identifier: MIT */
#ifndef VMM_SLIDE_H
#define VMM_SLIDE_H

/*
 * How far a Linux kernel has moved itself (CONFIG_RANDOMIZE_BASE): arch/mips/kernel/relocate.c copies the image up by a
 * multiple of 64 KiB, adds that to every pointer in the copy, and goes on there.  So the copy of a pointer that is known from
 * the image gives the distance away, and the token table beside it, which holds no pointers, confirms it.
 */
#include "base/types.h"

struct elf_image;
struct pmap;

#define SLIDE_UNIT       0x10000u
#define SLIDE_SIGN_BYTES 64

struct slide {
	uint32_t low, high; /* where the image was linked to; 0, 0: not known, it is not looked for */
	uint32_t pointer, value;
	uint32_t sign; /* where these bytes are */
	uint8_t bytes[SLIDE_SIGN_BYTES];
	bool big_endian;
};

/* What to look for. */
void slide_init(struct slide *s, const struct elf_image *image);
/* pc is in unmapped memory outside of the image as linked: the kernel may have moved. */
bool slide_suspected(const struct slide *s, uint64_t pc);
/* Look for the copy.  0: there is none.  vCPU thread.  Cost: a word for each 64 KiB of memory, some 50 us. */
uint32_t slide_find(const struct slide *s, struct pmap *ram);

#endif
