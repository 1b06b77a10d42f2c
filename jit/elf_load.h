/* SPDX-License-Identifier: MIT */
#ifndef JIT_ELF_LOAD_H
#define JIT_ELF_LOAD_H

/*
 * The loader of tier 2: one function of an ELF object becomes an image, position-independent bytes and the list of
 * what must be known before they can run.  An image does not point into the object.
 */
#include "jit/tier2.h"

enum image_reloc_kind { IMAGE_PC32, IMAGE_ABS32S, IMAGE_ABS64 };
enum image_reloc_to { IMAGE_TO_SELF, IMAGE_TO_LINK, IMAGE_TO_STUB };

struct image_reloc {
	uint32_t off;   /* of the field in the image */
	uint8_t kind;   /* enum image_reloc_kind */
	uint8_t to;     /* enum image_reloc_to */
	uint32_t index; /* offset in the image, link number, enum stub_sym */
	int64_t addend;
};

#define IMAGE_ALIGN 64
struct tier2_image {
	uint32_t n_bytes, n_relocs;
	uint8_t *bytes;
	struct image_reloc *relocs;
};

/* Read function fn_index (section ".text.r<fn_index>") with the constants that it uses. *out is NULL unless NONE. */
enum tier2_refusal elf_load(const void *object, size_t bytes, unsigned fn_index, uint32_t n_links,
			    struct tier2_image **out);
void image_free(struct tier2_image *im);

/* Addresses that relocations are resolved to. */
struct image_symbols {
	const struct jit_stubs *stubs;
	const void *const *ways; /* of links */
};
/* As tier2_work_place(). */
MUST_CHECK int image_place(const struct tier2_image *im, const struct image_symbols *sym, uint8_t *rw,
			   const uint8_t *rx);

#endif
